#include "engine/index_status.h"

#include "base/arena.h"
#include "engine/audit.h"
#include "engine/collection.h"
#include "engine/engine.h"
#include "engine/snapshot.h"
#include "engine/warm.h"
#include "index/vector/graph.h"
#include "segment/segment.h"

/* What one head or file adds. */
static void
add_source(const struct och_source *source, struct och_collection *collection,
        struct och_index_status *status)
{
    struct och_segment *segment = source->segment;
    if (segment == NULL || !och_segment_has_graph(segment)) {
        status->unindexed_rows += och_source_count(source);
        return;
    }
    status->n_graph_segments++;
    const struct och_vector_index *index = och_warm_index(collection, segment);
    if (index == NULL)
        return;
    struct och_vector_stats stats;
    index->kind->stats(index, status->recall_target, &stats);
    if (stats.effort > status->effort)
        status->effort = stats.effort;
    if (!status->is_measured || stats.recall < status->measured_recall)
        status->measured_recall = stats.recall;
    status->is_measured = true;
}

ochre_status
och_engine_index_status(struct och_mem *mem, struct och_collection *collection,
        struct och_index_status *status_out, struct ochre_error *err)
{
    struct och_arena arena;
    struct och_snapshot snapshot;
    *status_out = (struct och_index_status){.rows = 0};
    och_arena_init(&arena, mem);
    ochre_status status = och_snapshot_take(collection, NULL, &arena, &snapshot, err);
    if (status == OCHRE_OK) {
        struct och_collection_settings settings = och_collection_settings(collection);
        *status_out = (struct och_index_status){.n_operations = snapshot.facts.position,
                .rows = och_snapshot_count(&snapshot),
                .n_segments = snapshot.view->n_segments,
                .recall_target = settings.recall_target};
        for (uint32_t i = 0; i < snapshot.n_sources; i++)
            add_source(&snapshot.sources[i], collection, status_out);
        struct och_audit_summary audited = och_audit_sum_up(collection);
        status_out->effort = (uint32_t) ((float) status_out->effort * audited.scale);
        uint32_t least = och_settings_effort_min(&settings);
        if (status_out->effort > 0 && status_out->effort < least)
            status_out->effort = least;
        status_out->n_audited = audited.n_queries;
        status_out->audited_recall = audited.recall;
        if (status_out->rows <
                collection->engine->options.merge.graph_rows) /* no graph is to come */
            status_out->unindexed_rows = 0;
        och_snapshot_release(&snapshot);
    }
    och_arena_clear(&arena);
    return status;
}
