/*
 * The bytes of a graph are the same everywhere: for every instruction set that the
 * processor has, for any number of threads, on every machine.  What they hash to is
 * written down here, so that two machines need not meet to be compared, and a change
 * of bytes does not go unseen.
 *
 * A change that is meant to alter them (another rule of pruning, another code) puts
 * the new hashes here, as the failing test prints them, and says so in its message.
 *
 * The vectors are made of integers and powers of two, without a rounding.
 */
#include <stdio.h>
#include <string.h>

#include "base/bitset.h"
#include "base/mem.h"
#include "base/random.h"
#include "distance/distance.h"
#include "index/vector/graph.h"
#include "index/vector/rows.h"
#include "os/cpu.h"
#include "os/executor.h"
#include "support/check.h"
#include "unit/index/graph_sections.h"

enum { ROWS_MAX = 4200, FLOATS_MAX = 160000 };

enum shape {
    EVEN,      /* each coordinate by itself */
    CLUSTERED, /* around 40 centres */
    GRID,      /* few values, so most rows are equal to others */
    TAILS,     /* lengths over twenty orders of two */
    NEARLY_ONE /* all but the same */
};

struct world {
    const char *name;
    enum shape shape;
    ochre_space space;
    uint32_t n_rows, dim;
    uint32_t graph_rows; /* 0: the usual */
    bool quick;
    uint64_t hash;
};

static const struct world worlds[] = {
        {"clusters, l2, 24", CLUSTERED, OCHRE_SPACE_L2, 600, 24, 300, false,
                UINT64_C(0x4eab2fb3e0bf0f35)},
        {"clusters, cosine, 100", CLUSTERED, OCHRE_SPACE_COSINE, 400, 100, 300, false,
                UINT64_C(0x5003469f20d7aa2d)},
        {"even, cosine, 64", EVEN, OCHRE_SPACE_COSINE, 400, 64, 300, false,
                UINT64_C(0xc2b34d732b7a1301)},
        {"even, ip, 65", EVEN, OCHRE_SPACE_IP, 400, 65, 300, false, UINT64_C(0xcf9b807f0c178322)},
        {"even, l2, 1", EVEN, OCHRE_SPACE_L2, 400, 1, 300, false, UINT64_C(0x417b697ed1486b38)},
        {"grid, l2, 5", GRID, OCHRE_SPACE_L2, 1500, 5, 300, false, UINT64_C(0x946d9a1e9a1de35a)},
        {"grid, cosine, 7", GRID, OCHRE_SPACE_COSINE, 1000, 7, 300, false,
                UINT64_C(0x5030f6a8e0d10480)},
        {"tails, ip, 63", TAILS, OCHRE_SPACE_IP, 400, 63, 300, false, UINT64_C(0xfebcab93dd2c29a6)},
        {"tails, l2, 200", TAILS, OCHRE_SPACE_L2, 400, 200, 300, false,
                UINT64_C(0xcde20d0a799a1b7d)},
        {"nearly one, l2, 130", NEARLY_ONE, OCHRE_SPACE_L2, 400, 130, 300, false,
                UINT64_C(0xf66819aab5939de0)},
        {"as many as get a graph, l2, 30", CLUSTERED, OCHRE_SPACE_L2, 4200, 30, 0, false,
                UINT64_C(0x63701ac9121805fe)},
        {"codes only, cosine, 257", CLUSTERED, OCHRE_SPACE_COSINE, 600, 257, 0, true,
                UINT64_C(0x314b022d233c161f)},
};
enum { N_WORLDS = sizeof(worlds) / sizeof(worlds[0]) };

static struct och_mem mem;
static const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
static size_t n_sets;
static float floats[FLOATS_MAX], norms[ROWS_MAX];
static uint64_t ordinals[ROWS_MAX];

/* A whole number from -bound to bound. */
static float
whole(uint64_t *seed, uint64_t bound)
{
    return (float) ((int64_t) och_random_below(seed, 2 * bound + 1) - (int64_t) bound);
}

