#include "engine/engine.h"

#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "engine/maintain_internal.h"
#include "engine/notes.h"
#include "engine/recover.h"
#include "engine/write.h"
#include "index/vector/graph.h"

/* --- opening and closing ---------------------------------------------------- */

static bool
give_room(void *context)
{
    struct och_space *space = context;
    return och_space_give(space);
}

static void
free_engine(struct och_engine *engine)
{
    engine->ports.catalog->give_room = NULL;
    och_engine_clear_table(engine);
    och_history_clear(&engine->history);
    if (engine->log != NULL)
        engine->log->ops->close(engine->log);
    och_maintain_clear_garbage(engine);
    och_commit_release(engine->commit);
    och_space_clear(&engine->space);
    och_follow_clear(engine);
    och_cond_clear(&engine->work_done);
    och_urgency_clear(&engine->urgency);
    och_mutex_clear(&engine->work_lock);
    och_mutex_clear(&engine->table_lock);
    och_mem_release(engine->ports.mem, engine, sizeof(*engine));
}

/* After recovery: remove what a crash left, seal what piled up.  What fails here
 * is tried again in operation. */
static ochre_status
settle(struct och_engine *engine, struct ochre_error *err)
{
    och_commit_enter(engine->commit);
    ochre_status status = och_maintain_sweep(engine, err);
    /* A directory that cannot be looked through keeps what nobody lists a while longer. */
    if (status != OCHRE_NO_MEMORY) {
        status = OCHRE_OK;
        for (size_t i = 0; i < OCH_ENGINE_TABLE_SIZE; i++)
            for (struct och_collection *c = engine->table[i]; c != NULL; c = c->next_in_table) {
                och_maintain_wrote(c);
                och_maintain_collection(c);
            }
        och_maintain_memory(engine);
        if (engine->garbage != NULL) {
            ochre_status collected = och_maintain_collect(engine, NULL);
            (void) collected;
        }
    }
    och_commit_leave(engine->commit);
    return status;
}

