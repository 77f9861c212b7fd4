/*
 * wal.h - the write-ahead log: what was promised, in order.
 *
 * A directory "log" of files, each a header page and then groups.  A group is
 * what one sync made durable: one or more records, begun at a 4 KiB boundary,
 * so that a sector that was synced is never changed again.  (Recovery writes the
 * last group once more, with the same bytes: its sync may never have happened.)
 *
 *      0000000000000007.log
 *      +---------+--------------------+----------+------------------+------
 *      | header  | record | record |..| record |.| record ..        | zero
 *      | 4 KiB   |<-- group, 4 KiB aligned ---->|<-- next group --->|
 *      +---------+--------------------+----------+------------------+------
 *
 *      record  u32 header_crc | u32 payload_crc | u64 lsn | u64 position |
 *              u64 synced_lsn | u32 collection | u32 payload_size |
 *              u16 type | u16 flags | u32 zero | payload | zero to 8
 *
 * header_crc is CRC-32C over the file's random salt and the header from byte 4
 * on; payload_crc over the payload.  LSNs are dense.  synced_lsn is the last
 * LSN that was durable when the record was written: it tells a torn tail (cut)
 * from damage (reported).
 *
 * Files are allocated and zero-filled before use, so that a sync changes no
 * metadata; they are never reused.  An opening gives the space behind the last record of
 * the newest one back, but for a page of zeros: a file that is shorter than its header
 * says, and has none, was cut by somebody else.  A file's header is durable before its
 * first group.  After a failed write or sync the file is abandoned: the next
 * append begins a new file, whose first LSN overrides what the old one may
 * hold from there on.
 *
 * docs/formats/log.md is normative.
 *
 * Threads: one thread at a time, except och_wal_prepare, which any other thread
 * may run beside the rest.
 */
#ifndef OCH_STORAGE_WAL_H
#define OCH_STORAGE_WAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"
#include "storage/log_record.h"

struct och_machine;
struct och_buf;
struct och_mem;
struct och_vfs;
struct och_wal;

struct och_wal_options {
    struct och_mem *mem;
    struct och_vfs *vfs;
    const struct och_machine *machine;
    struct och_uuid database; /* stands in every file */
    uint64_t lsn_min;         /* the log must reach this LSN: what the catalog knows */
    uint64_t lsn_first;       /* of a log without files; 0: it begins at 1 */
    bool read_only;           /* check: change nothing, append never */
    uint64_t first_number;    /* with it: files below are passed over, damaged or not */
    /* What is appended is durable after och_wal_sync_files only: for who lets nobody have what
     * he makes before that, and begins anew after a crash. */
    bool defers_syncs;
    /* Keep a table of how far each collection's records reach (wal_reach.h), once
     * och_wal_begin_reach was called. */
    bool keeps_reach;
    /* Go on behind what is damaged, if that table tells what each collection misses: who
     * opens the log so has to ask (och_wal_lacks). */
    bool passes_holes;
};

/*
 * Recover the log in `vfs`: visit every durable record, cut a torn tail, and
 * make ready to append.
 *
 * Errors: OCHRE_CORRUPT when durable records are missing or a header among them
 *         is damaged, unless holes are passed over; the message names the file, the LSN
 *         and `ochre repair`.
 */
OCH_MUST_CHECK ochre_status och_wal_open(const struct och_wal_options *options, och_log_visit visit,
        void *context, struct och_wal **wal_out, struct ochre_error *err);

/* Are records missing that were passed over, now or by an earlier opening? */
bool och_wal_has_holes(const struct och_wal *wal);

/* May records of this collection behind the one with this LSN, its last one that was read or
 * is in its segments, be among those that are missing?  True is kept in the table, for those
 * who open the log later. */
bool och_wal_lacks(struct och_wal *wal, uint32_t collection, uint64_t lsn);

/*
 * What the log holds was taken: begin a table of it, before anything is appended.
 *
 * Errors: OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY, and then the log goes on without one, which
 *         is no loss until it is damaged.  One with holes cannot be told then: give it up.
 */
OCH_MUST_CHECK ochre_status och_wal_begin_reach(struct och_wal *wal, struct ochre_error *err);

/* Note what has not written since the last call, or everything, as being at rest, and how far
 * the log has come.  True: there is something that was written to since.  Cost: a write and a
 * sync, if anything was written. */
bool och_wal_rest(struct och_wal *wal, bool all);

/* The table as it would be written now, for a copy of the files that och_wal_each_file visits as
 * they are now; nothing where none is meant to be kept. */
void och_wal_put_reach(const struct och_wal *wal, struct och_buf *out);

/* The database whose log lies here, as the headers of all its files say that can be
 * read; false when none can, or they do not agree. */
bool och_wal_find_database(struct och_vfs *vfs, struct och_uuid *database_out);

/* Make all files of a log durable that was written with defers_syncs, and is closed. */
OCH_MUST_CHECK ochre_status och_wal_sync_files(struct och_vfs *vfs, struct ochre_error *err);

/* Close without syncing: appended records are durable already.  NULL is fine. */
void och_wal_close(struct och_wal *wal);

/*
 * Append n records as one group; they are durable when this returns OCHRE_OK,
 * and their LSNs are set.  On an error none of them counts; a crash right after
 * may still bring them back.
 *
 * Cost: one write and one sync, plus making a file now and then.
 */
OCH_MUST_CHECK ochre_status och_wal_append(
        struct och_wal *wal, struct och_log_record *records, size_t n, struct ochre_error *err);

/* Have the next append begin a file, however much room the current one has; once it
 * has, that one can be trimmed.  What was appended stays durable. */
void och_wal_roll(struct och_wal *wal);

/* Is there no file prepared for when the current one is full? */
bool och_wal_wants_prepare(const struct och_wal *wal);

/* Prepare the next file: allocate, zero, sync. */
OCH_MUST_CHECK ochre_status och_wal_prepare(struct och_wal *wal, struct ochre_error *err);

/* Delete the files that hold only records below `lsn`; never the current one. */
OCH_MUST_CHECK ochre_status och_wal_trim(
        struct och_wal *wal, uint64_t lsn, struct ochre_error *err);

/* Would trimming below `lsn` delete anything? */
bool och_wal_can_trim(const struct och_wal *wal, uint64_t lsn);

/* The first LSN of the oldest file, and of the next record. */
uint64_t och_wal_oldest_lsn(const struct och_wal *wal);
uint64_t och_wal_next_lsn(const struct och_wal *wal);

/* Bytes that records take in all files. */
uint64_t och_wal_size(const struct och_wal *wal);

/* Visit the files that hold records, the oldest first, with the bytes of each that are
 * header and groups: copies of so much of each, of the size below, are the log as it is
 * now.  Ends with the first status that is not OCHRE_OK. */
typedef ochre_status (*och_wal_visit_file)(void *context, uint64_t number, uint64_t size);
OCH_MUST_CHECK ochre_status och_wal_each_file(
        const struct och_wal *wal, och_wal_visit_file visit, void *context);

/* The size of a copy of a file that has `file_size` bytes and was visited with `used`:
 * what is behind those is zeros.  Without any it would look cut. */
uint64_t och_wal_copy_size(uint64_t used, uint64_t file_size);

struct och_log_stats och_wal_stats(const struct och_wal *wal);

#endif /* OCH_STORAGE_WAL_H */
