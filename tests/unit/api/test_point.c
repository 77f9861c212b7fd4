/*
 * test_point.c - from an older backup and the archived log, each state that was
 * acknowledged can be had again: random programs, restored at random positions.
 */
#include <stdio.h>
#include <string.h>

#include "api/archive.h"
#include "api/backup.h"
#include "api/check.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/repair.h"
#include "api/restore_point.h"
#include "api/schema.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "distance/distance.h"
#include "engine/recover.h"
#include "os/clock.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "support/check.h"

enum {
    DIM = 3,
    HEAD_ROWS = 20,
    ROWS_MAX = 12,
    STATES_MAX = 400,
    BACKUPS_MAX = 16,
    COLLECTIONS_MAX = 5,
    SECOND_MS = 1000
};

/* What the database was at one moment. */
struct state {
    uint64_t lsn, time_ns, hash;
};

struct kept {
    struct sim_disk *disk;
    uint64_t lsn;
};

struct fixture {
    struct och_mem own, mem;
    struct sim_machine machine;
    struct och_backup_options options;
    struct sim_disk *disk, *archive;
    struct ochre_db *db;
    struct state states[STATES_MAX];
    size_t n_states;
    struct kept backups[BACKUPS_MAX];
    size_t n_backups;
    struct och_target targets[COLLECTIONS_MAX]; /* of n_targets collections */
    size_t n_targets;
    unsigned n_names; /* given so far */
    uint64_t seed;
    struct ochre_error err;
};

static struct ochre_bytes
text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

static struct ochre_db *
open_disk(struct fixture *f, struct sim_disk *disk, struct sim_disk *archive)
{
    struct ochre_db *db = NULL;
    struct och_db_options options = {.mem = &f->own,
            .vfs = sim_disk_vfs(disk),
            .machine = &f->machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .create = true,
            .allow_reset = true,
            .archive = archive == NULL ? NULL : sim_disk_vfs(archive),
            .engine = {.head_rows_max = HEAD_ROWS}};
    ochre_status status = och_db_open(&options, &db, &f->err);
    return status == OCHRE_OK ? db : NULL;
}

static void
open_it(struct fixture *f)
{
    f->db = open_disk(f, f->disk, f->archive);
    check(f->db != NULL);
}

static unsigned
below(struct fixture *f, unsigned n)
{
    return (unsigned) (och_random(&f->seed) % n);
}

/* --- what there is ------------------------------------------------------------ */

static uint64_t
hash_bytes(uint64_t hash, struct ochre_bytes bytes)
{
    return bytes.data == NULL ? hash * 33 + 1 : och_hash64_seeded(bytes.data, bytes.size, hash);
}

static uint64_t
hash_records(struct fixture *f, struct ochre_db *db, const struct och_target *target,
        const uint64_t *as_of, uint64_t hash)
{
    struct och_get_input all = {.limit = UINT64_MAX, .include = ~0u, .as_of = as_of};
    struct och_result *result;
    check_ok(och_op_get(db, target, &all, &result, &f->err), &f->err);
    for (size_t i = 0; i < result->lists[0].n; i++) {
        const struct ochre_hit *hit = &result->lists[0].hits[i];
        hash = hash_bytes(hash, hit->id);
        hash = hash_bytes(hash, hit->document);
        hash = och_hash64_seeded(hit->embedding, DIM * sizeof(float), hash);
    }
    och_result_release(result);
    return hash;
}

static uint64_t
hash_pins(struct fixture *f, struct ochre_db *db, const struct och_target *target, uint64_t hash)
{
    struct och_arena arena;
    struct och_pin_row *rows = NULL;
    size_t n = 0;
    och_arena_init(&arena, &f->own);
    check_ok(db->catalog->ops->pin_list(db->catalog, &arena, target->id, &rows, &n, &f->err),
            &f->err);
    for (size_t i = 0; i < n; i++) {
        hash = och_hash64_seeded(rows[i].id.bytes, sizeof(rows[i].id.bytes), hash);
        hash = hash_bytes(hash, rows[i].name);
        hash = hash_bytes(hash * 31 + rows[i].position, rows[i].metadata);
        hash = hash_records(f, db, target, &rows[i].position, hash);
    }
    och_arena_clear(&arena);
    return hash;
}

static uint64_t
hash_database(struct fixture *f, struct ochre_db *db, const char *tenant, const char *database,
        uint64_t hash)
{
    struct och_arena arena;
    struct och_collection_row *rows = NULL;
    size_t n = 0;
    och_arena_init(&arena, &f->own);
    check_ok(db->catalog->ops->collection_list(db->catalog, &arena, text(tenant), text(database),
                     UINT64_MAX, 0, &rows, &n, &f->err),
            &f->err);
    for (size_t i = 0; i < n; i++) {
        struct och_target target = {rows[i].tenant, rows[i].database, rows[i].id};
        hash = och_hash64_seeded(rows[i].id.bytes, sizeof(rows[i].id.bytes), hash);
        hash = hash_bytes(hash, rows[i].name);
        hash = hash_bytes(hash, rows[i].metadata);
        hash = hash_bytes(hash, rows[i].schema);
        hash = hash * 31 + rows[i].number;
        hash = hash_records(f, db, &target, NULL, hash);
        hash = hash_pins(f, db, &target, hash);
    }
    och_arena_clear(&arena);
    return hash;
}

