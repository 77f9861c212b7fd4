/*
 * Every kernel this processor can run against the reference, for equal bits;
 * and the reference against sums in double, for the bound distance.h states.
 *
 * Vectors lie between two pages that may not be touched, so that a kernel which
 * reads a byte too many, on either side, dies on the spot.
 */
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/random.h"
#include "distance/distance.h"
#include "os/cpu.h"
#include "support/check.h"

enum { DIM_MAX = 4100 };

static const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
static size_t n_sets;

/* Floats with a forbidden page right before `floats` and right after `end`. */
struct fence {
    void *map;
    size_t map_size;
    float *floats, *end;
};

static struct fence
fence_open(size_t n_floats)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    size_t size = (n_floats * sizeof(float) + page - 1) / page * page;
    struct fence fence = {.map_size = size + 2 * page};
    fence.map =
            mmap(NULL, fence.map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(fence.map != MAP_FAILED);
    char *bytes = fence.map;
    check(mprotect(bytes, page, PROT_NONE) == 0);
    check(mprotect(bytes + page + size, page, PROT_NONE) == 0);
    fence.floats = (float *) (void *) (bytes + page);
    fence.end = (float *) (void *) (bytes + page + size);
    return fence;
}

static void
fence_close(struct fence fence)
{
    check(munmap(fence.map, fence.map_size) == 0);
}

/* Floats of both signs with exponents from -low to high - 1, zeros among them. */
static void
fill(float *floats, size_t n, uint64_t *seed, uint64_t low, uint64_t high)
{
    for (size_t i = 0; i < n; i++) {
        int exponent = (int) och_random_below(seed, low + high) - (int) low;
        floats[i] = och_random_below(seed, 50) == 0 ? 0.0f : ldexpf(och_random_f32(seed), exponent);
    }
}

static bool
same_bits(float a, float b)
{
    uint32_t bits_a = 0, bits_b = 0;
    memcpy(&bits_a, &a, sizeof(a));
    memcpy(&bits_b, &b, sizeof(b));
    return bits_a == bits_b;
}

static void
check_pair(const float *a, const float *b, size_t dim)
{
    float l2 = sets[0]->l2(a, b, dim);
    float dot = sets[0]->dot(a, b, dim);
    for (size_t s = 1; s < n_sets; s++) {
        check(same_bits(sets[s]->l2(a, b, dim), l2));
        check(same_bits(sets[s]->dot(a, b, dim), dot));
    }
}

static void
every_length_at_the_end_of_memory_gives_equal_bits(void **state)
{
    (void) state;
    uint64_t seed = 1;
    struct fence a = fence_open(DIM_MAX), b = fence_open(DIM_MAX);
    fill(a.floats, (size_t) (a.end - a.floats), &seed, 3, 3);
    fill(b.floats, (size_t) (b.end - b.floats), &seed, 3, 3);
    for (size_t dim = 0; dim <= DIM_MAX; dim++)
        check_pair(a.end - dim, b.end - dim, dim);
    fence_close(a);
    fence_close(b);
}

static void
every_length_at_the_start_of_memory_gives_equal_bits(void **state)
{
    (void) state;
    uint64_t seed = 2;
    struct fence a = fence_open(DIM_MAX), b = fence_open(DIM_MAX);
    fill(a.floats, DIM_MAX, &seed, 3, 3);
    fill(b.floats, DIM_MAX, &seed, 3, 3);
    for (size_t dim = 0; dim <= DIM_MAX; dim++)
        check_pair(a.floats, b.floats, dim);
    fence_close(a);
    fence_close(b);
}

/* A cache line holds sixteen floats; both vectors start at each of them. */
static void
every_misalignment_gives_equal_bits(void **state)
{
    (void) state;
    static const size_t dims[] = {1, 7, 15, 16, 17, 31, 63, 64, 65, 100, 127, 128, 384, 769};
    uint64_t seed = 3;
    struct fence a = fence_open(800), b = fence_open(800);
    fill(a.floats, 800, &seed, 3, 3);
    fill(b.floats, 800, &seed, 3, 3);
    for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++) {
        for (size_t shift = 0; shift < 256; shift++)
            check_pair(a.floats + shift / 16, b.floats + shift % 16, dims[i]);
    }
    fence_close(a);
    fence_close(b);
}

/* Sums whose terms cancel, underflow to denormals or to zero, or overflow. */
static void
every_magnitude_gives_equal_bits(void **state)
{
    (void) state;
    static const struct {
        uint64_t low, high;
    } exponents[] = {{30, 30}, {149, 0}, {80, 0}, {60, 62}, {149, 62}, {10, 1}};
    uint64_t seed = 4;
    struct fence a = fence_open(1024), b = fence_open(1024);
    for (size_t i = 0; i < sizeof(exponents) / sizeof(exponents[0]); i++) {
        for (size_t step = 0; step < 300; step++) {
            size_t dim = och_random_below(&seed, 1025);
            fill(a.end - dim, dim, &seed, exponents[i].low, exponents[i].high);
            fill(b.end - dim, dim, &seed, exponents[i].low, exponents[i].high);
            check_pair(a.end - dim, b.end - dim, dim);
        }
    }
    fence_close(a);
    fence_close(b);
}

/* Each product rounds to -0; lanes that get padding become +0, the others stay. */
static void
negative_zeros_give_equal_bits(void **state)
{
    (void) state;
    float a[300], b[300];
    for (size_t i = 0; i < 300; i++) {
        a[i] = -1e-30f;
        b[i] = 1e-30f;
    }
    for (size_t dim = 0; dim <= 300; dim++)
        check_pair(a, b, dim);
    check(signbit(sets[0]->dot(a, b, 128)) != 0);
    check(signbit(sets[0]->dot(a, b, 129)) == 0);
}

