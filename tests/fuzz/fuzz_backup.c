/*
 * fuzz_backup.c - a backup's manifest, as found or forged.
 *
 * The first byte says what is done to the rest: 0 nothing; 1 its checksum, the last
 * eight bytes, is made right, as a forger would; 2 the same, and the grant of memory
 * that the next byte says is refused.  What is read as a manifest encodes to the bytes
 * it was read from (unless a newer ochre wrote it), and names only files that a backup
 * may have, in order.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "storage/backup_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { AS_FOUND, FORGED, SHORT, N_WAYS, SIZE_MOST = 4096, CHECKSUM = 8, MINOR_AT = 20 };

static void
make_right(uint8_t *bytes, size_t size)
{
    uint64_t hash = och_hash64(bytes, size - CHECKSUM);
    for (size_t i = 0; i < CHECKSUM; i++)
        bytes[size - CHECKSUM + i] = (uint8_t) (hash >> (8 * i));
}

static void
check_manifest(const struct och_backup_manifest *manifest, const uint8_t *bytes, size_t size)
{
    struct och_buf buf;
    uint64_t n_bytes = 0;
    for (size_t i = 0; i < manifest->n_members; i++) {
        const struct och_backup_member *member = &manifest->members[i];
        och_assert(och_backup_is_member(member->path));
        och_assert(i == 0 || strcmp(manifest->members[i - 1].path, member->path) < 0);
        n_bytes += member->size;
        char stored[OCH_BACKUP_STORED_SIZE];
        och_backup_stored(member, stored);
        och_assert(strlen(stored) == sizeof(stored) - 1 && strncmp(stored, "files/", 6) == 0);
    }
    och_assert(n_bytes == manifest->n_bytes);
    if (och_load_u32((const char *) bytes + MINOR_AT) != 0)
        return; /* a newer one's, of which something was ignored */
    och_buf_init(&buf, manifest->mem, SIZE_MOST);
    och_backup_manifest_encode(manifest, &buf);
    och_assert(och_buf_status(&buf) == OCHRE_OK);
    och_assert(buf.size == size && memcmp(buf.data, bytes, size) == 0);
    och_buf_clear(&buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[SIZE_MOST];
    struct och_mem mem;
    struct och_backup_manifest manifest;
    if (size < 2 || size - 2 > SIZE_MOST)
        return 0;
    int way = data[0] % N_WAYS;
    uint8_t grant = data[1];
    data += 2;
    size -= 2;
    memcpy(bytes, data, size);
    if (way != AS_FOUND && size >= CHECKSUM)
        make_right(bytes, size);
    och_mem_init(&mem, NULL);
    och_backup_manifest_init(&manifest, &mem);
    if (way == SHORT)
        mem.fail_at = mem.n_grants + 1 + grant;
    ochre_status status = och_backup_manifest_decode(&manifest, bytes, size, NULL);
    mem.fail_at = 0;
    och_assert(status == OCHRE_OK || status == OCHRE_CORRUPT || status == OCHRE_UNSUPPORTED ||
            status == OCHRE_TOO_LARGE || (status == OCHRE_NO_MEMORY && way == SHORT));
    if (status == OCHRE_OK)
        check_manifest(&manifest, bytes, size);
    och_backup_manifest_clear(&manifest);
    och_assert(och_mem_used(&mem) == 0);
    return 0;
}
