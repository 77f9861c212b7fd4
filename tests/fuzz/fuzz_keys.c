/*
 * fuzz_keys.c - the keys a collection has seen, as the catalog stores them, and
 * a record's metadata that is added to them.
 *
 * The first byte says where the keys end and the metadata begins; before it
 * there may be a shortage of memory (shortage.h).
 *
 * Held against: keys that decode encode to the same bytes; adding fields gives
 * the keys before and those of the fields, in order, with their types, by the
 * plainest search; short of memory, the set is as it was.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "fuzz/shortage.h"
#include "index/meta/fields.h"
#include "index/meta/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_same(struct ochre_bytes a, struct ochre_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static bool
is_before(struct ochre_bytes a, struct ochre_bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    return order < 0 || (order == 0 && a.size < b.size);
}

/* The types seen for a key; 0 when it is not there. */
static uint32_t
types_of(const struct och_keys *keys, struct ochre_bytes key)
{
    size_t n;
    const struct och_key *list = och_keys_list(keys, &n);
    for (size_t i = 0; i < n; i++)
        if (is_same(list[i].key, key))
            return list[i].types;
    return 0;
}

/* The bit that one field adds: its type, or its elements'. */
static uint32_t
bit_of(const struct och_field_view *view)
{
    unsigned type = (unsigned) view->type;
    bool is_hidden = view->key.size >= 7 && memcmp(view->key.data, "chroma:", 7) == 0;
    if (type == OCHRE_VALUE_NULL || is_hidden)
        return 0;
    return 1u << (type > OCHRE_VALUE_STRING ? type - OCHRE_VALUE_STRING : type);
}

static void
check_encoding(struct och_mem *mem, const struct och_keys *keys, struct ochre_bytes bytes)
{
    struct och_buf buf;
    och_buf_init(&buf, mem, SIZE_MAX / 2);
    och_keys_encode(&buf, keys);
    och_assert(och_buf_status(&buf) == OCHRE_OK);
    och_assert(is_same(bytes, (struct ochre_bytes){buf.data, buf.size}));
    och_buf_clear(&buf);
}

static void
check_sum(const struct och_keys *before, const struct och_keys *after, struct ochre_bytes fields)
{
    size_t n_before, n, n_new = 0;
    const struct och_key *list = och_keys_list(after, &n);
    const struct och_key *old = och_keys_list(before, &n_before);
    for (size_t i = 1; i < n; i++)
        och_assert(is_before(list[i - 1].key, list[i].key));
    struct och_fields_cursor cursor = och_fields_begin(fields);
    struct och_field_view view;
    while (och_fields_next(&cursor, &view)) {
        uint32_t bit = bit_of(&view);
        if (bit == 0)
            continue;
        och_assert(types_of(after, view.key) == (types_of(before, view.key) | bit));
        bool is_known = false;
        for (size_t i = 0; i < n_before; i++)
            is_known |= is_same(old[i].key, view.key);
        n_new += !is_known;
    }
    for (size_t i = 0; i < n_before; i++)
        och_assert((types_of(after, old[i].key) & old[i].types) == old[i].types);
    och_assert(n == n_before + n_new);
}

static void
run(struct shortage shortage, struct ochre_bytes bytes, struct ochre_bytes fields)
{
    struct och_mem plenty, mem;
    struct och_keys *keys, *grown;
    och_mem_init(&plenty, NULL);
    och_mem_init(&mem, NULL);
    if (shortage.kind != SHORTAGE_NONE)
        mem.fail_from = (uint64_t) shortage.n + 1;
    ochre_status status = och_keys_decode(&mem, bytes, &grown);
    och_assert((status == OCHRE_OK) == (grown != NULL));
    och_assert(status != OCHRE_NO_MEMORY || shortage.kind != SHORTAGE_NONE);
    if (status == OCHRE_OK) {
        och_assert(och_keys_decode(&plenty, bytes, &keys) == OCHRE_OK);
        check_encoding(&plenty, grown, bytes);
        struct och_keys *before = och_keys_retain(grown);
        status = och_keys_add(&grown, fields);
        och_assert(status == OCHRE_OK || shortage.kind != SHORTAGE_NONE);
        och_assert(status == OCHRE_OK || grown == before);
        check_encoding(&plenty, before, bytes);
        if (status == OCHRE_OK)
            check_sum(keys, grown, fields);
        och_keys_release(before);
        och_keys_release(grown);
        och_keys_release(keys);
    }
    och_assert(och_mem_used(&plenty) == 0 && och_mem_used(&mem) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ochre_bytes input;
    struct shortage shortage = fuzz_shortage(data, size, &input);
    if (input.size == 0)
        return 0;
    size_t split = (uint8_t) input.data[0];
    split = split < input.size - 1 ? split : input.size - 1;
    struct ochre_bytes keys = {input.data + 1, split};
    struct ochre_bytes fields = {keys.data + split, input.size - 1 - split};
    if (och_fields_are_valid(fields))
        run(shortage, keys, fields);
    /* Absent, they are the empty set. */
    struct och_mem mem;
    struct och_keys *empty;
    size_t n;
    och_mem_init(&mem, NULL);
    och_assert(och_keys_decode(&mem, (struct ochre_bytes){NULL, 0}, &empty) == OCHRE_OK);
    (void) och_keys_list(empty, &n);
    och_assert(n == 0);
    och_keys_release(empty);
    return 0;
}
