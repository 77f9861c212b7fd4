/*
 * json_metadata.h - metadata objects: which JSON value is which type.
 *
 *      true, false              bool
 *      integer within i64       int
 *      any other number         float
 *      string                   string
 *      array of one of these    list (integers beside floats make a float list)
 *      null                     remove the key, where that is allowed
 *      {"indices", "values"}    sparse vector
 *
 * Anything else has the wrong shape.  What has a right shape but cannot be kept
 * is not an error of the shape: it is noted, for the caller to report when its
 * turn comes.
 *
 * Threads: any; no state.
 */
#ifndef OCH_WIRE_JSON_METADATA_H
#define OCH_WIRE_JSON_METADATA_H

#include <stdbool.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_body;
struct och_json;

/* What may be in it, and what was noted.  Each note keeps its first error. */
struct och_metadata_rules {
    bool nulls;                     /* null is allowed */
    bool scalars_only;              /* lists and sparse vectors are noted as invalid */
    struct ochre_error invalid;     /* a malformed sparse vector, an empty list, ... */
    struct ochre_error unsupported; /* a well-formed sparse vector */
};

/* Read the object at hand, which the body's place names, to its end. */
OCH_MUST_CHECK ochre_status och_metadata_read(struct och_body *body,
        struct och_metadata_rules *rules, struct ochre_metadata *metadata_out,
        struct ochre_error *err);

/* Is this tree a sparse vector's, sound or not? */
bool och_sparse_has_shape(const struct och_json *object);

/* What is wrong with a sparse vector, as words to follow its place; NULL: nothing. */
const char *och_sparse_problem(const struct och_json *object);

#endif /* OCH_WIRE_JSON_METADATA_H */
