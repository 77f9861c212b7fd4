#include "crash/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
set_text(char *to, size_t size, const char *text)
{
    (void) snprintf(to, size, "%s", text);
}

const char *
model_op_name(enum model_op_kind kind)
{
    static const char *const names[MODEL_N_KINDS] = {
            [MODEL_TENANT_CREATE] = "create tenant",
            [MODEL_DATABASE_CREATE] = "create database",
            [MODEL_DATABASE_DELETE] = "drop database",
            [MODEL_COLLECTION_CREATE] = "create collection",
            [MODEL_COLLECTION_UPDATE] = "change collection",
            [MODEL_COLLECTION_FORK] = "fork collection",
            [MODEL_PIN] = "pin",
            [MODEL_UNPIN] = "unpin",
            [MODEL_COLLECTION_DELETE] = "drop collection",
            [MODEL_ADD] = "add",
            [MODEL_UPDATE] = "update",
            [MODEL_UPSERT] = "upsert",
            [MODEL_DELETE] = "delete",
            [MODEL_RESET] = "reset",
            [MODEL_SEAL] = "seal",
            [MODEL_COMPACT] = "compact",
            [MODEL_BACKUP] = "back up",
            [MODEL_RESTART] = "restart",
    };
    return names[kind];
}

/* --- states ----------------------------------------------------------------- */

static void
add_database(struct model *model, const char *tenant, const char *name)
{
    struct model_database *database = &model->databases[model->n_databases++];
    set_text(database->tenant, sizeof(database->tenant), tenant);
    set_text(database->name, sizeof(database->name), name);
}

static struct model_collection *
make_collections(void)
{
    struct model_collection *collections = calloc(MODEL_COLLECTIONS_MAX, sizeof(*collections));
    if (collections == NULL)
        abort();
    return collections;
}

void
model_init(struct model *model)
{
    memset(model, 0, sizeof(*model));
    model->collections = make_collections();
    set_text(model->tenants[model->n_tenants++], MODEL_NAME_SIZE, "default_tenant");
    add_database(model, "default_tenant", "default_database");
}

struct model_record *
model_copy_records(const struct model_record *records, size_t n)
{
    struct model_record *copy = n == 0 ? NULL : malloc(n * sizeof(*copy));
    if (n > 0 && copy == NULL)
        abort();
    if (n > 0)
        memcpy(copy, records, n * sizeof(*copy));
    return copy;
}

static void
clear_collection(struct model_collection *collection)
{
    for (size_t i = 0; i < collection->n_pins; i++)
        free(collection->pins[i].records);
    free(collection->records);
}

void
model_clear(struct model *model)
{
    for (size_t i = 0; i < model->n_collections; i++)
        clear_collection(&model->collections[i]);
    free(model->collections);
    memset(model, 0, sizeof(*model));
}

void
model_copy(struct model *copy, const struct model *model)
{
    *copy = *model;
    copy->collections = make_collections();
    for (size_t i = 0; i < model->n_collections; i++) {
        const struct model_collection *from = &model->collections[i];
        struct model_collection *to = &copy->collections[i];
        *to = *from;
        to->room = from->n;
        to->records = model_copy_records(from->records, from->n);
        for (size_t j = 0; j < from->n_pins; j++)
            to->pins[j].records = model_copy_records(from->pins[j].records, from->pins[j].n);
    }
}

static bool
has_tenant(const struct model *model, const char *name)
{
    for (size_t i = 0; i < model->n_tenants; i++)
        if (strcmp(model->tenants[i], name) == 0)
            return true;
    return false;
}

static struct model_database *
find_database(struct model *model, const char *tenant, const char *name)
{
    for (size_t i = 0; i < model->n_databases; i++)
        if (strcmp(model->databases[i].tenant, tenant) == 0 &&
                strcmp(model->databases[i].name, name) == 0)
            return &model->databases[i];
    return NULL;
}

struct model_collection *
model_find(struct model *model, const char *tenant, const char *database, const char *name)
{
    for (size_t i = 0; i < model->n_collections; i++) {
        struct model_collection *c = &model->collections[i];
        if (strcmp(c->tenant, tenant) == 0 && strcmp(c->database, database) == 0 &&
                strcmp(c->name, name) == 0)
            return c;
    }
    return NULL;
}

/* --- tenants, databases, collections ---------------------------------------- */

static ochre_status
create_tenant(struct model *model, const struct model_op *op)
{
    if (strlen(op->tenant) < 3)
        return OCHRE_INVALID;
    if (has_tenant(model, op->tenant))
        return OCHRE_EXISTS;
    set_text(model->tenants[model->n_tenants++], MODEL_NAME_SIZE, op->tenant);
    return OCHRE_OK;
}

