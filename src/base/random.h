/*
 * random.h - a small seeded generator: same seed, same sequence, everywhere.
 * Never for secrets (os/clock.h has entropy).
 *
 * Threads: one generator, one thread.
 */
#ifndef OCH_BASE_RANDOM_H
#define OCH_BASE_RANDOM_H

#include <stdint.h>

/* The next 64 bits of the sequence that starts at *seed (splitmix64: Steele,
 * Lea and Flood, "Fast splittable pseudorandom number generators", 2014). */
uint64_t och_random(uint64_t *seed);

/* A number in 0..bound-1; bound is not 0. */
uint64_t och_random_below(uint64_t *seed, uint64_t bound);

/* A float in -1..1. */
float och_random_f32(uint64_t *seed);

#endif /* OCH_BASE_RANDOM_H */
