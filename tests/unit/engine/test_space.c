/* A full disk: what is refused, what goes on, and how it comes back. */
#include <string.h>

#include "base/limits.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "engine/maintain.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "support/check.h"
#include "unit/engine/rig.h"
#include "unit/index/random_metadata.h"

static struct rig rig;
static struct rig_model model;

enum { CAPACITY = 6 << 20, PAGE = 4096 };

static struct och_collection *
begin(uint32_t head_rows)
{
    struct ochre_error err;
    memset(&model, 0, sizeof(model));
    rig_begin(&rig);
    sim_disk_set_capacity(rig.disk, CAPACITY);
    rig.options.head_rows_max = head_rows;
    check_ok(rig_open(&rig, &err), &err);
    return rig_create(&rig, "things");
}

static void
end(struct och_collection *collection)
{
    och_collection_release(collection);
    rig_end(&rig);
}

/* Write n records; the model follows when that works. */
static ochre_status
write(struct och_collection *collection, enum och_write_op op, uint32_t first, uint32_t n,
        struct ochre_error *err)
{
    static uint32_t numbers[RIG_RECORDS_MAX];
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = first + i;
    struct rig_write write = {
            .op = op, .numbers = numbers, .n = n, .tag = 1 + first % 7, .columns = RIG_ALL};
    ochre_status status = rig_write(&rig, collection, &write, err);
    if (status == OCHRE_OK)
        model_write(&model, &write);
    return status;
}

/* Let the disk have no page left, and add until that is noticed. */
static uint32_t
fill(struct och_collection *collection, uint32_t first, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    sim_disk_set_capacity(rig.disk, sim_disk_used(rig.disk));
    while (status == OCHRE_OK) {
        check(first < RIG_RECORDS_MAX - 20);
        status = write(collection, OCH_WRITE_ADD, first, 20, err);
        first += status == OCHRE_OK ? 20 : 0;
    }
    check(status == OCHRE_FULL);
    return first;
}

static uint64_t
reserve_size(void)
{
    struct och_file *file;
    uint64_t size = 0;
    ochre_status status =
            och_vfs_open(sim_disk_vfs(rig.disk), "RESERVE", OCH_OPEN_READ, &file, NULL);
    if (status != OCHRE_OK)
        return 0;
    check(och_file_size(file, &size, NULL) == OCHRE_OK);
    och_file_close(file);
    return size;
}

static void
the_reserve_is_a_part_of_what_is_free(void **state)
{
    (void) state;
    struct ochre_error err;
    static const struct {
        uint64_t capacity, least, most;
    } cases[] = {
            {UINT64_MAX, OCH_RESERVE_SIZE_MAX, OCH_RESERVE_SIZE_MAX},
            {64 << 20, 3 << 20, 4 << 20},
            {1 << 20, OCH_RESERVE_SIZE_MIN, OCH_RESERVE_SIZE_MIN},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_begin(&rig);
        sim_disk_set_capacity(rig.disk, cases[i].capacity);
        check_ok(rig_open(&rig, &err), &err);
        uint64_t size = reserve_size();
        check(size >= cases[i].least && size <= cases[i].most);
        /* It is kept, and made anew rather than trusted. */
        rig_reopen(&rig);
        check(reserve_size() == size && !och_space_is_short(&rig.engine->space));
        rig_end(&rig);
    }
}

/* Who needs its room to open at all gives it up before anybody counts with it. */
static void
a_reserve_can_be_given_up_before_it_is_begun(void **state)
{
    (void) state;
    struct ochre_error err;
    rig_begin(&rig);
    struct och_vfs *vfs = sim_disk_vfs(rig.disk);
    check(!och_space_give_early(vfs)); /* there is none yet */
    check_ok(rig_open(&rig, &err), &err);
    uint64_t size = reserve_size();
    rig_close(&rig);
    uint64_t used = sim_disk_used(rig.disk);
    check(och_space_give_early(vfs));
    check(sim_disk_used(rig.disk) <= used - size);
    check(!och_space_give_early(vfs));
    check_ok(rig_open(&rig, &err), &err);
    check(reserve_size() == size);
    rig_end(&rig);
}

