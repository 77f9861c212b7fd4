#include "sim/sim_disk.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/random.h"
#include "sim/sim_internal.h"

/* A sparse size past this is a bug in the program, not a plan. */
#define FILE_SIZE_MAX (UINT64_C(1) << 40)
/* What a disk without a limit says it has left. */
#define UNLIMITED_FREE (UINT64_C(1) << 40)

static struct sim_disk *
disk_of(struct och_vfs *vfs)
{
    return (struct sim_disk *) vfs;
}

static struct sim_file *
file_of(struct och_file *file)
{
    return (struct sim_file *) file;
}

/* --- one call at a time ------------------------------------------------------ */

static pthread_mutex_t *
take(struct sim_disk *disk)
{
    och_assert(pthread_mutex_lock(&disk->lock) == 0);
    return &disk->lock;
}

static void
give_back(pthread_mutex_t **lock)
{
    och_assert(pthread_mutex_unlock(*lock) == 0);
}

/* As far as the end of the block, no other thread's call runs. */
#define ALONE(disk) pthread_mutex_t *alone_ __attribute__((cleanup(give_back), unused)) = take(disk)

/* --- counting, failing, tracing -------------------------------------------- */

/* A call as it begins. */
struct intent {
    const char *name;
    const char *path;
    uint64_t offset;
    uint64_t size;
    bool needs_space;
};

static void
trace(struct sim_disk *disk, const struct intent *intent, uint64_t number)
{
    struct sim_call *call = &disk->trace[disk->n_traced++ % SIM_TRACE];
    *call = (struct sim_call){
            .number = number,
            .name = intent->name,
            .offset = intent->offset,
            .size = intent->size,
    };
    size_t size = strlen(intent->path);
    const char *path = intent->path;
    if (size >= sizeof(call->path))
        path += size - sizeof(call->path) + 1;
    (void) snprintf(call->path, sizeof(call->path), "%s", path);
}

/* Note the outcome of the call begun last. */
static ochre_status
finish(struct sim_disk *disk, ochre_status status)
{
    disk->trace[(disk->n_traced - 1) % SIM_TRACE].status = status;
    return status;
}

/* Does the armed fault strike this call? */
static bool
strikes(struct sim_disk *disk, const struct intent *intent)
{
    if (disk->fault_in == 0)
        return false;
    bool goes_on = disk->fault == SIM_IO_FROM || disk->fault == SIM_FULL_FROM;
    bool is_full = disk->fault == SIM_FULL_ONCE || disk->fault == SIM_FULL_FROM;
    if (is_full && !intent->needs_space)
        return false;
    if (disk->fault_in > 1) {
        disk->fault_in--;
        return false;
    }
    disk->has_failed = true;
    if (!goes_on)
        disk->fault_in = 0;
    return true;
}

/* Begin a call: OCHRE_OK when it may go on, and otherwise how it fails. */
static ochre_status
begin(struct sim_disk *disk, const struct intent *intent, struct ochre_error *err)
{
    if (sim_disk_has_crashed(disk)) {
        trace(disk, intent, 0);
        return finish(disk,
                och_fail(err, OCHRE_IO, "cannot %s %s: the simulated machine has crashed",
                        intent->name, intent->path));
    }
    disk->n_calls++;
    trace(disk, intent, disk->n_calls);
    if (!strikes(disk, intent))
        return OCHRE_OK;
    bool is_full = disk->fault == SIM_FULL_ONCE || disk->fault == SIM_FULL_FROM;
    return finish(disk,
            och_fail(err, is_full ? OCHRE_FULL : OCHRE_IO,
                    "cannot %s %s: simulated fault at call %" PRIu64, intent->name, intent->path,
                    disk->n_calls));
}

/* The same for a call on a file, which may have been open in another life. */
static ochre_status
begin_file(struct sim_file *file, const struct intent *intent, struct ochre_error *err)
{
    if (file->life != file->disk->life)
        return och_fail(err, OCHRE_IO, "cannot %s %s: it was open when the machine crashed",
                intent->name, file->path);
    return begin(file->disk, intent, err);
}

