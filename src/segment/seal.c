#include "segment/seal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/vfs.h"
#include "segment/head.h"
#include "segment/id_table.h"
#include "segment/layout.h"
#include "segment/segment.h"
#include "storage/directory.h"

/* Bytes are collected here, checksummed a page at a time, and written. */
#define BUFFER_PAGES 8u
#define BUFFER_SIZE ((size_t) BUFFER_PAGES * OCH_PAGE_SIZE)

struct writer {
    struct och_seal *seal;
    struct och_file *file;
    char *buffer;
    size_t used;
    uint64_t offset;       /* of the buffer in the file */
    struct och_buf hashes; /* u64 a page */
    struct och_section sections[OCH_SECTION_KINDS];
    enum och_section_kind open_kind;
    ochre_status status; /* the first failure; later puts do nothing */
    struct ochre_error *err;
};

/* --- the stream ------------------------------------------------------------- */

static void
flush(struct writer *w)
{
    for (size_t at = 0; at < w->used; at += OCH_PAGE_SIZE) {
        size_t left = w->used - at;
        size_t size = left < OCH_PAGE_SIZE ? left : OCH_PAGE_SIZE;
        och_buf_put_u64(&w->hashes, och_hash64(w->buffer + at, size));
    }
    if (w->status == OCHRE_OK && och_buf_status(&w->hashes) != OCHRE_OK)
        w->status = och_fail_memory(w->err);
    if (w->status == OCHRE_OK && w->used > 0)
        w->status = och_file_write(w->file, w->offset, w->buffer, w->used, w->err);
    w->offset += w->used;
    w->used = 0;
}

static void
put(struct writer *w, const void *bytes, size_t size)
{
    const char *next = bytes;
    while (size > 0 && w->status == OCHRE_OK) {
        size_t room = BUFFER_SIZE - w->used;
        size_t step = size < room ? size : room;
        memcpy(w->buffer + w->used, next, step);
        w->used += step;
        next += step;
        size -= step;
        if (w->used == BUFFER_SIZE)
            flush(w);
    }
}

static void
put_u64(struct writer *w, uint64_t value)
{
    put(w, &value, sizeof(value));
}

static uint64_t
position_of(const struct writer *w)
{
    return w->offset + w->used;
}

static void
pad(struct writer *w, uint64_t unit)
{
    static const char zeros[4096];
    uint64_t at = position_of(w);
    uint64_t gap = (at + unit - 1) / unit * unit - at;
    while (gap > 0 && w->status == OCHRE_OK) {
        size_t step = gap < sizeof(zeros) ? (size_t) gap : sizeof(zeros);
        put(w, zeros, step);
        gap -= step;
    }
}

static void
begin_section(struct writer *w, enum och_section_kind kind)
{
    pad(w, OCH_SEGMENT_ALIGNMENT);
    w->open_kind = kind;
    w->sections[kind].offset = position_of(w);
}

static void
end_section(struct writer *w)
{
    w->sections[w->open_kind].size = position_of(w) - w->sections[w->open_kind].offset;
}

/* --- sections --------------------------------------------------------------- */

static void
put_header(struct writer *w)
{
    uint32_t version = OCH_SEGMENT_VERSION;
    uint32_t flags = 0;
    put_u64(w, OCH_SEGMENT_MAGIC);
    put(w, &version, sizeof(version));
    put(w, &flags, sizeof(flags));
    pad(w, OCH_PAGE_SIZE);
}

static void
put_vectors(struct writer *w)
{
    const struct och_seal *seal = w->seal;
    float norm;
    begin_section(w, OCH_SECTION_ROWS);
    for (uint32_t i = 0; i < seal->n_rows; i++)
        put(w, och_head_vector(seal->head, seal->rows[i], &norm), seal->head->dim * sizeof(float));
    end_section(w);
    begin_section(w, OCH_SECTION_NORMS);
    for (uint32_t i = 0; i < seal->n_rows; i++) {
        (void) och_head_vector(seal->head, seal->rows[i], &norm);
        put(w, &norm, sizeof(norm));
    }
    end_section(w);
    begin_section(w, OCH_SECTION_ORDINALS);
    for (uint32_t i = 0; i < seal->n_rows; i++)
        put_u64(w, och_head_ordinal(seal->head, seal->rows[i]));
    end_section(w);
}

static struct ochre_bytes
text_of(const struct och_seal *seal, uint32_t i, enum och_section_kind offsets)
{
    const struct och_row_texts *texts = och_head_texts(seal->head, seal->rows[i]);
    if (offsets == OCH_SECTION_ID_OFFSETS)
        return texts->id;
    if (offsets == OCH_SECTION_DOCUMENT_OFFSETS)
        return texts->document;
    if (offsets == OCH_SECTION_URI_OFFSETS)
        return texts->uri;
    return texts->fields;
}

