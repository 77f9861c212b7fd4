/*
 * restore_point.h - a database as it was at one moment: an older backup, and what the
 * archived log says has happened since, done once more.
 *
 *      backup of record 1,000   +   archive from before 1,000 to 5,000
 *      restored                 +   writes and changes 1,001 ... 4,321   =   the state at 4,321
 *
 * Records and notes are done in their order, through the same calls that did them for the
 * first time, so that the result is a database as any other; it goes on by itself, with a
 * log of its own.
 *
 * docs/decisions/0023-point-in-time.md has the reasons.
 *
 * Threads: one a directory.
 */
#ifndef OCH_API_RESTORE_POINT_H
#define OCH_API_RESTORE_POINT_H

#include <stdbool.h>
#include <stdint.h>

#include "api/backup.h"
#include "base/compiler.h"
#include "ochre/status.h"

struct och_backup_input;
struct och_vfs;

/* How far to go. */
struct och_point {
    uint64_t lsn;     /* the last record; UINT64_MAX: any */
    uint64_t time_ns; /* since 1970 UTC: nothing that was surely later; UINT64_MAX: any */
};

/* "now", a number of a record, or a time of day as in 2026-11-28T09:30:00Z, whose seconds may
 * have a fraction.  False: none of them. */
OCH_MUST_CHECK bool och_point_parse(const char *text, struct och_point *point_out);

/* What was done. */
struct och_point_reached {
    uint64_t first_lsn; /* of the log after the backup */
    uint64_t lsn;       /* the last record that was done, or the backup's last */
    uint64_t time_ns;   /* of the last note that was passed; 0: none was */
    uint64_t n_writes, n_changes;
};

/*
 * Do with the database in `vfs`, which nobody uses and which was just restored from a
 * backup, what the archived log says has happened until `point`.
 *
 * Errors: OCHRE_CORRUPT  a file of the archive is damaged or missing; the message names it
 *         OCHRE_INVALID  the archive does not reach the point, or the backup is of a later one
 *                        or of another history, or the archive was begun after the backup
 *         OCHRE_NOT_FOUND  no archive; OCHRE_UNSUPPORTED, OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY
 * After an error the database is some state in between, and to be thrown away.
 * Cost:   each write is made as it was made once, with a sync.
 */
OCH_MUST_CHECK ochre_status och_replay(const struct och_backup_options *options,
        struct och_vfs *vfs, struct och_vfs *archive, const struct och_point *point,
        struct och_point_reached *reached_out, struct ochre_error *err);

/* From where to where. */
struct och_restore_point_paths {
    const char *backup; /* a directory; NULL: it comes from `input` */
    const struct och_backup_input *input;
    const char *archive, *to; /* `to` must not be there */
};

/*
 * Restore a backup under the name `to`.restoring, do what the archived log says, and give
 * the result its name.  After an error nothing is left, if the disk still answers.
 *
 * Errors: those of och_restore_directory, och_restore_stream and och_replay; OCHRE_EXISTS
 */
OCH_MUST_CHECK ochre_status och_restore_point(const struct och_backup_options *options,
        const struct och_restore_point_paths *paths, const struct och_point *point,
        struct och_point_reached *reached_out, struct och_backup_totals *totals_out,
        struct ochre_error *err);

#endif /* OCH_API_RESTORE_POINT_H */
