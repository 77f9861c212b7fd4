#include "engine/recover.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/apply.h"
#include "engine/collection.h"
#include "engine/engine.h"
#include "engine/maintain.h"
#include "engine/write.h"

/* A collection, for what has to be told of each. */
struct listed {
    struct och_uuid id;
    uint32_t number;
    uint64_t lsn; /* its segments have what was written up to it */
};

struct recovery {
    struct och_engine *engine;
    struct och_arena arena; /* cleared after each record */
    uint64_t lsn_max;       /* the newest record the catalog knows of */
    uint64_t generation;    /* the newest one the log knows of */
    uint16_t last_type;     /* of the newest record; 0: the log is empty */
    uint32_t dropped;       /* the number found dropped last: its records come in rows */
    struct listed *listed;  /* owned */
    size_t n_listed, room;
};

static ochre_status
note_state(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    struct recovery *recovery = context;
    (void) id;
    (void) number;
    (void) n_segments;
    if (state->lsn > recovery->lsn_max)
        recovery->lsn_max = state->lsn;
    return OCHRE_OK;
}

/* The collection with this number, loaded; *collection_out NULL: it was dropped. */
static ochre_status
find_collection(struct recovery *recovery, uint32_t number, struct och_collection **collection_out,
        struct ochre_error *err)
{
    struct och_engine *engine = recovery->engine;
    struct och_catalog *catalog = engine->ports.catalog;
    *collection_out = NULL;
    if (number == recovery->dropped)
        return OCHRE_OK;
    for (size_t i = 0; i < OCH_ENGINE_TABLE_SIZE; i++) {
        for (struct och_collection *c = engine->table[i]; c != NULL; c = c->next_in_table) {
            if (c->number == number) {
                *collection_out = och_collection_retain(c);
                return OCHRE_OK;
            }
        }
    }
    struct och_collection_row row;
    ochre_status status =
            catalog->ops->collection_by_number(catalog, &recovery->arena, number, &row, err);
    if (status == OCHRE_NOT_FOUND) {
        recovery->dropped = number;
        return OCHRE_OK;
    }
    if (status == OCHRE_OK)
        status = och_engine_collection(engine, &row, collection_out, err);
    return status;
}

/* Apply a record to its collection, once. */
static ochre_status
apply_record(struct och_collection *collection, const struct och_log_record *record, bool damaged,
        struct ochre_error *why)
{
    if (damaged)
        return och_fail(why, OCHRE_CORRUPT, "log record %llu fails its checksum",
                (unsigned long long) record->lsn);
    if (record->position != collection->staged.position + 1)
        return och_fail(why, OCHRE_CORRUPT, "log record %llu has position %llu; %llu is next",
                (unsigned long long) record->lsn, (unsigned long long) record->position,
                (unsigned long long) collection->staged.position + 1);
    struct och_undo undo;
    ochre_status status = och_apply_stage(collection, record->payload, &undo, why);
    och_apply_clear(&undo);
    if (status == OCHRE_OK)
        och_apply_publish(collection, record->lsn);
    return status;
}

ochre_status
och_recover_apply(struct och_collection *collection, const struct och_log_record *record,
        bool damaged, struct ochre_error *why)
{
    ochre_status status = apply_record(collection, record, damaged, why);
    if (status == OCHRE_IO) /* a sealed row could not be read: once more */
        status = apply_record(collection, record, damaged, why);
    return status;
}

