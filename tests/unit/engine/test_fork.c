/* Forks: what they show, and that files that two collections have go with the second. */
#include <stdio.h>
#include <string.h>

#include "engine/collection.h"
#include "os/executor.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"
#include "support/check.h"
#include "unit/engine/rig.h"

enum { N = 40, N_NAMES = 4 };

static struct rig rig;
static struct rig_model models[N_NAMES];
static const char *const names[N_NAMES] = {"source", "fork", "deeper", "other"};

static int
set_up(void **state)
{
    (void) state;
    struct ochre_error err;
    rig_begin(&rig);
    rig.options.head_rows_max = 16;
    memset(models, 0, sizeof(models));
    check_ok(rig_open(&rig, &err), &err);
    return 0;
}

static int
tear_down(void **state)
{
    (void) state;
    rig_end(&rig);
    return 0;
}

static struct ochre_bytes
bytes(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

/* Write to a collection and its model. */
static void
put(unsigned which, enum och_write_op op, uint32_t first, uint32_t n, uint32_t tag)
{
    uint32_t numbers[N];
    struct ochre_error err;
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = first + i;
    const struct rig_write write = {
            .op = op, .numbers = numbers, .n = n, .tag = tag, .columns = RIG_ALL};
    struct och_collection *collection = rig_collection(&rig, names[which]);
    check_ok(rig_write(&rig, collection, &write, &err), &err);
    model_write(&models[which], &write);
    och_collection_release(collection);
}

static void
delete_tag(unsigned which, uint32_t tag, uint64_t limit)
{
    uint64_t deleted;
    struct ochre_error err;
    struct och_collection *collection = rig_collection(&rig, names[which]);
    check_ok(rig_delete_tag(&rig, collection, tag, limit, &deleted, &err), &err);
    check(model_delete_tag(&models[which], tag, limit) == deleted);
    och_collection_release(collection);
}

static void
see(unsigned which)
{
    struct och_collection *collection = rig_collection(&rig, names[which]);
    check_collection(&rig, collection, &models[which]);
    och_collection_release(collection);
}

static void
create_source(void)
{
    och_collection_release(rig_create(&rig, names[0]));
}

static struct och_uuid
id_of(unsigned which)
{
    struct och_collection *collection = rig_collection(&rig, names[which]);
    struct och_uuid id = collection->id;
    och_collection_release(collection);
    return id;
}

static ochre_status
try_fork(unsigned from, unsigned to, struct ochre_error *err)
{
    static uint8_t n_ids;
    struct och_collection *source = rig_collection(&rig, names[from]);
    struct och_collection_row row = {.id = {.bytes = {0xf0, ++n_ids}},
            .tenant = bytes(OCH_DEFAULT_TENANT),
            .database = bytes(OCH_DEFAULT_DATABASE),
            .name = bytes(names[to])};
    ochre_status status = rig_fork(&rig, source, &row, err);
    check(status != OCHRE_OK || row.number > source->number);
    och_collection_release(source);
    return status;
}

static void
fork_to(unsigned from, unsigned to)
{
    struct ochre_error err;
    check_ok(try_fork(from, to, &err), &err);
    models[to] = models[from];
}

static void
drop(unsigned which)
{
    struct ochre_error err;
    check_ok(och_engine_drop(rig.engine, id_of(which), &err), &err);
}

static void
compact(unsigned which)
{
    struct ochre_error err;
    struct och_collection *collection = rig_collection(&rig, names[which]);
    check_ok(och_engine_compact(rig.engine, collection, &err), &err);
    och_collection_release(collection);
}

static size_t
n_files(unsigned which)
{
    char uuid[OCH_UUID_TEXT_SIZE + 1];
    char path[OCH_PATH_SIZE_MAX];
    och_uuid_put(id_of(which), uuid);
    (void) snprintf(path, sizeof(path), OCH_DIR_SEGMENTS "/%s", uuid);
    return rig_count_files(&rig, path);
}

/* --- what they show ------------------------------------------------------------ */

static void
a_fork_shows_what_was_written_and_nothing_later(void **state)
{
    (void) state;
    create_source();
    put(0, OCH_WRITE_ADD, 0, 20, 1);
    put(0, OCH_WRITE_ADD, 20, 15, 1);
    put(0, OCH_WRITE_ADD, 35, 5, 1); /* in the head */
    delete_tag(0, 1, 3);
    fork_to(0, 1);
    see(1);
    put(0, OCH_WRITE_UPSERT, 10, 20, 2);
    put(1, OCH_WRITE_UPDATE, 0, 25, 3);
    put(1, OCH_WRITE_ADD, 100, 5, 4);
    delete_tag(0, 1, 4);
    delete_tag(1, 3, 6);
    see(0);
    see(1);
    rig_reopen(&rig);
    see(0);
    see(1);
    compact(0);
    see(0);
    see(1);
    compact(1);
    rig_reopen(&rig);
    see(0);
    see(1);
}

static void
an_empty_collection_can_be_forked(void **state)
{
    (void) state;
    create_source();
    fork_to(0, 1);
    see(1);
    put(1, OCH_WRITE_ADD, 0, 3, 1);
    put(0, OCH_WRITE_ADD, 0, 2, 2);
    rig_reopen(&rig);
    see(0);
    see(1);
    check(!och_uuid_equal(id_of(0), id_of(1)));
}

/* Each of the two buries other rows of one file, in files of their own. */
static void
deaths_in_a_shared_file_are_each_ones_own(void **state)
{
    (void) state;
    struct ochre_error err;
    create_source();
    put(0, OCH_WRITE_ADD, 0, 16, 1);
    fork_to(0, 1);
    check(n_files(0) == 1 && n_files(1) == 1);
    put(0, OCH_WRITE_UPDATE, 0, 3, 5);
    put(1, OCH_WRITE_UPDATE, 8, 3, 6);
    delete_tag(0, 5, 2);
    delete_tag(1, 6, 1);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    see(0);
    see(1);
    check(n_files(0) == 3 && n_files(1) == 3); /* the shared one, another, a delete file */
    rig_reopen(&rig);
    see(0);
    see(1);
    delete_tag(1, 1, 5); /* the fork's are replaced without the source's */
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    check(n_files(0) == 3);
    rig_reopen(&rig);
    see(0);
    see(1);
}

static void
forks_of_forks_outlive_what_they_came_from(void **state)
{
    (void) state;
    create_source();
    put(0, OCH_WRITE_ADD, 0, 20, 1);
    fork_to(0, 1);
    put(1, OCH_WRITE_UPSERT, 5, 20, 2);
    fork_to(1, 2);
    drop(0);
    see(1);
    delete_tag(2, 1, 2);
    drop(1);
    see(2);
    rig_reopen(&rig);
    see(2);
    put(2, OCH_WRITE_ADD, 200, 20, 3);
    compact(2);
    see(2);
    check(n_files(2) == 1 && rig_count_files(&rig, OCH_DIR_SEGMENTS) == 1);
    drop(2);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 0);
}

