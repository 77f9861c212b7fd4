/*
 * distance.h - how far apart two f32 vectors are.
 *
 *      l2      sum (a-b)^2            no square root
 *      dot     sum a*b                ip = 1 - dot; cosine = 1 - dot / (|a||b|)
 *      norm2   sum a*a
 *
 * Canonical sum.  Every kernel adds in the same order, so results are equal
 * bit for bit on every instruction set: element i goes to lane i mod 64 (four
 * accumulators of sixteen lanes) by fused multiply-add, missing elements of the
 * last group count as zero; then accumulators add as (0+1)+(2+3), and the
 * sixteen lanes fold by halves: l+8, l+4, l+2, l+1.  The error against exact
 * arithmetic is to first order at most (ceil(dim/64) + 6) * 2^-24 times the sum
 * of absolute terms (Higham 2002, section 4.2), with 2 more for the differences
 * of l2, as long as nothing overflows or underflows.
 *
 * Vectors are finite.  Rows are contiguous, `dim` floats apart, and need no
 * alignment beyond a float's.  Nothing outside them is read.
 *
 * Threads: any; kernels have no state.
 */
#ifndef OCH_DISTANCE_DISTANCE_H
#define OCH_DISTANCE_DISTANCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/cpu_sets.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_code_kernels;

/* One instruction set's kernels. */
struct och_kernels {
    const char *name; /* "scalar", "avx2", "avx512", "avx512_vnni", "neon" */
    float (*l2)(const float *a, const float *b, size_t dim);
    float (*dot)(const float *a, const float *b, size_t dim);
    /* One query against n contiguous rows: out[i] as l2/dot(query, row i). */
    void (*l2_rows)(const float *query, const float *rows, size_t n, size_t dim, float *out);
    void (*dot_rows)(const float *query, const float *rows, size_t n, size_t dim, float *out);
    const struct och_code_kernels *codes; /* and its products of quantized vectors */
};

/* No build has more sets of kernels. */
#define OCH_KERNEL_SETS_MAX ((size_t) 6)

/*
 * The widest kernels for `cpu`.  `wanted` names a set to use instead; NULL or a set
 * this processor lacks is ignored.
 */
const struct och_kernels *och_kernels_choose(struct och_cpu_sets cpu, const char *wanted);

/*
 * The set named `wanted`, or the best when that is NULL.
 *
 * Errors: OCHRE_INVALID when there is none of that name that `cpu` can run: the
 * message names `setting`, what was wanted and what there is.
 */
OCH_MUST_CHECK ochre_status och_kernels_want(struct och_cpu_sets cpu, const char *setting,
        const char *wanted, const struct och_kernels **kernels_out, struct ochre_error *err);

/*
 * The set that is the fastest on this processor, as a clock of nanoseconds tells:
 * the widest one, unless another does the same work in 5 % less time.  Takes less
 * than half a millisecond; to be called once, at start.
 */
const struct och_kernels *och_kernels_fastest(
        struct och_cpu_sets cpu, uint64_t (*now_ns)(void *context), void *context);

/* All sets compiled in that `cpu` can run, the slowest ("scalar") first; for tests. */
size_t och_kernels_all(
        struct och_cpu_sets cpu, const struct och_kernels *sets[OCH_KERNEL_SETS_MAX]);

/*
 * |v|: the root of the canonical norm2 where that neither overflows nor
 * underflows in f32, otherwise summed in double, so that components near 1e20
 * and 1e-30 are right.  It is 0 for a vector of zeros alone, and INFINITY where
 * the norm itself is past FLT_MAX (och_distance_rows knows what to do then).
 */
float och_vector_norm(const struct och_kernels *kernels, const float *v, size_t dim);

/*
 * The collection's distance from `query` to each of n rows.
 *
 * For cosine, `norms` holds each row's och_vector_norm and `query_norm` the
 * query's; they are ignored otherwise and may be NULL and 0.  A zero vector is
 * at cosine distance 1 from everything.
 *
 * Never NaN, as long as the vectors are finite; infinite only where l2 or ip
 * itself is past FLT_MAX.  Where the canonical dot product overflows, or a
 * product of norms is too large or too small to vouch for it, cosine and ip are
 * summed again in double; that happens on the same rows and gives the same bits
 * on every instruction set too.
 *
 * Cosine is rounded, not clamped: a vector is within 2e-7 of 0 from itself, on
 * either side, and its multiples are as near.
 */
struct och_distance_query {
    const struct och_kernels *kernels;
    ochre_space space;
    const float *query;
    float query_norm;
    size_t dim;
};

void och_distance_query_init(struct och_distance_query *q, const struct och_kernels *kernels,
        ochre_space space, const float *query, size_t dim);

void och_distance_rows(const struct och_distance_query *q, const float *rows, const float *norms,
        size_t n, float *out);

#endif /* OCH_DISTANCE_DISTANCE_H */
