/*
 * executor.h - a small pool of worker threads for work that may block.
 *
 * Tasks are structs the caller owns, so submitting never allocates.  Two
 * queues: foreground tasks (a client waits) go before background ones (seal,
 * log preparation); at most half of the workers run background tasks.
 *
 * Threads: submit from any thread.  A task's `run` is called once, on a
 * worker, and may free the task.
 */
#ifndef OCH_OS_EXECUTOR_H
#define OCH_OS_EXECUTOR_H

#include "base/compiler.h"
#include "ochre/status.h"

struct och_executor;
struct och_mem;

struct och_task {
    void (*run)(struct och_task *task);
    struct och_task *next; /* private */
};

OCH_MUST_CHECK ochre_status och_executor_open(struct och_mem *mem, unsigned n_threads,
        struct och_executor **executor_out, struct ochre_error *err);

void och_executor_submit(struct och_executor *executor, struct och_task *task);
void och_executor_submit_background(struct och_executor *executor, struct och_task *task);

/* Run everything that was submitted, then stop the threads.  NULL is fine. */
void och_executor_close(struct och_executor *executor);

#endif /* OCH_OS_EXECUTOR_H */
