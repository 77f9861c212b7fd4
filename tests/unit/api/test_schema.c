/*
 * test_schema.c - schemas and configurations, from request to answer.
 *
 * Most tests say what they expect as the default answer with a few pieces of
 * text exchanged, so that a change nobody asked for is seen as well.  The file is
 * long because it is tables, and whole because they share that answer.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/schema.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "index/meta/keys.h"
#include "support/check.h"

enum { N_CPUS = 2, EDITS_MAX = 4 };

#define HNSW                                                                                      \
    "\"hnsw\":{\"ef_construction\":100,\"max_neighbors\":16,\"ef_search\":100,\"num_threads\":2," \
    "\"batch_size\":100,\"sync_threshold\":1000,\"resize_factor\":1.2}"

static const char default_schema[] =
        "{\"defaults\":{"
        "\"string\":{\"fts_index\":{\"enabled\":false,\"config\":{}},"
        "\"string_inverted_index\":{\"enabled\":true,\"config\":{}}},"
        "\"float_list\":{\"vector_index\":{\"enabled\":false,\"config\":{\"space\":\"l2\"," HNSW
        "}}},"
        "\"sparse_vector\":{\"sparse_vector_index\":{\"enabled\":false,\"config\":{"
        "\"embedding_function\":{\"type\":\"unknown\"},\"bm25\":false}}},"
        "\"int\":{\"int_inverted_index\":{\"enabled\":true,\"config\":{}}},"
        "\"float\":{\"float_inverted_index\":{\"enabled\":true,\"config\":{}}},"
        "\"bool\":{\"bool_inverted_index\":{\"enabled\":true,\"config\":{}}}},"
        "\"keys\":{"
        "\"#document\":{\"string\":{\"fts_index\":{\"enabled\":true,\"config\":{}},"
        "\"string_inverted_index\":{\"enabled\":false,\"config\":{}}}},"
        "\"#embedding\":{\"float_list\":{\"vector_index\":{\"enabled\":true,\"config\":{"
        "\"space\":\"l2\",\"source_key\":\"#document\"," HNSW "}}}}}}";

static const char default_configuration[] =
        "{\"hnsw\":{\"space\":\"l2\",\"ef_construction\":100,\"max_neighbors\":16,"
        "\"ef_search\":100,\"sync_threshold\":1000,\"resize_factor\":1.2},"
        "\"spann\":null,\"embedding_function\":null}";

/* --- helpers ----------------------------------------------------------------- */

struct world {
    struct och_mem mem;
    struct och_arena arena;
    struct ochre_error err;
};

static void
world_init(struct world *world)
{
    och_mem_init(&world->mem, NULL);
    och_arena_init(&world->arena, &world->mem);
    world->err = (struct ochre_error){.status = OCHRE_OK};
}

static void
world_clear(struct world *world)
{
    och_arena_clear(&world->arena);
    check(och_mem_used(&world->mem) == 0);
}

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

/* NULL stays NULL. */
static struct och_json *
tree(struct world *world, const char *text)
{
    struct och_json *root = NULL;
    if (text != NULL)
        check_ok(
                och_json_parse(&world->arena, text, strlen(text), &root, &world->err), &world->err);
    return root;
}

/* A whole create request, as the server makes it. */
static ochre_status
create(struct world *world, const char *configuration, const char *schema,
        const struct ochre_metadata *metadata, const struct och_schema **schema_out)
{
    struct och_schema_request *request = NULL;
    *schema_out = NULL;
    ochre_status status = och_schema_request_parse(
            &world->arena, tree(world, configuration), tree(world, schema), &request, &world->err);
    if (status != OCHRE_OK)
        return status;
    return och_schema_build(&world->arena, request, metadata, N_CPUS, schema_out, &world->err);
}

static const char *
text_of(struct world *world, struct och_buf *buf)
{
    check(och_buf_status(buf) == OCHRE_OK);
    const char *text = och_arena_copy(&world->arena, buf->data, buf->size);
    check(text != NULL);
    och_buf_clear(buf);
    return text;
}

static const char *
schema_text(struct world *world, const struct och_schema *schema, const struct och_key *seen,
        size_t n_seen)
{
    struct och_buf buf;
    och_buf_init(&buf, &world->mem, SIZE_MAX);
    och_schema_put(&buf, schema, seen, n_seen);
    return text_of(world, &buf);
}

static const char *
configuration_text(struct world *world, const struct och_schema *schema)
{
    struct och_buf buf;
    och_buf_init(&buf, &world->mem, SIZE_MAX);
    och_schema_put_configuration(&buf, schema);
    return text_of(world, &buf);
}

struct edit {
    const char *from, *to;
};

/* `text` with every occurrence of each edit's `from` exchanged; it must occur. */
static const char *
edited(struct world *world, const char *text, const struct edit *edits)
{
    for (size_t i = 0; i < EDITS_MAX && edits[i].from != NULL; i++) {
        struct och_buf buf;
        const char *at = text;
        size_t n_found = 0;
        och_buf_init(&buf, &world->mem, SIZE_MAX);
        for (const char *found = strstr(at, edits[i].from); found != NULL;
                found = strstr(at, edits[i].from)) {
            och_buf_put(&buf, at, (size_t) (found - at));
            och_buf_put_text(&buf, edits[i].to);
            at = found + strlen(edits[i].from);
            n_found++;
        }
        if (n_found == 0)
            print_error("nothing to exchange: %s\n", edits[i].from);
        check(n_found > 0);
        och_buf_put_text(&buf, at);
        text = text_of(world, &buf);
    }
    return text;
}

static void
check_text(const char *seen, const char *wanted)
{
    if (strcmp(seen, wanted) != 0)
        print_error("seen   %s\nwanted %s\n", seen, wanted);
    check(strcmp(seen, wanted) == 0);
}

/* The answers for `schema` are the default ones with these edits, and so are
 * those of what comes back from the catalog. */
static void
check_answers(struct world *world, const struct och_schema *schema, const struct edit *schema_edits,
        const struct edit *configuration_edits)
{
    const char *wanted_schema = edited(world, default_schema, schema_edits);
    const char *wanted_configuration = edited(world, default_configuration, configuration_edits);
    struct ochre_bytes stored = {NULL, 0};
    const struct och_schema *again = NULL;

    check_text(schema_text(world, schema, NULL, 0), wanted_schema);
    check_text(configuration_text(world, schema), wanted_configuration);
    check_ok(och_schema_store(&world->arena, schema, &stored, &world->err), &world->err);
    check_ok(och_schema_parse(&world->arena, stored, &again, &world->err), &world->err);
    check_text(schema_text(world, again, NULL, 0), wanted_schema);
    check_text(configuration_text(world, again), wanted_configuration);
}

struct good_case {
    const char *configuration, *schema;
    struct edit schema_edits[EDITS_MAX];
    struct edit configuration_edits[EDITS_MAX];
};

static void
check_good(const struct good_case *cases, size_t n, const struct ochre_metadata *metadata)
{
    for (size_t i = 0; i < n; i++) {
        struct world world;
        const struct och_schema *schema = NULL;
        world_init(&world);
        ochre_status status =
                create(&world, cases[i].configuration, cases[i].schema, metadata, &schema);
        if (status != OCHRE_OK)
            print_error("case %zu: %s %s\n", i,
                    cases[i].configuration == NULL ? "-" : cases[i].configuration,
                    cases[i].schema == NULL ? "-" : cases[i].schema);
        check_ok(status, &world.err);
        check_answers(&world, schema, cases[i].schema_edits, cases[i].configuration_edits);
        world_clear(&world);
    }
}

struct bad_case {
    const char *json;
    ochre_status status;
    const char *words; /* in the message */
};

static void
check_refused(ochre_status status, const struct bad_case *bad, const struct ochre_error *err)
{
    bool told = strstr(err->message, bad->words) != NULL;
    if (status != bad->status || !told)
        print_error("%s: %d %s\n", bad->json, (int) status, err->message);
    check(status == bad->status && told && err->status == status);
}

/* --- creating ------------------------------------------------------------------ */

static void
whoever_wishes_nothing_gets_the_default_schema(void **state)
{
    static const struct good_case cases[] = {
            {NULL, NULL, {{0}}, {{0}}},
            {"null", "null", {{0}}, {{0}}},
            {"{}", NULL, {{0}}, {{0}}},
            {"{\"hnsw\":{}}", NULL, {{0}}, {{0}}},
            {"{\"hnsw\":null,\"spann\":null,\"embedding_function\":null}", NULL, {{0}}, {{0}}},
            {"{\"foo\":1}", NULL, {{0}}, {{0}}},
            {"{\"spann\":{}}", NULL, {{0}}, {{0}}},
            {"{\"spann\":{\"search_nprobe\":7,\"space\":\"l2\"}}", NULL, {{0}}, {{0}}},
            {"{\"hnsw\":{\"space\":null,\"ef_search\":null,\"resize_factor\":null}}", NULL, {{0}},
                    {{0}}},
            {NULL, "{\"defaults\":{},\"keys\":{}}", {{0}}, {{0}}},
            {NULL, "{\"defaults\":{\"bogus\":{}},\"keys\":{},\"more\":1,\"cmek\":null}", {{0}},
                    {{0}}},
            {NULL, "{\"defaults\":{\"int\":null,\"string\":{\"fts_index\":null}},\"keys\":{}}",
                    {{0}}, {{0}}},
            {NULL, default_schema, {{0}}, {{0}}},
            {"{\"hnsw\":{\"num_threads\":2}}", default_schema, {{0}}, {{0}}},
            /* How many threads there are does not make a schema one's own. */
            {NULL,
                    "{\"defaults\":{},\"keys\":{\"#embedding\":{\"float_list\":{\"vector_index\":"
                    "{\"enabled\":true,\"config\":{\"hnsw\":{\"num_threads\":7}}}}}}}",
                    {{0}}, {{0}}},
    };
    (void) state;
    check_good(cases, sizeof(cases) / sizeof(cases[0]), NULL);
}

