#include <string.h>

#include "api/schema_internal.h"
#include "api/shape.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "base/limits.h"

/* The shortest entry of `keys`, with its comma: "":{}, so that a list of more
 * keys than this cannot be stored whatever they are called. */
#define KEYS_MAX (OCH_SCHEMA_SIZE_MAX / 6u)

const char *const och_hnsw_names[OCH_HNSW_FIELDS] = {"ef_construction", "max_neighbors",
        "ef_search", "num_threads", "batch_size", "sync_threshold", "resize_factor", "space",
        "recall_target"};

const char *const och_member_names[OCH_MEMBERS] = {
        "string", "float_list", "sparse_vector", "int", "float", "bool"};

const char *const och_space_names[OCH_SPACES] = {
        [OCHRE_SPACE_L2] = "l2", [OCHRE_SPACE_COSINE] = "cosine", [OCHRE_SPACE_IP] = "ip"};

const char *const och_spann_names[OCH_SPANN_FIELDS] = {
        [OCH_SPANN_SEARCH_NPROBE] = "search_nprobe",
        [OCH_SPANN_WRITE_NPROBE] = "write_nprobe",
        [OCH_SPANN_EF_CONSTRUCTION] = "ef_construction",
        [OCH_SPANN_EF_SEARCH] = "ef_search",
        [OCH_SPANN_MAX_NEIGHBORS] = "max_neighbors",
        [OCH_SPANN_REASSIGN_NEIGHBOR_COUNT] = "reassign_neighbor_count",
        [OCH_SPANN_SPLIT_THRESHOLD] = "split_threshold",
        [OCH_SPANN_MERGE_THRESHOLD] = "merge_threshold",
        [OCH_SPANN_NREPLICA_COUNT] = "nreplica_count",
        [OCH_SPANN_NUM_SAMPLES_KMEANS] = "num_samples_kmeans",
        [OCH_SPANN_NUM_CENTERS_TO_MERGE_TO] = "num_centers_to_merge_to",
        [OCH_SPANN_SEARCH_RNG_FACTOR] = "search_rng_factor",
        [OCH_SPANN_SEARCH_RNG_EPSILON] = "search_rng_epsilon",
        [OCH_SPANN_WRITE_RNG_FACTOR] = "write_rng_factor",
        [OCH_SPANN_WRITE_RNG_EPSILON] = "write_rng_epsilon",
        [OCH_SPANN_INITIAL_LAMBDA] = "initial_lambda",
        [OCH_SPANN_CENTER_DRIFT_THRESHOLD] = "center_drift_threshold",
        [OCH_SPANN_QUANTIZE] = "quantize",
        [OCH_SPANN_SPACE] = "space",
        [OCH_SPANN_RECALL] = "recall_target",
};

#define HNSW_IN_SCHEMA ((1u << OCH_HNSW_PARAMETERS) - 1u)
#define HNSW_IN_CONFIGURATION ((1u << OCH_HNSW_FIELDS) - 1u)
#define HNSW_IN_CHANGE \
    ((HNSW_IN_SCHEMA & ~(uint32_t) OCH_HNSW_EF_CONSTRUCTION) | (1u << OCH_HNSW_RECALL))
#define SPANN_IN_SCHEMA ((1u << OCH_SPANN_PARAMETERS) - 1u)
#define SPANN_IN_CONFIGURATION \
    (((1u << OCH_SPANN_NREPLICA_COUNT) - 1u) | (1u << OCH_SPANN_SPACE) | (1u << OCH_SPANN_RECALL))
#define SPANN_IN_CHANGE \
    ((1u << OCH_SPANN_SEARCH_NPROBE) | (1u << OCH_SPANN_EF_SEARCH) | (1u << OCH_SPANN_RECALL))

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

/* --- embedding functions --------------------------------------------------- */

static ochre_status
read_space(const struct och_place *place, const struct och_json *json, ochre_space *space_out,
        struct ochre_error *err)
{
    unsigned word = 0;
    ochre_status status = och_shape_word(place, json, och_space_names, OCH_SPACES, &word, err);
    *space_out = (ochre_space) word;
    return status;
}

static bool
is_container(const struct och_json *json)
{
    return json->kind == OCH_JSON_KIND_ARRAY || json->kind == OCH_JSON_KIND_OBJECT;
}

