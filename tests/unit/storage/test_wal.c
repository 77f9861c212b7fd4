#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "storage/wal.h"
#include "support/check.h"

enum { N_RECORDS_MAX = 256 };

/* What a recovery saw. */
struct seen {
    size_t n;
    size_t n_damaged;
    uint64_t lsn[N_RECORDS_MAX];
    uint64_t hash[N_RECORDS_MAX];
};

struct fixture {
    struct och_mem mem;
    struct sim_disk *disk;
    struct sim_machine machine;
    struct och_wal_options options;
    struct och_wal *wal;
    struct seen seen;
};

static ochre_status
note_record(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct seen *seen = context;
    (void) err;
    if (damaged) {
        seen->n_damaged++;
        return OCHRE_OK;
    }
    seen->lsn[seen->n] = record->lsn;
    seen->hash[seen->n++] = och_hash64(record->payload.data, record->payload.size);
    return OCHRE_OK;
}

static void
begin(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->mem, NULL);
    f->disk = sim_disk_open(&f->mem, 1);
    sim_machine_init(&f->machine, 1);
    f->options = (struct och_wal_options){.mem = &f->mem,
            .vfs = sim_disk_vfs(f->disk),
            .machine = &f->machine.machine,
            .database = {{1, 2, 3}}};
}

static void
end(struct fixture *f)
{
    och_wal_close(f->wal);
    sim_disk_close(f->disk);
    check(och_mem_used(&f->mem) == 0);
}

static ochre_status
open_log(struct fixture *f, struct ochre_error *err)
{
    och_wal_close(f->wal);
    f->wal = NULL;
    f->seen.n = 0;
    f->seen.n_damaged = 0;
    return och_wal_open(&f->options, note_record, &f->seen, &f->wal, err);
}

/* Append n records of `size` bytes that begin with their own LSN. */
static ochre_status
append(struct fixture *f, size_t n, size_t size, struct ochre_error *err)
{
    static char bytes[1 << 21];
    struct och_log_record records[8];
    check(n <= 8 && n * size <= sizeof(bytes));
    uint64_t lsn = och_wal_next_lsn(f->wal);
    for (size_t i = 0; i < n; i++) {
        char *payload = bytes + i * size;
        memset(payload, (int) (lsn + i), size);
        uint64_t own = lsn + i;
        memcpy(payload, &own, size < sizeof(own) ? size : sizeof(own));
        records[i] = (struct och_log_record){.position = lsn + i,
                .collection = 7,
                .type = 1,
                .payload = {payload, size},
                .payload_crc = och_crc32c(0, payload, size)};
    }
    ochre_status status = och_wal_append(f->wal, records, n, err);
    for (size_t i = 0; status == OCHRE_OK && i < n; i++)
        check(records[i].lsn == lsn + i);
    return status;
}

static uint64_t
hash_of(uint64_t lsn, size_t size)
{
    static char payload[1 << 21];
    memset(payload, (int) lsn, size);
    memcpy(payload, &lsn, size < sizeof(lsn) ? size : sizeof(lsn));
    return och_hash64(payload, size);
}

/* The path of the newest log file. */
static ochre_status
note_name(void *context, const char *name, bool is_dir)
{
    (void) is_dir;
    (void) snprintf(context, 64, "log/%s", name);
    return OCHRE_OK;
}

static void
newest_file(struct fixture *f, char path[64])
{
    struct ochre_error err;
    check_ok(och_vfs_list(f->options.vfs, "log", note_name, path, &err), &err);
}

/* --- tests ------------------------------------------------------------------ */

static void
an_empty_log_begins_at_one(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    check(f.seen.n == 0);
    check(och_wal_next_lsn(f.wal) == 1);
    check(och_wal_size(f.wal) == 0);
    check(!och_wal_can_trim(f.wal, 100));
    end(&f);
}

static void
what_was_appended_comes_back_in_order(void **state)
{
    (void) state;
    static const size_t sizes[] = {0, 1, 7, 8, 9, 4000, 4048, 4049, 5000, 70000};
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    size_t total = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        check_ok(append(&f, 1 + i % 3, sizes[i], &err), &err);
        total += 1 + i % 3;
    }
    for (int reopened = 0; reopened < 3; reopened++) {
        check_ok(open_log(&f, &err), &err);
        check(f.seen.n == total && f.seen.n_damaged == 0);
        size_t at = 0;
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            for (size_t k = 0; k < 1 + i % 3; k++, at++) {
                check(f.seen.lsn[at] == at + 1);
                check(f.seen.hash[at] == hash_of(at + 1, sizes[i]));
            }
    }
    end(&f);
}

/* A log whose syncs were deferred survives a power cut once they are made up for, whatever
 * else lies beside its files. */
static void
deferred_syncs_are_made_up_for(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    f.options.defers_syncs = true;
    check_ok(open_log(&f, &err), &err);
    for (int i = 0; i < 3; i++)
        check_ok(append(&f, 2, 70000, &err), &err);
    och_wal_close(f.wal);
    f.wal = NULL;
    check_ok(och_vfs_mkdir(f.options.vfs, "log/theirs", &err), &err);
    check_ok(och_wal_sync_files(f.options.vfs, &err), &err);
    sim_disk_recover(f.disk, SIM_NONE_KEPT, 1);
    f.options.defers_syncs = false;
    check_ok(open_log(&f, &err), &err);
    check(f.seen.n == 6 && f.seen.n_damaged == 0);
    for (size_t i = 0; i < 6; i++)
        check(f.seen.lsn[i] == i + 1 && f.seen.hash[i] == hash_of(i + 1, 70000));
    end(&f);
}

