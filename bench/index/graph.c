/*
 * graph.c - the vector index by itself: no log, no segment, no ids.
 *
 *      bench_graph SET [-t THREADS] [-e EFFORT,...] [-g RECALL,...] [-s SECONDS] [-r REPEATS]
 *
 * Builds the index kind "graph" over the vectors of a set (set.h), keeps its
 * sections in memory, opens it and searches with one thread, one query a call.
 * Beside rate and recall stands what a search did, by query: rows measured, rows
 * estimated from codes, rows whose links were followed.  One JSON line a figure,
 * of the shape that ochre.c prints, engine "graph".
 *
 * What is not here, and is in bench_index: the snapshot, the plan over several
 * segments, the result with its ids.  The difference is what they cost.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "distance/distance.h"
#include "index/set.h"
#include "index/vector/index.h"
#include "index/vector/topk.h"
#include "os/cpu.h"
#include "os/executor.h"

enum { SECTION_NUMBERS = 256, PAGE = 4096 };

/* Sections as a segment file would keep them, by number. */
struct store {
    char *bytes[SECTION_NUMBERS];
    size_t sizes[SECTION_NUMBERS], rooms[SECTION_NUMBERS];
    size_t open;
};

/* Everything that a search needs. */
struct bench {
    const struct bench_set *set;
    const struct och_kernels *kernels;
    struct och_mem mem;
    struct och_arena arena;
    struct och_vector_rows rows;
    struct och_distance_query *queries; /* [set->n_queries] */
    struct store store;
    const struct och_vector_index_kind *kind;
    struct och_vector_index *index;
    const struct bench_dial *dial;
    struct och_vector_work work;
    struct och_near nearest[BENCH_K]; /* of the newest query */
    uint32_t n_nearest;
};

static void
must(ochre_status status, const char *what, const struct ochre_error *err)
{
    if (status != OCHRE_OK)
        bench_give_up(what, err->message);
}

/* --- sections ----------------------------------------------------------------- */

static ochre_status
store_begin(void *context, uint16_t number, struct ochre_error *err)
{
    struct store *store = context;
    (void) err;
    if (number >= SECTION_NUMBERS)
        bench_give_up("section", "its number is too large");
    store->open = number;
    return OCHRE_OK;
}

static ochre_status
store_put(void *context, const void *bytes, size_t size, struct ochre_error *err)
{
    struct store *store = context;
    size_t i = store->open, end = store->sizes[i] + size;
    (void) err;
    if (end > store->rooms[i]) {
        size_t room = (2 * end + PAGE - 1) / PAGE * PAGE;
        char *larger = aligned_alloc(PAGE, room);
        if (larger == NULL)
            bench_give_up("section", "no memory");
        if (store->sizes[i] > 0)
            memcpy(larger, store->bytes[i], store->sizes[i]);
        free(store->bytes[i]);
        store->bytes[i] = larger;
        store->rooms[i] = room;
    }
    if (size > 0)
        memcpy(store->bytes[i] + store->sizes[i], bytes, size);
    store->sizes[i] = end;
    return OCHRE_OK;
}

static ochre_status
store_section(void *context, uint16_t number, const void **bytes_out, uint64_t *size_out,
        struct ochre_error *err)
{
    const struct store *store = context;
    (void) err;
    *bytes_out = store->bytes[number];
    *size_out = store->sizes[number];
    return OCHRE_OK;
}

static void
find_section(void *context, uint16_t number, const void **bytes_out, uint64_t *size_out)
{
    (void) store_section(context, number, bytes_out, size_out, NULL);
}

static ochre_status
touch_section(
        void *context, uint16_t number, uint64_t offset, uint64_t size, struct ochre_error *err)
{
    (void) context;
    (void) number;
    (void) offset;
    (void) size;
    (void) err;
    return OCHRE_OK;
}

static ochre_status
read_section(void *context, uint16_t number, uint64_t offset, void *to, size_t size,
        struct ochre_error *err)
{
    const struct store *store = context;
    (void) err;
    memcpy(to, (const char *) store->bytes[number] + offset, size);
    return OCHRE_OK;
}

