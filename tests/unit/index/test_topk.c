#include <math.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/random.h"
#include "index/vector/topk.h"
#include "support/check.h"

static struct och_mem mem;
static struct och_arena arena;

static struct och_topk
make(uint32_t k, uint64_t n_candidates)
{
    struct och_topk best;
    check(och_topk_make(&best, &arena, k, n_candidates) == OCHRE_OK);
    return best;
}

static bool
offer(struct och_topk *best, float distance, uint64_t ordinal)
{
    return och_topk_offer(best, (struct och_near){.distance = distance, .ordinal = ordinal});
}

static void
a_new_list_is_empty_and_admits_everything(void **state)
{
    (void) state;
    struct och_topk best = make(3, 100);
    check(best.n == 0 && best.capacity == 3);
    check(och_topk_admits(&best, 0));
    check(och_topk_admits(&best, INFINITY));
    check(och_topk_admits(&best, -INFINITY));
    och_topk_sort(&best);
    check(best.n == 0);
}

static void
a_list_of_none_keeps_nothing(void **state)
{
    (void) state;
    struct och_topk none = make(0, 100);
    struct och_topk empty = make(100, 0);
    check(!och_topk_admits(&none, 0) && !och_topk_admits(&none, INFINITY));
    check(!offer(&none, 1, 1) && !offer(&none, -INFINITY, 1));
    check(!offer(&empty, 1, 1));
    och_topk_sort(&none);
    check(none.n == 0 && empty.n == 0);
}

static void
a_list_of_one_keeps_the_nearest(void **state)
{
    (void) state;
    struct och_topk best = make(1, 100);
    check(offer(&best, 2, 7));
    check(!och_topk_admits(&best, 2.5f));
    check(och_topk_admits(&best, 2));
    check(!offer(&best, 3, 1));
    check(offer(&best, 1, 9));
    check(best.n == 1 && best.items[0].ordinal == 9);
}

static void
what_a_candidate_carries_comes_back(void **state)
{
    (void) state;
    struct och_topk best = make(2, 2);
    struct och_near near = {.distance = -0.5f, .source = 3, .ordinal = UINT64_MAX, .row = 12};
    check(och_topk_offer(&best, near));
    och_topk_sort(&best);
    check(best.items[0].distance == -0.5f && best.items[0].source == 3);
    check(best.items[0].ordinal == UINT64_MAX && best.items[0].row == 12);
}

static void
ties_are_kept_and_sorted_by_insertion_order(void **state)
{
    (void) state;
    struct och_topk best = make(3, 100);
    for (uint64_t ordinal = 10; ordinal > 0; ordinal--)
        check(offer(&best, 1, ordinal));
    check(!offer(&best, 1, 4));
    och_topk_sort(&best);
    for (uint32_t i = 0; i < 3; i++)
        check(best.items[i].ordinal == i + 1);
}

static void
both_zeros_tie(void **state)
{
    (void) state;
    struct och_topk best = make(2, 3);
    check(offer(&best, -0.0f, 2));
    check(offer(&best, 0.0f, 1));
    check(offer(&best, -0.0f, 0));
    och_topk_sort(&best);
    check(best.items[0].ordinal == 0 && best.items[1].ordinal == 1);
}

static void
infinite_distances_are_ordered_like_others(void **state)
{
    (void) state;
    struct och_topk best = make(3, 5);
    check(offer(&best, INFINITY, 1));
    check(offer(&best, INFINITY, 2));
    check(offer(&best, 5, 3));
    check(och_topk_admits(&best, INFINITY));
    check(offer(&best, INFINITY, 0));
    check(offer(&best, -INFINITY, 9));
    och_topk_sort(&best);
    check(best.items[0].ordinal == 9 && best.items[1].ordinal == 3 && best.items[2].ordinal == 0);
}

static void
a_huge_k_costs_what_there_is_to_find(void **state)
{
    (void) state;
    struct och_topk best = make(UINT32_MAX, 5);
    check(best.capacity == 5);
    for (uint64_t ordinal = 0; ordinal < 5; ordinal++)
        check(offer(&best, 5 - (float) ordinal, ordinal));
    och_topk_sort(&best);
    for (uint32_t i = 0; i < 5; i++)
        check(best.items[i].ordinal == 4 - i);
}

static void
sorting_twice_changes_nothing(void **state)
{
    (void) state;
    struct och_topk best = make(4, 4);
    for (uint64_t ordinal = 0; ordinal < 4; ordinal++)
        check(offer(&best, (float) (ordinal * 3 % 4), ordinal));
    och_topk_sort(&best);
    och_topk_sort(&best);
    for (uint32_t i = 0; i < 4; i++)
        check(best.items[i].distance == (float) i);
}

