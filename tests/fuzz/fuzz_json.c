/*
 * fuzz_json.c - any bytes, read as JSON in each of the ways there are.
 *
 * Oracles: a second recognizer, written in the plainest way from RFC 8259 and
 * the extra rules of base/json.h, accepts the same texts; the tree agrees with
 * the stream of tokens; printed and parsed again a tree prints the same; a
 * member is found by its name; skipping gives the same verdict; an array read as
 * floats has the values its tokens have; an error's message is UTF-8 and its
 * offset lies in the text; short of memory (shortage.h), the verdict is that or
 * the tree the same.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "fuzz/shortage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- the plain recognizer ---------------------------------------------- */

struct text {
    const char *next, *end;
};

static bool
take(struct text *text, char c)
{
    if (text->next == text->end || *text->next != c)
        return false;
    text->next++;
    return true;
}

static void
take_space(struct text *text)
{
    while (take(text, ' ') || take(text, '\t') || take(text, '\n') || take(text, '\r'))
        continue;
}

static bool
take_word(struct text *text, const char *word)
{
    for (; *word != '\0'; word++) {
        if (!take(text, *word))
            return false;
    }
    return true;
}

static bool
take_digits(struct text *text)
{
    const char *start = text->next;
    while (text->next < text->end && *text->next >= '0' && *text->next <= '9')
        text->next++;
    return text->next > start;
}

static bool
take_number(struct text *text)
{
    const char *start = text->next;
    (void) take(text, '-');
    if (!take(text, '0') && !take_digits(text))
        return false;
    if (take(text, '.') && !take_digits(text))
        return false;
    if (take(text, 'e') || take(text, 'E')) {
        if (!take(text, '-'))
            (void) take(text, '+');
        if (!take_digits(text))
            return false;
    }
    /* The input is not NUL-terminated; a number is short enough to copy. */
    size_t size = (size_t) (text->next - start);
    char *copy = malloc(size + 1);
    och_assert(copy != NULL);
    memcpy(copy, start, size);
    copy[size] = '\0';
    double value = strtod(copy, NULL);
    free(copy);
    return isfinite(value);
}

/* "uXXXX" without its u; the code unit, or -1. */
static int
take_unit(struct text *text)
{
    int unit = 0;
    for (int i = 0; i < 4; i++) {
        if (text->next == text->end)
            return -1;
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *digit = memchr(digits, *text->next, 32);
        if (digit == NULL)
            return -1;
        unit = unit * 16 + (int) (digit - digits) % 16;
        text->next++;
    }
    return unit;
}

static bool
take_escape(struct text *text)
{
    if (!take(text, 'u')) {
        if (text->next == text->end || memchr("\"\\/bfnrt", *text->next, 8) == NULL)
            return false;
        text->next++;
        return true;
    }
    int unit = take_unit(text);
    if (unit >= 0xd800 && unit <= 0xdbff) {
        if (!take(text, '\\') || !take(text, 'u'))
            return false;
        int low = take_unit(text);
        return low >= 0xdc00 && low <= 0xdfff;
    }
    return unit >= 0 && (unit < 0xdc00 || unit > 0xdfff);
}

static bool
take_string(struct text *text)
{
    if (!take(text, '"'))
        return false;
    const char *start = text->next;
    while (!take(text, '"')) {
        if (text->next == text->end || (unsigned char) *text->next < 0x20)
            return false;
        if (take(text, '\\')) {
            if (!take_escape(text))
                return false;
        } else {
            text->next++;
        }
    }
    return och_utf8_is_valid(start, (size_t) (text->next - start) - 1);
}

static bool
take_scalar(struct text *text)
{
    char c = text->next == text->end ? '\0' : *text->next;
    if (c == '"')
        return take_string(text);
    if (c == 't')
        return take_word(text, "true");
    if (c == 'f')
        return take_word(text, "false");
    if (c == 'n')
        return take_word(text, "null");
    return take_number(text);
}

/* "key":, with white space around it. */
static bool
take_key(struct text *text)
{
    take_space(text);
    if (!take_string(text))
        return false;
    take_space(text);
    return take(text, ':');
}

/* One value, with a byte a level for what is open. */
static bool
take_value(struct text *text)
{
    char open[OCH_JSON_DEPTH_MAX];
    size_t depth = 0;
    for (;;) {
        take_space(text);
        char c = text->next == text->end ? '\0' : *text->next;
        if (c == '{' || c == '[') {
            if (depth == OCH_JSON_DEPTH_MAX)
                return false;
            open[depth++] = c;
            text->next++;
            take_space(text);
            if (!take(text, c == '{' ? '}' : ']')) {
                if (c == '{' && !take_key(text))
                    return false;
                continue;
            }
            depth--;
        } else if (!take_scalar(text)) {
            return false;
        }
        /* A value is complete, and perhaps what it is in. */
        for (;;) {
            take_space(text);
            if (depth == 0)
                return true;
            if (take(text, ',')) {
                if (open[depth - 1] == '{' && !take_key(text))
                    return false;
                break;
            }
            if (!take(text, open[depth - 1] == '{' ? '}' : ']'))
                return false;
            depth--;
        }
    }
}

