#include <stdio.h>
#include <string.h>

#include "api/backup_internal.h"
#include "api/backup_stream.h"
#include "api/restore_internal.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "os/vfs_posix.h"
#include "storage/backup_stream.h"
#include "storage/directory.h"

#define MARK_SIZE ((size_t) 8)

struct restore {
    struct och_copier copier;
    struct och_vfs *from, *to;        /* borrowed; from: NULL when it is a stream */
    struct och_stream_source *stream; /* borrowed; NULL when it is a directory */
    struct och_hold hold;             /* one restore at a time */
    bool has_other;                   /* of an earlier try */
    bool is_taken;                    /* what is in the directory may be removed */
};

/* The mark says which backup is being restored: files of two would make no database. */
static ochre_status
set_mark(struct restore *restore, struct ochre_error *err)
{
    char bytes[MARK_SIZE] = {0};
    char wanted[MARK_SIZE];
    size_t n_read = 0;
    och_store_u64(wanted, restore->copier.manifest.hash);
    ochre_status status = och_file_read(restore->hold.mark, 0, bytes, sizeof(bytes), &n_read, err);
    if (status != OCHRE_OK)
        return status;
    if (n_read == sizeof(bytes) && memcmp(bytes, wanted, sizeof(bytes)) == 0)
        return OCHRE_OK;
    if (restore->has_other)
        return och_fail(err, OCHRE_EXISTS,
                "the directory to restore to is half restored from another backup; remove it, or "
                "name another");
    status = och_file_write(restore->hold.mark, 0, wanted, sizeof(wanted), err);
    if (status == OCHRE_OK)
        status = och_file_sync(restore->hold.mark, err);
    return status;
}

static ochre_status
make_directories(struct restore *restore, struct ochre_error *err)
{
    static const char *const dirs[] = {OCH_DIR_TMP, "log", OCH_DIR_SEGMENTS};
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && status == OCHRE_OK; i++)
        status = och_vfs_mkdir(restore->to, dirs[i], err);
    return status == OCHRE_OK ? och_vfs_sync_dir(restore->to, "", err) : status;
}

/* An empty directory becomes one that is being restored; a half restored one, which
 * has the mark and no FORMAT, may be gone over again.  LOCK stays in the database: who only
 * reads one, as `ochre check` does, makes none. */
static ochre_status
take_target(struct restore *restore, struct ochre_error *err)
{
    ochre_status status = och_hold_take_target(
            restore->to, &och_restore_kind, &restore->hold, &restore->has_other, err);
    if (status != OCHRE_OK)
        return status;
    restore->is_taken = !restore->has_other;
    status = set_mark(restore, err);
    if (status != OCHRE_OK)
        return status;
    restore->is_taken = true;
    return make_directories(restore, err);
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
    if (restore->stream != NULL) {
        copy.open = och_stream_source_open(restore->stream, member);
        copy.path_from = "the stream";
    }
    return och_copier_copy(&restore->copier, &copy, err);
}

/* --- the files ---------------------------------------------------------------- */

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
place_member(struct restore *restore, struct och_backup_firsts *firsts, size_t i,
        struct ochre_error *err)
{
    const struct och_backup_manifest *manifest = &restore->copier.manifest;
    const struct och_backup_member *member = &manifest->members[i];
    size_t first = och_backup_firsts_of(firsts, manifest, i);
    if (first == i)
        return copy_member(restore, member, member->path, err);
    const char *from = manifest->members[first].path;
    ochre_status status = place_again(restore, from, member->path, err);
    if (status != OCHRE_UNSUPPORTED)
        return status;
    const struct och_copy copy = {.from = restore->to,
            .to = restore->to,
            .path_from = from,
            .path_to = member->path,
            .member = member};
    return och_copier_copy(&restore->copier, &copy, err);
}

/* All but FORMAT, which is the first member and gets its name last.  Members of one directory follow one
 * another, so that each directory is synced once. */
static ochre_status
copy_data(struct restore *restore, struct ochre_error *err)
{
    const struct och_backup_manifest *manifest = &restore->copier.manifest;
    char dir[OCH_BACKUP_PATH_SIZE] = "";
    char next[OCH_BACKUP_PATH_SIZE];
    struct och_backup_firsts firsts;
    ochre_status status =
            och_backup_firsts_make(&firsts, restore->copier.options->mem, manifest, err);
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
    och_backup_firsts_clear(&firsts);
    return status == OCHRE_OK ? och_vfs_sync_dir(restore->to, dir, err) : status;
}

/* A stream has ended as it should, and what was made of it reads back: it cannot be asked
 * again. */
static ochre_status
verify_streamed(struct restore *restore, struct ochre_error *err)
{
    const struct och_backup_manifest *manifest = &restore->copier.manifest;
    ochre_status status = och_stream_source_end(restore->stream, manifest->hash, err);
    restore->copier.total = restore->copier.done + manifest->n_bytes;
    for (size_t i = 0; status == OCHRE_OK && i < manifest->n_members; i++) {
        const char *path = i == 0 ? OCH_RESTORE_PART : manifest->members[i].path;
        status = och_copier_verify_at(
                &restore->copier, restore->to, path, &manifest->members[i], err);
    }
    return status;
}

