#include "api/held_files.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/db.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/catalog.h"
#include "engine/engine.h"
#include "engine/ports.h"
#include "os/vfs.h"
#include "storage/backup_manifest.h"

#define CATALOG "catalog.db"
#define LOCK "LOCK"

/* A file that is there. */
struct member {
    char path[OCH_BACKUP_PATH_SIZE];
    uint64_t size_max; /* it has so many bytes, or fewer */
};

struct och_held_files {
    struct och_vfs vfs; /* first: the vfs's pointer is ours */
    struct och_mem *mem;
    struct ochre_db *db;
    struct och_vfs *base;   /* where they lie */
    struct member *members; /* owned; in byte order */
    size_t n_members, room;
    struct och_buf catalog;
    bool is_held;
    /* While it is looked: */
    char dir[OCH_BACKUP_PATH_SIZE];
    uint64_t log_number, log_size;
    struct ochre_error *err;
};

/* An open one: in memory, or another vfs's. */
struct held_file {
    struct och_file file; /* first */
    struct och_mem *mem;
    struct och_file *base; /* owned; NULL: in memory */
    const char *bytes;
    uint64_t size_max;
    bool is_lock; /* what is written to it is for people, and they find it elsewhere */
};

static struct och_held_files *
held_of(struct och_vfs *vfs)
{
    return (struct och_held_files *) vfs;
}

static struct held_file *
file_of(struct och_file *file)
{
    return (struct held_file *) file;
}

static ochre_status
refuse(struct ochre_error *err)
{
    return och_fail(err, OCHRE_DENIED, "the files of a database in use are only read");
}

/* --- files ------------------------------------------------------------------- */

static ochre_status
file_size(struct och_file *base, uint64_t *size_out, struct ochre_error *err)
{
    struct held_file *file = file_of(base);
    ochre_status status = OCHRE_OK;
    *size_out = file->size_max;
    if (file->base != NULL)
        status = och_file_size(file->base, size_out, err);
    if (*size_out > file->size_max)
        *size_out = file->size_max;
    return status;
}

static ochre_status
file_read(struct och_file *base, uint64_t offset, void *bytes, size_t size, size_t *n_read_out,
        struct ochre_error *err)
{
    struct held_file *file = file_of(base);
    uint64_t left = offset < file->size_max ? file->size_max - offset : 0;
    size_t n = size < left ? size : (size_t) left;
    *n_read_out = n;
    if (n == 0)
        return OCHRE_OK;
    if (file->base != NULL)
        return och_file_read(file->base, offset, bytes, n, n_read_out, err);
    memcpy(bytes, file->bytes + offset, n);
    return OCHRE_OK;
}

static ochre_status
file_write(struct och_file *base, uint64_t offset, const void *bytes, size_t size,
        struct ochre_error *err)
{
    (void) offset;
    (void) bytes;
    (void) size;
    return file_of(base)->is_lock ? OCHRE_OK : refuse(err);
}

static ochre_status
file_sync(struct och_file *base, struct ochre_error *err)
{
    (void) base;
    return refuse(err);
}

/* Also its `allocate`. */
static ochre_status
file_truncate(struct och_file *base, uint64_t size, struct ochre_error *err)
{
    (void) size;
    return file_of(base)->is_lock ? OCHRE_OK : refuse(err);
}

static ochre_status
file_map(struct och_file *base, uint64_t size, const void **bytes_out, struct ochre_error *err)
{
    struct held_file *file = file_of(base);
    if (size > file->size_max)
        return och_fail(err, OCHRE_CORRUPT, "a file has %" PRIu64 " bytes instead of %" PRIu64,
                file->size_max, size);
    if (file->base != NULL)
        return och_file_map(file->base, size, bytes_out, err);
    *bytes_out = file->bytes;
    return OCHRE_OK;
}

static void
file_unmap(struct och_file *base, const void *bytes, uint64_t size)
{
    struct held_file *file = file_of(base);
    if (file->base != NULL)
        och_file_unmap(file->base, bytes, size);
}

/* The database has the lock. */
static ochre_status
file_lock(struct och_file *base, struct ochre_error *err)
{
    (void) base;
    (void) err;
    return OCHRE_OK;
}

static void
file_close(struct och_file *base)
{
    struct held_file *file = file_of(base);
    och_file_close(file->base);
    och_mem_release(file->mem, file, sizeof(*file));
}

