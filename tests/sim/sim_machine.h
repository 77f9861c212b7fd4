/*
 * sim_machine.h - a clock and a source of randomness that are the same in
 * every run.
 *
 * Time stands still between queries and each query moves it on by 1 ms, so that
 * a program sees time pass, always in the same way.
 *
 * Threads: its functions any; the rest one thread at a time.
 */
#ifndef OCH_TESTS_SIM_MACHINE_H
#define OCH_TESTS_SIM_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "os/clock.h"

struct sim_machine {
    struct och_machine machine;  /* give its address to the code under test */
    pthread_mutex_t lock;        /* guards the seed */
    uint64_t seed;               /* of the entropy still to come */
    _Atomic uint64_t elapsed_ns; /* since the machine was made */
    bool fail_entropy;           /* set it: entropy is refused with OCHRE_IO */
};

/* The machine points to itself: it stays where it is. */
void sim_machine_init(struct sim_machine *sim, uint64_t seed);

/* Let time pass. */
void sim_machine_advance(struct sim_machine *sim, uint64_t ms);

#endif /* OCH_TESTS_SIM_MACHINE_H */
