/*
 * walk.h - best-first walks over a graph of links.
 *
 * A walk keeps the nearest nodes it has seen, follows the links of the nearest
 * few that it has not followed yet, and ends when none is left that could lead to
 * something better (beam search: Malkov and Yashunin 2018, algorithm 2, on one
 * layer).  How near a node is, it asks whoever started it, for all new
 * neighbours of a node at once.
 *
 *      front  near |* * . * . . |    a star: its links were followed
 *                       ^ next
 *      found  near |n n n n|         the `effort` nearest that are allowed
 *
 * Where everything is allowed, the two are one.  Otherwise the front may hold
 * many nodes for each that is found.
 *
 * Links are 32 numbers a node, ended by OCH_ROW_NONE when there are fewer.
 *
 * Threads: a walk belongs to one thread; the links may be shared by any number
 * that do not change them.
 */
#ifndef OCH_INDEX_VECTOR_WALK_H
#define OCH_INDEX_VECTOR_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bitset.h"
#include "base/compiler.h"
#include "ochre/status.h"

enum { OCH_GRAPH_DEGREE = 32 };

struct och_mem;

/* How many links a node has. */
static inline size_t
och_link_count(const uint32_t *links)
{
    size_t n = 0;
    while (n < OCH_GRAPH_DEGREE && links[n] != OCH_ROW_NONE)
        n++;
    return n;
}

/* A node and its distance. */
struct och_walk_node {
    float distance;
    uint32_t node; /* in the front: with OCH_WALK_FOLLOWED when it was followed */
};

#define OCH_WALK_FOLLOWED (UINT32_C(1) << 31)

static inline uint32_t
och_walk_node_of(const struct och_walk_node *node)
{
    return node->node & ~OCH_WALK_FOLLOWED;
}

/* Distances of `n` (at most OCH_WALK_BATCH) nodes. */
enum { OCH_WALK_BATCH = 128 };
typedef void (*och_walk_measure)(
        void *context, const uint32_t *nodes, size_t n, float *distances_out);

/* Nodes nearest first: at most `capacity`, in an array with room for one more. */
struct och_walk_list {
    struct och_walk_node *nodes;
    uint32_t n, capacity;
};

/* What a thread needs to walk, again and again. */
struct och_walk_state {
    struct och_mem *mem; /* borrowed */
    uint32_t n_nodes, front_max, found_max;
    struct och_walk_node *front_nodes; /* owned: [front_max + 1] */
    struct och_walk_node *found_nodes; /* owned: [found_max + 1]; NULL when 0 */
    uint64_t *seen;                    /* owned: a bit for each node */
    uint32_t *touched;                 /* owned: words of `seen` that are not 0, and one */
    uint32_t n_touched;
    struct och_walk_list front;
    struct och_walk_list found; /* the result */
    uint64_t n_measured, n_followed;
};

/* Forget which nodes were seen, in time that depends on their number only. */
static inline void
och_walk_forget(struct och_walk_state *state)
{
    for (uint32_t i = 0; i < state->n_touched; i++)
        state->seen[state->touched[i]] = 0;
    state->n_touched = 0;
}

/*
 * Mark a node as seen; was it new?  Whether it was is anybody's guess, as is most
 * that follows, so it is computed, not branched on: a guess that goes wrong costs
 * more than the rest of this.
 */
static inline bool
och_walk_see(struct och_walk_state *state, uint32_t node)
{
    uint64_t *word = &state->seen[node / 64];
    uint64_t before = *word;
    *word = before | UINT64_C(1) << (node % 64);
    state->touched[state->n_touched] = node / 64; /* there is room for one more */
    state->n_touched += before == 0;
    return (before >> (node % 64) & 1) == 0;
}

/* Room for walks over n_nodes, whose front holds up to front_max and, where not
 * all is allowed, whose result up to found_max.  OCHRE_NO_MEMORY. */
OCH_MUST_CHECK ochre_status och_walk_make(struct och_mem *mem, uint32_t n_nodes, uint32_t front_max,
        uint32_t found_max, struct och_walk_state *walk_out);
void och_walk_clear(struct och_walk_state *walk); /* a zeroed one is fine */

struct och_walk {
    const uint32_t *links;
    const uint32_t *entries;
    size_t n_entries;
    uint32_t effort;                  /* nodes to find; at most front_max */
    const struct och_bitset *allowed; /* NULL: all */
    bool through;                     /* measure allowed nodes only, pass through others */
    uint64_t budget;                  /* nodes that may be measured; 0: any number */
    och_walk_measure measure;
    /* A node's links are to be looked at; false: they are not to be followed.  NULL: all
     * may be looked at. */
    bool (*reach)(void *context, uint32_t node);
    void *context; /* of both */
};

/*
 * Walk.  Afterwards state->found holds the nearest allowed nodes that were
 * found, nearest first, equal ones in the order in which they were met.
 *
 * Returns false when the budget did not suffice, or the front ran dry before
 * `effort` nodes were found although not everything was seen.
 */
bool och_walk_run(struct och_walk_state *state, const struct och_walk *walk);

#endif /* OCH_INDEX_VECTOR_WALK_H */
