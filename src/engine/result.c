#include "engine/result.h"

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "index/meta/fields.h"

/* Bytes of a text that are asked for before it is read. */
enum { TEXT_AHEAD = 512 };

ochre_status
och_result_begin(struct och_mem *mem, struct och_collection *collection, const uint64_t *as_of,
        unsigned include, struct och_result **result_out, struct ochre_error *err)
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
    ochre_status status =
            och_snapshot_take(collection, as_of, &result->arena, &result->snapshot, err);
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

/* Ask for what will be read of a text: its first lines, the rest is read in order. */
static void
prefetch_text(struct ochre_bytes text)
{
    for (size_t at = 0; at < text.size && at < TEXT_AHEAD; at += 64)
        __builtin_prefetch(text.data + at);
}

/* Where the columns lie.  What lies there is on its way, and is not looked at yet. */
static ochre_status
locate(const struct och_result *result, const struct och_source_row *place, unsigned columns,
        struct ochre_hit *hit_out, struct ochre_bytes *fields_out, struct ochre_error *err)
{
    const struct och_source *source = &result->snapshot.sources[place->source];
    *hit_out = (struct ochre_hit){.distance = 0};
    ochre_status status = och_source_load_row(source, place->row, columns, err);
    if (status != OCHRE_OK)
        return status;
    hit_out->id = och_source_id(source, place->row);
    prefetch_text(hit_out->id);
    if ((columns & OCH_COLUMN_FIELDS) != 0) {
        *fields_out = och_source_fields(source, place->row);
        prefetch_text(*fields_out);
    }
    if ((columns & OCH_COLUMN_DOCUMENTS) != 0) {
        hit_out->document = och_source_document(source, place->row);
        prefetch_text(hit_out->document);
    }
    if ((columns & OCH_COLUMN_URIS) != 0)
        hit_out->uri = och_source_uri(source, place->row);
    if ((columns & OCH_COLUMN_VECTORS) != 0)
        hit_out->embedding = och_source_vector(source, place->row);
    return OCHRE_OK;
}

/* At most OCH_HYDRATE_BATCH. */
static ochre_status
hydrate_batch(struct och_result *result, const struct och_source_row *places, size_t n,
        struct ochre_hit *hits_out, struct ochre_error *err)
{
    struct ochre_bytes fields[OCH_HYDRATE_BATCH];
    unsigned columns = columns_of(result->include);
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < n; i++)
        och_source_prefetch_row(
                &result->snapshot.sources[places[i].source], places[i].row, columns);
    for (size_t i = 0; i < n && status == OCHRE_OK; i++)
        status = locate(result, &places[i], columns, &hits_out[i], &fields[i], err);
    for (size_t i = 0; i < n && status == OCHRE_OK && (columns & OCH_COLUMN_FIELDS) != 0; i++)
        if (och_fields_decode(&result->arena, fields[i], true, &hits_out[i].metadata) != OCHRE_OK)
            status = och_fail_memory(err);
    return status;
}

ochre_status
och_result_hydrate(struct och_result *result, const struct och_source_row *places, size_t n,
        struct ochre_hit *hits_out, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < n && status == OCHRE_OK; i += OCH_HYDRATE_BATCH) {
        size_t some = n - i < OCH_HYDRATE_BATCH ? n - i : OCH_HYDRATE_BATCH;
        status = hydrate_batch(result, places + i, some, hits_out + i, err);
    }
    return status;
}
