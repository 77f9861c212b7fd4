/*
 * graph_plan.h - what a search will cost, and so how it is made.
 *
 * Costs are nanoseconds of one thread, from a few numbers measured once (a code
 * in memory, a link, a bit).  They need to be right to a factor of two: where two
 * plans cost alike, either will do, and a walk that turns out dearer than a scan
 * is given up for it.
 *
 * Threads: any; no state.
 */
#ifndef OCH_INDEX_VECTOR_GRAPH_PLAN_H
#define OCH_INDEX_VECTOR_GRAPH_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "index/vector/index.h"

struct och_graph_view;

struct och_graph_cost {
    enum och_vector_plan plan; /* scan, walk or two-hop */
    uint64_t ns;               /* expected for one query */
    uint64_t budget;           /* codes that a walk may look at: the price of a scan */
    uint32_t front;            /* nodes that a walk's front may hold */
};

/*
 * Choose for queries that keep `effort` candidates (0: exact) of n_allowed rows;
 * `filtered`: not every row is allowed.  `wanted` other than OCH_PLAN_ANY is
 * chosen if it is possible at all: for tests and for comparing plans.
 */
void och_graph_plan(const struct och_graph_view *graph, uint64_t n_allowed, uint32_t effort,
        size_t n_queries, bool filtered, enum och_vector_plan wanted,
        struct och_graph_cost *cost_out);

#endif /* OCH_INDEX_VECTOR_GRAPH_PLAN_H */
