/*
 * AVX2: 32 products in one instruction, added in pairs to 16 bits.  A pair of
 * 4-bit products is at most 2 * 15 * 127 = 3,810, so eight pairs fit 16 bits
 * before they must be widened; of 7-bit ones two do.
 */
#include <immintrin.h>

#include "distance/codes.h"
#include "distance/distance_internal.h"

/* Groups of 64 elements whose pairs of 4-bit products fit 16 bits: two pairs a
 * group, four groups. */
enum { GROUPS_AT_ONCE = 4 };

OCH_KERNEL_INLINE __m256i
load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *) p);
}

OCH_KERNEL_INLINE __m256i
widen(__m256i sum, __m256i pairs)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

OCH_KERNEL_INLINE int32_t
fold(__m256i sum)
{
    __m128i s4 = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    __m128i s2 = _mm_add_epi32(s4, _mm_shuffle_epi32(s4, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s2, _mm_shuffle_epi32(s2, 0xb1)));
}

/* One group: its pairs of products. */
OCH_KERNEL_INLINE __m256i
pairs4(const int8_t *low, const int8_t *high, __m256i code)
{
    __m256i mask = _mm256_set1_epi8(15);
    __m256i lower = _mm256_and_si256(code, mask);
    __m256i upper = _mm256_and_si256(_mm256_srli_epi16(code, 4), mask);
    return _mm256_add_epi16(
            _mm256_maddubs_epi16(lower, load(low)), _mm256_maddubs_epi16(upper, load(high)));
}

OCH_KERNEL_INLINE int32_t
dot4(const int8_t *query, const uint8_t *code, size_t padded)
{
    const int8_t *high = query + padded / 2;
    size_t n_groups = padded / OCH_CODE_GROUP;
    __m256i sum = _mm256_setzero_si256();
    size_t g = 0;
    for (; n_groups - g >= GROUPS_AT_ONCE; g += GROUPS_AT_ONCE) {
        __m256i a = pairs4(query + g * 32, high + g * 32, load(code + g * 32));
        __m256i b = pairs4(query + g * 32 + 32, high + g * 32 + 32, load(code + g * 32 + 32));
        __m256i c = pairs4(query + g * 32 + 64, high + g * 32 + 64, load(code + g * 32 + 64));
        __m256i d = pairs4(query + g * 32 + 96, high + g * 32 + 96, load(code + g * 32 + 96));
        sum = widen(sum, _mm256_add_epi16(_mm256_add_epi16(a, b), _mm256_add_epi16(c, d)));
    }
    __m256i rest = _mm256_setzero_si256();
    for (; g < n_groups; g++)
        rest = _mm256_add_epi16(rest, pairs4(query + g * 32, high + g * 32, load(code + g * 32)));
    return fold(widen(sum, rest));
}

static void
dot4_gather(const int8_t *query, const uint8_t *codes, size_t stride, const uint32_t *rows,
        size_t n, size_t padded, int32_t *out)
{
    for (size_t i = 0; i < n && i < OCH_LOOK_AHEAD; i++)
        och_prefetch_code(codes + rows[i] * stride, padded / 2);
    for (size_t i = 0; i < n; i++) {
        if (n - i > OCH_LOOK_AHEAD)
            och_prefetch_code(codes + rows[i + OCH_LOOK_AHEAD] * stride, padded / 2);
        out[i] = dot4(query, codes + rows[i] * stride, padded);
    }
}

/* Two queries against two rows: each half of a code is unpacked once for both. */
OCH_KERNEL_INLINE void
dot4_two(const int8_t *query, const uint8_t *code_a, const uint8_t *code_b, size_t padded,
        int32_t out[4])
{
    const __m256i mask = _mm256_set1_epi8(15);
    size_t half = padded / 2;
    const int8_t *other = query + padded;
    __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
            _mm256_setzero_si256()};
    for (size_t i = 0; i < half;) {
        __m256i p0 = _mm256_setzero_si256(), p1 = p0, p2 = p0, p3 = p0;
        size_t end = half - i > 128 ? i + 128 : half;
        for (; i < end; i += 32) {
            __m256i a = load(code_a + i), b = load(code_b + i);
            __m256i al = _mm256_and_si256(a, mask), bl = _mm256_and_si256(b, mask);
            __m256i ah = _mm256_and_si256(_mm256_srli_epi16(a, 4), mask);
            __m256i bh = _mm256_and_si256(_mm256_srli_epi16(b, 4), mask);
            __m256i ql = load(query + i), qh = load(query + half + i);
            p0 = _mm256_add_epi16(p0, _mm256_maddubs_epi16(al, ql));
            p1 = _mm256_add_epi16(p1, _mm256_maddubs_epi16(bl, ql));
            p0 = _mm256_add_epi16(p0, _mm256_maddubs_epi16(ah, qh));
            p1 = _mm256_add_epi16(p1, _mm256_maddubs_epi16(bh, qh));
            ql = load(other + i);
            qh = load(other + half + i);
            p2 = _mm256_add_epi16(p2, _mm256_maddubs_epi16(al, ql));
            p3 = _mm256_add_epi16(p3, _mm256_maddubs_epi16(bl, ql));
            p2 = _mm256_add_epi16(p2, _mm256_maddubs_epi16(ah, qh));
            p3 = _mm256_add_epi16(p3, _mm256_maddubs_epi16(bh, qh));
        }
        sums[0] = widen(sums[0], p0);
        sums[1] = widen(sums[1], p1);
        sums[2] = widen(sums[2], p2);
        sums[3] = widen(sums[3], p3);
    }
    for (int i = 0; i < 4; i++)
        out[i] = fold(sums[i]);
}

