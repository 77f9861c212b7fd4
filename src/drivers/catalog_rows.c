#include "drivers/catalog_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "drivers/catalog_pages.h"
#include "drivers/sqlite_vfs.h"

#define ROWS_MIN ((size_t) 16)

/* A name as a message shows it. */
struct shown {
    char text[400];
};

/* --- names in messages --------------------------------------------------- */

/* U+0000 would end the message, so its picture U+2400 stands for it; a name that
 * is too long is cut between characters. */
static struct shown
shown_bytes(struct ochre_bytes bytes)
{
    static const char null_picture[] = "\xe2\x90\x80";
    static const char more[] = "...";
    struct shown shown;
    size_t at = 0;
    size_t room = sizeof(shown.text) - sizeof(more);
    size_t i = 0;
    for (; i < bytes.size && at + sizeof(null_picture) <= room; i++) {
        if (bytes.data[i] != '\0') {
            shown.text[at++] = bytes.data[i];
            continue;
        }
        memcpy(shown.text + at, null_picture, sizeof(null_picture) - 1);
        at += sizeof(null_picture) - 1;
    }
    if (i < bytes.size) {
        while (at > 0 && i > 0 && ((unsigned char) bytes.data[i] & 0xc0u) == 0x80u) {
            i--;
            at--;
        }
        memcpy(shown.text + at, more, sizeof(more) - 1);
        at += sizeof(more) - 1;
    }
    shown.text[at] = '\0';
    return shown;
}

static struct shown
shown_id(struct och_uuid id)
{
    struct shown shown;
    char text[OCH_UUID_TEXT_SIZE + 1];
    och_uuid_put(id, text);
    (void) snprintf(shown.text, sizeof(shown.text), "%s", text);
    return shown;
}

static struct shown
shown_number(uint32_t number)
{
    struct shown shown;
    (void) snprintf(shown.text, sizeof(shown.text), "%" PRIu32, number);
    return shown;
}

static ochre_status
no_collection(struct shown which, struct ochre_error *err)
{
    return och_fail(err, OCHRE_NOT_FOUND, "Collection [%s] does not exist", which.text);
}

static ochre_status
no_tenant(struct ochre_bytes name, struct ochre_error *err)
{
    return och_fail(err, OCHRE_NOT_FOUND, "Tenant [%s] not found", shown_bytes(name).text);
}

/* --- small parts --------------------------------------------------------- */

static struct ochre_bytes
id_bytes(const struct och_uuid *id)
{
    return (struct ochre_bytes){.data = (const char *) id->bytes, .size = sizeof(id->bytes)};
}

static uint64_t
at_most_int64(uint64_t number)
{
    return number < (uint64_t) INT64_MAX ? number : (uint64_t) INT64_MAX;
}

/* Make room for one more row of `size` bytes, and return the rows, or NULL. */
static void *
make_room(struct och_rows *list, size_t size)
{
    if (list->n < list->room)
        return list->rows;
    size_t room = list->room < ROWS_MIN ? ROWS_MIN : list->room * 2;
    void *rows = och_arena_take_array(list->arena, room, size);
    if (rows == NULL)
        return NULL;
    if (list->n > 0)
        memcpy(rows, list->rows, list->n * size);
    list->rows = rows;
    list->room = room;
    return rows;
}

static ochre_status
run_with_number(
        struct och_catalog_db *db, enum och_sql which, uint64_t number, struct ochre_error *err)
{
    struct och_call call;
    och_call_init(&call, db, which);
    och_call_put_u64(&call, number);
    return och_call_run(&call, err);
}

/* Columns COLLECTION_COLUMNS of catalog_db.c. */
static ochre_status
read_collection(struct och_call *call, struct och_arena *arena, struct och_collection_row *row,
        struct ochre_error *err)
{
    *row = (struct och_collection_row){.number = (uint32_t) och_call_u64(call, 6)};
    struct ochre_bytes *const columns[] = {
            &row->tenant, &row->database, &row->name, &row->metadata, &row->schema};
    ochre_status status = och_call_fixed(call, 0, row->id.bytes, sizeof(row->id.bytes), err);
    for (int i = 0; status == OCHRE_OK && i < 5; i++)
        status = och_call_bytes(call, i + 1, arena, columns[i], err);
    return status;
}

/* The collection that the call finds, or OCHRE_NOT_FOUND about `which`. */
static ochre_status
find_collection(struct och_call *call, struct och_arena *arena, struct shown which,
        struct och_collection_row *row_out, struct ochre_error *err)
{
    struct och_collection_row row;
    bool found = false;
    ochre_status status = och_call_step(call, &found, err);
    if (status != OCHRE_OK)
        return status;
    if (!found)
        return no_collection(which, err);
    status = read_collection(call, arena, &row, err);
    if (status == OCHRE_OK)
        *row_out = row;
    return status;
}

/* --- tenants ------------------------------------------------------------- */

/* Look a tenant up; its resource name is column 0 of the row. */
static ochre_status
find_tenant(struct och_call *call, struct och_catalog_db *db, struct ochre_bytes name,
        bool *found_out, struct ochre_error *err)
{
    och_call_init(call, db, OCH_SQL_TENANT_GET);
    och_call_put_bytes(call, name);
    return och_call_step(call, found_out, err);
}