/* --- when files go ---------------------------------------------------------------- */

static void
a_merge_leaves_what_a_fork_lists(void **state)
{
    (void) state;
    create_source();
    put(0, OCH_WRITE_ADD, 0, N, 1);
    fork_to(0, 1);
    fork_to(0, 2);
    put(0, OCH_WRITE_UPDATE, 0, 1, 2);
    compact(0);
    check(n_files(0) == 1 && n_files(1) == 1);
    see(1);
    rig_reopen(&rig);
    see(1);
    put(1, OCH_WRITE_UPDATE, 0, 1, 3);
    compact(1);
    see(0);
    see(1);
    see(2);
    drop(0);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 2);
    rig_reopen(&rig);
    see(1);
    see(2);
}

/* Names without a collection, as a crash before the transaction leaves them. */
static void
the_sweep_removes_what_a_fork_left_half_made(void **state)
{
    (void) state;
    struct ochre_error err;
    create_source();
    put(0, OCH_WRITE_ADD, 0, N, 1);
    fork_to(0, 1);
    check_ok(rig.catalog->ops->collection_delete(rig.catalog, id_of(1), &err), &err);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 2);
    rig_reopen(&rig);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 1);
    see(0);
}

static void
a_database_is_dropped_with_all_its_forks(void **state)
{
    (void) state;
    struct ochre_error err;
    create_source();
    put(0, OCH_WRITE_ADD, 0, 20, 1);
    fork_to(0, 1);
    fork_to(1, 2);
    put(2, OCH_WRITE_ADD, 50, 20, 2);
    check_ok(och_engine_reset(rig.engine, &err), &err);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 0);
}

