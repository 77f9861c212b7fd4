/* Searching through the codes of lately come rows finds what looking at all of them does. */
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
#include "index/vector/index.h"
#include "index/vector/rows.h"
#include "index/vector/tail.h"
#include "index/vector/topk.h"
#include "os/cpu.h"
#include "support/check.h"

enum { ROWS_MAX = 700, DIM_MAX = 400, QUERIES_MAX = 3, K_MAX = 100 };
enum { KIND_ALIGNED = 5, KINDS = 7 };

static struct och_mem mem;
static struct och_arena arena;
static struct och_vector_rows rows;
static struct och_tail tail;
static struct och_distance_query queries[QUERIES_MAX];
static float floats[ROWS_MAX * DIM_MAX], norms[ROWS_MAX], query_floats[QUERIES_MAX * DIM_MAX];
static uint64_t ordinals[ROWS_MAX];
static void *codes;
static size_t codes_size;

static float
between(uint64_t *seed, float low, float high)
{
    return low + (high - low) * (float) och_random_below(seed, 1 << 20) / (float) (1 << 20);
}

/* Kinds of data that are bad for codes, each in its way. */
static float
element(unsigned kind, uint64_t *seed)
{
    switch (kind) {
    case 0: /* few values: ties */
        return (float) och_random_below(seed, 3) - 1;
    case 1: /* ordinary */
        return between(seed, -1, 1);
    case 2: /* low contrast: all nearly the same */
        return 100 + between(seed, -0.001F, 0.001F);
    case 3: /* heavy tails: one element decides the step */
        return och_random_below(seed, 50) == 0 ? between(seed, -1000, 1000)
                                               : between(seed, -0.01F, 0.01F);
    case 4: /* lengths from nothing to beyond what squares can hold */
        return between(seed, -1, 1) * ldexpf(1, (int) och_random_below(seed, 200) - 110);
    case KIND_ALIGNED: /* with a 1: all error is in the others, between two levels */
        return between(seed, 0.5F, 0.52F);
    default: /* tiny */
        return between(seed, -1, 1) * 1e-12F;
    }
}

static void
make_rows(const struct och_kernels *kernels, unsigned kind, uint32_t n, uint32_t dim,
        ochre_space space, uint64_t *seed)
{
    for (uint32_t i = 0; i < n * dim; i++)
        floats[i] = kind == KIND_ALIGNED && i % dim == 0 ? 1 : element(kind, seed);
    for (uint32_t i = 0; i < QUERIES_MAX * dim; i++)
        query_floats[i] = element(kind, seed);
    /* One query is a row, one has no error and lies along those of rows; one row is zero. */
    for (uint32_t i = 0; i < dim; i++)
        query_floats[2 * dim + i] = i == 1 ? 1 : 0;
    query_floats[2 * dim] = dim == 1 ? 1 : 0;
    memcpy(query_floats, floats + (n / 2) * dim, dim * sizeof(float));
    memset(floats + (n - 1) * dim, 0, dim * sizeof(float));
    codes_size = n * och_tail_row_size(dim);
    check(posix_memalign(&codes, 64, codes_size) == 0);
    memset(codes, 0xa5, codes_size);
    och_tail_place(&tail, codes, dim, n);
    for (uint32_t i = 0; i < n; i++) {
        norms[i] = och_vector_norm(kernels, floats + i * dim, dim);
        ordinals[i] = (i * UINT64_C(7919) + 13) % 7907;
        och_tail_encode(&tail, i, floats + i * dim, dim);
    }
    rows = (struct och_vector_rows){.rows = floats,
            .norms = space == OCHRE_SPACE_COSINE ? norms : NULL,
            .ordinals = ordinals,
            .n_rows = n};
    for (uint32_t q = 0; q < QUERIES_MAX; q++)
        och_distance_query_init(&queries[q], kernels, space, query_floats + q * dim, dim);
}

static void
search(const struct och_bitset *allowed, uint32_t k, bool through_codes,
        struct och_topk best[QUERIES_MAX], struct och_vector_work *work)
{
    struct och_vector_search one = {
            .queries = queries, .n_queries = QUERIES_MAX, .allowed = allowed, .scratch = &arena};
    for (uint32_t q = 0; q < QUERIES_MAX; q++)
        check(och_topk_make(&best[q], &arena, k, rows.n_rows) == OCHRE_OK);
    rows.tail = through_codes ? &tail : NULL;
    check(och_flat_search(&rows, &one, best, work, NULL) == OCHRE_OK);
    for (uint32_t q = 0; q < QUERIES_MAX; q++)
        och_topk_sort(&best[q]);
}

static void
compare(const struct och_bitset *allowed, uint32_t k)
{
    struct och_topk plain[QUERIES_MAX], coded[QUERIES_MAX];
    struct och_arena_mark mark = och_arena_mark(&arena);
    search(allowed, k, false, plain, NULL);
    search(allowed, k, true, coded, NULL);
    for (uint32_t q = 0; q < QUERIES_MAX; q++) {
        check(plain[q].n == coded[q].n);
        for (uint32_t i = 0; i < plain[q].n; i++) {
            check(memcmp(&plain[q].items[i].distance, &coded[q].items[i].distance, sizeof(float)) ==
                    0);
            check(plain[q].items[i].row == coded[q].items[i].row);
        }
    }
    och_arena_rewind(&arena, &mark);
}

