#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "engine/engine.h"
#include "engine/maintain_internal.h"
#include "engine/notes.h"
#include "os/vfs.h"
#include "segment/deletes.h"
#include "segment/segment.h"
#include "storage/directory.h"

/* A fork in the making. */
struct forking {
    struct och_collection *source;
    struct och_engine *engine;
    struct och_collection_row *row;
    const struct och_fork_answer *answer;
    struct och_segment_row *segments; /* [n]: in the answer's arena */
    size_t n;
    struct ochre_error *err;
};

/* --- files -------------------------------------------------------------------- */

static ochre_status
share_segment(struct forking *f, const struct och_segment_row *row)
{
    char from[OCH_PATH_SIZE_MAX], to[OCH_PATH_SIZE_MAX];
    och_segment_path(from, sizeof(from), f->source->id, row->id);
    och_segment_path(to, sizeof(to), f->row->id, row->id);
    ochre_status status = och_maintain_share(f->engine, from, to, f->err);
    if (status != OCHRE_OK || row->deletes_id == 0)
        return status;
    och_deletes_path(from, sizeof(from), f->source->id, row->id, row->deletes_id);
    och_deletes_path(to, sizeof(to), f->row->id, row->id, row->deletes_id);
    return och_maintain_share(f->engine, from, to, f->err);
}

/* Names in the new collection's directory, durable; a collection without files needs none. */
static ochre_status
share_files(struct forking *f)
{
    struct och_vfs *vfs = f->engine->ports.vfs;
    char id[OCH_UUID_TEXT_SIZE + 1], dir[OCH_PATH_SIZE_MAX];
    och_uuid_put(f->row->id, id);
    (void) snprintf(dir, sizeof(dir), OCH_DIR_SEGMENTS "/%s", id);
    if (f->n == 0)
        return OCHRE_OK;
    ochre_status status = och_vfs_mkdir(vfs, dir, f->err);
    for (size_t i = 0; i < f->n && status == OCHRE_OK; i++)
        status = share_segment(f, &f->segments[i]);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, dir, f->err);
    return status == OCHRE_OK ? och_vfs_sync_dir(vfs, OCH_DIR_SEGMENTS, f->err) : status;
}

/* --- the catalog ----------------------------------------------------------------- */

/* What is decided is the source's, as it is now; a pin has metadata of its own. */
static ochre_status
take_decisions(struct forking *f)
{
    struct och_catalog *catalog = f->engine->ports.catalog;
    struct och_collection_row row = {.number = 0};
    ochre_status status =
            catalog->ops->collection_by_id(catalog, f->answer->arena, f->source->id, &row, f->err);
    if (!och_collection_row_is_pin(f->row))
        f->row->metadata = row.metadata;
    f->row->schema = row.schema;
    return status;
}

/* All that the source has is in segments, and what died in them in delete files. */
static ochre_status
list_segments(struct forking *f)
{
    const struct och_view *view = f->source->view;
    f->segments = och_arena_take_array(f->answer->arena, view->n_segments, sizeof(*f->segments));
    if (f->segments == NULL)
        return och_fail_memory(f->err);
    for (uint32_t i = 0; i < view->n_segments; i++)
        f->segments[i] = och_maintain_row_of(view->segments[i]);
    f->n = view->n_segments;
    return OCHRE_OK;
}

static ochre_status
enter_catalog(struct forking *f)
{
    struct och_catalog *catalog = f->engine->ports.catalog;
    const struct och_facts *facts = &f->source->published; /* the committer's to read */
    struct och_buf keys;
    och_buf_init(&keys, f->engine->ports.mem, SIZE_MAX / 2);
    och_keys_encode(&keys, facts->keys);
    struct och_collection_state state = {.position = facts->position,
            .lsn = facts->lsn,
            .next_ordinal = facts->next_ordinal,
            .dim = facts->dim,
            .keys = {keys.data, keys.size}};
    bool is_pin = och_collection_row_is_pin(f->row);
    const struct och_note note = {.kind = is_pin ? OCH_NOTE_PIN : OCH_NOTE_COLLECTION_FORK,
            .id = f->row->id,
            .source = f->source->id,
            .tenant = f->row->tenant,
            .database = f->row->database,
            .name = f->row->name,
            .metadata = is_pin ? f->row->metadata : (struct ochre_bytes){NULL, 0}};
    ochre_status status = och_buf_status(&keys) == OCHRE_OK
            ? och_notes_before(f->engine->ports.notes, &note, f->err)
            : och_fail_memory(f->err);
    if (status == OCHRE_OK) {
        status = catalog->ops->collection_fork(
                catalog, f->source->id, f->row, &state, f->segments, f->n, f->err);
        och_notes_after(f->engine->ports.notes, &note, status);
    }
    och_buf_clear(&keys);
    return status;
}

/* Nobody writes, and nobody changes the list. */
static ochre_status
fork_now(struct forking *f)
{
    ochre_status status = och_collection_usable(f->source, f->err);
    if (status == OCHRE_OK)
        status = och_maintain_freeze(f->source, f->err);
    if (status == OCHRE_OK)
        status = och_maintain_seal_taken(f->source, f->err);
    if (status == OCHRE_OK)
        status = take_decisions(f);
    if (status == OCHRE_OK)
        status = list_segments(f);
    /* Once it is in the catalog it exists, so the answer is ready before. */
    if (status == OCHRE_OK)
        status = f->answer->ready(f->answer->context, f->row, &f->source->published, f->err);
    if (status != OCHRE_OK)
        return status;
    (void) atomic_fetch_add_explicit(&f->engine->n_changes, 1, memory_order_relaxed);
    status = share_files(f);
    if (status == OCHRE_OK)
        status = enter_catalog(f);
    return status == OCHRE_OK ? OCHRE_OK : och_maintain_settle(f->engine, f->row, f->n > 0, status);
}

/* Most of what is to be sealed, while others write. */
static ochre_status
seal_ahead(struct och_collection *source, struct ochre_error *err)
{
    och_commit_enter(source->engine->commit);
    ochre_status status = och_maintain_freeze(source, err);
    och_commit_leave(source->engine->commit);
    return status == OCHRE_OK ? och_maintain_seal(source, false, err) : status;
}

ochre_status
och_engine_fork(struct och_collection *source, struct och_collection_row *row,
        const struct och_fork_answer *answer, struct ochre_error *err)
{
    struct och_engine *engine = source->engine;
    bool background = engine->ports.executor != NULL;
    struct forking f = {
            .source = source, .engine = engine, .row = row, .answer = answer, .err = err};
    ochre_status status = background ? seal_ahead(source, err) : OCHRE_OK;
    if (status != OCHRE_OK)
        return status;
    /* Who has both has them in this order (maintain_internal.h). */
    if (!background)
        och_commit_enter(engine->commit);
    och_maintain_take_list(source);
    if (background)
        och_commit_enter(engine->commit);
    status = fork_now(&f);
    if (background)
        och_commit_leave(engine->commit);
    och_maintain_give_list(source);
    if (background)
        och_commit_enter(engine->commit);
    /* Forks after few writes each would leave many small segments. */
    och_maintain_queue_merge(source);
    och_commit_leave(engine->commit);
    return status;
}
