#include <string.h>

#include "api/db.h"
#include "api/names.h"
#include "api/ops.h"
#include "api/schema.h"
#include "api/validate.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "index/meta/fields.h"
#include "index/meta/keys.h"
#include "os/clock.h"
#include "storage/log_note.h"

/* --- what an answer shows ---------------------------------------------------- */

/* Copy a key set into the arena: the set itself may be replaced any time. */
static ochre_status
copy_keys(struct och_arena *arena, const struct och_keys *keys, struct och_collection_info *info)
{
    const struct och_key *list = och_keys_list(keys, &info->n_keys);
    struct och_key *copy = och_arena_take_array(arena, info->n_keys, sizeof(*copy));
    if (copy == NULL)
        return OCHRE_NO_MEMORY;
    for (size_t i = 0; i < info->n_keys; i++) {
        copy[i].types = list[i].types;
        copy[i].key.size = list[i].key.size;
        copy[i].key.data = och_arena_copy(arena, list[i].key.data, list[i].key.size);
        if (copy[i].key.data == NULL)
            return OCHRE_NO_MEMORY;
    }
    info->keys = copy;
    return OCHRE_OK;
}

/* What writing has made of it: from memory if it is loaded, else the catalog. */
static ochre_status
fill_state(struct ochre_db *db, struct och_arena *arena, struct och_collection_info *info,
        struct ochre_error *err)
{
    struct och_keys *keys = NULL;
    ochre_status status = OCHRE_OK;
    struct och_collection *loaded = och_engine_loaded(db->engine, info->row.id);
    if (loaded != NULL) {
        och_mutex_lock(&loaded->lock);
        info->dim = loaded->published.dim;
        info->log_position = loaded->published.position;
        keys = och_keys_retain(loaded->published.keys);
        och_mutex_unlock(&loaded->lock);
        och_collection_release(loaded);
    } else {
        struct och_collection_state state;
        struct och_segment_row *segments;
        size_t n_segments;
        status = db->catalog->ops->state_get(
                db->catalog, arena, info->row.id, &state, &segments, &n_segments, err);
        if (status != OCHRE_OK)
            return status;
        info->dim = state.dim;
        info->log_position = state.position;
        status = och_keys_decode(&db->mem, state.keys, &keys);
        if (status != OCHRE_OK)
            return och_fail(err, status, "the collection's key set is not whole");
    }
    status = copy_keys(arena, keys, info);
    och_keys_release(keys);
    return status == OCHRE_OK ? OCHRE_OK : och_fail_memory(err);
}

/* What people decided, from the catalog's row. */
static ochre_status
fill_decided(struct och_arena *arena, struct och_collection_info *info, struct ochre_error *err)
{
    ochre_status status = och_schema_parse(arena, info->row.schema, &info->schema, err);
    if (status != OCHRE_OK)
        return status;
    if (!och_fields_are_valid(info->row.metadata))
        return och_fail(err, OCHRE_CORRUPT, "the collection's metadata is not whole");
    status = och_fields_decode(arena, info->row.metadata, true, &info->metadata);
    return status == OCHRE_OK ? OCHRE_OK : och_fail_memory(err);
}

/* From the catalog's row to everything an answer shows. */
static ochre_status
fill_info(struct ochre_db *db, struct och_arena *arena, struct och_collection_info *info,
        struct ochre_error *err)
{
    ochre_status status = fill_decided(arena, info, err);
    return status == OCHRE_OK ? fill_state(db, arena, info, err) : status;
}

/* --- creating --------------------------------------------------------------- */

static ochre_status
check_collection_metadata(const struct ochre_metadata *metadata, struct ochre_error *err)
{
    if (metadata == NULL)
        return OCHRE_OK;
    if (metadata->n_fields == 0)
        return och_fail(err, OCHRE_INVALID,
                "Validation error: metadata: it is empty; leave it out or give at least one key");
    for (size_t i = 0; i < metadata->n_fields; i++)
        if (metadata->fields[i].value.type >= OCHRE_VALUE_BOOL_LIST)
            return och_fail(err, OCHRE_INVALID,
                    "Validation error: metadata: a collection's values are strings, booleans and "
                    "numbers, not lists");
    return och_validate_metadata(metadata, "metadata", err);
}

