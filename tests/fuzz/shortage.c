#include "fuzz/shortage.h"

#include "base/arena.h"
#include "base/mem.h"

#define UNIT ((size_t) 16)

struct shortage
fuzz_shortage(const uint8_t *data, size_t size, struct ochre_bytes *text_out)
{
    struct shortage shortage = {SHORTAGE_NONE, 0};
    if (size >= 2 && (data[0] == SHORTAGE_GRANTS || data[0] == SHORTAGE_ARENA)) {
        shortage = (struct shortage){(enum shortage_kind) data[0], data[1]};
        data += 2;
        size -= 2;
    }
    *text_out = (struct ochre_bytes){(const char *) data, size};
    return shortage;
}

void
fuzz_run_short(struct shortage shortage, struct och_arena *arena)
{
    struct och_mem *mem = arena->mem;
    if (shortage.kind == SHORTAGE_NONE)
        return;
    if (shortage.kind == SHORTAGE_ARENA) {
        /* The first takes a block; the second what is too much of it. */
        och_assert(och_arena_take(arena, UNIT) != NULL);
        size_t keep = shortage.n * UNIT;
        if (arena->left > keep)
            och_assert(och_arena_take(arena, arena->left - keep) != NULL);
    }
    mem->fail_from = mem->n_grants + 1;
    if (shortage.kind == SHORTAGE_GRANTS)
        mem->fail_from += shortage.n;
}
