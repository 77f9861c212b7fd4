/*
 * fuzz_base64.c - bytes as base64, and as what is to be encoded.
 *
 * Oracle: a naive encoder.  What it makes of any bytes decodes to them; and a
 * text that decodes is exactly what it makes of the result, so that no second
 * spelling of the same bytes is accepted.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/compiler.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bit by bit; the caller frees. */
static char *
encode(const unsigned char *bytes, size_t size, size_t *size_out)
{
    static const char alphabet[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc(size / 3 * 4 + 4);
    och_assert(text != NULL);
    size_t n = 0;
    for (size_t bit = 0; bit < 8 * size; bit += 6) {
        unsigned six = 0;
        for (size_t k = bit; k < bit + 6; k++)
            six = six << 1 | (k < 8 * size ? (unsigned) bytes[k / 8] >> (7 - k % 8) & 1u : 0u);
        text[n++] = alphabet[six];
    }
    while (n % 4 != 0)
        text[n++] = '=';
    *size_out = n;
    return text;
}

/* Decode into exactly the room that is promised to be enough; the caller frees. */
static unsigned char *
decode(const char *text, size_t size, size_t *size_out)
{
    size_t room = och_base64_room(size);
    unsigned char *bytes = malloc(room == 0 ? 1 : room);
    och_assert(bytes != NULL);
    if (och_base64_decode(text, size, bytes, size_out))
        return bytes;
    free(bytes);
    return NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n_bytes, n_text;
    unsigned char *bytes = decode((const char *) data, size, &n_bytes);
    if (bytes != NULL) {
        och_assert(n_bytes <= och_base64_room(size));
        char *text = encode(bytes, n_bytes, &n_text);
        och_assert(n_text == size && (size == 0 || memcmp(text, data, size) == 0));
        free(text);
    }
    free(bytes);

    char *text = encode(data, size, &n_text);
    bytes = decode(text, n_text, &n_bytes);
    och_assert(bytes != NULL);
    och_assert(n_bytes == size && (size == 0 || memcmp(bytes, data, size) == 0));
    free(bytes);
    free(text);
    return 0;
}
