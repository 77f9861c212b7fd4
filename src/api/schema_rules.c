#include <math.h>
#include <string.h>

#include "api/names.h"
#include "api/schema_internal.h"
#include "api/validate.h"
#include "base/error.h"
#include "base/json.h"

/* A key in a message; the longest message has room for it. */
#define SHOWN_MAX ((size_t) 100)

/* Below two, a batch would be no batch. */
#define BATCH_MIN 2u

#define NO_MAX 18446744073709551615.0

/* What a SPANN parameter is when not given, and what a schema may set it to. */
struct spann_limits {
    double standard, min, max;
};

static const struct spann_limits spann_limits[] = {
        [OCH_SPANN_SEARCH_NPROBE] = {64, 0, 128},
        [OCH_SPANN_WRITE_NPROBE] = {32, 0, 128},
        [OCH_SPANN_EF_CONSTRUCTION] = {200, 0, NO_MAX},
        [OCH_SPANN_EF_SEARCH] = {200, 0, NO_MAX},
        [OCH_SPANN_MAX_NEIGHBORS] = {64, 0, NO_MAX},
        [OCH_SPANN_REASSIGN_NEIGHBOR_COUNT] = {64, 0, NO_MAX},
        [OCH_SPANN_SPLIT_THRESHOLD] = {50, 50, 200},
        [OCH_SPANN_MERGE_THRESHOLD] = {25, 25, 100},
        [OCH_SPANN_NREPLICA_COUNT] = {8, 0, NO_MAX},
        [OCH_SPANN_NUM_SAMPLES_KMEANS] = {1000, 0, NO_MAX},
        [OCH_SPANN_NUM_CENTERS_TO_MERGE_TO] = {8, 0, NO_MAX},
        [OCH_SPANN_SEARCH_RNG_FACTOR] = {1, -NO_MAX, NO_MAX},
        [OCH_SPANN_SEARCH_RNG_EPSILON] = {10, -NO_MAX, NO_MAX},
        [OCH_SPANN_WRITE_RNG_FACTOR] = {1, -NO_MAX, NO_MAX},
        [OCH_SPANN_WRITE_RNG_EPSILON] = {5, -NO_MAX, NO_MAX},
        [OCH_SPANN_INITIAL_LAMBDA] = {100, -NO_MAX, NO_MAX},
        [OCH_SPANN_CENTER_DRIFT_THRESHOLD] = {0.125, -NO_MAX, NO_MAX},
        [OCH_SPANN_QUANTIZE] = {0, 0, 1},
};
static_assert(sizeof(spann_limits) / sizeof(spann_limits[0]) == OCH_SPANN_PARAMETERS,
        "every parameter has its limits");

/* --- settings in metadata -------------------------------------------------- */

/* As many as there are hnsw fields without the recall target, which is ours. */
#define OWN_RECALL_TARGET "ochre:recall_target"
enum { LEGACY_FIELDS = OCH_HNSW_RECALL };
static const char *const legacy_names[LEGACY_FIELDS] = {"hnsw:construction_ef", "hnsw:M",
        "hnsw:search_ef", "hnsw:num_threads", "hnsw:batch_size", "hnsw:sync_threshold",
        "hnsw:resize_factor", "hnsw:space"};

static bool
starts_with(struct ochre_bytes text, const char *start)
{
    size_t size = strlen(start);
    return text.size >= size && memcmp(text.data, start, size) == 0;
}

static ochre_status
refuse_legacy(struct ochre_bytes key, const char *wanted, struct ochre_error *err)
{
    return och_fail(err, OCHRE_INVALID, "metadata key '%.*s' must be %s",
            och_name_shown(key, SHOWN_MAX), key.data, wanted);
}

static ochre_status
read_legacy_space(const struct ochre_field *field, struct och_vector_settings *settings,
        struct ochre_error *err)
{
    for (unsigned i = 0; field->value.type == OCHRE_VALUE_STRING && i < OCH_SPACES; i++) {
        if (och_bytes_is(field->value.as.string, och_space_names[i])) {
            settings->has_space = true;
            settings->space = (ochre_space) i;
            return OCHRE_OK;
        }
    }
    return refuse_legacy(field->key, "'l2', 'cosine' or 'ip'", err);
}

