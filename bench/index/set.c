#include "index/set.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CALLS_A_LOOK = 8, /* between two looks at the clock */
    N_QUERIES_MIN = 32,
};

static const double too_low = 0.94;  /* no rate where the recall is below it */
static const double enough = 0.9995; /* no effort beyond the one that reached it */

_Noreturn void
bench_give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

void *
bench_room(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (p == NULL)
        bench_give_up("memory", strerror(errno));
    return p;
}

double
bench_clock_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

static void
read_at(int fd, void *out, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (char *) out + done, size - done, (off_t) (offset + done));
        if (n <= 0)
            bench_give_up("reading the set", n == 0 ? "it ends early" : strerror(errno));
        done += (size_t) n;
    }
}

static int
open_part(const struct bench_set *set, const char *suffix)
{
    char path[4096];
    if ((size_t) snprintf(path, sizeof(path), "%s%s", set->path, suffix) >= sizeof(path))
        bench_give_up(set->path, "too long");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        bench_give_up(path, strerror(errno));
    return fd;
}

/* All of a file of u32 n, u32 width, then n * width values of four bytes. */
static void *
read_table(const struct bench_set *set, const char *suffix, uint32_t *n_out, uint32_t *width_out)
{
    int fd = open_part(set, suffix);
    uint32_t head[2];
    read_at(fd, head, sizeof(head), 0);
    void *values = bench_room((size_t) head[0] * head[1], 4);
    read_at(fd, values, (size_t) head[0] * head[1] * 4, sizeof(head));
    close(fd);
    *n_out = head[0];
    *width_out = head[1];
    return values;
}

void
bench_set_rows(const struct bench_set *set, uint32_t first, uint32_t n, float *out)
{
    size_t row_size = (size_t) set->dim * sizeof(float);
    read_at(set->base, out, n * row_size, 8 + (uint64_t) first * row_size);
}

static double
distance(const struct bench_set *set, uint32_t query, uint32_t row)
{
    const float *q = set->queries + (size_t) query * set->dim;
    double sum = 0, dot = 0, qq = 0, bb = 0;
    bench_set_rows(set, row, 1, set->row);
    for (uint32_t i = 0; i < set->dim; i++) {
        double a = (double) q[i], b = (double) set->row[i];
        sum += (a - b) * (a - b);
        dot += a * b;
        qq += a * a;
        bb += b * b;
    }
    return set->cosine ? 1 - dot / sqrt(qq * bb) : sum;
}

void
bench_set_open(struct bench_set *set, const char *path)
{
    uint32_t head[2], width;
    char metric[8] = {0};
    set->path = path;
    set->name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    set->base = open_part(set, ".base.fbin");
    read_at(set->base, head, sizeof(head), 0);
    set->n = head[0];
    set->dim = head[1];
    set->queries = read_table(set, ".query.fbin", &set->n_queries, &width);
    if (width != set->dim)
        bench_give_up(path, "queries of another dim");
    set->truth = read_table(set, ".gt.ibin", &head[0], &set->n_truth);
    if (head[0] != set->n_queries || set->n_truth < BENCH_K || set->n_queries < N_QUERIES_MIN)
        bench_give_up(path, "a truth of another shape");
    int fd = open_part(set, ".metric");
    read_at(fd, metric, 2, 0);
    close(fd);
    set->cosine = strncmp(metric, "co", 2) == 0;
    set->row = bench_room(set->dim, sizeof(float));
    set->bound = bench_room(set->n_queries, sizeof(double));
    for (uint32_t i = 0; i < set->n_queries; i++) {
        uint32_t tenth = (uint32_t) set->truth[(size_t) i * set->n_truth + BENCH_K - 1];
        set->bound[i] = distance(set, i, tenth) * (1 + 1e-6) + 1e-6;
    }
}

void
bench_set_close(struct bench_set *set)
{
    close(set->base);
    free(set->queries);
    free(set->truth);
    free(set->bound);
    free(set->row);
}

bool
bench_set_is_near(const struct bench_set *set, uint32_t query, uint32_t row)
{
    return row < set->n && distance(set, query, row) <= set->bound[query];
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

double
bench_rate(const struct bench_set *set, const struct bench_options *options, uint32_t n,
        void (*ask)(void *context, uint32_t first, uint32_t n), void *context)
{
    double rates[BENCH_REPEATS_MAX];
    uint32_t first = 0;
    for (unsigned r = 0; r < options->n_repeats; r++) {
        double start = bench_clock_s(CLOCK_PROCESS_CPUTIME_ID), spent = 0;
        uint64_t n_asked = 0;
        while (spent < options->seconds) {
            for (int i = 0; i < CALLS_A_LOOK; i++) {
                ask(context, first, n);
                n_asked += n;
                first += n;
                if (first + n > set->n_queries)
                    first = 0;
            }
            spent = bench_clock_s(CLOCK_PROCESS_CPUTIME_ID) - start;
        }
        rates[r] = (double) n_asked / spent;
    }
    qsort(rates, options->n_repeats, sizeof(rates[0]), compare_doubles);
    return rates[options->n_repeats / 2];
}

bool
bench_is_worth(const struct bench_dial *dial, double recall)
{
    return dial->effort == 0 || recall >= too_low;
}

bool
bench_is_enough(const struct bench_dial *dial, double recall)
{
    return dial->effort != 0 && recall >= enough;
}

static void
add_dials(struct bench_options *options, const char *list, bool goals)
{
    for (const char *p = list; *p != '\0' && options->n_dials < BENCH_DIALS_MAX;) {
        char *end;
        double value = strtod(p, &end);
        if (end == p || value <= 0)
            bench_give_up(list, "not a list of numbers");
        options->dials[options->n_dials++] = goals
                ? (struct bench_dial){.recall = (float) value}
                : (struct bench_dial){.effort = (uint32_t) value};
        p = *end == ',' ? end + 1 : end;
    }
}

void
bench_options_read(struct bench_options *options, int argc, char **argv, int first)
{
    *options = (struct bench_options){.n_threads = 1, .seconds = 0.25, .n_repeats = 3};
    optind = first;
    for (int o = getopt(argc, argv, "t:e:g:s:r:"); o != -1; o = getopt(argc, argv, "t:e:g:s:r:")) {
        if (o == 't')
            options->n_threads = (unsigned) strtoul(optarg, NULL, 10);
        else if (o == 's')
            options->seconds = strtod(optarg, NULL);
        else if (o == 'r')
            options->n_repeats = (unsigned) strtoul(optarg, NULL, 10);
        else if (o == 'e' || o == 'g')
            add_dials(options, optarg, o == 'g');
        else
            exit(2);
    }
    if (options->n_repeats < 1 || options->n_repeats > BENCH_REPEATS_MAX)
        bench_give_up("-r", "from 1 to 31");
}
