#include <string.h>

#include "base/bitset.h"
#include "base/mem.h"
#include "index/vector/graph_build.h"
#include "index/vector/graph_carve.h"
#include "index/vector/graph_link.h"

/* Nodes that join, and who wants to be linked back: lists by target. */
struct joining {
    struct och_link_sharing sharing;
    const struct och_carved *carved;
    uint32_t *begins; /* [n_rows + 1] */
    uint32_t *froms;  /* [n_froms] */
    size_t n_froms;
};

/* Nodes that are near the one at a place, each once, but those that `seen` names. */
static size_t
list_near(const struct joining *joining, struct och_graph_scratch *scratch, uint32_t place,
        const uint32_t *seen, size_t n_seen, uint32_t nodes[OCH_CARVE_NEAR])
{
    const struct och_carved *carved = joining->carved;
    const uint32_t *order = joining->sharing.build->order;
    const uint32_t *near = carved->near + (size_t) (place - carved->first) * OCH_CARVE_NEAR;
    size_t n = 0;
    och_walk_forget(&scratch->walk);
    (void) och_walk_see(&scratch->walk, order[place]);
    for (size_t i = 0; i < n_seen; i++)
        (void) och_walk_see(&scratch->walk, seen[i]);
    for (size_t i = 0; i < OCH_CARVE_NEAR; i++) {
        if (near[i] != OCH_ROW_NONE && och_walk_see(&scratch->walk, order[near[i]]))
            nodes[n++] = order[near[i]];
    }
    och_walk_forget(&scratch->walk);
    return n;
}

/* Item: pick links of a node out of what is near. */
static void
pick_links(struct och_link_sharing *sharing, struct och_graph_scratch *scratch, uint32_t item)
{
    const struct joining *joining = (const struct joining *) sharing; /* its first member */
    const struct och_carved *carved = joining->carved;
    struct och_graph_build *build = sharing->build;
    uint32_t place = carved->places[item], node = build->order[place];
    if (place < carved->first || och_link_stopped(build))
        return;
    struct och_walk_node picked[OCH_GRAPH_DEGREE];
    uint32_t nodes[OCH_CARVE_NEAR];
    size_t n = list_near(joining, scratch, place, NULL, 0, nodes);
    struct och_link_origin origin = {build, och_link_code(build, node)};
    och_link_measure_all(&origin, nodes, n, scratch->candidates);
    och_link_sort(scratch->candidates, n);
    n = och_link_pick(build, scratch->candidates, n, OCH_LINK_RULE_BUILD, picked, 0);
    och_link_store(build, node, picked, n);
    build->checked[node] = (uint8_t) n;
}

/* List, for each node, who has picked it. */
static ochre_status
list_backs(struct joining *joining)
{
    const struct och_graph_build *build = joining->sharing.build;
    const struct och_carved *carved = joining->carved;
    uint32_t *begins = joining->begins;
    memset(begins, 0, ((size_t) build->n_rows + 1) * sizeof(*begins));
    for (uint32_t place = carved->first; place < carved->end; place++) {
        const uint32_t *links = och_link_of(build, build->order[place]);
        for (size_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++)
            begins[links[i]]++;
    }
    uint32_t end = 0; /* begins are ends first, and counted down */
    for (uint32_t row = 0; row < build->n_rows; row++)
        begins[row] = end += begins[row];
    begins[build->n_rows] = end;
    joining->n_froms = (size_t) end + 1; /* never none */
    joining->froms = och_mem_take(build->mem, joining->n_froms * sizeof(*joining->froms));
    if (joining->froms == NULL)
        return OCHRE_NO_MEMORY;
    for (uint32_t place = carved->end; place-- > carved->first;) {
        const uint32_t *links = och_link_of(build, build->order[place]);
        for (size_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++)
            joining->froms[--begins[links[i]]] = build->order[place];
    }
    return OCHRE_OK;
}

static bool
links_to(const uint32_t *links, uint32_t node)
{
    for (size_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++) {
        if (links[i] == node)
            return true;
    }
    return false;
}

