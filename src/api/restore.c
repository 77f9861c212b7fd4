#include <stdio.h>
#include <string.h>

#include "api/backup_internal.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "os/vfs_posix.h"
#include "storage/directory.h"

/* Stands in a directory from before the first file until FORMAT is there. */
#define MARK "RESTORING"
#define MARK_SIZE ((size_t) 8)
#define FORMAT_PATH "FORMAT"
#define PART OCH_DIR_TMP "/restore"

struct restore {
    struct och_copier copier;
    struct och_vfs *from, *to; /* borrowed */
    struct och_file *mark;     /* owned, locked: one restore at a time */
    bool has_mark, has_format, has_other;
};

static ochre_status
visit_target(void *context, const char *name, bool is_dir)
{
    struct restore *restore = context;
    if (!is_dir && strcmp(name, MARK) == 0)
        restore->has_mark = true;
    else if (!is_dir && strcmp(name, FORMAT_PATH) == 0)
        restore->has_format = true;
    else
        restore->has_other = true;
    return OCHRE_OK;
}

/* The mark says which backup is being restored: files of two would make no database. */
static ochre_status
set_mark(struct restore *restore, struct ochre_error *err)
{
    char bytes[MARK_SIZE] = {0};
    char wanted[MARK_SIZE];
    size_t n_read = 0;
    och_store_u64(wanted, restore->copier.manifest.hash);
    ochre_status status = och_file_read(restore->mark, 0, bytes, sizeof(bytes), &n_read, err);
    if (status != OCHRE_OK)
        return status;
    if (n_read == sizeof(bytes) && memcmp(bytes, wanted, sizeof(bytes)) == 0)
        return OCHRE_OK;
    if (restore->has_other)
        return och_fail(err, OCHRE_EXISTS,
                "the directory to restore to is half restored from another backup; remove it, or "
                "name another");
    status = och_file_write(restore->mark, 0, wanted, sizeof(wanted), err);
    if (status == OCHRE_OK)
        status = och_file_sync(restore->mark, err);
    return status;
}

/* Who only reads a database, as `ochre check` does, makes no LOCK. */
static ochre_status
make_lock(struct restore *restore, struct ochre_error *err)
{
    struct och_file *file = NULL;
    ochre_status status = och_vfs_open(
            restore->to, OCH_BACKUP_LOCK, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, err);
    och_file_close(file);
    return status;
}

/* An empty directory becomes one that is being restored; a half restored one, which
 * has the mark and no FORMAT, may be gone over again. */
