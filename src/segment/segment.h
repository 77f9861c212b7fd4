/*
 * segment.h - a sealed file of rows, open for reading.
 *
 * The file is mapped; its bytes are used in place.  Before a page is touched
 * for the first time it is read through the file seam and its checksum
 * verified, so that a bad disk is an answer and not a signal; a read that fails is
 * tried once more, with a fresh descriptor.  Callers name the
 * columns they are about to use (och_segment_load) and may then use the plain
 * accessors without a check.
 *
 * A sealed row never changes, but it may die: by a delete or an update that
 * lives in a newer segment or the head.  As in a head, a row carries the log
 * position at which it died.  These marks are in memory; the ones of sealed
 * history are read from the segment's delete file (segment/deletes.h).
 *
 * Threads: any number of readers.  Marks are set by one writer at a time and
 * are atomic.
 */
#ifndef OCH_SEGMENT_SEGMENT_H
#define OCH_SEGMENT_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bitset.h"
#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"
#include "ochre/types.h"
#include "os/thread.h"
#include "segment/layout.h"

struct och_columns;
struct och_file;
struct och_kernels;
struct och_marks;
struct och_mem;
struct och_segment_vectors;
struct och_vector_index;
struct och_vfs;

/* Columns, to name what is going to be used. */
enum {
    OCH_COLUMN_VECTORS = 1u << 0, /* and norms */
    OCH_COLUMN_IDS = 1u << 1,
    OCH_COLUMN_DOCUMENTS = 1u << 2,
    OCH_COLUMN_URIS = 1u << 3,
    OCH_COLUMN_FIELDS = 1u << 4,
    OCH_COLUMN_ORDINALS = 1u << 5
};

struct och_section {
    uint64_t offset, size;
};

struct och_segment {
    struct och_mem *mem; /* borrowed */
    struct och_vfs *vfs; /* borrowed: to read once more what could not be read */
    atomic_uint n_owners;
    struct och_uuid collection;
    uint64_t id;
    uint64_t position; /* the log position it was sealed at */
    uint32_t n_rows, dim;
    ochre_space space;
    struct och_file *file; /* owned */
    uint64_t file_size;
    uint64_t root_offset; /* the end of the pages */
    uint64_t footer_hash;
    const char *map;                                /* the whole file */
    struct och_section sections[OCH_SECTION_KINDS]; /* offset 0: it has none */
    uint64_t *page_hashes;                          /* owned: of [n_pages] */
    _Atomic(uint64_t) *verified;                    /* owned: a bit for each page */
    uint32_t n_pages;
    _Atomic(struct och_marks *) *marks; /* owned: pages of positions of death */
    atomic_uint n_dead;
    _Atomic(uint64_t) newest_death;                /* no row died at a later position */
    _Atomic(struct och_columns *) columns;         /* owned: the index of metadata, once opened */
    atomic_bool columns_failed;                    /* it is damaged: do without */
    struct och_mutex vectors_lock;                 /* held while that is opened, or warmed */
    _Atomic(struct och_segment_vectors *) vectors; /* owned: once opened */
    atomic_bool vectors_whole;                     /* nothing of it is still to be read */
    atomic_bool vectors_failed;                    /* it is damaged: do without */
    _Atomic(uint64_t *) id_table;                  /* owned: made anew, the file's is damaged */
    atomic_bool worn;                              /* something derived could not be used */
    uint64_t deletes_id;                           /* the newest delete file; 0: none */
    uint32_t n_dead_stored;                        /* deaths that file holds */
    atomic_bool damaged;                           /* it could not be read to be merged */
    bool is_complete;                              /* written with all indexes that it can have */
    uint64_t filter_id; /* the committer's: of the id filter that has all its ids; 0: none */
};

/* Where a segment's file lies: seg/<collection>/<id>.seg */
void och_segment_path(char *path, size_t size, struct och_uuid collection, uint64_t id);

/*
 * Open a segment.  Its footer and root are read and verified; the cost does not
 * depend on the number of rows, but for 8 bytes a 64 KiB page.  The caller
 * compares footer_hash and n_rows with what the catalog says.
 *
 * Errors: OCHRE_CORRUPT, OCHRE_IO, OCHRE_NO_MEMORY; OCHRE_CORRUPT when the file
 * is missing.
 */
