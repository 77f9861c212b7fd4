#include <string.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "base/log.h"
#include "http/server_internal.h"

/* The first piece of room a body gets; it doubles up to what was announced, so
 * that a client pays with bytes for the memory it holds. */
enum { BODY_ROOM_MIN = 64 * 1024 };

/* The largest response; the account that pays is the real limit. */
#define RESPONSE_SIZE_MAX (SIZE_MAX / 2)

static const char no_bytes[1] = "";

static struct och_http_connection *
connection_of(struct och_http_request *request)
{
    /* The request is the exchange's first member, the exchange the slot's. */
    static_assert(offsetof(struct och_http_exchange, request) == 0, "a request is its exchange");
    static_assert(offsetof(struct och_http_connection, exchange) == 0, "and its connection");
    return (struct och_http_connection *) (void *) request;
}

static void
set_deadline(struct och_http_connection *connection, uint64_t deadline_ns)
{
    atomic_store_explicit(&connection->deadline_ns, deadline_ns, memory_order_relaxed);
}

/* --- the beginning and the end of an exchange ------------------------------ */

static void
begin(struct och_http_connection *connection)
{
    struct och_http_server *server = connection->server;
    struct och_http_exchange *exchange = &connection->exchange;
    *exchange = (struct och_http_exchange){.begin_ns = och_http_now(server), .has_begun = true};
    atomic_init(&exchange->turn, OCH_HTTP_RUNNING);
    och_arena_init(&exchange->request.arena, server->mem);
    exchange->request.body = (struct ochre_bytes){no_bytes, 0};
    exchange->response.status = 200;
    exchange->response.content_type = "application/json";
    och_buf_init(&exchange->response.body, server->mem, RESPONSE_SIZE_MAX);
    connection->has_begun = true;
    atomic_store(&connection->is_busy, true);
    atomic_fetch_add(&server->n_busy, 1);
}

static void
release_body(struct och_http_server *server, struct och_http_exchange *exchange)
{
    och_mem_release(&server->bodies, exchange->body, exchange->body_room);
    exchange->body = NULL;
    exchange->body_room = 0;
}

