/*
 * quant.h - vectors as small integers, with an error that is known.
 *
 * A code says roughly where a vector is, in an eighth of its bytes.  It comes
 * with a bound on what it leaves out, so a search can tell for certain which
 * rows need not be looked at.
 *
 *      row x      what is compared: x itself (l2), x / |x| (cosine), or x with
 *                 one coordinate more (ip, below)
 *      r          its residual, rotated: R (x - mean); rotate.h
 *      g          r on a grid: u - 7.5, u in 0..15 (4 bits), or u - 63.5, u in
 *                 0..127 (7 bits)
 *
 *      |x - q|^2  =  |r|^2 + |s|^2 - 2 <r, s>             s = R (q - mean)
 *                ~=  add + |s|^2 + scale * <g, s>         add = |r|^2
 *                                                         scale = -2 |r|^2 / <g, r>
 *
 * The estimate is unbiased over rotations (Gao and Long, "RaBitQ", SIGMOD 2024;
 * Gao et al., "Practical and Asymptotically Optimal Quantization", 2025: several
 * bits).  r - (-scale/2) g is orthogonal to r and `error` is its length,
 * |r| tan(r, g); so by Cauchy and Schwarz, for every query, the estimate is off by
 *
 *      at most    2 error |s|  +  2 |r| / cos * |s - s'|      s': s in 8 bits
 *      usually    2 error |s| * 1.9 / sqrt(padded - 1)        (RaBitQ's bound)
 *
 * plus what floats round.  The first is the *radius* below, the second the
 * *likely radius*.
 *
 * Inner products become distances by one more coordinate, sqrt(M^2 - |x|^2) with
 * M the largest length in the segment: |x' - q'|^2 = M^2 + |q|^2 - 2 <x, q>
 * (Bachrach et al., RecSys 2014), since the query has 0 there.
 *
 * All values that are stored are computed in one order, elementwise or in
 * double, so they are the same on every machine.
 *
 * Threads: a quantizer is constant once made; scratch belongs to one thread.
 */
#ifndef OCH_INDEX_VECTOR_QUANT_H
#define OCH_INDEX_VECTOR_QUANT_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "distance/codes.h"
#include "index/vector/rotate.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_distance_query;
struct och_kernels;
struct och_mem;
struct och_vector_rows;

/* What precedes the elements of a 4-bit code. */
struct och_code4 {
    float add, scale, error;
    uint32_t flags; /* the index's; 0 from here */
};

/* What precedes the elements of a 7-bit code. */
struct och_code7 {
    float norm2; /* |r|^2 */
    float scale; /* |r|^2 / <g, r> */
    int32_t sum; /* of the elements */
    uint32_t reserved;
};

#define OCH_CODE_HEADER ((size_t) 16)

struct och_quant {
    struct och_mem *mem;
    ochre_space space;
    uint32_t dim;    /* of the rows */
    uint32_t padded; /* coordinates after rotation; a multiple of 64 */
    uint64_t seed;
    float longest2; /* M^2, ip only */
    float reach;    /* at least the largest |x| + |mean| of a row */
    float *mean;    /* owned: [padded] */
    struct och_rotation rotation;
    const struct och_kernels *kernels;
    size_t stride4, stride7; /* bytes of a code */
};

/* Is a code possible at all?  Not where squares leave the range of floats. */
#define OCH_QUANT_LENGTH_MAX 1e15F

/* How many coordinates vectors of that dim have when they are coded. */
uint32_t och_quant_padded(ochre_space space, uint32_t dim);
size_t och_quant_stride4(uint32_t padded);

