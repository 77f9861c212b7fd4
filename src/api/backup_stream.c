#include "api/backup_stream.h"

#include <string.h>

#include "api/backup_internal.h"
#include "api/db.h"
#include "api/held_files.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/vfs_posix.h"
#include "storage/backup_stream.h"
#include "storage/directory.h"

struct och_backup_stream {
    struct och_backup_options options;
    struct och_copier copier;
    struct och_backup_firsts firsts;
    struct ochre_db *db;            /* borrowed: counts its streams; NULL: a directory's */
    struct och_vfs *own_vfs;        /* owned; NULL: somebody else's */
    struct och_held_files *held;    /* owned; NULL: nobody else has the directory */
    struct och_vfs *from;           /* borrowed, of one of these */
    struct och_directory directory; /* owned: held while nobody else has it */
    struct och_buf head;            /* head and manifest; later the end */
    struct och_file *file;          /* owned: of member next - 1, when it is under way */
    struct och_backup_member seen;  /* ... and what was read of it */
    size_t next;                    /* member */
    const char *ready;              /* bytes to be taken: n_ready of them */
    size_t n_ready;
    uint64_t size, manifest_hash;
    bool has_end; /* the end was put into `ready` */
};

/* --- before the first byte ------------------------------------------------------ */

/* The directory, or what another process shows of it. */
static ochre_status
hold(struct och_backup_stream *stream, struct ochre_error *err)
{
    const struct och_machine *machine = stream->options.machine;
    ochre_status status = och_directory_open(stream->from, machine, false, &stream->directory, err);
    if (status == OCHRE_BUSY) {
        struct och_directory theirs;
        status = och_held_files_make_beside(
                stream->options.mem, stream->from, &theirs, &stream->held, err);
        if (status != OCHRE_OK)
            return status;
        stream->from = och_held_files_vfs(stream->held);
        status = och_directory_open(stream->from, machine, false, &stream->directory, err);
    }
    if (status == OCHRE_NOT_FOUND)
        return och_fail(err, OCHRE_INVALID, "the directory is not ochre's (no FORMAT file)");
    return status;
}

/* Head and manifest, and how long all of it will be. */
static ochre_status
put_head(struct och_backup_stream *stream, struct ochre_error *err)
{
    const struct och_backup_manifest *manifest = &stream->copier.manifest;
    char head[OCH_BACKUP_STREAM_HEAD_SIZE] = {0};
    och_buf_put(&stream->head, head, sizeof(head));
    och_backup_manifest_encode(manifest, &stream->head);
    if (och_buf_status(&stream->head) != OCHRE_OK)
        return och_fail_memory(err);
    och_backup_stream_put_head(stream->head.size - sizeof(head), stream->head.data);
    stream->manifest_hash = och_load_u64(stream->head.data + stream->head.size - 8);
    stream->ready = stream->head.data;
    stream->n_ready = stream->head.size;
    stream->size = stream->head.size + OCH_BACKUP_STREAM_END_SIZE;
    ochre_status status =
            och_backup_firsts_make(&stream->firsts, stream->options.mem, manifest, err);
    for (size_t i = 0; i < manifest->n_members && status == OCHRE_OK; i++) {
        if (och_backup_firsts_of(&stream->firsts, manifest, i) == i)
            stream->size += manifest->members[i].size;
    }
    stream->copier.totals.n_files = manifest->n_members;
    stream->copier.totals.n_bytes = manifest->n_bytes;
    stream->copier.totals.made_s = manifest->made_s;
    return status;
}

static ochre_status
begin(struct och_backup_stream *stream, struct ochre_error *err)
{
    ochre_status status = och_copier_open(&stream->copier, &stream->options, err);
    if (status == OCHRE_OK)
        status = hold(stream, err);
    if (status == OCHRE_OK)
        status = och_copier_list_source(&stream->copier, stream->from, &stream->directory, err);
    stream->copier.total = stream->copier.done + stream->copier.manifest.n_bytes;
    return status == OCHRE_OK ? put_head(stream, err) : status;
}

