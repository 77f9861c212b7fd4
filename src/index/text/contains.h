/*
 * contains.h - does a text contain these bytes?
 *
 * Byte for byte: no folding, no normalisation.  For valid UTF-8 on both sides
 * that is the same as comparing code points.
 *
 * Threads: any; no state.
 */
#ifndef OCH_INDEX_TEXT_CONTAINS_H
#define OCH_INDEX_TEXT_CONTAINS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Is `needle` somewhere in `haystack`?  The empty needle is in every text.
 *
 * Cost: linear in the two sizes, whatever they hold.
 */
bool och_text_contains(
        const char *haystack, size_t haystack_size, const char *needle, size_t needle_size);

#endif /* OCH_INDEX_TEXT_CONTAINS_H */
