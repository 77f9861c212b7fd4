#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "http/router.h"
#include "support/check.h"

static struct och_mem mem;

static och_http_outcome
handle(void *context, struct och_http_request *request, struct och_http_response *response)
{
    (void) context;
    (void) request;
    (void) response;
    return OCH_HTTP_DONE;
}

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

static bool
is(struct ochre_bytes bytes, const char *text)
{
    return bytes.size == strlen(text) && memcmp(bytes.data, text, bytes.size) == 0;
}

static const struct och_http_route shop[] = {
        {OCH_HTTP_GET, "/api/shops", 0, handle, NULL},
        {OCH_HTTP_POST, "/api/shops", 0, handle, NULL},
        {OCH_HTTP_GET, "/api/shops/{shop}", 0, handle, NULL},
        {OCH_HTTP_DELETE, "/api/shops/{shop}", 0, handle, NULL},
        {OCH_HTTP_GET, "/api/shops/{shop}/shelves/{shelf}", 0, handle, NULL},
        {OCH_HTTP_GET, "/api/shops/{shop}/shelves/by-id/{id}", 0, handle, NULL},
        {OCH_HTTP_POST, "/api/shops/{shop}/shelves/{shelf}/add", 0, handle, NULL},
        {OCH_HTTP_GET, "/old/{*rest}", OCH_HTTP_ANY_METHOD, handle, NULL},
};
enum { N_SHOP = sizeof(shop) / sizeof(shop[0]) };

static void
with_shop(void (*body)(const struct och_http_router *router))
{
    struct och_http_router *router;
    check(och_http_router_open(&mem, shop, N_SHOP, &router) == OCHRE_OK);
    body(router);
    och_http_router_close(router);
    check(och_mem_used(&mem) == 0);
}

