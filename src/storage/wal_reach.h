/*
 * wal_reach.h - how far the records of each collection reach, beside the log.
 *
 * What is missing at the end of a log that somebody cut, nothing in the log can tell.
 * This file says so for each collection, so that those go on that miss nothing:
 *
 *      REACH    block | block' | block | block'     four of 32 KiB
 *      block    a header, and for each collection the LSN of its last record, and
 *               whether it may have later ones
 *
 * A collection that writes after a rest is marked first, durably; one that has rested is
 * noted with its last LSN and unmarked: as the write-intent bitmaps of disk arrays do.
 * So what writes all the time pays nothing, and what is not marked has no record behind
 * its LSN.  Two states take turns, and each stands there twice: a power cut takes one that
 * is being written, with both its copies; damage takes one copy.
 *
 * It also says where the log's files begin and end: of those that are missing, or zeroed
 * altogether, nothing else tells.  A table that could not be written is given up, and the
 * log goes on in a file that says that none is kept.
 *
 * docs/formats/reach.md is normative; docs/decisions/0032 has the reasoning.
 *
 * Threads: the log's.
 */
#ifndef OCH_STORAGE_WAL_REACH_H
#define OCH_STORAGE_WAL_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"
#include "storage/log_record.h"

struct och_buf;
struct och_file;
struct och_mem;
struct och_vfs;

/* Collections whose numbers are so far apart share an entry. */
#define WAL_REACH_ENTRIES 4084u

/* As an entry's LSN: its collection was found to miss records. */
#define WAL_REACH_LACKS (UINT64_MAX >> 1)
/* In an entry: there may be records behind its LSN. */
#define WAL_REACH_MARKED (UINT64_C(1) << 63)

/* Records that are missing: LSNs from .. to - 1; to UINT64_MAX: nobody knows how many. */
struct wal_hole {
    uint64_t from, to;
};

/* A table. */
struct wal_reach_table {
    uint64_t nonce;         /* files of the log that were begun beside it have the same */
    uint64_t sequence;      /* of the state */
    uint64_t opened_lsn;    /* where the log went on: no mark is for a record below it */
    uint64_t reached_lsn;   /* the log's last record when this was written */
    uint64_t newest_number; /* the newest file of the log when it was begun, */
    uint64_t newest_salt;   /* and its salt; 0: there was none */
    uint64_t last_number;   /* no file with a higher one was begun while the table was kept */
    uint64_t floor_lsn;     /* the oldest file begins here, or below; 0: an earlier build's table,
                             * which says nothing of either */
    uint64_t entries[WAL_REACH_ENTRIES];
};

/* The log, as a table that is begun finds it. */
struct wal_reach_log {
    uint64_t next_lsn, oldest_lsn;
    uint64_t newest_number, newest_salt; /* of the newest file that was read or begun */
    uint64_t last_number;                /* of the newest one that there is or was */
};

/* A file, as far as it tells whether a table is of its log. */
struct wal_reach_file {
    uint64_t number, salt, nonce;
};

struct wal_reach {
    struct och_mem *mem;   /* borrowed */
    struct och_vfs *vfs;   /* borrowed */
    struct och_file *file; /* owned; NULL: none is kept, or not yet */
    struct och_uuid database;
    bool is_found;                                /* there was one when the log was opened: */
    bool was_read;                                /* and it is of this log */
    struct wal_reach_table found;                 /* that */
    struct wal_reach_table table;                 /* as it is on disk, or is about to be */
    uint64_t last[WAL_REACH_ENTRIES];             /* LSNs of records that were read or appended */
    uint64_t is_busy[WAL_REACH_ENTRIES / 64 + 1]; /* wrote since the last rest */
    uint64_t lacks[WAL_REACH_ENTRIES / 64 + 1];   /* och_wal_lacks said so */
    uint32_t n_marked;
};

/* Read the table of a database.  What is not there, or damaged, is none; one that cannot be read
 * is an error: OCHRE_IO, OCHRE_NO_MEMORY. */
