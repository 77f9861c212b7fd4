#include <string.h>

#include "base/bitset.h"
#include "base/mem.h"
#include "index/vector/graph_build.h"
#include "index/vector/graph_link.h"

/* Two-hop neighbours that are kept when filling. */
enum { FILL_CANDIDATES = 64 };

/* --- filling ---------------------------------------------------------------- */

/* How many links a node had when filling began: those it adds follow a second
 * row of numbers that other threads do not read. */
struct fill {
    struct och_link_sharing sharing;
    uint32_t *added; /* [n][OCH_GRAPH_DEGREE], by item */
};

/* Neighbours of neighbours that are no neighbours: up to OCH_LINK_CANDIDATES_MAX numbers. */
static size_t
two_hops(const struct och_graph_build *build, struct och_graph_scratch *scratch, uint32_t node,
        uint32_t *nodes)
{
    struct och_walk_state *walk = &scratch->walk;
    const uint32_t *links = och_link_of(build, node);
    size_t n = 0;
    och_walk_forget(walk);
    (void) och_walk_see(walk, node);
    for (size_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++) {
        (void) och_walk_see(walk, links[i]);
        __builtin_prefetch(och_link_of(build, links[i]));
    }
    for (size_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++) {
        const uint32_t *further = och_link_of(build, links[i]);
        for (size_t j = 0; j < OCH_GRAPH_DEGREE && further[j] != OCH_ROW_NONE; j++) {
            if (n < OCH_LINK_CANDIDATES_MAX && och_walk_see(walk, further[j]))
                nodes[n++] = further[j];
        }
    }
    och_walk_forget(walk);
    return n;
}

static void
fill_node(struct och_link_sharing *sharing, struct och_graph_scratch *scratch, uint32_t item)
{
    struct fill *fill = (struct fill *) sharing; /* its first member */
    struct och_graph_build *build = sharing->build;
    uint32_t node = build->order[sharing->first + item];
    const uint32_t *links = och_link_of(build, node);
    uint32_t *added = fill->added + (size_t) item * OCH_GRAPH_DEGREE;
    struct och_walk_node picked[OCH_GRAPH_DEGREE];
    uint32_t nodes[OCH_LINK_CANDIDATES_MAX];
    struct och_link_origin origin = {build, och_link_code(build, node)};
    added[0] = OCH_ROW_NONE;
    size_t n_links = och_link_count(links);
    if (n_links == OCH_GRAPH_DEGREE)
        return;
    for (size_t i = 0; i < n_links; i++)
        picked[i] = (struct och_walk_node){.node = links[i]};
    size_t n = two_hops(build, scratch, node, nodes);
    och_link_measure_all(&origin, nodes, n, scratch->candidates);
    och_link_sort(scratch->candidates, n);
    size_t n_candidates = n < FILL_CANDIDATES ? n : FILL_CANDIDATES;
    size_t n_all = och_link_pick(
            build, scratch->candidates, n_candidates, OCH_LINK_RULE_FILL, picked, n_links);
    for (size_t i = n_links; i < n_all; i++)
        added[i - n_links] = picked[i].node;
    if (n_all - n_links < OCH_GRAPH_DEGREE)
        added[n_all - n_links] = OCH_ROW_NONE;
}

ochre_status
och_graph_fill(struct och_graph_build *build, uint32_t begin)
{
    uint32_t n = build->n_in - begin;
    size_t size = (size_t) n * OCH_GRAPH_DEGREE * sizeof(uint32_t);
    if (n == 0)
        return OCHRE_OK;
    struct fill fill = {.sharing = {.build = build, .work = fill_node, .n = n, .first = begin}};
    fill.added = och_mem_take(build->mem, size);
    if (fill.added == NULL)
        return OCHRE_NO_MEMORY;
    och_link_share(&fill.sharing);
    for (uint32_t item = 0; item < n; item++) {
        uint32_t *links = och_link_of(build, build->order[begin + item]);
        const uint32_t *added = fill.added + (size_t) item * OCH_GRAPH_DEGREE;
        size_t n_links = och_link_count(links);
        for (size_t i = 0; n_links < OCH_GRAPH_DEGREE && added[i] != OCH_ROW_NONE; i++)
            links[n_links++] = added[i];
    }
    och_mem_release(build->mem, fill.added, size);
    return OCHRE_OK;
}