static void
put_texts(struct writer *w, enum och_section_kind offsets)
{
    const struct och_seal *seal = w->seal;
    uint64_t offset = 0;
    begin_section(w, offsets);
    for (uint32_t i = 0; i < seal->n_rows; i++) {
        struct ochre_bytes text = text_of(seal, i, offsets);
        put_u64(w, text.data == NULL ? offset | OCH_SEGMENT_ABSENT : offset);
        offset += text.size;
    }
    put_u64(w, offset);
    end_section(w);
    begin_section(w, offsets + 1);
    for (uint32_t i = 0; i < seal->n_rows; i++) {
        struct ochre_bytes text = text_of(seal, i, offsets);
        put(w, text.data, text.size);
    }
    end_section(w);
}

static void
put_id_table(struct writer *w)
{
    const struct och_seal *seal = w->seal;
    uint64_t n_slots = och_id_table_slots(seal->n_rows);
    uint64_t *slots = och_mem_take_zeroed(seal->mem, (size_t) n_slots * 8);
    if (slots == NULL) {
        if (w->status == OCHRE_OK)
            w->status = och_fail_memory(w->err);
        return;
    }
    for (uint32_t i = 0; i < seal->n_rows; i++) {
        struct ochre_bytes id = och_head_texts(seal->head, seal->rows[i])->id;
        och_id_table_put(slots, n_slots, och_id_table_hash(id), i);
    }
    begin_section(w, OCH_SECTION_ID_TABLE);
    put(w, slots, (size_t) n_slots * 8);
    end_section(w);
    och_mem_release(seal->mem, slots, (size_t) n_slots * 8);
}

/* --- root and footer -------------------------------------------------------- */

static void
put_root(const struct writer *w, struct och_buf *root)
{
    och_buf_put_u32(root, OCH_SECTION_KINDS - 1);
    for (unsigned kind = 1; kind < OCH_SECTION_KINDS; kind++) {
        och_buf_put_u16(root, (uint16_t) kind);
        och_buf_put_u16(root, 0);
        och_buf_put_u32(root, 0);
        och_buf_put_u64(root, w->sections[kind].offset);
        och_buf_put_u64(root, w->sections[kind].size);
        och_buf_put_u64(root, w->sections[kind].size);
        och_buf_put_u64(root, 0);
        och_buf_put_u64(root, 0);
    }
    och_buf_put(root, w->seal->collection.bytes, sizeof(w->seal->collection.bytes));
    och_buf_put_u64(root, w->seal->id);
    och_buf_put_u64(root, w->seal->position);
    och_buf_put_u32(root, (uint32_t) (w->hashes.size / 8));
    och_buf_put(root, w->hashes.data, w->hashes.size);
}

static void
put_end(struct writer *w, uint64_t *footer_hash_out, uint64_t *file_size_out)
{
    struct och_buf root;
    och_buf_init(&root, w->seal->mem, OCH_SEGMENT_ROOT_SIZE_MAX);
    put_root(w, &root);
    uint64_t root_offset = w->offset;
    uint64_t root_size = root.size;
    uint64_t root_hash = root.failed ? 0 : och_hash64(root.data, root.size);
    *file_size_out = root_offset + root_size + OCH_SEGMENT_FOOTER_SIZE;
    och_buf_put_u64(&root, root_offset);
    och_buf_put_u64(&root, root_size);
    och_buf_put_u32(&root, w->seal->n_rows);
    och_buf_put_u32(&root, w->seal->head->dim);
    och_buf_put_u32(&root, (uint32_t) w->seal->space); /* code bits and padded dim: none */
    och_buf_put_u32(&root, 0);
    och_buf_put_u64(&root, root_hash);
    och_buf_put_u64(&root, *file_size_out);
    *footer_hash_out = root.failed ? 0 : och_hash64(root.data + root_size, 48);
    och_buf_put_u64(&root, *footer_hash_out);
    och_buf_put_u64(&root, OCH_SEGMENT_MAGIC);
    if (w->status == OCHRE_OK && och_buf_status(&root) != OCHRE_OK)
        w->status = och_fail_memory(w->err);
    if (w->status == OCHRE_OK)
        w->status = och_file_write(w->file, root_offset, root.data, root.size, w->err);
    och_buf_clear(&root);
}

static void
put_file(struct writer *w, uint64_t *footer_hash_out, uint64_t *file_size_out)
{
    put_header(w);
    put_vectors(w);
    put_texts(w, OCH_SECTION_ID_OFFSETS);
    put_id_table(w);
    put_texts(w, OCH_SECTION_DOCUMENT_OFFSETS);
    put_texts(w, OCH_SECTION_URI_OFFSETS);
    put_texts(w, OCH_SECTION_FIELD_OFFSETS);
    pad(w, OCH_SEGMENT_ALIGNMENT);
    flush(w);
    put_end(w, footer_hash_out, file_size_out);
}