static ochre_status
read_legacy_field(const struct ochre_field *field, unsigned at,
        struct och_vector_settings *settings, struct ochre_error *err)
{
    const struct ochre_value *value = &field->value;
    bool whole = value->type == OCHRE_VALUE_INT;

    if (at == OCH_HNSW_SPACE)
        return read_legacy_space(field, settings, err);
    if (at == OCH_HNSW_RESIZE) {
        if (!whole && (value->type != OCHRE_VALUE_FLOAT || !isfinite(value->as.number)))
            return refuse_legacy(field->key, "a finite number", err);
        settings->hnsw.resize_factor = whole ? (double) value->as.integer : value->as.number;
    } else {
        bool batch = 1u << at == OCH_HNSW_BATCH_SIZE || 1u << at == OCH_HNSW_SYNC_THRESHOLD;
        if (!whole || value->as.integer < (batch ? (int64_t) BATCH_MIN : 0))
            return refuse_legacy(field->key,
                    batch ? "a whole number of at least 2" : "a whole number of at least 0", err);
        *och_hnsw_number(&settings->hnsw, at) = (uint64_t) value->as.integer;
    }
    settings->hnsw.given |= 1u << at;
    return OCHRE_OK;
}

static ochre_status
read_own_field(const struct ochre_field *field, struct och_vector_settings *settings,
        struct ochre_error *err)
{
    const struct ochre_value *value = &field->value;
    double target = 0;
    if (!och_bytes_is(field->key, OWN_RECALL_TARGET))
        return och_fail(err, OCHRE_INVALID,
                "metadata key '%.*s' is none of ours; the only key that may start with ochre: is " OWN_RECALL_TARGET,
                och_name_shown(field->key, SHOWN_MAX), field->key.data);
    if (settings->recall_target > 0)
        return OCHRE_OK;
    if (value->type == OCHRE_VALUE_INT)
        target = (double) value->as.integer;
    else if (value->type == OCHRE_VALUE_FLOAT)
        target = value->as.number;
    else
        return refuse_legacy(field->key, "a number above 0 and at most 1", err);
    settings->recall_target = target;
    return och_validate_recall_target("metadata key '" OWN_RECALL_TARGET "'", target, err);
}

ochre_status
och_schema_read_legacy(const struct ochre_metadata *metadata,
        struct och_vector_settings *settings_out, struct ochre_error *err)
{
    uint32_t seen = 0;
    *settings_out = (struct och_vector_settings){.has_space = false};

