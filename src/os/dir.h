/*
 * dir.h - whole directories by their paths: what a struct och_vfs, which lives in one,
 * cannot do.
 *
 * Threads: any.
 */
#ifndef OCH_OS_DIR_H
#define OCH_OS_DIR_H

#include "base/compiler.h"
#include "ochre/status.h"

/*
 * Let two directories change names, in one step, and make that durable.
 *
 * Errors: OCHRE_UNSUPPORTED: the system or the file system cannot; OCHRE_NOT_FOUND,
 *         OCHRE_IO: nothing was done, unless it was the sync that failed.
 */
OCH_MUST_CHECK ochre_status och_dir_exchange(
        const char *one, const char *other, struct ochre_error *err);

/*
 * Can it change names with another one beside it?  A mount point cannot.
 *
 * Errors: OCHRE_UNSUPPORTED: no; OCHRE_NOT_FOUND, OCHRE_IO.
 */
OCH_MUST_CHECK ochre_status och_dir_check_exchange(const char *path, struct ochre_error *err);

/*
 * Rename a directory, within one file system, and make that durable.
 *
 * Errors: OCHRE_EXISTS: there is something at `to`; OCHRE_NOT_FOUND, OCHRE_IO.
 */
OCH_MUST_CHECK ochre_status och_dir_move(const char *from, const char *to, struct ochre_error *err);

#endif /* OCH_OS_DIR_H */
