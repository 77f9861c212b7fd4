#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/dir.h"
#include "support/check.h"

enum { PATH_SIZE = 256 };

struct fixture {
    char root[PATH_SIZE];
    char one[PATH_SIZE + 8], other[PATH_SIZE + 8], third[PATH_SIZE + 8];
    struct ochre_error err;
};

static ino_t
inode_of(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 ? about.st_ino : 0;
}

static void
begin(struct fixture *f)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    const char *tmp = getenv("TMPDIR");
    (void) snprintf(
            f->root, sizeof(f->root), "%.200s/ochre-dir-XXXXXX", tmp != NULL ? tmp : "/tmp");
    check(mkdtemp(f->root) != NULL);
    (void) snprintf(f->one, sizeof(f->one), "%s/one", f->root);
    (void) snprintf(f->other, sizeof(f->other), "%s/other", f->root);
    (void) snprintf(f->third, sizeof(f->third), "%s/third", f->root);
    check(mkdir(f->one, 0700) == 0 && mkdir(f->other, 0700) == 0);
}

static void
end(struct fixture *f)
{
    (void) rmdir(f->one);
    (void) rmdir(f->other);
    (void) rmdir(f->third);
    check(rmdir(f->root) == 0);
}

static void
two_directories_change_names(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    ino_t one = inode_of(f.one);
    ino_t other = inode_of(f.other);
    check_ok(och_dir_exchange(f.one, f.other, &f.err), &f.err);
    check(inode_of(f.one) == other && inode_of(f.other) == one);
    check(och_dir_exchange(f.one, f.third, &f.err) == OCHRE_NOT_FOUND);
    check(strstr(f.err.message, "third") != NULL);
    check(inode_of(f.one) == other && inode_of(f.third) == 0);
    end(&f);
}

static void
a_directory_is_moved_to_a_name_that_is_free(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    ino_t one = inode_of(f.one);
    check(och_dir_move(f.one, f.other, &f.err) == OCHRE_EXISTS);
    check(inode_of(f.one) == one);
    check_ok(och_dir_move(f.one, f.third, &f.err), &f.err);
    check(inode_of(f.third) == one && inode_of(f.one) == 0);
    check(och_dir_move(f.one, f.third, &f.err) == OCHRE_NOT_FOUND);
    end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(two_directories_change_names),
            cmocka_unit_test(a_directory_is_moved_to_a_name_that_is_free),
    };
    return cmocka_run_group_tests_name("dir", tests, NULL, NULL);
}
