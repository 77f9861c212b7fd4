/*
 * distance_internal.h - the instruction sets compiled into this build.
 *
 * Which kernel files are compiled is the build's choice (CMakeLists.txt), so
 * each family of processors has its own short file with the table below, and
 * no other file needs to know what it is being compiled for.
 *
 * Threads: constants only.
 */
#ifndef OCH_DISTANCE_DISTANCE_INTERNAL_H
#define OCH_DISTANCE_DISTANCE_INTERNAL_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "distance/codes.h"
#include "distance/distance.h"

/* A sum has 4 accumulators of 16 lanes; a group is one element for each lane. */
enum {
    OCH_GROUP_SIZE = 64,
    OCH_GROUP_LANES = 16,
};

/* What a kernel sums.  A constant at every call, so it costs no branch. */
enum och_measure { OCH_MEASURE_L2, OCH_MEASURE_DOT };

/*
 * The bodies of kernels are written once for both measures and several row
 * counts; they must melt into their callers for the sums to stay in registers.
 */
#define OCH_KERNEL_INLINE static inline __attribute__((always_inline))

/* Rows of codes that are asked for before they are needed: they lie anywhere, and
 * no processor guesses where. */
enum { OCH_LOOK_AHEAD = 5 };

OCH_KERNEL_INLINE void
och_prefetch_code(const unsigned char *code, size_t size)
{
    /* The 16 bytes before the elements are wanted next. */
    for (const unsigned char *line = code - 16; line < code + size; line += 64)
        __builtin_prefetch(line);
}

/* The same for one of n_parts shares of the rows that follow a block: scans go on
 * there, and what the processor guesses by itself comes late.  No address is wrong
 * to ask for. */
OCH_KERNEL_INLINE void
och_prefetch_share(const unsigned char *codes, size_t stride, size_t size, size_t n_rows,
        size_t part, size_t n_parts)
{
    for (size_t i = n_rows * part / n_parts; i < n_rows * (part + 1) / n_parts; i++)
        och_prefetch_code(codes + i * stride, size);
}

/* Rows i to n - 1 of a block (bound_block in codes.h): the reference, and what is
 * left over by whole registers. */
OCH_KERNEL_INLINE uint64_t
och_bound_rest(const struct och_code_weights *weights, const struct och_code_terms *terms,
        const int32_t *dots, size_t i, size_t n, float limit, float *out)
{
    uint64_t bits = 0;
    for (; i < n; i++) {
        float x = fmaf(weights->step, (float) dots[i], weights->offset);
        x = fmaf(terms->scale[i], x, terms->add[i]);
        x = fmaf(terms->error[i], weights->error, x);
        x = fmaf(terms->length[i], weights->length, x);
        out[i] = x + weights->add;
        bits |= (uint64_t) !(out[i] > limit) << i;
    }
    return bits;
}

/* A set of kernels and what a processor must have to run it. */
struct och_kernel_set {
    const struct och_kernels *kernels;
    struct och_cpu_sets needs;
};

/* From the slowest, which every processor runs, to the fastest; sets_*.c. */
extern const struct och_kernel_set och_kernel_sets[];
extern const size_t och_n_kernel_sets;

extern const struct och_kernels och_kernels_scalar;
extern const struct och_kernels och_kernels_avx2;
extern const struct och_kernels och_kernels_avx512;
extern const struct och_kernels och_kernels_avx512_vnni;
extern const struct och_kernels och_kernels_neon;

#endif /* OCH_DISTANCE_DISTANCE_INTERNAL_H */
