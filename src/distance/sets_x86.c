#include "distance/distance_internal.h"

const struct och_kernel_set och_kernel_sets[] = {
        {.kernels = &och_kernels_scalar},
        {.kernels = &och_kernels_avx2, .needs = {.avx2_fma = true}},
        {.kernels = &och_kernels_avx512, .needs = {.avx512 = true}},
        {.kernels = &och_kernels_avx512_vnni, .needs = {.avx512_vnni = true}},
};
const size_t och_n_kernel_sets = sizeof(och_kernel_sets) / sizeof(och_kernel_sets[0]);
