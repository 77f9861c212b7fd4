#include <math.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "index/meta/compare.h"
#include "support/check.h"
#include "unit/index/naive_match.h"
#include "unit/index/random_metadata.h"

static struct ochre_value
of_int(int64_t integer)
{
    return (struct ochre_value){.type = OCHRE_VALUE_INT, .as.integer = integer};
}

static struct ochre_value
of_float(double number)
{
    return (struct ochre_value){.type = OCHRE_VALUE_FLOAT, .as.number = number};
}

static struct ochre_value
of_string(const char *string)
{
    return (struct ochre_value){.type = OCHRE_VALUE_STRING, .as.string = text(string)};
}

/* The value through its encoding, as records hold it; NULL: no such key. */
static bool
matches(const struct ochre_value *value, ochre_filter_op op, const struct ochre_value *operand)
{
    if (value == NULL)
        return och_value_matches(NULL, op, operand);
    struct och_mem mem;
    struct och_arena arena;
    struct och_buf buf;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    och_buf_init(&buf, &mem, SIZE_MAX / 2);
    struct ochre_field field = {text("k"), *value};
    struct ochre_metadata metadata = {&field, 1};
    check(och_fields_encode(&buf, &arena, &metadata, true) == OCHRE_OK);
    struct och_field_view view;
    check(och_fields_find((struct ochre_bytes){buf.data, buf.size}, text("k"), &view));
    bool result = och_value_matches(&view, op, operand);
    och_buf_clear(&buf);
    och_arena_clear(&arena);
    return result;
}

static void
integers_and_floats_compare_without_rounding(void **state)
{
    (void) state;
    const int64_t two_53 = INT64_C(1) << 53;
    check(och_compare_int_float(two_53, 9007199254740992.0) == 0);
    check(och_compare_int_float(two_53 + 1, 9007199254740992.0) == 1);
    check(och_compare_int_float(-two_53 - 1, -9007199254740992.0) == -1);
    check(och_compare_int_float(INT64_MAX, 9223372036854775808.0) == -1);
    check(och_compare_int_float(INT64_MIN, -9223372036854775808.0) == 0);
    check(och_compare_int_float(INT64_MIN, -9223372036854777856.0) == 1);
    check(och_compare_int_float(0, -0.0) == 0);
    check(och_compare_int_float(0, 5e-324) == -1);
    check(och_compare_int_float(0, -5e-324) == 1);
    check(och_compare_int_float(-1, -0.5) == -1);
    check(och_compare_int_float(1, 0.5) == 1);
    check(och_compare_int_float(INT64_MAX, HUGE_VAL) == -1);
    check(och_compare_int_float(INT64_MIN, -HUGE_VAL) == 1);
}

static void
random_numbers_compare_as_wider_ones_do(void **state)
{
    (void) state;
    uint64_t seed = 7;
    for (int i = 0; i < 200000; i++) {
        int64_t a = (int64_t) (och_random(&seed) >> och_random_below(&seed, 64));
        if (och_random_below(&seed, 2) == 0)
            a = -a;
        double b = (double) a;
        uint64_t how = och_random_below(&seed, 4);
        if (how == 0)
            b = nextafter(b, HUGE_VAL);
        else if (how == 1)
            b = nextafter(b, -HUGE_VAL);
        else if (how == 2)
            b = ldexp((double) (int64_t) och_random(&seed), (int) och_random_below(&seed, 80) - 70);
        long double wide = (long double) a;
        int wanted = (wide > (long double) b) - (wide < (long double) b);
        check(och_compare_int_float(a, b) == wanted);
    }
}

static void
strings_booleans_and_numbers_are_three_worlds(void **state)
{
    (void) state;
    struct ochre_value one = of_int(1);
    struct ochre_value half = of_float(1.0);
    struct ochre_value string = of_string("1");
    struct ochre_value yes = {.type = OCHRE_VALUE_BOOL, .as.boolean = true};
    check(matches(&one, OCHRE_FILTER_EQ, &half));
    check(matches(&half, OCHRE_FILTER_EQ, &one));
    check(!matches(&one, OCHRE_FILTER_EQ, &string));
    check(!matches(&string, OCHRE_FILTER_EQ, &one));
    check(!matches(&yes, OCHRE_FILTER_EQ, &one));
    check(!matches(&one, OCHRE_FILTER_EQ, &yes));
    check(matches(&one, OCHRE_FILTER_NE, &string));
    check(!matches(&string, OCHRE_FILTER_LT, &one));
    check(!matches(&yes, OCHRE_FILTER_GTE, &one));
    check(!matches(&string, OCHRE_FILTER_LTE, &string));
}