static void
check_paths(const struct och_http_router *router)
{
    static const struct {
        och_http_method method;
        const char *path;
        int row; /* -1: 404, -2: 405 */
        const char *allow;
    } rows[] = {
            {OCH_HTTP_GET, "/api/shops", 0, "GET,HEAD,POST"},
            {OCH_HTTP_HEAD, "/api/shops", 0, "GET,HEAD,POST"},
            {OCH_HTTP_POST, "/api/shops", 1, "GET,HEAD,POST"},
            {OCH_HTTP_PUT, "/api/shops", -2, "GET,HEAD,POST"},
            {OCH_HTTP_OTHER, "/api/shops", -2, "GET,HEAD,POST"},
            {OCH_HTTP_GET, "/api/shops/a", 2, "GET,HEAD,DELETE"},
            {OCH_HTTP_DELETE, "/api/shops/a%2Fb", 3, "GET,HEAD,DELETE"},
            {OCH_HTTP_GET, "/api/shops/a/shelves/b", 4, "GET,HEAD"},
            {OCH_HTTP_GET, "/api/shops/a/shelves/by-id", 4, "GET,HEAD"},
            {OCH_HTTP_GET, "/api/shops/a/shelves/by-id/7", 5, "GET,HEAD"},
            {OCH_HTTP_POST, "/api/shops/a/shelves/x/add", 6, "POST"},
            {OCH_HTTP_POST, "/api/shops/a/shelves/by-id/add", -2, "GET,HEAD"},
            {OCH_HTTP_PATCH, "/old/a", 7, "GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS"},
            {OCH_HTTP_OTHER, "/old/a/b//c/", 7, "GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS"},
            {OCH_HTTP_GET, "/old", -1, ""},
            {OCH_HTTP_GET, "/old/", -1, ""},
            {OCH_HTTP_GET, "/", -1, ""},
            {OCH_HTTP_GET, "", -1, ""},
            {OCH_HTTP_GET, "*", -1, ""},
            {OCH_HTTP_GET, "/api", -1, ""},
            {OCH_HTTP_GET, "/api/shops/", -1, ""},
            {OCH_HTTP_GET, "/api/shops/a/", -1, ""},
            {OCH_HTTP_GET, "//api/shops", -1, ""},
            {OCH_HTTP_GET, "/api//shops", -1, ""},
            {OCH_HTTP_GET, "/API/shops", -1, ""},
            {OCH_HTTP_GET, "/api/shop%73", -1, ""},
            {OCH_HTTP_GET, "/api/shops/a/b", -1, ""},
            {OCH_HTTP_GET, "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18", -1, ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char allow[OCH_HTTP_ALLOW_SIZE];
        struct och_http_match match =
                och_http_router_find(router, rows[i].method, bytes_of(rows[i].path));
        check(match.path_is_known == (rows[i].row != -1));
        check(match.route == (rows[i].row < 0 ? NULL : &shop[rows[i].row]));
        och_http_allow(match.methods, allow);
        check(strcmp(allow, rows[i].allow) == 0);
    }
}

static void
paths_find_their_rows_and_only_those(void **state)
{
    (void) state;
    with_shop(check_paths);
}

static void
check_params(const struct och_http_router *router)
{
    struct och_http_match match = och_http_router_find(
            router, OCH_HTTP_GET, bytes_of("/api/shops/a%2Fb/shelves/by-id/7"));
    check(match.n_params == 2);
    check(is(match.params[0], "a%2Fb") && is(match.params[1], "7"));
    match = och_http_router_find(router, OCH_HTTP_GET, bytes_of("/old/a/b//c/"));
    check(match.n_params == 1 && is(match.params[0], "a/b//c/"));

    check(is(och_http_pattern_param(shop[5].pattern, 0), "shop"));
    check(is(och_http_pattern_param(shop[5].pattern, 1), "id"));
    check(och_http_pattern_param(shop[5].pattern, 2).data == NULL);
    check(is(och_http_pattern_param(shop[7].pattern, 0), "rest"));
}

static void
parameters_are_taken_as_sent_and_have_names(void **state)
{
    (void) state;
    with_shop(check_params);
}

/* --- random tables against the plainest matcher ------------------------------ */

enum { N_ROWS = 24, N_PARTS = 5, TEXT_SIZE = 64 };

static size_t
split(char *text, char *parts[], size_t n_max)
{
    size_t n = 0;
    for (char *next = text + 1; n < n_max; n++) {
        parts[n] = next;
        char *slash = strchr(next, '/');
        if (slash == NULL)
            return n + 1;
        *slash = '\0';
        next = slash + 1;
    }
    return n;
}

/* "www" for a path of words that a pattern fits: w for a word, p for a parameter;
 * later letters of the alphabet win.  False: it does not fit. */
static bool
model_fits(const char *pattern, const char *path, char kinds[N_PARTS + 1])
{
    char a[TEXT_SIZE], b[TEXT_SIZE];
    char *pattern_parts[N_PARTS + 1], *path_parts[N_PARTS + 1];
    (void) snprintf(a, sizeof(a), "%s", pattern);
    (void) snprintf(b, sizeof(b), "%s", path);
    size_t n = split(a, pattern_parts, N_PARTS + 1);
    if (split(b, path_parts, N_PARTS + 1) != n)
        return false;
    memset(kinds, 0, N_PARTS + 1);
    for (size_t i = 0; i < n; i++) {
        bool is_param = pattern_parts[i][0] == '{';
        if (is_param ? path_parts[i][0] == '\0' : strcmp(pattern_parts[i], path_parts[i]) != 0)
            return false;
        kinds[i] = is_param ? 'p' : 'w';
    }
    return true;
}

static void
random_path(uint64_t *seed, bool params, char text[TEXT_SIZE])
{
    static const char *const words[] = {"a", "b", "c"};
    size_t n = 1 + (size_t) och_random_below(seed, N_PARTS), size = 0;
    text[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        const char *word = words[och_random_below(seed, 3)];
        if (params && och_random_below(seed, 4) == 0)
            word = "{x}";
        if (!params && och_random_below(seed, 12) == 0)
            word = "";
        size += (size_t) snprintf(text + size, TEXT_SIZE - size, "/%s", word);
    }
}

static bool
is_new(const struct och_http_route *routes, size_t n, const struct och_http_route *route)
{
    for (size_t i = 0; i < n; i++) {
        if (routes[i].method == route->method && strcmp(routes[i].pattern, route->pattern) == 0)
            return false;
    }
    return true;
}

static void
check_one(const struct och_http_router *router, const struct och_http_route *routes, size_t n,
        och_http_method method, const char *path)
{
    char best[N_PARTS + 1] = "", kinds[N_PARTS + 1];
    const struct och_http_route *wanted = NULL;
    unsigned methods = 0;
    for (size_t i = 0; i < n; i++) {
        if (!model_fits(routes[i].pattern, path, kinds) || strcmp(kinds, best) < 0)
            continue;
        if (strcmp(kinds, best) > 0) {
            wanted = NULL;
            methods = 0;
            memcpy(best, kinds, sizeof(best));
        }
        methods |= 1u << routes[i].method;
        methods |= routes[i].method == OCH_HTTP_GET ? 1u << OCH_HTTP_HEAD : 0;
        if (routes[i].method == method ||
                (routes[i].method == OCH_HTTP_GET && method == OCH_HTTP_HEAD))
            wanted = &routes[i];
    }
    struct och_http_match match = och_http_router_find(router, method, bytes_of(path));
    check(match.path_is_known == (best[0] != '\0'));
    check(match.route == wanted);
    check(match.methods == methods);
}

static void
random_tables_agree_with_a_plain_matcher(void **state)
{
    static const och_http_method methods[] = {
            OCH_HTTP_GET, OCH_HTTP_POST, OCH_HTTP_DELETE, OCH_HTTP_HEAD};
    enum { n_tables = 60, n_paths = 200 };
    uint64_t seed = 11;
    (void) state;
    for (int table = 0; table < n_tables; table++) {
        static char texts[N_ROWS][TEXT_SIZE];
        struct och_http_route routes[N_ROWS];
        size_t n = 0;
        for (size_t i = 0; i < N_ROWS; i++) {
            random_path(&seed, true, texts[n]);
            struct och_http_route route = {
                    methods[och_random_below(&seed, 3)], texts[n], 0, handle, NULL};
            if (is_new(routes, n, &route))
                routes[n++] = route;
        }
        struct och_http_router *router;
        check(och_http_router_open(&mem, routes, n, &router) == OCHRE_OK);
        for (int i = 0; i < n_paths; i++) {
            char path[TEXT_SIZE];
            random_path(&seed, false, path);
            check_one(router, routes, n, methods[och_random_below(&seed, 4)], path);
        }
        och_http_router_close(router);
    }
    check(och_mem_used(&mem) == 0);
}

static bool
open_and_close(struct och_mem *account)
{
    struct och_http_router *router;
    ochre_status status = och_http_router_open(account, shop, N_SHOP, &router);
    check((router == NULL) == (status == OCHRE_NO_MEMORY));
    och_http_router_close(router);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(open_and_close);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(paths_find_their_rows_and_only_those),
            cmocka_unit_test(parameters_are_taken_as_sent_and_have_names),
            cmocka_unit_test(random_tables_agree_with_a_plain_matcher),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
    };
    och_mem_init(&mem, NULL);
    return cmocka_run_group_tests_name("router", tests, NULL, NULL);
}
