/*
 * regex_re2.h - RE2 behind a C face.
 *
 * The one place where C++ is compiled.  No exception and no C++ type crosses
 * this header, RE2 logs nothing, and the questions asked of it are the two that
 * filters need: does it compile within a limit, and is there a match.
 *
 * Patterns are in RE2's syntax, made by regex_rewrite.h, and UTF-8; texts are
 * UTF-8.  RE2 takes its memory from the C++ heap, outside any account: see
 * och_re2_compile for what to charge.
 *
 * Threads: compile and release on one; many may match at once.
 */
#ifndef OCH_INDEX_TEXT_REGEX_RE2_H
#define OCH_INDEX_TEXT_REGEX_RE2_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct och_re2;

typedef enum och_re2_result {
    OCH_RE2_DONE = 0,
    OCH_RE2_TOO_LARGE = 1, /* the program does not fit the memory limit */
    OCH_RE2_REFUSED = 2,   /* RE2 does not take the pattern; the message says why */
    OCH_RE2_NO_MEMORY = 3, /* the C++ heap refused */
} och_re2_result;

/*
 * Compile.  `memory_max` bounds the program and the states cached in matching.
 * On OCH_RE2_DONE, *re2_out is to be released and *memory_out is the most that
 * the compiled pattern will ever hold, an estimate from RE2's own budget: the
 * program, the tree and the text of the pattern, and the state cache when full.
 * On OCH_RE2_REFUSED, `message` (of `message_room` bytes) says what RE2 says.
 */
och_re2_result och_re2_compile(const char *pattern, size_t size, size_t memory_max,
        struct och_re2 **re2_out, size_t *memory_out, char *message, size_t message_room);

/* Is there a match anywhere?  False too when the C++ heap refused, now or
 * before: och_re2_has_failed says so. */
bool och_re2_matches(const struct och_re2 *re2, const char *text, size_t size);

bool och_re2_has_failed(const struct och_re2 *re2);

void och_re2_release(struct och_re2 *re2); /* NULL is fine */

#ifdef __cplusplus
}
#endif

#endif /* OCH_INDEX_TEXT_REGEX_RE2_H */
