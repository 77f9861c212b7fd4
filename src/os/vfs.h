/*
 * vfs.h - files as a struct of functions: the seam where faults are injected.
 *
 * Everything ochre keeps goes through a struct och_vfs: the log, segments, the
 * catalog (SQLite runs on it too), backup and check.  There are two: POSIX
 * (os/vfs_posix.h) and the simulated disk of the tests (tests/sim), which can
 * crash before or after any call, lose what was not synced, tear and run full.
 *
 * Paths are relative to the root given when the vfs was made, made by ochre
 * alone (never from a client's string), with "/" between parts.
 *
 * What is durable when: a file's bytes after och_file_sync; its name, and a
 * removal or rename, after och_vfs_sync_dir of the directory it is in.
 *
 * Errors: OCHRE_NOT_FOUND (there is no such file, or no directory to hold it),
 * OCHRE_EXISTS (exclusive create; mkdir where a file is), OCHRE_FULL (no
 * space), OCHRE_NO_MEMORY, OCHRE_INVALID (a path with "..", an empty part or
 * too many bytes) and OCHRE_IO for the rest.  After a failed sync the file's un-synced bytes are
 * lost for good: never sync the same descriptor again.
 *
 * Threads: a vfs may be used by many threads; a file too, as long as two
 * threads do not write the same bytes.
 */
#ifndef OCH_OS_VFS_H
#define OCH_OS_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_file;
struct och_vfs;

enum och_open_flags {
    OCH_OPEN_READ = 1 << 0,
    OCH_OPEN_WRITE = 1 << 1,     /* and read */
    OCH_OPEN_CREATE = 1 << 2,    /* make it if it is not there */
    OCH_OPEN_EXCLUSIVE = 1 << 3, /* with CREATE: it must not be there */
};

enum { OCH_PATH_SIZE_MAX = 512 }; /* with the NUL */

struct och_file_ops {
    ochre_status (*read)(struct och_file *file, uint64_t offset, void *bytes, size_t size,
            size_t *n_read_out, struct ochre_error *err);
    ochre_status (*write)(struct och_file *file, uint64_t offset, const void *bytes, size_t size,
            struct ochre_error *err);
    ochre_status (*sync)(struct och_file *file, struct ochre_error *err);
    ochre_status (*truncate)(struct och_file *file, uint64_t size, struct ochre_error *err);
    ochre_status (*allocate)(struct och_file *file, uint64_t size, struct ochre_error *err);
    ochre_status (*size)(struct och_file *file, uint64_t *size_out, struct ochre_error *err);
    ochre_status (*map)(
            struct och_file *file, uint64_t size, const void **bytes_out, struct ochre_error *err);
    void (*unmap)(struct och_file *file, const void *bytes, uint64_t size);
    ochre_status (*lock)(struct och_file *file, struct ochre_error *err);
    /* NULL: it cannot tell. */
    bool (*identity)(struct och_file *file, uint64_t identity_out[2]);
    void (*close)(struct och_file *file);
};

struct och_file {
    const struct och_file_ops *ops;
};

struct och_vfs_ops {
    ochre_status (*open)(struct och_vfs *vfs, const char *path, unsigned flags,
            struct och_file **file_out, struct ochre_error *err);
    ochre_status (*remove)(struct och_vfs *vfs, const char *path, struct ochre_error *err);
    ochre_status (*rename)(
            struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err);
    /* NULL: it has no links. */
    ochre_status (*link)(
            struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err);
    ochre_status (*sync_dir)(struct och_vfs *vfs, const char *path, struct ochre_error *err);
    ochre_status (*mkdir)(struct och_vfs *vfs, const char *path, struct ochre_error *err);
    ochre_status (*rmdir)(struct och_vfs *vfs, const char *path, struct ochre_error *err);
    ochre_status (*list)(struct och_vfs *vfs, const char *path,
            ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
            struct ochre_error *err);
    ochre_status (*exists)(
            struct och_vfs *vfs, const char *path, bool *exists_out, struct ochre_error *err);
    ochre_status (*space_free)(struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err);
    /* NULL: it cannot tell. */
    bool (*is_named)(struct och_vfs *vfs);
};

struct och_vfs {
    const struct och_vfs_ops *ops;
};

/* Open a file.  Close it with och_file_close. */
OCH_MUST_CHECK ochre_status och_vfs_open(struct och_vfs *vfs, const char *path, unsigned flags,
        struct och_file **file_out, struct ochre_error *err);

/* Remove a file.  OCHRE_NOT_FOUND when there is none. */
OCH_MUST_CHECK ochre_status och_vfs_remove(
        struct och_vfs *vfs, const char *path, struct ochre_error *err);

/* Rename a file (a directory is refused), replacing the file at `to`.  Atomic;
 * durable after a sync of the directory of the new name. */
OCH_MUST_CHECK ochre_status och_vfs_rename(
        struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err);

