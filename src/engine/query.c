#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "distance/distance.h"
#include "engine/audit.h"
#include "engine/engine.h"
#include "engine/maintain.h"
#include "engine/result.h"
#include "engine/warm.h"
#include "index/vector/flat.h"
#include "index/vector/topk.h"
#include "os/clock.h"

/* Vectors that lie in one piece: a segment's, or those of a head's chunk. */
struct piece {
    uint32_t source; /* in the snapshot */
    uint32_t first;  /* the source's row that is row 0 of the piece */
};

/* A query batch in progress. */
struct fan_out {
    struct och_result *result;
    struct och_collection *collection;
    const struct och_machine *machine;
    const struct och_query *query;
    const struct och_selected *rows;
    struct och_distance_query *prepared; /* [n_queries] */
    struct och_topk *best;               /* [n_queries] */
    struct piece *pieces;                /* what a candidate's source counts */
    uint32_t n_pieces;
    float recall;                       /* to aim at; 1: exact */
    float effort_scale;                 /* of the candidates that an index would keep */
    uint32_t effort_min;                /* candidates an index keeps, at least */
    bool walked;                        /* some index did not look at everything */
    struct ochre_explain_source *costs; /* [n_sources]; NULL: nobody asks */
};

/* The part of a set of rows that falls on a piece, which begins at a multiple of
 * 64: a part of its words. */
static struct och_bitset
part_of(const struct och_bitset *set, uint32_t first, uint32_t n_rows)
{
    struct och_bitset part = {.mem = set->mem};
    if (first / 64 >= set->n_words)
        return part;
    size_t n_words = ((size_t) n_rows + 63) / 64;
    part.words = set->words + first / 64;
    part.n_words = set->n_words - first / 64;
    if (part.n_words > n_words)
        part.n_words = n_words;
    return part;
}

static bool
is_empty(const struct och_selected *rows)
{
    return !rows->all && och_bitset_next(&rows->set, 0) == OCH_ROW_NONE;
}

/* A segment with an index. */
static ochre_status
search_index(struct fan_out *fan, uint32_t index, const struct och_vector_index *vectors,
        struct och_vector_work *work, struct ochre_error *err)
{
    const struct och_selected *rows = &fan->rows[index];
    struct och_vector_search search = {.queries = fan->prepared,
            .n_queries = fan->query->n_queries,
            .source = fan->n_pieces,
            .allowed = rows->all ? NULL : &rows->set,
            .recall = fan->recall,
            .effort = fan->recall >= 1 ? 0 : fan->query->effort,
            .effort_scale = fan->effort_scale,
            .effort_min = fan->effort_min,
            .scratch = &fan->result->arena};
    fan->pieces[fan->n_pieces++] = (struct piece){index, 0};
    return och_vector_index_search(vectors, &search, fan->best, work, err);
}

/* Rows without one: all of them. */
static ochre_status
search_rows(
        struct fan_out *fan, uint32_t index, struct och_vector_work *work, struct ochre_error *err)
{
    const struct och_source *source = &fan->result->snapshot.sources[index];
    const struct och_selected *rows = &fan->rows[index];
    ochre_status status = OCHRE_OK;
    for (uint32_t first = 0; first < source->n_rows && status == OCHRE_OK;) {
        struct och_vector_rows vectors;
        uint32_t next = och_source_vectors(source, first, &vectors);
        struct och_bitset part = part_of(&rows->set, first, vectors.n_rows);
        struct och_vector_search search = {.queries = fan->prepared,
                .n_queries = fan->query->n_queries,
                .source = fan->n_pieces,
                .allowed = rows->all ? NULL : &part,
                .scratch = &fan->result->arena};
        fan->pieces[fan->n_pieces++] = (struct piece){index, first};
        status = och_flat_search(&vectors, &search, fan->best, work, err);
        first = next;
    }
    return status;
}

static ochre_status
search_any(
        struct fan_out *fan, uint32_t index, struct och_vector_work *work, struct ochre_error *err)
{
    struct och_segment *segment = fan->result->snapshot.sources[index].segment;
    const struct och_vector_index *vectors =
            segment == NULL ? NULL : och_warm_index(fan->collection, segment);
    if (vectors == NULL)
        return search_rows(fan, index, work, err);
    ochre_status status = search_index(fan, index, vectors, work, err);
    if (!work->is_unreadable)
        return status;
    /* As if it had no index: what this one came to does not count. */
    och_segment_fail_index(segment, status);
    fan->n_pieces--;
    for (size_t i = 0; i < fan->query->n_queries; i++)
        och_topk_withdraw(&fan->best[i], fan->n_pieces);
    *work = (struct och_vector_work){.n_distances = 0};
    return search_rows(fan, index, work, err);
}