static float
coordinate(const struct world *world, uint32_t i, uint64_t centre, uint64_t *seed)
{
    switch (world->shape) {
    case EVEN:
        return whole(seed, 1000);
    case CLUSTERED:
        centre += i * UINT64_C(0x9e3779b97f4a7c15);
        return whole(&centre, 500) + whole(seed, 150);
    case GRID:
        return whole(seed, 1);
    case TAILS:
        return whole(seed, 1000);
    case NEARLY_ONE:
        return 4096 + whole(seed, 3);
    }
    return 0;
}

static struct och_vector_rows
make_rows(const struct world *world)
{
    uint64_t seed = 20260101 + world->dim;
    check(world->n_rows <= ROWS_MAX && world->n_rows * world->dim <= FLOATS_MAX);
    for (uint32_t row = 0; row < world->n_rows; row++) {
        float *v = floats + (size_t) row * world->dim;
        uint64_t centre = och_random_below(&seed, 40) << 40;
        float scale = 1;
        for (uint64_t n = och_random_below(&seed, 21); world->shape == TAILS && n > 0; n--)
            scale *= 0.5F;
        for (uint32_t i = 0; i < world->dim; i++)
            v[i] = scale * coordinate(world, i, centre, &seed);
        uint64_t chance = och_random_below(&seed, 20);
        if (chance == 0) /* without a direction */
            memset(v, 0, world->dim * sizeof(float));
        if (chance == 1) /* one that is there already */
            memcpy(v, floats + och_random_below(&seed, row + 1) * world->dim,
                    world->dim * sizeof(float));
        norms[row] = och_vector_norm(sets[0], v, world->dim);
        ordinals[row] = row;
    }
    return (struct och_vector_rows){.rows = floats,
            .norms = world->space == OCHRE_SPACE_COSINE ? norms : NULL,
            .ordinals = ordinals,
            .n_rows = world->n_rows};
}

static uint64_t
hash_of(const struct world *world, const struct och_vector_rows *rows,
        const struct och_kernels *kernels, struct och_executor *executor)
{
    struct graph_sections sections = {.open = 0};
    struct och_vector_build build = {.mem = &mem,
            .executor = executor,
            .kernels = kernels,
            .rows = rows,
            .space = world->space,
            .dim = world->dim,
            .seed = 7,
            .quick = world->quick,
            .graph_rows = world->graph_rows};
    check(graph_sections_build(&sections, &build) == OCHRE_OK);
    check((sections.bytes[2] == NULL) == world->quick);
    if (!world->quick) {
        struct graph_census census = graph_take_census(
                sections.bytes[0], sections.sizes[0], sections.bytes[2], sections.sizes[2]);
        check(census.n_lost == 0);
    }
    uint64_t hash = graph_sections_hash(&sections);
    graph_sections_clear(&sections);
    return hash;
}

static bool
is_as_written_down(const struct world *world, uint64_t hash, const char *how)
{
    if (hash != world->hash)
        (void) printf("{%s} with %s: 0x%016llx, not 0x%016llx\n", world->name, how,
                (unsigned long long) hash, (unsigned long long) world->hash);
    return hash == world->hash;
}

static void
every_instruction_set_makes_the_bytes_written_down(void **state)
{
    (void) state;
    bool all = true;
    for (size_t w = 0; w < N_WORLDS; w++) {
        struct och_vector_rows rows = make_rows(&worlds[w]);
        for (size_t s = 0; s < n_sets; s++) {
            uint64_t hash = hash_of(&worlds[w], &rows, sets[s], NULL);
            all = is_as_written_down(&worlds[w], hash, sets[s]->name) && all;
        }
    }
    check(all);
    check(och_mem_used(&mem) == 0);
}

