#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "base/log.h"
#include "http/server_internal.h"

struct och_http_connection *
och_http_slot_take(struct och_http_server *server, int fd, const uint8_t address[16])
{
    uint64_t deadline = och_http_now(server) + server->options.header_timeout_ms * OCH_NS_PER_MS;
    unsigned n_same = 0;
    och_mutex_lock(&server->lock);
    struct och_http_connection *slot = server->free_slots;
    if (slot != NULL && OCH_HTTP_CONNECTIONS_PER_ADDRESS_MAX < server->options.n_connections_max) {
        for (unsigned i = 0; i < server->options.n_connections_max; i++) {
            const struct och_http_connection *other = &server->slots[i];
            n_same += other->state != OCH_HTTP_SLOT_FREE &&
                    memcmp(other->address, address, sizeof(other->address)) == 0;
        }
        if (n_same >= OCH_HTTP_CONNECTIONS_PER_ADDRESS_MAX)
            slot = NULL;
    }
    if (slot != NULL) {
        server->free_slots = slot->next;
        server->n_used++;
        slot->next = server->handed_slots;
        server->handed_slots = slot;
        slot->state = OCH_HTTP_SLOT_HANDED;
        slot->fd = fd;
        memcpy(slot->address, address, sizeof(slot->address));
        slot->lingers = false;
        slot->has_begun = false;
        atomic_store_explicit(&slot->is_busy, false, memory_order_relaxed);
        atomic_store_explicit(&slot->deadline_ns, deadline, memory_order_relaxed);
    }
    och_mutex_unlock(&server->lock);
    return slot;
}

static void
free_slot(struct och_http_server *server, struct och_http_connection *slot)
        OCH_REQUIRES(server->lock)
{
    slot->state = OCH_HTTP_SLOT_FREE;
    slot->fd = -1;
    slot->library = NULL;
    slot->next = server->free_slots;
    server->free_slots = slot;
    server->n_used--;
}

/* Take the handed slot of `fd` out of its list; NULL if there is none. */
static struct och_http_connection *
unlink_handed(struct och_http_server *server, int fd) OCH_REQUIRES(server->lock)
{
    struct och_http_connection **link = &server->handed_slots;
    while (*link != NULL && (*link)->fd != fd)
        link = &(*link)->next;
    struct och_http_connection *slot = *link;
    if (slot != NULL)
        *link = slot->next;
    return slot;
}

/* The slot that was made for `fd` when it was accepted. */
static struct och_http_connection *
open_slot(struct och_http_server *server, struct MHD_Connection *library, int fd)
{
    och_mutex_lock(&server->lock);
    struct och_http_connection *slot = unlink_handed(server, fd);
    if (slot != NULL) {
        slot->next = NULL;
        slot->state = OCH_HTTP_SLOT_OPEN;
        slot->library = library;
    }
    och_mutex_unlock(&server->lock);
    return slot;
}

/* Has the peer not closed its side? */
static bool
peer_is_there(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n > 0 || (n < 0 && errno == EAGAIN);
}

void
och_http_on_connection(void *context, struct MHD_Connection *library, void **socket_context,
        enum MHD_ConnectionNotificationCode code)
{
    struct och_http_server *server = context;
    const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(library, MHD_CONNECTION_INFO_CONNECTION_FD);
    och_assert(info != NULL);
    int fd = info->connect_fd;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        struct och_http_connection *slot = open_slot(server, library, fd);
        *socket_context = slot;
        if (slot == NULL)
            (void) shutdown(fd, SHUT_RDWR); /* its slot expired before the library began */
        return;
    }
    struct och_http_connection *slot = *socket_context;
    *socket_context = NULL;
    if (slot == NULL)
        return;
    if (!slot->has_begun && peer_is_there(fd) && !atomic_load(&server->is_stopping)) {
        /* The library hangs up without a word on what is no request line. */
        och_http_send_error(server, fd, 400, "Bad Request", "the request line is malformed");
        slot->lingers = true;
    }
    if (slot->lingers)
        och_http_linger_add(server, fd);
    och_mutex_lock(&server->lock);
    free_slot(server, slot);
    och_mutex_unlock(&server->lock);
}

uint64_t
och_http_slots_expire(struct och_http_server *server, uint64_t now_ns)
{
    uint64_t next = UINT64_MAX;
    unsigned n_shut = 0;
    och_mutex_lock(&server->lock);
    unsigned n_left = server->n_used;
    for (unsigned i = 0; i < server->options.n_connections_max && n_left > 0; i++) {
        struct och_http_connection *slot = &server->slots[i];
        if (slot->state == OCH_HTTP_SLOT_FREE)
            continue;
        n_left--;
        uint64_t deadline = atomic_load_explicit(&slot->deadline_ns, memory_order_relaxed);
        if (deadline > now_ns) {
            next = deadline < next ? deadline : next;
            continue;
        }
        if (slot->state == OCH_HTTP_SLOT_HANDED) {
            /* The library dropped it without a word (it had no memory). */
            (void) unlink_handed(server, slot->fd);
            free_slot(server, slot);
            continue;
        }
        /* Counted before the client can know. */
        atomic_fetch_add_explicit(&server->n_timeouts, 1, memory_order_relaxed);
        atomic_store_explicit(&slot->deadline_ns, UINT64_MAX, memory_order_relaxed);
        (void) shutdown(slot->fd, SHUT_RDWR); /* the library sees the end and closes it */
        n_shut++;
    }
    och_mutex_unlock(&server->lock);
    if (n_shut > 0)
        och_log_event(server->options.log, OCH_LOG_DEBUG, "http.timeout", "connections=%u", n_shut);
    return next;
}

void
och_http_slots_shut(struct och_http_server *server, bool busy_too)
{
    och_mutex_lock(&server->lock);
    for (unsigned i = 0; i < server->options.n_connections_max; i++) {
        struct och_http_connection *slot = &server->slots[i];
        if (slot->state != OCH_HTTP_SLOT_OPEN)
            continue;
        if (busy_too || !atomic_load(&slot->is_busy))
            (void) shutdown(slot->fd, SHUT_RDWR);
    }
    och_mutex_unlock(&server->lock);
}
