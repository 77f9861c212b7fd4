/*
 * mem.h - where memory comes from, who pays for it, and when it fails.
 *
 * A struct och_mem is one account: the process, a database, a collection, a
 * request.  All allocation goes through an account, so that limits are
 * enforced in one place and tests can make any allocation fail.  Blocks of
 * 32 KiB to 4 MiB are pages of their own (base/pages.h), the others the C library's.
 *
 *      process ─┬─ database ─┬─ collection
 *               │            └─ collection        a grant is charged to the
 *               └─ request                        account and to all above it
 *
 * Threads: every account may be used by many threads; counters are atomic.  A
 * limit may be overshot by nobody: a grant that would pass it is refused.
 */
#ifndef OCH_BASE_MEM_H
#define OCH_BASE_MEM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct och_mem {
    struct och_mem *parent;     /* borrowed: charged too; NULL for a root */
    atomic_size_t used;         /* bytes held now, by this account and its children */
    atomic_size_t on_pages;     /* those of them in blocks that are pages of their own */
    size_t limit;               /* bytes that may be held; SIZE_MAX for no limit */
    _Atomic(uint64_t) n_grants; /* grants asked for so far, refused ones included */
    uint64_t fail_at;           /* tests: refuse this grant (1 = the first); 0 = none */
    uint64_t fail_from;         /* tests: refuse this and all later ones; 0 = none */
};

/* An account with no limit.  `parent` may be NULL and must outlive it. */
void och_mem_init(struct och_mem *mem, struct och_mem *parent);

/*
 * Resize a block from `old_size` to `new_size` bytes.  `ptr` is NULL exactly
 * when `old_size` is 0; `new_size` is not 0.  New bytes are not initialised.
 *
 * Returns the block, which may have moved, or NULL with the old block intact.
 */
OCH_MUST_CHECK void *och_mem_resize(
        struct och_mem *mem, void *ptr, size_t old_size, size_t new_size);

/* A new block of `size` bytes (not 0), or NULL.  The bytes are not initialised. */
OCH_MUST_CHECK void *och_mem_take(struct och_mem *mem, size_t size);

/* A new block of `size` zero bytes (not 0), or NULL. */
OCH_MUST_CHECK void *och_mem_take_zeroed(struct och_mem *mem, size_t size);

/*
 * A new block aligned to `alignment` (a power of two of at least 16; of at most 4,096
 * for blocks of up to 4 MiB).  It
 * cannot be resized; give it back with och_mem_release.
 */
OCH_MUST_CHECK void *och_mem_take_aligned(struct och_mem *mem, size_t alignment, size_t size);

/*
 * A new block for megabytes that are read here and there: aligned to 2 MiB, and
 * on pages of that size where the system has some.  Otherwise as the above.
 */
OCH_MUST_CHECK void *och_mem_take_huge(struct och_mem *mem, size_t size);

/*
 * A new block for much that lives long, aligned to 64.  From 128 KiB on it is pages of its
 * own, which the system has back as soon as it is released: nobody keeps them.  Give it back
 * with och_mem_release_apart.  A call to the system and faults for its pages make it dearer
 * than the above, so not for one request's work.
 */
OCH_MUST_CHECK void *och_mem_take_apart(struct och_mem *mem, size_t size);

/* Give back such a block.  NULL is allowed, with any size. */
void och_mem_release_apart(struct och_mem *mem, void *ptr, size_t size);

/* Give back a block of `size` bytes.  NULL is allowed, with any size. */
void och_mem_release(struct och_mem *mem, void *ptr, size_t size);

/* Bytes held now; and those of them that are not on pages of their own. */
size_t och_mem_used(const struct och_mem *mem);
size_t och_mem_used_among_others(const struct och_mem *mem);

#endif /* OCH_BASE_MEM_H */
