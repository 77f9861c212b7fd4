#include "os/vfs_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"

enum {
    FILE_MODE = 0600,
    DIR_MODE = 0700,
    DIR_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
    ZEROS_SIZE = 64 * 1024,
};

struct posix_vfs {
    struct och_vfs base;
    struct och_mem *mem; /* borrowed */
    int root_fd;
    char root[PATH_MAX]; /* absolute, without links */
};

struct posix_file {
    struct och_file base;
    struct och_mem *mem; /* borrowed */
    size_t size;         /* of this block */
    int fd;
    char path[]; /* for messages */
};

static ochre_status
status_of(int code)
{
    switch (code) {
    case ENOENT:
        return OCHRE_NOT_FOUND;
    case EEXIST:
        return OCHRE_EXISTS;
    case ENOSPC:
    case EDQUOT:
        return OCHRE_FULL;
    case ENOMEM:
        return OCHRE_NO_MEMORY;
    default:
        return OCHRE_IO;
    }
}

/* Report that the system refused to do `what` to `path`, with errno `code`. */
static ochre_status
fail_system(struct ochre_error *err, int code, const char *what, const char *path)
{
    char buffer[128];
    const char *reason = strerror_r(code, buffer, sizeof(buffer)); /* the GNU one */
    return och_fail(err, status_of(code), "cannot %s %s: %s", what,
            path[0] == '\0' ? "the data directory" : path, reason);
}

static struct posix_vfs *
vfs_of(struct och_vfs *vfs)
{
    return (struct posix_vfs *) vfs;
}

static struct posix_file *
file_of(struct och_file *file)
{
    return (struct posix_file *) file;
}

/* openat, again when a signal interrupts it. */
static int
open_at(int dir_fd, const char *name, int flags)
{
    int fd = -1;
    do
        fd = openat(dir_fd, name, flags, FILE_MODE);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* --- directories on the way ---------------------------------------------- */

/* Where a path leads: the directory that holds its last part, and its whole name. */
struct place {
    int dir_fd; /* -1 for none; the vfs's root_fd, or one of its own */
    bool is_owned;
    const char *name;                        /* the last part, within the path */
    char full[PATH_MAX + OCH_PATH_SIZE_MAX]; /* what the system is asked for */
};

static void
leave(struct place *place)
{
    if (place->is_owned)
        (void) close(place->dir_fd);
}

/*
 * Walk to the directory that holds `path`.  O_NOFOLLOW guards only the last
 * part of what it opens, so each part is opened on its own: a link planted
 * anywhere below the root is refused.  Returns 0, or an errno value.
 */
static int
walk(const struct posix_vfs *vfs, const char *path, struct place *place_out)
{
    struct place *place = place_out;
    place->dir_fd = vfs->root_fd;
    place->is_owned = false;
    place->name = path;
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(place->name, '/')) {
        char part[OCH_PATH_SIZE_MAX];
        size_t size = (size_t) (slash - place->name);
        och_assert(size < sizeof(part));
        memcpy(part, place->name, size);
        part[size] = '\0';
        int fd = open_at(place->dir_fd, part, DIR_FLAGS);
        int code = errno;
        leave(place);
        place->dir_fd = fd;
        place->is_owned = fd >= 0;
        if (fd < 0)
            return code;
        place->name = slash + 1;
    }
    /* Asked for by its whole name, so that whoever traces the process sees which
     * file is meant. */
    (void) snprintf(place->full, sizeof(place->full), "%s/%s", vfs->root, path);
    return 0;
}

/* Open `path`, or the root for "", as a directory; -1 and errno otherwise. */
static int
open_dir(const struct posix_vfs *vfs, const char *path)
{
    if (path[0] == '\0')
        return open_at(AT_FDCWD, vfs->root, DIR_FLAGS);
    struct place place;
    int code = walk(vfs, path, &place);
    if (code != 0) {
        errno = code;
        return -1;
    }
    int fd = open_at(place.dir_fd, place.full, DIR_FLAGS);
    code = errno;
    leave(&place);
    errno = code;
    return fd;
}

static int
sync_fd(int fd)
{
    int failed = 0;
    do
        failed = fsync(fd);
    while (failed != 0 && errno == EINTR);
    return failed;
}

/* --- files ---------------------------------------------------------------- */

