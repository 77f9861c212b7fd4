/* httpload: small closed-loop HTTP/1.1 load driver, keep-alive, one thread per
 * connection. Bodies come from a file, one JSON body a line (loaded to memory);
 * each connection takes the next line. No pipelining.
 *
 *   httpload [-c CONNS] [-t SECONDS | -n REQUESTS | -1] [-m METHOD] [-w WARM]
 *            [-o RESPONSES] [-u] HOST PORT PATH [BODYFILE]
 *
 *   -1   send every body exactly once (ingest); -t runs for a time, cycling
 *   -u   in a copy of the body, up to its first ']', replace each ######## by
 *        the request's number: ids that were never sent before
 *   -o   write each body's last response as one line, in body order
 * Prints one line: n, errors, seconds, rps, latency percentiles in microseconds,
 * MB sent/s, mean response bytes.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *host = "127.0.0.1", *port = "8000", *path = "/", *method = "POST";
static char **body;
static size_t *blen;
static size_t nbody;
static char **resp;
static size_t *rlen;
static int keep_resp, stamp;
static atomic_size_t next_req;
static size_t max_req = SIZE_MAX;
static double t_end = 0;
static atomic_int stop_flag;

static double
now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

typedef struct {
    float *lat;
    size_t n, cap, err, sent, recvd;
    int sample_err;
} stat_t;

static int
dial(void)
{
    struct addrinfo h = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *r;
    if (getaddrinfo(host, port, &h, &r))
        return -1;
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (connect(fd, r->ai_addr, r->ai_addrlen)) {
        close(fd);
        fd = -1;
    } else
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    freeaddrinfo(r);
    return fd;
}

static int
send_all(int fd, const char *a, size_t na, const char *b, size_t nb)
{
    /* small requests go out in one write */
    if (na + nb <= 65536) {
        char tmp[65536];
        memcpy(tmp, a, na);
        memcpy(tmp + na, b, nb);
        size_t o = 0, n = na + nb;
        while (o < n) {
            ssize_t k = send(fd, tmp + o, n - o, MSG_NOSIGNAL);
            if (k <= 0)
                return -1;
            o += k;
        }
        return 0;
    }
    size_t o = 0;
    while (o < na) {
        ssize_t k = send(fd, a + o, na - o, MSG_NOSIGNAL | MSG_MORE);
        if (k <= 0)
            return -1;
        o += k;
    }
    o = 0;
    while (o < nb) {
        ssize_t k = send(fd, b + o, nb - o, MSG_NOSIGNAL);
        if (k <= 0)
            return -1;
        o += k;
    }
    return 0;
}

typedef struct {
    char *p;
    size_t n, cap;
} buf_t;
static int
more(int fd, buf_t *b)
{
    if (b->cap - b->n < 65536) {
        b->cap = b->cap ? b->cap * 2 : 1 << 17;
        b->p = realloc(b->p, b->cap);
    }
    ssize_t k = recv(fd, b->p + b->n, b->cap - b->n, 0);
    if (k <= 0)
        return -1;
    b->n += k;
    return 0;
}

/* one response; body lands in out (offset, len in b after unchunking); returns status or -1 */
static int
read_resp(int fd, buf_t *b, char **out, size_t *olen, int *closing)
{
    b->n = 0;
    char *e;
    size_t from = 0;
    for (;;) {
        if (more(fd, b))
            return -1;
        if ((e = memmem(b->p + from, b->n - from, "\r\n\r\n", 4)))
            break;
        from = b->n > 3 ? b->n - 3 : 0;
    }
    size_t hl = e - b->p + 4;
    *e = 0;
    int status = atoi(b->p + 9);
    char *cl = strcasestr(b->p, "\ncontent-length:"),
         *te = strcasestr(b->p, "\ntransfer-encoding: chunked");
    *closing = strcasestr(b->p, "\nconnection: close") != NULL;
    if (cl) {
        size_t n = strtoull(cl + 16, 0, 10);
        while (b->n < hl + n)
            if (more(fd, b))
                return -1;
        *out = b->p + hl;
        *olen = n;
        return status;
    }
    if (te) {
        size_t pos = hl, w = hl;
        for (;;) {
            char *nl;
            while (!(nl = memmem(b->p + pos, b->n - pos, "\r\n", 2)))
                if (more(fd, b))
                    return -1;
            size_t n = strtoull(b->p + pos, 0, 16), d = nl - b->p + 2;
            while (b->n < d + n + 2)
                if (more(fd, b))
                    return -1;
            if (!n)
                break;
            memmove(b->p + w, b->p + d, n);
            w += n;
            pos = d + n + 2;
        }
        *out = b->p + hl;
        *olen = w - hl;
        return status;
    }
    *out = b->p + hl;
    *olen = 0;
    return status;
}

/* A copy of a body whose ids carry the request's number. */
static char *
stamped(const char *from, size_t n, size_t number, buf_t *copy)
{
    if (copy->cap < n) {
        copy->cap = n;
        copy->p = realloc(copy->p, n);
    }
    memcpy(copy->p, from, n);
    char digits[9], *end = memchr(copy->p, ']', n), *p = copy->p;
    snprintf(digits, sizeof digits, "%08zu", number % 100000000);
    while (end && (p = memmem(p, end - p, "########", 8)))
        memcpy(p, digits, 8);
    return copy->p;
}

