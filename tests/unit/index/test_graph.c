/*
 * The graph against exact search over the same rows: equal where it says that it
 * is exact, by measured recall otherwise; whatever is allowed, dead, equal or
 * damaged.  The same bytes from any number of threads and every instruction set.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bitset.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/random.h"
#include "distance/distance.h"
#include "index/vector/flat.h"
#include "index/vector/graph.h"
#include "index/vector/topk.h"
#include "index/vector/walk.h"
#include "os/cpu.h"
#include "os/executor.h"
#include "support/check.h"
#include "unit/index/graph_sections.h"

enum { ROWS = 6000, DIM = 48, QUERIES = 40, K = 10, SECTIONS = GRAPH_SECTIONS };

static struct och_mem mem;
static struct och_arena arena;
static const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
static size_t n_sets;
static float floats[ROWS * DIM], norms[ROWS], query_floats[QUERIES * DIM];
static uint64_t ordinals[ROWS];
static struct och_vector_rows rows;
static struct och_distance_query queries[QUERIES];
static struct graph_sections store;

/* --- worlds -------------------------------------------------------------------- */

enum kind { CLUSTERED, EVEN, FEW_VALUES, LOW_CONTRAST, HEAVY_TAILED, N_KINDS };

/* From one world to the next.  Where code runs many times slower, every second one: the others
 * differ in how good a graph is, not in what is read and written. */
enum { KIND_STEP = CHECK_ONE_IN > 1 ? 2 : 1 };

static float
normal(uint64_t *seed)
{
    float sum = 0;
    for (int i = 0; i < 6; i++)
        sum += och_random_f32(seed);
    return sum;
}

static void
fill_vector(float *v, enum kind kind, uint64_t *seed)
{
    uint64_t cluster = och_random_below(seed, 60) * 977;
    for (size_t i = 0; i < DIM; i++) {
        switch (kind) {
        case CLUSTERED:
            v[i] = 2 * och_random_f32(&cluster) + 0.5F * normal(seed);
            break;
        case FEW_VALUES:
            v[i] = i < 5 ? (float) och_random_below(seed, 4) - 1 : 0;
            break;
        case LOW_CONTRAST:
            v[i] = 30 + 0.01F * normal(seed);
            break;
        case HEAVY_TAILED:
            v[i] = normal(seed) / (1.01F - fabsf(och_random_f32(seed)));
            break;
        case EVEN:
        case N_KINDS:
            v[i] = normal(seed);
            break;
        }
    }
}

static void
make_world(enum kind kind, ochre_space space, uint64_t seed)
{
    for (size_t row = 0; row < ROWS; row++) {
        fill_vector(floats + row * DIM, kind, &seed);
        norms[row] = och_vector_norm(sets[0], floats + row * DIM, DIM);
        ordinals[row] = row * 3 + 1;
    }
    rows = (struct och_vector_rows){.rows = floats,
            .norms = space == OCHRE_SPACE_COSINE ? norms : NULL,
            .ordinals = ordinals,
            .n_rows = ROWS};
    for (size_t q = 0; q < QUERIES; q++) {
        fill_vector(query_floats + q * DIM, kind, &seed);
        och_distance_query_init(&queries[q], sets[n_sets - 1], space, query_floats + q * DIM, DIM);
    }
}

/* What the next build keeps; NULL: nothing. */
static const struct och_vector_kept *kept;

static ochre_status
build_with(struct och_mem *account, struct och_executor *executor,
        const struct och_kernels *kernels, ochre_space space, bool quick)
{
    struct och_vector_build build = {.mem = account,
            .executor = executor,
            .kernels = kernels,
            .rows = &rows,
            .space = space,
            .dim = DIM,
            .seed = 99,
            .kept = kept,
            .quick = quick};
    return graph_sections_build(&store, &build);
}

static ochre_status
open_with(struct och_mem *account, ochre_space space, struct och_vector_index **index_out)
{
    struct och_vector_source source = graph_sections_source(&store);
    struct och_vector_open open = {.mem = account,
            .kernels = sets[n_sets - 1],
            .rows = &rows,
            .space = space,
            .dim = DIM,
            .source = &source};
    return och_graph_kind.open(&open, index_out, NULL);
}

static struct och_vector_index *
build_and_open(ochre_space space)
{
    struct och_vector_index *index;
    check(build_with(&mem, NULL, sets[n_sets - 1], space, false) == OCHRE_OK);
    check(open_with(&mem, space, &index) == OCHRE_OK);
    return index;
}

/* What was asked, the exact answer and the index's. */
struct answers {
    struct och_topk exact[QUERIES], found[QUERIES];
    struct och_vector_work work;
};

