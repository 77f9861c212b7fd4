#include <string.h>

#include "base/mem.h"
#include "os/vfs_memory.h"
#include "sim/sim_disk.h"
#include "support/check.h"

struct fixture {
    struct och_mem mem;
    struct sim_disk *disk;
    struct och_vfs_memory files;
    struct ochre_error err;
};

static void
put(struct fixture *f, struct och_vfs *vfs, const char *name, const char *text)
{
    struct och_file *file;
    check_ok(och_vfs_open(vfs, name, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &f->err), &f->err);
    check_ok(och_file_write(file, 0, text, strlen(text), &f->err), &f->err);
    check_ok(och_file_sync(file, &f->err), &f->err);
    och_file_close(file);
}

static bool
has(struct fixture *f, struct och_vfs *vfs, const char *name, const char *text)
{
    struct och_file *file = NULL;
    char bytes[64];
    size_t n_read = 0;
    if (och_vfs_open(vfs, name, OCH_OPEN_READ, &file, &f->err) != OCHRE_OK)
        return text == NULL;
    check_ok(och_file_read(file, 0, bytes, sizeof(bytes), &n_read, &f->err), &f->err);
    och_file_close(file);
    return text != NULL && n_read == strlen(text) && memcmp(bytes, text, n_read) == 0;
}

static void
begin(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->mem, NULL);
    f->disk = sim_disk_open(&f->mem, 1);
    och_vfs_memory_init(&f->files, &f->mem);
}

static void
end(struct fixture *f)
{
    och_vfs_memory_clear(&f->files);
    sim_disk_close(f->disk);
    check(och_mem_used(&f->mem) == 0);
}

static void
a_copy_is_changed_and_the_file_is_not(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    struct och_vfs *disk = sim_disk_vfs(f.disk);
    struct och_vfs *memory = &f.files.vfs;
    put(&f, disk, "a", "first");
    check_ok(och_vfs_memory_copy(&f.files, disk, "a", &f.err), &f.err);
    check(och_vfs_memory_copy(&f.files, disk, "b", &f.err) == OCHRE_NOT_FOUND);
    check(has(&f, memory, "a", "first") && has(&f, memory, "b", NULL));
    put(&f, memory, "a", "other");
    check(has(&f, memory, "a", "other") && has(&f, disk, "a", "first"));
    check_ok(och_vfs_memory_copy(&f.files, disk, "a", &f.err), &f.err);
    check(has(&f, memory, "a", "first"));
    end(&f);
}

static void
files_are_renamed_removed_and_cut(void **state)
{
    (void) state;
    struct fixture f;
    struct och_file *file;
    begin(&f);
    struct och_vfs *memory = &f.files.vfs;
    put(&f, memory, "a", "first");
    put(&f, memory, "b", "second");
    check_ok(och_vfs_rename(memory, "a", "b", &f.err), &f.err);
    check(has(&f, memory, "a", NULL) && has(&f, memory, "b", "first"));
    check(och_vfs_rename(memory, "a", "c", &f.err) == OCHRE_NOT_FOUND);
    check_ok(och_vfs_rename(memory, "b", "b", &f.err), &f.err);
    check(has(&f, memory, "b", "first"));
    check_ok(och_vfs_open(memory, "b", OCH_OPEN_WRITE, &file, &f.err), &f.err);
    check_ok(och_file_truncate(file, 2, &f.err), &f.err);
    check_ok(och_file_truncate(file, 4, &f.err), &f.err);
    och_file_close(file);
    check(!has(&f, memory, "b", "fi") && !has(&f, memory, "b", "firs"));
    check_ok(och_vfs_remove(memory, "b", &f.err), &f.err);
    check(och_vfs_remove(memory, "b", &f.err) == OCHRE_NOT_FOUND);
    put(&f, memory, "b", "");
    check(has(&f, memory, "b", ""));
    end(&f);
}

static void
there_are_no_more_files_than_places(void **state)
{
    (void) state;
    struct fixture f;
    struct och_file *file;
    char name[2] = "a";
    begin(&f);
    for (unsigned i = 0; i < OCH_MEMORY_FILES_MAX; i++, name[0]++)
        put(&f, &f.files.vfs, name, name);
    check(och_vfs_open(&f.files.vfs, name, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &f.err) ==
            OCHRE_NOT_FOUND);
    check(has(&f, &f.files.vfs, "a", "a") && has(&f, &f.files.vfs, "h", "h"));
    end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_copy_is_changed_and_the_file_is_not),
            cmocka_unit_test(files_are_renamed_removed_and_cut),
            cmocka_unit_test(there_are_no_more_files_than_places),
    };
    return cmocka_run_group_tests_name("vfs_memory", tests, NULL, NULL);
}
