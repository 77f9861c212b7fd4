#include "base/random.h"
#include "support/check.h"

/* The first outputs of splitmix64 from seed 1234567, as its authors' code gives. */
static void
the_sequence_is_splitmix64(void **state)
{
    (void) state;
    static const uint64_t wanted[] = {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
            UINT64_C(9817491932198370423), UINT64_C(4593380528125082431),
            UINT64_C(16408922859458223821)};
    uint64_t seed = 1234567;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        check(och_random(&seed) == wanted[i]);
}

static void
numbers_below_a_bound_reach_all_of_them_evenly(void **state)
{
    (void) state;
    uint64_t seed = 10;
    unsigned counts[7] = {0};
    for (int i = 0; i < 70000; i++)
        counts[och_random_below(&seed, 7)]++;
    for (size_t i = 0; i < 7; i++)
        check(counts[i] > 9500 && counts[i] < 10500);
    check(och_random_below(&seed, 1) == 0);
}

static void
floats_stay_within_one_and_have_both_signs(void **state)
{
    (void) state;
    uint64_t seed = 11;
    float low = 1, high = -1;
    for (int i = 0; i < 10000; i++) {
        float value = och_random_f32(&seed);
        check(value >= -1.0f && value < 1.0f);
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    check(low < -0.99f && high > 0.99f);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_sequence_is_splitmix64),
            cmocka_unit_test(numbers_below_a_bound_reach_all_of_them_evenly),
            cmocka_unit_test(floats_stay_within_one_and_have_both_signs),
    };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