/* How many containers lie inside each other, `root` included. */
static unsigned
depth_of(const struct och_json *root)
{
    const struct och_json *above[OCH_JSON_DEPTH_MAX];
    const struct och_json *at = root;
    unsigned depth = 0;
    unsigned deepest = is_container(root) ? 1 : 0;
    for (;;) {
        if (at->first != NULL && depth < OCH_JSON_DEPTH_MAX) {
            above[depth++] = at;
            at = at->first;
        } else {
            while (depth > 0 && at->next == NULL)
                at = above[--depth];
            if (depth == 0)
                return deepest;
            at = at->next;
        }
        unsigned here = depth + (is_container(at) ? 1 : 0);
        deepest = here > deepest ? here : deepest;
    }
}

static ochre_status
read_embedding(const struct och_place *parent, const struct och_json *json,
        struct och_embedding *embedding_out, struct ochre_error *err)
{
    static const char *const names[] = {"type", "name", "config"};
    enum { type, name, config };
    struct och_place place = {parent, bytes_of("embedding_function")};
    struct och_walk walk = {.place = &place, .names = names, .allowed = 7};
    const struct och_json *fields[3] = {NULL, NULL, NULL};

    ochre_status status = och_shape_begin(&walk, json, err);
    const struct och_json *member = NULL;
    unsigned field = 0;
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, err);
        if (status != OCHRE_OK || member == NULL)
            break;
        fields[field] = member;
    }
    if (status != OCHRE_OK)
        return status;

    if (fields[type] == NULL)
        return och_shape_refuse_missing(&place, "type", err);
    struct och_place type_place = {&place, bytes_of("type")};
    struct ochre_bytes word = {NULL, 0};
    status = och_shape_string(&type_place, fields[type], &word, err);
    if (status != OCHRE_OK)
        return status;
    if (och_bytes_is(word, "legacy") || och_bytes_is(word, "unknown")) {
        *embedding_out = (struct och_embedding){.kind = och_bytes_is(word, "legacy")
                        ? OCH_EMBEDDING_LEGACY
                        : OCH_EMBEDDING_UNKNOWN};
        return OCHRE_OK;
    }
    if (!och_bytes_is(word, "known"))
        return och_shape_refuse(
                &type_place, fields[type], "'legacy' or 'known' or 'unknown'", OCHRE_SHAPE, err);

    if (fields[name] == NULL || fields[config] == NULL)
        return och_shape_refuse_missing(&place, fields[name] == NULL ? "name" : "config", err);
    struct och_place name_place = {&place, bytes_of("name")};
    struct och_embedding embedding = {.kind = OCH_EMBEDDING_KNOWN, .config = fields[config]};
    status = och_shape_string(&name_place, fields[name], &embedding.name, err);
    if (status != OCHRE_OK)
        return status;
    unsigned depth = depth_of(fields[config]);
    if (depth > OCH_EMBEDDING_DEPTH_MAX)
        return och_fail(err, OCHRE_INVALID,
                "embedding_function.config nests %u levels deep; at most %u are allowed", depth,
                OCH_EMBEDDING_DEPTH_MAX);
    *embedding_out = embedding;
    return OCHRE_OK;
}

/* --- vector parameters ---------------------------------------------------- */

static ochre_status
read_recall_target(const struct och_place *place, const struct och_json *json, double *target_out,
        struct ochre_error *err)
{
    double target = 0;
    ochre_status status = och_shape_number(place, json, &target, err);
    if (status != OCHRE_OK)
        return status;
    if (!(target > 0 && target <= 1))
        return och_shape_refuse(place, json, "above 0 and at most 1", OCHRE_INVALID, err);
    *target_out = target;
    return OCHRE_OK;
}

/* An hnsw object with the `allowed` fields. */
static ochre_status
read_hnsw(const struct och_place *parent, const struct och_json *json, uint32_t allowed,
        struct och_vector_settings *settings, struct ochre_error *err)
{
    struct och_place place = {parent, bytes_of("hnsw")};
    struct och_walk walk = {
            .place = &place, .names = och_hnsw_names, .allowed = allowed, .strict = true};
    const struct och_json *member = NULL;
    unsigned field = 0;

