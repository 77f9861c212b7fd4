#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "os/vfs_posix.h"
#include "support/check.h"

/* --- stand-ins for system calls --------------------------------------------- */

enum call {
    CALL_OPENAT,
    CALL_PREAD,
    CALL_PWRITE,
    CALL_FDATASYNC,
    CALL_FSYNC,
    CALL_FALLOCATE,
    CALL_FTRUNCATE,
    CALL_FLOCK,
    CALL_FSTATVFS,
    CALL_MMAP,
    CALL_FDOPENDIR,
    CALL_READDIR,
    N_CALLS,
};

/* What the next calls of a kind do, and how many were made. */
static struct {
    unsigned n_interrupts; /* first fail with EINTR so often */
    unsigned skip;         /* then let so many pass */
    size_t size_most;      /* move no more than this; 0 for no limit */
    int fail_with;         /* then fail once with this */
    unsigned n_made;
} script[N_CALLS];

/* readdir leaves types to stat, as some file systems do. */
static bool hide_types;

static bool
refuses(enum call call)
{
    script[call].n_made++;
    if (script[call].n_interrupts > 0) {
        script[call].n_interrupts--;
        errno = EINTR;
        return true;
    }
    if (script[call].fail_with == 0)
        return false;
    if (script[call].skip > 0) {
        script[call].skip--;
        return false;
    }
    errno = script[call].fail_with;
    script[call].fail_with = 0;
    return true;
}

static size_t
shorten(enum call call, size_t size)
{
    size_t most = script[call].size_most;
    return most != 0 && size > most ? most : size;
}

int __real_openat(int dir_fd, const char *path, int flags, ...);
int __wrap_openat(int dir_fd, const char *path, int flags, ...);
ssize_t __real_pread(int fd, void *bytes, size_t size, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t size, off_t offset);
ssize_t __real_pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t __wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fallocate(int fd, int mode, off_t offset, off_t size);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t size);
int __real_ftruncate(int fd, off_t size);
int __wrap_ftruncate(int fd, off_t size);
int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __real_fstatvfs(int fd, struct statvfs *info);
int __wrap_fstatvfs(int fd, struct statvfs *info);
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);

DIR *__real_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd);
struct dirent *__real_readdir(DIR *dir);
struct dirent *__wrap_readdir(DIR *dir);

int
__wrap_openat(int dir_fd, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
    va_end(args);
    return refuses(CALL_OPENAT) ? -1 : __real_openat(dir_fd, path, flags, mode);
}

ssize_t
__wrap_pread(int fd, void *bytes, size_t size, off_t offset)
{
    if (refuses(CALL_PREAD))
        return -1;
    return __real_pread(fd, bytes, shorten(CALL_PREAD, size), offset);
}

ssize_t
__wrap_pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (refuses(CALL_PWRITE))
        return -1;
    return __real_pwrite(fd, bytes, shorten(CALL_PWRITE, size), offset);
}

int
__wrap_fdatasync(int fd)
{
    return refuses(CALL_FDATASYNC) ? -1 : __real_fdatasync(fd);
}

int
__wrap_fsync(int fd)
{
    return refuses(CALL_FSYNC) ? -1 : __real_fsync(fd);
}

int
__wrap_fallocate(int fd, int mode, off_t offset, off_t size)
{
    return refuses(CALL_FALLOCATE) ? -1 : __real_fallocate(fd, mode, offset, size);
}

int
__wrap_ftruncate(int fd, off_t size)
{
    return refuses(CALL_FTRUNCATE) ? -1 : __real_ftruncate(fd, size);
}

int
__wrap_flock(int fd, int operation)
{
    return refuses(CALL_FLOCK) ? -1 : __real_flock(fd, operation);
}

int
__wrap_fstatvfs(int fd, struct statvfs *info)
{
    return refuses(CALL_FSTATVFS) ? -1 : __real_fstatvfs(fd, info);
}

