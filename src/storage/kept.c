#include "storage/kept.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/vfs.h"
#include "storage/backup_manifest.h"
#include "storage/directory.h"

#define KEPT OCH_DIR_KEPT "/KEPT"
#define KEPT_PART OCH_DIR_KEPT "/KEPT.part"
#define STATE OCH_DIR_KEPT "/STATE"
#define REVERT OCH_DIR_KEPT "/REVERT"
#define PART OCH_DIR_TMP "/revert"
#define LOG "log"

/* "ochrupg1" | u64 digest | u64 unix time | uuid | xxh3-64 of all before */
#define STATE_SIZE ((size_t) 48)
#define STATE_CHECKED ((size_t) 40)
static const char state_magic[8] = {'o', 'c', 'h', 'r', 'u', 'p', 'g', '1'};

enum { KEPT_PATH_SIZE = OCH_BACKUP_PATH_SIZE + sizeof(OCH_DIR_KEPT) };

struct kept {
    struct och_mem *mem;
    struct och_vfs *vfs;
    struct och_vfs *source; /* where what is copied is read */
    char *block;            /* owned: OCH_BACKUP_BLOCK_SIZE bytes */
    struct och_backup_manifest manifest;
    char dir[OCH_BACKUP_PATH_SIZE]; /* that is listed */
    struct ochre_error *err;
};

static ochre_status
begin(struct kept *kept, struct och_mem *mem, struct och_vfs *vfs, struct och_vfs *source,
        struct ochre_error *err)
{
    *kept = (struct kept){.mem = mem, .vfs = vfs, .source = source, .err = err};
    och_backup_manifest_init(&kept->manifest, mem);
    kept->block = och_mem_take(mem, OCH_BACKUP_BLOCK_SIZE);
    return kept->block != NULL ? OCHRE_OK : och_fail_memory(err);
}

static void
end(struct kept *kept)
{
    och_backup_manifest_clear(&kept->manifest);
    och_mem_release(kept->mem, kept->block, OCH_BACKUP_BLOCK_SIZE);
}

static void
path_of(const char *path, char out[KEPT_PATH_SIZE])
{
    (void) snprintf(out, KEPT_PATH_SIZE, OCH_DIR_KEPT "/%s", path);
}

static bool
is_segment(const char *path)
{
    return strncmp(path, OCH_DIR_SEGMENTS "/", sizeof(OCH_DIR_SEGMENTS)) == 0;
}

