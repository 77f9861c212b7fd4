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

/* Its number, for people who look for it. */
unsigned long och_process_id(void);

#endif /* OCH_OS_PROCESS_H */
