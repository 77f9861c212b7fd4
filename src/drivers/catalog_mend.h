/*
 * catalog_mend.h - before each opening of the catalog: recover, look at catalog.db
 * and at its copy, and put right what one of them can tell of the other.
 *
 * Threads: one at a time.
 */
#ifndef OCH_DRIVERS_CATALOG_MEND_H
#define OCH_DRIVERS_CATALOG_MEND_H

#include <stdbool.h>

#include "base/compiler.h"
#include "drivers/catalog_copy.h"
#include "ochre/status.h"

struct och_log;

/* What to do when catalog.db is open. */
enum och_catalog_next {
    OCH_CATALOG_GO_ON,     /* the copy is in step; or there is no catalog */
    OCH_CATALOG_COPY_ANEW, /* catalog.db is right; the copy is to be made anew */
    OCH_CATALOG_ASK        /* both are whole, and differ: call och_catalog_mend_older */
};

struct och_catalog_mend {
    struct och_vfs *vfs;            /* borrowed */
    struct och_mem *mem;            /* borrowed */
    const struct och_log *log;      /* borrowed; may be NULL */
    struct och_catalog_known known; /* owned */
};

/*
 * Recover, and replace a catalog.db that is not whole by what the copy knows.  With the
 * copy in step, `copy` goes on with it.  Call och_catalog_mend_end afterwards, whatever
 * this returns.
 *
 * Errors: OCHRE_CORRUPT: both are damaged, or catalog.db is and there is no copy;
 *         OCHRE_UNSUPPORTED, OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_catalog_mend(struct och_catalog_mend *mend,
        struct och_catalog_copy *copy, enum och_catalog_next *next_out, struct ochre_error *err);

/* For who recovers catalog.db and looks no further: before that takes the journal away, cut off the
 * copy's part of the transaction that it undoes. */
OCH_MUST_CHECK ochre_status och_catalog_mend_recover(
        struct och_vfs *vfs, struct och_mem *mem, struct ochre_error *err);

/*
 * catalog.db is of `generation`, and neither what the copy says nor what it said
 * before.  *replaced_out true: it was the older one, or mixed of two, and is made anew
 * of the copy; it must not be open.  Else the copy is the older one.
 */
OCH_MUST_CHECK ochre_status och_catalog_mend_older(struct och_catalog_mend *mend,
        uint64_t generation, bool *replaced_out, struct ochre_error *err);

void och_catalog_mend_end(struct och_catalog_mend *mend);

#endif /* OCH_DRIVERS_CATALOG_MEND_H */
