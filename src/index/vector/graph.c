#include "index/vector/graph.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/bitset.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "index/vector/calibrate.h"
#include "index/vector/graph_builder.h"
#include "index/vector/graph_check.h"
#include "index/vector/graph_parts.h"
#include "index/vector/graph_plan.h"
#include "index/vector/graph_search.h"
#include "index/vector/quant.h"
#include "index/vector/rows.h"
#include "index/vector/topk.h"

#define MAIN_VERSION 1u

/* --- opening ---------------------------------------------------------------- */

struct graph_index {
    struct och_vector_index base;
    struct och_mem *mem;
    struct och_quant quant;
    struct och_calibration calibration;
    uint32_t *numbers; /* owned: entries, strays, copies */
    size_t n_numbers;
    struct och_graph_parts parts;
    struct och_graph_view view;                     /* codes and links as they are mapped */
    struct och_graph_view warm;                     /* all of them read and verified; once ... */
    _Atomic(const struct och_graph_view *) current; /* ... this leads there; NULL before */
    struct och_plan_scales scales;                  /* the warm view's: disks are no measure */
};

/* What searches may look at without seeing to it first; NULL: not yet.  Acquires what
 * graph_warm released. */
static const struct och_graph_view *
warm_view(const struct graph_index *graph)
{
    return atomic_load_explicit(&graph->current, memory_order_acquire);
}

static const struct graph_index *
graph_of(const struct och_vector_index *index)
{
    och_assert(index->kind == &och_graph_kind);
    return (const struct graph_index *) (const void *) index;
}

static ochre_status
fail_damaged(const char *what, struct ochre_error *err)
{
    return och_fail(err, OCHRE_CORRUPT, "vector index: %s", what);
}

static void
read_calibration(struct och_reader *reader, struct och_calibration *calibration)
{
    calibration->n_queries = och_reader_u32(reader);
    for (size_t i = 0; i < OCH_CALIBRATION_SIZES; i++) {
        for (size_t j = 0; j < OCH_CALIBRATION_TARGETS; j++) {
            uint32_t effort = och_reader_u32(reader);
            uint32_t bits = och_reader_u32(reader);
            calibration->effort[i][j] = effort > OCH_GRAPH_EFFORT_MAX ? 0 : effort;
            memcpy(&calibration->measured[i][j], &bits, sizeof(bits));
        }
    }
}

/* The numbers at the end of the section: rows, all below n_rows. */
static ochre_status
read_numbers(struct graph_index *graph, struct och_reader *reader, uint32_t n_copies,
        struct ochre_error *err)
{
    struct och_graph_view *view = &graph->view;
    uint32_t n_rows = view->coded.rows->n_rows;
    size_t n = (size_t) view->n_entries + view->n_strays + (size_t) n_copies * 2;
    if (n > (size_t) n_rows * 4)
        return fail_damaged("more entries than rows", err);
    if (n == 0)
        return reader->failed ? fail_damaged("the main section is cut short", err) : OCHRE_OK;
    graph->numbers = och_mem_take(graph->mem, n * sizeof(uint32_t));
    if (graph->numbers == NULL)
        return och_fail_memory(err);
    graph->n_numbers = n;
    for (size_t i = 0; i < n; i++) {
        graph->numbers[i] = och_reader_u32(reader);
        if (graph->numbers[i] >= n_rows)
            return fail_damaged("a row that is not there", err);
    }
    view->entries = graph->numbers;
    view->strays = view->entries + view->n_entries;
    view->copies = view->strays + view->n_strays;
    view->n_copies = n_copies;
    return reader->failed ? fail_damaged("the main section is cut short", err) : OCHRE_OK;
}

/* Rows that have codes are no longer than that. */
static bool
is_mean(const float *mean, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(mean[i]) <= OCH_QUANT_LENGTH_MAX))
            return false;
    return true;
}

