#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "index/meta/fields.h"
#include "support/check.h"
#include "unit/index/random_metadata.h"

struct fixture {
    struct och_mem mem;
    struct och_arena arena;
    struct och_buf buf;
};

static void
begin(struct fixture *f)
{
    och_mem_init(&f->mem, NULL);
    och_arena_init(&f->arena, &f->mem);
    och_buf_init(&f->buf, &f->mem, SIZE_MAX / 2);
}

static void
end(struct fixture *f)
{
    och_buf_clear(&f->buf);
    och_arena_clear(&f->arena);
    check(och_mem_used(&f->mem) == 0);
}

/* Encode into a block of exactly the right size, so that reading past its end
 * is found; it lives as long as the arena. */
static struct ochre_bytes
encode(struct fixture *f, const struct ochre_metadata *metadata, bool nulls)
{
    och_buf_reset(&f->buf);
    check(och_fields_encode(&f->buf, &f->arena, metadata, nulls) == OCHRE_OK);
    char *copy = och_arena_take(&f->arena, f->buf.size);
    check(copy != NULL);
    memcpy(copy, f->buf.data, f->buf.size);
    return (struct ochre_bytes){copy, f->buf.size};
}

static struct ochre_metadata
decode(struct fixture *f, struct ochre_bytes fields, bool hide)
{
    struct ochre_metadata metadata;
    check(och_fields_are_valid(fields));
    check(och_fields_decode(&f->arena, fields, hide, &metadata) == OCHRE_OK);
    return metadata;
}

static bool
is_hidden(struct ochre_bytes key)
{
    return key.size >= 7 && memcmp(key.data, "chroma:", 7) == 0;
}

