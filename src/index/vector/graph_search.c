#include "index/vector/graph_search.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/bitset.h"
#include "base/error.h"
#include "distance/codes.h"
#include "distance/distance.h"
#include "index/vector/graph_plan.h"
#include "index/vector/quant.h"
#include "index/vector/rows.h"
#include "index/vector/topk.h"
#include "os/clock.h"

/* Vectors that are asked for before they are measured. */
#define MEASURE_AHEAD 4u

/* One request's state. */
struct searching {
    const struct och_graph_view *graph;
    const struct och_vector_search *search;
    const struct och_bitset *wanted; /* nodes that lead to allowed rows; NULL: all */
    struct och_vector_work *work;    /* never NULL */
    struct och_graph_cost cost;
    uint64_t n_allowed;
    uint32_t effort;
    struct och_walk_state walk;
};

/* One query while it walks. */
struct walking {
    const struct och_graph_view *graph;
    const struct och_quant_query *prepared;
    ochre_status status; /* of touching codes and links */
    struct ochre_error *err;
};

static const struct och_code4 *
code_of(const struct och_graph_view *graph, uint32_t row)
{
    return (const struct och_code4 *) (const void *) (graph->coded.codes +
            row * graph->coded.quant->stride4);
}

/* An och_walk_measure. */
static void
measure_codes(void *context, const uint32_t *nodes, size_t n, float *distances_out)
{
    const struct walking *walking = context;
    const struct och_coded_rows *coded = &walking->graph->coded;
    const struct och_quant *quant = coded->quant;
    int32_t dots[OCH_WALK_BATCH];
    quant->kernels->codes->dot4_gather(walking->prepared->elements, coded->codes + OCH_CODE_HEADER,
            quant->stride4, nodes, n, quant->padded, dots);
    for (size_t i = 0; i < n; i++)
        distances_out[i] =
                och_quant_estimate(walking->prepared, code_of(walking->graph, nodes[i]), dots[i]);
}

/* The same where codes are to be touched.  After a failure nothing is near any more, and
 * the walk soon ends. */
static void
touch_and_measure(void *context, const uint32_t *nodes, size_t n, float *distances_out)
{
    struct walking *walking = context;
    const struct och_coded_rows *coded = &walking->graph->coded;
    for (size_t i = 0; i < n && walking->status == OCHRE_OK; i++)
        walking->status = coded->touch(coded->context, nodes[i], 1, walking->err);
    if (walking->status == OCHRE_OK) {
        measure_codes(context, nodes, n, distances_out);
        return;
    }
    for (size_t i = 0; i < n; i++)
        distances_out[i] = INFINITY;
}

/* An och_walk's `reach`. */
static bool
touch_links(void *context, uint32_t node)
{
    struct walking *walking = context;
    const struct och_graph_view *graph = walking->graph;
    if (walking->status == OCHRE_OK)
        walking->status = graph->touch_links(graph->coded.context, node, 1, walking->err);
    return walking->status == OCHRE_OK;
}

static bool
may_be_found(const struct och_vector_search *search, uint32_t row)
{
    return search->allowed == NULL || och_bitset_has(search->allowed, row);
}

