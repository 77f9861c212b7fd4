/*
 * purger.h - have what was deleted gone from all files within a stated time.
 *
 * A thread of its own, at low priority, purges the database (och_op_purge) an hour after
 * it was opened, or sooner where the time is shorter, and then every so many hours; but
 * not if nothing was written since.  A purge that fails (a full disk, a backup that holds
 * files) is tried again after an hour.
 *
 * Threads: begin and end on one thread, with the database open in between.
 */
#ifndef OCH_ROLES_PURGER_H
#define OCH_ROLES_PURGER_H

#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "roles/periodic.h"

struct och_log;
struct ochre_db;

struct och_purger {
    struct ochre_db *db;       /* borrowed */
    const struct och_log *log; /* borrowed; may be NULL */
    struct och_periodic periodic;
};

/* OCHRE_UNAVAILABLE when the thread is refused.  Afterwards, end it in any case. */
OCH_MUST_CHECK ochre_status och_purger_begin(struct och_purger *purger, struct ochre_db *db,
        uint64_t every_ms, const struct och_log *log, struct ochre_error *err);

/* Waits for a purge in progress, which ends early after och_db_give_up.  A zeroed one is
 * fine. */
void och_purger_end(struct och_purger *purger);

#endif /* OCH_ROLES_PURGER_H */
