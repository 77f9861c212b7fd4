/*
 * test_stats.c - what a database holds and costs, against what lies on its disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/db.h"
#include "api/ops.h"
#include "api/schema.h"
#include "api/stats.h"
#include "base/buf.h"
#include "base/json.h"
#include "distance/distance.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "support/check.h"

enum { DIM = 3, HEAD_ROWS = 20, NAME_SIZE = 128, DIRS_MAX = 64 };

struct fixture {
    struct och_mem own, mem;
    struct sim_disk *disk;
    struct sim_machine machine;
    struct ochre_db *db;
    struct och_arena arena;
    struct och_stats stats;
    struct ochre_error err;
};

static struct fixture fixture;

static struct ochre_bytes
text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

static ochre_status
open_db(struct fixture *f, bool read_only, struct ochre_db **db_out)
{
    struct och_db_options options = {.mem = &f->mem,
            .vfs = sim_disk_vfs(f->disk),
            .machine = &f->machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .create = !read_only,
            .read_only = read_only,
            .engine = {.head_rows_max = HEAD_ROWS}};
    return och_db_open(&options, db_out, &f->err);
}

static struct och_target
create(struct fixture *f, const char *database, const char *name)
{
    struct och_arena arena;
    struct och_schema_request *indexes;
    struct och_collection_info info;
    och_arena_init(&arena, &f->own);
    check_ok(och_schema_request_parse(&arena, NULL, NULL, &indexes, &f->err), &f->err);
    struct och_create what = {.tenant = text("default_tenant"),
            .database = text(database),
            .name = text(name),
            .indexes = indexes};
    check_ok(och_op_collection_create(f->db, &arena, &what, &info, &f->err), &f->err);
    och_arena_clear(&arena);
    return (struct och_target){what.tenant, what.database, info.row.id};
}

static void
put(struct fixture *f, const struct och_target *target, int first, int n)
{
    char ids[64][16];
    struct ochre_bytes names[64];
    float vectors[64 * DIM];
    check(n <= 64);
    for (int i = 0; i < n; i++) {
        (void) snprintf(ids[i], sizeof(ids[i]), "id-%d", first + i);
        names[i] = text(ids[i]);
        for (int d = 0; d < DIM; d++)
            vectors[i * DIM + d] = (float) (first + i * d);
    }
    struct och_write_input input = {.records = {.n = (size_t) n,
                                            .ids = names,
                                            .embeddings = vectors,
                                            .dim = DIM,
                                            .documents = names},
            .n_embeddings = (size_t) n,
            .n_documents = (size_t) n,
            .n_uris = OCH_NOT_GIVEN,
            .n_metadatas = OCH_NOT_GIVEN};
    struct och_written written;
    check_ok(och_op_write(f->db, target, OCH_WRITE_UPSERT, &input, &written, &f->err), &f->err);
}

static struct och_target
fork_of(struct fixture *f, const struct och_target *source, const char *name)
{
    struct och_arena arena;
    struct och_collection_info info;
    och_arena_init(&arena, &f->own);
    check_ok(och_op_collection_fork(f->db, &arena, source, text(name), &info, &f->err), &f->err);
    struct och_target target = {source->tenant, source->database, info.row.id};
    och_arena_clear(&arena);
    return target;
}

/* --- what lies on the disk, by the names alone ------------------------------------- */

struct listing {
    struct och_vfs *vfs;
    char dirs[DIRS_MAX][NAME_SIZE];
    size_t n_dirs, at;
    uint64_t n_names, bytes; /* each name counts */
    uint64_t n_segments, n_deletes;
};

static ochre_status
note_name(void *context, const char *name, bool is_dir)
{
    struct listing *listing = context;
    char path[NAME_SIZE];
    const char *dir = listing->dirs[listing->at];
    int size = snprintf(path, sizeof(path), "%s%s%s", dir, dir[0] == '\0' ? "" : "/", name);
    check(size > 0 && size < NAME_SIZE);
    if (is_dir) {
        check(listing->n_dirs < DIRS_MAX);
        (void) snprintf(listing->dirs[listing->n_dirs++], NAME_SIZE, "%s", path);
        return OCHRE_OK;
    }
    struct och_file *file;
    uint64_t bytes;
    check(och_vfs_open(listing->vfs, path, OCH_OPEN_READ, &file, NULL) == OCHRE_OK);
    check(och_file_size(file, &bytes, NULL) == OCHRE_OK);
    och_file_close(file);
    listing->n_names++;
    listing->bytes += bytes;
    listing->n_segments += strstr(path, ".seg") != NULL;
    listing->n_deletes += strstr(path, ".del") != NULL;
    return OCHRE_OK;
}

