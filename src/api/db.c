#include "api/db.h"

#include "api/archive.h"
#include "api/schema.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "drivers/catalog_sqlite.h"
#include "drivers/log_file.h"
#include "engine/catalog.h"
#include "engine/commit.h"
#include "engine/notes.h"
#include "engine/space.h"
#include "os/vfs.h"

/* What the engine needs to know of a schema. */
static ochre_status
settings_of(void *context, struct ochre_bytes text, struct och_collection_settings *settings_out,
        struct ochre_error *err)
{
    struct ochre_db *db = context;
    struct och_arena arena;
    och_arena_init(&arena, &db->mem);
    const struct och_schema *schema;
    ochre_status status = och_schema_parse(&arena, text, &schema, err);
    if (status == OCHRE_OK)
        *settings_out = och_schema_settings(schema);
    och_arena_clear(&arena);
    return status;
}

static struct och_ports
ports_of(struct ochre_db *db)
{
    const struct och_db_options *options = &db->options;
    db->log_options = (struct och_wal_options){.mem = &db->mem,
            .vfs = options->vfs,
            .machine = options->machine,
            .database = db->directory.database,
            .defers_syncs = options->defers_syncs,
            .keeps_reach = !options->defers_syncs};
    return (struct och_ports){.mem = &db->mem,
            .vfs = options->vfs,
            .machine = options->machine,
            .kernels = options->kernels,
            .catalog = db->catalog,
            .executor = options->executor};
}

/* Beside whoever writes: nothing is locked. */
static ochre_status
open_parts_to_read(struct ochre_db *db, struct ochre_error *err)
{
    const struct och_db_options *options = &db->options;
    ochre_status status = och_directory_look(options->vfs, &db->directory, err);
    if (status == OCHRE_OK)
        status = och_catalog_sqlite_open_beside(&db->mem, options->vfs, &db->catalog, err);
    if (status != OCHRE_OK)
        return status;
    struct och_ports ports = ports_of(db);
    status = och_log_file_tail(&db->log_options, &db->tail, err);
    if (status != OCHRE_OK)
        return status;
    ports.tail = db->tail;
    return och_engine_open(&ports, &options->engine, settings_of, db, &db->engine, err);
}

/* The engine's log goes by way of the archive. */
static ochre_status
open_archive(struct ochre_db *db, struct och_ports *ports, struct ochre_error *err)
{
    const struct och_archive_options options = {.mem = &db->mem,
            .vfs = db->options.archive,
            .database_vfs = db->options.vfs,
            .machine = db->options.machine,
            .catalog = db->catalog,
            .database = db->directory.database,
            .log = ports->log};
    ochre_status status = och_archive_open(&options, &db->archive, err);
    if (status != OCHRE_OK)
        return status;
    ports->log = och_archive_log(db->archive);
    ports->notes = och_archive_notes(db->archive);
    return OCHRE_OK;
}

static ochre_status
open_parts(struct ochre_db *db, struct ochre_error *err)
{
    const struct och_db_options *options = &db->options;
    if (options->read_only)
        return open_parts_to_read(db, err);
    ochre_status status = och_directory_open(
            options->vfs, options->machine, options->create, &db->directory, err);
    if (status != OCHRE_OK)
        return status;
    const struct och_catalog_sqlite_options catalog = {.mem = &db->mem,
            .vfs = options->vfs,
            .log = options->log,
            .create = db->directory.is_new};
    status = och_catalog_sqlite_open_with(&catalog, &db->catalog, err);
    if (status == OCHRE_FULL && och_space_give_early(options->vfs))
        status = och_catalog_sqlite_open_with(&catalog, &db->catalog, err);
    if (status != OCHRE_OK)
        return status;
    struct och_ports ports = ports_of(db);
    ports.log = och_log_file_source(&db->log_options);
    if (options->archive != NULL)
        status = open_archive(db, &ports, err);
    if (status == OCHRE_OK)
        status = och_engine_open(&ports, &options->engine, settings_of, db, &db->engine, err);
    if (status == OCHRE_OK)
        status = db->archive != NULL ? och_archive_begin(db->archive, db->engine, err)
                                     : och_archive_give_up(options->vfs, err);
    /* Not before all of it was found to be ours.  On a full disk it comes later: the next
     * transaction of the catalog needs it. */
    if (status == OCHRE_OK) {
        ochre_status kept = db->catalog->ops->keep_copy(db->catalog, NULL);
        (void) kept;
    }
    return status;
}

