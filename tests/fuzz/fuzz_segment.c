/*
 * fuzz_segment.c - a segment file, or its delete file, with bytes overwritten.
 *
 * The target seals a small head once and keeps the disk; each run works on a
 * clone of it.  The bits of the input's first byte say what happens:
 *
 *      1    checksums are made right again afterwards, so that the checks behind
 *           them are reached too: a checksum does not protect from a bug in
 *           whoever wrote the file
 *      2    the delete file is damaged, not the segment
 *      4    the file is cut or made longer
 *      8    memory runs out while it is read, at the grant the last byte says
 *      16   the disk fails a call, the one the last byte says
 *      32   the file is missing
 *
 * The rest says which bytes to overwrite.  Opening, verifying and reading
 * everything gives an error or values inside the file; never a crash.  With
 * checksums left alone, what is read is what was sealed.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/bitset.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "index/meta/columns.h"
#include "index/meta/fields.h"
#include "os/vfs.h"
#include "segment/columns_part.h"
#include "segment/deletes.h"
#include "segment/head.h"
#include "segment/seal.h"
#include "segment/segment.h"
#include "segment/source.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N_ROWS = 9, DIM = 3, FILE_MAX = 1 << 18 };

static const struct och_uuid collection = {{1}};

/* A file of the sealed segment: where it is and what is in it. */
struct original {
    char path[OCH_PATH_SIZE_MAX];
    char bytes[FILE_MAX];
    size_t size;
};

/* Made in the first run, and never changed. */
static struct {
    bool is_made;
    struct och_mem mem;
    struct sim_disk *disk;
    struct original segment, deletes;
    uint64_t whole; /* what reading everything gives */
} sealed;

struct fixture {
    struct och_mem mem;
    struct och_vfs *vfs;
    char *file; /* the bytes to be damaged */
    size_t size;
    bool mended;
    bool disk_fails;
};

static void
read_original(struct och_vfs *vfs, struct original *original)
{
    struct och_file *file;
    uint64_t size;
    och_assert(och_vfs_open(vfs, original->path, OCH_OPEN_READ, &file, NULL) == OCHRE_OK);
    och_assert(och_file_size(file, &size, NULL) == OCHRE_OK && size <= FILE_MAX);
    original->size = (size_t) size;
    och_assert(och_file_read_all(file, 0, original->bytes, original->size, NULL) == OCHRE_OK);
    och_file_close(file);
}

static struct och_head *
make_head(struct och_mem *mem)
{
    struct och_head *head;
    och_assert(och_head_make(mem, DIM, &head) == OCHRE_OK);
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
    return head;
}

