/*
 * test_kept.c - what an upgrade keeps: found again as it was, and nothing else touched.  The
 * whole upgrade, with a crash at each call, is in unit/api/upgrade.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "storage/kept.h"
#include "support/check.h"

#define COLLECTION "seg/11111111-1111-4111-8111-111111111111"
#define LONG_NAME                                                                       \
    "a-name-that-is-longer-than-the-path-of-any-file-that-a-database-has-or-will-have-" \
    "in-its-directory-of-segments"

/* A database's files, as far as keeping them goes. */
static const char *const members[] = {"FORMAT", "catalog.db", "log/0000000000000001.log",
        "log/0000000000000002.log", COLLECTION "/0000000000000001.seg",
        COLLECTION "/0000000000000001.0000000000000002.del"};
enum { N_MEMBERS = 6 };

/* What else may lie there, as somebody else's. */
static const char *const strange_dirs[] = {"log/theirs", COLLECTION "/theirs", "seg/" LONG_NAME};
static const char *const strange_files[] = {
        "log/note", "log/" LONG_NAME, "seg/note", COLLECTION "/note", "seg/" LONG_NAME "/file"};
enum { N_DIRS = 3, N_FILES = 5 };

struct fixture {
    struct och_mem mem;
    struct sim_disk *disk;
    struct och_vfs *vfs;
    struct och_kept_was was;
    struct ochre_error err;
};

static void
put_file(struct fixture *f, const char *path, const char *text)
{
    struct och_file *file;
    check_ok(och_vfs_open(f->vfs, path, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &f->err), &f->err);
    check_ok(och_file_truncate(file, 0, &f->err), &f->err);
    check_ok(och_file_write(file, 0, text, strlen(text), &f->err), &f->err);
    och_file_close(file);
}

static bool
has_text(struct fixture *f, const char *path, const char *text)
{
    char bytes[256];
    size_t n = 0;
    struct och_file *file;
    check_ok(och_vfs_open(f->vfs, path, OCH_OPEN_READ, &file, &f->err), &f->err);
    check_ok(och_file_read(file, 0, bytes, sizeof(bytes), &n, &f->err), &f->err);
    och_file_close(file);
    return n == strlen(text) && memcmp(bytes, text, n) == 0;
}

static bool
exists(struct fixture *f, const char *path)
{
    bool there = false;
    check_ok(och_vfs_exists(f->vfs, path, &there, &f->err), &f->err);
    return there;
}

static enum och_kept_state
look(struct fixture *f)
{
    enum och_kept_state state;
    check_ok(och_kept_look(f->vfs, &state, &f->err), &f->err);
    return state;
}

static void
keep(struct fixture *f)
{
    check_ok(och_kept_make(&f->mem, f->vfs, f->vfs, &f->was, &f->err), &f->err);
    check(look(f) == OCH_KEPT_WHOLE);
}

/* Each file holds its own path. */
static void
begin(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->mem, NULL);
    f->disk = sim_disk_open(&f->mem, 1);
    f->vfs = sim_disk_vfs(f->disk);
    f->was = (struct och_kept_was){.database = {{1, 2, 3}}, .digest = 4, .made_unix_s = 5};
    static const char *const dirs[] = {"log", "seg", COLLECTION};
    for (size_t i = 0; i < 3; i++)
        check_ok(och_vfs_mkdir(f->vfs, dirs[i], &f->err), &f->err);
    for (size_t i = 0; i < N_MEMBERS; i++)
        put_file(f, members[i], members[i]);
}

static void
end(struct fixture *f)
{
    sim_disk_close(f->disk);
    check(och_mem_used(&f->mem) == 0);
}

static void
what_was_kept_is_put_back_and_what_is_newer_goes(void **state)
{
    (void) state;
    struct fixture f;
    static const char *const newer[] = {
            "log/0000000000000003.log", COLLECTION "/0000000000000004.seg"};
    begin(&f);
    check(look(&f) == OCH_KEPT_NONE);
    keep(&f);
    put_file(&f, "FORMAT", "another");
    put_file(&f, "catalog.db", "a longer one than there was");
    for (size_t i = 0; i < 2; i++)
        put_file(&f, newer[i], "newer");
    check_ok(och_vfs_remove(f.vfs, members[2], &f.err), &f.err);
    check_ok(och_vfs_remove(f.vfs, members[4], &f.err), &f.err);
    check_ok(och_kept_revert(&f.mem, f.vfs, &f.err), &f.err);
    for (size_t i = 0; i < N_MEMBERS; i++)
        check(has_text(&f, members[i], members[i]));
    for (size_t i = 0; i < 2; i++)
        check(!exists(&f, newer[i]));
    check(look(&f) == OCH_KEPT_NONE && !exists(&f, OCH_DIR_KEPT));
    end(&f);
}

