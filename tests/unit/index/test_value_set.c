#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "index/meta/value_set.h"
#include "support/check.h"
#include "unit/index/naive_match.h"
#include "unit/index/random_metadata.h"

/* A list of `n` random members, most of them several times. */
static struct ochre_value
random_list(struct och_arena *arena, uint64_t *seed, ochre_value_type type, uint32_t n)
{
    struct ochre_value list = {.type = type, .n = n};
    bool *booleans = och_arena_take_array(arena, n, sizeof(*booleans));
    int64_t *integers = och_arena_take_array(arena, n, sizeof(*integers));
    double *numbers = och_arena_take_array(arena, n, sizeof(*numbers));
    struct ochre_bytes *strings = och_arena_take_array(arena, n, sizeof(*strings));
    check(booleans != NULL && integers != NULL && numbers != NULL && strings != NULL);
    for (uint32_t i = 0; i < n; i++) {
        ochre_value_type scalar = (ochre_value_type) (type - 4);
        struct ochre_value one = random_value(arena, seed, scalar);
        if (scalar == OCHRE_VALUE_BOOL)
            booleans[i] = one.as.boolean;
        else if (scalar == OCHRE_VALUE_INT)
            integers[i] = one.as.integer;
        else if (scalar == OCHRE_VALUE_FLOAT)
            numbers[i] = one.as.number;
        else
            strings[i] = one.as.string;
    }
    if (type == OCHRE_VALUE_BOOL_LIST)
        list.as.booleans = booleans;
    else if (type == OCHRE_VALUE_INT_LIST)
        list.as.integers = integers;
    else if (type == OCHRE_VALUE_FLOAT_LIST)
        list.as.numbers = numbers;
    else
        list.as.strings = strings;
    return list;
}

static void
a_set_has_what_is_in_its_list(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_arena arena;
    struct och_buf buf;
    uint64_t seed = 77;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    och_buf_init(&buf, &mem, SIZE_MAX / 2);
    for (int i = 0; i < 20000; i++) {
        ochre_value_type type =
                (ochre_value_type) (OCHRE_VALUE_BOOL_LIST + och_random_below(&seed, 4));
        uint32_t n = (uint32_t) och_random_below(&seed, 12);
        struct ochre_value list = random_list(&arena, &seed, type, n);
        struct och_value_set set;
        check(och_value_set_make(&arena, &list, &set) == OCHRE_OK && set.n == n);
        type = (ochre_value_type) (OCHRE_VALUE_BOOL + och_random_below(&seed, 8));
        struct ochre_field field = {text("k"), random_value(&arena, &seed, type)};
        struct ochre_metadata metadata = {&field, 1};
        struct och_field_view view;
        och_buf_reset(&buf);
        check(och_fields_encode(&buf, &arena, &metadata, false) == OCHRE_OK);
        check(och_fields_find((struct ochre_bytes){buf.data, buf.size}, text("k"), &view));
        if (och_value_set_has(&set, &view) != naive_matches(&field.value, OCHRE_FILTER_IN, &list))
            fail_msg("a list of type %d and a value of type %d", (int) list.type, (int) type);
        och_arena_clear(&arena);
    }
    och_buf_clear(&buf);
    check(och_mem_used(&mem) == 0);
}

static bool
work(struct och_mem *mem)
{
    enum { N = 1000 };
    static const int64_t integers[N];
    struct ochre_value list = {.type = OCHRE_VALUE_INT_LIST, .n = N, .as.integers = integers};
    struct och_arena arena;
    struct och_value_set set;
    och_arena_init(&arena, mem);
    ochre_status status = och_value_set_make(&arena, &list, &set);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    och_arena_clear(&arena);
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
            cmocka_unit_test(a_set_has_what_is_in_its_list),
            cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
