/*
 * archiver.h - have the log in the archive within a stated time.
 *
 * A thread of its own, at low priority, copies what is new in the log (och_archive_copy)
 * every so many seconds.  A copy that fails is tried again after a second, then two, four,
 * up to the usual time or a minute, whichever is less; the log is kept meanwhile, as long as the disk takes it.
 *
 * Threads: begin and end on one thread, with the database open in between.
 */
#ifndef OCH_ROLES_ARCHIVER_H
#define OCH_ROLES_ARCHIVER_H

#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "os/thread.h"

struct och_log;
struct ochre_db;

struct och_archiver {
    struct ochre_db *db;       /* borrowed */
    const struct och_log *log; /* borrowed; may be NULL */
    uint64_t every_ms, wait_ms;
    struct och_thread thread;
    struct och_mutex lock;
    struct och_cond wake;
    bool ends OCH_GUARDED_BY(lock);
    bool has_begun; /* the thread is there */
};

/* OCHRE_UNAVAILABLE when the thread is refused.  Afterwards, end it in any case. */
OCH_MUST_CHECK ochre_status och_archiver_begin(struct och_archiver *archiver, struct ochre_db *db,
        uint64_t every_ms, const struct och_log *log, struct ochre_error *err);

/* Waits for a copy in progress.  A zeroed one is fine. */
void och_archiver_end(struct och_archiver *archiver);

#endif /* OCH_ROLES_ARCHIVER_H */
