#include "storage/wal_reach.h"

#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "os/vfs.h"
#include "storage/directory.h"
#include "storage/wal_internal.h"

#define MAGIC UINT64_C(0x484341455248434f) /* "OCHREACH" */
#define VERSION 1u
#define BLOCK_SIZE ((size_t) 32768)
#define N_BLOCKS 4u
#define ENTRIES_AT ((size_t) 96)
/* No LSN or number comes near it: one that does was put there. */
#define NUMBER_MAX (UINT64_C(1) << 62)

static_assert(ENTRIES_AT + WAL_REACH_ENTRIES * sizeof(uint64_t) == BLOCK_SIZE, "");

static uint32_t
entry_of(uint32_t collection)
{
    return collection % WAL_REACH_ENTRIES;
}

static void
set_bit(uint64_t *bits, uint32_t i)
{
    bits[i / 64] |= UINT64_C(1) << i % 64;
}

static bool
has_bit(const uint64_t *bits, uint32_t i)
{
    return (bits[i / 64] >> i % 64 & 1) != 0;
}

/* --- blocks ----------------------------------------------------------------------- */

/* 0 magic | 8 u32 version | 12 u32 CRC-32C of the rest | 16 database 16 | 32 nonce |
 * 40 sequence | 48 opened lsn | 56 newest number | 64 newest salt | 72 reached lsn |
 * 80 last number | 88 floor lsn | 96 entries */

static void
put_block(char *block, struct och_uuid database, const struct wal_reach_table *table)
{
    memset(block, 0, ENTRIES_AT);
    och_store_u64(block, MAGIC);
    och_store_u32(block + 8, VERSION);
    memcpy(block + 16, database.bytes, sizeof(database.bytes));
    och_store_u64(block + 32, table->nonce);
    och_store_u64(block + 40, table->sequence);
    och_store_u64(block + 48, table->opened_lsn);
    och_store_u64(block + 56, table->newest_number);
    och_store_u64(block + 64, table->newest_salt);
    och_store_u64(block + 72, table->reached_lsn);
    och_store_u64(block + 80, table->last_number);
    och_store_u64(block + 88, table->floor_lsn);
    for (size_t i = 0; i < WAL_REACH_ENTRIES; i++)
        och_store_u64(block + ENTRIES_AT + i * sizeof(uint64_t), table->entries[i]);
    och_store_u32(block + 12, och_crc32c(0, block + 16, BLOCK_SIZE - 16));
}

/* False: no block of this database. */
static bool
get_block(const char *block, struct och_uuid database, struct wal_reach_table *table_out)
{
    if (och_load_u64(block) != MAGIC || och_load_u32(block + 8) != VERSION ||
            och_load_u32(block + 12) != och_crc32c(0, block + 16, BLOCK_SIZE - 16) ||
            memcmp(block + 16, database.bytes, sizeof(database.bytes)) != 0)
        return false;
    table_out->nonce = och_load_u64(block + 32);
    table_out->sequence = och_load_u64(block + 40);
    table_out->opened_lsn = och_load_u64(block + 48);
    table_out->newest_number = och_load_u64(block + 56);
    table_out->newest_salt = och_load_u64(block + 64);
    table_out->reached_lsn = och_load_u64(block + 72);
    table_out->last_number = och_load_u64(block + 80);
    table_out->floor_lsn = och_load_u64(block + 88);
    for (size_t i = 0; i < WAL_REACH_ENTRIES; i++)
        table_out->entries[i] = och_load_u64(block + ENTRIES_AT + i * sizeof(uint64_t));
    return table_out->sequence < NUMBER_MAX && table_out->opened_lsn < NUMBER_MAX &&
            table_out->reached_lsn < NUMBER_MAX && table_out->floor_lsn < NUMBER_MAX &&
            table_out->newest_number < NUMBER_MAX && table_out->last_number < NUMBER_MAX;
}

/* The blocks; those that cannot be read are zeros, and say so. */
struct blocks {
    char *bytes; /* owned; NULL: there is no file, or a part of one */
    bool is_unreadable[N_BLOCKS];
};

