/*
 * hold.h - one process at a time makes a database in a directory.
 *
 *      MARK    locked; from before the first file until FORMAT is there
 *      LOCK    locked; who opens the database takes it as well
 *      FORMAT  not there
 *
 * A restore and a repair make a database in a directory that is empty, or that one of
 * their kind left half done: that has the kind's mark and no FORMAT.  Who has both locks
 * looks again: are they of the files that have these names, and is there no FORMAT?  Both
 * keep their names as long: who removes the mark holds it, or LOCK with FORMAT there.
 *
 * Threads: one at a time.
 */
#ifndef OCH_API_HOLD_H
#define OCH_API_HOLD_H

#include <stdbool.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_file;
struct och_vfs;

/* Who makes a database. */
struct och_hold_kind {
    const char *mark; /* the mark's name */
    const char *does; /* "restores to", for messages */
    const char *verb; /* "restore to" */
};

struct och_hold {
    struct och_file *mark, *lock; /* owned, locked */
};

/*
 * Take both; with `create` the mark is made if it is not there.  When this returns there
 * is no FORMAT, and none but the holder can make one.
 *
 * Errors: OCHRE_BUSY       another process of this kind is here, or has the directory, or did
 *                          when this began
 *         OCHRE_EXISTS     there is a database now
 *         OCHRE_NOT_FOUND  no mark, without `create`
 *         OCHRE_IO ...     the mark and LOCK may have been made
 */
OCH_MUST_CHECK ochre_status och_hold_take(struct och_vfs *vfs, const struct och_hold_kind *kind,
        bool create, struct och_hold *hold_out, struct ochre_error *err);

/*
 * Take both where a database was made, and only its mark is left to be removed.
 *
 * Errors: OCHRE_BUSY       another process of this kind is here, or has the directory
 *         OCHRE_NOT_FOUND  there is no mark, or no FORMAT
 */
OCH_MUST_CHECK ochre_status och_hold_take_made(struct och_vfs *vfs,
        const struct och_hold_kind *kind, struct och_hold *hold_out, struct ochre_error *err);

/*
 * Take the directory to make a database in: an empty one, or one that was left half done,
 * and then *has_other_out says that something but mark and LOCK is there.
 *
 * Errors: those of och_hold_take; OCHRE_EXISTS: it is something else
 */
OCH_MUST_CHECK ochre_status och_hold_take_target(struct och_vfs *vfs,
        const struct och_hold_kind *kind, struct och_hold *hold_out, bool *has_other_out,
        struct ochre_error *err);

/* A zeroed one is fine. */
void och_hold_release(struct och_hold *hold);

#endif /* OCH_API_HOLD_H */
