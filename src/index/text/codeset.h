/*
 * codeset.h - sets of code points, for character classes.
 *
 * A set is its ranges, ascending, neither touching nor overlapping:
 *
 *      [a-cx&&[^b]]    {a, a} {c, c} {x, x}
 *
 * The universe is U+0000 to U+10FFFF without the surrogates, which no text
 * holds: no set holds them either, and no complement does.
 *
 * Errors stick, as in base/buf.h: once memory was refused a set is wrong and
 * `failed` is set, in every set made from it too.
 *
 * Threads: one thread at a time.
 */
#ifndef OCH_INDEX_TEXT_CODESET_H
#define OCH_INDEX_TEXT_CODESET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct och_mem;

#define OCH_CODE_POINT_MAX 0x10ffffu

struct och_code_range {
    uint32_t first, last;
};

struct och_codeset {
    struct och_mem *mem;           /* borrowed: the account that pays */
    struct och_code_range *ranges; /* owned */
    size_t n;
    size_t room;
    bool failed;
};

/* An empty set; allocates nothing. */
void och_codeset_init(struct och_codeset *set, struct och_mem *mem);

/* Give the memory back and leave an empty set that has not failed. */
void och_codeset_clear(struct och_codeset *set);

/* Add `first` to `last`, both included, less the surrogates among them.  Cost:
 * O(1) past the end of the set, O(ranges) elsewhere. */
void och_codeset_add(struct och_codeset *set, uint32_t first, uint32_t last);

bool och_codeset_has(const struct och_codeset *set, uint32_t code_point);

/* Each keeps in `set` what the operation with `other` leaves.  Cost: linear. */
void och_codeset_unite(struct och_codeset *set, const struct och_codeset *other);
void och_codeset_intersect(struct och_codeset *set, const struct och_codeset *other);
void och_codeset_subtract(struct och_codeset *set, const struct och_codeset *other);
void och_codeset_differ(struct och_codeset *set, const struct och_codeset *other);

/* Everything that was not in the set. */
void och_codeset_negate(struct och_codeset *set);

#endif /* OCH_INDEX_TEXT_CODESET_H */
