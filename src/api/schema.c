#include "api/schema.h"

#include <stdint.h>

#include "api/names.h"
#include "api/schema_internal.h"
#include "api/validate.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/limits.h"

#define SHOWN_MAX ((size_t) 256)

static const struct ochre_bytes document_key = {
        OCH_SCHEMA_DOCUMENT, sizeof(OCH_SCHEMA_DOCUMENT) - 1};
static const struct ochre_bytes embedding_key = {
        OCH_SCHEMA_EMBEDDING, sizeof(OCH_SCHEMA_EMBEDDING) - 1};

uint64_t *
och_hnsw_number(struct och_hnsw *hnsw, unsigned field)
{
    uint64_t *const numbers[OCH_HNSW_NUMBERS] = {&hnsw->ef_construction, &hnsw->max_neighbors,
            &hnsw->ef_search, &hnsw->num_threads, &hnsw->batch_size, &hnsw->sync_threshold};
    och_assert(field < OCH_HNSW_NUMBERS);
    return numbers[field];
}

/* `over` where it says something, `under` elsewhere. */
static struct och_hnsw
merge_hnsw(const struct och_hnsw *under, const struct och_hnsw *over)
{
    struct och_hnsw merged = *under;
    struct och_hnsw from = *over;
    for (unsigned i = 0; i < OCH_HNSW_NUMBERS; i++) {
        if ((from.given & 1u << i) != 0)
            *och_hnsw_number(&merged, i) = *och_hnsw_number(&from, i);
    }
    if ((from.given & OCH_HNSW_RESIZE_FACTOR) != 0)
        merged.resize_factor = from.resize_factor;
    merged.given |= from.given;
    return merged;
}

/* --- the default schema ---------------------------------------------------- */

/* Parts of a schema under construction, all in one block of the arena. */
struct draft {
    struct och_schema schema;
    struct och_vector_index default_vector, embedding_vector;
    struct och_sparse_index default_sparse;
    struct och_schema_key special[2]; /* in byte order */
};

static void
fill_default(struct draft *draft, uint32_t n_cpus)
{
    draft->default_vector = (struct och_vector_index){.enabled = false,
            .has_space = true,
            .has_hnsw = true,
            .space = OCHRE_SPACE_L2,
            .hnsw = och_hnsw_default(n_cpus)};
    draft->embedding_vector = draft->default_vector;
    draft->embedding_vector.enabled = true;
    draft->embedding_vector.source_key = document_key;
    draft->default_sparse = (struct och_sparse_index){
            .has_bm25 = true, .embedding = {.kind = OCH_EMBEDDING_UNKNOWN}};
    draft->special[0] = (struct och_schema_key){document_key,
            {.members = OCH_MEMBER_STRING, .fts = OCH_INDEX_ENABLED, .string = OCH_INDEX_DISABLED}};
    draft->special[1] = (struct och_schema_key){
            embedding_key, {.members = OCH_MEMBER_FLOAT_LIST, .vector = &draft->embedding_vector}};
    draft->schema = (struct och_schema){.defaults = {.members = OCH_MEMBER_ALL,
                                                .fts = OCH_INDEX_DISABLED,
                                                .string = OCH_INDEX_ENABLED,
                                                .integer = OCH_INDEX_ENABLED,
                                                .number = OCH_INDEX_ENABLED,
                                                .boolean = OCH_INDEX_ENABLED,
                                                .vector = &draft->default_vector,
                                                .sparse = &draft->default_sparse},
            .keys = draft->special,
            .n_keys = 2};
}

/* --- a request's schema over the default one -------------------------------- */

static void
merge_vector(struct och_vector_index *index, const struct och_vector_index *given)
{
    if (given == NULL)
        return;
    index->enabled = given->enabled;
    if (given->has_space)
        index->space = given->space;
    if (given->source_key.data != NULL)
        index->source_key = given->source_key;
    if (given->embedding.kind != OCH_EMBEDDING_NONE)
        index->embedding = given->embedding;
    index->hnsw = merge_hnsw(&index->hnsw, &given->hnsw);
}

