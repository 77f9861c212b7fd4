/*
 * test_scrub.c - reading an open database again: what is damaged is found, what can be is
 * made anew, and the pace is kept.
 */
#include <stdio.h>
#include <string.h>

#include "api/check.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/paced_files.h"
#include "api/schema.h"
#include "api/scrub.h"
#include "api/stats.h"
#include "distance/distance.h"
#include "os/vfs.h"
#include "segment/deletes.h"
#include "segment/segment.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "support/check.h"

enum { DIM = 3, HEAD_ROWS = 20, NAME_SIZE = 128, TEXT_SIZE = 20000 };
/* So many bytes a second: a page of a segment is a wait. */
enum { RATE = 500000 };

struct fixture {
    struct och_mem own, mem;
    struct sim_disk *disk;
    struct sim_machine machine;
    struct ochre_db *db;
    struct och_arena arena;
    struct ochre_error err;
    /* What a scrub found: */
    unsigned n_damaged, n_derived;
    char paths[1024];
    unsigned n_waits, stop_after;         /* 0: never */
    void (*meanwhile)(struct fixture *f); /* done once, at this wait */
    unsigned meanwhile_at;
    struct och_target things, others;
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

/* With metadata of so many bytes, or none. */
static void
put_with(struct fixture *f, const struct och_target *target, int first, int n, size_t size)
{
    static char values[64][TEXT_SIZE];
    struct ochre_field fields[64];
    struct ochre_metadata metadatas[64];
    char ids[64][16];
    struct ochre_bytes names[64];
    float vectors[64 * DIM];
    check(n <= 64);
    for (int i = 0; i < n; i++) {
        (void) snprintf(ids[i], sizeof(ids[i]), "id-%d", first + i);
        names[i] = text(ids[i]);
        memset(values[i], 'a' + i, size);
        fields[i] = (struct ochre_field){
                text("key"), {.type = OCHRE_VALUE_STRING, .as.string = {values[i], size}}};
        metadatas[i] = (struct ochre_metadata){&fields[i], size > 0};
        for (int d = 0; d < DIM; d++)
            vectors[i * DIM + d] = (float) (first + i * d);
    }
    struct och_write_input input = {.records = {.n = (size_t) n,
                                            .ids = names,
                                            .embeddings = vectors,
                                            .dim = DIM,
                                            .documents = names,
                                            .metadatas = size > 0 ? metadatas : NULL},
            .n_embeddings = (size_t) n,
            .n_documents = (size_t) n,
            .n_uris = OCH_NOT_GIVEN,
            .n_metadatas = size > 0 ? (size_t) n : OCH_NOT_GIVEN};
    struct och_written written;
    check_ok(och_op_write(f->db, target, OCH_WRITE_UPSERT, &input, &written, &f->err), &f->err);
}

static void
put(struct fixture *f, const struct och_target *target, int first, int n)
{
    put_with(f, target, first, n, 0);
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
    f->things = create(f, "default_database", "things");
    f->others = create(f, "default_database", "others");
    put(f, &f->things, 0, 15);
    put(f, &f->others, 0, 15);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    put(f, &f->things, 5, 3);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    put(f, &f->things, 100, 4);
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

/* --- scrubbing -------------------------------------------------------------------- */

static bool
pass_time(void *context, uint64_t ms)
{
    struct fixture *f = context;
    sim_machine_advance(&f->machine, ms);
    f->n_waits++;
    if (f->meanwhile != NULL && f->n_waits == f->meanwhile_at) {
        void (*meanwhile)(struct fixture * f) = f->meanwhile;
        f->meanwhile = NULL;
        meanwhile(f);
    }
    return f->stop_after == 0 || f->n_waits < f->stop_after;
}

static void
note_finding(void *context, const struct och_check_finding *finding)
{
    struct fixture *f = context;
    if (finding->kind != OCH_CHECK_DAMAGE)
        return;
    f->n_damaged++;
    f->n_derived += finding->is_derived;
    size_t size = strlen(f->paths);
    (void) snprintf(f->paths + size, sizeof(f->paths) - size, "%s ", finding->path);
}

static ochre_status
scrub(struct fixture *f, uint64_t rate, struct och_check_totals *totals)
{
    const struct och_scrub_options options = {
            .rate = rate, .wait = pass_time, .report = note_finding, .context = f};
    f->n_damaged = f->n_derived = f->n_waits = 0;
    f->paths[0] = '\0';
    ochre_status status = och_op_scrub(f->db, &options, totals, &f->err);
    check((status == OCHRE_CORRUPT) == (f->n_damaged > 0) || status == OCHRE_UNAVAILABLE);
    check(totals->n_damaged == f->n_damaged);
    return status;
}

static ochre_status
check_offline(struct fixture *f)
{
    och_db_close(f->db);
    f->db = NULL;
    return och_check_vfs(sim_disk_vfs(f->disk), &f->machine.machine, NULL, NULL, &f->err);
}

static const char *
problem_of(struct fixture *f, const char *name)
{
    struct och_stats stats;
    och_arena_clear(&f->arena);
    check_ok(och_op_stats(f->db, &f->arena, &stats, &f->err), &f->err);
    for (size_t i = 0; i < stats.n_collections; i++) {
        if (stats.collections[i].name.size == strlen(name) &&
                memcmp(stats.collections[i].name.data, name, strlen(name)) == 0)
            return stats.collections[i].problem;
    }
    fail_msg("no collection %s", name);
    return NULL;
}

/* The first segment of a collection, as the catalog lists it. */
static struct och_segment_row
first_segment(struct fixture *f, const struct och_target *target)
{
    struct och_collection_state state;
    struct och_segment_row *rows, row;
    size_t n;
    struct och_arena arena;
    och_arena_init(&arena, &f->own);
    check_ok(f->db->catalog->ops->state_get(
                     f->db->catalog, &arena, target->id, &state, &rows, &n, &f->err),
            &f->err);
    check(n > 0);
    row = rows[0];
    och_arena_clear(&arena);
    return row;
}

/* Damage a byte of a section of it. */
static void
damage(struct fixture *f, const struct och_target *target, unsigned section, uint64_t at)
{
    struct och_segment *segment;
    char path[OCH_PATH_SIZE_MAX];
    struct och_segment_row row = first_segment(f, target);
    check_ok(
            och_segment_open(&f->own, sim_disk_vfs(f->disk), target->id, row.id, &segment, &f->err),
            &f->err);
    check(segment->sections[section].offset != 0 && at < segment->sections[section].size);
    och_segment_path(path, sizeof(path), target->id, row.id);
    check(sim_disk_flip(f->disk, path, segment->sections[section].offset + at, 2));
    och_segment_release(segment);
}

static void
a_sound_database_is_read_to_its_end(void **state)
{
    struct fixture *f = *state;
    struct och_check_totals totals;
    check_ok(scrub(f, 0, &totals), &f->err);
    check(totals.n_collections == 2 && totals.n_segments >= 3 && totals.n_log_records > 0);
    check(totals.n_bytes > 200000 && totals.n_files > 5 && f->n_waits == 0);
    check(problem_of(f, "things") == NULL);
    check_ok(check_offline(f), &f->err);
}

/* Time passes as the bytes are read, whatever else is waited for. */
static void
the_pace_is_kept(void **state)
{
    struct fixture *f = *state;
    struct och_check_totals totals;
    uint64_t before = och_machine_monotonic_ns(&f->machine.machine);
    check_ok(scrub(f, RATE, &totals), &f->err);
    uint64_t took_ns = och_machine_monotonic_ns(&f->machine.machine) - before;
    check(took_ns >= totals.n_bytes * (1000000000u / RATE) - 100000000u);
    check(f->n_waits > 10);
    before = och_machine_monotonic_ns(&f->machine.machine);
    check_ok(scrub(f, UINT64_C(10) * RATE, &totals), &f->err);
    check(och_machine_monotonic_ns(&f->machine.machine) - before < took_ns / 5);
}

static void
damaged_records_are_their_collections_problem(void **state)
{
    struct fixture *f = *state;
    struct och_check_totals totals;
    damage(f, &f->things, OCH_SECTION_ROWS, 0);
    check(scrub(f, 0, &totals) == OCHRE_CORRUPT);
    check(f->n_damaged == 1 && f->n_derived == 0 && strncmp(f->paths, "seg/", 4) == 0);
    check(problem_of(f, "things") != NULL && problem_of(f, "others") == NULL);
    /* It goes on, and so does the other. */
    put(f, &f->things, 200, 2);
    put(f, &f->others, 200, 2);
    check(check_offline(f) == OCHRE_CORRUPT);
}

/* What says which records are deleted: without it nobody knows. */
static void
a_damaged_file_of_deletes_is_found(void **state)
{
    struct fixture *f = *state;
    struct och_check_totals totals;
    char path[OCH_PATH_SIZE_MAX];
    struct och_segment_row row = first_segment(f, &f->things);
    check(row.deletes_id != 0);
    och_deletes_path(path, sizeof(path), f->things.id, row.id, row.deletes_id);
    check(sim_disk_flip(f->disk, path, 20, 1));
    check(scrub(f, 0, &totals) == OCHRE_CORRUPT);
    check(f->n_damaged == 1 && f->n_derived == 0);
    check(problem_of(f, "things") != NULL && problem_of(f, "others") == NULL);
}

/* A page that the index of metadata has for itself. */
static void
what_follows_from_records_is_made_anew(void **state)
{
    struct fixture *f = *state;
    struct och_check_totals totals;
    struct och_target target = create(f, "default_database", "long");
    put_with(f, &target, 0, HEAD_ROWS, TEXT_SIZE);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    struct och_segment_row before = first_segment(f, &target);
    damage(f, &target, OCH_SECTION_COLUMNS, (uint64_t) 2 * OCH_PAGE_SIZE);
    check(scrub(f, 0, &totals) == OCHRE_CORRUPT);
    check(f->n_damaged == 1 && f->n_derived == 1);
    check(problem_of(f, "long") != NULL && problem_of(f, "things") == NULL);
    /* Without threads it is done when something is sealed. */
    put(f, &target, 300, 2);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    check(first_segment(f, &target).id != before.id);
    check_ok(scrub(f, 0, &totals), &f->err);
    check(problem_of(f, "long") == NULL);
    check_ok(check_offline(f), &f->err);
}

static void
a_damaged_copy_of_the_catalog_is_made_anew(void **state)
{
    struct fixture *f = *state;
    struct och_check_totals totals;
    check(sim_disk_flip(f->disk, "catalog.copy", 300, 1));
    check(scrub(f, 0, &totals) == OCHRE_CORRUPT);
    check(f->n_derived == 1 && strcmp(f->paths, "catalog.copy ") == 0);
    check_ok(scrub(f, 0, &totals), &f->err);
    put(f, &f->others, 300, 2);
    check_ok(check_offline(f), &f->err);
}

/* The catalog's copy is the better one then: it stays. */
static void
a_damaged_catalog_and_log_are_found(void **state)
{
    struct fixture *f = *state;
    struct och_check_totals totals;
    char path[NAME_SIZE] = "";
    check(sim_disk_flip(f->disk, "catalog.db", 12388, 1));
    check(scrub(f, 0, &totals) == OCHRE_CORRUPT);
    check(strstr(f->paths, "catalog.db") != NULL && strstr(f->paths, "copy") == NULL);
    check(sim_disk_flip(f->disk, "catalog.db", 12388, 1));
    check_ok(scrub(f, 0, &totals), &f->err);
    (void) snprintf(path, sizeof(path), "log/%016x.log", 1);
    check(sim_disk_flip(f->disk, path, 4096 + 60, 1));
    check(scrub(f, 0, &totals) == OCHRE_CORRUPT);
    check(strstr(f->paths, "log") != NULL);
}

/* Merge, replace and drop what there is. */
static void
change_all(struct fixture *f)
{
    put(f, &f->things, 400, 30);
    put(f, &f->others, 5, 5);
    check_ok(och_op_compact(f->db, &f->err), &f->err);
    check_ok(och_op_collection_delete(f->db, text("default_tenant"), text("default_database"),
                     text("others"), &f->err),
            &f->err);
    put(f, &f->things, 400, 30);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
}

/* At each read, each time in a new database. */
static void
files_that_go_meanwhile_are_no_damage(void **state)
{
    struct fixture *f = *state;
    struct och_check_totals totals;
    bool has_changed = true;
    for (unsigned n = 1; has_changed; n++) {
        check(tear_down(state) == 0 && set_up(state) == 0);
        f->meanwhile = change_all;
        f->meanwhile_at = n;
        if (scrub(f, RATE, &totals) != OCHRE_OK)
            fail_msg("at wait %u: %s; %s", n, f->err.message, f->paths);
        has_changed = f->meanwhile == NULL;
        check(has_changed || n > 10);
    }
    f->meanwhile = NULL;
    check_ok(check_offline(f), &f->err);
}

static void
it_ends_when_it_is_told_to(void **state)
{
    struct fixture *f = *state;
    struct och_check_totals totals;
    for (f->stop_after = 1; f->stop_after < 8; f->stop_after++)
        check(scrub(f, RATE, &totals) == OCHRE_UNAVAILABLE);
    f->stop_after = 0;
    check_ok(scrub(f, 0, &totals), &f->err);
    och_db_give_up(f->db);
    check(scrub(f, RATE, &totals) == OCHRE_UNAVAILABLE);
}

static void
scrub_inside(struct fixture *f)
{
    const struct och_scrub_options options = {.rate = 0};
    struct och_check_totals totals;
    check(och_op_scrub(f->db, &options, &totals, &f->err) == OCHRE_BUSY);
}

static void
one_at_a_time_and_not_by_readers(void **state)
{
    struct fixture *f = *state;
    struct och_check_totals totals;
    const struct och_scrub_options options = {.rate = 0};
    struct ochre_db *reader;
    f->meanwhile = scrub_inside;
    f->meanwhile_at = 3;
    check_ok(scrub(f, RATE, &totals), &f->err);
    check(f->meanwhile == NULL);
    check_ok(open_db(f, true, &reader), &f->err);
    check(och_op_scrub(reader, &options, &totals, &f->err) == OCHRE_DENIED);
    och_db_close(reader);
}

static void
every_failure_is_told_and_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct och_check_totals totals;
    unsigned n_refused = 0, n_failed = 0;
    const struct och_scrub_options options = {.rate = 0};
    check_ok(scrub(f, 0, &totals), &f->err);
    for (uint64_t n = 1;; n++) {
        size_t used = och_mem_used(&f->mem);
        atomic_store(&f->mem.n_grants, 0);
        f->mem.fail_at = n;
        ochre_status status = och_op_scrub(f->db, &options, &totals, &f->err);
        f->mem.fail_at = 0;
        check(och_mem_used(&f->mem) == used);
        if (status == OCHRE_OK)
            break;
        check(status == OCHRE_NO_MEMORY && ++n_refused < 5000);
    }
    for (uint64_t n = 1;; n++) {
        sim_disk_fail(f->disk, n, SIM_IO_ONCE);
        ochre_status status = och_op_scrub(f->db, &options, &totals, &f->err);
        bool has_failed = sim_disk_has_failed(f->disk);
        sim_disk_fail(f->disk, 0, SIM_IO_ONCE);
        if (!has_failed)
            break;
        check(status == OCHRE_IO || status == OCHRE_OK); /* a second try is as good */
        n_failed += status == OCHRE_IO;
    }
    check(n_refused > 5 && n_failed > 20);
    check_ok(check_offline(f), &f->err);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
            TEST(a_damaged_file_of_deletes_is_found),
            TEST(a_sound_database_is_read_to_its_end),
            TEST(the_pace_is_kept),
            TEST(damaged_records_are_their_collections_problem),
            TEST(what_follows_from_records_is_made_anew),
            TEST(a_damaged_copy_of_the_catalog_is_made_anew),
            TEST(a_damaged_catalog_and_log_are_found),
            TEST(files_that_go_meanwhile_are_no_damage),
            TEST(it_ends_when_it_is_told_to),
            TEST(one_at_a_time_and_not_by_readers),
            TEST(every_failure_is_told_and_leaves_nothing),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
