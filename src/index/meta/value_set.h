/*
 * value_set.h - the operand list of $in, sorted, so that a row costs a binary
 * search and not a walk: a list may have 65,536 members and a collection
 * millions of rows.
 *
 * Threads: a set is immutable once made.
 */
#ifndef OCH_INDEX_META_VALUE_SET_H
#define OCH_INDEX_META_VALUE_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "index/meta/fields.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;

struct och_value_set {
    struct ochre_value *items; /* scalars of one type, ascending; in the arena */
    uint32_t n;
};

/* Make a set of a list's elements, which point where the list's do. */
OCH_MUST_CHECK ochre_status och_value_set_make(
        struct och_arena *arena, const struct ochre_value *list, struct och_value_set *set_out);

/* Is a value equal to a member, as och_value_matches says of OCHRE_FILTER_IN? */
bool och_value_set_has(const struct och_value_set *set, const struct och_field_view *value);

#endif /* OCH_INDEX_META_VALUE_SET_H */
