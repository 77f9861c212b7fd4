#include "api/db.h"
#include "api/names.h"
#include "api/ops.h"
#include "base/error.h"
#include "base/limits.h"
#include "engine/notes.h"
#include "os/clock.h"

ochre_status
och_op_database_create(struct ochre_db *db, struct ochre_bytes tenant, struct ochre_bytes name,
        struct ochre_error *err)
{
    struct ochre_error why;
    ochre_status status = och_name_check(OCH_NAME_DATABASE, name, &why);
    if (status != OCHRE_OK)
        return och_fail(err, status, "Validation error: name: %.400s", why.message);
    if (tenant.size == 0 || tenant.size > OCH_TENANT_SIZE_MAX)
        return och_fail(err, OCHRE_INVALID,
                "Validation error: tenant: it has %zu bytes; 1 to %u are allowed", tenant.size,
                OCH_TENANT_SIZE_MAX);
    status = och_db_admit_change(db, err);
    if (status == OCHRE_OK)
        status = och_space_admit(&db->engine->space, err);
    if (status != OCHRE_OK)
        return status;
    uint8_t random[16];
    status = och_machine_entropy(db->options.machine, random, sizeof(random), err);
    if (status != OCHRE_OK)
        return status;
    struct och_database_row row = {
            .id = och_uuid_from_random(random), .tenant = tenant, .name = name};
    const struct och_note note = {
            .kind = OCH_NOTE_DATABASE_CREATE, .id = row.id, .tenant = tenant, .database = name};
    status = och_db_begin_change(db, &note, err);
    if (status != OCHRE_OK)
        return status;
    status = db->catalog->ops->database_create(db->catalog, &row, err);
    return och_db_end_change(db, &note, status);
}

ochre_status
och_op_database_get(struct ochre_db *db, struct och_arena *arena, struct ochre_bytes tenant,
        struct ochre_bytes name, struct och_database_row *row_out, struct ochre_error *err)
{
    *row_out = (struct och_database_row){.name = {.data = NULL}};
    ochre_status status = och_db_be_current(db, err);
    if (status != OCHRE_OK)
        return status;
    return db->catalog->ops->database_get(db->catalog, arena, tenant, name, row_out, err);
}

ochre_status
och_op_database_list(struct ochre_db *db, struct och_arena *arena, struct ochre_bytes tenant,
        uint64_t limit, uint64_t offset, struct och_database_row **rows_out, size_t *n_out,
        struct ochre_error *err)
{
    *rows_out = NULL;
    *n_out = 0;
    ochre_status status = och_db_be_current(db, err);
    if (status != OCHRE_OK)
        return status;
    return db->catalog->ops->database_list(
            db->catalog, arena, tenant, limit, offset, rows_out, n_out, err);
}

/* A database goes with its collections, while no write is in progress. */
struct dropping {
    struct ochre_db *db;
    struct och_arena arena;
    struct ochre_bytes tenant, name;
};

static ochre_status
drop_database(void *context, struct och_uuid **dropped_out, size_t *n_out, struct ochre_error *err)
{
    struct dropping *dropping = context;
    struct och_catalog *catalog = dropping->db->catalog;
    struct och_notes *notes = dropping->db->engine->ports.notes;
    const struct och_note note = {.kind = OCH_NOTE_DATABASE_DELETE,
            .tenant = dropping->tenant,
            .database = dropping->name};
    ochre_status status = och_notes_before(notes, &note, err);
    if (status != OCHRE_OK)
        return status;
    status = catalog->ops->database_delete(
            catalog, &dropping->arena, dropping->tenant, dropping->name, dropped_out, n_out, err);
    och_notes_after(notes, &note, status);
    return status;
}

ochre_status
och_op_database_delete(struct ochre_db *db, struct ochre_bytes tenant, struct ochre_bytes name,
        struct ochre_error *err)
{
    struct dropping dropping = {.db = db, .tenant = tenant, .name = name};
    och_arena_init(&dropping.arena, &db->mem);
    ochre_status status = och_db_admit_change(db, err);
    if (status == OCHRE_OK)
        status = och_engine_drop_many(db->engine, drop_database, &dropping, err);
    och_arena_clear(&dropping.arena);
    return status;
}
