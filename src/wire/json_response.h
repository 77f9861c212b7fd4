/*
 * json_response.h - answers, appended to a buffer.
 *
 * Reads are answered column by column; a column that was not asked for is null,
 * and so is a document, uri or metadata that a record does not have.  Whole
 * floats keep ".0" and are told from integers by it.  The keys of an answer are
 * always all there.
 *
 * A record with a uri but no metadata shows {}, not null, where the result holds
 * the uris too: och_wire_columns says what to ask for.
 *
 * Errors: none; the buffer remembers when it had no memory (base/buf.h).
 *
 * Threads: any; no state.
 */
#ifndef OCH_WIRE_JSON_RESPONSE_H
#define OCH_WIRE_JSON_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>

#include "api/ops.h"
#include "ochre/types.h"

struct och_buf;
struct och_wire_include;

/* The columns that an answer with these needs from its result. */
unsigned och_wire_columns(unsigned include);

/* `pages`: with the cursor of the next page, null behind the last. */
void och_wire_put_get(struct och_buf *buf, const struct och_result *result,
        const struct och_wire_include *include, bool pages);
void och_wire_put_query(struct och_buf *buf, const struct och_result *result,
        const struct och_wire_include *include);

void och_wire_put_collection(struct och_buf *buf, const struct och_collection_info *info);
void och_wire_put_collections(
        struct och_buf *buf, const struct och_collection_info *infos, size_t n);

/* A resource name without data is null. */
void och_wire_put_tenant(
        struct och_buf *buf, struct ochre_bytes name, struct ochre_bytes resource_name);

void och_wire_put_database(struct och_buf *buf, const struct och_database_row *row);
void och_wire_put_databases(struct och_buf *buf, const struct och_database_row *rows, size_t n);

void och_wire_put_index_status(struct och_buf *buf, const struct och_index_status *status);

/* An object; null when there are no fields. */
void och_wire_put_metadata(struct och_buf *buf, const struct ochre_metadata *metadata);

#endif /* OCH_WIRE_JSON_RESPONSE_H */
