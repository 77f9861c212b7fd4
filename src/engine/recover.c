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

struct recovery {
    struct och_engine *engine;
    struct och_arena arena; /* cleared after each record */
    uint64_t lsn_max;       /* the newest record the catalog knows of */
    uint64_t generation;    /* the newest one the log knows of */
    uint16_t last_type;     /* of the newest record; 0: the log is empty */
    uint32_t dropped;       /* the number found dropped last: its records come in rows */
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
        status = engine->ports.log.open(
                engine->ports.log.context, recovery.lsn_max, visit, &recovery, &engine->log, err);
    if (status == OCHRE_OK)
        status = check_generation(&recovery, err);
    if (status == OCHRE_OK && recovery.last_type != 0 && recovery.last_type != OCH_RECORD_CLOSE)
        och_engine_vouch(engine);
    else if (status == OCHRE_OK)
        engine->vouched_lsn = engine->log->ops->next_lsn(engine->log);
    och_arena_clear(&recovery.arena);
    engine->recovering = false;
    return status;
}
