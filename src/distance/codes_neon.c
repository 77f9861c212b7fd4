/*
 * NEON: eight products in one instruction, added to 16-bit sums.  A 4-bit product
 * is at most 15 * 127 = 1,905, so sixteen fit a sum before it must be widened; a
 * 7-bit one at most 127 * 64 = 8,128, and four do.
 */
#include <arm_neon.h>

#include "distance/codes.h"
#include "distance/distance_internal.h"

/* Add the sixteen products of a and b, two to each of the eight sums. */
OCH_KERNEL_INLINE int16x8_t
add16(int16x8_t sum, int8x16_t a, int8x16_t b)
{
    return vmlal_high_s8(vmlal_s8(sum, vget_low_s8(a), vget_low_s8(b)), a, b);
}

/* One group of 64: eight products a sum. */
OCH_KERNEL_INLINE int16x8_t
group4(int16x8_t sum, const int8_t *low, const int8_t *high, const uint8_t *code)
{
    uint8x16_t mask = vdupq_n_u8(15);
    for (size_t i = 0; i < 32; i += 16) {
        uint8x16_t both = vld1q_u8(code + i);
        sum = add16(sum, vreinterpretq_s8_u8(vandq_u8(both, mask)), vld1q_s8(low + i));
        sum = add16(sum, vreinterpretq_s8_u8(vshrq_n_u8(both, 4)), vld1q_s8(high + i));
    }
    return sum;
}

OCH_KERNEL_INLINE int32_t
dot4(const int8_t *query, const uint8_t *code, size_t padded)
{
    size_t half = padded / 2;
    int32x4_t sum = vdupq_n_s32(0);
    for (size_t i = 0; i < half; i += 32)
        sum = vpadalq_s16(sum, group4(vdupq_n_s16(0), query + i, query + half + i, code + i));
    return vaddvq_s32(sum);
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

static void
dot4_block(const int8_t *queries, size_t n_queries, const uint8_t *codes, size_t stride, size_t n,
        size_t padded, int32_t *out)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t q = 0; q < n_queries; q++)
            out[q * n + i] = dot4(queries + q * padded, codes + i * stride, padded);
    }
}

static uint64_t
bound_block(const struct och_code_weights *weights, const struct och_code_terms *terms,
        const int32_t *dots, size_t n, float limit, float *out)
{
    static const uint32_t places[4] = {1, 2, 4, 8};
    uint64_t bits = 0;
    size_t i = 0;
    for (; n - i >= 4; i += 4) {
        float32x4_t x = vfmaq_f32(vdupq_n_f32(weights->offset), vdupq_n_f32(weights->step),
                vcvtq_f32_s32(vld1q_s32(dots + i)));
        x = vfmaq_f32(vld1q_f32(terms->add + i), vld1q_f32(terms->scale + i), x);
        x = vfmaq_f32(x, vld1q_f32(terms->error + i), vdupq_n_f32(weights->error));
        x = vfmaq_f32(x, vld1q_f32(terms->length + i), vdupq_n_f32(weights->length));
        x = vaddq_f32(x, vdupq_n_f32(weights->add));
        vst1q_f32(out + i, x);
        uint32x4_t over = vcgtq_f32(x, vdupq_n_f32(limit));
        uint32_t in = 15 - vaddvq_u32(vandq_u32(over, vld1q_u32(places)));
        bits |= (uint64_t) in << i;
    }
    return bits | och_bound_rest(weights, terms, dots, i, n, limit, out);
}

static int32_t
dot7(const uint8_t *a, const uint8_t *b, size_t padded)
{
    int8x16_t middle = vdupq_n_s8(64);
    int32x4_t sum = vdupq_n_s32(0);
    for (size_t i = 0; i < padded; i += 32) {
        int16x8_t part = vdupq_n_s16(0);
        for (size_t j = i; j < i + 32; j += 16)
            part = add16(part, vreinterpretq_s8_u8(vld1q_u8(a + j)),
                    vsubq_s8(vreinterpretq_s8_u8(vld1q_u8(b + j)), middle));
        sum = vpadalq_s16(sum, part);
    }
    return vaddvq_s32(sum);
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

const struct och_code_kernels och_codes_neon = {
        .name = "neon",
        .dot4_gather = dot4_gather,
        .dot4_block = dot4_block,
        .bound_block = bound_block,
        .dot7 = dot7,
        .dot7_gather = dot7_gather,
};
