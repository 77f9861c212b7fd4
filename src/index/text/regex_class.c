#include "index/text/regex_class.h"

#include <string.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"

/* One pair of brackets that is still open. */
struct bracket {
    size_t opened_at;
    bool negated;
    uint32_t sign;           /* '&', '-' or '~' between left and items; 0 for none */
    struct och_codeset left; /* owned: what stands before the sign */
    unsigned left_height;
    struct och_codeset items; /* owned: the union of what has been read since */
    size_t n_items;
    unsigned items_height; /* of the highest */
};

struct brackets {
    struct och_scan *scan;
    struct bracket *stack; /* owned */
    size_t n;
    size_t room;
};

static const char unclosed[] = "no ']' closes this class";
static const char too_deep[] = "the nesting is deeper than 250";
static_assert(OCH_REGEX_NESTING_MAX == 250, "the message says so");

static unsigned
higher(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

static ochre_status
push(struct brackets *brackets, size_t opened_at, bool negated)
{
    struct och_scan *scan = brackets->scan;
    if (brackets->n == OCH_REGEX_NESTING_MAX)
        return och_scan_fail(scan, opened_at, too_deep);
    if (brackets->n == brackets->room) {
        size_t room = brackets->room == 0 ? 2 : brackets->room * 2;
        struct bracket *stack = och_mem_resize(
                scan->mem, brackets->stack, brackets->room * sizeof(*stack), room * sizeof(*stack));
        if (stack == NULL)
            return och_fail_memory(scan->err);
        brackets->stack = stack;
        brackets->room = room;
    }
    struct bracket *top = &brackets->stack[brackets->n++];
    *top = (struct bracket){.opened_at = opened_at, .negated = negated};
    och_codeset_init(&top->left, scan->mem);
    och_codeset_init(&top->items, scan->mem);
    return OCHRE_OK;
}

static void
clear(struct brackets *brackets)
{
    for (size_t i = 0; i < brackets->n; i++) {
        och_codeset_clear(&brackets->stack[i].left);
        och_codeset_clear(&brackets->stack[i].items);
    }
    och_mem_release(
            brackets->scan->mem, brackets->stack, brackets->room * sizeof(*brackets->stack));
}

static void
count_item(struct bracket *top, unsigned height)
{
    top->n_items++;
    top->items_height = higher(top->items_height, height);
}

/* --- one item ------------------------------------------------------------- */

/* The names of POSIX, for ASCII. */
static const struct {
    const char *name;
    struct och_code_range ranges[4];
    size_t n;
} posix_classes[] = {
        {"alnum", {{'0', '9'}, {'A', 'Z'}, {'a', 'z'}}, 3},
        {"alpha", {{'A', 'Z'}, {'a', 'z'}}, 2},
        {"ascii", {{0, 0x7f}}, 1},
        {"blank", {{'\t', '\t'}, {' ', ' '}}, 2},
        {"cntrl", {{0, 0x1f}, {0x7f, 0x7f}}, 2},
        {"digit", {{'0', '9'}}, 1},
        {"graph", {{'!', '~'}}, 1},
        {"lower", {{'a', 'z'}}, 1},
        {"print", {{' ', '~'}}, 1},
        {"punct", {{'!', '/'}, {':', '@'}, {'[', '`'}, {'{', '~'}}, 4},
        {"space", {{'\t', '\r'}, {' ', ' '}}, 2},
        {"upper", {{'A', 'Z'}}, 1},
        {"word", {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}, 4},
        {"xdigit", {{'0', '9'}, {'A', 'F'}, {'a', 'f'}}, 3},
};

/* [:alpha:] or [:^alpha:], if that is what begins here.  Anything else that
 * begins with a bracket and a colon is a nested class. */
static ochre_status
read_posix(struct och_scan *scan, struct bracket *top, bool *found_out)
{
    size_t offset = scan->at;
    *found_out = false;
    bool negated = och_scan_accept(scan, "[:^");
    if (!negated && !och_scan_accept(scan, "[:"))
        return OCHRE_OK;

    const char *name = scan->pattern + scan->at;
    size_t left = scan->size - scan->at;
    for (size_t i = 0; i < sizeof(posix_classes) / sizeof(posix_classes[0]); i++) {
        size_t size = strlen(posix_classes[i].name);
        if (left < size + 2 || memcmp(name, posix_classes[i].name, size) != 0 ||
                memcmp(name + size, ":]", 2) != 0)
            continue;
        struct och_codeset found;
        och_codeset_init(&found, scan->mem);
        for (size_t k = 0; k < posix_classes[i].n; k++)
            och_codeset_add(
                    &found, posix_classes[i].ranges[k].first, posix_classes[i].ranges[k].last);
        och_scan_fold(scan, &found);
        ochre_status status = OCHRE_OK;
        if (negated)
            status = och_scan_negate(scan, &found, offset);
        och_codeset_unite(&top->items, &found);
        och_codeset_clear(&found);
        count_item(top, 0);
        scan->at += size + 2;
        *found_out = true;
        return status;
    }
    scan->at = offset;
    return OCHRE_OK;
}

/* A character or an escape.  In brackets all else stands for itself. */
static ochre_status
read_item(struct och_scan *scan, struct och_codeset *class, struct och_scan_item *item_out)
{
    if (och_scan_peek(scan) == '\\') {
        ochre_status status = och_scan_escape(scan, class, item_out);
        if (status == OCHRE_OK && item_out->kind == OCH_SCAN_ASSERTION)
            status = och_scan_fail(
                    scan, item_out->offset, "this matches no character, so no class can hold it");
        return status;
    }
    *item_out = (struct och_scan_item){
            .kind = OCH_SCAN_LITERAL, .code_point = och_scan_peek(scan), .offset = scan->at};
    och_scan_skip(scan);
    return OCHRE_OK;
}

/* Is the '-' that is next one end of a range?  Not before the end of the class,
 * and not as the first half of the sign "--". */
static bool
is_range(const struct och_scan *scan)
{
    if (och_scan_peek(scan) != '-')
        return false;
    struct och_scan ahead = *scan;
    och_scan_step(&ahead);
    uint32_t next = och_scan_peek(&ahead);
    return next != ']' && next != '-';
}

/* Without flag u a class is one of bytes, and holds no other characters. */
static ochre_status
check_literal(const struct och_scan *scan, const struct och_scan_item *item)
{
    if (item->kind != OCH_SCAN_LITERAL)
        return och_scan_fail(scan, item->offset, "a range cannot begin or end with a class");
    if ((scan->flags & OCH_FLAG_UNICODE) == 0 && item->code_point > 0x7f)
        return och_scan_fail(scan, item->offset, "without flag u a class holds ASCII only");
    return OCHRE_OK;
}

static ochre_status
read_range(struct och_scan *scan, struct bracket *top)
{
    struct och_scan_item first;
    ochre_status status = read_item(scan, &top->items, &first);
    if (status != OCHRE_OK)
        return status;
    count_item(top, 0);
    och_scan_skip_space(scan);
    if (scan->at == scan->size)
        return och_scan_fail(scan, top->opened_at, unclosed);

    struct och_scan_item last = first;
    if (is_range(scan)) {
        if (!och_scan_step(scan))
            return och_scan_fail(scan, top->opened_at, unclosed);
        status = read_item(scan, &top->items, &last);
        if (status == OCHRE_OK)
            status = check_literal(scan, &first);
        if (status == OCHRE_OK)
            status = check_literal(scan, &last);
        if (status == OCHRE_OK && first.code_point > last.code_point)
            status = och_scan_fail(scan, first.offset, "the range's end is before its beginning");
    } else if (first.kind == OCH_SCAN_LITERAL) {
        status = check_literal(scan, &first);
    }
    if (status == OCHRE_OK && first.kind == OCH_SCAN_LITERAL)
        och_codeset_add(&top->items, first.code_point, last.code_point);
    return status;
}

/* --- brackets and operations ----------------------------------------------- */

/* Read '[', a '^', and what stands for itself only right behind them: any
 * number of '-', or one ']'. */
static ochre_status
open_bracket(struct brackets *brackets)
{
    struct och_scan *scan = brackets->scan;
    size_t offset = scan->at;
    bool negated = false;
    if (och_scan_step(scan) && och_scan_peek(scan) == '^') {
        negated = true;
        och_scan_step(scan);
    }
    ochre_status status = push(brackets, offset, negated);
    if (status != OCHRE_OK)
        return status;

    och_assert(brackets->stack != NULL && brackets->n > 0);
    struct bracket *top = &brackets->stack[brackets->n - 1];
    uint32_t c = och_scan_peek(scan);
    uint32_t literal = c == ']' ? ']' : '-';
    while (c == literal && (c == '-' || top->n_items == 0)) {
        och_codeset_add(&top->items, c, c);
        count_item(top, 0);
        och_scan_step(scan);
        c = och_scan_peek(scan);
    }
    return OCHRE_OK;
}

/* Combine what stands on both sides of the sign, if there is one.  The
 * result is in `items`; its height is returned. */
static unsigned
operate(const struct och_scan *scan, struct bracket *top)
{
    unsigned height = top->items_height + (top->n_items > 1 ? 1 : 0);
    if (top->sign == 0)
        return height;
    och_scan_fold(scan, &top->left);
    och_scan_fold(scan, &top->items);
    if (top->sign == '&')
        och_codeset_intersect(&top->left, &top->items);
    else if (top->sign == '-')
        och_codeset_subtract(&top->left, &top->items);
    else
        och_codeset_differ(&top->left, &top->items);
    och_codeset_clear(&top->items);
    top->items = top->left;
    och_codeset_init(&top->left, scan->mem);
    return 1 + higher(height, top->left_height);
}

static void
begin_operation(const struct och_scan *scan, struct bracket *top, uint32_t sign)
{
    top->left_height = operate(scan, top);
    top->left = top->items;
    och_codeset_init(&top->items, scan->mem);
    top->n_items = 0;
    top->items_height = 0;
    top->sign = sign;
}

/* Read ']'.  The class goes into the one around it, or out. */
static ochre_status
close_bracket(struct brackets *brackets, struct och_codeset *class, unsigned *height_out)
{
    struct och_scan *scan = brackets->scan;
    struct bracket *top = &brackets->stack[brackets->n - 1];
    unsigned height = 1 + operate(scan, top);
    if (height > OCH_REGEX_NESTING_MAX)
        return och_scan_fail(scan, top->opened_at, too_deep);

    och_scan_fold(scan, &top->items);
    if (top->negated) {
        ochre_status status = och_scan_negate(scan, &top->items, top->opened_at);
        if (status != OCHRE_OK)
            return status;
    }
    och_scan_skip(scan);
    brackets->n--;
    if (brackets->n == 0) {
        och_codeset_clear(class);
        *class = top->items;
        *height_out = height;
    } else {
        count_item(top - 1, height);
        och_codeset_unite(&(top - 1)->items, &top->items);
        och_codeset_clear(&top->items);
    }
    return OCHRE_OK;
}

/* What comes next in the innermost brackets. */
static ochre_status
read_next(struct brackets *brackets, struct och_codeset *class, unsigned *height_out)
{
    struct och_scan *scan = brackets->scan;
    struct bracket *top = &brackets->stack[brackets->n - 1];
    och_scan_skip_space(scan);
    uint32_t c = och_scan_peek(scan);
    if (c == OCH_SCAN_END)
        return och_scan_fail(scan, top->opened_at, unclosed);
    if (c == ']')
        return close_bracket(brackets, class, height_out);
    if (c == '[') {
        bool found = false;
        ochre_status status = read_posix(scan, top, &found);
        if (status == OCHRE_OK && !found)
            status = open_bracket(brackets);
        return status;
    }
    if (och_scan_accept(scan, "&&") || och_scan_accept(scan, "--") || och_scan_accept(scan, "~~")) {
        begin_operation(scan, top, c);
        return OCHRE_OK;
    }
    return read_range(scan, top);
}

ochre_status
och_regex_class(struct och_scan *scan, struct och_codeset *class, unsigned *height_out)
{
    struct brackets brackets = {.scan = scan};
    ochre_status status = open_bracket(&brackets);
    while (status == OCHRE_OK && brackets.n > 0)
        status = read_next(&brackets, class, height_out);
    clear(&brackets);
    if (status == OCHRE_OK && class->failed)
        status = och_fail_memory(scan->err);
    return status;
}