static void
a_configuration_sets_both_vector_indexes(void **state)
{
    static const struct good_case cases[] = {
            {"{\"hnsw\":{\"space\":\"cosine\",\"ef_construction\":50,\"ef_search\":20,"
             "\"max_neighbors\":8,\"num_threads\":4,\"resize_factor\":1.5,"
             "\"sync_threshold\":500,\"batch_size\":50}}",
                    NULL,
                    {{HNSW,
                             "\"hnsw\":{\"ef_construction\":50,\"max_neighbors\":8,"
                             "\"ef_search\":20,\"num_threads\":4,\"batch_size\":50,"
                             "\"sync_threshold\":500,\"resize_factor\":1.5}"},
                            {"\"l2\"", "\"cosine\""}},
                    {{default_configuration,
                            "{\"hnsw\":{\"space\":\"cosine\",\"ef_construction\":50,"
                            "\"max_neighbors\":8,\"ef_search\":20,\"sync_threshold\":500,"
                            "\"resize_factor\":1.5},\"spann\":null,"
                            "\"embedding_function\":null}"}}},
            {"{\"hnsw\":{\"space\":\"ip\"}}", NULL, {{"\"l2\"", "\"ip\""}}, {{"l2", "ip"}}},
            {"{\"spann\":{\"space\":\"cosine\",\"ef_search\":3}}", NULL, {{"\"l2\"", "\"cosine\""}},
                    {{"l2", "cosine"}}},
            /* No ranges, up to all 64 bits; a whole number is a factor too. */
            {"{\"hnsw\":{\"ef_search\":0,\"batch_size\":0,\"sync_threshold\":1,"
             "\"max_neighbors\":18446744073709551615,\"resize_factor\":2}}",
                    NULL,
                    {{HNSW,
                            "\"hnsw\":{\"ef_construction\":100,"
                            "\"max_neighbors\":18446744073709551615,"
                            "\"ef_search\":0,\"num_threads\":2,\"batch_size\":0,"
                            "\"sync_threshold\":1,\"resize_factor\":2.0}"}},
                    {{"\"max_neighbors\":16,\"ef_search\":100",
                             "\"max_neighbors\":18446744073709551615,\"ef_search\":0"},
                            {"1000,\"resize_factor\":1.2", "1,\"resize_factor\":2.0"}}},
            /* Threads are shown in the schema only. */
            {"{\"hnsw\":{\"num_threads\":9}}", NULL, {{"threads\":2", "threads\":9"}}, {{0}}},
            /* An empty schema does not stand in the way. */
            {"{\"hnsw\":{\"space\":\"ip\"}}", "{\"defaults\":{},\"keys\":{}}",
                    {{"\"l2\"", "\"ip\""}}, {{"l2", "ip"}}},
    };
    (void) state;
    check_good(cases, sizeof(cases) / sizeof(cases[0]), NULL);
}

#define WITH(function)                                                                   \
    {                                                                                    \
        {                                                                                \
            "\"space\":\"l2\",", "\"space\":\"l2\",\"embedding_function\":" function "," \
        }                                                                                \
    }
#define SHOWS(function)                                                       \
    {                                                                         \
        {                                                                     \
            "\"embedding_function\":null", "\"embedding_function\":" function \
        }                                                                     \
    }

static void
an_embedding_function_comes_back_as_it_was_sent(void **state)
{
#define KNOWN "{\"type\":\"known\",\"name\":\"default\",\"config\":{}}"
#define DEEP                                                                                 \
    "{\"type\":\"known\",\"name\":\"n \\u0001\\\"\",\"config\":{\"m\":[1,2.0,{\"x\":null}]," \
    "\"t\":true,\"s\":\"\"}}"
    static const struct good_case cases[] = {
            {"{\"embedding_function\":" KNOWN "}", NULL, WITH(KNOWN), SHOWS(KNOWN)},
            {"{\"embedding_function\":" DEEP "}", NULL, WITH(DEEP), SHOWS(DEEP)},
            {"{\"embedding_function\":{\"type\":\"known\",\"config\":null,\"name\":\"\"}}", NULL,
                    WITH("{\"type\":\"known\",\"name\":\"\",\"config\":null}"),
                    SHOWS("{\"type\":\"known\",\"name\":\"\",\"config\":null}")},
            {"{\"embedding_function\":{\"type\":\"legacy\"}}", NULL, WITH("{\"type\":\"legacy\"}"),
                    SHOWS("{\"type\":\"legacy\"}")},
            {"{\"embedding_function\":{\"type\":\"unknown\",\"extra\":1}}", NULL,
                    WITH("{\"type\":\"unknown\"}"), SHOWS("{\"type\":\"unknown\"}")},
    };
    (void) state;
    check_good(cases, sizeof(cases) / sizeof(cases[0]), NULL);
}

static void
hnsw_metadata_is_a_configuration(void **state)
{
    const struct ochre_field fields[] = {
            {{"hnsw:space", 10}, {.type = OCHRE_VALUE_STRING, .as.string = {"ip", 2}}},
            {{"hnsw:M", 6}, {.type = OCHRE_VALUE_INT, .as.integer = 1}}, /* the later one counts */
            {{"hnsw:M", 6}, {.type = OCHRE_VALUE_INT, .as.integer = 32}},
            {{"hnsw:construction_ef", 20}, {.type = OCHRE_VALUE_INT, .as.integer = 10}},
            {{"hnsw:search_ef", 14}, {.type = OCHRE_VALUE_INT, .as.integer = 11}},
            {{"hnsw:num_threads", 16}, {.type = OCHRE_VALUE_INT, .as.integer = 3}},
            {{"hnsw:resize_factor", 18}, {.type = OCHRE_VALUE_FLOAT, .as.number = 2.0}},
            {{"hnsw:batch_size", 15}, {.type = OCHRE_VALUE_INT, .as.integer = 2}},
            {{"hnsw:sync_threshold", 19}, {.type = OCHRE_VALUE_INT, .as.integer = 2}},
            {{"other", 5}, {.type = OCHRE_VALUE_INT, .as.integer = 1}},
    };
    const struct ochre_metadata metadata = {fields, sizeof(fields) / sizeof(fields[0])};
    static const struct edit in_schema[] = {
            {HNSW,
                    "\"hnsw\":{\"ef_construction\":10,\"max_neighbors\":32,\"ef_search\":11,"
                    "\"num_threads\":3,\"batch_size\":2,\"sync_threshold\":2,"
                    "\"resize_factor\":2.0}"},
            {"\"l2\"", "\"ip\""},
            {0},
    };
    static const struct edit in_configuration[] = {
            {default_configuration,
                    "{\"hnsw\":{\"space\":\"ip\",\"ef_construction\":10,\"max_neighbors\":32,"
                    "\"ef_search\":11,\"sync_threshold\":2,\"resize_factor\":2.0},"
                    "\"spann\":null,\"embedding_function\":null}"},
            {0},
    };
    /* A configuration that says nothing new yields to the metadata ... */
    static const char *const plain[] = {NULL, "{}", "{\"hnsw\":{}}",
            "{\"hnsw\":{\"space\":\"l2\",\"ef_search\":100}}", "{\"hnsw\":{\"num_threads\":2}}",
            "{\"spann\":{}}"};
    /* ... and one that does hides it whole. */
    static const struct good_case own[] = {
            {"{\"hnsw\":{\"ef_search\":5}}", NULL, {{"ef_search\":100", "ef_search\":5"}},
                    {{"ef_search\":100", "ef_search\":5"}}},
            {"{\"hnsw\":{\"space\":\"cosine\"}}", NULL, {{"\"l2\"", "\"cosine\""}},
                    {{"l2", "cosine"}}},
            {"{\"spann\":{\"space\":\"cosine\"}}", NULL, {{"\"l2\"", "\"cosine\""}},
                    {{"l2", "cosine"}}},
            {"{\"hnsw\":{\"num_threads\":5}}", NULL, {{"threads\":2", "threads\":5"}}, {{0}}},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        struct world world;
        const struct och_schema *schema = NULL;
        world_init(&world);
        check_ok(create(&world, plain[i], NULL, &metadata, &schema), &world.err);
        check_answers(&world, schema, in_schema, in_configuration);
        world_clear(&world);
    }
    check_good(own, sizeof(own) / sizeof(own[0]), &metadata);
}

static void
unsound_hnsw_metadata_is_refused(void **state)
{
    static const struct {
        const char *key;
        struct ochre_value value;
    } cases[] = {
            {"hnsw:space", {.type = OCHRE_VALUE_STRING, .as.string = {"L2", 2}}},
            {"hnsw:space", {.type = OCHRE_VALUE_INT, .as.integer = 0}},
            {"hnsw:foo", {.type = OCHRE_VALUE_INT, .as.integer = 1}},
            {"hnsw:", {.type = OCHRE_VALUE_INT, .as.integer = 1}},
            {"hnsw:M", {.type = OCHRE_VALUE_INT, .as.integer = -1}},
            {"hnsw:M", {.type = OCHRE_VALUE_FLOAT, .as.number = 1.5}},
            {"hnsw:M", {.type = OCHRE_VALUE_FLOAT, .as.number = 2.0}},
            {"hnsw:M", {.type = OCHRE_VALUE_STRING, .as.string = {"1", 1}}},
            {"hnsw:M", {.type = OCHRE_VALUE_BOOL, .as.boolean = true}},
            {"hnsw:batch_size", {.type = OCHRE_VALUE_INT, .as.integer = 1}},
            {"hnsw:sync_threshold", {.type = OCHRE_VALUE_INT, .as.integer = 1}},
            {"hnsw:resize_factor", {.type = OCHRE_VALUE_STRING, .as.string = {"1", 1}}},
            {"hnsw:resize_factor", {.type = OCHRE_VALUE_FLOAT, .as.number = (double) INFINITY}},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world;
        const struct och_schema *schema = NULL;
        struct ochre_field field = {bytes_of(cases[i].key), cases[i].value};
        struct ochre_metadata metadata = {&field, 1};
        world_init(&world);
        /* Even where a configuration hides it. */
        check(create(&world, NULL, NULL, &metadata, &schema) == OCHRE_INVALID);
        check(create(&world, "{\"hnsw\":{\"ef_search\":5}}", NULL, &metadata, &schema) ==
                OCHRE_INVALID);
        check(strstr(world.err.message, cases[i].key) != NULL);
        check(schema == NULL);
        world_clear(&world);
    }
}

/* --- the recall target ------------------------------------------------------------- */

/* What a request asks for, and what becomes of it. */
struct recall_case {
    const char *configuration, *schema;
    double metadata; /* 0: none */
    double wanted;   /* 0: the default */
};

static const struct edit no_edits[1] = {{0}};

/* The default answers, with the recall target at the top of both unless it is 0. */
static void
check_recall(struct world *world, const struct och_schema *schema, double wanted)
{
    char shown[64];
    (void) snprintf(
            shown, sizeof(shown), ",\"recall_target\":%.15g%s}", wanted, wanted < 1 ? "" : ".0");
    char configuration_end[128];
    (void) snprintf(
            configuration_end, sizeof(configuration_end), "\"embedding_function\":null%s", shown);
    const char *schema_end = wanted > 0 ? shown : "}";
    char long_end[96];
    (void) snprintf(long_end, sizeof(long_end), "1.2}}}}}}%s", schema_end);
    const struct edit schema_edits[] = {{"1.2}}}}}}}", long_end}, {0}};
    const struct edit configuration_edits[] = {
            {"\"embedding_function\":null}", configuration_end}, {0}};
    check_answers(world, schema, wanted > 0 ? schema_edits : no_edits,
            wanted > 0 ? configuration_edits : no_edits);
    struct och_collection_settings settings = och_schema_settings(schema);
    check(settings.recall_target == (wanted > 0 ? (float) wanted : 0.99f));
}