void *
__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return refuses(CALL_MMAP) ? MAP_FAILED : __real_mmap(at, size, protection, flags, fd, offset);
}

DIR *
__wrap_fdopendir(int fd)
{
    return refuses(CALL_FDOPENDIR) ? NULL : __real_fdopendir(fd);
}

struct dirent *
__wrap_readdir(DIR *dir)
{
    if (refuses(CALL_READDIR))
        return NULL;
    struct dirent *found = __real_readdir(dir);
    if (found != NULL && hide_types)
        found->d_type = DT_UNKNOWN;
    return found;
}

/* --- a directory for each test ------------------------------------------------ */

struct world {
    struct och_mem mem;
    struct och_vfs *vfs;
    char root[64];
};

static int
set_up(void **state)
{
    static struct world world;
    memset(script, 0, sizeof(script));
    och_mem_init(&world.mem, NULL);
    (void) snprintf(world.root, sizeof(world.root), "/tmp/ochre-test-posix-XXXXXX");
    if (mkdtemp(world.root) == NULL)
        return -1;
    *state = &world;
    return och_vfs_posix_open(&world.mem, world.root, false, &world.vfs, NULL) == OCHRE_OK ? 0 : -1;
}

static int
tear_down(void **state)
{
    struct world *world = *state;
    static const char *const names[] = {"f", "g", "h", "link", "d/f", "d", "new", "pipe"};
    memset(script, 0, sizeof(script));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[128];
        (void) snprintf(path, sizeof(path), "%s/%s", world->root, names[i]);
        (void) remove(path);
    }
    och_vfs_posix_close(world->vfs);
    och_vfs_posix_close(NULL);
    if (remove(world->root) != 0)
        return -1;
    return och_mem_used(&world->mem) == 0 ? 0 : -1;
}

/* `path` below the root, for calls around the vfs. */
static const char *
outside(struct world *world, const char *path)
{
    static char full[256];
    (void) snprintf(full, sizeof(full), "%s/%s", world->root, path);
    return full;
}

static struct och_file *
make_file(struct world *world, const char *path, const char *text)
{
    struct ochre_error err;
    struct och_file *file = NULL;
    check_ok(och_vfs_open(world->vfs, path, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &err), &err);
    check_ok(och_file_write(file, 0, text, strlen(text), &err), &err);
    return file;
}

static uint64_t
size_of(struct och_file *file)
{
    struct ochre_error err;
    uint64_t size = 0;
    check_ok(och_file_size(file, &size, &err), &err);
    return size;
}

/* --- the root and its surroundings --------------------------------------------- */

static void
a_missing_root_is_made_when_asked_for(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    struct och_vfs *vfs = NULL;
    const char *root = outside(world, "new");
    check(och_vfs_posix_open(&world->mem, root, false, &vfs, &err) == OCHRE_NOT_FOUND);
    check(vfs == NULL);
    check_ok(och_vfs_posix_open(&world->mem, root, true, &vfs, &err), &err);
    check(script[CALL_FSYNC].n_made == 1); /* its name above */
    och_vfs_posix_close(vfs);
    check_ok(och_vfs_posix_open(&world->mem, root, true, &vfs, &err), &err);
    check(script[CALL_FSYNC].n_made == 1); /* which is there already now */
    och_vfs_posix_close(vfs);
    struct stat info;
    check(stat(root, &info) == 0 && (info.st_mode & 0777) == 0700);
}

static void
a_root_whose_name_cannot_be_synced_is_not_left_behind(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    struct och_vfs *vfs = NULL;
    struct stat info;
    const char *root = outside(world, "new");
    script[CALL_FSYNC].fail_with = EIO;
    check(och_vfs_posix_open(&world->mem, root, true, &vfs, &err) == OCHRE_IO);
    check(stat(root, &info) != 0);
    for (unsigned skip = 0; skip < 2; skip++) { /* the root, then the one above */
        script[CALL_OPENAT].fail_with = EMFILE;
        script[CALL_OPENAT].skip = skip;
        check(och_vfs_posix_open(&world->mem, root, true, &vfs, &err) == OCHRE_IO);
        check(stat(root, &info) != 0);
    }
    check_ok(och_vfs_posix_open(&world->mem, root, true, &vfs, &err), &err);
    och_vfs_posix_close(vfs);
}

