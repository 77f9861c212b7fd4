#include <stdlib.h>
#include <string.h>

#include "api/archive.h"
#include "api/db.h"
#include "api/schema.h"
#include "api/stats_internal.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/uuid.h"
#include "engine/catalog.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "engine/engine.h"
#include "engine/snapshot.h"
#include "os/vfs.h"
#include "segment/deletes.h"
#include "segment/segment.h"

/* A file that is gone when it is opened was merged into another since it was listed: so
 * often the collection is looked at again, before that counts as damage. */
#define LOOKS_MAX 3

/* What the catalog has of a collection. */
struct listed {
    struct och_collection_state state;
    struct och_segment_row *rows;
    size_t n_rows;
};

struct stats {
    struct ochre_db *db;
    struct och_arena *arena; /* of the result */
    struct och_tally tally;
    struct och_collection_row *rows; /* in the arena; by tenant, database and creation; pins last */
    size_t n_rows;
    uint32_t at; /* the collection that is looked at */
    struct ochre_collection_stats *collection;
};

/* --- files --------------------------------------------------------------------- */

static ochre_status
add_deletes(struct stats *stats, uint64_t segment_id, uint64_t deletes_id, struct ochre_error *err)
{
    char path[OCH_PATH_SIZE_MAX];
    struct och_tally_file file = {.kind = OCH_TALLY_DELETES, .collection = stats->at};
    och_deletes_path(path, sizeof(path), stats->rows[stats->at].id, segment_id, deletes_id);
    ochre_status status = och_tally_add(&stats->tally, &file, NULL, path, err);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK; /* a newer one has taken its place, or the segment is merged */
    if (status == OCHRE_OK)
        stats->collection->delete_files++;
    return status;
}

/* Of an open segment of which so many rows are alive. */
static ochre_status
add_segment(struct stats *stats, const struct och_segment *segment, uint64_t n_alive,
        struct ochre_error *err)
{
    struct och_tally_file file = {.kind = OCH_TALLY_SEGMENT, .collection = stats->at};
    char path[OCH_PATH_SIZE_MAX];
    och_tally_measure(segment, n_alive, &file);
    stats->collection->segments++;
    stats->collection->graph_segments += och_segment_has_graph(segment);
    och_segment_path(path, sizeof(path), stats->rows[stats->at].id, segment->id);
    return och_tally_add(&stats->tally, &file, segment->file, path, err);
}

/* --- one collection ------------------------------------------------------------- */

static uint64_t
deletes_of(const struct listed *listed, uint64_t segment_id)
{
    for (size_t i = 0; i < listed->n_rows; i++) {
        if (listed->rows[i].id == segment_id)
            return listed->rows[i].deletes_id;
    }
    return 0;
}

static ochre_status
add_snapshot(struct stats *stats, const struct och_snapshot *snapshot, const struct listed *listed,
        struct ochre_error *err)
{
    struct ochre_collection_stats *collection = stats->collection;
    collection->records = och_snapshot_count(snapshot);
    collection->dim = snapshot->facts.dim;
    ochre_status status = OCHRE_OK;
    for (uint32_t i = 0; i < snapshot->n_sources && status == OCHRE_OK; i++) {
        const struct och_source *source = &snapshot->sources[i];
        uint64_t n_alive = och_source_count(source);
        collection->dead_rows += source->n_rows > n_alive ? source->n_rows - n_alive : 0;
        if (source->segment == NULL) {
            collection->unsealed_rows += n_alive;
            continue;
        }
        uint64_t deletes_id = deletes_of(listed, source->segment->id);
        status = add_segment(stats, source->segment, n_alive, err);
        if (status == OCHRE_OK && deletes_id != 0)
            status = add_deletes(stats, source->segment->id, deletes_id, err);
    }
    return status;
}

static void
note_problem(struct stats *stats, const struct ochre_error *why)
{
    if (stats->collection->problem == NULL)
        stats->collection->problem =
                och_arena_copy(stats->arena, why->message, strlen(why->message));
}

static ochre_status
add_row(struct stats *stats, const struct och_segment_row *row, struct ochre_error *err)
{
    struct och_segment *segment;
    struct ochre_error why;
    struct ochre_collection_stats *collection = stats->collection;
    uint64_t n_dead = row->n_deleted < row->n_rows ? row->n_deleted : row->n_rows;
    ochre_status status = och_segment_open(&stats->db->mem, stats->db->options.vfs,
            stats->rows[stats->at].id, row->id, &segment, &why);
    if (status == OCHRE_NO_MEMORY)
        return och_fail_memory(err);
    if (status == OCHRE_OK) {
        status = add_segment(stats, segment, row->n_rows - n_dead, err);
        och_segment_release(segment);
    } else {
        note_problem(stats, &why);
        collection->segments++;
        status = OCHRE_OK;
    }
    collection->records += row->n_rows - n_dead;
    collection->dead_rows += n_dead;
    if (status == OCHRE_OK && row->deletes_id != 0)
        status = add_deletes(stats, row->id, row->deletes_id, err);
    return status;
}