/* --- rows --------------------------------------------------------------------- */

static ochre_space
space_of(const struct bench_set *set)
{
    return set->cosine ? OCHRE_SPACE_COSINE : OCHRE_SPACE_L2;
}

static void
load(struct bench *b)
{
    const struct bench_set *set = b->set;
    float *rows = bench_room((size_t) set->n * set->dim, sizeof(float));
    float *norms = bench_room(set->n, sizeof(float));
    uint64_t *ordinals = bench_room(set->n, sizeof(uint64_t));
    bench_set_rows(set, 0, set->n, rows);
    for (uint32_t i = 0; i < set->n; i++) {
        norms[i] = och_vector_norm(b->kernels, rows + (size_t) i * set->dim, set->dim);
        ordinals[i] = i;
    }
    b->rows = (struct och_vector_rows){.rows = rows,
            .norms = set->cosine ? norms : NULL,
            .ordinals = ordinals,
            .n_rows = set->n};
    b->queries = bench_room(set->n_queries, sizeof(*b->queries));
    for (uint32_t i = 0; i < set->n_queries; i++)
        och_distance_query_init(&b->queries[i], b->kernels, space_of(set),
                set->queries + (size_t) i * set->dim, set->dim);
}

/* --- build -------------------------------------------------------------------- */

static void
build(struct bench *b, unsigned n_threads)
{
    struct ochre_error err = {.status = OCHRE_OK};
    struct och_executor *executor = NULL;
    struct och_vector_builder *builder;
    if (n_threads > 1) /* this thread helps too */
        must(och_executor_open(&b->mem, 0, n_threads - 1, &executor, &err), "threads", &err);
    struct och_vector_build how = {.mem = &b->mem,
            .executor = executor,
            .kernels = b->kernels,
            .rows = &b->rows,
            .space = space_of(b->set),
            .dim = b->set->dim,
            .seed = 1};
    struct och_vector_sink sink = {.begin = store_begin, .put = store_put, .context = &b->store};
    double wall = bench_clock_s(CLOCK_MONOTONIC), cpu = bench_clock_s(CLOCK_PROCESS_CPUTIME_ID);
    must(b->kind->build(&how, &builder, &err), "build", &err);
    must(b->kind->write(builder, &sink, &err), "write", &err);
    wall = bench_clock_s(CLOCK_MONOTONIC) - wall;
    cpu = bench_clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    b->kind->discard(builder);
    och_executor_close(executor);
    uint64_t size = 0;
    for (size_t i = 0; i < SECTION_NUMBERS; i++)
        size += b->store.sizes[i];
    printf("{\"engine\": \"graph\", \"set\": \"%s\", \"what\": \"build\", \"threads\": %u, "
           "\"rows\": %u, \"wall_s\": %.2f, \"cpu_s\": %.2f, \"rate\": %.1f, \"clock\": \"%s\", "
           "\"section_bytes_per_vector\": %.1f, \"simd\": \"%s\"}\n",
            b->set->name, n_threads, b->set->n, wall, cpu, b->set->n / (n_threads > 1 ? wall : cpu),
            n_threads > 1 ? "wall" : "cpu", (double) size / b->set->n, b->kernels->name);
    fflush(stdout);
}

/* --- search ------------------------------------------------------------------- */

static void
ask(void *context, uint32_t first, uint32_t n)
{
    struct bench *b = context;
    struct ochre_error err = {.status = OCHRE_OK};
    for (uint32_t i = first; i < first + n; i++) {
        struct och_arena_mark mark = och_arena_mark(&b->arena);
        struct och_vector_search search = {.queries = &b->queries[i],
                .n_queries = 1,
                .recall = b->dial->recall > 0 ? b->dial->recall : 0.99F,
                .effort = b->dial->effort,
                .scratch = &b->arena};
        struct och_topk best;
        must(och_topk_make(&best, &b->arena, BENCH_K, b->set->n), "list", &err);
        must(och_vector_index_search(b->index, &search, &best, &b->work, &err), "search", &err);
        och_topk_sort(&best);
        b->n_nearest = best.n;
        memcpy(b->nearest, best.items, best.n * sizeof(b->nearest[0]));
        och_arena_rewind(&b->arena, &mark);
    }
}

