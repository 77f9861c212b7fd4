/*
 * routes_kind.h - what a read's cost depends on, as one number (http/costs.h).
 *
 * Two reads are of one kind when they ask the same collection for about as much
 * (numbers count by their powers of two) in the same way: the same columns and
 * the same operators on the same keys, with whatever values.  A condition on
 * documents makes a read of no kind: there the text decides, and it may be slow.
 *
 * Threads: any; no state.
 */
#ifndef OCH_HTTP_ROUTES_KIND_H
#define OCH_HTTP_ROUTES_KIND_H

#include <stdint.h>

#include "base/uuid.h"
#include "wire/json_read.h"

/* OCH_HTTP_KIND_NONE, or a kind. */
uint64_t och_kind_of_get(const struct och_uuid *collection, const struct och_wire_get *get);
uint64_t och_kind_of_query(const struct och_uuid *collection, const struct och_wire_query *query);

#endif /* OCH_HTTP_ROUTES_KIND_H */