ochre_status
och_rows_add_tenant(struct och_catalog_db *db, struct ochre_bytes name, struct ochre_error *err)
{
    struct och_call call;
    bool found = false;
    ochre_status status = find_tenant(&call, db, name, &found, err);
    if (status != OCHRE_OK)
        return status;
    if (found) {
        return och_fail(err, OCHRE_EXISTS, "Tenant [%s] already exists", shown_bytes(name).text);
    }
    och_call_init(&call, db, OCH_SQL_TENANT_ADD);
    och_call_put_bytes(&call, name);
    return och_call_run(&call, err);
}

ochre_status
och_rows_get_tenant(struct och_catalog_db *db, struct och_arena *arena, struct ochre_bytes name,
        struct ochre_bytes *resource_name_out, struct ochre_error *err)
{
    struct och_call call;
    bool found = false;
    ochre_status status = find_tenant(&call, db, name, &found, err);
    if (status == OCHRE_OK && !found)
        return no_tenant(name, err);
    return status == OCHRE_OK ? och_call_bytes(&call, 0, arena, resource_name_out, err) : status;
}

/* The tenant with this resource name is column 0 of the row. */
static ochre_status
find_resource(struct och_call *call, struct och_catalog_db *db, struct ochre_bytes resource_name,
        bool *found_out, struct ochre_error *err)
{
    och_call_init(call, db, OCH_SQL_TENANT_BY_RESOURCE);
    och_call_put_bytes(call, resource_name);
    return och_call_step(call, found_out, err);
}

ochre_status
och_rows_set_resource_name(struct och_catalog_db *db, struct ochre_bytes name,
        struct ochre_bytes resource_name, struct ochre_error *err)
{
    struct och_call call;
    bool found = false;
    bool taken = false;
    ochre_status status = find_tenant(&call, db, name, &found, err);
    if (status != OCHRE_OK)
        return status;
    if (!found)
        return no_tenant(name, err);
    if (!och_call_is_null(&call, 0)) {
        return och_fail(err, OCHRE_EXISTS, "Tenant [%s] already has a resource name",
                shown_bytes(name).text);
    }
    status = find_resource(&call, db, resource_name, &taken, err);
    if (status != OCHRE_OK)
        return status;
    if (taken) {
        return och_fail(err, OCHRE_EXISTS, "Resource name [%s] already exists",
                shown_bytes(resource_name).text);
    }
    och_call_init(&call, db, OCH_SQL_TENANT_NAME_RESOURCE);
    och_call_put_bytes(&call, resource_name);
    och_call_put_bytes(&call, name);
    return och_call_run(&call, err);
}

ochre_status
och_rows_get_by_resource(struct och_catalog_db *db, struct och_arena *arena,
        struct ochre_bytes resource_name, struct ochre_bytes *name_out, struct ochre_error *err)
{
    struct och_call call;
    bool found = false;
    ochre_status status = find_resource(&call, db, resource_name, &found, err);
    if (status == OCHRE_OK && !found)
        return no_tenant(resource_name, err);
    return status == OCHRE_OK ? och_call_bytes(&call, 0, arena, name_out, err) : status;
}

/* --- databases ----------------------------------------------------------- */

struct database {
    bool found;
    struct och_uuid id;
    uint64_t key;
};

static ochre_status
find_database(struct och_catalog_db *db, struct ochre_bytes tenant, struct ochre_bytes name,
        struct database *database_out, struct ochre_error *err)
{
    struct och_call call;
    struct database database = {.found = false};
    *database_out = database;
    och_call_init(&call, db, OCH_SQL_DATABASE_GET);
    och_call_put_bytes(&call, tenant);
    och_call_put_bytes(&call, name);
    ochre_status status = och_call_step(&call, &database.found, err);
    if (status != OCHRE_OK || !database.found)
        return status;
    database.key = och_call_u64(&call, 1);
    status = och_call_fixed(&call, 0, database.id.bytes, sizeof(database.id.bytes), err);
    if (status == OCHRE_OK)
        *database_out = database;
    return status;
}

ochre_status
och_rows_add_database(
        struct och_catalog_db *db, const struct och_database_row *row, struct ochre_error *err)
{
    struct database present;
    if (row->tenant.size == 0) /* what is there is for pins */
        return och_fail(err, OCHRE_INVALID, "a database needs a tenant with a name");
    ochre_status status = find_database(db, row->tenant, row->name, &present, err);
    if (status != OCHRE_OK)
        return status;
    if (present.found) {
        return och_fail(
                err, OCHRE_EXISTS, "Database [%s] already exists", shown_bytes(row->name).text);
    }
    struct och_call call;
    och_call_init(&call, db, OCH_SQL_DATABASE_ADD);
    och_call_put_bytes(&call, id_bytes(&row->id));
    och_call_put_bytes(&call, row->tenant);
    och_call_put_bytes(&call, row->name);
    return och_call_run(&call, err);
}