    ochre_status status = och_shape_begin(&walk, json, err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, err);
        if (status != OCHRE_OK || member == NULL)
            break;
        if (member->kind == OCH_JSON_KIND_NULL)
            continue;
        struct och_place at = {&place, member->key};
        if (field == OCH_HNSW_SPACE) {
            status = read_space(&at, member, &settings->space, err);
            settings->has_space = true;
            continue;
        }
        if (field == OCH_HNSW_RECALL) {
            status = read_recall_target(&at, member, &settings->recall_target, err);
            continue;
        }
        if (field == OCH_HNSW_RESIZE)
            status = och_shape_number(&at, member, &settings->hnsw.resize_factor, err);
        else
            status = och_shape_natural(
                    &at, member, UINT64_MAX, och_hnsw_number(&settings->hnsw, field), err);
        settings->hnsw.given |= 1u << field;
    }
    return status;
}

static ochre_status
read_spann_value(const struct och_place *place, const struct och_json *json, unsigned field,
        double *value_out, struct ochre_error *err)
{
    static const char *const quantizers[] = {"none", "four_bit_rabit_q_with_u_search"};
    uint64_t natural = 0;
    unsigned word = 0;
    ochre_status status = OCHRE_OK;

    switch (field) {
    case OCH_SPANN_QUANTIZE:
        status = och_shape_word(place, json, quantizers, 2, &word, err);
        *value_out = (double) word;
        return status;
    case OCH_SPANN_SEARCH_RNG_FACTOR:
    case OCH_SPANN_SEARCH_RNG_EPSILON:
    case OCH_SPANN_WRITE_RNG_FACTOR:
    case OCH_SPANN_WRITE_RNG_EPSILON:
    case OCH_SPANN_INITIAL_LAMBDA:
    case OCH_SPANN_CENTER_DRIFT_THRESHOLD:
        return och_shape_number(place, json, value_out, err);
    case OCH_SPANN_EF_CONSTRUCTION:
    case OCH_SPANN_EF_SEARCH:
    case OCH_SPANN_MAX_NEIGHBORS:
    case OCH_SPANN_NUM_SAMPLES_KMEANS:
        status = och_shape_natural(place, json, UINT64_MAX, &natural, err);
        break;
    default: /* the other fields are 32-bit numbers */
        status = och_shape_natural(place, json, UINT32_MAX, &natural, err);
        break;
    }
    *value_out = (double) natural;
    return status;
}

/* A spann object with the `allowed` fields. */
static ochre_status
read_spann(const struct och_place *parent, const struct och_json *json, uint32_t allowed,
        struct och_vector_settings *settings, struct och_spann *spann, struct ochre_error *err)
{
    struct och_place place = {parent, bytes_of("spann")};
    struct och_walk walk = {
            .place = &place, .names = och_spann_names, .allowed = allowed, .strict = true};
    const struct och_json *member = NULL;
    unsigned field = 0;

    ochre_status status = och_shape_begin(&walk, json, err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, err);
        if (status != OCHRE_OK || member == NULL)
            break;
        if (member->kind == OCH_JSON_KIND_NULL && field != OCH_SPANN_QUANTIZE)
            continue;
        struct och_place at = {&place, member->key};
        if (field == OCH_SPANN_SPACE) {
            status = read_space(&at, member, &settings->space, err);
            settings->has_space = true;
            continue;
        }
        if (field == OCH_SPANN_RECALL) {
            status = read_recall_target(&at, member, &settings->recall_target, err);
            continue;
        }
        status = read_spann_value(&at, member, field, &spann->values[field], err);
        spann->given |= 1u << field;
    }
    return status;
}

/* --- configurations ------------------------------------------------------- */

/* What a create's and an update's configuration have in common. */
struct configuration {
    const char *name;
    uint32_t hnsw_fields, spann_fields;
    bool has_hnsw, has_spann;
    struct och_vector_settings hnsw, spann;
    struct och_embedding embedding;
    double recall_target; /* from wherever it was given; 0: nowhere */
};

/* The same place may not be asked for two things. */
static ochre_status
join_recall_targets(struct configuration *configuration, struct ochre_error *err)
{
    const double others[] = {configuration->hnsw.recall_target, configuration->spann.recall_target};
    double *target = &configuration->recall_target;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (others[i] > 0 && *target > 0 && (others[i] < *target || others[i] > *target))
            return och_fail(err, OCHRE_INVALID,
                    "%s gives recall_target as %g and as %g; give it once", configuration->name,
                    *target, others[i]);
        if (others[i] > 0)
            *target = others[i];
    }
    return OCHRE_OK;
}