static void
any_number_of_threads_makes_the_bytes_written_down(void **state)
{
    (void) state;
    static const unsigned n_threads[] = {1, 2, 7};
    bool all = true;
    for (size_t i = 0; i < sizeof(n_threads) / sizeof(n_threads[0]); i++) {
        struct och_executor *executor;
        char how[32];
        (void) snprintf(how, sizeof(how), "%u threads", n_threads[i]);
        check(och_executor_open(&mem, 1, n_threads[i], &executor, NULL) == OCHRE_OK);
        for (size_t w = 0; w < N_WORLDS; w++) {
            struct och_vector_rows rows = make_rows(&worlds[w]);
            uint64_t hash = hash_of(&worlds[w], &rows, sets[n_sets - 1], executor);
            all = is_as_written_down(&worlds[w], hash, how) && all;
        }
        och_executor_close(executor);
    }
    check(all);
    check(och_mem_used(&mem) == 0);
}

/* As a merge does it: of three rows out of four there is a graph already, in which
 * others lie between them that are gone. */
static uint64_t
hash_of_kept(const struct world *world, const struct och_vector_rows *rows,
        const struct och_kernels *kernels)
{
    static float old_floats[FLOATS_MAX];
    static uint32_t map[ROWS_MAX];
    struct graph_sections old = {.open = 0}, sections = {.open = 0};
    uint64_t seed = 77;
    for (uint32_t i = 0; i < rows->n_rows; i++) {
        map[i] = i % 5 == 2 || i % 4 == 3 ? OCH_ROW_NONE : i;
        for (uint32_t d = 0; d < world->dim; d++)
            old_floats[i * world->dim + d] =
                    map[i] == OCH_ROW_NONE ? whole(&seed, 600) : floats[i * world->dim + d];
    }
    struct och_vector_rows old_rows = {
            .rows = old_floats, .ordinals = ordinals, .n_rows = rows->n_rows};
    struct och_vector_build build = {.mem = &mem,
            .kernels = kernels,
            .rows = &old_rows,
            .space = world->space,
            .dim = world->dim,
            .seed = 6,
            .graph_rows = world->graph_rows};
    check(graph_sections_build(&old, &build) == OCHRE_OK);
    struct och_vector_source source = graph_sections_source(&old);
    struct och_vector_open open = {.mem = &mem,
            .kernels = kernels,
            .rows = &old_rows,
            .space = world->space,
            .dim = world->dim,
            .source = &source};
    struct och_vector_index *index;
    bool done;
    check(och_graph_kind.open(&open, &index, NULL) == OCHRE_OK);
    check(och_graph_kind.warm(index, UINT64_MAX, &done, NULL) == OCHRE_OK && done);
    struct och_vector_kept kept = {index, map};
    build.rows = rows;
    build.seed = 7;
    build.kept = &kept;
    check(graph_sections_build(&sections, &build) == OCHRE_OK);
    struct graph_census census = graph_take_census(
            sections.bytes[0], sections.sizes[0], sections.bytes[2], sections.sizes[2]);
    check(census.n_lost == 0);
    och_vector_index_close(index);
    uint64_t hash = graph_sections_hash(&sections);
    graph_sections_clear(&old);
    graph_sections_clear(&sections);
    return hash;
}

static void
a_graph_that_kept_links_has_the_bytes_written_down(void **state)
{
    (void) state;
    static const struct world world = {"kept, l2, 40", CLUSTERED, OCHRE_SPACE_L2, 1000, 40, 300,
            false, UINT64_C(0x33895d68c88a750c)};
    bool all = true;
    struct och_vector_rows rows = make_rows(&world);
    for (size_t s = 0; s < n_sets; s++)
        all = is_as_written_down(&world, hash_of_kept(&world, &rows, sets[s]), sets[s]->name) &&
                all;
    check(all);
    check(och_mem_used(&mem) == 0);
}

int
main(void)
{
    och_mem_init(&mem, NULL);
    struct och_cpu cpu = och_cpu_detect();
    n_sets = och_kernels_all(cpu.sets, sets);
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(every_instruction_set_makes_the_bytes_written_down),
            cmocka_unit_test(any_number_of_threads_makes_the_bytes_written_down),
            cmocka_unit_test(a_graph_that_kept_links_has_the_bytes_written_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
