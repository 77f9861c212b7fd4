#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/catalog.h"
#include "engine/engine.h"
#include "engine/maintain_internal.h"
#include "os/vfs.h"

/* What is read at once of a file that has to be copied. */
#define BLOCK_SIZE ((size_t) 256 << 10)

static ochre_status
copy_bytes(struct och_file *from, struct och_file *to, char *block, struct ochre_error *err)
{
    uint64_t offset = 0;
    size_t n_read = BLOCK_SIZE;
    ochre_status status = OCHRE_OK;
    while (status == OCHRE_OK && n_read == BLOCK_SIZE) {
        status = och_file_read(from, offset, block, BLOCK_SIZE, &n_read, err);
        if (status == OCHRE_OK && n_read > 0)
            status = och_file_write(to, offset, block, n_read, err);
        offset += n_read;
    }
    return status == OCHRE_OK ? och_file_sync(to, err) : status;
}

/* Where there are no links. */
static ochre_status
copy_file(struct och_engine *engine, const char *from_path, const char *to_path,
        struct ochre_error *err)
{
    struct och_vfs *vfs = engine->ports.vfs;
    struct och_file *from = NULL, *to = NULL;
    char *block = och_mem_take(engine->ports.mem, BLOCK_SIZE);
    if (block == NULL)
        return och_fail_memory(err);
    unsigned flags = OCH_OPEN_WRITE | OCH_OPEN_CREATE | OCH_OPEN_EXCLUSIVE;
    ochre_status status = och_vfs_open(vfs, from_path, OCH_OPEN_READ, &from, err);
    if (status == OCHRE_OK)
        status = och_vfs_open(vfs, to_path, flags, &to, err);
    if (status == OCHRE_OK)
        status = copy_bytes(from, to, block, err);
    och_file_close(to);
    och_file_close(from);
    och_mem_release(engine->ports.mem, block, BLOCK_SIZE);
    return status;
}

ochre_status
och_maintain_share(
        struct och_engine *engine, const char *from, const char *to, struct ochre_error *err)
{
    ochre_status status = och_vfs_link(engine->ports.vfs, from, to, err);
    return status == OCHRE_UNSUPPORTED ? copy_file(engine, from, to, err) : status;
}

ochre_status
och_maintain_settle(struct och_engine *engine, struct och_collection_row *made, bool has_files,
        ochre_status failure)
{
    struct och_catalog *catalog = engine->ports.catalog;
    struct och_arena arena;
    struct och_collection_row row;
    och_arena_init(&arena, engine->ports.mem);
    ochre_status known = catalog->ops->collection_by_id(catalog, &arena, made->id, &row, NULL);
    if (known == OCHRE_OK)
        made->number = row.number;
    och_arena_clear(&arena);
    if (known == OCHRE_OK)
        return OCHRE_OK;
    if (known == OCHRE_NOT_FOUND && has_files) {
        och_maintain_add_garbage_collection(engine, made->id);
        ochre_status collected = och_maintain_collect(engine, NULL);
        (void) collected; /* tried again with the next seal or drop */
    }
    return failure; /* what nothing lists is found at the next open */
}
