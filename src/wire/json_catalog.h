/*
 * json_catalog.h - the bodies about tenants, databases and collections.
 *
 *      tenant, database   {"name": s}        {"resource_name": s}
 *      create             {"name", "metadata", "configuration", "schema",
 *                          "get_or_create"}
 *      update             {"new_name", "new_metadata", "new_configuration"}
 *
 * Everything lies in the arena and points into `text`.
 *
 * Errors: OCHRE_INVALID not JSON, or a metadata value that has a right shape but
 * no place in a collection's metadata; OCHRE_SHAPE; OCHRE_NO_MEMORY.
 *
 * Threads: any; no state.
 */
#ifndef OCH_WIRE_JSON_CATALOG_H
#define OCH_WIRE_JSON_CATALOG_H

#include "api/ops.h"
#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;

/* Strings under these `n` names, all of them required. */
OCH_MUST_CHECK ochre_status och_wire_read_strings(struct och_arena *arena, struct ochre_bytes text,
        const char *const *names, unsigned n, struct ochre_bytes *values_out,
        struct ochre_error *err);

/* Tenant and database of the result are not set. */
OCH_MUST_CHECK ochre_status och_wire_read_create(struct och_arena *arena, struct ochre_bytes text,
        struct och_create *create_out, struct ochre_error *err);

OCH_MUST_CHECK ochre_status och_wire_read_update(struct och_arena *arena, struct ochre_bytes text,
        struct och_update *update_out, struct ochre_error *err);

/* {"name": s}, which may be left out, or null: then *name_out has NULL data.  As of a repair's
 * body, other members are refused: OCHRE_SHAPE. */
OCH_MUST_CHECK ochre_status och_wire_read_pin(struct och_arena *arena, struct ochre_bytes text,
        struct ochre_bytes *name_out, struct ochre_error *err);

/* {"dry_run": bool}, which may be left out. */
OCH_MUST_CHECK ochre_status och_wire_read_repair(struct och_arena *arena, struct ochre_bytes text,
        bool *dry_run_out, struct ochre_error *err);

/* {"delete_output": bool}, which may be left out. */
OCH_MUST_CHECK ochre_status och_wire_read_detach(
        struct och_arena *arena, struct ochre_bytes text, struct ochre_error *err);

#endif /* OCH_WIRE_JSON_CATALOG_H */