static struct och_backup_stream *
make(const struct och_backup_options *options)
{
    struct och_backup_stream *stream = och_mem_take_zeroed(options->mem, sizeof(*stream));
    if (stream == NULL)
        return NULL;
    stream->options = *options;
    stream->copier.options = &stream->options;
    och_backup_manifest_init(&stream->copier.manifest, options->mem);
    och_buf_init(&stream->head, options->mem,
            OCH_BACKUP_MANIFEST_SIZE_MAX + OCH_BACKUP_STREAM_HEAD_SIZE);
    return stream;
}

/* Hand it over, or close it. */
static ochre_status
finish(ochre_status status, struct och_backup_stream *stream, struct och_backup_stream **stream_out)
{
    if (status != OCHRE_OK)
        och_backup_stream_close(stream);
    else
        *stream_out = stream;
    return status;
}

ochre_status
och_backup_stream_open(const struct och_backup_options *options, struct och_vfs *from,
        struct och_backup_stream **stream_out, struct ochre_error *err)
{
    *stream_out = NULL;
    struct och_backup_stream *stream = make(options);
    if (stream == NULL)
        return och_fail_memory(err);
    stream->from = from;
    return finish(begin(stream, err), stream, stream_out);
}

ochre_status
och_backup_stream_open_directory(const struct och_backup_options *options, const char *from,
        struct och_backup_stream **stream_out, struct ochre_error *err)
{
    *stream_out = NULL;
    struct och_backup_stream *stream = make(options);
    if (stream == NULL)
        return och_fail_memory(err);
    ochre_status status = och_vfs_posix_open(options->mem, from, false, &stream->own_vfs, err);
    stream->from = stream->own_vfs;
    if (status == OCHRE_OK)
        status = begin(stream, err);
    return finish(status, stream, stream_out);
}

/* A slow reader keeps files from being removed: few at a time. */
static bool
take_place(struct ochre_db *db)
{
    unsigned n = atomic_load_explicit(&db->n_streams, memory_order_relaxed);
    while (n < OCH_BACKUP_STREAMS_MAX) {
        if (atomic_compare_exchange_weak_explicit(
                    &db->n_streams, &n, n + 1, memory_order_relaxed, memory_order_relaxed))
            return true;
    }
    return false;
}

ochre_status
och_backup_stream_open_database(const struct och_backup_options *options, struct ochre_db *db,
        struct och_backup_stream **stream_out, struct ochre_error *err)
{
    *stream_out = NULL;
    if (!take_place(db))
        return och_fail(err, OCHRE_BUSY,
                "%u backups are being read already; try again when one is done",
                OCH_BACKUP_STREAMS_MAX);
    struct och_backup_stream *stream = make(options);
    if (stream == NULL) {
        atomic_fetch_sub_explicit(&db->n_streams, 1, memory_order_relaxed);
        return och_fail_memory(err);
    }
    stream->db = db;
    ochre_status status = och_held_files_make(options->mem, db, &stream->held, err);
    if (status == OCHRE_OK) {
        stream->from = och_held_files_vfs(stream->held);
        status = begin(stream, err);
    }
    return finish(status, stream, stream_out);
}

void
och_backup_stream_close(struct och_backup_stream *stream)
{
    if (stream == NULL)
        return;
    och_file_close(stream->file);
    och_directory_close(&stream->directory);
    och_held_files_release(stream->held);
    och_vfs_posix_close(stream->own_vfs);
    och_backup_firsts_clear(&stream->firsts);
    och_buf_clear(&stream->head);
    och_copier_close(&stream->copier);
    if (stream->db != NULL)
        atomic_fetch_sub_explicit(&stream->db->n_streams, 1, memory_order_relaxed);
    och_mem_release(stream->options.mem, stream, sizeof(*stream));
}

uint64_t
och_backup_stream_size(const struct och_backup_stream *stream)
{
    return stream->size;
}

