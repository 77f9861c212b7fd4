#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/limits.h"
#include "engine/collection.h"
#include "engine/recover.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"
#include "support/check.h"
#include "unit/engine/rig.h"
#include "unit/index/random_metadata.h"

static struct rig rig;
static struct rig_model model, other_model;

/* Two collections with the same ten records. */
static void
begin(uint32_t head_rows)
{
    struct ochre_error err;
    static const uint32_t numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct rig_write write = {
            .op = OCH_WRITE_ADD, .numbers = numbers, .n = 10, .tag = 1, .columns = RIG_ALL};
    memset(&model, 0, sizeof(model));
    memset(&other_model, 0, sizeof(other_model));
    rig_begin(&rig);
    rig.options.head_rows_max = head_rows;
    check_ok(rig_open(&rig, &err), &err);
    struct och_collection *collection = rig_create(&rig, "things");
    struct och_collection *other = rig_create(&rig, "others");
    rig_add(&rig, collection, 0, 10, 1);
    rig_add(&rig, other, 0, 10, 1);
    model_write(&model, &write);
    model_write(&other_model, &write);
    och_collection_release(collection);
    och_collection_release(other);
}

static void
check_named(const char *name, const struct rig_model *wanted)
{
    struct och_collection *collection = rig_collection(&rig, name);
    check_collection(&rig, collection, wanted);
    och_collection_release(collection);
}

static ochre_status
try_named(const char *name, struct ochre_error *err)
{
    struct och_collection *collection = rig_collection(&rig, name);
    ochre_status status = rig_try(&rig, collection, err);
    och_collection_release(collection);
    return status;
}

static ochre_status
add_to(const char *name, uint32_t number, uint32_t tag, struct rig_model *to,
        struct ochre_error *err)
{
    struct och_collection *collection = rig_collection(&rig, name);
    struct rig_write write = {
            .op = OCH_WRITE_UPSERT, .numbers = &number, .n = 1, .tag = tag, .columns = RIG_ALL};
    ochre_status status = rig_write(&rig, collection, &write, err);
    if (status == OCHRE_OK)
        model_write(to, &write);
    och_collection_release(collection);
    return status;
}

static ochre_status
ignore_record(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    (void) context;
    (void) record;
    (void) damaged;
    (void) err;
    return OCHRE_OK;
}

/* Find bytes in a file. */
static bool
find_in_file(const char *path, const char *bytes, size_t size, uint64_t *offset_out)
{
    struct och_file *file;
    struct ochre_error err;
    uint64_t file_size;
    check_ok(och_vfs_open(sim_disk_vfs(rig.disk), path, OCH_OPEN_READ, &file, &err), &err);
    check_ok(och_file_size(file, &file_size, &err), &err);
    char *contents = och_mem_take(&rig.own, file_size);
    check(contents != NULL);
    check_ok(och_file_read_all(file, 0, contents, file_size, &err), &err);
    och_file_close(file);
    bool found = false;
    for (uint64_t at = 0; !found && at + size <= file_size; at++) {
        found = memcmp(contents + at, bytes, size) == 0;
        *offset_out = at;
    }
    och_mem_release(&rig.own, contents, file_size);
    return found;
}

static const char log_path[] = "log/0000000000000001.log";

static void
a_damaged_payload_spoils_its_collection_alone(void **state)
{
    (void) state;
    struct ochre_error err;
    begin(0);
    check_ok(add_to("things", 100, 7777, &model, &err), &err);
    check_ok(add_to("others", 100, 8, &other_model, &err), &err);
    rig_close(&rig);
    uint64_t at = 0;
    check(find_in_file(log_path, "d7777", 5, &at));
    check(sim_disk_flip(rig.disk, log_path, at, 0));
    check_ok(rig_open(&rig, &err), &err);
    check(try_named("things", &err) == OCHRE_CORRUPT);
    check(strstr(err.message, "checksum") != NULL);
    check(add_to("things", 101, 9, &model, &err) == OCHRE_CORRUPT);
    check_named("others", &other_model);
    check_ok(add_to("others", 101, 9, &other_model, &err), &err);
    check_ok(och_engine_seal_all(rig.engine, &err), &err); /* passes the damaged one over */
    /* Nothing forgot the log: mended, it gives everything back. */
    rig_close(&rig);
    check(sim_disk_flip(rig.disk, log_path, at, 0));
    check_ok(rig_open(&rig, &err), &err);
    check_named("things", &model);
    check_named("others", &other_model);
    rig_end(&rig);
}

