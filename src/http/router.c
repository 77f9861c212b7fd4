#include "http/router.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* Two bits a segment, the first segment highest: of two patterns that fit the
 * same path, the greater number is the more exact one. */
enum { KIND_REST = 0, KIND_PARAM = 1, KIND_WORD = 2, KIND_BITS = 2 };

static_assert(OCH_HTTP_SEGMENTS_MAX * KIND_BITS <= 32, "the kinds of all segments fit a word");
static_assert(OCH_HTTP_N_METHODS < 32, "a set of methods fits a word");

struct pattern {
    const struct och_http_route *route; /* borrowed */
    uint32_t kinds;
    uint32_t n_segments; /* the rest counts as one */
    bool has_rest;
    struct ochre_bytes segments[OCH_HTTP_SEGMENTS_MAX];
};

struct och_http_router {
    struct och_mem *mem;
    size_t n_patterns;
    struct pattern patterns[]; /* in the order of the table */
};

/* A path cut at its slashes; longer ones keep their first segments. */
struct path {
    struct ochre_bytes whole;
    size_t n_segments;
    struct ochre_bytes segments[OCH_HTTP_SEGMENTS_MAX];
};

/* Segments are what stands between slashes, empty ones included: "/a/" has two. */
static void
cut(struct ochre_bytes text, struct path *path_out)
{
    path_out->whole = text;
    path_out->n_segments = 0;
    if (text.size == 0 || text.data[0] != '/')
        return;
    const char *next = text.data + 1, *end = text.data + text.size;
    for (;;) {
        const char *slash = next == end ? NULL : memchr(next, '/', (size_t) (end - next));
        const char *stop = slash == NULL ? end : slash;
        if (path_out->n_segments < OCH_HTTP_SEGMENTS_MAX)
            path_out->segments[path_out->n_segments] =
                    (struct ochre_bytes){next, (size_t) (stop - next)};
        path_out->n_segments++;
        if (slash == NULL)
            return;
        next = slash + 1;
    }
}

static uint32_t
kind_of(struct ochre_bytes segment)
{
    if (segment.size < 3 || segment.data[0] != '{')
        return KIND_WORD;
    return segment.data[1] == '*' ? KIND_REST : KIND_PARAM;
}

static void
compile(const struct och_http_route *route, struct pattern *pattern)
{
    struct path path;
    cut((struct ochre_bytes){route->pattern, strlen(route->pattern)}, &path);
    och_assert(path.n_segments > 0 && path.n_segments <= OCH_HTTP_SEGMENTS_MAX);

    *pattern = (struct pattern){.route = route, .n_segments = (uint32_t) path.n_segments};
    size_t n_params = 0;
    for (size_t i = 0; i < path.n_segments; i++) {
        uint32_t kind = kind_of(path.segments[i]);
        och_assert(path.segments[i].size > 0);
        och_assert(kind != KIND_REST || i + 1 == path.n_segments);
        n_params += kind != KIND_WORD;
        pattern->segments[i] = path.segments[i];
        pattern->has_rest |= kind == KIND_REST;
        pattern->kinds |= kind << (KIND_BITS * (OCH_HTTP_SEGMENTS_MAX - 1 - i));
    }
    och_assert(n_params <= OCH_HTTP_PARAMS_MAX);
}

