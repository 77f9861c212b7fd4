/*
 * public.c - include/ochre/ochre.h in terms of the verbs.  Nothing is decided
 * here: each function turns its arguments into a verb's.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "api/archive.h"
#include "api/backup.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/repair.h"
#include "api/schema.h"
#include "api/stats.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/pages.h"
#include "distance/distance.h"
#include "ochre/ochre.h"
#include "os/clock.h"
#include "os/cpu.h"
#include "os/executor.h"
#include "os/vfs_posix.h"

/* An open collection: what names it. */
struct ochre_collection {
    ochre_db *db;
    struct och_uuid id;
    char *tenant, *database; /* owned, in one block with this */
    size_t block_size;
    _Atomic(uint64_t) written; /* the newest position that a write has got */
};

/* A public result is the engine's. */
struct ochre_result {
    struct och_result inner; /* never made: only the type's name is public */
};

static struct och_result *
inner(ochre_result *result)
{
    return (struct och_result *) result;
}

static const struct och_result *
inner_const(const ochre_result *result)
{
    return (const struct och_result *) result;
}

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, text == NULL ? 0 : strlen(text)};
}

static struct ochre_bytes
name_or(const char *name, const char *otherwise)
{
    return bytes_of(name == NULL ? otherwise : name);
}

const char *
ochre_version(void)
{
    return OCH_VERSION;
}

/* --- opening ----------------------------------------------------------------- */

/* The account under a database that opened its own parts.  It pays for itself:
 * it is moved into the block it was charged for, and out again to free it. */
struct ground {
    struct och_mem mem;
};

static struct ground *
make_ground(size_t limit)
{
    struct och_mem root;
    och_mem_init(&root, NULL);
    struct ground *ground = och_mem_take(&root, sizeof(*ground));
    if (ground == NULL)
        return NULL;
    ground->mem = root;
    if (limit != 0)
        ground->mem.limit = limit;
    return ground;
}

static void
free_ground(struct ground *ground)
{
    struct och_mem root = ground->mem;
    och_mem_release(&root, ground, sizeof(*ground));
}

/* The set that is wanted, if this processor has it; otherwise the fastest. */
static const struct och_kernels *
kernels_for(struct och_cpu_sets sets, const char *wanted)
{
    const struct och_machine *machine = och_machine_posix();
    if (wanted != NULL)
        return och_kernels_choose(sets, wanted);
    return och_kernels_fastest(sets, machine->monotonic_ns, machine->context);
}

static ochre_status
open_on_ground(struct ground *ground, const char *path, const struct ochre_options *options,
        ochre_db **db_out, struct ochre_error *err)
{
    struct och_vfs *vfs = NULL;
    struct och_vfs *archive = NULL;
    struct och_executor *executor = NULL;
    struct och_cpu cpu = och_cpu_detect();
    bool create = !options->must_exist && !options->read_only;
    ochre_status status = och_vfs_posix_open(&ground->mem, path, create, &vfs, err);
    if (status == OCHRE_OK && options->archive != NULL && !options->read_only)
        status = och_vfs_posix_open(&ground->mem, options->archive, true, &archive, err);
    if (status == OCHRE_OK && options->n_threads > 0)
        status = och_executor_open(&ground->mem, 0, options->n_threads, &executor, err);
    struct och_db_options db_options = {.mem = &ground->mem,
            .vfs = vfs,
            .machine = och_machine_posix(),
            .kernels = kernels_for(cpu.sets, options->simd),
            .executor = executor,
            .n_cpus = cpu.cores,
            .create = create,
            .read_only = options->read_only,
            .allow_reset = options->allow_reset,
            .archive = archive,
            .engine = {.head_rows_max = options->seal_rows, .retain_s = options->retain_seconds}};
    if (status == OCHRE_OK)
        status = och_db_open(&db_options, db_out, err);
    if (status != OCHRE_OK) {
        och_executor_close(executor);
        och_vfs_posix_close(archive);
        if (vfs != NULL)
            och_vfs_posix_close(vfs);
        return status;
    }
    (*db_out)->own_vfs = vfs;
    (*db_out)->own_archive = archive;
    (*db_out)->own_executor = executor;
    return OCHRE_OK;
}

