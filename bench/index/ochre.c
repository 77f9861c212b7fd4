/*
 * ochre.c - the vector index through the C API: build, search, exact.
 *
 *      bench_index build  SET DIR [-t THREADS]
 *      bench_index search SET DIR [-e EFFORT,...] [-g RECALL,...] [-s SECONDS] [-r REPEATS]
 *      bench_index exact  SET DIR [-s SECONDS] [-r REPEATS]
 *
 * SET names SET.base.fbin, SET.query.fbin, SET.gt.ibin and SET.metric (see
 * bench/load/vecio.py); DIR is the database.  One JSON line a figure, of the shape
 * that peers.py prints.
 *
 * build   adds all vectors in batches of 1000, merges what was written into one
 *         segment with its graph, and closes.  The time is that of both.
 * search  one query a call, one thread, no background threads: for each effort
 *         (candidates kept) or goal (recall asked for) the rate and the recall@10.
 * exact   every row looked at: one query a call, and 32.
 *
 * Rates are by the processor's clock of the whole process, so work that moved to
 * another thread would count; with two threads the build is by the wall's.
 *
 * An answer counts as right when it is as near as the tenth nearest, computed in
 * double precision from the vectors: ties count.
 */
#include "ochre/ochre.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    K = 10,
    BATCH_ROWS = 1000,
    BATCH_QUERIES = 32,
    CALLS_A_LOOK = 8, /* between two looks at the clock */
    N_DIALS_MAX = 64,
    N_REPEATS_MAX = 31,
};

static const double too_low = 0.94;  /* no rate where the recall is below it */
static const double enough = 0.9995; /* no effort beyond the one that reached it */

struct set {
    const char *path, *name;
    int base; /* rows are read when they are needed: they are not an index's memory */
    uint32_t n, dim, n_queries, n_truth;
    float *queries; /* [n_queries][dim] */
    int32_t *truth; /* [n_queries][n_truth] */
    double *bound;  /* of the tenth nearest, by query */
    float *row;     /* [dim], room for one row */
    bool cosine;
};

/* One way to ask. */
struct dial {
    uint32_t effort;
    float recall;
    bool exact;
};

struct arguments {
    const char *phase, *directory;
    unsigned n_threads;
    double seconds;
    unsigned n_repeats;
    struct dial dials[N_DIALS_MAX];
    size_t n_dials;
};

static _Noreturn void
give_up(const char *what, const char *why)
{
    fprintf(stderr, "bench_index: %s: %s\n", what, why);
    exit(1);
}

static void
must(ochre_status status, const char *what, const struct ochre_error *err)
{
    if (status != OCHRE_OK)
        give_up(what, err->message);
}

static void *
room(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (p == NULL)
        give_up("memory", strerror(errno));
    return p;
}

static double
clock_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double) t.tv_sec + (double) t.tv_nsec * 1e-9;
}

/* --- the set ------------------------------------------------------------------ */

static void
read_at(int fd, void *out, size_t size, uint64_t offset)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(fd, (char *) out + done, size - done, (off_t) (offset + done));
        if (n <= 0)
            give_up("reading the set", n == 0 ? "it ends early" : strerror(errno));
        done += (size_t) n;
    }
}

static int
open_part(const struct set *set, const char *suffix)
{
    char path[4096];
    if ((size_t) snprintf(path, sizeof(path), "%s%s", set->path, suffix) >= sizeof(path))
        give_up(set->path, "too long");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        give_up(path, strerror(errno));
    return fd;
}

/* All of a file of u32 n, u32 width, then n * width values of four bytes. */
static void *
read_table(const struct set *set, const char *suffix, uint32_t *n_out, uint32_t *width_out)
{
    int fd = open_part(set, suffix);
    uint32_t head[2];
    read_at(fd, head, sizeof(head), 0);
    void *values = room((size_t) head[0] * head[1], 4);
    read_at(fd, values, (size_t) head[0] * head[1] * 4, sizeof(head));
    close(fd);
    *n_out = head[0];
    *width_out = head[1];
    return values;
}

