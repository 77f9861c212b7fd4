/*
 * test_audit.c - live queries are answered again, exactly, in the background; walks
 * that find less than promised keep more candidates, those that do not, do not.
 */
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "engine/audit.h"
#include "ochre/ochre.h"
#include "os/thread.h"
#include "support/check.h"

enum { ROWS = 6000, BATCH = 500, DIM = 16, QUERIES_MAX = 2000000 };

static void
too_little_found_is_made_up_for(void **state)
{
    (void) state;
    struct och_audit audit = {.n_queries = 0};
    for (int i = 0; i < 19; i++)
        och_audit_note(&audit, 0.99F, 10, 9);
    check(audit.scale <= 1); /* too few to tell */
    och_audit_note(&audit, 0.99F, 10, 9);
    check(audit.scale > 1 && audit.n_wanted == 0 && audit.n_queries == 20);
    for (int i = 0; i < 2000; i++)
        och_audit_note(&audit, 0.99F, 10, 5);
    check(audit.scale >= 8 && audit.scale < 16);
}

static void
chance_is_not_made_up_for(void **state)
{
    (void) state;
    /* Walks that keep the promise exactly, many times over; once in a hundred looks
     * or so it seems otherwise, but not often. */
    unsigned n_scaled = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct och_audit audit = {.n_queries = 0};
        uint64_t random = seed;
        for (int i = 0; i < 100; i++) {
            uint64_t n_found = 0;
            for (int j = 0; j < 10; j++)
                n_found += och_random_below(&random, 1000) < 990;
            och_audit_note(&audit, 0.99F, 10, n_found);
        }
        n_scaled += audit.scale > 1;
    }
    check(n_scaled < 40);
    /* The same share, but a query finds all or little: it takes longer to tell. */
    n_scaled = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct och_audit audit = {.n_queries = 0};
        uint64_t random = seed;
        for (int i = 0; i < 100; i++)
            och_audit_note(&audit, 0.99F, 10, och_random_below(&random, 500) < 490 ? 10 : 5);
        n_scaled += audit.scale > 1;
    }
    check(n_scaled < 40);
    /* What is promised exactly is not for audits. */
    struct och_audit audit = {.n_queries = 0};
    for (int i = 0; i < 100; i++)
        och_audit_note(&audit, 1, 10, 0);
    check(audit.scale <= 1);
}

static void
old_audits_count_less_and_less(void **state)
{
    (void) state;
    struct och_audit audit = {.n_queries = 0};
    for (int i = 0; i < 100000; i++)
        och_audit_note(&audit, 0.99F, 10, 10);
    check(audit.n_queries == 100000 && audit.n_wanted <= 20010 && audit.n_found == audit.n_wanted);
    int n = 0; /* so that a change for the worse is seen soon */
    for (; audit.scale <= 1; n++)
        och_audit_note(&audit, 0.99F, 10, 8);
    check(n < 300);
}

/* --- with a database ---------------------------------------------------------------- */

static char directory[] = "/tmp/ochre-audit-XXXXXX";

static int
remove_one(const char *path, const struct stat *facts, int type, struct FTW *at)
{
    (void) facts;
    (void) type;
    (void) at;
    return remove(path);
}

static void
fill(float *vectors, size_t n, uint64_t *seed)
{
    for (size_t i = 0; i < n * DIM; i++)
        vectors[i] = och_random_f32(seed) - 0.5F;
}

static void
add_rows(ochre_collection *collection)
{
    static float vectors[BATCH * DIM];
    static char texts[BATCH][16];
    struct ochre_bytes ids[BATCH];
    struct ochre_error err;
    uint64_t seed = 7;
    for (int first = 0; first < ROWS; first += BATCH) {
        fill(vectors, BATCH, &seed);
        for (int i = 0; i < BATCH; i++) {
            int length = snprintf(texts[i], sizeof(texts[i]), "%d", first + i);
            ids[i] = (struct ochre_bytes){texts[i], (size_t) length};
        }
        struct ochre_records records = {.n = BATCH, .ids = ids, .embeddings = vectors, .dim = DIM};
        check_ok(ochre_add(collection, &records, &err), &err);
    }
}

static void
live_queries_are_audited(void **state)
{
    (void) state;
    struct ochre_error err;
    struct ochre_options options = {.size = sizeof(options), .n_threads = 1};
    ochre_db *db;
    ochre_collection *collection;
    check(mkdtemp(directory) != NULL);
    check_ok(ochre_open(directory, &options, &db, &err), &err);
    struct ochre_collection_options how = {.size = sizeof(how)};
    check_ok(ochre_collection_create(db, "audited", &how, &collection, &err), &err);
    add_rows(collection);
    check_ok(ochre_compact(db, &err), &err);
    struct ochre_index_status status = {.size = sizeof(status)};
    check_ok(ochre_index_status(collection, &status, &err), &err);
    check(status.graph_segments == 1 && status.audited_queries == 0 && status.audited_recall < 0);
    uint64_t seed = 8;
    /* The background may be slow: as many queries as it takes. */
    for (int i = 0; status.audited_queries < 3 && i < QUERIES_MAX; i++) {
        float query[DIM];
        fill(query, 1, &seed);
        struct ochre_query ask = {
                .size = sizeof(ask), .queries = query, .n_queries = 1, .dim = DIM, .k = 10};
        ochre_result *result;
        check_ok(ochre_query(collection, &ask, &result, &err), &err);
        ochre_result_close(result);
        check_ok(ochre_index_status(collection, &status, &err), &err);
    }
    check(status.audited_queries >= 3);
    check(status.audited_recall > 0.8F && status.audited_recall <= 1);
    ochre_collection_close(collection);
    ochre_close(db);
    (void) nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(too_little_found_is_made_up_for),
            cmocka_unit_test(chance_is_not_made_up_for),
            cmocka_unit_test(old_audits_count_less_and_less),
            cmocka_unit_test(live_queries_are_audited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
