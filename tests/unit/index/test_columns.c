#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/bitset.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "index/meta/columns.h"
#include "index/meta/compare.h"
#include "index/meta/value_set.h"
#include "support/check.h"
#include "unit/index/naive_match.h"
#include "unit/index/random_metadata.h"
#include "unit/index/table.h"

/* --- asking ------------------------------------------------------------------------- */

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
of_bool(bool boolean)
{
    return (struct ochre_value){.type = OCHRE_VALUE_BOOL, .as.boolean = boolean};
}

static struct ochre_value
of_text(const char *string)
{
    return (struct ochre_value){.type = OCHRE_VALUE_STRING, .as.string = text(string)};
}

/* Evaluate one leaf; the set of an $in is made in the table's arena. */
static ochre_status
ask(struct table *table, const struct och_columns *columns, const struct ochre_filter_node *node,
        struct och_bitset *rows, uint64_t *count_out, struct ochre_error *err)
{
    struct och_value_set set = {.items = NULL};
    struct och_columns_leaf leaf = {.op = node->op, .key = node->key, .value = &node->value};
    if (node->op == OCHRE_FILTER_IN || node->op == OCHRE_FILTER_NOT_IN) {
        check(och_value_set_make(&table->arena, &node->value, &set) == OCHRE_OK);
        leaf.set = &set;
    }
    ochre_status status = och_columns_rows(columns, &leaf, rows, err);
    ochre_status counted = och_columns_count(columns, &leaf, count_out, err);
    check(status == counted);
    return status;
}

/* The index says of every row what the definition does, and counts them. */
static void
check_leaf(struct table *table, const struct och_columns *columns,
        const struct ochre_filter_node *node)
{
    struct ochre_error err;
    struct och_bitset rows;
    uint64_t count;
    uint64_t wanted = 0;
    och_bitset_init(&rows, table->mem);
    check_ok(ask(table, columns, node, &rows, &count, &err), &err);
    for (uint32_t row = 0; row < table->n_rows; row++) {
        const struct ochre_value *value = last_value(&table->metadata[row], node->key);
        bool matches = naive_matches(value, node->op, &node->value);
        wanted += matches;
        if (matches != och_bitset_has(&rows, row))
            fail_msg("row %u of %u, operator %d, operand of type %d", (unsigned) row,
                    (unsigned) table->n_rows, (int) node->op, (int) node->value.type);
    }
    check(och_bitset_next(&rows, table->n_rows) == OCH_ROW_NONE);
    check(count == wanted && och_bitset_count(&rows) == wanted);
    och_bitset_clear(&rows);
}

static struct ochre_filter_node
random_leaf(struct och_arena *arena, uint64_t *seed)
{
    struct ochre_filter_node node = {.size = 1,
            .key = random_key(seed),
            .op = (ochre_filter_op) (OCHRE_FILTER_EQ + och_random_below(seed, 10))};
    uint64_t type = OCHRE_VALUE_BOOL + och_random_below(seed, 4);
    if (node.op >= OCHRE_FILTER_GT && node.op <= OCHRE_FILTER_LTE)
        type = OCHRE_VALUE_INT + och_random_below(seed, 2);
    if (node.op == OCHRE_FILTER_IN || node.op == OCHRE_FILTER_NOT_IN)
        type += 4;
    node.value = random_value(arena, seed, (ochre_value_type) type);
    return node;
}

/* --- against the definition --------------------------------------------------------- */

static void
random_leaves_select_what_the_definition_does(void **state)
{
    (void) state;
    static const uint32_t sizes[] = {0, 1, 2, 63, 64, 65, 127, 128, 129, 300};
    struct och_mem mem;
    uint64_t seed = 20;
    och_mem_init(&mem, NULL);
    for (size_t i = 0; i < 40 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct table table;
        struct och_columns columns;
        table_begin(&table, &mem, sizes[i % (sizeof(sizes) / sizeof(sizes[0]))]);
        for (uint32_t row = 0; row < table.n_rows; row++) {
            struct ochre_metadata metadata = random_metadata(&table.arena, &seed, false);
            if (metadata.n_fields > 0)
                table_set(&table, row, &metadata);
        }
        table_open(&table, &columns);
        for (int leaf = 0; leaf < 150; leaf++) {
            struct ochre_filter_node node = random_leaf(&table.arena, &seed);
            check_leaf(&table, &columns, &node);
        }
        table_end(&table);
    }
    check(och_mem_used(&mem) == 0);
}

/* Every operator with operands that are no scalar, or of no world that it knows:
 * och_value_matches has an answer, so the index has the same. */
