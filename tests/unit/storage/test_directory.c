#include <string.h>

#include "base/mem.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "storage/directory.h"
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
            cmocka_unit_test(a_crash_while_making_one_leaves_one_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
