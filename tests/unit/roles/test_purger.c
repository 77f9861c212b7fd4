/* What was deleted goes from all files by itself. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "api/ops.h"
#include "ochre/ochre.h"
#include "roles/purger.h"
#include "support/check.h"

enum { DIM = 2, WAITS_MAX = 600 };

static const char secret[] = "the-word-that-must-not-stay";
static char directory[64];
static bool found;
static struct ochre_error err;

static int
look_into(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void) place;
    if (type != FTW_F || info->st_size == 0)
        return 0;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return 0; /* it went meanwhile */
    size_t size = (size_t) info->st_size;
    char *bytes = malloc(size);
    check(bytes != NULL);
    size_t n = fread(bytes, 1, size, file);
    found = found || memmem(bytes, n, secret, sizeof(secret) - 1) != NULL;
    free(bytes);
    (void) fclose(file);
    return 0;
}

static bool
is_in_a_file(void)
{
    found = false;
    (void) nftw(directory, look_into, 16, FTW_PHYS);
    return found;
}

static int
remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void) info;
    (void) type;
    (void) place;
    return remove(path);
}

static void
put(ochre_collection *collection, const char *id, const char *document)
{
    const struct ochre_bytes ids = {id, strlen(id)}, documents = {document, strlen(document)};
    const float vector[DIM] = {1, 2};
    struct ochre_records records = {
            .n = 1, .ids = &ids, .embeddings = vector, .dim = DIM, .documents = &documents};
    check_ok(ochre_upsert(collection, &records, &err), &err);
}

static ochre_db *
open_database(ochre_collection **collection_out)
{
    ochre_db *db;
    struct ochre_options options = {.size = sizeof(options), .n_threads = 2};
    (void) snprintf(directory, sizeof(directory), "/tmp/test-purger-XXXXXX");
    check(mkdtemp(directory) != NULL);
    check_ok(ochre_open(directory, &options, &db, &err), &err);
    check_ok(ochre_collection_create(db, "things", NULL, collection_out, &err), &err);
    return db;
}

static void
close_database(ochre_db *db, ochre_collection *collection)
{
    ochre_collection_close(collection);
    ochre_close(db);
    (void) nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void
what_was_replaced_goes_by_itself(void **state)
{
    (void) state;
    ochre_collection *collection;
    ochre_db *db = open_database(&collection);
    put(collection, "one", secret);
    put(collection, "two", "harmless");
    check_ok(ochre_seal(db, &err), &err);
    put(collection, "one", "harmless");
    check(is_in_a_file());
    struct och_purger purger;
    check_ok(och_purger_begin(&purger, db, 5, NULL, &err), &err);
    const struct timespec moment = {.tv_nsec = 50000000};
    for (int i = 0; i < WAITS_MAX && is_in_a_file(); i++)
        (void) nanosleep(&moment, NULL);
    check(!is_in_a_file());
    och_purger_end(&purger);
    uint64_t n;
    check_ok(ochre_count(collection, &n, &err), &err);
    check(n == 2);
    close_database(db, collection);
}

static void
nothing_is_purged_twice(void **state)
{
    (void) state;
    ochre_collection *collection;
    ochre_db *db = open_database(&collection);
    bool was_due;
    put(collection, "one", secret);
    check_ok(och_op_purge_due(db, &was_due, &err), &err);
    check(was_due);
    check_ok(och_op_purge_due(db, &was_due, &err), &err);
    check(!was_due);
    put(collection, "one", "harmless");
    check_ok(och_op_purge_due(db, &was_due, &err), &err);
    check(was_due && !is_in_a_file());
    check_ok(ochre_collection_delete(db, NULL, NULL, "things", &err), &err);
    check_ok(och_op_purge_due(db, &was_due, &err), &err);
    check(was_due);
    check_ok(och_op_purge_due(db, &was_due, &err), &err);
    check(!was_due);
    close_database(db, collection);
}

/* The wait ends with it. */
static void
one_that_waits_ends_at_once(void **state)
{
    (void) state;
    ochre_collection *collection;
    ochre_db *db = open_database(&collection);
    struct och_purger purger, none = {.db = NULL};
    check_ok(och_purger_begin(&purger, db, UINT64_C(3600) * 1000, NULL, &err), &err);
    och_purger_end(&purger);
    och_purger_end(&none);
    close_database(db, collection);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_was_replaced_goes_by_itself),
            cmocka_unit_test(nothing_is_purged_twice),
            cmocka_unit_test(one_that_waits_ends_at_once),
    };
    return cmocka_run_group_tests_name("purger", tests, NULL, NULL);
}
