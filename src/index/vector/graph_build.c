#include "index/vector/graph_build.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitset.h"
#include "base/mem.h"
#include "base/random.h"
#include "distance/codes.h"
#include "distance/distance.h"
#include "index/vector/quant.h"
#include "os/executor.h"

enum {
    /* A batch is at most this part of what is in already. */
    BATCH_PART = 50,
    /* Two-hop neighbours that are looked at when filling, and kept for it. */
    TWO_HOP_MAX = 1024,
    FILL_CANDIDATES = 64,
    /* Items that a thread takes at once. */
    CHUNK = 16,
    ENTRIES_MIN = 16,
    ENTRIES_MAX = 256,
    ROWS_PER_ENTRY = 1024,
};

/* How much nearer something picked must be to leave a candidate out, squared. */
#define RULE_BUILD 1.0F
#define RULE_FILL 1.2F

/* One thread's room. */
struct och_graph_scratch {
    struct och_walk_state walk;
    struct och_walk_node *candidates; /* [TWO_HOP_MAX] */
};

/* A link that wants to be linked back: lists by target. */
struct back_link {
    uint32_t from;
    uint32_t next; /* in the list of the same target, or OCH_ROW_NONE */
    float distance;
};

/* Work that threads share: items 0 to n - 1, by chunks. */
struct sharing {
    struct och_graph_build *build;
    void (*work)(struct sharing *sharing, struct och_graph_scratch *scratch, uint32_t item);
    atomic_uint next;
    uint32_t n;
    uint32_t first;          /* of order: the batch, or what to fill */
    struct back_link *backs; /* [n][OCH_GRAPH_DEGREE] of a batch */
    const uint32_t *targets; /* of a batch: nodes that are linked to */
};

static uint32_t *
links_of(const struct och_graph_build *build, uint32_t node)
{
    return build->links + (size_t) node * OCH_GRAPH_DEGREE;
}

static const uint8_t *
code_of(const struct och_graph_build *build, uint32_t node)
{
    return build->codes + (size_t) node * build->quant->stride7;
}

static const struct och_code7 *
header_of(const uint8_t *code)
{
    return (const struct och_code7 *) (const void *) code;
}

static float
distance_between(const struct och_graph_build *build, uint32_t a, uint32_t b)
{
    const struct och_quant *quant = build->quant;
    const uint8_t *x = code_of(build, a), *y = code_of(build, b);
    int32_t dot =
            quant->kernels->codes->dot7(x + OCH_CODE_HEADER, y + OCH_CODE_HEADER, quant->padded);
    return och_quant_between(quant, header_of(x), header_of(y), dot);
}

/* The node that others are measured from. */
struct origin {
    const struct och_graph_build *build;
    const uint8_t *code;
};

/* An och_walk_measure. */
static void
measure_from(void *context, const uint32_t *nodes, size_t n, float *distances_out)
{
    const struct origin *origin = context;
    const struct och_graph_build *build = origin->build;
    const struct och_quant *quant = build->quant;
    int32_t dots[OCH_WALK_BATCH];
    quant->kernels->codes->dot7_gather(origin->code + OCH_CODE_HEADER,
            build->codes + OCH_CODE_HEADER, quant->stride7, nodes, n, quant->padded, dots);
    for (size_t i = 0; i < n; i++)
        distances_out[i] = och_quant_between(
                quant, header_of(origin->code), header_of(code_of(build, nodes[i])), dots[i]);
}

static void
walk_from(const struct och_graph_build *build, struct och_walk_state *state, struct origin *origin)
{
    struct och_walk walk = {.links = build->links,
            .entries = build->order,
            .n_entries = build->n_entries,
            .effort = build->effort,
            .measure = measure_from,
            .context = origin,
            .measured = build->codes,
            .stride = build->quant->stride7,
            .lines = (unsigned) (build->quant->stride7 / 64)};
    (void) och_walk_run(state, &walk); /* without a budget nothing is left out */
}

/* --- sharing work ----------------------------------------------------------- */

