/*
 * test_upgrade_online.c - an upgrade of a database that is written meanwhile.
 *
 * What the upgrade tells (a file is old, a part of the work begins) is where the tests write,
 * so that writes come at known places of it: steps.  What can be read after each step is known
 * from a run without faults.
 */
#include <stdio.h>
#include <string.h>

#include "api/check.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/schema.h"
#include "api/upgrade.h"
#include "base/buf.h"
#include "base/hash.h"
#include "distance/distance.h"
#include "drivers/catalog_sqlite.h"
#include "os/thread.h"
#include "os/vfs.h"
#include "segment/layout.h"
#include "segment/segment.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "support/check.h"

enum { DIM = 3, HEAD_ROWS = 20, N_STEPS = 6, N_OLD = 4 };

struct fixture {
    struct och_mem own, mem;
    struct sim_disk *disk; /* with a database of an older form, closed */
    struct sim_machine machine;
    struct ochre_db *db;
    struct och_target things, others;
    uint64_t contents[N_STEPS + 1]; /* a hash of all that can be read, after so many steps */
    unsigned n_steps;               /* taken: acknowledged */
    bool has_failed;                /* the step after them was tried */
    bool notes;                     /* this run says what `contents` are */
    bool asks;                      /* ... is what asks for a second one at a time */
    struct ochre_error err;
};

static struct fixture fixture;

static struct ochre_bytes
text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

static ochre_status
open_as(struct fixture *f, struct sim_disk *disk, bool read_only, struct ochre_db **db_out)
{
    struct och_db_options options = {.mem = &f->mem,
            .vfs = sim_disk_vfs(disk),
            .machine = &f->machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .create = !read_only,
            .read_only = read_only,
            .engine = {.head_rows_max = HEAD_ROWS}};
    return och_db_open(&options, db_out, &f->err);
}

static void
open_db(struct fixture *f, struct sim_disk *disk)
{
    check_ok(open_as(f, disk, false, &f->db), &f->err);
}

static void
close_db(struct fixture *f)
{
    och_db_close(f->db);
    f->db = NULL;
}

static struct och_target
create(struct fixture *f, const char *name)
{
    struct och_arena arena;
    struct och_schema_request *indexes;
    struct och_collection_info info;
    och_arena_init(&arena, &f->own);
    check_ok(och_schema_request_parse(&arena, NULL, NULL, &indexes, &f->err), &f->err);
    struct och_create what = {.tenant = text("default_tenant"),
            .database = text("default_database"),
            .name = text(name),
            .indexes = indexes};
    check_ok(och_op_collection_create(f->db, &arena, &what, &info, &f->err), &f->err);
    och_arena_clear(&arena);
    return (struct och_target){what.tenant, what.database, info.row.id};
}

static ochre_status
try_put(struct ochre_db *db, const struct och_target *target, int first, int n,
        struct ochre_error *err)
{
    char ids[64][16];
    struct ochre_bytes names[64];
    float vectors[64 * DIM];
    struct ochre_field fields[64];
    struct ochre_metadata metadatas[64];
    check(n <= 64);
    for (int i = 0; i < n; i++) {
        (void) snprintf(ids[i], sizeof(ids[i]), "id-%d", first + i);
        names[i] = text(ids[i]);
        fields[i] =
                (struct ochre_field){text("n"), {.type = OCHRE_VALUE_INT, .as.integer = first + i}};
        metadatas[i] = (struct ochre_metadata){&fields[i], 1};
        for (int d = 0; d < DIM; d++)
            vectors[i * DIM + d] = (float) (first + i * d);
    }
    struct och_write_input input = {.records = {.n = (size_t) n,
                                            .ids = names,
                                            .embeddings = vectors,
                                            .dim = DIM,
                                            .documents = names,
                                            .metadatas = metadatas},
            .n_embeddings = (size_t) n,
            .n_documents = (size_t) n,
            .n_uris = OCH_NOT_GIVEN,
            .n_metadatas = (size_t) n};
    struct och_written written;
    return och_op_write(db, target, OCH_WRITE_UPSERT, &input, &written, err);
}

