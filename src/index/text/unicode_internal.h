/*
 * unicode_internal.h - the tables behind unicode.h, of one version of Unicode.
 *
 * A code point's general category and its script are kept as runs: an entry
 * begins a run that lasts up to the next entry,
 *
 *      first code point << 8 | category (or script)
 *
 * A binary property is close to a union of categories, so it is kept as a mask
 * of categories and the ranges in which that guess is wrong.  The extensions
 * of a script are likewise the ranges in which they differ from the script.
 * Surrogates are no characters: they belong to nothing.
 */
#ifndef OCH_INDEX_TEXT_UNICODE_INTERNAL_H
#define OCH_INDEX_TEXT_UNICODE_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

struct och_unicode_range {
    uint32_t first, last;
};

struct och_unicode_property {
    uint32_t categories;   /* bit n: category n */
    uint16_t first, count; /* into och_unicode_differences */
};

struct och_unicode_script {
    uint16_t first, count; /* into och_unicode_differences */
};

/* Lower case, without spaces, hyphens, underscores and a leading "is". */
struct och_unicode_name {
    const char *name;
    uint32_t value; /* a mask of categories, a property, or a script */
};

/* Code points that fold alike form a ring: `next` leads around it. */
struct och_unicode_fold {
    uint32_t code_point, next;
};

/* Sorted by code point. */
extern const uint32_t och_unicode_category_runs[];
extern const size_t och_unicode_n_category_runs;
extern const uint32_t och_unicode_script_runs[];
extern const size_t och_unicode_n_script_runs;
extern const struct och_unicode_fold och_unicode_folds[];
extern const size_t och_unicode_n_folds;

extern const struct och_unicode_range och_unicode_differences[];
extern const size_t och_unicode_n_differences;
extern const struct och_unicode_property och_unicode_properties[];
extern const size_t och_unicode_n_properties;
extern const struct och_unicode_script och_unicode_scripts[];
extern const size_t och_unicode_n_scripts;

/* Sorted by name. */
extern const struct och_unicode_name och_unicode_category_names[];
extern const size_t och_unicode_n_category_names;
extern const struct och_unicode_name och_unicode_property_names[];
extern const size_t och_unicode_n_property_names;
extern const struct och_unicode_name och_unicode_script_names[];
extern const size_t och_unicode_n_script_names;

/* Properties and categories that the code asks for by number. */
enum {
    OCH_UNICODE_WORD = 0, /* \w: alphabetic, marks, digits, connectors, joiners */
    OCH_UNICODE_WHITE_SPACE = 1,
    OCH_UNICODE_ALPHABETIC = 2,
    OCH_UNICODE_CATEGORIES = 29, /* without the surrogates, which are the 30th */
    OCH_UNICODE_DIGIT_BIT = 8,   /* Nd, and then Nl and No */
    OCH_UNICODE_UNASSIGNED_BIT = 28
};

#endif /* OCH_INDEX_TEXT_UNICODE_INTERNAL_H */
