/*
 * arena.h - allocate freely, free all at once.
 *
 * A request allocates many small things that die together.  An arena hands
 * out slices of growing blocks and gives every block back in one call.
 *
 *      block 4 KiB [used....|free ]   block 8 KiB [used..|free        ]
 *                                                        ^ next
 *
 * A request larger than a quarter of a block gets a block of its own.
 *
 * Threads: one thread at a time.
 */
#ifndef OCH_BASE_ARENA_H
#define OCH_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

struct och_mem;
struct och_arena_block;

struct och_arena {
    struct och_mem *mem;            /* borrowed: the account that pays */
    struct och_arena_block *blocks; /* owned, newest first */
    char *next;                     /* first free byte of the shared block */
    size_t left;                    /* free bytes there */
    size_t block_size;              /* of the next shared block */
    bool is_apart;                  /* large blocks have pages of their own */
};

/* An empty arena; allocates nothing. */
void och_arena_init(struct och_arena *arena, struct och_mem *mem);

/* The same, for much that lives long: its large blocks go back to the system with it
 * (och_mem_take_apart). */
void och_arena_init_apart(struct och_arena *arena, struct och_mem *mem);

/* Give everything back and leave an empty arena, ready for reuse. */
void och_arena_clear(struct och_arena *arena);

/* A place in an arena's history. */
struct och_arena_mark {
    struct och_arena_block *blocks;
    char *next;
    size_t left;
    size_t block_size;
};

/* Where the arena stands; and give back everything taken since, newest first. */
struct och_arena_mark och_arena_mark(const struct och_arena *arena);
void och_arena_rewind(struct och_arena *arena, const struct och_arena_mark *mark);

/*
 * `size` bytes aligned to 16, not initialised, or NULL when the account
 * refuses.  A size of 0 gives a valid pointer to no bytes.
 */
OCH_MUST_CHECK void *och_arena_take(struct och_arena *arena, size_t size);

/* The same for `count` items of `size` bytes; NULL as well on overflow. */
OCH_MUST_CHECK void *och_arena_take_array(struct och_arena *arena, size_t count, size_t size);

/* A copy of `size` bytes, followed by a NUL that is not counted. */
OCH_MUST_CHECK void *och_arena_copy(struct och_arena *arena, const void *bytes, size_t size);

#endif /* OCH_BASE_ARENA_H */