/* Of everything that people see. */
static uint64_t
hash_of(struct fixture *f, struct ochre_db *db)
{
    static const char *const tenants[] = {"default_tenant", "other_tenant"};
    struct och_arena arena;
    uint64_t hash = 7;
    och_arena_init(&arena, &f->own);
    for (size_t t = 0; t < 2; t++) {
        struct ochre_bytes resource = {NULL, 0};
        struct och_database_row *rows = NULL;
        size_t n = 0;
        ochre_status status = db->catalog->ops->tenant_get(
                db->catalog, &arena, text(tenants[t]), &resource, NULL);
        hash = hash_bytes(hash * 3 + (uint64_t) status, resource);
        check_ok(db->catalog->ops->database_list(
                         db->catalog, &arena, text(tenants[t]), UINT64_MAX, 0, &rows, &n, &f->err),
                &f->err);
        for (size_t i = 0; i < n; i++) {
            char name[64];
            check(rows[i].name.size < sizeof(name));
            memcpy(name, rows[i].name.data, rows[i].name.size);
            name[rows[i].name.size] = '\0';
            hash = och_hash64_seeded(rows[i].id.bytes, sizeof(rows[i].id.bytes), hash);
            hash = hash_database(f, db, tenants[t], name, hash_bytes(hash, rows[i].name));
        }
    }
    och_arena_clear(&arena);
    return hash;
}

static uint64_t
lsn_of(const struct fixture *f)
{
    return f->db->engine->log->ops->next_lsn(f->db->engine->log) - 1;
}

/* It is so now, and acknowledged. */
static void
note_state(struct fixture *f)
{
    check(f->n_states < STATES_MAX);
    sim_machine_advance(&f->machine, SECOND_MS);
    f->states[f->n_states++] = (struct state){.lsn = lsn_of(f),
            .time_ns = och_machine_wall_ns(&f->machine.machine),
            .hash = hash_of(f, f->db)};
    sim_machine_advance(&f->machine, SECOND_MS);
}

/* --- programs ------------------------------------------------------------------ */

static void
create(struct fixture *f)
{
    struct och_arena arena;
    struct och_schema_request *indexes;
    struct och_collection_info info;
    char name[32];
    if (f->n_targets == COLLECTIONS_MAX)
        return;
    (void) snprintf(name, sizeof(name), "things-%u", f->n_names++);
    och_arena_init(&arena, &f->own);
    check_ok(och_schema_request_parse(&arena, NULL, NULL, &indexes, &f->err), &f->err);
    struct och_create what = {.tenant = text("default_tenant"),
            .database = text("default_database"),
            .name = text(name),
            .indexes = indexes};
    check_ok(och_op_collection_create(f->db, &arena, &what, &info, &f->err), &f->err);
    f->targets[f->n_targets++] = (struct och_target){what.tenant, what.database, info.row.id};
    /* A second one of that name is refused, and was noted before. */
    check(och_op_collection_create(f->db, &arena, &what, &info, &f->err) == OCHRE_EXISTS);
    och_arena_clear(&arena);
}

static void
write(struct fixture *f, const struct och_target *target, bool deletes)
{
    char ids[ROWS_MAX][16], documents[ROWS_MAX][24];
    struct ochre_bytes names[ROWS_MAX], texts[ROWS_MAX];
    float vectors[ROWS_MAX * DIM];
    unsigned n = 1 + below(f, ROWS_MAX), first = below(f, 60);
    struct och_written written;
    for (unsigned i = 0; i < n; i++) {
        (void) snprintf(ids[i], sizeof(ids[i]), "id-%u", first + i);
        (void) snprintf(documents[i], sizeof(documents[i]), "text %u", below(f, 1000000));
        names[i] = text(ids[i]);
        texts[i] = text(documents[i]);
        for (unsigned d = 0; d < DIM; d++)
            vectors[i * DIM + d] = (float) below(f, 100);
    }
    if (deletes) {
        struct och_select_input doomed = {.has_ids = true, .ids = names, .n_ids = n};
        check_ok(och_op_delete(f->db, target, &doomed, UINT64_MAX, &written, &f->err), &f->err);
        return;
    }
    struct och_write_input input = {.records = {.n = n,
                                            .ids = names,
                                            .embeddings = vectors,
                                            .dim = DIM,
                                            .documents = texts},
            .n_embeddings = n,
            .n_documents = n,
            .n_uris = OCH_NOT_GIVEN,
            .n_metadatas = OCH_NOT_GIVEN};
    check_ok(och_op_write(f->db, target, OCH_WRITE_UPSERT, &input, &written, &f->err), &f->err);
}

static void
drop(struct fixture *f, size_t i)
{
    check_ok(och_engine_drop(f->db->engine, f->targets[i].id, &f->err), &f->err);
    f->targets[i] = f->targets[--f->n_targets];
}

static void
fork_one(struct fixture *f, size_t i)
{
    struct och_arena arena;
    struct och_collection_info info;
    char name[32];
    if (f->n_targets == COLLECTIONS_MAX)
        return;
    (void) snprintf(name, sizeof(name), "fork-%u", f->n_names++);
    och_arena_init(&arena, &f->own);
    check_ok(och_op_collection_fork(f->db, &arena, &f->targets[i], text(name), &info, &f->err),
            &f->err);
    f->targets[f->n_targets++] =
            (struct och_target){f->targets[i].tenant, f->targets[i].database, info.row.id};
    och_arena_clear(&arena);
}

