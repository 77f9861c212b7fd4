/*
 * seal.h - write rows of a head into a segment file.
 *
 * Rows stand in the file in insertion order (by ordinal).  The file is made
 * under tmp/, synced, renamed to its place and the directory synced: when
 * och_seal_write returns OCHRE_OK the file is there for good, and nothing lists it
 * yet.
 *
 * Threads: any; the head's rows in question are not changed by anyone.
 */
#ifndef OCH_SEGMENT_SEAL_H
#define OCH_SEGMENT_SEAL_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_head;
struct och_mem;
struct och_vfs;

struct och_seal {
    struct och_mem *mem;
    struct och_vfs *vfs;
    struct och_uuid collection;
    uint64_t id;       /* of the new segment */
    uint64_t position; /* rows visible at this position are written */
    ochre_space space;
    const struct och_head *head;
    uint32_t *rows; /* the head's rows to write, by ordinal: och_seal_rows */
    uint32_t n_rows;
};

/* Collect the rows visible at seal->position into seal->rows (to be released
 * with och_seal_clear), ordered. */
OCH_MUST_CHECK ochre_status och_seal_rows(struct och_seal *seal, struct ochre_error *err);

/* Write the file; *footer_hash_out and *file_size_out are for the catalog. */
OCH_MUST_CHECK ochre_status och_seal_write(struct och_seal *seal, uint64_t *footer_hash_out,
        uint64_t *file_size_out, struct ochre_error *err);

void och_seal_clear(struct och_seal *seal);

#endif /* OCH_SEGMENT_SEAL_H */
