#include <stdbool.h>

#include "api/upgrade.h"
#include "base/buf.h"
#include "base/json.h"
#include "http/routes_internal.h"

/* Answers are what `ochre upgrade --json` prints. */

struct answer {
    struct och_call call;
    struct och_upgrade_options options;
    struct och_upgrade_totals totals;
    bool has_told; /* of a file, so far */
};

static void
put_file(void *context, const char *path, const char *why)
{
    struct answer *answer = context;
    struct och_buf *out = answer->call.out;
    och_buf_put_text(out, answer->has_told ? ",{\"path\":" : "{\"path\":");
    och_json_put_text(out, path);
    och_buf_put_text(out, ",\"reason\":");
    och_json_put_text(out, why);
    och_buf_put_u8(out, '}');
    answer->has_told = true;
}

static void
begin(struct answer *answer, void *context, struct och_http_request *request,
        struct och_http_response *response)
{
    *answer = (struct answer){.call = och_call_begin(context, request, response),
            .options = {.report = put_file, .context = answer}};
    och_buf_put_text(answer->call.out, "{\"files\":[");
}

static och_http_outcome
end(struct answer *answer, const char *result)
{
    const struct och_upgrade_totals *totals = &answer->totals;
    struct och_buf *out = answer->call.out;
    if (!och_call_goes_on(&answer->call))
        return och_call_end(&answer->call);
    och_buf_put_text(out, "],\"result\":");
    och_json_put_text(out, result);
    och_buf_put_text(out, ",\"old\":");
    och_json_put_uint(out, totals->n_old);
    och_buf_put_text(out, ",\"kept\":");
    och_buf_put_text(out, totals->state == OCH_KEPT_WHOLE ? "true" : "false");
    och_buf_put_text(out, ",\"kept_unix_s\":");
    och_json_put_uint(out, totals->kept_unix_s);
    och_buf_put_text(out, ",\"message\":\"\"}");
    return och_call_end(&answer->call);
}

och_http_outcome
och_route_upgrade(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct answer answer;
    begin(&answer, context, request, response);
    answer.call.status =
            och_op_upgrade(answer.call.db, &answer.options, &answer.totals, &answer.call.err);
    return end(&answer, answer.totals.n_old == 0 ? "nothing is old" : "upgraded");
}

och_http_outcome
och_route_upgrade_look(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct answer answer;
    begin(&answer, context, request, response);
    answer.call.status =
            och_op_upgrade_look(answer.call.db, &answer.options, &answer.totals, &answer.call.err);
    return end(&answer, answer.totals.n_old == 0 ? "nothing is old" : "not upgraded");
}

och_http_outcome
och_route_upgrade_commit(
        void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct answer answer;
    begin(&answer, context, request, response);
    answer.call.status = och_op_upgrade_commit(answer.call.db, &answer.totals, &answer.call.err);
    return end(&answer, "committed");
}
