#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/mem.h"
#include "support/check.h"
#include "wire/json_error.h"
#include "wire/json_read.h"

static struct och_mem mem;
static struct och_arena arena;

static int
set_up(void **state)
{
    (void) state;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    return 0;
}

static int
tear_down(void **state)
{
    (void) state;
    och_arena_clear(&arena);
    return och_mem_used(&mem) == 0 ? 0 : -1;
}

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

static void
a_get_of_nothing_asks_for_everything(void **state)
{
    struct och_wire_get get;
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    static const char *const texts[] = {"{}",
            "{\"ids\":null,\"where\":null,\"where_document\":null,\"limit\":null,\"offset\":null}"};
    for (size_t i = 0; i < 2; i++) {
        check_ok(och_wire_read_get(&arena, bytes_of(texts[i]), &get, &err), &err);
        check(!get.input.select.has_ids && !get.input.select.has_filter &&
                get.input.select.filter.n_nodes == 0);
        check(get.input.limit == UINT64_MAX && get.input.offset == 0);
        check(get.include.mask == (OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_METADATAS));
        check(get.include.n == 2 && get.include.words[0] == OCHRE_INCLUDE_DOCUMENTS);
        check(get.input.select.deferred.status == OCHRE_OK);
    }
}

static void
a_get_has_ids_filters_a_page_and_columns(void **state)
{
    struct och_wire_get get;
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    static const char text[] =
            "{\"limit\":7,\"offset\":4294967295,\"ids\":[\"b\",\"a\"],\"where\":{\"x\":1},"
            "\"where_document\":{\"$contains\":\"t\"},"
            "\"include\":[\"uris\",\"distances\",\"uris\",\"embeddings\"]}";
    check_ok(och_wire_read_get(&arena, bytes_of(text), &get, &err), &err);
    check(get.input.limit == 7 && get.input.offset == UINT32_MAX);
    check(get.input.select.has_ids && get.input.select.n_ids == 2 &&
            och_bytes_is(get.input.select.ids[1], "a"));
    check(get.input.select.has_filter && get.input.select.filter.n_nodes == 3);
    check(get.include.n == 4 && get.include.words[2] == OCHRE_INCLUDE_URIS);
    check(get.include.mask ==
            (OCHRE_INCLUDE_URIS | OCHRE_INCLUDE_DISTANCES | OCHRE_INCLUDE_EMBEDDINGS));

    check_ok(och_wire_read_get(&arena, bytes_of("{\"ids\":[],\"include\":[]}"), &get, &err), &err);
    check(get.input.select.has_ids && get.input.select.n_ids == 0);
    check(get.include.n == 0 && get.include.mask == 0);
}

static void
a_query_has_vectors_and_a_number_of_results(void **state)
{
    struct och_wire_query query;
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    check_ok(och_wire_read_query(
                     &arena, bytes_of("{\"query_embeddings\":[[1,2.5],[3,4]]}"), &query, &err),
            &err);
    check(query.input.n_queries == 2 && query.input.dims[1] == 2 && query.input.queries[3] == 4.0f);
    check(query.input.k == 10 && query.input.deferred.status == OCHRE_OK);
    check(query.include.n == 3 && query.include.words[2] == OCHRE_INCLUDE_DISTANCES);
    check(query.input.include == query.include.mask);

    check_ok(och_wire_read_query(&arena,
                     bytes_of("{\"query_embeddings\":[],\"n_results\":0,\"ids\":[\"a\"],"
                              "\"include\":[\"distances\"]}"),
                     &query, &err),
            &err);
    check(query.input.n_queries == 0 && query.input.k == 0 && query.input.select.n_ids == 1);

    /* Whether an empty vector fits is the collection's to say. */
    check_ok(och_wire_read_query(&arena, bytes_of("{\"query_embeddings\":[[]],\"n_results\":null}"),
                     &query, &err),
            &err);
    check(query.input.dims[0] == 0 && query.input.deferred.status == OCHRE_OK);
    check(query.input.k == 10);

    check_ok(och_wire_read_query(
                     &arena, bytes_of("{\"query_embeddings\":[[1],[1,2]]}"), &query, &err),
            &err);
    check(query.input.deferred.status == OCHRE_INVALID);
    check(strstr(query.input.deferred.message, "Inconsistent dimensions") != NULL);
    check_ok(och_wire_read_query(&arena, bytes_of("{\"query_embeddings\":[[1e39]]}"), &query, &err),
            &err);
    check(query.input.deferred.status == OCHRE_INVALID);
}

