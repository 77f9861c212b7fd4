/*
 * columns_internal.h - the bytes of a section of columns, for who writes and who
 * reads them.  docs/formats/segment.md is normative.
 *
 *      columns       one after the other, each at a multiple of 8
 *      directory     an entry for each, sorted by key, then by type
 *      keys          the keys' bytes
 *      trailer       where the directory is
 */
#ifndef OCH_INDEX_META_COLUMNS_INTERNAL_H
#define OCH_INDEX_META_COLUMNS_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#define OCH_COLUMNS_MAGIC UINT64_C(0x314c4f435248434f) /* "OCHRCOL1" */
#define OCH_COLUMNS_VERSION 1u
#define OCH_COLUMNS_TRAILER_SIZE 32u
#define OCH_COLUMNS_ENTRY_SIZE 48u
#define OCH_COLUMNS_MARKS_MAX 16u
/* What lies between two marks costs at least as much as so many rows of a list. */
#define OCH_COLUMNS_MARK_COST_MIN ((uint64_t) 16384)

/* In an entry's flags: the column's values are not in the index. */
#define OCH_COLUMN_LEFT_OUT 1u

/* An entry of the directory. */
struct och_column {
    uint64_t offset; /* of the column in the section */
    uint64_t size;   /* a multiple of 8 */
    uint32_t key_offset;
    uint16_t key_size;
    uint8_t type; /* ochre_value_type */
    uint8_t flags;
    uint32_t n_values;  /* distinct ones */
    uint32_t n_entries; /* pairs of value and row */
    uint32_t n_sparse;  /* of these, in the list of rows */
    uint32_t n_dense;   /* values that have a bitmap */
    uint32_t n_marks;
    uint32_t text_size; /* of all strings together */
};

/* Where the parts of a column begin, counted from its first byte. */
struct och_column_parts {
    uint64_t bitmaps; /* u64 [n_dense + n_marks][n_words] */
    uint64_t values;  /* i64 or f64 or u64 [n_values]; strings: u32 [n_values], ends */
    uint64_t starts;  /* u32 [n_values + 1], unless every value has one row */
    uint64_t dense;   /* u32 [n_dense] values, u32 [n_dense] counts */
    uint64_t marks;   /* u32 [n_marks] */
    uint64_t rows;    /* u16 or u32 [n_sparse] */
    uint64_t texts;   /* bytes [text_size] */
    uint64_t end;
};

/* Does every value have one row?  Then value i is row i of the list. */
static inline bool
och_column_is_unique(const struct och_column *column)
{
    return column->n_values == column->n_entries;
}

/* Bytes of a row number. */
static inline unsigned
och_column_row_width(uint32_t n_rows)
{
    return n_rows <= 65536 ? 2 : 4;
}

static inline uint64_t
och_column_bitmap_size(uint32_t n_rows)
{
    return ((uint64_t) n_rows + 63) / 64 * 8;
}

/* What a bitmap costs to combine, in rows of a list: four words go in a row's time. */
static inline uint64_t
och_column_bitmap_cost(uint32_t n_rows)
{
    return n_rows / 256 + 1;
}

void och_column_find_parts(
        const struct och_column *column, uint32_t n_rows, struct och_column_parts *parts_out);

/* A column's entry as bytes, and back. */
void och_column_store(const struct och_column *column, char *entry);
void och_column_load(struct och_column *column_out, const char *entry);

#endif /* OCH_INDEX_META_COLUMNS_INTERNAL_H */
