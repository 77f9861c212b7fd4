#include "unit/engine/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "distance/distance.h"
#include "drivers/catalog_sqlite.h"
#include "drivers/log_file.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"
#include "support/check.h"
#include "unit/index/random_metadata.h"

enum {
    COLUMNS = OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_METADATAS | OCHRE_INCLUDE_EMBEDDINGS |
            OCHRE_INCLUDE_URIS
};

/* --- opening ------------------------------------------------------------------ */

/* A schema here is "l2" or "cosine", and perhaps a mark for another recall. */
static ochre_status
settings_of(void *context, struct ochre_bytes schema, struct och_collection_settings *settings_out,
        struct ochre_error *err)
{
    (void) context;
    bool cosine = schema.size >= 6 && memcmp(schema.data, "cosine", 6) == 0;
    bool marked = schema.size > 0 && schema.data[schema.size - 1] == '!';
    if (schema.size == 0)
        return och_fail(err, OCHRE_CORRUPT, "no schema");
    *settings_out =
            (struct och_collection_settings){.space = cosine ? OCHRE_SPACE_COSINE : OCHRE_SPACE_L2,
                    .recall_target = marked ? 0.5F : 0.99F};
    return OCHRE_OK;
}

/* The log behind a table of operations that tests may change. */
static ochre_status
open_log(void *context, uint64_t lsn_min, bool passes_holes, och_log_visit visit,
        void *visit_context, struct och_record_log **log_out, struct ochre_error *err)
{
    struct rig *rig = context;
    ochre_status status = rig->log_source.open(
            rig->log_source.context, lsn_min, passes_holes, visit, visit_context, log_out, err);
    if (status != OCHRE_OK)
        return status;
    if (rig->log_ops.append == NULL)
        rig->log_ops = *(*log_out)->ops;
    (*log_out)->ops = &rig->log_ops;
    return OCHRE_OK;
}

void
rig_begin(struct rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    och_mem_init(&rig->own, NULL);
    och_mem_init(&rig->mem, NULL);
    rig->disk = sim_disk_open(&rig->own, 1);
    sim_machine_init(&rig->machine, 1);
    struct och_vfs *vfs = sim_disk_vfs(rig->disk);
    check(och_vfs_mkdir(vfs, OCH_DIR_TMP, NULL) == OCHRE_OK);
    check(och_vfs_mkdir(vfs, OCH_DIR_SEGMENTS, NULL) == OCHRE_OK);
    check(och_vfs_sync_dir(vfs, "", NULL) == OCHRE_OK);
}

static struct och_vfs *
vfs_of(const struct rig *rig)
{
    return rig->vfs != NULL ? rig->vfs : sim_disk_vfs(rig->disk);
}

ochre_status
rig_open_beside(struct rig *rig, struct rig *writer, struct ochre_error *err)
{
    return rig_open_beside_on(rig, writer, sim_disk_vfs(writer->disk), err);
}

ochre_status
rig_open_beside_on(
        struct rig *rig, struct rig *writer, struct och_vfs *vfs, struct ochre_error *err)
{
    struct och_executor *executor = rig->executor;
    memset(rig, 0, sizeof(*rig));
    rig->executor = executor;
    och_mem_init(&rig->own, NULL);
    och_mem_init(&rig->mem, NULL);
    rig->disk = writer->disk;
    sim_machine_init(&rig->machine, 2);
    rig->kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL);
    rig->log_options = (struct och_wal_options){
            .mem = &rig->mem, .vfs = vfs, .machine = &rig->machine.machine, .database = {{9}}};
    ochre_status status = och_catalog_sqlite_open_beside(&rig->mem, vfs, &rig->catalog, err);
    if (status == OCHRE_OK)
        status = och_log_file_tail(&rig->log_options, &rig->tail, err);
    struct och_ports ports = {.mem = &rig->mem,
            .vfs = vfs,
            .machine = &rig->machine.machine,
            .kernels = rig->kernels,
            .catalog = rig->catalog,
            .tail = rig->tail,
            .executor = rig->executor};
    if (status == OCHRE_OK)
        status = och_engine_open(&ports, &rig->options, settings_of, rig, &rig->engine, err);
    if (status != OCHRE_OK)
        rig_close(rig);
    return status;
}