static void
operands_of_every_type_are_answered(void **state)
{
    (void) state;
    struct och_mem mem;
    struct table table;
    struct och_columns columns;
    uint64_t seed = 21;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, 200);
    for (uint32_t row = 0; row < table.n_rows; row++) {
        ochre_value_type type = (ochre_value_type) (OCHRE_VALUE_BOOL + row % 8);
        table_set_value(&table, row, text("a"), random_value(&table.arena, &seed, type));
    }
    table_open(&table, &columns);
    for (int op = OCHRE_FILTER_EQ; op <= OCHRE_FILTER_NOT_CONTAINS; op++) {
        for (int type = OCHRE_VALUE_NULL; type <= OCHRE_VALUE_STRING_LIST; type++) {
            bool list = type >= OCHRE_VALUE_BOOL_LIST;
            if ((op == OCHRE_FILTER_IN || op == OCHRE_FILTER_NOT_IN) && !list)
                continue;
            for (int i = 0; i < 20; i++) {
                struct ochre_filter_node node = {.op = (ochre_filter_op) op, .key = text("a")};
                node.value = random_value(&table.arena, &seed, (ochre_value_type) type);
                check_leaf(&table, &columns, &node);
            }
        }
    }
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

static void
numbers_compare_exactly_at_their_limits(void **state)
{
    (void) state;
    const struct ochre_value numbers[] = {of_int(INT64_MIN), of_int(INT64_MIN + 1),
            of_int(INT64_MAX), of_int(INT64_MAX - 1), of_int(0), of_int(-1), of_int(1),
            of_int(INT64_C(1) << 53), of_int((INT64_C(1) << 53) + 1),
            of_int(-(INT64_C(1) << 53) - 1), of_float(0.0), of_float(-0.0), of_float(0.5),
            of_float(-0.5), of_float(9007199254740992.0), of_float(9007199254740994.0),
            of_float(-9007199254740992.0), of_float(9223372036854775808.0),
            of_float(-9223372036854775808.0), of_float(9223372036854774784.0), of_float(DBL_MAX),
            of_float(-DBL_MAX), of_float(DBL_MIN), of_float(4.9e-324), of_float(-4.9e-324),
            of_float(1.0), of_float((double) INFINITY), of_float(-(double) INFINITY)};
    enum { N = sizeof(numbers) / sizeof(numbers[0]) };
    struct och_mem mem;
    struct table table;
    struct och_columns columns;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, N + 5);
    for (uint32_t row = 0; row < N; row++)
        table_set_value(&table, row, text("n"), numbers[row]);
    table_set_value(&table, N, text("n"), of_text("1"));
    table_set_value(&table, N + 1, text("n"), of_bool(true));
    static const int64_t one[] = {1};
    table_set_value(&table, N + 2, text("n"),
            (struct ochre_value){.type = OCHRE_VALUE_INT_LIST, .n = 1, .as.integers = one});
    table_open(&table, &columns);
    for (int op = OCHRE_FILTER_EQ; op <= OCHRE_FILTER_LTE; op++) {
        for (size_t i = 0; i < N; i++) {
            struct ochre_filter_node node = {
                    .op = (ochre_filter_op) op, .key = text("n"), .value = numbers[i]};
            check_leaf(&table, &columns, &node);
        }
    }
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

static void
strings_are_told_apart_by_every_byte(void **state)
{
    (void) state;
    static const struct ochre_bytes strings[] = {{"", 0}, {"\0", 1}, {"a", 1}, {"a\0", 2},
            {"abcdefgh", 8}, {"abcdefgh\0", 9}, {"abcdefghi", 9}, {"abcdefgh\xff", 9},
            {"\xc3\xa9", 2}, {"e\xcc\x81", 3}, {"\xf0\x9f\x98\x80", 4}, {"\xff\xff", 2}, {"A", 1}};
    enum { N = sizeof(strings) / sizeof(strings[0]) };
    struct och_mem mem;
    struct table table;
    struct och_columns columns;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, N * 3);
    for (uint32_t row = 0; row < table.n_rows; row++)
        table_set_value(&table, row, text("s"),
                (struct ochre_value){
                        .type = OCHRE_VALUE_STRING, .as.string = strings[row * 7 % N]});
    table_open(&table, &columns);
    for (size_t i = 0; i < N; i++) {
        struct ochre_filter_node node = {.op = OCHRE_FILTER_EQ,
                .key = text("s"),
                .value = {.type = OCHRE_VALUE_STRING, .as.string = strings[i]}};
        check_leaf(&table, &columns, &node);
        node.op = OCHRE_FILTER_NE;
        check_leaf(&table, &columns, &node);
    }
    struct ochre_filter_node node = {.op = OCHRE_FILTER_IN,
            .key = text("s"),
            .value = {.type = OCHRE_VALUE_STRING_LIST, .n = N, .as.strings = strings}};
    check_leaf(&table, &columns, &node);
    node.value.n = 5;
    check_leaf(&table, &columns, &node);
    node.op = OCHRE_FILTER_NOT_IN;
    check_leaf(&table, &columns, &node);
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

