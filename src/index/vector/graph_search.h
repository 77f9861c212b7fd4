/*
 * graph_search.h - finding the nearest allowed rows with the help of a graph.
 *
 * Four plans; which one is decided by what it is expected to cost:
 *
 *      empty      nothing is allowed
 *      scan       the codes of all allowed rows, exactly (scan.h)
 *      walk       along links, whatever they lead to; allowed rows are kept
 *      two-hop    along links, but codes of allowed rows only: a neighbour that
 *                 is not allowed is passed through to its own neighbours
 *                 (Patel et al., "ACORN", SIGMOD 2024)
 *
 * A walk ends when it has `effort` allowed rows and nothing it could follow is
 * nearer than the last of them; the nearest of them are then measured.  When
 * that costs more than a scan would have, or too few were found, the scan is
 * made after all: the answer is then exact, and has cost twice a scan at most.
 *
 * Threads: any; scratch belongs to the call.
 */
#ifndef OCH_INDEX_VECTOR_GRAPH_SEARCH_H
#define OCH_INDEX_VECTOR_GRAPH_SEARCH_H

#include <stdint.h>

#include "base/compiler.h"
#include "index/vector/scan.h"
#include "index/vector/walk.h"
#include "ochre/status.h"

struct och_plan_scales;

/* A graph to search: all borrowed. */
struct och_graph_view {
    struct och_coded_rows coded;
    /* What filtered searches took, learned from them (graph_plan.h); NULL: nobody wants to know. */
    struct och_plan_scales *scales;
    const uint32_t *links;   /* [n_rows][OCH_GRAPH_DEGREE] */
    const uint32_t *entries; /* [n_entries]: where walks begin */
    uint32_t n_entries;
    const uint32_t *strays; /* [n_strays]: rows without a place in the graph */
    uint32_t n_strays;
    const uint32_t *copies; /* [n_copies][2]: row, its equal; by row */
    uint32_t n_copies;
    /* As coded.touch, of links, and with its context; NULL: all may be looked at. */
    ochre_status (*touch_links)(void *context, uint32_t row, uint32_t n, struct ochre_error *err);
};

/* What och_code4.flags says of a row. */
enum {
    OCH_CODE_HAS_COPIES = 1u << 0, /* other rows hold the same vector */
    OCH_CODE_IS_COPY = 1u << 1     /* it is no node: its equal is */
};

/* Offer to best[i] the rows nearest to queries[i]; as och_vector_index_search.
 * `effort` 0: exactly. */
OCH_MUST_CHECK ochre_status och_graph_search(const struct och_graph_view *graph,
        const struct och_vector_search *search, uint32_t effort, struct och_topk *best,
        struct och_vector_work *work, struct ochre_error *err);

#endif /* OCH_INDEX_VECTOR_GRAPH_SEARCH_H */
