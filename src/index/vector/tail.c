#include "index/vector/tail.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/bitset.h"
#include "base/error.h"
#include "distance/codes.h"
#include "distance/distance.h"
#include "index/vector/flat.h"
#include "index/vector/index.h"
#include "index/vector/quant.h"
#include "index/vector/rows.h"
#include "index/vector/topk.h"

enum {
    ABREAST = 16, /* elements that loops work on together */
    LEVEL_MAX = 63,
    MIDDLE = 64, /* what level 0 is stored as */
    BLOCK = OCH_CODE_BLOCK,
    /* Of a block's rows so many are measured together, and what lies between them. */
    MANY = BLOCK / 3,
    /* For fewer rows of a block no codes are looked at. */
    FEW = 3,
};

size_t
och_tail_row_size(uint32_t dim)
{
    size_t stride = ((size_t) dim + OCH_CODE_GROUP - 1) / OCH_CODE_GROUP * OCH_CODE_GROUP;
    return stride + 3 * sizeof(float) + sizeof(int32_t);
}

void
och_tail_place(struct och_tail *tail, void *block, uint32_t dim, uint32_t n_rows)
{
    uint8_t *bytes = block;
    tail->stride = och_tail_row_size(dim) - 3 * sizeof(float) - sizeof(int32_t);
    tail->codes = bytes;
    tail->steps = (float *) (void *) (bytes + n_rows * tail->stride);
    tail->errors = tail->steps + n_rows;
    tail->lengths = tail->errors + n_rows;
    tail->sums = (int32_t *) (void *) (tail->lengths + n_rows);
}

/* --- encoding --------------------------------------------------------------- */

/* What rounding a vector to levels comes to, in ABREAST parts. */
struct rounded {
    int32_t sum[ABREAST];
    float lost2[ABREAST], length2[ABREAST], largest[ABREAST];
};

/* The vector's next ABREAST elements, with zeros after its end. */
static void
load(const float *vector, uint32_t dim, uint32_t at, float x[ABREAST])
{
    uint32_t n = dim - at < ABREAST ? dim - at : ABREAST;
    if (n < ABREAST)
        memset(x, 0, ABREAST * sizeof(*x));
    memcpy(x, vector + at, n * sizeof(*x));
}

static void
look_at(const float x[ABREAST], struct rounded *rounded)
{
    for (size_t j = 0; j < ABREAST; j++) {
        float size = fabsf(x[j]);
        rounded->largest[j] = size > rounded->largest[j] ? size : rounded->largest[j];
        rounded->length2[j] += x[j] * x[j];
    }
}

static void
round_off(const float x[ABREAST], float step, float inverse, uint8_t *code, struct rounded *rounded)
{
    for (size_t j = 0; j < ABREAST; j++) {
        /* From above 0, where cutting off is rounding. */
        int32_t level = (int32_t) (x[j] * inverse + (MIDDLE + 0.5F)) - MIDDLE;
        float rest = x[j] - step * (float) level;
        code[j] = (uint8_t) (level + MIDDLE);
        rounded->sum[j] += level;
        rounded->lost2[j] += rest * rest;
    }
}

/* A vector as levels, and what is known of it. */
struct coded {
    float step, error, length;
    int32_t sum;
};

/* What floats round on the way, of unit lengths: sums of canonical order and
 * those of here, with room to spare. */
static float
rounding_of(size_t dim)
{
    return ((float) dim / 64 + 32) * 0x1p-22F;
}