static void
a_key_that_no_row_has_matches_the_negations_only(void **state)
{
    (void) state;
    struct och_mem mem;
    uint64_t seed = 22;
    och_mem_init(&mem, NULL);
    for (int i = 0; i < 2; i++) {
        struct table table;
        struct och_columns columns;
        table_begin(&table, &mem, 70);
        if (i == 1)
            table_set_value(&table, 3, text("m"), of_int(1));
        table_open(&table, &columns);
        static const char *const keys[] = {"", "l", "m", "n"};
        for (int leaf = 0; leaf < 200; leaf++) {
            struct ochre_filter_node node = random_leaf(&table.arena, &seed);
            node.key = text(keys[leaf % 4]);
            check_leaf(&table, &columns, &node);
        }
        table_end(&table);
    }
    check(och_mem_used(&mem) == 0);
}

/* --- forms -------------------------------------------------------------------------- */

/*
 * Enough rows for both widths of row numbers, bitmaps beside lists, and marks; the
 * model is the definition again.  Operands fall on values, between and outside.
 */
static void
check_ranges(uint32_t n_rows, uint64_t n_values, unsigned one_in, uint64_t seed)
{
    struct och_mem mem;
    struct table table;
    struct och_columns columns;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, n_rows);
    for (uint32_t row = 0; row < n_rows; row++) {
        if (och_random_below(&seed, one_in) != 0)
            continue;
        /* Half of the values are the lower ones: dense beside sparse. */
        uint64_t below = och_random_below(&seed, 2) == 0 ? n_values : n_values / 16 + 1;
        int64_t value = (int64_t) och_random_below(&seed, below);
        struct ochre_value number =
                row % 3 == 0 ? of_float((double) value / 2) : of_int(value - 10);
        table_set_value(&table, row, text("n"), number);
    }
    table_open(&table, &columns);
    for (int i = 0; i < 40; i++) {
        int64_t value = (int64_t) och_random_below(&seed, n_values + 40) - 20;
        struct ochre_filter_node node = {.key = text("n"),
                .op = (ochre_filter_op) (OCHRE_FILTER_EQ + och_random_below(&seed, 6)),
                .value = i % 2 == 0 ? of_int(value) : of_float((double) value / 2 + 0.25)};
        check_leaf(&table, &columns, &node);
    }
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

static void
ranges_over_many_rows_are_exact(void **state)
{
    (void) state;
    check_ranges(70000, 1000000000, 1, 31); /* every value once, marks */
    check_ranges(65536, 40000, 1, 32);      /* the last with short row numbers */
    check_ranges(65537, 40000, 1, 33);      /* the first with long ones */
    check_ranges(70000, 300, 1, 34);        /* lists and bitmaps */
    check_ranges(70000, 12, 1, 35);         /* bitmaps only */
    check_ranges(70000, 50000, 2, 36);      /* half of the rows have the key */
    check_ranges(70000, 50000, 40, 37);     /* few have it: no marks */
    check_ranges(300000, 30, 1, 38);        /* bitmaps and marks */
}

static void
a_list_of_65536_members_selects_their_rows(void **state)
{
    (void) state;
    enum { N = 30000 };
    struct och_mem mem;
    struct table table;
    struct och_columns columns;
    uint64_t seed = 40;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, N);
    for (uint32_t row = 0; row < N; row++) {
        int64_t value = (int64_t) och_random_below(&seed, 100000);
        table_set_value(
                &table, row, text("n"), row % 5 == 0 ? of_float((double) value) : of_int(value));
    }
    table_open(&table, &columns);
    int64_t *integers = och_arena_take_array(&table.arena, OCH_FILTER_LIST_MAX, sizeof(*integers));
    check(integers != NULL);
    for (uint32_t i = 0; i < OCH_FILTER_LIST_MAX; i++)
        integers[i] = (int64_t) och_random_below(&seed, 120000) - 10000;
    struct och_value_set set;
    struct ochre_value list = {
            .type = OCHRE_VALUE_INT_LIST, .n = OCH_FILTER_LIST_MAX, .as.integers = integers};
    check(och_value_set_make(&table.arena, &list, &set) == OCHRE_OK);
    /* The definition walks the list for each row; a table of members is as plain. */
    static bool members[100000];
    memset(members, 0, sizeof(members));
    for (uint32_t i = 0; i < OCH_FILTER_LIST_MAX; i++)
        if (integers[i] >= 0 && integers[i] < 100000)
            members[integers[i]] = true;
    struct och_bitset rows;
    och_bitset_init(&rows, &mem);
    struct och_columns_leaf leaf = {
            .op = OCHRE_FILTER_IN, .key = text("n"), .value = &list, .set = &set};
    struct ochre_error err;
    check_ok(och_columns_rows(&columns, &leaf, &rows, &err), &err);
    for (uint32_t row = 0; row < N; row++) {
        const struct ochre_value *value = &table.metadata[row].fields[0].value;
        int64_t integer =
                value->type == OCHRE_VALUE_INT ? value->as.integer : (int64_t) value->as.number;
        check(och_bitset_has(&rows, row) == members[integer]);
    }
    och_bitset_clear(&rows);
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

