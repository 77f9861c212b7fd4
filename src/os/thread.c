#include "os/thread.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"

#define NS_PER_US UINT64_C(1000)
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_SECOND UINT64_C(1000000000)
/* A wait longer than this (a year) is for ever; the bound keeps the sums far
 * from overflow. */
#define WAIT_MS_MAX (UINT64_C(365) * 24 * 3600 * 1000)

enum { STACK_SIZE = 512 * 1024 };
enum { NICE_MAX = 19 };

/* A pthread call that fails here was given a lock in the wrong state. */
static void
must(int failed)
{
    och_assert(failed == 0);
}

void
och_mutex_init(struct och_mutex *mutex)
{
    must(pthread_mutex_init(&mutex->handle, NULL));
}

void
och_mutex_clear(struct och_mutex *mutex)
{
    must(pthread_mutex_destroy(&mutex->handle));
}

/* The analysis cannot see that a pthread call takes our capability, so the four
 * functions that do are trusted and everything above them is checked. */
OCH_NO_THREAD_ANALYSIS void
och_mutex_lock(struct och_mutex *mutex)
{
    must(pthread_mutex_lock(&mutex->handle));
}

OCH_NO_THREAD_ANALYSIS void
och_mutex_unlock(struct och_mutex *mutex)
{
    must(pthread_mutex_unlock(&mutex->handle));
}

void
och_cond_init(struct och_cond *cond)
{
    pthread_condattr_t attributes;
    must(pthread_condattr_init(&attributes));
    /* A wall clock that is set must neither end nor prolong a wait. */
    must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
    must(pthread_cond_init(&cond->handle, &attributes));
    must(pthread_condattr_destroy(&attributes));
}

void
och_cond_clear(struct och_cond *cond)
{
    must(pthread_cond_destroy(&cond->handle));
}

OCH_NO_THREAD_ANALYSIS void
och_cond_wait(struct och_cond *cond, struct och_mutex *mutex)
{
    must(pthread_cond_wait(&cond->handle, &mutex->handle));
}

OCH_NO_THREAD_ANALYSIS bool
och_cond_wait_for(struct och_cond *cond, struct och_mutex *mutex, uint64_t timeout_ms)
{
    struct timespec now = {0};
    must(clock_gettime(CLOCK_MONOTONIC, &now));
    if (timeout_ms > WAIT_MS_MAX)
        timeout_ms = WAIT_MS_MAX;
    uint64_t ns = (uint64_t) now.tv_nsec + timeout_ms % 1000 * NS_PER_MS;
    uint64_t seconds = (uint64_t) now.tv_sec + timeout_ms / 1000 + ns / NS_PER_SECOND;
    struct timespec deadline = {
            .tv_sec = (time_t) seconds,
            .tv_nsec = (long) (ns % NS_PER_SECOND),
    };
    int failed = pthread_cond_timedwait(&cond->handle, &mutex->handle, &deadline);
    if (failed == ETIMEDOUT)
        return false;
    must(failed);
    return true;
}

void
och_cond_signal(struct och_cond *cond)
{
    must(pthread_cond_signal(&cond->handle));
}

void
och_cond_broadcast(struct och_cond *cond)
{
    must(pthread_cond_broadcast(&cond->handle));
}

static void *
thread_main(void *argument)
{
    struct och_thread *thread = argument;
    /* The name is a courtesy to whoever reads top or a core file. */
    (void) pthread_setname_np(pthread_self(), thread->name);
    thread->main(thread->argument);
    return NULL;
}

/* Start with a bounded stack: it is touched lazily, but counts as mapped. */
static int
create(struct och_thread *thread)
{
    pthread_attr_t attributes;
    int failed = pthread_attr_init(&attributes);
    if (failed != 0)
        return failed;
    failed = pthread_attr_setstacksize(&attributes, STACK_SIZE);
    if (failed == 0)
        failed = pthread_create(&thread->handle, &attributes, thread_main, thread);
    must(pthread_attr_destroy(&attributes));
    return failed;
}

ochre_status
och_thread_start(struct och_thread *thread, const char *name, void (*main)(void *argument),
        void *argument, struct ochre_error *err)
{
    thread->main = main;
    thread->argument = argument;
    (void) snprintf(thread->name, sizeof(thread->name), "%s", name);

    /* A new thread inherits the mask: blocked here, signals reach the threads
     * of the embedding program only, and never interrupt ours. */
    sigset_t all;
    sigset_t before;
    must(sigfillset(&all));
    must(pthread_sigmask(SIG_SETMASK, &all, &before));
    int failed = create(thread);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL));
    if (failed != 0)
        return och_fail(
                err, OCHRE_UNAVAILABLE, "cannot start thread %s (errno %d)", thread->name, failed);
    return OCHRE_OK;
}

void
och_thread_join(struct och_thread *thread)
{
    must(pthread_join(thread->handle, NULL));
}

static uint64_t
ns_of(struct timeval time)
{
    return (uint64_t) time.tv_sec * NS_PER_SECOND + (uint64_t) time.tv_usec * NS_PER_US;
}

uint64_t
och_thread_number(void)
{
    return (uint64_t) gettid();
}

struct och_thread_usage
och_thread_usage(void)
{
    struct rusage usage;
    must(getrusage(RUSAGE_THREAD, &usage));
    return (struct och_thread_usage){.cpu_ns = ns_of(usage.ru_utime) + ns_of(usage.ru_stime),
            .n_waits = (uint64_t) usage.ru_nvcsw};
}

/* Linux keeps a priority for each thread, POSIX for a process: the thread's own
 * number says which is meant. */
void
och_thread_lower_priority(void)
{
    id_t self = (id_t) gettid();
    int nice_now = getpriority(PRIO_PROCESS, self);
    int nice_then = nice_now + OCH_BACKGROUND_NICE;
    /* Becoming nicer needs no right; where it is refused all the same (a filter
     * on system calls), the work is done as before. */
    (void) setpriority(PRIO_PROCESS, self, nice_then < NICE_MAX ? nice_then : NICE_MAX);
}
