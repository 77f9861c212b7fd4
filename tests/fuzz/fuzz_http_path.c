/*
 * fuzz_http_path.c - the first line is a request target, each further line a
 * header; what the server decides from them before it reads a body.
 *
 * Beyond not crashing: slices lie inside their text, decoding never grows and
 * leaves plain text alone, and framing that is called sound is checked again
 * by a second, duller count.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "base/mem.h"
#include "http/head.h"
#include "http/router.h"
#include "http/target.h"

enum { FIELDS_MAX = 128, TEXT_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static och_http_outcome
handle(void *context, struct och_http_request *request, struct och_http_response *response)
{
    (void) context;
    (void) request;
    (void) response;
    return OCH_HTTP_DONE;
}

static const struct och_http_route routes[] = {
        {OCH_HTTP_GET, "/a/{x}", 0, handle, NULL},
        {OCH_HTTP_POST, "/a/{x}", 0, handle, NULL},
        {OCH_HTTP_GET, "/a/{x}/b/{y}", 0, handle, NULL},
        {OCH_HTTP_GET, "/a/{x}/b/by-id/{y}", 0, handle, NULL},
        {OCH_HTTP_GET, "/old/{*rest}", OCH_HTTP_ANY_METHOD, handle, NULL},
};

static bool
is_inside(struct ochre_bytes part, struct ochre_bytes whole)
{
    return part.data >= whole.data && part.size <= whole.size &&
            (size_t) (part.data - whole.data) <= whole.size - part.size;
}

/* Cut the next line off `rest`. */
static struct ochre_bytes
next_line(struct ochre_bytes *rest)
{
    struct ochre_bytes line = *rest;
    const char *end = rest->size == 0 ? NULL : memchr(rest->data, '\n', rest->size);
    if (end == NULL) {
        *rest = (struct ochre_bytes){rest->data + rest->size, 0};
        return line;
    }
    line.size = (size_t) (end - rest->data);
    *rest = (struct ochre_bytes){end + 1, rest->size - line.size - 1};
    return line;
}

static void
check_decoding(struct ochre_bytes text)
{
    static char out[TEXT_MAX];
    for (int plus = 0; plus < 2; plus++) {
        size_t size = och_http_decode(text, plus != 0, out);
        och_assert(size <= text.size);
        if (!och_http_is_encoded(text, plus != 0))
            och_assert(size == text.size && (size == 0 || memcmp(out, text.data, size) == 0));
    }
}

static void
check_target(const struct och_http_router *router, struct ochre_bytes text)
{
    struct och_http_target target;
    check_decoding(text);
    if (!och_http_target_split(text, &target)) {
        och_assert(target.path.data == NULL);
        return;
    }
    och_assert(target.path.size > 0);
    och_assert(target.path.data[0] == '/' || (target.path.size == 1 && target.path.data[0] == '*'));
    och_assert(memchr(target.path.data, '?', target.path.size) == NULL);
    if (target.query.data != NULL)
        och_assert(is_inside(target.query, text));

    struct ochre_bytes rest = target.query, name, value;
    while (och_http_query_next(&rest, &name, &value)) {
        och_assert(is_inside(name, text) && is_inside(value, text));
        check_decoding(value);
    }

    struct och_http_match match = och_http_router_find(router, OCH_HTTP_GET, target.path);
    och_assert(match.path_is_known == (match.methods != 0));
    for (size_t i = 0; i < match.n_params; i++)
        och_assert(match.params[i].size > 0 && is_inside(match.params[i], target.path));
}

/* A name, by the dullest comparison. */
static size_t
count_named(const struct och_http_field *fields, size_t n, const char *lower)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        size_t j = 0;
        while (lower[j] != '\0' && j < fields[i].name.size &&
                (fields[i].name.data[j] | 0x20) == (lower[j] | 0x20))
            j++;
        count += lower[j] == '\0' && j == fields[i].name.size;
    }
    return count;
}

/* Who may ask: each header's value as a host and as an origin. */
static void
check_names(const struct och_http_field *fields, size_t n, struct ochre_bytes host)
{
    static const char *const names[] = {"db.example", "*"};
    static const struct och_http_host_rule plain = {.any_address = false};
    static const struct och_http_host_rule rules[] = {
            {.host = "h", .names = names, .n_names = 1},
            {.host = "h", .machine = "m"},
            {.any_address = true},
    };
    static const struct och_http_host_rule all = {.names = names, .n_names = 2};
    for (size_t i = 0; i < n; i++) {
        struct ochre_bytes value = fields[i].value;
        bool is_plain = och_http_host_is_allowed(value, &plain);
        bool is_any = och_http_host_is_allowed(value, &all);
        for (size_t r = 0; r < sizeof(rules) / sizeof(rules[0]); r++) {
            bool is_named = och_http_host_is_allowed(value, &rules[r]);
            och_assert(is_named || !is_plain); /* a rule only ever adds */
            och_assert(is_any || !is_named);
        }
        bool is_origin = och_http_origin_is_allowed(value, host, names, 1);
        och_assert(is_origin || !och_http_origin_is_listed(value, names, 1));
        och_assert(och_http_origin_is_allowed(value, host, names + 1, 1));
        (void) och_http_type_is_json(value);
    }
}

static void
check_fields(const struct och_http_field *fields, size_t n)
{
    struct och_http_framing framing = och_http_framing_of(fields, n, false);
    och_assert((framing.status == 0) == (framing.message == NULL));
    if (framing.status == 0) {
        size_t n_lengths = count_named(fields, n, "content-length");
        size_t n_encodings = count_named(fields, n, "transfer-encoding");
        och_assert(n_lengths + n_encodings <= 1);
        och_assert(framing.has_length == (n_lengths == 1));
        och_assert(framing.is_chunked == (n_encodings == 1));
        och_assert(count_named(fields, n, "host") <= 1);
    }
    /* The older version refuses more, and nothing less. */
    struct och_http_framing older = och_http_framing_of(fields, n, true);
    och_assert(older.status == framing.status || (framing.status == 0 && older.status == 400) ||
            (framing.status == 501 && older.status == 400));
    och_assert(older.status != 0 || !older.is_chunked);

    struct ochre_bytes host = och_http_field_find(fields, n, "host");
    och_assert((host.data != NULL) == (count_named(fields, n, "host") > 0));
    check_names(fields, n, host);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > TEXT_MAX)
        return 0;
    struct och_mem mem;
    struct och_http_router *router;
    och_mem_init(&mem, NULL);
    ochre_status status =
            och_http_router_open(&mem, routes, sizeof(routes) / sizeof(routes[0]), &router);
    och_assert(status == OCHRE_OK);

    struct ochre_bytes rest = {(const char *) data, size};
    if (size == 0)
        rest.data = "";
    check_target(router, next_line(&rest));

    static struct och_http_field fields[FIELDS_MAX];
    size_t n = 0;
    while (rest.size > 0 && n < FIELDS_MAX) {
        struct ochre_bytes line = next_line(&rest);
        const char *colon = line.size == 0 ? NULL : memchr(line.data, ':', line.size);
        size_t name_size = colon == NULL ? line.size : (size_t) (colon - line.data);
        size_t used = colon == NULL ? line.size : name_size + 1;
        while (used < line.size && line.data[used] == ' ')
            used++;
        fields[n].name = (struct ochre_bytes){line.data, name_size};
        fields[n].value = (struct ochre_bytes){line.data + used, line.size - used};
        n++;
    }
    check_fields(fields, n);
    och_http_router_close(router);
    och_assert(och_mem_used(&mem) == 0);
    return 0;
}