    /* From the end, because of fields with the same key the last counts. */
    for (size_t i = metadata == NULL ? 0 : metadata->n_fields; i-- > 0;) {
        const struct ochre_field *field = &metadata->fields[i];
        if (starts_with(field->key, "ochre:")) {
            ochre_status status = read_own_field(field, settings_out, err);
            if (status != OCHRE_OK)
                return status;
        }
        if (!starts_with(field->key, "hnsw:"))
            continue;
        unsigned at = 0;
        while (at < LEGACY_FIELDS && !och_bytes_is(field->key, legacy_names[at]))
            at++;
        if (at == LEGACY_FIELDS)
            return och_fail(err, OCHRE_INVALID,
                    "metadata key '%.*s' is none of the hnsw: parameters space, construction_ef, "
                    "search_ef, M, num_threads, resize_factor, batch_size, sync_threshold",
                    och_name_shown(field->key, SHOWN_MAX), field->key.data);
        if ((seen & 1u << at) != 0)
            continue;
        seen |= 1u << at;
        ochre_status status = read_legacy_field(field, at, settings_out, err);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}

/* --- what counts as default ------------------------------------------------ */

struct och_hnsw
och_hnsw_default(uint32_t n_cpus)
{
    return (struct och_hnsw){.given = OCH_HNSW_ALL,
            .ef_construction = 100,
            .max_neighbors = 16,
            .ef_search = 100,
            .num_threads = n_cpus,
            .batch_size = 100,
            .sync_threshold = 1000,
            .resize_factor = 1.2};
}

/* Are the fields of `given`, except those in `but`, as in `standard`? */
static bool
same_hnsw(const struct och_hnsw *given, const struct och_hnsw *standard, uint32_t but)
{
    struct och_hnsw a = *given;
    struct och_hnsw b = *standard;
    uint32_t fields = given->given & ~but;
    for (unsigned i = 0; i < OCH_HNSW_NUMBERS; i++) {
        if ((fields & 1u << i) != 0 && *och_hnsw_number(&a, i) != *och_hnsw_number(&b, i))
            return false;
    }
    return (fields & OCH_HNSW_RESIZE_FACTOR) == 0 || a.resize_factor == b.resize_factor;
}

bool
och_settings_are_default(const struct och_vector_settings *settings, uint32_t n_cpus)
{
    struct och_hnsw standard = och_hnsw_default(n_cpus);
    return (!settings->has_space || settings->space == OCHRE_SPACE_L2) &&
            same_hnsw(&settings->hnsw, &standard, 0);
}

bool
och_embedding_is_default(const struct och_embedding *embedding)
{
    switch (embedding->kind) {
    case OCH_EMBEDDING_NONE:
    case OCH_EMBEDDING_UNKNOWN:
        return true;
    case OCH_EMBEDDING_KNOWN:
        return och_bytes_is(embedding->name, "default");
    case OCH_EMBEDDING_LEGACY:
        return false;
    }
    return false;
}

static bool
same_state(och_index_state given, och_index_state standard)
{
    return given == OCH_INDEX_ABSENT || given == standard;
}

static bool
same_vector(const struct och_vector_index *given, const struct och_vector_index *standard)
{
    if (given == NULL)
        return true;
    if (standard == NULL || given->enabled != standard->enabled)
        return false;
    if (given->has_space && given->space != standard->space)
        return false;
    if (given->source_key.data != NULL && !och_bytes_equal(given->source_key, standard->source_key))
        return false;
    for (unsigned i = 0; given->spann != NULL && i < OCH_SPANN_PARAMETERS; i++) {
        if ((given->spann->given & 1u << i) != 0 &&
                given->spann->values[i] != spann_limits[i].standard)
            return false;
    }
    /* How many threads there are is a property of the machine, not a wish. */
    return och_embedding_is_default(&given->embedding) &&
            same_hnsw(&given->hnsw, &standard->hnsw, OCH_HNSW_NUM_THREADS);
}

static bool
same_sparse(const struct och_sparse_index *given, const struct och_sparse_index *standard)
{
    if (given == NULL)
        return true;
    return standard != NULL && given->enabled == standard->enabled && !given->bm25 &&
            !given->max_score && given->source_key.data == NULL &&
            och_embedding_is_default(&given->embedding);
}

static bool
same_types(const struct och_value_types *given, const struct och_value_types *standard)
{
    return same_state(given->fts, standard->fts) && same_state(given->string, standard->string) &&
            same_state(given->integer, standard->integer) &&
            same_state(given->number, standard->number) &&
            same_state(given->boolean, standard->boolean) &&
            same_vector(given->vector, standard->vector) &&
            same_sparse(given->sparse, standard->sparse);
}

bool
och_schema_is_default(const struct och_schema *given, const struct och_schema *standard)
{
    if (given->cmek.data != NULL || !same_types(&given->defaults, &standard->defaults))
        return false;
    for (size_t i = 0; i < given->n_keys; i++) {
        const struct och_value_types *types = och_schema_find(standard, given->keys[i].key);
        if (types == NULL || !same_types(&given->keys[i].types, types))
            return false;
    }
    return true;
}

/* --- which index may be where ---------------------------------------------- */

static ochre_status
refuse_schema(const char *problem, struct ochre_error *err)
{
    return och_fail(err, OCHRE_INVALID, "Validation error: schema: %s", problem);
}

static ochre_status
refuse_key(struct ochre_bytes key, const char *problem, struct ochre_error *err)
{
    return och_fail(err, OCHRE_INVALID, "Validation error: schema: key '%.*s' is invalid: %s",
            och_name_shown(key, SHOWN_MAX), key.data, problem);
}

/* Where vectors and sparse vectors may be made from. */
static ochre_status
check_sources(const struct och_value_types *types, struct ochre_error *err)
{
    const struct och_vector_index *vector = types->vector;
    const struct och_sparse_index *sparse = types->sparse;

    if (vector != NULL && vector->source_key.data != NULL &&
            !och_bytes_is(vector->source_key, OCH_SCHEMA_DOCUMENT))
        return och_fail(err, OCHRE_INVALID,
                "Validation error: schema: source_key '%.*s' of a vector index must be #document",
                och_name_shown(vector->source_key, SHOWN_MAX), vector->source_key.data);
    if (sparse == NULL || sparse->source_key.data == NULL)
        return OCHRE_OK;
    if (sparse->enabled && sparse->embedding.kind == OCH_EMBEDDING_NONE)
        return refuse_schema("a sparse vector index with a source_key needs an "
                             "embedding_function, because there is no default one",
                err);
    if (starts_with(sparse->source_key, "#") &&
            !och_bytes_is(sparse->source_key, OCH_SCHEMA_DOCUMENT))
        return och_fail(err, OCHRE_INVALID,
                "Validation error: schema: source_key '%.*s' of a sparse vector index is a "
                "reserved key; the only one allowed is #document",
                och_name_shown(sparse->source_key, SHOWN_MAX), sparse->source_key.data);
    return OCHRE_OK;
}

static ochre_status
check_defaults(const struct och_value_types *defaults, struct ochre_error *err)
{
    const struct och_vector_index *vector = defaults->vector;

    if (vector != NULL && vector->enabled)
        return refuse_schema(
                "defaults may not enable the vector index; only #embedding has one", err);
    if (vector != NULL && vector->has_hnsw && vector->spann != NULL)
        return refuse_schema("defaults have both hnsw and spann; give one of them", err);
    if (defaults->sparse != NULL && defaults->sparse->enabled)
        return refuse_schema(
                "defaults may not enable the sparse vector index; enable it for single keys", err);
    if (defaults->fts == OCH_INDEX_ENABLED)
        return refuse_schema(
                "defaults may not enable the full text index (FTS); only #document has one", err);
    return check_sources(defaults, err);
}

static ochre_status
check_key(const struct och_schema_key *entry, struct ochre_error *err)
{
    const struct och_value_types *types = &entry->types;
    bool document = och_bytes_is(entry->key, OCH_SCHEMA_DOCUMENT);
    bool embedding = och_bytes_is(entry->key, OCH_SCHEMA_EMBEDDING);

    if (starts_with(entry->key, "#") && !document && !embedding)
        return refuse_key(entry->key,
                "keys starting with '#' are reserved; only #document and #embedding may be set",
                err);
    if (document && (types->members & ~(uint32_t) OCH_MEMBER_STRING) != 0)
        return refuse_key(entry->key, "it may have no value type but string", err);
    if (embedding && (types->members & ~(uint32_t) OCH_MEMBER_FLOAT_LIST) != 0)
        return refuse_key(entry->key, "it may have no value type but float_list", err);
    if (types->vector != NULL && types->vector->enabled && !embedding)
        return refuse_key(entry->key, "a vector index can only be enabled on #embedding", err);
    if (types->fts == OCH_INDEX_ENABLED && !document)
        return refuse_key(
                entry->key, "a full text index (FTS) can only be enabled on #document", err);
    if (types->string == OCH_INDEX_ENABLED && document)
        return refuse_key(entry->key, "the string inverted index cannot be enabled there", err);
    return check_sources(types, err);
}

/* Take a part of a resource name: `label`, "/", and a name up to the next "/". */
static bool
take_part(struct ochre_bytes *rest, const char *label, bool last)
{
    size_t size = strlen(label);
    if (!starts_with(*rest, label) || rest->size <= size || rest->data[size] != '/')
        return false;
    size_t start = size + 1;
    size_t end = start;
    while (end < rest->size && rest->data[end] != '/')
        end++;
    if (end == start || (end == rest->size) != last)
        return false;
    size_t used = last ? end : end + 1;
    *rest = (struct ochre_bytes){rest->data + used, rest->size - used};
    return true;
}

static ochre_status
check_cmek(struct ochre_bytes cmek, struct ochre_error *err)
{
    struct ochre_bytes rest = cmek;
    if (take_part(&rest, "projects", false) && take_part(&rest, "locations", false) &&
            take_part(&rest, "keyRings", false) && take_part(&rest, "cryptoKeys", true))
        return OCHRE_OK;
    return och_fail(err, OCHRE_INVALID,
            "Validation error: schema: cmek.gcp is '%.*s'; it must be "
            "projects/P/locations/L/keyRings/R/cryptoKeys/K",
            och_name_shown(cmek, SHOWN_MAX), cmek.data);
}

ochre_status
och_schema_request_check_schema(const struct och_schema_request *request, struct ochre_error *err)
{
    const struct och_schema *schema = &request->schema;

    if (!request->has_schema)
        return OCHRE_OK;
    ochre_status status = check_defaults(&schema->defaults, err);
    for (size_t i = 0; status == OCHRE_OK && i < schema->n_keys; i++)
        status = check_key(&schema->keys[i], err);
    if (status == OCHRE_OK && schema->cmek.data != NULL)
        status = check_cmek(schema->cmek, err);
    return status;
}

ochre_status
och_schema_request_check_configuration(const struct och_schema_request *request,
        const struct ochre_metadata *metadata, struct ochre_error *err)
{
    struct och_vector_settings ignored;
    if (request->has_hnsw && request->has_spann)
        return och_fail(
                err, OCHRE_INVALID, "configuration has both hnsw and spann; give one vector index");
    return och_schema_read_legacy(metadata, &ignored, err);
}

ochre_status
och_schema_change_check(const struct och_schema_change *change, struct ochre_error *err)
{
    if (change->has_hnsw && change->has_spann)
        return och_fail(err, OCHRE_INVALID,
                "new_configuration has both hnsw and spann; give one vector index");
    return OCHRE_OK;
}

/* --- ranges ---------------------------------------------------------------- */

static ochre_status
check_range(struct ochre_bytes key, const struct och_vector_index *vector, struct ochre_error *err)
{
    struct och_hnsw hnsw = vector->hnsw;
    int shown = och_name_shown(key, SHOWN_MAX);
    for (unsigned i = 0; i < OCH_HNSW_NUMBERS; i++) {
        bool batch = 1u << i == OCH_HNSW_BATCH_SIZE || 1u << i == OCH_HNSW_SYNC_THRESHOLD;
        uint64_t value = *och_hnsw_number(&hnsw, i);
        if (batch && (hnsw.given & 1u << i) != 0 && value < BATCH_MIN)
            return och_fail(err, OCHRE_INVALID,
                    "schema: hnsw.%s of '%.*s' is %llu; it must be at least %u", och_hnsw_names[i],
                    shown, key.data, (unsigned long long) value, BATCH_MIN);
    }
    for (unsigned i = 0; vector->spann != NULL && i < OCH_SPANN_PARAMETERS; i++) {
        const struct spann_limits *limits = &spann_limits[i];
        double value = vector->spann->values[i];
        if ((vector->spann->given & 1u << i) != 0 && (value < limits->min || value > limits->max))
            return och_fail(err, OCHRE_INVALID,
                    "schema: spann.%s of '%.*s' is %g; it must be from %g to %g",
                    och_spann_names[i], shown, key.data, value, limits->min, limits->max);
    }
    return OCHRE_OK;
}

ochre_status
och_schema_check_ranges(const struct och_schema *schema, struct ochre_error *err)
{
    static const struct ochre_bytes defaults = {"defaults", 8};
    ochre_status status = OCHRE_OK;

    if (schema->defaults.vector != NULL)
        status = check_range(defaults, schema->defaults.vector, err);
    for (size_t i = 0; status == OCHRE_OK && i < schema->n_keys; i++) {
        if (schema->keys[i].types.vector != NULL)
            status = check_range(schema->keys[i].key, schema->keys[i].types.vector, err);
    }
    return status;
}