/* True when `size` bytes at `offset` have offsets that the system can say. */
static bool
is_in_range(uint64_t offset, uint64_t size)
{
    return offset <= INT64_MAX && size <= INT64_MAX - offset;
}

static ochre_status
posix_read(struct och_file *base, uint64_t offset, void *bytes, size_t size, size_t *n_read_out,
        struct ochre_error *err)
{
    struct posix_file *file = file_of(base);
    if (!is_in_range(offset, size))
        return fail_system(err, EOVERFLOW, "read", file->path);
    char *to = bytes;
    size_t n_read = 0;
    while (n_read < size) {
        ssize_t n = pread(file->fd, to + n_read, size - n_read, (off_t) (offset + n_read));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_system(err, errno, "read", file->path);
        if (n == 0)
            break;
        n_read += (size_t) n;
    }
    *n_read_out = n_read;
    return OCHRE_OK;
}

static ochre_status
posix_write(struct och_file *base, uint64_t offset, const void *bytes, size_t size,
        struct ochre_error *err)
{
    struct posix_file *file = file_of(base);
    if (!is_in_range(offset, size))
        return fail_system(err, EFBIG, "write", file->path);
    const char *from = bytes;
    size_t n_written = 0;
    while (n_written < size) {
        ssize_t n =
                pwrite(file->fd, from + n_written, size - n_written, (off_t) (offset + n_written));
        if (n < 0 && errno == EINTR)
            continue;
        /* No regular file takes 0 bytes; one that does would keep us here. */
        if (n <= 0)
            return fail_system(err, n == 0 ? EIO : errno, "write", file->path);
        n_written += (size_t) n;
    }
    return OCHRE_OK;
}

static ochre_status
posix_sync(struct och_file *base, struct ochre_error *err)
{
    struct posix_file *file = file_of(base);
    int failed = 0;
    do
        failed = fdatasync(file->fd);
    while (failed != 0 && errno == EINTR);
    return failed == 0 ? OCHRE_OK : fail_system(err, errno, "sync", file->path);
}

/* ftruncate, again when a signal interrupts it; returns 0 or an errno value. */
static int
cut(int fd, uint64_t size)
{
    if (!is_in_range(0, size))
        return EFBIG;
    int failed = 0;
    do
        failed = ftruncate(fd, (off_t) size);
    while (failed != 0 && errno == EINTR);
    return failed == 0 ? 0 : errno;
}

static ochre_status
posix_truncate(struct och_file *base, uint64_t size, struct ochre_error *err)
{
    struct posix_file *file = file_of(base);
    int code = cut(file->fd, size);
    return code == 0 ? OCHRE_OK : fail_system(err, code, "truncate", file->path);
}

static ochre_status
posix_size(struct och_file *base, uint64_t *size_out, struct ochre_error *err)
{
    struct posix_file *file = file_of(base);
    struct stat info;
    if (fstat(file->fd, &info) != 0)
        return fail_system(err, errno, "find the size of", file->path);
    *size_out = (uint64_t) info.st_size;
    return OCHRE_OK;
}

/* Zeros from `from` to `to`, where the file system cannot reserve space. */
static ochre_status
write_zeros(struct och_file *base, uint64_t from, uint64_t to, struct ochre_error *err)
{
    static const char zeros[ZEROS_SIZE];
    while (from < to) {
        size_t size = to - from < sizeof(zeros) ? (size_t) (to - from) : sizeof(zeros);
        ochre_status status = posix_write(base, from, zeros, size, err);
        if (status != OCHRE_OK)
            return status;
        from += size;
    }
    return OCHRE_OK;
}

static ochre_status
posix_allocate(struct och_file *base, uint64_t size, struct ochre_error *err)
{
    struct posix_file *file = file_of(base);
    uint64_t old_size = 0;
    ochre_status status = posix_size(base, &old_size, err);
    if (status != OCHRE_OK || size <= old_size)
        return status;
    if (!is_in_range(0, size))
        return fail_system(err, EFBIG, "allocate", file->path);

    int failed = 0;
    do
        failed = fallocate(file->fd, 0, 0, (off_t) size);
    while (failed != 0 && errno == EINTR);
    if (failed != 0 && errno == EOPNOTSUPP)
        status = write_zeros(base, old_size, size, err);
    else if (failed != 0)
        status = fail_system(err, errno, "allocate", file->path);
    /* What was reserved of a failed request only makes a full disk fuller.  The
     * error is reported either way, so a cut that fails too adds nothing. */
    if (status != OCHRE_OK)
        (void) cut(file->fd, old_size);
    return status;
}

