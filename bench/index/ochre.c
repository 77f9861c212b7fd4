/*
 * ochre.c - the vector index through the C API: build, search, exact.
 *
 *      bench_index build  SET DIR [-t THREADS]
 *      bench_index search SET DIR [-e EFFORT,...] [-g RECALL,...] [-s SECONDS] [-r REPEATS]
 *      bench_index exact  SET DIR [-s SECONDS] [-r REPEATS]
 *
 * SET is the path of a set (set.h), DIR the database.  One JSON line a figure, of
 * the shape that peers.py prints.
 *
 * build   adds all vectors in batches of 1000, merges what was written into one
 *         segment with its graph, and closes.  The time is that of both.
 * search  one query a call, one thread, no background threads: for each effort
 *         (candidates kept) or goal (recall asked for) the rate and the recall@10.
 * exact   every row looked at: one query a call, and 32.
 *
 * Rates are by the processor's clock of the whole process, so work that moved to
 * another thread would count; with two threads the build is by the wall's.
 */
#include "ochre/ochre.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "index/set.h"

enum {
    BATCH_ROWS = 1000,
    BATCH_QUERIES = 32,
};

static void
must(ochre_status status, const char *what, const struct ochre_error *err)
{
    if (status != OCHRE_OK)
        bench_give_up(what, err->message);
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
        bench_give_up("/proc/self/status", strerror(errno));
    while (fgets(line, sizeof(line), f) != NULL) {
        if (strncmp(line, "RssAnon:", 8) == 0 || strncmp(line, "RssFile:", 8) == 0)
            sum += strtoull(line + 8, NULL, 10) * 1024;
    }
    fclose(f);
    return sum;
}

/* --- build -------------------------------------------------------------------- */

