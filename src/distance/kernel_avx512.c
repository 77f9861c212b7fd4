/*
 * AVX-512: the sixteen lanes of an accumulator are one register, and a group is
 * four.  A row's last group is loaded under a mask, which reads nothing past
 * the row's end and fills with the zeros that the canonical sum asks for.
 *
 * Against a block of rows, four rows share each load of the query.  Every row
 * keeps its own four accumulators, so it is summed exactly as if it were alone.
 */
#include <immintrin.h>
#include <stdint.h>

#include "distance/codes.h"
#include "distance/distance.h"
#include "distance/distance_internal.h"

enum { ROWS_AT_ONCE = 4 };

/* One element, or one partial sum, for each of the 64 lanes. */
struct group {
    __m512 v0, v1, v2, v3;
};

OCH_KERNEL_INLINE struct group
load(const float *p)
{
    return (struct group){
            .v0 = _mm512_loadu_ps(p),
            .v1 = _mm512_loadu_ps(p + 16),
            .v2 = _mm512_loadu_ps(p + 32),
            .v3 = _mm512_loadu_ps(p + 48),
    };
}

/* The first n < 64 elements at p, then zeros.  A load whose mask is empty reads
 * nothing, wherever it points. */
OCH_KERNEL_INLINE struct group
load_part(const float *p, size_t n)
{
    uint64_t mask = (UINT64_C(1) << n) - 1;
    return (struct group){
            .v0 = _mm512_maskz_loadu_ps((__mmask16) (mask & 0xffff), p),
            .v1 = _mm512_maskz_loadu_ps((__mmask16) (mask >> 16 & 0xffff), p + 16),
            .v2 = _mm512_maskz_loadu_ps((__mmask16) (mask >> 32 & 0xffff), p + 32),
            .v3 = _mm512_maskz_loadu_ps((__mmask16) (mask >> 48), p + 48),
    };
}

OCH_KERNEL_INLINE __m512
term(__m512 sum, __m512 a, __m512 b, enum och_measure measure)
{
    if (measure == OCH_MEASURE_DOT)
        return _mm512_fmadd_ps(a, b, sum);
    __m512 difference = _mm512_sub_ps(a, b);
    return _mm512_fmadd_ps(difference, difference, sum);
}

OCH_KERNEL_INLINE struct group
add(struct group sums, struct group a, struct group b, enum och_measure measure)
{
    return (struct group){
            .v0 = term(sums.v0, a.v0, b.v0, measure),
            .v1 = term(sums.v1, a.v1, b.v1, measure),
            .v2 = term(sums.v2, a.v2, b.v2, measure),
            .v3 = term(sums.v3, a.v3, b.v3, measure),
    };
}

OCH_KERNEL_INLINE struct group
zero(void)
{
    __m512 none = _mm512_setzero_ps();
    return (struct group){none, none, none, none};
}

OCH_KERNEL_INLINE __m512
join(struct group sums)
{
    return _mm512_add_ps(_mm512_add_ps(sums.v0, sums.v1), _mm512_add_ps(sums.v2, sums.v3));
}

OCH_KERNEL_INLINE float
fold(struct group sums)
{
    __m512 s16 = join(sums);
    __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(s16), _mm512_extractf32x8_ps(s16, 1));
    __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_movehdup_ps(s2)));
}

/*
 * Four rows folded side by side.  Letters are rows, numbers quarters of a row:
 *
 *      a = a0 a1 a2 a3    b = ...        a0 a1 b0 b1 + a2 a3 b2 b3    l + 8
 *                                        a0 b0 c0 d0 + a1 b1 c1 d1    l + 4
 *
 * and then within quarters.  Addition commutes, so the bits are those of fold.
 */
OCH_KERNEL_INLINE __m128
fold4(struct group sums_a, struct group sums_b, struct group sums_c, struct group sums_d)
{
    __m512 a = join(sums_a), b = join(sums_b), c = join(sums_c), d = join(sums_d);
    __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
    __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
    __m512 s4 =
            _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
    __m512 s2 = _mm512_add_ps(s4, _mm512_permute_ps(s4, 0x4e));
    __m512 s1 = _mm512_add_ps(s2, _mm512_permute_ps(s2, 0xb1));
    return _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, s1));
}

OCH_KERNEL_INLINE float
sum(const float *a, const float *b, size_t dim, enum och_measure measure)
{
    size_t n_rest = dim % OCH_GROUP_SIZE;
    size_t n_full = dim - n_rest;
    struct group sums = zero();
    for (size_t i = 0; i < n_full; i += OCH_GROUP_SIZE)
        sums = add(sums, load(a + i), load(b + i), measure);
    if (n_rest != 0)
        sums = add(sums, load_part(a + n_full, n_rest), load_part(b + n_full, n_rest), measure);
    return fold(sums);
}

OCH_KERNEL_INLINE void
sum4(const float *query, const float *row, size_t dim, enum och_measure measure, float *out)
{
    size_t n_rest = dim % OCH_GROUP_SIZE;
    size_t n_full = dim - n_rest;
    const float *a = row, *b = a + dim, *c = b + dim, *d = c + dim;
    struct group sums_a = zero(), sums_b = zero(), sums_c = zero(), sums_d = zero();

    for (size_t i = 0; i < n_full; i += OCH_GROUP_SIZE) {
        struct group q = load(query + i);
        sums_a = add(sums_a, q, load(a + i), measure);
        sums_b = add(sums_b, q, load(b + i), measure);
        sums_c = add(sums_c, q, load(c + i), measure);
        sums_d = add(sums_d, q, load(d + i), measure);
    }
    if (n_rest != 0) {
        struct group q = load_part(query + n_full, n_rest);
        sums_a = add(sums_a, q, load_part(a + n_full, n_rest), measure);
        sums_b = add(sums_b, q, load_part(b + n_full, n_rest), measure);
        sums_c = add(sums_c, q, load_part(c + n_full, n_rest), measure);
        sums_d = add(sums_d, q, load_part(d + n_full, n_rest), measure);
    }
    _mm_storeu_ps(out, fold4(sums_a, sums_b, sums_c, sums_d));
}

OCH_KERNEL_INLINE void
sum_rows(const float *query, const float *rows, size_t n, size_t dim, enum och_measure measure,
        float *out)
{
    size_t i = 0;
    for (; n - i >= ROWS_AT_ONCE; i += ROWS_AT_ONCE)
        sum4(query, rows + i * dim, dim, measure, out + i);
    for (; i < n; i++)
        out[i] = sum(query, rows + i * dim, dim, measure);
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
    sum_rows(query, rows, n, dim, OCH_MEASURE_L2, out);
}

static void
dot_rows(const float *query, const float *rows, size_t n, size_t dim, float *out)
{
    sum_rows(query, rows, n, dim, OCH_MEASURE_DOT, out);
}

const struct och_kernels och_kernels_avx512 = {
        .name = "avx512",
        .l2 = l2,
        .dot = dot,
        .l2_rows = l2_rows,
        .dot_rows = dot_rows,
        .codes = &och_codes_avx2,
};

/* The same, with integer products that multiply and add in one instruction. */
const struct och_kernels och_kernels_avx512_vnni = {
        .name = "avx512_vnni",
        .l2 = l2,
        .dot = dot,
        .l2_rows = l2_rows,
        .dot_rows = dot_rows,
        .codes = &och_codes_avx512_vnni,
};