static void
allow_some(struct och_bitset *set, uint32_t n, uint64_t share, uint64_t *seed)
{
    for (uint32_t i = 0; i < n; i++)
        if (och_random_below(seed, share) == 0)
            check(och_bitset_add(set, i) == OCHRE_OK);
}

static void
one_world(const struct och_kernels *kernels, unsigned kind, uint64_t *seed)
{
    static const uint32_t dims[] = {1, 2, 2, 2, 3, 3, 16, 17, 63, 64, 65, 100, 128, 384, 400};
    uint32_t dim = dims[och_random_below(seed, sizeof(dims) / sizeof(dims[0]))];
    uint32_t n = 1 + (uint32_t) och_random_below(seed, ROWS_MAX);
    ochre_space space = (ochre_space) och_random_below(seed, 3);
    make_rows(kernels, kind, n, dim, space, seed);
    compare(NULL, 1 + (uint32_t) och_random_below(seed, K_MAX));
    for (uint64_t share = 2; share <= 128; share *= 8) {
        struct och_bitset allowed;
        och_bitset_init(&allowed, &mem);
        allow_some(&allowed, n, share, seed);
        compare(&allowed, 1 + (uint32_t) och_random_below(seed, K_MAX));
        och_bitset_clear(&allowed);
    }
    free(codes);
}

static void
codes_lose_nothing(void **state)
{
    (void) state;
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    size_t n_sets = och_kernels_all(och_cpu_detect().sets, sets);
    uint64_t seed = 20;
    for (size_t i = 0; i < n_sets; i++)
        for (unsigned round = 0; round < 120; round++)
            one_world(sets[i], round % KINDS, &seed);
}

/* What codes are for: of ordinary rows nearly all are left unread. */
static void
few_rows_are_measured(void **state)
{
    (void) state;
    const struct och_kernels *kernels = och_kernels_choose(och_cpu_detect().sets, NULL);
    for (ochre_space space = OCHRE_SPACE_L2; space <= OCHRE_SPACE_IP; space++) {
        uint64_t seed = 7;
        make_rows(kernels, 1, ROWS_MAX, 384, space, &seed);
        struct och_topk best[QUERIES_MAX];
        struct och_vector_work work = {.n_distances = 0};
        search(NULL, 10, true, best, &work);
        check(work.n_estimates >= QUERIES_MAX * (ROWS_MAX - 64));
        check(work.n_distances <= QUERIES_MAX * (64 + 120));
        free(codes);
    }
}

static void
errors_are_no_less_than_they_are(void **state)
{
    (void) state;
    const struct och_kernels *kernels = och_kernels_choose(och_cpu_detect().sets, NULL);
    uint64_t seed = 3;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        make_rows(kernels, kind, 200, 384, OCHRE_SPACE_L2, &seed);
        for (uint32_t i = 0; i < 200; i++) {
            double lost2 = 0, length2 = 0;
            for (uint32_t j = 0; j < 384; j++) {
                double x = (double) floats[i * 384 + j];
                double level = (double) tail.codes[i * tail.stride + j] - 64;
                double rest = x - (double) tail.steps[i] * level;
                lost2 += rest * rest;
                length2 += x * x;
            }
            check(sqrt(lost2) <= (double) tail.errors[i]);
            check(isinf(tail.errors[i]) || sqrt(length2) <= (double) tail.lengths[i]);
        }
        free(codes);
    }
}

static void
refused_memory_is_an_answer(void **state)
{
    (void) state;
    const struct och_kernels *kernels = och_kernels_choose(och_cpu_detect().sets, NULL);
    uint64_t seed = 5;
    make_rows(kernels, 1, 100, 64, OCHRE_SPACE_L2, &seed);
    rows.tail = &tail;
    struct och_topk best[QUERIES_MAX];
    struct och_arena none;
    struct och_mem limited;
    och_mem_init(&limited, NULL);
    limited.limit = 1;
    och_arena_init(&none, &limited);
    for (uint32_t q = 0; q < QUERIES_MAX; q++)
        check(och_topk_make(&best[q], &arena, 3, rows.n_rows) == OCHRE_OK);
    struct och_vector_search one = {.queries = queries, .n_queries = QUERIES_MAX, .scratch = &none};
    check(och_flat_search(&rows, &one, best, NULL, NULL) == OCHRE_NO_MEMORY);
    check(best[0].n == 0);
    och_arena_clear(&none);
    free(codes);
}

static int
start(void **state)
{
    (void) state;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    return 0;
}

static int
stop(void **state)
{
    (void) state;
    och_arena_clear(&arena);
    return och_mem_used(&mem) == 0 ? 0 : 1;
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(codes_lose_nothing),
            cmocka_unit_test(few_rows_are_measured),
            cmocka_unit_test(errors_are_no_less_than_they_are),
            cmocka_unit_test(refused_memory_is_an_answer),
    };
    return cmocka_run_group_tests_name("tail", tests, start, stop);
}
