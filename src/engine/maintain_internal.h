/*
 * maintain_internal.h - what the files of engine/maintain share.
 *
 *      maintain.c           when: full heads, long logs, little memory, nobody writing
 *      maintain_seal.c      a frozen head becomes a segment
 *      maintain_merge.c     segments become one
 *      maintain_list.c      the list of segments: who may change it, in catalog and view
 *      fork.c               another collection with the same segments
 *      adopt.c              a collection of segments that were made elsewhere
 *      share.c              what the two have in common
 *      maintain_garbage.c   files that nothing lists any more: removed, held, purged
 *
 * The list of a collection's segments is changed by one at a time: whoever took
 * it.  With an executor it is taken before the committer role, and held while
 * files and catalog are written; without one it is taken by the committer.
 */
#ifndef OCH_ENGINE_MAINTAIN_INTERNAL_H
#define OCH_ENGINE_MAINTAIN_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "engine/catalog.h"
#include "engine/maintain.h"
#include "engine/merge_policy.h"
#include "ochre/status.h"
#include "segment/seal.h"
#include "segment/vector_part.h"

struct och_collection;
struct och_engine;
struct och_facts;
struct och_mem;
struct och_segment;
struct och_source;
struct och_view;

/* --- maintain_list.c -------------------------------------------------------- */

void och_maintain_take_list(struct och_collection *collection);
void och_maintain_give_list(struct och_collection *collection);

/* The view as it is now, retained.  Its segments stay the collection's while the
 * list is taken. */
struct och_view *och_maintain_view(struct och_collection *collection);

/* Are these lists of the same files? */
bool och_maintain_same_rows(
        const struct och_segment_row *a, size_t n_a, const struct och_segment_row *b, size_t n_b);

/* What the catalog says of a segment. */
struct och_segment_row och_maintain_row_of(const struct och_segment *segment);

/* Remove files that nothing lists, or leave them to the next open; an id of 0
 * names none. */
void och_maintain_remove_deletes(
        struct och_collection *collection, uint64_t segment_id, uint64_t deletes_id);
void och_maintain_remove_segment(
        struct och_collection *collection, const struct och_segment_row *row);

/* A segment that was in the view and is not any more: its files are garbage. */
void och_maintain_retire(struct och_collection *collection, const struct och_segment_row *row);

/* After the catalog has listed what the view has: the segment that it may have
 * listed before, though the view had it not, is garbage (the committer). */
void och_maintain_retire_stray(struct och_collection *collection);

/* Seal every frozen head (the committer, who has taken the list too). */
OCH_MUST_CHECK ochre_status och_maintain_seal_taken(
        struct och_collection *collection, struct ochre_error *err);

/* What a new file carries beside its rows: indexes of metadata and of vectors. */
struct och_maintain_parts {
    struct och_vector_part vector;
    struct och_seal_part parts[2];
};

/*
 * How to write a segment of what these sources see at `position`; the rows are
 * chosen with och_seal_rows.  `parts` is filled in, and stays until the file is
 * written.  `quick`: it will soon be merged, so its vectors get no graph.
 */
struct och_seal och_maintain_seal_of(struct och_collection *collection,
        const struct och_source *sources, uint32_t n_sources, uint64_t position, bool quick,
        struct och_maintain_parts *parts);

/* --- share.c ----------------------------------------------------------------- */

/* Give a file a second name; where there are no links, copy it.  The bytes are durable, the
 * name is not yet. */
OCH_MUST_CHECK ochre_status och_maintain_share(
        struct och_engine *engine, const char *from, const char *to, struct ochre_error *err);

/*
 * The transaction that was to make this collection failed, and may have happened all the
 * same: the catalog knows.  OCHRE_OK: it has; made->number is set.  Otherwise `failure`, and
 * the files below its id are garbage (the committer).
 */
OCH_MUST_CHECK ochre_status och_maintain_settle(struct och_engine *engine,
        struct och_collection_row *made, bool has_files, ochre_status failure);

/* --- maintain.c ------------------------------------------------------------- */

/* The collection that needs the oldest log record, retained, or NULL; with
 * `usable` among those that work, because the others cannot be sealed. */
struct och_collection *och_maintain_oldest(
        struct och_engine *engine, bool usable, uint64_t *lsn_out);

/* Have something run in the background, with the collection retained; false when that
 * is not possible now. */
bool och_maintain_submit(
        struct och_collection *collection, void (*run)(struct och_collection *collection));

/* The limit of an account that has less than a quarter of it left; 0: none has. */
size_t och_maintain_limit_in_sight(const struct och_mem *mem);

/* Has nobody written to it for a while? */
bool och_maintain_is_idle(const struct och_collection *collection);

/* Have the frozen heads sealed, unless someone is at it (the committer). */
void och_maintain_queue_seal(struct och_collection *collection);

/* Have segments merged, if there are such (the committer). */
void och_maintain_queue_merge(struct och_collection *collection);

/* --- maintain_merge.c ------------------------------------------------------- */

/* Are there segments to be merged (the committer)?  And has it just failed? */
bool och_maintain_wants_merge(struct och_collection *collection, enum och_merge_mode mode);
bool och_maintain_holds_off(const struct och_collection *collection);

/*
 * Merge once.  The caller has the collection's place for merging, and the
 * committer role if `committer`.  *again_out says that there may be more to do:
 * something was merged, or a damaged segment is left alone from now on.  After
 * another error it is better not tried again for a while.  After any nothing has
 * changed.
 */
OCH_MUST_CHECK ochre_status och_maintain_merge_once(struct och_collection *collection,
        enum och_merge_mode mode, bool committer, bool *again_out, struct ochre_error *err);

#endif /* OCH_ENGINE_MAINTAIN_INTERNAL_H */
