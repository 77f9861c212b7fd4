#include "api/backup.h"
#include "api/backup_stream.h"
#include "api/stats.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "engine/catalog.h"
#include "http/routes_internal.h"

och_http_outcome
och_route_heartbeat(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    och_buf_put_text(call.out, "{\"nanosecond heartbeat\":");
    och_json_put_uint(call.out, och_op_heartbeat_ns(call.db));
    och_buf_put_u8(call.out, '}');
    return och_call_end(&call);
}

/* The version of the API, which is what the reference answers here, not ours. */
och_http_outcome
och_route_version(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    return och_call_end_with(&call, 200, "\"1.0.0\"");
}

/* Requests are served from when the database is open until it closes. */
och_http_outcome
och_route_healthcheck(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    if (call.db == NULL)
        return och_call_end_with(
                &call, 503, "{\"is_executor_ready\":false,\"is_log_client_ready\":false}");
    return och_call_end_with(
            &call, 200, "{\"is_executor_ready\":true,\"is_log_client_ready\":true}");
}

och_http_outcome
och_route_pre_flight(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    och_buf_put_text(call.out, "{\"max_batch_size\":");
    och_json_put_uint(call.out, OCH_BATCH_ADVERTISED);
    och_buf_put_text(call.out, ",\"supports_base64_encoding\":true}");
    return och_call_end(&call);
}

och_http_outcome
och_route_identity(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    return och_call_end_with(&call, 200,
            "{\"user_id\":\"\",\"tenant\":\"" OCH_DEFAULT_TENANT
            "\",\"databases\":[\"" OCH_DEFAULT_DATABASE "\"]}");
}

och_http_outcome
och_route_reset(void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    call.status = och_op_reset(call.db, &call.err);
    return och_call_end_with(&call, 200, "true");
}

och_http_outcome
och_route_compact(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    call.status = och_op_compact(call.db, &call.err);
    return och_call_end_with(&call, 200, "{}");
}

och_http_outcome
och_route_purge(void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    uint64_t n_pins = 0;
    /* Counted first: when that fails, nothing has been done. */
    call.status = och_op_pin_count(call.db, &n_pins, &call.err);
    if (och_call_goes_on(&call))
        call.status = och_op_purge(call.db, &call.err);
    if (!och_call_goes_on(&call) || n_pins == 0)
        return och_call_end_with(&call, 200, "{}");
    och_buf_put_text(call.out, "{\"pins\":"); /* what these show is kept */
    och_json_put_uint(call.out, n_pins);
    och_buf_put_u8(call.out, '}');
    return och_call_end(&call);
}

och_http_outcome
och_route_stats(void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_stats stats;
    call.status = och_op_stats(call.db, call.arena, &stats, &call.err);
    if (och_call_goes_on(&call))
        och_stats_put_json(call.out, &stats);
    return och_call_end(&call);
}

/* Ours, and not below /api/v2, whose names are the reference's to give.  It takes no
 * path: where backups go is for whoever starts the server to say. */
och_http_outcome
och_route_backup(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_backup_totals totals;
    call.status = och_op_backup(call.db, &totals, &call.err);
    if (!och_call_goes_on(&call))
        return och_call_end(&call);
    const struct {
        const char *name;
        uint64_t value;
    } members[] = {{"{\"files\":", totals.n_files}, {",\"bytes\":", totals.n_bytes},
            {",\"files_copied\":", totals.n_files_copied},
            {",\"bytes_copied\":", totals.n_bytes_copied}, {",\"made_unix_s\":", totals.made_s}};
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        och_buf_put_text(call.out, members[i].name);
        och_json_put_uint(call.out, members[i].value);
    }
    och_buf_put_u8(call.out, '}');
    return och_call_end(&call);
}

static ochre_status
read_backup(void *context, void *bytes, size_t room, size_t *n_out, struct ochre_error *err)
{
    return och_backup_stream_read(context, bytes, room, n_out, err);
}

static void
close_backup(void *context)
{
    och_backup_stream_close(context);
}

/* The whole backup as the answer.  It names no place, and so needs no --backup-dir; who
 * may ask can read all records anyway.  HEAD makes none. */
och_http_outcome
och_route_backup_stream(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct och_call call = och_call_begin(context, request, response);
    struct och_backup_stream *stream = NULL;
    if (request->method == OCH_HTTP_HEAD) {
        response->content_type = "application/octet-stream";
        return OCH_HTTP_DONE;
    }
    call.status = och_op_backup_stream(call.db, &stream, &call.err);
    if (!och_call_goes_on(&call))
        return och_call_end(&call);
    response->content_type = "application/octet-stream";
    response->stream = (struct och_http_stream){.size = och_backup_stream_size(stream),
            .read = read_backup,
            .close = close_backup,
            .context = stream};
    return OCH_HTTP_DONE;
}

och_http_outcome
och_route_v1(void *context, struct och_http_request *request, struct och_http_response *response)
{
    (void) context;
    (void) request;
    och_http_error(response, 410, och_http_error_name(410),
            "The v1 API is deprecated. Please use /v2 apis");
    return OCH_HTTP_DONE;
}
