#include "index/vector/graph_builder.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitset.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "distance/distance.h"
#include "index/vector/graph.h"
#include "index/vector/rows.h"
#include "os/executor.h"

enum {
    /* Candidates of a row, by default: enough for text, cheap for the rest
     * (docs/decisions/0009). */
    EFFORT = 100,
    /* Rows that a thread encodes at once. */
    CHUNK = 256,
    /* Rows that are held back for measuring recall, and at most which part. */
    PROBES_MAX = 1024,
    PROBES_PART = 16,
    /* A graph whose nodes have fewer links than this by themselves gets more. */
    DEGREE_LOW = 17,
    /* Nodes join at once in a graph of so many, and if they are such a part of it.  With
     * more, choosing among all balls costs what walking does. */
    JOIN_MIN = 2048,
    JOIN_MAX = 1048576,
    JOIN_PART = 32,
    STAGE = 8,      /* how many times as many each stage has */
    FIRST_MIN = 32, /* so many walk in, at least */
};

static struct och_code4 *
code4_of(const struct och_graph_builder *builder, uint32_t row)
{
    return (struct och_code4 *) (void *) (builder->codes4 + row * builder->quant.stride4);
}

/* --- codes ------------------------------------------------------------------ */

/* Threads that encode. */
struct encoding {
    struct och_graph_builder *builder;
    atomic_uint next;
    float *residuals; /* [n_threads][padded] */
    ochre_status statuses[OCH_GRAPH_THREADS_MAX];
    struct ochre_error errors[OCH_GRAPH_THREADS_MAX];
};

static bool
is_stray(const struct och_graph_builder *builder, uint32_t row)
{
    const float *norms = builder->build->rows->norms; /* there for cosine */
    return norms != NULL && builder->build->space == OCHRE_SPACE_COSINE && norms[row] == 0;
}

static void
encode_row(struct encoding *encoding, size_t thread, uint32_t row)
{
    struct och_graph_builder *builder = encoding->builder;
    const struct och_vector_rows *rows = builder->build->rows;
    const struct och_quant *quant = &builder->quant;
    float *residual = encoding->residuals + thread * quant->padded;
    float norm = rows->norms == NULL ? 0 : rows->norms[row];
    och_quant_residual(quant, rows->rows + (size_t) row * quant->dim, norm, residual);
    och_quant_encode4(quant, residual, builder->codes4 + row * quant->stride4);
    if (builder->codes7 != NULL)
        och_quant_encode7(quant, residual, builder->codes7 + row * quant->stride7);
    struct och_code4 *code = code4_of(builder, row);
    if (is_stray(builder, row))
        code->error = INFINITY; /* it is nowhere: always to be measured */
}

/* A part of och_executor_parallel. */
static void
encode_chunks(void *context, size_t thread)
{
    struct encoding *encoding = context;
    const struct och_vector_rows *rows = encoding->builder->build->rows;
    while (encoding->statuses[thread] == OCHRE_OK) {
        uint32_t from = atomic_fetch_add_explicit(&encoding->next, CHUNK, memory_order_relaxed);
        if (from >= rows->n_rows)
            return;
        uint32_t n = rows->n_rows - from < CHUNK ? rows->n_rows - from : CHUNK;
        if (rows->touch != NULL)
            encoding->statuses[thread] =
                    rows->touch(rows->context, from, n, &encoding->errors[thread]);
        for (uint32_t i = 0; i < n && encoding->statuses[thread] == OCHRE_OK; i++)
            encode_row(encoding, thread, from + i);
    }
}