static void
read_rows(const struct set *set, uint32_t first, uint32_t n, float *out)
{
    size_t row_size = (size_t) set->dim * sizeof(float);
    read_at(set->base, out, n * row_size, 8 + (uint64_t) first * row_size);
}

static double
distance(const struct set *set, uint32_t query, uint32_t row)
{
    const float *q = set->queries + (size_t) query * set->dim;
    double sum = 0, dot = 0, qq = 0, bb = 0;
    read_rows(set, row, 1, set->row);
    for (uint32_t i = 0; i < set->dim; i++) {
        double a = (double) q[i], b = (double) set->row[i];
        sum += (a - b) * (a - b);
        dot += a * b;
        qq += a * a;
        bb += b * b;
    }
    return set->cosine ? 1 - dot / sqrt(qq * bb) : sum;
}

static void
open_set(struct set *set, const char *path)
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
        give_up(path, "queries of another dim");
    set->truth = read_table(set, ".gt.ibin", &head[0], &set->n_truth);
    if (head[0] != set->n_queries || set->n_truth < K || set->n_queries < BATCH_QUERIES)
        give_up(path, "a truth of another shape");
    int fd = open_part(set, ".metric");
    read_at(fd, metric, 2, 0);
    close(fd);
    set->cosine = strncmp(metric, "co", 2) == 0;
    set->row = room(set->dim, sizeof(float));
    set->bound = room(set->n_queries, sizeof(double));
    for (uint32_t i = 0; i < set->n_queries; i++) {
        uint32_t tenth = (uint32_t) set->truth[(size_t) i * set->n_truth + K - 1];
        set->bound[i] = distance(set, i, tenth) * (1 + 1e-6) + 1e-6;
    }
}

/* --- memory ------------------------------------------------------------------- */

/* Resident bytes: anonymous and of mapped files. */
static uint64_t
resident(void)
{
    char line[256];
    uint64_t sum = 0;
    FILE *f = fopen("/proc/self/status", "re");
    if (f == NULL)
        give_up("/proc/self/status", strerror(errno));
    while (fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "RssAnon:", 8) == 0 || strncmp(line, "RssFile:", 8) == 0)
            sum += strtoull(line + 8, NULL, 10) * 1024;
    }
    fclose(f);
    return sum;
}

/* --- build -------------------------------------------------------------------- */

static void
add_all(const struct set *set, ochre_collection *collection)
{
    struct ochre_error err;
    struct ochre_bytes *ids = room(BATCH_ROWS, sizeof(*ids));
    char(*text)[12] = room(BATCH_ROWS, sizeof(*text));
    float *vectors = room((size_t) BATCH_ROWS * set->dim, sizeof(float));
    for (uint32_t first = 0; first < set->n; first += BATCH_ROWS) {
        uint32_t n = set->n - first < BATCH_ROWS ? set->n - first : BATCH_ROWS;
        read_rows(set, first, n, vectors);
        for (uint32_t i = 0; i < n; i++) {
            int length = snprintf(text[i], sizeof(text[i]), "%u", first + i);
            ids[i] = (struct ochre_bytes){text[i], (size_t) length};
        }
        struct ochre_records records = {.n = n, .ids = ids, .embeddings = vectors, .dim = set->dim};
        must(ochre_add(collection, &records, &err), "add", &err);
    }
    free(vectors);
    free(text);
    free(ids);
}

static void
build(const struct set *set, const struct arguments *args)
{
    struct ochre_error err;
    ochre_db *db;
    ochre_collection *collection;
    /* One thread is this one; the library's own come on top of it. */
    struct ochre_options options = {
            .size = sizeof(options), .n_threads = args->n_threads > 1 ? args->n_threads : 0};
    struct ochre_collection_options shape = {
            .size = sizeof(shape), .space = set->cosine ? OCHRE_SPACE_COSINE : OCHRE_SPACE_L2};
    must(ochre_open(args->directory, &options, &db, &err), "open", &err);
    must(ochre_collection_create(db, "bench", &shape, &collection, &err), "create", &err);
    double wall = clock_s(CLOCK_MONOTONIC), cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID);
    add_all(set, collection);
    double added = clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
