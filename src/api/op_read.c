#include <math.h>

#include "api/cursor.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/schema.h"
#include "api/validate.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "segment/filter.h"

/* Are the indexes that the filter needs switched on? */
static ochre_status
check_indexes(struct ochre_db *db, const struct och_target *target, struct och_arena *arena,
        const struct ochre_filter *filter, struct ochre_error *err)
{
    if (filter->n_nodes == 0)
        return OCHRE_OK;
    struct och_collection_row row;
    const struct och_schema *schema;
    ochre_status status =
            db->catalog->ops->collection_by_id(db->catalog, arena, target->id, &row, err);
    if (status == OCHRE_OK)
        status = och_schema_parse(arena, row.schema, &schema, err);
    if (status == OCHRE_OK)
        status = och_schema_check_filter(schema, filter, err);
    return status;
}

/* Turn decoded input into a selection; clear its filter after use. */
static ochre_status
prepare_select(struct ochre_db *db, const struct och_target *target, struct och_arena *arena,
        const struct och_select_input *input, struct och_select *select, struct ochre_error *err)
{
    *select = (struct och_select){
            .mem = &db->mem, .has_ids = input->has_ids, .ids = input->ids, .n_ids = input->n_ids};
    ochre_status status = och_filter_compile(&db->mem, arena, &input->filter, &select->filter, err);
    if (status == OCHRE_OK)
        status = check_indexes(db, target, arena, &input->filter, err);
    if (status != OCHRE_OK)
        och_filter_clear(&select->filter);
    return status;
}

/*
 * The collection of a target, for a read of the past.  Beside a writer the position may be one
 * that it has just answered with: a look shows it.
 */
static ochre_status
open_at(struct ochre_db *db, const struct och_target *target, const uint64_t *as_of,
        struct och_collection **collection_out, struct ochre_error *err)
{
    ochre_status status = och_validate_target(db, target, collection_out, err);
    if (status != OCHRE_OK || as_of == NULL || !och_follow_is_on(db->engine))
        return status;
    if (*as_of <= och_collection_position(*collection_out))
        return OCHRE_OK;
    och_collection_release(*collection_out);
    *collection_out = NULL;
    status = och_follow_now(db->engine, 0, err);
    return status == OCHRE_OK ? och_validate_target(db, target, collection_out, err) : status;
}

/* --- get -------------------------------------------------------------------- */

/* What a cursor says goes into the engine's request; `place` lives as long as that. */
static ochre_status
take_cursor(const struct och_get_input *input, struct och_cursor *place, struct och_get *get,
        struct ochre_error *err)
{
    if (!input->pages)
        return OCHRE_OK;
    get->pages = true;
    if (input->limit == 0)
        return och_fail(err, OCHRE_INVALID,
                "Validation error: limit: it is 0; with a cursor it must be at least 1");
    if (input->cursor.size == 0)
        return OCHRE_OK;
    if (input->offset != 0)
        return och_fail(err, OCHRE_INVALID,
                "Validation error: offset: it is %llu; it must be 0 where a cursor goes on",
                (unsigned long long) input->offset);
    ochre_status status = och_cursor_parse(input->cursor, place->digest, place, err);
    if (status == OCHRE_OK && input->as_of != NULL && *input->as_of != place->position)
        status = och_fail(err, OCHRE_INVALID,
                "Validation error: as_of: it is %llu; the cursor's position is %llu",
                (unsigned long long) *input->as_of, (unsigned long long) place->position);
    get->as_of = &place->position;
    get->after = &place->ordinal;
    return status;
}

/* Where the next page goes on. */
static ochre_status
put_cursor(struct och_result *result, uint64_t digest, struct ochre_error *err)
{
    struct och_cursor place = {.position = result->snapshot.facts.position,
            .ordinal = result->last_ordinal,
            .digest = digest};
    if (!result->has_more)
        return OCHRE_OK;
    char *text = och_arena_take(&result->arena, OCH_CURSOR_SIZE);
    if (text == NULL)
        return och_fail_memory(err);
    och_cursor_put(&place, text);
    result->cursor = (struct ochre_bytes){text, OCH_CURSOR_SIZE};
    return OCHRE_OK;
}

