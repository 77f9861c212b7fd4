/*
 * shape.h - read typed values out of a JSON tree, and say where one is wrong.
 *
 * The wire tells two kinds of bad values apart (http 400 and 422), and a person
 * wants to know which of many fields is meant.  So a reader of a request object
 * walks its members in the order in which they were written, through an
 * och_walk that knows the field names, and hands each value on with its place:
 *
 *      configuration.hnsw.ef_search is -1; it must be a whole number from 0 to ...
 *      └── place ──┴──┴── each step on the stack of the function that reads there
 *
 * Errors: OCHRE_SHAPE (422) for a wrong type, a missing field, an unknown field
 * of a strict object, a field given twice, an unknown word; OCHRE_INVALID (400)
 * for what cannot hold a word where a word is wanted.
 *
 * Threads: any; no state but the caller's.
 */
#ifndef OCH_API_SHAPE_H
#define OCH_API_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_json;

/* One step of the path from the request's root to a value. */
struct och_place {
    const struct och_place *parent; /* borrowed; NULL at the root */
    struct ochre_bytes name;
};

/* A walk over an object's members in the order in which they were written. */
struct och_walk {
    const struct och_place *place;
    const struct och_json *next;
    const char *const *names; /* fields, at most 32 */
    uint32_t allowed;         /* bits of the names that may occur here */
    uint32_t seen;            /* bits of those met so far */
    bool strict;              /* other members are errors, not ignored */
    bool aliases;             /* "#name" means "name" */
};

/* Begin to walk `json`, which must be an object. */
OCH_MUST_CHECK ochre_status och_shape_begin(
        struct och_walk *walk, const struct och_json *json, struct ochre_error *err);

/* The next known member and its field's number; NULL after the last. */
OCH_MUST_CHECK ochre_status och_shape_next(struct och_walk *walk,
        const struct och_json **member_out, unsigned *field_out, struct ochre_error *err);

OCH_MUST_CHECK ochre_status och_shape_bool(const struct och_place *place,
        const struct och_json *json, bool *value_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_shape_number(const struct och_place *place,
        const struct och_json *json, double *value_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_shape_string(const struct och_place *place,
        const struct och_json *json, struct ochre_bytes *value_out, struct ochre_error *err);

/* A whole number from 0 to `max`, which is UINT32_MAX or UINT64_MAX. */
OCH_MUST_CHECK ochre_status och_shape_natural(const struct och_place *place,
        const struct och_json *json, uint64_t max, uint64_t *value_out, struct ochre_error *err);

/* One of `n` words, by its number. */
OCH_MUST_CHECK ochre_status och_shape_word(const struct och_place *place,
        const struct och_json *json, const char *const words[], unsigned n, unsigned *word_out,
        struct ochre_error *err);

/* "PLACE is VALUE; it must be WANTED".  These three return an error status. */
ochre_status och_shape_refuse(const struct och_place *place, const struct och_json *json,
        const char *wanted, ochre_status status, struct ochre_error *err);
ochre_status och_shape_refuse_missing(
        const struct och_place *place, const char *name, struct ochre_error *err);
ochre_status och_shape_refuse_field(
        const struct och_walk *walk, struct ochre_bytes key, struct ochre_error *err);

#endif /* OCH_API_SHAPE_H */
