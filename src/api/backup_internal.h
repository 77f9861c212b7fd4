/*
 * backup_internal.h - what backing up and restoring share: files read in blocks.
 *
 * Threads: one at a time.
 */
#ifndef OCH_API_BACKUP_INTERNAL_H
#define OCH_API_BACKUP_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "api/backup.h"
#include "os/vfs.h"
#include "storage/backup_manifest.h"

struct och_directory;

#define OCH_BACKUP_LOCK "LOCK"
#define OCH_BACKUP_MANIFEST "BACKUP"
#define OCH_BACKUP_FILES "files"

struct och_copier {
    const struct och_backup_options *options; /* borrowed */
    char *block;                              /* owned: OCH_BACKUP_BLOCK_SIZE bytes */
    uint64_t done, total;                     /* bytes, for the progress */
    struct och_backup_totals totals;
    struct och_backup_manifest manifest; /* of the backup that is made or read */
};

OCH_MUST_CHECK ochre_status och_copier_open(struct och_copier *copier,
        const struct och_backup_options *options, struct ochre_error *err);
void och_copier_close(struct och_copier *copier);

/* So many bytes more were read. */
void och_copier_advance(struct och_copier *copier, size_t size);

/* Size and hash of a file's bytes as they are now. */
OCH_MUST_CHECK ochre_status och_copier_hash(struct och_copier *copier, struct och_vfs *vfs,
        const char *path, struct och_backup_member *member_out, struct ochre_error *err);

/*
 * Check the database in `from`, which `directory` holds, and list its files in the
 * manifest, with their sizes and hashes.
 *
 * Errors: OCHRE_CORRUPT  it is damaged; and those of checking and listing
 */
OCH_MUST_CHECK ochre_status och_copier_list_source(struct och_copier *copier, struct och_vfs *from,
        const struct och_directory *directory, struct ochre_error *err);

/* The file at `path` has a member's bytes.  OCHRE_CORRUPT, naming both, when not. */
OCH_MUST_CHECK ochre_status och_copier_verify_at(struct och_copier *copier, struct och_vfs *vfs,
        const char *path, const struct och_backup_member *member, struct ochre_error *err);

/* A member of a backup is there, and whole.  OCHRE_CORRUPT, naming it, when not. */
OCH_MUST_CHECK ochre_status och_copier_verify(struct och_copier *copier, struct och_vfs *backup,
        const struct och_backup_member *member, struct ochre_error *err);

struct och_copy {
    struct och_vfs *from, *to;
    const char *path_from, *path_to;
    struct och_file *open; /* borrowed; not NULL: read it instead of the file at path_from */
    const struct och_backup_member *member; /* what the bytes must be */
};

/* Copy and sync; the name is not durable yet.  OCHRE_CORRUPT when the bytes read are
 * not the member's. */
OCH_MUST_CHECK ochre_status och_copier_copy(
        struct och_copier *copier, const struct och_copy *copy, struct ochre_error *err);

/* Read BACKUP.  OCHRE_NOT_FOUND when there is none. */
OCH_MUST_CHECK ochre_status och_copier_read_manifest(struct och_copier *copier,
        struct och_vfs *backup, struct och_backup_manifest *manifest, struct ochre_error *err);

/* The manifest that was read has what every database has; count it.  OCHRE_CORRUPT. */
OCH_MUST_CHECK ochre_status och_copier_take_manifest(
        struct och_copier *copier, struct ochre_error *err);

/* Read BACKUP and all that it names. */
OCH_MUST_CHECK ochre_status och_copier_verify_all(
        struct och_copier *copier, struct och_vfs *backup, struct ochre_error *err);

#endif /* OCH_API_BACKUP_INTERNAL_H */