/* Members that lie next to each other, twice, and apart. */
static void
members_next_to_each_other_are_all_found(void **state)
{
    (void) state;
    static const int64_t lists[][6] = {{0, 1, 2, 3, 4, 5}, {0, 0, 1, 1, 2, 2}, {5, 3, 1, 9, 7, 11},
            {9, 9, 9, 9, 9, 9}, {-5, 30, -7, 40, 50, 60}, {0, 9, -1, 10, 5, 5},
            {3, 4, 7, 8, 9, 10}};
    struct och_mem mem;
    struct table table;
    struct och_columns columns;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, 200);
    for (uint32_t row = 0; row < table.n_rows; row++)
        table_set_value(&table, row, text("n"), of_int(row % 10));
    table_open(&table, &columns);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (uint32_t n = 0; n <= 6; n++) {
            struct ochre_filter_node node = {.op = OCHRE_FILTER_IN,
                    .key = text("n"),
                    .value = {.type = OCHRE_VALUE_INT_LIST, .n = n, .as.integers = lists[i]}};
            check_leaf(&table, &columns, &node);
        }
    }
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

static void
a_list_counts_each_of_its_members_once(void **state)
{
    (void) state;
    enum { N = 100, MEMBERS = 300 };
    struct och_mem mem;
    struct table table;
    struct och_columns columns;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, N);
    for (uint32_t row = 0; row < N; row++) {
        int64_t *integers = och_arena_take_array(&table.arena, MEMBERS, sizeof(*integers));
        check(integers != NULL);
        for (uint32_t i = 0; i < MEMBERS; i++)
            integers[i] = (int64_t) (i * row % 7);
        table_set_value(&table, row, text("l"),
                (struct ochre_value){.type = OCHRE_VALUE_INT_LIST,
                        .n = row % 4 == 0 ? 0 : MEMBERS,
                        .as.integers = integers});
    }
    table_open(&table, &columns);
    for (int64_t value = -1; value < 9; value++) {
        struct ochre_filter_node node = {
                .op = OCHRE_FILTER_CONTAINS, .key = text("l"), .value = of_int(value)};
        check_leaf(&table, &columns, &node);
        node.value = of_float((double) value);
        check_leaf(&table, &columns, &node);
        node.op = OCHRE_FILTER_NOT_CONTAINS;
        check_leaf(&table, &columns, &node);
        node.op = OCHRE_FILTER_GTE;
        check_leaf(&table, &columns, &node);
    }
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

/* --- what is left out --------------------------------------------------------------- */

static void
check_left_out(struct table *table, const char *key, bool left_out)
{
    struct och_columns columns;
    struct och_bitset rows;
    struct ochre_error err;
    uint64_t count;
    table_open(table, &columns);
    och_bitset_init(&rows, table->mem);
    struct ochre_filter_node node = {.op = OCHRE_FILTER_GT, .key = text(key), .value = of_int(3)};
    check(ask(table, &columns, &node, &rows, &count, &err) ==
            (left_out ? OCHRE_UNSUPPORTED : OCHRE_OK));
    och_bitset_clear(&rows);
    och_bitset_init(&rows, table->mem);
    node.op = OCHRE_FILTER_EQ;
    node.value = of_text("x");
    check(ask(table, &columns, &node, &rows, &count, &err) == OCHRE_OK);
    check(count == 1 && och_bitset_has(&rows, 0));
    och_bitset_clear(&rows);
}

static void
a_column_over_its_limits_is_left_out_and_others_are_not(void **state)
{
    (void) state;
    struct och_mem mem;
    struct table table;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, 10);
    table_set_value(&table, 0, text("k"), of_text("x"));
    for (uint32_t row = 1; row < 10; row++)
        table_set_value(&table, row, text("k"), of_int(row));
    table.entries_max = 9;
    check_left_out(&table, "k", false);
    table.entries_max = 8;
    check_left_out(&table, "k", true);
    table_end(&table);

    table_begin(&table, &mem, 3);
    table_set_value(&table, 0, text("s"), of_text("four"));
    table_set_value(&table, 1, text("s"), of_text("four"));
    table_set_value(&table, 2, text("s"), of_text("five5"));
    struct och_columns columns;
    struct ochre_filter_node node = {
            .op = OCHRE_FILTER_EQ, .key = text("s"), .value = of_text("four")};
    table.text_max = 9;
    table_open(&table, &columns);
    check_leaf(&table, &columns, &node);
    table.text_max = 8;
    table_open(&table, &columns);
    struct och_columns_leaf leaf = {.op = node.op, .key = node.key, .value = &node.value};
    uint64_t count;
    check(och_columns_count(&columns, &leaf, &count, NULL) == OCHRE_UNSUPPORTED);
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

