#include "base/uuid.h"

#include <string.h>

/* Where the text has hyphens, before these bytes. */
static bool
hyphen_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

struct och_uuid
och_uuid_from_random(const uint8_t random[16])
{
    struct och_uuid uuid;
    memcpy(uuid.bytes, random, sizeof(uuid.bytes));
    uuid.bytes[6] = (uint8_t) (0x40 | (uuid.bytes[6] & 0x0f)); /* version 4 */
    uuid.bytes[8] = (uint8_t) (0x80 | (uuid.bytes[8] & 0x3f)); /* variant of RFC 9562 */
    return uuid;
}

void
och_uuid_put(struct och_uuid uuid, char text[OCH_UUID_TEXT_SIZE + 1])
{
    static const char hex[] = "0123456789abcdef";
    char *next = text;
    for (size_t i = 0; i < sizeof(uuid.bytes); i++) {
        if (hyphen_before(i))
            *next++ = '-';
        *next++ = hex[uuid.bytes[i] >> 4];
        *next++ = hex[uuid.bytes[i] & 15];
    }
    *next = '\0';
}

/* The value of a hexadecimal digit, or 16. */
static unsigned
hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned) (c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned) (c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned) (c - 'A') + 10;
    return 16;
}

/* Does `text` begin with urn:uuid: in any case? */
static bool
has_urn(const char *text)
{
    static const char urn[] = "urn:uuid:";
    for (size_t i = 0; i < sizeof(urn) - 1; i++) {
        char lower = text[i] >= 'A' && text[i] <= 'Z' ? (char) (text[i] + 32) : text[i];
        if (lower != urn[i])
            return false;
    }
    return true;
}

bool
och_uuid_parse(const char *text, size_t size, struct och_uuid *uuid_out)
{
    enum { HYPHENATED = OCH_UUID_TEXT_SIZE, COMPACT = 32, BRACED = 38, URN = 45 };
    struct och_uuid uuid = {{0}};
    *uuid_out = uuid;
    if (size == BRACED && text[0] == '{' && text[size - 1] == '}') {
        text += 1;
        size = HYPHENATED;
    } else if (size == URN && has_urn(text)) {
        text += URN - HYPHENATED;
        size = HYPHENATED;
    }
    if (size != HYPHENATED && size != COMPACT)
        return false;

    for (size_t i = 0; i < sizeof(uuid.bytes); i++) {
        if (size == HYPHENATED && hyphen_before(i)) {
            if (*text != '-')
                return false;
            text++;
        }
        unsigned high = hex_value(text[0]), low = hex_value(text[1]);
        if (high > 15 || low > 15)
            return false;
        uuid.bytes[i] = (uint8_t) (high << 4 | low);
        text += 2;
    }
    *uuid_out = uuid;
    return true;
}

bool
och_uuid_equal(struct och_uuid a, struct och_uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof(a.bytes)) == 0;
}
