/*
 * hash.h - checksums and hashes (xxHash's XXH3, CRC-32C).
 *
 * XXH3-64 finds damage and fills tables; it is not a defence against a forger.
 * Tables with client-chosen keys pass a random seed.  CRC-32C (Castagnoli)
 * guards log frames, because its polynomial finds every burst up to 32 bits.
 *
 * Threads: any; no state.
 */
#ifndef OCH_BASE_HASH_H
#define OCH_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t och_hash64(const void *bytes, size_t size);
uint64_t och_hash64_seeded(const void *bytes, size_t size, uint64_t seed);

/* CRC-32C of `bytes`, continuing from `crc` (0 to begin).  Uses the CPU's
 * instruction where there is one: about 20 GB/s; else a table, about 1 GB/s. */
uint32_t och_crc32c(uint32_t crc, const void *bytes, size_t size);

/* The same, always by table. */
uint32_t och_crc32c_by_table(uint32_t crc, const void *bytes, size_t size);

#endif /* OCH_BASE_HASH_H */