ochre_status
och_db_open(const struct och_db_options *options, struct ochre_db **db_out, struct ochre_error *err)
{
    *db_out = NULL;
    /* The handle itself is paid by the account above, since it holds its own. */
    struct ochre_db *db = och_mem_take_zeroed(options->mem, sizeof(*db));
    if (db == NULL)
        return och_fail_memory(err);
    och_mem_init(&db->mem, options->mem);
    db->options = *options;
    och_scrub_state_init(&db->scrub);
    ochre_status status = open_parts(db, err);
    if (status != OCHRE_OK) {
        och_db_close(db);
        return status;
    }
    *db_out = db;
    return OCHRE_OK;
}

void
och_db_give_up(struct ochre_db *db)
{
    if (db == NULL)
        return;
    atomic_store_explicit(&db->gives_up, true, memory_order_relaxed);
    och_engine_stop_merges(db->engine);
}

void
och_db_watch(struct ochre_db *db, void (*progress)(void *context, uint64_t done, uint64_t total),
        void *context)
{
    db->progress = progress;
    db->progress_context = context;
}

ochre_status
och_db_admit_change(struct ochre_db *db, struct ochre_error *err)
{
    if (!db->options.read_only)
        return OCHRE_OK;
    return och_fail(err, OCHRE_DENIED,
            "the database is open read-only (--read-only): write through the process that has "
            "it open for writing");
}

ochre_status
och_db_be_current(struct ochre_db *db, struct ochre_error *err)
{
    if (!db->options.read_only)
        return OCHRE_OK;
    return och_follow_now(db->engine, OCH_FOLLOW_LATE_MS * UINT64_C(1000000), err);
}

ochre_status
och_db_begin_change(struct ochre_db *db, const struct och_note *note, struct ochre_error *err)
{
    struct och_notes *notes = db->engine->ports.notes;
    if (notes == NULL)
        return OCHRE_OK;
    och_commit_enter(db->engine->commit);
    ochre_status status = och_notes_before(notes, note, err);
    if (status != OCHRE_OK)
        och_commit_leave(db->engine->commit);
    return status;
}

ochre_status
och_db_end_change(struct ochre_db *db, const struct och_note *note, ochre_status status)
{
    struct och_notes *notes = db->engine->ports.notes;
    if (notes == NULL)
        return status;
    och_notes_after(notes, note, status);
    och_commit_leave(db->engine->commit);
    return status;
}

static ochre_status
list_id(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    struct och_buf *ids = context;
    (void) number;
    (void) state;
    (void) n_segments;
    och_buf_put(ids, id.bytes, sizeof(id.bytes));
    return OCHRE_OK;
}

ochre_status
och_db_list_collections(struct ochre_db *db, struct och_buf *ids, struct ochre_error *err)
{
    struct och_arena arena;
    och_arena_init(&arena, &db->mem);
    ochre_status status = db->catalog->ops->each_collection(db->catalog, &arena, list_id, ids, err);
    och_arena_clear(&arena);
    return status == OCHRE_OK && och_buf_status(ids) != OCHRE_OK ? och_fail_memory(err) : status;
}

bool
och_db_lacks_log(const struct ochre_db *db)
{
    const struct och_record_log *log = db->engine->log;
    return log != NULL && log->ops->has_holes(log);
}

void
och_db_close(struct ochre_db *db)
{
    if (db == NULL)
        return;
    /* What cannot be copied now is copied after the next opening. */
    if (db->archive != NULL && db->engine != NULL) {
        ochre_status copied = och_archive_copy(db->archive, NULL);
        (void) copied;
    }
    och_engine_close(db->engine);
    och_archive_close(db->archive);
    if (db->tail != NULL)
        db->tail->ops->close(db->tail);
    if (db->catalog != NULL)
        db->catalog->ops->close(db->catalog);
    och_directory_close(&db->directory);
    och_scrub_state_clear(&db->scrub);
    och_mem_release(db->options.mem, db, sizeof(*db));
}
