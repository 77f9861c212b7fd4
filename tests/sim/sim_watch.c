#include "sim/sim_watch.h"

#include <stdlib.h>

#include "base/random.h"
#include "os/vfs.h"

struct sim_watch {
    struct och_vfs vfs; /* first: the vfs's pointer is ours */
    struct och_vfs *base;
    sim_watch_before before;
    void *context;
};

struct watched_file {
    struct och_file file; /* first */
    struct och_file *base;
    struct sim_watch *watch;
};

static struct watched_file *
watched(struct och_file *file)
{
    return (struct watched_file *) file;
}

static struct sim_watch *
watch_of(struct och_vfs *vfs)
{
    return (struct sim_watch *) vfs;
}

static ochre_status
tell(struct sim_watch *watch, bool changes, struct ochre_error *err)
{
    return watch->before(watch->context, changes, err);
}

/* --- files -------------------------------------------------------------------- */

static ochre_status
file_read(struct och_file *file, uint64_t offset, void *bytes, size_t size, size_t *n_read_out,
        struct ochre_error *err)
{
    ochre_status status = tell(watched(file)->watch, false, err);
    *n_read_out = 0;
    if (status != OCHRE_OK)
        return status;
    return och_file_read(watched(file)->base, offset, bytes, size, n_read_out, err);
}

static ochre_status
file_write(struct och_file *file, uint64_t offset, const void *bytes, size_t size,
        struct ochre_error *err)
{
    ochre_status status = tell(watched(file)->watch, true, err);
    return status != OCHRE_OK ? status
                              : och_file_write(watched(file)->base, offset, bytes, size, err);
}

static ochre_status
file_sync(struct och_file *file, struct ochre_error *err)
{
    ochre_status status = tell(watched(file)->watch, true, err);
    return status != OCHRE_OK ? status : och_file_sync(watched(file)->base, err);
}

static ochre_status
file_truncate(struct och_file *file, uint64_t size, struct ochre_error *err)
{
    ochre_status status = tell(watched(file)->watch, true, err);
    return status != OCHRE_OK ? status : och_file_truncate(watched(file)->base, size, err);
}

static ochre_status
file_allocate(struct och_file *file, uint64_t size, struct ochre_error *err)
{
    ochre_status status = tell(watched(file)->watch, true, err);
    return status != OCHRE_OK ? status : och_file_allocate(watched(file)->base, size, err);
}

static ochre_status
file_size(struct och_file *file, uint64_t *size_out, struct ochre_error *err)
{
    ochre_status status = tell(watched(file)->watch, false, err);
    return status != OCHRE_OK ? status : och_file_size(watched(file)->base, size_out, err);
}

static ochre_status
file_map(struct och_file *file, uint64_t size, const void **bytes_out, struct ochre_error *err)
{
    ochre_status status = tell(watched(file)->watch, false, err);
    return status != OCHRE_OK ? status : och_file_map(watched(file)->base, size, bytes_out, err);
}

static void
file_unmap(struct och_file *file, const void *bytes, uint64_t size)
{
    och_file_unmap(watched(file)->base, bytes, size);
}

static ochre_status
file_lock(struct och_file *file, struct ochre_error *err)
{
    ochre_status status = tell(watched(file)->watch, true, err);
    return status != OCHRE_OK ? status : och_file_lock(watched(file)->base, err);
}

static bool
file_identity(struct och_file *file, uint64_t identity_out[2])
{
    return och_file_identity(watched(file)->base, identity_out);
}

static void
file_close(struct och_file *file)
{
    och_file_close(watched(file)->base);
    free(file);
}

static const struct och_file_ops file_ops = {
        .read = file_read,
        .write = file_write,
        .sync = file_sync,
        .truncate = file_truncate,
        .allocate = file_allocate,
        .size = file_size,
        .map = file_map,
        .unmap = file_unmap,
        .lock = file_lock,
        .identity = file_identity,
        .close = file_close,
};

/* --- the vfs ------------------------------------------------------------------ */

static ochre_status
vfs_open(struct och_vfs *vfs, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    struct sim_watch *watch = watch_of(vfs);
    *file_out = NULL;
    ochre_status status = tell(watch, (flags & OCH_OPEN_CREATE) != 0, err);
    if (status != OCHRE_OK)
        return status;
    struct watched_file *file = malloc(sizeof(*file));
    if (file == NULL)
        abort(); /* the test's own memory does not run out */
    *file = (struct watched_file){.file.ops = &file_ops, .watch = watch};
    status = och_vfs_open(watch->base, path, flags, &file->base, err);
    if (status == OCHRE_OK)
        *file_out = &file->file;
    else
        free(file);
    return status;
}

