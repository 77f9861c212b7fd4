#include "segment/vector_part.h"

#include "base/hash.h"
#include "index/vector/graph.h"

/* The rows decide, so that the same rows give the same bytes. */
static uint64_t
seed_of(const struct och_seal *seal)
{
    return och_hash64_seeded(seal->collection.bytes, sizeof(seal->collection.bytes), seal->n_rows);
}

ochre_status
och_vector_part_write(void *context, struct och_seal_file *file, const struct och_vector_sink *sink,
        struct ochre_error *err)
{
    const struct och_vector_part *part = context;
    const struct och_seal *seal = och_seal_of(file);
    if (seal->n_rows < OCH_GRAPH_CODES_MIN)
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
            .stop = seal->stop};
    struct och_vector_builder *builder = NULL;
    status = och_graph_kind.build(&build, &builder, err);
    if (status == OCHRE_UNSUPPORTED || status == OCHRE_NO_MEMORY)
        return OCHRE_OK;
    if (status == OCHRE_OK)
        status = och_graph_kind.write(builder, sink, err);
    och_graph_kind.discard(builder);
    return status;
}
