/*
 * Whatever happened to a collection, every living row is found.
 *
 *      test_histories [HISTORIES [FIRST]]     (150, from 1; `make histories`: 10,000)
 *
 * A history is a small collection's life on the simulated disk: adds, updates,
 * upserts, deletes, seals, merges, compactions, closings and power cuts, of vectors
 * that are clustered, equal to others in numbers, without direction or anywhere.
 * Graphs are made of a few dozen rows and more, from nothing and from earlier ones.
 * Each time files have been put together, and at the end:
 *
 *   - no row of a graph is without a way to it from where walks begin;
 *   - a walk of usual effort for its own vector finds every living row, or an equal;
 *   - a query for a record's own vector answers with the record.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/random.h"
#include "distance/distance.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "index/vector/graph.h"
#include "index/vector/topk.h"
#include "os/cpu.h"
#include "segment/segment.h"
#include "sim/sim_disk.h"
#include "support/check.h"
#include "unit/engine/rig.h"
#include "unit/index/graph_sections.h"
#include "unit/index/random_metadata.h"

enum { RECORDS = 360, DIM_MAX = 12, BATCH_MAX = 90, STEPS = 30, CENTRES = 5, EQUALS = 6 };

static struct rig rig;
static uint64_t n_histories = 150, first_history = 1;

/* One history. */
static uint64_t seed;
static uint32_t dim;
static ochre_space space;
static bool has_giants; /* vectors so long that a file with one gets no index */
static bool lives[RECORDS];
static float vectors[RECORDS][DIM_MAX]; /* of those that live */

/* What was seen in all of them. */
static struct {
    uint64_t n_graphs, n_rows, n_copies, n_strays, n_dead, n_lost, n_walks, n_missed, n_queries;
} seen;

/* --- vectors ---------------------------------------------------------------------- */

static void
make_vector(float *v)
{
    uint64_t chance = och_random_below(&seed, 20);
    uint64_t fixed = chance < 6 ? 1000 + och_random_below(&seed, EQUALS)
                                : 2000 + och_random_below(&seed, CENTRES);
    for (uint32_t i = 0; i < dim; i++) {
        float noise = och_random_f32(&seed);
        if (chance < 6) /* one of a few */
            v[i] = och_random_f32(&fixed);
        else if (chance < 14) /* near one of a few */
            v[i] = och_random_f32(&fixed) + 0.05F * noise;
        else if (chance < 15)
            v[i] = 0;
        else
            v[i] = noise;
    }
    if (has_giants && och_random_below(&seed, 200) == 0)
        v[0] = 1e16F;
}

static uint32_t
count_equals(uint32_t number)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < RECORDS; i++)
        n += lives[i] && memcmp(vectors[i], vectors[number], dim * sizeof(float)) == 0;
    return n;
}

/* --- what happens ------------------------------------------------------------------ */

static void
apply(enum och_write_op op, uint32_t number, const float *vector)
{
    if (op == OCH_WRITE_DELETE)
        lives[number] = false;
    else if (op == OCH_WRITE_UPSERT || lives[number] == (op == OCH_WRITE_UPDATE)) {
        lives[number] = true;
        memcpy(vectors[number], vector, dim * sizeof(float));
    }
}

static void
write(struct och_collection *collection, enum och_write_op op, uint32_t n)
{
    static float made[BATCH_MAX * DIM_MAX];
    static char names[BATCH_MAX][16];
    static struct ochre_bytes ids[BATCH_MAX];
    struct ochre_error err;
    struct och_mem mem;
    struct och_arena arena;
    struct och_buf payload;
    uint32_t first = (uint32_t) och_random_below(&seed, RECORDS);
    uint32_t step = och_random_below(&seed, 2) == 0 ? 1 : 7; /* coprime to RECORDS */
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = (first + i * step) % RECORDS;
        make_vector(made + (size_t) i * dim);
        apply(op, number, made + (size_t) i * dim);
        int length = snprintf(names[i], sizeof(names[i]), "k%u", (unsigned) number);
        ids[i] = (struct ochre_bytes){names[i], (size_t) length};
    }
    struct ochre_records records = {.n = n,
            .ids = ids,
            .embeddings = op == OCH_WRITE_DELETE ? NULL : made,
            .dim = op == OCH_WRITE_DELETE ? 0 : dim};
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    och_buf_init(&payload, &mem, OCH_WRITE_SIZE_MAX);
    check(och_write_encode(&payload, &arena, op, &records) == OCHRE_OK);
    struct och_commit_request request = {
            .collection = collection, .payload = {payload.data, payload.size}};
    check_ok(och_commit_run(rig.engine->commit, &request, &err), &err);
    och_buf_clear(&payload);
    och_arena_clear(&arena);
}