/* An item of och_executor_parallel: thread number i. */
static void
take_chunks(void *context, size_t i)
{
    struct sharing *sharing = context;
    for (;;) {
        uint32_t from = atomic_fetch_add_explicit(&sharing->next, CHUNK, memory_order_relaxed);
        if (from >= sharing->n)
            return;
        uint32_t end = sharing->n - from < CHUNK ? sharing->n : from + CHUNK;
        for (uint32_t item = from; item < end; item++)
            sharing->work(sharing, &sharing->build->scratch[i], item);
    }
}

static void
share(struct sharing *sharing)
{
    struct och_graph_build *build = sharing->build;
    atomic_init(&sharing->next, 0);
    size_t n_threads = sharing->n < 2 * CHUNK ? 1 : build->n_threads;
    och_executor_parallel(build->executor, n_threads, take_chunks, sharing);
}

/* --- beginning and ending --------------------------------------------------- */

static uint32_t
entries_for(uint32_t n)
{
    uint32_t wanted = n / ROWS_PER_ENTRY;
    wanted = wanted < ENTRIES_MIN ? ENTRIES_MIN : wanted;
    return wanted > ENTRIES_MAX ? ENTRIES_MAX : wanted;
}

static void
shuffle(uint32_t *order, uint32_t n, uint64_t seed)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = (uint32_t) och_random_below(&seed, i);
        uint32_t swapped = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swapped;
    }
}

static ochre_status
make_scratch(struct och_graph_build *build)
{
    size_t size = build->n_threads * sizeof(*build->scratch);
    build->scratch = och_mem_take_zeroed(build->mem, size);
    if (build->scratch == NULL)
        return OCHRE_NO_MEMORY;
    for (unsigned i = 0; i < build->n_threads; i++) {
        struct och_graph_scratch *scratch = &build->scratch[i];
        ochre_status status =
                och_walk_make(build->mem, build->n_rows, build->effort, 0, &scratch->walk);
        if (status != OCHRE_OK)
            return status;
        scratch->candidates = och_mem_take(build->mem, TWO_HOP_MAX * sizeof(*scratch->candidates));
        if (scratch->candidates == NULL)
            return OCHRE_NO_MEMORY;
    }
    return OCHRE_OK;
}

ochre_status
och_graph_begin(struct och_graph_build *build, const uint32_t *nodes, uint64_t seed)
{
    och_assert(build->n > 0 && build->effort >= OCH_GRAPH_DEGREE && build->links == NULL);
    struct och_mem *mem = build->mem;
    size_t links_size = (size_t) build->n_rows * OCH_GRAPH_DEGREE * sizeof(uint32_t);
    if (build->n_threads == 0 || build->executor == NULL)
        build->n_threads = 1;
    if (build->n_threads > OCH_GRAPH_THREADS_MAX)
        build->n_threads = OCH_GRAPH_THREADS_MAX;
    build->links = och_mem_take_huge(mem, links_size);
    build->order = och_mem_take(mem, build->n * sizeof(uint32_t));
    build->heads = och_mem_take(mem, build->n_rows * sizeof(uint32_t));
    if (build->links == NULL || build->order == NULL || build->heads == NULL ||
            make_scratch(build) != OCHRE_OK)
        return OCHRE_NO_MEMORY;
    memset(build->links, 0xff, links_size); /* OCH_ROW_NONE everywhere */
    memset(build->heads, 0xff, build->n_rows * sizeof(uint32_t));
    memcpy(build->order, nodes, build->n * sizeof(uint32_t));
    shuffle(build->order, build->n, seed);
    return OCHRE_OK;
}

