#include "segment/vector_part.h"

#include <string.h>

#include "base/bitset.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "index/vector/graph.h"
#include "segment/segment.h"
#include "segment/source.h"

/* The rows decide, so that the same rows give the same bytes. */
static uint64_t
seed_of(const struct och_seal *seal)
{
    return och_hash64_seeded(seal->collection.bytes, sizeof(seal->collection.bytes), seal->n_rows);
}

/* The source with a graph that most rows come from: its links are kept. */
struct largest {
    struct och_vector_kept kept;
    uint32_t *map; /* owned: [n_map] */
    size_t n_map;
};

/* Which source that is, and how many rows come from it. */
static ochre_status
choose_source(const struct och_seal *seal, uint32_t *source_out, uint32_t *n_rows_out)
{
    *n_rows_out = 0;
    uint32_t *counts = och_mem_take_zeroed(seal->mem, seal->n_sources * sizeof(*counts));
    if (counts == NULL)
        return OCHRE_NO_MEMORY;
    for (uint32_t i = 0; i < seal->n_rows; i++)
        counts[seal->rows[i].source]++;
    for (uint32_t i = 0; i < seal->n_sources; i++) {
        const struct och_segment *segment = seal->sources[i].segment;
        if (segment == NULL || !och_segment_has_graph(segment) || counts[i] <= *n_rows_out)
            continue;
        *source_out = i;
        *n_rows_out = counts[i];
    }
    och_mem_release(seal->mem, counts, seal->n_sources * sizeof(*counts));
    return OCHRE_OK;
}

/* What cannot be opened is not kept: the graph is then made from nothing. */
static ochre_status
find_largest(
        const struct och_seal *seal, const struct och_vector_part *part, struct largest *largest)
{
    uint32_t source = 0, n_rows = 0;
    ochre_status status = choose_source(seal, &source, &n_rows);
    if (status != OCHRE_OK ||
            n_rows < (part->graph_rows != 0 ? part->graph_rows : OCH_GRAPH_ROWS_MIN))
        return status;
    struct och_segment *segment = seal->sources[source].segment;
    largest->kept.index = och_segment_whole_index(segment, part->kernels);
    if (largest->kept.index == NULL)
        return OCHRE_OK;
    largest->n_map = segment->n_rows;
    largest->map = och_mem_take(seal->mem, largest->n_map * sizeof(*largest->map));
    if (largest->map == NULL)
        return OCHRE_NO_MEMORY;
    memset(largest->map, 0xff, largest->n_map * sizeof(*largest->map)); /* OCH_ROW_NONE */
    for (uint32_t i = 0; i < seal->n_rows; i++) {
        if (seal->rows[i].source == source)
            largest->map[seal->rows[i].row] = i;
    }
    largest->kept.map = largest->map;
    return OCHRE_OK;
}

ochre_status
och_vector_part_write(void *context, struct och_seal_file *file, const struct och_vector_sink *sink,
        struct ochre_error *err)
{
    const struct och_vector_part *part = context;
    const struct och_seal *seal = och_seal_of(file);
    if (seal->n_rows < OCH_GRAPH_CODES_MIN &&
            (part->graph_rows == 0 || seal->n_rows < part->graph_rows))
        return OCHRE_OK;
    struct och_vector_rows rows;
    ochre_status status = och_seal_vectors(file, &rows, err);
    if (status != OCHRE_OK)
        return status;
    struct och_vector_build build = {.mem = seal->mem,
            .executor = part->executor,
            .kernels = part->kernels,
            .rows = &rows,
            .space = seal->space,
            .dim = seal->dim,
            .seed = seed_of(seal),
            .effort = part->effort,
            .quick = part->quick,
            .graph_rows = part->graph_rows,
            .join_rows = part->join_rows,
            .pace = seal->pace};
    struct och_vector_builder *builder = NULL;
    struct largest largest = {.map = NULL};
    if (!part->quick)
        status = find_largest(seal, part, &largest);
    build.kept = largest.map == NULL ? NULL : &largest.kept;
    if (status == OCHRE_OK)
        status = och_graph_kind.build(&build, &builder, err);
    if (status == OCHRE_UNSUPPORTED || status == OCHRE_NO_MEMORY)
        status = OCHRE_OK; /* without an index */
    else if (status == OCHRE_OK)
        status = och_graph_kind.write(builder, sink, err);
    och_graph_kind.discard(builder);
    och_mem_release(seal->mem, largest.map, largest.n_map * sizeof(*largest.map));
    return status;
}
