/* The index of a segment's vectors: opened when it is first searched, and then warmed. */
#include "base/error.h"
#include "base/mem.h"
#include "index/vector/graph.h"
#include "segment/segment.h"
#include "segment/source.h"

/* An open index and what it looks at. */
struct och_segment_vectors {
    struct och_vector_rows rows;
    struct och_vector_source source;
    struct och_vector_index *index;
};

static ochre_status
load_section(void *context, uint16_t number, const void **bytes_out, uint64_t *size_out,
        struct ochre_error *err)
{
    return och_segment_section(context, number, bytes_out, size_out, err);
}

static void
find_section(void *context, uint16_t number, const void **bytes_out, uint64_t *size_out)
{
    och_segment_find_section(context, number, bytes_out, size_out);
}

static ochre_status
touch_section(
        void *context, uint16_t number, uint64_t offset, uint64_t size, struct ochre_error *err)
{
    return och_segment_touch_section(context, number, offset, size, err);
}

static ochre_status
read_section(void *context, uint16_t number, uint64_t offset, void *to, size_t size,
        struct ochre_error *err)
{
    return och_segment_read_section(context, number, offset, to, size, err);
}

static ochre_status
open_index(struct och_segment *segment, const struct och_kernels *kernels,
        struct och_segment_vectors **vectors_out, struct ochre_error *err)
{
    struct och_segment_vectors *vectors = och_mem_take_zeroed(segment->mem, sizeof(*vectors));
    *vectors_out = vectors;
    if (vectors == NULL)
        return och_fail_memory(err);
    const struct och_source source = {.segment = segment, .n_rows = segment->n_rows};
    (void) och_source_vectors(&source, 0, &vectors->rows);
    vectors->source = (struct och_vector_source){.section = load_section,
            .find = find_section,
            .touch = touch_section,
            .read = read_section,
            .context = segment};
    struct och_vector_open open = {.mem = segment->mem,
            .kernels = kernels,
            .rows = &vectors->rows,
            .space = segment->space,
            .dim = segment->dim,
            .source = &vectors->source};
    return och_graph_kind.open(&open, &vectors->index, err);
}

static void
close_index(struct och_segment *segment, struct och_segment_vectors *vectors)
{
    if (vectors == NULL)
        return;
    och_vector_index_close(vectors->index);
    och_mem_release(segment->mem, vectors, sizeof(*vectors));
}

bool
och_segment_has_index(const struct och_segment *segment)
{
    return segment->sections[OCH_GRAPH_SECTION_MAIN].offset != 0 &&
            !atomic_load_explicit(&segment->vectors_failed, memory_order_relaxed);
}

bool
och_segment_has_graph(const struct och_segment *segment)
{
    return och_segment_has_index(segment) && segment->sections[OCH_GRAPH_SECTION_LINKS].offset != 0;
}

void
och_segment_fail_index(struct och_segment *segment, ochre_status status)
{
    if (status == OCHRE_CORRUPT || status == OCHRE_IO)
        atomic_store_explicit(&segment->worn, true, memory_order_relaxed);
    /* Damage stays; what failed for a moment is tried again. */
    if (status == OCHRE_CORRUPT)
        atomic_store_explicit(&segment->vectors_failed, true, memory_order_relaxed);
}

const struct och_vector_index *
och_segment_index(struct och_segment *segment, const struct och_kernels *kernels)
{
    if (!och_segment_has_index(segment))
        return NULL;
    struct och_segment_vectors *vectors =
            atomic_load_explicit(&segment->vectors, memory_order_acquire);
    if (vectors != NULL)
        return vectors->index;
    och_mutex_lock(&segment->vectors_lock);
    vectors = atomic_load_explicit(&segment->vectors, memory_order_relaxed);
    if (vectors == NULL && och_segment_has_index(segment)) {
        ochre_status status = open_index(segment, kernels, &vectors, NULL);
        if (status == OCHRE_OK) {
            atomic_store_explicit(&segment->vectors, vectors, memory_order_release);
        } else {
            close_index(segment, vectors);
            vectors = NULL;
            och_segment_fail_index(segment, status);
        }
    }
    och_mutex_unlock(&segment->vectors_lock);
    return vectors == NULL ? NULL : vectors->index;
}

/* --- all of it ---------------------------------------------------------------- */

/* So much is read before somebody else may have his turn. */
#define WARM_AT_ONCE ((uint64_t) 8 << 20)

bool
och_segment_is_cold(const struct och_segment *segment)
{
    return atomic_load_explicit(&segment->vectors, memory_order_relaxed) != NULL &&
            !atomic_load_explicit(&segment->vectors_whole, memory_order_acquire) &&
            !atomic_load_explicit(&segment->vectors_failed, memory_order_relaxed);
}

ochre_status
och_segment_warm(struct och_segment *segment, const struct och_kernels *kernels, uint64_t size_max,
        bool *done_out)
{
    *done_out = true;
    if (och_segment_index(segment, kernels) == NULL)
        return OCHRE_OK;
    struct och_segment_vectors *vectors =
            atomic_load_explicit(&segment->vectors, memory_order_acquire);
    ochre_status status = OCHRE_OK;
    och_mutex_lock(&segment->vectors_lock);
    if (och_segment_is_cold(segment)) {
        status = och_graph_kind.warm(vectors->index, size_max, done_out, NULL);
        och_segment_fail_index(segment, status);
        if (status == OCHRE_OK && *done_out)
            atomic_store_explicit(&segment->vectors_whole, true, memory_order_release);
    }
    och_mutex_unlock(&segment->vectors_lock);
    return status;
}

const struct och_vector_index *
och_segment_whole_index(struct och_segment *segment, const struct och_kernels *kernels)
{
    ochre_status status = OCHRE_OK;
    for (bool done = false; !done && status == OCHRE_OK;)
        status = och_segment_warm(segment, kernels, WARM_AT_ONCE, &done);
    return status == OCHRE_OK ? och_segment_index(segment, kernels) : NULL;
}

void
och_segment_close_index(struct och_segment *segment)
{
    close_index(segment, atomic_load_explicit(&segment->vectors, memory_order_relaxed));
}
