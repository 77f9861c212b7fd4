#include "wire/json_response.h"

#include <math.h>

#include "api/schema.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/number.h"
#include "engine/result.h"
#include "wire/json_read.h"

static const char null_text[] = "null";

static void
put_comma(struct och_buf *buf, size_t i)
{
    if (i > 0)
        och_buf_put_u8(buf, ',');
}

/* --- metadata ---------------------------------------------------------------- */

static void
put_list(struct och_buf *buf, const struct ochre_value *value)
{
    och_buf_put_u8(buf, '[');
    for (uint32_t i = 0; i < value->n; i++) {
        put_comma(buf, i);
        if (value->type == OCHRE_VALUE_BOOL_LIST)
            och_buf_put_text(buf, value->as.booleans[i] ? "true" : "false");
        else if (value->type == OCHRE_VALUE_INT_LIST)
            och_json_put_int(buf, value->as.integers[i]);
        else if (value->type == OCHRE_VALUE_FLOAT_LIST)
            och_json_put_f64(buf, value->as.numbers[i]);
        else
            och_json_put_string(buf, value->as.strings[i]);
    }
    och_buf_put_u8(buf, ']');
}

static void
put_value(struct och_buf *buf, const struct ochre_value *value)
{
    switch (value->type) {
    case OCHRE_VALUE_NULL:
        och_buf_put_text(buf, null_text);
        return;
    case OCHRE_VALUE_BOOL:
        och_buf_put_text(buf, value->as.boolean ? "true" : "false");
        return;
    case OCHRE_VALUE_INT:
        och_json_put_int(buf, value->as.integer);
        return;
    case OCHRE_VALUE_FLOAT:
        och_json_put_f64(buf, value->as.number);
        return;
    case OCHRE_VALUE_STRING:
        och_json_put_string(buf, value->as.string);
        return;
    case OCHRE_VALUE_BOOL_LIST:
    case OCHRE_VALUE_INT_LIST:
    case OCHRE_VALUE_FLOAT_LIST:
    case OCHRE_VALUE_STRING_LIST:
        put_list(buf, value);
        return;
    }
}

void
och_wire_put_metadata(struct och_buf *buf, const struct ochre_metadata *metadata)
{
    if (metadata->n_fields == 0) {
        och_buf_put_text(buf, null_text);
        return;
    }
    och_buf_put_u8(buf, '{');
    for (size_t i = 0; i < metadata->n_fields; i++) {
        put_comma(buf, i);
        och_json_put_string(buf, metadata->fields[i].key);
        och_buf_put_u8(buf, ':');
        put_value(buf, &metadata->fields[i].value);
    }
    och_buf_put_u8(buf, '}');
}

/* --- columns ----------------------------------------------------------------- */

/* The numbers go straight into the buffer's room: of all that is answered these
 * are the most. */
static void
put_vector(struct och_buf *buf, const float *vector, uint32_t dim)
{
    if (vector == NULL) {
        och_buf_put_text(buf, null_text);
        return;
    }
    if (!och_buf_reserve(buf, (size_t) dim * (OCH_NUMBER_TEXT_MAX + 1) + 2))
        return;
    char *next = buf->data + buf->size;
    *next++ = '[';
    for (uint32_t i = 0; i < dim; i++) {
        if (i > 0)
            *next++ = ',';
        if (isfinite(vector[i])) {
            next += och_number_put_f32(next, vector[i]);
        } else {
            __builtin_memcpy(next, null_text, sizeof(null_text) - 1);
            next += sizeof(null_text) - 1;
        }
    }
    *next++ = ']';
    buf->size = (size_t) (next - buf->data);
}

/* To the reference a uri is metadata that it hides: a record with a uri and
 * nothing else has metadata, which looks empty. */
static void
put_hit_metadata(struct och_buf *buf, const struct ochre_hit *hit)
{
    if (hit->metadata.n_fields == 0 && hit->uri.data != NULL)
        och_buf_put_text(buf, "{}");
    else
        och_wire_put_metadata(buf, &hit->metadata);
}