OCH_MUST_CHECK ochre_status och_wal_reach_make(struct och_mem *mem, struct och_vfs *vfs,
        struct och_uuid database, struct wal_reach **reach_out, struct ochre_error *err);
void och_wal_reach_close(struct wal_reach *reach); /* NULL is fine */

/*
 * Was the table that was read kept as long as the log that lies here?  Its newest file that can
 * be read is `newest` (NULL: none can), and `last_number` the highest of those and the unreadable
 * ones that were begun (0: there is none).  Whoever keeps no table begins a file that says so.
 * What the newest file should be the table knows; where that is gone, one of before it, beside
 * which a table was kept, has to do.  If not, it counts as not read.
 */
void och_wal_reach_judge(
        struct wal_reach *reach, const struct wal_reach_file *newest, uint64_t last_number);

/* Does the table that was read know which files the log has? */
bool och_wal_reach_knows_files(const struct wal_reach *reach);

/* The LSN that the log has reached, as it knows; 0: it knows of none. */
uint64_t och_wal_reach_max(const struct wal_reach *reach);

/* Was a collection found to miss records?  That counts whatever else the table is worth. */
bool och_wal_reach_has_lacking(const struct wal_reach *reach);

/* Of a log without the records of these holes: may one of them be the collection's, though none
 * behind `lsn` was read?  True is kept. */
bool och_wal_reach_lacks(struct wal_reach *reach, uint32_t collection, uint64_t lsn,
        const struct wal_hole *holes, size_t n);

/* A record that was read from the log, or is durable in it. */
void och_wal_reach_note(struct wal_reach *reach, uint32_t collection, uint64_t lsn);

/*
 * Begin a table: all that was noted, at rest.  What lacked records keeps that.  Files that
 * the log begins from now on say table.nonce, which is given.
 *
 * Errors: what makes it impossible; then none is kept.
 */
OCH_MUST_CHECK ochre_status och_wal_reach_begin(struct wal_reach *reach, uint64_t nonce,
        const struct wal_reach_log *log, struct ochre_error *err);

/* Mark the collections of these records, the first of which gets `next_lsn`, durably, where
 * they are not.  False: that failed, and no table is kept any more. */
OCH_MUST_CHECK bool och_wal_reach_mark(
        struct wal_reach *reach, uint64_t next_lsn, const struct och_log_record *records, size_t n);

/* Unmark what has not written since the last call, or all, of a table that is kept, and note how
 * far the log has come.  False: that failed, likewise. */
OCH_MUST_CHECK bool och_wal_reach_rest(struct wal_reach *reach, uint64_t next_lsn, bool all);

/* A file with this number is about to be begun; what begins below `floor_lsn` is about to be
 * removed.  False: that could not be noted, likewise. */
OCH_MUST_CHECK bool och_wal_reach_file(struct wal_reach *reach, uint64_t next_lsn, uint64_t number);
OCH_MUST_CHECK bool och_wal_reach_floor(
        struct wal_reach *reach, uint64_t next_lsn, uint64_t floor_lsn);

/* Put the bytes that the table's file would have beside this log; where none is kept, those of
 * one in which everything is marked. */
void och_wal_reach_put(
        const struct wal_reach *reach, const struct wal_reach_log *log, struct och_buf *out);

/* Of the table in another process's directory no more than how far its log had come at least: for a
 * copy of what that has now. */
OCH_MUST_CHECK ochre_status och_wal_reach_put_least(struct och_mem *mem, struct och_vfs *vfs,
        struct och_uuid database, struct och_buf *out, struct ochre_error *err);

/*
 * How many of the four blocks are not what was written: damaged, or being written when power
 * failed.  Nobody may have the directory.  OCHRE_NOT_FOUND: there is no such file.
 */
OCH_MUST_CHECK ochre_status och_wal_reach_check(struct och_mem *mem, struct och_vfs *vfs,
        struct och_uuid database, unsigned *n_bad_out, struct ochre_error *err);

#endif /* OCH_STORAGE_WAL_REACH_H */
