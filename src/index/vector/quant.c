#include "index/vector/quant.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "distance/codes.h"
#include "distance/distance.h"
#include "index/vector/rows.h"

/* The width of a step, in standard deviations, that 16 even steps do best with
 * for normal coordinates (Max, "Quantizing for minimum distortion", 1960). */
#define STEP_OF_16 0.3352F
/* Rows whose pages are made safe to read at once. */
#define TOUCH_ROWS 1024u
/* Coordinates that the compiler computes side by side. */
#define ABREAST ((size_t) 8)

uint32_t
och_quant_padded(ochre_space space, uint32_t dim)
{
    uint32_t n = dim + (space == OCHRE_SPACE_IP ? 1 : 0);
    return (n + 63) / 64 * 64;
}

size_t
och_quant_stride4(uint32_t padded)
{
    return OCH_CODE_HEADER + padded / 2;
}

/* --- making ----------------------------------------------------------------- */

ochre_status
och_quant_make(struct och_mem *mem, const struct och_kernels *kernels, ochre_space space,
        uint32_t dim, uint64_t seed, const float *mean, struct och_quant *quant_out)
{
    uint32_t padded = och_quant_padded(space, dim);
    *quant_out = (struct och_quant){.mem = mem,
            .space = space,
            .dim = dim,
            .padded = padded,
            .seed = seed,
            .kernels = kernels,
            .stride4 = och_quant_stride4(padded),
            .stride7 = OCH_CODE_HEADER + padded};
    struct och_rotation rotation;
    ochre_status status = och_rotation_make(mem, padded, seed, &rotation);
    if (status != OCHRE_OK)
        return status;
    quant_out->rotation = rotation;
    quant_out->mean = och_mem_take(mem, padded * sizeof(float));
    if (quant_out->mean == NULL) {
        och_quant_clear(quant_out);
        return OCHRE_NO_MEMORY;
    }
    memcpy(quant_out->mean, mean, padded * sizeof(float));
    return OCHRE_OK;
}

void
och_quant_clear(struct och_quant *quant)
{
    if (quant->mem == NULL)
        return;
    och_rotation_clear(&quant->rotation);
    och_mem_release(quant->mem, quant->mean, quant->padded * sizeof(float));
    *quant = (struct och_quant){.mem = NULL};
}

/* What a row is multiplied by before it is compared. */
static float
factor_of(ochre_space space, float norm)
{
    if (space != OCHRE_SPACE_COSINE)
        return 1;
    return norm > 0 ? 1 / norm : 0;
}

/* Learning: the sum of all rows, and their largest length. */
struct totals {
    double *sum; /* [padded] */
    float longest2;
};

static ochre_status
add_rows(const struct och_vector_rows *rows, const struct och_kernels *kernels, ochre_space space,
        uint32_t dim, struct totals *totals, struct ochre_error *err)
{
    for (uint32_t row = 0; row < rows->n_rows; row++) {
        uint32_t left = rows->n_rows - row;
        if (row % TOUCH_ROWS == 0 && rows->touch != NULL) {
            ochre_status status =
                    rows->touch(rows->context, row, left < TOUCH_ROWS ? left : TOUCH_ROWS, err);
            if (status != OCHRE_OK)
                return status;
        }
        const float *v = rows->rows + (size_t) row * dim;
        float norm =
                space == OCHRE_SPACE_COSINE ? rows->norms[row] : och_vector_norm(kernels, v, dim);
        if (!(norm <= OCH_QUANT_LENGTH_MAX) || (norm > 0 && norm < 1 / OCH_QUANT_LENGTH_MAX))
            return och_fail(
                    err, OCHRE_UNSUPPORTED, "a vector of length %g cannot be coded", (double) norm);
        float factor = factor_of(space, norm);
        for (uint32_t i = 0; i < dim; i++)
            totals->sum[i] += (double) (v[i] * factor);
        float length = space == OCHRE_SPACE_COSINE ? 1 : norm;
        if (length * length > totals->longest2)
            totals->longest2 = length * length;
    }
    return OCHRE_OK;
}

