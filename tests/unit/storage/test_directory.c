#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "storage/directory.h"
#include "storage/wal.h"
#include "support/check.h"

struct fixture {
    struct och_mem mem;
    struct sim_disk *disk;
    struct sim_machine machine;
};

static void
begin(struct fixture *f)
{
    och_mem_init(&f->mem, NULL);
    f->disk = sim_disk_open(&f->mem, 1);
    sim_machine_init(&f->machine, 1);
}

static void
end(struct fixture *f)
{
    sim_disk_close(f->disk);
    check(och_mem_used(&f->mem) == 0);
}

static ochre_status
take(struct fixture *f, bool create, struct och_directory *directory, struct ochre_error *err)
{
    return och_directory_open(sim_disk_vfs(f->disk), &f->machine.machine, create, directory, err);
}

static void
put_file(struct fixture *f, const char *path)
{
    struct och_file *file;
    struct ochre_error err;
    check_ok(och_vfs_open(
                     sim_disk_vfs(f->disk), path, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &err),
            &err);
    och_file_close(file);
}

static void
a_new_directory_keeps_its_id(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    struct och_directory first, second;
    begin(&f);
    check(take(&f, false, &first, &err) == OCHRE_NOT_FOUND);
    check_ok(take(&f, true, &first, &err), &err);
    check(first.is_new);
    och_directory_close(&first);
    check_ok(take(&f, false, &second, &err), &err);
    check(och_uuid_equal(first.database, second.database));
    och_directory_close(&second);
    end(&f);
}

static void
a_second_opener_is_refused_with_the_pid_of_the_first(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    struct och_directory first, second;
    begin(&f);
    check_ok(take(&f, true, &first, &err), &err);
    check(take(&f, true, &second, &err) == OCHRE_BUSY);
    check(strstr(err.message, "pid ") != NULL);
    och_directory_close(&first);
    check_ok(take(&f, true, &second, &err), &err);
    och_directory_close(&second);
    end(&f);
}

static void
a_chroma_directory_is_refused_untouched(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    struct och_directory directory;
    bool there;
    begin(&f);
    put_file(&f, "chroma.sqlite3");
    check(take(&f, true, &directory, &err) == OCHRE_UNSUPPORTED);
    check(strstr(err.message, "chroma.sqlite3") != NULL);
    check_ok(och_vfs_exists(sim_disk_vfs(f.disk), "LOCK", &there, &err), &err);
    check(!there);
    end(&f);
}

static void
data_without_a_catalog_is_corrupt(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    struct och_directory directory;
    begin(&f);
    check_ok(take(&f, true, &directory, &err), &err);
    och_directory_close(&directory);
    check_ok(och_vfs_mkdir(sim_disk_vfs(f.disk), "log", &err), &err);
    check_ok(take(&f, true, &directory, &err), &err);
    och_directory_close(&directory);
    put_file(&f, "log/0000000000000001.log");
    check(take(&f, true, &directory, &err) == OCHRE_CORRUPT);
    put_file(&f, "catalog.db");
    check_ok(take(&f, true, &directory, &err), &err);
    check(!directory.is_new);
    och_directory_close(&directory);
    end(&f);
}

static void
every_flipped_bit_of_format_is_noticed(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    struct och_directory directory;
    begin(&f);
    check_ok(take(&f, true, &directory, &err), &err);
    och_directory_close(&directory);
    for (uint64_t offset = 0; offset < 48; offset++)
        for (unsigned bit = 0; bit < 8; bit++) {
            check(sim_disk_flip(f.disk, "FORMAT", offset, bit));
            check(take(&f, true, &directory, &err) == OCHRE_CORRUPT);
            check(sim_disk_flip(f.disk, "FORMAT", offset, bit));
        }
    end(&f);
}

