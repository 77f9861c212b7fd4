#include "engine/result.h"

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "index/meta/fields.h"

ochre_status
och_result_begin(struct och_mem *mem, struct och_collection *collection, unsigned include,
        struct och_result **result_out, struct ochre_error *err)
{
    *result_out = NULL;
    struct och_result *result = och_mem_take_zeroed(mem, sizeof(*result));
    if (result == NULL)
        return och_fail_memory(err);
    result->mem = mem;
    result->include = include;
    och_mem_init(&result->account, mem);
    result->account.limit = OCH_RESULT_MEMORY_MAX;
    och_arena_init(&result->arena, &result->account);
    ochre_status status = och_snapshot_take(collection, &result->arena, &result->snapshot, err);
    if (status != OCHRE_OK) {
        och_result_release(result);
        return status;
    }
    result->dim = result->snapshot.facts.dim;
    *result_out = result;
    return OCHRE_OK;
}

void
och_result_release(struct och_result *result)
{
    if (result == NULL)
        return;
    och_snapshot_release(&result->snapshot);
    och_arena_clear(&result->arena);
    och_mem_release(result->mem, result, sizeof(*result));
}

static unsigned
columns_of(unsigned include)
{
    unsigned columns = OCH_COLUMN_IDS;
    if ((include & OCHRE_INCLUDE_DOCUMENTS) != 0)
        columns |= OCH_COLUMN_DOCUMENTS;
    if ((include & OCHRE_INCLUDE_URIS) != 0)
        columns |= OCH_COLUMN_URIS;
    if ((include & OCHRE_INCLUDE_METADATAS) != 0)
        columns |= OCH_COLUMN_FIELDS;
    if ((include & OCHRE_INCLUDE_EMBEDDINGS) != 0)
        columns |= OCH_COLUMN_VECTORS;
    return columns;
}

ochre_status
och_result_hydrate(struct och_result *result, uint32_t source_index, uint32_t row,
        struct ochre_hit *hit_out, struct ochre_error *err)
{
    const struct och_source *source = &result->snapshot.sources[source_index];
    unsigned columns = columns_of(result->include);
    *hit_out = (struct ochre_hit){.distance = 0};
    ochre_status status = och_source_load_row(source, row, columns, err);
    if (status != OCHRE_OK)
        return status;
    hit_out->id = och_source_id(source, row);
    if ((columns & OCH_COLUMN_DOCUMENTS) != 0)
        hit_out->document = och_source_document(source, row);
    if ((columns & OCH_COLUMN_URIS) != 0)
        hit_out->uri = och_source_uri(source, row);
    if ((columns & OCH_COLUMN_VECTORS) != 0)
        hit_out->embedding = och_source_vector(source, row);
    if ((columns & OCH_COLUMN_FIELDS) != 0 &&
            och_fields_decode(&result->arena, och_source_fields(source, row), true,
                    &hit_out->metadata) != OCHRE_OK)
        return och_fail_memory(err);
    return OCHRE_OK;
}