static void
merge_sparse(struct och_sparse_index *index, const struct och_sparse_index *given)
{
    if (given == NULL)
        return;
    index->enabled = given->enabled;
    if (given->has_bm25)
        index->bm25 = given->bm25;
    index->max_score = given->max_score;
    if (given->source_key.data != NULL)
        index->source_key = given->source_key;
    if (given->embedding.kind != OCH_EMBEDDING_NONE)
        index->embedding = given->embedding;
}

static void
merge_state(och_index_state *state, och_index_state given)
{
    if (given != OCH_INDEX_ABSENT)
        *state = given;
}

/* Into defaults, #document or #embedding, which have every index they may have. */
static void
merge_types(struct och_value_types *types, const struct och_value_types *given)
{
    merge_state(&types->fts, given->fts);
    merge_state(&types->string, given->string);
    merge_state(&types->integer, given->integer);
    merge_state(&types->number, given->number);
    merge_state(&types->boolean, given->boolean);
    if (types->vector != NULL)
        merge_vector(types->vector, given->vector);
    if (types->sparse != NULL)
        merge_sparse(types->sparse, given->sparse);
}

/* What this build does not have. */
static ochre_status
check_supported(const struct och_schema *given, struct ochre_error *err)
{
    for (size_t i = 0; i < given->n_keys; i++) {
        const struct och_sparse_index *sparse = given->keys[i].types.sparse;
        if (sparse != NULL && sparse->enabled)
            return och_fail(err, OCHRE_INVALID,
                    "schema: Sparse vector indexing is not enabled in local (key '%.*s')",
                    och_name_shown(given->keys[i].key, SHOWN_MAX), given->keys[i].key.data);
    }
    return OCHRE_OK;
}

/* A key's entry as given, without the spann parameters, which no graph of ours has. */
static ochre_status
keep_key(struct och_arena *arena, const struct och_schema_key *given, struct och_schema_key *key,
        struct ochre_error *err)
{
    *key = *given;
    if (given->types.vector == NULL || given->types.vector->spann == NULL)
        return OCHRE_OK;
    struct och_vector_index *vector =
            och_arena_copy(arena, given->types.vector, sizeof(*given->types.vector));
    if (vector == NULL)
        return och_fail_memory(err);
    vector->spann = NULL;
    key->types.vector = vector;
    return OCHRE_OK;
}

static ochre_status
merge_schema(struct och_arena *arena, struct draft *draft, const struct och_schema *given,
        struct ochre_error *err)
{
    merge_types(&draft->schema.defaults, &given->defaults);
    draft->schema.cmek = given->cmek;

    struct och_schema_key *keys = och_arena_take_array(arena, given->n_keys + 2, sizeof(*keys));
    if (keys == NULL)
        return och_fail_memory(err);
    size_t n = 0;
    size_t special = 0;
    for (size_t i = 0; i < given->n_keys; i++) {
        int order = -1;
        while (special < 2) {
            order = och_schema_key_order(given->keys[i].key, draft->special[special].key);
            if (order <= 0)
                break;
            keys[n++] = draft->special[special++];
        }
        if (special < 2 && order == 0) {
            merge_types(&draft->special[special].types, &given->keys[i].types);
            continue; /* it is taken before the next greater key */
        }
        ochre_status status = keep_key(arena, &given->keys[i], &keys[n], err);
        if (status != OCHRE_OK)
            return status;
        n++;
    }
    while (special < 2)
        keys[n++] = draft->special[special++];
    draft->schema.keys = keys;
    draft->schema.n_keys = n;
    return OCHRE_OK;
}

/* The vector settings to use, as far as given, of configuration and metadata; the
 * recall target also of the schema. */
static ochre_status
choose_settings(const struct och_schema_request *request, const struct ochre_metadata *metadata,
        uint32_t n_cpus, struct och_vector_settings *settings, struct ochre_error *err)
{
    const struct och_vector_settings *given = request->has_spann ? &request->spann : &request->hnsw;
    ochre_status status = och_schema_read_legacy(metadata, settings, err);
    double recall_target = settings->recall_target;
    if (request->schema.recall_target > 0)
        recall_target = request->schema.recall_target;
    if (request->recall_target > 0)
        recall_target = request->recall_target;
    if (status == OCHRE_OK && !och_settings_are_default(given, n_cpus))
        *settings = *given;
    settings->recall_target = recall_target;
    return status;
}

