/*
 * test_wal_salvage.c - what is found in a log that somebody damaged: every record that
 * no damage touches, and none that a later file overrides.
 */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/random.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "storage/wal.h"
#include "storage/wal_reach.h"
#include "storage/wal_salvage.h"
#include "support/check.h"

enum { RECORDS_MAX = 128, SIZE_MAX_HERE = 9000 };

struct fixture {
    struct och_mem mem;
    struct sim_disk *disk;
    struct sim_machine machine;
    struct och_wal_options options;
    struct och_wal *wal;
    unsigned version; /* of what is written */
    struct ochre_error err;
    /* What a salvage saw: */
    uint64_t last;
    unsigned n, n_damaged, n_notes;
    bool seen[RECORDS_MAX];
    uint64_t hashes[RECORDS_MAX];
};

static size_t
size_of(uint64_t lsn)
{
    return (size_t) (8 + lsn * 977 % SIZE_MAX_HERE);
}

static void
make_payload(uint64_t lsn, unsigned version, char payload[SIZE_MAX_HERE + 8])
{
    memset(payload, (int) (lsn * 7 + version), size_of(lsn));
    memcpy(payload, &lsn, sizeof(lsn));
}

static ochre_status
visit(void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct fixture *f = context;
    (void) err;
    check(record->lsn > f->last && record->lsn < RECORDS_MAX);
    check(record->position == record->lsn && record->collection == 7);
    f->last = record->lsn;
    f->n_damaged += damaged;
    if (damaged)
        return OCHRE_OK;
    f->n++;
    f->seen[record->lsn] = true;
    f->hashes[record->lsn] = och_hash64(record->payload.data, record->payload.size);
    return OCHRE_OK;
}

static void
note(void *context, const char *path, const char *message)
{
    struct fixture *f = context;
    check(strncmp(path, "log/", 4) == 0 && message[0] != '\0');
    f->n_notes++;
}

static void
open_log(struct fixture *f)
{
    och_wal_close(f->wal);
    f->wal = NULL;
    f->last = 0;
    check_ok(och_wal_open(&f->options, visit, f, &f->wal, &f->err), &f->err);
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
    open_log(f);
}

static void
end(struct fixture *f)
{
    och_wal_close(f->wal);
    sim_disk_close(f->disk);
    check(och_mem_used(&f->mem) == 0);
}

/* A group of n records. */
static ochre_status
append(struct fixture *f, size_t n)
{
    static char payloads[4][SIZE_MAX_HERE + 8];
    struct och_log_record records[4];
    uint64_t lsn = och_wal_next_lsn(f->wal);
    check(n <= 4);
    for (size_t i = 0; i < n; i++) {
        make_payload(lsn + i, f->version, payloads[i]);
        records[i] = (struct och_log_record){.position = lsn + i,
                .collection = 7,
                .type = 1,
                .payload = {payloads[i], size_of(lsn + i)},
                .payload_crc = och_crc32c(0, payloads[i], size_of(lsn + i))};
    }
    return och_wal_append(f->wal, records, n, &f->err);
}

/* 60 records in groups of different sizes, in three files. */
static void
fill(struct fixture *f)
{
    for (unsigned i = 0; i < 30; i++) {
        if (i == 10 || i == 20)
            och_wal_roll(f->wal);
        check_ok(append(f, 1 + i % 3), &f->err);
    }
    check(och_wal_next_lsn(f->wal) == 61);
    och_wal_close(f->wal);
    f->wal = NULL;
}

static struct och_wal_salvage
salvage(struct fixture *f, uint64_t lsn_min)
{
    struct och_wal_salvage salvage = {.mem = &f->mem,
            .vfs = f->options.vfs,
            .database = f->options.database,
            .lsn_min = lsn_min,
            .visit = visit,
            .note = note,
            .context = f};
    f->last = 0;
    f->n = 0;
    f->n_damaged = 0;
    f->n_notes = 0;
    memset(f->seen, 0, sizeof(f->seen));
    check_ok(och_wal_salvage(&salvage, &f->err), &f->err);
    return salvage;
}

