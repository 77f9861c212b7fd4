/*
 * graph_parts.h - what is large of a stored graph, its codes and links: read as far
 * as it is needed, or all of it.
 *
 * They grow with the rows, and a walk needs the more of them the more there are, but
 * soon hardly more.  So they are looked at where the file is mapped, each row's after
 * it was touched, until all of them have been read:
 *
 *      mapped    |.. .#. . ###. .  # |     touched: read and verified, by searches
 *      in memory |##########         |     read and verified, by whoever warms them
 *                           ^ n_done
 *
 * Where memory is refused the rest is touched in its place.  Either way a link that
 * leads nowhere is damage: checksums do not protect from a bug.
 *
 * Threads: any number may touch; one at a time warms, beside them.
 */
#ifndef OCH_INDEX_VECTOR_GRAPH_PARTS_H
#define OCH_INDEX_VECTOR_GRAPH_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "index/vector/index.h"
#include "ochre/status.h"

struct och_mem;

struct och_graph_part {
    const void *mapped; /* borrowed from the file; NULL: there is none */
    size_t size;
    /* Whose who warms: */
    void *copy;    /* owned: [size], on huge pages; NULL: it stays mapped */
    size_t n_done; /* bytes that are read and verified */
    bool is_begun; /* memory was asked for */
};

/* Zeroed, there is nothing. */
struct och_graph_parts {
    struct och_mem *mem;             /* borrowed */
    struct och_vector_source source; /* of the sections */
    uint32_t n_rows;
    size_t stride; /* bytes of a code */
    struct och_graph_part codes, links;
};

/* Where they lie; `has_links`: or there are codes only.  OCHRE_CORRUPT when they do not
 * fit the rows.  Nothing is read. */
OCH_MUST_CHECK ochre_status och_graph_parts_open(struct och_graph_parts *parts, struct och_mem *mem,
        const struct och_vector_source *source, uint32_t n_rows, size_t stride, bool has_links,
        struct ochre_error *err);
void och_graph_parts_close(struct och_graph_parts *parts); /* frees the copies */

/* Make codes, or links, of rows row .. row + n - 1 safe to look at where they are mapped.
 * Errors: what the source answers; OCHRE_CORRUPT when a link leads nowhere. */
OCH_MUST_CHECK ochre_status och_graph_parts_touch_codes(
        const struct och_graph_parts *parts, uint32_t row, uint32_t n, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_graph_parts_touch_links(
        const struct och_graph_parts *parts, uint32_t row, uint32_t n, struct ochre_error *err);

/* Read and verify the next some `size_max` bytes; *done_out: those were the last.
 * Errors: as above.  After OCHRE_CORRUPT the copies are gone. */
OCH_MUST_CHECK ochre_status och_graph_parts_warm(
        struct och_graph_parts *parts, uint64_t size_max, bool *done_out, struct ochre_error *err);

/* When that is done: all of a part. */
static inline const void *
och_graph_part_bytes(const struct och_graph_part *part)
{
    return part->copy != NULL ? part->copy : part->mapped;
}

/* Memory that its copy takes. */
static inline size_t
och_graph_part_memory(const struct och_graph_part *part)
{
    return part->copy != NULL ? part->size : 0;
}

#endif /* OCH_INDEX_VECTOR_GRAPH_PARTS_H */
