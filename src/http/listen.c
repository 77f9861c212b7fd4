#include "http/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"

/* Connections the kernel holds for us while the watch thread is elsewhere. */
enum { BACKLOG = 512 };

/* A free port of one address may be taken on the other: how often to try. */
enum { ATTEMPTS_MAX = 16 };

/* The address a socket gets: the one found, with our port in it. */
union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static union address
with_port(const struct addrinfo *found, uint16_t port)
{
    union address address = {0};
    och_assert(found->ai_addrlen <= sizeof(address));
    memcpy(&address, found->ai_addr, found->ai_addrlen);
    if (found->ai_family == AF_INET6)
        address.v6.sin6_port = htons(port);
    else
        address.v4.sin_port = htons(port);
    return address;
}

static int
open_socket(const struct addrinfo *found, uint16_t port)
{
    union address address = with_port(found, port);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    /* A restart must not wait for the last run's connections to be forgotten. */
    int one = 1, bound = -1;
    int set = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (set == 0 && found->ai_family == AF_INET6) {
        int only = IN6_IS_ADDR_UNSPECIFIED(&address.v6.sin6_addr) ? 0 : 1;
        set = setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
    }
    if (set == 0)
        bound = bind(fd, &address.any, found->ai_addrlen);
    if (bound == 0)
        return fd;
    int reason = errno;
    (void) close(fd); /* nothing was written */
    errno = reason;
    return -1;
}

static uint16_t
port_of(int fd)
{
    union address address = {0};
    socklen_t size = sizeof(address);
    if (getsockname(fd, &address.any, &size) != 0)
        return 0;
    return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

/* Bind one more host, at listeners->port; errno says why not. */
static ochre_status
add(struct och_http_listeners *listeners, const char *host, int flags, struct ochre_error *err)
{
    struct addrinfo hints = {
            .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | flags};
    struct addrinfo *found = NULL;
    int problem = getaddrinfo(host, NULL, &hints, &found);
    if (problem != 0)
        return och_fail(err, OCHRE_INVALID, "host \"%.200s\" has no address: %s", host,
                gai_strerror(problem));

    ochre_status status = OCHRE_OK;
    int reason = 0;
    for (const struct addrinfo *a = found; a != NULL; a = a->ai_next) {
        if (listeners->n == OCH_HTTP_LISTENERS_MAX)
            break;
        int fd = open_socket(a, listeners->port);
        if (fd < 0) {
            reason = errno;
            char buffer[100];
            status = och_fail(err, OCHRE_UNAVAILABLE, "cannot listen on %.200s port %u: %s", host,
                    (unsigned) listeners->port, strerror_r(reason, buffer, sizeof(buffer)));
            break;
        }
        listeners->fds[listeners->n++] = fd;
        if (listeners->port == 0)
            listeners->port = port_of(fd);
    }
    freeaddrinfo(found);
    errno = reason;
    return status;
}

static bool
has_no_ipv6(int reason)
{
    return reason == EAFNOSUPPORT || reason == EADDRNOTAVAIL;
}

static ochre_status
open_loopback(struct och_http_listeners *listeners, uint16_t port, struct ochre_error *err)
{
    for (unsigned attempt = 1;; attempt++) {
        *listeners = (struct och_http_listeners){.port = port};
        ochre_status status = add(listeners, "127.0.0.1", AI_NUMERICHOST, err);
        if (status != OCHRE_OK)
            return status;
        errno = 0;
        status = add(listeners, "::1", AI_NUMERICHOST, err);
        if (status == OCHRE_OK || has_no_ipv6(errno))
            return OCHRE_OK;
        och_http_listeners_close(listeners);
        if (port != 0 || attempt == ATTEMPTS_MAX)
            return status;
    }
}

ochre_status
och_http_listeners_bind(struct och_http_listeners *listeners, const char *host, uint16_t port,
        struct ochre_error *err)
{
    if (host == NULL || strcasecmp(host, "localhost") == 0)
        return open_loopback(listeners, port, err);
    *listeners = (struct och_http_listeners){.port = port};
    ochre_status status = add(listeners, host, 0, err);
    if (status != OCHRE_OK)
        och_http_listeners_close(listeners);
    return status;
}

ochre_status
och_http_listeners_listen(const struct och_http_listeners *listeners, struct ochre_error *err)
{
    for (size_t i = 0; i < listeners->n; i++) {
        char buffer[100];
        if (listen(listeners->fds[i], BACKLOG) != 0)
            return och_fail(err, OCHRE_UNAVAILABLE, "cannot listen on port %u: %s",
                    (unsigned) listeners->port, strerror_r(errno, buffer, sizeof(buffer)));
    }
    return OCHRE_OK;
}

void
och_http_listeners_close(struct och_http_listeners *listeners)
{
    for (size_t i = 0; i < listeners->n; i++)
        (void) close(listeners->fds[i]); /* nothing was written */
    listeners->n = 0;
}