/* As it is stored. */
static double
without_default(double recall_target)
{
    bool is_default = recall_target >= OCH_RECALL_TARGET_DEFAULT &&
            recall_target <= OCH_RECALL_TARGET_DEFAULT;
    return is_default ? 0 : recall_target;
}

ochre_status
och_schema_build(struct och_arena *arena, const struct och_schema_request *request,
        const struct ochre_metadata *metadata, uint32_t n_cpus,
        const struct och_schema **schema_out, struct ochre_error *err)
{
    struct och_vector_settings settings;
    *schema_out = NULL;

    ochre_status status = och_schema_request_check_configuration(request, metadata, err);
    if (status == OCHRE_OK)
        status = och_schema_request_check_schema(request, err);
    if (status == OCHRE_OK)
        status = choose_settings(request, metadata, n_cpus, &settings, err);
    if (status != OCHRE_OK)
        return status;

    struct draft *draft = och_arena_take(arena, sizeof(*draft));
    if (draft == NULL)
        return och_fail_memory(err);
    fill_default(draft, n_cpus);

    bool plain_configuration = och_settings_are_default(&settings, n_cpus) &&
            och_embedding_is_default(&request->embedding);
    bool plain_schema =
            !request->has_schema || och_schema_is_default(&request->schema, &draft->schema);
    if (!plain_configuration && !plain_schema)
        return och_fail(err, OCHRE_INVALID,
                "schema and configuration conflict: both differ from the defaults; give one");
    if (request->has_schema) {
        status = och_schema_check_ranges(&request->schema, err);
        if (status == OCHRE_OK)
            status = check_supported(&request->schema, err);
        if (status != OCHRE_OK)
            return status;
    }

    if (!plain_schema) {
        status = merge_schema(arena, draft, &request->schema, err);
        if (status != OCHRE_OK)
            return status;
    } else {
        struct och_vector_index *const indexes[] = {
                &draft->default_vector, &draft->embedding_vector};
        for (size_t i = 0; i < 2; i++) {
            if (settings.has_space)
                indexes[i]->space = settings.space;
            indexes[i]->hnsw = merge_hnsw(&indexes[i]->hnsw, &settings.hnsw);
            indexes[i]->embedding = request->embedding;
        }
    }
    draft->schema.recall_target = without_default(settings.recall_target);
    *schema_out = &draft->schema;
    return OCHRE_OK;
}

/* --- changing --------------------------------------------------------------- */

/* A copy of `index` with the change made. */
static struct och_vector_index *
change_vector(struct och_arena *arena, const struct och_vector_index *index,
        const struct och_schema_change *change)
{
    struct och_vector_index *changed = och_arena_copy(arena, index, sizeof(*index));
    if (changed == NULL)
        return NULL;
    changed->hnsw = merge_hnsw(&index->hnsw, &change->hnsw);
    if (change->embedding.kind != OCH_EMBEDDING_NONE)
        changed->embedding = change->embedding;
    return changed;
}

ochre_status
och_schema_apply(struct och_arena *arena, const struct och_schema *schema,
        const struct och_schema_change *change, const struct och_schema **schema_out,
        struct ochre_error *err)
{
    *schema_out = NULL;
    ochre_status status = och_schema_change_check(change, err);
    if (status != OCHRE_OK)
        return status;

    struct och_schema *changed = och_arena_copy(arena, schema, sizeof(*schema));
    struct och_schema_key *keys =
            och_arena_copy(arena, schema->keys, schema->n_keys * sizeof(*keys));
    if (changed == NULL || keys == NULL)
        return och_fail_memory(err);
    changed->keys = keys;
    if (change->recall_target > 0)
        changed->recall_target = without_default(change->recall_target);
    changed->defaults.vector = change_vector(arena, schema->defaults.vector, change);
    if (changed->defaults.vector == NULL)
        return och_fail_memory(err);
    for (size_t i = 0; i < changed->n_keys; i++) {
        if (och_schema_key_order(keys[i].key, embedding_key) != 0)
            continue;
        keys[i].types.vector = change_vector(arena, keys[i].types.vector, change);
        if (keys[i].types.vector == NULL)
            return och_fail_memory(err);
    }
    *schema_out = changed;
    return OCHRE_OK;
}

