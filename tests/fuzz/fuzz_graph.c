/*
 * fuzz_graph.c - a graph's sections, damaged.
 *
 * Made once: a small graph for each space, with equal rows, rows without a direction
 * and a calibration.  The input's first byte chooses one, the next how it is asked.
 * Then come changes, four bytes each: which section, where, and what is there instead;
 * of bytes that are left the first two cut a section short (all of it: it is not
 * there; all but one: it cannot be read), and a third is the grant of memory that is
 * refused.  Opened and searched, once as it is and once when it was warmed, the answer is
 * an error, or rows that are there and allowed; without changes none comes twice, and who
 * asks for everything gets exactly the nearest.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/bitset.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "distance/distance.h"
#include "index/vector/flat.h"
#include "index/vector/graph.h"
#include "index/vector/index.h"
#include "index/vector/rows.h"
#include "index/vector/topk.h"
#include "os/cpu.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS = 150, DIM = 5, K = 7, N_SECTIONS = 3, N_SPACES = 3 };

static const uint16_t numbers[N_SECTIONS] = {
        OCH_GRAPH_SECTION_MAIN, OCH_GRAPH_SECTION_CODES, OCH_GRAPH_SECTION_LINKS};

/* A graph as its file would hold it; a section's bytes are aligned as there. */
struct stored {
    _Alignas(64) uint8_t bytes[N_SECTIONS][ROWS * 256];
    size_t sizes[N_SECTIONS];
    size_t open; /* the section that is being written */
    bool is_unreadable[N_SECTIONS];
};

static struct {
    bool is_made;
    struct och_mem mem;
    struct och_arena arena;
    const struct och_kernels *kernels;
    struct och_vector_rows rows;
    float floats[ROWS * DIM], norms[ROWS];
    uint64_t ordinals[ROWS];
    struct och_bitset some;
    struct stored stored[N_SPACES];
} made;

/* --- making ------------------------------------------------------------------------- */

static ochre_status
begin_section(void *context, uint16_t number, struct ochre_error *err)
{
    struct stored *stored = context;
    (void) err;
    for (stored->open = 0; numbers[stored->open] != number;)
        stored->open++;
    return OCHRE_OK;
}

static ochre_status
put_bytes(void *context, const void *bytes, size_t size, struct ochre_error *err)
{
    struct stored *stored = context;
    size_t *used = &stored->sizes[stored->open];
    (void) err;
    och_assert(*used + size <= sizeof(stored->bytes[0]));
    memcpy(stored->bytes[stored->open] + *used, bytes, size);
    *used += size;
    return OCHRE_OK;
}

static void
make_rows(void)
{
    uint64_t seed = 5;
    for (uint32_t row = 0; row < ROWS; row++) {
        float *v = made.floats + (size_t) row * DIM;
        for (uint32_t i = 0; i < DIM; i++)
            v[i] = och_random_f32(&seed);
        if (row % 16 == 3)
            memcpy(v, made.floats, DIM * sizeof(float)); /* the first row again */
        if (row % 32 == 5)
            memset(v, 0, DIM * sizeof(float)); /* no direction */
        made.norms[row] = och_vector_norm(made.kernels, v, DIM);
        made.ordinals[row] = row;
        if (row % 3 != 0)
            och_assert(och_bitset_add(&made.some, row) == OCHRE_OK);
    }
    made.rows = (struct och_vector_rows){
            .rows = made.floats, .norms = made.norms, .ordinals = made.ordinals, .n_rows = ROWS};
}

static void
make(void)
{
    if (made.is_made)
        return;
    made.is_made = true;
    och_mem_init(&made.mem, NULL);
    och_arena_init(&made.arena, &made.mem);
    made.kernels = och_kernels_choose(och_cpu_detect().sets, NULL);
    och_bitset_init(&made.some, &made.mem);
    make_rows();
    for (int space = 0; space < N_SPACES; space++) {
        struct och_vector_build build = {.mem = &made.mem,
                .kernels = made.kernels,
                .rows = &made.rows,
                .space = (ochre_space) space,
                .dim = DIM,
                .seed = 9,
                .graph_rows = 64};
        struct och_vector_sink sink = {begin_section, put_bytes, &made.stored[space]};
        struct och_vector_builder *builder;
        och_assert(och_graph_kind.build(&build, &builder, NULL) == OCHRE_OK);
        och_assert(och_graph_kind.write(builder, &sink, NULL) == OCHRE_OK);
        och_graph_kind.discard(builder);
    }
}

/* --- searching ---------------------------------------------------------------------- */

static size_t
index_of(uint16_t number)
{
    size_t i = 0;
    while (numbers[i] != number)
        i++;
    return i;
}

static void
find_section(void *context, uint16_t number, const void **bytes_out, uint64_t *size_out)
{
    const struct stored *stored = context;
    size_t i = index_of(number);
    *bytes_out = stored->sizes[i] > 0 ? stored->bytes[i] : NULL;
    *size_out = stored->sizes[i];
}

static ochre_status
touch_section(
        void *context, uint16_t number, uint64_t offset, uint64_t size, struct ochre_error *err)
{
    const struct stored *stored = context;
    size_t i = index_of(number);
    (void) err;
    och_assert(offset <= stored->sizes[i] && size <= stored->sizes[i] - offset);
    return stored->is_unreadable[i] ? OCHRE_IO : OCHRE_OK;
}

