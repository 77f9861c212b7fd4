#include <stdio.h>
#include <string.h>

#include "api/check.h"
#include "api/paced_files.h"
#include "api/repair_internal.h"
#include "api/schema.h"
#include "base/error.h"
#include "base/mem.h"
#include "drivers/catalog_pages.h"
#include "drivers/catalog_sqlite.h"
#include "drivers/log_file.h"
#include "engine/collection.h"
#include "engine/engine.h"
#include "os/vfs.h"
#include "storage/directory.h"

/* --- taking it ------------------------------------------------------------------ */

static const struct och_hold_kind repair_kind = {
        .mark = OCH_DIR_REPAIRING, .does = "repairs to", .verb = "repair to"};

/* Removing what an interrupted repair left: names are collected, then removed. */
struct clearing {
    const char *dir;
    struct och_arena arena;
    char **paths;
    bool *are_dirs;
    size_t n, room;
    struct ochre_error *err;
};

static ochre_status
note_leftover(void *context, const char *name, bool is_dir)
{
    struct clearing *clearing = context;
    bool is_held = strcmp(name, OCH_DIR_REPAIRING) == 0 || strcmp(name, OCH_DIR_LOCK) == 0;
    if (clearing->dir[0] == '\0' && is_held)
        return OCHRE_OK;
    if (clearing->n == clearing->room) {
        size_t room = clearing->room == 0 ? 16 : clearing->room * 2;
        char **paths = och_arena_take_array(&clearing->arena, room, sizeof(*paths));
        bool *are_dirs = och_arena_take_array(&clearing->arena, room, sizeof(*are_dirs));
        if (paths == NULL || are_dirs == NULL)
            return och_fail_memory(clearing->err);
        if (clearing->n > 0) {
            memcpy(paths, clearing->paths, clearing->n * sizeof(*paths));
            memcpy(are_dirs, clearing->are_dirs, clearing->n * sizeof(*are_dirs));
        }
        clearing->paths = paths;
        clearing->are_dirs = are_dirs;
        clearing->room = room;
    }
    char path[OCH_PATH_SIZE_MAX];
    int size = snprintf(
            path, sizeof(path), "%s%s%s", clearing->dir, clearing->dir[0] == '\0' ? "" : "/", name);
    char *copy = och_arena_copy(&clearing->arena, path, (size_t) size + 1);
    if (copy == NULL)
        return och_fail_memory(clearing->err);
    clearing->paths[clearing->n] = copy;
    clearing->are_dirs[clearing->n++] = is_dir;
    return OCHRE_OK;
}

/* Clear a directory; directories in it are as deep as a database has them. */
static ochre_status
clear_directory(struct och_mem *mem, struct och_vfs *vfs, const char *dir, unsigned depth,
        struct ochre_error *err)
{
    struct clearing clearing = {.dir = dir, .err = err};
    och_arena_init(&clearing.arena, mem);
    ochre_status status = och_vfs_list(vfs, dir, note_leftover, &clearing, err);
    for (size_t i = 0; i < clearing.n && status == OCHRE_OK; i++) {
        const char *path = clearing.paths[i];
        if (!clearing.are_dirs[i]) {
            status = och_vfs_remove(vfs, path, err);
            continue;
        }
        /* NOLINTNEXTLINE(misc-no-recursion): as deep as a database's directory */
        status = depth > 0 ? clear_directory(mem, vfs, path, depth - 1, err) : OCHRE_OK;
        if (status == OCHRE_OK)
            status = och_vfs_rmdir(vfs, path, err);
    }
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, dir, err);
    och_arena_clear(&clearing.arena);
    return status;
}

static ochre_status
make_directories(struct och_repair *repair, struct ochre_error *err)
{
    static const char *const dirs[] = {OCH_DIR_TMP, "log", OCH_DIR_SEGMENTS};
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && status == OCHRE_OK; i++)
        status = och_vfs_mkdir(repair->to, dirs[i], err);
    return status == OCHRE_OK ? och_vfs_sync_dir(repair->to, "", err) : status;
}

