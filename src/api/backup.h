/*
 * backup.h - a second directory from which a database can be had again.
 *
 *      database               backup                        database
 *      FORMAT                 BACKUP: names, sizes, hashes   FORMAT
 *      catalog.db   backup    files/<hash>-<size>   restore  catalog.db
 *      log/ seg/    ------>   files/<hash>-<size>   ------>  log/ seg/
 *
 * Files of a backup are named after their contents, so that a later backup to
 * the same place writes only what is new, and one that is interrupted leaves the
 * earlier one whole: the manifest is replaced last, by a rename, and what no
 * manifest names any more is removed after that.
 *
 * A database is checked before it is copied, as `ochre check` does, and every byte of
 * the backup is read back before its manifest is written.  Restoring reads all of
 * the backup before it writes the first byte.
 *
 * A directory is held meanwhile: a process that uses it must end first, or make the
 * backup itself (och_backup_database).
 *
 * Formats: docs/formats/backup.md.
 *
 * Threads: one thread a directory.
 */
#ifndef OCH_API_BACKUP_H
#define OCH_API_BACKUP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_machine;
struct och_mem;
struct och_vfs;
struct ochre_db;

struct och_backup_options {
    struct och_mem *mem;               /* borrowed: pays for the list and one buffer */
    const struct och_machine *machine; /* borrowed */
    /* How far it is: bytes read, out of how many; may be NULL. */
    void (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
    const atomic_bool *stop; /* set: give up with OCHRE_UNAVAILABLE; NULL: never */
};

/* What was done; complete only after success. */
struct och_backup_totals {
    uint64_t n_files, n_bytes;               /* of the database */
    uint64_t n_files_copied, n_bytes_copied; /* those that were not there already */
    uint64_t made_s;                         /* Unix time of the backup */
    bool is_redone;   /* what an interrupted restore had left was removed first */
    bool is_finished; /* it had left all of it, and nothing was copied */
};

/*
 * Back up the database in `from` into `to`: an empty directory, or a backup of
 * the same database, which is brought up to date.
 *
 * Errors: OCHRE_BUSY       a process uses one of the two
 *         OCHRE_CORRUPT    the database is damaged, or what was written does not read
 *                          back; the message names the file
 *         OCHRE_EXISTS     `to` has other files, or the backup of another database
 *         OCHRE_INVALID    `from` is not ochre's
 *         OCHRE_UNSUPPORTED OCHRE_IO OCHRE_FULL OCHRE_NO_MEMORY OCHRE_TOO_LARGE
 * After an error `to` is still the backup it was, or the new one already: one whole one.
 */
OCH_MUST_CHECK ochre_status och_backup_vfs(const struct och_backup_options *options,
        struct och_vfs *from, struct och_vfs *to, struct och_backup_totals *totals_out,
        struct ochre_error *err);

/*
 * The same for a database in use, as it is at a moment of this call, which reads and
 * writes do not wait for.  Files that are not needed any more stay meanwhile.
 */
OCH_MUST_CHECK ochre_status och_backup_database(const struct och_backup_options *options,
        struct ochre_db *db, struct och_vfs *to, struct och_backup_totals *totals_out,
        struct ochre_error *err);

/* The same, with `to` a directory of the file system, which is made when it is not
 * there; the database pays for what it takes. */
OCH_MUST_CHECK ochre_status och_backup_database_to(struct ochre_db *db, const char *to,
        struct och_backup_totals *totals_out, struct ochre_error *err);

/* The same for directories of the file system; `to` is made when it is not there. */
OCH_MUST_CHECK ochre_status och_backup_directory(const struct och_backup_options *options,
        const char *from, const char *to, struct och_backup_totals *totals_out,
        struct ochre_error *err);

/*
 * Read every byte of a backup, and compare.
 *
 * Errors: OCHRE_CORRUPT   a file is damaged or missing; the message names it
 *         OCHRE_INVALID   not a backup
 *         OCHRE_UNSUPPORTED OCHRE_IO OCHRE_NO_MEMORY OCHRE_TOO_LARGE  could not tell
 */
OCH_MUST_CHECK ochre_status och_backup_verify_vfs(const struct och_backup_options *options,
        struct och_vfs *backup, struct och_backup_totals *totals_out, struct ochre_error *err);

/*
 * Verify the backup in `from`, then make its database in `to`, which must be empty or
 * what an interrupted restore left.  FORMAT comes last, so that no such leftover is
 * ever opened.
 *
 * Errors: those of och_backup_verify_vfs, with `to` untouched, and
 *         OCHRE_EXISTS    `to` is not empty
 *         OCHRE_BUSY      a process uses it
 *         OCHRE_IO OCHRE_FULL  a part may have been written; restore again
 */
OCH_MUST_CHECK ochre_status och_restore_vfs(const struct och_backup_options *options,
        struct och_vfs *from, struct och_vfs *to, struct och_backup_totals *totals_out,
        struct ochre_error *err);

/* The same for directories of the file system; `to` is made when it is not there. */
OCH_MUST_CHECK ochre_status och_restore_directory(const struct och_backup_options *options,
        const char *from, const char *to, struct och_backup_totals *totals_out,
        struct ochre_error *err);

#endif /* OCH_API_BACKUP_H */
