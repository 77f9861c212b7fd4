#include <stdlib.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "segment/seal.h"
#include "segment/source.h"

/* A source's visible rows, by ordinal, and how far the merge is with them. */
struct run {
    const struct och_source *source;
    uint32_t index;   /* of the source */
    uint32_t *sorted; /* owned: its rows, where they are not in order; else NULL */
    uint32_t n_sorted, at;
    uint32_t row; /* the row at hand; OCH_ROW_NONE: at its end */
    uint64_t ordinal;
};

/* The runs that have rows left; a heap, the lowest ordinal first. */
struct merge {
    struct run *runs;
    uint32_t n;
};

/* --- runs ------------------------------------------------------------------- */

struct ordered {
    uint64_t ordinal;
    uint32_t row;
};

static int
compare_ordered(const void *left, const void *right)
{
    const struct ordered *a = left;
    const struct ordered *b = right;
    return (a->ordinal > b->ordinal) - (a->ordinal < b->ordinal);
}

/* A head with updated rows in it: list the visible ones by ordinal. */
static ochre_status
sort_run(struct och_mem *mem, struct run *run, struct ochre_error *err)
{
    const struct och_source *source = run->source;
    size_t size = source->n_rows * sizeof(struct ordered);
    struct ordered *ordered = och_mem_take(mem, size);
    if (ordered == NULL)
        return och_fail_memory(err);
    for (uint32_t row = 0; row < source->n_rows; row++)
        if (och_source_sees(source, row))
            ordered[run->n_sorted++] = (struct ordered){och_source_ordinal(source, row), row};
    qsort(ordered, run->n_sorted, sizeof(*ordered), compare_ordered);
    run->sorted = och_mem_take(mem, source->n_rows * sizeof(uint32_t));
    for (uint32_t i = 0; run->sorted != NULL && i < run->n_sorted; i++)
        run->sorted[i] = ordered[i].row;
    och_mem_release(mem, ordered, size);
    return run->sorted == NULL ? och_fail_memory(err) : OCHRE_OK;
}

/* Move the run to its next row, which is `from` or a later one. */
static void
advance(struct run *run, uint32_t from)
{
    const struct och_source *source = run->source;
    run->row = OCH_ROW_NONE;
    if (run->sorted != NULL) {
        if (run->at < run->n_sorted)
            run->row = run->sorted[run->at++];
    } else {
        for (; from < source->n_rows && run->row == OCH_ROW_NONE; from++)
            if (och_source_sees(source, from))
                run->row = from;
    }
    if (run->row != OCH_ROW_NONE)
        run->ordinal = och_source_ordinal(source, run->row);
}

/* --- the heap --------------------------------------------------------------- */

/* Let the run at `i` sink to where it belongs. */
static void
sink(struct merge *merge, uint32_t i)
{
    struct run run = merge->runs[i];
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= merge->n)
            break;
        if (child + 1 < merge->n && merge->runs[child + 1].ordinal < merge->runs[child].ordinal)
            child++;
        if (run.ordinal <= merge->runs[child].ordinal)
            break;
        merge->runs[i] = merge->runs[child];
        i = child;
    }
    merge->runs[i] = run;
}

/* Begin a run over each source that has a row. */
static ochre_status
begin(struct och_seal *seal, struct merge *merge, struct ochre_error *err)
{
    och_assert(merge->runs != NULL);
    for (uint32_t i = 0; i < seal->n_sources; i++) {
        const struct och_source *source = &seal->sources[i];
        struct run *run = &merge->runs[merge->n];
        *run = (struct run){.source = source, .index = i};
        ochre_status status = och_source_load(source, OCH_COLUMN_ORDINALS, err);
        if (status != OCHRE_OK) {
            seal->bad_source = i;
            return status;
        }
        if (!och_source_in_order(source))
            status = sort_run(seal->mem, run, err);
        if (status != OCHRE_OK)
            return status;
        advance(run, 0);
        merge->n += run->row != OCH_ROW_NONE;
        if (run->row == OCH_ROW_NONE)
            och_mem_release(seal->mem, run->sorted, source->n_rows * sizeof(uint32_t));
    }
    for (uint32_t i = merge->n / 2; i > 0; i--)
        sink(merge, i - 1);
    return OCHRE_OK;
}

/* Take the row with the lowest ordinal.  Equal ones, or one that descends, say
 * that whoever wrote a source made a mistake. */
static ochre_status
take(struct och_seal *seal, struct merge *merge, uint64_t *least, struct ochre_error *err)
{
    struct run *run = &merge->runs[0];
    if (run->ordinal < *least) {
        seal->bad_source = run->index;
        return och_fail(err, OCHRE_CORRUPT, "rows to be sealed are not in insertion order");
    }
    *least = run->ordinal + 1;
    seal->rows[seal->n_rows++] = (struct och_seal_row){run->index, run->row};
    advance(run, run->row + 1);
    if (run->row == OCH_ROW_NONE) {
        och_mem_release(seal->mem, run->sorted, run->source->n_rows * sizeof(uint32_t));
        *run = merge->runs[--merge->n];
    }
    if (merge->n > 0)
        sink(merge, 0);
    return OCHRE_OK;
}

ochre_status
och_seal_rows(struct och_seal *seal, struct ochre_error *err)
{
    uint64_t total = 0;
    seal->rows = NULL;
    seal->n_rows = 0;
    seal->room = 0;
    seal->bad_source = OCH_SEAL_NO_SOURCE;
    for (uint32_t i = 0; i < seal->n_sources; i++)
        total += och_source_count(&seal->sources[i]);
    if (total == 0)
        return OCHRE_OK;
    if (total > OCH_SEGMENT_ROWS_MAX)
        return och_fail(err, OCHRE_TOO_LARGE, "%llu rows do not fit a segment; the limit is %u",
                (unsigned long long) total, OCH_SEGMENT_ROWS_MAX);
    size_t runs_size = seal->n_sources * sizeof(struct run);
    struct merge merge = {.runs = och_mem_take(seal->mem, runs_size)};
    ochre_status status = merge.runs == NULL ? och_fail_memory(err) : OCHRE_OK;
    if (status == OCHRE_OK)
        status = begin(seal, &merge, err);
    if (status == OCHRE_OK) {
        seal->rows = och_mem_take(seal->mem, (size_t) total * sizeof(*seal->rows));
        seal->room = seal->rows == NULL ? 0 : (uint32_t) total;
        if (seal->rows == NULL)
            status = och_fail_memory(err);
    }
    uint64_t least = 0;
    while (status == OCHRE_OK && merge.n > 0) {
        och_assert(seal->n_rows < seal->room);
        status = take(seal, &merge, &least, err);
    }
    for (uint32_t i = 0; i < merge.n; i++)
        och_mem_release(
                seal->mem, merge.runs[i].sorted, merge.runs[i].source->n_rows * sizeof(uint32_t));
    och_mem_release(seal->mem, merge.runs, runs_size);
    return status;
}

void
och_seal_clear(struct och_seal *seal)
{
    och_mem_release(seal->mem, seal->rows, seal->room * sizeof(*seal->rows));
    seal->rows = NULL;
    seal->n_rows = 0;
    seal->room = 0;
}
