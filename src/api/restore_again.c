/* What an earlier restore of the same backup left, all of it there, is not made again. */
#include <string.h>

#include "api/restore_internal.h"
#include "base/buf.h"
#include "base/error.h"

#define MARK_SIZE ((size_t) 8)

/* Opening a database to write to it makes other files beside these. */
static ochre_status
note_other(void *context, const char *name, bool is_dir)
{
    static const char *const files[] = {
            OCH_RESTORE_MARK, OCH_DIR_FORMAT, OCH_DIR_LOCK, OCH_RESTORE_CATALOG};
    static const char *const dirs[] = {OCH_DIR_TMP, "log", OCH_DIR_SEGMENTS};
    bool is_known = false;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        is_known |= !is_dir && strcmp(name, files[i]) == 0;
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        is_known |= is_dir && strcmp(name, dirs[i]) == 0;
    *(bool *) context |= !is_known;
    return OCHRE_OK;
}

ochre_status
och_restore_is_whole(
        struct och_copier *copier, struct och_vfs *vfs, bool *whole_out, struct ochre_error *err)
{
    const struct och_backup_manifest *manifest = &copier->manifest;
    struct ochre_error why = {.status = OCHRE_OK};
    bool has_other = false;
    bool has_format = false;
    *whole_out = false;
    ochre_status status = och_vfs_list(vfs, "", note_other, &has_other, err);
    if (status == OCHRE_OK)
        status = och_vfs_exists(vfs, OCH_DIR_FORMAT, &has_format, err);
    if (status != OCHRE_OK || has_other || !has_format)
        return status;
    uint64_t done = copier->done, total = copier->total;
    copier->total = done + manifest->n_bytes;
    for (size_t i = 0; i < manifest->n_members && status == OCHRE_OK; i++)
        status = och_copier_verify_at(
                copier, vfs, manifest->members[i].path, &manifest->members[i], &why);
    *whole_out = status == OCHRE_OK;
    if (status == OCHRE_OK || status == OCHRE_CORRUPT) {
        copier->totals.is_finished = *whole_out;
        copier->done = *whole_out ? copier->done : done;
        copier->total = *whole_out ? copier->total : total;
        return OCHRE_OK;
    }
    if (err != NULL)
        *err = why;
    return status;
}

/* Is the mark that of this backup's restore? */
static ochre_status
is_marked(const struct och_copier *copier, struct och_file *mark, bool *marked_out,
        struct ochre_error *err)
{
    char bytes[MARK_SIZE] = {0};
    size_t n_read = 0;
    ochre_status status = och_file_read(mark, 0, bytes, sizeof(bytes), &n_read, err);
    *marked_out = status == OCHRE_OK && n_read == sizeof(bytes) &&
            och_load_u64(bytes) == copier->manifest.hash;
    return status;
}

ochre_status
och_restore_finish(
        struct och_copier *copier, struct och_vfs *vfs, bool *finished_out, struct ochre_error *err)
{
    struct och_hold hold = {.mark = NULL};
    bool is_ours = false;
    *finished_out = false;
    ochre_status status = och_hold_take_made(vfs, &och_restore_kind, &hold, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    if (status == OCHRE_OK)
        status = is_marked(copier, hold.mark, &is_ours, err);
    if (status == OCHRE_OK && is_ours)
        status = och_restore_is_whole(copier, vfs, finished_out, err);
    /* FORMAT's name may not be durable yet. */
    if (status == OCHRE_OK && *finished_out)
        status = och_vfs_sync_dir(vfs, "", err);
    if (status == OCHRE_OK && *finished_out)
        status = och_vfs_remove(vfs, OCH_RESTORE_MARK, err);
    if (status == OCHRE_OK && *finished_out)
        status = och_vfs_sync_dir(vfs, "", err);
    och_hold_release(&hold);
    return status;
}
