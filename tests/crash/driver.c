#include "crash/driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/archive.h"
#include "api/backup.h"
#include "api/db.h"
#include "api/ops.h"
#include "api/restore_point.h"
#include "api/schema.h"
#include "base/arena.h"
#include "crash/compare.h"
#include "crash/sqlite_memory.h"
#include "distance/distance.h"
#include "engine/collection.h"
#include "engine/engine.h"
#include "sim/sim_disk.h"

/* Small heads, so that a short workload seals and merges often, and limits of the
 * log and of a segment that it reaches. */
enum { HEAD_ROWS = 12, LOG_SIZE_SEAL = 256 << 10, FAN_IN = 3, SEGMENT_ROWS = 25 };

/* --- while segments are merged ------------------------------------------------ */

/* A write that waits for its collection to be merged. */
static struct {
    struct session *session;
    const struct och_collection *collection; /* NULL: none waits */
    void (*run)(struct session *session);
} pending;

static const struct och_catalog_ops *catalog_ops; /* of every catalog, without us */

/* A merge asks for the number of its file when it is about to write it; whoever
 * compacts does so outside of all locks. */
static ochre_status
next_file_id(struct och_catalog *catalog, uint64_t *id_out, struct ochre_error *err)
{
    if (pending.collection != NULL && pending.collection->merging) {
        pending.collection = NULL;
        pending.run(pending.session);
    }
    return catalog_ops->next_file_id(catalog, id_out, err);
}

static void
stand_between(struct och_catalog *catalog)
{
    static struct och_catalog_ops between;
    catalog_ops = catalog->ops;
    between = *catalog->ops;
    between.next_file_id = next_file_id;
    catalog->ops = &between;
}

/* --- sessions --------------------------------------------------------------- */

ochre_status
session_open(struct session *session, struct ochre_error *err)
{
    struct och_db_options options = {.mem = &session->mem,
            .vfs = sim_disk_vfs(session->disk),
            .machine = &session->machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .n_cpus = 1,
            .create = true,
            .allow_reset = true,
            .archive = session->archives ? &session->archive.vfs : NULL,
            .engine = {.head_rows_max = HEAD_ROWS,
                    .log_size_seal = LOG_SIZE_SEAL,
                    .merge = {.fan_in = FAN_IN, .rows_max = SEGMENT_ROWS}}};
    compare_forget(); /* what was seen of another state of the disk, perhaps */
    ochre_status status = och_db_open(&options, &session->db, err);
    if (status == OCHRE_OK)
        stand_between(session->db->catalog);
    return status;
}

ochre_status
session_begin(
        struct session *session, struct sim_disk *disk, uint64_t seed, struct ochre_error *err)
{
    session->disk = disk;
    session->db = NULL;
    session->backup = NULL;
    session->sqlite_blocks = sqlite_memory_blocks();
    sim_machine_init(&session->machine, seed);
    och_mem_init(&session->mem, NULL);
    session->archives = sim_disk_has_dir(disk, SESSION_ARCHIVE);
    sim_dir_init(&session->archive, sim_disk_vfs(disk), SESSION_ARCHIVE);
    return session_open(session, err);
}

bool
session_end(struct session *session)
{
    och_db_close(session->db);
    session->db = NULL;
    sim_disk_close(session->backup);
    session->backup = NULL;
    size_t used = och_mem_used(&session->mem);
    uint64_t blocks = sqlite_memory_blocks() - session->sqlite_blocks;
    if (used == 0 && blocks == 0)
        return true;
    (void) fprintf(stderr, "a closed database keeps %zu bytes, and SQLite %" PRIu64 " blocks\n",
            used, blocks);
    return false;
}

/* --- from the model's words to the database's --------------------------------- */

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

struct och_target_name {
    struct ochre_bytes tenant, database, name;
};

static struct och_target_name
name_of(const struct model_op *op)
{
    return (struct och_target_name){
            bytes_of(op->tenant), bytes_of(op->database), bytes_of(op->name)};
}

