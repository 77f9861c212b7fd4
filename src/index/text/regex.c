#include "index/text/regex.h"

#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "index/text/contains.h"
#include "index/text/regex_re2.h"
#include "index/text/regex_rewrite.h"

struct och_regex {
    struct och_mem *mem; /* borrowed: pays for this and for what RE2 may hold */
    char *literal;       /* owned: bytes that are in every match; NULL when none are known */
    size_t literal_size;
    struct och_re2 *re2; /* owned, in the C++ heap; NULL when the literal is the pattern */
    void *ballast;       /* owned, never touched: stands in the account for `re2` */
    size_t ballast_size;
};

static ochre_status
keep_literal(struct och_regex *regex, const struct och_buf *literal, struct ochre_error *err)
{
    if (literal->size == 0)
        return OCHRE_OK;
    regex->literal = och_mem_take(regex->mem, literal->size);
    if (regex->literal == NULL)
        return och_fail_memory(err);
    memcpy(regex->literal, literal->data, literal->size);
    regex->literal_size = literal->size;
    return OCHRE_OK;
}

static ochre_status
compile(struct och_regex *regex, const struct och_buf *text, struct ochre_error *err)
{
    char message[200] = "";
    och_re2_result result = och_re2_compile(text->data, text->size, OCH_REGEX_PROGRAM_MEMORY_MAX,
            &regex->re2, &regex->ballast_size, message, sizeof(message));
    switch (result) {
    case OCH_RE2_DONE:
        break;
    case OCH_RE2_TOO_LARGE:
        return och_fail(err, OCHRE_INVALID,
                "the regular expression is too large: its program would pass %u bytes",
                OCH_REGEX_PROGRAM_MEMORY_MAX);
    case OCH_RE2_REFUSED:
        return och_fail(err, OCHRE_INVALID, "the regular expression is refused: %s", message);
    case OCH_RE2_NO_MEMORY:
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

    struct och_rewritten rewritten;
    och_rewritten_init(&rewritten, mem);
    ochre_status status = och_regex_rewrite(pattern, &rewritten, err);
    if (status == OCHRE_OK)
        status = keep_literal(regex, &rewritten.literal, err);
    if (status == OCHRE_OK && !rewritten.is_literal)
        status = compile(regex, &rewritten.text, err);
    if (status != OCHRE_OK)
        goto done;
    *regex_out = regex;
    regex = NULL;

done:
    och_rewritten_clear(&rewritten);
    och_regex_release(regex);
    return status;
}

bool
och_regex_matches(const struct och_regex *regex, const char *text, size_t size)
{
    if (!och_text_contains(text, size, regex->literal, regex->literal_size))
        return false;
    return regex->re2 == NULL || och_re2_matches(regex->re2, text, size);
}

ochre_status
och_regex_status(const struct och_regex *regex)
{
    bool failed = regex->re2 != NULL && och_re2_has_failed(regex->re2);
    return failed ? OCHRE_NO_MEMORY : OCHRE_OK;
}

const char *
och_regex_literal(const struct och_regex *regex, size_t *size_out)
{
    *size_out = regex->literal_size;
    return regex->literal;
}

void
och_regex_release(struct och_regex *regex)
{
    if (regex == NULL)
        return;
    och_re2_release(regex->re2);
    och_mem_release(regex->mem, regex->ballast, regex->ballast_size);
    och_mem_release(regex->mem, regex->literal, regex->literal_size);
    och_mem_release(regex->mem, regex, sizeof(*regex));
}
