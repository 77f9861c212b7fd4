#include "base/json.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/json_internal.h"
#include "base/limits.h"
#include "base/number_internal.h"
#include "base/utf8.h"

/* What may come next, white space aside. */
enum state {
    VALUE,         /* a value: at the start, after a key, after a comma in an array */
    FIRST_ELEMENT, /* a value or "]" */
    FIRST_KEY,     /* a key or "}" */
    SEPARATOR,     /* a comma or the end of the container */
    FINISHED,      /* nothing */
    BROKEN,        /* whatever: there was an error */
};

/* --- containers -------------------------------------------------------- */

static bool
in_object(const struct och_json_reader *reader)
{
    unsigned level = reader->depth - 1;
    return (reader->in_object[level / 64] >> (level % 64) & 1) != 0;
}

static och_json_token
fail_as(struct och_json_reader *reader, ochre_status status, const char *at, const char *problem)
{
    reader->state = BROKEN;
    reader->status = status;
    reader->problem = problem;
    reader->offset = (size_t) (at - reader->start);
    return OCH_JSON_ERROR;
}

static och_json_token
fail(struct och_json_reader *reader, const char *at, const char *problem)
{
    return fail_as(reader, OCHRE_INVALID, at, problem);
}

static och_json_token
open_container(struct och_json_reader *reader, bool is_object)
{
    if (reader->depth == OCH_JSON_DEPTH_MAX)
        return fail(reader, reader->next, "nested deeper than 127 levels");
    unsigned level = reader->depth++;
    uint64_t bit = UINT64_C(1) << (level % 64);
    uint64_t *word = &reader->in_object[level / 64];
    *word = is_object ? *word | bit : *word & ~bit;
    reader->state = is_object ? FIRST_KEY : FIRST_ELEMENT;
    reader->next++;
    return is_object ? OCH_JSON_BEGIN_OBJECT : OCH_JSON_BEGIN_ARRAY;
}

/* A value is complete. */
static void
after_value(struct och_json_reader *reader)
{
    reader->state = reader->depth == 0 ? FINISHED : SEPARATOR;
}

static och_json_token
close_container(struct och_json_reader *reader)
{
    bool was_object = in_object(reader);
    reader->depth--;
    reader->next++;
    after_value(reader);
    return was_object ? OCH_JSON_END_OBJECT : OCH_JSON_END_ARRAY;
}

/* --- strings ----------------------------------------------------------- */