static ochre_status
copy_bytes(struct och_arena *arena, struct ochre_bytes bytes, struct ochre_bytes *copy_out,
        struct ochre_error *err)
{
    const char *copy = och_arena_copy(arena, bytes.data, bytes.size);
    if (copy == NULL)
        return och_fail_memory(err);
    *copy_out = (struct ochre_bytes){.data = copy, .size = bytes.size};
    return OCHRE_OK;
}

ochre_status
och_rows_get_database(struct och_catalog_db *db, struct och_arena *arena,
        struct och_database_row *row, struct ochre_error *err)
{
    struct database database;
    ochre_status status = find_database(db, row->tenant, row->name, &database, err);
    if (status != OCHRE_OK)
        return status;
    if (!database.found) {
        return och_fail(err, OCHRE_NOT_FOUND, "Database [%s] not found. Are you sure it exists?",
                shown_bytes(row->name).text);
    }
    row->id = database.id;
    status = copy_bytes(arena, row->tenant, &row->tenant, err);
    return status == OCHRE_OK ? copy_bytes(arena, row->name, &row->name, err) : status;
}

ochre_status
och_rows_list_tenants(struct och_catalog_db *db, struct och_rows *list, struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, OCH_SQL_TENANT_LIST);
    for (;;) {
        ochre_status status = och_call_step(&call, &has_row, err);
        if (status != OCHRE_OK || !has_row)
            return status;
        struct och_tenant_row *rows = make_room(list, sizeof(*rows));
        if (rows == NULL)
            return och_fail_memory(err);
        struct och_tenant_row *row = &rows[list->n];
        *row = (struct och_tenant_row){.name = {.data = NULL}};
        status = och_call_bytes(&call, 0, list->arena, &row->name, err);
        if (status == OCHRE_OK)
            status = och_call_bytes(&call, 1, list->arena, &row->resource_name, err);
        if (status != OCHRE_OK)
            return status;
        list->n++;
    }
}

ochre_status
och_rows_list_databases(struct och_catalog_db *db, struct och_rows *list, struct ochre_error *err)
{
    struct och_call call;
    struct ochre_bytes tenant;
    bool has_row = false;
    ochre_status status = copy_bytes(list->arena, list->tenant, &tenant, err);
    if (status != OCHRE_OK)
        return status;
    och_call_init(&call, db, OCH_SQL_DATABASE_LIST);
    och_call_put_bytes(&call, list->tenant);
    och_call_put_u64(&call, at_most_int64(list->limit));
    och_call_put_u64(&call, at_most_int64(list->offset));
    for (;;) {
        status = och_call_step(&call, &has_row, err);
        if (status != OCHRE_OK || !has_row)
            return status;
        struct och_database_row *rows = make_room(list, sizeof(*rows));
        if (rows == NULL)
            return och_fail_memory(err);
        struct och_database_row *row = &rows[list->n];
        *row = (struct och_database_row){.tenant = tenant};
        status = och_call_fixed(&call, 0, row->id.bytes, sizeof(row->id.bytes), err);
        if (status == OCHRE_OK)
            status = och_call_bytes(&call, 1, list->arena, &row->name, err);
        if (status != OCHRE_OK)
            return status;
        list->n++;
    }
}

/* What a statement finds: ids. */
static ochre_status
list_ids(struct och_call *call, struct och_rows *list, struct ochre_error *err)
{
    bool has_row = false;
    for (;;) {
        ochre_status status = och_call_step(call, &has_row, err);
        if (status != OCHRE_OK || !has_row)
            return status;
        struct och_uuid *ids = make_room(list, sizeof(*ids));
        if (ids == NULL)
            return och_fail_memory(err);
        status = och_call_fixed(call, 0, ids[list->n].bytes, sizeof(ids[0].bytes), err);
        if (status != OCHRE_OK)
            return status;
        list->n++;
    }
}

/* Pins of collections that are not there any more go, and are listed, unless `list` is NULL. */
static ochre_status
drop_lost_pins(struct och_catalog_db *db, struct och_rows *list, struct ochre_error *err)
{
    struct och_call call;
    ochre_status status = OCHRE_OK;
    if (list != NULL) {
        och_call_init(&call, db, OCH_SQL_PINS_LOST);
        status = list_ids(&call, list, err);
    }
    if (status != OCHRE_OK)
        return status;
    och_call_init(&call, db, OCH_SQL_PINS_DROP_LOST);
    return och_call_run(&call, err);
}

ochre_status
och_rows_drop_database(struct och_catalog_db *db, struct och_rows *list, struct ochre_error *err)
{
    struct database database;
    struct och_call call;
    ochre_status status = find_database(db, list->tenant, list->database, &database, err);
    if (status != OCHRE_OK)
        return status;
    if (!database.found) {
        return och_fail(
                err, OCHRE_NOT_FOUND, "Database [%s] not found", shown_bytes(list->database).text);
    }
    och_call_init(&call, db, OCH_SQL_COLLECTION_IDS);
    och_call_put_u64(&call, database.key);
    status = list_ids(&call, list, err);
    if (status == OCHRE_OK)
        status = run_with_number(db, OCH_SQL_DATABASE_DROP, database.key, err);
    return status == OCHRE_OK ? drop_lost_pins(db, list, err) : status;
}

