/*
 * sqlite_memory.h - SQLite's memory in this program: counted, and refused on
 * demand.  The library itself never calls sqlite3_config, because a program
 * that embeds it may share SQLite with others; a test program may.
 *
 * Threads: one at a time.
 */
#ifndef OCH_TESTS_CRASH_SQLITE_MEMORY_H
#define OCH_TESTS_CRASH_SQLITE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

/* Before SQLite is first used. */
void sqlite_memory_install(void);

/* Refuse the n-th allocation from now on, or that and all later ones; n = 0
 * refuses nothing. */
void sqlite_memory_fail(uint64_t n, bool from_then_on);

/* Has one been refused since? */
bool sqlite_memory_has_failed(void);

/* Blocks that SQLite holds now. */
uint64_t sqlite_memory_blocks(void);

#endif /* OCH_TESTS_CRASH_SQLITE_MEMORY_H */