static void
release_blocks(struct och_mem *mem, struct blocks *blocks)
{
    if (blocks->bytes != NULL)
        och_mem_release(mem, blocks->bytes, N_BLOCKS * BLOCK_SIZE);
    blocks->bytes = NULL;
}

/* One bad sector costs one copy. */
static ochre_status
read_each(struct och_file *file, struct blocks *blocks, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < N_BLOCKS && status == OCHRE_OK; i++) {
        char *block = blocks->bytes + i * BLOCK_SIZE;
        status = och_file_read_all(file, i * BLOCK_SIZE, block, BLOCK_SIZE, err);
        blocks->is_unreadable[i] = status == OCHRE_IO;
        if (status != OCHRE_IO)
            continue;
        memset(block, 0, BLOCK_SIZE);
        status = OCHRE_OK;
    }
    return status;
}

static ochre_status
read_blocks(struct och_mem *mem, struct och_vfs *vfs, struct blocks *blocks_out,
        struct ochre_error *err)
{
    struct och_file *file = NULL;
    *blocks_out = (struct blocks){.bytes = och_mem_take(mem, N_BLOCKS * BLOCK_SIZE)};
    if (blocks_out->bytes == NULL)
        return och_fail_memory(err);
    ochre_status status = och_vfs_open(vfs, OCH_DIR_REACH, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_OK)
        status = read_each(file, blocks_out, err);
    och_file_close(file);
    if (status != OCHRE_OK)
        release_blocks(mem, blocks_out);
    return status;
}

static bool
is_zero(const char *block)
{
    for (size_t i = 0; i < BLOCK_SIZE; i++)
        if (block[i] != 0)
            return false;
    return true;
}

/* May a state be newer than all that could be read?  Where a copy is unreadable, and the other
 * one is neither whole nor was ever written. */
static bool
may_hide_state(
        const struct wal_reach *reach, const struct blocks *blocks, struct wal_reach_table *scratch)
{
    for (size_t i = 0; i < N_BLOCKS; i++) {
        size_t twin = (i + N_BLOCKS / 2) % N_BLOCKS;
        const char *other = blocks->bytes + twin * BLOCK_SIZE;
        if (blocks->is_unreadable[i] &&
                (blocks->is_unreadable[twin] ||
                        (!get_block(other, reach->database, scratch) && !is_zero(other))))
            return true;
    }
    return false;
}

/* The newest state of which a copy is whole.  One that was being written when power failed
 * is in neither; nothing was answered that depends on it. */
static ochre_status
read_table(struct wal_reach *reach, struct ochre_error *err)
{
    struct blocks blocks;
    struct ochre_error why = {.status = OCHRE_OK};
    struct wal_reach_table *table = och_mem_take(reach->mem, sizeof(*table));
    if (table == NULL)
        return och_fail_memory(err);
    ochre_status status = read_blocks(reach->mem, reach->vfs, &blocks, &why);
    for (size_t i = 0; blocks.bytes != NULL && i < N_BLOCKS; i++) {
        if (get_block(blocks.bytes + i * BLOCK_SIZE, reach->database, table) &&
                (!reach->is_found || table->sequence > reach->found.sequence)) {
            reach->found = *table;
            reach->is_found = reach->was_read = true;
        }
    }
    if (blocks.bytes != NULL && may_hide_state(reach, &blocks, table))
        status = och_fail(
                &why, OCHRE_IO, "%s: both copies of a state cannot be read", OCH_DIR_REACH);
    release_blocks(reach->mem, &blocks);
    och_mem_release(reach->mem, table, sizeof(*table));
    /* Without one the log has to be whole; one that cannot be read now may say that it is not. */
    if (status == OCHRE_OK || status == OCHRE_NOT_FOUND || status == OCHRE_CORRUPT)
        return OCHRE_OK;
    if (err != NULL)
        *err = why;
    return status;
}