/* Fail a call that has begun for a reason of its own. */
static ochre_status
fail(struct sim_disk *disk, const struct intent *intent, ochre_status status, const char *reason,
        struct ochre_error *err)
{
    return finish(
            disk, och_fail(err, status, "cannot %s %s: %s", intent->name, intent->path, reason));
}

/* --- space ----------------------------------------------------------------- */

static uint64_t
in_pages(uint64_t size)
{
    return (size + SIM_PAGE_SIZE - 1) / SIM_PAGE_SIZE * SIM_PAGE_SIZE;
}

/* Is the file to be seen, by a name or by who has it open? */
static bool
is_live(const struct sim_disk *disk, uint32_t number)
{
    for (const struct sim_file *file = disk->files; file != NULL; file = file->next)
        if (file->life == disk->life && file->inode == number)
            return true;
    for (size_t i = 0; i < disk->n_inodes; i++) {
        const struct sim_names *names = &disk->inodes[i]->current_names;
        for (size_t j = 0; j < names->n; j++)
            if (names->entries[j].inode == number)
                return true;
    }
    return false;
}

uint64_t
sim_disk_used(const struct sim_disk *disk)
{
    uint64_t used = 0;
    for (size_t i = 0; i < disk->n_inodes; i++) {
        const struct sim_inode *inode = disk->inodes[i];
        if (!inode->is_dir && inode->current.size > 0 && is_live(disk, inode->number))
            used += in_pages(inode->current.size);
    }
    return used;
}

static uint64_t
space_left(const struct sim_disk *disk)
{
    if (disk->capacity == UINT64_MAX)
        return UNLIMITED_FREE;
    uint64_t used = sim_disk_used(disk);
    return used < disk->capacity ? disk->capacity - used : 0;
}

/* The size to which a file of `old_size` bytes can grow on its way to `size`. */
static uint64_t
size_that_fits(const struct sim_disk *disk, uint64_t old_size, uint64_t size)
{
    if (disk->capacity == UINT64_MAX || in_pages(size) <= in_pages(old_size))
        return size;
    uint64_t left = space_left(disk) / SIM_PAGE_SIZE * SIM_PAGE_SIZE;
    uint64_t most = in_pages(old_size) + left;
    return size < most ? size : most;
}

/* --- files ------------------------------------------------------------------ */

static ochre_status
sim_read(struct och_file *base, uint64_t offset, void *bytes, size_t size, size_t *n_read_out,
        struct ochre_error *err)
{
    struct sim_file *file = file_of(base);
    ALONE(file->disk);
    struct intent intent = {"read", file->path, offset, size, false};
    ochre_status status = begin_file(file, &intent, err);
    if (status != OCHRE_OK)
        return status;
    *n_read_out =
            sim_image_read(&sim_inode_get(file->disk, file->inode)->current, offset, bytes, size);
    return OCHRE_OK;
}

static ochre_status
sim_write(struct och_file *base, uint64_t offset, const void *bytes, size_t size,
        struct ochre_error *err)
{
    struct sim_file *file = file_of(base);
    struct sim_disk *disk = file->disk;
    ALONE(disk);
    struct intent intent = {"write", file->path, offset, size, true};
    ochre_status status = begin_file(file, &intent, err);
    if (status != OCHRE_OK && (file->life != disk->life || sim_disk_has_crashed(disk)))
        return status;
    if (!file->can_write)
        return fail(disk, &intent, OCHRE_IO, "it is open for reading only", err);
    if (offset > FILE_SIZE_MAX || size > FILE_SIZE_MAX - offset)
        return fail(disk, &intent, OCHRE_IO, "the file would be too large", err);

    uint64_t n_written = status == OCHRE_OK ? size : och_random_below(&disk->seed, size + 1);
    uint64_t end = offset + n_written;
    uint64_t most = size_that_fits(disk, sim_inode_get(disk, file->inode)->current.size, end);
    if (end > most)
        n_written = most > offset ? most - offset : 0;
    sim_do_write(disk, file->inode, offset, bytes, (size_t) n_written);
    if (status == OCHRE_OK && n_written < size)
        return fail(disk, &intent, OCHRE_FULL, "the simulated disk is full", err);
    return status;
}

