#include "unit/drivers/catalog_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/random.h"
#include "support/check.h"

enum { CONTENT_MAX = 7000 }; /* over a page of the catalog */

static const struct ochre_bytes tenants[MODEL_TENANTS] = {
        {OCH_DEFAULT_TENANT, sizeof(OCH_DEFAULT_TENANT) - 1},
        {"a\0b", 3},
        {"a", 1},
        {"_", 1},
        {"\xc3\xa9t\xc3\xa9 \xf0\x9f\x8c\x8d/..", 13},
};
static const struct ochre_bytes resources[MODEL_RESOURCES] = {{"one", 3}, {"", 0}, {"o\0e", 3}};
static const struct ochre_bytes databases[MODEL_DATABASES] = {
        {OCH_DEFAULT_DATABASE, sizeof(OCH_DEFAULT_DATABASE) - 1},
        {"Z", 1},
        {"\xff\x00\x80", 3},
        {"database", 8},
};
static const struct ochre_bytes collections[MODEL_COLLECTIONS] = {
        {"col", 3}, {"COL", 3}, {"col\0", 4}, {"\xe2\x98\x83", 3}, {"a long name", 11}, {"c", 1}};

static struct och_uuid
uuid_of(uint64_t salt)
{
    struct och_uuid id = {.bytes = {0}};
    for (size_t i = 0; i < sizeof(id.bytes); i++)
        id.bytes[i] = (uint8_t) och_random(&salt);
    return id;
}

/* Metadata (a third has none) and schema; now and then over a page long. */
static struct ochre_bytes
content_of(uint64_t salt, bool is_metadata, char room[CONTENT_MAX])
{
    uint64_t seed = salt * 2 + (is_metadata ? 1 : 0);
    if (is_metadata && och_random_below(&seed, 3) == 0)
        return (struct ochre_bytes){.data = NULL};
    size_t size = och_random_below(&seed, 6) == 0 ? (size_t) och_random_below(&seed, CONTENT_MAX)
                                                  : (size_t) och_random_below(&seed, 100);
    for (size_t i = 0; i < size; i++)
        room[i] = (char) och_random(&seed);
    return (struct ochre_bytes){.data = room, .size = size};
}

struct state {
    struct och_collection_state state;
    struct och_segment_row segments[MODEL_SEGMENTS_MAX];
    size_t n;
    char keys[40];
};

static void
make_state(struct state *state, uint64_t salt)
{
    *state = (struct state){.n = 0};
    if (salt == 0)
        return;
    uint64_t seed = salt;
    state->state = (struct och_collection_state){
            .position = och_random(&seed) >> 1,
            .lsn = och_random(&seed) >> 1,
            .next_ordinal = och_random(&seed) >> 1,
            .dim = (uint32_t) och_random(&seed),
    };
    if (och_random_below(&seed, 3) > 0) {
        state->state.keys = (struct ochre_bytes){
                .data = state->keys, .size = (size_t) och_random_below(&seed, 40)};
        memset(state->keys, (int) (salt & 0x7f), sizeof(state->keys));
    }
    state->n = (size_t) och_random_below(&seed, MODEL_SEGMENTS_MAX + 1);
    for (size_t i = 0; i < state->n; i++) {
        state->segments[i] = (struct och_segment_row){
                .id = och_random(&seed) >> 1,
                .deletes_id = och_random(&seed) >> 1,
                .n_rows = och_random(&seed) >> 1,
                .n_deleted = och_random(&seed) >> 1,
                .file_size = och_random(&seed) >> 1,
                .file_hash = och_random(&seed),
        };
    }
}

static void
add_defaults(struct model *model)
{
    model->tenants[0] = true;
    model->databases[0] = (struct model_database){.used = true};
}

void
model_init(struct model *model)
{
    *model = (struct model){.next_number = 1};
    add_defaults(model);
}