static void
ask(const struct och_vector_index *index, struct och_vector_search *search, uint32_t k,
        struct answers *answers)
{
    search->queries = queries;
    search->scratch = &arena;
    search->source = 4;
    answers->work = (struct och_vector_work){.n_hops = 0};
    for (size_t q = 0; q < search->n_queries; q++) {
        check(och_topk_make(&answers->exact[q], &arena, k, ROWS) == OCHRE_OK);
        check(och_topk_make(&answers->found[q], &arena, k, ROWS) == OCHRE_OK);
    }
    check(och_flat_search(&rows, search, answers->exact, NULL, NULL) == OCHRE_OK);
    check(och_vector_index_search(index, search, answers->found, &answers->work, NULL) == OCHRE_OK);
    for (size_t q = 0; q < search->n_queries; q++) {
        och_topk_sort(&answers->exact[q]);
        och_topk_sort(&answers->found[q]);
        check(answers->found[q].n == answers->exact[q].n); /* never fewer */
        for (uint32_t i = 0; i < answers->found[q].n; i++)
            check(search->allowed == NULL ||
                    och_bitset_has(search->allowed, answers->found[q].items[i].row));
    }
}

static bool
same_answers(const struct och_topk *a, const struct och_topk *b)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++) {
        if (a->items[i].row != b->items[i].row || a->items[i].source != b->items[i].source ||
                memcmp(&a->items[i].distance, &b->items[i].distance, sizeof(float)) != 0)
            return false;
    }
    return true;
}

/* The share of hits that are as near as the exact answer's last. */
static double
recall_of(const struct answers *answers, size_t n_queries)
{
    uint64_t n_found = 0, n_all = 0;
    for (size_t q = 0; q < n_queries; q++) {
        const struct och_topk *exact = &answers->exact[q];
        for (uint32_t i = 0; i < exact->n; i++)
            n_found += answers->found[q].items[i].distance <= exact->items[exact->n - 1].distance;
        n_all += exact->n;
    }
    return n_all == 0 ? 1 : (double) n_found / (double) n_all;
}

/* --- tests --------------------------------------------------------------------- */

static void
the_scan_equals_exact_search(void **state)
{
    (void) state;
    for (enum kind kind = CLUSTERED; kind < N_KINDS; kind = (enum kind)(kind + KIND_STEP)) {
        for (int space = OCHRE_SPACE_L2; space <= OCHRE_SPACE_IP; space++) {
            make_world(kind, (ochre_space) space, 31 + (uint64_t) kind);
            memset(floats + 100 * DIM, 0, 20 * DIM * sizeof(float));
            memset(norms + 100, 0, 20 * sizeof(float));
            check(build_with(&mem, NULL, sets[n_sets - 1], (ochre_space) space, true) == OCHRE_OK);
            struct och_vector_index *index;
            check(open_with(&mem, (ochre_space) space, &index) == OCHRE_OK);
            static const uint32_t ks[] = {1, K, 300, ROWS};
            for (size_t i = 0; i < 4; i++) {
                struct answers answers;
                struct och_vector_search search = {.n_queries = i < 2 ? QUERIES : 2, .recall = 1};
                ask(index, &search, ks[i], &answers);
                for (size_t q = 0; q < search.n_queries; q++)
                    check(same_answers(&answers.exact[q], &answers.found[q]));
                check(i > 1 || kind != CLUSTERED ||
                        answers.work.n_distances < (uint64_t) ROWS * QUERIES / 4);
                och_arena_clear(&arena);
            }
            och_vector_index_close(index);
        }
    }
    graph_sections_clear(&store);
    check(och_mem_used(&mem) == 0);
}

static void
a_walk_reaches_the_recall_it_is_asked_for(void **state)
{
    (void) state;
    static const float targets[] = {0.9F, 0.95F, 0.99F, 0.999F};
    for (enum kind kind = CLUSTERED; kind < N_KINDS; kind = (enum kind)(kind + KIND_STEP)) {
        for (int space = OCHRE_SPACE_L2; space <= OCHRE_SPACE_IP; space++) {
            make_world(kind, (ochre_space) space, 41 + (uint64_t) kind);
            struct och_vector_index *index = build_and_open((ochre_space) space);
            for (size_t i = 0; i < 4; i++) {
                struct answers answers;
                struct och_vector_search search = {
                        .n_queries = QUERIES, .recall = targets[i], .plan = OCH_PLAN_WALK};
                ask(index, &search, K, &answers);
                /* 400 trials: within three deviations of the target. */
                double target = (double) targets[i];
                double chance = 3 * sqrt(target * (1 - target) / (QUERIES * K));
                check(recall_of(&answers, QUERIES) >= target - chance);
                och_arena_clear(&arena);
            }
            och_vector_index_close(index);
        }
    }
    graph_sections_clear(&store);
    check(och_mem_used(&mem) == 0);
}

/* Rows of which `percent` are allowed: by chance, near the first query, far from
 * it, or in one stretch. */
enum correlation { BY_CHANCE, NEAR, FAR, STRETCH, N_CORRELATIONS };

