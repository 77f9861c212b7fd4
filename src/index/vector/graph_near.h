/*
 * graph_near.h - of a block of nodes the nearest to each of a few others.
 *
 * Everything in a block is compared with everything in a tile: products of codes that
 * lie side by side, which costs a small part of comparing rows that lie anywhere.
 * For graph_*.c only.
 *
 * Distances are estimates (4-bit codes against 7-bit ones).  Equal ones go by their
 * place in the block, so results depend on the order of the block alone.
 *
 * Threads: a tile belongs to one; a block is read.
 */
#ifndef OCH_INDEX_VECTOR_GRAPH_NEAR_H
#define OCH_INDEX_VECTOR_GRAPH_NEAR_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "distance/codes.h"
#include "index/vector/walk.h"
#include "ochre/status.h"

struct och_graph_build;
struct och_mem;

/* Nodes of a tile, and the most that are kept for each. */
enum { OCH_NEAR_TILE = 64, OCH_NEAR_KEPT_MAX = 16 };

/* Codes of nodes, copied side by side, and the numbers that go with them. */
struct och_near_block {
    struct och_mem *mem;
    uint8_t *codes;               /* owned: [capacity] of quant->stride4 bytes */
    struct och_code_terms *terms; /* owned: of OCH_CODE_BLOCK nodes each */
    uint32_t n, capacity;
};

/* OCHRE_NO_MEMORY; clear it then too. */
OCH_MUST_CHECK ochre_status och_near_block_make(
        const struct och_graph_build *build, uint32_t capacity, struct och_near_block *block_out);
void och_near_block_clear(const struct och_graph_build *build,
        struct och_near_block *block); /* a zeroed one is fine */

/* Let the block hold `n` nodes, at most its capacity. */
void och_near_block_fill(const struct och_graph_build *build, struct och_near_block *block,
        const uint32_t *nodes, uint32_t n);

/* A few nodes that look for what is near. */
struct och_near_tile {
    struct och_mem *mem;
    int8_t *elements; /* owned: [OCH_NEAR_TILE][padded] */
    uint32_t n;
    uint32_t nodes[OCH_NEAR_TILE];
    struct och_code_weights weights[OCH_NEAR_TILE];
    uint32_t n_near[OCH_NEAR_TILE];
    struct och_walk_node near[OCH_NEAR_TILE][OCH_NEAR_KEPT_MAX]; /* places in the block */
    int32_t dots[OCH_NEAR_TILE * OCH_CODE_BLOCK];
};

OCH_MUST_CHECK ochre_status och_near_tile_make(
        const struct och_graph_build *build, struct och_near_tile *tile_out);
void och_near_tile_clear(
        const struct och_graph_build *build, struct och_near_tile *tile); /* a zeroed one is fine */

/* Take nodes in, in place of those before: at most OCH_NEAR_TILE. */
void och_near_tile_fill(const struct och_graph_build *build, struct och_near_tile *tile,
        const uint32_t *nodes, uint32_t n);

/*
 * The `kept` nearest of the block to each of the tile, nearest first, in
 * tile->near.  Tiles are cut out of the block where `self` is not OCH_ROW_NONE: node i is the
 * one at self + i, and not its own neighbour.
 */
void och_near_find(const struct och_graph_build *build, const struct och_near_block *block,
        struct och_near_tile *tile, uint32_t self, uint32_t kept);

#endif /* OCH_INDEX_VECTOR_GRAPH_NEAR_H */
