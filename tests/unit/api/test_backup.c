/*
 * test_backup.c - a database can be had again from its backup, whatever happens on
 * the way: every crash, every failing call, every refused allocation, every bit.
 */
#include <stdio.h>
#include <string.h>

#include "api/backup.h"
#include "api/check.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/schema.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "distance/distance.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "storage/backup_manifest.h"
#include "support/check.h"

enum { DIM = 3, HEAD_ROWS = 20, STORED_MAX = 64, STORED_SIZE = 80 };

struct fixture {
    struct och_mem own, mem;
    struct sim_machine machine;
    struct och_backup_options options;
    struct sim_disk *source; /* the database */
    struct och_target target;
    struct ochre_db *db; /* open, and in use while it is backed up; NULL: not */
    unsigned n_unsaid;   /* restores that had only not said that they were done */
    struct ochre_error err;
};

/* --- a database -------------------------------------------------------------- */

static struct ochre_bytes
text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

static struct ochre_db *
open_db(struct fixture *f, struct sim_disk *disk)
{
    struct ochre_db *db = NULL;
    struct och_db_options options = {.mem = &f->own,
            .vfs = sim_disk_vfs(disk),
            .machine = &f->machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .create = true,
            .engine = {.head_rows_max = HEAD_ROWS}};
    return och_db_open(&options, &db, &f->err) == OCHRE_OK ? db : NULL;
}

static void
create(struct fixture *f, struct ochre_db *db)
{
    struct och_arena arena;
    struct och_schema_request *indexes;
    struct och_collection_info info;
    och_arena_init(&arena, &f->own);
    check_ok(och_schema_request_parse(&arena, NULL, NULL, &indexes, &f->err), &f->err);
    struct och_create what = {.tenant = text("default_tenant"),
            .database = text("default_database"),
            .name = text("things"),
            .indexes = indexes};
    check_ok(och_op_collection_create(db, &arena, &what, &info, &f->err), &f->err);
    f->target = (struct och_target){what.tenant, what.database, info.row.id};
    och_arena_clear(&arena);
}

static void
add(struct fixture *f, struct ochre_db *db, int first, int n)
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
    check_ok(och_op_write(db, &f->target, OCH_WRITE_UPSERT, &input, &written, &f->err), &f->err);
}

/* A hash of every record. */
static uint64_t
hash_of(struct fixture *f, struct ochre_db *db)
{
    uint64_t hash = 1;
    struct och_get_input all = {.limit = UINT64_MAX, .include = ~0u};
    struct och_result *result;
    check_ok(och_op_get(db, &f->target, &all, &result, &f->err), &f->err);
    for (size_t i = 0; i < result->lists[0].n; i++) {
        const struct ochre_hit *hit = &result->lists[0].hits[i];
        hash = hash * 31 + och_hash64(hit->id.data, hit->id.size);
        hash = hash * 31 + och_hash64(hit->document.data, hit->document.size);
        hash = hash * 31 + och_hash64(hit->embedding, DIM * sizeof(float));
    }
    och_result_release(result);
    return hash;
}

/* That of the database on this disk; 0 when it does not open. */
static uint64_t
contents_of(struct fixture *f, struct sim_disk *disk)
{
    struct ochre_db *db = open_db(f, disk);
    uint64_t hash = db != NULL ? hash_of(f, db) : 0;
    och_db_close(db);
    return hash;
}

/* More records; `first` tells one state of the database from the next. */
static void
write_more(struct fixture *f, int first, int n)
{
    struct ochre_db *db = open_db(f, f->source);
    check(db != NULL);
    if (first == 0)
        create(f, db);
    add(f, db, first, n);
    add(f, db, first + 2, 3);
    check_ok(och_engine_seal_all(db->engine, &f->err), &f->err);
    add(f, db, first + n, 4);
    och_db_close(db);
}

static void
begin(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->own, NULL);
    och_mem_init(&f->mem, NULL);
    sim_machine_init(&f->machine, 1);
    f->options = (struct och_backup_options){.mem = &f->mem, .machine = &f->machine.machine};
    f->source = sim_disk_open(&f->own, 1);
    write_more(f, 0, 30);
}

/* From now on it is open while it is backed up. */
static void
use(struct fixture *f)
{
    f->db = open_db(f, f->source);
    check(f->db != NULL);
}