static struct och_collection *
reopen(struct och_collection *collection)
{
    och_collection_release(collection);
    rig_reopen(&rig);
    return rig_collection(&rig, "things");
}

/* --- what must be ------------------------------------------------------------------ */

/* The distance of a vector from itself, which rounding need not make 0. */
static float
own_distance(const float *v)
{
    struct och_distance_query query;
    float own, norm = och_vector_norm(rig.kernels, v, dim);
    och_distance_query_init(&query, rig.kernels, space, v, dim);
    och_distance_rows(&query, v, &norm, 1, &own);
    return own;
}

static void
check_walk(struct och_segment *segment, uint32_t row, struct och_arena *arena)
{
    const struct och_vector_index *index = och_segment_index(segment, rig.kernels);
    const float *v = och_segment_vectors(segment) + (size_t) row * dim;
    struct och_distance_query query;
    struct och_topk best;
    och_distance_query_init(&query, rig.kernels, space, v, dim);
    struct och_vector_search search = {.queries = &query,
            .n_queries = 1,
            .recall = 0.99F,
            .plan = OCH_PLAN_WALK,
            .scratch = arena};
    check(och_topk_make(&best, arena, 10, segment->n_rows) == OCHRE_OK);
    check(och_vector_index_search(index, &search, &best, NULL, NULL) == OCHRE_OK);
    och_topk_sort(&best);
    seen.n_walks++;
    seen.n_missed += best.n == 0 || best.items[0].distance > own_distance(v);
    och_arena_clear(arena);
}

static void
check_graph(struct och_segment *segment, struct och_arena *arena)
{
    struct ochre_error err;
    const void *sections[2];
    uint64_t sizes[2];
    check_ok(och_segment_section(segment, OCH_GRAPH_SECTION_MAIN, &sections[0], &sizes[0], &err),
            &err);
    check_ok(och_segment_section(segment, OCH_GRAPH_SECTION_LINKS, &sections[1], &sizes[1], &err),
            &err);
    check(sections[0] != NULL && sections[1] != NULL);
    struct graph_census census = graph_take_census(sections[0], sizes[0], sections[1], sizes[1]);
    check(census.n_rows == segment->n_rows);
    seen.n_graphs++;
    seen.n_rows += census.n_rows;
    seen.n_copies += census.n_copies;
    seen.n_strays += census.n_strays;
    seen.n_lost += census.n_lost;
    check(census.n_lost == 0);
    check_ok(och_segment_load(segment, OCH_COLUMN_VECTORS, &err), &err);
    for (uint32_t row = 0; row < segment->n_rows; row++) {
        bool is_dead = och_segment_dead(segment, row) != OCH_ALIVE;
        seen.n_dead += is_dead;
        if (!is_dead && och_random_below(&seed, 8) == 0)
            check_walk(segment, row, arena);
    }
}

static void
check_query(struct och_collection *collection, uint32_t number)
{
    struct ochre_error err;
    struct och_result *result;
    struct och_query query = {.select = {.mem = &rig.mem},
            .queries = vectors[number],
            .n_queries = 1,
            .dim = dim,
            .k = count_equals(number) + 3};
    char name[16];
    (void) snprintf(name, sizeof(name), "k%u", (unsigned) number);
    check_ok(och_engine_query(&rig.mem, collection, &query, &result, &err), &err);
    const struct ochre_hit *hits = result->lists[0].hits;
    size_t n = result->lists[0].n;
    bool is_there = false;
    for (size_t i = 0; i < n; i++)
        is_there = is_there || same_text(hits[i].id, text(name));
    /* Others may be as near: of few directions, some are next to each other. */
    check(is_there || (n == query.k && hits[n - 1].distance <= own_distance(vectors[number])));
    och_result_release(result);
    seen.n_queries++;
}

static void
check_everything(struct och_collection *collection)
{
    struct ochre_error err;
    struct och_mem mem;
    struct och_arena arena;
    uint64_t count, n = 0;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    for (uint32_t i = 0; i < collection->view->n_segments; i++)
        if (och_segment_has_graph(collection->view->segments[i]))
            check_graph(collection->view->segments[i], &arena);
    for (uint32_t number = 0; number < RECORDS; number++) {
        bool is_zero = true; /* it has no direction to be asked for */
        for (uint32_t i = 0; i < dim; i++)
            is_zero = is_zero && vectors[number][i] == 0;
        n += lives[number];
        if (lives[number] && !(is_zero && space == OCHRE_SPACE_COSINE) &&
                och_random_below(&seed, 24) == 0)
            check_query(collection, number);
    }
    check_ok(och_engine_count(&rig.mem, collection, NULL, &count, NULL, &err), &err);
    check(count == n);
    och_arena_clear(&arena);
}

