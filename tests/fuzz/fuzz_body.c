/*
 * fuzz_body.c - every decoder of a request's body.
 *
 * The first byte says which, the rest is the body.  What a decoder accepts is
 * read from end to end, so that a sanitizer sees a slice that lies outside, and
 * gives the same sum when it is decoded again.  Short of memory (shortage.h) it
 * is accepted or refused for that; what is wrong with it is told the same way.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/mem.h"
#include "fuzz/shortage.h"
#include "wire/json_catalog.h"
#include "wire/json_read.h"
#include "wire/json_records.h"
#include "wire/json_search.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned sum; /* of all that was read */

static void
use(const void *bytes, size_t size)
{
    const unsigned char *next = bytes;
    for (size_t i = 0; i < size; i++)
        sum = sum * 31 + next[i];
}

static void
use_strings(const struct ochre_bytes *strings, size_t n)
{
    for (size_t i = 0; i < n && n != OCH_NOT_GIVEN; i++)
        use(strings[i].data, strings[i].size);
}

static void
use_metadata(const struct ochre_metadata *metadata)
{
    for (size_t i = 0; i < metadata->n_fields; i++) {
        const struct ochre_value *value = &metadata->fields[i].value;
        use(metadata->fields[i].key.data, metadata->fields[i].key.size);
        if (value->type == OCHRE_VALUE_STRING)
            use_strings(&value->as.string, 1);
        else if (value->type == OCHRE_VALUE_STRING_LIST)
            use_strings(value->as.strings, value->n);
        else if (value->type == OCHRE_VALUE_FLOAT_LIST)
            use(value->as.numbers, value->n * sizeof(double));
        else if (value->type == OCHRE_VALUE_INT_LIST)
            use(value->as.integers, value->n * sizeof(int64_t));
        else if (value->type == OCHRE_VALUE_BOOL_LIST)
            use(value->as.booleans, value->n * sizeof(bool));
    }
}

static ochre_status
read_records(
        struct och_arena *arena, struct ochre_bytes body, unsigned which, struct ochre_error *err)
{
    struct och_write_input input;
    enum och_write_op op = (enum och_write_op)(OCH_WRITE_ADD + which % 3);
    ochre_status status = och_wire_read_records(arena, body, op, &input, err);
    if (status != OCHRE_OK)
        return status;
    const struct ochre_records *records = &input.records;
    size_t n_floats = 0;
    use_strings(records->ids, records->n);
    use_strings(records->documents, input.n_documents);
    use_strings(records->uris, input.n_uris);
    for (size_t i = 0; input.n_embeddings != OCH_NOT_GIVEN && i < input.n_embeddings; i++)
        n_floats += records->dims == NULL ? records->dim : records->dims[i];
    use(records->embeddings, n_floats * sizeof(float));
    for (size_t i = 0; input.n_metadatas != OCH_NOT_GIVEN && i < input.n_metadatas; i++)
        use_metadata(&records->metadatas[i]);
    return OCHRE_OK;
}

static ochre_status
read_query(struct och_arena *arena, struct ochre_bytes body, struct ochre_error *err)
{
    struct och_wire_query query;
    ochre_status status = och_wire_read_query(arena, body, &query, err);
    if (status != OCHRE_OK)
        return status;
    size_t n_floats = 0;
    for (size_t i = 0; i < query.input.n_queries; i++)
        n_floats += query.input.dims[i];
    use(query.input.queries, n_floats * sizeof(float));
    for (size_t i = 0; i < query.include.n; i++)
        use(och_wire_include_word(query.include.words[i]), 1);
    use_strings(query.input.select.ids, query.input.select.n_ids);
    return OCHRE_OK;
}

static ochre_status
read_catalog(
        struct och_arena *arena, struct ochre_bytes body, unsigned which, struct ochre_error *err)
{
    static const char *const names[] = {"name", "function_id"};
    struct ochre_bytes strings[2];
    struct och_create create;
    struct och_update update;
    ochre_status status = OCHRE_OK;
    if (which == 0) {
        status = och_wire_read_create(arena, body, &create, err);
        if (status == OCHRE_OK && create.metadata != NULL)
            use_metadata(create.metadata);
    } else if (which == 1) {
        status = och_wire_read_update(arena, body, &update, err);
        if (status == OCHRE_OK && update.new_metadata != NULL)
            use_metadata(update.new_metadata);
    } else if (which == 2) {
        status = och_wire_read_strings(arena, body, names, 2, strings, err);
        if (status == OCHRE_OK)
            use_strings(strings, 2);
    } else {
        status = och_wire_read_detach(arena, body, err);
    }
    return status;
}

static ochre_status
read_body(struct och_arena *arena, struct ochre_bytes body, unsigned which, struct ochre_error *err)
{
    struct och_wire_get get;
    struct och_wire_delete delete;
    struct ochre_error deferred;
    ochre_status status = OCHRE_OK;
    switch (which) {
    case 0:
    case 1:
    case 2:
        return read_records(arena, body, which, err);
    case 3:
        status = och_wire_read_get(arena, body, &get, err);
        if (status == OCHRE_OK)
            use_strings(get.input.select.ids, get.input.select.n_ids);
        return status;
    case 4:
        return read_query(arena, body, err);
    case 5:
        status = och_wire_read_delete(arena, body, &delete, err);
        if (status == OCHRE_OK)
            use_strings(delete.select.ids, delete.select.n_ids);
        return status;
    case 6:
        return och_wire_read_search(arena, body, &deferred, err);
    default:
        return read_catalog(arena, body, which - 7, err);
    }
}

/* Decode and read; the sum of it goes to *sum_out. */
static ochre_status
decode(struct shortage shortage, struct ochre_bytes input, unsigned *sum_out)
{
    enum { n_decoders = 11 };
    struct och_mem mem;
    struct och_arena arena;
    struct ochre_error err = {.status = OCHRE_OK};

    /* Digits and letters choose, so that a corpus can be read. */
    unsigned which = (unsigned) (input.data[0] - '0') % n_decoders;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    fuzz_run_short(shortage, &arena);
    sum = 0;
    ochre_status status =
            read_body(&arena, (struct ochre_bytes){input.data + 1, input.size - 1}, which, &err);
    och_assert(status == OCHRE_OK || (err.status == status && err.message[0] != '\0'));
    och_arena_clear(&arena);
    och_assert(och_mem_used(&mem) == 0);
    *sum_out = sum;
    return status;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ochre_bytes input;
    struct shortage shortage = fuzz_shortage(data, size, &input);
    if (input.size == 0)
        return 0;
    unsigned whole, again;
    ochre_status status = decode((struct shortage){SHORTAGE_NONE, 0}, input, &whole);
    och_assert(status == OCHRE_OK || status == OCHRE_INVALID || status == OCHRE_SHAPE);
    ochre_status second = decode(shortage, input, &again);
    if (shortage.kind != SHORTAGE_NONE && second == OCHRE_NO_MEMORY)
        return 0;
    och_assert(second == status && again == whole);
    return 0;
}
