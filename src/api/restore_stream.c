#include <stdio.h>
#include <string.h>

#include "api/backup_internal.h"
#include "api/restore_internal.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/vfs_posix.h"
#include "storage/backup_stream.h"

/* --- a stream as a file ------------------------------------------------------------ */

static struct och_stream_source *
stream_of(struct och_file *file)
{
    return (struct och_stream_source *) file;
}

/* Exactly so many bytes; `what` they are, for the message. */
static ochre_status
take(struct och_stream_source *stream, void *bytes, size_t size, const char *what,
        struct ochre_error *err)
{
    size_t n_read = 0;
    ochre_status status = stream->input->read(stream->input->context, bytes, size, &n_read, err);
    if (status == OCHRE_OK && n_read < size)
        return och_fail(err, OCHRE_CORRUPT, "the stream ends within %s: it was cut", what);
    return status;
}

static ochre_status
read_member(struct och_file *file, uint64_t offset, void *bytes, size_t size, size_t *n_read_out,
        struct ochre_error *err)
{
    struct och_stream_source *stream = stream_of(file);
    och_assert(offset == stream->offset);
    uint64_t left = stream->member->size - stream->offset;
    *n_read_out = size < left ? size : (size_t) left;
    if (*n_read_out == 0)
        return OCHRE_OK;
    ochre_status status = take(stream, bytes, *n_read_out, stream->member->path, err);
    stream->offset += *n_read_out;
    return status;
}

static const struct och_file_ops file_ops = {.read = read_member};

struct och_stream_source
och_stream_source_of(const struct och_backup_input *input)
{
    return (struct och_stream_source){.file.ops = &file_ops, .input = input};
}

struct och_file *
och_stream_source_open(struct och_stream_source *stream, const struct och_backup_member *member)
{
    stream->member = member;
    stream->offset = 0;
    return &stream->file;
}

/* --- its ends ------------------------------------------------------------------------ */

static ochre_status
take_manifest(struct och_stream_source *stream, uint64_t size, struct och_buf *buf,
        struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    while (buf->size < size && status == OCHRE_OK) {
        uint64_t left = size - buf->size;
        size_t piece = left < OCH_BACKUP_BLOCK_SIZE ? (size_t) left : OCH_BACKUP_BLOCK_SIZE;
        char *bytes = och_buf_extend(buf, piece);
        status = bytes == NULL ? och_fail_memory(err)
                               : take(stream, bytes, piece, "its list of files", err);
    }
    return status;
}

ochre_status
och_stream_source_begin(struct och_stream_source *stream, struct och_mem *mem,
        struct och_backup_manifest *manifest, struct ochre_error *err)
{
    char head[OCH_BACKUP_STREAM_HEAD_SIZE] = {0};
    struct och_buf buf;
    uint64_t size = 0;
    ochre_status status = take(stream, head, sizeof(head), "its first bytes", err);
    if (status == OCHRE_OK)
        status = och_backup_stream_get_head(head, &size, err);
    if (status != OCHRE_OK)
        return status;
    och_buf_init(&buf, mem, OCH_BACKUP_MANIFEST_SIZE_MAX);
    status = take_manifest(stream, size, &buf, err);
    if (status == OCHRE_OK)
        status = och_backup_manifest_decode(manifest, buf.data, buf.size, err);
    och_buf_clear(&buf);
    return status;
}

ochre_status
och_stream_source_end(
        struct och_stream_source *stream, uint64_t manifest_hash, struct ochre_error *err)
{
    char end[OCH_BACKUP_STREAM_END_SIZE] = {0};
    char more = 0;
    size_t n_more = 0;
    ochre_status status = take(stream, end, sizeof(end), "its last bytes", err);
    if (status == OCHRE_OK && !och_backup_stream_is_end(manifest_hash, end))
        return och_fail(err, OCHRE_CORRUPT, "the stream does not end as it should");
    if (status == OCHRE_OK)
        status = stream->input->read(stream->input->context, &more, 1, &n_more, err);
    if (status == OCHRE_OK && n_more != 0)
        return och_fail(err, OCHRE_CORRUPT, "the stream goes on behind its end");
    return status;
}