/* What one record shows of a column; 0 is its id. */
static void
put_cell(struct och_buf *buf, const struct och_result *result, const struct ochre_hit *hit,
        unsigned column)
{
    if (column == OCHRE_INCLUDE_DOCUMENTS)
        och_json_put_string(buf, hit->document);
    else if (column == OCHRE_INCLUDE_METADATAS)
        put_hit_metadata(buf, hit);
    else if (column == OCHRE_INCLUDE_EMBEDDINGS)
        put_vector(buf, hit->embedding, result->dim);
    else if (column == OCHRE_INCLUDE_URIS)
        och_json_put_string(buf, hit->uri);
    else if (column == OCHRE_INCLUDE_DISTANCES)
        och_json_put_f32(buf, hit->distance);
    else
        och_json_put_string(buf, hit->id);
}

static void
put_cells(struct och_buf *buf, const struct och_result *result, size_t list, unsigned column)
{
    och_buf_put_u8(buf, '[');
    for (size_t i = 0; list < result->n_lists && i < result->lists[list].n; i++) {
        put_comma(buf, i);
        put_cell(buf, result, &result->lists[list].hits[i], column);
    }
    och_buf_put_u8(buf, ']');
}

/* A column of a get: one list; or of a query: a list of them. */
static void
put_column(struct och_buf *buf, const struct och_result *result, unsigned column, bool is_query)
{
    if (!is_query) {
        put_cells(buf, result, 0, column);
        return;
    }
    och_buf_put_u8(buf, '[');
    for (size_t list = 0; list < result->n_lists; list++) {
        put_comma(buf, list);
        put_cells(buf, result, list, column);
    }
    och_buf_put_u8(buf, ']');
}

/* --- how it was done --------------------------------------------------------- */

static const char *
plan_word(ochre_plan plan)
{
    switch (plan) {
    case OCHRE_PLAN_EMPTY:
        return "empty";
    case OCHRE_PLAN_EXACT_GATHER:
        return "exact_gather";
    case OCHRE_PLAN_EXACT_SCAN:
        return "exact_scan";
    case OCHRE_PLAN_GRAPH:
        return "graph";
    case OCHRE_PLAN_GRAPH_FILTERED:
        return "graph_filtered";
    }
    och_assert_failed("every plan has its word", __FILE__, __LINE__);
}

static const char *
source_word(ochre_source_kind kind)
{
    switch (kind) {
    case OCHRE_SOURCE_HEAD:
        return "head";
    case OCHRE_SOURCE_FLAT:
        return "flat";
    case OCHRE_SOURCE_GRAPH:
        return "graph";
    }
    och_assert_failed("every kind of source has its word", __FILE__, __LINE__);
}

static void
put_count(struct och_buf *buf, const char *key, uint64_t n)
{
    och_buf_put_text(buf, key);
    och_json_put_uint(buf, n);
}

static void
put_explain_source(struct och_buf *buf, const struct ochre_explain_source *source)
{
    och_buf_put_text(buf, "{\"kind\":");
    och_json_put_text(buf, source_word(source->kind));
    och_buf_put_text(buf, ",\"plan\":");
    och_json_put_text(buf, plan_word(source->plan));
    put_count(buf, ",\"rows\":", source->rows);
    put_count(buf, ",\"matches\":", source->matches);
    och_buf_put_text(buf, ",\"estimated_cost_us\":");
    och_json_put_f64(buf, source->estimated_cost_us);
    put_count(buf, ",\"n_distances\":", source->n_distances);
    put_count(buf, ",\"n_estimates\":", source->n_estimates);
    put_count(buf, ",\"n_hops\":", source->n_hops);
    put_count(buf, ",\"effort\":", source->effort);
    och_buf_put_text(buf, ",\"elapsed_us\":");
    och_json_put_f64(buf, source->elapsed_us);
    och_buf_put_u8(buf, '}');
}

static void
put_explain(struct och_buf *buf, const struct ochre_explain *explain)
{
    och_buf_put_text(buf, "{\"plan\":");
    och_json_put_text(buf, plan_word(explain->plan));
    och_buf_put_text(buf, ",\"recall_target\":");
    och_json_put_f32(buf, explain->recall_target);
    och_buf_put_text(buf, ",\"sources\":[");
    for (size_t i = 0; i < explain->n_sources; i++) {
        put_comma(buf, i);
        put_explain_source(buf, &explain->sources[i]);
    }
    och_buf_put_text(buf, "]}");
}