/* mmap refuses an empty range; this stands for it. */
static const char no_bytes[1];

static ochre_status
posix_map(struct och_file *base, uint64_t size, const void **bytes_out, struct ochre_error *err)
{
    struct posix_file *file = file_of(base);
    uint64_t file_size = 0;
    ochre_status status = posix_size(base, &file_size, err);
    if (status != OCHRE_OK)
        return status;
    /* Touching a page past the end is a signal, so it cannot be mapped. */
    if (size > file_size)
        return och_fail(err, OCHRE_CORRUPT,
                "%s has %" PRIu64 " bytes where %" PRIu64 " were to be mapped", file->path,
                file_size, size);
    if (size == 0) {
        *bytes_out = no_bytes;
        return OCHRE_OK;
    }
    void *bytes = mmap(NULL, (size_t) size, PROT_READ, MAP_SHARED, file->fd, 0);
    if (bytes == MAP_FAILED)
        return fail_system(err, errno, "map", file->path);
    *bytes_out = bytes;
    return OCHRE_OK;
}

static void
posix_unmap(struct och_file *base, const void *bytes, uint64_t size)
{
    (void) base;
    if (size == 0)
        return;
    /* munmap wants a pointer to what may be written, though it writes nothing. */
    union {
        const void *given;
        void *wanted;
    } map = {.given = bytes};
    int failed = munmap(map.wanted, (size_t) size);
    och_assert(failed == 0);
}

static ochre_status
posix_lock(struct och_file *base, struct ochre_error *err)
{
    struct posix_file *file = file_of(base);
    int failed = 0;
    do
        failed = flock(file->fd, LOCK_EX | LOCK_NB);
    while (failed != 0 && errno == EINTR);
    if (failed == 0)
        return OCHRE_OK;
    if (errno == EWOULDBLOCK)
        return och_fail(err, OCHRE_BUSY, "%s is locked by another process", file->path);
    return fail_system(err, errno, "lock", file->path);
}

static bool
posix_identity(struct och_file *base, uint64_t identity_out[2])
{
    struct stat info;
    if (fstat(file_of(base)->fd, &info) != 0)
        return false;
    identity_out[0] = (uint64_t) info.st_dev;
    identity_out[1] = (uint64_t) info.st_ino;
    return true;
}

static void
posix_close(struct och_file *base)
{
    struct posix_file *file = file_of(base);
    /* Whoever needs the bytes has synced them; close promises nothing more, and
     * on Linux the descriptor is gone even when it fails. */
    (void) close(file->fd);
    och_mem_release(file->mem, file, file->size);
}

static const struct och_file_ops posix_file_ops = {
        .read = posix_read,
        .write = posix_write,
        .sync = posix_sync,
        .truncate = posix_truncate,
        .allocate = posix_allocate,
        .size = posix_size,
        .map = posix_map,
        .unmap = posix_unmap,
        .lock = posix_lock,
        .identity = posix_identity,
        .close = posix_close,
};

/* --- names ---------------------------------------------------------------- */

static int
system_flags(unsigned flags)
{
    int system = O_CLOEXEC | O_NOFOLLOW;
    system |= (flags & OCH_OPEN_WRITE) != 0 ? O_RDWR : O_RDONLY;
    if ((flags & OCH_OPEN_CREATE) != 0)
        system |= O_CREAT;
    if ((flags & OCH_OPEN_EXCLUSIVE) != 0)
        system |= O_EXCL;
    return system;
}

/* Open `path`; -1 and errno otherwise.  Anything but a regular file is refused:
 * a directory can be opened for reading, and a pipe would wait for a writer. */
static int
open_regular(const struct posix_vfs *vfs, const char *path, unsigned flags)
{
    struct place place;
    int code = walk(vfs, path, &place);
    if (code != 0) {
        errno = code;
        return -1;
    }
    int fd = open_at(place.dir_fd, place.full, system_flags(flags) | O_NONBLOCK);
    code = errno;
    leave(&place);
    struct stat info;
    if (fd >= 0 && fstat(fd, &info) != 0) {
        code = errno;
        (void) close(fd);
        fd = -1;
    } else if (fd >= 0 && !S_ISREG(info.st_mode)) {
        code = S_ISDIR(info.st_mode) ? EISDIR : EINVAL;
        (void) close(fd);
        fd = -1;
    }
    errno = code;
    return fd;
}

