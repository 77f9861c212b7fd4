#include "os/executor.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/size.h"
#include "os/thread.h"

struct queue {
    struct och_task *first; /* borrowed from its submitter until it runs */
    struct och_task *last;
};

struct och_executor {
    struct och_mem *mem; /* borrowed */
    size_t size;         /* of this block */
    struct och_mutex lock;
    struct och_cond wake; /* something to run, or to stop for */
    struct queue foreground OCH_GUARDED_BY(lock);
    struct queue background OCH_GUARDED_BY(lock);
    unsigned n_running OCH_GUARDED_BY(lock);            /* tasks of both kinds */
    unsigned n_running_background OCH_GUARDED_BY(lock); /* of them in the background */
    bool closing OCH_GUARDED_BY(lock);
    unsigned n_background_max; /* fixed at open */
    unsigned n_threads;        /* started */
    struct och_thread threads[];
};

static void
push(struct queue *queue, struct och_task *task)
{
    task->next = NULL;
    if (queue->first == NULL)
        queue->first = task;
    else
        queue->last->next = task;
    queue->last = task;
}

static struct och_task *
pop(struct queue *queue)
{
    struct och_task *task = queue->first;
    if (task != NULL)
        queue->first = task->next;
    return task;
}

/* Take the task to run next and count it as running; NULL when there is none
 * that this worker may run now. */
static struct och_task *
take(struct och_executor *executor, bool *is_background_out) OCH_REQUIRES(executor->lock)
{
    *is_background_out = false;
    struct och_task *task = pop(&executor->foreground);
    if (task == NULL && executor->n_running_background < executor->n_background_max) {
        task = pop(&executor->background);
        *is_background_out = task != NULL;
    }
    if (task == NULL)
        return NULL;
    executor->n_running++;
    executor->n_running_background += *is_background_out;
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
work(void *argument)
{
    struct och_executor *executor = argument;
    och_mutex_lock(&executor->lock);
    while (!is_done(executor)) {
        bool is_background = false;
        struct och_task *task = take(executor, &is_background);
        if (task == NULL) {
            och_cond_wait(&executor->wake, &executor->lock);
            continue;
        }
        och_mutex_unlock(&executor->lock);
        task->run(task); /* it may be gone after this */
        och_mutex_lock(&executor->lock);
        executor->n_running--;
        executor->n_running_background -= is_background;
        /* This worker goes on with a foreground task if there is one; the place
         * in the background it has left is for another. */
        if (is_background && executor->background.first != NULL)
            och_cond_signal(&executor->wake);
        if (is_done(executor))
            och_cond_broadcast(&executor->wake);
    }
    och_mutex_unlock(&executor->lock);
}

ochre_status
och_executor_open(struct och_mem *mem, unsigned n_threads, struct och_executor **executor_out,
        struct ochre_error *err)
{
    *executor_out = NULL;
    och_assert(n_threads > 0);
    size_t size = 0;
    if (!och_size_mul(n_threads, sizeof(struct och_thread), &size) ||
            !och_size_add(size, sizeof(struct och_executor), &size))
        return och_fail_memory(err);
    struct och_executor *executor = och_mem_take_zeroed(mem, size);
    if (executor == NULL)
        return och_fail_memory(err);
    executor->mem = mem;
    executor->size = size;
    executor->n_background_max = n_threads == 1 ? 1 : n_threads / 2;
    och_mutex_init(&executor->lock);
    och_cond_init(&executor->wake);

    for (unsigned i = 0; i < n_threads; i++) {
        char name[OCH_THREAD_NAME_SIZE];
        (void) snprintf(name, sizeof(name), "och-work-%u", i % 100000);
        ochre_status status = och_thread_start(&executor->threads[i], name, work, executor, err);
        if (status != OCHRE_OK) {
            och_executor_close(executor);
            return status;
        }
        executor->n_threads++;
    }
    *executor_out = executor;
    return OCHRE_OK;
}

void
och_executor_submit(struct och_executor *executor, struct och_task *task)
{
    och_mutex_lock(&executor->lock);
    push(&executor->foreground, task);
    och_cond_signal(&executor->wake);
    och_mutex_unlock(&executor->lock);
}

void
och_executor_submit_background(struct och_executor *executor, struct och_task *task)
{
    och_mutex_lock(&executor->lock);
    push(&executor->background, task);
    och_cond_signal(&executor->wake);
    och_mutex_unlock(&executor->lock);
}

void
och_executor_close(struct och_executor *executor)
{
    if (executor == NULL)
        return;
    och_mutex_lock(&executor->lock);
    executor->closing = true;
    och_cond_broadcast(&executor->wake);
    och_mutex_unlock(&executor->lock);
    for (unsigned i = 0; i < executor->n_threads; i++)
        och_thread_join(&executor->threads[i]);
    och_cond_clear(&executor->wake);
    och_mutex_clear(&executor->lock);
    och_mem_release(executor->mem, executor, executor->size);
}