static bool
same_bytes(struct ochre_bytes a, struct ochre_bytes b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

static uint32_t
kind_at(const struct pattern *pattern, size_t i)
{
    return pattern->kinds >> (KIND_BITS * (OCH_HTTP_SEGMENTS_MAX - 1 - i)) & 3;
}

/* Do the two fit exactly the same paths? */
static bool
same_shape(const struct pattern *a, const struct pattern *b)
{
    if (a->kinds != b->kinds || a->n_segments != b->n_segments)
        return false;
    for (size_t i = 0; i < a->n_segments; i++) {
        if (kind_at(a, i) == KIND_WORD && !same_bytes(a->segments[i], b->segments[i]))
            return false;
    }
    return true;
}

ochre_status
och_http_router_open(struct och_mem *mem, const struct och_http_route *routes, size_t n_routes,
        struct och_http_router **router_out)
{
    *router_out = NULL;
    och_assert(n_routes <= OCH_HTTP_ROUTES_MAX);
    struct och_http_router *router =
            och_mem_take(mem, sizeof(*router) + n_routes * sizeof(router->patterns[0]));
    if (router == NULL)
        return OCHRE_NO_MEMORY;
    router->mem = mem;
    router->n_patterns = n_routes;
    for (size_t i = 0; i < n_routes; i++) {
        och_assert(routes[i].handle != NULL);
        compile(&routes[i], &router->patterns[i]);
        for (size_t j = 0; j < i; j++) {
            och_assert(routes[j].method != routes[i].method ||
                    !same_shape(&router->patterns[i], &router->patterns[j]));
        }
    }
    *router_out = router;
    return OCHRE_OK;
}

void
och_http_router_close(struct och_http_router *router)
{
    if (router == NULL)
        return;
    och_mem_release(router->mem, router,
            sizeof(*router) + router->n_patterns * sizeof(router->patterns[0]));
}

/* Does the path fit?  Words as they are, parameters by not being empty. */
static bool
fits(const struct pattern *pattern, const struct path *path)
{
    if (pattern->has_rest ? path->n_segments < pattern->n_segments
                          : path->n_segments != pattern->n_segments)
        return false;
    for (size_t i = 0; i < pattern->n_segments; i++) {
        switch (kind_at(pattern, i)) {
        case KIND_WORD:
            if (!same_bytes(pattern->segments[i], path->segments[i]))
                return false;
            break;
        case KIND_PARAM:
            if (path->segments[i].size == 0)
                return false;
            break;
        case KIND_REST:
            return path->n_segments > pattern->n_segments || path->segments[i].size > 0;
        }
    }
    return true;
}

static unsigned
methods_of(const struct och_http_route *route)
{
    if ((route->flags & OCH_HTTP_ANY_METHOD) != 0)
        return (1u << OCH_HTTP_N_METHODS) - 1;
    unsigned methods = 1u << route->method;
    if (route->method == OCH_HTTP_GET)
        methods |= 1u << OCH_HTTP_HEAD;
    return methods;
}

static bool
answers(const struct och_http_route *route, och_http_method method)
{
    if ((route->flags & OCH_HTTP_ANY_METHOD) != 0)
        return true;
    return (methods_of(route) >> method & 1) != 0;
}

static void
take_params(const struct pattern *pattern, const struct path *path, struct och_http_match *match)
{
    for (size_t i = 0; i < pattern->n_segments; i++) {
        struct ochre_bytes value = path->segments[i];
        if (kind_at(pattern, i) == KIND_WORD)
            continue;
        if (kind_at(pattern, i) == KIND_REST)
            value.size = path->whole.size - (size_t) (value.data - path->whole.data);
        match->params[match->n_params++] = value;
    }
}

struct och_http_match
och_http_router_find(
        const struct och_http_router *router, och_http_method method, struct ochre_bytes path)
{
    struct path parts;
    cut(path, &parts);

    struct och_http_match match = {0};
    const struct pattern *best = NULL;
    for (size_t i = 0; i < router->n_patterns; i++) {
        const struct pattern *pattern = &router->patterns[i];
        if ((best != NULL && pattern->kinds < best->kinds) || !fits(pattern, &parts))
            continue;
        if (best == NULL || pattern->kinds > best->kinds) {
            best = pattern;
            match.route = NULL;
            match.methods = 0;
        }
        match.methods |= methods_of(pattern->route);
        if (match.route == NULL && answers(pattern->route, method))
            match.route = pattern->route;
    }
    if (best == NULL)
        return match;
    match.path_is_known = true;
    take_params(best, &parts, &match);
    return match;
}

struct ochre_bytes
och_http_pattern_param(const char *pattern, size_t i)
{
    const char *next = pattern;
    for (;;) {
        const char *open = strchr(next, '{');
        if (open == NULL)
            return (struct ochre_bytes){0};
        const char *close = strchr(open, '}');
        if (close == NULL)
            return (struct ochre_bytes){0};
        const char *name = open[1] == '*' ? open + 2 : open + 1;
        if (i == 0)
            return (struct ochre_bytes){name, (size_t) (close - name)};
        i--;
        next = close;
    }
}

void
och_http_allow(unsigned methods, char text[OCH_HTTP_ALLOW_SIZE])
{
    size_t size = 0;
    text[0] = '\0';
    for (unsigned method = 0; method < OCH_HTTP_N_METHODS; method++) {
        if ((methods >> method & 1) == 0)
            continue;
        int n = snprintf(text + size, OCH_HTTP_ALLOW_SIZE - size, "%s%s", size == 0 ? "" : ",",
                och_http_method_name((och_http_method) method));
        och_assert(n > 0 && (size_t) n < OCH_HTTP_ALLOW_SIZE - size);
        size += (size_t) n;
    }
}
