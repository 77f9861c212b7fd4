/*
 * listen.h - the sockets a server accepts on.
 *
 * Threads: one thread at a time.
 */
#ifndef OCH_HTTP_LISTEN_H
#define OCH_HTTP_LISTEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

enum { OCH_HTTP_LISTENERS_MAX = 8 };

struct och_http_listeners {
    int fds[OCH_HTTP_LISTENERS_MAX]; /* owned */
    size_t n;
    uint16_t port;
};

/*
 * Bind; nobody can connect yet.  `host` NULL or "localhost" is 127.0.0.1 and, where the machine has
 * IPv6, ::1; "::" is every address of both families; anything else is resolved
 * and every address found is bound.  Port 0 chooses one, the same for all.
 *
 * Errors: OCHRE_INVALID      the host has no address
 *         OCHRE_UNAVAILABLE  an address or the port cannot be had
 */
OCH_MUST_CHECK ochre_status och_http_listeners_bind(struct och_http_listeners *listeners,
        const char *host, uint16_t port, struct ochre_error *err);

/*
 * Listen on all that is bound: from now on there are connections.
 *
 * Errors: OCHRE_UNAVAILABLE  somebody else listens there since it was bound
 */
OCH_MUST_CHECK ochre_status och_http_listeners_listen(
        const struct och_http_listeners *listeners, struct ochre_error *err);

/* Close them; all zero is fine. */
void och_http_listeners_close(struct och_http_listeners *listeners);

#endif /* OCH_HTTP_LISTEN_H */
