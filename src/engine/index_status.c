#include "engine/index_status.h"

#include "base/arena.h"
#include "engine/collection.h"
#include "engine/snapshot.h"

ochre_status
och_engine_index_status(struct och_mem *mem, struct och_collection *collection,
        struct och_index_status *status_out, struct ochre_error *err)
{
    struct och_arena arena;
    struct och_snapshot snapshot;
    *status_out = (struct och_index_status){.rows = 0};
    och_arena_init(&arena, mem);
    ochre_status status = och_snapshot_take(collection, &arena, &snapshot, err);
    if (status == OCHRE_OK) {
        /* Nothing builds an index, so no row waits for one. */
        *status_out = (struct och_index_status){.n_operations = snapshot.facts.position,
                .rows = och_snapshot_count(&snapshot),
                .n_segments = snapshot.view->n_segments,
                .recall_target = och_collection_settings(collection).recall_target};
        och_snapshot_release(&snapshot);
    }
    och_arena_clear(&arena);
    return status;
}
