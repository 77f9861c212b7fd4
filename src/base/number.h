/*
 * number.h - text to float and back, correctly rounded and shortest.
 *
 * Reading follows Lemire 2021, "Number parsing at a gigabyte per second": exact
 * small cases, then 128-bit products; a number of more than 19 digits that these
 * leave undecided is compared in big integers.  Writing gives the shortest digits
 * that read back as the same number, and of those the nearest, by Schubfach.  No
 * step calls the C library, so that no locale has a say.
 *
 * Threads: any; no state.
 */
#ifndef OCH_BASE_NUMBER_H
#define OCH_BASE_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A JSON number, as scanned. */
struct och_number {
    const char *end;   /* the first byte after it; NULL when it is not a number */
    const char *start; /* where it began */
    uint64_t mantissa; /* its first 19 significant digits */
    int32_t exponent;  /* value = mantissa * 10^exponent, when not truncated */
    bool negative;
    bool integral;  /* no point, no exponent */
    bool truncated; /* there were more than 19 significant digits */
};

/* Scan one number in JSON's grammar from text..end. */
struct och_number och_number_scan(const char *text, const char *end);

/* The nearest double, ties to even; infinite beyond the range. */
double och_number_f64(const struct och_number *number);

/* The nearest float, rounded once from the text, ties to even. */
float och_number_f32(const struct och_number *number);

enum { OCH_NUMBER_TEXT_MAX = 32 }; /* bytes the writers may need */

/* Write the shortest text that reads back as `value`, which is finite: digits
 * with ".0" for whole numbers, exponents as "1e-7".  Returns its length. */
size_t och_number_put_f32(char text[OCH_NUMBER_TEXT_MAX], float value);
size_t och_number_put_f64(char text[OCH_NUMBER_TEXT_MAX], double value);
size_t och_number_put_u64(char text[OCH_NUMBER_TEXT_MAX], uint64_t value);
size_t och_number_put_i64(char text[OCH_NUMBER_TEXT_MAX], int64_t value);

#endif /* OCH_BASE_NUMBER_H */
