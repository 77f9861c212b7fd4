#include "index/vector/rotate.h"

#include <math.h>

#include "base/mem.h"
#include "base/random.h"

enum { ROUNDS = 4 };

ochre_status
och_rotation_make(struct och_mem *mem, size_t n, uint64_t seed, struct och_rotation *rotation_out)
{
    och_assert(n > 0 && n % 64 == 0);
    size_t n_power = 64;
    while (n_power * 2 <= n)
        n_power *= 2;
    *rotation_out = (struct och_rotation){.mem = mem, .n = n, .n_power = n_power};
    float *signs = och_mem_take(mem, ROUNDS * n * sizeof(float));
    if (signs == NULL)
        return OCHRE_NO_MEMORY;
    for (size_t i = 0; i < ROUNDS * n; i += 64) {
        uint64_t bits = och_random(&seed);
        for (size_t j = 0; j < 64; j++)
            signs[i + j] = (bits >> j & 1) != 0 ? -1.0F : 1.0F;
    }
    rotation_out->signs = signs;
    return OCHRE_OK;
}

void
och_rotation_clear(struct och_rotation *rotation)
{
    och_mem_release(rotation->mem, rotation->signs, ROUNDS * rotation->n * sizeof(float));
    *rotation = (struct och_rotation){.mem = rotation->mem};
}

/* The first three levels of the transform: eight neighbours. */
static void
transform8(float *v)
{
    float a0 = v[0] + v[1], a1 = v[0] - v[1], a2 = v[2] + v[3], a3 = v[2] - v[3];
    float a4 = v[4] + v[5], a5 = v[4] - v[5], a6 = v[6] + v[7], a7 = v[6] - v[7];
    float b0 = a0 + a2, b1 = a1 + a3, b2 = a0 - a2, b3 = a1 - a3;
    float b4 = a4 + a6, b5 = a5 + a7, b6 = a4 - a6, b7 = a5 - a7;
    v[0] = b0 + b4;
    v[1] = b1 + b5;
    v[2] = b2 + b6;
    v[3] = b3 + b7;
    v[4] = b0 - b4;
    v[5] = b1 - b5;
    v[6] = b2 - b6;
    v[7] = b3 - b7;
}

/* One level: blocks of 2 * half, first half against second. */
static void
transform_level(float *v, size_t n, size_t half)
{
    for (size_t block = 0; block < n; block += 2 * half) {
        float *restrict low = v + block;
        float *restrict high = v + block + half;
        for (size_t i = 0; i < half; i++) {
            float a = low[i], b = high[i];
            low[i] = a + b;
            high[i] = a - b;
        }
    }
}

static void
transform(float *v, size_t n)
{
    for (size_t i = 0; i < n; i += 8)
        transform8(v + i);
    for (size_t half = 8; half < n; half *= 2)
        transform_level(v, n, half);
}

static void
multiply(float *restrict v, const float *restrict signs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        v[i] *= signs[i];
}

static void
scale(float *v, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++)
        v[i] *= factor;
}

void
och_rotate(const struct och_rotation *rotation, float *v)
{
    size_t n = rotation->n, n_power = rotation->n_power;
    float unit = 1.0F / sqrtf((float) n_power);
    for (size_t round = 0; round < ROUNDS; round++) {
        float *part = round % 2 == 0 ? v : v + (n - n_power);
        multiply(v, rotation->signs + round * n, n);
        transform(part, n_power);
        scale(part, n_power, unit);
        if (n_power == n)
            continue;
        transform_level(v, n, n / 2);
        scale(v, n, 0.70710678F);
    }
}