static ochre_status
take_target(struct restore *restore, struct ochre_error *err)
{
    ochre_status status = och_vfs_list(restore->to, "", visit_target, restore, err);
    if (status != OCHRE_OK)
        return status;
    if (restore->has_format || (restore->has_other && !restore->has_mark))
        return och_fail(err, OCHRE_EXISTS,
                "the directory to restore to is not empty; name another, or move it away");
    status = och_vfs_open(restore->to, MARK, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &restore->mark, err);
    if (status == OCHRE_OK)
        status = och_file_lock(restore->mark, err);
    if (status == OCHRE_BUSY)
        return och_fail(err, OCHRE_BUSY, "another process restores to this directory");
    if (status == OCHRE_OK)
        status = set_mark(restore, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(restore->to, "", err);
    if (status == OCHRE_OK)
        status = make_lock(restore, err);
    if (status == OCHRE_OK)
        status = och_vfs_mkdir(restore->to, OCH_DIR_TMP, err);
    if (status == OCHRE_OK)
        status = och_vfs_mkdir(restore->to, "log", err);
    if (status == OCHRE_OK)
        status = och_vfs_mkdir(restore->to, OCH_DIR_SEGMENTS, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(restore->to, "", err);
    return status;
}

/* The directory a path is in; "" for the root. */
static void
parent_of(const char *path, char dir[OCH_BACKUP_PATH_SIZE])
{
    const char *end = strrchr(path, '/');
    (void) snprintf(dir, OCH_BACKUP_PATH_SIZE, "%.*s", end == NULL ? 0 : (int) (end - path), path);
}

static ochre_status
make_parent(struct restore *restore, const char *dir, struct ochre_error *err)
{
    if (strchr(dir, '/') == NULL)
        return OCHRE_OK;
    ochre_status status = och_vfs_mkdir(restore->to, dir, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(restore->to, OCH_DIR_SEGMENTS, err);
    return status;
}

static ochre_status
copy_member(struct restore *restore, const struct och_backup_member *member, const char *to,
        struct ochre_error *err)
{
    char stored[OCH_BACKUP_STORED_SIZE];
    och_backup_stored(member, stored);
    struct och_copy copy = {.from = restore->from,
            .to = restore->to,
            .path_from = stored,
            .path_to = to,
            .member = member};
    return och_copier_copy(&restore->copier, &copy, err);
}

/* --- files that are one ------------------------------------------------------- */

/* Forks have the same files, which a backup holds once: so does what is restored. */
struct firsts {
    uint32_t *slots; /* owned: [n_slots] member + 1 of the first with these contents; 0: empty */
    size_t n_slots;  /* a power of two */
};

static ochre_status
make_firsts(struct restore *restore, struct firsts *firsts, struct ochre_error *err)
{
    firsts->n_slots = 64;
    while (firsts->n_slots < 2 * restore->copier.manifest.n_members)
        firsts->n_slots *= 2;
    firsts->slots = och_mem_take_zeroed(
            restore->copier.options->mem, firsts->n_slots * sizeof(*firsts->slots));
    return firsts->slots == NULL ? och_fail_memory(err) : OCHRE_OK;
}

static bool
is_of_a_segment(const struct och_backup_member *member)
{
    return strncmp(member->path, OCH_DIR_SEGMENTS "/", sizeof(OCH_DIR_SEGMENTS)) == 0;
}

/* The first segment's file with the contents of member i, or i. */
static size_t
first_like(const struct restore *restore, struct firsts *firsts, size_t i)
{
    const struct och_backup_member *members = restore->copier.manifest.members;
    size_t slot = members[i].hash & (firsts->n_slots - 1);
    if (!is_of_a_segment(&members[i]))
        return i;
    for (; firsts->slots[slot] != 0; slot = (slot + 1) & (firsts->n_slots - 1)) {
        size_t other = firsts->slots[slot] - 1;
        if (members[other].hash == members[i].hash && members[other].size == members[i].size)
            return other;
    }
    firsts->slots[slot] = (uint32_t) i + 1;
    return i;
}

/* Give the file that was placed before a second name; a restore that was interrupted may
 * have left one. */
static ochre_status
place_again(struct restore *restore, const char *from, const char *to, struct ochre_error *err)
{
    ochre_status status = och_vfs_link(restore->to, from, to, err);
    if (status != OCHRE_EXISTS)
        return status;
    status = och_vfs_remove(restore->to, to, err);
    return status == OCHRE_OK ? och_vfs_link(restore->to, from, to, err) : status;
}

static ochre_status
place_member(struct restore *restore, struct firsts *firsts, size_t i, struct ochre_error *err)
{
    const struct och_backup_member *members = restore->copier.manifest.members;
    size_t first = first_like(restore, firsts, i);
    ochre_status status = OCHRE_UNSUPPORTED;
    if (first != i)
        status = place_again(restore, members[first].path, members[i].path, err);
    if (status == OCHRE_UNSUPPORTED)
        status = copy_member(restore, &members[i], members[i].path, err);
    return status;
}

/* All but FORMAT, which is the first member.  Members of one directory follow one
 * another, so that each directory is synced once. */
static ochre_status
copy_data(struct restore *restore, struct ochre_error *err)
{
    const struct och_backup_manifest *manifest = &restore->copier.manifest;
    char dir[OCH_BACKUP_PATH_SIZE] = "";
    char next[OCH_BACKUP_PATH_SIZE];
    struct firsts firsts;
    ochre_status status = make_firsts(restore, &firsts, err);
    for (size_t i = 1; status == OCHRE_OK && i < manifest->n_members; i++) {
        parent_of(manifest->members[i].path, next);
        if (strcmp(dir, next) != 0) {
            status = och_vfs_sync_dir(restore->to, dir, err);
            if (status == OCHRE_OK)
                status = make_parent(restore, next, err);
            memcpy(dir, next, sizeof(dir));
        }
        if (status == OCHRE_OK)
            status = place_member(restore, &firsts, i, err);
    }
    och_mem_release(
            restore->copier.options->mem, firsts.slots, firsts.n_slots * sizeof(*firsts.slots));
    return status == OCHRE_OK ? och_vfs_sync_dir(restore->to, dir, err) : status;
}

static ochre_status
place(struct restore *restore, struct ochre_error *err)
{
    ochre_status status = take_target(restore, err);
    if (status == OCHRE_OK)
        status = copy_data(restore, err);
    if (status == OCHRE_OK)
        status = copy_member(restore, &restore->copier.manifest.members[0], PART, err);
    if (status == OCHRE_OK)
        status = och_vfs_rename(restore->to, PART, FORMAT_PATH, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(restore->to, "", err);
    /* From here on it is a database.  A mark that stays does it no harm, and no
     * further restore goes over a directory that has FORMAT. */
    if (status == OCHRE_OK)
        status = och_vfs_remove(restore->to, MARK, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(restore->to, "", err);
    return status;
}

static ochre_status
open_and_verify(struct restore *restore, const struct och_backup_options *options,
        struct och_vfs *from, struct ochre_error *err)
{
    *restore = (struct restore){.from = from};
    ochre_status status = och_copier_open(&restore->copier, options, err);
    return status == OCHRE_OK ? och_copier_verify_all(&restore->copier, from, err) : status;
}

static void
finish(struct restore *restore, struct och_backup_totals *totals_out)
{
    *totals_out = restore->copier.totals;
    och_file_close(restore->mark);
    och_copier_close(&restore->copier);
}

ochre_status
och_backup_verify_vfs(const struct och_backup_options *options, struct och_vfs *backup,
        struct och_backup_totals *totals_out, struct ochre_error *err)
{
    struct restore restore;
    ochre_status status = open_and_verify(&restore, options, backup, err);
    finish(&restore, totals_out);
    return status;
}

ochre_status
och_restore_vfs(const struct och_backup_options *options, struct och_vfs *from, struct och_vfs *to,
        struct och_backup_totals *totals_out, struct ochre_error *err)
{
    struct restore restore;
    ochre_status status = open_and_verify(&restore, options, from, err);
    restore.to = to;
    restore.copier.total = restore.copier.done * 2;
    if (status == OCHRE_OK)
        status = place(&restore, err);
    finish(&restore, totals_out);
    return status;
}

ochre_status
och_restore_directory(const struct och_backup_options *options, const char *from, const char *to,
        struct och_backup_totals *totals_out, struct ochre_error *err)
{
    struct och_vfs *source = NULL;
    struct och_vfs *target = NULL;
    struct restore restore;
    *totals_out = (struct och_backup_totals){.n_files = 0};
    ochre_status status = och_vfs_posix_open(options->mem, from, false, &source, err);
    if (status != OCHRE_OK)
        return status;
    status = open_and_verify(&restore, options, source, err);
    /* Not before the backup is known to be whole is anything made. */
    if (status == OCHRE_OK)
        status = och_vfs_posix_open(options->mem, to, true, &target, err);
    restore.to = target;
    restore.copier.total = restore.copier.done * 2;
    if (status == OCHRE_OK)
        status = place(&restore, err);
    finish(&restore, totals_out);
    och_vfs_posix_close(target);
    och_vfs_posix_close(source);
    return status;
}
