/*
 * wal_internal.h - what the log's writer and reader share.
 */
#ifndef OCH_STORAGE_WAL_INTERNAL_H
#define OCH_STORAGE_WAL_INTERNAL_H

#include <stdatomic.h>

#include "os/thread.h"
#include "os/vfs.h"
#include "storage/wal.h"
#include "storage/wal_reach.h"

#define WAL_DIR "log"
#define WAL_PAGE ((uint64_t) 4096)
#define WAL_FRAME_SIZE ((size_t) 48)
#define WAL_HEADER_COPY_AT ((size_t) 2048)
#define WAL_FLAG_LAST_IN_GROUP 1u
#define WAL_PATH_SIZE 32
#define WAL_VERSION 1u
#define WAL_NEVER_BEGUN UINT64_C(0) /* as a file's first LSN: nothing is in it */
#define WAL_SUFFIX ".log"
#define WAL_SUFFIX_TMP ".tmp" /* being filled with zeros */

/* The header of a record, decoded. */
struct wal_frame {
    uint64_t lsn, position, synced_lsn;
    uint32_t collection, payload_size, payload_crc;
    uint16_t type, flags;
};

/* The header of a file, decoded. */
struct wal_header {
    struct och_uuid database;
    uint64_t number, first_lsn, salt;
    uint64_t full_size;   /* of the whole file; 0: it was made before headers said it */
    uint64_t reach_nonce; /* of the table that was kept beside it; 0: none was */
    uint32_t version;     /* another one than WAL_VERSION: nothing else is known */
};

/* A file of the log that may still hold needed records. */
struct wal_file {
    struct wal_file *next; /* newer */
    uint64_t number;
    uint64_t first_lsn;
    uint64_t used;   /* bytes of header and groups */
    uint64_t salt;   /* 0: nobody knows */
    bool is_removed; /* perhaps not durably yet */
    bool is_missing; /* somebody else did that */
};

struct och_wal {
    struct och_wal_options options;
    struct wal_file *oldest, *newest; /* owned; newest is the current one, if open */
    struct och_file *file;            /* owned: the current file; NULL: none usable */
    uint64_t file_size;               /* allocated */
    uint64_t file_used;
    uint64_t file_salt;
    uint64_t newest_number, newest_salt; /* of the newest file that was read or begun */
    uint64_t next_lsn;
    uint64_t next_number;
    uint64_t next_size;      /* of the next file to prepare */
    struct wal_reach *reach; /* owned; NULL: no table is kept */
    struct wal_hole *holes;  /* owned: what was passed over, ascending */
    size_t n_holes, holes_room;
    uint64_t seen_lsn;     /* behind all records that were seen, whether they count or not */
    bool is_end_doubted;   /* the newest file's last group does not count (wal_read.c) */
    bool is_rolled;        /* the current file was given up before it was full */
    bool says_none;        /* the newest file: a table that lies here does not count */
    unsigned n_looks_left; /* until a table is tried again, */
    unsigned n_looks;      /* so many more after the next failure */
    char *buffer;          /* owned: a group being put together */
    size_t buffer_size;
    struct och_log_stats stats;

    struct och_mutex lock; /* guards what a preparing thread hands over */
    struct och_file *prepared OCH_GUARDED_BY(lock);
    uint64_t prepared_number OCH_GUARDED_BY(lock);
    uint64_t prepared_size OCH_GUARDED_BY(lock);
    bool preparing OCH_GUARDED_BY(lock);
};

/* A file being scanned: its bytes through a window that grows to a record. */
struct wal_scan {
    struct och_mem *mem;   /* borrowed */
    struct och_file *file; /* owned */
    uint64_t file_size;
    uint64_t full_size; /* as the header has it, if whoever opened it knows */
    uint64_t salt;
    char *window;       /* owned */
    size_t window_size; /* allocated */
    uint64_t window_at; /* file offset of window[0] */
    size_t window_used;
};

#define WAL_WINDOW_MIN ((size_t) 256 * 1024)

OCH_MUST_CHECK ochre_status och_wal_scan_open(struct wal_scan *scan,
        const struct och_wal_options *options, uint64_t number, uint64_t salt, unsigned flags,
        struct ochre_error *err);
