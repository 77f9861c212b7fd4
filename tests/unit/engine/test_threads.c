/*
 * test_threads.c - many threads on one database in a real directory, through the
 * public interface: what each wrote it reads, nobody sees half of a batch, and
 * in the end everything is there, before and after a restart.
 *
 * Run under ThreadSanitizer (`make check-tsan`) it also shows that nothing is
 * read while it is written.
 */
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "ochre/ochre.h"
#include "os/thread.h"
#include "support/check.h"

enum {
    WRITERS = 4,
    READERS = 3,
    ROUNDS = 30,     /* batches of each writer in the shared collection */
    BATCH = 12,      /* records of each */
    CHURNS = 15,     /* collections that come and go */
    SEAL_ROWS = 100, /* so that heads fill up all the time */
    DIM = 4
};

static ochre_db *db;
static atomic_bool done;                   /* the writers are */
static atomic_int latest[WRITERS][ROUNDS]; /* the batch's tag, 0: not there */

/* A check on any thread: cmocka's may be used on the test's own only. */
static void
must(bool condition, const char *what, const struct ochre_error *err)
{
    if (condition)
        return;
    (void) fprintf(stderr, "%s: %s\n", what, err == NULL ? "" : err->message);
    abort();
}

/* --- requests ----------------------------------------------------------------------- */

struct batch {
    char texts[BATCH][32];
    struct ochre_bytes ids[BATCH], documents[BATCH];
    struct ochre_field fields[BATCH][2];
    struct ochre_metadata metadatas[BATCH];
    float vectors[BATCH * DIM];
    struct ochre_records records;
};

/* Records "<prefix><writer>-<round>-<i>" that say which batch and tag they are of. */
static void
fill(struct batch *batch, char prefix, int writer, int round, int tag)
{
    for (int i = 0; i < BATCH; i++) {
        int length = snprintf(
                batch->texts[i], sizeof(batch->texts[i]), "%c%d-%d-%d", prefix, writer, round, i);
        batch->ids[i] = (struct ochre_bytes){batch->texts[i], (size_t) length};
        batch->documents[i] = batch->ids[i];
        batch->fields[i][0] = (struct ochre_field){
                {"batch", 5}, {.type = OCHRE_VALUE_INT, .as.integer = writer * 1000 + round}};
        batch->fields[i][1] =
                (struct ochre_field){{"tag", 3}, {.type = OCHRE_VALUE_INT, .as.integer = tag}};
        batch->metadatas[i] = (struct ochre_metadata){batch->fields[i], 2};
        for (int d = 0; d < DIM; d++)
            batch->vectors[i * DIM + d] = (float) (writer + round * d + i);
    }
    batch->records = (struct ochre_records){.n = BATCH,
            .ids = batch->ids,
            .embeddings = batch->vectors,
            .dim = DIM,
            .documents = batch->documents,
            .metadatas = batch->metadatas};
}

static struct ochre_filter_node
batch_is(int writer, int round)
{
    return (struct ochre_filter_node){.op = OCHRE_FILTER_EQ,
            .size = 1,
            .key = {"batch", 5},
            .value = {.type = OCHRE_VALUE_INT, .as.integer = writer * 1000 + round}};
}

static int64_t
value_of(const struct ochre_hit *hit, const char *key)
{
    for (size_t i = 0; i < hit->metadata.n_fields; i++) {
        const struct ochre_field *field = &hit->metadata.fields[i];
        if (field->key.size == strlen(key) && memcmp(field->key.data, key, field->key.size) == 0)
            return field->value.as.integer;
    }
    must(false, "a record without its metadata", NULL);
    return 0;
}

