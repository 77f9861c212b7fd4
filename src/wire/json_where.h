/*
 * json_where.h - the two filters of a request, as one.
 *
 *      where     {"$and": [where, ...]} | {"$or": [where, ...]}
 *                {key: scalar} | {key: {operator: operand}}
 *      document  {"$and": [document, ...]} | {"$or": [document, ...]}
 *                {"$contains" | "$not_contains" | "$regex" | "$not_regex": string}
 *
 * Each object has exactly one member (of one name sent several times the last
 * counts).  Under the key "#document" a where clause asks for the document with
 * the four operators of the second grammar; under "#id", $eq, $ne, $in and $nin
 * ask for the record's id.  docs/compatibility.md says what everything means.
 *
 * Threads: any; no state.
 */
#ifndef OCH_WIRE_JSON_WHERE_H
#define OCH_WIRE_JSON_WHERE_H

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;
struct och_json;

/*
 * Build the filter that both make together; NULL or a JSON null is no filter,
 * and two of these give a filter without nodes.  The filter lies in the arena
 * and points into the trees.
 *
 * Errors: OCHRE_INVALID, "Invalid where clause: PATH: REASON" or "Invalid where
 * document clause: ..."; OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_wire_filter(struct och_arena *arena, const struct och_json *where,
        const struct och_json *where_document, struct ochre_filter *filter_out,
        struct ochre_error *err);

#endif /* OCH_WIRE_JSON_WHERE_H */
