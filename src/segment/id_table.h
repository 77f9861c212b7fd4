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

#include <stdint.h>

#include "ochre/types.h"

/* Slots for n rows. */
uint64_t och_id_table_slots(uint32_t n_rows);

uint32_t och_id_table_hash(struct ochre_bytes id);

/* Enter a row into zeroed slots. */
void och_id_table_put(uint64_t *slots, uint64_t n_slots, uint32_t hash, uint32_t row);

/*
 * The next slot at or after *slot that may be this hash's row: returns row + 1
 * and moves *slot past it, or returns 0 when there is no more.  Begin with
 * *slot = hash.
 */
static inline uint32_t
och_id_table_probe(const uint64_t *slots, uint64_t n_slots, uint32_t hash, uint64_t *slot)
{
    for (uint64_t n = 0; n < n_slots; n++) {
        uint64_t entry = slots[*slot & (n_slots - 1)];
        (*slot)++;
        if (entry == 0)
            return 0;
        if ((uint32_t) (entry >> 32) == hash)
            return (uint32_t) entry;
    }
    return 0;
}

#endif /* OCH_SEGMENT_ID_TABLE_H */