/* A request's columns, and what they point into. */
struct batch {
    struct och_arena arena;
    struct ochre_bytes ids[MODEL_BATCH_MAX], documents[MODEL_BATCH_MAX], uris[MODEL_BATCH_MAX];
    struct ochre_metadata metadatas[MODEL_BATCH_MAX];
    uint32_t dims[MODEL_BATCH_MAX];
    float vectors[MODEL_BATCH_MAX * MODEL_DIM_MAX];
};

/* The batch is the client's: its memory is not the database's. */
static void *
take(struct batch *batch, size_t size)
{
    void *bytes = och_arena_take(&batch->arena, size == 0 ? 1 : size);
    if (bytes == NULL)
        abort();
    return bytes;
}

static struct ochre_bytes
put_text(struct batch *batch, const struct model_text *text)
{
    if (!text->is_there)
        return (struct ochre_bytes){NULL, 0};
    size_t size = strlen(text->text);
    char *bytes = take(batch, size * text->n_repeats);
    for (size_t i = 0; i < text->n_repeats; i++)
        memcpy(bytes + i * size, text->text, size);
    return (struct ochre_bytes){bytes, size * text->n_repeats};
}

static void
put_list(struct batch *batch, const struct model_value *from, struct ochre_value *to)
{
    bool *booleans = take(batch, from->n * sizeof(*booleans));
    struct ochre_bytes *strings = take(batch, from->n * sizeof(*strings));
    for (size_t i = 0; i < from->n; i++) {
        booleans[i] = from->integers[i] != 0;
        strings[i] = bytes_of(from->strings[i]);
    }
    to->n = from->n;
    to->type = (ochre_value_type) (to->type + 4);
    if (from->type == MODEL_BOOL)
        to->as.booleans = booleans;
    else if (from->type == MODEL_INT)
        to->as.integers = from->integers;
    else if (from->type == MODEL_FLOAT)
        to->as.numbers = from->numbers;
    else
        to->as.strings = strings;
}

static void
put_value(struct batch *batch, const struct model_value *from, struct ochre_value *to)
{
    static const ochre_value_type types[] = {
            [MODEL_NULL] = OCHRE_VALUE_NULL,
            [MODEL_BOOL] = OCHRE_VALUE_BOOL,
            [MODEL_INT] = OCHRE_VALUE_INT,
            [MODEL_FLOAT] = OCHRE_VALUE_FLOAT,
            [MODEL_STRING] = OCHRE_VALUE_STRING,
    };
    *to = (struct ochre_value){.type = types[from->type]};
    if (from->is_list)
        put_list(batch, from, to);
    else if (from->type == MODEL_BOOL)
        to->as.boolean = from->integers[0] != 0;
    else if (from->type == MODEL_INT)
        to->as.integer = from->integers[0];
    else if (from->type == MODEL_FLOAT)
        to->as.number = from->numbers[0];
    else if (from->type == MODEL_STRING)
        to->as.string = bytes_of(from->strings[0]);
}

static struct ochre_metadata
put_metadata(struct batch *batch, const struct model_fields *fields)
{
    struct ochre_field *to = take(batch, fields->n * sizeof(*to));
    for (size_t i = 0; i < fields->n; i++) {
        to[i].key = bytes_of(fields->fields[i].key);
        put_value(batch, &fields->fields[i].value, &to[i].value);
    }
    return (struct ochre_metadata){to, fields->n};
}

static void
put_batch(struct batch *batch, const struct model_op *op, struct och_write_input *input)
{
    float *next = batch->vectors;
    size_t n = op->n_records;
    for (size_t i = 0; i < n; i++) {
        const struct model_record *record = &op->records[i];
        batch->ids[i] = bytes_of(record->id);
        batch->documents[i] = put_text(batch, &record->document);
        batch->uris[i] = put_text(batch, &record->uri);
        batch->metadatas[i] = put_metadata(batch, &record->metadata);
        batch->dims[i] = record->dim;
        memcpy(next, record->vector, record->dim * sizeof(float));
        next += record->dim;
    }
    *input = (struct och_write_input){.records = {.n = n,
                                              .ids = batch->ids,
                                              .embeddings = batch->vectors,
                                              .dims = batch->dims,
                                              .documents = batch->documents,
                                              .uris = batch->uris,
                                              .metadatas = batch->metadatas},
            .n_embeddings = n,
            .n_documents = n,
            .n_uris = n,
            .n_metadatas = n};
}

