/*
 * AVX-512 with VNNI: vpdpbusd multiplies 64 unsigned bytes by 64 signed ones and
 * adds fours of products to 32 bits, which nothing here can overflow.
 *
 * One row against one query ends with the sum of sixteen lanes; four rows at once
 * share most of that (fold4).  Rows against many queries never get that far: the
 * codes are transposed, so that a lane is a row (dot4_block).
 *
 * Elements come in groups of 64, which are 32 bytes of 4-bit codes: a register
 * holds two, and the last one may be half full.
 */
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "distance/codes.h"
#include "distance/distance_internal.h"

enum {
    STEP = 64,        /* bytes of 4-bit codes in a register */
    LANES = 16,       /* rows side by side */
    WORDS = STEP / 4, /* fours of elements, of either half, in STEP bytes */
    GROUPS = 4,       /* registers of rows that share a query's elements */
    ROWS_AT_ONCE = GROUPS * LANES,
    QUERIES_AT_ONCE = 4, /* which share a register of rows */
    QUERIES_MIN = 3,     /* for fewer nothing is transposed */
    ROWS_AHEAD = 12,     /* rows that are asked for before they are needed */
};

OCH_KERNEL_INLINE __m512i
load(const void *p)
{
    return _mm512_loadu_si512(p);
}

OCH_KERNEL_INLINE __m128i
load_sixteen(const void *p)
{
    return _mm_loadu_si128(p);
}

OCH_KERNEL_INLINE void
store_four(void *p, __m128i sums)
{
    _mm_storeu_si128(p, sums);
}

/* 32 bytes, then zeros. */
OCH_KERNEL_INLINE __m512i
load_half(const void *p)
{
    return _mm512_zextsi256_si512(_mm256_loadu_si256(p));
}

OCH_KERNEL_INLINE __m512i
lower(__m512i code)
{
    return _mm512_and_si512(code, _mm512_set1_epi8(15));
}

OCH_KERNEL_INLINE __m512i
upper(__m512i code)
{
    return _mm512_and_si512(_mm512_srli_epi16(code, 4), _mm512_set1_epi8(15));
}

OCH_KERNEL_INLINE __m512i
add4(__m512i sum, __m512i code, __m512i low, __m512i high)
{
    sum = _mm512_dpbusd_epi32(sum, lower(code), low);
    return _mm512_dpbusd_epi32(sum, upper(code), high);
}

/* The sums of four registers, side by side; letters are rows, numbers quarters:
 *
 *      a0 a1 b0 b1 + a2 a3 b2 b3, then a0 b0 c0 d0 + a1 b1 c1 d1
 *
 * and then within quarters. */
