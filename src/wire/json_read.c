#include "wire/json_read.h"

#include "api/validate.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "wire/json_body.h"
#include "wire/json_vectors.h"
#include "wire/json_where.h"

/* The fields of all three bodies; each body knows those it lists. */
enum field {
    IDS,
    WHERE,
    WHERE_DOCUMENT,
    LIMIT,
    OFFSET,
    INCLUDE,
    QUERY_EMBEDDINGS,
    N_RESULTS,
    EXACT,
    RECALL_TARGET,
    EFFORT,
    EXPLAIN,
    AS_OF,
    CURSOR
};

struct reading {
    struct och_body body;
    const enum field *fields; /* what the body's field numbers mean */
    const struct och_json *where, *where_document;
    struct och_select_input *select;
    uint64_t limit, offset, n_results;
    struct och_wire_include include;
    struct och_vectors vectors;
    bool exact, explain;
    float recall_target;
    uint32_t effort;
    const uint64_t *as_of;
    bool pages;
    struct ochre_bytes cursor;
};

enum { N_RESULTS_DEFAULT = 10 };

/* --- include ----------------------------------------------------------------- */

struct word {
    const char *text;
    unsigned include;
};

static const struct word words[] = {
        {"documents", OCHRE_INCLUDE_DOCUMENTS},
        {"metadatas", OCHRE_INCLUDE_METADATAS},
        {"embeddings", OCHRE_INCLUDE_EMBEDDINGS},
        {"uris", OCHRE_INCLUDE_URIS},
        {"distances", OCHRE_INCLUDE_DISTANCES},
};

static_assert(OCHRE_INCLUDE_DISTANCES <= UINT8_MAX, "a word of the echo is one byte");

const char *
och_wire_include_word(unsigned include)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (words[i].include == include)
            return words[i].text;
    }
    och_assert_failed("every column has its word", __FILE__, __LINE__);
}

/* The word at hand; 0 when it is none of them. */
static unsigned
include_of(const struct och_json_reader *reader)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (och_bytes_is(reader->string, words[i].text))
            return words[i].include;
    }
    return 0;
}

static ochre_status
read_include(struct reading *reading, struct ochre_error *err)
{
    struct och_body *body = &reading->body;
    struct och_body_list list = {0};
    unsigned mask = 0;
    if (body->reader.token != OCH_JSON_BEGIN_ARRAY)
        return och_body_refuse(body, "an array of words", OCHRE_SHAPE, err);
    while (och_json_next(&body->reader) != OCH_JSON_END_ARRAY) {
        static const char wanted[] =
                "'documents', 'metadatas', 'embeddings', 'uris' or 'distances'";
        body->place.row = list.n;
        /* As the reference has it: what cannot hold a word is no valid request
         * at all, while a word that means nothing has the wrong shape. */
        if (body->reader.token != OCH_JSON_STRING)
            return och_body_refuse(body, wanted, OCHRE_INVALID, err);
        unsigned include = include_of(&body->reader);
        if (include == 0)
            return och_body_refuse(body, wanted, OCHRE_SHAPE, err);
        uint8_t *slot = och_body_list_add(body->arena, &list, sizeof(*slot));
        if (slot == NULL)
            return och_fail_memory(err);
        *slot = (uint8_t) include;
        mask |= include;
    }
    reading->include = (struct och_wire_include){mask, list.items, list.n};
    return OCHRE_OK;
}

/* --- the other fields -------------------------------------------------------- */

static ochre_status
read_natural(struct reading *reading, uint64_t *value, struct ochre_error *err)
{
    if (och_body_is_null(&reading->body))
        return OCHRE_OK;
    return och_body_natural(&reading->body, UINT32_MAX, value, err);
}

static ochre_status
read_ids(struct reading *reading, struct ochre_error *err)
{
    struct ochre_bytes *ids = NULL;
    if (och_body_is_null(&reading->body))
        return OCHRE_OK;
    ochre_status status =
            och_body_strings(&reading->body, false, &ids, &reading->select->n_ids, err);
    reading->select->ids = ids;
    reading->select->has_ids = true;
    return status;
}

static ochre_status
read_queries(struct reading *reading, struct ochre_error *err)
{
    reading->vectors = (struct och_vectors){.empty = true};
    return och_vectors_read(&reading->body, &reading->vectors, err);
}

/* --- how hard to look -------------------------------------------------------- */

static ochre_status
read_flag(struct reading *reading, bool *flag, struct ochre_error *err)
{
    och_json_token token = reading->body.reader.token;
    if (token != OCH_JSON_TRUE && token != OCH_JSON_FALSE && token != OCH_JSON_NULL)
        return och_body_refuse(&reading->body, "true or false", OCHRE_INVALID, err);
    *flag = token == OCH_JSON_TRUE;
    return OCHRE_OK;
}

