#include "index/vector/walk.h"

#include <string.h>

#include "base/bitset.h"
#include "base/mem.h"

/* Nodes whose links are followed together: with few to be kept, the last of four is
 * often one that would not have been followed. */
enum { AT_ONCE = 4, AT_ONCE_SHORT = 2, EFFORT_SHORT = 64 };
_Static_assert(AT_ONCE *OCH_GRAPH_DEGREE <= OCH_WALK_BATCH, "all links of a group fit");

static size_t
words_of(uint32_t n_nodes)
{
    return (size_t) n_nodes / 64 + 1;
}

static size_t
nodes_size(uint32_t n)
{
    return ((size_t) n + 1) * sizeof(struct och_walk_node);
}

ochre_status
och_walk_make(struct och_mem *mem, uint32_t n_nodes, uint32_t front_max, uint32_t found_max,
        struct och_walk_state *walk_out)
{
    size_t n_words = words_of(n_nodes);
    *walk_out = (struct och_walk_state){
            .mem = mem, .n_nodes = n_nodes, .front_max = front_max, .found_max = found_max};
    walk_out->front_nodes = och_mem_take(mem, nodes_size(front_max));
    if (found_max > 0)
        walk_out->found_nodes = och_mem_take(mem, nodes_size(found_max));
    walk_out->seen = och_mem_take_zeroed(mem, n_words * sizeof(*walk_out->seen));
    walk_out->touched = och_mem_take(mem, (n_words + 1) * sizeof(*walk_out->touched));
    if (walk_out->front_nodes == NULL || (found_max > 0 && walk_out->found_nodes == NULL) ||
            walk_out->seen == NULL || walk_out->touched == NULL) {
        och_walk_clear(walk_out);
        return OCHRE_NO_MEMORY;
    }
    return OCHRE_OK;
}

void
och_walk_clear(struct och_walk_state *walk)
{
    if (walk->mem == NULL)
        return;
    size_t n_words = words_of(walk->n_nodes);
    och_mem_release(walk->mem, walk->front_nodes, nodes_size(walk->front_max));
    och_mem_release(walk->mem, walk->found_nodes, nodes_size(walk->found_max));
    och_mem_release(walk->mem, walk->seen, n_words * sizeof(*walk->seen));
    och_mem_release(walk->mem, walk->touched, (n_words + 1) * sizeof(*walk->touched));
    *walk = (struct och_walk_state){.mem = NULL};
}

/* How many nodes are no farther than `distance`: halves whose number depends on that
 * of the nodes only. */
static inline uint32_t
place_of(const struct och_walk_list *list, float distance)
{
    uint32_t at = 0;
    for (uint32_t n = list->n; n > 0;) {
        uint32_t half = (n + 1) / 2;
        uint32_t right = -(uint32_t) (list->nodes[at + half - 1].distance <= distance);
        at += half & right;
        n -= half;
    }
    return at;
}

/* Put a node in its place; returns the place, or the capacity when it is too far. */
static inline uint32_t
insert(struct och_walk_list *list, struct och_walk_node node)
{
    struct och_walk_node *nodes = list->nodes;
    if (list->n == list->capacity && node.distance >= nodes[list->n - 1].distance)
        return list->capacity;
    uint32_t place = place_of(list, node.distance);
    /* The farthest falls off a full list; there is room for one more. */
    memmove(nodes + place + 1, nodes + place, (list->n - place) * sizeof(*nodes));
    nodes[place] = node;
    if (list->n < list->capacity)
        list->n++;
    return place;
}

/* Links are two cache lines that lie anywhere. */
static inline void
prefetch_links(const uint32_t *links, uint32_t node)
{
    const uint32_t *row = links + (size_t) node * OCH_GRAPH_DEGREE;
    __builtin_prefetch(row);
    __builtin_prefetch(row + OCH_GRAPH_DEGREE / 2);
}

