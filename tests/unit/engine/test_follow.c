/*
 * A reader beside a writer, on one disk.  Between any two calls that the writer makes
 * of its files the reader looks: the disk is then in every state in which another
 * process could find it, but for halves of single calls.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/random.h"
#include "engine/collection.h"
#include "engine/follow.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"
#include "support/check.h"
#include "unit/engine/rig.h"
#include "unit/index/random_metadata.h"

enum { COLUMNS = OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_METADATAS | OCHRE_INCLUDE_EMBEDDINGS };
enum { N_NAMES = 2 };

static const char *const names[N_NAMES] = {"things", "others"};

/* What is acknowledged, and what will be when the write at hand is. */
static struct state {
    bool is_there;
    struct rig_model model;
} acknowledged[N_NAMES], coming[N_NAMES];
static bool arrived[N_NAMES]; /* the reader has shown what is coming: it may not go back */

static struct rig writer, reader;
static uint64_t n_looks;

static size_t
pick(uint64_t *seed, size_t n)
{
    return (size_t) (och_random(seed) % n);
}

/* --- what a reader shows ---------------------------------------------------------- */

/* The collection's number in a catalog; 0: there is none. */
static bool
find_row(struct rig *rig, const char *name, struct och_arena *arena, struct och_collection_row *row)
{
    struct ochre_error err;
    ochre_status status = rig->catalog->ops->collection_by_name(rig->catalog, arena,
            text(OCH_DEFAULT_TENANT), text(OCH_DEFAULT_DATABASE), text(name), row, &err);
    check(status == OCHRE_OK || status == OCHRE_NOT_FOUND);
    return status == OCHRE_OK;
}

static bool
is_record(const struct ochre_hit *hit, const struct rig_record *record)
{
    char id[32], document[32];
    (void) snprintf(id, sizeof(id), "k%u", (unsigned) record->number);
    (void) snprintf(document, sizeof(document), "d%u", (unsigned) record->document);
    return same_text(hit->id, text(id)) && same_text(hit->document, text(document)) &&
            hit->metadata.n_fields == 1 &&
            hit->metadata.fields[0].value.as.integer == (int64_t) record->fields &&
            (uint32_t) hit->embedding[0] == record->number % 37 &&
            (uint32_t) hit->embedding[1] == record->vector % 11;
}

static bool
shows(struct rig *rig, const char *name, const struct state *state)
{
    struct ochre_error err;
    struct och_arena arena;
    struct och_collection_row row;
    struct och_collection *collection = NULL;
    struct och_result *result = NULL;
    struct och_get get = {.select = {.mem = &rig->mem}, .limit = UINT64_MAX, .include = COLUMNS};
    och_arena_init(&arena, &rig->mem);
    bool is_there = find_row(rig, name, &arena, &row);
    bool same = is_there == state->is_there;
    if (is_there && same) {
        check_ok(och_engine_collection(rig->engine, &row, &collection, &err), &err);
        check_ok(och_engine_get(&rig->mem, collection, &get, &result, &err), &err);
        same = result->lists[0].n == state->model.n;
        for (size_t i = 0; same && i < state->model.n; i++)
            same = is_record(&result->lists[0].hits[i], &state->model.records[i]);
        same = same && och_snapshot_count(&result->snapshot) == state->model.n;
    }
    och_result_release(result);
    och_collection_release(collection);
    och_arena_clear(&arena);
    return same;
}

/* What was acknowledged is shown, or what is coming, and never less than before. */
static void
look(void)
{
    struct ochre_error err;
    check_ok(och_follow_now(reader.engine, 0, &err), &err);
    n_looks++;
    for (size_t i = 0; i < N_NAMES; i++) {
        if (!arrived[i] && shows(&reader, names[i], &acknowledged[i]))
            continue;
        arrived[i] = true;
        check(shows(&reader, names[i], &coming[i]));
    }
}

/* --- files that are watched ------------------------------------------------------- */

struct watched_file {
    struct och_file file; /* first */
    struct och_file *base;
};

static struct och_vfs watched;
static bool is_watched;

static void
before_call(void)
{
    if (is_watched)
        look();
}

static struct och_file *
base_of(struct och_file *file)
{
    return ((struct watched_file *) file)->base;
}

static ochre_status
file_read(struct och_file *file, uint64_t offset, void *bytes, size_t size, size_t *n_read_out,
        struct ochre_error *err)
{
    return och_file_read(base_of(file), offset, bytes, size, n_read_out, err);
}