static int
compare_floats(const void *left, const void *right)
{
    const float *a = left;
    const float *b = right;
    return (*a > *b) - (*a < *b);
}

static void
allow(struct och_bitset *allowed, enum correlation correlation, double percent, uint64_t *seed)
{
    static float distances[ROWS], sorted[ROWS];
    och_distance_rows(&queries[0], floats, norms, ROWS, distances);
    memcpy(sorted, distances, sizeof(sorted));
    qsort(sorted, ROWS, sizeof(float), compare_floats);
    uint32_t n = (uint32_t) (ROWS * percent / 100);
    for (uint32_t row = 0; row < ROWS; row++) {
        bool in = false;
        switch (correlation) {
        case BY_CHANCE:
            in = (double) och_random_below(seed, 100000) < percent * 1000;
            break;
        case NEAR:
            in = distances[row] < sorted[n];
            break;
        case FAR:
            in = distances[row] > sorted[ROWS - 1 - n];
            break;
        case STRETCH:
            in = row >= 700 && row < 700 + n;
            break;
        case N_CORRELATIONS:
            break;
        }
        if (in)
            check(och_bitset_add(allowed, row) == OCHRE_OK);
    }
}

static void
no_filter_costs_recall(void **state)
{
    (void) state;
    static const double percents[] = {0, 0.02, 0.2, 1, 5, 20, 50, 90, 99};
    static const enum och_vector_plan plans[] = {OCH_PLAN_ANY, OCH_PLAN_WALK, OCH_PLAN_TWO_HOP};
    uint64_t seed = 51;
    make_world(CLUSTERED, OCHRE_SPACE_L2, 51);
    struct och_vector_index *index = build_and_open(OCHRE_SPACE_L2);
    for (enum correlation c = BY_CHANCE; c < N_CORRELATIONS; c++) {
        for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
            struct och_bitset allowed;
            och_bitset_init(&allowed, &mem);
            allow(&allowed, c, percents[i], &seed);
            for (size_t p = 0; p < 3; p++) {
                struct answers answers;
                struct och_vector_search search = {.n_queries = QUERIES,
                        .allowed = &allowed,
                        .recall = 0.99F,
                        .plan = plans[p]};
                ask(index, &search, K, &answers);
                /* A walk that is forced may be led astray where it would not be
                 * chosen; what is chosen keeps its promise. */
                if (plans[p] == OCH_PLAN_ANY)
                    check(recall_of(&answers, QUERIES) >= 0.975);
                och_arena_clear(&arena);
            }
            och_bitset_clear(&allowed);
        }
    }
    och_vector_index_close(index);
    graph_sections_clear(&store);
    check(och_mem_used(&mem) == 0);
}

/* Thousands of equal vectors hide nothing: neither each other nor the rest. */
static void
equal_vectors_hide_nothing(void **state)
{
    (void) state;
    make_world(CLUSTERED, OCHRE_SPACE_COSINE, 61);
    for (uint32_t row = 1; row < ROWS; row += 2) {
        /* Every other row is one of three vectors, one of them without direction. */
        uint32_t first = row % 6;
        memcpy(floats + (size_t) row * DIM, floats + (size_t) first * DIM, DIM * sizeof(float));
        if (first == 5)
            memset(floats + (size_t) row * DIM, 0, DIM * sizeof(float));
        norms[row] = och_vector_norm(sets[0], floats + (size_t) row * DIM, DIM);
    }
    struct och_vector_index *index = build_and_open(OCHRE_SPACE_COSINE);
    for (uint32_t row = 0; row < 6; row++) {
        memcpy(query_floats + (size_t) row * DIM, floats + (size_t) row * DIM, DIM * sizeof(float));
        och_distance_query_init(&queries[row], sets[n_sets - 1], OCHRE_SPACE_COSINE,
                query_floats + (size_t) row * DIM, DIM);
    }
    struct answers answers;
    struct och_vector_search search = {
            .n_queries = QUERIES, .recall = 0.99F, .plan = OCH_PLAN_WALK};
    ask(index, &search, K, &answers);
    check(recall_of(&answers, QUERIES) >= 0.98);
    check(same_answers(&answers.exact[1], &answers.found[1])); /* ties by insertion */
    /* Every second of the equal ones alone, with the first of each left out. */
    struct och_bitset allowed;
    och_bitset_init(&allowed, &mem);
    for (uint32_t row = 6; row < ROWS; row += 4)
        check(och_bitset_add(&allowed, row + 1) == OCHRE_OK);
    och_arena_clear(&arena);
    search.allowed = &allowed;
    ask(index, &search, K, &answers);
    check(recall_of(&answers, QUERIES) >= 0.98);
    och_arena_clear(&arena);
    och_bitset_clear(&allowed);
    och_vector_index_close(index);
    graph_sections_clear(&store);
    check(och_mem_used(&mem) == 0);
}