void *
och_http_on_request_line(void *context, const char *target, struct MHD_Connection *library)
{
    (void) context;
    const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(library, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct och_http_connection *connection = info == NULL ? NULL : info->socket_context;
    if (connection == NULL)
        return NULL;
    begin(connection);

    /* The library cuts the target up in place; we keep it as it came. */
    struct och_http_exchange *exchange = &connection->exchange;
    size_t size = target == NULL ? 0 : strlen(target);
    exchange->target_is_long = size > OCH_HTTP_REQUEST_LINE_MAX;
    if (!exchange->target_is_long) {
        exchange->target.data = och_arena_copy(&exchange->request.arena, target, size);
        exchange->target.size = exchange->target.data == NULL ? 0 : size;
    }

    /* The first request's headers are due since the connection was accepted. */
    uint64_t due =
            exchange->begin_ns + connection->server->options.header_timeout_ms * OCH_NS_PER_MS;
    if (due < atomic_load_explicit(&connection->deadline_ns, memory_order_relaxed))
        set_deadline(connection, due);
    return connection;
}

/* Nothing more is read from this connection; what was written still arrives. */
static void
shut(struct MHD_Connection *library)
{
    const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(library, MHD_CONNECTION_INFO_CONNECTION_FD);
    och_assert(info != NULL);
    (void) shutdown(info->connect_fd, SHUT_RDWR);
}

void
och_http_on_completed(void *context, struct MHD_Connection *library, void **state,
        enum MHD_RequestTerminationCode code)
{
    struct och_http_server *server = context;
    struct och_http_connection *connection = *state;
    (void) code; /* an answer the client did not wait for ends like any other */
    *state = NULL;
    if (connection == NULL || !connection->exchange.has_begun)
        return;
    struct och_http_exchange *exchange = &connection->exchange;
    och_http_stream_end(connection);
    och_buf_clear(&exchange->response.body);
    release_body(server, exchange);
    och_arena_clear(&exchange->request.arena);
    exchange->has_begun = false;
    set_deadline(
            connection, och_http_now(server) + server->options.idle_timeout_ms * OCH_NS_PER_MS);
    atomic_store(&connection->is_busy, false);
    atomic_fetch_sub(&server->n_busy, 1);
    if (atomic_load(&server->is_stopping)) {
        /* Stop may have passed over this connection while it was busy. */
        shut(library);
        och_mutex_lock(&server->lock);
        och_cond_broadcast(&server->calm);
        och_mutex_unlock(&server->lock);
    }
}

/* --- answering ------------------------------------------------------------- */

/* An answer that could not be put together for lack of memory. */
static void
use_memory_error(struct och_http_response *response, const char **body, size_t *size)
{
    static const char text[] =
            "{\"error\":\"ChromaError\",\"message\":\"the answer does not fit the memory limit\"}";
    response->status = 503;
    response->content_type = "application/json";
    *body = text;
    *size = sizeof(text) - 1;
}

static bool
add_headers(struct MHD_Response *answer, const struct och_http_response *response, bool close)
{
    /* 32 zeros: no trace is kept. */
    static const char trace_id[] = "00000000000000000000000000000000";
    bool added = true;
    if (response->content_type != NULL)
        added &= MHD_add_response_header(answer, "content-type", response->content_type) == MHD_YES;
    if (response->status >= 400)
        added &= MHD_add_response_header(answer, "chroma-trace-id", trace_id) == MHD_YES;
    for (size_t i = 0; i < response->n_headers; i++) {
        const struct och_http_header *header = &response->headers[i];
        added &= MHD_add_response_header(answer, header->name, header->value) == MHD_YES;
    }
    if (close)
        added &= MHD_add_response_header(answer, "connection", "close") == MHD_YES;
    return added;
}

static void
log_answer(struct och_http_server *server, const struct och_http_exchange *exchange)
{
    char path[200];
    const struct och_log *log = server->options.log;
    if (!och_log_wants(log, OCH_LOG_DEBUG))
        return;
    och_log_event(log, OCH_LOG_DEBUG, "http.request", "method=%s path=%s status=%u us=%llu",
            och_http_method_name(exchange->request.method),
            och_log_quote(exchange->request.path, path, sizeof(path)), exchange->response.status,
            (unsigned long long) ((och_http_now(server) - exchange->begin_ns) / 1000));
}

/* The bytes stay ours: the buffer lives until the exchange has ended. */
static struct MHD_Response *
make_answer(const char *body, size_t size)
{
    union {
        const char *readable;
        void *as_asked; /* the library takes a pointer it will not write through */
    } bytes = {.readable = size == 0 ? no_bytes : body};
    return MHD_create_response_from_buffer(size, bytes.as_asked, MHD_RESPMEM_PERSISTENT);
}

/* Hand the response to the library.  MHD_NO drops the connection. */
static enum MHD_Result
answer(struct och_http_connection *connection)
{
    struct och_http_server *server = connection->server;
    struct och_http_exchange *exchange = &connection->exchange;
    struct och_http_response *response = &exchange->response;
    release_body(server, exchange); /* nothing may point into it any more */

    och_http_add_cors(server, exchange);
    const char *body = response->body.data;
    size_t size = response->body.size;
    bool is_streamed = response->stream.read != NULL && response->status == 200;
    if (och_buf_status(&response->body) != OCHRE_OK || exchange->lacks_memory)
        use_memory_error(response, &body, &size);
    bool close = response->close || exchange->verdict == OCH_HTTP_REFUSED_CLOSE ||
            atomic_load(&server->is_stopping);

    struct MHD_Response *made = is_streamed && response->status == 200
            ? och_http_stream_answer(connection)
            : make_answer(body, size);
    if (made == NULL)
        return MHD_NO;
    atomic_fetch_add_explicit(&server->n_requests, 1, memory_order_relaxed);
    enum MHD_Result queued = MHD_NO;
    if (add_headers(made, response, close))
        queued = MHD_queue_response(connection->library, response->status, made);
    MHD_destroy_response(made); /* the library holds its own reference */
    log_answer(server, exchange);
    return queued;
}

/* Answer in the middle of a body, where the library would not let us: write
 * the response ourselves, drain what still comes, and drop the connection. */
static enum MHD_Result
answer_and_drop(struct och_http_connection *connection, unsigned status, const char *reason,
        const char *message)
{
    struct och_http_exchange *exchange = &connection->exchange;
    const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection->library, MHD_CONNECTION_INFO_CONNECTION_FD);
    och_assert(info != NULL);
    atomic_fetch_add_explicit(&connection->server->n_requests, 1, memory_order_relaxed);
    release_body(connection->server, exchange);
    och_http_send_error(connection->server, info->connect_fd, status, reason, message);
    exchange->response.status = status;
    connection->lingers = true;
    log_answer(connection->server, exchange);
    return MHD_NO;
}