/* Read a batch: 0, or the tag that all of its records have. */
static int
read_batch(ochre_collection *collection, int writer, int round)
{
    struct ochre_error err;
    struct ochre_filter_node node = batch_is(writer, round);
    struct ochre_get get = {.selection = {.filter = {&node, 1}},
            .limit = UINT64_MAX,
            .include = OCHRE_INCLUDE_METADATAS};
    ochre_result *result;
    must(ochre_get(collection, &get, &result, &err) == OCHRE_OK, "get a batch", &err);
    size_t n;
    const struct ochre_hit *hits = ochre_result_hits(result, 0, &n);
    must(n == 0 || n == BATCH, "half of a batch", NULL);
    int tag = 0;
    for (size_t i = 0; i < n; i++) {
        int one = (int) value_of(&hits[i], "tag");
        must(tag == 0 || tag == one, "a mixed batch", NULL);
        tag = one;
    }
    ochre_result_close(result);
    return tag;
}

static ochre_collection *
open_named(const char *name)
{
    struct ochre_error err;
    ochre_collection *collection;
    must(ochre_collection_open(db, NULL, NULL, name, &collection, &err) == OCHRE_OK, "open", &err);
    return collection;
}

/* --- writers -------------------------------------------------------------------------- */

/* One batch's life in the shared collection: added, updated, now and then deleted. */
static void
work_on_shared(ochre_collection *shared, struct batch *batch, int writer, int round)
{
    struct ochre_error err;
    int tag = 1 + round;
    fill(batch, 's', writer, round, tag);
    must(ochre_add(shared, &batch->records, &err) == OCHRE_OK, "add", &err);
    atomic_store(&latest[writer][round], tag);
    must(read_batch(shared, writer, round) == tag, "own add", NULL);
    if (round % 2 == 0) {
        fill(batch, 's', writer, round, tag + 1000);
        must(ochre_upsert(shared, &batch->records, &err) == OCHRE_OK, "upsert", &err);
        atomic_store(&latest[writer][round], tag + 1000);
        must(read_batch(shared, writer, round) == tag + 1000, "own upsert", NULL);
    }
    if (round % 3 == 2) {
        struct ochre_filter_node node = batch_is(writer, round - 1);
        struct ochre_selection selection = {.filter = {&node, 1}};
        uint64_t n;
        must(ochre_delete(shared, &selection, UINT64_MAX, &n, &err) == OCHRE_OK, "delete", &err);
        must(n == BATCH, "a delete of a batch", NULL);
        atomic_store(&latest[writer][round - 1], 0);
        must(read_batch(shared, writer, round - 1) == 0, "own delete", NULL);
    }
}

struct writer {
    struct och_thread thread;
    int number;
    uint64_t n_own;
};

static void
run_writer(void *argument)
{
    struct writer *writer = argument;
    struct ochre_error err;
    struct batch *batch = malloc(sizeof(*batch));
    must(batch != NULL, "memory", NULL);
    char name[16];
    (void) snprintf(name, sizeof(name), "own-%d", writer->number);
    ochre_collection *shared = open_named("shared");
    ochre_collection *own = open_named(name);
    for (int round = 0; round < ROUNDS; round++) {
        work_on_shared(shared, batch, writer->number, round);
        fill(batch, 'o', writer->number, round, 1);
        must(ochre_add(own, &batch->records, &err) == OCHRE_OK, "add to own", &err);
        writer->n_own += BATCH;
        uint64_t count;
        must(ochre_count(own, &count, &err) == OCHRE_OK, "count", &err);
        must(count == writer->n_own, "own count", NULL);
    }
    ochre_collection_close(shared);
    ochre_collection_close(own);
    free(batch);
}

/* --- readers ---------------------------------------------------------------------------- */

