/*
 * engine.h - collections over time: the handle everything hangs from.
 *
 * An engine keeps the collections of one database directory (or of one cluster
 * node): it orders writes, makes them durable, applies them, and gives readers
 * snapshots.  See README.md for the write path, the read path and recovery.
 *
 * Threads: any, unless a function says otherwise.
 */
#ifndef OCH_ENGINE_ENGINE_H
#define OCH_ENGINE_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "engine/catalog.h"
#include "engine/follow.h"
#include "engine/history.h"
#include "engine/merge_policy.h"
#include "engine/ports.h"
#include "engine/settings.h"
#include "engine/space.h"
#include "ochre/status.h"
#include "os/executor.h"
#include "os/pace.h"
#include "os/thread.h"

struct och_collection;
struct och_facts;
struct och_commit;

enum { OCH_ENGINE_TABLE_SIZE = 1024 };

struct och_engine_options {
    uint32_t head_rows_max;  /* seal a head at this many rows (0: the default) */
    uint64_t head_bytes_max; /* or this many bytes */
    uint64_t head_dead_min;  /* or once all its rows are dead and took so many */
    uint64_t log_size_seal;  /* past this log size the oldest heads are sealed */
    /* 0 in any of these: the default; tier_rows: head_rows_max. */
    struct och_merge_policy merge;
    uint32_t small_rows;    /* segments of more rows are in no filter of ids; 0: the usual */
    uint32_t join_rows;     /* so many are linked together in a graph; 0: the usual */
    uint32_t idle_ms;       /* nobody writes when so long nobody has */
    uint32_t idle_rows_min; /* a head of so many rows is sealed then */
    uint32_t retain_s;      /* so much of the past can be read, while there is room for it */
};

/* The task that looks at collections at rest. */
struct och_timer {
    struct och_task task; /* first: the task's pointer is ours */
    struct och_engine *engine;
    bool armed; /* it is submitted, or runs */
    bool again; /* something has happened since it began to look */
};

struct och_engine {
    struct och_ports ports;
    struct och_engine_options options;
    struct och_record_log *log; /* owned; the committer's; NULL: another process writes */
    och_settings_of settings_of;
    void *settings_context;
    bool recovering;          /* the log is being read: nothing is done beside that */
    struct och_follow follow; /* where another process writes */

    struct och_mutex table_lock;                         /* guards the tables */
    struct och_collection *table[OCH_ENGINE_TABLE_SIZE]; /* by id; counted */

    struct och_commit *commit;  /* owned: the queue of writes */
    struct och_space space;     /* what is kept of the disk for when it is full */
    struct och_history history; /* what can still be read of the past */

    struct och_urgency urgency; /* writers that wait for a seal: merges give way */

    struct och_mutex work_lock; /* guards what is said of background work: */
    struct och_cond work_done;
    uint32_t n_tasks;       /* that seal, or prepare the log */
    uint32_t n_merges;      /* tasks that merge */
    bool closing;           /* no new ones */
    struct och_timer timer; /* but for its task and engine */

    /* The committer's: */
    uint32_t n_sealing_all;         /* callers of och_engine_seal_all */
    uint64_t noted_generation;      /* of the catalog, durable in the log */
    struct och_garbage *garbage;    /* files nothing lists any more */
    uint32_t n_holds;               /* och_engine_hold: they stay meanwhile */
    uint64_t vouched_lsn;           /* the next record's after the newest vouching one */
    uint64_t rested_ns;             /* when the log was last told to note who is at rest */
    atomic_uint_fast64_t n_changes; /* writes, loads and drops: is there something to purge? */
};

struct och_engine_stats {
    struct och_log_stats log;
    uint64_t log_size;
};

/*
 * Open: recover the log into the collections it touches.  With ports->tail the engine
 * shows what another process writes (follow.h), and nothing that writes may be called.
 *
 * Errors: OCHRE_CORRUPT when the log or catalog is damaged beyond one collection.
 */
OCH_MUST_CHECK ochre_status och_engine_open(const struct och_ports *ports,
        const struct och_engine_options *options, och_settings_of settings_of,
        void *settings_context, struct och_engine **engine_out, struct ochre_error *err);

/* Merges that run, and those to come of collections that are loaded, give up. */
void och_engine_stop_merges(struct och_engine *engine);

/* Wait for background work, note the close in the log, free everything.  No
 * other call may be in progress.  NULL is fine. */
void och_engine_close(struct och_engine *engine);

/*
 * The collection of a catalog row, loaded if it is not yet; release it after
 * use.  OCHRE_NOT_FOUND when it was dropped meanwhile.
 */
OCH_MUST_CHECK ochre_status och_engine_collection(struct och_engine *engine,
        const struct och_collection_row *row, struct och_collection **collection_out,
        struct ochre_error *err);

/* The collection if it is loaded, or NULL.  Release it after use. */
struct och_collection *och_engine_loaded(struct och_engine *engine, struct och_uuid id);

/*
 * Change a collection's row in the catalog (its name, metadata, schema), and its
 * settings here with it.  The caller is the committer, so that of two changes at
 * once neither undoes the other.  Errors: the catalog's, and then nothing changed.
 */
OCH_MUST_CHECK ochre_status och_engine_update(
        struct och_engine *engine, const struct och_collection_row *row, struct ochre_error *err);

/*
 * Drop a collection, with its pins, in the catalog and here.  Its files go with the next
 * maintenance.  Waits for its pending writes.
 */
OCH_MUST_CHECK ochre_status och_engine_drop(
        struct och_engine *engine, struct och_uuid id, struct ochre_error *err);

