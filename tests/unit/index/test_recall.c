/*
 * The recall that is promised, whatever may be found: share of rows that pass a
 * filter, how the filter and the query are related, share of rows that are deleted,
 * kinds of vectors that indexes find hard.
 *
 *      test_recall            some cells, in seconds
 *      test_recall full       all cells, of more rows; prints docs/recall.md's table
 *
 * In each cell, with default settings and the plan that the index chooses: never
 * fewer hits than min(k, matches), and recall@10 no further below .99 than chance
 * explains.  A query's hits stand or fall together to some degree; so of the three
 * deviations that are allowed, each is that of so many queries, not of so many hits:
 * no query's share is worth more than its own distance from the mean.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bitset.h"
#include "base/mem.h"
#include "base/random.h"
#include "distance/distance.h"
#include "index/vector/flat.h"
#include "index/vector/graph.h"
#include "index/vector/topk.h"
#include "os/cpu.h"
#include "support/check.h"
#include "unit/index/graph_sections.h"

enum { ROWS_MAX = 30000, QUERIES_MAX = 200, DIM_MAX = 64, K = 10 };
#define TARGET 0.99F

enum kind { CLUSTERED, EVEN, LOW_CONTRAST, HEAVY_TAILED, N_KINDS };
static const struct {
    const char *name;
    uint32_t dim; /* of more, without structure, exact scans would cost less than walks */
} kinds[] = {{"clusters", 64}, {"even", 16}, {"low contrast", 16}, {"heavy tails", 64}};

enum relation { NONE, NEAR, FAR, ELSEWHERE, N_RELATIONS };
static const char *const relation_names[] = {
        "none", "nearest to the query", "farthest from it", "nearest to another row"};

/* Per 100,000 rows. */
static const uint32_t selectivities[] = {0, 1, 10, 100, 1000, 10000, 50000, 90000, 100000};
enum { N_SELECTIVITIES = sizeof(selectivities) / sizeof(selectivities[0]) };
static const unsigned deleted_percents[] = {0, 20, 50, 90};
enum { N_DELETED = sizeof(deleted_percents) / sizeof(deleted_percents[0]) };

static bool is_full;
static uint32_t dim, n_rows = 5000, n_queries = 40;
static struct och_mem mem;
static struct och_arena arena;
static const struct och_kernels *kernels;
static float floats[ROWS_MAX * DIM_MAX], query_floats[QUERIES_MAX * DIM_MAX];
static uint64_t ordinals[ROWS_MAX];
static struct och_vector_rows rows;
static struct och_distance_query queries[QUERIES_MAX];
static uint32_t by_distance[2][QUERIES_MAX][ROWS_MAX]; /* from the query; from another row */
static bool is_deleted[ROWS_MAX];