static void
pin_one(struct fixture *f, size_t i)
{
    struct och_arena arena;
    struct och_pin_info *infos;
    struct och_pin_info info;
    size_t n = 0;
    och_arena_init(&arena, &f->own);
    check_ok(och_op_pin_list(f->db, &arena, &f->targets[i], &infos, &n, &f->err), &f->err);
    if (n > 2)
        check_ok(och_op_unpin(f->db, &f->targets[i], infos[1].name, &f->err), &f->err);
    else
        check_ok(och_op_pin(f->db, &arena, &f->targets[i], (struct ochre_bytes){NULL, 0}, &info,
                         &f->err),
                &f->err);
    och_arena_clear(&arena);
}

static void
rename_one(struct fixture *f, size_t i)
{
    char name[32];
    (void) snprintf(name, sizeof(name), "renamed-%u", f->n_names++);
    struct och_update update = {.new_name = text(name)};
    check_ok(och_op_collection_update(f->db, &f->targets[i], &update, &f->err), &f->err);
}

static void
change_tenants(struct fixture *f)
{
    static const char *const names[] = {"a_database", "b_database"};
    char resource[32];
    struct ochre_error err;
    (void) snprintf(resource, sizeof(resource), "resource-%u", f->n_names++);
    const char *name = names[below(f, 2)];
    ochre_status status = OCHRE_OK;
    switch (below(f, 4)) {
    case 0:
        status = och_op_tenant_create(f->db, text("other_tenant"), &err);
        break;
    case 1:
        status = och_op_tenant_update(f->db, text("other_tenant"), text(resource), &err);
        break;
    case 2:
        status = och_op_database_create(f->db, text("other_tenant"), text(name), &err);
        break;
    default:
        status = och_op_database_delete(f->db, text("other_tenant"), text(name), &err);
        break;
    }
    check(status == OCHRE_OK || status == OCHRE_EXISTS || status == OCHRE_NOT_FOUND);
}

static void
compact(struct fixture *f, size_t i)
{
    struct och_collection *collection = och_engine_loaded(f->db->engine, f->targets[i].id);
    if (collection != NULL)
        check_ok(och_engine_compact(f->db->engine, collection, &f->err), &f->err);
    och_collection_release(collection);
}

static void
back_up(struct fixture *f)
{
    struct och_backup_totals totals;
    if (f->n_backups == BACKUPS_MAX)
        return;
    struct sim_disk *disk = sim_disk_open(&f->own, 3);
    check_ok(
            och_backup_database(&f->options, f->db, sim_disk_vfs(disk), &totals, &f->err), &f->err);
    f->backups[f->n_backups++] = (struct kept){disk, lsn_of(f)};
}

/* The process ends, in good order or not, and another one begins. */
static void
begin_anew(struct fixture *f, bool killed)
{
    if (killed) {
        /* What a process that is killed leaves is the disk as it is. */
        struct sim_disk *left = sim_disk_clone(f->disk);
        struct sim_disk *archive = sim_disk_clone(f->archive);
        och_db_close(f->db);
        sim_disk_close(f->disk);
        sim_disk_close(f->archive);
        f->disk = left;
        f->archive = archive;
    } else {
        och_db_close(f->db);
    }
    open_it(f);
}

static void
step(struct fixture *f)
{
    unsigned what = below(f, 100);
    size_t i = f->n_targets == 0 ? 0 : below(f, (unsigned) f->n_targets);
    if (what < 8 || f->n_targets == 0)
        create(f);
    else if (what < 50)
        write(f, &f->targets[i], false);
    else if (what < 58)
        write(f, &f->targets[i], true);
    else if (what < 62)
        drop(f, i);
    else if (what < 65)
        pin_one(f, i);
    else if (what < 69)
        fork_one(f, i);
    else if (what < 73)
        rename_one(f, i);
    else if (what < 78)
        change_tenants(f);
    else if (what < 83)
        check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    else if (what < 87)
        compact(f, i);
    else if (what < 91)
        check_ok(och_archive_copy(f->db->archive, &f->err), &f->err);
    else if (what < 94)
        begin_anew(f, what % 2 == 0);
    else if (what < 96)
        check_ok(och_op_purge(f->db, &f->err), &f->err);
    else if (what < 99)
        back_up(f);
    else if (below(f, 3) == 0) {
        check_ok(och_op_reset(f->db, &f->err), &f->err);
        f->n_targets = 0;
    }
}

static void
begin(struct fixture *f, uint64_t seed)
{
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->own, NULL);
    och_mem_init(&f->mem, NULL);
    sim_machine_init(&f->machine, seed);
    f->options = (struct och_backup_options){.mem = &f->mem, .machine = &f->machine.machine};
    f->disk = sim_disk_open(&f->own, 1);
    f->archive = sim_disk_open(&f->own, 2);
    f->seed = seed;
    open_it(f);
}

static void
end(struct fixture *f)
{
    och_db_close(f->db);
    for (size_t i = 0; i < f->n_backups; i++)
        sim_disk_close(f->backups[i].disk);
    sim_disk_close(f->archive);
    sim_disk_close(f->disk);
    check(och_mem_used(&f->mem) == 0 && och_mem_used(&f->own) == 0);
}

/* A program of so many steps, with a backup near its beginning; all of it is archived. */
static void
run_program(struct fixture *f, unsigned n)
{
    back_up(f);
    note_state(f);
    for (unsigned i = 0; i < n; i++) {
        step(f);
        note_state(f);
    }
    if (f->n_targets == 0)
        create(f);
    write(f, &f->targets[0], false); /* says what time it is by now */
    check_ok(och_archive_copy(f->db->archive, &f->err), &f->err);
}

