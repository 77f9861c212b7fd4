#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/json_internal.h"
#include "base/number.h"

static void
put_escape(struct och_buf *buf, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char names[] = "\"\\bfnrt";
    static const char meanings[] = "\"\\\b\f\n\r\t";
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    const char *meaning = memchr(meanings, c, sizeof(meanings) - 1);
    if (meaning == NULL) {
        och_buf_put(buf, text, sizeof(text));
        return;
    }
    text[1] = names[meaning - meanings];
    och_buf_put(buf, text, 2);
}

void
och_json_put_string(struct och_buf *buf, struct ochre_bytes text)
{
    if (text.data == NULL) {
        och_buf_put_text(buf, "null");
        return;
    }
    const char *next = text.data, *end = text.data + text.size;
    uint64_t high = 0;
    const char *run_end = och_json_find_special(next, end, &high);
    if (run_end == end) { /* nothing to escape, as in most */
        char *to = och_buf_extend(buf, text.size + 2);
        if (to == NULL)
            return;
        to[0] = '"';
        memcpy(to + 1, text.data, text.size);
        to[text.size + 1] = '"';
        return;
    }
    och_buf_put_u8(buf, '"');
    while (next < end) {
        run_end = och_json_find_special(next, end, &high);
        och_buf_put(buf, next, (size_t) (run_end - next));
        if (run_end == end)
            break;
        put_escape(buf, (unsigned char) *run_end);
        next = run_end + 1;
    }
    och_buf_put_u8(buf, '"');
}

void
och_json_put_text(struct och_buf *buf, const char *text)
{
    och_json_put_string(buf, (struct ochre_bytes){text, strlen(text)});
}

void
och_json_put_int(struct och_buf *buf, int64_t value)
{
    char text[OCH_NUMBER_TEXT_MAX];
    och_buf_put(buf, text, och_number_put_i64(text, value));
}

void
och_json_put_uint(struct och_buf *buf, uint64_t value)
{
    char text[OCH_NUMBER_TEXT_MAX];
    och_buf_put(buf, text, och_number_put_u64(text, value));
}

void
och_json_put_f32(struct och_buf *buf, float value)
{
    char text[OCH_NUMBER_TEXT_MAX];
    if (isfinite(value))
        och_buf_put(buf, text, och_number_put_f32(text, value));
    else
        och_buf_put_text(buf, "null");
}

void
och_json_put_f64(struct och_buf *buf, double value)
{
    char text[OCH_NUMBER_TEXT_MAX];
    if (isfinite(value))
        och_buf_put(buf, text, och_number_put_f64(text, value));
    else
        och_buf_put_text(buf, "null");
}

static bool
is_container(const struct och_json *node)
{
    return node->kind == OCH_JSON_KIND_ARRAY || node->kind == OCH_JSON_KIND_OBJECT;
}

/* Write a scalar, or the bracket a container begins with. */
static void
put_start(struct och_buf *buf, const struct och_json *node)
{
    switch (node->kind) {
    case OCH_JSON_KIND_NULL:
        och_buf_put_text(buf, "null");
        break;
    case OCH_JSON_KIND_BOOL:
        och_buf_put_text(buf, node->as.boolean ? "true" : "false");
        break;
    case OCH_JSON_KIND_INT:
        och_json_put_int(buf, node->as.integer);
        break;
    case OCH_JSON_KIND_UINT:
        och_json_put_uint(buf, node->as.natural);
        break;
    case OCH_JSON_KIND_FLOAT:
        och_json_put_f64(buf, node->as.number);
        break;
    case OCH_JSON_KIND_STRING:
        och_json_put_string(buf, node->as.string);
        break;
    case OCH_JSON_KIND_ARRAY:
        och_buf_put_u8(buf, '[');
        break;
    case OCH_JSON_KIND_OBJECT:
        och_buf_put_u8(buf, '{');
        break;
    }
}

void
och_json_put_tree(struct och_buf *buf, const struct och_json *root)
{
    const struct och_json *open[OCH_JSON_DEPTH_MAX] = {NULL};
    unsigned depth = 0;
    const struct och_json *node = root; /* to be written; NULL: the container is complete */
    do {
        if (node != NULL) {
            if (depth > 0 && open[depth - 1]->kind == OCH_JSON_KIND_OBJECT) {
                och_json_put_string(buf, node->key);
                och_buf_put_u8(buf, ':');
            }
            put_start(buf, node);
            if (is_container(node)) {
                och_assert(depth < OCH_JSON_DEPTH_MAX);
                open[depth++] = node;
                node = node->first;
                continue;
            }
        } else {
            node = open[--depth];
            och_assert(node != NULL);
            och_buf_put_u8(buf, node->kind == OCH_JSON_KIND_OBJECT ? '}' : ']');
        }
        /* The root's siblings, if it has any, are not part of the tree. */
        if (depth > 0) {
            node = node->next;
            if (node != NULL)
                och_buf_put_u8(buf, ',');
        }
    } while (depth > 0);
}
