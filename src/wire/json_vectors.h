/*
 * json_vectors.h - arrays of vectors, straight into one run of floats.
 *
 *      [[0.1, 2], [3, 4]]           arrays of numbers, or
 *      ["zczMPQAAAEA=", "..."]      base64 of little-endian floats, never both
 *      [null, [3, 4]]               with gaps, in an update
 *
 * This is the hot path of ingest: no tree, no copy; numbers are rounded once,
 * into their place.  After the first vector the room for the others is guessed
 * from how many are to come, or how much text is left.
 *
 * Of what is wrong, shapes are reported at once.  The rest waits for the
 * collection to be found: text that is not base64 of finite floats, and then
 * vectors that are empty or hold a number beyond the floats.
 *
 * Threads: any; no state.
 */
#ifndef OCH_WIRE_JSON_VECTORS_H
#define OCH_WIRE_JSON_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_body;

struct och_vectors {
    /* What may be there: */
    bool base64, nulls, empty;
    size_t n_expected; /* how many are likely to come; 0: not known */
    /* What was there, in the body's arena: */
    float *floats;  /* one vector after the other; never NULL */
    uint32_t *dims; /* [n]: each one's length; 0 for a null */
    size_t n;
    size_t n_floats;
    struct ochre_error bad_text, bad_number; /* the first of each, to be reported later */
    /* Private: */
    size_t room;
};

/* Read the array at hand to its end.  The first four fields are set. */
OCH_MUST_CHECK ochre_status och_vectors_read(
        struct och_body *body, struct och_vectors *vectors, struct ochre_error *err);

/* The length all vectors have, if they have one and there is no gap; else 0. */
uint32_t och_vectors_common_dim(const struct och_vectors *vectors);

#endif /* OCH_WIRE_JSON_VECTORS_H */