static void
put_explains(struct och_buf *buf, const struct och_result *result)
{
    och_buf_put_text(buf, ",\"explain\":[");
    for (size_t i = 0; i < result->n_lists; i++) {
        put_comma(buf, i);
        put_explain(buf, &result->explains[i]);
    }
    och_buf_put_u8(buf, ']');
}

/* --- results ----------------------------------------------------------------- */

/* Room for what is surely written, so that the buffer need not grow step by step. */
static void
reserve_texts(struct och_buf *buf, const struct och_result *result)
{
    size_t size = 0;
    for (size_t list = 0; list < result->n_lists; list++) {
        for (size_t i = 0; i < result->lists[list].n; i++) {
            const struct ochre_hit *hit = &result->lists[list].hits[i];
            size += hit->id.size + hit->document.size;
        }
    }
    (void) och_buf_reserve(buf, size); /* a refusal sticks to the buffer */
}

static void
put_result(struct och_buf *buf, const struct och_result *result,
        const struct och_wire_include *include, bool is_query)
{
    static const struct {
        const char *key;
        unsigned column;
    } columns[] = {
            {",\"embeddings\":", OCHRE_INCLUDE_EMBEDDINGS},
            {",\"documents\":", OCHRE_INCLUDE_DOCUMENTS},
            {",\"uris\":", OCHRE_INCLUDE_URIS},
            {",\"metadatas\":", OCHRE_INCLUDE_METADATAS},
            {",\"distances\":", OCHRE_INCLUDE_DISTANCES},
    };
    /* Only a query has distances. */
    size_t n_columns = sizeof(columns) / sizeof(columns[0]) - (is_query ? 0 : 1);
    reserve_texts(buf, result);
    och_buf_put_text(buf, "{\"ids\":");
    put_column(buf, result, 0, is_query);
    for (size_t i = 0; i < n_columns; i++) {
        och_buf_put_text(buf, columns[i].key);
        if ((include->mask & columns[i].column) != 0)
            put_column(buf, result, columns[i].column, is_query);
        else
            och_buf_put_text(buf, null_text);
    }
    och_buf_put_text(buf, ",\"include\":[");
    for (size_t i = 0; i < include->n; i++) {
        put_comma(buf, i);
        och_json_put_text(buf, och_wire_include_word(include->words[i]));
    }
    och_buf_put_u8(buf, ']');
    if (result->explains != NULL)
        put_explains(buf, result);
}

unsigned
och_wire_columns(unsigned include)
{
    bool shows_metadata = (include & OCHRE_INCLUDE_METADATAS) != 0;
    return shows_metadata ? include | OCHRE_INCLUDE_URIS : include;
}

void
och_wire_put_get(struct och_buf *buf, const struct och_result *result,
        const struct och_wire_include *include, bool pages)
{
    put_result(buf, result, include, false);
    if (pages) {
        och_buf_put_text(buf, ",\"cursor\":");
        och_json_put_string(buf, result->cursor); /* null without data */
    }
    och_buf_put_u8(buf, '}');
}

void
och_wire_put_query(struct och_buf *buf, const struct och_result *result,
        const struct och_wire_include *include)
{
    put_result(buf, result, include, true);
    och_buf_put_u8(buf, '}');
}

/* --- catalog ----------------------------------------------------------------- */

static void
put_uuid(struct och_buf *buf, struct och_uuid id)
{
    char text[OCH_UUID_TEXT_SIZE + 1];
    och_uuid_put(id, text);
    och_json_put_text(buf, text);
}

void
och_wire_put_collection(struct och_buf *buf, const struct och_collection_info *info)
{
    och_buf_put_text(buf, "{\"id\":");
    put_uuid(buf, info->row.id);
    och_buf_put_text(buf, ",\"name\":");
    och_json_put_string(buf, info->row.name);
    och_buf_put_text(buf, ",\"configuration_json\":");
    och_schema_put_configuration(buf, info->schema);
    och_buf_put_text(buf, ",\"schema\":");
    och_schema_put(buf, info->schema, info->keys, info->n_keys);
    och_buf_put_text(buf, ",\"metadata\":");
    och_wire_put_metadata(buf, &info->metadata);
    och_buf_put_text(buf, ",\"dimension\":");
    if (info->dim == 0)
        och_buf_put_text(buf, null_text);
    else
        och_json_put_uint(buf, info->dim);
    och_buf_put_text(buf, ",\"tenant\":");
    och_json_put_string(buf, info->row.tenant);
    och_buf_put_text(buf, ",\"database\":");
    och_json_put_string(buf, info->row.database);
    /* The reference's single node answers 0 for both, whatever was written. */
    och_buf_put_text(buf, ",\"log_position\":0,\"version\":0}");
}