static bool
is_json(const char *bytes, size_t size)
{
    struct text text = {bytes, bytes + size};
    return take_value(&text) && text.next == text.end;
}

/* --- our readers ------------------------------------------------------- */

static void
put_scalar(struct och_buf *buf, const struct och_json_reader *reader)
{
    switch (reader->token) {
    case OCH_JSON_NULL:
        och_buf_put_text(buf, "null");
        break;
    case OCH_JSON_TRUE:
        och_buf_put_text(buf, "true");
        break;
    case OCH_JSON_FALSE:
        och_buf_put_text(buf, "false");
        break;
    case OCH_JSON_INT:
        och_json_put_int(buf, reader->integer);
        break;
    case OCH_JSON_UINT:
        och_json_put_uint(buf, reader->natural);
        break;
    case OCH_JSON_FLOAT:
        och_json_put_f64(buf, reader->number);
        break;
    case OCH_JSON_STRING:
    case OCH_JSON_KEY:
        och_assert(och_utf8_is_valid(reader->string.data, reader->string.size));
        och_json_put_string(buf, reader->string);
        break;
    case OCH_JSON_ERROR:
    case OCH_JSON_END:
    case OCH_JSON_BEGIN_OBJECT:
    case OCH_JSON_END_OBJECT:
    case OCH_JSON_BEGIN_ARRAY:
    case OCH_JSON_END_ARRAY:
        och_assert_failed("this token is a scalar", __FILE__, __LINE__);
    }
}

/* Write the stream of tokens as text; true when it came to its end. */
static bool
print_tokens(struct och_json_reader *reader, struct och_buf *buf)
{
    bool comma = false;
    for (;;) {
        och_json_token token = och_json_next(reader);
        if (token == OCH_JSON_ERROR || token == OCH_JSON_END)
            return token == OCH_JSON_END;
        if (token == OCH_JSON_END_OBJECT || token == OCH_JSON_END_ARRAY) {
            och_buf_put_u8(buf, token == OCH_JSON_END_OBJECT ? '}' : ']');
            comma = true;
            continue;
        }
        if (comma)
            och_buf_put_u8(buf, ',');
        comma = token != OCH_JSON_KEY && token != OCH_JSON_BEGIN_OBJECT &&
                token != OCH_JSON_BEGIN_ARRAY;
        if (token == OCH_JSON_BEGIN_OBJECT || token == OCH_JSON_BEGIN_ARRAY)
            och_buf_put_u8(buf, token == OCH_JSON_BEGIN_OBJECT ? '{' : '[');
        else
            put_scalar(buf, reader);
        if (token == OCH_JSON_KEY)
            och_buf_put_u8(buf, ':');
    }
}

/* Looking for the name of each of the first members finds the last so called. */
static void
check_get(const struct och_json *object)
{
    enum { MAX = 20 };
    size_t n = 0;
    for (const struct och_json *member = object->first; member != NULL; member = member->next) {
        const char *key = member->key.data; /* a copy in the arena: it ends with a NUL */
        if (key == NULL || strlen(key) != member->key.size || ++n > MAX)
            continue;
        const struct och_json *last = member;
        for (const struct och_json *other = member; other != NULL; other = other->next) {
            if (och_bytes_equal(other->key, member->key))
                last = other;
        }
        och_assert(och_json_get(object, key) == last);
    }
}