static void
put(struct fixture *f, const struct och_target *target, int first, int n)
{
    check_ok(try_put(f->db, target, first, n, &f->err), &f->err);
}

/* A hash of every record of all collections, of their names and of those of tenants. */
static uint64_t
contents_of(struct fixture *f, struct ochre_db *db)
{
    uint64_t hash = 1;
    struct och_arena arena;
    struct och_collection_info *infos;
    struct och_tenant_row *tenants;
    size_t n_infos, n_tenants;
    och_arena_init(&arena, &f->own);
    check_ok(db->catalog->ops->tenant_list(db->catalog, &arena, &tenants, &n_tenants, &f->err),
            &f->err);
    for (size_t i = 0; i < n_tenants; i++)
        hash = hash * 31 + och_hash64(tenants[i].name.data, tenants[i].name.size);
    check_ok(och_op_collection_list(db, &arena, text("default_tenant"), text("default_database"),
                     UINT64_MAX, 0, &infos, &n_infos, &f->err),
            &f->err);
    for (size_t c = 0; c < n_infos; c++) {
        const struct och_collection_row *row = &infos[c].row;
        const struct och_target target = {row->tenant, row->database, row->id};
        const struct och_get_input all = {.limit = UINT64_MAX, .include = ~0u};
        struct och_result *result;
        check_ok(och_op_get(db, &target, &all, &result, &f->err), &f->err);
        for (size_t i = 0; i < result->lists[0].n; i++) {
            const struct ochre_hit *hit = &result->lists[0].hits[i];
            hash = hash * 31 + och_hash64(hit->id.data, hit->id.size);
            hash = hash * 31 + och_hash64(hit->embedding, DIM * sizeof(float));
            check(hit->metadata.n_fields == 1);
            hash = hash * 31 + (uint64_t) hit->metadata.fields[0].value.as.integer;
        }
        hash = hash * 31 + och_hash64(row->name.data, row->name.size);
        hash = hash * 31 + infos[c].log_position;
        och_result_release(result);
    }
    och_arena_clear(&arena);
    return hash;
}

static uint64_t
read_all(struct fixture *f, struct sim_disk *disk)
{
    struct ochre_db *db;
    check_ok(open_as(f, disk, false, &db), &f->err);
    uint64_t hash = contents_of(f, db);
    och_db_close(db);
    return hash;
}

/* --- an older form ----------------------------------------------------------------- */

static void
overwrite(struct sim_disk *disk, const char *path, uint64_t at, const void *bytes, size_t size)
{
    struct och_file *file;
    check(och_vfs_open(sim_disk_vfs(disk), path, OCH_OPEN_WRITE, &file, NULL) == OCHRE_OK);
    check(och_file_write(file, at, bytes, size, NULL) == OCHRE_OK);
    check(och_file_sync(file, NULL) == OCHRE_OK);
    och_file_close(file);
}

/* A segment that has no index of metadata: its section is of a kind that nobody knows. */
static void
age_segment(struct fixture *f, struct och_uuid id, struct och_segment_row *row)
{
    enum { SIZE_MAX_HERE = 1 << 20 };
    static char bytes[SIZE_MAX_HERE];
    char path[OCH_PATH_SIZE_MAX];
    struct och_file *file;
    size_t size = (size_t) row->file_size;
    och_segment_path(path, sizeof(path), id, row->id);
    check(size <= sizeof(bytes));
    check(och_vfs_open(sim_disk_vfs(f->disk), path, OCH_OPEN_READ, &file, NULL) == OCHRE_OK);
    check(och_file_read_all(file, 0, bytes, size, NULL) == OCHRE_OK);
    och_file_close(file);
    char *footer = bytes + size - OCH_SEGMENT_FOOTER_SIZE;
    char *root = bytes + och_load_u64(footer);
    for (uint32_t i = 0; i < och_load_u32(root); i++) {
        char *entry = root + 4 + i * OCH_SEGMENT_ENTRY_SIZE;
        if (entry[0] == OCH_SECTION_COLUMNS && entry[1] == 0)
            entry[0] = 99;
    }
    och_store_u64(footer + 32, och_hash64(root, och_load_u64(footer + 8)));
    och_store_u64(footer + 48, och_hash64(footer, 48));
    row->file_hash = och_load_u64(footer + 48);
    overwrite(f->disk, path, 0, bytes, size);
}