static ochre_status
create_database(struct model *model, const struct model_op *op)
{
    if (strlen(op->database) < 3)
        return OCHRE_INVALID;
    if (find_database(model, op->tenant, op->database) != NULL)
        return OCHRE_EXISTS;
    add_database(model, op->tenant, op->database);
    return OCHRE_OK;
}

static void
remove_collection(struct model *model, size_t at)
{
    clear_collection(&model->collections[at]);
    model->n_collections--;
    memmove(&model->collections[at], &model->collections[at + 1],
            (model->n_collections - at) * sizeof(model->collections[0]));
    memset(&model->collections[model->n_collections], 0, sizeof(model->collections[0]));
}

static ochre_status
delete_database(struct model *model, const struct model_op *op)
{
    struct model_database *database = find_database(model, op->tenant, op->database);
    if (database == NULL)
        return OCHRE_NOT_FOUND;
    *database = model->databases[--model->n_databases];
    for (size_t i = model->n_collections; i > 0; i--) {
        struct model_collection *c = &model->collections[i - 1];
        if (strcmp(c->tenant, op->tenant) == 0 && strcmp(c->database, op->database) == 0)
            remove_collection(model, i - 1);
    }
    return OCHRE_OK;
}

static bool
keys_are_good(const struct model_fields *fields)
{
    for (size_t i = 0; i < fields->n; i++)
        if (fields->fields[i].key[0] == '\0' || fields->fields[i].key[0] == '#')
            return false;
    return true;
}

/* A collection's metadata is replaced as a whole; nulls in it are dropped. */
static void
set_metadata(struct model_collection *collection, const struct model_fields *fields)
{
    collection->metadata.n = 0;
    for (size_t i = 0; i < fields->n; i++)
        if (fields->fields[i].value.type != MODEL_NULL)
            collection->metadata.fields[collection->metadata.n++] = fields->fields[i];
}

static ochre_status
create_collection(struct model *model, const struct model_op *op)
{
    if (strlen(op->name) < 3)
        return OCHRE_INVALID;
    if (op->has_metadata && (op->metadata.n == 0 || !keys_are_good(&op->metadata)))
        return OCHRE_INVALID;
    if (find_database(model, op->tenant, op->database) == NULL)
        return OCHRE_INVALID;
    if (model_find(model, op->tenant, op->database, op->name) != NULL)
        return op->flag ? OCHRE_OK : OCHRE_EXISTS;
    struct model_collection *c = &model->collections[model->n_collections++];
    memset(c, 0, sizeof(*c));
    set_text(c->tenant, sizeof(c->tenant), op->tenant);
    set_text(c->database, sizeof(c->database), op->database);
    set_text(c->name, sizeof(c->name), op->name);
    if (op->has_metadata)
        set_metadata(c, &op->metadata);
    return OCHRE_OK;
}

static ochre_status
update_collection(struct model *model, const struct model_op *op)
{
    struct model_collection *c = model_find(model, op->tenant, op->database, op->name);
    if (c == NULL)
        return OCHRE_NOT_FOUND;
    if (op->has_metadata && (op->metadata.n == 0 || !keys_are_good(&op->metadata)))
        return OCHRE_INVALID;
    struct model_collection *namesake = model_find(model, op->tenant, op->database, op->new_name);
    if (op->new_name[0] != '\0' && namesake != NULL && namesake != c)
        return OCHRE_EXISTS;
    if (op->new_name[0] != '\0')
        set_text(c->name, sizeof(c->name), op->new_name);
    if (op->has_metadata)
        set_metadata(c, &op->metadata);
    return OCHRE_OK;
}

static ochre_status
fork_collection(struct model *model, const struct model_op *op)
{
    const struct model_collection *source = model_find(model, op->tenant, op->database, op->name);
    if (source == NULL)
        return OCHRE_NOT_FOUND;
    if (model_find(model, op->tenant, op->database, op->new_name) != NULL)
        return OCHRE_EXISTS;
    struct model_collection *c = &model->collections[model->n_collections++];
    *c = *source;
    set_text(c->name, sizeof(c->name), op->new_name);
    c->room = source->n;
    c->records = model_copy_records(source->records, source->n);
    c->n_pins = 0;
    return OCHRE_OK;
}

static struct model_pin *
find_pin(struct model_collection *collection, const char *name)
{
    for (size_t i = 0; i < collection->n_pins; i++)
        if (strcmp(collection->pins[i].name, name) == 0)
            return &collection->pins[i];
    return NULL;
}

