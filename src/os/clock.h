/*
 * clock.h - time and randomness from the machine, as a struct of functions so
 * that tests decide both.
 *
 * Threads: any.
 */
#ifndef OCH_OS_CLOCK_H
#define OCH_OS_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_machine {
    uint64_t (*wall_ns)(void *context);      /* since 1970-01-01 UTC */
    uint64_t (*monotonic_ns)(void *context); /* never goes back */
    /* Fill with unpredictable bytes (tests: a seeded sequence). */
    ochre_status (*entropy)(void *context, void *bytes, size_t size, struct ochre_error *err);
    void *context;
};

/* The real machine: clock_gettime and getrandom.  Static, never freed. */
const struct och_machine *och_machine_posix(void);

uint64_t och_machine_wall_ns(const struct och_machine *machine);
uint64_t och_machine_monotonic_ns(const struct och_machine *machine);
OCH_MUST_CHECK ochre_status och_machine_entropy(
        const struct och_machine *machine, void *bytes, size_t size, struct ochre_error *err);

#endif /* OCH_OS_CLOCK_H */
