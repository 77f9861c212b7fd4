/* Cursors: text and back, and what is refused. */
#include <string.h>

#include "api/cursor.h"
#include "api/ops.h"
#include "support/check.h"

static const char not_one[] = "is none; it must be one that an answer had, or empty to begin";
static const char another[] = "Validation error: cursor: it belongs to another collection, or to "
                              "other ids or another filter";

static struct ochre_bytes
text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

static ochre_status
parse(const char *data, size_t size, uint64_t digest, struct och_cursor *cursor_out,
        struct ochre_error *err)
{
    *err = (struct ochre_error){.status = OCHRE_OK};
    return och_cursor_parse((struct ochre_bytes){data, size}, digest, cursor_out, err);
}

static void
what_was_put_is_parsed(void **state)
{
    (void) state;
    static const uint64_t numbers[] = {0, 1, 9, 0x0123456789abcdef, UINT64_MAX / 2, UINT64_MAX};
    enum { N = sizeof(numbers) / sizeof(numbers[0]) };
    for (size_t i = 0; i < N * N * N; i++) {
        const struct och_cursor cursor = {numbers[i % N], numbers[i / N % N], numbers[i / N / N]};
        struct och_cursor found;
        struct ochre_error err;
        char digits[OCH_CURSOR_SIZE];
        och_cursor_put(&cursor, digits);
        check_ok(parse(digits, sizeof(digits), cursor.digest, &found, &err), &err);
        check(found.position == cursor.position && found.ordinal == cursor.ordinal &&
                found.digest == cursor.digest);
    }
}

static void
another_length_is_none(void **state)
{
    (void) state;
    const struct och_cursor cursor = {7, 8, 9};
    struct och_cursor found;
    struct ochre_error err;
    char digits[OCH_CURSOR_SIZE + 2] = {0};
    och_cursor_put(&cursor, digits);
    digits[OCH_CURSOR_SIZE] = '0';
    for (size_t size = 0; size <= OCH_CURSOR_SIZE + 1; size++) {
        ochre_status status = parse(digits, size, 9, &found, &err);
        check((status == OCHRE_OK) == (size == OCH_CURSOR_SIZE));
        if (size == OCH_CURSOR_SIZE)
            continue;
        check(status == OCHRE_INVALID && strstr(err.message, not_one) != NULL);
        check(strstr(err.message, "Validation error: cursor: '") == err.message);
    }
}

/* Each digit in turn becomes another one, a capital, or none. */
static void
a_changed_digit_is_noticed(void **state)
{
    (void) state;
    static const char others[] = "0123456789abcdefABCDEFg/:`@ \n\x80";
    const struct och_cursor cursor = {UINT64_C(0x1122334455667788), 3, 0xabcdef};
    struct och_cursor found;
    struct ochre_error err;
    char digits[OCH_CURSOR_SIZE];
    och_cursor_put(&cursor, digits);
    for (size_t i = 0; i < OCH_CURSOR_SIZE; i++) {
        char right = digits[i];
        for (size_t j = 0; j < sizeof(others); j++) { /* the NUL, too */
            digits[i] = others[j];
            ochre_status status = parse(digits, sizeof(digits), cursor.digest, &found, &err);
            check(status == (others[j] == right ? OCHRE_OK : OCHRE_INVALID));
            check(status == OCHRE_OK || strstr(err.message, "Validation error: cursor: '") != NULL);
        }
        digits[i] = right;
    }
}

/* The positions of digits count: two that change places are another cursor. */
static void
words_that_change_places_are_noticed(void **state)
{
    (void) state;
    const struct och_cursor cursor = {1, 2, 3};
    struct och_cursor found;
    struct ochre_error err;
    char digits[OCH_CURSOR_SIZE], swapped[OCH_CURSOR_SIZE];
    och_cursor_put(&cursor, digits);
    for (size_t a = 0; a < 4; a++)
        for (size_t b = a + 1; b < 4; b++) {
            memcpy(swapped, digits, sizeof(digits));
            memcpy(swapped + a * 16, digits + b * 16, 16);
            memcpy(swapped + b * 16, digits + a * 16, 16);
            check(parse(swapped, sizeof(swapped), cursor.digest, &found, &err) == OCHRE_INVALID);
            check(strstr(err.message, not_one) != NULL);
        }
}

static void
another_question_is_told_from_no_cursor(void **state)
{
    (void) state;
    const struct och_cursor cursor = {1, 2, 3};
    struct och_cursor found;
    struct ochre_error err;
    char digits[OCH_CURSOR_SIZE];
    och_cursor_put(&cursor, digits);
    check(parse(digits, sizeof(digits), 4, &found, &err) == OCHRE_INVALID);
    assert_string_equal(err.message, another);
}

/* --- digests ------------------------------------------------------------------------ */

static struct ochre_filter_node
leaf(const char *key, ochre_filter_op op, struct ochre_value value)
{
    return (struct ochre_filter_node){
            .op = op, .size = 1, .field = OCHRE_FIELD_METADATA, .key = text(key), .value = value};
}

