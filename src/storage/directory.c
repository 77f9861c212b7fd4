#include "storage/directory.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/vfs.h"
#include "storage/kept.h"
#include "storage/wal.h"

#define FORMAT_TMP OCH_DIR_TMP "/FORMAT"
#define FORMAT_MAJOR 1u
#define FORMAT_SIZE ((size_t) 48)

/* 0 magic 16 | 16 u32 major | 20 u32 minor | 24 uuid 16 | 40 xxh3-64 of 0..39 */
static const char format_magic[16] = "ochre directory";

ochre_status
och_directory_read_format(
        struct och_vfs *vfs, struct och_uuid *database_out, struct ochre_error *err)
{
    struct och_file *file = NULL;
    char bytes[FORMAT_SIZE];
    ochre_status status = och_vfs_open(vfs, OCH_DIR_FORMAT, OCH_OPEN_READ, &file, err);
    if (status != OCHRE_OK)
        return status;
    status = och_file_read_all(file, 0, bytes, sizeof(bytes), err);
    och_file_close(file);
    if (status != OCHRE_OK)
        return status;
    if (memcmp(bytes, format_magic, sizeof(format_magic)) != 0)
        return och_fail(err, OCHRE_CORRUPT, "FORMAT is not that of an ochre directory");
    if (och_load_u64(bytes + 40) != och_hash64(bytes, 40))
        return och_fail(err, OCHRE_CORRUPT, "FORMAT fails its checksum");
    uint32_t major = och_load_u32(bytes + 16);
    if (major != FORMAT_MAJOR)
        return och_fail(err, OCHRE_UNSUPPORTED,
                "the directory has format %u; this version of ochre reads format %u",
                (unsigned) major, FORMAT_MAJOR);
    memcpy(database_out->bytes, bytes + 24, sizeof(database_out->bytes));
    return OCHRE_OK;
}

