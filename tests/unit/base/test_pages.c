#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/pages.h"
#include "support/check.h"

#define KIB ((size_t) 1 << 10)
#define MIB ((size_t) 1 << 20)

/* Leave nothing to the next test. */
static int
empty(void **state)
{
    (void) state;
    for (int i = 0; i <= OCH_PAGES_LOOKS; i++)
        och_pages_look();
    check(och_pages_kept() == 0);
    return 0;
}

static char *
take(size_t size)
{
    bool is_zeroed = false;
    char *block = och_pages_take(size, &is_zeroed);
    check(block != NULL && (uintptr_t) block % 4096 == 0);
    for (size_t i = 0; is_zeroed && i < size; i += 1021)
        check(block[i] == 0);
    memset(block, 'x', och_pages_room(size));
    return block;
}

static void
a_block_has_room_for_the_next_power_of_two(void **state)
{
    (void) state;
    check(och_pages_room(1) == 32 * KIB && och_pages_room(32 * KIB) == 32 * KIB);
    check(och_pages_room(32 * KIB + 1) == 64 * KIB);
    check(och_pages_room(128 * KIB) == 128 * KIB);
    check(och_pages_room(128 * KIB + 1) == 256 * KIB);
    check(och_pages_room(4 * MIB - 1) == 4 * MIB);
    check(och_pages_room(4 * MIB) == 4 * MIB);
}

static void
the_next_who_asks_for_as_much_gets_what_was_given(void **state)
{
    (void) state;
    char *small = take(128 * KIB);
    char *large = take(3 * MIB);
    och_pages_give(small, 128 * KIB);
    och_pages_give(large, 3 * MIB);
    check(och_pages_kept() == 128 * KIB + 4 * MIB);
    bool is_zeroed = true;
    check(och_pages_take(4 * MIB, &is_zeroed) == large && !is_zeroed);
    check(och_pages_take(100 * KIB, &is_zeroed) == small && !is_zeroed);
    check(och_pages_kept() == 0);
    check(small[0] == 'x' && large[4 * MIB - 1] == 'x');
    och_pages_give(small, 128 * KIB);
    och_pages_give(large, 4 * MIB);
}

static void
all_goes_back_at_once(void **state)
{
    (void) state;
    och_pages_give(take(32 * KIB), 32 * KIB);
    och_pages_give(take(2 * MIB), 2 * MIB);
    check(och_pages_kept() == 32 * KIB + 2 * MIB);
    och_pages_drop();
    check(och_pages_kept() == 0);
}

/* How much address space there is in use, in bytes. */
static size_t
space_in_use(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    check(file != NULL && fscanf(file, "%lu", &pages) == 1);
    (void) fclose(file);
    return (size_t) pages * (size_t) sysconf(_SC_PAGESIZE);
}

/* 0: blocks of other sizes, which waited, went so that this one could be had. */
static int
take_with_little_space(size_t size)
{
    enum { n = 14 };
    void *blocks[n];
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    for (size_t i = 0; i < n; i++)
        blocks[i] = och_mem_take(&mem, 2 * MIB);
    for (size_t i = 0; i < n; i++)
        och_mem_release(&mem, blocks[i], 2 * MIB);
    size_t room = space_in_use() + MIB;
    struct rlimit limit = {.rlim_cur = room, .rlim_max = room};
    if (och_pages_kept() != n * 2 * MIB || setrlimit(RLIMIT_AS, &limit) != 0)
        return 2;
    void *block = och_mem_take(&mem, size);
    return block == NULL ? 1 : 0;
}

