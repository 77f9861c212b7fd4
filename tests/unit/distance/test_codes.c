/*
 * Integer products of every instruction set against the reference: equal numbers
 * for every length, misalignment, extreme codes, and at the end of a readable page.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/random.h"
#include "distance/codes.h"
#include "distance/distance.h"
#include "os/cpu.h"
#include "support/check.h"

enum { PADDED_MAX = 1600, ROWS = 13, STRIDE_MAX = PADDED_MAX + 64 };
/* Kernels take rows and queries by so many that all their remainders occur. */
enum { BLOCK_ROWS = 150, BLOCK_STRIDE_MAX = PADDED_MAX / 2 + 32, QUERIES = 19 };

static const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
static size_t n_sets;
static uint8_t codes[BLOCK_ROWS * BLOCK_STRIDE_MAX + ROWS * STRIDE_MAX], other[PADDED_MAX + 64];
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
check_block(size_t n, size_t n_queries, size_t padded, size_t shift, size_t stride)
{
    static int32_t wanted[BLOCK_ROWS * QUERIES], got[BLOCK_ROWS * QUERIES + 1];
    sets[0]->codes->dot4_block(
            queries + shift, n_queries, codes + shift, stride, n, padded, wanted);
    for (size_t s = 1; s < n_sets; s++) {
        memset(got, 0x55, sizeof(got));
        sets[s]->codes->dot4_block(
                queries + shift, n_queries, codes + shift, stride, n, padded, got);
        check(memcmp(wanted, got, n * n_queries * sizeof(int32_t)) == 0);
        check(got[n * n_queries] == 0x55555555);
    }
}

