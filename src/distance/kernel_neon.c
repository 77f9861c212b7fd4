/*
 * NEON: a register holds four lanes, so a group is sixteen registers and
 * accumulator k of distance.h is registers 4k to 4k + 3.  Of the thirty-two
 * registers sixteen hold sums.  There are no masked loads: a row's last group
 * is copied into zeros first.
 */
#include <arm_neon.h>
#include <string.h>

#include "distance/codes.h"
#include "distance/distance.h"
#include "distance/distance_internal.h"

/* One accumulator: sixteen lanes. */
struct lanes {
    float32x4_t v0, v1, v2, v3;
};

struct sums {
    struct lanes s0, s1, s2, s3;
};

OCH_KERNEL_INLINE float32x4_t
add4(float32x4_t sum, const float *a, const float *b, enum och_measure measure)
{
    float32x4_t x = vld1q_f32(a), y = vld1q_f32(b);
    if (measure == OCH_MEASURE_DOT)
        return vfmaq_f32(sum, x, y);
    float32x4_t difference = vsubq_f32(x, y);
    return vfmaq_f32(sum, difference, difference);
}

OCH_KERNEL_INLINE struct lanes
add16(struct lanes s, const float *a, const float *b, enum och_measure measure)
{
    return (struct lanes){
            .v0 = add4(s.v0, a, b, measure),
            .v1 = add4(s.v1, a + 4, b + 4, measure),
            .v2 = add4(s.v2, a + 8, b + 8, measure),
            .v3 = add4(s.v3, a + 12, b + 12, measure),
    };
}

OCH_KERNEL_INLINE struct sums
add(struct sums s, const float *a, const float *b, enum och_measure measure)
{
    return (struct sums){
            .s0 = add16(s.s0, a, b, measure),
            .s1 = add16(s.s1, a + 16, b + 16, measure),
            .s2 = add16(s.s2, a + 32, b + 32, measure),
            .s3 = add16(s.s3, a + 48, b + 48, measure),
    };
}

OCH_KERNEL_INLINE float32x4_t
join(float32x4_t v0, float32x4_t v1, float32x4_t v2, float32x4_t v3)
{
    return vaddq_f32(vaddq_f32(v0, v1), vaddq_f32(v2, v3));
}

OCH_KERNEL_INLINE float
fold(struct sums s)
{
    float32x4_t l0 = join(s.s0.v0, s.s1.v0, s.s2.v0, s.s3.v0);
    float32x4_t l4 = join(s.s0.v1, s.s1.v1, s.s2.v1, s.s3.v1);
    float32x4_t l8 = join(s.s0.v2, s.s1.v2, s.s2.v2, s.s3.v2);
    float32x4_t l12 = join(s.s0.v3, s.s1.v3, s.s2.v3, s.s3.v3);
    float32x4_t s4 = vaddq_f32(vaddq_f32(l0, l8), vaddq_f32(l4, l12));
    float32x2_t s2 = vadd_f32(vget_low_f32(s4), vget_high_f32(s4));
    return vget_lane_f32(s2, 0) + vget_lane_f32(s2, 1);
}

OCH_KERNEL_INLINE float
sum(const float *a, const float *b, size_t dim, enum och_measure measure)
{
    size_t n_rest = dim % OCH_GROUP_SIZE;
    size_t n_full = dim - n_rest;
    float32x4_t zero = vdupq_n_f32(0);
    struct lanes none = {zero, zero, zero, zero};
    struct sums s = {none, none, none, none};

    for (size_t i = 0; i < n_full; i += OCH_GROUP_SIZE)
        s = add(s, a + i, b + i, measure);
    if (n_rest != 0) {
        float rest_a[OCH_GROUP_SIZE] = {0};
        float rest_b[OCH_GROUP_SIZE] = {0};
        memcpy(rest_a, a + n_full, n_rest * sizeof(float));
        memcpy(rest_b, b + n_full, n_rest * sizeof(float));
        s = add(s, rest_a, rest_b, measure);
    }
    return fold(s);
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

const struct och_kernels och_kernels_neon = {
        .name = "neon",
        .l2 = l2,
        .dot = dot,
        .l2_rows = l2_rows,
        .dot_rows = dot_rows,
        .codes = &och_codes_neon,
};
