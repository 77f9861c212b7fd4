#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/utf8.h"
#include "support/check.h"

static struct och_mem mem;
static struct och_arena arena;

static int
open_arena(void **state)
{
    (void) state;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    return 0;
}

static int
close_arena(void **state)
{
    (void) state;
    och_arena_clear(&arena);
    return och_mem_used(&mem) == 0 ? 0 : -1;
}

/* The text in memory of exactly its size, so that reading past it is noticed. */
static const char *
exact(const char *text, size_t size)
{
    char *copy = och_mem_take(&mem, size + (size == 0));
    check(copy != NULL);
    memcpy(copy, text, size);
    return copy;
}

static void
release(const char *copy, size_t size)
{
    och_mem_release(&mem, (void *) (uintptr_t) copy, size + (size == 0));
}

/* --- tokens ------------------------------------------------------------ */

static void
put_bytes(struct och_buf *buf, const char *kind, struct ochre_bytes bytes)
{
    och_buf_put_text(buf, kind);
    och_buf_put(buf, bytes.data, bytes.size);
}

static void
put_token(struct och_buf *buf, const struct och_json_reader *reader)
{
    static const char *const words[] = {[OCH_JSON_ERROR] = "error",
            [OCH_JSON_END] = "end",
            [OCH_JSON_NULL] = "null",
            [OCH_JSON_TRUE] = "true",
            [OCH_JSON_FALSE] = "false",
            [OCH_JSON_INT] = "i",
            [OCH_JSON_UINT] = "u",
            [OCH_JSON_FLOAT] = "f",
            [OCH_JSON_STRING] = "s:",
            [OCH_JSON_KEY] = "k:",
            [OCH_JSON_BEGIN_OBJECT] = "{",
            [OCH_JSON_END_OBJECT] = "}",
            [OCH_JSON_BEGIN_ARRAY] = "[",
            [OCH_JSON_END_ARRAY] = "]"};
    och_buf_put_text(buf, words[reader->token]);
    if (reader->token == OCH_JSON_STRING || reader->token == OCH_JSON_KEY)
        put_bytes(buf, "", reader->string);
    else if (reader->token == OCH_JSON_INT)
        och_json_put_int(buf, reader->integer);
    else if (reader->token == OCH_JSON_UINT)
        och_json_put_uint(buf, reader->natural);
    else if (reader->token == OCH_JSON_FLOAT)
        och_json_put_f64(buf, reader->number);
}

/* All tokens of a document, with blanks between them. */
static void
check_tokens(const char *text, const char *wanted)
{
    struct och_json_reader reader;
    struct och_buf buf;
    size_t size = strlen(text);
    const char *copy = exact(text, size);
    och_buf_init(&buf, &mem, 1 << 20);
    och_json_init(&reader, &arena, copy, size);
    do {
        (void) och_json_next(&reader);
        if (buf.size > 0)
            och_buf_put_u8(&buf, ' ');
        put_token(&buf, &reader);
    } while (reader.token != OCH_JSON_END && reader.token != OCH_JSON_ERROR);
    och_buf_put_u8(&buf, '\0');
    check_ok(och_buf_status(&buf), NULL);
    assert_string_equal(buf.data, wanted);
    och_buf_clear(&buf);
    release(copy, size);
}

/* Read a whole document; the status, the message in *err. */
static ochre_status
read_all(const char *text, size_t size, struct ochre_error *err)
{
    struct och_json_reader reader;
    const char *copy = exact(text, size);
    och_json_init(&reader, &arena, copy, size);
    while (och_json_next(&reader) != OCH_JSON_END && reader.token != OCH_JSON_ERROR)
        continue;
    ochre_status status = och_json_status(&reader, err);
    check((status == OCHRE_OK) == (reader.token == OCH_JSON_END));
    release(copy, size);
    return status;
}

static void
check_refused(const char *text, const char *wanted)
{
    struct ochre_error err = {0};
    check_status(read_all(text, strlen(text), &err), OCHRE_INVALID, &err, __FILE__, __LINE__);
    if (strstr(err.message, wanted) == NULL)
        fail_msg("%s: \"%s\", wanted \"%s\"", text, err.message, wanted);
}

static void
a_document_is_a_stream_of_tokens(void **state)
{
    (void) state;
    check_tokens("{\"ids\": [\"a\"], \"n\": 1}", "{ k:ids [ s:a ] k:n i1 } end");
    check_tokens("[[],{},[{}],{\"a\":[]}]", "[ [ ] { } [ { } ] { k:a [ ] } ] end");
    check_tokens("[true,false,null,\"\",1.5]", "[ true false null s: f1.5 ] end");
    check_tokens("{\"a\":1,\"a\":2}", "{ k:a i1 k:a i2 } end");
    check_tokens("\"x\"", "s:x end");
    check_tokens("null", "null end");
}