ochre_status
rig_open(struct rig *rig, struct ochre_error *err)
{
    struct och_vfs *vfs = vfs_of(rig);
    bool there = false;
    ochre_status status = och_vfs_exists(vfs, "catalog.db", &there, err);
    if (status == OCHRE_OK)
        status = och_catalog_sqlite_open(&rig->mem, vfs, !there, &rig->catalog, err);
    if (status != OCHRE_OK)
        return status;
    if (rig->catalog_ops.close == NULL)
        rig->catalog_ops = *rig->catalog->ops;
    rig->catalog->ops = &rig->catalog_ops;
    rig->log_options = (struct och_wal_options){.mem = &rig->mem,
            .vfs = vfs,
            .machine = &rig->machine.machine,
            .database = {{9}},
            .keeps_reach = true};
    rig->log_source = och_log_file_source(&rig->log_options);
    if (rig->kernels == NULL)
        rig->kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL);
    struct och_ports ports = {.mem = &rig->mem,
            .vfs = vfs,
            .machine = &rig->machine.machine,
            .kernels = rig->kernels,
            .catalog = rig->catalog,
            .log = {open_log, rig},
            .executor = rig->executor};
    status = och_engine_open(&ports, &rig->options, settings_of, rig, &rig->engine, err);
    if (status != OCHRE_OK) {
        rig->catalog->ops->close(rig->catalog);
        rig->catalog = NULL;
    }
    return status;
}

void
rig_close(struct rig *rig)
{
    och_engine_close(rig->engine);
    rig->engine = NULL;
    if (rig->tail != NULL)
        rig->tail->ops->close(rig->tail);
    rig->tail = NULL;
    if (rig->catalog != NULL)
        rig->catalog->ops->close(rig->catalog);
    rig->catalog = NULL;
    check(och_mem_used(&rig->mem) == 0);
}

void
rig_reopen(struct rig *rig)
{
    struct ochre_error err;
    rig_close(rig);
    check_ok(rig_open(rig, &err), &err);
}

void
rig_end(struct rig *rig)
{
    rig_close(rig);
    sim_disk_close(rig->disk);
    check(och_mem_used(&rig->own) == 0);
}

/* --- collections ----------------------------------------------------------------- */

struct och_collection *
rig_create(struct rig *rig, const char *name)
{
    struct ochre_error err;
    uint8_t random[16];
    check_ok(och_machine_entropy(&rig->machine.machine, random, 16, &err), &err);
    struct och_collection_row row = {.id = och_uuid_from_random(random),
            .tenant = text(OCH_DEFAULT_TENANT),
            .database = text(OCH_DEFAULT_DATABASE),
            .name = text(name),
            .schema = text(rig->schema != NULL ? rig->schema : "l2")};
    check_ok(rig->catalog->ops->collection_create(rig->catalog, &row, &err), &err);
    struct och_collection *collection;
    check_ok(och_engine_collection(rig->engine, &row, &collection, &err), &err);
    return collection;
}

static ochre_status
ready(void *context, const struct och_collection_row *row, const struct och_facts *facts,
        struct ochre_error *err)
{
    (void) context;
    (void) facts;
    (void) err;
    check(row->schema.data != NULL);
    return OCHRE_OK;
}

ochre_status
rig_fork(struct rig *rig, struct och_collection *source, struct och_collection_row *row,
        struct ochre_error *err)
{
    struct och_arena arena;
    const struct och_fork_answer answer = {.arena = &arena, .ready = ready};
    och_arena_init(&arena, &rig->mem);
    ochre_status status = och_engine_fork(source, row, &answer, err);
    och_arena_clear(&arena);
    row->metadata = row->schema = (struct ochre_bytes){NULL, 0};
    return status;
}

struct och_collection *
rig_collection(struct rig *rig, const char *name)
{
    struct ochre_error err;
    struct och_arena arena;
    struct och_collection_row row;
    struct och_collection *collection;
    och_arena_init(&arena, &rig->own);
    check_ok(rig->catalog->ops->collection_by_name(rig->catalog, &arena, text(OCH_DEFAULT_TENANT),
                     text(OCH_DEFAULT_DATABASE), text(name), &row, &err),
            &err);
    check_ok(och_engine_collection(rig->engine, &row, &collection, &err), &err);
    och_arena_clear(&arena);
    return collection;
}

