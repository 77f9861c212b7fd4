#include "index/meta/keys.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "index/meta/fields.h"

/* One block: the struct, the entries, the keys' bytes. */
struct och_keys {
    struct och_mem *mem; /* borrowed */
    atomic_uint n_owners;
    size_t block_size;
    size_t n;
    struct och_key entries[];
};

static int
compare_keys(struct ochre_bytes a, struct ochre_bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

/* Room for n entries whose keys have `text_size` bytes together. */
static struct och_keys *
make_room(struct och_mem *mem, size_t n, size_t text_size)
{
    size_t size = sizeof(struct och_keys) + n * sizeof(struct och_key) + text_size;
    struct och_keys *keys = och_mem_take(mem, size);
    if (keys == NULL)
        return NULL;
    keys->mem = mem;
    atomic_init(&keys->n_owners, 1);
    keys->block_size = size;
    keys->n = 0;
    return keys;
}

/* Append an entry, copying its key to *text. */
static void
append(struct och_keys *keys, char **text, struct ochre_bytes key, uint32_t types)
{
    if (key.size > 0)
        memcpy(*text, key.data, key.size);
    keys->entries[keys->n++] = (struct och_key){{*text, key.size}, types};
    *text += key.size;
}

ochre_status
och_keys_make(struct och_mem *mem, struct och_keys **keys_out)
{
    *keys_out = make_room(mem, 0, 0);
    return *keys_out == NULL ? OCHRE_NO_MEMORY : OCHRE_OK;
}

struct och_keys *
och_keys_retain(struct och_keys *keys)
{
    (void) atomic_fetch_add_explicit(&keys->n_owners, 1, memory_order_relaxed);
    return keys;
}

void
och_keys_release(struct och_keys *keys)
{
    if (keys == NULL)
        return;
    if (atomic_fetch_sub_explicit(&keys->n_owners, 1, memory_order_acq_rel) == 1)
        och_mem_release(keys->mem, keys, keys->block_size);
}

const struct och_key *
och_keys_list(const struct och_keys *keys, size_t *n_out)
{
    *n_out = keys->n;
    return keys->entries;
}

/* The set's bit for a value's type, 0 for what adds nothing. */
static uint32_t
type_bit(const struct och_field_view *view)
{
    static const char hidden[] = "chroma:";
    if (view->type == OCHRE_VALUE_NULL)
        return 0;
    if (view->key.size >= sizeof(hidden) - 1 &&
            memcmp(view->key.data, hidden, sizeof(hidden) - 1) == 0)
        return 0;
    unsigned type = (unsigned) view->type;
    if (type >= (unsigned) OCHRE_VALUE_BOOL_LIST)
        type -= (unsigned) OCHRE_VALUE_BOOL_LIST - (unsigned) OCHRE_VALUE_BOOL;
    return 1u << type;
}

/* The entry of `key` at or after *at, both being walked in order. */
static const struct och_key *
advance(const struct och_keys *keys, size_t *at, struct ochre_bytes key)
{
    while (*at < keys->n && compare_keys(keys->entries[*at].key, key) < 0)
        (*at)++;
    if (*at < keys->n && compare_keys(keys->entries[*at].key, key) == 0)
        return &keys->entries[*at];
    return NULL;
}

/* Would `fields` change the set?  Counts the new keys and their bytes. */
static bool
has_news(const struct och_keys *keys, struct ochre_bytes fields, size_t *n_out, size_t *size_out)
{
    bool news = false;
    size_t at = 0;
    struct och_fields_cursor cursor = och_fields_begin(fields);
    struct och_field_view view;
    while (och_fields_next(&cursor, &view)) {
        uint32_t bit = type_bit(&view);
        if (bit == 0)
            continue;
        const struct och_key *known = advance(keys, &at, view.key);
        if (known == NULL) {
            (*n_out)++;
            *size_out += view.key.size;
            news = true;
        } else if ((known->types & bit) == 0) {
            news = true;
        }
    }
    return news;
}

ochre_status
och_keys_add(struct och_keys **keys, struct ochre_bytes fields)
{
    struct och_keys *old = *keys;
    size_t n = old->n;
    size_t text_size = 0;
    for (size_t i = 0; i < old->n; i++)
        text_size += old->entries[i].key.size;
    if (!has_news(old, fields, &n, &text_size))
        return OCHRE_OK;

    struct och_keys *grown = make_room(old->mem, n, text_size);
    if (grown == NULL)
        return OCHRE_NO_MEMORY;
    char *text = (char *) (grown->entries + n);
    size_t at = 0;
    struct och_fields_cursor cursor = och_fields_begin(fields);
    struct och_field_view view;
    while (och_fields_next(&cursor, &view)) {
        uint32_t bit = type_bit(&view);
        if (bit == 0)
            continue;
        for (; at < old->n && compare_keys(old->entries[at].key, view.key) < 0; at++)
            append(grown, &text, old->entries[at].key, old->entries[at].types);
        uint32_t types = bit;
        if (at < old->n && compare_keys(old->entries[at].key, view.key) == 0)
            types |= old->entries[at++].types;
        append(grown, &text, view.key, types);
    }
    for (; at < old->n; at++)
        append(grown, &text, old->entries[at].key, old->entries[at].types);
    och_assert(grown->n == n);
    och_keys_release(old);
    *keys = grown;
    return OCHRE_OK;
}

void
och_keys_encode(struct och_buf *buf, const struct och_keys *keys)
{
    och_buf_put_u32(buf, (uint32_t) keys->n);
    for (size_t i = 0; i < keys->n; i++) {
        och_buf_put_u32(buf, keys->entries[i].types);
        och_buf_put_bytes(buf, keys->entries[i].key.data, keys->entries[i].key.size);
    }
}

ochre_status
och_keys_decode(struct och_mem *mem, struct ochre_bytes bytes, struct och_keys **keys_out)
{
    *keys_out = NULL;
    if (bytes.data == NULL)
        return och_keys_make(mem, keys_out);
    struct och_reader reader;
    och_reader_init(&reader, bytes.data, bytes.size);
    uint32_t n = och_reader_u32(&reader);
    if (reader.failed || n > reader.left / 8)
        return OCHRE_CORRUPT;
    struct och_keys *keys = make_room(mem, n, reader.left);
    if (keys == NULL)
        return OCHRE_NO_MEMORY;
    char *text = (char *) (keys->entries + n);
    bool sorted = true;
    for (uint32_t i = 0; i < n && !reader.failed; i++) {
        uint32_t types = och_reader_u32(&reader);
        uint32_t size = och_reader_u32(&reader);
        struct ochre_bytes key = {och_reader_bytes(&reader, size), size};
        if (reader.failed)
            break;
        sorted = sorted && (i == 0 || compare_keys(keys->entries[i - 1].key, key) < 0);
        append(keys, &text, key, types);
    }
    if (reader.failed || reader.left != 0 || !sorted) {
        och_keys_release(keys);
        return OCHRE_CORRUPT;
    }
    *keys_out = keys;
    return OCHRE_OK;
}
