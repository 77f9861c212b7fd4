#include "crash/workload.h"

#include <stdio.h>
#include <string.h>

enum { N_NAMES = 7, N_IDS = 50, N_COLLECTIONS_MAX = 8, COMPONENT_MAX = 9 };

const char *const workload_tenants[WORKLOAD_N_TENANTS] = {"default_tenant", "ten_a", "ten_b"};
const char *const workload_databases[WORKLOAD_N_DATABASES] = {"default_database", "db_a", "db_b"};

/* --- chance (splitmix64; Steele, Lea and Flood 2014) ------------------------- */

static uint64_t
scramble(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t
workload_below(uint64_t *seed, uint64_t n)
{
    *seed += UINT64_C(0x9e3779b97f4a7c15);
    return scramble(*seed) % n;
}

uint64_t
workload_mix(uint64_t a, uint64_t b)
{
    return scramble(scramble(a + UINT64_C(0x9e3779b97f4a7c15)) + b);
}

static size_t
below(struct workload *w, size_t n)
{
    return (size_t) workload_below(&w->seed, n);
}

static bool
one_in(struct workload *w, size_t n)
{
    return below(w, n) == 0;
}

/* --- parts ------------------------------------------------------------------ */

static void
set_text(char *to, size_t size, const char *text)
{
    (void) snprintf(to, size, "%s", text);
}

static void
number_text(char *to, size_t size, const char *stem, size_t number)
{
    (void) snprintf(to, size, "%s%zu", stem, number);
}

static struct model_field *
next_field(struct model_fields *fields, const char *key, enum model_type type)
{
    struct model_field *field = &fields->fields[fields->n++];
    memset(field, 0, sizeof(*field));
    set_text(field->key, sizeof(field->key), key);
    field->value.type = type;
    field->value.n = 1;
    return field;
}

static void
make_list(struct workload *w, struct model_value *value)
{
    value->is_list = true;
    value->n = (uint8_t) (1 + below(w, MODEL_LIST_MAX));
    for (size_t i = 0; i < value->n; i++) {
        value->integers[i] = (int64_t) below(w, 7) - 3;
        value->numbers[i] = (double) below(w, 7) * 0.25;
        number_text(value->strings[i], MODEL_TEXT_SIZE, "m", below(w, 5));
    }
    if (value->type == MODEL_BOOL)
        for (size_t i = 0; i < value->n; i++)
            value->integers[i] = (int64_t) below(w, 2);
}

/* Keys come in byte order, each with its habit; "z" is of any type. */
static void
make_metadata(struct workload *w, struct model_fields *fields, bool nulls)
{
    static const enum model_type any[] = {MODEL_BOOL, MODEL_INT, MODEL_FLOAT, MODEL_STRING};
    fields->n = 0;
    if (one_in(w, 5))
        make_list(w, &next_field(fields, "li", any[below(w, 4)])->value);
    if (!one_in(w, 4))
        next_field(fields, "n", MODEL_INT)->value.integers[0] = (int64_t) below(w, 5);
    if (one_in(w, 3))
        next_field(fields, "ok", MODEL_BOOL)->value.integers[0] = (int64_t) below(w, 2);
    if (one_in(w, 2))
        number_text(next_field(fields, "tag", MODEL_STRING)->value.strings[0], MODEL_TEXT_SIZE, "t",
                below(w, 3));
    if (one_in(w, 3))
        next_field(fields, "w", MODEL_FLOAT)->value.numbers[0] = (double) below(w, 9) * 0.5 + 0.25;
    if (one_in(w, 4)) {
        struct model_field *field = next_field(fields, "z", any[below(w, 4)]);
        make_list(w, &field->value);
        field->value.is_list = one_in(w, 2);
        if (!field->value.is_list)
            field->value.n = 1;
    }
    for (size_t i = 0; nulls && i < fields->n; i++) {
        if (one_in(w, 4)) {
            fields->fields[i].value.type = MODEL_NULL;
            fields->fields[i].value.is_list = false;
        }
    }
}

static void
make_record(struct workload *w, struct model_record *record, uint32_t dim)
{
    memset(record, 0, sizeof(*record));
    number_text(record->id, sizeof(record->id), "id-", below(w, N_IDS));
    record->dim = dim;
    for (uint32_t i = 0; i < dim; i++)
        record->vector[i] = (float) below(w, COMPONENT_MAX) - 4;
    if (!one_in(w, 3)) {
        record->document.is_there = true;
        record->document.n_repeats = one_in(w, 12) ? (uint16_t) (200 + below(w, 400)) : 1;
        (void) snprintf(record->document.text, MODEL_TEXT_SIZE, "x%zu words y%zu. ", below(w, 4),
                below(w, 100));
    }
    if (one_in(w, 3)) {
        record->uri.is_there = true;
        record->uri.n_repeats = 1;
        number_text(record->uri.text, MODEL_TEXT_SIZE, "file:/", below(w, 100));
    }
    make_metadata(w, &record->metadata, false);
}

/* --- where ------------------------------------------------------------------ */

static void
name_collection(struct model_op *op, const struct model_collection *collection)
{
    set_text(op->tenant, sizeof(op->tenant), collection->tenant);
    set_text(op->database, sizeof(op->database), collection->database);
    set_text(op->name, sizeof(op->name), collection->name);
}

/* One that exists; the first two are hit most, so that they grow. */
static const struct model_collection *
pick_collection(struct workload *w, const struct model *model)
{
    size_t n = model->n_collections;
    if (n > 2 && !one_in(w, 3))
        n = 2;
    return &model->collections[below(w, n)];
}

static void
pick_database(struct workload *w, const struct model *model, struct model_op *op)
{
    const struct model_database *database = &model->databases[below(w, model->n_databases)];
    set_text(op->tenant, sizeof(op->tenant), database->tenant);
    set_text(op->database, sizeof(op->database), database->name);
}

/* --- operations ------------------------------------------------------------- */

static void
make_create(struct workload *w, const struct model *model, struct model_op *op)
{
    op->kind = MODEL_COLLECTION_CREATE;
    if (model->n_databases == 0) {
        set_text(op->tenant, sizeof(op->tenant), workload_tenants[0]);
        set_text(op->database, sizeof(op->database), workload_databases[0]);
    } else {
        pick_database(w, model, op);
    }
    number_text(op->name, sizeof(op->name), "col-", below(w, N_NAMES));
    op->flag = one_in(w, 3);
    op->has_metadata = one_in(w, 2);
    if (op->has_metadata) {
        next_field(&op->metadata, "about", MODEL_STRING);
        number_text(op->metadata.fields[0].value.strings[0], MODEL_TEXT_SIZE, "a", below(w, 9));
        next_field(&op->metadata, "n", MODEL_INT)->value.integers[0] = (int64_t) below(w, 9);
    }
}

static void
make_change(struct workload *w, const struct model *model, struct model_op *op)
{
    op->kind = MODEL_COLLECTION_UPDATE;
    name_collection(op, pick_collection(w, model));
    if (one_in(w, 2))
        number_text(op->new_name, sizeof(op->new_name), "col-", below(w, N_NAMES));
    op->has_metadata = op->new_name[0] == '\0' || one_in(w, 2);
    if (op->has_metadata)
        next_field(&op->metadata, "n", MODEL_INT)->value.integers[0] = (int64_t) below(w, 99);
}

/* Of any, so that forks are forked too; now and then onto a name that is taken. */
static void
make_fork(struct workload *w, const struct model *model, struct model_op *op)
{
    op->kind = MODEL_COLLECTION_FORK;
    name_collection(op, pick_collection(w, model));
    number_text(op->new_name, sizeof(op->new_name), "col-", below(w, N_NAMES));
}

/* Few names, so that some are taken, and some are nobody's. */
static void
make_pin(struct workload *w, const struct model *model, struct model_op *op)
{
    op->kind = one_in(w, 3) ? MODEL_UNPIN : MODEL_PIN;
    name_collection(op, pick_collection(w, model));
    number_text(op->new_name, sizeof(op->new_name), "pin-", below(w, 3));
}

static enum model_when
pick_when(struct workload *w)
{
    static const enum model_when whens[] = {MODEL_IN_MERGE, MODEL_IN_MERGE_SEALED};
    return one_in(w, 8) ? whens[below(w, 2)] : MODEL_BY_ITSELF;
}

static void
make_write(
        struct workload *w, const struct model *model, struct model_op *op, enum model_op_kind kind)
{
    op->kind = kind;
    op->when = pick_when(w);
    const struct model_collection *collection = pick_collection(w, model);
    name_collection(op, collection);
    uint32_t dim = collection->dim != 0 ? collection->dim : one_in(w, 2) ? 4 : 6;
    bool is_heavy = one_in(w, 10); /* one that takes a good part of a log file */
    op->n_records = 1 + below(w, is_heavy || one_in(w, 3) ? MODEL_BATCH_MAX : 4);
    for (size_t i = 0; i < op->n_records; i++) {
        struct model_record *record = &op->records[i];
        make_record(w, record, dim);
        if (is_heavy)
            record->document.n_repeats = (uint16_t) (400 + below(w, 400));
        if (kind != MODEL_ADD)
            make_metadata(w, &record->metadata, true);
        if (kind == MODEL_UPDATE && one_in(w, 2)) {
            record->dim = 0;
            memset(record->vector, 0, sizeof(record->vector));
        }
        /* An update is dull unless it finds something. */
        if (kind != MODEL_ADD && collection->n > 0 && !one_in(w, 4))
            set_text(record->id, sizeof(record->id),
                    collection->records[below(w, collection->n)].id);
    }
}

static void
make_filter(struct workload *w, struct model_op *op)
{
    op->filter = (enum model_filter)(MODEL_N_IS + below(w, 4));
    op->number = (int64_t) below(w, 5);
    number_text(op->text, sizeof(op->text), op->filter == MODEL_TAG_IS ? "t" : "x", below(w, 3));
}

static void
make_delete(struct workload *w, const struct model *model, struct model_op *op)
{
    op->kind = MODEL_DELETE;
    op->when = pick_when(w);
    const struct model_collection *collection = pick_collection(w, model);
    name_collection(op, collection);
    op->has_ids = !one_in(w, 3);
    if (!op->has_ids || one_in(w, 4))
        make_filter(w, op);
    op->has_limit = op->filter != MODEL_NO_FILTER && one_in(w, 2);
    op->limit = below(w, 4);
    op->n_records = op->has_ids ? 1 + below(w, 6) : 0;
    for (size_t i = 0; i < op->n_records; i++) {
        const char *known =
                collection->n == 0 ? "none" : collection->records[below(w, collection->n)].id;
        set_text(op->records[i].id, sizeof(op->records[i].id), known);
        if (one_in(w, 6))
            number_text(op->records[i].id, sizeof(op->records[i].id), "id-", below(w, N_IDS));
    }
}

/* What must be refused. */
static void
make_wrong(struct workload *w, const struct model *model, struct model_op *op)
{
    make_write(w, model, op, one_in(w, 2) ? MODEL_ADD : MODEL_UPSERT);
    struct model_record *record = &op->records[below(w, op->n_records)];
    switch (below(w, 6)) {
    case 0:
        record->id[0] = '\0';
        break;
    case 1:
        record->dim = 5;
        if (op->n_records == 1)
            record->id[0] = '\0';
        break;
    case 2:
        set_text(op->name, sizeof(op->name), "no-such");
        break;
    case 3:
        record->metadata.n = 0;
        next_field(&record->metadata, "#bad", MODEL_INT);
        break;
    case 4:
        op->kind = MODEL_DELETE;
        op->has_ids = true;
        op->has_limit = true;
        break;
    default:
        make_create(w, model, op);
        set_text(op->name, sizeof(op->name), "ab");
        break;
    }
}

static void
make_tenant_or_database(struct workload *w, struct model_op *op)
{
    op->kind = one_in(w, 3) ? MODEL_TENANT_CREATE : MODEL_DATABASE_CREATE;
    set_text(op->tenant, sizeof(op->tenant), workload_tenants[below(w, WORKLOAD_N_TENANTS)]);
    set_text(
            op->database, sizeof(op->database), workload_databases[below(w, WORKLOAD_N_DATABASES)]);
}

/* A database without collections most of the time: a drop empties a lot. */
static void
make_drop_database(struct workload *w, const struct model *model, struct model_op *op)
{
    op->kind = MODEL_DATABASE_DELETE;
    pick_database(w, model, op);
    if (strcmp(op->database, workload_databases[0]) == 0)
        set_text(op->database, sizeof(op->database), workload_databases[1]);
}

void
workload_next(struct workload *w, const struct model *model, struct model_op *op)
{
    memset(op, 0, sizeof(*op));
    size_t at = w->n_done++;
    size_t pick = below(w, 100);
    bool is_reset = at > 0 && at == w->n_all * 2 / 3;
    if (is_reset)
        op->kind = MODEL_RESET;
    else if (model->n_collections < 2)
        make_create(w, model, op);
    else if (pick < 28)
        make_write(w, model, op, MODEL_ADD);
    else if (pick < 40)
        make_write(w, model, op, MODEL_UPDATE);
    else if (pick < 52)
        make_write(w, model, op, MODEL_UPSERT);
    else if (pick < 67)
        make_delete(w, model, op);
    else if (pick < 69)
        op->kind = MODEL_SEAL;
    else if (pick < 71) {
        op->kind = MODEL_COMPACT;
        op->flag = pick == 70;
        name_collection(op, pick_collection(w, model));
    } else if (pick < 75)
        op->kind = MODEL_RESTART;
    else if (pick < 81 && model->n_collections < N_COLLECTIONS_MAX)
        make_create(w, model, op);
    else if (pick < 85)
        make_change(w, model, op);
    else if (pick < 88) {
        op->kind = MODEL_COLLECTION_DELETE;
        name_collection(op, pick_collection(w, model));
    } else if (pick < 90)
        make_drop_database(w, model, op);
    else if (pick < 92 && model->n_collections < N_COLLECTIONS_MAX)
        make_fork(w, model, op);
    else if (pick < 94)
        make_tenant_or_database(w, op);
    else if (pick < 97)
        make_pin(w, model, op);
    else if (pick < 98) {
        op->kind = MODEL_BACKUP;
        name_collection(op, pick_collection(w, model));
        op->when = pick_when(w);
    } else
        make_wrong(w, model, op);
}

static void
probe_record(struct workload *w, uint64_t number, uint32_t dim, struct model_op *op)
{
    op->kind = MODEL_ADD;
    op->n_records = 1;
    make_record(w, &op->records[0], dim);
    number_text(op->records[0].id, sizeof(op->records[0].id), "probe-", number % 1000000);
}

size_t
workload_probe(uint64_t number, const struct model_collection *touched,
        struct model_op ops[WORKLOAD_N_PROBES])
{
    struct workload w = {.seed = number};
    memset(ops, 0, WORKLOAD_N_PROBES * sizeof(*ops));
    ops[0].kind = MODEL_COLLECTION_CREATE;
    ops[0].flag = true;
    set_text(ops[0].tenant, sizeof(ops[0].tenant), workload_tenants[0]);
    set_text(ops[0].database, sizeof(ops[0].database), workload_databases[0]);
    set_text(ops[0].name, sizeof(ops[0].name), "probe");
    memcpy(&ops[1], &ops[0], sizeof(ops[1]));
    probe_record(&w, number, 4, &ops[1]);
    if (touched == NULL)
        return 2;
    name_collection(&ops[2], touched);
    probe_record(&w, number, touched->dim == 0 ? 4 : touched->dim, &ops[2]);
    return 3;
}

size_t
workload_deletions(
        uint64_t number, const struct model *model, struct model_op ops[WORKLOAD_N_DELETIONS])
{
    const struct model_collection *chosen = NULL;
    memset(ops, 0, WORKLOAD_N_DELETIONS * sizeof(*ops));
    for (size_t i = 0; i < model->n_collections; i++) {
        const struct model_collection *one =
                &model->collections[(number + i) % model->n_collections];
        if (one->n > 0)
            chosen = one;
    }
    if (chosen == NULL)
        return 0;
    for (size_t i = 0; i < WORKLOAD_N_DELETIONS; i++)
        name_collection(&ops[i], chosen);
    ops[0].kind = MODEL_DELETE;
    ops[0].has_ids = true;
    ops[0].n_records = 1;
    set_text(ops[0].records[0].id, sizeof(ops[0].records[0].id),
            chosen->records[number % chosen->n].id);
    ops[1].kind = MODEL_DELETE;
    ops[1].filter = MODEL_N_BELOW;
    ops[1].number = 5;
    ops[2].kind = MODEL_COLLECTION_DELETE;
    return WORKLOAD_N_DELETIONS;
}