/* --- collections --------------------------------------------------------- */

/* Is another collection of this name, or this one of this id, in the way? */
static ochre_status
refuse_taken(
        struct och_catalog_db *db, const struct och_collection_row *row, struct ochre_error *err)
{
    struct och_call call;
    bool taken = false;
    och_call_init(&call, db, OCH_SQL_COLLECTION_BY_NAME);
    och_call_put_bytes(&call, row->tenant);
    och_call_put_bytes(&call, row->database);
    och_call_put_bytes(&call, row->name);
    ochre_status status = och_call_step(&call, &taken, err);
    if (status != OCHRE_OK)
        return status;
    if (taken) {
        return och_fail(
                err, OCHRE_EXISTS, "Collection [%s] already exists", shown_bytes(row->name).text);
    }
    och_call_init(&call, db, OCH_SQL_COLLECTION_BY_ID);
    och_call_put_bytes(&call, id_bytes(&row->id));
    status = och_call_step(&call, &taken, err);
    if (status == OCHRE_OK && taken) {
        return och_fail(
                err, OCHRE_EXISTS, "Collection [%s] already exists", shown_id(row->id).text);
    }
    return status;
}

static ochre_status
next_number(struct och_catalog_db *db, uint32_t *number_out, struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, OCH_SQL_NUMBER_NEXT);
    ochre_status status = och_call_step(&call, &has_row, err);
    if (status != OCHRE_OK)
        return status;
    uint64_t number = has_row ? och_call_u64(&call, 0) : 0;
    if (number == 0)
        return och_fail(err, OCHRE_CORRUPT, "catalog: the next collection number is missing");
    if (number > UINT32_MAX) {
        return och_fail(err, OCHRE_FULL, "all %" PRIu32 " collection numbers have been given out",
                UINT32_MAX);
    }
    *number_out = (uint32_t) number;
    return OCHRE_OK;
}

/* A row whose name and id are nobody's, in a database that is there. */
static ochre_status
insert_collection(struct och_catalog_db *db, uint64_t database_key,
        const struct och_collection_row *row, uint32_t *number_out, struct ochre_error *err)
{
    ochre_status status = next_number(db, number_out, err);
    if (status != OCHRE_OK)
        return status;
    struct och_call call;
    och_call_init(&call, db, OCH_SQL_COLLECTION_ADD);
    och_call_put_u64(&call, *number_out);
    och_call_put_bytes(&call, id_bytes(&row->id));
    och_call_put_u64(&call, database_key);
    och_call_put_bytes(&call, row->name);
    och_call_put_bytes(&call, row->metadata);
    och_call_put_bytes(&call, row->schema);
    status = och_call_run(&call, err);
    if (status == OCHRE_OK)
        status = run_with_number(db, OCH_SQL_COLLECTION_ADD_STATE, *number_out, err);
    if (status != OCHRE_OK)
        return status;
    och_call_init(&call, db, OCH_SQL_NUMBER_TAKE);
    return och_call_run(&call, err);
}

ochre_status
och_rows_add_collection(struct och_catalog_db *db, const struct och_collection_row *row,
        uint32_t *number_out, struct ochre_error *err)
{
    struct database database;
    ochre_status status = find_database(db, row->tenant, row->database, &database, err);
    if (status != OCHRE_OK)
        return status;
    if (!database.found) {
        return och_fail(err, OCHRE_NOT_FOUND, "Database [%s] does not exist",
                shown_bytes(row->database).text);
    }
    status = refuse_taken(db, row, err);
    return status == OCHRE_OK ? insert_collection(db, database.key, row, number_out, err) : status;
}

ochre_status
och_rows_get_by_name(struct och_catalog_db *db, struct och_arena *arena,
        struct och_collection_row *row, struct ochre_error *err)
{
    struct och_call call;
    och_call_init(&call, db, OCH_SQL_COLLECTION_BY_NAME);
    och_call_put_bytes(&call, row->tenant);
    och_call_put_bytes(&call, row->database);
    och_call_put_bytes(&call, row->name);
    return find_collection(&call, arena, shown_bytes(row->name), row, err);
}

ochre_status
och_rows_get_by_id(struct och_catalog_db *db, struct och_arena *arena,
        struct och_collection_row *row, struct ochre_error *err)
{
    struct och_uuid id = row->id; /* bound until the statement is done */
    struct och_call call;
    och_call_init(&call, db, OCH_SQL_COLLECTION_BY_ID);
    och_call_put_bytes(&call, id_bytes(&id));
    return find_collection(&call, arena, shown_id(id), row, err);
}

ochre_status
och_rows_get_by_number(struct och_catalog_db *db, struct och_arena *arena,
        struct och_collection_row *row, struct ochre_error *err)
{
    struct och_call call;
    och_call_init(&call, db, OCH_SQL_COLLECTION_BY_NUMBER);
    och_call_put_u64(&call, row->number);
    return find_collection(&call, arena, shown_number(row->number), row, err);
}

