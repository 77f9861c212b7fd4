#include "os/vfs_below.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

static struct och_vfs_below *
below_of(struct och_vfs *vfs)
{
    return (struct och_vfs_below *) vfs;
}

/* What the base calls it; "" is the directory itself. */
static ochre_status
join(const struct och_vfs_below *below, const char *path, char full[OCH_PATH_SIZE_MAX],
        struct ochre_error *err)
{
    int size = snprintf(
            full, OCH_PATH_SIZE_MAX, "%s%s%s", below->dir, path[0] == '\0' ? "" : "/", path);
    if (size > 0 && size < OCH_PATH_SIZE_MAX)
        return OCHRE_OK;
    return och_fail(err, OCHRE_INVALID, "a path below %s is too long", below->dir);
}

static ochre_status
vfs_open(struct och_vfs *vfs, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    char full[OCH_PATH_SIZE_MAX];
    ochre_status status = join(below_of(vfs), path, full, err);
    return status == OCHRE_OK ? och_vfs_open(below_of(vfs)->base, full, flags, file_out, err)
                              : status;
}

static ochre_status
vfs_remove(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    char full[OCH_PATH_SIZE_MAX];
    ochre_status status = join(below_of(vfs), path, full, err);
    return status == OCHRE_OK ? och_vfs_remove(below_of(vfs)->base, full, err) : status;
}

static ochre_status
join_both(const struct och_vfs_below *below, const char *const paths[2],
        char full[2][OCH_PATH_SIZE_MAX], struct ochre_error *err)
{
    ochre_status status = join(below, paths[0], full[0], err);
    return status == OCHRE_OK ? join(below, paths[1], full[1], err) : status;
}

static ochre_status
vfs_rename(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    const char *const paths[2] = {from, to};
    char full[2][OCH_PATH_SIZE_MAX];
    ochre_status status = join_both(below_of(vfs), paths, full, err);
    return status == OCHRE_OK ? och_vfs_rename(below_of(vfs)->base, full[0], full[1], err) : status;
}

static ochre_status
vfs_link(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    const char *const paths[2] = {from, to};
    char full[2][OCH_PATH_SIZE_MAX];
    ochre_status status = join_both(below_of(vfs), paths, full, err);
    return status == OCHRE_OK ? och_vfs_link(below_of(vfs)->base, full[0], full[1], err) : status;
}

static ochre_status
vfs_sync_dir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    char full[OCH_PATH_SIZE_MAX];
    ochre_status status = join(below_of(vfs), path, full, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(below_of(vfs)->base, full, err) : status;
}

static ochre_status
vfs_mkdir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    char full[OCH_PATH_SIZE_MAX];
    ochre_status status = join(below_of(vfs), path, full, err);
    return status == OCHRE_OK ? och_vfs_mkdir(below_of(vfs)->base, full, err) : status;
}

static ochre_status
vfs_rmdir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    char full[OCH_PATH_SIZE_MAX];
    ochre_status status = join(below_of(vfs), path, full, err);
    return status == OCHRE_OK ? och_vfs_rmdir(below_of(vfs)->base, full, err) : status;
}

static ochre_status
vfs_list(struct och_vfs *vfs, const char *path,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err)
{
    char full[OCH_PATH_SIZE_MAX];
    ochre_status status = join(below_of(vfs), path, full, err);
    return status == OCHRE_OK ? och_vfs_list(below_of(vfs)->base, full, visit, context, err)
                              : status;
}

static ochre_status
vfs_exists(struct och_vfs *vfs, const char *path, bool *exists_out, struct ochre_error *err)
{
    char full[OCH_PATH_SIZE_MAX];
    ochre_status status = join(below_of(vfs), path, full, err);
    return status == OCHRE_OK ? och_vfs_exists(below_of(vfs)->base, full, exists_out, err) : status;
}

static ochre_status
vfs_space_free(struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err)
{
    return och_vfs_space_free(below_of(vfs)->base, bytes_out, err);
}

static bool
vfs_is_named(struct och_vfs *vfs)
{
    return och_vfs_is_named(below_of(vfs)->base);
}

static const struct och_vfs_ops ops = {
        .open = vfs_open,
        .remove = vfs_remove,
        .rename = vfs_rename,
        .link = vfs_link,
        .sync_dir = vfs_sync_dir,
        .mkdir = vfs_mkdir,
        .rmdir = vfs_rmdir,
        .list = vfs_list,
        .exists = vfs_exists,
        .space_free = vfs_space_free,
        .is_named = vfs_is_named,
};

void
och_vfs_below_init(struct och_vfs_below *below, struct och_vfs *base, const char *dir)
{
    och_assert(strlen(dir) < sizeof(below->dir));
    *below = (struct och_vfs_below){.vfs.ops = &ops, .base = base};
    (void) snprintf(below->dir, sizeof(below->dir), "%s", dir);
}
