/*
 * fuzz_fields.c - metadata as it is stored: two records' fields, old and new.
 *
 * The first byte says where the old ones end and the new ones begin; before it
 * there may be a shortage of memory (shortage.h), for decoding and encoding.
 *
 * Held against: what is well-formed is walked inside its bytes, in order, and
 * each field is found by its key; decoded and encoded it is well-formed and
 * encodes to itself; one merged over the other is what the decoded fields of
 * both, one behind the other, encode to.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "fuzz/shortage.h"
#include "index/meta/fields.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What one run works with. */
struct run {
    struct och_mem mem;
    struct och_arena arena;
    struct och_buf old, update, both, merged;
};

static struct ochre_bytes
bytes_of(const struct och_buf *buf)
{
    return (struct ochre_bytes){buf->data, buf->size};
}

static bool
is_same(const struct och_buf *a, const struct och_buf *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

static void
check_walk(struct ochre_bytes fields)
{
    struct och_fields_cursor cursor = och_fields_begin(fields);
    struct och_field_view view, found;
    uint32_t n = 0;
    while (och_fields_next(&cursor, &view)) {
        och_assert(view.key.data >= fields.data && view.value >= view.key.data + view.key.size);
        och_assert(view.value + view.value_size <= fields.data + fields.size);
        och_assert(och_fields_find(fields, view.key, &found) && found.value == view.value);
        och_assert(och_field_list_count(&view) <= view.value_size);
        n++;
    }
    och_assert(n == och_fields_count(fields));
    och_assert(!och_fields_find(fields, (struct ochre_bytes){"\xff no such key", 14}, &found));
}

/* Append what `fields` decode to; false: memory was short. */
static bool
encode_again(
        struct och_arena *arena, struct ochre_bytes fields, bool keep_nulls, struct och_buf *buf)
{
    struct ochre_metadata metadata;
    return och_fields_decode(arena, fields, false, &metadata) == OCHRE_OK &&
            och_fields_encode(buf, arena, &metadata, keep_nulls) == OCHRE_OK;
}

static void
check_hidden(struct och_arena *arena, struct ochre_bytes fields)
{
    struct ochre_metadata all, shown;
    och_assert(och_fields_decode(arena, fields, false, &all) == OCHRE_OK);
    och_assert(och_fields_decode(arena, fields, true, &shown) == OCHRE_OK);
    size_t n = 0;
    for (size_t i = 0; i < all.n_fields; i++) {
        struct ochre_bytes key = all.fields[i].key;
        if (key.size < 7 || memcmp(key.data, "chroma:", 7) != 0)
            och_assert(n < shown.n_fields && shown.fields[n++].key.data == key.data);
    }
    och_assert(n == shown.n_fields);
}

/* The fields of both as one list, the new ones last. */
static void
join(struct run *run, struct ochre_bytes old, struct ochre_bytes update)
{
    struct ochre_metadata a, b;
    och_assert(och_fields_decode(&run->arena, old, false, &a) == OCHRE_OK);
    och_assert(och_fields_decode(&run->arena, update, false, &b) == OCHRE_OK);
    struct ochre_field *fields =
            och_arena_take_array(&run->arena, a.n_fields + b.n_fields, sizeof(*fields));
    och_assert(fields != NULL);
    for (size_t i = 0; i < a.n_fields; i++)
        fields[i] = a.fields[i];
    for (size_t i = 0; i < b.n_fields; i++)
        fields[a.n_fields + i] = b.fields[i];
    struct ochre_metadata joined = {fields, a.n_fields + b.n_fields};
    och_assert(och_fields_encode(&run->both, &run->arena, &joined, false) == OCHRE_OK);
}

static void
check_both(struct run *run, struct ochre_bytes old, struct ochre_bytes update)
{
    /* Stored as the engine stores them: no nulls in the old ones. */
    och_assert(encode_again(&run->arena, old, false, &run->old));
    och_assert(encode_again(&run->arena, update, true, &run->update));
    struct ochre_bytes stored = bytes_of(&run->old), change = bytes_of(&run->update);
    och_assert(och_fields_are_valid(stored) && och_fields_are_valid(change));
    och_assert(encode_again(&run->arena, change, true, &run->both));
    och_assert(is_same(&run->update, &run->both));
    och_buf_reset(&run->both);

    och_fields_merge(&run->merged, stored, change);
    join(run, stored, change);
    och_assert(och_buf_status(&run->merged) == OCHRE_OK && is_same(&run->merged, &run->both));
    och_buf_reset(&run->merged);

    /* No fields at all are the same as a list of none. */
    och_fields_merge(&run->merged, (struct ochre_bytes){NULL, 0}, stored);
    och_assert(is_same(&run->merged, &run->old));
    och_buf_reset(&run->merged);
    och_fields_merge(&run->merged, stored, (struct ochre_bytes){NULL, 0});
    och_assert(is_same(&run->merged, &run->old));
}

static void
check_short(struct shortage shortage, struct ochre_bytes fields)
{
    struct och_mem mem;
    struct och_arena arena;
    struct och_buf buf;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    och_buf_init(&buf, &mem, SIZE_MAX / 2);
    fuzz_run_short(shortage, &arena);
    if (encode_again(&arena, fields, true, &buf))
        och_assert(och_fields_are_valid(bytes_of(&buf)));
    och_buf_reset(&buf);
    och_fields_merge(&buf, fields, fields);
    if (och_buf_status(&buf) == OCHRE_OK)
        och_assert(och_fields_are_valid(bytes_of(&buf)));
    och_buf_clear(&buf);
    och_arena_clear(&arena);
    och_assert(och_mem_used(&mem) == 0);
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
    struct ochre_bytes old = {input.data + 1, split};
    struct ochre_bytes update = {old.data + split, input.size - 1 - split};
    och_assert(och_fields_are_valid((struct ochre_bytes){NULL, 0}));
    if (!och_fields_are_valid(old) || !och_fields_are_valid(update))
        return 0;
    if (shortage.kind != SHORTAGE_NONE) {
        check_short(shortage, old);
        check_short(shortage, update);
        return 0;
    }
    struct run run;
    och_mem_init(&run.mem, NULL);
    och_arena_init(&run.arena, &run.mem);
    och_buf_init(&run.old, &run.mem, SIZE_MAX / 2);
    och_buf_init(&run.update, &run.mem, SIZE_MAX / 2);
    och_buf_init(&run.both, &run.mem, SIZE_MAX / 2);
    och_buf_init(&run.merged, &run.mem, SIZE_MAX / 2);
    check_walk(old);
    check_walk(update);
    check_hidden(&run.arena, update);
    check_both(&run, old, update);
    och_buf_clear(&run.old);
    och_buf_clear(&run.update);
    och_buf_clear(&run.both);
    och_buf_clear(&run.merged);
    och_arena_clear(&run.arena);
    och_assert(och_mem_used(&run.mem) == 0);
    return 0;
}
