/*
 * source.h - a set of rows as a snapshot sees it: a head or a segment, up to a
 * row count and a log position.
 *
 * Readers work on sources and do not care which kind it is.  As with segments,
 * columns are loaded (read and verified) before the plain accessors may be
 * used; for a head that is nothing.
 *
 * Threads: any number of readers.
 */
#ifndef OCH_SEGMENT_SOURCE_H
#define OCH_SEGMENT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bitset.h"
#include "base/compiler.h"
#include "index/vector/rows.h"
#include "ochre/status.h"
#include "ochre/types.h"
#include "segment/head.h"
#include "segment/segment.h"

struct och_source {
    struct och_head *head; /* one of the two, kept alive by the snapshot */
    struct och_segment *segment;
    uint32_t n_rows;
    uint64_t position;
};

OCH_MUST_CHECK ochre_status och_source_load(
        const struct och_source *source, unsigned columns, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_source_load_row(
        const struct och_source *source, uint32_t row, unsigned columns, struct ochre_error *err);
/* Ask for what och_source_load_row will look at, of a row that is there. */
void och_source_prefetch_row(const struct och_source *source, uint32_t row, unsigned columns);

struct ochre_bytes och_source_id(const struct och_source *source, uint32_t row);
struct ochre_bytes och_source_document(const struct och_source *source, uint32_t row);
struct ochre_bytes och_source_uri(const struct och_source *source, uint32_t row);
struct ochre_bytes och_source_fields(const struct och_source *source, uint32_t row);
const float *och_source_vector(const struct och_source *source, uint32_t row);
float och_source_norm(const struct och_source *source, uint32_t row);
uint64_t och_source_ordinal(const struct och_source *source, uint32_t row);

/* Do ordinals ascend with rows? */
bool och_source_in_order(const struct och_source *source);

/*
 * The rows the snapshot sees: *all_out is true when it sees every row below
 * n_rows (then `rows` is untouched); otherwise they are put into `rows`, empty
 * before.
 */
OCH_MUST_CHECK ochre_status och_source_visible(
        const struct och_source *source, struct och_bitset *rows, bool *all_out);

/* How many rows the snapshot sees.  Cost: none while no row is dead; then a bit a row
 * of a segment, or a look at each row of a head, which are few. */
uint64_t och_source_count(const struct och_source *source);

/* Is this row in the snapshot? */
bool och_source_sees(const struct och_source *source, uint32_t row);

/* The row with this id in the snapshot, or OCH_ROW_NONE.  For a head the caller
 * holds the lock of the id map. */
OCH_MUST_CHECK ochre_status och_source_find(const struct och_source *source, struct ochre_bytes id,
        uint32_t *row_out, struct ochre_error *err);

/*
 * The vectors from row `first` on that lie in one piece, for a search; row 0 of
 * `rows_out` is row `first`, which is a multiple of 64.  Returns the first row
 * behind them; n_rows means that there are no more.
 */
uint32_t och_source_vectors(
        const struct och_source *source, uint32_t first, struct och_vector_rows *rows_out);

#endif /* OCH_SEGMENT_SOURCE_H */
