/*
 * json_internal.h - what the JSON sources share: looking for the end of a
 * string's plain text, and the path to an error.
 */
#ifndef OCH_BASE_JSON_INTERNAL_H
#define OCH_BASE_JSON_INTERNAL_H

#include <string.h>

#include "base/json.h"

/* Sixteen bytes treated alike, by whatever instructions the processor has. */
typedef unsigned char och_bytes16 __attribute__((vector_size(16)));

/*
 * The first quote, backslash or control character from `next` on, or `end`.
 * *high_out is not 0 if bytes above 127 were seen, some of them perhaps later.
 */
static inline const char *
och_json_find_special(const char *next, const char *end, uint64_t *high_out)
{
    static const och_bytes16 quote = {
            '"', '"', '"', '"', '"', '"', '"', '"', '"', '"', '"', '"', '"', '"', '"', '"'};
    static const och_bytes16 backslash = {'\\', '\\', '\\', '\\', '\\', '\\', '\\', '\\', '\\',
            '\\', '\\', '\\', '\\', '\\', '\\', '\\'};
    static const och_bytes16 space = {
            ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' ', ' '};
    uint64_t high = 0;
    for (; end - next >= 16; next += 16) {
        och_bytes16 bytes;
        memcpy(&bytes, next, sizeof(bytes));
        och_bytes16 special =
                (och_bytes16) ((bytes == quote) | (bytes == backslash) | (bytes < space));
        uint64_t found[2], words[2];
        memcpy(found, &special, sizeof(found));
        memcpy(words, &bytes, sizeof(words));
        high |= (words[0] | words[1]) & UINT64_C(0x8080808080808080);
        if ((found[0] | found[1]) == 0)
            continue;
        *high_out |= high;
        return next +
                (found[0] != 0 ? __builtin_ctzll(found[0]) : 64 + __builtin_ctzll(found[1])) / 8;
    }
    for (; next < end; next++) {
        unsigned char c = (unsigned char) *next;
        if (c == '"' || c == '\\' || c < ' ')
            break;
        high |= c & 0x80u;
    }
    *high_out |= high;
    return next;
}

enum { OCH_JSON_PATH_SIZE = 200 };

/*
 * Where in the document the reader's error is: "$" is the document, "$.ids[3]"
 * the fourth element of its member "ids".  Cut with "..." where it is too long.
 * Walks the text from the start once more, so that reading need not keep track.
 */
void och_json_path(const struct och_json_reader *broken, char path[OCH_JSON_PATH_SIZE]);

#endif /* OCH_BASE_JSON_INTERNAL_H */
