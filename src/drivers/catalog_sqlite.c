#include "drivers/catalog_sqlite.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "drivers/catalog_db.h"
#include "drivers/catalog_image.h"
#include "drivers/catalog_pages.h"
#include "drivers/catalog_rows.h"
#include "os/thread.h"
#include "os/vfs.h"

/* File ids are made durable so many at a time: a seal takes two or three, and
 * should not cost a transaction for each. */
#define FILE_IDS_PER_BLOCK 64u

/* Collections that each_collection holds in memory at once. */
#define COLLECTIONS_PER_PAGE 256u

struct sqlite_catalog {
    struct och_catalog base;
    struct och_mem *mem;             /* borrowed */
    struct och_catalog_image *image; /* owned; NULL: the files are ours alone */

    /* Held across disk I/O: SQLite runs one statement at a time, and every call
     * of the catalog is a few of them. */
    struct och_mutex lock;
    struct och_catalog_db db OCH_GUARDED_BY(lock);
    uint64_t file_id OCH_GUARDED_BY(lock);     /* the next one to give out */
    uint64_t file_id_end OCH_GUARDED_BY(lock); /* the end of the durable block */
};

static struct sqlite_catalog *
catalog_of(struct och_catalog *base)
{
    return (struct sqlite_catalog *) base;
}

/* --- tenants ------------------------------------------------------------- */

