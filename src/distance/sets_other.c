#include "distance/distance_internal.h"

const struct och_kernel_set och_kernel_sets[] = {
        {.kernels = &och_kernels_scalar},
};
const size_t och_n_kernel_sets = sizeof(och_kernel_sets) / sizeof(och_kernel_sets[0]);
