/*
 * vfs_memory.h - a few files in memory, as a struct och_vfs.
 *
 * For code that works on files but must not touch those it was given: it gets a
 * copy.  A flat list of names; directories are not kept apart, and syncing does
 * nothing.
 *
 * Threads: one at a time; a file is not opened by two who write.
 */
#ifndef OCH_OS_VFS_MEMORY_H
#define OCH_OS_VFS_MEMORY_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "os/vfs.h"

struct och_mem;

enum { OCH_MEMORY_FILES_MAX = 8, OCH_MEMORY_NAME_SIZE = 32 };

struct och_memory_bytes {
    char name[OCH_MEMORY_NAME_SIZE]; /* "": nothing was ever here */
    struct och_buf bytes;            /* owned */
    bool is_there;
};

struct och_vfs_memory {
    struct och_vfs vfs; /* first: the vfs's pointer is ours */
    struct och_mem *mem;
    struct och_memory_bytes files[OCH_MEMORY_FILES_MAX];
};

/* No files.  It is not moved afterwards. */
void och_vfs_memory_init(struct och_vfs_memory *memory, struct och_mem *mem);

/* No file of it is open. */
void och_vfs_memory_clear(struct och_vfs_memory *memory);

/* Let place `i` be that of a file of this name, which is not there yet. */
void och_vfs_memory_name(struct och_vfs_memory *memory, unsigned i, const char *name);

/*
 * Take over a file of `from`, as it is now, under its name.
 *
 * Errors: OCHRE_NOT_FOUND, OCHRE_IO, OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_vfs_memory_copy(struct och_vfs_memory *memory, struct och_vfs *from,
        const char *name, struct ochre_error *err);

#endif /* OCH_OS_VFS_MEMORY_H */
