/*
 * id_table.h - from a record's id to its row, without loading anything.
 *
 * Open addressing with linear probing, at most half full, in the file as it is
 * used: u64 slots [2^b], each hash << 32 | row + 1, and 0 for empty.  The hash
 * is the upper half of XXH3-64 of the id, its lower bits choose the slot.
 *
 * Threads: any; no state.
 */
#ifndef OCH_SEGMENT_ID_TABLE_H
#define OCH_SEGMENT_ID_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "ochre/types.h"

/* Slots for n rows. */
uint64_t och_id_table_slots(uint32_t n_rows);

uint32_t och_id_table_hash(struct ochre_bytes id);

/* Enter a row into zeroed slots. */
void och_id_table_put(uint64_t *slots, uint64_t n_slots, uint32_t hash, uint32_t row);

/* May a slot that is not empty be this hash's row? */
static inline bool
och_id_table_matches(uint64_t slot, uint32_t hash)
{
    return (uint32_t) (slot >> 32) == hash;
}

#endif /* OCH_SEGMENT_ID_TABLE_H */
