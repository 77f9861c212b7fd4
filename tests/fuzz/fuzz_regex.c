/*
 * fuzz_regex.c - the first byte says where the pattern ends and the text begins.
 *
 * The last two bytes may be none of a text's:
 *
 *      0xff n   the account refuses grant n (0 is the first) and all after it
 *      0xfe n   the C++ heap refuses allocation n and all after it
 *      0xfd n   the pattern is repeated until it is longer than may be
 *
 * Held against: a pattern is refused with an offset inside it or over a limit,
 * or answers the same each time it is asked; what is said to be in every match
 * is in every text that matches; memory stays within the account's limit and
 * goes back to it; short of memory, the answer is the same or that there was
 * too little.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "fuzz/heap_short.h"
#include "index/text/contains.h"
#include "index/text/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Above what RE2 is charged with and what the rewritten pattern may need. */
#define MEMORY_MAX ((size_t) 64 << 20)

enum { SHORT_ACCOUNT = 0xff, SHORT_HEAP = 0xfe, TOO_LONG = 0xfd };

static void
check_refusal(const char *message, size_t pattern_size)
{
    static const char start[] = "regular expression, byte ";
    if (strncmp(message, start, sizeof(start) - 1) == 0) {
        char *end = NULL;
        unsigned long long offset = strtoull(message + sizeof(start) - 1, &end, 10);
        och_assert(*end == ':');
        och_assert(offset <= pattern_size);
        return;
    }
    /* RE2 takes whatever we write for it, unless it is too large. */
    och_assert(strstr(message, "is too large: ") != NULL ||
            strstr(message, "is not valid UTF-8") != NULL);
}

/* OCHRE_OK, and whether the text matches; or why there is no answer. */
static ochre_status
search(struct och_mem *mem, struct ochre_bytes pattern, struct ochre_bytes text, bool *found_out)
{
    struct och_regex *regex = NULL;
    struct ochre_error err = {0};
    *found_out = false;
    ochre_status status = och_regex_compile(mem, pattern, &regex, &err);
    if (status != OCHRE_OK) {
        och_assert(regex == NULL);
        if (status == OCHRE_INVALID)
            check_refusal(err.message, pattern.size);
        return status;
    }
    bool found = och_regex_matches(regex, text.data, text.size);
    bool again = och_regex_matches(regex, text.data, text.size);
    status = och_regex_status(regex);
    och_assert(again == found || status == OCHRE_NO_MEMORY);
    size_t literal_size = 0;
    const char *literal = och_regex_literal(regex, &literal_size);
    och_assert(!found || och_text_contains(text.data, text.size, literal, literal_size));
    och_regex_release(regex);
    *found_out = found;
    return status;
}

static ochre_status
search_short(struct ochre_bytes pattern, struct ochre_bytes text, uint8_t kind, uint8_t n,
        bool *found_out)
{
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    if (kind == SHORT_ACCOUNT)
        mem.fail_from = (uint64_t) n + 1;
    else
        fuzz_heap_shorten(n);
    ochre_status status = search(&mem, pattern, text, found_out);
    fuzz_heap_restore();
    och_assert(och_mem_used(&mem) == 0);
    return status;
}

static void
refuse_too_long(struct ochre_bytes pattern)
{
    static char bytes[OCH_TEXT_PATTERN_SIZE_MAX + 1];
    struct och_mem mem;
    struct och_regex *regex;
    struct ochre_error err;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = pattern.size == 0 ? 'a' : pattern.data[i % pattern.size];
    och_mem_init(&mem, NULL);
    struct ochre_bytes whole = {bytes, sizeof(bytes)};
    och_assert(och_regex_compile(&mem, whole, &regex, &err) == OCHRE_INVALID && regex == NULL);
    och_assert(och_mem_used(&mem) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    uint8_t kind = 0, n = 0;
    if (size >= 3 && data[size - 2] >= TOO_LONG) {
        kind = data[size - 2];
        n = data[size - 1];
        size -= 2;
    }
    const char *bytes = (const char *) data + 1;
    size_t pattern_size = data[0] < size - 1 ? data[0] : size - 1;
    struct ochre_bytes pattern = {bytes, pattern_size};
    struct ochre_bytes text = {bytes + pattern_size, size - 1 - pattern_size};
    if (!och_utf8_is_valid(text.data, text.size))
        return 0;
    if (kind == TOO_LONG) {
        refuse_too_long(pattern);
        return 0;
    }
    struct och_mem mem;
    bool found, found_short;
    och_mem_init(&mem, NULL);
    mem.limit = MEMORY_MAX;
    ochre_status status = search(&mem, pattern, text, &found);
    och_assert(status == OCHRE_OK || status == OCHRE_INVALID);
    och_assert(och_mem_used(&mem) == 0);
    if (kind == 0)
        return 0;
    ochre_status again = search_short(pattern, text, kind, n, &found_short);
    och_assert(again == OCHRE_NO_MEMORY || (again == status && found_short == found));
    return 0;
}
