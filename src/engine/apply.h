/*
 * apply.h - the one place where a log record becomes state.
 *
 * Staging applies a write at the collection's next position: rows are appended
 * to the head, old versions marked dead.  No reader sees it, because readers
 * see positions up to `published` only.  Then either the group becomes durable
 * and the collection is published, or the writes are undone, newest first.
 *
 * The same code runs for a live write and in recovery.  It takes no clock and
 * no randomness: the same log gives the same state.
 *
 * Threads: the committer only.
 */
#ifndef OCH_ENGINE_APPLY_H
#define OCH_ENGINE_APPLY_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "engine/collection.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_mem;

/* One change, for undoing. */
struct och_change {
    struct och_place killed;     /* the row that died; none: row is OCH_ROW_NONE */
    struct och_arena_mark texts; /* where that head's texts stood before */
    struct och_head *grew;       /* the head that got a row; NULL: none did */
};

/* What one staged write changed. */
struct och_undo {
    struct och_mem *mem;
    struct och_change *changes; /* owned */
    size_t n, room;
    struct och_facts facts; /* before; keys counted */
    struct och_collection *collection;
    uint32_t n_sealed_kills;
};

/*
 * Stage a write (engine/write.h) at position staged.position + 1, which becomes
 * the new staged position.
 *
 * Errors: OCHRE_INVALID    its vectors do not have the collection's dimension
 *         OCHRE_CORRUPT    the payload is not a write, or an old row is damaged
 *         OCHRE_IO, OCHRE_NO_MEMORY
 * After an error nothing has changed.  `undo_out` is to be cleared in any case.
 */
OCH_MUST_CHECK ochre_status och_apply_stage(struct och_collection *collection,
        struct ochre_bytes payload, struct och_undo *undo_out, struct ochre_error *err);

/* Take a staged write back.  Nothing was staged in the collection after it. */
void och_apply_undo(struct och_undo *undo);

void och_apply_clear(struct och_undo *undo);

/* Let readers see what is staged.  Called for each record of a durable group, in
 * LSN order. */
void och_apply_publish(struct och_collection *collection, uint64_t lsn);

#endif /* OCH_ENGINE_APPLY_H */
