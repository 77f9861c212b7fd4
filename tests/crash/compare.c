#include "crash/compare.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/db.h"
#include "api/ops.h"
#include "base/arena.h"
#include "crash/driver.h"
#include "crash/workload.h"
#include "index/meta/keys.h"

enum {
    ALL_COLUMNS = OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_METADATAS | OCHRE_INCLUDE_EMBEDDINGS |
            OCHRE_INCLUDE_URIS
};
enum { K = 7, N_SEEN = 12 };

/* What collections were seen to be, the oldest given up first. */
static struct {
    struct och_uuid id;
    uint64_t position;
    size_t n;
    struct model_record *records; /* owned; NULL of none */
    bool is_there;
} past[N_SEEN];

static size_t next_past;
static uint64_t n_past_reads;

/* A comparison in progress. */
struct comparison {
    struct ochre_db *db;
    struct och_mem mem;
    struct och_arena arena;
    const struct model *model;
    const struct model_collection *collection;  /* the one at hand */
    const uint64_t *as_of;                      /* it is read then; NULL: now */
    bool may_be_stale;                          /* a position that nothing keeps */
    struct och_uuid ids[MODEL_COLLECTIONS_MAX]; /* of the model's collections, as they were found */
    uint64_t positions[MODEL_COLLECTIONS_MAX];
    char *why;
    bool has_failed;
};

static bool
differs(struct comparison *c, const char *what, const char *detail)
{
    const struct model_collection *at = c->collection;
    (void) snprintf(c->why, WHY_SIZE, "%s%s%s%s%s: %s: %.200s", at == NULL ? "" : at->tenant,
            at == NULL ? "" : "/", at == NULL ? "" : at->database, at == NULL ? "" : "/",
            at == NULL ? "" : at->name, what, detail);
    return false;
}

static bool
failed(struct comparison *c, const char *what, const struct ochre_error *err)
{
    char detail[300];
    c->has_failed = true;
    (void) snprintf(
            detail, sizeof(detail), "%s: %.250s", ochre_status_name(err->status), err->message);
    return differs(c, what, detail);
}

static bool
wrong_number(struct comparison *c, const char *what, uint64_t seen, uint64_t wanted)
{
    char detail[80];
    (void) snprintf(detail, sizeof(detail), "%" PRIu64 ", not %" PRIu64, seen, wanted);
    return differs(c, what, detail);
}

static bool
same_text(struct ochre_bytes bytes, const char *text)
{
    return bytes.data != NULL && bytes.size == strlen(text) &&
            memcmp(bytes.data, text, bytes.size) == 0;
}

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

/* --- values ----------------------------------------------------------------- */

static bool
same_member(const struct ochre_value *value, const struct model_value *wanted, size_t i)
{
    switch (value->type) {
    case OCHRE_VALUE_NULL:
        return false;
    case OCHRE_VALUE_BOOL:
        return value->as.boolean == (wanted->integers[0] != 0);
    case OCHRE_VALUE_INT:
        return value->as.integer == wanted->integers[0];
    case OCHRE_VALUE_FLOAT:
        return memcmp(&value->as.number, &wanted->numbers[0], sizeof(double)) == 0;
    case OCHRE_VALUE_STRING:
        return same_text(value->as.string, wanted->strings[0]);
    case OCHRE_VALUE_BOOL_LIST:
        return value->as.booleans[i] == (wanted->integers[i] != 0);
    case OCHRE_VALUE_INT_LIST:
        return value->as.integers[i] == wanted->integers[i];
    case OCHRE_VALUE_FLOAT_LIST:
        return memcmp(&value->as.numbers[i], &wanted->numbers[i], sizeof(double)) == 0;
    case OCHRE_VALUE_STRING_LIST:
        return same_text(value->as.strings[i], wanted->strings[i]);
    }
    return false;
}

static bool
same_value(const struct ochre_value *value, const struct model_value *wanted)
{
    int type = (int) wanted->type + (wanted->is_list ? 4 : 0);
    if ((int) value->type != type || (wanted->is_list && value->n != wanted->n))
        return false;
    for (size_t i = 0; i < wanted->n; i++)
        if (!same_member(value, wanted, i))
            return false;
    return true;
}

static bool
same_metadata(const struct ochre_metadata *metadata, const struct model_fields *wanted)
{
    if (metadata->n_fields != wanted->n)
        return false;
    for (size_t i = 0; i < wanted->n; i++)
        if (!same_text(metadata->fields[i].key, wanted->fields[i].key) ||
                !same_value(&metadata->fields[i].value, &wanted->fields[i].value))
            return false;
    return true;
}