static ochre_status
read_configuration(
        const struct och_json *json, struct configuration *configuration, struct ochre_error *err)
{
    static const char *const names[] = {"hnsw", "spann", "embedding_function", "recall_target"};
    enum { hnsw, spann, embedding, recall_target };
    struct och_place place = {NULL, bytes_of(configuration->name)};
    struct och_walk walk = {.place = &place, .names = names, .allowed = 15};
    struct och_spann ignored = {.given = 0};
    const struct och_json *member = NULL;
    unsigned field = 0;

    if (json == NULL || json->kind == OCH_JSON_KIND_NULL)
        return OCHRE_OK;
    ochre_status status = och_shape_begin(&walk, json, err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, err);
        if (status != OCHRE_OK || member == NULL)
            break;
        if (member->kind == OCH_JSON_KIND_NULL)
            continue;
        if (field == hnsw) {
            configuration->has_hnsw = true;
            status = read_hnsw(
                    &place, member, configuration->hnsw_fields, &configuration->hnsw, err);
        } else if (field == spann) {
            configuration->has_spann = true;
            status = read_spann(&place, member, configuration->spann_fields, &configuration->spann,
                    &ignored, err);
        } else if (field == recall_target) {
            struct och_place at = {&place, member->key};
            status = read_recall_target(&at, member, &configuration->recall_target, err);
        } else {
            status = read_embedding(&place, member, &configuration->embedding, err);
        }
    }
    return status == OCHRE_OK ? join_recall_targets(configuration, err) : status;
}

ochre_status
och_schema_change_parse(const struct och_json *configuration, struct och_schema_change *change_out,
        struct ochre_error *err)
{
    struct configuration read = {.name = "new_configuration",
            .hnsw_fields = HNSW_IN_CHANGE,
            .spann_fields = SPANN_IN_CHANGE};
    *change_out = (struct och_schema_change){.has_hnsw = false};
    ochre_status status = read_configuration(configuration, &read, err);
    if (status != OCHRE_OK)
        return status;
    *change_out = (struct och_schema_change){.hnsw = read.hnsw.hnsw,
            .embedding = read.embedding,
            .recall_target = read.recall_target,
            .has_hnsw = read.has_hnsw,
            .has_spann = read.has_spann};
    return OCHRE_OK;
}

/* --- schemas -------------------------------------------------------------- */

/* {"enabled": ..., "config": ...}, both required; `config_out` gets the second. */
static ochre_status
read_index(const struct och_place *place, const struct och_json *json, bool *enabled_out,
        const struct och_json **config_out, struct ochre_error *err)
{
    static const char *const names[] = {"enabled", "config"};
    struct och_walk walk = {.place = place, .names = names, .allowed = 3};
    const struct och_json *member = NULL;
    unsigned field = 0;
    bool has_enabled = false;
    *config_out = NULL;

    ochre_status status = och_shape_begin(&walk, json, err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, err);
        if (status != OCHRE_OK || member == NULL)
            break;
        if (field == 0) {
            struct och_place at = {place, bytes_of("enabled")};
            status = och_shape_bool(&at, member, enabled_out, err);
            has_enabled = true;
        } else {
            *config_out = member;
        }
    }
    if (status != OCHRE_OK)
        return status;
    if (!has_enabled || *config_out == NULL)
        return och_shape_refuse_missing(place, has_enabled ? "config" : "enabled", err);
    return OCHRE_OK;
}

/* An index that has nothing to configure. */
static ochre_status
read_plain_index(const struct och_place *parent, const struct och_json *json,
        och_index_state *state, struct ochre_error *err)
{
    struct och_place place = {parent, json->key};
    const struct och_json *config = NULL;
    bool enabled = false;
    ochre_status status = read_index(&place, json, &enabled, &config, err);
    if (status != OCHRE_OK)
        return status;

    struct och_place config_place = {&place, bytes_of("config")};
    struct och_walk walk = {.place = &config_place, .names = NULL, .allowed = 0, .strict = true};
    const struct och_json *member = NULL;
    unsigned field = 0;
    status = och_shape_begin(&walk, config, err);
    if (status == OCHRE_OK)
        status = och_shape_next(&walk, &member, &field, err);
    *state = enabled ? OCH_INDEX_ENABLED : OCH_INDEX_DISABLED;
    return status;
}

