/*
 * AVX2 with FMA: a register holds eight lanes, so a group is eight registers
 * and accumulator k of distance.h is the pair 2k (lanes 0 to 7), 2k + 1.  A
 * row's last group is loaded under a mask, which reads nothing past the row's
 * end and fills with the zeros that the canonical sum asks for.
 *
 * One row's sums fill half of the sixteen registers, so rows are taken one by
 * one here.
 */
#include <immintrin.h>
#include <stdint.h>

#include "distance/codes.h"
#include "distance/distance.h"
#include "distance/distance_internal.h"

/* One partial sum for each of the 64 lanes. */
struct sums {
    __m256 v0, v1, v2, v3, v4, v5, v6, v7;
};

/* As many set lanes as clear ones: eight entries from 64 - n + j on are the mask
 * that keeps those of elements j to j + 7 which come before the n-th. */
#define EIGHT_SET -1, -1, -1, -1, -1, -1, -1, -1
static const int32_t masks[2 * OCH_GROUP_SIZE] = {
        EIGHT_SET, EIGHT_SET, EIGHT_SET, EIGHT_SET, EIGHT_SET, EIGHT_SET, EIGHT_SET, EIGHT_SET};

OCH_KERNEL_INLINE __m256
term(__m256 sum, __m256 a, __m256 b, enum och_measure measure)
{
    if (measure == OCH_MEASURE_DOT)
        return _mm256_fmadd_ps(a, b, sum);
    __m256 difference = _mm256_sub_ps(a, b);
    return _mm256_fmadd_ps(difference, difference, sum);
}

OCH_KERNEL_INLINE __m256
add8(__m256 sum, const float *a, const float *b, enum och_measure measure)
{
    return term(sum, _mm256_loadu_ps(a), _mm256_loadu_ps(b), measure);
}

OCH_KERNEL_INLINE __m256
add8_part(__m256 sum, const float *a, const float *b, const int32_t *mask, enum och_measure measure)
{
    __m256i keep = _mm256_loadu_si256((const __m256i *) (const void *) mask);
    return term(sum, _mm256_maskload_ps(a, keep), _mm256_maskload_ps(b, keep), measure);
}

OCH_KERNEL_INLINE struct sums
add(struct sums s, const float *a, const float *b, enum och_measure measure)
{
    return (struct sums){
            .v0 = add8(s.v0, a, b, measure),
            .v1 = add8(s.v1, a + 8, b + 8, measure),
            .v2 = add8(s.v2, a + 16, b + 16, measure),
            .v3 = add8(s.v3, a + 24, b + 24, measure),
            .v4 = add8(s.v4, a + 32, b + 32, measure),
            .v5 = add8(s.v5, a + 40, b + 40, measure),
            .v6 = add8(s.v6, a + 48, b + 48, measure),
            .v7 = add8(s.v7, a + 56, b + 56, measure),
    };
}

/* The last n < 64 elements; the other lanes get zeros.  A load whose mask is
 * empty reads nothing, wherever it points. */
OCH_KERNEL_INLINE struct sums
add_part(struct sums s, const float *a, const float *b, size_t n, enum och_measure measure)
{
    const int32_t *mask = masks + OCH_GROUP_SIZE - n;
    return (struct sums){
            .v0 = add8_part(s.v0, a, b, mask, measure),
            .v1 = add8_part(s.v1, a + 8, b + 8, mask + 8, measure),
            .v2 = add8_part(s.v2, a + 16, b + 16, mask + 16, measure),
            .v3 = add8_part(s.v3, a + 24, b + 24, mask + 24, measure),
            .v4 = add8_part(s.v4, a + 32, b + 32, mask + 32, measure),
            .v5 = add8_part(s.v5, a + 40, b + 40, mask + 40, measure),
            .v6 = add8_part(s.v6, a + 48, b + 48, mask + 48, measure),
            .v7 = add8_part(s.v7, a + 56, b + 56, mask + 56, measure),
    };
}

OCH_KERNEL_INLINE float
fold(struct sums s)
{
    __m256 low = _mm256_add_ps(_mm256_add_ps(s.v0, s.v2), _mm256_add_ps(s.v4, s.v6));
    __m256 high = _mm256_add_ps(_mm256_add_ps(s.v1, s.v3), _mm256_add_ps(s.v5, s.v7));
    __m256 s8 = _mm256_add_ps(low, high);
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

OCH_KERNEL_INLINE float
sum(const float *a, const float *b, size_t dim, enum och_measure measure)
{
    size_t n_rest = dim % OCH_GROUP_SIZE;
    size_t n_full = dim - n_rest;
    __m256 zero = _mm256_setzero_ps();
    struct sums s = {zero, zero, zero, zero, zero, zero, zero, zero};

    for (size_t i = 0; i < n_full; i += OCH_GROUP_SIZE)
        s = add(s, a + i, b + i, measure);
    if (n_rest != 0)
        s = add_part(s, a + n_full, b + n_full, n_rest, measure);
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

const struct och_kernels och_kernels_avx2 = {
        .name = "avx2",
        .l2 = l2,
        .dot = dot,
        .l2_rows = l2_rows,
        .dot_rows = dot_rows,
        .codes = &och_codes_avx2,
};