static ochre_status
recover_write(struct recovery *recovery, const struct och_log_record *record, bool damaged,
        struct ochre_error *err)
{
    struct och_collection *collection;
    ochre_status status = find_collection(recovery, record->collection, &collection, err);
    if (status != OCHRE_OK || collection == NULL)
        return status;
    if (record->position <= collection->published.position)
        goto done; /* in a segment already */
    if (och_collection_usable(collection, NULL) == OCHRE_OK) {
        struct ochre_error why = {.status = OCHRE_OK};
        status = och_recover_apply(collection, record, damaged, &why);
        if (status == OCHRE_NO_MEMORY) {
            if (err != NULL)
                *err = why;
            goto done; /* nothing is damaged: opening fails, and may be tried again */
        }
        if (status != OCHRE_OK)
            och_collection_fail(collection, &why);
        status = OCHRE_OK;
        /* A long log may hold more than one head's worth. */
        if (och_collection_usable(collection, NULL) == OCHRE_OK)
            och_maintain_recovered(collection);
    }
    /* What was not applied must stay in the log. */
    if (collection->unsealed_lsn == 0 && collection->view->n_frozen == 0)
        collection->unsealed_lsn = record->lsn;

done:
    och_collection_release(collection);
    return status;
}

static ochre_status
visit(void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct recovery *recovery = context;
    ochre_status status = OCHRE_OK;
    recovery->last_type = record->type;
    if (record->type == OCH_RECORD_WRITE) {
        status = recover_write(recovery, record, damaged, err);
    } else if (record->type == OCH_RECORD_GENERATION && !damaged && record->payload.size == 8) {
        uint64_t generation = och_load_u64(record->payload.data);
        if (generation > recovery->generation)
            recovery->generation = generation;
    }
    och_arena_clear(&recovery->arena);
    return status;
}

static ochre_status
check_generation(struct recovery *recovery, struct ochre_error *err)
{
    struct och_catalog *catalog = recovery->engine->ports.catalog;
    uint64_t generation;
    ochre_status status = catalog->ops->generation(catalog, &generation, err);
    if (status != OCHRE_OK)
        return status;
    if (generation < recovery->generation)
        return och_fail(err, OCHRE_CORRUPT,
                "the catalog is older (generation %llu) than the log knows (%llu); run "
                "`ochre repair`, or restore a backup",
                (unsigned long long) generation, (unsigned long long) recovery->generation);
    recovery->engine->noted_generation = recovery->generation;
    return OCHRE_OK;
}

/* --- records that are missing ------------------------------------------------- */

static ochre_status
list_collection(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    struct recovery *recovery = context;
    struct och_mem *mem = recovery->engine->ports.mem;
    (void) n_segments;
    if (recovery->n_listed == recovery->room) {
        size_t room = recovery->room == 0 ? 64 : recovery->room * 2;
        struct listed *listed = och_mem_resize(
                mem, recovery->listed, recovery->room * sizeof(*listed), room * sizeof(*listed));
        if (listed == NULL)
            return OCHRE_NO_MEMORY;
        recovery->listed = listed;
        recovery->room = room;
    }
    recovery->listed[recovery->n_listed++] = (struct listed){id, number, state->lsn};
    return OCHRE_OK;
}

/* Of the collection records may be missing: it says so, and the log keeps what there is. */
static ochre_status
fail_lacking(struct recovery *recovery, const struct listed *listed, const char *damage,
        struct ochre_error *err)
{
    struct och_engine *engine = recovery->engine;
    struct och_catalog *catalog = engine->ports.catalog;
    struct och_collection *collection = NULL;
    struct och_collection_row row;
    ochre_status status =
            catalog->ops->collection_by_id(catalog, &recovery->arena, listed->id, &row, err);
    if (status == OCHRE_OK && och_collection_row_is_pin(&row))
        return OCHRE_OK; /* nothing of it was ever in the log */
    if (status == OCHRE_OK)
        status = och_engine_collection(engine, &row, &collection, err);
    if (status != OCHRE_OK)
        return status;
    struct ochre_error why = {.status = OCHRE_OK};
    (void) och_fail(
            &why, OCHRE_CORRUPT, "records of the collection may be missing.  %.400s", damage);
    och_collection_fail(collection, &why);
    if (collection->unsealed_lsn == 0 && collection->view->n_frozen == 0)
        collection->unsealed_lsn = collection->published.lsn + 1;
    och_collection_release(collection);
    return OCHRE_OK;
}