/* och_value_matches has every number equal one that is none; nothing lets it in, but
 * an index must not answer otherwise than the rows. */
static void
a_column_with_nan_is_left_out(void **state)
{
    (void) state;
    struct och_mem mem;
    struct table table;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, 3);
    table_set_value(&table, 0, text("k"), of_text("x"));
    table_set_value(&table, 1, text("k"), of_float(1));
    table_set_value(&table, 2, text("k"), of_float((double) NAN));
    check_left_out(&table, "k", true);
    const double list[] = {1, (double) NAN, 2};
    table_set_value(&table, 1, text("l"),
            (struct ochre_value){.type = OCHRE_VALUE_FLOAT_LIST, .n = 3, .as.numbers = list});
    struct och_columns columns;
    table_open(&table, &columns);
    struct ochre_value one = of_float(1);
    struct och_columns_leaf leaf = {.op = OCHRE_FILTER_CONTAINS, .key = text("l"), .value = &one};
    uint64_t count;
    check(och_columns_count(&columns, &leaf, &count, NULL) == OCHRE_UNSUPPORTED);
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

/* One row for each key, one key for each row. */
static ochre_status
build_keys(struct och_mem *mem, uint32_t n)
{
    struct table table;
    struct ochre_error err;
    table_begin(&table, mem, n);
    for (uint32_t row = 0; row < n; row++) {
        char key[16];
        int size = snprintf(key, sizeof(key), "%x", (unsigned) row);
        struct ochre_bytes copy = {och_arena_copy(&table.arena, key, (size_t) size), (size_t) size};
        table_set_value(&table, row, copy, of_int(row));
    }
    ochre_status status = table_build(&table, mem, &err);
    if (status == OCHRE_OK) {
        struct och_columns columns;
        struct och_columns_source source = {.bytes = table.bytes.data, .size = table.bytes.size};
        check_ok(och_columns_open(&columns, &source, n, &err), &err);
        for (uint32_t row = 0; row < n; row += 1 + n / 3) {
            const struct ochre_field *field = &table.metadata[row].fields[0];
            struct ochre_filter_node node = {
                    .op = OCHRE_FILTER_EQ, .key = field->key, .value = field->value};
            check_leaf(&table, &columns, &node);
        }
    }
    table_end(&table);
    return status;
}

static void
more_keys_than_the_limit_make_no_index(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    check(build_keys(&mem, OCH_COLUMNS_MAX - 1) == OCHRE_OK);
    check(build_keys(&mem, OCH_COLUMNS_MAX) == OCHRE_OK);
    check(build_keys(&mem, OCH_COLUMNS_MAX + 1) == OCHRE_TOO_LARGE);
    check(och_mem_used(&mem) == 0);
}

/* --- bytes -------------------------------------------------------------------------- */

static void
fill_random(struct table *table, uint64_t *seed)
{
    for (uint32_t row = 0; row < table->n_rows; row++) {
        struct ochre_metadata metadata = random_metadata(&table->arena, seed, false);
        table_set(table, row, &metadata);
    }
}

/* Whatever the seed of the hash tables, and in how many walks. */
static void
the_same_rows_give_the_same_bytes(void **state)
{
    (void) state;
    struct och_mem mem;
    struct table table;
    uint64_t seed = 50;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, 400);
    fill_random(&table, &seed);
    struct ochre_error err;
    check_ok(table_build(&table, &mem, &err), &err);
    struct ochre_bytes first = {
            och_arena_copy(&table.arena, table.bytes.data, table.bytes.size), table.bytes.size};
    for (uint64_t i = 0; i < 3; i++) {
        table.seed = UINT64_MAX - i;
        table.batch = i * 300;
        check_ok(table_build(&table, &mem, &err), &err);
        check(same_text(first, (struct ochre_bytes){table.bytes.data, table.bytes.size}));
    }
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

/* Rows as of documents cut into pieces. */
static void
an_index_is_smaller_than_what_it_indexes(void **state)
{
    (void) state;
    enum { N = 20000 };
    struct och_mem mem;
    struct table table;
    uint64_t seed = 51;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, N);
    for (uint32_t row = 0; row < N; row++) {
        struct ochre_field *fields = och_arena_take_array(&table.arena, 5, sizeof(*fields));
        check(fields != NULL);
        char name[32];
        int size = snprintf(name, sizeof(name), "folder/%u.txt", (unsigned) row / 20);
        fields[0] = (struct ochre_field){text("source"),
                {.type = OCHRE_VALUE_STRING,
                        .as.string = {
                                och_arena_copy(&table.arena, name, (size_t) size), (size_t) size}}};
        fields[1] = (struct ochre_field){text("page"), of_int(row % 20)};
        fields[2] = (struct ochre_field){text("score"), of_float((double) och_random_f32(&seed))};
        fields[3] = (struct ochre_field){text("public"), of_bool(row % 3 == 0)};
        fields[4] = (struct ochre_field){text("language"), of_text(row % 7 == 0 ? "de" : "en")};
        table_set(&table, row, &(struct ochre_metadata){fields, 5});
    }
    struct ochre_error err;
    check_ok(table_build(&table, &mem, &err), &err);
    if (table.bytes.size * 3 > table.fields_size)
        fail_msg("%zu bytes for %zu of metadata", table.bytes.size, (size_t) table.fields_size);
    table_end(&table);

    /* The worst: numbers that are all different, under a short key. */
    table_begin(&table, &mem, N);
    for (uint32_t row = 0; row < N; row++)
        table_set_value(&table, row, text("n"), of_int((int64_t) och_random(&seed)));
    check_ok(table_build(&table, &mem, &err), &err);
    check(table.bytes.size < table.fields_size);
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