static void
end(struct fixture *f)
{
    och_db_close(f->db);
    sim_disk_close(f->source);
    check(och_mem_used(&f->mem) == 0 && och_mem_used(&f->own) == 0);
}

static ochre_status
back_up(struct fixture *f, struct sim_disk *to, struct och_backup_totals *totals)
{
    f->err = (struct ochre_error){.status = OCHRE_OK};
    if (f->db != NULL)
        return och_backup_database(&f->options, f->db, sim_disk_vfs(to), totals, &f->err);
    return och_backup_vfs(&f->options, sim_disk_vfs(f->source), sim_disk_vfs(to), totals, &f->err);
}

static ochre_status
restore(struct fixture *f, struct sim_disk *from, struct sim_disk *to)
{
    struct och_backup_totals totals;
    f->err = (struct ochre_error){.status = OCHRE_OK};
    return och_restore_vfs(&f->options, sim_disk_vfs(from), sim_disk_vfs(to), &totals, &f->err);
}

/* What a restore of this backup has; 0 when it cannot be restored. */
static uint64_t
contents_restored(struct fixture *f, struct sim_disk *backup)
{
    struct sim_disk *disk = sim_disk_open(&f->own, 2);
    uint64_t hash = 0;
    if (restore(f, backup, disk) == OCHRE_OK) {
        check_ok(och_check_vfs(sim_disk_vfs(disk), &f->machine.machine, NULL, NULL, &f->err),
                &f->err);
        hash = contents_of(f, disk);
        check(hash != 0);
    }
    sim_disk_close(disk);
    return hash;
}

/* --- the way there and back --------------------------------------------------- */

static void
what_is_restored_is_what_was_backed_up(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_totals totals;
    begin(&f);
    struct sim_disk *backup = sim_disk_open(&f.own, 3);
    check_ok(back_up(&f, backup, &totals), &f.err);
    check(totals.n_files >= 4 && totals.n_files_copied == totals.n_files);
    check(totals.n_bytes == totals.n_bytes_copied && totals.made_s > 0);
    check(contents_restored(&f, backup) == contents_of(&f, f.source));
    sim_disk_close(backup);
    end(&f);
}

static void
a_second_backup_copies_what_is_new_only(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_totals first, same, more;
    begin(&f);
    struct sim_disk *backup = sim_disk_open(&f.own, 3);
    check_ok(back_up(&f, backup, &first), &f.err);
    check_ok(back_up(&f, backup, &same), &f.err);
    check(same.n_files == first.n_files && same.n_files_copied == 0);
    uint64_t used = sim_disk_used(backup);
    write_more(&f, 100, 30);
    check_ok(back_up(&f, backup, &more), &f.err);
    check(more.n_files_copied > 0 && more.n_files_copied < more.n_files);
    check(contents_restored(&f, backup) == contents_of(&f, f.source));
    /* What the new one does not name has gone: at most the new files came on top. */
    check(sim_disk_used(backup) <= used + more.n_bytes_copied + 65536);
    uint64_t stored = sim_disk_used(backup);
    check_ok(back_up(&f, backup, &same), &f.err);
    check(sim_disk_used(backup) <= stored);
    sim_disk_close(backup);
    end(&f);
}

/* --- a database in use ---------------------------------------------------------- */

static ochre_status
count_name(void *context, const char *name, bool is_dir)
{
    (void) name;
    (void) is_dir;
    ++*(size_t *) context;
    return OCHRE_OK;
}

/* Files of the one collection. */
static size_t
count_segment_files(struct fixture *f)
{
    char dir[STORED_SIZE], id[OCH_UUID_TEXT_SIZE + 1];
    size_t n = 0;
    och_uuid_put(f->target.id, id);
    (void) snprintf(dir, sizeof(dir), "seg/%s", id);
    check(och_vfs_list(sim_disk_vfs(f->source), dir, count_name, &n, NULL) == OCHRE_OK);
    return n;
}

/* What happens to it while it is copied. */
struct meanwhile {
    struct fixture *f;
    int first; /* of the ids that are written */
    unsigned n_calls;
    bool is_busy;
};

/* Records are written, sealed, merged and deleted; segments and log files that the
 * backup still needs are not needed by the database any more. */