/* In a process of its own, since a limit cannot be raised again. */
static void
what_waits_goes_when_the_system_has_no_more(void **state)
{
    (void) state;
    static const size_t sizes[] = {3 * MIB, 100 * KIB, 9 * MIB};
#ifdef OCH_INSTRUMENTED
    skip(); /* no block is pages there, and the sanitizers take the address space */
#endif
    for (size_t i = 0; i < 3; i++) {
        int status = 0;
        pid_t child = fork();
        check(child >= 0);
        if (child == 0)
            _exit(take_with_little_space(sizes[i]));
        check(waitpid(child, &status, 0) == child);
        check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
}

static void
no_more_is_kept_than_is_allowed(void **state)
{
    (void) state;
    enum { n = 20 };
    char *large[n];
    char *small[n];
    for (size_t i = 0; i < n; i++) {
        large[i] = take(4 * MIB);
        small[i] = take(128 * KIB);
    }
    for (size_t i = 0; i < n; i++)
        och_pages_give(small[i], 128 * KIB);
    check(och_pages_kept() == 16 * 128 * KIB); /* of one size */
    for (size_t i = 0; i < n; i++) {
        och_pages_give(large[i], 4 * MIB);
        check(och_pages_kept() <= OCH_PAGES_KEPT_MAX);
    }
    check(och_pages_kept() > OCH_PAGES_KEPT_MAX - 4 * MIB);
}

/* One of three goes on being used. */
static void
what_nobody_takes_goes_back(void **state)
{
    (void) state;
    char *blocks[3] = {take(MIB), take(MIB), take(MIB)};
    for (size_t i = 0; i < 3; i++)
        och_pages_give(blocks[i], MIB);
    for (int i = 0; i < OCH_PAGES_LOOKS; i++) {
        och_pages_look();
        check(och_pages_kept() == 3 * MIB);
        char *block = take(MIB);
        check(block == blocks[0]);
        och_pages_give(block, MIB);
    }
    och_pages_look();
    check(och_pages_kept() == MIB);
    check(take(MIB) == blocks[0]);
    och_pages_give(blocks[0], MIB);
}

/* Each writes its name into what it holds. */
static atomic_bool ends;

static void *
take_and_give(void *argument)
{
    const unsigned char name = *(const unsigned char *) argument;
    for (size_t i = 0; i < 3000; i++) {
        size_t size = OCH_PAGES_SIZE_MIN << (i % 3);
        bool is_zeroed = false;
        unsigned char *block = och_pages_take(size, &is_zeroed);
        check(block != NULL && (!is_zeroed || block[size / 2] == 0));
        block[0] = block[size / 2] = block[size - 1] = name;
        check(block[0] == name && block[size / 2] == name && block[size - 1] == name);
        och_pages_give(block, size);
    }
    return NULL;
}

static void *
look(void *argument)
{
    (void) argument;
    while (!atomic_load(&ends))
        och_pages_look();
    return NULL;
}

static void
a_block_is_held_by_one_at_a_time(void **state)
{
    (void) state;
    enum { n = 4 };
    pthread_t threads[n], looker;
    unsigned char names[n];
    atomic_store(&ends, false);
    check(pthread_create(&looker, NULL, look, NULL) == 0);
    for (unsigned char i = 0; i < n; i++) {
        names[i] = (unsigned char) (i + 1);
        check(pthread_create(&threads[i], NULL, take_and_give, &names[i]) == 0);
    }
    for (size_t i = 0; i < n; i++)
        check(pthread_join(threads[i], NULL) == 0);
    atomic_store(&ends, true);
    check(pthread_join(looker, NULL) == 0);
    check(och_pages_kept() <= n * (128 + 256 + 512) * KIB);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_block_has_room_for_the_next_power_of_two),
            cmocka_unit_test_teardown(the_next_who_asks_for_as_much_gets_what_was_given, empty),
            cmocka_unit_test_teardown(all_goes_back_at_once, empty),
            cmocka_unit_test(what_waits_goes_when_the_system_has_no_more),
            cmocka_unit_test_teardown(no_more_is_kept_than_is_allowed, empty),
            cmocka_unit_test_teardown(what_nobody_takes_goes_back, empty),
            cmocka_unit_test_teardown(a_block_is_held_by_one_at_a_time, empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
