/*
 * number_internal.h - what the number and JSON sources share: scanning digits
 * eight at a time, the quick way from digits to f32, and powers of ten.
 *
 * Threads: any; no state.
 */
#ifndef OCH_BASE_NUMBER_INTERNAL_H
#define OCH_BASE_NUMBER_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/number.h"

/* The first 128 bits of 10^q, the highest of them set; see number_powers_generate.py. */
struct och_power10 {
    uint64_t high, low;
};

enum { OCH_POWER10_FIRST = -342, OCH_POWER10_LAST = 324 };

extern const struct och_power10 och_powers10[OCH_POWER10_LAST - OCH_POWER10_FIRST + 1];

static inline const struct och_power10 *
och_power10(int32_t q)
{
    return &och_powers10[q - OCH_POWER10_FIRST];
}

/* Powers of ten that are exact in their type. */
extern const double och_exact_powers10[23];
extern const uint64_t och_whole_powers10[20];

/* Where the 128-bit product of two 64-bit factors goes. */
struct och_product {
    uint64_t high, low;
};

static inline struct och_product
och_multiply(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide) a * b;
    return (struct och_product){(uint64_t) (product >> 64), (uint64_t) product};
}

/* floor(q * log2(10)) for -1233 <= q <= 1233. */
static inline int32_t
och_log2_of_power10(int32_t q)
{
    return (q * 1741647) >> 19;
}

/*
 * The float nearest to mantissa * 10^exponent, ties to even, as bits without a
 * sign; infinite beyond the range.
 */
uint32_t och_number_nearest_f32(uint64_t mantissa, int32_t exponent);

/*
 * Is the number's exact decimal value below (-1), at (0) or above (1)
 * half * 2^exponent?  For numbers of the magnitude of a double, and next to
 * that value: then the big integers this needs are known to fit.
 */
int och_number_compare_exactly(const struct och_number *number, uint64_t half, int32_t exponent);

/*
 * The same as och_number_nearest_f32 for most numbers people send, in a few
 * instructions: false when the answer is not certain.
 *
 * Mantissa and power are exact doubles, so their product or quotient is the
 * double nearest to the true value.  Rounding that once more, to f32, is wrong
 * only if the double lies exactly between two floats (then the true value may
 * lie on either side): otherwise both round alike, because rounding to double
 * cannot move a value across such a midpoint, which is itself a double.  At
 * these magnitudes (1e-22 to 1e38) no float is subnormal or infinite.
 */
static inline bool
och_number_quick_f32(uint64_t mantissa, int32_t exponent, float *out)
{
    if (mantissa >> 53 != 0 || exponent < -22 || exponent > 22)
        return false;
    double value = (double) mantissa;
    if (exponent < 0)
        value /= och_exact_powers10[-exponent];
    else
        value *= och_exact_powers10[exponent];
    uint64_t bits;
    __builtin_memcpy(&bits, &value, sizeof(bits));
    *out = (float) value;
    return (bits & 0x1fffffff) != 0x10000000;
}

#define OCH_ZEROS8 UINT64_C(0x3030303030303030)

/* The high bit of each of the eight bytes that is not an ASCII digit. */
static inline uint64_t
och_not_digits8(uint64_t bytes)
{
    uint64_t value = bytes ^ OCH_ZEROS8;
    uint64_t over9 = (value & UINT64_C(0x7f7f7f7f7f7f7f7f)) + UINT64_C(0x7676767676767676);
    return (over9 | value) & UINT64_C(0x8080808080808080);
}

/* The number that eight bytes of value 0 to 9 spell, the first in the lowest byte.
 * Neighbours are joined into pairs, pairs into fours, fours into eight. */
static inline uint32_t
och_join_digits8(uint64_t digits)
{
    digits = digits * 10 + (digits >> 8);
    uint64_t low = (digits & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064);
    uint64_t high = ((digits >> 16) & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001);
    return (uint32_t) ((low + high) >> 32);
}

/*
 * Add up to 23 digits at `text` to *mantissa (modulo 2^64), and return how many
 * there are; 24 stands for more.  `text` has 24 readable bytes.
 */
