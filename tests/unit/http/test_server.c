/*
 * The server, end to end, over raw loopback sockets: what a client may send and
 * what it gets.  Handlers are tiny; nothing sleeps: a test that waits, waits for
 * bytes, for the end of a stream or for a handler to say where it is.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/costs.h"
#include "http/server.h"
#include "os/clock.h"
#include "os/executor.h"
#include "os/thread.h"
#include "support/check.h"

enum { ANSWER_SIZE_MAX = 1 << 17, BODY_MAX = 100000, PATIENCE_S = 60 };

/* --- the service under the server -------------------------------------------- */

struct service {
    struct och_mem mem;
    struct och_executor *executor;
    struct och_http_server *server;
    struct och_mutex lock;
    struct och_cond changed;
    unsigned n_waiting; /* handlers inside wait_for_gate */
    bool gate_is_open;
    uint64_t body_seen; /* bytes of all bodies handed to handlers */
    struct och_task later;
    struct och_http_request *later_request;
    unsigned n_streams;            /* that are open */
    uint64_t stream_read;          /* bytes of all of them that were read */
    _Atomic uint64_t stream_fails; /* at this byte; 0: never */
    unsigned n_closed_here;        /* streams that were closed where no handler runs */
    unsigned n_failures;           /* that were logged */
};

static struct service service;

static och_http_outcome
beat(void *context, struct och_http_request *request, struct och_http_response *response)
{
    (void) context;
    (void) request;
    och_buf_put_text(&response->body, "{\"beat\":1}");
    return OCH_HTTP_DONE;
}

static och_http_outcome
echo(void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct service *self = context;
    och_mutex_lock(&self->lock);
    self->body_seen += request->body.size;
    och_mutex_unlock(&self->lock);
    response->status = 201;
    och_buf_put(&response->body, request->body.data, request->body.size);
    return OCH_HTTP_DONE;
}

/* The path's parameters and the query's "q", as the handler sees them. */
static och_http_outcome
show(void *context, struct och_http_request *request, struct och_http_response *response)
{
    (void) context;
    for (size_t i = 0; i < request->n_params; i++) {
        och_buf_put(&response->body, request->params[i].data, request->params[i].size);
        och_buf_put_text(&response->body, "|");
    }
    struct ochre_bytes value;
    size_t n;
    if (och_http_query_get(request, "q", &value, &n) != OCHRE_OK) {
        och_http_error(response, 503, "ChromaError", "no memory");
        return OCH_HTTP_DONE;
    }
    for (size_t i = 0; i < n; i++)
        och_buf_put(&response->body, value.data, value.size);
    och_http_add_header(response, "x-shown", "yes");
    return OCH_HTTP_DONE;
}

static och_http_outcome
wait_for_gate(void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct service *self = context;
    (void) request;
    och_mutex_lock(&self->lock);
    self->n_waiting++;
    och_cond_broadcast(&self->changed);
    while (!self->gate_is_open)
        och_cond_wait(&self->changed, &self->lock);
    self->n_waiting--;
    och_mutex_unlock(&self->lock);
    och_buf_put_text(&response->body, "through");
    return OCH_HTTP_DONE;
}

static void
finish_later(struct och_task *task)
{
    struct service *self =
            (struct service *) (void *) ((char *) task - offsetof(struct service, later));
    och_http_finish(self->later_request);
}

/* Answered by another thread, before or after this one has returned. */
static och_http_outcome
answer_later(void *context, struct och_http_request *request, struct och_http_response *response)
{
    struct service *self = context;
    och_buf_put_text(&response->body, "later");
    self->later_request = request;
    self->later.run = finish_later;
    och_executor_submit(self->executor, &self->later);
    return OCH_HTTP_LATER;
}

static och_http_outcome
answer_at_once(void *context, struct och_http_request *request, struct och_http_response *response)
{
    (void) context;
    och_buf_put_text(&response->body, "at once");
    och_http_finish(request);
    return OCH_HTTP_LATER;
}

/* --- streamed bodies: each byte is known by its place ------------------------------- */

struct pattern {
    uint64_t at, size;
};

static char
byte_at(uint64_t at)
{
    return (char) ((at * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

static ochre_status
read_pattern(void *context, void *bytes, size_t room, size_t *n_out, struct ochre_error *err)
{
    struct pattern *pattern = context;
    uint64_t left = pattern->size - pattern->at;
    size_t n = room < left ? room : (size_t) left;
    if (service.stream_fails != 0 && pattern->at >= service.stream_fails)
        return och_fail(err, OCHRE_IO, "the pattern \"%u\" ends", 7U);
    for (size_t i = 0; i < n; i++)
        ((char *) bytes)[i] = byte_at(pattern->at + i);
    pattern->at += n;
    *n_out = n;
    och_mutex_lock(&service.lock);
    service.stream_read += n;
    och_mutex_unlock(&service.lock);
    return OCHRE_OK;
}

static void
close_pattern(void *context)
{
    char name[OCH_THREAD_NAME_SIZE];
    check(pthread_getname_np(pthread_self(), name, sizeof(name)) == 0);
    och_mem_release(&service.mem, context, sizeof(struct pattern));
    och_mutex_lock(&service.lock);
    service.n_closed_here += strncmp(name, "och-work", 8) != 0;
    service.n_streams--;
    och_cond_broadcast(&service.changed);
    och_mutex_unlock(&service.lock);
}

/* As many bytes as the path says. */
static och_http_outcome
stream(void *context, struct och_http_request *request, struct och_http_response *response)
{
    char digits[24] = "";
    (void) context;
    check(request->params[0].size < sizeof(digits));
    memcpy(digits, request->params[0].data, request->params[0].size);
    struct pattern *pattern = och_mem_take(&service.mem, sizeof(*pattern));
    if (pattern == NULL) {
        och_http_error(response, 503, "ChromaError", "no memory");
        return OCH_HTTP_DONE;
    }
    *pattern = (struct pattern){.size = strtoull(digits, NULL, 10)};
    och_mutex_lock(&service.lock);
    service.n_streams++;
    och_mutex_unlock(&service.lock);
    response->content_type = "application/octet-stream";
    response->stream = (struct och_http_stream){.size = pattern->size,
            .read = read_pattern,
            .close = close_pattern,
            .context = pattern};
    return OCH_HTTP_DONE;
}

static void
wait_until_streams_are_closed(void)
{
    och_mutex_lock(&service.lock);
    while (service.n_streams > 0)
        och_cond_wait(&service.changed, &service.lock);
    och_mutex_unlock(&service.lock);
}

static uint64_t
short_by_size(void *context, struct och_http_request *request)
{
    (void) context;
    return request->body.size < 10 ? OCH_HTTP_KIND_SHORT : OCH_HTTP_KIND_NONE;
}

/* "here" or "away"; before that, "spin" takes its time, and "gate" waits. */
static och_http_outcome
where(void *context, struct och_http_request *request, struct och_http_response *response)
{
    char name[OCH_THREAD_NAME_SIZE];
    check(pthread_getname_np(pthread_self(), name, sizeof(name)) == 0);
    uint64_t end_ns = och_thread_usage().cpu_ns + 2 * OCH_HTTP_COST_SURE_NS;
    while (och_bytes_is(request->body, "spin") && och_thread_usage().cpu_ns < end_ns)
        continue;
    if (och_bytes_is(request->body, "gate"))
        (void) wait_for_gate(context, request, response);
    och_buf_reset(&response->body);
    och_buf_put_text(&response->body, strncmp(name, "och-work", 8) == 0 ? "away" : "here");
    return OCH_HTTP_DONE;
}

/* Requests to one path are of one kind. */
static uint64_t
kind_by_path(void *context, struct och_http_request *request)
{
    (void) context;
    check(request->decoded == NULL);
    request->decoded = &service;
    return och_hash64(request->path.data, request->path.size);
}

static const struct och_http_route routes[] = {
        {OCH_HTTP_GET, "/beat", OCH_HTTP_INLINE | OCH_HTTP_PUBLIC, beat, NULL},
        {OCH_HTTP_GET, "/away", 0, beat, NULL},
        {OCH_HTTP_POST, "/echo", OCH_HTTP_INLINE | OCH_HTTP_READS_BODY, echo, NULL},
        {OCH_HTTP_POST, "/away", OCH_HTTP_READS_BODY, echo, short_by_size},
        {OCH_HTTP_POST, "/reset", OCH_HTTP_INLINE, echo, NULL},
        {OCH_HTTP_GET, "/show/{a}/to/{b}", OCH_HTTP_INLINE, show, NULL},
        {OCH_HTTP_POST, "/where/{kind}", OCH_HTTP_READS_BODY, where, kind_by_path},
        {OCH_HTTP_GET, "/gate", 0, wait_for_gate, NULL},
        {OCH_HTTP_GET, "/later", OCH_HTTP_INLINE, answer_later, NULL},
        {OCH_HTTP_GET, "/at-once", OCH_HTTP_INLINE, answer_at_once, NULL},
        {OCH_HTTP_GET, "/stream/{size}", OCH_HTTP_LONG, stream, NULL},
        {OCH_HTTP_GET, "/own-stream/{size}", OCH_HTTP_LONG | OCH_HTTP_OWN_SITE, stream, NULL},
        {OCH_HTTP_GET, "/stream-here/{size}", OCH_HTTP_INLINE | OCH_HTTP_LONG, stream, NULL},
};

static struct och_http_options
plain_options(void)
{
    return (struct och_http_options){.mem = &service.mem,
            .executor = service.executor,
            .machine = och_machine_posix(),
            .routes = routes,
            .n_routes = sizeof(routes) / sizeof(routes[0]),
            .context = &service,
            .body_size_max = BODY_MAX};
}

static void
start_with(struct och_http_options options)
{
    struct ochre_error err;
    service.gate_is_open = false;
    service.n_waiting = 0;
    service.body_seen = 0;
    service.stream_read = 0;
    service.stream_fails = 0;
    service.n_closed_here = 0;
    service.n_failures = 0;
    check_ok(och_http_server_open(&options, &service.server, &err), &err);
}

static void
start(void)
{
    start_with(plain_options());
}

static void
stop(void)
{
    och_http_server_stop(service.server, PATIENCE_S * 1000);
    service.server = NULL;
}

static void
open_gate(void)
{
    och_mutex_lock(&service.lock);
    service.gate_is_open = true;
    och_cond_broadcast(&service.changed);
    och_mutex_unlock(&service.lock);
}

static void
wait_until_waiting(unsigned n)
{
    och_mutex_lock(&service.lock);
    while (service.n_waiting < n)
        och_cond_wait(&service.changed, &service.lock);
    och_mutex_unlock(&service.lock);
}

/* --- the client ---------------------------------------------------------------- */

/* A connection, or -1 with errno. */
static int
try_dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
            .sin_port = htons(och_http_server_port(service.server))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    check(fd >= 0);
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int one = 1;
    check(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) == 0);
    check(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0);
    check(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0);
    if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
        return fd;
    int reason = errno;
    check(close(fd) == 0);
    errno = reason;
    return -1;
}

static int
dial(void)
{
    int fd = try_dial();
    check(fd >= 0);
    return fd;
}

/* False when the server has closed meanwhile. */
static bool
send_bytes(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        size -= (size_t) n;
    }
    return true;
}

