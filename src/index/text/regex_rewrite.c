#include "index/text/regex_rewrite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "index/text/codeset.h"
#include "index/text/regex_class.h"
#include "index/text/regex_scan.h"

/* The longest pattern that needs no more than a small class for each byte.  A
 * longer text would not fit the memory of RE2's program either. */
#define REWRITTEN_SIZE_MAX ((size_t) 4 << 20)

/* RE2 refuses counts above this, also where they multiply by nesting. */
#define RE2_REPEAT_MAX 1000u

/* The least that a character or a class takes of RE2's program.  RE2 works
 * through all counts before it finds that the program is too large, for seconds
 * if let, so what cannot fit is not written. */
#define RE2_INSTRUCTION_SIZE 8u
#define WEIGHT_MAX (OCH_REGEX_PROGRAM_MEMORY_MAX / RE2_INSTRUCTION_SIZE)

/* The last thing read, which a repeat would repeat. */
typedef enum atom_kind {
    ATOM_NONE = 0,   /* nothing yet in this branch */
    ATOM_FLAGS = 1,  /* (?i): nothing that can be repeated */
    ATOM_SINGLE = 2, /* what RE2 repeats as it stands: a character, class or group */
    ATOM_OPEN = 3,   /* what needs a group around it first */
} atom_kind;

struct atom {
    atom_kind kind;
    size_t start;     /* in the output */
    bool literal;     /* one character, which is at the end of `literals` too */
    bool repeated;    /* at least once, so that it ends its run of literals */
    bool consumes;    /* it may match characters, and not only a place */
    unsigned height;  /* how deep it nests */
    uint32_t repeats; /* RE2's counts, multiplied along the deepest nesting */
    uint64_t weight;  /* characters and classes, with counts written out */
};

/* A group that is still open, or the whole pattern. */
struct level {
    size_t opened_at; /* in the pattern */
    size_t start;     /* of the group, in the output */
    unsigned flags;   /* to return to behind the group */
    struct atom last;
    /* Of the branch being read, without `last`. */
    size_t n_atoms;
    unsigned height;
    /* Of the whole group so far. */
    bool consumes;
    uint32_t repeats;
    uint64_t weight;
    size_t n_branches; /* that are complete */
    unsigned branches_height;
};

struct group_name {
    const char *text; /* borrowed from the pattern */
    size_t size;
};

struct rewriter {
    struct och_scan scan;
    struct och_buf *out;  /* borrowed */
    bool too_large;       /* the output would pass its maximum */
    struct level *levels; /* owned; [0] is the whole pattern */
    size_t n_levels;
    size_t levels_room;
    struct group_name *names; /* owned */
    size_t n_names;
    size_t names_room;
    /* The characters that are in every match, run by run. */
    struct och_buf literals; /* owned */
    size_t run_start;        /* of the run being read */
    size_t best_start;       /* of the longest */
    size_t best_size;
    bool only_literals; /* nothing but characters has been read */
};

static const char too_deep[] = "the nesting is deeper than 250";
static_assert(OCH_REGEX_NESTING_MAX == 250, "the message says so");