/* Not even the text in LOCK. */
static void
another_version_is_refused_untouched(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    struct och_directory directory;
    struct och_file *file;
    char bytes[48];
    begin(&f);
    check_ok(take(&f, true, &directory, &err), &err);
    och_directory_close(&directory);
    check_ok(och_vfs_open(sim_disk_vfs(f.disk), "FORMAT", OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_read_all(file, 0, bytes, sizeof(bytes), &err), &err);
    och_store_u32(bytes + 16, 2);
    och_store_u64(bytes + 40, och_hash64(bytes, 40));
    check_ok(och_file_write(file, 0, bytes, sizeof(bytes), &err), &err);
    och_file_close(file);
    check_ok(och_vfs_open(sim_disk_vfs(f.disk), "LOCK", OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_write(file, 0, "theirs", 6, &err), &err);
    for (int create = 0; create < 2; create++) {
        check(take(&f, create == 1, &directory, &err) == OCHRE_UNSUPPORTED);
        check(strstr(err.message, "format 2") != NULL && strstr(err.message, "format 1") != NULL);
        check_ok(och_file_read_all(file, 0, bytes, 6, &err), &err);
        check(memcmp(bytes, "theirs", 6) == 0);
    }
    och_file_close(file);
    end(&f);
}

static ochre_status
note_nothing(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    (void) context;
    (void) record;
    (void) damaged;
    (void) err;
    return OCHRE_OK;
}

/* Leave a log file of a database behind. */
static void
put_log(struct fixture *f, struct och_uuid database)
{
    struct ochre_error err;
    struct och_wal *wal;
    struct och_wal_options options = {.mem = &f->mem,
            .vfs = sim_disk_vfs(f->disk),
            .machine = &f->machine.machine,
            .database = database};
    struct och_log_record record = {.type = 1, .payload = {"", 0}};
    check_ok(och_wal_open(&options, note_nothing, NULL, &wal, &err), &err);
    check_ok(och_wal_append(wal, &record, 1, &err), &err);
    och_wal_close(wal);
}

/* Who may only look finds the damage; who may write makes FORMAT anew. */
static void
check_mended(struct fixture *f, struct och_uuid database)
{
    struct ochre_error err;
    struct och_directory directory;
    check(take(f, false, &directory, &err) == OCHRE_CORRUPT);
    check_ok(take(f, true, &directory, &err), &err);
    check(och_uuid_equal(directory.database, database));
    och_directory_close(&directory);
    check_ok(take(f, false, &directory, &err), &err);
    check(och_uuid_equal(directory.database, database));
    och_directory_close(&directory);
}

static void
a_damaged_format_is_made_anew_from_the_log(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    struct och_directory directory;
    begin(&f);
    check_ok(take(&f, true, &directory, &err), &err);
    struct och_uuid database = directory.database;
    och_directory_close(&directory);
    put_log(&f, database);
    put_file(&f, "catalog.db");
    for (uint64_t offset = 0; offset < 48; offset++) {
        check(sim_disk_flip(f.disk, "FORMAT", offset, offset % 8));
        check_mended(&f, database);
    }
    for (uint64_t size = 0; size < 48; size += 47) {
        struct och_file *file;
        check_ok(och_vfs_open(sim_disk_vfs(f.disk), "FORMAT", OCH_OPEN_WRITE, &file, &err), &err);
        check_ok(och_file_truncate(file, size, &err), &err);
        och_file_close(file);
        check_mended(&f, database);
    }
    /* Logs that do not agree tell nothing. */
    check_ok(och_vfs_rename(sim_disk_vfs(f.disk), "log/0000000000000001.log",
                     "log/0000000000000007.log", &err),
            &err);
    check(sim_disk_flip(f.disk, "FORMAT", 30, 1));
    check_mended(&f, database);
    check_ok(och_vfs_rename(sim_disk_vfs(f.disk), "log/0000000000000007.log", "FORMAT.7", &err),
            &err);
    put_log(&f, (struct och_uuid){{1, 2, 3}});
    check_ok(och_vfs_rename(sim_disk_vfs(f.disk), "FORMAT.7", "log/0000000000000007.log", &err),
            &err);
    check(sim_disk_flip(f.disk, "FORMAT", 30, 1));
    check(take(&f, true, &directory, &err) == OCHRE_CORRUPT);
    end(&f);
}

/* Who looks changes nothing, and finds only what was whole once. */
static void
who_only_looks_finds_what_was_opened_before(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    struct och_directory directory, seen;
    begin(&f);
    struct och_vfs *vfs = sim_disk_vfs(f.disk);
    check(och_directory_look(vfs, &seen, &err) == OCHRE_NOT_FOUND);
    check(strstr(err.message, "no FORMAT file") != NULL);
    check_ok(take(&f, true, &directory, &err), &err);
    check(och_directory_look(vfs, &seen, &err) == OCHRE_NOT_FOUND);
    check(strstr(err.message, "never opened for writing") != NULL);
    put_log(&f, directory.database);
    put_file(&f, "catalog.db");
    uint64_t used = sim_disk_used(f.disk);
    check_ok(och_directory_look(vfs, &seen, &err), &err); /* though another one has the lock */
    check(och_uuid_equal(seen.database, directory.database) && !seen.is_new);
    check(sim_disk_used(f.disk) == used);
    och_directory_close(&seen);
    och_directory_close(&directory);
    end(&f);
}

/* While the files of before an upgrade are put back, they do not belong together. */
static void
who_only_looks_is_sent_away_while_an_upgrade_is_undone(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    struct och_directory directory, seen;
    begin(&f);
    struct och_vfs *vfs = sim_disk_vfs(f.disk);
    check_ok(take(&f, true, &directory, &err), &err);
    put_log(&f, directory.database);
    put_file(&f, "catalog.db");
    check_ok(och_vfs_mkdir(vfs, "upgrade", &err), &err);
    put_file(&f, "upgrade/KEPT");
    check_ok(och_directory_look(vfs, &seen, &err), &err);
    och_directory_close(&seen);
    put_file(&f, "upgrade/REVERT");
    check(och_directory_look(vfs, &seen, &err) == OCHRE_UNAVAILABLE);
    check(strstr(err.message, "an upgrade is being undone") != NULL);
    och_directory_close(&directory);
    end(&f);
}

static void
without_randomness_none_is_made(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    struct och_directory directory;
    begin(&f);
    f.machine.fail_entropy = true;
    check(take(&f, true, &directory, &err) == OCHRE_IO);
    f.machine.fail_entropy = false;
    check(take(&f, false, &directory, &err) == OCHRE_NOT_FOUND);
    check_ok(take(&f, true, &directory, &err), &err); /* and no lock was left */
    och_directory_close(&directory);
    end(&f);
}

static void
a_crash_while_making_one_leaves_one_or_none(void **state)
{
    (void) state;
    for (unsigned mode = 0; mode < SIM_N_MODES; mode++) {
        bool finished = false;
        for (uint64_t n = 1; !finished; n++) {
            struct fixture f;
            struct ochre_error err;
            struct och_directory directory;
            begin(&f);
            sim_disk_crash(f.disk, n, n % 2 == 0 ? SIM_BEFORE : SIM_AFTER);
            ochre_status status = take(&f, true, &directory, &err);
            struct och_uuid made = directory.database;
            och_directory_close(&directory);
            finished = !sim_disk_has_crashed(f.disk);
            sim_disk_recover(f.disk, (enum sim_mode) mode, n);
            check_ok(take(&f, true, &directory, &err), &err);
            if (status == OCHRE_OK)
                check(och_uuid_equal(made, directory.database));
            och_directory_close(&directory);
            end(&f);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_new_directory_keeps_its_id),
            cmocka_unit_test(a_second_opener_is_refused_with_the_pid_of_the_first),
            cmocka_unit_test(a_chroma_directory_is_refused_untouched),
            cmocka_unit_test(data_without_a_catalog_is_corrupt),
            cmocka_unit_test(every_flipped_bit_of_format_is_noticed),
            cmocka_unit_test(another_version_is_refused_untouched),
            cmocka_unit_test(a_damaged_format_is_made_anew_from_the_log),
            cmocka_unit_test(who_only_looks_finds_what_was_opened_before),
            cmocka_unit_test(who_only_looks_is_sent_away_while_an_upgrade_is_undone),
            cmocka_unit_test(without_randomness_none_is_made),
            cmocka_unit_test(a_crash_while_making_one_leaves_one_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
