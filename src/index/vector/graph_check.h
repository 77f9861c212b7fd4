/*
 * graph_check.h - is a stored graph what its rows give?
 *
 * Checksums tell that bytes are those that were written, not that these were right.
 * A deep check makes every code once more and compares, and follows every link from the
 * entries: each row must be reached, be a stray, or be a copy of one that is.
 *
 * Threads: any; the call's own memory.
 */
#ifndef OCH_INDEX_VECTOR_GRAPH_CHECK_H
#define OCH_INDEX_VECTOR_GRAPH_CHECK_H

#include "base/compiler.h"
#include "index/vector/graph_search.h"
#include "ochre/status.h"

struct och_graph_parts;
struct och_mem;

/*
 * Errors: OCHRE_CORRUPT: it is not, and the message says of which row; what reading rows or
 *         parts answers; OCHRE_NO_MEMORY.
 * Cost:   all is read; some microseconds a row; 6 bytes a row of memory.
 */
OCH_MUST_CHECK ochre_status och_graph_check(const struct och_graph_view *graph,
        const struct och_graph_parts *parts, struct och_mem *mem, struct ochre_error *err);

#endif /* OCH_INDEX_VECTOR_GRAPH_CHECK_H */
