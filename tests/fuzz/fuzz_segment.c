/*
 * fuzz_segment.c - a segment file with bytes overwritten.
 *
 * The target seals a small head once.  The input says which bytes of the file
 * to overwrite, and whether the checksums are then made right again, so that
 * the checks behind them are reached too: a checksum does not protect from a
 * bug in whoever wrote the file.  Opening, verifying and reading everything
 * gives an error or values inside the file; never a crash.  With checksums left
 * alone, what is read is what was sealed.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "index/meta/fields.h"
#include "os/vfs.h"
#include "segment/deletes.h"
#include "segment/head.h"
#include "segment/seal.h"
#include "segment/segment.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_ROWS = 9, DIM = 3 };

static const struct och_uuid collection = {{1}};

struct fixture {
    struct och_mem mem;
    struct sim_disk *disk;
    struct och_vfs *vfs;
    char path[OCH_PATH_SIZE_MAX];
    char *file; /* the segment's bytes, to be damaged */
    size_t size;
};

static void
seal_one(struct fixture *f)
{
    struct och_head *head;
    och_assert(och_head_make(&f->mem, DIM, &head) == OCHRE_OK);
    static const char fields[] = "\1\0\0\0\1\0\2\0\10\0\0\0k\7\0\0\0\0\0\0\0";
    for (uint64_t i = 0; i < N_ROWS; i++) {
        char id[16];
        int length = snprintf(id, sizeof(id), "id%llu", (unsigned long long) i);
        float vector[DIM] = {(float) i, 1, 2};
        struct och_head_insert insert = {.ordinal = i * 2,
                .position = 1,
                .vector = vector,
                .norm = 1,
                .texts = {.id = {id, (size_t) length}}};
        if (i % 2 == 0)
            insert.texts.document = (struct ochre_bytes){"some text", 9};
        if (i % 3 == 0)
            insert.texts.fields = (struct ochre_bytes){fields, sizeof(fields) - 1};
        och_assert(och_head_append(head, &insert) == OCHRE_OK);
    }
    struct och_seal seal = {.mem = &f->mem,
            .vfs = f->vfs,
            .collection = collection,
            .id = 1,
            .position = 1,
            .head = head};
    uint64_t hash;
    uint64_t size;
    och_assert(och_seal_rows(&seal, NULL) == OCHRE_OK);
    och_assert(och_seal_write(&seal, &hash, &size, NULL) == OCHRE_OK);
    och_seal_clear(&seal);
    och_head_release(head);
    f->size = (size_t) size;
}

/* Make every checksum fit the bytes again, as far as the offsets allow. */
static void
mend(struct fixture *f)
{
    char *footer = f->file + f->size - OCH_SEGMENT_FOOTER_SIZE;
    uint64_t root = och_load_u64(footer);
    uint64_t root_size = och_load_u64(footer + 8);
    uint64_t end = f->size - OCH_SEGMENT_FOOTER_SIZE;
    if (root <= end && root_size <= end - root) {
        uint64_t n_pages = (root + OCH_PAGE_SIZE - 1) / OCH_PAGE_SIZE;
        if (n_pages * 8 <= root_size) {
            char *hashes = f->file + root + root_size - n_pages * 8;
            for (uint64_t page = 0; page < n_pages; page++) {
                uint64_t begin = page * OCH_PAGE_SIZE;
                uint64_t stop = begin + OCH_PAGE_SIZE < root ? begin + OCH_PAGE_SIZE : root;
                och_store_u64(hashes + page * 8, och_hash64(f->file + begin, stop - begin));
            }
        }
        och_store_u64(footer + 32, och_hash64(f->file + root, root_size));
    }
    och_store_u64(footer + 48, och_hash64(footer, 48));
}

static void
write_back(struct fixture *f)
{
    struct och_file *file;
    och_assert(och_vfs_open(f->vfs, f->path, OCH_OPEN_WRITE, &file, NULL) == OCHRE_OK);
    och_assert(och_file_write(file, 0, f->file, f->size, NULL) == OCHRE_OK);
    och_file_close(file);
}