static void
a_root_that_cannot_be_is_an_error_with_its_path(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    struct och_vfs *vfs = NULL;
    och_file_close(make_file(world, "f", ""));
    check(och_vfs_posix_open(&world->mem, outside(world, "f"), true, &vfs, &err) == OCHRE_IO);
    check(strstr(err.message, world->root) != NULL);
    const char *deep = outside(world, "no/such/parent");
    check(och_vfs_posix_open(&world->mem, deep, true, &vfs, &err) == OCHRE_NOT_FOUND);
}

static void
files_and_directories_are_private(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    struct stat info;
    och_file_close(make_file(world, "f", ""));
    check_ok(och_vfs_mkdir(world->vfs, "d", &err), &err);
    check(stat(outside(world, "f"), &info) == 0 && (info.st_mode & 07777) == 0600);
    check(stat(outside(world, "d"), &info) == 0 && (info.st_mode & 07777) == 0700);
}

static void
no_link_is_followed_anywhere(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    struct och_file *file = NULL;
    check_ok(och_vfs_mkdir(world->vfs, "d", &err), &err);
    och_file_close(make_file(world, "d/f", "x"));

    check(symlink("d", outside(world, "link")) == 0);
    check(och_vfs_open(world->vfs, "link/f", OCH_OPEN_READ, &file, &err) == OCHRE_IO);
    check(och_vfs_remove(world->vfs, "link/f", &err) == OCHRE_IO);
    check(och_vfs_sync_dir(world->vfs, "link", &err) == OCHRE_IO);
    check(och_vfs_mkdir(world->vfs, "link", &err) == OCHRE_EXISTS);
    check(remove(outside(world, "link")) == 0);

    check(symlink("d/f", outside(world, "link")) == 0);
    check(och_vfs_open(world->vfs, "link", OCH_OPEN_READ, &file, &err) == OCHRE_IO);
    check(och_vfs_open(world->vfs, "link", OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, &err) ==
            OCHRE_IO);
}

static void
what_is_no_regular_file_is_refused_without_waiting(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    struct och_file *file = NULL;
    check(mkfifo(outside(world, "pipe"), 0600) == 0);
    check(och_vfs_open(world->vfs, "pipe", OCH_OPEN_READ, &file, &err) == OCHRE_IO);
    check(och_vfs_open(world->vfs, "pipe", OCH_OPEN_WRITE, &file, &err) == OCHRE_IO);
    check(file == NULL);
}

static void
files_stay_below_the_root_when_the_program_moves(void **state)
{
    struct world *world = *state;
    char before[512];
    check(getcwd(before, sizeof(before)) != NULL);
    check(chdir("/") == 0);
    och_file_close(make_file(world, "f", ""));
    check(chdir(before) == 0);
    struct stat info;
    check(stat(outside(world, "f"), &info) == 0);
}

static void
descriptors_are_not_inherited(void **state)
{
    struct world *world = *state;
    struct och_file *file = make_file(world, "f", "");
    int n_ours = 0;
    for (int fd = 3; fd < 256; fd++) {
        char path[64];
        char target[256] = {0};
        (void) snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof(target) - 1) < 0 ||
                strncmp(target, world->root, strlen(world->root)) != 0)
            continue;
        n_ours++;
        check((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    }
    check(n_ours == 2); /* the root and the file */
    och_file_close(file);
}