static bool
same_model_text(struct ochre_bytes bytes, const struct model_text *wanted)
{
    if (!wanted->is_there)
        return bytes.data == NULL;
    size_t size = strlen(wanted->text);
    if (bytes.data == NULL || bytes.size != size * wanted->n_repeats)
        return false;
    for (size_t i = 0; i < wanted->n_repeats; i++)
        if (memcmp(bytes.data + i * size, wanted->text, size) != 0)
            return false;
    return true;
}

/* --- records ---------------------------------------------------------------- */

static bool
compare_hit(struct comparison *c, const struct ochre_hit *hit, const struct model_record *wanted)
{
    if (!same_text(hit->id, wanted->id))
        return differs(c, "another record stands where one should be", wanted->id);
    if (memcmp(hit->embedding, wanted->vector, c->collection->dim * sizeof(float)) != 0)
        return differs(c, "the vector of a record is wrong", wanted->id);
    if (!same_model_text(hit->document, &wanted->document))
        return differs(c, "the document of a record is wrong", wanted->id);
    if (!same_model_text(hit->uri, &wanted->uri))
        return differs(c, "the uri of a record is wrong", wanted->id);
    if (!same_metadata(&hit->metadata, &wanted->metadata))
        return differs(c, "the metadata of a record is wrong", wanted->id);
    return true;
}

struct ochre_filter_node
compare_filter(enum model_filter filter, int64_t number, const char *text)
{
    struct ochre_filter_node node = {.op = OCHRE_FILTER_EQ,
            .field = OCHRE_FIELD_METADATA,
            .size = 1,
            .key = bytes_of("n"),
            .value = {.type = OCHRE_VALUE_INT, .as.integer = number}};
    struct ochre_value string = {.type = OCHRE_VALUE_STRING, .as.string = bytes_of(text)};
    switch (filter) {
    case MODEL_NO_FILTER:
    case MODEL_N_IS:
        break;
    case MODEL_N_BELOW:
        node.op = OCHRE_FILTER_LT;
        break;
    case MODEL_TAG_IS:
        node.key = bytes_of("tag");
        node.value = string;
        break;
    case MODEL_DOCUMENT_HAS:
        node.op = OCHRE_FILTER_CONTAINS;
        node.field = OCHRE_FIELD_DOCUMENT;
        node.value = string;
        break;
    }
    return node;
}

/* All records that a filter lets through, in insertion order. */
static bool
compare_get(struct comparison *c, const struct och_target *target, enum model_filter filter)
{
    const struct model_collection *wanted = c->collection;
    struct ochre_filter_node node = compare_filter(filter, 2, filter == MODEL_TAG_IS ? "t1" : "x1");
    struct och_get_input get = {.select = {.has_filter = filter != MODEL_NO_FILTER,
                                        .filter = {&node, filter != MODEL_NO_FILTER}},
            .limit = UINT64_MAX,
            .include = ALL_COLUMNS,
            .as_of = c->as_of};
    struct och_result *result;
    struct ochre_error err;
    ochre_status status = och_op_get(c->db, target, &get, &result, &err);
    if (status == OCHRE_STALE && c->may_be_stale)
        return true;
    if (status != OCHRE_OK)
        return failed(c, "get", &err);
    n_past_reads += c->may_be_stale;
    const struct och_hits *hits = &result->lists[0];
    size_t n = 0;
    bool same = true;
    for (size_t i = 0; i < wanted->n && same; i++) {
        const struct model_record *record = &wanted->records[i];
        if (!model_matches(record, filter, 2, filter == MODEL_TAG_IS ? "t1" : "x1"))
            continue;
        same = n < hits->n ? compare_hit(c, &hits->hits[n], record)
                           : differs(c, "a record is missing", record->id);
        n++;
    }
    if (same && n != hits->n)
        same = wrong_number(c, "records of a get", hits->n, n);
    och_result_release(result);
    return same;
}

/* The best K by the model: nearest first, ties in insertion order. */
static size_t
nearest(const struct model_collection *collection, const float *query, size_t best[K])
{
    size_t n = 0;
    for (size_t i = 0; i < collection->n; i++) {
        double distance = model_distance(&collection->records[i], query);
        size_t at = n;
        while (at > 0 && model_distance(&collection->records[best[at - 1]], query) > distance)
            at--;
        if (at == K)
            continue;
        n += n < K;
        for (size_t j = n - 1; j > at; j--)
            best[j] = best[j - 1];
        best[at] = i;
    }
    return n;
}

