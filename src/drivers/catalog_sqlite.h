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

struct och_log;
struct och_mem;
struct och_vfs;

struct och_catalog_sqlite_options {
    struct och_mem *mem;       /* borrowed */
    struct och_vfs *vfs;       /* borrowed */
    const struct och_log *log; /* borrowed; NULL: silent */
    bool create;               /* make what is not there */
    bool only_reads;           /* no more than recovery: the copy is neither used nor made,
                                * and nothing may be changed */
};

/*
 * Open, and with `create` make, the catalog in `vfs`.  A new one holds
 * default_tenant and default_database.  A catalog.db that is damaged, missing or older
 * than its copy is replaced by what that knows, which is logged.
 *
 * Errors: OCHRE_NOT_FOUND: there is none, and no `create`; OCHRE_CORRUPT: damaged, and
 *         so is the copy; OCHRE_UNSUPPORTED, OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY.
 * Cost:   both files are read.
 */
OCH_MUST_CHECK ochre_status och_catalog_sqlite_open_with(
        const struct och_catalog_sqlite_options *options, struct och_catalog **catalog_out,
        struct ochre_error *err);

/*
 * catalog.copy agrees with catalog.db, as far as a crash allows.
 *
 * Errors: OCHRE_CORRUPT: it does not, or is damaged; OCHRE_NOT_FOUND: there is none;
 *         OCHRE_UNSUPPORTED, OCHRE_IO, OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_catalog_copy_verify(
        struct och_mem *mem, struct och_vfs *vfs, struct ochre_error *err);

/* The same without a log.  The caller holds the directory's lock. */
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