/* --- running the handler ---------------------------------------------------- */

void
och_http_finish(struct och_http_request *request)
{
    struct och_http_connection *connection = connection_of(request);
    struct och_http_server *server = connection->server;
    struct MHD_Connection *library = connection->library;
    atomic_fetch_add_explicit(&server->n_waking, 1, memory_order_relaxed);
    /* Release: the response is written before the other side sees FINISHED.  The
     * connection may be answered and gone at any moment after this. */
    och_http_turn before = atomic_exchange_explicit(
            &connection->exchange.turn, OCH_HTTP_FINISHED, memory_order_acq_rel);
    och_assert(before != OCH_HTTP_FINISHED);
    if (before == OCH_HTTP_PARKED)
        MHD_resume_connection(library);
    /* After this the server may be gone; pairs with the load in wait_for_calm. */
    atomic_fetch_sub_explicit(&server->n_waking, 1, memory_order_release);
}

/*
 * What a request took that has run on this thread: processor time, so that a busy
 * machine does not make requests look slow; or if it slept, all the time.  That
 * counts up to a maximum which is too long already, as who slept on a busy
 * processor is not always woken soon.
 */
static uint64_t
cost_since(const struct och_http_server *server, uint64_t begin_ns,
        const struct och_thread_usage *before)
{
    enum { slept_max = 4 * OCH_HTTP_SHORT_NS };
    struct och_thread_usage after = och_thread_usage();
    uint64_t cpu_ns = after.cpu_ns - before->cpu_ns;
    if (after.n_waits == before->n_waits)
        return cpu_ns;
    uint64_t all_ns = och_http_now(server) - begin_ns;
    all_ns = all_ns < slept_max ? all_ns : slept_max;
    return cpu_ns > all_ns ? cpu_ns : all_ns;
}

/* Ask the handler, and note for its kind what it took. */
static och_http_outcome
handle(struct och_http_exchange *exchange)
{
    struct och_http_request *request = &exchange->request;
    struct och_http_server *server = connection_of(request)->server;
    void *context = server->options.context;
    uint64_t kind = exchange->kind;
    if (kind == OCH_HTTP_KIND_NONE || kind == OCH_HTTP_KIND_SHORT)
        return request->route->handle(context, request, &exchange->response);

    uint64_t begin_ns = och_http_now(server);
    struct och_thread_usage before = och_thread_usage();
    och_http_outcome outcome = request->route->handle(context, request, &exchange->response);
    if (outcome == OCH_HTTP_DONE) /* else it may be answered and gone */
        och_http_costs_note(&server->costs, kind, cost_since(server, begin_ns, &before));
    return outcome;
}

static void
run_task(struct och_task *task)
{
    char *start = (char *) task - offsetof(struct och_http_exchange, task);
    struct och_http_exchange *exchange = (struct och_http_exchange *) (void *) start;
    struct och_http_request *request = &exchange->request;
    if (handle(exchange) != OCH_HTTP_DONE)
        return;
    och_http_stream_begin(connection_of(request));
    och_http_finish(request);
}

static enum MHD_Result
run_away(struct och_http_connection *connection)
{
    struct och_http_exchange *exchange = &connection->exchange;
    atomic_store_explicit(&exchange->turn, OCH_HTTP_PARKED, memory_order_relaxed);
    MHD_suspend_connection(connection->library);
    exchange->task.run = run_task;
    och_executor_submit(connection->server->options.executor, &exchange->task);
    return MHD_YES;
}

