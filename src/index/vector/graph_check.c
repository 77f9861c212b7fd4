#include "index/vector/graph_check.h"

#include <math.h>
#include <string.h>

#include "base/bitset.h"
#include "base/error.h"
#include "base/mem.h"
#include "index/vector/graph_parts.h"
#include "index/vector/quant.h"
#include "index/vector/rows.h"

/* Rows that are touched at a time. */
#define CHUNK 1024u

struct job {
    const struct och_graph_view *graph;
    const struct och_graph_parts *parts;
    const struct och_vector_rows *rows;
    const struct och_quant *quant;
    struct och_mem *mem;
    struct ochre_error *err;
};

static ochre_status
fail_row(const struct job *job, uint32_t row, const char *what)
{
    return och_fail(
            job->err, OCHRE_CORRUPT, "the index of vectors: row %u %s", (unsigned) row, what);
}

static ochre_status
touch(const struct job *job, uint32_t row, uint32_t n)
{
    ochre_status status = OCHRE_OK;
    if (job->rows->touch != NULL)
        status = job->rows->touch(job->rows->context, row, n, job->err);
    if (status == OCHRE_OK)
        status = och_graph_parts_touch_codes(job->parts, row, n, job->err);
    if (status == OCHRE_OK && job->graph->n_entries > 0)
        status = och_graph_parts_touch_links(job->parts, row, n, job->err);
    return status;
}

static const struct och_code4 *
code_of(const struct job *job, uint32_t row)
{
    const uint8_t *codes = job->graph->coded.codes;
    return (const struct och_code4 *) (const void *) (codes + (size_t) row * job->quant->stride4);
}

/* As a builder does it; `flags` are those that the row's copies want. */
static ochre_status
check_code(const struct job *job, uint32_t row, uint32_t flags, float *residual,
        struct och_code4 *code)
{
    const struct och_quant *quant = job->quant;
    float norm = job->rows->norms == NULL ? 0 : job->rows->norms[row];
    memset(code, 0, quant->stride4);
    och_quant_residual(quant, job->rows->rows + (size_t) row * quant->dim, norm, residual);
    och_quant_encode4(quant, residual, (uint8_t *) (void *) code);
    if (quant->space == OCHRE_SPACE_COSINE && norm == 0)
        code->error = INFINITY;
    code->flags = flags;
    return memcmp(code, code_of(job, row), quant->stride4) == 0
            ? OCHRE_OK
            : fail_row(job, row, "has a code that its vector does not give");
}

static ochre_status
check_codes(const struct job *job, const uint8_t *flags)
{
    size_t residual_size = job->quant->padded * sizeof(float);
    float *residual = och_mem_take(job->mem, residual_size);
    struct och_code4 *code = och_mem_take(job->mem, job->quant->stride4);
    bool has_memory = residual != NULL && code != NULL;
    ochre_status status = has_memory ? OCHRE_OK : och_fail_memory(job->err);
    for (uint32_t row = 0; has_memory && row < job->rows->n_rows && status == OCHRE_OK; row++) {
        uint32_t left = job->rows->n_rows - row;
        if (row % CHUNK == 0)
            status = touch(job, row, left < CHUNK ? left : CHUNK);
        if (status == OCHRE_OK)
            status = check_code(job, row, flags[row], residual, code);
    }
    och_mem_release(job->mem, code, job->quant->stride4);
    och_mem_release(job->mem, residual, residual_size);
    return status;
}

/* Follow all links from the entries; `found` has a byte a row. */
static void
follow(const struct och_graph_view *graph, uint32_t *queue, char *found)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < graph->n_entries; i++) {
        if (!found[graph->entries[i]])
            queue[n++] = graph->entries[i];
        found[graph->entries[i]] = 1;
    }
    for (uint32_t at = 0; at < n; at++) {
        const uint32_t *links = graph->links + (size_t) queue[at] * OCH_GRAPH_DEGREE;
        for (uint32_t i = 0; i < OCH_GRAPH_DEGREE && links[i] != OCH_ROW_NONE; i++) {
            if (!found[links[i]])
                queue[n++] = links[i];
            found[links[i]] = 1;
        }
    }
}

/* Strays are looked at in any case, and copies through the row that they are equal to. */
static ochre_status
check_places(const struct job *job, const uint8_t *flags, char *found)
{
    const struct och_graph_view *graph = job->graph;
    for (uint32_t i = 0; i < graph->n_strays; i++)
        found[graph->strays[i]] = 1;
    for (uint32_t row = 0; row < job->rows->n_rows; row++)
        if (!found[row] && (flags[row] & OCH_CODE_IS_COPY) == 0)
            return fail_row(job, row, "cannot be reached");
    for (uint32_t i = 0; i < graph->n_copies; i++) {
        const uint32_t *pair = graph->copies + 2 * (size_t) i;
        const float *first = job->rows->rows + (size_t) pair[0] * job->quant->dim;
        const float *copy = job->rows->rows + (size_t) pair[1] * job->quant->dim;
        if (!found[pair[0]] || memcmp(first, copy, job->quant->dim * sizeof(float)) != 0)
            return fail_row(job, pair[1], "is no copy of what it is said to be one of");
    }
    return OCHRE_OK;
}

static ochre_status
check_links(const struct job *job, const uint8_t *flags)
{
    size_t n = job->rows->n_rows;
    uint32_t *queue = och_mem_take(job->mem, n * sizeof(*queue));
    char *found = och_mem_take_zeroed(job->mem, n);
    ochre_status status = OCHRE_NO_MEMORY;
    if (queue == NULL || found == NULL) {
        status = och_fail_memory(job->err);
    } else {
        follow(job->graph, queue, found);
        status = check_places(job, flags, found);
    }
    och_mem_release(job->mem, found, n);
    och_mem_release(job->mem, queue, n * sizeof(*queue));
    return status;
}

ochre_status
och_graph_check(const struct och_graph_view *graph, const struct och_graph_parts *parts,
        struct och_mem *mem, struct ochre_error *err)
{
    const struct job job = {.graph = graph,
            .parts = parts,
            .rows = graph->coded.rows,
            .quant = graph->coded.quant,
            .mem = mem,
            .err = err};
    size_t n = graph->coded.rows->n_rows;
    uint8_t *flags = och_mem_take_zeroed(mem, n);
    if (flags == NULL)
        return och_fail_memory(err);
    for (uint32_t i = 0; i < graph->n_copies; i++) {
        flags[graph->copies[2 * (size_t) i]] |= OCH_CODE_HAS_COPIES;
        flags[graph->copies[2 * (size_t) i + 1]] |= OCH_CODE_IS_COPY;
    }
    ochre_status status = check_codes(&job, flags);
    if (status == OCHRE_OK && graph->n_entries > 0)
        status = check_links(&job, flags);
    och_mem_release(mem, flags, n);
    return status;
}
