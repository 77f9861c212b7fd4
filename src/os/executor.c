#include "os/executor.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/size.h"
#include "os/thread.h"

/* One kind of task and the threads that run it. */
struct crew {
    struct och_executor *executor;
    struct och_task *first; /* the queue: borrowed from its submitter until it runs */
    struct och_task *last;
    struct och_cond wake; /* something to run, or to stop for */
    unsigned n_threads;   /* fixed at open */
    bool is_background;
};

/* Parallel work in progress; it lies on its caller's stack.  The lock of the
 * executor guards what changes. */
struct batch {
    struct batch *next;
    void (*part)(void *context, size_t i);
    void *context;
    size_t n_parts;
    size_t n_taken;
    unsigned n_helpers; /* that are inside a part, or between two */
};

struct och_executor {
    struct och_mem *mem; /* borrowed */
    size_t size;         /* of this block */
    struct och_mutex lock;
    struct crew foreground OCH_GUARDED_BY(lock);
    struct crew background OCH_GUARDED_BY(lock);
    struct batch *batches OCH_GUARDED_BY(lock); /* that still have parts, the newest first */
    struct och_cond helped;                     /* a batch has lost its last helper */
    unsigned n_running OCH_GUARDED_BY(lock);    /* tasks of both kinds */
    bool closing OCH_GUARDED_BY(lock);
    unsigned n_threads; /* started */
    struct och_thread threads[];
};

static void
push(struct crew *crew, struct och_task *task)
{
    task->next = NULL;
    if (crew->first == NULL)
        crew->first = task;
    else
        crew->last->next = task;
    crew->last = task;
}

static struct och_task *
pop(struct crew *crew)
{
    struct och_task *task = crew->first;
    if (task != NULL)
        crew->first = task->next;
    return task;
}

/* A running task may submit more, so workers stay until nothing runs. */
static bool
is_done(const struct och_executor *executor) OCH_REQUIRES(executor->lock)
{
    return executor->closing && executor->n_running == 0 && executor->foreground.first == NULL &&
            executor->background.first == NULL;
}

static void
wake_everyone(struct och_executor *executor) OCH_REQUIRES(executor->lock)
{
    och_cond_broadcast(&executor->foreground.wake);
    och_cond_broadcast(&executor->background.wake);
}

static void
run_task(struct och_executor *executor, struct och_task *task) OCH_REQUIRES(executor->lock)
{
    executor->n_running++;
    och_mutex_unlock(&executor->lock);
    task->run(task); /* it may be gone after this */
    och_mutex_lock(&executor->lock);
    executor->n_running--;
    if (is_done(executor))
        wake_everyone(executor);
}

/* Nobody joins a batch that has no parts left, so it may leave the list before
 * they are done. */
static void
unlist(struct och_executor *executor, const struct batch *batch) OCH_REQUIRES(executor->lock)
{
    struct batch **link = &executor->batches;
    while (*link != batch)
        link = &(*link)->next;
    *link = batch->next;
}

static void
run_part(struct och_executor *executor, struct batch *batch) OCH_REQUIRES(executor->lock)
{
    size_t i = batch->n_taken++;
    if (batch->n_taken == batch->n_parts)
        unlist(executor, batch);
    och_mutex_unlock(&executor->lock);
    batch->part(batch->context, i);
    och_mutex_lock(&executor->lock);
}

static void
help(struct och_executor *executor, struct batch *batch) OCH_REQUIRES(executor->lock)
{
    const struct crew *crew = &executor->background;
    batch->n_helpers++;
    while (batch->n_taken < batch->n_parts && crew->first == NULL)
        run_part(executor, batch);
    batch->n_helpers--;
    if (batch->n_helpers == 0)
        och_cond_broadcast(&executor->helped);
}

static void
work(void *argument)
{
    struct crew *crew = argument;
    struct och_executor *executor = crew->executor;
    if (crew->is_background)
        och_thread_lower_priority();
    och_mutex_lock(&executor->lock);
    while (!is_done(executor)) {
        struct och_task *task = pop(crew);
        if (task != NULL)
            run_task(executor, task);
        else if (crew->is_background && executor->batches != NULL)
            help(executor, executor->batches);
        else
            och_cond_wait(&crew->wake, &executor->lock);
    }
    och_mutex_unlock(&executor->lock);
}

