#include "api/hold.h"

#include <string.h>

#include "base/error.h"
#include "os/vfs.h"
#include "storage/directory.h"

/* Open a file, and lock it under this name. */
static ochre_status
take_named(struct och_vfs *vfs, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    bool is_ours = false;
    ochre_status status = och_vfs_open(vfs, path, flags, file_out, err);
    if (status != OCHRE_OK)
        return status;
    status = och_file_lock(*file_out, err);
    if (status == OCHRE_OK)
        status = och_file_is_at(*file_out, vfs, path, &is_ours, err);
    return status == OCHRE_OK && !is_ours ? OCHRE_BUSY : status;
}

/* The database that is here was made after this process had seen none, or the mark after
 * it: the mark is nobody's. */
static ochre_status
refuse_database(struct och_vfs *vfs, const struct och_hold_kind *kind, struct ochre_error *err)
{
    ochre_status status = och_vfs_remove(vfs, kind->mark, err);
    return status != OCHRE_OK ? status
                              : och_fail(err, OCHRE_EXISTS,
                                        "another process has just made a database in the "
                                        "directory to %s; name another",
                                        kind->verb);
}

/* The files in `hold` are the caller's to close, whatever is returned. */
static ochre_status
take_both(struct och_vfs *vfs, const struct och_hold_kind *kind, unsigned flags,
        struct och_hold *hold, struct ochre_error *err)
{
    ochre_status status = take_named(vfs, kind->mark, flags, &hold->mark, err);
    if (status == OCHRE_BUSY)
        (void) och_fail(err, OCHRE_BUSY, "another process %s this directory", kind->does);
    /* LOCK without a mark would be somebody else's directory. */
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, "", err);
    if (status == OCHRE_OK) {
        status = take_named(vfs, OCH_DIR_LOCK, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &hold->lock, err);
        if (status == OCHRE_BUSY)
            (void) och_fail(err, OCHRE_BUSY, "another process has the directory to %s", kind->verb);
    }
    return status;
}

ochre_status
och_hold_take_made(struct och_vfs *vfs, const struct och_hold_kind *kind, struct och_hold *hold_out,
        struct ochre_error *err)
{
    struct och_hold hold = {.mark = NULL};
    bool has_format = false, has_mark = false;
    *hold_out = hold;
    ochre_status status = och_vfs_exists(vfs, OCH_DIR_FORMAT, &has_format, err);
    if (status == OCHRE_OK && has_format)
        status = och_vfs_exists(vfs, kind->mark, &has_mark, err);
    if (status == OCHRE_OK && !has_mark)
        return OCHRE_NOT_FOUND;
    if (status == OCHRE_OK)
        status = take_both(vfs, kind, OCH_OPEN_WRITE, &hold, err);
    if (status == OCHRE_OK)
        status = och_vfs_exists(vfs, OCH_DIR_FORMAT, &has_format, err);
    if (status == OCHRE_OK && !has_format)
        status = OCHRE_NOT_FOUND;
    if (status == OCHRE_OK)
        *hold_out = hold;
    else
        och_hold_release(&hold);
    return status;
}

ochre_status
och_hold_take(struct och_vfs *vfs, const struct och_hold_kind *kind, bool create,
        struct och_hold *hold_out, struct ochre_error *err)
{
    struct och_hold hold = {.mark = NULL};
    bool has_format = false;
    unsigned flags = OCH_OPEN_WRITE | (create ? OCH_OPEN_CREATE : 0);
    *hold_out = hold;
    ochre_status status = take_both(vfs, kind, flags, &hold, err);
    if (status == OCHRE_OK)
        status = och_vfs_exists(vfs, OCH_DIR_FORMAT, &has_format, err);
    if (status == OCHRE_OK && has_format)
        status = refuse_database(vfs, kind, err);
    if (status == OCHRE_OK)
        *hold_out = hold;
    else
        och_hold_release(&hold);
    return status;
}

/* --- a target ---------------------------------------------------------------------- */

struct contents {
    const struct och_hold_kind *kind;
    bool has_mark, has_format, has_lock, has_other;
};

static ochre_status
visit(void *context, const char *name, bool is_dir)
{
    struct contents *contents = context;
    if (!is_dir && strcmp(name, contents->kind->mark) == 0)
        contents->has_mark = true;
    else if (!is_dir && strcmp(name, OCH_DIR_FORMAT) == 0)
        contents->has_format = true;
    else if (!is_dir && strcmp(name, OCH_DIR_LOCK) == 0)
        contents->has_lock = true;
    else
        contents->has_other = true;
    return OCHRE_OK;
}

ochre_status
och_hold_take_target(struct och_vfs *vfs, const struct och_hold_kind *kind,
        struct och_hold *hold_out, bool *has_other_out, struct ochre_error *err)
{
    struct contents contents = {.kind = kind};
    *hold_out = (struct och_hold){.mark = NULL};
    *has_other_out = false;
    ochre_status status = och_vfs_list(vfs, "", visit, &contents, err);
    if (status != OCHRE_OK)
        return status;
    bool has_any = contents.has_other || contents.has_lock;
    if (contents.has_format)
        return och_fail(err, OCHRE_EXISTS,
                "the directory to %s has a database already; name another, or move it away",
                kind->verb);
    if (has_any && !contents.has_mark)
        return och_fail(err, OCHRE_EXISTS,
                "the directory to %s is not empty; name another, or move it away", kind->verb);
    status = och_hold_take(vfs, kind, true, hold_out, err);
    if (status != OCHRE_OK)
        return status;
    /* Another one may have come and gone since that look. */
    contents = (struct contents){.kind = kind};
    status = och_vfs_list(vfs, "", visit, &contents, err);
    if (status != OCHRE_OK)
        och_hold_release(hold_out);
    *has_other_out = contents.has_other;
    return status;
}

void
och_hold_release(struct och_hold *hold)
{
    och_file_close(hold->mark);
    och_file_close(hold->lock);
    *hold = (struct och_hold){.mark = NULL};
}