/*
 * Give the file at `from` a second name, which must not be taken.  Durable after a sync
 * of the directory of the new name.  OCHRE_UNSUPPORTED: the file system cannot, or no
 * more often.
 */
OCH_MUST_CHECK ochre_status och_vfs_link(
        struct och_vfs *vfs, const char *from, const char *to, struct ochre_error *err);

/* Make the names in directory `path` ("" for the root) durable. */
OCH_MUST_CHECK ochre_status och_vfs_sync_dir(
        struct och_vfs *vfs, const char *path, struct ochre_error *err);

/* Make a directory; one that is there already is fine.  Durable after a sync of
 * the directory above. */
OCH_MUST_CHECK ochre_status och_vfs_mkdir(
        struct och_vfs *vfs, const char *path, struct ochre_error *err);

/* Remove an empty directory. */
OCH_MUST_CHECK ochre_status och_vfs_rmdir(
        struct och_vfs *vfs, const char *path, struct ochre_error *err);

/*
 * Call `visit` for each name in a directory, in byte order, without "." and
 * "..".  A visit that returns another status than OCHRE_OK ends the listing
 * with that status.
 */
OCH_MUST_CHECK ochre_status och_vfs_list(struct och_vfs *vfs, const char *path,
        ochre_status (*visit)(void *context, const char *name, bool is_dir), void *context,
        struct ochre_error *err);

OCH_MUST_CHECK ochre_status och_vfs_exists(
        struct och_vfs *vfs, const char *path, bool *exists_out, struct ochre_error *err);

/* Bytes that may still be written to the file system. */
OCH_MUST_CHECK ochre_status och_vfs_space_free(
        struct och_vfs *vfs, uint64_t *bytes_out, struct ochre_error *err);

/* Is the root what has its name now?  Who locks a file in it asks this with the lock in hand:
 * directories may change names, and what is locked then is not what was meant.  True also
 * where it cannot be told. */
bool och_vfs_is_named(struct och_vfs *vfs);

/* Read `size` bytes at `offset`; *n_read_out is less only at the end of the file. */
OCH_MUST_CHECK ochre_status och_file_read(struct och_file *file, uint64_t offset, void *bytes,
        size_t size, size_t *n_read_out, struct ochre_error *err);

/* Read exactly `size` bytes; OCHRE_CORRUPT when the file ends before. */
OCH_MUST_CHECK ochre_status och_file_read_all(
        struct och_file *file, uint64_t offset, void *bytes, size_t size, struct ochre_error *err);

/* Write all of it; a failed write may have written a part. */
OCH_MUST_CHECK ochre_status och_file_write(struct och_file *file, uint64_t offset,
        const void *bytes, size_t size, struct ochre_error *err);

/* fdatasync: the bytes, and the size if it changed, are durable. */
OCH_MUST_CHECK ochre_status och_file_sync(struct och_file *file, struct ochre_error *err);

OCH_MUST_CHECK ochre_status och_file_truncate(
        struct och_file *file, uint64_t size, struct ochre_error *err);

/*
 * Reserve space up to `size` bytes and set the size; new bytes read as zero.  A
 * file that is longer already stays as it is, and a failure leaves the size.
 */
OCH_MUST_CHECK ochre_status och_file_allocate(
        struct och_file *file, uint64_t size, struct ochre_error *err);

OCH_MUST_CHECK ochre_status och_file_size(
        struct och_file *file, uint64_t *size_out, struct ochre_error *err);

/* Which file this is: two names of one (och_vfs_link) have the same, while both are open or
 * it has a name.  False: that cannot be told. */
bool och_file_identity(struct och_file *file, uint64_t identity_out[2]);

/*
 * Is this open file what has the name `path` now?  Who locks a file that others remove
 * asks this with the lock in hand: the name may have gone to another file since it was
 * opened.  True also where it cannot be told.
 */
OCH_MUST_CHECK ochre_status och_file_is_at(struct och_file *file, struct och_vfs *vfs,
        const char *path, bool *is_out, struct ochre_error *err);

/*
 * Map the first `size` bytes read-only.  Touch a page only after it was read
 * with och_file_read and its checksum verified, so that a failing disk is an
 * answer and not a signal.  Undo with och_file_unmap before closing.
 * OCHRE_CORRUPT when the file has fewer bytes.
 */
OCH_MUST_CHECK ochre_status och_file_map(
        struct och_file *file, uint64_t size, const void **bytes_out, struct ochre_error *err);

void och_file_unmap(struct och_file *file, const void *bytes, uint64_t size);

/* Take the exclusive lock of this file, which dies with the process, without
 * waiting; OCHRE_BUSY when another holds it. */
OCH_MUST_CHECK ochre_status och_file_lock(struct och_file *file, struct ochre_error *err);

/* Close; closing NULL is fine.  Nothing is synced by closing. */
void och_file_close(struct och_file *file);

#endif /* OCH_OS_VFS_H */
