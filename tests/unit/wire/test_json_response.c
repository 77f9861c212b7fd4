#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/schema.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "engine/result.h"
#include "support/check.h"
#include "wire/json_read.h"
#include "wire/json_response.h"

static struct och_mem mem;
static struct och_buf buf;

static int
set_up(void **state)
{
    (void) state;
    och_mem_init(&mem, NULL);
    och_buf_init(&buf, &mem, 1 << 20);
    return 0;
}

static int
tear_down(void **state)
{
    (void) state;
    och_buf_clear(&buf);
    return och_mem_used(&mem) == 0 ? 0 : -1;
}

static void
check_text(const char *wanted)
{
    check(!buf.failed);
    och_buf_put_u8(&buf, '\0');
    if (strcmp(buf.data, wanted) != 0)
        print_error("gives  %s\nwanted %s\n", buf.data, wanted);
    check(strcmp(buf.data, wanted) == 0);
    och_buf_reset(&buf);
}

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

/* --- two records ------------------------------------------------------------- */

static const float vectors[2][3] = {{0.1f, 1.0f, -0.0f}, {INFINITY, 1e-7f, 3.4028235e38f}};
static const int64_t integers[] = {INT64_MIN, 1};
static const double numbers[] = {1.0, 0.5};
static const bool booleans[] = {true, false};
static const struct ochre_bytes strings[] = {{"x", 1}, {"\"", 1}};
static const struct ochre_field fields[] = {
        {{"b", 1}, {.type = OCHRE_VALUE_BOOL, .as.boolean = true}},
        {{"bl", 2}, {.type = OCHRE_VALUE_BOOL_LIST, .n = 2, .as.booleans = booleans}},
        {{"f", 1}, {.type = OCHRE_VALUE_FLOAT, .as.number = 3.0}},
        {{"fl", 2}, {.type = OCHRE_VALUE_FLOAT_LIST, .n = 2, .as.numbers = numbers}},
        {{"i", 1}, {.type = OCHRE_VALUE_INT, .as.integer = INT64_MAX}},
        {{"il", 2}, {.type = OCHRE_VALUE_INT_LIST, .n = 2, .as.integers = integers}},
        {{"n", 1}, {.type = OCHRE_VALUE_NULL}},
        {{"s", 1}, {.type = OCHRE_VALUE_STRING, .as.string = {"\0\xc3\xa9", 3}}},
        {{"sl", 2}, {.type = OCHRE_VALUE_STRING_LIST, .n = 2, .as.strings = strings}},
};

static struct ochre_hit hits[2] = {
        {.id = {"a", 1},
                .document = {"", 0},
                .embedding = vectors[0],
                .distance = 0.25f,
                .metadata = {fields, sizeof(fields) / sizeof(fields[0])}},
        {.id = {"b\n", 2}, .uri = {"u", 1}, .embedding = vectors[1], .distance = INFINITY},
};

#define METADATA                                                                            \
    "{\"b\":true,\"bl\":[true,false],\"f\":3.0,\"fl\":[1.0,0.5],\"i\":9223372036854775807," \
    "\"il\":[-9223372036854775808,1],\"n\":null,\"s\":\"\\u0000\xc3\xa9\",\"sl\":[\"x\",\"\\\"\"]}"

static void
a_get_is_answered_column_by_column(void **state)
{
    struct och_hits list = {hits, 2};
    struct och_result result = {.dim = 3, .n_lists = 1, .lists = &list};
    static const uint8_t words[] = {OCHRE_INCLUDE_URIS, OCHRE_INCLUDE_METADATAS,
            OCHRE_INCLUDE_EMBEDDINGS, OCHRE_INCLUDE_DOCUMENTS, OCHRE_INCLUDE_DISTANCES,
            OCHRE_INCLUDE_URIS};
    (void) state;
    struct och_wire_include all = {0x1f, words, sizeof(words)}, none = {0, NULL, 0};
    och_wire_put_get(&buf, &result, &all, false);
    check_text(
            "{\"ids\":[\"a\",\"b\\n\"],\"embeddings\":[[0.1,1.0,-0.0],[null,1e-7,3.4028235e+38]],"
            "\"documents\":[\"\",null],\"uris\":[null,\"u\"],\"metadatas\":[" METADATA
            ",{}],\"include\":[\"uris\",\"metadatas\",\"embeddings\",\"documents\","
            "\"distances\",\"uris\"]}");
    och_wire_put_get(&buf, &result, &none, false);
    check_text("{\"ids\":[\"a\",\"b\\n\"],\"embeddings\":null,\"documents\":null,\"uris\":null,"
               "\"metadatas\":null,\"include\":[]}");
    list.n = 0;
    struct och_wire_include documents = {OCHRE_INCLUDE_DOCUMENTS, words + 3, 1};
    och_wire_put_get(&buf, &result, &documents, false);
    check_text("{\"ids\":[],\"embeddings\":null,\"documents\":[],\"uris\":null,\"metadatas\":null,"
               "\"include\":[\"documents\"]}");
    result.n_lists = 0;
    och_wire_put_get(&buf, &result, &documents, false);
    check_text("{\"ids\":[],\"embeddings\":null,\"documents\":[],\"uris\":null,\"metadatas\":null,"
               "\"include\":[\"documents\"]}");
}