static ochre_status
sim_sync(struct och_file *base, struct ochre_error *err)
{
    struct sim_file *file = file_of(base);
    struct sim_disk *disk = file->disk;
    ALONE(disk);
    struct intent intent = {"sync", file->path, 0, 0, false};
    ochre_status status = begin_file(file, &intent, err);
    if (status == OCHRE_OK)
        sim_sync_data(disk, file->inode);
    else if (file->life == disk->life && !sim_disk_has_crashed(disk))
        sim_forget_data(disk, file->inode);
    return status;
}

/* Truncate and allocate: both set a size. */
static ochre_status
set_size(struct sim_file *file, const struct intent *intent, struct ochre_error *err)
{
    struct sim_disk *disk = file->disk;
    if (!file->can_write)
        return fail(disk, intent, OCHRE_IO, "it is open for reading only", err);
    if (intent->size > FILE_SIZE_MAX)
        return fail(disk, intent, OCHRE_IO, "the file would be too large", err);
    uint64_t old_size = sim_inode_get(disk, file->inode)->current.size;
    if (size_that_fits(disk, old_size, intent->size) < intent->size)
        return fail(disk, intent, OCHRE_FULL, "the simulated disk is full", err);
    sim_do_resize(disk, file->inode, intent->size);
    return OCHRE_OK;
}

static ochre_status
sim_truncate(struct och_file *base, uint64_t size, struct ochre_error *err)
{
    struct sim_file *file = file_of(base);
    ALONE(file->disk);
    struct intent intent = {"truncate", file->path, 0, size, true};
    ochre_status status = begin_file(file, &intent, err);
    return status == OCHRE_OK ? set_size(file, &intent, err) : status;
}

static ochre_status
sim_allocate(struct och_file *base, uint64_t size, struct ochre_error *err)
{
    struct sim_file *file = file_of(base);
    ALONE(file->disk);
    struct intent intent = {"allocate", file->path, 0, size, true};
    ochre_status status = begin_file(file, &intent, err);
    if (status != OCHRE_OK)
        return status;
    if (size <= sim_inode_get(file->disk, file->inode)->current.size)
        return OCHRE_OK;
    return set_size(file, &intent, err);
}

static ochre_status
sim_size(struct och_file *base, uint64_t *size_out, struct ochre_error *err)
{
    struct sim_file *file = file_of(base);
    ALONE(file->disk);
    struct intent intent = {"size", file->path, 0, 0, false};
    ochre_status status = begin_file(file, &intent, err);
    if (status == OCHRE_OK)
        *size_out = sim_inode_get(file->disk, file->inode)->current.size;
    return status;
}

/* The copy has no spare byte, so that a sanitizer sees every step too far. */
static ochre_status
sim_map(struct och_file *base, uint64_t size, const void **bytes_out, struct ochre_error *err)
{
    static const char no_bytes[1];
    struct sim_file *file = file_of(base);
    struct sim_disk *disk = file->disk;
    ALONE(disk);
    struct intent intent = {"map", file->path, 0, size, false};
    ochre_status status = begin_file(file, &intent, err);
    if (status != OCHRE_OK)
        return status;
    const struct sim_image *image = &sim_inode_get(disk, file->inode)->current;
    if (size > image->size)
        return fail(disk, &intent, OCHRE_CORRUPT, "the file is shorter", err);
    if (size == 0) {
        *bytes_out = no_bytes;
        return OCHRE_OK;
    }
    void *bytes = och_mem_take_aligned(disk->mem, SIM_PAGE_SIZE, (size_t) size);
    och_assert(bytes != NULL);
    size_t n_read = sim_image_read(image, 0, bytes, (size_t) size);
    och_assert(n_read == size);
    file->n_maps++;
    *bytes_out = bytes;
    return OCHRE_OK;
}

static void
sim_unmap(struct och_file *base, const void *bytes, uint64_t size)
{
    struct sim_file *file = file_of(base);
    ALONE(file->disk);
    if (size == 0)
        return;
    och_assert(file->n_maps > 0);
    file->n_maps--;
    union {
        const void *given;
        void *owned;
    } map = {.given = bytes};
    och_mem_release(file->disk->mem, map.owned, (size_t) size);
}