static struct model_database *
database_of(struct model *model, unsigned tenant, unsigned name)
{
    for (size_t i = 0; i < MODEL_ROWS_MAX; i++) {
        struct model_database *database = &model->databases[i];
        if (database->used && database->tenant == tenant && database->name == name)
            return database;
    }
    return NULL;
}

static struct model_collection *
collection_of(struct model *model, uint32_t number)
{
    for (size_t i = 0; i < MODEL_ROWS_MAX; i++) {
        if (model->collections[i].used && model->collections[i].number == number)
            return &model->collections[i];
    }
    return NULL;
}

static bool
is_named(const struct model *model, unsigned database, unsigned name, uint32_t except)
{
    for (size_t i = 0; i < MODEL_ROWS_MAX; i++) {
        const struct model_collection *collection = &model->collections[i];
        if (collection->used && collection->database == database && collection->name == name &&
                collection->number != except)
            return true;
    }
    return false;
}

/* --- programs -------------------------------------------------------------- */

struct op
model_next_op(uint64_t *seed, const struct model *model)
{
    static const struct {
        enum op_kind kind;
        unsigned weight;
    } weights[] = {{OP_TENANT, 6}, {OP_RESOURCE, 5}, {OP_DATABASE, 10}, {OP_DROP_DATABASE, 3},
            {OP_CREATE, 30}, {OP_UPDATE, 14}, {OP_DROP, 6}, {OP_STATE, 20}, {OP_FILE_ID, 4},
            {OP_RESET, 1}};
    struct op op = {.salt = och_random(seed) | 1};
    uint64_t left = och_random_below(seed, 99);
    for (size_t i = 0; i < OP_KINDS; i++) {
        op.kind = weights[i].kind;
        if (left < weights[i].weight)
            break;
        left -= weights[i].weight;
    }
    op.tenant = (unsigned) och_random_below(seed, MODEL_TENANTS);
    op.database = (unsigned) och_random_below(seed, MODEL_DATABASES);
    if (och_random_below(seed, 2) == 0) {
        op.tenant = 0;
        op.database = 0;
    }
    op.collection = (unsigned) och_random_below(seed, MODEL_COLLECTIONS);
    op.resource = (unsigned) och_random_below(seed, MODEL_RESOURCES);
    const struct model_collection *target =
            &model->collections[och_random_below(seed, MODEL_ROWS_MAX)];
    for (size_t i = 0; i < MODEL_ROWS_MAX && !target->used; i++)
        target = &model->collections[i];
    op.target = target->used && och_random_below(seed, 8) > 0 ? target->number : 0;
    return op;
}

static ochre_status
apply_database(struct model *model, const struct op *op)
{
    if (database_of(model, op->tenant, op->database) != NULL)
        return OCHRE_EXISTS;
    for (size_t i = 0; i < MODEL_ROWS_MAX; i++) {
        if (!model->databases[i].used) {
            model->databases[i] = (struct model_database){.used = true,
                    .tenant = op->tenant,
                    .name = op->database,
                    .id = uuid_of(op->salt)};
            return OCHRE_OK;
        }
    }
    abort(); /* there are fewer names than rows */
}

static ochre_status
apply_drop_database(struct model *model, const struct op *op)
{
    struct model_database *database = database_of(model, op->tenant, op->database);
    if (database == NULL)
        return OCHRE_NOT_FOUND;
    for (size_t i = 0; i < MODEL_ROWS_MAX; i++) {
        if (model->collections[i].database == (unsigned) (database - model->databases))
            model->collections[i].used = false;
    }
    database->used = false;
    return OCHRE_OK;
}

static bool
is_full(const struct model *model)
{
    size_t n = 0;
    for (size_t i = 0; i < MODEL_ROWS_MAX; i++)
        n += model->collections[i].used;
    return n == MODEL_ROWS_MAX;
}

