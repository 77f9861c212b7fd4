#include "http/target.h"

#include <string.h>
#include <strings.h>

static bool
is_clean(struct ochre_bytes text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char) text.data[i];
        if (byte <= ' ' || byte == 0x7f)
            return false;
    }
    return true;
}

bool
och_http_target_split(struct ochre_bytes target, struct och_http_target *target_out)
{
    static const char scheme[] = "http://";
    enum { scheme_size = sizeof(scheme) - 1 };
    *target_out = (struct och_http_target){0};
    if (target.size == 0 || !is_clean(target))
        return false;

    struct och_http_target split = {.path = target};
    if (target.size >= scheme_size && strncasecmp(target.data, scheme, scheme_size) == 0) {
        const char *authority = target.data + scheme_size;
        size_t left = target.size - scheme_size;
        size_t size = 0;
        while (size < left && authority[size] != '/' && authority[size] != '?')
            size++;
        if (size == 0)
            return false;
        split.authority = (struct ochre_bytes){authority, size};
        split.path = (struct ochre_bytes){authority + size, left - size};
    }

    const char *mark = split.path.size == 0 ? NULL : memchr(split.path.data, '?', split.path.size);
    if (mark != NULL) {
        size_t path_size = (size_t) (mark - split.path.data);
        split.query = (struct ochre_bytes){mark + 1, split.path.size - path_size - 1};
        split.path.size = path_size;
    }
    if (split.path.size == 0 && split.authority.data != NULL)
        split.path = (struct ochre_bytes){"/", 1}; /* "http://host" and "http://host?x" */
    bool is_star = split.path.size == 1 && split.path.data[0] == '*';
    if (split.path.size == 0 || (split.path.data[0] != '/' && !is_star))
        return false;
    *target_out = split;
    return true;
}

static int
hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

size_t
och_http_decode(struct ochre_bytes text, bool plus_is_space, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (byte == '+' && plus_is_space) {
            byte = ' ';
        } else if (byte == '%' && text.size - i > 2) {
            int high = hex_value(text.data[i + 1]);
            int low = hex_value(text.data[i + 2]);
            if (high >= 0 && low >= 0) {
                byte = (char) (high * 16 + low);
                i += 2;
            }
        }
        out[n++] = byte;
    }
    return n;
}

bool
och_http_is_encoded(struct ochre_bytes text, bool plus_is_space)
{
    if (text.size == 0)
        return false;
    if (memchr(text.data, '%', text.size) != NULL)
        return true;
    return plus_is_space && memchr(text.data, '+', text.size) != NULL;
}

bool
och_http_query_next(
        struct ochre_bytes *rest, struct ochre_bytes *name_out, struct ochre_bytes *value_out)
{
    *name_out = *value_out = (struct ochre_bytes){0};
    while (rest->size > 0) {
        const char *end = memchr(rest->data, '&', rest->size);
        struct ochre_bytes pair = {rest->data, rest->size};
        if (end == NULL) {
            rest->data += rest->size;
            rest->size = 0;
        } else {
            pair.size = (size_t) (end - rest->data);
            rest->size -= pair.size + 1;
            rest->data = end + 1;
        }
        if (pair.size == 0)
            continue;
        const char *equals = memchr(pair.data, '=', pair.size);
        size_t name_size = equals == NULL ? pair.size : (size_t) (equals - pair.data);
        size_t used = equals == NULL ? pair.size : name_size + 1;
        *name_out = (struct ochre_bytes){pair.data, name_size};
        *value_out = (struct ochre_bytes){pair.data + used, pair.size - used};
        return true;
    }
    return false;
}