/* --- back to a point ---------------------------------------------------------------- */

/* Restore this backup, and do what the archive says, on a new disk. */
static ochre_status
restore_from(struct fixture *f, struct sim_disk *backup, struct sim_disk *archive,
        const struct och_point *point, struct sim_disk *to)
{
    struct och_backup_totals totals;
    struct och_point_reached reached;
    f->err = (struct ochre_error){.status = OCHRE_OK};
    check_ok(och_restore_vfs(&f->options, sim_disk_vfs(backup), sim_disk_vfs(to), &totals, &f->err),
            &f->err);
    return och_replay(
            &f->options, sim_disk_vfs(to), sim_disk_vfs(archive), point, &reached, &f->err);
}

/* The newest backup that is not after this record. */
static struct sim_disk *
backup_before(struct fixture *f, uint64_t lsn)
{
    struct sim_disk *best = NULL;
    for (size_t i = 0; i < f->n_backups; i++)
        if (f->backups[i].lsn <= lsn)
            best = f->backups[i].disk;
    check(best != NULL);
    return best;
}

static void
check_point(
        struct fixture *f, struct sim_disk *backup, const struct och_point *point, uint64_t wanted)
{
    struct sim_disk *disk = sim_disk_open(&f->own, 5);
    check_ok(restore_from(f, backup, f->archive, point, disk), &f->err);
    sim_disk_recover(disk, SIM_NONE_KEPT, 1); /* all of it is durable */
    check_ok(och_check_vfs(sim_disk_vfs(disk), &f->machine.machine, NULL, NULL, &f->err), &f->err);
    struct ochre_db *db = open_disk(f, disk, NULL);
    check(db != NULL);
    check(hash_of(f, db) == wanted);
    och_db_close(db);
    sim_disk_close(disk);
}

static void
any_acknowledged_position_comes_back(void **state)
{
    (void) state;
    static struct fixture f;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        print_message("seed %d\n", (int) seed);
        begin(&f, seed);
        run_program(&f, 60);
        for (int k = 0; k < 12; k++) {
            size_t i = below(&f, (unsigned) f.n_states);
            const struct state *wanted = &f.states[i];
            struct och_point by_lsn = {.lsn = wanted->lsn, .time_ns = UINT64_MAX};
            struct och_point by_time = {.lsn = UINT64_MAX, .time_ns = wanted->time_ns};
            struct sim_disk *newest = backup_before(&f, wanted->lsn);
            check_point(&f, newest, &by_lsn, wanted->hash);
            check_point(&f, f.backups[0].disk, &by_lsn, wanted->hash);
            check_point(&f, newest, &by_time, wanted->hash);
        }
        struct och_point now = {.lsn = UINT64_MAX, .time_ns = UINT64_MAX};
        check_point(&f, f.backups[0].disk, &now, hash_of(&f, f.db));
        end(&f);
    }
}

/* --- crashes and failures -------------------------------------------------------------- */

enum { N_CHANGES = 9 };

/* One change; a refusal for want of a disk is fine. */
static ochre_status
change(struct fixture *f, int which)
{
    struct och_arena arena;
    struct och_schema_request *indexes;
    struct och_collection_info info;
    struct ochre_error *err = &f->err;
    ochre_status status = OCHRE_OK;
    och_arena_init(&arena, &f->own);
    check(och_schema_request_parse(&arena, NULL, NULL, &indexes, err) == OCHRE_OK);
    const struct och_create what = {.tenant = text("default_tenant"),
            .database = text("default_database"),
            .name = text("made"),
            .indexes = indexes};
    const struct och_update update = {.new_name = text("renamed")};
    switch (which) {
    case 0:
        status = och_op_collection_create(f->db, &arena, &what, &info, err);
        break;
    case 1:
        status = och_op_collection_update(f->db, &f->targets[0], &update, err);
        break;
    case 2:
        status = och_op_collection_fork(f->db, &arena, &f->targets[0], text("forked"), &info, err);
        break;
    case 3:
        status = och_engine_drop(f->db->engine, f->targets[0].id, err);
        break;
    case 4:
        status = och_op_tenant_create(f->db, text("other_tenant"), err);
        break;
    case 5:
        status = och_op_tenant_update(f->db, text("default_tenant"), text("resource"), err);
        break;
    case 6:
        status = och_op_database_create(f->db, text("other_tenant"), text("a_database"), err);
        break;
    case 7:
        status = och_op_database_delete(
                f->db, text("default_tenant"), text("default_database"), err);
        break;
    default:
        status = och_op_reset(f->db, err);
        break;
    }
    och_arena_clear(&arena);
    return status;
}

/* Two collections with files and records in the log, and a backup of before. */
static void
begin_to_change(struct fixture *f)
{
    begin(f, 5);
    create(f);
    back_up(f);
    for (int i = 0; i < 4; i++)
        write(f, &f->targets[0], false);
    create(f);
    write(f, &f->targets[1], false);
    check_ok(och_archive_copy(f->db->archive, &f->err), &f->err);
    write(f, &f->targets[0], false);
}

/* A fixture over copies of the disks, with the database open. */
static void
try_on_copies(const struct fixture *f, struct fixture *trial)
{
    *trial = *f;
    trial->disk = sim_disk_clone(f->disk);
    trial->archive = sim_disk_clone(f->archive);
    trial->n_backups = 0;
    open_it(trial);
}