static ochre_status
apply_create(struct model *model, const struct op *op)
{
    struct model_database *database = database_of(model, op->tenant, op->database);
    if (database == NULL || is_full(model))
        return OCHRE_NOT_FOUND;
    unsigned row = (unsigned) (database - model->databases);
    if (is_named(model, row, op->collection, 0))
        return OCHRE_EXISTS;
    for (size_t i = 0; i < MODEL_ROWS_MAX; i++) {
        if (!model->collections[i].used) {
            model->collections[i] = (struct model_collection){.used = true,
                    .database = row,
                    .name = op->collection,
                    .id = uuid_of(op->salt),
                    .number = model->next_number++,
                    .content = op->salt};
            return OCHRE_OK;
        }
    }
    abort(); /* it is not full */
}

ochre_status
model_apply(struct model *model, const struct op *op)
{
    struct model_collection *target = collection_of(model, op->target);
    switch (op->kind) {
    case OP_TENANT:
        if (model->tenants[op->tenant])
            return OCHRE_EXISTS;
        model->tenants[op->tenant] = true;
        return OCHRE_OK;
    case OP_RESOURCE:
        if (!model->tenants[op->tenant])
            return OCHRE_NOT_FOUND;
        if (model->resources[op->tenant] != 0)
            return OCHRE_EXISTS;
        for (size_t i = 0; i < MODEL_TENANTS; i++) {
            if (model->resources[i] == op->resource + 1)
                return OCHRE_EXISTS;
        }
        model->resources[op->tenant] = op->resource + 1;
        return OCHRE_OK;
    case OP_DATABASE:
        return apply_database(model, op);
    case OP_DROP_DATABASE:
        return apply_drop_database(model, op);
    case OP_CREATE:
        return apply_create(model, op);
    case OP_UPDATE:
        if (target == NULL)
            return OCHRE_NOT_FOUND;
        if (is_named(model, target->database, op->collection, target->number))
            return OCHRE_EXISTS;
        target->name = op->collection;
        target->content = op->salt;
        return OCHRE_OK;
    case OP_DROP:
        if (target == NULL)
            return OCHRE_NOT_FOUND;
        target->used = false;
        return OCHRE_OK;
    case OP_STATE:
        if (target == NULL)
            return OCHRE_NOT_FOUND;
        target->state = op->salt;
        return OCHRE_OK;
    case OP_FILE_ID:
        return OCHRE_OK;
    case OP_RESET: {
        uint32_t next_number = model->next_number;
        model_init(model);
        model->next_number = next_number;
        return OCHRE_OK;
    }
    case OP_KINDS:
        break;
    }
    abort();
}

static ochre_status
run_collection(struct och_catalog *catalog, const struct model *model, const struct op *op,
        struct och_uuid target, struct ochre_error *err)
{
    char metadata[CONTENT_MAX];
    char schema[CONTENT_MAX];
    struct och_collection_row row = {
            .id = op->kind == OP_CREATE ? uuid_of(op->salt) : target,
            .tenant = tenants[op->tenant],
            .database = databases[op->database],
            .name = collections[op->collection],
            .metadata = content_of(op->salt, true, metadata),
            .schema = content_of(op->salt, false, schema),
    };
    if (op->kind == OP_UPDATE)
        return catalog->ops->collection_update(catalog, &row, err);
    if (is_full(model)) /* the model's own limit */
        return OCHRE_NOT_FOUND;
    ochre_status status = catalog->ops->collection_create(catalog, &row, err);
    check(row.number == (status == OCHRE_OK ? model->next_number : 0));
    return status;
}

static ochre_status
run_drop_database(struct och_catalog *catalog, struct och_mem *mem, const struct op *op,
        struct ochre_error *err)
{
    struct och_arena arena;
    struct och_uuid *dropped = NULL;
    size_t n = 0;
    och_arena_init(&arena, mem);
    ochre_status status = catalog->ops->database_delete(
            catalog, &arena, tenants[op->tenant], databases[op->database], &dropped, &n, err);
    check((dropped != NULL) == (n > 0));
    och_arena_clear(&arena);
    return status;
}