ochre_status
och_rows_list_collections(struct och_catalog_db *db, struct och_rows *list, struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, OCH_SQL_COLLECTION_LIST);
    och_call_put_bytes(&call, list->tenant);
    och_call_put_bytes(&call, list->database);
    och_call_put_u64(&call, at_most_int64(list->limit));
    och_call_put_u64(&call, at_most_int64(list->offset));
    for (;;) {
        ochre_status status = och_call_step(&call, &has_row, err);
        if (status != OCHRE_OK || !has_row)
            return status;
        struct och_collection_row *rows = make_room(list, sizeof(*rows));
        if (rows == NULL)
            return och_fail_memory(err);
        status = read_collection(&call, list->arena, &rows[list->n], err);
        if (status != OCHRE_OK)
            return status;
        list->n++;
    }
}

ochre_status
och_rows_count_collections(
        struct och_catalog_db *db, struct och_rows *list, struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, OCH_SQL_COLLECTION_COUNT);
    och_call_put_bytes(&call, list->tenant);
    och_call_put_bytes(&call, list->database);
    ochre_status status = och_call_step(&call, &has_row, err);
    if (status == OCHRE_OK && has_row)
        list->n = (size_t) och_call_u64(&call, 0);
    return status;
}

/* Does the collection exist, and is the name it is to get another's? */
static ochre_status
check_change(
        struct och_catalog_db *db, const struct och_collection_row *row, struct ochre_error *err)
{
    struct och_call call;
    struct och_uuid namesake = row->id;
    bool found = false;
    bool named = false;
    och_call_init(&call, db, OCH_SQL_COLLECTION_BY_ID);
    och_call_put_bytes(&call, id_bytes(&row->id));
    ochre_status status = och_call_step(&call, &found, err);
    if (status != OCHRE_OK)
        return status;
    if (!found)
        return no_collection(shown_id(row->id), err);
    och_call_init(&call, db, OCH_SQL_COLLECTION_NAMESAKE);
    och_call_put_bytes(&call, row->name);
    och_call_put_bytes(&call, id_bytes(&row->id));
    status = och_call_step(&call, &named, err);
    if (status == OCHRE_OK && named)
        status = och_call_fixed(&call, 0, namesake.bytes, sizeof(namesake.bytes), err);
    if (status == OCHRE_OK && !och_uuid_equal(namesake, row->id)) {
        return och_fail(
                err, OCHRE_EXISTS, "Collection [%s] already exists", shown_bytes(row->name).text);
    }
    return status;
}

ochre_status
och_rows_change_collection(
        struct och_catalog_db *db, const struct och_collection_row *row, struct ochre_error *err)
{
    ochre_status status = check_change(db, row, err);
    if (status != OCHRE_OK)
        return status;
    struct och_call call;
    och_call_init(&call, db, OCH_SQL_COLLECTION_CHANGE);
    och_call_put_bytes(&call, row->name);
    och_call_put_bytes(&call, row->metadata);
    och_call_put_bytes(&call, row->schema);
    och_call_put_bytes(&call, id_bytes(&row->id));
    return och_call_run(&call, err);
}

ochre_status
och_rows_drop_collection(struct och_catalog_db *db, struct och_uuid id, struct ochre_error *err)
{
    struct och_call call;
    bool found = false;
    och_call_init(&call, db, OCH_SQL_COLLECTION_BY_ID);
    och_call_put_bytes(&call, id_bytes(&id));
    ochre_status status = och_call_step(&call, &found, err);
    if (status != OCHRE_OK)
        return status;
    if (!found)
        return no_collection(shown_id(id), err);
    och_call_init(&call, db, OCH_SQL_COLLECTION_DROP);
    och_call_put_bytes(&call, id_bytes(&id));
    status = och_call_run(&call, err);
    return status == OCHRE_OK ? drop_lost_pins(db, NULL, err) : status;
}

/* --- state --------------------------------------------------------------- */

/* Look a collection's state up: columns position, lsn, next_ordinal, dim, keys,
 * number.  OCHRE_NOT_FOUND without it. */
static ochre_status
find_state(struct och_call *call, struct och_catalog_db *db, struct och_uuid id,
        struct ochre_error *err)
{
    bool found = false;
    och_call_init(call, db, OCH_SQL_STATE_GET);
    och_call_put_bytes(call, id_bytes(&id));
    ochre_status status = och_call_step(call, &found, err);
    return status == OCHRE_OK && !found ? no_collection(shown_id(id), err) : status;
}

static ochre_status
list_segments(
        struct och_catalog_db *db, uint64_t number, struct och_rows *list, struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, OCH_SQL_SEGMENTS_GET);
    och_call_put_u64(&call, number);
    for (;;) {
        ochre_status status = och_call_step(&call, &has_row, err);
        if (status != OCHRE_OK || !has_row)
            return status;
        struct och_segment_row *rows = make_room(list, sizeof(*rows));
        if (rows == NULL)
            return och_fail_memory(err);
        rows[list->n] = (struct och_segment_row){
                .id = och_call_u64(&call, 0),
                .deletes_id = och_call_u64(&call, 1),
                .n_rows = och_call_u64(&call, 2),
                .n_deleted = och_call_u64(&call, 3),
                .file_size = och_call_u64(&call, 4),
                .file_hash = och_call_u64(&call, 5),
        };
        list->n++;
    }
}

