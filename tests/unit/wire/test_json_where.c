#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "support/check.h"
#include "wire/json_where.h"

/* --- filters as text --------------------------------------------------------- */

static const char *const op_names[] = {[OCHRE_FILTER_AND] = "and",
        [OCHRE_FILTER_OR] = "or",
        [OCHRE_FILTER_EQ] = "eq",
        [OCHRE_FILTER_NE] = "ne",
        [OCHRE_FILTER_GT] = "gt",
        [OCHRE_FILTER_GTE] = "gte",
        [OCHRE_FILTER_LT] = "lt",
        [OCHRE_FILTER_LTE] = "lte",
        [OCHRE_FILTER_IN] = "in",
        [OCHRE_FILTER_NOT_IN] = "nin",
        [OCHRE_FILTER_CONTAINS] = "contains",
        [OCHRE_FILTER_NOT_CONTAINS] = "not_contains",
        [OCHRE_FILTER_REGEX] = "regex",
        [OCHRE_FILTER_NOT_REGEX] = "not_regex"};

static void
put_value(struct och_buf *buf, const struct ochre_value *value)
{
    if (value->type == OCHRE_VALUE_BOOL)
        och_buf_put_text(buf, value->as.boolean ? "true" : "false");
    if (value->type == OCHRE_VALUE_INT)
        och_json_put_int(buf, value->as.integer);
    if (value->type == OCHRE_VALUE_FLOAT)
        och_json_put_f64(buf, value->as.number);
    if (value->type == OCHRE_VALUE_STRING)
        och_json_put_string(buf, value->as.string);
    for (uint32_t i = 0; value->type >= OCHRE_VALUE_BOOL_LIST && i < value->n; i++) {
        struct ochre_value item = {.type = (ochre_value_type) (value->type - 4)};
        och_buf_put_u8(buf, i == 0 ? '[' : ',');
        if (item.type == OCHRE_VALUE_BOOL)
            item.as.boolean = value->as.booleans[i];
        else if (item.type == OCHRE_VALUE_INT)
            item.as.integer = value->as.integers[i];
        else if (item.type == OCHRE_VALUE_FLOAT)
            item.as.number = value->as.numbers[i];
        else
            item.as.string = value->as.strings[i];
        put_value(buf, &item);
    }
    if (value->type >= OCHRE_VALUE_BOOL_LIST)
        och_buf_put_u8(buf, ']');
}

/* "and(3) eq a 1; gt b 2.0", in the order of the nodes. */
static void
put_filter(struct och_buf *buf, const struct ochre_filter *filter)
{
    for (size_t i = 0; i < filter->n_nodes; i++) {
        const struct ochre_filter_node *node = &filter->nodes[i];
        och_buf_put_text(buf, i == 0 ? "" : "; ");
        och_buf_put_text(buf, op_names[node->op]);
        if (node->op == OCHRE_FILTER_AND || node->op == OCHRE_FILTER_OR) {
            och_buf_put_u8(buf, '(');
            och_json_put_uint(buf, node->size);
            och_buf_put_u8(buf, ')');
            continue;
        }
        check(node->size == 1);
        och_buf_put_u8(buf, ' ');
        if (node->field == OCHRE_FIELD_DOCUMENT)
            och_buf_put_text(buf, "@document");
        else if (node->field == OCHRE_FIELD_ID)
            och_buf_put_text(buf, "@id");
        else
            och_buf_put(buf, node->key.data, node->key.size);
        och_buf_put_u8(buf, ' ');
        put_value(buf, &node->value);
    }
}

static struct och_json *
tree_of(struct och_arena *arena, const char *text)
{
    struct och_json *tree = NULL;
    struct ochre_error err = {.status = OCHRE_OK};
    if (text != NULL)
        check_ok(och_json_parse(arena, text, strlen(text), &tree, &err), &err);
    return tree;
}

struct filter_case {
    const char *where, *where_document; /* NULL: not given */
    const char *wanted;                 /* the filter, or how the message goes on */
    bool refused;
};

