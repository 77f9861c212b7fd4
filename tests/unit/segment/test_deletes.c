#include <stdio.h>
#include <string.h>

#include "base/bitset.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/random.h"
#include "os/vfs.h"
#include "segment/deletes.h"
#include "segment/segment.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"
#include "support/check.h"
#include "unit/segment/rows.h"

static void
path_of(const struct och_segment *segment, uint64_t id, char path[OCH_PATH_SIZE_MAX])
{
    och_deletes_path(path, OCH_PATH_SIZE_MAX, segment->collection, segment->id, id);
}

static void
write_rows(struct rows *rows, struct och_segment *segment, uint64_t id, struct och_bitset *set)
{
    struct ochre_error err;
    check_ok(och_deletes_write(rows->vfs, segment, id, 9, set, &err), &err);
}

static struct och_segment *
open_again(struct rows *rows)
{
    struct och_segment *segment;
    struct ochre_error err;
    check_ok(och_segment_open(&rows->mem, rows->vfs, rows->collection, 1, &segment, &err), &err);
    return segment;
}

static void
a_file_lies_beside_its_segment(void **state)
{
    (void) state;
    struct rows rows;
    char path[OCH_PATH_SIZE_MAX];
    rows_begin(&rows, 3, 1, 1);
    struct och_segment *segment = rows_segment(&rows, 0x12);
    path_of(segment, 0xab, path);
    assert_string_equal(
            path, "seg/07010000-0000-0000-0000-000000000000/0000000000000012.00000000000000ab.del");
    och_segment_release(segment);
    rows_end(&rows);
}

static void
dead_rows_come_back_dead_since_ever(void **state)
{
    (void) state;
    static const uint32_t sizes[] = {1, 63, 64, 65, 128, 500};
    uint64_t seed = 2;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct rows rows;
        struct ochre_error err;
        rows_begin(&rows, sizes[i], 1, i);
        struct och_segment *segment = rows_segment(&rows, 1);
        struct och_bitset set;
        och_bitset_init(&set, &rows.mem);
        for (uint32_t row = 0; row < rows.n; row++)
            if (och_random_below(&seed, 3) == 0 || row + 1 == rows.n)
                check(och_bitset_add(&set, row) == OCHRE_OK);
        write_rows(&rows, segment, 5, &set);
        och_segment_release(segment);
        segment = open_again(&rows);
        check_ok(och_deletes_read(rows.vfs, segment, 5, &err), &err);
        check(segment->deletes_id == 5 && segment->n_dead_stored == och_bitset_count(&set));
        for (uint32_t row = 0; row < rows.n; row++)
            check(och_segment_dead(segment, row) == (och_bitset_has(&set, row) ? 0 : OCH_ALIVE));
        och_bitset_clear(&set);
        och_segment_release(segment);
        rows_end(&rows);
    }
}

/* A fixture with one delete file for two of 70 rows. */
struct fixture {
    struct rows rows;
    struct och_segment *segment;
    char path[OCH_PATH_SIZE_MAX];
};

static void
begin(struct fixture *f)
{
    rows_begin(&f->rows, 70, 1, 1);
    f->segment = rows_segment(&f->rows, 1);
    struct och_bitset set;
    och_bitset_init(&set, &f->rows.mem);
    check(och_bitset_add(&set, 3) == OCHRE_OK && och_bitset_add(&set, 69) == OCHRE_OK);
    write_rows(&f->rows, f->segment, 5, &set);
    och_bitset_clear(&set);
    path_of(f->segment, 5, f->path);
}

static void
end(struct fixture *f)
{
    och_segment_release(f->segment);
    rows_end(&f->rows);
}

static void
every_flip_is_noticed(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    const uint64_t size = 32 + 2 * 8 + 8;
    for (uint64_t offset = 0; offset < size; offset++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            check(sim_disk_flip(f.rows.disk, f.path, offset, bit));
            check(och_deletes_read(f.rows.vfs, f.segment, 5, &err) == OCHRE_CORRUPT);
            check(strstr(err.message, f.path) != NULL);
            check(f.segment->deletes_id == 0 && !och_segment_has_dead(f.segment));
            check(sim_disk_flip(f.rows.disk, f.path, offset, bit));
        }
    }
    check(!sim_disk_flip(f.rows.disk, f.path, size, 0));
    check_ok(och_deletes_read(f.rows.vfs, f.segment, 5, &err), &err);
    end(&f);
}