static ochre_status
encode(struct och_graph_builder *builder, struct ochre_error *err)
{
    struct och_mem *mem = builder->build->mem;
    size_t size = (size_t) builder->n_threads * builder->quant.padded * sizeof(float);
    struct encoding *encoding = och_mem_take_zeroed(mem, sizeof(*encoding));
    float *residuals = och_mem_take(mem, size);
    ochre_status status = OCHRE_NO_MEMORY;
    if (encoding == NULL || residuals == NULL)
        goto done;
    status = OCHRE_OK;
    encoding->builder = builder;
    encoding->residuals = residuals;
    och_executor_parallel(builder->build->executor, builder->n_threads, encode_chunks, encoding);
    for (unsigned i = 0; i < builder->n_threads && status == OCHRE_OK; i++) {
        status = encoding->statuses[i];
        if (status != OCHRE_OK && err != NULL)
            *err = encoding->errors[i];
    }

done:
    och_mem_release(mem, residuals, size);
    och_mem_release(mem, encoding, sizeof(*encoding));
    return status == OCHRE_NO_MEMORY ? och_fail_memory(err) : status;
}

/* --- equal vectors ---------------------------------------------------------- */

/* A table of the first row with each vector: row + 1 at hash, linear probing. */
struct firsts {
    uint32_t *slots;
    uint32_t *hashes; /* [n_rows] */
    size_t n_slots;
};

static uint32_t
first_with(struct firsts *firsts, const struct och_graph_builder *builder, uint32_t row)
{
    size_t size = builder->build->dim * sizeof(float);
    const char *vectors = (const char *) builder->build->rows->rows;
    const char *vector = vectors + row * size;
    uint64_t hash = och_hash64(vector, size);
    firsts->hashes[row] = (uint32_t) (hash >> 32);
    size_t slot = hash % firsts->n_slots;
    for (; firsts->slots[slot] != 0; slot = (slot + 1) % firsts->n_slots) {
        uint32_t other = firsts->slots[slot] - 1;
        if (firsts->hashes[other] == firsts->hashes[row] &&
                memcmp(vectors + other * size, vector, size) == 0)
            return other;
    }
    firsts->slots[slot] = row + 1;
    return row;
}

static int
compare_copies(const void *left, const void *right)
{
    const uint32_t *a = left;
    const uint32_t *b = right;
    if (a[0] != b[0])
        return a[0] < b[0] ? -1 : 1;
    return (a[1] > b[1]) - (a[1] < b[1]);
}

/* Sort rows into nodes, strays and copies. */
static void
sort_out(struct och_graph_builder *builder, struct firsts *firsts)
{
    for (uint32_t row = 0; row < builder->n_rows; row++) {
        uint32_t first = first_with(firsts, builder, row);
        if (first != row) {
            builder->copies[builder->n_copies][0] = first;
            builder->copies[builder->n_copies++][1] = row;
            code4_of(builder, first)->flags |= OCH_CODE_HAS_COPIES;
            code4_of(builder, row)->flags |= OCH_CODE_IS_COPY;
        } else if (is_stray(builder, row)) {
            builder->strays[builder->n_strays++] = row;
        } else {
            builder->nodes[builder->n_nodes++] = row;
        }
    }
    qsort(builder->copies, builder->n_copies, sizeof(builder->copies[0]), compare_copies);
}

static ochre_status
find_copies(struct och_graph_builder *builder, struct ochre_error *err)
{
    struct och_mem *mem = builder->build->mem;
    size_t n = builder->n_rows;
    struct firsts firsts = {.n_slots = 2 * n + 1};
    builder->nodes = och_mem_take(mem, n * sizeof(uint32_t));
    builder->strays = och_mem_take(mem, n * sizeof(uint32_t));
    builder->copies = och_mem_take(mem, n * sizeof(builder->copies[0]));
    firsts.slots = och_mem_take_zeroed(mem, firsts.n_slots * sizeof(uint32_t));
    firsts.hashes = och_mem_take(mem, n * sizeof(uint32_t));
    ochre_status status = OCHRE_OK;
    if (builder->nodes == NULL || builder->strays == NULL || builder->copies == NULL ||
            firsts.slots == NULL || firsts.hashes == NULL)
        status = och_fail_memory(err);
    else
        sort_out(builder, &firsts);
    och_mem_release(mem, firsts.slots, firsts.n_slots * sizeof(uint32_t));
    och_mem_release(mem, firsts.hashes, n * sizeof(uint32_t));
    return status;
}

