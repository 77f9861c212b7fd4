/*
 * history.h - what collections were: views that others have replaced, kept for a while.
 *
 * The view a collection has now shows it at every position from the one that its segments
 * stand for on (struct och_view).  When a head is sealed that position moves up, and what
 * lies before it could only be seen in the old view.  That is kept here:
 *
 *      entry            entry            the collection's view
 *      [first, end) ──► [first, end) ──► [position, now]           position ──►
 *      segments,        segments,
 *      the sealed head  the sealed head
 *
 * An entry holds the segments and the head as they are: which rows a position sees, their
 * positions of birth and death say.  So a read of the past is an ordinary read of another
 * view (snapshot.h), and exact.
 *
 * Kept is the past of a number of seconds, while it takes no more than so much memory (the
 * heads) and so much of the disk (files of segments that merges have replaced); the oldest
 * goes first.  Where somebody pages through a position, its entry stays, beside these bounds: a
 * lease, renewed by each page.  When memory or the disk is short, everything goes.  Nothing of it
 * is durable.
 *
 * docs/decisions/0024 has the reasoning.
 *
 * Threads: any; the lock is held for no longer than it takes to walk the entries.
 */
#ifndef OCH_ENGINE_HISTORY_H
#define OCH_ENGINE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "os/thread.h"

struct och_machine;
struct och_mem;
struct och_segment;
struct och_view;

/* So many views, and positions that somebody pages through: what is looked through is short. */
enum { OCH_HISTORY_ENTRIES = 128, OCH_HISTORY_LEASES = 16 };

/* What keeping takes: bytes that are there for an entry alone, and for older ones. */
struct och_history_load {
    uint64_t n_entries, memory, disk;
};

struct och_history_entry {
    struct och_history_entry *next; /* the next newer one, of whatever collection */
    struct och_uuid collection;
    struct och_view *view; /* owned, without what later positions alone see */
    uint64_t first, end;   /* it shows the positions from first to end - 1 */
    uint64_t replaced_ns;  /* when, by the machine's clock that never goes back */
    struct och_history_load load;
};

/* A position that somebody pages through. */
struct och_history_lease {
    struct och_uuid collection;
    uint64_t position;
    uint64_t used_ns; /* 0: nobody's */
};

struct och_history {
    struct och_mem *mem;               /* borrowed */
    const struct och_machine *machine; /* borrowed */
    uint64_t retain_ns;
    uint64_t memory_min, memory_max, disk_max; /* memory: a share of all, within these */
    struct och_mutex lock;
    struct och_history_entry *oldest OCH_GUARDED_BY(lock);
    struct och_history_entry *newest OCH_GUARDED_BY(lock);
    struct och_history_load load OCH_GUARDED_BY(lock); /* of all */
    struct och_history_lease leases[OCH_HISTORY_LEASES] OCH_GUARDED_BY(lock);
};

/* Set up: `retain_s` seconds are kept. */
void och_history_init(struct och_history *history, struct och_mem *mem,
        const struct och_machine *machine, uint32_t retain_s);
void och_history_clear(struct och_history *history);

/*
 * Keep what `view` shows of a collection from its own position to end - 1, where a new view
 * begins.  Nobody appends to its heads meanwhile.  `files`: it also stands for the files of
 * its segments, which are not the new view's.  Without memory for it, it is not kept.
 */
void och_history_keep(struct och_history *history, struct och_uuid collection,
        const struct och_view *view, uint64_t end, bool files);

/* A head of so many bytes will come to be kept when it is sealed: what goes then goes now, so
 * that the two are not held at a time. */
void och_history_make_room(struct och_history *history, uint64_t bytes);

/* A segment left the collection's view, and its file the directory: what keeps it pays. */
void och_history_retire(
        struct och_history *history, struct och_uuid collection, const struct och_segment *segment);

/* The view that shows the position, for the caller to release; NULL: none is kept. */
struct och_view *och_history_find(
        struct och_history *history, struct och_uuid collection, uint64_t position);

/* The oldest position from which on all are kept, up to `first`, which the collection's own
 * view shows. */
uint64_t och_history_oldest(
        struct och_history *history, struct och_uuid collection, uint64_t first);

/* Somebody pages through this position, and comes again. */
void och_history_lease(struct och_history *history, struct och_uuid collection, uint64_t position);

/* Let go of what is too old or too much; false: nothing is left. */
bool och_history_trim(struct och_history *history);

/* Let go of all that is kept: of a collection, or of all of them. */
void och_history_forget(struct och_history *history, struct och_uuid collection);
void och_history_forget_all(struct och_history *history);

#endif /* OCH_ENGINE_HISTORY_H */
