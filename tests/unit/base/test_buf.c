#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/size.h"
#include "support/check.h"

static struct och_mem mem;

static int
open_account(void **state)
{
    (void) state;
    och_mem_init(&mem, NULL);
    return 0;
}

static int
close_account(void **state)
{
    (void) state;
    return och_mem_used(&mem) == 0 ? 0 : -1;
}

static void
what_is_put_is_read_back(void **state)
{
    (void) state;
    struct och_buf buf;
    struct och_reader reader;
    och_buf_init(&buf, &mem, 1000);
    och_buf_put_u8(&buf, 0xfe);
    och_buf_put_u16(&buf, 0xfedc);
    och_buf_put_u32(&buf, 0xfedcba98);
    och_buf_put_u64(&buf, UINT64_C(0xfedcba9876543210));
    och_buf_put_f64(&buf, -0.1);
    och_buf_put_bytes(&buf, "abc", 3);
    och_buf_put_bytes(&buf, NULL, 0);
    och_buf_put_text(&buf, "xy");
    check(och_buf_status(&buf) == OCHRE_OK);
    check(buf.size == 1 + 2 + 4 + 8 + 8 + 7 + 4 + 2);

    och_reader_init(&reader, buf.data, buf.size);
    check(och_reader_u8(&reader) == 0xfe);
    check(och_reader_u16(&reader) == 0xfedc);
    check(och_reader_u32(&reader) == 0xfedcba98);
    check(och_reader_u64(&reader) == UINT64_C(0xfedcba9876543210));
    check(och_reader_f64(&reader) == -0.1);
    check(och_reader_u32(&reader) == 3);
    const char *bytes = och_reader_bytes(&reader, 3);
    check(bytes != NULL && memcmp(bytes, "abc", 3) == 0);
    check(och_reader_u32(&reader) == 0);
    check(och_reader_bytes(&reader, 0) != NULL);
    bytes = och_reader_bytes(&reader, 2);
    check(bytes != NULL && memcmp(bytes, "xy", 2) == 0);
    check(reader.left == 0 && !reader.failed);
    och_buf_clear(&buf);
}

static void
numbers_are_little_endian(void **state)
{
    (void) state;
    struct och_buf buf;
    och_buf_init(&buf, &mem, 100);
    och_buf_put_u32(&buf, 0x04030201);
    check(buf.size == 4 && memcmp(buf.data, "\1\2\3\4", 4) == 0);
    char bytes[9] = {0};
    och_store_u64(bytes + 1, UINT64_C(0x0807060504030201));
    check(memcmp(bytes, "\0\1\2\3\4\5\6\7\10", 9) == 0);
    check(och_load_u64(bytes + 1) == UINT64_C(0x0807060504030201));
    och_store_u32(bytes + 3, 0xaabbccdd);
    check(och_load_u32(bytes + 3) == 0xaabbccdd);
    och_buf_clear(&buf);
}

static void
reading_past_the_end_gives_zero_and_is_noticed(void **state)
{
    (void) state;
    static const char bytes[] = {1, 2, 3, 4, 5, 6, 7};
    struct och_reader reader;
    och_reader_init(&reader, bytes, sizeof(bytes));
    check(och_reader_u64(&reader) == 0 && reader.failed);
    /* Nothing comes after a failure, not even what would have fitted. */
    check(och_reader_u8(&reader) == 0 && och_reader_u16(&reader) == 0);
    check(och_reader_u32(&reader) == 0 && och_reader_f64(&reader) == 0);
    check(och_reader_bytes(&reader, 1) == NULL && reader.left == 0);
}

static void
padding_is_zero_up_to_the_next_multiple(void **state)
{
    (void) state;
    struct och_buf buf;
    och_buf_init(&buf, &mem, 100);
    och_buf_pad(&buf, 8);
    check(buf.size == 0);
    och_buf_put_text(&buf, "abc");
    och_buf_pad(&buf, 8);
    check(buf.size == 8 && memcmp(buf.data, "abc\0\0\0\0\0", 8) == 0);
    och_buf_pad(&buf, 8);
    check(buf.size == 8);
    och_buf_clear(&buf);
}

