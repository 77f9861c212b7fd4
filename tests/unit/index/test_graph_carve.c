/*
 * Neighbours found by carving, against all neighbours; in balls of any size, by any
 * number of threads, short of memory and told to stop.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/bitset.h"
#include "base/mem.h"
#include "base/random.h"
#include "distance/distance.h"
#include "index/vector/graph_build.h"
#include "index/vector/graph_carve.h"
#include "index/vector/graph_link.h"
#include "index/vector/quant.h"
#include "index/vector/rows.h"
#include "os/cpu.h"
#include "os/executor.h"
#include "support/check.h"

enum { ROWS = 7000, DIM = 40, NEAREST = 10 };

static struct och_mem mem;
static const struct och_kernels *kernels;
static float floats[ROWS * DIM];
static uint32_t nodes[ROWS];
static struct och_pace pace;

/* A world of rows and all that a build borrows. */
struct world {
    struct och_quant quant;
    struct och_graph_build build;
    uint8_t *codes4, *codes7;
};

/* `spread` 0: all rows are nearly the same. */
static void
fill_rows(float spread, uint64_t seed)
{
    for (size_t row = 0; row < ROWS; row++) {
        uint64_t centre = och_random_below(&seed, 50) * 7919;
        for (size_t i = 0; i < DIM; i++)
            floats[row * DIM + i] =
                    1 + spread * och_random_f32(&centre) + 0.25F * spread * och_random_f32(&seed);
        nodes[row] = (uint32_t) row;
    }
}

static ochre_status
begin(struct world *world, struct och_mem *account, struct och_executor *executor)
{
    struct och_vector_rows rows = {.rows = floats, .n_rows = ROWS};
    *world = (struct world){.codes4 = NULL};
    check(och_quant_learn(&mem, kernels, &rows, OCHRE_SPACE_L2, DIM, 5, &world->quant, NULL) ==
            OCHRE_OK);
    const struct och_quant *quant = &world->quant;
    world->codes4 = malloc(ROWS * quant->stride4);
    world->codes7 = malloc(ROWS * quant->stride7);
    float *residual = malloc(quant->padded * sizeof(float));
    check(world->codes4 != NULL && world->codes7 != NULL && residual != NULL);
    for (size_t row = 0; row < ROWS; row++) {
        och_quant_residual(quant, floats + row * DIM, 0, residual);
        och_quant_encode4(quant, residual, world->codes4 + row * quant->stride4);
        och_quant_encode7(quant, residual, world->codes7 + row * quant->stride7);
    }
    free(residual);
    world->build = (struct och_graph_build){.mem = account,
            .executor = executor,
            .n_threads = executor == NULL ? 1 : och_executor_width(executor),
            .quant = quant,
            .pace = &pace,
            .n_rows = ROWS,
            .n = ROWS,
            .effort = 64,
            .codes = world->codes7,
            .codes4 = world->codes4};
    return och_graph_begin(&world->build, nodes, 11);
}

static void
end(struct world *world)
{
    och_graph_clear(&world->build);
    och_quant_clear(&world->quant);
    free(world->codes4);
    free(world->codes7);
}

/* --- what is near ------------------------------------------------------------- */

static bool
lists(const struct och_carved *carved, uint32_t place, uint32_t wanted)
{
    const uint32_t *near = carved->near + (size_t) (place - carved->first) * OCH_CARVE_NEAR;
    for (size_t i = 0; i < OCH_CARVE_NEAR; i++) {
        if (near[i] == wanted)
            return true;
    }
    return false;
}

/* How many of the nearest of a place its list has. */
static uint32_t
count_found(const struct world *world, const struct och_carved *carved, uint32_t place)
{
    const struct och_graph_build *build = &world->build;
    static struct och_walk_node all[ROWS];
    struct och_link_origin origin = {build, och_link_code(build, build->order[place])};
    och_link_measure_all(&origin, build->order, ROWS, all);
    uint32_t n = 0;
    for (int i = 0; i <= NEAREST; i++) { /* itself too */
        uint32_t nearest = 0;
        for (uint32_t other = 1; other < ROWS; other++)
            nearest = all[other].distance < all[nearest].distance ? other : nearest;
        n += nearest != place && lists(carved, place, nearest);
        all[nearest].distance = INFINITY;
    }
    return n;
}

static void
most_neighbours_are_found(void **state)
{
    (void) state;
    struct world world;
    struct och_carved carved;
    fill_rows(1, 1);
    check(begin(&world, &mem, NULL) == OCHRE_OK);
    check(och_carve(&world.build, 0, ROWS, &carved) == OCHRE_OK);
    uint32_t n = 0, n_asked = 0;
    for (uint32_t place = 0; place < ROWS; place += 100, n_asked++)
        n += count_found(&world, &carved, place);
    check(n >= n_asked * NEAREST * 85 / 100);
    och_carve_clear(&carved);
    end(&world);
}

