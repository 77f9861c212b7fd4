/*
 * json_read.h - the bodies of get, query and delete.
 *
 *      get     {"ids", "where", "where_document", "limit", "offset", "include",
 *               "as_of", "cursor"}
 *      query   {"query_embeddings", "n_results", "ids", "where",
 *               "where_document", "include",
 *               "exact", "recall_target", "effort", "explain", "as_of"}
 *      delete  {"ids", "where", "where_document", "limit"}
 *
 * All but query_embeddings may be left out, all but it and include may be null.
 * Ours are the last two of a get: of what position, and whether, and behind what page;
 * and the last five of a query: how hard to look, whether to say how it was done,
 * and of what position.  A wrong value of theirs is OCHRE_INVALID.
 * A filter that breaks the grammar is not an error yet: the collection is looked
 * up first, so it comes back as the selection's `deferred`.
 *
 * Everything lies in the arena and points into `text`.
 *
 * Errors: OCHRE_INVALID not JSON (or no word where one is wanted), OCHRE_SHAPE,
 * OCHRE_NO_MEMORY.
 *
 * Threads: any; no state.
 */
#ifndef OCH_WIRE_JSON_READ_H
#define OCH_WIRE_JSON_READ_H

#include <stddef.h>
#include <stdint.h>

#include "api/ops.h"
#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;

/* What to include, also as it was asked for: the answer repeats it. */
struct och_wire_include {
    unsigned mask;        /* OCHRE_INCLUDE_* */
    const uint8_t *words; /* each one OCHRE_INCLUDE_*, in the order of the request */
    size_t n;
};

struct och_wire_get {
    struct och_get_input input; /* its include is include.mask */
    struct och_wire_include include;
};

struct och_wire_query {
    struct och_query_input input; /* its include is include.mask */
    struct och_wire_include include;
};

struct och_wire_delete {
    struct och_select_input select;
    uint64_t limit; /* UINT64_MAX: none */
};

OCH_MUST_CHECK ochre_status och_wire_read_get(struct och_arena *arena, struct ochre_bytes text,
        struct och_wire_get *get_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_wire_read_query(struct och_arena *arena, struct ochre_bytes text,
        struct och_wire_query *query_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_wire_read_delete(struct och_arena *arena, struct ochre_bytes text,
        struct och_wire_delete *delete_out, struct ochre_error *err);

/* The word for one OCHRE_INCLUDE_*. */
const char *och_wire_include_word(unsigned include);

#endif /* OCH_WIRE_JSON_READ_H */