static void
files_are_rotated_grow_and_are_trimmed(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    for (int i = 0; i < 40; i++) {
        check_ok(append(&f, 1, 300000, &err), &err);
        if (och_wal_wants_prepare(f.wal))
            check_ok(och_wal_prepare(f.wal, &err), &err);
    }
    check(och_wal_oldest_lsn(f.wal) == 1);
    check(och_wal_can_trim(f.wal, 30));
    check_ok(och_wal_trim(f.wal, 30, &err), &err);
    uint64_t oldest = och_wal_oldest_lsn(f.wal);
    check(oldest > 1 && oldest <= 30);
    check_ok(open_log(&f, &err), &err);
    check(f.seen.lsn[0] == oldest);
    check(f.seen.n == 40 - oldest + 1);
    check_ok(append(&f, 2, 10, &err), &err);
    check_ok(open_log(&f, &err), &err);
    check(f.seen.n == 42 - oldest + 1);
    end(&f);
}

static ochre_status
is_there(void *context, uint64_t number, uint64_t size)
{
    struct fixture *f = context;
    char path[40];
    bool there = false;
    struct ochre_error err;
    (void) size;
    (void) snprintf(path, sizeof(path), "log/%016" PRIx64 ".log", number);
    check_ok(och_vfs_exists(f->options.vfs, path, &there, &err), &err);
    check(there);
    return OCHRE_OK;
}

static void
a_file_that_may_come_back_is_not_visited(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    enum { REMOVING = 1, SYNCING };
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    for (int i = 0; i < 40; i++)
        check_ok(append(&f, 1, 300000, &err), &err);
    sim_disk_fail(f.disk, SYNCING, SIM_IO_ONCE);
    check(och_wal_trim(f.wal, 30, &err) == OCHRE_IO);
    check(sim_disk_has_failed(f.disk));
    sim_disk_fail(f.disk, 0, SIM_IO_ONCE);
    check(och_wal_oldest_lsn(f.wal) == 1);
    check_ok(och_wal_each_file(f.wal, is_there, &f), &err);
    check_ok(och_wal_trim(f.wal, 30, &err), &err);
    check(och_wal_oldest_lsn(f.wal) > 1);
    check_ok(och_wal_each_file(f.wal, is_there, &f), &err);
    end(&f);
}

static void
a_log_shorter_than_the_catalog_knows_is_corrupt(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    check_ok(append(&f, 3, 10, &err), &err);
    f.options.lsn_min = 3;
    check_ok(open_log(&f, &err), &err);
    f.options.lsn_min = 4;
    check(open_log(&f, &err) == OCHRE_CORRUPT);
    check(strstr(err.message, "run `ochre repair`, or restore a backup") != NULL);
    end(&f);
}

static void
a_file_of_another_database_is_refused(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    check_ok(append(&f, 1, 10, &err), &err);
    f.options.database.bytes[0] = 9;
    check(open_log(&f, &err) == OCHRE_CORRUPT);
    end(&f);
}

/* Flip every bit of the first groups: a durable record is never lost unseen. */
static void
a_flipped_bit_below_the_synced_end_is_always_noticed(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    for (int i = 0; i < 6; i++)
        check_ok(append(&f, 1, 100, &err), &err);
    och_wal_close(f.wal);
    f.wal = NULL;
    char path[64];
    newest_file(&f, path);
    size_t n_refused = 0;
    size_t n_degraded = 0;
    for (uint64_t offset = 4096; offset < 4096 * 6; offset += offset % 4096 < 160 ? 1 : 64) {
        unsigned bit = (unsigned) (offset % 8);
        check(sim_disk_flip(f.disk, path, offset, bit));
        ochre_status status = open_log(&f, &err);
        och_wal_close(f.wal);
        f.wal = NULL;
        check(sim_disk_flip(f.disk, path, offset, bit));
        if (status == OCHRE_CORRUPT) {
            n_refused++;
            continue;
        }
        check_ok(status, &err);
        /* Either nothing depended on the bit (padding), or the record is reported. */
        bool in_record = offset % 4096 < 48 + 100;
        check(f.seen.n + f.seen.n_damaged == 6);
        check(f.seen.n_damaged == (in_record ? 1 : 0));
        n_degraded += f.seen.n_damaged;
    }
    check(n_refused > 0 && n_degraded > 0);
    end(&f);
}

static void
either_copy_of_a_file_header_is_enough(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    check_ok(append(&f, 1, 100, &err), &err);
    och_wal_close(f.wal);
    f.wal = NULL;
    char path[64];
    newest_file(&f, path);
    check(sim_disk_flip(f.disk, path, 20, 3));
    check_ok(open_log(&f, &err), &err);
    check(f.seen.n == 1);
    och_wal_close(f.wal);
    f.wal = NULL;
    check(sim_disk_flip(f.disk, path, 2048 + 20, 3));
    check(open_log(&f, &err) == OCHRE_CORRUPT);
    end(&f);
}