struct och_backup_totals
och_backup_stream_totals(const struct och_backup_stream *stream)
{
    return stream->copier.totals;
}

/* --- its bytes -------------------------------------------------------------------- */

/* Open the next member whose contents have not been put yet; past the last one, the end. */
static ochre_status
next_file(struct och_backup_stream *stream, struct ochre_error *err)
{
    const struct och_backup_manifest *manifest = &stream->copier.manifest;
    while (stream->next < manifest->n_members &&
            och_backup_firsts_of(&stream->firsts, manifest, stream->next) != stream->next)
        stream->next++;
    if (stream->next == manifest->n_members) {
        och_buf_reset(&stream->head);
        if (!och_buf_reserve(&stream->head, OCH_BACKUP_STREAM_END_SIZE))
            return och_fail_memory(err);
        och_backup_stream_put_end(stream->manifest_hash, stream->head.data);
        stream->ready = stream->head.data;
        stream->n_ready = OCH_BACKUP_STREAM_END_SIZE;
        stream->has_end = true;
        return OCHRE_OK;
    }
    stream->seen = (struct och_backup_member){.size = 0};
    return och_vfs_open(stream->from, manifest->members[stream->next++].path, OCH_OPEN_READ,
            &stream->file, err);
}

/* All of the file was read: is it what was announced? */
static ochre_status
end_file(struct och_backup_stream *stream, struct ochre_error *err)
{
    const struct och_backup_member *member = &stream->copier.manifest.members[stream->next - 1];
    och_file_close(stream->file);
    stream->file = NULL;
    if (stream->seen.size != member->size || stream->seen.hash != member->hash)
        return och_fail(err, OCHRE_CORRUPT,
                "%s is not what it was when it was read for the first time", member->path);
    stream->copier.totals.n_files_copied++;
    stream->copier.totals.n_bytes_copied += member->size;
    return OCHRE_OK;
}

static ochre_status
next_block(struct och_backup_stream *stream, struct ochre_error *err)
{
    struct och_copier *copier = &stream->copier;
    const struct och_backup_member *member = &copier->manifest.members[stream->next - 1];
    uint64_t left = member->size - stream->seen.size;
    size_t size = left < OCH_BACKUP_BLOCK_SIZE ? (size_t) left : OCH_BACKUP_BLOCK_SIZE;
    size_t n_read = 0;
    ochre_status status = OCHRE_OK;
    if (size > 0)
        status = och_file_read(stream->file, stream->seen.size, copier->block, size, &n_read, err);
    if (status != OCHRE_OK)
        return status;
    if (n_read > 0)
        stream->seen.hash = och_backup_hash(stream->seen.hash, copier->block, n_read);
    stream->seen.size += n_read;
    stream->ready = copier->block;
    stream->n_ready = n_read;
    och_copier_advance(copier, n_read);
    if (n_read < size || stream->seen.size == member->size)
        return end_file(stream, err);
    return OCHRE_OK;
}

ochre_status
och_backup_stream_read(struct och_backup_stream *stream, void *bytes, size_t size, size_t *n_out,
        struct ochre_error *err)
{
    const atomic_bool *stop = stream->options.stop;
    ochre_status status = OCHRE_OK;
    *n_out = 0;
    if (stop != NULL && atomic_load_explicit(stop, memory_order_relaxed))
        return och_fail(err, OCHRE_UNAVAILABLE, "the backup was stopped");
    while (status == OCHRE_OK && stream->n_ready == 0 && !stream->has_end)
        status = stream->file == NULL ? next_file(stream, err) : next_block(stream, err);
    if (status != OCHRE_OK)
        return status;
    *n_out = size < stream->n_ready ? size : stream->n_ready;
    if (*n_out == 0)
        return OCHRE_OK;
    memcpy(bytes, stream->ready, *n_out);
    stream->ready += *n_out;
    stream->n_ready -= *n_out;
    return OCHRE_OK;
}