static void
change_it(void *context, uint64_t done, uint64_t total)
{
    struct meanwhile *meanwhile = context;
    struct fixture *f = meanwhile->f;
    int first = meanwhile->first + (int) meanwhile->n_calls * 10;
    (void) done;
    (void) total;
    if (meanwhile->is_busy || meanwhile->n_calls++ >= 12)
        return;
    meanwhile->is_busy = true;
    add(f, f->db, first, 25);
    add(f, f->db, 0, 7);
    check_ok(och_engine_seal_all(f->db->engine, &f->err), &f->err);
    if (meanwhile->n_calls % 3 == 1) {
        struct och_collection *collection = och_engine_loaded(f->db->engine, f->target.id);
        check(collection != NULL);
        check_ok(och_engine_compact(f->db->engine, collection, &f->err), &f->err);
        och_collection_release(collection);
    }
    meanwhile->is_busy = false;
}

static void
a_database_in_use_is_backed_up_as_it_was(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_totals totals;
    begin(&f);
    struct sim_disk *backup = sim_disk_open(&f.own, 3);
    use(&f);
    for (int round = 0; round < 3; round++) {
        struct meanwhile meanwhile = {.f = &f, .first = 5000 + 1000 * round};
        add(&f, f.db, 500 * round, 30); /* of these ten lie in the log only */
        uint64_t contents = hash_of(&f, f.db);
        f.options.progress = change_it;
        f.options.context = &meanwhile;
        check_ok(back_up(&f, backup, &totals), &f.err);
        f.options.progress = NULL;
        check(meanwhile.n_calls > 3 && totals.n_files_copied > 0);
        uint64_t changed = hash_of(&f, f.db);
        check(changed != contents && contents_restored(&f, backup) == contents);
        /* Nothing stays that an opening would remove. */
        size_t n_files = count_segment_files(&f);
        och_db_close(f.db);
        use(&f);
        check(count_segment_files(&f) == n_files && hash_of(&f, f.db) == changed);
    }
    sim_disk_close(backup);
    end(&f);
}

/* A collection that is dropped while it is copied is in the backup. */
static void
drop_it(void *context, uint64_t done, uint64_t total)
{
    struct meanwhile *meanwhile = context;
    struct fixture *f = meanwhile->f;
    (void) done;
    (void) total;
    if (meanwhile->n_calls++ == 2)
        check_ok(och_engine_drop(f->db->engine, f->target.id, &f->err), &f->err);
}

static void
what_is_dropped_meanwhile_is_backed_up(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_totals totals;
    struct meanwhile meanwhile = {.f = &f};
    begin(&f);
    struct sim_disk *backup = sim_disk_open(&f.own, 3);
    use(&f);
    uint64_t contents = hash_of(&f, f.db);
    f.options.progress = drop_it;
    f.options.context = &meanwhile;
    check_ok(back_up(&f, backup, &totals), &f.err);
    f.options.progress = NULL;
    check(contents_restored(&f, backup) == contents);
    size_t n_dirs = 0;
    check(och_vfs_list(sim_disk_vfs(f.source), "seg", count_name, &n_dirs, NULL) == OCHRE_OK);
    check(n_dirs == 0);
    check_ok(back_up(&f, backup, &totals), &f.err);
    sim_disk_close(backup);
    end(&f);
}

static void
a_database_without_records_is_backed_up(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_totals totals;
    begin(&f);
    sim_disk_close(f.source);
    f.source = sim_disk_open(&f.own, 8);
    struct sim_disk *backup = sim_disk_open(&f.own, 3);
    struct sim_disk *target = sim_disk_open(&f.own, 4);
    use(&f);
    check_ok(back_up(&f, backup, &totals), &f.err);
    check_ok(restore(&f, backup, target), &f.err);
    struct ochre_db *db = open_db(&f, target);
    check(db != NULL);
    och_db_close(db);
    sim_disk_close(target);
    sim_disk_close(backup);
    end(&f);
}

static ochre_status
refuse_any(void *context, const char *name, bool is_dir)
{
    (void) context;
    (void) is_dir;
    return strcmp(name, "LOCK") == 0 ? OCHRE_OK : OCHRE_EXISTS;
}

static void
a_directory_in_use_is_refused(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_totals totals;
    begin(&f);
    struct sim_disk *backup = sim_disk_open(&f.own, 3);
    struct ochre_db *db = open_db(&f, f.source);
    check(back_up(&f, backup, &totals) == OCHRE_BUSY);
    och_db_close(db);
    check(och_vfs_list(sim_disk_vfs(backup), "", refuse_any, NULL, NULL) == OCHRE_OK);
    sim_disk_close(backup);
    end(&f);
}

