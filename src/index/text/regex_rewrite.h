/*
 * regex_rewrite.h - from the dialect of regex.h to RE2's syntax.
 *
 * One pass from left to right, without a tree: what has been read is already
 * written, and a repeat or a closing parenthesis looks back at where its
 * operand begins in the output.
 *
 *      pattern     (?i)(?P<n>a|\d){2}?         c{1001}
 *      for RE2     (?:[Aa]|[0-9\x{660}-...]){2}  (?:c{1000}c)
 *
 * Only whether there is a match is kept.  So groups capture nothing, nothing is
 * lazy, and flags are gone: the classes and anchors written say the same.
 *
 * What is refused here that the dialect allows: (?mR)^ and (?mR)$, the halves of
 * word boundaries, and properties without a table (unicode.h).
 *
 * Threads: one thread at a time per output.
 */
#ifndef OCH_INDEX_TEXT_REGEX_REWRITE_H
#define OCH_INDEX_TEXT_REGEX_REWRITE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_mem;

struct och_rewritten {
    struct och_buf text;    /* owned: the pattern for RE2 */
    struct och_buf literal; /* owned: bytes that are in every match; may be empty */
    bool is_literal;        /* and where they are, there is a match */
};

void och_rewritten_init(struct och_rewritten *rewritten, struct och_mem *mem);
void och_rewritten_clear(struct och_rewritten *rewritten);

/*
 * Rewrite a pattern, which is valid UTF-8.  On failure *rewritten holds no
 * answer, but is still to be cleared.
 *
 * Errors: OCHRE_INVALID with the offset in bytes of what is wrong and why, or
 *         naming the limit that was passed; OCHRE_NO_MEMORY.
 * Cost:   linear in the pattern and in what is written, of which there are at
 *         most a few megabytes.
 */
OCH_MUST_CHECK ochre_status och_regex_rewrite(
        struct ochre_bytes pattern, struct och_rewritten *rewritten, struct ochre_error *err);

#endif /* OCH_INDEX_TEXT_REGEX_REWRITE_H */
