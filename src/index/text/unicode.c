#include "index/text/unicode.h"

#include <string.h>

#include "index/text/codeset.h"
#include "index/text/unicode_internal.h"

/* Longer than any name there is, so that what does not fit is no name. */
#define NAME_SIZE_MAX ((size_t) 64)

#define ALL_CATEGORIES ((UINT32_C(1) << OCH_UNICODE_CATEGORIES) - 1)

/* Properties of the dialect that take a value and that we keep no tables for. */
static const char *const not_here[] = {
        "age", "gcb", "graphemeclusterbreak", "sb", "sentencebreak", "wb", "wordbreak"};

/* --- ranges of the tables ------------------------------------------------- */

/* Add the runs whose value is in the mask, joined where they touch. */
static void
add_categories(struct och_codeset *set, uint32_t categories)
{
    for (size_t i = 0; i < och_unicode_n_category_runs; i++) {
        uint32_t run = och_unicode_category_runs[i];
        if ((categories >> (run & 0xff) & 1u) == 0)
            continue;
        uint32_t end = OCH_CODE_POINT_MAX + 1;
        if (i + 1 < och_unicode_n_category_runs)
            end = och_unicode_category_runs[i + 1] >> 8;
        och_codeset_add(set, run >> 8, end - 1);
    }
}

static void
add_script(struct och_codeset *set, uint32_t script)
{
    for (size_t i = 0; i < och_unicode_n_script_runs; i++) {
        uint32_t run = och_unicode_script_runs[i];
        if ((run & 0xff) != script)
            continue;
        uint32_t end = OCH_CODE_POINT_MAX + 1;
        if (i + 1 < och_unicode_n_script_runs)
            end = och_unicode_script_runs[i + 1] >> 8;
        och_codeset_add(set, run >> 8, end - 1);
    }
}

/* Turn round what the guess got wrong. */
static void
differ(struct och_codeset *set, size_t first, size_t count)
{
    struct och_codeset wrong;
    och_codeset_init(&wrong, set->mem);
    for (size_t i = first; i < first + count; i++) {
        const struct och_unicode_range *range = &och_unicode_differences[i];
        och_codeset_add(&wrong, range->first, range->last);
    }
    och_codeset_differ(set, &wrong);
    och_codeset_clear(&wrong);
}

static void
add_property(struct och_codeset *set, uint32_t index)
{
    const struct och_unicode_property *property = &och_unicode_properties[index];
    struct och_codeset found;
    och_codeset_init(&found, set->mem);
    add_categories(&found, property->categories);
    differ(&found, property->first, property->count);
    och_codeset_unite(set, &found);
    och_codeset_clear(&found);
}

static void
add_script_extensions(struct och_codeset *set, uint32_t index)
{
    const struct och_unicode_script *script = &och_unicode_scripts[index];
    struct och_codeset found;
    och_codeset_init(&found, set->mem);
    add_script(&found, index);
    differ(&found, script->first, script->count);
    och_codeset_unite(set, &found);
    och_codeset_clear(&found);
}

/* --- names ---------------------------------------------------------------- */

/* A name without what does not count in it (UAX #44, rule LM3).  What is not
 * ASCII does not count either. */
static void
normalize(const char *name, size_t size, char out[NAME_SIZE_MAX])
{
    bool is = size >= 2 && (name[0] | 0x20) == 'i' && (name[1] | 0x20) == 's';
    size_t n = 0;
    for (size_t i = is ? 2 : 0; i < size && n < NAME_SIZE_MAX - 1; i++) {
        char c = name[i];
        if (c == ' ' || c == '_' || c == '-' || ((unsigned char) c & 0x80) != 0)
            continue;
        if (c == '\0')
            c = '?'; /* is in no name either, and ends no string */
        out[n++] = c >= 'A' && c <= 'Z' ? (char) (c | 0x20) : c;
    }
    out[n] = '\0';
    if (is && strcmp(out, "c") == 0) /* "isc" is a name of its own */
        memcpy(out, "isc", sizeof("isc"));
}

