/*
 * codes.h - integer products of quantized vectors.
 *
 * A code is a vector whose elements are small integers, 4 or 7 bits each.  What
 * the integers mean is not known here (index/vector/quant.h): these kernels
 * multiply and add, and integers add alike in any order, so all instruction sets
 * give equal results.
 *
 *      code4   blocks of 64 elements in 32 bytes: byte j of a block holds element
 *              j in its lower half and element 32 + j in its upper half
 *      code7   one byte an element, 0 to 127
 *      query   s8, -127 to 127, in the order in which code4 is unpacked: the lower
 *              halves of all blocks, then the upper halves
 *
 * Lengths are multiples of 64.  Codes need no alignment and are not read past
 * their end.  No product overflows: 7-bit elements are the widest for which two
 * products fit the 16 bits that x86 adds them in (127 * 64 * 2 = 16,256).
 *
 * Threads: any; no state.
 */
#ifndef OCH_DISTANCE_CODES_H
#define OCH_DISTANCE_CODES_H

#include <stddef.h>
#include <stdint.h>

/* Elements are coded in groups of so many. */
#define OCH_CODE_GROUP ((size_t) 64)

/* Rows that bound_block looks at together: one bit each. */
#define OCH_CODE_BLOCK ((size_t) 64)

/* Four numbers of each row, and five of a query, for bound_block. */
struct och_code_terms {
    float add[OCH_CODE_BLOCK], scale[OCH_CODE_BLOCK];
    float error[OCH_CODE_BLOCK], length[OCH_CODE_BLOCK];
};

struct och_code_weights {
    float step, offset, error, length, add;
};

struct och_code_kernels {
    const char *name;

    /* Sum of code[i] * query[i], for rows of `codes`, which are `stride` bytes
     * apart: out[i] belongs to rows[i].  `padded` is the number of elements. */
    void (*dot4_gather)(const int8_t *query, const uint8_t *codes, size_t stride,
            const uint32_t *rows, size_t n, size_t padded, int32_t *out);

    /* The same for n rows one after the other and several queries, which lie
     * `padded` apart: out[q * n + i]. */
    void (*dot4_block)(const int8_t *queries, size_t n_queries, const uint8_t *codes, size_t stride,
            size_t n, size_t padded, int32_t *out);

    /*
     * What n <= OCH_CODE_BLOCK products mean, by fused multiply-add from the inside:
     *
     *      out[i] = terms.add[i] + scale[i] * (offset + step * dots[i])
     *               + error[i] * weights.error + length[i] * weights.length + weights.add
     *
     * Bit i of the answer is 0 where that is larger than `limit`.
     */
    uint64_t (*bound_block)(const struct och_code_weights *weights,
            const struct och_code_terms *terms, const int32_t *dots, size_t n, float limit,
            float *out);

    /* Sum of a[i] * (b[i] - 64) over 7-bit codes. */
    int32_t (*dot7)(const uint8_t *a, const uint8_t *b, size_t padded);

    /* The same for one `a` against rows of `codes`. */
    void (*dot7_gather)(const uint8_t *a, const uint8_t *codes, size_t stride, const uint32_t *rows,
            size_t n, size_t padded, int32_t *out);
};

extern const struct och_code_kernels och_codes_scalar;
extern const struct och_code_kernels och_codes_avx2;
extern const struct och_code_kernels och_codes_avx512_vnni;
extern const struct och_code_kernels och_codes_neon;

#endif /* OCH_DISTANCE_CODES_H */