static uint64_t
read_everything(struct och_segment *segment)
{
    uint64_t sum = 0;
    for (uint32_t row = 0; row < segment->n_rows; row++) {
        struct ochre_bytes texts[4] = {och_segment_id(segment, row),
                och_segment_document(segment, row), och_segment_uri(segment, row),
                och_segment_fields(segment, row)};
        for (int i = 0; i < 4; i++)
            if (texts[i].data != NULL)
                sum = sum * 31 + och_hash64(texts[i].data, texts[i].size);
        sum += och_fields_are_valid(texts[3]);
        uint32_t found;
        if (texts[0].data != NULL)
            sum += (uint64_t) och_segment_find(segment, texts[0], &found, NULL);
        sum = sum * 31 + och_segment_ordinals(segment)[row];
    }
    return sum +
            och_hash64(och_segment_vectors(segment),
                    (size_t) segment->n_rows * segment->dim * sizeof(float));
}

/* 0 when the file was refused. */
static uint64_t
try_file(struct fixture *f)
{
    struct och_segment *segment;
    struct ochre_error err;
    ochre_status status = och_segment_open(&f->mem, f->vfs, collection, 1, &segment, &err);
    if (status == OCHRE_OK) {
        unsigned all = OCH_COLUMN_VECTORS | OCH_COLUMN_IDS | OCH_COLUMN_DOCUMENTS |
                OCH_COLUMN_URIS | OCH_COLUMN_FIELDS | OCH_COLUMN_ORDINALS;
        status = och_segment_load(segment, all, &err);
    }
    uint64_t sum = status == OCHRE_OK ? read_everything(segment) | 1 : 0;
    och_assert(status == OCHRE_OK || status == OCHRE_CORRUPT || status == OCHRE_NO_MEMORY);
    och_segment_release(segment);
    return sum;
}

static void
damage(struct fixture *f, const uint8_t *data, size_t size)
{
    bool mended = (data[0] & 1) != 0;
    uint64_t whole = try_file(f);
    och_assert(whole != 0);
    for (size_t at = 1; at + 3 <= size; at += 3) {
        /* Three bytes: half of them aim at the root and footer, where it is dense. */
        size_t offset = (size_t) data[at] << 8 | data[at + 1];
        offset = (data[at] & 0x80) != 0 ? f->size - 1 - (offset & 0x7fff) % 2048
                                        : offset * 7 % f->size;
        f->file[offset] = (char) data[at + 2];
    }
    if (mended)
        mend(f);
    write_back(f);
    uint64_t sum = try_file(f);
    if (!mended)
        och_assert(sum == 0 || sum == whole);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct fixture f = {.size = 0};
    och_mem_init(&f.mem, NULL);
    f.disk = sim_disk_open(&f.mem, 1);
    f.vfs = sim_disk_vfs(f.disk);
    och_assert(och_vfs_mkdir(f.vfs, OCH_DIR_TMP, NULL) == OCHRE_OK);
    och_assert(och_vfs_mkdir(f.vfs, OCH_DIR_SEGMENTS, NULL) == OCHRE_OK);
    och_segment_path(f.path, sizeof(f.path), collection, 1);
    seal_one(&f);
    f.file = och_mem_take(&f.mem, f.size);
    struct och_file *file;
    och_assert(och_vfs_open(f.vfs, f.path, OCH_OPEN_READ, &file, NULL) == OCHRE_OK);
    och_assert(och_file_read_all(file, 0, f.file, f.size, NULL) == OCHRE_OK);
    och_file_close(file);
    damage(&f, data, size);
    och_mem_release(&f.mem, f.file, f.size);
    sim_disk_close(f.disk);
    och_assert(och_mem_used(&f.mem) == 0);
    return 0;
}
