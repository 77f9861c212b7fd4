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

/*
 * Give a directory that was put together under the name `from` its own, durably.  What
 * is in it is durable already, and nobody has it open.
 *
 * Errors: OCHRE_EXISTS  something is at `to`, other than an empty directory
 *         OCHRE_IO      also when `to` is another file system's
 */
OCH_MUST_CHECK ochre_status och_vfs_posix_name(
        const char *from, const char *to, struct ochre_error *err);

/* Remove the directory `root` if it is empty. */
void och_vfs_posix_forget(const char *root);

#endif /* OCH_OS_VFS_POSIX_H */
