/*
 * snapshot.h - what one reader sees, pinned.
 *
 * A snapshot is a view and a position.  Nothing that happens later changes what
 * it shows, and nothing it shows goes away before it is released: results may
 * point into it.  It may also be of the past, as far as that is kept (history.h).
 *
 * Threads: a snapshot belongs to one thread at a time.
 */
#ifndef OCH_ENGINE_SNAPSHOT_H
#define OCH_ENGINE_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "engine/collection.h"
#include "ochre/status.h"
#include "segment/source.h"

struct och_arena;

struct och_snapshot {
    struct och_collection *collection; /* counted: the one whose view it is, perhaps a pin */
    struct och_view *view;             /* counted */
    struct och_facts facts;
    struct och_source *sources; /* in the arena; oldest first, the head last */
    uint32_t n_sources;
    bool is_past; /* then of the facts only position and dim are those of the position */
};

/*
 * Pin what is published now, or what there was at the position *as_of: as the collection's
 * own view shows it, or one that was replaced (history.h), or else a pin (catalog.h).
 *
 * Errors: as och_collection_usable, and OCHRE_NO_MEMORY.
 *         OCHRE_STALE  *as_of is not kept any more, or was not reached yet
 *         those of loading a collection, where a pin is to show it
 * Cost:   none to speak of; a position that is not in memory is looked for in the catalog, and
 *         the first read of a pin opens its segments.
 */
OCH_MUST_CHECK ochre_status och_snapshot_take(struct och_collection *collection,
        const uint64_t *as_of, struct och_arena *arena, struct och_snapshot *snapshot_out,
        struct ochre_error *err);

/* Pin what is staged too: for the committer, who resolves deletes by filter. */
OCH_MUST_CHECK ochre_status och_snapshot_take_staged(struct och_collection *collection,
        struct och_arena *arena, struct och_snapshot *snapshot_out, struct ochre_error *err);

/* Releasing a cleared snapshot is fine. */
void och_snapshot_release(struct och_snapshot *snapshot);

/* How many records it shows.  Cost: none, or of the past a look at each row's bit. */
uint64_t och_snapshot_count(const struct och_snapshot *snapshot);

/* Find an id: *source_out is the index of its source and *row_out its row, or
 * OCH_ROW_NONE. */
OCH_MUST_CHECK ochre_status och_snapshot_find(const struct och_snapshot *snapshot,
        struct ochre_bytes id, uint32_t *source_out, uint32_t *row_out, struct ochre_error *err);

#endif /* OCH_ENGINE_SNAPSHOT_H */
