#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "support/check.h"

/* The sanitizers' heaps stop the program when asked for too much, unless told
 * to refuse as others do.  They ask these functions, if there are any. */
const char *__asan_default_options(void);
const char *__msan_default_options(void);
const char *__tsan_default_options(void);

static const char refuse[] = "allocator_may_return_null=1";

const char *
__asan_default_options(void)
{
    return refuse;
}

const char *
__msan_default_options(void)
{
    return refuse;
}

const char *
__tsan_default_options(void)
{
    return refuse;
}

static void
a_grant_is_charged_to_the_account_and_to_all_above_it(void **state)
{
    (void) state;
    struct och_mem process, database, request;
    och_mem_init(&process, NULL);
    och_mem_init(&database, &process);
    och_mem_init(&request, &process);
    void *a = och_mem_take(&database, 100);
    void *b = och_mem_take(&request, 11);
    check(a != NULL && b != NULL);
    check(och_mem_used(&database) == 100);
    check(och_mem_used(&request) == 11);
    check(och_mem_used(&process) == 111);
    och_mem_release(&database, a, 100);
    check(och_mem_used(&process) == 11);
    och_mem_release(&request, b, 11);
    check(och_mem_used(&process) == 0 && och_mem_used(&request) == 0);
}

static void
a_limit_is_reached_but_never_passed(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    mem.limit = 100;
    void *a = och_mem_take(&mem, 60);
    check(a != NULL);
    check(och_mem_take(&mem, 41) == NULL);
    void *b = och_mem_take(&mem, 40);
    check(b != NULL && och_mem_used(&mem) == 100);
    check(och_mem_take(&mem, 1) == NULL);
    check(och_mem_take(&mem, SIZE_MAX) == NULL);
    och_mem_release(&mem, a, 60);
    och_mem_release(&mem, b, 40);
    check(och_mem_used(&mem) == 0);
}

static void
a_refusal_further_up_leaves_no_charge_below(void **state)
{
    (void) state;
    struct och_mem process, database, collection;
    och_mem_init(&process, NULL);
    och_mem_init(&database, &process);
    och_mem_init(&collection, &database);
    process.limit = 10;
    check(och_mem_take(&collection, 11) == NULL);
    check(och_mem_take_zeroed(&collection, 11) == NULL);
    check(och_mem_take_aligned(&collection, 64, 11) == NULL);
    check(och_mem_take_apart(&collection, 1 << 20) == NULL);
    check(och_mem_used(&collection) == 0 && och_mem_used(&database) == 0);
    check(och_mem_used(&process) == 0);
}

static void
resizing_keeps_the_bytes_and_the_books(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    char *block = och_mem_resize(&mem, NULL, 0, 3);
    check(block != NULL);
    memcpy(block, "abc", 3);
    block = och_mem_resize(&mem, block, 3, 5000);
    check(block != NULL && memcmp(block, "abc", 3) == 0);
    check(och_mem_used(&mem) == 5000);
    block = och_mem_resize(&mem, block, 5000, 2);
    check(block != NULL && memcmp(block, "ab", 2) == 0);
    check(och_mem_used(&mem) == 2);
    och_mem_release(&mem, block, 2);
    check(och_mem_used(&mem) == 0);
}

static void
a_refused_growth_leaves_the_block_as_it_was(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    char *block = och_mem_take(&mem, 3);
    check(block != NULL);
    memcpy(block, "abc", 3);
    mem.limit = 10;
    check(och_mem_resize(&mem, block, 3, 11) == NULL);
    check(memcmp(block, "abc", 3) == 0 && och_mem_used(&mem) == 3);
    och_mem_release(&mem, block, 3);
}

/* Sizes no machine has: the account agrees, the heap does not. */
static void
what_the_heap_refuses_is_not_charged(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    size_t huge = SIZE_MAX / 2;
    check(och_mem_take(&mem, huge) == NULL);
    check(och_mem_take_zeroed(&mem, huge) == NULL);
    check(och_mem_take_aligned(&mem, 16, huge) == NULL);
    check(och_mem_take_apart(&mem, huge) == NULL);
    check(och_mem_used(&mem) == 0);
}

static void
zeroed_blocks_are_zero_and_aligned_ones_are_aligned(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    unsigned char *zeroed = och_mem_take_zeroed(&mem, 1000);
    check(zeroed != NULL);
    for (size_t i = 0; i < 1000; i++)
        check(zeroed[i] == 0);
    for (size_t alignment = 16; alignment <= 4096; alignment *= 2) {
        void *block = och_mem_take_aligned(&mem, alignment, 10);
        check(block != NULL && (uintptr_t) block % alignment == 0);
        och_mem_release(&mem, block, 10);
    }
    och_mem_release(&mem, zeroed, 1000);
    och_mem_release(&mem, NULL, 77);
    check(och_mem_used(&mem) == 0);
}