void och_wal_scan_close(struct wal_scan *scan); /* one that is not open is fine */

/* `size` bytes at `offset`, valid until the next call. */
OCH_MUST_CHECK ochre_status och_wal_fetch(struct wal_scan *scan, uint64_t offset, size_t size,
        const char **bytes_out, struct ochre_error *err);

/* The record at `offset`, if a whole frame of this file stands there; *cut_out says
 * that there was one, and that the file ends before it does. */
OCH_MUST_CHECK ochre_status och_wal_read_frame(struct wal_scan *scan, uint64_t offset,
        bool *valid_out, bool *cut_out, struct wal_frame *frame, struct ochre_error *err);

/* The highest synced LSN that any group from `offset` on knows of. */
OCH_MUST_CHECK ochre_status och_wal_synced_after(
        struct wal_scan *scan, uint64_t offset, uint64_t *lsn_out, struct ochre_error *err);

/*
 * Has somebody cut the file, of which the last record ends at `offset`?  It has its size
 * before there is anything in it, and what takes off space leaves a page of zeros: groups
 * follow one another, so behind a page that none has reached there was nothing.
 */
OCH_MUST_CHECK ochre_status och_wal_is_cut(
        struct wal_scan *scan, uint64_t offset, bool *cut_out, struct ochre_error *err);

/* Nothing but zeros from `at` on, and no end before it? */
OCH_MUST_CHECK ochre_status och_wal_rest_is_zero(
        struct wal_scan *scan, uint64_t at, bool *zero_out, struct ochre_error *err);

/* A file of the log, as the opening finds it. */
struct wal_found {
    uint64_t number;
    uint64_t first_lsn;
    uint64_t salt;
    uint64_t full_size;
    uint64_t reach_nonce;
    uint64_t file_size;
    bool unused; /* prepared, never begun */
    bool half_made;
    bool is_zero;    /* altogether: an earlier build's was prepared so */
    bool is_lost;    /* its header is damaged, or it */
    bool is_missing; /* is not there */
};

/* Where a file ends, as far as others say. */
struct wal_end {
    uint64_t lsn;     /* the next file begins here; UINT64_MAX: there is none */
    uint64_t lsn_min; /* when there is none: the log must reach this LSN */
    bool is_next;     /* that file was made right after this one */
    bool is_lost;     /* between the two there is one that cannot be read */
};

/* Visit one file's records up to that end, note holes if they are passed over, and enter
 * the file into the list. */
OCH_MUST_CHECK ochre_status och_wal_recover_file(struct och_wal *wal, const struct wal_found *found,
        const struct wal_end *end, och_log_visit visit, void *context, struct ochre_error *err);

OCH_MUST_CHECK ochre_status och_wal_add_hole(
        struct och_wal *wal, uint64_t from, uint64_t to, struct ochre_error *err);

/* OCHRE_CORRUPT, naming the file and the record. */
OCH_MUST_CHECK ochre_status och_wal_fail_damaged(
        uint64_t number, uint64_t lsn, struct ochre_error *err);

void och_wal_path(char path[WAL_PATH_SIZE], uint64_t number, const char *suffix);
bool och_wal_path_number(const char *name, const char *suffix, uint64_t *number_out);

void och_wal_frame_put(char bytes[WAL_FRAME_SIZE], const struct wal_frame *frame, uint64_t salt);
/* False when the bytes are not a frame of a file with this salt. */
bool och_wal_frame_get(const char *bytes, uint64_t salt, struct wal_frame *frame_out);
/* Bytes a record takes, padding included. */
uint64_t och_wal_record_size(uint64_t payload_size);

void och_wal_header_put(char page[WAL_PAGE], const struct wal_header *header);
/* False when neither copy in the page is whole; of another version nothing but that is told.
 * A copy may be whole without its full size: then the other one's counts. */
bool och_wal_header_get(const char page[WAL_PAGE], struct wal_header *header_out);

/* Remember a file at the newer end of the list. */
ochre_status och_wal_add_file(
        struct och_wal *wal, uint64_t number, uint64_t first_lsn, uint64_t used);

#endif /* OCH_STORAGE_WAL_INTERNAL_H */
