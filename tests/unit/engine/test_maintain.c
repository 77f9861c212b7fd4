#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/limits.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "engine/maintain.h"
#include "os/executor.h"
#include "os/thread.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"
#include "support/check.h"
#include "unit/engine/rig.h"
#include "unit/index/random_metadata.h"

static struct rig rig;
static struct rig_model model;

/* --- standing between the engine, its catalog and its log --------------------------- */

static struct {
    struct och_catalog_ops catalog;
    struct och_log_ops log;
    ochre_status state_set; /* what it answers instead, unless OCHRE_OK, */
    bool does_set;          /* having done it all the same */
    unsigned n_trims, n_generations;
    uint64_t positions[1 << 16]; /* by LSN: what was appended */
    uint32_t collections[1 << 16];
} between;

static ochre_status
state_set(struct och_catalog *catalog, struct och_uuid id, const struct och_collection_state *state,
        const struct och_segment_row *segments, size_t n, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    if (between.state_set == OCHRE_OK || between.does_set)
        status = between.catalog.state_set(catalog, id, state, segments, n, err);
    return between.state_set != OCHRE_OK ? between.state_set : status;
}

static ochre_status
append(struct och_record_log *log, struct och_log_record *records, size_t n,
        struct ochre_error *err)
{
    ochre_status status = between.log.append(log, records, n, err);
    for (size_t i = 0; status == OCHRE_OK && i < n; i++) {
        between.n_generations += records[i].type == OCH_RECORD_GENERATION;
        if (records[i].type != OCH_RECORD_WRITE)
            continue;
        check(records[i].lsn < 1 << 16);
        between.positions[records[i].lsn] = records[i].position;
        between.collections[records[i].lsn] = records[i].collection;
    }
    return status;
}

struct applied {
    uint64_t positions[64]; /* by the collection's number */
};

static ochre_status
note_state(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    struct applied *applied = context;
    (void) id;
    (void) n_segments;
    check(number < 64);
    applied->positions[number] = state->position;
    return OCHRE_OK;
}

/* What is trimmed is in segments, says the catalog at that moment; or its
 * collection is gone. */
static ochre_status
trim(struct och_record_log *log, uint64_t lsn, struct ochre_error *err)
{
    struct applied applied;
    struct och_mem mem;
    struct och_arena arena;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    memset(&applied, 0xff, sizeof(applied));
    check(rig.catalog->ops->each_collection(rig.catalog, &arena, note_state, &applied, NULL) ==
            OCHRE_OK);
    och_arena_clear(&arena);
    for (uint64_t i = 0; i < lsn; i++)
        check(between.positions[i] <= applied.positions[between.collections[i]]);
    between.n_trims++;
    check(between.n_generations > 0); /* the log knows the catalog that it trusts */
    return between.log.trim(log, lsn, err);
}

static struct och_collection *
begin(uint32_t head_rows)
{
    struct ochre_error err;
    memset(&model, 0, sizeof(model));
    memset(&between, 0, sizeof(between));
    rig_begin(&rig);
    rig.options.head_rows_max = head_rows;
    check_ok(rig_open(&rig, &err), &err);
    between.catalog = rig.catalog_ops;
    between.log = rig.log_ops;
    rig.catalog_ops.state_set = state_set;
    rig.log_ops.append = append;
    rig.log_ops.trim = trim;
    return rig_create(&rig, "things");
}

static void
end(struct och_collection *collection)
{
    och_collection_release(collection);
    rig_end(&rig);
}

/* Add n records one after the other, to the model too. */
static void
add(struct och_collection *collection, uint32_t first, uint32_t n, uint32_t tag)
{
    static uint32_t numbers[RIG_RECORDS_MAX];
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = first + i;
    rig_add(&rig, collection, first, n, tag);
    struct rig_write write = {
            .op = OCH_WRITE_ADD, .numbers = numbers, .n = n, .tag = tag, .columns = RIG_ALL};
    model_write(&model, &write);
}

static ochre_status
try_add(struct och_collection *collection, uint32_t number, struct ochre_error *err)
{
    struct rig_write write = {
            .op = OCH_WRITE_ADD, .numbers = &number, .n = 1, .tag = 1, .columns = RIG_ALL};
    ochre_status status = rig_write(&rig, collection, &write, err);
    if (status == OCHRE_OK)
        model_write(&model, &write);
    return status;
}

/* --- sealing ---------------------------------------------------------------------------- */

