#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "os/thread.h"
#include "support/check.h"

/* What a new thread finds out about itself. */
struct report {
    char name[OCH_THREAD_NAME_SIZE];
    size_t stack_size;
    bool blocks_term;
    bool blocks_user;
};

static void
fill_report(void *argument)
{
    struct report *report = argument;
    pthread_attr_t attributes;
    sigset_t blocked;
    (void) pthread_getname_np(pthread_self(), report->name, sizeof(report->name));
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        (void) pthread_attr_getstacksize(&attributes, &report->stack_size);
        (void) pthread_attr_destroy(&attributes);
    }
    if (pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0) {
        report->blocks_term = sigismember(&blocked, SIGTERM) == 1;
        report->blocks_user = sigismember(&blocked, SIGUSR1) == 1;
    }
}

static void
a_thread_has_its_name_a_small_stack_and_no_signals(void **state)
{
    (void) state;
    struct report report = {.stack_size = 0};
    struct och_thread thread;
    struct ochre_error err;
    check_ok(och_thread_start(&thread, "a-name-much-too-long", fill_report, &report, &err), &err);
    och_thread_join(&thread);
    assert_string_equal(report.name, "a-name-much-too");
    check(report.stack_size >= (256U << 10) && report.stack_size <= (1U << 20));
    check(report.blocks_term && report.blocks_user);
}

static void
starting_a_thread_leaves_our_own_signals_alone(void **state)
{
    (void) state;
    struct report report = {.stack_size = 0};
    struct och_thread thread;
    struct ochre_error err;
    check_ok(och_thread_start(&thread, "t", fill_report, &report, &err), &err);
    och_thread_join(&thread);
    sigset_t blocked;
    check(pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0);
    check(sigismember(&blocked, SIGTERM) == 0);
}

struct counter {
    struct och_mutex lock;
    struct och_cond changed;
    unsigned n OCH_GUARDED_BY(lock);
    unsigned wanted; /* fixed before the threads start */
};

static void
count_to_wanted(void *argument)
{
    struct counter *counter = argument;
    for (unsigned i = 0; i < counter->wanted; i++) {
        och_mutex_lock(&counter->lock);
        counter->n++;
        och_mutex_unlock(&counter->lock);
    }
    och_mutex_lock(&counter->lock);
    och_cond_broadcast(&counter->changed);
    och_mutex_unlock(&counter->lock);
}

static void
a_mutex_keeps_every_increment(void **state)
{
    (void) state;
    enum { n_threads = 4, n_steps = 2000 };
    struct counter counter = {.wanted = n_steps};
    och_mutex_init(&counter.lock);
    och_cond_init(&counter.changed);
    struct och_thread threads[n_threads];
    struct ochre_error err;
    for (size_t i = 0; i < n_threads; i++)
        check_ok(och_thread_start(&threads[i], "count", count_to_wanted, &counter, &err), &err);

    /* Wait for the sum by condition rather than by joining. */
    och_mutex_lock(&counter.lock);
    while (counter.n < n_threads * n_steps)
        och_cond_wait(&counter.changed, &counter.lock);
    unsigned n = counter.n;
    och_mutex_unlock(&counter.lock);
    check(n == n_threads * n_steps);
    for (size_t i = 0; i < n_threads; i++)
        och_thread_join(&threads[i]);
    och_cond_clear(&counter.changed);
    och_mutex_clear(&counter.lock);
}

static void
a_wait_ends_when_its_time_has_passed(void **state)
{
    (void) state;
    struct och_mutex lock;
    struct och_cond never;
    och_mutex_init(&lock);
    och_cond_init(&never);
    och_mutex_lock(&lock);
    while (och_cond_wait_for(&never, &lock, 0))
        continue; /* it may return early for no reason */
    while (och_cond_wait_for(&never, &lock, 1))
        continue;
    och_mutex_unlock(&lock);
    och_cond_clear(&never);
    och_mutex_clear(&lock);
}

static void
a_signal_ends_even_an_endless_wait(void **state)
{
    (void) state;
    struct counter counter = {.wanted = 1};
    och_mutex_init(&counter.lock);
    och_cond_init(&counter.changed);
    struct och_thread thread;
    struct ochre_error err;
    och_mutex_lock(&counter.lock);
    ochre_status status = och_thread_start(&thread, "signal", count_to_wanted, &counter, &err);
    bool in_time = true;
    while (status == OCHRE_OK && in_time && counter.n == 0)
        in_time = och_cond_wait_for(&counter.changed, &counter.lock, UINT64_MAX);
    och_mutex_unlock(&counter.lock);
    check_ok(status, &err);
    och_thread_join(&thread);
    check(in_time);
    och_cond_clear(&counter.changed);
    och_mutex_clear(&counter.lock);
}

static void
use_some(void *argument)
{
    struct och_thread_usage *usage = argument;
    while (usage->cpu_ns < 3000000)
        *usage = och_thread_usage();
}

static void
usage_counts_what_a_thread_did_and_how_often_it_slept(void **state)
{
    (void) state;
    struct och_thread_usage other = {0};
    struct och_thread thread;
    struct ochre_error err;
    struct och_mutex lock;
    struct och_cond never;
    och_mutex_init(&lock);
    och_cond_init(&never);
    struct och_thread_usage before = och_thread_usage();
    och_mutex_lock(&lock);
    while (och_cond_wait_for(&never, &lock, 1))
        continue;
    och_mutex_unlock(&lock);
    struct och_thread_usage after = och_thread_usage();
    check(after.n_waits > before.n_waits && after.cpu_ns >= before.cpu_ns);
    check_ok(och_thread_start(&thread, "other", use_some, &other, &err), &err);
    och_thread_join(&thread);
    check(other.cpu_ns >= 3000000);
    och_cond_clear(&never);
    och_mutex_clear(&lock);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_thread_has_its_name_a_small_stack_and_no_signals),
            cmocka_unit_test(starting_a_thread_leaves_our_own_signals_alone),
            cmocka_unit_test(a_mutex_keeps_every_increment),
            cmocka_unit_test(a_wait_ends_when_its_time_has_passed),
            cmocka_unit_test(a_signal_ends_even_an_endless_wait),
            cmocka_unit_test(usage_counts_what_a_thread_did_and_how_often_it_slept),
    };
    return cmocka_run_group_tests_name("os/thread", tests, NULL, NULL);
}