ochre_status
ochre_open(const char *path, const struct ochre_options *options, ochre_db **db_out,
        struct ochre_error *err)
{
    *db_out = NULL;
    static const struct ochre_options defaults = {.size = sizeof(struct ochre_options)};
    if (options == NULL)
        options = &defaults;
    if (options->size != sizeof(struct ochre_options))
        return och_fail(err, OCHRE_INVALID, "options.size is %zu; this library expects %zu",
                options->size, sizeof(struct ochre_options));
    if (options->retain_seconds > OCH_RETAIN_SECONDS_MAX)
        return och_fail(err, OCHRE_INVALID, "options.retain_seconds is %u; the limit is %u",
                (unsigned) options->retain_seconds, OCH_RETAIN_SECONDS_MAX);
    struct ground *ground = make_ground(options->memory_limit);
    if (ground == NULL)
        return och_fail_memory(err);
    ochre_status status = open_on_ground(ground, path, options, db_out, err);
    if (status != OCHRE_OK) {
        free_ground(ground);
        och_pages_drop();
    }
    return status;
}

void
ochre_close(ochre_db *db)
{
    if (db == NULL)
        return;
    struct och_vfs *vfs = db->own_vfs;
    struct och_vfs *archive = db->own_archive;
    struct och_executor *executor = db->own_executor;
    struct ground *ground = (struct ground *) (void *) db->options.mem;
    och_db_close(db);
    och_executor_close(executor);
    och_vfs_posix_close(archive);
    och_vfs_posix_close(vfs);
    free_ground(ground);
    och_pages_drop();
}

ochre_status
ochre_reset(ochre_db *db, struct ochre_error *err)
{
    return och_op_reset(db, err);
}

ochre_status
ochre_seal(ochre_db *db, struct ochre_error *err)
{
    ochre_status status = och_db_admit_change(db, err);
    if (status != OCHRE_OK)
        return status;
    return och_engine_seal_all(db->engine, err);
}

ochre_status
ochre_compact(ochre_db *db, struct ochre_error *err)
{
    return och_op_compact(db, err);
}

ochre_status
ochre_repair(ochre_db *db, bool dry_run, struct ochre_repair *repair_out, struct ochre_error *err)
{
    static const struct och_repair_options options = {.report = NULL};
    struct och_repair_totals totals;
    if (repair_out != NULL && repair_out->size != sizeof(*repair_out))
        return och_fail(err, OCHRE_INVALID, "ochre_repair: size is %zu, not %zu", repair_out->size,
                sizeof(*repair_out));
    ochre_status status = och_op_repair(db, &options, dry_run, &totals, err);
    if (status == OCHRE_OK && repair_out != NULL)
        *repair_out = (struct ochre_repair){.size = sizeof(*repair_out),
                .n_damaged = totals.n_collections - totals.n_whole,
                .n_records = totals.n_records,
                .n_lost = totals.n_lost,
                .n_in_doubt = totals.n_in_doubt};
    return status;
}

ochre_status
ochre_archive(ochre_db *db, struct ochre_error *err)
{
    if (db->archive == NULL)
        return och_fail(err, OCHRE_INVALID, "the database was opened without an archive");
    return och_archive_copy(db->archive, err);
}

ochre_status
ochre_purge(ochre_db *db, struct ochre_error *err)
{
    return och_op_purge(db, err);
}