static void
age_collection(struct fixture *f, struct och_catalog *catalog, struct och_uuid id)
{
    struct och_arena arena;
    struct och_collection_state state;
    struct och_segment_row *rows;
    size_t n;
    och_arena_init(&arena, &f->own);
    check_ok(catalog->ops->state_get(catalog, &arena, id, &state, &rows, &n, &f->err), &f->err);
    check(n > 0);
    for (size_t i = 0; i < n; i++)
        age_segment(f, id, &rows[i]);
    check_ok(catalog->ops->state_set(catalog, id, &state, rows, n, &f->err), &f->err);
    och_arena_clear(&arena);
}

static void
age(struct fixture *f)
{
    static const char zeros[64];
    struct och_catalog *catalog;
    const struct och_catalog_sqlite_options options = {
            .mem = &f->mem, .vfs = sim_disk_vfs(f->disk)};
    check_ok(och_catalog_sqlite_open_with(&options, &catalog, &f->err), &f->err);
    age_collection(f, catalog, f->things.id);
    age_collection(f, catalog, f->others.id);
    catalog->ops->close(catalog);
    overwrite(f->disk, "log/0000000000000001.log", 2048, zeros, sizeof(zeros));
}

/* --- steps ----------------------------------------------------------------------------- */

static ochre_status
take_step(struct fixture *f, unsigned i)
{
    struct och_arena arena;
    struct och_collection_info info;
    ochre_status status = OCHRE_INTERNAL;
    switch (i) {
    case 0:
        return try_put(f->db, &f->things, 9, 2, NULL); /* the last that is kept */
    case 1:
        return try_put(f->db, &f->things, 200, 3, NULL);
    case 2:
        return och_op_tenant_create(f->db, text("since"), NULL);
    case 3: /* of a collection whose files are old still */
        och_arena_init(&arena, &f->own);
        status = och_op_collection_fork(f->db, &arena, &f->things, text("fork"), &info, NULL);
        och_arena_clear(&arena);
        return status;
    case 4:
        return try_put(f->db, &f->things, 5, 1, NULL);
    case 5:
        return try_put(f->db, &f->others, 0, 7, NULL);
    default:
        return status;
    }
}

/* Up to the n-th step, unless one has failed. */
static void
step_to(struct fixture *f, unsigned n)
{
    while (f->n_steps < n && !f->has_failed) {
        f->has_failed = take_step(f, f->n_steps) != OCHRE_OK;
        if (f->has_failed)
            return;
        f->n_steps++;
        if (f->notes)
            f->contents[f->n_steps] = contents_of(f, f->db);
    }
}

static void
report(void *context, const char *path, const char *why)
{
    struct fixture *f = context;
    check(path[0] != '\0' && why[0] != '\0');
    step_to(f, 2);
    if (f->asks) {
        struct och_upgrade_totals totals;
        const struct och_upgrade_options options = {.report = NULL};
        check(och_op_upgrade(f->db, &options, &totals, &f->err) == OCHRE_BUSY);
        check(och_op_upgrade_commit(f->db, &totals, &f->err) == OCHRE_BUSY);
        check(och_op_compact(f->db, &f->err) == OCHRE_BUSY);
        check(och_op_purge(f->db, &f->err) == OCHRE_BUSY);
        check_ok(och_op_upgrade_look(f->db, &options, &totals, &f->err), &f->err);
        check(totals.n_old == N_OLD && totals.state == OCH_KEPT_NONE);
    }
}

static void
progress(void *context, const char *phase, uint64_t done, uint64_t total)
{
    (void) done;
    (void) total;
    step_to(context, phase[0] == 'c' ? 3 : phase[0] == 'w' ? 5 : N_STEPS);
}

