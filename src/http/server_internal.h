/*
 * server_internal.h - what the parts of the server share.
 *
 * A connection has a slot for its whole life, and in it the one exchange
 * (request and response) it has at a time:
 *
 *      FREE ── accepted ──> HANDED ── library has it ──> OPEN ── closed ──> FREE
 *
 * A slot's deadline is written by the thread that serves the connection and
 * read by the watch thread, which shuts the socket when it passes.  The fd of a
 * slot is valid, and stays this connection's, while the lock is held and the
 * slot is OPEN: the library tells us before it closes one.
 *
 * An exchange is touched by one thread at a time.  It changes hands through
 * `turn`:
 *
 *      RUNNING   the handler runs on the connection's thread
 *      PARKED    the connection sleeps; whoever finishes wakes it
 *      FINISHED  the response is complete
 *
 * With a streamed body that happens again for each piece of it (stream.c): PARKED while
 * the executor reads one, FINISHED when it is there.
 *
 * Stopping.  The library must not be stopped while a connection sleeps, nor
 * while a thread is inside its wake-up call.  n_busy counts the first, n_waking
 * the second, and is_closing keeps handlers from beginning.  n_busy and
 * is_closing are read and written in one order by all threads (seq_cst): a
 * handler that did not see is_closing has been counted where stop looks.  In
 * the same way is_stopping and a slot's is_busy see to it that a connection is
 * shut either by stop, which finds it idle, or by itself when it becomes idle.
 */
#ifndef OCH_HTTP_SERVER_INTERNAL_H
#define OCH_HTTP_SERVER_INTERNAL_H

#include <microhttpd.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "http/costs.h"
#include "http/head.h"
#include "http/listen.h"
#include "http/server.h"
#include "os/clock.h"
#include "os/executor.h"
#include "os/thread.h"

#define OCH_NS_PER_MS UINT64_C(1000000)

enum {
    OCH_HTTP_POOL_SIZE = 40 * 1024,   /* the library's buffer: all headers and their list */
    OCH_HTTP_DISCARD_MAX = 64 * 1024, /* a refused body up to this is read, not cut off */
    OCH_HTTP_LINGERS_MAX = 64,        /* refused connections drained at a time */
    OCH_HTTP_DRAIN_SIZE = 64 * 1024,  /* bytes thrown away at a time */
    OCH_HTTP_PIECE_SIZE = 256 * 1024, /* of a streamed body in memory at a time */
    OCH_HTTP_STREAM_SIZE = 64 * 1024  /* ... and in the library's hands */
};

/* A drained connection: long enough that a client which writes its whole body
 * before it reads sees the answer instead of a reset. */
#define OCH_HTTP_LINGER_MS UINT64_C(5000)
#define OCH_HTTP_LINGER_SIZE_MAX ((uint64_t) 64 << 20)

typedef enum och_http_turn {
    OCH_HTTP_RUNNING = 0,
    OCH_HTTP_PARKED,
    OCH_HTTP_FINISHED
} och_http_turn;

typedef enum och_http_verdict {
    OCH_HTTP_ACCEPTED = 0, /* read the body, then ask the handler */
    OCH_HTTP_REFUSED,      /* the response stands; the body is thrown away */
    OCH_HTTP_REFUSED_CLOSE /* the response stands and the connection cannot be kept */
} och_http_verdict;

struct och_http_connection;

/* The piece of a streamed body that is on its way to the client. */
struct och_http_piece {
    char *bytes;     /* owned: OCH_HTTP_PIECE_SIZE */
    size_t at, n;    /* taken, and there */
    uint64_t n_read; /* bytes of the stream in all */
    bool has_failed;
    struct och_http_closing *closing; /* owned: room for the task that closes the stream */
};

struct och_http_exchange {
    struct och_http_request request;
    struct och_http_response response;
    struct och_task task;
    struct ochre_bytes target; /* a copy in the arena; absent when that was refused */
    bool target_is_long;       /* over the limit, and not copied */
    struct och_http_framing framing;
    uint64_t begin_ns;
    och_http_verdict verdict;
    bool has_begun;  /* the request line is there */
    bool is_judged;  /* the headers were looked at */
    bool has_run;    /* the handler was asked */
    bool keeps_body; /* the route reads it */
    uint64_t kind;   /* by the route's kind_of */
    char *body;      /* owned, charged to server->bodies */
    size_t body_room;
    uint64_t body_size; /* received, kept or not */
    uint64_t body_begin_ns;
    struct och_http_piece piece;
    bool lacks_memory;        /* for a stream */
    uint64_t stream_begin_ns; /* when the answer with it was begun */
    _Atomic(och_http_turn) turn;
};

typedef enum och_http_slot_state {
    OCH_HTTP_SLOT_FREE = 0,
    OCH_HTTP_SLOT_HANDED,
    OCH_HTTP_SLOT_OPEN
} och_http_slot_state;

