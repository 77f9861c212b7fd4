/*
 * AVX2: 32 products in one instruction, added in pairs to 16 bits.  A pair of
 * 4-bit products is at most 2 * 15 * 127 = 3,810, so eight pairs fit 16 bits
 * before they must be widened; of 7-bit ones two do.
 */
#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

#include "distance/codes.h"
#include "distance/distance_internal.h"

/* Groups of 64 elements whose pairs of 4-bit products fit 16 bits: two pairs a
 * group, four groups. */
enum { GROUPS_AT_ONCE = 4 };

enum {
    STEP = 32,         /* bytes of 4-bit codes in a register */
    LANES = 8,         /* rows side by side */
    WORDS = STEP / 4,  /* fours of elements, of either half, in STEP bytes */
    WORDS_AT_ONCE = 4, /* whose pairs of products fit 16 bits, both halves */
    TILE_ROWS = 2,     /* registers of rows against so many queries at once */
    TILE_QUERIES = 4,
    PANEL_ROWS = 64, /* transposed at once, for all queries */
};

OCH_KERNEL_INLINE __m256i
load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *) p);
}

OCH_KERNEL_INLINE void
store(void *p, __m256i v)
{
    _mm256_storeu_si256(p, v);
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

/*
 * A block of rows against many queries.  Codes are unpacked and transposed once,
 * PANEL_ROWS rows and STEP bytes at a time, into a panel whose registers have a
 * row in each lane:
 *
 *      words[w][0][g], lane l      elements 4 w .. 4 w + 3 of the lower half of
 *                                  row 8 g + l
 *      words[w][1][g]              of the upper half
 *
 * so four elements of a query, broadcast, are multiplied by eight rows at once,
 * and sums lie in `out` as they are wanted.
 */
struct panel {
    __m256i words[WORDS][2][PANEL_ROWS / LANES];
};

/* What is multiplied: n_queries is a multiple of TILE_QUERIES, n of tiles' rows. */
struct block {
    const int8_t *queries; /* from the step's first element in the lower half */
    const uint8_t *codes;
    size_t stride, n, padded, n_queries;
    int32_t *out;
    size_t out_stride; /* from query to query */
    bool again;        /* add to what is there */
};

/* Sixteen bytes of rows k and k + 4. */
OCH_KERNEL_INLINE __m256i
load_two(const uint8_t *codes, size_t stride, size_t k)
{
    const void *low = codes + k * stride, *high = codes + (k + 4) * stride;
    return _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128(low)), _mm_loadu_si128(high), 1);
}

OCH_KERNEL_INLINE void
put_word(struct panel *panel, size_t w, size_t g, __m256i code)
{
    __m256i mask = _mm256_set1_epi8(15);
    panel->words[w][0][g] = _mm256_and_si256(code, mask);
    panel->words[w][1][g] = _mm256_and_si256(_mm256_srli_epi16(code, 4), mask);
}

OCH_KERNEL_INLINE void
fill_group(const struct block *b, size_t g, struct panel *panel)
{
    const uint8_t *codes = b->codes + g * LANES * b->stride;
    for (size_t w = 0; w < WORDS; w += 4, codes += 16) {
        __m256i r0 = load_two(codes, b->stride, 0), r1 = load_two(codes, b->stride, 1);
        __m256i r2 = load_two(codes, b->stride, 2), r3 = load_two(codes, b->stride, 3);
        __m256i low01 = _mm256_unpacklo_epi32(r0, r1), high01 = _mm256_unpackhi_epi32(r0, r1);
        __m256i low23 = _mm256_unpacklo_epi32(r2, r3), high23 = _mm256_unpackhi_epi32(r2, r3);
        put_word(panel, w, g, _mm256_unpacklo_epi64(low01, low23));
        put_word(panel, w + 1, g, _mm256_unpackhi_epi64(low01, low23));
        put_word(panel, w + 2, g, _mm256_unpacklo_epi64(high01, high23));
        put_word(panel, w + 3, g, _mm256_unpackhi_epi64(high01, high23));
    }
}

OCH_KERNEL_INLINE __m256i
four_of(const int8_t *query)
{
    int32_t four;
    memcpy(&four, query, sizeof(four));
    return _mm256_set1_epi32(four);
}