/* Everything in the shared collection: whole batches of one tag each. */
static void
read_everything(ochre_collection *shared)
{
    int counts[WRITERS][ROUNDS] = {{0}};
    int64_t tags[WRITERS][ROUNDS] = {{0}};
    struct ochre_error err;
    struct ochre_get get = {.limit = UINT64_MAX, .include = OCHRE_INCLUDE_METADATAS};
    ochre_result *result;
    must(ochre_get(shared, &get, &result, &err) == OCHRE_OK, "get", &err);
    size_t n;
    const struct ochre_hit *hits = ochre_result_hits(result, 0, &n);
    for (size_t i = 0; i < n; i++) {
        int64_t number = value_of(&hits[i], "batch");
        int64_t tag = value_of(&hits[i], "tag");
        int64_t *seen = &tags[number / 1000][number % 1000];
        must(*seen == 0 || *seen == tag, "a mixed batch among all", NULL);
        *seen = tag;
        counts[number / 1000][number % 1000]++;
    }
    ochre_result_close(result);
    for (int w = 0; w < WRITERS; w++)
        for (int r = 0; r < ROUNDS; r++)
            must(counts[w][r] == 0 || counts[w][r] == BATCH, "half of a batch among all", NULL);
}

static void
search(ochre_collection *shared, uint64_t *seed)
{
    float queries[2 * DIM];
    struct ochre_error err;
    for (int i = 0; i < 2 * DIM; i++)
        queries[i] = och_random_f32(seed) * 30;
    struct ochre_query query = {.size = sizeof(query),
            .queries = queries,
            .n_queries = 2,
            .dim = DIM,
            .k = 7,
            .include =
                    OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_EMBEDDINGS | OCHRE_INCLUDE_DISTANCES};
    ochre_result *result;
    must(ochre_query(shared, &query, &result, &err) == OCHRE_OK, "query", &err);
    for (size_t list = 0; list < 2; list++) {
        size_t n;
        const struct ochre_hit *hits = ochre_result_hits(result, list, &n);
        must(n <= 7, "more than k", NULL);
        for (size_t i = 0; i < n; i++) {
            must(i == 0 || hits[i - 1].distance <= hits[i].distance, "order", NULL);
            must(hits[i].document.size == hits[i].id.size &&
                            memcmp(hits[i].document.data, hits[i].id.data, hits[i].id.size) == 0,
                    "a document of another record", NULL);
        }
    }
    ochre_result_close(result);
}

static void
run_reader(void *argument)
{
    uint64_t seed = (uint64_t) (uintptr_t) argument;
    ochre_collection *shared = open_named("shared");
    while (!atomic_load(&done)) {
        int writer = (int) och_random_below(&seed, WRITERS);
        int round = (int) och_random_below(&seed, ROUNDS);
        (void) read_batch(shared, writer, round);
        search(shared, &seed);
        if (och_random_below(&seed, 4) == 0)
            read_everything(shared);
    }
    ochre_collection_close(shared);
}

/* --- the rest ----------------------------------------------------------------------------- */

static void
run_churn(void *argument)
{
    struct ochre_error err;
    struct batch *batch = malloc(sizeof(*batch));
    must(batch != NULL, "memory", NULL);
    (void) argument;
    for (int i = 0; i < CHURNS; i++) {
        char name[16];
        (void) snprintf(name, sizeof(name), "churn-%d", i % 3);
        ochre_collection *collection;
        ochre_collection *second;
        uint64_t count;
        must(ochre_collection_create(db, name, NULL, &collection, &err) == OCHRE_OK, "create",
                &err);
        must(ochre_collection_create(db, name, NULL, &second, &err) == OCHRE_EXISTS, "exists",
                &err);
        for (int round = 0; round < 12; round++) {
            fill(batch, 'c', i, round, 1);
            must(ochre_add(collection, &batch->records, &err) == OCHRE_OK, "add", &err);
        }
        must(ochre_count(collection, &count, &err) == OCHRE_OK, "count", &err);
        must(count == 12 * BATCH, "count of a new collection", NULL);
        must(ochre_collection_delete(db, NULL, NULL, name, &err) == OCHRE_OK, "drop", &err);
        must(ochre_count(collection, &count, &err) == OCHRE_NOT_FOUND, "count dropped", &err);
        must(ochre_add(collection, &batch->records, &err) == OCHRE_NOT_FOUND, "add", &err);
        ochre_collection_close(collection);
    }
    free(batch);
}

