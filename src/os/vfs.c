#include "os/vfs.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"

/*
 * True when `path` is made of names that stay below the root.  Paths are ours,
 * but some hold names that were read back from the catalog: a damaged one must
 * be an error, and must not reach outside.
 */
static bool
path_is_inside(const char *path)
{
    if (strnlen(path, OCH_PATH_SIZE_MAX) == OCH_PATH_SIZE_MAX)
        return false;
    for (;;) {
        size_t size = strcspn(path, "/");
        if (size == 0 || (size == 1 && path[0] == '.') ||
                (size == 2 && path[0] == '.' && path[1] == '.'))
            return false;
        if (path[size] == '\0')
            return true;
        path += size + 1;
    }
}

static ochre_status
check_path(const char *path, struct ochre_error *err)
{
    if (path_is_inside(path))
        return OCHRE_OK;
    return och_fail(err, OCHRE_INVALID, "\"%.*s\" is not a path below the data directory",
            OCH_PATH_SIZE_MAX, path);
}

/* The same for calls that also take "", the root itself. */
static ochre_status
check_dir_path(const char *path, struct ochre_error *err)
{
    return path[0] == '\0' ? OCHRE_OK : check_path(path, err);
}

ochre_status
och_vfs_open(struct och_vfs *vfs, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    *file_out = NULL;
    och_assert((flags & (OCH_OPEN_READ | OCH_OPEN_WRITE)) != 0);
    och_assert((flags & OCH_OPEN_EXCLUSIVE) == 0 || (flags & OCH_OPEN_CREATE) != 0);
    ochre_status status = check_path(path, err);
    if (status != OCHRE_OK)
        return status;
    return vfs->ops->open(vfs, path, flags, file_out, err);
}

ochre_status
och_vfs_remove(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    ochre_status status = check_path(path, err);
    if (status != OCHRE_OK)
        return status;
    return vfs->ops->remove(vfs, path, err);
}

ochre_status
och_vfs_rename(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    ochre_status status = check_path(from, err);
    if (status == OCHRE_OK)
        status = check_path(to, err);
    if (status != OCHRE_OK)
        return status;
    return vfs->ops->rename(vfs, from, to, err);
}

ochre_status
och_vfs_link(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    ochre_status status = check_path(from, err);
    if (status == OCHRE_OK)
        status = check_path(to, err);
    if (status != OCHRE_OK)
        return status;
    if (vfs->ops->link == NULL)
        return och_fail(err, OCHRE_UNSUPPORTED, "%s cannot have a second name", from);
    return vfs->ops->link(vfs, from, to, err);
}

ochre_status
och_vfs_sync_dir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    ochre_status status = check_dir_path(path, err);
    if (status != OCHRE_OK)
        return status;
    return vfs->ops->sync_dir(vfs, path, err);
}

ochre_status
och_vfs_mkdir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    ochre_status status = check_path(path, err);
    if (status != OCHRE_OK)
        return status;
    return vfs->ops->mkdir(vfs, path, err);
}

ochre_status
och_vfs_rmdir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    ochre_status status = check_path(path, err);
    if (status != OCHRE_OK)
        return status;
    return vfs->ops->rmdir(vfs, path, err);
}

ochre_status
och_vfs_list(struct och_vfs *vfs, const char *path,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err)
{
    ochre_status status = check_dir_path(path, err);
    if (status != OCHRE_OK)
        return status;
    return vfs->ops->list(vfs, path, visit, context, err);
}

ochre_status
och_vfs_exists(struct och_vfs *vfs, const char *path, bool *exists_out, struct ochre_error *err)
{
    *exists_out = false;
    ochre_status status = check_path(path, err);
    if (status != OCHRE_OK)
        return status;
    return vfs->ops->exists(vfs, path, exists_out, err);
}

ochre_status
och_vfs_space_free(struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err)
{
    *bytes_out = 0;
    return vfs->ops->space_free(vfs, bytes_out, err);
}

ochre_status
och_file_read(struct och_file *file, uint64_t offset, void *bytes, size_t size, size_t *n_read_out,
        struct ochre_error *err)
{
    *n_read_out = 0;
    return file->ops->read(file, offset, bytes, size, n_read_out, err);
}

ochre_status
och_file_read_all(
        struct och_file *file, uint64_t offset, void *bytes, size_t size, struct ochre_error *err)
{
    size_t n_read = 0;
    ochre_status status = file->ops->read(file, offset, bytes, size, &n_read, err);
    if (status != OCHRE_OK)
        return status;
    if (n_read == size)
        return OCHRE_OK;
    return och_fail(err, OCHRE_CORRUPT,
            "the file ends at byte %" PRIu64 " where %zu bytes from %" PRIu64 " were wanted",
            offset + n_read, size, offset);
}

ochre_status
och_file_write(struct och_file *file, uint64_t offset, const void *bytes, size_t size,
        struct ochre_error *err)
{
    return file->ops->write(file, offset, bytes, size, err);
}

ochre_status
och_file_sync(struct och_file *file, struct ochre_error *err)
{
    return file->ops->sync(file, err);
}

ochre_status
och_file_truncate(struct och_file *file, uint64_t size, struct ochre_error *err)
{
    return file->ops->truncate(file, size, err);
}

ochre_status
och_file_allocate(struct och_file *file, uint64_t size, struct ochre_error *err)
{
    return file->ops->allocate(file, size, err);
}

bool
och_vfs_is_named(struct och_vfs *vfs)
{
    return vfs->ops->is_named == NULL || vfs->ops->is_named(vfs);
}

ochre_status
och_file_size(struct och_file *file, uint64_t *size_out, struct ochre_error *err)
{
    *size_out = 0;
    return file->ops->size(file, size_out, err);
}

bool
och_file_identity(struct och_file *file, uint64_t identity_out[2])
{
    identity_out[0] = identity_out[1] = 0;
    return file->ops->identity != NULL && file->ops->identity(file, identity_out);
}

ochre_status
och_file_is_at(struct och_file *file, struct och_vfs *vfs, const char *path, bool *is_out,
        struct ochre_error *err)
{
    uint64_t ours[2], theirs[2];
    struct och_file *named = NULL;
    *is_out = true;
    if (!och_file_identity(file, ours))
        return OCHRE_OK;
    ochre_status status = och_vfs_open(vfs, path, OCH_OPEN_READ, &named, err);
    if (status == OCHRE_OK && och_file_identity(named, theirs))
        *is_out = ours[0] == theirs[0] && ours[1] == theirs[1];
    och_file_close(named);
    if (status != OCHRE_NOT_FOUND)
        return status;
    *is_out = false;
    return OCHRE_OK;
}

ochre_status
och_file_map(struct och_file *file, uint64_t size, const void **bytes_out, struct ochre_error *err)
{
    *bytes_out = NULL;
    return file->ops->map(file, size, bytes_out, err);
}

void
och_file_unmap(struct och_file *file, const void *bytes, uint64_t size)
{
    if (bytes != NULL)
        file->ops->unmap(file, bytes, size);
}

ochre_status
och_file_lock(struct och_file *file, struct ochre_error *err)
{
    return file->ops->lock(file, err);
}

void
och_file_close(struct och_file *file)
{
    if (file != NULL)
        file->ops->close(file);
}
