#include <float.h>
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "distance/distance.h"
#include "os/cpu.h"
#include "support/check.h"

static const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
static size_t n_sets;

static bool
same_bits(float a, float b)
{
    uint32_t bits_a = 0, bits_b = 0;
    memcpy(&bits_a, &a, sizeof(a));
    memcpy(&bits_b, &b, sizeof(b));
    return bits_a == bits_b;
}

/* The distance between two vectors as a collection reports it; the same bits
 * from every kernel, or the test fails. */
static float
distance(ochre_space space, const float *a, const float *b, size_t dim)
{
    float first = 0;
    for (size_t s = 0; s < n_sets; s++) {
        struct och_distance_query query;
        och_distance_query_init(&query, sets[s], space, a, dim);
        float norm = och_vector_norm(sets[s], b, dim);
        float result = -77;
        och_distance_rows(&query, b, &norm, 1, &result);
        if (s == 0)
            first = result;
        check(same_bits(result, first));
    }
    return first;
}

static float
distance2(ochre_space space, float a0, float a1, float b0, float b1)
{
    float a[2] = {a0, a1}, b[2] = {b0, b1};
    return distance(space, a, b, 2);
}

static float
norm2(float x, float y)
{
    float v[2] = {x, y};
    float norm = och_vector_norm(sets[0], v, 2);
    for (size_t s = 1; s < n_sets; s++)
        check(same_bits(och_vector_norm(sets[s], v, 2), norm));
    return norm;
}

static bool
is_near(float value, double wanted)
{
    return fabs((double) value - wanted) <= 2.5e-7 * fmax(1, fabs(wanted));
}

/* Relative, for numbers far below 1. */
static bool
is_about(float value, double wanted)
{
    return fabs((double) value - wanted) <= 1e-7 * fabs(wanted);
}

static void
the_three_spaces_mean_what_they_say(void **state)
{
    (void) state;
    check(is_near(distance2(OCHRE_SPACE_L2, 1, 2, 4, 6), 25));
    check(is_near(distance2(OCHRE_SPACE_IP, 1, 2, 4, 6), -15));
    check(is_near(distance2(OCHRE_SPACE_COSINE, 1, 2, 4, 6), 1 - 16 / sqrt(5.0 * 52)));
    check(is_near(distance2(OCHRE_SPACE_COSINE, 1, 0, -3, 0), 2));
    check(is_near(distance2(OCHRE_SPACE_COSINE, 1, 0, 0, 9), 1));
}

static void
a_zero_vector_is_at_cosine_distance_one(void **state)
{
    (void) state;
    check(same_bits(distance2(OCHRE_SPACE_COSINE, 0, 0, 1, 2), 1));
    check(same_bits(distance2(OCHRE_SPACE_COSINE, 1, 2, 0, 0), 1));
    check(same_bits(distance2(OCHRE_SPACE_COSINE, 0, 0, 0, 0), 1));
    check(same_bits(distance2(OCHRE_SPACE_COSINE, 0, -0.0f, FLT_MAX, FLT_MAX), 1));
    check(same_bits(distance2(OCHRE_SPACE_COSINE, 0, 0, 1e-45f, 0), 1));
}

static void
no_dimensions_are_at_the_origin(void **state)
{
    (void) state;
    float none = 1;
    check(same_bits(distance(OCHRE_SPACE_L2, &none, &none, 0), 0));
    check(same_bits(distance(OCHRE_SPACE_IP, &none, &none, 0), 1));
    check(same_bits(distance(OCHRE_SPACE_COSINE, &none, &none, 0), 1));
    check(same_bits(och_vector_norm(sets[0], &none, 0), 0));
}

