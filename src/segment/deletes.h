/*
 * deletes.h - which rows of a segment are dead: a small file beside it.
 *
 *      seg/<collection>/<segment id>.<deletes id>.del
 *      magic "OCHRDEL1" | u64 segment id | u64 position | u32 n_rows | u32 n_dead |
 *      u64 [ (n_rows + 63) / 64 ] bits | xxh3-64 of all before
 *
 * A file is written once; a later state of the segment is a new file.  Rows in
 * it are dead at every position a reader can still ask for.
 *
 * docs/formats/segment.md is normative.
 *
 * Threads: as segment.h.
 */
#ifndef OCH_SEGMENT_DELETES_H
#define OCH_SEGMENT_DELETES_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"

struct och_bitset;
struct och_segment;
struct och_vfs;

/* Where a delete file lies. */
void och_deletes_path(char *path, size_t size, struct och_uuid collection, uint64_t segment_id,
        uint64_t deletes_id);

/* Write the rows as file number `deletes_id`; durable when this returns. */
OCH_MUST_CHECK ochre_status och_deletes_write(struct och_vfs *vfs,
        const struct och_segment *segment, uint64_t deletes_id, uint64_t position,
        const struct och_bitset *rows, struct ochre_error *err);

/* Read file number `deletes_id` and mark its rows dead since position 0. */
OCH_MUST_CHECK ochre_status och_deletes_read(struct och_vfs *vfs, struct och_segment *segment,
        uint64_t deletes_id, struct ochre_error *err);

#endif /* OCH_SEGMENT_DELETES_H */
