#include <stdio.h>
#include <string.h>

#include "api/backup_internal.h"
#include "api/check.h"
#include "base/error.h"
#include "os/clock.h"
#include "storage/directory.h"

/* What is listed, where it is at. */
struct source {
    struct och_copier *copier;
    struct och_vfs *vfs;
    struct och_backup_member wanted; /* the path that is being put together */
    char dir[OCH_BACKUP_PATH_SIZE];  /* ... and where that is */
    struct ochre_error *err;         /* borrowed: for visits */
};

/* --- is it worth it? -------------------------------------------------------- */

static void
note_damage(void *context, const struct och_check_finding *finding)
{
    struct ochre_error *first = context;
    if (finding->kind == OCH_CHECK_DAMAGE && first->status == OCHRE_OK)
        (void) och_fail(first, OCHRE_CORRUPT, "%.120s: %.300s", finding->path, finding->message);
}

/* A copy of damage would replace an earlier one without it. */
static ochre_status
check_source(const struct source *source, const struct och_directory *directory, bool is_head,
        struct ochre_error *err)
{
    struct ochre_error first = {.status = OCHRE_OK};
    const struct och_backup_options *how = source->copier->options;
    struct och_check_options options = {.report = note_damage, .context = &first, .mem = how->mem};
    ochre_status status = is_head
            ? och_check_head(source->vfs, how->machine, directory, &options, NULL, err)
            : och_check_held(source->vfs, how->machine, directory, &options, NULL, err);
    if (status == OCHRE_CORRUPT && first.status == OCHRE_CORRUPT)
        return och_fail(err, OCHRE_CORRUPT, "the database is damaged, and was not copied: %s",
                first.message);
    return status;
}

/* --- what there is ---------------------------------------------------------- */

static ochre_status
add_path(struct source *source, struct ochre_error *err)
{
    /* What else lies there (names that ochre does not give) is not the database. */
    if (!och_backup_is_member(source->wanted.path))
        return OCHRE_OK;
    return och_backup_manifest_add(&source->copier->manifest, &source->wanted, err);
}

/* False: too long to be a member's path, or to have one below it. */
static bool
join(const char *dir, const char *name, char path[OCH_BACKUP_PATH_SIZE])
{
    int size = snprintf(path, OCH_BACKUP_PATH_SIZE, "%s/%s", dir, name);
    return size > 0 && size < OCH_BACKUP_PATH_SIZE;
}

static ochre_status
visit_source(void *context, const char *name, bool is_dir)
{
    struct source *source = context;
    if (is_dir || !join(source->dir, name, source->wanted.path))
        return OCHRE_OK;
    return add_path(source, source->err);
}

static ochre_status
list_dir(struct source *source, const char *dir, struct ochre_error *err)
{
    (void) snprintf(source->dir, sizeof(source->dir), "%s", dir);
    ochre_status status = och_vfs_list(source->vfs, dir, visit_source, source, err);
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

static ochre_status
visit_collection(void *context, const char *name, bool is_dir)
{
    struct source *source = context;
    char dir[OCH_BACKUP_PATH_SIZE];
    if (!is_dir || !join(OCH_DIR_SEGMENTS, name, dir))
        return OCHRE_OK;
    return list_dir(source, dir, source->err);
}

static ochre_status
list_source(struct source *source, struct ochre_error *err)
{
    static const char *const roots[] = {"FORMAT", "catalog.db"};
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; status == OCHRE_OK && i < sizeof(roots) / sizeof(roots[0]); i++) {
        (void) snprintf(source->wanted.path, sizeof(source->wanted.path), "%s", roots[i]);
        status = add_path(source, err);
    }
    if (status == OCHRE_OK)
        status = list_dir(source, "log", err);
    if (status == OCHRE_OK)
        status = och_vfs_list(source->vfs, OCH_DIR_SEGMENTS, visit_collection, source, err);
    return status;
}

static ochre_status
hash_members(struct source *source, struct ochre_error *err)
{
    struct och_backup_manifest *manifest = &source->copier->manifest;
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < manifest->n_members && status == OCHRE_OK; i++) {
        struct och_backup_member *member = &manifest->members[i];
        status = och_copier_hash(source->copier, source->vfs, member->path, member, err);
        manifest->n_bytes += member->size;
    }
    return status;
}

ochre_status
och_copier_list_source(struct och_copier *copier, struct och_vfs *from,
        const struct och_directory *directory, struct ochre_error *err)
{
    struct source source = {.copier = copier, .vfs = from, .err = err};
    struct ochre_error why = {.status = OCHRE_OK};
    /* The catalog's first opening completes what a crash interrupted. */
    ochre_status status = check_source(&source, directory, true, err);
    copier->manifest.database = directory->database;
    copier->manifest.made_s = och_machine_wall_ns(copier->options->machine) / 1000000000u;
    if (status == OCHRE_OK)
        status = list_source(&source, err);
    if (status != OCHRE_OK)
        return status;
    /* What is damaged before it is hashed the check sees, and what is later the copy. */
    ochre_status hashed = hash_members(&source, &why);
    status = check_source(&source, directory, false, err);
    if (status == OCHRE_OK && hashed != OCHRE_OK && err != NULL)
        *err = why;
    return status == OCHRE_OK ? hashed : status;
}
