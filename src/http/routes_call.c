#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "base/uuid.h"
#include "http/routes_internal.h"
#include "wire/json_error.h"

struct och_call
och_call_begin(void *context, struct och_http_request *request, struct och_http_response *response)
{
    const struct och_routes_context *routes = context;
    return (struct och_call){.db = routes->db,
            .request = request,
            .response = response,
            .arena = &request->arena,
            .out = &response->body,
            .status = OCHRE_OK};
}

/* --- answering --------------------------------------------------------------- */

static void
answer_error(struct och_call *call)
{
    struct och_wire_error error = och_wire_error_of(call->status);
    /* A refused allocation may come without words; a long message may have been
     * cut in the middle of a character. */
    bool has_message = call->err.status == call->status;
    const char *message = has_message ? call->err.message : ochre_status_name(call->status);
    int size = (int) och_utf8_valid_size(message, strlen(message));
    och_http_error(call->response, error.status, error.name, "%.*s", size, message);
    if (error.retry)
        och_http_add_header(call->response, "retry-after", "1");
}

och_http_outcome
och_call_end(struct och_call *call)
{
    if (!och_call_goes_on(call))
        answer_error(call);
    return OCH_HTTP_DONE;
}

och_http_outcome
och_call_end_with(struct och_call *call, unsigned http_status, const char *body)
{
    if (!och_call_goes_on(call))
        return och_call_end(call);
    call->response->status = http_status;
    och_buf_put_text(call->out, body);
    return OCH_HTTP_DONE;
}

/* --- the query string -------------------------------------------------------- */

/* The one value of a parameter; false when it is not there, or not once. */
static bool
query_value(struct och_call *call, const char *name, struct ochre_bytes *value_out)
{
    size_t n = 0;
    if (!och_call_goes_on(call))
        return false;
    call->status = och_http_query_get(call->request, name, value_out, &n);
    if (och_call_goes_on(call) && n > 1)
        call->status = och_fail(&call->err, OCHRE_INVALID,
                "the query string has the parameter '%s' %zu times", name, n);
    return och_call_goes_on(call) && n == 1;
}

/* Decimal digits and nothing else, up to `max`. */
static bool
natural_of(struct ochre_bytes text, uint64_t max, uint64_t *value_out)
{
    enum { DIGITS_MAX = 20 };
    uint64_t value = 0;
    if (text.size == 0 || text.size > DIGITS_MAX)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        uint64_t digit = (uint64_t) (text.data[i] - '0');
        if (value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *value_out = value;
    return true;
}

/* A number up to `max`; false when it is not there, or wrong. */
static bool
query_natural(struct och_call *call, const char *name, uint64_t max, uint64_t *value)
{
    struct ochre_bytes text;
    if (!query_value(call, name, &text))
        return false;
    if (natural_of(text, max, value))
        return true;
    call->status = och_fail(&call->err, OCHRE_INVALID,
            "the query parameter '%s' must be a whole number from 0 to %llu", name,
            (unsigned long long) max);
    return false;
}

void
och_call_query_natural(struct och_call *call, const char *name, uint64_t *value)
{
    (void) query_natural(call, name, UINT32_MAX, value);
}

bool
och_call_query_position(struct och_call *call, const char *name, uint64_t *value_out)
{
    return query_natural(call, name, UINT64_MAX, value_out);
}

void
och_call_put_position(struct och_call *call, uint64_t position)
{
    char *text = call->response->position; /* a write that is done needs no memory for it */
    if (!och_call_goes_on(call))
        return;
    (void) snprintf(text, sizeof(call->response->position), "%llu", (unsigned long long) position);
    och_http_add_header(call->response, "ochre-position", text);
}

void
och_call_query_read_level(struct och_call *call)
{
    struct ochre_bytes text;
    if (!query_value(call, "read_level", &text) || och_bytes_is(text, "index_and_wal") ||
            och_bytes_is(text, "index_only") || och_bytes_is(text, "index_and_bounded_wal"))
        return;
    call->status = och_fail(&call->err, OCHRE_INVALID,
            "the query parameter 'read_level' must be 'index_and_wal', 'index_only' or "
            "'index_and_bounded_wal'");
}

/* --- the path ---------------------------------------------------------------- */

void
och_call_check_database(struct och_call *call)
{
    if (!och_call_goes_on(call))
        return;
    if (call->request->params[OCH_PARAM_DATABASE].size < OCH_NAME_SIZE_MIN)
        call->status = och_fail(&call->err, OCHRE_INVALID,
                "database name must be at least %u characters", OCH_NAME_SIZE_MIN);
}

struct och_target
och_call_target(struct och_call *call)
{
    const struct ochre_bytes *params = call->request->params;
    struct och_target target = {
            .tenant = params[OCH_PARAM_TENANT], .database = params[OCH_PARAM_DATABASE]};
    struct ochre_bytes id = params[OCH_PARAM_COLLECTION];
    och_call_check_database(call);
    if (och_call_goes_on(call) && !och_uuid_parse(id.data, id.size, &target.id))
        call->status = och_fail(&call->err, OCHRE_INVALID,
                "Collection ID is not a valid UUIDv4: a UUID is 32 hexadecimal digits, as in "
                "'00000000-0000-4000-8000-000000000000'");
    return target;
}

void
och_call_check_collection(struct och_call *call, const struct och_target *target)
{
    if (och_call_goes_on(call))
        call->status = och_op_collection_check(call->db, target, &call->err);
}