static void
a_query_is_answered_list_by_list(void **state)
{
    struct och_hits lists[] = {{hits, 1}, {hits, 0}, {hits, 2}};
    struct och_result result = {.dim = 3, .n_lists = 3, .lists = lists};
    static const uint8_t words[] = {OCHRE_INCLUDE_DISTANCES, OCHRE_INCLUDE_DOCUMENTS};
    (void) state;
    struct och_wire_include include = {
            OCHRE_INCLUDE_DISTANCES | OCHRE_INCLUDE_DOCUMENTS, words, sizeof(words)};
    och_wire_put_query(&buf, &result, &include);
    check_text("{\"ids\":[[\"a\"],[],[\"a\",\"b\\n\"]],\"embeddings\":null,"
               "\"documents\":[[\"\"],[],[\"\",null]],\"uris\":null,\"metadatas\":null,"
               "\"distances\":[[0.25],[],[0.25,null]],\"include\":[\"distances\",\"documents\"]}");
    result.n_lists = 0;
    och_wire_put_query(&buf, &result, &include);
    check_text("{\"ids\":[],\"embeddings\":null,\"documents\":[],\"uris\":null,\"metadatas\":null,"
               "\"distances\":[],\"include\":[\"distances\",\"documents\"]}");
}

static void
a_query_is_explained_when_that_was_asked(void **state)
{
    static const struct ochre_explain_source sources[] = {
            {.kind = OCHRE_SOURCE_GRAPH,
                    .plan = OCHRE_PLAN_GRAPH_FILTERED,
                    .rows = 9000,
                    .matches = 4500,
                    .estimated_cost_us = 120.5,
                    .elapsed_us = 99,
                    .n_distances = 1,
                    .n_estimates = 2,
                    .n_hops = 3,
                    .effort = 64},
            {.kind = OCHRE_SOURCE_FLAT, .plan = OCHRE_PLAN_EXACT_GATHER, .rows = UINT64_MAX},
            {.kind = OCHRE_SOURCE_HEAD, .plan = OCHRE_PLAN_EMPTY},
    };
    struct ochre_explain explains[] = {
            {.plan = OCHRE_PLAN_GRAPH, .recall_target = 0.99f, .sources = sources, .n_sources = 3},
            {.plan = OCHRE_PLAN_EXACT_SCAN, .recall_target = 1},
    };
    struct och_hits lists[2] = {{0}};
    struct och_result result = {.n_lists = 2, .lists = lists, .explains = explains};
    struct och_wire_include include = {0};
    (void) state;
    och_wire_put_query(&buf, &result, &include);
    check_text("{\"ids\":[[],[]],\"embeddings\":null,\"documents\":null,\"uris\":null,"
               "\"metadatas\":null,\"distances\":null,\"include\":[],\"explain\":["
               "{\"plan\":\"graph\",\"recall_target\":0.99,\"sources\":["
               "{\"kind\":\"graph\",\"plan\":\"graph_filtered\",\"rows\":9000,"
               "\"matches\":4500,\"estimated_cost_us\":120.5,\"n_distances\":1,"
               "\"n_estimates\":2,\"n_hops\":3,\"effort\":64,\"elapsed_us\":99.0},"
               "{\"kind\":\"flat\",\"plan\":\"exact_gather\",\"rows\":18446744073709551615,"
               "\"matches\":0,\"estimated_cost_us\":0.0,\"n_distances\":0,\"n_estimates\":0,"
               "\"n_hops\":0,\"effort\":0,\"elapsed_us\":0.0},"
               "{\"kind\":\"head\",\"plan\":\"empty\",\"rows\":0,\"matches\":0,"
               "\"estimated_cost_us\":0.0,\"n_distances\":0,\"n_estimates\":0,\"n_hops\":0,"
               "\"effort\":0,\"elapsed_us\":0.0}]},"
               "{\"plan\":\"exact_scan\",\"recall_target\":1.0,\"sources\":[]}]}");
}

