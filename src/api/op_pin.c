#include <string.h>

#include "api/db.h"
#include "api/names.h"
#include "api/ops.h"
#include "api/validate.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/uuid.h"
#include "engine/collection.h"
#include "engine/engine.h"
#include "index/meta/fields.h"
#include "os/clock.h"

#define NS_PER_SECOND UINT64_C(1000000000)

/* The one field of a pin's metadata. */
static const char created_key[] = "created_unix_s";

/* --- making ------------------------------------------------------------------- */

/* When it was made, in the form of a collection's metadata. */
static ochre_status
put_created(struct ochre_db *db, struct och_arena *arena, uint64_t created_s,
        struct ochre_bytes *metadata_out, struct ochre_error *err)
{
    struct ochre_field field = {.key = {created_key, sizeof(created_key) - 1},
            .value = {.type = OCHRE_VALUE_INT, .as.integer = (int64_t) created_s}};
    const struct ochre_metadata metadata = {.fields = &field, .n_fields = 1};
    struct och_buf buf;
    och_buf_init(&buf, &db->mem, OCH_METADATA_SIZE_MAX);
    ochre_status status = och_fields_encode(&buf, arena, &metadata, false);
    if (status == OCHRE_OK) {
        metadata_out->data = och_arena_copy(arena, buf.data, buf.size);
        metadata_out->size = buf.size;
    }
    if (status != OCHRE_OK || metadata_out->data == NULL)
        status = och_fail_memory(err);
    och_buf_clear(&buf);
    return status;
}

/* What somebody called it, or else its id; in the arena. */
static ochre_status
name_pin(struct och_arena *arena, struct ochre_bytes name, struct och_uuid id,
        struct ochre_bytes *name_out, struct ochre_error *err)
{
    char text[OCH_UUID_TEXT_SIZE + 1];
    struct ochre_error why;
    ochre_status status =
            name.data == NULL ? OCHRE_OK : och_name_check(OCH_NAME_COLLECTION, name, &why);
    if (status != OCHRE_OK)
        return och_fail(err, status, "Validation error: name: %.400s", why.message);
    och_uuid_put(id, text);
    const struct ochre_bytes given =
            name.data == NULL ? (struct ochre_bytes){text, OCH_UUID_TEXT_SIZE} : name;
    name_out->data = och_arena_copy(arena, given.data, given.size);
    name_out->size = given.size;
    return name_out->data == NULL ? och_fail_memory(err) : OCHRE_OK;
}

static ochre_status
make_row(struct ochre_db *db, struct och_arena *arena, const struct och_target *target,
        struct ochre_bytes name, struct och_collection_row *row, struct ochre_error *err)
{
    uint8_t random[16];
    uint64_t now_s = och_machine_wall_ns(db->options.machine) / NS_PER_SECOND;
    ochre_status status = och_machine_entropy(db->options.machine, random, sizeof(random), err);
    if (status != OCHRE_OK)
        return status;
    *row = (struct och_collection_row){.id = och_uuid_from_random(random),
            .tenant = {"", 0},
            .database = {(const char *) target->id.bytes, sizeof(target->id.bytes)}};
    status = name_pin(arena, name, row->id, &row->name, err);
    return status == OCHRE_OK ? put_created(db, arena, now_s, &row->metadata, err) : status;
}

static void
show(const struct och_pin_row *row, struct och_pin_info *info)
{
    struct och_field_view created;
    *info = (struct och_pin_info){
            .name = row->name, .position = row->position, .n_bytes = row->n_bytes};
    if (och_fields_are_valid(row->metadata) &&
            och_fields_find(row->metadata,
                    (struct ochre_bytes){created_key, sizeof(created_key) - 1}, &created) &&
            created.type == OCHRE_VALUE_INT)
        memcpy(&info->created_unix_s, created.value, sizeof(info->created_unix_s));
}

/* An och_fork_answer's `ready`: what there is to be shown is known by then. */
static ochre_status
ready(void *context, const struct och_collection_row *row, const struct och_facts *facts,
        struct ochre_error *err)
{
    const struct och_pin_row made = {
            .name = row->name, .metadata = row->metadata, .position = facts->position};
    (void) err;
    show(&made, context);
    return OCHRE_OK;
}

