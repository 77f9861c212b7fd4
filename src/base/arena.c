#include "base/arena.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/size.h"

#define BLOCK_MIN ((size_t) 4 * 1024)
#define BLOCK_MAX ((size_t) 1024 * 1024)
#define ALIGNMENT ((size_t) 16)

/* The header is one alignment unit, so what follows it is aligned. */
struct och_arena_block {
    struct och_arena_block *older;
    size_t size;
};

static_assert(sizeof(struct och_arena_block) % ALIGNMENT == 0, "a block's bytes start aligned");

void
och_arena_init(struct och_arena *arena, struct och_mem *mem)
{
    *arena = (struct och_arena){.mem = mem, .block_size = BLOCK_MIN};
}

void
och_arena_init_apart(struct och_arena *arena, struct och_mem *mem)
{
    och_arena_init(arena, mem);
    arena->is_apart = true;
}

static void
release_block(struct och_arena *arena, struct och_arena_block *block)
{
    if (arena->is_apart)
        och_mem_release_apart(arena->mem, block, block->size);
    else
        och_mem_release(arena->mem, block, block->size);
}

void
och_arena_clear(struct och_arena *arena)
{
    struct och_arena_block *block = arena->blocks;
    while (block != NULL) {
        struct och_arena_block *older = block->older;
        release_block(arena, block);
        block = older;
    }
    bool is_apart = arena->is_apart;
    och_arena_init(arena, arena->mem);
    arena->is_apart = is_apart;
}

struct och_arena_mark
och_arena_mark(const struct och_arena *arena)
{
    return (struct och_arena_mark){arena->blocks, arena->next, arena->left, arena->block_size};
}

void
och_arena_rewind(struct och_arena *arena, const struct och_arena_mark *mark)
{
    while (arena->blocks != mark->blocks) {
        struct och_arena_block *block = arena->blocks;
        arena->blocks = block->older;
        release_block(arena, block);
    }
    arena->next = mark->next;
    arena->left = mark->left;
    arena->block_size = mark->block_size;
}

/* A new block with room for `size` bytes behind its header. */
static char *
add_block(struct och_arena *arena, size_t size)
{
    size_t total;
    if (!och_size_add(size, sizeof(struct och_arena_block), &total))
        return NULL;
    struct och_arena_block *block = arena->is_apart
            ? och_mem_take_apart(arena->mem, total)
            : och_mem_take_aligned(arena->mem, ALIGNMENT, total);
    if (block == NULL)
        return NULL;
    block->older = arena->blocks;
    block->size = total;
    arena->blocks = block;
    return (char *) (block + 1);
}

void *
och_arena_take(struct och_arena *arena, size_t size)
{
    if (size > SIZE_MAX - ALIGNMENT)
        return NULL;
    size = och_size_align(size == 0 ? 1 : size, ALIGNMENT);
    if (size > arena->left) {
        if (size > arena->block_size / 4)
            return add_block(arena, size);
        char *bytes = add_block(arena, arena->block_size);
        if (bytes == NULL)
            return NULL;
        arena->next = bytes;
        arena->left = arena->block_size;
        if (arena->block_size < BLOCK_MAX)
            arena->block_size *= 2;
    }
    void *taken = arena->next;
    arena->next += size;
    arena->left -= size;
    return taken;
}

void *
och_arena_take_array(struct och_arena *arena, size_t count, size_t size)
{
    size_t total;
    if (!och_size_mul(count, size, &total))
        return NULL;
    return och_arena_take(arena, total);
}

void *
och_arena_copy(struct och_arena *arena, const void *bytes, size_t size)
{
    size_t total;
    if (!och_size_add(size, 1, &total))
        return NULL;
    char *copy = och_arena_take(arena, total);
    if (copy == NULL)
        return NULL;
    if (size > 0)
        memcpy(copy, bytes, size);
    copy[size] = '\0';
    return copy;
}