static bool
compare_query(struct comparison *c, const struct och_target *target)
{
    const struct model_collection *wanted = c->collection;
    float query[MODEL_DIM_MAX] = {1, -2, 0, 3, -1, 2};
    uint32_t dim = wanted->dim == 0 ? 4 : wanted->dim;
    struct och_query_input input = {.queries = query,
            .n_queries = 1,
            .dims = &dim,
            .k = K,
            .include = OCHRE_INCLUDE_DISTANCES,
            .as_of = c->as_of};
    struct och_result *result;
    struct ochre_error err;
    if (och_op_query(c->db, target, &input, &result, &err) != OCHRE_OK)
        return failed(c, "query", &err);
    size_t best[K];
    size_t n = nearest(wanted, query, best);
    const struct och_hits *hits = &result->lists[0];
    bool same = hits->n == n || wrong_number(c, "hits of a query", hits->n, n);
    for (size_t i = 0; i < n && same; i++) {
        const struct model_record *record = &wanted->records[best[i]];
        double distance = model_distance(record, query);
        bool right = same_text(hits->hits[i].id, record->id) &&
                (double) hits->hits[i].distance == distance;
        same = right || differs(c, "a query does not find", record->id);
    }
    och_result_release(result);
    return same;
}

/* --- collections ------------------------------------------------------------ */

static bool
compare_info(struct comparison *c, const struct och_collection_info *info)
{
    const struct model_collection *wanted = c->collection;
    if (!same_text(info->row.name, wanted->name))
        return differs(c, "another collection is listed in its place", "");
    if (!same_metadata(&info->metadata, &wanted->metadata))
        return differs(c, "its metadata is wrong", "");
    if (info->dim != wanted->dim)
        return wrong_number(c, "dimension", info->dim, wanted->dim);
    if (info->n_keys != wanted->n_keys)
        return wrong_number(c, "keys seen", info->n_keys, wanted->n_keys);
    for (size_t i = 0; i < wanted->n_keys; i++)
        if (!same_text(info->keys[i].key, wanted->keys[i]))
            return differs(c, "a key was not seen", wanted->keys[i]);
    return true;
}

/* --- the past ----------------------------------------------------------------- */

void
compare_forget(void)
{
    for (size_t i = 0; i < N_SEEN; i++) {
        free(past[i].records);
        past[i].records = NULL;
        past[i].is_there = false;
    }
}

uint64_t
compare_past_reads(void)
{
    return n_past_reads;
}

/* Nothing was found wrong: what there is may be asked for later. */
static void
remember(const struct comparison *c)
{
    for (size_t i = 0; i < c->model->n_collections; i++) {
        const struct model_collection *collection = &c->model->collections[i];
        size_t at = next_past++ % N_SEEN;
        free(past[at].records);
        past[at].id = c->ids[i];
        past[at].position = c->positions[i];
        past[at].n = collection->n;
        past[at].records = model_copy_records(collection->records, collection->n);
        past[at].is_there = true;
    }
}

/* As of a position: `records` stand for the collection's. */
static bool
compare_at(struct comparison *c, const struct och_target *target, uint64_t position,
        struct model_record *records, size_t n)
{
    const struct model_collection *now = c->collection;
    struct model_collection then = *now;
    then.records = records;
    then.n = n;
    c->collection = &then;
    c->as_of = &position;
    bool same = compare_get(c, target, MODEL_NO_FILTER) &&
            (c->may_be_stale || (compare_get(c, target, MODEL_N_IS) && compare_query(c, target)));
    c->as_of = NULL;
    c->collection = now;
    return same;
}

static bool
compare_pins(struct comparison *c, const struct och_target *target)
{
    const struct model_collection *wanted = c->collection;
    struct och_pin_info *infos;
    struct ochre_error err;
    size_t n;
    if (och_op_pin_list(c->db, &c->arena, target, &infos, &n, &err) != OCHRE_OK)
        return failed(c, "list pins", &err);
    if (n != wanted->n_pins)
        return wrong_number(c, "pins", n, wanted->n_pins);
    for (size_t i = 0; i < n; i++) {
        const struct model_pin *pin = &wanted->pins[i];
        if (!same_text(infos[i].name, pin->name))
            return differs(c, "another pin is listed in its place", pin->name);
        if (!compare_at(c, target, infos[i].position, pin->records, pin->n))
            return false;
    }
    return true;
}

/* The oldest that was seen of it: as it was then, or refused. */
static bool
compare_past(struct comparison *c, const struct och_target *target, uint64_t position)
{
    size_t found = N_SEEN;
    for (size_t i = 0; i < N_SEEN; i++)
        if (past[i].is_there && och_uuid_equal(past[i].id, target->id) &&
                past[i].position < position &&
                (found == N_SEEN || past[i].position < past[found].position))
            found = i;
    if (found == N_SEEN)
        return true;
    c->may_be_stale = true;
    bool same = compare_at(c, target, past[found].position, past[found].records, past[found].n);
    c->may_be_stale = false;
    return same;
}

/* --- collections, whole --------------------------------------------------------- */

