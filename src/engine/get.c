#include "base/error.h"
#include "engine/engine.h"
#include "engine/maintain.h"
#include "engine/result.h"

/* How many rows are selected. */
static uint64_t
count_selected(const struct och_result *result, const struct och_selected *rows)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < result->snapshot.n_sources; i++)
        total += och_selected_count(&rows[i], &result->snapshot.sources[i]);
    return total;
}

/* Go to where the answer begins; *left_out: so many rows are there from there on. */
static void
find_begin(
        struct och_walk *walk, const struct och_get *get, uint64_t n_selected, uint64_t *left_out)
{
    if (get->after != NULL) {
        och_walk_seek(walk, *get->after);
        n_selected = och_walk_left(walk);
    }
    och_walk_skip(walk, get->offset);
    *left_out = n_selected > get->offset ? n_selected - get->offset : 0;
}

/* Fill in the next `n` records. */
static ochre_status
fill(struct och_result *result, struct och_walk *walk, uint64_t n, struct ochre_error *err)
{
    struct och_hits *list = result->lists;
    ochre_status status = OCHRE_OK;
    list->hits = och_arena_take_array(&result->arena, n, sizeof(*list->hits));
    if (list->hits == NULL)
        return och_fail_memory(err);
    while (status == OCHRE_OK && list->n < n) {
        struct och_source_row places[OCH_HYDRATE_BATCH];
        size_t some = 0;
        while (some < OCH_HYDRATE_BATCH && some < n - list->n &&
                och_walk_next(walk, &places[some].source, &places[some].row))
            some++;
        /* Fewer than were counted: a file says that its rows are in an order they are not. */
        if (some == 0)
            break;
        const struct och_source_row *last = &places[some - 1];
        result->last_ordinal =
                och_source_ordinal(&result->snapshot.sources[last->source], last->row);
        status = och_result_hydrate(result, places, some, &list->hits[list->n], err);
        list->n += some;
    }
    return status;
}

static ochre_status
collect(struct och_result *result, const struct och_selected *rows, const struct och_get *get,
        struct ochre_error *err)
{
    uint64_t n_selected = count_selected(result, rows);
    uint64_t left = 0;
    struct och_hits *list = och_arena_take(&result->arena, sizeof(*list));
    if (list == NULL)
        return och_fail_memory(err);
    *list = (struct och_hits){.n = 0};
    result->lists = list;
    result->n_lists = 1;
    if (n_selected <= get->offset || get->limit == 0)
        return fill(result, NULL, 0, err);

    struct och_walk walk;
    ochre_status status = och_walk_begin(&walk, &result->snapshot, rows, &result->arena, err);
    if (status != OCHRE_OK)
        return status;
    find_begin(&walk, get, n_selected, &left);
    uint64_t n = left < get->limit ? left : get->limit;
    result->has_more = get->pages && left > n;
    return fill(result, &walk, n, err);
}

ochre_status
och_engine_get(struct och_mem *mem, struct och_collection *collection, const struct och_get *get,
        struct och_result **result_out, struct ochre_error *err)
{
    *result_out = NULL;
    struct och_result *result;
    ochre_status status = och_result_begin(mem, collection, get->as_of, get->include, &result, err);
    if (status != OCHRE_OK)
        return status;
    struct och_selected *rows = NULL;
    status = och_select_rows(&result->snapshot, &get->select, &result->arena, &rows, NULL, err);
    if (status == OCHRE_OK)
        status = collect(result, rows, get, err);
    och_selected_clear(rows, result->snapshot.n_sources);
    if (status == OCHRE_OK && result->has_more)
        och_history_lease(
                &collection->engine->history, collection->id, result->snapshot.facts.position);
    och_maintain_read(collection, result->snapshot.view);
    if (status != OCHRE_OK) {
        och_result_release(result);
        return status;
    }
    *result_out = result;
    return OCHRE_OK;
}

ochre_status
och_engine_count(struct och_mem *mem, struct och_collection *collection, const uint64_t *as_of,
        uint64_t *count_out, uint64_t *position_out, struct ochre_error *err)
{
    *count_out = 0;
    struct och_arena arena;
    och_arena_init(&arena, mem);
    struct och_snapshot snapshot;
    ochre_status status = och_snapshot_take(collection, as_of, &arena, &snapshot, err);
    if (status == OCHRE_OK) {
        *count_out = och_snapshot_count(&snapshot);
        if (position_out != NULL)
            *position_out = snapshot.facts.position;
    }
    och_snapshot_release(&snapshot);
    och_arena_clear(&arena);
    return status;
}