static double
recall_of(struct bench *b)
{
    uint64_t right = 0;
    b->work = (struct och_vector_work){.n_hops = 0};
    for (uint32_t i = 0; i < b->set->n_queries; i++) {
        ask(b, i, 1);
        for (uint32_t j = 0; j < b->n_nearest; j++)
            right += bench_set_is_near(b->set, i, b->nearest[j].row);
    }
    return (double) right / ((double) b->set->n_queries * BENCH_K);
}

static void
search(struct bench *b, const struct bench_options *options)
{
    double n_queries = b->set->n_queries;
    bool enough = false;
    for (size_t i = 0; i < options->n_dials; i++) {
        const struct bench_dial *dial = b->dial = &options->dials[i];
        if (enough && dial->effort != 0)
            continue;
        double recall = recall_of(b);
        struct och_vector_work work = b->work; /* of every query once */
        enough = enough || bench_is_enough(dial, recall);
        if (!bench_is_worth(dial, recall))
            continue;
        double rate = bench_rate(b->set, options, 1, ask, b);
        printf("{\"engine\": \"graph\", \"set\": \"%s\", \"what\": \"%s\", \"effort\": %u, "
               "\"goal\": %g, \"recall\": %.5f, \"qps\": %.1f, \"distances\": %.1f, "
               "\"estimates\": %.1f, \"hops\": %.1f}\n",
                b->set->name, dial->effort != 0 ? "search" : "goal", dial->effort,
                (double) dial->recall, recall, rate, (double) work.n_distances / n_queries,
                (double) work.n_estimates / n_queries, (double) work.n_hops / n_queries);
        fflush(stdout);
    }
}

int
main(int argc, char **argv)
{
    static struct bench b;
    struct bench_options options;
    struct bench_set set;
    struct ochre_error err = {.status = OCHRE_OK};
    if (argc < 2) {
        fputs("usage: bench_graph SET [-t THREADS] [-e EFFORT,...] [-g RECALL,...] [-s SECONDS] "
              "[-r REPEATS]\n",
                stderr);
        return 2;
    }
    bench_options_read(&options, argc, argv, 2);
    if (options.n_dials == 0)
        options.n_dials = 1;
    bench_set_open(&set, argv[1]);
    struct och_cpu cpu = och_cpu_detect();
    b.set = &set;
    b.kernels = och_kernels_choose(cpu.sets, getenv("OCHRE_SIMD"));
    och_mem_init(&b.mem, NULL);
    och_arena_init(&b.arena, &b.mem);
    b.kind = och_vector_index_find("graph");
    if (b.kind == NULL)
        bench_give_up("graph", "no such kind of index");
    load(&b);
    build(&b, options.n_threads);
    struct och_vector_source source = {.section = store_section,
            .find = find_section,
            .touch = touch_section,
            .read = read_section,
            .context = &b.store};
    bool warm;
    struct och_vector_open opening = {.mem = &b.mem,
            .kernels = b.kernels,
            .rows = &b.rows,
            .space = space_of(&set),
            .dim = set.dim,
            .source = &source};
    must(b.kind->open(&opening, &b.index, &err), "open", &err);
    must(b.kind->warm(b.index, UINT64_MAX, &warm, &err), "warm", &err);
    search(&b, &options);
    struct och_vector_stats stats;
    b.kind->stats(b.index, 0.99F, &stats);
    printf("{\"engine\": \"graph\", \"set\": \"%s\", \"what\": \"stats\", \"memory\": %llu, "
           "\"recall\": %.4f, \"effort\": %u}\n",
            set.name, (unsigned long long) stats.memory, (double) stats.recall, stats.effort);
    och_vector_index_close(b.index);
    och_arena_clear(&b.arena);
    bench_set_close(&set);
    return 0;
}
