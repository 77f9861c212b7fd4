/*
 * db.h - an open database: the parts and the settings that verbs work with.
 *
 * Threads: open and close on one thread; the rest any.
 */
#ifndef OCH_API_DB_H
#define OCH_API_DB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/scrub.h"
#include "base/compiler.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "ochre/status.h"
#include "storage/directory.h"
#include "storage/wal.h"

struct och_archive;
struct och_executor;
struct och_kernels;
struct och_log;
struct och_machine;
struct och_vfs;

struct och_db_options {
    struct och_mem *mem;               /* the account above the database's */
    struct och_vfs *vfs;               /* borrowed: rooted at the database's directory */
    const struct och_machine *machine; /* borrowed */
    const struct och_kernels *kernels;
    const struct och_log *log;     /* borrowed; NULL: silent */
    struct och_executor *executor; /* borrowed; NULL: no background work */
    unsigned n_cpus;
    bool create;
    bool read_only; /* beside whoever writes; then `create` is not */
    bool allow_reset;
    const char *backup_dir;  /* borrowed: where och_op_backup writes; NULL: it is refused */
    bool defers_syncs;       /* of the log: och_wal_sync_files, after it is closed */
    struct och_vfs *archive; /* borrowed: where the log is archived (api/archive.h); NULL: not */
    struct och_engine_options engine;
};

struct ochre_db {
    struct och_mem mem; /* everything of this database */
    struct och_db_options options;
    struct och_directory directory; /* the lock is held */
    struct och_wal_options log_options;
    struct och_archive *archive; /* owned; NULL: none is kept */
    struct och_catalog *catalog; /* owned */
    struct och_log_tail *tail;   /* owned; NULL unless read_only */
    struct och_engine *engine;   /* owned */
    atomic_bool gives_up;        /* och_db_give_up */
    uint64_t n_purged; /* changes of the engine that a purge has seen, and one; who is tidying */
    atomic_flag is_tidied; /* someone compacts, purges, upgrades or repairs all of it (tidy.h) */
    /* How far it is: called by who tidies; NULL: nobody watches. */
    void (*progress)(void *context, uint64_t done, uint64_t total);
    void *progress_context;
    atomic_uint n_streams; /* backups of it that are being read */
    struct och_scrub_state scrub;
    /* What public.c made and must take down: */
    struct och_vfs *own_vfs, *own_archive;
    struct och_executor *own_executor;
};

/*
 * Open the database in options->vfs.
 *
 * Errors: as och_directory_open, och_catalog_sqlite_open and och_engine_open.
 */
OCH_MUST_CHECK ochre_status och_db_open(
        const struct och_db_options *options, struct ochre_db **db_out, struct ochre_error *err);

/* It will be closed: backups, compactions and purges end early, with OCHRE_UNAVAILABLE.
 * Any thread. */
void och_db_give_up(struct ochre_db *db);

/*
 * Have compactions and purges say how far they are, after each collection: of how much, by
 * the records that collections ever had.  Before the first of them.
 */
void och_db_watch(struct ochre_db *db,
        void (*progress)(void *context, uint64_t done, uint64_t total), void *context);

/* Verbs that change something begin with this: OCHRE_DENIED where the database was opened
 * to be read. */
OCH_MUST_CHECK ochre_status och_db_admit_change(struct ochre_db *db, struct ochre_error *err);

struct och_note;

/*
 * Around a change of the catalog that does not go through the engine: note it, if anybody
 * wants to know (engine/notes.h).  If `begin` succeeds, say how it went.
 */
OCH_MUST_CHECK ochre_status och_db_begin_change(
        struct ochre_db *db, const struct och_note *note, struct ochre_error *err);
ochre_status och_db_end_change(
        struct ochre_db *db, const struct och_note *note, ochre_status status);

/* Verbs that only look begin with this, so that they answer with what there is, or was a
 * moment ago: OCH_FOLLOW_LATE_MS.  Errors: those of och_follow_now. */
OCH_MUST_CHECK ochre_status och_db_be_current(struct ochre_db *db, struct ochre_error *err);

struct och_buf;

/* Append the id of every collection there is, struct och_uuid after another: what is done with
 * them, is done without a lock of the catalog. */
OCH_MUST_CHECK ochre_status och_db_list_collections(
        struct ochre_db *db, struct och_buf *ids, struct ochre_error *err);

/* Was the log found without some of its records, when it was opened?  Collections that may
 * lack some fail, and say why. */
bool och_db_lacks_log(const struct ochre_db *db);

/* Close: no verb may be in progress.  NULL is fine. */
void och_db_close(struct ochre_db *db);

#endif /* OCH_API_DB_H */