/* Sealing in vain, and making names of files, is what a second name or one more pin would cost. */
static ochre_status
refuse_early(struct ochre_db *db, struct och_arena *arena, const struct och_target *target,
        struct ochre_bytes name, struct ochre_error *err)
{
    struct och_pin_row *rows = NULL;
    size_t n = 0;
    ochre_status status =
            db->catalog->ops->pin_list(db->catalog, arena, target->id, &rows, &n, err);
    for (size_t i = 0; i < n; i++)
        if (och_bytes_equal(rows[i].name, name))
            return och_fail(err, OCHRE_EXISTS, "Pin [%.*s] already exists",
                    och_name_shown(name, OCH_NAME_SIZE_MAX / 2), name.data);
    if (n >= OCH_PINS_MAX)
        return och_fail(err, OCHRE_INVALID, "the collection has %zu pins; the limit is %u", n,
                OCH_PINS_MAX);
    return status;
}

ochre_status
och_op_pin(struct ochre_db *db, struct och_arena *arena, const struct och_target *target,
        struct ochre_bytes name, struct och_pin_info *info_out, struct ochre_error *err)
{
    *info_out = (struct och_pin_info){.position = 0};
    struct och_collection *source = NULL;
    struct och_collection_row row = {.number = 0};
    const struct och_fork_answer answer = {.arena = arena, .ready = ready, .context = info_out};
    ochre_status status = och_db_admit_change(db, err);
    if (status == OCHRE_OK)
        status = och_space_admit(&db->engine->space, err);
    if (status == OCHRE_OK)
        status = make_row(db, arena, target, name, &row, err);
    if (status == OCHRE_OK)
        status = och_validate_target(db, target, &source, err);
    if (status == OCHRE_OK)
        status = refuse_early(db, arena, target, row.name, err);
    if (status == OCHRE_OK)
        status = och_engine_fork(source, &row, &answer, err);
    och_collection_release(source);
    return status;
}

/* --- the others --------------------------------------------------------------- */

static ochre_status
list_rows(struct ochre_db *db, struct och_arena *arena, const struct och_target *target,
        struct och_pin_row **rows_out, size_t *n_out, struct ochre_error *err)
{
    ochre_status status = och_op_collection_check(db, target, err);
    return status == OCHRE_OK
            ? db->catalog->ops->pin_list(db->catalog, arena, target->id, rows_out, n_out, err)
            : status;
}

ochre_status
och_op_pin_list(struct ochre_db *db, struct och_arena *arena, const struct och_target *target,
        struct och_pin_info **infos_out, size_t *n_out, struct ochre_error *err)
{
    struct och_pin_row *rows = NULL;
    size_t n = 0;
    *infos_out = NULL;
    *n_out = 0;
    ochre_status status = list_rows(db, arena, target, &rows, &n, err);
    if (status != OCHRE_OK)
        return status;
    struct och_pin_info *infos = och_arena_take_array(arena, n, sizeof(*infos));
    if (infos == NULL)
        return och_fail_memory(err);
    for (size_t i = 0; i < n; i++)
        show(&rows[i], &infos[i]);
    *infos_out = infos;
    *n_out = n;
    return OCHRE_OK;
}

ochre_status
och_op_unpin(struct ochre_db *db, const struct och_target *target, struct ochre_bytes name,
        struct ochre_error *err)
{
    struct och_arena arena;
    struct och_pin_row *rows = NULL;
    const struct och_pin_row *found = NULL;
    size_t n = 0;
    och_arena_init(&arena, &db->mem);
    ochre_status status = och_db_admit_change(db, err);
    if (status == OCHRE_OK)
        status = list_rows(db, &arena, target, &rows, &n, err);
    bool listed = status == OCHRE_OK;
    for (size_t i = 0; listed && i < n; i++)
        if (och_bytes_equal(rows[i].name, name))
            found = &rows[i];
    if (listed)
        status = found == NULL ? OCHRE_NOT_FOUND : och_engine_drop(db->engine, found->id, err);
    if (status == OCHRE_NOT_FOUND && listed) /* or somebody else was faster */
        status = och_fail(err, OCHRE_NOT_FOUND, "Pin [%.*s] does not exist.",
                och_name_shown(name, OCH_NAME_SIZE_MAX / 2), name.data);
    och_arena_clear(&arena);
    return status;
}

ochre_status
och_op_pin_count(struct ochre_db *db, uint64_t *count_out, struct ochre_error *err)
{
    *count_out = 0;
    ochre_status status = och_db_be_current(db, err);
    return status == OCHRE_OK ? db->catalog->ops->pin_count(db->catalog, count_out, err) : status;
}