/*
 * A quantizer for rows: their mean and longest.  `stride`-th rows suffice for
 * the mean; all are looked at for the longest.
 *
 * Errors: OCHRE_UNSUPPORTED when a row is too long to be coded; what touching
 *         rows answers; OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_quant_learn(struct och_mem *mem, const struct och_kernels *kernels,
        const struct och_vector_rows *rows, ochre_space space, uint32_t dim, uint64_t seed,
        struct och_quant *quant_out, struct ochre_error *err);

/* A quantizer whose parts are known; `mean` is [padded] and copied. */
OCH_MUST_CHECK ochre_status och_quant_make(struct och_mem *mem, const struct och_kernels *kernels,
        ochre_space space, uint32_t dim, uint64_t seed, const float *mean,
        struct och_quant *quant_out);
void och_quant_clear(struct och_quant *quant); /* a zeroed one is fine */

/* The residual of a row, [padded]; `norm` is the row's, for cosine. */
void och_quant_residual(
        const struct och_quant *quant, const float *row, float norm, float *residual);

/* Codes of a residual. */
void och_quant_encode4(const struct och_quant *quant, const float *residual, uint8_t *code);
void och_quant_encode7(const struct och_quant *quant, const float *residual, uint8_t *code);

/* A query, ready to be compared with codes. */
struct och_quant_query {
    const int8_t *elements;          /* [padded], as distance/codes.h wants them */
    float base;                      /* |s|^2 */
    float step;                      /* of an element */
    float offset;                    /* 7.5 * step * sum of elements */
    float length;                    /* |s| */
    float lost;                      /* |s - s'| */
    float unlikely;                  /* likely radius = error * unlikely */
    float from_estimate[2];          /* collection's distance = [0] + [1] * squared distance */
    float rounding;                  /* what floats round, in squared distance, of unit lengths; */
    float rounding_fixed;            /* and whatever the row's length */
    struct och_code_weights weights; /* of the lower bound, below */
};

/* Prepare a query; `elements` and `scratch` are the caller's, [padded] each. */
void och_quant_query_init(const struct och_quant *quant, const struct och_distance_query *query,
        int8_t *elements, float *scratch, struct och_quant_query *query_out);

static inline float
och_quant_estimate(const struct och_quant_query *query, const struct och_code4 *code, int32_t dot)
{
    return query->base + code->add + code->scale * (query->step * (float) dot - query->offset);
}

/* The true squared distance is within this of the estimate, for certain. */
static inline float
och_quant_radius(const struct och_quant_query *query, const struct och_code4 *code)
{
    float length = sqrtf(code->add + code->error * code->error); /* |r| / cos */
    float all = length + query->length;
    return 2.0F * (code->error * query->length + length * query->lost) +
            query->rounding * all * all + query->rounding_fixed;
}

/*
 * Estimate less radius, for many rows at once: with the terms of a row and the
 * weights of a query, bound_block of distance/codes.h answers a number that the
 * true squared distance does not fall below.
 */
void och_quant_terms(const struct och_quant *quant, const uint8_t *codes, const uint32_t *rows,
        size_t n, struct och_code_terms *terms_out);

/* A row as a query, from its 7-bit code, for estimates by 4-bit ones: prepared but
 * for what bounds need.  `elements` is the caller's, [padded]. */
void och_quant_query_from7(const struct och_quant *quant, const uint8_t *code7, int8_t *elements,
        struct och_quant_query *query_out);

/* Squared distance between two rows from their 7-bit codes; >= 0. */
static inline float
och_quant_between(const struct och_quant *quant, const struct och_code7 *a,
        const struct och_code7 *b, int32_t dot7)
{
    /* <g_a, g_b> = sum a b - 63.5 (sum a + sum b) + 63.5^2 n, and dot7 is
     * sum a b - 64 sum a: exact in halves, as integers. */
    int32_t twice = 2 * dot7 + a->sum - 127 * b->sum;
    float grid = 0.5F * (float) twice + 4032.25F * (float) quant->padded;
    float d = a->norm2 + b->norm2 - 2.0F * a->scale * b->scale * grid;
    return d > 0 ? d : 0;
}

#endif /* OCH_INDEX_VECTOR_QUANT_H */
