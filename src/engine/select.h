/*
 * select.h - which records a read or delete is about: ids, filter, or both.
 *
 * Threads: a selection may be used by many, but not changed meanwhile.
 */
#ifndef OCH_ENGINE_SELECT_H
#define OCH_ENGINE_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bitset.h"
#include "base/compiler.h"
#include "engine/snapshot.h"
#include "ochre/status.h"
#include "ochre/types.h"
#include "segment/filter.h"

struct och_arena;
struct och_mem;

struct och_select {
    struct och_mem *mem;      /* pays for the sets of rows */
    struct och_filter filter; /* compiled; owned by the caller */
    bool has_ids;             /* only these: */
    const struct ochre_bytes *ids;
    size_t n_ids;
};

/* The rows of one source that a selection takes. */
struct och_selected {
    bool all; /* every row of the source; `set` is empty */
    struct och_bitset set;
};

/*
 * Evaluate over all sources of a snapshot: rows_out has n_sources entries in
 * the arena, whose sets are given back by och_selected_clear.  *missing_out, unless
 * NULL, is the first id that the snapshot does not show, data NULL if none.
 */
OCH_MUST_CHECK ochre_status och_select_rows(const struct och_snapshot *snapshot,
        const struct och_select *select, struct och_arena *arena, struct och_selected **rows_out,
        struct ochre_bytes *missing_out, struct ochre_error *err);

void och_selected_clear(struct och_selected *rows, uint32_t n_sources); /* NULL is fine */

/* How many rows of the source these are. */
uint64_t och_selected_count(const struct och_selected *rows, const struct och_source *source);

/* The first `limit` selected ids in insertion order; they point into the
 * snapshot, or are copied to the arena with it. */
OCH_MUST_CHECK ochre_status och_select_ids(const struct och_snapshot *snapshot,
        const struct och_select *select, uint64_t limit, struct och_arena *arena,
        struct ochre_bytes **ids_out, size_t *n_out, struct ochre_error *err);

/*
 * Walks selected rows in insertion order across sources.  A small merge: each
 * source is a sorted run, by row, or for a head that is out of order by a list.
 */
struct och_walk_run {
    uint32_t source;
    uint32_t row;     /* the next one, or OCH_ROW_NONE */
    uint64_t ordinal; /* its place; UINT64_MAX at the end */
    uint32_t *sorted; /* a head out of order: its rows by ordinal, in the arena */
    uint32_t n_sorted;
    uint32_t next;           /* where to look for what follows: a row, or a place in sorted */
    uint32_t low, high, cut; /* while skipping, of the same kind */
};

struct och_walk {
    const struct och_snapshot *snapshot;
    const struct och_selected *rows;
    struct och_walk_run *runs; /* in the arena */
    uint32_t n_runs;
    struct och_walk_run *current; /* the run with the lowest ordinal, up to this one: */
    uint64_t turn;
};

OCH_MUST_CHECK ochre_status och_walk_begin(struct och_walk *walk,
        const struct och_snapshot *snapshot, const struct och_selected *rows,
        struct och_arena *arena, struct ochre_error *err);

/*
 * Pass over the next `n` rows, or all there are.
 *
 * Cost: that of counting rows in a set of bits, or where all are selected of some
 * tens of searches in each source; not of walking them.
 */
void och_walk_skip(struct och_walk *walk, uint64_t n);

/* Pass over all rows up to this ordinal.  Cost: a search in each source. */
void och_walk_seek(struct och_walk *walk, uint64_t ordinal);

/* The next row; false at the end. */
bool och_walk_next(struct och_walk *walk, uint32_t *source_out, uint32_t *row_out);

/* How many rows are still to come. */
uint64_t och_walk_left(struct och_walk *walk);

#endif /* OCH_ENGINE_SELECT_H */