ochre_status
ochre_backup(ochre_db *db, const char *to, struct ochre_backup *backup_out, struct ochre_error *err)
{
    struct och_backup_totals totals;
    if (backup_out != NULL && backup_out->size != sizeof(*backup_out))
        return och_fail(err, OCHRE_INVALID, "ochre_backup: size is %zu, not %zu", backup_out->size,
                sizeof(*backup_out));
    ochre_status status = och_db_admit_change(db, err);
    if (status == OCHRE_OK)
        status = och_backup_database_to(db, to, &totals, err);
    if (status == OCHRE_OK && backup_out != NULL)
        *backup_out = (struct ochre_backup){.size = sizeof(*backup_out),
                .n_files = totals.n_files,
                .n_bytes = totals.n_bytes,
                .n_files_copied = totals.n_files_copied,
                .n_bytes_copied = totals.n_bytes_copied,
                .made_s = totals.made_s};
    return status;
}

ochre_status
ochre_stats(ochre_db *db, struct ochre_stats *stats_out, ochre_stats_visit visit, void *context,
        struct ochre_error *err)
{
    struct och_arena arena;
    struct och_stats stats;
    if (stats_out->size != sizeof(*stats_out))
        return och_fail(err, OCHRE_INVALID, "stats.size is %zu; this library expects %zu",
                stats_out->size, sizeof(*stats_out));
    och_arena_init(&arena, &db->mem);
    ochre_status status = och_op_stats(db, &arena, &stats, err);
    if (status == OCHRE_OK)
        *stats_out = stats.totals;
    for (size_t i = 0; status == OCHRE_OK && visit != NULL && i < stats.n_collections; i++) {
        if (!visit(context, &stats.collections[i]))
            break;
    }
    och_arena_clear(&arena);
    return status;
}

/* --- tenants and databases ---------------------------------------------------- */

ochre_status
ochre_tenant_create(ochre_db *db, const char *tenant, struct ochre_error *err)
{
    return och_op_tenant_create(db, bytes_of(tenant), err);
}

ochre_status
ochre_tenant_check(ochre_db *db, const char *tenant, struct ochre_error *err)
{
    struct och_arena arena;
    struct ochre_bytes resource_name;
    och_arena_init(&arena, &db->mem);
    ochre_status status = och_op_tenant_get(db, &arena, bytes_of(tenant), &resource_name, err);
    och_arena_clear(&arena);
    return status;
}

ochre_status
ochre_database_create(
        ochre_db *db, const char *tenant, const char *database, struct ochre_error *err)
{
    return och_op_database_create(db, bytes_of(tenant), bytes_of(database), err);
}

ochre_status
ochre_database_check(
        ochre_db *db, const char *tenant, const char *database, struct ochre_error *err)
{
    struct och_arena arena;
    struct och_database_row row;
    och_arena_init(&arena, &db->mem);
    ochre_status status =
            och_op_database_get(db, &arena, bytes_of(tenant), bytes_of(database), &row, err);
    och_arena_clear(&arena);
    return status;
}

ochre_status
ochre_database_delete(
        ochre_db *db, const char *tenant, const char *database, struct ochre_error *err)
{
    return och_op_database_delete(db, bytes_of(tenant), bytes_of(database), err);
}

ochre_status
ochre_database_list(ochre_db *db, const char *tenant,
        bool (*visit)(void *context, struct ochre_bytes name), void *context,
        struct ochre_error *err)
{
    struct och_arena arena;
    struct och_database_row *rows;
    size_t n = 0;
    och_arena_init(&arena, &db->mem);
    ochre_status status =
            och_op_database_list(db, &arena, bytes_of(tenant), UINT64_MAX, 0, &rows, &n, err);
    for (size_t i = 0; status == OCHRE_OK && i < n; i++)
        if (!visit(context, rows[i].name))
            break;
    och_arena_clear(&arena);
    return status;
}

/* --- collections -------------------------------------------------------------- */

