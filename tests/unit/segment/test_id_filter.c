/* The filter of ids: never wrong about what it has, seldom about what it has not. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/random.h"
#include "segment/id_filter.h"
#include "support/check.h"

static void
it_has_what_was_added(void **state)
{
    (void) state;
    static const uint64_t sizes[] = {0, 1, 16, 17, 1000, 65536};
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct och_id_filter *filter;
        check(och_id_filter_make(&mem, sizes[i], &filter) == OCHRE_OK);
        uint64_t seed = i;
        for (uint64_t n = 0; n < 2 * sizes[i] + 16; n++) { /* full, and fuller */
            och_id_filter_prefetch(filter, (uint32_t) n);
            och_id_filter_add(filter, (uint32_t) och_random(&seed));
        }
        seed = i;
        for (uint64_t n = 0; n < 2 * sizes[i] + 16; n++)
            check(och_id_filter_has(filter, (uint32_t) och_random(&seed)));
        och_id_filter_release(filter);
    }
    och_id_filter_release(NULL);
    check(och_mem_used(&mem) == 0);
}

static void
few_others_look_as_if_it_had_them(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_id_filter *filter;
    och_mem_init(&mem, NULL);
    enum { N = 65536 };
    check(och_id_filter_make(&mem, N, &filter) == OCHRE_OK);
    check(!och_id_filter_has(filter, 0));
    check(!och_id_filter_has(filter, UINT32_MAX));
    for (uint32_t n = 0; n < N; n++) {
        check(!och_id_filter_is_full(filter));
        och_id_filter_add(filter, n * 2);
    }
    check(!och_id_filter_is_full(filter));
    unsigned n_wrong = 0;
    for (uint32_t n = 0; n < N; n++)
        n_wrong += och_id_filter_has(filter, n * 2 + 1);
    check(n_wrong < N / 100); /* some 1/1000 */
    och_id_filter_add(filter, 1);
    check(och_id_filter_is_full(filter));
    och_id_filter_release(filter);
}

static void
without_memory_there_is_none(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_id_filter *filter;
    och_mem_init(&mem, NULL);
    mem.limit = 100;
    check(och_id_filter_make(&mem, 1000, &filter) == OCHRE_NO_MEMORY && filter == NULL);
    mem.limit = 8;
    check(och_id_filter_make(&mem, 1, &filter) == OCHRE_NO_MEMORY && filter == NULL);
    check(och_mem_used(&mem) == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(it_has_what_was_added),
            cmocka_unit_test(few_others_look_as_if_it_had_them),
            cmocka_unit_test(without_memory_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