static ochre_status
sim_lock(struct och_file *base, struct ochre_error *err)
{
    struct sim_file *file = file_of(base);
    struct sim_disk *disk = file->disk;
    ALONE(disk);
    struct intent intent = {"lock", file->path, 0, 0, false};
    ochre_status status = begin_file(file, &intent, err);
    if (status != OCHRE_OK)
        return status;
    for (const struct sim_file *other = disk->files; other != NULL; other = other->next)
        if (other != file && other->is_locked && other->life == disk->life &&
                other->inode == file->inode)
            return fail(disk, &intent, OCHRE_BUSY, "another holds its lock", err);
    file->is_locked = true;
    return OCHRE_OK;
}

/* No call that could fail: it is a question to memory. */
static bool
sim_identity(struct och_file *base, uint64_t identity_out[2])
{
    struct sim_file *file = file_of(base);
    ALONE(file->disk);
    identity_out[0] = 1;
    identity_out[1] = file->inode;
    return true;
}

static void
sim_close(struct och_file *base)
{
    struct sim_file *file = file_of(base);
    struct sim_disk *disk = file->disk;
    ALONE(disk);
    och_assert(file->n_maps == 0); /* os/vfs.h: unmap before closing */
    struct sim_file **link = &disk->files;
    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    och_mem_release(disk->mem, file, sizeof(*file));
    sim_collect(disk);
}

static const struct och_file_ops sim_file_ops = {
        .read = sim_read,
        .write = sim_write,
        .sync = sim_sync,
        .truncate = sim_truncate,
        .allocate = sim_allocate,
        .size = sim_size,
        .map = sim_map,
        .unmap = sim_unmap,
        .lock = sim_lock,
        .identity = sim_identity,
        .close = sim_close,
};

/* --- names ------------------------------------------------------------------ */

/* Where a path leads. */
struct place {
    struct sim_key key;      /* the directory that holds it, and its name there */
    struct sim_inode *inode; /* what is there, to read; NULL for nothing */
};

/* Follow a path from the root; "" is the root itself, which no directory holds. */
static ochre_status
walk(const struct sim_disk *disk, const char *path, struct place *place_out)
{
    struct place place = {.key.dir = SIM_NOTHING, .inode = sim_inode_get(disk, SIM_ROOT)};
    for (const char *next = path; next[0] != '\0';) {
        size_t size = strcspn(next, "/");
        if (place.inode == NULL)
            return OCHRE_NOT_FOUND;
        if (!place.inode->is_dir || size >= SIM_NAME_SIZE)
            return OCHRE_IO;
        place.key.dir = place.inode->number;
        memcpy(place.key.name, next, size);
        place.key.name[size] = '\0';
        place.inode =
                sim_inode_get(disk, sim_names_find(&place.inode->current_names, place.key.name));
        next += size;
        next += next[0] == '/';
    }
    *place_out = place;
    return OCHRE_OK;
}

/* Begin a call on a path, and follow it. */
static ochre_status
begin_path(struct sim_disk *disk, const struct intent *intent, struct place *place_out,
        struct ochre_error *err)
{
    ochre_status status = begin(disk, intent, err);
    if (status != OCHRE_OK)
        return status;
    status = walk(disk, intent->path, place_out);
    if (status == OCHRE_NOT_FOUND)
        return fail(disk, intent, status, "a directory on the way is missing", err);
    if (status != OCHRE_OK)
        return fail(disk, intent, status, "a directory on the way is none", err);
    return OCHRE_OK;
}

static void
link_new(struct sim_disk *disk, const struct place *place, uint32_t inode)
{
    struct sim_name_op op = {.kind = SIM_LINK, .inode = inode, .at = place->key};
    sim_do_names(disk, &op);
}