/* Write a number into the header's copy at `offset`, under a right checksum. */
static void
forge_header(struct fixture *f, const char *path, uint64_t offset, size_t at, uint32_t number)
{
    struct och_file *file;
    struct ochre_error err;
    char bytes[56];
    check_ok(och_vfs_open(f->options.vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_read_all(file, offset, bytes, sizeof(bytes), &err), &err);
    och_store_u32(bytes + at, number);
    och_store_u32(bytes + 52, och_crc32c(0, bytes, 52));
    check_ok(och_file_write(file, offset, bytes, sizeof(bytes), &err), &err);
    och_file_close(file);
}

/* What a later version began is not damage, and nothing beside it is touched. */
static void
a_file_of_another_version_is_refused_and_none_is_removed(void **state)
{
    (void) state;
    static const char half_made[] = "log/0000000000000000.tmp"; /* removed by an opening */
    struct fixture f;
    struct ochre_error err;
    bool exists;
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    check_ok(append(&f, 1, 100, &err), &err);
    check_ok(och_wal_prepare(f.wal, &err), &err);
    och_wal_close(f.wal);
    f.wal = NULL;
    check_ok(och_vfs_rename(f.options.vfs, "log/0000000000000002.log", half_made, &err), &err);
    char path[64];
    newest_file(&f, path);
    forge_header(&f, path, 0, 8, 2);
    forge_header(&f, path, 2048, 8, 2);
    struct och_uuid database;
    check(!och_wal_find_database(f.options.vfs, &database));
    check(open_log(&f, &err) == OCHRE_UNSUPPORTED);
    check(strstr(err.message, "log/0000000000000001.log: format 2") != NULL);
    check_ok(och_vfs_exists(f.options.vfs, half_made, &exists, &err), &err);
    check(exists);
    /* One whole copy of our own version is enough, as ever. */
    check(sim_disk_flip(f.disk, path, 20, 3));
    forge_header(&f, path, 2048, 8, 1);
    check_ok(open_log(&f, &err), &err);
    check(f.seen.n == 1);
    check_ok(och_vfs_exists(f.options.vfs, half_made, &exists, &err), &err);
    check(!exists);
    end(&f);
}

/* The hole of a record that takes many reads to pass over, any of which may fail. */
static void
a_large_hole_is_passed_over(void **state)
{
    (void) state;
    static const char zeros[4096];
    struct fixture f;
    struct ochre_error err;
    struct och_file *file = NULL;
    char path[64];
    bool has_failed = true;
    begin(&f);
    f.options.keeps_reach = true;
    check_ok(open_log(&f, &err), &err);
    check_ok(och_wal_begin_reach(f.wal, &err), &err);
    check_ok(append(&f, 1, 100, &err), &err);
    check_ok(append(&f, 1, 600000, &err), &err);
    check_ok(append(&f, 1, 100, &err), &err);
    check(och_wal_rest(f.wal, false)); /* it has just written */
    check(!och_wal_rest(f.wal, false));
    newest_file(&f, path);
    och_wal_close(f.wal);
    f.wal = NULL;
    check_ok(och_vfs_open(f.options.vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_write(file, 8192, zeros, sizeof(zeros), &err), &err);
    check_ok(och_file_sync(file, &err), &err);
    och_file_close(file);
    check(open_log(&f, &err) == OCHRE_CORRUPT);
    check(strstr(err.message, "durable record 2 is missing") != NULL);
    f.options.passes_holes = true;
    for (uint64_t n = 1; has_failed; n++) {
        sim_disk_fail(f.disk, n, SIM_IO_ONCE);
        ochre_status status = open_log(&f, &err);
        has_failed = sim_disk_has_failed(f.disk);
        sim_disk_fail(f.disk, UINT64_MAX, SIM_IO_ONCE);
        check(status == OCHRE_OK || (status == OCHRE_IO && has_failed));
    }
    check(f.seen.n == 2 && f.seen.lsn[0] == 1 && f.seen.lsn[1] == 3);
    check(och_wal_has_holes(f.wal) && och_wal_next_lsn(f.wal) == 4);
    check(!och_wal_lacks(f.wal, 7, 3)); /* its positions tell */
    check(och_wal_lacks(f.wal, 7, 1));
    end(&f);
}

/* A file that says it begins behind the one after it. */
static void
files_that_do_not_follow_on_each_other_are_damage(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    char path[64];
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    check_ok(append(&f, 2, 100, &err), &err);
    newest_file(&f, path);
    och_wal_roll(f.wal);
    check_ok(append(&f, 2, 100, &err), &err);
    och_wal_close(f.wal);
    f.wal = NULL;
    forge_header(&f, path, 0, 36, 9); /* its first record's number */
    check(open_log(&f, &err) == OCHRE_CORRUPT);
    check(strstr(err.message, "log/0000000000000002.log: durable record 9 is missing") != NULL);
    forge_header(&f, path, 0, 36, 1);
    check_ok(open_log(&f, &err), &err);
    check(f.seen.n == 4);
    end(&f);
}

/* Records that are larger than what is read at once; each call of an opening fails in turn. */
static void
an_opening_that_fails_within_a_large_record_is_tried_again(void **state)
{
    (void) state;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct fixture f;
        struct ochre_error err;
        begin(&f);
        check_ok(open_log(&f, &err), &err);
        check_ok(append(&f, 2, 700000, &err), &err);
        check_ok(append(&f, 1, 100, &err), &err);
        och_wal_close(f.wal);
        f.wal = NULL;
        sim_disk_fail(f.disk, n, SIM_IO_ONCE);
        ochre_status status = open_log(&f, &err);
        failed = sim_disk_has_failed(f.disk);
        check(status == OCHRE_OK || (failed && status == OCHRE_IO));
        sim_disk_fail(f.disk, 0, SIM_IO_ONCE);
        check_ok(open_log(&f, &err), &err);
        check(f.seen.n == 3 && f.seen.n_damaged == 0);
        check(f.seen.hash[1] == hash_of(2, 700000));
        end(&f);
    }
}

/* The file ends with space, half of which somebody cut off: telling that from
 * damage means reading to its end, which may fail, and is then done again. */
static void
an_opening_that_fails_in_the_space_behind_is_tried_again(void **state)
{
    (void) state;
    enum { N = 20, SIZE = 3000 };
    struct fixture f;
    struct ochre_error err;
    char path[64];
    uint64_t size;
    struct och_file *file;
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    for (size_t i = 0; i < N; i++)
        check_ok(append(&f, 1, SIZE, &err), &err);
    och_wal_close(f.wal);
    f.wal = NULL;
    newest_file(&f, path);
    check_ok(och_vfs_open(f.options.vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_size(file, &size, &err), &err);
    check(size / 2 > (uint64_t) N * SIZE + (256 << 10)); /* more than is read at once */
    check_ok(och_file_truncate(file, size / 2 + 100, &err), &err);
    och_file_close(file);
    uint64_t n_failed = 0;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct sim_disk *disk = sim_disk_clone(f.disk);
        f.options.vfs = sim_disk_vfs(disk);
        sim_disk_fail(disk, n, SIM_IO_ONCE);
        ochre_status status = open_log(&f, &err);
        failed = sim_disk_has_failed(disk);
        sim_disk_fail(disk, 0, SIM_IO_ONCE);
        check(status == OCHRE_OK || (failed && status == OCHRE_IO));
        n_failed += status != OCHRE_OK;
        check_ok(open_log(&f, &err), &err);
        check(f.seen.n == N && f.seen.n_damaged == 0);
        och_wal_close(f.wal);
        f.wal = NULL;
        sim_disk_close(disk);
        f.options.vfs = sim_disk_vfs(f.disk);
    }
    check(n_failed > 5);
    end(&f);
}

/* What has a log file's name is whole: without its first page it holds what was
 * acknowledged no more, and is not taken for one that was never begun. */
static void
a_file_cut_before_its_first_record_is_damaged(void **state)
{
    (void) state;
    static const uint64_t sizes[] = {0, 1, 100, 4095};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fixture f;
        struct ochre_error err;
        begin(&f);
        check_ok(open_log(&f, &err), &err);
        check_ok(append(&f, 1, 100, &err), &err);
        och_wal_close(f.wal);
        f.wal = NULL;
        char path[64];
        newest_file(&f, path);
        struct och_file *file;
        check_ok(och_vfs_open(f.options.vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
        check_ok(och_file_truncate(file, sizes[i], &err), &err);
        och_file_close(file);
        check(open_log(&f, &err) == OCHRE_CORRUPT);
        bool exists;
        check_ok(och_vfs_exists(f.options.vfs, path, &exists, &err), &err);
        check(exists);
        end(&f);
    }
}

/* A file that was prepared says so: damage to what nobody wrote loses nothing. */
static void
a_file_never_begun_is_known_whatever_is_behind(void **state)
{
    (void) state;
    static const uint64_t flips[] = {20, 2048 + 20, 100, 4096, 5000, 70000, 200000};
    for (size_t i = 0; i < sizeof(flips) / sizeof(flips[0]); i++) {
        struct fixture f;
        struct ochre_error err;
        bool exists;
        char path[64];
        begin(&f);
        check_ok(open_log(&f, &err), &err);
        check_ok(append(&f, 3, 100, &err), &err);
        check_ok(och_wal_prepare(f.wal, &err), &err);
        newest_file(&f, path);
        check(sim_disk_flip(f.disk, path, flips[i], 5));
        check_ok(open_log(&f, &err), &err);
        check(f.seen.n == 3);
        check_ok(och_vfs_exists(f.options.vfs, path, &exists, &err), &err);
        check(!exists);
        check_ok(append(&f, 1, 100, &err), &err);
        end(&f);
    }
}

/* Cut the newest file to `size`: is what is left taken for all there was? */
static bool
passes_cut(struct fixture *f, const char *path, uint64_t size)
{
    struct ochre_error err;
    struct och_file *file;
    struct sim_disk *whole = f->disk;
    f->disk = sim_disk_clone(whole);
    f->options.vfs = sim_disk_vfs(f->disk);
    check_ok(och_vfs_open(f->options.vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_truncate(file, size, &err), &err);
    och_file_close(file);
    ochre_status status = open_log(f, &err);
    check(status == OCHRE_OK || status == OCHRE_CORRUPT);
    check(status == OCHRE_OK || strstr(err.message, path) != NULL);
    och_wal_close(f->wal);
    f->wal = NULL;
    sim_disk_close(f->disk);
    f->disk = whole;
    f->options.vfs = sim_disk_vfs(whole);
    return status == OCHRE_OK;
}

/* A torn end is one that the log itself has torn: its files have their size first. */
static void
a_file_cut_within_a_record_is_damaged(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    char path[64];
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    check_ok(append(&f, 3, 3000, &err), &err); /* 4096 .. 13240, in three pages */
    check_ok(append(&f, 1, 9000, &err), &err); /* 16384 .. 25432, likewise */
    och_wal_close(f.wal);
    f.wal = NULL;
    newest_file(&f, path);
    for (uint64_t size = 4097; size < 16384; size += size < 4200 ? 1 : 97)
        check(!passes_cut(&f, path, size));
    for (uint64_t size = 16385; size < 25432; size += 97)
        check(!passes_cut(&f, path, size));
    check(!passes_cut(&f, path, 8192) && !passes_cut(&f, path, 20480));
    check(!passes_cut(&f, path, 28672)); /* behind its last record: were there others? */
    /* Behind a page that no group has reached there was nothing. */
    for (uint64_t size = 28673; size < 32768; size += 97)
        check(!passes_cut(&f, path, size));
    for (uint64_t size = 32769; size < 100000; size += 997)
        check(passes_cut(&f, path, size));
    check_ok(open_log(&f, &err), &err);
    check(f.seen.n == 4);
    check_ok(open_log(&f, &err), &err); /* which it now has */
    check(f.seen.n == 4);
    end(&f);
}

/* Take the size out of the file's header, as it was when none had one; `copies`: of the
 * first one, of both. */
static void
forget_size(struct fixture *f, const char *path, int copies)
{
    static const char zeros[12];
    struct ochre_error err;
    struct och_file *file;
    check_ok(och_vfs_open(f->options.vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
    for (int i = 0; i < copies; i++)
        check_ok(och_file_write(file, 56 + 2048 * (uint64_t) i, zeros, sizeof(zeros), &err), &err);
    och_file_close(file);
}

static uint64_t
size_of(struct fixture *f, const char *path)
{
    uint64_t size;
    struct ochre_error err;
    struct och_file *file;
    check_ok(och_vfs_open(f->options.vfs, path, OCH_OPEN_READ, &file, &err), &err);
    check_ok(och_file_size(file, &size, &err), &err);
    och_file_close(file);
    return size;
}

/* Groups of one page and of several, of one record and of some. */
static uint64_t
add_groups(struct fixture *f)
{
    static const struct {
        size_t n, size;
        uint64_t end;
    } groups[] = {{1, 100, 8192}, {3, 3000, 20480}, {1, 4048, 24576}, {1, 9000, 36864},
            {8, 700, 45056}, {1, 1, 49152}};
    struct ochre_error err;
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        check_ok(append(f, groups[i].n, groups[i].size, &err), &err);
    return groups[sizeof(groups) / sizeof(groups[0]) - 1].end;
}

/* Between two groups nothing is torn: the file is shorter than its header says. */
static void
a_file_cut_at_any_page_with_a_record_is_damaged(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    char path[64];
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    uint64_t end_of_groups = add_groups(&f);
    och_wal_close(f.wal);
    f.wal = NULL;
    newest_file(&f, path);
    for (int reopened = 0; reopened < 3; reopened++) {
        uint64_t size = size_of(&f, path);
        check(reopened == 0 ? size == OCH_LOG_FILE_SIZE_MIN : size == end_of_groups + 4096);
        for (uint64_t at = 4096; at <= size; at += 4096)
            check(passes_cut(&f, path, at) == (at > end_of_groups));
        check_ok(open_log(&f, &err), &err);
        check(f.seen.n == 15 && f.seen.n_damaged == 0);
        och_wal_close(f.wal);
        f.wal = NULL;
    }
    /* Either copy of the header says how long it was. */
    forget_size(&f, path, 1);
    check(!passes_cut(&f, path, 8192));
    forget_size(&f, path, 2);
    check(passes_cut(&f, path, 8192));
    end(&f);
}

/* Where the header does not say how long the file was, one that ends at a page is one that
 * an opening cut, as it is now cut behind a page more. */
static void
a_file_without_its_size_may_end_at_any_page(void **state)
{
    (void) state;
    static const uint64_t group_ends[] = {8192, 20480, 24576, 36864, 45056, 49152};
    struct fixture f;
    struct ochre_error err;
    char path[64];
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    uint64_t end_of_groups = add_groups(&f);
    och_wal_close(f.wal);
    f.wal = NULL;
    newest_file(&f, path);
    forget_size(&f, path, 2);
    for (size_t i = 0; i < sizeof(group_ends) / sizeof(group_ends[0]); i++) {
        check(passes_cut(&f, path, group_ends[i]));
        check(!passes_cut(&f, path, group_ends[i] - 4000) || i == 0);
        check(!passes_cut(&f, path, group_ends[i] + 1));
    }
    for (int reopened = 0; reopened < 3; reopened++) {
        check_ok(open_log(&f, &err), &err);
        check(f.seen.n == 15 && size_of(&f, path) == end_of_groups + 4096);
    }
    end(&f);
}

/* A full file has no space to give back. */
static void
a_file_that_is_full_stays_as_long_as_it_is(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    char path[64];
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    check_ok(append(&f, 1, OCH_LOG_FILE_SIZE_MIN - 8192 - 48, &err), &err);
    check_ok(append(&f, 1, 4096 - 48, &err), &err);
    newest_file(&f, path);
    check(strcmp(path, "log/0000000000000001.log") == 0);
    for (int reopened = 0; reopened < 2; reopened++) {
        check(size_of(&f, path) == OCH_LOG_FILE_SIZE_MIN);
        check_ok(open_log(&f, &err), &err);
        check(f.seen.n == 2);
    }
    och_wal_close(f.wal);
    f.wal = NULL;
    check(!passes_cut(&f, path, OCH_LOG_FILE_SIZE_MIN - 4096));
    end(&f);
}

/* Of the last group a part is whole: what is behind that is gone for good. */
static void
a_torn_group_is_cut_behind_what_is_whole(void **state)
{
    (void) state;
    enum { WHOLE = 8192 + 3 * 3048, SIZE = 20480 + 4096 };
    struct fixture f;
    struct ochre_error err;
    struct och_file *file;
    char path[64];
    char rest[SIZE - WHOLE];
    static const char zeros[sizeof(rest)];
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    check_ok(append(&f, 1, 100, &err), &err);
    check_ok(append(&f, 5, 3000, &err), &err); /* 8192 .. 23432 */
    newest_file(&f, path);
    check(sim_disk_flip(f.disk, path, WHOLE + 500, 3)); /* in the fourth one */
    for (int reopened = 0; reopened < 3; reopened++) {
        check_ok(open_log(&f, &err), &err);
        check(f.seen.n == 4 && f.seen.n_damaged == 0);
        check(size_of(&f, path) == SIZE);
        check_ok(och_vfs_open(f.options.vfs, path, OCH_OPEN_READ, &file, &err), &err);
        check_ok(och_file_read_all(file, WHOLE, rest, sizeof(rest), &err), &err);
        och_file_close(file);
        check(memcmp(rest, zeros, sizeof(rest)) == 0);
    }
    och_wal_close(f.wal);
    f.wal = NULL;
    check(!passes_cut(&f, path, 20480));
    end(&f);
}

/* The process is killed behind a group whose sync never happened; the power goes at any
 * call of the next opening, or of the one after it. */
static void
a_crash_of_an_opening_loses_nothing_that_was_acknowledged(void **state)
{
    (void) state;
    size_t n_points = 0;
    for (unsigned mode = 0; mode < SIM_N_MODES; mode++) {
        bool finished = false;
        for (uint64_t n = 1; !finished; n++, n_points++) {
            struct fixture f;
            struct ochre_error err;
            begin(&f);
            check_ok(open_log(&f, &err), &err);
            check_ok(append(&f, 2, 50, &err), &err);
            sim_disk_fail(f.disk, 2, SIM_IO_ONCE); /* the sync */
            check(append(&f, 3, 3000, &err) == OCHRE_IO);
            sim_disk_fail(f.disk, 0, SIM_IO_ONCE);
            sim_disk_crash(f.disk, n, n % 2 == 0 ? SIM_BEFORE : SIM_AFTER);
            bool opened = open_log(&f, &err) == OCHRE_OK;
            finished = opened && open_log(&f, &err) == OCHRE_OK && !sim_disk_has_crashed(f.disk);
            size_t shown = opened ? f.seen.n : 2;
            och_wal_close(f.wal);
            f.wal = NULL;
            sim_disk_recover(f.disk, (enum sim_mode) mode, n);
            for (int i = 0; i < 2; i++) {
                check_ok(open_log(&f, &err), &err);
                check(f.seen.n >= shown && f.seen.n <= 5 && f.seen.n_damaged == 0);
                shown = f.seen.n;
            }
            end(&f);
        }
    }
    check(n_points > 20);
}

/* What is visited of each file, and zeros behind it, is the log. */
static ochre_status
shrink_file(void *context, uint64_t number, uint64_t used)
{
    struct fixture *f = context;
    static const char zeros[4096];
    char path[40];
    uint64_t size;
    struct och_file *file;
    struct ochre_error err;
    (void) snprintf(path, sizeof(path), "log/%016" PRIx64 ".log", number);
    check_ok(och_vfs_open(f->options.vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_size(file, &size, &err), &err);
    uint64_t wanted = och_wal_copy_size(used, size);
    check(wanted >= used && wanted <= size && wanted - used <= sizeof(zeros));
    check_ok(och_file_truncate(file, wanted, &err), &err);
    if (wanted > used)
        check_ok(och_file_write(file, used, zeros, (size_t) (wanted - used), &err), &err);
    och_file_close(file);
    return OCHRE_OK;
}

static void
a_copy_as_long_as_it_should_be_is_whole(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    check_ok(open_log(&f, &err), &err);
    for (int i = 0; i < 4; i++)
        check_ok(append(&f, 2, 200000, &err), &err); /* two files */
    check_ok(och_wal_each_file(f.wal, shrink_file, &f), &err);
    check_ok(open_log(&f, &err), &err);
    check(f.seen.n == 8 && f.seen.n_damaged == 0);
    end(&f);
}

/* A group that would want a new file, which finds no room, leaves the old one to
 * groups that fit into it. */
static void
without_room_for_a_new_file_the_old_one_goes_on(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    sim_disk_set_capacity(f.disk, 8 << 20);
    check_ok(open_log(&f, &err), &err);
    check_ok(append(&f, 1, 100, &err), &err);
    sim_disk_set_capacity(f.disk, sim_disk_used(f.disk) + 4096);
    check(append(&f, 1, 2000000, &err) == OCHRE_FULL);
    check(strstr(err.message, " 4096 are free") != NULL);
    for (size_t i = 0; i < 5; i++)
        check_ok(append(&f, 1, 100, &err), &err);
    check(append(&f, 1, 2000000, &err) == OCHRE_FULL);
    check_ok(append(&f, 1, 100, &err), &err);
    check_ok(open_log(&f, &err), &err);
    check(f.seen.n == 7 && f.seen.n_damaged == 0);
    /* Where little is free a file is small. */
    sim_disk_set_capacity(f.disk, sim_disk_used(f.disk) + (100 << 10));
    check_ok(append(&f, 1, 100, &err), &err);
    sim_disk_set_capacity(f.disk, UINT64_MAX);
    check_ok(append(&f, 1, 2000000, &err), &err);
    check_ok(open_log(&f, &err), &err);
    check(f.seen.n == 9 && f.seen.n_damaged == 0);
    end(&f);
}

/* Crash at every call of a run of appends: what was acknowledged is there, and
 * what is there is a prefix. */
static void
a_crash_loses_nothing_that_was_acknowledged(void **state)
{
    (void) state;
    size_t n_points = 0;
    for (unsigned mode = 0; mode < SIM_N_MODES; mode++) {
        bool finished = false;
        for (uint64_t n = 1; !finished; n++, n_points++) {
            struct fixture f;
            struct ochre_error err;
            begin(&f);
            check_ok(open_log(&f, &err), &err);
            check_ok(append(&f, 2, 50, &err), &err);
            size_t acknowledged = 2;
            sim_disk_crash(f.disk, n, n % 2 == 0 ? SIM_BEFORE : SIM_AFTER);
            for (int i = 0; i < 5; i++) {
                if (append(&f, 1 + (size_t) i % 2, i == 3 ? 1 << 20 : 3000, &err) != OCHRE_OK)
                    break;
                acknowledged += 1 + (size_t) i % 2;
            }
            finished = !sim_disk_has_crashed(f.disk);
            och_wal_close(f.wal);
            f.wal = NULL;
            sim_disk_recover(f.disk, (enum sim_mode) mode, n);
            check_ok(open_log(&f, &err), &err);
            if (f.seen.n < acknowledged || f.seen.n_damaged != 0) {
                print_message("mode %u call %llu: %zu of %zu records, %zu damaged\n", mode,
                        (unsigned long long) n, f.seen.n, acknowledged, f.seen.n_damaged);
                sim_disk_print_trace(f.disk, stdout);
            }
            check(f.seen.n >= acknowledged && f.seen.n_damaged == 0);
            for (size_t i = 0; i < f.seen.n; i++)
                check(f.seen.lsn[i] == i + 1);
            size_t before = f.seen.n;
            check_ok(append(&f, 1, 10, &err), &err);
            sim_disk_crash(f.disk, 1, SIM_BEFORE);
            och_wal_close(f.wal);
            f.wal = NULL;
            sim_disk_recover(f.disk, SIM_NONE_KEPT, n);
            check_ok(open_log(&f, &err), &err);
            check(f.seen.n == before + 1);
            end(&f);
        }
    }
    print_message("%zu crash points\n", n_points);
}

/* After a sync that failed the system may take for clean what is not on the disk.  What an
 * opening shows survives a power cut all the same. */
static void
what_is_shown_after_a_failed_call_is_durable(void **state)
{
    (void) state;
    bool failed = true;
    unsigned n_shown = 0;
    for (uint64_t n = 1; failed; n++) {
        struct fixture f;
        struct ochre_error err;
        begin(&f);
        check_ok(open_log(&f, &err), &err);
        check_ok(append(&f, 1, 2000, &err), &err);
        sim_disk_fail(f.disk, n, SIM_IO_FROM);
        ochre_status status = append(&f, 2, 2000, &err);
        failed = sim_disk_has_failed(f.disk);
        check((status != OCHRE_OK) == failed);
        sim_disk_fail(f.disk, 0, SIM_IO_ONCE);
        check_ok(open_log(&f, &err), &err);
        size_t shown = f.seen.n;
        check(shown >= 1);
        n_shown += failed && shown > 1;
        och_wal_close(f.wal);
        f.wal = NULL;
        sim_disk_recover(f.disk, SIM_NONE_KEPT, n);
        check_ok(open_log(&f, &err), &err);
        check(f.seen.n == shown && f.seen.n_damaged == 0);
        end(&f);
    }
    check(n_shown > 0);
}

static void
after_one_failed_call_the_log_goes_on(void **state)
{
    (void) state;
    bool finished = false;
    for (uint64_t n = 1; !finished; n++) {
        struct fixture f;
        struct ochre_error err;
        begin(&f);
        check_ok(open_log(&f, &err), &err);
        sim_disk_fail(f.disk, n, SIM_IO_ONCE);
        size_t acknowledged = 0;
        ochre_status last = OCHRE_OK;
        for (int i = 0; i < 4; i++) {
            last = append(&f, 1, 2000, &err);
            acknowledged += last == OCHRE_OK;
        }
        finished = !sim_disk_has_failed(f.disk);
        check(acknowledged >= 3);
        check(och_wal_next_lsn(f.wal) == acknowledged + 1);
        if (finished) {
            /* The fault is still armed: nothing more to learn from this disk. */
            end(&f);
            break;
        }
        check_ok(open_log(&f, &err), &err);
        /* A last append that failed may have reached the disk all the same. */
        check(f.seen.n == acknowledged || (last != OCHRE_OK && f.seen.n == acknowledged + 1));
        end(&f);
    }
}

/* A file whose header may be on disk although beginning it failed must not come
 * between the records before and after it. */
static void
a_file_that_failed_to_begin_overrides_nothing(void **state)
{
    (void) state;
    for (uint64_t n = 1; n < 40; n++) {
        struct fixture f;
        struct ochre_error err;
        begin(&f);
        check_ok(open_log(&f, &err), &err);
        check_ok(append(&f, 1, 100, &err), &err);
        size_t acknowledged = 1;
        size_t n_prepare_failures = 0;
        sim_disk_fail(f.disk, n, SIM_IO_ONCE);
        for (int i = 0; i < 6; i++) {
            acknowledged += append(&f, 1, 600000, &err) == OCHRE_OK;
            if (och_wal_wants_prepare(f.wal))
                n_prepare_failures += och_wal_prepare(f.wal, &err) != OCHRE_OK;
        }
        uint64_t keep = och_wal_next_lsn(f.wal) - 1;
        bool failed = sim_disk_has_failed(f.disk);
        check(n_prepare_failures <= 1);
        ochre_status trimmed = och_wal_trim(f.wal, keep, &err);
        uint64_t oldest = och_wal_oldest_lsn(f.wal);
        if (failed) {
            check_ok(trimmed, &err);
            check_ok(open_log(&f, &err), &err);
            check(f.seen.n >= acknowledged - (oldest - 1));
            check(f.seen.n == 0 || f.seen.lsn[0] == oldest);
        }
        end(&f);
    }
}

static bool
append_and_reopen(struct och_mem *mem)
{
    struct fixture f;
    struct ochre_error err = {.status = OCHRE_OK};
    begin(&f);
    f.options.mem = mem;
    size_t acknowledged = 0;
    bool ok = open_log(&f, &err) == OCHRE_OK;
    for (int i = 0; ok && i < 3; i++) {
        ok = append(&f, 2, 5000, &err) == OCHRE_OK;
        acknowledged += ok ? 2 : 0;
    }
    ok = ok && och_wal_prepare(f.wal, &err) == OCHRE_OK;
    ok = open_log(&f, &err) == OCHRE_OK && ok;
    if (ok)
        check(f.seen.n == acknowledged);
    check(ok || err.status == OCHRE_NO_MEMORY); /* and there is a message */
    end(&f);
    return ok;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(append_and_reopen);
}

/* The last file with records stays, until another one has some. */
static void
a_file_that_failed_to_begin_lets_no_other_go(void **state)
{
    (void) state;
    static struct fixture f;
    struct ochre_error err;
    for (uint64_t n = 1; n < 40; n++) {
        begin(&f);
        check_ok(open_log(&f, &err), &err);
        check_ok(append(&f, 3, 100, &err), &err);
        och_wal_roll(f.wal);
        sim_disk_fail(f.disk, n, SIM_IO_ONCE);
        ochre_status status = append(&f, 1, 100, &err);
        sim_disk_fail(f.disk, 0, SIM_IO_ONCE);
        uint64_t next = och_wal_next_lsn(f.wal);
        check(next == (status == OCHRE_OK ? 5 : 4));
        check(och_wal_can_trim(f.wal, next) == (status == OCHRE_OK));
        check_ok(och_wal_trim(f.wal, next, &err), &err);
        sim_disk_recover(f.disk, SIM_NONE_KEPT, n);
        f.options.lsn_min = next - 1;
        check_ok(open_log(&f, &err), &err);
        check(och_wal_next_lsn(f.wal) >= next);
        f.options.lsn_min = 0;
        end(&f);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(an_empty_log_begins_at_one),
            cmocka_unit_test(what_was_appended_comes_back_in_order),
            cmocka_unit_test(deferred_syncs_are_made_up_for),
            cmocka_unit_test(files_are_rotated_grow_and_are_trimmed),
            cmocka_unit_test(a_file_that_may_come_back_is_not_visited),
            cmocka_unit_test(a_log_shorter_than_the_catalog_knows_is_corrupt),
            cmocka_unit_test(a_file_of_another_database_is_refused),
            cmocka_unit_test(a_flipped_bit_below_the_synced_end_is_always_noticed),
            cmocka_unit_test(either_copy_of_a_file_header_is_enough),
            cmocka_unit_test(a_file_of_another_version_is_refused_and_none_is_removed),
            cmocka_unit_test(files_that_do_not_follow_on_each_other_are_damage),
            cmocka_unit_test(an_opening_that_fails_within_a_large_record_is_tried_again),
            cmocka_unit_test(an_opening_that_fails_in_the_space_behind_is_tried_again),
            cmocka_unit_test(a_file_cut_before_its_first_record_is_damaged),
            cmocka_unit_test(a_file_never_begun_is_known_whatever_is_behind),
            cmocka_unit_test(a_file_cut_within_a_record_is_damaged),
            cmocka_unit_test(a_file_cut_at_any_page_with_a_record_is_damaged),
            cmocka_unit_test(a_file_without_its_size_may_end_at_any_page),
            cmocka_unit_test(a_file_that_is_full_stays_as_long_as_it_is),
            cmocka_unit_test(a_torn_group_is_cut_behind_what_is_whole),
            cmocka_unit_test(a_crash_of_an_opening_loses_nothing_that_was_acknowledged),
            cmocka_unit_test(a_copy_as_long_as_it_should_be_is_whole),
            cmocka_unit_test(without_room_for_a_new_file_the_old_one_goes_on),
            cmocka_unit_test(a_crash_loses_nothing_that_was_acknowledged),
            cmocka_unit_test(what_is_shown_after_a_failed_call_is_durable),
            cmocka_unit_test(after_one_failed_call_the_log_goes_on),
            cmocka_unit_test(a_file_that_failed_to_begin_overrides_nothing),
            cmocka_unit_test(a_file_that_failed_to_begin_lets_no_other_go),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
            cmocka_unit_test(a_large_hole_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
