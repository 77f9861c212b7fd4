#include "os/executor.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/size.h"
#include "os/clock.h"
#include "os/thread.h"

#define NS_PER_MS UINT64_C(1000000)

/* Tasks, borrowed from their submitters until they run. */
struct queue {
    struct och_task *first;
    struct och_task *last;
};

/* A thread.  While it waits it is in the list of its crew, and whoever wakes it takes it out. */
struct worker {
    struct crew *crew;
    struct worker *next_idle;
    bool is_idle;
    struct och_cond wake; /* something to run, or to stop for */
    struct och_thread thread;
};

/* One kind of task and the threads that run it. */
struct crew {
    struct och_executor *executor;
    struct queue queue;
    struct queue long_queue;
    struct och_task *later;      /* by due_ns */
    unsigned n_long, n_long_max; /* long tasks that run, and that may */
    /* The last to become idle is the first to be woken: its stack and its caches, the C
     * library's of freed blocks among them, are warm, and those of the others stay small. */
    struct worker *idle;
    unsigned n_threads; /* fixed at open */
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
    unsigned n_workers; /* started */
    struct worker workers[];
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

/* Wake a worker that waits, if one does. */
static void
wake_one(struct crew *crew)
{
    struct worker *worker = crew->idle;
    if (worker == NULL)
        return;
    crew->idle = worker->next_idle;
    worker->is_idle = false;
    och_cond_signal(&worker->wake);
}

static void
wake_all(struct crew *crew)
{
    while (crew->idle != NULL)
        wake_one(crew);
}

/* Until somebody wakes it or, if there is a time, that has passed. */
static void
wait_idle(struct och_executor *executor, struct worker *worker, bool is_timed, uint64_t wait_ms)
        OCH_REQUIRES(executor->lock)
{
    struct crew *crew = worker->crew;
    worker->next_idle = crew->idle;
    crew->idle = worker;
    worker->is_idle = true;
    if (is_timed)
        (void) och_cond_wait_for(&worker->wake, &executor->lock, wait_ms);
    else
        och_cond_wait(&worker->wake, &executor->lock);
    if (!worker->is_idle)
        return;
    struct worker **link = &crew->idle;
    while (*link != worker)
        link = &(*link)->next_idle;
    *link = worker->next_idle;
    worker->is_idle = false;
}

/* Queue what is due; false when nothing waits for later, otherwise *wait_ms_out says
 * for how long the next one does. */
static bool
queue_due(struct crew *crew, uint64_t *wait_ms_out)
{
    if (crew->later == NULL)
        return false;
    uint64_t now = och_machine_monotonic_ns(och_machine_posix());
    while (crew->later != NULL && crew->later->due_ns <= now) {
        struct och_task *task = crew->later;
        crew->later = task->next;
        push(&crew->queue, task);
        wake_one(crew); /* whoever looks now may have another one to do */
    }
    if (crew->later == NULL)
        return false;
    *wait_ms_out = (crew->later->due_ns - now) / NS_PER_MS + 1;
    return true;
}

/* The task to run next; NULL when there is none that may run now. */
static struct och_task *
take(struct crew *crew, bool *is_long_out)
{
    struct och_task *task = pop(&crew->queue);
    if (task == NULL && crew->n_long < crew->n_long_max) {
        task = pop(&crew->long_queue);
        *is_long_out = task != NULL;
    }
    return task;
}

/* A running task may submit more, so workers stay until nothing runs. */
static bool
is_done(const struct och_executor *executor) OCH_REQUIRES(executor->lock)
{
    return executor->closing && executor->n_running == 0 &&
            executor->foreground.queue.first == NULL && executor->background.queue.first == NULL &&
            executor->background.long_queue.first == NULL;
}

static void
wake_everyone(struct och_executor *executor) OCH_REQUIRES(executor->lock)
{
    wake_all(&executor->foreground);
    wake_all(&executor->background);
}

static void
run_task(struct och_executor *executor, struct crew *crew, struct och_task *task, bool is_long)
        OCH_REQUIRES(executor->lock)
{
    executor->n_running++;
    crew->n_long += is_long;
    if (crew->later != NULL) /* somebody else has to know when it is due */
        wake_one(crew);
    och_mutex_unlock(&executor->lock);
    task->run(task); /* it may be gone after this */
    och_mutex_lock(&executor->lock);
    executor->n_running--;
    crew->n_long -= is_long;
    if (is_long && crew->long_queue.first != NULL)
        wake_one(crew);
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
    struct crew *crew = &executor->background;
    uint64_t wait_ms;
    batch->n_helpers++;
    while (batch->n_taken < batch->n_parts && crew->queue.first == NULL) {
        run_part(executor, batch);
        (void) queue_due(crew, &wait_ms);
    }
    batch->n_helpers--;
    if (batch->n_helpers == 0)
        och_cond_broadcast(&executor->helped);
}

static void
work(void *argument)
{
    struct worker *worker = argument;
    struct crew *crew = worker->crew;
    struct och_executor *executor = crew->executor;
    if (crew->is_background)
        och_thread_lower_priority();
    och_mutex_lock(&executor->lock);
    while (!is_done(executor)) {
        uint64_t wait_ms = 0;
        bool is_long = false;
        bool is_timed = queue_due(crew, &wait_ms);
        struct och_task *task = take(crew, &is_long);
        if (task != NULL)
            run_task(executor, crew, task, is_long);
        else if (crew->is_background && executor->batches != NULL)
            help(executor, executor->batches);
        else
            wait_idle(executor, worker, is_timed, wait_ms);
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
        struct worker *worker = &executor->workers[executor->n_workers];
        worker->crew = crew;
        och_cond_init(&worker->wake);
        ochre_status status = och_thread_start(&worker->thread, name, work, worker, err);
        if (status != OCHRE_OK) {
            och_cond_clear(&worker->wake);
            return status;
        }
        executor->n_workers++;
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
            !och_size_mul(n_threads, sizeof(struct worker), &size) ||
            !och_size_add(size, sizeof(struct och_executor), &size))
        return och_fail_memory(err);
    och_assert(n_threads > 0);
    struct och_executor *executor = och_mem_take_zeroed(mem, size);
    if (executor == NULL)
        return och_fail_memory(err);
    executor->mem = mem;
    executor->size = size;
    executor->foreground = (struct crew){.executor = executor, .n_threads = n_foreground};
    executor->background = (struct crew){.executor = executor,
            .n_threads = n_background,
            .n_long_max = n_background < 4 ? 1 : n_background / 2,
            .is_background = true};
    och_mutex_init(&executor->lock);
    och_cond_init(&executor->helped);
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
submit(struct crew *crew, struct queue *queue, struct och_task *task)
{
    och_assert(crew->n_threads > 0);
    och_mutex_lock(&crew->executor->lock);
    push(queue, task);
    wake_one(crew);
    och_mutex_unlock(&crew->executor->lock);
}

void
och_executor_submit(struct och_executor *executor, struct och_task *task)
{
    submit(&executor->foreground, &executor->foreground.queue, task);
}

void
och_executor_submit_background(struct och_executor *executor, struct och_task *task)
{
    submit(&executor->background, &executor->background.queue, task);
}

void
och_executor_submit_long(struct och_executor *executor, struct och_task *task)
{
    submit(&executor->background, &executor->background.long_queue, task);
}

void
och_executor_submit_later(struct och_executor *executor, struct och_task *task, uint64_t delay_ms)
{
    struct crew *crew = &executor->background;
    och_assert(crew->n_threads > 0);
    task->due_ns = och_machine_monotonic_ns(och_machine_posix()) + delay_ms * NS_PER_MS;
    och_mutex_lock(&executor->lock);
    struct och_task **link = &crew->later;
    while (*link != NULL && (*link)->due_ns <= task->due_ns)
        link = &(*link)->next;
    task->next = *link;
    *link = task;
    wake_one(crew); /* a worker that waits does not know until when */
    och_mutex_unlock(&executor->lock);
}

bool
och_executor_cancel(struct och_executor *executor, struct och_task *task)
{
    och_mutex_lock(&executor->lock);
    struct och_task **link = &executor->background.later;
    while (*link != NULL && *link != task)
        link = &(*link)->next;
    bool found = *link != NULL;
    if (found)
        *link = task->next;
    och_mutex_unlock(&executor->lock);
    return found;
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
    wake_all(&executor->background);
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
    och_assert(executor->background.later == NULL);
    executor->closing = true;
    wake_everyone(executor);
    och_mutex_unlock(&executor->lock);
    for (unsigned i = 0; i < executor->n_workers; i++) {
        och_thread_join(&executor->workers[i].thread);
        och_cond_clear(&executor->workers[i].wake);
    }
    och_cond_clear(&executor->helped);
    och_mutex_clear(&executor->lock);
    och_mem_release(executor->mem, executor, executor->size);
}