/* A segment of all rows, and a delete file with two of them. */
static void
seal(struct och_vfs *vfs)
{
    struct och_head *head = make_head(&sealed.mem);
    struct och_source source = {.head = head, .n_rows = head->n_rows, .position = 1};
    struct och_seal seal = {.mem = &sealed.mem,
            .vfs = vfs,
            .collection = collection,
            .id = 1,
            .position = 1,
            .dim = DIM,
            .sources = &source,
            .n_sources = 1,
            .parts = &och_columns_part,
            .n_parts = 1};
    uint64_t hash;
    uint64_t size;
    och_assert(och_seal_rows(&seal, NULL) == OCHRE_OK);
    och_assert(och_seal_write(&seal, &hash, &size, NULL) == OCHRE_OK);
    och_seal_clear(&seal);
    och_head_release(head);
    struct och_segment *segment;
    struct och_bitset rows;
    och_bitset_init(&rows, &sealed.mem);
    och_assert(och_bitset_add(&rows, 2) == OCHRE_OK && och_bitset_add(&rows, 8) == OCHRE_OK);
    och_assert(och_segment_open(&sealed.mem, vfs, collection, 1, &segment, NULL) == OCHRE_OK);
    och_assert(och_deletes_write(vfs, segment, 2, 1, &rows, NULL) == OCHRE_OK);
    och_segment_path(sealed.segment.path, sizeof(sealed.segment.path), collection, 1);
    och_deletes_path(sealed.deletes.path, sizeof(sealed.deletes.path), collection, 1, 2);
    och_segment_release(segment);
    och_bitset_clear(&rows);
    read_original(vfs, &sealed.segment);
    read_original(vfs, &sealed.deletes);
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
write_back(const struct fixture *f, const struct original *original)
{
    struct och_file *file;
    och_assert(och_vfs_open(f->vfs, original->path, OCH_OPEN_WRITE, &file, NULL) == OCHRE_OK);
    och_assert(och_file_write(file, 0, f->file, f->size, NULL) == OCHRE_OK);
    if (f->size < original->size)
        och_assert(och_file_truncate(file, f->size, NULL) == OCHRE_OK);
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
    sum = sum * 31 + och_hash64(och_segment_norms(segment), segment->n_rows * sizeof(float));
    return sum +
            och_hash64(och_segment_vectors(segment),
                    (size_t) segment->n_rows * segment->dim * sizeof(float));
}

/* The rows that are dead say so in each of the ways there are. */
static ochre_status
read_deaths(struct fixture *f, struct och_segment *segment, uint64_t *sum)
{
    struct och_bitset dead;
    och_bitset_init(&dead, &f->mem);
    ochre_status status = och_segment_dead_rows(segment, 0, &dead);
    uint32_t n = 0;
    for (uint32_t row = 0; status == OCHRE_OK && row < segment->n_rows; row++) {
        bool is_dead = och_segment_dead(segment, row) == 0;
        och_assert(och_bitset_has(&dead, row) == is_dead);
        *sum = *sum * 31 + is_dead;
        n += is_dead;
        uint32_t next = och_segment_next_dead(segment, row);
        och_assert(next == OCH_ROW_NONE || (next >= row && next < segment->n_rows));
        och_assert((next == row) == (och_segment_dead(segment, row) != OCH_ALIVE));
    }
    och_assert(status != OCHRE_OK || n == segment->n_dead_stored);
    och_assert(status != OCHRE_OK || n == och_segment_count_dead(segment, 0));
    och_bitset_clear(&dead);
    return status;
}

/* A death that is taken back was none. */
static ochre_status
kill_and_undo(struct och_segment *segment)
{
    for (uint32_t row = 0; row < segment->n_rows; row++) {
        if (och_segment_dead(segment, row) != OCH_ALIVE)
            continue;
        ochre_status status = och_segment_reserve_mark(segment, row);
        if (status != OCHRE_OK)
            return status;
        och_segment_kill(segment, row, 5);
        och_assert(och_segment_dead(segment, row) == 5);
        och_assert(och_segment_count_dead(segment, 4) == segment->n_dead_stored);
        och_assert(och_segment_count_dead(segment, 5) == segment->n_dead_stored + 1);
        och_segment_undo_kill(segment, row);
        och_assert(och_segment_dead(segment, row) == OCH_ALIVE);
    }
    return OCHRE_OK;
}

/* The index of metadata, and what else is derived: without it where it is damaged. */
static ochre_status
ask_derived(struct fixture *f, struct och_segment *segment)
{
    static const struct ochre_value seven = {.type = OCHRE_VALUE_INT, .as.integer = 7};
    static const struct och_columns_leaf leaf = {
            .op = OCHRE_FILTER_EQ, .key = {"k", 1}, .value = &seven};
    const struct och_columns *columns = NULL;
    ochre_status status = OCHRE_OK;
    for (unsigned kind = OCH_SECTION_DERIVED; kind < OCH_SECTION_KINDS; kind++) {
        const void *bytes;
        uint64_t size;
        status = och_segment_section(segment, kind, &bytes, &size, NULL);
        if (status == OCHRE_OK && bytes != NULL)
            (void) och_hash64(bytes, size); /* all of it can be read */
        else if (status == OCHRE_IO || status == OCHRE_NO_MEMORY)
            return status;
    }
    for (int i = 0; i < 2; i++) { /* it is opened once */
        status = och_segment_columns(segment, &columns, NULL);
        if (status != OCHRE_OK || columns == NULL)
            return status;
    }
    struct och_bitset rows;
    och_bitset_init(&rows, &f->mem);
    status = och_columns_rows(columns, &leaf, &rows, NULL);
    for (uint32_t row = 0; status == OCHRE_OK && !f->mended && row < segment->n_rows; row++)
        och_assert(och_bitset_has(&rows, row) == (row % 3 == 0));
    och_bitset_clear(&rows);
    if (status != OCHRE_CORRUPT)
        return status == OCHRE_UNSUPPORTED ? OCHRE_OK : status;
    och_segment_fail_columns(segment, OCHRE_CORRUPT);
    och_assert(och_segment_columns(segment, &columns, NULL) == OCHRE_OK && columns == NULL);
    return OCHRE_OK;
}

/* 0 when one of the files was refused. */
static uint64_t
try_files(struct fixture *f)
{
    struct och_segment *segment;
    struct ochre_error err;
    ochre_status status = och_segment_open(&f->mem, f->vfs, collection, 1, &segment, &err);
    if (status == OCHRE_OK) {
        unsigned all = OCH_COLUMN_VECTORS | OCH_COLUMN_IDS | OCH_COLUMN_DOCUMENTS |
                OCH_COLUMN_URIS | OCH_COLUMN_FIELDS | OCH_COLUMN_ORDINALS;
        status = och_segment_load(segment, all, &err);
        och_segment_release(och_segment_retain(segment));
    }
    if (status == OCHRE_OK)
        status = ask_derived(f, segment);
    uint64_t sum = status == OCHRE_OK ? read_everything(segment) : 0;
    if (status == OCHRE_OK)
        status = och_segment_verify(segment, &err);
    if (status == OCHRE_OK)
        status = och_deletes_read(f->vfs, segment, 2, &err);
    if (status == OCHRE_OK)
        status = read_deaths(f, segment, &sum);
    if (status == OCHRE_OK)
        status = kill_and_undo(segment);
    /* Another version, under a right checksum, is no damage. */
    och_assert(status == OCHRE_OK || status == OCHRE_CORRUPT || status == OCHRE_UNSUPPORTED ||
            status == OCHRE_NO_MEMORY || (status == OCHRE_IO && f->disk_fails));
    och_segment_release(segment);
    return status == OCHRE_OK ? sum | 1 : 0;
}

/* Three bytes each: where to overwrite, and with what. */
static void
damage_segment(struct fixture *f, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at + 3 <= size; at += 3) {
        /* Half of them aim at the root and footer, where it is dense. */
        size_t offset = (size_t) data[at] << 8 | data[at + 1];
        offset = (data[at] & 0x80) != 0 ? f->size - 1 - (offset & 0x7fff) % 2048 % f->size
                                        : offset * 7 % f->size;
        f->file[offset] = (char) data[at + 2];
    }
}

