#include "api/backup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/backup_internal.h"
#include "api/db.h"
#include "api/held_files.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/vfs_posix.h"
#include "storage/directory.h"

#define PART OCH_BACKUP_FILES "/part"
#define MANIFEST_PART "BACKUP.part"

struct backup {
    struct och_copier copier;
    struct och_vfs *from, *to;           /* borrowed */
    struct och_directory directory;      /* of the database */
    struct och_file *lock;               /* owned: of the backup */
    struct och_backup_manifest previous; /* what `to` was before */
    struct ochre_error *err;             /* borrowed: for visits */
};

/* --- what is there ---------------------------------------------------------- */

static ochre_status
visit_target(void *context, const char *name, bool is_dir)
{
    struct backup *backup = context;
    bool is_ours = is_dir ? strcmp(name, OCH_BACKUP_FILES) == 0
                          : strcmp(name, OCH_BACKUP_MANIFEST) == 0 ||
                    strcmp(name, MANIFEST_PART) == 0 || strcmp(name, OCH_BACKUP_LOCK) == 0;
    return is_ours ? OCHRE_OK
                   : och_fail(backup->err, OCHRE_EXISTS,
                             "the directory to write to is not a backup: it has \"%.100s\"", name);
}

/* Take the place, which is empty or a backup of this database. */
static ochre_status
take_target(struct backup *backup, struct ochre_error *err)
{
    ochre_status status = och_vfs_list(backup->to, "", visit_target, backup, err);
    if (status == OCHRE_OK)
        status = och_vfs_open(
                backup->to, OCH_BACKUP_LOCK, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &backup->lock, err);
    if (status == OCHRE_OK)
        status = och_file_lock(backup->lock, err);
    if (status == OCHRE_BUSY)
        return och_fail(err, OCHRE_BUSY, "another process is writing this backup");
    if (status != OCHRE_OK)
        return status;
    status = och_copier_read_manifest(&backup->copier, backup->to, &backup->previous, err);
    if (status == OCHRE_NOT_FOUND)
        return och_vfs_mkdir(backup->to, OCH_BACKUP_FILES, err);
    if (status != OCHRE_OK)
        return status;
    char theirs[OCH_UUID_TEXT_SIZE + 1];
    char ours[OCH_UUID_TEXT_SIZE + 1];
    och_uuid_put(backup->previous.database, theirs);
    och_uuid_put(backup->directory.database, ours);
    if (strcmp(theirs, ours) != 0)
        return och_fail(err, OCHRE_EXISTS,
                "the directory to write to is a backup of another database: %s instead of %s",
                theirs, ours);
    return OCHRE_OK;
}

/* --- copying ---------------------------------------------------------------- */

/* Below its own name when it is whole and durable, never before. */
static ochre_status
copy_member(struct backup *backup, const struct och_backup_member *member, const char *stored,
        struct ochre_error *err)
{
    struct och_copy copy = {.from = backup->from,
            .to = backup->to,
            .path_from = member->path,
            .path_to = PART,
            .member = member};
    ochre_status status = och_copier_copy(&backup->copier, &copy, err);
    if (status == OCHRE_OK)
        status = och_vfs_rename(backup->to, PART, stored, err);
    return status;
}

static ochre_status
keep_or_copy(struct backup *backup, struct och_backup_member *member, struct ochre_error *err)
{
    char stored[OCH_BACKUP_STORED_SIZE];
    bool there = false;
    och_backup_stored(member, stored);
    ochre_status status = och_vfs_exists(backup->to, stored, &there, err);
    if (status != OCHRE_OK)
        return status;
    if (there)
        status = och_copier_verify(&backup->copier, backup->to, member, err);
    if (there && status != OCHRE_CORRUPT)
        return status;
    /* A copy that went bad is made again; what was there is no loss. */
    return copy_member(backup, member, stored, err);
}