ochre_status
och_repair_clear(struct och_mem *mem, struct och_vfs *vfs, struct ochre_error *err)
{
    static const char *const last[] = {OCH_DIR_REPAIRING, OCH_DIR_LOCK};
    /* Without it nothing opens the rest. */
    ochre_status status = och_vfs_remove(vfs, OCH_DIR_FORMAT, err);
    if (status == OCHRE_OK || status == OCHRE_NOT_FOUND)
        status = och_vfs_sync_dir(vfs, "", err);
    if (status == OCHRE_OK)
        status = clear_directory(mem, vfs, "", 2, err);
    for (size_t i = 0; i < sizeof(last) / sizeof(last[0]) && status == OCHRE_OK; i++) {
        status = och_vfs_remove(vfs, last[i], err);
        if (status == OCHRE_NOT_FOUND)
            status = OCHRE_OK;
    }
    return status == OCHRE_OK ? och_vfs_sync_dir(vfs, "", err) : status;
}

ochre_status
och_repair_take_target(struct och_repair *repair, struct ochre_error *err)
{
    bool has_other = false;
    ochre_status status =
            och_hold_take_target(repair->to, &repair_kind, &repair->hold, &has_other, err);
    if (status == OCHRE_OK && has_other)
        status = clear_directory(repair->mem, repair->to, "", 2, err);
    return status == OCHRE_OK ? make_directories(repair, err) : status;
}

/* --- finishing it ---------------------------------------------------------------- */

/* A file of these bytes, whose name is not durable yet. */
static ochre_status
write_file(struct och_repair *repair, const char *path, const struct och_buf *bytes,
        struct ochre_error *err)
{
    struct och_file *file = NULL;
    ochre_status status =
            och_vfs_open(repair->to, path, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, err);
    if (status == OCHRE_OK && bytes->size > 0)
        status = och_file_write(file, 0, bytes->data, bytes->size, err);
    if (status == OCHRE_OK)
        status = och_file_sync(file, err);
    och_file_close(file);
    return status;
}

