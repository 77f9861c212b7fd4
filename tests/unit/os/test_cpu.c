#include <sched.h>

#include "os/cpu.h"
#include "support/check.h"

static void
at_least_one_core_is_usable(void **state)
{
    (void) state;
    check(och_cpu_detect().cores >= 1);
}

static void
a_process_bound_to_one_core_has_one(void **state)
{
    (void) state;
    cpu_set_t before;
    check(sched_getaffinity(0, sizeof(before), &before) == 0);
    check(och_cpu_detect().cores == (unsigned) CPU_COUNT(&before));

    cpu_set_t one;
    CPU_ZERO(&one);
    size_t first = 0;
    while (!CPU_ISSET(first, &before))
        first++;
    CPU_SET(first, &one);
    check(sched_setaffinity(0, sizeof(one), &one) == 0);
    check(och_cpu_detect().cores == 1);
    check(sched_setaffinity(0, sizeof(before), &before) == 0);
}

static void
wider_sets_imply_narrower_ones(void **state)
{
    (void) state;
    struct och_cpu_sets sets = och_cpu_detect().sets;
    check(!sets.avx512 || sets.avx2_fma);
    check(!sets.avx512_vnni || sets.avx512);
    check(!sets.neon || !sets.avx2_fma);
}

/* The compiler's run-time library asks the processor too, in its own way. */
static void
instruction_sets_are_those_the_compiler_finds(void **state)
{
    (void) state;
    struct och_cpu_sets sets = och_cpu_detect().sets;
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2_fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2_fma && __builtin_cpu_supports("avx512f") &&
            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl");
    check(sets.avx2_fma == avx2_fma);
    check(sets.avx512 == avx512);
    check(sets.avx512_vnni == (avx512 && __builtin_cpu_supports("avx512vnni")));
    check(!sets.neon);
#elif defined(__aarch64__)
    check(sets.neon);
#else
    check(!sets.neon && !sets.avx2_fma);
#endif
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(at_least_one_core_is_usable),
            cmocka_unit_test(a_process_bound_to_one_core_has_one),
            cmocka_unit_test(wider_sets_imply_narrower_ones),
            cmocka_unit_test(instruction_sets_are_those_the_compiler_finds),
    };
    return cmocka_run_group_tests_name("os/cpu", tests, NULL, NULL);
}