static bool
see(void *context, const struct ochre_collection_info *info)
{
    int *n = context;
    must(info->configuration.size > 0 && info->schema.size > 0, "a description", NULL);
    (*n)++;
    return true;
}

/* Change the shared collection's recall target, as nobody else does, and see that
 * it counts from then on. */
static void
aim(ochre_collection *shared, bool exact)
{
    static const float query_vector[DIM] = {1, 2, 3, 4};
    struct ochre_error err;
    const char *text = exact ? "{\"recall_target\":1}" : "{\"recall_target\":0.5}";
    struct ochre_bytes change = {text, strlen(text)};
    must(ochre_collection_update(shared, NULL, NULL, change, &err) == OCHRE_OK, "aim", &err);
    struct ochre_index_status status = {.size = sizeof(status)};
    must(ochre_index_status(shared, &status, &err) == OCHRE_OK, "status", &err);
    float wanted = exact ? 1.0F : 0.5F;
    must(status.recall_target == wanted, "the new target in the status", NULL);
    struct ochre_query query = {.size = sizeof(query),
            .queries = query_vector,
            .n_queries = 1,
            .dim = DIM,
            .k = 1,
            .explain = true};
    ochre_result *result;
    must(ochre_query(shared, &query, &result, &err) == OCHRE_OK, "explain", &err);
    const struct ochre_explain *explain = ochre_result_explain(result, 0);
    must(explain->recall_target == wanted, "the new target in a search", NULL);
    uint64_t rows = 0;
    for (size_t i = 0; i < explain->n_sources; i++)
        rows += explain->sources[i].matches;
    must(rows % BATCH == 0, "half of a batch in an explanation", NULL);
    ochre_result_close(result);
}

/* Somebody who looks at collections, opens them as they come and go, and writes
 * to whichever are there. */
static void
run_visitor(void *argument)
{
    struct ochre_error err;
    struct batch *batch = malloc(sizeof(*batch));
    must(batch != NULL, "memory", NULL);
    uint64_t seed = 5;
    (void) argument;
    ochre_collection *shared = open_named("shared");
    while (!atomic_load(&done)) {
        int n = 0;
        aim(shared, och_random_below(&seed, 2) == 0);
        must(ochre_collection_list(db, NULL, NULL, UINT64_MAX, 0, see, &n, &err) == OCHRE_OK,
                "list", &err);
        must(n >= WRITERS + 1, "the collections that stay", NULL);
        char name[16];
        (void) snprintf(name, sizeof(name), "churn-%d", (int) och_random_below(&seed, 3));
        ochre_collection *collection;
        ochre_status status = ochre_collection_open(db, NULL, NULL, name, &collection, &err);
        must(status == OCHRE_OK || status == OCHRE_NOT_FOUND, "open", &err);
        if (status != OCHRE_OK)
            continue;
        fill(batch, 'v', 0, 0, 1);
        struct ochre_selection selection = {.ids = batch->ids, .n_ids = BATCH};
        uint64_t n_deleted;
        status = ochre_update(collection, &batch->records, &err);
        must(status == OCHRE_OK || status == OCHRE_NOT_FOUND, "update", &err);
        status = ochre_delete(collection, &selection, UINT64_MAX, &n_deleted, &err);
        must(status == OCHRE_OK || status == OCHRE_NOT_FOUND, "delete", &err);
        ochre_collection_close(collection);
    }
    ochre_collection_close(shared);
    free(batch);
}

static void
run_sealer(void *argument)
{
    struct ochre_error err;
    (void) argument;
    while (!atomic_load(&done))
        must(ochre_seal(db, &err) == OCHRE_OK, "seal", &err);
}

/* Beside the merges that sealing brings about, in which writers' records move and
 * die; each a snapshot of somebody's. */
