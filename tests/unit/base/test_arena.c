#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/random.h"
#include "support/check.h"

static void
a_new_arena_holds_no_memory(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_arena arena;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    check(och_mem_used(&mem) == 0);
    och_arena_clear(&arena);
    check(och_mem_used(&mem) == 0);
}

/* Fill every slice with its own byte; overlapping ones would spoil each other. */
static void
slices_of_any_size_are_aligned_and_apart(void **state)
{
    (void) state;
    enum { N = 3000 };
    static unsigned char *slices[N];
    static size_t sizes[N];
    struct och_mem mem;
    struct och_arena arena;
    uint64_t seed = 3;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    for (size_t i = 0; i < N; i++) {
        sizes[i] = (size_t) och_random_below(&seed, i % 50 == 0 ? 20000 : 200);
        slices[i] = och_arena_take(&arena, sizes[i]);
        check(slices[i] != NULL && (uintptr_t) slices[i] % 16 == 0);
        memset(slices[i], (int) (i & 0xff), sizes[i]);
    }
    for (size_t i = 0; i < N; i++) {
        for (size_t k = 0; k < sizes[i]; k++)
            check(slices[i][k] == (i & 0xff));
    }
    check(och_mem_used(&mem) > 0);
    och_arena_clear(&arena);
    check(och_mem_used(&mem) == 0);
}

static void
a_large_request_does_not_waste_the_shared_block(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_arena arena;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    char *before = och_arena_take(&arena, 16);
    char *large = och_arena_take(&arena, 1 << 20);
    char *after = och_arena_take(&arena, 16);
    check(before != NULL && large != NULL);
    check(after == before + 16);
    och_arena_clear(&arena);
}

static void
a_copy_has_a_nul_behind_it(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_arena arena;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    const char *copy = och_arena_copy(&arena, "a\0b", 3);
    check(copy != NULL && memcmp(copy, "a\0b", 4) == 0);
    const char *empty = och_arena_copy(&arena, NULL, 0);
    check(empty != NULL && empty[0] == '\0');
    och_arena_clear(&arena);
}

static void
sizes_that_overflow_are_refused(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_arena arena;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    check(och_arena_take(&arena, SIZE_MAX) == NULL);
    check(och_arena_take(&arena, SIZE_MAX - 20) == NULL);
    check(och_arena_take_array(&arena, SIZE_MAX / 2, 3) == NULL);
    check(och_arena_copy(&arena, "", SIZE_MAX) == NULL);
    const uint64_t *array = och_arena_take_array(&arena, 10, sizeof(*array));
    check(array != NULL);
    och_arena_clear(&arena);
    check(och_mem_used(&mem) == 0);
}

static void
check_rewinding(struct och_mem *mem, struct och_arena *arena)
{
    static const size_t sizes[] = {1, 100, 5000, 3, 1u << 21, 40, 2000, 2000, 2000};
    enum { n_sizes = sizeof(sizes) / sizeof(sizes[0]) };
    struct och_arena_mark marks[n_sizes];
    size_t used[n_sizes];
    for (size_t i = 0; i < n_sizes; i++) {
        marks[i] = och_arena_mark(arena);
        used[i] = och_mem_used(mem);
        char *bytes = och_arena_take(arena, sizes[i]);
        check(bytes != NULL);
        memset(bytes, (int) i, sizes[i]);
    }
    for (size_t i = n_sizes; i > 0; i--) {
        och_arena_rewind(arena, &marks[i - 1]);
        check(och_mem_used(mem) == used[i - 1]);
        check(och_arena_take(arena, 10) != NULL);
        och_arena_rewind(arena, &marks[i - 1]);
    }
    check(och_mem_used(mem) == 0);
    och_arena_clear(arena);
}

static void
rewinding_gives_back_what_was_taken_since(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_arena arena;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    check_rewinding(&mem, &arena);
    check(!arena.is_apart);
    och_arena_init_apart(&arena, &mem);
    check_rewinding(&mem, &arena);
    check(arena.is_apart); /* after having been cleared too */
}

static bool
take_many(struct och_mem *mem)
{
    struct och_arena arena;
    bool finished = true;
    och_arena_init(&arena, mem);
    for (size_t i = 0; finished && i < 100; i++)
        finished = och_arena_take(&arena, i * i) != NULL && och_arena_copy(&arena, "x", 1) != NULL;
    och_arena_clear(&arena);
    return finished;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(take_many);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_new_arena_holds_no_memory),
            cmocka_unit_test(slices_of_any_size_are_aligned_and_apart),
            cmocka_unit_test(a_large_request_does_not_waste_the_shared_block),
            cmocka_unit_test(a_copy_has_a_nul_behind_it),
            cmocka_unit_test(sizes_that_overflow_are_refused),
            cmocka_unit_test(rewinding_gives_back_what_was_taken_since),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
