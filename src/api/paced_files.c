#include "api/paced_files.h"

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/clock.h"
#include "os/thread.h"

#define SECOND_NS UINT64_C(1000000000)
#define MS_NS UINT64_C(1000000)

struct och_paced_files {
    struct och_vfs vfs; /* first: the vfs's pointer is ours */
    struct och_mem *mem;
    struct och_vfs *base;
    struct och_read_pace *pace;
};

struct paced_file {
    struct och_file file; /* first */
    struct och_paced_files *files;
    struct och_file *base; /* owned */
};

static struct och_paced_files *
files_of(struct och_vfs *vfs)
{
    return (struct och_paced_files *) vfs;
}

static struct och_file *
base_of(struct och_file *file)
{
    return ((struct paced_file *) file)->base;
}

/* --- the account ------------------------------------------------------------------ */

static void
sleep_ms(uint64_t ms)
{
    struct och_mutex lock;
    struct och_cond never;
    och_mutex_init(&lock);
    och_cond_init(&never);
    och_mutex_lock(&lock);
    bool woken = och_cond_wait_for(&never, &lock, ms);
    (void) woken; /* for no reason: who waits looks at the clock again */
    och_mutex_unlock(&lock);
    och_cond_clear(&never);
    och_mutex_clear(&lock);
}

static ochre_status
wait_until_due(struct och_read_pace *pace, uint64_t now_ns, struct ochre_error *err)
{
    /* What is less than a burst is waited for with what comes. */
    while (pace->due_ns > now_ns + OCH_PACE_BURST_MS * MS_NS) {
        uint64_t ms = (pace->due_ns - now_ns) / MS_NS;
        ms = ms < OCH_PACE_WAIT_MS ? ms : OCH_PACE_WAIT_MS;
        if (pace->wait == NULL)
            sleep_ms(ms);
        else if (!pace->wait(pace->context, ms))
            return och_fail(err, OCHRE_UNAVAILABLE, "the reading was stopped");
        now_ns = och_machine_monotonic_ns(pace->machine);
    }
    return OCHRE_OK;
}

static ochre_status
charge(struct och_read_pace *pace, size_t size, struct ochre_error *err)
{
    pace->done += size;
    if (pace->progress != NULL)
        pace->progress(pace->context, pace->done, pace->total);
    if (pace->stop != NULL && atomic_load_explicit(pace->stop, memory_order_relaxed))
        return och_fail(err, OCHRE_UNAVAILABLE, "the reading was stopped");
    if (pace->rate == 0)
        return OCHRE_OK;
    uint64_t now_ns = och_machine_monotonic_ns(pace->machine);
    if (pace->due_ns < now_ns)
        pace->due_ns = now_ns;
    /* A read is a few megabytes at most, so this does not overflow. */
    pace->due_ns += (uint64_t) size * SECOND_NS / pace->rate;
    return wait_until_due(pace, now_ns, err);
}

/* --- files ------------------------------------------------------------------------- */

static ochre_status
file_read(struct och_file *file, uint64_t offset, void *bytes, size_t size, size_t *n_read_out,
        struct ochre_error *err)
{
    ochre_status status = och_file_read(base_of(file), offset, bytes, size, n_read_out, err);
    if (status != OCHRE_OK)
        return status;
    return charge(((struct paced_file *) file)->files->pace, *n_read_out, err);
}

static ochre_status
file_write(struct och_file *file, uint64_t offset, const void *bytes, size_t size,
        struct ochre_error *err)
{
    return och_file_write(base_of(file), offset, bytes, size, err);
}

static ochre_status
file_sync(struct och_file *file, struct ochre_error *err)
{
    return och_file_sync(base_of(file), err);
}

static ochre_status
file_truncate(struct och_file *file, uint64_t size, struct ochre_error *err)
{
    return och_file_truncate(base_of(file), size, err);
}

static ochre_status
file_allocate(struct och_file *file, uint64_t size, struct ochre_error *err)
{
    return och_file_allocate(base_of(file), size, err);
}