/* The first of a row's entries in the sorted list of copies. */
static uint32_t
first_copy(const struct och_graph_view *graph, uint32_t row)
{
    uint32_t low = 0, high = graph->n_copies;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (graph->copies[2 * (size_t) middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* --- measuring what was found ------------------------------------------------ */

/* Measure a row, if it is allowed, and its equals. */
static ochre_status
measure_group(struct searching *s, const struct och_distance_query *query, uint32_t row,
        struct och_topk *best, struct ochre_error *err)
{
    const struct och_graph_view *graph = s->graph;
    ochre_status status = OCHRE_OK;
    if (may_be_found(s->search, row)) {
        status = och_scan_measure(&graph->coded, s->search->source, query, row, best, err);
        s->work->n_distances++;
    }
    if ((code_of(graph, row)->flags & OCH_CODE_HAS_COPIES) == 0)
        return status;
    for (uint32_t i = first_copy(graph, row);
            i < graph->n_copies && graph->copies[2 * (size_t) i] == row && status == OCHRE_OK;
            i++) {
        if (!may_be_found(s->search, graph->copies[2 * (size_t) i + 1]))
            continue;
        status = och_scan_measure(&graph->coded, s->search->source, query,
                graph->copies[2 * (size_t) i + 1], best, err);
        s->work->n_distances++;
    }
    return status;
}

static void
prefetch_vector(const struct och_coded_rows *coded, uint32_t row)
{
    size_t size = coded->quant->dim * sizeof(float);
    const char *bytes = (const char *) (coded->rows->rows + (size_t) row * coded->quant->dim);
    for (size_t at = 0; at < size; at += 64)
        __builtin_prefetch(bytes + at);
}

/* Measure what a walk has found, nearest estimate first, as far as it may still
 * be among the nearest. */
static ochre_status
measure_found(struct searching *s, const struct och_distance_query *query,
        const struct och_quant_query *prepared, struct och_topk *best, struct ochre_error *err)
{
    const struct och_walk_list *found = &s->walk.found;
    for (uint32_t i = 0; i < found->n && i < MEASURE_AHEAD; i++)
        prefetch_vector(&s->graph->coded, och_walk_node_of(&found->nodes[i]));
    for (uint32_t i = 0; i < found->n; i++) {
        const struct och_walk_node *node = &found->nodes[i];
        float radius = code_of(s->graph, och_walk_node_of(node))->error * prepared->unlikely;
        if (node->distance - radius > och_scan_bound(prepared, best))
            continue;
        if (found->n - i > MEASURE_AHEAD)
            prefetch_vector(&s->graph->coded, och_walk_node_of(&found->nodes[i + MEASURE_AHEAD]));
        ochre_status status = measure_group(s, query, och_walk_node_of(node), best, err);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}

/* Rows that no walk comes to. */
static ochre_status
measure_strays(struct searching *s, const struct och_distance_query *query, struct och_topk *best,
        struct ochre_error *err)
{
    const struct och_graph_view *graph = s->graph;
    const struct och_coded_rows *coded = &graph->coded;
    ochre_status status = OCHRE_OK;
    for (uint32_t i = 0; i < graph->n_strays && status == OCHRE_OK; i++) {
        if (coded->touch != NULL)
            status = coded->touch(coded->context, graph->strays[i], 1, err);
        if (status == OCHRE_OK)
            status = measure_group(s, query, graph->strays[i], best, err);
    }
    return status;
}

/* --- plans ------------------------------------------------------------------- */

/* The exact plan, for one query. */
static ochre_status
scan_one(struct searching *s, size_t q, struct och_topk *best, struct ochre_error *err)
{
    struct och_vector_search one = *s->search;
    one.queries = &s->search->queries[q];
    one.n_queries = 1;
    s->work->plan = OCH_PLAN_SCAN;
    return och_scan_search(&s->graph->coded, &one, best, s->work, err);
}

static ochre_status
walk_one(struct searching *s, size_t q, struct och_topk *best, struct ochre_error *err)
{
    const struct och_graph_view *graph = s->graph;
    const struct och_distance_query *query = &s->search->queries[q];
    struct och_quant_query *prepared;
    if (och_scan_prepare(graph->coded.quant, query, 1, s->search->scratch, &prepared) != OCHRE_OK)
        return och_fail_memory(err);
    struct walking walking = {.graph = graph, .prepared = prepared, .err = err};
    struct och_walk walk = {.links = graph->links,
            .entries = graph->entries,
            .n_entries = graph->n_entries,
            .effort = s->effort,
            .allowed = s->wanted,
            .through = s->cost.plan == OCH_PLAN_TWO_HOP,
            .budget = s->cost.budget,
            .measure = graph->coded.touch == NULL ? measure_codes : touch_and_measure,
            .reach = graph->touch_links == NULL ? NULL : touch_links,
            .context = &walking};
    uint64_t measured = s->walk.n_measured, followed = s->walk.n_followed;
    bool enough = och_walk_run(&s->walk, &walk);
    s->work->n_estimates += s->walk.n_measured - measured;
    s->work->n_hops += s->walk.n_followed - followed;
    if (walking.status != OCHRE_OK)
        return walking.status;
    if (!enough)
        return scan_one(s, q, best, err);
    s->work->plan = s->cost.plan;
    ochre_status status = measure_found(s, query, prepared, best, err);
    return status == OCHRE_OK ? measure_strays(s, query, best, err) : status;
}

static ochre_status
search_each(struct searching *s, struct och_topk *best, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    for (size_t q = 0; q < s->search->n_queries && status == OCHRE_OK; q++) {
        if (best[q].capacity == 0)
            continue;
        struct och_arena_mark mark = och_arena_mark(s->search->scratch);
        if (och_scan_can(s->graph->coded.quant, &s->search->queries[q]))
            status = walk_one(s, q, &best[q], err);
        else
            status = scan_one(s, q, &best[q], err);
        och_arena_rewind(s->search->scratch, &mark);
    }
    return status;
}

/* Nodes that are allowed, or have an equal that is; `set` is empty. */
static ochre_status
find_wanted(struct searching *s, struct och_bitset *set)
{
    s->wanted = s->search->allowed;
    if (s->wanted == NULL || s->graph->n_copies == 0)
        return OCHRE_OK;
    ochre_status status = och_bitset_copy(set, s->wanted);
    for (uint32_t i = 0; i < s->graph->n_copies && status == OCHRE_OK; i++) {
        if (och_bitset_has(s->wanted, s->graph->copies[2 * (size_t) i + 1]))
            status = och_bitset_add(set, s->graph->copies[2 * (size_t) i]);
    }
    s->wanted = set;
    return status;
}

static ochre_status
walk_all(struct searching *s, struct och_topk *best, struct ochre_error *err)
{
    struct och_mem *mem = s->search->scratch->mem;
    struct och_bitset set;
    och_bitset_init(&set, mem);
    uint32_t n_rows = s->graph->coded.rows->n_rows;
    uint32_t front = s->effort, found = 0;
    ochre_status status = find_wanted(s, &set);
    if (s->wanted != NULL) {
        found = s->effort;
        front = s->cost.front;
    }
    if (status == OCHRE_OK)
        status = och_walk_make(mem, n_rows, front, found, &s->walk);
    status = status == OCHRE_OK ? search_each(s, best, err) : och_fail_memory(err);
    och_walk_clear(&s->walk);
    och_bitset_clear(&set);
    return status;
}

static ochre_status
search_planned(struct searching *s, struct och_topk *best, struct ochre_error *err)
{
    if (s->cost.plan != OCH_PLAN_SCAN)
        return walk_all(s, best, err);
    s->work->plan = OCH_PLAN_SCAN;
    return och_scan_search(&s->graph->coded, s->search, best, s->work, err);
}

/* Learn from it what the plan takes, where that is wanted. */
static ochre_status
search_timed(struct searching *s, struct och_topk *best, struct ochre_error *err)
{
    struct och_plan_scales *scales = s->graph->scales;
    if (scales == NULL || s->search->allowed == NULL || s->search->plan != OCH_PLAN_ANY)
        return search_planned(s, best, err);
    const struct och_machine *machine = och_machine_posix();
    uint64_t begin_ns = och_machine_monotonic_ns(machine);
    ochre_status status = search_planned(s, best, err);
    uint64_t taken_ns = och_machine_monotonic_ns(machine) - begin_ns;
    if (status == OCHRE_OK)
        och_plan_scales_note(scales, s->cost.plan, s->cost.ns * s->search->n_queries, taken_ns);
    return status;
}

ochre_status
och_graph_search(const struct och_graph_view *graph, const struct och_vector_search *search,
        uint32_t effort, struct och_topk *best, struct och_vector_work *work,
        struct ochre_error *err)
{
    struct och_vector_work ignored = {.n_distances = 0};
    uint32_t n_rows = graph->coded.rows->n_rows;
    struct searching s = {.graph = graph,
            .search = search,
            .work = work == NULL ? &ignored : work,
            .n_allowed = search->allowed == NULL ? n_rows : och_bitset_count(search->allowed),
            .effort = effort};
    for (size_t q = 0; q < search->n_queries; q++) {
        if (s.effort != 0 && best[q].capacity > s.effort)
            s.effort = best[q].capacity;
    }
    s.work->n_allowed = s.n_allowed;
    s.work->effort = s.effort;
    if (search->n_queries == 0)
        return OCHRE_OK;
    if (s.n_allowed == 0) {
        s.work->plan = OCH_PLAN_EMPTY;
        return OCHRE_OK;
    }
    och_graph_plan(graph, s.n_allowed, s.effort, search->n_queries, search->allowed != NULL,
            search->plan, &s.cost);
    s.work->cost_ns += s.cost.ns * search->n_queries;
    return search_timed(&s, best, err);
}