static void
a_full_disk_refuses_what_adds_and_takes_deletions(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t deleted;
    struct och_collection *collection = begin(100000);
    check_ok(write(collection, OCH_WRITE_ADD, 0, 200, &err), &err);
    uint32_t next = fill(collection, 200, &err);
    check(strstr(err.message, "full") != NULL && strstr(err.message, " free") != NULL);
    check_collection(&rig, collection, &model);
    check(!och_space_is_short(&rig.engine->space)); /* nothing that deletes has come yet */
    /* The log's last file may take some; the reserve takes the rest. */
    for (uint32_t i = 0; i < 60; i++)
        check_ok(write(collection, OCH_WRITE_DELETE, i, 1, &err), &err);
    check_ok(rig_delete_tag(&rig, collection, 1 + 200 % 7, 3, &deleted, &err), &err);
    check(deleted == model_delete_tag(&model, 1 + 200 % 7, 3));
    check(och_space_is_short(&rig.engine->space) && reserve_size() == 0);
    check_collection(&rig, collection, &model);
    /* Refused at once: one question to the file system. */
    uint64_t before = sim_disk_n_calls(rig.disk);
    check(write(collection, OCH_WRITE_ADD, next, 1, &err) == OCHRE_FULL);
    check(write(collection, OCH_WRITE_UPSERT, 0, 1, &err) == OCHRE_FULL);
    check(write(collection, OCH_WRITE_UPDATE, 100, 1, &err) == OCHRE_FULL);
    check(sim_disk_n_calls(rig.disk) - before == 3);
    check(strstr(err.message, " bytes are free") != NULL);
    check_collection(&rig, collection, &model);
    /* Space again: the next write finds it. */
    sim_disk_set_capacity(rig.disk, CAPACITY * 2);
    check_ok(write(collection, OCH_WRITE_ADD, next, 20, &err), &err);
    check(!och_space_is_short(&rig.engine->space) && reserve_size() > 0);
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    end(collection);
}

/* The first deletion on a full disk finds the log without room, and gives the reserve for
 * it: what the filter selects is selected again. */
