/*
 * archive.h - the log kept elsewhere, so that any moment can be had again.
 *
 *      database                       archive
 *      log/7.log 8.log 9.log   ──>    log/1.log ... 8.log 9.log    as far as it was copied
 *      catalog.db   ──notes──┘        STATE                        how far that is
 *
 * While there is an archive, changes of the catalog are noted in the log before they
 * happen (engine/notes.h), and so is the time, ten times a second while there are writes.
 * From time to time what is new in the log is copied (och_archive_copy); what was not
 * copied yet stays in the log, however long that takes.  The archive's log is a log: it is
 * written by the same rules, so that a crash at any moment leaves one that can be read.
 *
 * api/restore_point.h has the way back; docs/decisions/0023-point-in-time.md the reasons.
 *
 * Threads: open, begin and close on one thread; copying and asking on any.
 */
#ifndef OCH_API_ARCHIVE_H
#define OCH_API_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "engine/ports.h"
#include "ochre/status.h"

struct och_archive;
struct och_buf;
struct och_catalog;
struct och_engine;

/* In the data directory, while all changes are noted. */
#define OCH_ARCHIVE_MARK "ARCHIVED"

struct och_archive_options {
    struct och_mem *mem;
    struct och_vfs *vfs;               /* borrowed: the archive */
    struct och_vfs *database_vfs;      /* borrowed */
    const struct och_machine *machine; /* borrowed */
    struct och_catalog *catalog;       /* borrowed */
    struct och_uuid database;
    struct och_log_source log; /* of the database; its context is borrowed */
};

/* Errors: OCHRE_NO_MEMORY */
OCH_MUST_CHECK ochre_status och_archive_open(const struct och_archive_options *options,
        struct och_archive **archive_out, struct ochre_error *err);

/* What the engine is to use instead of the log it would have. */
struct och_log_source och_archive_log(struct och_archive *archive);
struct och_notes *och_archive_notes(struct och_archive *archive);

/*
 * The engine is open: from here on all changes are noted.
 *
 * Errors: OCHRE_EXISTS  the archive is another database's, or has another history of this
 *                       one
 *         OCHRE_CORRUPT  its STATE is damaged; OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY
 */
OCH_MUST_CHECK ochre_status och_archive_begin(
        struct och_archive *archive, struct och_engine *engine, struct ochre_error *err);

/* After the engine was closed.  NULL is fine. */
void och_archive_close(struct och_archive *archive);

/* A database is opened without an archive, and changes will not be noted. */
OCH_MUST_CHECK ochre_status och_archive_give_up(
        struct och_vfs *database_vfs, struct ochre_error *err);

/*
 * Copy what the log has and the archive has not, durably, and read it back; and let the
 * log go that is not needed any more.
 *
 * Errors: OCHRE_EXISTS  the archive has another history by now
 *         OCHRE_CORRUPT  what was written does not read back
 *         OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY
 * After an error the log keeps its files; try again.
 * Cost:   nobody waits for it, but for a moment at its beginning.
 */
OCH_MUST_CHECK ochre_status och_archive_copy(struct och_archive *archive, struct ochre_error *err);

struct och_archive_state {
    uint64_t next_lsn;   /* records below it are in the archive */
    uint64_t time_ns;    /* when the newest copy began, since 1970 UTC; 0: none yet */
    uint64_t n_failures; /* copies that failed since the last one that did not */
};

struct och_archive_state och_archive_state(struct och_archive *archive);

/* --- STATE ------------------------------------------------------------------- */

struct och_archive_reached {
    struct och_uuid database, history;
    uint64_t next_lsn, time_ns;
};

/* Errors: OCHRE_NOT_FOUND, OCHRE_CORRUPT, OCHRE_UNSUPPORTED, OCHRE_IO */
OCH_MUST_CHECK ochre_status och_archive_read_state(
        struct och_vfs *vfs, struct och_archive_reached *reached_out, struct ochre_error *err);

/* The number of a file of the log, by its name; false: it is none. */
bool och_archive_file_number(const char *name, uint64_t *number_out);

#endif /* OCH_API_ARCHIVE_H */