static uint32_t
or_default(uint32_t value, uint32_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static void
fill_options(struct och_engine_options *options)
{
    struct och_merge_policy *merge = &options->merge;
    options->head_rows_max = or_default(options->head_rows_max, OCH_HEAD_ROWS_MAX);
    if (options->head_bytes_max == 0)
        options->head_bytes_max = OCH_HEAD_BYTES_MAX;
    if (options->head_dead_min == 0)
        options->head_dead_min = OCH_HEAD_DEAD_MIN;
    if (options->log_size_seal == 0)
        options->log_size_seal = OCH_LOG_SIZE_SEAL;
    merge->tier_rows = or_default(merge->tier_rows, options->head_rows_max);
    if (merge->tier_bytes == 0)
        merge->tier_bytes = options->head_bytes_max;
    if (merge->tier_bytes < merge->tier_rows) /* a row has a byte */
        merge->tier_bytes = merge->tier_rows;
    options->small_rows = or_default(options->small_rows, OCH_SMALL_SEGMENT_ROWS);
    merge->fan_in = or_default(merge->fan_in, OCH_MERGE_FAN_IN);
    merge->rows_max = or_default(merge->rows_max, OCH_MERGE_ROWS_MAX);
    if (merge->bytes_max == 0)
        merge->bytes_max = OCH_MERGE_BYTES_MAX;
    merge->dead_percent = or_default(merge->dead_percent, OCH_MERGE_DEAD_PERCENT);
    merge->graph_rows = or_default(merge->graph_rows, OCH_GRAPH_ROWS_MIN);
    options->idle_ms = or_default(options->idle_ms, OCH_IDLE_MS);
    options->idle_rows_min = or_default(options->idle_rows_min, OCH_IDLE_ROWS_MIN);
    options->retain_s = or_default(options->retain_s, OCH_RETAIN_SECONDS);
}

static ochre_status
begin(struct och_engine *engine, struct ochre_error *err)
{
    ochre_status status = och_recover(engine, err);
    if (status == OCHRE_OK)
        och_space_begin(&engine->space);
    return status == OCHRE_OK ? settle(engine, err) : status;
}

ochre_status
och_engine_open(const struct och_ports *ports, const struct och_engine_options *options,
        och_settings_of settings_of, void *settings_context, struct och_engine **engine_out,
        struct ochre_error *err)
{
    *engine_out = NULL;
    struct och_engine *engine = och_mem_take_zeroed(ports->mem, sizeof(*engine));
    if (engine == NULL)
        return och_fail_memory(err);
    engine->ports = *ports;
    engine->options = *options;
    fill_options(&engine->options);
    och_maintain_begin(engine);
    engine->settings_of = settings_of;
    engine->settings_context = settings_context;
    och_mutex_init(&engine->table_lock);
    och_mutex_init(&engine->work_lock);
    och_urgency_init(&engine->urgency);
    och_cond_init(&engine->work_done);
    och_mutex_init(&engine->follow.lock);
    och_space_init(&engine->space, ports->vfs);
    engine->ports.catalog->give_context = &engine->space;
    engine->ports.catalog->give_room = give_room;
    och_history_init(&engine->history, ports->mem, ports->machine, engine->options.retain_s);

    ochre_status status = och_commit_make(engine, &engine->commit);
    if (status != OCHRE_OK)
        status = och_fail_memory(err);
    if (status == OCHRE_OK)
        status = och_follow_is_on(engine) ? och_follow_begin(engine, err) : begin(engine, err);
    if (status != OCHRE_OK) {
        och_maintain_stop(engine);
        free_engine(engine);
        return status;
    }
    *engine_out = engine;
    return OCHRE_OK;
}

void
och_engine_close(struct och_engine *engine)
{
    if (engine == NULL)
        return;
    och_follow_stop(engine);
    och_maintain_stop(engine);
    och_commit_enter(engine->commit);
    if (engine->log != NULL && engine->log->ops->stats(engine->log).n_records > 0) {
        och_engine_vouch(engine);
        (void) engine->log->ops->rest(engine->log, true);
    }
    och_commit_leave(engine->commit);
    free_engine(engine);
}

/* --- the table -------------------------------------------------------------- */

static size_t
bucket_of(struct och_uuid id)
{
    return och_hash64(id.bytes, sizeof(id.bytes)) % OCH_ENGINE_TABLE_SIZE;
}

struct och_collection *
och_engine_loaded(struct och_engine *engine, struct och_uuid id)
{
    och_mutex_lock(&engine->table_lock);
    struct och_collection *found = engine->table[bucket_of(id)];
    while (found != NULL && !och_uuid_equal(found->id, id))
        found = found->next_in_table;
    if (found != NULL)
        (void) och_collection_retain(found);
    och_mutex_unlock(&engine->table_lock);
    return found;
}

/* Enter a loaded collection; when another thread was faster, take its one. */
static struct och_collection *
enter(struct och_engine *engine, struct och_collection *collection)
{
    och_mutex_lock(&engine->table_lock);
    size_t bucket = bucket_of(collection->id);
    struct och_collection *found = engine->table[bucket];
    while (found != NULL && !och_uuid_equal(found->id, collection->id))
        found = found->next_in_table;
    if (found == NULL) {
        collection->next_in_table = engine->table[bucket];
        engine->table[bucket] = och_collection_retain(collection);
        found = collection;
    } else {
        (void) och_collection_retain(found);
    }
    och_mutex_unlock(&engine->table_lock);
    if (found != collection)
        och_collection_release(collection);
    return found;
}

/* Take a collection out of the table; whoever still uses it finds it dropped. */
void
och_engine_forget(struct och_engine *engine, struct och_uuid id)
{
    och_mutex_lock(&engine->table_lock);
    struct och_collection **link = &engine->table[bucket_of(id)];
    while (*link != NULL && !och_uuid_equal((*link)->id, id))
        link = &(*link)->next_in_table;
    struct och_collection *collection = *link;
    if (collection != NULL)
        *link = collection->next_in_table;
    och_mutex_unlock(&engine->table_lock);
    if (collection == NULL)
        return;
    och_mutex_lock(&collection->lock);
    collection->dropped = true;
    och_mutex_unlock(&collection->lock);
    atomic_store_explicit(&collection->pace.stop, true, memory_order_relaxed);
    och_history_forget(&engine->history, id);
    och_collection_release(collection);
}

void
och_engine_put(struct och_engine *engine, struct och_collection *collection)
{
    struct och_collection *old = NULL;
    och_mutex_lock(&engine->table_lock);
    struct och_collection **link = &engine->table[bucket_of(collection->id)];
    while (*link != NULL && !och_uuid_equal((*link)->id, collection->id))
        link = &(*link)->next_in_table;
    old = *link;
    collection->next_in_table = old == NULL ? NULL : old->next_in_table;
    *link = och_collection_retain(collection);
    och_mutex_unlock(&engine->table_lock);
    if (old != NULL && old != collection) /* nobody comes to it any more */
        atomic_store_explicit(&old->pace.stop, true, memory_order_relaxed);
    och_collection_release(old);
}

void
och_engine_clear_table(struct och_engine *engine)
{
    for (size_t i = 0; i < OCH_ENGINE_TABLE_SIZE; i++) {
        och_mutex_lock(&engine->table_lock);
        struct och_collection *next = engine->table[i];
        engine->table[i] = NULL;
        och_mutex_unlock(&engine->table_lock);
        while (next != NULL) {
            struct och_collection *collection = next;
            next = collection->next_in_table;
            och_collection_release(collection);
        }
    }
}

static ochre_status
read_settings(struct och_engine *engine, const struct och_collection_row *row,
        struct och_collection_settings *settings_out, struct ochre_error *err)
{
    return engine->settings_of(engine->settings_context, row->schema, settings_out, err);
}

/*
 * A drop takes a collection from the catalog and then from the table.  One that
 * was entered in between, or after, is taken out by whoever entered it.  So with
 * an update, which changes the catalog and then what is in the table: whoever
 * entered what the catalog said before looks again, and leaves alone what an
 * update has changed meanwhile.
 */
static ochre_status
look_again(struct och_engine *engine, const struct och_collection_row *loaded,
        struct och_collection **collection, struct ochre_error *err)
{
    struct och_catalog *catalog = engine->ports.catalog;
    struct och_uuid id = (*collection)->id;
    struct och_arena arena;
    struct och_collection_row row;
    struct och_collection_settings settings;
    uint32_t n_changes = och_collection_changes(*collection);
    och_arena_init(&arena, engine->ports.mem);
    ochre_status status = catalog->ops->collection_by_id(catalog, &arena, id, &row, err);
    if (status == OCHRE_NOT_FOUND)
        och_engine_forget(engine, id);
    bool differs = status == OCHRE_OK &&
            (row.schema.size != loaded->schema.size ||
                    memcmp(row.schema.data, loaded->schema.data, row.schema.size) != 0);
    if (differs)
        status = read_settings(engine, &row, &settings, err);
    if (differs && status == OCHRE_OK)
        och_collection_settle(*collection, &settings, n_changes);
    och_arena_clear(&arena);
    if (status != OCHRE_OK) {
        och_collection_release(*collection);
        *collection = NULL;
    }
    return status;
}

ochre_status
och_engine_collection(struct och_engine *engine, const struct och_collection_row *row,
        struct och_collection **collection_out, struct ochre_error *err)
{
    *collection_out = och_engine_loaded(engine, row->id);
    if (*collection_out != NULL)
        return OCHRE_OK;
    if (och_follow_is_on(engine))
        return och_follow_collection(engine, row->id, collection_out, err);
    struct och_collection_settings settings;
    ochre_status status = read_settings(engine, row, &settings, err);
    if (status != OCHRE_OK)
        return status;
    struct och_collection *collection;
    status = och_collection_load(engine, row, &settings, &collection, err);
    if (status != OCHRE_OK)
        return status;
    *collection_out = enter(engine, collection);
    och_maintain_wrote(*collection_out);
    return look_again(engine, row, collection_out, err);
}

/* --- changing --------------------------------------------------------------- */

ochre_status
och_engine_update(
        struct och_engine *engine, const struct och_collection_row *row, struct ochre_error *err)
{
    struct och_catalog *catalog = engine->ports.catalog;
    struct och_collection_settings settings;
    ochre_status status = read_settings(engine, row, &settings, err);
    const struct och_note note = {.kind = OCH_NOTE_COLLECTION_UPDATE,
            .id = row->id,
            .name = row->name,
            .metadata = row->metadata,
            .schema = row->schema};
    if (status == OCHRE_OK)
        status = och_notes_before(engine->ports.notes, &note, err);
    if (status != OCHRE_OK)
        return status;
    status = catalog->ops->collection_update(catalog, row, err);
    och_notes_after(engine->ports.notes, &note, status);
    if (status != OCHRE_OK)
        return status;
    struct och_collection *loaded = och_engine_loaded(engine, row->id);
    if (loaded != NULL)
        och_collection_change(loaded, &settings);
    och_collection_release(loaded);
    return OCHRE_OK;
}

/* --- dropping --------------------------------------------------------------- */

ochre_status
och_engine_drop_many(struct och_engine *engine,
        ochre_status (*change)(void *context, struct och_uuid **dropped_out, size_t *n_out,
                struct ochre_error *err),
        void *context, struct ochre_error *err)
{
    struct och_uuid *dropped = NULL;
    size_t n = 0;
    och_commit_enter(engine->commit);
    ochre_status status = change(context, &dropped, &n, err);
    if (status == OCHRE_FULL) {
        (void) och_space_give(&engine->space); /* or somebody else just did */
        status = change(context, &dropped, &n, err);
    }
    if (status == OCHRE_OK) {
        (void) atomic_fetch_add_explicit(&engine->n_changes, 1, memory_order_relaxed);
        for (size_t i = 0; i < n; i++) {
            och_engine_forget(engine, dropped[i]);
            och_maintain_add_garbage_collection(engine, dropped[i]);
        }
        ochre_status collected = och_maintain_collect(engine, NULL);
        (void) collected; /* tried again with the next seal or drop */
    }
    och_commit_leave(engine->commit);
    return status;
}

struct drop {
    struct och_engine *engine;
    struct och_uuid id;
    struct och_arena arena;
};

/* The collection, and its pins: no new ones come while the committer drops. */
static ochre_status
list_doomed(
        struct drop *drop, struct och_uuid **dropped_out, size_t *n_out, struct ochre_error *err)
{
    struct och_catalog *catalog = drop->engine->ports.catalog;
    struct och_pin_row *pins = NULL;
    size_t n = 0;
    ochre_status status = catalog->ops->pin_list(catalog, &drop->arena, drop->id, &pins, &n, err);
    if (status != OCHRE_OK)
        return status;
    struct och_uuid *ids = och_arena_take_array(&drop->arena, n + 1, sizeof(*ids));
    if (ids == NULL)
        return och_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        ids[i] = pins[i].id;
    ids[n] = drop->id;
    *dropped_out = ids;
    *n_out = n + 1;
    return OCHRE_OK;
}

static ochre_status
drop_one(void *context, struct och_uuid **dropped_out, size_t *n_out, struct ochre_error *err)
{
    struct drop *drop = context;
    struct och_catalog *catalog = drop->engine->ports.catalog;
    ochre_status listed = list_doomed(drop, dropped_out, n_out, err);
    if (listed != OCHRE_OK)
        return listed;
    struct och_notes *notes = drop->engine->ports.notes;
    const struct och_note note = {.kind = OCH_NOTE_COLLECTION_DELETE, .id = drop->id};
    ochre_status status = och_notes_before(notes, &note, err);
    if (status != OCHRE_OK)
        return status;
    status = catalog->ops->collection_delete(catalog, drop->id, err);
    och_notes_after(notes, &note, status);
    return status;
}

ochre_status
och_engine_drop(struct och_engine *engine, struct och_uuid id, struct ochre_error *err)
{
    struct drop drop = {.engine = engine, .id = id};
    och_arena_init(&drop.arena, engine->ports.mem);
    ochre_status status = och_engine_drop_many(engine, drop_one, &drop, err);
    och_arena_clear(&drop.arena);
    return status;
}

static void
forget_all(struct och_engine *engine)
{
    for (size_t i = 0; i < OCH_ENGINE_TABLE_SIZE; i++) {
        bool more = true;
        while (more) {
            struct och_uuid id = {{0}};
            och_mutex_lock(&engine->table_lock);
            more = engine->table[i] != NULL;
            if (more)
                id = engine->table[i]->id;
            och_mutex_unlock(&engine->table_lock);
            if (more)
                och_engine_forget(engine, id);
        }
    }
}

static ochre_status
reset_catalog(struct och_engine *engine, struct ochre_error *err)
{
    struct och_catalog *catalog = engine->ports.catalog;
    const struct och_note note = {.kind = OCH_NOTE_RESET};
    ochre_status status = och_notes_before(engine->ports.notes, &note, err);
    if (status != OCHRE_OK)
        return status;
    status = catalog->ops->reset(catalog, err);
    och_notes_after(engine->ports.notes, &note, status);
    return status;
}

/* After a reset nothing that was loaded is listed any more, and neither is what
 * was not loaded: the sweep finds its files. */
ochre_status
och_engine_reset(struct och_engine *engine, struct ochre_error *err)
{
    och_commit_enter(engine->commit);
    ochre_status status = reset_catalog(engine, err);
    if (status == OCHRE_FULL) {
        (void) och_space_give(&engine->space);
        status = reset_catalog(engine, err);
    }
    if (status == OCHRE_OK) {
        forget_all(engine);
        ochre_status swept = och_maintain_sweep(engine, NULL);
        if (swept == OCHRE_OK)
            swept = och_maintain_collect(engine, NULL);
        (void) swept; /* files that stay are found at the next open */
    }
    och_commit_leave(engine->commit);
    return status;
}

/* --- sealing on demand ------------------------------------------------------ */

/* Have the background seal what is waiting (the committer). */
static void
queue_all(struct och_engine *engine)
{
    if (engine->ports.executor == NULL)
        return; /* without one everything is sealed where it is frozen */
    och_mutex_lock(&engine->table_lock);
    for (size_t i = 0; i < OCH_ENGINE_TABLE_SIZE; i++)
        for (struct och_collection *c = engine->table[i]; c != NULL; c = c->next_in_table)
            och_maintain_collection(c);
    och_mutex_unlock(&engine->table_lock);
}

/* Seal what the collection that needs the oldest record has; *more_out: if that is
 * older than `before`. */
static ochre_status
seal_oldest(struct och_engine *engine, uint64_t before, bool *more_out, struct ochre_error *err)
{
    bool background = engine->ports.executor != NULL;
    uint64_t lsn;
    och_commit_enter(engine->commit);
    struct och_collection *collection = och_maintain_oldest(engine, true, &lsn);
    *more_out = collection != NULL && lsn < before;
    ochre_status status = *more_out ? och_maintain_freeze(collection, err) : OCHRE_OK;
    if (*more_out && status == OCHRE_OK && !background)
        status = och_maintain_seal(collection, true, err);
    och_commit_leave(engine->commit);
    if (*more_out && status == OCHRE_OK && background)
        status = och_maintain_seal(collection, false, err);
    if (status == OCHRE_NOT_FOUND) /* dropped meanwhile: there is nothing to seal */
        status = OCHRE_OK;
    if (*more_out && status == OCHRE_OK) {
        och_commit_enter(engine->commit);
        och_maintain_queue_merge(collection);
        och_commit_leave(engine->commit);
    }
    och_collection_release(collection);
    return status;
}

ochre_status
och_engine_seal_all(struct och_engine *engine, struct ochre_error *err)
{
    /* No new background work begins while someone seals everything, and what was
     * under way is over: nothing is left to wait for in between. */
    och_commit_enter(engine->commit);
    engine->n_sealing_all++;
    uint64_t before = engine->log->ops->next_lsn(engine->log);
    och_commit_leave(engine->commit);
    och_maintain_drain(engine);
    ochre_status status = OCHRE_OK;
    bool more = true;
    while (more && status == OCHRE_OK)
        status = seal_oldest(engine, before, &more, err);
    och_commit_enter(engine->commit);
    engine->n_sealing_all--;
    /* Heads that were frozen meanwhile were left to this; it may have ended early. */
    if (engine->n_sealing_all == 0)
        queue_all(engine);
    och_commit_leave(engine->commit);
    return status;
}

static ochre_status
compact(struct och_collection *collection, enum och_merge_mode mode, struct ochre_error *err)
{
    ochre_status status = och_collection_usable(collection, err);
    if (status == OCHRE_OK)
        status = och_maintain_compact(collection, mode, err);
    /* One that is dropped meanwhile gives up, whatever it is doing. */
    struct ochre_error why;
    if (status != OCHRE_OK && och_collection_usable(collection, &why) == OCHRE_NOT_FOUND) {
        status = OCHRE_NOT_FOUND;
        if (err != NULL)
            *err = why;
    }
    return status;
}

ochre_status
och_engine_compact(
        struct och_engine *engine, struct och_collection *collection, struct ochre_error *err)
{
    och_assert(collection->engine == engine);
    return compact(collection, OCH_MERGE_ALL, err);
}

ochre_status
och_engine_clean(struct och_collection *collection, struct ochre_error *err)
{
    return compact(collection, OCH_MERGE_DEAD, err);
}

struct och_engine_stats
och_engine_stats(struct och_engine *engine)
{
    struct och_engine_stats stats = {.log_size = 0};
    if (engine->log == NULL)
        return stats;
    och_commit_enter(engine->commit);
    stats.log = engine->log->ops->stats(engine->log);
    stats.log_size = engine->log->ops->size(engine->log);
    och_commit_leave(engine->commit);
    return stats;
}