/* Upgrade the database that is open, with the steps after the first. */
static ochre_status
upgrade(struct fixture *f, struct och_upgrade_totals *totals)
{
    const struct och_upgrade_options options = {
            .report = report, .progress = progress, .context = f};
    return och_op_upgrade(f->db, &options, totals, &f->err);
}

static ochre_status
upgrade_alone(struct fixture *f, struct och_upgrade_totals *totals)
{
    const struct och_upgrade_options options = {.report = NULL};
    return och_op_upgrade(f->db, &options, totals, &f->err);
}

static uint64_t
n_old(struct fixture *f)
{
    struct och_upgrade_totals totals;
    const struct och_upgrade_options options = {.report = NULL};
    check_ok(och_op_upgrade_look(f->db, &options, &totals, &f->err), &f->err);
    return totals.n_old;
}

static ochre_status
revert(struct fixture *f, struct sim_disk *disk, bool discard)
{
    struct och_upgrade_totals totals;
    const struct och_upgrade_options options = {.mem = &f->mem,
            .machine = &f->machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .discard_writes = discard};
    return och_upgrade_revert(sim_disk_vfs(disk), &options, &totals, &f->err);
}

static bool
exists(struct sim_disk *disk, const char *path)
{
    bool there;
    check(och_vfs_exists(sim_disk_vfs(disk), path, &there, NULL) == OCHRE_OK);
    return there;
}

static enum och_kept_state
kept_state(struct sim_disk *disk)
{
    enum och_kept_state state = OCH_KEPT_NONE;
    check(och_kept_look(sim_disk_vfs(disk), &state, NULL) == OCHRE_OK);
    return state;
}

static void
check_sound(struct fixture *f, struct sim_disk *disk)
{
    check_ok(och_check_vfs(sim_disk_vfs(disk), &f->machine.machine, NULL, NULL, &f->err), &f->err);
}

/* --- files -------------------------------------------------------------------------------- */

/* Names and bytes of all that is in seg/, whatever the order. */
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
    listing->hash += och_hash64_seeded(bytes, (size_t) size, och_hash64(path, strlen(path)));
    och_mem_release(listing->mem, bytes, (size_t) size + 1);
    return OCHRE_OK;
}

static uint64_t
segments_of(struct fixture *f, struct sim_disk *disk)
{
    struct listing listing = {.vfs = sim_disk_vfs(disk), .mem = &f->own, .dir = "seg"};
    check(och_vfs_list(listing.vfs, "seg", add_file, &listing, NULL) == OCHRE_OK);
    return listing.hash;
}

/* --- the fixture ---------------------------------------------------------------------------- */

static int
set_up(void **state)
{
    struct fixture *f = &fixture;
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->own, NULL);
    och_mem_init(&f->mem, NULL);
    f->disk = sim_disk_open(&f->own, 1);
    sim_machine_init(&f->machine, 1);
    open_db(f, f->disk);
    f->things = create(f, "things");
    f->others = create(f, "others");
    put(f, &f->things, 0, 30);
    put(f, &f->others, 0, 5);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    put(f, &f->things, 5, 3);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err); /* a file of deletes */
    put(f, &f->others, 100, 4);
    close_db(f);
    age(f);
    check_sound(f, f->disk);
    f->contents[0] = read_all(f, f->disk);
    sim_disk_recover(f->disk, SIM_ALL_KEPT, 1); /* nothing of before is pending */
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

static void
begin(struct fixture *f, struct sim_disk *disk)
{
    f->n_steps = 0;
    f->has_failed = false;
    open_db(f, disk);
    step_to(f, 1);
}

/* Without faults: what can be read after each step. */
static void
note_contents(struct fixture *f)
{
    struct och_upgrade_totals totals;
    struct sim_disk *disk = sim_disk_clone(f->disk);
    f->notes = true;
    begin(f, disk);
    check_ok(upgrade(f, &totals), &f->err);
    check(f->n_steps == N_STEPS && !f->has_failed);
    close_db(f);
    f->notes = false;
    sim_disk_close(disk);
    for (unsigned i = 0; i < N_STEPS; i++)
        check(f->contents[i] != f->contents[i + 1]);
}