static ochre_status
read_recall_target(struct reading *reading, struct ochre_error *err)
{
    const struct och_json_reader *reader = &reading->body.reader;
    double value = 0;
    if (reader->token == OCH_JSON_NULL)
        return OCHRE_OK;
    if (reader->token == OCH_JSON_FLOAT)
        value = reader->number;
    else if (reader->token == OCH_JSON_INT && reader->integer == 1)
        value = 1;
    if (!(value > 0 && value <= 1))
        return och_body_refuse(
                &reading->body, "a number above 0 and at most 1", OCHRE_INVALID, err);
    reading->recall_target = och_recall_target_of(value);
    return OCHRE_OK;
}

static ochre_status
read_effort(struct reading *reading, struct ochre_error *err)
{
    const struct och_json_reader *reader = &reading->body.reader;
    if (reader->token == OCH_JSON_NULL)
        return OCHRE_OK;
    if (reader->token != OCH_JSON_INT || reader->integer < 1 || reader->integer > OCH_EFFORT_MAX)
        return och_body_refuse(
                &reading->body, "a whole number from 1 to 65536", OCHRE_INVALID, err);
    static_assert(OCH_EFFORT_MAX == 65536, "the message says so");
    reading->effort = (uint32_t) reader->integer;
    return OCHRE_OK;
}

/* --- of what position ---------------------------------------------------------- */

static ochre_status
read_as_of(struct reading *reading, struct ochre_error *err)
{
    const struct och_json_reader *reader = &reading->body.reader;
    uint64_t value = reader->natural;
    if (reader->token == OCH_JSON_NULL)
        return OCHRE_OK;
    if (reader->token == OCH_JSON_INT && reader->integer >= 0)
        value = (uint64_t) reader->integer;
    else if (reader->token != OCH_JSON_UINT)
        return och_body_refuse(&reading->body,
                "a position: a whole number from 0 to 18446744073709551615", OCHRE_INVALID, err);
    uint64_t *as_of = och_arena_take(reading->body.arena, sizeof(*as_of));
    if (as_of == NULL)
        return och_fail_memory(err);
    *as_of = value;
    reading->as_of = as_of;
    return OCHRE_OK;
}

static ochre_status
read_cursor(struct reading *reading, struct ochre_error *err)
{
    if (och_body_is_null(&reading->body))
        return OCHRE_OK;
    if (reading->body.reader.token != OCH_JSON_STRING)
        return och_body_refuse(&reading->body,
                "the cursor of an answer, or an empty string to begin", OCHRE_INVALID, err);
    reading->pages = true;
    return och_body_string(&reading->body, &reading->cursor, err);
}

static ochre_status
read_field(struct reading *reading, enum field field, struct ochre_error *err)
{
    switch (field) {
    case IDS:
        return read_ids(reading, err);
    case WHERE:
        return och_body_tree(&reading->body, &reading->where, err);
    case WHERE_DOCUMENT:
        return och_body_tree(&reading->body, &reading->where_document, err);
    case LIMIT:
        return read_natural(reading, &reading->limit, err);
    case OFFSET:
        return read_natural(reading, &reading->offset, err);
    case INCLUDE:
        return read_include(reading, err);
    case QUERY_EMBEDDINGS:
        return read_queries(reading, err);
    case N_RESULTS:
        return read_natural(reading, &reading->n_results, err);
    case EXACT:
        return read_flag(reading, &reading->exact, err);
    case RECALL_TARGET:
        return read_recall_target(reading, err);
    case EFFORT:
        return read_effort(reading, err);
    case EXPLAIN:
        return read_flag(reading, &reading->explain, err);
    case AS_OF:
        return read_as_of(reading, err);
    case CURSOR:
        return read_cursor(reading, err);
    }
    return OCHRE_OK;
}

/* Both filters as one; a grammar error is kept for later. */
static ochre_status
read_filter(struct reading *reading, struct ochre_error *err)
{
    struct och_select_input *select = reading->select;
    const struct och_json *where = reading->where, *where_document = reading->where_document;
    struct ochre_error why = {.status = OCHRE_OK};
    ochre_status status =
            och_wire_filter(reading->body.arena, where, where_document, &select->filter, &why);
    if (status == OCHRE_NO_MEMORY)
        return och_fail_memory(err);
    select->deferred = why;
    select->has_filter = status != OCHRE_OK || select->filter.n_nodes > 0;
    return OCHRE_OK;
}

static ochre_status
read_body(struct reading *reading, struct och_arena *arena, struct ochre_bytes text,
        const char *const *names, unsigned n_names, struct ochre_error *err)
{
    unsigned field = OCH_BODY_END;
    *reading->select = (struct och_select_input){0};
    ochre_status status = och_body_begin(&reading->body, arena, text, names, n_names, err);
    while (status == OCHRE_OK) {
        status = och_body_next(&reading->body, &field, err);
        if (status != OCHRE_OK || field == OCH_BODY_END)
            break;
        status = read_field(reading, reading->fields[field], err);
    }
    if (status != OCHRE_OK)
        return status;
    return read_filter(reading, err);
}

/* --- the bodies -------------------------------------------------------------- */

