/*
 * Writing numbers: they read back, in our reader and in the C library's, and
 * no shorter text does.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "base/random.h"
#include "support/check.h"

/* How many digits are there from the first that is not zero to the last? */
static int
significant_digits(const char *text)
{
    int n = 0, n_zeros = 0;
    for (; *text != '\0' && *text != 'e'; text++) {
        if (*text < '0' || *text > '9' || (n == 0 && *text == '0'))
            continue;
        n++;
        n_zeros = *text == '0' ? n_zeros + 1 : 0;
    }
    return n - n_zeros;
}

static void
f64_reads_back(double value)
{
    char text[OCH_NUMBER_TEXT_MAX + 1];
    size_t size = och_number_put_f64(text, value);
    check(size <= OCH_NUMBER_TEXT_MAX);
    text[size] = '\0';
    double again = strtod(text, NULL);
    if (memcmp(&again, &value, sizeof(value)) != 0)
        fail_msg("%a was written %s", value, text);
    struct och_number number = och_number_scan(text, text + size);
    again = och_number_f64(&number);
    if (number.end != text + size || memcmp(&again, &value, sizeof(value)) != 0)
        fail_msg("%a was written %s, and read %a", value, text, again);
    int n = significant_digits(text);
    if (n <= 1)
        return;
    /* The C library's nearest decimal with one digit less is another number. */
    char shorter[40];
    (void) snprintf(shorter, sizeof(shorter), "%.*e", n - 2, value);
    if (strtod(shorter, NULL) == value)
        fail_msg("%s would have done for %s", shorter, text);
}

static void
f32_reads_back(float value)
{
    char text[OCH_NUMBER_TEXT_MAX + 1];
    size_t size = och_number_put_f32(text, value);
    check(size <= OCH_NUMBER_TEXT_MAX);
    text[size] = '\0';
    float again = strtof(text, NULL);
    if (memcmp(&again, &value, sizeof(value)) != 0)
        fail_msg("%a was written %s", (double) value, text);
    struct och_number number = och_number_scan(text, text + size);
    again = och_number_f32(&number);
    if (number.end != text + size || memcmp(&again, &value, sizeof(value)) != 0)
        fail_msg("%a was written %s, and read %a", (double) value, text, (double) again);
    int n = significant_digits(text);
    if (n <= 1)
        return;
    char shorter[40];
    (void) snprintf(shorter, sizeof(shorter), "%.*e", n - 2, (double) value);
    if (strtof(shorter, NULL) == value)
        fail_msg("%s would have done for %s", shorter, text);
}