/* --- without faults ------------------------------------------------------------------------- */

static void
what_is_old_is_written_anew_while_it_is_written(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    f->notes = true;
    begin(f, f->disk);
    check(n_old(f) == N_OLD && kept_state(f->disk) == OCH_KEPT_NONE);
    check_ok(upgrade(f, &totals), &f->err);
    check(f->n_steps == N_STEPS && !f->has_failed);
    check(totals.n_old == N_OLD && totals.state == OCH_KEPT_WHOLE && totals.kept_unix_s > 0);
    check(n_old(f) == 0); /* with the fork, which had old files */
    check(contents_of(f, f->db) == f->contents[N_STEPS]);
    check_ok(upgrade_alone(f, &totals), &f->err);
    check(totals.n_old == 0 && totals.state == OCH_KEPT_WHOLE); /* and stays */
    close_db(f);
    check_sound(f, f->disk);
    check(read_all(f, f->disk) == f->contents[N_STEPS]);
    /* What was written since is not lost, unless that is said; then that moment is back. */
    check(revert(f, f->disk, false) == OCHRE_EXISTS);
    check(read_all(f, f->disk) == f->contents[N_STEPS]);
    check_ok(revert(f, f->disk, true), &f->err);
    check(!exists(f->disk, "upgrade"));
    check_sound(f, f->disk);
    check(read_all(f, f->disk) == f->contents[1]);
    open_db(f, f->disk);
    check(n_old(f) == N_OLD);
    close_db(f);
}

static void
with_nothing_written_since_it_is_put_back_as_it_was(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    uint64_t segments = segments_of(f, f->disk);
    open_db(f, f->disk);
    check_ok(upgrade_alone(f, &totals), &f->err);
    check(totals.n_old == N_OLD && totals.state == OCH_KEPT_WHOLE);
    close_db(f);
    check(segments_of(f, f->disk) != segments);
    check_ok(revert(f, f->disk, false), &f->err);
    check(segments_of(f, f->disk) == segments);
    check_sound(f, f->disk);
    check(read_all(f, f->disk) == f->contents[0]);
}

static void
it_is_settled_in_use(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    note_contents(f);
    begin(f, f->disk);
    check(och_op_upgrade_commit(f->db, &totals, &f->err) == OCHRE_NOT_FOUND);
    check_ok(upgrade(f, &totals), &f->err);
    check(och_op_purge(f->db, &f->err) == OCHRE_UNAVAILABLE);
    check(strstr(f->err.message, "/ochre/v1/upgrade/commit") != NULL);
    check_ok(och_op_upgrade_commit(f->db, &totals, &f->err), &f->err);
    check(totals.state == OCH_KEPT_NONE && !exists(f->disk, "upgrade"));
    check_ok(och_op_purge(f->db, &f->err), &f->err);
    check(och_op_upgrade_commit(f->db, &totals, &f->err) == OCHRE_NOT_FOUND);
    close_db(f);
    check(revert(f, f->disk, true) == OCHRE_NOT_FOUND);
    check_sound(f, f->disk);
    check(read_all(f, f->disk) == f->contents[N_STEPS]);
}

static void
one_upgrade_compaction_or_purge_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    begin(f, f->disk);
    f->asks = true;
    check_ok(upgrade(f, &totals), &f->err);
    check(totals.n_old == N_OLD);
    check_ok(och_op_compact(f->db, &f->err), &f->err); /* and then the next */
}

static void
who_only_reads_upgrades_nothing(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    const struct och_upgrade_options options = {.report = NULL};
    check_ok(open_as(f, f->disk, true, &f->db), &f->err);
    check(och_op_upgrade(f->db, &options, &totals, &f->err) == OCHRE_DENIED);
    check(och_op_upgrade_look(f->db, &options, &totals, &f->err) == OCHRE_DENIED);
    check(och_op_upgrade_commit(f->db, &totals, &f->err) == OCHRE_DENIED);
    check(!exists(f->disk, "upgrade"));
}