static unsigned
higher(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

static struct level *
top_of(struct rewriter *rewriter)
{
    return &rewriter->levels[rewriter->n_levels - 1];
}

/* --- output --------------------------------------------------------------- */

static bool
is_writable(const struct rewriter *rewriter)
{
    return !rewriter->too_large && och_buf_status(rewriter->out) == OCHRE_OK;
}

static void
put(struct rewriter *rewriter, const char *text, size_t size)
{
    struct och_buf *out = rewriter->out;
    if (size > out->size_max - out->size)
        rewriter->too_large = true;
    else
        och_buf_put(out, text, size);
}

static void
put_text(struct rewriter *rewriter, const char *text)
{
    put(rewriter, text, strlen(text));
}

static void
put_number(struct rewriter *rewriter, uint32_t number)
{
    char digits[16];
    int n = snprintf(digits, sizeof(digits), "%u", number);
    put(rewriter, digits, (size_t) n);
}

/* A character as RE2 reads it, in brackets and outside them. */
static void
put_character(struct rewriter *rewriter, uint32_t c)
{
    bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
    char text[16];
    size_t n = 0;
    if (letter || (c >= '0' && c <= '9') || c == ' ' || c > 0x7f)
        n = och_utf8_put(text, c);
    else if (c > ' ' && c < 0x7f)
        n = (size_t) snprintf(text, sizeof(text), "\\%c", (int) c);
    else
        n = (size_t) snprintf(text, sizeof(text), "\\x{%x}", c);
    put(rewriter, text, n);
}

static void
put_class(struct rewriter *rewriter, const struct och_codeset *class)
{
    /* No text holds surrogates, so the gap they leave need not be told. */
    const uint32_t before_gap = 0xd7ff;
    put_text(rewriter, "[");
    for (size_t i = 0; i < class->n; i++) {
        uint32_t first = class->ranges[i].first;
        uint32_t last = class->ranges[i].last;
        if (last == before_gap && i + 1 < class->n && class->ranges[i + 1].first == 0xe000)
            last = class->ranges[++i].last;
        put_character(rewriter, first);
        if (last > first) {
            put_text(rewriter, "-");
            put_character(rewriter, last);
        }
    }
    if (class->n == 0) /* RE2 has no empty brackets */
        put_text(rewriter, "^\\x{0}-\\x{10ffff}");
    put_text(rewriter, "]");
}

/*
 * Put a group around what was written since `start`.
 *
 * One that will be repeated a varying number of times is `guarded` with a
 * second, empty part.  RE2 joins neighbours like a?a?a? or a{0,9}a{0,9} to one
 * nest of optional parts, which it compiles in time quadratic in the depth; an
 * operand in two parts is left alone.
 */
static void
wrap(struct rewriter *rewriter, size_t start, bool guarded)
{
    static const char open[] = "(?:";
    const size_t open_size = sizeof(open) - 1;
    size_t size = rewriter->out->size - start;
    put(rewriter, open, open_size);
    put_text(rewriter, guarded ? "(?:))" : ")");
    if (!is_writable(rewriter))
        return;
    char *from = rewriter->out->data + start;
    memmove(from + open_size, from, size);
    memcpy(from, open, open_size);
}

/* --- levels --------------------------------------------------------------- */

/* Open a group, or at first the whole pattern. */
static ochre_status
push_level(struct rewriter *rewriter, size_t opened_at, unsigned flags_behind)
{
    struct och_scan *scan = &rewriter->scan;
    if (rewriter->n_levels > OCH_REGEX_NESTING_MAX)
        return och_scan_fail(scan, opened_at, too_deep);
    if (rewriter->n_levels == rewriter->levels_room) {
        size_t room = rewriter->levels_room == 0 ? 4 : rewriter->levels_room * 2;
        struct level *levels = och_mem_resize(scan->mem, rewriter->levels,
                rewriter->levels_room * sizeof(*levels), room * sizeof(*levels));
        if (levels == NULL)
            return och_fail_memory(scan->err);
        rewriter->levels = levels;
        rewriter->levels_room = room;
    }
    rewriter->levels[rewriter->n_levels++] = (struct level){.opened_at = opened_at,
            .start = rewriter->out->size,
            .flags = flags_behind,
            .repeats = 1};
    return OCHRE_OK;
}

/* The run of characters that are in every match ends here. */
static void
end_run(struct rewriter *rewriter)
{
    size_t size = rewriter->literals.size - rewriter->run_start;
    if (size > rewriter->best_size) {
        rewriter->best_start = rewriter->run_start;
        rewriter->best_size = size;
    }
    rewriter->run_start = rewriter->literals.size;
}

/* Count the last atom of the branch, which nothing can repeat any more. */
static void
settle_last(struct rewriter *rewriter)
{
    struct level *level = top_of(rewriter);
    struct atom *last = &level->last;
    if (last->kind == ATOM_NONE)
        return;
    if (rewriter->n_levels == 1 && (!last->literal || last->repeated))
        end_run(rewriter);
    level->n_atoms++;
    level->height = higher(level->height, last->height);
    level->consumes = level->consumes || last->consumes;
    if (last->repeats > level->repeats)
        level->repeats = last->repeats;
    level->weight += last->weight;
    *last = (struct atom){.kind = ATOM_NONE};
}

static void
push_atom(struct rewriter *rewriter, struct atom atom)
{
    settle_last(rewriter);
    top_of(rewriter)->last = atom;
    if (!atom.literal)
        rewriter->only_literals = false;
}

/* The branch that was read is complete. */
static void
end_branch(struct rewriter *rewriter)
{
    settle_last(rewriter);
    struct level *level = top_of(rewriter);
    unsigned height = level->height + (level->n_atoms > 1 ? 1 : 0);
    level->branches_height = higher(level->branches_height, height);
    level->n_branches++;
    level->n_atoms = 0;
    level->height = 0;
}

static unsigned
height_of(const struct level *level)
{
    return level->branches_height + (level->n_branches > 1 ? 1 : 0);
}

/* --- atoms ---------------------------------------------------------------- */

static void
push_literal(struct rewriter *rewriter, uint32_t c)
{
    struct atom atom = {.kind = ATOM_SINGLE,
            .start = rewriter->out->size,
            .literal = true,
            .consumes = true,
            .repeats = 1,
            .weight = 1};
    settle_last(rewriter); /* its run may end before this character */
    put_character(rewriter, c);
    if (rewriter->n_levels == 1) {
        char text[4];
        och_buf_put(&rewriter->literals, text, och_utf8_put(text, c));
    }
    push_atom(rewriter, atom);
}

static void
push_text(struct rewriter *rewriter, const char *text, bool consumes)
{
    struct atom atom = {
            .kind = ATOM_SINGLE, .start = rewriter->out->size, .consumes = consumes, .repeats = 1};
    put_text(rewriter, text);
    push_atom(rewriter, atom);
}

/* A class, or less where less will do. */
static void
push_class(struct rewriter *rewriter, const struct och_codeset *class, unsigned height)
{
    if (class->n == 1 && class->ranges[0].first == class->ranges[0].last) {
        push_literal(rewriter, class->ranges[0].first);
        top_of(rewriter)->last.height = height;
        return;
    }
    struct atom atom = {.kind = ATOM_SINGLE,
            .start = rewriter->out->size,
            .consumes = true,
            .height = height,
            .repeats = 1,
            .weight = 1};
    put_class(rewriter, class);
    push_atom(rewriter, atom);
}

static ochre_status
read_class(struct rewriter *rewriter)
{
    struct och_codeset class;
    och_codeset_init(&class, rewriter->scan.mem);
    unsigned height = 0;
    ochre_status status = och_regex_class(&rewriter->scan, &class, &height);
    if (status == OCHRE_OK)
        push_class(rewriter, &class, height);
    och_codeset_clear(&class);
    return status;
}

/* A character that stands for itself, in any case where flag i says so. */
static ochre_status
read_literal(struct rewriter *rewriter, uint32_t c)
{
    struct och_scan *scan = &rewriter->scan;
    if ((scan->flags & OCH_FLAG_IGNORE_CASE) == 0) {
        push_literal(rewriter, c);
        return OCHRE_OK;
    }
    struct och_codeset class;
    och_codeset_init(&class, scan->mem);
    och_codeset_add(&class, c, c);
    och_scan_fold(scan, &class);
    bool failed = class.failed;
    if (!failed)
        push_class(rewriter, &class, 0);
    och_codeset_clear(&class);
    return failed ? och_fail_memory(scan->err) : OCHRE_OK;
}

/* \A \z \b \B.  RE2 knows them by the same letters. */
static void
push_assertion(struct rewriter *rewriter, uint32_t letter)
{
    const char text[] = {'\\', (char) letter, '\0'};
    push_text(rewriter, text, false);
}

static ochre_status
read_escape(struct rewriter *rewriter)
{
    struct och_scan *scan = &rewriter->scan;
    struct och_codeset class;
    och_codeset_init(&class, scan->mem);
    struct och_scan_item item;
    ochre_status status = och_scan_escape(scan, &class, &item);
    if (status == OCHRE_OK && class.failed)
        status = och_fail_memory(scan->err);
    if (status != OCHRE_OK)
        goto done;
    switch (item.kind) {
    case OCH_SCAN_LITERAL:
        status = read_literal(rewriter, item.code_point);
        break;
    case OCH_SCAN_CLASS:
        push_class(rewriter, &class, 0);
        break;
    case OCH_SCAN_ASSERTION:
        push_assertion(rewriter, item.code_point);
        break;
    }

done:
    och_codeset_clear(&class);
    return status;
}

static ochre_status
read_dot(struct rewriter *rewriter)
{
    struct och_scan *scan = &rewriter->scan;
    if ((scan->flags & OCH_FLAG_UNICODE) == 0)
        return och_scan_fail(scan, scan->at,
                "without flag u this would match bytes that are not UTF-8, which no text holds");
    och_scan_skip(scan);
    const char *text = "[^\\n]";
    if ((scan->flags & OCH_FLAG_DOT_ALL) != 0)
        text = "(?s:.)";
    else if ((scan->flags & OCH_FLAG_CRLF) != 0)
        text = "[^\\n\\r]";
    push_text(rewriter, text, true);
    return OCHRE_OK;
}

/* '^' or '$' */
static ochre_status
read_anchor(struct rewriter *rewriter, bool end)
{
    struct och_scan *scan = &rewriter->scan;
    bool lines = (scan->flags & OCH_FLAG_MULTI_LINE) != 0;
    if (lines && (scan->flags & OCH_FLAG_CRLF) != 0)
        return och_scan_fail(scan, scan->at, "flags m and R together are not supported here");
    och_scan_skip(scan);
    if (lines)
        push_text(rewriter, end ? "(?m:$)" : "(?m:^)", false);
    else
        push_text(rewriter, end ? "\\z" : "\\A", false);
    return OCHRE_OK;
}

/* --- groups --------------------------------------------------------------- */

/* Names are compared once, at the end of the pattern. */
static ochre_status
keep_name(struct rewriter *rewriter, struct group_name name)
{
    struct och_scan *scan = &rewriter->scan;
    if (rewriter->n_names == rewriter->names_room) {
        size_t room = rewriter->names_room == 0 ? 4 : rewriter->names_room * 2;
        struct group_name *names = och_mem_resize(scan->mem, rewriter->names,
                rewriter->names_room * sizeof(*names), room * sizeof(*names));
        if (names == NULL)
            return och_fail_memory(scan->err);
        rewriter->names = names;
        rewriter->names_room = room;
    }
    rewriter->names[rewriter->n_names++] = name;
    return OCHRE_OK;
}

/* By size, then bytes, then place. */
static int
compare_names(const void *a, const void *b)
{
    const struct group_name *left = a;
    const struct group_name *right = b;
    if (left->size != right->size)
        return left->size < right->size ? -1 : 1;
    int order = memcmp(left->text, right->text, left->size);
    if (order != 0)
        return order;
    return left->text < right->text ? -1 : left->text > right->text;
}

static ochre_status
check_names(struct rewriter *rewriter)
{
    if (rewriter->n_names < 2)
        return OCHRE_OK;
    qsort(rewriter->names, rewriter->n_names, sizeof(*rewriter->names), compare_names);
    for (size_t i = 1; i < rewriter->n_names; i++) {
        const struct group_name *name = &rewriter->names[i];
        if (name->size == name[-1].size && memcmp(name->text, name[-1].text, name->size) == 0)
            return och_scan_fail(&rewriter->scan, (size_t) (name->text - rewriter->scan.pattern),
                    "two groups have this name");
    }
    return OCHRE_OK;
}

/* Read '(' and what tells its kind. */
static ochre_status
open_group(struct rewriter *rewriter)
{
    struct och_scan *scan = &rewriter->scan;
    size_t offset = scan->at;
    unsigned flags = scan->flags;
    ochre_status status = OCHRE_OK;
    och_scan_step(scan);
    if (och_scan_accept(scan, "?=") || och_scan_accept(scan, "?!") ||
            och_scan_accept(scan, "?<=") || och_scan_accept(scan, "?<!"))
        return och_scan_fail(scan, offset, "there is no looking ahead or behind");
    if (och_scan_accept(scan, "?P<") || och_scan_accept(scan, "?<")) {
        struct group_name name;
        status = och_scan_group_name(scan, &name.text, &name.size);
        if (status == OCHRE_OK)
            status = keep_name(rewriter, name);
    } else if (och_scan_accept(scan, "?")) {
        uint32_t end = 0;
        status = och_scan_flags(scan, &flags, &end);
        if (status == OCHRE_OK && end == ')') { /* for the rest of the group around it */
            scan->flags = flags;
            push_atom(rewriter, (struct atom){.kind = ATOM_FLAGS, .repeats = 1});
            return OCHRE_OK;
        }
    }
    if (status == OCHRE_OK)
        status = push_level(rewriter, offset, scan->flags);
    scan->flags = flags;
    put_text(rewriter, "(?:");
    return status;
}

static ochre_status
close_group(struct rewriter *rewriter)
{
    struct och_scan *scan = &rewriter->scan;
    if (rewriter->n_levels == 1)
        return och_scan_fail(scan, scan->at, "no '(' belongs to this ')'");
    struct level *level = top_of(rewriter);
    end_branch(rewriter);
    struct atom atom = {.kind = ATOM_SINGLE,
            .start = level->start,
            .consumes = level->consumes,
            .height = 1 + height_of(level),
            .repeats = level->repeats,
            .weight = level->weight};
    if (atom.height > OCH_REGEX_NESTING_MAX)
        return och_scan_fail(scan, level->opened_at, too_deep);
    put_text(rewriter, ")");
    scan->flags = level->flags;
    rewriter->n_levels--;
    push_atom(rewriter, atom);
    och_scan_skip(scan);
    return OCHRE_OK;
}

/* '|' */
static void
next_branch(struct rewriter *rewriter)
{
    end_branch(rewriter);
    put_text(rewriter, "|");
    rewriter->only_literals = false;
    och_scan_skip(&rewriter->scan);
}

/* --- repetition ----------------------------------------------------------- */

/* The operator itself, with counts that RE2 takes. */
static void
put_repeat(struct rewriter *rewriter, struct och_scan_count count)
{
    if (!count.bounded && count.least < 2) {
        put_text(rewriter, count.least == 0 ? "*" : "+");
        return;
    }
    if (count.bounded && count.least == 0 && count.most == 1) {
        put_text(rewriter, "?");
        return;
    }
    if (count.bounded && count.least == 1 && count.most == 1)
        return;
    put_text(rewriter, "{");
    put_number(rewriter, count.least);
    if (!count.bounded || count.most != count.least)
        put_text(rewriter, ",");
    if (count.bounded && count.most != count.least)
        put_number(rewriter, count.most);
    put_text(rewriter, "}");
}

/* Write once more what stands in the output already. */
static void
put_copy(struct rewriter *rewriter, size_t start, size_t size)
{
    struct och_buf *out = rewriter->out;
    if (size > out->size_max - out->size)
        rewriter->too_large = true;
    else if (och_buf_reserve(out, size)) /* so that the source stays where it is */
        och_buf_put(out, out->data + start, size);
}

/* Write `n` repeats of the operand, at most `block` of them to a copy. */
static void
put_blocks(struct rewriter *rewriter, size_t start, size_t size, uint32_t n, uint32_t block,
        bool optional)
{
    while (n > 0 && is_writable(rewriter)) {
        uint32_t now = n < block ? n : block;
        put_copy(rewriter, start, size);
        put_repeat(rewriter,
                (struct och_scan_count){.least = optional ? 0 : now, .most = now, .bounded = true});
        n -= now;
    }
}

/*
 * Repeat the last atom more often than RE2 takes at once, by copying it:
 * x{2500} becomes x{1000}x{1000}x{500}.  The copies are written behind the
 * operand, which goes at the end.
 */
static void
repeat_in_blocks(struct rewriter *rewriter, struct atom *atom, struct och_scan_count count)
{
    struct och_buf *out = rewriter->out;
    size_t size = out->size - atom->start;
    uint32_t block = RE2_REPEAT_MAX / atom->repeats;
    put_blocks(rewriter, atom->start, size, count.least, block, false);
    if (count.bounded) {
        put_blocks(rewriter, atom->start, size, count.most - count.least, block, true);
    } else if (is_writable(rewriter)) {
        put_copy(rewriter, atom->start, size);
        put_text(rewriter, "*");
    }
    if (!is_writable(rewriter))
        return;
    size_t copies_size = out->size - atom->start - size;
    memmove(out->data + atom->start, out->data + atom->start + size, copies_size);
    out->size = atom->start + copies_size;
    atom->repeats *= block;
}

static ochre_status
fail_weight(const struct rewriter *rewriter)
{
    return och_fail(rewriter->scan.err, OCHRE_INVALID,
            "the regular expression is too large: its program would pass %u bytes",
            OCH_REGEX_PROGRAM_MEMORY_MAX);
}

/* The last atom need not be in a match. */
static void
drop_literal(struct rewriter *rewriter, struct atom *atom)
{
    struct och_buf *literals = &rewriter->literals;
    if (atom->literal && rewriter->n_levels == 1) {
        do
            literals->size--;
        while (((unsigned char) literals->data[literals->size] & 0xc0) == 0x80);
    }
    atom->literal = false;
}

/* Apply a repeat, whose text has been read, to the last atom. */
static ochre_status
repeat(struct rewriter *rewriter, size_t offset, struct och_scan_count count)
{
    struct atom *atom = &top_of(rewriter)->last;
    if (++atom->height > OCH_REGEX_NESTING_MAX)
        return och_scan_fail(&rewriter->scan, offset, too_deep);
    if (count.least == 0)
        drop_literal(rewriter, atom);
    atom->repeated = true;
    rewriter->only_literals = false;

    if (!atom->consumes) { /* once in a place is as good as many times */
        count.least = count.least > 1 ? 1 : count.least;
        count.most = count.most > 1 ? 1 : count.most;
    }
    if (count.bounded && count.most == 0) {
        rewriter->out->size = atom->start;
        put_text(rewriter, "(?:)");
        *atom = (struct atom){
                .kind = ATOM_SINGLE, .start = atom->start, .height = atom->height, .repeats = 1};
        return OCHRE_OK;
    }
    uint32_t most = count.bounded ? count.most : count.least;
    atom->weight *= most > 0 ? most : 1;
    if (atom->weight > WEIGHT_MAX)
        return fail_weight(rewriter);
    bool varies = count.bounded && count.least != count.most;
    if (atom->kind == ATOM_OPEN || varies)
        wrap(rewriter, atom->start, varies);
    atom->kind = ATOM_OPEN;
    if ((uint64_t) most * atom->repeats > RE2_REPEAT_MAX) {
        repeat_in_blocks(rewriter, atom, count);
    } else {
        put_repeat(rewriter, count);
        atom->repeats *= most > 0 ? most : 1;
    }
    return OCHRE_OK;
}

/* Read a repeat: one of ? * + or a count, and a '?' that makes it lazy. */
static ochre_status
read_repeat(struct rewriter *rewriter, uint32_t sign)
{
    struct och_scan *scan = &rewriter->scan;
    size_t offset = scan->at;
    atom_kind kind = top_of(rewriter)->last.kind;
    if (kind == ATOM_NONE || kind == ATOM_FLAGS)
        return och_scan_fail(scan, offset, "there is nothing to repeat");

    struct och_scan_count count = {.least = sign == '+', .most = 1, .bounded = sign == '?'};
    if (sign == '{') {
        ochre_status status = och_scan_count(scan, &count);
        if (status != OCHRE_OK)
            return status;
    } else {
        och_scan_skip(scan);
        if (och_scan_peek(scan) == '?')
            och_scan_skip(scan);
    }
    return repeat(rewriter, offset, count);
}

/* --- the whole pattern ---------------------------------------------------- */

static ochre_status
read_next(struct rewriter *rewriter, uint32_t c)
{
    switch (c) {
    case '(':
        return open_group(rewriter);
    case ')':
        return close_group(rewriter);
    case '|':
        next_branch(rewriter);
        return OCHRE_OK;
    case '[':
        return read_class(rewriter);
    case '\\':
        return read_escape(rewriter);
    case '.':
        return read_dot(rewriter);
    case '^':
    case '$':
        return read_anchor(rewriter, c == '$');
    case '?':
    case '*':
    case '+':
    case '{':
        return read_repeat(rewriter, c);
    default:
        och_scan_skip(&rewriter->scan);
        return read_literal(rewriter, c);
    }
}

static ochre_status
rewrite(struct rewriter *rewriter)
{
    struct och_scan *scan = &rewriter->scan;
    ochre_status status = push_level(rewriter, 0, scan->flags);
    while (status == OCHRE_OK) {
        och_scan_skip_space(scan);
        if (scan->at == scan->size)
            break;
        status = read_next(rewriter, och_scan_peek(scan));
        const struct level *level = top_of(rewriter);
        if (status == OCHRE_OK && level->weight + level->last.weight > WEIGHT_MAX)
            status = fail_weight(rewriter);
        if (status == OCHRE_OK && rewriter->too_large)
            return och_fail(scan->err, OCHRE_INVALID,
                    "the regular expression is too large: with its classes and counts written out "
                    "it would pass %zu bytes",
                    REWRITTEN_SIZE_MAX);
        if (status == OCHRE_OK &&
                (och_buf_status(rewriter->out) != OCHRE_OK ||
                        och_buf_status(&rewriter->literals) != OCHRE_OK))
            status = och_fail_memory(scan->err);
    }
    if (status != OCHRE_OK)
        return status;
    if (rewriter->n_levels > 1)
        return och_scan_fail(scan, top_of(rewriter)->opened_at, "no ')' closes this group");
    end_branch(rewriter);
    if (height_of(&rewriter->levels[0]) > OCH_REGEX_NESTING_MAX)
        return och_scan_fail(scan, 0, too_deep);
    return check_names(rewriter);
}

/* Alternatives have nothing in common that we know of. */
static ochre_status
keep_literal(struct rewriter *rewriter, struct och_rewritten *rewritten)
{
    end_run(rewriter);
    if (rewriter->levels[0].n_branches == 1 && rewriter->best_size > 0)
        och_buf_put(&rewritten->literal, rewriter->literals.data + rewriter->best_start,
                rewriter->best_size);
    rewritten->is_literal = rewriter->only_literals;
    if (och_buf_status(&rewriter->literals) != OCHRE_OK ||
            och_buf_status(&rewritten->literal) != OCHRE_OK)
        return och_fail_memory(rewriter->scan.err);
    return OCHRE_OK;
}

void
och_rewritten_init(struct och_rewritten *rewritten, struct och_mem *mem)
{
    och_buf_init(&rewritten->text, mem, REWRITTEN_SIZE_MAX);
    och_buf_init(&rewritten->literal, mem, OCH_TEXT_PATTERN_SIZE_MAX);
    rewritten->is_literal = false;
}

void
och_rewritten_clear(struct och_rewritten *rewritten)
{
    och_buf_clear(&rewritten->text);
    och_buf_clear(&rewritten->literal);
}

ochre_status
och_regex_rewrite(
        struct ochre_bytes pattern, struct och_rewritten *rewritten, struct ochre_error *err)
{
    struct och_mem *mem = rewritten->text.mem;
    struct rewriter rewriter = {.out = &rewritten->text, .only_literals = true};
    och_scan_init(&rewriter.scan, mem, pattern.data, pattern.size, err);
    och_buf_init(&rewriter.literals, mem, OCH_TEXT_PATTERN_SIZE_MAX);
    ochre_status status = rewrite(&rewriter);
    if (status == OCHRE_OK)
        status = keep_literal(&rewriter, rewritten);
    och_scan_clear(&rewriter.scan);
    och_buf_clear(&rewriter.literals);
    och_mem_release(mem, rewriter.levels, rewriter.levels_room * sizeof(*rewriter.levels));
    och_mem_release(mem, rewriter.names, rewriter.names_room * sizeof(*rewriter.names));
    return status;
}