static ochre_status
sim_open(struct och_vfs *base, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    struct sim_disk *disk = disk_of(base);
    ALONE(disk);
    struct place place;
    struct intent intent = {"open", path, 0, 0, (flags & OCH_OPEN_CREATE) != 0};
    ochre_status status = begin_path(disk, &intent, &place, err);
    if (status != OCHRE_OK)
        return status;
    if (place.inode != NULL && (flags & OCH_OPEN_EXCLUSIVE) != 0)
        return fail(disk, &intent, OCHRE_EXISTS, "it is there already", err);
    if (place.inode != NULL && place.inode->is_dir)
        return fail(disk, &intent, OCHRE_IO, "it is a directory", err);
    if (place.inode == NULL && (flags & OCH_OPEN_CREATE) == 0)
        return fail(disk, &intent, OCHRE_NOT_FOUND, "no such file", err);

    uint32_t inode = place.inode != NULL ? place.inode->number : SIM_NOTHING;
    if (inode == SIM_NOTHING) {
        inode = sim_inode_make(disk, false);
        link_new(disk, &place, inode);
    }
    struct sim_file *file = och_mem_take_zeroed(disk->mem, sizeof(*file));
    och_assert(file != NULL);
    file->base.ops = &sim_file_ops;
    file->disk = disk;
    file->inode = inode;
    file->life = disk->life;
    file->can_write = (flags & OCH_OPEN_WRITE) != 0;
    (void) snprintf(file->path, sizeof(file->path), "%s", path);
    file->next = disk->files;
    disk->files = file;
    *file_out = &file->base;
    return OCHRE_OK;
}

static void
unlink_place(struct sim_disk *disk, const struct place *place)
{
    struct sim_name_op op = {.kind = SIM_UNLINK, .inode = place->inode->number, .at = place->key};
    sim_do_names(disk, &op);
    sim_collect(disk);
}

static ochre_status
sim_remove(struct och_vfs *base, const char *path, struct ochre_error *err)
{
    struct sim_disk *disk = disk_of(base);
    ALONE(disk);
    struct place place;
    struct intent intent = {"remove", path, 0, 0, false};
    ochre_status status = begin_path(disk, &intent, &place, err);
    if (status != OCHRE_OK)
        return status;
    if (place.inode == NULL)
        return fail(disk, &intent, OCHRE_NOT_FOUND, "no such file", err);
    if (place.inode->is_dir)
        return fail(disk, &intent, OCHRE_IO, "it is a directory", err);
    unlink_place(disk, &place);
    return OCHRE_OK;
}

static ochre_status
sim_rmdir(struct och_vfs *base, const char *path, struct ochre_error *err)
{
    struct sim_disk *disk = disk_of(base);
    ALONE(disk);
    struct place place;
    struct intent intent = {"rmdir", path, 0, 0, false};
    ochre_status status = begin_path(disk, &intent, &place, err);
    if (status != OCHRE_OK)
        return status;
    if (place.inode == NULL)
        return fail(disk, &intent, OCHRE_NOT_FOUND, "no such directory", err);
    if (!place.inode->is_dir)
        return fail(disk, &intent, OCHRE_IO, "it is not a directory", err);
    if (place.inode->current_names.n > 0)
        return fail(disk, &intent, OCHRE_IO, "it is not empty", err);
    unlink_place(disk, &place);
    return OCHRE_OK;
}

static ochre_status
sim_rename(struct och_vfs *base, const char *from, const char *to, struct ochre_error *err)
{
    struct sim_disk *disk = disk_of(base);
    ALONE(disk);
    struct place source;
    struct place target;
    struct intent intent = {"rename", from, 0, 0, true};
    ochre_status status = begin_path(disk, &intent, &source, err);
    if (status != OCHRE_OK)
        return status;
    status = walk(disk, to, &target);
    if (status != OCHRE_OK)
        return fail(disk, &intent, status, "the new name has no directory", err);
    if (source.inode == NULL)
        return fail(disk, &intent, OCHRE_NOT_FOUND, "no such file", err);
    if (source.inode->is_dir)
        return fail(disk, &intent, OCHRE_IO, "it is a directory", err);
    if (target.inode != NULL && target.inode->is_dir)
        return fail(disk, &intent, OCHRE_IO, "the new name is a directory", err);
    if (target.inode == source.inode)
        return OCHRE_OK;
    struct sim_name_op op = {
            .kind = SIM_RENAME,
            .inode = source.inode->number,
            .at = target.key,
            .from = source.key,
    };
    sim_do_names(disk, &op);
    sim_collect(disk);
    return OCHRE_OK;
}

