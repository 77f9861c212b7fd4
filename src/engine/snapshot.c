#include "engine/snapshot.h"

#include "base/arena.h"
#include "base/error.h"
#include "engine/catalog.h"
#include "engine/engine.h"
#include "engine/follow.h"
#include "engine/ports.h"
#include "segment/head.h"
#include "segment/segment.h"

/* The rows of a head that the snapshot may see. */
static struct och_source
source_of_head(const struct och_snapshot *snapshot, struct och_head *head, uint32_t n_rows)
{
    uint64_t position = snapshot->facts.position;
    if (snapshot->is_past)
        n_rows = och_head_rows_at(head, n_rows, position);
    return (struct och_source){.head = head, .n_rows = n_rows, .position = position};
}

/* List the view's parts as sources, empty ones left out. */
static ochre_status
list_sources(struct och_snapshot *snapshot, uint32_t head_rows, struct och_arena *arena,
        struct ochre_error *err)
{
    const struct och_view *view = snapshot->view;
    size_t n = (size_t) view->n_segments + view->n_frozen + 1;
    snapshot->sources = och_arena_take_array(arena, n, sizeof(*snapshot->sources));
    if (snapshot->sources == NULL)
        return och_fail_memory(err);
    struct och_source *next = snapshot->sources;
    for (uint32_t i = 0; i < view->n_segments; i++)
        *next++ = (struct och_source){.segment = view->segments[i],
                .n_rows = view->segments[i]->n_rows,
                .position = snapshot->facts.position};
    for (uint32_t i = 0; i < view->n_frozen; i++) {
        struct och_head *head = view->frozen[i].head;
        if (head != NULL)
            *next = source_of_head(snapshot, head, head->n_rows);
        next += head != NULL && (next->n_rows > 0 || !snapshot->is_past);
    }
    if (view->head != NULL && head_rows > 0)
        *next = source_of_head(snapshot, view->head, head_rows);
    next += view->head != NULL && head_rows > 0 && next->n_rows > 0;
    snapshot->n_sources = (uint32_t) (next - snapshot->sources);
    return OCHRE_OK;
}

/* Turn a snapshot of now into one of the past: perhaps of another view, which has no
 * growing head. */
static ochre_status
go_back(struct och_snapshot *snapshot, uint64_t position, struct ochre_error *err)
{
    struct och_collection *collection = snapshot->collection;
    struct och_history *history = &collection->engine->history;
    uint64_t first = snapshot->view->position;
    if (position > snapshot->facts.position)
        return och_fail(err, OCHRE_STALE, "as_of is %llu; the newest position is %llu",
                (unsigned long long) position, (unsigned long long) snapshot->facts.position);
    snapshot->is_past = position != snapshot->facts.position;
    snapshot->facts.position = position;
    if (position >= first)
        return OCHRE_OK;
    struct och_view *view = och_history_find(history, collection->id, position);
    if (view == NULL)
        return och_fail(err, OCHRE_STALE,
                "as_of is %llu; the oldest position that can still be read is %llu",
                (unsigned long long) position,
                (unsigned long long) och_history_oldest(history, collection->id, first));
    och_view_release(snapshot->view);
    snapshot->view = view;
    return OCHRE_OK;
}

/* The pin of the collection at a position.  OCHRE_NOT_FOUND, with nothing in *err: none. */
static ochre_status
open_pin(struct och_collection *collection, uint64_t position, struct och_collection **pin_out,
        struct ochre_error *err)
{
    struct och_engine *engine = collection->engine;
    struct och_catalog *catalog = engine->ports.catalog;
    struct och_collection_row row;
    struct och_arena arena;
    struct ochre_error why;
    *pin_out = NULL;
    och_arena_init(&arena, engine->ports.mem);
    ochre_status status =
            catalog->ops->pin_at(catalog, &arena, collection->id, position, &row, &why);
    /* The process that writes may have made it since the last look. */
    if (status == OCHRE_NOT_FOUND && och_follow_is_on(engine)) {
        status = och_follow_now(engine, 0, &why);
        if (status == OCHRE_OK)
            status = catalog->ops->pin_at(catalog, &arena, collection->id, position, &row, &why);
    }
    if (status == OCHRE_OK)
        status = och_engine_collection(engine, &row, pin_out, &why);
    if (status == OCHRE_OK)
        status = och_collection_usable(*pin_out, &why);
    och_arena_clear(&arena);
    if (status != OCHRE_OK && status != OCHRE_NOT_FOUND && err != NULL)
        *err = why;
    return status;
}