static void
nothing_old_is_nothing_to_do(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    open_db(f, f->disk);
    check_ok(upgrade_alone(f, &totals), &f->err);
    check_ok(och_op_upgrade_commit(f->db, &totals, &f->err), &f->err);
    uint64_t segments = segments_of(f, f->disk);
    put(f, &f->things, 300, 1);
    check_ok(upgrade_alone(f, &totals), &f->err);
    check(totals.n_old == 0 && totals.state == OCH_KEPT_NONE && totals.kept_unix_s == 0);
    check(segments_of(f, f->disk) == segments && !exists(f->disk, "upgrade"));
}

/* A damaged one is left as it is, and goes on with what is whole. */
static void
damage_is_left_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    char path[OCH_PATH_SIZE_MAX];
    open_db(f, f->disk);
    och_segment_path(path, sizeof(path), f->others.id, 2);
    if (!exists(f->disk, path))
        och_segment_path(path, sizeof(path), f->others.id, 1);
    check(sim_disk_flip(f->disk, path, 64 * 1024 + 5, 1));
    uint64_t segments = segments_of(f, f->disk);
    check(upgrade_alone(f, &totals) == OCHRE_CORRUPT);
    check(strstr(f->err.message, "left as it is") != NULL);
    check(segments_of(f, f->disk) == segments && !exists(f->disk, "upgrade"));
    put(f, &f->things, 300, 1);
    check_ok(och_op_upgrade_look(
                     f->db, &(struct och_upgrade_options){.report = NULL}, &totals, &f->err),
            &f->err);
    check(totals.n_old == N_OLD);
}

/* A backup that is being read needs the old log; after it the same call goes on. */
static ochre_status
look_at_nothing(void *context, struct och_engine *engine, struct ochre_error *err)
{
    (void) context;
    (void) engine;
    (void) err;
    return OCHRE_OK;
}

static void
who_holds_the_files_is_waited_for_by_another_call(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    begin(f, f->disk);
    check_ok(och_engine_hold(f->db->engine, look_at_nothing, NULL, &f->err), &f->err);
    check(upgrade_alone(f, &totals) == OCHRE_UNAVAILABLE);
    check(strstr(f->err.message, "a backup") != NULL);
    check(kept_state(f->disk) == OCH_KEPT_WHOLE);
    och_engine_let_go(f->db->engine);
    check_ok(upgrade_alone(f, &totals), &f->err);
    check(n_old(f) == 0);
    close_db(f);
    check_ok(revert(f, f->disk, false), &f->err);
}

static void
a_closing_ends_it(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    begin(f, f->disk);
    och_db_give_up(f->db);
    check(upgrade_alone(f, &totals) == OCHRE_UNAVAILABLE);
    check(!exists(f->disk, "upgrade"));
    close_db(f);
    open_db(f, f->disk);
    check_ok(upgrade_alone(f, &totals), &f->err);
}

/* --- with faults ---------------------------------------------------------------------------- */

/* What was acknowledged is there, and nothing else but what was being written. */
static void
check_contents(const struct fixture *f, uint64_t contents)
{
    check(contents == f->contents[f->n_steps] ||
            (f->has_failed && contents == f->contents[f->n_steps + 1]));
}

/* The disk after a fault: what is kept is that moment, or of no account; and the same call
 * goes on. */
static void
check_after(struct fixture *f, struct sim_disk *disk)
{
    struct och_upgrade_totals totals;
    bool is_kept = kept_state(disk) == OCH_KEPT_WHOLE;
    uint64_t contents = read_all(f, disk);
    check_contents(f, contents);
    check_sound(f, disk);
    struct sim_disk *again = sim_disk_clone(disk);
    if (is_kept) {
        check_ok(revert(f, disk, true), &f->err);
        check(read_all(f, disk) == f->contents[1]);
        check_sound(f, disk);
    } else {
        check(revert(f, disk, true) == OCHRE_NOT_FOUND);
    }
    check(!exists(disk, "upgrade"));
    open_db(f, again);
    check_ok(upgrade_alone(f, &totals), &f->err);
    check(n_old(f) == 0 && contents_of(f, f->db) == contents);
    close_db(f);
    if (kept_state(again) == OCH_KEPT_WHOLE) {
        check_ok(revert(f, again, true), &f->err);
        check(read_all(f, again) == (is_kept ? f->contents[1] : contents));
    }
    check_sound(f, again);
    sim_disk_close(again);
}

