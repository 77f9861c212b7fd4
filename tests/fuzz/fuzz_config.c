/*
 * fuzz_config.c - the input is a configuration file.
 *
 * Beyond not crashing: an error names a place, and nothing is leaked.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "cli/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct och_mem mem;
    struct och_arena arena;
    struct ochre_error err = {0};
    struct och_config config = och_config_defaults();
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    ochre_status status = och_config_parse(&config, &arena, "c", (const char *) data, size, &err);
    if (status == OCHRE_OK)
        och_assert(config.path != NULL && config.host != NULL && config.path[0] != '\0');
    else
        och_assert(status == OCHRE_INVALID && strncmp(err.message, "c:", 2) == 0);
    och_arena_clear(&arena);
    och_assert(och_mem_used(&mem) == 0);
    return 0;
}