static void
a_vector_that_is_not_there_is_null(void **state)
{
    struct ochre_hit hit = {.id = {"a", 1}};
    struct och_hits list = {&hit, 1};
    struct och_result result = {.dim = 3, .n_lists = 1, .lists = &list};
    static const uint8_t words[] = {OCHRE_INCLUDE_EMBEDDINGS};
    struct och_wire_include include = {OCHRE_INCLUDE_EMBEDDINGS, words, 1};
    (void) state;
    och_wire_put_get(&buf, &result, &include, false);
    check_text("{\"ids\":[\"a\"],\"embeddings\":[null],\"documents\":null,\"uris\":null,"
               "\"metadatas\":null,\"include\":[\"embeddings\"]}");
}

static void
metadata_needs_the_uris_too(void **state)
{
    (void) state;
    check(och_wire_columns(OCHRE_INCLUDE_METADATAS) ==
            (OCHRE_INCLUDE_METADATAS | OCHRE_INCLUDE_URIS));
    check(och_wire_columns(OCHRE_INCLUDE_DOCUMENTS) == OCHRE_INCLUDE_DOCUMENTS);
}

static void
the_catalog_is_answered_as_objects(void **state)
{
    struct och_database_row row = {.tenant = {"t", 1}, .name = {"d\"", 2}};
    struct och_database_row rows[] = {row, row};
    (void) state;
    och_wire_put_tenant(&buf, bytes_of("t"), (struct ochre_bytes){0});
    check_text("{\"name\":\"t\",\"resource_name\":null}");
    och_wire_put_tenant(&buf, bytes_of("t"), bytes_of("r"));
    check_text("{\"name\":\"t\",\"resource_name\":\"r\"}");
#define DATABASE \
    "{\"id\":\"00000000-0000-0000-0000-000000000000\",\"name\":\"d\\\"\",\"tenant\":\"t\"}"
    och_wire_put_databases(&buf, rows, 2);
    check_text("[" DATABASE "," DATABASE "]");
    och_wire_put_databases(&buf, NULL, 0);
    check_text("[]");
}