ochre_status
och_op_get(struct ochre_db *db, const struct och_target *target, const struct och_get_input *input,
        struct och_result **result_out, struct ochre_error *err)
{
    *result_out = NULL;
    struct och_collection *collection;
    struct och_cursor place = {.digest = 0};
    struct och_get get = {.offset = input->offset,
            .limit = input->limit,
            .include = input->include,
            .as_of = input->as_of};
    if (input->pages)
        place.digest = och_cursor_digest(target->id, &input->select);
    struct ochre_error why = {.status = OCHRE_OK};
    ochre_status wrong = take_cursor(input, &place, &get, &why);
    ochre_status status =
            open_at(db, target, wrong == OCHRE_OK ? get.as_of : NULL, &collection, err);
    if (status != OCHRE_OK)
        return status;
    struct och_arena arena;
    struct och_result *result = NULL;
    och_arena_init(&arena, &db->mem);
    status = och_validate_deferred(&input->select.deferred, err);
    if (status == OCHRE_OK)
        status = och_validate_deferred(&why, err);
    if (status == OCHRE_OK)
        status = prepare_select(db, target, &arena, &input->select, &get.select, err);
    if (status == OCHRE_OK) {
        status = och_engine_get(&db->mem, collection, &get, &result, err);
        och_filter_clear(&get.select.filter);
    }
    if (status == OCHRE_OK)
        status = put_cursor(result, place.digest, err);
    if (status == OCHRE_OK)
        *result_out = result;
    else
        och_result_release(result);
    och_arena_clear(&arena);
    och_collection_release(collection);
    return status;
}

/* --- query ------------------------------------------------------------------ */

static ochre_status
check_queries(const struct och_query_input *input, struct ochre_error *err)
{
    if (input->n_queries > OCH_QUERIES_PER_REQUEST_MAX)
        return och_fail(err, OCHRE_INVALID,
                "Validation error: query_embeddings: there are %zu; the limit is %u",
                input->n_queries, OCH_QUERIES_PER_REQUEST_MAX);
    const float *next = input->queries;
    for (size_t i = 0; i < input->n_queries; i++) {
        for (uint32_t c = 0; c < input->dims[i]; c++)
            if (!isfinite(next[c]))
                return och_fail(err, OCHRE_INVALID,
                        "Validation error: query_embeddings[%zu][%u]: the number is not finite", i,
                        (unsigned) c);
        next += input->dims[i];
    }
    return OCHRE_OK;
}

/* All queries have the collection's dimension; any length will do while the
 * collection has none. */
static ochre_status
check_query_dims(struct och_collection *collection, const struct och_query_input *input,
        struct ochre_error *err)
{
    och_mutex_lock(&collection->lock);
    uint32_t dim = collection->published.dim;
    och_mutex_unlock(&collection->lock);
    for (size_t i = 0; dim != 0 && i < input->n_queries; i++)
        if (input->dims[i] != dim)
            return och_fail(err, OCHRE_INVALID,
                    "Collection expecting embedding with dimension of %u, got %u", (unsigned) dim,
                    (unsigned) input->dims[i]);
    return OCHRE_OK;
}

static ochre_status
check_options(const struct och_query_input *input, struct ochre_error *err)
{
    if (input->effort > OCH_EFFORT_MAX)
        return och_fail(err, OCHRE_INVALID, "effort is %u; it must be a whole number from 1 to %u",
                (unsigned) input->effort, OCH_EFFORT_MAX);
    bool given =
            input->recall_target < 0 || input->recall_target > 0 || isnan(input->recall_target);
    return given ? och_validate_recall_target("recall_target", (double) input->recall_target, err)
                 : OCHRE_OK;
}

ochre_status
och_op_query(struct ochre_db *db, const struct och_target *target,
        const struct och_query_input *input, struct och_result **result_out,
        struct ochre_error *err)
{
    *result_out = NULL;
    struct och_collection *collection;
    ochre_status status = open_at(db, target, input->as_of, &collection, err);
    if (status != OCHRE_OK)
        return status;
    struct och_arena arena;
    och_arena_init(&arena, &db->mem);
    struct och_query query = {.queries = input->queries,
            .n_queries = input->n_queries,
            .dim = input->n_queries > 0 ? input->dims[0] : 0,
            .k = input->k,
            .include = input->include,
            .exact = input->exact,
            .explain = input->explain,
            .recall_target = input->recall_target,
            .effort = input->effort,
            .as_of = input->as_of,
            .all_ids_must_exist = input->select.has_ids && !input->select.has_filter};
    status = och_validate_deferred(&input->select.deferred, err);
    if (status == OCHRE_OK)
        status = och_validate_deferred(&input->deferred, err);
    if (status == OCHRE_OK)
        status = check_options(input, err);
    if (status == OCHRE_OK)
        status = check_queries(input, err);
    if (status == OCHRE_OK)
        status = check_query_dims(collection, input, err);
    if (status == OCHRE_OK)
        status = prepare_select(db, target, &arena, &input->select, &query.select, err);
    if (status == OCHRE_OK) {
        status = och_engine_query(&db->mem, collection, &query, result_out, err);
        och_filter_clear(&query.select.filter);
    }
    och_arena_clear(&arena);
    och_collection_release(collection);
    return status;
}