/* --- touching ----------------------------------------------------------------------- */

/* A copy of a section that has nothing in it but what was touched. */
struct shy {
    const struct och_buf *whole;
    char *bytes;
    uint64_t n_touched;
    uint64_t fail_at; /* this touch fails; 0: none does */
};

static ochre_status
touch_bytes(void *context, uint64_t offset, uint64_t size, struct ochre_error *err)
{
    struct shy *shy = context;
    check(size > 0 && offset <= shy->whole->size && size <= shy->whole->size - offset);
    if (++shy->n_touched == shy->fail_at)
        return och_fail(err, OCHRE_IO, "the disk fails");
    memcpy(shy->bytes + offset, shy->whole->data + offset, size);
    return OCHRE_OK;
}

static struct och_columns_source
be_shy(struct shy *shy, struct table *table)
{
    *shy = (struct shy){.whole = &table->bytes};
    shy->bytes = och_arena_take(&table->arena, table->bytes.size);
    check(shy->bytes != NULL);
    memset(shy->bytes, 0xff, table->bytes.size);
    return (struct och_columns_source){
            .bytes = shy->bytes, .size = table->bytes.size, .touch = touch_bytes, .context = shy};
}

static void
nothing_is_read_before_it_is_touched(void **state)
{
    (void) state;
    struct och_mem mem;
    struct table table;
    struct ochre_error err;
    uint64_t seed = 60;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, 300);
    fill_random(&table, &seed);
    check_ok(table_build(&table, &mem, &err), &err);
    for (int i = 0; i < 500; i++) {
        struct shy shy;
        struct och_columns columns;
        struct och_columns_source source = be_shy(&shy, &table);
        check_ok(och_columns_open(&columns, &source, table.n_rows, &err), &err);
        struct ochre_filter_node node = random_leaf(&table.arena, &seed);
        check_leaf(&table, &columns, &node);
    }
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

static void
a_touch_that_fails_is_the_answer(void **state)
{
    (void) state;
    struct och_mem mem;
    struct table table;
    struct ochre_error err;
    uint64_t seed = 61;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, 300);
    fill_random(&table, &seed);
    check_ok(table_build(&table, &mem, &err), &err);
    for (int i = 0; i < 60; i++) {
        struct ochre_filter_node node = random_leaf(&table.arena, &seed);
        struct och_value_set set = {.items = NULL};
        if (node.op == OCHRE_FILTER_IN || node.op == OCHRE_FILTER_NOT_IN)
            check(och_value_set_make(&table.arena, &node.value, &set) == OCHRE_OK);
        struct och_columns_leaf leaf = {
                .op = node.op, .key = node.key, .value = &node.value, .set = &set};
        bool failed = true;
        for (uint64_t at = 1; failed; at++) {
            struct shy shy;
            struct och_columns columns;
            struct och_columns_source source = be_shy(&shy, &table);
            struct och_bitset rows;
            shy.fail_at = at;
            och_bitset_init(&rows, &mem);
            ochre_status status = och_columns_open(&columns, &source, table.n_rows, &err);
            if (status == OCHRE_OK)
                status = och_columns_rows(&columns, &leaf, &rows, &err);
            failed = shy.n_touched >= at;
            check(status == (failed ? OCHRE_IO : OCHRE_OK));
            och_bitset_clear(&rows);
        }
    }
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

/* --- damage ------------------------------------------------------------------------- */