ochre_status
model_run(struct och_catalog *catalog, struct och_mem *mem, const struct model *model,
        const struct op *op, uint64_t *file_id_out, struct ochre_error *err)
{
    const struct och_catalog_ops *ops = catalog->ops;
    struct och_uuid target = uuid_of(0);
    for (size_t i = 0; i < MODEL_ROWS_MAX; i++) {
        if (model->collections[i].used && model->collections[i].number == op->target)
            target = model->collections[i].id;
    }
    switch (op->kind) {
    case OP_TENANT:
        return ops->tenant_create(catalog, tenants[op->tenant], err);
    case OP_RESOURCE:
        return ops->tenant_set_resource_name(
                catalog, tenants[op->tenant], resources[op->resource], err);
    case OP_DATABASE: {
        struct och_database_row row = {.id = uuid_of(op->salt),
                .tenant = tenants[op->tenant],
                .name = databases[op->database]};
        return ops->database_create(catalog, &row, err);
    }
    case OP_DROP_DATABASE:
        return run_drop_database(catalog, mem, op, err);
    case OP_CREATE:
    case OP_UPDATE:
        return run_collection(catalog, model, op, target, err);
    case OP_DROP:
        return ops->collection_delete(catalog, target, err);
    case OP_STATE: {
        struct state state;
        make_state(&state, op->salt);
        return ops->state_set(catalog, target, &state.state, state.segments, state.n, err);
    }
    case OP_FILE_ID:
        return ops->next_file_id(catalog, file_id_out, err);
    case OP_RESET:
        return ops->reset(catalog, err);
    case OP_KINDS:
        break;
    }
    abort();
}

/* --- as text --------------------------------------------------------------- */

static void
put_bytes(FILE *out, const char *label, struct ochre_bytes bytes)
{
    if (bytes.data == NULL) {
        (void) fprintf(out, " %s=none", label);
        return;
    }
    (void) fprintf(
            out, " %s=%zu:%016" PRIx64, label, bytes.size, och_hash64(bytes.data, bytes.size));
}

static void
put_collection(FILE *out, const struct och_collection_row *row)
{
    char id[OCH_UUID_TEXT_SIZE + 1];
    och_uuid_put(row->id, id);
    (void) fprintf(out, "  collection %" PRIu32 " %s", row->number, id);
    put_bytes(out, "tenant", row->tenant);
    put_bytes(out, "database", row->database);
    put_bytes(out, "name", row->name);
    put_bytes(out, "metadata", row->metadata);
    put_bytes(out, "schema", row->schema);
    (void) fputc('\n', out);
}

static void
put_state(FILE *out, const struct och_collection_state *state,
        const struct och_segment_row *segments, size_t n)
{
    (void) fprintf(out, "   state %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32, state->position,
            state->lsn, state->next_ordinal, state->dim);
    put_bytes(out, "keys", state->keys);
    (void) fputc('\n', out);
    for (size_t i = 0; i < n; i++) {
        (void) fprintf(out,
                "    segment %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                "\n",
                segments[i].id, segments[i].deletes_id, segments[i].n_rows, segments[i].n_deleted,
                segments[i].file_size, segments[i].file_hash);
    }
}

static void
put_each(FILE *out, uint32_t number, const struct och_collection_state *state, size_t n_segments)
{
    (void) fprintf(out, "each %" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu32 " %zu\n",
            number, state->position, state->lsn, state->next_ordinal, state->dim, n_segments);
}