ochre_status
och_directory_write_format(struct och_vfs *vfs, struct och_uuid database, struct ochre_error *err)
{
    char bytes[FORMAT_SIZE] = {0};
    memcpy(bytes, format_magic, sizeof(format_magic));
    och_store_u32(bytes + 16, FORMAT_MAJOR);
    memcpy(bytes + 24, database.bytes, sizeof(database.bytes));
    och_store_u64(bytes + 40, och_hash64(bytes, 40));

    struct och_file *file = NULL;
    ochre_status status =
            och_vfs_open(vfs, FORMAT_TMP, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, err);
    if (status != OCHRE_OK)
        return status;
    status = och_file_write(file, 0, bytes, sizeof(bytes), err);
    if (status == OCHRE_OK)
        status = och_file_sync(file, err);
    och_file_close(file);
    if (status == OCHRE_OK)
        status = och_vfs_rename(vfs, FORMAT_TMP, OCH_DIR_FORMAT, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(vfs, "", err);
    return status;
}

static ochre_status
make_format(struct och_vfs *vfs, const struct och_machine *machine, struct och_uuid *database_out,
        struct ochre_error *err)
{
    uint8_t random[16];
    ochre_status status = och_machine_entropy(machine, random, sizeof(random), err);
    if (status != OCHRE_OK)
        return status;
    *database_out = och_uuid_from_random(random);
    return och_directory_write_format(vfs, *database_out, err);
}

/* All that FORMAT knows, each file of the log knows too; of another format their
 * headers would be as well. */
static ochre_status
find_or_mend_format(
        struct och_vfs *vfs, bool may_mend, struct och_uuid *database_out, struct ochre_error *err)
{
    ochre_status status = och_directory_read_format(vfs, database_out, err);
    if (status != OCHRE_CORRUPT || !may_mend || !och_wal_find_database(vfs, database_out))
        return status;
    return och_directory_write_format(vfs, *database_out, err);
}

/* A restore that failed removes LOCK; who had opened it before has the lock of nothing. */
static ochre_status
check_lock(struct och_vfs *vfs, struct och_file *file, struct ochre_error *err)
{
    bool is_ours = false;
    ochre_status status = och_file_is_at(file, vfs, OCH_DIR_LOCK, &is_ours, err);
    if (status == OCHRE_OK && !is_ours)
        return och_fail(err, OCHRE_BUSY, "another process has just removed the directory's LOCK");
    /* A repair lets two directories change names. */
    if (status == OCHRE_OK && !och_vfs_is_named(vfs))
        return och_fail(err, OCHRE_BUSY,
                "another process has just put another directory in the place of this one; try again");
    return status;
}

static ochre_status
take_lock(struct och_vfs *vfs, const struct och_machine *machine, bool create,
        struct och_file **lock_out, struct ochre_error *err)
{
    struct och_file *file = NULL;
    char text[128] = {0};
    size_t n_read = 0;
    int length = 0;
    unsigned flags = OCH_OPEN_WRITE | (create ? OCH_OPEN_CREATE : 0);
    ochre_status status = och_vfs_open(vfs, OCH_DIR_LOCK, flags, &file, err);
    if (status != OCHRE_OK)
        return status;
    status = och_file_lock(file, err);
    if (status == OCHRE_BUSY) {
        ochre_status read = och_file_read(file, 0, text, sizeof(text) - 1, &n_read, NULL);
        text[read == OCHRE_OK ? strcspn(text, "\n") : 0] = '\0';
        (void) och_fail(err, OCHRE_BUSY,
                "the directory is in use by %s; stop that process, or talk to it over HTTP",
                text[0] != '\0' ? text : "another process");
        goto done;
    }
    if (status == OCHRE_OK)
        status = check_lock(vfs, file, err);
    if (status != OCHRE_OK)
        goto done;
    /* For people only: the lock itself is what counts. */
    length = snprintf(text, sizeof(text), "pid %lu, since unix time %llu\n", och_process_id(),
            (unsigned long long) (och_machine_wall_ns(machine) / 1000000000u));
    status = och_file_truncate(file, 0, err);
    if (status == OCHRE_OK)
        status = och_file_write(file, 0, text, (size_t) length, err);
    if (status != OCHRE_OK)
        goto done;
    *lock_out = file;
    file = NULL;

done:
    och_file_close(file);
    return status;
}

/* No FORMAT: is this directory ours to begin? */
static ochre_status
check_vacant(struct och_vfs *vfs, struct ochre_error *err)
{
    bool there;
    ochre_status status = och_vfs_exists(vfs, "chroma.sqlite3", &there, err);
    if (status == OCHRE_OK && there)
        return och_fail(err, OCHRE_UNSUPPORTED,
                "the directory holds a Chroma database (chroma.sqlite3); ochre would not read "
                "it: choose another directory and load the data through the API");
    if (status == OCHRE_OK)
        status = och_vfs_exists(vfs, "catalog.db", &there, err);
    if (status == OCHRE_OK && there)
        return och_fail(err, OCHRE_CORRUPT, "the directory holds a catalog but no FORMAT file");
    return status;
}

/* A catalog that vanished must not be begun anew beside the data it listed. */
static ochre_status
note_data(void *context, const char *name, bool is_dir)
{
    (void) name;
    (void) is_dir;
    *(bool *) context = true;
    return OCHRE_OK;
}

/* The log's directory is made, durably, when the catalog is complete: without it
 * the database was never opened to its end, and what there is of a catalog may
 * be completed. */
static ochre_status
check_complete(struct och_vfs *vfs, bool *is_new_out, struct ochre_error *err)
{
    static const char *const dirs[] = {"log", OCH_DIR_SEGMENTS};
    bool has_catalog;
    bool has_log = false;
    ochre_status status = och_vfs_exists(vfs, "catalog.db", &has_catalog, err);
    if (status == OCHRE_OK)
        status = och_vfs_exists(vfs, dirs[0], &has_log, err);
    if (status != OCHRE_OK)
        return status;
    *is_new_out = !has_catalog || !has_log;
    if (has_catalog)
        return OCHRE_OK;
    /* What is missing is in the copy. */
    status = och_vfs_exists(vfs, "catalog.copy", &has_catalog, err);
    if (status != OCHRE_OK || (has_catalog && has_log)) {
        *is_new_out = false;
        return status;
    }
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        bool has_data = false;
        status = och_vfs_list(vfs, dirs[i], note_data, &has_data, err);
        if (status == OCHRE_NOT_FOUND)
            status = OCHRE_OK;
        if (status != OCHRE_OK)
            return status;
        if (has_data)
            return och_fail(err, OCHRE_CORRUPT,
                    "catalog.db is missing beside data in %s/; run `ochre check`, and restore a backup",
                    dirs[i]);
    }
    return OCHRE_OK;
}

