/*
 * set.h - vectors, queries and truth out of files, and what measuring needs.
 *
 * A set is NAME.base.fbin, NAME.query.fbin, NAME.gt.ibin and NAME.metric; see
 * bench/load/vecio.py.  Whatever goes wrong ends the program with a message.
 *
 * An answer counts as right when it is as near as the tenth nearest, computed in
 * double precision from the vectors: ties count.
 *
 * Threads: one.
 */
#ifndef OCH_BENCH_INDEX_SET_H
#define OCH_BENCH_INDEX_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { BENCH_K = 10, BENCH_DIALS_MAX = 64, BENCH_REPEATS_MAX = 31 };

struct bench_set {
    const char *path, *name;
    int base; /* rows are read when they are needed: they are not an index's memory */
    uint32_t n, dim, n_queries, n_truth;
    float *queries; /* [n_queries][dim] */
    int32_t *truth; /* [n_queries][n_truth] */
    double *bound;  /* of the tenth nearest, by query */
    float *row;     /* [dim], room for one row */
    bool cosine;
};

/* One way to ask; all zero: as the index likes. */
struct bench_dial {
    uint32_t effort;
    float recall;
    bool exact;
};

/* What the programs' options say. */
struct bench_options {
    unsigned n_threads;
    double seconds; /* of one repeat */
    unsigned n_repeats;
    struct bench_dial dials[BENCH_DIALS_MAX];
    size_t n_dials;
};

_Noreturn void bench_give_up(const char *what, const char *why);
void *bench_room(size_t n, size_t size); /* zeroed; free() it */
double bench_clock_s(clockid_t clock);

void bench_set_open(struct bench_set *set, const char *path);
void bench_set_close(struct bench_set *set);
void bench_set_rows(const struct bench_set *set, uint32_t first, uint32_t n, float *out);

/* Is the row a right answer to the query? */
bool bench_set_is_near(const struct bench_set *set, uint32_t query, uint32_t row);

/* [-t THREADS] [-e EFFORT,...] [-g RECALL,...] [-s SECONDS] [-r REPEATS] from argv[first] on. */
void bench_options_read(struct bench_options *options, int argc, char **argv, int first);

/*
 * Queries a second of this process's processor time, so that work which moved to
 * another thread counts: the median of the repeats.  `ask` takes n queries from
 * number `first` on.
 */
double bench_rate(const struct bench_set *set, const struct bench_options *options, uint32_t n,
        void (*ask)(void *context, uint32_t first, uint32_t n), void *context);

/* Is this dial worth a rate, after recall so far?  Efforts whose recall is low, and those
 * past the one that reached nearly all, are not. */
bool bench_is_worth(const struct bench_dial *dial, double recall);
bool bench_is_enough(const struct bench_dial *dial, double recall);

#endif /* OCH_BENCH_INDEX_SET_H */