/* --- links ------------------------------------------------------------------ */

/* Links that nodes have on average, from one on in the order. */
static double
mean_degree(const struct och_graph_build *graph, uint32_t begin)
{
    uint64_t n_links = 0;
    for (uint32_t i = begin; i < graph->n_in; i++) {
        const uint32_t *links = graph->links + (size_t) graph->order[i] * OCH_GRAPH_DEGREE;
        for (size_t j = 0; j < OCH_GRAPH_DEGREE && links[j] != OCH_ROW_NONE; j++)
            n_links++;
    }
    return graph->n_in == begin ? 0 : (double) n_links / (graph->n_in - begin);
}

static ochre_status
measure(struct och_graph_builder *builder, struct ochre_error *err)
{
    const struct och_graph_build *graph = &builder->graph;
    struct och_bitset in;
    och_bitset_init(&in, builder->build->mem);
    ochre_status status = OCHRE_OK;
    for (uint32_t i = 0; i < graph->n_in && status == OCHRE_OK; i++)
        status = och_bitset_add(&in, graph->order[i]);
    if (status != OCHRE_OK)
        status = och_fail_memory(err);
    struct och_graph_view view = {.coded = {.quant = &builder->quant,
                                          .codes = builder->codes4,
                                          .rows = builder->build->rows},
            .links = graph->links,
            .entries = graph->order,
            .n_entries = graph->n_entries};
    struct och_calibrating calibrating = {.mem = builder->build->mem,
            .executor = builder->build->executor,
            .n_threads = builder->n_threads,
            .graph = &view,
            .probes = graph->order + graph->n_in,
            .n_probes = graph->n - graph->n_in,
            .in = &in};
    if (status == OCHRE_OK)
        status = och_calibrate(&calibrating, &builder->calibration, err);
    och_bitset_clear(&in);
    return status;
}

static ochre_status
fail(ochre_status status, struct ochre_error *err)
{
    if (status == OCHRE_NO_MEMORY)
        return och_fail_memory(err);
    return och_fail(err, status, "the index was not finished: it is not wanted any more");
}

/* Do those that are to come in pay for looking at all that will be in? */
static bool
is_many(const struct och_graph_build *graph, uint32_t end)
{
    return end >= graph->join_min && end <= JOIN_MAX && end - graph->n_in >= end / JOIN_PART;
}

/*
 * Of the nodes that come in a few walk first, then more join, then all: links of those that
 * came early lead far, and to what is in already, which near neighbours never do.
 */
static ochre_status
join_by_stages(struct och_graph_build *graph, uint32_t end)
{
    uint32_t n_in = graph->n_in, rest = end - n_in;
    uint32_t first = rest / (STAGE * STAGE) > FIRST_MIN ? rest / (STAGE * STAGE) : FIRST_MIN;
    uint32_t middle = n_in + rest / STAGE;
    ochre_status status = och_graph_insert(graph, first < rest ? n_in + first : end);
    if (status == OCHRE_OK && middle > graph->n_in)
        status = middle < graph->join_min ? och_graph_insert(graph, middle)
                                          : och_graph_join(graph, middle);
    return status == OCHRE_OK && end > graph->n_in ? och_graph_join(graph, end) : status;
}

/* Let nodes in, and see to it that they have enough links. */
static ochre_status
link_many(struct och_graph_build *graph, uint32_t end)
{
    uint32_t n_kept = graph->n_in;
    graph->is_grown = n_kept > 0;
    ochre_status status;
    if (is_many(graph, end)) {
        status = join_by_stages(graph, end);
    } else {
        status = och_graph_insert(graph, end);
        if (status == OCHRE_OK && mean_degree(graph, n_kept) < DEGREE_LOW)
            status = och_graph_fill(graph, n_kept);
    }
    graph->is_grown = true;
    return status;
}

