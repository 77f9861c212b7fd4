/*
 * executor.h - two small crews of worker threads for work that may block.
 *
 *      foreground   a client waits for it: requests
 *      background   nobody does: seals, log preparation; and long tasks: merges,
 *                   index builds
 *
 * Each crew has its own threads and its own queue, first come, first served; of idle
 * threads the one that became idle last is woken, so that few are used when few are needed.
 * Long tasks have a queue of their own, behind the other one, and no more run at a
 * time than half of the background threads (one, if there are fewer than four):
 * what takes milliseconds does not wait for what takes minutes, unless there is
 * one thread for both.
 *
 * Background threads run at a lower priority (OCH_BACKGROUND_NICE), so that a
 * busy machine gives the foreground the processors and the background what is
 * left; an idle machine gives it everything.  What a background task holds
 * while it runs (a lock, the committer role), it may therefore hold for long:
 * let it hold such things only for a few steps.
 *
 * Tasks are structs the caller owns, so submitting never allocates.
 *
 * Threads: submit from any thread.  A task's `run` is called once, on a
 * worker, and may free the task.
 */
#ifndef OCH_OS_EXECUTOR_H
#define OCH_OS_EXECUTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_executor;
struct och_mem;

struct och_task {
    void (*run)(struct och_task *task);
    struct och_task *next; /* private, as is this: */
    uint64_t due_ns;
};

/* Start the threads of both crews; either may have none, but not both. */
OCH_MUST_CHECK ochre_status och_executor_open(struct och_mem *mem, unsigned n_foreground,
        unsigned n_background, struct och_executor **executor_out, struct ochre_error *err);

/* Queue a task for a crew, which must have threads. */
void och_executor_submit(struct och_executor *executor, struct och_task *task);
void och_executor_submit_background(struct och_executor *executor, struct och_task *task);
void och_executor_submit_long(struct och_executor *executor, struct och_task *task);

/* Queue a task for the background in `delay_ms`, unless it is cancelled before. */
void och_executor_submit_later(
        struct och_executor *executor, struct och_task *task, uint64_t delay_ms);

/* Take back a task that was submitted for later.  False: it is too late, it runs,
 * has run or is about to. */
bool och_executor_cancel(struct och_executor *executor, struct och_task *task);

/*
 * Call part(context, i) once for each i below n_parts, several at a time, and
 * return when all have returned.  The caller takes parts like everyone else and
 * background workers that have no task of their own help; so it works without an
 * executor (NULL), ends whoever else is busy, and may be called from a task and
 * from a part.  A worker that helps goes back to its queue after the part in
 * which a task arrives there.
 *
 * Cost: a lock for each part: let it be worth 10 microseconds or more.
 */
void och_executor_parallel(struct och_executor *executor, size_t n_parts,
        void (*part)(void *context, size_t i), void *context);

/* How many threads och_executor_parallel may use at once; for choosing parts. */
unsigned och_executor_width(const struct och_executor *executor);

/* Run everything that was submitted, then stop the threads.  What was submitted
 * for later has run or been cancelled.  NULL is fine. */
void och_executor_close(struct och_executor *executor);

#endif /* OCH_OS_EXECUTOR_H */
