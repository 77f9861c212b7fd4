#include "base/error.h"
#include "engine/maintain.h"
#include "engine/result.h"

/* How many records the answer will have. */
static uint64_t
answer_size(
        const struct och_result *result, const struct och_selected *rows, const struct och_get *get)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < result->snapshot.n_sources; i++)
        total += och_selected_count(&rows[i], &result->snapshot.sources[i]);
    total = total > get->offset ? total - get->offset : 0;
    return total < get->limit ? total : get->limit;
}

static ochre_status
collect(struct och_result *result, const struct och_selected *rows, const struct och_get *get,
        struct ochre_error *err)
{
    uint64_t n = answer_size(result, rows, get);
    struct och_hits *list = och_arena_take(&result->arena, sizeof(*list));
    if (list == NULL)
        return och_fail_memory(err);
    *list = (struct och_hits){.n = 0};
    result->lists = list;
    result->n_lists = 1;
    list->hits = och_arena_take_array(&result->arena, n, sizeof(*list->hits));
    if (list->hits == NULL)
        return och_fail_memory(err);
    if (n == 0)
        return OCHRE_OK;

    struct och_walk walk;
    ochre_status status = och_walk_begin(&walk, &result->snapshot, rows, &result->arena, err);
    if (status == OCHRE_OK)
        och_walk_skip(&walk, get->offset);
    while (status == OCHRE_OK && list->n < n) {
        struct och_source_row places[OCH_HYDRATE_BATCH];
        size_t some = 0;
        while (some < OCH_HYDRATE_BATCH && some < n - list->n &&
                och_walk_next(&walk, &places[some].source, &places[some].row))
            some++;
        /* Fewer than were counted: a file says that its rows are in an order they are not. */
        if (some == 0)
            break;
        status = och_result_hydrate(result, places, some, &list->hits[list->n], err);
        list->n += some;
    }
    return status;
}

ochre_status
och_engine_get(struct och_mem *mem, struct och_collection *collection, const struct och_get *get,
        struct och_result **result_out, struct ochre_error *err)
{
    *result_out = NULL;
    struct och_result *result;
    ochre_status status = och_result_begin(mem, collection, get->include, &result, err);
    if (status != OCHRE_OK)
        return status;
    struct och_selected *rows = NULL;
    status = och_select_rows(&result->snapshot, &get->select, &result->arena, &rows, NULL, err);
    if (status == OCHRE_OK)
        status = collect(result, rows, get, err);
    och_selected_clear(rows, result->snapshot.n_sources);
    och_maintain_read(collection, result->snapshot.view);
    if (status != OCHRE_OK) {
        och_result_release(result);
        return status;
    }
    *result_out = result;
    return OCHRE_OK;
}

ochre_status
och_engine_count(struct och_mem *mem, struct och_collection *collection, uint64_t *count_out,
        struct ochre_error *err)
{
    *count_out = 0;
    struct och_arena arena;
    och_arena_init(&arena, mem);
    struct och_snapshot snapshot;
    ochre_status status = och_snapshot_take(collection, &arena, &snapshot, err);
    if (status == OCHRE_OK)
        *count_out = och_snapshot_count(&snapshot);
    och_snapshot_release(&snapshot);
    och_arena_clear(&arena);
    return status;
}