static ochre_status
read_main(struct graph_index *graph, const struct och_vector_open *open, const void *bytes,
        uint64_t size, struct ochre_error *err)
{
    struct och_reader reader;
    float scalars[2];
    och_reader_init(&reader, bytes, (size_t) size);
    uint32_t version = och_reader_u32(&reader);
    if (version != MAIN_VERSION)
        return fail_damaged("it is of another version", err);
    uint32_t n_rows = och_reader_u32(&reader);
    uint32_t padded = och_reader_u32(&reader);
    graph->view.n_entries = och_reader_u32(&reader);
    graph->view.n_strays = och_reader_u32(&reader);
    uint32_t n_copies = och_reader_u32(&reader);
    uint64_t seed = och_reader_u64(&reader);
    for (size_t i = 0; i < 2; i++) {
        uint32_t bits = och_reader_u32(&reader);
        memcpy(&scalars[i], &bits, sizeof(bits));
    }
    read_calibration(&reader, &graph->calibration);
    if (reader.failed || n_rows != open->rows->n_rows ||
            padded != och_quant_padded(open->space, open->dim))
        return fail_damaged("it belongs to other rows", err);
    const void *mean = och_reader_bytes(&reader, padded * sizeof(float));
    if (mean == NULL)
        return fail_damaged("the main section is cut short", err);
    float *copy = och_mem_take(open->mem, padded * sizeof(float));
    if (copy == NULL)
        return och_fail_memory(err);
    memcpy(copy, mean, padded * sizeof(float)); /* aligned */
    ochre_status status = OCHRE_CORRUPT;
    if (is_mean(copy, padded))
        status = och_quant_make(
                open->mem, open->kernels, open->space, open->dim, seed, copy, &graph->quant);
    och_mem_release(open->mem, copy, padded * sizeof(float));
    if (status != OCHRE_OK)
        return status == OCHRE_CORRUPT ? fail_damaged("no rows have that mean", err)
                                       : och_fail_memory(err);
    graph->quant.longest2 = scalars[0];
    graph->quant.reach = scalars[1];
    return read_numbers(graph, &reader, n_copies, err);
}

static ochre_status
find_parts(
        struct graph_index *graph, const struct och_vector_source *source, struct ochre_error *err)
{
    struct och_graph_view *view = &graph->view;
    ochre_status status = och_graph_parts_open(&graph->parts, graph->mem, source,
            view->coded.rows->n_rows, graph->quant.stride4, view->n_entries != 0, err);
    view->coded.codes = graph->parts.codes.mapped;
    view->links = graph->parts.links.mapped;
    return status;
}

static void
graph_close(struct och_vector_index *index)
{
    if (index == NULL)
        return;
    struct graph_index *graph = (struct graph_index *) (void *) index;
    struct och_mem *mem = graph->mem;
    och_graph_parts_close(&graph->parts);
    och_mem_release(mem, graph->numbers, graph->n_numbers * sizeof(uint32_t));
    och_quant_clear(&graph->quant);
    och_mem_release(mem, graph, sizeof(*graph));
}

static ochre_status
graph_open(const struct och_vector_open *open, struct och_vector_index **index_out,
        struct ochre_error *err)
{
    *index_out = NULL;
    const void *bytes = NULL;
    uint64_t size = 0;
    ochre_status status = open->source->section(
            open->source->context, OCH_GRAPH_SECTION_MAIN, &bytes, &size, err);
    if (status != OCHRE_OK)
        return status;
    if (bytes == NULL)
        return fail_damaged("there is none", err);
    struct graph_index *graph = och_mem_take_zeroed(open->mem, sizeof(*graph));
    if (graph == NULL)
        return och_fail_memory(err);
    graph->base.kind = &och_graph_kind;
    graph->mem = open->mem;
    graph->view.coded.rows = open->rows;
    graph->view.coded.quant = &graph->quant;
    status = read_main(graph, open, bytes, size, err);
    if (status == OCHRE_OK)
        status = find_parts(graph, open->source, err);
    if (status != OCHRE_OK) {
        graph_close(&graph->base);
        return status;
    }
    *index_out = &graph->base;
    return OCHRE_OK;
}

static ochre_status
graph_warm(
        struct och_vector_index *index, uint64_t size_max, bool *done_out, struct ochre_error *err)
{
    struct graph_index *graph = (struct graph_index *) (void *) index;
    och_assert(index->kind == &och_graph_kind);
    *done_out = true;
    if (warm_view(graph) != NULL)
        return OCHRE_OK;
    ochre_status status = och_graph_parts_warm(&graph->parts, size_max, done_out, err);
    if (status != OCHRE_OK || !*done_out)
        return status;
    graph->warm = graph->view;
    graph->warm.coded.codes = och_graph_part_bytes(&graph->parts.codes);
    graph->warm.links = och_graph_part_bytes(&graph->parts.links);
    graph->warm.scales = &graph->scales;
    atomic_store_explicit(&graph->current, &graph->warm, memory_order_release); /* warm_view's */
    return OCHRE_OK;
}

static ochre_status
graph_deep_check(const struct och_vector_index *index, struct och_mem *mem, struct ochre_error *err)
{
    const struct graph_index *graph = graph_of(index);
    return och_graph_check(&graph->view, &graph->parts, mem, err);
}

