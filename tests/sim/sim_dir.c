#include "sim/sim_dir.h"

#include <stdio.h>

struct path {
    char text[OCH_PATH_SIZE_MAX];
};

/* A path that is too long is cut, and not found. */
static struct path
below(struct och_vfs *vfs, const char *path)
{
    const struct sim_dir *dir = (const struct sim_dir *) vfs;
    struct path full;
    (void) snprintf(
            full.text, sizeof(full.text), "%s%s%s", dir->name, path[0] == '\0' ? "" : "/", path);
    return full;
}

static struct och_vfs *
base_of(struct och_vfs *vfs)
{
    return ((struct sim_dir *) vfs)->base;
}

static ochre_status
dir_open(struct och_vfs *vfs, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    return och_vfs_open(base_of(vfs), below(vfs, path).text, flags, file_out, err);
}

static ochre_status
dir_remove(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    return och_vfs_remove(base_of(vfs), below(vfs, path).text, err);
}

static ochre_status
dir_rename(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    return och_vfs_rename(base_of(vfs), below(vfs, from).text, below(vfs, to).text, err);
}

static ochre_status
dir_link(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    return och_vfs_link(base_of(vfs), below(vfs, from).text, below(vfs, to).text, err);
}

static ochre_status
dir_sync_dir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    return och_vfs_sync_dir(base_of(vfs), below(vfs, path).text, err);
}

static ochre_status
dir_mkdir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    return och_vfs_mkdir(base_of(vfs), below(vfs, path).text, err);
}

static ochre_status
dir_rmdir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    return och_vfs_rmdir(base_of(vfs), below(vfs, path).text, err);
}

static ochre_status
dir_list(struct och_vfs *vfs, const char *path,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err)
{
    return och_vfs_list(base_of(vfs), below(vfs, path).text, visit, context, err);
}

static ochre_status
dir_exists(struct och_vfs *vfs, const char *path, bool *exists_out, struct ochre_error *err)
{
    return och_vfs_exists(base_of(vfs), below(vfs, path).text, exists_out, err);
}

static ochre_status
dir_space_free(struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err)
{
    return och_vfs_space_free(base_of(vfs), bytes_out, err);
}

static const struct och_vfs_ops ops = {
        .open = dir_open,
        .remove = dir_remove,
        .rename = dir_rename,
        .link = dir_link,
        .sync_dir = dir_sync_dir,
        .mkdir = dir_mkdir,
        .rmdir = dir_rmdir,
        .list = dir_list,
        .exists = dir_exists,
        .space_free = dir_space_free,
};

void
sim_dir_init(struct sim_dir *dir, struct och_vfs *base, const char *name)
{
    dir->vfs.ops = &ops;
    dir->base = base;
    (void) snprintf(dir->name, sizeof(dir->name), "%s", name);
}
