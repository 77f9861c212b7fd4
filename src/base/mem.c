#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/pages.h"

#define HUGE_PAGE ((size_t) 2 << 20)
/* Below this the pages that alignment wastes cost more than they save. */
#define HUGE_WORTH ((size_t) 8 << 20)

/* The sanitizers see every block when none is pages of its own. */
#ifdef OCH_INSTRUMENTED
#define HAS_PAGES false
#else
#define HAS_PAGES true
#endif
#define APART_ALIGNMENT ((size_t) 64)
/* Smaller ones go from one to the next like those of requests. */
#define APART_MIN ((size_t) 128 << 10)
/* No machine has smaller ones. */
#define PAGE_SIZE_MIN ((size_t) 4096)

void
och_mem_init(struct och_mem *mem, struct och_mem *parent)
{
    mem->parent = parent;
    atomic_init(&mem->used, 0);
    atomic_init(&mem->on_pages, 0);
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

/* Is a block of this size pages of its own? */
static bool
is_pages(size_t size)
{
    return HAS_PAGES && size >= OCH_PAGES_SIZE_MIN && size <= OCH_PAGES_SIZE_MAX;
}

static void
count_pages(struct och_mem *mem, size_t size)
{
    for (; mem != NULL; mem = mem->parent)
        (void) atomic_fetch_add_explicit(&mem->on_pages, size, memory_order_relaxed);
}

static void
uncount_pages(struct och_mem *mem, size_t size)
{
    for (; mem != NULL; mem = mem->parent)
        (void) atomic_fetch_sub_explicit(&mem->on_pages, size, memory_order_relaxed);
}

/* The system has no more: is there something that only waits?  Then it has by now. */
static bool
may_try_again(void)
{
    if (och_pages_kept() == 0)
        return false;
    och_pages_drop();
    return true;
}

/* From the C library. */
static void *
take_heap(size_t alignment, size_t size, bool is_zeroed)
{
    void *block = NULL;
    if (alignment <= 16)
        return is_zeroed ? calloc(1, size) : malloc(size);
    return posix_memalign(&block, alignment, size) == 0 ? block : NULL;
}

/* A block that has been charged, or NULL, and then it is not. */
static void *
take_charged(struct och_mem *mem, size_t alignment, size_t size, bool is_zeroed)
{
    void *block = NULL;
    if (is_pages(size)) {
        och_assert(alignment <= PAGE_SIZE_MIN);
        bool are_zero = false;
        block = och_pages_take(size, &are_zero);
        if (block != NULL && is_zeroed && !are_zero)
            memset(block, 0, size);
        if (block != NULL)
            count_pages(mem, size);
    } else {
        do
            block = take_heap(alignment, size, is_zeroed);
        while (block == NULL && may_try_again());
    }
    if (block == NULL)
        refund(mem, NULL, size);
    return block;
}

/* The account may lie in the block. */
static void
give_back(struct och_mem *mem, void *ptr, size_t size, size_t refunded)
{
    if (is_pages(size))
        uncount_pages(mem, size);
    refund(mem, NULL, refunded);
    if (is_pages(size))
        och_pages_give(ptr, size);
    else
        free(ptr);
}

/* Where one of the two sizes is of pages; the growth has been charged. */
static void *
resize_pages(struct och_mem *mem, void *ptr, size_t old_size, size_t new_size)
{
    if (is_pages(old_size) && is_pages(new_size) &&
            och_pages_room(old_size) == och_pages_room(new_size)) {
        count_pages(mem, new_size);
        uncount_pages(mem, old_size);
        return ptr;
    }
    bool are_zero = false;
    void *block = is_pages(new_size) ? och_pages_take(new_size, &are_zero) : malloc(new_size);
    if (block == NULL)
        return NULL;
    if (is_pages(new_size))
        count_pages(mem, new_size);
    if (ptr != NULL) {
        memcpy(block, ptr, old_size < new_size ? old_size : new_size);
        give_back(mem, ptr, old_size, 0);
    }
    return block;
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
    void *block;
    do
        block = is_pages(old_size) || is_pages(new_size)
                ? resize_pages(mem, ptr, old_size, new_size)
                : realloc(ptr, new_size);
    while (block == NULL && may_try_again());
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
    return take_charged(mem, 16, size, true);
}

void *
och_mem_take_aligned(struct och_mem *mem, size_t alignment, size_t size)
{
    och_assert(alignment >= 16 && (alignment & (alignment - 1)) == 0);
    och_assert(size > 0);
    if (!charge(mem, size))
        return NULL;
    return take_charged(mem, alignment, size, false);
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
    if (!HAS_PAGES || size < APART_MIN)
        return och_mem_take_aligned(mem, APART_ALIGNMENT, size);
    if (!charge(mem, size))
        return NULL;
    void *block = och_pages_map(size);
    if (block == NULL) {
        refund(mem, NULL, size);
        return NULL;
    }
    count_pages(mem, size);
    return block;
}

void
och_mem_release_apart(struct och_mem *mem, void *ptr, size_t size)
{
    if (ptr == NULL || !HAS_PAGES || size < APART_MIN) {
        och_mem_release(mem, ptr, size);
        return;
    }
    uncount_pages(mem, size);
    refund(mem, NULL, size);
    och_pages_unmap(ptr, size);
}

void
och_mem_release(struct och_mem *mem, void *ptr, size_t size)
{
    if (ptr == NULL)
        return;
    give_back(mem, ptr, size, size);
}

size_t
och_mem_used(const struct och_mem *mem)
{
    return atomic_load_explicit(&mem->used, memory_order_relaxed);
}

size_t
och_mem_used_among_others(const struct och_mem *mem)
{
    size_t on_pages = atomic_load_explicit(&mem->on_pages, memory_order_relaxed);
    size_t used = och_mem_used(mem);
    return used > on_pages ? used - on_pages : 0; /* they change one after the other */
}