/* --- writes ------------------------------------------------------------------------ */

static float
component(uint32_t number, uint32_t tag, uint32_t i)
{
    return i == 0 ? (float) (number % 37) : (float) (tag % 11);
}

static struct ochre_bytes
print(struct och_arena *arena, const char *prefix, uint32_t number)
{
    char bytes[32];
    int length = snprintf(bytes, sizeof(bytes), "%s%u", prefix, (unsigned) number);
    char *copy = och_arena_copy(arena, bytes, (size_t) length);
    check(copy != NULL);
    return (struct ochre_bytes){copy, (size_t) length};
}

static void *
take(struct och_arena *arena, size_t n, size_t size)
{
    void *items = och_arena_take_array(arena, n, size);
    check(items != NULL);
    return items;
}

static struct ochre_records
records_of(struct och_arena *arena, const struct rig_write *write)
{
    uint32_t dim = write->dim != 0 ? write->dim : RIG_DIM;
    struct ochre_bytes *ids = take(arena, write->n, sizeof(*ids));
    struct ochre_bytes *documents = take(arena, write->n, sizeof(*documents));
    struct ochre_bytes *uris = take(arena, write->n, sizeof(*uris));
    struct ochre_metadata *metadatas = take(arena, write->n, sizeof(*metadatas));
    struct ochre_field *fields = take(arena, write->n, sizeof(*fields));
    float *vectors = take(arena, write->n * dim, sizeof(*vectors));
    for (size_t i = 0; i < write->n; i++) {
        ids[i] = print(arena, "k", write->numbers[i]);
        documents[i] = print(arena, "d", write->tag);
        uris[i] = print(arena, "u", write->tag);
        fields[i].key = text("t");
        fields[i].value =
                (struct ochre_value){.type = OCHRE_VALUE_INT, .as.integer = (int64_t) write->tag};
        metadatas[i] = (struct ochre_metadata){&fields[i], 1};
        for (uint32_t d = 0; d < dim; d++)
            vectors[i * dim + d] = component(write->numbers[i], write->tag, d);
    }
    return (struct ochre_records){.n = write->n,
            .ids = ids,
            .embeddings = (write->columns & RIG_VECTOR) != 0 ? vectors : NULL,
            .dim = dim,
            .documents = (write->columns & RIG_DOCUMENT) != 0 ? documents : NULL,
            .uris = (write->columns & RIG_URI) != 0 ? uris : NULL,
            .metadatas = (write->columns & RIG_FIELDS) != 0 ? metadatas : NULL};
}

void
rig_encode(struct och_buf *buf, const struct rig_write *write)
{
    struct och_mem mem;
    struct och_arena arena;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    struct ochre_records records = records_of(&arena, write);
    check(och_write_encode(buf, &arena, write->op, &records) == OCHRE_OK);
    och_arena_clear(&arena);
}

ochre_status
rig_write(struct rig *rig, struct och_collection *collection, const struct rig_write *write,
        struct ochre_error *err)
{
    struct och_mem mem;
    struct och_buf payload;
    och_mem_init(&mem, NULL);
    och_buf_init(&payload, &mem, OCH_WRITE_SIZE_MAX);
    rig_encode(&payload, write);
    struct och_commit_request request = {
            .collection = collection, .payload = {payload.data, payload.size}};
    ochre_status status = och_commit_run(rig->engine->commit, &request, err);
    och_buf_clear(&payload);
    return status;
}

void
rig_add(struct rig *rig, struct och_collection *collection, uint32_t first, uint32_t n,
        uint32_t tag)
{
    static uint32_t numbers[RIG_RECORDS_MAX];
    struct ochre_error err;
    check(n <= RIG_RECORDS_MAX);
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = first + i;
    struct rig_write write = {
            .op = OCH_WRITE_ADD, .numbers = numbers, .n = n, .tag = tag, .columns = RIG_ALL};
    check_ok(rig_write(rig, collection, &write, &err), &err);
}