/* Find the collections that miss what is missing. */
static ochre_status
tell_holes(struct recovery *recovery, const char *damage, struct ochre_error *err)
{
    struct och_engine *engine = recovery->engine;
    struct och_catalog *catalog = engine->ports.catalog;
    ochre_status status = catalog->ops->each_collection(
            catalog, &recovery->arena, list_collection, recovery, err);
    for (size_t i = 0; i < recovery->n_listed && status == OCHRE_OK; i++) {
        struct listed *listed = &recovery->listed[i];
        struct och_collection *loaded = och_engine_loaded(engine, listed->id);
        if (loaded != NULL)
            listed->lsn = loaded->published.lsn;
        och_collection_release(loaded);
        if (engine->log->ops->lacks(engine->log, listed->number, listed->lsn))
            status = fail_lacking(recovery, listed, damage, err);
        och_arena_clear(&recovery->arena);
    }
    och_mem_release(
            engine->ports.mem, recovery->listed, recovery->room * sizeof(*recovery->listed));
    recovery->listed = NULL;
    return status;
}

/* Read the log; where it is damaged, once more, for the collections that miss nothing. */
static ochre_status
read_log(struct recovery *recovery, struct ochre_error *err)
{
    struct och_engine *engine = recovery->engine;
    const struct och_log_source *source = &engine->ports.log;
    struct ochre_error why = {.status = OCHRE_OK};
    struct ochre_error again = {.status = OCHRE_OK};
    ochre_status status = source->open(
            source->context, recovery->lsn_max, false, visit, recovery, &engine->log, &why);
    if (status == OCHRE_CORRUPT) {
        och_engine_clear_table(engine);
        recovery->generation = 0;
        recovery->last_type = 0;
        recovery->dropped = 0;
        status = source->open(
                source->context, recovery->lsn_max, true, visit, recovery, &engine->log, &again);
        if (status != OCHRE_OK && status != OCHRE_CORRUPT)
            why = again;
    }
    if (status == OCHRE_OK && engine->log->ops->has_holes(engine->log))
        status = tell_holes(recovery,
                why.status == OCHRE_CORRUPT
                        ? why.message
                        : "The log was damaged; run `ochre repair`, or restore a backup",
                &why);
    if (status != OCHRE_OK && err != NULL)
        *err = why;
    return status;
}

/* What was read is what collections are from now on. */
static ochre_status
settle(struct recovery *recovery, struct ochre_error *err)
{
    struct och_engine *engine = recovery->engine;
    struct och_record_log *log = engine->log;
    bool has_holes = log->ops->has_holes(log);
    ochre_status status = log->ops->settle(log, err);
    if (status != OCHRE_OK && has_holes)
        return status; /* or later openings could not tell what is missing */
    if (has_holes || (recovery->last_type != 0 && recovery->last_type != OCH_RECORD_CLOSE))
        och_engine_vouch(engine);
    else
        engine->vouched_lsn = log->ops->next_lsn(log);
    return OCHRE_OK;
}

void
och_engine_vouch(struct och_engine *engine)
{
    struct och_log_record record = {.type = OCH_RECORD_CLOSE, .payload = {"", 0}};
    ochre_status noted = engine->log->ops->append(engine->log, &record, 1, NULL);
    if (noted == OCHRE_OK)
        engine->vouched_lsn = engine->log->ops->next_lsn(engine->log);
}

ochre_status
och_recover(struct och_engine *engine, struct ochre_error *err)
{
    struct recovery recovery = {.engine = engine};
    och_arena_init(&recovery.arena, engine->ports.mem);
    engine->recovering = true;
    struct och_catalog *catalog = engine->ports.catalog;
    ochre_status status =
            catalog->ops->each_collection(catalog, &recovery.arena, note_state, &recovery, err);
    och_arena_clear(&recovery.arena);
    if (status == OCHRE_OK)
        status = read_log(&recovery, err);
    if (status == OCHRE_OK)
        status = check_generation(&recovery, err);
    if (status == OCHRE_OK)
        status = settle(&recovery, err);
    och_arena_clear(&recovery.arena);
    engine->recovering = false;
    return status;
}