static int
compare_names(const void *a, const void *b)
{
    const struct ochre_bytes *x = &databases[*(const unsigned *) a];
    const struct ochre_bytes *y = &databases[*(const unsigned *) b];
    int order = memcmp(x->data, y->data, x->size < y->size ? x->size : y->size);
    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

/* The collection with the least number above `after`, of one database or of all. */
static const struct model_collection *
collection_after(const struct model *model, unsigned database, bool all, uint32_t after)
{
    const struct model_collection *found = NULL;
    for (size_t i = 0; i < MODEL_ROWS_MAX; i++) {
        const struct model_collection *one = &model->collections[i];
        if (one->used && (all || one->database == database) && one->number > after &&
                (found == NULL || one->number < found->number))
            found = one;
    }
    return found;
}

static void
put_model_database(FILE *out, const struct model *model, const struct model_database *database)
{
    char id[OCH_UUID_TEXT_SIZE + 1];
    och_uuid_put(database->id, id);
    (void) fprintf(out, " database %s", id);
    put_bytes(out, "name", databases[database->name]);
    (void) fputc('\n', out);
    unsigned row = (unsigned) (database - model->databases);
    const struct model_collection *one = collection_after(model, row, false, 0);
    for (; one != NULL; one = collection_after(model, row, false, one->number)) {
        char metadata[CONTENT_MAX];
        char schema[CONTENT_MAX];
        struct state state;
        make_state(&state, one->state);
        put_collection(out,
                &(struct och_collection_row){.id = one->id,
                        .tenant = tenants[database->tenant],
                        .database = databases[database->name],
                        .name = collections[one->name],
                        .metadata = content_of(one->content, true, metadata),
                        .schema = content_of(one->content, false, schema),
                        .number = one->number});
        put_state(out, &state.state, state.segments, state.n);
    }
}

char *
model_text(const struct model *model)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    check(out != NULL);
    unsigned order[MODEL_DATABASES];
    for (unsigned i = 0; i < MODEL_DATABASES; i++)
        order[i] = i;
    qsort(order, MODEL_DATABASES, sizeof(order[0]), compare_names);
    for (unsigned tenant = 0; tenant < MODEL_TENANTS; tenant++) {
        (void) fprintf(out, "tenant %u %d", tenant, model->tenants[tenant]);
        if (model->resources[tenant] != 0)
            put_bytes(out, "resource", resources[model->resources[tenant] - 1]);
        (void) fputc('\n', out);
        for (size_t i = 0; i < MODEL_DATABASES; i++) {
            for (size_t row = 0; row < MODEL_ROWS_MAX; row++) {
                const struct model_database *database = &model->databases[row];
                if (database->used && database->tenant == tenant && database->name == order[i])
                    put_model_database(out, model, database);
            }
        }
    }
    const struct model_collection *one = collection_after(model, 0, true, 0);
    for (; one != NULL; one = collection_after(model, 0, true, one->number)) {
        struct state state;
        make_state(&state, one->state);
        put_each(out, one->number, &state.state, state.n);
    }
    check(fclose(out) == 0);
    return text;
}

struct text {
    struct och_catalog *catalog;
    struct och_arena *arena;
    FILE *out;
    struct ochre_error *err;
};

/* The three ways to a collection agree. */
static ochre_status
put_real_collection(struct text *text, const struct och_collection_row *row)
{
    const struct och_catalog_ops *ops = text->catalog->ops;
    struct och_collection_row other;
    struct och_collection_state state;
    struct och_segment_row *segments = NULL;
    size_t n = 0;
    put_collection(text->out, row);
    ochre_status status = ops->collection_by_name(
            text->catalog, text->arena, row->tenant, row->database, row->name, &other, text->err);
    if (status == OCHRE_OK) {
        check(och_uuid_equal(other.id, row->id) && other.number == row->number);
        status = ops->collection_by_id(text->catalog, text->arena, row->id, &other, text->err);
    }
    if (status == OCHRE_OK) {
        check(other.number == row->number && other.schema.size == row->schema.size);
        status = ops->collection_by_number(
                text->catalog, text->arena, row->number, &other, text->err);
    }
    if (status == OCHRE_OK) {
        check(och_uuid_equal(other.id, row->id) && other.name.size == row->name.size);
        status = ops->state_get(
                text->catalog, text->arena, row->id, &state, &segments, &n, text->err);
    }
    if (status == OCHRE_OK)
        put_state(text->out, &state, segments, n);
    return status;
}

