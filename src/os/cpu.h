/*
 * cpu.h - what this processor can do, asked once.
 *
 * Threads: any; no state.
 */
#ifndef OCH_OS_CPU_H
#define OCH_OS_CPU_H

#include <stdbool.h>

/* x86-64 instruction sets that the processor has and the system has enabled. */
struct och_cpu {
    bool avx2_fma;  /* AVX2, FMA, F16C */
    bool avx512;    /* F, BW, DQ, VL */
    bool neon;      /* always there on arm64 */
    unsigned cores; /* that this process may use; at least 1 */
};

struct och_cpu och_cpu_detect(void);

#endif /* OCH_OS_CPU_H */
