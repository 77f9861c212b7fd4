/*
 * process.h - facts about this process.
 *
 * Threads: any; no state.
 */
#ifndef OCH_OS_PROCESS_H
#define OCH_OS_PROCESS_H

#include <stddef.h>

/* Bytes of memory that the machine has. */
size_t och_process_machine_memory(void);

/*
 * Have memory that is freed go back to the system: blocks of 4 MiB and more at once,
 * and small ones come from no more heaps than there are processors.  For a program of
 * ours, before its first thread; a library leaves this to its host.
 */
void och_process_return_memory(unsigned n_cpus);

/* Give back to the system what is freed and whole pages.  A millisecond or a few. */
void och_process_trim_memory(void);

/* Its number, for people who look for it. */
unsigned long och_process_id(void);

#endif /* OCH_OS_PROCESS_H */