static void
end_trial(struct fixture *trial)
{
    och_db_close(trial->db);
    sim_disk_close(trial->disk);
    sim_disk_close(trial->archive);
}

/* What the archive says has happened is what the database says. */
static void
check_archive_agrees(struct fixture *trial, struct sim_disk *backup)
{
    const struct och_point now = {.lsn = UINT64_MAX, .time_ns = UINT64_MAX};
    check_ok(och_archive_copy(trial->db->archive, &trial->err), &trial->err);
    check_point(trial, backup, &now, hash_of(trial, trial->db));
}

/* The machine crashes at the n-th call of a change: whether it has happened, the log's notes
 * know as well as the catalog. */
static bool
survives_crash(struct fixture *f, int which, uint64_t n, enum sim_mode mode)
{
    static struct fixture trial;
    try_on_copies(f, &trial);
    sim_disk_crash(trial.disk, n, n % 2 == 0 ? SIM_BEFORE : SIM_AFTER);
    ochre_status status = change(&trial, which);
    bool crashed = sim_disk_has_crashed(trial.disk);
    check(status == OCHRE_OK || crashed);
    och_db_close(trial.db);
    sim_disk_recover(trial.disk, mode, n);
    open_it(&trial);
    check_archive_agrees(&trial, f->backups[0].disk);
    end_trial(&trial);
    return crashed;
}

static void
a_crash_leaves_notes_that_agree_with_the_catalog(void **state)
{
    (void) state;
    static struct fixture f;
    begin_to_change(&f);
    och_db_close(f.db);
    for (int which = 0; which < N_CHANGES; which++) {
        bool crashed = true;
        uint64_t n = 1 + (uint64_t) which % CHECK_ONE_IN;
        for (; crashed; n += CHECK_ONE_IN) {
            /* Each call in two of the modes. */
            for (uint64_t mode = n; mode < n + 2; mode++)
                crashed = survives_crash(&f, which, n, (enum sim_mode)(mode % SIM_N_MODES));
        }
        check(n > 4 + CHECK_ONE_IN);
    }
    f.db = NULL;
    end(&f);
}

static void
a_failing_call_leaves_notes_that_agree_with_the_catalog(void **state)
{
    (void) state;
    static struct fixture f, trial;
    static const enum sim_fault faults[] = {SIM_IO_ONCE, SIM_FULL_ONCE};
    begin_to_change(&f);
    och_db_close(f.db);
    for (int k = 0; k < 2 * N_CHANGES; k++) {
        bool failed = true;
        for (uint64_t n = 1 + (uint64_t) k % CHECK_ONE_IN; failed; n += CHECK_ONE_IN) {
            try_on_copies(&f, &trial);
            sim_disk_fail(trial.disk, n, faults[k % 2]);
            ochre_status status = change(&trial, k / 2);
            failed = sim_disk_has_failed(trial.disk);
            check(status == OCHRE_OK || failed);
            sim_disk_fail(trial.disk, 0, SIM_IO_ONCE);
            check_archive_agrees(&trial, f.backups[0].disk);
            /* And what comes after it is understood. */
            status = och_op_database_create(
                    trial.db, text("default_tenant"), text("default_database"), &trial.err);
            check(status == OCHRE_OK || status == OCHRE_EXISTS);
            create(&trial);
            write(&trial, &trial.targets[trial.n_targets - 1], false);
            begin_anew(&trial, n % 2 == 0);
            check_archive_agrees(&trial, f.backups[0].disk);
            end_trial(&trial);
        }
    }
    f.db = NULL;
    end(&f);
}

/* The archive's machine crashes at its n-th call: what is there is a state that was. */
static bool
archive_survives_crash(struct fixture *f, uint64_t n, enum sim_mode mode, uint64_t lsn_before)
{
    static struct fixture trial;
    const struct och_point now = {.lsn = UINT64_MAX, .time_ns = UINT64_MAX};
    try_on_copies(f, &trial);
    sim_disk_crash(trial.archive, n, SIM_BEFORE);
    ochre_status status = och_archive_copy(trial.db->archive, &trial.err);
    bool crashed = sim_disk_has_crashed(trial.archive);
    check(status == OCHRE_OK || crashed);
    uint64_t hash = hash_of(&trial, trial.db);
    check(och_archive_state(trial.db->archive).n_failures == (status == OCHRE_OK ? 0 : 1));
    och_db_close(trial.db);
    sim_disk_recover(trial.archive, mode, n);
    struct sim_disk *disk = sim_disk_open(&f->own, 9);
    check_ok(restore_from(&trial, f->backups[0].disk, trial.archive, &now, disk), &trial.err);
    struct ochre_db *db = open_disk(&trial, disk, NULL);
    check(db != NULL);
    uint64_t found = hash_of(&trial, db);
    och_db_close(db);
    sim_disk_close(disk);
    bool is_one = false;
    for (size_t i = 0; i < f->n_states; i++)
        is_one |= f->states[i].hash == found && f->states[i].lsn >= lsn_before;
    check(is_one && (status != OCHRE_OK || found == hash));
    open_it(&trial);
    check_archive_agrees(&trial, f->backups[0].disk);
    end_trial(&trial);
    return crashed;
}

