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

/* One block, of whatever size. */
struct held {
    struct och_mem mem;
    char *block;
    size_t size;
};

static void
hold(struct held *held, size_t size)
{
    held->block = och_mem_resize(&held->mem, held->block, held->size, size);
    check(held->block != NULL);
    held->size = size;
}

/* More than looking after a collection takes. */
static void
work(struct held *held)
{
    hold(held, MIB);
    (void) atomic_fetch_add(&held->mem.n_grants, OCH_TIDY_QUIET_GRANTS);
}

static void
let_go(struct held *held)
{
    och_mem_release(&held->mem, held->block, held->size);
    check(och_mem_used(&held->mem) == 0);
}

static void
less_than_lately_is_given_back_once(void **state)
{
    (void) state;
    struct och_tidy_view view = {.most = 0};
    struct held held = {.block = NULL};
    och_mem_init(&held.mem, NULL);
    static const struct {
        size_t size;
        bool is_time;
    } looks[] = {{10 * MIB, false}, {30 * MIB, false}, {28 * MIB + 1, false} /* hardly less */,
            {28 * MIB, true}, {28 * MIB, false}, {27 * MIB, false} /* than since then */,
            {1 * MIB, true}};
    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
        hold(&held, looks[i].size);
        check(och_tidy_is_time(&view, &held.mem) == looks[i].is_time);
    }
    let_go(&held);
}

#ifndef OCH_INSTRUMENTED
/* The system had them back as they were released. */
static void
blocks_apart_are_nothing_to_give_back(void **state)
{
    (void) state;
    struct och_tidy_view view = {.most = 0};
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    void *block = och_mem_take_apart(&mem, 50 * MIB);
    check(block != NULL);
    check(!och_tidy_is_time(&view, &mem));
    och_mem_release_apart(&mem, block, 50 * MIB);
    check(!och_tidy_is_time(&view, &mem));
    check(och_mem_used(&mem) == 0);
}
#endif

static void
when_it_has_been_quiet_it_is_given_back_once(void **state)
{
    (void) state;
    struct och_tidy_view view = {.most = 0};
    struct held held = {.block = NULL};
    och_mem_init(&held.mem, NULL);
    for (unsigned i = 0; i < 3 * OCH_TIDY_QUIET_LOOKS; i++)
        check(!och_tidy_is_time(&view, &held.mem)); /* nothing was ever asked for */
    for (unsigned n = 0; n < 3; n++) {
        work(&held);
        for (unsigned i = 0; i < OCH_TIDY_QUIET_LOOKS; i++)
            check(!och_tidy_is_time(&view, &held.mem)); /* a client may only be thinking */
    }
    check(och_tidy_is_time(&view, &held.mem));
    for (unsigned i = 0; i < 3 * OCH_TIDY_QUIET_LOOKS; i++) {
        hold(&held, MIB); /* looking after a collection is not work */
        check(!och_tidy_is_time(&view, &held.mem));
    }
    let_go(&held);
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
        (void) atomic_fetch_add(&mem.n_grants, OCH_TIDY_QUIET_GRANTS + 1);
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
#ifndef OCH_INSTRUMENTED
            cmocka_unit_test(blocks_apart_are_nothing_to_give_back),
#endif
            cmocka_unit_test(when_it_has_been_quiet_it_is_given_back_once),
            cmocka_unit_test(it_is_given_back_while_it_is_open),
            cmocka_unit_test(it_is_closed_while_it_looks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
