/*
 * fuzz_regex.c - the first byte says where the pattern ends and the text begins.
 *
 * Held against: a pattern is refused with an offset inside it or over a limit,
 * or answers the same each time it is asked; what is said to be in every match
 * is in every text that matches; memory stays within the account's limit and
 * goes back to it.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "index/text/contains.h"
#include "index/text/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Above what RE2 is charged with and what the rewritten pattern may need. */
#define MEMORY_MAX ((size_t) 64 << 20)

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

static void
search(struct och_mem *mem, struct ochre_bytes pattern, struct ochre_bytes text)
{
    struct och_regex *regex = NULL;
    struct ochre_error err = {0};
    ochre_status status = och_regex_compile(mem, pattern, &regex, &err);
    if (status != OCHRE_OK) {
        och_assert(status == OCHRE_INVALID && regex == NULL);
        check_refusal(err.message, pattern.size);
        return;
    }
    bool found = och_regex_matches(regex, text.data, text.size);
    och_assert(och_regex_matches(regex, text.data, text.size) == found);
    och_assert(och_regex_status(regex) == OCHRE_OK);
    size_t literal_size = 0;
    const char *literal = och_regex_literal(regex, &literal_size);
    och_assert(!found || och_text_contains(text.data, text.size, literal, literal_size));
    och_regex_release(regex);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    mem.limit = MEMORY_MAX;

    const char *bytes = (const char *) data + 1;
    size_t pattern_size = data[0] < size - 1 ? data[0] : size - 1;
    struct ochre_bytes pattern = {bytes, pattern_size};
    struct ochre_bytes text = {bytes + pattern_size, size - 1 - pattern_size};
    if (och_utf8_is_valid(text.data, text.size))
        search(&mem, pattern, text);
    och_assert(och_mem_used(&mem) == 0);
    return 0;
}