/* Whether there is a way to every row; what there is no way to is measured always. */
static bool
all_reached(void)
{
    struct graph_census census =
            graph_take_census(store.bytes[0], store.sizes[0], store.bytes[2], store.sizes[2]);
    return census.n_rows == ROWS && census.n_lost == 0 &&
            census.n_reached + census.n_copies + census.n_strays == ROWS;
}

static void
every_row_can_be_reached(void **state)
{
    (void) state;
    for (enum kind kind = CLUSTERED; kind < N_KINDS; kind = (enum kind)(kind + KIND_STEP)) {
        make_world(kind, OCHRE_SPACE_L2, 71);
        struct och_vector_index *index = build_and_open(OCHRE_SPACE_L2);
        och_vector_index_close(index);
        check(all_reached());
    }
    graph_sections_clear(&store);
}

/* An index over rows of the world but every tenth, and over others, which die: every
 * ninth. */
enum { OLD_ROWS = 6000 };

struct old {
    float floats[OLD_ROWS * DIM], norms[OLD_ROWS];
    uint32_t map[OLD_ROWS];
    struct och_vector_rows rows;
    struct graph_sections store;
    struct och_vector_source source;
    struct och_vector_index *index;
    struct och_vector_kept kept;
};

static void
make_old(struct old *old, enum kind kind, ochre_space space)
{
    uint64_t seed = 5;
    uint32_t row = 0;
    for (uint32_t i = 0; i < OLD_ROWS; i++) {
        bool dies = i % 9 == 8;
        old->map[i] = dies ? OCH_ROW_NONE : row;
        if (dies)
            fill_vector(old->floats + (size_t) i * DIM, kind, &seed);
        else
            memcpy(old->floats + (size_t) i * DIM, floats + (size_t) row * DIM,
                    DIM * sizeof(float));
        row += dies ? 0 : i % 10 == 0 ? 2U : 1U;
        old->norms[i] = och_vector_norm(sets[0], old->floats + (size_t) i * DIM, DIM);
    }
    check(row <= ROWS);
    struct och_vector_rows world = rows;
    old->rows = (struct och_vector_rows){.rows = old->floats,
            .norms = space == OCHRE_SPACE_COSINE ? old->norms : NULL,
            .ordinals = ordinals,
            .n_rows = OLD_ROWS};
    rows = old->rows;
    check(build_with(&mem, NULL, sets[n_sets - 1], space, false) == OCHRE_OK);
    rows = world;
    old->store = store;
    store = (struct graph_sections){.open = 0};
    old->source = graph_sections_source(&old->store);
    struct och_vector_open open = {.mem = &mem,
            .kernels = sets[n_sets - 1],
            .rows = &old->rows,
            .space = space,
            .dim = DIM,
            .source = &old->source};
    bool done;
    check(och_graph_kind.open(&open, &old->index, NULL) == OCHRE_OK);
    check(och_graph_kind.warm(old->index, UINT64_MAX, &done, NULL) == OCHRE_OK && done);
    old->kept = (struct och_vector_kept){old->index, old->map};
}

static void
clear_old(struct old *old)
{
    och_vector_index_close(old->index);
    graph_sections_clear(&old->store);
    graph_sections_clear(&store);
    check(och_mem_used(&mem) == 0);
}

/* The share of links between old rows that live which are links of the new graph. */
static double
share_kept(const struct old *old)
{
    const uint32_t *before = (const uint32_t *) (void *) old->store.bytes[2];
    const uint32_t *after = (const uint32_t *) (void *) store.bytes[2];
    uint64_t n = 0, n_kept = 0;
    for (size_t i = 0; i < (size_t) OLD_ROWS * OCH_GRAPH_DEGREE; i++) {
        uint32_t from = old->map[i / OCH_GRAPH_DEGREE];
        if (before[i] == OCH_ROW_NONE || from == OCH_ROW_NONE ||
                old->map[before[i]] == OCH_ROW_NONE)
            continue;
        n++;
        for (size_t j = 0; j < OCH_GRAPH_DEGREE; j++)
            n_kept += after[(size_t) from * OCH_GRAPH_DEGREE + j] == old->map[before[i]];
    }
    return (double) n_kept / (double) n;
}

static void
a_kept_graph_is_as_good_as_a_new_one(void **state)
{
    (void) state;
    static struct old old;
    for (enum kind kind = CLUSTERED; kind < N_KINDS; kind = (enum kind)(kind + KIND_STEP)) {
        ochre_space space = kind == FEW_VALUES ? OCHRE_SPACE_COSINE : OCHRE_SPACE_L2;
        make_world(kind, space, 91);
        make_old(&old, kind, space);
        check(build_with(&mem, NULL, sets[n_sets - 1], space, false) == OCHRE_OK);
        double by_chance = share_kept(&old);
        kept = &old.kept;
        struct och_vector_index *index = build_and_open(space);
        check(all_reached());
        check(share_kept(&old) > (1 + by_chance) / 2);
        struct answers answers;
        struct och_vector_search search = {
                .n_queries = QUERIES, .recall = 0.99F, .plan = OCH_PLAN_WALK};
        ask(index, &search, K, &answers);
        check(recall_of(&answers, QUERIES) >= 0.99 - 3 * sqrt(0.99 * 0.01 / (QUERIES * K)));
        och_arena_clear(&arena);
        och_vector_index_close(index);
        kept = NULL;
        clear_old(&old);
    }
}