/* The child holds the lock until it is killed, which frees it. */
static void
a_lock_holds_against_another_process_and_dies_with_it(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    struct och_file *file = make_file(world, "f", "");
    int told[2];
    check(pipe(told) == 0);
    pid_t child = fork();
    check(child >= 0);
    if (child == 0) {
        struct och_file *own = NULL;
        char answer = och_vfs_open(world->vfs, "f", OCH_OPEN_WRITE, &own, NULL) == OCHRE_OK &&
                        och_file_lock(own, NULL) == OCHRE_OK
                ? 'y'
                : 'n';
        if (write(told[1], &answer, 1) != 1)
            _exit(1);
        for (;;)
            (void) pause();
    }
    char answer = 0;
    check(read(told[0], &answer, 1) == 1 && answer == 'y');
    check(och_file_lock(file, &err) == OCHRE_BUSY);
    check(kill(child, SIGKILL) == 0);
    check(waitpid(child, NULL, 0) == child);
    check_ok(och_file_lock(file, &err), &err);
    och_file_close(file);
    check(close(told[0]) == 0 && close(told[1]) == 0);
}

/* --- the system misbehaves ------------------------------------------------------- */

static void
interrupted_calls_are_made_again(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    uint64_t space = 0;
    char bytes[4];
    for (size_t i = 0; i < N_CALLS; i++)
        script[i].n_interrupts = i >= CALL_MMAP ? 0 : 2; /* from there on none can be */
    struct och_file *file = make_file(world, "f", "text");
    check_ok(och_file_read_all(file, 0, bytes, 4, &err), &err);
    check_ok(och_file_sync(file, &err), &err);
    check_ok(och_file_truncate(file, 2, &err), &err);
    check_ok(och_file_allocate(file, 10, &err), &err);
    check_ok(och_file_lock(file, &err), &err);
    check_ok(och_vfs_sync_dir(world->vfs, "", &err), &err);
    check_ok(och_vfs_space_free(world->vfs, &space, &err), &err);
    for (size_t i = 0; i < N_CALLS; i++)
        check(script[i].n_interrupts == 0);
    check(size_of(file) == 10);
    och_file_close(file);
}

static void
short_reads_and_writes_are_continued(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    script[CALL_PREAD].size_most = 3;
    script[CALL_PWRITE].size_most = 7;
    const char *text = "a text that is longer than seven bytes";
    struct och_file *file = make_file(world, "f", text);
    char bytes[64] = {0};
    size_t n_read = 0;
    check_ok(och_file_read(file, 0, bytes, sizeof(bytes), &n_read, &err), &err);
    check(n_read == strlen(text));
    assert_string_equal(bytes, text);
    check(script[CALL_PREAD].n_made > 10 && script[CALL_PWRITE].n_made > 5);
    och_file_close(file);
}

static void
errors_of_the_system_become_statuses(void **state)
{
    struct world *world = *state;
    static const struct {
        int code;
        ochre_status status;
    } cases[] = {
            {ENOSPC, OCHRE_FULL},
            {EDQUOT, OCHRE_FULL},
            {ENOMEM, OCHRE_NO_MEMORY},
            {EIO, OCHRE_IO},
            {EROFS, OCHRE_IO},
    };
    struct och_file *file = make_file(world, "f", "text");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int code = cases[i].code;
        ochre_status status = cases[i].status;
        struct ochre_error err;
        struct och_file *other = NULL;
        uint64_t space = 0;
        const void *map = NULL;
        size_t n_read = 0;
        char bytes[4];
        for (size_t j = 0; j < N_CALLS; j++)
            script[j].fail_with = code;
        check(och_file_read(file, 0, bytes, 4, &n_read, &err) == status);
        check(strstr(err.message, "f: ") != NULL && err.status == status);
        check(och_file_write(file, 0, bytes, 4, &err) == status);
        check(och_file_sync(file, &err) == status);
        check(och_file_truncate(file, 0, &err) == status);
        check(och_file_allocate(file, 10, &err) == status);
        check(och_file_lock(file, &err) == status);
        check(och_file_map(file, 4, &map, &err) == status);
        check(och_vfs_space_free(world->vfs, &space, &err) == status);
        check(och_vfs_open(world->vfs, "f", OCH_OPEN_READ, &other, &err) == status);
        check(och_vfs_sync_dir(world->vfs, "", &err) == status);
        check(size_of(file) == 4 && map == NULL && other == NULL && space == 0);
    }
    och_file_close(file);
}

