#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bitset.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/random.h"
#include "distance/distance.h"
#include "index/vector/flat.h"
#include "index/vector/topk.h"
#include "os/cpu.h"
#include "support/check.h"

enum { ROWS_MAX = 1500, DIM_MAX = 40, QUERIES_MAX = 3 };

/* Rows to search and what a test knows about touching them. */
struct world {
    struct och_vector_rows rows;
    struct och_bitset allowed;
    bool is_touched[ROWS_MAX];
    uint32_t fails_at; /* touching this row is refused */
    float floats[ROWS_MAX * DIM_MAX], norms[ROWS_MAX];
    uint64_t ordinals[ROWS_MAX];
    float query_floats[QUERIES_MAX * DIM_MAX];
    struct och_distance_query queries[QUERIES_MAX];
};

static struct och_mem mem;
static struct och_arena arena;
static const struct och_kernels *kernels;
static struct world world;

static ochre_status
touch(void *context, uint32_t row, uint32_t n, struct ochre_error *err)
{
    struct world *w = context;
    check(n > 0 && row < w->rows.n_rows && n <= w->rows.n_rows - row);
    for (uint32_t i = row; i < row + n; i++) {
        if (i == w->fails_at)
            return och_fail(err, OCHRE_IO, "row %u cannot be read", i);
        w->is_touched[i] = true;
    }
    return OCHRE_OK;
}

/* Few different vectors, so that many distances tie; ordinals in no order. */
static void
fill_world(uint32_t n_rows, size_t dim, ochre_space space, uint64_t *seed)
{
    uint64_t n_values = 2 + och_random_below(seed, 4);
    for (size_t i = 0; i < n_rows * dim; i++)
        world.floats[i] = (float) och_random_below(seed, n_values) - 1;
    for (size_t i = 0; i < QUERIES_MAX * dim; i++)
        world.query_floats[i] = (float) och_random_below(seed, n_values);
    for (uint32_t row = 0; row < n_rows; row++) {
        world.norms[row] = och_vector_norm(kernels, world.floats + row * dim, dim);
        world.ordinals[row] = (row * UINT64_C(7919) + 13) % 7907;
    }
    for (size_t q = 0; q < QUERIES_MAX; q++)
        och_distance_query_init(
                &world.queries[q], kernels, space, world.query_floats + q * dim, dim);
    world.rows = (struct och_vector_rows){
            .rows = world.floats,
            .norms = space == OCHRE_SPACE_COSINE ? world.norms : NULL,
            .ordinals = world.ordinals,
            .n_rows = n_rows,
            .touch = touch,
            .context = &world,
    };
    world.fails_at = OCH_ROW_NONE;
    memset(world.is_touched, 0, sizeof(world.is_touched));
    och_bitset_clear(&world.allowed);
}

/* Allow each row with a chance of `percent`, in stretches of about `stretch`. */
static void
allow_some(uint64_t percent, uint64_t stretch, uint64_t *seed)
{
    bool is_on = false;
    for (uint32_t row = 0; row < world.rows.n_rows; row++) {
        if (row == 0 || och_random_below(seed, stretch) == 0)
            is_on = och_random_below(seed, 100) < percent;
        if (is_on)
            check(och_bitset_add(&world.allowed, row) == OCHRE_OK);
    }
}

static void
make_lists(struct och_topk *best, size_t n, uint32_t k)
{
    for (size_t i = 0; i < n; i++)
        check(och_topk_make(&best[i], &arena, k, world.rows.n_rows) == OCHRE_OK);
}

static bool
same_bits(float a, float b)
{
    uint32_t bits_a = 0, bits_b = 0;
    memcpy(&bits_a, &a, sizeof(a));
    memcpy(&bits_b, &b, sizeof(b));
    return bits_a == bits_b;
}