static void
a_damaged_segment_spoils_its_collection_alone(void **state)
{
    (void) state;
    struct ochre_error err;
    char path[OCH_PATH_SIZE_MAX];
    char id[OCH_UUID_TEXT_SIZE + 1];
    begin(10); /* the ten records are one segment */
    struct och_collection *collection = rig_collection(&rig, "things");
    och_uuid_put(collection->id, id);
    (void) snprintf(path, sizeof(path), OCH_DIR_SEGMENTS "/%s/%016llx.seg", id,
            (unsigned long long) collection->view->segments[0]->id);
    uint64_t size = collection->view->segments[0]->file_size;
    och_collection_release(collection);
    check_ok(add_to("things", 100, 7, &model, &err), &err);
    rig_close(&rig);
    check(sim_disk_flip(rig.disk, path, size - 60, 0));
    check_ok(rig_open(&rig, &err), &err);
    check(try_named("things", &err) == OCHRE_CORRUPT);
    check(strstr(err.message, path) != NULL);
    check_named("others", &other_model);
    /* Its log records cannot go; sealing for the log's sake turns to others. */
    rig.engine->options.log_size_seal = 1;
    check_ok(add_to("others", 100, 8, &other_model, &err), &err);
    check_ok(add_to("others", 101, 8, &other_model, &err), &err);
    check_named("others", &other_model);
    rig.engine->options.log_size_seal = UINT64_MAX;
    rig_close(&rig);
    check(sim_disk_flip(rig.disk, path, size - 60, 0));
    check_ok(rig_open(&rig, &err), &err);
    check_named("things", &model);
    check_named("others", &other_model);
    rig_end(&rig);
}

/* A record that changes a row on a damaged page cannot be applied. */
static void
an_update_of_a_damaged_row_waits_in_the_log(void **state)
{
    (void) state;
    struct ochre_error err;
    char path[OCH_PATH_SIZE_MAX];
    char id[OCH_UUID_TEXT_SIZE + 1];
    begin(10);
    struct och_collection *collection = rig_collection(&rig, "things");
    och_uuid_put(collection->id, id);
    const struct och_segment *segment = collection->view->segments[0];
    (void) snprintf(path, sizeof(path), OCH_DIR_SEGMENTS "/%s/%016llx.seg", id,
            (unsigned long long) segment->id);
    uint64_t at = segment->sections[OCH_SECTION_ROWS].offset;
    och_collection_release(collection);
    check_ok(add_to("things", 3, 7, &model, &err), &err);
    rig_close(&rig);
    check(sim_disk_flip(rig.disk, path, at, 0));
    check_ok(rig_open(&rig, &err), &err);
    check(try_named("things", &err) == OCHRE_CORRUPT);
    check_named("others", &other_model);
    rig_close(&rig);
    check(sim_disk_flip(rig.disk, path, at, 0));
    check_ok(rig_open(&rig, &err), &err);
    check_named("things", &model);
    rig_end(&rig);
}

/* Live, the same is an answer to whoever asked, and changes nothing. */
static void
a_live_update_of_a_damaged_row_is_refused(void **state)
{
    (void) state;
    struct ochre_error err;
    char path[OCH_PATH_SIZE_MAX];
    char id[OCH_UUID_TEXT_SIZE + 1];
    begin(10);
    struct och_collection *collection = rig_collection(&rig, "things");
    och_uuid_put(collection->id, id);
    const struct och_segment *segment = collection->view->segments[0];
    (void) snprintf(path, sizeof(path), OCH_DIR_SEGMENTS "/%s/%016llx.seg", id,
            (unsigned long long) segment->id);
    uint64_t at = segment->sections[OCH_SECTION_ROWS].offset;
    och_collection_release(collection);
    rig_close(&rig);
    check(sim_disk_flip(rig.disk, path, at, 0));
    check_ok(rig_open(&rig, &err), &err);
    check(add_to("things", 3, 7, &model, &err) == OCHRE_CORRUPT);
    check(sim_disk_flip(rig.disk, path, at, 0));
    check_ok(add_to("things", 3, 7, &model, &err), &err);
    check_named("things", &model);
    rig_end(&rig);
}