static bool
look_up(const struct och_unicode_name *names, size_t n, const char *name, uint32_t *value_out)
{
    size_t low = 0;
    size_t high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(names[middle].name, name);
        if (order == 0) {
            *value_out = names[middle].value;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static bool
add_named_category(struct och_codeset *set, const char *name)
{
    uint32_t value = 0;
    if (strcmp(name, "any") == 0)
        och_codeset_add(set, 0, OCH_CODE_POINT_MAX);
    else if (strcmp(name, "ascii") == 0)
        och_codeset_add(set, 0, 0x7f);
    else if (strcmp(name, "assigned") == 0)
        add_categories(set, ALL_CATEGORIES & ~(UINT32_C(1) << OCH_UNICODE_UNASSIGNED_BIT));
    else if (look_up(och_unicode_category_names, och_unicode_n_category_names, name, &value))
        add_categories(set, value);
    else
        return false;
    return true;
}

static bool
look_up_script(const char *name, uint32_t *script_out)
{
    return look_up(och_unicode_script_names, och_unicode_n_script_names, name, script_out);
}

static och_unicode_answer
add_by_name(struct och_codeset *set, const char *name)
{
    uint32_t value = 0;
    if (look_up(och_unicode_property_names, och_unicode_n_property_names, name, &value)) {
        add_property(set, value);
        return OCH_UNICODE_FOUND;
    }
    if (add_named_category(set, name))
        return OCH_UNICODE_FOUND;
    if (!look_up_script(name, &value))
        return OCH_UNICODE_NO_PROPERTY;
    add_script(set, value);
    return OCH_UNICODE_FOUND;
}

static och_unicode_answer
add_by_value(struct och_codeset *set, const char *property, const char *name)
{
    uint32_t script = 0;
    if (strcmp(property, "gc") == 0 || strcmp(property, "generalcategory") == 0)
        return add_named_category(set, name) ? OCH_UNICODE_FOUND : OCH_UNICODE_NO_VALUE;
    if (strcmp(property, "sc") == 0 || strcmp(property, "script") == 0) {
        if (!look_up_script(name, &script))
            return OCH_UNICODE_NO_VALUE;
        add_script(set, script);
        return OCH_UNICODE_FOUND;
    }
    if (strcmp(property, "scx") == 0 || strcmp(property, "scriptextensions") == 0) {
        if (!look_up_script(name, &script))
            return OCH_UNICODE_NO_VALUE;
        add_script_extensions(set, script);
        return OCH_UNICODE_FOUND;
    }
    for (size_t i = 0; i < sizeof(not_here) / sizeof(not_here[0]); i++)
        if (strcmp(property, not_here[i]) == 0)
            return OCH_UNICODE_NOT_HERE;
    return OCH_UNICODE_NO_PROPERTY;
}

och_unicode_answer
och_unicode_add(struct och_codeset *set, const char *name, size_t size, bool *unequal_out)
{
    const char *middle = memmem(name, size, "!=", 2);
    size_t width = 2;
    *unequal_out = middle != NULL;
    if (middle == NULL) {
        width = 1;
        middle = memchr(name, ':', size);
    }
    if (middle == NULL)
        middle = memchr(name, '=', size);

    char property[NAME_SIZE_MAX];
    if (middle == NULL) {
        normalize(name, size, property);
        return add_by_name(set, property);
    }
    char value[NAME_SIZE_MAX];
    size_t property_size = (size_t) (middle - name);
    normalize(name, property_size, property);
    normalize(middle + width, size - property_size - width, value);
    return add_by_value(set, property, value);
}

void
och_unicode_add_word(struct och_codeset *set)
{
    add_property(set, OCH_UNICODE_WORD);
}

void
och_unicode_add_digit(struct och_codeset *set)
{
    add_categories(set, UINT32_C(1) << OCH_UNICODE_DIGIT_BIT);
}

void
och_unicode_add_space(struct och_codeset *set)
{
    add_property(set, OCH_UNICODE_WHITE_SPACE);
}

/* --- folding -------------------------------------------------------------- */

/* Where in the table the ring of this code point may be. */
static size_t
seek_fold(uint32_t code_point)
{
    size_t low = 0;
    size_t high = och_unicode_n_folds;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (och_unicode_folds[middle].code_point < code_point)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Add the others of entry `at`'s ring.  A ring has at most four members. */
static void
add_ring(struct och_codeset *set, size_t at)
{
    uint32_t start = och_unicode_folds[at].code_point;
    uint32_t next = och_unicode_folds[at].next;
    while (next != start) {
        och_codeset_add(set, next, next);
        next = och_unicode_folds[seek_fold(next)].next;
    }
}

void
och_unicode_fold(struct och_codeset *set)
{
    struct och_codeset others;
    och_codeset_init(&others, set->mem);
    for (size_t i = 0; i < set->n; i++) {
        const struct och_code_range *range = &set->ranges[i];
        for (size_t at = seek_fold(range->first);
                at < och_unicode_n_folds && och_unicode_folds[at].code_point <= range->last; at++)
            add_ring(&others, at);
    }
    if (others.n > 0 || others.failed)
        och_codeset_unite(set, &others);
    och_codeset_clear(&others);
}

/* --- single code points --------------------------------------------------- */

static uint32_t
category_bit_of(uint32_t code_point)
{
    size_t low = 0; /* the run that begins at or before it */
    size_t high = och_unicode_n_category_runs;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (och_unicode_category_runs[middle] >> 8 <= code_point)
            low = middle;
        else
            high = middle;
    }
    return UINT32_C(1) << (och_unicode_category_runs[low] & 0xff);
}

static bool
has_property(uint32_t code_point, uint32_t index)
{
    const struct och_unicode_property *property = &och_unicode_properties[index];
    bool guess = (property->categories & category_bit_of(code_point)) != 0;
    for (size_t i = 0; i < property->count; i++) {
        const struct och_unicode_range *range = &och_unicode_differences[property->first + i];
        if (range->first <= code_point && code_point <= range->last)
            return !guess;
    }
    return guess;
}

bool
och_unicode_begins_name(uint32_t code_point)
{
    return code_point == '_' || has_property(code_point, OCH_UNICODE_ALPHABETIC);
}

bool
och_unicode_continues_name(uint32_t code_point)
{
    const uint32_t numbers = UINT32_C(7) << OCH_UNICODE_DIGIT_BIT;
    return och_unicode_begins_name(code_point) || code_point == '.' || code_point == '[' ||
            code_point == ']' || (category_bit_of(code_point) & numbers) != 0;
}

bool
och_unicode_is_space(uint32_t code_point)
{
    return has_property(code_point, OCH_UNICODE_WHITE_SPACE);
}
