#include "unit/index/random_metadata.h"

#include <float.h>
#include <string.h>

#include "base/arena.h"
#include "base/random.h"
#include "support/check.h"

struct ochre_bytes
text(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

bool
same_text(struct ochre_bytes a, struct ochre_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

struct ochre_bytes
random_key(uint64_t *seed)
{
    static const char *const keys[] = {
            "a", "aa", "b", "", "chroma:x", "chroma", "\xc3\xa9", "a b", "z"};
    if (och_random_below(seed, 12) == 0)
        return (struct ochre_bytes){"a\0b", 3};
    return text(keys[och_random_below(seed, sizeof(keys) / sizeof(keys[0]))]);
}

static int64_t
random_integer(uint64_t *seed)
{
    static const int64_t edges[] = {INT64_MIN, INT64_MAX, INT64_MIN + 1, INT64_MAX - 1,
            INT64_C(1) << 53, (INT64_C(1) << 53) + 1, -(INT64_C(1) << 53) - 1};
    if (och_random_below(seed, 4) == 0)
        return edges[och_random_below(seed, sizeof(edges) / sizeof(edges[0]))];
    return (int64_t) och_random_below(seed, 7) - 3;
}

static double
random_number(uint64_t *seed)
{
    static const double edges[] = {0.5, -0.5, 9007199254740992.0, -9007199254740994.0, -0.0,
            9223372036854775808.0, -9223372036854775808.0, 1e300, -1e300, DBL_MIN,
            4611686018427387904.0};
    if (och_random_below(seed, 2) == 0)
        return edges[och_random_below(seed, sizeof(edges) / sizeof(edges[0]))];
    return (double) och_random_below(seed, 7) - 3;
}

static struct ochre_bytes
random_string(uint64_t *seed)
{
    static const char *const strings[] = {"", "x", "xy", "\xe6\x97\xa5", "1", "true"};
    if (och_random_below(seed, 8) == 0)
        return (struct ochre_bytes){"x\0y", 3};
    return text(strings[och_random_below(seed, sizeof(strings) / sizeof(strings[0]))]);
}

static void *
take(struct och_arena *arena, size_t n, size_t size)
{
    void *items = och_arena_take_array(arena, n, size);
    check(items != NULL);
    return items;
}

static void
random_list(struct och_arena *arena, uint64_t *seed, struct ochre_value *list)
{
    list->n = 1 + (uint32_t) och_random_below(seed, 5);
    bool *booleans = take(arena, list->n, sizeof(*booleans));
    int64_t *integers = take(arena, list->n, sizeof(*integers));
    double *numbers = take(arena, list->n, sizeof(*numbers));
    struct ochre_bytes *strings = take(arena, list->n, sizeof(*strings));
    for (uint32_t i = 0; i < list->n; i++) {
        booleans[i] = och_random_below(seed, 2) != 0;
        integers[i] = random_integer(seed);
        numbers[i] = random_number(seed);
        strings[i] = random_string(seed);
    }
    if (list->type == OCHRE_VALUE_BOOL_LIST)
        list->as.booleans = booleans;
    else if (list->type == OCHRE_VALUE_INT_LIST)
        list->as.integers = integers;
    else if (list->type == OCHRE_VALUE_FLOAT_LIST)
        list->as.numbers = numbers;
    else
        list->as.strings = strings;
}

struct ochre_value
random_value(struct och_arena *arena, uint64_t *seed, ochre_value_type type)
{
    struct ochre_value value = {.type = type};
    switch (type) {
    case OCHRE_VALUE_NULL:
        break;
    case OCHRE_VALUE_BOOL:
        value.as.boolean = och_random_below(seed, 2) != 0;
        break;
    case OCHRE_VALUE_INT:
        value.as.integer = random_integer(seed);
        break;
    case OCHRE_VALUE_FLOAT:
        value.as.number = random_number(seed);
        break;
    case OCHRE_VALUE_STRING:
        value.as.string = random_string(seed);
        break;
    case OCHRE_VALUE_BOOL_LIST:
    case OCHRE_VALUE_INT_LIST:
    case OCHRE_VALUE_FLOAT_LIST:
    case OCHRE_VALUE_STRING_LIST:
        random_list(arena, seed, &value);
        break;
    }
    return value;
}

struct ochre_metadata
random_metadata(struct och_arena *arena, uint64_t *seed, bool nulls)
{
    size_t n = och_random_below(seed, 7);
    struct ochre_field *fields = take(arena, n, sizeof(*fields));
    for (size_t i = 0; i < n; i++) {
        uint64_t type = och_random_below(seed, OCHRE_VALUE_STRING_LIST + 1);
        if (type == OCHRE_VALUE_NULL && !nulls)
            type = OCHRE_VALUE_INT;
        fields[i].key = random_key(seed);
        fields[i].value = random_value(arena, seed, (ochre_value_type) type);
    }
    return (struct ochre_metadata){fields, n};
}

static bool
same_list(const struct ochre_value *a, const struct ochre_value *b)
{
    if (a->n != b->n)
        return false;
    bool same = true;
    for (uint32_t i = 0; i < a->n; i++) {
        if (a->type == OCHRE_VALUE_BOOL_LIST)
            same = same && a->as.booleans[i] == b->as.booleans[i];
        else if (a->type == OCHRE_VALUE_INT_LIST)
            same = same && a->as.integers[i] == b->as.integers[i];
        else if (a->type == OCHRE_VALUE_FLOAT_LIST)
            same = same && a->as.numbers[i] == b->as.numbers[i];
        else
            same = same && same_text(a->as.strings[i], b->as.strings[i]);
    }
    return same;
}

bool
same_value(const struct ochre_value *a, const struct ochre_value *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case OCHRE_VALUE_NULL:
        return true;
    case OCHRE_VALUE_BOOL:
        return a->as.boolean == b->as.boolean;
    case OCHRE_VALUE_INT:
        return a->as.integer == b->as.integer;
    case OCHRE_VALUE_FLOAT:
        return a->as.number == b->as.number;
    case OCHRE_VALUE_STRING:
        return same_text(a->as.string, b->as.string);
    case OCHRE_VALUE_BOOL_LIST:
    case OCHRE_VALUE_INT_LIST:
    case OCHRE_VALUE_FLOAT_LIST:
    case OCHRE_VALUE_STRING_LIST:
        return same_list(a, b);
    }
    return false;
}

const struct ochre_value *
last_value(const struct ochre_metadata *metadata, struct ochre_bytes key)
{
    for (size_t i = metadata->n_fields; i > 0; i--)
        if (same_text(metadata->fields[i - 1].key, key))
            return &metadata->fields[i - 1].value;
    return NULL;
}