static void
send_text(int fd, const char *text)
{
    check(send_bytes(fd, text, strlen(text)));
}

struct answer {
    unsigned status; /* 0: the connection ended before an answer */
    char head[4096];
    char body[ANSWER_SIZE_MAX];
    size_t size;
};

/* The value of a header in the answer, or NULL; only good until the next call. */
static const char *
header(const struct answer *answer, const char *name)
{
    static char value[512];
    size_t size = strlen(name);
    for (const char *line = strstr(answer->head, "\r\n"); line != NULL;
            line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, size) != 0 || line[2 + size] != ':')
            continue;
        const char *start = line + 2 + size + 1;
        start += strspn(start, " ");
        size_t value_size = strcspn(start, "\r");
        check(value_size < sizeof(value));
        memcpy(value, start, value_size);
        value[value_size] = '\0';
        return value;
    }
    return NULL;
}

static bool
header_is(const struct answer *answer, const char *name, const char *value)
{
    const char *found = header(answer, name);
    if (found == NULL || value == NULL)
        return found == value;
    return strcasecmp(found, value) == 0;
}

/* Read one answer, byte by byte up to its body, so that the next stays unread. */
static struct answer *
read_answer_to(int fd, bool is_head)
{
    static struct answer answer;
    size_t n = 0;
    answer.status = 0;
    answer.size = 0;
    answer.head[0] = '\0';
    while (n < 4 || memcmp(answer.head + n - 4, "\r\n\r\n", 4) != 0) {
        check(n + 1 < sizeof(answer.head));
        ssize_t got = recv(fd, answer.head + n, 1, 0);
        if (got <= 0) {
            check(got == 0 || errno == ECONNRESET);
            return &answer;
        }
        n++;
        answer.head[n] = '\0';
    }
    check(strncmp(answer.head, "HTTP/1.1 ", 9) == 0 || strncmp(answer.head, "HTTP/1.0 ", 9) == 0);
    answer.status = (unsigned) strtoul(answer.head + 9, NULL, 10);
    const char *length = header(&answer, "content-length");
    size_t size = length == NULL || is_head ? 0 : strtoul(length, NULL, 10);
    check(size < sizeof(answer.body));
    while (answer.size < size) {
        ssize_t got = recv(fd, answer.body + answer.size, size - answer.size, 0);
        check(got > 0);
        answer.size += (size_t) got;
    }
    answer.body[answer.size] = '\0';
    return &answer;
}

static struct answer *
read_answer(int fd)
{
    return read_answer_to(fd, false);
}

static struct answer *
ask(int fd, const char *request)
{
    send_text(fd, request);
    return read_answer(fd);
}

/* One request on a connection of its own. */
static struct answer *
ask_once(const char *request)
{
    int fd = dial();
    struct answer *answer = ask(fd, request);
    check(close(fd) == 0);
    return answer;
}

