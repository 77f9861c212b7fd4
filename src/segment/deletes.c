#include "segment/deletes.h"

#include <stdio.h>
#include <string.h>

#include "base/bitset.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "os/vfs.h"
#include "segment/segment.h"
#include "storage/directory.h"

#define DELETES_MAGIC UINT64_C(0x314c45445248434f)     /* "OCHRDEL1" */
#define DELETES_NAME_MASK UINT64_C(0x00ffffffffffffff) /* of it, "OCHRDEL"; then the version */
#define HEADER_SIZE ((size_t) 32)

void
och_deletes_path(char *path, size_t size, struct och_uuid collection, uint64_t segment_id,
        uint64_t deletes_id)
{
    och_segment_path(path, size, collection, segment_id);
    size_t stem = strlen(path) - strlen("seg");
    (void) snprintf(path + stem, size - stem, "%016llx.del", (unsigned long long) deletes_id);
}

static size_t
file_size_of(const struct och_segment *segment)
{
    return HEADER_SIZE + ((size_t) segment->n_rows + 63) / 64 * 8 + 8;
}

static ochre_status
write_file(struct och_vfs *vfs, const char *tmp, const char *path, const struct och_buf *bytes,
        struct ochre_error *err)
{
    struct och_file *file = NULL;
    ochre_status status = och_vfs_open(vfs, tmp, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &file, err);
    if (status != OCHRE_OK)
        return status;
    status = och_file_truncate(file, 0, err);
    if (status == OCHRE_OK)
        status = och_file_write(file, 0, bytes->data, bytes->size, err);
    if (status == OCHRE_OK)
        status = och_file_sync(file, err);
    och_file_close(file);
    if (status == OCHRE_OK)
        status = och_vfs_rename(vfs, tmp, path, err);
    if (status != OCHRE_OK) {
        /* Give the space back now; what cannot be removed goes at the next open. */
        ochre_status removed = och_vfs_remove(vfs, tmp, NULL);
        (void) removed;
        return status;
    }
    char dir[OCH_PATH_SIZE_MAX];
    (void) snprintf(dir, sizeof(dir), "%s", path);
    *strrchr(dir, '/') = '\0';
    return och_vfs_sync_dir(vfs, dir, err);
}

ochre_status
och_deletes_write(struct och_vfs *vfs, const struct och_segment *segment, uint64_t deletes_id,
        uint64_t position, const struct och_bitset *rows, struct ochre_error *err)
{
    struct och_buf bytes;
    och_buf_init(&bytes, segment->mem, file_size_of(segment));
    och_buf_put_u64(&bytes, DELETES_MAGIC);
    och_buf_put_u64(&bytes, segment->id);
    och_buf_put_u64(&bytes, position);
    och_buf_put_u32(&bytes, segment->n_rows);
    och_buf_put_u32(&bytes, (uint32_t) och_bitset_count(rows));
    size_t n_words = ((size_t) segment->n_rows + 63) / 64;
    for (size_t i = 0; i < n_words; i++)
        och_buf_put_u64(&bytes, i < rows->n_words ? rows->words[i] : 0);
    if (!bytes.failed)
        och_buf_put_u64(&bytes, och_hash64(bytes.data, bytes.size));

    char tmp[OCH_PATH_SIZE_MAX];
    char path[OCH_PATH_SIZE_MAX];
    (void) snprintf(tmp, sizeof(tmp), OCH_DIR_TMP "/%016llx.del", (unsigned long long) deletes_id);
    och_deletes_path(path, sizeof(path), segment->collection, segment->id, deletes_id);
    ochre_status status = och_buf_status(&bytes) == OCHRE_OK
            ? write_file(vfs, tmp, path, &bytes, err)
            : och_fail_memory(err);
    och_buf_clear(&bytes);
    return status;
}

/* Check the bytes and mark the rows. */
static ochre_status
apply_file(struct och_segment *segment, const char *bytes, size_t size, const char *path,
        struct ochre_error *err)
{
    struct och_reader reader;
    och_reader_init(&reader, bytes, size);
    uint64_t magic = och_reader_u64(&reader);
    uint64_t segment_id = och_reader_u64(&reader);
    (void) och_reader_u64(&reader);
    uint32_t n_rows = och_reader_u32(&reader);
    uint32_t n_dead = och_reader_u32(&reader);
    if (och_load_u64(bytes + size - 8) != och_hash64(bytes, size - 8))
        return och_fail(err, OCHRE_CORRUPT, "%s: the file fails its checksum", path);
    if (magic != DELETES_MAGIC && ((magic ^ DELETES_MAGIC) & DELETES_NAME_MASK) == 0)
        return och_fail(err, OCHRE_UNSUPPORTED,
                "%s: format %c; this version of ochre reads format %c", path, bytes[7],
                (int) (DELETES_MAGIC >> 56));
    if (magic != DELETES_MAGIC || segment_id != segment->id || n_rows != segment->n_rows)
        return och_fail(err, OCHRE_CORRUPT, "%s: the file belongs to another segment", path);
    uint32_t n_marked = 0;
    for (uint32_t first = 0; first < n_rows; first += 64) {
        uint64_t word = och_reader_u64(&reader);
        for (; word != 0; word &= word - 1) {
            uint32_t row = first + (uint32_t) __builtin_ctzll(word);
            if (row >= n_rows)
                return och_fail(err, OCHRE_CORRUPT, "%s: a row is out of range", path);
            if (och_segment_reserve_mark(segment, row) != OCHRE_OK)
                return och_fail_memory(err);
            och_segment_kill(segment, row, 0);
            n_marked++;
        }
    }
    if (n_marked != n_dead)
        return och_fail(err, OCHRE_CORRUPT, "%s: the count of rows is wrong", path);
    segment->n_dead_stored = n_dead;
    return OCHRE_OK;
}

ochre_status
och_deletes_read(struct och_vfs *vfs, struct och_segment *segment, uint64_t deletes_id,
        struct ochre_error *err)
{
    char path[OCH_PATH_SIZE_MAX];
    och_deletes_path(path, sizeof(path), segment->collection, segment->id, deletes_id);
    size_t size = file_size_of(segment);
    uint64_t actual = 0;
    struct och_file *file = NULL;
    char *bytes = och_mem_take(segment->mem, size);
    ochre_status status = bytes == NULL ? och_fail_memory(err) : OCHRE_OK;
    if (status == OCHRE_OK)
        status = och_vfs_open(vfs, path, OCH_OPEN_READ, &file, err);
    if (status == OCHRE_NOT_FOUND)
        status = och_fail(err, OCHRE_CORRUPT, "%s: the catalog lists it, but it is missing", path);
    if (status == OCHRE_OK)
        status = och_file_size(file, &actual, err);
    if (status == OCHRE_OK && actual != size)
        status = och_fail(err, OCHRE_CORRUPT, "%s: the file has %llu bytes, not %llu", path,
                (unsigned long long) actual, (unsigned long long) size);
    if (status == OCHRE_OK)
        status = och_file_read_all(file, 0, bytes, size, err);
    och_file_close(file);
    if (status == OCHRE_OK)
        status = apply_file(segment, bytes, size, path, err);
    if (status == OCHRE_OK)
        segment->deletes_id = deletes_id;
    och_mem_release(segment->mem, bytes, size);
    return status;
}