/* One tile and WORDS_AT_ONCE words from w on. */
OCH_KERNEL_INLINE void
multiply(const struct block *b, const struct panel *panel, size_t g, size_t q, size_t w)
{
    __m256i pairs[TILE_QUERIES][TILE_ROWS];
    for (size_t j = 0; j < TILE_QUERIES; j++) {
        for (size_t i = 0; i < TILE_ROWS; i++)
            pairs[j][i] = _mm256_setzero_si256();
    }
    for (size_t end = w + WORDS_AT_ONCE, at = w; at < end; at++) {
        for (size_t half = 0; half < 2; half++) {
            const int8_t *query = b->queries + q * b->padded + half * (b->padded / 2) + at * 4;
            for (size_t j = 0; j < TILE_QUERIES; j++) {
                __m256i four = four_of(query + j * b->padded);
                for (size_t i = 0; i < TILE_ROWS; i++)
                    pairs[j][i] = _mm256_add_epi16(
                            pairs[j][i], _mm256_maddubs_epi16(panel->words[at][half][g + i], four));
            }
        }
    }
    for (size_t j = 0; j < TILE_QUERIES; j++) {
        for (size_t i = 0; i < TILE_ROWS; i++) {
            int32_t *out = b->out + (q + j) * b->out_stride + (g + i) * LANES;
            __m256i sum = b->again || w > 0 ? load(out) : _mm256_setzero_si256();
            store(out, widen(sum, pairs[j][i]));
        }
    }
}

static void
multiply_rows(struct block *b)
{
    struct panel panel;
    const int8_t *queries = b->queries;
    const uint8_t *codes = b->codes, *next = codes + PANEL_ROWS * b->stride;
    size_t n_parts = b->padded / 2 / STEP * (b->n_queries / TILE_QUERIES), part = 0;
    for (size_t at = 0; at < b->padded / 2; at += STEP) {
        b->queries = queries + at;
        b->codes = codes + at;
        b->again = at > 0;
        for (size_t g = 0; g * LANES < b->n; g++)
            fill_group(b, g, &panel);
        for (size_t q = 0; q < b->n_queries; q += TILE_QUERIES) {
            och_prefetch_share(next, b->stride, b->padded / 2, PANEL_ROWS, part++, n_parts);
            for (size_t g = 0; g * LANES < b->n; g += TILE_ROWS) {
                for (size_t w = 0; w < WORDS; w += WORDS_AT_ONCE)
                    multiply(b, &panel, g, q, w);
            }
        }
    }
}

/* What tiles leave over: some rows against some queries, two by two. */
static void
dot4_rest(const struct block *b)
{
    size_t q = 0;
    for (; b->n_queries - q >= 2; q += 2) {
        const int8_t *query = b->queries + q * b->padded;
        int32_t *out = b->out + q * b->out_stride;
        size_t i = 0;
        for (; b->n - i >= 2; i += 2) {
            const uint8_t *code = b->codes + i * b->stride;
            int32_t sums[4];
            dot4_two(query, code, code + b->stride, b->padded, sums);
            out[i] = sums[0];
            out[i + 1] = sums[1];
            out[b->out_stride + i] = sums[2];
            out[b->out_stride + i + 1] = sums[3];
        }
        for (; i < b->n; i++) {
            out[i] = dot4(query, b->codes + i * b->stride, b->padded);
            out[b->out_stride + i] = dot4(query + b->padded, b->codes + i * b->stride, b->padded);
        }
    }
    for (; q < b->n_queries; q++) {
        for (size_t i = 0; i < b->n; i++)
            b->out[q * b->out_stride + i] =
                    dot4(b->queries + q * b->padded, b->codes + i * b->stride, b->padded);
    }
}

static void
dot4_block(const int8_t *queries, size_t n_queries, const uint8_t *codes, size_t stride, size_t n,
        size_t padded, int32_t *out)
{
    size_t tiled_rows = n - n % ((size_t) TILE_ROWS * LANES);
    size_t tiled_queries = n_queries - n_queries % TILE_QUERIES;
    const struct block all = {.queries = queries,
            .codes = codes,
            .stride = stride,
            .n = n,
            .padded = padded,
            .n_queries = n_queries,
            .out_stride = n};
    for (size_t i = 0; i < tiled_rows && tiled_queries > 0; i += PANEL_ROWS) {
        struct block tiled = all;
        tiled.n_queries = tiled_queries;
        tiled.n = tiled_rows - i < PANEL_ROWS ? tiled_rows - i : PANEL_ROWS;
        tiled.codes += i * stride;
        tiled.out = out + i;
        multiply_rows(&tiled);
    }
    struct block rest = all; /* the last rows against tiled queries */
    rest.n_queries = tiled_queries;
    rest.n -= tiled_rows;
    rest.codes += tiled_rows * stride;
    rest.out = out + tiled_rows;
    dot4_rest(&rest);
    rest = all; /* all rows against the last queries */
    rest.queries += tiled_queries * padded;
    rest.n_queries -= tiled_queries;
    rest.out = out + tiled_queries * n;
    dot4_rest(&rest);
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