static void
a_full_head_becomes_a_file(void **state)
{
    (void) state;
    struct och_collection *collection = begin(20);
    add(collection, 0, 19, 1);
    check(collection->view->n_segments == 0 && collection->view->head->n_rows == 19);
    add(collection, 19, 1, 1);
    check(collection->view->n_segments == 1 && collection->view->head == NULL);
    check(collection->view->n_frozen == 0);
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
a_head_is_full_by_bytes_too(void **state)
{
    (void) state;
    struct och_collection *collection = begin(1000000);
    rig.engine->options.head_bytes_max = 10000;
    for (uint32_t i = 0; collection->view->n_segments == 0; i += 10) {
        check(i < 200);
        add(collection, i, 10, 1);
    }
    check_collection(&rig, collection, &model);
    end(collection);
}

/* Deaths of sealed rows alone are sealed as well, or the log would keep them
 * for ever: the delete file is replaced, and the old one goes. */
static void
deletes_are_sealed_into_one_file_for_each_segment(void **state)
{
    (void) state;
    struct ochre_error err;
    char dir[OCH_PATH_SIZE_MAX];
    char id[OCH_UUID_TEXT_SIZE + 1];
    struct och_collection *collection = begin(20);
    rig.engine->options.merge.dead_percent = 100; /* it is not rewritten without them */
    add(collection, 0, 60, 1);
    och_uuid_put(collection->id, id);
    (void) snprintf(dir, sizeof(dir), OCH_DIR_SEGMENTS "/%s", id);
    check(rig_count_files(&rig, dir) == 1);
    for (uint32_t round = 0; round < 3; round++) {
        static uint32_t numbers[20];
        for (uint32_t i = 0; i < 20; i++)
            numbers[i] = i * 3 + round;
        struct rig_write write = {.op = OCH_WRITE_DELETE, .numbers = numbers, .n = 20};
        check_ok(rig_write(&rig, collection, &write, &err), &err);
        model_write(&model, &write);
        check_collection(&rig, collection, &model);
        check(collection->view->n_frozen == 0 && collection->n_sealed_kills == 0);
        check(rig_count_files(&rig, dir) == (round < 2 ? 2 : 0)); /* nothing lives: all goes */
    }
    check(model.n == 0);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    check(rig_count_files(&rig, dir) == 0);
    end(collection);
}

static void
a_head_of_dead_rows_leaves_no_file(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t n;
    struct och_collection *collection = begin(100);
    add(collection, 0, 20, 1);
    check_ok(rig_delete_tag(&rig, collection, 1, UINT64_MAX, &n, &err), &err);
    (void) model_delete_tag(&model, 1, UINT64_MAX);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    check(collection->view->n_segments == 0 && collection->unsealed_lsn == 0);
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check(collection->published.position == 2 && collection->published.next_ordinal == 20);
    check_collection(&rig, collection, &model);
    end(collection);
}

/* What is left of a head when all in it has died is not kept until the next write. */
static void
a_head_is_sealed_when_all_in_it_is_dead(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t n;
    struct och_collection *collection = begin(1000000);
    rig.engine->options.head_dead_min = 2000;
    add(collection, 0, 30, 1);
    add(collection, 30, 30, 2);
    check(collection->view->head->bytes >= 2000);
    check_ok(rig_delete_tag(&rig, collection, 1, UINT64_MAX, &n, &err), &err);
    (void) model_delete_tag(&model, 1, UINT64_MAX);
    check(collection->view->head != NULL && !och_head_is_dead(collection->view->head));
    check_ok(rig_delete_tag(&rig, collection, 2, UINT64_MAX, &n, &err), &err);
    (void) model_delete_tag(&model, 2, UINT64_MAX);
    check(collection->view->head == NULL && collection->view->n_frozen == 0);
    check(collection->view->n_segments == 0 && collection->unsealed_lsn == 0);
    check_collection(&rig, collection, &model);

    add(collection, 60, 1, 3); /* too little to be worth it */
    check_ok(rig_delete_tag(&rig, collection, 3, UINT64_MAX, &n, &err), &err);
    (void) model_delete_tag(&model, 3, UINT64_MAX);
    check(collection->view->head != NULL && och_head_is_dead(collection->view->head));
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check(collection->published.next_ordinal == 61);
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
writers_wait_their_turn_when_sealing_fails(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(10);
    between.state_set = OCHRE_IO;
    for (uint32_t i = 0; i < 4; i++)
        add(collection, i * 10, 10, 1);
    check(collection->view->n_frozen == 4);
    check(try_add(collection, 100, &err) == OCHRE_UNAVAILABLE);
    check(err.message[0] != '\0');
    check_collection(&rig, collection, &model); /* reading goes on */
    check(och_engine_seal_all(rig.engine, &err) == OCHRE_IO);
    check(try_add(collection, 100, &err) == OCHRE_UNAVAILABLE);
    between.state_set = OCHRE_OK;
    check_ok(try_add(collection, 100, &err), &err); /* it tries to seal again, first */
    check(collection->view->n_frozen == 0 && collection->view->n_segments == 4);
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
heads_that_could_not_be_sealed_are_there_after_a_restart(void **state)
{
    (void) state;
    struct och_collection *collection = begin(10);
    between.state_set = OCHRE_IO;
    for (uint32_t i = 0; i < 4; i++)
        add(collection, i * 10, 10, 1);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    between.state_set = OCHRE_OK;
    och_collection_release(collection);
    rig_reopen(&rig); /* what piled up is sealed at the next open */
    collection = rig_collection(&rig, "things");
    check(collection->view->n_frozen == 0 && collection->view->n_segments >= 1);
    check_collection(&rig, collection, &model);
    end(collection);
}

/* Wherever the disk fails while a head is sealed, nothing is lost, and a later
 * try gets through. */
static void
a_seal_that_fails_anywhere_is_tried_again(void **state)
{
    (void) state;
    static const enum sim_fault faults[] = {SIM_IO_ONCE, SIM_IO_FROM, SIM_FULL_FROM};
    struct ochre_error err;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        bool failed = true;
        unsigned n_points = 0;
        for (uint64_t n = 1; failed; n++) {
            struct och_collection *collection = begin(1000);
            uint64_t n_deleted;
            add(collection, 0, 30, 1);
            check_ok(och_engine_seal_all(rig.engine, &err), &err);
            add(collection, 30, 30, 2);
            check_ok(rig_delete_tag(&rig, collection, 1, 5, &n_deleted, &err), &err);
            (void) model_delete_tag(&model, 1, 5);
            sim_disk_fail(rig.disk, n, faults[i]);
            ochre_status status = och_engine_seal_all(rig.engine, &err);
            failed = sim_disk_has_failed(rig.disk);
            check(status == OCHRE_OK || (failed && (status == OCHRE_IO || status == OCHRE_FULL)));
            sim_disk_fail(rig.disk, 0, SIM_IO_ONCE);
            check_collection(&rig, collection, &model);
            add(collection, 60, 5, 3);
            check_ok(och_engine_seal_all(rig.engine, &err), &err);
            check_collection(&rig, collection, &model);
            och_collection_release(collection);
            rig_reopen(&rig);
            collection = rig_collection(&rig, "things");
            check_collection(&rig, collection, &model);
            n_points += failed;
            end(collection);
        }
        check(n_points > 10);
    }
}

/* Rows that die while their head is sealed are dead in the segment. */
/* The catalog lists the new segment, though it answered an error: it stays, with its files. */
static void
a_seal_that_is_listed_is_done_whatever_was_answered(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(1000);
    for (unsigned i = 0; i < 2; i++) {
        add(collection, i * 50, 20, i + 1);
        between.state_set = OCHRE_IO;
        between.does_set = true;
        check_ok(och_engine_seal_all(rig.engine, &err), &err);
        between.state_set = OCHRE_OK;
        check(collection->view->n_segments == i + 1 && collection->view->n_frozen == 0);
        check_collection(&rig, collection, &model);
        och_collection_release(collection);
        rig_reopen(&rig);
        collection = rig_collection(&rig, "things");
        check(collection->view->n_segments == i + 1);
        check_collection(&rig, collection, &model);
    }
    end(collection);
}

static void
deaths_since_the_freeze_are_carried_over(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t n;
    struct och_collection *collection = begin(20);
    between.state_set = OCHRE_IO;
    add(collection, 0, 20, 1); /* frozen, and stays so */
    check(collection->view->n_frozen == 1);
    check_ok(rig_delete_tag(&rig, collection, 1, 7, &n, &err), &err);
    (void) model_delete_tag(&model, 1, 7);
    uint32_t numbers[] = {10, 11};
    struct rig_write write = {
            .op = OCH_WRITE_UPDATE, .numbers = numbers, .n = 2, .tag = 3, .columns = RIG_DOCUMENT};
    check_ok(rig_write(&rig, collection, &write, &err), &err);
    model_write(&model, &write);
    struct och_result *before = rig_get_all(&rig, collection);
    between.state_set = OCHRE_OK;
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    check(collection->view->n_frozen == 0);
    check_collection(&rig, collection, &model);
    check_result(before, &model);
    och_result_release(before);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    end(collection);
}

/* A head with deaths of its own, before and after it was frozen, and others' in a segment;
 * each allocation of its seal is refused in turn. */
static void
any_allocation_of_a_seal_may_be_refused(void **state)
{
    (void) state;
    struct ochre_error err;
    bool refused = true;
    uint64_t n_points = 0;
    while (refused) {
        uint64_t n;
        struct och_collection *collection = begin(20);
        add(collection, 100, 20, 5); /* a segment */
        check_ok(rig_delete_tag(&rig, collection, 5, 3, &n, &err), &err);
        (void) model_delete_tag(&model, 5, 3);
        between.state_set = OCHRE_IO;
        add(collection, 0, 20, 1); /* frozen, and stays so */
        check(collection->view->n_frozen == 1);
        check_ok(rig_delete_tag(&rig, collection, 1, 7, &n, &err), &err);
        (void) model_delete_tag(&model, 1, 7);
        between.state_set = OCHRE_OK;
        rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + ++n_points;
        ochre_status status = och_engine_seal_all(rig.engine, &err);
        refused = atomic_load(&rig.mem.n_grants) >= rig.mem.fail_at;
        rig.mem.fail_at = 0;
        check(status == OCHRE_OK || (refused && status == OCHRE_NO_MEMORY));
        check_collection(&rig, collection, &model);
        check_ok(och_engine_seal_all(rig.engine, &err), &err);
        check(collection->view->n_frozen == 0);
        check_collection(&rig, collection, &model);
        och_collection_release(collection);
        rig_reopen(&rig);
        collection = rig_collection(&rig, "things");
        check_collection(&rig, collection, &model);
        end(collection);
    }
    check(n_points > 20);
}

/* --- the log ------------------------------------------------------------------------------ */

static void
the_log_is_trimmed_when_the_catalog_holds_its_records(void **state)
{
    (void) state;
    struct och_collection *collection = begin(100);
    struct och_collection *quiet = rig_create(&rig, "quiet");
    rig_add(&rig, quiet, 0, 1, 9); /* a record that nothing seals */
    uint32_t number = 0;
    for (uint32_t i = 0; i < 700; i++, number++)
        add(collection, number, 1, 1); /* 4 KiB of log each: several files */
    check(between.n_trims == 0);       /* the quiet collection keeps them all */
    uint64_t full = och_engine_stats(rig.engine).log_size;
    rig.engine->options.log_size_seal = full / 2;
    add(collection, number++, 1, 1); /* past the limit: the quiet head is sealed */
    check(between.n_trims > 0 && quiet->view->n_segments == 1);
    check(och_engine_stats(rig.engine).log_size < full);
    check_collection(&rig, collection, &model);
    och_collection_release(quiet);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    quiet = rig_collection(&rig, "quiet");
    uint64_t count;
    check(och_engine_count(&rig.mem, quiet, NULL, &count, NULL, NULL) == OCHRE_OK && count == 1);
    och_collection_release(quiet);
    end(collection);
}

static ochre_status
see_nothing(void *context, struct och_engine *engine, struct ochre_error *err)
{
    (void) engine;
    (void) err;
    return *(ochre_status *) context;
}

/* A log that is held gets no shorter by sealing, so that nothing is sealed for it. */
static void
what_is_held_is_neither_trimmed_nor_sealed_for_nothing(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(10000);
    ochre_status saw = OCHRE_IO;
    check(och_engine_hold(rig.engine, see_nothing, &saw, &err) == OCHRE_IO);
    check(rig.engine->n_holds == 0);
    saw = OCHRE_OK;
    check_ok(och_engine_hold(rig.engine, see_nothing, &saw, &err), &err);
    check_ok(och_engine_hold(rig.engine, see_nothing, &saw, &err), &err);
    rig.engine->options.log_size_seal = 1;
    for (uint32_t i = 0; i < 600; i++)
        add(collection, i, 1, 1);
    check(collection->view->n_segments == 0 && between.n_trims == 0);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    check(between.n_trims == 0);
    och_engine_let_go(rig.engine);
    check(between.n_trims == 0);
    och_engine_let_go(rig.engine);
    check(between.n_trims > 0);
    add(collection, 600, 1, 1);
    check(collection->view->n_segments == 2);
    check_collection(&rig, collection, &model);
    end(collection);
}

/* Files that a backup reads stay, so that a purge is not done while it does. */
static void
a_purge_is_not_done_while_something_is_held(void **state)
{
    (void) state;
    struct ochre_error err;
    ochre_status saw = OCHRE_OK;
    uint64_t lsn;
    struct och_collection *collection = begin(20);
    struct och_collection *second = rig_create(&rig, "second");
    add(collection, 0, 20, 1);
    rig_add(&rig, second, 0, 20, 1);
    check_ok(och_engine_hold(rig.engine, see_nothing, &saw, &err), &err);
    check_ok(och_engine_drop(rig.engine, second->id, &err), &err);
    check_ok(och_engine_purge_begin(rig.engine, &lsn, &err), &err);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    check(och_engine_purge_end(rig.engine, lsn, &err) == OCHRE_UNAVAILABLE);
    check(strstr(err.message, "purge again") != NULL);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 2);
    och_engine_let_go(rig.engine);
    check_ok(och_engine_purge_end(rig.engine, lsn, &err), &err);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 1);
    check_collection(&rig, collection, &model);
    och_collection_release(second);
    end(collection);
}

