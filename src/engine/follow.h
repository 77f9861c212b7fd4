/*
 * follow.h - an engine beside a writer: it shows what another process has written.
 *
 * Such an engine has no log of its own, seals and merges nothing and changes no file.
 * It looks, every few milliseconds and when somebody asks it for something, at what the
 * catalog and the log have that it does not, and applies it:
 *
 *      catalog, if it changed ──► log to its end ──► catalog the same still?
 *                                                       no: once more
 *                                 yes: collections whose list of segments changed are
 *                                 loaded beside the old ones, with the log after it,
 *                                 and take their places
 *
 * Between two looks nothing changes.  Records become visible in the log's order, and a
 * collection that is loaded anew shows what the old one did.
 * docs/decisions/0017 has the reasoning.
 *
 * Threads: `lock` is held while it is looked, and by whoever loads a collection; the
 * table of collections changes only under it.
 */
#ifndef OCH_ENGINE_FOLLOW_H
#define OCH_ENGINE_FOLLOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"
#include "os/executor.h"
#include "os/thread.h"

struct och_collection;
struct och_engine;

struct och_follow {
    struct och_task task; /* first: the task's pointer is ours */
    struct och_engine *engine;
    bool armed; /* under the engine's work_lock: it is submitted, or runs */

    struct och_mutex lock;      /* guards what follows: */
    bool catalog_is_new;        /* collections may have other segments */
    bool all_is_old;            /* begin anew, from the catalog */
    bool some_failed;           /* to be read: they are loaded again in a while */
    uint64_t retried_ns;        /* when they were last */
    uint64_t generation;        /* the newest one of the catalog that the log knows */
    _Atomic(uint64_t) fresh_ns; /* when the last look that succeeded began; also read without */
};

/* Is this engine such a one? */
bool och_follow_is_on(const struct och_engine *engine);

/* Set up for an engine that opens, with ports.tail, and take the first look; then go on
 * in the background, if there is one. */
OCH_MUST_CHECK ochre_status och_follow_begin(struct och_engine *engine, struct ochre_error *err);

/* No more looks in the background. */
void och_follow_stop(struct och_engine *engine);
void och_follow_clear(struct och_engine *engine);

/* The collection with this id, loaded. */
OCH_MUST_CHECK ochre_status och_follow_collection(struct och_engine *engine, struct och_uuid id,
        struct och_collection **collection_out, struct ochre_error *err);

/*
 * Show what there was `age_ns` ago, or later; 0: what there is now.  What a look that
 * failed did not find out may be late for OCH_FOLLOW_FAIL_MS.
 *
 * Errors: why looking fails: OCHRE_CORRUPT, OCHRE_IO, OCHRE_NO_MEMORY,
 *         OCHRE_UNAVAILABLE (what is looked at changes all the time)
 * Cost:   mostly, a look at a clock.
 */
OCH_MUST_CHECK ochre_status och_follow_now(
        struct och_engine *engine, uint64_t age_ns, struct ochre_error *err);

#endif /* OCH_ENGINE_FOLLOW_H */
