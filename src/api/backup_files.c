#include <stdio.h>
#include <string.h>

#include "api/backup_internal.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"

ochre_status
och_copier_open(struct och_copier *copier, const struct och_backup_options *options,
        struct ochre_error *err)
{
    *copier = (struct och_copier){.options = options};
    och_backup_manifest_init(&copier->manifest, options->mem);
    copier->block = och_mem_take(options->mem, OCH_BACKUP_BLOCK_SIZE);
    return copier->block != NULL ? OCHRE_OK : och_fail_memory(err);
}

void
och_copier_close(struct och_copier *copier)
{
    och_backup_manifest_clear(&copier->manifest);
    och_mem_release(copier->options->mem, copier->block, OCH_BACKUP_BLOCK_SIZE);
    copier->block = NULL;
}

void
och_copier_advance(struct och_copier *copier, size_t size)
{
    copier->done += size;
    if (copier->options->progress != NULL)
        copier->options->progress(copier->options->context, copier->done, copier->total);
}

/* Read a file from its beginning to its end; with `to`, write the same there. */
static ochre_status
pump(struct och_copier *copier, struct och_file *from, struct och_file *to,
        struct och_backup_member *seen_out, struct ochre_error *err)
{
    uint64_t offset = 0;
    uint64_t hash = 0;
    size_t n_read = OCH_BACKUP_BLOCK_SIZE;
    while (n_read == OCH_BACKUP_BLOCK_SIZE) {
        const atomic_bool *stop = copier->options->stop;
        if (stop != NULL && atomic_load_explicit(stop, memory_order_relaxed))
            return och_fail(err, OCHRE_UNAVAILABLE, "the backup was stopped");
        ochre_status status =
                och_file_read(from, offset, copier->block, OCH_BACKUP_BLOCK_SIZE, &n_read, err);
        if (status == OCHRE_OK && to != NULL && n_read > 0)
            status = och_file_write(to, offset, copier->block, n_read, err);
        if (status != OCHRE_OK)
            return status;
        if (n_read > 0)
            hash = och_backup_hash(hash, copier->block, n_read);
        offset += n_read;
        och_copier_advance(copier, n_read);
    }
    seen_out->size = offset;
    seen_out->hash = hash;
    return OCHRE_OK;
}

ochre_status
och_copier_hash(struct och_copier *copier, struct och_vfs *vfs, const char *path,
        struct och_backup_member *member_out, struct ochre_error *err)
{
    struct och_file *file = NULL;
    ochre_status status = och_vfs_open(vfs, path, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_OK)
        status = pump(copier, file, NULL, member_out, err);
    och_file_close(file);
    return status;
}

static ochre_status
compare(const struct och_backup_member *seen, const struct och_backup_member *wanted,
        const char *path, struct ochre_error *err)
{
    if (seen->size != wanted->size)
        return och_fail(err, OCHRE_CORRUPT, "%s, which is %s, has %llu bytes instead of %llu", path,
                wanted->path, (unsigned long long) seen->size, (unsigned long long) wanted->size);
    if (seen->hash != wanted->hash)
        return och_fail(
                err, OCHRE_CORRUPT, "%s, which is %s, fails its checksum", path, wanted->path);
    return OCHRE_OK;
}

ochre_status
och_copier_verify_at(struct och_copier *copier, struct och_vfs *vfs, const char *path,
        const struct och_backup_member *member, struct ochre_error *err)
{
    struct och_backup_member seen = {.path = ""};
    ochre_status status = och_copier_hash(copier, vfs, path, &seen, err);
    if (status == OCHRE_NOT_FOUND)
        return och_fail(err, OCHRE_CORRUPT, "%s, which is %s, is missing", path, member->path);
    return status == OCHRE_OK ? compare(&seen, member, path, err) : status;
}

ochre_status
och_copier_verify(struct och_copier *copier, struct och_vfs *backup,
        const struct och_backup_member *member, struct ochre_error *err)
{
    char path[OCH_BACKUP_STORED_SIZE];
    och_backup_stored(member, path);
    return och_copier_verify_at(copier, backup, path, member, err);
}