/* Item: link back to who has picked a node. */
static void
link_back(struct och_link_sharing *sharing, struct och_graph_scratch *scratch, uint32_t item)
{
    const struct joining *joining = (const struct joining *) sharing; /* its first member */
    struct och_graph_build *build = sharing->build;
    uint32_t node = build->order[joining->carved->places[item]];
    uint32_t nodes[OCH_LINK_CANDIDATES_MAX - OCH_GRAPH_DEGREE];
    size_t n = 0;
    if (och_link_stopped(build))
        return;
    for (uint32_t i = joining->begins[node]; i < joining->begins[node + 1]; i++) {
        if (n < sizeof(nodes) / sizeof(nodes[0]) &&
                !links_to(och_link_of(build, node), joining->froms[i]))
            nodes[n++] = joining->froms[i];
    }
    struct och_link_origin origin = {build, och_link_code(build, node)};
    och_link_measure_all(&origin, nodes, n, scratch->candidates);
    och_link_add(build, scratch, node, n);
}

/* Item: fill free places of a node with what is near and in other directions. */
static void
fill_links(struct och_link_sharing *sharing, struct och_graph_scratch *scratch, uint32_t item)
{
    const struct joining *joining = (const struct joining *) sharing; /* its first member */
    struct och_graph_build *build = sharing->build;
    uint32_t place = joining->carved->places[item], node = build->order[place];
    uint32_t *links = och_link_of(build, node);
    size_t n_links = och_link_count(links);
    if (place < joining->carved->first || n_links == OCH_GRAPH_DEGREE || och_link_stopped(build))
        return;
    struct och_walk_node picked[OCH_GRAPH_DEGREE];
    uint32_t nodes[OCH_CARVE_NEAR];
    for (size_t i = 0; i < n_links; i++)
        picked[i] = (struct och_walk_node){.node = links[i]};
    size_t n = list_near(joining, scratch, place, links, n_links, nodes);
    struct och_link_origin origin = {build, och_link_code(build, node)};
    och_link_measure_all(&origin, nodes, n, scratch->candidates);
    och_link_sort(scratch->candidates, n);
    n = och_link_pick(build, scratch->candidates, n, OCH_LINK_RULE_FILL, picked, n_links);
    och_link_store(build, node, picked, n);
}

static ochre_status
share(struct joining *joining,
        void (*work)(struct och_link_sharing *, struct och_graph_scratch *, uint32_t))
{
    const struct och_graph_build *build = joining->sharing.build;
    joining->sharing.work = work;
    och_link_share(&joining->sharing);
    return och_link_stopped(build) ? OCHRE_UNAVAILABLE : OCHRE_OK;
}

ochre_status
och_graph_join(struct och_graph_build *build, uint32_t end)
{
    och_assert(build->n_in < end && end <= build->n);
    size_t begins_size = ((size_t) build->n_rows + 1) * sizeof(uint32_t);
    struct och_carved carved;
    struct joining joining = {.carved = &carved};
    joining.sharing = (struct och_link_sharing){.build = build, .n = end};
    ochre_status status = och_carve(build, build->n_in, end, &carved);
    if (status == OCHRE_OK)
        status = share(&joining, pick_links);
    joining.begins = och_mem_take(build->mem, begins_size);
    if (status == OCHRE_OK)
        status = joining.begins == NULL ? OCHRE_NO_MEMORY : list_backs(&joining);
    if (status == OCHRE_OK)
        status = share(&joining, link_back);
    if (status == OCHRE_OK)
        status = share(&joining, fill_links);
    if (status == OCHRE_OK) {
        uint32_t entries = och_link_entries(build->n);
        build->n_entries = end < entries ? end : entries;
        build->n_in = end;
    }
    och_mem_release(build->mem, joining.froms, joining.n_froms * sizeof(*joining.froms));
    och_mem_release(build->mem, joining.begins, begins_size);
    och_carve_clear(&carved);
    return status;
}
