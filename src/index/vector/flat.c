#include "index/vector/flat.h"

#include "base/bitset.h"
#include "base/error.h"
#include "base/mem.h"
#include "distance/distance.h"
#include "index/vector/tail.h"
#include "index/vector/topk.h"

enum {
    /* Rows of a block at most; their distances are 1 KiB of stack. */
    BLOCK_ROWS = 256,
    /* And bytes, so that a block stays in the second-level cache beside the
     * queries that are measured against it; never less than a few rows. */
    BLOCK_SIZE = 128 * 1024,
    BLOCK_ROWS_MIN = 16,
    /* Gaps up to this long are computed rather than jumped over. */
    GAP_MAX = 2,
    /* A run is a row at least, and the gap before the next is longer than that. */
    RUNS_MAX = BLOCK_ROWS / (1 + GAP_MAX + 1) + 1,
};

/* Rows `first` to `first` + n - 1 of a segment; the ends are allowed. */
struct run {
    uint32_t first, n;
};

/* Rows `from` up to `end` of a segment and the runs in them. */
struct block {
    uint32_t from, end;
    struct run runs[RUNS_MAX];
    size_t n_runs;
};

static uint32_t
rows_per_block(size_t dim)
{
    size_t row_size = dim * sizeof(float);
    size_t n = row_size == 0 ? BLOCK_ROWS : BLOCK_SIZE / row_size;
    if (n > BLOCK_ROWS)
        return BLOCK_ROWS;
    return n < BLOCK_ROWS_MIN ? BLOCK_ROWS_MIN : (uint32_t) n;
}

/* The first row from `from` on that may be found, or a number past all rows. */
static uint32_t
next_row(const struct och_bitset *allowed, uint32_t from)
{
    return allowed == NULL ? from : och_bitset_next(allowed, from);
}

/* Fill in the runs of allowed rows between block->from and block->end. */
static void
find_runs(struct block *block, const struct och_bitset *allowed)
{
    block->n_runs = 0;
    if (allowed == NULL) {
        block->runs[0] = (struct run){.first = block->from, .n = block->end - block->from};
        block->n_runs = 1;
        return;
    }
    struct run *run = NULL;
    for (uint32_t row = och_bitset_next(allowed, block->from); row < block->end;
            row = och_bitset_next(allowed, row + 1)) {
        if (run == NULL || row - (run->first + run->n) > GAP_MAX) {
            run = &block->runs[block->n_runs++];
            run->first = row;
        }
        run->n = row - run->first + 1;
    }
}

static ochre_status
touch_runs(const struct och_vector_rows *rows, const struct block *block, struct ochre_error *err)
{
    if (rows->touch == NULL)
        return OCHRE_OK;
    for (size_t i = 0; i < block->n_runs; i++) {
        ochre_status status =
                rows->touch(rows->context, block->runs[i].first, block->runs[i].n, err);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}

/* Measure one run and offer what is allowed and near enough. */
static void
search_run(const struct och_vector_rows *rows, const struct och_vector_search *search,
        struct run run, const struct och_distance_query *query, struct och_topk *best)
{
    const struct och_bitset *allowed = search->allowed;
    float distances[BLOCK_ROWS];
    const float *norms = rows->norms == NULL ? NULL : rows->norms + run.first;
    och_distance_rows(query, rows->rows + run.first * query->dim, norms, run.n, distances);

    for (uint32_t i = 0; i < run.n; i++) {
        uint32_t row = run.first + i;
        if (!och_topk_admits(best, distances[i]))
            continue;
        if (allowed != NULL && !och_bitset_has(allowed, row))
            continue;
        och_topk_offer(best,
                (struct och_near){.distance = distances[i],
                        .source = search->source,
                        .ordinal = rows->ordinals[row],
                        .row = row});
    }
}

ochre_status
och_flat_search(const struct och_vector_rows *rows, const struct och_vector_search *search,
        struct och_topk *best, struct och_vector_work *work, struct ochre_error *err)
{
    if (search->n_queries == 0)
        return OCHRE_OK;
    if (rows->tail != NULL)
        return och_tail_search(rows, search, best, work, err);

    uint32_t step = rows_per_block(search->queries[0].dim);
    struct block block;
    for (block.from = next_row(search->allowed, 0); block.from < rows->n_rows;
            block.from = next_row(search->allowed, block.end)) {
        uint32_t left = rows->n_rows - block.from;
        block.end = block.from + (left < step ? left : step);
        find_runs(&block, search->allowed);

        ochre_status status = touch_runs(rows, &block, err);
        if (status != OCHRE_OK)
            return status;
        for (size_t q = 0; q < search->n_queries; q++) {
            for (size_t i = 0; i < block.n_runs; i++)
                search_run(rows, search, block.runs[i], &search->queries[q], &best[q]);
        }
        for (size_t i = 0; work != NULL && i < block.n_runs; i++)
            work->n_distances += (uint64_t) block.runs[i].n * search->n_queries;
    }
    return OCHRE_OK;
}

/* --- as an index kind ---------------------------------------------------- */

struct flat_index {
    struct och_vector_index base;
    struct och_mem *mem;                /* borrowed */
    const struct och_vector_rows *rows; /* borrowed until close */
};

static const struct flat_index *
flat_of(const struct och_vector_index *index)
{
    och_assert(index->kind == &och_flat_kind);
    return (const struct flat_index *) (const void *) index;
}

static ochre_status
flat_open(const struct och_vector_open *open, struct och_vector_index **index_out,
        struct ochre_error *err)
{
    *index_out = NULL;
    struct flat_index *flat = och_mem_take(open->mem, sizeof(*flat));
    if (flat == NULL)
        return och_fail_memory(err);
    *flat = (struct flat_index){
            .base = {.kind = &och_flat_kind}, .mem = open->mem, .rows = open->rows};
    *index_out = &flat->base;
    return OCHRE_OK;
}

static void
flat_close(struct och_vector_index *index)
{
    if (index == NULL)
        return;
    struct och_mem *mem = flat_of(index)->mem;
    och_mem_release(mem, index, sizeof(struct flat_index));
}

static ochre_status
flat_search(const struct och_vector_index *index, const struct och_vector_search *search,
        struct och_topk *best, struct och_vector_work *work, struct ochre_error *err)
{
    return och_flat_search(flat_of(index)->rows, search, best, work, err);
}

static void
flat_stats(const struct och_vector_index *index, float recall, struct och_vector_stats *stats_out)
{
    (void) index;
    (void) recall;
    *stats_out = (struct och_vector_stats){.memory = sizeof(struct flat_index), .recall = 1};
}

const struct och_vector_index_kind och_flat_kind = {
        .name = "flat",
        .exact = true,
        .open = flat_open,
        .close = flat_close,
        .search = flat_search,
        .stats = flat_stats,
};