OCH_MUST_CHECK ochre_status och_segment_open(struct och_mem *mem, struct och_vfs *vfs,
        struct och_uuid collection, uint64_t id, struct och_segment **segment_out,
        struct ochre_error *err);

struct och_segment *och_segment_retain(struct och_segment *segment);
void och_segment_release(struct och_segment *segment); /* NULL is fine */

/* Make whole columns safe to touch. */
OCH_MUST_CHECK ochre_status och_segment_load(
        struct och_segment *segment, unsigned columns, struct ochre_error *err);

/* Ask for the memory that och_segment_load_rows looks at for a row's texts, without
 * waiting for it; what is not in memory is not read. */
void och_segment_prefetch_row(const struct och_segment *segment, uint32_t row, unsigned columns);

/* Make columns of rows row .. row + n - 1 safe to touch.  Cheap when they are. */
OCH_MUST_CHECK ochre_status och_segment_load_rows(struct och_segment *segment, uint32_t row,
        uint32_t n, unsigned columns, struct ochre_error *err);

/* Read and verify every byte (`ochre check`). */
OCH_MUST_CHECK ochre_status och_segment_verify(
        struct och_segment *segment, struct ochre_error *err);

/* Is what it has of the records whole?  Then what och_segment_verify did not like is made
 * of them, and can be again. */
OCH_MUST_CHECK bool och_segment_is_whole(struct och_segment *segment);

/* Something that is made of the records is damaged on the disk: have the file written anew. */
void och_segment_wear(struct och_segment *segment);

/* Accessors, for columns that were loaded. */
struct ochre_bytes och_segment_id(const struct och_segment *segment, uint32_t row);
struct ochre_bytes och_segment_document(const struct och_segment *segment, uint32_t row);
struct ochre_bytes och_segment_uri(const struct och_segment *segment, uint32_t row);
struct ochre_bytes och_segment_fields(const struct och_segment *segment, uint32_t row);
const float *och_segment_vectors(const struct och_segment *segment); /* [n][dim] */
const float *och_segment_norms(const struct och_segment *segment);   /* [n] */
const uint64_t *och_segment_ordinals(const struct och_segment *segment);

/*
 * A derived section (kind OCH_SECTION_DERIVED or above), read and verified;
 * *bytes_out is NULL when the file has none.  The bytes stay as long as the
 * segment.
 *
 * Errors: OCHRE_CORRUPT, OCHRE_IO, OCHRE_NO_MEMORY: do without it.
 */
OCH_MUST_CHECK ochre_status och_segment_section(struct och_segment *segment, unsigned kind,
        const void **bytes_out, uint64_t *size_out, struct ochre_error *err);

/*
 * The same for sections of which not all is needed: where it lies, without reading it;
 * part of it made safe to touch there; part of it read into memory of the caller's, and
 * verified there.  `offset` and `size` lie within the section.
 *
 * Errors: as och_segment_section.
 * Cost:   touching what was touched before: a look at a bit.  Reading reads, and whole
 *         pages at that: let it be many of them.
 */
void och_segment_find_section(const struct och_segment *segment, unsigned kind,
        const void **bytes_out, uint64_t *size_out);