ochre_status
och_wal_reach_check(struct och_mem *mem, struct och_vfs *vfs, struct och_uuid database,
        unsigned *n_bad_out, struct ochre_error *err)
{
    struct blocks blocks;
    struct ochre_error why = {.status = OCHRE_OK};
    *n_bad_out = 0;
    struct wal_reach_table *table = och_mem_take(mem, sizeof(*table));
    if (table == NULL)
        return och_fail_memory(err);
    ochre_status status = read_blocks(mem, vfs, &blocks, &why);
    if (status == OCHRE_CORRUPT) {
        *n_bad_out = N_BLOCKS;
        status = OCHRE_OK;
    }
    for (size_t i = 0; blocks.bytes != NULL && i < N_BLOCKS; i++) {
        const char *block = blocks.bytes + i * BLOCK_SIZE;
        bool is_bad = !get_block(block, database, table) && !is_zero(block);
        *n_bad_out += is_bad || blocks.is_unreadable[i];
    }
    release_blocks(mem, &blocks);
    och_mem_release(mem, table, sizeof(*table));
    if (status != OCHRE_OK && err != NULL)
        *err = why;
    return status;
}

/* Write the table as the state after the newest, to both of its places. */
static ochre_status
write_table(struct wal_reach *reach, uint64_t next_lsn, struct ochre_error *err)
{
    reach->table.sequence++;
    reach->table.reached_lsn = next_lsn - 1;
    char *block = och_mem_take(reach->mem, BLOCK_SIZE);
    if (block == NULL)
        return och_fail_memory(err);
    put_block(block, reach->database, &reach->table);
    uint64_t at = reach->table.sequence % 2 * BLOCK_SIZE;
    ochre_status status = och_file_write(reach->file, at, block, BLOCK_SIZE, err);
    if (status == OCHRE_OK)
        status = och_file_write(reach->file, at + 2 * BLOCK_SIZE, block, BLOCK_SIZE, err);
    if (status == OCHRE_OK)
        status = och_file_sync(reach->file, err);
    och_mem_release(reach->mem, block, BLOCK_SIZE);
    /* The next one goes where this one failed: the one before it is all that there surely is. */
    reach->table.sequence += status != OCHRE_OK;
    return status;
}

/* --- a table's life ------------------------------------------------------------------ */

ochre_status
och_wal_reach_make(struct och_mem *mem, struct och_vfs *vfs, struct och_uuid database,
        struct wal_reach **reach_out, struct ochre_error *err)
{
    struct wal_reach *reach = och_mem_take_zeroed(mem, sizeof(*reach));
    *reach_out = reach;
    if (reach == NULL)
        return och_fail_memory(err);
    reach->mem = mem;
    reach->vfs = vfs;
    reach->database = database;
    ochre_status status = read_table(reach, err);
    if (status != OCHRE_OK) {
        och_wal_reach_close(reach);
        *reach_out = NULL;
    }
    return status;
}

static void
give_up(struct wal_reach *reach)
{
    och_file_close(reach->file);
    reach->file = NULL;
    reach->n_marked = 0;
}

void
och_wal_reach_close(struct wal_reach *reach)
{
    if (reach == NULL)
        return;
    give_up(reach);
    och_mem_release(reach->mem, reach, sizeof(*reach));
}

void
och_wal_reach_judge(
        struct wal_reach *reach, const struct wal_reach_file *newest, uint64_t last_number)
{
    const struct wal_reach_table *found = &reach->found;
    bool counts = true;
    if (newest != NULL && newest->nonce != found->nonce)
        counts = newest->number == found->newest_number
                ? newest->salt == found->newest_salt
                : newest->number < found->newest_number && newest->nonce != 0;
    /* One that cannot be read may be one that says that no table was kept. */
    if (found->floor_lsn != 0 && last_number > found->last_number)
        counts = false;
    reach->was_read = reach->was_read && counts;
}

bool
och_wal_reach_knows_files(const struct wal_reach *reach)
{
    return reach->was_read && reach->found.floor_lsn != 0;
}

uint64_t
och_wal_reach_max(const struct wal_reach *reach)
{
    return reach->was_read ? reach->found.reached_lsn : 0;
}

void
och_wal_reach_note(struct wal_reach *reach, uint32_t collection, uint64_t lsn)
{
    if (collection == 0)
        return;
    uint32_t i = entry_of(collection);
    if (lsn > reach->last[i])
        reach->last[i] = lsn;
}