static ochre_status
pin(struct model *model, const struct model_op *op)
{
    struct model_collection *c = model_find(model, op->tenant, op->database, op->name);
    if (c == NULL)
        return OCHRE_NOT_FOUND;
    if (find_pin(c, op->new_name) != NULL)
        return OCHRE_EXISTS;
    if (c->n_pins == MODEL_PINS_MAX)
        abort(); /* there are no more names for them */
    struct model_pin *made = &c->pins[c->n_pins++];
    set_text(made->name, sizeof(made->name), op->new_name);
    made->n = c->n;
    made->records = model_copy_records(c->records, c->n);
    return OCHRE_OK;
}

static ochre_status
unpin(struct model *model, const struct model_op *op)
{
    struct model_collection *c = model_find(model, op->tenant, op->database, op->name);
    struct model_pin *gone = c == NULL ? NULL : find_pin(c, op->new_name);
    if (gone == NULL)
        return OCHRE_NOT_FOUND;
    free(gone->records);
    c->n_pins--;
    memmove(gone, gone + 1, (size_t) (&c->pins[c->n_pins] - gone) * sizeof(*gone));
    return OCHRE_OK;
}

static ochre_status
delete_collection(struct model *model, const struct model_op *op)
{
    struct model_collection *c = model_find(model, op->tenant, op->database, op->name);
    if (c == NULL)
        return OCHRE_NOT_FOUND;
    remove_collection(model, (size_t) (c - model->collections));
    return OCHRE_OK;
}

static ochre_status
reset(struct model *model)
{
    model_clear(model);
    model_init(model);
    return OCHRE_OK;
}

/* --- records ---------------------------------------------------------------- */

static struct model_record *
find_record(struct model_collection *collection, const char *id)
{
    for (size_t i = 0; i < collection->n; i++)
        if (strcmp(collection->records[i].id, id) == 0)
            return &collection->records[i];
    return NULL;
}

static void
see_key(struct model_collection *collection, const char *key)
{
    size_t at = 0;
    while (at < collection->n_keys && strcmp(collection->keys[at], key) < 0)
        at++;
    if (at < collection->n_keys && strcmp(collection->keys[at], key) == 0)
        return;
    memmove(collection->keys[at + 1], collection->keys[at],
            (collection->n_keys - at) * sizeof(collection->keys[0]));
    set_text(collection->keys[at], sizeof(collection->keys[at]), key);
    collection->n_keys++;
}

/* Key by key: a value replaces, null removes; what results is in key order. */
static void
merge_fields(struct model_collection *collection, struct model_fields *to,
        const struct model_fields *from)
{
    for (size_t i = 0; i < from->n; i++) {
        const struct model_field *field = &from->fields[i];
        size_t at = 0;
        while (at < to->n && strcmp(to->fields[at].key, field->key) < 0)
            at++;
        bool exists = at < to->n && strcmp(to->fields[at].key, field->key) == 0;
        if (field->value.type == MODEL_NULL) {
            if (exists) {
                to->n--;
                memmove(&to->fields[at], &to->fields[at + 1], (to->n - at) * sizeof(*field));
            }
            continue;
        }
        see_key(collection, field->key);
        if (!exists) {
            memmove(&to->fields[at + 1], &to->fields[at], (to->n - at) * sizeof(*field));
            to->n++;
        }
        to->fields[at] = *field;
    }
}

static void
insert_record(struct model_collection *collection, const struct model_record *record)
{
    if (collection->n == collection->room) {
        collection->room = collection->room == 0 ? 16 : collection->room * 2;
        collection->records =
                realloc(collection->records, collection->room * sizeof(*collection->records));
        if (collection->records == NULL)
            abort();
    }
    struct model_record *to = &collection->records[collection->n++];
    *to = *record;
    to->metadata.n = 0;
    merge_fields(collection, &to->metadata, &record->metadata);
}

static void
change_record(struct model_collection *collection, struct model_record *to,
        const struct model_record *from)
{
    if (from->dim != 0)
        memcpy(to->vector, from->vector, sizeof(to->vector));
    if (from->document.is_there)
        to->document = from->document;
    if (from->uri.is_there)
        to->uri = from->uri;
    merge_fields(collection, &to->metadata, &from->metadata);
}

static ochre_status
check_records(const struct model_collection *collection, const struct model_op *op)
{
    uint32_t dim = collection->dim;
    for (size_t i = 0; i < op->n_records; i++) {
        const struct model_record *record = &op->records[i];
        if (record->id[0] == '\0' || !keys_are_good(&record->metadata))
            return OCHRE_INVALID;
        if (record->dim == 0 && op->kind != MODEL_UPDATE)
            return OCHRE_INVALID;
        if (record->dim == 0)
            continue;
        if (dim != 0 && record->dim != dim)
            return OCHRE_INVALID;
        dim = record->dim;
    }
    return OCHRE_OK;
}