/*
 * Measure nodes and insert them; returns the first place of the front that
 * changed.  Links of what goes in before place `soon` are asked for: they are
 * followed next.
 */
static uint32_t
take(struct och_walk_state *state, const struct och_walk *walk, uint32_t *nodes, size_t n,
        uint32_t soon)
{
    float distances[OCH_WALK_BATCH];
    uint32_t first = state->front.capacity;
    if (n == 0)
        return first;
    walk->measure(walk->context, nodes, n, distances);
    state->n_measured += n;
    if (walk->allowed != NULL) {
        for (size_t i = 0; i < n; i++)
            if (och_bitset_has(walk->allowed, nodes[i]))
                (void) insert(&state->found, (struct och_walk_node){distances[i], nodes[i]});
    }
    /* Most are too far; those that are not, side by side (`nodes` is the batch, done with). */
    const struct och_walk_list *front = &state->front;
    bool full = front->n == front->capacity;
    float farthest = full ? front->nodes[front->n - 1].distance : 0;
    size_t n_near = 0;
    for (size_t i = 0; i < n; i++) {
        float distance = distances[i];
        distances[n_near] = distance;
        nodes[n_near] = nodes[i];
        n_near += !full | (distance < farthest);
    }
    for (size_t i = 0; i < n_near; i++) {
        uint32_t place = insert(&state->front, (struct och_walk_node){distances[i], nodes[i]});
        if (place < first)
            first = place;
        if (place < soon)
            prefetch_links(walk->links, nodes[i]);
    }
    return first;
}

/* New nodes on their way to being measured. */
struct batch {
    uint32_t nodes[OCH_WALK_BATCH];
    size_t n;
    uint32_t first; /* place of the front that changed */
};

static void
flush(struct och_walk_state *state, const struct och_walk *walk, struct batch *batch, uint32_t soon)
{
    uint32_t first = take(state, walk, batch->nodes, batch->n, soon);
    if (first < batch->first)
        batch->first = first;
    batch->n = 0;
}

static inline bool
can_reach(const struct och_walk *walk, uint32_t node)
{
    return walk->reach == NULL || walk->reach(walk->context, node);
}

/* A neighbour that is not allowed: its allowed neighbours in its stead. */
static void
pass_through(struct och_walk_state *state, const struct och_walk *walk, uint32_t node,
        struct batch *batch, uint32_t soon)
{
    const uint32_t *links = walk->links + (size_t) node * OCH_GRAPH_DEGREE;
    if (!can_reach(walk, node))
        return;
    for (size_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++) {
        if (!och_bitset_has(walk->allowed, links[i]) || !och_walk_see(state, links[i]))
            continue;
        batch->nodes[batch->n++] = links[i];
        if (batch->n == OCH_WALK_BATCH)
            flush(state, walk, batch, soon);
    }
}

/* Ask for the links of the nodes that are likely to be followed next. */
static void
look_ahead(const struct och_walk_state *state, const struct och_walk *walk, uint32_t next)
{
    size_t n = 0;
    for (uint32_t at = next; at < state->front.n && n < AT_ONCE; at++) {
        if ((state->front.nodes[at].node & OCH_WALK_FOLLOWED) != 0)
            continue;
        prefetch_links(walk->links, state->front.nodes[at].node);
        n++;
    }
}

/* Links through nodes that are not allowed. */
static void
follow_allowed(struct och_walk_state *state, const struct och_walk *walk, const uint32_t *links,
        size_t n_links, struct batch *batch, uint32_t soon)
{
    for (size_t i = 0; i < n_links; i++)
        prefetch_links(walk->links, links[i]);
    for (size_t i = 0; i < n_links; i++) {
        if (!och_walk_see(state, links[i]))
            continue;
        if (!och_bitset_has(walk->allowed, links[i])) {
            pass_through(state, walk, links[i], batch, soon);
            continue;
        }
        batch->nodes[batch->n++] = links[i];
        if (batch->n == OCH_WALK_BATCH)
            flush(state, walk, batch, soon);
    }
}

