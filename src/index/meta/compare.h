/*
 * compare.h - does a metadata value satisfy one leaf of a filter?
 *
 * Strings, booleans and numbers are three worlds: values of different worlds
 * never match a positive operator.  Integers and floats are one world and
 * compare by exact mathematical value, without rounding either way.  Scalar
 * operators never match a list; "contains" looks only into lists, and there
 * integers and floats are different.
 *
 * Threads: any; no state.
 */
#ifndef OCH_INDEX_META_COMPARE_H
#define OCH_INDEX_META_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "index/meta/fields.h"
#include "ochre/types.h"

/* -1, 0 or 1 as `a` is below, equal to or above `b`, exactly; `b` is not NaN. */
int och_compare_int_float(int64_t a, double b);

/* By bytes, then length. */
int och_compare_bytes(struct ochre_bytes a, struct ochre_bytes b);

/* The i-th element of a list, as a scalar. */
struct ochre_value och_value_element(const struct ochre_value *list, uint32_t i);

/* How a scalar value stands to a scalar operand; false, and no order, when they
 * are of different worlds or either is not a scalar. */
bool och_value_compare(
        const struct och_field_view *value, const struct ochre_value *operand, int *order_out);

/*
 * Does the value, NULL for a missing key, satisfy the operator with this
 * operand?  `op` is a leaf operator other than the regex ones.
 */
bool och_value_matches(
        const struct och_field_view *value, ochre_filter_op op, const struct ochre_value *operand);

/* The same for a string that is not a metadata field (an id): EQ, NE, IN, NOT_IN. */
bool och_string_matches(
        struct ochre_bytes string, ochre_filter_op op, const struct ochre_value *operand);

#endif /* OCH_INDEX_META_COMPARE_H */
