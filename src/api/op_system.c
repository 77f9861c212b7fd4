#include <string.h>

#include "api/archive.h"
#include "api/backup.h"
#include "api/backup_stream.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/tidy.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "engine/collection.h"
#include "os/clock.h"
#include "storage/kept.h"

uint64_t
och_op_heartbeat_ns(struct ochre_db *db)
{
    return och_machine_wall_ns(db->options.machine);
}

ochre_status
och_op_backup(struct ochre_db *db, struct och_backup_totals *totals_out, struct ochre_error *err)
{
    *totals_out = (struct och_backup_totals){.n_files = 0};
    ochre_status status = och_db_admit_change(db, err);
    if (status != OCHRE_OK)
        return status;
    if (db->options.backup_dir == NULL)
        return och_fail(err, OCHRE_DENIED,
                "Backups are off: start the server with --backup-dir DIR (backup_dir)");
    return och_backup_database_to(db, db->options.backup_dir, totals_out, err);
}

ochre_status
och_op_backup_stream(
        struct ochre_db *db, struct och_backup_stream **stream_out, struct ochre_error *err)
{
    const struct och_backup_options options = {
            .mem = &db->mem, .machine = db->options.machine, .stop = &db->gives_up};
    *stream_out = NULL;
    ochre_status status = och_db_admit_change(db, err);
    if (status != OCHRE_OK)
        return status;
    return och_backup_stream_open_database(&options, db, stream_out, err);
}

ochre_status
och_op_reset(struct ochre_db *db, struct ochre_error *err)
{
    ochre_status status = och_db_admit_change(db, err);
    if (status != OCHRE_OK)
        return status;
    if (!db->options.allow_reset)
        return och_fail(err, OCHRE_DENIED, "Reset is disabled by config");
    return och_engine_reset(db->engine, err);
}

/* A collection to do something to, and how much there is to do. */
struct listed {
    struct och_uuid id;
    uint64_t weight;
};

struct listing {
    struct och_buf members; /* struct listed */
    uint32_t after, last;   /* numbers: of those that are not wanted any more; of the last */
    uint64_t done, total;   /* weights */
};

/* The catalog's lock is held while it is asked: only remember. */
static ochre_status
remember(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    struct listing *listing = context;
    (void) n_segments;
    /* An empty one takes its time as well. */
    const struct listed member = {.id = id, .weight = state->next_ordinal + 1};
    if (number > listing->after) {
        och_buf_put(&listing->members, &member, sizeof(member));
        listing->total += member.weight;
    }
    if (number > listing->last)
        listing->last = number;
    return OCHRE_OK;
}

/* Is nothing of it in memory, and nothing dead in its files? */
static ochre_status
is_clean(struct ochre_db *db, struct och_uuid id, bool *is_clean_out, struct ochre_error *err)
{
    struct och_collection_state state;
    struct och_segment_row *rows;
    size_t n = 0;
    struct och_arena arena;
    struct och_collection *loaded = och_engine_loaded(db->engine, id);
    och_collection_release(loaded);
    *is_clean_out = false;
    if (loaded != NULL)
        return OCHRE_OK;
    och_arena_init(&arena, &db->mem);
    ochre_status status =
            db->catalog->ops->state_get(db->catalog, &arena, id, &state, &rows, &n, err);
    *is_clean_out = status == OCHRE_OK;
    for (size_t i = 0; status == OCHRE_OK && i < n; i++)
        *is_clean_out &= rows[i].n_deleted == 0;
    och_arena_clear(&arena);
    return status;
}

static ochre_status
load(struct ochre_db *db, struct och_uuid id, struct och_collection **collection_out,
        struct ochre_error *err)
{
    struct och_arena arena;
    struct och_collection_row row;
    *collection_out = NULL;
    och_arena_init(&arena, &db->mem);
    ochre_status status = db->catalog->ops->collection_by_id(db->catalog, &arena, id, &row, err);
    if (status == OCHRE_OK)
        status = och_engine_collection(db->engine, &row, collection_out, err);
    och_arena_clear(&arena);
    return status;
}

static ochre_status
compact_one(struct ochre_db *db, struct och_uuid id, struct ochre_error *err)
{
    struct och_collection *collection;
    ochre_status status = load(db, id, &collection, err);
    if (status == OCHRE_OK)
        status = och_engine_compact(db->engine, collection, err);
    och_collection_release(collection);
    return status;
}

static ochre_status
clean_one(struct ochre_db *db, struct och_uuid id, struct ochre_error *err)
{
    struct och_collection *collection;
    bool done = false;
    ochre_status status = is_clean(db, id, &done, err);
    if (status != OCHRE_OK || done)
        return status;
    status = load(db, id, &collection, err);
    if (status == OCHRE_OK)
        status = och_engine_clean(collection, err);
    och_collection_release(collection);
    return status;
}

/* List the collections that were made since the last listing. */
static ochre_status
list_new(struct ochre_db *db, struct listing *listing, struct ochre_error *err)
{
    struct och_arena arena;
    och_arena_init(&arena, &db->mem);
    listing->members.size = 0;
    listing->after = listing->last;
    ochre_status status =
            db->catalog->ops->each_collection(db->catalog, &arena, remember, listing, err);
    if (status == OCHRE_OK && och_buf_status(&listing->members) != OCHRE_OK)
        status = och_fail_memory(err);
    och_arena_clear(&arena);
    return status;
}

static void
tell_progress(struct ochre_db *db, const struct listing *listing)
{
    if (db->progress != NULL)
        db->progress(db->progress_context, listing->done, listing->total);
}

