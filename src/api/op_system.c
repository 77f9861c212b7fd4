#include <string.h>

#include "api/backup.h"
#include "api/db.h"
#include "api/ops.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "engine/collection.h"
#include "os/clock.h"

uint64_t
och_op_heartbeat_ns(struct ochre_db *db)
{
    return och_machine_wall_ns(db->options.machine);
}

ochre_status
och_op_backup(struct ochre_db *db, struct och_backup_totals *totals_out, struct ochre_error *err)
{
    *totals_out = (struct och_backup_totals){.n_files = 0};
    ochre_status status = och_db_admit_change(db, err);
    if (status != OCHRE_OK)
        return status;
    if (db->options.backup_dir == NULL)
        return och_fail(err, OCHRE_DENIED,
                "Backups are off: start the server with --backup-dir DIR (backup_dir)");
    return och_backup_database_to(db, db->options.backup_dir, totals_out, err);
}

ochre_status
och_op_reset(struct ochre_db *db, struct ochre_error *err)
{
    ochre_status status = och_db_admit_change(db, err);
    if (status != OCHRE_OK)
        return status;
    if (!db->options.allow_reset)
        return och_fail(err, OCHRE_DENIED, "Reset is disabled by config");
    return och_engine_reset(db->engine, err);
}

/* The catalog's lock is held while it is asked: only remember. */
static ochre_status
remember(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    struct och_buf *ids = context;
    (void) number;
    (void) state;
    (void) n_segments;
    och_buf_put(ids, id.bytes, sizeof(id.bytes));
    return OCHRE_OK;
}

/* One that was dropped meanwhile is as good as compacted. */
static ochre_status
compact_one(struct ochre_db *db, struct och_uuid id, struct ochre_error *err)
{
    struct och_arena arena;
    och_arena_init(&arena, &db->mem);
    struct och_collection_row row;
    struct och_collection *collection = NULL;
    ochre_status status = db->catalog->ops->collection_by_id(db->catalog, &arena, id, &row, err);
    if (status == OCHRE_OK)
        status = och_engine_collection(db->engine, &row, &collection, err);
    if (status == OCHRE_OK)
        status = och_engine_compact(db->engine, collection, err);
    och_collection_release(collection);
    och_arena_clear(&arena);
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

static ochre_status
compact_all(struct ochre_db *db, struct ochre_error *err)
{
    struct och_arena arena;
    struct och_buf ids;
    och_arena_init(&arena, &db->mem);
    och_buf_init(&ids, &db->mem, SIZE_MAX / 2);
    ochre_status first_failure =
            db->catalog->ops->each_collection(db->catalog, &arena, remember, &ids, err);
    if (first_failure == OCHRE_OK && och_buf_status(&ids) != OCHRE_OK)
        first_failure = och_fail_memory(err);
    bool listed = first_failure == OCHRE_OK;
    struct och_uuid id;
    for (size_t at = 0; listed && at < ids.size; at += sizeof(id.bytes)) {
        struct ochre_error why;
        memcpy(id.bytes, ids.data + at, sizeof(id.bytes));
        ochre_status status = atomic_load_explicit(&db->gives_up, memory_order_relaxed)
                ? och_fail(&why, OCHRE_UNAVAILABLE, "The database is being closed")
                : compact_one(db, id, &why);
        if (status == OCHRE_OK || first_failure != OCHRE_OK)
            continue;
        first_failure = status;
        if (err != NULL)
            *err = why;
    }
    och_buf_clear(&ids);
    och_arena_clear(&arena);
    return first_failure;
}

/* One at a time: a second one would wait for the first, collection by collection. */
static ochre_status
begin_tidying(struct ochre_db *db, struct ochre_error *err)
{
    ochre_status status = och_db_admit_change(db, err);
    if (status != OCHRE_OK)
        return status;
    if (!atomic_flag_test_and_set(&db->is_tidied))
        return OCHRE_OK;
    return och_fail(err, OCHRE_BUSY, "The database is being compacted or purged already");
}

ochre_status
och_op_compact(struct ochre_db *db, struct ochre_error *err)
{
    ochre_status status = begin_tidying(db, err);
    if (status != OCHRE_OK)
        return status;
    status = compact_all(db, err);
    atomic_flag_clear(&db->is_tidied);
    return status;
}

ochre_status
och_op_purge(struct ochre_db *db, struct ochre_error *err)
{
    uint64_t lsn = 0;
    ochre_status status = begin_tidying(db, err);
    if (status != OCHRE_OK)
        return status;
    status = och_engine_purge_begin(db->engine, &lsn, err);
    if (status == OCHRE_OK)
        status = compact_all(db, err);
    if (status == OCHRE_OK)
        status = och_engine_purge_end(db->engine, lsn, err);
    atomic_flag_clear(&db->is_tidied);
    return status;
}