/* A handle on the collection an answer showed. */
static ochre_status
make_handle(ochre_db *db, const struct och_collection_info *info, ochre_collection **collection_out,
        struct ochre_error *err)
{
    const struct och_collection_row *row = &info->row;
    size_t size = sizeof(ochre_collection) + row->tenant.size + row->database.size + 2;
    ochre_collection *collection = och_mem_take_zeroed(&db->mem, size);
    *collection_out = collection;
    if (collection == NULL)
        return och_fail_memory(err);
    collection->db = db;
    collection->id = row->id;
    collection->block_size = size;
    collection->tenant = (char *) (collection + 1);
    collection->database = collection->tenant + row->tenant.size + 1;
    memcpy(collection->tenant, row->tenant.data, row->tenant.size);
    memcpy(collection->database, row->database.data, row->database.size);
    return OCHRE_OK;
}

static struct och_target
target_of(const ochre_collection *collection)
{
    return (struct och_target){
            bytes_of(collection->tenant), bytes_of(collection->database), collection->id};
}

/* JSON that a caller gave, or NULL. */
static ochre_status
parse_json(struct och_arena *arena, struct ochre_bytes text, struct och_json **root_out,
        struct ochre_error *err)
{
    *root_out = NULL;
    if (text.data == NULL)
        return OCHRE_OK;
    return och_json_parse(arena, text.data, text.size, root_out, err);
}

static const char *
configuration_of_space(ochre_space space)
{
    switch (space) {
    case OCHRE_SPACE_L2:
        return "{\"hnsw\":{\"space\":\"l2\"}}";
    case OCHRE_SPACE_COSINE:
        return "{\"hnsw\":{\"space\":\"cosine\"}}";
    case OCHRE_SPACE_IP:
        return "{\"hnsw\":{\"space\":\"ip\"}}";
    }
    return "{}";
}

static ochre_status
create_in(ochre_db *db, struct och_arena *arena, const char *name,
        const struct ochre_collection_options *options, struct och_collection_info *info_out,
        struct ochre_error *err)
{
    struct ochre_bytes text = options->configuration;
    if (text.data == NULL && options->schema.data == NULL)
        text = bytes_of(configuration_of_space(options->space));
    struct och_json *configuration;
    struct och_json *schema = NULL;
    struct och_schema_request *indexes = NULL;
    ochre_status status = parse_json(arena, text, &configuration, err);
    if (status == OCHRE_OK)
        status = parse_json(arena, options->schema, &schema, err);
    if (status == OCHRE_OK)
        status = och_schema_request_parse(arena, configuration, schema, &indexes, err);
    if (status != OCHRE_OK)
        return status;
    struct och_create create = {.tenant = name_or(options->tenant, OCH_DEFAULT_TENANT),
            .database = name_or(options->database, OCH_DEFAULT_DATABASE),
            .name = bytes_of(name),
            .metadata = options->metadata.n_fields > 0 ? &options->metadata : NULL,
            .indexes = indexes,
            .get_or_create = options->get_or_create};
    return och_op_collection_create(db, arena, &create, info_out, err);
}

ochre_status
ochre_collection_create(ochre_db *db, const char *name,
        const struct ochre_collection_options *options, ochre_collection **collection_out,
        struct ochre_error *err)
{
    *collection_out = NULL;
    static const struct ochre_collection_options defaults = {
            .size = sizeof(struct ochre_collection_options)};
    if (options == NULL)
        options = &defaults;
    if (options->size != sizeof(*options))
        return och_fail(err, OCHRE_INVALID, "options.size is %zu; this library expects %zu",
                options->size, sizeof(*options));
    struct och_arena arena;
    struct och_collection_info info;
    och_arena_init(&arena, &db->mem);
    ochre_status status = create_in(db, &arena, name, options, &info, err);
    if (status == OCHRE_OK)
        status = make_handle(db, &info, collection_out, err);
    och_arena_clear(&arena);
    return status;
}