static void
a_failing_sync_is_made_once(void **state)
{
    struct world *world = *state;
    struct och_file *file = make_file(world, "f", "text");
    script[CALL_FDATASYNC].fail_with = EIO;
    check(och_file_sync(file, NULL) == OCHRE_IO);
    check(script[CALL_FDATASYNC].n_made == 1);
    och_file_close(file);
}

static void
a_write_may_stop_half_way(void **state)
{
    struct world *world = *state;
    struct och_file *file = make_file(world, "f", "");
    script[CALL_PWRITE].size_most = 4;
    script[CALL_PWRITE].skip = 1;
    script[CALL_PWRITE].fail_with = ENOSPC;
    check(och_file_write(file, 0, "12345678", 8, NULL) == OCHRE_FULL);
    check(size_of(file) == 4);
    och_file_close(file);
}

static void
space_is_written_where_it_cannot_be_reserved(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    struct och_file *file = make_file(world, "f", "text");
    script[CALL_FALLOCATE].fail_with = EOPNOTSUPP;
    script[CALL_PWRITE].n_made = 0;
    check_ok(och_file_allocate(file, 200000, &err), &err);
    check(size_of(file) == 200000);
    check(script[CALL_PWRITE].n_made == 4); /* 64 KiB at a time */
    char bytes[8] = {0};
    check_ok(och_file_read_all(file, 0, bytes, 8, &err), &err);
    check(memcmp(bytes, "text\0\0\0\0", 8) == 0);
    och_file_close(file);
}

static void
an_allocation_that_fails_gives_its_space_back(void **state)
{
    struct world *world = *state;
    struct och_file *file = make_file(world, "f", "text");
    script[CALL_FALLOCATE].fail_with = EOPNOTSUPP;
    script[CALL_PWRITE].skip = 2;
    script[CALL_PWRITE].fail_with = ENOSPC;
    check(och_file_allocate(file, 200000, NULL) == OCHRE_FULL);
    check(size_of(file) == 4);
    och_file_close(file);
}

static void
directories_on_the_way_are_closed_again(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    check_ok(och_vfs_mkdir(world->vfs, "d", &err), &err);
    int lowest = dup(0);
    check(lowest >= 0 && close(lowest) == 0);
    bool there = false;
    struct och_file *file = NULL;
    check_ok(och_vfs_exists(world->vfs, "d/f", &there, &err), &err);
    check(och_vfs_open(world->vfs, "d/f", OCH_OPEN_READ, &file, &err) == OCHRE_NOT_FOUND);
    check(och_vfs_open(world->vfs, "d/g/f", OCH_OPEN_READ, &file, &err) == OCHRE_NOT_FOUND);
    check(och_vfs_open(world->vfs, "d", OCH_OPEN_READ, &file, &err) == OCHRE_IO);
    check(och_vfs_remove(world->vfs, "d/f", &err) == OCHRE_NOT_FOUND);
    check(och_vfs_rename(world->vfs, "d/f", "d/g", &err) == OCHRE_NOT_FOUND);
    check(och_vfs_rename(world->vfs, "d/f", "d/e/g", &err) == OCHRE_NOT_FOUND);
    check(och_vfs_rmdir(world->vfs, "d/f", &err) == OCHRE_NOT_FOUND);
    check_ok(och_vfs_sync_dir(world->vfs, "d", &err), &err);
    int again = dup(0);
    check(again == lowest && close(again) == 0);
}

