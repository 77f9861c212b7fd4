/*
 * leaf.h - which rows of a source satisfy one leaf of a filter?
 *
 * A leaf on metadata is answered by the segment's index of it, a leaf that names
 * ids by the table of ids, and any other by looking at the rows, which are loaded
 * one by one when they are few.  All ways give the same rows: an index that is
 * missing or damaged is done without.
 *
 * Threads: any.
 */
#ifndef OCH_SEGMENT_LEAF_H
#define OCH_SEGMENT_LEAF_H

#include <stdbool.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_bitset;
struct och_columns;
struct och_regex;
struct och_source;
struct och_value_set;

struct och_leaf {
    const struct ochre_filter_node *node;
    const struct och_regex *regex;     /* compiled from the operand, or NULL */
    const struct och_value_set *set;   /* made of the operand, or NULL */
    const struct och_columns *columns; /* the source's index of metadata, or NULL */
};

/* Is it answered without looking at the rows, which had better be done first? */
bool och_leaf_is_indexed(const struct och_leaf *leaf, const struct och_source *source);

/*
 * Put into `rows`, empty before, those of `candidates` that satisfy the leaf.
 *
 * Errors: OCHRE_NO_MEMORY, perhaps without a message, and what loading answers.
 */
OCH_MUST_CHECK ochre_status och_leaf_rows(const struct och_leaf *leaf,
        const struct och_source *source, const struct och_bitset *candidates,
        struct och_bitset *rows, struct ochre_error *err);

#endif /* OCH_SEGMENT_LEAF_H */
