/*
 * rows.h - the vectors of one segment or head, as a search sees them.
 *
 * A plain view: nothing here is owned, and whoever pins the segment keeps it
 * alive.  Row numbers are dense from 0.
 *
 *      rows      | row 0: dim floats | row 1 | ...       no padding between
 *      norms     | |row 0|           | |row 1| ...       cosine only
 *      ordinals  | place of row 0 in insertion order | ...
 *
 * Rows in a mapped file may not have been read yet.  `touch` is how errors stay
 * answers (no signal for a damaged disk): a search calls it before it reads
 * rows, and whoever owns the file reads and verifies their pages then.
 *
 * Threads: any number of readers; `touch` may be called by several at once.
 */
#ifndef OCH_INDEX_VECTOR_ROWS_H
#define OCH_INDEX_VECTOR_ROWS_H

#include <stdint.h>

#include "ochre/status.h"

struct och_tail;

struct och_vector_rows {
    const float *rows;        /* [n_rows][dim], dim being the query's */
    const float *norms;       /* [n_rows] och_vector_norm; NULL unless cosine */
    const uint64_t *ordinals; /* [n_rows] */
    uint32_t n_rows;
    const struct och_tail *tail; /* codes of the rows, which are in memory; NULL: none */

    /* Make n rows from `row` on safe to read, norms and ordinals included, or
     * say why not.  NULL: they are in memory.  Cheap when called again. */
    ochre_status (*touch)(void *context, uint32_t row, uint32_t n, struct ochre_error *err);
    void *context;
};

#endif /* OCH_INDEX_VECTOR_ROWS_H */
