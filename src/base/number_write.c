/*
 * number_write.c - numbers to text.
 *
 * Shortest digits by Schubfach (Giulietti 2020, "The Schubfach way to render
 * doubles"): all decimals that read back as v lie in an interval around it;
 * exactly one power of ten 10^k is as wide as the interval can hold one or a
 * few multiples of, and whether a multiple of 10^(k+1) lies inside is checked
 * first.  The interval's ends are computed as integers, in units of 10^k / 4,
 * with odd standing for "and a bit more", so that all comparisons are exact.
 */
#include <string.h>

#include "base/compiler.h"
#include "base/number_internal.h"

static_assert(OCH_POWER10_FIRST <= -292 && OCH_POWER10_LAST >= 324, "the powers writing needs");

/* digits * 10^exponent */
struct decimal {
    uint64_t digits;
    int32_t exponent;
};

/* How to lay digits out: a number is written without exponent while its point
 * stands between these places, counted from its first digit. */
struct layout {
    int32_t point_min, point_max;
};

static const struct layout f32_layout = {-5, 13};
static const struct layout f64_layout = {-4, 16};

/* 00 01 ... 99 */
static const char pairs[200] = "0001020304050607080910111213141516171819"
                               "2021222324252627282930313233343536373839"
                               "4041424344454647484950515253545556575859"
                               "6061626364656667686970717273747576777879"
                               "8081828384858687888990919293949596979899";

/* --- digits ------------------------------------------------------------ */

/* floor(q * log10(2)), or of 3/4 of that power of two. */
static int32_t
log10_of_power2(int32_t q, bool three_quarters)
{
    return (q * 1262611 - (three_quarters ? 524031 : 0)) >> 22;
}

/* 10^k, its first 128 bits, rounded up. */
static struct och_product
power10_above(int32_t k)
{
    const struct och_power10 *power = och_power10(k);
    /* Up to 10^55 the bits are exact; from -27 to -1 they are rounded up already. */
    uint64_t more = k < -27 || k > 55;
    uint64_t low = power->low + more;
    return (struct och_product){power->high + (low < more), low};
}

/* The product's highest word, odd if anything but a rounding error is below it. */
static uint64_t
multiply_to_odd64(struct och_product power, uint64_t factor)
{
    uint64_t carry = och_multiply(power.low, factor).high;
    struct och_product product = och_multiply(power.high, factor);
    uint64_t low = product.low + carry;
    uint64_t high = product.high + (low < carry);
    return high | (low > 1);
}

static uint32_t
multiply_to_odd32(uint64_t power, uint32_t factor)
{
    struct och_product product = och_multiply(power, factor);
    uint32_t below = (uint32_t) (product.low >> 32);
    return (uint32_t) product.high | (below > 1);
}

/* v and the ends of its interval, in units of 10^k / 4; what lies outside an
 * open end is already excluded. */
struct interval {
    uint64_t lower, value, upper;
};

static struct decimal
shortest_in(const struct interval *in, int32_t k)
{
    uint64_t s = in->value / 4;
    if (s >= 10) {
        uint64_t tens = s / 10;
        bool below = in->lower <= 40 * tens;
        bool above = 40 * tens + 40 <= in->upper;
        if (below != above)
            return (struct decimal){tens + above, k + 1};
    }
    bool below = in->lower <= 4 * s;
    bool above = 4 * s + 4 <= in->upper;
    if (below != above)
        return (struct decimal){s + above, k};
    uint64_t middle = 4 * s + 2;
    bool up = in->value > middle || (in->value == middle && s % 2 == 1);
    return (struct decimal){s + up, k};
}

/* The shortest decimal that rounds to fraction * 2^exponent; with `edge`, the
 * next float below is only half as far away as the next one above. */
static struct decimal
shortest_f64(uint64_t fraction, int32_t exponent, bool edge)
{
    bool open = fraction % 2 == 1;
    int32_t k = log10_of_power2(exponent, edge);
    int32_t shift = exponent + och_log2_of_power10(-k) + 1;
    struct och_product power = power10_above(-k);
    struct interval in = {
            multiply_to_odd64(power, (4 * fraction - 2 + edge) << shift) + open,
            multiply_to_odd64(power, (4 * fraction) << shift),
            multiply_to_odd64(power, (4 * fraction + 2) << shift) - open,
    };
    return shortest_in(&in, k);
}

static struct decimal
shortest_f32(uint32_t fraction, int32_t exponent, bool edge)
{
    bool open = fraction % 2 == 1;
    int32_t k = log10_of_power2(exponent, edge);
    int32_t shift = exponent + och_log2_of_power10(-k) + 1;
    const struct och_power10 *wide = och_power10(-k);
    uint64_t power = wide->high + (wide->low != 0);
    struct interval in = {
            multiply_to_odd32(power, (4 * fraction - 2 + edge) << shift) + open,
            multiply_to_odd32(power, (4 * fraction) << shift),
            multiply_to_odd32(power, (4 * fraction + 2) << shift) - open,
    };
    return shortest_in(&in, k);
}

