/*
 * head.h - judge a request by its headers alone.
 *
 * The library that reads the bytes forgives what two servers in a row may read
 * differently: several Content-Lengths, a length beside a chunked body, spaces
 * in names.  Whoever forgives that lets one client speak inside another's
 * connection, so such requests are refused here and their connection closed
 * (RFC 9112, sections 5.1, 6.1 and 6.3).
 *
 * Threads: any; no state.
 */
#ifndef OCH_HTTP_HEAD_H
#define OCH_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "http/message.h"

/* How the body is delimited, or why that cannot be trusted. */
struct och_http_framing {
    unsigned status;     /* 0: sound; else answer this and close */
    const char *message; /* static, when status is not 0 */
    bool is_chunked;
    bool has_length;
    uint64_t length; /* of the body, when has_length */
    bool waits;      /* the client waits for "100 Continue" before it sends the body */
};

/* `is_http10`: that version knows no transfer encodings. */
struct och_http_framing och_http_framing_of(
        const struct och_http_field *fields, size_t n_fields, bool is_http10);

/* The first field called `name` (any case), or absent. */
struct ochre_bytes och_http_field_find(
        const struct och_http_field *fields, size_t n_fields, const char *name);

/* Is this Content-Type JSON?  "application/json" or "application/...+json",
 * any case, any parameters. */
bool och_http_type_is_json(struct ochre_bytes content_type);

/* Which names a Host header may have. */
struct och_http_host_rule {
    const char *host; /* the one listened on; NULL: loopback only */
    const char *const *names;
    size_t n_names;
    const char *machine; /* this machine's own name; may be NULL */
    bool any_address;    /* a wildcard address is listened on: any IP address will do */
};

/*
 * May a request carry this Host?  Loopback names and addresses may, the host
 * listened on, and the names of the rule ("*" among them: all).  Others are
 * how a web page reaches a server on its reader's machine (DNS rebinding).
 * An absent or empty host may: browsers always send one.
 */
bool och_http_host_is_allowed(struct ochre_bytes host, const struct och_http_host_rule *rule);

/*
 * Is `origin` the server itself as the client addressed it, or one of `names`
 * ("*": any)?  "null" is nobody's.
 */
bool och_http_origin_is_allowed(struct ochre_bytes origin, struct ochre_bytes host,
        const char *const *names, size_t n_names);

/* Is `origin` among `names`, "*" not being special? */
bool och_http_origin_is_listed(struct ochre_bytes origin, const char *const *names, size_t n_names);

#endif /* OCH_HTTP_HEAD_H */
