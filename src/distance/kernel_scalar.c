/*
 * The reference: the canonical sum as distance.h words it, one lane at a time.
 * It is written to be read; every other kernel is tested against it for equal
 * bits.  fmaf rounds once on every processor, with or without an instruction.
 */
#include <math.h>
#include <string.h>

#include "distance/codes.h"
#include "distance/distance.h"
#include "distance/distance_internal.h"

/* The lanes that a sum ends with, folded in the canonical order. */
static float
fold(const float lanes[OCH_GROUP_SIZE])
{
    float sums[OCH_GROUP_LANES];
    for (size_t l = 0; l < OCH_GROUP_LANES; l++)
        sums[l] = (lanes[l] + lanes[16 + l]) + (lanes[32 + l] + lanes[48 + l]);
    for (size_t half = OCH_GROUP_LANES / 2; half > 0; half /= 2) {
        for (size_t l = 0; l < half; l++)
            sums[l] += sums[l + half];
    }
    return sums[0];
}

static void
add_group_l2(float lanes[OCH_GROUP_SIZE], const float *a, const float *b)
{
    for (size_t l = 0; l < OCH_GROUP_SIZE; l++) {
        float difference = a[l] - b[l];
        lanes[l] = fmaf(difference, difference, lanes[l]);
    }
}

static void
add_group_dot(float lanes[OCH_GROUP_SIZE], const float *a, const float *b)
{
    for (size_t l = 0; l < OCH_GROUP_SIZE; l++)
        lanes[l] = fmaf(a[l], b[l], lanes[l]);
}

static float
sum(const float *a, const float *b, size_t dim, enum och_measure measure)
{
    float lanes[OCH_GROUP_SIZE] = {0};
    float rest_a[OCH_GROUP_SIZE] = {0};
    float rest_b[OCH_GROUP_SIZE] = {0};
    size_t n_rest = dim % OCH_GROUP_SIZE;
    size_t n_full = dim - n_rest;

    void (*add_group)(float *, const float *, const float *) =
            measure == OCH_MEASURE_L2 ? add_group_l2 : add_group_dot;
    for (size_t i = 0; i < n_full; i += OCH_GROUP_SIZE)
        add_group(lanes, a + i, b + i);
    if (n_rest != 0) {
        memcpy(rest_a, a + n_full, n_rest * sizeof(float));
        memcpy(rest_b, b + n_full, n_rest * sizeof(float));
        add_group(lanes, rest_a, rest_b);
    }
    return fold(lanes);
}

static float
l2(const float *a, const float *b, size_t dim)
{
    return sum(a, b, dim, OCH_MEASURE_L2);
}

static float
dot(const float *a, const float *b, size_t dim)
{
    return sum(a, b, dim, OCH_MEASURE_DOT);
}

static void
l2_rows(const float *query, const float *rows, size_t n, size_t dim, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = sum(query, rows + i * dim, dim, OCH_MEASURE_L2);
}

static void
dot_rows(const float *query, const float *rows, size_t n, size_t dim, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = sum(query, rows + i * dim, dim, OCH_MEASURE_DOT);
}

const struct och_kernels och_kernels_scalar = {
        .name = "scalar",
        .l2 = l2,
        .dot = dot,
        .l2_rows = l2_rows,
        .dot_rows = dot_rows,
        .codes = &och_codes_scalar,
};
