/*
 * graph_build.h - links between near vectors, made in parallel, always the same.
 *
 * Of what is near a node a rule picks what lies in different directions, and what was
 * picked links back.  What is near is found in two ways.  Many nodes join at once, after
 * they were carved into balls (graph_carve.h).  A few are inserted, in random order: a
 * walk finds what is near.  To use several threads and still give the same graph, they go
 * in by batches: all of a batch look at the graph as it was before the batch
 * (Manohar et al., "ParlayANN", PPoPP 2024).
 *
 *      join     balls, and who is near in each           parallel
 *      batch    walks and picks, each for itself         parallel
 *               who is linked to: lists by target        one pass
 *               link back, each target for itself        parallel
 *      fill     two-hop neighbours into free links       parallel
 *      repair   what no link leads to gets one           one pass
 *
 * Links of an earlier graph over part of the rows can be kept; then only the
 * rest comes in.
 *
 * The rule: a candidate is left out when something already picked is nearer to
 * it than the node is (relative neighbourhood).  It is not loosened before nodes have
 * linked back: that fills them with near links and loses the far ones.  Then free
 * places are filled, with candidates that nothing picked is nearer to by a factor (the
 * same, with 1.2); and once the graph is grown, again wherever links that came later made
 * the rule pick anew.
 *
 * Distances that the rule compares are those of 7-bit codes: integer products, a few float
 * operations in fixed order; equal ones go by number.  What is near is estimated with
 * 4-bit ones.
 *
 * Threads: one thread builds; it lends work to the executor.
 */
#ifndef OCH_INDEX_VECTOR_GRAPH_BUILD_H
#define OCH_INDEX_VECTOR_GRAPH_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "index/vector/walk.h"
#include "ochre/status.h"

struct och_executor;
struct och_pace;
struct och_mem;
struct och_quant;

/* Threads that may take part in a build. */
enum { OCH_GRAPH_THREADS_MAX = 64 };

/* A graph under construction.  Nodes are rows; not every row is one. */
struct och_graph_build {
    struct och_mem *mem;           /* borrowed */
    struct och_executor *executor; /* borrowed; NULL: one thread */
    const struct och_quant *quant; /* borrowed */
    unsigned n_threads;            /* at least 1 */
    struct och_pace *pace;         /* borrowed: stopped, inserting ends early; NULL: never */
    uint32_t n_rows;               /* rows that have a code, nodes or not */
    uint32_t n;                    /* nodes */
    uint32_t effort;               /* candidates of a node */
    const uint8_t *codes;          /* borrowed: 7-bit, [n_rows] of quant->stride7 bytes */
    const uint8_t *codes4;         /* borrowed: 4-bit, [n_rows] of quant->stride4 bytes */
    uint32_t *links;               /* owned: [n_rows][OCH_GRAPH_DEGREE] */
    uint32_t *order;               /* owned: [n], nodes in the order in which they go in */
    uint32_t n_in;                 /* of order: nodes that are in */
    uint32_t n_entries;            /* walks begin at order[0] to order[n_entries - 1] */
    uint32_t join_min;             /* so many nodes join together, and not one by one */
    bool is_grown;                 /* och_link_add fills free places where it picks anew */
    uint32_t *heads;               /* owned: [n_rows], lists of back links */
    uint8_t *checked;              /* owned: [n_rows], first links that leave none of them out */
    struct och_graph_scratch *scratch; /* owned: [n_threads] */
};

/*
 * Begin with no links.  The caller has filled in what is borrowed, n_threads,
 * n_rows, n and effort; `nodes`, [n], is copied, and `seed` decides their order.
 *
 * Errors: OCHRE_NO_MEMORY; clear it then too.
 */
OCH_MUST_CHECK ochre_status och_graph_begin(
        struct och_graph_build *build, const uint32_t *nodes, uint64_t seed);
void och_graph_clear(struct och_graph_build *build); /* a zeroed one is fine */

/* A graph over other rows, of which some are among these. */
struct och_graph_kept {
    const uint32_t *links; /* borrowed: [n_rows][OCH_GRAPH_DEGREE] */
    const uint32_t *map;   /* borrowed: [n_rows], to rows here; OCH_ROW_NONE: is no more */
    uint32_t n_rows;
};

/*
 * Let those nodes in, with their links, that `kept` has, but none of the last
 * `n_out` of the order; before anything is inserted.  What linked to something that
 * is no more links to what that linked to instead (Singh et al., "FreshDiskANN",
 * 2021, section 4.2).  They become the first of the order.  Too few: none are let in.
 *
 * Errors: OCHRE_NO_MEMORY.
 * Cost: reading the links; for each that is lost, 32 distances.
 */
OCH_MUST_CHECK ochre_status och_graph_keep(
        struct och_graph_build *build, const struct och_graph_kept *kept, uint32_t n_out);

/* Let nodes in, up to order[end - 1].  OCHRE_NO_MEMORY, OCHRE_UNAVAILABLE (stopped):
 * the graph is not to be used. */
OCH_MUST_CHECK ochre_status och_graph_insert(struct och_graph_build *build, uint32_t end);

/*
 * Let nodes in, up to order[end - 1], all at once: of what lies in the same balls
 * (graph_carve.h) the rule picks.  Many at once cost a quarter of what inserting them costs;
 * a few cost more, because all that are in are looked at too.
 *
 * Errors: as och_graph_insert.
 * Memory: some 450 bytes for each, while it lasts.
 */
OCH_MUST_CHECK ochre_status och_graph_join(struct och_graph_build *build, uint32_t end);

/* Fill free links of nodes order[begin] to order[n_in - 1] from two hops away. */
OCH_MUST_CHECK ochre_status och_graph_fill(struct och_graph_build *build, uint32_t begin);

/* Give every node that is in and cannot be reached from the entries a link, and
 * return how many there were. */
OCH_MUST_CHECK ochre_status och_graph_repair(
        struct och_graph_build *build, uint32_t *n_repaired_out);

#endif /* OCH_INDEX_VECTOR_GRAPH_BUILD_H */
