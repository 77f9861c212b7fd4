#include "index/vector/graph_link.h"

#include <math.h>
#include <string.h>

#include "base/bitset.h"
#include "distance/codes.h"
#include "distance/distance.h"
#include "os/executor.h"

enum {
    CHUNK = 16,  /* items that a thread takes at once */
    AT_ONCE = 4, /* picked nodes that a candidate is compared with */
    ENTRIES_MIN = 16,
    ROWS_PER_ENTRY = 1024,
};

static const struct och_code7 *
header_of(const uint8_t *code)
{
    return (const struct och_code7 *) (const void *) code;
}

uint32_t
och_link_entries(uint32_t n)
{
    uint32_t wanted = n / ROWS_PER_ENTRY;
    wanted = wanted < ENTRIES_MIN ? ENTRIES_MIN : wanted;
    return wanted > OCH_LINK_ENTRIES_MAX ? OCH_LINK_ENTRIES_MAX : wanted;
}

void
och_link_measure(void *context, const uint32_t *nodes, size_t n, float *distances_out)
{
    const struct och_link_origin *origin = context;
    const struct och_graph_build *build = origin->build;
    const struct och_quant *quant = build->quant;
    int32_t dots[OCH_WALK_BATCH];
    quant->kernels->codes->dot7_gather(origin->code + OCH_CODE_HEADER,
            build->codes + OCH_CODE_HEADER, quant->stride7, nodes, n, quant->padded, dots);
    for (size_t i = 0; i < n; i++)
        distances_out[i] = och_quant_between(
                quant, header_of(origin->code), header_of(och_link_code(build, nodes[i])), dots[i]);
}

void
och_link_measure_all(const struct och_link_origin *origin, const uint32_t *nodes, size_t n,
        struct och_walk_node *measured_out)
{
    struct och_link_origin from = *origin;
    float distances[OCH_WALK_BATCH];
    for (size_t at = 0; at < n; at += OCH_WALK_BATCH) {
        size_t part = n - at < OCH_WALK_BATCH ? n - at : OCH_WALK_BATCH;
        och_link_measure(&from, nodes + at, part, distances);
        for (size_t i = 0; i < part; i++)
            measured_out[at + i] = (struct och_walk_node){distances[i], nodes[at + i]};
    }
}

/* Who walks, by 4-bit codes. */
struct walker {
    const struct och_graph_build *build;
    struct och_quant_query query;
};

static void
estimate(void *context, const uint32_t *nodes, size_t n, float *distances_out)
{
    const struct walker *walker = context;
    const struct och_quant *quant = walker->build->quant;
    const uint8_t *codes = walker->build->codes4;
    int32_t dots[OCH_WALK_BATCH];
    quant->kernels->codes->dot4_gather(walker->query.elements, codes + OCH_CODE_HEADER,
            quant->stride4, nodes, n, quant->padded, dots);
    for (size_t i = 0; i < n; i++) {
        const void *code = codes + nodes[i] * quant->stride4;
        distances_out[i] = och_quant_estimate(&walker->query, code, dots[i]);
    }
}

static struct walker
begin_at(const struct och_graph_build *build, struct och_graph_scratch *scratch, uint32_t node)
{
    struct walker walker = {.build = build};
    och_quant_query_from7(
            build->quant, och_link_code(build, node), scratch->elements, &walker.query);
    return walker;
}

uint32_t
och_link_entry(
        const struct och_graph_build *build, struct och_graph_scratch *scratch, uint32_t node)
{
    struct walker walker = begin_at(build, scratch, node);
    float distances[OCH_WALK_BATCH], least = INFINITY;
    uint32_t nearest = 0;
    for (uint32_t at = 0; at < build->n_entries; at += OCH_WALK_BATCH) {
        uint32_t left = build->n_entries - at;
        uint32_t n = left < OCH_WALK_BATCH ? left : OCH_WALK_BATCH;
        estimate(&walker, build->order + at, n, distances);
        for (uint32_t i = 0; i < n; i++) {
            if (distances[i] < least) {
                least = distances[i];
                nearest = at + i;
            }
        }
    }
    return nearest;
}

