/*
 * vfs_below.h - one directory of a vfs, as a vfs of its own.
 *
 *      base          below, of "tmp/repair"
 *      tmp/repair    ""
 *      tmp/repair/x  x
 *
 * For code that works on a whole directory, where that lies in another one: it cannot name
 * what is outside.  Files are the base's own.
 *
 * Threads: as the base.
 */
#ifndef OCH_OS_VFS_BELOW_H
#define OCH_OS_VFS_BELOW_H

#include "os/vfs.h"

enum { OCH_BELOW_SIZE_MAX = 64 };

struct och_vfs_below {
    struct och_vfs vfs;           /* first: the vfs's pointer is ours */
    struct och_vfs *base;         /* borrowed */
    char dir[OCH_BELOW_SIZE_MAX]; /* of the base */
};

/* The directory `dir`, of less than OCH_BELOW_SIZE_MAX bytes, which may still have to be made
 * in the base.  It is not moved afterwards. */
void och_vfs_below_init(struct och_vfs_below *below, struct och_vfs *base, const char *dir);

#endif /* OCH_OS_VFS_BELOW_H */
