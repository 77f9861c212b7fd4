/*
 * maintain.h - what happens to data after it is safe: heads are frozen and
 * sealed, segments merged, the log trimmed, files that nothing lists removed.
 *
 *      head full ──freeze──► frozen head ──seal──► segment file
 *                                             └──► catalog: segment + position
 *                                                   └──► view: segment for head
 *                                                         └──► log trimmed
 *      many segments ──merge──► one, likewise, but for the log
 *
 * Freezing and the change of view are the committer's; writing files is done in
 * the background, beside reads and writes.  Without an executor everything
 * happens where it arises, which is what makes simulations deterministic.
 */
#ifndef OCH_ENGINE_MAINTAIN_H
#define OCH_ENGINE_MAINTAIN_H

#include <stdbool.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "engine/merge_policy.h"
#include "ochre/status.h"

struct och_collection;
struct och_engine;
struct och_garbage;
struct och_view;

/* May a write to this collection go on, or is too much waiting to be sealed?  Too
 * much is four heads, or one when less than a quarter of the memory is left.
 * Waits while sealing makes progress; OCHRE_UNAVAILABLE when it does not and four
 * heads wait, OCHRE_FULL when that is for lack of space. */
OCH_MUST_CHECK ochre_status och_maintain_admit(
        struct och_collection *collection, struct ochre_error *err);

/* Set up for an engine that opens; wait for what runs, and begin nothing more. */
void och_maintain_begin(struct och_engine *engine);
void och_maintain_stop(struct och_engine *engine);

/* Somebody wrote to it, or has just loaded it: when nobody does any more, it is
 * time for what takes long.  While the log is read at open nothing happens. */
void och_maintain_wrote(struct och_collection *collection);

/* Somebody read what these segments hold: where that showed that what one derives
 * from its rows is damaged, it is written anew when nobody writes. */
void och_maintain_read(struct och_collection *collection, const struct och_view *view);

/* After writes to a collection (the committer): freeze its head when it is full
 * and have it sealed; prepare the next log file. */
void och_maintain_collection(struct och_collection *collection);
void och_maintain_log(struct och_engine *engine);

/* When less than a quarter is left of what memory may be used: have the largest
 * head sealed, while there is room for doing it (the committer). */
void och_maintain_memory(struct och_engine *engine);

/* While recovering: freeze a full head, to be sealed when the log is open. */
void och_maintain_recovered(struct och_collection *collection);

/* Freeze now, if there is anything since the last freeze (the committer). */
OCH_MUST_CHECK ochre_status och_maintain_freeze(
        struct och_collection *collection, struct ochre_error *err);

/* Seal every frozen head of the collection, oldest first.  With `committer` the
 * caller has that role already. */
OCH_MUST_CHECK ochre_status och_maintain_seal(
        struct och_collection *collection, bool committer, struct ochre_error *err);

/* Seal the head, and merge into as few segments as there can be, without dead
 * rows (OCH_MERGE_ALL), or only write those anew that have dead rows (OCH_MERGE_DEAD).
 * Not for the committer. */
OCH_MUST_CHECK ochre_status och_maintain_compact(
        struct och_collection *collection, enum och_merge_mode mode, struct ochre_error *err);

/* A file that nothing lists any more, a directory with files in it, or a dropped
 * collection's directory. */
void och_maintain_add_garbage(struct och_engine *engine, const char *path);
void och_maintain_add_garbage_dir(struct och_engine *engine, const char *path);
void och_maintain_add_garbage_collection(struct och_engine *engine, struct och_uuid id);

/* Note the catalog's generation in the log, remove garbage, trim the log (the
 * committer).  What fails is tried again later. */
OCH_MUST_CHECK ochre_status och_maintain_collect(
        struct och_engine *engine, struct ochre_error *err);

/* At open: remove files under tmp/ and seg/ that the catalog does not list. */
OCH_MUST_CHECK ochre_status och_maintain_sweep(struct och_engine *engine, struct ochre_error *err);

void och_maintain_clear_garbage(struct och_engine *engine);

/* Wait until no background work but merging runs or is queued. */
void och_maintain_drain(struct och_engine *engine);

#endif /* OCH_ENGINE_MAINTAIN_H */