OCH_KERNEL_INLINE __m128i
fold4(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    __m512i s4 = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
    __m256i s2 = _mm256_add_epi32(_mm512_castsi512_si256(s4), _mm512_extracti64x4_epi64(s4, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(s2), _mm256_extracti128_si256(s2, 1));
}

/* --- rows anywhere ------------------------------------------------------------ */

OCH_KERNEL_INLINE int32_t
dot4(const int8_t *query, const uint8_t *code, size_t padded)
{
    size_t half = padded / 2, i = 0;
    const int8_t *high = query + half;
    __m512i sum = _mm512_setzero_si512();
    for (; half - i >= STEP; i += STEP)
        sum = add4(sum, load(code + i), load(query + i), load(high + i));
    if (i < half)
        sum = add4(sum, load_half(code + i), load_half(query + i), load_half(high + i));
    return _mm512_reduce_add_epi32(sum);
}

OCH_KERNEL_INLINE __m128i
dot4_rows(const int8_t *query, const uint8_t *const rows[4], size_t padded)
{
    size_t half = padded / 2, i = 0;
    const int8_t *high = query + half;
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (; half - i >= STEP; i += STEP) {
        __m512i ql = load(query + i), qh = load(high + i);
        a = add4(a, load(rows[0] + i), ql, qh);
        b = add4(b, load(rows[1] + i), ql, qh);
        c = add4(c, load(rows[2] + i), ql, qh);
        d = add4(d, load(rows[3] + i), ql, qh);
    }
    if (i < half) {
        __m512i ql = load_half(query + i), qh = load_half(high + i);
        a = add4(a, load_half(rows[0] + i), ql, qh);
        b = add4(b, load_half(rows[1] + i), ql, qh);
        c = add4(c, load_half(rows[2] + i), ql, qh);
        d = add4(d, load_half(rows[3] + i), ql, qh);
    }
    return fold4(a, b, c, d);
}

static void
dot4_gather(const int8_t *query, const uint8_t *codes, size_t stride, const uint32_t *rows,
        size_t n, size_t padded, int32_t *out)
{
    size_t i = 0, ahead = 0;
    for (; ahead < n && ahead < ROWS_AHEAD; ahead++)
        och_prefetch_code(codes + rows[ahead] * stride, padded / 2);
    for (; n - i >= 4; i += 4) {
        for (size_t end = n - ahead < 4 ? n : ahead + 4; ahead < end; ahead++)
            och_prefetch_code(codes + rows[ahead] * stride, padded / 2);
        const uint8_t *four[4] = {codes + rows[i] * stride, codes + rows[i + 1] * stride,
                codes + rows[i + 2] * stride, codes + rows[i + 3] * stride};
        store_four(out + i, dot4_rows(query, four, padded));
    }
    for (; i < n; i++)
        out[i] = dot4(query, codes + rows[i] * stride, padded);
}

/* --- blocks of rows ------------------------------------------------------------- */

/*
 * A block of rows against many queries.  Codes are unpacked and transposed once,
 * ROWS_AT_ONCE rows and STEP bytes at a time, into a panel whose registers have a
 * row in each lane:
 *
 *      words[w][0][g], lane l      elements 4 w .. 4 w + 3 of the lower half of
 *                                  row 16 g + l
 *      words[w][1][g]              of the upper half
 *
 * so four elements of a query, broadcast, are multiplied by sixteen rows at once,
 * and sums lie in `out` as they are wanted.
 */
struct panel {
    __m512i words[WORDS][2][GROUPS];
};

/* What is multiplied. */
struct block {
    const int8_t *queries; /* from the step's first element in the lower half */
    const uint8_t *codes;
    size_t stride, n; /* rows, at most ROWS_AT_ONCE */
    size_t padded, n_queries, n_words;
    int32_t *out;
    size_t out_stride;   /* from query to query */
    size_t step;         /* STEP bytes each; from the second on, sums are added to */
    const uint8_t *next; /* codes of the rows that follow */
};

/* Sixteen bytes of rows k, k + 4, k + 8 and k + 12 of sixteen. */
OCH_KERNEL_INLINE __m512i
load_four(const uint8_t *const rows[LANES], size_t k, size_t at)
{
    __m512i v = _mm512_castsi128_si512(load_sixteen(rows[k] + at));
    v = _mm512_mask_broadcast_i32x4(v, 0x00f0, load_sixteen(rows[k + 4] + at));
    v = _mm512_mask_broadcast_i32x4(v, 0x0f00, load_sixteen(rows[k + 8] + at));
    return _mm512_mask_broadcast_i32x4(v, 0xf000, load_sixteen(rows[k + 12] + at));
}

OCH_KERNEL_INLINE void
put_word(struct panel *panel, size_t w, size_t g, __m512i code)
{
    panel->words[w][0][g] = lower(code);
    panel->words[w][1][g] = upper(code);
}

/* Rows 16 g to 16 g + 15 into the panel; in place of missing ones the last. */
OCH_KERNEL_INLINE void
fill_group(const struct block *b, size_t g, struct panel *panel)
{
    const uint8_t *rows[LANES];
    for (size_t i = 0; i < LANES; i++)
        rows[i] = b->codes + (g * LANES + i < b->n ? g * LANES + i : b->n - 1) * b->stride;
    for (size_t w = 0; w < b->n_words; w += 4) {
        __m512i r0 = load_four(rows, 0, w * 4), r1 = load_four(rows, 1, w * 4);
        __m512i r2 = load_four(rows, 2, w * 4), r3 = load_four(rows, 3, w * 4);
        __m512i low01 = _mm512_unpacklo_epi32(r0, r1), high01 = _mm512_unpackhi_epi32(r0, r1);
        __m512i low23 = _mm512_unpacklo_epi32(r2, r3), high23 = _mm512_unpackhi_epi32(r2, r3);
        put_word(panel, w, g, _mm512_unpacklo_epi64(low01, low23));
        put_word(panel, w + 1, g, _mm512_unpackhi_epi64(low01, low23));
        put_word(panel, w + 2, g, _mm512_unpacklo_epi64(high01, high23));
        put_word(panel, w + 3, g, _mm512_unpackhi_epi64(high01, high23));
    }
}

OCH_KERNEL_INLINE __m512i
four_of(const int8_t *query)
{
    int32_t four;
    memcpy(&four, query, sizeof(four));
    return _mm512_set1_epi32(four);
}

/* n_groups * 16 rows from group g on against n_queries queries from q on; both
 * numbers are constants at every call. */
OCH_KERNEL_INLINE void
multiply(const struct block *b, const struct panel *panel, size_t g, size_t n_groups, size_t q,
        size_t n_queries)
{
    const int8_t *queries = b->queries + q * b->padded;
    size_t left = b->n - g * LANES;
    __mmask16 last = (__mmask16) (left >= n_groups * LANES ? 0xffffu : (1u << left) - 1);
    __m512i sums[QUERIES_AT_ONCE][GROUPS];
    for (size_t j = 0; j < n_queries; j++) {
        for (size_t i = 0; i < n_groups; i++)
            sums[j][i] = b->step > 0 ? _mm512_maskz_loadu_epi32(last,
                                               b->out + (q + j) * b->out_stride + (g + i) * LANES)
                                     : _mm512_setzero_si512();
    }
    for (size_t w = 0; w < b->n_words; w++) {
        for (size_t half = 0; half < 2; half++) {
            for (size_t j = 0; j < n_queries; j++) {
                __m512i four = four_of(queries + j * b->padded + half * (b->padded / 2) + w * 4);
                for (size_t i = 0; i < n_groups; i++)
                    sums[j][i] =
                            _mm512_dpbusd_epi32(sums[j][i], panel->words[w][half][g + i], four);
            }
        }
    }
    for (size_t j = 0; j < n_queries; j++) {
        for (size_t i = 0; i < n_groups; i++)
            _mm512_mask_storeu_epi32(
                    b->out + (q + j) * b->out_stride + (g + i) * LANES, last, sums[j][i]);
    }
}

OCH_KERNEL_INLINE void
multiply_panel(const struct block *b, const struct panel *panel)
{
    size_t q = 0, n_groups = (b->n + LANES - 1) / LANES;
    size_t n_tiles = b->n_queries / QUERIES_AT_ONCE, part = b->step * n_tiles;
    size_t n_parts = (b->padded / 2 + STEP - 1) / STEP * n_tiles;
    for (; b->n_queries - q >= QUERIES_AT_ONCE; q += QUERIES_AT_ONCE) {
        och_prefetch_share(b->next, b->stride, b->padded / 2, ROWS_AT_ONCE, part++, n_parts);
        if (b->n == ROWS_AT_ONCE) {
            multiply(b, panel, 0, GROUPS, q, QUERIES_AT_ONCE);
            continue;
        }
        for (size_t g = 0; g < n_groups; g++)
            multiply(b, panel, g, 1, q, QUERIES_AT_ONCE);
    }
    for (; q < b->n_queries; q++) {
        for (size_t g = 0; g < n_groups; g++)
            multiply(b, panel, g, 1, q, 1);
    }
}

/* One or two queries: four rows at once, each read as it lies. */
static void
dot4_few(const int8_t *query, const uint8_t *codes, size_t stride, size_t n, size_t padded,
        int32_t *out)
{
    size_t i = 0;
    for (; n - i >= 4; i += 4) {
        const uint8_t *first = codes + i * stride;
        och_prefetch_share(first + ROWS_AT_ONCE * stride, stride, padded / 2, 4, 0, 1);
        const uint8_t *four[4] = {first, first + stride, first + 2 * stride, first + 3 * stride};
        store_four(out + i, dot4_rows(query, four, padded));
    }
    for (; i < n; i++)
        out[i] = dot4(query, codes + i * stride, padded);
}

static void
dot4_block(const int8_t *queries, size_t n_queries, const uint8_t *codes, size_t stride, size_t n,
        size_t padded, int32_t *out)
{
    struct panel panel;
    size_t half = padded / 2;
    for (size_t q = 0; n_queries < QUERIES_MIN && q < n_queries; q++)
        dot4_few(queries + q * padded, codes, stride, n, padded, out + q * n);
    for (size_t i = 0; n_queries >= QUERIES_MIN && i < n; i += ROWS_AT_ONCE) {
        for (size_t at = 0; at < half; at += STEP) {
            struct block b = {.queries = queries + at,
                    .codes = codes + i * stride + at,
                    .stride = stride,
                    .n = n - i < ROWS_AT_ONCE ? n - i : ROWS_AT_ONCE,
                    .padded = padded,
                    .n_queries = n_queries,
                    .n_words = (half - at < STEP ? half - at : STEP) / 4,
                    .out = out + i,
                    .out_stride = n,
                    .step = at / STEP,
                    .next = codes + (i + ROWS_AT_ONCE) * stride};
            for (size_t g = 0; g * LANES < b.n; g++)
                fill_group(&b, g, &panel);
            multiply_panel(&b, &panel);
        }
    }
}

static uint64_t
bound_block(const struct och_code_weights *weights, const struct och_code_terms *terms,
        const int32_t *dots, size_t n, float limit, float *out)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i += LANES) {
        __mmask16 there = (__mmask16) (n - i < LANES ? (1u << (n - i)) - 1 : 0xffffu);
        __m512 x = _mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(there, dots + i));
        x = _mm512_fmadd_ps(_mm512_set1_ps(weights->step), x, _mm512_set1_ps(weights->offset));
        x = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(there, terms->scale + i), x,
                _mm512_maskz_loadu_ps(there, terms->add + i));
        x = _mm512_fmadd_ps(
                _mm512_maskz_loadu_ps(there, terms->error + i), _mm512_set1_ps(weights->error), x);
        x = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(there, terms->length + i),
                _mm512_set1_ps(weights->length), x);
        x = _mm512_add_ps(x, _mm512_set1_ps(weights->add));
        _mm512_mask_storeu_ps(out + i, there, x);
        __mmask16 in = _mm512_mask_cmp_ps_mask(there, x, _mm512_set1_ps(limit), _CMP_NGT_UQ);
        bits |= (uint64_t) in << i;
    }
    return bits;
}