ochre_status
rig_delete_tag(struct rig *rig, struct och_collection *collection, uint32_t tag, uint64_t limit,
        uint64_t *deleted_out, struct ochre_error *err)
{
    struct ochre_filter_node node = {.op = OCHRE_FILTER_EQ, .size = 1, .key = text("t")};
    node.value = (struct ochre_value){.type = OCHRE_VALUE_INT, .as.integer = (int64_t) tag};
    struct ochre_filter filter = {&node, 1};
    struct och_mem mem;
    struct och_arena arena;
    struct och_select select = {.mem = &rig->mem};
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    check(och_filter_compile(&mem, &arena, &filter, &select.filter, err) == OCHRE_OK);
    struct och_commit_request request = {
            .collection = collection, .doomed = &select, .limit = limit};
    ochre_status status = och_commit_run(rig->engine->commit, &request, err);
    *deleted_out = request.n_deleted;
    och_filter_clear(&select.filter);
    och_arena_clear(&arena);
    return status;
}

/* --- the model ------------------------------------------------------------------------ */

static struct rig_record *
find(struct rig_model *model, uint32_t number)
{
    for (size_t i = 0; i < model->n; i++)
        if (model->records[i].number == number)
            return &model->records[i];
    return NULL;
}

static void
remove_at(struct rig_model *model, size_t i)
{
    model->n--;
    memmove(&model->records[i], &model->records[i + 1], (model->n - i) * sizeof(model->records[0]));
}

void
model_write(struct rig_model *model, const struct rig_write *write)
{
    for (size_t i = 0; i < write->n; i++) {
        struct rig_record *record = find(model, write->numbers[i]);
        if (write->op == OCH_WRITE_DELETE) {
            if (record != NULL)
                remove_at(model, (size_t) (record - model->records));
            continue;
        }
        if (record != NULL ? write->op == OCH_WRITE_ADD : write->op == OCH_WRITE_UPDATE)
            continue;
        if (record == NULL) {
            check(model->n < RIG_RECORDS_MAX);
            record = &model->records[model->n++];
            *record = (struct rig_record){.number = write->numbers[i]};
        }
        if ((write->columns & RIG_VECTOR) != 0)
            record->vector = write->tag;
        if ((write->columns & RIG_DOCUMENT) != 0)
            record->document = write->tag;
        if ((write->columns & RIG_FIELDS) != 0)
            record->fields = write->tag;
        if ((write->columns & RIG_URI) != 0)
            record->uri = write->tag;
    }
}

uint64_t
model_delete_tag(struct rig_model *model, uint32_t tag, uint64_t limit)
{
    uint64_t n = 0;
    for (size_t i = 0; i < model->n && n < limit;) {
        if (model->records[i].fields == tag) {
            remove_at(model, i);
            n++;
        } else {
            i++;
        }
    }
    return n;
}

static bool
is_text(struct ochre_bytes bytes, const char *prefix, uint32_t number)
{
    char wanted[32];
    if (number == 0)
        return bytes.data == NULL; /* tag 0: the column was never written */
    (void) snprintf(wanted, sizeof(wanted), "%s%u", prefix, (unsigned) number);
    return same_text(bytes, text(wanted));
}

static void
check_hit(const struct ochre_hit *hit, const struct rig_record *record)
{
    char id[32];
    (void) snprintf(id, sizeof(id), "k%u", (unsigned) record->number);
    check(same_text(hit->id, text(id)));
    check(is_text(hit->document, "d", record->document));
    check(is_text(hit->uri, "u", record->uri));
    check(hit->metadata.n_fields == (record->fields != 0));
    if (record->fields != 0)
        check(hit->metadata.fields[0].value.as.integer == (int64_t) record->fields);
    for (uint32_t d = 0; d < RIG_DIM; d++)
        check((int) hit->embedding[d] == (int) component(record->number, record->vector, d));
}

void
check_result(const struct och_result *result, const struct rig_model *model)
{
    check(result->n_lists == 1 && result->lists[0].n == model->n);
    for (size_t i = 0; i < model->n; i++)
        check_hit(&result->lists[0].hits[i], &model->records[i]);
}