/* Append a write of one record to the log, at this position of its collection. */
static void
forge_record(uint32_t number, uint64_t position)
{
    struct ochre_error err;
    struct och_record_log *log;
    struct och_buf payload;
    static const uint32_t numbers[] = {500};
    struct rig_write write = {
            .op = OCH_WRITE_UPSERT, .numbers = numbers, .n = 1, .tag = 9, .columns = RIG_ALL};
    och_buf_init(&payload, &rig.own, SIZE_MAX / 2);
    rig_encode(&payload, &write);
    struct och_log_record record = {.position = position,
            .collection = number,
            .type = OCH_RECORD_WRITE,
            .payload = {payload.data, payload.size},
            .payload_crc = och_crc32c(0, payload.data, payload.size)};
    check_ok(rig.log_source.open(rig.log_source.context, 0, false, ignore_record, NULL, &log, &err),
            &err);
    check_ok(log->ops->append(log, &record, 1, &err), &err);
    log->ops->close(log);
    och_buf_clear(&payload);
}

/* A record between two that is not there would be as if it had never been written. */
static void
a_record_out_of_its_order_spoils_its_collection_alone(void **state)
{
    (void) state;
    struct ochre_error err;
    begin(0);
    struct och_collection *collection = rig_collection(&rig, "things");
    uint64_t next = collection->published.position + 1;
    uint32_t number = collection->number;
    och_collection_release(collection);
    rig_close(&rig);
    forge_record(number, next + 1);
    check_ok(rig_open(&rig, &err), &err);
    check(try_named("things", &err) == OCHRE_CORRUPT);
    check(strstr(err.message, "has position 3; 2 is next") != NULL);
    check_named("others", &other_model);
    rig_end(&rig);
}

/* A sound file of the right name, from another life of the database. */
static void
a_segment_of_another_time_is_not_the_one_listed(void **state)
{
    (void) state;
    struct ochre_error err;
    char path[OCH_PATH_SIZE_MAX];
    char id[OCH_UUID_TEXT_SIZE + 1];
    begin(0);
    rig_close(&rig);
    struct sim_disk *other = sim_disk_clone(rig.disk);
    struct och_file *to;
    struct och_file *from;
    uint64_t size;
    for (uint32_t life = 0; life < 2; life++) {
        struct sim_disk *own = rig.disk;
        rig.disk = life == 0 ? other : own;
        check_ok(rig_open(&rig, &err), &err);
        check_ok(add_to("things", 100, 7 + life, life == 0 ? &other_model : &model, &err), &err);
        check_ok(och_engine_seal_all(rig.engine, &err), &err);
        struct och_collection *collection = rig_collection(&rig, "things");
        och_uuid_put(collection->id, id);
        (void) snprintf(path, sizeof(path), OCH_DIR_SEGMENTS "/%s/%016llx.seg", id,
                (unsigned long long) collection->view->segments[0]->id);
        och_collection_release(collection);
        rig_close(&rig);
        rig.disk = own;
    }
    check_ok(och_vfs_open(sim_disk_vfs(other), path, OCH_OPEN_READ, &from, &err), &err);
    check_ok(och_vfs_open(sim_disk_vfs(rig.disk), path, OCH_OPEN_WRITE, &to, &err), &err);
    check_ok(och_file_size(from, &size, &err), &err);
    char *bytes = och_mem_take(&rig.own, size);
    check(bytes != NULL);
    check_ok(och_file_read_all(from, 0, bytes, size, &err), &err);
    check_ok(och_file_truncate(to, 0, &err), &err);
    check_ok(och_file_write(to, 0, bytes, size, &err), &err);
    och_mem_release(&rig.own, bytes, size);
    och_file_close(from);
    och_file_close(to);
    sim_disk_close(other);
    check_ok(rig_open(&rig, &err), &err);
    check(try_named("things", &err) == OCHRE_CORRUPT);
    check(strstr(err.message, "is not the one the catalog lists") != NULL);
    rig_end(&rig);
}