/* --- operations ------------------------------------------------------------- */

static ochre_status
find_target(struct session *session, struct batch *batch, const struct model_op *op,
        struct och_target *target_out, struct ochre_error *err)
{
    struct och_target_name name = name_of(op);
    struct och_collection_info info;
    ochre_status status = och_op_collection_get(
            session->db, &batch->arena, name.tenant, name.database, name.name, &info, err);
    *target_out = (struct och_target){name.tenant, name.database, info.row.id};
    return status;
}

static ochre_status
do_create(struct session *session, struct batch *batch, const struct model_op *op,
        struct ochre_error *err)
{
    struct och_target_name name = name_of(op);
    struct ochre_metadata metadata = put_metadata(batch, &op->metadata);
    struct och_create create = {.tenant = name.tenant,
            .database = name.database,
            .name = name.name,
            .metadata = op->has_metadata ? &metadata : NULL,
            .get_or_create = op->flag};
    struct och_schema_request *indexes = NULL;
    ochre_status status = och_schema_request_parse(&batch->arena, NULL, NULL, &indexes, err);
    if (status != OCHRE_OK)
        return status;
    create.indexes = indexes;
    struct och_collection_info info;
    return och_op_collection_create(session->db, &batch->arena, &create, &info, err);
}

static ochre_status
do_change(struct session *session, struct batch *batch, const struct model_op *op,
        struct ochre_error *err)
{
    struct och_target target;
    ochre_status status = find_target(session, batch, op, &target, err);
    if (status != OCHRE_OK)
        return status;
    struct ochre_metadata metadata = put_metadata(batch, &op->metadata);
    struct och_update update = {.new_metadata = op->has_metadata ? &metadata : NULL};
    if (op->new_name[0] != '\0')
        update.new_name = bytes_of(op->new_name);
    return och_op_collection_update(session->db, &target, &update, err);
}

static ochre_status
do_fork(struct session *session, struct batch *batch, const struct model_op *op,
        struct ochre_error *err)
{
    struct och_target target;
    struct och_collection_info info;
    ochre_status status = find_target(session, batch, op, &target, err);
    if (status != OCHRE_OK)
        return status;
    return och_op_collection_fork(
            session->db, &batch->arena, &target, bytes_of(op->new_name), &info, err);
}

static ochre_status
do_pin(struct session *session, struct batch *batch, const struct model_op *op,
        struct ochre_error *err)
{
    struct och_target target;
    struct och_pin_info info;
    ochre_status status = find_target(session, batch, op, &target, err);
    if (status != OCHRE_OK)
        return status;
    return op->kind == MODEL_PIN
            ? och_op_pin(session->db, &batch->arena, &target, bytes_of(op->new_name), &info, err)
            : och_op_unpin(session->db, &target, bytes_of(op->new_name), err);
}

static ochre_status
do_write(struct session *session, struct batch *batch, const struct model_op *op,
        enum och_write_op kind, struct ochre_error *err)
{
    struct och_target target;
    ochre_status status = find_target(session, batch, op, &target, err);
    if (status != OCHRE_OK)
        return status;
    struct och_write_input input;
    put_batch(batch, op, &input);
    struct och_written written;
    return och_op_write(session->db, &target, kind, &input, &written, err);
}

static ochre_status
do_delete(struct session *session, struct batch *batch, const struct model_op *op,
        struct ochre_error *err)
{
    struct och_target target;
    ochre_status status = find_target(session, batch, op, &target, err);
    if (status != OCHRE_OK)
        return status;
    for (size_t i = 0; i < op->n_records; i++)
        batch->ids[i] = bytes_of(op->records[i].id);
    struct ochre_filter_node node = compare_filter(op->filter, op->number, op->text);
    struct och_select_input select = {.has_ids = op->has_ids,
            .ids = batch->ids,
            .n_ids = op->n_records,
            .has_filter = op->filter != MODEL_NO_FILTER,
            .filter = {&node, op->filter != MODEL_NO_FILTER}};
    struct och_written written;
    return och_op_delete(
            session->db, &target, &select, op->has_limit ? op->limit : UINT64_MAX, &written, err);
}

