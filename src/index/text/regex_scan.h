/*
 * regex_scan.h - the words of a pattern: characters, escapes, flags, counts.
 *
 * The lowest of three parts that rewrite a pattern:
 *
 *      regex_rewrite   groups, alternatives, repetition; writes for RE2
 *      regex_class     [brackets], which may nest
 *      regex_scan      everything that does not nest
 *
 * A scan is a cursor over valid UTF-8.  Every function leaves it behind what it
 * read, and reports what is wrong with the byte offset where that begins.
 *
 * Threads: one thread at a time.
 */
#ifndef OCH_INDEX_TEXT_REGEX_SCAN_H
#define OCH_INDEX_TEXT_REGEX_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "index/text/codeset.h"
#include "ochre/status.h"

struct och_mem;

/* What och_scan_peek answers at the end of the pattern; no code point. */
#define OCH_SCAN_END UINT32_MAX

/* The flags of the dialect.  Those about greed change where a match ends, not
 * whether there is one, so they are read and forgotten. */
enum {
    OCH_FLAG_IGNORE_CASE = 1u << 0, /* i */
    OCH_FLAG_MULTI_LINE = 1u << 1,  /* m */
    OCH_FLAG_DOT_ALL = 1u << 2,     /* s */
    OCH_FLAG_SWAP_GREED = 1u << 3,  /* U */
    OCH_FLAG_UNICODE = 1u << 4,     /* u, on at first */
    OCH_FLAG_CRLF = 1u << 5,        /* R */
    OCH_FLAG_SPACE = 1u << 6        /* x */
};

struct och_scan {
    const char *pattern; /* borrowed; valid UTF-8 */
    size_t size;
    size_t at;               /* offset of the next character */
    unsigned flags;          /* OCH_FLAG_*, as they are here */
    struct och_mem *mem;     /* borrowed */
    struct ochre_error *err; /* borrowed; may be NULL */
    /* Owned: \d \s \w \D \S \W of Unicode, each empty until it is first asked
     * for.  A pattern may ask thousands of times. */
    struct och_codeset known[6];
};

/* What an escape, or a character on its own, stands for. */
typedef enum och_scan_kind {
    OCH_SCAN_LITERAL = 0,   /* `code_point` */
    OCH_SCAN_CLASS = 1,     /* \d \pL and such: what was added to the set */
    OCH_SCAN_ASSERTION = 2, /* \A \z \b \B: `code_point` is the letter */
} och_scan_kind;

struct och_scan_item {
    och_scan_kind kind;
    uint32_t code_point;
    size_t offset;
};

/* {least,most}, or {least,} when it is not bounded. */
struct och_scan_count {
    uint32_t least, most;
    bool bounded;
};

void och_scan_init(struct och_scan *scan, struct och_mem *mem, const char *pattern, size_t size,
        struct ochre_error *err);
void och_scan_clear(struct och_scan *scan);

/* Fail with "regular expression, byte 12: why". */
ochre_status och_scan_fail(const struct och_scan *scan, size_t offset, const char *why);

/* The next character, or OCH_SCAN_END. */
uint32_t och_scan_peek(const struct och_scan *scan);

/* Step over `text`, if it is what follows. */
bool och_scan_accept(struct och_scan *scan, const char *text);

/* Step over the next character, if there is one. */
void och_scan_skip(struct och_scan *scan);

/* Under flag x, step over white space and comments. */
void och_scan_skip_space(struct och_scan *scan);

/* Both of these; false when that leads to the end of the pattern. */
bool och_scan_step(struct och_scan *scan);

/*
 * Read the escape that begins here.  A class is added to `class`, negated and
 * folded as it asks for and the flags demand.
 */
OCH_MUST_CHECK ochre_status och_scan_escape(
        struct och_scan *scan, struct och_codeset *class, struct och_scan_item *item_out);

/* Read flags up to the ':' or ')' behind them, and step over that.  *flags_out
 * is what the flags become, *end_out which of the two it was. */
OCH_MUST_CHECK ochre_status och_scan_flags(
        struct och_scan *scan, unsigned *flags_out, uint32_t *end_out);

/* Read "name>", from behind the '<'. */
OCH_MUST_CHECK ochre_status och_scan_group_name(
        struct och_scan *scan, const char **name_out, size_t *size_out);

/* Read "{m,n}", which begins here, and a '?' behind it. */
OCH_MUST_CHECK ochre_status och_scan_count(struct och_scan *scan, struct och_scan_count *count_out);

/* Add to the set what differs from a member by case, as the flags have it. */
void och_scan_fold(const struct och_scan *scan, struct och_codeset *set);

/* Negate the set, which begins at `offset`; refused where that would reach
 * bytes that are no characters. */
OCH_MUST_CHECK ochre_status och_scan_negate(
        const struct och_scan *scan, struct och_codeset *set, size_t offset);

#endif /* OCH_INDEX_TEXT_REGEX_SCAN_H */