/* --- storing ----------------------------------------------------------------- */

ochre_status
och_schema_store(struct och_arena *arena, const struct och_schema *schema,
        struct ochre_bytes *text_out, struct ochre_error *err)
{
    struct och_buf buf;
    *text_out = (struct ochre_bytes){NULL, 0};
    och_buf_init(&buf, arena->mem, SIZE_MAX);
    och_schema_put(&buf, schema, NULL, 0);

    ochre_status status = och_buf_status(&buf);
    char *text = NULL;
    if (status == OCHRE_OK && buf.size > OCH_SCHEMA_SIZE_MAX) {
        status = och_fail(err, OCHRE_INVALID, "the schema takes %zu bytes; at most %u are stored",
                buf.size, OCH_SCHEMA_SIZE_MAX);
        goto done;
    }
    if (status == OCHRE_OK)
        text = och_arena_copy(arena, buf.data, buf.size);
    if (text == NULL) {
        status = och_fail_memory(err);
        goto done;
    }
    *text_out = (struct ochre_bytes){text, buf.size};

done:
    och_buf_clear(&buf);
    return status;
}

static bool
is_complete_vector(const struct och_vector_index *vector)
{
    return vector != NULL && vector->has_space && vector->has_hnsw &&
            vector->hnsw.given == OCH_HNSW_ALL && vector->spann == NULL;
}

/* Has it everything that the other functions here rely on? */
static bool
is_complete(const struct och_schema *schema)
{
    const struct och_value_types *defaults = &schema->defaults;
    const struct och_value_types *document = och_schema_find(schema, document_key);
    const struct och_value_types *embedding = och_schema_find(schema, embedding_key);

    return defaults->members == OCH_MEMBER_ALL && defaults->fts != OCH_INDEX_ABSENT &&
            defaults->string != OCH_INDEX_ABSENT && defaults->integer != OCH_INDEX_ABSENT &&
            defaults->number != OCH_INDEX_ABSENT && defaults->boolean != OCH_INDEX_ABSENT &&
            is_complete_vector(defaults->vector) && defaults->sparse != NULL && document != NULL &&
            document->fts != OCH_INDEX_ABSENT && document->string != OCH_INDEX_ABSENT &&
            embedding != NULL && is_complete_vector(embedding->vector);
}

ochre_status
och_schema_parse(struct och_arena *arena, struct ochre_bytes text,
        const struct och_schema **schema_out, struct ochre_error *err)
{
    struct ochre_error problem = {.status = OCHRE_OK};
    struct och_json *json = NULL;
    *schema_out = NULL;

    struct och_schema *schema = och_arena_take(arena, sizeof(*schema));
    if (schema == NULL)
        return och_fail_memory(err);
    ochre_status status = och_json_parse(arena, text.data, text.size, &json, &problem);
    if (status == OCHRE_OK)
        status = och_schema_read(arena, json, schema, &problem);
    if (status == OCHRE_NO_MEMORY)
        return och_fail_memory(err);
    if (status != OCHRE_OK)
        return och_fail(err, OCHRE_CORRUPT, "stored schema: %s", problem.message);
    if (!is_complete(schema))
        return och_fail(err, OCHRE_CORRUPT, "stored schema lacks a part every schema has");
    *schema_out = schema;
    return OCHRE_OK;
}

/* --- asking ------------------------------------------------------------------ */

static const struct och_vector_index *
embedding_index(const struct och_schema *schema)
{
    const struct och_value_types *types = och_schema_find(schema, embedding_key);
    och_assert(types != NULL && types->vector != NULL);
    return types->vector;
}

ochre_space
och_schema_space(const struct och_schema *schema)
{
    return embedding_index(schema)->space;
}

/* A parameter as a floor.  Every schema has the standard values, so nobody is
 * known to have asked for one. */
static uint32_t
floor_of(uint64_t value, uint64_t standard)
{
    if (value == standard)
        return 0;
    return value < OCH_EFFORT_MAX ? (uint32_t) value : OCH_EFFORT_MAX;
}

