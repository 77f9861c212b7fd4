#include "base/utf8.h"

#include "base/buf.h"
#include "base/compiler.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

static bool
is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* The length of the sequence that starts with `lead`; 0 when none does. */
static size_t
sequence_size(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead < 0xc2)
        return 0;
    if (lead < 0xe0)
        return 2;
    if (lead < 0xf0)
        return 3;
    return lead < 0xf5 ? 4 : 0;
}

/* The length of the valid sequence at `text`, at most `left` bytes; 0 when there is none. */
static size_t
valid_sequence(const unsigned char *text, size_t left)
{
    size_t size = sequence_size(text[0]);
    if (size > left)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if (!is_tail(text[i]))
            return 0;
    }
    /* These second bytes would be overlong, a surrogate, or above U+10FFFF. */
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
            (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    return size;
}

size_t
och_utf8_valid_size(const char *text, size_t size)
{
    const unsigned char *bytes = (const unsigned char *) text;
    size_t i = 0;
    while (i < size) {
        if (size - i >= 16 &&
                ((och_load_u64(text + i) | och_load_u64(text + i + 8)) & HIGH_BITS) == 0) {
            i += 16;
            continue;
        }
        size_t n = valid_sequence(bytes + i, size - i);
        if (n == 0)
            return i;
        i += n;
    }
    return size;
}

bool
och_utf8_is_valid(const char *text, size_t size)
{
    return och_utf8_valid_size(text, size) == size;
}

size_t
och_utf8_count(const char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        n += !is_tail((unsigned char) text[i]);
    return n;
}

uint32_t
och_utf8_next(const char **next, const char *end)
{
    const unsigned char *bytes = (const unsigned char *) *next;
    size_t size = sequence_size(bytes[0]);
    och_assert(size > 0 && size <= (size_t) (end - *next));
    *next += size;
    if (size == 1)
        return bytes[0];
    uint32_t code_point = bytes[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++)
        code_point = code_point << 6 | (bytes[i] & 0x3fu);
    return code_point;
}

size_t
och_utf8_put(char out[4], uint32_t code_point)
{
    if (code_point < 0x80) {
        out[0] = (char) code_point;
        return 1;
    }
    size_t size = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; i--) {
        out[i] = (char) (0x80 | (code_point & 0x3f));
        code_point >>= 6;
    }
    out[0] = (char) ((0xf00u >> size & 0xff) | code_point);
    return size;
}
