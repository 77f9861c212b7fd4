/*
 * message.h - a request as handlers see it, and the response they fill.
 *
 * A request is borrowed by its handler until the answer is given: the strings
 * in it, its arena and its body live as long.  Nothing here knows what a route
 * means; that is the business of the handlers (src/http/routes*.c).
 *
 * Threads: a request and its response belong to one thread at a time: the one
 * the handler runs on, then whoever calls och_http_finish.
 */
#ifndef OCH_HTTP_MESSAGE_H
#define OCH_HTTP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_http_route;

/* In the order in which an `allow` header lists them. */
typedef enum och_http_method {
    OCH_HTTP_GET = 0,
    OCH_HTTP_HEAD,
    OCH_HTTP_POST,
    OCH_HTTP_PUT,
    OCH_HTTP_PATCH,
    OCH_HTTP_DELETE,
    OCH_HTTP_OPTIONS,
    OCH_HTTP_OTHER, /* a method no route answers */
} och_http_method;

enum { OCH_HTTP_N_METHODS = OCH_HTTP_OTHER };

/* "GET" and so on; case counts, as RFC 9110 says. */
och_http_method och_http_method_parse(const char *text);
const char *och_http_method_name(och_http_method method);

/* One header, as sent; or one parameter of a query string, decoded. */
struct och_http_field {
    struct ochre_bytes name;
    struct ochre_bytes value;
};

enum { OCH_HTTP_PARAMS_MAX = 8 }; /* "{...}" in one pattern */

struct och_http_request {
    och_http_method method; /* as sent: a GET route also serves HEAD */
    const struct och_http_route *route;
    struct ochre_bytes path;                        /* as sent, without the query */
    struct ochre_bytes query;                       /* as sent, after "?"; data NULL: none */
    struct ochre_bytes params[OCH_HTTP_PARAMS_MAX]; /* the pattern's {...}, decoded, UTF-8 */
    size_t n_params;
    const struct och_http_field *fields; /* the headers, in order */
    size_t n_fields;
    struct ochre_bytes body; /* empty unless the route reads one; never NULL data */
    void *decoded;           /* what the route's kind_of left for the handler; NULL: nothing */
    struct och_arena arena;  /* for the handler: dies with the answer */
};

/* The first header called `name` (any case), or absent. */
struct ochre_bytes och_http_header(const struct och_http_request *request, const char *name);

/*
 * How often the query string names `name`; *value_out is the first value,
 * decoded into the arena ("+" is a space), or absent.
 *
 * Errors: OCHRE_NO_MEMORY
 */
OCH_MUST_CHECK ochre_status och_http_query_get(struct och_http_request *request, const char *name,
        struct ochre_bytes *value_out, size_t *n_out);

enum { OCH_HTTP_EXTRA_HEADERS_MAX = 8 };

struct och_http_header {
    const char *name;  /* lives as long as the request: static, or in its arena */
    const char *value; /* the same */
};

/*
 * A body that is asked for as the client takes it, instead of one in memory.  It is read
 * on the executor, one piece at a time, while the connection sleeps.
 */
struct och_http_stream {
    uint64_t size; /* bytes of all of it, which are announced */
    /*
     * Read the next bytes, `room` at most and 1 at least.  Another status than OCHRE_OK,
     * or no bytes, cuts the connection: the client sees fewer bytes than were announced, and
     * the log has the message.
     */
    ochre_status (*read)(
            void *context, void *bytes, size_t room, size_t *n_out, struct ochre_error *err);
    /* Called once, where handlers run: all was read, or it is not wanted any more. */
    void (*close)(void *context);
    void *context;
};

struct och_http_response {
    unsigned status;               /* 200 until a handler says otherwise */
    const char *content_type;      /* static; "application/json" at first; NULL: none */
    struct och_buf body;           /* charged to the server's account */
    struct och_http_stream stream; /* its `read` is not NULL: the body, if `status` is 200 */
    struct och_http_header headers[OCH_HTTP_EXTRA_HEADERS_MAX];
    size_t n_headers;
    char position[24]; /* the value of a header that is a number */
    bool close;        /* close the connection after this answer */
};

/* Add a header.  More than OCH_HTTP_EXTRA_HEADERS_MAX is a bug of the caller. */
void och_http_add_header(struct och_http_response *response, const char *name, const char *value);

/*
 * Make the response an error: `status`, and a body of exactly
 * {"error": name, "message": text} that replaces what was there.
 */
void och_http_error(struct och_http_response *response, unsigned status, const char *name,
        const char *format, ...) OCH_PRINTF(4, 5);

/* The name that goes with a status when nothing more exact is known:
 * InvalidArgumentError, NotFoundError, InternalError or ChromaError. */
const char *och_http_error_name(unsigned status);

typedef enum och_http_outcome {
    OCH_HTTP_DONE = 0, /* the response is complete */
    OCH_HTTP_LATER,    /* somebody will call och_http_finish, once, from any thread */
} och_http_outcome;

/*
 * Give the answer of a handler that returned (or is about to return)
 * OCH_HTTP_LATER.  Neither request nor response may be touched afterwards.
 *
 * Threads: any.
 */
void och_http_finish(struct och_http_request *request);

#endif /* OCH_HTTP_MESSAGE_H */
