#include "base/buf.h"
#include "base/hash.h"
#include "base/hash_internal.h"

uint32_t
och_crc32c_by_table(uint32_t crc, const void *bytes, size_t size)
{
    const unsigned char *next = bytes;
    crc = ~crc;
    for (; size >= 8; size -= 8) {
        uint64_t word = och_load_u64(next) ^ crc;
        crc = 0;
        for (size_t i = 0; i < 8; i++)
            crc ^= och_crc32c_table[7 - i][word >> (8 * i) & 0xff];
        next += 8;
    }
    for (; size > 0; size--)
        crc = crc >> 8 ^ och_crc32c_table[0][(crc ^ *next++) & 0xff];
    return ~crc;
}

uint32_t
och_crc32c(uint32_t crc, const void *bytes, size_t size)
{
    if (och_crc32c_has_instruction())
        return och_crc32c_by_instruction(crc, bytes, size);
    return och_crc32c_by_table(crc, bytes, size);
}