/* Take the nearest nodes that are not followed, from `next` on; returns how many. */
static size_t
take_group(struct och_walk_state *state, const struct och_walk *walk, uint32_t next, size_t n_max,
        uint32_t *group)
{
    size_t n = 0;
    for (uint32_t i = next; i < state->front.n && n < n_max; i++) {
        struct och_walk_node *node = &state->front.nodes[i];
        if ((node->node & OCH_WALK_FOLLOWED) != 0)
            continue;
        prefetch_links(walk->links, node->node);
        group[n++] = node->node;
        node->node |= OCH_WALK_FOLLOWED;
    }
    return n;
}

/*
 * Follow the links of the node at `next`, and of some that come after it: nearly
 * all that are in the front are followed in the end, and what is read for several
 * is on its way at the same time.  Returns where to go on.
 */
static uint32_t
follow(struct och_walk_state *state, const struct och_walk *walk, uint32_t next)
{
    uint32_t group[AT_ONCE], soon = next + 2 * AT_ONCE;
    size_t n_wanted = walk->effort < EFFORT_SHORT ? AT_ONCE_SHORT : AT_ONCE;
    size_t n_group = take_group(state, walk, next, walk->through ? 1 : n_wanted, group);
    state->n_followed += n_group;
    struct batch batch; /* its nodes are not worth clearing */
    batch.n = 0;
    batch.first = state->front.capacity;
    for (size_t g = 0; g < n_group; g++) {
        const uint32_t *links = walk->links + (size_t) group[g] * OCH_GRAPH_DEGREE;
        if (!can_reach(walk, group[g]))
            continue;
        size_t n_links = och_link_count(links);
        if (walk->through) {
            follow_allowed(state, walk, links, n_links, &batch, soon);
            continue;
        }
        for (size_t i = 0; i < n_links; i++) {
            batch.nodes[batch.n] = links[i]; /* there is room for all links of a group */
            batch.n += och_walk_see(state, links[i]);
        }
    }
    look_ahead(state, walk, next);
    flush(state, walk, &batch, soon);
    return batch.first <= next ? batch.first : next;
}

static void
begin(struct och_walk_state *state, const struct och_walk *walk)
{
    och_walk_forget(state);
    bool all = walk->allowed == NULL;
    state->front = (struct och_walk_list){
            .nodes = state->front_nodes, .capacity = all ? walk->effort : state->front_max};
    state->found = (struct och_walk_list){.nodes = state->found_nodes, .capacity = walk->effort};
    struct batch batch = {.n = 0};
    for (size_t i = 0; i < walk->n_entries; i++) {
        if (!och_walk_see(state, walk->entries[i]))
            continue;
        batch.nodes[batch.n++] = walk->entries[i];
        if (batch.n == OCH_WALK_BATCH)
            flush(state, walk, &batch, 1);
    }
    flush(state, walk, &batch, 1);
}

/* Can nothing better come? */
static bool
has_enough(const struct och_walk_state *state, uint32_t next)
{
    const struct och_walk_list *found = &state->found;
    return found->n == found->capacity &&
            state->front.nodes[next].distance > found->nodes[found->n - 1].distance;
}

bool
och_walk_run(struct och_walk_state *state, const struct och_walk *walk)
{
    uint64_t measured_max = walk->budget == 0 ? UINT64_MAX : state->n_measured + walk->budget;
    bool all = walk->allowed == NULL;
    bool enough = all;
    begin(state, walk);
    for (uint32_t next = 0; next < state->front.n;) {
        if ((state->front.nodes[next].node & OCH_WALK_FOLLOWED) != 0) {
            next++;
            continue;
        }
        if (!all && has_enough(state, next)) {
            enough = true;
            break;
        }
        if (state->n_measured > measured_max)
            return false;
        next = follow(state, walk, next);
    }
    if (all)
        state->found = state->front;
    return enough;
}
