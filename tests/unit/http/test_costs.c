#include "base/limits.h"
#include "http/costs.h"
#include "support/check.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

/* Kinds that share a place, and one that does not. */
#define KIND UINT64_C(0x1234567800000007)
#define RIVAL UINT64_C(0x8765432100000007)
#define OTHER UINT64_C(0x1234567800000008)

static struct och_http_costs costs;

static int
forget_all(void **state)
{
    (void) state;
    for (size_t i = 0; i < OCH_HTTP_COSTS_N; i++)
        atomic_store(&costs.places[i], 0);
    return 0;
}

/* How many requests of `cost_ns` it takes until the kind counts as quick. */
static unsigned
n_until_quick(uint64_t cost_ns)
{
    unsigned n = 0;
    while (och_http_costs_get(&costs, KIND) > OCH_HTTP_SHORT_NS && n < 1000) {
        och_http_costs_note(&costs, KIND, cost_ns);
        n++;
    }
    return n;
}

static void
nothing_is_known_at_first(void **state)
{
    (void) state;
    check(och_http_costs_get(&costs, KIND) == OCH_HTTP_COST_UNKNOWN);
    check(och_http_costs_get(&costs, 0) == OCH_HTTP_COST_UNKNOWN);
    check(och_http_costs_get(&costs, UINT64_MAX) == OCH_HTTP_COST_UNKNOWN);
}

static void
the_first_cost_is_taken_as_it_is(void **state)
{
    (void) state;
    och_http_costs_note(&costs, KIND, 3 * MS);
    check(och_http_costs_get(&costs, KIND) == 3 * MS);
    och_http_costs_note(&costs, OTHER, 0);
    check(och_http_costs_get(&costs, OTHER) == 0);
    check(och_http_costs_get(&costs, KIND) == 3 * MS);
    check(och_http_costs_get(&costs, RIVAL) == OCH_HTTP_COST_UNKNOWN);
}

static void
a_kind_that_takes_the_place_of_another_starts_anew(void **state)
{
    (void) state;
    och_http_costs_note(&costs, KIND, 3 * MS);
    och_http_costs_note(&costs, RIVAL, 1 * US);
    check(och_http_costs_get(&costs, RIVAL) == 1 * US);
    check(och_http_costs_get(&costs, KIND) == OCH_HTTP_COST_UNKNOWN);
}

static void
kinds_without_a_tag_are_kept_too(void **state)
{
    (void) state;
    och_http_costs_note(&costs, 5, 7 * US);
    check(och_http_costs_get(&costs, 5) == 7 * US);
}

static void
one_accident_does_not_make_a_kind_slow_but_a_habit_does(void **state)
{
    (void) state;
    och_http_costs_note(&costs, KIND, 100 * US);
    och_http_costs_note(&costs, KIND, 2 * MS);
    check(och_http_costs_get(&costs, KIND) == 218750);
    och_http_costs_note(&costs, KIND, 8 * MS);
    check(och_http_costs_get(&costs, KIND) < OCH_HTTP_SHORT_NS);
    for (int i = 0; i < 20; i++)
        och_http_costs_note(&costs, KIND, 2 * MS);
    check(och_http_costs_get(&costs, KIND) > OCH_HTTP_SHORT_NS);
    check(och_http_costs_get(&costs, KIND) < 2 * MS);
}

static void
a_very_slow_one_is_believed_at_once(void **state)
{
    (void) state;
    och_http_costs_note(&costs, KIND, 100 * US);
    och_http_costs_note(&costs, KIND, OCH_HTTP_COST_SURE_NS);
    check(och_http_costs_get(&costs, KIND) == OCH_HTTP_COST_SURE_NS);
    unsigned n_after_one = n_until_quick(100 * US);
    check(n_after_one >= 20 && n_after_one <= 50);
}

static void
the_longest_cost_fits_and_is_forgotten_in_the_end(void **state)
{
    (void) state;
    och_http_costs_note(&costs, KIND, UINT64_MAX);
    check(och_http_costs_get(&costs, KIND) == UINT32_MAX);
    unsigned n = n_until_quick(0);
    check(n >= 40 && n <= 100);
}

static void
a_steady_cost_stays_as_it_is(void **state)
{
    (void) state;
    for (int i = 0; i < 100; i++)
        och_http_costs_note(&costs, KIND, 123456);
    check(och_http_costs_get(&costs, KIND) == 123456);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup(nothing_is_known_at_first, forget_all),
            cmocka_unit_test_setup(the_first_cost_is_taken_as_it_is, forget_all),
            cmocka_unit_test_setup(a_kind_that_takes_the_place_of_another_starts_anew, forget_all),
            cmocka_unit_test_setup(kinds_without_a_tag_are_kept_too, forget_all),
            cmocka_unit_test_setup(
                    one_accident_does_not_make_a_kind_slow_but_a_habit_does, forget_all),
            cmocka_unit_test_setup(a_very_slow_one_is_believed_at_once, forget_all),
            cmocka_unit_test_setup(the_longest_cost_fits_and_is_forgotten_in_the_end, forget_all),
            cmocka_unit_test_setup(a_steady_cost_stays_as_it_is, forget_all),
    };
    return cmocka_run_group_tests_name("http/costs", tests, NULL, NULL);
}
