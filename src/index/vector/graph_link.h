/*
 * graph_link.h - what inserting, finishing and keeping have in common: distances
 * between nodes, the rule that picks links, work in parallel.  For graph_*.c only.
 *
 * Threads: a scratch belongs to one; the rest is read.
 */
#ifndef OCH_INDEX_VECTOR_GRAPH_LINK_H
#define OCH_INDEX_VECTOR_GRAPH_LINK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bitset.h"
#include "index/vector/graph_build.h"
#include "index/vector/quant.h"
#include "index/vector/walk.h"
#include "os/pace.h"

/* Two-hop neighbours and the like that are looked at for one node. */
enum { OCH_LINK_CANDIDATES_MAX = 1024 };

/* How much nearer something picked must be to leave a candidate out, squared. */
#define OCH_LINK_RULE_BUILD 1.0F
#define OCH_LINK_RULE_FILL 1.2F

/* Marks a candidate that nothing marked before it leaves out, as was found earlier. */
#define OCH_LINK_CHECKED OCH_WALK_FOLLOWED

/* One thread's room. */
struct och_graph_scratch {
    struct och_walk_state walk;
    struct och_walk_node *candidates; /* [OCH_LINK_CANDIDATES_MAX] */
    int8_t *elements;                 /* [padded], of the node that walks */
};

/* The node that others are measured from. */
struct och_link_origin {
    const struct och_graph_build *build;
    const uint8_t *code;
};

static inline uint32_t *
och_link_of(const struct och_graph_build *build, uint32_t node)
{
    return build->links + (size_t) node * OCH_GRAPH_DEGREE;
}

static inline const uint8_t *
och_link_code(const struct och_graph_build *build, uint32_t node)
{
    return build->codes + (size_t) node * build->quant->stride7;
}

/* Nodes at which walks over a graph of n begin: OCH_LINK_ENTRIES_MAX at most. */
enum { OCH_LINK_ENTRIES_MAX = 256 };
uint32_t och_link_entries(uint32_t n);

/* An och_walk_measure; the context is an origin. */
void och_link_measure(void *context, const uint32_t *nodes, size_t n, float *distances_out);

/* The same for any number, with their numbers. */
void och_link_measure_all(const struct och_link_origin *origin, const uint32_t *nodes, size_t n,
        struct och_walk_node *measured_out);

/* Walk the graph as it is towards a node, by 4-bit codes, which are half of the
 * memory; what is found is measured anew: nearest first in scratch->candidates.
 * Returns how many. */
size_t och_link_walk(
        const struct och_graph_build *build, struct och_graph_scratch *scratch, uint32_t node);

/* Which of the nodes that walks begin at is nearest to a node: its number among them. */
uint32_t och_link_entry(
        const struct och_graph_build *build, struct och_graph_scratch *scratch, uint32_t node);

/* Nearest first, equal ones by number; at most OCH_LINK_CANDIDATES_MAX, and no distance is
 * negative. */
void och_link_sort(struct och_walk_node *nodes, size_t n);

/*
 * Add to the `n_picked` links in `picked` those of the candidates, nearest
 * first, that nothing picked leaves out; returns how many there are then.
 * Candidates marked as checked are not compared with each other.
 */
size_t och_link_pick(const struct och_graph_build *build, const struct och_walk_node *candidates,
        size_t n, float rule, struct och_walk_node *picked, size_t n_picked);

void och_link_store(
        struct och_graph_build *build, uint32_t node, const struct och_walk_node *picked, size_t n);

/* Add links to a node: the first `n_new` of scratch->candidates, in any order, to which it
 * does not link yet.  Where there are more than it may have, the rule picks, and fills the
 * places that are left if the graph is grown. */
void och_link_add(struct och_graph_build *build, struct och_graph_scratch *scratch, uint32_t node,
        size_t n_new);

/* Is the build not wanted any more? */
static inline bool
och_link_stopped(const struct och_graph_build *build)
{
    return och_pace_stopped(build->pace);
}

/* Work that threads share: items 0 to n - 1, by chunks. */
struct och_link_sharing {
    struct och_graph_build *build;
    void (*work)(
            struct och_link_sharing *sharing, struct och_graph_scratch *scratch, uint32_t item);
    atomic_uint next;
    uint32_t n;
    uint32_t first; /* of order: what item 0 is */
    uint32_t chunk; /* items that a thread takes at once; 0: a few */
};

void och_link_share(struct och_link_sharing *sharing);

#endif /* OCH_INDEX_VECTOR_GRAPH_LINK_H */