/* Four hexadecimal digits, or -1. */
static int32_t
read_hex4(const char *next, const char *end)
{
    if (end - next < 4)
        return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = next[i];
        int32_t digit = c >= '0' && c <= '9' ? c - '0'
                : c >= 'a' && c <= 'f'       ? c - 'a' + 10
                : c >= 'A' && c <= 'F'       ? c - 'A' + 10
                                             : -1;
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* What one escape means; the text after it. */
struct escape {
    const char *end; /* NULL: there is a problem */
    const char *problem;
    uint32_t code_point;
};

/* Read what follows "\u" at `next`: one code unit, or a pair of them. */
static struct escape
read_unicode_escape(const char *next, const char *end)
{
    int32_t unit = read_hex4(next, end);
    if (unit < 0)
        return (struct escape){.problem = "\\u without four hexadecimal digits"};
    next += 4;
    if (unit < 0xd800 || unit > 0xdfff)
        return (struct escape){.end = next, .code_point = (uint32_t) unit};
    int32_t low = -1;
    if (unit < 0xdc00 && end - next >= 6 && next[0] == '\\' && next[1] == 'u')
        low = read_hex4(next + 2, end);
    if (low < 0xdc00 || low > 0xdfff)
        return (struct escape){.problem = "lone surrogate"};
    uint32_t code_point = 0x10000 + ((uint32_t) (unit - 0xd800) << 10) + (uint32_t) (low - 0xdc00);
    return (struct escape){.end = next + 6, .code_point = code_point};
}

/* Read the escape at `next`, which is its backslash. */
static struct escape
read_escape(const char *next, const char *end)
{
    static const char names[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    next++;
    if (next < end && *next == 'u')
        return read_unicode_escape(next + 1, end);
    const char *name = next < end ? memchr(names, *next, sizeof(names) - 1) : NULL;
    if (name == NULL)
        return (struct escape){.problem = "unknown escape"};
    return (struct escape){.end = next + 1, .code_point = (uint32_t) meanings[name - names]};
}

/*
 * Decode the string from `text` to the quote at `end` into the arena: no escape
 * is shorter than what it means, so the text's length is room enough.  Skimming,
 * only look whether the escapes are valid.
 */
static och_json_token
decode_string(struct och_json_reader *reader, const char *text, const char *end)
{
    char *out = NULL;
    if (!reader->skimming) {
        out = och_arena_take(reader->arena, (size_t) (end - text));
        if (out == NULL)
            return fail_as(reader, OCHRE_NO_MEMORY, text, "out of memory");
        reader->string.data = out;
    }
    uint64_t high = 0;
    while (text < end) {
        const char *run_end = och_json_find_special(text, end, &high);
        if (out != NULL) {
            memcpy(out, text, (size_t) (run_end - text));
            out += run_end - text;
        }
        text = run_end;
        if (text == end)
            break;
        struct escape escape = read_escape(text, end);
        if (escape.end == NULL)
            return fail(reader, text, escape.problem);
        text = escape.end;
        if (out != NULL)
            out += och_utf8_put(out, escape.code_point);
    }
    if (out != NULL)
        reader->string.size = (size_t) (out - reader->string.data);
    return OCH_JSON_STRING;
}

/* Read the string whose opening quote is at `next`. */
static och_json_token
read_string(struct och_json_reader *reader)
{
    const char *text = reader->next + 1, *end = reader->end;
    uint64_t high = 0;
    bool escapes = false;
    const char *next = och_json_find_special(text, end, &high);
    while (next < end && *next == '\\') {
        escapes = true;
        /* Whatever is escaped does not end the string. */
        next = end - next > 2 ? och_json_find_special(next + 2, end, &high) : end;
    }
    size_t size = (size_t) (next - text);
    if (high != 0) {
        size_t valid = och_utf8_valid_size(text, size);
        if (valid < size)
            return fail(reader, text + valid, "not valid UTF-8");
    }
    if (next == end)
        return fail(reader, next, "string without closing quote");
    if (*next != '"')
        return fail(reader, next, "control character in a string");
    if (size > OCH_JSON_TOKEN_SIZE_MAX)
        return fail(reader, reader->next, "string too long");
    reader->next = next + 1;
    reader->string = (struct ochre_bytes){text, size};
    return escapes ? decode_string(reader, text, next) : OCH_JSON_STRING;
}

/* --- other scalars ----------------------------------------------------- */

static och_json_token
read_word(struct och_json_reader *reader, const char *word, och_json_token token)
{
    size_t size = strlen(word);
    if ((size_t) (reader->end - reader->next) < size || memcmp(reader->next, word, size) != 0)
        return fail(reader, reader->next, "expected a value");
    reader->next += size;
    return token;
}

/* An integer of more than 19 digits as u64, if it fits. */
static bool
read_20_digits(const struct och_number *number, uint64_t *value)
{
    if (number->exponent != 1)
        return false;
    uint64_t last = (uint64_t) (number->end[-1] - '0');
    return !__builtin_mul_overflow(number->mantissa, 10u, value) &&
            !__builtin_add_overflow(*value, last, value);
}

/* Is the number an integer that fits i64 or u64?  Sets what belongs to it. */
static bool
read_integer(
        struct och_json_reader *reader, const struct och_number *number, och_json_token *token_out)
{
    uint64_t value = number->mantissa;
    if (!number->integral || (number->truncated && !read_20_digits(number, &value)))
        return false;
    if (number->negative) {
        if (value > UINT64_C(1) << 63)
            return false;
        reader->integer = (int64_t) (0 - value);
        reader->number = -(double) value;
        *token_out = OCH_JSON_INT;
        return true;
    }
    reader->number = (double) value;
    if (value <= INT64_MAX) {
        reader->integer = (int64_t) value;
        *token_out = OCH_JSON_INT;
    } else {
        reader->natural = value;
        *token_out = OCH_JSON_UINT;
    }
    return true;
}

static och_json_token
read_number(struct och_json_reader *reader)
{
    struct och_number number = och_number_scan(reader->next, reader->end);
    if (number.end == NULL)
        return fail(reader, reader->next, "not a number");
    if ((size_t) (number.end - number.start) > OCH_JSON_TOKEN_SIZE_MAX)
        return fail(reader, reader->next, "number too long");
    och_json_token token = OCH_JSON_FLOAT;
    if (!read_integer(reader, &number, &token)) {
        reader->number = och_number_f64(&number);
        if (isinf(reader->number))
            return fail(reader, reader->next, "number beyond the range of a double");
    }
    reader->next = number.end;
    return token;
}

/* --- tokens ------------------------------------------------------------ */

static inline const char *
skip_space(const char *next, const char *end)
{
    while (next < end && (*next == ' ' || *next == '\n' || *next == '\r' || *next == '\t'))
        next++;
    return next;
}

static och_json_token
read_scalar(struct och_json_reader *reader)
{
    switch (*reader->next) {
    case '"':
        return read_string(reader);
    case 't':
        return read_word(reader, "true", OCH_JSON_TRUE);
    case 'f':
        return read_word(reader, "false", OCH_JSON_FALSE);
    case 'n':
        return read_word(reader, "null", OCH_JSON_NULL);
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return read_number(reader);
    default:
        return fail(reader, reader->next, "expected a value");
    }
}

static och_json_token
read_value(struct och_json_reader *reader)
{
    if (reader->next == reader->end)
        return fail(reader, reader->next, "expected a value, not the end of the text");
    if (*reader->next == '{' || *reader->next == '[')
        return open_container(reader, *reader->next == '{');
    och_json_token token = read_scalar(reader);
    if (token != OCH_JSON_ERROR)
        after_value(reader);
    return token;
}

static och_json_token
read_key(struct och_json_reader *reader)
{
    if (reader->next == reader->end || *reader->next != '"')
        return fail(reader, reader->next, "expected a key in quotes");
    if (read_string(reader) == OCH_JSON_ERROR)
        return OCH_JSON_ERROR;
    const char *next = skip_space(reader->next, reader->end);
    if (next == reader->end || *next != ':')
        return fail(reader, next, "expected a colon");
    reader->next = next + 1;
    reader->state = VALUE;
    return OCH_JSON_KEY;
}

/* After a value inside a container. */
static och_json_token
read_separator(struct och_json_reader *reader)
{
    bool object = in_object(reader);
    char c = reader->next == reader->end ? '\0' : *reader->next;
    if (c == (object ? '}' : ']'))
        return close_container(reader);
    if (c != ',')
        return fail(
                reader, reader->next, object ? "expected a comma or }" : "expected a comma or ]");
    reader->next = skip_space(reader->next + 1, reader->end);
    reader->offset = (size_t) (reader->next - reader->start);
    return object ? read_key(reader) : read_value(reader);
}

/* Is the next byte `c`? */
static bool
at(const struct och_json_reader *reader, char c)
{
    return reader->next < reader->end && *reader->next == c;
}

static och_json_token
read_token(struct och_json_reader *reader)
{
    switch ((enum state) reader->state) {
    case VALUE:
        return read_value(reader);
    case FIRST_ELEMENT:
        return at(reader, ']') ? close_container(reader) : read_value(reader);
    case FIRST_KEY:
        return at(reader, '}') ? close_container(reader) : read_key(reader);
    case SEPARATOR:
        return read_separator(reader);
    case FINISHED:
        if (reader->next == reader->end)
            return OCH_JSON_END;
        return fail(reader, reader->next, "text after the document");
    case BROKEN:
        break;
    }
    return OCH_JSON_ERROR;
}

void
och_json_init(
        struct och_json_reader *reader, struct och_arena *arena, const char *text, size_t size)
{
    *reader = (struct och_json_reader){.arena = arena, .state = VALUE};
    reader->start = size == 0 ? "" : text;
    reader->next = reader->start;
    reader->end = reader->start + size;
    reader->string.data = "";
}

och_json_token
och_json_next(struct och_json_reader *reader)
{
    if (reader->state != BROKEN) {
        reader->next = skip_space(reader->next, reader->end);
        reader->offset = (size_t) (reader->next - reader->start);
    }
    reader->token = read_token(reader);
    return reader->token;
}

bool
och_json_skip(struct och_json_reader *reader)
{
    och_json_token token = reader->token;
    unsigned depth = reader->depth;
    bool skimming = reader->skimming;
    reader->skimming = true;
    if (token == OCH_JSON_KEY)
        token = och_json_next(reader);
    else if (token == OCH_JSON_BEGIN_OBJECT || token == OCH_JSON_BEGIN_ARRAY)
        depth--;
    while (token != OCH_JSON_ERROR && reader->depth > depth)
        token = och_json_next(reader);
    reader->skimming = skimming;
    return token != OCH_JSON_ERROR;
}

/* --- floats ------------------------------------------------------------ */

/* Read one number as f32.  NULL when there is none, or a syntax error: then the
 * reader of tokens, which knows what to say, gets to see it. */
static const char *
read_float(const char *next, const char *end, float *out)
{
    if (end - next >= OCH_QUICK_SIZE) {
        struct och_quick_number quick = och_number_scan_quick(next);
        if (quick.end != NULL) {
            uint32_t bits;
            if (och_number_quick_f32(quick.mantissa, quick.exponent, out))
                memcpy(&bits, out, sizeof(bits));
            else
                bits = och_number_nearest_f32(quick.mantissa, quick.exponent);
            /* Every other number is negative: as bits that is no branch. */
            bits |= (uint32_t) quick.negative << 31;
            memcpy(out, &bits, sizeof(bits));
            return quick.end;
        }
    }
    struct och_number number = och_number_scan(next, end);
    if (number.end == NULL)
        return NULL;
    *out = och_number_f32(&number);
    if (isinf(*out) && isinf(och_number_f64(&number)))
        return NULL;
    return number.end;
}

bool
och_json_read_floats(
        struct och_json_reader *reader, float *out, size_t max, size_t *n_out, bool *overflow_out)
{
    och_assert(reader->state == FIRST_ELEMENT);
    const char *next = skip_space(reader->next, reader->end), *end = reader->end;
    size_t n = 0;
    bool overflow = false, closed = next < end && *next == ']';
    while (!closed) {
        float value;
        const char *after = read_float(next, end, &value);
        if (after == NULL)
            break;
        if (n < max)
            out[n] = value;
        n++;
        overflow |= isinf(value) != 0;
        next = after;
        if (next < end && *next != ',')
            next = skip_space(next, end);
        reader->state = SEPARATOR;
        closed = next < end && *next == ']';
        if (next == end || *next != ',')
            break;
        reader->state = VALUE;
        next = skip_space(next + 1, end);
    }
    *n_out = n;
    *overflow_out = overflow;
    reader->next = next;
    och_json_token token = och_json_next(reader);
    return closed && token == OCH_JSON_END_ARRAY;
}

/* --- errors ------------------------------------------------------------ */

ochre_status
och_json_status(const struct och_json_reader *reader, struct ochre_error *err)
{
    if (reader->status == OCHRE_OK)
        return OCHRE_OK;
    if (reader->status == OCHRE_NO_MEMORY)
        return och_fail_memory(err);
    size_t line = 1;
    const char *line_start = reader->start, *at_error = reader->start + reader->offset;
    for (const char *c = reader->start; c < at_error; c++) {
        if (*c == '\n') {
            line++;
            line_start = c + 1;
        }
    }
    char path[OCH_JSON_PATH_SIZE];
    och_json_path(reader, path);
    return och_fail(err, OCHRE_INVALID,
            "invalid JSON at byte %zu (line %zu, column %zu, in %s): %s", reader->offset, line,
            (size_t) (at_error - line_start) + 1, path, reader->problem);
}