static ochre_status
check_create(const struct och_create *create, struct ochre_error *err)
{
    ochre_status status =
            och_schema_request_check_configuration(create->indexes, create->metadata, err);
    if (status != OCHRE_OK)
        return status;
    struct ochre_error why;
    status = och_name_check(OCH_NAME_COLLECTION, create->name, &why);
    if (status != OCHRE_OK)
        return och_fail(err, status, "Validation error: name: %.400s", why.message);
    status = check_collection_metadata(create->metadata, err);
    if (status == OCHRE_OK)
        status = och_schema_request_check_schema(create->indexes, err);
    return status;
}

/* The metadata as the catalog keeps it; NULL data when nothing is in it. */
static ochre_status
store_metadata(struct ochre_db *db, struct och_arena *arena, const struct ochre_metadata *metadata,
        struct ochre_bytes *stored_out, struct ochre_error *err)
{
    *stored_out = (struct ochre_bytes){NULL, 0};
    if (metadata == NULL)
        return OCHRE_OK;
    struct och_buf buf;
    och_buf_init(&buf, &db->mem, OCH_METADATA_SIZE_MAX);
    ochre_status status = och_fields_encode(&buf, arena, metadata, false);
    struct ochre_bytes encoded = {buf.data, buf.size};
    if (status == OCHRE_OK && buf.size > OCH_COLLECTION_METADATA_SIZE_MAX) {
        status = och_fail(err, OCHRE_INVALID,
                "Validation error: metadata: it has %zu bytes; the limit is %u", buf.size,
                OCH_COLLECTION_METADATA_SIZE_MAX);
    } else if (status == OCHRE_OK && och_fields_count(encoded) > 0) {
        stored_out->data = och_arena_copy(arena, buf.data, buf.size);
        stored_out->size = buf.size;
        status = stored_out->data == NULL ? och_fail_memory(err) : OCHRE_OK;
    } else if (status != OCHRE_OK) {
        status = och_fail_memory(err);
    }
    och_buf_clear(&buf);
    return status;
}

/* Once it is in the catalog it exists, so the answer is ready before: what writing
 * makes of a new collection is nothing yet. */
static ochre_status
insert(struct ochre_db *db, struct och_arena *arena, const struct och_create *create,
        struct och_collection_info *info, struct ochre_error *err)
{
    struct och_collection_row *row = &info->row;
    const struct och_schema *schema;
    ochre_status status = och_schema_build(
            arena, create->indexes, create->metadata, db->options.n_cpus, &schema, err);
    if (status == OCHRE_OK)
        status = och_schema_store(arena, schema, &row->schema, err);
    if (status == OCHRE_OK)
        status = store_metadata(db, arena, create->metadata, &row->metadata, err);
    uint8_t random[16];
    if (status == OCHRE_OK)
        status = och_machine_entropy(db->options.machine, random, sizeof(random), err);
    if (status != OCHRE_OK)
        return status;
    row->id = och_uuid_from_random(random);
    row->tenant = create->tenant;
    row->database = create->database;
    row->name = create->name;
    status = fill_decided(arena, info, err);
    if (status != OCHRE_OK)
        return status;
    const struct och_note note = {.kind = OCH_NOTE_COLLECTION_CREATE,
            .id = row->id,
            .tenant = row->tenant,
            .database = row->database,
            .name = row->name,
            .metadata = row->metadata,
            .schema = row->schema};
    status = och_db_begin_change(db, &note, err);
    if (status == OCHRE_OK)
        status = och_db_end_change(
                db, &note, db->catalog->ops->collection_create(db->catalog, row, err));
    /* The wire says 400, not 404, for a database that is not there. */
    if (status == OCHRE_NOT_FOUND)
        status = OCHRE_INVALID;
    if (status == OCHRE_INVALID && err != NULL)
        err->status = OCHRE_INVALID;
    return status;
}

/* On a full disk, or where it is only read, none is made, but one that is there is found. */
static ochre_status
get_anyway(struct ochre_db *db, struct och_arena *arena, const struct och_create *create,
        ochre_status refused, struct och_collection_info *info_out, struct ochre_error *err)
{
    struct ochre_error why;
    ochre_status status = och_op_collection_get(
            db, arena, create->tenant, create->database, create->name, info_out, &why);
    if (status == OCHRE_NOT_FOUND)
        return refused; /* err says so already */
    if (status != OCHRE_OK && err != NULL)
        *err = why;
    return status;
}