size_t
och_link_walk(const struct och_graph_build *build, struct och_graph_scratch *scratch, uint32_t node)
{
    struct walker walker = begin_at(build, scratch, node);
    struct och_walk walk = {.links = build->links,
            .entries = build->order,
            .n_entries = build->n_entries,
            .effort = build->effort,
            .measure = estimate,
            .context = &walker};
    (void) och_walk_run(&scratch->walk, &walk); /* without a budget nothing is left out */
    const struct och_walk_list *found = &scratch->walk.found;
    struct och_link_origin origin = {build, och_link_code(build, node)};
    size_t n = found->n < OCH_LINK_CANDIDATES_MAX ? found->n : OCH_LINK_CANDIDATES_MAX;
    uint32_t nodes[OCH_LINK_CANDIDATES_MAX];
    for (size_t i = 0; i < n; i++)
        nodes[i] = och_walk_node_of(&found->nodes[i]);
    och_link_measure_all(&origin, nodes, n, scratch->candidates);
    och_link_sort(scratch->candidates, n);
    return n;
}

static uint32_t
chunk_of(const struct och_link_sharing *sharing)
{
    return sharing->chunk == 0 ? CHUNK : sharing->chunk;
}

/* An item of och_executor_parallel: thread number i. */
static void
take_chunks(void *context, size_t i)
{
    struct och_link_sharing *sharing = context;
    uint32_t chunk = chunk_of(sharing);
    for (;;) {
        uint32_t from = atomic_fetch_add_explicit(&sharing->next, chunk, memory_order_relaxed);
        if (from >= sharing->n)
            return;
        uint32_t end = sharing->n - from < chunk ? sharing->n : from + chunk;
        for (uint32_t item = from; item < end; item++)
            sharing->work(sharing, &sharing->build->scratch[i], item);
    }
}

void
och_link_share(struct och_link_sharing *sharing)
{
    struct och_graph_build *build = sharing->build;
    atomic_init(&sharing->next, 0);
    size_t n_threads = sharing->n < 2 * chunk_of(sharing) ? 1 : build->n_threads;
    och_executor_parallel(build->executor, n_threads, take_chunks, sharing);
}

/* Is one of these nearer to the candidate than the candidate to the node?  A few are
 * measured at once: the first of them often is, so not all. */
static bool
leave_out(const struct och_graph_build *build, const struct och_walk_node *candidate, float rule,
        const uint32_t *nodes, size_t n)
{
    struct och_link_origin origin = {build, och_link_code(build, candidate->node)};
    float distances[AT_ONCE];
    for (size_t at = 0; at < n; at += AT_ONCE) {
        size_t part = n - at < AT_ONCE ? n - at : AT_ONCE;
        och_link_measure(&origin, nodes + at, part, distances);
        for (size_t i = 0; i < part; i++)
            if (nodes[at + i] == candidate->node || rule * distances[i] < candidate->distance)
                return true;
    }
    return false;
}

size_t
och_link_pick(const struct och_graph_build *build, const struct och_walk_node *candidates, size_t n,
        float rule, struct och_walk_node *picked, size_t n_picked)
{
    uint32_t others[OCH_GRAPH_DEGREE], checked[OCH_GRAPH_DEGREE];
    size_t n_others = 0, n_checked = 0;
    for (; n_others < n_picked; n_others++)
        others[n_others] = picked[n_others].node;
    for (size_t i = 0; i < n && n_picked < OCH_GRAPH_DEGREE; i++) {
        bool is_checked = (candidates[i].node & OCH_LINK_CHECKED) != 0;
        struct och_walk_node candidate = {candidates[i].distance, och_walk_node_of(&candidates[i])};
        if (leave_out(build, &candidate, rule, others, n_others) ||
                (!is_checked && leave_out(build, &candidate, rule, checked, n_checked)))
            continue;
        picked[n_picked++] = candidate;
        if (is_checked)
            checked[n_checked++] = candidate.node;
        else
            others[n_others++] = candidate.node;
    }
    return n_picked;
}

void
och_link_store(
        struct och_graph_build *build, uint32_t node, const struct och_walk_node *picked, size_t n)
{
    uint32_t *links = och_link_of(build, node);
    for (size_t i = 0; i < OCH_GRAPH_DEGREE; i++)
        links[i] = i < n ? picked[i].node : OCH_ROW_NONE;
}

/* Gather a node's links behind `n_new` candidates, and sort them, nearest first; links
 * that were picked with regard to each other are marked.  Returns how many. */