/* The vector index's config member number `field`, which is not null. */
static ochre_status
read_vector_field(struct och_arena *arena, const struct och_place *place,
        const struct och_json *member, unsigned field, struct och_vector_index *index,
        struct ochre_error *err)
{
    enum { space, embedding, source_key, hnsw };
    struct och_place at = {place, member->key};
    struct och_vector_settings settings = {.has_space = false};
    ochre_status status = OCHRE_OK;

    if (field == space) {
        index->has_space = true;
        return read_space(&at, member, &index->space, err);
    }
    if (field == embedding)
        return read_embedding(place, member, &index->embedding, err);
    if (field == source_key)
        return och_shape_string(&at, member, &index->source_key, err);
    if (field == hnsw) {
        status = read_hnsw(place, member, HNSW_IN_SCHEMA, &settings, err);
        index->has_hnsw = true;
        index->hnsw = settings.hnsw;
        return status;
    }
    struct och_spann *spann = och_arena_take(arena, sizeof(*spann));
    if (spann == NULL)
        return och_fail_memory(err);
    *spann = (struct och_spann){.given = 0};
    index->spann = spann;
    return read_spann(place, member, SPANN_IN_SCHEMA, &settings, spann, err);
}

static ochre_status
read_vector_index(struct och_arena *arena, const struct och_place *parent,
        const struct och_json *json, struct och_vector_index **index_out, struct ochre_error *err)
{
    static const char *const names[] = {
            "space", "embedding_function", "source_key", "hnsw", "spann"};
    struct och_place place = {parent, json->key};
    struct och_place config_place = {&place, bytes_of("config")};
    struct och_walk walk = {.place = &config_place, .names = names, .allowed = 31, .strict = true};
    const struct och_json *config = NULL;
    const struct och_json *member = NULL;
    unsigned field = 0;

    struct och_vector_index *index = och_arena_take(arena, sizeof(*index));
    if (index == NULL)
        return och_fail_memory(err);
    *index = (struct och_vector_index){.enabled = false};
    ochre_status status = read_index(&place, json, &index->enabled, &config, err);
    if (status == OCHRE_OK)
        status = och_shape_begin(&walk, config, err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, err);
        if (status != OCHRE_OK || member == NULL)
            break;
        if (member->kind != OCH_JSON_KIND_NULL)
            status = read_vector_field(arena, &config_place, member, field, index, err);
    }
    *index_out = index;
    return status;
}

/* The sparse index's config member number `field`. */
static ochre_status
read_sparse_field(const struct och_place *place, const struct och_json *member, unsigned field,
        struct och_sparse_index *index, struct ochre_error *err)
{
    static const char *const algorithms[] = {"wand", "max_score"};
    enum { embedding, source_key, bm25, algorithm };
    struct och_place at = {place, member->key};

    if (field == algorithm) {
        unsigned word = 0;
        ochre_status status = och_shape_word(&at, member, algorithms, 2, &word, err);
        index->max_score = word == 1;
        return status;
    }
    if (member->kind == OCH_JSON_KIND_NULL)
        return OCHRE_OK;
    if (field == embedding)
        return read_embedding(place, member, &index->embedding, err);
    if (field == source_key)
        return och_shape_string(&at, member, &index->source_key, err);
    index->has_bm25 = true;
    return och_shape_bool(&at, member, &index->bm25, err);
}

static ochre_status
read_sparse_index(struct och_arena *arena, const struct och_place *parent,
        const struct och_json *json, struct och_sparse_index **index_out, struct ochre_error *err)
{
    static const char *const names[] = {"embedding_function", "source_key", "bm25", "algorithm"};
    struct och_place place = {parent, json->key};
    struct och_place config_place = {&place, bytes_of("config")};
    struct och_walk walk = {.place = &config_place, .names = names, .allowed = 15, .strict = true};
    const struct och_json *config = NULL;
    const struct och_json *member = NULL;
    unsigned field = 0;

    struct och_sparse_index *index = och_arena_take(arena, sizeof(*index));
    if (index == NULL)
        return och_fail_memory(err);
    *index = (struct och_sparse_index){.enabled = false};
    ochre_status status = read_index(&place, json, &index->enabled, &config, err);
    if (status == OCHRE_OK)
        status = och_shape_begin(&walk, config, err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, err);
        if (status != OCHRE_OK || member == NULL)
            break;
        status = read_sparse_field(&config_place, member, field, index, err);
    }
    *index_out = index;
    return status;
}

