/*
 * rows.h - rows for the tests of segments: made at random, put into a head,
 * sealed on a simulated disk, and compared with what comes back.
 *
 * Threads: one at a time.
 */
#ifndef OCH_TESTS_UNIT_SEGMENT_ROWS_H
#define OCH_TESTS_UNIT_SEGMENT_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "ochre/types.h"
#include "segment/head.h"

struct och_seal_part;
struct och_segment;
struct och_source;
struct sim_disk;

enum { ROWS_DIM_MAX = 8 };

/* A row as it was made. */
struct row {
    struct och_head_insert insert;
    struct ochre_metadata metadata; /* what insert.texts.fields encodes */
    float vector[ROWS_DIM_MAX];
};

struct rows {
    struct och_mem own;     /* pays for the rows and the disk */
    struct och_arena arena; /* what the rows point into */
    struct och_mem mem;     /* pays for what is tested; may be told to refuse */
    struct sim_disk *disk;
    struct och_vfs *vfs;
    struct och_uuid collection;
    uint32_t dim;
    struct row *rows;
    uint32_t n;
    const struct och_seal_part *parts; /* that files are sealed with */
    uint32_t n_parts;
};

/* n rows with ids "0", "1", ..., ordinals 0, 3, 6, ... and position 1; half of
 * each of their columns is missing. */
void rows_begin(struct rows *rows, uint32_t n, uint32_t dim, uint64_t seed);
void rows_end(struct rows *rows); /* checks that `mem` holds nothing */

/* A head of all rows; false when `mem` refused. */
bool rows_head(struct rows *rows, struct och_head **head_out);

/* Seal the rows of a head that position 1 sees as segment `id`, and open it. */
ochre_status rows_seal(struct rows *rows, struct och_head *head, uint64_t id,
        struct och_segment **segment_out, struct ochre_error *err);

/* The same with what several sources see; they have been told the position. */
ochre_status rows_seal_sources(struct rows *rows, const struct och_source *sources, uint32_t n,
        uint64_t id, struct och_segment **segment_out, struct ochre_error *err);

/* A head, sealed and opened, and let go of. */
struct och_segment *rows_segment(struct rows *rows, uint64_t id);

bool same_or_absent(struct ochre_bytes a, struct ochre_bytes b);

/* Row `row` of the segment, whose columns are loaded, is `wanted`. */
void check_segment_row(
        const struct och_segment *segment, uint32_t row, const struct och_head_insert *wanted);

#endif /* OCH_TESTS_UNIT_SEGMENT_ROWS_H */