static void
list(struct fixture *f, struct listing *listing)
{
    memset(listing, 0, sizeof(*listing));
    listing->vfs = sim_disk_vfs(f->disk);
    listing->n_dirs = 1;
    for (; listing->at < listing->n_dirs; listing->at++)
        check(och_vfs_list(listing->vfs, listing->dirs[listing->at], note_name, listing, NULL) ==
                OCHRE_OK);
}

/* --- and what is said of it ----------------------------------------------------------- */

static const struct ochre_collection_stats *
find(const struct och_stats *stats, const char *name)
{
    for (size_t i = 0; i < stats->n_collections; i++) {
        const struct ochre_collection_stats *now = &stats->collections[i];
        if (now->name.size == strlen(name) && memcmp(now->name.data, name, now->name.size) == 0)
            return now;
    }
    fail_msg("no collection %s", name);
    return NULL;
}

static uint64_t
sum(const struct ochre_file_bytes *bytes)
{
    return bytes->vectors + bytes->ids + bytes->documents + bytes->uris + bytes->metadata +
            bytes->metadata_index + bytes->codes + bytes->graph + bytes->deletes + bytes->other;
}

static const struct och_stats *
look(struct fixture *f, struct ochre_db *db)
{
    och_arena_clear(&f->arena);
    check_ok(och_op_stats(db, &f->arena, &f->stats, &f->err), &f->err);
    const struct ochre_stats *totals = &f->stats.totals;
    check(totals->size == sizeof(*totals) && totals->collections == f->stats.n_collections);
    check(sum(&totals->bytes) == totals->segment_bytes);
    check(totals->segment_bytes + totals->log_bytes + totals->catalog_bytes +
                    totals->reserve_bytes + totals->unlisted_bytes + totals->other_bytes ==
            totals->disk_bytes);
    for (size_t i = 0; i < f->stats.n_collections; i++)
        check(sum(&f->stats.collections[i].bytes) == f->stats.collections[i].n_bytes);
    return &f->stats;
}

static int
set_up(void **state)
{
    struct fixture *f = &fixture;
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->own, NULL);
    och_mem_init(&f->mem, NULL);
    och_arena_init(&f->arena, &f->own);
    f->disk = sim_disk_open(&f->own, 1);
    sim_machine_init(&f->machine, 1);
    check_ok(open_db(f, false, &f->db), &f->err);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    och_db_close(f->db);
    och_arena_clear(&f->arena);
    sim_disk_close(f->disk);
    return och_mem_used(&f->mem) == 0 && och_mem_used(&f->own) == 0 ? 0 : 1;
}

/* 40 rows in files, 3 of them replaced, 4 and those in the head; an empty one; one in
 * another database. */
static struct och_target
fill(struct fixture *f)
{
    check_ok(och_op_database_create(f->db, text("default_tenant"), text("another"), &f->err),
            &f->err);
    struct och_target things = create(f, "default_database", "things");
    struct och_target elsewhere = create(f, "another", "elsewhere");
    (void) create(f, "default_database", "empty");
    put(f, &things, 0, 40);
    put(f, &elsewhere, 0, 7);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    put(f, &things, 5, 3);
    put(f, &things, 100, 4);
    return things;
}

static void
numbers_are_those_of_what_was_written(void **state)
{
    struct fixture *f = *state;
    (void) fill(f);
    const struct och_stats *stats = look(f, f->db);
    check(stats->n_collections == 3);
    /* By database, then by creation. */
    check(stats->collections[0].name.size == strlen("elsewhere"));
    const struct ochre_collection_stats *things = find(stats, "things");
    check(things->records == 44 && things->dead_rows == 3 && things->unsealed_rows == 7);
    check(things->dim == DIM && things->space == OCHRE_SPACE_L2 && things->problem == NULL);
    check(!things->is_fork && things->forks == 0 && things->shared_files == 0);
    check(things->segments >= 1 && things->bytes.vectors >= sizeof(float) * 40 * DIM);
    check(things->live_bytes > 0 && things->live_bytes < things->n_bytes);
    const struct ochre_collection_stats *empty = find(stats, "empty");
    check(empty->records == 0 && empty->segments == 0 && empty->n_bytes == 0 && empty->dim == 0);
    check(find(stats, "elsewhere")->records == 7);
    check(stats->totals.records == 51 && stats->totals.dead_rows == 3);
    check(stats->totals.unsealed_rows == 7);
    /* What died in files is written down when the head is sealed. */
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    things = find(look(f, f->db), "things");
    check(things->records == 44 && things->unsealed_rows == 0 && things->dead_rows == 3);
    check(things->delete_files >= 1 && things->bytes.deletes > 0);
}