static void
other_directories_are_left_alone(void **state)
{
    (void) state;
    static struct fixture f, other;
    struct och_backup_totals totals;
    begin(&f);
    struct sim_disk *backup = sim_disk_open(&f.own, 3);
    /* Onto a database; from nothing; onto another's backup; over a database. */
    check(back_up(&f, f.source, &totals) == OCHRE_BUSY ||
            back_up(&f, f.source, &totals) == OCHRE_EXISTS);
    check(och_backup_vfs(&f.options, sim_disk_vfs(backup), sim_disk_vfs(f.source), &totals,
                  &f.err) == OCHRE_INVALID);
    check(restore(&f, backup, f.source) == OCHRE_INVALID);
    check_ok(back_up(&f, backup, &totals), &f.err);
    uint64_t before = contents_of(&f, f.source);
    check(restore(&f, backup, f.source) == OCHRE_EXISTS);
    check(contents_of(&f, f.source) == before);

    memset(&other, 0, sizeof(other));
    begin(&other);
    sim_machine_init(&other.machine, 99);
    sim_disk_close(other.source);
    other.source = sim_disk_open(&other.own, 9);
    write_more(&other, 0, 10);
    check(back_up(&other, backup, &totals) == OCHRE_EXISTS);
    check(strstr(other.err.message, "another database") != NULL);
    check(contents_restored(&f, backup) == before);
    end(&other);
    sim_disk_close(backup);
    end(&f);
}

/* --- damage -------------------------------------------------------------------- */

struct stored {
    char paths[STORED_MAX][STORED_SIZE];
    const char *dir;
    size_t n;
};

static ochre_status
note_stored(void *context, const char *name, bool is_dir)
{
    struct stored *stored = context;
    if (!is_dir && strcmp(name, "LOCK") != 0) {
        check(stored->n < STORED_MAX);
        (void) snprintf(stored->paths[stored->n++], STORED_SIZE, "%s%.60s", stored->dir, name);
    }
    return OCHRE_OK;
}