/* Run `change`, a catalog transaction that drops collections, while no write is
 * in progress, and forget the collections it names. */
OCH_MUST_CHECK ochre_status och_engine_drop_many(struct och_engine *engine,
        ochre_status (*change)(void *context, struct och_uuid **dropped_out, size_t *n_out,
                struct ochre_error *err),
        void *context, struct ochre_error *err);

/* Drop everything and start over, through the catalog's reset. */
OCH_MUST_CHECK ochre_status och_engine_reset(struct och_engine *engine, struct ochre_error *err);

/* Seal every head that holds rows written before this call. */
OCH_MUST_CHECK ochre_status och_engine_seal_all(struct och_engine *engine, struct ochre_error *err);

/*
 * Seal the collection's head and merge its segments into as few as there can be,
 * without dead rows.  Reads and writes go on meanwhile.
 *
 * Errors: the first one met: OCHRE_CORRUPT for a damaged segment, which is left
 * out; OCHRE_NOT_FOUND, OCHRE_FULL, OCHRE_IO, OCHRE_NO_MEMORY.  Nothing is lost.
 */
OCH_MUST_CHECK ochre_status och_engine_compact(
        struct och_engine *engine, struct och_collection *collection, struct ochre_error *err);

/* Seal the collection's head and write each segment anew that has dead rows: of what was
 * deleted nothing is left in them.  Errors: as och_engine_compact. */
OCH_MUST_CHECK ochre_status och_engine_clean(
        struct och_collection *collection, struct ochre_error *err);

/* What is to be answered of a fork: `ready` is called once, before there is one, with all of
 * its row but the number, and the source's facts.  When it fails, nothing happens. */
struct och_fork_answer {
    struct och_arena *arena; /* borrowed: of the row's metadata and schema, and of what is needed */
    ochre_status (*ready)(void *context, const struct och_collection_row *row,
            const struct och_facts *facts, struct ochre_error *err);
    void *context;
};

/*
 * Make a collection of what `source` is at this moment, under the id, tenant, database and
 * name of `row`, whose number is set.  The two share files and know nothing of each other.
 * With an empty tenant it is a pin of the source (catalog.h), with the metadata of `row`: the
 * snapshots of the source as of its position show it (snapshot.h).
 *
 * Errors: OCHRE_EXISTS  the name is taken
 *         OCHRE_NOT_FOUND  the source was dropped
 *         OCHRE_INVALID  it has as many pins as there may be
 *         those of sealing, and of the catalog; nothing has happened then
 * Cost:   a seal of what is in no file, during part of which writers wait; then a few
 *         calls of the file system for each segment.
 */
OCH_MUST_CHECK ochre_status och_engine_fork(struct och_collection *source,
        struct och_collection_row *row, const struct och_fork_answer *answer,
        struct ochre_error *err);

/* Files that are to be a collection, and what it is by them. */
struct och_adoption {
    struct och_uuid beside; /* a collection, without which this one is not wanted */
    const char *dir;        /* where they lie in the database's directory, named as segments are */
    struct och_collection_state state; /* all of it is in the segments */
    const struct och_segment_row *segments;
    size_t n_segments;
};

/*
 * Make a collection of files that were made apart, which stay where they are: `row`, under its
 * id, tenant, database and name; its number is set.  First the files have their names, durably,
 * then one transaction of the catalog makes it.  Ids of the files are this database's own
 * (next_file_id).
 *
 * The log has nothing of it: what is archived says that there was a change without a note.
 *
 * Errors: OCHRE_EXISTS  the name is taken
 *         OCHRE_NOT_FOUND  `beside` was dropped, or the database
 *         OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY, and the catalog's; nothing has happened then
 * Cost:   a few calls of the file system for each segment; writers wait for the transaction.
 */
OCH_MUST_CHECK ochre_status och_engine_adopt(struct och_engine *engine,
        const struct och_adoption *adoption, struct och_collection_row *row,
        struct ochre_error *err);

/*
 * What was deleted before `begin` is in no file after `end`, if every collection was
 * cleaned in between (och_engine_clean): log records of before lie in files of their
 * own, which go.
 *
 * Errors: of `end`: OCHRE_UNAVAILABLE  something still needs some of these files;
 *         OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY
 */
OCH_MUST_CHECK ochre_status och_engine_purge_begin(
        struct och_engine *engine, uint64_t *lsn_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_engine_purge_end(
        struct och_engine *engine, uint64_t lsn, struct ochre_error *err);

/*
 * Hold the files: what the catalog lists and what the log holds at this moment stays,
 * until och_engine_let_go, whatever is merged, dropped and trimmed meanwhile.
 * `look` is called once, while nobody writes: the log that it sees first, and then the
 * catalog, are one state.  (A seal or merge may change the catalog in between; it then
 * knows of the same records.)  It must not write.
 *
 * Errors: those of `look`, and then nothing is held.
 * Cost:   writers wait for `look`.  Files that are held take space.
 */
OCH_MUST_CHECK ochre_status och_engine_hold(struct och_engine *engine,
        ochre_status (*look)(void *context, struct och_engine *engine, struct ochre_error *err),
        void *context, struct ochre_error *err);
void och_engine_let_go(struct och_engine *engine);

/* The table of collections, for recovering and following: take one out, as dropped; put
 * one in, in place of the one with its id; take all out. */
void och_engine_forget(struct och_engine *engine, struct och_uuid id);
void och_engine_put(struct och_engine *engine, struct och_collection *collection);
void och_engine_clear_table(struct och_engine *engine);

struct och_engine_stats och_engine_stats(struct och_engine *engine);

#endif /* OCH_ENGINE_ENGINE_H */