ochre_status
ochre_collection_open(ochre_db *db, const char *tenant, const char *database, const char *name,
        ochre_collection **collection_out, struct ochre_error *err)
{
    *collection_out = NULL;
    struct och_arena arena;
    struct och_collection_info info;
    och_arena_init(&arena, &db->mem);
    ochre_status status = och_op_collection_get(db, &arena, name_or(tenant, OCH_DEFAULT_TENANT),
            name_or(database, OCH_DEFAULT_DATABASE), bytes_of(name), &info, err);
    if (status == OCHRE_OK)
        status = make_handle(db, &info, collection_out, err);
    och_arena_clear(&arena);
    return status;
}

void
ochre_collection_close(ochre_collection *collection)
{
    if (collection != NULL)
        och_mem_release(&collection->db->mem, collection, collection->block_size);
}

ochre_status
ochre_collection_delete(ochre_db *db, const char *tenant, const char *database, const char *name,
        struct ochre_error *err)
{
    return och_op_collection_delete(db, name_or(tenant, OCH_DEFAULT_TENANT),
            name_or(database, OCH_DEFAULT_DATABASE), bytes_of(name), err);
}

ochre_status
ochre_collection_update(ochre_collection *collection, const char *name,
        const struct ochre_metadata *metadata, struct ochre_bytes configuration,
        struct ochre_error *err)
{
    struct och_target target = target_of(collection);
    struct och_arena arena;
    struct och_json *root;
    struct och_schema_change change = {.has_hnsw = false};
    och_arena_init(&arena, &collection->db->mem);
    ochre_status status = parse_json(&arena, configuration, &root, err);
    if (status == OCHRE_OK)
        status = och_schema_change_parse(root, &change, err);
    struct och_update update = {.new_name = bytes_of(name),
            .new_metadata = metadata,
            .change = configuration.data == NULL ? NULL : &change};
    if (status == OCHRE_OK)
        status = och_op_collection_update(collection->db, &target, &update, err);
    och_arena_clear(&arena);
    return status;
}

ochre_status
ochre_collection_fork(ochre_collection *collection, const char *name,
        ochre_collection **collection_out, struct ochre_error *err)
{
    *collection_out = NULL;
    struct och_target target = target_of(collection);
    struct och_arena arena;
    struct och_collection_info info;
    och_arena_init(&arena, &collection->db->mem);
    ochre_status status =
            och_op_collection_fork(collection->db, &arena, &target, bytes_of(name), &info, err);
    if (status == OCHRE_OK)
        status = make_handle(collection->db, &info, collection_out, err);
    och_arena_clear(&arena);
    return status;
}

ochre_status
ochre_collection_fork_count(
        ochre_collection *collection, uint64_t *count_out, struct ochre_error *err)
{
    struct och_target target = target_of(collection);
    return och_op_collection_fork_count(collection->db, &target, count_out, err);
}

static struct ochre_pin
pin_of(const struct och_pin_info *info)
{
    return (struct ochre_pin){.size = sizeof(struct ochre_pin),
            .name = info->name,
            .position = info->position,
            .created_unix_s = info->created_unix_s,
            .n_bytes = info->n_bytes};
}

ochre_status
ochre_pin_create(ochre_collection *collection, const char *name, struct ochre_pin *pin_out,
        struct ochre_error *err)
{
    struct och_target target = target_of(collection);
    struct och_pin_info info;
    struct och_arena arena;
    if (pin_out != NULL && pin_out->size != sizeof(*pin_out))
        return och_fail(err, OCHRE_INVALID, "pin.size is %zu; this library expects %zu",
                pin_out->size, sizeof(*pin_out));
    och_arena_init(&arena, &collection->db->mem);
    ochre_status status = och_op_pin(collection->db, &arena, &target, bytes_of(name), &info, err);
    if (status == OCHRE_OK && pin_out != NULL) {
        *pin_out = pin_of(&info);
        och_assert(info.name.size < sizeof(pin_out->text));
        memcpy(pin_out->text, info.name.data, info.name.size);
        pin_out->name.data = pin_out->text;
    }
    och_arena_clear(&arena);
    return status;
}