/* Let the rows that the old graph does not have, and all queries, lie far from the rest. */
static void
move_new(const struct old *old)
{
    static bool is_old[ROWS];
    memset(is_old, 0, sizeof(is_old));
    for (uint32_t i = 0; i < OLD_ROWS; i++) {
        if (old->map[i] != OCH_ROW_NONE)
            is_old[old->map[i]] = true;
    }
    for (size_t i = 0; i < (size_t) ROWS * DIM; i++)
        floats[i] += is_old[i / DIM] ? 0 : 6;
    for (size_t i = 0; i < (size_t) QUERIES * DIM; i++)
        query_floats[i] += 6;
    for (size_t q = 0; q < QUERIES; q++)
        och_distance_query_init(
                &queries[q], sets[n_sets - 1], OCHRE_SPACE_L2, query_floats + q * DIM, DIM);
}

static void
what_comes_from_elsewhere_is_found(void **state)
{
    (void) state;
    static struct old old;
    make_world(EVEN, OCHRE_SPACE_L2, 97);
    make_old(&old, EVEN, OCHRE_SPACE_L2);
    move_new(&old);
    kept = &old.kept;
    struct och_vector_index *index = build_and_open(OCHRE_SPACE_L2);
    struct answers answers;
    struct och_vector_search search = {
            .n_queries = QUERIES, .recall = 0.99F, .plan = OCH_PLAN_WALK};
    ask(index, &search, K, &answers);
    check(recall_of(&answers, QUERIES) >= 0.97);
    och_arena_clear(&arena);
    och_vector_index_close(index);
    kept = NULL;
    clear_old(&old);
}

static void
a_kept_graph_is_the_same_from_any_thread(void **state)
{
    (void) state;
    static struct old old;
    make_world(CLUSTERED, OCHRE_SPACE_L2, 92);
    make_old(&old, CLUSTERED, OCHRE_SPACE_L2);
    kept = &old.kept;
    check(build_with(&mem, NULL, sets[0], OCHRE_SPACE_L2, false) == OCHRE_OK);
    uint64_t wanted = graph_sections_hash(&store);
    struct och_executor *executor;
    check(och_executor_open(&mem, 1, 3, &executor, NULL) == OCHRE_OK);
    check(build_with(&mem, executor, sets[n_sets - 1], OCHRE_SPACE_L2, false) == OCHRE_OK);
    check(graph_sections_hash(&store) == wanted);
    och_executor_close(executor);
    kept = NULL;
    clear_old(&old);
}

static void
threads_and_instruction_sets_make_the_same_bytes(void **state)
{
    (void) state;
    make_world(CLUSTERED, OCHRE_SPACE_COSINE, 81);
    check(build_with(&mem, NULL, sets[n_sets - 1], OCHRE_SPACE_COSINE, false) == OCHRE_OK);
    uint64_t wanted = graph_sections_hash(&store);
    for (size_t s = 0; s + 1 < n_sets; s++) {
        check(build_with(&mem, NULL, sets[s], OCHRE_SPACE_COSINE, false) == OCHRE_OK);
        check(graph_sections_hash(&store) == wanted);
    }
    static const unsigned n_threads[] = {1, 2, 7};
    for (size_t i = 0; i < 3; i++) {
        struct och_executor *executor;
        check(och_executor_open(&mem, 1, n_threads[i], &executor, NULL) == OCHRE_OK);
        check(build_with(&mem, executor, sets[n_sets - 1], OCHRE_SPACE_COSINE, false) == OCHRE_OK);
        check(graph_sections_hash(&store) == wanted);
        och_executor_close(executor);
    }
    graph_sections_clear(&store);
    check(och_mem_used(&mem) == 0);
}

/* Every plan, with and without a filter. */
enum { WAYS = 6 };

static void
choose_way(int way, const struct och_bitset *some, struct och_vector_search *search)
{
    static const enum och_vector_plan plans[] = {OCH_PLAN_ANY, OCH_PLAN_SCAN, OCH_PLAN_WALK,
            OCH_PLAN_WALK, OCH_PLAN_SCAN, OCH_PLAN_TWO_HOP};
    *search = (struct och_vector_search){.n_queries = 5,
            .recall = 0.99F,
            .effort = 30,
            .plan = plans[way],
            .allowed = way < 3 ? NULL : some};
}

static void
get_answers(const struct och_vector_index *index, const struct och_bitset *some,
        struct answers answers[WAYS])
{
    for (int way = 0; way < WAYS; way++) {
        struct och_vector_search search;
        choose_way(way, some, &search);
        ask(index, &search, K, &answers[way]);
        check(!answers[way].work.is_unreadable);
    }
}

