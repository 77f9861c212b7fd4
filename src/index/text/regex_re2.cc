#include "index/text/regex_re2.h"

#include <atomic>
#include <cstdio>
#include <memory>
#include <re2/re2.h>

struct och_re2 {
    re2::RE2 re2;
    mutable std::atomic<bool> failed{false};

    och_re2(const re2::StringPiece &pattern, const re2::RE2::Options &options)
        : re2(pattern, options)
    {
    }
};

namespace
{

/* What one instruction costs, with its share of the lists that lead to it. */
const std::size_t INSTRUCTION_SIZE = 16;

/* RE2 gives its forward program two thirds of the memory allowed.  The only
 * search we ask for (no submatches, so any end will do) caches its states in
 * half of what the instructions leave of that.  RE2 keeps the pattern as text
 * and as a tree, whose classes are no larger than their text. */
std::size_t
held_at_most(const re2::RE2 &re2, std::size_t memory_max)
{
    std::size_t n_instructions = static_cast<std::size_t>(re2.ProgramSize());
    return sizeof(och_re2) + memory_max / 3 + n_instructions * INSTRUCTION_SIZE +
            3 * re2.pattern().size();
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

        auto compiled = std::make_unique<och_re2>(re2::StringPiece(pattern, size), options);
        if (compiled->re2.ok()) {
            *memory_out = held_at_most(compiled->re2, memory_max);
            *re2_out = compiled.release();
            return OCH_RE2_DONE;
        }
        std::snprintf(message, message_room, "%s", compiled->re2.error().c_str());
        if (compiled->re2.error_code() == re2::RE2::ErrorPatternTooLarge)
            return OCH_RE2_TOO_LARGE;
        return OCH_RE2_REFUSED;
    } catch (...) {
        return OCH_RE2_NO_MEMORY;
    }
}

bool
och_re2_matches(const struct och_re2 *re2, const char *text, size_t size)
{
    /* What an exception leaves behind in RE2's caches is not to be relied on. */
    if (re2->failed.load(std::memory_order_relaxed))
        return false;
    try {
        return re2->re2.Match(
                re2::StringPiece(text, size), 0, size, re2::RE2::UNANCHORED, nullptr, 0);
    } catch (...) {
        re2->failed.store(true, std::memory_order_relaxed);
        return false;
    }
}

bool
och_re2_has_failed(const struct och_re2 *re2)
{
    return re2->failed.load(std::memory_order_relaxed);
}

void
och_re2_release(struct och_re2 *re2)
{
    delete re2;
}