/* Run on this thread.  A handler that answers later may have done so already. */
static enum MHD_Result
run_here(struct och_http_connection *connection)
{
    struct och_http_exchange *exchange = &connection->exchange;
    if (handle(exchange) == OCH_HTTP_DONE) {
        och_http_stream_begin(connection);
        return answer(connection);
    }
    if (atomic_load_explicit(&exchange->turn, memory_order_acquire) == OCH_HTTP_FINISHED)
        return answer(connection);

    /* Asleep first, then say so: who finishes in between leaves waking to us. */
    MHD_suspend_connection(connection->library);
    och_http_turn expected = OCH_HTTP_RUNNING;
    if (!atomic_compare_exchange_strong_explicit(&exchange->turn, &expected, OCH_HTTP_PARKED,
                memory_order_acq_rel, memory_order_acquire))
        MHD_resume_connection(connection->library);
    return MHD_YES;
}

/* Will it be over soon? */
static bool
is_short(struct och_http_server *server, struct och_http_exchange *exchange)
{
    struct och_http_request *request = &exchange->request;
    const struct och_http_route *route = request->route;
    if ((route->flags & OCH_HTTP_INLINE) != 0 || server->options.executor == NULL)
        return true;
    if (route->kind_of == NULL || request->body.size > OCH_HTTP_SHORT_BODY_MAX)
        return false;
    exchange->kind = route->kind_of(server->options.context, request);
    if (exchange->kind == OCH_HTTP_KIND_NONE || exchange->kind == OCH_HTTP_KIND_SHORT)
        return exchange->kind == OCH_HTTP_KIND_SHORT;
    return och_http_costs_get(&server->costs, exchange->kind) <= OCH_HTTP_SHORT_NS;
}

/* The body is complete. */
static enum MHD_Result
run(struct och_http_connection *connection)
{
    struct och_http_server *server = connection->server;
    struct och_http_exchange *exchange = &connection->exchange;
    if (atomic_load(&server->is_closing))
        return MHD_NO;
    exchange->has_run = true;
    if (exchange->body != NULL)
        exchange->request.body = (struct ochre_bytes){exchange->body, (size_t) exchange->body_size};
    uint64_t total_ns = server->options.total_timeout_ms * OCH_NS_PER_MS;
    bool is_long = (exchange->request.route->flags & OCH_HTTP_LONG) != 0;
    set_deadline(connection, is_long ? UINT64_MAX : exchange->begin_ns + total_ns);
    return is_short(server, exchange) ? run_here(connection) : run_away(connection);
}

/* --- the headers and the body ------------------------------------------------ */

struct collecting {
    struct och_http_field *fields;
    size_t n, n_max;
};

static enum MHD_Result
collect(void *context, enum MHD_ValueKind kind, const char *name, size_t name_size,
        const char *value, size_t value_size)
{
    struct collecting *collecting = context;
    (void) kind;
    if (collecting->n == collecting->n_max)
        return MHD_NO;
    while (value_size > 0 && (value[value_size - 1] == ' ' || value[value_size - 1] == '\t'))
        value_size--;
    collecting->fields[collecting->n++] = (struct och_http_field){
            .name = {name == NULL ? no_bytes : name, name_size},
            .value = {value == NULL ? no_bytes : value, value_size},
    };
    return MHD_YES;
}

static bool
collect_fields(struct och_http_connection *connection)
{
    struct och_http_request *request = &connection->exchange.request;
    struct collecting collecting = {0};
    /* One more than allowed is enough to see that there are too many. */
    int n = MHD_get_connection_values_n(connection->library, MHD_HEADER_KIND, NULL, NULL);
    collecting.n_max = n < 0 ? 0 : (size_t) n;
    if (collecting.n_max > OCH_HTTP_HEADERS_MAX + 1)
        collecting.n_max = OCH_HTTP_HEADERS_MAX + 1;
    collecting.fields =
            och_arena_take_array(&request->arena, collecting.n_max, sizeof(collecting.fields[0]));
    if (collecting.fields == NULL)
        return false;
    (void) MHD_get_connection_values_n(connection->library, MHD_HEADER_KIND, collect, &collecting);
    request->fields = collecting.fields;
    request->n_fields = collecting.n;
    return true;
}

