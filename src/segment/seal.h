/*
 * seal.h - write rows of heads and segments into one new segment file.
 *
 * Sealing is this with one head, merging with several segments; there is no
 * other writer.  The rows that the sources see stand in the file in insertion
 * order (by ordinal), every column copied byte for byte:
 *
 *      source 0   ordinals  1   4   5 . 9        rows of the file, with where
 *      source 1   ordinals  2       6            each comes from:
 *      source 2   ordinals    3   7   8            0 1 2 0 0 1 2 2 0
 *
 * A sealed source is read through its checked loads, a row at a time: memory
 * goes with the number of rows (16 bytes for each, and the table of ids), never
 * with the size of what is in them.
 *
 * Behind the primary sections a file may carry what is derived from its rows: an
 * index of metadata, a vector index.  Whoever makes such a thing hands in a part,
 * which is called when the rows are written.
 *
 * The file is made under tmp/, synced, renamed to its place and the directory
 * synced: when och_seal_write returns OCHRE_OK the file is there for good, and
 * nothing lists it yet.
 *
 * Threads: any; the rows that the sources see are not changed by anyone.
 */
#ifndef OCH_SEGMENT_SEAL_H
#define OCH_SEGMENT_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "index/vector/index.h"
#include "ochre/status.h"
#include "ochre/types.h"
#include "segment/head.h"
#include "segment/layout.h"

struct och_mem;
struct och_pace;
struct och_source;
struct och_vfs;

/* A file being written, as the parts see it. */
struct och_seal_file;

/* Something derived from the rows that the file carries too. */
struct och_seal_part {
    /*
     * Write its sections, of kinds from OCH_SECTION_DERIVED on, each begun once.
     * Rows are numbered as in the file, 0 to n_rows - 1.  An error fails the whole
     * file: a part that can be done without answers OCHRE_OK and begins nothing.
     */
    ochre_status (*write)(void *context, struct och_seal_file *file,
            const struct och_vector_sink *sink, struct ochre_error *err);
    void *context;
};

/* A row of the file: where it comes from. */
struct och_seal_row {
    uint32_t source, row;
};

struct och_seal {
    struct och_mem *mem;
    struct och_vfs *vfs;
    struct och_uuid collection;
    uint64_t id;       /* of the new segment */
    uint64_t position; /* of the log: what the file stands for, and what the sources see */
    ochre_space space;
    uint32_t dim;
    const struct och_source *sources; /* borrowed; no row is seen in two of them */
    uint32_t n_sources;
    const struct och_seal_part *parts; /* borrowed */
    uint32_t n_parts;
    struct och_pace *pace; /* borrowed: give up when it says so; NULL: never */

    struct och_seal_row *rows; /* owned: what to write, by ordinal; och_seal_rows */
    uint32_t n_rows, room;
    uint32_t bad_source; /* the one that could not be read, after such a failure */
};

/* There is no bad source. */
#define OCH_SEAL_NO_SOURCE UINT32_MAX

/*
 * Collect the rows that the sources see, in order, into seal->rows, to be given
 * back with och_seal_clear.
 *
 * Errors: OCHRE_NO_MEMORY; OCHRE_TOO_LARGE for more rows than a segment may have;
 * OCHRE_CORRUPT, OCHRE_IO from a source.
 * Cost: O(rows log sources).
 */
OCH_MUST_CHECK ochre_status och_seal_rows(struct och_seal *seal, struct ochre_error *err);

/*
 * Write the file; *footer_hash_out and *file_size_out are for the catalog.
 *
 * Errors: those of a source, of the disk and of parts; OCHRE_NO_MEMORY;
 * OCHRE_UNAVAILABLE when told to stop.  Nothing is left under tmp/; the file may
 * be in its place if its directory could not be synced.
 */
OCH_MUST_CHECK ochre_status och_seal_write(struct och_seal *seal, uint64_t *footer_hash_out,
        uint64_t *file_size_out, struct ochre_error *err);

void och_seal_clear(struct och_seal *seal);

/* --- for parts -------------------------------------------------------------- */

const struct och_seal *och_seal_of(const struct och_seal_file *file);

/* Has it been told to stop?  A part that takes long asks now and then. */
bool och_seal_stopped(const struct och_seal_file *file);

/* Texts of row `i`: those of the named columns (OCH_COLUMN_IDS, _DOCUMENTS, _URIS,
 * _FIELDS); the others are absent.  They stay until the file is written. */
OCH_MUST_CHECK ochre_status och_seal_texts(struct och_seal_file *file, uint32_t i, unsigned columns,
        struct och_row_texts *texts_out, struct ochre_error *err);

/* Have no section of the kind that is open after all: its bytes are padding. */
void och_seal_abandon(struct och_seal_file *file);

/*
 * All rows' vectors in one piece, mapped from the file as it is so far; the
 * caller touches rows before it reads them.  They stay until the part returns
 * from `write`.  No section is open.
 *
 * Threads: `touch` may be called by several at once.
 */
OCH_MUST_CHECK ochre_status och_seal_vectors(
        struct och_seal_file *file, struct och_vector_rows *rows_out, struct ochre_error *err);

#endif /* OCH_SEGMENT_SEAL_H */
