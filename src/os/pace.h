/*
 * pace.h - work of minutes that ends when it is told to, and that gives way to what
 * somebody waits for.
 *
 * Priorities do not do it: a merge and a seal are both nobody's request, until a
 * writer has to wait for the seal.  A thread nicer than others cannot be made less
 * nice again, and one that is very nice holds for long what it holds.
 *
 *      struct och_urgency      in the engine: how many wait
 *      struct och_pace         of one piece of long work, which asks now and then
 *
 * Threads: any.
 */
#ifndef OCH_OS_PACE_H
#define OCH_OS_PACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "os/thread.h"

struct och_urgency {
    struct och_mutex lock;
    struct och_cond over;          /* nobody waits any more */
    atomic_uint n_waiting;         /* changed under the lock */
    _Atomic(uint64_t) its_turn_ns; /* so long long work goes on all the same */
};

void och_urgency_init(struct och_urgency *urgency);
void och_urgency_clear(struct och_urgency *urgency);

/* Somebody waits for short work in the background; and does not any more. */
void och_urgency_begin(struct och_urgency *urgency);
void och_urgency_end(struct och_urgency *urgency);

struct och_pace {
    atomic_bool stop;            /* set it: the work is not wanted any more */
    struct och_urgency *urgency; /* borrowed; NULL: gives way to nobody */
};

/*
 * Is the work not wanted any more?  To be asked where nothing is held that others
 * need: while somebody waits it returns after OCH_PACE_REST_MS at most, and after
 * that not before OCH_PACE_TURN_MS of work, so that long work gets a fifth at least.
 *
 * NULL: it is wanted.  Cost: two loads, when nobody waits.
 */
bool och_pace_stopped(struct och_pace *pace);

enum { OCH_PACE_REST_MS = 80, OCH_PACE_TURN_MS = 20 };

#endif /* OCH_OS_PACE_H */