static void
a_crash_leaves_an_archive_that_is_whole(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f, 9);
    create(&f);
    back_up(&f);
    note_state(&f);
    check_ok(och_archive_copy(f.db->archive, &f.err), &f.err);
    uint64_t lsn_before = f.states[0].lsn;
    for (int i = 0; i < 12; i++) {
        write(&f, &f.targets[0], false);
        note_state(&f);
    }
    /* Killed: what was written since was not copied. */
    struct sim_disk *left = sim_disk_clone(f.disk);
    struct sim_disk *archive = sim_disk_clone(f.archive);
    och_db_close(f.db);
    sim_disk_close(f.disk);
    sim_disk_close(f.archive);
    f.disk = left;
    f.archive = archive;
    bool crashed = true;
    uint64_t n = 0;
    while (crashed) {
        n++;
        for (int mode = 0; mode < SIM_N_MODES; mode++)
            crashed = archive_survives_crash(&f, n, (enum sim_mode) mode, lsn_before);
    }
    check(n > 6);
    f.db = NULL;
    end(&f);
}

/* A failing archive keeps the log, and catches up. */
static void
what_was_not_copied_stays_in_the_log(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f, 4);
    create(&f);
    back_up(&f);
    check_ok(och_archive_copy(f.db->archive, &f.err), &f.err);
    uint64_t lsn;
    sim_disk_fail(f.archive, 1, SIM_IO_FROM);
    for (int i = 0; i < 30; i++) {
        write(&f, &f.targets[0], false);
        check_ok(och_engine_seal_all(f.db->engine, &f.err), &f.err);
        check_ok(och_engine_purge_begin(f.db->engine, &lsn, &f.err), &f.err);
        check(och_archive_copy(f.db->archive, &f.err) == OCHRE_IO);
    }
    check(och_archive_state(f.db->archive).n_failures == 30);
    check(f.db->engine->log->ops->oldest_lsn(f.db->engine->log) == 1);
    check(och_op_purge(f.db, &f.err) == OCHRE_IO);
    sim_disk_fail(f.archive, 0, SIM_IO_FROM);
    check_archive_agrees(&f, f.backups[0].disk);
    check(och_archive_state(f.db->archive).n_failures == 0);
    check(f.db->engine->log->ops->oldest_lsn(f.db->engine->log) > 1);
    check_ok(och_op_purge(f.db, &f.err), &f.err);
    end(&f);
}

/* --- what is refused --------------------------------------------------------------------- */

enum { FILES_MAX = 40, NAME_SIZE = 40 };

struct files {
    char paths[FILES_MAX][NAME_SIZE];
    size_t n;
};

static ochre_status
note_path(void *context, const char *name, bool is_dir)
{
    struct files *files = context;
    (void) is_dir;
    check(files->n < FILES_MAX);
    (void) snprintf(files->paths[files->n++], NAME_SIZE, "log/%.30s", name);
    return OCHRE_OK;
}

static uint64_t
size_of(struct sim_disk *disk, const char *path)
{
    struct och_file *file;
    uint64_t size = 0;
    check(och_vfs_open(sim_disk_vfs(disk), path, OCH_OPEN_READ, &file, NULL) == OCHRE_OK);
    check(och_file_size(file, &size, NULL) == OCHRE_OK);
    och_file_close(file);
    return size;
}

/* Several files of log, all in the archive, and a backup of before. */
static void
begin_with_files(struct fixture *f)
{
    uint64_t lsn;
    begin(f, 6);
    create(f);
    back_up(f);
    for (int i = 0; i < 5; i++) {
        write(f, &f->targets[0], false);
        check_ok(och_engine_purge_begin(f->db->engine, &lsn, &f->err), &f->err);
    }
    write(f, &f->targets[0], false);
    check_ok(och_archive_copy(f->db->archive, &f->err), &f->err);
}

static void
check_refused(struct fixture *f, struct sim_disk *archive, const struct och_point *point,
        ochre_status wanted, const char *said)
{
    struct sim_disk *disk = sim_disk_open(&f->own, 5);
    ochre_status status = restore_from(f, f->backups[0].disk, archive, point, disk);
    if (status != wanted || strstr(f->err.message, said) == NULL)
        print_error("status %d: %s\n", (int) status, f->err.message);
    check(status == wanted && strstr(f->err.message, said) != NULL);
    sim_disk_close(disk);
}

static void
a_missing_file_is_named(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    const struct och_point now = {.lsn = UINT64_MAX, .time_ns = UINT64_MAX};
    begin_with_files(&f);
    memset(&files, 0, sizeof(files));
    check(och_vfs_list(sim_disk_vfs(f.archive), "log", note_path, &files, NULL) == OCHRE_OK);
    check(files.n >= 5);
    for (size_t i = 0; i < files.n; i++) {
        struct sim_disk *archive = sim_disk_clone(f.archive);
        check(och_vfs_remove(sim_disk_vfs(archive), files.paths[i], NULL) == OCHRE_OK);
        bool is_inner = i > 0 && i + 1 < files.n;
        check_refused(&f, archive, &now, OCHRE_CORRUPT, is_inner ? "the archive: log/" : "missing");
        sim_disk_close(archive);
    }
    struct sim_disk *archive = sim_disk_clone(f.archive);
    check(och_vfs_remove(sim_disk_vfs(archive), "STATE", NULL) == OCHRE_OK);
    check_refused(&f, archive, &now, OCHRE_INVALID, "not an archive");
    sim_disk_close(archive);
    end(&f);
}