/* --- repairing -------------------------------------------------------------- */

/* Who is reached, and by whom: the tree that repairs must not cut. */
struct reach {
    struct och_graph_build *build;
    uint32_t *parents; /* [n]: OCH_ROW_NONE: not reached; itself: an entry */
    uint32_t *queue;   /* [n] */
    uint32_t n_queue, at;
};

static void
reach_on(struct reach *reach)
{
    for (; reach->at < reach->n_queue; reach->at++) {
        uint32_t node = reach->queue[reach->at];
        const uint32_t *links = och_link_of(reach->build, node);
        for (size_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++) {
            if (reach->parents[links[i]] != OCH_ROW_NONE)
                continue;
            reach->parents[links[i]] = node;
            reach->queue[reach->n_queue++] = links[i];
        }
    }
}

/* Let a reached node link to `node`, in a place that the tree does not need. */
static bool
adopt(struct reach *reach, uint32_t parent, uint32_t node)
{
    uint32_t *links = och_link_of(reach->build, parent);
    size_t place = OCH_GRAPH_DEGREE;
    for (size_t i = 0; i < OCH_GRAPH_DEGREE; i++) {
        if (links[i] == OCH_ROW_NONE) {
            place = i;
            break;
        }
        if (reach->parents[links[i]] != parent)
            place = i; /* the last, which is the farthest or least needed */
    }
    if (place == OCH_GRAPH_DEGREE)
        return false;
    links[place] = node;
    reach->parents[node] = parent;
    reach->queue[reach->n_queue++] = node;
    return true;
}

/* Find a parent for a node: the nearest that has a place, else the first
 * reached one that has (there are more places than tree edges). */
static void
find_parent(struct reach *reach, uint32_t node)
{
    struct och_graph_build *build = reach->build;
    struct och_graph_scratch *scratch = &build->scratch[0];
    size_t n = och_link_walk(build, scratch, node);
    for (size_t i = 0; i < n; i++) {
        if (adopt(reach, scratch->candidates[i].node, node))
            return;
    }
    for (uint32_t i = 0; i < reach->n_queue; i++) {
        if (adopt(reach, reach->queue[i], node))
            return;
    }
    och_assert(false); /* n - 1 tree edges cannot fill 32 n places */
}

ochre_status
och_graph_repair(struct och_graph_build *build, uint32_t *n_repaired_out)
{
    size_t size = build->n_rows * sizeof(uint32_t);
    struct reach reach = {.build = build};
    *n_repaired_out = 0;
    reach.parents = och_mem_take(build->mem, size);
    reach.queue = och_mem_take(build->mem, size);
    ochre_status status = reach.parents == NULL || reach.queue == NULL ? OCHRE_NO_MEMORY : OCHRE_OK;
    if (status == OCHRE_OK) {
        memset(reach.parents, 0xff, size);
        for (uint32_t i = 0; i < build->n_entries; i++) {
            reach.parents[build->order[i]] = build->order[i];
            reach.queue[reach.n_queue++] = build->order[i];
        }
        reach_on(&reach);
        for (uint32_t i = 0; i < build->n_in; i++) {
            uint32_t node = build->order[i];
            if (reach.parents[node] != OCH_ROW_NONE)
                continue;
            find_parent(&reach, node);
            reach_on(&reach);
            (*n_repaired_out)++;
        }
    }
    och_mem_release(build->mem, reach.parents, size);
    och_mem_release(build->mem, reach.queue, size);
    return status;
}