struct listing {
    size_t n_files;
    size_t n_dirs;
};

static ochre_status
count_name(void *context, const char *name, bool is_dir)
{
    struct listing *listing = context;
    check(is_dir == (name[0] == 'd'));
    listing->n_dirs += is_dir;
    listing->n_files += !is_dir;
    return OCHRE_OK;
}

static void
types_are_asked_for_where_a_listing_lacks_them(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    struct listing listing = {0, 0};
    check_ok(och_vfs_mkdir(world->vfs, "d", &err), &err);
    och_file_close(make_file(world, "f", ""));
    hide_types = true;
    ochre_status status = och_vfs_list(world->vfs, "", count_name, &listing, &err);
    hide_types = false;
    check_ok(status, &err);
    check(listing.n_dirs == 1 && listing.n_files == 1);
}

static void
a_listing_that_fails_visits_nothing(void **state)
{
    struct world *world = *state;
    struct listing listing = {0, 0};
    och_file_close(make_file(world, "f", ""));
    for (unsigned skip = 0; skip < 4; skip++) {
        script[CALL_READDIR].skip = skip;
        script[CALL_READDIR].fail_with = EIO;
        check(och_vfs_list(world->vfs, "", count_name, &listing, NULL) == OCHRE_IO);
    }
    script[CALL_FDOPENDIR].fail_with = ENOMEM;
    check(och_vfs_list(world->vfs, "", count_name, &listing, NULL) == OCHRE_NO_MEMORY);
    script[CALL_OPENAT].fail_with = EMFILE;
    check(och_vfs_list(world->vfs, "", count_name, &listing, NULL) == OCHRE_IO);
    check(listing.n_files == 0 && listing.n_dirs == 0);
}

/* --- memory ------------------------------------------------------------------------ */

static const char *memory_root; /* of the test below */

static ochre_status
ignore_name(void *context, const char *name, bool is_dir)
{
    (void) context;
    (void) name;
    (void) is_dir;
    return OCHRE_OK;
}

static bool
use_everything(struct och_mem *mem)
{
    struct och_vfs *vfs = NULL;
    struct och_file *file = NULL;
    ochre_status status = och_vfs_posix_open(mem, memory_root, true, &vfs, NULL);
    if (status == OCHRE_OK)
        status = och_vfs_open(vfs, "f", OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, NULL);
    if (status == OCHRE_OK)
        status = och_vfs_list(vfs, "", ignore_name, NULL, NULL);
    och_file_close(file);
    och_vfs_posix_close(vfs);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    struct world *world = *state;
    memory_root = world->root;
    check_each_allocation_failing(use_everything);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(
                    a_missing_root_is_made_when_asked_for, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_root_whose_name_cannot_be_synced_is_not_left_behind, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_root_that_cannot_be_is_an_error_with_its_path, set_up, tear_down),
            cmocka_unit_test_setup_teardown(files_and_directories_are_private, set_up, tear_down),
            cmocka_unit_test_setup_teardown(no_link_is_followed_anywhere, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    what_is_no_regular_file_is_refused_without_waiting, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    files_stay_below_the_root_when_the_program_moves, set_up, tear_down),
            cmocka_unit_test_setup_teardown(descriptors_are_not_inherited, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_lock_holds_against_another_process_and_dies_with_it, set_up, tear_down),
            cmocka_unit_test_setup_teardown(interrupted_calls_are_made_again, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    short_reads_and_writes_are_continued, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    errors_of_the_system_become_statuses, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_failing_sync_is_made_once, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_write_may_stop_half_way, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    space_is_written_where_it_cannot_be_reserved, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    an_allocation_that_fails_gives_its_space_back, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    directories_on_the_way_are_closed_again, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    types_are_asked_for_where_a_listing_lacks_them, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_listing_that_fails_visits_nothing, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    any_allocation_may_fail_without_harm, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("os/vfs_posix", tests, NULL, NULL);
}