static ochre_status
posix_open(struct och_vfs *base, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    struct posix_vfs *vfs = vfs_of(base);
    size_t path_size = strlen(path) + 1;
    size_t size = sizeof(struct posix_file) + path_size;
    struct posix_file *file = och_mem_take(vfs->mem, size);
    if (file == NULL)
        return och_fail_memory(err);
    int fd = open_regular(vfs, path, flags);
    if (fd < 0) {
        int code = errno;
        och_mem_release(vfs->mem, file, size);
        return fail_system(err, code, "open", path);
    }
    *file = (struct posix_file){
            .base.ops = &posix_file_ops, .mem = vfs->mem, .size = size, .fd = fd};
    memcpy(file->path, path, path_size);
    *file_out = &file->base;
    return OCHRE_OK;
}

/* unlinkat of the last part of `path`; `flags` choose a file or a directory. */
static ochre_status
unlink_path(const struct posix_vfs *vfs, const char *path, int flags, struct ochre_error *err)
{
    struct place place;
    int code = walk(vfs, path, &place);
    if (code != 0)
        return fail_system(err, code, "remove", path);
    code = unlinkat(place.dir_fd, place.full, flags) == 0 ? 0 : errno;
    leave(&place);
    /* POSIX lets "not empty" be EEXIST; here EEXIST would read as a success. */
    if (code == EEXIST)
        code = ENOTEMPTY;
    return code == 0 ? OCHRE_OK : fail_system(err, code, "remove", path);
}

static ochre_status
posix_remove(struct och_vfs *base, const char *path, struct ochre_error *err)
{
    return unlink_path(vfs_of(base), path, 0, err);
}

static ochre_status
posix_rmdir(struct och_vfs *base, const char *path, struct ochre_error *err)
{
    return unlink_path(vfs_of(base), path, AT_REMOVEDIR, err);
}

/* The seam moves files only: what a moved directory keeps after a crash differs
 * between file systems.  Returns 0 or an errno value. */