/* Beside FORMAT they say nothing.  Nobody restores here, or repairs: LOCK is ours. */
static ochre_status
remove_marks(struct och_vfs *vfs, struct ochre_error *err)
{
    static const char *const marks[] = {OCH_DIR_RESTORING, OCH_DIR_REPAIRING};
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]) && status == OCHRE_OK; i++) {
        bool there = false;
        status = och_vfs_exists(vfs, marks[i], &there, err);
        if (status == OCHRE_OK && there)
            status = och_vfs_remove(vfs, marks[i], err);
    }
    return status;
}

ochre_status
och_directory_open(struct och_vfs *vfs, const struct och_machine *machine, bool create,
        struct och_directory *directory_out, struct ochre_error *err)
{
    *directory_out = (struct och_directory){.lock = NULL};
    struct och_directory directory = {.lock = NULL};
    bool has_format;
    ochre_status status = och_vfs_exists(vfs, OCH_DIR_FORMAT, &has_format, err);
    if (status == OCHRE_OK && !has_format)
        status = check_vacant(vfs, err);
    if (status != OCHRE_OK)
        return status;
    if (!has_format && !create)
        return och_fail(err, OCHRE_NOT_FOUND, "no ochre database here (no FORMAT file)");
    /* Another version's directory stays as it is, to the text in LOCK. */
    if (has_format && och_directory_read_format(vfs, &directory.database, err) == OCHRE_UNSUPPORTED)
        return OCHRE_UNSUPPORTED;

    status = take_lock(vfs, machine, create, &directory.lock, err);
    /* What a crash kept from being put back comes first. */
    if (status == OCHRE_OK)
        status = och_kept_recover(vfs, err);
    /* Only now is what is found here what will be here: another process may have
     * made the database, and closed it, since the first look. */
    if (status == OCHRE_OK)
        status = och_vfs_exists(vfs, OCH_DIR_FORMAT, &has_format, err);
    if (status == OCHRE_OK && !has_format)
        status = check_vacant(vfs, err);
    if (status == OCHRE_OK)
        status = check_complete(vfs, &directory.is_new, err);
    if (status == OCHRE_OK)
        status = och_vfs_mkdir(vfs, OCH_DIR_TMP, err);
    if (status == OCHRE_OK)
        status = och_vfs_mkdir(vfs, OCH_DIR_SEGMENTS, err);
    if (status == OCHRE_OK)
        status = has_format ? find_or_mend_format(vfs, create, &directory.database, err)
                            : make_format(vfs, machine, &directory.database, err);
    if (status == OCHRE_OK)
        status = remove_marks(vfs, err);
    if (status != OCHRE_OK) {
        och_file_close(directory.lock);
        return status;
    }
    *directory_out = directory;
    return OCHRE_OK;
}

/* While files are put back, they do not belong together. */
static ochre_status
check_settled(struct och_vfs *vfs, struct ochre_error *err)
{
    enum och_kept_state state = OCH_KEPT_NONE;
    ochre_status status = och_kept_look(vfs, &state, err);
    if (status == OCHRE_OK && state == OCH_KEPT_REVERTING)
        return och_fail(err, OCHRE_UNAVAILABLE,
                "an upgrade is being undone; where that was interrupted, whoever opens the "
                "directory for writing completes it");
    return status;
}

ochre_status
och_directory_look(
        struct och_vfs *vfs, struct och_directory *directory_out, struct ochre_error *err)
{
    *directory_out = (struct och_directory){.lock = NULL};
    bool has_format;
    ochre_status status = och_vfs_exists(vfs, OCH_DIR_FORMAT, &has_format, err);
    if (status == OCHRE_OK && !has_format)
        status = check_vacant(vfs, err);
    if (status == OCHRE_OK && !has_format)
        status = och_fail(err, OCHRE_NOT_FOUND, "no ochre database here (no FORMAT file)");
    if (status == OCHRE_OK)
        status = check_settled(vfs, err);
    if (status == OCHRE_OK)
        status = check_complete(vfs, &directory_out->is_new, err);
    if (status == OCHRE_OK && directory_out->is_new)
        status = och_fail(err, OCHRE_NOT_FOUND, "the database here was never opened for writing");
    return status == OCHRE_OK ? och_directory_read_format(vfs, &directory_out->database, err)
                              : status;
}

void
och_directory_close(struct och_directory *directory)
{
    och_file_close(directory->lock);
    directory->lock = NULL;
}
