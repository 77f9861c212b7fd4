#include "http/server.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/log.h"
#include "http/server_internal.h"

enum { IO_THREADS_DEFAULT = 2, IO_THREADS_MAX = 64 };

static void
fill_defaults(struct och_http_options *options)
{
    if (options->n_threads == 0)
        options->n_threads = IO_THREADS_DEFAULT;
    if (options->n_threads > IO_THREADS_MAX)
        options->n_threads = IO_THREADS_MAX;
    if (options->n_connections_max == 0)
        options->n_connections_max = OCH_HTTP_CONNECTIONS_MAX;
    if (options->body_size_max == 0)
        options->body_size_max = OCH_BODY_SIZE_MAX;
    if (options->bodies_memory_max == 0)
        options->bodies_memory_max = OCH_HTTP_BODIES_MEMORY_MAX;
    if (options->header_timeout_ms == 0)
        options->header_timeout_ms = OCH_HTTP_HEADER_TIMEOUT_MS;
    if (options->body_grace_ms == 0)
        options->body_grace_ms = OCH_HTTP_BODY_GRACE_MS;
    if (options->idle_timeout_ms == 0)
        options->idle_timeout_ms = OCH_HTTP_IDLE_TIMEOUT_MS;
    if (options->total_timeout_ms == 0)
        options->total_timeout_ms = OCH_HTTP_TOTAL_TIMEOUT_MS;
    if (options->body_rate_min == 0)
        options->body_rate_min = OCH_HTTP_BODY_RATE_MIN;
    if (options->stream_grace_ms == 0)
        options->stream_grace_ms = OCH_HTTP_STREAM_GRACE_MS;
    if (options->stream_rate_min == 0)
        options->stream_rate_min = OCH_HTTP_STREAM_RATE_MIN;
}

static bool
is_wildcard(const char *host)
{
    return host != NULL && (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0);
}

static void
fill_host_rule(struct och_http_server *server)
{
    const struct och_http_options *options = &server->options;
    bool wildcard = is_wildcard(options->host);
    server->host_rule = (struct och_http_host_rule){.host = wildcard ? NULL : options->host,
            .names = options->hosts.names,
            .n_names = options->hosts.n,
            .any_address = wildcard};
    if (wildcard && gethostname(server->machine_name, sizeof(server->machine_name) - 1) == 0)
        server->host_rule.machine = server->machine_name;
}

static ochre_status
make_slots(struct och_http_server *server, struct ochre_error *err) OCH_NO_THREAD_ANALYSIS
{
    unsigned n = server->options.n_connections_max;
    /* Zero pages: a slot that is never used costs no memory. */
    server->slots = och_mem_take_zeroed(server->mem, n * sizeof(server->slots[0]));
    server->drain = och_mem_take(server->mem, OCH_HTTP_DRAIN_SIZE);
    if (server->slots == NULL || server->drain == NULL)
        return och_fail_memory(err);
    for (unsigned i = n; i > 0; i--) {
        struct och_http_connection *slot = &server->slots[i - 1];
        slot->server = server;
        slot->fd = -1;
        slot->next = server->free_slots;
        server->free_slots = slot;
    }
    return OCHRE_OK;
}

static ochre_status
fail_to_watch(struct ochre_error *err, int reason)
{
    char buffer[100];
    return och_fail(err, OCHRE_UNAVAILABLE, "cannot watch sockets: %s",
            strerror_r(reason, buffer, sizeof(buffer)));
}

static ochre_status
watch_fd(struct och_http_server *server, int fd, uint64_t data, struct ochre_error *err)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = data};
    if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return fail_to_watch(err, errno);
    return OCHRE_OK;
}

static ochre_status
make_watch(struct och_http_server *server, struct ochre_error *err)
{
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->epoll_fd < 0 || server->wake_fd < 0)
        return fail_to_watch(err, errno);
    ochre_status status =
            watch_fd(server, server->wake_fd, och_http_event_data(OCH_HTTP_EVENT_WAKE, 0), err);
    for (size_t i = 0; i < server->listeners.n && status == OCHRE_OK; i++)
        status = watch_fd(server, server->listeners.fds[i],
                och_http_event_data(OCH_HTTP_EVENT_LISTENER, i), err);
    return status;
}

