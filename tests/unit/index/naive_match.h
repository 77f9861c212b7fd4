/*
 * naive_match.h - what a filter means for one metadata value, by its definition
 * and nothing else.
 *
 * Threads: any; no state.
 */
#ifndef OCH_TESTS_UNIT_INDEX_NAIVE_MATCH_H
#define OCH_TESTS_UNIT_INDEX_NAIVE_MATCH_H

#include <stdbool.h>

#include "ochre/types.h"

/* `value` is NULL for a missing key. */
bool naive_matches(
        const struct ochre_value *value, ochre_filter_op op, const struct ochre_value *operand);

#endif /* OCH_TESTS_UNIT_INDEX_NAIVE_MATCH_H */