static void
list_stored(struct sim_disk *backup, struct stored *stored)
{
    memset(stored, 0, sizeof(*stored));
    stored->dir = "";
    check(och_vfs_list(sim_disk_vfs(backup), "", note_stored, stored, NULL) == OCHRE_OK);
    stored->dir = "files/";
    check(och_vfs_list(sim_disk_vfs(backup), "files", note_stored, stored, NULL) == OCHRE_OK);
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

static bool
is_empty(struct sim_disk *disk)
{
    return och_vfs_list(sim_disk_vfs(disk), "", refuse_any, NULL, NULL) == OCHRE_OK;
}

/* Any one bit, and any file that is missing: refused by name, and nothing made. */
static void
a_damaged_backup_is_refused_and_names_the_file(void **state)
{
    (void) state;
    static struct fixture f;
    static struct stored stored;
    struct och_backup_totals totals;
    uint64_t seed = 5;
    begin(&f);
    uint64_t contents = contents_of(&f, f.source); /* opening it writes to its log */
    struct sim_disk *backup = sim_disk_open(&f.own, 3);
    check_ok(back_up(&f, backup, &totals), &f.err);
    list_stored(backup, &stored);
    check(stored.n >= 5);
    for (size_t i = 0; i < stored.n * 4; i++) {
        const char *path = stored.paths[i % stored.n];
        struct sim_disk *trial = sim_disk_clone(backup);
        struct sim_disk *target = sim_disk_open(&f.own, 4);
        if (i < stored.n)
            check(och_vfs_remove(sim_disk_vfs(trial), path, NULL) == OCHRE_OK);
        else
            check(sim_disk_flip(trial, path, och_random(&seed) % size_of(trial, path),
                    (unsigned) (och_random(&seed) % 8)));
        ochre_status status = restore(&f, trial, target);
        check(status == OCHRE_CORRUPT || (status == OCHRE_INVALID && i < stored.n));
        check(strstr(f.err.message, path) != NULL);
        check(is_empty(target));
        sim_disk_close(target);
        /* A later backup makes good what it can read the name of. */
        if (strcmp(path, "BACKUP") != 0) {
            check_ok(back_up(&f, trial, &totals), &f.err);
            check(totals.n_files_copied == 1);
            check(contents_restored(&f, trial) == contents);
        }
        sim_disk_close(trial);
    }
    sim_disk_close(backup);
    end(&f);
}

static ochre_status
find_segment(void *context, const char *name, bool is_dir)
{
    char *path = context;
    (void) is_dir;
    size_t size = strlen(path);
    (void) snprintf(path + size, STORED_SIZE - size, "/%.60s", name);
    return OCHRE_OK;
}

static void
a_damaged_database_does_not_replace_its_backup(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_totals totals;
    char dir[STORED_SIZE] = "seg";
    char path[2 * STORED_SIZE];
    struct stored files = {.dir = ""};
    begin(&f);
    struct sim_disk *backup = sim_disk_open(&f.own, 3);
    check_ok(back_up(&f, backup, &totals), &f.err);
    uint64_t before = contents_of(&f, f.source);
    check(och_vfs_list(sim_disk_vfs(f.source), "seg", find_segment, dir, NULL) == OCHRE_OK);
    check(och_vfs_list(sim_disk_vfs(f.source), dir, note_stored, &files, NULL) == OCHRE_OK);
    check(files.n > 0);
    (void) snprintf(path, sizeof(path), "%s/%s", dir, files.paths[0]);
    check(sim_disk_flip(f.source, path, size_of(f.source, path) / 2, 3));
    check(back_up(&f, backup, &totals) == OCHRE_CORRUPT);
    check(strstr(f.err.message, files.paths[0]) != NULL);
    check(contents_restored(&f, backup) == before);
    sim_disk_close(backup);
    end(&f);
}

/* --- crashes, failures, no memory ----------------------------------------------- */

/* Crash a second backup before its n-th call: one of the two is there, whole. */
static bool
survives_backup_crash(struct fixture *f, struct sim_disk *before, uint64_t n, enum sim_mode mode,
        const uint64_t contents[2])
{
    struct och_backup_totals totals;
    struct sim_disk *trial = sim_disk_clone(before);
    sim_disk_crash(trial, n, SIM_BEFORE);
    ochre_status status = back_up(f, trial, &totals);
    bool crashed = sim_disk_has_crashed(trial);
    check(status == OCHRE_OK || crashed);
    sim_disk_recover(trial, mode, n);
    uint64_t found = contents_restored(f, trial);
    check(found == contents[1] || (status != OCHRE_OK && found == contents[0]));
    check_ok(back_up(f, trial, &totals), &f->err);
    check(contents_restored(f, trial) == contents[1]);
    sim_disk_close(trial);
    return crashed;
}

static void
a_crash_leaves_one_whole_backup(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_totals totals;
    uint64_t contents[2];
    begin(&f);
    struct sim_disk *backup = sim_disk_open(&f.own, 3);
    check_ok(back_up(&f, backup, &totals), &f.err);
    contents[0] = contents_of(&f, f.source);
    write_more(&f, 100, 30);
    contents[1] = contents_of(&f, f.source);
    bool crashed = true;
    uint64_t n = 0;
    while (crashed) {
        n++;
        for (int mode = 0; mode < SIM_N_MODES; mode++)
            crashed = survives_backup_crash(&f, backup, n, (enum sim_mode) mode, contents);
    }
    check(n > 20);
    sim_disk_close(backup);
    end(&f);
}

static bool
exists(struct sim_disk *disk, const char *path)
{
    bool there;
    check(och_vfs_exists(sim_disk_vfs(disk), path, &there, NULL) == OCHRE_OK);
    return there;
}

/* Nothing opens what a restore left half; the next restore completes it. */
static bool
survives_restore_crash(struct fixture *f, struct sim_disk *backup, uint64_t n, enum sim_mode mode,
        uint64_t contents)
{
    struct sim_disk *trial = sim_disk_open(&f->own, n);
    sim_disk_crash(trial, n, SIM_BEFORE);
    ochre_status status = restore(f, backup, trial);
    bool crashed = sim_disk_has_crashed(trial);
    check(status == OCHRE_OK || crashed);
    sim_disk_recover(trial, mode, n);
    bool whole;
    check(och_vfs_exists(sim_disk_vfs(trial), "FORMAT", &whole, NULL) == OCHRE_OK);
    check(whole || status != OCHRE_OK);
    /* Whoever restored did not say that it was done, unless the mark is gone. */
    bool marked = exists(trial, "RESTORING");
    f->n_unsaid += whole && marked;
    if (!whole || marked)
        check_ok(restore(f, backup, trial), &f->err);
    else
        check(restore(f, backup, trial) == OCHRE_EXISTS);
    check(!exists(trial, "RESTORING"));
    check(contents_of(f, trial) == contents);
    sim_disk_close(trial);
    return crashed;
}

static void
a_crash_leaves_no_half_database(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_totals totals;
    begin(&f);
    struct sim_disk *backup = sim_disk_open(&f.own, 3);
    check_ok(back_up(&f, backup, &totals), &f.err);
    uint64_t contents = contents_of(&f, f.source);
    bool crashed = true;
    uint64_t n = 0;
    while (crashed) {
        n++;
        for (int mode = 0; mode < SIM_N_MODES; mode++)
            crashed = survives_restore_crash(&f, backup, n, (enum sim_mode) mode, contents);
    }
    check(n > 20 && f.n_unsaid > 0);
    sim_disk_close(backup);
    end(&f);
}

/* The mark of a restore of `backup`, as one has it that is killed behind FORMAT. */
static void
put_mark(struct fixture *f, struct sim_disk *backup, struct sim_disk *target)
{
    char bytes[8];
    struct och_file *file;
    check_ok(och_vfs_open(sim_disk_vfs(backup), "BACKUP", OCH_OPEN_READ, &file, &f->err), &f->err);
    check_ok(och_file_read_all(file, size_of(backup, "BACKUP") - sizeof(bytes), bytes,
                     sizeof(bytes), &f->err),
            &f->err);
    och_file_close(file);
    check_ok(och_vfs_open(sim_disk_vfs(target), "RESTORING", OCH_OPEN_WRITE | OCH_OPEN_CREATE,
                     &file, &f->err),
            &f->err);
    check_ok(och_file_write(file, 0, bytes, sizeof(bytes), &f->err), &f->err);
    och_file_close(file);
}

/* Only a restore of the same backup, where all of it is, is finished by repeating it. */
static void
a_restore_that_lacked_its_end_is_finished(void **state)
{
    (void) state;
    static struct fixture f;
    static const char segment_log[] = "log/0000000000000001.log";
    struct och_backup_totals totals;
    begin(&f);
    struct sim_disk *first = sim_disk_open(&f.own, 3);
    struct sim_disk *second = sim_disk_open(&f.own, 4);
    struct sim_disk *target = sim_disk_open(&f.own, 5);
    check_ok(back_up(&f, first, &totals), &f.err);
    uint64_t contents = contents_of(&f, f.source);
    write_more(&f, 100, 30);
    check_ok(back_up(&f, second, &totals), &f.err);
    check_ok(restore(&f, first, target), &f.err);
    put_mark(&f, first, target);
    check_ok(
            och_restore_vfs(&f.options, sim_disk_vfs(first), sim_disk_vfs(target), &totals, &f.err),
            &f.err);
    check(totals.is_finished && totals.n_files_copied == 0 && !exists(target, "RESTORING"));
    check(restore(&f, first, target) == OCHRE_EXISTS); /* it is done */
    put_mark(&f, second, target);
    check(restore(&f, first, target) == OCHRE_EXISTS);
    check(restore(&f, second, target) == OCHRE_EXISTS);
    put_mark(&f, first, target);
    check(sim_disk_flip(target, segment_log, 5000, 3));
    check(restore(&f, first, target) == OCHRE_EXISTS);
    check(sim_disk_flip(target, segment_log, 5000, 3));
    check(exists(target, "RESTORING") && contents_of(&f, target) == contents);
    check(!exists(target, "RESTORING")); /* somebody writes to it by now */
    put_mark(&f, first, target);
    check(restore(&f, first, target) == OCHRE_EXISTS);
    sim_disk_close(target);
    sim_disk_close(second);
    sim_disk_close(first);
    end(&f);
}

/* A half restored directory takes the same backup again, and no other. */
static void
two_backups_are_not_mixed(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_totals totals;
    begin(&f);
    struct sim_disk *first = sim_disk_open(&f.own, 3);
    struct sim_disk *second = sim_disk_open(&f.own, 4);
    struct sim_disk *target = sim_disk_open(&f.own, 5);
    check_ok(back_up(&f, first, &totals), &f.err);
    uint64_t contents = contents_of(&f, f.source);
    write_more(&f, 100, 30);
    check_ok(back_up(&f, second, &totals), &f.err);
    sim_disk_fail(target, 25, SIM_IO_ONCE);
    check(restore(&f, first, target) == OCHRE_IO);
    check(restore(&f, second, target) == OCHRE_EXISTS);
    check(strstr(f.err.message, "half restored") != NULL);
    check_ok(restore(&f, first, target), &f.err);
    check(contents_of(&f, target) == contents);
    sim_disk_close(target);
    sim_disk_close(second);
    sim_disk_close(first);
    end(&f);
}

static void
check_failing_calls(bool in_use)
{
    static struct fixture f;
    struct och_backup_totals totals;
    begin(&f);
    uint64_t contents = contents_of(&f, f.source);
    if (in_use)
        use(&f);
    static const enum sim_fault faults[] = {SIM_IO_ONCE, SIM_FULL_ONCE};
    for (size_t k = 0; k < sizeof(faults) / sizeof(faults[0]); k++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            struct sim_disk *trial = sim_disk_open(&f.own, n);
            sim_disk_fail(trial, n, faults[k]);
            ochre_status status = back_up(&f, trial, &totals);
            failed = sim_disk_has_failed(trial);
            check((status == OCHRE_OK) == !failed);
            sim_disk_fail(trial, 0, faults[k]);
            check_ok(back_up(&f, trial, &totals), &f.err);

            struct sim_disk *target = sim_disk_open(&f.own, n);
            sim_disk_fail(target, n, faults[k]);
            status = restore(&f, trial, target);
            bool restore_failed = sim_disk_has_failed(target);
            check((status == OCHRE_OK) == !restore_failed);
            sim_disk_fail(target, 0, faults[k]);
            check(contents_restored(&f, trial) == contents);
            failed = failed || restore_failed;
            sim_disk_close(target);
            sim_disk_close(trial);
        }
    }
    end(&f);
}

