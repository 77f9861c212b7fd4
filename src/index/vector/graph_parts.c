#include "index/vector/graph_parts.h"

#include "base/bitset.h"
#include "base/error.h"
#include "base/mem.h"
#include "index/vector/graph.h"
#include "index/vector/walk.h"

/* Read at once: many pages of a file, and one large page of memory. */
#define PIECE ((size_t) 2 << 20)

#define LINKS_SIZE (OCH_GRAPH_DEGREE * sizeof(uint32_t))

static ochre_status
fail_damaged(const char *what, struct ochre_error *err)
{
    return och_fail(err, OCHRE_CORRUPT, "vector index: %s", what);
}

static bool
find(const struct och_vector_source *source, uint16_t number, size_t size,
        struct och_graph_part *part)
{
    uint64_t found = 0;
    source->find(source->context, number, &part->mapped, &found);
    part->size = size;
    return part->mapped != NULL && found == size;
}

ochre_status
och_graph_parts_open(struct och_graph_parts *parts, struct och_mem *mem,
        const struct och_vector_source *source, uint32_t n_rows, size_t stride, bool has_links,
        struct ochre_error *err)
{
    *parts = (struct och_graph_parts){
            .mem = mem, .source = *source, .n_rows = n_rows, .stride = stride};
    if (!find(source, OCH_GRAPH_SECTION_CODES, n_rows * stride, &parts->codes))
        return fail_damaged("codes do not fit the rows", err);
    if (has_links && !find(source, OCH_GRAPH_SECTION_LINKS, n_rows * LINKS_SIZE, &parts->links))
        return fail_damaged("links do not fit the rows", err);
    return OCHRE_OK;
}

static void
forget_copy(struct och_graph_parts *parts, struct och_graph_part *part)
{
    och_mem_release(parts->mem, part->copy, part->size);
    part->copy = NULL;
    part->n_done = 0;
    part->is_begun = false;
}

void
och_graph_parts_close(struct och_graph_parts *parts)
{
    if (parts->mem == NULL)
        return;
    forget_copy(parts, &parts->codes);
    forget_copy(parts, &parts->links);
}

/* --- as far as they are needed ------------------------------------------------ */

ochre_status
och_graph_parts_touch_codes(
        const struct och_graph_parts *parts, uint32_t row, uint32_t n, struct ochre_error *err)
{
    return parts->source.touch(parts->source.context, OCH_GRAPH_SECTION_CODES, row * parts->stride,
            n * parts->stride, err);
}

/* Links must lead to rows. */
static ochre_status
check_links(const uint32_t *links, size_t n, uint32_t n_rows, struct ochre_error *err)
{
    bool bad = false;
    for (size_t i = 0; i < n; i++)
        bad |= links[i] >= n_rows && links[i] != OCH_ROW_NONE;
    return bad ? fail_damaged("a link leads to a row that is not there", err) : OCHRE_OK;
}

ochre_status
och_graph_parts_touch_links(
        const struct och_graph_parts *parts, uint32_t row, uint32_t n, struct ochre_error *err)
{
    const uint32_t *links = parts->links.mapped;
    ochre_status status = parts->source.touch(
            parts->source.context, OCH_GRAPH_SECTION_LINKS, row * LINKS_SIZE, n * LINKS_SIZE, err);
    if (status == OCHRE_OK)
        status = check_links(links + (size_t) row * OCH_GRAPH_DEGREE, (size_t) n * OCH_GRAPH_DEGREE,
                parts->n_rows, err);
    return status;
}

/* --- all of them -------------------------------------------------------------- */

/* The next piece of a part. */
static ochre_status
warm_piece(struct och_graph_parts *parts, struct och_graph_part *part, uint16_t number, size_t size,
        struct ochre_error *err)
{
    const struct och_vector_source *source = &parts->source;
    size_t at = part->n_done;
    if (!part->is_begun) {
        part->copy = och_mem_take_huge(parts->mem, part->size);
        part->is_begun = true;
    }
    ochre_status status = part->copy == NULL
            ? source->touch(source->context, number, at, size, err)
            : source->read(source->context, number, at, (char *) part->copy + at, size, err);
    const char *bytes = och_graph_part_bytes(part);
    /* Pieces begin and end with a row's links. */
    if (status == OCHRE_OK && part == &parts->links)
        status = check_links((const uint32_t *) (const void *) (bytes + at),
                size / sizeof(uint32_t), parts->n_rows, err);
    if (status == OCHRE_OK)
        part->n_done += size;
    return status;
}

ochre_status
och_graph_parts_warm(
        struct och_graph_parts *parts, uint64_t size_max, bool *done_out, struct ochre_error *err)
{
    uint64_t n_read = 0;
    ochre_status status = OCHRE_OK;
    *done_out = false;
    while (status == OCHRE_OK && n_read < size_max) {
        bool codes = parts->codes.n_done < parts->codes.size;
        struct och_graph_part *part = codes ? &parts->codes : &parts->links;
        size_t left = part->mapped == NULL ? 0 : part->size - part->n_done;
        size_t size = left < PIECE ? left : PIECE;
        if (size == 0)
            break;
        status = warm_piece(
                parts, part, codes ? OCH_GRAPH_SECTION_CODES : OCH_GRAPH_SECTION_LINKS, size, err);
        n_read += size;
    }
    *done_out = status == OCHRE_OK && parts->codes.n_done == parts->codes.size &&
            parts->links.n_done == parts->links.size;
    if (status == OCHRE_CORRUPT)
        och_graph_parts_close(parts);
    return status;
}
