#include <string.h>

#include "base/random.h"
#include "base/utf8.h"
#include "support/check.h"

static bool
is_scalar(uint32_t code_point)
{
    return code_point <= 0x10ffff && (code_point < 0xd800 || code_point > 0xdfff);
}

static void
every_code_point_survives_a_round_trip(void **state)
{
    (void) state;
    for (uint32_t code_point = 0; code_point <= 0x10ffff; code_point++) {
        char text[4];
        size_t size = och_utf8_put(text, code_point);
        bool valid = is_scalar(code_point);
        if (och_utf8_is_valid(text, size) != valid)
            fail_msg("U+%04X", code_point);
        if (!valid)
            continue;
        const char *next = text;
        if (och_utf8_next(&next, text + size) != code_point || next != text + size)
            fail_msg("U+%04X", code_point);
        if (och_utf8_count(text, size) != 1)
            fail_msg("U+%04X", code_point);
    }
}

/* The definition, without shortcuts: decode, then ask whether the code point is
 * allowed and would have been written this way. */
static size_t
model_valid_size(const unsigned char *text, size_t size)
{
    size_t i = 0;
    while (i < size) {
        size_t n = text[i] < 0x80 ? 1 : text[i] >> 5 == 6 ? 2 : text[i] >> 4 == 14 ? 3 : 4;
        if (text[i] >> 6 == 2 || text[i] >> 3 == 31 || n > size - i)
            return i;
        uint32_t code_point = n == 1 ? text[i] : text[i] & (0x7fu >> n);
        for (size_t k = 1; k < n; k++) {
            if (text[i + k] >> 6 != 2)
                return i;
            code_point = code_point << 6 | (text[i + k] & 0x3fu);
        }
        char again[4];
        if (!is_scalar(code_point) || och_utf8_put(again, code_point) != n)
            return i;
        i += n;
    }
    return size;
}

static void
every_sequence_of_up_to_three_bytes_is_judged_by_the_definition(void **state)
{
    (void) state;
    for (uint32_t bytes = 0; bytes < 1u << 24; bytes++) {
        unsigned char text[3] = {
                (unsigned char) (bytes >> 16), (unsigned char) (bytes >> 8), (unsigned char) bytes};
        if (text[0] < 0x80 && bytes % 97 != 0)
            continue; /* the second byte starts anew: a sample will do */
        if (och_utf8_valid_size((const char *) text, 3) != model_valid_size(text, 3))
            fail_msg("%06x", bytes);
    }
}

static void
sequences_of_four_bytes_are_judged_by_the_definition(void **state)
{
    (void) state;
    static const unsigned char leads[] = {0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf7, 0xf8, 0xff};
    static const unsigned char last[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0};
    for (size_t i = 0; i < sizeof(leads); i++) {
        for (uint32_t middle = 0; middle < 1u << 16; middle++) {
            for (size_t k = 0; k < sizeof(last); k++) {
                unsigned char text[4] = {
                        leads[i], (unsigned char) (middle >> 8), (unsigned char) middle, last[k]};
                if (och_utf8_valid_size((const char *) text, 4) != model_valid_size(text, 4))
                    fail_msg("%02x%04x%02x", leads[i], middle, last[k]);
            }
        }
    }
}

static void
damage_in_long_text_is_found_where_it_is(void **state)
{
    (void) state;
    static const char *const pieces[] = {
            "a", "plain ASCII text", "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80"};
    uint64_t seed = 6;
    for (int round = 0; round < 20000; round++) {
        char text[400];
        size_t size = 0, n = 0;
        while (size < 300) {
            const char *piece = pieces[och_random_below(&seed, 5)];
            n += piece[1] == 'l' ? 16 : 1;
            memcpy(text + size, piece, strlen(piece));
            size += strlen(piece);
        }
        check(och_utf8_is_valid(text, size));
        check(och_utf8_count(text, size) == n);
        text[och_random_below(&seed, size)] = (char) och_random(&seed);
        check(och_utf8_valid_size(text, size) ==
                model_valid_size((const unsigned char *) text, size));
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(every_code_point_survives_a_round_trip),
            cmocka_unit_test(every_sequence_of_up_to_three_bytes_is_judged_by_the_definition),
            cmocka_unit_test(sequences_of_four_bytes_are_judged_by_the_definition),
            cmocka_unit_test(damage_in_long_text_is_found_where_it_is),
    };
    return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
