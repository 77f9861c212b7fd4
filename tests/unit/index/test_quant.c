/*
 * Codes: the radius holds for every vector and query that can be thought of, the
 * rotation keeps lengths, and all instruction sets make the same bytes.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/random.h"
#include "distance/codes.h"
#include "distance/distance.h"
#include "index/vector/quant.h"
#include "index/vector/rotate.h"
#include "index/vector/rows.h"
#include "index/vector/scan.h"
#include "os/cpu.h"
#include "support/check.h"

enum { ROWS = 96, DIM_MAX = 800 };

static struct och_mem mem;
static const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
static size_t n_sets;
static float floats[ROWS * DIM_MAX], norms[ROWS], query_floats[DIM_MAX];
static uint64_t ordinals[ROWS];

/* Kinds of vectors that codes find hard. */
enum kind { EVEN, HEAVY_TAILED, ONE_HOT, EQUAL, TINY, LONG, FAR_FROM_ZERO, N_KINDS };

static float
component(enum kind kind, size_t i, size_t dim, uint64_t *seed)
{
    float x = och_random_f32(seed);
    switch (kind) {
    case EVEN:
        return x;
    case HEAVY_TAILED:
        return x / (1.001F - fabsf(och_random_f32(seed)));
    case ONE_HOT:
        return och_random_below(seed, dim) == 0 ? 1 : 0;
    case EQUAL:
        return 0.25F;
    case TINY:
        return x * 1e-12F;
    case LONG:
        return x * 1e12F;
    case FAR_FROM_ZERO:
        return x + 100 + (float) i;
    case N_KINDS:
        break;
    }
    return 0;
}

static struct och_vector_rows
make_rows(enum kind kind, size_t dim, uint64_t *seed)
{
    for (size_t row = 0; row < ROWS; row++) {
        for (size_t i = 0; i < dim; i++)
            floats[row * dim + i] = component(kind, i, dim, seed);
        norms[row] = och_vector_norm(sets[0], floats + row * dim, dim);
        ordinals[row] = row;
    }
    for (size_t i = 0; i < dim; i++)
        query_floats[i] = component(kind, i, dim, seed);
    return (struct och_vector_rows){
            .rows = floats, .norms = norms, .ordinals = ordinals, .n_rows = ROWS};
}

/* The squared distance that codes estimate, in long double. */
static long double
true_distance(const struct och_quant *quant, const float *row, float norm, float query_norm)
{
    long double sum = 0, dot = 0, length = 0;
    for (size_t i = 0; i < quant->dim; i++) {
        long double x = (long double) row[i], q = (long double) query_floats[i];
        if (quant->space == OCHRE_SPACE_COSINE) {
            x /= (long double) norm;
            q /= (long double) query_norm;
        }
        sum += (x - q) * (x - q);
        dot += x * q;
        length += q * q;
    }
    if (quant->space == OCHRE_SPACE_IP)
        return (long double) quant->longest2 + length - 2 * dot;
    return sum;
}

/* The bound that scans compute for many rows is one, and as near as the other form. */
static void
check_lower(const struct och_quant *quant, const struct och_quant_query *prepared,
        const uint8_t *codes, uint32_t row, int32_t dot, long double truth)
{
    struct och_code_terms terms;
    float lower = 0;
    och_quant_terms(quant, codes, &row, 1, &terms);
    for (size_t s = 0; s < n_sets; s++) {
        (void) sets[s]->codes->bound_block(&prepared->weights, &terms, &dot, 1, 0, &lower);
        check((long double) lower <= truth);
    }
    const struct och_code4 *header =
            (const struct och_code4 *) (const void *) (codes + row * quant->stride4);
    float same = och_quant_estimate(prepared, header, dot) - och_quant_radius(prepared, header);
    float all = terms.length[0] + prepared->length;
    check(fabsf(lower - same) <= prepared->rounding * all * all + prepared->rounding_fixed);
}