/* Lists name others that are there; every place comes up once. */
static void
check_sound(const struct och_carved *carved, uint32_t n)
{
    static bool seen[ROWS];
    memset(seen, 0, sizeof(seen));
    check(carved->n_places == n);
    for (uint32_t i = 0; i < n; i++) {
        check(carved->places[i] < n && !seen[carved->places[i]]);
        seen[carved->places[i]] = true;
    }
    for (uint32_t place = carved->first; place < n; place++) {
        check(!lists(carved, place, place));
        bool has_any = false;
        for (size_t i = 0; i < OCH_CARVE_NEAR; i++) {
            uint32_t near = carved->near[(size_t) (place - carved->first) * OCH_CARVE_NEAR + i];
            check(near == OCH_ROW_NONE || near < n);
            has_any |= near != OCH_ROW_NONE;
        }
        check(has_any);
    }
}

static void
balls_of_any_size_are_looked_around_in(void **state)
{
    (void) state;
    static const uint32_t sizes[] = {2, 3, 64, 65, 511, 600, 2049, 5000, ROWS};
    for (int alike = 0; alike < 2; alike++) {
        struct world world;
        fill_rows(alike ? 0 : 1, 2); /* alike: all want into the same balls */
        check(begin(&world, &mem, NULL) == OCHRE_OK);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct och_carved carved;
            check(och_carve(&world.build, sizes[i] / 3, sizes[i], &carved) == OCHRE_OK);
            check_sound(&carved, sizes[i]);
            och_carve_clear(&carved);
        }
        end(&world);
    }
    check(och_mem_used(&mem) == 0);
}

/* --- links ---------------------------------------------------------------------- */

/* Links of a graph that joined in two parts. */
static uint32_t *
links_with(struct och_executor *executor)
{
    struct world world;
    size_t size = (size_t) ROWS * OCH_GRAPH_DEGREE * sizeof(uint32_t);
    uint32_t *links = malloc(size);
    check(links != NULL && begin(&world, &mem, executor) == OCHRE_OK);
    check(och_graph_join(&world.build, ROWS / 2) == OCHRE_OK);
    check(world.build.n_in == ROWS / 2);
    check(och_graph_join(&world.build, ROWS) == OCHRE_OK);
    memcpy(links, world.build.links, size);
    end(&world);
    return links;
}

static void
any_number_of_threads_links_alike(void **state)
{
    (void) state;
    fill_rows(1, 3);
    uint32_t *alone = links_with(NULL);
    for (unsigned width = 2; width <= 7; width += 5) {
        struct och_executor *executor = NULL;
        check(och_executor_open(&mem, 1, width, &executor, NULL) == OCHRE_OK);
        uint32_t *links = links_with(executor);
        check(memcmp(links, alone, (size_t) ROWS * OCH_GRAPH_DEGREE * sizeof(uint32_t)) == 0);
        free(links);
        och_executor_close(executor);
    }
    free(alone);
}

static void
links_lead_to_others_once(void **state)
{
    (void) state;
    fill_rows(1, 4);
    uint32_t *links = links_with(NULL);
    for (uint32_t row = 0; row < ROWS; row++) {
        const uint32_t *of = links + (size_t) row * OCH_GRAPH_DEGREE;
        size_t n = och_link_count(of);
        check(n > 0);
        for (size_t i = 0; i < n; i++) {
            check(of[i] < ROWS && of[i] != row);
            for (size_t j = 0; j < i; j++)
                check(of[j] != of[i]);
        }
    }
    free(links);
}

/* --- what goes wrong -------------------------------------------------------------- */

static bool
join_once(struct och_mem *account)
{
    struct world world;
    ochre_status status = begin(&world, account, NULL);
    if (status == OCHRE_OK)
        status = och_graph_join(&world.build, 2100);
    end(&world);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    return status == OCHRE_OK;
}

static void
without_memory_nobody_joins(void **state)
{
    (void) state;
    fill_rows(0, 5); /* with balls that are carved again, too */
    check_each_allocation_failing(join_once);
}

static void
who_is_told_to_stop_stops(void **state)
{
    (void) state;
    struct world world;
    fill_rows(1, 6);
    check(begin(&world, &mem, NULL) == OCHRE_OK);
    atomic_store(&pace.stop, true);
    check(och_graph_join(&world.build, ROWS) == OCHRE_UNAVAILABLE);
    atomic_store(&pace.stop, false);
    end(&world);
    check(och_mem_used(&mem) == 0);
}

int
main(void)
{
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    och_mem_init(&mem, NULL);
    struct och_cpu cpu = och_cpu_detect();
    kernels = sets[och_kernels_all(cpu.sets, sets) - 1];
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(most_neighbours_are_found),
            cmocka_unit_test(balls_of_any_size_are_looked_around_in),
            cmocka_unit_test(any_number_of_threads_links_alike),
            cmocka_unit_test(links_lead_to_others_once),
            cmocka_unit_test(without_memory_nobody_joins),
            cmocka_unit_test(who_is_told_to_stop_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