bool
och_wal_reach_has_lacking(const struct wal_reach *reach)
{
    for (uint32_t i = 0; i < WAL_REACH_ENTRIES && reach->is_found; i++)
        if ((reach->found.entries[i] & ~WAL_REACH_MARKED) == WAL_REACH_LACKS)
            return true;
    return false;
}

/*
 * All records of a collection at rest are known, if the last one of them is (positions, which
 * are dense, tell of those before it), or if it was written before the hole.  A mark tells of
 * records from where the log stood when the table was begun.
 */
static bool
is_hit(const struct wal_reach *reach, uint64_t entry, uint64_t lsn, const struct wal_hole *hole)
{
    uint64_t last = entry & ~WAL_REACH_MARKED;
    bool is_marked = (entry & WAL_REACH_MARKED) != 0 && hole->to > reach->found.opened_lsn;
    return hole->to > lsn && (is_marked || (last > lsn && last >= hole->from));
}

bool
och_wal_reach_lacks(struct wal_reach *reach, uint32_t collection, uint64_t lsn,
        const struct wal_hole *holes, size_t n)
{
    if (!reach->is_found)
        return false;
    uint32_t i = entry_of(collection);
    uint64_t entry = reach->found.entries[i];
    /* What was found missing once stays so, whatever became of the hole. */
    bool lacks = (entry & ~WAL_REACH_MARKED) == WAL_REACH_LACKS;
    for (size_t k = 0; k < n && !lacks && reach->was_read; k++)
        lacks = is_hit(reach, entry, lsn, &holes[k]);
    if (lacks)
        set_bit(reach->lacks, i);
    return lacks;
}

ochre_status
och_wal_reach_begin(struct wal_reach *reach, uint64_t nonce, const struct wal_reach_log *log,
        struct ochre_error *err)
{
    static const char zeros[2 * BLOCK_SIZE];
    struct wal_reach_table *table = &reach->table;
    bool is_first = !reach->is_found && table->sequence == 0;
    if (reach->is_found && reach->found.sequence > table->sequence)
        table->sequence = reach->found.sequence;
    table->nonce = nonce;
    table->opened_lsn = log->next_lsn;
    table->newest_number = log->newest_number;
    table->newest_salt = log->newest_salt;
    table->last_number = log->last_number;
    table->floor_lsn = log->oldest_lsn;
    for (uint32_t i = 0; i < WAL_REACH_ENTRIES; i++)
        table->entries[i] = has_bit(reach->lacks, i) ? WAL_REACH_LACKS : reach->last[i];
    give_up(reach);
    ochre_status status = och_vfs_open(
            reach->vfs, OCH_DIR_REACH, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &reach->file, err);
    if (status == OCHRE_OK)
        status = och_file_allocate(reach->file, N_BLOCKS * BLOCK_SIZE, err);
    /* So that no later write needs space. */
    for (uint64_t i = 0; i < N_BLOCKS && status == OCHRE_OK && is_first; i += 2)
        status = och_file_write(reach->file, i * BLOCK_SIZE, zeros, sizeof(zeros), err);
    if (status == OCHRE_OK)
        status = write_table(reach, log->next_lsn, err);
    if (status == OCHRE_OK && !reach->is_found)
        status = och_vfs_sync_dir(reach->vfs, "", err);
    if (status != OCHRE_OK)
        give_up(reach);
    return status;
}

/* Write a table that is kept, or give it up. */
static bool
keep(struct wal_reach *reach, uint64_t next_lsn)
{
    if (write_table(reach, next_lsn, NULL) == OCHRE_OK)
        return true;
    give_up(reach);
    return false;
}

bool
och_wal_reach_mark(
        struct wal_reach *reach, uint64_t next_lsn, const struct och_log_record *records, size_t n)
{
    bool changes = false;
    if (reach->file == NULL)
        return true;
    for (size_t k = 0; k < n; k++) {
        if (records[k].collection == 0)
            continue;
        uint32_t i = entry_of(records[k].collection);
        set_bit(reach->is_busy, i);
        if ((reach->table.entries[i] & WAL_REACH_MARKED) != 0)
            continue;
        reach->table.entries[i] |= WAL_REACH_MARKED;
        reach->n_marked++;
        changes = true;
    }
    return !changes || keep(reach, next_lsn);
}

