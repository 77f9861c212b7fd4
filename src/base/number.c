#include "base/number.h"

#include <string.h>

#include "base/compiler.h"
#include "base/number_internal.h"

/* Digits that always fit a u64. */
#define DIGITS_MAX 19

/* An exponent is cut here: far above what the digits of a text that fits in
 * memory could bring back into range, far below what overflows. */
#define EXPONENT_CUT INT64_C(100000000000000000)

const double och_exact_powers10[23] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

const uint64_t och_whole_powers10[20] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000,
        100000000, 1000000000, 10000000000, 100000000000, 1000000000000, 10000000000000,
        100000000000000, 1000000000000000, 10000000000000000, 100000000000000000,
        1000000000000000000, 10000000000000000000u};

/* What differs between f32 and f64. */
struct format {
    int32_t fraction_bits;
    int32_t exponent_bias;
    int32_t exponent_infinite;    /* as stored */
    int32_t q_min, q_max;         /* outside, 19 digits are zero or infinite */
    int32_t q_tie_min, q_tie_max; /* only inside can a tie occur */
};

static const struct format f32_format = {23, 127, 0xff, -64, 38, -17, 10};
static const struct format f64_format = {52, 1023, 0x7ff, -342, 308, -4, 23};

static_assert(OCH_POWER10_FIRST <= -342 && OCH_POWER10_LAST >= 308, "the powers reading needs");

/* --- scanning ---------------------------------------------------------- */

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Pass over digits, adding them to *mantissa modulo 2^64. */
static const char *
scan_digits(const char *next, const char *end, uint64_t *mantissa)
{
    while (end - next >= 8) {
        uint64_t bytes = och_load_u64(next);
        if (och_not_digits8(bytes) != 0)
            break;
        *mantissa = *mantissa * 100000000 + och_join_digits8(bytes ^ OCH_ZEROS8);
        next += 8;
    }
    while (next < end && is_digit(*next)) {
        *mantissa = *mantissa * 10 + (uint64_t) (*next - '0');
        next++;
    }
    return next;
}

/* Read "e-12" at `next`, which is the e.  NULL when digits are missing. */
static const char *
scan_exponent(const char *next, const char *end, int64_t *exponent)
{
    next++;
    bool negative = next < end && *next == '-';
    if (next < end && (*next == '-' || *next == '+'))
        next++;
    if (next == end || !is_digit(*next))
        return NULL;
    int64_t value = 0;
    while (next < end && is_digit(*next)) {
        if (value < EXPONENT_CUT)
            value = value * 10 + (*next - '0');
        next++;
    }
    *exponent = negative ? -value : value;
    return next;
}

/* The digits of a number, without its sign and exponent. */
struct digits {
    const char *begin, *end;
    const char *point; /* or `end` */
};

/* There are more than DIGITS_MAX digits: find the first significant ones again,
 * one by one.  Changes mantissa and truncated, returns the decimal exponent. */
static int64_t
rescan_long(const struct digits *digits, struct och_number *number)
{
    const char *next = digits->begin;
    while (next < digits->end && (*next == '0' || *next == '.'))
        next++;
    int n = 0;
    number->mantissa = 0;
    for (; next < digits->end && n < DIGITS_MAX; next++) {
        if (*next == '.')
            continue;
        number->mantissa = number->mantissa * 10 + (uint64_t) (*next - '0');
        n++;
    }
    if (next < digits->end && *next == '.')
        next++;
    number->truncated = next < digits->end;
    /* `next` is behind the last digit used. */
    return next > digits->point ? -(int64_t) (next - digits->point - 1)
                                : (int64_t) (digits->point - next);
}

struct och_number
och_number_scan(const char *text, const char *end)
{
    static const struct och_number none = {0};
    struct och_number number = {.start = text, .integral = true};
    const char *next = text;
    number.negative = next < end && *next == '-';
    next += number.negative;

    struct digits digits = {.begin = next};
    next = scan_digits(next, end, &number.mantissa);
    int64_t n_digits = next - digits.begin;
    if (n_digits == 0 || (n_digits > 1 && *digits.begin == '0'))
        return none;
    digits.point = next;
    int64_t exponent = 0;
    if (next < end && *next == '.') {
        number.integral = false;
        next = scan_digits(next + 1, end, &number.mantissa);
        int64_t n_fraction = next - digits.point - 1;
        if (n_fraction == 0)
            return none;
        exponent = -n_fraction;
        n_digits += n_fraction;
    }
    digits.end = next;
    int64_t shift = 0;
    if (next < end && (*next == 'e' || *next == 'E')) {
        number.integral = false;
        next = scan_exponent(next, end, &shift);
        if (next == NULL)
            return none;
    }
    if (n_digits > DIGITS_MAX)
        exponent = rescan_long(&digits, &number);
    exponent += shift;
    if (exponent > INT32_MAX / 2)
        exponent = INT32_MAX / 2;
    if (exponent < INT32_MIN / 2)
        exponent = INT32_MIN / 2;
    number.exponent = (int32_t) exponent;
    number.end = next;
    return number;
}

