/*
 * graph_carve.h - which nodes are near which, without walking.
 *
 * Nodes are carved into balls around leaders that are drawn from among them, each
 * node into the balls of its FAN nearest leaders, and in each ball everything is
 * compared with everything.  So neighbours that a border parts in one ball meet in
 * another, and nearly all that is read lies side by side (Rubel et al., "PiPNN:
 * Ultra-Scalable Graph-Based Nearest Neighbor Indexing", 2026).  For graph_*.c only.
 *
 *      nodes  . . .  . . : . .  .      FAN = 2: each node is in two balls
 *              (  a  )(  b  ) 
 *                 (  c  )
 *
 * Threads: one thread carves; it lends work to the executor.  What comes out does
 * not depend on how many there are.
 */
#ifndef OCH_INDEX_VECTOR_GRAPH_CARVE_H
#define OCH_INDEX_VECTOR_GRAPH_CARVE_H

#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_graph_build;
struct och_mem;

/* Balls that a node is in, neighbours in each, and all of them. */
enum { OCH_CARVE_FAN = 8, OCH_CARVE_KEPT = 12, OCH_CARVE_NEAR = OCH_CARVE_FAN * OCH_CARVE_KEPT };

/* Nodes are named by their place in build->order. */
struct och_carved {
    struct och_mem *mem;
    uint32_t first, end;
    uint32_t *near;   /* owned: [end - first][OCH_CARVE_NEAR], places; or OCH_ROW_NONE */
    uint32_t *places; /* owned: [end], all places, those of a ball side by side */
    uint32_t n_places;
};

/*
 * Find, for each of order[first] to order[end - 1], what is near among order[0] to
 * order[end - 1].  A place may come up several times in a row of `near`.
 *
 * Errors: OCHRE_NO_MEMORY, OCHRE_UNAVAILABLE (stopped); clear it then too.
 * Cost: for each that looks some FAN * 600 products of codes in its balls; for each that is
 *       looked at one with each leader, of which there are one for 64 nodes.
 */
OCH_MUST_CHECK ochre_status och_carve(
        struct och_graph_build *build, uint32_t first, uint32_t end, struct och_carved *carved_out);
void och_carve_clear(struct och_carved *carved); /* a zeroed one is fine */

#endif /* OCH_INDEX_VECTOR_GRAPH_CARVE_H */