ochre_status
och_rows_get_state(struct och_catalog_db *db, struct och_uuid id,
        struct och_collection_state *state_out, struct och_rows *segments, struct ochre_error *err)
{
    struct och_call call;
    ochre_status status = find_state(&call, db, id, err);
    if (status != OCHRE_OK)
        return status;
    *state_out = (struct och_collection_state){
            .position = och_call_u64(&call, 0),
            .lsn = och_call_u64(&call, 1),
            .next_ordinal = och_call_u64(&call, 2),
            .dim = (uint32_t) och_call_u64(&call, 3),
    };
    uint64_t number = och_call_u64(&call, 5);
    status = och_call_bytes(&call, 4, segments->arena, &state_out->keys, err);
    return status == OCHRE_OK ? list_segments(db, number, segments, err) : status;
}

static ochre_status
add_segment(struct och_catalog_db *db, uint64_t number, uint64_t place,
        const struct och_segment_row *segment, struct ochre_error *err)
{
    struct och_call call;
    och_call_init(&call, db, OCH_SQL_SEGMENT_ADD);
    och_call_put_u64(&call, number);
    och_call_put_u64(&call, place);
    och_call_put_u64(&call, segment->id);
    och_call_put_u64(&call, segment->deletes_id);
    och_call_put_u64(&call, segment->n_rows);
    och_call_put_u64(&call, segment->n_deleted);
    och_call_put_u64(&call, segment->file_size);
    och_call_put_u64(&call, segment->file_hash);
    return och_call_run(&call, err);
}

ochre_status
och_rows_set_state(struct och_catalog_db *db, struct och_uuid id,
        const struct och_collection_state *state, const struct och_segment_row *segments, size_t n,
        struct ochre_error *err)
{
    struct och_call call;
    ochre_status status = find_state(&call, db, id, err);
    if (status != OCHRE_OK)
        return status;
    uint64_t number = och_call_u64(&call, 5);
    och_call_init(&call, db, OCH_SQL_STATE_SET);
    och_call_put_u64(&call, state->position);
    och_call_put_u64(&call, state->lsn);
    och_call_put_u64(&call, state->next_ordinal);
    och_call_put_u64(&call, state->dim);
    och_call_put_bytes(&call, state->keys);
    och_call_put_u64(&call, number);
    status = och_call_run(&call, err);
    if (status == OCHRE_OK)
        status = run_with_number(db, OCH_SQL_SEGMENTS_DROP, number, err);
    for (size_t i = 0; status == OCHRE_OK && i < n; i++)
        status = add_segment(db, number, i, &segments[i], err);
    return status;
}

/* --- forks --------------------------------------------------------------- */

static ochre_status
have_forks(struct och_catalog_db *db, bool *exist_out, struct ochre_error *err)
{
    struct och_call call;
    och_call_init(&call, db, OCH_SQL_FORKS_EXIST);
    return och_call_step(&call, exist_out, err);
}

/* The number of the collection that the first fork of the tree came from. */
static ochre_status
find_tree(struct och_catalog_db *db, struct och_uuid id, bool forks_exist, uint64_t *tree_out,
        struct ochre_error *err)
{
    struct och_call call;
    bool found = false;
    ochre_status status = find_state(&call, db, id, err);
    if (status != OCHRE_OK)
        return status;
    *tree_out = och_call_u64(&call, 5);
    if (!forks_exist)
        return OCHRE_OK;
    och_call_init(&call, db, OCH_SQL_FORK_TREE);
    och_call_put_u64(&call, *tree_out);
    status = och_call_step(&call, &found, err);
    if (status == OCHRE_OK && found)
        *tree_out = och_call_u64(&call, 0);
    return status;
}

ochre_status
och_rows_add_fork(
        struct och_catalog_db *db, struct och_uuid source, uint32_t number, struct ochre_error *err)
{
    struct och_call call;
    bool exist = false;
    uint64_t tree = 0;
    ochre_status status = have_forks(db, &exist, err);
    if (status == OCHRE_OK)
        status = find_tree(db, source, exist, &tree, err);
    if (status == OCHRE_OK && !exist) {
        och_call_init(&call, db, OCH_SQL_FORKS_MAKE);
        status = och_call_run(&call, err);
    }
    if (status != OCHRE_OK)
        return status;
    och_call_init(&call, db, OCH_SQL_FORK_ADD);
    och_call_put_u64(&call, number);
    och_call_put_u64(&call, tree);
    return och_call_run(&call, err);
}