static void
every_failing_call_is_an_error_and_the_next_try_works(void **state)
{
    (void) state;
    check_failing_calls(false);
    check_failing_calls(true);
}

/* Where the database lies: it works on, and its next backup is whole. */
static void
a_failing_read_of_a_database_in_use_is_an_error(void **state)
{
    (void) state;
    static struct fixture f;
    struct och_backup_totals totals;
    begin(&f);
    use(&f);
    uint64_t contents = hash_of(&f, f.db);
    bool failed = true;
    uint64_t n = 0;
    while (failed) {
        n++;
        struct sim_disk *backup = sim_disk_open(&f.own, 3);
        sim_disk_fail(f.source, n, SIM_IO_ONCE);
        ochre_status status = back_up(&f, backup, &totals);
        failed = sim_disk_has_failed(f.source);
        /* Some reads are tried again, in parts. */
        check(status == OCHRE_OK || failed);
        check(status != OCHRE_OK || contents_restored(&f, backup) == contents);
        sim_disk_fail(f.source, 0, SIM_IO_ONCE);
        check(f.db->engine->n_holds == 0 && hash_of(&f, f.db) == contents);
        check_ok(back_up(&f, backup, &totals), &f.err);
        check(contents_restored(&f, backup) == contents);
        sim_disk_close(backup);
    }
    check(n > 10);
    end(&f);
}