/* The collection itself; release it. */
static ochre_status
find_collection(struct session *session, struct batch *batch, const struct model_op *op,
        struct och_collection **collection_out, struct ochre_error *err)
{
    struct och_target_name name = name_of(op);
    struct och_collection_info info;
    *collection_out = NULL;
    ochre_status status = och_op_collection_get(
            session->db, &batch->arena, name.tenant, name.database, name.name, &info, err);
    if (status == OCHRE_OK)
        status = och_engine_collection(session->db->engine, &info.row, collection_out, err);
    return status;
}

static ochre_status
do_compact(struct session *session, struct batch *batch, const struct model_op *op,
        struct ochre_error *err)
{
    struct och_collection *collection;
    if (op->flag)
        return och_op_purge(session->db, err);
    ochre_status status = find_collection(session, batch, op, &collection, err);
    if (status == OCHRE_OK)
        status = och_engine_compact(session->db->engine, collection, err);
    och_collection_release(collection);
    return status;
}

/* A disk of the test's own, which does not fail. */
static struct sim_disk *
open_other_disk(void)
{
    static struct och_mem mem; /* nobody counts it */
    if (mem.limit == 0)
        och_mem_init(&mem, NULL);
    return sim_disk_open(&mem, 1);
}

/* Whole, and with a sound copy of everything, when it says so. */
static ochre_status
back_up(struct session *session, struct ochre_error *err)
{
    struct och_mem mem;
    struct och_backup_totals totals;
    och_mem_init(&mem, NULL);
    const struct och_backup_options options = {
            .mem = &session->mem, .machine = &session->machine.machine};
    const struct och_backup_options without_faults = {
            .mem = &mem, .machine = &session->machine.machine};
    sim_disk_close(session->backup);
    session->backup = open_other_disk();
    ochre_status status =
            session->archives ? och_archive_copy(session->db->archive, err) : OCHRE_OK;
    if (status != OCHRE_OK)
        return status;
    status =
            och_backup_database(&options, session->db, sim_disk_vfs(session->backup), &totals, err);
    if (status == OCHRE_OK &&
            och_backup_verify_vfs(&without_faults, sim_disk_vfs(session->backup), &totals, err) !=
                    OCHRE_OK)
        return OCHRE_INTERNAL;
    return status;
}

/* Restore, and do once more what happened since. */
static ochre_status
restore(struct sim_disk *backup, struct sim_disk *archived, struct sim_disk *to,
        struct och_machine *machine, struct ochre_error *err)
{
    struct och_mem mem;
    struct och_backup_totals totals;
    struct och_point_reached reached;
    struct sim_dir archive;
    const struct och_point now = {UINT64_MAX, UINT64_MAX};
    och_mem_init(&mem, NULL);
    const struct och_backup_options options = {.mem = &mem, .machine = machine};
    ochre_status status =
            och_restore_vfs(&options, sim_disk_vfs(backup), sim_disk_vfs(to), &totals, err);
    if (status != OCHRE_OK || archived == NULL)
        return status;
    sim_dir_init(&archive, sim_disk_vfs(archived), SESSION_ARCHIVE);
    return och_replay(&options, sim_disk_vfs(to), &archive.vfs, &now, &reached, err);
}

bool
session_backup_shows(struct sim_disk *backup, struct sim_disk *archived, const struct model *model,
        uint64_t seed, char why[WHY_SIZE])
{
    struct ochre_error err;
    struct session restored;
    struct sim_machine machine;
    struct sim_disk *disk = open_other_disk();
    sim_machine_init(&machine, seed);
    ochre_status status = restore(backup, archived, disk, &machine.machine, &err);
    bool shows = false;
    if (status == OCHRE_OK) {
        status = session_begin(&restored, disk, seed, &err);
        shows = status == OCHRE_OK && session_shows(&restored, model, why);
        shows = session_end(&restored) && shows;
    }
    if (status != OCHRE_OK)
        (void) snprintf(why, WHY_SIZE, "restoring the backup: %.300s", err.message);
    sim_disk_close(disk);
    return shows;
}