static void
the_maximum_is_reached_but_never_passed(void **state)
{
    (void) state;
    struct och_buf buf;
    och_buf_init(&buf, &mem, 300);
    for (int i = 0; i < 300; i++)
        och_buf_put_u8(&buf, 'x');
    check(och_buf_status(&buf) == OCHRE_OK && buf.size == 300 && buf.room == 300);
    och_buf_put_u8(&buf, 'x');
    check(och_buf_status(&buf) == OCHRE_NO_MEMORY && buf.size == 300);

    /* The failure sticks until it is forgiven. */
    och_buf_put(&buf, NULL, 0);
    check(!och_buf_reserve(&buf, 0));
    check(och_buf_extend(&buf, 1) == NULL);
    och_buf_pad(&buf, 512);
    check(och_buf_status(&buf) == OCHRE_NO_MEMORY && buf.size == 300);
    och_buf_reset(&buf);
    check(och_buf_status(&buf) == OCHRE_OK && buf.size == 0 && buf.room == 300);
    check(!och_buf_reserve(&buf, SIZE_MAX));
    och_buf_clear(&buf);
    check(och_buf_status(&buf) == OCHRE_OK && buf.size_max == 300);
}

static void
a_small_maximum_holds_too(void **state)
{
    (void) state;
    struct och_buf buf;
    och_buf_init(&buf, &mem, 5);
    och_buf_put_text(&buf, "12345");
    check(och_buf_status(&buf) == OCHRE_OK && buf.room == 5);
    och_buf_put_u8(&buf, '6');
    check(och_buf_status(&buf) == OCHRE_NO_MEMORY);
    och_buf_clear(&buf);
    och_buf_init(&buf, &mem, 0);
    check(och_buf_reserve(&buf, 0) && !och_buf_reserve(&buf, 1));
    och_buf_clear(&buf);
}

static void
growing_keeps_what_was_written(void **state)
{
    (void) state;
    struct och_buf buf;
    uint64_t seed = 4, again = 4;
    och_buf_init(&buf, &mem, 1 << 20);
    for (int i = 0; i < 10000; i++)
        och_buf_put_u64(&buf, och_random(&seed));
    check(och_buf_status(&buf) == OCHRE_OK);
    for (size_t i = 0; i < 10000; i++)
        check(och_load_u64(buf.data + 8 * i) == och_random(&again));
    och_buf_clear(&buf);
}

static void
sizes_that_wrap_are_noticed(void **state)
{
    (void) state;
    size_t out;
    check(och_size_add(SIZE_MAX - 1, 1, &out) && out == SIZE_MAX);
    check(!och_size_add(SIZE_MAX, 1, &out));
    check(och_size_mul(SIZE_MAX / 2, 2, &out) && out == SIZE_MAX - 1);
    check(!och_size_mul(SIZE_MAX / 2 + 1, 2, &out));
    check(och_size_align(0, 16) == 0 && och_size_align(1, 16) == 16);
    check(och_size_align(16, 16) == 16 && och_size_align(17, 16) == 32);
}

/* A refused growth is remembered, and leaves the bytes written before it. */
static bool
write_much(struct och_mem *account)
{
    struct och_buf buf;
    och_buf_init(&buf, account, 1 << 20);
    for (uint32_t i = 0; i < 5000; i++)
        och_buf_put_u32(&buf, i);
    for (uint32_t i = 0; i < buf.size / 4; i++)
        check(och_load_u32(buf.data + (size_t) 4 * i) == i);
    bool finished = och_buf_status(&buf) == OCHRE_OK;
    check(!finished || buf.size == 20000);
    och_buf_clear(&buf);
    return finished;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(write_much);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_is_put_is_read_back),
            cmocka_unit_test(numbers_are_little_endian),
            cmocka_unit_test(reading_past_the_end_gives_zero_and_is_noticed),
            cmocka_unit_test(padding_is_zero_up_to_the_next_multiple),
            cmocka_unit_test(the_maximum_is_reached_but_never_passed),
            cmocka_unit_test(a_small_maximum_holds_too),
            cmocka_unit_test(growing_keeps_what_was_written),
            cmocka_unit_test(sizes_that_wrap_are_noticed),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
    };
    return cmocka_run_group_tests_name("buf", tests, open_account, close_account);
}
