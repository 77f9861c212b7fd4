#include "base/random.h"

#include "base/compiler.h"

uint64_t
och_random(uint64_t *seed)
{
    uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t
och_random_below(uint64_t *seed, uint64_t bound)
{
    och_assert(bound > 0);
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t) (((wide) och_random(seed) * bound) >> 64);
}

float
och_random_f32(uint64_t *seed)
{
    return (float) (och_random(seed) >> 40) / (float) (1u << 23) - 1.0f;
}