static ochre_status
restart(struct session *session, struct ochre_error *err)
{
    och_db_close(session->db);
    session->db = NULL;
    return session_open(session, err);
}

static ochre_status
dispatch(struct session *session, struct batch *batch, const struct model_op *op,
        struct ochre_error *err)
{
    struct och_target_name name = name_of(op);
    switch (op->kind) {
    case MODEL_TENANT_CREATE:
        return och_op_tenant_create(session->db, name.tenant, err);
    case MODEL_DATABASE_CREATE:
        return och_op_database_create(session->db, name.tenant, name.database, err);
    case MODEL_DATABASE_DELETE:
        return och_op_database_delete(session->db, name.tenant, name.database, err);
    case MODEL_COLLECTION_CREATE:
        return do_create(session, batch, op, err);
    case MODEL_COLLECTION_UPDATE:
        return do_change(session, batch, op, err);
    case MODEL_COLLECTION_DELETE:
        return och_op_collection_delete(session->db, name.tenant, name.database, name.name, err);
    case MODEL_COLLECTION_FORK:
        return do_fork(session, batch, op, err);
    case MODEL_PIN:
    case MODEL_UNPIN:
        return do_pin(session, batch, op, err);
    case MODEL_ADD:
        return do_write(session, batch, op, OCH_WRITE_ADD, err);
    case MODEL_UPDATE:
        return do_write(session, batch, op, OCH_WRITE_UPDATE, err);
    case MODEL_UPSERT:
        return do_write(session, batch, op, OCH_WRITE_UPSERT, err);
    case MODEL_DELETE:
        return do_delete(session, batch, op, err);
    case MODEL_RESET:
        return och_op_reset(session->db, err);
    case MODEL_SEAL:
        return och_engine_seal_all(session->db->engine, err);
    case MODEL_COMPACT:
        return do_compact(session, batch, op, err);
    case MODEL_BACKUP:
        return back_up(session, err);
    case MODEL_RESTART:
        return restart(session, err);
    case MODEL_N_KINDS:
        break;
    }
    return OCHRE_INTERNAL;
}

/* The write at hand, and its answer. */
static struct {
    const struct model_op *op;
    struct ochre_error *err;
    ochre_status status;
    bool done;
} at_hand;

static void
run_at_hand(struct session *session)
{
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    static struct batch batch; /* too big for a stack frame that is deep already */
    och_arena_init(&batch.arena, &mem);
    at_hand.status = dispatch(session, &batch, at_hand.op, at_hand.err);
    at_hand.done = true;
    if (at_hand.op->when == MODEL_IN_MERGE_SEALED) {
        ochre_status sealed = och_engine_seal_all(session->db->engine, NULL);
        (void) sealed; /* what was not sealed is in the log */
    }
    och_arena_clear(&batch.arena);
}

/* Write while the collection is merged, or, if there was nothing to merge, then.
 * Whether the merge succeeds is nothing to the writer. */
static ochre_status
write_in_merge(struct session *session, struct batch *batch, const struct model_op *op,
        struct ochre_error *err)
{
    struct och_collection *collection;
    at_hand.op = op;
    at_hand.err = err;
    at_hand.done = false;
    if (find_collection(session, batch, op, &collection, NULL) == OCHRE_OK) {
        pending.session = session;
        pending.collection = collection;
        pending.run = run_at_hand;
        ochre_status merged = och_engine_compact(session->db->engine, collection, NULL);
        (void) merged;
        pending.collection = NULL;
    }
    och_collection_release(collection);
    if (!at_hand.done)
        run_at_hand(session);
    return at_hand.status;
}

ochre_status
session_do(struct session *session, const struct model_op *op, struct ochre_error *err)
{
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    struct batch batch;
    och_arena_init(&batch.arena, &mem);
    err->status = OCHRE_OK;
    err->message[0] = '\0';
    ochre_status status = op->when == MODEL_BY_ITSELF ? dispatch(session, &batch, op, err)
                                                      : write_in_merge(session, &batch, op, err);
    och_arena_clear(&batch.arena);
    return status;
}