static void
a_missing_key_matches_the_negations_and_nothing_else(void **state)
{
    (void) state;
    struct ochre_value one = of_int(1);
    int64_t member = 1;
    struct ochre_value list = {.type = OCHRE_VALUE_INT_LIST, .n = 1, .as.integers = &member};
    check(!matches(NULL, OCHRE_FILTER_EQ, &one) && matches(NULL, OCHRE_FILTER_NE, &one));
    check(!matches(NULL, OCHRE_FILTER_GT, &one) && !matches(NULL, OCHRE_FILTER_LTE, &one));
    check(!matches(NULL, OCHRE_FILTER_GTE, &one) && !matches(NULL, OCHRE_FILTER_LT, &one));
    check(!matches(NULL, OCHRE_FILTER_IN, &list) && matches(NULL, OCHRE_FILTER_NOT_IN, &list));
    check(!matches(NULL, OCHRE_FILTER_CONTAINS, &one));
    check(matches(NULL, OCHRE_FILTER_NOT_CONTAINS, &one));
}

static void
lists_equal_nothing_and_contain_type_for_type(void **state)
{
    (void) state;
    int64_t members[] = {1, 2};
    struct ochre_value list = {.type = OCHRE_VALUE_INT_LIST, .n = 2, .as.integers = members};
    struct ochre_value one = of_int(1);
    struct ochre_value one_float = of_float(1.0);
    check(!matches(&list, OCHRE_FILTER_EQ, &one) && matches(&list, OCHRE_FILTER_NE, &one));
    check(!matches(&list, OCHRE_FILTER_IN, &list));
    check(matches(&list, OCHRE_FILTER_CONTAINS, &one));
    check(!matches(&list, OCHRE_FILTER_CONTAINS, &one_float));
    check(matches(&list, OCHRE_FILTER_NOT_CONTAINS, &one_float));
    check(!matches(&one, OCHRE_FILTER_CONTAINS, &one));
    check(!matches(&list, OCHRE_FILTER_GT, &one));
}

static void
every_value_operator_and_operand_agrees_with_the_definition(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_arena arena;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    uint64_t seed = 11;
    for (int i = 0; i < 60000; i++) {
        ochre_filter_op op = (ochre_filter_op) (OCHRE_FILTER_EQ + och_random_below(&seed, 10));
        bool list = op == OCHRE_FILTER_IN || op == OCHRE_FILTER_NOT_IN;
        uint64_t type = OCHRE_VALUE_BOOL + och_random_below(&seed, 4) + (list ? 4 : 0);
        struct ochre_value operand = random_value(&arena, &seed, (ochre_value_type) type);
        type = OCHRE_VALUE_BOOL + och_random_below(&seed, 8);
        struct ochre_value value = random_value(&arena, &seed, (ochre_value_type) type);
        if (matches(&value, op, &operand) != naive_matches(&value, op, &operand))
            fail_msg("value type %d, operator %d, operand type %d", (int) value.type, (int) op,
                    (int) operand.type);
        och_arena_clear(&arena);
    }
    check(och_mem_used(&mem) == 0);
}

static void
ids_match_whole_and_by_bytes(void **state)
{
    (void) state;
    struct ochre_value id = of_string("ab");
    struct ochre_bytes members[] = {text("x"), text("ab")};
    struct ochre_value list = {.type = OCHRE_VALUE_STRING_LIST, .n = 2, .as.strings = members};
    check(och_string_matches(text("ab"), OCHRE_FILTER_EQ, &id));
    check(!och_string_matches(text("abc"), OCHRE_FILTER_EQ, &id));
    check(!och_string_matches(text("a"), OCHRE_FILTER_EQ, &id));
    check(och_string_matches(text("AB"), OCHRE_FILTER_NE, &id));
    check(och_string_matches(text("ab"), OCHRE_FILTER_IN, &list));
    check(!och_string_matches(text("abc"), OCHRE_FILTER_IN, &list));
    check(och_string_matches(text("abc"), OCHRE_FILTER_NOT_IN, &list));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(integers_and_floats_compare_without_rounding),
            cmocka_unit_test(random_numbers_compare_as_wider_ones_do),
            cmocka_unit_test(strings_booleans_and_numbers_are_three_worlds),
            cmocka_unit_test(a_missing_key_matches_the_negations_and_nothing_else),
            cmocka_unit_test(lists_equal_nothing_and_contain_type_for_type),
            cmocka_unit_test(every_value_operator_and_operand_agrees_with_the_definition),
            cmocka_unit_test(ids_match_whole_and_by_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