/* --- rounding ---------------------------------------------------------- */

/*
 * The first bits of mantissa * 10^q, enough of them to round right.  The second
 * multiplication is needed only where a carry from it could reach them.
 */
static inline struct och_product
multiply_by_power10(uint64_t mantissa, int32_t q, int32_t n_bits)
{
    const struct och_power10 *power = och_power10(q);
    struct och_product product = och_multiply(mantissa, power->high);
    uint64_t mask = UINT64_MAX >> n_bits;
    if ((product.high & mask) == mask) {
        struct och_product rest = och_multiply(mantissa, power->low);
        product.low += rest.high;
        product.high += product.low < rest.high;
    }
    return product;
}

/*
 * Eisel and Lemire's algorithm (Lemire 2021, algorithm 1); that it needs no way
 * out for hard cases is proved in Mushtak and Lemire 2023, "Fast number parsing
 * without fallback".
 */
static inline uint64_t
nearest(uint64_t mantissa, int32_t q, const struct format *format)
{
    uint64_t infinite = (uint64_t) format->exponent_infinite << format->fraction_bits;
    if (mantissa == 0 || q < format->q_min)
        return 0;
    if (q > format->q_max)
        return infinite;
    int32_t n_zeros = __builtin_clzll(mantissa);
    struct och_product product =
            multiply_by_power10(mantissa << n_zeros, q, format->fraction_bits + 3);
    /* The fraction, its hidden bit and one bit to round by. */
    int32_t carry = (int32_t) (product.high >> 63);
    int32_t shift = carry + 64 - format->fraction_bits - 3;
    uint64_t fraction = product.high >> shift;
    int32_t exponent = och_log2_of_power10(q) + 63 + carry - n_zeros + format->exponent_bias;
    if (exponent <= 0) {
        /* Subnormal: fewer bits.  No 19 digits lie exactly between two of them. */
        if (1 - exponent >= 64)
            return 0;
        fraction >>= 1 - exponent;
        fraction += fraction & 1;
        /* A carry into the hidden bit's place makes the least normal number. */
        return fraction >> 1;
    }
    /* A tie, with the even number below: do not round up. */
    if (product.low <= 1 && q >= format->q_tie_min && q <= format->q_tie_max &&
            (fraction & 3) == 1 && fraction << shift == product.high)
        fraction &= ~UINT64_C(1);
    fraction += fraction & 1;
    fraction >>= 1;
    /* The hidden bit adds one to the exponent; so does a carry out of it. */
    uint64_t bits = ((uint64_t) (exponent - 1) << format->fraction_bits) + fraction;
    return bits > infinite ? infinite : bits;
}

uint32_t
och_number_nearest_f32(uint64_t mantissa, int32_t exponent)
{
    return (uint32_t) nearest(mantissa, exponent, &f32_format);
}

/*
 * The mantissa lacks digits, so the number lies between `below`, the nearest to
 * the mantissa as it is, and `above`, the nearest to the mantissa plus one.
 * 19 digits are so fine that these are neighbours, if they differ at all.
 */
static uint64_t
choose(const struct och_number *number, uint64_t below, uint64_t above, const struct format *format)
{
    if (below == above)
        return below;
    och_assert(above == below + 1);
    uint64_t hidden = UINT64_C(1) << format->fraction_bits;
    uint64_t fraction = below & (hidden - 1);
    int32_t exponent = (int32_t) (below >> format->fraction_bits);
    if (exponent == 0)
        exponent = 1;
    else
        fraction |= hidden;
    int side = och_number_compare_exactly(
            number, 2 * fraction + 1, exponent - format->exponent_bias - format->fraction_bits - 1);
    if (side == 0)
        return below % 2 == 0 ? below : above;
    return side < 0 ? below : above;
}

double
och_number_f64(const struct och_number *number)
{
    uint64_t bits = nearest(number->mantissa, number->exponent, &f64_format);
    if (number->truncated) {
        uint64_t above = nearest(number->mantissa + 1, number->exponent, &f64_format);
        bits = choose(number, bits, above, &f64_format);
    }
    bits |= (uint64_t) number->negative << 63;
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

float
och_number_f32(const struct och_number *number)
{
    uint64_t bits64 = nearest(number->mantissa, number->exponent, &f32_format);
    if (number->truncated) {
        uint64_t above = nearest(number->mantissa + 1, number->exponent, &f32_format);
        bits64 = choose(number, bits64, above, &f32_format);
    }
    uint32_t bits = (uint32_t) bits64 | (uint32_t) number->negative << 31;
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}
