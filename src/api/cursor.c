#include "api/cursor.h"

#include "api/names.h"
#include "api/ops.h"
#include "base/error.h"
#include "base/hash.h"

/* Of this form of cursor: another would have another one. */
#define CHECK_SEED UINT64_C(0x6f63685f63757231)

enum { WORDS = 4, DIGITS = 16, SHOWN_MAX = 80 };

static_assert(WORDS * DIGITS == OCH_CURSOR_SIZE, "a cursor is four numbers");

/* --- what is asked ------------------------------------------------------------ */

static uint64_t
mix_number(uint64_t hash, uint64_t number)
{
    return och_hash64_seeded(&number, sizeof(number), hash);
}

static uint64_t
mix_bytes(uint64_t hash, struct ochre_bytes bytes)
{
    hash = mix_number(hash, bytes.data == NULL ? UINT64_MAX : bytes.size);
    return bytes.size == 0 ? hash : och_hash64_seeded(bytes.data, bytes.size, hash);
}

static uint64_t
mix_value(uint64_t hash, const struct ochre_value *value)
{
    hash = mix_number(hash, (uint64_t) value->type << 32 | value->n);
    switch (value->type) {
    case OCHRE_VALUE_NULL:
        return hash;
    case OCHRE_VALUE_BOOL:
        return mix_number(hash, value->as.boolean);
    case OCHRE_VALUE_INT:
        return mix_number(hash, (uint64_t) value->as.integer);
    case OCHRE_VALUE_FLOAT:
        return och_hash64_seeded(&value->as.number, sizeof(value->as.number), hash);
    case OCHRE_VALUE_STRING:
        return mix_bytes(hash, value->as.string);
    case OCHRE_VALUE_BOOL_LIST:
        for (uint32_t i = 0; i < value->n; i++)
            hash = mix_number(hash, value->as.booleans[i]);
        return hash;
    case OCHRE_VALUE_INT_LIST:
        for (uint32_t i = 0; i < value->n; i++)
            hash = mix_number(hash, (uint64_t) value->as.integers[i]);
        return hash;
    case OCHRE_VALUE_FLOAT_LIST:
        for (uint32_t i = 0; i < value->n; i++)
            hash = och_hash64_seeded(&value->as.numbers[i], sizeof(value->as.numbers[i]), hash);
        return hash;
    case OCHRE_VALUE_STRING_LIST:
        for (uint32_t i = 0; i < value->n; i++)
            hash = mix_bytes(hash, value->as.strings[i]);
        return hash;
    }
    return hash;
}

uint64_t
och_cursor_digest(struct och_uuid collection, const struct och_select_input *select)
{
    uint64_t hash = och_hash64(collection.bytes, sizeof(collection.bytes));
    hash = mix_number(hash, select->has_ids ? select->n_ids : UINT64_MAX);
    for (size_t i = 0; select->has_ids && i < select->n_ids; i++)
        hash = mix_bytes(hash, select->ids[i]);
    hash = mix_number(hash, select->filter.n_nodes);
    for (size_t i = 0; i < select->filter.n_nodes; i++) {
        const struct ochre_filter_node *node = &select->filter.nodes[i];
        bool is_leaf = node->op != OCHRE_FILTER_AND && node->op != OCHRE_FILTER_OR;
        hash = mix_number(hash, (uint64_t) node->op << 32 | node->size);
        if (!is_leaf)
            continue;
        hash = mix_number(hash, (uint64_t) node->field);
        hash = mix_bytes(hash, node->key);
        hash = mix_value(hash, &node->value);
    }
    return hash;
}

/* --- text ----------------------------------------------------------------------- */

static uint64_t
check_of(const uint64_t words[WORDS])
{
    uint64_t hash = CHECK_SEED;
    for (unsigned i = 0; i < WORDS - 1; i++)
        hash = mix_number(hash, words[i]);
    return hash;
}

void
och_cursor_put(const struct och_cursor *cursor, char text[OCH_CURSOR_SIZE])
{
    uint64_t words[WORDS] = {cursor->position, cursor->ordinal, cursor->digest, 0};
    words[WORDS - 1] = check_of(words);
    for (unsigned i = 0; i < OCH_CURSOR_SIZE; i++)
        text[i] = "0123456789abcdef"[words[i / DIGITS] >> (60 - i % DIGITS * 4) & 15];
}

/* The value of a digit; 16 and above: it is none. */
static unsigned
digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned) (c - '0');
    return c >= 'a' && c <= 'f' ? (unsigned) (c - 'a') + 10 : 16;
}

ochre_status
och_cursor_parse(struct ochre_bytes text, uint64_t digest, struct och_cursor *cursor_out,
        struct ochre_error *err)
{
    uint64_t words[WORDS] = {0};
    bool is_one = text.size == OCH_CURSOR_SIZE;
    for (unsigned i = 0; is_one && i < OCH_CURSOR_SIZE; i++) {
        unsigned digit = digit_of(text.data[i]);
        is_one = digit < 16;
        words[i / DIGITS] = words[i / DIGITS] << 4 | digit;
    }
    if (!is_one || words[WORDS - 1] != check_of(words))
        return och_fail(err, OCHRE_INVALID,
                "Validation error: cursor: '%.*s' is none; it must be one that an answer had, or "
                "empty to begin",
                och_name_shown(text, SHOWN_MAX), text.data);
    if (words[2] != digest)
        return och_fail(err, OCHRE_INVALID,
                "Validation error: cursor: it belongs to another collection, or to other ids or "
                "another filter");
    *cursor_out = (struct och_cursor){words[0], words[1], words[2]};
    return OCHRE_OK;
}