struct och_http_connection {
    struct och_http_exchange exchange;
    struct och_http_server *server;   /* borrowed */
    struct MHD_Connection *library;   /* the library's; while OPEN */
    _Atomic(uint64_t) deadline_ns;    /* UINT64_MAX: none */
    atomic_bool is_busy;              /* a request has begun and is not answered */
    bool lingers;                     /* drain before closing; the I/O thread's own */
    bool has_begun;                   /* a request line was understood; the same */
    och_http_slot_state state;        /* guarded by server->lock */
    int fd;                           /* guarded by server->lock */
    uint8_t address[16];              /* guarded by server->lock: who connected */
    struct och_http_connection *next; /* guarded by server->lock: of the free or the handed */
};

struct och_http_linger {
    int fd; /* owned; -1: free */
    uint64_t deadline_ns;
    uint64_t size_left;
};

struct och_http_server {
    struct och_http_options options; /* with defaults filled in */
    struct och_mem *mem;             /* borrowed */
    struct och_mem bodies;           /* all request bodies held now */
    struct och_http_router *router;  /* owned */
    struct och_http_host_rule host_rule;
    char machine_name[256];
    struct och_http_listeners listeners; /* the watch thread's, once it runs */
    uint16_t port;
    struct MHD_Daemon *daemon;
    struct och_thread watch;
    bool watch_runs;
    int epoll_fd, wake_fd;
    atomic_bool is_stopping; /* no new connections; answers close theirs */
    atomic_bool is_closing;  /* no new handlers; what is left is cut off */
    atomic_bool watch_ends;
    atomic_uint n_busy;   /* requests that have begun and not ended */
    atomic_uint n_waking; /* threads inside och_http_finish */
    char *drain;          /* owned: where lingering bytes go */
    struct och_http_costs costs;

    struct och_mutex lock;
    struct och_cond calm;              /* n_busy or n_running fell */
    struct och_http_connection *slots; /* owned, n_connections_max */
    struct och_http_connection *free_slots OCH_GUARDED_BY(lock);
    struct och_http_connection *handed_slots OCH_GUARDED_BY(lock);
    unsigned n_used OCH_GUARDED_BY(lock); /* slots that are not FREE */
    struct och_http_linger lingers[OCH_HTTP_LINGERS_MAX] OCH_GUARDED_BY(lock);

    _Atomic(uint64_t) n_connections, n_requests, n_timeouts, n_refused;
};

static inline uint64_t
och_http_now(const struct och_http_server *server)
{
    return och_machine_monotonic_ns(server->options.machine);
}

/* --- exchange.c: the library's callbacks ---------------------------------- */

void *och_http_on_request_line(void *context, const char *target, struct MHD_Connection *library);
enum MHD_Result och_http_on_request(void *context, struct MHD_Connection *library, const char *url,
        const char *method, const char *version, const char *upload, size_t *upload_size,
        void **state);
void och_http_on_completed(void *context, struct MHD_Connection *library, void **state,
        enum MHD_RequestTerminationCode code);

/* --- stream.c: bodies that are read while they are sent ---------------------- */

/* The handler has answered, and this thread may block: make room for what its stream
 * needs, if there is one, or close it. */
void och_http_stream_begin(struct och_http_connection *connection);

/* An answer whose body is the response's stream, which has begun; NULL: no memory. */
struct MHD_Response *och_http_stream_answer(struct och_http_connection *connection);

/* The exchange has ended: nobody reads the stream any more.  If it is open yet, the executor
 * closes it, and the server waits for that as for a request. */
void och_http_stream_end(struct och_http_connection *connection);

/* --- judge.c: everything decided from the headers -------------------------- */

/* Judge the request; a refusal fills the response. */
och_http_verdict och_http_judge(struct och_http_server *server, struct och_http_exchange *exchange);

/* Headers that depend on the request, on every answer. */
void och_http_add_cors(struct och_http_server *server, struct och_http_exchange *exchange);

/* --- slots.c: connections and their sockets -------------------------------- */

void och_http_on_connection(void *context, struct MHD_Connection *library, void **socket_context,
        enum MHD_ConnectionNotificationCode code);

/* A slot for an accepted socket, or NULL at a limit. */
struct och_http_connection *och_http_slot_take(
        struct och_http_server *server, int fd, const uint8_t address[16]);

/* Shut what is past its deadline, forget what the library lost.  Returns when to look again. */
uint64_t och_http_slots_expire(struct och_http_server *server, uint64_t now_ns);

/* Shut the sockets of idle connections, or of all. */
void och_http_slots_shut(struct och_http_server *server, bool busy_too);

/* What an event of the watch thread is about. */
typedef enum och_http_event {
    OCH_HTTP_EVENT_WAKE = 0,
    OCH_HTTP_EVENT_LISTENER,
    OCH_HTTP_EVENT_LINGER
} och_http_event;

static inline uint64_t
och_http_event_data(och_http_event event, size_t index)
{
    return (uint64_t) event << 32 | (uint64_t) index;
}

/* --- watch.c: accept, deadlines, lingering ---------------------------------- */

void och_http_watch(void *argument); /* the server */
void och_http_wake(struct och_http_server *server);

/* Take over a copy of `fd`, whose answer is written, and drain it before it closes. */
void och_http_linger_add(struct och_http_server *server, int fd);

/* Write an error past the library, as far as the socket takes it. */
void och_http_send_error(struct och_http_server *server, int fd, unsigned status,
        const char *reason, const char *message);

#endif /* OCH_HTTP_SERVER_INTERNAL_H */