static void
check_case(const struct filter_case *filter_case)
{
    struct och_mem mem;
    struct och_arena arena;
    struct och_buf buf;
    struct ochre_filter filter;
    struct ochre_error err = {.status = OCHRE_OK};
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    och_buf_init(&buf, &mem, 1 << 20);
    ochre_status status = och_wire_filter(&arena, tree_of(&arena, filter_case->where),
            tree_of(&arena, filter_case->where_document), &filter, &err);
    check_status(status, filter_case->refused ? OCHRE_INVALID : OCHRE_OK, &err, __FILE__, __LINE__);
    put_filter(&buf, &filter);
    och_buf_put_u8(&buf, '\0');
    check(!buf.failed);
    const char *got = filter_case->refused ? err.message : buf.data;
    if (strcmp(got, filter_case->wanted) != 0)
        print_error("%s %s\n  gives  %s\n  wanted %s\n",
                filter_case->where == NULL ? "" : filter_case->where,
                filter_case->where_document == NULL ? "" : filter_case->where_document, got,
                filter_case->wanted);
    check(strcmp(got, filter_case->wanted) == 0);
    och_buf_clear(&buf);
    och_arena_clear(&arena);
    check(och_mem_used(&mem) == 0);
}

static void
check_cases(const struct filter_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check_case(&cases[i]);
}

/* --- tests ------------------------------------------------------------------- */