void
och_stream_source_drain(struct och_stream_source *stream, uint64_t size_max)
{
    char bytes[4096];
    size_t n_read = sizeof(bytes);
    for (uint64_t at = 0; at <= size_max && n_read == sizeof(bytes); at += n_read)
        if (stream->input->read(stream->input->context, bytes, sizeof(bytes), &n_read, NULL) !=
                OCHRE_OK)
            return; /* what was wanted is there */
}

const struct och_hold_kind och_restore_kind = {
        .mark = OCH_RESTORE_MARK, .does = "restores to", .verb = "restore to"};

/* --- leaving nothing ------------------------------------------------------------------ */

struct clearing {
    struct och_vfs *vfs;
    char dir[OCH_BACKUP_PATH_SIZE]; /* that is listed */
};

/* What cannot be removed stays: the directory above then stays, and so does the mark. */
static void
remove_file(struct och_vfs *vfs, const char *path)
{
    ochre_status status = och_vfs_remove(vfs, path, NULL);
    (void) status;
}

static void
remove_dir(struct och_vfs *vfs, const char *path)
{
    ochre_status status = och_vfs_rmdir(vfs, path, NULL);
    (void) status;
}

static ochre_status
remove_member(void *context, const char *name, bool is_dir)
{
    struct clearing *clearing = context;
    char path[OCH_BACKUP_PATH_SIZE];
    int size = snprintf(path, sizeof(path), "%s/%s", clearing->dir, name);
    if (!is_dir && size < OCH_BACKUP_PATH_SIZE && och_backup_is_member(path))
        remove_file(clearing->vfs, path);
    return OCHRE_OK;
}

static void
clear_dir(struct och_vfs *vfs, const char *dir)
{
    struct clearing clearing = {.vfs = vfs};
    (void) snprintf(clearing.dir, sizeof(clearing.dir), "%s", dir);
    ochre_status status = och_vfs_list(vfs, dir, remove_member, &clearing, NULL);
    (void) status;
    remove_dir(vfs, dir);
}

static ochre_status
clear_collection(void *context, const char *name, bool is_dir)
{
    char dir[OCH_BACKUP_PATH_SIZE];
    int size = snprintf(dir, sizeof(dir), OCH_DIR_SEGMENTS "/%s", name);
    if (is_dir && size < OCH_BACKUP_PATH_SIZE)
        clear_dir(context, dir);
    return OCHRE_OK;
}

static ochre_status
remove_tmp(void *context, const char *name, bool is_dir)
{
    char path[OCH_PATH_SIZE_MAX];
    int size = snprintf(path, sizeof(path), OCH_DIR_TMP "/%s", name);
    if (!is_dir && size < OCH_PATH_SIZE_MAX)
        remove_file(context, path);
    return OCHRE_OK;
}

static void
clear_tmp(struct och_vfs *vfs)
{
    ochre_status status = och_vfs_list(vfs, OCH_DIR_TMP, remove_tmp, vfs, NULL);
    (void) status;
    remove_dir(vfs, OCH_DIR_TMP);
}

static ochre_status
note_any(void *context, const char *name, bool is_dir)
{
    bool *has_other = context;
    if (is_dir || strcmp(name, OCH_RESTORE_MARK) != 0)
        *has_other = true;
    return OCHRE_OK;
}

static ochre_status
note_member(void *context, const char *name, bool is_dir)
{
    return strcmp(name, OCH_DIR_LOCK) == 0 ? OCHRE_OK : note_any(context, name, is_dir);
}

void
och_restore_clear(struct och_vfs *vfs)
{
    /* The last ones are made by opening it, as before a replay. */
    static const char *const files[] = {"catalog.db", "catalog.copy", "catalog.copy-new",
            "catalog.db-journal", "RESERVE", OCH_DIR_REACH, OCH_DIR_LOCK};
    bool has_other = false;
    /* Without it nothing opens the rest. */
    remove_file(vfs, OCH_DIR_FORMAT);
    if (och_vfs_sync_dir(vfs, "", NULL) != OCHRE_OK)
        return;
    ochre_status status = och_vfs_list(vfs, OCH_DIR_SEGMENTS, clear_collection, vfs, NULL);
    (void) status;
    remove_dir(vfs, OCH_DIR_SEGMENTS);
    clear_dir(vfs, "log");
    clear_tmp(vfs);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        remove_file(vfs, files[i]);
    if (och_vfs_sync_dir(vfs, "", NULL) != OCHRE_OK ||
            och_vfs_list(vfs, "", note_any, &has_other, NULL) != OCHRE_OK || has_other)
        return;
    remove_file(vfs, OCH_RESTORE_MARK);
    status = och_vfs_sync_dir(vfs, "", NULL);
    (void) status; /* a mark alone is as good as nothing */
}