/* --- 7-bit codes ------------------------------------------------------------------ */

/* 64 elements. */
OCH_KERNEL_INLINE __m512i
products7(__m512i sum, const uint8_t *a, const uint8_t *b)
{
    return _mm512_dpbusd_epi32(sum, load(a), _mm512_sub_epi8(load(b), _mm512_set1_epi8(64)));
}

static int32_t
dot7(const uint8_t *a, const uint8_t *b, size_t padded)
{
    __m512i sum = _mm512_setzero_si512(), other = sum;
    size_t i = 0;
    for (; padded - i >= 128; i += 128) {
        sum = products7(sum, a + i, b + i);
        other = products7(other, a + i + 64, b + i + 64);
    }
    if (i < padded)
        sum = products7(sum, a + i, b + i);
    return _mm512_reduce_add_epi32(_mm512_add_epi32(sum, other));
}

OCH_KERNEL_INLINE __m128i
dot7_rows(const uint8_t *origin, const uint8_t *const rows[4], size_t padded)
{
    const __m512i middle = _mm512_set1_epi8(64);
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (size_t i = 0; i < padded; i += 64) {
        __m512i v = load(origin + i);
        a = _mm512_dpbusd_epi32(a, v, _mm512_sub_epi8(load(rows[0] + i), middle));
        b = _mm512_dpbusd_epi32(b, v, _mm512_sub_epi8(load(rows[1] + i), middle));
        c = _mm512_dpbusd_epi32(c, v, _mm512_sub_epi8(load(rows[2] + i), middle));
        d = _mm512_dpbusd_epi32(d, v, _mm512_sub_epi8(load(rows[3] + i), middle));
    }
    return fold4(a, b, c, d);
}

static void
dot7_gather(const uint8_t *a, const uint8_t *codes, size_t stride, const uint32_t *rows, size_t n,
        size_t padded, int32_t *out)
{
    size_t i = 0, ahead = 0;
    for (; ahead < n && ahead < ROWS_AHEAD; ahead++)
        och_prefetch_code(codes + rows[ahead] * stride, padded);
    for (; n - i >= 4; i += 4) {
        for (size_t end = n - ahead < 4 ? n : ahead + 4; ahead < end; ahead++)
            och_prefetch_code(codes + rows[ahead] * stride, padded);
        const uint8_t *four[4] = {codes + rows[i] * stride, codes + rows[i + 1] * stride,
                codes + rows[i + 2] * stride, codes + rows[i + 3] * stride};
        store_four(out + i, dot7_rows(a, four, padded));
    }
    for (; i < n; i++)
        out[i] = dot7(a, codes + rows[i] * stride, padded);
}

const struct och_code_kernels och_codes_avx512_vnni = {
        .name = "avx512_vnni",
        .dot4_gather = dot4_gather,
        .dot4_block = dot4_block,
        .bound_block = bound_block,
        .dot7 = dot7,
        .dot7_gather = dot7_gather,
};