static ochre_status
sim_link(struct och_vfs *base, const char *from, const char *to, struct ochre_error *err)
{
    struct sim_disk *disk = disk_of(base);
    ALONE(disk);
    struct place source;
    struct place target;
    struct intent intent = {"link", from, 0, 0, true};
    ochre_status status = begin_path(disk, &intent, &source, err);
    if (status != OCHRE_OK)
        return status;
    status = walk(disk, to, &target);
    if (status != OCHRE_OK)
        return fail(disk, &intent, status, "the new name has no directory", err);
    if (source.inode == NULL)
        return fail(disk, &intent, OCHRE_NOT_FOUND, "no such file", err);
    if (source.inode->is_dir)
        return fail(disk, &intent, OCHRE_IO, "it is a directory", err);
    if (target.inode != NULL)
        return fail(disk, &intent, OCHRE_EXISTS, "the new name is taken", err);
    link_new(disk, &target, source.inode->number);
    return OCHRE_OK;
}

static ochre_status
sim_sync_dir(struct och_vfs *base, const char *path, struct ochre_error *err)
{
    struct sim_disk *disk = disk_of(base);
    ALONE(disk);
    struct place place;
    struct intent intent = {"sync_dir", path, 0, 0, false};
    ochre_status status = begin_path(disk, &intent, &place, err);
    if (status != OCHRE_OK)
        return status;
    if (place.inode == NULL)
        return fail(disk, &intent, OCHRE_NOT_FOUND, "no such directory", err);
    if (!place.inode->is_dir)
        return fail(disk, &intent, OCHRE_IO, "it is not a directory", err);
    sim_sync_names(disk, place.inode->number);
    return OCHRE_OK;
}

static ochre_status
sim_mkdir(struct och_vfs *base, const char *path, struct ochre_error *err)
{
    struct sim_disk *disk = disk_of(base);
    ALONE(disk);
    struct place place;
    struct intent intent = {"mkdir", path, 0, 0, true};
    ochre_status status = begin_path(disk, &intent, &place, err);
    if (status != OCHRE_OK)
        return status;
    if (place.inode != NULL && !place.inode->is_dir)
        return fail(disk, &intent, OCHRE_EXISTS, "a file has that name", err);
    if (place.inode == NULL)
        link_new(disk, &place, sim_inode_make(disk, true));
    return OCHRE_OK;
}

/* A visit may remove what it sees, so a listing walks over a copy. */
static ochre_status
copy_names(struct sim_disk *disk, const char *path, struct sim_names *names_out,
        struct ochre_error *err)
{
    ALONE(disk);
    struct place place;
    struct intent intent = {"list", path, 0, 0, false};
    ochre_status status = begin_path(disk, &intent, &place, err);
    if (status != OCHRE_OK)
        return status;
    if (place.inode == NULL)
        return fail(disk, &intent, OCHRE_NOT_FOUND, "no such directory", err);
    if (!place.inode->is_dir)
        return fail(disk, &intent, OCHRE_IO, "it is not a directory", err);
    sim_names_copy(disk->mem, names_out, &place.inode->current_names);
    return OCHRE_OK;
}

/* What was a directory when the listing began is one still. */
static bool
is_dir(struct sim_disk *disk, uint32_t number)
{
    ALONE(disk);
    const struct sim_inode *inode = sim_inode_get(disk, number);
    return inode != NULL && inode->is_dir;
}

static ochre_status
sim_list(struct och_vfs *base, const char *path,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err)
{
    struct sim_disk *disk = disk_of(base);
    struct sim_names names;
    ochre_status status = copy_names(disk, path, &names, err);
    if (status != OCHRE_OK)
        return status;
    for (size_t i = 0; status == OCHRE_OK && i < names.n; i++)
        status = visit(context, names.entries[i].name, is_dir(disk, names.entries[i].inode));
    sim_names_clear(disk->mem, &names);
    return status;
}

