/*
 * merge_policy.h - which segments of a collection should become one?
 *
 * A pure function of how large they are and how many of their rows are dead.  It
 * weighs two costs: every segment is one more place that a search, and every id
 * that is written, has to look at; and every merge writes its rows once more.
 *
 * A segment weighs as many rows as it has living ones, or, where rows are large,
 * as many as a full head of its bytes would have.  What weighs alike is of one
 * tier; with 8,192 rows in a full head and fan_in 8:
 *
 *      tier     ...  4 Ki ..... 32 Ki ..... 256 Ki ..... 2 Mi ..... 16 Mi
 *                    x x x x x x x    x x x            x
 *                    └ 8 of a tier become one of a higher tier
 *
 * So while records come, a row is written once a tier: three times more until it
 * lies among 4 Mi rows, and a few times before that if heads were sealed early.
 *
 * When nobody writes, what is left is put together further, as long as it pays:
 * a segment is written again only for others that come to a quarter of it.  After
 * that each one is more than 4 times as heavy as all lighter ones together, which
 * leaves 7 at most.  When nobody has written for as long as writing everything
 * again takes, a few times over, others that come to 1/32 of it are enough: one
 * graph is walked in less time than two.
 *
 * Rows that are dead cost every scan; past a share of them a segment is written
 * without them.  One whose indexes are damaged is written anew, with new ones.
 *
 * Threads: any; no state.
 */
#ifndef OCH_ENGINE_MERGE_POLICY_H
#define OCH_ENGINE_MERGE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct och_merge_segment {
    uint32_t rows; /* dead ones included */
    uint32_t dead; /* that a merge would leave out */
    uint64_t bytes;
    bool has_graph;
    bool is_worn; /* what it derives from its rows is damaged */
};

struct och_merge_policy {
    uint32_t tier_rows;    /* rows of a full head */
    uint64_t tier_bytes;   /* or bytes; at least as many */
    uint32_t fan_in;       /* at least 2 */
    uint32_t rows_max;     /* no segment of more living rows is made, */
    uint64_t bytes_max;    /* or of others of more bytes */
    uint32_t dead_percent; /* with a larger share of dead rows it is rewritten */
    uint32_t graph_rows;   /* with as many rows, and at rest, it should have a graph; 0: never */
};

enum och_merge_mode {
    OCH_MERGE_TIERS, /* while records come */
    OCH_MERGE_IDLE,  /* when nobody writes */
    OCH_MERGE_QUIET, /* when nobody has written for long */
    OCH_MERGE_ALL,   /* on demand: as few as there can be, without dead rows */
    OCH_MERGE_DEAD,  /* on demand: without dead rows, and that is all */
};

/*
 * Put the indexes of the segments to make one of into `chosen` ([n]), ascending,
 * and return how many there are: 0, there is nothing to do; 1, rewrite it.  Doing what it says and asking again comes to an end.
 *
 * Cost: O(n^2) at worst, of a few instructions.
 */
size_t och_merge_choose(const struct och_merge_policy *policy, enum och_merge_mode mode,
        const struct och_merge_segment *segments, size_t n, uint32_t *chosen);

#endif /* OCH_ENGINE_MERGE_POLICY_H */
