#include "base/pages.h"

#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>

/* As many as there are requests of a size at a time, beyond which few are. */
enum { N_SIZES = 8, N_SLOTS = 16 };

static_assert(OCH_PAGES_SIZE_MIN << (N_SIZES - 1) == OCH_PAGES_SIZE_MAX, "each power of two");

struct slot {
    _Atomic(void *) block; /* whoever exchanges it for NULL owns it */
    atomic_uint n_looks;   /* since it was put there; a hint, like all but the block */
};

/* Of the process, like the heap of the C library in whose place they are. */
static struct slot slots[N_SIZES][N_SLOTS];
static atomic_size_t n_kept; /* bytes; never less than there are */

static void *
map(size_t size)
{
    void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block == MAP_FAILED ? NULL : block;
}

void *
och_pages_map(size_t size)
{
    void *block = map(size);
    if (block != NULL || och_pages_kept() == 0)
        return block;
    och_pages_drop(); /* of other sizes; this one is wanted more */
    return map(size);
}

void
och_pages_unmap(void *block, size_t size)
{
    /* In the middle of others it makes one mapping two, of which there may be too many: then
     * the memory goes all the same, and its addresses stay. */
    if (munmap(block, size) != 0)
        (void) madvise(block, size, MADV_DONTNEED);
}

/* Which row of slots is for `size`. */
static size_t
row_of(size_t size)
{
    size_t row = 0;
    while (OCH_PAGES_SIZE_MIN << row < size)
        row++;
    return row;
}

size_t
och_pages_room(size_t size)
{
    return OCH_PAGES_SIZE_MIN << row_of(size);
}

/* What is in a slot, or NULL. */
static void *
empty(struct slot *slot, size_t room)
{
    if (atomic_load_explicit(&slot->block, memory_order_relaxed) == NULL)
        return NULL;
    void *block = atomic_exchange_explicit(&slot->block, NULL, memory_order_acquire);
    if (block != NULL)
        (void) atomic_fetch_sub_explicit(&n_kept, room, memory_order_relaxed);
    return block;
}

void *
och_pages_take(size_t size, bool *is_zeroed_out)
{
    struct slot *row = slots[row_of(size)];
    size_t room = och_pages_room(size);
    *is_zeroed_out = false;
    for (size_t i = 0; i < N_SLOTS; i++) {
        void *block = empty(&row[i], room);
        if (block != NULL)
            return block;
    }
    *is_zeroed_out = true;
    return och_pages_map(room);
}

void
och_pages_give(void *block, size_t size)
{
    struct slot *row = slots[row_of(size)];
    size_t room = och_pages_room(size);
    size_t before = atomic_fetch_add_explicit(&n_kept, room, memory_order_relaxed);
    for (size_t i = 0; i < N_SLOTS && before <= OCH_PAGES_KEPT_MAX - room; i++) {
        void *nothing = NULL;
        if (atomic_load_explicit(&row[i].block, memory_order_relaxed) != NULL)
            continue;
        atomic_store_explicit(&row[i].n_looks, 0, memory_order_relaxed);
        /* Released for the exchange in empty(). */
        if (atomic_compare_exchange_strong_explicit(
                    &row[i].block, &nothing, block, memory_order_release, memory_order_relaxed))
            return;
    }
    (void) atomic_fetch_sub_explicit(&n_kept, room, memory_order_relaxed);
    och_pages_unmap(block, room);
}

/* Give back what has been looked at so often without being taken. */
static void
give_back(unsigned n_looks)
{
    for (size_t i = 0; i < N_SIZES; i++) {
        size_t room = OCH_PAGES_SIZE_MIN << i;
        for (size_t j = 0; j < N_SLOTS; j++) {
            struct slot *slot = &slots[i][j];
            if (atomic_load_explicit(&slot->block, memory_order_relaxed) == NULL)
                continue;
            if (atomic_fetch_add_explicit(&slot->n_looks, 1, memory_order_relaxed) < n_looks)
                continue;
            void *block = empty(slot, room);
            if (block != NULL)
                och_pages_unmap(block, room);
        }
    }
}

void
och_pages_look(void)
{
    give_back(OCH_PAGES_LOOKS);
}

void
och_pages_drop(void)
{
    give_back(0);
}

size_t
och_pages_kept(void)
{
    return atomic_load_explicit(&n_kept, memory_order_relaxed);
}
