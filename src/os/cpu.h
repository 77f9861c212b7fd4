/*
 * cpu.h - what this processor can do, asked once.
 *
 * Threads: any; no state.
 */
#ifndef OCH_OS_CPU_H
#define OCH_OS_CPU_H

#include "base/cpu_sets.h"

struct och_cpu {
    struct och_cpu_sets sets;
    unsigned cores; /* that this process may use; at least 1 */
};

struct och_cpu och_cpu_detect(void);

#endif /* OCH_OS_CPU_H */