/* One member of a value types object: the indexes of one type. */
static ochre_status
read_member(struct och_arena *arena, const struct och_place *parent, const struct och_json *json,
        unsigned member, struct och_value_types *types, struct ochre_error *err)
{
    static const char *const names[OCH_MEMBERS][2] = {
            {"string_inverted_index", "fts_index"},
            {"vector_index", ""},
            {"sparse_vector_index", ""},
            {"int_inverted_index", ""},
            {"float_inverted_index", ""},
            {"bool_inverted_index", ""},
    };
    struct och_place place = {parent, json->key};
    struct och_walk walk = {
            .place = &place, .names = names[member], .allowed = member == 0 ? 3 : 1};
    och_index_state *const states[OCH_MEMBERS] = {
            &types->string, NULL, NULL, &types->integer, &types->number, &types->boolean};
    const struct och_json *index = NULL;
    unsigned field = 0;

    ochre_status status = och_shape_begin(&walk, json, err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &index, &field, err);
        if (status != OCHRE_OK || index == NULL)
            break;
        if (index->kind == OCH_JSON_KIND_NULL)
            continue;
        if (1u << member == OCH_MEMBER_FLOAT_LIST)
            status = read_vector_index(arena, &place, index, &types->vector, err);
        else if (1u << member == OCH_MEMBER_SPARSE_VECTOR)
            status = read_sparse_index(arena, &place, index, &types->sparse, err);
        else
            status =
                    read_plain_index(&place, index, field == 1 ? &types->fts : states[member], err);
    }
    return status;
}

static ochre_status
read_value_types(struct och_arena *arena, const struct och_place *place,
        const struct och_json *json, struct och_value_types *types_out, struct ochre_error *err)
{
    struct och_walk walk = {
            .place = place, .names = och_member_names, .allowed = OCH_MEMBER_ALL, .aliases = true};
    const struct och_json *member = NULL;
    unsigned field = 0;
    *types_out = (struct och_value_types){.members = 0};

    ochre_status status = och_shape_begin(&walk, json, err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, err);
        if (status != OCHRE_OK || member == NULL)
            break;
        if (member->kind == OCH_JSON_KIND_NULL)
            continue;
        types_out->members |= 1u << field;
        status = read_member(arena, place, member, field, types_out, err);
    }
    return status;
}

int
och_schema_key_order(struct ochre_bytes a, struct ochre_bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

/* Sort by key, keeping the order of equal ones: merges of doubling runs. */
static struct och_schema_key *
sort_keys(struct och_schema_key *keys, struct och_schema_key *spare, size_t n)
{
    struct och_schema_key *from = keys;
    struct och_schema_key *to = spare;
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t start = 0; start < n; start += 2 * run) {
            size_t a = start;
            size_t a_end = start + run < n ? start + run : n;
            size_t b = a_end;
            size_t b_end = a_end + run < n ? a_end + run : n;
            for (size_t out = start; out < b_end; out++) {
                bool take_a = a < a_end &&
                        (b == b_end || och_schema_key_order(from[a].key, from[b].key) <= 0);
                to[out] = take_a ? from[a++] : from[b++];
            }
        }
        struct och_schema_key *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

/* Of keys written twice the last counts, as in any free map. */
static ochre_status
read_keys(struct och_arena *arena, const struct och_place *parent, const struct och_json *json,
        struct och_schema *schema, struct ochre_error *err)
{
    struct och_place place = {parent, bytes_of("keys")};
    if (json->kind != OCH_JSON_KIND_OBJECT)
        return och_shape_refuse(&place, json, "an object", OCHRE_SHAPE, err);
    if (json->n > KEYS_MAX)
        return och_fail(err, OCHRE_INVALID,
                "schema.keys has %u keys; a stored schema has at most %u bytes", json->n,
                OCH_SCHEMA_SIZE_MAX);

    struct och_schema_key *keys = och_arena_take_array(arena, json->n, sizeof(*keys));
    struct och_schema_key *spare = och_arena_take_array(arena, json->n, sizeof(*spare));
    if (keys == NULL || spare == NULL)
        return och_fail_memory(err);
    size_t n = 0;
    for (const struct och_json *at = json->first; at != NULL; at = at->next) {
        struct och_place key_place = {&place, at->key};
        keys[n].key = at->key;
        ochre_status status = read_value_types(arena, &key_place, at, &keys[n].types, err);
        if (status != OCHRE_OK)
            return status;
        n++;
    }
    keys = sort_keys(keys, spare, n);
    size_t n_kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (i + 1 == n || och_schema_key_order(keys[i].key, keys[i + 1].key) != 0)
            keys[n_kept++] = keys[i];
    }
    schema->keys = keys;
    schema->n_keys = n_kept;
    return OCHRE_OK;
}

