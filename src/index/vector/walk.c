#include "index/vector/walk.h"

#include <string.h>

#include "base/bitset.h"
#include "base/mem.h"

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
    walk_out->touched = och_mem_take(mem, n_words * sizeof(*walk_out->touched));
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
    och_mem_release(walk->mem, walk->touched, n_words * sizeof(*walk->touched));
    *walk = (struct och_walk_state){.mem = NULL};
}

/* Forget which nodes were seen, in time that depends on their number only. */
static void
forget(struct och_walk_state *state)
{
    for (uint32_t i = 0; i < state->n_touched; i++)
        state->seen[state->touched[i]] = 0;
    state->n_touched = 0;
}

/* Mark a node as seen; was it new? */
static inline bool
see(struct och_walk_state *state, uint32_t node)
{
    uint64_t *word = &state->seen[node / 64];
    uint64_t bit = UINT64_C(1) << (node % 64);
    if ((*word & bit) != 0)
        return false;
    if (*word == 0)
        state->touched[state->n_touched++] = node / 64;
    *word |= bit;
    return true;
}

/* How many nodes are no farther than `distance`.  Whether a step goes left or
 * right is anybody's guess, so it is computed, not branched on. */
static inline uint32_t
place_of(const struct och_walk_list *list, float distance)
{
    uint32_t at = 0;
    for (uint32_t n = list->n; n > 0;) {
        uint32_t half = n / 2;
        bool right = list->nodes[at + half].distance <= distance;
        at = right ? at + half + 1 : at;
        n = right ? n - half - 1 : half;
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
take(struct och_walk_state *state, const struct och_walk *walk, const uint32_t *nodes, size_t n,
        uint32_t soon)
{
    float distances[OCH_WALK_BATCH];
    uint32_t first = state->front.capacity;
    if (n == 0)
        return first;
    walk->measure(walk->context, nodes, n, distances);
    state->n_measured += n;
    for (size_t i = 0; i < n; i++) {
        struct och_walk_node node = {.distance = distances[i], .node = nodes[i]};
        uint32_t place = insert(&state->front, node);
        if (place < first)
            first = place;
        if (place < soon)
            prefetch_links(walk->links, nodes[i]);
        if (walk->allowed != NULL && och_bitset_has(walk->allowed, nodes[i]))
            (void) insert(&state->found, node);
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

/* A neighbour that is not allowed: its allowed neighbours in its stead. */
static void
pass_through(struct och_walk_state *state, const struct och_walk *walk, uint32_t node,
        struct batch *batch, uint32_t soon)
{
    const uint32_t *links = walk->links + (size_t) node * OCH_GRAPH_DEGREE;
    for (size_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++) {
        if (!och_bitset_has(walk->allowed, links[i]) || !see(state, links[i]))
            continue;
        batch->nodes[batch->n++] = links[i];
        if (batch->n == OCH_WALK_BATCH)
            flush(state, walk, batch, soon);
    }
}

/* The node that is likely to be followed next: ask for what its neighbours will be
 * measured by, so that it is there by then.  Its own links were asked for when it
 * came near the front. */
static void
look_ahead(const struct och_walk_state *state, const struct och_walk *walk, uint32_t next)
{
    uint32_t likely = next + 1;
    while (likely < state->front.n && (state->front.nodes[likely].node & OCH_WALK_FOLLOWED) != 0)
        likely++;
    if (likely >= state->front.n)
        return;
    const uint32_t *links =
            walk->links + (size_t) state->front.nodes[likely].node * OCH_GRAPH_DEGREE;
    for (size_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++) {
        if ((state->seen[links[i] / 64] >> (links[i] % 64) & 1) != 0)
            continue;
        const unsigned char *bytes = walk->measured + links[i] * walk->stride;
        for (unsigned line = 0; line < walk->lines; line++)
            __builtin_prefetch(bytes + (size_t) line * 64);
    }
}

/* Follow the links of the node at `next`; where to go on. */
static uint32_t
follow(struct och_walk_state *state, const struct och_walk *walk, uint32_t next)
{
    struct och_walk_node *at = &state->front.nodes[next];
    const uint32_t *links = walk->links + (size_t) at->node * OCH_GRAPH_DEGREE;
    at->node |= OCH_WALK_FOLLOWED;
    state->n_followed++;
    struct batch batch; /* its nodes are not worth clearing */
    batch.n = 0;
    batch.first = state->front.capacity;
    if (next + 1 < state->front.n)
        prefetch_links(walk->links, och_walk_node_of(&state->front.nodes[next + 1]));
    if (walk->through) {
        for (size_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++)
            prefetch_links(walk->links, links[i]);
    }
    for (size_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++) {
        if (!see(state, links[i]))
            continue;
        if (walk->through && !och_bitset_has(walk->allowed, links[i])) {
            pass_through(state, walk, links[i], &batch, next + 2);
            continue;
        }
        batch.nodes[batch.n++] = links[i];
        if (batch.n == OCH_WALK_BATCH)
            flush(state, walk, &batch, next + 2);
    }
    if (walk->lines > 0)
        look_ahead(state, walk, next);
    flush(state, walk, &batch, next + 2);
    return batch.first <= next ? batch.first : next + 1;
}

static void
begin(struct och_walk_state *state, const struct och_walk *walk)
{
    forget(state);
    bool all = walk->allowed == NULL;
    state->front = (struct och_walk_list){
            .nodes = state->front_nodes, .capacity = all ? walk->effort : state->front_max};
    state->found = (struct och_walk_list){.nodes = state->found_nodes, .capacity = walk->effort};
    struct batch batch = {.n = 0};
    for (size_t i = 0; i < walk->n_entries; i++) {
        if (!see(state, walk->entries[i]))
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