static void
check_dot4(size_t padded, size_t shift, uint64_t *seed)
{
    size_t stride = padded / 2 + och_random_below(seed, 3) * 16;
    uint32_t rows[ROWS];
    int32_t wanted[ROWS], got[ROWS];
    for (size_t i = 0; i < ROWS; i++)
        rows[i] = (uint32_t) och_random_below(seed, ROWS);
    const struct och_code_kernels *reference = sets[0]->codes;
    for (size_t s = 1; s < n_sets; s++) {
        const struct och_code_kernels *set = sets[s]->codes;
        for (size_t n = 0; n <= ROWS; n++) {
            reference->dot4_gather(queries + shift, codes + shift, stride, rows, n, padded, wanted);
            memset(got, 0x55, sizeof(got));
            set->dot4_gather(queries + shift, codes + shift, stride, rows, n, padded, got);
            check(memcmp(wanted, got, n * sizeof(int32_t)) == 0);
        }
    }
    for (size_t i = 0; i < 3; i++)
        check_block(och_random_below(seed, BLOCK_ROWS + 1), 1 + och_random_below(seed, QUERIES),
                padded, shift, stride);
    check_block(64, 16, padded, shift, stride);
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
        memset(got, 0x55, sizeof(got));
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

static float
any_float(uint64_t *seed)
{
    return (och_random_f32(seed) - 0.5F) * 16;
}

/* Bounds and bits, for whole blocks and parts, and nothing written behind. */
static void
all_sets_bound_alike(void **state)
{
    (void) state;
    uint64_t seed = 14;
    for (size_t round = 0; round < 50; round++) {
        struct och_code_terms terms;
        int32_t dots[OCH_CODE_BLOCK];
        for (size_t i = 0; i < OCH_CODE_BLOCK; i++) {
            terms.add[i] = any_float(&seed);
            terms.scale[i] = any_float(&seed);
            terms.error[i] = any_float(&seed);
            terms.length[i] = any_float(&seed);
            dots[i] = (int32_t) och_random_below(&seed, 2000001) - 1000000;
        }
        struct och_code_weights weights = {.step = any_float(&seed) / 100000,
                .offset = any_float(&seed),
                .error = any_float(&seed),
                .length = any_float(&seed),
                .add = any_float(&seed)};
        for (size_t n = 0; n <= OCH_CODE_BLOCK; n++) {
            float wanted[OCH_CODE_BLOCK + 1], got[OCH_CODE_BLOCK + 1];
            /* A limit that one row reaches, or any. */
            (void) sets[0]->codes->bound_block(&weights, &terms, dots, n, 0, wanted);
            float limit = n == 0 ? 0 : n % 3 == 0 ? INFINITY : wanted[och_random_below(&seed, n)];
            uint64_t bits = sets[0]->codes->bound_block(&weights, &terms, dots, n, limit, wanted);
            for (size_t i = 0; i < n; i++)
                check((bits >> i & 1) == (wanted[i] <= limit));
            for (size_t s = 1; s < n_sets; s++) {
                memset(got, 0x55, sizeof(got));
                wanted[n] = got[n];
                check(sets[s]->codes->bound_block(&weights, &terms, dots, n, limit, got) == bits);
                check(memcmp(wanted, got, (n + 1) * sizeof(float)) == 0);
            }
        }
    }
}

/* A bound that is not a number leaves nothing out. */
static void
what_is_no_number_is_not_left_out(void **state)
{
    (void) state;
    static struct och_code_terms terms;
    int32_t dots[OCH_CODE_BLOCK] = {0};
    float out[OCH_CODE_BLOCK];
    struct och_code_weights weights = {.add = NAN};
    for (size_t s = 0; s < n_sets; s++)
        check(sets[s]->codes->bound_block(&weights, &terms, dots, 64, 0, out) == UINT64_MAX);
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

/* The last bytes of a page behind which none may be touched. */
static void *
map_page(size_t page)
{
    char *map = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(map != MAP_FAILED);
    check(mprotect(map + page, page, PROT_NONE) == 0);
    memset(map, 7, page);
    return map + page;
}

/* The last code, and the last query, end where such a page does. */
static void
nothing_is_read_past_a_code_or_a_query(void **state)
{
    (void) state;
    enum { EDGE_QUERIES = 5, EDGE_ROWS = 21, PAGES = 4 };
    size_t size = PAGES * (size_t) sysconf(_SC_PAGESIZE);
    const uint8_t *codes_end = map_page(size);
    const int8_t *queries_end = map_page(size);
    static int32_t got[EDGE_QUERIES * EDGE_ROWS];
    uint32_t rows[EDGE_ROWS];
    for (uint32_t i = 0; i < EDGE_ROWS; i++)
        rows[i] = i;
    for (size_t padded = 64; padded <= 1024; padded += 64) {
        const int8_t *query = queries_end - padded;
        for (size_t s = 0; s < n_sets; s++) {
            const struct och_code_kernels *set = sets[s]->codes;
            for (size_t n = 1; n <= EDGE_ROWS; n++) {
                const uint8_t *first = codes_end - n * padded / 2;
                set->dot4_gather(query, first, padded / 2, rows, n, padded, got);
                for (size_t q = 1; q <= EDGE_QUERIES && q * padded <= size; q++)
                    set->dot4_block(queries_end - q * padded, q, first, padded / 2, n, padded, got);
            }
            for (uint32_t n = 1; n <= 9 && n * padded <= size; n++) {
                const uint8_t *first = codes_end - n * padded;
                const uint8_t *a = codes_end - padded;
                set->dot7_gather(a, first, padded, rows, n, padded, got);
                (void) set->dot7(a, codes, padded);
                (void) set->dot7(other, a, padded);
            }
        }
    }
    check(munmap((char *) (uintptr_t) codes_end - size, 2 * size) == 0);
    check(munmap((char *) (uintptr_t) queries_end - size, 2 * size) == 0);
}

int
main(void)
{
    struct och_cpu cpu = och_cpu_detect();
    n_sets = och_kernels_all(cpu.sets, sets);
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_reference_is_the_sum_of_products),
            cmocka_unit_test(all_sets_multiply_alike),
            cmocka_unit_test(all_sets_bound_alike),
            cmocka_unit_test(what_is_no_number_is_not_left_out),
            cmocka_unit_test(nothing_is_read_past_a_code_or_a_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