/* {"gcp": name}: which cloud is a word, so the same statuses as read_word's. */
static ochre_status
read_cmek(const struct och_place *parent, const struct och_json *json, struct ochre_bytes *cmek_out,
        struct ochre_error *err)
{
    struct och_place place = {parent, bytes_of("cmek")};
    bool one = json->kind == OCH_JSON_KIND_OBJECT && json->n == 1;
    if (!one)
        return och_shape_refuse(&place, json, "an object with one member, 'gcp'",
                json->kind == OCH_JSON_KIND_STRING ? OCHRE_SHAPE : OCHRE_INVALID, err);

    static const char *const names[] = {"gcp"};
    struct och_walk walk = {.place = &place, .next = json->first, .names = names, .allowed = 1};
    if (!och_bytes_is(json->first->key, "gcp"))
        return och_shape_refuse_field(&walk, json->first->key, err);
    struct och_place at = {&place, bytes_of("gcp")};
    return och_shape_string(&at, json->first, cmek_out, err);
}

ochre_status
och_schema_read(struct och_arena *arena, const struct och_json *json, struct och_schema *schema_out,
        struct ochre_error *err)
{
    static const char *const names[] = {"defaults", "keys", "cmek", "recall_target"};
    enum { defaults, keys, cmek };
    struct och_place place = {NULL, bytes_of("schema")};
    struct och_walk walk = {.place = &place, .names = names, .allowed = 15};
    const struct och_json *member = NULL;
    unsigned field = 0;
    *schema_out = (struct och_schema){.n_keys = 0};

    ochre_status status = och_shape_begin(&walk, json, err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, err);
        if (status != OCHRE_OK || member == NULL)
            break;
        if (field == defaults) {
            struct och_place at = {&place, bytes_of("defaults")};
            status = read_value_types(arena, &at, member, &schema_out->defaults, err);
        } else if (field == keys) {
            status = read_keys(arena, &place, member, schema_out, err);
        } else if (member->kind == OCH_JSON_KIND_NULL) {
            continue;
        } else if (field == cmek) {
            status = read_cmek(&place, member, &schema_out->cmek, err);
        } else {
            struct och_place at = {&place, member->key};
            status = read_recall_target(&at, member, &schema_out->recall_target, err);
        }
    }
    if (status != OCHRE_OK)
        return status;
    if ((walk.seen & 1u << defaults) == 0)
        return och_shape_refuse_missing(&place, "defaults", err);
    if ((walk.seen & 1u << keys) == 0)
        return och_shape_refuse_missing(&place, "keys", err);
    return OCHRE_OK;
}

ochre_status
och_schema_request_parse(struct och_arena *arena, const struct och_json *configuration,
        const struct och_json *schema, struct och_schema_request **request_out,
        struct ochre_error *err)
{
    struct configuration read = {.name = "configuration",
            .hnsw_fields = HNSW_IN_CONFIGURATION,
            .spann_fields = SPANN_IN_CONFIGURATION};
    *request_out = NULL;
    struct och_schema_request *request = och_arena_take(arena, sizeof(*request));
    if (request == NULL)
        return och_fail_memory(err);
    *request = (struct och_schema_request){.has_schema = false};

    ochre_status status = read_configuration(configuration, &read, err);
    if (status != OCHRE_OK)
        return status;
    request->has_hnsw = read.has_hnsw;
    request->has_spann = read.has_spann;
    request->hnsw = read.hnsw;
    request->spann = read.spann;
    request->embedding = read.embedding;
    request->recall_target = read.recall_target;

    if (schema != NULL && schema->kind != OCH_JSON_KIND_NULL) {
        request->has_schema = true;
        status = och_schema_read(arena, schema, &request->schema, err);
        if (status != OCHRE_OK)
            return status;
    }
    *request_out = request;
    return OCHRE_OK;
}
