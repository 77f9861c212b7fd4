/*
 * regex_rewrite.h - from the dialect of regex.h to RE2's syntax.
 *
 * Threads: one thread at a time per output.
 */
#ifndef OCH_INDEX_TEXT_REGEX_REWRITE_H
#define OCH_INDEX_TEXT_REGEX_REWRITE_H

#include <stddef.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

/*
 * Append to `out` a pattern for RE2 that matches where `pattern` does.
 *
 * Errors: OCHRE_INVALID with the offset in bytes of what is wrong and why;
 *         OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_regex_rewrite(
        struct ochre_bytes pattern, struct och_buf *out, struct ochre_error *err);

#endif /* OCH_INDEX_TEXT_REGEX_REWRITE_H */