/* Any bit of what is needed: refused, or of no consequence; never silently less. */
static void
damage_is_never_silently_less(void **state)
{
    (void) state;
    static struct fixture f;
    static struct files files;
    uint64_t seed = 3;
    size_t n_refused = 0;
    const struct och_point now = {.lsn = UINT64_MAX, .time_ns = UINT64_MAX};
    begin_with_files(&f);
    uint64_t hash = hash_of(&f, f.db);
    memset(&files, 0, sizeof(files));
    check(och_vfs_list(sim_disk_vfs(f.archive), "log", note_path, &files, NULL) == OCHRE_OK);
    for (int k = 0; k < 300; k++) {
        const char *path = k % 10 == 0 ? "STATE" : files.paths[och_random(&seed) % files.n];
        struct sim_disk *archive = sim_disk_clone(f.archive);
        uint64_t size = size_of(archive, path);
        size = size > 16384 ? 16384 : size; /* what is behind is zeros */
        check(sim_disk_flip(
                archive, path, och_random(&seed) % size, (unsigned) (och_random(&seed) % 8)));
        struct sim_disk *disk = sim_disk_open(&f.own, 5);
        ochre_status status = restore_from(&f, f.backups[0].disk, archive, &now, disk);
        if (status == OCHRE_OK) {
            struct ochre_db *db = open_disk(&f, disk, NULL);
            check(db != NULL && hash_of(&f, db) == hash);
            och_db_close(db);
        } else {
            check(status == OCHRE_CORRUPT || status == OCHRE_INVALID ||
                    status == OCHRE_UNSUPPORTED);
            n_refused++;
        }
        sim_disk_close(disk);
        sim_disk_close(archive);
    }
    print_message("%zu of 300 were refused\n", n_refused);
    check(n_refused > 20);
    end(&f);
}

static void
points_outside_are_refused(void **state)
{
    (void) state;
    static struct fixture f, other;
    begin_with_files(&f);
    const struct och_point early = {.lsn = 1, .time_ns = UINT64_MAX};
    const struct och_point late = {.lsn = 1000000, .time_ns = UINT64_MAX};
    const struct och_point then = {.lsn = UINT64_MAX, .time_ns = 1};
    const struct och_point some_day = {.lsn = UINT64_MAX, .time_ns = UINT64_MAX - 1};
    check_refused(&f, f.archive, &early, OCHRE_INVALID, "use an older one");
    check_refused(&f, f.archive, &late, OCHRE_INVALID, "the archive ends at record");
    check_refused(&f, f.archive, &then, OCHRE_INVALID, "use an older one");
    check_refused(&f, f.archive, &some_day, OCHRE_INVALID, "the archive ends before that time");
    begin(&other, 77);
    check_ok(och_archive_copy(other.db->archive, &other.err), &other.err);
    check_refused(&f, other.archive, &late, OCHRE_INVALID, "another database");
    /* And one that archives into another's archive. */
    och_db_close(other.db);
    other.db = open_disk(&other, other.disk, f.archive);
    check(other.db == NULL && other.err.status == OCHRE_EXISTS);
    end(&other);
    end(&f);
}

/* Open for a while without an archive: what happened then is nowhere noted. */
static void
a_time_without_an_archive_is_not_passed_over(void **state)
{
    (void) state;
    static struct fixture f;
    const struct och_point now = {.lsn = UINT64_MAX, .time_ns = UINT64_MAX};
    begin(&f, 6);
    create(&f);
    back_up(&f);
    write(&f, &f.targets[0], false);
    och_db_close(f.db);
    f.db = open_disk(&f, f.disk, NULL);
    check(f.db != NULL);
    check_ok(och_op_tenant_create(f.db, text("other_tenant"), &f.err), &f.err);
    och_db_close(f.db);
    f.db = open_disk(&f, f.disk, f.archive);
    check(f.db == NULL && strstr(f.err.message, "make a backup") != NULL);
    sim_disk_close(f.archive);
    f.archive = sim_disk_open(&f.own, 8);
    open_it(&f);
    create(&f);
    check_ok(och_archive_copy(f.db->archive, &f.err), &f.err);
    check_refused(&f, f.archive, &now, OCHRE_INVALID, "open without an archive");
    back_up(&f);
    write(&f, &f.targets[0], false);
    check_archive_agrees(&f, f.backups[1].disk);
    end(&f);
}

/* Damage a page of vectors of the first collection, which lie in a file, and repair. */
static void
damage_and_repair(struct fixture *f, struct och_repair_totals *totals)
{
    char id[OCH_UUID_TEXT_SIZE + 1], path[OCH_PATH_SIZE_MAX];
    struct och_arena arena;
    struct och_collection_state state;
    struct och_segment_row *rows;
    size_t n = 0;
    const struct och_repair_options quiet = {.report = NULL};
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    och_arena_init(&arena, &f->own);
    check_ok(f->db->catalog->ops->state_get(
                     f->db->catalog, &arena, f->targets[0].id, &state, &rows, &n, &f->err),
            &f->err);
    check(n > 0);
    och_uuid_put(f->targets[0].id, id);
    (void) snprintf(path, sizeof(path), "seg/%s/%016llx.seg", id, (unsigned long long) rows[0].id);
    och_arena_clear(&arena);
    check(sim_disk_flip(f->disk, path, 65536, 1));
    check_ok(och_op_repair(f->db, &quiet, false, totals, &f->err), &f->err);
    check(totals->n_lost > 0 && totals->n_records > 0);
}

/* What a repair made beside a damaged collection is in no log: from an older backup nobody
 * gets past it. */
