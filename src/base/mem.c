#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HUGE_PAGE ((size_t) 2 << 20)
/* Below this the pages that alignment wastes cost more than they save. */
#define HUGE_WORTH ((size_t) 8 << 20)

/* From here on a block that is taken apart has pages of its own.  The sanitizers see every
 * block when none has. */
#ifdef OCH_INSTRUMENTED
#define APART_MIN SIZE_MAX
#else
#define APART_MIN ((size_t) 128 << 10)
#endif
#define APART_ALIGNMENT ((size_t) 64)

void
och_mem_init(struct och_mem *mem, struct och_mem *parent)
{
    mem->parent = parent;
    atomic_init(&mem->used, 0);
    mem->limit = SIZE_MAX;
    atomic_init(&mem->n_grants, 0);
    mem->fail_at = 0;
    mem->fail_from = 0;
}

/* Charge `size` bytes to this account alone, within its limit. */
static bool
charge_one(struct och_mem *mem, size_t size)
{
    uint64_t grant = atomic_fetch_add_explicit(&mem->n_grants, 1, memory_order_relaxed) + 1;
    if (grant == mem->fail_at || (mem->fail_from != 0 && grant >= mem->fail_from))
        return false;
    size_t used = atomic_load_explicit(&mem->used, memory_order_relaxed);
    do {
        if (size > mem->limit || used > mem->limit - size)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(
            &mem->used, &used, used + size, memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void
refund(struct och_mem *mem, const struct och_mem *end, size_t size)
{
    for (; mem != end; mem = mem->parent) {
        size_t before = atomic_fetch_sub_explicit(&mem->used, size, memory_order_relaxed);
        och_assert(before >= size);
    }
}

/* Charge the account and all above it, or none of them. */
static bool
charge(struct och_mem *mem, size_t size)
{
    for (struct och_mem *payer = mem; payer != NULL; payer = payer->parent) {
        if (!charge_one(payer, size)) {
            refund(mem, payer, size);
            return false;
        }
    }
    return true;
}

void *
och_mem_resize(struct och_mem *mem, void *ptr, size_t old_size, size_t new_size)
{
    och_assert((ptr == NULL) == (old_size == 0));
    och_assert(new_size > 0);

    /* Growth is charged before, shrinking refunded after: a refusal in either
     * place leaves both the block and the books as they were. */
    size_t growth = new_size > old_size ? new_size - old_size : 0;
    if (!charge(mem, growth))
        return NULL;
    void *block = realloc(ptr, new_size);
    if (block == NULL) {
        refund(mem, NULL, growth);
        return NULL;
    }
    if (new_size < old_size)
        refund(mem, NULL, old_size - new_size);
    return block;
}

void *
och_mem_take(struct och_mem *mem, size_t size)
{
    return och_mem_resize(mem, NULL, 0, size);
}

void *
och_mem_take_zeroed(struct och_mem *mem, size_t size)
{
    och_assert(size > 0);
    if (!charge(mem, size))
        return NULL;
    void *block = calloc(1, size);
    if (block == NULL)
        refund(mem, NULL, size);
    return block;
}

void *
och_mem_take_aligned(struct och_mem *mem, size_t alignment, size_t size)
{
    och_assert(alignment >= 16 && (alignment & (alignment - 1)) == 0);
    och_assert(size > 0);
    if (!charge(mem, size))
        return NULL;
    void *block = NULL;
    if (posix_memalign(&block, alignment, size) != 0) {
        refund(mem, NULL, size);
        return NULL;
    }
    return block;
}

void *
och_mem_take_huge(struct och_mem *mem, size_t size)
{
    if (size < HUGE_WORTH)
        return och_mem_take_aligned(mem, 64, size);
    void *block = och_mem_take_aligned(mem, HUGE_PAGE, size);
    /* Advice: where it is not followed, everything works on small pages. */
    if (block != NULL)
        (void) madvise(block, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    return block;
}

void *
och_mem_take_apart(struct och_mem *mem, size_t size)
{
    if (size < APART_MIN)
        return och_mem_take_aligned(mem, APART_ALIGNMENT, size);
    if (!charge(mem, size))
        return NULL;
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) {
        refund(mem, NULL, size);
        return NULL;
    }
    return block;
}

void
och_mem_release_apart(struct och_mem *mem, void *ptr, size_t size)
{
    if (ptr == NULL || size < APART_MIN) {
        och_mem_release(mem, ptr, size);
        return;
    }
    refund(mem, NULL, size);
    /* In the middle of others it makes one mapping two, of which there may be too many: then
     * the memory goes all the same, and its addresses stay. */
    if (munmap(ptr, size) != 0)
        (void) madvise(ptr, size, MADV_DONTNEED);
}

void
och_mem_release(struct och_mem *mem, void *ptr, size_t size)
{
    if (ptr == NULL)
        return;
    refund(mem, NULL, size);
    free(ptr);
}

size_t
och_mem_used(const struct och_mem *mem)
{
    return atomic_load_explicit(&mem->used, memory_order_relaxed);
}
