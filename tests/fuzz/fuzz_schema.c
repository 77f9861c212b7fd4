/*
 * fuzz_schema.c - the input is a request: {"configuration": ..., "schema": ...,
 * "metadata": ..., "new_configuration": ...}, all optional.
 *
 * Whatever is built must come back from its stored text the same, before and
 * after the change; whatever is refused must say why in valid UTF-8.  Short of
 * memory (shortage.h), reading gives the same verdict or says so.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "api/schema.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "fuzz/shortage.h"
#include "index/meta/keys.h"

enum { N_CPUS = 2, FIELDS_MAX = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_told(ochre_status status, const struct ochre_error *err)
{
    och_assert(status == OCHRE_SHAPE || status == OCHRE_INVALID);
    och_assert(err->status == status && err->message[0] != '\0');
    och_assert(och_utf8_is_valid(err->message, strlen(err->message)));
}

/* The scalars of a metadata object. */
static size_t
read_fields(const struct och_json *json, struct ochre_field fields[FIELDS_MAX])
{
    size_t n = 0;
    if (json == NULL || json->kind != OCH_JSON_KIND_OBJECT)
        return 0;
    for (const struct och_json *at = json->first; at != NULL && n < FIELDS_MAX; at = at->next) {
        struct ochre_value value = {.type = OCHRE_VALUE_BOOL};
        if (at->kind == OCH_JSON_KIND_INT) {
            value.type = OCHRE_VALUE_INT;
            value.as.integer = at->as.integer;
        } else if (at->kind == OCH_JSON_KIND_FLOAT) {
            value.type = OCHRE_VALUE_FLOAT;
            value.as.number = at->as.number;
        } else if (at->kind == OCH_JSON_KIND_STRING) {
            value.type = OCHRE_VALUE_STRING;
            value.as.string = at->as.string;
        }
        fields[n++] = (struct ochre_field){at->key, value};
    }
    return n;
}

static void
put_answers(struct och_buf *buf, const struct och_schema *schema)
{
    static const struct och_key seen[] = {
            {{"a", 1}, 1u << OCHRE_VALUE_INT | 1u << OCHRE_VALUE_STRING},
            {{"b", 1}, 1u << OCHRE_VALUE_BOOL | 1u << OCHRE_VALUE_FLOAT},
    };
    och_schema_put(buf, schema, NULL, 0);
    och_schema_put_configuration(buf, schema);
    och_schema_put(buf, schema, seen, sizeof(seen) / sizeof(seen[0]));
}

/* What is stored and read again gives the same answers and the same text. */
static void
check_round_trip(struct och_arena *arena, const struct och_schema *schema)
{
    struct och_buf before, after;
    struct ochre_error err;
    struct ochre_bytes stored, again;
    const struct och_schema *read = NULL;

    ochre_status status = och_schema_store(arena, schema, &stored, &err);
    if (status != OCHRE_OK) {
        check_told(status, &err);
        return;
    }
    och_assert(och_schema_parse(arena, stored, &read, &err) == OCHRE_OK);
    och_assert(och_schema_store(arena, read, &again, &err) == OCHRE_OK);
    och_assert(och_bytes_equal(stored, again));

    och_buf_init(&before, arena->mem, SIZE_MAX);
    och_buf_init(&after, arena->mem, SIZE_MAX);
    put_answers(&before, schema);
    put_answers(&after, read);
    och_assert(och_buf_status(&before) == OCHRE_OK && och_buf_status(&after) == OCHRE_OK);
    och_assert(before.size == after.size && memcmp(before.data, after.data, after.size) == 0);
    och_buf_clear(&before);
    och_buf_clear(&after);
    och_assert(och_schema_space(read) == och_schema_space(schema));
    och_assert(och_schema_hnsw(read)->given == OCH_HNSW_ALL);
}

static void
run_request(struct och_arena *arena, const struct och_json *root)
{
    struct ochre_field fields[FIELDS_MAX];
    struct ochre_metadata metadata = {fields, read_fields(och_json_get(root, "metadata"), fields)};
    struct ochre_error err = {.status = OCHRE_OK};
    struct och_schema_request *request = NULL;
    struct och_schema_change change;
    const struct och_schema *schema = NULL;

    ochre_status status = och_schema_request_parse(arena, och_json_get(root, "configuration"),
            och_json_get(root, "schema"), &request, &err);
    if (status == OCHRE_OK)
        status = och_schema_build(arena, request, &metadata, N_CPUS, &schema, &err);
    if (status != OCHRE_OK) {
        check_told(status, &err);
        return;
    }
    check_round_trip(arena, schema);

    status = och_schema_change_parse(och_json_get(root, "new_configuration"), &change, &err);
    if (status == OCHRE_OK)
        status = och_schema_apply(arena, schema, &change, &schema, &err);
    if (status != OCHRE_OK) {
        check_told(status, &err);
        return;
    }
    check_round_trip(arena, schema);
}

/* Read a request and a stored text in an arena that runs short. */
static void
check_short(struct shortage shortage, const struct och_json *root, struct ochre_bytes text)
{
    struct och_mem mem;
    struct och_arena arena, plenty;
    struct ochre_error err, err_plenty;
    struct och_schema_request *request = NULL;
    const struct och_schema *schema = NULL;
    const struct och_json *configuration = och_json_get(root, "configuration");
    const struct och_json *members = och_json_get(root, "schema");
    och_mem_init(&mem, NULL);
    och_arena_init(&plenty, &mem);
    ochre_status wanted =
            och_schema_request_parse(&plenty, configuration, members, &request, &err_plenty);
    ochre_status wanted_stored = och_schema_parse(&plenty, text, &schema, NULL);
    och_arena_clear(&plenty);
    for (int stored = 0; stored < 2; stored++) {
        och_mem_init(&mem, NULL);
        och_arena_init(&arena, &mem);
        fuzz_run_short(shortage, &arena);
        ochre_status status = stored != 0
                ? och_schema_parse(&arena, text, &schema, &err)
                : och_schema_request_parse(&arena, configuration, members, &request, &err);
        och_assert(status == OCHRE_NO_MEMORY || status == (stored != 0 ? wanted_stored : wanted));
        och_assert(status == OCHRE_OK || err.status == status);
        och_arena_clear(&arena);
        och_assert(och_mem_used(&mem) == 0);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ochre_bytes text;
    struct shortage shortage = fuzz_shortage(data, size, &text);
    struct och_mem mem;
    struct och_arena arena;
    struct och_json *root = NULL;
    const struct och_schema *schema = NULL;

    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    if (och_json_parse(&arena, text.data, text.size, &root, NULL) == OCHRE_OK &&
            root->kind == OCH_JSON_KIND_OBJECT)
        run_request(&arena, root);
    if (shortage.kind != SHORTAGE_NONE && root != NULL)
        check_short(shortage, root, text);
    /* The same bytes as a damaged stored text. */
    if (text.size > 0 && och_schema_parse(&arena, text, &schema, NULL) == OCHRE_OK)
        check_round_trip(&arena, schema);
    och_arena_clear(&arena);
    och_assert(och_mem_used(&mem) == 0);
    return 0;
}
