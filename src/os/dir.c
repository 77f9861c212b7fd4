#include "os/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

static ochre_status
fail_system(struct ochre_error *err, int code, const char *what, const char *path)
{
    char text[128];
    ochre_status status = code == ENOENT                          ? OCHRE_NOT_FOUND
            : code == EEXIST                                      ? OCHRE_EXISTS
            : code == ENOSYS || code == EINVAL || code == ENOTSUP ? OCHRE_UNSUPPORTED
                                                                  : OCHRE_IO;
    return och_fail(
            err, status, "cannot %s %.200s: %s", what, path, strerror_r(code, text, sizeof(text)));
}

/* Make the names in the directory that `path` is in durable. */
static ochre_status
sync_parent(const char *path, struct ochre_error *err)
{
    char parent[PATH_MAX];
    const char *end = strrchr(path, '/');
    int size = end == NULL ? snprintf(parent, sizeof(parent), ".")
            : end == path  ? snprintf(parent, sizeof(parent), "/")
                           : snprintf(parent, sizeof(parent), "%.*s", (int) (end - path), path);
    if (size < 0 || (size_t) size >= sizeof(parent))
        return fail_system(err, ENAMETOOLONG, "sync the directory of", path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_system(err, errno, "open", parent);
    int failed = fsync(fd);
    int code = errno;
    (void) close(fd);
    return failed == 0 ? OCHRE_OK : fail_system(err, code, "sync", parent);
}

ochre_status
och_dir_check_exchange(const char *path, struct ochre_error *err)
{
    struct statx what;
    if (statx(AT_FDCWD, path, 0, STATX_INO, &what) != 0)
        return fail_system(err, errno, "look at", path);
    if ((what.stx_attributes_mask & what.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0)
        return OCHRE_OK;
    return och_fail(err, OCHRE_UNSUPPORTED,
            "%.200s is a mount point, which cannot change names with another directory", path);
}

ochre_status
och_dir_exchange(const char *one, const char *other, struct ochre_error *err)
{
    if (renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) != 0)
        return fail_system(err, errno, "exchange names with", other);
    ochre_status status = sync_parent(one, err);
    return status == OCHRE_OK ? sync_parent(other, err) : status;
}

ochre_status
och_dir_move(const char *from, const char *to, struct ochre_error *err)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) != 0)
        return fail_system(err, errno, "rename", from);
    ochre_status status = sync_parent(to, err);
    return status == OCHRE_OK ? sync_parent(from, err) : status;
}