static void
bytes_are_those_on_the_disk(void **state)
{
    struct fixture *f = *state;
    static struct listing listing;
    (void) fill(f);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    const struct och_stats *stats = look(f, f->db);
    list(f, &listing);
    check(stats->totals.disk_bytes == listing.bytes);
    check(stats->totals.disk_files == listing.n_names);
    check(stats->totals.segments == listing.n_segments);
    check(stats->totals.delete_files == listing.n_deletes);
    check(stats->totals.unlisted_files == 0);
    check(stats->totals.log_files > 0 && stats->totals.catalog_bytes > 0);
    check(stats->totals.reserve_bytes > 0);
}

static void
what_forks_share_counts_once(void **state)
{
    struct fixture *f = *state;
    static struct listing listing;
    struct och_target things = fill(f);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    uint64_t disk_before = look(f, f->db)->totals.segment_bytes;
    struct och_target fork = fork_of(f, &things, "fork");
    const struct och_stats *stats = look(f, f->db);
    const struct ochre_collection_stats *old = find(stats, "things"), *new = find(stats, "fork");
    check(new->is_fork && !old->is_fork &&new->forks == 1 && old->forks == 1);
    check(new->n_bytes == old->n_bytes &&new->shared_bytes == new->n_bytes);
    check(new->shared_files == new->segments + new->delete_files);
    check(old->shared_files == new->shared_files && old->shared_bytes == new->shared_bytes);
    check(stats->totals.segment_bytes == disk_before && stats->totals.forks == 1);
    list(f, &listing);
    check(stats->totals.disk_bytes == listing.bytes - new->shared_bytes);
    /* Each goes its own way. */
    put(f, &fork, 200, HEAD_ROWS);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    stats = look(f, f->db);
    check(find(stats, "fork")->records == 44 + HEAD_ROWS);
    check(find(stats, "fork")->n_bytes > find(stats, "fork")->shared_bytes);
    check(find(stats, "things")->records == 44);
}

/* Neither what is in memory nor what was never loaded is counted differently. */
static void
a_reader_and_a_later_process_say_the_same(void **state)
{
    struct fixture *f = *state;
    struct ochre_db *reader = NULL;
    struct och_buf texts[3];
    (void) fill(f);
    for (int i = 0; i < 3; i++) {
        och_buf_init(&texts[i], &f->own, SIZE_MAX / 2);
        if (i == 1)
            check_ok(open_db(f, true, &reader), &f->err);
        if (i == 2) {
            och_db_close(f->db);
            f->db = NULL;
            check_ok(open_db(f, false, &f->db), &f->err);
        }
        (void) look(f, i == 1 ? reader : f->db);
        f->stats.totals = (struct ochre_stats){.size = 0}; /* the log's files come and go */
        och_stats_put_json(&texts[i], &f->stats);
    }
    for (int i = 1; i < 3; i++) {
        check(texts[i].size == texts[0].size);
        check(memcmp(texts[i].data, texts[0].data, texts[0].size) == 0);
    }
    for (int i = 0; i < 3; i++)
        och_buf_clear(&texts[i]);
    och_db_close(reader);
}

static void
files_that_nothing_lists_are_told_apart(void **state)
{
    struct fixture *f = *state;
    struct och_file *file;
    char path[NAME_SIZE];
    char uuid[OCH_UUID_TEXT_SIZE + 1];
    struct och_target things = fill(f);
    uint64_t bytes = look(f, f->db)->totals.segment_bytes;
    och_uuid_put(things.id, uuid);
    (void) snprintf(path, sizeof(path), "seg/%s/00000000000f0000.seg", uuid);
    check_ok(och_vfs_open(
                     sim_disk_vfs(f->disk), path, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &f->err),
            &f->err);
    check_ok(och_file_truncate(file, 12345, &f->err), &f->err);
    och_file_close(file);
    const struct och_stats *stats = look(f, f->db);
    check(stats->totals.unlisted_files == 1 && stats->totals.unlisted_bytes == 12345);
    check(stats->totals.segment_bytes == bytes);
}

static ochre_status
find_segment(void *context, const char *name, bool is_dir)
{
    (void) is_dir;
    if (strstr(name, ".seg") != NULL)
        (void) snprintf(context, NAME_SIZE, "%s", name);
    return OCHRE_OK;
}

