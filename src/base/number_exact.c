/*
 * number_exact.c - the last resort of reading: compare all digits of a number
 * with the midpoint between two floats, in whole numbers of any length.
 *
 *      digits * 10^e  ?  half * 2^x
 *
 * Negative powers go to the other side, and a power of ten is a power of five
 * and a power of two, so that both sides are whole.
 */
#include <stddef.h>

#include "base/compiler.h"
#include "base/number_internal.h"

/* A midpoint between two doubles has at most 768 significant digits: beyond
 * those, it matters only whether all other digits are zero. */
#define DIGITS_MAX 768

/*
 * The digits and one for "not all others are zero" are below 10^769 < 2^2555.
 * If the side with the midpoint is multiplied by a power of five, it is at most
 * 2^54 * 5^(769 + 324) < 2^2593; and where a side is shifted, it becomes about
 * as large as the other.
 */
#define WORDS_MAX 48

/* A whole number, least significant word first. */
struct big {
    uint64_t words[WORDS_MAX];
    size_t n;
};

/* big = big * factor + addend */
static void
multiply_add(struct big *big, uint64_t factor, uint64_t addend)
{
    __extension__ typedef unsigned __int128 wide;
    uint64_t carry = addend;
    for (size_t i = 0; i < big->n; i++) {
        wide product = (wide) big->words[i] * factor + carry;
        big->words[i] = (uint64_t) product;
        carry = (uint64_t) (product >> 64);
    }
    if (carry == 0)
        return;
    och_assert(big->n < WORDS_MAX);
    big->words[big->n++] = carry;
}

static void
multiply_by_power5(struct big *big, uint32_t exponent)
{
    const uint32_t step = 27; /* 5^27 is the largest in a word */
    for (; exponent >= step; exponent -= step)
        multiply_add(big, UINT64_C(7450580596923828125), 0);
    for (; exponent > 0; exponent--)
        multiply_add(big, 5, 0);
}

static void
shift_left(struct big *big, uint32_t n_bits)
{
    for (; n_bits >= 32; n_bits -= 32)
        multiply_add(big, UINT64_C(1) << 32, 0);
    multiply_add(big, UINT64_C(1) << n_bits, 0);
}

static int
compare(const struct big *a, const struct big *b)
{
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    for (size_t i = a->n; i > 0; i--) {
        if (a->words[i - 1] != b->words[i - 1])
            return a->words[i - 1] < b->words[i - 1] ? -1 : 1;
    }
    return 0;
}

/* The significant digits of the number, as a whole number; returns how many. */
static int32_t
read_digits(const struct och_number *number, struct big *digits)
{
    const char *next = number->start + number->negative;
    while (*next == '0' || *next == '.')
        next++;
    int32_t n = 0;
    for (; next < number->end && *next != 'e' && *next != 'E'; next++) {
        if (*next == '.')
            continue;
        if (n < DIGITS_MAX) {
            multiply_add(digits, 10, (uint64_t) (*next - '0'));
            n++;
        } else if (*next != '0') {
            multiply_add(digits, 10, 1);
            return n + 1;
        }
    }
    return n;
}

int
och_number_compare_exactly(const struct och_number *number, uint64_t half, int32_t exponent)
{
    struct big left = {.n = 0};
    struct big right = {.words = {half}, .n = 1};
    /* number->exponent belongs to the first 19 digits. */
    int32_t decimal = number->exponent + 19 - read_digits(number, &left);
    if (decimal >= 0)
        multiply_by_power5(&left, (uint32_t) decimal);
    else
        multiply_by_power5(&right, (uint32_t) -decimal);
    int32_t shift = decimal - exponent;
    if (shift >= 0)
        shift_left(&left, (uint32_t) shift);
    else
        shift_left(&right, (uint32_t) -shift);
    return compare(&left, &right);
}