void
och_graph_clear(struct och_graph_build *build)
{
    if (build->mem == NULL)
        return;
    struct och_mem *mem = build->mem;
    for (unsigned i = 0; build->scratch != NULL && i < build->n_threads; i++) {
        och_walk_clear(&build->scratch[i].walk);
        och_mem_release(mem, build->scratch[i].candidates,
                TWO_HOP_MAX * sizeof(*build->scratch->candidates));
    }
    och_mem_release(mem, build->scratch, build->n_threads * sizeof(*build->scratch));
    och_mem_release(mem, build->heads, build->n_rows * sizeof(uint32_t));
    och_mem_release(mem, build->order, build->n * sizeof(uint32_t));
    och_mem_release(
            mem, build->links, (size_t) build->n_rows * OCH_GRAPH_DEGREE * sizeof(uint32_t));
    *build = (struct och_graph_build){.mem = NULL};
}

/* --- picking ---------------------------------------------------------------- */

/*
 * Add to the `n_picked` links in `picked` those of the candidates, nearest
 * first, that nothing picked leaves out; returns how many there are then.
 */
static size_t
pick(const struct och_graph_build *build, const struct och_walk_node *candidates, size_t n,
        float rule, struct och_walk_node *picked, size_t n_picked)
{
    for (size_t i = 0; i < n && n_picked < OCH_GRAPH_DEGREE; i++) {
        struct och_walk_node candidate = {candidates[i].distance, och_walk_node_of(&candidates[i])};
        bool out = false;
        for (size_t j = 0; j < n_picked && !out; j++) {
            out = picked[j].node == candidate.node ||
                    rule * distance_between(build, candidate.node, picked[j].node) <
                            candidate.distance;
        }
        if (!out)
            picked[n_picked++] = candidate;
    }
    return n_picked;
}

static void
store_links(
        struct och_graph_build *build, uint32_t node, const struct och_walk_node *picked, size_t n)
{
    uint32_t *links = links_of(build, node);
    for (size_t i = 0; i < OCH_GRAPH_DEGREE; i++)
        links[i] = i < n ? picked[i].node : OCH_ROW_NONE;
}

static int
compare_nodes(const void *left, const void *right)
{
    const struct och_walk_node *a = left;
    const struct och_walk_node *b = right;
    if (a->distance != b->distance)
        return a->distance < b->distance ? -1 : 1;
    return (a->node > b->node) - (a->node < b->node);
}

/* --- inserting -------------------------------------------------------------- */

/* Item of a batch: walk, pick, remember what is to be linked back. */
static void
insert_node(struct sharing *sharing, struct och_graph_scratch *scratch, uint32_t item)
{
    struct och_graph_build *build = sharing->build;
    uint32_t node = build->order[sharing->first + item];
    struct origin origin = {build, code_of(build, node)};
    walk_from(build, &scratch->walk, &origin);
    const struct och_walk_list *found = &scratch->walk.found;
    struct och_walk_node picked[OCH_GRAPH_DEGREE];
    size_t n = pick(build, found->nodes, found->n, RULE_BUILD, picked, 0);
    store_links(build, node, picked, n);
    struct back_link *backs = sharing->backs + (size_t) item * OCH_GRAPH_DEGREE;
    for (size_t i = 0; i < n; i++)
        backs[i] = (struct back_link){.from = node, .distance = picked[i].distance};
}

/* Item of the targets: link back to who linked to it. */
static void
link_back(struct sharing *sharing, struct och_graph_scratch *scratch, uint32_t item)
{
    struct och_graph_build *build = sharing->build;
    uint32_t node = sharing->targets[item];
    uint32_t *links = links_of(build, node);
    struct och_walk_node *all = scratch->candidates;
    size_t n_links = 0;
    while (n_links < OCH_GRAPH_DEGREE && links[n_links] != OCH_ROW_NONE)
        n_links++;
    size_t n_new = 0;
    for (uint32_t i = build->heads[node]; i != OCH_ROW_NONE; i = sharing->backs[i].next) {
        if (n_new < TWO_HOP_MAX - OCH_GRAPH_DEGREE)
            all[OCH_GRAPH_DEGREE + n_new++] =
                    (struct och_walk_node){sharing->backs[i].distance, sharing->backs[i].from};
    }
    build->heads[node] = OCH_ROW_NONE;
    qsort(all + OCH_GRAPH_DEGREE, n_new, sizeof(*all), compare_nodes);
    if (n_links + n_new <= OCH_GRAPH_DEGREE) {
        for (size_t i = 0; i < n_new; i++)
            links[n_links + i] = all[OCH_GRAPH_DEGREE + i].node;
        return;
    }
    size_t at = OCH_GRAPH_DEGREE - n_links;
    for (size_t i = 0; i < n_links; i++)
        all[at + i] = (struct och_walk_node){distance_between(build, node, links[i]), links[i]};
    qsort(all + at, n_links + n_new, sizeof(*all), compare_nodes);
    struct och_walk_node picked[OCH_GRAPH_DEGREE];
    size_t n = pick(build, all + at, n_links + n_new, RULE_BUILD, picked, 0);
    store_links(build, node, picked, n);
}

