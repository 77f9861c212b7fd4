#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/random.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "engine/maintain.h"
#include "os/executor.h"
#include "os/thread.h"
#include "os/vfs.h"
#include "segment/head.h"
#include "segment/segment.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"
#include "support/check.h"
#include "unit/engine/rig.h"
#include "unit/index/random_metadata.h"

static struct rig rig;
static struct rig_model model;

/* --- standing between the engine and its catalog -------------------------------------- */

static struct {
    struct och_catalog_ops catalog;
    struct och_collection *merging; /* while this merges, */
    void (*meanwhile)(void);        /* let this happen, once */
    ochre_status state_set;         /* what it answers instead, unless OCHRE_OK; */
    bool does_set;                  /* having done it all the same, */
    unsigned n_blind;               /* and so often state_get answers OCHRE_IO then */
} between;

/* A merge asks for the number of its file when it is about to write it. */
static ochre_status
next_file_id(struct och_catalog *catalog, uint64_t *id_out, struct ochre_error *err)
{
    void (*meanwhile)(void) = between.meanwhile;
    if (meanwhile != NULL && between.merging->merging) {
        between.meanwhile = NULL;
        meanwhile();
    }
    return between.catalog.next_file_id(catalog, id_out, err);
}

static ochre_status
state_set(struct och_catalog *catalog, struct och_uuid id, const struct och_collection_state *state,
        const struct och_segment_row *segments, size_t n, struct ochre_error *err)
{
    ochre_status status = between.state_set;
    between.state_set = OCHRE_OK;
    if (status == OCHRE_OK || between.does_set) {
        ochre_status done = between.catalog.state_set(catalog, id, state, segments, n, err);
        status = status == OCHRE_OK ? done : status;
    }
    return status;
}

static ochre_status
state_get(struct och_catalog *catalog, struct och_arena *arena, struct och_uuid id,
        struct och_collection_state *state_out, struct och_segment_row **segments_out,
        size_t *n_out, struct ochre_error *err)
{
    if (between.n_blind > 0 && between.state_set == OCHRE_OK) {
        between.n_blind--;
        return OCHRE_IO;
    }
    return between.catalog.state_get(catalog, arena, id, state_out, segments_out, n_out, err);
}

/* Heads of `head_rows`; `fan_in` segments of a tier are merged. */
static struct och_collection *
begin(uint32_t head_rows, uint32_t fan_in)
{
    struct ochre_error err;
    memset(&model, 0, sizeof(model));
    memset(&between, 0, sizeof(between));
    rig_begin(&rig);
    rig.options.head_rows_max = head_rows;
    rig.options.merge.fan_in = fan_in;
    rig.options.merge.dead_percent = 100;
    check_ok(rig_open(&rig, &err), &err);
    between.catalog = rig.catalog_ops;
    rig.catalog_ops.next_file_id = next_file_id;
    rig.catalog_ops.state_set = state_set;
    rig.catalog_ops.state_get = state_get;
    return rig_create(&rig, "things");
}

static struct och_collection *
reopen(struct och_collection *collection)
{
    och_collection_release(collection);
    between.merging = NULL;
    rig_reopen(&rig);
    return rig_collection(&rig, "things");
}

static void
end(struct och_collection *collection)
{
    och_collection_release(collection);
    rig_end(&rig);
}

/* Write, and let the model do the same. */
static void
write(struct och_collection *collection, enum och_write_op op, uint32_t first, uint32_t n,
        uint32_t step, uint32_t tag, unsigned columns)
{
    static uint32_t numbers[RIG_RECORDS_MAX];
    struct ochre_error err;
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = first + i * step;
    struct rig_write write = {.op = op, .numbers = numbers, .n = n, .tag = tag, .columns = columns};
    check_ok(rig_write(&rig, collection, &write, &err), &err);
    model_write(&model, &write);
}

static void
add(struct och_collection *collection, uint32_t first, uint32_t n)
{
    write(collection, OCH_WRITE_ADD, first, n, 1, 1 + first % 9, RIG_ALL);
}

/* A request for each 20. */
static void
add_heads(struct och_collection *collection, uint32_t first, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        add(collection, first + i * 20, 20);
}

/* How many files the collection has. */
static size_t
count_files(const struct och_collection *collection)
{
    char dir[OCH_PATH_SIZE_MAX];
    char id[OCH_UUID_TEXT_SIZE + 1];
    och_uuid_put(collection->id, id);
    (void) snprintf(dir, sizeof(dir), OCH_DIR_SEGMENTS "/%s", id);
    return rig_count_files(&rig, dir) + rig_count_files(&rig, OCH_DIR_TMP);
}

/* And how many it should have. */
static size_t
count_listed(const struct och_collection *collection)
{
    size_t n = 0;
    for (uint32_t i = 0; i < collection->view->n_segments; i++)
        n += collection->view->segments[i]->deletes_id != 0 ? 2 : 1;
    return n;
}

static void
compact(struct och_collection *collection)
{
    struct ochre_error err;
    check_ok(och_engine_compact(rig.engine, collection, &err), &err);
}

/* --- what is merged --------------------------------------------------------------------- */