static const struct och_file_ops file_ops = {
        .read = file_read,
        .write = file_write,
        .sync = file_sync,
        .truncate = file_truncate,
        .allocate = file_truncate,
        .size = file_size,
        .map = file_map,
        .unmap = file_unmap,
        .lock = file_lock,
        .close = file_close,
};

/* --- the vfs ----------------------------------------------------------------- */

static const struct member *
find(const struct och_held_files *held, const char *path)
{
    for (size_t i = 0; i < held->n_members; i++)
        if (strcmp(held->members[i].path, path) == 0)
            return &held->members[i];
    return NULL;
}

static ochre_status
vfs_open(struct och_vfs *vfs, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    struct och_held_files *held = held_of(vfs);
    const struct member *member = find(held, path);
    if (member == NULL)
        return (flags & OCH_OPEN_CREATE) != 0
                ? refuse(err)
                : och_fail(err, OCHRE_NOT_FOUND, "there is no file %s", path);
    struct held_file *file = och_mem_take(held->mem, sizeof(*file));
    if (file == NULL)
        return och_fail_memory(err);
    *file = (struct held_file){
            .file.ops = &file_ops, .mem = held->mem, .size_max = member->size_max, .bytes = ""};
    ochre_status status = OCHRE_OK;
    file->is_lock = strcmp(path, LOCK) == 0;
    if (strcmp(path, CATALOG) == 0)
        file->bytes = held->catalog.data;
    else if (!file->is_lock)
        status = och_vfs_open(held->base, path, OCH_OPEN_READ, &file->base, err);
    if (status != OCHRE_OK) {
        och_mem_release(held->mem, file, sizeof(*file));
        return status;
    }
    *file_out = &file->file;
    return OCHRE_OK;
}

/* Also its `rmdir`. */
static ochre_status
vfs_remove(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    (void) vfs;
    (void) path;
    return refuse(err);
}

static ochre_status
vfs_rename(struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err)
{
    (void) vfs;
    (void) from;
    (void) to;
    return refuse(err);
}

/* Names do not change.  Also its `mkdir`: those that are wanted are there. */
static ochre_status
vfs_sync_dir(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    (void) vfs;
    (void) path;
    (void) err;
    return OCHRE_OK;
}

/* A path below `dir`: where the rest begins, or NULL. */
static const char *
below(const char *path, const char *dir)
{
    size_t size = strlen(dir);
    if (size == 0)
        return path;
    return strncmp(path, dir, size) == 0 && path[size] == '/' ? path + size + 1 : NULL;
}

