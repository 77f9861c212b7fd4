#include "api/id_set.h"

#include "base/hash.h"
#include "base/mem.h"

enum { SLOTS_MIN = 1024 };

void
och_id_set_init(struct och_id_set *set, struct och_mem *mem)
{
    *set = (struct och_id_set){.mem = mem};
}

void
och_id_set_clear(struct och_id_set *set)
{
    och_mem_release(set->mem, set->slots, set->n_slots * sizeof(*set->slots));
    och_id_set_init(set, set->mem);
}

/* Where a pair is, or would be.  A second half of zero is nobody's. */
static uint64_t *
place_of(uint64_t (*slots)[2], size_t n_slots, const uint64_t hash[2])
{
    size_t at = (size_t) hash[0] & (n_slots - 1);
    while (slots[at][1] != 0 && (slots[at][0] != hash[0] || slots[at][1] != hash[1]))
        at = (at + 1) & (n_slots - 1);
    return slots[at];
}

static ochre_status
grow(struct och_id_set *set)
{
    size_t n_slots = set->n_slots == 0 ? SLOTS_MIN : set->n_slots * 2;
    uint64_t(*slots)[2] = och_mem_take_zeroed(set->mem, n_slots * sizeof(*slots));
    if (slots == NULL)
        return OCHRE_NO_MEMORY;
    for (size_t i = 0; i < set->n_slots; i++) {
        if (set->slots[i][1] == 0)
            continue;
        uint64_t *place = place_of(slots, n_slots, set->slots[i]);
        place[0] = set->slots[i][0];
        place[1] = set->slots[i][1];
    }
    och_mem_release(set->mem, set->slots, set->n_slots * sizeof(*set->slots));
    set->slots = slots;
    set->n_slots = n_slots;
    return OCHRE_OK;
}

ochre_status
och_id_set_add(struct och_id_set *set, struct ochre_bytes id, bool *is_new_out)
{
    const uint64_t hash[2] = {
            och_hash64_seeded(id.data, id.size, 1), och_hash64_seeded(id.data, id.size, 2) | 1};
    if (set->n >= set->n_slots / 2 && grow(set) != OCHRE_OK)
        return OCHRE_NO_MEMORY;
    uint64_t *place = place_of(set->slots, set->n_slots, hash);
    *is_new_out = place[1] == 0;
    if (*is_new_out) {
        place[0] = hash[0];
        place[1] = hash[1];
        set->n++;
    }
    return OCHRE_OK;
}
