/*
 * catalog_image.h - a copy, in memory, of a catalog that another process may be
 * changing.
 *
 * The copy is what the last whole transaction left, whether or not another one is
 * under way, or was when its process was killed.  Nothing is locked, and nothing
 * waits: whether a copy is of one moment is seen after it was made, and if it is
 * not, another is made.
 *
 *      generation ── journal ── all pages, twice ── journal ── generation
 *           └───────────┴──────── the same? ──────────┴────────────┘
 *
 * docs/decisions/0017 says why that is enough.  The copy of both files is then
 * recovered by och_catalog_recover, as the files would be.
 *
 * Threads: look and take on one thread at a time; the files are used by one
 * connection, which is closed before och_catalog_image_take.
 */
#ifndef OCH_DRIVERS_CATALOG_IMAGE_H
#define OCH_DRIVERS_CATALOG_IMAGE_H

#include <stdbool.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_catalog_image;
struct och_mem;
struct och_vfs;

/* An image of the catalog in `vfs`, with nothing in it yet. */
OCH_MUST_CHECK ochre_status och_catalog_image_make(struct och_mem *mem, struct och_vfs *vfs,
        struct och_catalog_image **image_out, struct ochre_error *err);
void och_catalog_image_release(struct och_catalog_image *image); /* NULL is fine */

/*
 * Look whether the catalog is another than the one looked at last; if so, copy it,
 * to be taken later.
 *
 * Errors: OCHRE_NOT_FOUND    there is no catalog
 *         OCHRE_UNAVAILABLE  it changed each time while it was copied
 *         OCHRE_CORRUPT      the journal it needs is damaged
 *         OCHRE_IO, OCHRE_NO_MEMORY
 * Cost:   reading two pages and the beginning of the journal; reading it all, twice,
 *         if it changed.
 */
OCH_MUST_CHECK ochre_status och_catalog_image_look(
        struct och_catalog_image *image, bool *changed_out, struct ochre_error *err);

/* Show the copy that was made last.  No file of the image is open. */
void och_catalog_image_take(struct och_catalog_image *image);

/* The files: catalog.db, in memory.  Borrowed. */
struct och_vfs *och_catalog_image_vfs(struct och_catalog_image *image);

#endif /* OCH_DRIVERS_CATALOG_IMAGE_H */