static ochre_status
start(struct crew *crew, const char *kind, struct ochre_error *err)
{
    struct och_executor *executor = crew->executor;
    for (unsigned i = 0; i < crew->n_threads; i++) {
        char name[OCH_THREAD_NAME_SIZE];
        (void) snprintf(name, sizeof(name), "och-%s-%u", kind, i % 100000);
        struct och_thread *thread = &executor->threads[executor->n_threads];
        ochre_status status = och_thread_start(thread, name, work, crew, err);
        if (status != OCHRE_OK)
            return status;
        executor->n_threads++;
    }
    return OCHRE_OK;
}

ochre_status
och_executor_open(struct och_mem *mem, unsigned n_foreground, unsigned n_background,
        struct och_executor **executor_out, struct ochre_error *err)
{
    *executor_out = NULL;
    size_t n_threads = 0;
    size_t size = 0;
    if (!och_size_add(n_foreground, n_background, &n_threads) ||
            !och_size_mul(n_threads, sizeof(struct och_thread), &size) ||
            !och_size_add(size, sizeof(struct och_executor), &size))
        return och_fail_memory(err);
    och_assert(n_threads > 0);
    struct och_executor *executor = och_mem_take_zeroed(mem, size);
    if (executor == NULL)
        return och_fail_memory(err);
    executor->mem = mem;
    executor->size = size;
    executor->foreground = (struct crew){.executor = executor, .n_threads = n_foreground};
    executor->background =
            (struct crew){.executor = executor, .n_threads = n_background, .is_background = true};
    och_mutex_init(&executor->lock);
    och_cond_init(&executor->helped);
    och_cond_init(&executor->foreground.wake);
    och_cond_init(&executor->background.wake);
    ochre_status status = start(&executor->foreground, "work", err);
    if (status == OCHRE_OK)
        status = start(&executor->background, "back", err);
    if (status != OCHRE_OK) {
        och_executor_close(executor);
        return status;
    }
    *executor_out = executor;
    return OCHRE_OK;
}

static void
submit(struct crew *crew, struct och_task *task)
{
    och_assert(crew->n_threads > 0);
    och_mutex_lock(&crew->executor->lock);
    push(crew, task);
    och_cond_signal(&crew->wake);
    och_mutex_unlock(&crew->executor->lock);
}

void
och_executor_submit(struct och_executor *executor, struct och_task *task)
{
    submit(&executor->foreground, task);
}

void
och_executor_submit_background(struct och_executor *executor, struct och_task *task)
{
    submit(&executor->background, task);
}

/*
 * Why this ends: the caller waits only for helpers that are inside a part.  A
 * helper joined when it was doing nothing else, so whatever it waits for in turn
 * (the helpers of a batch that its part began) was joined later still; in a
 * circle of waiting someone would have joined before himself.
 */
void
och_executor_parallel(struct och_executor *executor, size_t n_parts,
        void (*part)(void *context, size_t i), void *context)
{
    if (executor == NULL || executor->background.n_threads == 0 || n_parts < 2) {
        for (size_t i = 0; i < n_parts; i++)
            part(context, i);
        return;
    }
    struct batch batch = {.part = part, .context = context, .n_parts = n_parts};
    och_mutex_lock(&executor->lock);
    batch.next = executor->batches;
    /* cppcheck-suppress autoVariables ; it is unlisted, and left by all, before the return */
    executor->batches = &batch;
    och_cond_broadcast(&executor->background.wake);
    while (batch.n_taken < n_parts)
        run_part(executor, &batch);
    while (batch.n_helpers > 0)
        och_cond_wait(&executor->helped, &executor->lock);
    och_mutex_unlock(&executor->lock);
}

unsigned
och_executor_width(const struct och_executor *executor)
{
    return executor == NULL ? 1 : executor->background.n_threads + 1;
}

void
och_executor_close(struct och_executor *executor)
{
    if (executor == NULL)
        return;
    och_mutex_lock(&executor->lock);
    executor->closing = true;
    wake_everyone(executor);
    och_mutex_unlock(&executor->lock);
    for (unsigned i = 0; i < executor->n_threads; i++)
        och_thread_join(&executor->threads[i]);
    och_cond_clear(&executor->background.wake);
    och_cond_clear(&executor->foreground.wake);
    och_cond_clear(&executor->helped);
    och_mutex_clear(&executor->lock);
    och_mem_release(executor->mem, executor, executor->size);
}
