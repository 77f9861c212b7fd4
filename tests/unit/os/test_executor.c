#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "os/executor.h"
#include "os/thread.h"
#include "support/check.h"

/* A stand-in for pthread_create that refuses one thread. */
static unsigned refuse_at; /* 1 is the next; 0 for none */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
        void *(*start)(void *argument), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
        void *(*start)(void *argument), void *argument);

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
        void *(*start)(void *argument), void *argument)
{
    if (refuse_at > 0) {
        refuse_at--;
        if (refuse_at == 0)
            return EAGAIN;
    }
    return __real_pthread_create(thread, attributes, start, argument);
}

/* A place where tasks meet: they count themselves and wait for a door. */
struct hall {
    struct och_mutex lock;
    struct och_cond changed;
    bool is_open OCH_GUARDED_BY(lock);
    unsigned n_inside OCH_GUARDED_BY(lock);
    unsigned n_inside_most OCH_GUARDED_BY(lock);
    unsigned n_done OCH_GUARDED_BY(lock);
    char order[64] OCH_GUARDED_BY(lock);
};

static void
hall_init(struct hall *hall)
{
    *hall = (struct hall){.is_open = false};
    och_mutex_init(&hall->lock);
    och_cond_init(&hall->changed);
}

static void
hall_clear(struct hall *hall)
{
    och_cond_clear(&hall->changed);
    och_mutex_clear(&hall->lock);
}

static void
hall_open(struct hall *hall)
{
    och_mutex_lock(&hall->lock);
    hall->is_open = true;
    och_cond_broadcast(&hall->changed);
    och_mutex_unlock(&hall->lock);
}

static void
hall_wait_inside(struct hall *hall, unsigned n)
{
    och_mutex_lock(&hall->lock);
    while (hall->n_inside < n)
        och_cond_wait(&hall->changed, &hall->lock);
    och_mutex_unlock(&hall->lock);
}

struct visit {
    struct och_task task; /* first, so that a task is a visit */
    struct hall *hall;
    char mark;
};

/* Wait in the hall until its door opens. */
static void
wait_inside(struct och_task *task)
{
    struct hall *hall = ((struct visit *) task)->hall;
    och_mutex_lock(&hall->lock);
    hall->n_inside++;
    if (hall->n_inside > hall->n_inside_most)
        hall->n_inside_most = hall->n_inside;
    och_cond_broadcast(&hall->changed);
    while (!hall->is_open)
        och_cond_wait(&hall->changed, &hall->lock);
    hall->n_inside--;
    hall->n_done++;
    och_mutex_unlock(&hall->lock);
}

/* Leave a mark. */
static void
leave_mark(struct och_task *task)
{
    struct visit *visit = (struct visit *) task;
    och_mutex_lock(&visit->hall->lock);
    if (visit->hall->n_done < sizeof(visit->hall->order) - 1)
        visit->hall->order[visit->hall->n_done] = visit->mark;
    visit->hall->n_done++;
    och_mutex_unlock(&visit->hall->lock);
}

/* Open the door. */
static void
open_door(struct och_task *task)
{
    hall_open(((struct visit *) task)->hall);
}

static struct och_executor *
open_executor(struct och_mem *mem, unsigned n_threads)
{
    struct ochre_error err;
    struct och_executor *executor = NULL;
    check_ok(och_executor_open(mem, n_threads, &executor, &err), &err);
    return executor;
}

static void
foreground_tasks_go_first_and_each_kind_in_order(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct hall hall;
    hall_init(&hall);
    struct hall door;
    hall_init(&door);
    struct och_executor *executor = open_executor(&mem, 1);

    /* The only worker waits while the others queue up. */
    struct visit gate = {{wait_inside, NULL}, &door, 0};
    och_executor_submit(executor, &gate.task);
    hall_wait_inside(&door, 1);
    struct visit visits[6];
    for (size_t i = 0; i < 6; i++) {
        visits[i] = (struct visit){{leave_mark, NULL}, &hall, "aAbBcC"[i]};
        if (i % 2 == 0)
            och_executor_submit_background(executor, &visits[i].task);
        else
            och_executor_submit(executor, &visits[i].task);
    }
    hall_open(&door);
    och_executor_close(executor);
    och_mutex_lock(&hall.lock);
    assert_string_equal(hall.order, "ABCabc");
    och_mutex_unlock(&hall.lock);
    hall_clear(&hall);
    hall_clear(&door);
    check(och_mem_used(&mem) == 0);
}

/* If the background could take every worker, nobody would open the door. */
static void
background_tasks_leave_half_of_the_workers_free(void **state)
{
    (void) state;
    enum { n_visits = 8 };
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct hall hall;
    hall_init(&hall);
    struct och_executor *executor = open_executor(&mem, 4);
    struct visit visits[n_visits];
    for (size_t i = 0; i < n_visits; i++) {
        visits[i] = (struct visit){{wait_inside, NULL}, &hall, 0};
        och_executor_submit_background(executor, &visits[i].task);
    }
    hall_wait_inside(&hall, 2);
    struct visit opener = {{open_door, NULL}, &hall, 0};
    och_executor_submit(executor, &opener.task);
    och_executor_close(executor);
    och_mutex_lock(&hall.lock);
    check(hall.n_inside_most == 2);
    check(hall.n_done == n_visits);
    och_mutex_unlock(&hall.lock);
    hall_clear(&hall);
    check(och_mem_used(&mem) == 0);
}

