#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "http/server_internal.h"

/* Deadlines may come nearer while the watch thread sleeps (a request begins on
 * an idle connection), so it looks at least this often, or four times within
 * the shortest limit if that is less. */
#define TICK_MS_MAX UINT64_C(1000)
#define TICK_MS_MIN UINT64_C(5)

/* Out of descriptors: how long accepting rests, lest it spin. */
#define ACCEPT_REST_MS UINT64_C(100)

void
och_http_wake(struct och_http_server *server)
{
    uint64_t one = 1;
    ssize_t written = write(server->wake_fd, &one, sizeof(one));
    /* A full counter wakes just as well. */
    och_assert(written == (ssize_t) sizeof(one) || errno == EAGAIN || errno == EINTR);
}

/* --- lingering ------------------------------------------------------------ */

void
och_http_linger_add(struct och_http_server *server, int fd)
{
    int copy = dup(fd);
    if (copy < 0)
        return; /* the client may see a reset instead of the answer */
    size_t index = OCH_HTTP_LINGERS_MAX;
    och_mutex_lock(&server->lock);
    for (size_t i = 0; i < OCH_HTTP_LINGERS_MAX && index == OCH_HTTP_LINGERS_MAX; i++) {
        if (server->lingers[i].fd < 0)
            index = i;
    }
    if (index < OCH_HTTP_LINGERS_MAX) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP,
                .data.u64 = och_http_event_data(OCH_HTTP_EVENT_LINGER, index)};
        if (epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, copy, &event) != 0) {
            index = OCH_HTTP_LINGERS_MAX;
        } else {
            server->lingers[index] = (struct och_http_linger){.fd = copy,
                    .deadline_ns = och_http_now(server) + OCH_HTTP_LINGER_MS * OCH_NS_PER_MS,
                    .size_left = OCH_HTTP_LINGER_SIZE_MAX};
        }
    }
    och_mutex_unlock(&server->lock);
    (void) shutdown(fd, SHUT_WR); /* the answer is whole; the client may see its end */
    if (index == OCH_HTTP_LINGERS_MAX) {
        (void) close(copy);
        return;
    }
    och_http_wake(server);
}

static void
linger_end(const struct och_http_server *server, struct och_http_linger *linger)
{
    /* Closing alone would not do: the library may still hold its descriptor. */
    int removed = epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, linger->fd, NULL);
    och_assert(removed == 0);
    (void) close(linger->fd); /* nothing of ours is buffered in it */
    linger->fd = -1;
}

/* Throw one piece away; the end of the stream, or of our patience, closes. */
static void
linger_drain(struct och_http_server *server, size_t index)
{
    och_mutex_lock(&server->lock);
    struct och_http_linger *linger = &server->lingers[index];
    if (linger->fd >= 0) {
        ssize_t n = recv(linger->fd, server->drain, OCH_HTTP_DRAIN_SIZE, MSG_DONTWAIT);
        bool waits = n < 0 && (errno == EAGAIN || errno == EINTR);
        if (n > 0 && (uint64_t) n < linger->size_left)
            linger->size_left -= (uint64_t) n;
        else if (!waits)
            linger_end(server, linger);
    }
    och_mutex_unlock(&server->lock);
}

static uint64_t
lingers_expire(struct och_http_server *server, uint64_t now_ns)
{
    uint64_t next = UINT64_MAX;
    och_mutex_lock(&server->lock);
    for (size_t i = 0; i < OCH_HTTP_LINGERS_MAX; i++) {
        struct och_http_linger *linger = &server->lingers[i];
        if (linger->fd < 0)
            continue;
        if (linger->deadline_ns <= now_ns)
            linger_end(server, linger);
        else if (linger->deadline_ns < next)
            next = linger->deadline_ns;
    }
    och_mutex_unlock(&server->lock);
    return next;
}

static void
lingers_close(struct och_http_server *server)
{
    och_mutex_lock(&server->lock);
    for (size_t i = 0; i < OCH_HTTP_LINGERS_MAX; i++) {
        if (server->lingers[i].fd >= 0)
            linger_end(server, &server->lingers[i]);
    }
    och_mutex_unlock(&server->lock);
}

/* --- accepting ------------------------------------------------------------ */

