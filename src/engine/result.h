/*
 * result.h - what a read answers: lists of hits that point into a snapshot.
 *
 * A result keeps its snapshot pinned, so documents and vectors are not copied:
 * they lie in the segment's map or the head's memory until the result is
 * released.
 *
 * Threads: one at a time.
 */
#ifndef OCH_ENGINE_RESULT_H
#define OCH_ENGINE_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/mem.h"
#include "engine/select.h"
#include "engine/snapshot.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_result {
    struct och_mem *mem;    /* borrowed: paid for this struct */
    struct och_mem account; /* of everything below: at most OCH_RESULT_MEMORY_MAX */
    struct och_arena arena; /* owned */
    struct och_snapshot snapshot;
    unsigned include; /* OCHRE_INCLUDE_* */
    uint32_t dim;
    size_t n_lists;
    struct och_hits {
        struct ochre_hit *hits;
        size_t n;
    } * lists;
    struct ochre_explain *explains; /* [n_lists]; NULL unless the query asked */
    /* Of a page: is there another, and behind which ordinal?  And what the api makes of it
     * (api/cursor.h), in the arena. */
    bool has_more;
    uint64_t last_ordinal;
    struct ochre_bytes cursor;
};

/* An empty result over the collection's present state, or that at *as_of; release it. */
OCH_MUST_CHECK ochre_status och_result_begin(struct och_mem *mem, struct och_collection *collection,
        const uint64_t *as_of, unsigned include, struct och_result **result_out,
        struct ochre_error *err);

void och_result_release(struct och_result *result); /* NULL is fine */

/* Where a record lies: a row of one of the snapshot's sources. */
struct och_source_row {
    uint32_t source, row;
};

/*
 * Fill in the columns the result includes, but for the distance.  Rows lie anywhere
 * in their files, so what is needed of several is asked for at a time.
 */
enum { OCH_HYDRATE_BATCH = 16 };
OCH_MUST_CHECK ochre_status och_result_hydrate(struct och_result *result,
        const struct och_source_row *places, size_t n, struct ochre_hit *hits_out,
        struct ochre_error *err);

/* --- reads ------------------------------------------------------------------- */

struct och_get {
    struct och_select select;
    uint64_t offset, limit; /* UINT64_MAX: no limit */
    unsigned include;
    const uint64_t *as_of; /* NULL: now */
    bool pages;            /* say whether there are more, and keep the position for them */
    const uint64_t *after; /* only ordinals above this; NULL: from the beginning */
};

/*
 * The selected records in insertion order: one list.
 *
 * Errors: OCHRE_STALE  *as_of cannot be read any more, or not yet
 * Cost:   of records that come before the offset, or up to `after`: none but the filter's.
 */
OCH_MUST_CHECK ochre_status och_engine_get(struct och_mem *mem, struct och_collection *collection,
        const struct och_get *get, struct och_result **result_out, struct ochre_error *err);

struct och_query {
    struct och_select select;
    const float *queries; /* [n_queries][dim], row-major */
    size_t n_queries;
    size_t dim;
    uint32_t k;
    unsigned include;
    bool all_ids_must_exist; /* ids without a filter: a missing one is an error */
    bool exact;              /* the true nearest, whatever the rest says */
    bool explain;            /* fill in the result's explains */
    const uint64_t *as_of;   /* NULL: now */
    float recall_target;     /* 0: the collection's */
    uint32_t effort;         /* of an index; 0: as much as the recall needs */
};

/*
 * The k nearest of the selected records for each query, nearest first, equal
 * distances in insertion order.
 *
 * Errors: OCHRE_INVALID   the queries have another dimension than the collection
 *         OCHRE_INTERNAL  an id that must exist does not ("Error finding id")
 * Cost:   one pass over the selected vectors for all queries together.
 */
OCH_MUST_CHECK ochre_status och_engine_query(struct och_mem *mem, struct och_collection *collection,
        const struct och_query *query, struct och_result **result_out, struct ochre_error *err);

/* How many records there are, or were at *as_of; *position_out, unless NULL, is
 * where that was seen. */
OCH_MUST_CHECK ochre_status och_engine_count(struct och_mem *mem, struct och_collection *collection,
        const uint64_t *as_of, uint64_t *count_out, uint64_t *position_out,
        struct ochre_error *err);

#endif /* OCH_ENGINE_RESULT_H */