static int
compare(const void *a, const void *b)
{
    const struct och_near *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

/* The plainest search: every allowed row by itself, then sort and cut. */
static void
check_against_model(
        const struct och_distance_query *query, bool is_filtered, struct och_topk *best, uint32_t k)
{
    static struct och_near all[ROWS_MAX];
    uint32_t n = 0;
    for (uint32_t row = 0; row < world.rows.n_rows; row++) {
        if (is_filtered && !och_bitset_has(&world.allowed, row))
            continue;
        all[n] = (struct och_near){.source = 5, .ordinal = world.ordinals[row], .row = row};
        och_distance_rows(
                query, world.floats + row * query->dim, &world.norms[row], 1, &all[n].distance);
        check(world.is_touched[row]);
        n++;
    }
    qsort(all, n, sizeof(all[0]), compare);
    och_topk_sort(best);
    check(best->n == (n < k ? n : k));
    for (uint32_t i = 0; i < best->n; i++) {
        check(best->items[i].row == all[i].row);
        check(best->items[i].source == 5);
        check(best->items[i].ordinal == all[i].ordinal);
        check(same_bits(best->items[i].distance, all[i].distance));
    }
}

static void
any_filter_finds_what_looking_at_each_row_finds(void **state)
{
    (void) state;
    static const ochre_space spaces[] = {OCHRE_SPACE_L2, OCHRE_SPACE_COSINE, OCHRE_SPACE_IP};
    static const uint64_t percents[] = {0, 1, 5, 30, 50, 80, 97, 100};
    static const uint64_t stretches[] = {1, 2, 5, 100, 700};
    uint64_t seed = 12;
    for (size_t step = 0; step < 240; step++) {
        uint32_t n_rows = (uint32_t) och_random_below(&seed, ROWS_MAX + 1);
        size_t dim = och_random_below(&seed, DIM_MAX + 1);
        size_t n_queries = 1 + step % QUERIES_MAX;
        uint32_t k = (uint32_t) och_random_below(&seed, step % 4 == 0 ? 2 * ROWS_MAX : 20);
        bool is_filtered = step % 8 != 0;
        fill_world(n_rows, dim, spaces[step % 3], &seed);
        allow_some(percents[och_random_below(&seed, 8)], stretches[step % 5], &seed);

        struct och_topk best[QUERIES_MAX];
        make_lists(best, n_queries, k);
        struct och_vector_search search = {
                .queries = world.queries,
                .n_queries = n_queries,
                .source = 5,
                .allowed = is_filtered ? &world.allowed : NULL,
        };
        check(och_flat_search(&world.rows, &search, best, NULL, NULL) == OCHRE_OK);
        for (size_t q = 0; q < n_queries; q++)
            check_against_model(&world.queries[q], is_filtered, &best[q], k);
        och_arena_clear(&arena);
    }
}

/* Rows that cannot be a single block, because each is as large as one. */
static void
long_rows_are_searched_in_small_blocks(void **state)
{
    (void) state;
    enum { n_rows = 40, dim = 40000 };
    static float floats[(size_t) n_rows * dim];
    uint64_t ordinals[n_rows];
    for (uint32_t row = 0; row < n_rows; row++) {
        floats[(row + 1) * dim - 1] = (float) (row * 7 % n_rows);
        ordinals[row] = row;
    }
    struct och_vector_rows rows = {.rows = floats, .ordinals = ordinals, .n_rows = n_rows};
    struct och_distance_query query;
    och_distance_query_init(&query, kernels, OCHRE_SPACE_L2, floats, dim);
    struct och_vector_search search = {.queries = &query, .n_queries = 1, .source = 5};
    struct och_topk best;
    check(och_topk_make(&best, &arena, n_rows, n_rows) == OCHRE_OK);
    check(och_flat_search(&rows, &search, &best, NULL, NULL) == OCHRE_OK);
    och_topk_sort(&best);
    check(best.n == n_rows);
    for (uint32_t i = 0; i < n_rows; i++)
        check(best.items[i].row * 7 % n_rows == i);
}

/* A set may be shorter than the rows, or hold numbers that no row has. */
static void
a_filter_need_not_be_as_long_as_the_rows(void **state)
{
    (void) state;
    uint64_t seed = 13;
    fill_world(300, 4, OCHRE_SPACE_L2, &seed);
    check(och_bitset_add(&world.allowed, 17) == OCHRE_OK);
    struct och_vector_search search = {
            .queries = world.queries, .n_queries = 1, .source = 5, .allowed = &world.allowed};
    struct och_topk best;
    make_lists(&best, 1, 10);
    check(och_flat_search(&world.rows, &search, &best, NULL, NULL) == OCHRE_OK);
    check(best.n == 1 && best.items[0].row == 17);

    check(och_bitset_add(&world.allowed, 299) == OCHRE_OK);
    check(och_bitset_add(&world.allowed, 300) == OCHRE_OK);
    check(och_bitset_add(&world.allowed, 100000) == OCHRE_OK);
    make_lists(&best, 1, 10);
    check(och_flat_search(&world.rows, &search, &best, NULL, NULL) == OCHRE_OK);
    check_against_model(&world.queries[0], true, &best, 10);
    check(best.n == 2);
}

static void
equal_vectors_hide_nobody(void **state)
{
    (void) state;
    uint64_t seed = 14;
    fill_world(ROWS_MAX, 1, OCHRE_SPACE_L2, &seed);
    memset(world.floats, 0, sizeof(float) * ROWS_MAX);
    struct och_vector_search search = {.queries = world.queries, .n_queries = 1, .source = 5};
    struct och_topk best;
    make_lists(&best, 1, ROWS_MAX);
    check(och_flat_search(&world.rows, &search, &best, NULL, NULL) == OCHRE_OK);
    check_against_model(&world.queries[0], false, &best, ROWS_MAX);
    check(best.n == ROWS_MAX);
}

/* One list through two segments gives what one segment of both would. */
static void
lists_go_from_segment_to_segment(void **state)
{
    (void) state;
    uint64_t seed = 15;
    fill_world(900, 6, OCHRE_SPACE_IP, &seed);
    struct och_vector_rows first = world.rows, second = world.rows;
    first.touch = second.touch = NULL;
    first.n_rows = 333;
    second.rows += 333 * 6;
    second.ordinals += 333;
    second.n_rows -= 333;

    struct och_topk whole, parts;
    make_lists(&whole, 1, 50);
    make_lists(&parts, 1, 50);
    struct och_vector_search search = {.queries = world.queries, .n_queries = 1, .source = 5};
    check(och_flat_search(&world.rows, &search, &whole, NULL, NULL) == OCHRE_OK);
    check(och_flat_search(&first, &search, &parts, NULL, NULL) == OCHRE_OK);
    search.source = 6;
    check(och_flat_search(&second, &search, &parts, NULL, NULL) == OCHRE_OK);
    och_topk_sort(&whole);
    och_topk_sort(&parts);
    check(whole.n == 50 && parts.n == 50);
    for (uint32_t i = 0; i < 50; i++) {
        struct och_near near = parts.items[i];
        check(near.ordinal == whole.items[i].ordinal);
        check((near.source == 6 ? near.row + 333 : near.row) == whole.items[i].row);
    }
}

static void
no_rows_and_no_queries_are_searched_at_once(void **state)
{
    (void) state;
    uint64_t seed = 16;
    fill_world(0, 3, OCHRE_SPACE_COSINE, &seed);
    struct och_topk best;
    make_lists(&best, 1, 5);
    struct och_vector_search search = {.queries = world.queries, .n_queries = 1, .source = 5};
    check(och_flat_search(&world.rows, &search, &best, NULL, NULL) == OCHRE_OK);
    search.allowed = &world.allowed;
    check(och_flat_search(&world.rows, &search, &best, NULL, NULL) == OCHRE_OK);
    search.n_queries = 0;
    check(och_flat_search(&world.rows, &search, NULL, NULL, NULL) == OCHRE_OK);
    check(best.n == 0);
}

static void
rows_that_are_not_asked_for_are_not_touched(void **state)
{
    (void) state;
    uint64_t seed = 17;
    fill_world(1000, 8, OCHRE_SPACE_L2, &seed);
    static const uint32_t rows[] = {0, 100, 103, 500, 999};
    for (size_t i = 0; i < 5; i++)
        check(och_bitset_add(&world.allowed, rows[i]) == OCHRE_OK);
    struct och_vector_search search = {
            .queries = world.queries, .n_queries = 2, .allowed = &world.allowed};
    struct och_topk best[2];
    struct och_vector_work work = {.n_distances = 1000};
    make_lists(best, 2, 5);
    check(och_flat_search(&world.rows, &search, best, &work, NULL) == OCHRE_OK);

    /* 101 and 102 are a gap that is computed, for both queries. */
    size_t n_touched = 0;
    for (uint32_t row = 0; row < 1000; row++)
        n_touched += world.is_touched[row];
    check(n_touched == 7 && world.is_touched[101] && world.is_touched[102]);
    check(work.n_distances == 1000 + 2 * 7);
    check(work.n_estimates == 0 && work.n_hops == 0);
}

static void
rows_that_cannot_be_read_fail_the_search(void **state)
{
    (void) state;
    static const uint32_t bad_rows[] = {0, 255, 256, 899};
    uint64_t seed = 18;
    for (size_t i = 0; i < 4; i++) {
        fill_world(900, 8, OCHRE_SPACE_L2, &seed);
        world.fails_at = bad_rows[i];
        struct och_vector_search search = {.queries = world.queries, .n_queries = 1, .source = 5};
        struct och_topk best;
        struct ochre_error err;
        make_lists(&best, 1, 5);
        check(och_flat_search(&world.rows, &search, &best, NULL, &err) == OCHRE_IO);
        check(strstr(err.message, "cannot be read") != NULL);
        world.fails_at = OCH_ROW_NONE;
        check(och_flat_search(&world.rows, &search, &best, NULL, &err) == OCHRE_OK);
    }
}

static void
flat_is_found_by_its_name_and_others_are_not(void **state)
{
    (void) state;
    check(och_vector_index_find("flat") == &och_flat_kind);
    check(och_vector_index_find("fla") == NULL);
    check(och_vector_index_find("") == NULL);
    check(och_flat_kind.exact && och_flat_kind.n_sections == 0 && och_flat_kind.build == NULL);
}

/* Open, search and close as a segment does; false when memory was refused. */
static bool
use_index(struct och_mem *account)
{
    const struct och_vector_index_kind *kind = och_vector_index_find("flat");
    struct och_vector_index *index = NULL;
    struct och_vector_open open = {.mem = account, .rows = &world.rows};
    ochre_status status = kind->open(&open, &index, NULL);
    if (status != OCHRE_OK) {
        check(status == OCHRE_NO_MEMORY && index == NULL);
        return false;
    }
    struct och_vector_stats stats;
    kind->stats(index, 0.9F, &stats);
    check(stats.recall == 1.0f && stats.memory == och_mem_used(account));

    struct och_topk best[QUERIES_MAX];
    make_lists(best, QUERIES_MAX, 10);
    struct och_vector_search search = {
            .queries = world.queries, .n_queries = QUERIES_MAX, .source = 5, .recall = 0.5f};
    check(och_vector_index_search(index, &search, best, NULL, NULL) == OCHRE_OK);
    for (size_t q = 0; q < QUERIES_MAX; q++)
        check_against_model(&world.queries[q], false, &best[q], 10);
    och_vector_index_close(index);
    return true;
}

static void
an_open_index_searches_and_any_allocation_may_fail(void **state)
{
    (void) state;
    uint64_t seed = 19;
    fill_world(700, 16, OCHRE_SPACE_COSINE, &seed);
    check_each_allocation_failing(use_index);
    och_vector_index_close(NULL);
    och_flat_kind.close(NULL);
}

static int
start(void **state)
{
    (void) state;
    struct och_cpu cpu = och_cpu_detect();
    kernels = och_kernels_choose(cpu.sets, NULL);
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    och_bitset_init(&world.allowed, &mem);
    return 0;
}

static int
stop(void **state)
{
    (void) state;
    och_bitset_clear(&world.allowed);
    och_arena_clear(&arena);
    return och_mem_used(&mem) == 0 ? 0 : 1;
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(any_filter_finds_what_looking_at_each_row_finds),
            cmocka_unit_test(long_rows_are_searched_in_small_blocks),
            cmocka_unit_test(a_filter_need_not_be_as_long_as_the_rows),
            cmocka_unit_test(equal_vectors_hide_nobody),
            cmocka_unit_test(lists_go_from_segment_to_segment),
            cmocka_unit_test(no_rows_and_no_queries_are_searched_at_once),
            cmocka_unit_test(rows_that_are_not_asked_for_are_not_touched),
            cmocka_unit_test(rows_that_cannot_be_read_fail_the_search),
            cmocka_unit_test(flat_is_found_by_its_name_and_others_are_not),
            cmocka_unit_test(an_open_index_searches_and_any_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("flat", tests, start, stop);
}