/* What was seen is what was written. */
static void
check_seen(struct fixture *f, unsigned version)
{
    static char payload[SIZE_MAX_HERE + 8];
    for (uint64_t lsn = 1; lsn < RECORDS_MAX; lsn++) {
        if (!f->seen[lsn])
            continue;
        make_payload(lsn, version, payload);
        check(f->hashes[lsn] == och_hash64(payload, size_of(lsn)));
    }
}

static void
zero_page(struct fixture *f, const char *path, uint64_t page)
{
    static const char zeros[4096];
    struct och_file *file;
    check_ok(och_vfs_open(f->options.vfs, path, OCH_OPEN_WRITE, &file, &f->err), &f->err);
    check_ok(och_file_write(file, page * 4096, zeros, sizeof(zeros), &f->err), &f->err);
    och_file_close(file);
}

static void
all_of_a_whole_log_is_found(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    fill(&f);
    struct och_wal_salvage result = salvage(&f, 60);
    check(f.n == 60 && f.n_notes == 0 && f.n_damaged == 0);
    check(result.n_files == 3 && result.lsn_last == 60 && result.n_missing == 0);
    check_seen(&f, 0);
    end(&f);
}

/* A page of zeros anywhere costs the records that lie on it, and what is missing is
 * counted. */
static void
only_records_that_damage_touches_are_missing(void **state)
{
    (void) state;
    struct fixture f;
    unsigned n_holes = 0;
    for (uint64_t page = 1; page < 30; page++) {
        begin(&f);
        fill(&f);
        zero_page(&f, "log/0000000000000002.log", page);
        struct och_wal_salvage result = salvage(&f, 60);
        check(f.n + f.n_damaged + result.n_missing + result.n_in_doubt == 60);
        /* At most what fits a page, and the records that begin before it and end behind. */
        check(f.n >= 53 && result.lsn_last == 60 && result.n_in_doubt == 0);
        check((result.n_missing > 0) == (f.n_notes > 0));
        n_holes += result.n_missing > 0;
        check_seen(&f, 0);
        end(&f);
    }
    check(n_holes > 5);
}

static void
bits_that_flip_cost_a_record_at_most(void **state)
{
    (void) state;
    struct fixture f;
    uint64_t seed = 1;
    begin(&f);
    fill(&f);
    for (unsigned i = 0; i < 300; i++) {
        struct sim_disk *disk = f.disk;
        char path[32];
        (void) snprintf(path, sizeof(path), "log/000000000000000%u.log",
                1 + (unsigned) och_random_below(&seed, 3));
        f.disk = sim_disk_clone(disk);
        f.options.vfs = sim_disk_vfs(f.disk);
        check(sim_disk_flip(f.disk, path, 4096 + och_random_below(&seed, 100000), i % 8));
        struct och_wal_salvage result = salvage(&f, 60);
        check(f.n >= 59 && f.n + f.n_damaged + result.n_missing == 60);
        check_seen(&f, 0);
        sim_disk_close(f.disk);
        f.disk = disk;
        f.options.vfs = sim_disk_vfs(disk);
    }
    end(&f);
}

/* Wherever the last file is cut, what is lost with it is said, though nothing else knows of
 * it. */
static void
a_log_that_is_cut_says_so(void **state)
{
    (void) state;
    struct fixture f;
    unsigned n_cuts = 0, n_lost = 0;
    begin(&f);
    fill(&f);
    for (uint64_t size = 4096 + 700; size < 100000;
            size += n_cuts++ % 2 == 0 ? 1111 : 4096 - size % 4096) {
        struct sim_disk *disk = f.disk;
        struct och_file *file;
        f.disk = sim_disk_clone(disk);
        f.options.vfs = sim_disk_vfs(f.disk);
        check_ok(och_vfs_open(
                         f.options.vfs, "log/0000000000000003.log", OCH_OPEN_WRITE, &file, &f.err),
                &f.err);
        check_ok(och_file_truncate(file, size, &f.err), &f.err);
        och_file_close(file);
        (void) salvage(&f, 0);
        check(f.n == 60 || f.n_notes > 0);
        n_lost += f.n < 60;
        check_seen(&f, 0);
        sim_disk_close(f.disk);
        f.disk = disk;
        f.options.vfs = sim_disk_vfs(disk);
    }
    check(n_lost > 20);
    end(&f);
}

