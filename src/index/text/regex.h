/*
 * regex.h - the regular expressions of document filters.
 *
 * The dialect is that of the Rust crate `regex`, Unicode by default, because
 * that is what clients' patterns are written in.  A pattern is parsed
 * iteratively, checked against limits, and rewritten for RE2, which matches in
 * linear time:
 *
 *      \d \w \s (and \D \W \S, also in classes)  Unicode classes
 *      [a-z&&[^b]]  [a--b]  [a~~b]               set operations, computed here
 *      (?<n>a) (?P<n>a) (?x) (?i-s:a) (?u)       groups and flags
 *      \u{61} \x{61} \u0061 \U00000061           code points
 *      a{1001}                                   repeats above RE2's 1000
 *      \pL \p{Greek} \p{sc=Greek} [[:alpha:]]    classes
 *
 * Refused: look-around, back-references, (?-u) where it would match invalid
 * UTF-8, and what the dialect refuses.  Known deviation: \b and \B look at
 * ASCII word characters only; README.md has the others.
 *
 * Most texts never reach RE2: a pattern that is plain characters is searched
 * for as such, and where every match must hold some characters a text without
 * them is passed over.
 *
 * Memory: RE2's own is not taken from the account, but the most it may hold is
 * charged to it for as long as the pattern lives, about 3 MB and more for a
 * large one.
 *
 * Threads: compile on one; a compiled pattern may be used by many.
 */
#ifndef OCH_INDEX_TEXT_REGEX_H
#define OCH_INDEX_TEXT_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_mem;
struct och_regex;

/*
 * Compile a pattern.  Errors: OCHRE_INVALID with the offset of what is wrong
 * and why; OCHRE_INVALID when the program would pass
 * OCH_REGEX_PROGRAM_MEMORY_MAX; OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_regex_compile(struct och_mem *mem, struct ochre_bytes pattern,
        struct och_regex **regex_out, struct ochre_error *err);

/*
 * Is there a match anywhere in the text, which is valid UTF-8?
 *
 * Cost: linear in the text; for a pattern made to be slow, times the size of its
 *       program.  There is no backtracking.
 */
bool och_regex_matches(const struct och_regex *regex, const char *text, size_t size);

/*
 * OCHRE_OK, or OCHRE_NO_MEMORY when some text could not be searched for want of
 * memory and was taken not to match.  Ask once, behind the last text; errors
 * stick.
 */
OCH_MUST_CHECK ochre_status och_regex_status(const struct och_regex *regex);

/*
 * Bytes that are in every text that matches, to look for in an index; *size_out
 * is 0 when none are known.  Owned by the regex.
 */
const char *och_regex_literal(const struct och_regex *regex, size_t *size_out);

void och_regex_release(struct och_regex *regex); /* NULL is fine */

#endif /* OCH_INDEX_TEXT_REGEX_H */
