/*
 * codes.c - how fast the products of codes are.
 *
 *      bench_codes [DIM ...]           default: 128 384 768
 *
 * For each instruction set and dim, nanoseconds a row:
 *
 *      gather4     rows in random order, 16 a call, as walks of a graph ask for them
 *      gather7     the same with 7-bit codes, as building one does
 *      block4 1    rows in order, 64 a call, as exact search does, for one query,
 *      block4 16   and for 16 and 32, nanoseconds a row and query
 *      block4 32
 *
 * from places that the second-level cache holds (512 KiB) and that none does (20 to
 * 400 MB: a million rows at most).  Each figure is the median of seven runs of about
 * 20 ms of processor time.
 */
#include "distance/codes.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/random.h"
#include "distance/distance.h"
#include "os/cpu.h"

enum {
    N_RUNS = 7,
    RUN_NS = 20 * 1000 * 1000,
    GATHER_ROWS = 16,
    BLOCK_ROWS = 64,
    QUERIES_MAX = 32,
    HEADER = 16,
    PADDED_MAX = 4096,
    ORDER = 1 << 16, /* random rows, over and over */
};

/* One figure to take. */
struct setup {
    const struct och_code_kernels *set;
    const uint8_t *codes;
    const uint32_t *order;
    size_t padded, stride, n_rows;
    size_t n_queries; /* block; 0: gather */
    bool seven;
};

static int8_t queries[QUERIES_MAX * PADDED_MAX];
static int32_t out[QUERIES_MAX * BLOCK_ROWS];
static volatile int32_t sink;

static uint64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t) t.tv_sec * UINT64_C(1000000000) + (uint64_t) t.tv_nsec;
}

/* ORDER rows: the random ones, or the first-th stretch of those in order. */
static void
pass(const struct setup *s, size_t first)
{
    const uint8_t *elements = s->codes + HEADER;
    if (s->n_queries == 0) {
        for (size_t i = 0; i < ORDER; i += GATHER_ROWS) {
            if (s->seven)
                s->set->dot7_gather((const uint8_t *) queries, elements, s->stride, s->order + i,
                        GATHER_ROWS, s->padded, out);
            else
                s->set->dot4_gather(
                        queries, elements, s->stride, s->order + i, GATHER_ROWS, s->padded, out);
            sink = out[0];
        }
        return;
    }
    size_t row = first * ORDER % (s->n_rows - BLOCK_ROWS);
    for (size_t i = 0; i < ORDER; i += BLOCK_ROWS) {
        s->set->dot4_block(queries, s->n_queries, elements + row * s->stride, s->stride, BLOCK_ROWS,
                s->padded, out);
        row = row + 2 * BLOCK_ROWS <= s->n_rows ? row + BLOCK_ROWS : 0;
        sink = out[0];
    }
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

/* Nanoseconds a row, median. */
static double
measure(const struct setup *s)
{
    double runs[N_RUNS];
    for (size_t run = 0; run < N_RUNS; run++) {
        uint64_t n_passes = 0, start = now_ns(), spent = 0;
        for (; spent < RUN_NS; spent = now_ns() - start)
            pass(s, n_passes++);
        runs[run] = (double) spent / ((double) n_passes * ORDER);
    }
    qsort(runs, N_RUNS, sizeof(runs[0]), compare_doubles);
    return runs[N_RUNS / 2];
}

static void
report(const struct och_kernels *kernels, const uint8_t *codes, size_t size, size_t dim)
{
    static uint32_t order[ORDER];
    uint64_t seed = 7;
    struct setup s = {.set = kernels->codes, .codes = codes, .order = order};
    s.padded = (dim + 63) / 64 * 64;
    double ns[5];
    for (size_t i = 0; i < 5; i++) {
        static const size_t n_queries[] = {0, 0, 1, 16, 32};
        s.seven = i == 1;
        s.n_queries = n_queries[i];
        s.stride = (HEADER + (s.seven ? s.padded : s.padded / 2) + 63) / 64 * 64;
        s.n_rows = size / s.stride < 1000000 ? size / s.stride : 1000000;
        for (size_t j = 0; j < ORDER; j++)
            order[j] = (uint32_t) och_random_below(&seed, s.n_rows);
        ns[i] = measure(&s) / (double) (s.n_queries == 0 ? 1 : s.n_queries);
    }
    printf("%-12s %5zu  %-7s %9.1f %9.1f %9.1f %9.2f %9.2f\n", kernels->name, dim,
            size > (size_t) 1 << 20 ? "memory" : "L2", ns[0], ns[1], ns[2], ns[3], ns[4]);
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    static const size_t usual_dims[] = {128, 384, 768};
    size_t n_dims = argc > 1 ? (size_t) argc - 1 : sizeof(usual_dims) / sizeof(usual_dims[0]);
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    size_t n_sets = och_kernels_all(och_cpu_detect().sets, sets);

    struct och_mem mem;
    och_mem_init(&mem, NULL);
    size_t size = (size_t) 400 << 20;
    uint8_t *codes = och_mem_take_aligned(&mem, 4096, size);
    if (codes == NULL)
        return EXIT_FAILURE;
    uint64_t seed = 1;
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t bits = och_random(&seed) & UINT64_C(0x7f7f7f7f7f7f7f7f);
        memcpy(codes + i, &bits, sizeof(bits));
    }
    for (size_t i = 0; i < sizeof(queries); i++)
        queries[i] = (int8_t) och_random_below(&seed, 128);

    printf("codes          dim  rows in   gather4   gather7  block4 1        16        32\n");
    for (size_t d = 0; d < n_dims; d++) {
        size_t dim = argc > 1 ? strtoul(argv[d + 1], NULL, 10) : usual_dims[d];
        if (dim == 0 || dim > PADDED_MAX) {
            (void) fprintf(stderr, "bench_codes: \"%s\" is no dim from 1 to 4096\n", argv[d + 1]);
            return EXIT_FAILURE;
        }
        for (size_t i = 1; i < n_sets; i++) {
            if (sets[i]->codes == sets[i - 1]->codes)
                continue;
            report(sets[i], codes, (size_t) 512 << 10, dim);
            report(sets[i], codes, size, dim);
        }
    }
    och_mem_release(&mem, codes, size);
    return EXIT_SUCCESS;
}
