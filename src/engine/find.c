#include "engine/find.h"

#include "base/mem.h"
#include "engine/collection.h"
#include "engine/engine.h"
#include "segment/head.h"
#include "segment/id_filter.h"
#include "segment/id_table.h"
#include "segment/segment.h"

/* So few segments are asked themselves. */
#define SEGMENTS_MIN 4u
/* A filter is made once as many segments were asked as it would have ids, by this. */
#define IDS_PER_LOOK 4u
#define IDS_MIN 4096u

/* --- the filter --------------------------------------------------------------- */

static void
drop_filter(struct och_known_ids *known)
{
    och_id_filter_release(known->filter);
    known->filter = NULL;
    known->in_use = false;
}

static bool
is_small(const struct och_collection *collection, const struct och_segment *segment)
{
    return segment->n_rows <= collection->engine->options.small_rows;
}

static uint32_t
count_small(const struct och_collection *collection)
{
    const struct och_view *view = collection->view;
    uint32_t n = 0;
    for (uint32_t i = 0; i < view->n_segments; i++)
        n += is_small(collection, view->segments[i]);
    return n;
}

static bool
has_everything(const struct och_collection *collection)
{
    const struct och_known_ids *known = &collection->known;
    const struct och_view *view = collection->view;
    if (known->filter == NULL || och_id_filter_is_full(known->filter))
        return false;
    for (uint32_t i = 0; i < view->n_segments; i++)
        if (is_small(collection, view->segments[i]) &&
                view->segments[i]->filter_id != known->number)
            return false;
    return true;
}

/* A filter saves time where there is memory; where there is little, it is better spent. */
static bool
has_room(const struct och_mem *mem, uint64_t size)
{
    for (; mem != NULL; mem = mem->parent) {
        size_t used = och_mem_used(mem);
        if (mem->limit != SIZE_MAX && (used > mem->limit / 2 || size > mem->limit / 2 - used))
            return false;
    }
    return true;
}

static uint64_t
count_ids(const struct och_collection *collection)
{
    const struct och_view *view = collection->view;
    uint64_t n = view->head == NULL ? 0 : view->head->n_rows;
    for (uint32_t i = 0; i < view->n_frozen; i++)
        n += view->frozen[i].head == NULL ? 0 : view->frozen[i].head->n_rows;
    for (uint32_t i = 0; i < view->n_segments; i++)
        n += is_small(collection, view->segments[i]) ? view->segments[i]->n_rows : 0;
    return n;
}

static void
add_hash(void *context, uint32_t hash)
{
    och_id_filter_add(context, hash);
}

static void
add_head(struct och_id_filter *filter, const struct och_head *head)
{
    if (head == NULL)
        return;
    for (uint32_t row = 0; row < head->n_rows; row++)
        och_id_filter_add(filter, och_id_table_hash(och_head_texts(head, row)->id));
}

/* Make one of all that is small in the view, with room for as much again. */
static void
make_filter(struct och_collection *collection)
{
    struct och_known_ids *known = &collection->known;
    const struct och_view *view = collection->view;
    struct och_mem *mem = collection->engine->ports.mem;
    uint64_t n_ids = count_ids(collection) * 2;
    n_ids = n_ids < IDS_MIN ? IDS_MIN : n_ids;
    drop_filter(known);
    known->n_looked = 0;
    if (!has_room(mem, och_id_filter_size(n_ids)) ||
            och_id_filter_make(mem, n_ids, &known->filter) != OCHRE_OK)
        return;
    ochre_status status = OCHRE_OK;
    for (uint32_t i = 0; status == OCHRE_OK && i < view->n_segments; i++)
        if (is_small(collection, view->segments[i]))
            status = och_segment_hashes(view->segments[i], add_hash, known->filter, NULL);
    if (status != OCHRE_OK) { /* what is damaged is found, and said, by those who look there */
        drop_filter(known);
        return;
    }
    for (uint32_t i = 0; i < view->n_frozen; i++)
        add_head(known->filter, view->frozen[i].head);
    add_head(known->filter, view->head);
    known->number++;
    for (uint32_t i = 0; i < view->n_segments; i++)
        view->segments[i]->filter_id = is_small(collection, view->segments[i]) ? known->number : 0;
    known->in_use = true;
}