/* The headers are complete: judge them. */
static enum MHD_Result
on_headers(struct och_http_connection *connection, const char *method, const char *version)
{
    struct och_http_server *server = connection->server;
    struct och_http_exchange *exchange = &connection->exchange;
    exchange->is_judged = true;
    exchange->request.method = och_http_method_parse(method);
    if (collect_fields(connection)) {
        exchange->framing = och_http_framing_of(exchange->request.fields,
                exchange->request.n_fields, strcmp(version, "HTTP/1.0") == 0);
    } else {
        exchange->framing = (struct och_http_framing){
                .status = 503, .message = "the memory for requests is used up; try again later"};
    }
    exchange->verdict = och_http_judge(server, exchange);

    uint64_t now = och_http_now(server);
    exchange->body_begin_ns = now;
    set_deadline(connection, now + server->options.body_grace_ms * OCH_NS_PER_MS);
    if (exchange->verdict != OCH_HTTP_REFUSED_CLOSE)
        return MHD_YES;
    connection->lingers = true;
    set_deadline(connection, now + OCH_HTTP_LINGER_MS * OCH_NS_PER_MS);
    return answer(connection);
}

/* Room for `size` more bytes of body. */
static bool
grow_body(struct och_http_server *server, struct och_http_exchange *exchange, size_t size)
{
    size_t needed = (size_t) exchange->body_size + size;
    if (needed <= exchange->body_room)
        return true;
    size_t room = exchange->body_room < BODY_ROOM_MIN ? BODY_ROOM_MIN : exchange->body_room * 2;
    if (exchange->framing.has_length && room > exchange->framing.length)
        room = (size_t) exchange->framing.length;
    room = room < needed ? needed : room;
    char *body = och_mem_resize(&server->bodies, exchange->body, exchange->body_room, room);
    if (body == NULL)
        return false;
    exchange->body = body;
    exchange->body_room = room;
    return true;
}

/* A client that sends must keep up a rate, counted from the first byte. */
static void
set_body_deadline(struct och_http_connection *connection)
{
    const struct och_http_options *options = &connection->server->options;
    const struct och_http_exchange *exchange = &connection->exchange;
    uint64_t now = och_http_now(connection->server);
    uint64_t earned = exchange->body_size * UINT64_C(1000) / options->body_rate_min;
    uint64_t due = exchange->body_begin_ns + (options->body_grace_ms + earned) * OCH_NS_PER_MS;
    uint64_t idle = now + options->idle_timeout_ms * OCH_NS_PER_MS;
    uint64_t total = exchange->begin_ns + options->total_timeout_ms * OCH_NS_PER_MS;
    due = idle < due ? idle : due;
    set_deadline(connection, total < due ? total : due);
}

static enum MHD_Result
on_body(struct och_http_connection *connection, const char *bytes, size_t *size)
{
    struct och_http_server *server = connection->server;
    struct och_http_exchange *exchange = &connection->exchange;
    size_t n = *size;
    *size = 0; /* all of it is taken */

    if (exchange->verdict == OCH_HTTP_ACCEPTED && exchange->keeps_body) {
        if (n > server->options.body_size_max - exchange->body_size)
            return answer_and_drop(
                    connection, 413, "Content Too Large", "the body is over the size limit");
        if (!grow_body(server, exchange, n))
            return answer_and_drop(connection, 503, "Service Unavailable",
                    "the memory for requests is used up; try again later");
        memcpy(exchange->body + exchange->body_size, bytes, n);
    } else if (n > server->options.body_size_max - exchange->body_size) {
        return answer_and_drop(
                connection, 413, "Content Too Large", "the body is over the size limit");
    }
    exchange->body_size += n;
    set_body_deadline(connection);
    return MHD_YES;
}

enum MHD_Result
/* NOLINTNEXTLINE(readability-function-size): the library's list of parameters */
och_http_on_request(void *context, struct MHD_Connection *library, const char *url,
        const char *method, const char *version, const char *upload, size_t *upload_size,
        void **state)
{
    struct och_http_connection *connection = *state;
    (void) context;
    (void) library;
    (void) url; /* cut at the query; ours is whole */
    if (connection == NULL)
        return MHD_NO;
    struct och_http_exchange *exchange = &connection->exchange;
    if (!exchange->is_judged)
        return on_headers(connection, method, version);
    if (*upload_size > 0)
        return on_body(connection, upload, upload_size);
    if (exchange->verdict != OCH_HTTP_ACCEPTED)
        return answer(connection);
    if (!exchange->has_run)
        return run(connection);
    /* Woken: the acquire in the load pairs with the release in och_http_finish. */
    if (atomic_load_explicit(&exchange->turn, memory_order_acquire) != OCH_HTTP_FINISHED)
        return MHD_YES;
    return answer(connection);
}
