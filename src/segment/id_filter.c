#include "segment/id_filter.h"

#include <string.h>

#include "base/mem.h"

enum { WORDS = 8, IDS_PER_BLOCK = 16 };

struct block {
    uint32_t words[WORDS];
};

struct och_id_filter {
    struct och_mem *mem;  /* borrowed */
    struct block *blocks; /* owned: [n_blocks], a power of two */
    uint64_t n_blocks;
    uint64_t n_added;
};

static uint64_t
count_blocks(uint64_t n_ids)
{
    uint64_t n_blocks = 1;
    while (n_blocks * IDS_PER_BLOCK < n_ids)
        n_blocks *= 2;
    return n_blocks;
}

uint64_t
och_id_filter_size(uint64_t n_ids)
{
    return count_blocks(n_ids) * sizeof(struct block);
}

ochre_status
och_id_filter_make(struct och_mem *mem, uint64_t n_ids, struct och_id_filter **filter_out)
{
    *filter_out = NULL;
    uint64_t n_blocks = count_blocks(n_ids);
    struct och_id_filter *filter = och_mem_take(mem, sizeof(*filter));
    if (filter == NULL)
        return OCHRE_NO_MEMORY;
    size_t size = (size_t) n_blocks * sizeof(struct block);
    *filter = (struct och_id_filter){
            .mem = mem, .blocks = och_mem_take_aligned(mem, 64, size), .n_blocks = n_blocks};
    if (filter->blocks == NULL) {
        och_mem_release(mem, filter, sizeof(*filter));
        return OCHRE_NO_MEMORY;
    }
    memset(filter->blocks, 0, size);
    *filter_out = filter;
    return OCHRE_OK;
}

void
och_id_filter_release(struct och_id_filter *filter)
{
    if (filter == NULL)
        return;
    och_mem_release(filter->mem, filter->blocks, (size_t) filter->n_blocks * sizeof(struct block));
    och_mem_release(filter->mem, filter, sizeof(*filter));
}

/* 64 bits that all depend on all of the hash's: the finalizer of splitmix64. */
static uint64_t
spread(uint32_t hash)
{
    uint64_t x = hash * UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static struct block *
block_of(const struct och_id_filter *filter, uint64_t bits)
{
    return &filter->blocks[(bits >> 40) & (filter->n_blocks - 1)];
}

/* Five bits of `bits` for each word choose its bit. */
static uint32_t
bit_of(uint64_t bits, unsigned word)
{
    return UINT32_C(1) << ((bits >> (word * 5)) & 31);
}

void
och_id_filter_add(struct och_id_filter *filter, uint32_t hash)
{
    uint64_t bits = spread(hash);
    struct block *block = block_of(filter, bits);
    for (unsigned i = 0; i < WORDS; i++)
        block->words[i] |= bit_of(bits, i);
    filter->n_added++;
}

bool
och_id_filter_has(const struct och_id_filter *filter, uint32_t hash)
{
    uint64_t bits = spread(hash);
    const struct block *block = block_of(filter, bits);
    uint32_t missing = 0;
    for (unsigned i = 0; i < WORDS; i++)
        missing |= bit_of(bits, i) & ~block->words[i];
    return missing == 0;
}

void
och_id_filter_prefetch(const struct och_id_filter *filter, uint32_t hash)
{
    __builtin_prefetch(block_of(filter, spread(hash)));
}

bool
och_id_filter_is_full(const struct och_id_filter *filter)
{
    return filter->n_added > filter->n_blocks * IDS_PER_BLOCK;
}