ochre_status
och_rows_count_forks(
        struct och_catalog_db *db, struct och_uuid id, uint64_t *count_out, struct ochre_error *err)
{
    struct och_call call;
    bool exist = false;
    bool has_row = false;
    uint64_t tree = 0;
    *count_out = 0;
    ochre_status status = have_forks(db, &exist, err);
    if (status == OCHRE_OK)
        status = find_tree(db, id, exist, &tree, err);
    if (status != OCHRE_OK || !exist)
        return status;
    och_call_init(&call, db, OCH_SQL_FORK_COUNT);
    och_call_put_u64(&call, tree);
    status = och_call_step(&call, &has_row, err);
    if (status == OCHRE_OK && has_row)
        *count_out = och_call_u64(&call, 0);
    return status;
}

ochre_status
och_rows_is_fork(
        struct och_catalog_db *db, struct och_uuid id, bool *is_fork_out, struct ochre_error *err)
{
    struct och_call call;
    bool exist = false;
    *is_fork_out = false;
    ochre_status status = have_forks(db, &exist, err);
    if (status == OCHRE_OK)
        status = find_state(&call, db, id, err);
    if (status != OCHRE_OK || !exist)
        return status;
    uint64_t number = och_call_u64(&call, 5);
    och_call_init(&call, db, OCH_SQL_FORK_TREE);
    och_call_put_u64(&call, number);
    return och_call_step(&call, is_fork_out, err);
}

/* --- pins ---------------------------------------------------------------- */

static ochre_status
find_pin_place(struct och_catalog_db *db, const struct och_uuid *source, bool *found_out,
        uint64_t *key_out, struct ochre_error *err)
{
    struct och_call call;
    och_call_init(&call, db, OCH_SQL_PIN_PLACE);
    och_call_put_bytes(&call, id_bytes(source));
    ochre_status status = och_call_step(&call, found_out, err);
    *key_out = status == OCHRE_OK && *found_out ? och_call_u64(&call, 0) : 0;
    return status;
}

/* The database of the collection's pins, made if there is none yet. */
static ochre_status
have_pin_place(struct och_catalog_db *db, const struct och_uuid *source, uint64_t *key_out,
        struct ochre_error *err)
{
    struct och_call call;
    bool found = false;
    ochre_status status = find_pin_place(db, source, &found, key_out, err);
    if (status != OCHRE_OK || found)
        return status;
    och_call_init(&call, db, OCH_SQL_PIN_ADD_PLACE);
    och_call_put_bytes(&call, id_bytes(source));
    och_call_put_bytes(&call, id_bytes(source));
    status = och_call_run(&call, err);
    return status == OCHRE_OK ? find_pin_place(db, source, &found, key_out, err) : status;
}

static ochre_status
refuse_pin(
        struct och_catalog_db *db, uint64_t key, struct ochre_bytes name, struct ochre_error *err)
{
    struct och_call call;
    bool found = false;
    och_call_init(&call, db, OCH_SQL_PIN_NAMED);
    och_call_put_u64(&call, key);
    och_call_put_bytes(&call, name);
    ochre_status status = och_call_step(&call, &found, err);
    if (status == OCHRE_OK && found)
        status = och_fail(err, OCHRE_EXISTS, "Pin [%s] already exists", shown_bytes(name).text);
    if (status != OCHRE_OK)
        return status;
    och_call_init(&call, db, OCH_SQL_PIN_COUNT);
    och_call_put_u64(&call, key);
    status = och_call_step(&call, &found, err);
    if (status == OCHRE_OK && found && och_call_u64(&call, 0) >= OCH_PINS_MAX)
        status =
                och_fail(err, OCHRE_INVALID, "the collection has %" PRIu64 " pins; the limit is %u",
                        och_call_u64(&call, 0), OCH_PINS_MAX);
    return status;
}

ochre_status
och_rows_add_pin(struct och_catalog_db *db, struct och_uuid source,
        const struct och_collection_row *row, uint32_t *number_out, struct ochre_error *err)
{
    uint64_t key = 0;
    ochre_status status = have_pin_place(db, &source, &key, err);
    if (status == OCHRE_OK)
        status = refuse_pin(db, key, row->name, err);
    return status == OCHRE_OK ? insert_collection(db, key, row, number_out, err) : status;
}

ochre_status
och_rows_list_pins(struct och_catalog_db *db, struct och_uuid source, struct och_rows *list,
        struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, OCH_SQL_PIN_LIST);
    och_call_put_bytes(&call, id_bytes(&source));
    for (;;) {
        ochre_status status = och_call_step(&call, &has_row, err);
        if (status != OCHRE_OK || !has_row)
            return status;
        struct och_pin_row *rows = make_room(list, sizeof(*rows));
        if (rows == NULL)
            return och_fail_memory(err);
        struct och_pin_row *row = &rows[list->n];
        *row = (struct och_pin_row){
                .position = och_call_u64(&call, 3), .n_bytes = och_call_u64(&call, 4)};
        status = och_call_fixed(&call, 0, row->id.bytes, sizeof(row->id.bytes), err);
        if (status == OCHRE_OK)
            status = och_call_bytes(&call, 1, list->arena, &row->name, err);
        if (status == OCHRE_OK)
            status = och_call_bytes(&call, 2, list->arena, &row->metadata, err);
        if (status != OCHRE_OK)
            return status;
        list->n++;
    }
}