static void
enough_segments_of_a_kind_become_one(void **state)
{
    (void) state;
    struct och_collection *collection = begin(20, 4);
    add_heads(collection, 0, 3);
    check(collection->view->n_segments == 3 && count_files(collection) == 3);
    add(collection, 60, 20);
    check(collection->view->n_segments == 1 && count_files(collection) == 1);
    check(collection->view->segments[0]->n_rows == 80);
    check_collection(&rig, collection, &model);
    add_heads(collection, 80, 11);
    check(collection->view->n_segments == 6 && count_files(collection) == 6);
    add(collection, 300, 20); /* completes two tiers */
    check(collection->view->n_segments == 1 && count_files(collection) == 1);
    check_collection(&rig, collection, &model);
    collection = reopen(collection);
    check(collection->view->n_segments == 1 && count_files(collection) == 1);
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
a_segment_with_many_dead_rows_is_written_anew(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(100, 4);
    rig.engine->options.merge.dead_percent = 20;
    add(collection, 0, 100);
    write(collection, OCH_WRITE_DELETE, 0, 20, 1, 0, 0);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    check(collection->view->segments[0]->n_rows == 100 && count_files(collection) == 2);
    write(collection, OCH_WRITE_DELETE, 50, 1, 1, 0, 0);
    check(collection->view->segments[0]->n_rows == 100); /* it is not sealed yet */
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    check(collection->view->segments[0]->n_rows == 79 && count_files(collection) == 1);
    check_collection(&rig, collection, &model);
    write(collection, OCH_WRITE_DELETE, 0, 100, 1, 0, 0);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    check(collection->view->n_segments == 0 && count_files(collection) == 0);
    check_collection(&rig, collection, &model);
    collection = reopen(collection);
    check(collection->published.next_ordinal == 100);
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
compacting_seals_and_leaves_one_segment_without_dead_rows(void **state)
{
    (void) state;
    struct och_collection *collection = begin(20, 100);
    add_heads(collection, 0, 5);
    add(collection, 100, 10);
    write(collection, OCH_WRITE_UPDATE, 0, 20, 3, 7, RIG_DOCUMENT);
    write(collection, OCH_WRITE_DELETE, 1, 20, 4, 0, 0);
    compact(collection);
    check(collection->view->n_segments == 1 && collection->view->n_frozen == 0);
    check(collection->view->segments[0]->n_rows == model.n && count_files(collection) == 1);
    check_collection(&rig, collection, &model);
    uint64_t id = collection->view->segments[0]->id;
    compact(collection); /* there is nothing more to gain */
    check(collection->view->segments[0]->id == id);
    collection = reopen(collection);
    check(collection->view->segments[0]->id == id);
    check_collection(&rig, collection, &model);
    end(collection);
}

/* Vectors of which no graph is made (here: too few) are not written again for ever. */
static void
a_segment_that_gets_no_graph_is_rewritten_once(void **state)
{
    (void) state;
    struct och_collection *collection = begin(20, 100);
    rig.engine->options.merge.graph_rows = 10;
    add(collection, 0, 20);
    uint64_t id = collection->view->segments[0]->id;
    compact(collection);
    check(collection->view->segments[0]->id != id);
    id = collection->view->segments[0]->id;
    compact(collection);
    check(collection->view->n_segments == 1 && collection->view->segments[0]->id == id);
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
no_segment_gets_more_rows_than_it_may(void **state)
{
    (void) state;
    struct och_collection *collection = begin(20, 3);
    rig.engine->options.merge.rows_max = 50;
    for (uint32_t i = 0; i < 17; i++) {
        add(collection, i * 20, 20);
        for (uint32_t s = 0; s < collection->view->n_segments; s++)
            check(collection->view->segments[s]->n_rows <= 50);
    }
    compact(collection);
    check(collection->view->n_segments == 9); /* two heads in each, and one */
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
a_collection_of_nothing_is_compacted_to_nothing(void **state)
{
    (void) state;
    struct och_collection *collection = begin(20, 3);
    compact(collection);
    check(collection->view->n_segments == 0);
    add(collection, 0, 10);
    write(collection, OCH_WRITE_DELETE, 0, 10, 1, 0, 0);
    compact(collection);
    check(collection->view->n_segments == 0 && count_files(collection) == 0);
    collection = reopen(collection);
    check_collection(&rig, collection, &model);
    end(collection);
}

/* --- what happens meanwhile --------------------------------------------------------------- */

static void
update_and_delete(void)
{
    write(between.merging, OCH_WRITE_UPDATE, 0, 15, 3, 8, RIG_DOCUMENT | RIG_VECTOR);
    write(between.merging, OCH_WRITE_DELETE, 1, 10, 5, 0, 0);
    write(between.merging, OCH_WRITE_ADD, 1, 3, 5, 9, RIG_ALL); /* back, in a new place */
}

static void
update_delete_and_seal(void)
{
    struct ochre_error err;
    update_and_delete();
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
}

/* Some of it sealed, and some of it after that. */
static void
update_seal_and_delete(void)
{
    update_delete_and_seal();
    write(between.merging, OCH_WRITE_DELETE, 4, 10, 7, 0, 0);
    write(between.merging, OCH_WRITE_UPSERT, 2, 10, 6, 10, RIG_ALL);
}

static void
delete_all_and_seal(void)
{
    struct ochre_error err;
    write(between.merging, OCH_WRITE_DELETE, 0, 100, 1, 0, 0);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
}

/* Rows that die while their segment is merged are dead in the new one: in memory,
 * in its delete file if that was sealed meanwhile, and after the log is read. */
static void
deaths_during_a_merge_are_carried_over(void **state)
{
    (void) state;
    static void (*const events[])(void) = {
            update_and_delete, update_delete_and_seal, update_seal_and_delete, delete_all_and_seal};
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        for (int restarts = 0; restarts < 3; restarts++) {
            struct ochre_error err;
            struct och_collection *collection = begin(1000, 100);
            add(collection, 0, 50);
            check_ok(och_engine_seal_all(rig.engine, &err), &err);
            add(collection, 50, 50);
            write(collection, OCH_WRITE_DELETE, 0, 4, 20, 0, 0);
            check_ok(och_engine_seal_all(rig.engine, &err), &err);
            struct och_result *before = rig_get_all(&rig, collection);
            static struct rig_model old;
            old = model;
            between.merging = collection;
            between.meanwhile = events[i];
            compact(collection);
            check(between.meanwhile == NULL);
            check_result(before, &old); /* of files that are gone by now */
            och_result_release(before);
            check_collection(&rig, collection, &model);
            if (restarts == 1)
                collection = reopen(collection);
            if (restarts == 2) { /* the power goes */
                sim_disk_recover(rig.disk, SIM_NONE_KEPT, 7);
                collection = reopen(collection);
            }
            check_collection(&rig, collection, &model);
            compact(collection);
            check(collection->view->n_segments <= 1);
            check(count_files(collection) == collection->view->n_segments);
            check_collection(&rig, collection, &model);
            end(collection);
        }
    }
}

static uint64_t refuse_in; /* so many allocations after it happened one is refused */
static uint64_t fail_in;   /* or so many calls of the disk fail, for once */

static void
update_seal_delete_and_refuse(void)
{
    update_seal_and_delete();
    rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + refuse_in;
}

/* Two segments to be merged, with deaths in the first. */
static struct och_collection *
begin_with_two(void)
{
    struct ochre_error err;
    struct och_collection *collection = begin(1000, 100);
    add(collection, 0, 50);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    add(collection, 50, 50);
    write(collection, OCH_WRITE_DELETE, 0, 4, 20, 0, 0);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    between.merging = collection;
    return collection;
}

static void
deaths_during_a_merge_are_carried_over_or_it_changes_nothing(void **state)
{
    (void) state;
    struct ochre_error err;
    bool refused = true;
    for (refuse_in = 1; refused; refuse_in++) {
        struct och_collection *collection = begin_with_two();
        between.meanwhile = update_seal_delete_and_refuse;
        ochre_status status = och_engine_compact(rig.engine, collection, &err);
        check(between.meanwhile == NULL);
        refused = atomic_load(&rig.mem.n_grants) >= rig.mem.fail_at;
        rig.mem.fail_at = 0;
        check(status == OCHRE_OK || (refused && status == OCHRE_NO_MEMORY));
        check_collection(&rig, collection, &model);
        collection = reopen(collection);
        check_collection(&rig, collection, &model);
        compact(collection);
        check_collection(&rig, collection, &model);
        end(collection);
    }
    check(refuse_in > 20);
}

static void
add_and_seal_badly(void)
{
    add(between.merging, 200, 30);
    write(between.merging, OCH_WRITE_DELETE, 1, 5, 7, 0, 0);
    sim_disk_fail(rig.disk, fail_in, SIM_IO_ONCE);
    ochre_status status = och_engine_seal_all(rig.engine, NULL);
    (void) status;
    sim_disk_fail(rig.disk, 0, SIM_IO_ONCE);
}

/* The catalog may list the head's segment already, and the view not: the merge waits. */
static void
a_head_that_is_half_sealed_comes_before_a_merge(void **state)
{
    (void) state;
    struct ochre_error err;
    unsigned n_late = 0;
    for (fail_in = 1; fail_in < 60; fail_in++) {
        struct och_collection *collection = begin_with_two();
        between.meanwhile = add_and_seal_badly;
        ochre_status status = och_engine_compact(rig.engine, collection, &err);
        check(status == OCHRE_OK || status == OCHRE_UNAVAILABLE);
        n_late += status != OCHRE_OK;
        check_collection(&rig, collection, &model);
        if (fail_in % 2 == 0)
            collection = reopen(collection);
        check_collection(&rig, collection, &model);
        compact(collection);
        check(collection->view->n_segments == 1 && count_files(collection) == 1);
        check_collection(&rig, collection, &model);
        end(collection);
    }
    check(n_late > 0);
}

static void
drop_it(void)
{
    struct ochre_error err;
    check_ok(och_engine_drop(rig.engine, between.merging->id, &err), &err);
}

static void
a_collection_dropped_while_it_is_merged_leaves_nothing(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(20, 100);
    add_heads(collection, 0, 5);
    between.merging = collection;
    between.meanwhile = drop_it;
    check(och_engine_compact(rig.engine, collection, &err) == OCHRE_NOT_FOUND);
    check(count_files(collection) == 0);
    check(och_engine_compact(rig.engine, collection, &err) == OCHRE_NOT_FOUND);
    between.merging = NULL;
    och_collection_release(collection);
    rig_reopen(&rig);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 0);
    rig_end(&rig);
}

/* --- failing -------------------------------------------------------------------------------- */

static struct och_collection *
begin_failing(void)
{
    struct ochre_error err;
    struct och_collection *collection = begin(1000, 100);
    for (uint32_t i = 0; i < 3; i++) {
        add(collection, i * 30, 30);
        check_ok(och_engine_seal_all(rig.engine, &err), &err);
    }
    write(collection, OCH_WRITE_DELETE, 0, 5, 9, 0, 0);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    /* A head is left, and deaths that are in the log alone. */
    write(collection, OCH_WRITE_UPDATE, 2, 10, 8, 5, RIG_DOCUMENT);
    return collection;
}

/* After a merge that failed: all is there, and the next one gets through. */
static void
check_survival(struct och_collection *collection)
{
    check_collection(&rig, collection, &model);
    check(rig_count_files(&rig, OCH_DIR_TMP) == 0);
    write(collection, OCH_WRITE_UPSERT, 85, 10, 1, 6, RIG_ALL);
    compact(collection);
    check(collection->view->n_segments == 1);
    check_collection(&rig, collection, &model);
    collection = reopen(collection);
    check(count_files(collection) == 1);
    check_collection(&rig, collection, &model);
    end(collection);
}

/* What fails, and from which call on. */
static struct {
    uint64_t n;
    enum sim_fault fault;
} fault;

static void
update_seal_delete_and_fail(void)
{
    update_seal_and_delete();
    sim_disk_fail(rig.disk, fault.n, fault.fault);
}

static void
a_merge_that_fails_anywhere_is_tried_again(void **state)
{
    (void) state;
    static const enum sim_fault faults[] = {SIM_IO_ONCE, SIM_FULL_ONCE};
    struct ochre_error err;
    for (size_t i = 0; i < 4; i++) {
        bool failed = true;
        unsigned n_points = 0;
        fault.fault = faults[i % 2];
        for (fault.n = 1; failed; fault.n++) {
            struct och_collection *collection = begin_failing();
            check_ok(och_engine_seal_all(rig.engine, &err), &err);
            between.merging = collection;
            if (i < 2)
                sim_disk_fail(rig.disk, fault.n, fault.fault);
            else
                between.meanwhile = update_seal_delete_and_fail;
            ochre_status status = och_engine_compact(rig.engine, collection, &err);
            failed = sim_disk_has_failed(rig.disk);
            check(status == OCHRE_OK || (failed && (status == OCHRE_IO || status == OCHRE_FULL)));
            sim_disk_fail(rig.disk, 0, SIM_IO_ONCE);
            n_points += failed;
            check_survival(collection);
        }
        check(n_points > (i % 2 == 0 ? 20 : 5));
    }
}

static void
while_the_disk_fails_a_merge_changes_nothing(void **state)
{
    (void) state;
    struct ochre_error err;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct och_collection *collection = begin_failing();
        sim_disk_fail(rig.disk, n, SIM_IO_FROM);
        ochre_status status = och_engine_compact(rig.engine, collection, &err);
        failed = sim_disk_has_failed(rig.disk);
        check(status == (failed ? OCHRE_IO : OCHRE_OK) || (failed && status == OCHRE_OK));
        check(och_engine_compact(rig.engine, collection, &err) == OCHRE_IO || !failed ||
                status == OCHRE_OK);
        sim_disk_fail(rig.disk, 0, SIM_IO_ONCE);
        check_collection(&rig, collection, &model);
        collection = reopen(collection); /* takes away what could not be removed */
        check_survival(collection);
    }
}

static void
any_allocation_of_a_merge_may_be_refused(void **state)
{
    (void) state;
    struct ochre_error err;
    ochre_status status = OCHRE_NO_MEMORY;
    unsigned n_points = 0;
    while (status != OCHRE_OK) {
        struct och_collection *collection = begin_failing();
        check_ok(och_engine_seal_all(rig.engine, &err), &err);
        rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + ++n_points;
        status = och_engine_compact(rig.engine, collection, &err);
        /* A refusal that is made up for is none: what cannot be noted as garbage is
         * found at the next open. */
        bool refused = atomic_load(&rig.mem.n_grants) >= rig.mem.fail_at;
        rig.mem.fail_at = 0;
        check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        if (refused)
            status = OCHRE_NO_MEMORY;
        check_survival(collection);
        check(n_points < 1000);
    }
    check(n_points > 20);
}

/* Lists of many segments take memory of their own, at one place or another as they are
 * longer: whichever is refused, the merge is tried again. */
static void
without_memory_for_its_lists_a_merge_is_tried_again(void **state)
{
    (void) state;
    static const uint32_t counts[] = {10, 40, 96};
    struct ochre_error err;
    struct och_collection *collection = begin(1, 1000);
    uint32_t next = 0;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        while (collection->view->n_segments < counts[i])
            add(collection, next++, 1);
        ochre_status status = OCHRE_NO_MEMORY;
        unsigned n = 0;
        while (status != OCHRE_OK) {
            check(collection->view->n_segments == counts[i]);
            rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + ++n;
            status = och_engine_compact(rig.engine, collection, &err);
            rig.mem.fail_at = 0;
            check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        }
        check(n > 5 && collection->view->n_segments == 1);
        check_collection(&rig, collection, &model);
    }
    collection = reopen(collection);
    check_collection(&rig, collection, &model);
    end(collection);
}