/* Every row's estimate lies within its radius of the truth. */
static void
check_radius(enum kind kind, ochre_space space, uint32_t dim, uint64_t *seed)
{
    struct och_vector_rows rows = make_rows(kind, dim, seed);
    struct och_quant quant;
    struct ochre_error err;
    ochre_status status = och_quant_learn(
            &mem, sets[n_sets - 1], &rows, space, dim, och_random(seed), &quant, &err);
    if (status == OCHRE_UNSUPPORTED)
        return; /* ONE_HOT may be all zeros, which no direction has */
    check_ok(status, &err);
    struct och_distance_query query;
    och_distance_query_init(&query, sets[n_sets - 1], space, query_floats, dim);
    static uint8_t codes[ROWS * (DIM_MAX + 128)];
    static float residual[DIM_MAX + 64];
    for (uint32_t row = 0; row < ROWS; row++) {
        uint8_t *code = codes + row * quant.stride4;
        och_quant_residual(&quant, floats + (size_t) row * dim, norms[row], residual);
        och_quant_encode4(&quant, residual, code);
    }
    if (och_scan_can(&quant, &query)) {
        static int8_t elements[DIM_MAX + 64];
        struct och_quant_query prepared;
        och_quant_query_init(&quant, &query, elements, residual, &prepared);
        for (uint32_t row = 0; row < ROWS; row++) {
            if (space == OCHRE_SPACE_COSINE && norms[row] == 0)
                continue;
            int32_t dot;
            const uint8_t *code = codes + row * quant.stride4;
            uint32_t zero = 0;
            const struct och_code4 *header = (const struct och_code4 *) (const void *) code;
            quant.kernels->codes->dot4_gather(
                    prepared.elements, code + OCH_CODE_HEADER, 0, &zero, 1, quant.padded, &dot);
            long double truth = true_distance(
                    &quant, floats + (size_t) row * dim, norms[row], query.query_norm);
            long double off = truth - (long double) och_quant_estimate(&prepared, header, dot);
            check(fabsl(off) <= (long double) och_quant_radius(&prepared, header));
            check_lower(&quant, &prepared, codes, row, dot, truth);
        }
    }
    och_quant_clear(&quant);
}

static void
the_radius_holds_for_hard_vectors(void **state)
{
    (void) state;
    static const uint32_t dims[] = {1, 2, 3, 63, 64, 65, 100, 128, 200, 384, 768};
    uint64_t seed = 21;
    for (enum kind kind = EVEN; kind < N_KINDS; kind++) {
        for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++) {
            for (int space = OCHRE_SPACE_L2; space <= OCHRE_SPACE_IP; space++)
                check_radius(kind, (ochre_space) space, dims[i], &seed);
        }
    }
    check(och_mem_used(&mem) == 0);
}

/* The likely radius is passed by few: it is what a walk relies on. */
static void
the_likely_radius_holds_for_almost_all(void **state)
{
    (void) state;
    uint64_t seed = 22;
    uint64_t n_past = 0, n_all = 0;
    for (int round = 0; round < 40; round++) {
        enum { DIM = 384 };
        struct och_vector_rows rows = make_rows(EVEN, DIM, &seed);
        struct och_quant quant;
        check(och_quant_learn(&mem, sets[n_sets - 1], &rows, OCHRE_SPACE_L2, DIM, och_random(&seed),
                      &quant, NULL) == OCHRE_OK);
        struct och_distance_query query;
        och_distance_query_init(&query, sets[n_sets - 1], OCHRE_SPACE_L2, query_floats, DIM);
        static int8_t elements[DIM];
        static float scratch[DIM];
        static uint8_t code[1024];
        struct och_quant_query prepared;
        och_quant_query_init(&quant, &query, elements, scratch, &prepared);
        for (uint32_t row = 0; row < ROWS; row++) {
            uint32_t zero = 0;
            int32_t dot;
            och_quant_residual(&quant, floats + (size_t) row * DIM, norms[row], scratch);
            och_quant_encode4(&quant, scratch, code);
            struct och_code4 header;
            memcpy(&header, code, sizeof(header));
            quant.kernels->codes->dot4_gather(
                    elements, code + OCH_CODE_HEADER, 0, &zero, 1, quant.padded, &dot);
            long double truth = true_distance(&quant, floats + (size_t) row * DIM, 0, 0);
            long double off = truth - (long double) och_quant_estimate(&prepared, &header, dot);
            n_past += fabsl(off) > (long double) (header.error * prepared.unlikely);
            n_all++;
        }
        och_quant_clear(&quant);
    }
    check(n_past * 10 < n_all); /* 1.9 deviations: about 6 % */
    check(och_mem_used(&mem) == 0);
}