/* tmp -> its place, durably; the collection's directory may be new. */
static ochre_status
move_into_place(const struct och_seal *seal, const char *tmp, struct ochre_error *err)
{
    char path[OCH_PATH_SIZE_MAX];
    och_segment_path(path, sizeof(path), seal->collection, seal->id);
    char dir[OCH_PATH_SIZE_MAX];
    (void) snprintf(dir, sizeof(dir), "%s", path);
    *strrchr(dir, '/') = '\0';
    ochre_status status = och_vfs_mkdir(seal->vfs, dir, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(seal->vfs, OCH_DIR_SEGMENTS, err);
    if (status == OCHRE_OK)
        status = och_vfs_rename(seal->vfs, tmp, path, err);
    if (status == OCHRE_OK)
        status = och_vfs_sync_dir(seal->vfs, dir, err);
    return status;
}

ochre_status
och_seal_write(struct och_seal *seal, uint64_t *footer_hash_out, uint64_t *file_size_out,
        struct ochre_error *err)
{
    char tmp[OCH_PATH_SIZE_MAX];
    (void) snprintf(tmp, sizeof(tmp), OCH_DIR_TMP "/%016llx.seg", (unsigned long long) seal->id);
    struct writer w = {.seal = seal, .err = err, .status = OCHRE_OK};
    och_buf_init(&w.hashes, seal->mem, OCH_SEGMENT_ROOT_SIZE_MAX);
    w.buffer = och_mem_take(seal->mem, BUFFER_SIZE);
    ochre_status status = w.buffer == NULL ? och_fail_memory(err) : OCHRE_OK;
    if (status == OCHRE_OK)
        status = och_vfs_open(seal->vfs, tmp, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &w.file, err);
    if (status == OCHRE_OK)
        status = och_file_truncate(w.file, 0, err); /* left by a seal that failed */
    if (status == OCHRE_OK) {
        put_file(&w, footer_hash_out, file_size_out);
        status = w.status;
    }
    if (status == OCHRE_OK)
        status = och_file_sync(w.file, err);
    if (status == OCHRE_OK)
        status = move_into_place(seal, tmp, err);
    och_file_close(w.file);
    if (status != OCHRE_OK) {
        /* Give the space back now; what cannot be removed goes at the next open. */
        ochre_status removed = och_vfs_remove(seal->vfs, tmp, NULL);
        (void) removed;
    }
    och_buf_clear(&w.hashes);
    och_mem_release(seal->mem, w.buffer, BUFFER_SIZE);
    return status;
}

/* --- rows ------------------------------------------------------------------- */

struct ordered {
    uint64_t ordinal;
    uint32_t row;
};

static int
compare_ordered(const void *left, const void *right)
{
    const struct ordered *a = left;
    const struct ordered *b = right;
    return (a->ordinal > b->ordinal) - (a->ordinal < b->ordinal);
}

static ochre_status
sort_rows(struct och_seal *seal, struct ochre_error *err)
{
    size_t size = seal->n_rows * sizeof(struct ordered);
    struct ordered *ordered = och_mem_take(seal->mem, size);
    if (ordered == NULL)
        return och_fail_memory(err);
    for (uint32_t i = 0; i < seal->n_rows; i++) {
        ordered[i].row = seal->rows[i];
        ordered[i].ordinal = och_head_ordinal(seal->head, seal->rows[i]);
    }
    qsort(ordered, seal->n_rows, sizeof(*ordered), compare_ordered);
    for (uint32_t i = 0; i < seal->n_rows; i++)
        seal->rows[i] = ordered[i].row;
    och_mem_release(seal->mem, ordered, size);
    return OCHRE_OK;
}

ochre_status
och_seal_rows(struct och_seal *seal, struct ochre_error *err)
{
    uint32_t n_all = seal->head->n_rows;
    seal->n_rows = 0;
    seal->rows = NULL;
    if (n_all == 0)
        return OCHRE_OK;
    seal->rows = och_mem_take(seal->mem, n_all * sizeof(uint32_t));
    if (seal->rows == NULL)
        return och_fail_memory(err);
    for (uint32_t row = 0; row < n_all; row++)
        if (och_head_is_visible(seal->head, row, seal->position))
            seal->rows[seal->n_rows++] = row;
    if (seal->n_rows == 0 || atomic_load_explicit(&seal->head->in_order, memory_order_relaxed))
        return OCHRE_OK;
    return sort_rows(seal, err);
}

void
och_seal_clear(struct och_seal *seal)
{
    och_mem_release(seal->mem, seal->rows, seal->head->n_rows * sizeof(uint32_t));
    seal->rows = NULL;
}
