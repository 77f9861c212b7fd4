/*
 * fuzz_number.c - bytes as the text of a number, and as the bits of one.
 *
 * Oracles: what is a number, and where it ends, is decided a second time in the
 * plainest way; its value is that of strtod and strtof, both of the token reader
 * and of the array reader; a float printed reads back as itself, and with one
 * digit less as another.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/number.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
count_digits(const char *text, size_t size)
{
    size_t n = 0;
    while (n < size && text[n] >= '0' && text[n] <= '9')
        n++;
    return n;
}

/* The length of the number that `text` begins with, 0 if it begins with none or
 * with one that is cut short. */
static size_t
number_size(const char *text, size_t size)
{
    size_t i = size > 0 && text[0] == '-' ? 1 : 0;
    size_t n = count_digits(text + i, size - i);
    if (n == 0 || (n > 1 && text[i] == '0'))
        return 0;
    i += n;
    if (i < size && text[i] == '.') {
        n = count_digits(text + i + 1, size - i - 1);
        if (n == 0)
            return 0;
        i += 1 + n;
    }
    if (i < size && (text[i] == 'e' || text[i] == 'E')) {
        i++;
        if (i < size && (text[i] == '+' || text[i] == '-'))
            i++;
        n = count_digits(text + i, size - i);
        if (n == 0)
            return 0;
        i += n;
    }
    return i;
}

static bool
same_f64(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static bool
same_f32(float a, float b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

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
check_f64(double value)
{
    char text[OCH_NUMBER_TEXT_MAX + 1], shorter[40];
    if (!isfinite(value))
        return;
    size_t size = och_number_put_f64(text, value);
    och_assert(size <= OCH_NUMBER_TEXT_MAX);
    text[size] = '\0';
    och_assert(number_size(text, size) == size && same_f64(strtod(text, NULL), value));
    struct och_number number = och_number_scan(text, text + size);
    och_assert(number.end == text + size && same_f64(och_number_f64(&number), value));
    int n = significant_digits(text);
    if (n > 1) {
        (void) snprintf(shorter, sizeof(shorter), "%.*e", n - 2, value);
        och_assert(strtod(shorter, NULL) != value);
    }
}

static void
check_f32(float value)
{
    char text[OCH_NUMBER_TEXT_MAX + 1], shorter[40];
    if (!isfinite(value))
        return;
    size_t size = och_number_put_f32(text, value);
    och_assert(size <= OCH_NUMBER_TEXT_MAX);
    text[size] = '\0';
    och_assert(number_size(text, size) == size && same_f32(strtof(text, NULL), value));
    struct och_number number = och_number_scan(text, text + size);
    och_assert(number.end == text + size && same_f32(och_number_f32(&number), value));
    int n = significant_digits(text);
    if (n > 1) {
        (void) snprintf(shorter, sizeof(shorter), "%.*e", n - 2, (double) value);
        och_assert(strtof(shorter, NULL) != value);
    }
}

/* The number as the only element of an array, `text` being "[number]" and then
 * blanks, so that the quick scanner has its room. */
static void
check_array(const char *text, size_t size, double wanted64, float wanted32)
{
    struct och_mem mem;
    struct och_arena arena;
    struct och_json_reader reader;
    float value;
    size_t n;
    bool overflow;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    och_json_init(&reader, &arena, text, size);
    och_assert(och_json_next(&reader) == OCH_JSON_BEGIN_ARRAY);
    bool all = och_json_read_floats(&reader, &value, 1, &n, &overflow);
    och_assert(all == isfinite(wanted64));
    if (all) {
        och_assert(n == 1 && same_f32(value, wanted32));
        och_assert(overflow == (isinf(wanted32) != 0));
        och_assert(och_json_next(&reader) == OCH_JSON_END);
    }
    och_arena_clear(&arena);
}

static void
check_text(const char *text, size_t size)
{
    enum { BLANKS = 48 };
    struct och_number number = och_number_scan(text, text + size);
    size_t wanted_size = number_size(text, size);
    och_assert(number.end == (wanted_size == 0 ? NULL : text + wanted_size));
    if (number.end == NULL)
        return;
    /* "[number]" and blanks; with a NUL in place of the bracket, for strtod. */
    size_t copy_size = wanted_size + 2 + BLANKS;
    char *copy = malloc(copy_size);
    och_assert(copy != NULL);
    memset(copy, ' ', copy_size);
    copy[0] = '[';
    memcpy(copy + 1, text, wanted_size);
    copy[wanted_size + 1] = '\0';
    double value = strtod(copy + 1, NULL);
    float value32 = strtof(copy + 1, NULL);
    och_assert(same_f64(och_number_f64(&number), value));
    och_assert(same_f32(och_number_f32(&number), value32));
    copy[wanted_size + 1] = ']';
    check_array(copy, copy_size, value, value32);
    check_array(copy, wanted_size + 2, value, value32);
    check_f64(value);
    check_f32(value32);
    free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_text((const char *) data, size);
    uint64_t bits = 0;
    memcpy(&bits, data, size < sizeof(bits) ? size : sizeof(bits));
    uint32_t low = (uint32_t) bits;
    double value;
    float value32;
    memcpy(&value, &bits, sizeof(value));
    memcpy(&value32, &low, sizeof(value32));
    check_f64(value);
    check_f32(value32);

    char text[OCH_NUMBER_TEXT_MAX + 1];
    text[och_number_put_u64(text, bits)] = '\0';
    och_assert(strtoull(text, NULL, 10) == bits);
    text[och_number_put_i64(text, (int64_t) bits)] = '\0';
    och_assert(strtoll(text, NULL, 10) == (int64_t) bits);
    return 0;
}
