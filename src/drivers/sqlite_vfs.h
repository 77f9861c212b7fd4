/*
 * sqlite_vfs.h - SQLite's files on ochre's file seam.
 *
 * Each open catalog registers a VFS of its own, under a name nobody else has,
 * and takes it away on closing: SQLite's other settings belong to the program
 * we are a guest in.  It serves two names, catalog.db and its journal.
 *
 *      SQLite ── sqlite3_vfs ── checksums (catalog_pages.h) ── struct och_vfs
 *
 * A page of catalog.db is stamped on each write and verified on each read.
 *
 * After the first failed write, sync, truncation or removal the VFS is frozen:
 * it changes nothing any more.  Thus a failed transaction leaves the files as a
 * crash would, no descriptor is synced twice after a failure, and there is one
 * way back: close the connection, och_catalog_recover, open a new one.
 *
 * Locks are nothing: the caller holds the directory, with one connection.
 *
 * Threads: one at a time, as SQLite's connection.
 */
#ifndef OCH_DRIVERS_SQLITE_VFS_H
#define OCH_DRIVERS_SQLITE_VFS_H

#include "base/compiler.h"
#include "ochre/status.h"

struct och_catalog_copy;
struct och_mem;
struct och_sqlite_vfs;
struct och_vfs;

OCH_MUST_CHECK ochre_status och_sqlite_vfs_open(struct och_mem *mem, struct och_vfs *vfs,
        struct och_sqlite_vfs **files_out, struct ochre_error *err);

/* Every connection on it is closed before.  NULL is fine. */
void och_sqlite_vfs_close(struct och_sqlite_vfs *files);

/* Write what catalog.db gets to `copy` too (borrowed; NULL: do not), before the
 * journal is cut, which commits. */
void och_sqlite_vfs_set_copy(struct och_sqlite_vfs *files, struct och_catalog_copy *copy);

/* For sqlite3_open_v2. */
const char *och_sqlite_vfs_name(const struct och_sqlite_vfs *files);

/* Change nothing from now on, until the next thaw. */
void och_sqlite_vfs_freeze(struct och_sqlite_vfs *files);

/* Serve a new connection. */
void och_sqlite_vfs_thaw(struct och_sqlite_vfs *files);

/* Forget the failure that och_sqlite_vfs_failure would tell. */
void och_sqlite_vfs_forget(struct och_sqlite_vfs *files);

/* The first failure since then, with its message, or OCHRE_OK and `err` unchanged. */
OCH_MUST_CHECK ochre_status och_sqlite_vfs_failure(
        const struct och_sqlite_vfs *files, struct ochre_error *err);

#endif /* OCH_DRIVERS_SQLITE_VFS_H */
