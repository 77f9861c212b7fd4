/*
 * Integer products of every instruction set against the reference: equal numbers
 * for every length, misalignment, extreme codes, and at the end of a readable page.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/random.h"
#include "distance/codes.h"
#include "distance/distance.h"
#include "os/cpu.h"
#include "support/check.h"

enum { PADDED_MAX = 1600, ROWS = 13, STRIDE_MAX = PADDED_MAX + 64, QUERIES = 5 };

static const struct och_kernels *sets[4];
static size_t n_sets;
static uint8_t codes[ROWS * STRIDE_MAX + 64], other[PADDED_MAX + 64];
static int8_t queries[QUERIES * PADDED_MAX + 64];

enum filling { ANY, LARGEST, OPPOSITE, N_FILLINGS };

/* Random elements, or those whose products are the largest and smallest. */
static void
fill(enum filling filling, unsigned levels, uint64_t *seed)
{
    for (size_t i = 0; i < sizeof(codes); i++)
        codes[i] = (uint8_t) (filling == ANY ? och_random_below(seed, levels) : levels - 1);
    for (size_t i = 0; i < sizeof(other); i++)
        other[i] = (uint8_t) (filling == ANY ? och_random_below(seed, 128)
                        : filling == LARGEST ? 127
                                             : 0);
    for (size_t i = 0; i < sizeof(queries); i++) {
        int value = (int) och_random_below(seed, 255) - 127;
        queries[i] = (int8_t) (filling == ANY ? value : filling == LARGEST ? 127 : -127);
    }
}

static void
check_dot4(size_t padded, size_t shift, uint64_t *seed)
{
    size_t stride = padded / 2 + och_random_below(seed, 3) * 16;
    uint32_t rows[ROWS];
    int32_t wanted[ROWS * QUERIES], got[ROWS * QUERIES];
    for (size_t i = 0; i < ROWS; i++)
        rows[i] = (uint32_t) och_random_below(seed, ROWS);
    const struct och_code_kernels *reference = sets[0]->codes;
    for (size_t s = 1; s < n_sets; s++) {
        const struct och_code_kernels *set = sets[s]->codes;
        reference->dot4_gather(queries + shift, codes + shift, stride, rows, ROWS, padded, wanted);
        set->dot4_gather(queries + shift, codes + shift, stride, rows, ROWS, padded, got);
        check(memcmp(wanted, got, ROWS * sizeof(int32_t)) == 0);
        for (size_t n = 0; n <= ROWS; n += 4) {
            for (size_t q = 1; q <= QUERIES; q++) {
                reference->dot4_block(queries + shift, q, codes + shift, stride, n, padded, wanted);
                set->dot4_block(queries + shift, q, codes + shift, stride, n, padded, got);
                check(memcmp(wanted, got, n * q * sizeof(int32_t)) == 0);
            }
        }
    }
}

static void
check_dot7(size_t padded, size_t shift, uint64_t *seed)
{
    uint32_t rows[ROWS];
    int32_t wanted[ROWS], got[ROWS];
    for (size_t i = 0; i < ROWS; i++)
        rows[i] = (uint32_t) och_random_below(seed, ROWS);
    const struct och_code_kernels *reference = sets[0]->codes;
    for (size_t s = 1; s < n_sets; s++) {
        const struct och_code_kernels *set = sets[s]->codes;
        reference->dot7_gather(other + shift, codes + shift, padded, rows, ROWS, padded, wanted);
        set->dot7_gather(other + shift, codes + shift, padded, rows, ROWS, padded, got);
        check(memcmp(wanted, got, sizeof(wanted)) == 0);
        check(set->dot7(other + shift, codes + shift, padded) ==
                reference->dot7(other + shift, codes + shift, padded));
    }
}

static void
all_sets_multiply_alike(void **state)
{
    (void) state;
    uint64_t seed = 11;
    for (enum filling filling = ANY; filling < N_FILLINGS; filling++) {
        for (size_t padded = 64; padded <= PADDED_MAX; padded += 64) {
            fill(filling, 256, &seed);
            check_dot4(padded, 0, &seed);
            check_dot4(padded, 1 + och_random_below(&seed, 31), &seed);
            fill(filling, 128, &seed);
            check_dot7(padded, 0, &seed);
            check_dot7(padded, 1 + och_random_below(&seed, 31), &seed);
        }
    }
}

/* The reference itself, written the other way round: element by element. */
static void
the_reference_is_the_sum_of_products(void **state)
{
    (void) state;
    uint64_t seed = 12;
    enum { PADDED = 192 };
    fill(ANY, 256, &seed);
    int32_t sum4 = 0, sum7 = 0, got4;
    for (size_t i = 0; i < PADDED; i++) {
        size_t in_block = i % 64, byte = i / 64 * 32 + in_block % 32;
        int element = in_block < 32 ? codes[byte] & 15 : codes[byte] >> 4;
        sum4 += element * queries[(in_block < 32 ? 0 : PADDED / 2) + byte];
    }
    uint32_t row = 0;
    sets[0]->codes->dot4_gather(queries, codes, PADDED, &row, 1, PADDED, &got4);
    check(got4 == sum4);
    fill(ANY, 128, &seed);
    for (size_t i = 0; i < PADDED; i++)
        sum7 += other[i] * (codes[i] - 64);
    check(sets[0]->codes->dot7(other, codes, PADDED) == sum7);
}

/* The last code ends where a page begins that may not be touched. */
static void
nothing_is_read_past_a_code(void **state)
{
    (void) state;
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(map != MAP_FAILED);
    check(mprotect(map + page, page, PROT_NONE) == 0);
    memset(map, 7, page);
    uint64_t seed = 13;
    fill(ANY, 128, &seed);
    for (size_t padded = 64; padded <= 1024; padded += 64) {
        const uint8_t *last4 = (const uint8_t *) map + page - padded / 2;
        const uint8_t *last7 = (const uint8_t *) map + page - padded;
        uint32_t row = 0;
        int32_t got;
        for (size_t s = 0; s < n_sets; s++) {
            sets[s]->codes->dot4_gather(queries, last4, 0, &row, 1, padded, &got);
            sets[s]->codes->dot4_block(queries, 1, last4, 0, 1, padded, &got);
            sets[s]->codes->dot7_gather(other, last7, 0, &row, 1, padded, &got);
            (void) sets[s]->codes->dot7(last7, other, padded);
        }
    }
    check(munmap(map, 2 * page) == 0);
}

int
main(void)
{
    struct och_cpu cpu = och_cpu_detect();
    struct och_distance_cpu distance_cpu = {
            .avx2_fma = cpu.avx2_fma, .avx512 = cpu.avx512, .neon = cpu.neon};
    n_sets = och_kernels_all(distance_cpu, sets);
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_reference_is_the_sum_of_products),
            cmocka_unit_test(all_sets_multiply_alike),
            cmocka_unit_test(nothing_is_read_past_a_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