/* --- text -------------------------------------------------------------- */

static int32_t
count_digits(uint64_t value)
{
    if (value == 0)
        return 1;
    /* 1233 / 4096 is log10(2); the estimate is right or one too low. */
    int32_t n = (64 - __builtin_clzll(value)) * 1233 >> 12;
    return n + (n < 20 && value >= och_whole_powers10[n]);
}

/* Write exactly `n` digits. */
static void
put_digits(char *text, uint64_t value, int32_t n)
{
    char *end = text + n;
    while (value >= 100) {
        end -= 2;
        memcpy(end, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10)
        memcpy(end - 2, pairs + value * 2, 2);
    else
        end[-1] = (char) ('0' + value);
}

static size_t
put_whole(char *text, uint64_t value)
{
    int32_t n = count_digits(value);
    put_digits(text, value, n);
    return (size_t) n;
}

/* "1.5e-7" */
static size_t
put_scientific(char *text, struct decimal decimal, int32_t n)
{
    char *next = text;
    put_digits(next + 1, decimal.digits, n);
    next[0] = next[1];
    next++;
    if (n > 1) {
        *next = '.';
        next += n;
    }
    int32_t exponent = decimal.exponent + n - 1;
    *next++ = 'e';
    *next++ = exponent < 0 ? '-' : '+';
    uint64_t size = (uint64_t) (exponent < 0 ? -exponent : exponent);
    return (size_t) (next - text) + put_whole(next, size);
}

static size_t
put_decimal(char *text, struct decimal decimal, const struct layout *layout)
{
    while (decimal.digits % 10 == 0) {
        decimal.digits /= 10;
        decimal.exponent++;
    }
    int32_t n = count_digits(decimal.digits);
    int32_t point = n + decimal.exponent;
    if (point < layout->point_min || point > layout->point_max)
        return put_scientific(text, decimal, n);
    if (point <= 0) { /* 0.00123 */
        memset(text, '0', (size_t) (2 - point));
        text[1] = '.';
        put_digits(text + 2 - point, decimal.digits, n);
        return (size_t) (2 - point + n);
    }
    if (point < n) { /* 1.23 */
        put_digits(text + 1, decimal.digits, n);
        memmove(text, text + 1, (size_t) point);
        text[point] = '.';
        return (size_t) n + 1;
    }
    /* 12300.0 */
    put_digits(text, decimal.digits, n);
    memset(text + n, '0', (size_t) (point - n));
    memcpy(text + point, ".0", 2);
    return (size_t) point + 2;
}

static size_t
put_zero(char *text)
{
    memcpy(text, "0.0", 3);
    return 3;
}

size_t
och_number_put_f32(char text[OCH_NUMBER_TEXT_MAX], float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    size_t n_sign = bits >> 31;
    text[0] = '-';
    text += n_sign;
    uint32_t fraction = bits & 0x7fffff;
    int32_t exponent = (int32_t) (bits >> 23 & 0xff);
    och_assert(exponent != 0xff);
    if (exponent == 0 && fraction == 0)
        return n_sign + put_zero(text);
    bool edge = fraction == 0 && exponent > 1;
    if (exponent == 0)
        exponent = 1;
    else
        fraction |= 0x800000;
    exponent -= 127 + 23;
    struct decimal decimal = {fraction >> (-exponent & 31), 0};
    bool whole = exponent <= 0 && exponent > -24 && decimal.digits << -exponent == fraction;
    if (!whole)
        decimal = shortest_f32(fraction, exponent, edge);
    return n_sign + put_decimal(text, decimal, &f32_layout);
}

size_t
och_number_put_f64(char text[OCH_NUMBER_TEXT_MAX], double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    size_t n_sign = bits >> 63;
    text[0] = '-';
    text += n_sign;
    uint64_t fraction = bits & UINT64_C(0xfffffffffffff);
    int32_t exponent = (int32_t) (bits >> 52 & 0x7ff);
    och_assert(exponent != 0x7ff);
    if (exponent == 0 && fraction == 0)
        return n_sign + put_zero(text);
    bool edge = fraction == 0 && exponent > 1;
    if (exponent == 0)
        exponent = 1;
    else
        fraction |= UINT64_C(1) << 52;
    exponent -= 1023 + 52;
    struct decimal decimal = {fraction >> (-exponent & 63), 0};
    bool whole = exponent <= 0 && exponent > -53 && decimal.digits << -exponent == fraction;
    if (!whole)
        decimal = shortest_f64(fraction, exponent, edge);
    return n_sign + put_decimal(text, decimal, &f64_layout);
}

size_t
och_number_put_u64(char text[OCH_NUMBER_TEXT_MAX], uint64_t value)
{
    return put_whole(text, value);
}

size_t
och_number_put_i64(char text[OCH_NUMBER_TEXT_MAX], int64_t value)
{
    text[0] = '-';
    if (value < 0)
        return 1 + put_whole(text + 1, 0 - (uint64_t) value);
    return put_whole(text, (uint64_t) value);
}
