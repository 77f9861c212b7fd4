#include "index/text/contains.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

/*
 * Two bytes of the needle, the rarest in usual text, are looked for at their
 * distance in BLOCK places at once; where both are, the whole is compared
 * (Mula, "SIMD-friendly algorithms for substring searching", 2016, with chosen
 * bytes instead of the first and the last).  That is several times as fast as
 * memmem on text, and quadratic on texts made for it, so comparing has a budget
 * in proportion to the text; memmem, which is linear, does what it leaves.
 */

/* A vector of the compiler: sixteen bytes compared at once where the machine can. */
typedef uint8_t och_bytes16 __attribute__((vector_size(16)));
typedef uint64_t och_words2 __attribute__((vector_size(16)));

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first place is the lowest byte");

#define BLOCK ((size_t) 32)
/* Rare bytes are looked for in this much of the needle. */
#define PROBE_SIZE_MAX ((size_t) 32)
#define BUDGET_PER_BYTE ((size_t) 2)

struct search {
    const char *needle;
    size_t size;
    size_t rare[2]; /* offsets of the two bytes in the needle */
};

/* How usual ASCII is in prose and in code: 0 the rarest, 95 a space. */
/* clang-format off */
static const uint8_t ascii_usualness[128] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 30, 70, 0, 0, 30, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        95, 21, 40, 9, 10, 11, 12, 39, 41, 42, 24, 15, 74, 52, 75, 23,
        69, 70, 68, 67, 66, 65, 64, 63, 62, 61, 51, 20, 13, 16, 14, 22,
        8, 60, 45, 56, 47, 54, 43, 38, 44, 58, 28, 30, 48, 55, 46, 49,
        53, 25, 50, 57, 59, 33, 29, 32, 27, 31, 26, 17, 7, 18, 2, 19,
        4, 92, 73, 83, 84, 94, 80, 78, 85, 90, 36, 72, 86, 81, 89, 91,
        79, 34, 87, 88, 93, 82, 71, 76, 37, 77, 35, 5, 3, 6, 1, 0,
};
/* clang-format on */

static unsigned
usualness_of(unsigned char byte)
{
    if (byte >= 0xc0)
        return 96; /* begins every character of most scripts */
    return byte < 0x80 ? ascii_usualness[byte] : 48;
}

static struct search
choose_bytes(const char *needle, size_t size)
{
    struct search search = {.needle = needle, .size = size};
    unsigned usualness[2] = {UINT32_MAX, UINT32_MAX};
    size_t n = size < PROBE_SIZE_MAX ? size : PROBE_SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        unsigned found = usualness_of((unsigned char) needle[i]);
        if (found < usualness[0]) {
            usualness[1] = usualness[0];
            search.rare[1] = search.rare[0];
            usualness[0] = found;
            search.rare[0] = i;
        } else if (found < usualness[1]) {
            usualness[1] = found;
            search.rare[1] = i;
        }
    }
    return search;
}

static och_bytes16
load(const char *bytes)
{
    och_bytes16 vector;
    memcpy(&vector, bytes, sizeof(vector));
    return vector;
}

/* Which of the 16 places from `at` have both rare bytes where a needle that
 * begins there has them: 0xff where they are, else 0. */
static och_words2
places_in(const struct search *search, const char *at)
{
    const och_bytes16 first = (och_bytes16){0} + (uint8_t) search->needle[search->rare[0]];
    const och_bytes16 second = (och_bytes16){0} + (uint8_t) search->needle[search->rare[1]];
    return (och_words2) ((load(at + search->rare[0]) == first) &
            (load(at + search->rare[1]) == second));
}

/* Does the needle begin at one of these 8 places from `at`?  What is compared
 * is taken from the budget. */
static bool
begins(const struct search *search, const char *at, uint64_t places, size_t *budget)
{
    while (places != 0) {
        unsigned shift = (unsigned) __builtin_ctzll(places) & ~7u;
        if (memcmp(at + shift / 8, search->needle, search->size) == 0)
            return true;
        *budget -= *budget < search->size ? *budget : search->size;
        places &= ~(UINT64_C(0xff) << shift);
    }
    return false;
}

/* The same for a whole block. */
static bool
begins_in_block(const struct search *search, const char *at, size_t *budget)
{
    och_words2 low = places_in(search, at);
    och_words2 high = places_in(search, at + 16);
    och_words2 any = low | high;
    if ((any[0] | any[1]) == 0)
        return false;
    return begins(search, at, low[0], budget) || begins(search, at + 8, low[1], budget) ||
            begins(search, at + 16, high[0], budget) || begins(search, at + 24, high[1], budget);
}

bool
och_text_contains(
        const char *haystack, size_t haystack_size, const char *needle, size_t needle_size)
{
    if (needle_size == 0)
        return true;
    if (needle_size > haystack_size)
        return false;
    if (needle_size == 1)
        return memchr(haystack, needle[0], haystack_size) != NULL;
    size_t n_places = haystack_size - needle_size + 1;
    if (n_places < BLOCK)
        return memmem(haystack, haystack_size, needle, needle_size) != NULL;

    const struct search search = choose_bytes(needle, needle_size);
    size_t budget = haystack_size * BUDGET_PER_BYTE;
    size_t at = 0;
    while (at < n_places && budget > 0) {
        if (at > n_places - BLOCK)
            at = n_places - BLOCK; /* the last block overlaps the one before */
        if (begins_in_block(&search, haystack + at, &budget))
            return true;
        at += BLOCK;
    }
    if (at >= n_places)
        return false;
    return memmem(haystack + at, haystack_size - at, needle, needle_size) != NULL;
}