ochre_status
ochre_pin_delete(ochre_collection *collection, const char *name, struct ochre_error *err)
{
    struct och_target target = target_of(collection);
    return och_op_unpin(collection->db, &target, bytes_of(name), err);
}

ochre_status
ochre_pin_list(ochre_collection *collection,
        bool (*visit)(void *context, const struct ochre_pin *pin), void *context,
        struct ochre_error *err)
{
    struct och_target target = target_of(collection);
    struct och_pin_info *infos = NULL;
    struct och_arena arena;
    size_t n = 0;
    och_arena_init(&arena, &collection->db->mem);
    ochre_status status = och_op_pin_list(collection->db, &arena, &target, &infos, &n, err);
    for (size_t i = 0; status == OCHRE_OK && i < n; i++) {
        const struct ochre_pin pin = pin_of(&infos[i]);
        if (!visit(context, &pin))
            break;
    }
    och_arena_clear(&arena);
    return status;
}

/* Show one collection; *go_on_out is what the visit says. */
static ochre_status
show(ochre_db *db, const struct och_collection_info *info, ochre_collection_visit visit,
        void *context, bool *go_on_out, struct ochre_error *err)
{
    struct och_buf configuration;
    struct och_buf schema;
    och_buf_init(&configuration, &db->mem, (size_t) OCH_SCHEMA_SIZE_MAX * 2);
    och_buf_init(&schema, &db->mem, SIZE_MAX / 2);
    och_schema_put_configuration(&configuration, info->schema);
    och_schema_put(&schema, info->schema, info->keys, info->n_keys);
    ochre_status status = OCHRE_OK;
    if (och_buf_status(&configuration) != OCHRE_OK || och_buf_status(&schema) != OCHRE_OK) {
        status = och_fail_memory(err);
    } else {
        struct ochre_collection_info shown = {.tenant = info->row.tenant,
                .database = info->row.database,
                .name = info->row.name,
                .metadata = info->metadata,
                .configuration = {configuration.data, configuration.size},
                .schema = {schema.data, schema.size},
                .space = och_schema_space(info->schema),
                .dim = info->dim};
        och_uuid_put(info->row.id, shown.id);
        *go_on_out = visit(context, &shown);
    }
    och_buf_clear(&configuration);
    och_buf_clear(&schema);
    return status;
}

ochre_status
ochre_collection_describe(ochre_collection *collection, ochre_collection_visit visit, void *context,
        struct ochre_error *err)
{
    struct och_target target = target_of(collection);
    struct och_arena arena;
    struct och_collection_info info;
    bool go_on;
    och_arena_init(&arena, &collection->db->mem);
    ochre_status status = och_op_collection_get_by_id(collection->db, &arena, &target, &info, err);
    if (status == OCHRE_OK)
        status = show(collection->db, &info, visit, context, &go_on, err);
    och_arena_clear(&arena);
    return status;
}

ochre_status
ochre_collection_list(ochre_db *db, const char *tenant, const char *database, uint64_t limit,
        uint64_t offset, ochre_collection_visit visit, void *context, struct ochre_error *err)
{
    struct och_arena arena;
    struct och_collection_info *infos;
    size_t n = 0;
    bool go_on = true;
    och_arena_init(&arena, &db->mem);
    ochre_status status = och_op_collection_list(db, &arena, name_or(tenant, OCH_DEFAULT_TENANT),
            name_or(database, OCH_DEFAULT_DATABASE), limit, offset, &infos, &n, err);
    for (size_t i = 0; status == OCHRE_OK && go_on && i < n; i++)
        status = show(db, &infos[i], visit, context, &go_on, err);
    och_arena_clear(&arena);
    return status;
}

void
ochre_collection_id(const ochre_collection *collection, char id_out[37])
{
    och_uuid_put(collection->id, id_out);
}