static ochre_status
read_section(void *context, uint16_t number, uint64_t offset, void *to, size_t size,
        struct ochre_error *err)
{
    const struct stored *stored = context;
    ochre_status status = touch_section(context, number, offset, size, err);
    if (status == OCHRE_OK)
        memcpy(to, stored->bytes[index_of(number)] + offset, size);
    return status;
}

static ochre_status
load_section(void *context, uint16_t number, const void **bytes_out, uint64_t *size_out,
        struct ochre_error *err)
{
    find_section(context, number, bytes_out, size_out);
    return touch_section(context, number, 0, *size_out, err);
}

/* Rows that are there and allowed; and, where nothing is damaged, come once: links
 * that lead to an equal row find it twice. */
static void
check_hits(const struct och_topk *best, const struct och_bitset *allowed, bool is_whole)
{
    bool seen[ROWS] = {false};
    for (uint32_t i = 0; i < best->n; i++) {
        uint32_t row = best->items[i].row;
        och_assert(row < ROWS && (!is_whole || !seen[row]));
        och_assert(allowed == NULL || och_bitset_has(allowed, row));
        seen[row] = true;
    }
}

static void
check_nearest(const struct och_topk *best, const struct och_vector_search *search)
{
    struct och_topk exact;
    och_assert(och_topk_make(&exact, &made.arena, K, K) == OCHRE_OK);
    och_assert(och_flat_search(&made.rows, search, &exact, NULL, NULL) == OCHRE_OK);
    och_topk_sort(&exact);
    och_assert(best->n == exact.n);
    for (uint32_t i = 0; i < exact.n; i++)
        och_assert(best->items[i].row == exact.items[i].row);
}

static void
ask(const struct och_vector_index *index, ochre_space space, uint8_t how, bool is_whole)
{
    static const enum och_vector_plan plans[] = {
            OCH_PLAN_ANY, OCH_PLAN_SCAN, OCH_PLAN_WALK, OCH_PLAN_TWO_HOP};
    static const float point[DIM] = {0.3F, -0.1F, 0.2F, 0.05F, -0.4F};
    struct och_distance_query query;
    och_distance_query_init(&query, made.kernels, space, point, DIM);
    bool everything = (how & 8) != 0; /* exactly, or as many candidates as there are rows */
    struct och_vector_search search = {.queries = &query,
            .n_queries = 1,
            .allowed = (how & 4) != 0 ? &made.some : NULL,
            .recall = everything ? 1 : 0.9F,
            .effort = everything || (how & 16) == 0 ? 0 : 10 + how / 16,
            .effort_scale = (how & 32) != 0 ? 3 : 0,
            .plan = plans[how & 3],
            .scratch = &made.arena};
    struct och_topk best;
    struct och_vector_work work = {.n_hops = 0};
    if (och_topk_make(&best, &made.arena, K, K) != OCHRE_OK ||
            och_vector_index_search(index, &search, &best, &work, NULL) != OCHRE_OK)
        return;
    och_topk_sort(&best);
    check_hits(&best, search.allowed, is_whole);
    if (is_whole && everything)
        check_nearest(&best, &search);
}

static void
cut(struct stored *stored, size_t section, uint8_t n)
{
    if (n == 255)
        stored->sizes[section] = 0;
    else if (n == 254)
        stored->is_unreadable[section] = true;
    else
        stored->sizes[section] -= n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct stored damaged;
    make();
    if (size < 2)
        return 0;
    ochre_space space = (ochre_space) (data[0] % N_SPACES);
    uint8_t how = data[1];
    damaged = made.stored[space];
    data += 2;
    size -= 2;
    bool is_whole = size == 0;
    for (; size >= 4; data += 4, size -= 4) {
        size_t section = data[0] % N_SECTIONS;
        size_t at = (size_t) data[1] << 8 | data[2];
        damaged.bytes[section][at % damaged.sizes[section]] = data[3];
    }
    if (size > 0)
        cut(&damaged, data[0] % N_SECTIONS, size > 1 ? data[1] : 1);
    struct och_vector_source source = {
            load_section, find_section, touch_section, read_section, &damaged};
    struct och_vector_open open = {.mem = &made.mem,
            .kernels = made.kernels,
            .rows = &made.rows,
            .space = space,
            .dim = DIM,
            .source = &source};
    struct och_vector_index *index;
    och_arena_clear(&made.arena);
    made.mem.fail_at = size > 2 ? made.mem.n_grants + 1 + data[2] : 0;
    ochre_status status = och_graph_kind.open(&open, &index, NULL);
    och_assert(status == OCHRE_OK || !is_whole);
    if (status == OCHRE_OK) {
        struct och_vector_stats stats;
        index->kind->stats(index, 0.99F, &stats);
        ask(index, space, how, is_whole);
        bool done = false;
        status = index->kind->warm(index, 1000, &done, NULL);
        while (status == OCHRE_OK && !done)
            status = index->kind->warm(index, 1000, &done, NULL);
        och_assert(status == OCHRE_OK || !is_whole);
        ask(index, space, how, is_whole);
        och_vector_index_close(index);
    }
    made.mem.fail_at = 0;
    return 0;
}