static void
damage_deletes(struct fixture *f, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at + 2 <= size; at += 2)
        f->file[data[at] % f->size] = (char) data[at + 1];
}

static void
run(struct fixture *f, struct sim_disk *disk, const uint8_t *data, size_t size)
{
    static char bytes[FILE_MAX];
    bool mended = (data[0] & 1) != 0;
    bool deletes = (data[0] & 2) != 0;
    const struct original *original = deletes ? &sealed.deletes : &sealed.segment;
    f->file = bytes;
    f->size = original->size;
    memcpy(bytes, original->bytes, original->size);
    if ((data[0] & 4) != 0 && size >= 3) {
        memset(bytes + f->size, 0, 512);
        f->size = ((size_t) data[1] << 8 | data[2]) * 2 % (f->size + 512);
        size_t least = deletes ? 16 : 64; /* where the checksums stand */
        f->size = f->size < least ? least : f->size;
    }
    if (deletes)
        damage_deletes(f, data + 1, size - 1);
    else
        damage_segment(f, data + 1, size - 1);
    if (mended && deletes)
        och_store_u64(f->file + f->size - 8, och_hash64(f->file, f->size - 8));
    else if (mended)
        mend(f);
    write_back(f, original);
    if ((data[0] & 32) != 0)
        och_assert(och_vfs_remove(f->vfs, original->path, NULL) == OCHRE_OK);
    if ((data[0] & 8) != 0)
        f->mem.fail_from = 1u + data[size - 1];
    if ((data[0] & 16) != 0)
        sim_disk_fail(disk, 1u + data[size - 1], SIM_IO_ONCE);
    f->disk_fails = (data[0] & 16) != 0;
    f->mended = mended;
    uint64_t sum = try_files(f);
    och_assert((data[0] & 32) == 0 || sum == 0);
    och_assert(mended || sum == 0 || sum == sealed.whole);
}

static void
make_original(void)
{
    och_mem_init(&sealed.mem, NULL);
    sealed.disk = sim_disk_open(&sealed.mem, 1);
    struct och_vfs *vfs = sim_disk_vfs(sealed.disk);
    och_assert(och_vfs_mkdir(vfs, OCH_DIR_TMP, NULL) == OCHRE_OK);
    och_assert(och_vfs_mkdir(vfs, OCH_DIR_SEGMENTS, NULL) == OCHRE_OK);
    seal(vfs);
    struct fixture f = {.vfs = vfs};
    och_mem_init(&f.mem, NULL);
    sealed.whole = try_files(&f);
    och_assert(sealed.whole != 0);
    sealed.is_made = true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (!sealed.is_made)
        make_original();
    size_t used = och_mem_used(&sealed.mem);
    struct sim_disk *disk = sim_disk_clone(sealed.disk);
    struct fixture f = {.vfs = sim_disk_vfs(disk)};
    och_mem_init(&f.mem, NULL);
    run(&f, disk, data, size);
    sim_disk_close(disk);
    och_assert(och_mem_used(&f.mem) == 0 && och_mem_used(&sealed.mem) == used);
    return 0;
}
