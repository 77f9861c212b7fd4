#include "os/vfs_memory.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

/* --- files --------------------------------------------------------------------- */

struct memory_file {
    struct och_file file; /* first */
    struct och_mem *mem;
    struct och_buf *bytes; /* borrowed */
};

static struct och_buf *
bytes_of(struct och_file *file)
{
    return ((struct memory_file *) file)->bytes;
}

static ochre_status
file_read(struct och_file *file, uint64_t offset, void *bytes, size_t size, size_t *n_read_out,
        struct ochre_error *err)
{
    const struct och_buf *all = bytes_of(file);
    size_t left = offset < all->size ? all->size - (size_t) offset : 0;
    (void) err;
    *n_read_out = size < left ? size : left;
    if (*n_read_out > 0)
        memcpy(bytes, all->data + offset, *n_read_out);
    return OCHRE_OK;
}

static ochre_status
resize(struct och_buf *bytes, uint64_t size, struct ochre_error *err)
{
    if (size <= bytes->size) {
        bytes->size = (size_t) size;
        return OCHRE_OK;
    }
    size_t more = (size_t) size - bytes->size;
    char *zeros = och_buf_extend(bytes, more);
    if (zeros == NULL)
        return och_fail_memory(err);
    memset(zeros, 0, more);
    return OCHRE_OK;
}

static ochre_status
file_write(struct och_file *file, uint64_t offset, const void *bytes, size_t size,
        struct ochre_error *err)
{
    struct och_buf *all = bytes_of(file);
    ochre_status status = OCHRE_OK;
    if (offset + size > all->size)
        status = resize(all, offset + size, err);
    if (status == OCHRE_OK && all->data != NULL)
        memcpy(all->data + offset, bytes, size);
    return status;
}

static ochre_status
file_sync(struct och_file *file, struct ochre_error *err)
{
    (void) file;
    (void) err;
    return OCHRE_OK;
}

static ochre_status
file_truncate(struct och_file *file, uint64_t size, struct ochre_error *err)
{
    return resize(bytes_of(file), size, err);
}

static ochre_status
file_allocate(struct och_file *file, uint64_t size, struct ochre_error *err)
{
    return size <= bytes_of(file)->size ? OCHRE_OK : resize(bytes_of(file), size, err);
}

static ochre_status
file_size(struct och_file *file, uint64_t *size_out, struct ochre_error *err)
{
    (void) err;
    *size_out = bytes_of(file)->size;
    return OCHRE_OK;
}

static ochre_status
file_map(struct och_file *file, uint64_t size, const void **bytes_out, struct ochre_error *err)
{
    if (size > bytes_of(file)->size)
        return och_fail(err, OCHRE_CORRUPT, "the file in memory is shorter than its map");
    *bytes_out = bytes_of(file)->data;
    return OCHRE_OK;
}

static void
file_unmap(struct och_file *file, const void *bytes, uint64_t size)
{
    (void) file;
    (void) bytes;
    (void) size;
}

static void
file_close(struct och_file *file)
{
    struct memory_file *memory_file = (struct memory_file *) file;
    och_mem_release(memory_file->mem, memory_file, sizeof(*memory_file));
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
        .lock = file_sync,
        .close = file_close,
};

/* --- the file system ------------------------------------------------------------ */

static struct och_memory_bytes *
find(struct och_vfs *vfs, const char *path)
{
    struct och_vfs_memory *memory = (struct och_vfs_memory *) vfs;
    for (unsigned i = 0; i < OCH_MEMORY_FILES_MAX; i++)
        if (strcmp(memory->files[i].name, path) == 0)
            return &memory->files[i];
    return NULL;
}

static ochre_status
fail_missing(const char *path, struct ochre_error *err)
{
    return och_fail(err, OCHRE_NOT_FOUND, "there is no %s in memory", path);
}

/* The place of a file, taken now if there is none of this name yet. */
static struct och_memory_bytes *
place_for(struct och_vfs *vfs, const char *path)
{
    struct och_memory_bytes *file = find(vfs, path);
    if (file != NULL || strlen(path) >= OCH_MEMORY_NAME_SIZE)
        return file;
    file = find(vfs, "");
    if (file != NULL)
        (void) snprintf(file->name, sizeof(file->name), "%s", path);
    return file;
}

static ochre_status
vfs_open(struct och_vfs *vfs, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    struct och_vfs_memory *memory = (struct och_vfs_memory *) vfs;
    bool creates = (flags & OCH_OPEN_CREATE) != 0;
    struct och_memory_bytes *bytes = creates ? place_for(vfs, path) : find(vfs, path);
    if (bytes == NULL || (!bytes->is_there && !creates))
        return fail_missing(path, err);
    struct memory_file *file = och_mem_take(memory->mem, sizeof(*file));
    if (file == NULL)
        return och_fail_memory(err);
    *file = (struct memory_file){.file.ops = &file_ops, .mem = memory->mem, .bytes = &bytes->bytes};
    bytes->is_there = true;
    *file_out = &file->file;
    return OCHRE_OK;
}