static ochre_status
write_catalog(struct och_repair *repair, struct ochre_error *err)
{
    struct och_catalog *catalog = repair->catalog.catalog;
    struct och_buf bytes;
    och_buf_init(&bytes, repair->mem, SIZE_MAX / 2);
    ochre_status status = catalog->ops->copy(catalog, &bytes, err);
    if (status == OCHRE_OK)
        status = write_file(repair, OCH_CATALOG_FILE, &bytes, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(repair->to, "", err);
    och_buf_clear(&bytes);
    return status;
}

static ochre_status
settings_of(void *context, struct ochre_bytes text, struct och_collection_settings *settings_out,
        struct ochre_error *err)
{
    struct och_repair *repair = context;
    struct och_arena arena;
    och_arena_init(&arena, repair->mem);
    const struct och_schema *schema;
    ochre_status status = och_schema_parse(&arena, text, &schema, err);
    if (status == OCHRE_OK)
        *settings_out = och_schema_settings(schema);
    och_arena_clear(&arena);
    return status;
}

/* ids of the catalog's own pass meanwhile: it must give none that the other one gave.  It
 * began where that was when it was copied. */
static ochre_status
next_lent_id(struct och_catalog *catalog, uint64_t *id_out, struct ochre_error *err)
{
    const struct och_lent_ids *lent = (const struct och_lent_ids *) catalog->ops;
    uint64_t own = 0;
    ochre_status status = lent->live->ops->next_file_id(lent->live, id_out, err);
    while (status == OCHRE_OK && own < *id_out)
        status = lent->own->next_file_id(catalog, &own, err);
    return status;
}

void
och_repair_lend_ids(
        const struct och_repair *repair, struct och_catalog *catalog, struct och_lent_ids *lent)
{
    if (repair->live == NULL)
        return;
    *lent = (struct och_lent_ids){.ops = *catalog->ops, .own = catalog->ops, .live = repair->live};
    lent->ops.next_file_id = next_lent_id;
    catalog->ops = &lent->ops;
}

/* How many records are there, now that the log is applied? */
static ochre_status
count_records(struct och_engine *engine, const struct och_collection_row *row, uint64_t *n_out,
        struct ochre_error *err)
{
    struct och_collection *collection = NULL;
    ochre_status status = och_engine_collection(engine, row, &collection, err);
    if (status == OCHRE_OK)
        status = och_collection_usable(collection, err);
    if (status == OCHRE_OK) {
        och_mutex_lock(&collection->lock);
        *n_out = collection->published.n_records;
        och_mutex_unlock(&collection->lock);
    }
    och_collection_release(collection);
    return status;
}

/* Open it as any start would, and have every collection answer. */
static ochre_status
try_engine(struct och_repair *repair, struct och_catalog *catalog, struct ochre_error *err)
{
    struct och_engine *engine = NULL;
    struct och_wal_options log = {.mem = repair->mem,
            .vfs = repair->to,
            .machine = repair->options->machine,
            .database = repair->database};
    const struct och_ports ports = {.mem = repair->mem,
            .vfs = repair->to,
            .machine = repair->options->machine,
            .kernels = repair->options->kernels,
            .catalog = catalog,
            .log = och_log_file_source(&log)};
    static const struct och_engine_options options = {.head_rows_max = 0};
    ochre_status status = och_engine_open(&ports, &options, settings_of, repair, &engine, err);
    for (size_t i = 0; i < repair->n_members && status == OCHRE_OK; i++) {
        struct och_repair_member *member = &repair->members[i];
        if (!member->is_unreadable && !member->is_left_out)
            status = count_records(engine, &member->row, &member->sum.n_records, err);
        if (status == OCHRE_OK && member->doubted.number != 0)
            status = count_records(engine, &member->doubted, &member->sum.n_in_doubt, err);
    }
    if (status == OCHRE_OK && repair->live != NULL)
        status = och_engine_seal_all(engine, err);
    och_engine_close(engine);
    return status;
}

static ochre_status
try_all(struct och_repair *repair, struct ochre_error *err)
{
    struct och_catalog *catalog = NULL;
    struct och_lent_ids lent;
    const struct och_directory directory = {.database = repair->database};
    struct och_read_phase phase = {.name = "verifying ",
            .progress = repair->options->progress,
            .context = repair->options->context};
    struct och_read_pace pace = {.machine = repair->options->machine,
            .progress = phase.progress == NULL ? NULL : och_read_phase_tell,
            .context = &phase,
            .stop = repair->options->stop};
    const struct och_check_options check_options = {.mem = repair->mem, .pace = &pace};
    struct och_check_totals totals;
    ochre_status status = och_catalog_sqlite_open(repair->mem, repair->to, false, &catalog, err);
    if (status == OCHRE_OK)
        och_repair_lend_ids(repair, catalog, &lent);
    if (status == OCHRE_OK)
        status = catalog->ops->keep_copy(catalog, err);
    if (status == OCHRE_OK)
        status = try_engine(repair, catalog, err);
    if (catalog != NULL)
        catalog->ops->close(catalog);
    if (status == OCHRE_OK)
        status = och_check_held(
                repair->to, repair->options->machine, &directory, &check_options, &totals, err);
    return status;
}

ochre_status
och_repair_write_target(struct och_repair *repair, struct ochre_error *err)
{
    ochre_status status = write_catalog(repair, err);
    return status == OCHRE_OK ? try_all(repair, err) : status;
}

/* A mark that stays does a database no harm. */
ochre_status
och_repair_publish_target(struct och_repair *repair, struct ochre_error *err)
{
    ochre_status status = write_file(repair, OCH_REPAIR_REPORT, &repair->text, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(repair->to, "", err);
    if (status == OCHRE_OK)
        status = och_directory_write_format(repair->to, repair->database, err);
    if (status == OCHRE_OK)
        status = och_vfs_remove(repair->to, OCH_DIR_REPAIRING, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(repair->to, "", err) : status;
}
