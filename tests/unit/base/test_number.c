/*
 * Reading numbers against the C library's strtod and strtof, which round right.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/number.h"
#include "base/random.h"
#include "support/check.h"

enum { TEXT_MAX = 3000 };

/* Read `text`, which is one number, from memory that ends with it. */
static void
agrees(const char *text)
{
    struct och_mem mem;
    size_t size = strlen(text);
    och_mem_init(&mem, NULL);
    char *exact = och_mem_take(&mem, size);
    check(exact != NULL);
    memcpy(exact, text, size);
    struct och_number number = och_number_scan(exact, exact + size);
    if (number.end != exact + size)
        fail_msg("%s: not read to its end", text);
    double value = och_number_f64(&number), wanted = strtod(text, NULL);
    if (memcmp(&value, &wanted, sizeof(value)) != 0)
        fail_msg("%s: f64 %a, wanted %a", text, value, wanted);
    float value32 = och_number_f32(&number), wanted32 = strtof(text, NULL);
    if (memcmp(&value32, &wanted32, sizeof(value32)) != 0)
        fail_msg("%s: f32 %a, wanted %a", text, (double) value32, (double) wanted32);
    och_mem_release(&mem, exact, size);
}

struct reading {
    const char *text;
    uint64_t mantissa;
    int32_t exponent;
    bool negative, integral, truncated;
};

static void
a_number_is_taken_apart(void **state)
{
    (void) state;
    static const struct reading readings[] = {
            {"0", 0, 0, false, true, false},
            {"-0", 0, 0, true, true, false},
            {"0.0", 0, -1, false, false, false},
            {"123", 123, 0, false, true, false},
            {"-12.50", 1250, -2, true, false, false},
            {"1e5", 1, 5, false, false, false},
            {"1E+05", 1, 5, false, false, false},
            {"1.5e-300", 15, -301, false, false, false},
            {"12345678901234567890", 1234567890123456789, 1, false, true, true},
            {"1234567890123456789", 1234567890123456789, 0, false, true, false},
            {"0.00000000000000000001234", 1234, -23, false, false, false},
            {"0.12345678901234567890", 1234567890123456789, -19, false, false, true},
            {"1234567890.12345678901", 1234567890123456789, -9, false, false, true},
            {"1234567890123456789.5", 1234567890123456789, 0, false, false, true},
            {"123456789012345678901.5", 1234567890123456789, 2, false, false, true},
            {"0.00000000000000000000", 0, -20, false, false, false},
            {"1e99999999999999999999", 1, INT32_MAX / 2, false, false, false},
            {"1e-99999999999999999999", 1, INT32_MIN / 2, false, false, false},
    };
    for (size_t i = 0; i < sizeof(readings) / sizeof(readings[0]); i++) {
        const struct reading *wanted = &readings[i];
        size_t size = strlen(wanted->text);
        struct och_number number = och_number_scan(wanted->text, wanted->text + size);
        check(number.start == wanted->text && number.end == wanted->text + size);
        check(number.mantissa == wanted->mantissa);
        check(number.exponent == wanted->exponent);
        check(number.negative == wanted->negative);
        check(number.integral == wanted->integral);
        check(number.truncated == wanted->truncated);
    }
}

static void
a_number_ends_where_the_grammar_ends(void **state)
{
    (void) state;
    static const char *const texts[] = {"1,", "1]", "1 ", "1.5x", "1e5.", "1e5e", "0x10", "0 1",
            "-1-", "1.25.5", "12345678a", "1234567890123456x", "1+", "7/", "7:"};
    static const size_t sizes[] = {1, 1, 1, 3, 3, 3, 1, 1, 2, 4, 8, 16, 1, 1, 1};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct och_number number = och_number_scan(texts[i], texts[i] + strlen(texts[i]));
        check(number.end == texts[i] + sizes[i]);
    }
}