static void
what_is_not_the_databases_is_neither_kept_nor_removed(void **state)
{
    (void) state;
    struct fixture f;
    char path[256];
    begin(&f);
    for (size_t i = 0; i < N_DIRS; i++)
        check_ok(och_vfs_mkdir(f.vfs, strange_dirs[i], &f.err), &f.err);
    for (size_t i = 0; i < N_FILES; i++)
        put_file(&f, strange_files[i], "theirs");
    keep(&f);
    for (size_t i = 0; i < N_FILES; i++) {
        (void) snprintf(path, sizeof(path), OCH_DIR_KEPT "/%s", strange_files[i]);
        check(!exists(&f, path));
    }
    check_ok(och_kept_remove(f.vfs, &f.err), &f.err);
    check(!exists(&f, OCH_DIR_KEPT));
    for (size_t i = 0; i < N_DIRS; i++)
        check(exists(&f, strange_dirs[i]));
    for (size_t i = 0; i < N_FILES; i++)
        check(has_text(&f, strange_files[i], "theirs"));
    end(&f);
}

/* A collection's directory cannot have a name that is too long for its files: it is left. */
static void
putting_back_passes_over_what_is_not_a_collection(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    check_ok(och_vfs_mkdir(f.vfs, "seg/" LONG_NAME, &f.err), &f.err);
    put_file(&f, "seg/" LONG_NAME "/file", "theirs");
    put_file(&f, "seg/note", "theirs");
    keep(&f);
    check_ok(och_kept_revert(&f.mem, f.vfs, &f.err), &f.err);
    check(has_text(&f, "seg/note", "theirs") && has_text(&f, "seg/" LONG_NAME "/file", "theirs"));
    for (size_t i = 0; i < N_MEMBERS; i++)
        check(has_text(&f, members[i], members[i]));
    end(&f);
}

/* With somebody else's things in it, what is kept cannot go: that is said, and it counts no
 * more; when they are gone, it goes. */
static void
a_directory_in_what_is_kept_is_left(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    keep(&f);
    check_ok(och_vfs_mkdir(f.vfs, OCH_DIR_KEPT "/log/theirs", &f.err), &f.err);
    put_file(&f, OCH_DIR_KEPT "/seg/note", "theirs");
    check(och_kept_remove(f.vfs, &f.err) != OCHRE_OK);
    check(look(&f) == OCH_KEPT_PART && exists(&f, OCH_DIR_KEPT "/log/theirs"));
    check_ok(och_vfs_rmdir(f.vfs, OCH_DIR_KEPT "/log/theirs", &f.err), &f.err);
    check_ok(och_kept_remove(f.vfs, &f.err), &f.err);
    check(look(&f) == OCH_KEPT_NONE);
    end(&f);
}

static void
a_full_disk_has_back_what_was_half_kept(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    ochre_status status = OCHRE_FULL;
    uint64_t n = 0;
    while (status == OCHRE_FULL && n < 1000) {
        sim_disk_fail(f.disk, ++n, SIM_FULL_FROM);
        status = och_kept_make(&f.mem, f.vfs, f.vfs, &f.was, &f.err);
        check(status == OCHRE_OK || look(&f) == OCH_KEPT_NONE);
    }
    check(n > N_MEMBERS && status == OCHRE_OK && look(&f) == OCH_KEPT_WHOLE);
    sim_disk_fail(f.disk, 0, SIM_FULL_FROM);
    end(&f);
}

static void
every_flipped_bit_of_what_was_visible_is_noticed(void **state)
{
    (void) state;
    struct fixture f;
    struct och_kept_was was;
    begin(&f);
    keep(&f);
    check_ok(och_kept_was(f.vfs, &was, &f.err), &f.err);
    check(och_uuid_equal(was.database, f.was.database) && was.digest == 4 && was.made_unix_s == 5);
    for (uint64_t i = 0; i < 48; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            check(sim_disk_flip(f.disk, OCH_DIR_KEPT "/STATE", i, bit));
            check(och_kept_was(f.vfs, &was, &f.err) == OCHRE_CORRUPT && was.digest == 0);
            check(sim_disk_flip(f.disk, OCH_DIR_KEPT "/STATE", i, bit));
        }
    }
    check_ok(och_kept_was(f.vfs, &was, &f.err), &f.err);
    end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_was_kept_is_put_back_and_what_is_newer_goes),
            cmocka_unit_test(what_is_not_the_databases_is_neither_kept_nor_removed),
            cmocka_unit_test(putting_back_passes_over_what_is_not_a_collection),
            cmocka_unit_test(a_directory_in_what_is_kept_is_left),
            cmocka_unit_test(a_full_disk_has_back_what_was_half_kept),
            cmocka_unit_test(every_flipped_bit_of_what_was_visible_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