/* All that a question may be: each has a digest of its own, and the same each time. */
static void
each_question_has_its_digest(void **state)
{
    (void) state;
    const struct ochre_bytes ids[] = {text("a"), text("b"), text("ab"), text("")};
    const struct ochre_bytes swapped[] = {text("b"), text("a"), text("ab"), text("")};
    const struct ochre_bytes joined[] = {text("ab"), text(""), text("a"), text("b")};
    const bool booleans[] = {true, false};
    const int64_t integers[] = {1, 2};
    const double numbers[] = {1, 2};
    const struct ochre_value values[] = {{.type = OCHRE_VALUE_NULL},
            {.type = OCHRE_VALUE_BOOL, .as.boolean = true},
            {.type = OCHRE_VALUE_BOOL, .as.boolean = false},
            {.type = OCHRE_VALUE_INT, .as.integer = 1}, {.type = OCHRE_VALUE_INT, .as.integer = 2},
            {.type = OCHRE_VALUE_FLOAT, .as.number = 1},
            {.type = OCHRE_VALUE_FLOAT, .as.number = 1.5},
            {.type = OCHRE_VALUE_STRING, .as.string = text("a")},
            {.type = OCHRE_VALUE_STRING, .as.string = text("b")},
            {.type = OCHRE_VALUE_STRING, .as.string = text("")},
            {.type = OCHRE_VALUE_BOOL_LIST, .n = 2, .as.booleans = booleans},
            {.type = OCHRE_VALUE_BOOL_LIST, .n = 1, .as.booleans = booleans},
            {.type = OCHRE_VALUE_INT_LIST, .n = 2, .as.integers = integers},
            {.type = OCHRE_VALUE_INT_LIST, .n = 1, .as.integers = integers},
            {.type = OCHRE_VALUE_FLOAT_LIST, .n = 2, .as.numbers = numbers},
            {.type = OCHRE_VALUE_FLOAT_LIST, .n = 1, .as.numbers = numbers},
            {.type = OCHRE_VALUE_STRING_LIST, .n = 2, .as.strings = ids},
            {.type = OCHRE_VALUE_STRING_LIST, .n = 2, .as.strings = swapped},
            {.type = OCHRE_VALUE_STRING_LIST, .n = 1, .as.strings = ids}};
    enum { N_VALUES = sizeof(values) / sizeof(values[0]), N_MAX = 3 * N_VALUES + 16 };
    static struct ochre_filter_node nodes[N_MAX][3];
    static struct och_select_input questions[N_MAX];
    static struct och_uuid collections[N_MAX];
    size_t n = 0;
    /* Ids: none, an empty list, lists. */
    questions[n++] = (struct och_select_input){.has_ids = false};
    questions[n++] = (struct och_select_input){.has_ids = true, .ids = ids};
    for (size_t i = 1; i <= 4; i++)
        questions[n++] = (struct och_select_input){.has_ids = true, .ids = ids, .n_ids = i};
    questions[n++] = (struct och_select_input){.has_ids = true, .ids = swapped, .n_ids = 2};
    questions[n++] = (struct och_select_input){.has_ids = true, .ids = joined, .n_ids = 4};
    /* Another collection. */
    collections[n].bytes[15] = 1;
    questions[n++] = (struct och_select_input){.has_ids = false};
    /* Filters of one leaf. */
    for (size_t i = 0; i < N_VALUES; i++) {
        nodes[n][0] = leaf("k", OCHRE_FILTER_EQ, values[i]);
        questions[n] = (struct och_select_input){.has_filter = true, .filter = {nodes[n], 1}};
        n++;
        nodes[n][0] = leaf("k", OCHRE_FILTER_NE, values[i]);
        questions[n] = (struct och_select_input){.has_filter = true, .filter = {nodes[n], 1}};
        n++;
        nodes[n][0] = leaf("j", OCHRE_FILTER_EQ, values[i]);
        questions[n] = (struct och_select_input){.has_filter = true, .filter = {nodes[n], 1}};
        n++;
    }
    /* Two leaves, one way and the other. */
    for (size_t i = 0; i < 3; i++) {
        nodes[n][0] = (struct ochre_filter_node){
                .op = i == 0 ? OCHRE_FILTER_OR : OCHRE_FILTER_AND, .size = 3};
        nodes[n][1] = leaf("k", OCHRE_FILTER_EQ, values[i == 2 ? 4 : 3]);
        nodes[n][2] = leaf("k", OCHRE_FILTER_EQ, values[i == 2 ? 3 : 4]);
        questions[n] = (struct och_select_input){.has_filter = true, .filter = {nodes[n], 3}};
        n++;
    }
    /* Another field. */
    nodes[n][0] = leaf("", OCHRE_FILTER_EQ, values[7]);
    questions[n] = (struct och_select_input){.has_filter = true, .filter = {nodes[n], 1}};
    n++;
    nodes[n][0] = nodes[n - 1][0];
    nodes[n][0].field = OCHRE_FIELD_DOCUMENT;
    questions[n] = (struct och_select_input){.has_filter = true, .filter = {nodes[n], 1}};
    n++;
    check(n <= N_MAX);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            check((och_cursor_digest(collections[i], &questions[i]) ==
                          och_cursor_digest(collections[j], &questions[j])) == (i == j));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_was_put_is_parsed),
            cmocka_unit_test(another_length_is_none),
            cmocka_unit_test(a_changed_digit_is_noticed),
            cmocka_unit_test(words_that_change_places_are_noticed),
            cmocka_unit_test(another_question_is_told_from_no_cursor),
            cmocka_unit_test(each_question_has_its_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
