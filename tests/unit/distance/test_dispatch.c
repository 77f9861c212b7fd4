#include <string.h>

#include "distance/distance.h"
#include "os/cpu.h"
#include "support/check.h"

static const struct och_cpu_sets nothing;
static const struct och_cpu_sets everything = {
        .avx2_fma = true, .avx512 = true, .avx512_vnni = true, .neon = true};

static void
a_plain_processor_gets_the_reference(void **state)
{
    (void) state;
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    check(strcmp(och_kernels_choose(nothing, NULL)->name, "scalar") == 0);
    check(och_kernels_all(nothing, sets) == 1);
    check(sets[0] == och_kernels_choose(nothing, NULL));
}

static void
the_fastest_set_is_chosen(void **state)
{
    (void) state;
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    size_t n = och_kernels_all(everything, sets);
    check(n >= 1 && n <= OCH_KERNEL_SETS_MAX);
    check(strcmp(sets[0]->name, "scalar") == 0);
    check(och_kernels_choose(everything, NULL) == sets[n - 1]);
}

static void
a_wanted_set_is_used(void **state)
{
    (void) state;
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    size_t n = och_kernels_all(everything, sets);
    for (size_t i = 0; i < n; i++)
        check(och_kernels_choose(everything, sets[i]->name) == sets[i]);
}

static void
a_set_that_is_unknown_or_would_not_run_is_ignored(void **state)
{
    (void) state;
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    size_t n = och_kernels_all(everything, sets);
    check(och_kernels_choose(everything, "abacus") == sets[n - 1]);
    check(och_kernels_choose(everything, "") == sets[n - 1]);
    for (size_t i = 0; i < n; i++)
        check(och_kernels_choose(nothing, sets[i]->name) == sets[0]);
}

static void
a_set_that_must_be_there_is_or_the_others_are_named(void **state)
{
    (void) state;
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    const struct och_kernels *found;
    struct ochre_error err;
    size_t n = och_kernels_all(everything, sets);
    check_ok(och_kernels_want(everything, "it", NULL, &found, &err), &err);
    check(found == sets[n - 1]);
    for (size_t i = 0; i < n; i++) {
        check_ok(och_kernels_want(everything, "it", sets[i]->name, &found, &err), &err);
        check(found == sets[i]);
    }
    check(och_kernels_want(everything, "it", "abacus", &found, &err) == OCHRE_INVALID);
    check(strncmp(err.message, "it is \"abacus\"; this program on this processor has scalar", 55) ==
            0);
    for (size_t i = 0; i < n; i++)
        check(strstr(err.message, sets[i]->name) != NULL);
    check(och_kernels_want(everything, "it", "", &found, &err) == OCHRE_INVALID);
    if (n > 1) {
        check(och_kernels_want(nothing, "it", sets[1]->name, &found, &err) == OCHRE_INVALID);
        check(strcmp(strstr(err.message, " has "), " has scalar") == 0);
    }
}

/* A clock by which each set takes as long as is written here, in turn. */
struct told {
    uint64_t ns, costs[OCH_KERNEL_SETS_MAX], late; /* late: added in the first round */
    size_t n_sets, n_calls;
};

static uint64_t
tell(void *context)
{
    struct told *told = context;
    if (told->n_calls % 2 == 1) { /* a set has done its work */
        size_t turn = told->n_calls / 2;
        told->ns += told->costs[turn % told->n_sets] + (turn < told->n_sets ? told->late : 0);
    }
    told->n_calls++;
    return told->ns;
}

static const struct och_kernels *
fastest(struct och_cpu_sets cpu, uint64_t cost, uint64_t last_cost)
{
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    struct told told = {.n_sets = och_kernels_all(cpu, sets) - 1, .late = 12345};
    for (size_t i = 0; i < told.n_sets; i++)
        told.costs[i] = i + 1 < told.n_sets ? cost : last_cost;
    return och_kernels_fastest(cpu, tell, &told);
}

/* Narrower than 2, there is nothing to choose: the reference is not measured. */
static void
the_widest_set_is_used_unless_it_is_slower(void **state)
{
    (void) state;
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    struct och_cpu_sets here = och_cpu_detect().sets;
    size_t n = och_kernels_all(here, sets);
    check(fastest(here, 1000, 1000) == sets[n - 1]);
    check(fastest(here, 1000, 500) == sets[n - 1]);
    check(fastest(here, 1000, 1050) == sets[n - 1]);
    check(fastest(here, 0, 0) == sets[n - 1]); /* a clock too coarse to tell */
    check(fastest(here, 1000, 1051) == sets[n > 2 ? n - 2 : n - 1]);
    check(fastest(nothing, 1, 2) == sets[0]);
    if (here.avx512)
        check(fastest((struct och_cpu_sets){.avx2_fma = true, .avx512 = true}, 10, 11) == sets[1]);
}

static void
every_name_is_its_own_and_every_kernel_there(void **state)
{
    (void) state;
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    size_t n = och_kernels_all(everything, sets);
    for (size_t i = 0; i < n; i++) {
        check(sets[i]->l2 != NULL && sets[i]->dot != NULL);
        check(sets[i]->l2_rows != NULL && sets[i]->dot_rows != NULL);
        for (size_t j = 0; j < i; j++)
            check(strcmp(sets[i]->name, sets[j]->name) != 0);
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_plain_processor_gets_the_reference),
            cmocka_unit_test(the_fastest_set_is_chosen),
            cmocka_unit_test(a_wanted_set_is_used),
            cmocka_unit_test(a_set_that_is_unknown_or_would_not_run_is_ignored),
            cmocka_unit_test(a_set_that_must_be_there_is_or_the_others_are_named),
            cmocka_unit_test(the_widest_set_is_used_unless_it_is_slower),
            cmocka_unit_test(every_name_is_its_own_and_every_kernel_there),
    };
    return cmocka_run_group_tests_name("dispatch", tests, NULL, NULL);
}
