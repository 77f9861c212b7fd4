#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "http/routes_internal.h"
#include "wire/json_catalog.h"
#include "wire/json_response.h"

static const char empty_object[] = "{}";

/* A body of one required string. */
static struct ochre_bytes
read_string(struct och_call *call, const char *name)
{
    struct ochre_bytes value = {0};
    if (och_call_goes_on(call))
        call->status = och_wire_read_strings(
                call->arena, call->request->body, &name, 1, &value, &call->err);
    return value;
}

static struct ochre_bytes
param(const struct och_call *call, unsigned i)
{
    return call->request->params[i];
}

/* --- tenants ----------------------------------------------------------------- */

och_http_outcome
och_route_tenant_create(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct ochre_bytes name = read_string(&call, "name");
    if (och_call_goes_on(&call))
        call.status = och_op_tenant_create(call.db, name, &call.err);
    return och_call_end_with(&call, 200, empty_object);
}

och_http_outcome
och_route_tenant_get(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct ochre_bytes name = param(&call, OCH_PARAM_TENANT), resource_name = {0};
    call.status = och_op_tenant_get(call.db, call.arena, name, &resource_name, &call.err);
    /* A resource name is for lookups of collections; the reference never shows
     * one, and its clients are tested against that. */
    if (och_call_goes_on(&call))
        och_wire_put_tenant(call.out, name, (struct ochre_bytes){0});
    return och_call_end(&call);
}

och_http_outcome
och_route_tenant_update(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct ochre_bytes resource_name = read_string(&call, "resource_name");
    if (och_call_goes_on(&call))
        call.status = och_op_tenant_update(
                call.db, param(&call, OCH_PARAM_TENANT), resource_name, &call.err);
    return och_call_end_with(&call, 200, empty_object);
}

/* --- databases --------------------------------------------------------------- */

och_http_outcome
och_route_database_create(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct ochre_bytes name = read_string(&call, "name");
    if (och_call_goes_on(&call))
        call.status =
                och_op_database_create(call.db, param(&call, OCH_PARAM_TENANT), name, &call.err);
    return och_call_end_with(&call, 200, empty_object);
}

