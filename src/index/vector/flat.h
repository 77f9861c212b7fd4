/*
 * flat.h - exact search: look at every row that may be found.
 *
 * Right by construction, needs nothing but the rows, and is the fastest way
 * there is for some thousands of rows, for few allowed ones, and for a head that
 * grows by the second.
 *
 * Rows are taken in blocks that stay in cache while every query of the request
 * is measured against them, so memory is read once, not once a query.  Within a
 * block, allowed rows are computed in runs.  A short gap in a run is computed
 * too, and its distances are not looked at: that is cheaper than to start anew.
 *
 *      allowed    1 1 1 0 1 1 0 0 0 0 0 0 0 1 0 0 0
 *      computed   [.........]             [.]
 *
 * Threads: any; no state.
 */
#ifndef OCH_INDEX_VECTOR_FLAT_H
#define OCH_INDEX_VECTOR_FLAT_H

#include "base/compiler.h"
#include "index/vector/index.h"
#include "ochre/status.h"

/*
 * Offer to best[i] the distance of search->queries[i] to every row that may be
 * found.  `work` may be NULL; gaps that were computed count as distances.
 *
 * Errors: what rows->touch answers; then `best` holds part of the rows.
 */
OCH_MUST_CHECK ochre_status och_flat_search(const struct och_vector_rows *rows,
        const struct och_vector_search *search, struct och_topk *best, struct och_vector_work *work,
        struct ochre_error *err);

/* The same as an index kind: no section, nothing to build, exact. */
extern const struct och_vector_index_kind och_flat_kind;

#endif /* OCH_INDEX_VECTOR_FLAT_H */