/* A file whose sync failed ends in records that were never acknowledged, and that the
 * next file has in another form.  When that one cannot be read, they are in doubt. */
static void
what_may_have_been_overridden_is_not_visited(void **state)
{
    (void) state;
    struct fixture f;
    for (unsigned lost = 0; lost < 4; lost++) {
        begin(&f);
        for (unsigned i = 0; i < 5; i++)
            check_ok(append(&f, 1), &f.err);
        f.version = 1;
        sim_disk_fail(f.disk, 2, SIM_IO_ONCE); /* written, and not synced */
        check(append(&f, 1) == OCHRE_IO);
        f.version = 2;
        for (unsigned i = 0; i < 3; i++)
            check_ok(append(&f, 1), &f.err); /* 6, 7 and 8, in the next file */
        och_wal_roll(f.wal);
        check_ok(append(&f, 1), &f.err);
        och_wal_close(f.wal);
        f.wal = NULL;
        if (lost == 1)
            zero_page(&f, "log/0000000000000002.log", 0);
        if (lost == 2)
            check_ok(och_vfs_remove(f.options.vfs, "log/0000000000000002.log", &f.err), &f.err);
        if (lost == 3)
            for (unsigned i = 2; i <= 3; i++) {
                char path[32];
                (void) snprintf(path, sizeof(path), "log/000000000000000%u.log", i);
                check_ok(och_vfs_remove(f.options.vfs, path, &f.err), &f.err);
            }
        struct och_wal_salvage result = salvage(&f, 9);
        for (uint64_t lsn = 1; lsn <= 9; lsn++)
            check(f.seen[lsn] == (lsn <= 5 || lost == 0 || (lsn == 9 && lost < 3)));
        static char payload[SIZE_MAX_HERE + 8];
        make_payload(6, 2, payload);
        check(lost != 0 || f.hashes[6] == och_hash64(payload, size_of(6)));
        check(result.n_in_doubt == (lost > 0));
        check((lost == 0) == (f.n_notes == 0));
        end(&f);
    }
}

/* A whole file that is gone, or zeroed altogether, wherever it was: the table beside the log says
 * which records it may have had. */
static void
whole_files_that_are_lost_are_told_of_by_the_table(void **state)
{
    (void) state;
    static const uint64_t first_lsns[] = {1, 20, 40, UINT64_MAX};
    struct fixture f;
    for (unsigned n = 1; n <= 3; n++) {
        for (unsigned zeroed = 0; zeroed < 2; zeroed++) {
            char path[32];
            begin(&f);
            f.options.keeps_reach = true;
            open_log(&f);
            check_ok(och_wal_begin_reach(f.wal, &f.err), &f.err);
            fill(&f);
            (void) snprintf(path, sizeof(path), "log/000000000000000%u.log", n);
            if (zeroed == 0)
                check_ok(och_vfs_remove(f.options.vfs, path, &f.err), &f.err);
            for (unsigned page = 0; zeroed == 1 && page < 256; page++)
                zero_page(&f, path, page);
            struct wal_reach *reach = NULL;
            check_ok(och_wal_reach_make(&f.mem, f.options.vfs, f.options.database, &reach, &f.err),
                    &f.err);
            struct och_wal_salvage result = {.mem = &f.mem,
                    .vfs = f.options.vfs,
                    .database = f.options.database,
                    .reach = reach,
                    .visit = visit,
                    .note = note,
                    .context = &f};
            check_ok(och_wal_salvage(&result, &f.err), &f.err);
            check(f.n_notes > 0 && result.missing_to == first_lsns[n]);
            for (uint64_t lsn = 1; lsn <= 60; lsn++)
                check(f.seen[lsn] || (lsn >= result.missing_from && lsn < result.missing_to));
            check(f.n >= 36);
            och_wal_reach_close(reach);
            end(&f);
        }
    }
}

static void
another_databases_file_is_left_alone(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    fill(&f);
    f.options.database.bytes[5] = 9;
    struct och_wal_salvage result = salvage(&f, 0);
    check(f.n == 0 && result.n_files == 0 && result.n_lost == 3 && f.n_notes == 3);
    end(&f);
}

