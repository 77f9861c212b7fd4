/*
 * kept.h - the files of a database as they were before an upgrade, until that is settled.
 *
 *      upgrade/STATE              what was visible then (a digest)
 *      upgrade/FORMAT catalog.db  copies
 *      upgrade/log/...            copies
 *      upgrade/seg/...            second names of the same files, which never change
 *      upgrade/KEPT               the list of all of these, as in a backup; last
 *      upgrade/REVERT             there: what is kept is being put back
 *
 * Nothing counts without KEPT.  Putting back begins with REVERT and ends with the removal
 * of KEPT, and of REVERT; a crash in between is made up for by the next opening
 * (och_directory_open), which does all of it again.  docs/decisions/0025-upgrade.md.
 *
 * Threads: one at a time, by who holds the directory; och_kept_look any.
 */
#ifndef OCH_STORAGE_KEPT_H
#define OCH_STORAGE_KEPT_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"

struct och_mem;
struct och_vfs;

#define OCH_DIR_KEPT "upgrade"

enum och_kept_state {
    OCH_KEPT_NONE,
    OCH_KEPT_PART, /* begun, or about to be gone: worth nothing */
    OCH_KEPT_WHOLE,
    OCH_KEPT_REVERTING
};

OCH_MUST_CHECK ochre_status och_kept_look(
        struct och_vfs *vfs, enum och_kept_state *state_out, struct ochre_error *err);

/* What was visible when it was kept, and when that was. */
struct och_kept_was {
    struct och_uuid database;
    uint64_t digest, made_unix_s;
};

/* Of what is whole.  OCHRE_CORRUPT: STATE is damaged. */
OCH_MUST_CHECK ochre_status och_kept_was(
        struct och_vfs *vfs, struct och_kept_was *was_out, struct ochre_error *err);

/*
 * Keep the files of `source`, which nobody changes meanwhile, in `vfs`; durable when this
 * returns.  `source` is `vfs`, or shows files of it as they were at one moment: then those in
 * `seg` lie in `vfs` under the same names.  What is left of an earlier one goes first; after
 * an error nothing is kept, and what there was of it is removed, if that can be.
 */
OCH_MUST_CHECK ochre_status och_kept_make(struct och_mem *mem, struct och_vfs *vfs,
        struct och_vfs *source, const struct och_kept_was *was, struct ochre_error *err);

/*
 * Put back what is kept; then nothing is kept any more.
 *
 * Errors: OCHRE_CORRUPT  a kept file is damaged: nothing has been changed
 *         after the others it is put back by the next call, or opening
 */
OCH_MUST_CHECK ochre_status och_kept_revert(
        struct och_mem *mem, struct och_vfs *vfs, struct ochre_error *err);

/* Do again what a crash kept from being done: for who opens the directory. */
OCH_MUST_CHECK ochre_status och_kept_recover(struct och_vfs *vfs, struct ochre_error *err);

/* Have nothing kept.  What is not there is fine. */
OCH_MUST_CHECK ochre_status och_kept_remove(struct och_vfs *vfs, struct ochre_error *err);

#endif /* OCH_STORAGE_KEPT_H */
