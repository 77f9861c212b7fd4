#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "index/meta/fields.h"
#include "index/meta/keys.h"
#include "support/check.h"
#include "unit/index/random_metadata.h"

enum { MODEL_MAX = 32 };

/* The set, plainly: what was seen, in no order. */
struct model {
    struct och_key entries[MODEL_MAX];
    size_t n;
};

static void
model_add(struct model *model, const struct ochre_metadata *metadata)
{
    for (size_t i = 0; i < metadata->n_fields; i++) {
        const struct ochre_field *field = &metadata->fields[i];
        bool hidden = field->key.size >= 7 && memcmp(field->key.data, "chroma:", 7) == 0;
        /* Of equal keys only the last one is stored. */
        bool last = last_value(metadata, field->key) == &field->value;
        int type = (int) field->value.type;
        if (type == OCHRE_VALUE_NULL || hidden || !last)
            continue;
        size_t at = 0;
        while (at < model->n && !same_text(model->entries[at].key, field->key))
            at++;
        if (at == model->n)
            model->entries[model->n++] = (struct och_key){field->key, 0};
        model->entries[at].types |= 1u << (type > 4 ? type - 4 : type);
    }
}

static void
check_same(const struct och_keys *keys, const struct model *model)
{
    size_t n;
    const struct och_key *list = och_keys_list(keys, &n);
    check(n == model->n);
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        while (at < n && !same_text(model->entries[at].key, list[i].key))
            at++;
        check(at < n && model->entries[at].types == list[i].types);
        if (i == 0)
            continue;
        struct ochre_bytes a = list[i - 1].key;
        struct ochre_bytes b = list[i].key;
        size_t common = a.size < b.size ? a.size : b.size;
        int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
        check(order < 0 || (order == 0 && a.size < b.size));
    }
}

/* Add through the encoding; the account of `keys` may refuse. */
static ochre_status
add(struct och_keys **keys, const struct ochre_metadata *metadata)
{
    struct och_mem mem;
    struct och_arena arena;
    struct och_buf buf;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    och_buf_init(&buf, &mem, SIZE_MAX / 2);
    check(och_fields_encode(&buf, &arena, metadata, true) == OCHRE_OK);
    ochre_status status = och_keys_add(keys, (struct ochre_bytes){buf.data, buf.size});
    och_buf_clear(&buf);
    och_arena_clear(&arena);
    return status;
}

static void
random_metadata_grows_the_set_as_a_list_would(void **state)
{
    (void) state;
    uint64_t seed = 21;
    for (int run = 0; run < 500; run++) {
        struct och_mem mem;
        struct och_arena arena;
        struct och_keys *keys;
        struct model model = {.n = 0};
        och_mem_init(&mem, NULL);
        och_arena_init(&arena, &mem);
        check(och_keys_make(&mem, &keys) == OCHRE_OK);
        for (int i = 0; i < 12; i++) {
            struct ochre_metadata metadata = random_metadata(&arena, &seed, true);
            struct model before = model;
            struct och_keys *old = och_keys_retain(keys);
            check(add(&keys, &metadata) == OCHRE_OK);
            model_add(&model, &metadata);
            check_same(keys, &model);
            check_same(old, &before); /* a set never changes */
            och_keys_release(old);
        }
        och_keys_release(keys);
        och_arena_clear(&arena);
        check(och_mem_used(&mem) == 0);
    }
}

static void
nothing_new_keeps_the_set_itself(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_keys *keys;
    och_mem_init(&mem, NULL);
    check(och_keys_make(&mem, &keys) == OCHRE_OK);
    struct ochre_field fields[] = {
            {text("a"), {.type = OCHRE_VALUE_INT}},
            {text("n"), {.type = OCHRE_VALUE_NULL}},
            {text("chroma:b"), {.type = OCHRE_VALUE_INT}},
    };
    struct ochre_metadata metadata = {fields, 3};
    check(add(&keys, &metadata) == OCHRE_OK);
    const struct och_keys *before = keys;
    check(add(&keys, &metadata) == OCHRE_OK);
    check(keys == before);
    check(och_keys_add(&keys, (struct ochre_bytes){NULL, 0}) == OCHRE_OK);
    check(keys == before);
    size_t n;
    check(och_keys_list(keys, &n)[0].types == 1u << OCHRE_VALUE_INT && n == 1);

    int64_t member = 1;
    fields[0].value =
            (struct ochre_value){.type = OCHRE_VALUE_INT_LIST, .n = 1, .as.integers = &member};
    check(add(&keys, &metadata) == OCHRE_OK);
    check(keys == before); /* a list counts as its members */
    och_keys_release(keys);
    och_keys_release(NULL);
    check(och_mem_used(&mem) == 0);
}

