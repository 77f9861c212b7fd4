#include <string.h>

#include "http/server_internal.h"

/*
 * The library asks for bytes when the client has taken those before.  If the piece in
 * memory is used up, the connection goes to sleep, the executor reads the next piece,
 * and wakes it: so no I/O thread waits for a disk, no worker for a client, and what is
 * in memory is one piece, however long the body is.
 */

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
    ochre_status status =
            stream->read(stream->context, piece->bytes, OCH_HTTP_PIECE_SIZE, &piece->n);
    piece->has_failed = status != OCHRE_OK || piece->n == 0;
    och_http_finish(&exchange->request);
}

static ssize_t
take_bytes(void *context, uint64_t position, char *bytes, size_t room)
{
    struct och_http_connection *connection = context;
    struct och_http_server *server = connection->server;
    struct och_http_exchange *exchange = &connection->exchange;
    struct och_http_piece *piece = &exchange->piece;
    (void) position; /* the library asks in order */
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
    return (ssize_t) n;
}

bool
och_http_stream_begin(struct och_http_connection *connection)
{
    struct och_http_piece *piece = &connection->exchange.piece;
    och_assert(connection->server->options.executor != NULL);
    piece->bytes = och_mem_take(connection->server->mem, OCH_HTTP_PIECE_SIZE);
    return piece->bytes != NULL;
}

struct MHD_Response *
och_http_stream_answer(struct och_http_connection *connection)
{
    struct och_http_exchange *exchange = &connection->exchange;
    return MHD_create_response_from_callback(
            exchange->response.stream.size, OCH_HTTP_STREAM_SIZE, take_bytes, connection, NULL);
}

void
och_http_stream_end(struct och_http_connection *connection)
{
    struct och_http_exchange *exchange = &connection->exchange;
    struct och_http_stream *stream = &exchange->response.stream;
    och_mem_release(connection->server->mem, exchange->piece.bytes, OCH_HTTP_PIECE_SIZE);
    exchange->piece.bytes = NULL;
    if (stream->close != NULL)
        stream->close(stream->context);
    *stream = (struct och_http_stream){.read = NULL};
}