static void
a_recall_target_is_taken_from_wherever_it_is_given(void **state)
{
#define PLAIN "{\"defaults\":{},\"keys\":{}"
    static const struct recall_case cases[] = {
            {NULL, NULL, 0, 0},
            {"{\"recall_target\":0.5}", NULL, 0, 0.5},
            {"{\"recall_target\":null}", NULL, 0, 0},
            {"{\"recall_target\":1}", NULL, 0, 1},
            {"{\"recall_target\":1.0}", NULL, 0, 1},
            {"{\"hnsw\":{\"recall_target\":0.95}}", NULL, 0, 0.95},
            {"{\"hnsw\":{\"recall_target\":null}}", NULL, 0, 0},
            {"{\"spann\":{\"recall_target\":0.25}}", NULL, 0, 0.25},
            {"{\"spann\":{\"recall_target\":null}}", NULL, 0, 0},
            {"{\"recall_target\":0.5,\"hnsw\":{\"recall_target\":0.5}}", NULL, 0, 0.5},
            {NULL, PLAIN ",\"recall_target\":0.75}", 0, 0.75},
            {NULL, PLAIN ",\"recall_target\":null}", 0, 0},
            {NULL, NULL, 0.875, 0.875},
            {NULL, NULL, 1, 1},
            /* The default one is not stored. */
            {"{\"recall_target\":0.99}", NULL, 0, 0},
            {NULL, PLAIN ",\"recall_target\":0.99}", 0, 0},
            {NULL, NULL, 0.99, 0},
            /* Which goes before which, the default one too. */
            {"{\"recall_target\":0.5}", PLAIN ",\"recall_target\":0.75}", 0.875, 0.5},
            {"{\"hnsw\":{}}", PLAIN ",\"recall_target\":0.75}", 0.875, 0.75},
            {"{\"recall_target\":0.99}", NULL, 0.875, 0},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world;
        const struct och_schema *schema = NULL;
        struct ochre_field field = {bytes_of("ochre:recall_target"),
                {.type = OCHRE_VALUE_FLOAT, .as.number = cases[i].metadata}};
        struct ochre_metadata metadata = {&field, cases[i].metadata > 0};
        world_init(&world);
        ochre_status status =
                create(&world, cases[i].configuration, cases[i].schema, &metadata, &schema);
        if (status != OCHRE_OK)
            print_error("case %zu\n", i);
        check_ok(status, &world.err);
        check_recall(&world, schema, cases[i].wanted);
        world_clear(&world);
    }
}

/* It belongs to no kind of index, so it takes part in no conflict. */
static void
a_recall_target_goes_with_any_configuration_and_schema(void **state)
{
    struct world world;
    const struct och_schema *schema = NULL;
    (void) state;
    world_init(&world);
    check_ok(create(&world, "{\"recall_target\":0.5}",
                     "{\"defaults\":{\"int\":{\"int_inverted_index\":{\"enabled\":false,"
                     "\"config\":{}}}},\"keys\":{}}",
                     NULL, &schema),
            &world.err);
    check(och_schema_settings(schema).recall_target == 0.5f);
    check(schema->defaults.integer == OCH_INDEX_DISABLED);
    check_ok(create(&world, "{\"hnsw\":{\"space\":\"ip\"}}",
                     "{\"defaults\":{},\"keys\":{},\"recall_target\":0.5}", NULL, &schema),
            &world.err);
    check(och_schema_settings(schema).recall_target == 0.5f);
    check(och_schema_settings(schema).space == OCHRE_SPACE_IP);
    struct ochre_field fields[] = {
            {bytes_of("ochre:recall_target"), {.type = OCHRE_VALUE_FLOAT, .as.number = 0.25}},
            {bytes_of("ochre:recall_target"), {.type = OCHRE_VALUE_INT, .as.integer = 1}}};
    struct ochre_metadata metadata = {fields, 2};
    check_ok(create(&world, "{\"hnsw\":{\"space\":\"ip\"}}", NULL, &metadata, &schema), &world.err);
    check(och_schema_settings(schema).recall_target == 1.0f); /* of one key the last counts */
    check(och_schema_settings(schema).space == OCHRE_SPACE_IP);
    /* Smaller than any float, and not nothing. */
    check_ok(create(&world, "{\"recall_target\":1e-200}", NULL, NULL, &schema), &world.err);
    check(och_schema_settings(schema).recall_target > 0);
    world_clear(&world);
}