void
och_http_send_error(struct och_http_server *server, int fd, unsigned status, const char *reason,
        const char *message)
{
    enum { body_max = 4096 };
    struct och_http_response response = {0};
    och_buf_init(&response.body, server->mem, body_max);
    och_http_error(&response, status, och_http_error_name(status), "%s", message);
    if (och_buf_status(&response.body) != OCHRE_OK)
        och_buf_reset(&response.body);

    char head[512], date[64];
    time_t now = (time_t) (och_machine_wall_ns(server->options.machine) / 1000000000u);
    struct tm utc;
    if (gmtime_r(&now, &utc) == NULL ||
            strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &utc) == 0)
        date[0] = '\0';
    int size = snprintf(head, sizeof(head),
            "HTTP/1.1 %u %s\r\ndate: %s\r\ncontent-type: application/json\r\n"
            "content-length: %zu\r\nconnection: close\r\nchroma-trace-id: %032d\r\n%s\r\n",
            status, reason, date, response.body.size, 0, status == 503 ? "retry-after: 1\r\n" : "");
    och_assert(size > 0 && (size_t) size < sizeof(head));

    /* The socket's buffer is empty, or nearly: an answer this short fits, and a
     * client that has stopped reading does not get one. */
    struct iovec parts[2] = {{.iov_base = head, .iov_len = (size_t) size},
            {.iov_base = response.body.data, .iov_len = response.body.size}};
    struct msghdr bytes = {.msg_iov = parts, .msg_iovlen = response.body.size > 0 ? 2 : 1};
    ssize_t sent = sendmsg(fd, &bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void) sent;
    och_buf_clear(&response.body);
}

static void
turn_away(struct och_http_server *server, int fd)
{
    /* Counted before the client can know. */
    uint64_t before = atomic_fetch_add_explicit(&server->n_refused, 1, memory_order_relaxed);
    och_http_send_error(
            server, fd, 503, "Service Unavailable", "all connections are in use; try again later");
    och_http_linger_add(server, fd);
    (void) close(fd);
    if (before == 0)
        och_log_event(server->options.log, OCH_LOG_WARN, "http.connections.full", "limit=%u",
                server->options.n_connections_max);
}

static void
address_of(const struct sockaddr_storage *from, uint8_t address[16])
{
    memset(address, 0, 16);
    if (from->ss_family == AF_INET6)
        memcpy(address, (const char *) from + offsetof(struct sockaddr_in6, sin6_addr), 16);
    else
        memcpy(address, (const char *) from + offsetof(struct sockaddr_in, sin_addr), 4);
}

/* Accept one connection.  False when there is none, or no descriptor for it. */
static bool
accept_one(struct och_http_server *server, int listener, bool *rest_out)
{
    struct sockaddr_storage from = {0};
    socklen_t from_size = sizeof(from);
    int fd = accept4(listener, (struct sockaddr *) &from, &from_size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        *rest_out = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
        return errno == ECONNABORTED || errno == EINTR;
    }
    uint8_t address[16];
    address_of(&from, address);
    struct och_http_connection *slot = och_http_slot_take(server, fd, address);
    if (slot == NULL) {
        turn_away(server, fd);
        return true;
    }
    atomic_fetch_add_explicit(&server->n_connections, 1, memory_order_relaxed);
    /* From here the library owns the socket, even when it refuses it; a slot it
     * never asks for expires like a silent connection. */
    enum MHD_Result added =
            MHD_add_connection(server->daemon, fd, (struct sockaddr *) &from, from_size);
    if (added != MHD_YES)
        och_log_event(server->options.log, OCH_LOG_WARN, "http.connection.lost", "%s", "");
    return true;
}

/* Accept what is waiting, in portions, so that deadlines are looked at too. */
static bool
accept_some(struct och_http_server *server, int listener)
{
    enum { portion = 64 };
    bool rest = false;
    for (int i = 0; i < portion && !rest; i++) {
        if (!accept_one(server, listener, &rest))
            break;
    }
    return rest;
}

/* --- the thread ----------------------------------------------------------- */