static void
a_crash_at_any_call_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    unsigned n_kept = 0, n_points = 0;
    bool has_crashed = true;
    note_contents(f);
    for (uint64_t n = 1; has_crashed; n += CHECK_ONE_IN) {
        struct sim_disk *disk = sim_disk_clone(f->disk);
        begin(f, disk);
        sim_disk_crash(disk, n, SIM_BEFORE);
        ochre_status status = upgrade(f, &totals);
        has_crashed = sim_disk_has_crashed(disk);
        check(has_crashed || status == OCHRE_OK);
        close_db(f);
        check(och_mem_used(&f->mem) == 0);
        sim_disk_recover(disk, (enum sim_mode)(n / CHECK_ONE_IN % SIM_N_MODES), n);
        n_kept += kept_state(disk) == OCH_KEPT_WHOLE;
        n_points++;
        check_after(f, disk);
        sim_disk_close(disk);
    }
    check(n_points * CHECK_ONE_IN > 300 && n_kept > n_points / 4 && n_kept < n_points);
}

static void
a_crash_of_its_settling_leaves_it_upgraded(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    bool has_crashed = true;
    note_contents(f);
    begin(f, f->disk);
    check_ok(upgrade(f, &totals), &f->err);
    close_db(f);
    for (uint64_t n = 1; has_crashed; n++) {
        struct sim_disk *disk = sim_disk_clone(f->disk);
        open_db(f, disk);
        sim_disk_crash(disk, n, SIM_BEFORE);
        ochre_status status = och_op_upgrade_commit(f->db, &totals, &f->err);
        has_crashed = sim_disk_has_crashed(disk);
        check(has_crashed || status == OCHRE_OK);
        close_db(f);
        sim_disk_recover(disk, (enum sim_mode)(n % SIM_N_MODES), n);
        check_after(f, disk);
        sim_disk_close(disk);
    }
}

/* With this fault at the n-th call, or the n-th that needs space; false: there is none so late. */
static bool
fail_at(struct fixture *f, uint64_t n, enum sim_fault fault)
{
    struct och_upgrade_totals totals;
    struct sim_disk *disk = sim_disk_clone(f->disk);
    begin(f, disk);
    uint64_t n_calls = sim_disk_n_calls(disk);
    sim_disk_fail(disk, n, fault);
    ochre_status status = upgrade(f, &totals);
    sim_disk_fail(disk, 0, fault);
    n_calls = sim_disk_n_calls(disk) - n_calls;
    check(kept_state(disk) != OCH_KEPT_PART || status == OCHRE_IO || fault == SIM_FULL_FROM);
    close_db(f);
    check(och_mem_used(&f->mem) == 0);
    check_after(f, disk);
    sim_disk_close(disk);
    return fault == SIM_IO_ONCE ? n <= n_calls : status != OCHRE_OK || f->n_steps < N_STEPS;
}

static void
a_call_that_fails_loses_nothing(void **state)
{
    struct fixture *f = *state;
    note_contents(f);
    uint64_t n = 1, n_space = 1;
    while (fail_at(f, n, SIM_IO_ONCE))
        n += CHECK_ONE_IN;
    check(n > 300);
    while (fail_at(f, n_space, SIM_FULL_FROM))
        n_space += CHECK_ONE_IN;
    check(n_space > 50);
    for (n = 1; n < n_space; n += CHECK_ONE_IN)
        (void) fail_at(f, n, SIM_FULL_ONCE);
}