static ochre_status
put_real_database(struct text *text, const struct och_database_row *row)
{
    const struct och_catalog_ops *ops = text->catalog->ops;
    struct och_database_row same;
    struct och_collection_row *rows = NULL;
    uint64_t count = 0;
    size_t n = 0;
    char id[OCH_UUID_TEXT_SIZE + 1];
    och_uuid_put(row->id, id);
    (void) fprintf(text->out, " database %s", id);
    put_bytes(text->out, "name", row->name);
    (void) fputc('\n', text->out);
    ochre_status status =
            ops->database_get(text->catalog, text->arena, row->tenant, row->name, &same, text->err);
    if (status == OCHRE_OK) {
        check(och_uuid_equal(same.id, row->id));
        status = ops->collection_count(text->catalog, row->tenant, row->name, &count, text->err);
    }
    if (status == OCHRE_OK) {
        status = ops->collection_list(text->catalog, text->arena, row->tenant, row->name,
                UINT64_MAX, 0, &rows, &n, text->err);
    }
    if (status == OCHRE_OK)
        check(n == count);
    for (size_t i = 0; status == OCHRE_OK && i < n; i++)
        status = put_real_collection(text, &rows[i]);
    return status;
}

static ochre_status
put_real_tenant(struct text *text, unsigned tenant)
{
    const struct och_catalog_ops *ops = text->catalog->ops;
    struct ochre_bytes resource;
    struct ochre_bytes name;
    struct och_database_row *rows = NULL;
    size_t n = 0;
    ochre_status status =
            ops->tenant_get(text->catalog, text->arena, tenants[tenant], &resource, text->err);
    if (status != OCHRE_OK && status != OCHRE_NOT_FOUND)
        return status;
    (void) fprintf(text->out, "tenant %u %d", tenant, status == OCHRE_OK);
    if (resource.data != NULL) {
        put_bytes(text->out, "resource", resource);
        status = ops->tenant_by_resource_name(
                text->catalog, text->arena, resource, &name, text->err);
        if (status != OCHRE_OK)
            return status;
        check(name.size == tenants[tenant].size);
    }
    (void) fputc('\n', text->out);
    status = ops->database_list(
            text->catalog, text->arena, tenants[tenant], UINT64_MAX, 0, &rows, &n, text->err);
    for (size_t i = 0; status == OCHRE_OK && i < n; i++)
        status = put_real_database(text, &rows[i]);
    return status;
}

static ochre_status
visit_each(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    (void) id;
    put_each(context, number, state, n_segments);
    return OCHRE_OK;
}

char *
model_text_of(struct och_catalog *catalog, struct och_mem *mem, ochre_status *status_out,
        struct ochre_error *err)
{
    struct och_arena arena;
    char *written = NULL;
    size_t size = 0;
    och_arena_init(&arena, mem);
    struct text text = {.catalog = catalog,
            .arena = &arena,
            .out = open_memstream(&written, &size),
            .err = err};
    check(text.out != NULL);
    ochre_status status = OCHRE_OK;
    for (unsigned i = 0; status == OCHRE_OK && i < MODEL_TENANTS; i++)
        status = put_real_tenant(&text, i);
    if (status == OCHRE_OK)
        status = catalog->ops->each_collection(catalog, &arena, visit_each, text.out, err);
    check(fclose(text.out) == 0);
    och_arena_clear(&arena);
    *status_out = status;
    if (status == OCHRE_OK)
        return written;
    free(written);
    return NULL;
}

const char *
model_op_name(const struct op *op)
{
    static const char *const names[OP_KINDS] = {"create tenant", "name a resource",
            "create database", "drop database", "create collection", "change collection",
            "drop collection", "set state", "take a file id", "reset"};
    return names[op->kind];
}
