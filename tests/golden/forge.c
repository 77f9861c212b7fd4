/*
 * forge - write another version into a file of a database, with every checksum that
 * covers it made right: what a later ochre might have left.
 *
 *     forge format|catalog|log|segment|deletes|backup FILE VERSION
 *
 * Knows where versions and checksums stand from docs/formats alone; of ochre's code it
 * uses the hashes.  A test's program: says what is wrong and exits 1.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"

enum {
    FILE_SIZE_MAX = 8 << 20,
    FORMAT_HASH_AT = 40,
    LOG_COPY_AT = 2048,
    LOG_HEADER_SIZE = 56,
    CATALOG_VERSION_AT = 60,
    CATALOG_CHECKED = 4088,
    SEGMENT_PAGE = 65536,
    SEGMENT_FOOTER = 64,
    SEGMENT_ENTRY = 48,
    SEGMENT_IDENTITY = 16 + 8 + 8 + 4
};

static char bytes[FILE_SIZE_MAX];
static size_t n_bytes;

static bool
forge_format(uint32_t version)
{
    och_store_u32(bytes + 16, version);
    och_store_u64(bytes + FORMAT_HASH_AT, och_hash64(bytes, FORMAT_HASH_AT));
    return n_bytes == FORMAT_HASH_AT + 8;
}

static bool
forge_catalog(uint32_t version)
{
    for (size_t i = 0; i < 4; i++)
        bytes[CATALOG_VERSION_AT + i] = (char) (version >> (24 - 8 * i) & 0xff);
    och_store_u64(bytes + CATALOG_CHECKED, och_hash64_seeded(bytes, CATALOG_CHECKED, 1));
    return n_bytes >= CATALOG_CHECKED + 8;
}

static bool
forge_log(uint32_t version)
{
    for (size_t at = 0; at <= LOG_COPY_AT; at += LOG_COPY_AT) {
        char *header = bytes + at;
        och_store_u32(header + 8, version);
        och_store_u32(header + LOG_HEADER_SIZE - 4, och_crc32c(0, header, LOG_HEADER_SIZE - 4));
    }
    return n_bytes > LOG_COPY_AT + LOG_HEADER_SIZE;
}

static bool
forge_segment(uint32_t version)
{
    if (n_bytes < SEGMENT_PAGE + SEGMENT_FOOTER)
        return false;
    char *footer = bytes + n_bytes - SEGMENT_FOOTER;
    uint64_t root_at = och_load_u64(footer);
    uint64_t root_size = och_load_u64(footer + 8);
    if (root_at > n_bytes || root_size != n_bytes - SEGMENT_FOOTER - root_at)
        return false;
    char *root = bytes + root_at;
    size_t hashes_at = 4 + (size_t) och_load_u32(root) * SEGMENT_ENTRY + SEGMENT_IDENTITY;
    if (hashes_at + 8 > root_size)
        return false;
    och_store_u32(bytes + 8, version);
    och_store_u64(root + hashes_at, och_hash64(bytes, SEGMENT_PAGE));
    och_store_u64(footer + 32, och_hash64(root, (size_t) root_size));
    och_store_u64(footer + 48, och_hash64(footer, 48));
    return true;
}

static bool
forge_deletes(uint32_t version)
{
    bytes[7] = (char) ('0' + version % 10);
    och_store_u64(bytes + n_bytes - 8, och_hash64(bytes, n_bytes - 8));
    return n_bytes > 40;
}

static bool
forge_backup(uint32_t version)
{
    och_store_u32(bytes + 16, version);
    och_store_u64(bytes + n_bytes - 8, och_hash64(bytes, n_bytes - 8));
    return n_bytes > 72;
}

static const struct {
    const char *name;
    bool (*forge)(uint32_t version);
} kinds[] = {
        {"format", forge_format},
        {"catalog", forge_catalog},
        {"log", forge_log},
        {"segment", forge_segment},
        {"deletes", forge_deletes},
        {"backup", forge_backup},
};

int
main(int argc, char **argv)
{
    for (size_t i = 0; argc == 4 && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(argv[1], kinds[i].name) != 0)
            continue;
        FILE *file = fopen(argv[2], "r+b");
        if (file == NULL) {
            perror(argv[2]);
            return 1;
        }
        n_bytes = fread(bytes, 1, sizeof(bytes), file);
        bool done = n_bytes > 8 && n_bytes < sizeof(bytes) &&
                kinds[i].forge((uint32_t) strtoul(argv[3], NULL, 10)) &&
                fseek(file, 0, SEEK_SET) == 0 && fwrite(bytes, 1, n_bytes, file) == n_bytes;
        done &= fclose(file) == 0;
        if (!done)
            (void) fprintf(stderr, "%s: not a file of kind %s\n", argv[2], argv[1]);
        return done ? 0 : 1;
    }
    (void) fprintf(stderr, "usage: forge KIND FILE VERSION\n");
    return 1;
}