static void
operations_are_indexed_when_no_row_waits(void **state)
{
    static struct {
        struct och_index_status status;
        const char *wanted; /* the members of the reference */
    } cases[] = {
            {{0}, "1.0,\"num_unindexed_ops\":0,\"num_indexed_ops\":0,\"total_ops\":0"},
            {{.n_operations = UINT64_MAX, .rows = 7},
                    "1.0,\"num_unindexed_ops\":0,\"num_indexed_ops\":18446744073709551615,"
                    "\"total_ops\":18446744073709551615"},
            {{.n_operations = 10, .rows = 1000, .unindexed_rows = 400},
                    "0.6,\"num_unindexed_ops\":4,\"num_indexed_ops\":6,\"total_ops\":10"},
            /* One row in very many, and all of them. */
            {{.n_operations = 2, .rows = 1000, .unindexed_rows = 1},
                    "0.5,\"num_unindexed_ops\":1,\"num_indexed_ops\":1,\"total_ops\":2"},
            {{.n_operations = 1000000000, .rows = 1000000000, .unindexed_rows = 1},
                    "0.99999994,\"num_unindexed_ops\":1,\"num_indexed_ops\":999999999,"
                    "\"total_ops\":1000000000"},
            {{.n_operations = 3, .rows = 1000, .unindexed_rows = 1000},
                    "0.0,\"num_unindexed_ops\":3,\"num_indexed_ops\":0,\"total_ops\":3"},
            {{.n_operations = UINT64_MAX, .rows = UINT64_MAX, .unindexed_rows = UINT64_MAX - 1},
                    "0.0,\"num_unindexed_ops\":18446744073709551615,\"num_indexed_ops\":0,"
                    "\"total_ops\":18446744073709551615"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char wanted[400];
        cases[i].status.audited_recall = -1;
        (void) snprintf(wanted, sizeof(wanted),
                "{\"op_indexing_progress\":%s,\"unindexed_rows\":%llu,\"segments\":0,"
                "\"graph_segments\":0,\"recall_target\":0.0,\"measured_recall\":null,"
                "\"effort\":null,\"audited_queries\":0,\"audited_recall\":null}",
                cases[i].wanted, (unsigned long long) cases[i].status.unindexed_rows);
        och_wire_put_index_status(&buf, &cases[i].status);
        check_text(wanted);
    }
}

static void
a_measured_index_says_its_recall(void **state)
{
    struct och_index_status status = {.n_segments = 3,
            .n_graph_segments = 2,
            .recall_target = 0.95f,
            .is_measured = true,
            .measured_recall = 0.9625f,
            .effort = 48,
            .n_audited = 7,
            .audited_recall = 0.5f};
    (void) state;
    och_wire_put_index_status(&buf, &status);
    check_text("{\"op_indexing_progress\":1.0,\"num_unindexed_ops\":0,\"num_indexed_ops\":0,"
               "\"total_ops\":0,\"unindexed_rows\":0,\"segments\":3,\"graph_segments\":2,"
               "\"recall_target\":0.95,\"measured_recall\":0.9625,\"effort\":48,"
               "\"audited_queries\":7,\"audited_recall\":0.5}");
}

static void
a_collection_shows_all_its_keys(void **state)
{
    struct och_arena arena;
    struct och_schema_request *request = NULL;
    struct och_collection_info infos[2] = {
            {.row = {.name = {"c", 1}, .tenant = {"t", 1}, .database = {"d", 1}}},
            {.row = {.name = {"e", 1}, .tenant = {"t", 1}, .database = {"d", 1}},
                    .dim = 3,
                    .metadata = {fields, 1},
                    .log_position = 17}};
    struct ochre_error err = {.status = OCHRE_OK};
    struct och_json *root = NULL;
    (void) state;
    och_arena_init(&arena, &mem);
    check_ok(och_schema_request_parse(&arena, NULL, NULL, &request, &err), &err);
    check_ok(och_schema_build(&arena, request, NULL, 2, &infos[0].schema, &err), &err);
    infos[1].schema = infos[0].schema;
    och_wire_put_collections(&buf, infos, 2);
    check(!buf.failed);
    check_ok(och_json_parse(&arena, buf.data, buf.size, &root, &err), &err);
    check(root->kind == OCH_JSON_KIND_ARRAY && root->n == 2);
    static const char *const keys[] = {"id", "name", "configuration_json", "schema", "metadata",
            "dimension", "tenant", "database", "log_position", "version"};
    for (const struct och_json *item = root->first; item != NULL; item = item->next) {
        check(item->n == sizeof(keys) / sizeof(keys[0]));
        for (size_t i = 0; i < item->n; i++)
            check(och_json_get(item, keys[i]) != NULL);
        check(och_json_get(item, "log_position")->as.integer == 0);
    }
    check(och_json_get(root->first, "metadata")->kind == OCH_JSON_KIND_NULL);
    check(och_json_get(root->first, "dimension")->kind == OCH_JSON_KIND_NULL);
    check(och_json_get(root->first->next, "metadata")->n == 1);
    check(och_json_get(root->first->next, "dimension")->as.integer == 3);
    och_arena_clear(&arena);
    och_buf_reset(&buf);
}

static bool
put_with(struct och_mem *small)
{
    struct och_buf own;
    struct och_hits list = {hits, 2};
    struct och_result result = {.dim = 3, .n_lists = 1, .lists = &list};
    static const uint8_t words[] = {OCHRE_INCLUDE_EMBEDDINGS, OCHRE_INCLUDE_METADATAS};
    struct och_wire_include include = {
            OCHRE_INCLUDE_EMBEDDINGS | OCHRE_INCLUDE_METADATAS, words, sizeof(words)};
    och_buf_init(&own, small, 1 << 20);
    och_wire_put_query(&own, &result, &include);
    bool complete = och_buf_status(&own) == OCHRE_OK;
    och_buf_clear(&own);
    return complete;
}

static void
any_allocation_may_fail(void **state)
{
    (void) state;
    check_each_allocation_failing(put_with);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_get_is_answered_column_by_column),
            cmocka_unit_test(a_query_is_answered_list_by_list),
            cmocka_unit_test(a_query_is_explained_when_that_was_asked),
            cmocka_unit_test(a_vector_that_is_not_there_is_null),
            cmocka_unit_test(metadata_needs_the_uris_too),
            cmocka_unit_test(the_catalog_is_answered_as_objects),
            cmocka_unit_test(operations_are_indexed_when_no_row_waits),
            cmocka_unit_test(a_measured_index_says_its_recall),
            cmocka_unit_test(a_collection_shows_all_its_keys),
            cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