static void
floats_look_as_the_reference_writes_them(void **state)
{
    (void) state;
    static const struct {
        double value;
        const char *f64, *f32;
    } cases[] = {
            {0.0, "0.0", "0.0"},
            {-0.0, "-0.0", "-0.0"},
            {1, "1.0", "1.0"},
            {-3, "-3.0", "-3.0"},
            {0.5, "0.5", "0.5"},
            {10, "10.0", "10.0"},
            {100, "100.0", "100.0"},
            {1234.5, "1234.5", "1234.5"},
            {-0.0625, "-0.0625", "-0.0625"},
            {16777216, "16777216.0", "16777216.0"},
            {1e12, "1000000000000.0", "1000000000000.0"},
            {1e13, "10000000000000.0", "1e+13"},
            {1e15, "1000000000000000.0", "1e+15"},
            {1e16, "1e+16", "1e+16"},
            {9007199254740992, "9007199254740992.0", "9.007199e+15"},
            {9223372036854775808.0, "9.223372036854776e+18", "9.223372e+18"},
            {18446744073709551616.0, "1.8446744073709552e+19", "1.8446744e+19"},
            {1e-300, "1e-300", "0.0"},
            {5e-324, "5e-324", "0.0"},
            {0x1p-1022, "2.2250738585072014e-308", "0.0"},
            {0x1.fffffffffffffp1023, "1.7976931348623157e+308", NULL},
            {0x1.fffffep127, "3.4028234663852886e+38", "3.4028235e+38"},
            {0x1p-149, "1.401298464324817e-45", "1e-45"},
            {0x1p-126, "1.1754943508222875e-38", "1.1754944e-38"},
            {0x1.99999ap-4, "0.10000000149011612", "0.1"},
            {0x1.0624dep-10, "0.0010000000474974513", "0.001"},
            {0x1.4f8b58p-17, "9.999999747378752e-6", "0.00001"},
            {0x1.0c6f7ap-20, "9.999999974752427e-7", "0.000001"},
            {0x1.ad7f2ap-24, "1.0000000116860974e-7", "1e-7"},
            {0x1.2cp-3, "0.146484375", "0.14648438"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[OCH_NUMBER_TEXT_MAX + 1];
        text[och_number_put_f64(text, cases[i].value)] = '\0';
        if (strcmp(text, cases[i].f64) != 0)
            fail_msg("%s, wanted %s", text, cases[i].f64);
        if (cases[i].f32 == NULL)
            continue;
        text[och_number_put_f32(text, (float) cases[i].value)] = '\0';
        if (strcmp(text, cases[i].f32) != 0)
            fail_msg("%s, wanted %s", text, cases[i].f32);
    }
}

static void
powers_of_two_and_their_neighbours_read_back(void **state)
{
    (void) state;
    for (int exponent = -1074; exponent <= 1023; exponent++) {
        double power = ldexp(1, exponent);
        f64_reads_back(power);
        f64_reads_back(-nextafter(power, 0));
        f64_reads_back(nextafter(power, HUGE_VAL));
    }
    for (int exponent = -149; exponent <= 127; exponent++) {
        float power = ldexpf(1, exponent);
        f32_reads_back(power);
        f32_reads_back(-nextafterf(power, 0));
        f32_reads_back(nextafterf(power, HUGE_VALF));
    }
}

static void
powers_of_ten_and_whole_numbers_read_back(void **state)
{
    (void) state;
    for (int exponent = -330; exponent <= 308; exponent++) {
        for (int digits = 1; digits < 100; digits += 7) {
            char text[40];
            (void) snprintf(text, sizeof(text), "%de%d", digits, exponent);
            double value = strtod(text, NULL);
            float value32 = strtof(text, NULL);
            if (isfinite(value))
                f64_reads_back(value);
            if (isfinite(value32))
                f32_reads_back(value32);
        }
    }
    for (uint64_t whole = 1; whole < UINT64_C(1) << 60; whole = whole * 3 / 2 + 1) {
        f64_reads_back((double) whole);
        f32_reads_back((float) whole);
    }
}

static void
random_bits_read_back(void **state)
{
    (void) state;
    uint64_t seed = 23;
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = och_random(&seed);
        double value;
        memcpy(&value, &bits, sizeof(value));
        if (isfinite(value))
            f64_reads_back(value);
        uint32_t bits32 = (uint32_t) och_random(&seed);
        float value32;
        memcpy(&value32, &bits32, sizeof(value32));
        if (isfinite(value32))
            f32_reads_back(value32);
        f32_reads_back(och_random_f32(&seed));
    }
}

static void
integers_are_written_in_full(void **state)
{
    (void) state;
    uint64_t seed = 24;
    char text[OCH_NUMBER_TEXT_MAX + 1], wanted[40];
    for (int i = 0; i < 20000; i++) {
        /* All lengths: random bits, shifted; and the powers of ten around them. */
        uint64_t value = och_random(&seed) >> (i % 65 == 64 ? 63 : i % 65);
        if (i < 40)
            value = (uint64_t) (i < 20 ? pow(10, i) : pow(10, i - 20) - 1);
        text[och_number_put_u64(text, value)] = '\0';
        (void) snprintf(wanted, sizeof(wanted), "%llu", (unsigned long long) value);
        assert_string_equal(text, wanted);
        int64_t whole = (int64_t) (value * (i % 2 == 0 ? 1 : UINT64_MAX));
        text[och_number_put_i64(text, whole)] = '\0';
        (void) snprintf(wanted, sizeof(wanted), "%lld", (long long) whole);
        assert_string_equal(text, wanted);
    }
    text[och_number_put_u64(text, 0)] = '\0';
    assert_string_equal(text, "0");
    text[och_number_put_u64(text, UINT64_MAX)] = '\0';
    assert_string_equal(text, "18446744073709551615");
    text[och_number_put_i64(text, INT64_MIN)] = '\0';
    assert_string_equal(text, "-9223372036854775808");
    text[och_number_put_i64(text, INT64_MAX)] = '\0';
    assert_string_equal(text, "9223372036854775807");
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(floats_look_as_the_reference_writes_them),
            cmocka_unit_test(powers_of_two_and_their_neighbours_read_back),
            cmocka_unit_test(powers_of_ten_and_whole_numbers_read_back),
            cmocka_unit_test(random_bits_read_back),
            cmocka_unit_test(integers_are_written_in_full),
    };
    return cmocka_run_group_tests_name("number_write", tests, NULL, NULL);
}
