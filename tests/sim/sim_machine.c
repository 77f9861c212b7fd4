#include "sim/sim_machine.h"

#include <string.h>

#include "base/error.h"
#include "base/random.h"

#define NS_PER_MS UINT64_C(1000000)
/* 2026-01-01 00:00:00 UTC: a plausible wall clock, so that checks for absurd
 * times pass. */
#define WALL_START_NS (UINT64_C(1767225600) * 1000 * NS_PER_MS)

static uint64_t
sim_monotonic_ns(void *context)
{
    struct sim_machine *sim = context;
    return atomic_fetch_add(&sim->elapsed_ns, NS_PER_MS) + NS_PER_MS;
}

static uint64_t
sim_wall_ns(void *context)
{
    return WALL_START_NS + sim_monotonic_ns(context);
}

static ochre_status
sim_entropy(void *context, void *bytes, size_t size, struct ochre_error *err)
{
    struct sim_machine *sim = context;
    if (sim->fail_entropy)
        return och_fail(err, OCHRE_IO, "the simulated machine has no entropy");
    unsigned char *next = bytes;
    och_assert(pthread_mutex_lock(&sim->lock) == 0);
    while (size > 0) {
        uint64_t random = och_random(&sim->seed);
        size_t n = size < sizeof(random) ? size : sizeof(random);
        memcpy(next, &random, n);
        next += n;
        size -= n;
    }
    och_assert(pthread_mutex_unlock(&sim->lock) == 0);
    return OCHRE_OK;
}

void
sim_machine_init(struct sim_machine *sim, uint64_t seed)
{
    *sim = (struct sim_machine){
            .machine =
                    {
                            .wall_ns = sim_wall_ns,
                            .monotonic_ns = sim_monotonic_ns,
                            .entropy = sim_entropy,
                            .context = sim,
                    },
            .lock = PTHREAD_MUTEX_INITIALIZER, /* which holds nothing to be given back */
            .seed = seed,
    };
}

void
sim_machine_advance(struct sim_machine *sim, uint64_t ms)
{
    (void) atomic_fetch_add(&sim->elapsed_ns, ms * NS_PER_MS);
}