/* --- histories ---------------------------------------------------------------------- */

static struct och_collection *
begin(void)
{
    struct ochre_error err;
    struct och_cpu cpu = och_cpu_detect();
    memset(lives, 0, sizeof(lives));
    dim = 2 + (uint32_t) och_random_below(&seed, DIM_MAX - 1);
    space = och_random_below(&seed, 3) == 0 ? OCHRE_SPACE_COSINE : OCHRE_SPACE_L2;
    rig_begin(&rig);
    rig.kernels = och_kernels_choose(cpu.sets, NULL);
    rig.schema = space == OCHRE_SPACE_COSINE ? "cosine" : "l2";
    rig.options.head_rows_max = 20 + (uint32_t) och_random_below(&seed, 80);
    rig.options.merge.fan_in = 2 + (uint32_t) och_random_below(&seed, 4);
    rig.options.merge.dead_percent = 20 + (uint32_t) och_random_below(&seed, 81);
    rig.options.merge.graph_rows = 36 + (uint32_t) och_random_below(&seed, 80);
    rig.options.join_rows = och_random_below(&seed, 2) == 0 ? 0 : 40;
    check_ok(rig_open(&rig, &err), &err);
    return rig_create(&rig, "things");
}

/* Returns the collection, which may have been opened again. */
static struct och_collection *
take_step(struct och_collection *collection)
{
    static const enum och_write_op ops[] = {OCH_WRITE_ADD, OCH_WRITE_ADD, OCH_WRITE_ADD,
            OCH_WRITE_UPDATE, OCH_WRITE_UPSERT, OCH_WRITE_DELETE};
    struct ochre_error err;
    uint64_t chance = och_random_below(&seed, 24);
    if (chance < 17) {
        enum och_write_op op = ops[och_random_below(&seed, 6)];
        uint32_t n_max = op == OCH_WRITE_DELETE ? BATCH_MAX / 2 : BATCH_MAX;
        write(collection, op, 1 + (uint32_t) och_random_below(&seed, n_max));
    } else if (chance < 19) {
        check_ok(och_engine_seal_all(rig.engine, &err), &err);
    } else if (chance < 22) {
        check_ok(och_engine_compact(rig.engine, collection, &err), &err);
        check_everything(collection);
    } else {
        if (chance == 23)
            sim_disk_recover(rig.disk, (enum sim_mode) och_random_below(&seed, SIM_N_MODES), seed);
        collection = reopen(collection);
    }
    return collection;
}

static void
every_living_row_is_found_after_any_history(void **state)
{
    (void) state;
    uint64_t end = first_history + n_histories;
    for (uint64_t history = first_history; history < end; history++) {
        uint64_t n_lost = seen.n_lost;
        seed = history;
        has_giants = history % 16 == 0;
        struct och_collection *collection = begin();
        for (int step = 0; step < STEPS; step++)
            collection = take_step(collection);
        check_everything(collection);
        collection = reopen(collection);
        check_everything(collection);
        och_collection_release(collection);
        rig_end(&rig);
        check(seen.n_lost == n_lost);
        if (history % 1000 == 0)
            (void) fprintf(stderr, "%llu histories\n", (unsigned long long) history);
    }
    (void) printf("histories %llu to %llu: %llu graphs, %llu rows in them (%llu copies, %llu "
                  "strays, %llu dead), %llu unreachable; %llu walks for own vectors, %llu missed; "
                  "%llu queries for own vectors, none missed\n",
            (unsigned long long) first_history, (unsigned long long) end - 1,
            (unsigned long long) seen.n_graphs, (unsigned long long) seen.n_rows,
            (unsigned long long) seen.n_copies, (unsigned long long) seen.n_strays,
            (unsigned long long) seen.n_dead, (unsigned long long) seen.n_lost,
            (unsigned long long) seen.n_walks, (unsigned long long) seen.n_missed,
            (unsigned long long) seen.n_queries);
    check(seen.n_graphs >= n_histories && seen.n_walks > 0 && seen.n_dead > 0);
    /* A walk may miss, as its recall allows, a row that there is a way to. */
    check(seen.n_missed * 1000 <= seen.n_walks);
}

int
main(int argc, char **argv)
{
    if (argc > 1)
        n_histories = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        first_history = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(every_living_row_is_found_after_any_history),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (failed != 0)
        (void) printf("after %llu graphs, with the generator at %llu\n",
                (unsigned long long) seen.n_graphs, (unsigned long long) seed);
    return failed;
}