ochre_status
och_rows_count_pins(struct och_catalog_db *db, uint64_t *count_out, struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, OCH_SQL_PIN_COUNT_ALL);
    ochre_status status = och_call_step(&call, &has_row, err);
    *count_out = status == OCHRE_OK && has_row ? och_call_u64(&call, 0) : 0;
    return status;
}

ochre_status
och_rows_get_pin_at(struct och_catalog_db *db, struct och_arena *arena, struct och_uuid source,
        uint64_t position, struct och_collection_row *row_out, struct ochre_error *err)
{
    struct och_call call;
    och_call_init(&call, db, OCH_SQL_PIN_AT);
    och_call_put_bytes(&call, id_bytes(&source));
    och_call_put_u64(&call, position);
    return find_collection(&call, arena, shown_id(source), row_out, err);
}

/* --- the catalog as a whole ---------------------------------------------- */

ochre_status
och_rows_take_file_ids(
        struct och_catalog_db *db, uint64_t n, uint64_t *end_out, struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, OCH_SQL_FILE_IDS_TAKE);
    och_call_put_u64(&call, n);
    ochre_status status = och_call_step(&call, &has_row, err);
    if (status != OCHRE_OK)
        return status;
    uint64_t end = has_row ? och_call_u64(&call, 0) : 0;
    if (end <= n)
        return och_fail(err, OCHRE_CORRUPT, "catalog: the next file id is missing");
    *end_out = end;
    return OCHRE_OK;
}

ochre_status
och_rows_list_states(
        struct och_catalog_db *db, uint32_t after, struct och_rows *list, struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, OCH_SQL_COLLECTION_EACH);
    och_call_put_u64(&call, after);
    och_call_put_u64(&call, at_most_int64(list->limit));
    for (;;) {
        ochre_status status = och_call_step(&call, &has_row, err);
        if (status != OCHRE_OK || !has_row)
            return status;
        struct och_rows_listed *rows = make_room(list, sizeof(*rows));
        if (rows == NULL)
            return och_fail_memory(err);
        struct och_rows_listed *row = &rows[list->n];
        *row = (struct och_rows_listed){
                .number = (uint32_t) och_call_u64(&call, 1),
                .state = {.position = och_call_u64(&call, 2),
                        .lsn = och_call_u64(&call, 3),
                        .next_ordinal = och_call_u64(&call, 4),
                        .dim = (uint32_t) och_call_u64(&call, 5)},
                .n_segments = (size_t) och_call_u64(&call, 6),
        };
        status = och_call_fixed(&call, 0, row->id.bytes, sizeof(row->id.bytes), err);
        if (status != OCHRE_OK)
            return status;
        list->n++;
    }
}

ochre_status
och_rows_clear(struct och_catalog_db *db, struct ochre_error *err)
{
    static const enum och_sql steps[] = {OCH_SQL_CLEAR_SEGMENTS, OCH_SQL_CLEAR_STATES,
            OCH_SQL_CLEAR_COLLECTIONS, OCH_SQL_CLEAR_DATABASES, OCH_SQL_CLEAR_TENANTS};
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; status == OCHRE_OK && i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct och_call call;
        och_call_init(&call, db, steps[i]);
        status = och_call_run(&call, err);
    }
    return status == OCHRE_OK ? och_catalog_db_add_defaults(db, err) : status;
}

/* A statement that yields one word of complaint, or nothing or "ok" when all is well. */
static ochre_status
expect_no_complaint(
        struct och_catalog_db *db, enum och_sql which, const char *what, struct ochre_error *err)
{
    struct och_arena arena;
    struct och_call call;
    struct ochre_bytes words = {.data = NULL};
    bool has_row = false;
    och_arena_init(&arena, db->mem);
    och_call_init(&call, db, which);
    ochre_status status = och_call_step(&call, &has_row, err);
    if (status == OCHRE_OK && has_row)
        status = och_call_bytes(&call, 0, &arena, &words, err);
    bool complains = has_row && (words.size != 2 || memcmp(words.data, "ok", 2) != 0);
    /* SQLite words a page that it could not read as a complaint as well. */
    if (status == OCHRE_OK && complains)
        status = och_sqlite_vfs_failure(db->files, err);
    if (status == OCHRE_OK && complains)
        status = och_fail(err, OCHRE_CORRUPT, "catalog: %s: %s", what, shown_bytes(words).text);
    och_arena_clear(&arena);
    return status;
}

ochre_status
och_rows_check(struct och_catalog_db *db, struct ochre_error *err)
{
    ochre_status status = och_catalog_pages_verify(db->vfs, err);
    if (status == OCHRE_OK)
        status = expect_no_complaint(db, OCH_SQL_CHECK_STRUCTURE, "structure", err);
    if (status == OCHRE_OK)
        status = expect_no_complaint(
                db, OCH_SQL_CHECK_REFERENCES, "a reference to nothing from table", err);
    if (status == OCHRE_OK)
        status = expect_no_complaint(db, OCH_SQL_CHECK_COUNTERS, "content", err);
    return status;
}