/* --- writing ------------------------------------------------------------------- */

static void
note_written(ochre_collection *collection, uint64_t position)
{
    uint64_t before = atomic_load_explicit(&collection->written, memory_order_relaxed);
    while (before < position &&
            !atomic_compare_exchange_weak_explicit(&collection->written, &before, position,
                    memory_order_relaxed, memory_order_relaxed))
        continue;
}

uint64_t
ochre_collection_written(const ochre_collection *collection)
{
    return atomic_load_explicit(&collection->written, memory_order_relaxed);
}

static ochre_status
write_records(ochre_collection *collection, enum och_write_op op,
        const struct ochre_records *records, struct ochre_error *err)
{
    struct och_target target = target_of(collection);
    bool has_vectors = records->embeddings != NULL || (op != OCH_WRITE_UPDATE && records->n > 0);
    struct och_write_input input = {.records = *records,
            .n_embeddings = has_vectors ? records->n : OCH_NOT_GIVEN,
            .n_documents = records->documents != NULL ? records->n : OCH_NOT_GIVEN,
            .n_uris = records->uris != NULL ? records->n : OCH_NOT_GIVEN,
            .n_metadatas = records->metadatas != NULL ? records->n : OCH_NOT_GIVEN};
    if (has_vectors && records->embeddings == NULL)
        return och_fail(err, OCHRE_INVALID, "Validation error: embeddings: they are missing");
    struct och_written written;
    ochre_status status = och_op_write(collection->db, &target, op, &input, &written, err);
    if (status == OCHRE_OK)
        note_written(collection, written.position);
    return status;
}

ochre_status
ochre_add(
        ochre_collection *collection, const struct ochre_records *records, struct ochre_error *err)
{
    return write_records(collection, OCH_WRITE_ADD, records, err);
}

ochre_status
ochre_update(
        ochre_collection *collection, const struct ochre_records *records, struct ochre_error *err)
{
    return write_records(collection, OCH_WRITE_UPDATE, records, err);
}

ochre_status
ochre_upsert(
        ochre_collection *collection, const struct ochre_records *records, struct ochre_error *err)
{
    return write_records(collection, OCH_WRITE_UPSERT, records, err);
}

static struct och_select_input
select_of(const struct ochre_selection *selection)
{
    return (struct och_select_input){.has_ids = selection->ids != NULL,
            .ids = selection->ids,
            .n_ids = selection->n_ids,
            .has_filter = selection->filter.nodes != NULL,
            .filter = selection->filter};
}

ochre_status
ochre_delete(ochre_collection *collection, const struct ochre_selection *selection, uint64_t limit,
        uint64_t *deleted_out, struct ochre_error *err)
{
    struct och_target target = target_of(collection);
    struct och_select_input select = select_of(selection);
    struct och_written written;
    ochre_status status = och_op_delete(collection->db, &target, &select, limit, &written, err);
    if (status == OCHRE_OK)
        note_written(collection, written.position);
    *deleted_out = written.n_deleted;
    return status;
}

/* --- reading ------------------------------------------------------------------- */

ochre_status
ochre_get(ochre_collection *collection, const struct ochre_get *get, ochre_result **result_out,
        struct ochre_error *err)
{
    struct och_target target = target_of(collection);
    struct och_get_input input = {.select = select_of(&get->selection),
            .offset = get->offset,
            .limit = get->limit,
            .include = get->include,
            .as_of = get->as_of,
            .pages = get->pages,
            .cursor = get->cursor};
    struct och_result *result;
    ochre_status status = och_op_get(collection->db, &target, &input, &result, err);
    *result_out = (ochre_result *) result;
    return status;
}