static void
a_query_may_say_how_hard_to_look(void **state)
{
    struct och_wire_query query;
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    check_ok(och_wire_read_query(&arena,
                     bytes_of("{\"query_embeddings\":[[1]],\"exact\":true,\"recall_target\":0.5,"
                              "\"effort\":65536,\"explain\":true}"),
                     &query, &err),
            &err);
    check(query.input.exact && query.input.explain);
    check(query.input.recall_target == 0.5f && query.input.effort == 65536);
    check_ok(och_wire_read_query(&arena,
                     bytes_of("{\"query_embeddings\":[[1]],\"exact\":false,\"recall_target\":1,"
                              "\"effort\":1,\"explain\":false}"),
                     &query, &err),
            &err);
    check(!query.input.exact && !query.input.explain);
    check(query.input.recall_target == 1.0f && query.input.effort == 1);
    static const char *const unsaid[] = {"{\"query_embeddings\":[[1]]}",
            "{\"query_embeddings\":[[1]],\"exact\":null,\"recall_target\":null,"
            "\"effort\":null,\"explain\":null}"};
    for (size_t i = 0; i < 2; i++) {
        check_ok(och_wire_read_query(&arena, bytes_of(unsaid[i]), &query, &err), &err);
        check(!query.input.exact && !query.input.explain);
        check(query.input.recall_target == 0 && query.input.effort == 0);
    }
    /* Too small for a float, but not nothing. */
    check_ok(och_wire_read_query(&arena,
                     bytes_of("{\"query_embeddings\":[[1]],\"recall_target\":1e-300}"), &query,
                     &err),
            &err);
    check(query.input.recall_target > 0);
}

static void
a_delete_has_a_limit(void **state)
{
    struct och_wire_delete body;
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    check_ok(och_wire_read_delete(&arena, bytes_of("{\"offset\":\"ignored\"}"), &body, &err), &err);
    check(body.limit == UINT64_MAX && !body.select.has_ids && !body.select.has_filter);
    check_ok(och_wire_read_delete(
                     &arena, bytes_of("{\"where\":{\"a\":1},\"limit\":0,\"ids\":[]}"), &body, &err),
            &err);
    check(body.limit == 0 && body.select.has_filter && body.select.has_ids);
}

static void
a_filter_that_breaks_the_grammar_is_reported_later(void **state)
{
    struct och_wire_get get;
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    check_ok(och_wire_read_get(&arena, bytes_of("{\"where\":{}}"), &get, &err), &err);
    check(get.input.select.has_filter && get.input.select.deferred.status == OCHRE_INVALID);
    check(strncmp(get.input.select.deferred.message, "Invalid where clause", 20) == 0);
    check_ok(och_wire_read_get(
                     &arena, bytes_of("{\"where_document\":1,\"where\":{\"a\":1}}"), &get, &err),
            &err);
    check(strncmp(get.input.select.deferred.message, "Invalid where document clause", 29) == 0);
    check_ok(
            och_wire_read_get(&arena, bytes_of("{\"where_document\":{},\"where\":{}}"), &get, &err),
            &err);
    check(strncmp(get.input.select.deferred.message, "Invalid where clause", 20) == 0);
}

struct wrong {
    const char *text;
    ochre_status status;
    const char *words;
};