static bool
compare_collection(struct comparison *c, const struct och_collection_info *info)
{
    struct och_target target = {info->row.tenant, info->row.database, info->row.id};
    uint64_t count;
    uint64_t position;
    size_t i = (size_t) (c->collection - c->model->collections);
    struct ochre_error err;
    /* The first touch may load the collection; only then is its state final. */
    if (och_op_count(c->db, &target, NULL, &count, &position, &err) != OCHRE_OK)
        return failed(c, "count", &err);
    c->ids[i] = target.id;
    c->positions[i] = position;
    if (count != c->collection->n)
        return wrong_number(c, "count", count, c->collection->n);
    return compare_info(c, info) && compare_get(c, &target, MODEL_NO_FILTER) &&
            compare_get(c, &target, MODEL_N_IS) && compare_get(c, &target, MODEL_DOCUMENT_HAS) &&
            compare_query(c, &target) && compare_pins(c, &target) &&
            compare_past(c, &target, position);
}

static bool
compare_collections(struct comparison *c, const char *tenant, const char *database)
{
    struct och_collection_info *infos;
    size_t n_listed;
    struct ochre_error err;
    c->collection = NULL;
    ochre_status status = och_op_collection_list(c->db, &c->arena, bytes_of(tenant),
            bytes_of(database), UINT64_MAX, 0, &infos, &n_listed, &err);
    if (status != OCHRE_OK)
        return failed(c, "list collections", &err);
    size_t n = 0;
    for (size_t i = 0; i < c->model->n_collections; i++) {
        c->collection = &c->model->collections[i];
        if (strcmp(c->collection->tenant, tenant) != 0 ||
                strcmp(c->collection->database, database) != 0)
            continue;
        if (n == n_listed)
            return differs(c, "it is not listed", "");
        if (!compare_collection(c, &infos[n++]))
            return false;
    }
    c->collection = NULL;
    return n == n_listed || wrong_number(c, "collections", n_listed, n);
}

/* --- tenants and databases -------------------------------------------------- */

static bool
has_tenant(const struct model *model, const char *tenant)
{
    for (size_t i = 0; i < model->n_tenants; i++)
        if (strcmp(model->tenants[i], tenant) == 0)
            return true;
    return false;
}

static bool
compare_tenant(struct comparison *c, const char *tenant)
{
    struct ochre_bytes resource;
    struct ochre_error err;
    ochre_status status = och_op_tenant_get(c->db, &c->arena, bytes_of(tenant), &resource, &err);
    if (status != OCHRE_OK && status != OCHRE_NOT_FOUND)
        return failed(c, "get tenant", &err);
    if ((status == OCHRE_OK) != has_tenant(c->model, tenant))
        return differs(c, "a tenant is there, or is not, wrongly", tenant);
    struct och_database_row *rows;
    size_t n;
    status = och_op_database_list(
            c->db, &c->arena, bytes_of(tenant), UINT64_MAX, 0, &rows, &n, &err);
    if (status != OCHRE_OK)
        return failed(c, "list databases", &err);
    size_t n_wanted = 0;
    for (size_t i = 0; i < c->model->n_databases; i++) {
        const struct model_database *database = &c->model->databases[i];
        if (strcmp(database->tenant, tenant) != 0)
            continue;
        n_wanted++;
        bool listed = false;
        for (size_t j = 0; j < n; j++)
            listed = listed || same_text(rows[j].name, database->name);
        if (!listed)
            return differs(c, "a database is missing", database->name);
    }
    return n == n_wanted || wrong_number(c, "databases", n, n_wanted);
}

static bool
compare_all(struct comparison *c)
{
    for (size_t i = 0; i < WORKLOAD_N_TENANTS; i++) {
        if (!compare_tenant(c, workload_tenants[i]))
            return false;
        for (size_t j = 0; j < WORKLOAD_N_DATABASES; j++)
            if (!compare_collections(c, workload_tenants[i], workload_databases[j]))
                return false;
    }
    return true;
}

enum view
session_look(struct session *session, const struct model *model, char why[WHY_SIZE])
{
    struct comparison c = {.db = session->db, .model = model, .why = why};
    why[0] = '\0';
    if (session->db == NULL) {
        (void) differs(&c, "it is not open", "");
        return VIEW_FAILED;
    }
    och_mem_init(&c.mem, NULL);
    och_arena_init(&c.arena, &c.mem);
    bool same = compare_all(&c);
    if (same)
        remember(&c);
    och_arena_clear(&c.arena);
    if (c.has_failed)
        return VIEW_FAILED;
    return same ? VIEW_SAME : VIEW_OTHER;
}

bool
session_shows(struct session *session, const struct model *model, char why[WHY_SIZE])
{
    return session_look(session, model, why) == VIEW_SAME;
}