static void
a_dropped_collection_lets_the_log_go(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(100);
    struct och_collection *quiet = rig_create(&rig, "quiet");
    rig_add(&rig, quiet, 0, 1, 9);
    for (uint32_t i = 0; i < 700; i++)
        add(collection, i, 1, 1);
    check(between.n_trims == 0);
    check_ok(och_engine_drop(rig.engine, quiet->id, &err), &err);
    och_collection_release(quiet);
    check(between.n_trims > 0);
    end(collection);
}

/* --- garbage ---------------------------------------------------------------------------------- */

static void
write_file(const char *path)
{
    struct och_file *file;
    struct ochre_error err;
    check_ok(och_vfs_open(
                     sim_disk_vfs(rig.disk), path, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &err),
            &err);
    check_ok(och_file_write(file, 0, "x", 1, &err), &err);
    och_file_close(file);
}

static bool
exists(const char *path)
{
    bool there;
    check(och_vfs_exists(sim_disk_vfs(rig.disk), path, &there, NULL) == OCHRE_OK);
    return there;
}

static void
opening_removes_what_nothing_lists_and_nothing_else(void **state)
{
    (void) state;
    struct ochre_error err;
    char dir[OCH_PATH_SIZE_MAX];
    char path[OCH_PATH_SIZE_MAX + 64];
    char id[OCH_UUID_TEXT_SIZE + 1];
    struct och_vfs *vfs;
    struct och_collection *collection = begin(20);
    uint64_t n;
    add(collection, 0, 20, 1);
    check_ok(rig_delete_tag(&rig, collection, 1, 3, &n, &err), &err);
    (void) model_delete_tag(&model, 1, 3);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    och_uuid_put(collection->id, id);
    och_collection_release(collection);
    rig_close(&rig);
    vfs = sim_disk_vfs(rig.disk);
    (void) snprintf(dir, sizeof(dir), OCH_DIR_SEGMENTS "/%s", id);
    static const char *const names[] = {"00000000000000ff.seg", "0000000000000001.seg.old",
            "nonsense", "0000000000000001.00000000000000ff.del", "000000000000000G.seg"};
    check(rig_count_files(&rig, dir) == 2);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void) snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        write_file(path);
    }
    static const char gone[] = OCH_DIR_SEGMENTS "/11111111-1111-4111-8111-111111111111";
    check_ok(och_vfs_mkdir(vfs, gone, &err), &err);
    write_file("seg/11111111-1111-4111-8111-111111111111/0000000000000001.seg");
    check_ok(och_vfs_mkdir(vfs, "seg/somebody", &err), &err);
    write_file("seg/note");
    write_file("tmp/0000000000000009.seg");
    static const char *const dirs[] = {"tmp/work", "tmp/work/empty", "tmp/work/seg",
            "tmp/work/seg/11111111-1111-4111-8111-111111111111"};
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        check_ok(och_vfs_mkdir(vfs, dirs[i], &err), &err);
    write_file("tmp/work/FORMAT");
    write_file("tmp/work/seg/11111111-1111-4111-8111-111111111111/0000000000000001.seg");
    check_ok(rig_open(&rig, &err), &err);
    check(rig_count_files(&rig, dir) == 2 && rig_count_files(&rig, OCH_DIR_TMP) == 0);
    check(!exists(gone) && exists("seg/somebody") && exists("seg/note"));
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    end(collection);
}

