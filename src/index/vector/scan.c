#include "index/vector/scan.h"

#include <math.h>

#include "base/arena.h"
#include "base/bitset.h"
#include "base/error.h"
#include "distance/codes.h"
#include "distance/distance.h"
#include "index/vector/flat.h"
#include "index/vector/quant.h"
#include "index/vector/rows.h"
#include "index/vector/topk.h"

enum {
    BLOCK_ROWS = OCH_CODE_BLOCK,
    /* Queries that share a block of codes. */
    QUERIES_AT_ONCE = 32,
    /* Rows of one query that wait for being measured. */
    WAITING_MAX = 4096,
};

/* One query's state. */
struct finding {
    const struct och_distance_query *query;
    const struct och_quant_query *prepared;
    struct och_topk *best;
    float *uppers;                /* a heap of the k smallest upper bounds, largest on top */
    struct och_scan_row *waiting; /* rows and their lower bounds: [WAITING_MAX + BLOCK_ROWS] */
    uint32_t n_uppers, k, n_waiting;
    float bound; /* T: rows whose lower bound is larger are out */
};

struct scanning {
    const struct och_coded_rows *coded;
    const struct och_bitset *allowed;
    uint32_t source;
    struct finding findings[QUERIES_AT_ONCE];
    size_t n;
    struct och_code_terms terms; /* of the block's rows */
    const int8_t *elements;      /* of all queries, one after the other */
    struct och_vector_work *work;
};

bool
och_scan_can(const struct och_quant *quant, const struct och_distance_query *query)
{
    float length = quant->space == OCHRE_SPACE_COSINE
            ? query->query_norm
            : och_vector_norm(query->kernels, query->query, query->dim);
    if (length == 0)
        return quant->space != OCHRE_SPACE_COSINE;
    return length <= OCH_QUANT_LENGTH_MAX && length >= 1 / OCH_QUANT_LENGTH_MAX;
}

ochre_status
och_scan_prepare(const struct och_quant *quant, const struct och_distance_query *queries, size_t n,
        struct och_arena *scratch, struct och_quant_query **prepared_out)
{
    int8_t *elements = och_arena_take_array(scratch, n, quant->padded);
    float *floats = och_arena_take_array(scratch, quant->padded, sizeof(float));
    *prepared_out = och_arena_take_array(scratch, n, sizeof(**prepared_out));
    if (elements == NULL || floats == NULL || *prepared_out == NULL)
        return OCHRE_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        och_quant_query_init(
                quant, &queries[i], elements + i * quant->padded, floats, &(*prepared_out)[i]);
    return OCHRE_OK;
}

float
och_scan_bound(const struct och_quant_query *query, const struct och_topk *best)
{
    if (isinf(best->bound))
        return best->bound;
    return (best->bound - query->from_estimate[0]) / query->from_estimate[1];
}

ochre_status
och_scan_measure(const struct och_coded_rows *coded, uint32_t source,
        const struct och_distance_query *query, uint32_t row, struct och_topk *best,
        struct ochre_error *err)
{
    const struct och_vector_rows *rows = coded->rows;
    if (rows->touch != NULL) {
        ochre_status status = rows->touch(rows->context, row, 1, err);
        if (status != OCHRE_OK)
            return status;
    }
    float distance;
    och_distance_rows(query, rows->rows + (size_t) row * query->dim,
            rows->norms == NULL ? NULL : rows->norms + row, 1, &distance);
    if (och_topk_admits(best, distance))
        (void) och_topk_offer(best,
                (struct och_near){.distance = distance,
                        .source = source,
                        .ordinal = rows->ordinals[row],
                        .row = row});
    return OCHRE_OK;
}

/* --- one query -------------------------------------------------------------- */

static void
sift_down(float *heap, uint32_t n, float item)
{
    uint32_t at = 0;
    for (uint32_t child = 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && heap[child + 1] > heap[child])
            child++;
        if (heap[child] <= item)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
}

/* One more upper bound: T may become smaller. */
static void
note_upper(struct finding *finding, float upper)
{
    float *heap = finding->uppers;
    if (finding->n_uppers < finding->k) {
        uint32_t at = finding->n_uppers++;
        for (; at > 0 && heap[(at - 1) / 2] < upper; at = (at - 1) / 2)
            heap[at] = heap[(at - 1) / 2];
        heap[at] = upper;
    } else if (upper < heap[0]) {
        sift_down(heap, finding->k, upper);
    }
    if (finding->n_uppers == finding->k && heap[0] < finding->bound)
        finding->bound = heap[0];
}