static ochre_status
write_manifest(struct backup *backup, struct ochre_error *err)
{
    struct och_file *file = NULL;
    struct och_buf buf;
    och_buf_init(&buf, backup->copier.options->mem, OCH_BACKUP_MANIFEST_SIZE_MAX);
    och_backup_manifest_encode(&backup->copier.manifest, &buf);
    ochre_status status = och_buf_status(&buf) == OCHRE_OK ? OCHRE_OK : och_fail_memory(err);
    if (status == OCHRE_OK)
        status = och_vfs_open(
                backup->to, MANIFEST_PART, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, err);
    if (status == OCHRE_OK)
        status = och_file_truncate(file, 0, err);
    if (status == OCHRE_OK)
        status = och_file_write(file, 0, buf.data, buf.size, err);
    if (status == OCHRE_OK)
        status = och_file_sync(file, err);
    och_file_close(file);
    och_buf_clear(&buf);
    if (status == OCHRE_OK)
        status = och_vfs_rename(backup->to, MANIFEST_PART, OCH_BACKUP_MANIFEST, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(backup->to, "", err);
    return status;
}

/* All files durable and read back, and then the manifest that makes them a backup. */
static ochre_status
copy_all(struct backup *backup, struct ochre_error *err)
{
    struct och_copier *copier = &backup->copier;
    struct och_backup_manifest *manifest = &copier->manifest;
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; status == OCHRE_OK && i < manifest->n_members; i++)
        status = keep_or_copy(backup, &manifest->members[i], err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(backup->to, OCH_BACKUP_FILES, err);
    copier->total = copier->done + manifest->n_bytes;
    for (size_t i = 0; status == OCHRE_OK && i < manifest->n_members; i++)
        status = och_copier_verify(copier, backup->to, &manifest->members[i], err);
    if (status == OCHRE_OK)
        status = write_manifest(backup, err);
    copier->totals.n_files = manifest->n_members;
    copier->totals.n_bytes = manifest->n_bytes;
    copier->totals.made_s = manifest->made_s;
    return status;
}

/* --- afterwards ------------------------------------------------------------- */

typedef char stored_path[OCH_BACKUP_STORED_SIZE];

static int
compare_stored(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Names of files: those the manifest has, sorted, and those it has not. */
struct garbage {
    struct och_mem *mem;
    stored_path *kept; /* owned: n_kept of them */
    size_t n_kept;
    stored_path *found; /* owned */
    size_t n_found, room;
    struct ochre_error *err;
};

static ochre_status
list_kept(struct garbage *garbage, const struct och_backup_manifest *manifest)
{
    garbage->kept = och_mem_take(garbage->mem, manifest->n_members * sizeof(stored_path));
    if (garbage->kept == NULL)
        return och_fail_memory(garbage->err);
    garbage->n_kept = manifest->n_members;
    for (size_t i = 0; i < manifest->n_members; i++)
        och_backup_stored(&manifest->members[i], garbage->kept[i]);
    qsort(garbage->kept, garbage->n_kept, sizeof(stored_path), compare_stored);
    return OCHRE_OK;
}

static ochre_status
visit_stored(void *context, const char *name, bool is_dir)
{
    static const char hex[] = "0123456789abcdef";
    struct garbage *garbage = context;
    stored_path path;
    if (is_dir || strspn(name, hex) != 16 || name[16] != '-' || strspn(name + 17, hex) != 16 ||
            name[33] != '\0')
        return OCHRE_OK; /* not ours to remove */
    (void) snprintf(path, sizeof(path), OCH_BACKUP_FILES "/%.33s", name);
    if (bsearch(path, garbage->kept, garbage->n_kept, sizeof(path), compare_stored) != NULL)
        return OCHRE_OK;
    if (garbage->n_found == garbage->room) {
        size_t room = garbage->room == 0 ? 16 : garbage->room * 2;
        stored_path *found = och_mem_resize(garbage->mem, garbage->found,
                garbage->room * sizeof(*found), room * sizeof(*found));
        if (found == NULL)
            return och_fail_memory(garbage->err);
        garbage->found = found;
        garbage->room = room;
    }
    memcpy(garbage->found[garbage->n_found++], path, sizeof(path));
    return OCHRE_OK;
}

/* What the new manifest does not name: of earlier backups, or of an interrupted one. */
static ochre_status
remove_old(struct backup *backup, struct ochre_error *err)
{
    struct garbage garbage = {.mem = backup->copier.options->mem, .err = err};
    ochre_status status = list_kept(&garbage, &backup->copier.manifest);
    if (status == OCHRE_OK)
        status = och_vfs_list(backup->to, OCH_BACKUP_FILES, visit_stored, &garbage, err);
    for (size_t i = 0; status == OCHRE_OK && i < garbage.n_found; i++)
        status = och_vfs_remove(backup->to, garbage.found[i], err);
    och_mem_release(garbage.mem, garbage.kept, garbage.n_kept * sizeof(stored_path));
    och_mem_release(garbage.mem, garbage.found, garbage.room * sizeof(stored_path));
    return status;
}

/* --- all of it -------------------------------------------------------------- */

static ochre_status
run(struct backup *backup, struct ochre_error *err)
{
    struct och_copier *copier = &backup->copier;
    const struct och_machine *machine = copier->options->machine;
    ochre_status status = och_directory_open(backup->from, machine, false, &backup->directory, err);
    if (status == OCHRE_NOT_FOUND)
        return och_fail(err, OCHRE_INVALID, "the directory is not ochre's (no FORMAT file)");
    if (status == OCHRE_OK)
        status = take_target(backup, err);
    if (status == OCHRE_OK)
        status = och_copier_list_source(copier, backup->from, &backup->directory, err);
    if (status == OCHRE_OK)
        status = copy_all(backup, err);
    if (status == OCHRE_OK)
        status = remove_old(backup, err);
    return status;
}

ochre_status
och_backup_vfs(const struct och_backup_options *options, struct och_vfs *from, struct och_vfs *to,
        struct och_backup_totals *totals_out, struct ochre_error *err)
{
    struct backup backup = {.from = from, .to = to, .err = err};
    och_backup_manifest_init(&backup.previous, options->mem);
    ochre_status status = och_copier_open(&backup.copier, options, err);
    if (status == OCHRE_OK)
        status = run(&backup, err);
    *totals_out = backup.copier.totals;
    och_directory_close(&backup.directory);
    och_file_close(backup.lock);
    och_backup_manifest_clear(&backup.previous);
    och_copier_close(&backup.copier);
    return status;
}

ochre_status
och_backup_database(const struct och_backup_options *options, struct ochre_db *db,
        struct och_vfs *to, struct och_backup_totals *totals_out, struct ochre_error *err)
{
    struct och_held_files *held = NULL;
    *totals_out = (struct och_backup_totals){.n_files = 0};
    ochre_status status = och_held_files_make(options->mem, db, &held, err);
    if (status == OCHRE_OK)
        status = och_backup_vfs(options, och_held_files_vfs(held), to, totals_out, err);
    och_held_files_release(held);
    return status;
}

ochre_status
och_backup_database_to(struct ochre_db *db, const char *to, struct och_backup_totals *totals_out,
        struct ochre_error *err)
{
    struct och_backup_options options = {
            .mem = &db->mem, .machine = db->options.machine, .stop = &db->gives_up};
    struct och_vfs *target = NULL;
    *totals_out = (struct och_backup_totals){.n_files = 0};
    ochre_status status = och_vfs_posix_open(options.mem, to, true, &target, err);
    if (status == OCHRE_OK)
        status = och_backup_database(&options, db, target, totals_out, err);
    och_vfs_posix_close(target);
    return status;
}

ochre_status
och_backup_directory(const struct och_backup_options *options, const char *from, const char *to,
        struct och_backup_totals *totals_out, struct ochre_error *err)
{
    struct och_vfs *source = NULL;
    struct och_vfs *target = NULL;
    *totals_out = (struct och_backup_totals){.n_files = 0};
    ochre_status status = och_vfs_posix_open(options->mem, from, false, &source, err);
    if (status == OCHRE_OK)
        status = och_vfs_posix_open(options->mem, to, true, &target, err);
    if (status == OCHRE_OK)
        status = och_backup_vfs(options, source, target, totals_out, err);
    och_vfs_posix_close(target);
    och_vfs_posix_close(source);
    return status;
}