/* Make the lists of who is linked to; returns how many targets there are. */
static uint32_t
list_targets(struct sharing *batch, uint32_t *targets)
{
    struct och_graph_build *build = batch->build;
    uint32_t n_targets = 0;
    for (uint32_t item = 0; item < batch->n; item++) {
        const uint32_t *links = links_of(build, build->order[batch->first + item]);
        for (uint32_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++) {
            uint32_t back = item * OCH_GRAPH_DEGREE + i;
            if (build->heads[links[i]] == OCH_ROW_NONE)
                targets[n_targets++] = links[i];
            batch->backs[back].next = build->heads[links[i]];
            build->heads[links[i]] = back;
        }
    }
    return n_targets;
}

static uint32_t
batch_size(const struct och_graph_build *build)
{
    uint32_t part = build->n / BATCH_PART;
    uint32_t n = part == 0 ? 1 : part;
    return n < build->n_in ? n : build->n_in;
}

ochre_status
och_graph_insert(struct och_graph_build *build, uint32_t end)
{
    och_assert(end <= build->n);
    if (build->n_in == 0 && end > 0)
        build->n_in = 1; /* the first has nobody to link to */
    uint32_t largest = build->n / BATCH_PART + 1;
    size_t n_backs = (size_t) largest * OCH_GRAPH_DEGREE;
    struct back_link *backs = och_mem_take(build->mem, n_backs * sizeof(*backs));
    uint32_t *targets = och_mem_take(build->mem, n_backs * sizeof(*targets));
    ochre_status status = backs == NULL || targets == NULL ? OCHRE_NO_MEMORY : OCHRE_OK;
    while (status == OCHRE_OK && build->n_in < end) {
        uint32_t n = batch_size(build);
        struct sharing batch = {.build = build,
                .work = insert_node,
                .n = n < end - build->n_in ? n : end - build->n_in,
                .first = build->n_in,
                .backs = backs,
                .targets = targets};
        uint32_t entries = entries_for(build->n);
        build->n_entries = build->n_in < entries ? build->n_in : entries;
        share(&batch);
        struct sharing back = batch;
        back.work = link_back;
        back.n = list_targets(&batch, targets);
        share(&back);
        build->n_in += batch.n;
        if (build->stop != NULL && atomic_load_explicit(build->stop, memory_order_relaxed))
            status = OCHRE_UNAVAILABLE;
    }
    och_mem_release(build->mem, backs, n_backs * sizeof(*backs));
    och_mem_release(build->mem, targets, n_backs * sizeof(*targets));
    return status;
}

/* --- filling ---------------------------------------------------------------- */

/* Mark a node in the walk's set; was it new?  (The walk starts afresh anyway.) */
static bool
see_node(struct och_walk_state *walk, uint32_t node)
{
    uint64_t bit = UINT64_C(1) << (node % 64);
    if ((walk->seen[node / 64] & bit) != 0)
        return false;
    if (walk->seen[node / 64] == 0)
        walk->touched[walk->n_touched++] = node / 64;
    walk->seen[node / 64] |= bit;
    return true;
}

