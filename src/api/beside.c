#include "api/beside.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "os/dir.h"
#include "os/vfs.h"
#include "os/vfs_posix.h"
#include "storage/directory.h"

/* 0 magic 16 | 16 u64 LOCK's number, 0: there has been none | 24 xxh3-64 of 0..23 */
#define MARK_SIZE ((size_t) 32)
#define LOCK_PATH "data/" OCH_DIR_LOCK
#define FORMAT_PATH "data/" OCH_DIR_FORMAT
#define NEW_PATH "new"
static const char mark_magic[16] = "ochre beside";

/* --- the mark --------------------------------------------------------------------- */

/* False: it is not one of ours, or was not written to its end. */
static bool
decode_mark(const char bytes[MARK_SIZE], uint64_t *lock_out)
{
    *lock_out = och_load_u64(bytes + 16);
    return memcmp(bytes, mark_magic, sizeof(mark_magic)) == 0 &&
            och_load_u64(bytes + 24) == och_hash64(bytes, 24);
}

static ochre_status
write_mark(struct och_beside *beside, uint64_t lock, struct ochre_error *err)
{
    char bytes[MARK_SIZE] = {0};
    memcpy(bytes, mark_magic, sizeof(mark_magic));
    och_store_u64(bytes + 16, lock);
    och_store_u64(bytes + 24, och_hash64(bytes, 24));
    ochre_status status = och_file_write(beside->mark, 0, bytes, sizeof(bytes), err);
    if (status == OCHRE_OK)
        status = och_file_sync(beside->mark, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(beside->vfs, "", err) : status;
}

/* The number of the file at `path`; 0: there is none. */
static ochre_status
number_of(struct och_vfs *vfs, const char *path, uint64_t *number_out, struct ochre_error *err)
{
    struct och_file *file = NULL;
    uint64_t identity[2] = {0, 0};
    *number_out = 0;
    ochre_status status = och_vfs_open(vfs, path, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    if (status == OCHRE_OK && !och_file_identity(file, identity))
        status = och_fail(err, OCHRE_IO, "files cannot be told from one another here");
    och_file_close(file);
    *number_out = identity[1];
    return status;
}

/* That of DIR's LOCK; 0: there is none. */
static ochre_status
number_there(const struct och_beside *beside, uint64_t *number_out, struct ochre_error *err)
{
    struct och_vfs *vfs = NULL;
    *number_out = 0;
    ochre_status status = och_vfs_posix_open(beside->mem, beside->path, false, &vfs, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    if (status == OCHRE_OK)
        status = number_of(vfs, OCH_DIR_LOCK, number_out, err);
    och_vfs_posix_close(vfs);
    return status;
}

/* --- what is there ------------------------------------------------------------------ */

struct contents {
    const struct och_beside_kind *kind;
    bool has_mark, has_new, has_data, has_other;
};

static ochre_status
visit(void *context, const char *name, bool is_dir)
{
    struct contents *contents = context;
    if (!is_dir && strcmp(name, contents->kind->mark) == 0)
        contents->has_mark = true;
    else if (is_dir && strcmp(name, NEW_PATH) == 0)
        contents->has_new = true;
    else if (is_dir && strcmp(name, "data") == 0)
        contents->has_data = true;
    else
        contents->has_other = true;
    return OCHRE_OK;
}

static ochre_status
refuse(const struct och_beside *beside, struct ochre_error *err)
{
    return och_fail(err, OCHRE_EXISTS,
            "%.200s, where the database would be put together, is not empty; move it away",
            beside->dir);
}

static ochre_status
look(const struct och_beside *beside, struct contents *contents, struct ochre_error *err)
{
    *contents = (struct contents){.kind = beside->kind};
    ochre_status status = och_vfs_list(beside->vfs, "", visit, contents, err);
    bool is_ours = !contents->has_other &&
            (contents->has_mark || (!contents->has_data && !contents->has_new));
    return status == OCHRE_OK && !is_ours ? refuse(beside, err) : status;
}

static ochre_status
take_mark(struct och_beside *beside, struct ochre_error *err)
{
    bool is_ours = true;
    ochre_status status = och_vfs_open(
            beside->vfs, beside->kind->mark, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &beside->mark, err);
    if (status == OCHRE_OK)
        status = och_file_lock(beside->mark, err);
    /* Who was here before may just have removed it, and the place with it. */
    if (status == OCHRE_OK)
        status = och_file_is_at(beside->mark, beside->vfs, beside->kind->mark, &is_ours, err);
    bool is_busy = status == OCHRE_BUSY || status == OCHRE_NOT_FOUND;
    if (is_busy || (status == OCHRE_OK && (!is_ours || !och_vfs_is_named(beside->vfs))))
        return och_fail(err, OCHRE_BUSY, "another process %s this directory", beside->kind->does);
    return status;
}

static ochre_status
judge(struct och_beside *beside, bool has_data, enum och_beside_state *state_out,
        struct ochre_error *err)
{
    char bytes[MARK_SIZE] = {0};
    uint64_t wanted = 0, here = 0, there = 0;
    size_t n_read = 0;
    ochre_status status = och_file_read(beside->mark, 0, bytes, sizeof(bytes), &n_read, err);
    if (status != OCHRE_OK)
        return status;
    if (!has_data)
        return write_mark(beside, 0, err);
    if (n_read != sizeof(bytes) || !decode_mark(bytes, &wanted))
        return refuse(beside, err);
    status = number_of(beside->vfs, LOCK_PATH, &here, err);
    if (status == OCHRE_OK)
        status = number_there(beside, &there, err);
    if (status != OCHRE_OK)
        return status;
    bool has_format = false;
    status = och_vfs_exists(beside->vfs, FORMAT_PATH, &has_format, err);
    if (status != OCHRE_OK)
        return status;
    /* What is being removed loses its FORMAT first and its LOCK last. */
    bool is_going = here == 0 && !has_format;
    if (wanted == 0 || (there != wanted && here != wanted && !is_going))
        return refuse(beside, err);
    *state_out = there == wanted ? OCH_BESIDE_EXCHANGED : OCH_BESIDE_LEFT;
    return OCHRE_OK;
}

/* What one left that was killed while it made data/. */
static ochre_status
remove_new(struct och_beside *beside, struct ochre_error *err)
{
    const char *const names[] = {beside->kind->mark, OCH_DIR_LOCK};
    char path[OCH_PATH_SIZE_MAX];
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && status == OCHRE_OK; i++) {
        (void) snprintf(path, sizeof(path), NEW_PATH "/%s", names[i]);
        status = och_vfs_remove(beside->vfs, path, err);
        if (status == OCHRE_NOT_FOUND)
            status = OCHRE_OK;
    }
    return status == OCHRE_OK ? och_vfs_rmdir(beside->vfs, NEW_PATH, err) : status;
}

static ochre_status
put_paths(struct och_beside *beside, const char *path, struct ochre_error *err)
{
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/')
        size--;
    size_t longest = OCH_BESIDE_PATH_SIZE - strlen(beside->kind->suffix) - sizeof("/data");
    if (size > longest)
        return och_fail(err, OCHRE_INVALID,
                "a directory's name of %zu bytes; at most %zu are taken", size, longest);
    const char *suffix = beside->kind->suffix;
    (void) snprintf(beside->path, sizeof(beside->path), "%.*s", (int) size, path);
    (void) snprintf(beside->dir, sizeof(beside->dir), "%.*s%s", (int) size, path, suffix);
    (void) snprintf(beside->data, sizeof(beside->data), "%.*s%s/data", (int) size, path, suffix);
    return OCHRE_OK;
}

static ochre_status
begin(struct och_beside *beside, const char *path, bool create, enum och_beside_state *state_out,
        struct ochre_error *err)
{
    struct contents contents = {.has_mark = false};
    ochre_status status = put_paths(beside, path, err);
    if (status == OCHRE_OK)
        status = och_vfs_posix_open(beside->mem, beside->dir, create, &beside->vfs, err);
    if (status == OCHRE_OK)
        status = look(beside, &contents, err);
    if (status == OCHRE_OK)
        status = take_mark(beside, err);
    if (status == OCHRE_OK)
        status = look(beside, &contents, err);
    if (status == OCHRE_OK && contents.has_new)
        status = remove_new(beside, err);
    if (status == OCHRE_OK)
        status = judge(beside, contents.has_data, state_out, err);
    return status;
}

static void
release(struct och_beside *beside)
{
    och_file_close(beside->mark);
    och_vfs_posix_close(beside->vfs);
    och_mem_release(beside->mem, beside, sizeof(*beside));
}

static ochre_status
begin_with(struct och_mem *mem, const struct och_beside_kind *kind, const char *path, bool create,
        struct och_beside **beside_out, enum och_beside_state *state_out, struct ochre_error *err)
{
    *beside_out = NULL;
    *state_out = OCH_BESIDE_NONE;
    struct och_beside *beside = och_mem_take_zeroed(mem, sizeof(*beside));
    if (beside == NULL)
        return och_fail_memory(err);
    beside->mem = mem;
    beside->kind = kind;
    ochre_status status = begin(beside, path, create, state_out, err);
    if (status == OCHRE_OK) {
        *beside_out = beside;
        return OCHRE_OK;
    }
    /* What is not ours stays as it is, and so does a mark: it is taken the next time. */
    if (beside->vfs != NULL)
        och_vfs_posix_forget(beside->dir);
    release(beside);
    return status;
}

ochre_status
och_beside_begin(struct och_mem *mem, const struct och_beside_kind *kind, const char *path,
        struct och_beside **beside_out, enum och_beside_state *state_out, struct ochre_error *err)
{
    return begin_with(mem, kind, path, true, beside_out, state_out, err);
}

/* A file in new/, empty. */
static ochre_status
make_file(struct och_beside *beside, const char *name, struct ochre_error *err)
{
    char path[OCH_PATH_SIZE_MAX];
    struct och_file *file = NULL;
    (void) snprintf(path, sizeof(path), NEW_PATH "/%s", name);
    ochre_status status =
            och_vfs_open(beside->vfs, path, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, err);
    och_file_close(file);
    return status;
}

ochre_status
och_beside_make(struct och_beside *beside, struct och_vfs **vfs_out, struct ochre_error *err)
{
    char from[OCH_BESIDE_PATH_SIZE + sizeof(NEW_PATH) + 1];
    uint64_t number = 0;
    *vfs_out = NULL;
    (void) snprintf(from, sizeof(from), "%s/" NEW_PATH, beside->dir);
    ochre_status status = och_vfs_mkdir(beside->vfs, NEW_PATH, err);
    if (status == OCHRE_OK)
        status = make_file(beside, beside->kind->mark, err);
    if (status == OCHRE_OK)
        status = make_file(beside, OCH_DIR_LOCK, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(beside->vfs, NEW_PATH, err);
    if (status == OCHRE_OK)
        status = number_of(beside->vfs, NEW_PATH "/" OCH_DIR_LOCK, &number, err);
    if (status == OCHRE_OK)
        status = write_mark(beside, number, err);
    if (status == OCHRE_OK)
        status = och_dir_move(from, beside->data, err);
    return status == OCHRE_OK ? och_vfs_posix_open(beside->mem, beside->data, false, vfs_out, err)
                              : status;
}

ochre_status
och_beside_name(struct och_beside *beside, struct ochre_error *err)
{
    return och_vfs_posix_name(beside->data, beside->path, err);
}

ochre_status
och_beside_keep(struct och_beside *beside, bool *named_out, struct ochre_error *err)
{
    char bytes[MARK_SIZE] = {0};
    uint64_t wanted = 0, there = 0;
    size_t n_read = 0;
    *named_out = false;
    ochre_status status = och_file_read(beside->mark, 0, bytes, sizeof(bytes), &n_read, err);
    if (status == OCHRE_OK && (n_read != sizeof(bytes) || !decode_mark(bytes, &wanted)))
        return och_fail(err, OCHRE_CORRUPT, "the mark in %.200s is damaged", beside->dir);
    if (status == OCHRE_OK)
        status = number_there(beside, &there, err);
    if (status != OCHRE_OK)
        return status;
    *named_out = wanted != 0 && there == wanted;
    return *named_out ? OCHRE_OK : write_mark(beside, 0, err);
}

void
och_beside_end(struct och_beside *beside)
{
    bool has_data = true;
    if (beside == NULL)
        return;
    och_vfs_posix_forget(beside->data); /* what has something in it stays, and the mark with it */
    ochre_status status = och_vfs_exists(beside->vfs, "data", &has_data, NULL);
    if (status == OCHRE_OK && !has_data)
        status = och_vfs_remove(beside->vfs, beside->kind->mark, NULL);
    (void) status; /* a place that stays is taken again by the next one */
    och_vfs_posix_forget(beside->dir);
    release(beside);
}

void
och_beside_tidy(struct och_mem *mem, const struct och_beside_kind *kind, const char *path)
{
    struct och_beside *beside = NULL;
    enum och_beside_state state;
    /* What was not done is not there, or is somebody's. */
    if (begin_with(mem, kind, path, false, &beside, &state, NULL) == OCHRE_OK)
        och_beside_end(beside);
}
