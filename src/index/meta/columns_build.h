/*
 * columns_build.h - make the bytes that columns.h reads.
 *
 * The rows' metadata is walked once to see which keys and types there are, then
 * once more for every few million values, which are gathered, sorted and put out,
 * a column at a time.  So memory goes with such a batch, or the largest column, and
 * not with the segment: 8 bytes a value, and 40 more where most of them differ.
 *
 * The same rows give the same bytes, whatever the seed.
 *
 * Threads: any; the build is its caller's.
 */
#ifndef OCH_INDEX_META_COLUMNS_BUILD_H
#define OCH_INDEX_META_COLUMNS_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_mem;

/* More keys (times their types) than this, and there is no index: such metadata
 * has data for keys, which no filter can name. */
#define OCH_COLUMNS_MAX 65536u
/* A column of more values, or of more bytes in distinct strings, is left out of the
 * index: its numbers would not fit 32 bits, and making it takes gigabytes. */
#define OCH_COLUMN_ENTRIES_MAX (UINT32_C(1) << 28)
#define OCH_COLUMN_TEXT_MAX UINT32_MAX
/* As many values in one walk over the rows as make 32 MiB. */
#define OCH_COLUMNS_BATCH (UINT64_C(4) << 20)

struct och_columns_build {
    struct och_mem *mem;
    uint32_t n_rows;
    uint64_t seed;        /* of hash tables: hard to guess for whoever chooses the values */
    uint32_t entries_max; /* OCH_COLUMN_ENTRIES_MAX or less */
    uint32_t text_max;    /* OCH_COLUMN_TEXT_MAX or less */
    uint64_t batch;       /* values gathered in one walk, unless a column has more */
    /* The encoded metadata of a row; NULL data: it has none.  It is called with the
     * rows in order, several times over; the bytes stay until the build is done. */
    ochre_status (*fields)(
            void *context, uint32_t row, struct ochre_bytes *fields_out, struct ochre_error *err);
    /* Takes the next bytes of the section. */
    ochre_status (*put)(void *context, const void *bytes, size_t size, struct ochre_error *err);
    void *context;
};

/*
 * Put out a section, from its first byte to its last.  After an error what was
 * put is nothing.
 *
 * Errors: OCHRE_TOO_LARGE  there are more than OCH_COLUMNS_MAX columns
 *         OCHRE_NO_MEMORY, and what `fields` and `put` answer
 * Cost:   some 50 ns a value; several times that where most values differ.
 */
OCH_MUST_CHECK ochre_status och_columns_build(
        const struct och_columns_build *build, struct ochre_error *err);

#endif /* OCH_INDEX_META_COLUMNS_BUILD_H */
