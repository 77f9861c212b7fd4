/*
 * topk.h - the k nearest candidates seen so far.
 *
 * Candidates are ordered by distance, and equal distances by ordinal, which is
 * insertion order; so the same candidates leave the same list whatever order
 * they are offered in, from however many segments.  While candidates come, the
 * list is a heap with the worst on top:
 *
 *      items[0] is the worst     new candidate worse than it?   forget it, O(1)
 *        /   \                   better?                        replace it, O(log k)
 *
 * Most candidates are worse.  och_topk_admits tells so from the distance alone,
 * which a search asks before it looks at anything else.  In the end
 * och_topk_sort puts the list in order, nearest first.
 *
 * Distances are never NaN (distance.h); infinite ones are ordered like others.
 *
 * Threads: one at a time.
 */
#ifndef OCH_INDEX_VECTOR_TOPK_H
#define OCH_INDEX_VECTOR_TOPK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_arena;

/* A candidate: where it is and how near. */
struct och_near {
    float distance;
    uint32_t source;  /* which segment of the view, as the searcher numbers them */
    uint64_t ordinal; /* the record's place in insertion order; unique in a view */
    uint32_t row;     /* its row in the source */
};

struct och_topk {
    struct och_near *items; /* borrowed from the arena: [capacity] */
    uint32_t n;             /* candidates held */
    uint32_t capacity;      /* held at most */
    float bound;            /* what is farther stays out; INFINITY until full */
    bool sorted;            /* och_topk_sort was called: nothing may be offered */
};

/*
 * An empty list for the best min(k, n_candidates), where n_candidates bounds
 * how many will be offered; a k in the billions costs what there is to find.
 * It lives in the arena and needs no clearing.
 *
 * Errors: OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_topk_make(
        struct och_topk *best, struct och_arena *arena, uint32_t k, uint64_t n_candidates);

/* Might a candidate at this distance get in?  No is certain; yes depends on its
 * ordinal where it ties with the worst. */
static inline bool
och_topk_admits(const struct och_topk *best, float distance)
{
    return distance <= best->bound;
}

/*
 * Keep the candidate if it is among the best so far, dropping the worst when the
 * list is full.  Returns whether it was kept.
 *
 * Cost: O(1) when it is not, otherwise O(log k).
 */
bool och_topk_offer(struct och_topk *best, struct och_near candidate);

/*
 * Take out what `source` offered, which is then to offer all it has anew: in between the
 * list may lack some that others offered, but none that will belong to it in the end,
 * because what took their place comes back.
 *
 * Cost: O(n).
 */
void och_topk_withdraw(struct och_topk *best, uint32_t source);

/* Order items[0] to items[n - 1] by (distance, ordinal).  Cost: O(n log n).
 * Sorting twice is harmless. */
void och_topk_sort(struct och_topk *best);

#endif /* OCH_INDEX_VECTOR_TOPK_H */