/* Read the file after storing a number in it and making its checksum right. */
static ochre_status
forge(struct fixture *f, size_t at, uint64_t value, size_t size)
{
    char bytes[32 + 2 * 8 + 8];
    struct och_file *file;
    struct ochre_error err;
    check_ok(och_vfs_open(f->rows.vfs, f->path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_read_all(file, 0, bytes, sizeof(bytes), &err), &err);
    char before[sizeof(bytes)];
    memcpy(before, bytes, sizeof(bytes));
    memcpy(bytes + at, &value, size);
    och_store_u64(bytes + sizeof(bytes) - 8, och_hash64(bytes, sizeof(bytes) - 8));
    check_ok(och_file_write(file, 0, bytes, sizeof(bytes), &err), &err);
    struct och_segment *segment = open_again(&f->rows);
    ochre_status status = och_deletes_read(f->rows.vfs, segment, 5, &err);
    och_segment_release(segment);
    check_ok(och_file_write(file, 0, before, sizeof(bytes), &err), &err);
    och_file_close(file);
    return status;
}

static void
a_writers_mistakes_are_refused_under_a_right_checksum(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    check(forge(&f, 16, 77, 8) == OCHRE_OK);                    /* the position is for people */
    check(forge(&f, 0, 1, 8) == OCHRE_CORRUPT);                 /* magic */
    check(forge(&f, 7, '2', 1) == OCHRE_UNSUPPORTED);           /* a later version */
    check(forge(&f, 8, 2, 8) == OCHRE_CORRUPT);                 /* another segment */
    check(forge(&f, 24, 71, 4) == OCHRE_CORRUPT);               /* rows */
    check(forge(&f, 28, 1, 4) == OCHRE_CORRUPT);                /* dead rows */
    check(forge(&f, 40, UINT64_C(1) << 6, 8) == OCHRE_CORRUPT); /* row 70 of 70 */
    end(&f);
}

static void
a_missing_or_cut_file_is_damage(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    check(och_deletes_read(f.rows.vfs, f.segment, 6, &err) == OCHRE_CORRUPT);
    check(strstr(err.message, "missing") != NULL);
    struct och_file *file;
    check_ok(och_vfs_open(f.rows.vfs, f.path, OCH_OPEN_WRITE, &file, &err), &err);
    for (uint64_t size = 0; size < 60; size++) {
        check_ok(och_file_truncate(file, size, &err), &err);
        ochre_status status = och_deletes_read(f.rows.vfs, f.segment, 5, &err);
        check(status == OCHRE_CORRUPT);
    }
    och_file_close(file);
    end(&f);
}

static ochre_status
write_and_read(struct fixture *f, const struct och_bitset *set, struct ochre_error *err)
{
    ochre_status status = och_deletes_write(f->rows.vfs, f->segment, 6, 9, set, err);
    struct och_segment *segment = NULL;
    if (status == OCHRE_OK)
        status = och_segment_open(&f->rows.mem, f->rows.vfs, f->rows.collection, 1, &segment, err);
    if (status == OCHRE_OK)
        status = och_deletes_read(f->rows.vfs, segment, 6, err);
    och_segment_release(segment);
    return status;
}

static void
any_call_of_the_disk_may_fail_and_be_tried_again(void **state)
{
    (void) state;
    static const enum sim_fault faults[] = {SIM_IO_ONCE, SIM_FULL_ONCE, SIM_IO_FROM};
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    struct och_bitset set;
    och_bitset_init(&set, &f.rows.own);
    check(och_bitset_add(&set, 7) == OCHRE_OK);
    unsigned n_points = 0;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            sim_disk_fail(f.rows.disk, n, faults[i]);
            ochre_status status = write_and_read(&f, &set, &err);
            failed = sim_disk_has_failed(f.rows.disk);
            sim_disk_fail(f.rows.disk, 0, SIM_IO_ONCE);
            bool told = status == OCHRE_IO || status == OCHRE_FULL;
            check(failed ? told : status == OCHRE_OK);
            check_ok(write_and_read(&f, &set, &err), &err);
            n_points += failed;
        }
    }
    check(n_points > 15);
    och_bitset_clear(&set);
    end(&f);
}

static void
any_allocation_may_fail_and_be_tried_again(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    struct och_bitset set;
    och_bitset_init(&set, &f.rows.own);
    check(och_bitset_add(&set, 7) == OCHRE_OK);
    ochre_status status = OCHRE_NO_MEMORY;
    size_t used = och_mem_used(&f.rows.mem);
    unsigned n_points = 0;
    while (status != OCHRE_OK) {
        f.rows.mem.fail_at = atomic_load(&f.rows.mem.n_grants) + ++n_points;
        status = write_and_read(&f, &set, &err);
        f.rows.mem.fail_at = 0;
        check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        check(och_mem_used(&f.rows.mem) == used);
    }
    check(n_points > 5);
    och_bitset_clear(&set);
    end(&f);
}

static void
a_written_file_survives_a_power_cut(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    och_segment_release(f.segment);
    check_ok(och_vfs_sync_dir(f.rows.vfs, "", &err), &err);
    sim_disk_recover(f.rows.disk, SIM_NONE_KEPT, 1);
    f.segment = open_again(&f.rows);
    check_ok(och_deletes_read(f.rows.vfs, f.segment, 5, &err), &err);
    check(f.segment->n_dead_stored == 2);
    end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_file_lies_beside_its_segment),
            cmocka_unit_test(dead_rows_come_back_dead_since_ever),
            cmocka_unit_test(every_flip_is_noticed),
            cmocka_unit_test(a_writers_mistakes_are_refused_under_a_right_checksum),
            cmocka_unit_test(a_missing_or_cut_file_is_damage),
            cmocka_unit_test(any_call_of_the_disk_may_fail_and_be_tried_again),
            cmocka_unit_test(any_allocation_may_fail_and_be_tried_again),
            cmocka_unit_test(a_written_file_survives_a_power_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