/* The catalog answers once that it cannot say which segments there are. */
static void
a_merge_that_cannot_ask_for_the_list_is_tried_again(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin_failing();
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    uint32_t before = collection->view->n_segments;
    between.n_blind = 1;
    check(och_engine_compact(rig.engine, collection, &err) == OCHRE_IO);
    check(between.n_blind == 0 && collection->view->n_segments == before);
    check(count_files(collection) == count_listed(collection));
    check_survival(collection);
}

/* The catalog answers an error, having listed the new segment or not, and perhaps
 * cannot be asked which: either way nothing is lost and nothing stays behind. */
static void
a_listing_in_doubt_is_settled(void **state)
{
    (void) state;
    struct ochre_error err;
    for (unsigned i = 0; i < 16; i++) {
        struct och_collection *collection = begin_failing();
        check_ok(och_engine_seal_all(rig.engine, &err), &err);
        uint64_t id = collection->view->segments[0]->id;
        between.state_set = OCHRE_IO;
        between.does_set = (i & 1) != 0;
        between.n_blind = i >> 1 & 1;
        ochre_status status = och_engine_compact(rig.engine, collection, &err);
        bool known_listed = (i & 3) == 1;
        check(status == (known_listed ? OCHRE_OK : OCHRE_IO));
        check((collection->view->segments[0]->id != id) == known_listed);
        check_collection(&rig, collection, &model);
        if ((i & 4) != 0) {
            collection = reopen(collection);
            check_collection(&rig, collection, &model);
        }
        if ((i & 8) != 0) { /* a seal settles it as well as a merge */
            write(collection, OCH_WRITE_DELETE, 3, 5, 11, 0, 0);
            check_ok(och_engine_seal_all(rig.engine, &err), &err);
            check(count_files(collection) == count_listed(collection));
        }
        check_survival(collection);
    }
}

