#include "index/text/regex_scan.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "index/text/unicode.h"

/* Longer than any name of a property, with room for spaces. */
#define PROPERTY_SIZE_MAX ((size_t) 256)

/* The classes that scans keep: those of perl_letters, then their complements. */
static const char perl_letters[] = "dsw";
#define N_KNOWN (sizeof(((struct och_scan *) NULL)->known) / sizeof(struct och_codeset))
static_assert(N_KNOWN == 2 * (sizeof(perl_letters) - 1), "each letter in lower and upper case");

static const char not_characters[] =
        "without flag u this would match bytes that are not UTF-8, which no text holds";

/* --- the cursor ----------------------------------------------------------- */

void
och_scan_init(struct och_scan *scan, struct och_mem *mem, const char *pattern, size_t size,
        struct ochre_error *err)
{
    *scan = (struct och_scan){
            .pattern = pattern, .size = size, .flags = OCH_FLAG_UNICODE, .mem = mem, .err = err};
    for (size_t i = 0; i < N_KNOWN; i++)
        och_codeset_init(&scan->known[i], mem);
}

void
och_scan_clear(struct och_scan *scan)
{
    for (size_t i = 0; i < N_KNOWN; i++)
        och_codeset_clear(&scan->known[i]);
}

ochre_status
och_scan_fail(const struct och_scan *scan, size_t offset, const char *why)
{
    return och_fail(scan->err, OCHRE_INVALID, "regular expression, byte %zu: %s", offset, why);
}

uint32_t
och_scan_peek(const struct och_scan *scan)
{
    if (scan->at == scan->size)
        return OCH_SCAN_END;
    const char *next = scan->pattern + scan->at;
    return och_utf8_next(&next, scan->pattern + scan->size);
}

void
och_scan_skip(struct och_scan *scan)
{
    if (scan->at == scan->size)
        return;
    const char *next = scan->pattern + scan->at;
    och_utf8_next(&next, scan->pattern + scan->size);
    scan->at = (size_t) (next - scan->pattern);
}

/* White space counts even where flag x is off, in a few places. */
static void
skip_white(struct och_scan *scan)
{
    while (scan->at < scan->size && och_unicode_is_space(och_scan_peek(scan)))
        och_scan_skip(scan);
}

void
och_scan_skip_space(struct och_scan *scan)
{
    if ((scan->flags & OCH_FLAG_SPACE) == 0)
        return;
    skip_white(scan);
    while (och_scan_peek(scan) == '#') {
        const char *from = scan->pattern + scan->at;
        const char *end = memchr(from, '\n', scan->size - scan->at);
        scan->at = end != NULL ? (size_t) (end + 1 - scan->pattern) : scan->size;
        skip_white(scan);
    }
}

bool
och_scan_step(struct och_scan *scan)
{
    och_scan_skip(scan);
    och_scan_skip_space(scan);
    return scan->at < scan->size;
}

bool
och_scan_accept(struct och_scan *scan, const char *text)
{
    size_t size = strlen(text);
    if (scan->size - scan->at < size || memcmp(scan->pattern + scan->at, text, size) != 0)
        return false;
    scan->at += size;
    return true;
}

/* --- sets ----------------------------------------------------------------- */

void
och_scan_fold(const struct och_scan *scan, struct och_codeset *set)
{
    if ((scan->flags & OCH_FLAG_IGNORE_CASE) == 0)
        return;
    if ((scan->flags & OCH_FLAG_UNICODE) != 0) {
        och_unicode_fold(set);
        return;
    }
    for (uint32_t upper = 'A'; upper <= 'Z'; upper++) {
        uint32_t lower = upper | 0x20;
        if (och_codeset_has(set, upper))
            och_codeset_add(set, lower, lower);
        else if (och_codeset_has(set, lower))
            och_codeset_add(set, upper, upper);
    }
}

/* Without flag u a class is one of bytes.  What is not negated is ASCII, so
 * what is negated holds every byte above. */
ochre_status
och_scan_negate(const struct och_scan *scan, struct och_codeset *set, size_t offset)
{
    if ((scan->flags & OCH_FLAG_UNICODE) == 0)
        return och_scan_fail(scan, offset, not_characters);
    och_codeset_negate(set);
    return OCHRE_OK;
}

/* --- escapes -------------------------------------------------------------- */

