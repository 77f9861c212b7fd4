/*
 * fuzz_wal.c - two decoders of the log.
 *
 * First byte even: the rest is the payload of a write request.  It decodes or
 * it does not; if it does, every row lies inside of it and encodes again.
 *
 * First byte odd: the rest says which groups to append to a fresh log and then
 * which bytes of its file to overwrite.  Opening gives an error or records; a
 * record that is not called damaged has the payload that was appended under
 * its LSN, and LSNs are dense.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "engine/write.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "storage/wal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_RECORDS_MAX = 64 };

static void
decode_payload(const uint8_t *data, size_t size)
{
    struct ochre_bytes payload = {(const char *) data, size};
    struct och_write write;
    struct och_write_row row;
    if (!och_write_decode(&write, payload))
        return;
    uint32_t n = 0;
    uint64_t sum = 0;
    while (och_write_next(&write, &row)) {
        sum += och_hash64(row.id.data, row.id.size);
        if (row.document.data != NULL)
            sum += och_hash64(row.document.data, row.document.size);
        if (row.uri.data != NULL)
            sum += och_hash64(row.uri.data, row.uri.size);
        if (row.fields.data != NULL)
            sum += och_hash64(row.fields.data, row.fields.size);
        if (row.vector != NULL)
            sum += och_hash64(row.vector, write.dim * sizeof(float));
        n++;
    }
    och_assert(n == write.n && sum != 1);
}

struct log {
    struct och_mem mem;
    struct sim_disk *disk;
    struct sim_machine machine;
    struct och_wal_options options;
    uint64_t hashes[N_RECORDS_MAX + 1]; /* by LSN */
    uint64_t n;
    uint64_t lsn_last;
};

static ochre_status
check_record(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct log *log = context;
    (void) err;
    och_assert(record->lsn == log->lsn_last + 1);
    log->lsn_last = record->lsn;
    och_assert(record->lsn <= log->n);
    if (!damaged)
        och_assert(
                och_hash64(record->payload.data, record->payload.size) == log->hashes[record->lsn]);
    return OCHRE_OK;
}

/* Append what the input says; returns how much of it that took. */
static size_t
append_groups(struct log *log, struct och_wal *wal, const uint8_t *data, size_t size)
{
    size_t at = 0;
    uint8_t n_groups = data[at++] % 8;
    for (uint8_t g = 0; g < n_groups && at + 2 < size; g++) {
        struct och_log_record records[4];
        size_t n = 1 + data[at++] % 4;
        size_t each = data[at++] * 40u;
        static char bytes[4][256 * 40];
        for (size_t i = 0; i < n; i++) {
            memset(bytes[i], (int) (g * 4 + i), each);
            records[i] = (struct och_log_record){.position = log->n + i + 1,
                    .collection = 1,
                    .type = OCH_RECORD_WRITE,
                    .payload = {bytes[i], each},
                    .payload_crc = och_crc32c(0, bytes[i], each)};
        }
        if (log->n + n > N_RECORDS_MAX)
            break;
        och_assert(och_wal_append(wal, records, n, NULL) == OCHRE_OK);
        for (size_t i = 0; i < n; i++)
            log->hashes[++log->n] = och_hash64(bytes[i], each);
    }
    return at;
}

static void
overwrite(struct log *log, const uint8_t *data, size_t size)
{
    struct och_file *file = NULL;
    const char *path = "log/0000000000000001.log";
    if (och_vfs_open(log->options.vfs, path, OCH_OPEN_WRITE, &file, NULL) != OCHRE_OK)
        return;
    for (size_t at = 0; at + 3 <= size; at += 3) {
        uint64_t offset = (uint64_t) data[at] << 8 | data[at + 1];
        och_assert(och_file_write(file, offset, &data[at + 2], 1, NULL) == OCHRE_OK);
    }
    och_file_close(file);
}

static void
damage_log(const uint8_t *data, size_t size)
{
    struct log log = {.n = 0};
    och_mem_init(&log.mem, NULL);
    log.disk = sim_disk_open(&log.mem, 1);
    sim_disk_set_capacity(log.disk, 1 << 20); /* small disk, small files: quick to make */
    sim_machine_init(&log.machine, 1);
    log.options = (struct och_wal_options){
            .mem = &log.mem, .vfs = sim_disk_vfs(log.disk), .machine = &log.machine.machine};
    struct och_wal *wal;
    och_assert(och_wal_open(&log.options, check_record, &log, &wal, NULL) == OCHRE_OK);
    size_t used = append_groups(&log, wal, data, size);
    och_wal_close(wal);
    overwrite(&log, data + used, size - used);
    struct ochre_error err;
    ochre_status status = och_wal_open(&log.options, check_record, &log, &wal, &err);
    och_assert(status == OCHRE_OK || status == OCHRE_CORRUPT);
    och_wal_close(wal);
    sim_disk_close(log.disk);
    och_assert(och_mem_used(&log.mem) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    if ((data[0] & 1) == 0)
        decode_payload(data + 1, size - 1);
    else
        damage_log(data + 1, size - 1);
    return 0;
}