static ochre_status
no_generation(struct och_catalog *catalog, uint64_t *generation_out, struct ochre_error *err)
{
    (void) catalog;
    (void) generation_out;
    (void) err;
    return OCHRE_IO;
}

static void
garbage_that_cannot_be_removed_goes_later(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(20);
    struct och_collection *second = rig_create(&rig, "second");
    add(collection, 0, 20, 1);
    rig_add(&rig, second, 0, 20, 1);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 2);
    /* No file goes before the log knows the catalog that does not list it. */
    rig.catalog_ops.generation = no_generation;
    check_ok(och_engine_drop(rig.engine, second->id, &err), &err);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 2);
    rig.catalog_ops.generation = between.catalog.generation;
    add(collection, 20, 20, 2); /* the next seal collects */
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 1);
    check_collection(&rig, collection, &model);
    och_collection_release(second);
    end(collection);
}

/* A directory that is not ours, in one that is: it stays, and so does what it is in, until
 * somebody takes it away. */
static void
a_directory_in_garbage_is_left(void **state)
{
    (void) state;
    struct ochre_error err;
    char id[OCH_UUID_TEXT_SIZE + 1];
    char dir[OCH_PATH_SIZE_MAX];
    char inner[OCH_PATH_SIZE_MAX + 16];
    struct och_collection *collection = begin(20);
    struct och_collection *second = rig_create(&rig, "second");
    rig_add(&rig, second, 0, 20, 1);
    och_uuid_put(second->id, id);
    (void) snprintf(dir, sizeof(dir), OCH_DIR_SEGMENTS "/%s", id);
    (void) snprintf(inner, sizeof(inner), "%s/theirs", dir);
    check_ok(och_vfs_mkdir(sim_disk_vfs(rig.disk), inner, &err), &err);
    check(rig_count_files(&rig, dir) == 2);
    check_ok(och_engine_drop(rig.engine, second->id, &err), &err);
    check(rig_count_files(&rig, dir) == 1 && exists(inner));
    add(collection, 0, 20, 2); /* the next seal tries again */
    check(exists(inner));
    check_collection(&rig, collection, &model);
    check_ok(och_vfs_rmdir(sim_disk_vfs(rig.disk), inner, &err), &err);
    add(collection, 20, 20, 2);
    check(!exists(dir));
    check_collection(&rig, collection, &model);
    och_collection_release(second);
    end(collection);
}

