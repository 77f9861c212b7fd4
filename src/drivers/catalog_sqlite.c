#include "drivers/catalog_sqlite.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "drivers/catalog_db.h"
#include "drivers/catalog_pages.h"
#include "os/thread.h"

/* File ids are made durable so many at a time: a seal takes two or three, and
 * should not cost a transaction for each. */
#define FILE_IDS_PER_BLOCK 64u

/* Collections that each_collection holds in memory at once. */
#define COLLECTIONS_PER_PAGE 256u

#define ROWS_MIN ((size_t) 16)

struct sqlite_catalog {
    struct och_catalog base;
    struct och_mem *mem; /* borrowed */

    /* Held across disk I/O: SQLite runs one statement at a time, and every call
     * of the catalog is a few of them. */
    struct och_mutex lock;
    struct och_catalog_db db OCH_GUARDED_BY(lock);
    uint64_t file_id OCH_GUARDED_BY(lock);     /* the next one to give out */
    uint64_t file_id_end OCH_GUARDED_BY(lock); /* the end of the durable block */
};

/* A name as a message shows it. */
struct shown {
    char text[400];
};

static struct sqlite_catalog *
catalog_of(struct och_catalog *base)
{
    return (struct sqlite_catalog *) base;
}

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

/* Room for one more of `n` rows of `size` bytes in the arena, or NULL. */
static void *
make_room(struct och_arena *arena, void *rows, size_t n, size_t size)
{
    bool full = n == 0 || (n >= ROWS_MIN && (n & (n - 1)) == 0);
    if (!full)
        return rows;
    size_t room = n < ROWS_MIN ? ROWS_MIN : n * 2;
    void *more = och_arena_take_array(arena, room, size);
    if (more != NULL && n > 0)
        memcpy(more, rows, n * size);
    return more;
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

static ochre_status
add_tenant(struct och_catalog_db *db, struct ochre_bytes name, struct ochre_error *err)
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

static ochre_status
tenant_create(struct och_catalog *base, struct ochre_bytes name, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = add_tenant(&catalog->db, name, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
get_tenant(struct och_catalog_db *db, struct och_arena *arena, struct ochre_bytes name,
        struct ochre_bytes *resource_name_out, struct ochre_error *err)
{
    struct och_call call;
    bool found = false;
    ochre_status status = find_tenant(&call, db, name, &found, err);
    if (status == OCHRE_OK && !found)
        return no_tenant(name, err);
    return status == OCHRE_OK ? och_call_bytes(&call, 0, arena, resource_name_out, err) : status;
}

static ochre_status
tenant_get(struct och_catalog *base, struct och_arena *arena, struct ochre_bytes name,
        struct ochre_bytes *resource_name_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    *resource_name_out = (struct ochre_bytes){.data = NULL};
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = get_tenant(&catalog->db, arena, name, resource_name_out, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
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

static ochre_status
set_resource_name(struct och_catalog_db *db, struct ochre_bytes name,
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

static ochre_status
tenant_set_resource_name(struct och_catalog *base, struct ochre_bytes name,
        struct ochre_bytes resource_name, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_assert(resource_name.data != NULL);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = set_resource_name(&catalog->db, name, resource_name, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
get_by_resource(struct och_catalog_db *db, struct och_arena *arena,
        struct ochre_bytes resource_name, struct ochre_bytes *name_out, struct ochre_error *err)
{
    struct och_call call;
    bool found = false;
    ochre_status status = find_resource(&call, db, resource_name, &found, err);
    if (status == OCHRE_OK && !found)
        return no_tenant(resource_name, err);
    return status == OCHRE_OK ? och_call_bytes(&call, 0, arena, name_out, err) : status;
}

static ochre_status
tenant_by_resource_name(struct och_catalog *base, struct och_arena *arena,
        struct ochre_bytes resource_name, struct ochre_bytes *name_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    *name_out = (struct ochre_bytes){.data = NULL};
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = get_by_resource(&catalog->db, arena, resource_name, name_out, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
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

static ochre_status
add_database(struct och_catalog_db *db, const struct och_database_row *row, struct ochre_error *err)
{
    struct database present;
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
database_create(
        struct och_catalog *base, const struct och_database_row *row, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = add_database(&catalog->db, row, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
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

static ochre_status
database_get(struct och_catalog *base, struct och_arena *arena, struct ochre_bytes tenant,
        struct ochre_bytes name, struct och_database_row *row_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct database database = {.found = false};
    *row_out = (struct och_database_row){.name = {.data = NULL}};
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = find_database(&catalog->db, tenant, name, &database, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    if (status != OCHRE_OK)
        return status;
    if (!database.found) {
        return och_fail(err, OCHRE_NOT_FOUND, "Database [%s] not found. Are you sure it exists?",
                shown_bytes(name).text);
    }
    struct och_database_row row = {.id = database.id};
    status = copy_bytes(arena, tenant, &row.tenant, err);
    if (status == OCHRE_OK)
        status = copy_bytes(arena, name, &row.name, err);
    if (status == OCHRE_OK)
        *row_out = row;
    return status;
}

/* Which part of a list is wanted, and where it goes. */
struct list {
    struct och_arena *arena;
    struct ochre_bytes tenant, database;
    uint64_t limit, offset;
    void *rows;
    size_t n;
};

static ochre_status
list_databases(struct och_catalog_db *db, struct list *list, struct ochre_error *err)
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
        struct och_database_row *rows = make_room(list->arena, list->rows, list->n, sizeof(*rows));
        if (rows == NULL)
            return och_fail_memory(err);
        list->rows = rows;
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

static ochre_status
database_list(struct och_catalog *base, struct och_arena *arena, struct ochre_bytes tenant,
        uint64_t limit, uint64_t offset, struct och_database_row **rows_out, size_t *n_out,
        struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct list list = {.arena = arena, .tenant = tenant, .limit = limit, .offset = offset};
    *rows_out = NULL;
    *n_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = list_databases(&catalog->db, &list, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    if (status == OCHRE_OK) {
        *rows_out = list.rows;
        *n_out = list.n;
    }
    return status;
}

/* The ids of a database's collections, in creation order. */
static ochre_status
list_ids(struct och_catalog_db *db, uint64_t database_key, struct list *list,
        struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, OCH_SQL_COLLECTION_IDS);
    och_call_put_u64(&call, database_key);
    for (;;) {
        ochre_status status = och_call_step(&call, &has_row, err);
        if (status != OCHRE_OK || !has_row)
            return status;
        struct och_uuid *ids = make_room(list->arena, list->rows, list->n, sizeof(*ids));
        if (ids == NULL)
            return och_fail_memory(err);
        list->rows = ids;
        status = och_call_fixed(&call, 0, ids[list->n].bytes, sizeof(ids[0].bytes), err);
        if (status != OCHRE_OK)
            return status;
        list->n++;
    }
}

static ochre_status
drop_database(struct och_catalog_db *db, struct list *list, struct ochre_error *err)
{
    struct database database;
    ochre_status status = find_database(db, list->tenant, list->database, &database, err);
    if (status != OCHRE_OK)
        return status;
    if (!database.found) {
        return och_fail(
                err, OCHRE_NOT_FOUND, "Database [%s] not found", shown_bytes(list->database).text);
    }
    status = list_ids(db, database.key, list, err);
    return status == OCHRE_OK ? run_with_number(db, OCH_SQL_DATABASE_DROP, database.key, err)
                              : status;
}

static ochre_status
database_delete(struct och_catalog *base, struct och_arena *arena, struct ochre_bytes tenant,
        struct ochre_bytes name, struct och_uuid **dropped_out, size_t *n_out,
        struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct list list = {.arena = arena, .tenant = tenant, .database = name};
    *dropped_out = NULL;
    *n_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = drop_database(&catalog->db, &list, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    if (status == OCHRE_OK) {
        *dropped_out = list.rows;
        *n_out = list.n;
    }
    return status;
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

static ochre_status
add_collection(struct och_catalog_db *db, const struct och_collection_row *row,
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
    if (status == OCHRE_OK)
        status = next_number(db, number_out, err);
    if (status != OCHRE_OK)
        return status;
    struct och_call call;
    och_call_init(&call, db, OCH_SQL_COLLECTION_ADD);
    och_call_put_u64(&call, *number_out);
    och_call_put_bytes(&call, id_bytes(&row->id));
    och_call_put_u64(&call, database.key);
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

static ochre_status
collection_create(struct och_catalog *base, struct och_collection_row *row, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    uint32_t number = 0;
    och_assert(row->schema.data != NULL);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = add_collection(&catalog->db, row, &number, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    if (status == OCHRE_OK)
        row->number = number;
    return status;
}

static ochre_status
collection_by_name(struct och_catalog *base, struct och_arena *arena, struct ochre_bytes tenant,
        struct ochre_bytes database, struct ochre_bytes name, struct och_collection_row *row_out,
        struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct och_call call;
    *row_out = (struct och_collection_row){.number = 0};
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK) {
        och_call_init(&call, &catalog->db, OCH_SQL_COLLECTION_BY_NAME);
        och_call_put_bytes(&call, tenant);
        och_call_put_bytes(&call, database);
        och_call_put_bytes(&call, name);
        status = find_collection(&call, arena, shown_bytes(name), row_out, err);
    }
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
collection_by_id(struct och_catalog *base, struct och_arena *arena, struct och_uuid id,
        struct och_collection_row *row_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct och_call call;
    *row_out = (struct och_collection_row){.number = 0};
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK) {
        och_call_init(&call, &catalog->db, OCH_SQL_COLLECTION_BY_ID);
        och_call_put_bytes(&call, id_bytes(&id));
        status = find_collection(&call, arena, shown_id(id), row_out, err);
    }
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
collection_by_number(struct och_catalog *base, struct och_arena *arena, uint32_t number,
        struct och_collection_row *row_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct och_call call;
    *row_out = (struct och_collection_row){.number = 0};
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK) {
        och_call_init(&call, &catalog->db, OCH_SQL_COLLECTION_BY_NUMBER);
        och_call_put_u64(&call, number);
        status = find_collection(&call, arena, shown_number(number), row_out, err);
    }
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
list_collections(struct och_catalog_db *db, struct list *list, struct ochre_error *err)
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
        struct och_collection_row *rows =
                make_room(list->arena, list->rows, list->n, sizeof(*rows));
        if (rows == NULL)
            return och_fail_memory(err);
        list->rows = rows;
        status = read_collection(&call, list->arena, &rows[list->n], err);
        if (status != OCHRE_OK)
            return status;
        list->n++;
    }
}

static ochre_status
collection_list(struct och_catalog *base, struct och_arena *arena, struct ochre_bytes tenant,
        struct ochre_bytes database, uint64_t limit, uint64_t offset,
        struct och_collection_row **rows_out, size_t *n_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct list list = {.arena = arena,
            .tenant = tenant,
            .database = database,
            .limit = limit,
            .offset = offset};
    *rows_out = NULL;
    *n_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = list_collections(&catalog->db, &list, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    if (status == OCHRE_OK) {
        *rows_out = list.rows;
        *n_out = list.n;
    }
    return status;
}

static ochre_status
collection_count(struct och_catalog *base, struct ochre_bytes tenant, struct ochre_bytes database,
        uint64_t *count_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct och_call call;
    bool has_row = false;
    *count_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK) {
        och_call_init(&call, &catalog->db, OCH_SQL_COLLECTION_COUNT);
        och_call_put_bytes(&call, tenant);
        och_call_put_bytes(&call, database);
        status = och_call_step(&call, &has_row, err);
    }
    if (status == OCHRE_OK && has_row)
        *count_out = och_call_u64(&call, 0);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
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

static ochre_status
change_collection(
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

static ochre_status
collection_update(
        struct och_catalog *base, const struct och_collection_row *row, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_assert(row->schema.data != NULL);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = change_collection(&catalog->db, row, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
drop_collection(struct och_catalog_db *db, struct och_uuid id, struct ochre_error *err)
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
    return och_call_run(&call, err);
}

static ochre_status
collection_delete(struct och_catalog *base, struct och_uuid id, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = drop_collection(&catalog->db, id, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
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
        struct och_catalog_db *db, uint64_t number, struct list *list, struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, OCH_SQL_SEGMENTS_GET);
    och_call_put_u64(&call, number);
    for (;;) {
        ochre_status status = och_call_step(&call, &has_row, err);
        if (status != OCHRE_OK || !has_row)
            return status;
        struct och_segment_row *rows = make_room(list->arena, list->rows, list->n, sizeof(*rows));
        if (rows == NULL)
            return och_fail_memory(err);
        list->rows = rows;
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

static ochre_status
get_state(struct och_catalog_db *db, struct och_uuid id, struct och_collection_state *state,
        struct list *segments, struct ochre_error *err)
{
    struct och_call call;
    ochre_status status = find_state(&call, db, id, err);
    if (status != OCHRE_OK)
        return status;
    *state = (struct och_collection_state){
            .position = och_call_u64(&call, 0),
            .lsn = och_call_u64(&call, 1),
            .next_ordinal = och_call_u64(&call, 2),
            .dim = (uint32_t) och_call_u64(&call, 3),
    };
    uint64_t number = och_call_u64(&call, 5);
    status = och_call_bytes(&call, 4, segments->arena, &state->keys, err);
    return status == OCHRE_OK ? list_segments(db, number, segments, err) : status;
}

static ochre_status
state_get(struct och_catalog *base, struct och_arena *arena, struct och_uuid id,
        struct och_collection_state *state_out, struct och_segment_row **segments_out,
        size_t *n_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct och_collection_state state = {.position = 0};
    struct list segments = {.arena = arena};
    *state_out = state;
    *segments_out = NULL;
    *n_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = get_state(&catalog->db, id, &state, &segments, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    if (status == OCHRE_OK) {
        *state_out = state;
        *segments_out = segments.rows;
        *n_out = segments.n;
    }
    return status;
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

static ochre_status
set_state(struct och_catalog_db *db, struct och_uuid id, const struct och_collection_state *state,
        const struct och_segment_row *segments, size_t n, struct ochre_error *err)
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

static ochre_status
state_set(struct och_catalog *base, struct och_uuid id, const struct och_collection_state *state,
        const struct och_segment_row *segments, size_t n, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = set_state(&catalog->db, id, state, segments, n, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
}

/* --- the catalog as a whole ---------------------------------------------- */

static void
catalog_close(struct och_catalog *base)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    if (catalog == NULL)
        return;
    och_mutex_lock(&catalog->lock);
    och_catalog_db_close(&catalog->db);
    och_mutex_unlock(&catalog->lock);
    och_mutex_clear(&catalog->lock);
    och_mem_release(catalog->mem, catalog, sizeof(*catalog));
}

static ochre_status
generation(struct och_catalog *base, uint64_t *generation_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    *generation_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_catalog_db_generation(&catalog->db, generation_out, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

/* A new block of ids; it counts only once end has committed it. */
static ochre_status
take_file_ids(struct och_catalog_db *db, uint64_t *end_out, struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, OCH_SQL_FILE_IDS_TAKE);
    och_call_put_u64(&call, FILE_IDS_PER_BLOCK);
    ochre_status status = och_call_step(&call, &has_row, err);
    if (status != OCHRE_OK)
        return status;
    uint64_t end = has_row ? och_call_u64(&call, 0) : 0;
    if (end <= FILE_IDS_PER_BLOCK)
        return och_fail(err, OCHRE_CORRUPT, "catalog: the next file id is missing");
    *end_out = end;
    return OCHRE_OK;
}

static ochre_status
next_file_id(struct och_catalog *base, uint64_t *id_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    ochre_status status = OCHRE_OK;
    *id_out = 0;
    och_mutex_lock(&catalog->lock);
    if (catalog->file_id == catalog->file_id_end) {
        uint64_t end = 0;
        status = och_catalog_db_begin(&catalog->db, err);
        if (status == OCHRE_OK)
            status = take_file_ids(&catalog->db, &end, err);
        status = och_catalog_db_end(&catalog->db, status, err);
        if (status == OCHRE_OK) {
            catalog->file_id = end - FILE_IDS_PER_BLOCK;
            catalog->file_id_end = end;
        }
    }
    if (status == OCHRE_OK)
        *id_out = catalog->file_id++;
    och_mutex_unlock(&catalog->lock);
    return status;
}

struct listed_collection {
    struct och_uuid id;
    uint32_t number;
    struct och_collection_state state;
    size_t n_segments;
};

/* The next collections after number `after`, into a page of rows. */
static ochre_status
list_states(struct och_catalog_db *db, uint32_t after, struct listed_collection *rows,
        size_t *n_out, struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, OCH_SQL_COLLECTION_EACH);
    och_call_put_u64(&call, after);
    och_call_put_u64(&call, COLLECTIONS_PER_PAGE);
    for (*n_out = 0; *n_out < COLLECTIONS_PER_PAGE; (*n_out)++) {
        ochre_status status = och_call_step(&call, &has_row, err);
        if (status != OCHRE_OK || !has_row)
            return status;
        struct listed_collection *row = &rows[*n_out];
        *row = (struct listed_collection){
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
    }
    return OCHRE_OK;
}

/* Page by page, so that a million collections need no room for a million rows and
 * `visit` runs without the lock. */
static ochre_status
each_collection(struct och_catalog *base, struct och_arena *arena,
        ochre_status (*visit)(void *context, struct och_uuid id, uint32_t number,
                const struct och_collection_state *state, size_t n_segments),
        void *context, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct listed_collection *rows =
            och_arena_take_array(arena, COLLECTIONS_PER_PAGE, sizeof(*rows));
    if (rows == NULL)
        return och_fail_memory(err);
    uint32_t after = 0;
    size_t n = 0;
    do {
        och_mutex_lock(&catalog->lock);
        ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
        if (status == OCHRE_OK)
            status = list_states(&catalog->db, after, rows, &n, err);
        status = och_catalog_db_end_read(&catalog->db, status);
        och_mutex_unlock(&catalog->lock);
        for (size_t i = 0; status == OCHRE_OK && i < n; i++) {
            after = rows[i].number;
            status = visit(context, rows[i].id, rows[i].number, &rows[i].state, rows[i].n_segments);
        }
        if (status != OCHRE_OK)
            return status;
    } while (n == COLLECTIONS_PER_PAGE);
    return OCHRE_OK;
}

/* The counters stay: what they have given out is never given out again. */
static ochre_status
clear_all(struct och_catalog_db *db, struct ochre_error *err)
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

static ochre_status
reset(struct och_catalog *base, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = clear_all(&catalog->db, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
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
    if (status == OCHRE_OK && has_row && (words.size != 2 || memcmp(words.data, "ok", 2) != 0)) {
        status = och_fail(err, OCHRE_CORRUPT, "catalog: %s: %s", what, shown_bytes(words).text);
    }
    och_arena_clear(&arena);
    return status;
}

static ochre_status
check_all(struct och_catalog_db *db, struct ochre_error *err)
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

static ochre_status
check_catalog(struct och_catalog *base, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = check_all(&catalog->db, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static const struct och_catalog_ops ops = {
        .close = catalog_close,
        .generation = generation,
        .tenant_create = tenant_create,
        .tenant_get = tenant_get,
        .tenant_set_resource_name = tenant_set_resource_name,
        .tenant_by_resource_name = tenant_by_resource_name,
        .database_create = database_create,
        .database_get = database_get,
        .database_list = database_list,
        .database_delete = database_delete,
        .collection_create = collection_create,
        .collection_by_name = collection_by_name,
        .collection_by_id = collection_by_id,
        .collection_by_number = collection_by_number,
        .collection_list = collection_list,
        .collection_count = collection_count,
        .collection_update = collection_update,
        .collection_delete = collection_delete,
        .state_get = state_get,
        .state_set = state_set,
        .next_file_id = next_file_id,
        .each_collection = each_collection,
        .reset = reset,
        .check = check_catalog,
};

ochre_status
och_catalog_sqlite_open(struct och_mem *mem, struct och_vfs *vfs, bool create,
        struct och_catalog **catalog_out, struct ochre_error *err)
{
    *catalog_out = NULL;
    struct sqlite_catalog *catalog = och_mem_take_zeroed(mem, sizeof(*catalog));
    if (catalog == NULL)
        return och_fail_memory(err);
    catalog->base.ops = &ops;
    catalog->mem = mem;
    och_mutex_init(&catalog->lock);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_open(&catalog->db, mem, vfs, create, err);
    och_mutex_unlock(&catalog->lock);
    if (status != OCHRE_OK) {
        catalog_close(&catalog->base);
        return status;
    }
    *catalog_out = &catalog->base;
    return OCHRE_OK;
}