static void
a_repair_of_a_database_in_use_is_not_passed_over(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_repair_totals totals;
    const struct och_point now = {.lsn = UINT64_MAX, .time_ns = UINT64_MAX};
    begin(&f, 6);
    create(&f);
    create(&f);
    back_up(&f);
    for (int i = 0; i < 4; i++) {
        write(&f, &f.targets[0], false);
        if (i == 1)
            check_ok(och_engine_seal_all(f.db->engine, &f.err), &f.err);
    }
    note_state(&f);
    const struct state before = f.states[f.n_states - 1];
    damage_and_repair(&f, &totals);
    write(&f, &f.targets[1], false);
    check_ok(och_archive_copy(f.db->archive, &f.err), &f.err);
    check_refused(&f, f.archive, &now, OCHRE_INVALID, "or was repaired");
    const struct och_point then = {.lsn = before.lsn, .time_ns = UINT64_MAX};
    check_point(&f, f.backups[0].disk, &then, before.hash);
    drop(&f, 0); /* the damaged one, which no backup takes */
    back_up(&f);
    write(&f, &f.targets[0], false);
    check_archive_agrees(&f, f.backups[1].disk);
    end(&f);
}

/* What was restored has a history of its own: it does not go on in the same archive. */
static void
two_histories_are_not_mixed(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_totals totals;
    begin_with_files(&f);
    struct sim_disk *restored = sim_disk_open(&f.own, 8);
    check_ok(och_restore_vfs(&f.options, sim_disk_vfs(f.backups[0].disk), sim_disk_vfs(restored),
                     &totals, &f.err),
            &f.err);
    check(open_disk(&f, restored, f.archive) == NULL);
    check(f.err.status == OCHRE_EXISTS && strstr(f.err.message, "another history") != NULL);
    struct sim_disk *fresh = sim_disk_open(&f.own, 9);
    struct ochre_db *db = open_disk(&f, restored, fresh);
    check(db != NULL);
    check_ok(och_archive_copy(db->archive, &f.err), &f.err);
    och_db_close(db);
    check_archive_agrees(&f, f.backups[0].disk);
    sim_disk_close(fresh);
    sim_disk_close(restored);
    end(&f);
}

/* The same where all is in one file of the log, and as far as the archive is. */
static void
a_longer_history_of_one_file_is_not_shortened(void **state)
{
    (void) state;
    static struct fixture f;
    begin(&f, 6);
    create(&f);
    back_up(&f);
    for (int i = 0; i < 6; i++)
        write(&f, &f.targets[0], false);
    check_ok(och_archive_copy(f.db->archive, &f.err), &f.err);
    const struct och_point points[] = {{.lsn = f.backups[0].lsn + 2, .time_ns = UINT64_MAX},
            {.lsn = UINT64_MAX, .time_ns = UINT64_MAX}};
    for (size_t i = 0; i < 2; i++) {
        struct sim_disk *restored = sim_disk_open(&f.own, 8);
        check_ok(restore_from(&f, f.backups[0].disk, f.archive, &points[i], restored), &f.err);
        struct ochre_db *db = open_disk(&f, restored, NULL);
        check(db != NULL); /* writes of its own bring it past the archive */
        for (int k = 0; k < 20; k++)
            och_engine_vouch(db->engine);
        och_db_close(db);
        check(open_disk(&f, restored, f.archive) == NULL);
        check(f.err.status == OCHRE_EXISTS);
        sim_disk_close(restored);
    }
    check_archive_agrees(&f, f.backups[0].disk);
    end(&f);
}

static void
points_are_parsed(void **state)
{
    (void) state;
    struct och_point point;
    check(och_point_parse("now", &point) && point.lsn == UINT64_MAX && point.time_ns == UINT64_MAX);
    check(och_point_parse("1234", &point) && point.lsn == 1234 && point.time_ns == UINT64_MAX);
    check(och_point_parse("1970-01-01T00:00:00Z", &point) && point.time_ns == 0);
    check(och_point_parse("2024-02-29T12:30:15.25Z", &point) &&
            point.time_ns == UINT64_C(1709209815250000000) && point.lsn == UINT64_MAX);
    static const char *const bad[] = {"", "yesterday", "-1", "12 ", "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z", "2024-01-00T00:00:00Z", "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:00", "2024-01-01T00:00:00+01:00", "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00.Z", "1969-12-31T23:59:59Z", "9999999999999999999",
            "2024-01-01T00:00:00Zx"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check(!och_point_parse(bad[i], &point));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(any_acknowledged_position_comes_back),
            cmocka_unit_test(a_crash_leaves_notes_that_agree_with_the_catalog),
            cmocka_unit_test(a_failing_call_leaves_notes_that_agree_with_the_catalog),
            cmocka_unit_test(a_crash_leaves_an_archive_that_is_whole),
            cmocka_unit_test(what_was_not_copied_stays_in_the_log),
            cmocka_unit_test(a_missing_file_is_named),
            cmocka_unit_test(damage_is_never_silently_less),
            cmocka_unit_test(points_outside_are_refused),
            cmocka_unit_test(a_time_without_an_archive_is_not_passed_over),
            cmocka_unit_test(a_repair_of_a_database_in_use_is_not_passed_over),
            cmocka_unit_test(two_histories_are_not_mixed),
            cmocka_unit_test(a_longer_history_of_one_file_is_not_shortened),
            cmocka_unit_test(points_are_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
