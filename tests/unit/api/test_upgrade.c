/*
 * test_upgrade.c - an upgrade, its undoing and its settling, with a crash at every call.
 */
#include <stdio.h>
#include <string.h>

#include "api/check.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/schema.h"
#include "api/upgrade.h"
#include "base/hash.h"
#include "distance/distance.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "support/check.h"

enum { DIM = 3, HEAD_ROWS = 20 };

struct fixture {
    struct och_mem own, mem;
    struct sim_disk *disk; /* with a database of an older form */
    struct sim_machine machine;
    struct ochre_db *db;
    struct och_target things;
    uint64_t contents; /* a hash of all that can be read */
    struct ochre_error err;
};

static struct fixture fixture;

static struct ochre_bytes
text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

static ochre_status
open_db(struct fixture *f, struct sim_disk *disk)
{
    struct och_db_options options = {.mem = &f->mem,
            .vfs = sim_disk_vfs(disk),
            .machine = &f->machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .create = true,
            .engine = {.head_rows_max = HEAD_ROWS}};
    return och_db_open(&options, &f->db, &f->err);
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

/* A hash of every record of all collections. */
static uint64_t
read_all(struct fixture *f, struct sim_disk *disk)
{
    uint64_t hash = 1;
    struct och_arena arena;
    struct och_collection_info *infos;
    size_t n_infos;
    check_ok(open_db(f, disk), &f->err);
    och_arena_init(&arena, &f->own);
    check_ok(och_op_collection_list(f->db, &arena, text("default_tenant"), text("default_database"),
                     UINT64_MAX, 0, &infos, &n_infos, &f->err),
            &f->err);
    for (size_t c = 0; c < n_infos; c++) {
        const struct och_target target = {
                infos[c].row.tenant, infos[c].row.database, infos[c].row.id};
        const struct och_get_input all = {.limit = UINT64_MAX, .include = ~0u};
        struct och_result *result;
        check_ok(och_op_get(f->db, &target, &all, &result, &f->err), &f->err);
        for (size_t i = 0; i < result->lists[0].n; i++) {
            const struct ochre_hit *hit = &result->lists[0].hits[i];
            hash = hash * 31 + och_hash64(hit->id.data, hit->id.size);
            hash = hash * 31 + och_hash64(hit->embedding, DIM * sizeof(float));
        }
        hash = hash * 31 + infos[c].log_position;
        och_result_release(result);
    }
    och_arena_clear(&arena);
    och_db_close(f->db);
    f->db = NULL;
    return hash;
}

static int
set_up(void **state)
{
    struct fixture *f = &fixture;
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->own, NULL);
    och_mem_init(&f->mem, NULL);
    f->disk = sim_disk_open(&f->own, 1);
    sim_machine_init(&f->machine, 1);
    check_ok(open_db(f, f->disk), &f->err);
    f->things = create(f, "default_database", "things");
    struct och_target others = create(f, "default_database", "others");
    put(f, &f->things, 0, 30);
    put(f, &others, 0, 5);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    put(f, &f->things, 5, 3);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err); /* a file of deletes */
    put(f, &f->things, 9, 2);
    put(f, &others, 100, 4);
    och_db_close(f->db);
    f->db = NULL;
    f->contents = read_all(f, f->disk);
    /* As it was before there were copies. */
    check_ok(och_vfs_remove(sim_disk_vfs(f->disk), "catalog.copy", &f->err), &f->err);
    check_ok(och_vfs_sync_dir(sim_disk_vfs(f->disk), "", &f->err), &f->err);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    och_db_close(f->db);
    sim_disk_close(f->disk);
    return och_mem_used(&f->mem) == 0 && och_mem_used(&f->own) == 0 ? 0 : 1;
}

/* --- what is done ------------------------------------------------------------------- */

typedef ochre_status work_fn(struct och_vfs *vfs, const struct och_upgrade_options *options,
        struct och_upgrade_totals *totals_out, struct ochre_error *err);

