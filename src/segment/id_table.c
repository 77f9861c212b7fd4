#include "segment/id_table.h"

#include "base/hash.h"

uint64_t
och_id_table_slots(uint32_t n_rows)
{
    uint64_t n_slots = 8;
    while (n_slots < (uint64_t) n_rows * 2)
        n_slots *= 2;
    return n_slots;
}

uint32_t
och_id_table_hash(struct ochre_bytes id)
{
    return (uint32_t) (och_hash64(id.data, id.size) >> 32);
}

void
och_id_table_put(uint64_t *slots, uint64_t n_slots, uint32_t hash, uint32_t row)
{
    uint64_t slot = hash & (n_slots - 1);
    while (slots[slot] != 0)
        slot = (slot + 1) & (n_slots - 1);
    slots[slot] = (uint64_t) hash << 32 | (row + 1);
}
