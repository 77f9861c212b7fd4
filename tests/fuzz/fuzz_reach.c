/*
 * fuzz_reach.c - a file REACH of any bytes: it is read as a table or not; a table answers
 * every question; and one that is begun over it is read back as it was written.
 *
 * Input: a byte of which bits 0..3 say which blocks there are, 4..7 which of them have a right
 * head and checksum; then what the blocks are filled with, again and again.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"
#include "storage/wal_internal.h"
#include "storage/wal_reach.h"

enum { BLOCK_SIZE = 32768, N_BLOCKS = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct och_uuid database = {{7}};
static char file_bytes[(size_t) N_BLOCKS * BLOCK_SIZE];

static void
fill(const uint8_t *data, size_t size)
{
    memset(file_bytes, 0, sizeof(file_bytes));
    for (unsigned i = 0; i < N_BLOCKS && size > 1; i++) {
        char *block = file_bytes + (size_t) i * BLOCK_SIZE;
        if ((data[0] >> i & 1) == 0)
            continue;
        /* Again and again: first from the input, then what there is, as much as that. */
        size_t first = size - 1 < BLOCK_SIZE ? size - 1 : BLOCK_SIZE;
        memcpy(block, data + 1, first);
        for (size_t n = first; n < BLOCK_SIZE; n *= 2)
            memcpy(block + n, block, n < BLOCK_SIZE - n ? n : BLOCK_SIZE - n);
        if ((data[0] >> (4 + i) & 1) == 0)
            continue;
        memcpy(block, "OCHREACH", 8);
        och_store_u32(block + 8, 1);
        memcpy(block + 16, database.bytes, sizeof(database.bytes));
        och_store_u32(block + 12, och_crc32c(0, block + 16, BLOCK_SIZE - 16));
    }
}

static void
write_file(struct och_vfs *vfs, size_t size)
{
    struct och_file *file = NULL;
    ochre_status status =
            och_vfs_open(vfs, OCH_DIR_REACH, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, NULL);
    if (status == OCHRE_OK)
        status = och_file_write(file, 0, file_bytes, size, NULL);
    och_assert(status == OCHRE_OK);
    och_file_close(file);
}

/* Whatever it says, holes can be asked about. */
static void
ask(struct wal_reach *reach)
{
    static const struct wal_hole holes[] = {{1, 5}, {100, 200}, {UINT64_MAX - 1, UINT64_MAX}};
    (void) och_wal_reach_max(reach);
    bool lacking = och_wal_reach_has_lacking(reach);
    bool lacks_without_hole = false;
    for (uint32_t i = 1; i < 2 * WAL_REACH_ENTRIES; i += 97) {
        lacks_without_hole |= och_wal_reach_lacks(reach, i, i * UINT64_C(7), NULL, 0);
        (void) och_wal_reach_lacks(reach, i, i * UINT64_C(7), holes, 3);
    }
    och_assert(lacking || !lacks_without_hole);
    och_assert(reach->was_read || !lacking);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct och_mem mem;
    struct wal_reach *reach = NULL;
    unsigned n_bad = 0;
    if (size == 0)
        return 0;
    och_mem_init(&mem, NULL);
    struct sim_disk *disk = sim_disk_open(&mem, 1);
    struct och_vfs *vfs = sim_disk_vfs(disk);
    fill(data, size);
    write_file(vfs, data[0] == 0xff ? sizeof(file_bytes) - size % 5 : sizeof(file_bytes));
    och_assert(och_wal_reach_check(&mem, vfs, database, &n_bad, NULL) == OCHRE_OK);
    och_assert(och_wal_reach_make(&mem, vfs, database, &reach, NULL) == OCHRE_OK);
    och_assert(n_bad < N_BLOCKS || !reach->was_read);
    ask(reach);
    och_wal_reach_note(reach, 3, 9);
    const struct wal_reach_log log = {.next_lsn = 10,
            .oldest_lsn = 1,
            .newest_number = 2,
            .newest_salt = 5,
            .last_number = data[0]};
    const struct wal_reach_file newest = {2, 5, 11};
    och_wal_reach_judge(reach, size % 2 == 0 ? &newest : NULL, size % 7);
    ask(reach);
    och_assert(och_wal_reach_begin(reach, 11, &log, NULL) == OCHRE_OK);
    const struct och_log_record records[] = {{.collection = 3}, {.collection = 4}};
    och_assert(och_wal_reach_mark(reach, 10, records, 2));
    och_assert(och_wal_reach_file(reach, 10, 300) && och_wal_reach_floor(reach, 10, 2));
    och_assert(och_wal_reach_rest(reach, 12, true));
    uint64_t sequence = reach->table.sequence;
    och_wal_reach_close(reach);
    och_assert(och_wal_reach_make(&mem, vfs, database, &reach, NULL) == OCHRE_OK);
    och_assert(reach->was_read);
    /* One that claims the last sequence there can be is never followed by a newer one. */
    if (sequence >= 3)
        och_assert(reach->found.nonce == 11 && reach->found.sequence == sequence &&
                reach->found.reached_lsn == 11);
    och_wal_reach_close(reach);
    sim_disk_close(disk);
    return 0;
}