/* Forget the rows that T leaves out by now. */
static void
forget(struct finding *finding)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < finding->n_waiting; i++) {
        if (finding->waiting[i].distance <= finding->bound)
            finding->waiting[n++] = finding->waiting[i];
    }
    finding->n_waiting = n;
}

/* Put `item` at or below `at` in a heap with the smallest on top. */
static void
sink(struct och_scan_row *heap, uint32_t n, uint32_t at, struct och_scan_row item)
{
    for (uint32_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && heap[child + 1].distance < heap[child].distance)
            child++;
        if (heap[child].distance >= item.distance)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = item;
}

/* Measure, from the smallest lower bound on, until the next cannot be among the
 * nearest.  A heap, because that is after few of many. */
static ochre_status
measure_waiting(struct scanning *scan, struct finding *finding, struct ochre_error *err)
{
    struct och_scan_row *heap = finding->waiting;
    forget(finding);
    uint32_t n = finding->n_waiting;
    for (uint32_t at = n / 2; at-- > 0;)
        sink(heap, n, at, heap[at]);
    while (n > 0 && heap[0].distance <= och_scan_bound(finding->prepared, finding->best)) {
        ochre_status status = och_scan_measure(
                scan->coded, scan->source, finding->query, heap[0].row, finding->best, err);
        if (status != OCHRE_OK)
            return status;
        if (scan->work != NULL)
            scan->work->n_distances++;
        n--;
        sink(heap, n, 0, heap[n]);
    }
    finding->n_waiting = 0;
    float bound = och_scan_bound(finding->prepared, finding->best);
    if (bound < finding->bound)
        finding->bound = bound;
    return OCHRE_OK;
}

/* Too many wait: if they are still many without those that T leaves out, measure. */
static ochre_status
make_room(struct scanning *scan, struct finding *finding, struct ochre_error *err)
{
    forget(finding);
    return finding->n_waiting > WAITING_MAX / 2 ? measure_waiting(scan, finding, err) : OCHRE_OK;
}

/* Look at the codes of n rows whose products and terms are known. */
static ochre_status
look(struct scanning *scan, struct finding *finding, const uint32_t *rows, size_t n,
        const int32_t *dots, struct ochre_error *err)
{
    const struct och_quant *quant = scan->coded->quant;
    const struct och_quant_query *prepared = finding->prepared;
    float lowers[BLOCK_ROWS];
    uint64_t near = quant->kernels->codes->bound_block(
            &prepared->weights, &scan->terms, dots, n, finding->bound, lowers);
    for (; near != 0; near &= near - 1) {
        size_t i = (size_t) __builtin_ctzll(near);
        if (lowers[i] > finding->bound) /* less than before this block */
            continue;
        const struct och_code4 *code =
                (const struct och_code4 *) (const void *) (scan->coded->codes +
                        rows[i] * quant->stride4);
        finding->waiting[finding->n_waiting++] =
                (struct och_scan_row){.distance = lowers[i], .row = rows[i]};
        note_upper(finding,
                och_quant_estimate(prepared, code, dots[i]) + och_quant_radius(prepared, code));
    }
    return finding->n_waiting >= WAITING_MAX ? make_room(scan, finding, err) : OCHRE_OK;
}

/* --- all queries ------------------------------------------------------------ */

/* Codes of a block of rows are to be looked at. */
static ochre_status
touch_block(
        const struct och_coded_rows *coded, const uint32_t *rows, size_t n, struct ochre_error *err)
{
    if (coded->touch == NULL)
        return OCHRE_OK;
    if (rows[n - 1] - rows[0] == n - 1)
        return coded->touch(coded->context, rows[0], (uint32_t) n, err);
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < n && status == OCHRE_OK; i++)
        status = coded->touch(coded->context, rows[i], 1, err);
    return status;
}

