/*
 * cpu_sets.h - instruction sets that kernels are written for.
 *
 * os/cpu.h finds out which of them this processor has, distance/ which of its
 * kernels that allows; this is the word they share, so that neither needs the other.
 *
 * Threads: constants only.
 */
#ifndef OCH_BASE_CPU_SETS_H
#define OCH_BASE_CPU_SETS_H

#include <stdbool.h>

/* What the processor has and the system has enabled. */
struct och_cpu_sets {
    bool avx2_fma;    /* AVX2, FMA, F16C */
    bool avx512;      /* F, BW, DQ, VL, and avx2_fma */
    bool avx512_vnni; /* VNNI, and avx512 */
    bool neon;        /* always there on arm64 */
};

#endif /* OCH_BASE_CPU_SETS_H */
