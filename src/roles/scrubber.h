/*
 * scrubber.h - read all files again now and then, before somebody needs what a disk lost.
 *
 * A thread of its own, at low priority, scrubs the database (api/scrub.h) an hour after it
 * was opened, or sooner where the time is shorter, and then every so many hours, at
 * OCH_SCRUB_RATE.  What it finds is logged, and shown by `stats`.
 *
 * Threads: begin and end on one thread, with the database open in between.
 */
#ifndef OCH_ROLES_SCRUBBER_H
#define OCH_ROLES_SCRUBBER_H

#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "roles/periodic.h"

struct och_log;
struct ochre_db;

struct och_scrubber {
    struct ochre_db *db;       /* borrowed */
    const struct och_log *log; /* borrowed; may be NULL */
    struct och_periodic periodic;
};

/* OCHRE_UNAVAILABLE when the thread is refused.  Afterwards, end it in any case. */
OCH_MUST_CHECK ochre_status och_scrubber_begin(struct och_scrubber *scrubber, struct ochre_db *db,
        uint64_t every_ms, const struct och_log *log, struct ochre_error *err);

/* A scrub in progress ends early.  A zeroed one is fine. */
void och_scrubber_end(struct och_scrubber *scrubber);

#endif /* OCH_ROLES_SCRUBBER_H */