static void
a_catalog_older_than_the_log_knows_is_refused(void **state)
{
    (void) state;
    struct ochre_error err;
    begin(10);
    rig_close(&rig);
    struct sim_disk *old = sim_disk_clone(rig.disk);
    check_ok(rig_open(&rig, &err), &err);
    struct och_collection *collection = rig_collection(&rig, "others");
    check_ok(och_engine_drop(rig.engine, collection->id, &err), &err); /* noted in the log */
    och_collection_release(collection);
    rig_close(&rig);
    /* Put the old catalog in place of the new one. */
    struct och_file *from;
    struct och_file *to;
    uint64_t size;
    check_ok(och_vfs_open(sim_disk_vfs(old), "catalog.db", OCH_OPEN_READ, &from, &err), &err);
    check_ok(och_vfs_open(sim_disk_vfs(rig.disk), "catalog.db", OCH_OPEN_WRITE, &to, &err), &err);
    check_ok(och_file_size(from, &size, &err), &err);
    char *bytes = och_mem_take(&rig.own, size);
    check(bytes != NULL);
    check_ok(och_file_read_all(from, 0, bytes, size, &err), &err);
    check_ok(och_file_truncate(to, 0, &err), &err);
    check_ok(och_file_write(to, 0, bytes, size, &err), &err);
    och_mem_release(&rig.own, bytes, size);
    och_file_close(from);
    och_file_close(to);
    sim_disk_close(old);
    /* Its copy would bring it forward. */
    check_ok(och_vfs_remove(sim_disk_vfs(rig.disk), "catalog.copy", &err), &err);
    check(rig_open(&rig, &err) == OCHRE_CORRUPT);
    check(strstr(err.message, "older") != NULL);
    rig_end(&rig);
}

static void
a_log_that_ends_before_the_catalog_is_refused(void **state)
{
    (void) state;
    struct ochre_error err;
    begin(10);
    rig_close(&rig);
    check_ok(och_vfs_remove(sim_disk_vfs(rig.disk), log_path, &err), &err);
    check_ok(och_vfs_remove(sim_disk_vfs(rig.disk), "REACH", &err), &err);
    ochre_status status = rig_open(&rig, &err);
    check(status == OCHRE_CORRUPT);
    rig_end(&rig);
}

/* What is beside the log says that these two have nothing in it that is not in segments. */
static void
without_a_log_collections_at_rest_answer(void **state)
{
    (void) state;
    struct ochre_error err;
    begin(10);
    rig_close(&rig);
    check_ok(och_vfs_remove(sim_disk_vfs(rig.disk), log_path, &err), &err);
    rig_reopen(&rig);
    check_named("things", &model);
    check_ok(add_to("others", 11, 3, &other_model, &err), &err);
    rig_reopen(&rig);
    check_named("things", &model);
    check_named("others", &other_model);
    rig_end(&rig);
}

