/*
 * base64.h - RFC 4648 section 4, strict: standard alphabet, padding required,
 * no line breaks, unused bits zero.
 *
 * Threads: any; no state.
 */
#ifndef OCH_BASE_BASE64_H
#define OCH_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"

/* Bytes that `size` characters of valid base64 can hold at most. */
size_t och_base64_room(size_t size);

/*
 * Decode `size` characters into `out`, which has och_base64_room(size) bytes.
 * False, with `out` unspecified, when the text is not strict base64.
 */
OCH_MUST_CHECK bool och_base64_decode(
        const char *text, size_t size, unsigned char *out, size_t *size_out);

#endif /* OCH_BASE_BASE64_H */
