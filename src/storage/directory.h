/*
 * directory.h - a database's directory: who holds it, and which format it is.
 *
 *      LOCK        locked by the process that writes; its pid stands inside
 *      FORMAT      magic, version, the database's id
 *      catalog.db  catalog.copy  log/  REACH  seg/  tmp/
 *
 * Threads: one at a time.
 */
#ifndef OCH_STORAGE_DIRECTORY_H
#define OCH_STORAGE_DIRECTORY_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"

struct och_file;
struct och_machine;
struct och_mem;
struct och_vfs;

#define OCH_DIR_SEGMENTS "seg"
#define OCH_DIR_TMP "tmp"
#define OCH_DIR_LOCK "LOCK"
#define OCH_DIR_FORMAT "FORMAT"
#define OCH_DIR_REACH "REACH" /* the log's (wal_reach.h) */

/* Stands in a directory while a backup is restored to it (docs/formats/backup.md). */
#define OCH_DIR_RESTORING "RESTORING"

/* And while a damaged one is repaired to it. */
#define OCH_DIR_REPAIRING "REPAIRING"

struct och_directory {
    struct och_file *lock; /* owned: held until closed */
    struct och_uuid database;
    bool is_new; /* no opening has got to its end: the catalog may have to be made */
};

/*
 * Take the directory: lock it, and read or (with `create`) make its FORMAT; a damaged
 * one is then made anew of what the log's files know.  A mark that a restore or a repair
 * left beside FORMAT goes.
 *
 * Errors: OCHRE_BUSY       another process holds it; the message has its pid
 *         OCHRE_NOT_FOUND  no database here, and `create` is false
 *         OCHRE_UNSUPPORTED  a format this version does not know, or a directory
 *                          of another program (chroma.sqlite3)
 *         OCHRE_CORRUPT    FORMAT is damaged, or missing beside data
 */
OCH_MUST_CHECK ochre_status och_directory_open(struct och_vfs *vfs,
        const struct och_machine *machine, bool create, struct och_directory *directory_out,
        struct ochre_error *err);

/*
 * Look at the directory of a database, which another process may be using: nothing is
 * locked, made or changed.
 *
 * Errors: those of och_directory_open without `create`, but for OCHRE_BUSY.
 */
OCH_MUST_CHECK ochre_status och_directory_look(
        struct och_vfs *vfs, struct och_directory *directory_out, struct ochre_error *err);

/*
 * The database's id, as FORMAT has it.
 *
 * Errors: OCHRE_NOT_FOUND: there is no FORMAT; OCHRE_CORRUPT, OCHRE_UNSUPPORTED, OCHRE_IO.
 */
OCH_MUST_CHECK ochre_status och_directory_read_format(
        struct och_vfs *vfs, struct och_uuid *database_out, struct ochre_error *err);

/* Make FORMAT, of what is made in tmp/, which is there; durable when this returns. */
OCH_MUST_CHECK ochre_status och_directory_write_format(
        struct och_vfs *vfs, struct och_uuid database, struct ochre_error *err);

void och_directory_close(struct och_directory *directory);

#endif /* OCH_STORAGE_DIRECTORY_H */