/* `code` has room for `stride` elements. */
static struct coded
encode(const float *vector, uint32_t dim, size_t stride, uint8_t *code)
{
    float x[ABREAST];
    struct rounded rounded = {.sum = {0}};
    for (uint32_t at = 0; at < dim; at += ABREAST) {
        load(vector, dim, at, x);
        look_at(x, &rounded);
    }
    float largest = 0, length2 = 0;
    for (size_t j = 0; j < ABREAST; j++) {
        largest = rounded.largest[j] > largest ? rounded.largest[j] : largest;
        length2 += rounded.length2[j];
    }
    memset(code, MIDDLE, stride);
    float length = sqrtf(length2);
    if (!(length <= OCH_QUANT_LENGTH_MAX && length >= 1 / OCH_QUANT_LENGTH_MAX))
        return (struct coded){.error = INFINITY};

    struct coded coded = {.step = largest / LEVEL_MAX};
    for (uint32_t at = 0; at < dim; at += ABREAST) {
        load(vector, dim, at, x);
        round_off(x, coded.step, 1 / coded.step, code + at, &rounded);
    }
    float lost2 = 0;
    for (size_t j = 0; j < ABREAST; j++) {
        lost2 += rounded.lost2[j];
        coded.sum += rounded.sum[j];
    }
    float rounding = rounding_of(dim);
    coded.error = sqrtf(lost2) * (1 + rounding) + length * rounding;
    coded.length = length * (1 + rounding) + coded.error;
    return coded;
}

void
och_tail_encode(const struct och_tail *tail, uint32_t row, const float *vector, uint32_t dim)
{
    struct coded coded = encode(vector, dim, tail->stride, tail->codes + row * tail->stride);
    tail->steps[row] = coded.step;
    tail->errors[row] = coded.error;
    tail->lengths[row] = coded.length;
    tail->sums[row] = MIDDLE * coded.sum;
}

/* --- a query ---------------------------------------------------------------- */

struct seeking {
    const struct och_vector_rows *rows;
    const struct och_vector_search *search;
    const struct och_distance_query *query;
    struct och_topk *best;
    const uint8_t *code; /* of the query */
    struct och_code_weights weights;
    uint64_t n_measured, n_estimated;
};

/*
 * Weights for bound_block, of terms in a row's own units (l2, ip) or in units of
 * its length (cosine): a distance that the row's is not less than.
 */
static struct och_code_weights
weights_of(ochre_space space, const struct coded *query, float length, float rounding)
{
    float unit = space == OCHRE_SPACE_COSINE ? length : 1;
    float times = space == OCHRE_SPACE_L2 ? 2 : 1;
    struct och_code_weights weights = {.step = -times * query->step / unit,
            .error = -times * query->length / unit * (1 + rounding),
            .length = -times * (query->error + 4 * rounding * query->length) / unit};
    weights.add = space == OCHRE_SPACE_L2 ? length * length * (1 - 8 * rounding) : 1 - 8 * rounding;
    return weights;
}

/* False: it has to do without. */
static bool
prepare(struct seeking *s, uint8_t *code)
{
    const struct och_tail *tail = s->rows->tail;
    struct coded coded = encode(s->query->query, (uint32_t) s->query->dim, tail->stride, code);
    if (coded.length == 0)
        return false;
    /* Without what `encode` adds for rows. */
    float length = coded.length - coded.error;
    s->code = code;
    s->weights = weights_of(s->query->space, &coded, length, rounding_of(s->query->dim));
    return true;
}

/* Terms of n rows from `first` on. */
static void
set_terms(const struct seeking *s, uint32_t first, uint32_t n, struct och_code_terms *terms)
{
    const struct och_tail *tail = s->rows->tail;
    const float *steps = tail->steps + first, *errors = tail->errors + first;
    const float *lengths = tail->lengths + first;
    float rounding = rounding_of(s->query->dim);
    if (s->query->space == OCHRE_SPACE_COSINE) {
        const float *norms = s->rows->norms + first;
        for (uint32_t i = 0; i < n; i++) {
            terms->add[i] = 0;
            terms->scale[i] = steps[i] / norms[i];
            terms->error[i] = errors[i] / norms[i];
            terms->length[i] = lengths[i] / norms[i];
        }
        return;
    }
    float share = s->query->space == OCHRE_SPACE_L2 ? 1 - 8 * rounding : 0;
    for (uint32_t i = 0; i < n; i++) {
        float length = lengths[i] - errors[i]; /* |x|, but for rounding, or -INFINITY */
        length = length > 0 ? length : 0;
        terms->add[i] = length * length * share;
        terms->scale[i] = steps[i];
        terms->error[i] = errors[i];
        terms->length[i] = lengths[i];
    }
}

/* --- searching -------------------------------------------------------------- */