static bool
is_hex(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static uint32_t
hex_value(uint32_t c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* More than a code point can be, and shifts on without overflow. */
static uint32_t
add_digit(uint32_t value, uint32_t digit)
{
    return value > OCH_CODE_POINT_MAX ? value : value << 4 | hex_value(digit);
}

static ochre_status
read_braced_hex(struct och_scan *scan, uint32_t *value_out)
{
    size_t open = scan->at;
    size_t n = 0;
    uint32_t value = 0;
    while (och_scan_step(scan) && och_scan_peek(scan) != '}') {
        uint32_t digit = och_scan_peek(scan);
        if (!is_hex(digit))
            return och_scan_fail(scan, scan->at, "not a hexadecimal digit");
        value = add_digit(value, digit);
        n++;
    }
    if (scan->at == scan->size)
        return och_scan_fail(scan, open, "no '}' behind the code point");
    och_scan_step(scan);
    if (n == 0)
        return och_scan_fail(scan, open, "no code point between '{' and '}'");
    *value_out = value;
    return OCHRE_OK;
}

/* \x41 \u0041 \U00000041, or braces behind any of the letters. */
static ochre_status
read_hex(struct och_scan *scan, struct och_scan_item *item)
{
    uint32_t letter = och_scan_peek(scan);
    unsigned n_digits = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
    if (!och_scan_step(scan))
        return och_scan_fail(scan, item->offset, "the escape is not finished");

    uint32_t value = 0;
    bool braced = och_scan_peek(scan) == '{';
    if (braced) {
        ochre_status status = read_braced_hex(scan, &value);
        if (status != OCHRE_OK)
            return status;
    } else {
        for (unsigned i = 0; i < n_digits; i++) {
            if (scan->at == scan->size)
                return och_scan_fail(scan, item->offset, "the escape is not finished");
            uint32_t digit = och_scan_peek(scan);
            if (!is_hex(digit))
                return och_scan_fail(scan, scan->at, "not a hexadecimal digit");
            value = add_digit(value, digit);
            och_scan_step(scan);
        }
    }
    if (value > OCH_CODE_POINT_MAX || (value >= 0xd800 && value <= 0xdfff))
        return och_scan_fail(scan, item->offset, "this is not a Unicode character");
    if ((scan->flags & OCH_FLAG_UNICODE) == 0 && letter == 'x' && !braced && value > 0x7f)
        return och_scan_fail(scan, item->offset, not_characters);
    item->code_point = value;
    return OCHRE_OK;
}

/* The name in \pL or \p{name}, without the white space that flag x allows. */
static ochre_status
read_property_name(struct och_scan *scan, char name[PROPERTY_SIZE_MAX], size_t *size_out)
{
    size_t start = scan->at;
    if (!och_scan_step(scan))
        return och_scan_fail(scan, start, "the escape is not finished");
    bool braced = och_scan_peek(scan) == '{';
    if (!braced && och_scan_peek(scan) == '\\')
        return och_scan_fail(scan, scan->at, "a property's name cannot be an escape");
    if (braced)
        och_scan_step(scan);

    size_t size = 0;
    while (scan->at < scan->size && !(braced && och_scan_peek(scan) == '}')) {
        size_t from = scan->at;
        och_scan_skip(scan);
        if (size + (scan->at - from) > PROPERTY_SIZE_MAX)
            return och_scan_fail(scan, start, "there is no such property");
        memcpy(name + size, scan->pattern + from, scan->at - from);
        size += scan->at - from;
        och_scan_skip_space(scan);
        if (!braced)
            break;
    }
    if (braced && scan->at == scan->size)
        return och_scan_fail(scan, start, "no '}' behind the property's name");
    if (braced)
        och_scan_skip(scan);
    *size_out = size;
    return OCHRE_OK;
}

static ochre_status
read_property(struct och_scan *scan, struct och_codeset *class, size_t offset)
{
    bool negated = och_scan_peek(scan) == 'P';
    char name[PROPERTY_SIZE_MAX];
    size_t size = 0;
    ochre_status status = read_property_name(scan, name, &size);
    if (status != OCHRE_OK)
        return status;
    if ((scan->flags & OCH_FLAG_UNICODE) == 0)
        return och_scan_fail(scan, offset, "without flag u there are no Unicode properties");

    struct och_codeset found;
    och_codeset_init(&found, scan->mem);
    bool unequal = false;
    switch (och_unicode_add(&found, name, size, &unequal)) {
    case OCH_UNICODE_FOUND:
        break;
    case OCH_UNICODE_NO_PROPERTY:
        status = och_scan_fail(scan, offset, "there is no such property");
        goto done;
    case OCH_UNICODE_NO_VALUE:
        status = och_scan_fail(scan, offset, "the property has no such value");
        goto done;
    case OCH_UNICODE_NOT_HERE:
        status = och_scan_fail(scan, offset, "this property is not supported");
        goto done;
    }
    och_scan_fold(scan, &found);
    if (negated != unequal)
        och_codeset_negate(&found);
    och_codeset_unite(class, &found);

done:
    och_codeset_clear(&found);
    return status;
}

/* What these letters mean without flag u. */
static void
add_ascii_class(struct och_codeset *class, char letter)
{
    if (letter == 's') {
        och_codeset_add(class, '\t', '\r');
        och_codeset_add(class, ' ', ' ');
        return;
    }
    och_codeset_add(class, '0', '9');
    if (letter == 'w') {
        och_codeset_add(class, 'A', 'Z');
        och_codeset_add(class, '_', '_');
        och_codeset_add(class, 'a', 'z');
    }
}

/* \d \s \w, and in upper case what they are not. */
static ochre_status
read_perl_class(struct och_scan *scan, struct och_codeset *class, size_t offset)
{
    uint32_t c = och_scan_peek(scan);
    och_scan_skip(scan);
    bool negated = (c & 0x20) == 0;
    char letter = (char) (c | 0x20);
    if ((scan->flags & OCH_FLAG_UNICODE) == 0) {
        add_ascii_class(class, letter);
        return negated ? och_scan_fail(scan, offset, not_characters) : OCHRE_OK;
    }
    size_t index = (size_t) (strchr(perl_letters, letter) - perl_letters);
    struct och_codeset *known = &scan->known[index + (negated ? N_KNOWN / 2 : 0)];
    if (known->n == 0) {
        if (letter == 'd')
            och_unicode_add_digit(known);
        else if (letter == 's')
            och_unicode_add_space(known);
        else
            och_unicode_add_word(known);
        if (negated)
            och_codeset_negate(known);
    }
    och_codeset_unite(class, known);
    return OCHRE_OK;
}

/* \b{start} and its like.  \b{2} is a count, and left to be read as one. */
static ochre_status
check_boundary(struct och_scan *scan, size_t offset)
{
    struct och_scan ahead = *scan;
    if (och_scan_peek(scan) != '{')
        return OCHRE_OK;
    if (!och_scan_step(&ahead))
        return och_scan_fail(scan, scan->at, "no '}' behind the '{'");
    uint32_t c = och_scan_peek(&ahead);
    if (c == '-' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'))
        return och_scan_fail(scan, offset,
                "of word boundaries only \\b and \\B are supported, not their halves");
    return OCHRE_OK;
}

/* The letters that stand for themselves alone: \n \A and so on. */
static ochre_status
read_letter(struct och_scan *scan, uint32_t letter, struct och_scan_item *item)
{
    static const char letters[] = "aftnrv";
    static const char meanings[] = "\a\f\t\n\r\v";
    const char *known = letter <= 0x7f ? memchr(letters, (int) letter, 6) : NULL;
    if (known != NULL) {
        item->code_point = (unsigned char) meanings[known - letters];
        return OCHRE_OK;
    }
    item->kind = OCH_SCAN_ASSERTION;
    item->code_point = letter;
    if (letter == 'A' || letter == 'z' || letter == 'B')
        return OCHRE_OK;
    if (letter == 'b')
        return check_boundary(scan, item->offset);
    if (letter == '<' || letter == '>')
        return och_scan_fail(scan, item->offset,
                "of word boundaries only \\b and \\B are supported, not their halves");
    return och_scan_fail(scan, item->offset, "there is no such escape");
}

ochre_status
och_scan_escape(struct och_scan *scan, struct och_codeset *class, struct och_scan_item *item_out)
{
    *item_out = (struct och_scan_item){.kind = OCH_SCAN_LITERAL, .offset = scan->at};
    size_t offset = scan->at;
    och_scan_skip(scan);
    uint32_t c = och_scan_peek(scan);
    if (c == OCH_SCAN_END)
        return och_scan_fail(scan, offset, "nothing is behind the backslash");
    if (c >= '0' && c <= '9')
        return och_scan_fail(scan, offset, "there are no back-references");
    if (c == 'x' || c == 'u' || c == 'U')
        return read_hex(scan, item_out);
    if (c == 'p' || c == 'P') {
        item_out->kind = OCH_SCAN_CLASS;
        return read_property(scan, class, offset);
    }
    if (c <= 0x7f && memchr("dswDSW", (int) c, 6) != NULL) {
        item_out->kind = OCH_SCAN_CLASS;
        return read_perl_class(scan, class, offset);
    }
    och_scan_skip(scan);
    bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
    if (letter || c > 0x7f || c == '<' || c == '>')
        return read_letter(scan, c, item_out);
    item_out->code_point = c; /* any other ASCII stands for itself */
    return OCHRE_OK;
}

/* --- groups and counts ---------------------------------------------------- */

ochre_status
och_scan_flags(struct och_scan *scan, unsigned *flags_out, uint32_t *end_out)
{
    static const char letters[] = "imsUuRx"; /* in the order of OCH_FLAG_* */
    unsigned seen = 0;
    unsigned flags = scan->flags;
    bool on = true;
    bool dangling = false;
    size_t start = scan->at;

    uint32_t c = och_scan_peek(scan);
    for (; c != ':' && c != ')'; c = och_scan_peek(scan)) {
        if (c == OCH_SCAN_END)
            return och_scan_fail(scan, start, "neither ':' nor ')' is behind the flags");
        if (c == '-') {
            if (!on)
                return och_scan_fail(scan, scan->at, "the flags have a second '-'");
            on = false;
            dangling = true;
            och_scan_skip(scan);
            continue;
        }
        const char *known = c <= 0x7f ? memchr(letters, (int) c, sizeof(letters) - 1) : NULL;
        if (known == NULL)
            return och_scan_fail(scan, scan->at, "there is no such flag");
        unsigned flag = 1u << (known - letters);
        if ((seen & flag) != 0)
            return och_scan_fail(scan, scan->at, "the flag is given twice");
        seen |= flag;
        flags = on ? flags | flag : flags & ~flag;
        dangling = false;
        och_scan_skip(scan);
    }
    if (dangling)
        return och_scan_fail(scan, scan->at - 1, "no flag is behind the '-'");
    if (seen == 0 && c == ')')
        return och_scan_fail(scan, start - 1, "there is nothing to repeat");
    och_scan_skip(scan);
    *flags_out = flags;
    *end_out = c;
    return OCHRE_OK;
}

ochre_status
och_scan_group_name(struct och_scan *scan, const char **name_out, size_t *size_out)
{
    size_t start = scan->at;
    uint32_t c = och_scan_peek(scan);
    for (; c != '>'; c = och_scan_peek(scan)) {
        if (c == OCH_SCAN_END)
            return och_scan_fail(scan, start, "no '>' is behind the group's name");
        bool allowed =
                scan->at == start ? och_unicode_begins_name(c) : och_unicode_continues_name(c);
        if (!allowed)
            return och_scan_fail(scan, scan->at, "a group's name cannot have this character");
        och_scan_skip(scan);
    }
    if (scan->at == start)
        return och_scan_fail(scan, start, "the group's name is empty");
    *name_out = scan->pattern + start;
    *size_out = scan->at - start;
    och_scan_skip(scan);
    return OCHRE_OK;
}

/* A number, with white space around it.  *n_out is how many digits it has. */
static ochre_status
read_number(struct och_scan *scan, uint32_t *value_out, size_t *n_out)
{
    skip_white(scan);
    size_t start = scan->at;
    uint64_t value = 0;
    size_t n = 0;
    for (uint32_t c = och_scan_peek(scan); c >= '0' && c <= '9'; c = och_scan_peek(scan)) {
        value = value * 10 + (c - '0');
        if (value > UINT32_MAX)
            return och_scan_fail(scan, start, "the number is too large");
        n++;
        och_scan_step(scan);
    }
    while (scan->at < scan->size && och_unicode_is_space(och_scan_peek(scan)))
        och_scan_step(scan);
    *value_out = (uint32_t) value;
    *n_out = n;
    return OCHRE_OK;
}

ochre_status
och_scan_count(struct och_scan *scan, struct och_scan_count *count_out)
{
    size_t open = scan->at;
    size_t n_least = 0;
    size_t n_most = 0;
    struct och_scan_count count = {.bounded = true};

    och_scan_step(scan);
    ochre_status status = read_number(scan, &count.least, &n_least);
    if (status != OCHRE_OK)
        return status;
    count.most = count.least;
    if (och_scan_peek(scan) == ',') {
        och_scan_step(scan);
        count.bounded = och_scan_peek(scan) != '}';
        if (count.bounded)
            status = read_number(scan, &count.most, &n_most);
        if (status != OCHRE_OK)
            return status;
        if (count.bounded && scan->at < scan->size && n_most == 0)
            return och_scan_fail(scan, scan->at, "a number is missing");
    }
    if (och_scan_peek(scan) != '}')
        return och_scan_fail(scan, open, "no '}' behind the count of repeats");
    if (n_least == 0)
        return och_scan_fail(scan, open, "the least count of repeats is missing");
    if (och_scan_step(scan) && och_scan_peek(scan) == '?')
        och_scan_skip(scan);
    if (count.bounded && count.least > count.most)
        return och_scan_fail(scan, open, "the least count of repeats is above the most");
    *count_out = count;
    return OCHRE_OK;
}