static void
dot4_block(const int8_t *queries, size_t n_queries, const uint8_t *codes, size_t stride, size_t n,
        size_t padded, int32_t *out)
{
    size_t q = 0;
    for (; n_queries - q >= 2; q += 2) {
        const int8_t *query = queries + q * padded;
        size_t i = 0;
        for (; n - i >= 2; i += 2) {
            int32_t sums[4];
            dot4_two(query, codes + i * stride, codes + (i + 1) * stride, padded, sums);
            out[q * n + i] = sums[0];
            out[q * n + i + 1] = sums[1];
            out[(q + 1) * n + i] = sums[2];
            out[(q + 1) * n + i + 1] = sums[3];
        }
        for (; i < n; i++) {
            out[q * n + i] = dot4(query, codes + i * stride, padded);
            out[(q + 1) * n + i] = dot4(query + padded, codes + i * stride, padded);
        }
    }
    for (; q < n_queries; q++) {
        for (size_t i = 0; i < n; i++)
            out[q * n + i] = dot4(queries + q * padded, codes + i * stride, padded);
    }
}

static uint64_t
bound_block(const struct och_code_weights *weights, const struct och_code_terms *terms,
        const int32_t *dots, size_t n, float limit, float *out)
{
    uint64_t bits = 0;
    size_t i = 0;
    for (; n - i >= 8; i += 8) {
        __m256 x = _mm256_cvtepi32_ps(load(dots + i));
        x = _mm256_fmadd_ps(_mm256_set1_ps(weights->step), x, _mm256_set1_ps(weights->offset));
        x = _mm256_fmadd_ps(_mm256_loadu_ps(terms->scale + i), x, _mm256_loadu_ps(terms->add + i));
        x = _mm256_fmadd_ps(_mm256_loadu_ps(terms->error + i), _mm256_set1_ps(weights->error), x);
        x = _mm256_fmadd_ps(_mm256_loadu_ps(terms->length + i), _mm256_set1_ps(weights->length), x);
        x = _mm256_add_ps(x, _mm256_set1_ps(weights->add));
        _mm256_storeu_ps(out + i, x);
        __m256 in = _mm256_cmp_ps(x, _mm256_set1_ps(limit), _CMP_NGT_UQ);
        bits |= (uint64_t) (unsigned) _mm256_movemask_ps(in) << i;
    }
    return bits | och_bound_rest(weights, terms, dots, i, n, limit, out);
}

/* 64 pairs of 7-bit elements: two additions of pairs fit 16 bits. */
OCH_KERNEL_INLINE __m256i
pairs7(const uint8_t *a, const uint8_t *b)
{
    __m256i middle = _mm256_set1_epi8(64);
    return _mm256_add_epi16(_mm256_maddubs_epi16(load(a), _mm256_sub_epi8(load(b), middle)),
            _mm256_maddubs_epi16(load(a + 32), _mm256_sub_epi8(load(b + 32), middle)));
}

static int32_t
dot7(const uint8_t *a, const uint8_t *b, size_t padded)
{
    __m256i sum = _mm256_setzero_si256(), other = sum;
    size_t i = 0;
    for (; padded - i >= 128; i += 128) {
        sum = widen(sum, pairs7(a + i, b + i));
        other = widen(other, pairs7(a + i + 64, b + i + 64));
    }
    if (i < padded)
        sum = widen(sum, pairs7(a + i, b + i));
    return fold(_mm256_add_epi32(sum, other));
}

static void
dot7_gather(const uint8_t *a, const uint8_t *codes, size_t stride, const uint32_t *rows, size_t n,
        size_t padded, int32_t *out)
{
    for (size_t i = 0; i < n && i < OCH_LOOK_AHEAD; i++)
        och_prefetch_code(codes + rows[i] * stride, padded);
    for (size_t i = 0; i < n; i++) {
        if (n - i > OCH_LOOK_AHEAD)
            och_prefetch_code(codes + rows[i + OCH_LOOK_AHEAD] * stride, padded);
        out[i] = dot7(a, codes + rows[i] * stride, padded);
    }
}

const struct och_code_kernels och_codes_avx2 = {
        .name = "avx2",
        .dot4_gather = dot4_gather,
        .dot4_block = dot4_block,
        .bound_block = bound_block,
        .dot7 = dot7,
        .dot7_gather = dot7_gather,
};