/* What the library says about itself, for whoever debugs it. */
OCH_PRINTF(2, 0)
static void
on_library_log(void *context, const char *format, va_list args)
{
    const struct och_http_server *server = context;
    char text[300], quoted[400];
    if (!och_log_wants(server->options.log, OCH_LOG_DEBUG))
        return;
    int size = vsnprintf(text, sizeof(text), format, args);
    if (size < 0)
        return;
    while (text[0] != '\0' && text[strlen(text) - 1] == '\n')
        text[strlen(text) - 1] = '\0';
    struct ochre_bytes bytes = {text, strlen(text)};
    och_log_event(server->options.log, OCH_LOG_DEBUG, "http.library", "message=%s",
            och_log_quote(bytes, quoted, sizeof(quoted)));
}

/* The library must not decode paths: "%2F" would become a separator. */
static size_t
leave_encoded(void *context, struct MHD_Connection *library, char *text)
{
    (void) context;
    (void) library;
    return strlen(text);
}

static ochre_status
start_library(struct och_http_server *server, struct ochre_error *err)
{
    const struct och_http_options *options = &server->options;
    unsigned n_threads = options->n_threads;
    /* The limit is ours to enforce; the library divides its own among its
     * threads and must never be the first to refuse. */
    unsigned limit = (options->n_connections_max + OCH_HTTP_LINGERS_MAX) * n_threads;
    /* A peer that takes no bytes of an answer: whole seconds, and at least one. */
    unsigned idle_s = (unsigned) ((options->idle_timeout_ms + 999) / 1000);
    /* Turbo: a new connection is read at once, and hanging up is left to us: the
     * socket is still writable when we are told (slots.c). */
    unsigned flags = MHD_USE_TURBO | MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET |
            MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | MHD_USE_ERROR_LOG;
    struct MHD_OptionItem items[] = {
            {MHD_OPTION_UNESCAPE_CALLBACK, (intptr_t) leave_encoded, NULL},
            {MHD_OPTION_URI_LOG_CALLBACK, (intptr_t) och_http_on_request_line, server},
            {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t) och_http_on_connection, server},
            {MHD_OPTION_NOTIFY_COMPLETED, (intptr_t) och_http_on_completed, server},
            {MHD_OPTION_CONNECTION_MEMORY_LIMIT, OCH_HTTP_POOL_SIZE, NULL},
            {MHD_OPTION_CONNECTION_LIMIT, (intptr_t) limit, NULL},
            {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t) idle_s, NULL},
            {n_threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, (intptr_t) n_threads,
                    NULL},
            {MHD_OPTION_END, 0, NULL},
    };
    server->daemon = MHD_start_daemon(flags, 0, NULL, NULL, och_http_on_request, server,
            MHD_OPTION_EXTERNAL_LOGGER, on_library_log, server, MHD_OPTION_ARRAY, items,
            MHD_OPTION_END);
    if (server->daemon == NULL)
        return och_fail(err, OCHRE_UNAVAILABLE, "cannot start %u I/O threads", n_threads);
    return OCHRE_OK;
}

static void
close_fd(int fd)
{
    if (fd >= 0)
        (void) close(fd); /* nothing is buffered in it */
}

/* Free what nobody uses any more. */
static void
free_server(struct och_http_server *server)
{
    och_http_listeners_close(&server->listeners);
    close_fd(server->epoll_fd);
    close_fd(server->wake_fd);
    och_http_router_close(server->router);
    och_mem_release(server->mem, server->slots,
            server->options.n_connections_max * sizeof(server->slots[0]));
    och_mem_release(server->mem, server->drain, OCH_HTTP_DRAIN_SIZE);
    och_cond_clear(&server->calm);
    och_mutex_clear(&server->lock);
    och_mem_release(server->mem, server, sizeof(*server));
}

/* Stop the threads that run. */
static void
stop_threads(struct och_http_server *server)
{
    if (server->daemon != NULL)
        MHD_stop_daemon(server->daemon);
    if (server->watch_runs) {
        atomic_store_explicit(&server->watch_ends, true, memory_order_release);
        och_http_wake(server);
        och_thread_join(&server->watch);
    }
}

