#include "engine/collection.h"

#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "os/clock.h"
#include "segment/deletes.h"
#include "segment/head.h"
#include "segment/id_filter.h"
#include "segment/segment.h"

/* --- facts ------------------------------------------------------------------ */

struct och_facts
och_facts_copy(const struct och_facts *facts)
{
    struct och_facts copy = *facts;
    copy.keys = och_keys_retain(facts->keys);
    return copy;
}

void
och_facts_clear(struct och_facts *facts)
{
    och_keys_release(facts->keys);
    facts->keys = NULL;
}

void
och_frozen_copy(struct och_frozen *to, const struct och_frozen *from)
{
    *to = *from;
    if (from->head != NULL)
        (void) och_head_retain(from->head);
    to->facts = och_facts_copy(&from->facts);
}

/* --- views ------------------------------------------------------------------ */

struct och_view *
och_view_make(struct och_mem *mem, uint32_t n_segments, uint32_t n_frozen)
{
    struct och_view *view = och_mem_take_zeroed(mem, sizeof(*view));
    if (view == NULL)
        return NULL;
    view->mem = mem;
    atomic_init(&view->n_owners, 1);
    if (n_segments > 0)
        view->segments = och_mem_take_zeroed(mem, n_segments * sizeof(void *));
    if (n_frozen > 0)
        view->frozen = och_mem_take_zeroed(mem, n_frozen * sizeof(*view->frozen));
    if ((n_segments > 0 && view->segments == NULL) || (n_frozen > 0 && view->frozen == NULL)) {
        och_mem_release(mem, view->segments, n_segments * sizeof(void *));
        och_mem_release(mem, view->frozen, n_frozen * sizeof(*view->frozen));
        och_mem_release(mem, view, sizeof(*view));
        return NULL;
    }
    view->n_segments = n_segments;
    view->n_frozen = n_frozen;
    return view;
}

struct och_view *
och_view_retain(struct och_view *view)
{
    (void) atomic_fetch_add_explicit(&view->n_owners, 1, memory_order_relaxed);
    return view;
}

void
och_view_release(struct och_view *view)
{
    if (view == NULL)
        return;
    if (atomic_fetch_sub_explicit(&view->n_owners, 1, memory_order_acq_rel) != 1)
        return;
    for (uint32_t i = 0; i < view->n_segments; i++)
        och_segment_release(view->segments[i]);
    for (uint32_t i = 0; i < view->n_frozen; i++) {
        och_head_release(view->frozen[i].head);
        och_facts_clear(&view->frozen[i].facts);
    }
    och_head_release(view->head);
    och_mem_release(view->mem, view->segments, view->n_segments * sizeof(void *));
    och_mem_release(view->mem, view->frozen, view->n_frozen * sizeof(*view->frozen));
    och_mem_release(view->mem, view, sizeof(*view));
}

void
och_collection_set_view(
        struct och_collection *collection, struct och_view *view, uint32_t head_rows)
{
    och_mutex_lock(&collection->lock);
    struct och_view *old = collection->view;
    collection->view = view;
    collection->head_rows = head_rows;
    och_mutex_unlock(&collection->lock);
    och_view_release(old);
}

/* --- loading ---------------------------------------------------------------- */

/* Open one listed segment and check that it is the one the catalog means. */
static ochre_status
open_segment(struct och_collection *collection, const struct och_segment_row *row,
        struct och_segment **segment_out, struct ochre_error *err)
{
    struct och_ports *ports = &collection->engine->ports;
    ochre_status status =
            och_segment_open(ports->mem, ports->vfs, collection->id, row->id, segment_out, err);
    if (status != OCHRE_OK)
        return status;
    struct och_segment *segment = *segment_out;
    if (segment->footer_hash != row->file_hash || segment->n_rows != row->n_rows ||
            segment->dim != collection->published.dim || segment->space != collection->space)
        return och_fail(err, OCHRE_CORRUPT, "segment %016llx is not the one the catalog lists",
                (unsigned long long) row->id);
    if (row->deletes_id != 0)
        status = och_deletes_read(ports->vfs, segment, row->deletes_id, err);
    return status;
}