/* --- searching -------------------------------------------------------------- */

/* One search of what is not all read yet. */
struct touching {
    const struct och_graph_parts *parts;
    bool failed;
};

static ochre_status
touch_codes(void *context, uint32_t row, uint32_t n, struct ochre_error *err)
{
    struct touching *touching = context;
    ochre_status status = och_graph_parts_touch_codes(touching->parts, row, n, err);
    touching->failed |= status != OCHRE_OK;
    return status;
}

static ochre_status
touch_links(void *context, uint32_t row, uint32_t n, struct ochre_error *err)
{
    struct touching *touching = context;
    ochre_status status = och_graph_parts_touch_links(touching->parts, row, n, err);
    touching->failed |= status != OCHRE_OK;
    return status;
}

static ochre_status
search_touching(const struct graph_index *graph, const struct och_vector_search *search,
        uint32_t effort, struct och_topk *best, struct och_vector_work *work,
        struct ochre_error *err)
{
    struct touching touching = {.parts = &graph->parts};
    struct och_graph_view view = graph->view;
    view.coded.touch = touch_codes;
    view.coded.context = &touching;
    view.touch_links = touch_links;
    ochre_status status = och_graph_search(&view, search, effort, best, work, err);
    if (work != NULL)
        work->is_unreadable |= touching.failed;
    return status;
}

static ochre_status
graph_search(const struct och_vector_index *index, const struct och_vector_search *search,
        struct och_topk *best, struct och_vector_work *work, struct ochre_error *err)
{
    const struct graph_index *graph = graph_of(index);
    uint32_t k = 1;
    for (size_t i = 0; i < search->n_queries; i++)
        k = best[i].capacity > k ? best[i].capacity : k;
    uint32_t effort = search->effort;
    uint32_t needed = och_calibration_effort(&graph->calibration, k, search->recall);
    if (search->effort_scale > 1)
        needed = (uint32_t) ((float) needed * search->effort_scale);
    if (effort == 0)
        effort = needed == 0 || needed >= search->effort_min ? needed : search->effort_min;
    if (effort > OCH_GRAPH_EFFORT_MAX)
        effort = 0; /* a scan costs less, and is exact */
    const struct och_graph_view *warm = warm_view(graph);
    if (warm == NULL)
        return search_touching(graph, search, effort, best, work, err);
    return och_graph_search(warm, search, effort, best, work, err);
}

static void
graph_stats(const struct och_vector_index *index, float recall, struct och_vector_stats *stats_out)
{
    const struct graph_index *graph = graph_of(index);
    *stats_out = (struct och_vector_stats){
            .memory = sizeof(*graph) + graph->n_numbers * sizeof(uint32_t),
            .effort = och_calibration_effort(&graph->calibration, 10, recall),
            .recall = 1};
    if (warm_view(graph) != NULL)
        stats_out->memory += och_graph_part_memory(&graph->parts.codes) +
                och_graph_part_memory(&graph->parts.links);
    if (stats_out->effort != 0)
        stats_out->recall = och_calibration_recall(&graph->calibration, recall);
}

/* --- building --------------------------------------------------------------- */

struct graph_building {
    struct och_graph_builder builder;
    struct och_mem *mem;
};

static void
graph_discard(struct och_vector_builder *opaque)
{
    if (opaque == NULL)
        return;
    struct graph_building *building = (struct graph_building *) (void *) opaque;
    struct och_mem *mem = building->mem;
    och_graph_builder_clear(&building->builder);
    och_mem_release(mem, building, sizeof(*building));
}

static ochre_status
graph_build(const struct och_vector_build *build, struct och_vector_builder **builder_out,
        struct ochre_error *err)
{
    *builder_out = NULL;
    uint32_t n_min = OCH_GRAPH_CODES_MIN;
    if (build->graph_rows != 0 && build->graph_rows < n_min)
        n_min = build->graph_rows;
    if (build->rows->n_rows < n_min)
        return och_fail(
                err, OCHRE_UNSUPPORTED, "%u rows need no index", (unsigned) build->rows->n_rows);
    struct graph_building *building = och_mem_take_zeroed(build->mem, sizeof(*building));
    if (building == NULL)
        return och_fail_memory(err);
    building->mem = build->mem;
    const struct och_graph_view *kept = NULL;
    if (build->kept != NULL && build->kept->index->kind == &och_graph_kind)
        kept = warm_view(graph_of(build->kept->index));
    if (kept != NULL)
        building->builder.kept = (struct och_graph_kept){
                .links = kept->links, .map = build->kept->map, .n_rows = kept->coded.rows->n_rows};
    ochre_status status = och_graph_builder_run(&building->builder, build, err);
    if (status != OCHRE_OK) {
        graph_discard((struct och_vector_builder *) (void *) building);
        return status;
    }
    *builder_out = (struct och_vector_builder *) (void *) building;
    return OCHRE_OK;
}

