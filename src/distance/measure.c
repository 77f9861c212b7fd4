/*
 * Which of the sets that a processor can run is the fastest here.  Some lower
 * their clock for wide registers, some take two steps for one, and a virtual
 * machine does not say which it runs on; so each set does the same small work and
 * the time decides.  Results are equal whichever it is.
 */
#include <string.h>

#include "distance/codes.h"
#include "distance/distance.h"
#include "distance/distance_internal.h"

enum {
    DIM = 256,
    FLOAT_ROWS = 8, /* 8 KiB */
    CODE_ROWS = 32, /* of the same bytes */
    CODE_QUERIES = 8,
    WORK_REPEATS = 3,
    /* The first rounds also wait for registers to be powered and code to be read;
     * the least of all is what counts. */
    ROUNDS = 6,
    /* A wider set is taken although it seems slower by so many per cent: less is
     * chance, and its advantage grows with what fits no cache. */
    SLOWER_PERCENT = 5,
};

struct sample {
    float rows[FLOAT_ROWS * DIM];
    int8_t queries[CODE_QUERIES * DIM];
    uint32_t order[CODE_ROWS];
    float distances[FLOAT_ROWS];
    int32_t dots[CODE_QUERIES * CODE_ROWS];
};

/* Some of everything that searches and builds do, in about ten microseconds. */
static void
work(const struct och_kernels *kernels, struct sample *sample)
{
    const uint8_t *codes = (const uint8_t *) sample->rows;
    const struct och_code_kernels *products = kernels->codes;
    for (size_t i = 0; i < WORK_REPEATS; i++) {
        kernels->l2_rows(sample->rows, sample->rows, FLOAT_ROWS, DIM, sample->distances);
        kernels->dot_rows(sample->rows, sample->rows, FLOAT_ROWS, DIM, sample->distances);
        products->dot4_gather(
                sample->queries, codes, DIM, sample->order, CODE_ROWS, DIM, sample->dots);
        products->dot7_gather(codes, codes, DIM, sample->order, CODE_ROWS, DIM, sample->dots);
        products->dot4_block(
                sample->queries, CODE_QUERIES, codes, DIM, CODE_ROWS, DIM, sample->dots);
    }
}

const struct och_kernels *
och_kernels_fastest(struct och_cpu_sets cpu, uint64_t (*now_ns)(void *context), void *context)
{
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    uint64_t least[OCH_KERNEL_SETS_MAX];
    size_t n = och_kernels_all(cpu, sets);
    if (n <= 2) /* the reference is never the faster one */
        return sets[n - 1];

    struct sample sample;
    memset(&sample, 0, sizeof(sample));
    for (uint32_t i = 0; i < CODE_ROWS; i++)
        sample.order[i] = i;
    uint64_t best = UINT64_MAX;
    for (size_t i = 0; i < n; i++)
        least[i] = UINT64_MAX;
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 1; i < n; i++) {
            uint64_t start = now_ns(context);
            work(sets[i], &sample);
            uint64_t spent = now_ns(context) - start;
            least[i] = spent < least[i] ? spent : least[i];
            best = spent < best ? spent : best;
        }
    }
    size_t chosen = n - 1;
    while (least[chosen] * 100 > best * (100 + SLOWER_PERCENT))
        chosen--;
    return sets[chosen];
}