static void
run_compactor(void *argument)
{
    struct ochre_error err;
    (void) argument;
    while (!atomic_load(&done))
        must(ochre_compact(db, &err) == OCHRE_OK, "compact", &err);
}

/* --- the test -------------------------------------------------------------------------------- */

static int
remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void) info;
    (void) type;
    (void) where;
    return remove(path);
}

static void
remove_tree(const char *path)
{
    check(nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

static void
open_db(const char *path)
{
    struct ochre_error err;
    struct ochre_options options = {
            .size = sizeof(options), .n_threads = 4, .seal_rows = SEAL_ROWS};
    check_ok(ochre_open(path, &options, &db, &err), &err);
}

/* What the writers know is there, and nothing else. */
static void
check_final(const struct writer *writers)
{
    struct ochre_error err;
    ochre_collection *shared = open_named("shared");
    uint64_t wanted = 0;
    for (int w = 0; w < WRITERS; w++) {
        for (int r = 0; r < ROUNDS; r++) {
            check(read_batch(shared, w, r) == atomic_load(&latest[w][r]));
            wanted += atomic_load(&latest[w][r]) != 0 ? BATCH : 0;
        }
        char name[16];
        (void) snprintf(name, sizeof(name), "own-%d", w);
        ochre_collection *own = open_named(name);
        uint64_t count;
        check_ok(ochre_count(own, &count, &err), &err);
        check(count == writers[w].n_own);
        ochre_collection_close(own);
    }
    uint64_t count;
    check_ok(ochre_count(shared, &count, &err), &err);
    check(count == wanted);
    read_everything(shared);
    ochre_collection_close(shared);
    int n = 0;
    check_ok(ochre_collection_list(db, NULL, NULL, UINT64_MAX, 0, see, &n, &err), &err);
    check(n == WRITERS + 1);
}

static void
start(struct och_thread *thread, const char *name, void (*run)(void *argument), void *argument)
{
    struct ochre_error err;
    check_ok(och_thread_start(thread, name, run, argument, &err), &err);
}

static void
many_threads_see_whole_batches_and_lose_none(void **state)
{
    (void) state;
    static struct writer writers[WRITERS];
    struct och_thread readers[READERS];
    struct och_thread churn;
    struct och_thread visitor;
    struct och_thread sealer;
    struct och_thread compactor;
    struct ochre_error err;
    char path[] = "/tmp/ochre-threads-XXXXXX";
    check(mkdtemp(path) != NULL);
    open_db(path);
    ochre_collection *collection;
    check_ok(ochre_collection_create(db, "shared", NULL, &collection, &err), &err);
    ochre_collection_close(collection);
    for (int w = 0; w < WRITERS; w++) {
        char name[16];
        (void) snprintf(name, sizeof(name), "own-%d", w);
        check_ok(ochre_collection_create(db, name, NULL, &collection, &err), &err);
        ochre_collection_close(collection);
        writers[w].number = w;
        start(&writers[w].thread, "writer", run_writer, &writers[w]);
    }
    for (int r = 0; r < READERS; r++)
        start(&readers[r], "reader", run_reader, (void *) (uintptr_t) (r + 1));
    start(&churn, "churn", run_churn, NULL);
    start(&visitor, "visitor", run_visitor, NULL);
    start(&sealer, "sealer", run_sealer, NULL);
    start(&compactor, "compactor", run_compactor, NULL);
    for (int w = 0; w < WRITERS; w++)
        och_thread_join(&writers[w].thread);
    och_thread_join(&churn);
    atomic_store(&done, true);
    for (int r = 0; r < READERS; r++)
        och_thread_join(&readers[r]);
    och_thread_join(&visitor);
    och_thread_join(&sealer);
    och_thread_join(&compactor);
    check_final(writers);
    ochre_close(db);
    open_db(path);
    check_final(writers);
    ochre_close(db);
    remove_tree(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(many_threads_see_whole_batches_and_lose_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