static void
memory_that_runs_out_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    note_contents(f);
    unsigned n_failed = 0;
    uint64_t n_grants = UINT64_MAX;
    for (uint64_t n = 1; n <= n_grants; n += CHECK_ONE_IN) {
        struct sim_disk *disk = sim_disk_clone(f->disk);
        begin(f, disk);
        f->mem.n_grants = 0;
        f->mem.fail_at = n;
        ochre_status status = upgrade(f, &totals);
        f->mem.fail_at = 0;
        if (f->mem.n_grants < n)
            n_grants = f->mem.n_grants; /* all of them were refused once */
        n_failed += status != OCHRE_OK;
        close_db(f);
        check(och_mem_used(&f->mem) == 0);
        check_after(f, disk);
        sim_disk_close(disk);
    }
    check(n_failed > 10);
}

/* --- threads -------------------------------------------------------------------------------- */

struct writer {
    struct fixture *f;
    const struct och_target *target;
    atomic_bool *ends;
    int n; /* acknowledged, from 1,000 on */
};

static void
write_on(void *context)
{
    struct writer *writer = context;
    while (!atomic_load(writer->ends) && writer->n < 100000) {
        struct ochre_error err;
        check_ok(try_put(writer->f->db, writer->target, 1000 + writer->n, 1, &err), &err);
        writer->n++;
    }
}

static uint64_t
count(struct fixture *f, const struct och_target *target)
{
    uint64_t n = 0, position;
    check_ok(och_op_count(f->db, target, NULL, &n, &position, &f->err), &f->err);
    return n;
}

static void
writers_go_on_beside_it(void **state)
{
    struct fixture *f = *state;
    struct och_upgrade_totals totals;
    atomic_bool ends = false;
    struct och_thread threads[2];
    open_db(f, f->disk);
    const uint64_t n_before[] = {count(f, &f->things), count(f, &f->others)};
    struct writer writers[] = {{f, &f->things, &ends, 0}, {f, &f->others, &ends, 0}};
    for (int i = 0; i < 2; i++)
        check_ok(och_thread_start(&threads[i], "writer", write_on, &writers[i], &f->err), &f->err);
    ochre_status status = upgrade_alone(f, &totals);
    atomic_store(&ends, true);
    for (int i = 0; i < 2; i++)
        och_thread_join(&threads[i]);
    check_ok(status, &f->err);
    /* A merge that a write made necessary may have come before it. */
    const uint64_t n_upgraded = totals.n_old;
    check(n_upgraded > 0 && n_upgraded <= N_OLD && totals.state == OCH_KEPT_WHOLE);
    check(n_old(f) == 0);
    check(count(f, &f->things) == n_before[0] + (uint64_t) writers[0].n);
    check(count(f, &f->others) == n_before[1] + (uint64_t) writers[1].n);
    close_db(f);
    check_sound(f, f->disk);
    check_ok(revert(f, f->disk, true), &f->err);
    check_sound(f, f->disk);
    open_db(f, f->disk); /* of each the first so many, without a gap */
    check(count(f, &f->things) <= n_before[0] + (uint64_t) writers[0].n);
    check(count(f, &f->others) >= n_before[1]);
    check(n_old(f) + 1 >= n_upgraded);
    close_db(f);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
            TEST(what_is_old_is_written_anew_while_it_is_written),
            TEST(with_nothing_written_since_it_is_put_back_as_it_was),
            TEST(it_is_settled_in_use),
            TEST(one_upgrade_compaction_or_purge_at_a_time),
            TEST(who_only_reads_upgrades_nothing),
            TEST(nothing_old_is_nothing_to_do),
            TEST(damage_is_left_as_it_is),
            TEST(who_holds_the_files_is_waited_for_by_another_call),
            TEST(a_closing_ends_it),
            TEST(a_crash_at_any_call_loses_nothing),
            TEST(a_crash_of_its_settling_leaves_it_upgraded),
            TEST(a_call_that_fails_loses_nothing),
            TEST(memory_that_runs_out_loses_nothing),
            TEST(writers_go_on_beside_it),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