static ochre_status
sim_exists(struct och_vfs *base, const char *path, bool *exists_out, struct ochre_error *err)
{
    struct sim_disk *disk = disk_of(base);
    ALONE(disk);
    struct intent intent = {"exists", path, 0, 0, false};
    ochre_status status = begin(disk, &intent, err);
    if (status != OCHRE_OK)
        return status;
    struct place place;
    status = walk(disk, path, &place);
    if (status != OCHRE_OK && status != OCHRE_NOT_FOUND)
        return fail(disk, &intent, status, "a directory on the way is none", err);
    *exists_out = status == OCHRE_OK && place.inode != NULL;
    return OCHRE_OK;
}

static ochre_status
sim_space_free(struct och_vfs *base, uint64_t *bytes_out, struct ochre_error *err)
{
    struct sim_disk *disk = disk_of(base);
    ALONE(disk);
    struct intent intent = {"space_free", "", 0, 0, false};
    ochre_status status = begin(disk, &intent, err);
    if (status == OCHRE_OK)
        *bytes_out = space_left(disk);
    return status;
}

static const struct och_vfs_ops sim_vfs_ops = {
        .open = sim_open,
        .remove = sim_remove,
        .rename = sim_rename,
        .link = sim_link,
        .sync_dir = sim_sync_dir,
        .mkdir = sim_mkdir,
        .rmdir = sim_rmdir,
        .list = sim_list,
        .exists = sim_exists,
        .space_free = sim_space_free,
};

/* --- the disk ---------------------------------------------------------------- */

static struct sim_disk *
make(struct och_mem *mem, uint64_t seed)
{
    struct sim_disk *disk = och_mem_take_zeroed(mem, sizeof(*disk));
    och_assert(disk != NULL);
    disk->base.ops = &sim_vfs_ops;
    och_assert(pthread_mutex_init(&disk->lock, NULL) == 0);
    disk->mem = mem;
    disk->seed = seed;
    disk->capacity = UINT64_MAX;
    disk->crash_at = UINT64_MAX;
    return disk;
}

struct sim_disk *
sim_disk_open(struct och_mem *mem, uint64_t seed)
{
    struct sim_disk *disk = make(mem, seed);
    uint32_t root = sim_inode_make(disk, true);
    och_assert(root == SIM_ROOT);
    return disk;
}

struct sim_disk *
sim_disk_clone(const struct sim_disk *disk)
{
    struct sim_disk *clone = make(disk->mem, disk->seed);
    clone->capacity = disk->capacity;
    clone->last_number = disk->last_number;
    clone->crash_at = sim_disk_has_crashed(disk) ? 1 : UINT64_MAX;
    for (size_t i = 0; i < disk->n_inodes; i++) {
        clone->inodes = sim_array_grow(
                clone->mem, clone->inodes, i, &clone->inodes_room, sizeof(struct sim_inode *));
        clone->inodes[i] = disk->inodes[i];
        clone->inodes[i]->n_owners++;
    }
    clone->n_inodes = disk->n_inodes;
    if (disk->n_name_ops > 0) {
        size_t size = disk->n_name_ops * sizeof(disk->name_ops[0]);
        clone->name_ops = och_mem_take(clone->mem, size);
        och_assert(clone->name_ops != NULL);
        memcpy(clone->name_ops, disk->name_ops, size);
        clone->n_name_ops = disk->n_name_ops;
        clone->name_ops_room = disk->n_name_ops;
    }
    sim_collect(clone); /* what only an open file of the original held */
    return clone;
}

void
sim_disk_close(struct sim_disk *disk)
{
    if (disk == NULL)
        return;
    och_assert(disk->files == NULL);
    for (size_t i = 0; i < disk->n_inodes; i++)
        sim_inode_release(disk->mem, disk->inodes[i]);
    och_mem_release(disk->mem, disk->inodes, disk->inodes_room * sizeof(struct sim_inode *));
    och_mem_release(disk->mem, disk->name_ops, disk->name_ops_room * sizeof(disk->name_ops[0]));
    och_assert(pthread_mutex_destroy(&disk->lock) == 0);
    och_mem_release(disk->mem, disk, sizeof(*disk));
}

struct och_vfs *
sim_disk_vfs(struct sim_disk *disk)
{
    return &disk->base;
}

uint64_t
sim_disk_n_calls(const struct sim_disk *disk)
{
    return disk->n_calls;
}