static ochre_status
vfs_remove(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    ochre_status status = tell(watch_of(vfs), true, err);
    return status != OCHRE_OK ? status : och_vfs_remove(watch_of(vfs)->base, path, err);
}

static ochre_status
vfs_rename(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    ochre_status status = tell(watch_of(vfs), true, err);
    return status != OCHRE_OK ? status : och_vfs_rename(watch_of(vfs)->base, from, to, err);
}

static ochre_status
vfs_link(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    ochre_status status = tell(watch_of(vfs), true, err);
    return status != OCHRE_OK ? status : och_vfs_link(watch_of(vfs)->base, from, to, err);
}

static ochre_status
vfs_sync_dir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    ochre_status status = tell(watch_of(vfs), true, err);
    return status != OCHRE_OK ? status : och_vfs_sync_dir(watch_of(vfs)->base, path, err);
}

static ochre_status
vfs_mkdir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    ochre_status status = tell(watch_of(vfs), true, err);
    return status != OCHRE_OK ? status : och_vfs_mkdir(watch_of(vfs)->base, path, err);
}

static ochre_status
vfs_rmdir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    ochre_status status = tell(watch_of(vfs), true, err);
    return status != OCHRE_OK ? status : och_vfs_rmdir(watch_of(vfs)->base, path, err);
}

static ochre_status
vfs_list(struct och_vfs *vfs, const char *path,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err)
{
    ochre_status status = tell(watch_of(vfs), false, err);
    return status != OCHRE_OK ? status
                              : och_vfs_list(watch_of(vfs)->base, path, visit, context, err);
}

static ochre_status
vfs_exists(struct och_vfs *vfs, const char *path, bool *exists_out, struct ochre_error *err)
{
    ochre_status status = tell(watch_of(vfs), false, err);
    return status != OCHRE_OK ? status : och_vfs_exists(watch_of(vfs)->base, path, exists_out, err);
}

static ochre_status
vfs_space_free(struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err)
{
    return och_vfs_space_free(watch_of(vfs)->base, bytes_out, err);
}

static const struct och_vfs_ops vfs_ops = {
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
};

struct sim_watch *
sim_watch_open(struct och_vfs *base, sim_watch_before before, void *context)
{
    struct sim_watch *watch = malloc(sizeof(*watch));
    if (watch == NULL)
        abort();
    *watch = (struct sim_watch){
            .vfs.ops = &vfs_ops, .base = base, .before = before, .context = context};
    return watch;
}

void
sim_watch_close(struct sim_watch *watch)
{
    free(watch);
}

struct och_vfs *
sim_watch_vfs(struct sim_watch *watch)
{
    return &watch->vfs;
}

/* --- turns -------------------------------------------------------------------- */

void
sim_turns_init(struct sim_turns *turns, uint64_t seed, unsigned one_in)
{
    *turns = (struct sim_turns){.seed = seed, .one_in = one_in};
    och_mutex_init(&turns->lock);
    och_cond_init(&turns->changed);
}

void
sim_turns_clear(struct sim_turns *turns)
{
    och_cond_clear(&turns->changed);
    och_mutex_clear(&turns->lock);
}

void
sim_turns_begin(struct sim_turns *turns, unsigned side)
{
    och_mutex_lock(&turns->lock);
    while (turns->turn != side)
        och_cond_wait(&turns->changed, &turns->lock);
    och_mutex_unlock(&turns->lock);
}

void
sim_turns_pass(struct sim_turns *turns, unsigned side)
{
    och_mutex_lock(&turns->lock);
    if (!turns->over[1 - side] && och_random(&turns->seed) % turns->one_in == 0) {
        turns->turn = 1 - side;
        och_cond_broadcast(&turns->changed);
        while (turns->turn != side)
            och_cond_wait(&turns->changed, &turns->lock);
    }
    och_mutex_unlock(&turns->lock);
}

void
sim_turns_end(struct sim_turns *turns, unsigned side)
{
    och_mutex_lock(&turns->lock);
    turns->over[side] = true;
    turns->turn = 1 - side;
    och_cond_broadcast(&turns->changed);
    och_mutex_unlock(&turns->lock);
}