/* Who asks may have looked before the collection went: nothing is written for it any more. */
static void
a_head_of_a_dropped_collection_is_not_sealed(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(20);
    struct och_collection *second = rig_create(&rig, "second");
    between.state_set = OCHRE_IO;
    rig_add(&rig, second, 0, 20, 1);
    between.state_set = OCHRE_OK;
    check(second->view->n_frozen == 1);
    check_ok(och_engine_drop(rig.engine, second->id, &err), &err);
    size_t n_files = rig_count_files(&rig, OCH_DIR_SEGMENTS);
    och_commit_enter(rig.engine->commit);
    och_maintain_collection(second);
    och_commit_leave(rig.engine->commit);
    check(second->view->n_frozen == 1 && second->view->n_segments == 0);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == n_files);
    och_collection_release(second);
    end(collection);
}

/* --- memory --------------------------------------------------------------------------------------- */

/* Of what fills it, heads that wait to be sealed go first, whoever's they are. */
static void
where_memory_is_short_heads_that_wait_are_sealed(void **state)
{
    (void) state;
    enum { BALLAST = 16 << 20 };
    struct och_collection *collection = begin(100);
    struct och_collection *second = rig_create(&rig, "second");
    add(collection, 0, 90, 1);
    between.state_set = OCHRE_IO;
    rig_add(&rig, second, 0, 100, 1);
    between.state_set = OCHRE_OK;
    check(second->view->n_frozen == 1);
    add(collection, 90, 1, 1); /* there is enough: nobody looks */
    check(second->view->n_frozen == 1);
    void *ballast = och_mem_take(&rig.mem, BALLAST); /* so that sealing has room nevertheless */
    check(ballast != NULL);
    rig.mem.limit = och_mem_used(&rig.mem) + BALLAST / 5;
    add(collection, 91, 1, 1);
    rig.mem.limit = SIZE_MAX;
    och_mem_release(&rig.mem, ballast, BALLAST);
    check(second->view->n_frozen == 0 && second->view->n_segments == 1);
    check(collection->view->n_segments == 0 && collection->view->n_frozen == 0);
    check_collection(&rig, collection, &model);
    och_collection_release(second);
    end(collection);
}