static void
init_server(struct och_http_server *server,
        const struct och_http_options *options) OCH_NO_THREAD_ANALYSIS
{
    *server = (struct och_http_server){
            .options = *options, .mem = options->mem, .epoll_fd = -1, .wake_fd = -1};
    fill_defaults(&server->options);
    if (options->listeners != NULL) {
        server->listeners = *options->listeners;
        *options->listeners = (struct och_http_listeners){.n = 0};
    }
    och_mem_init(&server->bodies, options->mem);
    server->bodies.limit = server->options.bodies_memory_max;
    for (size_t i = 0; i < OCH_HTTP_LINGERS_MAX; i++)
        server->lingers[i].fd = -1;
    och_mutex_init(&server->lock);
    och_cond_init(&server->calm);
    fill_host_rule(server);
}

static ochre_status
listen_to_all(struct och_http_server *server, struct ochre_error *err)
{
    const struct och_http_options *options = &server->options;
    ochre_status status = OCHRE_OK;
    if (options->listeners == NULL)
        status = och_http_listeners_bind(&server->listeners, options->host, options->port, err);
    if (status == OCHRE_OK)
        status = och_http_listeners_listen(&server->listeners, err);
    server->port = server->listeners.port;
    return status;
}

ochre_status
och_http_server_open(const struct och_http_options *options, struct och_http_server **server_out,
        struct ochre_error *err)
{
    *server_out = NULL;
    struct och_http_server *server = och_mem_take(options->mem, sizeof(*server));
    if (server == NULL) {
        if (options->listeners != NULL)
            och_http_listeners_close(options->listeners);
        return och_fail_memory(err);
    }
    init_server(server, options);

    ochre_status status =
            och_http_router_open(server->mem, options->routes, options->n_routes, &server->router);
    if (status != OCHRE_OK) {
        status = och_fail_memory(err);
        goto done;
    }
    status = make_slots(server, err);
    if (status != OCHRE_OK)
        goto done;
    status = listen_to_all(server, err);
    if (status != OCHRE_OK)
        goto done;
    status = make_watch(server, err);
    if (status != OCHRE_OK)
        goto done;
    status = start_library(server, err);
    if (status != OCHRE_OK)
        goto done;
    status = och_thread_start(&server->watch, "ochre-watch", och_http_watch, server, err);
    if (status != OCHRE_OK)
        goto done;
    server->watch_runs = true;
    *server_out = server;

done:
    if (status != OCHRE_OK) {
        stop_threads(server);
        free_server(server);
    }
    return status;
}

uint16_t
och_http_server_port(const struct och_http_server *server)
{
    return server->port;
}

/* Wait until no request is under way, or `limit_ms` has passed. */
static bool
wait_until_idle(struct och_http_server *server, uint64_t limit_ms)
{
    uint64_t now = och_http_now(server);
    uint64_t end = now + limit_ms * OCH_NS_PER_MS;
    och_mutex_lock(&server->lock);
    while (atomic_load(&server->n_busy) > 0 && now < end) {
        (void) och_cond_wait_for(&server->calm, &server->lock, (end - now) / OCH_NS_PER_MS + 1);
        now = och_http_now(server);
    }
    och_mutex_unlock(&server->lock);
    return atomic_load(&server->n_busy) == 0;
}

/* Wait for the requests that have begun, up to the limit; then for handlers alone. */
static void
wait_for_calm(struct och_http_server *server, uint64_t limit_ms)
{
    enum { step_ms = 20 };
    (void) wait_until_idle(server, limit_ms);
    atomic_store(&server->is_closing, true);
    do {
        /* Again and again: a connection may still have been on its way in. */
        och_http_slots_shut(server, true);
    } while (!wait_until_idle(server, step_ms));
    while (atomic_load_explicit(&server->n_waking, memory_order_acquire) > 0)
        sched_yield(); /* a few instructions away */
}

void
och_http_server_stop(struct och_http_server *server, uint64_t limit_ms)
{
    if (server == NULL)
        return;
    atomic_store(&server->is_stopping, true);
    och_http_wake(server);
    och_http_slots_shut(server, false);
    wait_for_calm(server, limit_ms);
    stop_threads(server);
    free_server(server);
}

struct och_http_counts
och_http_server_counts(const struct och_http_server *server)
{
    return (struct och_http_counts){
            .n_connections = atomic_load_explicit(&server->n_connections, memory_order_relaxed),
            .n_requests = atomic_load_explicit(&server->n_requests, memory_order_relaxed),
            .n_timeouts = atomic_load_explicit(&server->n_timeouts, memory_order_relaxed),
            .n_refused = atomic_load_explicit(&server->n_refused, memory_order_relaxed),
    };
}
