#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "http/server_internal.h"

/*
 * The library asks for bytes when the client has taken those before.  If the piece in
 * memory is used up, the connection goes to sleep, the executor reads the next piece,
 * and wakes it: so no I/O thread waits for a disk, no worker for a client, and what is
 * in memory is one piece, however long the body is.
 */

/* Closing may write to disks: an I/O thread leaves it to the executor. */
struct och_http_closing {
    struct och_task task; /* first */
    struct och_http_server *server;
    struct och_http_stream stream;
};

static void
close_stream(struct och_http_stream *stream)
{
    if (stream->close != NULL)
        stream->close(stream->context);
    stream->close = NULL;
}

static void
close_away(struct och_task *task)
{
    struct och_http_closing *closing = (struct och_http_closing *) (void *) task;
    struct och_http_server *server = closing->server;
    close_stream(&closing->stream);
    och_mem_release(server->mem, closing, sizeof(*closing));
    atomic_fetch_add_explicit(&server->n_waking, 1, memory_order_relaxed);
    atomic_fetch_sub(&server->n_busy, 1);
    if (atomic_load(&server->is_stopping)) {
        och_mutex_lock(&server->lock);
        och_cond_broadcast(&server->calm);
        och_mutex_unlock(&server->lock);
    }
    /* After this the server may be gone, as in och_http_finish. */
    atomic_fetch_sub_explicit(&server->n_waking, 1, memory_order_release);
}

static void
log_failure(struct och_http_connection *connection, const struct ochre_error *err)
{
    char path[200], message[400];
    const struct och_http_exchange *exchange = &connection->exchange;
    const char *text = err->message[0] != '\0' ? err->message : "it ended before its end";
    och_log_event(connection->server->options.log, OCH_LOG_ERROR, "http.stream.failed",
            "path=%s bytes=%llu message=%s",
            och_log_quote(exchange->request.path, path, sizeof(path)),
            (unsigned long long) exchange->piece.n_read,
            och_log_quote((struct ochre_bytes){text, strlen(text)}, message, sizeof(message)));
}

/* On the executor, while the connection sleeps. */
static void
read_piece(struct och_task *task)
{
    char *start = (char *) task - offsetof(struct och_http_exchange, task);
    /* The exchange is the connection's first member. */
    struct och_http_connection *connection = (struct och_http_connection *) (void *) start;
    struct och_http_exchange *exchange = &connection->exchange;
    struct och_http_stream *stream = &exchange->response.stream;
    struct och_http_piece *piece = &exchange->piece;
    piece->at = 0;
    piece->n = 0;
    struct ochre_error err = {.status = OCHRE_OK};
    ochre_status status =
            stream->read(stream->context, piece->bytes, OCH_HTTP_PIECE_SIZE, &piece->n, &err);
    piece->has_failed = status != OCHRE_OK || piece->n == 0;
    piece->n_read += piece->n;
    if (piece->has_failed)
        log_failure(connection, &err);
    if (piece->has_failed || piece->n_read >= stream->size)
        close_stream(stream);
    och_http_finish(&exchange->request);
}

/* A client that takes a stream must keep up a rate, counted from the first byte: what the
 * stream keeps open is kept for it. */
static void
set_stream_deadline(struct och_http_connection *connection, uint64_t taken)
{
    const struct och_http_options *options = &connection->server->options;
    uint64_t rate = options->stream_rate_min;
    uint64_t earned_ms = taken / rate * 1000 + taken % rate * 1000 / rate;
    atomic_store_explicit(&connection->deadline_ns,
            connection->exchange.stream_begin_ns +
                    (options->stream_grace_ms + earned_ms) * OCH_NS_PER_MS,
            memory_order_relaxed);
}

static ssize_t
take_bytes(void *context, uint64_t position, char *bytes, size_t room)
{
    struct och_http_connection *connection = context;
    struct och_http_server *server = connection->server;
    struct och_http_exchange *exchange = &connection->exchange;
    struct och_http_piece *piece = &exchange->piece;
    /* Pairs with the release in och_http_finish. */
    och_assert(atomic_load_explicit(&exchange->turn, memory_order_acquire) != OCH_HTTP_PARKED);
    if (piece->has_failed || atomic_load(&server->is_closing))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (piece->at == piece->n) {
        atomic_store_explicit(&exchange->turn, OCH_HTTP_PARKED, memory_order_relaxed);
        MHD_suspend_connection(connection->library);
        exchange->task.run = read_piece;
        och_executor_submit(server->options.executor, &exchange->task);
        return 0;
    }
    size_t left = piece->n - piece->at;
    size_t n = room < left ? room : left;
    memcpy(bytes, piece->bytes + piece->at, n);
    piece->at += n;
    set_stream_deadline(connection, position + n); /* the library asks in order */
    return (ssize_t) n;
}

void
och_http_stream_begin(struct och_http_connection *connection)
{
    struct och_http_server *server = connection->server;
    struct och_http_exchange *exchange = &connection->exchange;
    struct och_http_piece *piece = &exchange->piece;
    if (exchange->response.stream.read == NULL)
        return;
    och_assert(server->options.executor != NULL);
    piece->bytes = och_mem_take(server->mem, OCH_HTTP_PIECE_SIZE);
    piece->closing = och_mem_take(server->mem, sizeof(*piece->closing));
    exchange->lacks_memory = piece->bytes == NULL || piece->closing == NULL;
    if (exchange->lacks_memory)
        close_stream(&exchange->response.stream);
}

struct MHD_Response *
och_http_stream_answer(struct och_http_connection *connection)
{
    struct och_http_exchange *exchange = &connection->exchange;
    och_assert(exchange->piece.bytes != NULL);
    exchange->stream_begin_ns = och_http_now(connection->server);
    set_stream_deadline(connection, 0);
    return MHD_create_response_from_callback(
            exchange->response.stream.size, OCH_HTTP_STREAM_SIZE, take_bytes, connection, NULL);
}

void
och_http_stream_end(struct och_http_connection *connection)
{
    struct och_http_server *server = connection->server;
    struct och_http_exchange *exchange = &connection->exchange;
    struct och_http_stream *stream = &exchange->response.stream;
    struct och_http_closing *closing = exchange->piece.closing;
    och_mem_release(server->mem, exchange->piece.bytes, OCH_HTTP_PIECE_SIZE);
    exchange->piece.bytes = NULL;
    exchange->piece.closing = NULL;
    if (stream->close == NULL) {
        och_mem_release(server->mem, closing, sizeof(*closing));
    } else {
        och_assert(closing != NULL);
        *closing = (struct och_http_closing){
                .task.run = close_away, .server = server, .stream = *stream};
        atomic_fetch_add(&server->n_busy, 1);
        och_executor_submit(server->options.executor, &closing->task);
    }
    *stream = (struct och_http_stream){.read = NULL};
}
