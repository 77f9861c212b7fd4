/*
 * id_set.h - which ids have been seen, by 127 bits of hash each.
 *
 * Two ids that share them would be taken for one; among 10^9 of them the chance is one in
 * 10^20.
 *
 * Threads: one at a time.
 */
#ifndef OCH_API_ID_SET_H
#define OCH_API_ID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_mem;

struct och_id_set {
    struct och_mem *mem;  /* borrowed */
    uint64_t (*slots)[2]; /* owned: [n_slots], a power of two, at most half of them taken */
    size_t n_slots, n;
};

void och_id_set_init(struct och_id_set *set, struct och_mem *mem);
void och_id_set_clear(struct och_id_set *set); /* it is empty then */

/* *is_new_out: it was not there.  Errors: OCHRE_NO_MEMORY.  Cost: 32 to 64 bytes an id. */
OCH_MUST_CHECK ochre_status och_id_set_add(
        struct och_id_set *set, struct ochre_bytes id, bool *is_new_out);

#endif /* OCH_API_ID_SET_H */
