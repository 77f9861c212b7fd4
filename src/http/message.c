#include "http/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "http/head.h"
#include "http/target.h"

static const char *const method_names[] = {
        [OCH_HTTP_GET] = "GET",
        [OCH_HTTP_HEAD] = "HEAD",
        [OCH_HTTP_POST] = "POST",
        [OCH_HTTP_PUT] = "PUT",
        [OCH_HTTP_PATCH] = "PATCH",
        [OCH_HTTP_DELETE] = "DELETE",
        [OCH_HTTP_OPTIONS] = "OPTIONS",
};

static_assert(sizeof(method_names) / sizeof(method_names[0]) == OCH_HTTP_N_METHODS,
        "every method has its name");

och_http_method
och_http_method_parse(const char *text)
{
    for (unsigned i = 0; i < OCH_HTTP_N_METHODS; i++) {
        if (strcmp(text, method_names[i]) == 0)
            return (och_http_method) i;
    }
    return OCH_HTTP_OTHER;
}

const char *
och_http_method_name(och_http_method method)
{
    return method < OCH_HTTP_OTHER ? method_names[method] : "other";
}

struct ochre_bytes
och_http_header(const struct och_http_request *request, const char *name)
{
    return och_http_field_find(request->fields, request->n_fields, name);
}

/* The decoded text: a slice of the target where nothing is escaped. */
static ochre_status
decode(struct och_arena *arena, struct ochre_bytes text, struct ochre_bytes *decoded_out)
{
    *decoded_out = text;
    if (!och_http_is_encoded(text, true))
        return OCHRE_OK;
    char *out = och_arena_take(arena, text.size);
    if (out == NULL)
        return OCHRE_NO_MEMORY;
    *decoded_out = (struct ochre_bytes){out, och_http_decode(text, true, out)};
    return OCHRE_OK;
}

ochre_status
och_http_query_get(struct och_http_request *request, const char *name,
        struct ochre_bytes *value_out, size_t *n_out)
{
    *value_out = (struct ochre_bytes){0};
    *n_out = 0;
    struct ochre_bytes rest = request->query, raw_name, raw_value;
    while (och_http_query_next(&rest, &raw_name, &raw_value)) {
        struct ochre_bytes decoded;
        ochre_status status = decode(&request->arena, raw_name, &decoded);
        if (status != OCHRE_OK)
            return status;
        if (!och_bytes_is(decoded, name))
            continue;
        if (*n_out == 0) {
            status = decode(&request->arena, raw_value, value_out);
            if (status != OCHRE_OK)
                return status;
        }
        ++*n_out;
    }
    return OCHRE_OK;
}

void
och_http_add_header(struct och_http_response *response, const char *name, const char *value)
{
    och_assert(response->n_headers < OCH_HTTP_EXTRA_HEADERS_MAX);
    response->headers[response->n_headers++] = (struct och_http_header){name, value};
}

const char *
och_http_error_name(unsigned status)
{
    switch (status) {
    case 400:
        return "InvalidArgumentError";
    case 404:
        return "NotFoundError";
    case 410:
        return "Unimplemented";
    case 500:
        return "InternalError";
    default:
        return "ChromaError";
    }
}

void
och_http_error(struct och_http_response *response, unsigned status, const char *name,
        const char *format, ...)
{
    char message[sizeof(((struct ochre_error *) 0)->message) + 64];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (size < 0)
        message[0] = '\0';

    response->status = status;
    response->content_type = "application/json";
    och_buf_reset(&response->body);
    och_buf_put_text(&response->body, "{\"error\":");
    och_json_put_text(&response->body, name);
    och_buf_put_text(&response->body, ",\"message\":");
    och_json_put_text(&response->body, message);
    och_buf_put_text(&response->body, "}");
}