ochre_status
ochre_query(ochre_collection *collection, const struct ochre_query *query,
        ochre_result **result_out, struct ochre_error *err)
{
    *result_out = NULL;
    struct och_target target = target_of(collection);
    if (query->size != sizeof(struct ochre_query))
        return och_fail(err, OCHRE_INVALID, "query.size is %zu; this library expects %zu",
                query->size, sizeof(struct ochre_query));
    if (query->dim > OCH_DIM_MAX)
        return och_fail(err, OCHRE_INVALID, "a query has %zu dimensions; the limit is %u",
                query->dim, OCH_DIM_MAX);
    struct och_arena arena;
    och_arena_init(&arena, &collection->db->mem);
    uint32_t *dims = och_arena_take_array(&arena, query->n_queries, sizeof(*dims));
    if (dims == NULL) {
        och_arena_clear(&arena);
        return och_fail_memory(err);
    }
    for (size_t i = 0; i < query->n_queries; i++)
        dims[i] = (uint32_t) query->dim;
    struct och_query_input input = {.select = select_of(&query->selection),
            .queries = query->queries,
            .n_queries = query->n_queries,
            .dims = dims,
            .k = query->k,
            .include = query->include,
            .exact = query->exact,
            .explain = query->explain,
            .recall_target = query->recall_target,
            .effort = query->effort,
            .as_of = query->as_of};
    struct och_result *result = NULL;
    ochre_status status = och_op_query(collection->db, &target, &input, &result, err);
    *result_out = (ochre_result *) result;
    och_arena_clear(&arena);
    return status;
}

ochre_status
ochre_count_as_of(ochre_collection *collection, const uint64_t *as_of, uint64_t *count_out,
        uint64_t *position_out, struct ochre_error *err)
{
    struct och_target target = target_of(collection);
    return och_op_count(collection->db, &target, as_of, count_out, position_out, err);
}

ochre_status
ochre_count(ochre_collection *collection, uint64_t *count_out, struct ochre_error *err)
{
    return ochre_count_as_of(collection, NULL, count_out, NULL, err);
}

ochre_status
ochre_index_status(ochre_collection *collection, struct ochre_index_status *status_out,
        struct ochre_error *err)
{
    if (status_out->size != sizeof(*status_out))
        return och_fail(err, OCHRE_INVALID, "status.size is %zu; this library expects %zu",
                status_out->size, sizeof(*status_out));
    struct och_target target = target_of(collection);
    struct och_index_status found;
    ochre_status status = och_op_index_status(collection->db, &target, &found, err);
    *status_out = (struct ochre_index_status){.size = sizeof(*status_out),
            .operations = found.n_operations,
            .rows = found.rows,
            .unindexed_rows = found.unindexed_rows,
            .segments = found.n_segments,
            .graph_segments = found.n_graph_segments,
            .recall_target = found.recall_target,
            .measured_recall = found.is_measured ? found.measured_recall : -1,
            .effort = found.effort,
            .audited_queries = found.n_audited,
            .audited_recall = found.audited_recall};
    return status;
}

size_t
ochre_result_lists(const ochre_result *result)
{
    return inner_const(result)->n_lists;
}

const struct ochre_hit *
ochre_result_hits(const ochre_result *result, size_t list, size_t *n_out)
{
    const struct och_result *in = inner_const(result);
    *n_out = list < in->n_lists ? in->lists[list].n : 0;
    return list < in->n_lists ? in->lists[list].hits : NULL;
}

const struct ochre_explain *
ochre_result_explain(const ochre_result *result, size_t list)
{
    const struct och_result *in = inner_const(result);
    return in->explains != NULL && list < in->n_lists ? &in->explains[list] : NULL;
}

uint32_t
ochre_result_dim(const ochre_result *result)
{
    return inner_const(result)->dim;
}

uint64_t
ochre_result_position(const ochre_result *result)
{
    return inner_const(result)->snapshot.facts.position;
}

struct ochre_bytes
ochre_result_cursor(const ochre_result *result)
{
    return inner_const(result)->cursor;
}

void
ochre_result_close(ochre_result *result)
{
    och_result_release(inner(result));
}