/* What the catalog lists, where nothing of it is in memory. */
static ochre_status
add_rows(struct stats *stats, const struct listed *listed, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    stats->collection->dim = listed->state.dim;
    for (size_t i = 0; i < listed->n_rows && status == OCHRE_OK; i++)
        status = add_row(stats, &listed->rows[i], err);
    return status;
}

/* As it is in memory; or, where it is not, all of it is in its files. */
static ochre_status
add_loaded(struct stats *stats, struct och_collection *loaded, const struct listed *listed,
        struct ochre_error *err)
{
    struct och_arena arena;
    struct och_snapshot snapshot;
    struct ochre_error why;
    och_arena_init(&arena, &stats->db->mem);
    ochre_status status = och_snapshot_take(loaded, NULL, &arena, &snapshot, &why);
    if (status == OCHRE_OK) {
        status = add_snapshot(stats, &snapshot, listed, err);
        och_snapshot_release(&snapshot);
    } else if (status == OCHRE_NO_MEMORY || status == OCHRE_NOT_FOUND) {
        status = och_fail(err, status, "%s", why.message);
    } else {
        note_problem(stats, &why);
        status = add_rows(stats, listed, err);
        stats->collection->unsealed_rows = UINT64_MAX;
    }
    och_arena_clear(&arena);
    return status;
}

static ochre_status
look_once(struct stats *stats, struct ochre_error *err)
{
    struct och_catalog *catalog = stats->db->catalog;
    struct och_uuid id = stats->rows[stats->at].id;
    struct listed listed = {.n_rows = 0};
    struct och_arena arena;
    och_arena_init(&arena, &stats->db->mem);
    ochre_status status = catalog->ops->state_get(
            catalog, &arena, id, &listed.state, &listed.rows, &listed.n_rows, err);
    if (status == OCHRE_OK) {
        struct och_collection *loaded = och_engine_loaded(stats->db->engine, id);
        status = loaded == NULL ? add_rows(stats, &listed, err)
                                : add_loaded(stats, loaded, &listed, err);
        och_collection_release(loaded);
    }
    och_arena_clear(&arena);
    return status;
}

/* What does not depend on its files. */
static ochre_status
describe(struct stats *stats, struct ochre_error *err)
{
    struct och_catalog *catalog = stats->db->catalog;
    const struct och_collection_row *row = &stats->rows[stats->at];
    struct ochre_collection_stats *collection = stats->collection;
    const struct och_schema *schema;
    struct och_arena arena;
    *collection = (struct ochre_collection_stats){
            .tenant = row->tenant, .database = row->database, .name = row->name};
    och_uuid_put(row->id, collection->id);
    och_arena_init(&arena, &stats->db->mem);
    ochre_status status = och_schema_parse(&arena, row->schema, &schema, err);
    if (status == OCHRE_OK)
        collection->space = och_schema_space(schema);
    och_arena_clear(&arena);
    if (status == OCHRE_OK)
        status = catalog->ops->fork_count(catalog, row->id, &collection->forks, err);
    if (status == OCHRE_OK)
        status = catalog->ops->is_fork(catalog, row->id, &collection->is_fork, err);
    return status;
}

static ochre_status
look(struct stats *stats, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    size_t n_files = stats->tally.n_files;
    for (int i = 0; i < LOOKS_MAX && status == OCHRE_OK; i++) {
        stats->tally.n_files = n_files;
        status = describe(stats, err);
        if (status == OCHRE_OK)
            status = look_once(stats, err);
        if (status == OCHRE_OK && stats->collection->problem == NULL)
            break;
    }
    if (status == OCHRE_OK && stats->collection->problem == NULL)
        stats->collection->problem =
                och_scrub_problem(stats->db, stats->rows[stats->at].id, stats->arena);
    return status;
}

/* --- all of them ------------------------------------------------------------------ */

static int
compare_bytes(struct ochre_bytes a, struct ochre_bytes b)
{
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    if (order != 0 || a.size == b.size)
        return order;
    return a.size < b.size ? -1 : 1;
}

static int
compare_rows(const void *a_bytes, const void *b_bytes)
{
    const struct och_collection_row *a = a_bytes;
    const struct och_collection_row *b = b_bytes;
    int order = (int) och_collection_row_is_pin(a) - (int) och_collection_row_is_pin(b);
    if (order == 0)
        order = compare_bytes(a->tenant, b->tenant);
    if (order == 0)
        order = compare_bytes(a->database, b->database);
    if (order == 0)
        order = a->number < b->number ? -1 : a->number > b->number;
    return order;
}

