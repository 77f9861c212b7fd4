#include <string.h>

#include "base/bitset.h"
#include "base/mem.h"
#include "support/check.h"

static struct och_mem mem;

static void
a_new_set_is_empty(void)
{
    struct och_bitset set;
    och_bitset_init(&set, &mem);
    check(och_bitset_count(&set) == 0);
    check(!och_bitset_has(&set, 0));
    check(!och_bitset_has(&set, OCH_ROW_NONE));
    check(och_bitset_next(&set, 0) == OCH_ROW_NONE);
    check(mem.used == 0);
}

/* Rows on both sides of every edge: word, first growth, second growth. */
static void
rows_at_word_edges_are_kept_apart(void)
{
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
random_work_agrees_with_an_array_of_bools(void)
{
    enum { n_rows = 1000, n_steps = 20000 };
    bool model[n_rows] = {false};
    uint64_t seed = 1;

    struct och_bitset set;
    och_bitset_init(&set, &mem);
    for (int step = 0; step < n_steps; step++) {
        uint32_t row = (uint32_t) (test_random(&seed) % n_rows);
        model[row] = test_random(&seed) % 3 != 0;
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

static void
intersecting_with_a_shorter_set_drops_the_tail(void)
{
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
the_memory_limit_is_honoured(void)
{
    struct och_mem small;
    och_mem_init(&small);
    small.limit = 64;

    struct och_bitset set;
    och_bitset_init(&set, &small);
    check(och_bitset_add(&set, 5) == OCHRE_OK);
    check(och_bitset_add(&set, OCH_ROW_NONE - 1) == OCHRE_NO_MEMORY);
    check(och_bitset_count(&set) == 1);
    och_bitset_clear(&set);
    check(small.used == 0);
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

static void
any_allocation_may_fail_without_harm(void)
{
    test_each_allocation_failing(fill);
}

int
main(void)
{
    static const struct test tests[] = {
            {"a new set is empty", a_new_set_is_empty},
            {"rows at word edges are kept apart", rows_at_word_edges_are_kept_apart},
            {"random work agrees with an array of bools",
                    random_work_agrees_with_an_array_of_bools},
            {"intersecting with a shorter set drops the tail",
                    intersecting_with_a_shorter_set_drops_the_tail},
            {"the memory limit is honoured", the_memory_limit_is_honoured},
            {"any allocation may fail without harm", any_allocation_may_fail_without_harm},
    };

    och_mem_init(&mem);
    int result = test_main(tests, sizeof(tests) / sizeof(tests[0]));
    return mem.used == 0 ? result : 1;
}