ochre_status
och_wire_read_get(struct och_arena *arena, struct ochre_bytes text, struct och_wire_get *get_out,
        struct ochre_error *err)
{
    static const char *const names[] = {
            "ids", "where", "where_document", "limit", "offset", "include", "as_of", "cursor"};
    static const enum field fields[] = {
            IDS, WHERE, WHERE_DOCUMENT, LIMIT, OFFSET, INCLUDE, AS_OF, CURSOR};
    static const uint8_t usual[] = {OCHRE_INCLUDE_DOCUMENTS, OCHRE_INCLUDE_METADATAS};
    static_assert(sizeof(names) / sizeof(names[0]) == sizeof(fields) / sizeof(fields[0]),
            "every name has its field");
    struct reading reading = {.fields = fields,
            .select = &get_out->input.select,
            .limit = UINT64_MAX,
            .include = {OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_METADATAS, usual, sizeof(usual)}};
    ochre_status status =
            read_body(&reading, arena, text, names, sizeof(names) / sizeof(names[0]), err);
    get_out->input.offset = reading.offset;
    get_out->input.limit = reading.limit;
    get_out->input.include = reading.include.mask;
    get_out->input.as_of = reading.as_of;
    get_out->input.pages = reading.pages;
    get_out->input.cursor = reading.cursor;
    get_out->include = reading.include;
    return status;
}

/* Vectors of one request have one length, also where the collection has none yet. */
static void
check_lengths(const struct och_vectors *vectors, struct ochre_error *deferred)
{
    for (size_t i = 1; i < vectors->n; i++) {
        if (vectors->dims[i] == vectors->dims[0])
            continue;
        (void) och_fail(deferred, OCHRE_INVALID,
                "Inconsistent dimensions in provided embeddings: query_embeddings[%zu] has "
                "dimension %lu, the first one %lu",
                i, (unsigned long) vectors->dims[i], (unsigned long) vectors->dims[0]);
        return;
    }
}

ochre_status
och_wire_read_query(struct och_arena *arena, struct ochre_bytes text,
        struct och_wire_query *query_out, struct ochre_error *err)
{
    enum { QUERIES_AT = 0 };
    static const char *const names[] = {"query_embeddings", "n_results", "ids", "where",
            "where_document", "include", "exact", "recall_target", "effort", "explain", "as_of"};
    static const enum field fields[] = {QUERY_EMBEDDINGS, N_RESULTS, IDS, WHERE, WHERE_DOCUMENT,
            INCLUDE, EXACT, RECALL_TARGET, EFFORT, EXPLAIN, AS_OF};
    static const uint8_t usual[] = {
            OCHRE_INCLUDE_DOCUMENTS, OCHRE_INCLUDE_METADATAS, OCHRE_INCLUDE_DISTANCES};
    static_assert(sizeof(names) / sizeof(names[0]) == sizeof(fields) / sizeof(fields[0]),
            "every name has its field");
    *query_out = (struct och_wire_query){0};
    struct reading reading = {.fields = fields,
            .select = &query_out->input.select,
            .n_results = N_RESULTS_DEFAULT,
            .include = {OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_METADATAS | OCHRE_INCLUDE_DISTANCES,
                    usual, sizeof(usual)}};
    ochre_status status =
            read_body(&reading, arena, text, names, sizeof(names) / sizeof(names[0]), err);
    if (status == OCHRE_OK)
        status = och_body_require(&reading.body, QUERIES_AT, err);
    if (status != OCHRE_OK)
        return status;
    query_out->include = reading.include;
    query_out->input.include = reading.include.mask;
    query_out->input.k = (uint32_t) reading.n_results;
    query_out->input.exact = reading.exact;
    query_out->input.explain = reading.explain;
    query_out->input.recall_target = reading.recall_target;
    query_out->input.effort = reading.effort;
    query_out->input.as_of = reading.as_of;
    query_out->input.queries = reading.vectors.floats;
    query_out->input.n_queries = reading.vectors.n;
    query_out->input.dims = reading.vectors.dims;
    query_out->input.deferred = reading.vectors.bad_number;
    if (query_out->input.deferred.status == OCHRE_OK)
        check_lengths(&reading.vectors, &query_out->input.deferred);
    return OCHRE_OK;
}

ochre_status
och_wire_read_delete(struct och_arena *arena, struct ochre_bytes text,
        struct och_wire_delete *delete_out, struct ochre_error *err)
{
    static const char *const names[] = {"ids", "where", "where_document", "limit"};
    static const enum field fields[] = {IDS, WHERE, WHERE_DOCUMENT, LIMIT};
    static_assert(sizeof(names) / sizeof(names[0]) == sizeof(fields) / sizeof(fields[0]),
            "every name has its field");
    struct reading reading = {.fields = fields, .select = &delete_out->select, .limit = UINT64_MAX};
    ochre_status status =
            read_body(&reading, arena, text, names, sizeof(names) / sizeof(names[0]), err);
    delete_out->limit = reading.limit;
    return status;
}