/* --- in the background -------------------------------------------------------------------------- */

/* The sealer is held at the catalog's door until the test opens it. */
static struct och_mutex door_lock;
static struct och_cond door_changed;
static bool door_open, at_door;

static ochre_status
state_set_behind_a_door(struct och_catalog *catalog, struct och_uuid id,
        const struct och_collection_state *state, const struct och_segment_row *segments, size_t n,
        struct ochre_error *err)
{
    och_mutex_lock(&door_lock);
    at_door = true;
    och_cond_broadcast(&door_changed);
    while (!door_open)
        och_cond_wait(&door_changed, &door_lock);
    och_mutex_unlock(&door_lock);
    return between.catalog.state_set(catalog, id, state, segments, n, err);
}

static void
open_door(void)
{
    och_mutex_lock(&door_lock);
    door_open = true;
    och_cond_broadcast(&door_changed);
    och_mutex_unlock(&door_lock);
}

static void
wait_at_door(void)
{
    och_mutex_lock(&door_lock);
    while (!at_door)
        och_cond_wait(&door_changed, &door_lock);
    och_mutex_unlock(&door_lock);
}

static void
seal_everything(void *argument)
{
    ochre_status *status = argument;
    *status = och_engine_seal_all(rig.engine, NULL);
}

/* The simulated disk is for one thread at a time: while the sealer is held,
 * nobody else seals. */