ochre_status
och_restore_clear_leftover(struct och_vfs *vfs, struct ochre_error *err)
{
    struct och_hold hold = {.mark = NULL};
    bool has_format = false;
    bool has_any = false;
    ochre_status status = och_vfs_exists(vfs, OCH_DIR_FORMAT, &has_format, err);
    if (status == OCHRE_OK && !has_format)
        status = och_vfs_list(vfs, "", note_member, &has_any, err);
    if (status != OCHRE_OK || has_format || !has_any)
        return status;
    status = och_hold_take(vfs, &och_restore_kind, false, &hold, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    if (status == OCHRE_OK)
        och_restore_clear(vfs);
    och_hold_release(&hold);
    return status;
}

/* --- beside ----------------------------------------------------------------------------- */

const struct och_beside_kind och_restore_beside = {
        .suffix = ".restoring", .mark = OCH_RESTORE_MARK, .does = "restores to"};

/* Nobody has it open: what is in it was made by a restore that was killed.  It goes, unless it
 * is all that is wanted. */
static ochre_status
clear_beside(struct och_beside *beside, struct och_copier *copier, bool *whole_out,
        struct ochre_error *err)
{
    struct och_vfs *vfs = NULL;
    struct och_file *lock = NULL;
    bool is_there = true;
    ochre_status status = och_vfs_posix_open(beside->mem, beside->data, false, &vfs, err);
    if (status != OCHRE_OK)
        return status;
    status = och_vfs_open(vfs, OCH_DIR_LOCK, OCH_OPEN_WRITE, &lock, err);
    if (status == OCHRE_OK)
        status = och_file_lock(lock, err);
    if (status == OCHRE_BUSY)
        (void) och_fail(err, OCHRE_BUSY, "another process uses %.200s", beside->data);
    if (status == OCHRE_OK && copier != NULL)
        status = och_restore_is_whole(copier, vfs, whole_out, err);
    /* FORMAT's name may not be durable yet: who gave it may have been killed just then. */
    if (status == OCHRE_OK && *whole_out)
        status = och_vfs_sync_dir(vfs, "", err);
    if (!*whole_out && (status == OCHRE_OK || status == OCHRE_NOT_FOUND)) {
        och_restore_clear(vfs);
        och_vfs_posix_forget(beside->data);
        status = och_vfs_exists(beside->vfs, "data", &is_there, err);
        if (status == OCHRE_OK && is_there)
            status = och_fail(err, OCHRE_EXISTS,
                    "%.200s, which an interrupted restore left, has something else in it; move it "
                    "away",
                    beside->data);
    }
    och_file_close(lock);
    och_vfs_posix_close(vfs);
    return status;
}

ochre_status
och_restore_begin_beside(struct och_mem *mem, const char *to, struct och_copier *copier,
        struct och_beside **beside_out, struct och_vfs **vfs_out, bool *redone_out,
        struct ochre_error *err)
{
    bool is_whole = false;
    struct och_beside *beside = NULL;
    enum och_beside_state state = OCH_BESIDE_NONE;
    *vfs_out = NULL;
    *beside_out = NULL;
    ochre_status status = och_beside_begin(mem, &och_restore_beside, to, &beside, &state, err);
    if (status != OCHRE_OK)
        return status;
    if (state == OCH_BESIDE_EXCHANGED)
        status = och_fail(err, OCHRE_EXISTS, "%.200s is there already; name another directory", to);
    if (state == OCH_BESIDE_LEFT)
        status = clear_beside(beside, copier, &is_whole, err);
    *redone_out = status == OCHRE_OK && state == OCH_BESIDE_LEFT && !is_whole;
    if (status == OCHRE_OK && !is_whole)
        status = och_beside_make(beside, vfs_out, err);
    if (status == OCHRE_OK)
        *beside_out = beside;
    else
        och_beside_end(beside);
    return status;
}
