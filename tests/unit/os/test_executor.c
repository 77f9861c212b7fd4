#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

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

/* A stand-in for a wait that counts those who wait. */
static atomic_uint n_waiting;

void __real_och_cond_wait(struct och_cond *cond, struct och_mutex *mutex) OCH_REQUIRES(*mutex);
void __wrap_och_cond_wait(struct och_cond *cond, struct och_mutex *mutex) OCH_REQUIRES(*mutex);

void
__wrap_och_cond_wait(struct och_cond *cond, struct och_mutex *mutex)
{
    (void) atomic_fetch_add(&n_waiting, 1);
    __real_och_cond_wait(cond, mutex);
    (void) atomic_fetch_sub(&n_waiting, 1);
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
    och_cond_broadcast(&hall->changed);
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
open_executor(struct och_mem *mem, unsigned n_foreground, unsigned n_background)
{
    struct ochre_error err;
    struct och_executor *executor = NULL;
    check_ok(och_executor_open(mem, n_foreground, n_background, &executor, &err), &err);
    return executor;
}

static void
submit(struct och_executor *executor, bool background, struct och_task *task)
{
    if (background)
        och_executor_submit_background(executor, task);
    else
        och_executor_submit(executor, task);
}

static void
tasks_of_each_kind_run_in_order(void **state)
{
    (void) state;
    for (int background = 0; background < 2; background++) {
        struct och_mem mem;
        och_mem_init(&mem, NULL);
        struct hall hall;
        hall_init(&hall);
        struct hall door;
        hall_init(&door);
        struct och_executor *executor = open_executor(&mem, 1, 1);

        /* The only worker of that kind waits while the others queue up. */
        struct visit gate = {{.run = wait_inside}, &door, 0};
        submit(executor, background, &gate.task);
        hall_wait_inside(&door, 1);
        struct visit visits[6];
        for (size_t i = 0; i < 6; i++) {
            visits[i] = (struct visit){{.run = leave_mark}, &hall, "abcdef"[i]};
            submit(executor, background, &visits[i].task);
        }
        hall_open(&door);
        och_executor_close(executor);
        och_mutex_lock(&hall.lock);
        assert_string_equal(hall.order, "abcdef");
        och_mutex_unlock(&hall.lock);
        hall_clear(&hall);
        hall_clear(&door);
        check(och_mem_used(&mem) == 0);
    }
}

/* All workers of one kind wait for a task of the other to open the door; each
 * kind uses the workers it has, and no more. */
static void
neither_kind_of_task_holds_up_the_other(void **state)
{
    (void) state;
    enum { n_visits = 8 };
    for (int background = 0; background < 2; background++) {
        struct och_mem mem;
        och_mem_init(&mem, NULL);
        struct hall hall;
        hall_init(&hall);
        struct och_executor *executor = open_executor(&mem, 2, 2);
        struct visit visits[n_visits];
        for (size_t i = 0; i < n_visits; i++) {
            visits[i] = (struct visit){{.run = wait_inside}, &hall, 0};
            submit(executor, background, &visits[i].task);
        }
        hall_wait_inside(&hall, 2);
        struct visit opener = {{.run = open_door}, &hall, 0};
        submit(executor, !background, &opener.task);
        och_executor_close(executor);
        och_mutex_lock(&hall.lock);
        check(hall.n_inside_most == 2);
        check(hall.n_done == n_visits);
        och_mutex_unlock(&hall.lock);
        hall_clear(&hall);
        check(och_mem_used(&mem) == 0);
    }
}

/* Merges take minutes: beside as many as may run, sealing goes on. */
static void
long_tasks_leave_workers_for_the_others(void **state)
{
    (void) state;
    enum { n_visits = 6 };
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    for (unsigned n_threads = 2; n_threads <= 6; n_threads += 4) {
        unsigned n_most = n_threads == 2 ? 1 : 3;
        struct hall hall;
        hall_init(&hall);
        struct och_executor *executor = open_executor(&mem, 0, n_threads);
        struct visit visits[n_visits];
        for (size_t i = 0; i < n_visits; i++) {
            visits[i] = (struct visit){{.run = wait_inside}, &hall, 0};
            och_executor_submit_long(executor, &visits[i].task);
        }
        hall_wait_inside(&hall, n_most);
        struct visit opener = {{.run = open_door}, &hall, 0};
        och_executor_submit_background(executor, &opener.task);
        och_executor_close(executor);
        och_mutex_lock(&hall.lock);
        check(hall.n_inside_most == n_most);
        check(hall.n_done == n_visits);
        och_mutex_unlock(&hall.lock);
        hall_clear(&hall);
    }
    check(och_mem_used(&mem) == 0);
}

static void
long_tasks_wait_for_the_others(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct hall hall;
    hall_init(&hall);
    struct hall door;
    hall_init(&door);
    struct och_executor *executor = open_executor(&mem, 0, 1);
    struct visit gate = {{.run = wait_inside}, &door, 0};
    och_executor_submit_long(executor, &gate.task); /* one thread for both kinds */
    hall_wait_inside(&door, 1);
    struct visit visits[6];
    for (size_t i = 0; i < 6; i++) {
        visits[i] = (struct visit){{.run = leave_mark}, &hall, "aAbBcC"[i]};
        if (i % 2 == 0)
            och_executor_submit_long(executor, &visits[i].task);
        else
            och_executor_submit_background(executor, &visits[i].task);
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

/* One that is due in an hour does not hold up what is due now. */
static void
tasks_for_later_run_when_they_are_due(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct hall hall;
    hall_init(&hall);
    struct hall door;
    hall_init(&door);
    struct och_executor *executor = open_executor(&mem, 0, 1);
    struct visit never = {{.run = leave_mark}, &hall, 'x'};
    struct visit visits[3];
    och_executor_submit_later(executor, &never.task, UINT64_C(3600000));
    for (size_t i = 0; i < 3; i++) {
        visits[i] = (struct visit){{.run = leave_mark}, &hall, "abc"[i]};
        och_executor_submit_later(executor, &visits[i].task, i);
    }
    struct visit last = {{.run = wait_inside}, &door, 0};
    hall_open(&door);
    och_executor_submit_later(executor, &last.task, 3);
    och_mutex_lock(&door.lock);
    while (door.n_done == 0)
        och_cond_wait(&door.changed, &door.lock);
    och_mutex_unlock(&door.lock);
    check(och_executor_cancel(executor, &never.task));
    och_executor_close(executor);
    och_mutex_lock(&hall.lock);
    assert_string_equal(hall.order, "abc");
    och_mutex_unlock(&hall.lock);
    hall_clear(&hall);
    hall_clear(&door);
    check(och_mem_used(&mem) == 0);
}

/* A worker that helps with parallel work looks at the clock between two parts. */
static void
take_part(void *context, size_t i)
{
    (void) i;
    struct hall *hall = context;
    och_mutex_lock(&hall->lock);
    hall->n_inside++;
    och_mutex_unlock(&hall->lock);
}

static void
parallel_work_does_not_hold_up_what_is_due(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct hall parts;
    hall_init(&parts);
    struct hall door;
    hall_init(&door);
    hall_open(&door);
    struct och_executor *executor = open_executor(&mem, 0, 1);
    struct visit visit = {{.run = wait_inside}, &door, 0};
    och_executor_submit_later(executor, &visit.task, 1);
    bool done = false;
    while (!done) { /* as much work as it takes until the clock has moved on */
        och_executor_parallel(executor, 1000, take_part, &parts);
        och_mutex_lock(&door.lock);
        done = door.n_done > 0;
        och_mutex_unlock(&door.lock);
    }
    och_executor_close(executor);
    och_mutex_lock(&parts.lock);
    check(parts.n_inside >= 1000 && parts.n_inside % 1000 == 0);
    och_mutex_unlock(&parts.lock);
    hall_clear(&parts);
    hall_clear(&door);
    check(och_mem_used(&mem) == 0);
}

static void
what_is_cancelled_does_not_run(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct hall hall;
    hall_init(&hall);
    struct och_executor *executor = open_executor(&mem, 0, 1);
    struct visit visits[3];
    for (size_t i = 0; i < 3; i++) {
        visits[i] = (struct visit){{.run = leave_mark}, &hall, 'x'};
        och_executor_submit_later(executor, &visits[i].task, UINT64_C(3600000) * (3 - i));
    }
    for (size_t i = 0; i < 3; i++) {
        check(och_executor_cancel(executor, &visits[(i + 1) % 3].task));
        check(!och_executor_cancel(executor, &visits[(i + 1) % 3].task));
    }
    och_executor_close(executor);
    och_mutex_lock(&hall.lock);
    check(hall.n_done == 0);
    och_mutex_unlock(&hall.lock);
    hall_clear(&hall);
    check(och_mem_used(&mem) == 0);
}

static int
nice_now(void)
{
    return getpriority(PRIO_PROCESS, (id_t) gettid());
}

struct look {
    struct och_task task;
    int nice;
};

static void
look_at_priority(struct och_task *task)
{
    ((struct look *) task)->nice = nice_now();
}

static void
background_workers_alone_are_nicer(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    int before = nice_now();
    int nicer = before + OCH_BACKGROUND_NICE < 19 ? before + OCH_BACKGROUND_NICE : 19;
    struct och_executor *executor = open_executor(&mem, 1, 1);
    struct look foreground = {{.run = look_at_priority}, -100};
    struct look background = {{.run = look_at_priority}, -100};
    och_executor_submit(executor, &foreground.task);
    och_executor_submit_background(executor, &background.task);
    och_executor_close(executor);
    check(foreground.nice == before);
    check(background.nice == nicer);
    check(nice_now() == before);
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
        submit(tree->executor, i == 1, &child->task);
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
        struct och_executor *executor = open_executor(&mem, n_threads, 5 - n_threads);
        atomic_uint n_run;
        atomic_init(&n_run, 0);
        struct tree *root = och_mem_take(&mem, sizeof(*root));
        check(root != NULL);
        if (root == NULL)
            return; /* the analyzer does not know that a failed check ends the test */
        *root = (struct tree){{.run = run_tree}, executor, &mem, &n_run, 9};
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
    for (size_t i = 0; i < 200; i++)
        submit(submitter->executor, i % 3 == 0, &submitter->visits[i].task);
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
    struct och_executor *executor = open_executor(&mem, 2, 1);
    struct ochre_error err;
    for (size_t i = 0; i < n_submitters; i++) {
        submitters[i].executor = executor;
        for (size_t j = 0; j < 200; j++)
            submitters[i].visits[j] = (struct visit){{.run = leave_mark}, &hall, 'x'};
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

struct mark_of_thread {
    struct och_task task; /* first, so that a task is one */
    _Atomic(pthread_t) thread;
};

static void
remember_thread(struct och_task *task)
{
    atomic_store(&((struct mark_of_thread *) task)->thread, pthread_self());
}

static void
wait_until_all_wait(unsigned n)
{
    while (atomic_load(&n_waiting) < n)
        (void) sched_yield();
}

/* One client's requests, one after the other: they find the same caches warm. */
static void
the_last_to_become_idle_is_the_first_to_work(void **state)
{
    (void) state;
    enum { n_workers = 4 };
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    atomic_store(&n_waiting, 0);
    struct och_executor *executor = open_executor(&mem, n_workers, 0);
    wait_until_all_wait(n_workers);
    pthread_t first = pthread_self();
    for (unsigned i = 0; i < 100; i++) {
        struct mark_of_thread mark = {.task.run = remember_thread};
        atomic_init(&mark.thread, pthread_self());
        och_executor_submit(executor, &mark.task);
        while (pthread_equal(atomic_load(&mark.thread), pthread_self()) != 0)
            (void) sched_yield();
        wait_until_all_wait(n_workers);
        pthread_t thread = atomic_load(&mark.thread);
        check(i == 0 || pthread_equal(thread, first) != 0);
        first = thread;
    }
    och_executor_close(executor);
    check(och_mem_used(&mem) == 0);
}

static void
a_refused_thread_stops_those_already_started(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    for (unsigned n = 1; n <= 4; n++) {
        struct ochre_error err;
        struct och_executor *executor = NULL;
        refuse_at = n;
        check(och_executor_open(&mem, 2, 2, &executor, &err) == OCHRE_UNAVAILABLE);
        check(executor == NULL);
        check(och_mem_used(&mem) == 0);
    }
    refuse_at = 0;
}

/* --- parallel work ------------------------------------------------------------ */

enum { PARTS_MAX = 1000 };

struct tally {
    atomic_uint n_times[PARTS_MAX];
};

static void
count_part(void *context, size_t i)
{
    struct tally *tally = context;
    atomic_fetch_add(&tally->n_times[i], 1);
}

static void
check_each_part_once(struct och_executor *executor, size_t n_parts)
{
    static struct tally tally;
    for (size_t i = 0; i < PARTS_MAX; i++)
        atomic_init(&tally.n_times[i], 0);
    och_executor_parallel(executor, n_parts, count_part, &tally);
    for (size_t i = 0; i < PARTS_MAX; i++)
        check(atomic_load(&tally.n_times[i]) == (i < n_parts ? 1 : 0));
}

static void
each_part_is_done_once(void **state)
{
    (void) state;
    static const size_t counts[] = {0, 1, 2, 3, 4, 5, 100, PARTS_MAX};
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    for (unsigned n_background = 0; n_background <= 4; n_background++) {
        struct och_executor *executor = open_executor(&mem, 1, n_background);
        check(och_executor_width(executor) == n_background + 1);
        for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
            check_each_part_once(executor, counts[i]);
        och_executor_close(executor);
    }
    check_each_part_once(NULL, PARTS_MAX);
    check(och_executor_width(NULL) == 1);
    check(och_mem_used(&mem) == 0);
}

/* Wait until three are inside. */
static void
meet(void *context, size_t i)
{
    (void) i;
    struct hall *hall = context;
    och_mutex_lock(&hall->lock);
    hall->n_inside++;
    och_cond_broadcast(&hall->changed);
    while (hall->n_inside < 3)
        och_cond_wait(&hall->changed, &hall->lock);
    och_mutex_unlock(&hall->lock);
}

static void
idle_background_workers_help_the_caller(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct hall hall;
    hall_init(&hall);
    struct och_executor *executor = open_executor(&mem, 1, 2);
    och_executor_parallel(executor, 3, meet, &hall); /* ends only with three of them */
    och_executor_close(executor);
    hall_clear(&hall);
    check(och_mem_used(&mem) == 0);
}

static void
parallel_work_is_done_while_every_worker_is_busy(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct hall hall;
    hall_init(&hall);
    struct och_executor *executor = open_executor(&mem, 0, 2);
    struct visit visits[2];
    for (size_t i = 0; i < 2; i++) {
        visits[i] = (struct visit){{.run = wait_inside}, &hall, 0};
        och_executor_submit_background(executor, &visits[i].task);
    }
    hall_wait_inside(&hall, 2);
    check_each_part_once(executor, 10);
    hall_open(&hall);
    och_executor_close(executor);
    hall_clear(&hall);
    check(och_mem_used(&mem) == 0);
}

/* Parallel work whose parts begin parallel work, begun by tasks. */
struct nest {
    struct och_task task;
    struct och_executor *executor;
    atomic_uint *n_leaves;
};

static void
count_leaf(void *context, size_t i)
{
    (void) i;
    struct nest *nest = context;
    atomic_fetch_add(nest->n_leaves, 1);
}

static void
begin_leaves(void *context, size_t i)
{
    struct nest *nest = context;
    och_executor_parallel(nest->executor, i % 7, count_leaf, nest);
}

static void
run_nest(struct och_task *task)
{
    struct nest *nest = (struct nest *) task;
    och_executor_parallel(nest->executor, 14, begin_leaves, nest);
}

static void
parallel_work_may_be_begun_by_tasks_and_by_parts(void **state)
{
    (void) state;
    enum { n_nests = 200 };
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    atomic_uint n_leaves;
    atomic_init(&n_leaves, 0);
    struct och_executor *executor = open_executor(&mem, 2, 3);
    static struct nest nests[n_nests];
    for (size_t i = 0; i < n_nests; i++) {
        nests[i] = (struct nest){{.run = run_nest}, executor, &n_leaves};
        submit(executor, i % 2 == 0, &nests[i].task);
    }
    och_executor_close(executor);
    check(atomic_load(&n_leaves) == n_nests * 2 * (1 + 2 + 3 + 4 + 5 + 6));
    check(och_mem_used(&mem) == 0);
}

/* The caller's parts wait for a task that the helper submits to itself. */
struct detour {
    struct visit visit; /* the task, which counts in n_done */
    struct och_executor *executor;
    pthread_t caller;
    bool submitted; /* the helper's */
};

static void
take_detour(void *context, size_t i)
{
    (void) i;
    struct detour *detour = context;
    struct hall *hall = detour->visit.hall;
    bool is_caller = pthread_equal(pthread_self(), detour->caller) != 0;
    if (!is_caller && !detour->submitted) {
        detour->submitted = true;
        och_executor_submit_background(detour->executor, &detour->visit.task);
        return;
    }
    och_mutex_lock(&hall->lock);
    while (is_caller && !hall->is_open)
        och_cond_wait(&hall->changed, &hall->lock);
    check(hall->is_open); /* a helper that comes back has run the task */
    och_mutex_unlock(&hall->lock);
}

static void
a_helper_goes_back_to_a_task_that_arrives(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct hall hall;
    hall_init(&hall);
    struct och_executor *executor = open_executor(&mem, 0, 1);
    struct detour detour = {
            {{.run = open_door}, &hall, 0}, executor, pthread_self(), .submitted = false};
    och_executor_parallel(executor, 10, take_detour, &detour);
    check(detour.submitted);
    och_executor_close(executor);
    hall_clear(&hall);
    check(och_mem_used(&mem) == 0);
}

static bool
open_and_close(struct och_mem *mem)
{
    struct och_executor *executor = NULL;
    ochre_status status = och_executor_open(mem, 1, 1, &executor, NULL);
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
            cmocka_unit_test(tasks_of_each_kind_run_in_order),
            cmocka_unit_test(neither_kind_of_task_holds_up_the_other),
            cmocka_unit_test(long_tasks_leave_workers_for_the_others),
            cmocka_unit_test(long_tasks_wait_for_the_others),
            cmocka_unit_test(tasks_for_later_run_when_they_are_due),
            cmocka_unit_test(parallel_work_does_not_hold_up_what_is_due),
            cmocka_unit_test(what_is_cancelled_does_not_run),
            cmocka_unit_test(background_workers_alone_are_nicer),
            cmocka_unit_test(closing_runs_what_running_tasks_still_submit),
            cmocka_unit_test(many_threads_may_submit_at_once),
            cmocka_unit_test(the_last_to_become_idle_is_the_first_to_work),
            cmocka_unit_test(a_refused_thread_stops_those_already_started),
            cmocka_unit_test(each_part_is_done_once),
            cmocka_unit_test(idle_background_workers_help_the_caller),
            cmocka_unit_test(parallel_work_is_done_while_every_worker_is_busy),
            cmocka_unit_test(parallel_work_may_be_begun_by_tasks_and_by_parts),
            cmocka_unit_test(a_helper_goes_back_to_a_task_that_arrives),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
    };
    return cmocka_run_group_tests_name("os/executor", tests, NULL, NULL);
}