static void
a_log_begins_where_it_is_told_to(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    och_wal_close(f.wal);
    f.wal = NULL;
    f.options.lsn_first = 50;
    f.options.lsn_min = 49;
    open_log(&f);
    check_ok(append(&f, 2), &f.err);
    f.options.lsn_first = 0;
    f.options.lsn_min = 51;
    open_log(&f);
    check(och_wal_oldest_lsn(f.wal) == 50 && och_wal_next_lsn(f.wal) == 52);
    end(&f);
}

static void
any_allocation_may_fail(void **state)
{
    (void) state;
    struct fixture f;
    struct och_mem mem;
    ochre_status status = OCHRE_NO_MEMORY;
    begin(&f);
    fill(&f);
    for (uint64_t n = 1; status != OCHRE_OK; n++) {
        och_mem_init(&mem, NULL);
        mem.fail_at = n;
        struct och_wal_salvage result = {.mem = &mem,
                .vfs = f.options.vfs,
                .database = f.options.database,
                .visit = visit,
                .context = &f};
        f.last = 0;
        status = och_wal_salvage(&result, &f.err);
        check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        check(och_mem_used(&mem) == 0);
    }
    end(&f);
}

/* A call that fails is said; what damage alone costs is not mixed up with it. */
static void
a_log_that_cannot_be_read_is_not_salvaged(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    while (och_wal_next_lsn(f.wal) < RECORDS_MAX - 4) /* more than is read at once */
        check_ok(append(&f, 3), &f.err);
    uint64_t last = och_wal_next_lsn(f.wal) - 1;
    och_wal_close(f.wal);
    f.wal = NULL;
    struct och_file *file; /* and one that was never begun */
    check_ok(och_vfs_open(f.options.vfs, "log/0000000000000002.log",
                     OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &f.err),
            &f.err);
    check_ok(och_file_truncate(file, 1 << 20, &f.err), &f.err);
    och_file_close(file);
    uint64_t n_failed = 0;
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        struct och_wal_salvage salvage = {.mem = &f.mem,
                .vfs = f.options.vfs,
                .database = f.options.database,
                .lsn_min = last,
                .visit = visit,
                .note = note,
                .context = &f};
        f.last = 0;
        sim_disk_fail(f.disk, n, SIM_IO_ONCE);
        ochre_status status = och_wal_salvage(&salvage, &f.err);
        failed = sim_disk_has_failed(f.disk);
        sim_disk_fail(f.disk, 0, SIM_IO_ONCE);
        check(status == (failed ? OCHRE_IO : OCHRE_OK));
        check(failed || f.last == last);
        n_failed += failed;
    }
    check(n_failed > 9);
    end(&f);
}

/* So is one that is missing: there is nothing in it. */
static void
of_a_log_that_is_missing_nothing_is_found(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    och_wal_close(f.wal);
    f.wal = NULL;
    sim_disk_close(f.disk);
    f.disk = sim_disk_open(&f.mem, 2);
    f.options.vfs = sim_disk_vfs(f.disk);
    struct och_wal_salvage result = salvage(&f, 0);
    check(result.n_files == 0 && f.n == 0 && f.n_notes == 0);
    end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(all_of_a_whole_log_is_found),
            cmocka_unit_test(only_records_that_damage_touches_are_missing),
            cmocka_unit_test(bits_that_flip_cost_a_record_at_most),
            cmocka_unit_test(a_log_that_is_cut_says_so),
            cmocka_unit_test(what_may_have_been_overridden_is_not_visited),
            cmocka_unit_test(whole_files_that_are_lost_are_told_of_by_the_table),
            cmocka_unit_test(another_databases_file_is_left_alone),
            cmocka_unit_test(a_log_begins_where_it_is_told_to),
            cmocka_unit_test(any_allocation_may_fail),
            cmocka_unit_test(a_log_that_cannot_be_read_is_not_salvaged),
            cmocka_unit_test(of_a_log_that_is_missing_nothing_is_found),
    };
    return cmocka_run_group_tests_name("wal_salvage", tests, NULL, NULL);
}
