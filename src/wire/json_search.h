/*
 * json_search.h - the body of a search, checked.
 *
 *      {"searches": [{"filter", "rank", "group_by", "limit", "select"}],
 *       "read_level": word}
 *
 * Searching does not exist yet: what can be said about a request is whether it
 * is one.  Clients get the same errors for the same mistakes as from the
 * reference, and OCHRE_UNSUPPORTED for the rest.
 *
 * Threads: any; no state.
 */
#ifndef OCH_WIRE_JSON_SEARCH_H
#define OCH_WIRE_JSON_SEARCH_H

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;

/*
 * Check the body.  *deferred_out is what to answer once the collection is known
 * to exist: OCHRE_INVALID for a request that breaks a rule, OCHRE_UNSUPPORTED
 * for a sound one.
 *
 * Errors: OCHRE_INVALID not JSON, or no expression where one is needed;
 * OCHRE_SHAPE (also for a filter that breaks the grammar); OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_wire_read_search(struct och_arena *arena, struct ochre_bytes text,
        struct ochre_error *deferred_out, struct ochre_error *err);

#endif /* OCH_WIRE_JSON_SEARCH_H */
