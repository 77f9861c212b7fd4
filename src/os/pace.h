/*
 * pace.h - work of minutes that ends when it is told to, and that gives way to what
 * somebody waits for.
 *
 * Priorities do not do it: a merge and a seal are both nobody's request, until a
 * writer has to wait for the seal.  A thread nicer than others cannot be made less
 * nice again, and one that is very nice holds for long what it holds.
 *
 *      struct och_urgency      in the engine: who waits, and whether he is being served
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
    struct och_cond over; /* nobody waits any more, or is served */
    /* Changed under the lock: */
    atomic_uint n_waiting;         /* for short work in the background */
    atomic_uint n_served;          /* pieces of such work that are being done */
    _Atomic(uint64_t) its_turn_ns; /* so long long work goes on all the same */
};

void och_urgency_init(struct och_urgency *urgency);
void och_urgency_clear(struct och_urgency *urgency);

/* Somebody waits for short work; and does not any more. */
void och_urgency_begin(struct och_urgency *urgency);
void och_urgency_end(struct och_urgency *urgency);

/* Such work is begun; and is done. */
void och_urgency_serve(struct och_urgency *urgency);
void och_urgency_served(struct och_urgency *urgency);

struct och_pace {
    atomic_bool stop;            /* set it: the work is not wanted any more */
    struct och_urgency *urgency; /* borrowed; NULL: gives way to nobody */
    uint64_t owner;              /* the number of the thread whose work it is; 0: nobody's */
};

/* The work begins, on this thread, which is the one that rests: whoever helps it
 * returns, so that he can do what is waited for.  Nobody else asks meanwhile. */
void och_pace_begin(struct och_pace *pace);

/*
 * Is the work not wanted any more?  To be asked where nothing is held that others
 * need: while somebody waits and is served, its owner rests here, OCH_PACE_REST_MS at
 * most, and after that not before it has worked for a quarter as long: so long work
 * gets a fifth at least.
 *
 * NULL: it is wanted.  Cost: three loads, when nobody waits.
 */
bool och_pace_stopped(struct och_pace *pace);

enum { OCH_PACE_REST_MS = 80, OCH_PACE_TURN_PART = 4 };

#endif /* OCH_OS_PACE_H */
