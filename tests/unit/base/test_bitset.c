#include <string.h>

#include "base/bitset.h"
#include "base/mem.h"
#include "base/random.h"
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
a_new_set_is_empty(void **state)
{
    (void) state;
    struct och_bitset set;
    och_bitset_init(&set, &mem);
    check(och_bitset_count(&set) == 0);
    check(!och_bitset_has(&set, 0));
    check(!och_bitset_has(&set, OCH_ROW_NONE));
    check(och_bitset_next(&set, 0) == OCH_ROW_NONE);
    check(och_mem_used(&mem) == 0);
}

/* Rows on both sides of every edge: word, first growth, second growth. */
static void
rows_at_word_edges_are_kept_apart(void **state)
{
    (void) state;
    static const uint32_t rows[] = {0, 1, 62, 63, 64, 65, 127, 128, 255, 256, 4095, 4096};
    enum { n_rows = sizeof(rows) / sizeof(rows[0]) };

    struct och_bitset set;
    och_bitset_init(&set, &mem);
    for (size_t i = 0; i < n_rows; i++) {
        check(och_bitset_add(&set, rows[i]) == OCHRE_OK);
        check(och_bitset_add(&set, rows[i]) == OCHRE_OK);
    }
    check(och_bitset_count(&set) == n_rows);

    size_t visited = 0;
    for (uint32_t row = och_bitset_next(&set, 0); row != OCH_ROW_NONE;
            row = och_bitset_next(&set, row + 1)) {
        check(visited < n_rows && row == rows[visited]);
        och_bitset_remove(&set, row);
        visited++;
    }
    check(visited == n_rows);
    check(och_bitset_count(&set) == 0);
    och_bitset_clear(&set);
}

/* The set against the plainest thing that could be right: one bool per row. */
static void
random_work_agrees_with_an_array_of_bools(void **state)
{
    (void) state;
    enum { n_rows = 1000, n_steps = 20000 };
    bool model[n_rows] = {false};
    uint64_t seed = 1;

    struct och_bitset set;
    och_bitset_init(&set, &mem);
    for (int step = 0; step < n_steps; step++) {
        uint32_t row = (uint32_t) (och_random(&seed) % n_rows);
        model[row] = och_random(&seed) % 3 != 0;
        if (model[row])
            check(och_bitset_add(&set, row) == OCHRE_OK);
        else
            och_bitset_remove(&set, row);
    }
    size_t count = 0;
    for (uint32_t row = 0; row < n_rows; row++) {
        check(och_bitset_has(&set, row) == model[row]);
        count += model[row];
    }
    check(och_bitset_count(&set) == count);
    och_bitset_clear(&set);
}

enum { MODEL_ROWS = 700 };

/* A random set of rows below a random bound, and its model. */
static void
draw(struct och_bitset *set, bool model[MODEL_ROWS], uint64_t *seed)
{
    uint64_t bound = 1 + och_random_below(seed, MODEL_ROWS);
    uint64_t n = och_random_below(seed, 60);
    memset(model, 0, MODEL_ROWS * sizeof(*model));
    och_bitset_init(set, &mem);
    for (uint64_t i = 0; i < n; i++) {
        uint32_t row = (uint32_t) och_random_below(seed, bound);
        check(och_bitset_add(set, row) == OCHRE_OK);
        model[row] = true;
    }
}

static void
sets_of_any_size_combine_as_arrays_of_bools_do(void **state)
{
    (void) state;
    static bool a[MODEL_ROWS], b[MODEL_ROWS];
    uint64_t seed = 2;
    for (int round = 0; round < 2000; round++) {
        struct och_bitset left, right;
        draw(&left, a, &seed);
        draw(&right, b, &seed);
        int verb = round % 4;
        if (verb == 0)
            check(och_bitset_unite(&left, &right) == OCHRE_OK);
        else if (verb == 1)
            och_bitset_subtract(&left, &right);
        else if (verb == 2)
            och_bitset_intersect(&left, &right);
        else
            check(och_bitset_copy(&left, &right) == OCHRE_OK);
        for (uint32_t row = 0; row < MODEL_ROWS; row++) {
            bool wanted = verb == 0 ? a[row] || b[row]
                    : verb == 1     ? a[row] && !b[row]
                    : verb == 2     ? a[row] && b[row]
                                    : b[row];
            check(och_bitset_has(&left, row) == wanted);
            check(och_bitset_has(&right, row) == b[row]);
        }
        och_bitset_clear(&left);
        och_bitset_clear(&right);
    }
}

static void
filling_leaves_exactly_the_first_rows(void **state)
{
    (void) state;
    static const uint32_t counts[] = {300, 0, 1, 63, 64, 65, 256, 257, 5};
    struct och_bitset set;
    och_bitset_init(&set, &mem);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        check(och_bitset_fill(&set, counts[i]) == OCHRE_OK);
        check(och_bitset_count(&set) == counts[i]);
        check(!och_bitset_has(&set, counts[i]));
        check(counts[i] == 0 || och_bitset_has(&set, counts[i] - 1));
    }
    och_bitset_clear(&set);
}

