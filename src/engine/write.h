/*
 * write.h - a write request as bytes: what the log holds and apply reads.
 *
 *      u8 op | u8 1 | u16 flags | u32 n | u32 dim | u32 n_vectors
 *      u8 [n] has a vector, zero to 8               with OCH_WRITE_SOME_VECTORS
 *      f32 [n_vectors][dim], zero to 8
 *      ids:        u32 size [n] | bytes
 *      documents:  u32 size [n] | bytes             with OCH_WRITE_DOCUMENTS
 *      uris:       ...                              with OCH_WRITE_URIS
 *      metadata:   ... (index/meta/fields.h)        with OCH_WRITE_METADATA
 *
 * A size of UINT32_MAX says "none".  docs/formats/log.md is normative.
 *
 * Threads: any; no state.
 */
#ifndef OCH_ENGINE_WRITE_H
#define OCH_ENGINE_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;
struct och_buf;

/* What records in the log are.  The numbers are on disk. */
enum och_record_type {
    OCH_RECORD_WRITE = 1,      /* a write request, as below */
    OCH_RECORD_GENERATION = 2, /* u64: the catalog has reached this generation */
    OCH_RECORD_NOTE = 4,       /* a catalog change, for repair; never replayed */
    OCH_RECORD_CLOSE = 5,      /* all before it are durable; older builds wrote 3 */
};

enum och_write_op {
    OCH_WRITE_ADD = 1,
    OCH_WRITE_UPDATE = 2,
    OCH_WRITE_UPSERT = 3,
    OCH_WRITE_DELETE = 4,
};

/* One text column while it is walked. */
struct och_write_column {
    const char *sizes; /* u32 [n]; NULL: the column is not there */
    const char *next;  /* bytes of the row to come */
};

struct och_write {
    enum och_write_op op;
    uint32_t n, dim, n_vectors;
    uint32_t row;           /* the next one */
    const char *has_vector; /* u8 [n]; NULL: all or none */
    const char *next_vector;
    struct och_write_column ids, documents, uris, fields;
};

/* One record of it; data is NULL for what was not given. */
struct och_write_row {
    struct ochre_bytes id, document, uri, fields;
    const char *vector; /* dim floats, not aligned; NULL */
};

/* Append the encoding of `records`.  Vectors are taken as they are: the caller
 * has checked that they agree in length. */
OCH_MUST_CHECK ochre_status och_write_encode(struct och_buf *buf, struct och_arena *scratch,
        enum och_write_op op, const struct ochre_records *records);

/* Read it back; false when the bytes are not such a request, whole and nothing
 * more.  Afterwards och_write_next gives the rows. */
OCH_MUST_CHECK bool och_write_decode(struct och_write *write_out, struct ochre_bytes payload);

/*
 * Put into the empty `buf` the encoding of some rows of a whole request: those whose
 * keep[row] is true, of which there is one at least.
 *
 * Errors: OCHRE_CORRUPT: it is not a request; OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_write_encode_rows(
        struct och_buf *buf, struct ochre_bytes payload, const bool *keep);

/* Is it a request that deletes, as far as its first byte tells? */
bool och_write_deletes(struct ochre_bytes payload);

/* The next row; false at the end. */
bool och_write_next(struct och_write *write, struct och_write_row *row_out);

#endif /* OCH_ENGINE_WRITE_H */
