/*
 * collection.h - one collection in memory: its rows, and where writing has got to.
 *
 *      view ──► segments (sealed, oldest first)        immutable list, counted;
 *               frozen heads (being sealed)            replaced as a whole when
 *               head (growing)                         a head is frozen or sealed
 *
 * Facts are what the log has made of the collection: position, next ordinal,
 * dimension, keys.  There are two copies.  The committer changes `staged` while
 * a group is put together; when the group is durable, `published` follows, and
 * only then do readers see it.
 *
 * Threads: `lock` guards view, published, settings, dropped, failure and every
 * head's id map.  `staged` and all changes to rows belong to the committer (commit.h).
 */
#ifndef OCH_ENGINE_COLLECTION_H
#define OCH_ENGINE_COLLECTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "engine/audit.h"
#include "engine/catalog.h"
#include "engine/find.h"
#include "engine/settings.h"
#include "engine/warm.h"
#include "index/meta/keys.h"
#include "ochre/status.h"
#include "ochre/types.h"
#include "os/pace.h"
#include "os/thread.h"

struct och_engine;
struct och_head;
struct och_segment;

struct och_facts {
    uint64_t position;
    uint64_t lsn; /* of the log record at that position */
    uint64_t next_ordinal;
    uint64_t n_records;    /* that are there at the position */
    uint32_t dim;          /* 0: not known yet */
    struct och_keys *keys; /* owned */
};

/* A head that takes no more rows, and what the collection was when it stopped. */
struct och_frozen {
    struct och_head *head;  /* counted; NULL when only sealed rows died meanwhile */
    struct och_facts facts; /* as of the freeze; keys counted */
    uint64_t first_lsn;     /* the oldest log record it stands for */
};

struct och_view {
    struct och_mem *mem;
    atomic_uint n_owners;
    uint64_t position; /* of the log: up to it everything is in the segments */
    uint32_t n_segments, n_frozen;
    struct och_segment **segments; /* counted each; oldest first */
    struct och_frozen *frozen;     /* oldest first */
    struct och_head *head;         /* counted; NULL: nothing since the last freeze */
};

struct och_collection {
    struct och_engine *engine; /* borrowed */
    struct och_collection *next_in_table;
    atomic_uint n_owners;
    struct och_uuid id;
    uint32_t number;
    ochre_space space;                   /* fixed at creation, like the names: */
    struct ochre_bytes tenant, database; /* owned */

    struct och_mutex lock;
    struct och_view *view OCH_GUARDED_BY(lock); /* counted */
    struct och_facts published OCH_GUARDED_BY(lock);
    uint32_t head_rows OCH_GUARDED_BY(lock); /* of view->head, that readers see */
    struct och_collection_settings settings OCH_GUARDED_BY(lock);
    uint32_t n_changes OCH_GUARDED_BY(lock); /* of the settings, since it was loaded */
    bool dropped OCH_GUARDED_BY(lock);
    struct och_audit audit OCH_GUARDED_BY(lock);
    struct och_warming warming OCH_GUARDED_BY(lock);
    /* Why nothing can be done with it: damage found while recovering. */
    struct ochre_error failure OCH_GUARDED_BY(lock);

    /* The committer's: */
    struct och_facts staged;
    uint64_t unsealed_lsn;   /* of the oldest record since the last freeze; 0: none */
    uint32_t n_sealed_kills; /* rows of segments that died since the last freeze */
    bool seal_queued;        /* someone seals, or is about to */
    struct och_known_ids known;

    /* Under the engine's work_lock: */
    bool listing; /* someone changes the list of segments (maintain_internal.h) */
    bool merging; /* someone merges segments, or is about to */

    /* Whose who took the list: what has been done for frozen[0]. */
    bool seal_listed;      /* the catalog has its facts and this segment: */
    uint64_t seal_segment; /* 0: no row lived, so there is none */
    /* A merged segment that the catalog may list though the view has what it was
     * made of, which is as good; id 0: none. */
    struct och_segment_row stray;

    _Atomic(ochre_status) seal_failure; /* of the last try; it will be tried again */
    struct och_pace pace;               /* of merges; stopped: dropped, or closing */
    _Atomic(uint64_t) written_ns;       /* the last write, by the machine's clock */
    _Atomic(uint64_t) merge_not_before; /* so long a failed merge is left alone, likewise */
    unsigned n_merge_failures;          /* in a row; the merger's */
};

/*
 * Load a collection from the catalog: its state and segments.  A segment that is
 * damaged makes the collection one that answers with that failure; so does one
 * that cannot be read, while recovering.  Otherwise not reading it is an error,
 * and the next load tries again.
 */
OCH_MUST_CHECK ochre_status och_collection_load(struct och_engine *engine,
        const struct och_collection_row *row, const struct och_collection_settings *settings,
        struct och_collection **collection_out, struct ochre_error *err);

struct och_collection *och_collection_retain(struct och_collection *collection);
void och_collection_release(struct och_collection *collection); /* NULL is fine */

/* The settings as they are now. */
struct och_collection_settings och_collection_settings(struct och_collection *collection);

/* Change them, but for the space, which stays. */
void och_collection_change(
        struct och_collection *collection, const struct och_collection_settings *settings);

/* How often they were changed; and take settings that the catalog had after so
 * many changes, unless there was another since. */
uint32_t och_collection_changes(struct och_collection *collection);
void och_collection_settle(struct och_collection *collection,
        const struct och_collection_settings *settings, uint32_t n_changes);

/* OCHRE_OK; OCHRE_NOT_FOUND when it was dropped; or why it does not work. */
OCH_MUST_CHECK ochre_status och_collection_usable(
        struct och_collection *collection, struct ochre_error *err);

/* Is it a pin of another one (catalog.h)?  Then nothing is ever written to it. */
static inline bool
och_collection_is_pin(const struct och_collection *collection)
{
    return collection->tenant.size == 0;
}

/* The newest position that readers see. */
uint64_t och_collection_position(struct och_collection *collection);

/* Mark it as unusable, with a reason; the first one stays. */
void och_collection_fail(struct och_collection *collection, const struct ochre_error *why);

/* Views. */
OCH_MUST_CHECK struct och_view *och_view_make(
        struct och_mem *mem, uint32_t n_segments, uint32_t n_frozen);
struct och_view *och_view_retain(struct och_view *view);
void och_view_release(struct och_view *view); /* NULL is fine */

/* Put a view in place of the collection's; takes the reference. */
void och_collection_set_view(
        struct och_collection *collection, struct och_view *view, uint32_t head_rows);

/* Facts with their own reference to the keys. */
struct och_facts och_facts_copy(const struct och_facts *facts);
void och_facts_clear(struct och_facts *facts); /* cleared facts are fine */

/* Fill an entry of a new view from one of the old view. */
void och_frozen_copy(struct och_frozen *to, const struct och_frozen *from);

#endif /* OCH_ENGINE_COLLECTION_H */
