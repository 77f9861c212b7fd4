#include "api/db.h"
#include "base/buf.h"
#include "base/json.h"
#include "engine/collection.h"
#include "engine/result.h"
#include "http/routes_internal.h"
#include "http/routes_kind.h"
#include "wire/json_read.h"
#include "wire/json_records.h"
#include "wire/json_response.h"
#include "wire/json_search.h"

/* --- writes ------------------------------------------------------------------ */

static och_http_outcome
write_records(struct och_call call, enum och_write_op op, unsigned http_status)
{
    struct och_write_input input;
    struct och_written written = {.position = 0};
    call.status = och_wire_read_records(call.arena, call.request->body, op, &input, &call.err);
    struct och_target target = och_call_target(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_write(call.db, &target, op, &input, &written, &call.err);
    och_call_put_position(&call, written.position);
    return och_call_end_with(&call, http_status, "{}");
}

och_http_outcome
och_route_add(void *context, struct och_http_request *request, struct och_http_response *response)
{
    return write_records(och_call_begin(context, request, response), OCH_WRITE_ADD, 201);
}

och_http_outcome
och_route_update(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    return write_records(och_call_begin(context, request, response), OCH_WRITE_UPDATE, 200);
}

och_http_outcome
och_route_upsert(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    return write_records(och_call_begin(context, request, response), OCH_WRITE_UPSERT, 200);
}

och_http_outcome
och_route_delete(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_wire_delete body;
    struct och_written written = {.position = 0};
    call.status = och_wire_read_delete(call.arena, request->body, &body, &call.err);
    struct och_target target = och_call_target(&call);
    if (och_call_goes_on(&call))
        call.status =
                och_op_delete(call.db, &target, &body.select, body.limit, &written, &call.err);
    och_call_put_position(&call, written.position);
    if (och_call_goes_on(&call)) {
        och_buf_put_text(call.out, "{\"deleted\":");
        och_json_put_uint(call.out, written.n_deleted);
        och_buf_put_u8(call.out, '}');
    }
    return och_call_end(&call);
}

/* --- reads ------------------------------------------------------------------- */

/* A body that is wrong is decoded once more, by the handler, which has an answer
 * to put the error in. */
uint64_t
och_route_get_kind(void *context, struct och_http_request *request)
{
    struct ochre_bytes text = request->params[OCH_PARAM_COLLECTION];
    struct och_uuid collection;
    struct och_wire_get *get = och_arena_take(&request->arena, sizeof(*get));
    (void) context;
    if (get == NULL || !och_uuid_parse(text.data, text.size, &collection) ||
            och_wire_read_get(&request->arena, request->body, get, NULL) != OCHRE_OK)
        return OCH_HTTP_KIND_NONE;
    request->decoded = get;
    return och_kind_of_get(&collection, get);
}

uint64_t
och_route_query_kind(void *context, struct och_http_request *request)
{
    struct ochre_bytes text = request->params[OCH_PARAM_COLLECTION];
    struct och_uuid collection;
    struct och_wire_query *query = och_arena_take(&request->arena, sizeof(*query));
    (void) context;
    if (query == NULL || !och_uuid_parse(text.data, text.size, &collection) ||
            och_wire_read_query(&request->arena, request->body, query, NULL) != OCHRE_OK)
        return OCH_HTTP_KIND_NONE;
    request->decoded = query;
    return och_kind_of_query(&collection, query);
}

/* Of a read whose body names none: the position in the query string, as count has it, in
 * *from_query; NULL when there is none either. */
static const uint64_t *
past_of(struct och_call *call, const uint64_t *from_body, uint64_t *from_query)
{
    if (from_body != NULL || !och_call_query_position(call, "as_of", from_query))
        return from_body;
    return from_query;
}

och_http_outcome
och_route_get(void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_result *result = NULL;
    struct och_wire_get decoded, *body = request->decoded;
    uint64_t as_of = 0;
    if (body == NULL) {
        body = &decoded;
        call.status = och_wire_read_get(call.arena, request->body, body, &call.err);
    }
    body->input.include = och_wire_columns(body->include.mask);
    if (och_call_goes_on(&call))
        body->input.as_of = past_of(&call, body->input.as_of, &as_of);
    struct och_target target = och_call_target(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_get(call.db, &target, &body->input, &result, &call.err);
    if (och_call_goes_on(&call)) {
        och_call_put_position(&call, result->snapshot.facts.position);
        och_wire_put_get(call.out, result, &body->include, body->input.pages);
    }
    och_result_release(result);
    return och_call_end(&call);
}

och_http_outcome
och_route_query(void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_result *result = NULL;
    struct och_wire_query decoded, *body = request->decoded;
    uint64_t as_of = 0;
    if (body == NULL) {
        body = &decoded;
        call.status = och_wire_read_query(call.arena, request->body, body, &call.err);
    }
    body->input.include = och_wire_columns(body->include.mask);
    if (och_call_goes_on(&call))
        body->input.as_of = past_of(&call, body->input.as_of, &as_of);
    struct och_target target = och_call_target(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_query(call.db, &target, &body->input, &result, &call.err);
    if (och_call_goes_on(&call)) {
        och_call_put_position(&call, result->snapshot.facts.position);
        och_wire_put_query(call.out, result, &body->include);
    }
    och_result_release(result);
    return och_call_end(&call);
}

och_http_outcome
och_route_count(void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    uint64_t count = 0, position = 0, as_of = 0;
    och_call_query_read_level(&call);
    bool is_past = och_call_query_position(&call, "as_of", &as_of);
    struct och_target target = och_call_target(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_count(
                call.db, &target, is_past ? &as_of : NULL, &count, &position, &call.err);
    och_call_put_position(&call, position);
    if (och_call_goes_on(&call))
        och_json_put_uint(call.out, count);
    return och_call_end(&call);
}

uint64_t
och_route_count_kind(void *context, struct och_http_request *request)
{
    const struct och_routes_context *routes = context;
    struct ochre_bytes text = request->params[OCH_PARAM_COLLECTION];
    struct och_uuid id;
    if (!och_uuid_parse(text.data, text.size, &id))
        return OCH_HTTP_KIND_SHORT; /* the answer is an error */
    struct och_collection *collection = och_engine_loaded(routes->db->engine, id);
    if (collection == NULL)
        return OCH_HTTP_KIND_NONE;
    och_collection_release(collection);
    return OCH_HTTP_KIND_SHORT;
}

och_http_outcome
och_route_indexing_status(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_target target = och_call_target(&call);
    struct och_index_status status;
    if (och_call_goes_on(&call))
        call.status = och_op_index_status(call.db, &target, &status, &call.err);
    if (och_call_goes_on(&call))
        och_wire_put_index_status(call.out, &status);
    return och_call_end(&call);
}

och_http_outcome
och_route_search(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct ochre_error deferred;
    call.status = och_wire_read_search(call.arena, request->body, &deferred, &call.err);
    struct och_target target = och_call_target(&call);
    och_call_check_collection(&call, &target);
    if (och_call_goes_on(&call)) {
        call.err = deferred;
        call.status = deferred.status;
    }
    return och_call_end(&call);
}
