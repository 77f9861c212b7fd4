/*
 * table.h - rows of metadata for tests, and the index made of them.
 *
 * Threads: one at a time.
 */
#ifndef OCH_TESTS_UNIT_INDEX_TABLE_H
#define OCH_TESTS_UNIT_INDEX_TABLE_H

#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "index/meta/columns.h"
#include "index/meta/columns_build.h"
#include "ochre/types.h"

struct table {
    struct och_mem *mem;
    struct och_arena arena;
    uint32_t n_rows;
    struct ochre_metadata *metadata; /* [n_rows] */
    struct ochre_bytes *fields;      /* the same, encoded */
    uint64_t fields_size;
    uint64_t seed; /* for the build, as are: */
    uint64_t batch;
    uint32_t entries_max;
    uint32_t text_max;
    uint32_t fail_row; /* reading this row's metadata fails, UINT32_MAX: none does */
    uint64_t n_calls;  /* of `fields`, so far */
    struct och_buf bytes;
    uint64_t size_max; /* putting more bytes fails */
};

/* Rows without metadata.  The account's memory must not run out. */
void table_begin(struct table *table, struct och_mem *mem, uint32_t n_rows);
void table_end(struct table *table);

/* Give a row its metadata, which stays where it is. */
void table_set(struct table *table, uint32_t row, const struct ochre_metadata *metadata);
/* Give a row one field. */
void table_set_value(
        struct table *table, uint32_t row, struct ochre_bytes key, struct ochre_value value);

/* Build the index into table->bytes, with memory of `mem`. */
ochre_status table_build(struct table *table, struct och_mem *mem, struct ochre_error *err);
/* Build it, which must succeed, and open it. */
void table_open(struct table *table, struct och_columns *columns_out);

#endif /* OCH_TESTS_UNIT_INDEX_TABLE_H */
