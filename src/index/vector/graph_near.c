#include "index/vector/graph_near.h"

#include <math.h>
#include <string.h>

#include "base/bitset.h"
#include "base/mem.h"
#include "distance/distance.h"
#include "index/vector/graph_build.h"
#include "index/vector/graph_link.h"
#include "index/vector/quant.h"

static size_t
n_terms(uint32_t capacity)
{
    return capacity / OCH_CODE_BLOCK + 1;
}

ochre_status
och_near_block_make(
        const struct och_graph_build *build, uint32_t capacity, struct och_near_block *block_out)
{
    *block_out = (struct och_near_block){.mem = build->mem, .capacity = capacity};
    block_out->codes = och_mem_take(build->mem, capacity * build->quant->stride4);
    /* Cleared: what bounds an error counts for nothing here. */
    block_out->terms =
            och_mem_take_zeroed(build->mem, n_terms(capacity) * sizeof(*block_out->terms));
    return block_out->codes == NULL || block_out->terms == NULL ? OCHRE_NO_MEMORY : OCHRE_OK;
}

void
och_near_block_clear(const struct och_graph_build *build, struct och_near_block *block)
{
    if (block->mem == NULL)
        return;
    och_mem_release(block->mem, block->codes, block->capacity * build->quant->stride4);
    och_mem_release(block->mem, block->terms, n_terms(block->capacity) * sizeof(*block->terms));
    *block = (struct och_near_block){.mem = NULL};
}

void
och_near_block_fill(const struct och_graph_build *build, struct och_near_block *block,
        const uint32_t *nodes, uint32_t n)
{
    size_t stride = build->quant->stride4;
    och_assert(n <= block->capacity);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *from = build->codes4 + nodes[i] * stride;
        struct och_code_terms *terms = &block->terms[i / OCH_CODE_BLOCK];
        struct och_code4 header;
        memcpy(&header, from, sizeof(header));
        memcpy(block->codes + i * stride, from, stride);
        terms->add[i % OCH_CODE_BLOCK] = header.add;
        terms->scale[i % OCH_CODE_BLOCK] = header.scale;
    }
    block->n = n;
}

ochre_status
och_near_tile_make(const struct och_graph_build *build, struct och_near_tile *tile_out)
{
    tile_out->mem = build->mem;
    tile_out->n = 0;
    tile_out->elements = och_mem_take(build->mem, OCH_NEAR_TILE * (size_t) build->quant->padded);
    return tile_out->elements == NULL ? OCHRE_NO_MEMORY : OCHRE_OK;
}

void
och_near_tile_clear(const struct och_graph_build *build, struct och_near_tile *tile)
{
    if (tile->mem == NULL)
        return;
    och_mem_release(tile->mem, tile->elements, OCH_NEAR_TILE * (size_t) build->quant->padded);
    tile->mem = NULL;
}

void
och_near_tile_fill(const struct och_graph_build *build, struct och_near_tile *tile,
        const uint32_t *nodes, uint32_t n)
{
    och_assert(n <= OCH_NEAR_TILE);
    tile->n = n;
    for (uint32_t i = 0; i < n; i++) {
        struct och_quant_query query;
        och_quant_query_from7(build->quant, och_link_code(build, nodes[i]),
                tile->elements + (size_t) i * build->quant->padded, &query);
        tile->nodes[i] = nodes[i];
        tile->weights[i] = (struct och_code_weights){
                .step = query.step, .offset = -query.offset, .add = query.base};
    }
}

/* Put a place where it belongs among the nearest; `*n` grows up to `kept`. */
static void
insert(struct och_walk_node *near, uint32_t *n, uint32_t kept, struct och_walk_node node)
{
    uint32_t i = *n < kept ? (*n)++ : kept - 1;
    for (; i > 0 && near[i - 1].distance > node.distance; i--)
        near[i] = near[i - 1];
    near[i] = node;
}

/* The part of a block from place `from` on, for one of the tile. */
static void
look(const struct och_graph_build *build, const struct och_near_block *block,
        struct och_near_tile *tile, uint32_t i, uint32_t from, uint32_t self, uint32_t kept)
{
    const struct och_code_kernels *kernels = build->quant->kernels->codes;
    struct och_walk_node *near = tile->near[i];
    uint32_t n = block->n - from < OCH_CODE_BLOCK ? block->n - from : OCH_CODE_BLOCK;
    uint32_t *n_near = &tile->n_near[i];
    float distances[OCH_CODE_BLOCK];
    float limit = *n_near < kept ? INFINITY : near[kept - 1].distance;
    uint64_t bits = kernels->bound_block(&tile->weights[i], &block->terms[from / OCH_CODE_BLOCK],
            tile->dots + (size_t) i * n, n, limit, distances);
    for (; bits != 0; bits &= bits - 1) {
        uint32_t at = (uint32_t) __builtin_ctzll(bits);
        bool is_near = *n_near < kept || distances[at] < near[kept - 1].distance;
        if (is_near && from + at != self)
            insert(near, n_near, kept, (struct och_walk_node){distances[at], from + at});
    }
}

void
och_near_find(const struct och_graph_build *build, const struct och_near_block *block,
        struct och_near_tile *tile, uint32_t self, uint32_t kept)
{
    const struct och_quant *quant = build->quant;
    och_assert(kept <= OCH_NEAR_KEPT_MAX);
    memset(tile->n_near, 0, sizeof(tile->n_near));
    for (uint32_t from = 0; from < block->n; from += OCH_CODE_BLOCK) {
        uint32_t n = block->n - from < OCH_CODE_BLOCK ? block->n - from : OCH_CODE_BLOCK;
        quant->kernels->codes->dot4_block(tile->elements, tile->n,
                block->codes + from * quant->stride4 + OCH_CODE_HEADER, quant->stride4, n,
                quant->padded, tile->dots);
        for (uint32_t i = 0; i < tile->n; i++)
            look(build, block, tile, i, from, self == OCH_ROW_NONE ? self : self + i, kept);
    }
}