ochre_status
och_op_collection_create(struct ochre_db *db, struct och_arena *arena,
        const struct och_create *create, struct och_collection_info *info_out,
        struct ochre_error *err)
{
    *info_out = (struct och_collection_info){.dim = 0};
    ochre_status status = check_create(create, err);
    if (status != OCHRE_OK)
        return status;
    status = och_db_admit_change(db, err);
    if (status == OCHRE_OK)
        status = och_space_admit(&db->engine->space, err);
    if ((status == OCHRE_FULL || status == OCHRE_DENIED) && create->get_or_create)
        return get_anyway(db, arena, create, status, info_out, err);
    if (status == OCHRE_OK)
        status = insert(db, arena, create, info_out, err);
    if (status == OCHRE_EXISTS && create->get_or_create)
        return och_op_collection_get(
                db, arena, create->tenant, create->database, create->name, info_out, err);
    return status;
}

/* --- finding ---------------------------------------------------------------- */

ochre_status
och_op_collection_get(struct ochre_db *db, struct och_arena *arena, struct ochre_bytes tenant,
        struct ochre_bytes database, struct ochre_bytes name, struct och_collection_info *info_out,
        struct ochre_error *err)
{
    *info_out = (struct och_collection_info){.dim = 0};
    ochre_status status = och_db_be_current(db, err);
    if (status == OCHRE_OK)
        status = db->catalog->ops->collection_by_name(
                db->catalog, arena, tenant, database, name, &info_out->row, err);
    if (status != OCHRE_OK)
        return status;
    return fill_info(db, arena, info_out, err);
}

