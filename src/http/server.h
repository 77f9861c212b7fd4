/*
 * server.h - an HTTP/1.1 server that knows nothing of what it serves.
 *
 *      watch thread     accepts, and shuts every connection that passes its
 *                       deadline (headers, body rate, idle, whole request)
 *      I/O threads      libmicrohttpd: bytes to requests, responses to bytes;
 *                       they run short requests themselves (docs/decisions/0011)
 *      executor         runs the other handlers while their connection sleeps
 *
 * A request is judged as soon as its headers are complete: framing (400), host
 * and origin (421, 403), route and method (404, 405), path (400), `authorize`
 * (401, 403), content type (415), size (413), memory (503).  A refused body is
 * never parsed: a short one is read and thrown away, a long one is answered at
 * once, drained for a moment and cut off.
 *
 * Every error is JSON, {"error": name, "message": text}, and carries
 * chroma-trace-id.  Every answer has Content-Length.
 *
 * Threads: open and stop on one thread; handlers run on I/O threads and on
 * the executor.
 */
#ifndef OCH_HTTP_SERVER_H
#define OCH_HTTP_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "http/message.h"
#include "http/router.h"
#include "ochre/status.h"

struct och_executor;
struct och_http_listeners;
struct och_http_server;
struct och_log;
struct och_machine;
struct och_mem;

/* Lists of C strings: `n` of them, borrowed while the server runs. */
struct och_http_names {
    const char *const *names;
    size_t n;
};

struct och_http_options {
    struct och_mem *mem;               /* the account that pays; outlives the server */
    struct och_executor *executor;     /* may be NULL when every route is inline */
    const struct och_machine *machine; /* clocks */
    const struct och_log *log;         /* may be NULL: silent */
    const struct och_http_route *routes;
    size_t n_routes;
    void *context; /* for the handlers and `authorize` */

    /*
     * May be NULL: everything is granted.  Called on the connection's thread
     * when the headers are complete (the body is not there yet), for every row
     * without OCH_HTTP_PUBLIC.  False refuses, with the response it has filled.
     */
    bool (*authorize)(
            void *context, const struct och_http_request *head, struct och_http_response *response);

    /* "localhost" or NULL listens on 127.0.0.1 and ::1; else a name or address. */
    const char *host;
    uint16_t port; /* 0: any free one (och_http_server_port says which) */

    /* What is bound to `host` and `port` already; taken over, also by a call that
     * fails.  NULL: they are bound by it. */
    struct och_http_listeners *listeners;

    struct och_http_names hosts; /* Host headers accepted besides loopback and `host`; "*" all */
    struct och_http_names
            origins; /* cors_allow_origins: exact origins, or "*"; none: CORS is off */

    unsigned n_threads;         /* I/O threads; 0: 2 */
    unsigned n_connections_max; /* 0: OCH_HTTP_CONNECTIONS_MAX */
    size_t body_size_max;       /* 0: OCH_BODY_SIZE_MAX */
    uint64_t bodies_memory_max; /* 0: OCH_HTTP_BODIES_MEMORY_MAX */

    /* 0 takes the value in base/limits.h. */
    uint64_t header_timeout_ms, body_grace_ms, idle_timeout_ms, total_timeout_ms;
    uint64_t body_rate_min;                    /* bytes a second */
    uint64_t stream_grace_ms, stream_rate_min; /* the same of a client that takes a stream */
};

/*
 * Listen and serve.  On success requests are being answered.
 *
 * Errors: OCHRE_INVALID      the host cannot be resolved
 *         OCHRE_UNAVAILABLE  the port is taken, or a thread cannot be started
 *         OCHRE_NO_MEMORY
 */
OCH_MUST_CHECK ochre_status och_http_server_open(const struct och_http_options *options,
        struct och_http_server **server_out, struct ochre_error *err);

/* The port it listens on. */
uint16_t och_http_server_port(const struct och_http_server *server);

/*
 * Stop: no new connection is accepted, idle ones are closed, requests that
 * have begun get up to `limit_ms` to finish and are then cut off.  Handlers are
 * never interrupted: this returns after the last one has answered.  Frees the
 * server; NULL is fine.
 */
void och_http_server_stop(struct och_http_server *server, uint64_t limit_ms);

struct och_http_counts {
    uint64_t n_connections; /* accepted */
    uint64_t n_requests;    /* answered by us */
    uint64_t n_timeouts;    /* connections shut at a deadline */
    uint64_t n_refused;     /* connections turned away at the limit */
};

struct och_http_counts och_http_server_counts(const struct och_http_server *server);

#endif /* OCH_HTTP_SERVER_H */