void
och_find_begin(struct och_collection *collection)
{
    struct och_known_ids *known = &collection->known;
    known->in_use = false;
    if (count_small(collection) < SEGMENTS_MIN)
        return;
    known->in_use = has_everything(collection);
    if (known->in_use)
        return;
    uint64_t n_ids = count_ids(collection);
    if (known->n_looked >= (n_ids < IDS_MIN ? IDS_MIN : n_ids) / IDS_PER_LOOK)
        make_filter(collection);
}

void
och_find_note(struct och_collection *collection, struct ochre_bytes id)
{
    if (collection->known.filter != NULL)
        och_id_filter_add(collection->known.filter, och_id_table_hash(id));
}

bool
och_find_knows(const struct och_collection *collection, const struct och_segment *segment)
{
    const struct och_known_ids *known = &collection->known;
    return known->filter != NULL && segment->filter_id == known->number;
}

void
och_find_note_segment(struct och_collection *collection, struct och_segment *segment)
{
    if (collection->known.filter != NULL)
        segment->filter_id = collection->known.number;
}

void
och_find_forget(struct och_collection *collection)
{
    drop_filter(&collection->known);
}

void
och_find_tidy(struct och_collection *collection)
{
    if (count_small(collection) < SEGMENTS_MIN)
        drop_filter(&collection->known);
}

/* --- finding -------------------------------------------------------------------- */

void
och_find_prefetch(const struct och_collection *collection, struct ochre_bytes id)
{
    const struct och_view *view = collection->view;
    if (view->n_segments == 0)
        return;
    uint32_t hash = och_id_table_hash(id);
    bool in_use = collection->known.in_use;
    if (in_use)
        och_id_filter_prefetch(collection->known.filter, hash);
    for (uint32_t i = 0; i < view->n_segments; i++)
        if (!in_use || !is_small(collection, view->segments[i]))
            och_segment_prefetch_id(view->segments[i], hash);
}

/* The newest row of the id in a head: is it there, and does it live? */
static bool
find_in_head(struct och_head *head, struct ochre_bytes id, struct och_place *place_out)
{
    if (head == NULL)
        return false;
    uint32_t row = och_head_find(head, id);
    if (row == OCH_ROW_NONE || och_head_dead(head, row) != OCH_ALIVE)
        return false;
    *place_out = (struct och_place){.head = head, .row = row};
    return true;
}

/* Where the head and small segments surely do not have it, only large ones are asked. */
static ochre_status
find_in_segments(struct och_collection *collection, struct ochre_bytes id, bool only_large,
        struct och_place *place_out, struct ochre_error *err)
{
    const struct och_view *view = collection->view;
    if (!only_large)
        collection->known.n_looked += view->n_segments;
    for (uint32_t i = view->n_segments; i > 0; i--) {
        struct och_segment *segment = view->segments[i - 1];
        uint32_t row;
        if (only_large && is_small(collection, segment))
            continue;
        ochre_status status = och_segment_find(segment, id, &row, err);
        if (status != OCHRE_OK)
            return status;
        if (row != OCH_ROW_NONE && och_segment_dead(segment, row) == OCH_ALIVE) {
            *place_out = (struct och_place){.segment = segment, .row = row};
            return OCHRE_OK;
        }
    }
    return OCHRE_OK;
}

ochre_status
och_find(struct och_collection *collection, struct ochre_bytes id, struct och_place *place_out,
        struct ochre_error *err)
{
    /* Only the committer replaces the view, and this is the committer. */
    const struct och_view *view = collection->view;
    *place_out = (struct och_place){.row = OCH_ROW_NONE};
    if (collection->known.in_use &&
            !och_id_filter_has(collection->known.filter, och_id_table_hash(id)))
        return find_in_segments(collection, id, true, place_out, err);
    if (find_in_head(view->head, id, place_out))
        return OCHRE_OK;
    for (uint32_t i = view->n_frozen; i > 0; i--)
        if (find_in_head(view->frozen[i - 1].head, id, place_out))
            return OCHRE_OK;
    return find_in_segments(collection, id, false, place_out, err);
}