/* A read that fails is tried once more, with a fresh descriptor. */
static ochre_status
open_segment_again(struct och_collection *collection, const struct och_segment_row *row,
        struct och_segment **segment_out, struct ochre_error *err)
{
    ochre_status status = open_segment(collection, row, segment_out, err);
    if (status != OCHRE_IO)
        return status;
    och_segment_release(*segment_out);
    *segment_out = NULL;
    return open_segment(collection, row, segment_out, err);
}

/* Fill the collection from the catalog's state; `arena` holds what it answers. */
static ochre_status
load_state(struct och_collection *collection, struct och_arena *arena, struct ochre_error *err)
{
    struct och_engine *engine = collection->engine;
    struct och_collection_state state;
    struct och_segment_row *rows;
    size_t n_rows;
    ochre_status status = engine->ports.catalog->ops->state_get(
            engine->ports.catalog, arena, collection->id, &state, &rows, &n_rows, err);
    if (status != OCHRE_OK)
        return status;
    struct och_facts *facts = &collection->published;
    facts->position = state.position;
    facts->lsn = state.lsn;
    facts->next_ordinal = state.next_ordinal;
    facts->dim = state.dim;
    status = och_keys_decode(engine->ports.mem, state.keys, &facts->keys);
    if (status != OCHRE_OK)
        return och_fail(err, status, "the catalog's key set of the collection is not whole");
    collection->staged = och_facts_copy(facts);

    collection->view = och_view_make(engine->ports.mem, (uint32_t) n_rows, 0);
    if (collection->view == NULL)
        return och_fail_memory(err);
    collection->view->position = state.position;
    struct ochre_error why = {.status = OCHRE_OK};
    for (size_t i = 0; i < n_rows; i++) {
        struct och_segment **segment = &collection->view->segments[i];
        status = open_segment_again(collection, &rows[i], segment, &why);
        if (status == OCHRE_OK) {
            facts->n_records += (*segment)->n_rows - (*segment)->n_dead_stored;
            collection->staged.n_records = facts->n_records;
            continue;
        }
        /* Damage stays, and so does a failure in recovery, which cannot be made up
         * for later: the others go on, this one says why it cannot.  Otherwise
         * whoever asks next finds out whether it was only for a moment. */
        bool lasts = status == OCHRE_CORRUPT || engine->recovering;
        if (status == OCHRE_NO_MEMORY || !lasts) {
            if (err != NULL)
                *err = why;
            return status;
        }
        collection->failure = why;
        return OCHRE_OK;
    }
    return OCHRE_OK;
}

/* A copy of the name for as long as the collection lives. */
static bool
copy_name(struct och_mem *mem, struct ochre_bytes name, struct ochre_bytes *copy_out)
{
    char *copy = och_mem_take(mem, name.size + 1);
    if (copy == NULL)
        return false;
    memcpy(copy, name.data, name.size);
    *copy_out = (struct ochre_bytes){copy, name.size};
    return true;
}

static void
release_name(struct och_mem *mem, struct ochre_bytes name)
{
    char *copy = (char *) (uintptr_t) name.data;
    och_mem_release(mem, copy, name.size + 1);
}

ochre_status
och_collection_load(struct och_engine *engine, const struct och_collection_row *row,
        const struct och_collection_settings *settings, struct och_collection **collection_out,
        struct ochre_error *err)
{
    *collection_out = NULL;
    struct och_mem *mem = engine->ports.mem;
    struct och_collection *collection = och_mem_take_zeroed(mem, sizeof(*collection));
    if (collection == NULL)
        return och_fail_memory(err);
    collection->engine = engine;
    collection->id = row->id;
    collection->number = row->number;
    collection->space = settings->space;
    collection->settings = *settings;
    atomic_init(&collection->n_owners, 1);
    collection->pace.urgency = &engine->urgency;
    if (engine->ports.executor != NULL) /* its rest begins now */
        atomic_init(&collection->written_ns, och_machine_monotonic_ns(engine->ports.machine));
    och_mutex_init(&collection->lock);

