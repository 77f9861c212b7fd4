/*
 * uuid.h - 128-bit identifiers (RFC 9562) and their text.
 *
 * Threads: any; no state.
 */
#ifndef OCH_BASE_UUID_H
#define OCH_BASE_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct och_uuid {
    uint8_t bytes[16]; /* in the order of the text */
};

enum { OCH_UUID_TEXT_SIZE = 36 }; /* without a NUL */

/* Version 4 from 16 random bytes. */
struct och_uuid och_uuid_from_random(const uint8_t random[16]);

/* Lower case, hyphenated, NUL-terminated. */
void och_uuid_put(struct och_uuid uuid, char text[OCH_UUID_TEXT_SIZE + 1]);

/* Read the hyphenated, the compact 32-digit, the {braced} or the urn:uuid:
 * form, any case, any version; false for anything else. */
OCH_MUST_CHECK bool och_uuid_parse(const char *text, size_t size, struct och_uuid *uuid_out);

bool och_uuid_equal(struct och_uuid a, struct och_uuid b);

#endif /* OCH_BASE_UUID_H */