static void
writes_and_reads_go_on_while_a_head_is_sealed(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_mem mem;
    struct och_executor *executor;
    och_mem_init(&mem, NULL);
    och_mutex_init(&door_lock);
    och_cond_init(&door_changed);
    door_open = false;
    at_door = false;
    check_ok(och_executor_open(&mem, 0, 2, &executor, &err), &err);
    struct och_collection *collection = begin(20);
    och_collection_release(collection);
    rig_close(&rig);
    rig.executor = executor;
    rig.catalog_ops.state_set = state_set_behind_a_door;
    rig.options.merge.dead_percent = 100; /* nothing is merged beside this */
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_collection(&rig, "things");
    add(collection, 0, 20, 1);
    wait_at_door();
    check(collection->view->n_frozen == 1);
    uint64_t n;
    check_ok(rig_delete_tag(&rig, collection, 1, 5, &n, &err), &err);
    (void) model_delete_tag(&model, 1, 5);
    add(collection, 20, 5, 2);
    check_collection(&rig, collection, &model);
    struct och_result *held = rig_get_all(&rig, collection);
    /* Sealing everything waits for the sealer there is, instead of beside it. */
    struct och_thread thread;
    ochre_status sealed = OCHRE_INTERNAL;
    check_ok(och_thread_start(&thread, "seal", seal_everything, &sealed, &err), &err);
    open_door();
    och_thread_join(&thread);
    check(sealed == OCHRE_OK);
    check(collection->view->n_frozen == 0 && collection->view->n_segments == 2);
    check_result(held, &model);
    och_result_release(held);
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    end(collection);
    och_executor_close(executor);
    och_cond_clear(&door_changed);
    och_mutex_clear(&door_lock);
    check(och_mem_used(&mem) == 0);
}

/* A stand-in for the writers' wait: the door opens when one waits. */
static unsigned n_waits;
static struct och_cond *_Atomic watched;

bool __real_och_cond_wait_for(struct och_cond *cond, struct och_mutex *mutex, uint64_t timeout_ms);
bool __wrap_och_cond_wait_for(struct och_cond *cond, struct och_mutex *mutex, uint64_t timeout_ms);

OCH_NO_THREAD_ANALYSIS bool
__wrap_och_cond_wait_for(struct och_cond *cond, struct och_mutex *mutex, uint64_t timeout_ms)
{
    if (cond == watched) {
        n_waits++;
        open_door();
    }
    return __real_och_cond_wait_for(cond, mutex, timeout_ms);
}