static bool
same_bytes(struct ochre_bytes a, struct ochre_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* The row of a collection under the tenant and database it is asked for. */
static ochre_status
find_row(struct ochre_db *db, struct och_arena *arena, const struct och_target *target,
        struct och_collection_row *row_out, struct ochre_error *err)
{
    ochre_status status =
            db->catalog->ops->collection_by_id(db->catalog, arena, target->id, row_out, err);
    if (status != OCHRE_OK && status != OCHRE_NOT_FOUND)
        return status;
    if (status == OCHRE_OK && !och_collection_row_is_pin(row_out) &&
            same_bytes(row_out->tenant, target->tenant) &&
            same_bytes(row_out->database, target->database))
        return OCHRE_OK;
    char id[OCH_UUID_TEXT_SIZE + 1];
    och_uuid_put(target->id, id);
    return och_fail(err, OCHRE_NOT_FOUND, "Collection [%s] does not exist.", id);
}

ochre_status
och_op_collection_get_by_id(struct ochre_db *db, struct och_arena *arena,
        const struct och_target *target, struct och_collection_info *info_out,
        struct ochre_error *err)
{
    *info_out = (struct och_collection_info){.dim = 0};
    ochre_status status = och_db_be_current(db, err);
    if (status == OCHRE_OK)
        status = find_row(db, arena, target, &info_out->row, err);
    if (status != OCHRE_OK)
        return status;
    return fill_info(db, arena, info_out, err);
}

ochre_status
och_op_collection_check(
        struct ochre_db *db, const struct och_target *target, struct ochre_error *err)
{
    struct och_collection *collection;
    ochre_status status = och_validate_target(db, target, &collection, err);
    if (status == OCHRE_OK)
        och_collection_release(collection);
    return status;
}

/* Split at ":" into exactly three parts, none of them empty. */
static bool
split_crn(struct ochre_bytes crn, struct ochre_bytes parts[3])
{
    const char *next = crn.data;
    const char *end = crn.data + crn.size;
    for (int i = 0; i < 3; i++) {
        const char *colon = i == 2 ? end : memchr(next, ':', (size_t) (end - next));
        if (colon == NULL || colon == next)
            return false;
        parts[i] = (struct ochre_bytes){next, (size_t) (colon - next)};
        next = i == 2 ? end : colon + 1;
    }
    return memchr(parts[2].data, ':', parts[2].size) == NULL;
}

ochre_status
och_op_collection_get_by_crn(struct ochre_db *db, struct och_arena *arena, struct ochre_bytes crn,
        struct och_collection_info *info_out, struct ochre_error *err)
{
    struct ochre_bytes parts[3];
    if (!split_crn(crn, parts))
        return och_fail(err, OCHRE_INVALID,
                "a collection resource name has three parts: tenant_resource_name:database:name");
    struct ochre_bytes tenant = {NULL, 0};
    ochre_status status = och_db_be_current(db, err);
    if (status == OCHRE_OK)
        status = db->catalog->ops->tenant_by_resource_name(
                db->catalog, arena, parts[0], &tenant, err);
    if (status == OCHRE_NOT_FOUND)
        tenant = parts[0];
    else if (status != OCHRE_OK)
        return status;
    return och_op_collection_get(db, arena, tenant, parts[1], parts[2], info_out, err);
}

ochre_status
och_op_collection_list(struct ochre_db *db, struct och_arena *arena, struct ochre_bytes tenant,
        struct ochre_bytes database, uint64_t limit, uint64_t offset,
        struct och_collection_info **infos_out, size_t *n_out, struct ochre_error *err)
{
    *infos_out = NULL;
    *n_out = 0;
    struct och_collection_row *rows = NULL;
    size_t n = 0;
    ochre_status status = och_db_be_current(db, err);
    if (status == OCHRE_OK)
        status = db->catalog->ops->collection_list(
                db->catalog, arena, tenant, database, limit, offset, &rows, &n, err);
    if (status != OCHRE_OK)
        return status;
    struct och_collection_info *infos = och_arena_take_array(arena, n, sizeof(*infos));
    if (infos == NULL)
        return och_fail_memory(err);
    size_t n_shown = 0;
    for (size_t i = 0; i < n; i++) {
        infos[n_shown] = (struct och_collection_info){.row = rows[i]};
        status = fill_info(db, arena, &infos[n_shown], err);
        if (status == OCHRE_NOT_FOUND)
            continue; /* dropped since it was listed */
        if (status != OCHRE_OK)
            return status;
        n_shown++;
    }
    *infos_out = infos;
    *n_out = n_shown;
    return OCHRE_OK;
}

ochre_status
och_op_collection_count(struct ochre_db *db, struct ochre_bytes tenant, struct ochre_bytes database,
        uint64_t *count_out, struct ochre_error *err)
{
    *count_out = 0;
    ochre_status status = och_db_be_current(db, err);
    if (status != OCHRE_OK)
        return status;
    return db->catalog->ops->collection_count(db->catalog, tenant, database, count_out, err);
}

/* --- forking ------------------------------------------------------------------ */

static ochre_status
fork_row(struct ochre_db *db, const struct och_target *target, struct ochre_bytes new_name,
        struct och_collection_row *row_out, struct ochre_error *err)
{
    struct ochre_error why;
    uint8_t random[16];
    ochre_status status = och_name_check(OCH_NAME_COLLECTION, new_name, &why);
    if (status != OCHRE_OK)
        return och_fail(err, status, "Validation error: new_name: %.400s", why.message);
    status = och_db_admit_change(db, err);
    if (status == OCHRE_OK)
        status = och_space_admit(&db->engine->space, err);
    if (status == OCHRE_OK)
        status = och_machine_entropy(db->options.machine, random, sizeof(random), err);
    if (status == OCHRE_OK)
        *row_out = (struct och_collection_row){.id = och_uuid_from_random(random),
                .tenant = target->tenant,
                .database = target->database,
                .name = new_name};
    return status;
}

/* Sealing for a name that is taken would be in vain. */
static ochre_status
check_name_is_free(
        struct ochre_db *db, const struct och_collection_row *row, struct ochre_error *err)
{
    struct och_arena arena;
    struct och_collection_row namesake;
    struct ochre_error why;
    och_arena_init(&arena, &db->mem);
    ochre_status status = db->catalog->ops->collection_by_name(
            db->catalog, &arena, row->tenant, row->database, row->name, &namesake, &why);
    och_arena_clear(&arena);
    if (status == OCHRE_NOT_FOUND)
        return OCHRE_OK;
    if (status == OCHRE_OK)
        return och_fail(err, OCHRE_EXISTS, "Collection [%.*s] already exists", (int) row->name.size,
                row->name.data);
    if (err != NULL)
        *err = why;
    return status;
}

struct fork_info {
    struct och_arena *arena;
    struct och_collection_info *info;
};

/* An och_fork_answer's `ready`. */
static ochre_status
ready(void *context, const struct och_collection_row *row, const struct och_facts *facts,
        struct ochre_error *err)
{
    const struct fork_info *fork = context;
    struct och_collection_info *info = fork->info;
    *info = (struct och_collection_info){
            .row = *row, .dim = facts->dim, .log_position = facts->position};
    ochre_status status = fill_decided(fork->arena, info, err);
    if (status == OCHRE_OK && copy_keys(fork->arena, facts->keys, info) != OCHRE_OK)
        status = och_fail_memory(err);
    return status;
}

ochre_status
och_op_collection_fork(struct ochre_db *db, struct och_arena *arena,
        const struct och_target *target, struct ochre_bytes new_name,
        struct och_collection_info *info_out, struct ochre_error *err)
{
    *info_out = (struct och_collection_info){.dim = 0};
    struct och_collection *source = NULL;
    struct och_collection_row row = {.number = 0};
    struct fork_info info = {arena, info_out};
    const struct och_fork_answer answer = {.arena = arena, .ready = ready, .context = &info};
    ochre_status status = fork_row(db, target, new_name, &row, err);
    if (status == OCHRE_OK)
        status = och_validate_target(db, target, &source, err);
    if (status != OCHRE_OK)
        return status;
    status = check_name_is_free(db, &row, err);
    if (status == OCHRE_OK)
        status = och_engine_fork(source, &row, &answer, err);
    och_collection_release(source);
    info_out->row.number = row.number;
    return status;
}

ochre_status
och_op_collection_fork_count(struct ochre_db *db, const struct och_target *target,
        uint64_t *count_out, struct ochre_error *err)
{
    *count_out = 0;
    ochre_status status = och_db_be_current(db, err);
    if (status == OCHRE_OK)
        status = och_op_collection_check(db, target, err);
    return status == OCHRE_OK
            ? db->catalog->ops->fork_count(db->catalog, target->id, count_out, err)
            : status;
}

/* --- changing --------------------------------------------------------------- */

static ochre_status
change_schema(struct och_arena *arena, const struct och_schema_change *change,
        struct och_collection_row *row, struct ochre_error *err)
{
    const struct och_schema *old;
    const struct och_schema *schema;
    ochre_status status = och_schema_change_check(change, err);
    if (status == OCHRE_OK)
        status = och_schema_parse(arena, row->schema, &old, err);
    if (status == OCHRE_OK)
        status = och_schema_apply(arena, old, change, &schema, err);
    if (status == OCHRE_OK)
        status = och_schema_store(arena, schema, &row->schema, err);
    return status;
}

static ochre_status
check_update(const struct och_update *update, struct ochre_error *err)
{
    if (update->new_name.data != NULL) {
        struct ochre_error why;
        ochre_status status = och_name_check(OCH_NAME_COLLECTION, update->new_name, &why);
        if (status != OCHRE_OK)
            return och_fail(err, status, "Validation error: new_name: %.400s", why.message);
    }
    return check_collection_metadata(update->new_metadata, err);
}

ochre_status
och_op_collection_update(struct ochre_db *db, const struct och_target *target,
        const struct och_update *update, struct ochre_error *err)
{
    struct och_arena arena;
    och_arena_init(&arena, &db->mem);
    struct och_collection_row row;
    ochre_status status = check_update(update, err);
    if (status == OCHRE_OK)
        status = och_db_admit_change(db, err);
    /* Read and replaced as one: two changes at once must not undo each other. */
    och_commit_enter(db->engine->commit);
    if (status == OCHRE_OK)
        status = find_row(db, &arena, target, &row, err);
    if (status == OCHRE_OK && update->change != NULL)
        status = change_schema(&arena, update->change, &row, err);
    if (status == OCHRE_OK && update->new_metadata != NULL)
        status = store_metadata(db, &arena, update->new_metadata, &row.metadata, err);
    if (status == OCHRE_OK && update->new_name.data != NULL)
        row.name = update->new_name;
    bool changes =
            update->change != NULL || update->new_metadata != NULL || update->new_name.data != NULL;
    if (status == OCHRE_OK && changes)
        status = och_space_admit(&db->engine->space, err);
    if (status == OCHRE_OK && changes)
        status = och_engine_update(db->engine, &row, err);
    och_commit_leave(db->engine->commit);
    och_arena_clear(&arena);
    return status;
}

ochre_status
och_op_collection_delete(struct ochre_db *db, struct ochre_bytes tenant,
        struct ochre_bytes database, struct ochre_bytes name, struct ochre_error *err)
{
    struct och_arena arena;
    och_arena_init(&arena, &db->mem);
    struct och_collection_row row;
    ochre_status status = och_db_admit_change(db, err);
    if (status == OCHRE_OK)
        status = db->catalog->ops->collection_by_name(
                db->catalog, &arena, tenant, database, name, &row, err);
    if (status == OCHRE_OK)
        status = och_engine_drop(db->engine, row.id, err);
    och_arena_clear(&arena);
    return status;
}