static int
compare(const void *a, const void *b)
{
    const struct och_near *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

/* Many lists of all sizes with many ties, against sorting all and cutting. */
static void
random_work_agrees_with_sorting_everything(void **state)
{
    (void) state;
    enum { n_max = 600 };
    static struct och_near all[n_max];
    uint64_t seed = 11;
    for (size_t step = 0; step < 600; step++) {
        uint32_t n = (uint32_t) och_random_below(&seed, n_max + 1);
        uint32_t k = (uint32_t) och_random_below(&seed, step % 3 == 0 ? 10 : n_max + 50);
        uint64_t n_distances = 1 + och_random_below(&seed, step % 2 == 0 ? 5 : 100000);
        struct och_topk best = make(k, n);
        for (uint32_t i = 0; i < n; i++) {
            all[i] = (struct och_near){
                    .distance = (float) och_random_below(&seed, n_distances) - 2,
                    .ordinal = i * UINT64_C(7919) % n_max,
                    .row = i,
            };
            bool admits = och_topk_admits(&best, all[i].distance);
            bool kept = och_topk_offer(&best, all[i]);
            check(admits || !kept);
        }
        qsort(all, n, sizeof(all[0]), compare);
        och_topk_sort(&best);
        check(best.n == (k < n ? k : n));
        for (uint32_t i = 0; i < best.n; i++)
            check(best.items[i].row == all[i].row && best.items[i].distance == all[i].distance);
        och_arena_clear(&arena);
    }
}

static bool
fill(struct och_mem *account)
{
    struct och_arena own;
    och_arena_init(&own, account);
    struct och_topk best;
    ochre_status status = och_topk_make(&best, &own, 1000, 1000);
    if (status != OCHRE_OK) {
        /* A list that was refused is a list of none. */
        check(status == OCHRE_NO_MEMORY);
        check(best.n == 0 && !och_topk_admits(&best, 0) && !offer(&best, 0, 0));
    }
    och_arena_clear(&own);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(fill);
}

static int
start(void **state)
{
    (void) state;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    return 0;
}

static int
stop(void **state)
{
    (void) state;
    och_arena_clear(&arena);
    return och_mem_used(&mem) == 0 ? 0 : 1;
}

/* What one source offered is taken out and offered anew: as if it had offered once. */
static void
what_is_withdrawn_can_be_offered_anew(void **state)
{
    (void) state;
    uint64_t seed = 17;
    for (int round = 0; round < 300; round++) {
        uint32_t k = 1 + (uint32_t) och_random_below(&seed, 12);
        struct och_topk once = make(k, 1000), twice = make(k, 1000);
        struct och_near offered[3][20];
        for (uint32_t source = 0; source < 3; source++)
            for (uint32_t i = 0; i < 20; i++)
                offered[source][i] =
                        (struct och_near){.distance = (float) och_random_below(&seed, 9),
                                .source = source,
                                .ordinal = source * 20 + i};
        uint32_t n_before = (uint32_t) och_random_below(&seed, 21);
        for (uint32_t source = 0; source < 3; source++) {
            for (uint32_t i = 0; i < 20; i++)
                (void) och_topk_offer(&once, offered[source][i]);
            for (uint32_t i = 0; source == 1 && i < n_before; i++)
                (void) och_topk_offer(&twice, offered[source][i]);
            if (source == 1)
                och_topk_withdraw(&twice, source);
            for (uint32_t i = 0; i < twice.n; i++)
                check(source != 1 || twice.items[i].source != 1);
            check(och_topk_admits(&twice, INFINITY) == (twice.n < twice.capacity));
            for (uint32_t i = 0; i < 20; i++)
                (void) och_topk_offer(&twice, offered[source][i]);
        }
        och_topk_sort(&once);
        och_topk_sort(&twice);
        check(once.n == twice.n && once.bound == twice.bound);
        for (uint32_t i = 0; i < once.n; i++)
            check(once.items[i].ordinal == twice.items[i].ordinal);
        och_arena_clear(&arena);
    }
    struct och_topk none = make(0, 1);
    och_topk_withdraw(&none, 0);
    check(!och_topk_admits(&none, INFINITY));
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_new_list_is_empty_and_admits_everything),
            cmocka_unit_test(a_list_of_none_keeps_nothing),
            cmocka_unit_test(a_list_of_one_keeps_the_nearest),
            cmocka_unit_test(what_a_candidate_carries_comes_back),
            cmocka_unit_test(ties_are_kept_and_sorted_by_insertion_order),
            cmocka_unit_test(both_zeros_tie),
            cmocka_unit_test(infinite_distances_are_ordered_like_others),
            cmocka_unit_test(a_huge_k_costs_what_there_is_to_find),
            cmocka_unit_test(sorting_twice_changes_nothing),
            cmocka_unit_test(random_work_agrees_with_sorting_everything),
            cmocka_unit_test(what_is_withdrawn_can_be_offered_anew),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
    };
    return cmocka_run_group_tests_name("topk", tests, start, stop);
}
