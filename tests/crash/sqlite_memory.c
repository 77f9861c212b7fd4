#include "crash/sqlite_memory.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

/* SQLite's own allocator, and what is done in front of it. */
static sqlite3_mem_methods inner;
static uint64_t fail_in;
static bool fail_goes_on;
static bool has_failed;
static uint64_t n_blocks;

static bool
strikes(void)
{
    if (fail_in == 0)
        return false;
    if (fail_in > 1) {
        fail_in--;
        return false;
    }
    if (!fail_goes_on)
        fail_in = 0;
    has_failed = true;
    return true;
}

static void *
take(int size)
{
    void *block = strikes() ? NULL : inner.xMalloc(size);
    n_blocks += block != NULL;
    return block;
}

static void *
resize(void *block, int size)
{
    return strikes() ? NULL : inner.xRealloc(block, size);
}

static void
give_back(void *block)
{
    n_blocks -= block != NULL;
    inner.xFree(block);
}

void
sqlite_memory_install(void)
{
    int code = sqlite3_config(SQLITE_CONFIG_GETMALLOC, &inner);
    sqlite3_mem_methods counted = inner;
    counted.xMalloc = take;
    counted.xRealloc = resize;
    counted.xFree = give_back;
    if (code == SQLITE_OK)
        code = sqlite3_config(SQLITE_CONFIG_MALLOC, &counted);
    /* Small blocks of a connection would otherwise come from a block of their own. */
    if (code == SQLITE_OK)
        code = sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
    if (code == SQLITE_OK)
        code = sqlite3_initialize();
    if (code != SQLITE_OK) {
        (void) fprintf(stderr, "SQLite does not let its memory be counted (%d)\n", code);
        abort();
    }
}

void
sqlite_memory_fail(uint64_t n, bool from_then_on)
{
    fail_in = n;
    fail_goes_on = from_then_on;
    has_failed = false;
}

bool
sqlite_memory_has_failed(void)
{
    return has_failed;
}

uint64_t
sqlite_memory_blocks(void)
{
    return n_blocks;
}