static void
a_deletion_by_filter_takes_the_reserve(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t deleted;
    struct och_collection *collection = begin(100000);
    check_ok(write(collection, OCH_WRITE_ADD, 0, 200, &err), &err);
    (void) fill(collection, 200, &err);
    check(!och_space_is_short(&rig.engine->space));
    unsigned n = 0;
    while (!och_space_is_short(&rig.engine->space)) { /* the log's file may have room yet */
        check(++n < 200);
        check_ok(rig_delete_tag(&rig, collection, 1, 1, &deleted, &err), &err);
        check(deleted == 1 && model_delete_tag(&model, 1, 1) == 1);
    }
    check(reserve_size() == 0);
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
a_drop_makes_room_on_a_full_disk(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(100);
    struct och_collection *other = rig_create(&rig, "others");
    rig_add(&rig, other, 0, 5500, 1);
    check(other->view->n_segments == 1);
    check_ok(write(collection, OCH_WRITE_ADD, 0, 20, &err), &err);
    (void) fill(collection, 100, &err);
    struct och_uuid id = other->id;
    och_collection_release(other);
    check_ok(och_engine_drop(rig.engine, id, &err), &err);
    check_ok(write(collection, OCH_WRITE_ADD, 5000, 20, &err), &err);
    check_collection(&rig, collection, &model);
    end(collection);
}

/* Heads that find no room are kept and say why nothing is added; with room again they
 * are sealed. */
static void
heads_that_find_no_room_wait_for_it(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(20);
    check_ok(write(collection, OCH_WRITE_ADD, 0, 10, &err), &err);
    sim_disk_set_capacity(rig.disk, sim_disk_used(rig.disk));
    ochre_status status = OCHRE_OK;
    uint32_t next = 10;
    for (; status == OCHRE_OK; next += 10)
        status = write(collection, OCH_WRITE_ADD, next, 10, &err);
    check(status == OCHRE_FULL);
    check(strstr(err.message, " bytes are free") != NULL);
    check_ok(write(collection, OCH_WRITE_DELETE, 0, 10, &err), &err);
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    rig_reopen(&rig); /* on a disk that is still full */
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    sim_disk_set_capacity(rig.disk, sim_disk_used(rig.disk)); /* opening gave some back */
    check(write(collection, OCH_WRITE_ADD, 500, 10, &err) == OCHRE_FULL);
    check_ok(write(collection, OCH_WRITE_DELETE, 10, 5, &err), &err);
    sim_disk_set_capacity(rig.disk, CAPACITY);
    check_ok(write(collection, OCH_WRITE_ADD, 500, 10, &err), &err);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    check(collection->view->n_frozen == 0 && collection->view->n_segments > 0);
    check_collection(&rig, collection, &model);
    end(collection);
}

/* A disk that refuses to reserve for another reason than want of space is used without. */
static void
a_disk_that_cannot_reserve_goes_without(void **state)
{
    (void) state;
    struct och_space space;
    rig_begin(&rig);
    och_space_init(&space, sim_disk_vfs(rig.disk));
    sim_disk_fail(rig.disk, 1, SIM_IO_FROM);
    och_space_begin(&space);
    check(!och_space_is_short(&space) && !och_space_give(&space));
    check(och_space_admit(&space, NULL) == OCHRE_OK);
    sim_disk_fail(rig.disk, 1, SIM_FULL_FROM);
    och_space_begin(&space);
    struct ochre_error err;
    check(och_space_is_short(&space) && och_space_admit(&space, &err) == OCHRE_FULL);
    sim_disk_fail(rig.disk, 0, SIM_FULL_ONCE);
    check(och_space_admit(&space, &err) == OCHRE_OK);
    check(och_space_give(&space) && !och_space_give(&space));
    /* Nor does it keep writes out when there is space again. */
    sim_disk_fail(rig.disk, 2, SIM_IO_FROM);
    check(och_space_admit(&space, &err) == OCHRE_OK);
    sim_disk_fail(rig.disk, 0, SIM_IO_ONCE);
    check(reserve_size() == 0);
    check(och_space_give(&space));
    check(och_space_admit(&space, &err) == OCHRE_OK && reserve_size() > 0);
    och_space_clear(&space);
    rig_end(&rig);
}

/* Where there is no reserve to give, the disk is not short, and yet full. */
static void
without_a_reserve_heads_that_find_no_room_refuse_what_adds(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(20);
    och_mutex_lock(&rig.engine->space.lock);
    rig.engine->space.size = 0; /* as where reserving failed for another reason */
    och_mutex_unlock(&rig.engine->space.lock);
    check_ok(write(collection, OCH_WRITE_ADD, 0, 10, &err), &err);
    sim_disk_set_capacity(rig.disk, sim_disk_used(rig.disk));
    ochre_status status = OCHRE_OK;
    for (uint32_t next = 10; status == OCHRE_OK; next += 10)
        status = write(collection, OCH_WRITE_ADD, next, 10, &err);
    check(status == OCHRE_FULL && !och_space_is_short(&rig.engine->space));
    check(strstr(err.message, "records that wait to be sealed need more") != NULL);
    check_collection(&rig, collection, &model);
    sim_disk_set_capacity(rig.disk, CAPACITY);
    check_ok(write(collection, OCH_WRITE_ADD, 2000, 10, &err), &err);
    check_collection(&rig, collection, &model);
    end(collection);
}

/* A part of what is left is for the log alone; who asks is told what there is. */
static void
a_short_disk_spares_what_deletions_need(void **state)
{
    (void) state;
    enum { RESERVE = 1 << 20 };
    struct och_space space;
    struct ochre_error err;
    rig_begin(&rig);
    sim_disk_set_capacity(rig.disk, 64 << 20);
    och_space_init(&space, sim_disk_vfs(rig.disk));
    och_space_begin(&space);
    check_ok(och_space_spare(&space, UINT64_MAX / 2, &err), &err); /* it is not short */
    check(och_space_give(&space));
    sim_disk_set_capacity(rig.disk, sim_disk_used(rig.disk) + RESERVE);
    och_mutex_lock(&space.lock);
    space.size = RESERVE;
    och_mutex_unlock(&space.lock);
    check_ok(och_space_spare(&space, RESERVE / 4 * 3, &err), &err);
    check(och_space_spare(&space, RESERVE / 4 * 3 + 1, &err) == OCHRE_FULL);
    check(strstr(err.message, "1048576 bytes are free, and a segment wants 786433") != NULL);
    check(och_space_fail(&space, "this waits", &err) == OCHRE_FULL);
    check(strstr(err.message, "full: 1048576 bytes are free, and this waits;") != NULL);
    sim_disk_fail(rig.disk, 1, SIM_IO_ONCE); /* not even that can be said */
    check(och_space_fail(&space, "this waits", &err) == OCHRE_FULL);
    check(strstr(err.message, "is full, and this waits;") != NULL);
    sim_disk_fail(rig.disk, 1, SIM_IO_ONCE);
    check(och_space_spare(&space, 1, &err) == OCHRE_IO);
    sim_disk_fail(rig.disk, 0, SIM_IO_ONCE);
    och_space_clear(&space);
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_reserve_is_a_part_of_what_is_free),
            cmocka_unit_test(a_reserve_can_be_given_up_before_it_is_begun),
            cmocka_unit_test(a_full_disk_refuses_what_adds_and_takes_deletions),
            cmocka_unit_test(a_deletion_by_filter_takes_the_reserve),
            cmocka_unit_test(a_drop_makes_room_on_a_full_disk),
            cmocka_unit_test(heads_that_find_no_room_wait_for_it),
            cmocka_unit_test(a_disk_that_cannot_reserve_goes_without),
            cmocka_unit_test(without_a_reserve_heads_that_find_no_room_refuse_what_adds),
            cmocka_unit_test(a_short_disk_spares_what_deletions_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