/* All of it is there already. */
static void
drain(struct restore *restore)
{
    if (restore->stream != NULL)
        och_stream_source_drain(restore->stream, restore->copier.manifest.n_bytes);
}

static ochre_status
place(struct restore *restore, struct ochre_error *err)
{
    bool is_finished = false;
    ochre_status status = och_restore_finish(&restore->copier, restore->to, &is_finished, err);
    if (is_finished)
        drain(restore);
    if (status != OCHRE_OK || is_finished)
        return status;
    status = take_target(restore, err);
    if (status == OCHRE_OK)
        status = copy_member(restore, &restore->copier.manifest.members[0], OCH_RESTORE_PART, err);
    if (status == OCHRE_OK)
        status = copy_data(restore, err);
    if (status == OCHRE_OK && restore->stream != NULL)
        status = verify_streamed(restore, err);
    if (status == OCHRE_OK)
        status = och_vfs_rename(restore->to, OCH_RESTORE_PART, OCH_DIR_FORMAT, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(restore->to, "", err);
    /* From here on it is a database.  A mark that stays does it no harm, and no
     * further restore goes over a directory that has FORMAT. */
    if (status == OCHRE_OK)
        status = och_vfs_remove(restore->to, OCH_RESTORE_MARK, err);
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
    och_hold_release(&restore->hold);
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

/* --- from a stream ------------------------------------------------------------------ */

/* The target is left as it was found, unless somebody else restores to it. */
static ochre_status
place_streamed(struct restore *restore, struct ochre_error *err)
{
    ochre_status status = och_restore_clear_leftover(restore->to, err);
    if (status == OCHRE_OK)
        status = place(restore, err);
    if (status != OCHRE_OK && restore->is_taken)
        och_restore_clear(restore->to);
    return status;
}

static ochre_status
open_streamed(struct restore *restore, const struct och_backup_options *options,
        struct och_stream_source *stream, struct ochre_error *err)
{
    struct och_copier *copier = &restore->copier;
    *restore = (struct restore){.stream = stream};
    ochre_status status = och_copier_open(copier, options, err);
    if (status == OCHRE_OK)
        status = och_stream_source_begin(stream, options->mem, &copier->manifest, err);
    if (status == OCHRE_OK)
        status = och_copier_take_manifest(copier, err);
    copier->total = copier->manifest.n_bytes * 2;
    return status;
}

ochre_status
och_restore_stream_vfs(const struct och_backup_options *options,
        const struct och_backup_input *input, struct och_vfs *to,
        struct och_backup_totals *totals_out, struct ochre_error *err)
{
    struct restore restore;
    struct och_stream_source stream = och_stream_source_of(input);
    ochre_status status = open_streamed(&restore, options, &stream, err);
    restore.to = to;
    if (status == OCHRE_OK)
        status = place_streamed(&restore, err);
    finish(&restore, totals_out);
    return status;
}

static ochre_status
give_name(struct och_beside *beside, struct ochre_error *err)
{
    struct ochre_error why = {.status = OCHRE_OK};
    ochre_status status = och_beside_name(beside, &why);
    if (status == OCHRE_OK)
        return OCHRE_OK;
    return och_fail(err, status,
            "%.200s; all of it is in %.200s, and the same restore again only gives it its name",
            why.message, beside->data);
}

/* `to` is not there. */
static ochre_status
place_named(struct restore *restore, const char *to, struct ochre_error *err)
{
    struct och_beside *beside = NULL;
    struct och_vfs *target = NULL;
    bool *redone = &restore->copier.totals.is_redone;
    ochre_status status = och_restore_begin_beside(
            restore->copier.options->mem, to, &restore->copier, &beside, &target, redone, err);
    restore->to = target;
    if (status == OCHRE_OK && target == NULL)
        drain(restore);
    else if (status == OCHRE_OK)
        status = place_streamed(restore, err);
    och_hold_release(&restore->hold);
    och_vfs_posix_close(target);
    if (status == OCHRE_OK)
        status = give_name(beside, err);
    och_beside_end(beside);
    return status;
}

ochre_status
och_restore_stream(const struct och_backup_options *options, const struct och_backup_input *input,
        const char *to, struct och_backup_totals *totals_out, struct ochre_error *err)
{
    struct restore restore;
    struct och_vfs *target = NULL;
    struct och_stream_source stream = och_stream_source_of(input);
    ochre_status status = open_streamed(&restore, options, &stream, err);
    if (status == OCHRE_OK) {
        status = och_vfs_posix_open(options->mem, to, false, &target, err);
        restore.to = target;
        if (status == OCHRE_OK)
            och_beside_tidy(options->mem, &och_restore_beside, to);
        if (status == OCHRE_OK)
            status = place_streamed(&restore, err);
        else if (status == OCHRE_NOT_FOUND)
            status = place_named(&restore, to, err);
    }
    finish(&restore, totals_out);
    och_vfs_posix_close(target);
    return status;
}