/* To the bit, and for as much work. */
static void
check_same(const struct answers a[WAYS], const struct answers b[WAYS])
{
    for (int way = 0; way < WAYS; way++) {
        for (size_t q = 0; q < 5; q++)
            check(same_answers(&a[way].found[q], &b[way].found[q]));
        check(a[way].work.n_estimates == b[way].work.n_estimates);
        check(a[way].work.n_hops == b[way].work.n_hops);
    }
}

static void
make_some(struct och_bitset *some)
{
    och_bitset_init(some, &mem);
    for (uint32_t row = 0; row < ROWS; row += 3)
        check(och_bitset_add(some, row) == OCHRE_OK);
}

/* Codes and links where they are mapped, half of them in memory, all of them there, and
 * where memory is refused. */
static void
what_is_not_read_yet_is_answered_the_same(void **state)
{
    (void) state;
    static struct answers cold[WAYS], warm[WAYS];
    struct och_bitset some;
    make_world(FEW_VALUES, OCHRE_SPACE_L2, 93);
    make_some(&some);
    check(build_with(&mem, NULL, sets[n_sets - 1], OCHRE_SPACE_L2, false) == OCHRE_OK);
    for (int has_room = 0; has_room < 2; has_room++) {
        struct och_vector_index *index;
        struct och_vector_stats before, after;
        bool done = false;
        check(open_with(&mem, OCHRE_SPACE_L2, &index) == OCHRE_OK);
        get_answers(index, &some, cold);
        och_graph_kind.stats(index, 0.99F, &before);
        mem.limit = has_room ? SIZE_MAX : och_mem_used(&mem);
        check(och_graph_kind.warm(index, 1, &done, NULL) == OCHRE_OK && !done);
        mem.limit = SIZE_MAX;
        get_answers(index, &some, warm);
        check_same(cold, warm);
        mem.limit = has_room ? SIZE_MAX : och_mem_used(&mem);
        check(och_graph_kind.warm(index, UINT64_MAX, &done, NULL) == OCHRE_OK && done);
        check(och_graph_kind.warm(index, 1, &done, NULL) == OCHRE_OK && done);
        mem.limit = SIZE_MAX;
        och_graph_kind.stats(index, 0.99F, &after);
        check(after.memory - before.memory == (has_room ? store.sizes[1] + store.sizes[2] : 0));
        /* Nothing is touched any more; and nothing but the copies is looked at. */
        size_t n_touched = store.n_touched;
        for (int section = 1; has_room && section < SECTIONS; section++)
            memset(store.mapped[section], 0, store.sizes[section]);
        get_answers(index, &some, warm);
        check_same(cold, warm);
        check(store.n_touched == n_touched);
        och_vector_index_close(index);
        och_arena_clear(&arena);
    }
    och_bitset_clear(&some);
    graph_sections_clear(&store);
    check(och_mem_used(&mem) == 0);
}

/* Does a search change what the next one of its kind is expected to take? */
static bool
teaches(const struct och_vector_index *index, const struct och_bitset *allowed,
        enum och_vector_plan plan)
{
    static struct answers answers;
    struct och_vector_search search = {
            .n_queries = 5, .recall = 0.99F, .effort = 30, .plan = plan, .allowed = allowed};
    uint64_t expected[2];
    for (int i = 0; i < 2; i++) {
        ask(index, &search, K, &answers);
        expected[i] = answers.work.cost_ns;
    }
    return expected[0] != expected[1];
}

/* Searches that may choose learn from those with a filter, once disks have no part in it. */
static void
filtered_searches_teach_what_they_take(void **state)
{
    (void) state;
    struct och_bitset some;
    make_world(CLUSTERED, OCHRE_SPACE_L2, 17);
    make_some(&some);
    check(build_with(&mem, NULL, sets[n_sets - 1], OCHRE_SPACE_L2, false) == OCHRE_OK);
    struct och_vector_index *index;
    bool done = false;
    check(open_with(&mem, OCHRE_SPACE_L2, &index) == OCHRE_OK);
    check(!teaches(index, &some, OCH_PLAN_ANY));
    check(och_graph_kind.warm(index, UINT64_MAX, &done, NULL) == OCHRE_OK && done);
    check(!teaches(index, &some, OCH_PLAN_SCAN) && !teaches(index, &some, OCH_PLAN_WALK));
    check(teaches(index, &some, OCH_PLAN_ANY));
    check(!teaches(index, NULL, OCH_PLAN_ANY));
    och_vector_index_close(index);
    och_arena_clear(&arena);
    och_bitset_clear(&some);
    graph_sections_clear(&store);
    check(och_mem_used(&mem) == 0);
}