static ochre_status
write_records(struct model *model, const struct model_op *op)
{
    struct model_collection *collection = model_find(model, op->tenant, op->database, op->name);
    if (collection == NULL)
        return OCHRE_NOT_FOUND;
    ochre_status status = check_records(collection, op);
    if (status != OCHRE_OK)
        return status;
    for (size_t i = 0; i < op->n_records; i++) {
        const struct model_record *record = &op->records[i];
        if (record->dim != 0)
            collection->dim = record->dim;
        struct model_record *old = find_record(collection, record->id);
        if (old == NULL && op->kind != MODEL_UPDATE)
            insert_record(collection, record);
        else if (old != NULL && op->kind != MODEL_ADD)
            change_record(collection, old, record);
    }
    return OCHRE_OK;
}

/* --- deleting --------------------------------------------------------------- */

static const struct model_value *
value_of(const struct model_record *record, const char *key)
{
    for (size_t i = 0; i < record->metadata.n; i++)
        if (strcmp(record->metadata.fields[i].key, key) == 0)
            return &record->metadata.fields[i].value;
    return NULL;
}

bool
model_matches(const struct model_record *record, enum model_filter filter, int64_t number,
        const char *text)
{
    const struct model_value *n = value_of(record, "n");
    const struct model_value *tag = value_of(record, "tag");
    bool is_number = n != NULL && n->type == MODEL_INT && !n->is_list;
    switch (filter) {
    case MODEL_NO_FILTER:
        return true;
    case MODEL_N_IS:
        return is_number && n->integers[0] == number;
    case MODEL_N_BELOW:
        return is_number && n->integers[0] < number;
    case MODEL_TAG_IS:
        return tag != NULL && tag->type == MODEL_STRING && !tag->is_list &&
                strcmp(tag->strings[0], text) == 0;
    case MODEL_DOCUMENT_HAS: /* what is looked for fits into one repetition */
        return record->document.is_there && record->document.n_repeats > 0 &&
                strstr(record->document.text, text) != NULL;
    }
    return false;
}

static bool
is_named(const struct model_op *op, const char *id)
{
    for (size_t i = 0; i < op->n_records; i++)
        if (strcmp(op->records[i].id, id) == 0)
            return true;
    return false;
}

static ochre_status
delete_records(struct model *model, const struct model_op *op)
{
    struct model_collection *collection = model_find(model, op->tenant, op->database, op->name);
    if (collection == NULL)
        return OCHRE_NOT_FOUND;
    if (op->has_limit && op->filter == MODEL_NO_FILTER)
        return OCHRE_INVALID;
    if (op->has_ids && op->n_records == 0 && op->filter == MODEL_NO_FILTER)
        return OCHRE_INVALID;
    if (!op->has_ids && op->filter == MODEL_NO_FILTER)
        return OCHRE_OK;
    uint64_t left = op->has_limit ? op->limit : UINT64_MAX;
    size_t n = 0;
    for (size_t i = 0; i < collection->n; i++) {
        const struct model_record *record = &collection->records[i];
        bool goes = left > 0 && (!op->has_ids || is_named(op, record->id)) &&
                model_matches(record, op->filter, op->number, op->text);
        left -= goes;
        if (!goes && n != i)
            collection->records[n] = *record;
        n += !goes;
    }
    collection->n = n;
    return OCHRE_OK;
}

ochre_status
model_apply(struct model *model, const struct model_op *op)
{
    switch (op->kind) {
    case MODEL_TENANT_CREATE:
        return create_tenant(model, op);
    case MODEL_DATABASE_CREATE:
        return create_database(model, op);
    case MODEL_DATABASE_DELETE:
        return delete_database(model, op);
    case MODEL_COLLECTION_CREATE:
        return create_collection(model, op);
    case MODEL_COLLECTION_UPDATE:
        return update_collection(model, op);
    case MODEL_COLLECTION_DELETE:
        return delete_collection(model, op);
    case MODEL_COLLECTION_FORK:
        return fork_collection(model, op);
    case MODEL_PIN:
        return pin(model, op);
    case MODEL_UNPIN:
        return unpin(model, op);
    case MODEL_ADD:
    case MODEL_UPDATE:
    case MODEL_UPSERT:
        return write_records(model, op);
    case MODEL_DELETE:
        return delete_records(model, op);
    case MODEL_RESET:
        return reset(model);
    case MODEL_SEAL:
    case MODEL_COMPACT:
    case MODEL_BACKUP:
    case MODEL_RESTART:
    case MODEL_N_KINDS:
        break;
    }
    return OCHRE_OK;
}

double
model_distance(const struct model_record *record, const float *query)
{
    double sum = 0;
    for (uint32_t i = 0; i < record->dim; i++) {
        double difference = (double) record->vector[i] - (double) query[i];
        sum += difference * difference;
    }
    return sum;
}