static void
blocks_apart_are_bytes_like_others(void **state)
{
    (void) state;
    static const size_t sizes[] = {1, 100, (128 << 10) - 1, 128 << 10, (128 << 10) + 1, 5 << 20};
    enum { n_sizes = sizeof(sizes) / sizeof(sizes[0]) };
    struct och_mem root, mem;
    och_mem_init(&root, NULL);
    och_mem_init(&mem, &root);
    unsigned char *blocks[n_sizes] = {NULL};
    size_t sum = 0;
    for (size_t i = 0; i < n_sizes; i++) {
        blocks[i] = och_mem_take_apart(&mem, sizes[i]);
        check(blocks[i] != NULL && (uintptr_t) blocks[i] % 64 == 0);
        memset(blocks[i], (int) i + 1, sizes[i]);
        sum += sizes[i];
        check(och_mem_used(&mem) == sum);
    }
#ifndef OCH_INSTRUMENTED
    check(och_mem_used_among_others(&mem) == sizes[0] + sizes[1]);
    check(och_mem_used_among_others(&root) == sizes[0] + sizes[1]);
#endif
    for (size_t i = 0; i < n_sizes; i++) {
        check(blocks[i][0] == i + 1 && blocks[i][sizes[i] - 1] == i + 1);
        och_mem_release_apart(&mem, blocks[i], sizes[i]);
    }
    och_mem_release_apart(&mem, NULL, 1 << 20);
    check(och_mem_used(&mem) == 0 && och_mem_used(&root) == 0);
    blocks[0] = och_mem_take(&mem, 100); /* nothing apart is left in the books */
    check(blocks[0] != NULL && och_mem_used_among_others(&root) == 100);
    och_mem_release(&mem, blocks[0], 100);
}

/* Resized from each size to each other, below, among and above those that are pages. */
static void
large_blocks_are_bytes_like_others(void **state)
{
    (void) state;
    static const size_t sizes[] = {7, (32 << 10) - 1, 32 << 10, 200 << 10, 256 << 10, 300 << 10,
            4 << 20, (4 << 20) + 1, 9 << 20};
    enum { n_sizes = sizeof(sizes) / sizeof(sizes[0]) };
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    for (size_t i = 0; i < n_sizes; i++) {
        for (size_t j = 0; j < n_sizes; j++) {
            size_t least = sizes[i] < sizes[j] ? sizes[i] : sizes[j];
            unsigned char *block = och_mem_take(&mem, sizes[i]);
            check(block != NULL);
            memset(block, 1, sizes[i]);
            block[least - 1] = 2;
            block = och_mem_resize(&mem, block, sizes[i], sizes[j]);
            check(block != NULL && och_mem_used(&mem) == sizes[j]);
            check(block[0] == 1 && block[least / 2] == 1 && block[least - 1] == 2);
            memset(block, 3, sizes[j]);
            och_mem_release(&mem, block, sizes[j]);
            block = och_mem_take_zeroed(&mem, sizes[j]);
            check(block != NULL);
            for (size_t k = 0; k < sizes[j]; k++)
                if (block[k] != 0)
                    fail_msg("byte %zu of %zu is not 0", k, sizes[j]);
            och_mem_release(&mem, block, sizes[j]);
            check(och_mem_used(&mem) == 0 && och_mem_used_among_others(&mem) == 0);
        }
    }
    unsigned char *small = och_mem_take(&mem, 100);
    check(small != NULL && och_mem_used_among_others(&mem) == 100);
    och_mem_release(&mem, small, 100);
}

#ifndef OCH_INSTRUMENTED
static void
the_system_has_a_block_apart_back_at_once(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    const size_t size = 1 << 20;
    char *block = och_mem_take_apart(&mem, size);
    check(block != NULL);
    unsigned char is_resident = 0;
    for (size_t at = 0; at < size; at += 65536) {
        block[at] = 1;
        check(mincore(block + at, 1, &is_resident) == 0 && (is_resident & 1) != 0);
    }
    och_mem_release_apart(&mem, block, size);
    for (size_t at = 0; at < size; at += 65536)
        check(mincore(block + at, 1, &is_resident) == -1 && errno == ENOMEM);
}
#endif

static void
a_test_can_refuse_one_grant_or_all_from_one_on(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    mem.fail_at = 2;
    void *blocks[3];
    for (size_t i = 0; i < 3; i++) {
        blocks[i] = och_mem_take(&mem, 1);
        check((blocks[i] == NULL) == (i == 1));
    }
    mem.fail_from = 5;
    void *fourth = och_mem_take(&mem, 1);
    check(fourth != NULL);
    check(och_mem_take(&mem, 1) == NULL);
    check(och_mem_take(&mem, 1) == NULL);
    /* Shrinking asks too, and may be refused. */
    check(och_mem_resize(&mem, fourth, 1, 1) == NULL);
    och_mem_release(&mem, fourth, 1);
    och_mem_release(&mem, blocks[0], 1);
    och_mem_release(&mem, blocks[2], 1);
    check(och_mem_used(&mem) == 0);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_grant_is_charged_to_the_account_and_to_all_above_it),
            cmocka_unit_test(a_limit_is_reached_but_never_passed),
            cmocka_unit_test(a_refusal_further_up_leaves_no_charge_below),
            cmocka_unit_test(resizing_keeps_the_bytes_and_the_books),
            cmocka_unit_test(a_refused_growth_leaves_the_block_as_it_was),
            cmocka_unit_test(what_the_heap_refuses_is_not_charged),
            cmocka_unit_test(zeroed_blocks_are_zero_and_aligned_ones_are_aligned),
            cmocka_unit_test(blocks_apart_are_bytes_like_others),
            cmocka_unit_test(large_blocks_are_bytes_like_others),
#ifndef OCH_INSTRUMENTED
            cmocka_unit_test(the_system_has_a_block_apart_back_at_once),
#endif
            cmocka_unit_test(a_test_can_refuse_one_grant_or_all_from_one_on),
    };
    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