static ochre_status
tenant_create(struct och_catalog *base, struct ochre_bytes name, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_add_tenant(&catalog->db, name, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
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
        status = och_rows_get_tenant(&catalog->db, arena, name, resource_name_out, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
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
        status = och_rows_set_resource_name(&catalog->db, name, resource_name, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
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
        status = och_rows_get_by_resource(&catalog->db, arena, resource_name, name_out, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

/* --- databases ----------------------------------------------------------- */

static ochre_status
database_create(
        struct och_catalog *base, const struct och_database_row *row, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_add_database(&catalog->db, row, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
database_get(struct och_catalog *base, struct och_arena *arena, struct ochre_bytes tenant,
        struct ochre_bytes name, struct och_database_row *row_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct och_database_row row = {.tenant = tenant, .name = name};
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_get_database(&catalog->db, arena, &row, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    *row_out = status == OCHRE_OK ? row : (struct och_database_row){.name = {.data = NULL}};
    return status;
}

static ochre_status
tenant_list(struct och_catalog *base, struct och_arena *arena, struct och_tenant_row **rows_out,
        size_t *n_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct och_rows list = {.arena = arena};
    *rows_out = NULL;
    *n_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_list_tenants(&catalog->db, &list, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    if (status == OCHRE_OK) {
        *rows_out = list.rows;
        *n_out = list.n;
    }
    return status;
}

static ochre_status
database_list(struct och_catalog *base, struct och_arena *arena, struct ochre_bytes tenant,
        uint64_t limit, uint64_t offset, struct och_database_row **rows_out, size_t *n_out,
        struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct och_rows list = {.arena = arena, .tenant = tenant, .limit = limit, .offset = offset};
    *rows_out = NULL;
    *n_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_list_databases(&catalog->db, &list, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    if (status == OCHRE_OK) {
        *rows_out = list.rows;
        *n_out = list.n;
    }
    return status;
}

static ochre_status
database_delete(struct och_catalog *base, struct och_arena *arena, struct ochre_bytes tenant,
        struct ochre_bytes name, struct och_uuid **dropped_out, size_t *n_out,
        struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct och_rows list = {.arena = arena, .tenant = tenant, .database = name};
    *dropped_out = NULL;
    *n_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_drop_database(&catalog->db, &list, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    if (status == OCHRE_OK) {
        *dropped_out = list.rows;
        *n_out = list.n;
    }
    return status;
}

/* --- collections --------------------------------------------------------- */

static ochre_status
collection_create(struct och_catalog *base, struct och_collection_row *row, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    uint32_t number = 0;
    och_assert(row->schema.data != NULL);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_add_collection(&catalog->db, row, &number, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    if (status == OCHRE_OK)
        row->number = number;
    return status;
}

static ochre_status
collection_fork(struct och_catalog *base, struct och_uuid source, struct och_collection_row *row,
        const struct och_collection_state *state, const struct och_segment_row *segments, size_t n,
        struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    bool is_pin = och_collection_row_is_pin(row);
    uint32_t number = 0;
    uint64_t count;
    och_assert(row->schema.data != NULL);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK) /* is it there? */
        status = och_rows_count_forks(&catalog->db, source, &count, err);
    if (status == OCHRE_OK)
        status = is_pin ? och_rows_add_pin(&catalog->db, source, row, &number, err)
                        : och_rows_add_collection(&catalog->db, row, &number, err);
    if (status == OCHRE_OK)
        status = och_rows_set_state(&catalog->db, row->id, state, segments, n, err);
    if (status == OCHRE_OK && !is_pin)
        status = och_rows_add_fork(&catalog->db, source, number, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    if (status == OCHRE_OK)
        row->number = number;
    return status;
}

static ochre_status
collection_adopt(struct och_catalog *base, struct och_collection_row *row,
        const struct och_collection_state *state, const struct och_segment_row *segments, size_t n,
        struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    uint32_t number = 0;
    och_assert(row->schema.data != NULL);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_add_collection(&catalog->db, row, &number, err);
    if (status == OCHRE_OK)
        status = och_rows_set_state(&catalog->db, row->id, state, segments, n, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    if (status == OCHRE_OK)
        row->number = number;
    return status;
}

static ochre_status
fork_count(
        struct och_catalog *base, struct och_uuid id, uint64_t *count_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    *count_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_count_forks(&catalog->db, id, count_out, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
is_fork(struct och_catalog *base, struct och_uuid id, bool *is_fork_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    *is_fork_out = false;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_is_fork(&catalog->db, id, is_fork_out, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
pin_list(struct och_catalog *base, struct och_arena *arena, struct och_uuid source,
        struct och_pin_row **rows_out, size_t *n_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct och_rows list = {.arena = arena};
    *rows_out = NULL;
    *n_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_list_pins(&catalog->db, source, &list, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    if (status == OCHRE_OK) {
        *rows_out = list.rows;
        *n_out = list.n;
    }
    return status;
}

static ochre_status
pin_count(struct och_catalog *base, uint64_t *count_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    *count_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_count_pins(&catalog->db, count_out, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
pin_at(struct och_catalog *base, struct och_arena *arena, struct och_uuid source, uint64_t position,
        struct och_collection_row *row_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    *row_out = (struct och_collection_row){.number = 0};
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_get_pin_at(&catalog->db, arena, source, position, row_out, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

/* The three ways to a collection differ in what of `row` is given. */
static ochre_status
get_collection(struct och_catalog *base, struct och_arena *arena,
        ochre_status (*get)(struct och_catalog_db *db, struct och_arena *arena,
                struct och_collection_row *row, struct ochre_error *err),
        struct och_collection_row row, struct och_collection_row *row_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = get(&catalog->db, arena, &row, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    *row_out = status == OCHRE_OK ? row : (struct och_collection_row){.number = 0};
    return status;
}

static ochre_status
collection_by_name(struct och_catalog *base, struct och_arena *arena, struct ochre_bytes tenant,
        struct ochre_bytes database, struct ochre_bytes name, struct och_collection_row *row_out,
        struct ochre_error *err)
{
    struct och_collection_row row = {.tenant = tenant, .database = database, .name = name};
    return get_collection(base, arena, och_rows_get_by_name, row, row_out, err);
}

static ochre_status
collection_by_id(struct och_catalog *base, struct och_arena *arena, struct och_uuid id,
        struct och_collection_row *row_out, struct ochre_error *err)
{
    struct och_collection_row row = {.id = id};
    return get_collection(base, arena, och_rows_get_by_id, row, row_out, err);
}

static ochre_status
collection_by_number(struct och_catalog *base, struct och_arena *arena, uint32_t number,
        struct och_collection_row *row_out, struct ochre_error *err)
{
    struct och_collection_row row = {.number = number};
    return get_collection(base, arena, och_rows_get_by_number, row, row_out, err);
}

static ochre_status
/* NOLINTNEXTLINE(readability-function-size): the port's list of parameters */
collection_list(struct och_catalog *base, struct och_arena *arena, struct ochre_bytes tenant,
        struct ochre_bytes database, uint64_t limit, uint64_t offset,
        struct och_collection_row **rows_out, size_t *n_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct och_rows list = {.arena = arena,
            .tenant = tenant,
            .database = database,
            .limit = limit,
            .offset = offset};
    *rows_out = NULL;
    *n_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_list_collections(&catalog->db, &list, err);
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
    struct och_rows list = {.tenant = tenant, .database = database};
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_count_collections(&catalog->db, &list, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    *count_out = status == OCHRE_OK ? list.n : 0;
    return status;
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
        status = och_rows_change_collection(&catalog->db, row, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
collection_delete(struct och_catalog *base, struct och_uuid id, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_drop_collection(&catalog->db, id, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
}

/* --- state --------------------------------------------------------------- */

static ochre_status
state_get(struct och_catalog *base, struct och_arena *arena, struct och_uuid id,
        struct och_collection_state *state_out, struct och_segment_row **segments_out,
        size_t *n_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct och_collection_state state = {.position = 0};
    struct och_rows segments = {.arena = arena};
    *state_out = state;
    *segments_out = NULL;
    *n_out = 0;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_get_state(&catalog->db, id, &state, &segments, err);
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
state_set(struct och_catalog *base, struct och_uuid id, const struct och_collection_state *state,
        const struct och_segment_row *segments, size_t n, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_set_state(&catalog->db, id, state, segments, n, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
}

/* --- the catalog as a whole ---------------------------------------------- */

static void
catalog_close(struct och_catalog *base)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    och_catalog_db_close(&catalog->db);
    och_mutex_unlock(&catalog->lock);
    och_mutex_clear(&catalog->lock);
    och_catalog_image_release(catalog->image);
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
            status = och_rows_take_file_ids(&catalog->db, FILE_IDS_PER_BLOCK, &end, err);
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

/* Page by page, so that a million collections need no room for a million rows and
 * `visit` runs without the lock. */
static ochre_status
each_collection(struct och_catalog *base, struct och_arena *arena,
        ochre_status (*visit)(void *context, struct och_uuid id, uint32_t number,
                const struct och_collection_state *state, size_t n_segments),
        void *context, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    struct och_rows page = {.arena = arena, .limit = COLLECTIONS_PER_PAGE};
    uint32_t after = 0;
    do {
        page.n = 0; /* and the room stays */
        och_mutex_lock(&catalog->lock);
        ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
        if (status == OCHRE_OK)
            status = och_rows_list_states(&catalog->db, after, &page, err);
        status = och_catalog_db_end_read(&catalog->db, status);
        och_mutex_unlock(&catalog->lock);
        const struct och_rows_listed *rows = page.rows;
        for (size_t i = 0; status == OCHRE_OK && i < page.n; i++) {
            after = rows[i].number;
            status = visit(context, rows[i].id, rows[i].number, &rows[i].state, rows[i].n_segments);
        }
        if (status != OCHRE_OK)
            return status;
    } while (page.n == COLLECTIONS_PER_PAGE);
    return OCHRE_OK;
}

static ochre_status
reset(struct och_catalog *base, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_clear(&catalog->db, err);
    status = och_catalog_db_end(&catalog->db, status, err);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
check_catalog(struct och_catalog *base, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_rows_check(&catalog->db, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

/* Between two transactions the file is all there is: nothing is left in the journal. */
static ochre_status
read_file(struct och_vfs *vfs, struct och_buf *bytes_out, struct ochre_error *err)
{
    struct och_file *file = NULL;
    uint64_t size = 0;
    ochre_status status = och_vfs_open(vfs, OCH_CATALOG_FILE, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_OK)
        status = och_file_size(file, &size, err);
    char *bytes = status == OCHRE_OK ? och_buf_extend(bytes_out, (size_t) size) : NULL;
    if (status == OCHRE_OK)
        status = bytes == NULL ? och_fail_memory(err)
                               : och_file_read_all(file, 0, bytes, (size_t) size, err);
    och_file_close(file);
    return status;
}

static ochre_status
copy_catalog(struct och_catalog *base, struct och_buf *bytes_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = read_file(catalog->db.vfs, bytes_out, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

/* What is asked meanwhile is answered from the state of before. */
static ochre_status
follow(struct och_catalog *base, bool *changed_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_assert(catalog->image != NULL);
    ochre_status status = och_catalog_image_look(catalog->image, changed_out, err);
    if (status != OCHRE_OK || !*changed_out)
        return status;
    och_mutex_lock(&catalog->lock);
    och_catalog_db_reconnect(&catalog->db);
    och_catalog_image_take(catalog->image);
    och_mutex_unlock(&catalog->lock);
    return OCHRE_OK;
}

/* Between two transactions. */
static ochre_status
with_copy(struct och_catalog *base,
        ochre_status (*change)(struct och_catalog_db *db, struct ochre_error *err),
        struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = change(&catalog->db, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
keep_copy(struct och_catalog *base, struct ochre_error *err)
{
    return with_copy(base, och_catalog_db_keep_copy, err);
}

static ochre_status
scrub_copy(struct och_catalog *base, bool *mended_out, struct ochre_error *err)
{
    struct sqlite_catalog *catalog = catalog_of(base);
    *mended_out = false;
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_begin_read(&catalog->db, err);
    if (status == OCHRE_OK)
        status = och_catalog_db_scrub_copy(&catalog->db, mended_out, err);
    status = och_catalog_db_end_read(&catalog->db, status);
    och_mutex_unlock(&catalog->lock);
    return status;
}

static ochre_status
tidy(struct och_catalog *base, struct ochre_error *err)
{
    return with_copy(base, och_catalog_db_tidy, err);
}

static const struct och_catalog_ops ops = {
        .close = catalog_close,
        .generation = generation,
        .tenant_create = tenant_create,
        .tenant_get = tenant_get,
        .tenant_set_resource_name = tenant_set_resource_name,
        .tenant_by_resource_name = tenant_by_resource_name,
        .tenant_list = tenant_list,
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
        .collection_fork = collection_fork,
        .collection_adopt = collection_adopt,
        .fork_count = fork_count,
        .pin_list = pin_list,
        .pin_count = pin_count,
        .pin_at = pin_at,
        .is_fork = is_fork,
        .state_get = state_get,
        .state_set = state_set,
        .next_file_id = next_file_id,
        .each_collection = each_collection,
        .reset = reset,
        .copy = copy_catalog,
        .keep_copy = keep_copy,
        .scrub_copy = scrub_copy,
        .tidy = tidy,
        .check = check_catalog,
        .follow = follow,
};

ochre_status
och_catalog_sqlite_open(struct och_mem *mem, struct och_vfs *vfs, bool create,
        struct och_catalog **catalog_out, struct ochre_error *err)
{
    const struct och_catalog_sqlite_options options = {.mem = mem, .vfs = vfs, .create = create};
    return och_catalog_sqlite_open_with(&options, catalog_out, err);
}

ochre_status
och_catalog_sqlite_open_with(const struct och_catalog_sqlite_options *options,
        struct och_catalog **catalog_out, struct ochre_error *err)
{
    *catalog_out = NULL;
    struct och_mem *mem = options->mem;
    struct sqlite_catalog *catalog = och_mem_take_zeroed(mem, sizeof(*catalog));
    if (catalog == NULL)
        return och_fail_memory(err);
    catalog->base.ops = &ops;
    catalog->mem = mem;
    och_mutex_init(&catalog->lock);
    och_mutex_lock(&catalog->lock);
    ochre_status status = och_catalog_db_open(&catalog->db, options, err);
    catalog->db.owner = &catalog->base;
    och_mutex_unlock(&catalog->lock);
    if (status != OCHRE_OK) {
        catalog_close(&catalog->base);
        return status;
    }
    *catalog_out = &catalog->base;
    return OCHRE_OK;
}

ochre_status
och_catalog_sqlite_open_beside(struct och_mem *mem, struct och_vfs *vfs,
        struct och_catalog **catalog_out, struct ochre_error *err)
{
    struct och_catalog_image *image;
    bool changed;
    *catalog_out = NULL;
    ochre_status status = och_catalog_image_make(mem, vfs, &image, err);
    if (status == OCHRE_OK)
        status = och_catalog_image_look(image, &changed, err);
    if (status == OCHRE_OK) {
        const struct och_catalog_sqlite_options options = {
                .mem = mem, .vfs = och_catalog_image_vfs(image), .only_reads = true};
        och_catalog_image_take(image);
        status = och_catalog_sqlite_open_with(&options, catalog_out, err);
    }
    if (status == OCHRE_OK)
        catalog_of(*catalog_out)->image = image;
    else
        och_catalog_image_release(image);
    return status;
}
