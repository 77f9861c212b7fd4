#include "os/clock.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "base/error.h"

#define NS_PER_SECOND UINT64_C(1000000000)

static uint64_t
now_ns(clockid_t clock)
{
    struct timespec now = {0};
    int failed = clock_gettime(clock, &now);
    och_assert(failed == 0); /* both clocks exist wherever we build */
    return (uint64_t) now.tv_sec * NS_PER_SECOND + (uint64_t) now.tv_nsec;
}

static uint64_t
posix_wall_ns(void *context)
{
    (void) context;
    return now_ns(CLOCK_REALTIME);
}

static uint64_t
posix_monotonic_ns(void *context)
{
    (void) context;
    return now_ns(CLOCK_MONOTONIC);
}

static ochre_status
posix_entropy(void *context, void *bytes, size_t size, struct ochre_error *err)
{
    (void) context;
    char *next = bytes;
    size_t left = size;
    while (left > 0) {
        ssize_t n = getrandom(next, left, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return och_fail(err, OCHRE_IO, "the system gives no random bytes (errno %d)", errno);
        next += n;
        left -= (size_t) n;
    }
    return OCHRE_OK;
}

const struct och_machine *
och_machine_posix(void)
{
    static const struct och_machine machine = {
            .wall_ns = posix_wall_ns,
            .monotonic_ns = posix_monotonic_ns,
            .entropy = posix_entropy,
            .context = NULL,
    };
    return &machine;
}

uint64_t
och_machine_wall_ns(const struct och_machine *machine)
{
    return machine->wall_ns(machine->context);
}

uint64_t
och_machine_monotonic_ns(const struct och_machine *machine)
{
    return machine->monotonic_ns(machine->context);
}

ochre_status
och_machine_entropy(
        const struct och_machine *machine, void *bytes, size_t size, struct ochre_error *err)
{
    return machine->entropy(machine->context, bytes, size, err);
}
