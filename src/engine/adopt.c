#include <inttypes.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/error.h"
#include "engine/commit.h"
#include "engine/engine.h"
#include "engine/maintain_internal.h"
#include "engine/notes.h"
#include "os/vfs.h"
#include "segment/deletes.h"
#include "segment/segment.h"
#include "storage/directory.h"

static ochre_status
name_segment(struct och_engine *engine, const char *from_dir, struct och_uuid id,
        const struct och_segment_row *row, struct ochre_error *err)
{
    char from[OCH_PATH_SIZE_MAX], to[OCH_PATH_SIZE_MAX];
    (void) snprintf(from, sizeof(from), "%s/%016" PRIx64 ".seg", from_dir, row->id);
    och_segment_path(to, sizeof(to), id, row->id);
    ochre_status status = och_maintain_share(engine, from, to, err);
    if (status != OCHRE_OK || row->deletes_id == 0)
        return status;
    (void) snprintf(from, sizeof(from), "%s/%016" PRIx64 ".%016" PRIx64 ".del", from_dir, row->id,
            row->deletes_id);
    och_deletes_path(to, sizeof(to), id, row->id, row->deletes_id);
    return och_maintain_share(engine, from, to, err);
}

/* Names in the new collection's directory, durable; a collection without files needs none. */
static ochre_status
name_files(struct och_engine *engine, const struct och_adoption *adoption, struct och_uuid id,
        struct ochre_error *err)
{
    struct och_vfs *vfs = engine->ports.vfs;
    char text[OCH_UUID_TEXT_SIZE + 1], dir[OCH_PATH_SIZE_MAX];
    och_uuid_put(id, text);
    (void) snprintf(dir, sizeof(dir), OCH_DIR_SEGMENTS "/%s", text);
    if (adoption->n_segments == 0)
        return OCHRE_OK;
    ochre_status status = och_vfs_mkdir(vfs, dir, err);
    for (size_t i = 0; i < adoption->n_segments && status == OCHRE_OK; i++)
        status = name_segment(engine, adoption->dir, id, &adoption->segments[i], err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, dir, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(vfs, OCH_DIR_SEGMENTS, err) : status;
}

/* Who dropped it meanwhile does not want what is left of it either. */
static ochre_status
check_beside(
        struct och_engine *engine, const struct och_adoption *adoption, struct ochre_error *err)
{
    struct och_catalog *catalog = engine->ports.catalog;
    struct och_arena arena;
    struct och_collection_row row;
    och_arena_init(&arena, engine->ports.mem);
    ochre_status status =
            catalog->ops->collection_by_id(catalog, &arena, adoption->beside, &row, err);
    och_arena_clear(&arena);
    return status;
}

/* What comes before this cannot be done again behind it, whether or not it happens. */
static ochre_status
enter_catalog(struct och_engine *engine, const struct och_adoption *adoption,
        struct och_collection_row *row, struct ochre_error *err)
{
    static const struct och_note note = {.kind = OCH_NOTE_BEGIN};
    struct och_catalog *catalog = engine->ports.catalog;
    ochre_status status = check_beside(engine, adoption, err);
    if (status == OCHRE_OK)
        status = och_notes_before(engine->ports.notes, &note, err);
    if (status != OCHRE_OK)
        return status;
    (void) atomic_fetch_add_explicit(&engine->n_changes, 1, memory_order_relaxed);
    return catalog->ops->collection_adopt(
            catalog, row, &adoption->state, adoption->segments, adoption->n_segments, err);
}

ochre_status
och_engine_adopt(struct och_engine *engine, const struct och_adoption *adoption,
        struct och_collection_row *row, struct ochre_error *err)
{
    ochre_status status = name_files(engine, adoption, row->id, err);
    och_commit_enter(engine->commit);
    if (status == OCHRE_OK)
        status = enter_catalog(engine, adoption, row, err);
    if (status != OCHRE_OK)
        status = och_maintain_settle(engine, row, adoption->n_segments > 0, status);
    och_commit_leave(engine->commit);
    return status;
}
