#include <stdio.h>
#include <string.h>

#include "base/compiler.h"
#include "base/error.h"
#include "distance/distance.h"
#include "distance/distance_internal.h"

static bool
can_run(struct och_cpu_sets cpu, struct och_cpu_sets needs)
{
    if (needs.avx2_fma && !cpu.avx2_fma)
        return false;
    if (needs.avx512 && !cpu.avx512)
        return false;
    if (needs.avx512_vnni && !cpu.avx512_vnni)
        return false;
    return !needs.neon || cpu.neon;
}

const struct och_kernels *
och_kernels_choose(struct och_cpu_sets cpu, const char *wanted)
{
    const struct och_kernels *best = &och_kernels_scalar;
    for (size_t i = 0; i < och_n_kernel_sets; i++) {
        const struct och_kernel_set *set = &och_kernel_sets[i];
        if (!can_run(cpu, set->needs))
            continue;
        if (wanted != NULL && strcmp(set->kernels->name, wanted) == 0)
            return set->kernels;
        best = set->kernels;
    }
    return best;
}

ochre_status
och_kernels_want(struct och_cpu_sets cpu, const char *setting, const char *wanted,
        const struct och_kernels **kernels_out, struct ochre_error *err)
{
    *kernels_out = och_kernels_choose(cpu, wanted);
    if (wanted == NULL || strcmp((*kernels_out)->name, wanted) == 0)
        return OCHRE_OK;
    const struct och_kernels *sets[OCH_KERNEL_SETS_MAX];
    size_t n = och_kernels_all(cpu, sets);
    char names[96] = "";
    size_t size = 0;
    for (size_t i = 0; i < n; i++) /* six names of at most 12 letters */
        size += (size_t) snprintf(
                names + size, sizeof(names) - size, i == 0 ? "%s" : ", %s", sets[i]->name);
    return och_fail(err, OCHRE_INVALID, "%s is \"%.40s\"; this program on this processor has %s",
            setting, wanted, names);
}

size_t
och_kernels_all(struct och_cpu_sets cpu, const struct och_kernels *sets[OCH_KERNEL_SETS_MAX])
{
    size_t n = 0;
    och_assert(och_n_kernel_sets <= OCH_KERNEL_SETS_MAX);
    for (size_t i = 0; i < och_n_kernel_sets; i++) {
        if (can_run(cpu, och_kernel_sets[i].needs))
            sets[n++] = och_kernel_sets[i].kernels;
    }
    return n;
}