/* Do it to those that are listed; one that was dropped meanwhile is as good as done. */
static ochre_status
each_listed(struct ochre_db *db, struct listing *listing,
        ochre_status (*one)(struct ochre_db *db, struct och_uuid id, struct ochre_error *err),
        struct ochre_error *err)
{
    ochre_status first_failure = OCHRE_OK;
    struct listed member;
    for (size_t at = 0; at < listing->members.size; at += sizeof(member)) {
        struct ochre_error why;
        memcpy(&member, listing->members.data + at, sizeof(member));
        tell_progress(db, listing);
        listing->done += member.weight;
        ochre_status status = atomic_load_explicit(&db->gives_up, memory_order_relaxed)
                ? och_fail(&why, OCHRE_UNAVAILABLE, "The database is being closed")
                : one(db, member.id, &why);
        if (status == OCHRE_OK || status == OCHRE_NOT_FOUND || first_failure != OCHRE_OK)
            continue;
        first_failure = status;
        if (err != NULL)
            *err = why;
    }
    return first_failure;
}

/* Times that collections are listed: more often only if new ones never cease to come. */
#define LISTINGS_MAX 100u

/* Do it to every collection, and to those made meanwhile: one that was forked before its
 * source's turn came has what that had. */
static ochre_status
each(struct ochre_db *db,
        ochre_status (*one)(struct ochre_db *db, struct och_uuid id, struct ochre_error *err),
        struct ochre_error *err)
{
    struct listing listing = {.last = 0};
    och_buf_init(&listing.members, &db->mem, SIZE_MAX / 2);
    ochre_status status = list_new(db, &listing, err);
    for (unsigned n = 1; status == OCHRE_OK && listing.members.size > 0; n++) {
        status = each_listed(db, &listing, one, err);
        if (status == OCHRE_OK && n == LISTINGS_MAX)
            status = och_fail(err, OCHRE_UNAVAILABLE,
                    "New collections were there each of %u times; try again later", LISTINGS_MAX);
        if (status == OCHRE_OK)
            status = list_new(db, &listing, err);
    }
    tell_progress(db, &listing);
    och_buf_clear(&listing.members);
    return status;
}

ochre_status
och_tidy_begin(struct ochre_db *db, struct ochre_error *err)
{
    ochre_status status = och_db_admit_change(db, err);
    if (status != OCHRE_OK)
        return status;
    if (!atomic_flag_test_and_set(&db->is_tidied))
        return OCHRE_OK;
    return och_fail(err, OCHRE_BUSY,
            "The database is being compacted, purged, upgraded or repaired already");
}

void
och_tidy_end(struct ochre_db *db)
{
    atomic_flag_clear(&db->is_tidied);
}

ochre_status
och_op_compact(struct ochre_db *db, struct ochre_error *err)
{
    ochre_status status = och_tidy_begin(db, err);
    if (status != OCHRE_OK)
        return status;
    status = each(db, compact_one, err);
    och_tidy_end(db);
    return status;
}

ochre_status
och_tidy_purge(struct ochre_db *db, struct ochre_error *err)
{
    uint64_t lsn = 0;
    ochre_status status = och_engine_purge_begin(db->engine, &lsn, err);
    uint64_t n_changes = atomic_load_explicit(&db->engine->n_changes, memory_order_relaxed);
    if (status == OCHRE_OK)
        status = each(db, clean_one, err);
    if (status == OCHRE_OK && db->archive != NULL)
        status = och_archive_copy(db->archive, err); /* what is not there yet stays in the log */
    if (status == OCHRE_OK)
        status = och_engine_purge_end(db->engine, lsn, err);
    if (status == OCHRE_OK)
        status = db->catalog->ops->tidy(db->catalog, err);
    if (status == OCHRE_OK)
        db->n_purged = n_changes + 1;
    return status;
}

/* Files that are in a directory of their own are not looked into. */
static ochre_status
check_settled(struct ochre_db *db, struct ochre_error *err)
{
    enum och_kept_state state = OCH_KEPT_NONE;
    ochre_status status = och_kept_look(db->options.vfs, &state, err);
    if (status != OCHRE_OK || state == OCH_KEPT_NONE)
        return status;
    return och_fail(err, OCHRE_UNAVAILABLE,
            "what there was before an upgrade is kept, and in it what was deleted since; all else "
            "is purged.  Settle the upgrade with `ochre upgrade --commit` (or --revert; in a server "
            "POST /ochre/v1/upgrade/commit), and purge again");
}

ochre_status
och_op_purge(struct ochre_db *db, struct ochre_error *err)
{
    ochre_status status = och_tidy_begin(db, err);
    if (status != OCHRE_OK)
        return status;
    status = och_tidy_purge(db, err);
    och_tidy_end(db);
    return status == OCHRE_OK ? check_settled(db, err) : status;
}

ochre_status
och_op_purge_due(struct ochre_db *db, bool *was_due_out, struct ochre_error *err)
{
    *was_due_out = false;
    ochre_status status = och_tidy_begin(db, err);
    if (status != OCHRE_OK)
        return status;
    uint64_t n_changes = atomic_load_explicit(&db->engine->n_changes, memory_order_relaxed);
    *was_due_out = db->n_purged != n_changes + 1;
    if (*was_due_out)
        status = och_tidy_purge(db, err);
    och_tidy_end(db);
    return status == OCHRE_OK && *was_due_out ? check_settled(db, err) : status;
}