static void
unsound_recall_targets_are_refused(void **state)
{
    static const struct bad_case cases[] = {
            {"{\"recall_target\":0}", OCHRE_INVALID,
                    "configuration.recall_target is 0; it must be above 0 and at most 1"},
            {"{\"recall_target\":1.5}", OCHRE_INVALID,
                    "configuration.recall_target is the number 1.5"},
            {"{\"recall_target\":-0.5}", OCHRE_INVALID,
                    "configuration.recall_target is the number -0.5"},
            {"{\"recall_target\":\"1\"}", OCHRE_SHAPE, "configuration.recall_target is the string"},
            {"{\"recall_target\":true}", OCHRE_SHAPE, "configuration.recall_target is true"},
            {"{\"hnsw\":{\"recall_target\":2}}", OCHRE_INVALID,
                    "configuration.hnsw.recall_target is 2"},
            {"{\"hnsw\":{\"recall_target\":[]}}", OCHRE_SHAPE,
                    "configuration.hnsw.recall_target is"},
            {"{\"spann\":{\"recall_target\":1.0000000000000002}}", OCHRE_INVALID,
                    "configuration.spann.recall_target is the number 1"},
            {"{\"recall_target\":0.5,\"recall_target\":0.5}", OCHRE_SHAPE, "recall_target"},
            {"{\"hnsw\":{\"recall_target\":0.5},\"recall_target\":0.75}", OCHRE_INVALID,
                    "configuration gives recall_target as 0.75 and as 0.5; give it once"},
            {"{\"spann\":{\"recall_target\":0.5},\"recall_target\":0.25}", OCHRE_INVALID,
                    "configuration gives recall_target as 0.25 and as 0.5"},
    };
    static const struct {
        const char *key;
        struct ochre_value value;
        const char *words;
    } keys[] = {
            {"ochre:recall_target", {.type = OCHRE_VALUE_FLOAT, .as.number = 1.5},
                    "metadata key 'ochre:recall_target' is 1.5; it must be a number above 0"},
            {"ochre:recall_target", {.type = OCHRE_VALUE_INT, .as.integer = 0}, "is 0; it must be"},
            {"ochre:recall_target", {.type = OCHRE_VALUE_FLOAT, .as.number = (double) NAN},
                    "is nan; it must be"},
            {"ochre:recall_target", {.type = OCHRE_VALUE_STRING, .as.string = {"1", 1}},
                    "must be a number above 0 and at most 1"},
            {"ochre:recall", {.type = OCHRE_VALUE_INT, .as.integer = 1},
                    "'ochre:recall' is none of ours"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world;
        const struct och_schema *schema = NULL;
        world_init(&world);
        check_refused(create(&world, cases[i].json, NULL, NULL, &schema), &cases[i], &world.err);
        world_clear(&world);
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct world world;
        const struct och_schema *schema = NULL;
        struct ochre_field field = {bytes_of(keys[i].key), keys[i].value};
        struct ochre_metadata metadata = {&field, 1};
        world_init(&world);
        struct bad_case bad = {keys[i].key, OCHRE_INVALID, keys[i].words};
        check_refused(create(&world, NULL, NULL, &metadata, &schema), &bad, &world.err);
        /* Even where a configuration hides it. */
        check_refused(create(&world, "{\"recall_target\":1}", NULL, &metadata, &schema), &bad,
                &world.err);
        world_clear(&world);
    }
    struct world world;
    const struct och_schema *schema = NULL;
    static const struct bad_case bad = {PLAIN ",\"recall_target\":7}", OCHRE_INVALID,
            "schema.recall_target is 7; it must be above 0 and at most 1"};
    world_init(&world);
    check_refused(create(&world, NULL, bad.json, NULL, &schema), &bad, &world.err);
    world_clear(&world);
}

/* --- schemas ---------------------------------------------------------------------- */

#define OFF "{\"enabled\":false,\"config\":{}}"
#define ON "{\"enabled\":true,\"config\":{}}"
#define KEYS(keys) "{\"defaults\":{},\"keys\":{" keys "}}"
#define DEFAULTS(types) "{\"defaults\":{" types "},\"keys\":{}}"
#define VECTOR(enabled, config) \
    "\"float_list\":{\"vector_index\":{\"enabled\":" enabled ",\"config\":{" config "}}}"
#define SPARSE(enabled, config) \
    "\"sparse_vector\":{\"sparse_vector_index\":{\"enabled\":" enabled ",\"config\":{" config "}}}"

static void
a_schema_is_merged_over_the_default_one(void **state)
{
    static const struct good_case cases[] = {
            {NULL, DEFAULTS("\"string\":{\"string_inverted_index\":" OFF "}"),
                    {{"\"string_inverted_index\":{\"enabled\":true",
                            "\"string_inverted_index\":{\"enabled\":false"}},
                    {{0}}},
            {NULL, DEFAULTS("\"#string\":{\"string_inverted_index\":" OFF "}"),
                    {{"\"string_inverted_index\":{\"enabled\":true",
                            "\"string_inverted_index\":{\"enabled\":false"}},
                    {{0}}},
            {NULL,
                    DEFAULTS("\"int\":{\"int_inverted_index\":" OFF "},"
                             "\"float\":{\"float_inverted_index\":" OFF "},"
                             "\"bool\":{\"bool_inverted_index\":" OFF "}"),
                    {{"\"int_inverted_index\":{\"enabled\":true",
                             "\"int_inverted_index\":{\"enabled\":false"},
                            {"\"float_inverted_index\":{\"enabled\":true",
                                    "\"float_inverted_index\":{\"enabled\":false"},
                            {"\"bool_inverted_index\":{\"enabled\":true",
                                    "\"bool_inverted_index\":{\"enabled\":false"}},
                    {{0}}},
            {NULL, KEYS("\"#document\":{\"string\":{\"fts_index\":" OFF "}}"),
                    {{"\"fts_index\":{\"enabled\":true", "\"fts_index\":{\"enabled\":false"}},
                    {{0}}},
            {NULL,
                    KEYS("\"#embedding\":{" VECTOR(
                            "true", "\"space\":\"cosine\",\"hnsw\":{\"ef_construction\":50}") "}"),
                    {{"\"space\":\"l2\",\"source_key\":\"#document\",\"hnsw\":{\"ef_"
                      "construction\":100",
                            "\"space\":\"cosine\",\"source_key\":\"#document\",\"hnsw\":{\"ef_"
                            "construction\":50"}},
                    {{"l2", "cosine"}, {"construction\":100", "construction\":50"}}},
            /* SPANN parameters do not stay, the space beside them does. */
            {NULL,
                    KEYS("\"#embedding\":{" VECTOR(
                            "true", "\"space\":\"cosine\",\"spann\":{\"search_nprobe\":10}") "}"),
                    {{"\"l2\",\"source_key", "\"cosine\",\"source_key"}}, {{"l2", "cosine"}}},
            /* The metric is that of #embedding. */
            {NULL, DEFAULTS(VECTOR("false", "\"space\":\"cosine\"")),
                    {{"\"l2\",\"hnsw", "\"cosine\",\"hnsw"}}, {{0}}},
            {NULL, KEYS("\"#embedding\":{" VECTOR("false", "") "}"),
                    {{"{\"enabled\":true,\"config\":{\"space\"",
                            "{\"enabled\":false,\"config\":{\"space\""}},
                    {{0}}},
            {NULL,
                    KEYS("\"#embedding\":{" VECTOR(
                            "true", "\"embedding_function\":{\"type\":\"legacy\"}") "}"),
                    {{"\"l2\",\"source_key",
                            "\"l2\",\"embedding_function\":{\"type\":\"legacy\"},\"source_key"}},
                    SHOWS("{\"type\":\"legacy\"}")},
            {NULL,
                    DEFAULTS(SPARSE("false",
                            "\"embedding_function\":{\"type\":\"legacy\"},\"bm25\":null,"
                            "\"source_key\":null")),
                    {{"\"unknown\"", "\"legacy\""}}, {{0}}},
            {NULL, DEFAULTS(VECTOR("false", "\"source_key\":\"#document\"")),
                    {{"\"l2\",\"hnsw", "\"l2\",\"source_key\":\"#document\",\"hnsw"}}, {{0}}},
            {NULL, DEFAULTS(SPARSE("false", "\"bm25\":true,\"source_key\":\"#document\"")),
                    {{"\"bm25\":false", "\"source_key\":\"#document\",\"bm25\":true"}}, {{0}}},
            {NULL,
                    "{\"defaults\":{},\"keys\":{},\"cmek\":{\"gcp\":"
                    "\"projects/p/locations/l/keyRings/k/cryptoKeys/c\"}}",
                    {{"1.2}}}}}}}",
                            "1.2}}}}}},\"cmek\":{\"gcp\":"
                            "\"projects/p/locations/l/keyRings/k/cryptoKeys/c\"}}"}},
                    {{0}}},
    };
    (void) state;
    check_good(cases, sizeof(cases) / sizeof(cases[0]), NULL);
}

/* Other keys are stored as given, in byte order around the two special ones. */
static void
other_keys_are_stored_as_given(void **state)
{
#define CATEGORY "\"string\":{\"string_inverted_index\":" OFF "}"
#define PARTIAL VECTOR("false", "\"hnsw\":{\"ef_search\":7,\"resize_factor\":0.5}")
#define MAX_SCORE SPARSE("false", "\"algorithm\":\"max_score\"")
    static const struct good_case cases[] = {
            {NULL, KEYS("\"category\":{" CATEGORY "}"),
                    {{"1.2}}}}}}}", "1.2}}}}},\"category\":{" CATEGORY "}}}"}}, {{0}}},
            {NULL, KEYS("\"a\":{},\"\":{\"int\":{}},\"\\u00e9\":{" PARTIAL "},\"\\\"\":{}"),
                    {{"\"keys\":{", "\"keys\":{\"\":{\"int\":{}},\"\\\"\":{},"},
                            {"1.2}}}}}}}", "1.2}}}}},\"a\":{},\"\xc3\xa9\":{" PARTIAL "}}}"}},
                    {{0}}},
            {NULL, KEYS("\"s\":{" SPARSE("false", "\"bm25\":true") "}"),
                    {{"1.2}}}}}}}", "1.2}}}}},\"s\":{" SPARSE("false", "\"bm25\":true") "}}}"}},
                    {{0}}},
            {NULL, KEYS("\"s\":{" MAX_SCORE "}"),
                    {{"1.2}}}}}}}", "1.2}}}}},\"s\":{" MAX_SCORE "}}}"}}, {{0}}},
            {NULL, KEYS("\"s\":{" SPARSE("false", "\"algorithm\":\"wand\"") "}"),
                    {{"1.2}}}}}}}", "1.2}}}}},\"s\":{" SPARSE("false", "") "}}}"}}, {{0}}},
            {NULL, KEYS("\"v\":{" VECTOR("false", "\"hnsw\":{},\"spann\":{}") "}"),
                    {{"1.2}}}}}}}", "1.2}}}}},\"v\":{" VECTOR("false", "\"hnsw\":{}") "}}}"}},
                    {{0}}},
            /* Of a key given twice the last one counts. */
            {NULL, KEYS("\"k\":{\"int\":{}},\"j\":{},\"k\":{\"bool\":{}}"),
                    {{"1.2}}}}}}}", "1.2}}}}},\"j\":{},\"k\":{\"bool\":{}}}}"}}, {{0}}},
            {NULL, KEYS("\"k\":{},\"#document\":{},\"#embedding\":{\"float_list\":{}}"),
                    {{"1.2}}}}}}}", "1.2}}}}},\"k\":{}}}"}}, {{0}}},
    };
    (void) state;
    check_good(cases, sizeof(cases) / sizeof(cases[0]), NULL);
}

/* A schema beside a configuration: one of them must say nothing new. */
static void
schema_and_configuration_may_not_both_have_wishes(void **state)
{
#define WISH DEFAULTS("\"string\":{\"string_inverted_index\":" OFF "}")
    static const struct good_case good[] = {
            /* The configuration's embedding function is dropped with it. */
            {"{\"embedding_function\":{\"type\":\"known\",\"name\":\"default\",\"config\":{\"a\":1}}}",
                    WISH,
                    {{"\"string_inverted_index\":{\"enabled\":true",
                            "\"string_inverted_index\":{\"enabled\":false"}},
                    {{0}}},
            {"{\"hnsw\":{\"space\":\"l2\",\"ef_search\":100},"
             "\"embedding_function\":{\"type\":\"unknown\"}}",
                    WISH,
                    {{"\"string_inverted_index\":{\"enabled\":true",
                            "\"string_inverted_index\":{\"enabled\":false"}},
                    {{0}}},
            {"{\"embedding_function\":{\"type\":\"known\",\"name\":\"default\",\"config\":{}}}",
                    "{\"defaults\":{},\"keys\":{}}",
                    WITH("{\"type\":\"known\",\"name\":\"default\",\"config\":{}}"),
                    SHOWS("{\"type\":\"known\",\"name\":\"default\",\"config\":{}}")},
    };
    static const struct {
        const char *configuration, *schema;
    } conflicts[] = {
            {"{\"embedding_function\":{\"type\":\"legacy\"}}", WISH},
            {"{\"embedding_function\":{\"type\":\"known\",\"name\":\"x\",\"config\":{}}}", WISH},
            {"{\"hnsw\":{\"space\":\"cosine\"}}", WISH},
            {"{\"spann\":{\"space\":\"cosine\"}}", WISH},
            {"{\"hnsw\":{\"num_threads\":99}}", WISH},
            {"{\"hnsw\":{\"ef_search\":1}}", KEYS("\"x\":{}")},
            {"{\"hnsw\":{\"ef_search\":1}}", KEYS("\"#embedding\":{" VECTOR("false", "") "}")},
            {"{\"hnsw\":{\"ef_search\":1}}",
                    KEYS("\"#embedding\":{" VECTOR("true", "\"spann\":{\"ef_search\":1}") "}")},
            {"{\"hnsw\":{\"ef_search\":1}}", DEFAULTS(SPARSE("false", "\"bm25\":true"))},
            {"{\"hnsw\":{\"ef_search\":1}}",
                    DEFAULTS(VECTOR("false", "\"source_key\":\"#document\""))},
            {"{\"hnsw\":{\"ef_search\":1}}",
                    "{\"defaults\":{},\"keys\":{},\"cmek\":{\"gcp\":"
                    "\"projects/p/locations/l/keyRings/k/cryptoKeys/c\"}}"},
    };
    const struct ochre_field space = {
            {"hnsw:space", 10}, {.type = OCHRE_VALUE_STRING, .as.string = {"ip", 2}}};
    const struct ochre_metadata metadata = {&space, 1};
    struct world world;
    const struct och_schema *schema = NULL;

    (void) state;
    check_good(good, sizeof(good) / sizeof(good[0]), NULL);
    for (size_t i = 0; i < sizeof(conflicts) / sizeof(conflicts[0]); i++) {
        world_init(&world);
        ochre_status status =
                create(&world, conflicts[i].configuration, conflicts[i].schema, NULL, &schema);
        if (status != OCHRE_INVALID)
            print_error("no conflict in case %zu\n", i);
        check(status == OCHRE_INVALID);
        check(strstr(world.err.message, "schema") != NULL);
        check(strstr(world.err.message, "conflict") != NULL);
        world_clear(&world);
    }
    world_init(&world);
    check(create(&world, NULL, KEYS("\"x\":{}"), &metadata, &schema) == OCHRE_INVALID);
    check(strstr(world.err.message, "conflict") != NULL);
    check_ok(create(&world, NULL, "{\"defaults\":{},\"keys\":{}}", &metadata, &schema), &world.err);
    check(och_schema_space(schema) == OCHRE_SPACE_IP);
    world_clear(&world);
}

/* --- shapes -------------------------------------------------------------------------- */

static void
configurations_of_the_wrong_shape_are_told_apart(void **state)
{
    static const struct bad_case cases[] = {
            {"\"x\"", OCHRE_SHAPE, "configuration is the string 'x'"},
            {"[]", OCHRE_SHAPE, "an array"},
            {"{\"hnsw\":5}", OCHRE_SHAPE, "configuration.hnsw is 5"},
            {"{\"hnsw\":[]}", OCHRE_SHAPE, "must be an object"},
            {"{\"hnsw\":{},\"hnsw\":{}}", OCHRE_SHAPE, "'hnsw' twice"},
            {"{\"hnsw\":{\"space\":\"bad\"}}", OCHRE_SHAPE, "'l2' or 'cosine' or 'ip'"},
            {"{\"hnsw\":{\"space\":\"L2\"}}", OCHRE_SHAPE, "configuration.hnsw.space"},
            {"{\"hnsw\":{\"space\":5}}", OCHRE_INVALID, "configuration.hnsw.space is 5"},
            {"{\"hnsw\":{\"space\":true}}", OCHRE_INVALID, "true"},
            {"{\"hnsw\":{\"space\":18446744073709551615}}", OCHRE_INVALID,
                    "is 18446744073709551615"},
            {"{\"hnsw\":{\"space\":[]}}", OCHRE_INVALID, "array"},
            {"{\"hnsw\":{\"space\":[\"l2\"]}}", OCHRE_INVALID, "array"},
            {"{\"hnsw\":{\"space\":{}}}", OCHRE_INVALID, "object"},
            {"{\"hnsw\":{\"space\":{\"l2\":1}}}", OCHRE_SHAPE, "object"},
            {"{\"spann\":{\"space\":5}}", OCHRE_INVALID, "configuration.spann.space"},
            {"{\"hnsw\":{\"foo\":1}}", OCHRE_SHAPE, "'foo'; allowed are ef_construction"},
            {"{\"hnsw\":{\"ef_search\":-1}}", OCHRE_SHAPE, "configuration.hnsw.ef_search is -1"},
            {"{\"hnsw\":{\"ef_search\":1.0}}", OCHRE_SHAPE, "number 1"},
            {"{\"hnsw\":{\"ef_search\":18446744073709551616}}", OCHRE_SHAPE,
                    "0 to 18446744073709551615"},
            {"{\"hnsw\":{\"ef_search\":true}}", OCHRE_SHAPE, "true"},
            {"{\"hnsw\":{\"max_neighbors\":\"x\"}}", OCHRE_SHAPE, "the string 'x'"},
            {"{\"hnsw\":{\"resize_factor\":\"1\"}}", OCHRE_SHAPE, "a number"},
            {"{\"hnsw\":{\"ef_search\":1,\"ef_search\":1}}", OCHRE_SHAPE, "'ef_search' twice"},
            {"{\"spann\":{\"foo\":1}}", OCHRE_SHAPE, "allowed are search_nprobe"},
            {"{\"spann\":{\"nreplica_count\":1}}", OCHRE_SHAPE, "unknown field"},
            {"{\"spann\":{\"search_nprobe\":4294967296}}", OCHRE_SHAPE, "0 to 4294967295"},
            {"{\"spann\":{\"ef_search\":\"\"}}", OCHRE_SHAPE, "configuration.spann.ef_search"},
            {"{\"embedding_function\":[]}", OCHRE_SHAPE, "configuration.embedding_function"},
            {"{\"embedding_function\":{}}", OCHRE_SHAPE, "lacks the field 'type'"},
            {"{\"embedding_function\":{\"type\":\"bad\"}}", OCHRE_SHAPE,
                    "'legacy' or 'known' or 'unknown'"},
            {"{\"embedding_function\":{\"type\":5}}", OCHRE_SHAPE, "a string"},
            {"{\"embedding_function\":{\"type\":\"known\"}}", OCHRE_SHAPE, "'name'"},
            {"{\"embedding_function\":{\"type\":\"known\",\"name\":\"x\"}}", OCHRE_SHAPE,
                    "'config'"},
            {"{\"embedding_function\":{\"type\":\"known\",\"name\":1,\"config\":1}}", OCHRE_SHAPE,
                    "embedding_function.name"},
            {"{\"embedding_function\":{\"type\":\"legacy\",\"type\":\"legacy\"}}", OCHRE_SHAPE,
                    "twice"},
            /* Well formed, but two kinds of index. */
            {"{\"hnsw\":{},\"spann\":{\"space\":\"ip\"}}", OCHRE_INVALID, "hnsw and spann"},
            /* The first problem is the one that is told. */
            {"{\"spann\":{\"space\":5},\"hnsw\":{\"foo\":1}}", OCHRE_INVALID, "space"},
            {"{\"hnsw\":{\"foo\":1},\"spann\":{\"space\":5}}", OCHRE_SHAPE, "foo"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world;
        const struct och_schema *schema = NULL;
        world_init(&world);
        check_refused(create(&world, cases[i].json, NULL, NULL, &schema), &cases[i], &world.err);
        check(schema == NULL);
        world_clear(&world);
    }
}

static void
schemas_of_the_wrong_shape_are_told_apart(void **state)
{
    static const struct bad_case cases[] = {
            {"\"x\"", OCHRE_SHAPE, "schema is the string 'x'"},
            {"{}", OCHRE_SHAPE, "lacks the field 'defaults'"},
            {"{\"keys\":{}}", OCHRE_SHAPE, "'defaults'"},
            {"{\"defaults\":{}}", OCHRE_SHAPE, "'keys'"},
            {"{\"defaults\":null,\"keys\":{}}", OCHRE_SHAPE, "schema.defaults is null"},
            {"{\"defaults\":{},\"keys\":[]}", OCHRE_SHAPE, "schema.keys is an array"},
            {"{\"defaults\":{},\"keys\":{},\"keys\":{}}", OCHRE_SHAPE, "twice"},
            {KEYS("\"c\":null"), OCHRE_SHAPE, "schema.keys.c is null"},
            {KEYS("\"c\":{\"string\":5}"), OCHRE_SHAPE, "schema.keys.c.string is 5"},
            {KEYS("\"c\":{\"string\":{\"string_inverted_index\":{\"enabled\":false}}}"),
                    OCHRE_SHAPE,
                    "schema.keys.c.string.string_inverted_index lacks the field 'config'"},
            {KEYS("\"c\":{\"string\":{\"string_inverted_index\":{\"config\":{}}}}"), OCHRE_SHAPE,
                    "'enabled'"},
            {KEYS("\"c\":{\"int\":{\"int_inverted_index\":{\"enabled\":1,\"config\":{}}}}"),
                    OCHRE_SHAPE, "int_inverted_index.enabled is 1; it must be true or false"},
            {KEYS("\"c\":{\"int\":{\"int_inverted_index\":{\"enabled\":true,\"config\":null}}}"),
                    OCHRE_SHAPE, "config is null"},
            {KEYS("\"c\":{\"int\":{\"int_inverted_index\":{\"enabled\":true,\"config\":{\"a\":1}}}}"),
                    OCHRE_SHAPE, "unknown field 'a'; it has no fields"},
            {KEYS("\"c\":{\"string\":{\"fts_index\":{\"enabled\":true,\"config\":{\"algorithm\":"
                  "\"trigram\"}}}}"),
                    OCHRE_SHAPE, "algorithm"},
            {DEFAULTS("\"int\":{},\"#int\":{}"), OCHRE_SHAPE, "'int' twice"},
            {DEFAULTS("\"int\":{\"int_inverted_index\":" ON ",\"int_inverted_index\":" ON "}"),
                    OCHRE_SHAPE, "twice"},
            {DEFAULTS(VECTOR("false", "\"foo\":1")), OCHRE_SHAPE,
                    "allowed are space, embedding_function, source_key, hnsw, spann"},
            {DEFAULTS(VECTOR("false", "\"space\":5")), OCHRE_INVALID, "config.space is 5"},
            {DEFAULTS(VECTOR("false", "\"space\":\"l3\"")), OCHRE_SHAPE, "l3"},
            {DEFAULTS(VECTOR("false", "\"source_key\":5")), OCHRE_SHAPE, "source_key"},
            {DEFAULTS(VECTOR("false", "\"hnsw\":{\"space\":\"l2\"}")), OCHRE_SHAPE, "'space'"},
            {DEFAULTS(VECTOR("false", "\"hnsw\":{\"ef_search\":\"1\"}")), OCHRE_SHAPE,
                    "schema.defaults.float_list.vector_index.config.hnsw.ef_search"},
            {DEFAULTS(VECTOR("false", "\"spann\":{\"space\":\"l2\"}")), OCHRE_SHAPE, "'space'"},
            {DEFAULTS(VECTOR("false", "\"spann\":{\"x\":1}")), OCHRE_SHAPE,
                    "allowed are search_nprobe, write_nprobe"},
            {DEFAULTS(VECTOR("false", "\"spann\":{\"x\":1}")), OCHRE_SHAPE, ", ..."},
            {DEFAULTS(VECTOR("false", "\"spann\":{\"quantize\":\"some\"}")), OCHRE_SHAPE,
                    "quantize"},
            {DEFAULTS(VECTOR("false", "\"spann\":{\"quantize\":null}")), OCHRE_INVALID, "quantize"},
            {DEFAULTS(VECTOR("false", "\"spann\":{\"initial_lambda\":\"1\"}")), OCHRE_SHAPE,
                    "initial_lambda"},
            {DEFAULTS(VECTOR("false", "\"embedding_function\":{}")), OCHRE_SHAPE,
                    "config.embedding_function lacks the field 'type'"},
            {DEFAULTS(SPARSE("false", "\"foo\":1")), OCHRE_SHAPE, "unknown field 'foo'"},
            {DEFAULTS(SPARSE("false", "\"bm25\":1")), OCHRE_SHAPE, "bm25"},
            {DEFAULTS(SPARSE("false", "\"algorithm\":\"x\"")), OCHRE_SHAPE, "algorithm"},
            {DEFAULTS(SPARSE("false", "\"algorithm\":null")), OCHRE_INVALID, "algorithm"},
            {"{\"defaults\":{},\"keys\":{},\"cmek\":\"gcp\"}", OCHRE_SHAPE, "schema.cmek"},
            {"{\"defaults\":{},\"keys\":{},\"cmek\":5}", OCHRE_INVALID, "schema.cmek"},
            {"{\"defaults\":{},\"keys\":{},\"cmek\":{}}", OCHRE_INVALID, "schema.cmek"},
            {"{\"defaults\":{},\"keys\":{},\"cmek\":{\"aws\":\"x\"}}", OCHRE_SHAPE, "'aws'"},
            {"{\"defaults\":{},\"keys\":{},\"cmek\":{\"gcp\":1}}", OCHRE_SHAPE, "schema.cmek.gcp"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world;
        const struct och_schema *schema = NULL;
        world_init(&world);
        check_refused(create(&world, NULL, cases[i].json, NULL, &schema), &cases[i], &world.err);
        world_clear(&world);
    }
}

static void
the_rules_on_where_an_index_may_be_are_kept(void **state)
{
#define CMEK(name) "{\"defaults\":{},\"keys\":{},\"cmek\":{\"gcp\":\"" name "\"}}"
    static const struct bad_case cases[] = {
            {DEFAULTS(VECTOR("true", "")), OCHRE_INVALID, "#embedding"},
            {DEFAULTS(VECTOR("false", "\"hnsw\":{},\"spann\":{}")), OCHRE_INVALID, "both hnsw and"},
            {DEFAULTS(SPARSE("true", "")), OCHRE_INVALID, "sparse vector index"},
            {DEFAULTS("\"string\":{\"fts_index\":" ON "}"), OCHRE_INVALID, "FTS"},
            {DEFAULTS(VECTOR("false", "\"source_key\":\"foo\"")), OCHRE_INVALID, "'foo'"},
            {KEYS("\"#foo\":{\"string\":{}}"), OCHRE_INVALID, "key '#foo' is invalid"},
            {KEYS("\"#\":{}"), OCHRE_INVALID, "reserved"},
            {KEYS("\"#document\":{\"int\":{}}"), OCHRE_INVALID, "but string"},
            {KEYS("\"#embedding\":{\"string\":{}}"), OCHRE_INVALID, "but float_list"},
            {KEYS("\"foo\":{" VECTOR("true", "") "}"), OCHRE_INVALID, "'foo'"},
            {KEYS("\"#embedding\":{" VECTOR("true", "\"source_key\":\"foo\"") "}"), OCHRE_INVALID,
                    "must be #document"},
            {KEYS("\"#embedding\":{" VECTOR("true", "\"source_key\":\"\"") "}"), OCHRE_INVALID,
                    "must be #document"},
            {KEYS("\"s\":{" SPARSE("true", "\"source_key\":\"foo\"") "}"), OCHRE_INVALID,
                    "needs an embedding_function"},
            {KEYS("\"s\":{" SPARSE("false", "\"source_key\":\"#foo\"") "}"), OCHRE_INVALID,
                    "'#foo'"},
            {KEYS("\"foo\":{\"string\":{\"fts_index\":" ON "}}"), OCHRE_INVALID, "#document"},
            {KEYS("\"#document\":{\"string\":{\"string_inverted_index\":" ON "}}"), OCHRE_INVALID,
                    "string inverted index"},
            {KEYS("\"#embedding\":{" VECTOR("true", "\"hnsw\":{\"batch_size\":1}") "}"),
                    OCHRE_INVALID, "hnsw.batch_size of '#embedding' is 1; it must be at least 2"},
            {DEFAULTS(VECTOR("false", "\"hnsw\":{\"sync_threshold\":0}")), OCHRE_INVALID,
                    "sync_threshold"},
            {KEYS("\"#embedding\":{" VECTOR("true", "\"spann\":{\"split_threshold\":49}") "}"),
                    OCHRE_INVALID, "from 50 to 200"},
            {KEYS("\"#embedding\":{" VECTOR("true", "\"spann\":{\"search_nprobe\":129}") "}"),
                    OCHRE_INVALID, "from 0 to 128"},
            {CMEK("bad"), OCHRE_INVALID, "'bad'"},
            {CMEK(""), OCHRE_INVALID, "cmek"},
            {CMEK("projects//locations/l/keyRings/k/cryptoKeys/c"), OCHRE_INVALID, "cmek"},
            {CMEK("projects/p/locations/l/keyRings/k/cryptoKeys/"), OCHRE_INVALID, "cmek"},
            {CMEK("projects/p/locations/l/keyRings/k/cryptoKeys/c/"), OCHRE_INVALID, "cmek"},
            {CMEK("projects/p/locations/l/keyRings/k"), OCHRE_INVALID, "cmek"},
            {CMEK("projects/p/locations/l/keyrings/k/cryptoKeys/c"), OCHRE_INVALID, "cmek"},
            {KEYS("\"s\":{" SPARSE("true", "") "}"), OCHRE_INVALID,
                    "Sparse vector indexing is not enabled in local"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world;
        const struct och_schema *schema = NULL;
        world_init(&world);
        check_refused(create(&world, NULL, cases[i].json, NULL, &schema), &cases[i], &world.err);
        world_clear(&world);
    }
}

/* --- limits ---------------------------------------------------------------------------- */

static void
an_embedding_functions_config_may_nest_to_the_limit(void **state)
{
    (void) state;
    for (size_t depth = OCH_EMBEDDING_DEPTH_MAX - 1; depth <= OCH_EMBEDDING_DEPTH_MAX + 1;
            depth++) {
        struct world world;
        struct och_buf buf;
        const struct och_schema *schema = NULL;
        struct ochre_bytes stored;
        world_init(&world);
        och_buf_init(&buf, &world.mem, SIZE_MAX);
        och_buf_put_text(
                &buf, "{\"embedding_function\":{\"type\":\"known\",\"name\":\"x\",\"config\":");
        for (size_t i = 0; i < depth; i++)
            och_buf_put_text(&buf, i % 2 == 0 ? "[1," : "{\"a\":0,\"b\":");
        och_buf_put_text(&buf, "null");
        for (size_t i = depth; i-- > 0;)
            och_buf_put_text(&buf, i % 2 == 0 ? ",[2]]" : ",\"c\":3}");
        och_buf_put_text(&buf, "}}");
        const char *text = text_of(&world, &buf);

        ochre_status status = create(&world, text, NULL, NULL, &schema);
        if (depth > OCH_EMBEDDING_DEPTH_MAX) {
            check(status == OCHRE_INVALID);
            check(strstr(world.err.message, "at most 100") != NULL);
        } else {
            /* What was accepted can be read again. */
            check_ok(status, &world.err);
            check_ok(och_schema_store(&world.arena, schema, &stored, &world.err), &world.err);
            check_ok(och_schema_parse(&world.arena, stored, &schema, &world.err), &world.err);
        }
        world_clear(&world);
    }
}

/* A schema whose stored text has exactly `size` bytes. */
static ochre_status
store_schema_of(size_t size, struct ochre_error *err)
{
    struct world world;
    struct och_buf buf;
    const struct och_schema *schema = NULL;
    struct ochre_bytes stored;
    world_init(&world);
    och_buf_init(&buf, &world.mem, SIZE_MAX);
    och_buf_put_text(&buf, "{\"defaults\":{},\"keys\":{\"");
    for (size_t i = 0; i < size - (sizeof(default_schema) - 1) - 6; i++)
        och_buf_put_u8(&buf, 'k');
    och_buf_put_text(&buf, "\":{}}}");
    check_ok(create(&world, NULL, text_of(&world, &buf), NULL, &schema), &world.err);
    ochre_status status = och_schema_store(&world.arena, schema, &stored, err);
    if (status == OCHRE_OK)
        check(stored.size == size);
    else
        check(stored.data == NULL);
    world_clear(&world);
    return status;
}

static void
a_schema_may_be_as_large_as_the_limit_and_no_larger(void **state)
{
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    check_ok(store_schema_of(OCH_SCHEMA_SIZE_MAX - 1, &err), &err);
    check_ok(store_schema_of(OCH_SCHEMA_SIZE_MAX, &err), &err);
    check(store_schema_of(OCH_SCHEMA_SIZE_MAX + 1, &err) == OCHRE_INVALID);
    check(strstr(err.message, "1048577 bytes; at most 1048576") != NULL);
}

static void
more_keys_than_can_be_stored_are_refused_early(void **state)
{
    struct world world;
    struct och_buf buf;
    const struct och_schema *schema = NULL;
    (void) state;
    world_init(&world);
    och_buf_init(&buf, &world.mem, SIZE_MAX);
    och_buf_put_text(&buf, "{\"defaults\":{},\"keys\":{\"\":{}");
    for (size_t i = 0; i < OCH_SCHEMA_SIZE_MAX / 6; i++)
        och_buf_put_text(&buf, ",\"\":{}");
    och_buf_put_text(&buf, "}}");
    check(create(&world, NULL, text_of(&world, &buf), NULL, &schema) == OCHRE_INVALID);
    check(strstr(world.err.message, "174763 keys") != NULL);
    world_clear(&world);
}

/* --- changing ---------------------------------------------------------------------------- */

static ochre_status
change(struct world *world, const struct och_schema *schema, const char *json,
        const struct och_schema **schema_out)
{
    struct och_schema_change parsed;
    *schema_out = NULL;
    ochre_status status = och_schema_change_parse(tree(world, json), &parsed, &world->err);
    if (status != OCHRE_OK)
        return status;
    return och_schema_apply(&world->arena, schema, &parsed, schema_out, &world->err);
}

static void
a_change_shows_in_both_vector_indexes(void **state)
{
    static const struct good_case cases[] = {
            {NULL, NULL, {{0}}, {{0}}},
            {"null", NULL, {{0}}, {{0}}},
            {"{}", NULL, {{0}}, {{0}}},
            {"{\"foo\":1,\"hnsw\":null,\"embedding_function\":null}", NULL, {{0}}, {{0}}},
            {"{\"spann\":{\"search_nprobe\":3,\"ef_search\":4}}", NULL, {{0}}, {{0}}},
            {"{\"hnsw\":{\"ef_search\":7}}", NULL, {{"ef_search\":100", "ef_search\":7"}},
                    {{"ef_search\":100", "ef_search\":7"}}},
            {"{\"hnsw\":{\"ef_search\":8,\"max_neighbors\":9,\"resize_factor\":2,"
             "\"sync_threshold\":77,\"batch_size\":1,\"num_threads\":3}}",
                    NULL,
                    {{HNSW,
                            "\"hnsw\":{\"ef_construction\":100,\"max_neighbors\":9,"
                            "\"ef_search\":8,\"num_threads\":3,\"batch_size\":1,"
                            "\"sync_threshold\":77,\"resize_factor\":2.0}"}},
                    {{"\"max_neighbors\":16,\"ef_search\":100",
                             "\"max_neighbors\":9,\"ef_search\":8"},
                            {"1000,\"resize_factor\":1.2", "77,\"resize_factor\":2.0"}}},
            {"{\"embedding_function\":{\"type\":\"legacy\"}}", NULL, WITH("{\"type\":\"legacy\"}"),
                    SHOWS("{\"type\":\"legacy\"}")},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world;
        const struct och_schema *schema = NULL;
        const struct och_schema *changed = NULL;
        const struct edit none[1] = {{0}};
        world_init(&world);
        check_ok(create(&world, NULL, NULL, NULL, &schema), &world.err);
        check_ok(change(&world, schema, cases[i].configuration, &changed), &world.err);
        check_answers(&world, changed, cases[i].schema_edits, cases[i].configuration_edits);
        check_answers(&world, schema, none, none); /* the old one stays as it was */
        world_clear(&world);
    }
}

static void
a_change_leaves_what_it_does_not_name(void **state)
{
    struct world world;
    const struct och_schema *schema = NULL;
    (void) state;
    world_init(&world);
    check_ok(create(&world,
                     "{\"hnsw\":{\"space\":\"ip\",\"ef_search\":5},"
                     "\"embedding_function\":{\"type\":\"legacy\"}}",
                     NULL, NULL, &schema),
            &world.err);
    check_ok(change(&world, schema, "{\"hnsw\":{\"max_neighbors\":6}}", &schema), &world.err);
    check(och_schema_space(schema) == OCHRE_SPACE_IP);
    check(och_schema_hnsw(schema)->ef_search == 5);
    check(och_schema_hnsw(schema)->max_neighbors == 6);
    check(strstr(configuration_text(&world, schema), "legacy") != NULL);
    check_ok(change(&world, schema,
                     "{\"embedding_function\":{\"type\":\"known\",\"name\":\"x\",\"config\":1}}",
                     &schema),
            &world.err);
    check(och_schema_hnsw(schema)->ef_search == 5);
    check_ok(change(&world, schema, "{\"hnsw\":{\"resize_factor\":18446744073709551615}}", &schema),
            &world.err);
    check(och_schema_hnsw(schema)->resize_factor == 18446744073709551615.0);
    check(strstr(configuration_text(&world, schema), "\"name\":\"x\",\"config\":1}") != NULL);
    world_clear(&world);
}

static void
a_recall_target_may_change(void **state)
{
    static const struct {
        const char *change;
        double wanted;
    } steps[] = {
            {"{\"recall_target\":0.5}", 0.5},
            {"{}", 0.5},
            {"{\"recall_target\":null}", 0.5},
            {"{\"hnsw\":{\"recall_target\":0.75}}", 0.75},
            {"{\"spann\":{\"recall_target\":1}}", 1},
            {"{\"recall_target\":0.99}", 0},
            {"{\"hnsw\":{}}", 0},
            {"{\"spann\":{\"recall_target\":0.25}}", 0.25},
    };
    struct world world;
    const struct och_schema *schema = NULL;
    (void) state;
    world_init(&world);
    check_ok(create(&world, NULL, NULL, NULL, &schema), &world.err);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        check_ok(change(&world, schema, steps[i].change, &schema), &world.err);
        check_recall(&world, schema, steps[i].wanted);
    }
    world_clear(&world);
}

/* What nobody is known to have chosen is no wish, and no wish is without bounds. */
static void
graph_parameters_are_floors_for_the_engine(void **state)
{
    struct world world;
    const struct och_schema *schema = NULL;
    (void) state;
    world_init(&world);
    check_ok(create(&world, "{\"hnsw\":{\"space\":\"ip\",\"ef_search\":100}}", NULL, NULL, &schema),
            &world.err);
    struct och_collection_settings settings = och_schema_settings(schema);
    check(settings.space == OCHRE_SPACE_IP && settings.ef_search_floor == 100);
    check(settings.ef_construction_floor == 0 && settings.max_neighbors_floor == 0);
    check_ok(create(&world,
                     "{\"hnsw\":{\"ef_construction\":65535,\"max_neighbors\":65537,"
                     "\"ef_search\":0}}",
                     NULL, NULL, &schema),
            &world.err);
    settings = och_schema_settings(schema);
    check(settings.ef_construction_floor == 65535 && settings.max_neighbors_floor == 65536);
    check(settings.ef_search_floor == 0);
    check_ok(change(&world, schema, "{\"hnsw\":{\"ef_search\":18446744073709551615}}", &schema),
            &world.err);
    settings = och_schema_settings(schema);
    check(settings.ef_search_floor == 65536 && settings.ef_construction_floor == 65535);
    /* Another recall is a wish of its own: the standard is not in its way. */
    check_ok(create(&world, "{\"recall_target\":0.9}", NULL, NULL, &schema), &world.err);
    check(och_schema_settings(schema).ef_search_floor == 0);
    check_ok(create(&world, "{\"recall_target\":0.9,\"hnsw\":{\"ef_search\":120}}", NULL, NULL,
                     &schema),
            &world.err);
    check(och_schema_settings(schema).ef_search_floor == 120);
    world_clear(&world);
}

static void
changes_of_the_wrong_shape_are_told_apart(void **state)
{
    static const struct bad_case cases[] = {
            {"\"x\"", OCHRE_SHAPE, "new_configuration is the string 'x'"},
            {"{\"hnsw\":{\"space\":\"cosine\"}}", OCHRE_SHAPE, "'space'"},
            {"{\"hnsw\":{\"ef_construction\":1}}", OCHRE_SHAPE,
                    "allowed are max_neighbors, ef_search, num_threads, batch_size, "
                    "sync_threshold, resize_factor"},
            {"{\"hnsw\":{\"ef_search\":-1}}", OCHRE_SHAPE, "new_configuration.hnsw.ef_search"},
            {"{\"spann\":{\"foo\":3}}", OCHRE_SHAPE, "allowed are search_nprobe, ef_search"},
            {"{\"spann\":{\"space\":\"l2\"}}", OCHRE_SHAPE, "'space'"},
            {"{\"embedding_function\":{}}", OCHRE_SHAPE, "'type'"},
            {"{\"hnsw\":{},\"spann\":{}}", OCHRE_INVALID, "hnsw and spann"},
            {"{\"recall_target\":1.25}", OCHRE_INVALID,
                    "new_configuration.recall_target is the number 1.25"},
            {"{\"hnsw\":{\"recall_target\":\"x\"}}", OCHRE_SHAPE,
                    "new_configuration.hnsw.recall_target is the string 'x'"},
            {"{\"hnsw\":{\"recall_target\":0.5},\"recall_target\":0.75}", OCHRE_INVALID,
                    "new_configuration gives recall_target as 0.75 and as 0.5"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world;
        const struct och_schema *schema = NULL;
        const struct och_schema *changed = NULL;
        world_init(&world);
        check_ok(create(&world, NULL, NULL, NULL, &schema), &world.err);
        check_refused(change(&world, schema, cases[i].json, &changed), &cases[i], &world.err);
        check(changed == NULL);
        world_clear(&world);
    }
}

/* --- growth -------------------------------------------------------------------------------- */

static void
keys_seen_in_records_take_their_indexes_from_the_defaults(void **state)
{
    static const struct och_key seen[] = {
            {{"", 0}, 1u << OCHRE_VALUE_BOOL},
            {{"cat", 3}, 1u << OCHRE_VALUE_STRING | 1u << OCHRE_VALUE_INT},
            {{"i", 1}, 1u << OCHRE_VALUE_STRING | 1u << OCHRE_VALUE_INT},
            {{"z", 1}, 1u << OCHRE_VALUE_FLOAT},
    };
#define INT_OFF "\"int\":{\"int_inverted_index\":" OFF "}"
#define CAT "\"string\":{\"string_inverted_index\":" OFF "}"
#define STRING "\"string\":{\"fts_index\":" OFF ",\"string_inverted_index\":" ON "}"
    static const struct edit edits[] = {
            {"\"int\":{\"int_inverted_index\":" ON "}", INT_OFF},
            {"\"keys\":{", "\"keys\":{\"\":{\"bool\":{\"bool_inverted_index\":" ON "}},"},
            {"1.2}}}}}}}",
                    "1.2}}}}},\"cat\":{" CAT "," INT_OFF "},\"i\":{" STRING "," INT_OFF "},"
                    "\"k\":{},\"z\":{\"float\":{\"float_inverted_index\":" ON "}}}}"},
            {0},
    };
    struct world world;
    const struct och_schema *schema = NULL;
    struct ochre_bytes stored;
    (void) state;
    world_init(&world);
    check_ok(create(&world, NULL,
                     "{\"defaults\":{\"int\":{\"int_inverted_index\":" OFF "}},"
                     "\"keys\":{\"k\":{},\"cat\":{" CAT "}}}",
                     NULL, &schema),
            &world.err);
    check_text(schema_text(&world, schema, seen, sizeof(seen) / sizeof(seen[0])),
            edited(&world, default_schema, edits));
    /* It is not part of what is stored. */
    check_ok(och_schema_store(&world.arena, schema, &stored, &world.err), &world.err);
    check(strstr(stored.data, "\"z\"") == NULL);
    world_clear(&world);
}

/* --- filters ---------------------------------------------------------------------------------- */

static struct ochre_filter_node
leaf(const char *key, ochre_value_type type)
{
    return (struct ochre_filter_node){.op = OCHRE_FILTER_EQ,
            .field = OCHRE_FIELD_METADATA,
            .size = 1,
            .key = bytes_of(key),
            .value = {.type = type}};
}

static void
a_filter_needs_the_index_of_its_operands_type(void **state)
{
    static const struct {
        const char *key;
        ochre_value_type type;
        const char *refused; /* the index named, or NULL */
    } cases[] = {
            {"i", OCHRE_VALUE_INT, "int"},
            {"i", OCHRE_VALUE_INT_LIST, "int"},
            {"i", OCHRE_VALUE_FLOAT, NULL},
            {"i", OCHRE_VALUE_FLOAT_LIST, NULL},
            {"i", OCHRE_VALUE_BOOL, NULL},
            {"i", OCHRE_VALUE_BOOL_LIST, NULL},
            {"i", OCHRE_VALUE_STRING, NULL},
            {"cat", OCHRE_VALUE_STRING, "string"},
            {"cat", OCHRE_VALUE_STRING_LIST, "string"},
            {"cat", OCHRE_VALUE_INT, "int"},
            {"cat", OCHRE_VALUE_FLOAT, NULL},
            {"own", OCHRE_VALUE_INT, NULL}, /* its own entry is on */
            {"i", OCHRE_VALUE_NULL, NULL},
            {"bare", OCHRE_VALUE_INT, "int"}, /* an entry that says nothing */
            {"#document", OCHRE_VALUE_STRING, "string"},
    };
    struct world world;
    const struct och_schema *schema = NULL;
    (void) state;
    world_init(&world);
    check_ok(create(&world, NULL,
                     "{\"defaults\":{\"int\":{\"int_inverted_index\":" OFF "}},"
                     "\"keys\":{\"cat\":{\"string\":{\"string_inverted_index\":" OFF "}},"
                     "\"own\":{\"int\":{\"int_inverted_index\":" ON "}},\"bare\":{\"int\":{}}}}",
                     NULL, &schema),
            &world.err);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* The leaf in question comes last, below two operators. */
        struct ochre_filter_node nodes[] = {
                {.op = OCHRE_FILTER_AND, .size = 5},
                leaf("fine", OCHRE_VALUE_STRING),
                {.op = OCHRE_FILTER_OR, .size = 3},
                {.op = OCHRE_FILTER_IN, .field = OCHRE_FIELD_ID, .size = 1},
                leaf(cases[i].key, cases[i].type),
        };
        struct ochre_filter filter = {nodes, sizeof(nodes) / sizeof(nodes[0])};
        ochre_status status = och_schema_check_filter(schema, &filter, &world.err);
        if (cases[i].refused == NULL) {
            check_ok(status, &world.err);
            continue;
        }
        char start[80];
        (void) snprintf(
                start, sizeof(start), "Cannot filter using metadata key '%s'", cases[i].key);
        check(status == OCHRE_INVALID);
        check(strncmp(world.err.message, start, strlen(start)) == 0);
        check(strstr(world.err.message, cases[i].refused) != NULL);
    }
    check_ok(och_schema_check_filter(schema, &(struct ochre_filter){NULL, 0}, &world.err),
            &world.err);
    world_clear(&world);
}

static void
a_filter_on_documents_needs_the_full_text_index(void **state)
{
    static const struct ochre_filter_node node = {.op = OCHRE_FILTER_CONTAINS,
            .field = OCHRE_FIELD_DOCUMENT,
            .size = 1,
            .value = {.type = OCHRE_VALUE_STRING, .as.string = {"d", 1}}};
    static const struct ochre_filter filter = {&node, 1};
    struct world world;
    const struct och_schema *schema = NULL;
    (void) state;
    world_init(&world);
    check_ok(create(&world, NULL, NULL, NULL, &schema), &world.err);
    check_ok(och_schema_check_filter(schema, &filter, &world.err), &world.err);
    check_ok(create(&world, NULL, KEYS("\"#document\":{\"string\":{\"fts_index\":" OFF "}}"), NULL,
                     &schema),
            &world.err);
    check(och_schema_check_filter(schema, &filter, &world.err) == OCHRE_INVALID);
    check(strstr(world.err.message, "FTS") != NULL);
    world_clear(&world);
}

/* --- storing ------------------------------------------------------------------------------------ */

static void
what_is_not_a_stored_schema_is_corrupt(void **state)
{
    static const struct edit damage[] = {
            {"\"enabled\":true", "\"enabled\":1"},
            {"\"ef_search\":100,", ""},
            {"\"space\":\"l2\",", ""},
            {"\"space\":\"l2\",", "\"space\":\"l3\","},
            {"\"bool\":{\"bool_inverted_index\":" ON "}", "\"bool\":{}"},
            {",\"bool\":{\"bool_inverted_index\":" ON "}", ""},
            {"#document\":{\"string\"", "document\":{\"string\""},
            {"\"#embedding\"", "\"embedding\""},
            {"\"spann\"", "\"spann\""},
            {"{\"defaults\"", "[{\"defaults\""},
            {"\"hnsw\":", "\"spann\":{},\"hnsw\":"},
    };
    struct world world;
    const struct och_schema *schema = NULL;
    (void) state;
    world_init(&world);
    for (size_t i = 0; i < sizeof(damage) / sizeof(damage[0]); i++) {
        if (strcmp(damage[i].from, damage[i].to) == 0)
            continue;
        const struct edit edits[EDITS_MAX] = {damage[i]};
        const char *text = edited(&world, default_schema, edits);
        ochre_status status = och_schema_parse(&world.arena, bytes_of(text), &schema, &world.err);
        if (status != OCHRE_CORRUPT)
            print_error("damage %zu was not noticed\n", i);
        check(status == OCHRE_CORRUPT && schema == NULL);
        check(strncmp(world.err.message, "stored schema", 13) == 0);
    }
    for (size_t size = 0; size < sizeof(default_schema) - 1; size++) {
        struct ochre_bytes text = {default_schema, size};
        check(och_schema_parse(&world.arena, text, &schema, &world.err) == OCHRE_CORRUPT);
    }
    world_clear(&world);
}

/* Keys in any order, many of them twice, against a plain array. */
static void
keys_are_found_as_in_a_plain_list(void **state)
{
    enum { N = 300, N_NAMES = 400 };
    uint64_t seed = 11;
    (void) state;
    for (int round = 0; round < 20; round++) {
        struct world world;
        struct och_buf buf;
        const struct och_schema *schema = NULL;
        int model[N_NAMES] = {0}; /* 0 absent, 1 empty, 2 with an int member */
        world_init(&world);
        och_buf_init(&buf, &world.mem, SIZE_MAX);
        och_buf_put_text(&buf, "{\"defaults\":{},\"keys\":{\"x\":{}");
        for (int i = 0; i < N; i++) {
            char text[64];
            unsigned name = (unsigned) och_random_below(&seed, N_NAMES);
            model[name] = 1 + (int) och_random_below(&seed, 2);
            (void) snprintf(text, sizeof(text), ",\"%x\":{%s}", name * 7919u,
                    model[name] == 2 ? "\"int\":{}" : "");
            och_buf_put_text(&buf, text);
        }
        och_buf_put_text(&buf, "}}");
        check_ok(create(&world, NULL, text_of(&world, &buf), NULL, &schema), &world.err);
        for (unsigned name = 0; name < N_NAMES; name++) {
            char text[16];
            (void) snprintf(text, sizeof(text), "%x", name * 7919u);
            const struct och_value_types *types = och_schema_find(schema, bytes_of(text));
            check((types != NULL) == (model[name] != 0));
            check(types == NULL || types->members == (model[name] == 2 ? OCH_MEMBER_INT : 0u));
        }
        for (size_t i = 1; i < schema->n_keys; i++) {
            struct ochre_bytes a = schema->keys[i - 1].key;
            struct ochre_bytes b = schema->keys[i].key;
            int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
            check(order < 0 || (order == 0 && a.size < b.size));
        }
        world_clear(&world);
    }
}

/* --- memory -------------------------------------------------------------------------------------- */

static bool
make_change_and_store(struct och_mem *mem)
{
    static const char configuration[] = "{\"embedding_function\":{\"type\":\"known\","
                                        "\"name\":\"default\",\"config\":{\"a\":[1,2]}}}";
    static const char wishes[] =
            "{\"defaults\":{" VECTOR("false", "\"space\":\"ip\"") "},\"keys\":{\"b\":{" VECTOR(
                    "false", "\"spann\":{\"ef_search\":3}") "},\"a\":{" SPARSE("false", "") "}}}";
    static const char update[] = "{\"hnsw\":{\"ef_search\":7}}";
    struct och_arena arena;
    struct och_json *trees[3] = {NULL, NULL, NULL};
    struct och_schema_request *request = NULL;
    struct och_schema_change changes;
    const struct och_schema *schema = NULL;
    struct ochre_bytes stored = {NULL, 0};

    och_arena_init(&arena, mem);
    ochre_status status =
            och_json_parse(&arena, configuration, sizeof(configuration) - 1, &trees[0], NULL);
    if (status == OCHRE_OK)
        status = och_json_parse(&arena, wishes, sizeof(wishes) - 1, &trees[1], NULL);
    if (status == OCHRE_OK)
        status = och_json_parse(&arena, update, sizeof(update) - 1, &trees[2], NULL);
    if (status == OCHRE_OK)
        status = och_schema_request_parse(&arena, trees[0], trees[1], &request, NULL);
    if (status == OCHRE_OK)
        status = och_schema_build(&arena, request, NULL, N_CPUS, &schema, NULL);
    if (status == OCHRE_OK)
        status = och_schema_change_parse(trees[2], &changes, NULL);
    if (status == OCHRE_OK)
        status = och_schema_apply(&arena, schema, &changes, &schema, NULL);
    if (status == OCHRE_OK)
        status = och_schema_store(&arena, schema, &stored, NULL);
    if (status == OCHRE_OK)
        status = och_schema_parse(&arena, stored, &schema, NULL);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    if (status == OCHRE_OK)
        check(och_schema_hnsw(schema)->ef_search == 7);
    och_arena_clear(&arena);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(make_change_and_store);
}

/* An arena asks for memory a block at a time, so most of its allocations cannot
 * fail in the test above.  Here the first block is filled up to `n_left` bytes,
 * more or less, and there is no second one. */
static ochre_status
work_in(size_t n_left, const struct och_json *trees[3], const struct och_schema *schema)
{
    struct och_mem mem;
    struct och_arena arena;
    struct och_schema_request *request = NULL;
    struct och_schema_change changes;
    const struct och_schema *made = NULL;
    struct ochre_error err = {.status = OCHRE_OK};

    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    check(och_arena_take(&arena, 16) != NULL);
    while (arena.left > n_left + 16)
        check(och_arena_take(&arena, 16) != NULL);
    mem.limit = och_mem_used(&mem);

    ochre_status status = OCHRE_OK;
    if (schema != NULL) {
        status = och_schema_change_parse(trees[2], &changes, &err);
        if (status == OCHRE_OK)
            status = och_schema_apply(&arena, schema, &changes, &made, &err);
    } else {
        status = och_schema_request_parse(&arena, trees[0], trees[1], &request, &err);
        if (status == OCHRE_OK)
            status = och_schema_build(&arena, request, NULL, N_CPUS, &made, &err);
    }
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    check(err.status == status && (made != NULL) == (status == OCHRE_OK));
    och_arena_clear(&arena);
    check(och_mem_used(&mem) == 0);
    return status;
}

static void
memory_may_run_out_anywhere(void **state)
{
    struct world world;
    const struct och_json *trees[3];
    const struct och_schema *schema = NULL;
    (void) state;
    world_init(&world);
    trees[0] = tree(&world, "{\"hnsw\":{}}");
    trees[1] = tree(&world,
            "{\"defaults\":{" VECTOR("false", "\"space\":\"ip\"") "," SPARSE(
                    "false", "") "},\"keys\":{\"b\":{" VECTOR("false",
                    "\"spann\":{\"ef_search\":3}") "},\"a\":{" SPARSE("false", "") "}}}");
    trees[2] = tree(&world, "{\"hnsw\":{\"ef_search\":7}}");
    check_ok(create(&world, NULL, NULL, NULL, &schema), &world.err);

    const struct och_schema *const subjects[] = {NULL, schema};
    for (size_t i = 0; i < 2; i++) {
        size_t n_left = 0;
        while (work_in(n_left, trees, subjects[i]) == OCHRE_NO_MEMORY) {
            n_left += 16;
            check(n_left < 4096);
        }
        check(n_left > 300); /* it did need some */
    }
    world_clear(&world);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(whoever_wishes_nothing_gets_the_default_schema),
            cmocka_unit_test(a_configuration_sets_both_vector_indexes),
            cmocka_unit_test(an_embedding_function_comes_back_as_it_was_sent),
            cmocka_unit_test(hnsw_metadata_is_a_configuration),
            cmocka_unit_test(unsound_hnsw_metadata_is_refused),
            cmocka_unit_test(a_recall_target_is_taken_from_wherever_it_is_given),
            cmocka_unit_test(a_recall_target_goes_with_any_configuration_and_schema),
            cmocka_unit_test(unsound_recall_targets_are_refused),
            cmocka_unit_test(a_recall_target_may_change),
            cmocka_unit_test(a_schema_is_merged_over_the_default_one),
            cmocka_unit_test(other_keys_are_stored_as_given),
            cmocka_unit_test(schema_and_configuration_may_not_both_have_wishes),
            cmocka_unit_test(configurations_of_the_wrong_shape_are_told_apart),
            cmocka_unit_test(schemas_of_the_wrong_shape_are_told_apart),
            cmocka_unit_test(the_rules_on_where_an_index_may_be_are_kept),
            cmocka_unit_test(an_embedding_functions_config_may_nest_to_the_limit),
            cmocka_unit_test(a_schema_may_be_as_large_as_the_limit_and_no_larger),
            cmocka_unit_test(more_keys_than_can_be_stored_are_refused_early),
            cmocka_unit_test(a_change_shows_in_both_vector_indexes),
            cmocka_unit_test(a_change_leaves_what_it_does_not_name),
            cmocka_unit_test(graph_parameters_are_floors_for_the_engine),
            cmocka_unit_test(changes_of_the_wrong_shape_are_told_apart),
            cmocka_unit_test(keys_seen_in_records_take_their_indexes_from_the_defaults),
            cmocka_unit_test(a_filter_needs_the_index_of_its_operands_type),
            cmocka_unit_test(a_filter_on_documents_needs_the_full_text_index),
            cmocka_unit_test(what_is_not_a_stored_schema_is_corrupt),
            cmocka_unit_test(keys_are_found_as_in_a_plain_list),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
            cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