static void
what_is_not_a_number_is_refused(void **state)
{
    (void) state;
    static const char *const texts[] = {"", "-", "+1", ".5", "-.5", "1.", "1.e5", "1e", "1e+",
            "1e-", "1ex", "00", "01", "-01", "00.5", "NaN", "Infinity", "-Infinity", "inf", "x",
            " 1", "--1", "000000000000000000000001", "1.5e", "1.5E+"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        check(och_number_scan(texts[i], texts[i] + strlen(texts[i])).end == NULL);
}

/* Found by others over the years, or edges of the two formats. */
static void
hard_cases_are_rounded_right(void **state)
{
    (void) state;
    static const char *const texts[] = {"0", "-0", "0.0", "-0.0e400", "0e99999999999", "1", "-1",
            "9007199254740992", "9007199254740993", "9007199254740993.0000000000000000000000000001",
            "9007199254740994", "9007199254740995", "9007199254740991.5", "16777216", "16777217",
            "16777217.0000000000000000000000000000000001", "16777218", "16777219", "8388608.5",
            "8388609.5", "2.2250738585072011e-308", "2.2250738585072012e-308",
            "2.2250738585072014e-308",
            "2.225073858507201136057409796709131975934819546351645648e-308",
            "4.9406564584124654e-324", "2.4703282292062327e-324", "2.4703282292062328e-324",
            "2.47032822920623272088284396434110686182e-324", "5e-324", "3e-324", "2e-324", "1e-324",
            "1e-400", "1e-5000000000", "1.7976931348623157e308", "1.7976931348623158e308",
            "1.7976931348623159e308",
            "179769313486231580793728971405303415079934132710037826936173"
            "778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671"
            "505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834"
            "936475292719074168444365510704342711559699508093042880",
            "1797693134862315807937289714053034150799341327100378269361737789804449682927647509466"
            "490179775872070963302864166928879109465555478519404026306574886715058206819089020007083836"
            "762738548458177115317644757302700698555713669596228429148198608349364752927190741684443655"
            "10704342711559699508093042879.9999999999999999999",
            "1e309", "1e5000000000", "3.4028234663852886e38",
            "3.40282356779733661637539395458142568447e38",
            "3.40282356779733661637539395458142568448e38", "3.4028236e38", "1e39", "1.4e-45",
            "7e-46", "7.006492321624085354618e-46",
            "7.0064923216240853546186479164495806564013097093825788e-46", "1.1754943508222875e-38",
            "1.17549428e-38", "1.1754942807573643e-38", "1.17549431578984e-38", "0.1", "0.3", "0.5",
            "1e22", "1e23", "1e-22", "1e-23", "8.589973e9", "8.5899734e9", "6.631236846766476e-316",
            "3.237883913302901e-319", "1.0e-45", "123456789012345678901234567890",
            "1000000000000000000000000000000000000000000", "9223372036854775807",
            "9223372036854775808", "18446744073709551615", "18446744073709551616",
            "0.000000000000000000000000000000000000000000000000000000000001e60",
            "1090544144181609348835077142190", "1.00000017881393432617187499",
            "1.000000178813934326171875", "1.00000017881393432617187501", "7.0e-10", "5.0e-20",
            "4.656612873077392578125e-10", "0.33007812499999999", "6.02e23", "1.5e-45"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        agrees(texts[i]);
}

static void
every_power_of_ten_is_rounded_right(void **state)
{
    (void) state;
    char text[64];
    for (int exponent = -400; exponent <= 400; exponent++) {
        for (int digit = 1; digit <= 9; digit += 4) {
            (void) snprintf(text, sizeof(text), "%de%d", digit, exponent);
            agrees(text);
        }
        (void) snprintf(text, sizeof(text), "-9999999999999999999e%d", exponent);
        agrees(text);
        (void) snprintf(text, sizeof(text), "1.%019de%d", exponent & 1, exponent);
        agrees(text);
    }
}

/* Random bits as doubles and floats, written with 1 to 30 digits. */
static void
random_floats_are_rounded_right(void **state)
{
    (void) state;
    uint64_t seed = 20;
    char text[100];
    for (int i = 0; i < 60000; i++) {
        uint64_t bits = och_random(&seed);
        double value;
        memcpy(&value, &bits, sizeof(value));
        uint32_t bits32 = (uint32_t) (bits >> 7);
        float value32;
        memcpy(&value32, &bits32, sizeof(value32));
        int precision = (int) och_random_below(&seed, 30);
        (void) snprintf(text, sizeof(text), "%.*e", precision, value);
        if (isfinite(value))
            agrees(text);
        (void) snprintf(text, sizeof(text), "%.*e", precision, (double) value32);
        if (isfinite(value32))
            agrees(text);
        (void) snprintf(text, sizeof(text), "%.9g", (double) och_random_f32(&seed));
        agrees(text);
    }
}

/* A random number in JSON's grammar, of up to 60 digits. */
static void
draw_number(char *text, uint64_t *seed)
{
    size_t n = 0, n_whole = 1 + (size_t) och_random_below(seed, 25);
    size_t n_fraction = (size_t) och_random_below(seed, 35);
    if (och_random_below(seed, 2) == 0)
        text[n++] = '-';
    if (och_random_below(seed, 2) == 0)
        n_whole = 1;
    for (size_t i = 0; i < n_whole; i++)
        text[n++] = (char) ('0' + och_random_below(seed, 10));
    if (n_whole > 1 && text[n - n_whole] == '0')
        text[n - n_whole] = '1';
    if (n_fraction > 0)
        text[n++] = '.';
    bool leading_zeros = och_random_below(seed, 4) == 0;
    for (size_t i = 0; i < n_fraction; i++) {
        uint64_t digit = och_random_below(seed, 10);
        leading_zeros &= och_random_below(seed, 12) != 0;
        text[n++] = (char) ('0' + (leading_zeros ? 0 : digit));
    }
    text[n] = '\0';
    if (och_random_below(seed, 2) == 0)
        (void) snprintf(text + n, 16, "e%d", (int) och_random_below(seed, 700) - 350);
}

static void
random_digits_are_rounded_right(void **state)
{
    (void) state;
    uint64_t seed = 21;
    char text[100];
    for (int i = 0; i < 100000; i++) {
        draw_number(text, &seed);
        agrees(text);
    }
}

/* `digits` is "d.ddd", `exponent` "e-12": the number itself, one digit more than
 * it (behind zeros), and one less. */
static void
agrees_around(char *digits, const char *exponent)
{
    char text[TEXT_MAX];
    size_t size = strlen(digits);
    while (digits[size - 1] == '0' && digits[size - 2] != '.')
        digits[--size] = '\0';
    (void) snprintf(text, sizeof(text), "%s%s", digits, exponent);
    agrees(text);
    (void) snprintf(text, sizeof(text), "%s%s%s", digits, "00000000000000000000000001", exponent);
    agrees(text);
    if (digits[size - 1] == '0')
        return;
    digits[size - 1]--;
    (void) snprintf(text, sizeof(text), "%s%s%s", digits, "99999999999999999999999999", exponent);
    agrees(text);
}

/* Ties, and what is next to them, need all their digits: up to 768. */
static void
midpoints_are_rounded_to_even(void **state)
{
    (void) state;
    uint64_t seed = 22;
    char digits[TEXT_MAX / 2], exponent[16];
    static_assert(LDBL_MANT_DIG >= 64, "a long double holds a midpoint of doubles");
    for (int i = 0; i < 2000; i++) {
        uint64_t bits = och_random(&seed) >> 1;
        if (i % 4 == 0)
            bits >>= 11; /* subnormal */
        double below, above;
        memcpy(&below, &bits, sizeof(below));
        bits++;
        memcpy(&above, &bits, sizeof(above));
        if (isfinite(below) && isfinite(above)) {
            long double middle = ((long double) below + (long double) above) / 2;
            (void) snprintf(digits, sizeof(digits), "%.800Le", middle);
            char *e = strchr(digits, 'e');
            (void) snprintf(exponent, sizeof(exponent), "%s", e);
            *e = '\0';
            agrees_around(digits, exponent);
        }
        uint32_t bits32 = (uint32_t) bits >> (i % 4 == 0 ? 9 : 1);
        float below32, above32;
        memcpy(&below32, &bits32, sizeof(below32));
        bits32++;
        memcpy(&above32, &bits32, sizeof(above32));
        if (isfinite(below32) && isfinite(above32)) {
            double middle = ((double) below32 + (double) above32) / 2;
            (void) snprintf(digits, sizeof(digits), "%.160e", middle);
            char *e = strchr(digits, 'e');
            (void) snprintf(exponent, sizeof(exponent), "%s", e);
            *e = '\0';
            agrees_around(digits, exponent);
        }
    }
}

/* Long runs of digits on either side of the point, moved back by the exponent. */
static void
any_number_of_digits_is_read(void **state)
{
    (void) state;
    char text[TEXT_MAX];
    for (size_t n = 1; n < 1200; n += n < 40 ? 1 : 97) {
        memset(text, '0', n);
        (void) snprintf(text + n, sizeof(text) - n, "e-%zu", n);
        text[0] = '9';
        agrees(text);
        memset(text, '7', n);
        agrees(text);
        text[1] = n > 2 ? '.' : text[1];
        agrees(text);
        (void) snprintf(text, sizeof(text), "0.");
        memset(text + 2, '0', n);
        (void) snprintf(text + 2 + n, sizeof(text) - n - 2, "123e%zu", n);
        agrees(text);
    }
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_number_is_taken_apart),
            cmocka_unit_test(a_number_ends_where_the_grammar_ends),
            cmocka_unit_test(what_is_not_a_number_is_refused),
            cmocka_unit_test(hard_cases_are_rounded_right),
            cmocka_unit_test(every_power_of_ten_is_rounded_right),
            cmocka_unit_test(random_floats_are_rounded_right),
            cmocka_unit_test(random_digits_are_rounded_right),
            cmocka_unit_test(midpoints_are_rounded_to_even),
            cmocka_unit_test(any_number_of_digits_is_read),
    };
    return cmocka_run_group_tests_name("number", tests, NULL, NULL);
}