static void
complements_and_partial_counts_agree_with_arrays_of_bools(void **state)
{
    (void) state;
    static bool model[MODEL_ROWS];
    uint64_t seed = 3;
    for (int round = 0; round < 2000; round++) {
        struct och_bitset set;
        draw(&set, model, &seed);
        uint32_t n = (uint32_t) och_random_below(&seed, MODEL_ROWS + 1);
        check(och_bitset_reserve(&set, n) == OCHRE_OK);
        check(set.n_words * 64 >= n);
        och_bitset_complement(&set, n);
        for (uint32_t row = 0; row < n; row++)
            model[row] = !model[row];
        for (uint32_t row = 0; row < MODEL_ROWS; row++)
            check(och_bitset_has(&set, row) == model[row]);
        uint32_t begin = (uint32_t) och_random_below(&seed, MODEL_ROWS);
        uint32_t end = (uint32_t) och_random_below(&seed, MODEL_ROWS + 1);
        size_t wanted = 0;
        for (uint32_t row = begin; row < end; row++)
            wanted += model[row];
        check(och_bitset_count_between(&set, begin, end) == wanted);
        och_bitset_clear(&set);
    }
    check(och_mem_used(&mem) == 0);
}

/* Refused, a reservation changes nothing; granted, adding needs no more. */
static void
a_reserved_set_takes_its_rows_without_memory(void **state)
{
    (void) state;
    struct och_mem small;
    struct och_bitset set;
    och_mem_init(&small, NULL);
    small.limit = 128;
    och_bitset_init(&set, &small);
    check(och_bitset_reserve(&set, 0) == OCHRE_OK && set.n_words == 0);
    check(och_bitset_reserve(&set, 1025) == OCHRE_NO_MEMORY && set.n_words == 0);
    check(och_bitset_reserve(&set, 1024) == OCHRE_OK);
    check(och_bitset_count(&set) == 0);
    small.limit = 0;
    check(och_bitset_add(&set, 1023) == OCHRE_OK && och_bitset_add(&set, 0) == OCHRE_OK);
    check(och_bitset_reserve(&set, 1024) == OCHRE_OK && och_bitset_count(&set) == 2);
    och_bitset_clear(&set);
    check(och_mem_used(&small) == 0);
}

static void
intersecting_with_a_shorter_set_drops_the_tail(void **state)
{
    (void) state;
    struct och_bitset deleted, chosen;
    och_bitset_init(&deleted, &mem);
    och_bitset_init(&chosen, &mem);
    check(och_bitset_add(&chosen, 7) == OCHRE_OK);
    check(och_bitset_add(&chosen, 9000) == OCHRE_OK);
    check(och_bitset_add(&deleted, 7) == OCHRE_OK);

    och_bitset_intersect(&chosen, &deleted);
    check(och_bitset_has(&chosen, 7));
    check(och_bitset_count(&chosen) == 1);
    och_bitset_clear(&deleted);
    och_bitset_clear(&chosen);
}

static void
the_memory_limit_is_honoured(void **state)
{
    (void) state;
    struct och_mem small;
    och_mem_init(&small, NULL);
    small.limit = 64;

    struct och_bitset set;
    och_bitset_init(&set, &small);
    check(och_bitset_add(&set, 5) == OCHRE_OK);
    check(och_bitset_add(&set, OCH_ROW_NONE - 1) == OCHRE_NO_MEMORY);
    check(och_bitset_count(&set) == 1);
    och_bitset_clear(&set);
    check(och_mem_used(&small) == 0);
}

/* True when all rows went in; a refused add must change nothing. */
static bool
fill(struct och_mem *account)
{
    struct och_bitset set;
    och_bitset_init(&set, account);
    size_t added = 0;
    ochre_status status = OCHRE_OK;
    for (uint32_t row = 0; status == OCHRE_OK && row < 5000; row += 50) {
        status = och_bitset_add(&set, row);
        added += status == OCHRE_OK;
        check(och_bitset_count(&set) == added);
    }
    och_bitset_clear(&set);
    return status == OCHRE_OK;
}

/* Each way to grow into another set's size; refused, the set is unchanged. */
static bool
combine(struct och_mem *account)
{
    struct och_bitset small, large, unused;
    och_bitset_init(&small, account);
    och_bitset_init(&large, account);
    och_bitset_init(&unused, account);
    bool finished = false;
    if (och_bitset_add(&small, 1) != OCHRE_OK || och_bitset_add(&large, 5000) != OCHRE_OK)
        goto done;
    if (och_bitset_copy(&unused, &small) != OCHRE_OK)
        goto done;
    if (och_bitset_unite(&small, &large) != OCHRE_OK) {
        check(och_bitset_count(&small) == 1);
        goto done;
    }
    if (och_bitset_fill(&large, 20000) != OCHRE_OK) {
        check(och_bitset_count(&large) == 1);
        goto done;
    }
    finished = true;

done:
    och_bitset_clear(&small);
    och_bitset_clear(&large);
    och_bitset_clear(&unused);
    return finished;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(fill);
    check_each_allocation_failing(combine);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_new_set_is_empty),
            cmocka_unit_test(rows_at_word_edges_are_kept_apart),
            cmocka_unit_test(random_work_agrees_with_an_array_of_bools),
            cmocka_unit_test(sets_of_any_size_combine_as_arrays_of_bools_do),
            cmocka_unit_test(complements_and_partial_counts_agree_with_arrays_of_bools),
            cmocka_unit_test(a_reserved_set_takes_its_rows_without_memory),
            cmocka_unit_test(intersecting_with_a_shorter_set_drops_the_tail),
            cmocka_unit_test(filling_leaves_exactly_the_first_rows),
            cmocka_unit_test(the_memory_limit_is_honoured),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
    };
    return cmocka_run_group_tests_name("bitset", tests, open_account, close_account);
}