static ochre_status
file_size(struct och_file *file, uint64_t *size_out, struct ochre_error *err)
{
    return och_file_size(base_of(file), size_out, err);
}

static ochre_status
file_map(struct och_file *file, uint64_t size, const void **bytes_out, struct ochre_error *err)
{
    return och_file_map(base_of(file), size, bytes_out, err);
}

static void
file_unmap(struct och_file *file, const void *bytes, uint64_t size)
{
    och_file_unmap(base_of(file), bytes, size);
}

static ochre_status
file_lock(struct och_file *file, struct ochre_error *err)
{
    return och_file_lock(base_of(file), err);
}

static bool
file_identity(struct och_file *file, uint64_t identity_out[2])
{
    return och_file_identity(base_of(file), identity_out);
}

static void
file_close(struct och_file *file)
{
    struct paced_file *paced = (struct paced_file *) file;
    och_file_close(paced->base);
    och_mem_release(paced->files->mem, paced, sizeof(*paced));
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

/* --- the vfs ------------------------------------------------------------------------- */

static ochre_status
vfs_open(struct och_vfs *vfs, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    struct och_paced_files *files = files_of(vfs);
    struct paced_file *file = och_mem_take(files->mem, sizeof(*file));
    if (file == NULL)
        return och_fail_memory(err);
    *file = (struct paced_file){.file.ops = &file_ops, .files = files};
    ochre_status status = och_vfs_open(files->base, path, flags, &file->base, err);
    if (status != OCHRE_OK) {
        och_mem_release(files->mem, file, sizeof(*file));
        return status;
    }
    *file_out = &file->file;
    return OCHRE_OK;
}

static ochre_status
vfs_remove(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    return och_vfs_remove(files_of(vfs)->base, path, err);
}

static ochre_status
vfs_rename(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    return och_vfs_rename(files_of(vfs)->base, from, to, err);
}

static ochre_status
vfs_link(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    return och_vfs_link(files_of(vfs)->base, from, to, err);
}

static ochre_status
vfs_sync_dir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    return och_vfs_sync_dir(files_of(vfs)->base, path, err);
}

static ochre_status
vfs_mkdir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    return och_vfs_mkdir(files_of(vfs)->base, path, err);
}

static ochre_status
vfs_rmdir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    return och_vfs_rmdir(files_of(vfs)->base, path, err);
}

static ochre_status
vfs_list(struct och_vfs *vfs, const char *path,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err)
{
    return och_vfs_list(files_of(vfs)->base, path, visit, context, err);
}

static ochre_status
vfs_exists(struct och_vfs *vfs, const char *path, bool *exists_out, struct ochre_error *err)
{
    return och_vfs_exists(files_of(vfs)->base, path, exists_out, err);
}

static ochre_status
vfs_space_free(struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err)
{
    return och_vfs_space_free(files_of(vfs)->base, bytes_out, err);
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

/* --- who watches ------------------------------------------------------------------------ */

void
och_read_phase_tell(void *context, uint64_t done, uint64_t total)
{
    const struct och_read_phase *phase = context;
    phase->progress(phase->context, phase->name, done, total);
}

/* --- making one ------------------------------------------------------------------------ */

struct och_paced_files *
och_paced_files_make(struct och_mem *mem, struct och_vfs *base, struct och_read_pace *pace)
{
    struct och_paced_files *files = och_mem_take(mem, sizeof(*files));
    if (files == NULL)
        return NULL;
    *files = (struct och_paced_files){.vfs.ops = &vfs_ops, .mem = mem, .base = base, .pace = pace};
    return files;
}

void
och_paced_files_release(struct och_paced_files *files)
{
    if (files != NULL)
        och_mem_release(files->mem, files, sizeof(*files));
}

struct och_vfs *
och_paced_files_vfs(struct och_paced_files *files)
{
    return &files->vfs;
}