OCH_MUST_CHECK ochre_status och_segment_touch_section(struct och_segment *segment, unsigned kind,
        uint64_t offset, uint64_t size, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_segment_read_section(struct och_segment *segment, unsigned kind,
        uint64_t offset, void *to, size_t size, struct ochre_error *err);

/*
 * The index of the segment's metadata, opened when it is first asked for; NULL:
 * the file has none, or it is damaged or cannot be read now, and the metadata itself
 * is the answer.  The index reads and verifies what it needs; when that fails, say
 * with what (OCHRE_CORRUPT: for good).
 *
 * Errors: OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_segment_columns(struct och_segment *segment,
        const struct och_columns **columns_out, struct ochre_error *err);
void och_segment_fail_columns(struct och_segment *segment, ochre_status status);

/*
 * Was something that is derived from the rows damaged or unreadable when it was
 * wanted?  Answers are right without it, but cost more: the segment is better
 * written anew.
 */
bool och_segment_is_worn(const struct och_segment *segment);

/* The row with this id, or OCH_ROW_NONE.  Loads what it needs.  Where the file's
 * table of ids is damaged or unreadable, one is made of the ids, once: 8 to 16 bytes
 * a row. */
OCH_MUST_CHECK ochre_status och_segment_find(struct och_segment *segment, struct ochre_bytes id,
        uint32_t *row_out, struct ochre_error *err);

/* Call visit for the hash (id_table.h) of each row's id, dead ones too, in any order.
 * Errors: as reading the table: OCHRE_CORRUPT, OCHRE_IO, OCHRE_NO_MEMORY. */
OCH_MUST_CHECK ochre_status och_segment_hashes(struct och_segment *segment,
        void (*visit)(void *context, uint32_t hash), void *context, struct ochre_error *err);

/* An id with this hash (id_table.h) will be looked for soon: ask memory for its slot. */
void och_segment_prefetch_id(const struct och_segment *segment, uint32_t hash);

/* Does the file have an index of its vectors, and one with links at that? */
bool och_segment_has_index(const struct och_segment *segment);
bool och_segment_has_graph(const struct och_segment *segment);

/*
 * The index of the file's vectors, opened now if it was not; NULL: there is none,
 * or it is damaged, or cannot be read now: do without.  It stays as long as the
 * segment.  A search of it reads and verifies what it needs; when that fails
 * (och_vector_work.is_unreadable), say with what (OCHRE_CORRUPT: for good).
 */
const struct och_vector_index *och_segment_index(
        struct och_segment *segment, const struct och_kernels *kernels);
void och_segment_fail_index(struct och_segment *segment, ochre_status status);

/* Was it opened, but is not whole: do searches still have to see to what they read? */
bool och_segment_is_cold(const struct och_segment *segment);

/*
 * Read and verify the next part of the index, some `size_max` bytes; the last one makes it
 * whole: from then on searches find it in memory, where there was room, or in verified
 * pages.  Opens it, if need be.  *done_out: there is no more to do.
 *
 * Errors:  OCHRE_CORRUPT: do without it, for good; OCHRE_IO and OCHRE_NO_MEMORY: it goes
 *          on from here when it is asked to again.
 * Threads: several may call it: they take turns.  Searches go on beside it.
 */
OCH_MUST_CHECK ochre_status och_segment_warm(struct och_segment *segment,
        const struct och_kernels *kernels, uint64_t size_max, bool *done_out);

/* The index, made whole first; NULL as above. */
const struct och_vector_index *och_segment_whole_index(
        struct och_segment *segment, const struct och_kernels *kernels);

void och_segment_close_index(struct och_segment *segment); /* och_segment_release's */

/* --- deaths ------------------------------------------------------------------ */

uint64_t och_segment_dead(const struct och_segment *segment, uint32_t row);

/* Make room for a mark, so that marking cannot fail. */
OCH_MUST_CHECK ochre_status och_segment_reserve_mark(struct och_segment *segment, uint32_t row);
void och_segment_kill(struct och_segment *segment, uint32_t row, uint64_t position);
void och_segment_undo_kill(struct och_segment *segment, uint32_t row);

/* The first row from `from` on that has died, at whatever position, or
 * OCH_ROW_NONE.  Cheap where nothing has. */
uint32_t och_segment_next_dead(const struct och_segment *segment, uint32_t from);

/*
 * Put the rows that are dead at `position` into the empty set `rows`.
 *
 * Cost: a bit a row; more only when rows died later than that.
 */
OCH_MUST_CHECK ochre_status och_segment_dead_rows(
        const struct och_segment *segment, uint64_t position, struct och_bitset *rows);

/* How many rows these are. */
uint32_t och_segment_count_dead(const struct och_segment *segment, uint64_t position);

/* Has any row died, at whatever position? */
static inline bool
och_segment_has_dead(const struct och_segment *segment)
{
    return atomic_load_explicit(&segment->n_dead, memory_order_acquire) != 0;
}

#endif /* OCH_SEGMENT_SEGMENT_H */
