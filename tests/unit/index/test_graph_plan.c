/* What plans are expected to take, which one is chosen, and what searches teach. */
#include <math.h>

#include "base/random.h"
#include "index/vector/graph_plan.h"
#include "index/vector/graph_search.h"
#include "index/vector/quant.h"
#include "index/vector/rows.h"
#include "support/check.h"

enum { ROWS = 100000, ENTRIES = 30, EFFORT = 136, EXPECTED_NS = 100000 };

static const struct och_quant quant = {.dim = 384, .padded = 384};
static const struct och_vector_rows rows = {.n_rows = ROWS};

static struct och_graph_view
graph_with(struct och_plan_scales *scales)
{
    return (struct och_graph_view){
            .coded = {.rows = &rows, .quant = &quant}, .n_entries = ENTRIES, .scales = scales};
}

static struct och_graph_cost
plan_of(struct och_plan_scales *scales, uint64_t n_allowed, bool filtered)
{
    struct och_graph_view graph = graph_with(scales);
    struct och_graph_cost cost;
    och_graph_plan(&graph, n_allowed, EFFORT, 1, filtered, OCH_PLAN_ANY, &cost);
    return cost;
}

/* n searches that take `times` what was reckoned, give or take a half; one in eight is
 * interrupted and takes fifty times as long. */
static void
search_often(struct och_plan_scales *scales, enum och_vector_plan plan, double times, unsigned n)
{
    static uint64_t seed = 1;
    for (unsigned i = 0; i < n; i++) {
        double expected = EXPECTED_NS * och_plan_scales_get(scales, plan);
        double taken = EXPECTED_NS * times * (1 + 0.5 * (double) och_random_f32(&seed));
        if (och_random_below(&seed, 8) == 0)
            taken *= 50;
        och_plan_scales_note(scales, plan, (uint64_t) expected, (uint64_t) taken);
    }
}

static bool
is_near(double value, double wanted)
{
    return fabs(value - wanted) < 0.35 * wanted;
}

static void
nothing_is_known_at_first(void **state)
{
    (void) state;
    struct och_plan_scales scales = {.parts = {0}};
    check(och_plan_scales_get(NULL, OCH_PLAN_WALK) == 1);
    check(och_plan_scales_get(&scales, OCH_PLAN_WALK) == 1);
    for (uint64_t n = 1; n <= ROWS; n *= 10)
        check(plan_of(NULL, n, true).ns == plan_of(&scales, n, true).ns);
}

static void
scales_become_what_is_usual(void **state)
{
    (void) state;
    struct och_plan_scales scales = {.parts = {0}};
    search_often(&scales, OCH_PLAN_WALK, 2.3, 200);
    check(is_near(och_plan_scales_get(&scales, OCH_PLAN_WALK), 2.3));
    search_often(&scales, OCH_PLAN_SCAN, 0.6, 200);
    check(is_near(och_plan_scales_get(&scales, OCH_PLAN_SCAN), 0.6));
    search_often(&scales, OCH_PLAN_WALK, 0.7, 200); /* it may become another */
    check(is_near(och_plan_scales_get(&scales, OCH_PLAN_WALK), 0.7));
    check(och_plan_scales_get(&scales, OCH_PLAN_TWO_HOP) == 1);
}

static void
scales_have_limits(void **state)
{
    (void) state;
    struct och_plan_scales scales = {.parts = {0}};
    for (unsigned i = 0; i < 1000; i++) {
        och_plan_scales_note(&scales, OCH_PLAN_WALK, 1, UINT64_MAX);
        och_plan_scales_note(&scales, OCH_PLAN_SCAN, UINT64_MAX, 0);
    }
    check(och_plan_scales_get(&scales, OCH_PLAN_WALK) > 7.5);
    check(och_plan_scales_get(&scales, OCH_PLAN_WALK) <= 8);
    check(och_plan_scales_get(&scales, OCH_PLAN_SCAN) < 0.135);
    check(och_plan_scales_get(&scales, OCH_PLAN_SCAN) >= 0.125);
}

/* Else a plan that was slow for a while would never be chosen again. */
static void
what_is_not_noted_is_forgotten(void **state)
{
    (void) state;
    struct och_plan_scales scales = {.parts = {0}};
    search_often(&scales, OCH_PLAN_WALK, 4, 200);
    search_often(&scales, OCH_PLAN_TWO_HOP, 0.3, 200);
    check(och_plan_scales_get(&scales, OCH_PLAN_WALK) > 3);
    search_often(&scales, OCH_PLAN_SCAN, 1, 10000);
    check(och_plan_scales_get(&scales, OCH_PLAN_WALK) == 1);
    check(och_plan_scales_get(&scales, OCH_PLAN_TWO_HOP) == 1);
}

static void
few_rows_are_scanned_and_most_are_walked_to(void **state)
{
    (void) state;
    check(plan_of(NULL, 100, true).plan == OCH_PLAN_SCAN);
    check(plan_of(NULL, ROWS / 2, true).plan == OCH_PLAN_WALK);
    check(plan_of(NULL, ROWS, false).plan == OCH_PLAN_WALK);
    check(plan_of(NULL, ROWS, false).budget == 0); /* an unfiltered walk ends by itself */
}

/* A fifth of the rows: walks are reckoned to be cheaper; where they take longer, they are not. */
static void
what_searches_took_decides(void **state)
{
    (void) state;
    struct och_plan_scales scales = {.parts = {0}};
    struct och_graph_cost before = plan_of(&scales, ROWS / 5, true);
    check(before.plan == OCH_PLAN_WALK || before.plan == OCH_PLAN_TWO_HOP);
    search_often(&scales, OCH_PLAN_TWO_HOP, 2.4, 100);
    search_often(&scales, OCH_PLAN_WALK, 2.4, 100);
    check(plan_of(&scales, ROWS / 5, true).plan == OCH_PLAN_SCAN);
    check(plan_of(&scales, ROWS / 2, true).plan == OCH_PLAN_WALK);
    search_often(&scales, OCH_PLAN_SCAN, 4, 100);
    check(plan_of(&scales, ROWS / 5, true).plan != OCH_PLAN_SCAN);
    check(plan_of(&scales, ROWS, false).ns == plan_of(NULL, ROWS, false).ns);
}

/* A walk is given up when it has cost a scan; one whose codes cost more, after fewer. */
static void
a_walk_may_cost_a_scan(void **state)
{
    (void) state;
    struct och_plan_scales scales = {.parts = {0}};
    uint64_t budget = plan_of(&scales, ROWS / 2, true).budget;
    search_often(&scales, OCH_PLAN_TWO_HOP, 6, 100);
    search_often(&scales, OCH_PLAN_WALK, 2, 50);
    struct och_graph_cost dearer = plan_of(&scales, ROWS / 2, true);
    double scale = och_plan_scales_get(&scales, OCH_PLAN_WALK);
    check(dearer.plan == OCH_PLAN_WALK && budget > 1024);
    check(is_near((double) dearer.budget, (double) budget / scale));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(nothing_is_known_at_first),
            cmocka_unit_test(scales_become_what_is_usual),
            cmocka_unit_test(scales_have_limits),
            cmocka_unit_test(what_is_not_noted_is_forgotten),
            cmocka_unit_test(few_rows_are_scanned_and_most_are_walked_to),
            cmocka_unit_test(what_searches_took_decides),
            cmocka_unit_test(a_walk_may_cost_a_scan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