void
sim_disk_crash(struct sim_disk *disk, uint64_t n, enum sim_when when)
{
    disk->crash_at = disk->n_calls + n + (when == SIM_AFTER);
}

bool
sim_disk_has_crashed(const struct sim_disk *disk)
{
    return disk->n_calls + 1 >= disk->crash_at;
}

void
sim_disk_fail(struct sim_disk *disk, uint64_t n, enum sim_fault fault)
{
    disk->fault = fault;
    disk->fault_in = n;
    disk->has_failed = false;
}

bool
sim_disk_has_failed(const struct sim_disk *disk)
{
    return disk->has_failed;
}

void
sim_disk_set_capacity(struct sim_disk *disk, uint64_t size)
{
    disk->capacity = size;
}

static bool
flip(struct sim_image *image, uint64_t offset, unsigned bit)
{
    unsigned char byte = 0;
    if (sim_image_read(image, offset, &byte, 1) == 0)
        return false;
    byte ^= (unsigned char) (1u << bit);
    sim_image_write(image, offset, &byte, 1);
    return true;
}

bool
sim_disk_flip(struct sim_disk *disk, const char *path, uint64_t offset, unsigned bit)
{
    ALONE(disk);
    och_assert(bit < 8);
    struct place place;
    if (walk(disk, path, &place) != OCHRE_OK || place.inode == NULL || place.inode->is_dir)
        return false;
    struct sim_inode *inode = sim_inode_own(disk, place.inode->number);
    bool is_durable = flip(&inode->durable, offset, bit);
    bool is_current = flip(&inode->current, offset, bit);
    return is_durable || is_current;
}

bool
sim_disk_has_dir(struct sim_disk *disk, const char *path)
{
    ALONE(disk);
    struct place place;
    return walk(disk, path, &place) == OCHRE_OK && place.inode != NULL && place.inode->is_dir;
}

/* --- explanations ------------------------------------------------------------ */

void
sim_disk_print_trace(const struct sim_disk *disk, FILE *stream)
{
    uint64_t first = disk->n_traced > SIM_TRACE ? disk->n_traced - SIM_TRACE : 0;
    for (uint64_t i = first; i < disk->n_traced; i++) {
        const struct sim_call *call = &disk->trace[i % SIM_TRACE];
        (void) fprintf(stream, "%6" PRIu64 " %-10s %s %" PRIu64 "+%" PRIu64 ": %s\n", call->number,
                call->name, call->path, call->offset, call->size, ochre_status_name(call->status));
    }
}

static const char *
name_kind_name(enum sim_name_kind kind)
{
    switch (kind) {
    case SIM_LINK:
        return "link";
    case SIM_UNLINK:
        return "unlink";
    case SIM_RENAME:
        return "rename";
    }
    return "unknown";
}

void
sim_disk_print_state(const struct sim_disk *disk, FILE *stream)
{
    for (size_t i = 0; i < disk->n_inodes; i++) {
        const struct sim_inode *inode = disk->inodes[i];
        (void) fprintf(stream,
                "inode %u %s: durable %" PRIu64 ", current %" PRIu64 " bytes, %zu pending\n",
                inode->number, inode->is_dir ? "directory" : "file", inode->durable.size,
                inode->current.size, inode->n_ops);
        for (size_t j = 0; j < inode->durable_names.n; j++)
            (void) fprintf(stream, "    durable %s -> %u\n", inode->durable_names.entries[j].name,
                    inode->durable_names.entries[j].inode);
        for (size_t j = 0; j < inode->current_names.n; j++)
            (void) fprintf(stream, "    current %s -> %u\n", inode->current_names.entries[j].name,
                    inode->current_names.entries[j].inode);
    }
    for (size_t i = 0; i < disk->n_name_ops; i++) {
        const struct sim_name_op *op = &disk->name_ops[i];
        (void) fprintf(
                stream, "pending %s %u/%s", name_kind_name(op->kind), op->at.dir, op->at.name);
        if (op->kind == SIM_RENAME)
            (void) fprintf(stream, " from %u/%s", op->from.dir, op->from.name);
        (void) fprintf(stream, ", inode %u\n", op->inode);
    }
}