/* A purge is done when each has let go of what it deleted, though others still list it. */
static void
a_purge_ends_while_forks_list_files(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t lsn;
    create_source();
    put(0, OCH_WRITE_ADD, 0, 20, 1);
    fork_to(0, 1);
    delete_tag(0, 1, 4);
    check_ok(och_engine_purge_begin(rig.engine, &lsn, &err), &err);
    compact(0);
    compact(1);
    check_ok(och_engine_purge_end(rig.engine, lsn, &err), &err);
    see(0);
    see(1);
    delete_tag(1, 1, 4);
    check_ok(och_engine_purge_begin(rig.engine, &lsn, &err), &err);
    compact(0);
    compact(1);
    check_ok(och_engine_purge_end(rig.engine, lsn, &err), &err);
    check(n_files(0) == 1 && n_files(1) == 1);
    see(0);
    see(1);
}

/* --- what goes wrong --------------------------------------------------------------- */

static void
a_name_that_is_taken_is_refused(void **state)
{
    (void) state;
    struct ochre_error err;
    create_source();
    fork_to(0, 1);
    check(try_fork(0, 1, &err) == OCHRE_EXISTS);
    check(try_fork(0, 0, &err) == OCHRE_EXISTS);
    struct och_collection *source = rig_collection(&rig, names[0]);
    drop(0);
    struct och_collection_row row = {.id = {.bytes = {1}},
            .tenant = bytes(OCH_DEFAULT_TENANT),
            .database = bytes(OCH_DEFAULT_DATABASE),
            .name = bytes("name")};
    check(rig_fork(&rig, source, &row, &err) == OCHRE_NOT_FOUND);
    och_collection_release(source);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 0);
}

/* Allocations refused, the first ones in turn, then ever fewer; and so with calls of the
 * disk: there is a whole fork or none, and the source is as it was. */
static void
a_failure_makes_no_fork_or_a_whole_one(void **state)
{
    (void) state;
    struct ochre_error err;
    create_source();
    put(0, OCH_WRITE_ADD, 0, 20, 1);
    unsigned n_failed = 0;
    for (unsigned kind = 0; kind < 2; kind++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n += 1 + n / 24) {
            compact(0);                         /* so that each try has as much to do */
            put(0, OCH_WRITE_UPSERT, 30, 2, 2); /* something to seal */
            if (kind == 0)
                rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + n;
            else
                sim_disk_fail(rig.disk, n, SIM_IO_ONCE);
            ochre_status status = try_fork(0, 1, &err);
            failed = kind == 0 ? atomic_load(&rig.mem.n_grants) >= rig.mem.fail_at
                               : sim_disk_has_failed(rig.disk);
            rig.mem.fail_at = 0;
            sim_disk_fail(rig.disk, 0, SIM_IO_ONCE);
            n_failed += status != OCHRE_OK;
            check(status == OCHRE_OK || failed);
            see(0);
            rig_reopen(&rig);
            see(0);
            if (status != OCHRE_OK) {
                fork_to(0, 1); /* the name is free, and nothing in the way */
            }
            models[1] = models[0];
            see(1);
            drop(1);
        }
    }
    check(n_failed > 10);
}

/* More segments than fit what the answer's memory begins with. */
static void
a_fork_of_many_segments_without_memory_is_not_made(void **state)
{
    (void) state;
    enum { N_SEGMENTS = 100 };
    struct ochre_error err;
    rig.engine->options.merge.fan_in = 2 * N_SEGMENTS;
    create_source();
    for (uint32_t i = 0; i < N_SEGMENTS; i++)
        put(0, OCH_WRITE_ADD, i * 16, 16, 1);
    struct och_collection *source = rig_collection(&rig, names[0]);
    check(source->view->n_segments == N_SEGMENTS);
    och_collection_release(source);
    struct och_vfs *vfs = sim_disk_vfs(rig.disk);
    const struct och_vfs_ops *ops = vfs->ops;
    struct och_vfs_ops without = *ops;
    without.link = NULL;
    for (unsigned copies = 0; copies < 2; copies++) {
        ochre_status status = OCHRE_NO_MEMORY;
        unsigned n = 0;
        vfs->ops = copies == 1 ? &without : ops;
        while (status != OCHRE_OK) {
            n++;
            /* Of a hundred copies the first few are enough. */
            rig.mem.fail_at = n > 12 ? 0 : atomic_load(&rig.mem.n_grants) + n;
            status = try_fork(0, copies + 1, &err);
            check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        }
        rig.mem.fail_at = 0;
        vfs->ops = ops;
        check(n > 3);
    }
    models[1] = models[2] = models[0];
    for (unsigned i = 0; i < 3; i++)
        see(i);
    check(n_files(1) == N_SEGMENTS && n_files(2) == N_SEGMENTS);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 3);
}