bool
och_wal_reach_rest(struct wal_reach *reach, uint64_t next_lsn, bool all)
{
    bool changes = reach->table.reached_lsn != next_lsn - 1;
    for (uint32_t i = 0; i < WAL_REACH_ENTRIES && reach->n_marked > 0; i++) {
        uint64_t *entry = &reach->table.entries[i];
        if ((*entry & WAL_REACH_MARKED) == 0 || (!all && has_bit(reach->is_busy, i)))
            continue;
        bool lacks = (*entry & ~WAL_REACH_MARKED) == WAL_REACH_LACKS;
        *entry = lacks ? WAL_REACH_LACKS : reach->last[i];
        reach->n_marked--;
        changes = true;
    }
    memset(reach->is_busy, 0, sizeof(reach->is_busy));
    return !changes || keep(reach, next_lsn);
}

bool
och_wal_reach_file(struct wal_reach *reach, uint64_t next_lsn, uint64_t number)
{
    if (reach->file == NULL)
        return true;
    reach->table.last_number = number;
    return keep(reach, next_lsn);
}

bool
och_wal_reach_floor(struct wal_reach *reach, uint64_t next_lsn, uint64_t floor_lsn)
{
    if (reach->file == NULL || reach->table.floor_lsn >= floor_lsn)
        return true;
    reach->table.floor_lsn = floor_lsn;
    return keep(reach, next_lsn);
}

/* --- for a copy of the log --------------------------------------------------------- */

/* A file of one state, twice. */
static void
put_file(struct och_buf *out, struct och_uuid database, const struct wal_reach_table *table)
{
    char *blocks = och_buf_extend(out, N_BLOCKS * BLOCK_SIZE);
    if (blocks == NULL)
        return; /* the buffer says so */
    put_block(blocks, database, table);
    memset(blocks + BLOCK_SIZE, 0, BLOCK_SIZE);
    memcpy(blocks + 2 * BLOCK_SIZE, blocks, 2 * BLOCK_SIZE);
}

void
och_wal_reach_put(
        const struct wal_reach *reach, const struct wal_reach_log *log, struct och_buf *out)
{
    struct wal_reach_table *table = och_mem_take_zeroed(reach->mem, sizeof(*table));
    if (table == NULL) {
        out->failed = true;
        return;
    }
    bool is_kept = reach->file != NULL;
    table->nonce = is_kept ? reach->table.nonce : 1;
    table->sequence = 2;
    table->opened_lsn = is_kept ? reach->table.opened_lsn : 1;
    table->reached_lsn = log->next_lsn - 1;
    table->newest_number = log->newest_number;
    table->newest_salt = log->newest_salt;
    table->last_number = log->last_number;
    table->floor_lsn = log->oldest_lsn;
    for (uint32_t i = 0; i < WAL_REACH_ENTRIES; i++) {
        bool lacks = has_bit(reach->lacks, i);
        table->entries[i] = is_kept ? reach->table.entries[i]
                : lacks             ? WAL_REACH_LACKS
                                    : reach->last[i] | WAL_REACH_MARKED;
    }
    put_file(out, reach->database, table);
    och_mem_release(reach->mem, table, sizeof(*table));
}

ochre_status
och_wal_reach_put_least(struct och_mem *mem, struct och_vfs *vfs, struct och_uuid database,
        struct och_buf *out, struct ochre_error *err)
{
    struct wal_reach *reach = NULL;
    ochre_status status = och_wal_reach_make(mem, vfs, database, &reach, err);
    if (status == OCHRE_OK && reach->was_read) {
        /* Files come and go meanwhile. */
        reach->found.last_number = 0;
        reach->found.floor_lsn = 0;
        put_file(out, database, &reach->found);
    }
    och_wal_reach_close(reach);
    return status;
}