static struct och_keys *
some_keys(struct och_mem *mem)
{
    struct och_keys *keys;
    struct ochre_field fields[] = {
            {text("a"), {.type = OCHRE_VALUE_INT}},
            {text("bb"), {.type = OCHRE_VALUE_BOOL}},
            {text(""), {.type = OCHRE_VALUE_STRING}},
    };
    struct ochre_metadata metadata = {fields, 3};
    check(och_keys_make(mem, &keys) == OCHRE_OK);
    check(add(&keys, &metadata) == OCHRE_OK);
    return keys;
}

static void
an_encoded_set_comes_back(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_buf buf;
    struct och_buf again;
    struct och_keys *back;
    och_mem_init(&mem, NULL);
    och_buf_init(&buf, &mem, 1000);
    och_buf_init(&again, &mem, 1000);
    struct och_keys *keys = some_keys(&mem);
    och_keys_encode(&buf, keys);
    struct ochre_bytes bytes = {buf.data, buf.size};
    check(och_keys_decode(&mem, bytes, &back) == OCHRE_OK);
    och_keys_encode(&again, back);
    check(again.size == buf.size && memcmp(again.data, buf.data, buf.size) == 0);
    och_keys_release(back);

    check(och_keys_decode(&mem, (struct ochre_bytes){NULL, 0}, &back) == OCHRE_OK);
    size_t n;
    (void) och_keys_list(back, &n);
    check(n == 0);
    och_keys_release(back);
    och_keys_release(keys);
    och_buf_clear(&again);
    och_buf_clear(&buf);
    check(och_mem_used(&mem) == 0);
}

static void
bytes_that_are_no_set_are_corrupt(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_buf buf;
    struct och_keys *back;
    uint64_t seed = 4;
    och_mem_init(&mem, NULL);
    och_buf_init(&buf, &mem, 1000);
    struct och_keys *keys = some_keys(&mem);
    och_keys_encode(&buf, keys);
    for (size_t size = 0; size < buf.size; size++) {
        struct ochre_bytes part = {buf.data, size};
        check(och_keys_decode(&mem, part, &back) == OCHRE_CORRUPT && back == NULL);
    }
    och_buf_put_u8(&buf, 0);
    struct ochre_bytes longer = {buf.data, buf.size};
    check(och_keys_decode(&mem, longer, &back) == OCHRE_CORRUPT);

    static const char unsorted[] = "\2\0\0\0\2\0\0\0\1\0\0\0b\2\0\0\0\1\0\0\0a";
    static const char twice[] = "\2\0\0\0\2\0\0\0\1\0\0\0b\2\0\0\0\1\0\0\0b";
    static const char many[] = "\377\377\377\377\2\0\0\0\1\0\0\0b";
    check(och_keys_decode(&mem, (struct ochre_bytes){unsorted, 22}, &back) == OCHRE_CORRUPT);
    check(och_keys_decode(&mem, (struct ochre_bytes){twice, 22}, &back) == OCHRE_CORRUPT);
    check(och_keys_decode(&mem, (struct ochre_bytes){many, 13}, &back) == OCHRE_CORRUPT);

    for (int i = 0; i < 20000; i++) {
        char *copy = och_mem_take(&mem, buf.size - 1);
        check(copy != NULL);
        memcpy(copy, buf.data, buf.size - 1);
        copy[och_random_below(&seed, buf.size - 1)] = (char) och_random(&seed);
        struct ochre_bytes changed = {copy, buf.size - 1};
        ochre_status status = och_keys_decode(&mem, changed, &back);
        check(status == OCHRE_OK || status == OCHRE_CORRUPT);
        och_keys_release(back);
        och_mem_release(&mem, copy, buf.size - 1);
    }
    och_keys_release(keys);
    och_buf_clear(&buf);
    check(och_mem_used(&mem) == 0);
}

static bool
work(struct och_mem *mem)
{
    struct ochre_field fields[] = {{text("a"), {.type = OCHRE_VALUE_INT}}};
    struct ochre_metadata metadata = {fields, 1};
    struct och_keys *keys;
    struct och_keys *back = NULL;
    ochre_status status = och_keys_make(mem, &keys);
    if (status != OCHRE_OK)
        return false;
    status = add(&keys, &metadata);
    size_t n;
    (void) och_keys_list(keys, &n);
    check(n == (status == OCHRE_OK ? 1 : 0));
    static const char encoded[] = "\1\0\0\0\2\0\0\0\1\0\0\0b";
    if (status == OCHRE_OK)
        status = och_keys_decode(mem, (struct ochre_bytes){encoded, 13}, &back);
    check(status == OCHRE_OK || (status == OCHRE_NO_MEMORY && back == NULL));
    och_keys_release(back);
    och_keys_release(keys);
    return status == OCHRE_OK;
}

static void
every_allocation_may_fail(void **state)
{
    (void) state;
    check_each_allocation_failing(work);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(random_metadata_grows_the_set_as_a_list_would),
            cmocka_unit_test(nothing_new_keeps_the_set_itself),
            cmocka_unit_test(an_encoded_set_comes_back),
            cmocka_unit_test(bytes_that_are_no_set_are_corrupt),
            cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