static int
move(const struct place *source, const struct place *target)
{
    struct stat info;
    if (fstatat(source->dir_fd, source->full, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return errno;
    if (S_ISDIR(info.st_mode))
        return EISDIR;
    if (renameat(source->dir_fd, source->full, target->dir_fd, target->full) != 0)
        return errno;
    return 0;
}

static ochre_status
posix_rename(struct och_vfs *base, const char *from, const char *to, struct ochre_error *err)
{
    struct posix_vfs *vfs = vfs_of(base);
    struct place source;
    struct place target;
    int code = walk(vfs, from, &source);
    if (code != 0)
        return fail_system(err, code, "rename", from);
    code = walk(vfs, to, &target);
    if (code != 0) {
        leave(&source);
        return fail_system(err, code, "rename to", to);
    }
    code = move(&source, &target);
    leave(&source);
    leave(&target);
    return code == 0 ? OCHRE_OK : fail_system(err, code, "rename", from);
}

/* Not a failure of the file: it is copied instead. */
static bool
cannot_link(int code)
{
    return code == EXDEV || code == EPERM || code == EMLINK || code == EOPNOTSUPP || code == ENOSYS;
}

static ochre_status
posix_link(struct och_vfs *base, const char *from, const char *to, struct ochre_error *err)
{
    struct posix_vfs *vfs = vfs_of(base);
    struct place source;
    struct place target;
    int code = walk(vfs, from, &source);
    if (code != 0)
        return fail_system(err, code, "link", from);
    code = walk(vfs, to, &target);
    if (code != 0) {
        leave(&source);
        return fail_system(err, code, "link to", to);
    }
    if (linkat(source.dir_fd, source.full, target.dir_fd, target.full, 0) != 0)
        code = errno;
    leave(&source);
    leave(&target);
    if (cannot_link(code))
        return och_fail(err, OCHRE_UNSUPPORTED, "%s cannot have a second name here", from);
    return code == 0 ? OCHRE_OK : fail_system(err, code, "link", from);
}

static ochre_status
posix_sync_dir(struct och_vfs *base, const char *path, struct ochre_error *err)
{
    int fd = open_dir(vfs_of(base), path);
    if (fd < 0)
        return fail_system(err, errno, "open directory", path);
    int code = sync_fd(fd) == 0 ? 0 : errno;
    (void) close(fd);
    return code == 0 ? OCHRE_OK : fail_system(err, code, "sync directory", path);
}

static ochre_status
posix_mkdir(struct och_vfs *base, const char *path, struct ochre_error *err)
{
    struct place place;
    int code = walk(vfs_of(base), path, &place);
    if (code != 0)
        return fail_system(err, code, "make directory", path);
    if (mkdirat(place.dir_fd, place.full, DIR_MODE) != 0)
        code = errno;
    struct stat info;
    if (code == EEXIST && fstatat(place.dir_fd, place.full, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(info.st_mode))
        code = 0;
    leave(&place);
    return code == 0 ? OCHRE_OK : fail_system(err, code, "make directory", path);
}

static ochre_status
posix_exists(struct och_vfs *base, const char *path, bool *exists_out, struct ochre_error *err)
{
    struct place place;
    int code = walk(vfs_of(base), path, &place);
    if (code == 0) {
        struct stat info;
        if (fstatat(place.dir_fd, place.full, &info, AT_SYMLINK_NOFOLLOW) != 0)
            code = errno;
        leave(&place);
    }
    if (code != 0 && code != ENOENT)
        return fail_system(err, code, "look for", path);
    *exists_out = code == 0;
    return OCHRE_OK;
}

static ochre_status
posix_space_free(struct och_vfs *base, uint64_t *bytes_out, struct ochre_error *err)
{
    struct statvfs info;
    int failed = 0;
    do
        failed = fstatvfs(vfs_of(base)->root_fd, &info);
    while (failed != 0 && errno == EINTR);
    if (failed != 0)
        return fail_system(err, errno, "find the free space of", "");
    *bytes_out = (uint64_t) info.f_bavail * info.f_frsize;
    return OCHRE_OK;
}

/* --- listing -------------------------------------------------------------- */

struct entry {
    struct entry *next; /* as read; the array is sorted */
    bool is_dir;
    char name[];
};

struct listing {
    struct och_arena arena;
    struct entry *entries;
    size_t n;
};

static bool
is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Some file systems leave the type to stat.  Returns 0 or an errno value; a
 * name that has just gone counts as a file. */
static int
is_directory(int dir_fd, const struct dirent *found, bool *is_dir_out)
{
    *is_dir_out = found->d_type == DT_DIR;
    if (found->d_type != DT_UNKNOWN)
        return 0;
    struct stat info;
    if (fstatat(dir_fd, found->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : errno;
    *is_dir_out = S_ISDIR(info.st_mode);
    return 0;
}

/* Read all names before any is visited, so that a visit may remove files. */
static int
read_names(DIR *dir, struct listing *listing)
{
    for (;;) {
        errno = 0;
        /* The stream is ours alone, which is all that readdir asks for. */
        const struct dirent *found = readdir(dir); /* NOLINT(concurrency-mt-unsafe) */
        if (found == NULL)
            return errno;
        if (is_dots(found->d_name))
            continue;
        size_t name_size = strlen(found->d_name) + 1;
        struct entry *entry = och_arena_take(&listing->arena, sizeof(*entry) + name_size);
        if (entry == NULL)
            return ENOMEM;
        memcpy(entry->name, found->d_name, name_size);
        int code = is_directory(dirfd(dir), found, &entry->is_dir);
        if (code != 0)
            return code;
        entry->next = listing->entries;
        listing->entries = entry;
        listing->n++;
    }
}

static int
compare_entries(const void *a, const void *b)
{
    const struct entry *const *first = a;
    const struct entry *const *second = b;
    return strcmp((*first)->name, (*second)->name);
}

static ochre_status
visit_sorted(struct listing *listing,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err)
{
    struct entry **sorted =
            och_arena_take_array(&listing->arena, listing->n, sizeof(struct entry *));
    if (sorted == NULL)
        return och_fail_memory(err);
    size_t n = 0;
    for (struct entry *entry = listing->entries; entry != NULL; entry = entry->next)
        sorted[n++] = entry;
    if (n > 1)
        qsort(sorted, n, sizeof(struct entry *), compare_entries);
    for (size_t i = 0; i < n; i++) {
        ochre_status status = visit(context, sorted[i]->name, sorted[i]->is_dir);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}

static ochre_status
posix_list(struct och_vfs *base, const char *path,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err)
{
    struct posix_vfs *vfs = vfs_of(base);
    int fd = open_dir(vfs, path);
    if (fd < 0)
        return fail_system(err, errno, "list", path);
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        int code = errno;
        (void) close(fd);
        return fail_system(err, code, "list", path);
    }
    struct listing listing = {.entries = NULL};
    och_arena_init(&listing.arena, vfs->mem);
    int code = read_names(dir, &listing);
    (void) closedir(dir);
    ochre_status status = code == ENOMEM ? och_fail_memory(err)
            : code != 0                  ? fail_system(err, code, "list", path)
                                         : visit_sorted(&listing, visit, context, err);
    och_arena_clear(&listing.arena);
    return status;
}

/* Confined, it may not be allowed to look. */
static bool
posix_is_named(struct och_vfs *base)
{
    const struct posix_vfs *vfs = vfs_of(base);
    struct stat ours, named;
    if (fstat(vfs->root_fd, &ours) != 0)
        return true;
    if (stat(vfs->root, &named) != 0)
        return errno != ENOENT && errno != ENOTDIR;
    return ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

static const struct och_vfs_ops posix_vfs_ops = {
        .open = posix_open,
        .remove = posix_remove,
        .rename = posix_rename,
        .link = posix_link,
        .sync_dir = posix_sync_dir,
        .mkdir = posix_mkdir,
        .rmdir = posix_rmdir,
        .list = posix_list,
        .exists = posix_exists,
        .space_free = posix_space_free,
        .is_named = posix_is_named,
};

/* --- the root ------------------------------------------------------------- */

/* A root made just now is only as durable as its name in the directory above. */
static int
sync_parent(int root_fd)
{
    int fd = open_at(root_fd, "..", DIR_FLAGS);
    if (fd < 0)
        return errno;
    int code = sync_fd(fd) == 0 ? 0 : errno;
    (void) close(fd);
    return code;
}

/* Open the root, which may be reached through a link: it is the user's word.
 * Returns 0 or an errno value. */
static int
open_root(const char *root, bool create, int *root_fd_out)
{
    bool is_new = create && mkdir(root, DIR_MODE) == 0;
    if (create && !is_new && errno != EEXIST)
        return errno;
    int fd = open_at(AT_FDCWD, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = fd < 0 ? errno : 0;
    if (code == 0 && is_new)
        code = sync_parent(fd);
    if (code == 0) {
        *root_fd_out = fd;
        return 0;
    }
    if (fd >= 0)
        (void) close(fd);
    /* Left behind, it would be taken for a durable one the next time. */
    if (is_new)
        (void) rmdir(root);
    return code;
}

ochre_status
och_vfs_posix_open(struct och_mem *mem, const char *root, bool create, struct och_vfs **vfs_out,
        struct ochre_error *err)
{
    *vfs_out = NULL;
    struct posix_vfs *vfs = och_mem_take(mem, sizeof(*vfs));
    if (vfs == NULL)
        return och_fail_memory(err);
    vfs->base.ops = &posix_vfs_ops;
    vfs->mem = mem;
    vfs->root_fd = -1;
    int code = open_root(root, create, &vfs->root_fd);
    if (code == 0 && realpath(root, vfs->root) == NULL) {
        code = errno;
        (void) close(vfs->root_fd);
    }
    if (code != 0) {
        och_mem_release(mem, vfs, sizeof(*vfs));
        return fail_system(err, code, create ? "make or open" : "open", root);
    }
    *vfs_out = &vfs->base;
    return OCHRE_OK;
}

void
och_vfs_posix_close(struct och_vfs *vfs)
{
    if (vfs == NULL)
        return;
    struct posix_vfs *posix = vfs_of(vfs);
    (void) close(posix->root_fd);
    och_mem_release(posix->mem, posix, sizeof(*posix));
}

ochre_status
och_vfs_posix_name(const char *from, const char *to, struct ochre_error *err)
{
    if (rename(from, to) != 0) {
        int code = errno == ENOTEMPTY || errno == ENOTDIR ? EEXIST : errno;
        return fail_system(err, code, "name", to);
    }
    int fd = open_at(AT_FDCWD, to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = fd < 0 ? errno : sync_parent(fd);
    if (fd >= 0)
        (void) close(fd);
    return code == 0 ? OCHRE_OK : fail_system(err, code, "sync the name of", to);
}

void
och_vfs_posix_forget(const char *root)
{
    (void) rmdir(root); /* what is not empty stays */
}