static ochre_plan
plan_of(const struct och_vector_work *work, bool filtered)
{
    switch (work->plan) {
    case OCH_PLAN_EMPTY:
        return OCHRE_PLAN_EMPTY;
    case OCH_PLAN_WALK:
        return filtered ? OCHRE_PLAN_GRAPH_FILTERED : OCHRE_PLAN_GRAPH;
    case OCH_PLAN_TWO_HOP:
        return OCHRE_PLAN_GRAPH_FILTERED;
    case OCH_PLAN_ANY:
    case OCH_PLAN_FLAT:
    case OCH_PLAN_SCAN:
        break;
    }
    return filtered ? OCHRE_PLAN_EXACT_GATHER : OCHRE_PLAN_EXACT_SCAN;
}

/* What a search of this source took. */
static void
explain_source(struct fan_out *fan, uint32_t index, const struct och_vector_work *work,
        uint64_t elapsed_ns)
{
    size_t n_queries = fan->query->n_queries;
    struct ochre_explain_source *cost = &fan->costs[index];
    bool walked = work->plan == OCH_PLAN_WALK || work->plan == OCH_PLAN_TWO_HOP;
    cost->plan = plan_of(work, !fan->rows[index].all);
    cost->effort = walked ? work->effort : 0;
    cost->estimated_cost_us = (double) work->cost_ns / 1000 / (double) n_queries;
    cost->elapsed_us = (double) elapsed_ns / 1000 / (double) n_queries;
    cost->n_distances = work->n_distances / n_queries;
    cost->n_estimates = work->n_estimates / n_queries;
    cost->n_hops = work->n_hops / n_queries;
}

static ochre_status
search_source(struct fan_out *fan, uint32_t index, struct ochre_error *err)
{
    struct och_vector_work work = {.n_distances = 0};
    uint64_t begin_ns = 0;
    if (is_empty(&fan->rows[index]))
        return OCHRE_OK;
    if (fan->costs != NULL)
        begin_ns = och_machine_monotonic_ns(fan->machine);
    ochre_status status = search_any(fan, index, &work, err);
    fan->walked |= work.n_hops > 0;
    if (fan->costs != NULL)
        explain_source(fan, index, &work, och_machine_monotonic_ns(fan->machine) - begin_ns);
    return status;
}

/* Everything the searches need, in the result's arena. */
static ochre_status
prepare(struct fan_out *fan, const struct och_kernels *kernels, ochre_space space,
        struct ochre_error *err)
{
    const struct och_query *query = fan->query;
    struct och_arena *arena = &fan->result->arena;
    uint64_t n_candidates = 0;
    for (uint32_t i = 0; i < fan->result->snapshot.n_sources; i++)
        n_candidates += och_selected_count(&fan->rows[i], &fan->result->snapshot.sources[i]);
    size_t n_pieces = (size_t) fan->result->snapshot.n_sources * OCH_HEAD_CHUNKS_MAX;
    fan->pieces = och_arena_take_array(arena, n_pieces, sizeof(*fan->pieces));
    fan->prepared = och_arena_take_array(arena, query->n_queries, sizeof(*fan->prepared));
    fan->best = och_arena_take_array(arena, query->n_queries, sizeof(*fan->best));
    if (fan->pieces == NULL || fan->prepared == NULL || fan->best == NULL)
        return och_fail_memory(err);
    for (size_t i = 0; i < query->n_queries; i++) {
        och_distance_query_init(
                &fan->prepared[i], kernels, space, query->queries + i * query->dim, query->dim);
        if (och_topk_make(&fan->best[i], arena, query->k, n_candidates) != OCHRE_OK)
            return och_fail_memory(err);
    }
    return OCHRE_OK;
}

static ochre_status
hydrate_list(struct fan_out *fan, size_t i, struct ochre_error *err)
{
    struct och_result *result = fan->result;
    struct och_topk *best = &fan->best[i];
    och_topk_sort(best);
    struct och_hits *list = &result->lists[i];
    list->hits = och_arena_take_array(&result->arena, best->n, sizeof(*list->hits));
    struct och_source_row *places = och_arena_take_array(&result->arena, best->n, sizeof(*places));
    if (list->hits == NULL || places == NULL)
        return och_fail_memory(err);
    for (uint32_t hit = 0; hit < best->n; hit++) {
        const struct och_near *near = &best->items[hit];
        const struct piece *piece = &fan->pieces[near->source];
        places[hit] = (struct och_source_row){piece->source, piece->first + near->row};
    }
    ochre_status status = och_result_hydrate(result, places, best->n, list->hits, err);
    if (status != OCHRE_OK)
        return status;
    for (uint32_t hit = 0; hit < best->n; hit++)
        list->hits[hit].distance = best->items[hit].distance;
    list->n = best->n;
    return OCHRE_OK;
}

static ochre_status
check_dim(const struct och_result *result, const struct och_query *query, struct ochre_error *err)
{
    if (result->dim == 0 || query->n_queries == 0 || query->dim == result->dim)
        return OCHRE_OK;
    return och_fail(err, OCHRE_INVALID,
            "Collection expecting embedding with dimension of %u, got %zu", (unsigned) result->dim,
            query->dim);
}

static ochre_status
make_lists(struct och_result *result, size_t n, struct ochre_error *err)
{
    result->lists = och_arena_take_array(&result->arena, n, sizeof(*result->lists));
    if (result->lists == NULL)
        return och_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        result->lists[i] = (struct och_hits){.n = 0};
    result->n_lists = n;
    return OCHRE_OK;
}