static bool
same(const struct och_buf *a, const struct och_buf *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

/* Parse `text`, print the tree into `out`. */
static bool
print_tree(struct och_arena *arena, const char *text, size_t size, struct och_buf *out)
{
    struct och_json *root;
    struct ochre_error err;
    och_buf_reset(out);
    ochre_status status = och_json_parse(arena, text, size, &root, &err);
    och_assert((status == OCHRE_OK) == (root != NULL));
    if (status != OCHRE_OK) {
        och_assert(status == OCHRE_INVALID);
        och_assert(och_utf8_is_valid(err.message, strlen(err.message)));
        return false;
    }
    check_get(root);
    och_json_put_tree(out, root);
    och_assert(och_buf_status(out) == OCHRE_OK);
    return true;
}

/* --- floats ------------------------------------------------------------ */

static void
check_float(float value, const struct och_json_reader *token)
{
    float direct = (float) token->number;
    /* The token was rounded twice: at most one float further, on a midpoint. */
    if (memcmp(&direct, &value, sizeof(value)) == 0)
        return;
    och_assert(value == nextafterf(direct, value) || (isinf(direct) && isfinite(value)));
    uint64_t bits;
    memcpy(&bits, &token->number, sizeof(bits));
    bool subnormal = fabsf(direct) < 2e-38f && fabsf(value) < 2e-38f;
    och_assert(subnormal || (bits & 0x1fffffff) == 0x10000000);
}

/* Read every array as floats as well, and go on with its tokens. */
static void
check_floats(struct och_arena *arena, const char *text, size_t size)
{
    enum { MAX = 64 };
    struct och_json_reader reader;
    och_json_init(&reader, arena, text, size);
    reader.skimming = true;
    for (;;) {
        och_json_token token = och_json_next(&reader);
        if (token == OCH_JSON_ERROR || token == OCH_JSON_END)
            return;
        if (token != OCH_JSON_BEGIN_ARRAY)
            continue;
        struct och_json_reader floats = reader, tokens = reader;
        float values[MAX];
        size_t n;
        bool overflow, some_overflow = false;
        bool all = och_json_read_floats(&floats, values, MAX, &n, &overflow);
        size_t n_numbers = 0;
        while (och_json_next(&tokens) == OCH_JSON_INT || tokens.token == OCH_JSON_UINT ||
                tokens.token == OCH_JSON_FLOAT) {
            if (n_numbers < MAX) {
                check_float(values[n_numbers], &tokens);
                some_overflow |= isinf(values[n_numbers]) != 0;
            }
            n_numbers++;
        }
        och_assert(n == n_numbers && floats.token == tokens.token);
        och_assert(all == (tokens.token == OCH_JSON_END_ARRAY));
        och_assert(floats.offset == tokens.offset && floats.next == tokens.next);
        och_assert(n > MAX || overflow == some_overflow);
    }
}

/* `full` is what the tree prints with enough memory; empty when it is refused. */
static void
check_short(struct shortage shortage, struct ochre_bytes text, const struct och_buf *full)
{
    struct och_mem mem, plenty;
    struct och_arena arena;
    struct och_json_reader reader;
    struct och_json *root;
    struct och_buf tree;
    struct ochre_error err;
    och_mem_init(&mem, NULL);
    och_mem_init(&plenty, NULL);
    och_arena_init(&arena, &mem);
    och_buf_init(&tree, &plenty, SIZE_MAX / 2);

    fuzz_run_short(shortage, &arena);
    ochre_status status = och_json_parse(&arena, text.data, text.size, &root, &err);
    och_assert((status == OCHRE_OK) == (root != NULL));
    if (root != NULL) {
        och_json_put_tree(&tree, root);
        och_assert(same(&tree, full));
    }
    och_assert(status != OCHRE_INVALID || full->size == 0);

    /* What is left is for strings with escapes. */
    och_json_init(&reader, &arena, text.data, text.size);
    while (och_json_next(&reader) != OCH_JSON_ERROR && reader.token != OCH_JSON_END)
        continue;
    status = och_json_status(&reader, &err);
    och_assert(status == OCHRE_NO_MEMORY || (status == OCHRE_OK) == (full->size > 0));
    och_buf_clear(&tree);
    och_arena_clear(&arena);
    och_assert(och_mem_used(&mem) == 0 && och_mem_used(&plenty) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t data_size)
{
    struct ochre_bytes bytes;
    struct shortage shortage = fuzz_shortage(data, data_size, &bytes);
    const char *text = bytes.data;
    size_t size = bytes.size;
    struct och_mem mem;
    struct och_arena arena;
    struct och_buf tokens, tree, again;
    struct och_json_reader reader;

    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    och_buf_init(&tokens, &mem, SIZE_MAX / 2);
    och_buf_init(&tree, &mem, SIZE_MAX / 2);
    och_buf_init(&again, &mem, SIZE_MAX / 2);

    bool valid = is_json(text, size);
    och_json_init(&reader, &arena, text, size);
    och_assert(print_tokens(&reader, &tokens) == valid);
    och_assert(reader.offset <= size);
    och_assert((och_json_status(&reader, NULL) == OCHRE_OK) == valid);

    och_assert(print_tree(&arena, text, size, &tree) == valid);
    if (valid) {
        och_assert(same(&tokens, &tree));
        och_assert(print_tree(&arena, tree.data, tree.size, &again) && same(&tree, &again));
    }

    och_json_init(&reader, &arena, text, size);
    bool skipped = och_json_next(&reader) != OCH_JSON_ERROR && och_json_skip(&reader) &&
            och_json_next(&reader) == OCH_JSON_END;
    och_assert(skipped == valid);
    check_floats(&arena, text, size);
    if (!valid)
        och_buf_reset(&tree);
    if (shortage.kind != SHORTAGE_NONE)
        check_short(shortage, bytes, &tree);

    och_buf_clear(&tokens);
    och_buf_clear(&tree);
    och_buf_clear(&again);
    och_arena_clear(&arena);
    och_assert(och_mem_used(&mem) == 0);
    return 0;
}