static ochre_status
make_links(struct och_graph_builder *builder, struct ochre_error *err)
{
    const struct och_vector_build *build = builder->build;
    struct och_graph_build *graph = &builder->graph;
    uint32_t effort = build->effort > EFFORT ? build->effort : EFFORT;
    uint32_t n_probes = builder->n_nodes / PROBES_PART;
    n_probes = n_probes > PROBES_MAX ? PROBES_MAX : n_probes;
    uint32_t n_repaired;
    *graph = (struct och_graph_build){.mem = build->mem,
            .executor = build->executor,
            .n_threads = builder->n_threads,
            .pace = build->pace,
            .quant = &builder->quant,
            .codes = builder->codes7,
            .codes4 = builder->codes4,
            .n_rows = builder->n_rows,
            .n = builder->n_nodes,
            .join_min = build->join_rows != 0 ? build->join_rows : JOIN_MIN,
            .effort = effort};
    ochre_status status = och_graph_begin(graph, builder->nodes, build->seed);
    if (status == OCHRE_OK && builder->kept.links != NULL)
        status = och_graph_keep(graph, &builder->kept, n_probes);
    if (status == OCHRE_OK)
        status = link_many(graph, builder->n_nodes - n_probes);
    if (status == OCHRE_OK)
        status = och_graph_repair(graph, &n_repaired);
    if (status != OCHRE_OK)
        return fail(status, err);
    status = measure(builder, err);
    if (status != OCHRE_OK)
        return status;
    status = och_graph_insert(graph, builder->n_nodes);
    if (status == OCHRE_OK)
        status = och_graph_repair(graph, &n_repaired);
    return status == OCHRE_OK ? OCHRE_OK : fail(status, err);
}

/* --- all of it -------------------------------------------------------------- */

ochre_status
och_graph_builder_run(struct och_graph_builder *builder, const struct och_vector_build *build,
        struct ochre_error *err)
{
    size_t n = build->rows->n_rows;
    builder->build = build;
    builder->n_rows = build->rows->n_rows;
    builder->n_threads = build->executor == NULL ? 1 : och_executor_width(build->executor);
    if (builder->n_threads > OCH_GRAPH_THREADS_MAX)
        builder->n_threads = OCH_GRAPH_THREADS_MAX;
    ochre_status status = och_quant_learn(build->mem, build->kernels, build->rows, build->space,
            build->dim, build->seed, &builder->quant, err);
    if (status != OCHRE_OK)
        return status;
    bool links =
            !build->quick && n >= (build->graph_rows != 0 ? build->graph_rows : OCH_GRAPH_ROWS_MIN);
    builder->codes4 = och_mem_take_huge(build->mem, n * builder->quant.stride4);
    if (links)
        builder->codes7 = och_mem_take_huge(build->mem, n * builder->quant.stride7);
    if (builder->codes4 == NULL || (links && builder->codes7 == NULL))
        return och_fail_memory(err);
    status = encode(builder, err);
    if (status == OCHRE_OK && links)
        status = find_copies(builder, err);
    if (status == OCHRE_OK && builder->n_nodes > OCH_GRAPH_DEGREE)
        status = make_links(builder, err);
    if (builder->graph.n_entries == 0) /* the scan looks at every row by itself */
        builder->n_strays = builder->n_copies = 0;
    och_mem_release(build->mem, builder->codes7, n * builder->quant.stride7);
    builder->codes7 = NULL;
    return status;
}

void
och_graph_builder_clear(struct och_graph_builder *builder)
{
    if (builder->build == NULL)
        return;
    struct och_mem *mem = builder->build->mem;
    size_t n = builder->n_rows;
    och_graph_clear(&builder->graph);
    och_mem_release(mem, builder->codes4, n * builder->quant.stride4);
    och_mem_release(mem, builder->codes7, n * builder->quant.stride7);
    och_mem_release(mem, builder->nodes, n * sizeof(uint32_t));
    och_mem_release(mem, builder->strays, n * sizeof(uint32_t));
    och_mem_release(mem, builder->copies, n * sizeof(builder->copies[0]));
    och_quant_clear(&builder->quant);
    *builder = (struct och_graph_builder){.build = NULL};
}