static void
writers_wait_for_the_sealer_when_memory_is_short(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_mem mem;
    struct och_executor *executor;
    och_mem_init(&mem, NULL);
    och_mutex_init(&door_lock);
    och_cond_init(&door_changed);
    door_open = false;
    at_door = false;
    check_ok(och_executor_open(&mem, 0, 2, &executor, &err), &err);
    struct och_collection *collection = begin(20);
    och_collection_release(collection);
    rig_close(&rig);
    rig.executor = executor;
    rig.catalog_ops.state_set = state_set_behind_a_door;
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_collection(&rig, "things");
    add(collection, 0, 20, 1);
    wait_at_door();
    n_waits = 0;
    watched = &rig.engine->work_done;
    add(collection, 20, 1, 1); /* one head may wait */
    check(n_waits == 0);
    size_t before = rig.mem.limit;
    enum { BALLAST = 4 << 20 }; /* so that what is left is little, and enough */
    void *ballast = och_mem_take(&rig.mem, BALLAST);
    check(ballast != NULL);
    rig.mem.limit = och_mem_used(&rig.mem) / 4 * 5; /* a fifth is left */
    add(collection, 21, 1, 1);
    check(n_waits > 0);
    watched = NULL;
    check(collection->view->n_frozen == 0);
    rig.mem.limit = before;
    och_mem_release(&rig.mem, ballast, BALLAST);
    check_collection(&rig, collection, &model);
    end(collection);
    och_executor_close(executor);
    och_cond_clear(&door_changed);
    och_mutex_clear(&door_lock);
    check(och_mem_used(&mem) == 0);
}

static void
writers_wait_for_a_sealer_that_works(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_mem mem;
    struct och_executor *executor;
    och_mem_init(&mem, NULL);
    check_ok(och_executor_open(&mem, 0, 2, &executor, &err), &err);
    struct och_collection *collection = begin(20);
    och_collection_release(collection);
    rig_close(&rig);
    rig.executor = executor;
    between.state_set = OCHRE_IO; /* until the fourth head is full */
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_collection(&rig, "things");
    for (uint32_t i = 0; i < 4; i++) {
        add(collection, i * 20, 20, 1);
        och_maintain_drain(rig.engine);
    }
    check(collection->view->n_frozen == 4);
    check(try_add(collection, 1000, &err) == OCHRE_UNAVAILABLE); /* sealing fails: no waiting */
    och_maintain_drain(rig.engine);
    between.state_set = OCHRE_OK;
    /* The refused one starts the next try; sooner or later a write gets through. */
    ochre_status status = OCHRE_UNAVAILABLE;
    for (int i = 0; i < 10 && status != OCHRE_OK; i++) {
        status = try_add(collection, 1000, &err);
        och_maintain_drain(rig.engine);
    }
    check_ok(status, &err);
    check(collection->view->n_frozen == 0);
    check_collection(&rig, collection, &model);
    end(collection);
    och_executor_close(executor);
    check(och_mem_used(&mem) == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_full_head_becomes_a_file),
            cmocka_unit_test(a_head_is_full_by_bytes_too),
            cmocka_unit_test(deletes_are_sealed_into_one_file_for_each_segment),
            cmocka_unit_test(a_head_of_dead_rows_leaves_no_file),
            cmocka_unit_test(a_head_is_sealed_when_all_in_it_is_dead),
            cmocka_unit_test(writers_wait_their_turn_when_sealing_fails),
            cmocka_unit_test(heads_that_could_not_be_sealed_are_there_after_a_restart),
            cmocka_unit_test(a_seal_that_fails_anywhere_is_tried_again),
            cmocka_unit_test(deaths_since_the_freeze_are_carried_over),
            cmocka_unit_test(any_allocation_of_a_seal_may_be_refused),
            cmocka_unit_test(a_seal_that_is_listed_is_done_whatever_was_answered),
            cmocka_unit_test(the_log_is_trimmed_when_the_catalog_holds_its_records),
            cmocka_unit_test(what_is_held_is_neither_trimmed_nor_sealed_for_nothing),
            cmocka_unit_test(a_dropped_collection_lets_the_log_go),
            cmocka_unit_test(a_purge_is_not_done_while_something_is_held),
            cmocka_unit_test(opening_removes_what_nothing_lists_and_nothing_else),
            cmocka_unit_test(garbage_that_cannot_be_removed_goes_later),
            cmocka_unit_test(a_head_of_a_dropped_collection_is_not_sealed),
            cmocka_unit_test(where_memory_is_short_heads_that_wait_are_sealed),
            cmocka_unit_test(a_directory_in_garbage_is_left),
            cmocka_unit_test(writes_and_reads_go_on_while_a_head_is_sealed),
            cmocka_unit_test(writers_wait_for_the_sealer_when_memory_is_short),
            cmocka_unit_test(writers_wait_for_a_sealer_that_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
