/*
 * catalog_salvage.h - the best that is left of a damaged catalog.
 *
 *      what opening it would make of its files        if that works
 *      the copy, up to its last whole group           if catalog.db cannot be used
 *
 * All of it happens to copies of the files in memory; those that were given are not
 * touched.
 *
 * Threads: one at a time.
 */
#ifndef OCH_DRIVERS_CATALOG_SALVAGE_H
#define OCH_DRIVERS_CATALOG_SALVAGE_H

#include <stdbool.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "os/vfs_memory.h"

struct och_catalog;

struct och_catalog_salvage {
    struct och_vfs_memory files; /* owned: catalog.db and its copy, as they are made */
    struct och_catalog *catalog; /* owned: on those files; what is changed, is changed there */
    bool is_mended;              /* one of the two files was damaged, and is whole again */
    bool is_earlier;             /* an earlier state: later transactions are lost */
    struct ochre_error why;      /* in either case: what was wrong with catalog.db */
};

/*
 * Open what is left.  Close it afterwards, whatever this returns; it is not moved
 * meanwhile.
 *
 * Errors: OCHRE_CORRUPT: nothing is, for the reason in the message;
 *         OCHRE_UNSUPPORTED, OCHRE_IO, OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_catalog_salvage_open(struct och_catalog_salvage *salvage,
        struct och_vfs *from, struct och_mem *mem, struct ochre_error *err);

void och_catalog_salvage_close(struct och_catalog_salvage *salvage);

#endif /* OCH_DRIVERS_CATALOG_SALVAGE_H */