static void
a_single_worker_does_background_work_too(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct hall hall;
    hall_init(&hall);
    struct och_executor *executor = open_executor(&mem, 1);
    struct visit visit = {{leave_mark, NULL}, &hall, 'x'};
    och_executor_submit_background(executor, &visit.task);
    och_executor_close(executor);
    och_mutex_lock(&hall.lock);
    check(hall.n_done == 1);
    och_mutex_unlock(&hall.lock);
    hall_clear(&hall);
}

/* A task that submits two more, down to a depth, and gives itself back. */
struct tree {
    struct och_task task;
    struct och_executor *executor;
    struct och_mem *mem;
    atomic_uint *n_run;
    unsigned depth;
};

static void
run_tree(struct och_task *task)
{
    struct tree *tree = (struct tree *) task;
    atomic_fetch_add(tree->n_run, 1);
    for (int i = 0; tree->depth > 0 && i < 2; i++) {
        struct tree *child = och_mem_take(tree->mem, sizeof(*child));
        if (child == NULL)
            break;
        *child = *tree;
        child->depth--;
        if (i == 0)
            och_executor_submit(tree->executor, &child->task);
        else
            och_executor_submit_background(tree->executor, &child->task);
    }
    och_mem_release(tree->mem, tree, sizeof(*tree));
}

static void
closing_runs_what_running_tasks_still_submit(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    for (unsigned n_threads = 1; n_threads <= 4; n_threads++) {
        struct och_executor *executor = open_executor(&mem, n_threads);
        atomic_uint n_run;
        atomic_init(&n_run, 0);
        struct tree *root = och_mem_take(&mem, sizeof(*root));
        check(root != NULL);
        if (root == NULL)
            return; /* the analyzer does not know that a failed check ends the test */
        *root = (struct tree){{run_tree, NULL}, executor, &mem, &n_run, 9};
        och_executor_submit(executor, &root->task);
        och_executor_close(executor);
        check(atomic_load(&n_run) == 1023);
        check(och_mem_used(&mem) == 0);
    }
}

struct submitter {
    struct och_thread thread;
    struct och_executor *executor;
    struct visit visits[200];
};

static void
submit_all(void *argument)
{
    struct submitter *submitter = argument;
    for (size_t i = 0; i < 200; i++) {
        if (i % 3 == 0)
            och_executor_submit_background(submitter->executor, &submitter->visits[i].task);
        else
            och_executor_submit(submitter->executor, &submitter->visits[i].task);
    }
}

static void
many_threads_may_submit_at_once(void **state)
{
    (void) state;
    enum { n_submitters = 4 };
    static struct submitter submitters[n_submitters];
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct hall hall;
    hall_init(&hall);
    struct och_executor *executor = open_executor(&mem, 3);
    struct ochre_error err;
    for (size_t i = 0; i < n_submitters; i++) {
        submitters[i].executor = executor;
        for (size_t j = 0; j < 200; j++)
            submitters[i].visits[j] = (struct visit){{leave_mark, NULL}, &hall, 'x'};
        check_ok(
                och_thread_start(&submitters[i].thread, "submit", submit_all, &submitters[i], &err),
                &err);
    }
    for (size_t i = 0; i < n_submitters; i++)
        och_thread_join(&submitters[i].thread);
    och_executor_close(executor);
    och_mutex_lock(&hall.lock);
    check(hall.n_done == n_submitters * 200);
    och_mutex_unlock(&hall.lock);
    hall_clear(&hall);
    check(och_mem_used(&mem) == 0);
}

static void
a_refused_thread_stops_those_already_started(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    for (unsigned n = 1; n <= 3; n++) {
        struct ochre_error err;
        struct och_executor *executor = NULL;
        refuse_at = n;
        check(och_executor_open(&mem, 3, &executor, &err) == OCHRE_UNAVAILABLE);
        check(executor == NULL);
        check(och_mem_used(&mem) == 0);
    }
    refuse_at = 0;
}

static bool
open_and_close(struct och_mem *mem)
{
    struct och_executor *executor = NULL;
    ochre_status status = och_executor_open(mem, 2, &executor, NULL);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    och_executor_close(executor);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(open_and_close);
    och_executor_close(NULL);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(foreground_tasks_go_first_and_each_kind_in_order),
            cmocka_unit_test(background_tasks_leave_half_of_the_workers_free),
            cmocka_unit_test(a_single_worker_does_background_work_too),
            cmocka_unit_test(closing_runs_what_running_tasks_still_submit),
            cmocka_unit_test(many_threads_may_submit_at_once),
            cmocka_unit_test(a_refused_thread_stops_those_already_started),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
    };
    return cmocka_run_group_tests_name("os/executor", tests, NULL, NULL);
}