static void *
worker(void *arg)
{
    stat_t *s = arg;
    buf_t b = {0}, copy = {0};
    int fd = dial();
    while (fd >= 0 && !stop_flag) {
        size_t i = atomic_fetch_add(&next_req, 1);
        if (i >= max_req || (t_end && now() > t_end))
            break;
        size_t k = nbody ? i % nbody : 0, bl = nbody ? blen[k] : 0;
        char hd[1024];
        int hn = snprintf(hd, sizeof hd,
                "%s %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                method, path, host, port, bl);
        char *o = 0;
        size_t on = 0;
        int cl = 0;
        const char *out = nbody ? body[k] : "";
        if (stamp)
            out = stamped(out, bl, i, &copy);
        double a = now();
        int st = send_all(fd, hd, hn, out, bl) ? -1 : read_resp(fd, &b, &o, &on, &cl);
        double d = now() - a;
        if (s->n == s->cap) {
            s->cap = s->cap ? 2 * s->cap : 4096;
            s->lat = realloc(s->lat, s->cap * sizeof *s->lat);
        }
        s->lat[s->n++] = d * 1e6;
        s->sent += bl + hn;
        if (st < 200 || st >= 300) {
            s->err++;
            if (!s->sample_err) {
                s->sample_err = 1;
                fprintf(stderr, "status %d: %.*s\n", st, st > 0 ? (int) (on < 300 ? on : 300) : 0,
                        st > 0 ? o : "");
            }
        } else {
            s->recvd += on;
            if (keep_resp) {
                free(resp[k]);
                resp[k] = malloc(on + 1);
                memcpy(resp[k], o, on);
                rlen[k] = on;
            }
        }
        if (st < 0 || cl) {
            close(fd);
            fd = dial();
        }
    }
    if (fd >= 0)
        close(fd);
    free(b.p);
    free(copy.p);
    return 0;
}

static int
cmpf(const void *a, const void *b)
{
    float x = *(float *) a, y = *(float *) b;
    return (x > y) - (x < y);
}

int
main(int c, char **v)
{
    int conns = 1, o, once = 0, quiet = 0;
    double secs = 0, warm = 0;
    const char *rf = 0;
    while ((o = getopt(c, v, "c:t:n:m:o:w:1qu")) != -1)
        switch (o) {
        case 'c':
            conns = atoi(optarg);
            break;
        case 't':
            secs = atof(optarg);
            break;
        case 'n':
            max_req = strtoull(optarg, 0, 10);
            break;
        case 'm':
            method = optarg;
            break;
        case 'o':
            rf = optarg;
            keep_resp = 1;
            break;
        case 'w':
            warm = atof(optarg);
            break;
        case '1':
            once = 1;
            break;
        case 'q':
            quiet = 1;
            break;
        case 'u':
            stamp = 1;
            break;
        default:
            return 2;
        }
    (void) quiet;
    if (c - optind < 3) {
        fprintf(stderr,
                "usage: httpload [-c N] [-t S|-n N|-1] [-m METHOD] [-w WARM_S] [-o FILE] [-u] HOST PORT PATH [BODYFILE]\n");
        return 2;
    }
    host = v[optind];
    port = v[optind + 1];
    path = v[optind + 2];
    if (c - optind > 3) {
        int fd = open(v[optind + 3], O_RDONLY);
        struct stat st;
        if (fd < 0 || fstat(fd, &st)) {
            perror(v[optind + 3]);
            return 1;
        }
        char *m = mmap(0, st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0), *p = m,
             *end = m + st.st_size;
        size_t cap = 0;
        while (p < end) {
            char *nl = memchr(p, '\n', end - p);
            if (!nl)
                nl = end;
            if (nbody == cap) {
                cap = cap ? cap * 2 : 1024;
                body = realloc(body, cap * sizeof *body);
                blen = realloc(blen, cap * sizeof *blen);
            }
            body[nbody] = p;
            blen[nbody++] = nl - p;
            p = nl + 1;
        }
    }
    if (once)
        max_req = nbody ? nbody : 1;
    resp = calloc(nbody + 1, sizeof *resp);
    rlen = calloc(nbody + 1, sizeof *rlen);
    pthread_t th[1024];
    stat_t *st = calloc(conns, sizeof *st);
    for (int phase = warm > 0 ? 0 : 1; phase < 2; phase++) {
        double dur = phase ? secs : warm;
        memset(st, 0, conns * sizeof *st);
        next_req = 0;
        double a = now();
        t_end = dur > 0 ? a + dur : 0;
        for (int i = 0; i < conns; i++)
            pthread_create(&th[i], 0, worker, &st[i]);
        for (int i = 0; i < conns; i++)
            pthread_join(th[i], 0);
        if (!phase)
            continue;
        double el = now() - a;
        size_t n = 0, err = 0, sent = 0, rec = 0;
        for (int i = 0; i < conns; i++) {
            n += st[i].n;
            err += st[i].err;
            sent += st[i].sent;
            rec += st[i].recvd;
        }
        float *l = malloc((n + 1) * sizeof *l);
        size_t k = 0;
        double sum = 0;
        for (int i = 0; i < conns; i++)
            for (size_t j = 0; j < st[i].n; j++) {
                l[k++] = st[i].lat[j];
                sum += st[i].lat[j];
            }
        qsort(l, n, sizeof *l, cmpf);
#define P(q) (n ? l[(size_t) ((n - 1) * (q))] : 0)
        printf("c=%d n=%zu err=%zu sec=%.4f rps=%.1f mean=%.0fus p50=%.0fus p95=%.0fus p99=%.0fus max=%.0fus sentMBps=%.1f respB=%.0f\n",
                conns, n, err, el, n / el, n ? sum / n : 0, P(.5), P(.95), P(.99), P(1),
                sent / el / 1e6, n > err ? (double) rec / (n - err) : 0);
    }
    if (rf) {
        FILE *f = fopen(rf, "w");
        for (size_t i = 0; i < nbody; i++) {
            if (resp[i])
                fwrite(resp[i], 1, rlen[i], f);
            fputc('\n', f);
        }
        fclose(f);
    }
    return 0;
}