/* Where there is none, it is removed. */
static ochre_status
remove_if_there(struct och_vfs *vfs, const char *path, struct ochre_error *err)
{
    ochre_status status = och_vfs_remove(vfs, path, err);
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

/* The directory that a file of `seg` is in, below `prefix`. */
static ochre_status
make_dir_of(struct kept *kept, const char *path, struct ochre_error *err)
{
    char dir[KEPT_PATH_SIZE];
    (void) snprintf(dir, sizeof(dir), "%s", path);
    *strrchr(dir, '/') = '\0';
    return och_vfs_mkdir(kept->vfs, dir, err);
}

/* --- copying ---------------------------------------------------------------------- */

/* Read a file to its end; with `to`, write the same there. */
static ochre_status
pump(struct kept *kept, struct och_file *from, struct och_file *to,
        struct och_backup_member *seen_out, struct ochre_error *err)
{
    size_t n_read = OCH_BACKUP_BLOCK_SIZE;
    seen_out->size = seen_out->hash = 0;
    while (n_read == OCH_BACKUP_BLOCK_SIZE) {
        ochre_status status = och_file_read(
                from, seen_out->size, kept->block, OCH_BACKUP_BLOCK_SIZE, &n_read, err);
        if (status == OCHRE_OK && to != NULL && n_read > 0)
            status = och_file_write(to, seen_out->size, kept->block, n_read, err);
        if (status != OCHRE_OK)
            return status;
        if (n_read > 0)
            seen_out->hash = och_backup_hash(seen_out->hash, kept->block, n_read);
        seen_out->size += n_read;
    }
    return OCHRE_OK;
}

/* Read the file at `from` in the source; copy and sync it to `to`, unless that is NULL. */
static ochre_status
copy(struct kept *kept, const char *from_path, const char *to_path,
        struct och_backup_member *seen_out, struct ochre_error *err)
{
    struct och_file *from = NULL;
    struct och_file *to = NULL;
    ochre_status status = och_vfs_open(kept->source, from_path, OCH_OPEN_READ, &from, err);
    if (status == OCHRE_OK && to_path != NULL)
        status = och_vfs_open(kept->vfs, to_path, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &to, err);
    if (status == OCHRE_OK && to != NULL)
        status = och_file_truncate(to, 0, err);
    if (status == OCHRE_OK)
        status = pump(kept, from, to, seen_out, err);
    if (status == OCHRE_OK && to != NULL)
        status = och_file_sync(to, err);
    och_file_close(to);
    och_file_close(from);
    return status;
}

/* A second name, or a copy where the file system has none. */
static ochre_status
link_or_copy(struct kept *kept, const char *from, const char *to, struct ochre_error *err)
{
    struct och_backup_member seen = {.path = ""};
    ochre_status status = och_vfs_link(kept->vfs, from, to, err);
    return status == OCHRE_UNSUPPORTED ? copy(kept, from, to, &seen, err) : status;
}

/* --- looking ------------------------------------------------------------------------- */

ochre_status
och_kept_look(struct och_vfs *vfs, enum och_kept_state *state_out, struct ochre_error *err)
{
    bool has_dir = false, has_list = false, is_reverting = false;
    *state_out = OCH_KEPT_NONE;
    ochre_status status = och_vfs_exists(vfs, OCH_DIR_KEPT, &has_dir, err);
    if (status != OCHRE_OK || !has_dir)
        return status;
    status = och_vfs_exists(vfs, KEPT, &has_list, err);
    if (status == OCHRE_OK)
        status = och_vfs_exists(vfs, REVERT, &is_reverting, err);
    *state_out = !has_list ? OCH_KEPT_PART : is_reverting ? OCH_KEPT_REVERTING : OCH_KEPT_WHOLE;
    return status;
}

ochre_status
och_kept_was(struct och_vfs *vfs, struct och_kept_was *was_out, struct ochre_error *err)
{
    char bytes[STATE_SIZE] = {0};
    struct och_file *file = NULL;
    *was_out = (struct och_kept_was){.digest = 0};
    ochre_status status = och_vfs_open(vfs, STATE, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_OK)
        status = och_file_read_all(file, 0, bytes, sizeof(bytes), err);
    och_file_close(file);
    if (status != OCHRE_OK)
        return status;
    if (memcmp(bytes, state_magic, sizeof(state_magic)) != 0 ||
            och_load_u64(bytes + STATE_CHECKED) != och_hash64(bytes, STATE_CHECKED))
        return och_fail(err, OCHRE_CORRUPT, STATE " fails its checksum");
    was_out->digest = och_load_u64(bytes + 8);
    was_out->made_unix_s = och_load_u64(bytes + 16);
    memcpy(was_out->database.bytes, bytes + 24, sizeof(was_out->database.bytes));
    return OCHRE_OK;
}

static ochre_status
read_list(struct kept *kept, struct ochre_error *err)
{
    struct och_file *file = NULL;
    char *bytes = NULL;
    uint64_t size = 0;
    ochre_status status = och_vfs_open(kept->vfs, KEPT, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_OK)
        status = och_file_size(file, &size, err);
    if (status == OCHRE_OK && size > OCH_BACKUP_MANIFEST_SIZE_MAX)
        status = och_fail(err, OCHRE_TOO_LARGE, KEPT " has %llu bytes; at most %u are read",
                (unsigned long long) size, OCH_BACKUP_MANIFEST_SIZE_MAX);
    if (status == OCHRE_OK) {
        bytes = och_mem_take(kept->mem, (size_t) size + 1);
        status = bytes == NULL ? och_fail_memory(err)
                               : och_file_read_all(file, 0, bytes, (size_t) size, err);
    }
    if (status == OCHRE_OK)
        status = och_backup_manifest_decode(&kept->manifest, bytes, (size_t) size, err);
    och_mem_release(kept->mem, bytes, (size_t) size + 1);
    och_file_close(file);
    return status;
}

/* --- removing ------------------------------------------------------------------------- */

/* Remove the files of a directory. */
struct clearing {
    struct och_vfs *vfs;
    const char *dir;
    struct ochre_error *err;
};

static ochre_status
remove_file(void *context, const char *name, bool is_dir)
{
    struct clearing *clearing = context;
    char path[OCH_PATH_SIZE_MAX];
    int size = snprintf(path, sizeof(path), "%s/%s", clearing->dir, name);
    if (is_dir || size < 0 || size >= OCH_PATH_SIZE_MAX)
        return OCHRE_OK;
    return remove_if_there(clearing->vfs, path, clearing->err);
}

static ochre_status
clear_dir(struct och_vfs *vfs, const char *dir, struct ochre_error *err)
{
    struct clearing clearing = {vfs, dir, err};
    ochre_status status = och_vfs_list(vfs, dir, remove_file, &clearing, err);
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

static ochre_status
remove_dir(struct och_vfs *vfs, const char *dir, struct ochre_error *err)
{
    ochre_status status = clear_dir(vfs, dir, err);
    if (status == OCHRE_OK)
        status = och_vfs_rmdir(vfs, dir, err);
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

static ochre_status
remove_subdir(void *context, const char *name, bool is_dir)
{
    struct clearing *clearing = context;
    char path[OCH_PATH_SIZE_MAX];
    int size = snprintf(path, sizeof(path), "%s/%s", clearing->dir, name);
    if (!is_dir || size < 0 || size >= OCH_PATH_SIZE_MAX)
        return OCHRE_OK;
    return remove_dir(clearing->vfs, path, clearing->err);
}

ochre_status
och_kept_remove(struct och_vfs *vfs, struct ochre_error *err)
{
    struct clearing segments = {vfs, OCH_DIR_KEPT "/" OCH_DIR_SEGMENTS, err};
    bool there = false;
    ochre_status status = och_vfs_exists(vfs, OCH_DIR_KEPT, &there, err);
    if (status != OCHRE_OK || !there)
        return status;
    /* From here on nothing is kept; and it is not put back any more before that holds. */
    status = remove_if_there(vfs, KEPT, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, OCH_DIR_KEPT, err);
    if (status == OCHRE_OK)
        status = och_vfs_list(vfs, segments.dir, remove_subdir, &segments, err);
    if (status == OCHRE_OK || status == OCHRE_NOT_FOUND)
        status = remove_dir(vfs, segments.dir, err);
    if (status == OCHRE_OK)
        status = remove_dir(vfs, OCH_DIR_KEPT "/" LOG, err);
    if (status == OCHRE_OK)
        status = remove_dir(vfs, OCH_DIR_KEPT, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(vfs, "", err) : status;
}

/* --- keeping --------------------------------------------------------------------------- */

static ochre_status
keep_file(struct kept *kept, const char *path, struct ochre_error *err)
{
    char to[KEPT_PATH_SIZE];
    struct och_backup_member member = {.path = ""};
    if (!och_backup_is_member(path))
        return OCHRE_OK; /* a name that ochre does not give */
    (void) snprintf(member.path, sizeof(member.path), "%s", path);
    path_of(path, to);
    ochre_status status = OCHRE_OK;
    if (is_segment(path)) {
        status = link_or_copy(kept, path, to, err);
        if (status == OCHRE_OK)
            status = copy(kept, path, NULL, &member, err);
    } else {
        status = copy(kept, path, to, &member, err);
    }
    return status == OCHRE_OK ? och_backup_manifest_add(&kept->manifest, &member, err) : status;
}

static ochre_status
visit_file(void *context, const char *name, bool is_dir)
{
    struct kept *kept = context;
    char path[OCH_BACKUP_PATH_SIZE];
    int size = snprintf(path, sizeof(path), "%s/%s", kept->dir, name);
    if (is_dir || size < 0 || size >= OCH_BACKUP_PATH_SIZE)
        return OCHRE_OK;
    return keep_file(kept, path, kept->err);
}

static ochre_status
keep_dir(struct kept *kept, const char *dir, struct ochre_error *err)
{
    char to[KEPT_PATH_SIZE];
    (void) snprintf(kept->dir, sizeof(kept->dir), "%s", dir);
    path_of(dir, to);
    ochre_status status = och_vfs_mkdir(kept->vfs, to, err);
    if (status == OCHRE_OK)
        status = och_vfs_list(kept->source, dir, visit_file, kept, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(kept->vfs, to, err) : status;
}

static ochre_status
visit_collection(void *context, const char *name, bool is_dir)
{
    struct kept *kept = context;
    char dir[OCH_BACKUP_PATH_SIZE];
    int size = snprintf(dir, sizeof(dir), OCH_DIR_SEGMENTS "/%s", name);
    if (!is_dir || size < 0 || size >= OCH_BACKUP_PATH_SIZE)
        return OCHRE_OK;
    return keep_dir(kept, dir, kept->err);
}

static ochre_status
write_whole(struct och_vfs *vfs, const char *path, const void *bytes, size_t size,
        struct ochre_error *err)
{
    struct och_file *file = NULL;
    ochre_status status = och_vfs_open(vfs, path, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, err);
    if (status == OCHRE_OK)
        status = och_file_truncate(file, 0, err);
    if (status == OCHRE_OK && size > 0)
        status = och_file_write(file, 0, bytes, size, err);
    if (status == OCHRE_OK)
        status = och_file_sync(file, err);
    och_file_close(file);
    return status;
}

static ochre_status
write_state(struct kept *kept, const struct och_kept_was *was, struct ochre_error *err)
{
    char bytes[STATE_SIZE] = {0};
    memcpy(bytes, state_magic, sizeof(state_magic));
    och_store_u64(bytes + 8, was->digest);
    och_store_u64(bytes + 16, was->made_unix_s);
    memcpy(bytes + 24, was->database.bytes, sizeof(was->database.bytes));
    och_store_u64(bytes + STATE_CHECKED, och_hash64(bytes, STATE_CHECKED));
    return write_whole(kept->vfs, STATE, bytes, sizeof(bytes), err);
}

/* All of it is durable: now it counts. */
static ochre_status
write_list(struct kept *kept, struct ochre_error *err)
{
    struct och_buf buf;
    och_buf_init(&buf, kept->mem, OCH_BACKUP_MANIFEST_SIZE_MAX);
    och_backup_manifest_encode(&kept->manifest, &buf);
    ochre_status status = och_buf_status(&buf) == OCHRE_OK ? OCHRE_OK : och_fail_memory(err);
    if (status == OCHRE_OK)
        status = write_whole(kept->vfs, KEPT_PART, buf.data, buf.size, err);
    och_buf_clear(&buf);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(kept->vfs, OCH_DIR_KEPT, err);
    if (status == OCHRE_OK)
        status = och_vfs_rename(kept->vfs, KEPT_PART, KEPT, err);
    return status == OCHRE_OK ? och_vfs_sync_dir(kept->vfs, OCH_DIR_KEPT, err) : status;
}

static ochre_status
keep_all(struct kept *kept, const struct och_kept_was *was, struct ochre_error *err)
{
    struct och_vfs *vfs = kept->vfs;
    kept->manifest.database = was->database;
    kept->manifest.made_s = was->made_unix_s;
    ochre_status status = och_vfs_mkdir(vfs, OCH_DIR_KEPT, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, "", err);
    if (status == OCHRE_OK)
        status = write_state(kept, was, err);
    if (status == OCHRE_OK)
        status = keep_file(kept, "FORMAT", err);
    if (status == OCHRE_OK)
        status = keep_file(kept, "catalog.db", err);
    if (status == OCHRE_OK)
        status = keep_dir(kept, LOG, err);
    if (status == OCHRE_OK)
        status = och_vfs_mkdir(vfs, OCH_DIR_KEPT "/" OCH_DIR_SEGMENTS, err);
    if (status == OCHRE_OK)
        status = och_vfs_list(kept->source, OCH_DIR_SEGMENTS, visit_collection, kept, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, OCH_DIR_KEPT "/" OCH_DIR_SEGMENTS, err);
    return status == OCHRE_OK ? write_list(kept, err) : status;
}

ochre_status
och_kept_make(struct och_mem *mem, struct och_vfs *vfs, struct och_vfs *source,
        const struct och_kept_was *was, struct ochre_error *err)
{
    struct kept kept;
    ochre_status status = begin(&kept, mem, vfs, source, err);
    if (status == OCHRE_OK)
        status = och_kept_remove(vfs, err);
    if (status == OCHRE_OK)
        status = keep_all(&kept, was, err);
    end(&kept);
    if (status != OCHRE_OK) {
        ochre_status removed = och_kept_remove(vfs, NULL); /* on a full disk its space is wanted */
        (void) removed;                                    /* the next one tries it again */
    }
    return status;
}

/* --- putting back ------------------------------------------------------------------------ */

/* Before anything is changed: is all of it there, as it was? */
static ochre_status
verify(struct kept *kept, struct ochre_error *err)
{
    const struct och_backup_manifest *manifest = &kept->manifest;
    for (size_t i = 0; i < manifest->n_members; i++) {
        const struct och_backup_member *member = &manifest->members[i];
        struct och_backup_member seen = {.path = ""};
        char path[KEPT_PATH_SIZE];
        path_of(member->path, path);
        ochre_status status = copy(kept, path, NULL, &seen, err);
        if (status == OCHRE_NOT_FOUND)
            return och_fail(err, OCHRE_CORRUPT, "%s is missing", path);
        if (status != OCHRE_OK)
            return status;
        if (seen.size != member->size || seen.hash != member->hash)
            return och_fail(err, OCHRE_CORRUPT, "%s fails its checksum", path);
    }
    return OCHRE_OK;
}

static ochre_status
put_back(struct kept *kept, const struct och_backup_member *member, struct ochre_error *err)
{
    char from[KEPT_PATH_SIZE];
    struct och_backup_member seen = {.path = ""};
    path_of(member->path, from);
    if (!is_segment(member->path)) {
        ochre_status status = copy(kept, from, PART, &seen, err);
        return status == OCHRE_OK ? och_vfs_rename(kept->vfs, PART, member->path, err) : status;
    }
    /* A number is never given out twice: what has this name is this file, but where the file
     * system has no names to give, when it may be a part of one. */
    ochre_status status = make_dir_of(kept, member->path, err);
    if (status == OCHRE_OK)
        status = remove_if_there(kept->vfs, member->path, err);
    if (status == OCHRE_OK)
        status = link_or_copy(kept, from, member->path, err);
    if (status == OCHRE_OK) {
        char dir[OCH_BACKUP_PATH_SIZE];
        (void) snprintf(dir, sizeof(dir), "%s", member->path);
        *strrchr(dir, '/') = '\0';
        status = och_vfs_sync_dir(kept->vfs, dir, err);
    }
    return status;
}

/* Members are in byte order. */
static bool
is_kept(const struct kept *kept, const char *path)
{
    const struct och_backup_member *members = kept->manifest.members;
    size_t low = 0, high = kept->manifest.n_members;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(members[middle].path, path);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* In the log: what was not there. */
static ochre_status
remove_newer(void *context, const char *name, bool is_dir)
{
    struct kept *kept = context;
    char path[OCH_PATH_SIZE_MAX];
    int size = snprintf(path, sizeof(path), LOG "/%s", name);
    if (is_dir || size < 0 || size >= OCH_PATH_SIZE_MAX || is_kept(kept, path))
        return OCHRE_OK;
    return remove_if_there(kept->vfs, path, kept->err);
}

static ochre_status
remove_newer_segment(void *context, const char *name, bool is_dir)
{
    struct kept *kept = context;
    char path[OCH_PATH_SIZE_MAX];
    int size = snprintf(path, sizeof(path), "%s/%s", kept->dir, name);
    if (is_dir || size < 0 || size >= OCH_PATH_SIZE_MAX || is_kept(kept, path))
        return OCHRE_OK;
    return remove_if_there(kept->vfs, path, kept->err);
}

static ochre_status
remove_newer_segments(void *context, const char *name, bool is_dir)
{
    struct kept *kept = context;
    int size = snprintf(kept->dir, sizeof(kept->dir), OCH_DIR_SEGMENTS "/%s", name);
    if (!is_dir || size < 0 || (size_t) size >= sizeof(kept->dir))
        return OCHRE_OK;
    return och_vfs_list(kept->vfs, kept->dir, remove_newer_segment, kept, kept->err);
}

/* With REVERT durable: any number of times, from any state in between. */
static ochre_status
put_all_back(struct kept *kept, struct ochre_error *err)
{
    struct och_vfs *vfs = kept->vfs;
    ochre_status status = och_vfs_mkdir(vfs, OCH_DIR_TMP, err);
    if (status == OCHRE_OK)
        status = remove_if_there(vfs, "catalog.db-journal", err);
    if (status == OCHRE_OK)
        status = remove_if_there(vfs, "catalog.copy", err);
    if (status == OCHRE_OK) /* it knows of what will be gone */
        status = remove_if_there(vfs, OCH_DIR_REACH, err);
    for (size_t i = 0; i < kept->manifest.n_members && status == OCHRE_OK; i++)
        status = put_back(kept, &kept->manifest.members[i], err);
    if (status == OCHRE_OK)
        status = och_vfs_list(vfs, LOG, remove_newer, kept, err);
    if (status == OCHRE_OK)
        status = och_vfs_list(vfs, OCH_DIR_SEGMENTS, remove_newer_segments, kept, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, LOG, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, OCH_DIR_SEGMENTS, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, "", err);
    return status == OCHRE_OK ? och_kept_remove(vfs, err) : status;
}

ochre_status
och_kept_revert(struct och_mem *mem, struct och_vfs *vfs, struct ochre_error *err)
{
    struct kept kept;
    ochre_status status = begin(&kept, mem, vfs, vfs, err);
    if (status == OCHRE_OK)
        status = read_list(&kept, err);
    if (status == OCHRE_OK)
        status = verify(&kept, err);
    if (status == OCHRE_OK)
        status = write_whole(vfs, REVERT, "", 0, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, OCH_DIR_KEPT, err);
    if (status == OCHRE_OK)
        status = put_all_back(&kept, err);
    end(&kept);
    return status;
}

ochre_status
och_kept_recover(struct och_vfs *vfs, struct ochre_error *err)
{
    enum och_kept_state state = OCH_KEPT_NONE;
    struct och_mem mem;
    ochre_status status = och_kept_look(vfs, &state, err);
    if (status != OCHRE_OK || state != OCH_KEPT_REVERTING)
        return status;
    och_mem_init(&mem, NULL);
    return och_kept_revert(&mem, vfs, err);
}
