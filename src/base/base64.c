#include "base/base64.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"

#define BAD 0x80

/* The six bits of each character, or BAD. */
static const uint8_t sixes[256] = {
        BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, /* 00 */
        BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, /* 10 */
        BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, 62, BAD, BAD, BAD, 63,   /* + / */
        52, 53, 54, 55, 56, 57, 58, 59, 60, 61, BAD, BAD, BAD, BAD, BAD, BAD,           /* 0 */
        BAD, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,                          /* A */
        15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, BAD, BAD, BAD, BAD, BAD,            /* P */
        BAD, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,                /* a */
        41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, BAD, BAD, BAD, BAD, BAD,            /* p */
        BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, /* 80 */
        BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, /* 90 */
        BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, /* a0 */
        BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, /* b0 */
        BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, /* c0 */
        BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, /* d0 */
        BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, /* e0 */
        BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, /* f0 */
};

size_t
och_base64_room(size_t size)
{
    return size / 4 * 3;
}

/* Four characters to 24 bits; the high bit is set when one of them is bad. */
static inline uint32_t
decode4(const unsigned char *text)
{
    uint32_t a = sixes[text[0]], b = sixes[text[1]], c = sixes[text[2]], d = sixes[text[3]];
    return (a << 18 | b << 12 | c << 6 | d) | ((a | b | c | d) & BAD) << 24;
}

static void
put3(unsigned char *out, uint32_t bits)
{
    out[0] = (unsigned char) (bits >> 16);
    out[1] = (unsigned char) (bits >> 8);
    out[2] = (unsigned char) bits;
}

/* The last four characters, which may be padded; returns the bytes, 0 if bad. */
static size_t
decode_last(const unsigned char *text, unsigned char *out)
{
    unsigned char quad[4] = {text[0], text[1], text[2], text[3]};
    size_t n = quad[3] != '=' ? 3 : quad[2] != '=' ? 2 : 1;
    for (size_t i = n + 1; i < 4; i++)
        quad[i] = 'A';
    uint32_t bits = decode4(quad);
    uint32_t unused = (UINT32_C(1) << (24 - 8 * n)) - 1;
    if (bits >> 31 != 0 || (bits & unused) != 0)
        return 0;
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char) (bits >> (16 - 8 * i));
    return n;
}

bool
och_base64_decode(const char *text, size_t size, unsigned char *out, size_t *size_out)
{
    const unsigned char *next = (const unsigned char *) text;
    unsigned char *to = out;
    *size_out = 0;
    if (size % 4 != 0)
        return false;
    if (size == 0)
        return true;

    size_t left = size - 4;
    uint32_t bad = 0;
    /* Eight bytes are written for six that count: what is left has room for two more. */
    for (; left >= 8; left -= 8) {
        uint32_t first = decode4(next), second = decode4(next + 4);
        bad |= first | second;
        uint64_t six = (uint64_t) (first & 0xffffff) << 40 | (uint64_t) (second & 0xffffff) << 16;
        och_store_u64(to, __builtin_bswap64(six));
        next += 8;
        to += 6;
    }
    if (left > 0) {
        uint32_t bits = decode4(next);
        bad |= bits;
        put3(to, bits);
        next += 4;
        to += 3;
    }
    if (bad >> 31 != 0)
        return false;
    size_t n = decode_last(next, to);
    *size_out = n == 0 ? 0 : (size_t) (to - out) + n;
    return n != 0;
}