static ochre_status
vfs_remove(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    struct och_memory_bytes *bytes = find(vfs, path);
    if (bytes == NULL || !bytes->is_there)
        return fail_missing(path, err);
    bytes->is_there = false;
    och_buf_reset(&bytes->bytes);
    return OCHRE_OK;
}

static ochre_status
vfs_rename(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    struct och_memory_bytes *old = find(vfs, from);
    struct och_memory_bytes *place = place_for(vfs, to);
    if (old == NULL || !old->is_there || place == NULL)
        return fail_missing(from, err);
    if (place == old)
        return OCHRE_OK;
    struct och_buf bytes = place->bytes;
    place->bytes = old->bytes;
    place->is_there = true;
    old->bytes = bytes;
    old->is_there = false;
    och_buf_reset(&old->bytes);
    return OCHRE_OK;
}

/* Also its `mkdir` and `rmdir`: there are no directories. */
static ochre_status
vfs_sync_dir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    (void) vfs;
    (void) path;
    (void) err;
    return OCHRE_OK;
}

static ochre_status
vfs_list(struct och_vfs *vfs, const char *path,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err)
{
    struct och_vfs_memory *memory = (struct och_vfs_memory *) vfs;
    ochre_status status = OCHRE_OK;
    (void) path;
    (void) err;
    for (unsigned i = 0; i < OCH_MEMORY_FILES_MAX && status == OCHRE_OK; i++)
        if (memory->files[i].is_there)
            status = visit(context, memory->files[i].name, false);
    return status;
}

static ochre_status
vfs_exists(struct och_vfs *vfs, const char *path, bool *exists_out, struct ochre_error *err)
{
    (void) err;
    const struct och_memory_bytes *bytes = find(vfs, path);
    *exists_out = bytes != NULL && bytes->is_there;
    return OCHRE_OK;
}

static ochre_status
vfs_space_free(struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err)
{
    (void) vfs;
    (void) err;
    *bytes_out = UINT64_MAX;
    return OCHRE_OK;
}

static const struct och_vfs_ops vfs_ops = {
        .open = vfs_open,
        .remove = vfs_remove,
        .rename = vfs_rename,
        .sync_dir = vfs_sync_dir,
        .mkdir = vfs_sync_dir,
        .rmdir = vfs_sync_dir,
        .list = vfs_list,
        .exists = vfs_exists,
        .space_free = vfs_space_free,
};

void
och_vfs_memory_init(struct och_vfs_memory *memory, struct och_mem *mem)
{
    *memory = (struct och_vfs_memory){.vfs.ops = &vfs_ops, .mem = mem};
    for (unsigned i = 0; i < OCH_MEMORY_FILES_MAX; i++)
        och_buf_init(&memory->files[i].bytes, mem, SIZE_MAX / 2);
}

void
och_vfs_memory_clear(struct och_vfs_memory *memory)
{
    for (unsigned i = 0; i < OCH_MEMORY_FILES_MAX; i++) {
        och_buf_clear(&memory->files[i].bytes);
        memory->files[i].is_there = false;
    }
}

void
och_vfs_memory_name(struct och_vfs_memory *memory, unsigned i, const char *name)
{
    och_assert(i < OCH_MEMORY_FILES_MAX && strlen(name) < OCH_MEMORY_NAME_SIZE);
    (void) snprintf(memory->files[i].name, sizeof(memory->files[i].name), "%s", name);
}

ochre_status
och_vfs_memory_copy(struct och_vfs_memory *memory, struct och_vfs *from, const char *name,
        struct ochre_error *err)
{
    struct och_file *file = NULL;
    uint64_t size = 0;
    ochre_status status = och_vfs_open(from, name, OCH_OPEN_READ, &file, err);
    if (status != OCHRE_OK)
        return status;
    struct och_memory_bytes *place = place_for(&memory->vfs, name);
    och_assert(place != NULL);
    och_buf_reset(&place->bytes);
    status = och_file_size(file, &size, err);
    char *room =
            status == OCHRE_OK && size > 0 ? och_buf_extend(&place->bytes, (size_t) size) : NULL;
    if (status == OCHRE_OK && size > 0)
        status = room == NULL ? och_fail_memory(err)
                              : och_file_read_all(file, 0, room, (size_t) size, err);
    och_file_close(file);
    place->is_there = status == OCHRE_OK;
    return status;
}