void
och_wire_put_collections(struct och_buf *buf, const struct och_collection_info *infos, size_t n)
{
    och_buf_put_u8(buf, '[');
    for (size_t i = 0; i < n; i++) {
        put_comma(buf, i);
        och_wire_put_collection(buf, &infos[i]);
    }
    och_buf_put_u8(buf, ']');
}

void
och_wire_put_tenant(struct och_buf *buf, struct ochre_bytes name, struct ochre_bytes resource_name)
{
    och_buf_put_text(buf, "{\"name\":");
    och_json_put_string(buf, name);
    och_buf_put_text(buf, ",\"resource_name\":");
    och_json_put_string(buf, resource_name);
    och_buf_put_u8(buf, '}');
}

void
och_wire_put_database(struct och_buf *buf, const struct och_database_row *row)
{
    och_buf_put_text(buf, "{\"id\":");
    put_uuid(buf, row->id);
    och_buf_put_text(buf, ",\"name\":");
    och_json_put_string(buf, row->name);
    och_buf_put_text(buf, ",\"tenant\":");
    och_json_put_string(buf, row->tenant);
    och_buf_put_u8(buf, '}');
}

void
och_wire_put_databases(struct och_buf *buf, const struct och_database_row *rows, size_t n)
{
    och_buf_put_u8(buf, '[');
    for (size_t i = 0; i < n; i++) {
        put_comma(buf, i);
        och_wire_put_database(buf, &rows[i]);
    }
    och_buf_put_u8(buf, ']');
}

/* Operations that wait for an index.  An operation may have written many rows or
 * none, so the share of the rows is taken: none exactly when no row waits. */
static uint64_t
unindexed_operations(const struct och_index_status *status)
{
    if (status->unindexed_rows == 0 || status->n_operations == 0)
        return 0;
    if (status->unindexed_rows >= status->rows)
        return status->n_operations;
    double n_all = (double) status->n_operations;
    double n = n_all * ((double) status->unindexed_rows / (double) status->rows);
    if (n >= n_all) /* rounded */
        return status->n_operations;
    return n < 1 ? 1 : (uint64_t) n;
}

void
och_wire_put_index_status(struct och_buf *buf, const struct och_index_status *status)
{
    uint64_t n_waiting = unindexed_operations(status);
    uint64_t n_indexed = status->n_operations - n_waiting;
    float progress = 1;
    if (n_waiting > 0)
        progress = (float) ((double) n_indexed / (double) status->n_operations);
    if (n_waiting > 0 && progress >= 1) /* rounded; whoever waits for 1 must go on */
        progress = nextafterf(1, 0);
    och_buf_put_text(buf, "{\"op_indexing_progress\":");
    och_json_put_f32(buf, progress);
    put_count(buf, ",\"num_unindexed_ops\":", n_waiting);
    put_count(buf, ",\"num_indexed_ops\":", n_indexed);
    put_count(buf, ",\"total_ops\":", status->n_operations);
    put_count(buf, ",\"unindexed_rows\":", status->unindexed_rows);
    put_count(buf, ",\"segments\":", status->n_segments);
    put_count(buf, ",\"graph_segments\":", status->n_graph_segments);
    och_buf_put_text(buf, ",\"recall_target\":");
    och_json_put_f32(buf, status->recall_target);
    if (status->is_measured) {
        och_buf_put_text(buf, ",\"measured_recall\":");
        och_json_put_f32(buf, status->measured_recall);
        put_count(buf, ",\"effort\":", status->effort);
    } else {
        och_buf_put_text(buf, ",\"measured_recall\":null,\"effort\":null");
    }
    put_count(buf, ",\"audited_queries\":", status->n_audited);
    och_buf_put_text(buf, ",\"audited_recall\":");
    if (status->audited_recall < 0)
        och_buf_put_text(buf, "null");
    else
        och_json_put_f32(buf, status->audited_recall);
    och_buf_put_u8(buf, '}');
}