ochre_status
och_quant_learn(struct och_mem *mem, const struct och_kernels *kernels,
        const struct och_vector_rows *rows, ochre_space space, uint32_t dim, uint64_t seed,
        struct och_quant *quant_out, struct ochre_error *err)
{
    *quant_out = (struct och_quant){.mem = NULL};
    size_t padded = och_quant_padded(space, dim);
    struct totals totals = {.sum = och_mem_take_zeroed(mem, padded * sizeof(double))};
    float *mean = och_mem_take_zeroed(mem, padded * sizeof(float));
    ochre_status status = OCHRE_NO_MEMORY;
    if (totals.sum == NULL || mean == NULL)
        goto done;
    status = add_rows(rows, kernels, space, dim, &totals, err);
    if (status != OCHRE_OK)
        goto done;
    for (size_t i = 0; i < dim && rows->n_rows > 0; i++)
        mean[i] = (float) (totals.sum[i] / rows->n_rows);
    status = och_quant_make(mem, kernels, space, dim, seed, mean, quant_out);
    if (status != OCHRE_OK)
        goto done;
    quant_out->longest2 = totals.longest2;
    quant_out->reach = sqrtf(totals.longest2) + och_vector_norm(kernels, mean, padded);
    if (space == OCHRE_SPACE_IP) /* with the coordinate that is added */
        quant_out->reach *= 1.5F;

done:
    och_mem_release(mem, mean, padded * sizeof(float));
    och_mem_release(mem, totals.sum, padded * sizeof(double));
    return status == OCHRE_NO_MEMORY ? och_fail_memory(err) : status;
}

/* --- encoding --------------------------------------------------------------- */

void
och_quant_residual(const struct och_quant *quant, const float *row, float norm, float *residual)
{
    float factor = factor_of(quant->space, norm);
    memset(residual, 0, quant->padded * sizeof(float));
    for (uint32_t i = 0; i < quant->dim; i++)
        residual[i] = row[i] * factor - quant->mean[i];
    if (quant->space == OCHRE_SPACE_IP) {
        float length2 = quant->kernels->dot(row, row, quant->dim);
        residual[quant->dim] = length2 < quant->longest2 ? sqrtf(quant->longest2 - length2) : 0;
    }
    och_rotate(&quant->rotation, residual);
}

/* A residual on a grid while it is being fitted. */
struct fit {
    double dot;   /* <g, r> */
    double norm2; /* |g|^2 */
};

/* Move single coordinates by one step where that turns g towards r (the
 * adjustment of Li et al., "SAQ", 2025). */
static void
adjust(const float *r, uint8_t *u, size_t n, struct fit *fit)
{
    for (size_t i = 0; i < n; i++) {
        double g = u[i] - 7.5;
        for (int move = -1; move <= 1; move += 2) {
            if ((move < 0 && u[i] == 0) || (move > 0 && u[i] == 15))
                continue;
            double dot = fit->dot + move * (double) r[i];
            double norm2 = fit->norm2 + 2 * move * g + 1;
            if (dot > 0 && dot * dot * fit->norm2 > fit->dot * fit->dot * norm2) {
                u[i] = (uint8_t) (u[i] + move);
                fit->dot = dot;
                fit->norm2 = norm2;
                break;
            }
        }
    }
}

