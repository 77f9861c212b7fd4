#include <sched.h>
#include <stdatomic.h>

#include "os/pace.h"
#include "os/thread.h"
#include "support/check.h"

static struct och_urgency urgency;
static struct och_pace pace;
static atomic_uint n_asked;
static atomic_bool has_begun;

static int
set_up(void **state)
{
    (void) state;
    och_urgency_init(&urgency);
    atomic_store(&pace.stop, false);
    atomic_store(&n_asked, 0);
    pace.urgency = &urgency;
    pace.owner = 0;
    atomic_store(&has_begun, false);
    return 0;
}

static int
tear_down(void **state)
{
    (void) state;
    check(atomic_load(&urgency.n_waiting) == 0 && atomic_load(&urgency.n_served) == 0);
    och_urgency_clear(&urgency);
    return 0;
}

static void
work_goes_on_until_it_is_told_to_stop(void **state)
{
    (void) state;
    check(!och_pace_stopped(NULL));
    check(!och_pace_stopped(&pace));
    pace.urgency = NULL;
    check(!och_pace_stopped(&pace));
    atomic_store(&pace.stop, true);
    check(och_pace_stopped(&pace));
}

/* Who helps comes when the owner has begun. */
static void
ask(void *argument)
{
    if (argument != NULL)
        och_pace_begin(&pace);
    else
        while (!atomic_load(&has_begun))
            (void) sched_yield();
    atomic_store(&has_begun, true);
    while (!och_pace_stopped(&pace))
        (void) atomic_fetch_add(&n_asked, 1);
}

/* While somebody waits for ever, long work goes on, in its turns; and it stops. */
static void
who_waits_does_not_keep_work_for_ever(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_thread thread;
    och_urgency_begin(&urgency);
    och_urgency_begin(&urgency);
    och_urgency_serve(&urgency);
    check_ok(och_thread_start(&thread, "work", ask, &pace, &err), &err);
    for (unsigned turn = 0; turn < 3; turn++) {
        unsigned before = atomic_load(&n_asked);
        while (atomic_load(&n_asked) == before)
            (void) sched_yield();
    }
    och_urgency_end(&urgency);
    atomic_store(&pace.stop, true);
    och_thread_join(&thread);
    och_urgency_end(&urgency);
    och_urgency_served(&urgency);
}

/* Whoever rests is woken when nobody waits any more. */
static void
work_goes_on_when_nobody_waits(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_thread threads[2];
    for (unsigned i = 0; i < 2; i++) /* one of them helps the other */
        check_ok(och_thread_start(&threads[i], "work", ask, i == 0 ? &pace : NULL, &err), &err);
    for (unsigned round = 0; round < 20; round++) {
        och_urgency_begin(&urgency);
        och_urgency_serve(&urgency);
        (void) sched_yield();
        if (round % 2 == 0) {
            och_urgency_end(&urgency);
            och_urgency_served(&urgency);
        } else {
            och_urgency_served(&urgency);
            och_urgency_end(&urgency);
        }
        unsigned before = atomic_load(&n_asked);
        while (atomic_load(&n_asked) < before + 10)
            (void) sched_yield();
    }
    atomic_store(&pace.stop, true);
    for (unsigned i = 0; i < 2; i++)
        och_thread_join(&threads[i]);
}

/* Its owner rests, indeed, and has its turn then; whoever helps does not, and nobody
 * does while nobody is served. */
static void
a_rest_is_followed_by_a_turn(void **state)
{
    (void) state;
    och_urgency_begin(&urgency);
    och_urgency_serve(&urgency);
    check(!och_pace_stopped(&pace));
    check(atomic_load(&urgency.its_turn_ns) == 0);
    och_pace_begin(&pace);
    och_urgency_served(&urgency);
    check(!och_pace_stopped(&pace));
    check(atomic_load(&urgency.its_turn_ns) == 0);
    och_urgency_serve(&urgency);
    check(!och_pace_stopped(&pace));
    uint64_t turn = atomic_load(&urgency.its_turn_ns);
    check(turn > 0);
    och_urgency_end(&urgency);
    check(!och_pace_stopped(&pace));
    check(atomic_load(&urgency.its_turn_ns) == turn);
    och_urgency_served(&urgency);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(
                    work_goes_on_until_it_is_told_to_stop, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    who_waits_does_not_keep_work_for_ever, set_up, tear_down),
            cmocka_unit_test_setup_teardown(work_goes_on_when_nobody_waits, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_rest_is_followed_by_a_turn, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
