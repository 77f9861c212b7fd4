/*
 * rotate.h - a random rotation that costs O(n log n).
 *
 * Coordinates of embeddings are uneven: some vary much, most little.  After a
 * random rotation each carries about as much as any other, whatever the data,
 * so that few bits a coordinate suffice and their error is known.  Four rounds of
 *
 *      flip the sign of random coordinates
 *      Walsh-Hadamard transform of the largest power of two of them:
 *          the first ones in even rounds, the last ones in odd rounds
 *      where n is no power of two: (a + b, a - b) / sqrt(2) of the two halves
 *
 * keep lengths and angles (each step is orthogonal) and stand in for a random
 * orthogonal matrix (Andoni et al., "Practical and Optimal LSH for Angular
 * Distance", 2015; the halves are ours, after the Kac walk).  Every step adds
 * or multiplies elements one by one, so all machines round alike.
 *
 * Threads: a rotation is constant once made.
 */
#ifndef OCH_INDEX_VECTOR_ROTATE_H
#define OCH_INDEX_VECTOR_ROTATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_mem;

struct och_rotation {
    struct och_mem *mem; /* borrowed */
    size_t n;            /* coordinates; a multiple of 64 */
    size_t n_power;      /* the largest power of two that is not more */
    float *signs;        /* owned: [4][n], 1 or -1 */
};

/* A rotation of n coordinates that depends on the seed alone. */
OCH_MUST_CHECK ochre_status och_rotation_make(
        struct och_mem *mem, size_t n, uint64_t seed, struct och_rotation *rotation_out);
void och_rotation_clear(struct och_rotation *rotation); /* a zeroed one is fine */

/* Rotate `v`, [n], in place. */
void och_rotate(const struct och_rotation *rotation, float *v);

#endif /* OCH_INDEX_VECTOR_ROTATE_H */