static void
what_the_grammar_allows_becomes_nodes_in_prefix_order(void **state)
{
    static const struct filter_case cases[] = {
            {NULL, NULL, "", false},
            {"null", "null", "", false},
            {"{\"a\":1}", NULL, "eq a 1", false},
            {"{\"a\":1.0}", NULL, "eq a 1.0", false},
            {"{\"a\":\"x\"}", "null", "eq a \"x\"", false},
            {"{\"a\":true}", NULL, "eq a true", false},
            {"{\"\":1}", NULL, "eq  1", false},
            {"{\"a\":{\"$eq\":1}}", NULL, "eq a 1", false},
            {"{\"a\":{\"$ne\":false}}", NULL, "ne a false", false},
            {"{\"a\":{\"$gt\":1}}", NULL, "gt a 1", false},
            {"{\"a\":{\"$gte\":1.5}}", NULL, "gte a 1.5", false},
            {"{\"a\":{\"$lt\":-1}}", NULL, "lt a -1", false},
            {"{\"a\":{\"$lte\":0}}", NULL, "lte a 0", false},
            {"{\"a\":{\"$in\":[1,2]}}", NULL, "in a [1,2]", false},
            {"{\"a\":{\"$in\":[1.5,2]}}", NULL, "in a [1.5,2.0]", false},
            {"{\"a\":{\"$nin\":[\"x\",\"y\"]}}", NULL, "nin a [\"x\",\"y\"]", false},
            {"{\"a\":{\"$in\":[true,false]}}", NULL, "in a [true,false]", false},
            {"{\"a\":{\"$contains\":1}}", NULL, "contains a 1", false},
            {"{\"a\":{\"$not_contains\":\"x\"}}", NULL, "not_contains a \"x\"", false},
            {"{\"a\":9223372036854775807}", NULL, "eq a 9223372036854775807", false},
            {"{\"a\":99999999999999999999}", NULL, "eq a 1e+20", false},
            {"{\"$and\":[]}", NULL, "and(1)", false},
            {"{\"$or\":[]}", NULL, "or(1)", false},
            {"{\"$and\":[{\"a\":1}]}", NULL, "and(2); eq a 1", false},
            {"{\"$and\":[{\"a\":1},{\"$or\":[{\"b\":\"x\"},{\"c\":{\"$gt\":2}}]}]}", NULL,
                    "and(5); eq a 1; or(3); eq b \"x\"; gt c 2", false},
            {"{\"$or\":[{\"$and\":[]},{\"$or\":[{\"a\":1}]},{\"b\":2}]}", NULL,
                    "or(5); and(1); or(2); eq a 1; eq b 2", false},
            {"{\"#document\":{\"$contains\":\"x\"}}", NULL, "contains @document \"x\"", false},
            {"{\"#document\":{\"$not_regex\":\"x\"}}", NULL, "not_regex @document \"x\"", false},
            {"{\"#document\":\"x\"}", NULL, "eq #document \"x\"", false},
            {"{\"#document\":{\"$in\":[\"x\"]}}", NULL, "in #document [\"x\"]", false},
            {"{\"#id\":\"x\"}", NULL, "eq @id \"x\"", false},
            {"{\"#id\":{\"$nin\":[\"x\"]}}", NULL, "nin @id [\"x\"]", false},
            {"{\"#id\":{\"$contains\":\"x\"}}", NULL, "contains #id \"x\"", false},
            {"{\"#embedding\":1}", NULL, "eq #embedding 1", false},
            {NULL, "{\"$contains\":\"x\"}", "contains @document \"x\"", false},
            {"null", "{\"$not_contains\":\"\"}", "not_contains @document \"\"", false},
            {NULL, "{\"$regex\":\"a+\"}", "regex @document \"a+\"", false},
            {NULL, "{\"$or\":[{\"$and\":[{\"$contains\":\"a\"}]},{\"$not_regex\":\"b\"}]}",
                    "or(4); and(2); contains @document \"a\"; not_regex @document \"b\"", false},
            {"{\"a\":1}", "{\"$contains\":\"x\"}", "and(3); eq a 1; contains @document \"x\"",
                    false},
            /* Of one name sent twice the later counts. */
            {"{\"a\":1,\"a\":2}", NULL, "eq a 2", false},
            {"{\"a\":{\"$gt\":1,\"$gt\":2}}", NULL, "gt a 2", false},
    };
    (void) state;
    check_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

#define WHERE "Invalid where clause: "
#define DOCUMENT "Invalid where document clause: "

static void
what_breaks_the_grammar_is_named_with_its_path(void **state)
{
    static const struct filter_case cases[] = {
            {"{}", NULL, WHERE "where: a clause must not be empty", true},
            {"[]", NULL, WHERE "where: a clause is an object with one member", true},
            {"1", NULL, WHERE "where: a clause is an object with one member", true},
            {"{\"a\":null}", NULL,
                    WHERE "where.a: $eq needs a string, a number or a boolean, got null", true},
            {"{\"a\":[1]}", NULL,
                    WHERE "where.a: $eq needs a string, a number or a boolean, got an array", true},
            {"{\"a\":{}}", NULL, WHERE "where.a: one operator is needed; $and joins several", true},
            {"{\"a\":{\"$gt\":1,\"$lt\":2}}", NULL,
                    WHERE "where.a: one operator is needed; $and joins several", true},
            {"{\"a\":1,\"b\":2}", NULL,
                    WHERE "where: a clause has one member only; $and joins several", true},
            {"{\"a\":1,\"b\":2,\"a\":1}", NULL,
                    WHERE "where: a clause has one member only; $and joins several", true},
            {"{\"$and\":[{\"a\":1},{\"price\":{\"$gt\":\"x\"}}]}", NULL,
                    WHERE "where.$and[1].price: $gt needs a number, got a string", true},
            {"{\"$or\":[{\"$and\":[{\"a\":{\"$lt\":true}}]}]}", NULL,
                    WHERE "where.$or[0].$and[0].a: $lt needs a number, got a boolean", true},
            {"{\"$and\":{\"a\":1}}", NULL,
                    WHERE "where.$and: $and needs an array of clauses, got an object", true},
            {"{\"$and\":[1]}", NULL, WHERE "where.$and[0]: a clause is an object with one member",
                    true},
            {"{\"$and\":[{}]}", NULL, WHERE "where.$and[0]: a clause must not be empty", true},
            {"{\"$not\":{\"a\":1}}", NULL, WHERE "where.$not: there is no such operator here",
                    true},
            {"{\"$contains\":\"x\"}", NULL, WHERE "where.$contains: there is no such operator here",
                    true},
            {"{\"a\":{\"foo\":1}}", NULL, WHERE "where.a: there is no operator 'foo'", true},
            {"{\"a\":{\"$and\":[]}}", NULL, WHERE "where.a: there is no operator '$and'", true},
            {"{\"a\":{\"$in\":1}}", NULL, WHERE "where.a: $in needs an array, got a number", true},
            {"{\"a\":{\"$in\":[]}}", NULL, WHERE "where.a: the list of values is empty", true},
            {"{\"a\":{\"$nin\":[null]}}", NULL,
                    WHERE "where.a: $nin needs strings, numbers or booleans in its array, got null",
                    true},
            {"{\"a\":{\"$in\":[1,2.5]}}", NULL,
                    WHERE "where.a: the values of a list must have one type", true},
            {"{\"a\":{\"$in\":[1,\"3\"]}}", NULL,
                    WHERE "where.a: the values of a list must have one type", true},
            {"{\"a\":{\"$in\":[\"3\",null]}}", NULL,
                    WHERE "where.a: the values of a list must have one type", true},
            {"{\"a\":{\"$in\":[true,1]}}", NULL,
                    WHERE "where.a: the values of a list must have one type", true},
            {"{\"a\":{\"$in\":[1.5,true]}}", NULL,
                    WHERE "where.a: the values of a list must have one type", true},
            {"{\"a\":{\"$regex\":\"x\"}}", NULL,
                    WHERE "where.a: regular expressions are for '#document' only", true},
            {"{\"#document\":{\"$contains\":1}}", NULL,
                    WHERE "where.#document: $contains needs a string, got a number", true},
            {"{\"a\":9223372036854775808}", NULL,
                    WHERE "where.a: $eq needs a string, a number or a boolean, got an integer "
                          "beyond 64 bits",
                    true},
            {NULL, "{}", DOCUMENT "where_document: a clause must not be empty", true},
            {NULL, "\"x\"", DOCUMENT "where_document: a clause is an object with one member", true},
            {NULL, "{\"$contains\":1}",
                    DOCUMENT "where_document: $contains needs a string, got a number", true},
            {NULL, "{\"$contains\":[\"a\"]}",
                    DOCUMENT "where_document: $contains needs a string, a number or a boolean, "
                             "got an array",
                    true},
            {NULL, "{\"$eq\":\"x\"}", DOCUMENT "where_document: there is no operator '$eq'", true},
            {NULL, "{\"a\":\"x\"}", DOCUMENT "where_document: there is no operator 'a'", true},
            {NULL, "{\"$or\":[{\"$contains\":\"a\"},{\"$contains\":null}]}",
                    DOCUMENT "where_document.$or[1]: $contains needs a string, a number or a "
                             "boolean, got null",
                    true},
            {"{\"a\":1}", "{}", DOCUMENT "where_document: a clause must not be empty", true},
    };
    (void) state;
    check_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

/* A filter of `n` conditions in one $or. */
static ochre_status
filter_many(size_t n, const char *opening, const char *item, const char *closing)
{
    struct och_mem mem;
    struct och_arena arena;
    struct och_buf buf;
    struct ochre_filter filter;
    struct ochre_error err;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    och_buf_init(&buf, &mem, 8 << 20);
    och_buf_put_text(&buf, opening);
    for (size_t i = 0; i < n; i++) {
        och_buf_put_text(&buf, i == 0 ? "" : ",");
        och_buf_put_text(&buf, item);
    }
    och_buf_put_text(&buf, closing);
    och_buf_put_u8(&buf, '\0');
    check(!buf.failed);
    ochre_status status = och_wire_filter(&arena, tree_of(&arena, buf.data), NULL, &filter, &err);
    och_buf_clear(&buf);
    och_arena_clear(&arena);
    return status;
}

static void
conditions_and_lists_have_a_limit(void **state)
{
    (void) state;
    check(filter_many(OCH_FILTER_NODES_MAX - 1, "{\"$or\":[", "{\"a\":1}", "]}") == OCHRE_OK);
    check(filter_many(OCH_FILTER_NODES_MAX, "{\"$or\":[", "{\"a\":1}", "]}") == OCHRE_INVALID);
    check(filter_many(OCH_FILTER_LIST_MAX, "{\"a\":{\"$in\":[", "1", "]}}") == OCHRE_OK);
    check(filter_many(OCH_FILTER_LIST_MAX + 1, "{\"a\":{\"$in\":[", "1", "]}}") == OCHRE_INVALID);
}

enum { LEVELS_MAX = 62 };

/* `inner` within so many levels of $and, each an object and an array. */
static struct och_json *
nested(struct och_arena *arena, size_t n_levels, const char *inner)
{
    static char text[LEVELS_MAX * 12 + 80];
    size_t size = 0;
    for (size_t i = 0; i < n_levels; i++)
        size += (size_t) snprintf(text + size, sizeof(text) - size, "{\"$and\":[");
    size += (size_t) snprintf(text + size, sizeof(text) - size, "%s", inner);
    for (size_t i = 0; i < n_levels; i++)
        size += (size_t) snprintf(text + size, sizeof(text) - size, "]}");
    check(size < sizeof(text));
    return tree_of(arena, text);
}

static void
clauses_may_nest_as_deep_as_json(void **state)
{
    struct och_mem mem;
    struct och_arena arena;
    struct ochre_filter filter;
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    const struct och_json *tree = nested(&arena, LEVELS_MAX, "{\"a\":{\"$in\":[1]}}");
    check_ok(och_wire_filter(&arena, tree, NULL, &filter, &err), &err);
    check(filter.n_nodes == LEVELS_MAX + 1);
    for (uint32_t i = 0; i < filter.n_nodes; i++)
        check(filter.nodes[i].size == LEVELS_MAX + 1 - i);
    och_arena_clear(&arena);
}

static void
long_paths_are_cut_between_characters(void **state)
{
    static const char *const inner[] = {"{\"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\":{}}",
            "{\"x\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\":{}}",
            "{\"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\":{}}",
            "{\"x\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\":{}}",
            "{\"xx\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\":{}}"};
    struct och_mem mem;
    struct och_arena arena;
    struct ochre_filter filter;
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    for (size_t n = 20; n <= LEVELS_MAX; n++) {
        for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
            const struct och_json *tree = nested(&arena, n, inner[i]);
            check(och_wire_filter(&arena, tree, NULL, &filter, &err) == OCHRE_INVALID);
            check(strstr(err.message, ": one operator is needed") != NULL);
            check(och_utf8_is_valid(err.message, strlen(err.message)));
        }
        och_arena_clear(&arena);
    }
}

static bool
build_with(struct och_mem *mem)
{
    static const char where[] = "{\"$or\":[{\"a\":1},{\"b\":{\"$in\":[1,2]}},{\"c\":{\"$in\":"
                                "[\"x\"]}},{\"$and\":[{\"d\":1},{\"e\":1},{\"f\":1},{\"g\":1},"
                                "{\"h\":1},{\"i\":1}]}]}";
    static const char where_document[] = "{\"$contains\":\"x\"}";
    struct och_arena arena;
    struct och_json *trees[2] = {NULL, NULL};
    struct ochre_filter filter = {0};
    struct ochre_error err;
    och_arena_init(&arena, mem);
    ochre_status status = och_json_parse(&arena, where, sizeof(where) - 1, &trees[0], &err);
    if (status == OCHRE_OK)
        status =
                och_json_parse(&arena, where_document, sizeof(where_document) - 1, &trees[1], &err);
    if (status == OCHRE_OK)
        status = och_wire_filter(&arena, trees[0], trees[1], &filter, &err);
    check(status == OCHRE_OK || (status == OCHRE_NO_MEMORY && filter.n_nodes == 0));
    och_arena_clear(&arena);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail(void **state)
{
    (void) state;
    check_each_allocation_failing(build_with);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_the_grammar_allows_becomes_nodes_in_prefix_order),
            cmocka_unit_test(what_breaks_the_grammar_is_named_with_its_path),
            cmocka_unit_test(conditions_and_lists_have_a_limit),
            cmocka_unit_test(clauses_may_nest_as_deep_as_json),
            cmocka_unit_test(long_paths_are_cut_between_characters),
            cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
