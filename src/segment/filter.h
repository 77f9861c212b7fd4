/*
 * filter.h - which rows of a source satisfy a filter?
 *
 * A filter (ochre/types.h) is checked and compiled once a request: its regular
 * expressions become automata.  Evaluating it over a source gives a set of
 * rows: leaves (leaf.h) are answered by an index, or look at the rows that can
 * still matter, AND and OR combine sets; of the leaves of an AND those with an index
 * come first.  The walk keeps a stack of open nodes, whose depth the wire limits;
 * nothing recurses.
 *
 * Threads: a compiled filter may be evaluated by many.
 */
#ifndef OCH_SEGMENT_FILTER_H
#define OCH_SEGMENT_FILTER_H

#include "base/bitset.h"
#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;
struct och_mem;
struct och_regex;
struct och_source;
struct och_value_set;

struct och_filter {
    struct ochre_filter tree;   /* borrowed */
    struct och_regex **regexes; /* [n_nodes]; NULL where a node has none */
    struct och_value_set *sets; /* [n_nodes]; items NULL where a node has none */
    struct och_mem *mem;
    unsigned depth;
};

/*
 * Check the tree's structure and limits and compile its patterns.
 *
 * Errors: OCHRE_INVALID  a malformed tree, a limit, a bad pattern
 *         OCHRE_NO_MEMORY
 */
OCH_MUST_CHECK ochre_status och_filter_compile(struct och_mem *mem, struct och_arena *arena,
        const struct ochre_filter *tree, struct och_filter *filter_out, struct ochre_error *err);

void och_filter_clear(struct och_filter *filter);

/* Does the filter let everything pass? */
bool och_filter_is_empty(const struct och_filter *filter);

/*
 * Put into `rows_out` (empty before) those of `candidates` that satisfy the
 * filter.
 *
 * Errors: OCHRE_NO_MEMORY, and what loading columns answers.
 * Cost:   for each leaf on metadata of a segment, or on ids that it names, some
 *         microseconds for 100,000 rows; one pass over the candidates for others.
 */
OCH_MUST_CHECK ochre_status och_filter_rows(const struct och_filter *filter,
        const struct och_source *source, const struct och_bitset *candidates,
        struct och_bitset *rows_out, struct ochre_error *err);

#endif /* OCH_SEGMENT_FILTER_H */
