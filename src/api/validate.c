#include "api/validate.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/db.h"
#include "api/names.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "engine/collection.h"

/* --- targets ---------------------------------------------------------------- */

static bool
same_bytes(struct ochre_bytes a, struct ochre_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static ochre_status
fail_missing(const struct och_target *target, struct ochre_error *err)
{
    char id[OCH_UUID_TEXT_SIZE + 1];
    och_uuid_put(target->id, id);
    return och_fail(err, OCHRE_NOT_FOUND, "Collection [%s] does not exist.", id);
}

ochre_status
och_validate_target(struct ochre_db *db, const struct och_target *target,
        struct och_collection **collection_out, struct ochre_error *err)
{
    *collection_out = NULL;
    ochre_status current = och_db_be_current(db, err);
    if (current != OCHRE_OK)
        return current;
    if (target->tenant.size == 0) /* pins have no tenant (engine/catalog.h) */
        return fail_missing(target, err);
    struct och_collection *collection = och_engine_loaded(db->engine, target->id);
    if (collection == NULL) {
        struct och_arena arena;
        och_arena_init(&arena, &db->mem);
        struct och_collection_row row;
        ochre_status status =
                db->catalog->ops->collection_by_id(db->catalog, &arena, target->id, &row, err);
        if (status == OCHRE_OK)
            status = och_engine_collection(db->engine, &row, &collection, err);
        och_arena_clear(&arena);
        if (status == OCHRE_NOT_FOUND)
            return fail_missing(target, err);
        if (status != OCHRE_OK)
            return status;
    }
    if (!same_bytes(collection->tenant, target->tenant) ||
            !same_bytes(collection->database, target->database)) {
        och_collection_release(collection);
        return fail_missing(target, err);
    }
    *collection_out = collection;
    return OCHRE_OK;
}

ochre_status
och_validate_deferred(const struct ochre_error *deferred, struct ochre_error *err)
{
    if (deferred->status != OCHRE_OK && err != NULL)
        *err = *deferred;
    return deferred->status;
}

/* --- metadata --------------------------------------------------------------- */

static ochre_status
check_size(const char *what, const char *part, size_t size, size_t limit, struct ochre_error *err)
{
    if (size <= limit)
        return OCHRE_OK;
    return och_fail(err, OCHRE_INVALID, "Validation error: %s: %s has %zu bytes; the limit is %zu",
            what, part, size, limit);
}

static ochre_status
check_value(const struct ochre_value *value, const char *what, struct ochre_error *err)
{
    if (value->type == OCHRE_VALUE_STRING)
        return check_size(what, "a value", value->as.string.size, OCH_STRING_VALUE_SIZE_MAX, err);
    if (value->type == OCHRE_VALUE_FLOAT && !isfinite(value->as.number))
        return och_fail(err, OCHRE_INVALID, "Validation error: %s: a number is not finite", what);
    if (value->type < OCHRE_VALUE_BOOL_LIST)
        return OCHRE_OK;
    if (value->type > OCHRE_VALUE_STRING_LIST) /* from C; the wire has no such thing */
        return och_fail(err, OCHRE_INVALID, "Validation error: %s: there is no type %u of values",
                what, (unsigned) value->type);
    if (value->n == 0)
        return och_fail(err, OCHRE_INVALID, "Validation error: %s: a list is empty", what);
    if (value->n > OCH_LIST_VALUE_MAX)
        return och_fail(err, OCHRE_INVALID,
                "Validation error: %s: a list has %u members; the limit is %u", what, value->n,
                OCH_LIST_VALUE_MAX);
    for (uint32_t i = 0; value->type == OCHRE_VALUE_FLOAT_LIST && i < value->n; i++)
        if (!isfinite(value->as.numbers[i]))
            return och_fail(err, OCHRE_INVALID,
                    "Validation error: %s: a number in a list is not finite", what);
    for (uint32_t i = 0; value->type == OCHRE_VALUE_STRING_LIST && i < value->n; i++) {
        ochre_status status = check_size(
                what, "a value", value->as.strings[i].size, OCH_STRING_VALUE_SIZE_MAX, err);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}

static size_t
value_size(const struct ochre_value *value)
{
    if (value->type == OCHRE_VALUE_STRING)
        return value->as.string.size;
    if (value->type < OCHRE_VALUE_BOOL_LIST)
        return 8;
    if (value->type != OCHRE_VALUE_STRING_LIST)
        return (size_t) value->n * 8;
    size_t size = 0;
    for (uint32_t i = 0; i < value->n; i++)
        size += value->as.strings[i].size + 4;
    return size;
}

ochre_status
och_validate_metadata(
        const struct ochre_metadata *metadata, const char *what, struct ochre_error *err)
{
    if (metadata->n_fields > OCH_KEYS_PER_RECORD_MAX)
        return och_fail(err, OCHRE_INVALID,
                "Validation error: %s: it has %zu keys; the limit is %u", what, metadata->n_fields,
                OCH_KEYS_PER_RECORD_MAX);
    size_t total = 0;
    for (size_t i = 0; i < metadata->n_fields; i++) {
        const struct ochre_field *field = &metadata->fields[i];
        struct ochre_error why;
        ochre_status status = och_metadata_key_check(field->key, &why);
        if (status != OCHRE_OK)
            return och_fail(err, status, "Validation error: %s: %.300s", what, why.message);
        status = check_size(what, "a key", field->key.size, OCH_KEY_SIZE_MAX, err);
        if (status == OCHRE_OK)
            status = check_value(&field->value, what, err);
        if (status != OCHRE_OK)
            return status;
        total += field->key.size + value_size(&field->value) + 8;
    }
    return check_size(what, "all of it", total, OCH_METADATA_SIZE_MAX / 2, err);
}

/* --- records ---------------------------------------------------------------- */

static uint32_t
dim_of(const struct och_write_input *input, size_t i)
{
    if (input->records.dims != NULL)
        return input->records.dims[i];
    return input->records.dim > UINT32_MAX ? UINT32_MAX : (uint32_t) input->records.dim;
}

/* Step 4: every vector has components, and all are finite. */
static ochre_status
check_vectors(const struct och_write_input *input, enum och_write_op op, struct ochre_error *err)
{
    if (input->n_embeddings == OCH_NOT_GIVEN || input->records.embeddings == NULL)
        return OCHRE_OK;
    const float *next = input->records.embeddings;
    for (size_t i = 0; i < input->n_embeddings; i++) {
        uint32_t dim = dim_of(input, i);
        if (dim > OCH_DIM_MAX)
            return och_fail(err, OCHRE_INVALID,
                    "Validation error: embeddings[%zu]: it has %u dimensions; the limit is %u", i,
                    (unsigned) dim, OCH_DIM_MAX);
        /* An update may leave vectors out; elsewhere the decoder refused nulls. */
        if (dim == 0 && op != OCH_WRITE_UPDATE)
            return och_fail(err, OCHRE_INVALID,
                    "Validation error: embeddings[%zu]: it has no components; at least one is "
                    "needed",
                    i);
        for (uint32_t c = 0; c < dim; c++)
            if (!isfinite(next[c]))
                return och_fail(err, OCHRE_INVALID,
                        "Validation error: embeddings[%zu][%u]: the number is not finite", i,
                        (unsigned) c);
        next += dim;
    }
    return OCHRE_OK;
}

static ochre_status
check_metadatas(const struct och_write_input *input, struct ochre_error *err)
{
    if (input->n_metadatas == OCH_NOT_GIVEN)
        return OCHRE_OK;
    for (size_t i = 0; i < input->n_metadatas; i++) {
        char what[64];
        (void) snprintf(what, sizeof(what), "metadatas: Invalid metadata at index %zu", i);
        ochre_status status = och_validate_metadata(&input->records.metadatas[i], what, err);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}

/* Steps 6 and 7: one length, and the collection's. */
static ochre_status
check_dims(const struct och_write_input *input, uint32_t collection_dim, uint32_t *dim_out,
        struct ochre_error *err)
{
    *dim_out = 0;
    if (input->n_embeddings == OCH_NOT_GIVEN)
        return OCHRE_OK;
    for (size_t i = 0; i < input->n_embeddings; i++) {
        uint32_t dim = dim_of(input, i);
        if (*dim_out == 0)
            *dim_out = dim;
        if (dim != 0 && dim != *dim_out)
            return och_fail(err, OCHRE_INVALID,
                    "Inconsistent dimensions in provided embeddings: embeddings[%zu] has dimension "
                    "%u, others %u",
                    i, (unsigned) dim, (unsigned) *dim_out);
    }
    if (*dim_out != 0 && collection_dim != 0 && *dim_out != collection_dim)
        return och_fail(err, OCHRE_INVALID,
                "Collection expecting embedding with dimension of %u, got %u",
                (unsigned) collection_dim, (unsigned) *dim_out);
    return OCHRE_OK;
}

static bool
has_length(size_t given, size_t n)
{
    return given == OCH_NOT_GIVEN || given == n;
}

static ochre_status
check_texts(const struct ochre_bytes *texts, size_t n, const char *what, size_t limit,
        struct ochre_error *err)
{
    for (size_t i = 0; texts != NULL && i < n; i++) {
        if (texts[i].data == NULL || texts[i].size <= limit)
            continue;
        return och_fail(err, OCHRE_INVALID,
                "Validation error: %s[%zu]: it has %zu bytes; the limit is %zu", what, i,
                texts[i].size, limit);
    }
    return OCHRE_OK;
}

/* Step 9: lengths, then ids. */
static ochre_status
check_columns(const struct och_write_input *input, struct ochre_error *err)
{
    const struct ochre_records *records = &input->records;
    size_t n = records->n;
    if (!has_length(input->n_embeddings, n) || !has_length(input->n_documents, n) ||
            !has_length(input->n_uris, n) || !has_length(input->n_metadatas, n))
        return och_fail(err, OCHRE_INVALID,
                "Inconsistent number of IDs, embeddings, documents, URIs and metadatas: there are "
                "%zu ids",
                n);
    for (size_t i = 0; i < n; i++)
        if (records->ids[i].size == 0)
            return och_fail(err, OCHRE_INVALID,
                    "Empty ID, ID must have at least one character: ids[%zu]", i);
    ochre_status status = check_texts(records->ids, n, "ids", OCH_ID_SIZE_MAX, err);
    if (status == OCHRE_OK)
        status = check_texts(records->documents, n, "documents", OCH_DOCUMENT_SIZE_MAX, err);
    if (status == OCHRE_OK)
        status = check_texts(records->uris, n, "uris", OCH_URI_SIZE_MAX, err);
    return status;
}

ochre_status
och_validate_records(const struct och_write_input *input, enum och_write_op op,
        uint32_t collection_dim, uint32_t *dim_out, struct ochre_error *err)
{
    ochre_status status = och_validate_deferred(&input->deferred, err);
    if (status == OCHRE_OK)
        status = check_vectors(input, op, err);
    if (status == OCHRE_OK)
        status = check_metadatas(input, err);
    if (status == OCHRE_OK)
        status = check_dims(input, collection_dim, dim_out, err);
    if (status == OCHRE_OK)
        status = check_columns(input, err);
    if (status == OCHRE_OK)
        status = och_validate_deferred(&input->deferred_last, err);
    return status;
}

/* --- reads ------------------------------------------------------------------- */

ochre_status
och_validate_recall_target(const char *field, double value, struct ochre_error *err)
{
    if (value > 0 && value <= 1) /* NaN is neither */
        return OCHRE_OK;
    return och_fail(err, OCHRE_INVALID, "%s is %g; it must be a number above 0 and at most 1",
            field, value);
}

float
och_recall_target_of(double value)
{
    float target = (float) value;
    return target > 0 ? target : FLT_MIN;
}
