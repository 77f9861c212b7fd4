/* Files of the log that are lost, by what the table beside it knows of them (storage/wal_reach.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "storage/directory.h"
#include "storage/wal.h"
#include "support/check.h"

enum { PAYLOAD_SIZE = 6000, N_FILES_MAX = 64, FILE_SIZE_MAX = 1 << 20 };

struct fixture {
    struct och_mem mem;
    struct sim_disk *disk;
    struct sim_machine machine;
    struct och_wal_options options;
    struct och_wal *wal;
    unsigned n_seen;
};

struct files {
    char paths[N_FILES_MAX][64];
    size_t n;
};

static ochre_status
visit(void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct fixture *f = context;
    (void) record;
    (void) err;
    f->n_seen += !damaged;
    return OCHRE_OK;
}

static ochre_status
open_log(struct fixture *f, bool passes_holes, struct ochre_error *err)
{
    och_wal_close(f->wal);
    f->wal = NULL;
    f->n_seen = 0;
    f->options.passes_holes = passes_holes;
    return och_wal_open(&f->options, visit, f, &f->wal, err);
}

static void
begin(struct fixture *f)
{
    struct ochre_error err;
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->mem, NULL);
    f->disk = sim_disk_open(&f->mem, 1);
    sim_machine_init(&f->machine, 1);
    f->options = (struct och_wal_options){.mem = &f->mem,
            .vfs = sim_disk_vfs(f->disk),
            .machine = &f->machine.machine,
            .keeps_reach = true,
            .database = {{1, 2, 3}}};
    check_ok(open_log(f, false, &err), &err);
}

static void
end(struct fixture *f)
{
    och_wal_close(f->wal);
    sim_disk_close(f->disk);
    check(och_mem_used(&f->mem) == 0);
}

/* A group of one record of each of the collections 1 .. n. */
static ochre_status
append(struct fixture *f, uint32_t n, struct ochre_error *err)
{
    static char payload[PAYLOAD_SIZE];
    struct och_log_record records[4];
    uint64_t lsn = och_wal_next_lsn(f->wal);
    memset(payload, 'x', sizeof(payload));
    check(n <= 4);
    for (uint32_t i = 0; i < n; i++)
        records[i] = (struct och_log_record){.position = lsn + i,
                .collection = 1 + i,
                .type = 1,
                .payload = {payload, sizeof(payload)},
                .payload_crc = och_crc32c(0, payload, sizeof(payload))};
    return och_wal_append(f->wal, records, n, err);
}

/* Three files of four records each, of two collections. */
static void
fill(struct fixture *f)
{
    struct ochre_error err;
    check_ok(och_wal_begin_reach(f->wal, &err), &err);
    for (unsigned i = 0; i < 6; i++) {
        if (i > 0 && i % 2 == 0)
            och_wal_roll(f->wal);
        check_ok(append(f, 2, &err), &err);
    }
}

static ochre_status
note_name(void *context, const char *name, bool is_dir)
{
    struct files *files = context;
    (void) is_dir;
    check(files->n < N_FILES_MAX);
    (void) snprintf(files->paths[files->n++], sizeof(files->paths[0]), "log/%.40s", name);
    return OCHRE_OK;
}

static struct files
list(struct fixture *f)
{
    struct ochre_error err;
    struct files files = {.n = 0};
    check_ok(och_vfs_list(f->options.vfs, "log", note_name, &files, &err), &err);
    return files;
}

static void
lose(struct fixture *f, const char *path)
{
    struct ochre_error err;
    check_ok(och_vfs_remove(f->options.vfs, path, &err), &err);
    check_ok(och_vfs_sync_dir(f->options.vfs, "log", &err), &err);
}

