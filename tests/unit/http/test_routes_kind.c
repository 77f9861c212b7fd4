#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "http/router.h"
#include "http/routes_kind.h"
#include "support/check.h"

static struct och_mem mem;
static const struct och_uuid here = {.bytes = {1}}, there = {.bytes = {2}};

static uint64_t
kind_in(const struct och_uuid *collection, bool is_get, const char *text)
{
    struct och_arena arena;
    struct och_wire_get get;
    struct och_wire_query query;
    struct ochre_error err;
    struct ochre_bytes body = {text, strlen(text)};
    uint64_t kind;
    och_arena_init(&arena, &mem);
    if (is_get) {
        check_ok(och_wire_read_get(&arena, body, &get, &err), &err);
        kind = och_kind_of_get(collection, &get);
    } else {
        check_ok(och_wire_read_query(&arena, body, &query, &err), &err);
        kind = och_kind_of_query(collection, &query);
    }
    och_arena_clear(&arena);
    check(kind != OCH_HTTP_KIND_SHORT);
    return kind;
}

static uint64_t
get(const char *text)
{
    return kind_in(&here, true, text);
}

static uint64_t
query(const char *text)
{
    return kind_in(&here, false, text);
}

static void
values_do_not_make_another_kind(void **state)
{
    (void) state;
    check(query("{\"query_embeddings\":[[1,2]]}") == query("{\"query_embeddings\":[[3,4]]}"));
    check(query("{\"query_embeddings\":[[1]],\"where\":{\"a\":1}}") ==
            query("{\"query_embeddings\":[[1]],\"where\":{\"a\":777}}"));
    check(query("{\"query_embeddings\":[[1]],\"n_results\":9}") ==
            query("{\"query_embeddings\":[[1]],\"n_results\":15}"));
    check(get("{\"ids\":[\"a\",\"b\"]}") == get("{\"ids\":[\"c\",\"dddd\",\"e\"]}"));
    check(get("{\"where\":{\"a\":{\"$in\":[1,2]}}}") == get("{\"where\":{\"a\":{\"$in\":[7,9]}}}"));
}

static void
what_changes_the_cost_makes_another_kind(void **state)
{
    static const char *const bodies[] = {
            "{\"query_embeddings\":[[1]]}",
            "{\"query_embeddings\":[[1],[1]]}",
            "{\"query_embeddings\":[[1]],\"n_results\":100}",
            "{\"query_embeddings\":[[1]],\"include\":[\"embeddings\"]}",
            "{\"query_embeddings\":[[1]],\"exact\":true}",
            "{\"query_embeddings\":[[1]],\"explain\":true}",
            "{\"query_embeddings\":[[1]],\"effort\":1000}",
            "{\"query_embeddings\":[[1]],\"recall_target\":0.5}",
            "{\"query_embeddings\":[[1]],\"ids\":[]}",
            "{\"query_embeddings\":[[1]],\"ids\":[\"a\"]}",
            "{\"query_embeddings\":[[1]],\"where\":{\"a\":1}}",
            "{\"query_embeddings\":[[1]],\"where\":{\"b\":1}}",
            "{\"query_embeddings\":[[1]],\"where\":{\"a\":\"text\"}}",
            "{\"query_embeddings\":[[1]],\"where\":{\"a\":{\"$gt\":1}}}",
            "{\"query_embeddings\":[[1]],\"where\":{\"a\":{\"$in\":[1]}}}",
            "{\"query_embeddings\":[[1]],\"where\":{\"a\":{\"$in\":[1,2]}}}",
            "{\"query_embeddings\":[[1]],\"where\":{\"$and\":[{\"a\":1},{\"b\":1}]}}",
            "{\"query_embeddings\":[[1]],\"where\":{\"$or\":[{\"a\":1},{\"b\":1}]}}",
    };
    enum { n = sizeof(bodies) / sizeof(bodies[0]) };
    uint64_t kinds[n];
    (void) state;
    for (size_t i = 0; i < n; i++) {
        kinds[i] = query(bodies[i]);
        check(kinds[i] != OCH_HTTP_KIND_NONE);
        for (size_t j = 0; j < i; j++)
            check(kinds[i] != kinds[j]);
    }
    check(get("{\"limit\":10}") != get("{\"limit\":100}"));
    check(get("{\"limit\":10}") != get("{\"limit\":10,\"offset\":1000}"));
    check(get("{\"limit\":10}") != get("{}"));
}

static void
collections_and_verbs_have_their_own_kinds(void **state)
{
    static const char *const text = "{\"query_embeddings\":[[1]]}";
    (void) state;
    check(kind_in(&here, false, text) != kind_in(&there, false, text));
    check(kind_in(&here, true, "{\"ids\":[\"a\"]}") != kind_in(&there, true, "{\"ids\":[\"a\"]}"));
    check(get("{\"limit\":10}") !=
            query("{\"query_embeddings\":[[1]],\"include\":[\"documents\",\"metadatas\"]}"));
}

static void
a_condition_on_documents_is_of_no_kind(void **state)
{
    (void) state;
    check(get("{\"where_document\":{\"$contains\":\"x\"}}") == OCH_HTTP_KIND_NONE);
    check(query("{\"query_embeddings\":[[1]],\"where\":{\"a\":1},"
                "\"where_document\":{\"$regex\":\"x\"}}") == OCH_HTTP_KIND_NONE);
}

static void
a_filter_that_is_wrong_is_of_no_kind(void **state)
{
    (void) state;
    check(get("{\"where\":{\"a\":{\"$no\":1}}}") == OCH_HTTP_KIND_NONE);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(values_do_not_make_another_kind),
            cmocka_unit_test(what_changes_the_cost_makes_another_kind),
            cmocka_unit_test(collections_and_verbs_have_their_own_kinds),
            cmocka_unit_test(a_condition_on_documents_is_of_no_kind),
            cmocka_unit_test(a_filter_that_is_wrong_is_of_no_kind),
    };
    och_mem_init(&mem, NULL);
    return cmocka_run_group_tests_name("http/routes_kind", tests, NULL, NULL);
}
