/*
 * json_records.h - the bodies of add, update and upsert.
 *
 *      {"ids": ["a"], "embeddings": [[0.1, 0.2]] or ["base64"],
 *       "documents": [text or null], "uris": [text or null],
 *       "metadatas": [{"year": 1984} or null]}
 *
 * `embeddings` is required but for an update, where it and its entries may be
 * null.  Values of metadata may be null (remove the key) in update and upsert.
 *
 * Threads: any; no state.
 */
#ifndef OCH_WIRE_JSON_RECORDS_H
#define OCH_WIRE_JSON_RECORDS_H

#include "api/ops.h"
#include "base/compiler.h"
#include "engine/write.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;

/*
 * Decode the body of `op` (not OCH_WRITE_DELETE).  The input lies in the arena
 * and points into `text`.  Columns are not compared with each other, and what
 * must be reported later is put where och_op_write looks for it.
 *
 * Errors: OCHRE_INVALID not JSON, OCHRE_SHAPE, OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_wire_read_records(struct och_arena *arena, struct ochre_bytes text,
        enum och_write_op op, struct och_write_input *input_out, struct ochre_error *err);

#endif /* OCH_WIRE_JSON_RECORDS_H */