static ochre_status
vfs_list(struct och_vfs *vfs, const char *path,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err)
{
    struct och_held_files *held = held_of(vfs);
    char previous[OCH_BACKUP_PATH_SIZE] = "";
    (void) err;
    for (size_t i = 0; i < held->n_members; i++) {
        const char *rest = below(held->members[i].path, path);
        if (rest == NULL)
            continue;
        size_t size = strcspn(rest, "/");
        bool is_dir = rest[size] == '/';
        if (strncmp(rest, previous, size) == 0 && previous[size] == '\0')
            continue;
        (void) snprintf(previous, sizeof(previous), "%.*s", (int) size, rest);
        ochre_status status = visit(context, previous, is_dir);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}

static ochre_status
vfs_exists(struct och_vfs *vfs, const char *path, bool *exists_out, struct ochre_error *err)
{
    struct och_held_files *held = held_of(vfs);
    (void) err;
    *exists_out = strcmp(path, "log") == 0 || strcmp(path, OCH_DIR_SEGMENTS) == 0;
    for (size_t i = 0; i < held->n_members && !*exists_out; i++)
        *exists_out = strcmp(held->members[i].path, path) == 0 ||
                below(held->members[i].path, path) != NULL;
    return OCHRE_OK;
}

static ochre_status
vfs_space_free(struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err)
{
    return och_vfs_space_free(held_of(vfs)->base, bytes_out, err);
}

static const struct och_vfs_ops vfs_ops = {
        .open = vfs_open,
        .remove = vfs_remove,
        .rename = vfs_rename,
        .sync_dir = vfs_sync_dir,
        .mkdir = vfs_sync_dir,
        .rmdir = vfs_remove,
        .list = vfs_list,
        .exists = vfs_exists,
        .space_free = vfs_space_free,
};

/* --- what there is ------------------------------------------------------------ */

static ochre_status
add_member(
        struct och_held_files *held, const char *path, uint64_t size_max, struct ochre_error *err)
{
    if (held->n_members == held->room) {
        size_t room = held->room == 0 ? 64 : held->room * 2;
        struct member *members = och_mem_resize(
                held->mem, held->members, held->room * sizeof(*members), room * sizeof(*members));
        if (members == NULL)
            return och_fail_memory(err);
        held->members = members;
        held->room = room;
    }
    struct member *member = &held->members[held->n_members++];
    (void) snprintf(member->path, sizeof(member->path), "%s", path);
    member->size_max = size_max;
    return OCHRE_OK;
}

/* False: not a name that ochre gives. */
static bool
join(const char *dir, const char *name, char path[OCH_BACKUP_PATH_SIZE])
{
    int size = snprintf(path, OCH_BACKUP_PATH_SIZE, "%s/%s", dir, name);
    return size > 0 && size < OCH_BACKUP_PATH_SIZE;
}

/* Not the files that are prepared for later: they are newer than the newest. */
static ochre_status
visit_log(void *context, const char *name, bool is_dir)
{
    struct och_held_files *held = context;
    char path[OCH_BACKUP_PATH_SIZE], newest[OCH_BACKUP_PATH_SIZE];
    if (is_dir || !join("log", name, path) || !och_backup_is_member(path))
        return OCHRE_OK;
    (void) snprintf(newest, sizeof(newest), "log/%016" PRIx64 ".log", held->log_number);
    int order = strcmp(path, newest);
    if (order > 0)
        return OCHRE_OK;
    return add_member(held, path, order == 0 ? held->log_size : UINT64_MAX, held->err);
}

static ochre_status
visit_file(void *context, const char *name, bool is_dir)
{
    struct och_held_files *held = context;
    char path[OCH_BACKUP_PATH_SIZE];
    if (is_dir || !join(held->dir, name, path) || !och_backup_is_member(path))
        return OCHRE_OK;
    return add_member(held, path, UINT64_MAX, held->err);
}

static ochre_status
visit_collection(void *context, const char *name, bool is_dir)
{
    struct och_held_files *held = context;
    if (!is_dir || !join(OCH_DIR_SEGMENTS, name, held->dir))
        return OCHRE_OK;
    ochre_status status = och_vfs_list(held->base, held->dir, visit_file, held, held->err);
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status; /* dropped, and empty */
}

/* While nobody writes (och_engine_hold). */
static ochre_status
look(void *context, struct och_engine *engine, struct ochre_error *err)
{
    struct och_held_files *held = context;
    struct och_catalog *catalog = engine->ports.catalog;
    held->err = err;
    engine->log->ops->end(engine->log, &held->log_number, &held->log_size);
    ochre_status status = catalog->ops->copy(catalog, &held->catalog, err);
    /* In byte order. */
    if (status == OCHRE_OK)
        status = add_member(held, "FORMAT", UINT64_MAX, err);
    if (status == OCHRE_OK)
        status = add_member(held, LOCK, 0, err);
    if (status == OCHRE_OK)
        status = add_member(held, CATALOG, held->catalog.size, err);
    if (status == OCHRE_OK)
        status = och_vfs_list(held->base, "log", visit_log, held, err);
    if (status == OCHRE_OK)
        status = och_vfs_list(held->base, OCH_DIR_SEGMENTS, visit_collection, held, err);
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

ochre_status
och_held_files_make(struct och_mem *mem, struct ochre_db *db, struct och_held_files **held_out,
        struct ochre_error *err)
{
    *held_out = NULL;
    struct och_held_files *held = och_mem_take_zeroed(mem, sizeof(*held));
    if (held == NULL)
        return och_fail_memory(err);
    held->vfs.ops = &vfs_ops;
    held->mem = mem;
    held->db = db;
    held->base = db->options.vfs;
    och_buf_init(&held->catalog, mem, SIZE_MAX);
    ochre_status status = och_engine_hold(db->engine, look, held, err);
    held->is_held = status == OCHRE_OK;
    if (status != OCHRE_OK) {
        och_held_files_release(held);
        return status;
    }
    *held_out = held;
    return OCHRE_OK;
}

void
och_held_files_release(struct och_held_files *held)
{
    if (held == NULL)
        return;
    if (held->is_held)
        och_engine_let_go(held->db->engine);
    och_buf_clear(&held->catalog);
    och_mem_release(held->mem, held->members, held->room * sizeof(*held->members));
    och_mem_release(held->mem, held, sizeof(*held));
}

struct och_vfs *
och_held_files_vfs(struct och_held_files *held)
{
    return &held->vfs;
}