static ochre_status
work(struct fixture *f, struct sim_disk *disk, work_fn *what, bool discard,
        struct och_upgrade_totals *totals)
{
    const struct och_upgrade_options options = {.mem = &f->mem,
            .machine = &f->machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .discard_writes = discard};
    ochre_status status = what(sim_disk_vfs(disk), &options, totals, &f->err);
    check(och_mem_used(&f->mem) == 0);
    return status;
}

static bool
exists(struct sim_disk *disk, const char *path)
{
    bool there;
    check(och_vfs_exists(sim_disk_vfs(disk), path, &there, NULL) == OCHRE_OK);
    return there;
}

/* Names, sizes and bytes of the log, the catalog and all segments. */
struct listing {
    struct och_vfs *vfs;
    struct och_mem *mem;
    const char *dir;
    uint64_t hash;
};

static ochre_status
add_file(void *context, const char *name, bool is_dir)
{
    struct listing *listing = context;
    char path[OCH_PATH_SIZE_MAX];
    check(snprintf(path, sizeof(path), "%s/%s", listing->dir, name) < OCH_PATH_SIZE_MAX);
    if (is_dir) {
        struct listing below = *listing;
        below.dir = path;
        check(och_vfs_list(listing->vfs, path, add_file, &below, NULL) == OCHRE_OK);
        listing->hash = below.hash;
        return OCHRE_OK;
    }
    struct och_file *file;
    uint64_t size;
    check(och_vfs_open(listing->vfs, path, OCH_OPEN_READ, &file, NULL) == OCHRE_OK);
    check(och_file_size(file, &size, NULL) == OCHRE_OK);
    char *bytes = och_mem_take(listing->mem, (size_t) size + 1);
    check(bytes != NULL);
    check(och_file_read_all(file, 0, bytes, (size_t) size, NULL) == OCHRE_OK);
    och_file_close(file);
    listing->hash = och_hash64_seeded(path, strlen(path), listing->hash);
    listing->hash = och_hash64_seeded(bytes, (size_t) size, listing->hash);
    och_mem_release(listing->mem, bytes, (size_t) size + 1);
    return OCHRE_OK;
}

static uint64_t
files_of(struct fixture *f, struct sim_disk *disk)
{
    struct listing listing = {.vfs = sim_disk_vfs(disk), .mem = &f->own, .dir = "."};
    static const char *const dirs[] = {"log", "seg"};
    for (size_t i = 0; i < 2; i++) {
        listing.dir = dirs[i];
        check(och_vfs_list(listing.vfs, dirs[i], add_file, &listing, NULL) == OCHRE_OK);
    }
    return listing.hash;
}

static void
check_sound(struct fixture *f, struct sim_disk *disk)
{
    check_ok(och_check_vfs(sim_disk_vfs(disk), &f->machine.machine, NULL, NULL, &f->err), &f->err);
}

/* --- without crashes ------------------------------------------------------------------ */

static void
what_is_old_is_written_anew_and_put_back(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    uint64_t files = files_of(f, f->disk);
    check_ok(work(f, f->disk, och_upgrade, false, &totals), &f->err);
    check(totals.n_old == 1 && totals.state == OCH_KEPT_WHOLE && totals.kept_unix_s > 0);
    check(files_of(f, f->disk) != files && exists(f->disk, "catalog.copy"));
    check_sound(f, f->disk);
    check(read_all(f, f->disk) == f->contents);
    check_ok(work(f, f->disk, och_upgrade, false, &totals), &f->err); /* nothing is left to do */
    check(totals.n_old == 0 && totals.state == OCH_KEPT_WHOLE);
    check_ok(work(f, f->disk, och_upgrade_revert, false, &totals), &f->err);
    check(totals.state == OCH_KEPT_NONE && !exists(f->disk, "upgrade"));
    check(files_of(f, f->disk) == files && !exists(f->disk, "catalog.copy"));
    check_sound(f, f->disk);
    check(read_all(f, f->disk) == f->contents);
    check(work(f, f->disk, och_upgrade_revert, false, &totals) == OCHRE_NOT_FOUND);
    check(work(f, f->disk, och_upgrade_commit, false, &totals) == OCHRE_NOT_FOUND);
}

