/*
 * kernels.c - how fast the distance kernels are.
 *
 *      bench_kernels [DIM ...]         default: 128 384 768 1536
 *
 * One query against rows, for each instruction set, measure and dim, from three
 * places: rows that fit the first-level cache (16 KiB), the second-level cache
 * (512 KiB), and none (256 MiB).  "single" calls the pair kernel row by row,
 * "rows" the block kernel with 256 rows a call, as exact search does.
 *
 * Each figure is the median of seven runs of about 20 ms of processor time.
 */
#include <math.h>
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
    ROWS_PER_CALL = 256,
    RUN_NS = 20 * 1000 * 1000,
};

struct place {
    const char *name;
    size_t size;
};

static const struct place places[] = {
        {"L1", (size_t) 16 << 10},
        {"L2", (size_t) 512 << 10},
        {"memory", (size_t) 256 << 20},
};

/* One figure to take. */
struct setup {
    const float *query, *rows;
    size_t dim, n_rows;
    float (*single)(const float *a, const float *b, size_t dim);
    void (*block)(const float *query, const float *rows, size_t n, size_t dim, float *out);
};

/* Results go here, so that no compiler finds out that nobody needs them. */
static volatile float sink;

static uint64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t) t.tv_sec * UINT64_C(1000000000) + (uint64_t) t.tv_nsec;
}

/* Measure the query against every row once. */
static void
pass(const struct setup *s)
{
    float out[ROWS_PER_CALL];
    for (size_t row = 0; row < s->n_rows; row += ROWS_PER_CALL) {
        size_t n = s->n_rows - row < ROWS_PER_CALL ? s->n_rows - row : ROWS_PER_CALL;
        if (s->block != NULL) {
            s->block(s->query, s->rows + row * s->dim, n, s->dim, out);
        } else {
            for (size_t i = 0; i < n; i++)
                out[i] = s->single(s->query, s->rows + (row + i) * s->dim, s->dim);
        }
        sink = out[n - 1];
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
        while (spent < RUN_NS) {
            uint64_t n = (size_t) 1 + ((size_t) 1 << 20) / (s->n_rows * s->dim);
            for (uint64_t i = 0; i < n; i++)
                pass(s);
            n_passes += n;
            spent = now_ns() - start;
        }
        runs[run] = (double) spent / (double) (n_passes * s->n_rows);
    }
    qsort(runs, N_RUNS, sizeof(runs[0]), compare_doubles);
    return runs[N_RUNS / 2];
}

static void
report(const struct och_kernels *kernels, const struct place *place, struct setup s, bool is_l2)
{
    size_t row_size = s.dim * sizeof(float);
    s.n_rows = place->size / row_size < 4 ? 4 : place->size / row_size;

    s.single = is_l2 ? kernels->l2 : kernels->dot;
    double single_ns = measure(&s);
    s.block = is_l2 ? kernels->l2_rows : kernels->dot_rows;
    double rows_ns = measure(&s);
    printf("%-7s %-4s %5zu  %-7s %9.1f %9.1f %9.1f %9.1f\n", kernels->name, is_l2 ? "l2" : "dot",
            s.dim, place->name, (double) row_size / single_ns, 1e3 / single_ns,
            (double) row_size / rows_ns, 1e3 / rows_ns);
}

int
main(int argc, char **argv)
{
    static const size_t usual_dims[] = {128, 384, 768, 1536};
    size_t n_dims = argc > 1 ? (size_t) argc - 1 : sizeof(usual_dims) / sizeof(usual_dims[0]);

    struct och_cpu cpu = och_cpu_detect();
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    size_t n_sets = och_kernels_all(cpu.sets, sets);

    struct och_mem mem;
    och_mem_init(&mem, NULL);
    size_t size = places[2].size;
    float *rows = och_mem_take_aligned(&mem, 4096, size);
    if (rows == NULL)
        return EXIT_FAILURE;
    uint64_t seed = 1;
    for (size_t i = 0; i < size / sizeof(float); i++)
        rows[i] = och_random_f32(&seed);

    printf("kernels          dim  rows in  single: GB/s   M/s    rows: GB/s     M/s\n");
    for (size_t d = 0; d < n_dims; d++) {
        size_t dim = argc > 1 ? strtoul(argv[d + 1], NULL, 10) : usual_dims[d];
        if (dim == 0 || dim > size / sizeof(float) / 4) {
            (void) fprintf(stderr, "bench_kernels: \"%s\" is no dim from 1 on\n", argv[d + 1]);
            return EXIT_FAILURE;
        }
        for (size_t i = 0; i < n_sets * 6; i++) {
            struct setup s = {.query = rows + 1000, .rows = rows, .dim = dim};
            report(sets[i / 6], &places[i % 3], s, i / 3 % 2 == 0);
        }
    }
    och_mem_release(&mem, rows, size);
    return EXIT_SUCCESS;
}