static void
no_dimensions_sum_to_zero(void **state)
{
    (void) state;
    float one = 1;
    for (size_t s = 0; s < n_sets; s++) {
        float out[3] = {1, 1, 1};
        check(same_bits(sets[s]->l2(&one, &one, 0), 0.0f));
        check(same_bits(sets[s]->dot(&one, &one, 0), 0.0f));
        sets[s]->l2_rows(&one, &one, 3, 0, out);
        check(same_bits(out[0], 0.0f) && same_bits(out[1], 0.0f) && same_bits(out[2], 0.0f));
    }
}

/* Blocks of rows that end at the forbidden page, for every count up to past two
 * turns of a kernel that takes four rows at once. */
static void
a_block_of_rows_gives_what_each_row_gives(void **state)
{
    (void) state;
    enum { n_rows_max = 9 };
    static const size_t dims[] = {
            1, 2, 3, 16, 63, 64, 65, 127, 128, 129, 191, 200, 384, 1000, 1536};
    uint64_t seed = 5;
    struct fence query = fence_open(1536), rows = fence_open((size_t) 1536 * n_rows_max);
    fill(query.floats, (size_t) (query.end - query.floats), &seed, 3, 3);
    fill(rows.floats, (size_t) (rows.end - rows.floats), &seed, 3, 3);

    for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]) * (n_rows_max + 1); i++) {
        size_t dim = dims[i / (n_rows_max + 1)], n = i % (n_rows_max + 1);
        const float *q = query.end - dim, *block = rows.end - n * dim;
        for (size_t s = 0; s < n_sets; s++) {
            float l2[n_rows_max + 1], dot[n_rows_max + 1];
            l2[n] = dot[n] = 77;
            sets[s]->l2_rows(q, block, n, dim, l2);
            sets[s]->dot_rows(q, block, n, dim, dot);
            for (size_t row = 0; row < n; row++) {
                check(same_bits(l2[row], sets[0]->l2(q, block + row * dim, dim)));
                check(same_bits(dot[row], sets[0]->dot(q, block + row * dim, dim)));
            }
            check(same_bits(l2[n], 77) && same_bits(dot[n], 77));
        }
    }
    fence_close(query);
    fence_close(rows);
}

/* The order of distance.h, said in another way than kernel_scalar.c says it:
 * by what each number is added to, not by loops over groups. */
static float
canonical(const float *a, const float *b, size_t dim)
{
    float lanes[64];
    for (size_t lane = 0; lane < 64; lane++) {
        lanes[lane] = 0;
        for (size_t i = lane; i < (dim + 63) / 64 * 64; i += 64)
            lanes[lane] = fmaf(i < dim ? a[i] : 0, i < dim ? b[i] : 0, lanes[lane]);
    }
    float s[16];
    for (size_t l = 0; l < 16; l++)
        s[l] = (lanes[l] + lanes[l + 16]) + (lanes[l + 32] + lanes[l + 48]);
    float left = ((s[0] + s[8]) + (s[4] + s[12])) + ((s[2] + s[10]) + (s[6] + s[14]));
    float right = ((s[1] + s[9]) + (s[5] + s[13])) + ((s[3] + s[11]) + (s[7] + s[15]));
    return left + right;
}

static void
the_reference_adds_in_the_canonical_order(void **state)
{
    (void) state;
    uint64_t seed = 6;
    float a[700], b[700];
    for (size_t dim = 0; dim <= 700; dim++) {
        fill(a, dim, &seed, 6, 6);
        fill(b, dim, &seed, 6, 6);
        check(same_bits(sets[0]->dot(a, b, dim), canonical(a, b, dim)));
    }
}

static void
the_error_stays_within_its_bound(void **state)
{
    (void) state;
    static float a[DIM_MAX], b[DIM_MAX];
    uint64_t seed = 7;
    for (size_t step = 0; step < 200; step++) {
        size_t dim = 1 + och_random_below(&seed, DIM_MAX);
        fill(a, dim, &seed, 8, 8);
        fill(b, dim, &seed, 8, 8);
        double dot = 0, dot_terms = 0, l2 = 0;
        for (size_t i = 0; i < dim; i++) {
            double product = (double) a[i] * (double) b[i];
            double difference = (double) a[i] - (double) b[i];
            dot += product;
            dot_terms += fabs(product);
            l2 += difference * difference;
        }
        double n_roundings = (double) ((dim + 63) / 64 + 6);
        check(fabs((double) sets[0]->dot(a, b, dim) - dot) <= n_roundings * 0x1p-24 * dot_terms);
        check(fabs((double) sets[0]->l2(a, b, dim) - l2) <= (n_roundings + 2) * 0x1p-24 * l2);
    }
}

static int
find_sets(void **state)
{
    (void) state;
    struct och_cpu cpu = och_cpu_detect();
    n_sets = och_kernels_all(cpu.sets, sets);
    for (size_t s = 0; s < n_sets; s++)
        print_message("[ kernels  ] %s\n", sets[s]->name);
    return 0;
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(every_length_at_the_end_of_memory_gives_equal_bits),
            cmocka_unit_test(every_length_at_the_start_of_memory_gives_equal_bits),
            cmocka_unit_test(every_misalignment_gives_equal_bits),
            cmocka_unit_test(every_magnitude_gives_equal_bits),
            cmocka_unit_test(negative_zeros_give_equal_bits),
            cmocka_unit_test(no_dimensions_sum_to_zero),
            cmocka_unit_test(a_block_of_rows_gives_what_each_row_gives),
            cmocka_unit_test(the_reference_adds_in_the_canonical_order),
            cmocka_unit_test(the_error_stays_within_its_bound),
    };
    return cmocka_run_group_tests_name("kernels", tests, find_sets, NULL);
}