static void
zero(struct fixture *f, const char *path)
{
    static const char zeros[4096];
    struct ochre_error err;
    struct och_file *file;
    uint64_t size = 0;
    check_ok(och_vfs_open(f->options.vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_size(file, &size, &err), &err);
    for (uint64_t at = 0; at < size; at += sizeof(zeros))
        check_ok(och_file_write(file, at, zeros, sizeof(zeros), &err), &err);
    check_ok(och_file_sync(file, &err), &err);
    och_file_close(file);
}

static void
zero_page(struct fixture *f, const char *path)
{
    static const char zeros[4096];
    struct ochre_error err;
    struct och_file *file;
    check_ok(och_vfs_open(f->options.vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_write(file, 0, zeros, sizeof(zeros), &err), &err);
    check_ok(och_file_sync(file, &err), &err);
    och_file_close(file);
}

static size_t
read_file(struct fixture *f, const char *path, char *bytes)
{
    struct ochre_error err;
    struct och_file *file;
    uint64_t size = 0;
    check_ok(och_vfs_open(f->options.vfs, path, OCH_OPEN_READ, &file, &err), &err);
    check_ok(och_file_size(file, &size, &err), &err);
    check(size <= FILE_SIZE_MAX);
    check_ok(och_file_read_all(file, 0, bytes, (size_t) size, &err), &err);
    och_file_close(file);
    return (size_t) size;
}

static void
a_whole_file_that_is_lost_is_noticed(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    for (unsigned n = 0; n < 3; n++) {
        for (unsigned zeroed = 0; zeroed < 2; zeroed++) {
            for (unsigned rests = 0; rests < 2; rests++) {
                begin(&f);
                fill(&f);
                if (rests)
                    check(!och_wal_rest(f.wal, true));
                struct files files = list(&f);
                if (zeroed)
                    zero(&f, files.paths[n]);
                else
                    lose(&f, files.paths[n]);
                check(open_log(&f, false, &err) == OCHRE_CORRUPT);
                check_ok(open_log(&f, true, &err), &err);
                /* The group before it may have been overridden by what it had. */
                check(f.n_seen == (n == 0 ? 8 : 6) && och_wal_has_holes(f.wal));
                check(och_wal_lacks(f.wal, 1, n == 2 ? 5 : 0));
                check(och_wal_lacks(f.wal, 2, n == 2 ? 6 : 0));
                check(!och_wal_lacks(f.wal, 3, 0));
                /* It goes on, and whoever comes later is told as well. */
                check_ok(och_wal_begin_reach(f.wal, &err), &err);
                check_ok(append(&f, 1, &err), &err);
                ochre_status status = open_log(&f, false, &err);
                if (status == OCHRE_CORRUPT)
                    check_ok(open_log(&f, true, &err), &err);
                check(och_wal_has_holes(f.wal) && och_wal_lacks(f.wal, 1, 100));
                end(&f);
            }
        }
    }
}

static void
files_that_were_trimmed_are_not_missing(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    bool has_crashed = true;
    unsigned n_trimmed = 0;
    for (uint64_t n = 1; has_crashed; n++) {
        begin(&f);
        fill(&f);
        sim_disk_crash(f.disk, n, n % 2 == 0 ? SIM_BEFORE : SIM_AFTER);
        ochre_status trimmed = och_wal_trim(f.wal, 9, &err);
        (void) trimmed;
        has_crashed = sim_disk_has_crashed(f.disk);
        if (!has_crashed)
            sim_disk_crash(f.disk, 1, SIM_BEFORE);
        och_wal_close(f.wal);
        f.wal = NULL;
        sim_disk_recover(f.disk, (enum sim_mode)(n % SIM_N_MODES), n);
        check_ok(open_log(&f, false, &err), &err);
        check(!och_wal_has_holes(f.wal) && f.n_seen % 4 == 0 && f.n_seen >= 4);
        n_trimmed += f.n_seen == 4;
        if (f.n_seen == 4) { /* what is left is all there may be */
            struct files files = list(&f);
            lose(&f, files.paths[0]);
            check(open_log(&f, false, &err) == OCHRE_CORRUPT);
        }
        end(&f);
    }
    check(n_trimmed > 1);
}

/* What was found missing stays so, though the table says nothing of the log any more. */
static void
what_lacks_is_remembered_whatever_the_table_is_worth(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    fill(&f);
    struct files files = list(&f);
    lose(&f, files.paths[0]);
    check_ok(open_log(&f, true, &err), &err);
    check(och_wal_lacks(f.wal, 1, 0));
    check_ok(och_wal_begin_reach(f.wal, &err), &err);
    check_ok(append(&f, 1, &err), &err);
    sim_disk_fail(f.disk, 1, SIM_IO_ONCE);
    check(!och_wal_rest(f.wal, true)); /* it is given up */
    sim_disk_fail(f.disk, UINT64_MAX, SIM_IO_ONCE);
    check_ok(append(&f, 1, &err), &err); /* in a file that says so */
    for (unsigned i = 0; i < 3; i++) {
        check_ok(open_log(&f, false, &err), &err);
        check(och_wal_has_holes(f.wal) && och_wal_lacks(f.wal, 1, 100));
        check(!och_wal_lacks(f.wal, 3, 0));
        if (i > 0)
            check_ok(och_wal_begin_reach(f.wal, &err), &err);
    }
    end(&f);
}

/* The table may know of a file though writing that failed: another one is begun without it. */
static void
a_table_that_failed_is_not_of_the_file_it_names(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    bool has_failed = true;
    for (uint64_t n = 1; has_failed; n++) {
        begin(&f);
        fill(&f);
        check(!och_wal_rest(f.wal, true));
        och_wal_roll(f.wal);
        sim_disk_fail(f.disk, n, SIM_IO_ONCE);
        ochre_status status = append(&f, 1, &err);
        has_failed = sim_disk_has_failed(f.disk);
        sim_disk_fail(f.disk, UINT64_MAX, SIM_IO_ONCE);
        check(status == OCHRE_OK || status == OCHRE_IO);
        if (status != OCHRE_OK)
            check_ok(append(&f, 1, &err), &err);
        check_ok(append(&f, 2, &err), &err);
        const uint64_t last = och_wal_next_lsn(f.wal) - 1;
        /* Killed; and the header of the newest file that was begun is lost. */
        struct files files = list(&f);
        zero_page(&f, files.paths[files.n - 1]);
        ochre_status opened = open_log(&f, true, &err);
        check(opened == OCHRE_CORRUPT || och_wal_lacks(f.wal, 2, last - 2));
        end(&f);
    }
}

static void
a_log_that_is_gone_altogether_is_missing(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    fill(&f);
    struct files files = list(&f);
    for (size_t i = 0; i < files.n; i++)
        lose(&f, files.paths[i]);
    check_ok(och_vfs_rmdir(f.options.vfs, "log", &err), &err);
    f.options.read_only = true;
    check(open_log(&f, false, &err) == OCHRE_CORRUPT);
    check_ok(och_vfs_remove(f.options.vfs, OCH_DIR_REACH, &err), &err);
    check(open_log(&f, false, &err) == OCHRE_NOT_FOUND);
    end(&f);
}

/* A table that lies there and is not kept says that older files are there. */
static void
nothing_is_trimmed_beside_a_table_that_was_given_up(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    fill(&f);
    sim_disk_fail(f.disk, 1, SIM_IO_ONCE);
    check(!och_wal_rest(f.wal, true));
    sim_disk_fail(f.disk, UINT64_MAX, SIM_IO_ONCE);
    check_ok(och_wal_trim(f.wal, 9, &err), &err);
    check(list(&f).n == 3);
    check_ok(open_log(&f, false, &err), &err);
    check_ok(och_wal_trim(f.wal, 9, &err), &err); /* nor by who opens it and begins none */
    check(list(&f).n == 3);
    check_ok(append(&f, 1, &err), &err); /* in a file that says so */
    check_ok(och_wal_trim(f.wal, 9, &err), &err);
    check(list(&f).n == 2);
    check_ok(open_log(&f, false, &err), &err);
    check(!och_wal_has_holes(f.wal) && f.n_seen == 5);
    end(&f);
}

/* What is behind a damaged record may be all that is left of others. */
static void
an_opening_that_refuses_changes_nothing(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    static char before[FILE_SIZE_MAX], after[FILE_SIZE_MAX];
    begin(&f);
    check_ok(och_wal_begin_reach(f.wal, &err), &err);
    check_ok(append(&f, 3, &err), &err);
    check(och_wal_rest(f.wal, false)); /* it knows how far they go */
    och_wal_close(f.wal);
    f.wal = NULL;
    struct files files = list(&f);
    check(sim_disk_flip(f.disk, files.paths[0], 4096 + 100, 3));
    size_t size = read_file(&f, files.paths[0], before);
    check(open_log(&f, false, &err) == OCHRE_CORRUPT);
    check(read_file(&f, files.paths[0], after) == size && memcmp(before, after, size) == 0);
    check_ok(open_log(&f, true, &err), &err);
    check(och_wal_lacks(f.wal, 1, 0) && och_wal_lacks(f.wal, 3, 0));
    check(read_file(&f, files.paths[0], after) == size && memcmp(before, after, size) == 0);
    end(&f);
}

static void
a_table_that_cannot_be_written_costs_few_files(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    check_ok(och_vfs_mkdir(f.options.vfs, OCH_DIR_REACH, &err), &err);
    check(och_wal_begin_reach(f.wal, &err) != OCHRE_OK);
    for (unsigned i = 0; i < 200; i++) {
        check_ok(append(&f, 1, &err), &err);
        check(!och_wal_rest(f.wal, false));
    }
    check(list(&f).n < 12);
    /* It is trimmed all the same. */
    check_ok(och_wal_trim(f.wal, och_wal_next_lsn(f.wal), &err), &err);
    check(list(&f).n <= 2);
    end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_whole_file_that_is_lost_is_noticed),
            cmocka_unit_test(files_that_were_trimmed_are_not_missing),
            cmocka_unit_test(what_lacks_is_remembered_whatever_the_table_is_worth),
            cmocka_unit_test(a_table_that_failed_is_not_of_the_file_it_names),
            cmocka_unit_test(a_log_that_is_gone_altogether_is_missing),
            cmocka_unit_test(nothing_is_trimmed_beside_a_table_that_was_given_up),
            cmocka_unit_test(an_opening_that_refuses_changes_nothing),
            cmocka_unit_test(a_table_that_cannot_be_written_costs_few_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
