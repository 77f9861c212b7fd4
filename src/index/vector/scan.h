/*
 * scan.h - exact search that reads codes instead of vectors.
 *
 * Codes are an eighth of the vectors, and come with a radius (quant.h): a row is
 * certainly no nearer than estimate - radius and no farther than estimate +
 * radius.  So one pass over the codes finds the few rows that may be among the k
 * nearest, and only those are measured.
 *
 *      estimate - radius      |-----+-----|                       measured
 *      k-th nearest for certain     :  |-----+-----|              measured
 *                                   :  T        |------+------|   left out
 *
 * T is the k-th smallest upper bound seen, or the k-th nearest measured, if that
 * is less.  What is found is equal to what och_flat_search finds, ties included.
 *
 * Threads: any; scratch belongs to the call.
 */
#ifndef OCH_INDEX_VECTOR_SCAN_H
#define OCH_INDEX_VECTOR_SCAN_H

#include <stdint.h>

#include "base/compiler.h"
#include "index/vector/index.h"
#include "ochre/status.h"

struct och_quant;
struct och_quant_query;

/* Rows and their codes, as quant made them. */
struct och_coded_rows {
    const struct och_quant *quant;
    const uint8_t *codes; /* [n_rows] of quant->stride4 bytes */
    const struct och_vector_rows *rows;
    /* Codes of rows row .. row + n - 1 are to be looked at; NULL: all may be. */
    ochre_status (*touch)(void *context, uint32_t row, uint32_t n, struct ochre_error *err);
    void *context; /* touch's */
};

/* A row and a distance: canonical, or a bound of the squared one. */
struct och_scan_row {
    float distance;
    uint32_t row;
};

/*
 * Offer to best[i] the distance of every allowed row that may be among the
 * nearest to queries[i], and thereby these.
 *
 * Errors: what touching rows or codes answers; OCHRE_NO_MEMORY from search->scratch.
 */
OCH_MUST_CHECK ochre_status och_scan_search(const struct och_coded_rows *coded,
        const struct och_vector_search *search, struct och_topk *best, struct och_vector_work *work,
        struct ochre_error *err);

/* Prepare a query in the arena; OCHRE_NO_MEMORY. */
OCH_MUST_CHECK ochre_status och_scan_prepare(const struct och_quant *quant,
        const struct och_distance_query *queries, size_t n, struct och_arena *scratch,
        struct och_quant_query **prepared_out);

/* May codes be compared with this query at all?  Not where its length leaves the
 * range of floats, or is 0 and directions are compared. */
bool och_scan_can(const struct och_quant *quant, const struct och_distance_query *query);

/* Measure one row and offer it. */
OCH_MUST_CHECK ochre_status och_scan_measure(const struct och_coded_rows *coded, uint32_t source,
        const struct och_distance_query *query, uint32_t row, struct och_topk *best,
        struct ochre_error *err);

/* The squared distance beyond which the list takes nothing, INFINITY until it is full. */
float och_scan_bound(const struct och_quant_query *query, const struct och_topk *best);

#endif /* OCH_INDEX_VECTOR_SCAN_H */