#ifdef BENCH_COMPACT
    must(ochre_compact(db, &err), "compact", &err);
#else
    must(ochre_seal(db, &err), "seal", &err);
#endif
    wall = clock_s(CLOCK_MONOTONIC) - wall;
    cpu = clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    bool single = args->n_threads <= 1;
    printf("{\"engine\": \"ochre\", \"set\": \"%s\", \"what\": \"build\", \"threads\": %u, "
           "\"rows\": %u, \"wall_s\": %.2f, \"cpu_s\": %.2f, \"add_cpu_s\": %.2f, "
           "\"rate\": %.1f, \"clock\": \"%s\"}\n",
            set->name, args->n_threads, set->n, wall, cpu, added, set->n / (single ? cpu : wall),
            single ? "cpu" : "wall");
    ochre_collection_close(collection);
    ochre_close(db);
}

/* --- search ------------------------------------------------------------------- */

static ochre_result *
ask(ochre_collection *collection, const struct set *set, const struct dial *dial, uint32_t first,
        uint32_t n)
{
    struct ochre_error err;
    ochre_result *result;
    struct ochre_query query = {.size = sizeof(query),
            .queries = set->queries + (size_t) first * set->dim,
            .n_queries = n,
            .dim = set->dim,
            .k = K,
            .include = OCHRE_INCLUDE_DISTANCES,
            .exact = dial->exact,
            .recall_target = dial->recall,
            .effort = dial->effort};
    must(ochre_query(collection, &query, &result, &err), "query", &err);
    return result;
}

