/*
 * utf8.h - is this UTF-8?  (RFC 3629: no surrogates, nothing above U+10FFFF,
 * no overlong forms.)
 *
 * Threads: any; no state.
 */
#ifndef OCH_BASE_UTF8_H
#define OCH_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool och_utf8_is_valid(const char *text, size_t size);

/* How many bytes at the beginning are valid UTF-8; all `size` of them if the text is. */
size_t och_utf8_valid_size(const char *text, size_t size);

/* Code points in valid UTF-8. */
size_t och_utf8_count(const char *text, size_t size);

/* Decode the code point at *next (which must be < end, in valid UTF-8) and
 * step over it. */
uint32_t och_utf8_next(const char **next, const char *end);

/* Write a code point; returns its length in bytes, 1 to 4. */
size_t och_utf8_put(char out[4], uint32_t code_point);

#endif /* OCH_BASE_UTF8_H */