static void
values_of_a_wrong_type_are_named(void **state)
{
    static const struct wrong wrong[] = {
            {"", OCHRE_INVALID, NULL},
            {"[]", OCHRE_SHAPE, "the body is an array"},
            {"\"x\"", OCHRE_SHAPE, "the body is the string 'x'"},
            {"{\"limit\":-1}", OCHRE_SHAPE, "limit is -1; it must be a whole number from 0 to"},
            {"{\"limit\":1.0}", OCHRE_SHAPE, "limit is the number 1"},
            {"{\"limit\":\"1\"}", OCHRE_SHAPE, "limit is the string '1'"},
            {"{\"limit\":true}", OCHRE_SHAPE, "limit is true"},
            {"{\"limit\":false}", OCHRE_SHAPE, "limit is false"},
            {"{\"limit\":4294967296}", OCHRE_SHAPE, "limit is 4294967296"},
            {"{\"limit\":18446744073709551615}", OCHRE_SHAPE, "limit is 18446744073709551615"},
            {"{\"limit\":18446744073709551616}", OCHRE_SHAPE, "limit is the number"},
            {"{\"limit\":1,\"limit\":2}", OCHRE_SHAPE, "'limit' twice"},
            {"{\"ids\":\"a\"}", OCHRE_SHAPE, "ids is the string 'a'; it must be an array"},
            {"{\"ids\":{}}", OCHRE_SHAPE, "ids is an object"},
            {"{\"include\":null}", OCHRE_SHAPE, "include is null"},
            {"{\"include\":\"documents\"}", OCHRE_SHAPE, "include is the string"},
            {"{\"include\":[\"uris\",\"data\"]}", OCHRE_SHAPE, "include[1] is the string 'data'"},
            {"{\"include\":[1]}", OCHRE_INVALID, "include[0] is 1"},
            {"{\"include\":[null]}", OCHRE_INVALID, "include[0] is null"},
            {"{\"include\":[{}]}", OCHRE_INVALID, "include[0] is an object"},
            {"{\"include\":[[]]}", OCHRE_INVALID, "include[0] is an array"},
            {"{\"include\":[}", OCHRE_INVALID, NULL},
            {"{\"where\":{\"a\":}}", OCHRE_INVALID, NULL},
            {"{\"where_document\":{\"a\":[}}", OCHRE_INVALID, NULL},
            {"{\"ids\":[\"a\"},", OCHRE_INVALID, NULL},
            {"{include:[]}", OCHRE_INVALID, NULL},
            {"{\"a\":}", OCHRE_INVALID, NULL},
            {"{\"limit\":}", OCHRE_INVALID, NULL},
    };
    static const struct wrong wrong_queries[] = {
            {"{}", OCHRE_SHAPE, "lacks the field 'query_embeddings'"},
            {"{\"query_embeddings\":null}", OCHRE_SHAPE, "query_embeddings is null"},
            {"{\"query_embeddings\":[1]}", OCHRE_SHAPE, "query_embeddings[0] is 1"},
            {"{\"query_embeddings\":[null]}", OCHRE_SHAPE, "query_embeddings[0] is null"},
            {"{\"query_embeddings\":[\"AACAPwAAAAA=\"]}", OCHRE_SHAPE,
                    "must be an array of numbers"},
            {"{\"query_embeddings\":[[1,null]]}", OCHRE_SHAPE, "query_embeddings[0][1] is null"},
            {"{\"query_embeddings\":[[1]],\"n_results\":1.5}", OCHRE_SHAPE,
                    "n_results is the number"},
            {"{\"query_embeddings\":[[NaN]]}", OCHRE_INVALID, NULL},
            {"{\"exact\":1}", OCHRE_INVALID, "exact is 1; it must be true or false"},
            {"{\"explain\":\"true\"}", OCHRE_INVALID, "explain is the string 'true'"},
            {"{\"explain\":{}}", OCHRE_INVALID, "explain is an object"},
            {"{\"recall_target\":0}", OCHRE_INVALID,
                    "recall_target is 0; it must be a number above 0 and at most 1"},
            {"{\"recall_target\":0.0}", OCHRE_INVALID, "recall_target is the number 0"},
            {"{\"recall_target\":-0.5}", OCHRE_INVALID, "recall_target is the number -0.5"},
            {"{\"recall_target\":1.5}", OCHRE_INVALID, "recall_target is the number 1.5"},
            {"{\"recall_target\":2}", OCHRE_INVALID, "recall_target is 2"},
            {"{\"recall_target\":18446744073709551615}", OCHRE_INVALID, "recall_target is 1844"},
            {"{\"recall_target\":\"0.9\"}", OCHRE_INVALID, "recall_target is the string '0.9'"},
            {"{\"recall_target\":true}", OCHRE_INVALID, "recall_target is true"},
            {"{\"recall_target\":[0.9]}", OCHRE_INVALID, "recall_target is an array"},
            {"{\"effort\":0}", OCHRE_INVALID,
                    "effort is 0; it must be a whole number from 1 to 65536"},
            {"{\"effort\":65537}", OCHRE_INVALID, "effort is 65537"},
            {"{\"effort\":-1}", OCHRE_INVALID, "effort is -1"},
            {"{\"effort\":1.0}", OCHRE_INVALID, "effort is the number 1"},
            {"{\"effort\":\"9\"}", OCHRE_INVALID, "effort is the string '9'"},
            {"{\"effort\":18446744073709551615}", OCHRE_INVALID, "effort is 18446744073709551615"},
            {"{\"effort\":1,\"effort\":1}", OCHRE_SHAPE, "'effort' twice"},
            {"{\"recall_target\":}", OCHRE_INVALID, NULL},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct och_wire_get get;
        struct ochre_error err = {.status = OCHRE_OK};
        ochre_status status = och_wire_read_get(&arena, bytes_of(wrong[i].text), &get, &err);
        if (status != wrong[i].status ||
                (wrong[i].words != NULL && strstr(err.message, wrong[i].words) == NULL))
            print_error("%s: %s\n", wrong[i].text, err.message);
        check(status == wrong[i].status);
        check(wrong[i].words == NULL || strstr(err.message, wrong[i].words) != NULL);
    }
    for (size_t i = 0; i < sizeof(wrong_queries) / sizeof(wrong_queries[0]); i++) {
        struct och_wire_query query;
        struct ochre_error err = {.status = OCHRE_OK};
        check(och_wire_read_query(&arena, bytes_of(wrong_queries[i].text), &query, &err) ==
                wrong_queries[i].status);
        check(wrong_queries[i].words == NULL ||
                strstr(err.message, wrong_queries[i].words) != NULL);
    }
}