static void
a_damaged_segment_is_left_alone_and_the_others_are_merged(void **state)
{
    (void) state;
    struct ochre_error err;
    char path[OCH_PATH_SIZE_MAX];
    struct och_collection *collection = begin(1000, 100);
    for (uint32_t i = 0; i < 5; i++) {
        add(collection, i * 30, 30);
        check_ok(och_engine_seal_all(rig.engine, &err), &err);
    }
    const struct och_segment *third = collection->view->segments[2];
    uint64_t bad = third->id;
    och_segment_path(path, sizeof(path), collection->id, bad);
    uint64_t offset = third->sections[OCH_SECTION_DOCUMENT_BYTES].offset;
    collection = reopen(collection);
    check(sim_disk_flip(rig.disk, path, offset, 3));
    check(och_engine_compact(rig.engine, collection, &err) == OCHRE_CORRUPT);
    check(strstr(err.message, path) != NULL);
    check(collection->view->n_segments == 2);
    check(collection->view->segments[0]->n_rows == 120);
    check(collection->view->segments[1]->id == bad);
    check(count_files(collection) == 2);
    uint64_t count;
    check_ok(och_engine_count(&rig.mem, collection, NULL, &count, NULL, &err), &err);
    check(count == 150); /* the collection goes on */
    /* Nobody looks at it again, until the next open; but it is not called compacted. */
    check(och_engine_compact(rig.engine, collection, &err) == OCHRE_CORRUPT);
    check(strstr(err.message, "damaged") != NULL && collection->view->n_segments == 2);
    check(sim_disk_flip(rig.disk, path, offset, 3));
    collection = reopen(collection);
    compact(collection);
    check(collection->view->n_segments == 1);
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
a_merge_does_not_fill_the_disk(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(20, 4);
    add_heads(collection, 0, 3);
    uint64_t used = sim_disk_used(rig.disk);
    uint64_t one = collection->view->segments[0]->file_size;
    sim_disk_set_capacity(rig.disk, used + 3 * one);
    check(och_engine_compact(rig.engine, collection, &err) == OCHRE_FULL);
    check(strstr(err.message, "free") != NULL);
    check(sim_disk_used(rig.disk) <= used + one / 8); /* it did not even begin */
    check_collection(&rig, collection, &model);
    sim_disk_set_capacity(rig.disk, used + 20 * one);
    compact(collection);
    check(collection->view->n_segments == 1);
    check_collection(&rig, collection, &model);
    end(collection);
}

/* Inline, a merge that failed is not tried at every seal, but after a while. */
static void
a_failed_merge_holds_off_for_a_while(void **state)
{
    (void) state;
    struct och_collection *collection = begin(20, 3);
    add_heads(collection, 0, 2);
    for (uint32_t wait_s = 1; wait_s <= 4; wait_s *= 2) {
        uint64_t capacity = sim_disk_used(rig.disk);
        uint64_t one = collection->view->segments[0]->file_size;
        sim_disk_set_capacity(rig.disk, capacity + 4 * one); /* for a seal */
        uint32_t n = collection->view->n_segments;
        add(collection, 1000 * wait_s, 20);
        check(collection->view->n_segments == n + 1); /* refused */
        sim_disk_set_capacity(rig.disk, UINT64_MAX);
        add(collection, 1000 * wait_s + 20, 20);
        check(collection->view->n_segments == n + 2); /* not tried */
        sim_machine_advance(&rig.machine, (uint64_t) wait_s * 1000 + 100);
    }
    add(collection, 10000, 20);
    check(collection->view->n_segments == 1);
    check_collection(&rig, collection, &model);
    end(collection);
}

/* --- in the background ------------------------------------------------------------------------ */

/* The merger is held at the catalog's door until the test opens it. */
static struct {
    struct och_mutex lock;
    struct och_cond changed;
    bool is_open, at_it;
} door;

static void
stand_at_door(void)
{
    och_mutex_lock(&door.lock);
    door.at_it = true;
    och_cond_broadcast(&door.changed);
    while (!door.is_open)
        och_cond_wait(&door.changed, &door.lock);
    och_mutex_unlock(&door.lock);
}

static void
wait_at_door(void)
{
    och_mutex_lock(&door.lock);
    while (!door.at_it)
        och_cond_wait(&door.changed, &door.lock);
    och_mutex_unlock(&door.lock);
}

static void
open_door(void)
{
    och_mutex_lock(&door.lock);
    door.is_open = true;
    och_cond_broadcast(&door.changed);
    och_mutex_unlock(&door.lock);
}

static struct och_collection *
begin_background(struct och_mem *mem, unsigned n_threads, uint32_t fan_in)
{
    struct ochre_error err;
    och_mem_init(mem, NULL);
    memset(&door, 0, sizeof(door));
    och_mutex_init(&door.lock);
    och_cond_init(&door.changed);
    struct och_collection *collection = begin(20, fan_in);
    och_collection_release(collection);
    rig_close(&rig);
    check_ok(och_executor_open(mem, 0, n_threads, &rig.executor, &err), &err);
    check_ok(rig_open(&rig, &err), &err);
    return rig_collection(&rig, "things");
}

static void
end_background(struct och_mem *mem)
{
    rig_end(&rig);
    och_executor_close(rig.executor);
    och_cond_clear(&door.changed);
    och_mutex_clear(&door.lock);
    check(och_mem_used(mem) == 0);
}

/* Wait until nothing is sealed or merged, and the collection has no more segments. */
static void
wait_for_rest(struct och_collection *collection, uint32_t n_most)
{
    struct och_engine *engine = rig.engine;
    bool done = false;
    while (!done) {
        och_mutex_lock(&collection->lock);
        done = collection->view->n_segments <= n_most && collection->view->n_frozen == 0;
        och_mutex_unlock(&collection->lock);
        och_mutex_lock(&engine->work_lock);
        done = done && engine->n_tasks == 0 && engine->n_merges == 0;
        if (!done)
            (void) och_cond_wait_for(&engine->work_done, &engine->work_lock, 10);
        och_mutex_unlock(&engine->work_lock);
    }
}

/* The simulated disk is for one thread at a time: while the merger is held, the
 * test waits for each seal. */
static void
writes_reads_and_seals_go_on_while_segments_are_merged(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_collection *collection = begin_background(&mem, 2, 3);
    between.merging = collection;
    between.meanwhile = stand_at_door;
    for (uint32_t i = 0; i < 3; i++) {
        add(collection, i * 20, 20);
        och_maintain_drain(rig.engine);
    }
    wait_at_door();
    check(collection->view->n_segments == 3);
    struct och_result *held = rig_get_all(&rig, collection);
    static struct rig_model old;
    old = model;
    for (uint32_t i = 0; i < 5; i++) { /* more than would be left to wait */
        write(collection, OCH_WRITE_DELETE, i, 4, 13, 0, 0);
        write(collection, OCH_WRITE_UPDATE, i * 2, 3, 17, 3 + i, RIG_DOCUMENT);
        add(collection, 100 + i * 30, 20);
        och_maintain_drain(rig.engine);
        check(collection->view->n_frozen == 0 && collection->view->n_segments == 4 + i);
        check_collection(&rig, collection, &model);
    }
    write(collection, OCH_WRITE_DELETE, 7, 2, 11, 0, 0);
    open_door();
    wait_for_rest(collection, 4); /* what came meanwhile is merged too */
    check_result(held, &old);
    och_result_release(held);
    check_collection(&rig, collection, &model);
    collection = reopen(collection);
    check_collection(&rig, collection, &model);
    check(count_files(collection) == count_listed(collection));
    och_collection_release(collection);
    end_background(&mem);
}

/* The one thread there is merges, and would for long: writers seal for themselves
 * rather than be refused. */
static void
writers_seal_for_themselves_when_the_background_is_busy(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_collection *collection = begin_background(&mem, 1, 3);
    between.merging = collection;
    between.meanwhile = stand_at_door;
    add_heads(collection, 0, 3);
    wait_at_door();
    add_heads(collection, 100, 12);
    check(collection->view->n_segments > 8 && collection->view->n_frozen <= 4);
    check_collection(&rig, collection, &model);
    open_door();
    wait_for_rest(collection, 4);
    check_collection(&rig, collection, &model);
    collection = reopen(collection);
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    end_background(&mem);
}

static void
close_it(void *argument)
{
    (void) argument;
    rig_close(&rig);
}

static void
closing_does_not_wait_for_a_merge_to_end(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_mem mem;
    struct och_collection *collection = begin_background(&mem, 1, 3);
    between.merging = collection;
    between.meanwhile = stand_at_door;
    add_heads(collection, 0, 3);
    wait_at_door();
    struct och_thread thread;
    check_ok(och_thread_start(&thread, "close", close_it, NULL, &err), &err);
    while (!atomic_load(&collection->pace.stop)) {
        och_mutex_lock(&rig.engine->work_lock);
        (void) och_cond_wait_for(&rig.engine->work_done, &rig.engine->work_lock, 1);
        och_mutex_unlock(&rig.engine->work_lock);
    }
    och_collection_release(collection);
    open_door();
    och_thread_join(&thread);
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_collection(&rig, "things");
    check(collection->view->n_segments >= 1);
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    end_background(&mem);
}

/* Wait until a record in the log says that all before it are durable. */
static void
wait_for_vouch(void)
{
    struct och_engine *engine = rig.engine;
    bool done = false;
    while (!done) {
        och_mutex_lock(&engine->work_lock);
        (void) och_cond_wait_for(&engine->work_done, &engine->work_lock, 1);
        och_mutex_unlock(&engine->work_lock);
        och_commit_enter(engine->commit);
        done = engine->vouched_lsn == engine->log->ops->next_lsn(engine->log);
        och_commit_leave(engine->commit);
    }
}

/* With nobody writing, heads are sealed and segments merged that would otherwise
 * wait for more.  Each look of the timer moves the simulated clock on. */
static void
a_collection_at_rest_is_tidied_up(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_mem mem;
    struct och_collection *collection = begin(1000, 100);
    for (uint32_t i = 0; i < 5; i++) {
        add(collection, i * 30, 30);
        check_ok(och_engine_seal_all(rig.engine, &err), &err);
    }
    add(collection, 500, 12);
    och_collection_release(collection);
    rig_close(&rig);
    och_mem_init(&mem, NULL);
    check_ok(och_executor_open(&mem, 0, 1, &rig.executor, &err), &err);
    rig.options.idle_ms = 3;
    rig.options.idle_rows_min = 10;
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_collection(&rig, "things");
    wait_for_rest(collection, 1);
    /* A head of less is left alone, and so is one segment. */
    check(collection->view->segments[0]->n_rows == 162);
    /* One of 1/13 of it pays only after a long rest. */
    add(collection, 600, 12);
    wait_for_vouch();
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    wait_for_rest(collection, 1);
    check(collection->view->segments[0]->n_rows == 174);
    och_collection_release(collection);
    rig_close(&rig);
    och_executor_close(rig.executor);
    rig.executor = NULL;
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_collection(&rig, "things");
    check(collection->view->n_segments == 1 && count_files(collection) == 1);
    check_collection(&rig, collection, &model);
    end(collection);
    check(och_mem_used(&mem) == 0);
}

/* Wait until something of the past is kept, or nothing. */
static void
wait_for_past(bool wanted)
{
    struct och_engine *engine = rig.engine;
    bool has = !wanted;
    while (has != wanted) {
        och_mutex_lock(&engine->work_lock);
        (void) och_cond_wait_for(&engine->work_done, &engine->work_lock, 1);
        och_mutex_unlock(&engine->work_lock);
        och_mutex_lock(&engine->history.lock);
        has = engine->history.oldest != NULL;
        och_mutex_unlock(&engine->history.lock);
    }
}

/* The timer leaves a collection alone that does not work, looks after the others, and lets
 * go of the past where memory is short though nobody writes. */
static void
at_rest_what_is_broken_is_left_and_the_past_makes_way(void **state)
{
    (void) state;
    enum { BALLAST = 16 << 20 };
    struct ochre_error err;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct och_collection *collection = begin(1000, 100);
    och_collection_release(collection);
    och_collection_release(rig_create(&rig, "broken"));
    rig_close(&rig);
    check_ok(och_executor_open(&mem, 0, 1, &rig.executor, &err), &err);
    rig.options.idle_ms = 3;
    rig.options.idle_rows_min = 10;
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_collection(&rig, "things");
    struct och_collection *broken = rig_collection(&rig, "broken");
    rig_add(&rig, broken, 0, 5, 1); /* too little to be sealed; then it breaks, and has more */
    struct ochre_error why = {.status = OCHRE_CORRUPT, .message = "broken"};
    och_commit_enter(rig.engine->commit);
    och_collection_fail(broken, &why);
    rig.engine->options.idle_rows_min = 5;
    och_commit_leave(rig.engine->commit);
    add(collection, 0, 12);
    wait_for_past(true); /* of before it was sealed */
    wait_for_vouch();
    check(broken->view->head != NULL && broken->view->head->n_rows == 5);
    check(broken->view->n_frozen == 0 && broken->view->n_segments == 0);
    void *ballast = och_mem_take(&rig.mem, BALLAST);
    check(ballast != NULL);
    och_commit_enter(rig.engine->commit);
    rig.mem.limit = och_mem_used(&rig.mem) + BALLAST / 5;
    och_commit_leave(rig.engine->commit);
    wait_for_past(false);
    och_commit_enter(rig.engine->commit);
    rig.mem.limit = SIZE_MAX;
    och_commit_leave(rig.engine->commit);
    och_mem_release(&rig.mem, ballast, BALLAST);
    check_collection(&rig, collection, &model);
    och_collection_release(broken);
    och_collection_release(collection);
    rig_end(&rig);
    och_executor_close(rig.executor);
    check(och_mem_used(&mem) == 0);
}

/* Refuse the n-th allocation from now on, 0: none; the background reads it, too. */
static void
refuse_in_role(uint64_t n)
{
    och_commit_enter(rig.engine->commit);
    rig.mem.fail_at = n == 0 ? 0 : atomic_load(&rig.mem.n_grants) + n;
    och_commit_leave(rig.engine->commit);
}

/* Work that finds no memory to be handed over with is handed over with the next write. */
static void
work_that_cannot_be_handed_over_waits_for_the_next_write(void **state)
{
    (void) state;
    enum { N_ROUNDS = 120, EACH = 20 };
    struct ochre_error err;
    struct och_mem mem;
    unsigned n_left = 0;
    struct och_collection *collection = begin_background(&mem, 1, 1000);
    for (uint32_t round = 0; round < N_ROUNDS; round++) {
        uint32_t numbers[EACH];
        for (uint32_t i = 0; i < EACH; i++)
            numbers[i] = round * EACH + i;
        struct rig_write write = {
                .op = OCH_WRITE_ADD, .numbers = numbers, .n = EACH, .tag = 1, .columns = RIG_ALL};
        refuse_in_role(1 + round);
        ochre_status status = rig_write(&rig, collection, &write, &err);
        och_maintain_drain(rig.engine);
        refuse_in_role(0);
        check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        if (status == OCHRE_OK)
            model_write(&model, &write);
        n_left += collection->view->n_frozen > 0;
        add(collection, 5000 + round, 1);
        och_maintain_drain(rig.engine);
        check(collection->view->n_frozen == 0);
    }
    check(n_left > 0);
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    end_background(&mem);
}

static void
keep_busy(struct och_task *task)
{
    (void) task;
    stand_at_door();
}

/* Whichever allocation is refused until a merge is handed over, the next one who asks has it.
 * The only worker is busy until then, so that nothing runs beside it. */
static void
a_merge_that_cannot_be_handed_over_can_be_asked_for_again(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_mem mem;
    bool done = false;
    unsigned n_left = 0;
    for (uint64_t n = 1; !done; n++) {
        struct och_task busy = {.run = keep_busy};
        struct och_collection *collection = begin_background(&mem, 1, 1000);
        for (uint32_t i = 0; i < 3; i++) {
            add(collection, i * 20, 20);
            och_maintain_drain(rig.engine);
        }
        add(collection, 60, 10);
        rig.engine->options.merge.fan_in = 4;
        och_executor_submit_background(rig.executor, &busy);
        wait_at_door();
        refuse_in_role(n);
        ochre_status status = och_engine_seal_all(rig.engine, &err);
        check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        done = atomic_load(&rig.mem.n_grants) < rig.mem.fail_at;
        refuse_in_role(0);
        och_mutex_lock(&rig.engine->work_lock);
        n_left += status == OCHRE_OK && rig.engine->n_merges == 0;
        och_mutex_unlock(&rig.engine->work_lock);
        open_door();
        och_maintain_drain(rig.engine);
        add(collection, 100, 10);
        check_ok(och_engine_seal_all(rig.engine, &err), &err);
        wait_for_rest(collection, 2);
        check_collection(&rig, collection, &model);
        och_collection_release(collection);
        end_background(&mem);
        check(n < 1000);
    }
    check(n_left > 0);
}

/* A segment of its own pages, one of which in the table of ids is damaged. */
static void
damage_the_id_table(struct och_collection *collection)
{
    char path[OCH_PATH_SIZE_MAX];
    const struct och_segment *segment = collection->view->segments[0];
    const struct och_section *section = &segment->sections[OCH_SECTION_ID_TABLE];
    uint64_t page = (section->offset + OCH_PAGE_SIZE - 1) / OCH_PAGE_SIZE * OCH_PAGE_SIZE;
    check(page + OCH_PAGE_SIZE <= section->offset + section->size);
    och_segment_path(path, sizeof(path), collection->id, segment->id);
    check(sim_disk_flip(rig.disk, path, page + 77, 2));
}

/* Nobody asks for it: who reads finds the damage, answers from the rows, and has
 * the segment written anew. */
static void
what_is_derived_is_made_anew_when_it_is_damaged(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_mem mem;
    struct och_collection *collection = begin(5000, 100);
    add(collection, 0, 5000);
    check(collection->view->n_segments == 1);
    uint64_t old = collection->view->segments[0]->id;
    och_collection_release(collection);
    rig_close(&rig);
    och_mem_init(&mem, NULL);
    check_ok(och_executor_open(&mem, 0, 1, &rig.executor, &err), &err);
    rig.options.idle_ms = 1;
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_collection(&rig, "things");
    damage_the_id_table(collection);
    /* One write looks for all ids, in every page of the table. */
    write(collection, OCH_WRITE_UPDATE, 0, 5000, 1, 3, RIG_DOCUMENT);
    struct och_result *result = rig_get_all(&rig, collection);
    check_result(result, &model);
    och_result_release(result);
    bool done = false;
    while (!done) {
        och_mutex_lock(&collection->lock);
        const struct och_view *view = collection->view;
        done = view->n_frozen == 0;
        for (uint32_t i = 0; i < view->n_segments; i++)
            done = done && view->segments[i]->id != old;
        och_mutex_unlock(&collection->lock);
        och_mutex_lock(&rig.engine->work_lock);
        if (!done)
            (void) och_cond_wait_for(&rig.engine->work_done, &rig.engine->work_lock, 10);
        och_mutex_unlock(&rig.engine->work_lock);
    }
    och_collection_release(collection);
    rig_close(&rig);
    och_executor_close(rig.executor);
    rig.executor = NULL;
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_collection(&rig, "things");
    for (uint32_t i = 0; i < collection->view->n_segments; i++)
        check_ok(och_segment_verify(collection->view->segments[i], &err), &err);
    check_collection(&rig, collection, &model);
    end(collection);
    check(och_mem_used(&mem) == 0);
}

/* --- histories ---------------------------------------------------------------------------------- */

static uint64_t seed;

static void
write_at_random(struct och_collection *collection)
{
    static const enum och_write_op ops[] = {OCH_WRITE_ADD, OCH_WRITE_ADD, OCH_WRITE_UPDATE,
            OCH_WRITE_UPSERT, OCH_WRITE_DELETE, OCH_WRITE_DELETE};
    enum och_write_op op = ops[och_random_below(&seed, 6)];
    unsigned columns = RIG_ALL;
    if (op == OCH_WRITE_UPDATE)
        columns = 1 + (unsigned) och_random_below(&seed, RIG_ALL);
    write(collection, op, (uint32_t) och_random_below(&seed, 150),
            1 + (uint32_t) och_random_below(&seed, 30), 1 + (uint32_t) och_random_below(&seed, 4),
            1 + (uint32_t) och_random_below(&seed, 9), columns);
}

static void
live_on(void)
{
    struct ochre_error err;
    for (uint64_t i = och_random_below(&seed, 6); i > 0; i--) {
        write_at_random(between.merging);
        if (och_random_below(&seed, 3) == 0)
            check_ok(och_engine_seal_all(rig.engine, &err), &err);
    }
}

static void
random_histories_agree_with_the_model(void **state)
{
    (void) state;
    for (uint64_t history = 1; history <= 60; history++) {
        struct ochre_error err;
        seed = history;
        struct och_collection *collection = begin(8 + (uint32_t) och_random_below(&seed, 40),
                2 + (uint32_t) och_random_below(&seed, 5));
        rig.options.merge.dead_percent = 10 + (uint32_t) och_random_below(&seed, 91);
        rig.options.merge.rows_max = 40 + (uint32_t) och_random_below(&seed, 300);
        collection = reopen(collection);
        for (int step = 0; step < 40; step++) {
            uint64_t chance = och_random_below(&seed, 12);
            if (chance < 8) {
                write_at_random(collection);
            } else if (chance == 8) {
                check_ok(och_engine_seal_all(rig.engine, &err), &err);
            } else if (chance == 9) {
                collection = reopen(collection);
            } else if (chance == 10) {
                sim_disk_recover(
                        rig.disk, (enum sim_mode) och_random_below(&seed, SIM_N_MODES), seed);
                collection = reopen(collection);
            } else {
                between.merging = collection;
                between.meanwhile = live_on;
                compact(collection);
                between.meanwhile = NULL;
            }
            check_collection(&rig, collection, &model);
        }
        compact(collection);
        for (uint32_t i = 0; i < collection->view->n_segments; i++)
            check(!och_segment_has_dead(collection->view->segments[i]));
        collection = reopen(collection);
        check(count_files(collection) == collection->view->n_segments);
        end(collection);
    }
}

/* --- seals in doubt ------------------------------------------------------------------------ */

/* A seal was listed, but nobody could tell; the next try fails as well, in any way. */
static void
a_seal_in_doubt_is_settled_by_the_next_try_even_if_that_fails(void **state)
{
    (void) state;
    bool has_failed = true;
    for (uint64_t n = 1; has_failed; n++) {
        for (int kind = 0; kind < 3; kind++) {
            struct ochre_error err;
            struct och_collection *collection = begin(1000, 100);
            add(collection, 0, 20);
            check_ok(och_engine_seal_all(rig.engine, &err), &err);
            add(collection, 100, 30);
            write(collection, OCH_WRITE_DELETE, 3, 5, 1, 0, 0);
            between.state_set = OCHRE_IO;
            between.does_set = true;
            between.n_blind = 1;
            check(och_engine_seal_all(rig.engine, &err) == OCHRE_IO);
            check_collection(&rig, collection, &model);
            if (kind == 0)
                rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + n;
            else
                sim_disk_fail(rig.disk, n, kind == 1 ? SIM_IO_ONCE : SIM_FULL_ONCE);
            ochre_status second = och_engine_seal_all(rig.engine, &err);
            (void) second;
            if (kind == 0)
                has_failed = atomic_load(&rig.mem.n_grants) >= rig.mem.fail_at;
            has_failed = has_failed || sim_disk_has_failed(rig.disk);
            rig.mem.fail_at = 0;
            sim_disk_fail(rig.disk, UINT64_MAX, SIM_IO_ONCE);
            check_collection(&rig, collection, &model);
            add(collection, 200, 1);
            check_ok(och_engine_seal_all(rig.engine, &err), &err);
            check_collection(&rig, collection, &model);
            collection = reopen(collection);
            check_collection(&rig, collection, &model);
            check(count_files(collection) == count_listed(collection));
            end(collection);
        }
    }
}

static ochre_status
drop_and_fail(struct och_catalog *catalog, struct och_uuid id, struct ochre_error *err)
{
    ochre_status status = between.catalog.collection_delete(catalog, id, err);
    return status == OCHRE_OK ? OCHRE_IO : status;
}

static void
what_was_dropped_though_that_failed_is_forgotten(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(1000, 100);
    const struct och_uuid id = collection->id;
    add(collection, 0, 20);
    rig.catalog_ops.collection_delete = drop_and_fail;
    check(och_engine_drop(rig.engine, id, &err) == OCHRE_IO);
    rig.catalog_ops.collection_delete = between.catalog.collection_delete;
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    check(och_engine_loaded(rig.engine, id) == NULL);
    check(och_collection_usable(collection, &err) == OCHRE_NOT_FOUND);
    check(count_files(collection) == 0);
    end(collection);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(enough_segments_of_a_kind_become_one),
            cmocka_unit_test(a_segment_with_many_dead_rows_is_written_anew),
            cmocka_unit_test(compacting_seals_and_leaves_one_segment_without_dead_rows),
            cmocka_unit_test(a_segment_that_gets_no_graph_is_rewritten_once),
            cmocka_unit_test(no_segment_gets_more_rows_than_it_may),
            cmocka_unit_test(a_collection_of_nothing_is_compacted_to_nothing),
            cmocka_unit_test(deaths_during_a_merge_are_carried_over),
            cmocka_unit_test(deaths_during_a_merge_are_carried_over_or_it_changes_nothing),
            cmocka_unit_test(a_head_that_is_half_sealed_comes_before_a_merge),
            cmocka_unit_test(a_collection_dropped_while_it_is_merged_leaves_nothing),
            cmocka_unit_test(a_merge_that_fails_anywhere_is_tried_again),
            cmocka_unit_test(while_the_disk_fails_a_merge_changes_nothing),
            cmocka_unit_test(any_allocation_of_a_merge_may_be_refused),
            cmocka_unit_test(without_memory_for_its_lists_a_merge_is_tried_again),
            cmocka_unit_test(a_merge_that_cannot_ask_for_the_list_is_tried_again),
            cmocka_unit_test(a_listing_in_doubt_is_settled),
            cmocka_unit_test(a_damaged_segment_is_left_alone_and_the_others_are_merged),
            cmocka_unit_test(a_merge_does_not_fill_the_disk),
            cmocka_unit_test(a_failed_merge_holds_off_for_a_while),
            cmocka_unit_test(writes_reads_and_seals_go_on_while_segments_are_merged),
            cmocka_unit_test(writers_seal_for_themselves_when_the_background_is_busy),
            cmocka_unit_test(closing_does_not_wait_for_a_merge_to_end),
            cmocka_unit_test(a_collection_at_rest_is_tidied_up),
            cmocka_unit_test(at_rest_what_is_broken_is_left_and_the_past_makes_way),
            cmocka_unit_test(work_that_cannot_be_handed_over_waits_for_the_next_write),
            cmocka_unit_test(a_merge_that_cannot_be_handed_over_can_be_asked_for_again),
            cmocka_unit_test(what_is_derived_is_made_anew_when_it_is_damaged),
            cmocka_unit_test(random_histories_agree_with_the_model),
            cmocka_unit_test(a_seal_in_doubt_is_settled_by_the_next_try_even_if_that_fails),
            cmocka_unit_test(what_was_dropped_though_that_failed_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
