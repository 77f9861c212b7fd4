/* mkbody: writes Chroma v2 request bodies, one a line, to stdout.
 *   mkbody add   FBIN START COUNT BATCH [-d DOCS.jsonl] [-m] [-b] [-p IDPREFIX]
 *   mkbody query FBIN COUNT NRES [-w WHERE_JSON] [-W WHERE_DOC_JSON] [-i INCLUDE_JSON]
 *   mkbody getids N COUNT K [-p IDPREFIX]     (COUNT bodies of K ids drawn from 0..N-1)
 * -m adds metadata: num (int), b2/b10/b100/b1000 (i mod k), tag (string), score (double)
 * -b sends embeddings as base64 of little-endian float32 instead of JSON numbers
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint32_t n, d;
static float *x;
static void
rd(const char *p)
{
    FILE *f = fopen(p, "rb");
    uint32_t h[2];
    if (!f || fread(h, 4, 2, f) != 2) {
        perror(p);
        exit(1);
    }
    n = h[0];
    d = h[1];
    x = malloc((size_t) n * d * 4);
    if (fread(x, 4, (size_t) n * d, f) != (size_t) n * d)
        exit(1);
    fclose(f);
}
static void
num(float v)
{
    char b[40];
    int p;
    for (p = 6; p < 9; p++) {
        snprintf(b, sizeof b, "%.*g", p, v);
        if (strtof(b, 0) == v)
            break;
    }
    if (p == 9)
        snprintf(b, sizeof b, "%.9g", v);
    fputs(b, stdout);
}
static void
b64(const uint8_t *s, size_t l)
{
    static const char T[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    putchar('"');
    for (size_t i = 0; i < l; i += 3) {
        uint32_t v = s[i] << 16 | (i + 1 < l ? s[i + 1] << 8 : 0) | (i + 2 < l ? s[i + 2] : 0);
        putchar(T[v >> 18]);
        putchar(T[v >> 12 & 63]);
        putchar(i + 1 < l ? T[v >> 6 & 63] : '=');
        putchar(i + 2 < l ? T[v & 63] : '=');
    }
    putchar('"');
}
static void
vec(size_t i, int base64)
{
    if (base64) {
        b64((uint8_t *) (x + i * d), d * 4);
        return;
    }
    putchar('[');
    for (uint32_t j = 0; j < d; j++) {
        if (j)
            putchar(',');
        num(x[i * d + j]);
    }
    putchar(']');
}
int
main(int c, char **v)
{
    const char *docs = 0, *where = 0, *wdoc = 0, *inc = 0, *pre = "id";
    int meta = 0, base64 = 0, o;
    if (c < 5)
        return 2;
    const char *cmd = v[1], *a1 = v[2], *a2 = v[3], *a3 = v[4], *a4 = c > 5 ? v[5] : "0";
    optind = strcmp(cmd, "add") ? 5 : 6;
    while ((o = getopt(c, v, "d:mbp:w:W:i:")) != -1)
        switch (o) {
        case 'd':
            docs = optarg;
            break;
        case 'm':
            meta = 1;
            break;
        case 'b':
            base64 = 1;
            break;
        case 'p':
            pre = optarg;
            break;
        case 'w':
            where = optarg;
            break;
        case 'W':
            wdoc = optarg;
            break;
        case 'i':
            inc = optarg;
            break;
        default:
            return 2;
        }
    setvbuf(stdout, malloc(1 << 20), _IOFBF, 1 << 20);
    if (!strcmp(cmd, "add")) {
        rd(a1);
        size_t s = strtoull(a2, 0, 10), cnt = strtoull(a3, 0, 10), B = strtoull(a4, 0, 10);
        char **dl = 0;
        if (docs) {
            dl = calloc(n, sizeof *dl);
            FILE *f = fopen(docs, "r");
            size_t cap = 0;
            char *l = 0;
            ssize_t k;
            for (size_t i = 0; i < n && (k = getline(&l, &cap, f)) > 0; i++) {
                if (l[k - 1] == '\n')
                    l[k - 1] = 0;
                dl[i] = strdup(l);
            }
        }
        for (size_t b = s; b < s + cnt; b += B) {
            size_t e = b + B < s + cnt ? b + B : s + cnt;
            fputs("{\"ids\":[", stdout);
            for (size_t i = b; i < e; i++)
                printf("%s\"%s%zu\"", i > b ? "," : "", pre, i);
            fputs("],\"embeddings\":[", stdout);
            for (size_t i = b; i < e; i++) {
                if (i > b)
                    putchar(',');
                vec(i % n, base64);
            }
            putchar(']');
            if (docs) {
                fputs(",\"documents\":[", stdout);
                for (size_t i = b; i < e; i++) {
                    if (i > b)
                        putchar(',');
                    fputs(dl[i % n] ? dl[i % n] : "null", stdout);
                }
                putchar(']');
            }
            if (meta) {
                fputs(",\"metadatas\":[", stdout);
                for (size_t i = b; i < e; i++)
                    printf("%s{\"num\":%zu,\"b2\":%zu,\"b10\":%zu,\"b100\":%zu,\"b1000\":%zu,\"tag\":\"tag%zu\",\"score\":%.3f}",
                            i > b ? "," : "", i, i % 2, i % 10, i % 100, i % 1000, i % 37,
                            (i * 7919 % 1000) / 1000.0);
                putchar(']');
            }
            fputs("}\n", stdout);
        }
    } else if (!strcmp(cmd, "query")) {
        rd(a1);
        size_t cnt = strtoull(a2, 0, 10);
        for (size_t i = 0; i < cnt; i++) {
            printf("{\"query_embeddings\":[");
            vec(i % n, 0);
            printf("],\"n_results\":%s", a3);
            if (where)
                printf(",\"where\":%s", where);
            if (wdoc)
                printf(",\"where_document\":%s", wdoc);
            if (inc)
                printf(",\"include\":%s", inc);
            puts("}");
        }
    } else if (!strcmp(cmd, "getids")) {
        size_t N = strtoull(a1, 0, 10), cnt = strtoull(a2, 0, 10), K = strtoull(a3, 0, 10);
        uint64_t r = 88172645463325252ull;
        for (size_t i = 0; i < cnt; i++) {
            printf("{\"ids\":[");
            for (size_t j = 0; j < K; j++) {
                r ^= r << 13;
                r ^= r >> 7;
                r ^= r << 17;
                printf("%s\"%s%zu\"", j ? "," : "", pre, (size_t) (r % N));
            }
            puts("]}");
        }
    } else
        return 2;
    return fflush(stdout) ? 1 : 0;
}