static ochre_status
file_write(struct och_file *file, uint64_t offset, const void *bytes, size_t size,
        struct ochre_error *err)
{
    before_call();
    return och_file_write(base_of(file), offset, bytes, size, err);
}

static ochre_status
file_sync(struct och_file *file, struct ochre_error *err)
{
    before_call();
    return och_file_sync(base_of(file), err);
}

static ochre_status
file_truncate(struct och_file *file, uint64_t size, struct ochre_error *err)
{
    before_call();
    return och_file_truncate(base_of(file), size, err);
}

static ochre_status
file_allocate(struct och_file *file, uint64_t size, struct ochre_error *err)
{
    before_call();
    return och_file_allocate(base_of(file), size, err);
}

static ochre_status
file_size(struct och_file *file, uint64_t *size_out, struct ochre_error *err)
{
    return och_file_size(base_of(file), size_out, err);
}

static ochre_status
file_map(struct och_file *file, uint64_t size, const void **bytes_out, struct ochre_error *err)
{
    return och_file_map(base_of(file), size, bytes_out, err);
}

static void
file_unmap(struct och_file *file, const void *bytes, uint64_t size)
{
    och_file_unmap(base_of(file), bytes, size);
}

static ochre_status
file_lock(struct och_file *file, struct ochre_error *err)
{
    return och_file_lock(base_of(file), err);
}

static void
file_close(struct och_file *file)
{
    och_file_close(base_of(file));
    free(file);
}

static const struct och_file_ops watched_file_ops = {
        .read = file_read,
        .write = file_write,
        .sync = file_sync,
        .truncate = file_truncate,
        .allocate = file_allocate,
        .size = file_size,
        .map = file_map,
        .unmap = file_unmap,
        .lock = file_lock,
        .close = file_close,
};

static struct och_vfs *
disk_of(struct och_vfs *vfs)
{
    check(vfs == &watched);
    return sim_disk_vfs(writer.disk);
}

static ochre_status
vfs_open(struct och_vfs *vfs, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    struct watched_file *file = malloc(sizeof(*file));
    check(file != NULL);
    if ((flags & OCH_OPEN_CREATE) != 0)
        before_call();
    file->file.ops = &watched_file_ops;
    ochre_status status = och_vfs_open(disk_of(vfs), path, flags, &file->base, err);
    *file_out = &file->file;
    if (status != OCHRE_OK) {
        free(file);
        *file_out = NULL;
    }
    return status;
}

static ochre_status
vfs_remove(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    before_call();
    return och_vfs_remove(disk_of(vfs), path, err);
}

static ochre_status
vfs_rename(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    before_call();
    return och_vfs_rename(disk_of(vfs), from, to, err);
}

static ochre_status
vfs_sync_dir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    before_call();
    return och_vfs_sync_dir(disk_of(vfs), path, err);
}

static ochre_status
vfs_mkdir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    before_call();
    return och_vfs_mkdir(disk_of(vfs), path, err);
}

static ochre_status
vfs_rmdir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    before_call();
    return och_vfs_rmdir(disk_of(vfs), path, err);
}

static ochre_status
vfs_list(struct och_vfs *vfs, const char *path,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err)
{
    return och_vfs_list(disk_of(vfs), path, visit, context, err);
}

static ochre_status
vfs_exists(struct och_vfs *vfs, const char *path, bool *exists_out, struct ochre_error *err)
{
    return och_vfs_exists(disk_of(vfs), path, exists_out, err);
}

static ochre_status
vfs_space_free(struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err)
{
    return och_vfs_space_free(disk_of(vfs), bytes_out, err);
}

static const struct och_vfs_ops watched_ops = {
        .open = vfs_open,
        .remove = vfs_remove,
        .rename = vfs_rename,
        .sync_dir = vfs_sync_dir,
        .mkdir = vfs_mkdir,
        .rmdir = vfs_rmdir,
        .list = vfs_list,
        .exists = vfs_exists,
        .space_free = vfs_space_free,
};

/* --- histories -------------------------------------------------------------------- */

static void
begin(void)
{
    struct ochre_error err;
    memset(acknowledged, 0, sizeof(acknowledged));
    memset(coming, 0, sizeof(coming));
    rig_begin(&writer);
    writer.options = (struct och_engine_options){.head_rows_max = 16, .merge = {.fan_in = 3}};
    watched.ops = &watched_ops;
    writer.vfs = &watched;
    check_ok(rig_open(&writer, &err), &err);
    is_watched = false;
}

