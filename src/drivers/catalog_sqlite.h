/*
 * catalog_sqlite.h - the catalog port on SQLite, in file catalog.db.
 *
 * SQLite runs on ochre's own file seam (sqlite_vfs.c), so that fault sweeps
 * cover it, and every page carries an XXH3-64 in SQLite's reserved bytes that
 * is verified on each read: SQLite itself would not notice a flipped bit.
 * Rollback journal, TRUNCATE, synchronous=FULL, no mmap, temp in memory.
 */
#ifndef OCH_DRIVERS_CATALOG_SQLITE_H
#define OCH_DRIVERS_CATALOG_SQLITE_H

#include "engine/catalog.h"

struct och_mem;
struct och_vfs;

/*
 * Open, and with `create` make, the catalog in `vfs`.  A new one holds
 * default_tenant and default_database.  Without `create` a missing file is
 * OCHRE_NOT_FOUND.  The caller holds the directory's lock.
 */
OCH_MUST_CHECK ochre_status och_catalog_sqlite_open(struct och_mem *mem, struct och_vfs *vfs,
        bool create, struct och_catalog **catalog_out, struct ochre_error *err);

/*
 * Open the catalog in `vfs` for reading, though another process may be changing it: it
 * answers from a copy (catalog_image.h), which its `follow` brings up to date.  Nothing
 * in `vfs` is changed.  Errors: those of och_catalog_image_look, too.
 */
OCH_MUST_CHECK ochre_status och_catalog_sqlite_open_beside(struct och_mem *mem, struct och_vfs *vfs,
        struct och_catalog **catalog_out, struct ochre_error *err);

#endif /* OCH_DRIVERS_CATALOG_SQLITE_H */
