#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "support/check.h"

static struct och_mem mem;
static struct och_buf buf;

static int
open_buffer(void **state)
{
    (void) state;
    och_mem_init(&mem, NULL);
    och_buf_init(&buf, &mem, 1 << 20);
    return 0;
}

static int
close_buffer(void **state)
{
    (void) state;
    och_buf_clear(&buf);
    return och_mem_used(&mem) == 0 ? 0 : -1;
}

/* What was written since the last call is `wanted`. */
static void
check_written(const char *wanted)
{
    check_ok(och_buf_status(&buf), NULL);
    och_buf_put_u8(&buf, '\0');
    assert_string_equal(buf.data, wanted);
    och_buf_reset(&buf);
}

static void
strings_are_quoted_and_escaped(void **state)
{
    (void) state;
    och_json_put_text(&buf, "");
    check_written("\"\"");
    och_json_put_text(&buf, "plain text, longer than sixteen bytes: / \x7f");
    check_written("\"plain text, longer than sixteen bytes: / \x7f\"");
    och_json_put_text(&buf, "\"quoted\" \\ back");
    check_written("\"\\\"quoted\\\" \\\\ back\"");
    och_json_put_text(&buf, "\b\f\n\r\t");
    check_written("\"\\b\\f\\n\\r\\t\"");
    och_json_put_text(&buf, "\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80");
    check_written("\"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80\"");
    och_json_put_string(&buf, (struct ochre_bytes){"a\0b", 3});
    check_written("\"a\\u0000b\"");
    och_json_put_string(&buf, (struct ochre_bytes){"", 0});
    check_written("\"\"");
}

static void
an_absent_string_is_null(void **state)
{
    (void) state;
    och_json_put_string(&buf, (struct ochre_bytes){NULL, 0});
    check_written("null");
}

static void
every_control_character_is_escaped(void **state)
{
    (void) state;
    for (unsigned c = 0; c < 0x20; c++) {
        char text[20];
        memset(text, 'x', sizeof(text));
        text[c % sizeof(text)] = (char) c;
        och_json_put_string(&buf, (struct ochre_bytes){text, sizeof(text)});
        check_ok(och_buf_status(&buf), NULL);
        for (size_t i = 0; i < buf.size; i++)
            check((unsigned char) buf.data[i] >= 0x20);
        bool short_form = strchr("\b\f\n\r\t", (int) c) != NULL && c != 0;
        check(buf.size == sizeof(text) + 2 + (short_form ? 1 : 5));
        och_buf_reset(&buf);
    }
}

static void
numbers_are_written_short_and_whole(void **state)
{
    (void) state;
    och_json_put_int(&buf, INT64_MIN);
    check_written("-9223372036854775808");
    och_json_put_uint(&buf, UINT64_MAX);
    check_written("18446744073709551615");
    och_json_put_f32(&buf, 3);
    check_written("3.0");
    och_json_put_f32(&buf, 0.1f);
    check_written("0.1");
    och_json_put_f64(&buf, (double) 0.1f);
    check_written("0.10000000149011612");
    och_json_put_f32(&buf, 3.4028235e38f);
    check_written("3.4028235e+38");
    och_json_put_f64(&buf, 1e-7);
    check_written("1e-7");
}

static void
what_is_not_finite_is_null(void **state)
{
    (void) state;
    och_json_put_f32(&buf, INFINITY);
    och_json_put_f32(&buf, -INFINITY);
    och_json_put_f32(&buf, NAN);
    och_json_put_f64(&buf, (double) INFINITY);
    och_json_put_f64(&buf, (double) -INFINITY);
    och_json_put_f64(&buf, (double) NAN);
    check_written("nullnullnullnullnullnull");
    struct och_json node = {.kind = OCH_JSON_KIND_FLOAT, .as = {.number = (double) NAN}};
    och_json_put_tree(&buf, &node);
    check_written("null");
}

static void
siblings_of_the_root_are_not_written(void **state)
{
    (void) state;
    struct och_json second = {.kind = OCH_JSON_KIND_NULL};
    struct och_json first = {.kind = OCH_JSON_KIND_ARRAY, .next = &second};
    och_json_put_tree(&buf, &first);
    check_written("[]");
    first.kind = OCH_JSON_KIND_BOOL;
    och_json_put_tree(&buf, &first);
    check_written("false");
}

/* Room that a number fits in exactly is enough. */
static void
the_buffers_maximum_is_used_up(void **state)
{
    (void) state;
    struct och_buf small;
    och_buf_init(&small, &mem, 5);
    och_json_put_text(&small, "abc");
    check(och_buf_status(&small) == OCHRE_OK && small.size == 5);
    och_buf_reset(&small);
    och_json_put_f32(&small, 1.25f);
    check(och_buf_status(&small) == OCHRE_OK && small.size == 4);
    och_json_put_int(&small, 12);
    check(och_buf_status(&small) == OCHRE_NO_MEMORY);
    och_buf_clear(&small);
}

static bool
write_some(struct och_mem *account)
{
    struct och_buf own;
    och_buf_init(&own, account, 1 << 20);
    for (int i = 0; i < 300; i++) {
        och_json_put_text(&own, "a \"quoted\" text\n");
        och_json_put_f32(&own, (float) i / 7);
        och_json_put_int(&own, i);
    }
    bool finished = och_buf_status(&own) == OCHRE_OK;
    och_buf_clear(&own);
    return finished;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(write_some);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(strings_are_quoted_and_escaped),
            cmocka_unit_test(an_absent_string_is_null),
            cmocka_unit_test(every_control_character_is_escaped),
            cmocka_unit_test(numbers_are_written_short_and_whole),
            cmocka_unit_test(what_is_not_finite_is_null),
            cmocka_unit_test(siblings_of_the_root_are_not_written),
            cmocka_unit_test(the_buffers_maximum_is_used_up),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
    };
    return cmocka_run_group_tests_name("json_write", tests, open_buffer, close_buffer);
}