static void
end(void)
{
    is_watched = false;
    rig_end(&writer);
}

/* The write at hand is done. */
static void
acknowledge(void)
{
    is_watched = false;
    for (size_t i = 0; i < N_NAMES; i++) {
        acknowledged[i] = coming[i];
        arrived[i] = false;
    }
}

static void
create(size_t which)
{
    coming[which] = (struct state){.is_there = true};
    och_collection_release(rig_create(&writer, names[which]));
    acknowledge();
}

static void
drop(size_t which)
{
    struct ochre_error err;
    struct och_collection *collection = rig_collection(&writer, names[which]);
    coming[which].is_there = false;
    check_ok(och_engine_drop(writer.engine, collection->id, &err), &err);
    och_collection_release(collection);
    acknowledge();
}

static void
write_some(size_t which, enum och_write_op op, uint64_t *seed)
{
    struct ochre_error err;
    uint32_t numbers[6];
    static uint32_t tag = 1;
    struct rig_write write = {
            .op = op, .numbers = numbers, .n = 1 + pick(seed, 6), .tag = tag++, .columns = RIG_ALL};
    uint32_t first = (uint32_t) pick(seed, 40);
    for (size_t i = 0; i < write.n; i++)
        numbers[i] = first + (uint32_t) i;
    struct och_collection *collection = rig_collection(&writer, names[which]);
    model_write(&coming[which].model, &write);
    check_ok(rig_write(&writer, collection, &write, &err), &err);
    och_collection_release(collection);
    acknowledge();
}

static void
tidy(size_t which, size_t how)
{
    struct ochre_error err;
    struct och_collection *collection = rig_collection(&writer, names[which]);
    if (how == 0)
        check_ok(och_engine_seal_all(writer.engine, &err), &err);
    else
        check_ok(och_engine_compact(writer.engine, collection, &err), &err);
    if (how == 2) {
        uint64_t lsn;
        check_ok(och_engine_purge_begin(writer.engine, &lsn, &err), &err);
        check_ok(och_engine_seal_all(writer.engine, &err), &err);
        check_ok(och_engine_purge_end(writer.engine, lsn, &err), &err);
    }
    och_collection_release(collection);
    acknowledge();
}

static void
step(uint64_t *seed, bool watch)
{
    size_t which = pick(seed, N_NAMES);
    size_t what = pick(seed, 100);
    is_watched = watch;
    if (!acknowledged[which].is_there)
        create(which);
    else if (what < 30)
        write_some(which, OCH_WRITE_ADD, seed);
    else if (what < 55)
        write_some(which, OCH_WRITE_UPSERT, seed);
    else if (what < 70)
        write_some(which, OCH_WRITE_UPDATE, seed);
    else if (what < 82)
        write_some(which, OCH_WRITE_DELETE, seed);
    else if (what < 92)
        tidy(which, pick(seed, 3));
    else if (what < 96)
        drop(which);
    else
        rig_reopen(&writer);
    acknowledge();
}

static void
open_reader(void)
{
    struct ochre_error err;
    check_ok(rig_open_beside(&reader, &writer, &err), &err);
}

/* --- tests ------------------------------------------------------------------------ */

static void
what_is_acknowledged_is_shown_between_any_two_calls(void **state)
{
    (void) state;
    for (uint64_t first = 1; first <= 4; first++) {
        uint64_t seed = first;
        begin();
        open_reader();
        n_looks = 0;
        for (int i = 0; i < 150; i++) {
            step(&seed, true);
            look();
        }
        check(n_looks > 1500);
        rig_close(&reader);
        end();
    }
}

/* It has slept: the log was trimmed, files merged, collections dropped meanwhile. */
static void
a_reader_that_was_asleep_catches_up(void **state)
{
    (void) state;
    uint64_t seed = 7;
    begin();
    open_reader();
    for (int i = 0; i < 30; i++) {
        for (int k = 0; k < 40; k++)
            step(&seed, false);
        look();
    }
    rig_close(&reader);
    end();
}

