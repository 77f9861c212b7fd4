/*
 * pages.h - blocks that are pages of their own, and a few that wait for the next who asks.
 *
 * What a request takes in large blocks (its body, its vectors, what it writes to the log) is
 * wanted again by the next one.  A C library may keep such blocks, between others that live
 * longer, in one heap or in several: what is resident then depends on which thread came
 * when.  Giving them back to the system each time costs loads a fifth, in faults of pages.
 *
 * So they are kept here, by size, and the same few go from request to request:
 *
 *       32 KiB  [x][x][ ][ ] ...     the first free one is taken, the first gap filled, so
 *       64 KiB  [x][ ][ ][ ] ...     those at the end are used only when many are wanted
 *        ...                         at a time;
 *        4 MiB  [ ][ ][ ][ ] ...     what nobody took for some looks goes back (tidy.h looks)
 *
 * At most 32 MiB wait, of the whole process; accounts (mem.h) do not count them.
 *
 * Threads: any.
 */
#ifndef OCH_BASE_PAGES_H
#define OCH_BASE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

/* Sizes that are kept; a block has room for the next power of two. */
#define OCH_PAGES_SIZE_MIN ((size_t) 32 << 10)
#define OCH_PAGES_SIZE_MAX ((size_t) 4 << 20)
#define OCH_PAGES_KEPT_MAX ((size_t) 32 << 20)

/* Looks at which a block was there before it goes back. */
enum { OCH_PAGES_LOOKS = 8 };

/* A block of the system's, zeroed, of any size (not 0), or NULL; and back to it. */
OCH_MUST_CHECK void *och_pages_map(size_t size);
void och_pages_unmap(void *block, size_t size);

/* How much room there is in a block for `size` bytes, from SIZE_MIN to SIZE_MAX. */
size_t och_pages_room(size_t size);

/* A block for so many bytes, or NULL: one that was kept, whose bytes are anything, or a new
 * one, whose bytes are zero. */
OCH_MUST_CHECK void *och_pages_take(size_t size, bool *is_zeroed_out);

/* It is kept, or goes back.  `size` is any of the same room. */
void och_pages_give(void *block, size_t size);

/* A look: give back what nobody took for OCH_PAGES_LOOKS of them. */
void och_pages_look(void);

/* Give back all that waits: a process that goes on without us has no use for it. */
void och_pages_drop(void);

/* Bytes that wait. */
size_t och_pages_kept(void);

#endif /* OCH_BASE_PAGES_H */