/* Ask a few leaves of columns that may be damaged: an error or rows that are there. */
static void
ask_damaged(struct table *table, const struct och_columns_source *source, uint64_t *seed)
{
    struct och_columns columns;
    struct ochre_error err;
    ochre_status status = och_columns_open(&columns, source, table->n_rows, &err);
    check(status == OCHRE_OK || status == OCHRE_CORRUPT);
    struct och_arena_mark mark = och_arena_mark(&table->arena);
    for (int i = 0; status == OCHRE_OK && i < 6; i++) {
        struct ochre_filter_node node = random_leaf(&table->arena, seed);
        struct och_bitset rows;
        uint64_t count;
        och_bitset_init(&rows, table->mem);
        struct och_value_set set = {.items = NULL};
        if (node.op == OCHRE_FILTER_IN || node.op == OCHRE_FILTER_NOT_IN)
            check(och_value_set_make(&table->arena, &node.value, &set) == OCHRE_OK);
        struct och_columns_leaf leaf = {
                .op = node.op, .key = node.key, .value = &node.value, .set = &set};
        ochre_status answer = och_columns_rows(&columns, &leaf, &rows, &err);
        check(answer == OCHRE_OK || answer == OCHRE_CORRUPT || answer == OCHRE_UNSUPPORTED);
        if (answer == OCHRE_OK)
            check(och_bitset_next(&rows, table->n_rows) == OCH_ROW_NONE);
        answer = och_columns_count(&columns, &leaf, &count, &err);
        check(answer == OCHRE_OK || answer == OCHRE_CORRUPT || answer == OCHRE_UNSUPPORTED);
        check(answer != OCHRE_OK || count <= table->n_rows);
        och_bitset_clear(&rows);
    }
    och_arena_rewind(&table->arena, &mark);
}

static void
every_damaged_byte_is_an_error_or_rows_that_are_there(void **state)
{
    (void) state;
    static const uint8_t masks[] = {0x01, 0x80, 0xff};
    struct och_mem mem;
    struct table table;
    struct ochre_error err;
    uint64_t seed = 70;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, 90);
    fill_random(&table, &seed);
    check_ok(table_build(&table, &mem, &err), &err);
    /* Bytes of exactly this size, so that a checker of memory sees every step outside. */
    char *bytes = och_mem_take(&mem, table.bytes.size);
    check(bytes != NULL);
    for (size_t at = 0; at < table.bytes.size; at++) {
        memcpy(bytes, table.bytes.data, table.bytes.size);
        bytes[at] = (char) (bytes[at] ^ masks[och_random_below(&seed, 3)]);
        struct och_columns_source source = {.bytes = bytes, .size = table.bytes.size};
        ask_damaged(&table, &source, &seed);
    }
    och_mem_release(&mem, bytes, table.bytes.size);
    for (size_t size = 0; size < table.bytes.size; size += 1 + size / 8) {
        bytes = och_mem_take(&mem, size + 1);
        check(bytes != NULL);
        memcpy(bytes, table.bytes.data, size);
        struct och_columns_source source = {.bytes = bytes, .size = size};
        ask_damaged(&table, &source, &seed);
        och_mem_release(&mem, bytes, size + 1);
    }
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

/* Bytes that no small index has: marks, and bitmaps whose last word has room. */
static void
damaged_numbers_marks_and_bitmaps_are_found(void **state)
{
    (void) state;
    enum { N = 20010 };
    const size_t bitmap_size = (N + 63) / 64 * 8;
    struct och_mem mem;
    struct table table;
    struct och_columns columns;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, N);
    for (uint32_t row = 0; row < N; row++)
        table_set_value(&table, row, text("a"), of_int((int64_t) row * 7 % N));
    table_open(&table, &columns);
    struct ochre_value value = of_int(3);
    struct och_columns_leaf leaf = {.op = OCHRE_FILTER_GTE, .key = text("a"), .value = &value};
    struct och_bitset rows;
    och_bitset_init(&rows, &mem);
    check(och_columns_rows(&columns, &leaf, &rows, NULL) == OCHRE_OK);

    /* A float that is no number has no order. */
    struct table floats;
    table_begin(&floats, &mem, 2);
    table_set_value(&floats, 0, text("a"), of_float(1));
    table_set_value(&floats, 1, text("a"), of_float(2));
    struct och_columns float_columns;
    table_open(&floats, &float_columns);
    och_store_u64(floats.bytes.data, UINT64_C(0xfff8000000000000));
    struct och_bitset none;
    och_bitset_init(&none, &mem);
    check(och_columns_rows(&float_columns, &leaf, &none, NULL) == OCHRE_CORRUPT);
    och_bitset_clear(&none);
    table_end(&floats);

    /* The section begins with the bitmap of the mark at the end. */
    char *last = table.bytes.data + bitmap_size - 1;
    check((*last & 0x80) == 0);
    *last = (char) (*last | 0x80);
    check(och_columns_rows(&columns, &leaf, &rows, NULL) == OCHRE_CORRUPT);
    *last = (char) (*last & 0x7f);
    check(och_columns_rows(&columns, &leaf, &rows, NULL) == OCHRE_OK);

    /* Behind the bitmap and the values there is the mark; all of them have it below. */
    char *mark = table.bytes.data + bitmap_size + (size_t) N * 8;
    check(och_load_u32(mark) == N);
    och_store_u32(mark, N + 1);
    check(och_columns_rows(&columns, &leaf, &rows, NULL) == OCHRE_CORRUPT);
    och_store_u32(mark, N);
    check(och_columns_rows(&columns, &leaf, &rows, NULL) == OCHRE_OK);
    och_bitset_clear(&rows);
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

