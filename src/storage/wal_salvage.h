/*
 * wal_salvage.h - what a damaged log still holds.
 *
 * Recovery (wal_read.c) stops at the first durable record that is missing; this
 * goes on behind it.  LSNs are dense and every frame carries a checksum over the
 * file's salt, so records are found again at any multiple of 8, and what is
 * missing between two of them is counted:
 *
 *      | group | gr#### | #### | group | group | 0 0 0
 *                ^ the hole: so many bytes, so many records
 *
 * A file whose header is lost cannot be read: its salt is unknown.  It may have
 * overridden the end of the file before it, so of that one only counts what a later
 * group in it knows to be durable.  The same goes where a whole file is missing.
 *
 * Nothing is changed.  Positions are dense in each collection: whether anything of
 * one is missing, whoever is visited can tell by them.
 *
 * Threads: one at a time.
 */
#ifndef OCH_STORAGE_WAL_SALVAGE_H
#define OCH_STORAGE_WAL_SALVAGE_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"
#include "storage/log_record.h"

struct och_mem;
struct och_vfs;
struct wal_reach;

struct och_wal_salvage {
    struct och_mem *mem;      /* borrowed */
    struct och_vfs *vfs;      /* borrowed */
    struct och_uuid database; /* files of another one are left alone */
    uint64_t lsn_min;         /* the log reached this LSN: what the catalog knows */
    struct wal_reach *reach;  /* borrowed: the table beside it, which is judged; NULL: none */
    och_log_visit visit;      /* called for each record, in LSN order */
    /* Something is missing; `message` says what, and how much. */
    void (*note)(void *context, const char *path, const char *message);
    void *context;

    /* What came of it: */
    uint64_t lsn_last;        /* the highest that was seen; 0: none */
    uint64_t n_files, n_lost; /* that hold records; that cannot be read */
    uint64_t n_records;       /* visited */
    uint64_t n_missing;       /* LSNs that no file has any more, as far as known */
    uint64_t n_in_doubt;      /* records that may have been overridden: not visited */
    /* All that is missing has LSNs from .. to - 1 (UINT64_MAX: it ends nobody knows where);
     * both 0: nothing is. */
    uint64_t missing_from, missing_to;
    uint64_t bytes_given_up; /* of holes, and of files that cannot be read */
};

/*
 * Visit what there is.
 *
 * Errors: OCHRE_UNSUPPORTED: a file of another version; OCHRE_IO, OCHRE_NO_MEMORY; and what
 *         `visit` returns.  A log that is not there at all has no records.
 * Cost:   all files are read; those with damage, or none behind them to say what
 *         of them counts, twice.
 */
OCH_MUST_CHECK ochre_status och_wal_salvage(
        struct och_wal_salvage *salvage, struct ochre_error *err);

#endif /* OCH_STORAGE_WAL_SALVAGE_H */