static size_t
gather_links(
        const struct och_graph_build *build, uint32_t node, struct och_walk_node *all, size_t n_new)
{
    const uint32_t *links = och_link_of(build, node);
    size_t n_links = och_link_count(links);
    float distances[OCH_GRAPH_DEGREE];
    struct och_link_origin origin = {build, och_link_code(build, node)};
    och_link_measure(&origin, links, n_links, distances);
    for (size_t i = 0; i < n_links; i++) {
        uint32_t mark = i < build->checked[node] ? OCH_LINK_CHECKED : 0;
        all[n_new + i] = (struct och_walk_node){distances[i], links[i] | mark};
    }
    och_link_sort(all, n_new + n_links);
    return n_new + n_links;
}

void
och_link_add(struct och_graph_build *build, struct och_graph_scratch *scratch, uint32_t node,
        size_t n_new)
{
    struct och_walk_node *all = scratch->candidates;
    uint32_t *links = och_link_of(build, node);
    size_t n_links = och_link_count(links);
    if (n_links + n_new <= OCH_GRAPH_DEGREE) {
        och_link_sort(all, n_new);
        for (size_t i = 0; i < n_new; i++)
            links[n_links + i] = all[i].node;
        return;
    }
    struct och_walk_node picked[OCH_GRAPH_DEGREE];
    size_t n_all = gather_links(build, node, all, n_new);
    size_t n = och_link_pick(build, all, n_all, OCH_LINK_RULE_BUILD, picked, 0);
    build->checked[node] = (uint8_t) n;
    if (build->is_grown)
        n = och_link_pick(build, all, n_all, OCH_LINK_RULE_FILL, picked, n);
    och_link_store(build, node, picked, n);
}

/* --- sorting ------------------------------------------------------------------ */

/* Lengths of lists that are sorted by insertion, and then merged. */
enum { RUN = 8 };
_Static_assert(OCH_LINK_CANDIDATES_MAX % (2 * RUN) == 0, "no left list is over half of all");

/* Floats that are not negative are in the order of their bits. */
static uint64_t
key_of(const struct och_walk_node *node)
{
    uint32_t bits;
    memcpy(&bits, &node->distance, sizeof(bits));
    return (uint64_t) bits << 32 | node->node;
}

static struct och_walk_node
node_of(uint64_t key)
{
    struct och_walk_node node = {.node = (uint32_t) key};
    uint32_t bits = (uint32_t) (key >> 32);
    memcpy(&node.distance, &bits, sizeof(bits));
    return node;
}

static void
insertion_sort(uint64_t *keys, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        uint64_t key = keys[i];
        size_t at = i;
        for (; at > 0 && keys[at - 1] > key; at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

/* Two sorted lists, side by side, become one.  Which is next is anybody's guess: no
 * branch.  The left one makes room; the result never overtakes the right one. */
static void
merge(uint64_t *keys, size_t n_left, size_t n)
{
    uint64_t lefts[OCH_LINK_CANDIDATES_MAX / 2];
    memcpy(lefts, keys, n_left * sizeof(*keys));
    size_t left = 0, right = n_left, i = 0;
    while (left < n_left && right < n) {
        uint64_t a = lefts[left], b = keys[right];
        bool from_right = b < a;
        keys[i++] = from_right ? b : a;
        left += !from_right;
        right += from_right;
    }
    memcpy(keys + i, lefts + left, (n_left - left) * sizeof(*keys));
}

/* Not qsort(): that and its calls to compare were a seventh of a build of short vectors. */
void
och_link_sort(struct och_walk_node *nodes, size_t n)
{
    uint64_t keys[OCH_LINK_CANDIDATES_MAX];
    och_assert(n <= OCH_LINK_CANDIDATES_MAX);
    for (size_t i = 0; i < n; i++)
        keys[i] = key_of(&nodes[i]);
    for (size_t at = 0; at < n; at += RUN)
        insertion_sort(keys + at, n - at < RUN ? n - at : RUN);
    for (size_t length = RUN; length < n; length *= 2) {
        for (size_t at = 0; n - at > length; at += 2 * length) {
            merge(keys + at, length, n - at < 2 * length ? n - at : 2 * length);
            if (n - at <= 2 * length)
                break;
        }
    }
    for (size_t i = 0; i < n; i++)
        nodes[i] = node_of(keys[i]);
}
