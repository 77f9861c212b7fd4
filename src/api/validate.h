/*
 * validate.h - rules shared by several verbs, checked before anything is logged.
 *
 * Threads: any; no state.
 */
#ifndef OCH_API_VALIDATE_H
#define OCH_API_VALIDATE_H

#include "api/ops.h"
#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_collection;

/*
 * The collection a target names, for use; release it.
 *
 * Errors: OCHRE_NOT_FOUND "Collection [...] does not exist." also when it is
 * there under another tenant or database: nothing tells that it exists.
 */
OCH_MUST_CHECK ochre_status och_validate_target(struct ochre_db *db,
        const struct och_target *target, struct och_collection **collection_out,
        struct ochre_error *err);

/* Return `deferred` as if it had been found here. */
ochre_status och_validate_deferred(const struct ochre_error *deferred, struct ochre_error *err);

/* A record's or collection's metadata: keys and limits.  `what` begins the
 * message: "metadatas: Invalid metadata at index 3". */
OCH_MUST_CHECK ochre_status och_validate_metadata(
        const struct ochre_metadata *metadata, const char *what, struct ochre_error *err);

/* A recall target that was given: a number above 0 and at most 1. */
OCH_MUST_CHECK ochre_status och_validate_recall_target(
        const char *field, double value, struct ochre_error *err);

/* The number as the engine takes it: positive, however small it is. */
float och_recall_target_of(double value);

/* Everything about a write that does not need the collection's state, in the
 * order of the wire.  The vectors' common length is put into *dim_out (0: no
 * vectors). */
OCH_MUST_CHECK ochre_status och_validate_records(const struct och_write_input *input,
        enum och_write_op op, uint32_t collection_dim, uint32_t *dim_out, struct ochre_error *err);

#endif /* OCH_API_VALIDATE_H */
