/*
 * backup_manifest.h - what a backup consists of: names, sizes and checksums.
 *
 * A backup is a directory of files named after their contents, and one manifest
 * that says which of them is which file of the database:
 *
 *      BACKUP                          the manifest, replaced as a whole
 *      files/<hash>-<size>             16 hex digits each; never changed
 *
 * Paths are in ascending byte order and of four shapes only: FORMAT, catalog.db,
 * log/<16 hex>.log and seg/<uuid>/<16 hex>[.<16 hex>].seg or .del.  Anything else,
 * from a disk or from a forger, is not a member.
 *
 * The format: docs/formats/backup.md.
 *
 * Threads: one at a time.
 */
#ifndef OCH_STORAGE_BACKUP_MANIFEST_H
#define OCH_STORAGE_BACKUP_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"

/* Of the longest path with its NUL: seg/, a UUID, two numbers, two dots and del. */
enum { OCH_BACKUP_PATH_SIZE = 80 };
/* "files/", two numbers, a hyphen and a NUL. */
enum { OCH_BACKUP_STORED_SIZE = 40 };

struct och_backup_member {
    char path[OCH_BACKUP_PATH_SIZE]; /* in the database's directory */
    uint64_t size;                   /* bytes */
    uint64_t hash;                   /* och_backup_hash of all of them */
};

struct och_backup_manifest {
    struct och_mem *mem;               /* borrowed: pays for the members */
    struct och_backup_member *members; /* owned */
    size_t n_members, room;
    uint64_t n_bytes;         /* of all members */
    uint64_t made_s;          /* Unix time */
    struct och_uuid database; /* its id, as in FORMAT */
    uint64_t hash;            /* of the bytes it was decoded from: one backup from another */
};

void och_backup_manifest_init(struct och_backup_manifest *manifest, struct och_mem *mem);
void och_backup_manifest_clear(struct och_backup_manifest *manifest);

/* May a backup have a file of this path? */
bool och_backup_is_member(const char *path);

/* Where a member's bytes are, relative to the backup. */
void och_backup_stored(const struct och_backup_member *member, char path[OCH_BACKUP_STORED_SIZE]);

/*
 * Continue the hash of a file with its next bytes: och_hash64_seeded with what
 * there was (0 to begin).  Every call but the last has OCH_BACKUP_BLOCK_SIZE bytes.
 */
uint64_t och_backup_hash(uint64_t hash, const void *bytes, size_t size);

/*
 * Add a member behind those that are there.
 *
 * Errors: OCHRE_CORRUPT    not a member's path, or not after the last one
 *         OCHRE_TOO_LARGE  more than OCH_BACKUP_MEMBERS_MAX
 *         OCHRE_NO_MEMORY
 */
OCH_MUST_CHECK ochre_status och_backup_manifest_add(struct och_backup_manifest *manifest,
        const struct och_backup_member *member, struct ochre_error *err);

/* Put the bytes of BACKUP; och_buf_status tells whether they fitted. */
void och_backup_manifest_encode(const struct och_backup_manifest *manifest, struct och_buf *buf);

/*
 * Read them into an empty manifest, which must be cleared either way.
 *
 * Errors: OCHRE_CORRUPT  not whole; OCHRE_UNSUPPORTED  another version's;
 *         OCHRE_NO_MEMORY
 */
OCH_MUST_CHECK ochre_status och_backup_manifest_decode(struct och_backup_manifest *manifest,
        const void *bytes, size_t size, struct ochre_error *err);

#endif /* OCH_STORAGE_BACKUP_MANIFEST_H */