ochre_status
och_op_count(struct ochre_db *db, const struct och_target *target, const uint64_t *as_of,
        uint64_t *count_out, uint64_t *position_out, struct ochre_error *err)
{
    *count_out = 0;
    struct och_collection *collection;
    ochre_status status = open_at(db, target, as_of, &collection, err);
    if (status != OCHRE_OK)
        return status;
    status = och_engine_count(&db->mem, collection, as_of, count_out, position_out, err);
    och_collection_release(collection);
    return status;
}

ochre_status
och_op_index_status(struct ochre_db *db, const struct och_target *target,
        struct och_index_status *status_out, struct ochre_error *err)
{
    *status_out = (struct och_index_status){.rows = 0};
    struct och_collection *collection;
    ochre_status status = och_validate_target(db, target, &collection, err);
    if (status != OCHRE_OK)
        return status;
    status = och_engine_index_status(&db->mem, collection, status_out, err);
    och_collection_release(collection);
    return status;
}

/* --- delete ----------------------------------------------------------------- */

static ochre_status
delete_selected(struct ochre_db *db, struct och_collection *collection,
        const struct och_target *target, const struct och_select_input *input, uint64_t limit,
        struct och_written *written_out, struct ochre_error *err)
{
    struct och_arena arena;
    och_arena_init(&arena, &db->mem);
    struct och_select select;
    ochre_status status = prepare_select(db, target, &arena, input, &select, err);
    if (status == OCHRE_OK) {
        struct och_commit_request request = {
                .collection = collection, .doomed = &select, .limit = limit};
        status = och_commit_run(db->engine->commit, &request, err);
        *written_out = (struct och_written){request.position, request.n_deleted};
        och_filter_clear(&select.filter);
    }
    och_arena_clear(&arena);
    return status;
}

/* Ids that no record can have are asked for all the same; they delete nothing. */
static ochre_status
delete_ids(struct ochre_db *db, const struct och_target *target,
        const struct och_select_input *input, struct och_written *written_out,
        struct ochre_error *err)
{
    struct och_arena arena;
    och_arena_init(&arena, &db->mem);
    struct ochre_bytes *ids = och_arena_take_array(&arena, input->n_ids, sizeof(*ids));
    if (ids == NULL) {
        och_arena_clear(&arena);
        return och_fail_memory(err);
    }
    ochre_status status = OCHRE_OK;
    size_t n = 0;
    for (size_t i = 0; i < input->n_ids; i++)
        if (input->ids[i].size > 0 && input->ids[i].size <= OCH_ID_SIZE_MAX)
            ids[n++] = input->ids[i];
    if (n > 0) {
        struct och_write_input write = {.records = {.n = n, .ids = ids},
                .n_embeddings = OCH_NOT_GIVEN,
                .n_documents = OCH_NOT_GIVEN,
                .n_uris = OCH_NOT_GIVEN,
                .n_metadatas = OCH_NOT_GIVEN};
        status = och_op_write(db, target, OCH_WRITE_DELETE, &write, written_out, err);
    }
    och_arena_clear(&arena);
    return status;
}

ochre_status
och_op_delete(struct ochre_db *db, const struct och_target *target,
        const struct och_select_input *input, uint64_t limit, struct och_written *written_out,
        struct ochre_error *err)
{
    *written_out = (struct och_written){0};
    struct och_collection *collection;
    ochre_status status = och_validate_target(db, target, &collection, err);
    if (status != OCHRE_OK)
        return status;
    written_out->position = och_collection_position(collection);
    status = och_db_admit_change(db, err);
    if (status == OCHRE_OK)
        status = och_validate_deferred(&input->deferred, err);
    if (status == OCHRE_OK && limit != UINT64_MAX && !input->has_filter)
        status = och_fail(err, OCHRE_INVALID,
                "limit can only be specified when a where or where_document clause is provided");
    if (status == OCHRE_OK && input->has_ids && input->n_ids == 0 && !input->has_filter)
        status = och_fail(err, OCHRE_INVALID,
                "Validation error: ids: the list is empty; name at least one id or give a filter");
    if (status == OCHRE_OK && input->has_filter) {
        status = delete_selected(db, collection, target, input, limit, written_out, err);
    } else if (status == OCHRE_OK && input->has_ids) {
        status = delete_ids(db, target, input, written_out, err);
        written_out->n_deleted = status == OCHRE_OK ? input->n_ids : 0;
    }
    och_collection_release(collection);
    return status;
}