/* Ask in every way: what fails says that it was the index, the rest is as it was. */
static unsigned
count_failures(const struct och_vector_index *index, const struct och_bitset *some,
        const struct answers wanted[WAYS])
{
    unsigned n_failed = 0;
    for (int way = 0; way < WAYS; way++) {
        struct och_vector_search search;
        struct och_topk lists[5];
        struct och_vector_work work = {.n_hops = 0};
        choose_way(way, some, &search);
        search.queries = queries;
        search.source = 4;
        search.scratch = &arena;
        for (size_t q = 0; q < 5; q++)
            check(och_topk_make(&lists[q], &arena, K, ROWS) == OCHRE_OK);
        ochre_status status = och_vector_index_search(index, &search, lists, &work, NULL);
        check(status == OCHRE_OK || status == store.failure);
        check(work.is_unreadable == (status != OCHRE_OK));
        for (size_t q = 0; q < 5 && status == OCHRE_OK; q++) {
            och_topk_sort(&lists[q]);
            check(same_answers(&lists[q], &wanted[way].found[q]));
        }
        n_failed += status != OCHRE_OK;
    }
    return n_failed;
}

static void
damage_is_met_where_it_is_looked_at(void **state)
{
    (void) state;
    static struct answers whole[WAYS];
    struct och_bitset some;
    struct och_vector_index *index;
    uint64_t seed = 94;
    unsigned n_failed = 0, n_asked = 0;
    make_world(CLUSTERED, OCHRE_SPACE_COSINE, 94);
    make_some(&some);
    check(build_with(&mem, NULL, sets[n_sets - 1], OCHRE_SPACE_COSINE, false) == OCHRE_OK);
    check(open_with(&mem, OCHRE_SPACE_COSINE, &index) == OCHRE_OK);
    get_answers(index, &some, whole);
    och_vector_index_close(index);
    struct och_arena_mark mark = och_arena_mark(&arena);
    for (int round = 0; round < 40; round++) {
        bool done = true;
        store.failing_section = 1 + round % 2;
        store.failing_byte = och_random_below(&seed, store.sizes[store.failing_section]);
        store.failure = round % 4 < 2 ? OCHRE_CORRUPT : OCHRE_IO;
        check(open_with(&mem, OCHRE_SPACE_COSINE, &index) == OCHRE_OK);
        n_failed += count_failures(index, &some, whole);
        n_asked += WAYS;
        size_t used = och_mem_used(&mem);
        check(och_graph_kind.warm(index, UINT64_MAX, &done, NULL) == store.failure && !done);
        check(store.failure == OCHRE_IO || och_mem_used(&mem) == used);
        n_failed += count_failures(index, &some, whole);
        n_asked += WAYS;
        /* What failed for a moment goes on. */
        store.failure = OCHRE_OK;
        check(och_graph_kind.warm(index, UINT64_MAX, &done, NULL) == OCHRE_OK && done);
        check(count_failures(index, &some, whole) == 0);
        och_vector_index_close(index);
        och_arena_rewind(&arena, &mark);
    }
    och_arena_clear(&arena);
    check(n_failed > 40 && n_failed < n_asked);
    och_bitset_clear(&some);
    graph_sections_clear(&store);
    check(och_mem_used(&mem) == 0);
}

/* Damage past the checksums: refused, or searched without leaving the sections. */
static void
damaged_sections_are_refused_or_harmless(void **state)
{
    (void) state;
    make_world(EVEN, OCHRE_SPACE_L2, 91);
    check(build_with(&mem, NULL, sets[n_sets - 1], OCHRE_SPACE_L2, false) == OCHRE_OK);
    uint64_t seed = 91;
    unsigned n_refused = 0;
    for (int round = 0; round < 300; round++) {
        size_t section = och_random_below(&seed, 2) == 0 ? 0 : och_random_below(&seed, SECTIONS);
        size_t size = store.sizes[section] < 200 || section > 0 ? store.sizes[section] : 200;
        size_t at = och_random_below(&seed, size);
        char before = store.bytes[section][at];
        size_t whole = store.sizes[section];
        store.bytes[section][at] = (char) och_random(&seed);
        if (och_random_below(&seed, 8) == 0)
            store.sizes[section] = och_random_below(&seed, whole);
        struct och_vector_index *index;
        ochre_status status = open_with(&mem, OCHRE_SPACE_L2, &index);
        check(status == OCHRE_OK || status == OCHRE_CORRUPT);
        n_refused += status == OCHRE_CORRUPT;
        if (status == OCHRE_OK) {
            struct och_topk best;
            struct och_vector_search search = {.queries = queries,
                    .n_queries = 1,
                    .recall = 0.99F,
                    .effort = 20,
                    .scratch = &arena};
            check(och_topk_make(&best, &arena, K, ROWS) == OCHRE_OK);
            /* Damage is met where it is looked at; a look at everything misses none. */
            bool done = false;
            ochre_status found = och_vector_index_search(index, &search, &best, NULL, NULL);
            ochre_status all = och_graph_kind.warm(index, UINT64_MAX, &done, NULL);
            check(all == OCHRE_OK ? done && found == OCHRE_OK : all == OCHRE_CORRUPT);
            check(found == OCHRE_OK || found == OCHRE_CORRUPT);
            n_refused += all == OCHRE_CORRUPT;
            och_arena_clear(&arena);
            och_vector_index_close(index);
        }
        store.bytes[section][at] = before;
        store.sizes[section] = whole;
    }
    check(n_refused > 50);
    graph_sections_clear(&store);
    check(och_mem_used(&mem) == 0);
}

