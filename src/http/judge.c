#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "http/server_internal.h"
#include "http/target.h"

static const char host_header[] = "host";
static const char origin_header[] = "origin";

/* For messages: bytes from outside, cut, as a printf argument pair. */
static int
shown(struct ochre_bytes text)
{
    enum { shown_max = 100 };
    return text.size > shown_max ? shown_max : (int) text.size;
}

static const char *
shown_text(struct ochre_bytes text)
{
    return text.data == NULL ? "" : text.data;
}

static void
fail(struct och_http_exchange *exchange, unsigned status, const char *message)
{
    och_http_error(&exchange->response, status, och_http_error_name(status), "%s", message);
}

static void
fail_memory(struct och_http_exchange *exchange)
{
    fail(exchange, 503, "the memory for requests is used up; try again later");
    och_http_add_header(&exchange->response, "retry-after", "1");
}

/* The target, in parts.  False: refused. */
static bool
judge_target(struct och_http_exchange *exchange, struct ochre_bytes *host_out)
{
    struct och_http_request *request = &exchange->request;
    struct och_http_target target;
    *host_out = och_http_header(request, host_header);
    if (exchange->target_is_long) {
        fail(exchange, 414, "the request's target is over 8192 bytes");
        return false;
    }
    if (exchange->target.data == NULL) {
        fail_memory(exchange);
        return false;
    }
    if (!och_http_target_split(exchange->target, &target)) {
        fail(exchange, 400, "the request's target is not a path");
        return false;
    }
    request->path = target.path;
    request->query = target.query;
    if (target.authority.data != NULL)
        *host_out = target.authority; /* RFC 9112, section 3.2.2: it stands for the header */
    return true;
}

static bool
judge_origin(struct och_http_server *server, struct och_http_exchange *exchange,
        struct ochre_bytes host, struct ochre_bytes origin)
{
    const struct och_http_names *origins = &server->options.origins;
    if (och_http_origin_is_allowed(origin, host, origins->names, origins->n))
        return true;
    och_http_error(&exchange->response, 403, och_http_error_name(403),
            "requests from origin \"%.*s\" are refused; cors_allow_origins would allow them",
            shown(origin), shown_text(origin));
    return false;
}

/* A web page in its reader's browser must not get through to us unasked. */
static bool
judge_sender(
        struct och_http_server *server, struct och_http_exchange *exchange, struct ochre_bytes host)
{
    if (!och_http_host_is_allowed(host, &server->host_rule)) {
        och_http_error(&exchange->response, 421, och_http_error_name(421),
                "this server is not \"%.*s\"; if it should be, add that name to allowed_hosts",
                shown(host), shown_text(host));
        return false;
    }
    och_http_method method = exchange->request.method;
    bool changes = method != OCH_HTTP_GET && method != OCH_HTTP_HEAD && method != OCH_HTTP_OPTIONS;
    struct ochre_bytes origin = och_http_header(&exchange->request, origin_header);
    if (!changes || origin.data == NULL)
        return true;
    return judge_origin(server, exchange, host, origin);
}

/* The same for a GET that costs: a browser sends no origin with an image or a link, but
 * says that another site's page asks. */
static bool
judge_site(
        struct och_http_server *server, struct och_http_exchange *exchange, struct ochre_bytes host)
{
    const struct och_http_request *request = &exchange->request;
    if ((request->route->flags & OCH_HTTP_OWN_SITE) == 0)
        return true;
    struct ochre_bytes origin = och_http_header(request, origin_header);
    if (origin.data != NULL)
        return judge_origin(server, exchange, host, origin);
    if (!och_bytes_is(och_http_header(request, "sec-fetch-site"), "cross-site"))
        return true;
    fail(exchange, 403,
            "a page of another site asks for this; only one of an origin that "
            "cors_allow_origins names may");
    return false;
}

static void
answer_allow(struct och_http_exchange *exchange, unsigned methods)
{
    char allow[OCH_HTTP_ALLOW_SIZE];
    och_http_allow(methods, allow);
    const char *kept = och_arena_copy(&exchange->request.arena, allow, strlen(allow));
    if (kept != NULL)
        och_http_add_header(&exchange->response, "allow", kept);
}

/* With CORS, OPTIONS is answered on any path. */
static void
answer_preflight(struct och_http_exchange *exchange, const struct och_http_match *match)
{
    struct och_http_response *response = &exchange->response;
    response->content_type = NULL;
    och_http_add_header(response, "access-control-allow-methods", "*");
    och_http_add_header(response, "access-control-allow-headers", "*");
    if (match->path_is_known)
        answer_allow(exchange, match->methods);
}

/* Decode the path's parameters, once.  False: refused. */
static bool
judge_params(struct och_http_exchange *exchange, const struct och_http_match *match)
{
    struct och_http_request *request = &exchange->request;
    for (size_t i = 0; i < match->n_params; i++) {
        struct ochre_bytes param = match->params[i];
        if (och_http_is_encoded(param, false)) {
            char *out = och_arena_take(&request->arena, param.size);
            if (out == NULL) {
                fail_memory(exchange);
                return false;
            }
            param = (struct ochre_bytes){out, och_http_decode(param, false, out)};
        }
        if (!och_utf8_is_valid(param.data, param.size)) {
            struct ochre_bytes name = och_http_pattern_param(match->route->pattern, i);
            och_http_error(&exchange->response, 400, och_http_error_name(400),
                    "path parameter \"%.*s\" is not UTF-8", shown(name), shown_text(name));
            return false;
        }
        request->params[request->n_params++] = param;
    }
    return true;
}