static void
a_section_of_other_rows_is_refused(void **state)
{
    (void) state;
    struct och_mem mem;
    struct table table;
    struct och_columns columns;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, 10);
    table_set_value(&table, 0, text("k"), of_int(1));
    table_open(&table, &columns);
    struct och_columns_source source = {.bytes = table.bytes.data, .size = table.bytes.size};
    check(och_columns_open(&columns, &source, 11, NULL) == OCHRE_CORRUPT);
    check(och_columns_open(&columns, &source, 9, NULL) == OCHRE_CORRUPT);
    check(och_columns_open(&columns, &source, 10, NULL) == OCHRE_OK);
    /* A later version. */
    table.bytes.data[table.bytes.size - 16] = 2;
    check(och_columns_open(&columns, &source, 10, NULL) == OCHRE_CORRUPT);
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

/* --- failures ----------------------------------------------------------------------- */

static void
failures_of_reading_and_putting_are_passed_on(void **state)
{
    (void) state;
    struct och_mem mem;
    struct table table;
    uint64_t seed = 80;
    och_mem_init(&mem, NULL);
    table_begin(&table, &mem, 50);
    fill_random(&table, &seed);
    check(table_build(&table, &mem, NULL) == OCHRE_OK);
    size_t size = table.bytes.size;
    for (uint64_t max = 0; max < size; max += 1 + max / 20) {
        table.size_max = max;
        size_t used = och_mem_used(&mem);
        check(table_build(&table, &mem, NULL) == OCHRE_FULL);
        check(och_mem_used(&mem) == used);
    }
    table.size_max = size;
    table.fail_row = 49;
    check(table_build(&table, &mem, NULL) == OCHRE_IO);
    table.fail_row = UINT32_MAX;
    check(table_build(&table, &mem, NULL) == OCHRE_OK);
    table_end(&table);
    check(och_mem_used(&mem) == 0);
}

static bool
build_and_ask(struct och_mem *mem)
{
    struct och_mem own;
    struct table table;
    struct ochre_error err;
    uint64_t seed = 81;
    och_mem_init(&own, NULL);
    table_begin(&table, &own, 200);
    fill_random(&table, &seed);
    ochre_status status = table_build(&table, mem, &err);
    if (status == OCHRE_OK) {
        struct och_columns columns;
        struct och_columns_source source = {.bytes = table.bytes.data, .size = table.bytes.size};
        check_ok(och_columns_open(&columns, &source, table.n_rows, &err), &err);
        struct ochre_value value = of_int(1);
        struct och_columns_leaf leaf = {.op = OCHRE_FILTER_NE, .key = text("a"), .value = &value};
        struct och_bitset rows;
        och_bitset_init(&rows, mem);
        status = och_columns_rows(&columns, &leaf, &rows, &err);
        och_bitset_clear(&rows);
    }
    check(status == OCHRE_OK || (status == OCHRE_NO_MEMORY && err.status == OCHRE_NO_MEMORY));
    table_end(&table);
    check(och_mem_used(&own) == 0);
    return status == OCHRE_OK;
}

static void
every_allocation_may_fail(void **state)
{
    (void) state;
    check_each_allocation_failing(build_and_ask);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(random_leaves_select_what_the_definition_does),
            cmocka_unit_test(operands_of_every_type_are_answered),
            cmocka_unit_test(numbers_compare_exactly_at_their_limits),
            cmocka_unit_test(strings_are_told_apart_by_every_byte),
            cmocka_unit_test(a_key_that_no_row_has_matches_the_negations_only),
            cmocka_unit_test(ranges_over_many_rows_are_exact),
            cmocka_unit_test(a_list_of_65536_members_selects_their_rows),
            cmocka_unit_test(members_next_to_each_other_are_all_found),
            cmocka_unit_test(a_list_counts_each_of_its_members_once),
            cmocka_unit_test(a_column_over_its_limits_is_left_out_and_others_are_not),
            cmocka_unit_test(a_column_with_nan_is_left_out),
            cmocka_unit_test(more_keys_than_the_limit_make_no_index),
            cmocka_unit_test(the_same_rows_give_the_same_bytes),
            cmocka_unit_test(an_index_is_smaller_than_what_it_indexes),
            cmocka_unit_test(nothing_is_read_before_it_is_touched),
            cmocka_unit_test(a_touch_that_fails_is_the_answer),
            cmocka_unit_test(every_damaged_byte_is_an_error_or_rows_that_are_there),
            cmocka_unit_test(damaged_numbers_marks_and_bitmaps_are_found),
            cmocka_unit_test(a_section_of_other_rows_is_refused),
            cmocka_unit_test(failures_of_reading_and_putting_are_passed_on),
            cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
