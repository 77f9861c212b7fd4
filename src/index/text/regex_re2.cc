#include "index/text/regex_re2.h"

#include <cstdio>
#include <new>
#include <re2/re2.h>

struct och_re2 {
    re2::RE2 re2;
    och_re2(const re2::StringPiece &pattern, const re2::RE2::Options &options)
        : re2(pattern, options)
    {
    }
};

namespace
{

/* What one instruction costs: itself, its share of the lists that lead to it,
 * and of the syntax tree that RE2 keeps. */
const std::size_t INSTRUCTION_SIZE = 64;

/* RE2 gives its forward program two thirds of the memory allowed.  The only
 * search we ask for (no submatches, leftmost end) caches its states in half of
 * what the instructions leave of that. */
std::size_t
held_at_most(const re2::RE2 &re2, std::size_t memory_max)
{
    std::size_t n_instructions = static_cast<std::size_t>(re2.ProgramSize());
    return sizeof(och_re2) + memory_max / 3 + n_instructions * INSTRUCTION_SIZE +
            2 * re2.pattern().size();
}

} // namespace

och_re2_result
och_re2_compile(const char *pattern, size_t size, size_t memory_max, struct och_re2 **re2_out,
        size_t *memory_out, char *message, size_t message_room)
{
    *re2_out = nullptr;
    *memory_out = 0;
    try {
        re2::RE2::Options options;
        options.set_encoding(re2::RE2::Options::EncodingUTF8);
        options.set_log_errors(false);
        options.set_never_capture(true);
        options.set_max_mem(static_cast<int64_t>(memory_max));

        struct och_re2 *compiled = new och_re2(re2::StringPiece(pattern, size), options);
        if (compiled->re2.ok()) {
            *memory_out = held_at_most(compiled->re2, memory_max);
            *re2_out = compiled;
            return OCH_RE2_DONE;
        }
        och_re2_result result = OCH_RE2_SYNTAX;
        if (compiled->re2.error_code() == re2::RE2::ErrorPatternTooLarge)
            result = OCH_RE2_TOO_LARGE;
        std::snprintf(message, message_room, "%s", compiled->re2.error().c_str());
        delete compiled;
        return result;
    } catch (...) {
        return OCH_RE2_NO_MEMORY;
    }
}

och_re2_result
och_re2_search(const struct och_re2 *re2, const char *text, size_t size)
{
    try {
        bool found = re2->re2.Match(
                re2::StringPiece(text, size), 0, size, re2::RE2::UNANCHORED, nullptr, 0);
        return found ? OCH_RE2_MATCH : OCH_RE2_NO_MATCH;
    } catch (...) {
        return OCH_RE2_NO_MEMORY;
    }
}

void
och_re2_release(struct och_re2 *re2)
{
    delete re2;
}