/* --- worlds ------------------------------------------------------------------------ */

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
    uint64_t cluster = och_random_below(seed, 100) * 977;
    for (size_t i = 0; i < dim; i++) {
        switch (kind) {
        case CLUSTERED:
            v[i] = 2 * och_random_f32(&cluster) + 0.3F * normal(seed);
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

static float sort_keys[ROWS_MAX];

static int
compare_rows(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *) left, b = *(const uint32_t *) right;
    if (sort_keys[a] != sort_keys[b])
        return sort_keys[a] < sort_keys[b] ? -1 : 1;
    return (a > b) - (a < b);
}

static void
sort_rows(const float *from, uint32_t *order)
{
    struct och_distance_query query;
    och_distance_query_init(&query, kernels, OCHRE_SPACE_L2, from, dim);
    och_distance_rows(&query, floats, NULL, n_rows, sort_keys);
    for (uint32_t row = 0; row < n_rows; row++)
        order[row] = row;
    qsort(order, n_rows, sizeof(*order), compare_rows);
}

static void
make_world(enum kind kind, uint64_t *seed)
{
    dim = kinds[kind].dim;
    for (uint32_t row = 0; row < n_rows; row++) {
        fill_vector(floats + (size_t) row * dim, kind, seed);
        ordinals[row] = row;
    }
    rows = (struct och_vector_rows){.rows = floats, .ordinals = ordinals, .n_rows = n_rows};
    for (uint32_t q = 0; q < n_queries; q++) {
        float *v = query_floats + (size_t) q * dim;
        fill_vector(v, kind, seed);
        och_distance_query_init(&queries[q], kernels, OCHRE_SPACE_L2, v, dim);
        sort_rows(v, by_distance[0][q]);
        sort_rows(floats + och_random_below(seed, n_rows) * dim, by_distance[1][q]);
    }
}

/* --- cells ------------------------------------------------------------------------- */

struct cell {
    enum relation relation;
    uint32_t n_selected; /* that pass the filter */
    unsigned deleted_percent;
};

/* What is seen in a cell. */
struct outcome {
    uint64_t n_found, n_wanted, n_walks;
    double sum_of_squares; /* of each query's hits that are missing */
};

static void
allow(struct och_bitset *allowed, const struct cell *cell, uint32_t q, uint64_t *seed)
{
    const uint32_t *order = by_distance[cell->relation == ELSEWHERE][q];
    uint32_t n_left = cell->n_selected;
    for (uint32_t i = 0; i < n_rows; i++) {
        bool in = false;
        switch (cell->relation) {
        case NONE: /* so many of those that are left, each as likely */
            in = och_random_below(seed, n_rows - i) < n_left;
            n_left -= in;
            break;
        case NEAR:
        case ELSEWHERE:
            in = i < cell->n_selected;
            break;
        case FAR:
            in = i >= n_rows - cell->n_selected;
            break;
        case N_RELATIONS:
            break;
        }
        if (in && !is_deleted[order[i]])
            check(och_bitset_add(allowed, order[i]) == OCHRE_OK);
    }
}

static void
ask(const struct och_vector_index *index, const struct och_bitset *allowed, uint32_t q,
        struct outcome *outcome)
{
    struct och_vector_work work = {.n_hops = 0};
    struct och_topk exact, found;
    struct och_vector_search search = {.queries = &queries[q],
            .n_queries = 1,
            .allowed = allowed,
            .recall = TARGET,
            .scratch = &arena};
    check(och_topk_make(&exact, &arena, K, n_rows) == OCHRE_OK);
    check(och_topk_make(&found, &arena, K, n_rows) == OCHRE_OK);
    check(och_flat_search(&rows, &search, &exact, NULL, NULL) == OCHRE_OK);
    check(och_vector_index_search(index, &search, &found, &work, NULL) == OCHRE_OK);
    och_topk_sort(&exact);
    och_topk_sort(&found);
    check(found.n == exact.n); /* never fewer */
    uint32_t n = 0;
    for (uint32_t i = 0; i < found.n; i++) {
        check(och_bitset_has(allowed, found.items[i].row));
        n += found.items[i].distance <= exact.items[exact.n - 1].distance;
    }
    outcome->n_found += n;
    outcome->n_wanted += exact.n;
    outcome->n_walks += work.n_hops > 0;
    outcome->sum_of_squares += (double) (exact.n - n) * (exact.n - n);
    och_arena_clear(&arena);
}

static double
recall_of(const struct outcome *outcome)
{
    return outcome->n_wanted == 0 ? 1 : (double) outcome->n_found / (double) outcome->n_wanted;
}

/* Below the target by no more than chance explains? */
static bool
keeps_promise(const struct outcome *outcome)
{
    if (outcome->n_wanted == 0)
        return true;
    double n = n_queries, each = (double) outcome->n_wanted / n;
    double missing = (double) (outcome->n_wanted - outcome->n_found) / n;
    double variance = outcome->sum_of_squares / n - missing * missing;
    return recall_of(outcome) >= (double) TARGET - 3 * sqrt(variance / n) / each;
}

static struct outcome
try_cell(const struct och_vector_index *index, const struct cell *cell, uint64_t *seed)
{
    struct outcome outcome = {.n_found = 0};
    for (uint32_t q = 0; q < n_queries; q++) {
        struct och_bitset allowed;
        och_bitset_init(&allowed, &mem);
        allow(&allowed, cell, q, seed);
        ask(index, &allowed, q, &outcome);
        och_bitset_clear(&allowed);
    }
    return outcome;
}

/* --- matrices ----------------------------------------------------------------------- */

static uint32_t
rows_of(uint32_t selectivity)
{
    if (selectivity == 0)
        return 0;
    uint32_t n = (uint32_t) ((uint64_t) n_rows * selectivity / 100000);
    return n == 0 ? 1 : n;
}

/* One line of the table: the lowest recall over the shares that are deleted. */
static bool
try_relation(const struct och_vector_index *index, enum kind kind, enum relation relation,
        uint64_t *seed)
{
    bool all_keep = true;
    uint64_t n_walks = 0, n_asked = 0;
    if (is_full)
        (void) printf("| %s | %s |", kinds[kind].name, relation_names[relation]);
    for (size_t s = 0; s < N_SELECTIVITIES; s++) {
        double lowest = 1;
        for (size_t d = 0; d < N_DELETED; d++) {
            /* In seconds there is time for every fifth. */
            if (!is_full && (s * N_DELETED + d + (size_t) relation) % 5 != 0)
                continue;
            for (uint32_t row = 0; row < n_rows; row++)
                is_deleted[row] = och_random_below(seed, 100) < deleted_percents[d];
            struct cell cell = {relation, rows_of(selectivities[s]), deleted_percents[d]};
            struct outcome outcome = try_cell(index, &cell, seed);
            double recall = recall_of(&outcome);
            lowest = recall < lowest ? recall : lowest;
            n_walks += outcome.n_walks;
            n_asked += n_queries;
            if (!keeps_promise(&outcome)) {
                (void) fprintf(stderr, "%s, %s, %u rows selected, %u %% deleted: recall %.4f\n",
                        kinds[kind].name, relation_names[relation], (unsigned) cell.n_selected,
                        cell.deleted_percent, recall);
                all_keep = false;
            }
        }
        if (is_full)
            (void) printf(" %.4f |", lowest);
    }
    if (is_full)
        (void) printf(" %.0f |\n", 100 * (double) n_walks / (double) n_asked);
    (void) fflush(stdout);
    return all_keep;
}

static void
no_filter_and_no_deletion_costs_the_promised_recall(void **state)
{
    (void) state;
    bool all_keep = true;
    if (is_full) {
        (void) printf(
                "| vectors | filter and query | none | .001 %% | .01 %% | .1 %% | 1 %% | 10 %% "
                "| 50 %% | 90 %% | all | walks, %% |\n");
        (void) printf("|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    }
    for (enum kind kind = CLUSTERED; kind < N_KINDS; kind++) {
        uint64_t seed = 1701 + (uint64_t) kind;
        struct graph_sections sections = {.open = 0};
        struct och_vector_index *index;
        make_world(kind, &seed);
        struct och_vector_build build = {.mem = &mem,
                .kernels = kernels,
                .rows = &rows,
                .space = OCHRE_SPACE_L2,
                .dim = dim,
                .seed = 3};
        check(graph_sections_build(&sections, &build) == OCHRE_OK);
        struct och_vector_source source = graph_sections_source(&sections);
        struct och_vector_open open = {.mem = &mem,
                .kernels = kernels,
                .rows = &rows,
                .space = OCHRE_SPACE_L2,
                .dim = dim,
                .source = &source};
        check(och_graph_kind.open(&open, &index, NULL) == OCHRE_OK);
        for (enum relation relation = NONE; relation < N_RELATIONS; relation++)
            all_keep = try_relation(index, kind, relation, &seed) && all_keep;
        och_vector_index_close(index);
        graph_sections_clear(&sections);
    }
    check(all_keep);
    check(och_mem_used(&mem) == 0);
}

int
main(int argc, char **argv)
{
    is_full = argc > 1 && strcmp(argv[1], "full") == 0;
    if (is_full) {
        n_rows = ROWS_MAX;
        n_queries = QUERIES_MAX;
    }
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    struct och_cpu cpu = och_cpu_detect();
    kernels = och_kernels_choose(cpu.sets, NULL);
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(no_filter_and_no_deletion_costs_the_promised_recall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