/* Turn a snapshot into one of the collection's pin at a position that nothing in memory
 * shows; where there is none, that stays the answer. */
static ochre_status
go_to_pin(struct och_snapshot *snapshot, uint64_t position, struct ochre_error *err)
{
    struct och_collection *pin = NULL;
    ochre_status status = open_pin(snapshot->collection, position, &pin, err);
    if (status != OCHRE_OK) {
        och_collection_release(pin);
        return status == OCHRE_NOT_FOUND ? OCHRE_STALE : status;
    }
    och_snapshot_release(snapshot);
    snapshot->collection = pin;
    och_mutex_lock(&pin->lock);
    snapshot->view = och_view_retain(pin->view);
    snapshot->facts = och_facts_copy(&pin->published);
    och_mutex_unlock(&pin->lock);
    return OCHRE_OK;
}

ochre_status
och_snapshot_take(struct och_collection *collection, const uint64_t *as_of, struct och_arena *arena,
        struct och_snapshot *snapshot_out, struct ochre_error *err)
{
    *snapshot_out = (struct och_snapshot){.collection = NULL};
    ochre_status status = och_collection_usable(collection, err);
    if (status != OCHRE_OK)
        return status;
    och_mutex_lock(&collection->lock);
    snapshot_out->view = och_view_retain(collection->view);
    snapshot_out->facts = och_facts_copy(&collection->published);
    uint32_t head_rows = collection->head_rows;
    och_mutex_unlock(&collection->lock);
    snapshot_out->collection = och_collection_retain(collection);
    if (as_of != NULL)
        status = go_back(snapshot_out, *as_of, err);
    if (status == OCHRE_STALE && *as_of < snapshot_out->view->position) {
        status = go_to_pin(snapshot_out, *as_of, err);
        head_rows = 0; /* all of a pin is in its segments */
    }
    if (status == OCHRE_OK)
        status = list_sources(snapshot_out, head_rows, arena, err);
    if (status != OCHRE_OK)
        och_snapshot_release(snapshot_out);
    return status;
}

ochre_status
och_snapshot_take_staged(struct och_collection *collection, struct och_arena *arena,
        struct och_snapshot *snapshot_out, struct ochre_error *err)
{
    *snapshot_out = (struct och_snapshot){.view = och_view_retain(collection->view),
            .facts = och_facts_copy(&collection->staged),
            .collection = och_collection_retain(collection)};
    const struct och_head *head = collection->view->head;
    ochre_status status = list_sources(snapshot_out, head == NULL ? 0 : head->n_rows, arena, err);
    if (status != OCHRE_OK)
        och_snapshot_release(snapshot_out);
    return status;
}

void
och_snapshot_release(struct och_snapshot *snapshot)
{
    och_view_release(snapshot->view);
    och_facts_clear(&snapshot->facts);
    och_collection_release(snapshot->collection);
    *snapshot = (struct och_snapshot){.collection = NULL};
}

uint64_t
och_snapshot_count(const struct och_snapshot *snapshot)
{
    if (!snapshot->is_past)
        return snapshot->facts.n_records;
    uint64_t count = 0;
    for (uint32_t i = 0; i < snapshot->n_sources; i++)
        count += och_source_count(&snapshot->sources[i]);
    return count;
}

static ochre_status
find_in_source(const struct och_snapshot *snapshot, const struct och_source *source,
        struct ochre_bytes id, uint32_t *row_out, struct ochre_error *err)
{
    if (source->head == NULL)
        return och_source_find(source, id, row_out, err);
    och_mutex_lock(&snapshot->collection->lock);
    ochre_status status = och_source_find(source, id, row_out, err);
    och_mutex_unlock(&snapshot->collection->lock);
    return status;
}

ochre_status
och_snapshot_find(const struct och_snapshot *snapshot, struct ochre_bytes id, uint32_t *source_out,
        uint32_t *row_out, struct ochre_error *err)
{
    *row_out = OCH_ROW_NONE;
    *source_out = 0;
    /* Newest first: that is where recent writes are.  At most one source shows
     * an id, so the first find is the answer. */
    for (uint32_t i = snapshot->n_sources; i > 0; i--) {
        ochre_status status = find_in_source(snapshot, &snapshot->sources[i - 1], id, row_out, err);
        if (status != OCHRE_OK || *row_out != OCH_ROW_NONE) {
            *source_out = i - 1;
            return status;
        }
    }
    return OCHRE_OK;
}
