/*
 * vfs_posix.h - the real file system.
 */
#ifndef OCH_OS_VFS_POSIX_H
#define OCH_OS_VFS_POSIX_H

#include "os/vfs.h"

struct och_mem;

/*
 * A vfs rooted at directory `root`, which is made (mode 0700) when it is not
 * there.  Files are opened relative to the root's descriptor, without following
 * links.  Close with och_vfs_posix_close.
 */
OCH_MUST_CHECK ochre_status och_vfs_posix_open(struct och_mem *mem, const char *root, bool create,
        struct och_vfs **vfs_out, struct ochre_error *err);

void och_vfs_posix_close(struct och_vfs *vfs);

#endif /* OCH_OS_VFS_POSIX_H */
