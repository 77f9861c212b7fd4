/*
 * tail.h - codes of rows that have come lately and are in no file yet.
 *
 * Looking at all vectors of a growing end costs what the memory bus takes for
 * them.  A byte an element says which rows cannot be among the nearest; the others
 * are measured, so what is found is what och_flat_search finds without codes, ties
 * included.  Encoding must cost next to nothing, because it is part of a write:
 * each row has a step of its own, and there is neither mean nor rotation.
 *
 *      row x      x' = step * c      c in -63..63, stored as c + 64
 *                 error = |x - x'|
 *
 *      <q, x>     at most <q', x'> + |q| error + |q - q'| |x|     (Cauchy and Schwarz)
 *
 * and for what floats round, a share of |q| |x| that grows with the dimension.
 *
 *      codes      | row 0: `stride` bytes | row 1 | ...
 *      steps, errors, lengths, sums   one number a row, each in an array
 *
 * Threads: one writer; readers concurrently, of rows that were there before.
 */
#ifndef OCH_INDEX_VECTOR_TAIL_H
#define OCH_INDEX_VECTOR_TAIL_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_topk;
struct och_vector_rows;
struct och_vector_search;
struct och_vector_work;

/* Borrowed: all of it lies in one block of the caller's (och_tail_place). */
struct och_tail {
    uint8_t *codes; /* [rows][stride]; 64-byte aligned */
    size_t stride;  /* the dimension, up to a multiple of 64; 0: no codes */
    float *steps;   /* of a level */
    float *errors;  /* no less than |x - x'|; INFINITY: not to be coded, always measured */
    float *lengths; /* no less than |x| and |x'|; 0 with an infinite error */
    int32_t *sums;  /* 64 times the sum of the levels */
};

/* Bytes that a row takes. */
size_t och_tail_row_size(uint32_t dim);

/* Use n_rows * och_tail_row_size(dim) bytes at `block`, which is 64-byte aligned. */
void och_tail_place(struct och_tail *tail, void *block, uint32_t dim, uint32_t n_rows);

/* Encode row `row`; a constant few bytes a nanosecond.  Vectors are finite. */
void och_tail_encode(const struct och_tail *tail, uint32_t row, const float *vector, uint32_t dim);

/*
 * och_flat_search through the codes that rows->tail has.  rows->touch is NULL: they are in
 * memory.  Queries that cannot be coded are answered without.
 *
 * Errors: OCHRE_NO_MEMORY from search->scratch.
 */
OCH_MUST_CHECK ochre_status och_tail_search(const struct och_vector_rows *rows,
        const struct och_vector_search *search, struct och_topk *best, struct och_vector_work *work,
        struct ochre_error *err);

#endif /* OCH_INDEX_VECTOR_TAIL_H */
