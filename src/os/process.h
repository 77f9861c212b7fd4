/*
 * process.h - facts about this process.
 *
 * Threads: any; no state.
 */
#ifndef OCH_OS_PROCESS_H
#define OCH_OS_PROCESS_H

/* Its number, for people who look for it. */
unsigned long och_process_id(void);

#endif /* OCH_OS_PROCESS_H */
