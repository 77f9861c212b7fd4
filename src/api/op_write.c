#include "api/db.h"
#include "api/ops.h"
#include "api/validate.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "engine/collection.h"
#include "engine/commit.h"

static uint32_t
dim_now(struct och_collection *collection)
{
    och_mutex_lock(&collection->lock);
    uint32_t dim = collection->published.dim;
    och_mutex_unlock(&collection->lock);
    return dim;
}

/* Encode and commit records that were found to be right. */
static ochre_status
commit_records(struct ochre_db *db, struct och_collection *collection, enum och_write_op op,
        const struct och_write_input *input, uint64_t *position_out, struct ochre_error *err)
{
    struct och_arena scratch;
    struct och_buf payload;
    och_arena_init(&scratch, &db->mem);
    och_buf_init(&payload, &db->mem, OCH_WRITE_SIZE_MAX);
    ochre_status status = och_write_encode(&payload, &scratch, op, &input->records);
    if (status != OCHRE_OK && payload.full)
        status = och_fail(err, OCHRE_TOO_LARGE,
                "the request needs more than %u bytes in the log; split it", OCH_WRITE_SIZE_MAX);
    else if (status != OCHRE_OK)
        status = och_fail_memory(err);
    if (status == OCHRE_OK) {
        struct och_commit_request request = {
                .collection = collection, .payload = {payload.data, payload.size}};
        status = och_commit_run(db->engine->commit, &request, err);
        *position_out = request.position;
    }
    och_buf_clear(&payload);
    och_arena_clear(&scratch);
    return status;
}

ochre_status
och_op_write(struct ochre_db *db, const struct och_target *target, enum och_write_op op,
        const struct och_write_input *input, struct och_written *written_out,
        struct ochre_error *err)
{
    *written_out = (struct och_written){0};
    struct och_collection *collection;
    ochre_status status = och_validate_target(db, target, &collection, err);
    if (status != OCHRE_OK)
        return status;
    uint32_t dim;
    written_out->position = och_collection_position(collection);
    status = och_db_admit_change(db, err);
    if (status == OCHRE_OK)
        status = och_collection_usable(collection, err);
    if (status == OCHRE_OK)
        status = och_validate_records(input, op, dim_now(collection), &dim, err);
    if (status == OCHRE_OK && input->records.n > 0)
        status = commit_records(db, collection, op, input, &written_out->position, err);
    och_collection_release(collection);
    return status;
}
