/*
 * router.h - which handler answers this method and path.
 *
 * Routes are one static table.  A pattern is a path whose segments are words
 * or "{name}", which stands for one segment that is not empty; a last segment
 * "{*name}" stands for one segment or more.
 *
 *      {OCH_HTTP_GET, "/api/v2/tenants/{tenant}/databases", 0, list_databases, NULL}
 *
 * Where two patterns fit a path, the one with a word where the other has a
 * parameter wins, the leftmost difference deciding.  Words are compared as
 * sent, byte by byte: a trailing slash, a double slash or another case is
 * another path.
 *
 * Threads: a router is immutable once built.
 */
#ifndef OCH_HTTP_ROUTER_H
#define OCH_HTTP_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "http/message.h"
#include "ochre/status.h"

struct och_mem;

/*
 * Answer a request.  `context` is the one given to the server.  The request is
 * complete and was authorised; the response is an empty 200.
 */
typedef och_http_outcome och_http_handler(
        void *context, struct och_http_request *request, struct och_http_response *response);

enum och_http_route_flags {
    /* The body is read and handed over; content type and size are checked.
     * Without this flag a body is read and thrown away, whatever its type. */
    OCH_HTTP_READS_BODY = 1 << 0,
    /* The handler takes under 200 us and never blocks: it runs on the
     * connection's thread.  Others run on the executor, unless kind_of knows better. */
    OCH_HTTP_INLINE = 1 << 1,
    /* Any method, not only the row's. */
    OCH_HTTP_ANY_METHOD = 1 << 2,
    /* Open to everybody: the server does not ask `authorize`. */
    OCH_HTTP_PUBLIC = 1 << 3,
    /* Takes as long as it takes: no deadline once the request is there. */
    OCH_HTTP_LONG = 1 << 4,
    /* A GET that costs: a web page of another site may not make its reader's browser send
     * it, as if it changed something. */
    OCH_HTTP_OWN_SITE = 1 << 5,
};

struct och_http_route {
    och_http_method method; /* a GET row also answers HEAD */
    const char *pattern;
    unsigned flags;
    och_http_handler *handle;
    /*
     * May be NULL: of no kind.  Asked on the connection's thread once the body is
     * there, if it has OCH_HTTP_SHORT_BODY_MAX bytes at most: which kind of request
     * is this?  Requests of one kind take about equally long.  The server remembers
     * what they took (http/costs.h): where that was under OCH_HTTP_SHORT_NS the
     * handler runs on the connection's thread, as if the row said OCH_HTTP_INLINE.
     * Must be quick itself, and may leave what it found out in request->decoded.
     */
    uint64_t (*kind_of)(void *context, struct och_http_request *request);
};

enum {
    OCH_HTTP_KIND_NONE = 0,  /* nobody can tell: the executor runs it */
    OCH_HTTP_KIND_SHORT = 1, /* what OCH_HTTP_INLINE says; all other numbers are kinds */
};

enum {
    OCH_HTTP_SEGMENTS_MAX = 16, /* in a pattern; longer paths fit only "{*name}" */
    OCH_HTTP_ROUTES_MAX = 256
};

struct och_http_router;

/*
 * Build a router over `routes`, which must outlive it.  A malformed pattern or
 * two rows with the same method and pattern are bugs and assert.
 *
 * Errors: OCHRE_NO_MEMORY
 */
OCH_MUST_CHECK ochre_status och_http_router_open(struct och_mem *mem,
        const struct och_http_route *routes, size_t n_routes, struct och_http_router **router_out);
void och_http_router_close(struct och_http_router *router);

struct och_http_match {
    const struct och_http_route *route;             /* NULL: no row has this method */
    bool path_is_known;                             /* false: 404; true without a route: 405 */
    unsigned methods;                               /* bit 1 << method for each that is allowed */
    struct ochre_bytes params[OCH_HTTP_PARAMS_MAX]; /* as sent, not decoded */
    size_t n_params;
};

/* Find the row for `method` and `path` (as sent, without the query). */
struct och_http_match och_http_router_find(
        const struct och_http_router *router, och_http_method method, struct ochre_bytes path);

/* The name of parameter `i` of a pattern: "tenant" for "{tenant}"; absent if there is none. */
struct ochre_bytes och_http_pattern_param(const char *pattern, size_t i);

enum { OCH_HTTP_ALLOW_SIZE = 64 };

/* Write "GET,HEAD" for a set of methods. */
void och_http_allow(unsigned methods, char text[OCH_HTTP_ALLOW_SIZE]);

#endif /* OCH_HTTP_ROUTER_H */
