/*
 * id_filter.h - is an id perhaps among many, or surely not?
 *
 * A split block Bloom filter (Putze, Sanders, Singler, "Cache-, Hash- and
 * Space-Efficient Bloom Filters", 2007): an id sets one bit in each of the eight
 * words of one 32-byte block, so a question costs one line of memory.  With 16 bits
 * an id one in a thousand that is not there looks as if it were.
 *
 * It knows ids by their hash in the tables of ids (id_table.h).  Nothing is ever
 * taken out.
 *
 * Threads: one at a time.
 */
#ifndef OCH_SEGMENT_ID_FILTER_H
#define OCH_SEGMENT_ID_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_id_filter;
struct och_mem;

/* An empty filter with room for so many ids at least, of 2 to 4 bytes each.
 * Errors: OCHRE_NO_MEMORY. */
OCH_MUST_CHECK ochre_status och_id_filter_make(
        struct och_mem *mem, uint64_t n_ids, struct och_id_filter **filter_out);
uint64_t och_id_filter_size(uint64_t n_ids); /* that one with such room takes, in bytes */
void och_id_filter_release(struct och_id_filter *filter); /* NULL is fine */

void och_id_filter_add(struct och_id_filter *filter, uint32_t hash);

/* False: it was never added. */
bool och_id_filter_has(const struct och_id_filter *filter, uint32_t hash);

/* Ask memory for the block that the hash belongs to. */
void och_id_filter_prefetch(const struct och_id_filter *filter, uint32_t hash);

/* Were more added than there was room for?  It answers worse and worse then. */
bool och_id_filter_is_full(const struct och_id_filter *filter);

#endif /* OCH_SEGMENT_ID_FILTER_H */
