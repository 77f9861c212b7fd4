#include <stdio.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "engine/engine.h"
#include "engine/maintain_internal.h"
#include "engine/write.h"
#include "os/vfs.h"
#include "storage/directory.h"

struct och_garbage {
    struct och_garbage *next;
    bool is_dir;
    char path[OCH_PATH_SIZE_MAX];
};

static void
add_garbage(struct och_engine *engine, const char *path, bool is_dir)
{
    struct och_garbage *garbage = och_mem_take(engine->ports.mem, sizeof(*garbage));
    if (garbage == NULL)
        return; /* it is found at the next open */
    garbage->is_dir = is_dir;
    (void) snprintf(garbage->path, sizeof(garbage->path), "%s", path);
    garbage->next = engine->garbage;
    engine->garbage = garbage;
}

void
och_maintain_add_garbage(struct och_engine *engine, const char *path)
{
    add_garbage(engine, path, false);
}

void
och_maintain_add_garbage_dir(struct och_engine *engine, const char *path)
{
    add_garbage(engine, path, true);
}

static void
collection_dir(char *path, size_t size, struct och_uuid id)
{
    char text[OCH_UUID_TEXT_SIZE + 1];
    och_uuid_put(id, text);
    (void) snprintf(path, size, OCH_DIR_SEGMENTS "/%s", text);
}

void
och_maintain_add_garbage_collection(struct och_engine *engine, struct och_uuid id)
{
    char path[OCH_PATH_SIZE_MAX];
    collection_dir(path, sizeof(path), id);
    add_garbage(engine, path, true);
}

void
och_maintain_clear_garbage(struct och_engine *engine)
{
    while (engine->garbage != NULL) {
        struct och_garbage *next = engine->garbage->next;
        och_mem_release(engine->ports.mem, engine->garbage, sizeof(*engine->garbage));
        engine->garbage = next;
    }
}

/* The log knows which catalog there is. */
static ochre_status
append_generation(struct och_engine *engine, uint64_t generation, struct ochre_error *err)
{
    char payload[8];
    och_store_u64(payload, generation);
    struct och_log_record record = {.type = OCH_RECORD_GENERATION,
            .payload = {payload, sizeof(payload)},
            .payload_crc = och_crc32c(0, payload, sizeof(payload))};
    ochre_status status = engine->log->ops->append(engine->log, &record, 1, err);
    if (status == OCHRE_OK)
        engine->noted_generation = generation;
    return status;
}

/* Before a file goes on the strength of the catalog, the log knows which
 * catalog that was: an older one that turns up later is then recognised. */
static ochre_status
note_generation(struct och_engine *engine, struct ochre_error *err)
{
    struct och_catalog *catalog = engine->ports.catalog;
    uint64_t generation;
    ochre_status status = catalog->ops->generation(catalog, &generation, err);
    if (status != OCHRE_OK || generation <= engine->noted_generation)
        return status;
    return append_generation(engine, generation, err);
}

/* Removing a directory's files, one by one. */
struct removal {
    struct och_vfs *vfs;
    const char *dir;
    struct ochre_error *err;
};

static ochre_status
remove_entry(void *context, const char *name, bool is_dir)
{
    struct removal *removal = context;
    if (is_dir)
        return OCHRE_OK;
    char path[OCH_PATH_SIZE_MAX];
    (void) snprintf(path, sizeof(path), "%s/%s", removal->dir, name);
    return och_vfs_remove(removal->vfs, path, removal->err);
}

static ochre_status
remove_garbage(
        struct och_engine *engine, const struct och_garbage *garbage, struct ochre_error *err)
{
    struct och_vfs *vfs = engine->ports.vfs;
    ochre_status status;
    if (garbage->is_dir) {
        struct removal removal = {vfs, garbage->path, err};
        status = och_vfs_list(vfs, garbage->path, remove_entry, &removal, err);
        if (status == OCHRE_OK)
            status = och_vfs_rmdir(vfs, garbage->path, err);
    } else {
        status = och_vfs_remove(vfs, garbage->path, err);
    }
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

ochre_status
och_maintain_collect(struct och_engine *engine, struct ochre_error *err)
{
    uint64_t keep;
    struct och_collection *oldest = och_maintain_oldest(engine, false, &keep);
    och_collection_release(oldest);
    struct och_record_log *log = engine->log;
    if (engine->n_holds > 0)
        return OCHRE_OK; /* who lets go comes here again */
    if (keep == UINT64_MAX)
        keep = log->ops->next_lsn(log);
    if (engine->garbage == NULL && !log->ops->can_trim(log, keep))
        return OCHRE_OK;
    ochre_status status = note_generation(engine, err);
    if (status == OCHRE_FULL && och_space_give(&engine->space))
        status = note_generation(engine, err);
    if (status != OCHRE_OK)
        return status;
    /* What cannot be removed stays in the list, and stops nothing else. */
    ochre_status first_failure = OCHRE_OK;
    struct och_garbage **link = &engine->garbage;
    while (*link != NULL) {
        struct och_garbage *garbage = *link;
        status = remove_garbage(engine, garbage, err);
        if (status == OCHRE_OK) {
            *link = garbage->next;
            och_mem_release(engine->ports.mem, garbage, sizeof(*garbage));
        } else {
            first_failure = first_failure == OCHRE_OK ? status : first_failure;
            link = &garbage->next;
        }
    }
    status = log->ops->can_trim(log, keep) ? log->ops->trim(log, keep, err) : OCHRE_OK;
    return status == OCHRE_OK ? first_failure : status;
}

ochre_status
och_engine_hold(struct och_engine *engine,
        ochre_status (*look)(void *context, struct och_engine *engine, struct ochre_error *err),
        void *context, struct ochre_error *err)
{
    och_commit_enter(engine->commit);
    engine->n_holds++;
    ochre_status status = look(context, engine, err);
    if (status != OCHRE_OK)
        engine->n_holds--;
    och_commit_leave(engine->commit);
    return status;
}

void
och_engine_let_go(struct och_engine *engine)
{
    och_commit_enter(engine->commit);
    och_assert(engine->n_holds > 0);
    engine->n_holds--;
    /* What cannot be removed now is tried again with the next. */
    ochre_status status = och_maintain_collect(engine, NULL);
    (void) status;
    och_commit_leave(engine->commit);
}

ochre_status
och_engine_purge_begin(struct och_engine *engine, uint64_t *lsn_out, struct ochre_error *err)
{
    struct och_catalog *catalog = engine->ports.catalog;
    uint64_t generation;
    och_commit_enter(engine->commit);
    ochre_status status = catalog->ops->generation(catalog, &generation, err);
    if (status == OCHRE_OK) {
        *lsn_out = engine->log->ops->next_lsn(engine->log);
        engine->log->ops->roll(engine->log);
        status = append_generation(engine, generation, err);
    }
    och_commit_leave(engine->commit);
    return status;
}

ochre_status
och_engine_purge_end(struct och_engine *engine, uint64_t lsn, struct ochre_error *err)
{
    och_commit_enter(engine->commit);
    och_history_forget_all(&engine->history); /* files without names */
    ochre_status status = och_maintain_collect(engine, err);
    bool is_gone = engine->garbage == NULL && engine->log->ops->oldest_lsn(engine->log) >= lsn;
    och_commit_leave(engine->commit);
    if (status == OCHRE_OK && !is_gone)
        status = och_fail(err, OCHRE_UNAVAILABLE,
                "What was deleted is still in files that a backup, or a collection that does "
                "not work, needs; purge again after that");
    return status;
}
