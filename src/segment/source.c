#include "segment/source.h"

ochre_status
och_source_load(const struct och_source *source, unsigned columns, struct ochre_error *err)
{
    if (source->segment == NULL)
        return OCHRE_OK;
    return och_segment_load(source->segment, columns, err);
}

ochre_status
och_source_load_row(
        const struct och_source *source, uint32_t row, unsigned columns, struct ochre_error *err)
{
    if (source->segment == NULL)
        return OCHRE_OK;
    return och_segment_load_rows(source->segment, row, 1, columns, err);
}

void
och_source_prefetch_row(const struct och_source *source, uint32_t row, unsigned columns)
{
    if (source->segment != NULL)
        och_segment_prefetch_row(source->segment, row, columns);
}

struct ochre_bytes
och_source_id(const struct och_source *source, uint32_t row)
{
    if (source->segment != NULL)
        return och_segment_id(source->segment, row);
    return och_head_texts(source->head, row)->id;
}

struct ochre_bytes
och_source_document(const struct och_source *source, uint32_t row)
{
    if (source->segment != NULL)
        return och_segment_document(source->segment, row);
    return och_head_texts(source->head, row)->document;
}

struct ochre_bytes
och_source_uri(const struct och_source *source, uint32_t row)
{
    if (source->segment != NULL)
        return och_segment_uri(source->segment, row);
    return och_head_texts(source->head, row)->uri;
}

struct ochre_bytes
och_source_fields(const struct och_source *source, uint32_t row)
{
    if (source->segment != NULL)
        return och_segment_fields(source->segment, row);
    return och_head_texts(source->head, row)->fields;
}

const float *
och_source_vector(const struct och_source *source, uint32_t row)
{
    if (source->segment != NULL)
        return och_segment_vectors(source->segment) + (size_t) row * source->segment->dim;
    float norm;
    return och_head_vector(source->head, row, &norm);
}

float
och_source_norm(const struct och_source *source, uint32_t row)
{
    float norm;
    if (source->segment != NULL)
        return och_segment_norms(source->segment)[row];
    (void) och_head_vector(source->head, row, &norm);
    return norm;
}

uint64_t
och_source_ordinal(const struct och_source *source, uint32_t row)
{
    if (source->segment != NULL)
        return och_segment_ordinals(source->segment)[row];
    return och_head_ordinal(source->head, row);
}

bool
och_source_in_order(const struct och_source *source)
{
    return source->segment != NULL ||
            atomic_load_explicit(&source->head->in_order, memory_order_relaxed);
}

bool
och_source_sees(const struct och_source *source, uint32_t row)
{
    if (source->segment != NULL)
        return source->position < och_segment_dead(source->segment, row);
    return och_head_is_visible(source->head, row, source->position);
}

ochre_status
och_source_visible(const struct och_source *source, struct och_bitset *rows, bool *all_out)
{
    *all_out = false;
    if (source->segment == NULL) {
        /* Rows below the snapshot's count were all born before it. */
        *all_out = atomic_load_explicit(&source->head->n_dead, memory_order_acquire) == 0;
        if (*all_out)
            return OCHRE_OK;
        return och_head_visible(source->head, source->n_rows, source->position, rows);
    }
    *all_out = !och_segment_has_dead(source->segment);
    if (*all_out)
        return OCHRE_OK;
    ochre_status status = och_segment_dead_rows(source->segment, source->position, rows);
    if (status == OCHRE_OK)
        och_bitset_complement(rows, source->n_rows);
    return status;
}

uint64_t
och_source_count(const struct och_source *source)
{
    if (source->segment != NULL) {
        if (!och_segment_has_dead(source->segment))
            return source->n_rows;
        return source->n_rows - och_segment_count_dead(source->segment, source->position);
    }
    if (atomic_load_explicit(&source->head->n_dead, memory_order_acquire) == 0)
        return source->n_rows;
    uint64_t count = 0;
    for (uint32_t row = 0; row < source->n_rows; row++)
        count += och_source_sees(source, row);
    return count;
}

ochre_status
och_source_find(const struct och_source *source, struct ochre_bytes id, uint32_t *row_out,
        struct ochre_error *err)
{
    if (source->segment == NULL) {
        uint32_t newest = och_head_find(source->head, id);
        *row_out = och_head_version(source->head, newest, source->n_rows, source->position);
        return OCHRE_OK;
    }
    ochre_status status = och_segment_find(source->segment, id, row_out, err);
    if (status == OCHRE_OK && *row_out != OCH_ROW_NONE && !och_source_sees(source, *row_out))
        *row_out = OCH_ROW_NONE;
    return status;
}

static ochre_status
touch_segment(void *context, uint32_t row, uint32_t n, struct ochre_error *err)
{
    return och_segment_load_rows(context, row, n, OCH_COLUMN_VECTORS | OCH_COLUMN_ORDINALS, err);
}

uint32_t
och_source_vectors(
        const struct och_source *source, uint32_t first, struct och_vector_rows *rows_out)
{
    if (source->segment != NULL) {
        och_assert(first == 0);
        *rows_out = (struct och_vector_rows){.rows = och_segment_vectors(source->segment),
                .norms = och_segment_norms(source->segment),
                .ordinals = och_segment_ordinals(source->segment),
                .n_rows = source->n_rows,
                .touch = touch_segment,
                .context = source->segment};
        return source->n_rows;
    }
    uint32_t at;
    unsigned c = och_head_chunk_of(first, &at);
    och_assert(at == 0);
    const struct och_head_chunk *chunk = &source->head->chunks[c];
    uint32_t n = och_head_chunk_rows(c);
    if (n > source->n_rows - first)
        n = source->n_rows - first;
    *rows_out = (struct och_vector_rows){.rows = chunk->vectors,
            .norms = chunk->norms,
            .ordinals = chunk->ordinals,
            .n_rows = n,
            .tail = source->head->dim > 0 ? &chunk->tail : NULL};
    return first + n;
}