och_http_outcome
och_route_database_get(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_database_row row;
    och_call_check_database(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_database_get(call.db, call.arena, param(&call, OCH_PARAM_TENANT),
                param(&call, OCH_PARAM_DATABASE), &row, &call.err);
    if (och_call_goes_on(&call))
        och_wire_put_database(call.out, &row);
    return och_call_end(&call);
}

och_http_outcome
och_route_database_list(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_database_row *rows = NULL;
    uint64_t limit = UINT64_MAX, offset = 0;
    size_t n = 0;
    och_call_query_natural(&call, "limit", &limit);
    och_call_query_natural(&call, "offset", &offset);
    if (och_call_goes_on(&call))
        call.status = och_op_database_list(call.db, call.arena, param(&call, OCH_PARAM_TENANT),
                limit, offset, &rows, &n, &call.err);
    if (och_call_goes_on(&call))
        och_wire_put_databases(call.out, rows, n);
    return och_call_end(&call);
}

/* No check of the name here: one that cannot be is not found, as any other. */
och_http_outcome
och_route_database_delete(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    call.status = och_op_database_delete(
            call.db, param(&call, OCH_PARAM_TENANT), param(&call, OCH_PARAM_DATABASE), &call.err);
    return och_call_end_with(&call, 200, empty_object);
}

/* --- collections ------------------------------------------------------------- */

static och_http_outcome
end_with_collection(struct och_call *call, const struct och_collection_info *info)
{
    if (och_call_goes_on(call))
        och_wire_put_collection(call->out, info);
    return och_call_end(call);
}

och_http_outcome
och_route_collection_create(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_collection_info info;
    struct och_create create;
    call.status = och_wire_read_create(call.arena, request->body, &create, &call.err);
    create.tenant = param(&call, OCH_PARAM_TENANT);
    create.database = param(&call, OCH_PARAM_DATABASE);
    och_call_check_database(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_collection_create(call.db, call.arena, &create, &info, &call.err);
    return end_with_collection(&call, &info);
}

och_http_outcome
och_route_collection_get(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_collection_info info;
    och_call_check_database(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_collection_get(call.db, call.arena, param(&call, OCH_PARAM_TENANT),
                param(&call, OCH_PARAM_DATABASE), param(&call, OCH_PARAM_COLLECTION), &info,
                &call.err);
    return end_with_collection(&call, &info);
}

och_http_outcome
och_route_collection_get_by_id(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_collection_info info;
    struct och_target target = och_call_target(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_collection_get_by_id(call.db, call.arena, &target, &info, &call.err);
    return end_with_collection(&call, &info);
}

och_http_outcome
och_route_collection_get_by_crn(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_collection_info info;
    call.status =
            och_op_collection_get_by_crn(call.db, call.arena, request->params[0], &info, &call.err);
    return end_with_collection(&call, &info);
}

och_http_outcome
och_route_collection_list(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_collection_info *infos = NULL;
    uint64_t limit = UINT64_MAX, offset = 0;
    size_t n = 0;
    och_call_query_natural(&call, "limit", &limit);
    och_call_query_natural(&call, "offset", &offset);
    och_call_check_database(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_collection_list(call.db, call.arena, param(&call, OCH_PARAM_TENANT),
                param(&call, OCH_PARAM_DATABASE), limit, offset, &infos, &n, &call.err);
    if (och_call_goes_on(&call))
        och_wire_put_collections(call.out, infos, n);
    return och_call_end(&call);
}

och_http_outcome
och_route_collection_count(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    uint64_t count = 0;
    och_call_check_database(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_collection_count(call.db, param(&call, OCH_PARAM_TENANT),
                param(&call, OCH_PARAM_DATABASE), &count, &call.err);
    if (och_call_goes_on(&call))
        och_json_put_uint(call.out, count);
    return och_call_end(&call);
}

och_http_outcome
och_route_collection_update(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_update update;
    call.status = och_wire_read_update(call.arena, request->body, &update, &call.err);
    struct och_target target = och_call_target(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_collection_update(call.db, &target, &update, &call.err);
    return och_call_end_with(&call, 200, empty_object);
}

och_http_outcome
och_route_collection_delete(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    och_call_check_database(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_collection_delete(call.db, param(&call, OCH_PARAM_TENANT),
                param(&call, OCH_PARAM_DATABASE), param(&call, OCH_PARAM_COLLECTION), &call.err);
    return och_call_end_with(&call, 200, empty_object);
}

och_http_outcome
och_route_fork(void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_collection_info info;
    struct ochre_bytes name = read_string(&call, "new_name");
    struct och_target target = och_call_target(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_collection_fork(call.db, call.arena, &target, name, &info, &call.err);
    return end_with_collection(&call, &info);
}

och_http_outcome
och_route_fork_count(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    uint64_t count = 0;
    struct och_target target = och_call_target(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_collection_fork_count(call.db, &target, &count, &call.err);
    if (och_call_goes_on(&call)) {
        och_buf_put_text(call.out, "{\"count\":");
        och_json_put_uint(call.out, count);
        och_buf_put_u8(call.out, '}');
    }
    return och_call_end(&call);
}

/* --- pins -------------------------------------------------------------------- */

static void
put_pin(struct och_buf *out, const struct och_pin_info *info)
{
    const struct {
        const char *name;
        uint64_t value;
    } members[] = {{",\"position\":", info->position},
            {",\"created_unix_s\":", info->created_unix_s}, {",\"bytes\":", info->n_bytes}};
    och_buf_put_text(out, "{\"name\":");
    och_json_put_string(out, info->name);
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        och_buf_put_text(out, members[i].name);
        och_json_put_uint(out, members[i].value);
    }
    och_buf_put_u8(out, '}');
}

och_http_outcome
och_route_pin(void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_pin_info info = {.position = 0};
    struct ochre_bytes name = {NULL, 0};
    if (request->body.size > 0)
        call.status = och_wire_read_pin(call.arena, request->body, &name, &call.err);
    struct och_target target = och_call_target(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_pin(call.db, call.arena, &target, name, &info, &call.err);
    if (och_call_goes_on(&call)) {
        put_pin(call.out, &info);
        och_call_put_position(&call, info.position);
    }
    return och_call_end(&call);
}

och_http_outcome
och_route_pin_list(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_pin_info *infos = NULL;
    size_t n = 0;
    struct och_target target = och_call_target(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_pin_list(call.db, call.arena, &target, &infos, &n, &call.err);
    och_buf_put_u8(call.out, '[');
    for (size_t i = 0; och_call_goes_on(&call) && i < n; i++) {
        if (i > 0)
            och_buf_put_u8(call.out, ',');
        put_pin(call.out, &infos[i]);
    }
    och_buf_put_u8(call.out, ']');
    return och_call_end(&call);
}

och_http_outcome
och_route_unpin(void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_target target = och_call_target(&call);
    if (och_call_goes_on(&call))
        call.status = och_op_unpin(call.db, &target, param(&call, OCH_PARAM_PIN), &call.err);
    return och_call_end_with(&call, 200, empty_object);
}

/* --- what collections cannot do yet ------------------------------------------ */

/* The body is one of these strings, the collection exists, the feature does not. */
static och_http_outcome
end_unsupported(struct och_call *call, const char *const *names, unsigned n, const char *feature)
{
    struct ochre_bytes values[OCH_HTTP_PARAMS_MAX];
    och_assert(n <= OCH_HTTP_PARAMS_MAX);
    if (och_call_goes_on(call) && n > 0)
        call->status = och_wire_read_strings(
                call->arena, call->request->body, names, n, values, &call->err);
    struct och_target target = och_call_target(call);
    och_call_check_collection(call, &target);
    if (och_call_goes_on(call))
        call->status =
                och_fail(&call->err, OCHRE_UNSUPPORTED, "%s is not implemented yet", feature);
    return och_call_end(call);
}

och_http_outcome
och_route_function_attach(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    static const char *const names[] = {"name", "function_id", "output_collection"};
    struct och_call call = och_call_begin(context, request, response);
    return end_unsupported(&call, names, 3, "attaching a function");
}

/* None can be attached, so none is found. */
och_http_outcome
och_route_function_get(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_target target = och_call_target(&call);
    och_call_check_collection(&call, &target);
    if (och_call_goes_on(&call))
        call.status = och_fail(&call.err, OCHRE_NOT_FOUND, "Attached function not found");
    return och_call_end(&call);
}

och_http_outcome
och_route_function_detach(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    call.status = och_wire_read_detach(call.arena, request->body, &call.err);
    return end_unsupported(&call, NULL, 0, "detaching a function");
}

och_http_outcome
och_route_function_add_input(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    static const char *const names[] = {"input_collection_id"};
    struct och_call call = och_call_begin(context, request, response);
    return end_unsupported(&call, names, 1, "adding an input to a function");
}

/* The name is what the clients look for to say that a server has no transactions. */
och_http_outcome
och_route_conditional(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    (void) context;
    (void) request;
    och_http_error(response, 501, "TransactionsNotSupported",
            "conditional transactions are not implemented yet");
    return OCH_HTTP_DONE;
}
