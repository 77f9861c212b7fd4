/*
 * thread.h - threads, mutexes and conditions; the only users of pthreads.
 *
 * Locks are annotated for clang's thread-safety analysis: taking one twice or
 * returning without giving it back is a compile error.
 */
#ifndef OCH_OS_THREAD_H
#define OCH_OS_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

/* For readers: clang's C front end cannot name a sibling member in an attribute
 * before version 20, so guarding is stated here and acquiring is checked. */
#define OCH_GUARDED_BY(lock)

#if defined(__clang__)
#define OCH_CAPABILITY(name) __attribute__((capability(name)))
#define OCH_REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define OCH_ACQUIRES(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define OCH_RELEASES(...) __attribute__((release_capability(__VA_ARGS__)))
#define OCH_NO_THREAD_ANALYSIS __attribute__((no_thread_safety_analysis))
#else
#define OCH_CAPABILITY(name)
#define OCH_REQUIRES(...)
#define OCH_ACQUIRES(...)
#define OCH_RELEASES(...)
#define OCH_NO_THREAD_ANALYSIS
#endif

struct OCH_CAPABILITY("mutex") och_mutex {
    pthread_mutex_t handle;
};

struct och_cond {
    pthread_cond_t handle;
};

enum { OCH_THREAD_NAME_SIZE = 16 }; /* with the NUL, as Linux keeps it */

/* Stays where it is from start to join: the new thread reads it. */
struct och_thread {
    pthread_t handle;
    void (*main)(void *argument); /* private, as all that follow */
    void *argument;
    char name[OCH_THREAD_NAME_SIZE];
};

/* None of these can fail when used rightly; used wrongly (cleared while held),
 * they assert. */
void och_mutex_init(struct och_mutex *mutex);
void och_mutex_clear(struct och_mutex *mutex);
void och_mutex_lock(struct och_mutex *mutex) OCH_ACQUIRES(*mutex);
void och_mutex_unlock(struct och_mutex *mutex) OCH_RELEASES(*mutex);

void och_cond_init(struct och_cond *cond); /* monotonic clock */
void och_cond_clear(struct och_cond *cond);
void och_cond_wait(struct och_cond *cond, struct och_mutex *mutex) OCH_REQUIRES(*mutex);
/* False when `timeout_ms` passed first.  Both waits may return early for no
 * reason: test what you wait for in a loop. */
bool och_cond_wait_for(struct och_cond *cond, struct och_mutex *mutex, uint64_t timeout_ms)
        OCH_REQUIRES(*mutex);
void och_cond_signal(struct och_cond *cond);
void och_cond_broadcast(struct och_cond *cond);

/* Run `main(argument)` on a new thread named `name` (15 bytes at most) with a
 * 512 KiB stack and all signals blocked.  OCHRE_UNAVAILABLE when refused. */
OCH_MUST_CHECK ochre_status och_thread_start(struct och_thread *thread, const char *name,
        void (*main)(void *argument), void *argument, struct ochre_error *err);
void och_thread_join(struct och_thread *thread);

/* The system's number of this thread; never 0.  Cost: a system call. */
uint64_t och_thread_number(void);

/* What the calling thread has used since it began. */
struct och_thread_usage {
    uint64_t cpu_ns;
    uint64_t n_waits; /* how often it slept until something happened: disk, locks, clocks */
};

/* Cost: a system call. */
struct och_thread_usage och_thread_usage(void);

/* Let the calling thread, and it alone, have a lower share of busy processors:
 * nicer by OCH_BACKGROUND_NICE, or as nice as can be.  There is no way back. */
enum { OCH_BACKGROUND_NICE = 10 };
void och_thread_lower_priority(void);

#endif /* OCH_OS_THREAD_H */