/* The stream ends here, however: nothing more comes. */
static bool
is_at_end(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* The stream ends without another answer of ours. */
static bool
ends_unanswered(int fd)
{
    char rest[4096];
    size_t n = 0;
    ssize_t got = 1;
    while (got > 0 && n + 1 < sizeof(rest)) {
        got = recv(fd, rest + n, sizeof(rest) - 1 - n, 0);
        n += got > 0 ? (size_t) got : 0;
    }
    rest[n] = '\0';
    return (got == 0 || (got < 0 && errno == ECONNRESET)) && strstr(rest, " 200 ") == NULL;
}

static void
check_error(const struct answer *answer, unsigned status, const char *name)
{
    char start[100];
    if (answer->status != status)
        print_error("status %u instead of %u: %s\n", answer->status, status, answer->body);
    check(answer->status == status);
    (void) snprintf(start, sizeof(start), "{\"error\":\"%s\",\"message\":\"", name);
    check(strncmp(answer->body, start, strlen(start)) == 0);
    check(header_is(answer, "content-type", "application/json"));
    check(header_is(answer, "chroma-trace-id", "00000000000000000000000000000000"));
    check(header_is(answer, "server", NULL));
}

/* --- streamed bodies ---------------------------------------------------------------- */

/* Read the head of an answer; its body stays unread. */
static unsigned
read_head(int fd, uint64_t *size_out)
{
    struct answer *answer = read_answer_to(fd, true);
    const char *length = header(answer, "content-length");
    *size_out = length == NULL ? 0 : strtoull(length, NULL, 10);
    return answer->status;
}

/* Read a body as far as it comes, and compare; how many bytes came. */
static uint64_t
read_pattern_body(int fd, uint64_t size)
{
    static char bytes[100000];
    uint64_t at = 0;
    ssize_t got = 1;
    while (at < size && got > 0) {
        uint64_t left = size - at;
        got = recv(fd, bytes, left < sizeof(bytes) ? (size_t) left : sizeof(bytes), 0);
        for (ssize_t i = 0; i < got; i++)
            check(bytes[i] == byte_at(at + (uint64_t) i));
        at += got > 0 ? (uint64_t) got : 0;
    }
    return at;
}

static void
streamed_bodies_arrive_whole(void **state)
{
    (void) state;
    static const uint64_t sizes[] = {1, 1000, 65536, 262143, 262144, 262145, (16 << 20) + 17};
    static const char *const paths[] = {"stream", "stream-here"};
    start();
    int fd = dial();
    for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        char request[100];
        uint64_t wanted = sizes[i / 2], size = 0;
        (void) snprintf(request, sizeof(request),
                "GET /%s/%llu HTTP/1.1\r\nHost: localhost\r\n\r\n", paths[i % 2],
                (unsigned long long) wanted);
        send_text(fd, request);
        check(read_head(fd, &size) == 200 && size == wanted);
        check(read_pattern_body(fd, size) == wanted);
    }
    /* The connection is as good as before. */
    check(ask(fd, "GET /beat HTTP/1.1\r\nHost: localhost\r\n\r\n")->status == 200);
    wait_until_streams_are_closed();
    check(close(fd) == 0);
    stop();
}

