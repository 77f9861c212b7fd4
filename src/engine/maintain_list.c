#include "base/error.h"
#include "engine/collection.h"
#include "engine/engine.h"
#include "engine/maintain_internal.h"
#include "os/vfs.h"
#include "segment/columns_part.h"
#include "segment/deletes.h"
#include "segment/segment.h"
#include "segment/source.h"

/* --- taking it -------------------------------------------------------------- */

void
och_maintain_take_list(struct och_collection *collection)
{
    struct och_engine *engine = collection->engine;
    och_mutex_lock(&engine->work_lock);
    while (collection->listing)
        och_cond_wait(&engine->work_done, &engine->work_lock);
    collection->listing = true;
    och_mutex_unlock(&engine->work_lock);
}

void
och_maintain_give_list(struct och_collection *collection)
{
    struct och_engine *engine = collection->engine;
    och_mutex_lock(&engine->work_lock);
    collection->listing = false;
    och_cond_broadcast(&engine->work_done);
    och_mutex_unlock(&engine->work_lock);
}

struct och_view *
och_maintain_view(struct och_collection *collection)
{
    och_mutex_lock(&collection->lock);
    struct och_view *view = och_view_retain(collection->view);
    och_mutex_unlock(&collection->lock);
    return view;
}

/* --- what is in it ---------------------------------------------------------- */

struct och_segment_row
och_maintain_row_of(const struct och_segment *segment)
{
    return (struct och_segment_row){.id = segment->id,
            .deletes_id = segment->deletes_id,
            .n_rows = segment->n_rows,
            .n_deleted = segment->n_dead_stored,
            .file_size = segment->file_size,
            .file_hash = segment->footer_hash};
}

bool
och_maintain_same_rows(
        const struct och_segment_row *a, size_t n_a, const struct och_segment_row *b, size_t n_b)
{
    for (size_t i = 0; i < n_a && n_a == n_b; i++)
        if (a[i].id != b[i].id || a[i].deletes_id != b[i].deletes_id)
            return false;
    return n_a == n_b;
}

struct och_seal
och_maintain_seal_of(struct och_collection *collection, const struct och_source *sources,
        uint32_t n_sources, uint64_t position, bool quick, struct och_maintain_parts *parts)
{
    const struct och_ports *ports = &collection->engine->ports;
    och_assert(n_sources > 0);
    const struct och_source *first = &sources[0];
    parts->vector = (struct och_vector_part){.kernels = ports->kernels,
            .executor = quick ? NULL : ports->executor,
            .effort = och_collection_settings(collection).ef_construction_floor / 2,
            .quick = quick,
            .graph_rows = collection->engine->options.merge.graph_rows,
            .join_rows = collection->engine->options.join_rows};
    parts->parts[0] = och_columns_part;
    parts->parts[1] =
            (struct och_seal_part){.write = och_vector_part_write, .context = &parts->vector};
    return (struct och_seal){.mem = ports->mem,
            .vfs = ports->vfs,
            .collection = collection->id,
            .position = position,
            .space = collection->space,
            .dim = first->segment != NULL ? first->segment->dim : first->head->dim,
            .sources = sources,
            .n_sources = n_sources,
            .parts = parts->parts,
            .n_parts = 2};
}

/* --- files that leave it ---------------------------------------------------- */

static void
remove_file(struct och_collection *collection, const char *path)
{
    ochre_status removed = och_vfs_remove(collection->engine->ports.vfs, path, NULL);
    (void) removed; /* what stays is found at the next open */
}

void
och_maintain_remove_deletes(
        struct och_collection *collection, uint64_t segment_id, uint64_t deletes_id)
{
    char path[OCH_PATH_SIZE_MAX];
    och_deletes_path(path, sizeof(path), collection->id, segment_id, deletes_id);
    if (deletes_id != 0)
        remove_file(collection, path);
}

void
och_maintain_remove_segment(struct och_collection *collection, const struct och_segment_row *row)
{
    char path[OCH_PATH_SIZE_MAX];
    och_segment_path(path, sizeof(path), collection->id, row->id);
    if (row->id != 0)
        remove_file(collection, path);
    och_maintain_remove_deletes(collection, row->id, row->deletes_id);
}

void
och_maintain_retire(struct och_collection *collection, const struct och_segment_row *row)
{
    char path[OCH_PATH_SIZE_MAX];
    och_segment_path(path, sizeof(path), collection->id, row->id);
    och_maintain_add_garbage(collection->engine, path);
    och_deletes_path(path, sizeof(path), collection->id, row->id, row->deletes_id);
    if (row->deletes_id != 0)
        och_maintain_add_garbage(collection->engine, path);
}

void
och_maintain_retire_stray(struct och_collection *collection)
{
    if (collection->stray.id != 0)
        och_maintain_retire(collection, &collection->stray);
    collection->stray = (struct och_segment_row){.id = 0};
}
