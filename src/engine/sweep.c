#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "engine/maintain.h"
#include "os/vfs.h"
#include "segment/segment.h"
#include "storage/directory.h"

/* Looking through directories for what nothing lists. */
struct sweep {
    struct och_engine *engine;
    struct och_arena *arena;
    struct och_uuid collection;
    const struct och_segment_row *rows;
    size_t n_rows;
    struct ochre_error *err;
};

static bool
parse_hex(const char *text, uint64_t *value_out)
{
    *value_out = 0;
    for (int i = 0; i < 16; i++) {
        const char *digits = "0123456789abcdef";
        const char *digit = text[i] == '\0' ? NULL : strchr(digits, text[i]);
        if (digit == NULL)
            return false;
        *value_out = *value_out << 4 | (uint64_t) (digit - digits);
    }
    return true;
}

/* Is this name "<id>.seg" or "<id>.<deletes id>.del" of a listed segment? */
static bool
is_listed(const struct sweep *sweep, const char *name)
{
    uint64_t id;
    uint64_t deletes = 0;
    if (!parse_hex(name, &id))
        return false;
    bool is_segment = strcmp(name + 16, ".seg") == 0;
    bool is_deletes = name[16] == '.' && strlen(name) == 37 && parse_hex(name + 17, &deletes) &&
            strcmp(name + 33, ".del") == 0;
    for (size_t i = 0; i < sweep->n_rows; i++)
        if (sweep->rows[i].id == id &&
                (is_segment || (is_deletes && sweep->rows[i].deletes_id == deletes)))
            return true;
    return false;
}

static ochre_status
visit_file(void *context, const char *name, bool is_dir)
{
    struct sweep *sweep = context;
    if (is_dir || is_listed(sweep, name))
        return OCHRE_OK;
    char uuid[OCH_UUID_TEXT_SIZE + 1];
    char path[OCH_PATH_SIZE_MAX];
    och_uuid_put(sweep->collection, uuid);
    (void) snprintf(path, sizeof(path), OCH_DIR_SEGMENTS "/%s/%s", uuid, name);
    och_maintain_add_garbage(sweep->engine, path);
    return OCHRE_OK;
}

static ochre_status
visit_collection(void *context, const char *name, bool is_dir)
{
    struct sweep *sweep = context;
    struct och_catalog *catalog = sweep->engine->ports.catalog;
    if (!is_dir || !och_uuid_parse(name, strlen(name), &sweep->collection))
        return OCHRE_OK;
    struct och_collection_state state;
    struct och_segment_row *rows;
    ochre_status status = catalog->ops->state_get(
            catalog, sweep->arena, sweep->collection, &state, &rows, &sweep->n_rows, sweep->err);
    if (status == OCHRE_NOT_FOUND) {
        och_maintain_add_garbage_collection(sweep->engine, sweep->collection);
        return OCHRE_OK;
    }
    if (status != OCHRE_OK)
        return status;
    sweep->rows = rows;
    char path[OCH_PATH_SIZE_MAX];
    (void) snprintf(path, sizeof(path), OCH_DIR_SEGMENTS "/%s", name);
    return och_vfs_list(sweep->engine->ports.vfs, path, visit_file, sweep, sweep->err);
}

/* Directories in tmp/ are as deep as a database has them: one is put together there. */
enum { TMP_DEPTH_MAX = 4 };

struct sweep_tmp {
    struct och_engine *engine;
    const char *dir;
    unsigned depth;
    struct ochre_error *err;
};

static ochre_status
visit_tmp(void *context, const char *name, bool is_dir)
{
    const struct sweep_tmp *above = context;
    char path[OCH_PATH_SIZE_MAX];
    int size = snprintf(path, sizeof(path), "%s/%s", above->dir, name);
    bool is_ours = size > 0 && (size_t) size < sizeof(path); /* no path is as long */
    if (!is_dir && is_ours)
        och_maintain_add_garbage(above->engine, path);
    if (!is_dir || !is_ours)
        return OCHRE_OK;
    /* What is added last goes first: a directory after what is in it. */
    och_maintain_add_garbage_dir(above->engine, path);
    struct sweep_tmp below = {
            .engine = above->engine, .dir = path, .depth = above->depth + 1, .err = above->err};
    /* NOLINTNEXTLINE(misc-no-recursion): TMP_DEPTH_MAX */
    return below.depth >= TMP_DEPTH_MAX
            ? OCHRE_OK
            : och_vfs_list(above->engine->ports.vfs, path, visit_tmp, &below, above->err);
}

ochre_status
och_maintain_sweep(struct och_engine *engine, struct ochre_error *err)
{
    struct och_arena arena;
    och_arena_init(&arena, engine->ports.mem);
    struct sweep sweep = {.engine = engine, .arena = &arena, .err = err};
    struct och_vfs *vfs = engine->ports.vfs;
    struct sweep_tmp tmp = {.engine = engine, .dir = OCH_DIR_TMP, .err = err};
    ochre_status status = och_vfs_list(vfs, OCH_DIR_TMP, visit_tmp, &tmp, err);
    if (status == OCHRE_OK)
        status = och_vfs_list(vfs, OCH_DIR_SEGMENTS, visit_collection, &sweep, err);
    och_arena_clear(&arena);
    return status;
}