static bool
open_once(struct och_mem *account)
{
    struct och_vector_index *index;
    ochre_status status = open_with(account, OCHRE_SPACE_L2, &index);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    if (status == OCHRE_OK)
        och_vector_index_close(index);
    return status == OCHRE_OK;
}

static bool
search_once(struct och_mem *account)
{
    struct och_vector_index *index;
    struct och_arena scratch;
    struct och_topk best;
    check(open_with(&mem, OCHRE_SPACE_L2, &index) == OCHRE_OK);
    och_arena_init(&scratch, account);
    ochre_status status = och_topk_make(&best, &scratch, K, ROWS);
    struct och_vector_search search = {.queries = queries,
            .n_queries = 3,
            .recall = 0.99F,
            .plan = OCH_PLAN_WALK,
            .scratch = &scratch};
    struct och_topk lists[3] = {best, best, best};
    for (int i = 0; i < 3 && status == OCHRE_OK; i++)
        status = och_topk_make(&lists[i], &scratch, K, ROWS);
    if (status == OCHRE_OK)
        status = och_vector_index_search(index, &search, lists, NULL, NULL);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    och_arena_clear(&scratch);
    och_vector_index_close(index);
    return status == OCHRE_OK;
}

/* Where copies are refused the index stays where it is mapped: no failure. */
static bool
warm_once(struct och_mem *account)
{
    struct och_vector_index *index;
    bool done = false;
    ochre_status status = open_with(account, OCHRE_SPACE_L2, &index);
    if (status != OCHRE_OK)
        return false;
    check(och_graph_kind.warm(index, UINT64_MAX, &done, NULL) == OCHRE_OK && done);
    och_vector_index_close(index);
    return true;
}

/* The `grant`-th allocation of a build is refused. */
static void
build_short_of_memory(uint64_t grant)
{
    struct och_mem account;
    och_mem_init(&account, NULL);
    account.fail_at = grant;
    ochre_status status = build_with(&account, NULL, sets[n_sets - 1], OCHRE_SPACE_L2, false);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    check(och_mem_used(&account) == 0);
}

static void
without_memory_nothing_is_left(void **state)
{
    (void) state;
    make_world(FEW_VALUES, OCHRE_SPACE_L2, 95);
    check(build_with(&mem, NULL, sets[n_sets - 1], OCHRE_SPACE_L2, false) == OCHRE_OK);
    check_each_allocation_failing(open_once);
    check_each_allocation_failing(search_once);
    for (uint64_t refused = 1; refused < 10; refused++) {
        struct och_mem account;
        och_mem_init(&account, NULL);
        account.fail_at = refused;
        (void) warm_once(&account);
        check(och_mem_used(&account) == 0);
    }
    /* Building takes seconds: some of its allocations only. */
    for (uint64_t grant = 1; grant < 40; grant += grant < 8 ? 1 : 9)
        build_short_of_memory(grant);
    static struct old old;
    make_old(&old, FEW_VALUES, OCHRE_SPACE_L2);
    kept = &old.kept;
    for (uint64_t grant = 12; grant < 30; grant += 2)
        build_short_of_memory(grant);
    kept = NULL;
    clear_old(&old);
}

int
main(void)
{
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    struct och_cpu cpu = och_cpu_detect();
    n_sets = och_kernels_all(cpu.sets, sets);
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_scan_equals_exact_search),
            cmocka_unit_test(a_walk_reaches_the_recall_it_is_asked_for),
            cmocka_unit_test(no_filter_costs_recall),
            cmocka_unit_test(equal_vectors_hide_nothing),
            cmocka_unit_test(every_row_can_be_reached),
            cmocka_unit_test(a_kept_graph_is_as_good_as_a_new_one),
            cmocka_unit_test(what_comes_from_elsewhere_is_found),
            cmocka_unit_test(a_kept_graph_is_the_same_from_any_thread),
            cmocka_unit_test(threads_and_instruction_sets_make_the_same_bytes),
            cmocka_unit_test(what_is_not_read_yet_is_answered_the_same),
            cmocka_unit_test(filtered_searches_teach_what_they_take),
            cmocka_unit_test(damage_is_met_where_it_is_looked_at),
            cmocka_unit_test(damaged_sections_are_refused_or_harmless),
            cmocka_unit_test(without_memory_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