static void
a_damaged_file_is_a_problem_of_its_collection(void **state)
{
    struct fixture *f = *state;
    char name[NAME_SIZE] = "";
    char path[2 * NAME_SIZE];
    char uuid[OCH_UUID_TEXT_SIZE + 1];
    struct och_target things = fill(f);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    och_db_close(f->db);
    f->db = NULL;
    och_uuid_put(things.id, uuid);
    (void) snprintf(path, sizeof(path), "seg/%s", uuid);
    check_ok(och_vfs_list(sim_disk_vfs(f->disk), path, find_segment, name, &f->err), &f->err);
    (void) snprintf(path, sizeof(path), "seg/%s/%s", uuid, name);
    struct och_file *file;
    uint64_t size;
    check_ok(och_vfs_open(sim_disk_vfs(f->disk), path, OCH_OPEN_READ, &file, &f->err), &f->err);
    check_ok(och_file_size(file, &size, &f->err), &f->err);
    och_file_close(file);
    check(sim_disk_flip(f->disk, path, size - 20, 3)); /* in its footer */
    check_ok(open_db(f, false, &f->db), &f->err);
    const struct och_stats *stats = look(f, f->db);
    check(find(stats, "things")->problem != NULL && find(stats, "things")->records == 44);
    check(find(stats, "elsewhere")->problem == NULL);
}

static void
what_is_printed_reads_back(void **state)
{
    struct fixture *f = *state;
    struct och_buf buf;
    struct och_json *root;
    struct och_target things = fill(f);
    (void) fork_of(f, &things, "fork");
    const struct och_stats *stats = look(f, f->db);
    och_buf_init(&buf, &f->own, SIZE_MAX / 2);
    och_stats_put_json(&buf, stats);
    check_ok(och_json_parse(&f->arena, buf.data, buf.size, &root, &f->err), &f->err);
    const struct och_json *collections = och_json_get(root, "collections");
    const struct och_json *databases = och_json_get(root, "databases");
    const struct och_json *totals = och_json_get(root, "totals");
    check(collections->n == 4 && databases->n == 2);
    check(och_json_get(totals, "records")->as.integer == 95);
    check(och_json_get(totals, "disk_over_live")->as.number > 1);
    uint64_t records = 0;
    for (const struct och_json *now = databases->first; now != NULL; now = now->next)
        records += (uint64_t) och_json_get(now, "records")->as.integer;
    check(records == 95);
    och_buf_clear(&buf);
}

static void
every_failure_is_told_and_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct och_target things = fill(f);
    (void) fork_of(f, &things, "fork");
    och_db_close(f->db);
    f->db = NULL;
    check_ok(open_db(f, false, &f->db), &f->err);
    unsigned n_refused = 0, n_failed = 0;
    for (uint64_t n = 1;; n++) {
        och_arena_clear(&f->arena);
        size_t used = och_mem_used(&f->mem);
        atomic_store(&f->mem.n_grants, 0);
        f->mem.fail_at = n;
        ochre_status status = och_op_stats(f->db, &f->arena, &f->stats, &f->err);
        f->mem.fail_at = 0;
        check(och_mem_used(&f->mem) == used);
        if (status == OCHRE_OK)
            break;
        check(status == OCHRE_NO_MEMORY && ++n_refused < 1000);
    }
    for (uint64_t n = 1;; n++) {
        och_arena_clear(&f->arena);
        sim_disk_fail(f->disk, n, SIM_IO_ONCE);
        ochre_status status = och_op_stats(f->db, &f->arena, &f->stats, &f->err);
        bool has_failed = sim_disk_has_failed(f->disk);
        sim_disk_fail(f->disk, 0, SIM_IO_ONCE);
        if (!has_failed)
            break;
        /* Where a second look helped, or the file is none of ours, nothing is missing. */
        check(status == OCHRE_IO || (status == OCHRE_OK && f->stats.totals.records == 95));
        n_failed += status == OCHRE_IO;
    }
    check(n_refused > 5 && n_failed > 5);
    check(look(f, f->db)->totals.records == 95);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
            TEST(numbers_are_those_of_what_was_written),
            TEST(bytes_are_those_on_the_disk),
            TEST(what_forks_share_counts_once),
            TEST(a_reader_and_a_later_process_say_the_same),
            TEST(files_that_nothing_lists_are_told_apart),
            TEST(a_damaged_file_is_a_problem_of_its_collection),
            TEST(what_is_printed_reads_back),
            TEST(every_failure_is_told_and_leaves_nothing),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