ochre_status
och_copier_copy(struct och_copier *copier, const struct och_copy *copy, struct ochre_error *err)
{
    struct och_file *from = NULL;
    struct och_file *to = NULL;
    struct och_backup_member seen = {.path = ""};
    ochre_status status = OCHRE_OK;
    if (copy->open == NULL)
        status = och_vfs_open(copy->from, copy->path_from, OCH_OPEN_READ, &from, err);
    if (status == OCHRE_OK)
        status = och_vfs_open(copy->to, copy->path_to, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &to, err);
    /* What an interrupted copy left may be longer. */
    if (status == OCHRE_OK)
        status = och_file_truncate(to, 0, err);
    if (status == OCHRE_OK)
        status = pump(copier, copy->open != NULL ? copy->open : from, to, &seen, err);
    if (status == OCHRE_OK)
        status = compare(&seen, copy->member, copy->path_from, err);
    if (status == OCHRE_OK)
        status = och_file_sync(to, err);
    och_file_close(to);
    och_file_close(from);
    if (status == OCHRE_OK) {
        copier->totals.n_files_copied++;
        copier->totals.n_bytes_copied += seen.size;
    }
    return status;
}

ochre_status
och_copier_read_manifest(struct och_copier *copier, struct och_vfs *backup,
        struct och_backup_manifest *manifest, struct ochre_error *err)
{
    struct och_mem *mem = copier->options->mem;
    struct och_file *file = NULL;
    char *bytes = NULL;
    uint64_t size = 0;
    ochre_status status = och_vfs_open(backup, OCH_BACKUP_MANIFEST, OCH_OPEN_READ, &file, err);
    if (status != OCHRE_OK)
        return status;
    status = och_file_size(file, &size, err);
    if (status == OCHRE_OK && size > OCH_BACKUP_MANIFEST_SIZE_MAX)
        status = och_fail(err, OCHRE_TOO_LARGE, "BACKUP has %llu bytes; at most %u are read",
                (unsigned long long) size, OCH_BACKUP_MANIFEST_SIZE_MAX);
    if (status != OCHRE_OK)
        goto done;
    bytes = och_mem_take(mem, (size_t) size + 1);
    status = bytes == NULL ? och_fail_memory(err)
                           : och_file_read_all(file, 0, bytes, (size_t) size, err);
    if (status == OCHRE_OK)
        status = och_backup_manifest_decode(manifest, bytes, (size_t) size, err);

done:
    och_mem_release(mem, bytes, (size_t) size + 1);
    och_file_close(file);
    return status;
}

ochre_status
och_copier_take_manifest(struct och_copier *copier, struct ochre_error *err)
{
    const struct och_backup_manifest *manifest = &copier->manifest;
    if (manifest->n_members < 2 || strcmp(manifest->members[0].path, "FORMAT") != 0 ||
            strcmp(manifest->members[1].path, "catalog.db") != 0)
        return och_fail(err, OCHRE_CORRUPT, "BACKUP lists no FORMAT or no catalog.db");
    copier->totals.n_files = manifest->n_members;
    copier->totals.n_bytes = manifest->n_bytes;
    copier->totals.made_s = manifest->made_s;
    return OCHRE_OK;
}

ochre_status
och_copier_verify_all(struct och_copier *copier, struct och_vfs *backup, struct ochre_error *err)
{
    struct och_backup_manifest *manifest = &copier->manifest;
    ochre_status status = och_copier_read_manifest(copier, backup, manifest, err);
    if (status == OCHRE_NOT_FOUND)
        return och_fail(err, OCHRE_INVALID, "not a backup (no BACKUP file)");
    if (status == OCHRE_OK)
        status = och_copier_take_manifest(copier, err);
    if (status != OCHRE_OK)
        return status;
    if (copier->total == 0)
        copier->total = manifest->n_bytes;
    for (size_t i = 0; status == OCHRE_OK && i < manifest->n_members; i++)
        status = och_copier_verify(copier, backup, &manifest->members[i], err);
    return status;
}