static void
put_f32(struct och_buf *buf, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    och_buf_put_u32(buf, bits);
}

static void
put_main(struct och_buf *buf, const struct och_graph_builder *builder)
{
    const struct och_quant *quant = &builder->quant;
    const struct och_calibration *calibration = &builder->calibration;
    och_buf_put_u32(buf, MAIN_VERSION);
    och_buf_put_u32(buf, builder->n_rows);
    och_buf_put_u32(buf, quant->padded);
    och_buf_put_u32(buf, builder->graph.n_entries);
    och_buf_put_u32(buf, builder->n_strays);
    och_buf_put_u32(buf, builder->n_copies);
    och_buf_put_u64(buf, quant->seed);
    put_f32(buf, quant->longest2);
    put_f32(buf, quant->reach);
    och_buf_put_u32(buf, calibration->n_queries);
    for (size_t i = 0; i < OCH_CALIBRATION_SIZES; i++) {
        for (size_t j = 0; j < OCH_CALIBRATION_TARGETS; j++) {
            och_buf_put_u32(buf, calibration->effort[i][j]);
            put_f32(buf, calibration->measured[i][j]);
        }
    }
    och_buf_put(buf, quant->mean, quant->padded * sizeof(float));
    for (uint32_t i = 0; i < builder->graph.n_entries; i++)
        och_buf_put_u32(buf, builder->graph.order[i]);
    for (uint32_t i = 0; i < builder->n_strays; i++)
        och_buf_put_u32(buf, builder->strays[i]);
    for (uint32_t i = 0; i < builder->n_copies; i++) {
        och_buf_put_u32(buf, builder->copies[i][0]);
        och_buf_put_u32(buf, builder->copies[i][1]);
    }
}

static ochre_status
put_section(const struct och_vector_sink *sink, uint16_t number, const void *bytes, size_t size,
        struct ochre_error *err)
{
    ochre_status status = sink->begin(sink->context, number, err);
    if (status == OCHRE_OK)
        status = sink->put(sink->context, bytes, size, err);
    return status;
}

static ochre_status
graph_write(struct och_vector_builder *opaque, const struct och_vector_sink *sink,
        struct ochre_error *err)
{
    const struct graph_building *building = (const struct graph_building *) (const void *) opaque;
    const struct och_graph_builder *builder = &building->builder;
    struct och_buf buf;
    och_buf_init(&buf, building->mem, (size_t) 1 << 30);
    put_main(&buf, builder);
    ochre_status status = och_buf_status(&buf) == OCHRE_OK ? OCHRE_OK : och_fail_memory(err);
    if (status == OCHRE_OK)
        status = put_section(sink, OCH_GRAPH_SECTION_MAIN, buf.data, buf.size, err);
    och_buf_clear(&buf);
    if (status == OCHRE_OK)
        status = put_section(sink, OCH_GRAPH_SECTION_CODES, builder->codes4,
                builder->n_rows * builder->quant.stride4, err);
    if (status == OCHRE_OK && builder->graph.n_entries > 0)
        status = put_section(sink, OCH_GRAPH_SECTION_LINKS, builder->graph.links,
                (size_t) builder->n_rows * OCH_GRAPH_DEGREE * sizeof(uint32_t), err);
    return status;
}

static const struct och_vector_section sections[] = {
        {.number = OCH_GRAPH_SECTION_MAIN, .name = "graph", .alignment = 4096},
        {.number = OCH_GRAPH_SECTION_CODES, .name = "codes", .alignment = 4096},
        {.number = OCH_GRAPH_SECTION_LINKS, .name = "links", .alignment = 4096},
};

const struct och_vector_index_kind och_graph_kind = {
        .name = "graph",
        .sections = sections,
        .n_sections = sizeof(sections) / sizeof(sections[0]),
        .build = graph_build,
        .write = graph_write,
        .discard = graph_discard,
        .open = graph_open,
        .close = graph_close,
        .warm = graph_warm,
        .deep_check = graph_deep_check,
        .search = graph_search,
        .stats = graph_stats,
};