static void
settled_it_stays(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    check_ok(work(f, f->disk, och_upgrade, false, &totals), &f->err);
    check_ok(work(f, f->disk, och_upgrade_commit, false, &totals), &f->err);
    check(totals.state == OCH_KEPT_NONE && !exists(f->disk, "upgrade"));
    check(work(f, f->disk, och_upgrade_revert, true, &totals) == OCHRE_NOT_FOUND);
    check_sound(f, f->disk);
    check(read_all(f, f->disk) == f->contents);
}

static void
what_was_written_since_is_not_lost_unless_that_is_said(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    check_ok(work(f, f->disk, och_upgrade, false, &totals), &f->err);
    check_ok(open_db(f, f->disk), &f->err);
    put(f, &f->things, 200, 1);
    och_db_close(f->db);
    f->db = NULL;
    uint64_t contents = read_all(f, f->disk);
    check(contents != f->contents);
    check(work(f, f->disk, och_upgrade_revert, false, &totals) == OCHRE_EXISTS);
    check(strstr(f->err.message, "--discard-writes") != NULL);
    check(read_all(f, f->disk) == contents);
    check_ok(work(f, f->disk, och_upgrade_revert, true, &totals), &f->err);
    check(read_all(f, f->disk) == f->contents);
}

/* What has no record, nor a collection, would be lost as well. */
static void
what_was_made_since_is_not_lost_either(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    const struct ochre_bytes tenant = text("a-tenant");
    for (int what = 0; what < 3; what++) {
        struct sim_disk *disk = sim_disk_clone(f->disk);
        check_ok(work(f, disk, och_upgrade, false, &totals), &f->err);
        check(totals.n_old > 0);
        check_ok(open_db(f, disk), &f->err);
        if (what == 0)
            check_ok(och_op_tenant_create(f->db, tenant, &f->err), &f->err);
        else if (what == 1)
            check_ok(och_op_tenant_update(f->db, text("default_tenant"), text("named"), &f->err),
                    &f->err);
        else
            check_ok(och_op_database_create(f->db, text("default_tenant"), text("more"), &f->err),
                    &f->err);
        och_db_close(f->db);
        f->db = NULL;
        check(work(f, disk, och_upgrade_revert, false, &totals) == OCHRE_EXISTS);
        check_ok(work(f, disk, och_upgrade_revert, true, &totals), &f->err);
        check(read_all(f, disk) == f->contents);
        sim_disk_close(disk);
    }
}

/* A purge says that what is kept has what was deleted, and does the rest. */
static void
a_purge_says_that_an_upgrade_is_not_settled(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    bool was_due = false;
    check_ok(work(f, f->disk, och_upgrade, false, &totals), &f->err);
    check(totals.state == OCH_KEPT_WHOLE);
    check_ok(open_db(f, f->disk), &f->err);
    check(och_op_purge(f->db, &f->err) == OCHRE_UNAVAILABLE);
    check(strstr(f->err.message, "--commit") != NULL);
    /* It is told once for what was written, not every hour. */
    check_ok(och_op_purge_due(f->db, &was_due, &f->err), &f->err);
    check(!was_due);
    put(f, &f->things, 300, 1);
    check(och_op_purge_due(f->db, &was_due, &f->err) == OCHRE_UNAVAILABLE && was_due);
    och_db_close(f->db);
    f->db = NULL;
    check_ok(work(f, f->disk, och_upgrade_commit, false, &totals), &f->err);
    check_ok(open_db(f, f->disk), &f->err);
    check_ok(och_op_purge(f->db, &f->err), &f->err);
    och_db_close(f->db);
    f->db = NULL;
}