static void
check_refused_allocations(bool in_use)
{
    static struct fixture f;
    struct och_backup_totals totals;
    begin(&f);
    if (in_use)
        use(&f);
    ochre_status status = OCHRE_NO_MEMORY;
    for (uint64_t n = 1; status != OCHRE_OK; n++) {
        struct sim_disk *backup = sim_disk_open(&f.own, 3);
        struct sim_disk *target = sim_disk_open(&f.own, 4);
        f.mem.n_grants = 0;
        f.mem.fail_at = n;
        status = back_up(&f, backup, &totals);
        if (status == OCHRE_OK)
            status = restore(&f, backup, target);
        check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        check(n > 4 || status != OCHRE_OK);
        check(och_mem_used(&f.mem) == 0);
        sim_disk_close(target);
        sim_disk_close(backup);
    }
    f.mem.fail_at = 0;
    end(&f);
}

static void
every_refused_allocation_is_an_error(void **state)
{
    (void) state;
    check_refused_allocations(false);
    check_refused_allocations(true);
}

/* --- the manifest ---------------------------------------------------------------- */

static void
only_paths_of_a_database_are_members(void **state)
{
    (void) state;
    static const char *const good[] = {"FORMAT", "catalog.db", "log/0000000000000001.log",
            "seg/01234567-89ab-4def-8123-456789abcdef/00000000000000ff.seg",
            "seg/01234567-89ab-4def-8123-456789abcdef/00000000000000ff.0000000000000001.del"};
    static const char *const bad[] = {"", "LOCK", "format", "../FORMAT", "/FORMAT", "FORMAT/",
            "catalog.db-journal", "RESERVE", "log/1.log", "log/0000000000000001.LOG",
            "log/../FORMAT", "log/000000000000000G.log", "log/00000000000000001.log",
            "seg/01234567-89AB-4DEF-8123-456789ABCDEF/00000000000000ff.seg",
            "seg/0123456789ab4def8123456789abcdef/00000000000000ff.seg",
            "seg/01234567-89ab-4def-8123-456789abcdef/../../x",
            "seg/01234567-89ab-4def-8123-456789abcdef/00000000000000ff.del",
            "seg/01234567-89ab-4def-8123-456789abcdef", "seg/", "tmp/x"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        check(och_backup_is_member(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check(!och_backup_is_member(bad[i]));
}

/* A forger can make the checksum right; then the fields must be refused. */
static void
forged_manifests_are_refused(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_buf buf;
    struct ochre_error err;
    struct och_backup_manifest manifest;
    och_mem_init(&mem, NULL);
    och_backup_manifest_init(&manifest, &mem);
    struct och_backup_member member = {.path = "FORMAT", .size = 48, .hash = 7};
    check_ok(och_backup_manifest_add(&manifest, &member, &err), &err);
    check(och_backup_manifest_add(&manifest, &member, &err) == OCHRE_CORRUPT);
    och_buf_init(&buf, &mem, 4096);
    och_backup_manifest_encode(&manifest, &buf);
    och_backup_manifest_clear(&manifest);
    check(och_buf_status(&buf) == OCHRE_OK);
    check_ok(och_backup_manifest_decode(&manifest, buf.data, buf.size, &err), &err);
    check(manifest.n_members == 1 && strcmp(manifest.members[0].path, "FORMAT") == 0);
    check(manifest.members[0].size == 48 && manifest.members[0].hash == 7);
    och_backup_manifest_clear(&manifest);
    for (size_t size = 0; size < buf.size; size++) {
        check(och_backup_manifest_decode(&manifest, buf.data, size, &err) == OCHRE_CORRUPT);
        och_backup_manifest_clear(&manifest);
    }
    for (size_t i = 0; i < buf.size - 8; i++) {
        bool is_free = (i >= 20 && i < 48) || (i >= 72 && i < 80); /* minor, id, time; hash */
        buf.data[i] ^= 0x40;
        och_store_u64(buf.data + buf.size - 8, och_hash64(buf.data, buf.size - 8));
        ochre_status status = och_backup_manifest_decode(&manifest, buf.data, buf.size, &err);
        check(is_free ? status == OCHRE_OK
                      : status == OCHRE_CORRUPT || status == OCHRE_UNSUPPORTED);
        buf.data[i] ^= 0x40;
        och_backup_manifest_clear(&manifest);
    }
    och_buf_clear(&buf);
    check(och_mem_used(&mem) == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_is_restored_is_what_was_backed_up),
            cmocka_unit_test(a_second_backup_copies_what_is_new_only),
            cmocka_unit_test(a_database_in_use_is_backed_up_as_it_was),
            cmocka_unit_test(what_is_dropped_meanwhile_is_backed_up),
            cmocka_unit_test(a_database_without_records_is_backed_up),
            cmocka_unit_test(a_directory_in_use_is_refused),
            cmocka_unit_test(other_directories_are_left_alone),
            cmocka_unit_test(a_damaged_backup_is_refused_and_names_the_file),
            cmocka_unit_test(a_damaged_database_does_not_replace_its_backup),
            cmocka_unit_test(a_crash_leaves_one_whole_backup),
            cmocka_unit_test(a_crash_leaves_no_half_database),
            cmocka_unit_test(a_restore_that_lacked_its_end_is_finished),
            cmocka_unit_test(two_backups_are_not_mixed),
            cmocka_unit_test(every_failing_call_is_an_error_and_the_next_try_works),
            cmocka_unit_test(a_failing_read_of_a_database_in_use_is_an_error),
            cmocka_unit_test(every_refused_allocation_is_an_error),
            cmocka_unit_test(only_paths_of_a_database_are_members),
            cmocka_unit_test(forged_manifests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
