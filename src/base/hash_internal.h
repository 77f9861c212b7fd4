/*
 * hash_internal.h - the parts of CRC-32C.
 *
 * Threads: any; no state.
 */
#ifndef OCH_BASE_HASH_INTERNAL_H
#define OCH_BASE_HASH_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const uint32_t och_crc32c_table[8][256]; /* see crc32c_table_generate.py */

/* Does this processor have an instruction for it that this build can use?
 * crc32c_x86.c or crc32c_other.c, as the build chose. */
bool och_crc32c_has_instruction(void);

/* och_crc32c with that instruction; only where there is one. */
uint32_t och_crc32c_by_instruction(uint32_t crc, const void *bytes, size_t size);

#endif /* OCH_BASE_HASH_INTERNAL_H */