/* Damage is neither upgraded nor put back. */
static void
damage_is_left_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    struct sim_disk *disk = sim_disk_clone(f->disk);
    check(sim_disk_flip(disk, "log/0000000000000001.log", 4096 + 70, 1));
    check(work(f, disk, och_upgrade, false, &totals) == OCHRE_CORRUPT);
    check(!exists(disk, "upgrade/KEPT"));
    sim_disk_close(disk);
    check_ok(work(f, f->disk, och_upgrade, false, &totals), &f->err);
    check(sim_disk_flip(f->disk, "upgrade/catalog.db", 5000, 1));
    uint64_t files = files_of(f, f->disk);
    check(work(f, f->disk, och_upgrade_revert, false, &totals) == OCHRE_CORRUPT);
    check(files_of(f, f->disk) == files);
    check(read_all(f, f->disk) == f->contents);
}

/* --- with a crash at every call --------------------------------------------------------- */

/* After a crash: it opens with what it had, and what was begun can be done and undone. */
static void
check_after(struct fixture *f, struct sim_disk *disk, work_fn *what)
{
    struct och_upgrade_totals totals;
    check(read_all(f, disk) == f->contents);
    check_sound(f, disk);
    ochre_status status = work(f, disk, what, false, &totals);
    check(status == OCHRE_OK || (what != och_upgrade && status == OCHRE_NOT_FOUND));
    check(read_all(f, disk) == f->contents);
    status = work(f, disk, och_upgrade_revert, false, &totals);
    check(status == OCHRE_OK || status == OCHRE_NOT_FOUND);
    check(read_all(f, disk) == f->contents && !exists(disk, "upgrade"));
    check_sound(f, disk);
}

/* Could it be put back? */
static bool
is_kept(struct fixture *f, struct sim_disk *disk)
{
    enum och_kept_state state = OCH_KEPT_NONE;
    check_ok(och_kept_look(sim_disk_vfs(disk), &state, &f->err), &f->err);
    return state == OCH_KEPT_WHOLE;
}

static unsigned
sweep(struct fixture *f, work_fn *what)
{
    struct och_upgrade_totals totals;
    unsigned n_points = 0;
    bool has_crashed = true;
    sim_disk_recover(f->disk, SIM_ALL_KEPT, 1); /* nothing of before is pending */
    uint64_t files = files_of(f, f->disk);
    for (uint64_t n = 1; has_crashed; n++) {
        struct sim_disk *crashed = sim_disk_clone(f->disk);
        sim_disk_crash(crashed, n, SIM_BEFORE);
        ochre_status status = work(f, crashed, what, false, &totals);
        has_crashed = sim_disk_has_crashed(crashed);
        check(has_crashed || status == OCHRE_OK);
        /* One way to lose what was not synced at each call, in turn. */
        sim_disk_recover(crashed, (enum sim_mode)(n % SIM_N_MODES), n);
        check(what != och_upgrade || is_kept(f, crashed) || files_of(f, crashed) == files);
        check_after(f, crashed, what);
        n_points++;
        sim_disk_close(crashed);
    }
    return n_points;
}

static void
a_crash_of_an_upgrade_leaves_it_as_before_or_upgraded(void **state)
{
    struct fixture *f = *state;
    check(sweep(f, och_upgrade) > 100);
}

static void
a_crash_of_its_undoing_and_of_its_settling_too(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    check_ok(work(f, f->disk, och_upgrade, false, &totals), &f->err);
    check(sweep(f, och_upgrade_revert) > 50);
    check(sweep(f, och_upgrade_commit) > 10);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
            TEST(what_is_old_is_written_anew_and_put_back),
            TEST(settled_it_stays),
            TEST(what_was_written_since_is_not_lost_unless_that_is_said),
            TEST(what_was_made_since_is_not_lost_either),
            TEST(a_purge_says_that_an_upgrade_is_not_settled),
            TEST(damage_is_left_as_it_is),
            TEST(a_crash_of_an_upgrade_leaves_it_as_before_or_upgraded),
            TEST(a_crash_of_its_undoing_and_of_its_settling_too),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