static double
sum_of_squares(const float *r, size_t n)
{
    double sums[4] = {0, 0, 0, 0};
    for (size_t i = 0; i < n; i += 4) {
        for (size_t j = 0; j < 4; j++)
            sums[j] += (double) r[i + j] * (double) r[i + j];
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* Round to the grid with `levels` steps of `step`, 0 in the middle. */
static void
round_to_grid(const float *r, size_t n, float step, int levels, uint8_t *u, struct fit *fit)
{
    float middle = (float) levels / 2;
    float inverse = 1 / step;
    for (size_t i = 0; i < n; i++) {
        float x = r[i] * inverse + middle;
        int level = x <= 0 ? 0 : (int) x; /* truncation is floor here */
        u[i] = (uint8_t) (level >= levels ? levels - 1 : level);
    }
    *fit = (struct fit){.dot = 0};
    for (size_t i = 0; i < n; i++) {
        double g = u[i] - ((double) levels - 1) / 2;
        fit->dot += g * (double) r[i];
        fit->norm2 += g * g;
    }
}

static float
round_up(double value)
{
    return nextafterf((float) value, INFINITY);
}

void
och_quant_encode4(const struct och_quant *quant, const float *residual, uint8_t *code)
{
    size_t n = quant->padded;
    double norm2 = sum_of_squares(residual, n);
    struct och_code4 header = {.add = (float) norm2};
    uint8_t *elements = code + OCH_CODE_HEADER;
    memset(code, 0, quant->stride4);
    if (norm2 > 0) {
        uint8_t u[OCH_CODE_GROUP];
        struct fit fit;
        struct fit total = {.dot = 0};
        float step = STEP_OF_16 * (float) sqrt(norm2 / (double) n);
        for (size_t at = 0; at < n; at += OCH_CODE_GROUP) {
            round_to_grid(residual + at, OCH_CODE_GROUP, step, 16, u, &fit);
            total.dot += fit.dot;
            total.norm2 += fit.norm2;
            for (size_t j = 0; j < 32; j++)
                elements[at / 2 + j] = (uint8_t) (u[j] | u[j + 32] << 4);
        }
        for (size_t at = 0; at < n; at += OCH_CODE_GROUP) {
            for (size_t j = 0; j < 32; j++) {
                u[j] = elements[at / 2 + j] & 15;
                u[j + 32] = elements[at / 2 + j] >> 4;
            }
            adjust(residual + at, u, OCH_CODE_GROUP, &total);
            for (size_t j = 0; j < 32; j++)
                elements[at / 2 + j] = (uint8_t) (u[j] | u[j + 32] << 4);
        }
        header.scale = (float) (-2 * norm2 / total.dot);
        double lost2 = norm2 * norm2 * total.norm2 / (total.dot * total.dot) - norm2;
        header.error = round_up(sqrt(lost2 > 0 ? lost2 : 0));
    }
    memcpy(code, &header, sizeof(header));
}

void
och_quant_encode7(const struct och_quant *quant, const float *residual, uint8_t *code)
{
    size_t n = quant->padded;
    double norm2 = sum_of_squares(residual, n);
    struct och_code7 header = {.norm2 = (float) norm2};
    memset(code, 0, quant->stride7);
    if (norm2 > 0) {
        float largest = 0;
        for (size_t i = 0; i < n; i++)
            largest = fabsf(residual[i]) > largest ? fabsf(residual[i]) : largest;
        struct fit fit;
        uint8_t *u = code + OCH_CODE_HEADER;
        round_to_grid(residual, n, largest / 63.5F, 128, u, &fit);
        header.scale = (float) (norm2 / fit.dot);
        for (size_t i = 0; i < n; i++)
            header.sum += u[i];
    }
    memcpy(code, &header, sizeof(header));
}

/* --- queries ---------------------------------------------------------------- */

/* What floats round, in units of squared lengths. */
static float
rounding_of(const struct och_quant *quant)
{
    return (2 * (float) quant->padded + 256) * 0x1p-24F;
}

/* Rounding grows with the square of |r| / cos + |s|: its three terms go to the row,
 * to both, and to the query. */
void
och_quant_terms(const struct och_quant *quant, const uint8_t *codes, const uint32_t *rows, size_t n,
        struct och_code_terms *terms_out)
{
    float rounding = rounding_of(quant);
    for (size_t i = 0; i < n; i++) {
        struct och_code4 code;
        memcpy(&code, codes + rows[i] * quant->stride4, sizeof(code));
        float length2 = code.add + code.error * code.error;
        terms_out->add[i] = code.add - rounding * length2;
        terms_out->scale[i] = code.scale;
        terms_out->error[i] = code.error;
        terms_out->length[i] = sqrtf(length2);
    }
}

static void
set_weights(struct och_quant_query *query)
{
    float length = query->length;
    query->weights = (struct och_code_weights){.step = query->step,
            .offset = -query->offset,
            .error = -2 * length,
            .length = -2 * (query->lost + query->rounding * length),
            .add = query->base - query->rounding * length * length - query->rounding_fixed};
}

/* How a squared distance becomes the collection's, and what may be rounded. */
static void
set_conversion(const struct och_quant *quant, float query_length2, struct och_quant_query *query)
{
    switch (quant->space) {
    case OCHRE_SPACE_L2:
        query->from_estimate[0] = 0;
        query->from_estimate[1] = 1;
        break;
    case OCHRE_SPACE_COSINE:
        query->from_estimate[0] = 0;
        query->from_estimate[1] = 0.5F;
        break;
    case OCHRE_SPACE_IP:
        query->from_estimate[0] = 1 - 0.5F * (quant->longest2 + query_length2);
        query->from_estimate[1] = 0.5F;
        break;
    }
    /* Differences of near floats are exact, so residuals are as precise as they are
     * short; but directions and inner products carry errors of whole lengths. */
    float whole = quant->space == OCHRE_SPACE_COSINE ? 2
            : quant->space == OCHRE_SPACE_IP         ? quant->reach + sqrtf(query_length2)
                                                     : 0;
    query->rounding = rounding_of(quant);
    query->rounding_fixed = query->rounding * whole * whole;
}

static float
largest_of(const float *x, size_t n)
{
    float largest[ABREAST] = {0};
    for (size_t at = 0; at < n; at += ABREAST) {
        for (size_t j = 0; j < ABREAST; j++) {
            float size = fabsf(x[at + j]);
            largest[j] = size > largest[j] ? size : largest[j];
        }
    }
    float all = 0;
    for (size_t j = 0; j < ABREAST; j++)
        all = largest[j] > all ? largest[j] : all;
    return all;
}

/* What rounding a query to steps comes to, in ABREAST parts. */
struct rounded {
    int32_t sum[ABREAST];
    float lost2[ABREAST];
};

/* Round 32 coordinates, of which none is larger than 127 steps. */
static void
round_query(const float *x, float step, int8_t *elements, struct rounded *rounded)
{
    float inverse = step >= FLT_MIN ? 1 / step : 0; /* else all is lost */
    for (size_t at = 0; at < 32; at += ABREAST) {
        for (size_t j = 0; j < ABREAST; j++) {
            float scaled = x[at + j] * inverse;
            int level = (int) (scaled + copysignf(0.5F, scaled));
            float rest = x[at + j] - step * (float) level;
            elements[at + j] = (int8_t) level;
            rounded->sum[j] += level;
            rounded->lost2[j] += rest * rest;
        }
    }
}

void
och_quant_query_init(const struct och_quant *quant, const struct och_distance_query *query,
        int8_t *elements, float *scratch, struct och_quant_query *query_out)
{
    size_t n = quant->padded;
    float factor = factor_of(quant->space, query->query_norm);
    memset(scratch, 0, n * sizeof(float));
    for (size_t i = 0; i < quant->dim; i++)
        scratch[i] = query->query[i] * factor - quant->mean[i];
    och_rotate(&quant->rotation, scratch);

    float step = largest_of(scratch, n) / 127;
    struct rounded rounded = {.lost2 = {0}};
    /* Of 64 elements the first 32 lie in the lower halves of a group. */
    for (size_t at = 0; at < n; at += 32)
        round_query(
                scratch + at, step, elements + (at % 64 == 0 ? 0 : n / 2) + at / 64 * 32, &rounded);
    int32_t sum = 0;
    float lost2 = 0;
    for (size_t j = 0; j < ABREAST; j++) {
        sum += rounded.sum[j];
        lost2 += rounded.lost2[j];
    }
    float length2 = quant->kernels->dot(scratch, scratch, n);
    *query_out = (struct och_quant_query){.elements = elements,
            .base = length2,
            .step = step,
            .offset = 7.5F * step * (float) sum,
            .length = sqrtf(length2) * 1.0001F,
            .lost = 1.0001F * sqrtf(lost2)};
    query_out->unlikely = 2 * 1.9F * query_out->length / sqrtf((float) n - 1);
    float raw2 = quant->space == OCHRE_SPACE_COSINE
            ? 1
            : quant->kernels->dot(query->query, query->query, quant->dim);
    set_conversion(quant, raw2, query_out);
    set_weights(query_out);
}

void
och_quant_query_from7(const struct och_quant *quant, const uint8_t *code7, int8_t *elements,
        struct och_quant_query *query_out)
{
    size_t n = quant->padded;
    const struct och_code7 *header = (const struct och_code7 *) (const void *) code7;
    const uint8_t *u = code7 + OCH_CODE_HEADER;
    /* 2 g, which are integers; of 64 elements the first 32 lie in the lower halves. */
    for (size_t at = 0; at < n; at += OCH_CODE_GROUP) {
        for (size_t j = 0; j < 32; j++) {
            elements[at / 2 + j] = (int8_t) (2 * u[at + j] - 127);
            elements[n / 2 + at / 2 + j] = (int8_t) (2 * u[at + 32 + j] - 127);
        }
    }
    float step = 0.5F * header->scale;
    int32_t sum = 2 * header->sum - 127 * (int32_t) n;
    *query_out = (struct och_quant_query){.elements = elements,
            .base = header->norm2,
            .step = step,
            .offset = 7.5F * step * (float) sum};
}