static void
norms_are_right_at_every_magnitude(void **state)
{
    (void) state;
    check(same_bits(norm2(3, 4), 5));
    check(same_bits(norm2(0, -0.0f), 0));
    for (int exponent = -140; exponent <= 124; exponent++)
        check(is_about(norm2(ldexpf(3, exponent), ldexpf(4, exponent)), ldexp(5, exponent)));
    check(is_about(norm2(1e20f, 1e20f), (double) 1e20f * sqrt(2)));
    check(is_about(norm2(1e-30f, 1e-30f), (double) 1e-30f * sqrt(2)));
    check(same_bits(norm2(1e-45f, 0), 1e-45f)); /* the smallest there is */
    check(same_bits(norm2(FLT_MAX, 0), FLT_MAX));
    check(isinf(norm2(FLT_MAX, FLT_MAX)));
}

/* Every pair of magnitudes, those whose squares and norms no float holds too. */
static void
cosine_does_not_depend_on_magnitude(void **state)
{
    (void) state;
    double wanted = 1 - (1.0 * 3 + 2 * 1) / sqrt(5.0 * 10);
    for (int i = -140; i <= 126; i += 7) {
        for (int j = -140; j <= 126; j += 7) {
            float a[2] = {ldexpf(1, i), ldexpf(2, i)};
            float b[2] = {ldexpf(3, j), ldexpf(1, j)};
            if (isfinite(a[1]) && isfinite(b[0]))
                check(is_near(distance(OCHRE_SPACE_COSINE, a, b, 2), wanted));
        }
    }
    check(is_near(distance2(OCHRE_SPACE_COSINE, FLT_MAX, FLT_MAX, FLT_MAX, FLT_MAX), 0));
    check(is_near(distance2(OCHRE_SPACE_COSINE, FLT_MAX, FLT_MAX, 1e-45f, 1e-45f), 0));
    check(is_near(distance2(OCHRE_SPACE_COSINE, FLT_MAX, FLT_MAX, -1e-45f, -1e-45f), 2));
}

static void
ip_survives_lanes_that_overflow_apart(void **state)
{
    (void) state;
    check(same_bits(distance2(OCHRE_SPACE_IP, FLT_MAX, FLT_MAX, FLT_MAX, -FLT_MAX), 1));
    check(same_bits(distance2(OCHRE_SPACE_IP, 1e25f, 1e25f, -1e25f, 1e25f), 1));
    check(same_bits(distance2(OCHRE_SPACE_IP, 1e25f, 0, 1e25f, 0), -INFINITY));
    check(same_bits(distance2(OCHRE_SPACE_IP, 1e25f, 0, -1e25f, 0), INFINITY));
}

/* One lane overflows on the way to a sum that does not. */
static void
ip_survives_a_lane_that_overflows_alone(void **state)
{
    (void) state;
    float a[66] = {0}, b[66] = {0};
    a[0] = a[64] = 0x1p64f;
    a[1] = -0x1.8p64f;
    b[0] = b[1] = b[64] = 0x1p63f;
    check(same_bits(distance(OCHRE_SPACE_IP, a, b, 66), -0x1p126f));
}

static void
l2_past_the_range_of_a_float_is_infinite(void **state)
{
    (void) state;
    check(same_bits(distance2(OCHRE_SPACE_L2, FLT_MAX, 0, -FLT_MAX, 0), INFINITY));
    check(same_bits(distance2(OCHRE_SPACE_L2, 1e20f, 0, 0, 1e20f), INFINITY));
    check(same_bits(distance2(OCHRE_SPACE_L2, 1e20f, 1, 1e20f, 0), 1));
    check(same_bits(distance2(OCHRE_SPACE_L2, 1e-30f, 0, 0, 0), 0));
}

static void
a_vector_is_next_to_itself_and_its_multiples(void **state)
{
    (void) state;
    uint64_t seed = 8;
    float a[500], b[500];
    for (size_t dim = 1; dim <= 500; dim++) {
        for (size_t i = 0; i < dim; i++) {
            a[i] = och_random_f32(&seed);
            b[i] = 8 * a[i];
        }
        check(same_bits(distance(OCHRE_SPACE_L2, a, a, dim), 0));
        check(fabsf(distance(OCHRE_SPACE_COSINE, a, a, dim)) <= 2e-7f);
        check(fabsf(distance(OCHRE_SPACE_COSINE, a, b, dim)) <= 2e-7f);
    }
}

