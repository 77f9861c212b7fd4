/*
 * graph_plan.h - what a search will cost, and so how it is made.
 *
 * Costs are nanoseconds of one thread, from a few numbers measured once (a code
 * in memory, a link, a bit).  They need to be right to a factor of two: where two
 * plans cost alike, either will do, and a walk that turns out dearer than a scan
 * is given up for it.
 *
 * How far they are off depends on the vectors and on the machine: on text a walk
 * takes twice as long, a scan a little less.  So an open index remembers, for
 * each plan, what filtered searches took beside what was expected, and goes by that:
 *
 *      expected ──► choose ──► search ──► note: took longer? scale up a step : down a step
 *          ▲                                │
 *          └────────────── scale ◄──────────┘
 *
 * Steps of one size lead to the median, which a search that was interrupted does not
 * move.  What is not chosen any more is slowly forgotten, and so tried again.
 * Where all rows may be found the choice is nearly always plain, and stays as it was
 * reckoned; a segment with dead rows counts as filtered.
 *
 * Threads: any.
 */
#ifndef OCH_INDEX_VECTOR_GRAPH_PLAN_H
#define OCH_INDEX_VECTOR_GRAPH_PLAN_H

#include <stdatomic.h>
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

/* What plans took beside what was expected of them, by plan; in memory only.  All zero:
 * nothing is known.  Of two that note at the same time one may be lost. */
struct och_plan_scales {
    _Atomic(uint32_t) parts[OCH_PLAN_TWO_HOP + 1]; /* of OCH_PLAN_SCALE_ONE; 0: as reckoned */
};

enum { OCH_PLAN_SCALE_ONE = 1 << 16 };

/* What was expected of a plan is multiplied by this: 1/8 to 8.  NULL: 1. */
double och_plan_scales_get(const struct och_plan_scales *scales, enum och_vector_plan plan);

/* A search of which expected_ns was expected, scale included, took taken_ns. */
void och_plan_scales_note(struct och_plan_scales *scales, enum och_vector_plan plan,
        uint64_t expected_ns, uint64_t taken_ns);

/*
 * Choose for queries that keep `effort` candidates (0: exact) of n_allowed rows;
 * `filtered`: not every row is allowed.  `wanted` other than OCH_PLAN_ANY is
 * chosen if it is possible at all: for tests and for comparing plans.
 */
void och_graph_plan(const struct och_graph_view *graph, uint64_t n_allowed, uint32_t effort,
        size_t n_queries, bool filtered, enum och_vector_plan wanted,
        struct och_graph_cost *cost_out);

#endif /* OCH_INDEX_VECTOR_GRAPH_PLAN_H */