static void
a_result_stays_what_it_was_though_its_files_are_removed(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t seed = 3;
    begin();
    create(0);
    for (int i = 0; i < 20; i++)
        write_some(0, OCH_WRITE_UPSERT, &seed);
    tidy(0, 1);
    open_reader();
    struct och_collection *collection = rig_collection(&reader, names[0]);
    static struct rig_model was;
    was = acknowledged[0].model;
    struct och_get get = {.select = {.mem = &reader.mem}, .limit = UINT64_MAX, .include = COLUMNS};
    struct och_result *result;
    check_ok(och_engine_get(&reader.mem, collection, &get, &result, &err), &err);
    drop(0);
    look();
    check(result->lists[0].n == was.n);
    for (size_t i = 0; i < was.n; i++)
        check(is_record(&result->lists[0].hits[i], &was.records[i]));
    check(och_collection_usable(collection, &err) == OCHRE_NOT_FOUND);
    och_result_release(result);
    och_collection_release(collection);
    rig_close(&reader);
    end();
}

/* --- killed writers --------------------------------------------------------------- */

enum last_act { ACT_WRITE, ACT_SEAL, ACT_COMPACT, ACT_DROP, ACT_CREATE, ACT_OPEN, N_ACTS };

/* Whatever comes of it. */
static void
act(enum last_act what, struct och_collection *collection)
{
    static const uint32_t numbers[] = {3, 50, 51};
    struct rig_write write = {
            .op = OCH_WRITE_UPSERT, .numbers = numbers, .n = 3, .tag = 99, .columns = RIG_ALL};
    ochre_status status = OCHRE_OK;
    if (what == ACT_WRITE) {
        model_write(&coming[0].model, &write);
        status = rig_write(&writer, collection, &write, NULL);
    } else if (what == ACT_SEAL) {
        status = och_engine_seal_all(writer.engine, NULL);
    } else if (what == ACT_COMPACT) {
        status = och_engine_compact(writer.engine, collection, NULL);
    } else if (what == ACT_DROP) {
        coming[0].is_there = false;
        status = och_engine_drop(writer.engine, collection->id, NULL);
    } else if (what == ACT_CREATE) {
        struct och_collection_row row = {.id = {{7}},
                .tenant = text(OCH_DEFAULT_TENANT),
                .database = text(OCH_DEFAULT_DATABASE),
                .name = text(names[1]),
                .schema = text("l2")};
        coming[1].is_there = true;
        status = writer.catalog->ops->collection_create(writer.catalog, &row, NULL);
    }
    (void) status;
}

/* A disk as a process leaves it that is killed at the n-th call; *through_out: it was
 * done before. */
static struct sim_disk *
killed_at(const struct sim_disk *before, enum last_act what, uint64_t n, bool *through_out)
{
    struct ochre_error err;
    struct sim_disk *own = writer.disk;
    writer.disk = sim_disk_clone(before);
    writer.vfs = NULL;
    if (what == ACT_OPEN) {
        sim_disk_fail(writer.disk, n, SIM_IO_FROM);
        ochre_status status = rig_open(&writer, NULL);
        (void) status;
    } else {
        check_ok(rig_open(&writer, &err), &err);
        struct och_collection *collection = rig_collection(&writer, names[0]);
        sim_disk_fail(writer.disk, n, SIM_IO_FROM);
        act(what, collection);
        och_collection_release(collection);
    }
    *through_out = !sim_disk_has_failed(writer.disk);
    struct sim_disk *left = sim_disk_clone(writer.disk);
    rig_close(&writer);
    sim_disk_close(writer.disk);
    writer.disk = own;
    return left;
}

static void
what_a_killed_writer_leaves_is_read_and_not_touched(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t seed = 11;
    for (int what = 0; what < N_ACTS; what++) {
        begin();
        create(0);
        for (int i = 0; i < 25; i++)
            write_some(0, i % 4 == 3 ? OCH_WRITE_DELETE : OCH_WRITE_UPSERT, &seed);
        rig_close(&writer);
        bool through = false;
        uint64_t n = 0;
        while (!through) {
            struct rig left = {.disk = killed_at(writer.disk, (enum last_act) what, ++n, &through)};
            check_ok(rig_open_beside(&reader, &left, &err), &err);
            for (size_t i = 0; i < N_NAMES; i++)
                check(shows(&reader, names[i], &acknowledged[i]) ||
                        shows(&reader, names[i], &coming[i]));
            if (through)
                check(shows(&reader, names[0], &coming[0]));
            rig_close(&reader);
            memcpy(coming, acknowledged, sizeof(coming));
            sim_disk_close(left.disk);
        }
        check(n > 3);
        end();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_is_acknowledged_is_shown_between_any_two_calls),
            cmocka_unit_test(a_reader_that_was_asleep_catches_up),
            cmocka_unit_test(a_result_stays_what_it_was_though_its_files_are_removed),
            cmocka_unit_test(what_a_killed_writer_leaves_is_read_and_not_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
