/*
 * unicode.h - which code points have a property, and which fold alike.
 *
 * Unicode 16.0, as the dialect of regex.h uses it: general categories, scripts
 * and their extensions, and the binary properties.
 *
 * Threads: any; no state.
 */
#ifndef OCH_INDEX_TEXT_UNICODE_H
#define OCH_INDEX_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct och_codeset;

typedef enum och_unicode_answer {
    OCH_UNICODE_FOUND = 0,
    OCH_UNICODE_NO_PROPERTY = 1, /* no such property, category or script */
    OCH_UNICODE_NO_VALUE = 2,    /* the property has no such value */
    OCH_UNICODE_NOT_HERE = 3,    /* a property of the dialect that we have no table for */
} och_unicode_answer;

/*
 * Add to `set` what \p{name} means.  `name` is as written: case, spaces,
 * hyphens, underscores and a leading "is" do not count, and it may be
 * "property=value", "property:value" or "property!=value", which sets
 * *unequal_out: what is added is then what it does not mean.
 */
och_unicode_answer och_unicode_add(
        struct och_codeset *set, const char *name, size_t size, bool *unequal_out);

void och_unicode_add_word(struct och_codeset *set);  /* \w */
void och_unicode_add_digit(struct och_codeset *set); /* \d */
void och_unicode_add_space(struct och_codeset *set); /* \s */

/* Add whatever differs from a member by case alone (simple folding). */
void och_unicode_fold(struct och_codeset *set);

/* May a capture group's name begin with this, or go on with it? */
bool och_unicode_begins_name(uint32_t code_point);
bool och_unicode_continues_name(uint32_t code_point);

bool och_unicode_is_space(uint32_t code_point);

#endif /* OCH_INDEX_TEXT_UNICODE_H */