/* Route and method.  False: refused (or, for a preflight, answered). */
static bool
judge_route(struct och_http_server *server, struct och_http_exchange *exchange)
{
    struct och_http_request *request = &exchange->request;
    struct och_http_match match =
            och_http_router_find(server->router, request->method, request->path);
    if (request->method == OCH_HTTP_OPTIONS && server->options.origins.n > 0) {
        answer_preflight(exchange, &match);
        return false;
    }
    if (!match.path_is_known) {
        och_http_error(&exchange->response, 404, och_http_error_name(404), "no route %.*s",
                shown(request->path), shown_text(request->path));
        return false;
    }
    if (match.route == NULL) {
        och_http_error(&exchange->response, 405, och_http_error_name(405),
                "method %s is not one of this route's", och_http_method_name(request->method));
        answer_allow(exchange, match.methods);
        return false;
    }
    request->route = match.route;
    return judge_params(exchange, &match);
}

/* Content type and size, for a route that reads its body.  False: refused. */
static bool
judge_body(struct och_http_server *server, struct och_http_exchange *exchange)
{
    const struct och_http_request *request = &exchange->request;
    const struct och_http_framing *framing = &exchange->framing;
    bool reads = (request->route->flags & OCH_HTTP_READS_BODY) != 0;
    exchange->keeps_body = reads;
    if (reads) {
        struct ochre_bytes type = och_http_header(request, "content-type");
        bool has_origin = och_http_header(request, origin_header).data != NULL;
        /* A form in a web page can post without asking, but not as JSON, and
         * never without an origin. */
        bool is_json = type.data == NULL ? !has_origin : och_http_type_is_json(type);
        if (!is_json) {
            fail(exchange, 415, "the content type must be application/json");
            return false;
        }
    }
    if (framing->has_length && framing->length > server->options.body_size_max) {
        och_http_error(&exchange->response, 413, och_http_error_name(413),
                "the body has %llu bytes; the limit is %zu", (unsigned long long) framing->length,
                server->options.body_size_max);
        return false;
    }
    size_t held = och_mem_used(&server->bodies);
    if (reads && framing->has_length && framing->length > server->bodies.limit - held) {
        fail_memory(exchange);
        return false;
    }
    return true;
}

/* What a refusal does with the body that follows it. */
static och_http_verdict
refusal(const struct och_http_exchange *exchange)
{
    const struct och_http_framing *framing = &exchange->framing;
    if (framing->status != 0 || framing->is_chunked || framing->waits)
        return OCH_HTTP_REFUSED_CLOSE;
    if (framing->has_length && framing->length > OCH_HTTP_DISCARD_MAX)
        return OCH_HTTP_REFUSED_CLOSE;
    return OCH_HTTP_REFUSED;
}

och_http_verdict
och_http_judge(struct och_http_server *server, struct och_http_exchange *exchange)
{
    const struct och_http_options *options = &server->options;
    struct och_http_request *request = &exchange->request;
    struct ochre_bytes host;

    if (exchange->framing.status != 0) {
        fail(exchange, exchange->framing.status, exchange->framing.message);
        exchange->response.close = true;
        return OCH_HTTP_REFUSED_CLOSE;
    }
    if (!judge_target(exchange, &host)) {
        exchange->response.close = true;
        return refusal(exchange);
    }
    if (!judge_sender(server, exchange, host) || !judge_route(server, exchange) ||
            !judge_site(server, exchange, host))
        return refusal(exchange);
    if (options->authorize != NULL && (request->route->flags & OCH_HTTP_PUBLIC) == 0 &&
            !options->authorize(options->context, request, &exchange->response))
        return refusal(exchange);
    if (!judge_body(server, exchange))
        return refusal(exchange);
    return OCH_HTTP_ACCEPTED;
}

void
och_http_add_cors(struct och_http_server *server, struct och_http_exchange *exchange)
{
    const struct och_http_names *origins = &server->options.origins;
    struct och_http_response *response = &exchange->response;
    if (origins->n == 0)
        return;
    och_http_add_header(response, "vary",
            "origin, access-control-request-method, access-control-request-headers");
    if (origins->n == 1 && strcmp(origins->names[0], "*") == 0) {
        och_http_add_header(response, "access-control-allow-origin", "*");
        return;
    }
    struct ochre_bytes origin = och_http_header(&exchange->request, origin_header);
    if (origin.data == NULL || !och_http_origin_is_listed(origin, origins->names, origins->n))
        return;
    const char *kept = och_arena_copy(&exchange->request.arena, origin.data, origin.size);
    if (kept != NULL)
        och_http_add_header(response, "access-control-allow-origin", kept);
}