/* --- explaining ---------------------------------------------------------------- */

static ochre_source_kind
kind_of(const struct och_source *source)
{
    if (source->head != NULL)
        return OCHRE_SOURCE_HEAD;
    return och_segment_has_graph(source->segment) ? OCHRE_SOURCE_GRAPH : OCHRE_SOURCE_FLAT;
}

/* What is known before the search. */
static ochre_status
begin_explain(struct fan_out *fan, struct ochre_error *err)
{
    const struct och_snapshot *snapshot = &fan->result->snapshot;
    fan->costs =
            och_arena_take_array(&fan->result->arena, snapshot->n_sources, sizeof(*fan->costs));
    if (fan->costs == NULL)
        return och_fail_memory(err);
    for (uint32_t i = 0; i < snapshot->n_sources; i++) {
        const struct och_source *source = &snapshot->sources[i];
        fan->costs[i] = (struct ochre_explain_source){.kind = kind_of(source),
                .plan = OCHRE_PLAN_EMPTY,
                .rows = och_source_count(source),
                .matches = och_selected_count(&fan->rows[i], source)};
    }
    return OCHRE_OK;
}

/* All queries have the same plan and share the work. */
static ochre_status
end_explain(struct fan_out *fan, struct ochre_error *err)
{
    struct och_result *result = fan->result;
    struct ochre_explain explain = {.plan = OCHRE_PLAN_EMPTY,
            .recall_target = fan->recall,
            .sources = fan->costs,
            .n_sources = result->snapshot.n_sources};
    for (size_t i = 0; i < explain.n_sources; i++)
        if (fan->costs[i].plan > explain.plan)
            explain.plan = fan->costs[i].plan;
    result->explains =
            och_arena_take_array(&result->arena, result->n_lists, sizeof(*result->explains));
    if (result->explains == NULL)
        return och_fail_memory(err);
    for (size_t i = 0; i < result->n_lists; i++)
        result->explains[i] = explain;
    return OCHRE_OK;
}

/* --- running ------------------------------------------------------------------- */

static float
recall_of(const struct och_collection_settings *settings, const struct och_query *query)
{
    if (query->exact)
        return 1;
    return query->recall_target > 0 ? query->recall_target : settings->recall_target;
}

static ochre_status
run(struct och_result *result, struct och_collection *collection, const struct och_query *query,
        struct ochre_error *err)
{
    struct och_selected *rows = NULL;
    struct ochre_bytes missing = {NULL, 0};
    ochre_status status = check_dim(result, query, err);
    if (status == OCHRE_OK)
        status = make_lists(result, query->n_queries, err);
    if (status == OCHRE_OK)
        status = och_select_rows(
                &result->snapshot, &query->select, &result->arena, &rows, &missing, err);
    if (status == OCHRE_OK && query->all_ids_must_exist && missing.data != NULL)
        status = och_fail(err, OCHRE_INTERNAL, "Error finding id: %.*s",
                (int) (missing.size < 200 ? missing.size : 200), missing.data);
    struct och_collection_settings settings = och_collection_settings(collection);
    struct fan_out fan = {.result = result,
            .collection = collection,
            .machine = collection->engine->ports.machine,
            .query = query,
            .rows = rows,
            .recall = recall_of(&settings, query),
            .effort_scale = och_audit_sum_up(collection).scale,
            .effort_min = query->recall_target > 0 ? 0 : och_settings_effort_min(&settings)};
    if (status == OCHRE_OK && query->explain)
        status = begin_explain(&fan, err);
    bool any = result->snapshot.n_sources > 0 && query->n_queries > 0 && query->k > 0;
    if (status == OCHRE_OK && any)
        status = prepare(&fan, collection->engine->ports.kernels, collection->space, err);
    for (uint32_t i = 0; any && status == OCHRE_OK && i < result->snapshot.n_sources; i++)
        status = search_source(&fan, i, err);
    for (size_t i = 0; any && status == OCHRE_OK && i < query->n_queries; i++)
        status = hydrate_list(&fan, i, err);
    if (status == OCHRE_OK && query->explain)
        status = end_explain(&fan, err);
    och_selected_clear(rows, result->snapshot.n_sources);
    bool cold = any && och_warm_consider(result->snapshot.collection, result->snapshot.view);
    if (status == OCHRE_OK && fan.walked && !cold)
        och_audit_consider(collection, query);
    return status;
}

ochre_status
och_engine_query(struct och_mem *mem, struct och_collection *collection,
        const struct och_query *query, struct och_result **result_out, struct ochre_error *err)
{
    *result_out = NULL;
    struct och_result *result;
    ochre_status status =
            och_result_begin(mem, collection, query->as_of, query->include, &result, err);
    if (status != OCHRE_OK)
        return status;
    status = run(result, collection, query, err);
    och_maintain_read(collection, result->snapshot.view);
    if (status != OCHRE_OK) {
        och_result_release(result);
        return status;
    }
    *result_out = result;
    return OCHRE_OK;
}