    struct och_arena arena;
    och_arena_init(&arena, mem);
    ochre_status status = OCHRE_OK;
    if (!copy_name(mem, row->tenant, &collection->tenant) ||
            !copy_name(mem, row->database, &collection->database))
        status = och_fail_memory(err);
    if (status == OCHRE_OK)
        status = load_state(collection, &arena, err);
    och_arena_clear(&arena);
    if (status != OCHRE_OK) {
        och_collection_release(collection);
        return status;
    }
    *collection_out = collection;
    return OCHRE_OK;
}

struct och_collection *
och_collection_retain(struct och_collection *collection)
{
    (void) atomic_fetch_add_explicit(&collection->n_owners, 1, memory_order_relaxed);
    return collection;
}

void
och_collection_release(struct och_collection *collection)
{
    if (collection == NULL)
        return;
    if (atomic_fetch_sub_explicit(&collection->n_owners, 1, memory_order_acq_rel) != 1)
        return;
    och_view_release(collection->view);
    och_facts_clear(&collection->published);
    och_facts_clear(&collection->staged);
    och_id_filter_release(collection->known.filter);
    release_name(collection->engine->ports.mem, collection->tenant);
    release_name(collection->engine->ports.mem, collection->database);
    och_mutex_clear(&collection->lock);
    och_mem_release(collection->engine->ports.mem, collection, sizeof(*collection));
}

struct och_collection_settings
och_collection_settings(struct och_collection *collection)
{
    och_mutex_lock(&collection->lock);
    struct och_collection_settings settings = collection->settings;
    och_mutex_unlock(&collection->lock);
    return settings;
}

static void
set_settings(struct och_collection *collection, const struct och_collection_settings *settings)
{
    collection->settings = *settings;
    collection->settings.space = collection->space;
}

void
och_collection_change(
        struct och_collection *collection, const struct och_collection_settings *settings)
{
    och_mutex_lock(&collection->lock);
    set_settings(collection, settings);
    collection->n_changes++;
    och_mutex_unlock(&collection->lock);
}

uint32_t
och_collection_changes(struct och_collection *collection)
{
    och_mutex_lock(&collection->lock);
    uint32_t n_changes = collection->n_changes;
    och_mutex_unlock(&collection->lock);
    return n_changes;
}

void
och_collection_settle(struct och_collection *collection,
        const struct och_collection_settings *settings, uint32_t n_changes)
{
    och_mutex_lock(&collection->lock);
    if (collection->n_changes == n_changes)
        set_settings(collection, settings);
    och_mutex_unlock(&collection->lock);
}

ochre_status
och_collection_usable(struct och_collection *collection, struct ochre_error *err)
{
    char id[OCH_UUID_TEXT_SIZE + 1];
    och_uuid_put(collection->id, id);
    ochre_status status = OCHRE_OK;
    och_mutex_lock(&collection->lock);
    if (collection->dropped)
        status = och_fail(err, OCHRE_NOT_FOUND, "Collection [%s] does not exist.", id);
    else if (collection->failure.status != OCHRE_OK)
        status = och_fail(err, collection->failure.status, "collection [%s] is damaged: %.300s", id,
                collection->failure.message);
    och_mutex_unlock(&collection->lock);
    return status;
}

uint64_t
och_collection_position(struct och_collection *collection)
{
    och_mutex_lock(&collection->lock);
    uint64_t position = collection->published.position;
    och_mutex_unlock(&collection->lock);
    return position;
}

void
och_collection_fail(struct och_collection *collection, const struct ochre_error *why)
{
    och_mutex_lock(&collection->lock);
    if (collection->failure.status == OCHRE_OK)
        collection->failure = *why;
    och_mutex_unlock(&collection->lock);
}