static void
a_rotation_keeps_lengths_and_spreads_them(void **state)
{
    (void) state;
    for (size_t n = 64; n <= 1536; n += 64) {
        struct och_rotation rotation;
        check(och_rotation_make(&mem, n, n, &rotation) == OCHRE_OK);
        static float v[1536];
        memset(v, 0, sizeof(v));
        v[n / 3] = 1;
        och_rotate(&rotation, v);
        double length2 = 0, largest = 0;
        for (size_t i = 0; i < n; i++) {
            length2 += (double) v[i] * (double) v[i];
            largest = fabs((double) v[i]) > largest ? fabs((double) v[i]) : largest;
        }
        check(fabs(length2 - 1) < 1e-5);
        check(largest < 0.75); /* one coordinate's weight lies on many now */
        och_rotation_clear(&rotation);
    }
    check(och_mem_used(&mem) == 0);
}

static void
all_sets_make_the_same_codes(void **state)
{
    (void) state;
    uint64_t seed = 23;
    enum { DIM = 200 };
    struct och_vector_rows rows = make_rows(HEAVY_TAILED, DIM, &seed);
    static uint8_t first[2][1024], again[2][1024];
    static float residual[DIM_MAX];
    for (size_t s = 0; s < n_sets; s++) {
        struct och_quant quant;
        check(och_quant_learn(&mem, sets[s], &rows, OCHRE_SPACE_IP, DIM, 5, &quant, NULL) ==
                OCHRE_OK);
        och_quant_residual(&quant, floats + DIM, norms[1], residual);
        och_quant_encode4(&quant, residual, s == 0 ? first[0] : again[0]);
        och_quant_encode7(&quant, residual, s == 0 ? first[1] : again[1]);
        check(s == 0 || memcmp(first, again, sizeof(first)) == 0);
        och_quant_clear(&quant);
    }
    check(och_mem_used(&mem) == 0);
}

static bool
learn_once(struct och_mem *account)
{
    uint64_t seed = 24;
    struct och_vector_rows rows = make_rows(EVEN, 100, &seed);
    struct och_quant quant;
    ochre_status status =
            och_quant_learn(account, sets[0], &rows, OCHRE_SPACE_L2, 100, 5, &quant, NULL);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    och_quant_clear(&quant);
    return status == OCHRE_OK;
}

static void
learning_without_memory_leaves_nothing(void **state)
{
    (void) state;
    check_each_allocation_failing(learn_once);
}

static void
lengths_past_what_squares_can_hold_are_refused(void **state)
{
    (void) state;
    uint64_t seed = 25;
    struct och_vector_rows rows = make_rows(EVEN, 8, &seed);
    struct och_quant quant;
    struct ochre_error err;
    floats[3] = 1e30F;
    norms[0] = och_vector_norm(sets[0], floats, 8);
    for (int space = OCHRE_SPACE_L2; space <= OCHRE_SPACE_IP; space++)
        check(och_quant_learn(&mem, sets[0], &rows, (ochre_space) space, 8, 1, &quant, &err) ==
                OCHRE_UNSUPPORTED);
    check(och_mem_used(&mem) == 0);
}

int
main(void)
{
    och_mem_init(&mem, NULL);
    struct och_cpu cpu = och_cpu_detect();
    n_sets = och_kernels_all(cpu.sets, sets);
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_radius_holds_for_hard_vectors),
            cmocka_unit_test(the_likely_radius_holds_for_almost_all),
            cmocka_unit_test(a_rotation_keeps_lengths_and_spreads_them),
            cmocka_unit_test(all_sets_make_the_same_codes),
            cmocka_unit_test(learning_without_memory_leaves_nothing),
            cmocka_unit_test(lengths_past_what_squares_can_hold_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