static void
white_space_may_stand_between_any_tokens(void **state)
{
    (void) state;
    check_tokens(
            " \t\r\n{ \"a\" :\n[ 1 ,\r2 ] ,\t\"b\": { } } \n", "{ k:a [ i1 i2 ] k:b { } } end");
    check_tokens(" 7 ", "i7 end");
    check_refused("\v1", "expected a value");
    check_refused("[1,\f2]", "expected a value");
    check_refused("[1\xc2\xa0]", "expected a comma or ]");
}

static void
words_are_taken_whole(void **state)
{
    (void) state;
    static const char *const texts[] = {"t", "tru", "True", "fals", "nul", "NULL", "nil",
            "undefined", "NaN", "Infinity", "-Infinity", "'a'", "a", "\xef\xbb\xbf{}", "/**/1",
            "//\n1", "?"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        check(read_all(texts[i], strlen(texts[i]), NULL) == OCHRE_INVALID);
    check_refused("truex", "text after the document");
    check_refused("[nullnull]", "expected a comma or ]");
}

static void
integers_are_told_from_floats(void **state)
{
    (void) state;
    check_tokens("0", "i0 end");
    check_tokens("-0", "i0 end");
    check_tokens("-0.0", "f-0.0 end");
    check_tokens("1.0", "f1.0 end");
    check_tokens("1E5", "f100000.0 end");
    check_tokens("9223372036854775807", "i9223372036854775807 end");
    check_tokens("9223372036854775808", "u9223372036854775808 end");
    check_tokens("18446744073709551615", "u18446744073709551615 end");
    check_tokens("18446744073709551616", "f1.8446744073709552e+19 end");
    check_tokens("28446744073709551615", "f2.844674407370955e+19 end");
    check_tokens("184467440737095516150", "f1.844674407370955e+20 end");
    check_tokens("-9223372036854775808", "i-9223372036854775808 end");
    check_tokens("-9223372036854775809", "f-9.223372036854776e+18 end");
    check_tokens("-18446744073709551615", "f-1.8446744073709552e+19 end");
    check_tokens("1e308", "f1e+308 end");
    check_tokens("1e-400", "f0.0 end");
}

static void
an_integer_is_also_there_as_a_number(void **state)
{
    (void) state;
    struct och_json_reader reader;
    static const char text[] = "[-7,18446744073709551615,-0]";
    och_json_init(&reader, &arena, text, sizeof(text) - 1);
    check(och_json_next(&reader) == OCH_JSON_BEGIN_ARRAY);
    check(och_json_next(&reader) == OCH_JSON_INT && reader.number == -7);
    check(och_json_next(&reader) == OCH_JSON_UINT && reader.number == 18446744073709551615.0);
    check(och_json_next(&reader) == OCH_JSON_INT && reader.number == 0 && signbit(reader.number));
}

static void
malformed_numbers_are_refused(void **state)
{
    (void) state;
    static const char *const texts[] = {
            "-", "01", "-01", "1.", "1.e5", "1e", "1e+", "-x", "[-]", "[1.,2]", "00"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        check_refused(texts[i], "not a number");
    check_refused("+1", "expected a value");
    check_refused(".5", "expected a value");
    check_refused("1x", "text after the document");
}

static void
numbers_beyond_a_double_are_refused(void **state)
{
    (void) state;
    check_tokens("1.7976931348623157e308", "f1.7976931348623157e+308 end");
    check_refused("1e400", "beyond the range of a double");
    check_refused("-1e400", "beyond the range of a double");
    check_refused("1.7976931348623159e308", "beyond the range of a double");
}

/* --- strings ----------------------------------------------------------- */

static void
a_plain_string_is_a_slice_of_the_input(void **state)
{
    (void) state;
    static const char text[] = "{\"key\":\"\xc3\xa9 plain \xe4\xb8\xad \x7f / \xf0\x9f\x98\x80\"}";
    struct och_json_reader reader;
    size_t used = och_mem_used(&mem);
    och_json_init(&reader, &arena, text, sizeof(text) - 1);
    check(och_json_next(&reader) == OCH_JSON_BEGIN_OBJECT);
    check(och_json_next(&reader) == OCH_JSON_KEY);
    check(reader.string.data == text + 2 && reader.string.size == 3);
    check(och_json_next(&reader) == OCH_JSON_STRING);
    check(reader.string.data == text + 8 && reader.string.size == sizeof(text) - 11);
    check(och_json_next(&reader) == OCH_JSON_END_OBJECT);
    check(och_json_next(&reader) == OCH_JSON_END && och_json_next(&reader) == OCH_JSON_END);
    check(och_mem_used(&mem) == used);
}

static void
every_escape_means_its_character(void **state)
{
    (void) state;
    static const char text[] =
            "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u4e2D\\ud83d\\uDe00\\u0000x\"";
    static const char wanted[] = "\"\\/\b\f\n\r\tA\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\0x";
    struct och_json_reader reader;
    och_json_init(&reader, &arena, text, sizeof(text) - 1);
    check(och_json_next(&reader) == OCH_JSON_STRING);
    check(reader.string.size == sizeof(wanted) - 1);
    check(memcmp(reader.string.data, wanted, sizeof(wanted) - 1) == 0);
    check(och_json_next(&reader) == OCH_JSON_END);
    check_tokens("{\"\\u006b\\n\":\"\\\\\"}", "{ k:k\n s:\\ } end");
}

static void
every_code_unit_is_read_or_refused(void **state)
{
    (void) state;
    for (uint32_t unit = 0; unit <= 0xffff; unit++) {
        char text[16], wanted[4];
        int size =
                snprintf(text, sizeof(text), unit % 2 == 0 ? "\"\\u%04x\"" : "\"\\u%04X\"", unit);
        struct och_json_reader reader;
        och_json_init(&reader, &arena, text, (size_t) size);
        och_json_token token = och_json_next(&reader);
        if (unit >= 0xd800 && unit <= 0xdfff) {
            check(token == OCH_JSON_ERROR);
            continue;
        }
        size_t n = och_utf8_put(wanted, unit);
        check(token == OCH_JSON_STRING && reader.string.size == n);
        check(memcmp(reader.string.data, wanted, n) == 0);
    }
    och_arena_clear(&arena);
}

static void
damaged_escapes_are_refused(void **state)
{
    (void) state;
    static const char *const surrogates[] = {"\"\\ud800\"", "\"\\udc00\"", "\"\\ud800x\"",
            "\"\\ud800\\n\"", "\"\\ud800\\u0041\"", "\"\\ud800\\ud800\"", "\"\\udc00\\ud800\"",
            "\"\\ud800\\udbff\"", "\"\\ud800\\ue000\"", "\"\\ud83d\\ude0\"", "\"\\ud83d\\ude0g\""};
    for (size_t i = 0; i < sizeof(surrogates) / sizeof(surrogates[0]); i++)
        check_refused(surrogates[i], "lone surrogate");
    check_refused("\"\\u12g4\"", "hexadecimal");
    check_refused("\"\\u123\"", "hexadecimal");
    check_refused("\"\\u\"", "hexadecimal");
    check_refused("\"\\x41\"", "unknown escape");
    check_refused("\"\\'\"", "unknown escape");
    check_refused("\"ab\\", "without closing quote");
    check_refused("\"ab\\\"", "without closing quote");
    check_refused("\"", "without closing quote");
    check_refused("[\"a", "without closing quote");
    check_refused("\"\\n\xff\"", "UTF-8");
}

/* Whatever stands at whatever place of a string of whatever length. */
static void
each_byte_of_a_string_is_looked_at(void **state)
{
    (void) state;
    for (size_t size = 1; size <= 50; size++) {
        for (size_t place = 0; place < size; place++) {
            for (int byte = 0; byte < 256; byte++) {
                char text[52];
                memset(text, 'x', sizeof(text));
                text[0] = '"';
                text[size + 1] = '"';
                text[place + 1] = (char) byte;
                struct och_json_reader reader;
                och_json_init(&reader, &arena, text, size + 2);
                och_json_token token = och_json_next(&reader);
                if (byte == '"')
                    check(token == OCH_JSON_STRING && reader.string.size == place);
                else if (byte == '\\' || byte < 0x20 || byte >= 0x80)
                    check(token == OCH_JSON_ERROR || (byte == '\\' && place == size - 1));
                else
                    check(token == OCH_JSON_STRING && reader.string.size == size);
                if (token == OCH_JSON_ERROR && byte != '\\')
                    check(reader.offset == place + 1);
            }
        }
    }
}

static void
damaged_utf8_is_found_where_it_is(void **state)
{
    (void) state;
    check_refused("\"\xc3\"", "byte 1 ");
    check_refused("[\"abc\xc3\xa9\xe4\xb8\"]", "byte 7 ");
    check_refused("\"\xed\xa0\x80\"", "not valid UTF-8");
    check_refused("\"\xc0\x80\"", "not valid UTF-8");
    check_refused("\"\xf4\x90\x80\x80\"", "not valid UTF-8");
    check_refused("{\"\xff\":1}", "not valid UTF-8");
    check_refused("\"\xe4\xb8", "byte 1 ");
}

static void
strings_and_numbers_have_a_greatest_length(void **state)
{
    (void) state;
    struct ochre_error err;
    size_t size = (size_t) OCH_JSON_TOKEN_SIZE_MAX + 3;
    char *text = och_mem_take(&mem, size);
    check(text != NULL);
    memset(text, 'x', size);
    text[0] = '"';
    text[size - 2] = '"';
    struct och_json_reader reader;
    och_json_init(&reader, &arena, text, size - 1);
    check(och_json_next(&reader) == OCH_JSON_STRING);
    check(reader.string.size == OCH_JSON_TOKEN_SIZE_MAX);
    text[size - 2] = 'x';
    text[size - 1] = '"';
    och_json_init(&reader, &arena, text, size);
    check(och_json_next(&reader) == OCH_JSON_ERROR);
    check(och_json_status(&reader, &err) == OCHRE_INVALID);
    check(strstr(err.message, "string too long") != NULL);

    memset(text, '0', size);
    text[1] = '.';
    och_json_init(&reader, &arena, text, OCH_JSON_TOKEN_SIZE_MAX);
    check(och_json_next(&reader) == OCH_JSON_FLOAT && reader.number == 0);
    och_json_init(&reader, &arena, text, (size_t) OCH_JSON_TOKEN_SIZE_MAX + 1);
    check(och_json_next(&reader) == OCH_JSON_ERROR);
    och_mem_release(&mem, text, size);
}

/* --- structure and errors ---------------------------------------------- */

static void
depth_127_is_read_and_depth_128_is_refused(void **state)
{
    (void) state;
    char text[1000];
    for (unsigned kind = 0; kind < 3; kind++) {
        for (unsigned depth = 126; depth <= 128; depth++) {
            size_t size = 0;
            for (unsigned i = 0; i < depth; i++) {
                bool object = kind == 1 || (kind == 2 && i % 3 == 0);
                memcpy(text + size, object ? "{\"\":" : "[", object ? 4 : 1);
                size += object ? 4 : 1;
            }
            text[size++] = '1';
            for (unsigned i = depth; i > 0; i--)
                text[size++] = kind == 1 || (kind == 2 && (i - 1) % 3 == 0) ? '}' : ']';
            ochre_status status = read_all(text, size, NULL);
            check(status == (depth <= 127 ? OCHRE_OK : OCHRE_INVALID));
        }
    }
    check_tokens("[{\"a\":[1]},{\"b\":2}]", "[ { k:a [ i1 ] } { k:b i2 } ] end");
}

static void
malformed_structure_is_refused(void **state)
{
    (void) state;
    check_refused("", "expected a value, not the end of the text");
    check_refused("  ", "expected a value, not the end of the text");
    check_refused("[", "expected a value, not the end of the text");
    check_refused("[1", "expected a comma or ]");
    check_refused("[1,", "expected a value, not the end of the text");
    check_refused("[1,]", "expected a value");
    check_refused("[,1]", "expected a value");
    check_refused("[1 2]", "expected a comma or ]");
    check_refused("[1}", "expected a comma or ]");
    check_refused("]", "expected a value");
    check_refused("{", "expected a key in quotes");
    check_refused("{1:2}", "expected a key in quotes");
    check_refused("{\"a\"", "expected a colon");
    check_refused("{\"a\" 1}", "expected a colon");
    check_refused("{\"a\":", "expected a value, not the end of the text");
    check_refused("{\"a\":}", "expected a value");
    check_refused("{\"a\":1", "expected a comma or }");
    check_refused("{\"a\":1,", "expected a key in quotes");
    check_refused("{\"a\":1,}", "expected a key in quotes");
    check_refused("{\"a\":1]", "expected a comma or }");
    check_refused("{,}", "expected a key in quotes");
    check_refused("1 2", "text after the document");
    check_refused("{}}", "text after the document");
}

/* Between a whole document and nothing there is only error. */
static void
every_cut_of_a_document_is_refused(void **state)
{
    (void) state;
    static const char text[] =
            "{\"ids\":[\"a\\n\",\"\xc3\xa9\"],\"n\":[1.5e3,true,null,{\"x\":[]}]}";
    for (size_t size = 0; size < sizeof(text) - 1; size++)
        check(read_all(text, size, NULL) == OCHRE_INVALID);
    check(read_all(text, sizeof(text) - 1, NULL) == OCHRE_OK);
    check(read_all(text, sizeof(text), NULL) == OCHRE_INVALID);
}

static void
the_first_error_sticks(void **state)
{
    (void) state;
    struct och_json_reader reader;
    struct ochre_error err = {0};
    och_json_init(&reader, &arena, "[1,x,2]", 7);
    check(och_json_status(&reader, &err) == OCHRE_OK);
    check(och_json_next(&reader) == OCH_JSON_BEGIN_ARRAY);
    check(och_json_next(&reader) == OCH_JSON_INT);
    check(och_json_next(&reader) == OCH_JSON_ERROR);
    check(och_json_next(&reader) == OCH_JSON_ERROR);
    check(reader.token == OCH_JSON_ERROR && reader.offset == 3);
    check(!och_json_skip(&reader));
    check(och_json_status(&reader, &err) == OCHRE_INVALID && err.status == OCHRE_INVALID);
    check(och_json_status(&reader, NULL) == OCHRE_INVALID);
    assert_string_equal(
            err.message, "invalid JSON at byte 3 (line 1, column 4, in $[1]): expected a value");
}

static void
an_error_says_where_it_is(void **state)
{
    (void) state;
    check_refused(
            "{\n \"a\": [1,\n  2, {\"b\": x}]\n}", "byte 23 (line 3, column 12, in $.a[2].b): ");
    check_refused("x", "byte 0 (line 1, column 1, in $): ");
    check_refused("{\"a\":1 \"b\":2}", "byte 7 (line 1, column 8, in $): ");
    check_refused("{\"a\":{\"b\":2},\"c\":[[],[0],]}", "in $.c[2]): ");
    check_refused("{\"a\\u0062\":x}", "in $.a\\u0062): ");
    check_refused("[[[[[]]]],2,{\"\":tru}]", "in $[2].): ");
    check_refused("[true,\"s\",1.5,18446744073709551615,!]", "in $[4]): ");
}

static void
a_long_path_is_cut(void **state)
{
    (void) state;
    check_refused("{\"01234567890123456789012345678901234567890\":x}",
            "$.0123456789012345678901234567890123456789...): ");
    /* Not in the middle of a character: the message stays UTF-8. */
    check_refused("{\"012345678901234567890123456789012345678\xc3\xa9\":x}",
            "$.012345678901234567890123456789012345678...): ");
    struct ochre_error err = {0};
    char text[200];
    memset(text, '[', sizeof(text));
    check(read_all(text, sizeof(text), &err) == OCHRE_INVALID);
    check(strstr(err.message, "in $[0][0][0]") != NULL);
    check(strstr(err.message, "[0]...): nested deeper than 127 levels") != NULL);
}

/* --- passing over ------------------------------------------------------ */

static void
a_skipped_value_costs_no_memory(void **state)
{
    (void) state;
    static const char text[] = "{\"a\":[1,{\"b\":\"\\n\"},[]],\"c\":\"\\u0041\",\"d\":{},\"e\":5}";
    struct och_json_reader reader;
    size_t used = och_mem_used(&mem);
    och_json_init(&reader, &arena, text, sizeof(text) - 1);
    check(och_json_next(&reader) == OCH_JSON_BEGIN_OBJECT);
    check(och_json_next(&reader) == OCH_JSON_KEY);
    check(och_json_next(&reader) == OCH_JSON_BEGIN_ARRAY);
    check(och_json_skip(&reader) && reader.token == OCH_JSON_END_ARRAY);
    check(och_json_skip(&reader) && reader.token == OCH_JSON_END_ARRAY);
    check(och_json_next(&reader) == OCH_JSON_KEY && och_bytes_is(reader.string, "c"));
    check(och_json_skip(&reader) && reader.token == OCH_JSON_STRING);
    check(och_json_next(&reader) == OCH_JSON_KEY && och_bytes_is(reader.string, "d"));
    check(och_json_skip(&reader) && reader.token == OCH_JSON_END_OBJECT);
    check(och_json_next(&reader) == OCH_JSON_KEY && och_bytes_is(reader.string, "e"));
    check(och_json_next(&reader) == OCH_JSON_INT);
    check(och_json_skip(&reader) && reader.integer == 5);
    check(och_json_next(&reader) == OCH_JSON_END_OBJECT);
    check(och_json_next(&reader) == OCH_JSON_END && och_json_skip(&reader));
    check(och_mem_used(&mem) == used);
}

static void
a_skipped_value_is_still_checked(void **state)
{
    (void) state;
    static const char *const texts[] = {"[[1,2", "[[1,]]", "[{\"a\":\"\\ud800\"}]", "[[\"\xff\"]]",
            "[{\"a\"}]", "[[\"\\u12\"]]"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct och_json_reader reader;
        och_json_init(&reader, &arena, texts[i], strlen(texts[i]));
        check(och_json_next(&reader) == OCH_JSON_BEGIN_ARRAY);
        check(!och_json_skip(&reader) && reader.token == OCH_JSON_ERROR);
        check(och_json_status(&reader, NULL) == OCHRE_INVALID);
    }
}

/* --- floats ------------------------------------------------------------ */

struct floats {
    float values[8];
    size_t n;
    bool overflow, all;
};

static struct floats
read_floats(struct och_json_reader *reader, const char *text, size_t size, size_t max)
{
    struct floats floats = {.values = {9, 9, 9, 9, 9, 9, 9, 9}, .n = 77, .overflow = true};
    och_json_init(reader, &arena, text, size);
    check(och_json_next(reader) == OCH_JSON_BEGIN_ARRAY);
    floats.all = och_json_read_floats(reader, floats.values, max, &floats.n, &floats.overflow);
    return floats;
}

static void
an_array_of_numbers_is_read_at_once(void **state)
{
    (void) state;
    static const char text[] = "[1, -2.5 ,3e2,\n0.1,-0,1e-50,18446744073709551616 ]";
    struct och_json_reader reader;
    struct floats floats = read_floats(&reader, text, sizeof(text) - 1, 8);
    check(floats.all && floats.n == 7 && !floats.overflow);
    static const float wanted[] = {1, -2.5f, 300, 0.1f, -0.0f, 0, 18446744073709551616.0f, 9};
    check(memcmp(floats.values, wanted, sizeof(wanted)) == 0);
    check(reader.token == OCH_JSON_END_ARRAY && reader.depth == 0);
    check(reader.offset == sizeof(text) - 2);
    check(och_json_next(&reader) == OCH_JSON_END);
    floats = read_floats(&reader, "[ ]", 3, 8);
    check(floats.all && floats.n == 0 && reader.token == OCH_JSON_END_ARRAY);
    check(och_json_next(&reader) == OCH_JSON_END);
}

static void
numbers_beyond_the_maximum_are_counted_not_stored(void **state)
{
    (void) state;
    struct och_json_reader reader;
    struct floats floats = read_floats(&reader, "[1,2,3,4]", 9, 2);
    check(floats.all && floats.n == 4);
    check(floats.values[1] == 2 && floats.values[2] == 9);
}

static void
overflow_of_a_float_is_told_apart_from_an_error(void **state)
{
    (void) state;
    struct och_json_reader reader;
    struct floats floats = read_floats(&reader, "[1e39,1]", 8, 8);
    check(floats.all && floats.overflow && isinf(floats.values[0]));
    floats = read_floats(&reader, "[3.4028235e38,-3.4028235e38]", 28, 8);
    check(floats.all && !floats.overflow);
    /* As a double it would be a float's midpoint, which rounds up. */
    floats = read_floats(&reader, "[340282356779733661637539395458142568447.9]", 43, 8);
    check(floats.all && !floats.overflow);
    floats = read_floats(&reader, "[1,1e400]", 9, 8);
    check(!floats.all && floats.n == 1 && reader.token == OCH_JSON_ERROR && reader.offset == 3);
}

static void
an_element_that_is_no_number_stops_the_reading(void **state)
{
    (void) state;
    struct och_json_reader reader;
    struct floats floats = read_floats(&reader, "[1,\"a\",2]", 9, 8);
    check(!floats.all && floats.n == 1 && reader.token == OCH_JSON_STRING);
    check(och_bytes_is(reader.string, "a") && reader.offset == 3);
    check(och_json_next(&reader) == OCH_JSON_INT && reader.integer == 2);
    check(och_json_next(&reader) == OCH_JSON_END_ARRAY);
    floats = read_floats(&reader, "[null]", 6, 8);
    check(!floats.all && floats.n == 0 && reader.token == OCH_JSON_NULL);
    floats = read_floats(&reader, "[1, [2]]", 8, 8);
    check(!floats.all && reader.token == OCH_JSON_BEGIN_ARRAY && reader.depth == 2);
    check(och_json_status(&reader, NULL) == OCHRE_OK);
}

static void
errors_among_floats_are_found(void **state)
{
    (void) state;
    static const char *const texts[] = {"[", "[1", "[1,", "[1,]", "[1 2]", "[1,,2]", "[01]", "[1.]",
            "[1e]", "[-]", "[1}", "[.5]", "[1,2", "[1x]", "[1,2]x", "[-.5]", "[a.5]", "[1,..5]"};
    static const size_t offsets[] = {1, 2, 3, 3, 3, 3, 1, 1, 1, 1, 2, 1, 4, 2, 5, 1, 1, 3};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        /* Once near the end of the text, and once with the quick scanner's room. */
        for (size_t n_blanks = 0; n_blanks < 100; n_blanks += 60) {
            char text[120];
            int size = snprintf(text, sizeof(text), "%s%*s", texts[i], (int) n_blanks, "");
            struct och_json_reader reader;
            struct floats floats = read_floats(&reader, text, (size_t) size, 8);
            if (floats.all)
                check(och_json_next(&reader) == OCH_JSON_ERROR);
            check(reader.token == OCH_JSON_ERROR);
            check(reader.offset == offsets[i] || n_blanks > 0);
        }
    }
}

/* A random number of the lengths people send, and of others. */
static size_t
draw_number(char *text, size_t room, uint64_t *seed)
{
    static const char *const odd[] = {"0", "-0", "-0.0", "1e5", "1E+2", "12345678", "1234567.5",
            "0.00000000000000000000000000000000001", "1e-45", "123456789012345678901234567890",
            "1e38", "3.4028236e38", "1e39", "-1e-7", "0.5e-3", "1e+005", "16777217", "0.1e1",
            "100e-2"};
    float value = och_random_f32(seed);
    switch (och_random_below(seed, 8)) {
    case 0:
        return (size_t) snprintf(text, room, "%s", odd[och_random_below(seed, 19)]);
    case 1:
        return (size_t) snprintf(text, room, "%d", (int) och_random_below(seed, 512) - 256);
    case 2:
        return (size_t) snprintf(text, room, "%.17g", (double) value);
    case 3:
        return (size_t) snprintf(
                text, room, "%.*f", (int) och_random_below(seed, 25), (double) value);
    case 4:
        return (size_t) snprintf(
                text, room, "%.*f", (int) och_random_below(seed, 25), 1e6 * (double) value);
    case 5:
        return (size_t) snprintf(
                text, room, "%.*e", (int) och_random_below(seed, 20), (double) value);
    default:
        return (size_t) snprintf(text, room, "%.9g", (double) value);
    }
}

static void
floats_and_tokens_agree(void **state)
{
    (void) state;
    enum { N = 40, ROOM = 4096 };
    uint64_t seed = 30;
    for (int round = 0; round < 3000; round++) {
        char text[ROOM];
        size_t size = 0, n = (size_t) och_random_below(&seed, N);
        text[size++] = '[';
        for (size_t i = 0; i < n; i++) {
            if (i > 0)
                text[size++] = ',';
            if (och_random_below(&seed, 3) == 0)
                text[size++] = " \n\t\r"[och_random_below(&seed, 4)];
            size += draw_number(text + size, ROOM - size, &seed);
        }
        text[size++] = ']';
        const char *copy = exact(text, size);
        struct och_json_reader reader;
        float values[N];
        size_t n_read;
        bool overflow, some_overflow = false;
        och_json_init(&reader, &arena, copy, size);
        check(och_json_next(&reader) == OCH_JSON_BEGIN_ARRAY);
        check(och_json_read_floats(&reader, values, N, &n_read, &overflow) && n_read == n);

        och_json_init(&reader, &arena, copy, size);
        check(och_json_next(&reader) == OCH_JSON_BEGIN_ARRAY);
        for (size_t i = 0; i < n; i++) {
            och_json_token token = och_json_next(&reader);
            check(token == OCH_JSON_FLOAT || token == OCH_JSON_INT || token == OCH_JSON_UINT);
            /* What it is as f32, rounded once: this literal, by the C library. */
            float wanted = strtof(copy + reader.offset, NULL);
            if (memcmp(&values[i], &wanted, sizeof(wanted)) != 0)
                fail_msg("%.30s: %a, wanted %a", copy + reader.offset, (double) values[i],
                        (double) wanted);
            some_overflow |= isinf(wanted) != 0;
        }
        check(overflow == some_overflow);
        release(copy, size);
    }
}

/*
 * Decimals of about 53 bits right next to the midpoint between two floats: as a
 * double each is that midpoint, from which rounding once more goes astray.
 */
static void
no_float_is_rounded_twice(void **state)
{
    (void) state;
    uint64_t seed = 33;
    unsigned n_checked = 0;
    for (int round = 0; round < 50000; round++) {
        uint64_t odd = UINT64_C(1) << 24 | och_random(&seed) >> 40 | 1;
        double middle = ldexp((double) odd, -(int) och_random_below(&seed, 70));
        int n_fraction = (int) floor(log10(0x1p53 / middle));
        if (n_fraction < 1 || n_fraction > 22)
            continue;
        char text[120];
        int size = snprintf(text, sizeof(text), "[%.*f]%50s", n_fraction, middle, "");
        check(size > 50 && (size_t) size < sizeof(text));
        struct och_json_reader reader;
        struct floats floats = read_floats(&reader, text, (size_t) size, 8);
        float wanted = strtof(text + 1, NULL);
        if (!floats.all || floats.n != 1 || floats.values[0] != wanted)
            fail_msg("%s: %a, wanted %a", text, (double) floats.values[0], (double) wanted);
        n_checked++;
    }
    check(n_checked > 20000);
}

/* --- memory ------------------------------------------------------------ */

static bool
read_escapes(struct och_mem *account)
{
    struct och_arena decoded;
    struct och_json_reader reader;
    struct ochre_error err = {0};
    static const char text[] = "{\"a\\n\":\"\\u0041\",\"b\":[\"\\\\\"]}";
    char big[6000] = "\"\\n";
    memset(big + 3, 'x', sizeof(big) - 4);
    big[sizeof(big) - 1] = '"';

    och_arena_init(&decoded, account);
    och_json_init(&reader, &decoded, text, sizeof(text) - 1);
    while (och_json_next(&reader) != OCH_JSON_END && reader.token != OCH_JSON_ERROR)
        continue;
    ochre_status status = och_json_status(&reader, &err);
    if (status == OCHRE_OK) {
        och_json_init(&reader, &decoded, big, sizeof(big));
        (void) och_json_next(&reader);
        status = och_json_status(&reader, &err);
    }
    check(status == OCHRE_OK || (status == OCHRE_NO_MEMORY && err.status == OCHRE_NO_MEMORY));
    check(status == OCHRE_OK || och_json_next(&reader) == OCH_JSON_ERROR);
    och_arena_clear(&decoded);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(read_escapes);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_document_is_a_stream_of_tokens),
            cmocka_unit_test(white_space_may_stand_between_any_tokens),
            cmocka_unit_test(words_are_taken_whole),
            cmocka_unit_test(integers_are_told_from_floats),
            cmocka_unit_test(an_integer_is_also_there_as_a_number),
            cmocka_unit_test(malformed_numbers_are_refused),
            cmocka_unit_test(numbers_beyond_a_double_are_refused),
            cmocka_unit_test(a_plain_string_is_a_slice_of_the_input),
            cmocka_unit_test(every_escape_means_its_character),
            cmocka_unit_test(every_code_unit_is_read_or_refused),
            cmocka_unit_test(damaged_escapes_are_refused),
            cmocka_unit_test(each_byte_of_a_string_is_looked_at),
            cmocka_unit_test(damaged_utf8_is_found_where_it_is),
            cmocka_unit_test(strings_and_numbers_have_a_greatest_length),
            cmocka_unit_test(depth_127_is_read_and_depth_128_is_refused),
            cmocka_unit_test(malformed_structure_is_refused),
            cmocka_unit_test(every_cut_of_a_document_is_refused),
            cmocka_unit_test(the_first_error_sticks),
            cmocka_unit_test(an_error_says_where_it_is),
            cmocka_unit_test(a_long_path_is_cut),
            cmocka_unit_test(a_skipped_value_costs_no_memory),
            cmocka_unit_test(a_skipped_value_is_still_checked),
            cmocka_unit_test(an_array_of_numbers_is_read_at_once),
            cmocka_unit_test(numbers_beyond_the_maximum_are_counted_not_stored),
            cmocka_unit_test(overflow_of_a_float_is_told_apart_from_an_error),
            cmocka_unit_test(an_element_that_is_no_number_stops_the_reading),
            cmocka_unit_test(errors_among_floats_are_found),
            cmocka_unit_test(floats_and_tokens_agree),
            cmocka_unit_test(no_float_is_rounded_twice),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
    };
    return cmocka_run_group_tests_name("json", tests, open_arena, close_arena);
}