static void
cut_log_before(const char *bytes)
{
    struct ochre_error err;
    struct och_file *file = NULL;
    uint64_t at = 0;
    check(find_in_file(log_path, bytes, strlen(bytes), &at));
    check_ok(och_vfs_open(sim_disk_vfs(rig.disk), log_path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_truncate(file, at, &err), &err);
    check_ok(och_file_sync(file, &err), &err);
    och_file_close(file);
}

/* Where nothing says what reaches how far. */
static ochre_status
open_twin_without_reach(void)
{
    static struct rig twin;
    struct ochre_error err;
    memset(&twin, 0, sizeof(twin));
    och_mem_init(&twin.own, NULL);
    och_mem_init(&twin.mem, NULL);
    sim_machine_init(&twin.machine, 3);
    twin.disk = sim_disk_clone(rig.disk);
    check_ok(och_vfs_remove(sim_disk_vfs(twin.disk), "REACH", &err), &err);
    ochre_status status = rig_open(&twin, &err);
    rig_close(&twin);
    sim_disk_close(twin.disk);
    return status;
}

/* Cut, the log fails those that wrote behind the cut; until they are dropped. */
static void
a_cut_log_fails_those_that_miss_records(void **state)
{
    (void) state;
    struct ochre_error err;
    begin(0);
    check_ok(add_to("things", 100, 7777, &model, &err), &err);
    rig_close(&rig);
    cut_log_before("d7777");
    for (int i = 0; i < 3; i++) {
        check_ok(rig_open(&rig, &err), &err);
        check(try_named("things", &err) == OCHRE_CORRUPT);
        check(strstr(err.message, "may be missing") != NULL &&
                strstr(err.message, log_path) != NULL);
        check(add_to("things", 101, 9, &model, &err) == OCHRE_CORRUPT);
        check_named("others", &other_model);
        check_ok(add_to("others", 101 + (uint32_t) i, 9, &other_model, &err), &err);
        check_ok(och_engine_seal_all(rig.engine, &err), &err); /* passes the damaged one over */
        rig_close(&rig);
        check(open_twin_without_reach() == OCHRE_CORRUPT); /* what is missing stays missing */
    }
    check_ok(rig_open(&rig, &err), &err);
    struct och_collection *collection = rig_collection(&rig, "things");
    check_ok(och_engine_drop(rig.engine, collection->id, &err), &err);
    och_collection_release(collection);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    /* Nothing needs the damaged file any more. */
    bool there = true;
    check_ok(och_vfs_exists(sim_disk_vfs(rig.disk), log_path, &there, &err), &err);
    check(!there);
    rig_reopen(&rig); /* which still knows that somebody lacked something */
    rig_reopen(&rig);
    check(!rig.engine->log->ops->has_holes(rig.engine->log));
    check_named("others", &other_model);
    rig_end(&rig);
}

/* Where nothing says how far the log went, LSNs go on with a gap: what is missing can be seen
 * by openings that know of no table, and by a repair. */
static void
a_hole_stays_a_hole(void **state)
{
    (void) state;
    struct ochre_error err;
    begin(0);
    check_ok(add_to("things", 100, 7777, &model, &err), &err);
    sim_disk_crash(rig.disk, 1, SIM_BEFORE); /* killed: all are marked */
    rig_close(&rig);
    sim_disk_recover(rig.disk, SIM_ALL_KEPT, 1);
    cut_log_before("d7777");
    check_ok(rig_open(&rig, &err), &err);
    check(try_named("things", &err) == OCHRE_CORRUPT);
    check(try_named("others", &err) == OCHRE_CORRUPT);
    rig_close(&rig);
    check(open_twin_without_reach() == OCHRE_CORRUPT);
    rig_end(&rig);
}

/* With a call that fails, or an allocation, it opens or does not; and then it opens, and the
 * same collection misses something.  False: there was nothing left to fail. */
static bool
open_cut_with_failure(const struct sim_disk *cut, uint64_t n, bool memory, unsigned *n_in_doubt)
{
    struct ochre_error err;
    rig.disk = sim_disk_clone(cut);
    if (memory)
        rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + n;
    else
        sim_disk_fail(rig.disk, n, SIM_IO_ONCE);
    ochre_status status = rig_open(&rig, &err);
    bool has_failed = memory ? atomic_load(&rig.mem.n_grants) >= rig.mem.fail_at
                             : sim_disk_has_failed(rig.disk);
    rig.mem.fail_at = 0;
    sim_disk_fail(rig.disk, UINT64_MAX, SIM_IO_ONCE);
    check(status == OCHRE_OK || status == (memory ? OCHRE_NO_MEMORY : OCHRE_IO));
    if (status != OCHRE_OK)
        check_ok(rig_open(&rig, &err), &err);
    check(try_named("things", &err) == OCHRE_CORRUPT);
    check_named("others", &other_model);
    rig_close(&rig);
    check_ok(rig_open(&rig, &err), &err);
    check(try_named("things", &err) == OCHRE_CORRUPT);
    /* Where the table could not be written, a number of the log's files may be left out, and then
     * what comes before the hole is in doubt. */
    ochre_status others = try_named("others", &err);
    check(others == OCHRE_OK || (others == OCHRE_CORRUPT && has_failed));
    if (others == OCHRE_OK)
        check_named("others", &other_model);
    *n_in_doubt += others != OCHRE_OK;
    rig_close(&rig);
    sim_disk_close(rig.disk);
    return has_failed;
}

static void
a_cut_log_is_read_whatever_fails(void **state)
{
    (void) state;
    struct ochre_error err;
    begin(0);
    check_ok(add_to("things", 100, 7777, &model, &err), &err);
    rig_close(&rig);
    cut_log_before("d7777");
    struct sim_disk *cut = rig.disk;
    unsigned n_in_doubt = 0;
    for (int memory = 0; memory < 2; memory++)
        for (uint64_t n = 1; open_cut_with_failure(cut, n, memory != 0, &n_in_doubt); n++)
            ;
    check(n_in_doubt <= 4); /* two writes, a sync and what is written */
    rig.disk = cut;
    rig_end(&rig);
}

static bool
lack_all(struct och_record_log *log, uint32_t collection, uint64_t lsn)
{
    (void) log;
    (void) collection;
    (void) lsn;
    return true;
}

/* Even if it shares its place in the table with one that misses records. */
static void
a_pin_misses_nothing_of_a_log(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_arena arena;
    struct och_collection *pin = NULL;
    struct och_collection_row row = {.id = {.bytes = {0xf0}},
            .tenant = {"", 0},
            .database = {"pins", 4},
            .name = {"pin", 3}};
    begin(0);
    struct och_collection *collection = rig_collection(&rig, "things");
    check_ok(rig_fork(&rig, collection, &row, &err), &err);
    och_collection_release(collection);
    check_ok(add_to("things", 100, 7777, &model, &err), &err);
    rig_close(&rig);
    cut_log_before("d7777");
    rig.log_ops.lacks = lack_all;
    check_ok(rig_open(&rig, &err), &err);
    check(try_named("things", &err) == OCHRE_CORRUPT);
    check(try_named("others", &err) == OCHRE_CORRUPT);
    och_arena_init(&arena, &rig.own);
    check_ok(rig.catalog->ops->collection_by_id(rig.catalog, &arena, row.id, &row, &err), &err);
    check_ok(och_engine_collection(rig.engine, &row, &pin, &err), &err);
    check_ok(och_collection_usable(pin, &err), &err);
    och_collection_release(pin);
    och_arena_clear(&arena);
    rig_end(&rig);
}

/* What a killed process leaves, its log cut; what opening that comes to. */
static ochre_status
open_cut_twin(ochre_status *things_out)
{
    static struct rig twin;
    struct ochre_error err;
    struct och_file *file = NULL;
    memset(&twin, 0, sizeof(twin));
    och_mem_init(&twin.own, NULL);
    och_mem_init(&twin.mem, NULL);
    sim_machine_init(&twin.machine, 3);
    twin.disk = sim_disk_clone(rig.disk);
    check_ok(och_vfs_open(sim_disk_vfs(twin.disk), log_path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_truncate(file, 4120, &err), &err);
    och_file_close(file);
    ochre_status status = rig_open(&twin, &err);
    *things_out = status;
    if (status == OCHRE_OK) {
        struct och_collection *things = rig_collection(&twin, "things");
        *things_out = rig_try(&twin, things, &err);
        och_collection_release(things);
    }
    rig_close(&twin);
    sim_disk_close(twin.disk);
    return status;
}

/* A table that cannot be written is given up: the log goes on in a file that says so, which
 * makes the old one worth nothing, and another one is begun later. */
static void
a_table_that_cannot_be_written_costs_no_write(void **state)
{
    (void) state;
    ochre_status things = OCHRE_OK;
    begin(0);
    rig_reopen(&rig);
    struct och_collection *collection = rig_collection(&rig, "things");
    check(open_cut_twin(&things) == OCHRE_OK && things == OCHRE_CORRUPT);
    sim_disk_fail(rig.disk, 1, SIM_IO_ONCE);
    rig_add(&rig, collection, 100, 1, 7);
    check(sim_disk_has_failed(rig.disk));
    check(open_cut_twin(&things) == OCHRE_CORRUPT);
    check(!rig.engine->log->ops->rest(rig.engine->log, false));
    check(open_cut_twin(&things) == OCHRE_OK && things == OCHRE_CORRUPT);
    /* The same when it was noting who rests. */
    rig_add(&rig, collection, 101, 1, 7);
    (void) rig.engine->log->ops->rest(rig.engine->log, false);
    sim_disk_fail(rig.disk, 1, SIM_IO_ONCE);
    check(!rig.engine->log->ops->rest(rig.engine->log, true));
    rig_add(&rig, collection, 102, 1, 7);
    check(open_cut_twin(&things) == OCHRE_CORRUPT);
    och_collection_release(collection);
    rig_end(&rig);
}

/* The same log applied twice gives the same state; so does a log longer than
 * one head. */
static void
recovery_gives_what_was_there_again_and_again(void **state)
{
    (void) state;
    struct ochre_error err;
    begin(0);
    for (uint32_t i = 0; i < 60; i++)
        check_ok(add_to("things", i % 25, 2 + i, &model, &err), &err);
    for (int i = 0; i < 3; i++) {
        rig_reopen(&rig);
        check_named("things", &model);
        check_named("others", &other_model);
    }
    rig.options.head_rows_max = 8; /* now the log holds many heads' worth */
    rig_reopen(&rig);
    check_named("things", &model);
    struct och_collection *collection = rig_collection(&rig, "things");
    check(collection->view->n_segments > 3 && collection->view->n_frozen == 0);
    och_collection_release(collection);
    rig_reopen(&rig);
    check_named("things", &model);
    check_named("others", &other_model);
    rig_end(&rig);
}

static void
records_of_a_dropped_collection_are_passed_over(void **state)
{
    (void) state;
    struct ochre_error err;
    begin(0);
    struct och_collection *collection = rig_collection(&rig, "things");
    check_ok(och_engine_drop(rig.engine, collection->id, &err), &err);
    och_collection_release(collection);
    rig_reopen(&rig);
    check_named("others", &other_model);
    collection = rig_create(&rig, "things"); /* the same name is another collection */
    memset(&model, 0, sizeof(model));
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    rig_end(&rig);
}

static void
opening_may_fail_at_any_call_and_be_tried_again(void **state)
{
    (void) state;
    struct ochre_error err;
    begin(8);
    check_ok(add_to("things", 50, 3, &model, &err), &err);
    rig_close(&rig);
    bool failed = true;
    unsigned n_points = 0;
    for (uint64_t n = 1; failed; n++) {
        struct sim_disk *kept = rig.disk;
        rig.disk = sim_disk_clone(kept);
        sim_disk_fail(rig.disk, n, SIM_IO_ONCE);
        ochre_status status = rig_open(&rig, &err);
        failed = sim_disk_has_failed(rig.disk);
        check(status == OCHRE_OK || (failed && status == OCHRE_IO));
        sim_disk_fail(rig.disk, 0, SIM_IO_ONCE);
        rig_close(&rig);
        check_ok(rig_open(&rig, &err), &err);
        check_named("things", &model);
        check_named("others", &other_model);
        rig_close(&rig);
        sim_disk_close(rig.disk);
        rig.disk = kept;
        n_points += failed;
    }
    check(n_points > 10);
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_damaged_payload_spoils_its_collection_alone),
            cmocka_unit_test(a_damaged_segment_spoils_its_collection_alone),
            cmocka_unit_test(an_update_of_a_damaged_row_waits_in_the_log),
            cmocka_unit_test(a_live_update_of_a_damaged_row_is_refused),
            cmocka_unit_test(a_record_out_of_its_order_spoils_its_collection_alone),
            cmocka_unit_test(a_segment_of_another_time_is_not_the_one_listed),
            cmocka_unit_test(a_catalog_older_than_the_log_knows_is_refused),
            cmocka_unit_test(a_log_that_ends_before_the_catalog_is_refused),
            cmocka_unit_test(without_a_log_collections_at_rest_answer),
            cmocka_unit_test(a_cut_log_fails_those_that_miss_records),
            cmocka_unit_test(a_hole_stays_a_hole),
            cmocka_unit_test(a_cut_log_is_read_whatever_fails),
            cmocka_unit_test(a_pin_misses_nothing_of_a_log),
            cmocka_unit_test(a_table_that_cannot_be_written_costs_no_write),
            cmocka_unit_test(recovery_gives_what_was_there_again_and_again),
            cmocka_unit_test(records_of_a_dropped_collection_are_passed_over),
            cmocka_unit_test(opening_may_fail_at_any_call_and_be_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