static void
add_all(const struct bench_set *set, ochre_collection *collection)
{
    struct ochre_error err;
    struct ochre_bytes *ids = bench_room(BATCH_ROWS, sizeof(*ids));
    char(*text)[12] = bench_room(BATCH_ROWS, sizeof(*text));
    float *vectors = bench_room((size_t) BATCH_ROWS * set->dim, sizeof(float));
    for (uint32_t first = 0; first < set->n; first += BATCH_ROWS) {
        uint32_t n = set->n - first < BATCH_ROWS ? set->n - first : BATCH_ROWS;
        bench_set_rows(set, first, n, vectors);
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
build(const struct bench_set *set, const char *directory, unsigned n_threads)
{
    struct ochre_error err;
    ochre_db *db;
    ochre_collection *collection;
    /* One thread is this one; the library's own come on top of it. */
    struct ochre_options options = {
            .size = sizeof(options), .n_threads = n_threads > 1 ? n_threads : 0};
    struct ochre_collection_options shape = {
            .size = sizeof(shape), .space = set->cosine ? OCHRE_SPACE_COSINE : OCHRE_SPACE_L2};
    must(ochre_open(directory, &options, &db, &err), "open", &err);
    must(ochre_collection_create(db, "bench", &shape, &collection, &err), "create", &err);
    double wall = bench_clock_s(CLOCK_MONOTONIC), cpu = bench_clock_s(CLOCK_PROCESS_CPUTIME_ID);
    add_all(set, collection);
    double added = bench_clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
#ifdef BENCH_COMPACT
    must(ochre_compact(db, &err), "compact", &err);
#else
    must(ochre_seal(db, &err), "seal", &err);
#endif
    wall = bench_clock_s(CLOCK_MONOTONIC) - wall;
    cpu = bench_clock_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    bool single = n_threads <= 1;
    printf("{\"engine\": \"ochre\", \"set\": \"%s\", \"what\": \"build\", \"threads\": %u, "
           "\"rows\": %u, \"wall_s\": %.2f, \"cpu_s\": %.2f, \"add_cpu_s\": %.2f, "
           "\"rate\": %.1f, \"clock\": \"%s\"}\n",
            set->name, n_threads, set->n, wall, cpu, added, set->n / (single ? cpu : wall),
            single ? "cpu" : "wall");
    ochre_collection_close(collection);
    ochre_close(db);
}

/* --- search ------------------------------------------------------------------- */

/* One collection, asked one way. */
struct asked {
    const struct bench_set *set;
    ochre_collection *collection;
    const struct bench_dial *dial;
};

static ochre_result *
result_of(const struct asked *asked, uint32_t first, uint32_t n)
{
    struct ochre_error err;
    ochre_result *result;
    struct ochre_query query = {.size = sizeof(query),
            .queries = asked->set->queries + (size_t) first * asked->set->dim,
            .n_queries = n,
            .dim = asked->set->dim,
            .k = BENCH_K,
            .include = OCHRE_INCLUDE_DISTANCES,
            .exact = asked->dial->exact,
            .recall_target = asked->dial->recall,
            .effort = asked->dial->effort};
    must(ochre_query(asked->collection, &query, &result, &err), "query", &err);
    return result;
}

static void
ask(void *context, uint32_t first, uint32_t n)
{
    ochre_result_close(result_of(context, first, n));
}

static double
recall_of(const struct asked *asked, uint32_t n_queries)
{
    uint64_t right = 0;
    for (uint32_t i = 0; i < n_queries; i++) {
        ochre_result *result = result_of(asked, i, 1);
        size_t n_hits;
        const struct ochre_hit *hits = ochre_result_hits(result, 0, &n_hits);
        for (size_t j = 0; j < n_hits; j++) {
            char id[12] = {0};
            if (hits[j].id.size < sizeof(id))
                memcpy(id, hits[j].id.data, hits[j].id.size);
            right += bench_set_is_near(asked->set, i, (uint32_t) strtoul(id, NULL, 10));
        }
        ochre_result_close(result);
    }
    return (double) right / ((double) n_queries * BENCH_K);
}

static void
say_exact(struct asked *asked, const struct bench_options *options)
{
    const struct bench_set *set = asked->set;
    double recall = recall_of(asked, BATCH_QUERIES);
    double one = bench_rate(set, options, 1, ask, asked);
    double many = bench_rate(set, options, BATCH_QUERIES, ask, asked);
    printf("{\"engine\": \"ochre\", \"set\": \"%s\", \"what\": \"exact\", \"batch\": 1, "
           "\"recall\": %.5f, \"qps\": %.2f, \"gbps\": %.2f}\n",
            set->name, recall, one, one * set->n * set->dim * 4 / 1e9);
    printf("{\"engine\": \"ochre\", \"set\": \"%s\", \"what\": \"exact\", \"batch\": %d, "
           "\"recall\": %.5f, \"qps\": %.2f, \"gbps\": null}\n",
            set->name, BATCH_QUERIES, recall, many);
}

static void
say_dials(struct asked *asked, const struct bench_options *options)
{
    const struct bench_set *set = asked->set;
    bool enough = false;
    for (size_t i = 0; i < options->n_dials; i++) {
        const struct bench_dial *dial = asked->dial = &options->dials[i];
        if (enough && dial->effort != 0)
            continue;
        double recall = recall_of(asked, set->n_queries);
        enough = enough || bench_is_enough(dial, recall);
        if (!bench_is_worth(dial, recall))
            continue;
        printf("{\"engine\": \"ochre\", \"set\": \"%s\", \"what\": \"%s\", \"effort\": %u, "
               "\"goal\": %g, \"recall\": %.5f, \"qps\": %.1f}\n",
                set->name, dial->effort != 0 ? "search" : "goal", dial->effort,
                (double) dial->recall, recall, bench_rate(set, options, 1, ask, asked));
        fflush(stdout);
    }
}

static void
search(const struct bench_set *set, const char *directory, const struct bench_options *options,
        bool exact)
{
    static const struct bench_dial all_rows = {.exact = true};
    struct ochre_error err;
    ochre_db *db;
    ochre_collection *collection;
    struct ochre_options opening = {.size = sizeof(opening), .must_exist = true};
    uint64_t before = resident();
    must(ochre_open(directory, &opening, &db, &err), "open", &err);
    must(ochre_collection_open(db, NULL, NULL, "bench", &collection, &err), "collection", &err);
    struct asked asked = {.set = set, .collection = collection, .dial = &all_rows};
    if (exact) {
        say_exact(&asked, options);
    } else {
        say_dials(&asked, options);
        printf("{\"engine\": \"ochre\", \"set\": \"%s\", \"what\": \"memory\", "
               "\"bytes_per_vector\": %.1f}\n",
                set->name, (double) (resident() - before) / set->n);
    }
    ochre_collection_close(collection);
    ochre_close(db);
}

int
main(int argc, char **argv)
{
    struct bench_options options;
    struct bench_set set;
    if (argc < 4) {
        fputs("usage: bench_index build|search|exact SET DIR [-t THREADS] [-e EFFORT,...] "
              "[-g RECALL,...] [-s SECONDS] [-r REPEATS]\n",
                stderr);
        return 2;
    }
    bench_options_read(&options, argc, argv, 4);
    if (options.n_dials == 0)
        options.n_dials = 1; /* as the collection likes */
    bench_set_open(&set, argv[2]);
    if (strcmp(argv[1], "build") == 0)
        build(&set, argv[3], options.n_threads);
    else
        search(&set, argv[3], &options, strcmp(argv[1], "exact") == 0);
    bench_set_close(&set);
    return 0;
}