/* What a client does not take is not read: a gigabyte, of which one piece is in memory. */
static void
a_client_that_takes_nothing_is_not_read_ahead_for(void **state)
{
    (void) state;
    start();
    int fd = dial();
    uint64_t size = 0;
    size_t used = och_mem_used(&service.mem);
    send_text(fd, "GET /stream/1000000000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    check(read_head(fd, &size) == 200 && size == 1000000000);
    check(read_pattern_body(fd, 1000000) == 1000000);
    check(och_mem_used(&service.mem) < used + (1 << 20));
    /* Others are served meanwhile. */
    check(ask_once("GET /away HTTP/1.1\r\nHost: localhost\r\n\r\n")->status == 200);
    check(close(fd) == 0);
    wait_until_streams_are_closed();
    check(service.stream_read >= 1000000 && service.stream_read < 100000000);
    stop();
}

static void
count_failure(void *context, och_log_level level, const char *event, const char *fields)
{
    (void) context;
    if (strcmp(event, "http.stream.failed") != 0)
        return;
    check(level == OCH_LOG_ERROR && strstr(fields, "path=\"/stream/3000000\" bytes=") != NULL);
    check(strstr(fields, "message=\"the pattern \\\"7\\\" ends\"") != NULL);
    och_mutex_lock(&service.lock);
    service.n_failures++;
    och_mutex_unlock(&service.lock);
}

/* And said where somebody may look: the client only sees fewer bytes. */
static void
a_stream_that_fails_is_cut_short(void **state)
{
    (void) state;
    const struct och_log log = {.write = count_failure, .level_max = OCH_LOG_INFO};
    struct och_http_options options = plain_options();
    options.log = &log;
    start_with(options);
    for (uint64_t fails = 1; fails <= 1000000; fails += 333333) {
        int fd = dial();
        uint64_t size = 0;
        service.stream_fails = fails;
        send_text(fd, "GET /stream/3000000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        check(read_head(fd, &size) == 200 && size == 3000000);
        uint64_t got = read_pattern_body(fd, size);
        check(got >= fails && got < size && is_at_end(fd));
        check(close(fd) == 0);
    }
    wait_until_streams_are_closed();
    stop();
    check(service.n_failures == 4);
}

/* Closing may write to disks, whether all was read, or the client went away. */
static void
streams_are_closed_where_handlers_run(void **state)
{
    (void) state;
    start();
    for (unsigned i = 0; i < 4; i++) {
        int fd = dial();
        uint64_t size = 0;
        send_text(fd,
                i % 2 == 0 ? "GET /stream/3000000 HTTP/1.1\r\nHost: localhost\r\n\r\n"
                           : "GET /stream/1000000000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
        check(read_head(fd, &size) == 200);
        check(read_pattern_body(fd, 3000000) == 3000000);
        check(close(fd) == 0);
        wait_until_streams_are_closed();
    }
    check(service.n_closed_here == 0);
    stop();
}

/* What a stream holds open is held for a while, not for ever. */
static void
who_takes_a_stream_too_slowly_is_cut_off(void **state)
{
    (void) state;
    struct och_http_options options = plain_options();
    options.stream_grace_ms = 200;
    options.stream_rate_min = (uint64_t) 1 << 40;
    start_with(options);
    int fd = dial();
    uint64_t size = 0;
    send_text(fd, "GET /stream/1000000000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    check(read_head(fd, &size) == 200);
    wait_until_streams_are_closed(); /* though the client is there, and takes nothing */
    check(read_pattern_body(fd, size) < size);
    check(close(fd) == 0);
    check(och_http_server_counts(service.server).n_timeouts == 1);
    stop();
}

/* A rate that is kept earns time. */
static void
who_keeps_up_is_not_cut_off(void **state)
{
    (void) state;
    struct och_http_options options = plain_options();
    options.stream_grace_ms = 60;
    options.stream_rate_min = 1;
    start_with(options);
    int fd = dial();
    uint64_t size = 0;
    send_text(fd, "GET /stream/3000000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    check(read_head(fd, &size) == 200);
    check(read_pattern_body(fd, size) == size);
    check(ask(fd, "GET /beat HTTP/1.1\r\nHost: localhost\r\n\r\n")->status == 200);
    check(close(fd) == 0);
    stop();
}

static void
a_head_reads_no_stream(void **state)
{
    (void) state;
    start();
    int fd = dial();
    uint64_t size = 0;
    send_text(fd, "HEAD /stream/5000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    check(read_head(fd, &size) == 200 && size == 5000);
    check(ask(fd, "GET /beat HTTP/1.1\r\nHost: localhost\r\n\r\n")->status == 200);
    wait_until_streams_are_closed();
    check(service.stream_read == 0);
    check(close(fd) == 0);
    stop();
}

static void
stopping_cuts_streams_off(void **state)
{
    (void) state;
    start();
    int fd = dial();
    uint64_t size = 0;
    send_text(fd, "GET /stream/1000000000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    check(read_head(fd, &size) == 200);
    och_http_server_stop(service.server, 1);
    service.server = NULL;
    check(service.n_streams == 0 && read_pattern_body(fd, size) < size);
    check(close(fd) == 0);
}

/* --- answers ---------------------------------------------------------------------- */

static void
a_get_is_answered_with_length_type_and_date(void **state)
{
    (void) state;
    start();
    struct answer *answer = ask_once("GET /beat HTTP/1.1\r\nHost: localhost\r\n\r\n");
    check(answer->status == 200 && strcmp(answer->body, "{\"beat\":1}") == 0);
    check(header_is(answer, "content-type", "application/json"));
    check(header_is(answer, "content-length", "10"));
    check(header(answer, "date") != NULL);
    check(header_is(answer, "server", NULL));
    check(header_is(answer, "chroma-trace-id", NULL));
    check(header_is(answer, "transfer-encoding", NULL));
    check(header_is(answer, "vary", NULL));
    answer = ask_once("GET /beat HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n");
    check(answer->status == 200 && header_is(answer, "content-encoding", NULL));
    answer = ask_once("GET http://localhost/beat HTTP/1.1\r\nHost: localhost\r\n\r\n");
    check(answer->status == 200);
    stop();
}

static void
a_head_has_the_headers_of_its_get_and_no_body(void **state)
{
    (void) state;
    start();
    int fd = dial();
    send_text(fd,
            "HEAD /beat HTTP/1.1\r\n\r\nHEAD /nope HTTP/1.1\r\n\r\n"
            "GET /beat HTTP/1.1\r\n\r\n");
    struct answer *answer = read_answer_to(fd, true);
    check(answer->status == 200 && header_is(answer, "content-length", "10"));
    answer = read_answer_to(fd, true);
    check(answer->status == 404 && header(answer, "chroma-trace-id") != NULL);
    check(read_answer(fd)->size == 10);
    check(close(fd) == 0);
    stop();
}

static void
unknown_routes_and_methods_are_json_errors(void **state)
{
    static const char *const unknown[] = {"/", "/nope", "/beat/", "//beat", "/Beat", "/show/a/to",
            "/show//to/b", "/show/a/to/", "/%62eat", "*"};
    (void) state;
    start();
    int fd = dial();
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        char request[100];
        (void) snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n\r\n", unknown[i]);
        check_error(ask(fd, request), 404, "NotFoundError");
    }
    struct answer *answer = ask(fd, "DELETE /beat HTTP/1.1\r\n\r\n");
    check_error(answer, 405, "ChromaError");
    check(header_is(answer, "allow", "GET,HEAD"));
    check(strstr(answer->head, "allow: GET,HEAD\r\n") != NULL);
    answer = ask(fd, "OPTIONS /away HTTP/1.1\r\n\r\n");
    check_error(answer, 405, "ChromaError");
    check(header_is(answer, "allow", "GET,HEAD,POST"));
    check_error(ask(fd, "BREW /beat HTTP/1.1\r\n\r\n"), 405, "ChromaError");
    check(ask(fd, "GET /beat HTTP/1.1\r\n\r\n")->status == 200);
    check(close(fd) == 0);
    check(och_http_server_counts(service.server).n_connections == 1);
    stop();
}

static void
paths_and_queries_are_decoded_once(void **state)
{
    (void) state;
    start();
    struct answer *answer =
            ask_once("GET /show/a%2Fb/to/%2525%20+?x=1&q=c%26d+e&q=f HTTP/1.1\r\n\r\n");
    check(answer->status == 200 && strcmp(answer->body, "a/b|%25 +|c&d ec&d e") == 0);
    check(header_is(answer, "x-shown", "yes"));
    answer = ask_once("GET /show/a%00b/to/%e2%82%ac HTTP/1.1\r\n\r\n");
    check(answer->size == 8 && memcmp(answer->body, "a\0b|\xe2\x82\xac|", 8) == 0);
    answer = ask_once("GET /show/a/to/%ff HTTP/1.1\r\n\r\n");
    check_error(answer, 400, "InvalidArgumentError");
    check(strstr(answer->body, "\\\"b\\\"") != NULL);
    check_error(ask_once("DELETE /show/a/to/%ff HTTP/1.1\r\n\r\n"), 405, "ChromaError");
    stop();
}

/* --- connections --------------------------------------------------------------------- */

static void
pipelined_requests_are_answered_in_order(void **state)
{
    (void) state;
    start();
    int fd = dial();
    send_text(fd,
            "POST /echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nfirst"
            "GET /away HTTP/1.1\r\n\r\n"
            "POST /away HTTP/1.1\r\nContent-Length: 19\r\n\r\nthird and far longer"
            "GET /beat HTTP/1.1\r\n\r\n");
    check(strcmp(read_answer(fd)->body, "first") == 0);
    check(strcmp(read_answer(fd)->body, "{\"beat\":1}") == 0);
    check(strcmp(read_answer(fd)->body, "third and far longe") == 0);
    struct answer *answer = read_answer(fd); /* "r" is where a method should be */
    check(answer->status == 405 || answer->status == 400);
    check(close(fd) == 0);
    stop();
}

static void
a_connection_is_kept_until_it_is_told_to_close(void **state)
{
    (void) state;
    start();
    int fd = dial();
    for (int i = 0; i < 50; i++) {
        struct answer *answer = ask(fd, "POST /away HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi");
        check(answer->status == 201 && strcmp(answer->body, "hi") == 0);
        check(header_is(answer, "connection", NULL));
    }
    struct answer *answer = ask(fd, "GET /beat HTTP/1.1\r\nConnection: close\r\n\r\n");
    check(answer->status == 200 && header_is(answer, "connection", "close"));
    check(is_at_end(fd));
    check(close(fd) == 0);

    fd = dial();
    check(ask(fd, "GET /beat HTTP/1.0\r\n\r\n")->status == 200);
    check(is_at_end(fd));
    check(close(fd) == 0);
    struct och_http_counts counts = och_http_server_counts(service.server);
    check(counts.n_connections == 2 && counts.n_requests == 52);
    stop();
}

static void
a_client_that_has_said_everything_still_gets_its_answer(void **state)
{
    (void) state;
    start();
    int fd = dial();
    send_text(fd, "POST /away HTTP/1.1\r\nContent-Length: 16\r\n\r\nhalf-closed body");
    check(shutdown(fd, SHUT_WR) == 0);
    check(strcmp(read_answer(fd)->body, "half-closed body") == 0);
    check(is_at_end(fd));
    check(close(fd) == 0);
    stop();
}

static void
handlers_may_answer_later_or_before_they_return(void **state)
{
    (void) state;
    start();
    int fd = dial();
    for (int i = 0; i < 200; i++) {
        check(strcmp(ask(fd, "GET /later HTTP/1.1\r\n\r\n")->body, "later") == 0);
        check(strcmp(ask(fd, "GET /at-once HTTP/1.1\r\n\r\n")->body, "at once") == 0);
    }
    check(close(fd) == 0);
    stop();
}

static void
connections_over_the_limit_are_told_so(void **state)
{
    (void) state;
    struct och_http_options options = plain_options();
    options.n_connections_max = 2;
    start_with(options);
    int first = dial(), second = dial();
    check(ask(first, "GET /beat HTTP/1.1\r\n\r\n")->status == 200);
    check(ask(second, "GET /beat HTTP/1.1\r\n\r\n")->status == 200);
    int third = dial();
    struct answer *answer = read_answer(third);
    check_error(answer, 503, "ChromaError");
    check(header_is(answer, "retry-after", "1") && header_is(answer, "connection", "close"));
    check(is_at_end(third));
    check(close(third) == 0);
    check(och_http_server_counts(service.server).n_refused == 1);

    /* A place that is given up can be had again, as soon as the server knows. */
    check(close(first) == 0);
    unsigned status = 503;
    while (status == 503) {
        int fd = dial();
        check(send_bytes(fd, "GET /beat HTTP/1.1\r\n\r\n", 22));
        status = read_answer(fd)->status;
        check(close(fd) == 0);
    }
    check(status == 200);
    check(ask(second, "GET /beat HTTP/1.1\r\n\r\n")->status == 200);
    check(close(second) == 0);
    stop();
}

/* --- bodies ---------------------------------------------------------------------------- */

static void
chunked_bodies_arrive_whole_however_they_are_cut(void **state)
{
    static const char request[] = "POST /away HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "5\r\nhello\r\n1;ext=1\r\n \r\n0A\r\nworld again\r\n0\r\n"
                                  "Trailer: x\r\n\r\n";
    (void) state;
    start();
    int fd = dial();
    /* "0A" is one too few for "world again": the last letter breaks the framing. */
    check(ask(fd, request)->status == 400);
    check(close(fd) == 0);

    static const char good[] = "POST /away HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "5\r\nhello\r\n1;ext=1\r\n \r\n0b\r\nworld again\r\n0\r\n"
                               "Trailer: x\r\n\r\n";
    fd = dial();
    for (size_t cut = 1; cut < sizeof(good) - 1; cut++) {
        check(send_bytes(fd, good, cut) && send_bytes(fd, good + cut, sizeof(good) - 1 - cut));
        check(strcmp(read_answer(fd)->body, "hello world again") == 0);
    }
    check(close(fd) == 0);
    stop();
}

static void
a_client_that_waits_is_told_to_go_on_or_refused_at_once(void **state)
{
    (void) state;
    start();
    int fd = dial();
    send_text(fd, "POST /echo HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    check(read_answer(fd)->status == 100);
    send_text(fd, "body");
    check(strcmp(read_answer(fd)->body, "body") == 0);

    send_text(fd, "POST /nope HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    check_error(read_answer(fd), 404, "NotFoundError");
    check(is_at_end(fd));
    check(close(fd) == 0);
    check_error(ask_once("POST /echo HTTP/1.1\r\nContent-Length: 1\r\nExpect: tea\r\n\r\n"), 417,
            "ChromaError");
    stop();
}

/* `size` bytes of body to `path`, announced or in chunks of 1000. */
static struct answer *
send_sized(const char *path, size_t size, bool chunked, int *fd_out)
{
    static char bytes[1000];
    char head[200];
    memset(bytes, 'x', sizeof(bytes));
    int fd = dial();
    if (chunked)
        (void) snprintf(
                head, sizeof(head), "POST %s HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", path);
    else
        (void) snprintf(
                head, sizeof(head), "POST %s HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", path, size);
    send_text(fd, head);
    bool sent = true;
    for (size_t left = size; left > 0 && sent;) {
        size_t n = left < sizeof(bytes) ? left : sizeof(bytes);
        char line[16];
        if (chunked) {
            (void) snprintf(line, sizeof(line), "%zx\r\n", n);
            sent = send_bytes(fd, line, strlen(line));
        }
        sent = sent && send_bytes(fd, bytes, n) && (!chunked || send_bytes(fd, "\r\n", 2));
        left -= n;
    }
    if (chunked && sent)
        (void) send_bytes(fd, "0\r\n\r\n", 5);
    *fd_out = fd;
    return read_answer(fd);
}

static void
bodies_at_the_limit_pass_and_one_byte_more_does_not(void **state)
{
    (void) state;
    start();
    for (int chunked = 0; chunked < 2; chunked++) {
        int fd;
        struct answer *answer = send_sized("/echo", BODY_MAX, chunked != 0, &fd);
        check(answer->status == 201 && answer->size == BODY_MAX);
        check(close(fd) == 0);
        check_error(send_sized("/echo", BODY_MAX + 1, chunked != 0, &fd), 413, "ChromaError");
        check(is_at_end(fd));
        check(close(fd) == 0);
        /* The client writes all of it before it reads, and sees no reset. */
        check_error(send_sized("/echo", 50 * BODY_MAX, chunked != 0, &fd), 413, "ChromaError");
        check(close(fd) == 0);
        /* A route that ignores its body has the same limit. */
        check(send_sized("/reset", BODY_MAX, chunked != 0, &fd)->status == 201);
        check(close(fd) == 0);
        check_error(send_sized("/reset", BODY_MAX + 1, chunked != 0, &fd), 413, "ChromaError");
        check(close(fd) == 0);
    }
    check(service.body_seen == 2 * BODY_MAX);
    stop();
}

static void
a_refusal_needs_no_byte_of_the_body(void **state)
{
    (void) state;
    start();
    /* Nothing of these bodies is ever sent. */
    check_error(
            ask_once("POST /nope HTTP/1.1\r\nContent-Length: 90000\r\n\r\n"), 404, "NotFoundError");
    check_error(
            ask_once("DELETE /echo HTTP/1.1\r\nContent-Length: 90000\r\n\r\n"), 405, "ChromaError");
    check_error(ask_once("POST /echo HTTP/1.1\r\nContent-Type: text/plain\r\n"
                         "Content-Length: 90000\r\n\r\n"),
            415, "ChromaError");
    check_error(
            ask_once("POST /echo HTTP/1.1\r\nContent-Length: 100001\r\n\r\n"), 413, "ChromaError");
    check_error(ask_once("POST /nope HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), 404,
            "NotFoundError");

    /* A short refused body is read, and the connection lives on. */
    int fd = dial();
    check_error(ask(fd, "POST /nope HTTP/1.1\r\nContent-Length: 7\r\n\r\n{\"a\":1}"), 404,
            "NotFoundError");
    check(ask(fd, "GET /beat HTTP/1.1\r\n\r\n")->status == 200);
    check(close(fd) == 0);
    check(service.body_seen == 0);
    stop();
}

static void
content_types_that_are_not_json_are_refused(void **state)
{
    static const struct {
        const char *headers;
        unsigned status;
    } rows[] = {
            {"", 201},
            {"Content-Type: application/json\r\n", 201},
            {"content-type: APPLICATION/JSON; charset=utf-8\r\n", 201},
            {"Content-Type: application/vnd.x+json\r\n", 201},
            {"Content-Type:\r\n", 415},
            {"Content-Type: text/plain\r\n", 415},
            {"Content-Type: application/json-seq\r\n", 415},
            {"Host: localhost:80\r\nOrigin: http://localhost:80\r\n", 415},
            {"Host: localhost:80\r\nOrigin: http://localhost:80\r\n"
             "Content-Type: application/json\r\n",
                    201},
    };
    (void) state;
    start();
    int fd = dial();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char request[300];
        (void) snprintf(request, sizeof(request),
                "POST /echo HTTP/1.1\r\n%sContent-Length: 2\r\n\r\n{}", rows[i].headers);
        check(ask(fd, request)->status == rows[i].status);
    }
    /* Routes without a body do not care. */
    check(ask(fd,
                  "POST /reset HTTP/1.1\r\nContent-Type: text/plain\r\n"
                  "Content-Length: 3\r\n\r\nabc")
                    ->status == 201);
    check(close(fd) == 0);
    stop();
}

static void
memory_for_bodies_is_limited(void **state)
{
    (void) state;
    struct och_http_options options = plain_options();
    options.bodies_memory_max = 70000;
    start_with(options);
    int fd;
    check(send_sized("/echo", 70000, false, &fd)->status == 201);
    check(close(fd) == 0);
    for (int chunked = 0; chunked < 2; chunked++) {
        struct answer *answer = send_sized("/echo", 80000, chunked != 0, &fd);
        check_error(answer, 503, "ChromaError");
        check(header_is(answer, "retry-after", "1"));
        check(close(fd) == 0);
    }
    check(send_sized("/away", 70000, false, &fd)->status == 201);
    check(close(fd) == 0);
    stop();
}

/* --- what must not get through -------------------------------------------------------- */

static void
ambiguous_requests_are_refused_and_their_connection_closed(void **state)
{
    static const struct {
        unsigned status;
        const char *text;
    } rows[] = {
            {400, "POST /echo HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
            {400, "POST /echo HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 50\r\n\r\nhello"},
            {400,
                    "POST /echo HTTP/1.1\r\nContent-Length: 5\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
            {400,
                    "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
                    "Content-Length: 5\r\n\r\n0\r\n\r\n"},
            {400,
                    "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
            {400, "GET /beat HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n"},
            {400, "GET /beat HTTP/1.1\r\nHo st: localhost\r\n\r\n"},
            {400, "POST /echo HTTP/1.1\r\nContent-Length : 5\r\n\r\nhello"},
            {400, "POST /echo HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello"},
            {400, "POST /echo HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhello"},
            {400, "POST /echo HTTP/1.1\r\nContent-Length: 0x5\r\n\r\nhello"},
            {400, "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
            {400, "GET /be at HTTP/1.1\r\n\r\n"},
            {400, "GET beat HTTP/1.1\r\n\r\n"},
            {400, "GET  HTTP/1.1\r\n\r\n"},
            {501, "POST /echo HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
            {501, "POST /echo HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n"},
            {505, "GET /beat HTTP/2.0\r\n\r\n"},
            {400, "nonsense\r\n\r\n"},
    };
    (void) state;
    start();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = dial();
        /* What follows would be a request of somebody else's, were it read as one. */
        send_text(fd, rows[i].text);
        (void) send_bytes(fd, "GET /beat HTTP/1.1\r\n\r\n", 22);
        struct answer *answer = read_answer(fd);
        /* Of a bad length the library itself complains, and repeats its headers. */
        bool ended = ends_unanswered(fd);
        if (answer->status != rows[i].status || !ended)
            print_error("row %zu: %u, ended: %d\n", i, answer->status, ended);
        check(answer->status == rows[i].status && ended);
        check(close(fd) == 0);
    }
    check(service.body_seen == 0);
    stop();
}

static void
lines_and_headers_over_their_limits_are_refused(void **state)
{
    enum { size_max = 80000 };
    static char request[size_max + 200], filler[size_max + 1];
    static const struct {
        size_t target, n_headers, header;
        unsigned status;
    } rows[] = {
            {8192, 0, 0, 404},
            {8193, 0, 0, 414},
            {10, 1, 16000, 404},
            {10, 1, 16500, 431},
            {10, 2, 16000, 404},
            {10, 3, 15000, 431},
            {10, 100, 20, 404},
            {10, 101, 20, 431},
    };
    (void) state;
    memset(filler, 'a', size_max);
    start();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int n = snprintf(request, sizeof(request), "GET /%.*s HTTP/1.1\r\n",
                (int) rows[i].target - 1, filler);
        for (size_t j = 0; j < rows[i].n_headers; j++)
            n += snprintf(request + n, sizeof(request) - (size_t) n, "h: %.*s\r\n",
                    (int) rows[i].header, filler);
        n += snprintf(request + n, sizeof(request) - (size_t) n, "\r\n");
        int fd = dial();
        check(send_bytes(fd, request, (size_t) n));
        struct answer *answer = read_answer(fd);
        if (answer->status != rows[i].status)
            print_error("row %zu: %u\n", i, answer->status);
        check(answer->status == rows[i].status);
        check(close(fd) == 0);
    }
    /* Far beyond what is buffered at all: the library refuses. */
    int fd = dial();
    int n = snprintf(request, sizeof(request), "GET /%.*s HTTP/1.1\r\n\r\n", size_max, filler);
    (void) send_bytes(fd, request, (size_t) n);
    unsigned status = read_answer(fd)->status;
    check(status == 414 || status == 0);
    check(close(fd) == 0);
    stop();
}

static void
foreign_hosts_and_origins_are_refused(void **state)
{
    static const struct {
        unsigned status;
        const char *text;
    } rows[] = {
            {200, "GET /beat HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n"},
            {200, "GET /beat HTTP/1.1\r\nHost: [::1]\r\n\r\n"},
            {200, "GET /beat HTTP/1.1\r\nHost:\r\n\r\n"},
            {200, "GET /beat HTTP/1.1\r\nHost: known.example\r\n\r\n"},
            {421, "GET /beat HTTP/1.1\r\nHost: evil.example\r\n\r\n"},
            {421, "GET /beat HTTP/1.1\r\nHost: 192.168.1.1\r\n\r\n"},
            {421, "GET http://evil.example/beat HTTP/1.1\r\nHost: localhost\r\n\r\n"},
            {200, "GET /beat HTTP/1.1\r\nOrigin: http://evil.example\r\n\r\n"},
            {403, "POST /reset HTTP/1.1\r\nOrigin: http://evil.example\r\n\r\n"},
            {403, "POST /reset HTTP/1.1\r\nOrigin: null\r\n\r\n"},
            {403, "GET /own-stream/1 HTTP/1.1\r\nOrigin: http://evil.example\r\n\r\n"},
            {403, "GET /own-stream/1 HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\n\r\n"},
            {200, "GET /own-stream/1 HTTP/1.1\r\nSec-Fetch-Site: none\r\n\r\n"},
            {200, "GET /own-stream/1 HTTP/1.1\r\nSec-Fetch-Site: same-origin\r\n\r\n"},
            {200, "GET /beat HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\n\r\n"},
            {403, "DELETE /nope HTTP/1.1\r\nOrigin: http://evil.example\r\n\r\n"},
            {201,
                    "POST /reset HTTP/1.1\r\nHost: localhost:1\r\n"
                    "Origin: http://localhost:1\r\n\r\n"},
            {403,
                    "POST /reset HTTP/1.1\r\nHost: localhost:1\r\n"
                    "Origin: http://localhost:2\r\n\r\n"},
    };
    static const char *const hosts[] = {"known.example"};
    (void) state;
    struct och_http_options options = plain_options();
    options.hosts = (struct och_http_names){hosts, 1};
    start_with(options);
    int fd = dial();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct answer *answer = ask(fd, rows[i].text);
        check(answer->status == rows[i].status);
        check(header_is(answer, "access-control-allow-origin", NULL));
    }
    check(close(fd) == 0);
    stop();
}

static void
cors_answers_listed_origins(void **state)
{
    static const char *const list[] = {"https://app.example"};
    static const char vary[] =
            "origin, access-control-request-method, access-control-request-headers";
    (void) state;
    struct och_http_options options = plain_options();
    options.origins = (struct och_http_names){list, 1};
    start_with(options);
    int fd = dial();
    struct answer *answer = ask(fd, "GET /beat HTTP/1.1\r\nOrigin: https://app.example\r\n\r\n");
    check(answer->status == 200 && header_is(answer, "vary", vary));
    check(header_is(answer, "access-control-allow-origin", "https://app.example"));
    answer = ask(fd, "GET /beat HTTP/1.1\r\nOrigin: https://other.example\r\n\r\n");
    check(answer->status == 200 && header_is(answer, "vary", vary));
    check(header_is(answer, "access-control-allow-origin", NULL));
    answer = ask(fd, "POST /reset HTTP/1.1\r\nOrigin: https://app.example\r\n\r\n");
    check(answer->status == 201);
    answer = ask(fd, "POST /reset HTTP/1.1\r\nOrigin: https://other.example\r\n\r\n");
    check_error(answer, 403, "ChromaError");
    answer = ask(fd, "OPTIONS /away HTTP/1.1\r\nOrigin: https://app.example\r\n\r\n");
    check(answer->status == 200 && answer->size == 0 && header_is(answer, "content-type", NULL));
    check(header_is(answer, "allow", "GET,HEAD,POST"));
    check(header_is(answer, "access-control-allow-methods", "*"));
    check(header_is(answer, "access-control-allow-headers", "*"));
    answer = ask(fd, "OPTIONS /nope HTTP/1.1\r\n\r\n");
    check(answer->status == 200 && header_is(answer, "allow", NULL));
    check(close(fd) == 0);
    stop();

    static const char *const all[] = {"*"};
    options.origins = (struct och_http_names){all, 1};
    start_with(options);
    answer = ask_once("POST /reset HTTP/1.1\r\nOrigin: https://any.example\r\n\r\n");
    check(answer->status == 201 && header_is(answer, "access-control-allow-origin", "*"));
    stop();
}

static bool
know_token(void *context, const struct och_http_request *head, struct och_http_response *response)
{
    (void) context;
    struct ochre_bytes token = och_http_header(head, "X-Chroma-Token");
    check(head->route != NULL && head->body.size == 0);
    if (token.size == 4 && memcmp(token.data, "open", 4) == 0)
        return true;
    och_http_error(response, 401, "ChromaError", "Permission denied.");
    och_http_add_header(response, "www-authenticate", "Bearer");
    return false;
}

static void
who_may_not_is_told_before_the_body_is_read(void **state)
{
    (void) state;
    struct och_http_options options = plain_options();
    options.authorize = know_token;
    start_with(options);
    struct answer *answer = ask_once("POST /echo HTTP/1.1\r\nContent-Length: 99999999\r\n"
                                     "Content-Type: text/plain\r\n\r\n");
    check_error(answer, 401, "ChromaError");
    check(header_is(answer, "www-authenticate", "Bearer"));
    check(ask_once("GET /beat HTTP/1.1\r\n\r\n")->status == 200); /* public */
    check_error(ask_once("GET /nope HTTP/1.1\r\n\r\n"), 404, "NotFoundError");
    check(ask_once("POST /echo HTTP/1.1\r\nX-Chroma-Token: open\r\nContent-Length: 2\r\n\r\nok")
                    ->status == 201);
    stop();
}

/* --- deadlines --------------------------------------------------------------------------- */

/* Send `text`, then wait for the server to lose patience. */
static void
check_cut_off(struct och_http_options options, const char *text, unsigned status_before)
{
    start_with(options);
    int fd = dial();
    send_text(fd, text);
    if (status_before != 0)
        check(read_answer(fd)->status == status_before);
    check(is_at_end(fd));
    check(close(fd) == 0);
    check(och_http_server_counts(service.server).n_timeouts == 1);
    stop();
}

static void
who_is_slow_with_headers_is_cut_off(void **state)
{
    (void) state;
    struct och_http_options options = plain_options();
    options.header_timeout_ms = 60;
    check_cut_off(options, "", 0);
    check_cut_off(options, "GET /be", 0);
    check_cut_off(options, "GET /beat HTTP/1.1\r\nHost: loc", 0);
    /* On a kept connection the time runs from the request line. */
    check_cut_off(options, "GET /beat HTTP/1.1\r\n\r\nGET /beat HTTP/1.1\r\nHost: loc", 200);
}

static void
who_is_slow_with_the_body_is_cut_off(void **state)
{
    (void) state;
    struct och_http_options options = plain_options();
    options.body_grace_ms = 60;
    options.body_rate_min = 1000000;
    check_cut_off(options, "POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf", 0);
    check_cut_off(options, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", 0);
    check_cut_off(options, "POST /nope HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf", 0);
}

static void
who_says_nothing_more_is_cut_off(void **state)
{
    (void) state;
    struct och_http_options options = plain_options();
    options.idle_timeout_ms = 60;
    check_cut_off(options, "GET /beat HTTP/1.1\r\n\r\n", 200);
    check_cut_off(options, "GET /beat HTTP/1.1\r\n\r\nGE", 200);
}

static void
a_whole_request_has_a_deadline(void **state)
{
    (void) state;
    struct och_http_options options = plain_options();
    options.total_timeout_ms = 60;
    start_with(options);
    int fd = dial();
    send_text(fd, "GET /gate HTTP/1.1\r\n\r\n");
    wait_until_waiting(1);
    check(is_at_end(fd)); /* the client is let go, the handler is not interrupted */
    open_gate();
    check(close(fd) == 0);
    stop();
}

/* --- stopping -------------------------------------------------------------------------------- */

static void
stop_with_patience(void *limit_ms)
{
    och_http_server_stop(service.server, *(const uint64_t *) limit_ms);
}

static void
stopping_lets_begun_requests_finish(void **state)
{
    static const uint64_t limit_ms = PATIENCE_S * 1000;
    uint64_t limit = limit_ms;
    struct och_thread thread;
    struct ochre_error err;
    (void) state;
    start();
    int busy = dial(), idle = dial();
    check(ask(idle, "GET /beat HTTP/1.1\r\n\r\n")->status == 200);
    send_text(busy, "GET /gate HTTP/1.1\r\n\r\nGET /beat HTTP/1.1\r\n\r\n");
    wait_until_waiting(1);
    check_ok(och_thread_start(&thread, "stopper", stop_with_patience, &limit, &err), &err);

    check(is_at_end(idle)); /* so stopping has begun: soon nobody listens */
    for (int fd = try_dial(); fd >= 0; fd = try_dial())
        check(close(fd) == 0);
    check(errno == ECONNREFUSED || errno == ECONNRESET);
    open_gate();
    struct answer *answer = read_answer(busy);
    check(answer->status == 200 && strcmp(answer->body, "through") == 0);
    check(header_is(answer, "connection", "close"));
    check(is_at_end(busy));
    och_thread_join(&thread);
    check(close(busy) == 0 && close(idle) == 0);
}

static void
stopping_cuts_off_who_takes_too_long(void **state)
{
    uint64_t limit = 0;
    struct och_thread thread;
    struct ochre_error err;
    (void) state;
    start();
    int sending = dial(), busy = dial();
    send_text(sending, "POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf");
    send_text(busy, "GET /gate HTTP/1.1\r\n\r\n");
    wait_until_waiting(1);
    check_ok(och_thread_start(&thread, "stopper", stop_with_patience, &limit, &err), &err);
    check(is_at_end(sending));
    check(is_at_end(busy)); /* its handler still runs, and is waited for */
    open_gate();
    och_thread_join(&thread);
    check(close(sending) == 0 && close(busy) == 0);
}

/* --- many at a time ---------------------------------------------------------------------------- */

enum { N_CLIENTS = 6, N_ROUNDS = 150 };

static void
talk(void *failures)
{
    static const char request[] = "POST /away HTTP/1.1\r\nContent-Length: 12\r\n\r\nabcdefghijkl"
                                  "GET /beat HTTP/1.1\r\n\r\nGET /at-once HTTP/1.1\r\n\r\n"
                                  "GET /away HTTP/1.1\r\n\r\n";
    static const char *const wanted[] = {"abcdefghijkl", "{\"beat\":1}", "at once", "{\"beat\":1}"};
    atomic_uint *n_failures = failures;
    int fd = dial();
    for (int round = 0; round < N_ROUNDS; round++) {
        char bytes[2048];
        size_t n = 0, n_found = 0;
        if (!send_bytes(fd, request, sizeof(request) - 1))
            break;
        while (n_found < 4 && n + 1 < sizeof(bytes)) {
            ssize_t got = recv(fd, bytes + n, sizeof(bytes) - 1 - n, 0);
            if (got <= 0)
                break;
            n += (size_t) got;
            bytes[n] = '\0';
            const char *next = bytes;
            for (n_found = 0; n_found < 4; n_found++) {
                next = strstr(next, wanted[n_found]);
                if (next == NULL)
                    break;
                next += strlen(wanted[n_found]);
            }
        }
        atomic_fetch_add(n_failures, n_found < 4);
    }
    (void) close(fd);
}

static void
many_clients_are_served_at_once(void **state)
{
    struct och_thread threads[N_CLIENTS];
    struct ochre_error err;
    atomic_uint n_failures = 0;
    (void) state;
    start();
    for (int i = 0; i < N_CLIENTS; i++)
        check_ok(och_thread_start(&threads[i], "client", talk, &n_failures, &err), &err);
    for (int i = 0; i < N_CLIENTS; i++)
        och_thread_join(&threads[i]);
    check(atomic_load(&n_failures) == 0);
    check(och_http_server_counts(service.server).n_requests == 4 * N_CLIENTS * N_ROUNDS);
    stop();
}

/* Where a request ran. */
static const char *
place_of(int fd, const char *kind, const char *body)
{
    char request[200];
    (void) snprintf(request, sizeof(request),
            "POST /where/%s HTTP/1.1\r\nContent-Length: %zu\r\n\r\n%s", kind, strlen(body), body);
    const struct answer *answer = ask(fd, request);
    check(answer->status == 200);
    return answer->body;
}

static void
what_was_quick_runs_where_it_arrives(void **state)
{
    (void) state;
    start();
    int fd = dial();
    check(strcmp(place_of(fd, "a", ""), "away") == 0);
    check(strcmp(place_of(fd, "a", ""), "here") == 0);
    check(strcmp(place_of(fd, "b", ""), "away") == 0);
    check(strcmp(place_of(fd, "a", ""), "here") == 0);
    check(close(fd) == 0);
    stop();
}

static void
what_took_long_goes_to_the_executor(void **state)
{
    (void) state;
    start();
    int fd = dial();
    check(strcmp(place_of(fd, "slow", "spin"), "away") == 0);
    check(strcmp(place_of(fd, "slow", ""), "away") == 0);
    check(strcmp(place_of(fd, "quick", ""), "away") == 0);
    check(strcmp(place_of(fd, "quick", "spin"), "here") == 0); /* not foreseen */
    check(strcmp(place_of(fd, "quick", ""), "away") == 0);
    check(close(fd) == 0);
    stop();
}

static void
what_slept_has_cost_its_whole_time(void **state)
{
    (void) state;
    start();
    int fd = dial(), other = dial();
    send_text(fd, "POST /where/sleepy HTTP/1.1\r\nContent-Length: 4\r\n\r\ngate");
    wait_until_waiting(1);
    /* Other connections do not wait for it, even those of its thread. */
    check(strcmp(place_of(other, "brisk", ""), "away") == 0);
    uint64_t end_ns = och_thread_usage().cpu_ns + 2 * OCH_HTTP_COST_SURE_NS;
    while (och_thread_usage().cpu_ns < end_ns)
        continue;
    open_gate();
    check(strcmp(read_answer(fd)->body, "away") == 0);
    check(strcmp(place_of(fd, "sleepy", ""), "away") == 0);
    check(close(fd) == 0 && close(other) == 0);
    stop();
}

static void
a_large_body_is_no_quick_request(void **state)
{
    (void) state;
    start();
    int fd = dial();
    char *body = malloc(OCH_HTTP_SHORT_BODY_MAX + 2);
    check(body != NULL);
    memset(body, ' ', OCH_HTTP_SHORT_BODY_MAX + 1);
    for (int i = 0; i < 4; i++) {
        size_t size = OCH_HTTP_SHORT_BODY_MAX + (i == 2 ? 1 : 0);
        char head[100];
        (void) snprintf(head, sizeof(head),
                "POST /where/large HTTP/1.1\r\nContent-Length: %zu\r\n\r\n", size);
        send_text(fd, head);
        check(send_bytes(fd, body, size));
        check(strcmp(read_answer(fd)->body, i == 0 || i == 2 ? "away" : "here") == 0);
    }
    free(body);
    check(close(fd) == 0);
    stop();
}

static void
a_port_that_is_taken_is_an_error(void **state)
{
    struct ochre_error err;
    struct och_http_server *second;
    (void) state;
    start();
    struct och_http_options options = plain_options();
    options.port = och_http_server_port(service.server);
    check(och_http_server_open(&options, &second, &err) == OCHRE_UNAVAILABLE);
    check(second == NULL && strstr(err.message, "cannot listen on 127.0.0.1") != NULL);
    options.host = "no such host.invalid";
    check(och_http_server_open(&options, &second, &err) == OCHRE_INVALID);
    stop();
}

/* One server and one request, every allocation refused in turn. */
static bool
serve_one(struct och_mem *account)
{
    struct och_http_options options = plain_options();
    struct ochre_error err;
    options.mem = account;
    options.n_threads = 1;
    ochre_status status = och_http_server_open(&options, &service.server, &err);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    if (status != OCHRE_OK)
        return false;
    int fd = dial();
    struct answer *answer = ask(fd,
            "POST /echo?a=%20 HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Length: 5\r\n\r\nhello");
    unsigned served = answer->status;
    check(served == 201 || served == 503);
    check(close(fd) == 0);
    check(ask_once("GET /beat HTTP/1.1\r\n\r\n")->status == 200 || served == 201);
    unsigned streamed = ask_once("GET /stream/1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")->status;
    check(streamed == 200 || streamed == 503 || streamed == 0);
    stop();
    return served == 201 && account->n_grants < account->fail_at;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(serve_one);
}

static int
set_up(void **state)
{
    struct ochre_error err;
    (void) state;
    och_mem_init(&service.mem, NULL);
    och_mutex_init(&service.lock);
    och_cond_init(&service.changed);
    return och_executor_open(&service.mem, 3, 0, &service.executor, &err) == OCHRE_OK ? 0 : -1;
}

static int
tear_down(void **state)
{
    (void) state;
    och_executor_close(service.executor);
    och_cond_clear(&service.changed);
    och_mutex_clear(&service.lock);
    return och_mem_used(&service.mem) == 0 ? 0 : -1;
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_get_is_answered_with_length_type_and_date),
            cmocka_unit_test(a_head_has_the_headers_of_its_get_and_no_body),
            cmocka_unit_test(unknown_routes_and_methods_are_json_errors),
            cmocka_unit_test(paths_and_queries_are_decoded_once),
            cmocka_unit_test(pipelined_requests_are_answered_in_order),
            cmocka_unit_test(a_connection_is_kept_until_it_is_told_to_close),
            cmocka_unit_test(a_client_that_has_said_everything_still_gets_its_answer),
            cmocka_unit_test(handlers_may_answer_later_or_before_they_return),
            cmocka_unit_test(connections_over_the_limit_are_told_so),
            cmocka_unit_test(chunked_bodies_arrive_whole_however_they_are_cut),
            cmocka_unit_test(a_client_that_waits_is_told_to_go_on_or_refused_at_once),
            cmocka_unit_test(bodies_at_the_limit_pass_and_one_byte_more_does_not),
            cmocka_unit_test(a_refusal_needs_no_byte_of_the_body),
            cmocka_unit_test(content_types_that_are_not_json_are_refused),
            cmocka_unit_test(memory_for_bodies_is_limited),
            cmocka_unit_test(ambiguous_requests_are_refused_and_their_connection_closed),
            cmocka_unit_test(lines_and_headers_over_their_limits_are_refused),
            cmocka_unit_test(foreign_hosts_and_origins_are_refused),
            cmocka_unit_test(cors_answers_listed_origins),
            cmocka_unit_test(who_may_not_is_told_before_the_body_is_read),
            cmocka_unit_test(who_is_slow_with_headers_is_cut_off),
            cmocka_unit_test(who_is_slow_with_the_body_is_cut_off),
            cmocka_unit_test(who_says_nothing_more_is_cut_off),
            cmocka_unit_test(a_whole_request_has_a_deadline),
            cmocka_unit_test(stopping_lets_begun_requests_finish),
            cmocka_unit_test(stopping_cuts_off_who_takes_too_long),
            cmocka_unit_test(many_clients_are_served_at_once),
            cmocka_unit_test(what_was_quick_runs_where_it_arrives),
            cmocka_unit_test(what_took_long_goes_to_the_executor),
            cmocka_unit_test(what_slept_has_cost_its_whole_time),
            cmocka_unit_test(a_large_body_is_no_quick_request),
            cmocka_unit_test(streamed_bodies_arrive_whole),
            cmocka_unit_test(a_client_that_takes_nothing_is_not_read_ahead_for),
            cmocka_unit_test(a_stream_that_fails_is_cut_short),
            cmocka_unit_test(streams_are_closed_where_handlers_run),
            cmocka_unit_test(who_takes_a_stream_too_slowly_is_cut_off),
            cmocka_unit_test(who_keeps_up_is_not_cut_off),
            cmocka_unit_test(a_head_reads_no_stream),
            cmocka_unit_test(stopping_cuts_streams_off),
            cmocka_unit_test(a_port_that_is_taken_is_an_error),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
    };
    return cmocka_run_group_tests_name("server", tests, set_up, tear_down);
}
