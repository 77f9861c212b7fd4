/*
 * crc32c_x86.c - CRC-32C by the instruction of SSE4.2.
 *
 * The instruction takes 8 bytes and three cycles, but a new one can start in
 * each cycle.  So long inputs are read as three lanes at a time:
 *
 *      | lane 0 | lane 1 | lane 2 | lane 0 | ...
 *
 * Checksums are remainders of polynomials: that of a whole is the sum of its
 * parts' remainders, each multiplied by x^(bits that follow it).
 */
#include <nmmintrin.h>

#include "base/buf.h"
#include "base/hash_internal.h"

#define POLYNOMIAL 0x82f63b78u /* the coefficient of x^31 in the lowest bit */

#define LANE ((size_t) 4096)
#define AFTER_ONE_LANE 0x35d73a62u  /* x^(8 * LANE) modulo the polynomial */
#define AFTER_TWO_LANES 0x28461564u /* x^(16 * LANE) */

/* a * b modulo the polynomial.  One bit at a time: 32 steps for 12 KiB are few. */
static uint32_t
multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (int bit = 31; bit >= 0; bit--) {
        product ^= b & (0u - (a >> bit & 1));
        b = b >> 1 ^ (POLYNOMIAL & (0u - (b & 1)));
    }
    return product;
}

bool
och_crc32c_has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2") != 0;
}

__attribute__((target("sse4.2"))) uint32_t
och_crc32c_by_instruction(uint32_t crc, const void *bytes, size_t size)
{
    const char *next = bytes;
    uint64_t state = (uint32_t) ~crc;
    for (; size >= 3 * LANE; size -= 3 * LANE) {
        uint64_t second = 0, third = 0;
        for (size_t i = 0; i < LANE; i += 8) {
            state = _mm_crc32_u64(state, och_load_u64(next + i));
            second = _mm_crc32_u64(second, och_load_u64(next + LANE + i));
            third = _mm_crc32_u64(third, och_load_u64(next + 2 * LANE + i));
        }
        state = multiply(AFTER_TWO_LANES, (uint32_t) state) ^
                multiply(AFTER_ONE_LANE, (uint32_t) second) ^ third;
        next += 3 * LANE;
    }
    for (; size >= 8; size -= 8) {
        state = _mm_crc32_u64(state, och_load_u64(next));
        next += 8;
    }
    uint32_t last = (uint32_t) state;
    for (; size > 0; size--)
        last = _mm_crc32_u8(last, (unsigned char) *next++);
    return ~last;
}