static inline unsigned
och_scan_fraction(const char *text, uint64_t *mantissa)
{
    __extension__ typedef unsigned __int128 wide;
    uint64_t first = och_load_u64(text);
    uint64_t second = och_load_u64(text + 8);
    uint64_t others1 = och_not_digits8(first);
    uint64_t others2 = och_not_digits8(second);
    first ^= OCH_ZEROS8;
    second ^= OCH_ZEROS8;
    if ((others1 | others2) == 0) {
        uint64_t third = och_load_u64(text + 16);
        uint64_t others3 = och_not_digits8(third);
        unsigned n = others3 == 0 ? 8 : (unsigned) __builtin_ctzll(others3) / 8;
        *mantissa = *mantissa * UINT64_C(10000000000000000) +
                och_join_digits8(first) * UINT64_C(100000000) + och_join_digits8(second);
        if (n > 0)
            *mantissa = *mantissa * och_whole_powers10[n] +
                    och_join_digits8((third ^ OCH_ZEROS8) << (64 - 8 * n));
        return 16 + n;
    }
    uint64_t others = others1 != 0 ? others1 : others2;
    unsigned n_bits = ((others1 != 0 ? 0 : 64) + (unsigned) __builtin_ctzll(others)) & ~7u;
    if (n_bits == 0)
        return 0;
    wide digits = ((wide) second << 64 | first) << (128 - n_bits);
    *mantissa = *mantissa * och_whole_powers10[n_bits / 8] +
            och_join_digits8((uint64_t) digits) * UINT64_C(100000000) +
            och_join_digits8((uint64_t) (digits >> 64));
    return n_bits / 8;
}

/* A number as the quick scanner found it. */
struct och_quick_number {
    const char *end; /* NULL: the quick scanner does not do this one */
    uint64_t mantissa;
    int32_t exponent;
    bool negative;
    bool integral;
};

enum { OCH_QUICK_SIZE = 40 }; /* readable bytes that och_number_scan_quick needs */

/* Add an exponent of one or two digits to *exponent.  NULL when it is another. */
static inline const char *
och_scan_small_exponent(const char *next, int32_t *exponent)
{
    bool negative = *next == '-';
    next += negative || *next == '+';
    uint32_t value = (uint32_t) (*next - '0');
    if (value > 9)
        return NULL;
    next++;
    uint32_t digit = (uint32_t) (*next - '0');
    if (digit <= 9) {
        value = value * 10 + digit;
        next++;
        if ((uint32_t) (*next - '0') <= 9)
            return NULL;
    }
    *exponent += negative ? -(int32_t) value : (int32_t) value;
    return next;
}

/*
 * Scan a number of at most 7 digits before the point, 19 in all and two in the
 * exponent; `text` has OCH_QUICK_SIZE readable bytes.  Whatever else it meets, valid
 * or not, is for och_number_scan.
 *
 * Digits are counted with bit operations and joined whatever their number, so
 * that numbers of varying length cost no mispredicted branch.
 */
static inline struct och_quick_number
och_number_scan_quick(const char *text)
{
    struct och_quick_number number = {.negative = *text == '-'};
    const char *next = text + number.negative;
    unsigned n = 1;
    if (next[1] == '.') {
        /* Nearly all of a vector; what follows need not wait for counted digits. */
        number.mantissa = (uint64_t) (*next - '0');
        if (number.mantissa > 9)
            return number;
    } else {
        uint64_t bytes = och_load_u64(next);
        uint64_t others = och_not_digits8(bytes);
        n = others == 0 ? 8 : (unsigned) __builtin_ctzll(others) / 8;
        if (n == 0 || n == 8 || (n > 1 && *next == '0'))
            return number;
        number.mantissa = och_join_digits8((bytes ^ OCH_ZEROS8) << (64 - 8 * n));
    }
    next += n;
    if (*next == '.') {
        next++;
        unsigned room = number.mantissa == 0 ? 19 : 19 - n;
        n = och_scan_fraction(next, &number.mantissa);
        if (n == 0 || n > room)
            return number;
        number.exponent = -(int32_t) n;
        next += n;
    } else {
        number.integral = true;
    }
    if ((*next | 0x20) != 'e') {
        number.end = next;
        return number;
    }
    number.integral = false;
    number.end = och_scan_small_exponent(next + 1, &number.exponent);
    return number;
}

#endif /* OCH_BASE_NUMBER_INTERNAL_H */
