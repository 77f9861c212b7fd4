#include <string.h>

#include "base/bitset.h"
#include "base/mem.h"
#include "index/vector/graph_build.h"
#include "index/vector/graph_link.h"

/* Nodes whose links are kept, by order; a batch that shares work. */
struct keeping {
    struct och_link_sharing sharing;
    const struct och_graph_kept *kept;
    const uint32_t *old; /* [n_rows of the build], rows of `kept`; OCH_ROW_NONE: not kept */
};

/* The node here that an old link leads to, or OCH_ROW_NONE. */
static uint32_t
node_at(const struct keeping *keeping, uint32_t old)
{
    uint32_t node = keeping->kept->map[old];
    return node == OCH_ROW_NONE || keeping->old[node] == OCH_ROW_NONE ? OCH_ROW_NONE : node;
}

static const uint32_t *
old_links(const struct keeping *keeping, uint32_t old)
{
    return keeping->kept->links + (size_t) old * OCH_GRAPH_DEGREE;
}

/* Note the nodes that old links lead to; were all of them kept? */
static bool
note_targets(const struct keeping *keeping, struct och_walk_state *walk, const uint32_t *links,
        uint32_t *nodes, size_t *n)
{
    size_t n_links = och_link_count(links);
    bool all = true;
    for (size_t i = 0; i < n_links; i++) {
        uint32_t target = node_at(keeping, links[i]);
        all = all && target != OCH_ROW_NONE;
        if (target != OCH_ROW_NONE && *n < OCH_LINK_CANDIDATES_MAX && och_walk_see(walk, target))
            nodes[(*n)++] = target;
    }
    return all;
}

/* Keep the first `n_links` of nodes as links, and add of the others those that
 * nothing leaves out. */
static void
add_links(struct och_graph_build *build, struct och_graph_scratch *scratch, uint32_t node,
        const uint32_t *nodes, size_t n_links, size_t n)
{
    struct och_link_origin origin = {build, och_link_code(build, node)};
    struct och_walk_node picked[OCH_GRAPH_DEGREE];
    for (size_t i = 0; i < n_links; i++)
        picked[i] = (struct och_walk_node){.node = nodes[i]};
    och_link_measure_all(&origin, nodes + n_links, n - n_links, scratch->candidates);
    och_link_sort(scratch->candidates, n - n_links);
    n = och_link_pick(
            build, scratch->candidates, n - n_links, OCH_LINK_RULE_BUILD, picked, n_links);
    och_link_store(build, node, picked, n);
}

static void
keep_node(struct och_link_sharing *sharing, struct och_graph_scratch *scratch, uint32_t item)
{
    const struct keeping *keeping = (const struct keeping *) sharing; /* its first member */
    struct och_graph_build *build = sharing->build;
    uint32_t node = build->order[item];
    const uint32_t *links = old_links(keeping, keeping->old[node]);
    uint32_t nodes[OCH_LINK_CANDIDATES_MAX];
    size_t n_old = och_link_count(links), n = 0;
    och_walk_forget(&scratch->walk);
    (void) och_walk_see(&scratch->walk, node);
    bool all = note_targets(keeping, &scratch->walk, links, nodes, &n);
    size_t n_links = n;
    for (size_t i = 0; !all && i < n_old; i++) {
        if (node_at(keeping, links[i]) == OCH_ROW_NONE)
            (void) note_targets(keeping, &scratch->walk, old_links(keeping, links[i]), nodes, &n);
    }
    add_links(build, scratch, node, nodes, n_links, n);
    och_walk_forget(&scratch->walk);
}

/* Which old row each node was, and the order with those in front that were one;
 * returns how many those are.  `rest` has room for the order. */
static uint32_t
find_kept(struct och_graph_build *build, const struct och_graph_kept *kept, uint32_t n_out,
        uint32_t *old, uint32_t *rest)
{
    uint32_t n = 0, n_rest = 0;
    for (uint32_t row = 0; row < kept->n_rows; row++) {
        bool is_node = kept->links[(size_t) row * OCH_GRAPH_DEGREE] != OCH_ROW_NONE;
        if (is_node && kept->map[row] != OCH_ROW_NONE)
            build->heads[kept->map[row]] = row;
    }
    for (uint32_t i = 0; i < build->n - n_out; i++) {
        uint32_t node = build->order[i];
        old[node] = build->heads[node];
        if (old[node] != OCH_ROW_NONE)
            build->order[n++] = node;
        else
            rest[n_rest++] = node;
    }
    memcpy(build->order + n, rest, n_rest * sizeof(*rest));
    memset(build->heads, 0xff, build->n_rows * sizeof(uint32_t)); /* as it was */
    return n;
}

ochre_status
och_graph_keep(struct och_graph_build *build, const struct och_graph_kept *kept, uint32_t n_out)
{
    och_assert(build->n_in == 0 && n_out <= build->n);
    size_t old_size = build->n_rows * sizeof(uint32_t), rest_size = build->n * sizeof(uint32_t);
    uint32_t *old = och_mem_take(build->mem, old_size);
    uint32_t *rest = och_mem_take(build->mem, rest_size);
    ochre_status status = old == NULL || rest == NULL ? OCHRE_NO_MEMORY : OCHRE_OK;
    if (status == OCHRE_OK) {
        memset(old, 0xff, old_size); /* OCH_ROW_NONE everywhere */
        uint32_t n = find_kept(build, kept, n_out, old, rest);
        if (n > OCH_GRAPH_DEGREE) {
            struct keeping keeping = {.kept = kept, .old = old};
            keeping.sharing = (struct och_link_sharing){.build = build, .work = keep_node, .n = n};
            och_link_share(&keeping.sharing);
            uint32_t entries = och_link_entries(build->n);
            build->n_in = n;
            build->n_entries = n < entries ? n : entries;
        }
    }
    och_mem_release(build->mem, old, old_size);
    och_mem_release(build->mem, rest, rest_size);
    return status;
}