static void
offer(struct seeking *s, uint32_t row, float distance)
{
    if (och_topk_admits(s->best, distance))
        (void) och_topk_offer(s->best,
                (struct och_near){.distance = distance,
                        .source = s->search->source,
                        .ordinal = s->rows->ordinals[row],
                        .row = row});
}

/* Measure the rows of a block that `bits` names; there are some. */
static void
measure(struct seeking *s, uint32_t first, uint64_t bits)
{
    size_t dim = s->query->dim;
    const float *norms = s->rows->norms;
    s->n_measured += (uint64_t) __builtin_popcountll(bits);
    if (__builtin_popcountll(bits) < MANY) {
        for (; bits != 0; bits &= bits - 1) {
            uint32_t row = first + (uint32_t) __builtin_ctzll(bits);
            float distance;
            och_distance_rows(s->query, s->rows->rows + row * dim,
                    norms == NULL ? NULL : norms + row, 1, &distance);
            offer(s, row, distance);
        }
        return;
    }
    float distances[BLOCK];
    uint32_t n = 64 - (uint32_t) __builtin_clzll(bits);
    och_distance_rows(s->query, s->rows->rows + first * dim, norms == NULL ? NULL : norms + first,
            n, distances);
    for (; bits != 0; bits &= bits - 1) {
        uint32_t i = (uint32_t) __builtin_ctzll(bits);
        offer(s, first + i, distances[i]);
    }
}

/* Which of a block's n rows may be near enough. */
static uint64_t
near_enough(struct seeking *s, uint32_t first, uint32_t n)
{
    static const uint32_t in_order[BLOCK] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
            16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37,
            38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59,
            60, 61, 62, 63};
    const struct och_tail *tail = s->rows->tail;
    const struct och_code_kernels *codes = s->query->kernels->codes;
    int32_t dots[BLOCK];
    float bounds[BLOCK];
    struct och_code_terms terms;
    codes->dot7_gather(s->code, tail->codes + first * tail->stride, tail->stride, in_order, n,
            tail->stride, dots);
    for (uint32_t i = 0; i < n; i++)
        dots[i] -= tail->sums[first + i];
    set_terms(s, first, n, &terms);
    s->n_estimated += n;
    return codes->bound_block(&s->weights, &terms, dots, n, s->best->bound, bounds);
}

static void
search_one(struct seeking *s)
{
    const struct och_bitset *allowed = s->search->allowed;
    for (uint32_t first = 0; first < s->rows->n_rows; first += BLOCK) {
        uint32_t n = s->rows->n_rows - first < BLOCK ? s->rows->n_rows - first : BLOCK;
        uint64_t bits = n < 64 ? (UINT64_C(1) << n) - 1 : UINT64_MAX;
        if (allowed != NULL)
            bits &= first / 64 < allowed->n_words ? allowed->words[first / 64] : 0;
        bool is_open = isinf(s->best->bound);
        if (!is_open && __builtin_popcountll(bits) > FEW)
            bits &= near_enough(s, first, n);
        if (bits != 0)
            measure(s, first, bits);
    }
}

ochre_status
och_tail_search(const struct och_vector_rows *rows, const struct och_vector_search *search,
        struct och_topk *best, struct och_vector_work *work, struct ochre_error *err)
{
    och_assert(rows->touch == NULL);
    struct och_arena_mark mark = och_arena_mark(search->scratch);
    uint8_t *code = och_arena_take(search->scratch, rows->tail->stride);
    ochre_status status = code == NULL ? och_fail_memory(err) : OCHRE_OK;
    for (size_t q = 0; q < search->n_queries && status == OCHRE_OK; q++) {
        struct seeking s = {
                .rows = rows, .search = search, .query = &search->queries[q], .best = &best[q]};
        if (prepare(&s, code)) {
            search_one(&s);
        } else {
            struct och_vector_rows plain = *rows;
            struct och_vector_search one = *search;
            plain.tail = NULL;
            one.queries = s.query;
            one.n_queries = 1;
            status = och_flat_search(&plain, &one, s.best, work, err);
        }
        if (work != NULL) {
            work->n_distances += s.n_measured;
            work->n_estimates += s.n_estimated;
        }
    }
    och_arena_rewind(search->scratch, &mark);
    return status;
}
