/*
 * upgrade.h - bring every file of a database to the form that this version writes, and back.
 *
 *      as it was ──upgrade──► upgraded, what was is kept ──commit──► upgraded
 *          ▲                          │
 *          └──────────revert──────────┘
 *
 * Old files are read as they are by any opening; an upgrade writes them anew, so that
 * they need not be for ever, and have what newer files have (codes, an index of
 * metadata).  What was is kept first (storage/kept.h).  A crash at any point leaves a
 * directory that opens, as before or upgraded; the same command again goes on.
 *
 * A database in use is upgraded as it is used: what is kept is how it was at one moment
 * (held_files.h), and what is written after that was "written since" to a revert, which
 * puts back a whole directory and so wants one that nobody uses.
 * docs/decisions/0025-upgrade.md.
 *
 * Threads: one directory, one thread; och_op_*: any.
 */
#ifndef OCH_API_UPGRADE_H
#define OCH_API_UPGRADE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "storage/kept.h"

struct och_kernels;
struct och_machine;
struct och_mem;
struct och_vfs;
struct ochre_db;

struct och_upgrade_options {
    /* These three of a directory that nobody uses; otherwise they are the database's. */
    struct och_mem *mem;               /* borrowed */
    const struct och_machine *machine; /* borrowed */
    const struct och_kernels *kernels; /* borrowed; NULL: the best there are */
    bool dry_run;                      /* only say what is old */
    bool discard_writes;               /* of a revert: what was written since may go */
    /* May be NULL: a file that is old, and why.  The strings live for the call. */
    void (*report)(void *context, const char *path, const char *why);
    /* May be NULL: how far this part of the work is ("checking ", a literal). */
    void (*progress)(void *context, const char *phase, uint64_t done, uint64_t total);
    void *context;
};

struct och_upgrade_totals {
    uint64_t n_old;            /* files of an older form, before */
    enum och_kept_state state; /* afterwards */
    uint64_t kept_unix_s;      /* when what is kept was kept; 0: nothing is */
};

/*
 * Upgrade the database in `vfs`, which nobody uses.  Where nothing is old, nothing is done.
 *
 * Errors: OCHRE_BUSY     a process uses it
 *         OCHRE_CORRUPT  it is damaged, and was left as it is
 *         OCHRE_INVALID  it is not ochre's
 *         OCHRE_UNSUPPORTED OCHRE_IO OCHRE_FULL OCHRE_NO_MEMORY
 */
OCH_MUST_CHECK ochre_status och_upgrade(struct och_vfs *vfs,
        const struct och_upgrade_options *options, struct och_upgrade_totals *totals_out,
        struct ochre_error *err);

/* Let go of what is kept.  OCHRE_NOT_FOUND: nothing is. */
OCH_MUST_CHECK ochre_status och_upgrade_commit(struct och_vfs *vfs,
        const struct och_upgrade_options *options, struct och_upgrade_totals *totals_out,
        struct ochre_error *err);

/*
 * Put back what is kept.
 *
 * Errors: OCHRE_NOT_FOUND  nothing is kept
 *         OCHRE_EXISTS     something was written since, and options->discard_writes is not set
 *         OCHRE_CORRUPT    what is kept is damaged: nothing was changed
 */
OCH_MUST_CHECK ochre_status och_upgrade_revert(struct och_vfs *vfs,
        const struct och_upgrade_options *options, struct och_upgrade_totals *totals_out,
        struct ochre_error *err);

/*
 * The same as och_upgrade for a database in use; reads and writes go on.
 *
 * Errors: OCHRE_BUSY         it is being compacted, purged or upgraded
 *         OCHRE_CORRUPT      it is damaged, and was left as it is
 *         OCHRE_DENIED       it was opened to be read
 *         OCHRE_UNAVAILABLE  it is being closed, or a backup of it needs old files; what is
 *                            kept stays, and the next call goes on
 *         OCHRE_IO OCHRE_FULL OCHRE_NO_MEMORY
 * Cost:   reads all there is twice; memory once more for rows that are only in the log.
 */
OCH_MUST_CHECK ochre_status och_op_upgrade(struct ochre_db *db,
        const struct och_upgrade_options *options, struct och_upgrade_totals *totals_out,
        struct ochre_error *err);

/* Only say what is old, and what is kept; beside anything.  Errors: those above but OCHRE_BUSY. */
OCH_MUST_CHECK ochre_status och_op_upgrade_look(struct ochre_db *db,
        const struct och_upgrade_options *options, struct och_upgrade_totals *totals_out,
        struct ochre_error *err);

/* Let go of what is kept.  Errors: OCHRE_NOT_FOUND, nothing is; OCHRE_BUSY, OCHRE_DENIED. */
OCH_MUST_CHECK ochre_status och_op_upgrade_commit(
        struct ochre_db *db, struct och_upgrade_totals *totals_out, struct ochre_error *err);

#endif /* OCH_API_UPGRADE_H */
