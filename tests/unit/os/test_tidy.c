#include <sched.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "os/executor.h"
#include "os/tidy.h"
#include "support/check.h"

#define MIB ((size_t) 1 << 20)

/* A stand-in that counts. */
static atomic_uint n_trims;

void __wrap_och_process_trim_memory(void);

void
__wrap_och_process_trim_memory(void)
{
    (void) atomic_fetch_add(&n_trims, 1);
}

static void
less_than_lately_is_given_back_once(void **state)
{
    (void) state;
    struct och_tidy_view view = {.most = 0};
    uint64_t n_grants = 0;
    check(!och_tidy_is_time(&view, 10 * MIB, ++n_grants));
    check(!och_tidy_is_time(&view, 30 * MIB, ++n_grants));
    check(!och_tidy_is_time(&view, 28 * MIB + 1, ++n_grants)); /* hardly less */
    check(och_tidy_is_time(&view, 28 * MIB, ++n_grants));
    check(!och_tidy_is_time(&view, 28 * MIB, ++n_grants));
    check(!och_tidy_is_time(&view, 27 * MIB, ++n_grants)); /* from what is held since then */
    check(och_tidy_is_time(&view, 1 * MIB, ++n_grants));
}

static void
when_it_becomes_quiet_it_is_given_back_once(void **state)
{
    (void) state;
    struct och_tidy_view view = {.most = 0};
    check(!och_tidy_is_time(&view, 0, 0)); /* nothing was ever asked for */
    check(!och_tidy_is_time(&view, MIB, 5));
    check(och_tidy_is_time(&view, MIB, 5));
    check(!och_tidy_is_time(&view, MIB, 5));
    check(!och_tidy_is_time(&view, MIB, 6));
    check(!och_tidy_is_time(&view, MIB, 7)); /* busy */
    check(och_tidy_is_time(&view, MIB, 7));
}

/* Work after work: after each it is given back, by a background worker. */
static void
it_is_given_back_while_it_is_open(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_executor *executor;
    struct och_tidy *tidy;
    struct ochre_error err;
    och_mem_init(&mem, NULL);
    check_ok(och_executor_open(&mem, 0, 1, &executor, &err), &err);
    atomic_store(&n_trims, 0);
    check(och_tidy_open(executor, &mem, 1, &tidy) == OCHRE_OK);
    for (unsigned n = 1; n < 10; n++) {
        void *block = och_mem_take(&mem, 100);
        check(block != NULL);
        och_mem_release(&mem, block, 100);
        while (atomic_load(&n_trims) < n)
            (void) sched_yield();
    }
    och_tidy_close(tidy);
    och_executor_close(executor);
    check(och_mem_used(&mem) == 0);
}

/* At whatever moment, and without any memory. */
static void
it_is_closed_while_it_looks(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_executor *executor;
    struct och_tidy *tidy;
    struct ochre_error err;
    och_mem_init(&mem, NULL);
    check_ok(och_executor_open(&mem, 0, 2, &executor, &err), &err);
    for (unsigned i = 0; i < 200; i++) {
        check(och_tidy_open(executor, &mem, 1 + i % 2, &tidy) == OCHRE_OK);
        for (unsigned j = 0; j < i % 50; j++)
            (void) sched_yield();
        och_tidy_close(tidy);
    }
    mem.limit = och_mem_used(&mem);
    check(och_tidy_open(executor, &mem, 1, &tidy) == OCHRE_NO_MEMORY && tidy == NULL);
    och_tidy_close(NULL);
    och_executor_close(executor);
    check(och_mem_used(&mem) == 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(less_than_lately_is_given_back_once),
            cmocka_unit_test(when_it_becomes_quiet_it_is_given_back_once),
            cmocka_unit_test(it_is_given_back_while_it_is_open),
            cmocka_unit_test(it_is_closed_while_it_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