static struct och_catalog_ops own_ops;

static ochre_status
fork_and_fail(struct och_catalog *catalog, struct och_uuid source, struct och_collection_row *row,
        const struct och_collection_state *fork_state, const struct och_segment_row *segments,
        size_t n, struct ochre_error *err)
{
    struct och_collection_row copy = *row;
    ochre_status status =
            own_ops.collection_fork(catalog, source, &copy, fork_state, segments, n, err);
    return status == OCHRE_OK ? OCHRE_IO : status;
}

/* The catalog has it, though it said that it failed. */
static void
a_fork_that_is_in_the_catalog_is_made(void **state)
{
    (void) state;
    create_source();
    put(0, OCH_WRITE_ADD, 0, 20, 1);
    own_ops = rig.catalog_ops;
    rig.catalog_ops.collection_fork = fork_and_fail;
    fork_to(0, 1);
    rig.catalog_ops.collection_fork = own_ops.collection_fork;
    see(1);
    put(1, OCH_WRITE_UPSERT, 15, 10, 2);
    rig_reopen(&rig);
    see(0);
    see(1);
}

/* Then what is shared otherwise is copied. */
static void
where_files_have_one_name_forks_are_the_same(void **state)
{
    (void) state;
    struct och_vfs *vfs = sim_disk_vfs(rig.disk);
    const struct och_vfs_ops *ops = vfs->ops;
    struct och_vfs_ops without = *ops;
    without.link = NULL;
    create_source();
    put(0, OCH_WRITE_ADD, 0, 20, 1);
    put(0, OCH_WRITE_UPDATE, 0, 2, 2);
    ochre_status status = OCHRE_NO_MEMORY;
    for (uint64_t n = 1; status != OCHRE_OK; n++) { /* or not, where there is no memory to */
        struct ochre_error err;
        vfs->ops = &without;
        rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + n;
        status = try_fork(0, 1, &err);
        rig.mem.fail_at = 0;
        check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        vfs->ops = ops;
        see(0);
    }
    models[1] = models[0];
    see(1);
    put(0, OCH_WRITE_UPSERT, 10, 20, 3);
    delete_tag(1, 1, 5);
    rig_reopen(&rig);
    see(0);
    see(1);
    drop(0);
    see(1);
}

/* With threads: while others write, forks hold whole writes, up to one point. */
static void
forks_made_beside_writes_hold_what_came_before(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_executor *executor;
    rig_close(&rig);
    check_ok(och_executor_open(&rig.own, 0, 2, &executor, &err), &err);
    rig.executor = executor;
    check_ok(rig_open(&rig, &err), &err);
    create_source();
    put(0, OCH_WRITE_ADD, 0, 10, 1);
    sim_disk_fail(rig.disk, 1, SIM_IO_FROM); /* nothing can be sealed ahead */
    check(try_fork(0, 1, &err) == OCHRE_IO);
    sim_disk_fail(rig.disk, 0, SIM_IO_ONCE);
    for (uint32_t round = 0; round < 8; round++) {
        put(0, OCH_WRITE_UPSERT, round * 7, 20, round + 1);
        fork_to(0, 1);
        put(0, OCH_WRITE_UPSERT, round * 5, 9, round + 50);
        see(1);
        delete_tag(1, round + 1, 3);
        see(1);
        see(0);
        drop(1);
    }
    rig_close(&rig);
    rig.executor = NULL;
    och_executor_close(executor);
    check_ok(rig_open(&rig, &err), &err);
    see(0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(
                    a_fork_shows_what_was_written_and_nothing_later, set_up, tear_down),
            cmocka_unit_test_setup_teardown(an_empty_collection_can_be_forked, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    deaths_in_a_shared_file_are_each_ones_own, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    forks_of_forks_outlive_what_they_came_from, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_merge_leaves_what_a_fork_lists, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    the_sweep_removes_what_a_fork_left_half_made, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_database_is_dropped_with_all_its_forks, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_purge_ends_while_forks_list_files, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_name_that_is_taken_is_refused, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_failure_makes_no_fork_or_a_whole_one, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_fork_of_many_segments_without_memory_is_not_made, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_fork_that_is_in_the_catalog_is_made, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    where_files_have_one_name_forks_are_the_same, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    forks_made_beside_writes_hold_what_came_before, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