struct och_collection_settings
och_schema_settings(const struct och_schema *schema)
{
    const struct och_vector_index *index = embedding_index(schema);
    struct och_hnsw standard = och_hnsw_default(0);
    return (struct och_collection_settings){.space = index->space,
            .recall_target = och_recall_target_of(
                    schema->recall_target > 0 ? schema->recall_target : OCH_RECALL_TARGET_DEFAULT),
            /* Who says nothing gets the recall that the standard has where it is easy. */
            .ef_search_floor = floor_of(
                    index->hnsw.ef_search, schema->recall_target > 0 ? standard.ef_search : 0),
            .ef_construction_floor =
                    floor_of(index->hnsw.ef_construction, standard.ef_construction),
            .max_neighbors_floor = floor_of(index->hnsw.max_neighbors, standard.max_neighbors)};
}

const struct och_hnsw *
och_schema_hnsw(const struct och_schema *schema)
{
    return &embedding_index(schema)->hnsw;
}

const struct och_value_types *
och_schema_find(const struct och_schema *schema, struct ochre_bytes key)
{
    size_t low = 0;
    size_t high = schema->n_keys;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = och_schema_key_order(schema->keys[middle].key, key);
        if (order == 0)
            return &schema->keys[middle].types;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* The index that comparing with an operand of this type needs. */
static och_index_state
state_for(const struct och_value_types *types, ochre_value_type type, const char **name_out)
{
    switch (type) {
    case OCHRE_VALUE_BOOL:
    case OCHRE_VALUE_BOOL_LIST:
        *name_out = "bool";
        return types->boolean;
    case OCHRE_VALUE_INT:
    case OCHRE_VALUE_INT_LIST:
        *name_out = "int";
        return types->integer;
    case OCHRE_VALUE_FLOAT:
    case OCHRE_VALUE_FLOAT_LIST:
        *name_out = "float";
        return types->number;
    case OCHRE_VALUE_STRING:
    case OCHRE_VALUE_STRING_LIST:
        *name_out = "string";
        return types->string;
    case OCHRE_VALUE_NULL:
        break;
    }
    *name_out = "null";
    return OCH_INDEX_ENABLED; /* nothing to look up */
}

static ochre_status
check_metadata_leaf(const struct och_schema *schema, const struct ochre_filter_node *leaf,
        struct ochre_error *err)
{
    const struct och_value_types *types = och_schema_find(schema, leaf->key);
    const char *name = NULL;
    och_index_state state = OCH_INDEX_ABSENT;

    if (types != NULL)
        state = state_for(types, leaf->value.type, &name);
    if (state == OCH_INDEX_ABSENT)
        state = state_for(&schema->defaults, leaf->value.type, &name);
    if (state == OCH_INDEX_ENABLED)
        return OCHRE_OK;
    return och_fail(err, OCHRE_INVALID,
            "Cannot filter using metadata key '%.*s': the schema has the %s index of it disabled",
            och_name_shown(leaf->key, SHOWN_MAX), leaf->key.data, name);
}

static ochre_status
check_leaf(const struct och_schema *schema, const struct ochre_filter_node *leaf,
        struct ochre_error *err)
{
    switch (leaf->field) {
    case OCHRE_FIELD_METADATA:
        return check_metadata_leaf(schema, leaf, err);
    case OCHRE_FIELD_DOCUMENT:
        if (och_schema_find(schema, document_key)->fts == OCH_INDEX_ENABLED)
            return OCHRE_OK;
        return och_fail(err, OCHRE_INVALID,
                "Cannot filter documents: the schema has the full text index (FTS) of #document "
                "disabled");
    case OCHRE_FIELD_ID:
        return OCHRE_OK; /* ids are always indexed */
    }
    return OCHRE_OK;
}

ochre_status
och_schema_check_filter(
        const struct och_schema *schema, const struct ochre_filter *filter, struct ochre_error *err)
{
    for (size_t i = 0; i < filter->n_nodes; i++) {
        const struct ochre_filter_node *node = &filter->nodes[i];
        if (node->op == OCHRE_FILTER_AND || node->op == OCHRE_FILTER_OR)
            continue;
        ochre_status status = check_leaf(schema, node, err);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}
