/*
 * head.h - the growing end of a collection: the rows that are not in a file yet.
 *
 * Rows are appended and never moved or changed, so readers need no lock: they
 * look at the rows that were there when they pinned their snapshot.  Which of
 * these they see is decided by two log positions per row:
 *
 *      born <= snapshot position < dead          (dead is "never" while it lives)
 *
 * An update appends a complete new version and marks the old one dead at the
 * same position.  Everything a record of the log changes carries its position,
 * and readers see the position only once it is published; until then it can be
 * undone, newest first (och_head_undo_*).
 *
 *      chunk 0: 64 rows | chunk 1: 128 | chunk 2: 256 | ...      rows never move
 *      a chunk: vectors [n][dim] | codes | texts | ordinals | born | dead | previous | norms
 *
 * Threads: one writer; readers concurrently, for rows below a count they were
 * given through a lock, and for `dead` at any time (it is atomic).  The id map
 * (och_head_find) is the writer's alone unless the caller locks.
 */
#ifndef OCH_SEGMENT_HEAD_H
#define OCH_SEGMENT_HEAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bitset.h"
#include "base/compiler.h"
#include "index/vector/tail.h"
#include "ochre/status.h"
#include "ochre/types.h"
#include "segment/layout.h"

struct och_mem;

enum { OCH_HEAD_CHUNKS_MAX = 24, OCH_HEAD_CHUNK_ROWS = 64 };

/* A row's variable parts; they point into the head's arena. */
struct och_row_texts {
    struct ochre_bytes id, document, uri, fields; /* data NULL: absent, but for the id */
};

struct och_head_chunk {
    float *vectors; /* [rows][dim], 64-byte aligned */
    float *norms;
    uint64_t *ordinals;
    uint64_t *born;
    _Atomic(uint64_t) *dead;
    uint32_t *previous; /* the row that held the same id before, in this head */
    struct och_row_texts *texts;
    struct och_tail tail; /* codes of the vectors */
};

struct och_head {
    struct och_mem *mem; /* borrowed */
    atomic_uint n_owners;
    uint32_t dim;
    uint32_t n_rows;      /* the writer's count */
    atomic_uint n_dead;   /* rows marked dead at any position */
    atomic_bool in_order; /* ordinals ascend with rows */
    struct och_head_chunk chunks[OCH_HEAD_CHUNKS_MAX];
    size_t chunk_bytes[OCH_HEAD_CHUNKS_MAX]; /* of each chunk's one block */
    struct och_arena texts;                  /* owned: ids, documents, uris, metadata */
    size_t bytes;                            /* what the rows take, for deciding when to seal */
    uint32_t *slots;                         /* owned: id map, open addressing; row + 1, 0: empty */
    uint32_t *hashes;                        /* owned: of the ids in slots */
    uint32_t n_slots;                        /* a power of two */
    uint32_t n_used;
    uint64_t first_lsn; /* of the oldest log record in it; 0: none */
};

/* A new row, before it is appended.  All is copied. */
struct och_head_insert {
    uint64_t ordinal;
    uint64_t position;
    const float *vector; /* [dim] */
    float norm;
    struct och_row_texts texts;
};

OCH_MUST_CHECK ochre_status och_head_make(
        struct och_mem *mem, uint32_t dim, struct och_head **head_out);
struct och_head *och_head_retain(struct och_head *head);
void och_head_release(struct och_head *head); /* NULL is fine */

/* The newest row with this id, dead or alive, or OCH_ROW_NONE. */
uint32_t och_head_find(const struct och_head *head, struct ochre_bytes id);

/* Append a row and let the id map point to it.  Its chunk, texts and slot are
 * all there before anything changes. */
OCH_MUST_CHECK ochre_status och_head_append(
        struct och_head *head, const struct och_head_insert *insert);

/* Take back the newest row (it was appended last and nobody has seen it), and
 * its texts: `mark` is where head->texts stood before it. */
void och_head_undo_append(struct och_head *head, const struct och_arena_mark *mark);

/* Is nothing in it alive?  Its rows are there for snapshots of the past alone. */
bool och_head_is_dead(const struct och_head *head);

void och_head_kill(struct och_head *head, uint32_t row, uint64_t position);
void och_head_undo_kill(struct och_head *head, uint32_t row);

/* Where a row lives. */
static inline unsigned
och_head_chunk_of(uint32_t row, uint32_t *index_out)
{
    /* Chunk c begins at row 64 * (2^c - 1). */
    uint32_t unit = row / OCH_HEAD_CHUNK_ROWS + 1;
    unsigned chunk = 31u - (unsigned) __builtin_clz(unit);
    *index_out = row - OCH_HEAD_CHUNK_ROWS * ((1u << chunk) - 1u);
    return chunk;
}

static inline uint32_t
och_head_chunk_rows(unsigned chunk)
{
    return (uint32_t) OCH_HEAD_CHUNK_ROWS << chunk;
}

uint64_t och_head_ordinal(const struct och_head *head, uint32_t row);
uint64_t och_head_dead(const struct och_head *head, uint32_t row);
const struct och_row_texts *och_head_texts(const struct och_head *head, uint32_t row);
const float *och_head_vector(const struct och_head *head, uint32_t row, float *norm_out);

/* How many of the first `n_rows` rows a snapshot at `position` can see, dead or not: they were
 * born in order. */
uint32_t och_head_rows_at(const struct och_head *head, uint32_t n_rows, uint64_t position);

/* Is the row in a snapshot at `position`? */
bool och_head_is_visible(const struct och_head *head, uint32_t row, uint64_t position);

/* The version of an id that a snapshot at `position` sees, beginning at the
 * newest row `row`; OCH_ROW_NONE when it sees none.  Stops at rows >= n_rows. */
uint32_t och_head_version(
        const struct och_head *head, uint32_t row, uint32_t n_rows, uint64_t position);

/* Put the visible rows below n_rows into the empty set `rows`. */
OCH_MUST_CHECK ochre_status och_head_visible(
        const struct och_head *head, uint32_t n_rows, uint64_t position, struct och_bitset *rows);

#endif /* OCH_SEGMENT_HEAD_H */
