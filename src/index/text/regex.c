#include "index/text/regex.h"

#include <stdatomic.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "index/text/regex_re2.h"
#include "index/text/regex_rewrite.h"

/* Room for the longest pattern with a small class for each byte.  A larger one
 * would not fit the program's memory either. */
#define REWRITTEN_SIZE_MAX ((size_t) 4 << 20)

struct och_regex {
    struct och_mem *mem; /* borrowed: pays for this and for what RE2 may hold */
    struct och_re2 *re2; /* owned, in the C++ heap */
    void *ballast;       /* owned, never touched: stands in the account for `re2` */
    size_t ballast_size;
    atomic_bool failed; /* see och_regex_status */
};

static ochre_status
compile_rewritten(struct och_regex *regex, const struct och_buf *rewritten, struct ochre_error *err)
{
    char message[200] = "";
    och_re2_result result =
            och_re2_compile(rewritten->data, rewritten->size, OCH_REGEX_PROGRAM_MEMORY_MAX,
                    &regex->re2, &regex->ballast_size, message, sizeof(message));
    switch (result) {
    case OCH_RE2_DONE:
        break;
    case OCH_RE2_TOO_LARGE:
        return och_fail(err, OCHRE_INVALID,
                "the regular expression is too large: its program would pass %u bytes",
                OCH_REGEX_PROGRAM_MEMORY_MAX);
    case OCH_RE2_SYNTAX:
        return och_fail(err, OCHRE_INVALID, "the regular expression is refused: %s", message);
    case OCH_RE2_NO_MEMORY:
    case OCH_RE2_MATCH:
    case OCH_RE2_NO_MATCH:
        return och_fail_memory(err);
    }
    regex->ballast = och_mem_take(regex->mem, regex->ballast_size);
    return regex->ballast != NULL ? OCHRE_OK : och_fail_memory(err);
}

ochre_status
och_regex_compile(struct och_mem *mem, struct ochre_bytes pattern, struct och_regex **regex_out,
        struct ochre_error *err)
{
    *regex_out = NULL;
    if (pattern.size > OCH_TEXT_PATTERN_SIZE_MAX)
        return och_fail(err, OCHRE_INVALID,
                "the regular expression has %zu bytes; at most %u are allowed", pattern.size,
                OCH_TEXT_PATTERN_SIZE_MAX);
    if (pattern.size > 0 && !och_utf8_is_valid(pattern.data, pattern.size))
        return och_fail(err, OCHRE_INVALID, "the regular expression is not valid UTF-8");

    struct och_regex *regex = och_mem_take_zeroed(mem, sizeof(*regex));
    if (regex == NULL)
        return och_fail_memory(err);
    regex->mem = mem;
    atomic_init(&regex->failed, false);

    struct och_buf rewritten;
    och_buf_init(&rewritten, mem, REWRITTEN_SIZE_MAX);
    ochre_status status = och_regex_rewrite(pattern, &rewritten, err);
    if (status != OCHRE_OK)
        goto done;
    status = compile_rewritten(regex, &rewritten, err);
    if (status != OCHRE_OK)
        goto done;
    *regex_out = regex;
    regex = NULL;

done:
    och_buf_clear(&rewritten);
    och_regex_release(regex);
    return status;
}

bool
och_regex_matches(const struct och_regex *regex, const char *text, size_t size)
{
    return och_re2_search(regex->re2, text, size) == OCH_RE2_MATCH;
}

void
och_regex_release(struct och_regex *regex)
{
    if (regex == NULL)
        return;
    och_re2_release(regex->re2);
    och_mem_release(regex->mem, regex->ballast, regex->ballast_size);
    och_mem_release(regex->mem, regex, sizeof(*regex));
}
