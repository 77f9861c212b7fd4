#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include "os/clock.h"
#include "sim/sim_machine.h"
#include "support/check.h"

/* A stand-in for getrandom that first does what the test says. */
static struct {
    unsigned n_interrupts;
    unsigned n_short;
    bool fail;
} script;

ssize_t __real_getrandom(void *bytes, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags);

ssize_t
__wrap_getrandom(void *bytes, size_t size, unsigned flags)
{
    if (script.n_interrupts > 0) {
        script.n_interrupts--;
        errno = EINTR;
        return -1;
    }
    if (script.fail) {
        errno = ENOSYS;
        return -1;
    }
    if (script.n_short > 0 && size > 1) {
        script.n_short--;
        size = 1;
    }
    return __real_getrandom(bytes, size, flags);
}

static void
monotonic_time_never_goes_back(void **state)
{
    (void) state;
    const struct och_machine *machine = och_machine_posix();
    uint64_t before = och_machine_monotonic_ns(machine);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = och_machine_monotonic_ns(machine);
        check(now >= before);
        before = now;
    }
    check(before > 0);
}

static void
wall_time_counts_from_1970_in_nanoseconds(void **state)
{
    (void) state;
    uint64_t now = och_machine_wall_ns(och_machine_posix());
    uint64_t year_2024_ns = UINT64_C(1704067200) * 1000000000;
    uint64_t year_2200_ns = UINT64_C(7258118400) * 1000000000;
    check(now > year_2024_ns && now < year_2200_ns);
}

static void
entropy_fills_every_byte_and_never_repeats(void **state)
{
    (void) state;
    unsigned char seen[64] = {0};
    unsigned char before[64] = {0};
    struct ochre_error err;
    for (int i = 0; i < 64; i++) {
        unsigned char bytes[64] = {0};
        check_ok(och_machine_entropy(och_machine_posix(), bytes, sizeof(bytes), &err), &err);
        check(memcmp(bytes, before, sizeof(bytes)) != 0);
        memcpy(before, bytes, sizeof(bytes));
        for (size_t j = 0; j < sizeof(bytes); j++)
            seen[j] |= bytes[j];
    }
    for (size_t j = 0; j < sizeof(seen); j++)
        check(seen[j] != 0); /* missed by chance once in 2^512 */
    check_ok(och_machine_entropy(och_machine_posix(), before, 0, &err), &err);
}

static void
entropy_survives_interrupts_and_short_answers(void **state)
{
    (void) state;
    struct ochre_error err;
    unsigned char bytes[16] = {0};
    script.n_interrupts = 3;
    script.n_short = 5;
    check_ok(och_machine_entropy(och_machine_posix(), bytes, sizeof(bytes), &err), &err);
    check(script.n_interrupts == 0 && script.n_short == 0);
}

static void
missing_entropy_is_an_error(void **state)
{
    (void) state;
    struct ochre_error err;
    unsigned char bytes[16];
    script.fail = true;
    check(och_machine_entropy(och_machine_posix(), bytes, sizeof(bytes), &err) == OCHRE_IO);
    script.fail = false;
}

static void
simulated_time_moves_by_a_millisecond_a_query(void **state)
{
    (void) state;
    struct sim_machine sim;
    sim_machine_init(&sim, 1);
    uint64_t start = och_machine_monotonic_ns(&sim.machine);
    check(och_machine_monotonic_ns(&sim.machine) == start + 1000000);
    uint64_t wall = och_machine_wall_ns(&sim.machine);
    sim_machine_advance(&sim, 5000);
    check(och_machine_wall_ns(&sim.machine) == wall + 5001 * UINT64_C(1000000));
}

static void
simulated_entropy_is_a_sequence_of_its_seed(void **state)
{
    (void) state;
    struct ochre_error err;
    struct sim_machine machines[3];
    unsigned char bytes[3][37];
    for (size_t i = 0; i < 3; i++) {
        sim_machine_init(&machines[i], i == 2 ? 8 : 7);
        check_ok(och_machine_entropy(&machines[i].machine, bytes[i], sizeof(bytes[i]), &err), &err);
    }
    check(memcmp(bytes[0], bytes[1], sizeof(bytes[0])) == 0);
    check(memcmp(bytes[0], bytes[2], sizeof(bytes[0])) != 0);
    machines[0].fail_entropy = true;
    check(och_machine_entropy(&machines[0].machine, bytes[0], 1, &err) == OCHRE_IO);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(monotonic_time_never_goes_back),
            cmocka_unit_test(wall_time_counts_from_1970_in_nanoseconds),
            cmocka_unit_test(entropy_fills_every_byte_and_never_repeats),
            cmocka_unit_test(entropy_survives_interrupts_and_short_answers),
            cmocka_unit_test(missing_entropy_is_an_error),
            cmocka_unit_test(simulated_time_moves_by_a_millisecond_a_query),
            cmocka_unit_test(simulated_entropy_is_a_sequence_of_its_seed),
    };
    return cmocka_run_group_tests_name("os/clock", tests, NULL, NULL);
}