static double
recall_of(ochre_collection *collection, const struct set *set, const struct dial *dial,
        uint32_t n_queries)
{
    uint64_t right = 0;
    for (uint32_t i = 0; i < n_queries; i++) {
        ochre_result *result = ask(collection, set, dial, i, 1);
        size_t n_hits;
        const struct ochre_hit *hits = ochre_result_hits(result, 0, &n_hits);
        for (size_t j = 0; j < n_hits; j++) {
            char id[12] = {0};
            if (hits[j].id.size < sizeof(id))
                memcpy(id, hits[j].id.data, hits[j].id.size);
            right += distance(set, i, (uint32_t) strtoul(id, NULL, 10)) <= set->bound[i];
        }
        ochre_result_close(result);
    }
    return (double) right / ((double) n_queries * K);
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

/* Queries a second of processor time: the median of the repeats. */
static double
rate_of(ochre_collection *collection, const struct set *set, const struct dial *dial,
        uint32_t n_a_call, const struct arguments *args)
{
    double rates[N_REPEATS_MAX];
    uint32_t first = 0;
    for (unsigned r = 0; r < args->n_repeats; r++) {
        double start = clock_s(CLOCK_PROCESS_CPUTIME_ID), spent = 0;
        uint64_t n = 0;
        while (spent < args->seconds) {
            for (int i = 0; i < CALLS_A_LOOK; i++) {
                ochre_result_close(ask(collection, set, dial, first, n_a_call));
                n += n_a_call;
                first += n_a_call;
                if (first + n_a_call > set->n_queries)
                    first = 0;
            }
            spent = clock_s(CLOCK_PROCESS_CPUTIME_ID) - start;
        }
        rates[r] = (double) n / spent;
    }
    qsort(rates, args->n_repeats, sizeof(rates[0]), compare_doubles);
    return rates[args->n_repeats / 2];
}

static void
search(const struct set *set, const struct arguments *args)
{
    struct ochre_error err;
    ochre_db *db;
    ochre_collection *collection;
    struct ochre_options options = {.size = sizeof(options), .must_exist = true};
    uint64_t before = resident();
    must(ochre_open(args->directory, &options, &db, &err), "open", &err);
    must(ochre_collection_open(db, NULL, NULL, "bench", &collection, &err), "collection", &err);
    bool is_exact = strcmp(args->phase, "exact") == 0, reached = false;
    for (size_t i = 0; i < args->n_dials; i++) {
        const struct dial *dial = &args->dials[i];
        if (reached && dial->effort != 0)
            continue;
        double recall = recall_of(collection, set, dial, is_exact ? BATCH_QUERIES : set->n_queries);
        if (is_exact) {
            double one = rate_of(collection, set, dial, 1, args);
            double many = rate_of(collection, set, dial, BATCH_QUERIES, args);
            printf("{\"engine\": \"ochre\", \"set\": \"%s\", \"what\": \"exact\", \"batch\": 1, "
                   "\"recall\": %.5f, \"qps\": %.2f, \"gbps\": %.2f}\n",
                    set->name, recall, one, one * set->n * set->dim * 4 / 1e9);
            printf("{\"engine\": \"ochre\", \"set\": \"%s\", \"what\": \"exact\", \"batch\": %d, "
                   "\"recall\": %.5f, \"qps\": %.2f, \"gbps\": null}\n",
                    set->name, BATCH_QUERIES, recall, many);
            continue;
        }
        if (dial->effort != 0 && recall < too_low)
            continue;
        double rate = rate_of(collection, set, dial, 1, args);
        printf("{\"engine\": \"ochre\", \"set\": \"%s\", \"what\": \"%s\", \"effort\": %u, "
               "\"goal\": %g, \"recall\": %.5f, \"qps\": %.1f}\n",
                set->name, dial->effort != 0 ? "search" : "goal", dial->effort,
                (double) dial->recall, recall, rate);
        fflush(stdout);
        reached = reached || (dial->effort != 0 && recall >= enough);
    }
    if (!is_exact)
        printf("{\"engine\": \"ochre\", \"set\": \"%s\", \"what\": \"memory\", "
               "\"bytes_per_vector\": %.1f}\n",
                set->name, (double) (resident() - before) / set->n);
    ochre_collection_close(collection);
    ochre_close(db);
}

/* --- arguments ---------------------------------------------------------------- */

static void
add_dials(struct arguments *args, const char *list, bool goals)
{
    for (const char *p = list; *p != '\0' && args->n_dials < N_DIALS_MAX;) {
        char *end;
        double value = strtod(p, &end);
        if (end == p || value <= 0)
            give_up(list, "not a list of numbers");
        args->dials[args->n_dials++] = goals ? (struct dial){.recall = (float) value}
                                             : (struct dial){.effort = (uint32_t) value};
        p = *end == ',' ? end + 1 : end;
    }
}

int
main(int argc, char **argv)
{
    struct arguments args = {.n_threads = 1, .seconds = 0.25, .n_repeats = 3};
    struct set set = {.base = -1};
    if (argc < 4) {
        fputs("usage: bench_index build|search|exact SET DIR [-t THREADS] [-e EFFORT,...] "
              "[-g RECALL,...] [-s SECONDS] [-r REPEATS]\n",
                stderr);
        return 2;
    }
    args.phase = argv[1];
    args.directory = argv[3];
    optind = 4;
    for (int o = getopt(argc, argv, "t:e:g:s:r:"); o != -1; o = getopt(argc, argv, "t:e:g:s:r:")) {
        if (o == 't')
            args.n_threads = (unsigned) strtoul(optarg, NULL, 10);
        else if (o == 's')
            args.seconds = strtod(optarg, NULL);
        else if (o == 'r')
            args.n_repeats = (unsigned) strtoul(optarg, NULL, 10);
        else if (o == 'e' || o == 'g')
            add_dials(&args, optarg, o == 'g');
        else
            return 2;
    }
    if (args.n_repeats < 1 || args.n_repeats > N_REPEATS_MAX)
        give_up("-r", "from 1 to 31");
    if (strcmp(args.phase, "exact") == 0)
        args.n_dials = 0;
    if (args.n_dials == 0)
        args.dials[args.n_dials++] = (struct dial){.exact = true};
    open_set(&set, argv[2]);
    if (strcmp(args.phase, "build") == 0)
        build(&set, &args);
    else
        search(&set, &args);
    close(set.base);
    free(set.queries);
    free(set.truth);
    free(set.bound);
    free(set.row);
    return 0;
}
