/*
 * held_files.h - the files of a database in use, as they were at one moment.
 *
 * Segments and delete files never change, so they are read where they lie, and the
 * engine keeps them there; or, where another process has the database, they stay open.  The catalog is copied at that moment; the log is read as
 * far as it went then.
 *
 *      catalog.db   a copy in memory
 *      log/...      the files there were, as far as they held records
 *      REACH        in memory: where they begin and end, so that damage to the newest records
 *                   does not pass for a log that ended before them
 *      seg/...      the files that this catalog lists
 *
 * What reads a directory that nobody uses (check, backup) reads these files as well:
 * they come as a struct och_vfs.  Whatever would change one is refused, but for LOCK,
 * which stands for the database's own.
 *
 * Threads: make and release on one thread; the files: as any vfs.
 */
#ifndef OCH_API_HELD_FILES_H
#define OCH_API_HELD_FILES_H

#include "base/compiler.h"
#include "ochre/status.h"

struct och_directory;
struct och_held_files;
struct och_mem;
struct och_vfs;
struct ochre_db;

/*
 * Hold the files of `db` as they are now: all that is acknowledged, and nothing that
 * is not.  Reads and writes go on; files that are not needed any more stay until the
 * release.  At most one at a time is needed; any number is possible.
 *
 * Errors: OCHRE_IO, OCHRE_CORRUPT, OCHRE_NO_MEMORY
 * Cost:   writers wait while the catalog is read.
 */
OCH_MUST_CHECK ochre_status och_held_files_make(struct och_mem *mem, struct ochre_db *db,
        struct och_held_files **held_out, struct ochre_error *err);

/*
 * The same of the database in `vfs`, which another process has: its files stay because
 * they are open.  *directory_out says whose they are.
 *
 * Errors: those of och_directory_look and of opening a catalog and a log that another
 *         process writes; OCHRE_UNAVAILABLE: they went away each time; OCHRE_IO: also
 *         when there are more files than this process may have open
 * Cost:   nobody waits for it.
 */
OCH_MUST_CHECK ochre_status och_held_files_make_beside(struct och_mem *mem, struct och_vfs *vfs,
        struct och_directory *directory_out, struct och_held_files **held_out,
        struct ochre_error *err);

/* No file of it may be open.  NULL is fine. */
void och_held_files_release(struct och_held_files *held);

/* Borrowed. */
struct och_vfs *och_held_files_vfs(struct och_held_files *held);

#endif /* OCH_API_HELD_FILES_H */