/* A finite float of any bits at all. */
static float
any_float(uint64_t *seed)
{
    float value = 0;
    do {
        uint32_t bits = (uint32_t) och_random(seed);
        memcpy(&value, &bits, sizeof(value));
    } while (!isfinite(value));
    return value;
}

static void
no_finite_vectors_are_at_a_distance_that_is_no_number(void **state)
{
    (void) state;
    uint64_t seed = 9;
    for (size_t step = 0; step < 20000; step++) {
        float a[130], b[130];
        size_t dim = 1 + och_random_below(&seed, step % 100 == 0 ? 130 : 6);
        for (size_t i = 0; i < dim; i++) {
            a[i] = any_float(&seed);
            b[i] = any_float(&seed);
        }
        check(!isnan(distance(OCHRE_SPACE_L2, a, b, dim)));
        check(!isnan(distance(OCHRE_SPACE_IP, a, b, dim)));
        float cosine = distance(OCHRE_SPACE_COSINE, a, b, dim);
        check(cosine >= -1e-6f && cosine <= 2 + 1e-6f);
    }
}

/* Ordinary rows between rows that need care, in one call and one by one. */
static void
a_block_of_rows_gives_what_each_row_gives(void **state)
{
    (void) state;
    enum { n_rows = 23, dim = 70 };
    static const ochre_space spaces[] = {OCHRE_SPACE_L2, OCHRE_SPACE_COSINE, OCHRE_SPACE_IP};
    static const float scales[] = {1, 0, 1e20f, 1, 1e-30f, 1e-40f, 1e37f};
    uint64_t seed = 10;
    float query[dim], rows[n_rows * dim], norms[n_rows], out[n_rows];
    for (size_t i = 0; i < dim; i++)
        query[i] = och_random_f32(&seed);
    for (size_t i = 0; i < (size_t) n_rows * dim; i++)
        rows[i] = och_random_f32(&seed) * scales[i / dim % 7];
    for (size_t row = 0; row < n_rows; row++)
        norms[row] = och_vector_norm(sets[0], rows + row * dim, dim);

    for (size_t i = 0; i < 3 * n_sets; i++) {
        ochre_space space = spaces[i % 3];
        struct och_distance_query q;
        och_distance_query_init(&q, sets[i / 3], space, query, dim);
        och_distance_rows(&q, rows, space == OCHRE_SPACE_COSINE ? norms : NULL, n_rows, out);
        for (size_t row = 0; row < n_rows; row++)
            check(same_bits(out[row], distance(space, query, rows + row * dim, dim)));
        och_distance_rows(&q, rows, NULL, 0, NULL); /* nothing to do is done */
    }
}

static int
find_sets(void **state)
{
    (void) state;
    struct och_cpu cpu = och_cpu_detect();
    n_sets = och_kernels_all(cpu.sets, sets);
    return 0;
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_three_spaces_mean_what_they_say),
            cmocka_unit_test(a_zero_vector_is_at_cosine_distance_one),
            cmocka_unit_test(no_dimensions_are_at_the_origin),
            cmocka_unit_test(norms_are_right_at_every_magnitude),
            cmocka_unit_test(cosine_does_not_depend_on_magnitude),
            cmocka_unit_test(ip_survives_lanes_that_overflow_apart),
            cmocka_unit_test(ip_survives_a_lane_that_overflows_alone),
            cmocka_unit_test(l2_past_the_range_of_a_float_is_infinite),
            cmocka_unit_test(a_vector_is_next_to_itself_and_its_multiples),
            cmocka_unit_test(no_finite_vectors_are_at_a_distance_that_is_no_number),
            cmocka_unit_test(a_block_of_rows_gives_what_each_row_gives),
    };
    return cmocka_run_group_tests_name("distance", tests, find_sets, NULL);
}
