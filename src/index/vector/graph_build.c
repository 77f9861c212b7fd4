#include "index/vector/graph_build.h"

#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "index/vector/graph_link.h"
#include "index/vector/quant.h"

/* A batch is at most this part of what is in already. */
enum { BATCH_PART = 50 };

/* A link that wants to be linked back: lists by target. */
struct back_link {
    uint32_t from;
    uint32_t next; /* in the list of the same target, or OCH_ROW_NONE */
    float distance;
};

/* A batch: nodes that go in, or those that they link to. */
struct batch {
    struct och_link_sharing sharing;
    struct back_link *backs; /* [n][OCH_GRAPH_DEGREE] of those that go in */
    uint8_t *places;         /* [n] of those that go in: near which entry */
    const uint32_t *targets;
};

/* --- beginning and ending --------------------------------------------------- */

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
        scratch->candidates =
                och_mem_take(build->mem, OCH_LINK_CANDIDATES_MAX * sizeof(*scratch->candidates));
        scratch->elements = och_mem_take(build->mem, build->quant->padded);
        if (scratch->candidates == NULL || scratch->elements == NULL)
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
    build->checked = och_mem_take_zeroed(mem, build->n_rows);
    if (build->links == NULL || build->order == NULL || build->heads == NULL ||
            build->checked == NULL || make_scratch(build) != OCHRE_OK)
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
                OCH_LINK_CANDIDATES_MAX * sizeof(*build->scratch->candidates));
        och_mem_release(mem, build->scratch[i].elements, build->quant->padded);
    }
    och_mem_release(mem, build->scratch, build->n_threads * sizeof(*build->scratch));
    och_mem_release(mem, build->checked, build->n_rows);
    och_mem_release(mem, build->heads, build->n_rows * sizeof(uint32_t));
    och_mem_release(mem, build->order, build->n * sizeof(uint32_t));
    och_mem_release(
            mem, build->links, (size_t) build->n_rows * OCH_GRAPH_DEGREE * sizeof(uint32_t));
    *build = (struct och_graph_build){.mem = NULL};
}

/* --- inserting -------------------------------------------------------------- */

/* Item of a batch: which entry it is near to. */
static void
find_place(struct och_link_sharing *sharing, struct och_graph_scratch *scratch, uint32_t item)
{
    const struct batch *batch = (const struct batch *) sharing; /* its first member */
    const struct och_graph_build *build = sharing->build;
    batch->places[item] =
            (uint8_t) och_link_entry(build, scratch, build->order[sharing->first + item]);
}

/*
 * Put what goes in near the same entry side by side: one after the other they read
 * much the same codes and links, which are near the processor then.  `sorted` is
 * room for them.
 */
static void
sort_batch(struct batch *batch, uint32_t *sorted)
{
    struct och_graph_build *build = batch->sharing.build;
    uint32_t *order = build->order + batch->sharing.first, n = batch->sharing.n;
    uint32_t begins[OCH_LINK_ENTRIES_MAX + 1] = {0};
    batch->sharing.work = find_place;
    och_link_share(&batch->sharing);
    for (uint32_t i = 0; i < n; i++)
        begins[batch->places[i] + 1]++;
    for (uint32_t i = 0; i < OCH_LINK_ENTRIES_MAX; i++)
        begins[i + 1] += begins[i];
    for (uint32_t i = 0; i < n; i++)
        sorted[begins[batch->places[i]]++] = order[i];
    memcpy(order, sorted, n * sizeof(*order));
}

/* Item of a batch: walk, pick, remember what is to be linked back. */
static void
insert_node(struct och_link_sharing *sharing, struct och_graph_scratch *scratch, uint32_t item)
{
    const struct batch *batch = (const struct batch *) sharing; /* its first member */
    struct och_graph_build *build = sharing->build;
    uint32_t node = build->order[sharing->first + item];
    struct och_walk_node picked[OCH_GRAPH_DEGREE];
    size_t n = och_link_walk(build, scratch, node);
    n = och_link_pick(build, scratch->candidates, n, OCH_LINK_RULE_BUILD, picked, 0);
    och_link_store(build, node, picked, n);
    build->checked[node] = (uint8_t) n;
    struct back_link *backs = batch->backs + (size_t) item * OCH_GRAPH_DEGREE;
    for (size_t i = 0; i < n; i++)
        backs[i] = (struct back_link){.from = node, .distance = picked[i].distance};
}

/* Item of the targets: link back to who linked to it. */
static void
link_back(struct och_link_sharing *sharing, struct och_graph_scratch *scratch, uint32_t item)
{
    const struct batch *batch = (const struct batch *) sharing; /* its first member */
    struct och_graph_build *build = sharing->build;
    uint32_t node = batch->targets[item];
    size_t n_new = 0;
    for (uint32_t i = build->heads[node]; i != OCH_ROW_NONE; i = batch->backs[i].next) {
        if (n_new < OCH_LINK_CANDIDATES_MAX - OCH_GRAPH_DEGREE)
            scratch->candidates[n_new++] =
                    (struct och_walk_node){batch->backs[i].distance, batch->backs[i].from};
    }
    build->heads[node] = OCH_ROW_NONE;
    och_link_add(build, scratch, node, n_new);
}

/* Make the lists of who is linked to; returns how many targets there are. */
static uint32_t
list_targets(const struct batch *batch, uint32_t *targets)
{
    struct och_graph_build *build = batch->sharing.build;
    uint32_t n_targets = 0;
    for (uint32_t item = 0; item < batch->sharing.n; item++) {
        const uint32_t *links = och_link_of(build, build->order[batch->sharing.first + item]);
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
    uint8_t *places = och_mem_take(build->mem, largest);
    ochre_status status =
            backs == NULL || targets == NULL || places == NULL ? OCHRE_NO_MEMORY : OCHRE_OK;
    while (status == OCHRE_OK && build->n_in < end) {
        uint32_t n = batch_size(build);
        struct batch batch = {.backs = backs, .places = places, .targets = targets};
        batch.sharing = (struct och_link_sharing){.build = build,
                .n = n < end - build->n_in ? n : end - build->n_in,
                .first = build->n_in};
        uint32_t entries = och_link_entries(build->n);
        build->n_entries = build->n_in < entries ? build->n_in : entries;
        if (build->n_in >= entries) /* these stay at random */
            sort_batch(&batch, targets);
        batch.sharing.work = insert_node;
        och_link_share(&batch.sharing);
        struct batch back = batch;
        back.sharing.work = link_back;
        back.sharing.n = list_targets(&batch, targets);
        och_link_share(&back.sharing);
        build->n_in += batch.sharing.n;
        if (och_link_stopped(build))
            status = OCHRE_UNAVAILABLE;
    }
    och_mem_release(build->mem, backs, n_backs * sizeof(*backs));
    och_mem_release(build->mem, targets, n_backs * sizeof(*targets));
    och_mem_release(build->mem, places, largest);
    return status;
}
