/* All of a database is read again by itself, and damage is told. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "ochre/ochre.h"
#include "roles/scrubber.h"
#include "support/check.h"

enum { WAITS_MAX = 600, N = 600, DIM = 2 };

static char directory[64];
static struct ochre_error err;

static int
remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void) info;
    (void) type;
    (void) place;
    return remove(path);
}

/* Some records in a file. */
static void
fill(ochre_db *db, ochre_collection *collection)
{
    static char ids[N][16];
    static float vectors[N * DIM];
    struct ochre_bytes names[N];
    for (int i = 0; i < N; i++) {
        (void) snprintf(ids[i], sizeof(ids[i]), "%d", i);
        names[i] = (struct ochre_bytes){ids[i], strlen(ids[i])};
        vectors[(size_t) i * DIM] = (float) i;
    }
    struct ochre_records records = {.n = N, .ids = names, .embeddings = vectors, .dim = DIM};
    check_ok(ochre_add(collection, &records, &err), &err);
    check_ok(ochre_seal(db, &err), &err);
}

static ochre_db *
open_database(ochre_collection **collection_out)
{
    ochre_db *db;
    struct ochre_options options = {.size = sizeof(options), .n_threads = 2};
    (void) snprintf(directory, sizeof(directory), "/tmp/test-scrubber-XXXXXX");
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
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread walks */
    (void) nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int
damage_segment(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void) info;
    (void) place;
    if (type != FTW_F || strstr(path, ".seg") == NULL)
        return 0;
    FILE *file = fopen(path, "r+b");
    check(file != NULL && fseek(file, 65536 + 7, SEEK_SET) == 0);
    check(fputc(0x5a, file) != EOF && fclose(file) == 0);
    return 0;
}

struct told {
    unsigned n_damaged;
};

static void
write_event(void *context, och_log_level level, const char *event, const char *fields)
{
    struct told *told = context;
    (void) fields;
    told->n_damaged += level == OCH_LOG_ERROR && strcmp(event, "scrub.damaged") == 0;
}

static struct ochre_stats
stats_of(ochre_db *db)
{
    struct ochre_stats stats = {.size = sizeof(stats)};
    check_ok(ochre_stats(db, &stats, NULL, NULL, &err), &err);
    return stats;
}

static void
what_a_disk_lost_is_told_by_itself(void **state)
{
    (void) state;
    ochre_collection *collection;
    ochre_db *db = open_database(&collection);
    fill(db, collection);
    check(stats_of(db).scrubbed_unix_s == 0);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread walks */
    (void) nftw(directory, damage_segment, 16, FTW_PHYS);
    struct told told = {.n_damaged = 0};
    const struct och_log log = {.write = write_event, .context = &told, .level_max = OCH_LOG_INFO};
    struct och_scrubber scrubber;
    check_ok(och_scrubber_begin(&scrubber, db, 5, &log, &err), &err);
    const struct timespec moment = {.tv_nsec = 50000000};
    for (int i = 0; i < WAITS_MAX && stats_of(db).scrubbed_unix_s == 0; i++)
        (void) nanosleep(&moment, NULL);
    och_scrubber_end(&scrubber);
    check(stats_of(db).scrub_damaged == 1 && told.n_damaged >= 1);
    close_database(db, collection);
}

/* The wait ends with it. */
static void
one_that_waits_ends_at_once(void **state)
{
    (void) state;
    ochre_collection *collection;
    ochre_db *db = open_database(&collection);
    struct och_scrubber scrubber, none = {.db = NULL};
    check_ok(och_scrubber_begin(&scrubber, db, UINT64_C(3600) * 1000, NULL, &err), &err);
    och_scrubber_end(&scrubber);
    och_scrubber_end(&none);
    check(stats_of(db).scrubbed_unix_s == 0);
    close_database(db, collection);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_a_disk_lost_is_told_by_itself),
            cmocka_unit_test(one_that_waits_ends_at_once),
    };
    return cmocka_run_group_tests_name("scrubber", tests, NULL, NULL);
}