static struct och_result *
get_all(struct rig *rig, struct och_collection *collection, const uint64_t *as_of)
{
    struct ochre_error err;
    struct och_result *result;
    struct och_get get = {
            .select = {.mem = &rig->mem}, .limit = UINT64_MAX, .include = COLUMNS, .as_of = as_of};
    check_ok(och_engine_get(&rig->mem, collection, &get, &result, &err), &err);
    return result;
}

struct och_result *
rig_get_all(struct rig *rig, struct och_collection *collection)
{
    return get_all(rig, collection, NULL);
}

ochre_status
rig_try(struct rig *rig, struct och_collection *collection, struct ochre_error *err)
{
    struct och_result *result;
    struct och_get get = {.select = {.mem = &rig->mem}, .limit = UINT64_MAX, .include = COLUMNS};
    ochre_status status = och_engine_get(&rig->mem, collection, &get, &result, err);
    och_result_release(result);
    return status;
}

/* The model's records by distance from a point, equal ones in insertion order. */
struct near {
    float distance;
    size_t place;
};

static int
compare_near(const void *left, const void *right)
{
    const struct near *a = left;
    const struct near *b = right;
    int order = (a->distance > b->distance) - (a->distance < b->distance);
    return order != 0 ? order : (a->place > b->place) - (a->place < b->place);
}

static void
check_query(struct rig *rig, struct och_collection *collection, const struct rig_model *model,
        const uint64_t *as_of, const float point[RIG_DIM])
{
    static struct near near[RIG_RECORDS_MAX];
    enum { K = 20 };
    for (size_t i = 0; i < model->n; i++) {
        const struct rig_record *record = &model->records[i];
        near[i] = (struct near){0, i};
        for (uint32_t d = 0; d < RIG_DIM; d++) {
            float step = component(record->number, record->vector, d) - point[d];
            near[i].distance += step * step;
        }
    }
    qsort(near, model->n, sizeof(near[0]), compare_near);
    struct ochre_error err;
    struct och_result *result;
    struct och_query query = {.select = {.mem = &rig->mem},
            .queries = point,
            .n_queries = 1,
            .dim = RIG_DIM,
            .k = K,
            .include = COLUMNS,
            .as_of = as_of};
    check_ok(och_engine_query(&rig->mem, collection, &query, &result, &err), &err);
    check(result->n_lists == 1 && result->lists[0].n == (model->n < K ? model->n : K));
    for (size_t i = 0; i < result->lists[0].n; i++) {
        check_hit(&result->lists[0].hits[i], &model->records[near[i].place]);
        check((int) result->lists[0].hits[i].distance == (int) near[i].distance);
    }
    och_result_release(result);
}

void
check_collection_at(struct rig *rig, struct och_collection *collection,
        const struct rig_model *model, const uint64_t *as_of)
{
    static const float point[RIG_DIM] = {5, 3};
    struct ochre_error err;
    uint64_t count, position;
    struct och_result *result = get_all(rig, collection, as_of);
    check_result(result, model);
    check(as_of == NULL || result->snapshot.facts.position == *as_of);
    check(och_snapshot_count(&result->snapshot) == model->n);
    bool has_dim = result->dim != 0;
    och_result_release(result);
    check_ok(och_engine_count(&rig->mem, collection, as_of, &count, &position, &err), &err);
    check(count == model->n && (as_of == NULL || position == *as_of));
    if (has_dim)
        check_query(rig, collection, model, as_of, point);
}

void
check_collection(struct rig *rig, struct och_collection *collection, const struct rig_model *model)
{
    check_collection_at(rig, collection, model, NULL);
}

static ochre_status
count_one(void *context, const char *name, bool is_dir)
{
    size_t *n = context;
    (void) name;
    (void) is_dir;
    (*n)++;
    return OCHRE_OK;
}

size_t
rig_count_files(struct rig *rig, const char *path)
{
    size_t n = 0;
    ochre_status status = och_vfs_list(sim_disk_vfs(rig->disk), path, count_one, &n, NULL);
    check(status == OCHRE_OK || status == OCHRE_NOT_FOUND);
    return n;
}