static uint64_t
tick_ns(const struct och_http_options *options)
{
    uint64_t shortest = options->header_timeout_ms;
    shortest = options->idle_timeout_ms < shortest ? options->idle_timeout_ms : shortest;
    shortest = options->body_grace_ms < shortest ? options->body_grace_ms : shortest;
    shortest = options->total_timeout_ms < shortest ? options->total_timeout_ms : shortest;
    shortest = options->stream_grace_ms < shortest ? options->stream_grace_ms : shortest;
    uint64_t tick = shortest / 4;
    tick = tick > TICK_MS_MAX ? TICK_MS_MAX : tick;
    return (tick < TICK_MS_MIN ? TICK_MS_MIN : tick) * OCH_NS_PER_MS;
}

static void
set_listening(struct och_http_server *server, bool on)
{
    for (size_t i = 0; i < server->listeners.n; i++) {
        struct epoll_event event = {.events = on ? EPOLLIN : 0,
                .data.u64 = och_http_event_data(OCH_HTTP_EVENT_LISTENER, i)};
        int changed = epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, server->listeners.fds[i], &event);
        och_assert(changed == 0);
    }
}

/* Nobody is connected: nothing to look at until somebody is. */
static bool
is_deserted(struct och_http_server *server)
{
    och_mutex_lock(&server->lock);
    bool deserted = server->n_used == 0;
    och_mutex_unlock(&server->lock);
    return deserted;
}

/* How long epoll may sleep, in its milliseconds (-1: until something happens). */
static int
sleep_ms(uint64_t now_ns, uint64_t until_ns)
{
    if (until_ns == UINT64_MAX)
        return -1;
    if (until_ns <= now_ns)
        return 0;
    uint64_t ms = (until_ns - now_ns + OCH_NS_PER_MS - 1) / OCH_NS_PER_MS;
    return ms > 60000 ? 60000 : (int) ms;
}

static void
take_wake(struct och_http_server *server)
{
    uint64_t count;
    ssize_t n = read(server->wake_fd, &count, sizeof(count));
    och_assert(n == (ssize_t) sizeof(count) || errno == EAGAIN || errno == EINTR);
    if (atomic_load(&server->is_stopping))
        och_http_listeners_close(&server->listeners);
}

/* Serve one round of events; true when accepting must rest. */
static bool
serve_events(struct och_http_server *server, int timeout_ms)
{
    enum { events_max = 64 };
    struct epoll_event events[events_max];
    bool rest = false;
    int n = epoll_wait(server->epoll_fd, events, events_max, timeout_ms);
    for (int i = 0; i < n; i++) {
        size_t index = (size_t) (events[i].data.u64 & UINT32_MAX);
        switch ((och_http_event) (events[i].data.u64 >> 32)) {
        case OCH_HTTP_EVENT_WAKE:
            take_wake(server);
            break;
        case OCH_HTTP_EVENT_LISTENER:
            if (index < server->listeners.n) /* they may have been closed just now */
                rest |= accept_some(server, server->listeners.fds[index]);
            break;
        case OCH_HTTP_EVENT_LINGER:
            linger_drain(server, index);
            break;
        }
    }
    return rest;
}

void
och_http_watch(void *argument)
{
    struct och_http_server *server = argument;
    uint64_t tick = tick_ns(&server->options);
    uint64_t rest_until = 0; /* 0: accepting */

    while (!atomic_load_explicit(&server->watch_ends, memory_order_acquire)) {
        uint64_t now = och_http_now(server);
        if (rest_until != 0 && now >= rest_until) {
            rest_until = 0;
            set_listening(server, true);
        }
        uint64_t until = och_http_slots_expire(server, now);
        uint64_t linger_until = lingers_expire(server, now);
        until = linger_until < until ? linger_until : until;
        if (!is_deserted(server) && now + tick < until)
            until = now + tick;
        if (rest_until != 0 && rest_until < until)
            until = rest_until;
        if (serve_events(server, sleep_ms(now, until)) && rest_until == 0) {
            rest_until = och_http_now(server) + ACCEPT_REST_MS * OCH_NS_PER_MS;
            set_listening(server, false);
            och_log_event(server->options.log, OCH_LOG_WARN, "http.accept.resting",
                    "reason=\"no descriptors\"");
        }
    }
    och_http_listeners_close(&server->listeners);
    lingers_close(server);
}