static ochre_status
scan_block(struct scanning *scan, const uint32_t *rows, size_t n, struct ochre_error *err)
{
    int32_t dots[QUERIES_AT_ONCE * BLOCK_ROWS];
    ochre_status status = touch_block(scan->coded, rows, n, err);
    if (status != OCHRE_OK)
        return status;
    const struct och_quant *quant = scan->coded->quant;
    const struct och_code_kernels *codes = quant->kernels->codes;
    const uint8_t *elements = scan->coded->codes + OCH_CODE_HEADER;
    if (rows[n - 1] - rows[0] == n - 1) {
        codes->dot4_block(scan->elements, scan->n, elements + rows[0] * quant->stride4,
                quant->stride4, n, quant->padded, dots);
    } else {
        for (size_t q = 0; q < scan->n; q++)
            codes->dot4_gather(scan->findings[q].prepared->elements, elements, quant->stride4, rows,
                    n, quant->padded, dots + q * n);
    }
    och_quant_terms(quant, scan->coded->codes, rows, n, &scan->terms);
    if (scan->work != NULL)
        scan->work->n_estimates += n * scan->n;
    for (size_t q = 0; q < scan->n && status == OCHRE_OK; q++)
        status = look(scan, &scan->findings[q], rows, n, dots + q * n, err);
    return status;
}

static ochre_status
scan_all(struct scanning *scan, struct ochre_error *err)
{
    uint32_t n_rows = scan->coded->rows->n_rows;
    uint32_t rows[BLOCK_ROWS];
    ochre_status status = OCHRE_OK;
    uint32_t row = 0;
    while (row < n_rows && status == OCHRE_OK) {
        size_t n = 0;
        if (scan->allowed == NULL) {
            while (n < BLOCK_ROWS && row < n_rows)
                rows[n++] = row++;
        } else {
            for (row = och_bitset_next(scan->allowed, row); n < BLOCK_ROWS && row < n_rows;
                    row = och_bitset_next(scan->allowed, row + 1))
                rows[n++] = row;
        }
        if (n > 0)
            status = scan_block(scan, rows, n, err);
    }
    for (size_t q = 0; q < scan->n && status == OCHRE_OK; q++)
        status = measure_waiting(scan, &scan->findings[q], err);
    return status;
}

static ochre_status
begin_finding(struct finding *finding, struct och_arena *scratch)
{
    finding->k = finding->best->capacity;
    finding->uppers = och_arena_take_array(scratch, finding->k, sizeof(float));
    finding->waiting =
            och_arena_take_array(scratch, WAITING_MAX + BLOCK_ROWS, sizeof(*finding->waiting));
    if (finding->uppers == NULL || finding->waiting == NULL)
        return OCHRE_NO_MEMORY;
    finding->bound = och_scan_bound(finding->prepared, finding->best);
    return OCHRE_OK;
}

/* Some queries that codes can be compared with. */
static ochre_status
scan_some(const struct och_coded_rows *coded, const struct och_vector_search *search, size_t first,
        size_t n, struct och_topk *best, struct och_vector_work *work, struct ochre_error *err)
{
    struct och_arena_mark mark = och_arena_mark(search->scratch);
    struct scanning scan = {.coded = coded,
            .allowed = search->allowed,
            .source = search->source,
            .n = n,
            .work = work};
    struct och_quant_query *prepared;
    ochre_status status =
            och_scan_prepare(coded->quant, search->queries + first, n, search->scratch, &prepared);
    for (size_t q = 0; q < n && status == OCHRE_OK; q++) {
        scan.findings[q] = (struct finding){.query = &search->queries[first + q],
                .prepared = &prepared[q],
                .best = &best[first + q]};
        status = begin_finding(&scan.findings[q], search->scratch);
    }
    if (status != OCHRE_OK) {
        och_arena_rewind(search->scratch, &mark);
        return och_fail_memory(err);
    }
    scan.elements = prepared[0].elements;
    status = scan_all(&scan, err);
    och_arena_rewind(search->scratch, &mark);
    return status;
}

ochre_status
och_scan_search(const struct och_coded_rows *coded, const struct och_vector_search *search,
        struct och_topk *best, struct och_vector_work *work, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < search->n_queries && status == OCHRE_OK;) {
        size_t n = 0;
        while (n < QUERIES_AT_ONCE && i + n < search->n_queries && best[i + n].capacity > 0 &&
                och_scan_can(coded->quant, &search->queries[i + n]))
            n++;
        if (n > 0) {
            status = scan_some(coded, search, i, n, best, work, err);
            i += n;
            continue;
        }
        /* This one must look at the vectors. */
        struct och_vector_search one = *search;
        one.queries = &search->queries[i];
        one.n_queries = 1;
        status = och_flat_search(coded->rows, &one, &best[i], work, err);
        i++;
    }
    return status;
}