static void
forget_nodes(struct och_walk_state *walk)
{
    for (uint32_t i = 0; i < walk->n_touched; i++)
        walk->seen[walk->touched[i]] = 0;
    walk->n_touched = 0;
}

/* How many links a node had when filling began: those it adds follow a second
 * row of numbers that other threads do not read. */
struct fill {
    struct sharing sharing;
    uint32_t *added; /* [n][OCH_GRAPH_DEGREE], by item */
};

/* Neighbours of neighbours that are no neighbours: up to TWO_HOP_MAX numbers. */
static size_t
two_hops(const struct och_graph_build *build, struct och_graph_scratch *scratch, uint32_t node,
        uint32_t *nodes)
{
    struct och_walk_state *walk = &scratch->walk;
    const uint32_t *links = links_of(build, node);
    size_t n = 0;
    forget_nodes(walk);
    (void) see_node(walk, node);
    for (size_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++) {
        (void) see_node(walk, links[i]);
        __builtin_prefetch(links_of(build, links[i]));
    }
    for (size_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++) {
        const uint32_t *further = links_of(build, links[i]);
        for (size_t j = 0; j < OCH_GRAPH_DEGREE && further[j] != OCH_ROW_NONE; j++) {
            if (n < TWO_HOP_MAX && see_node(walk, further[j]))
                nodes[n++] = further[j];
        }
    }
    forget_nodes(walk);
    return n;
}

static void
fill_node(struct sharing *sharing, struct och_graph_scratch *scratch, uint32_t item)
{
    struct fill *fill = (struct fill *) sharing; /* its first member */
    struct och_graph_build *build = sharing->build;
    uint32_t node = build->order[sharing->first + item];
    const uint32_t *links = links_of(build, node);
    uint32_t *added = fill->added + (size_t) item * OCH_GRAPH_DEGREE;
    struct och_walk_node picked[OCH_GRAPH_DEGREE];
    uint32_t nodes[TWO_HOP_MAX];
    float distances[OCH_WALK_BATCH];
    struct origin origin = {build, code_of(build, node)};
    added[0] = OCH_ROW_NONE;
    size_t n_links = 0;
    while (n_links < OCH_GRAPH_DEGREE && links[n_links] != OCH_ROW_NONE)
        n_links++;
    if (n_links == OCH_GRAPH_DEGREE)
        return;
    for (size_t i = 0; i < n_links; i++)
        picked[i] = (struct och_walk_node){.node = links[i]};
    size_t n = two_hops(build, scratch, node, nodes);
    for (size_t at = 0; at < n; at += OCH_WALK_BATCH) {
        size_t part = n - at < OCH_WALK_BATCH ? n - at : OCH_WALK_BATCH;
        measure_from(&origin, nodes + at, part, distances);
        for (size_t i = 0; i < part; i++)
            scratch->candidates[at + i] = (struct och_walk_node){distances[i], nodes[at + i]};
    }
    qsort(scratch->candidates, n, sizeof(*scratch->candidates), compare_nodes);
    size_t n_candidates = n < FILL_CANDIDATES ? n : FILL_CANDIDATES;
    size_t n_all = pick(build, scratch->candidates, n_candidates, RULE_FILL, picked, n_links);
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
    share(&fill.sharing);
    for (uint32_t item = 0; item < n; item++) {
        uint32_t *links = links_of(build, build->order[begin + item]);
        const uint32_t *added = fill.added + (size_t) item * OCH_GRAPH_DEGREE;
        size_t n_links = 0;
        while (n_links < OCH_GRAPH_DEGREE && links[n_links] != OCH_ROW_NONE)
            n_links++;
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
        const uint32_t *links = links_of(reach->build, node);
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
    uint32_t *links = links_of(reach->build, parent);
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
    struct och_walk_state *walk = &build->scratch[0].walk;
    struct origin origin = {build, code_of(build, node)};
    walk_from(build, walk, &origin);
    for (uint32_t i = 0; i < walk->found.n; i++) {
        if (adopt(reach, och_walk_node_of(&walk->found.nodes[i]), node))
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