static ochre_status
read_rows(struct stats *stats, const struct och_buf *ids, struct ochre_error *err)
{
    struct och_catalog *catalog = stats->db->catalog;
    size_t n = ids->size / sizeof(struct och_uuid);
    stats->rows = och_arena_take_array(stats->arena, n, sizeof(*stats->rows));
    if (stats->rows == NULL)
        return och_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        struct och_uuid id;
        memcpy(id.bytes, ids->data + i * sizeof(id.bytes), sizeof(id.bytes));
        ochre_status status = catalog->ops->collection_by_id(
                catalog, stats->arena, id, &stats->rows[stats->n_rows], err);
        if (status == OCHRE_NOT_FOUND)
            continue; /* dropped meanwhile */
        if (status != OCHRE_OK)
            return status;
        stats->n_rows++;
    }
    if (stats->n_rows > 0)
        qsort(stats->rows, stats->n_rows, sizeof(*stats->rows), compare_rows);
    return OCHRE_OK;
}

static ochre_status
list_rows(struct stats *stats, struct ochre_error *err)
{
    struct och_buf ids;
    och_buf_init(&ids, &stats->db->mem, SIZE_MAX / 2);
    ochre_status status = och_db_list_collections(stats->db, &ids, err);
    if (status == OCHRE_OK)
        status = read_rows(stats, &ids, err);
    och_buf_clear(&ids);
    return status;
}

static ochre_status
look_at_all(struct stats *stats, struct och_stats *stats_out, struct ochre_error *err)
{
    ochre_status status = list_rows(stats, err);
    if (status != OCHRE_OK)
        return status;
    stats_out->collections =
            och_arena_take_array(stats->arena, stats->n_rows, sizeof(*stats_out->collections));
    if (stats_out->collections == NULL)
        return och_fail_memory(err);
    /* One that was dropped since leaves its place to the next. */
    size_t n = 0;
    for (size_t i = 0; i < stats->n_rows; i++) {
        size_t n_files = stats->tally.n_files;
        stats->rows[n] = stats->rows[i];
        stats->at = (uint32_t) n;
        stats->collection = &stats_out->collections[n];
        status = look(stats, err);
        if (status == OCHRE_NOT_FOUND)
            stats->tally.n_files = n_files;
        else if (status != OCHRE_OK)
            return status;
        else
            n++;
    }
    stats->n_rows = n;
    while (n > 0 && och_collection_row_is_pin(&stats->rows[n - 1]))
        n--;
    stats_out->n_collections = n;
    stats_out->n_pins = stats->n_rows - n;
    return OCHRE_OK;
}

/* The collection of each pin, which is named after its id; one that was dropped meanwhile
 * is nobody's. */
static void
count_pins(const struct stats *stats, struct och_stats *stats_out)
{
    for (size_t i = stats_out->n_collections; i < stats->n_rows; i++) {
        const struct ochre_bytes source = stats->rows[i].database;
        for (size_t j = 0; j < stats_out->n_collections; j++)
            stats_out->collections[j].pins += source.size == sizeof(stats->rows[j].id.bytes) &&
                    memcmp(stats->rows[j].id.bytes, source.data, source.size) == 0;
    }
}

/* How far the log is, and the archive behind it. */
static void
look_at_log(struct ochre_db *db, struct ochre_stats *totals)
{
    struct och_engine *engine = db->engine;
    if (engine->log == NULL)
        return; /* another process has it */
    och_commit_enter(engine->commit);
    totals->log_lsn = engine->log->ops->next_lsn(engine->log) - 1;
    och_commit_leave(engine->commit);
    if (db->archive == NULL)
        return;
    struct och_archive_state state = och_archive_state(db->archive);
    totals->archived_lsn = state.next_lsn == 0 ? 0 : state.next_lsn - 1;
    totals->archived_unix_s = state.time_ns / 1000000000u;
    totals->archive_failures = state.n_failures;
}

ochre_status
och_op_stats(struct ochre_db *db, struct och_arena *arena, struct och_stats *stats_out,
        struct ochre_error *err)
{
    struct stats stats = {.db = db, .arena = arena};
    *stats_out = (struct och_stats){.totals.size = sizeof(stats_out->totals)};
    och_tally_init(&stats.tally, &db->mem, db->options.vfs);
    ochre_status status = och_db_be_current(db, err);
    if (status == OCHRE_OK)
        status = look_at_all(&stats, stats_out, err);
    if (status == OCHRE_OK)
        status = och_tally_walk(&stats.tally, err);
    if (status == OCHRE_OK)
        status = och_vfs_space_free(db->options.vfs, &stats_out->totals.free_bytes, err);
    if (status == OCHRE_OK) {
        och_tally_sum_up(&stats.tally, stats_out);
        count_pins(&stats, stats_out);
    }
    och_mutex_lock(&db->scrub.lock);
    stats_out->totals.scrubbed_unix_s = db->scrub.ended_unix_s;
    stats_out->totals.scrub_damaged = db->scrub.totals.n_damaged;
    och_mutex_unlock(&db->scrub.lock);
    if (status == OCHRE_OK)
        look_at_log(db, &stats_out->totals);
    och_tally_clear(&stats.tally);
    return status;
}