static void
long_names_in_messages_are_cut(void **state)
{
    enum { long_size = 1000 };
    char text[2 * long_size];
    char name[long_size + 1];
    struct och_wire_get get;
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    memset(name, 'n', long_size);
    name[long_size] = '\0';
    (void) snprintf(text, sizeof(text), "{\"limit\":\"%s\"}", name);
    check(och_wire_read_get(&arena, bytes_of(text), &get, &err) == OCHRE_SHAPE);
    check(strlen(err.message) < 200);
}

static void
each_status_has_its_code_and_name(void **state)
{
    static const struct {
        ochre_status status;
        unsigned code;
        const char *name;
        bool retry;
    } wanted[] = {
            {OCHRE_INVALID, 400, "InvalidArgumentError", false},
            {OCHRE_SHAPE, 422, "ChromaError", false},
            {OCHRE_NOT_FOUND, 404, "NotFoundError", false},
            {OCHRE_EXISTS, 409, "ChromaError", false},
            {OCHRE_DENIED, 403, "ChromaError", false},
            {OCHRE_UNSUPPORTED, 501, "ChromaError", false},
            {OCHRE_TOO_LARGE, 413, "ChromaError", false},
            {OCHRE_FULL, 507, "ChromaError", false},
            {OCHRE_NO_MEMORY, 503, "ChromaError", true},
            {OCHRE_UNAVAILABLE, 503, "ChromaError", true},
            {OCHRE_BUSY, 503, "ChromaError", true},
            {OCHRE_CORRUPT, 500, "InternalError", false},
            {OCHRE_IO, 500, "InternalError", false},
            {OCHRE_INTERNAL, 500, "InternalError", false},
            {OCHRE_STALE, 412, "StaleReadError", false},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct och_wire_error error = och_wire_error_of(wanted[i].status);
        check(error.status == wanted[i].code && error.retry == wanted[i].retry);
        check(strcmp(error.name, wanted[i].name) == 0);
    }
}

static bool
read_with(struct och_mem *small)
{
    static const char text[] =
            "{\"query_embeddings\":[[1],[2]],\"ids\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\","
            "\"h\",\"i\"],\"where\":{\"$and\":[{\"a\":1}]},\"where_document\":{\"$contains\":\"x\"},"
            "\"include\":[\"uris\"]}";
    struct och_arena own;
    struct och_wire_query query;
    struct ochre_error err;
    och_arena_init(&own, small);
    ochre_status status = och_wire_read_query(&own, bytes_of(text), &query, &err);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    och_arena_clear(&own);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail(void **state)
{
    (void) state;
    check_each_allocation_failing(read_with);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_get_of_nothing_asks_for_everything),
            cmocka_unit_test(a_get_has_ids_filters_a_page_and_columns),
            cmocka_unit_test(a_query_has_vectors_and_a_number_of_results),
            cmocka_unit_test(a_query_may_say_how_hard_to_look),
            cmocka_unit_test(a_delete_has_a_limit),
            cmocka_unit_test(a_filter_that_breaks_the_grammar_is_reported_later),
            cmocka_unit_test(values_of_a_wrong_type_are_named),
            cmocka_unit_test(long_names_in_messages_are_cut),
            cmocka_unit_test(each_status_has_its_code_and_name),
            cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