static int
order_of(struct ochre_bytes a, struct ochre_bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static void
no_fields_are_no_metadata(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    struct ochre_metadata none = {NULL, 0};
    struct ochre_bytes fields = encode(&f, &none, false);
    check(och_fields_count(fields) == 0 && fields.size == 4);
    check(decode(&f, fields, false).n_fields == 0);

    struct ochre_bytes absent = {NULL, 0};
    struct och_field_view view;
    check(och_fields_are_valid(absent) && och_fields_count(absent) == 0);
    check(decode(&f, absent, false).n_fields == 0);
    check(!och_fields_find(absent, text("a"), &view));
    end(&f);
}

static void
the_last_of_equal_keys_counts_even_if_it_is_null(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    struct ochre_field fields[] = {
            {text("a"), {.type = OCHRE_VALUE_INT, .as.integer = 1}},
            {text("b"), {.type = OCHRE_VALUE_INT, .as.integer = 2}},
            {text("a"), {.type = OCHRE_VALUE_INT, .as.integer = 3}},
            {text("b"), {.type = OCHRE_VALUE_NULL}},
    };
    struct ochre_metadata metadata = {fields, 4};
    struct ochre_metadata kept = decode(&f, encode(&f, &metadata, true), false);
    check(kept.n_fields == 2);
    check(kept.fields[0].value.as.integer == 3);
    check(kept.fields[1].value.type == OCHRE_VALUE_NULL);
    struct ochre_metadata dropped = decode(&f, encode(&f, &metadata, false), false);
    check(dropped.n_fields == 1 && dropped.fields[0].value.as.integer == 3);
    end(&f);
}

static void
negative_zero_is_stored_as_zero(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    double numbers[] = {-0.0, 1.5};
    struct ochre_field fields[] = {
            {text("a"), {.type = OCHRE_VALUE_FLOAT, .as.number = -0.0}},
            {text("b"), {.type = OCHRE_VALUE_FLOAT_LIST, .n = 2, .as.numbers = numbers}},
    };
    struct ochre_metadata metadata = {fields, 2};
    struct ochre_metadata back = decode(&f, encode(&f, &metadata, false), false);
    double zero = 0.0;
    check(memcmp(&back.fields[0].value.as.number, &zero, sizeof(zero)) == 0);
    check(memcmp(&back.fields[1].value.as.numbers[0], &zero, sizeof(zero)) == 0);
    end(&f);
}

/* What comes back is the input, sorted, without what is repeated or null. */
static void
random_metadata_comes_back_sorted_and_whole(void **state)
{
    (void) state;
    struct fixture f;
    uint64_t seed = 3;
    begin(&f);
    for (int i = 0; i < 20000; i++) {
        bool nulls = och_random_below(&seed, 2) != 0;
        bool hide = och_random_below(&seed, 2) != 0;
        struct ochre_metadata metadata = random_metadata(&f.arena, &seed, true);
        struct ochre_bytes fields = encode(&f, &metadata, nulls);
        struct ochre_metadata back = decode(&f, fields, hide);
        size_t n_wanted = 0;
        for (size_t k = 0; k < metadata.n_fields; k++) {
            const struct ochre_field *field = &metadata.fields[k];
            bool last = last_value(&metadata, field->key) == &field->value;
            bool null = field->value.type == OCHRE_VALUE_NULL;
            n_wanted += last && (nulls || !null) && !(hide && is_hidden(field->key));
        }
        check(back.n_fields == n_wanted);
        for (size_t k = 0; k < back.n_fields; k++) {
            const struct ochre_value *value = last_value(&metadata, back.fields[k].key);
            check(value != NULL && same_value(value, &back.fields[k].value));
            check(k == 0 || order_of(back.fields[k - 1].key, back.fields[k].key) < 0);
            struct och_field_view view;
            check(och_fields_find(fields, back.fields[k].key, &view));
            check(view.type == value->type);
            bool list = value->type >= OCHRE_VALUE_BOOL_LIST;
            check(och_field_list_count(&view) == (list ? value->n : 0));
        }
        och_arena_clear(&f.arena);
    }
    end(&f);
}

static void
merging_replaces_adds_and_removes(void **state)
{
    (void) state;
    struct fixture f;
    uint64_t seed = 5;
    begin(&f);
    for (int i = 0; i < 20000; i++) {
        struct ochre_metadata old = random_metadata(&f.arena, &seed, false);
        struct ochre_metadata update = random_metadata(&f.arena, &seed, true);
        struct ochre_bytes old_fields = encode(&f, &old, false);
        struct ochre_bytes new_fields = encode(&f, &update, true);
        if (old.n_fields == 0 && och_random_below(&seed, 2) == 0)
            old_fields = (struct ochre_bytes){NULL, 0};
        och_buf_reset(&f.buf);
        och_fields_merge(&f.buf, old_fields, new_fields);
        check(och_buf_status(&f.buf) == OCHRE_OK);
        struct ochre_bytes merged = {f.buf.data, f.buf.size};
        struct ochre_metadata back = decode(&f, merged, false);
        size_t n_wanted = 0;
        for (size_t k = 0; k < old.n_fields; k++)
            n_wanted += last_value(&old, old.fields[k].key) == &old.fields[k].value &&
                    last_value(&update, old.fields[k].key) == NULL;
        for (size_t k = 0; k < update.n_fields; k++)
            n_wanted += last_value(&update, update.fields[k].key) == &update.fields[k].value &&
                    update.fields[k].value.type != OCHRE_VALUE_NULL;
        check(back.n_fields == n_wanted);
        for (size_t k = 0; k < back.n_fields; k++) {
            const struct ochre_value *value = last_value(&update, back.fields[k].key);
            if (value == NULL)
                value = last_value(&old, back.fields[k].key);
            check(value != NULL && same_value(value, &back.fields[k].value));
        }
        och_arena_clear(&f.arena);
    }
    end(&f);
}

static void
bytes_cut_short_or_followed_by_more_are_refused(void **state)
{
    (void) state;
    struct fixture f;
    uint64_t seed = 8;
    begin(&f);
    for (int i = 0; i < 200; i++) {
        struct ochre_metadata metadata = random_metadata(&f.arena, &seed, true);
        struct ochre_bytes fields = encode(&f, &metadata, true);
        for (size_t size = 0; size < fields.size; size++) {
            char *part = och_arena_take(&f.arena, size + 1);
            check(part != NULL);
            memcpy(part, fields.data, size);
            check(!och_fields_are_valid((struct ochre_bytes){part, size}));
        }
        char *more = och_arena_take(&f.arena, fields.size + 1);
        check(more != NULL);
        memcpy(more, fields.data, fields.size);
        more[fields.size] = 0;
        check(!och_fields_are_valid((struct ochre_bytes){more, fields.size + 1}));
        och_arena_clear(&f.arena);
    }
    end(&f);
}

/* Whatever passes the check can be walked without leaving the bytes, and is the
 * only encoding of what it says. */
static void
any_changed_byte_is_refused_or_means_something(void **state)
{
    (void) state;
    struct fixture f;
    uint64_t seed = 9;
    size_t n_valid = 0;
    begin(&f);
    for (int i = 0; i < 400; i++) {
        struct ochre_metadata metadata = random_metadata(&f.arena, &seed, true);
        struct ochre_bytes fields = encode(&f, &metadata, true);
        for (size_t at = 0; at < fields.size; at++) {
            char *changed = och_arena_take(&f.arena, fields.size);
            check(changed != NULL);
            memcpy(changed, fields.data, fields.size);
            changed[at] = (char) och_random(&seed);
            struct ochre_bytes bytes = {changed, fields.size};
            if (!och_fields_are_valid(bytes))
                continue;
            n_valid++;
            struct ochre_metadata back = decode(&f, bytes, false);
            for (size_t k = 0; k < back.n_fields; k++)
                check(last_value(&back, back.fields[k].key) == &back.fields[k].value);
        }
        och_arena_clear(&f.arena);
    }
    check(n_valid > 1000);
    end(&f);
}

static bool
is_valid(const char *bytes, size_t size)
{
    return och_fields_are_valid((struct ochre_bytes){bytes, size});
}

static void
values_of_the_wrong_size_or_type_are_refused(void **state)
{
    (void) state;
    /* one field: key size 1, type, 0, value size, key, value */
    check(is_valid("\1\0\0\0\1\0\1\0\1\0\0\0k\1", 14));         /* a boolean */
    check(!is_valid("\1\0\0\0\1\0\1\0\2\0\0\0k\1\1", 15));      /* of two bytes */
    check(!is_valid("\1\0\0\0\1\0\1\1\1\0\0\0k\1", 14));        /* the zero is not */
    check(!is_valid("\1\0\0\0\1\0\0\0\1\0\0\0k\1", 14));        /* a null with a byte */
    check(is_valid("\1\0\0\0\1\0\0\0\0\0\0\0k", 13));           /* a null */
    check(!is_valid("\1\0\0\0\1\0\2\0\4\0\0\0k\0\0\0\0", 17));  /* an integer of four */
    check(!is_valid("\1\0\0\0\1\0\6\0\4\0\0\0k\0\0\0\0", 17));  /* half an integer in a list */
    check(!is_valid("\1\0\0\0\1\0\7\0\4\0\0\0k\0\0\0\0", 17));  /* half a float */
    check(!is_valid("\1\0\0\0\1\0\11\0\0\0\0\0k", 13));         /* no such type */
    check(is_valid("\1\0\0\0\1\0\10\0\4\0\0\0k\0\0\0\0", 17));  /* one empty string */
    check(!is_valid("\1\0\0\0\1\0\10\0\4\0\0\0k\1\0\0\0", 17)); /* longer than the list */
    check(!is_valid("\1\0\0\0\1\0\10\0\3\0\0\0k\1\0\0", 16));   /* a size cut short */
    check(is_valid("\2\0\0\0\1\0\0\0\0\0\0\0a\1\0\0\0\0\0\0\0b", 22));
    check(!is_valid("\2\0\0\0\1\0\0\0\0\0\0\0b\1\0\0\0\0\0\0\0a", 22)); /* not sorted */
    check(!is_valid("\2\0\0\0\1\0\0\0\0\0\0\0a\1\0\0\0\0\0\0\0a", 22)); /* twice */
    check(!is_valid("\377\377\377\377", 4));
    check(!is_valid("", 0));
}

static bool
work(struct och_mem *mem)
{
    static const struct ochre_bytes strings[] = {{"x", 1}, {"yz", 2}};
    static const bool booleans[] = {true, false};
    struct ochre_field fields[] = {
            {text("s"), {.type = OCHRE_VALUE_STRING_LIST, .n = 2, .as.strings = strings}},
            {text("b"), {.type = OCHRE_VALUE_BOOL_LIST, .n = 2, .as.booleans = booleans}},
            {text("n"), {.type = OCHRE_VALUE_NULL}},
    };
    struct ochre_metadata metadata = {fields, 3};
    struct ochre_metadata back = {NULL, 0};
    struct och_arena scratch;
    struct och_arena arena;
    struct och_buf buf;
    struct och_buf merged;
    och_arena_init(&scratch, mem);
    och_arena_init(&arena, mem);
    och_buf_init(&buf, mem, 1000);
    och_buf_init(&merged, mem, 1000);
    ochre_status status = och_fields_encode(&buf, &scratch, &metadata, true);
    if (status == OCHRE_OK) {
        struct ochre_bytes encoded = {buf.data, buf.size};
        och_fields_merge(&merged, (struct ochre_bytes){NULL, 0}, encoded);
        status = och_buf_status(&merged);
    }
    if (status == OCHRE_OK) {
        struct ochre_bytes encoded = {merged.data, merged.size};
        status = och_fields_decode(&arena, encoded, false, &back);
        check(back.n_fields == (status == OCHRE_OK ? 2 : 0));
    }
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    och_buf_clear(&merged);
    och_buf_clear(&buf);
    och_arena_clear(&arena);
    och_arena_clear(&scratch);
    return status == OCHRE_OK;
}

static void
every_allocation_may_fail(void **state)
{
    (void) state;
    check_each_allocation_failing(work);
}

/* Lists larger than what is left of an arena's block need one of their own. */
static bool
decode_large(struct och_mem *mem)
{
    enum { N = 3000 };
    static bool booleans[N];
    static struct ochre_bytes strings[N];
    static int64_t integers[N];
    struct ochre_field fields[] = {
            {text("b"), {.type = OCHRE_VALUE_BOOL_LIST, .n = N, .as.booleans = booleans}},
            {text("i"), {.type = OCHRE_VALUE_INT_LIST, .n = N, .as.integers = integers}},
            {text("s"), {.type = OCHRE_VALUE_STRING_LIST, .n = N, .as.strings = strings}},
    };
    struct ochre_metadata metadata = {fields, 3};
    struct ochre_metadata back;
    struct och_mem other;
    struct och_arena scratch;
    struct och_arena arena;
    struct och_buf buf;
    och_mem_init(&other, NULL);
    och_arena_init(&scratch, &other);
    och_arena_init(&arena, mem);
    och_buf_init(&buf, &other, 1 << 20);
    check(och_fields_encode(&buf, &scratch, &metadata, false) == OCHRE_OK);
    ochre_status status =
            och_fields_decode(&arena, (struct ochre_bytes){buf.data, buf.size}, false, &back);
    check(status == (back.n_fields == 3 ? OCHRE_OK : OCHRE_NO_MEMORY));
    och_buf_clear(&buf);
    och_arena_clear(&arena);
    och_arena_clear(&scratch);
    return status == OCHRE_OK;
}

static void
decoding_large_lists_may_run_out_of_memory(void **state)
{
    (void) state;
    check_each_allocation_failing(decode_large);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(no_fields_are_no_metadata),
            cmocka_unit_test(the_last_of_equal_keys_counts_even_if_it_is_null),
            cmocka_unit_test(negative_zero_is_stored_as_zero),
            cmocka_unit_test(random_metadata_comes_back_sorted_and_whole),
            cmocka_unit_test(merging_replaces_adds_and_removes),
            cmocka_unit_test(bytes_cut_short_or_followed_by_more_are_refused),
            cmocka_unit_test(any_changed_byte_is_refused_or_means_something),
            cmocka_unit_test(values_of_the_wrong_size_or_type_are_refused),
            cmocka_unit_test(every_allocation_may_fail),
            cmocka_unit_test(decoding_large_lists_may_run_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
