/*
 * columns.h - an index of a segment's metadata: which rows satisfy a leaf of a
 * filter, without looking at the rows.
 *
 * It is derived from the rows' encoded metadata (fields.h) by columns_build.h
 * and lies in a segment as one section of bytes.  For each key and type there is
 * a column: the distinct values in order, and for each the rows that have it (a
 * list's rows stand under each of its elements).
 *
 *      values   |  2  |  5  |  7  |  9  | ...     sorted, each once
 *      rows     | 0 8 | dense     | 1 6 4 5 ...   by value, then by row
 *      dense    a value that many rows have is a bitmap instead: 7
 *      marks    bitmaps of all rows with a value below 1/16, 2/16 ... of the column
 *
 * A leaf becomes a range of values (a member of $in: one of them), and so a piece
 * of the rows.  A long range begins and ends at the nearest mark and is put right
 * from there, so that no range costs more than about 1/16 of the column.
 *
 *      a leaf     some microseconds for each 100,000 rows, whatever it selects
 *      bytes      4 a row at most in a column of few values, 14 in one of many
 *
 * The bytes stay where they are, mapped from a file.  Opening reads the directory
 * and evaluating what it needs; each offset, row and count is checked before it is
 * used: a checksum does not protect from a bug.
 *
 * The format is in docs/formats/segment.md.
 *
 * Threads: open columns do not change; any number of threads, if `touch` allows.
 */
#ifndef OCH_INDEX_META_COLUMNS_H
#define OCH_INDEX_META_COLUMNS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_bitset;
struct och_value_set;

/* Where the bytes are. */
struct och_columns_source {
    const char *bytes; /* borrowed for as long as the columns are used */
    uint64_t size;
    /* Make bytes safe to touch, called before they are; NULL: all are. */
    ochre_status (*touch)(void *context, uint64_t offset, uint64_t size, struct ochre_error *err);
    void *context;
};

/* Open columns: nothing to give back. */
struct och_columns {
    struct och_columns_source source;
    uint64_t directory; /* where it begins */
    uint32_t n_columns;
    uint32_t n_rows;
};

/* A leaf of a filter that looks at metadata. */
struct och_columns_leaf {
    ochre_filter_op op;
    struct ochre_bytes key;
    const struct ochre_value *value;
    const struct och_value_set *set; /* of the value's members; $in and $nin only */
};

/*
 * Open the columns of a segment of `n_rows` rows.
 *
 * Errors: OCHRE_CORRUPT, and what touch answers.
 * Cost:   O(columns).
 */
OCH_MUST_CHECK ochre_status och_columns_open(struct och_columns *columns_out,
        const struct och_columns_source *source, uint32_t n_rows, struct ochre_error *err);

/*
 * Put into `rows` (empty before) the rows that satisfy the leaf, exactly as
 * och_value_matches says of each.
 *
 * Errors: OCHRE_UNSUPPORTED  the index leaves out a column that this needs
 *         OCHRE_CORRUPT, OCHRE_NO_MEMORY, and what touch answers
 */
OCH_MUST_CHECK ochre_status och_columns_rows(const struct och_columns *columns,
        const struct och_columns_leaf *leaf, struct och_bitset *rows, struct ochre_error *err);

/*
 * How many rows these are, exactly.
 *
 * Errors: the same.
 * Cost:   O(log values), for each member of a list.
 */
OCH_MUST_CHECK ochre_status och_columns_count(const struct och_columns *columns,
        const struct och_columns_leaf *leaf, uint64_t *count_out, struct ochre_error *err);

#endif /* OCH_INDEX_META_COLUMNS_H */
