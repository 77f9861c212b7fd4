#include "segment/seal.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "os/pace.h"
#include "os/vfs.h"
#include "segment/id_table.h"
#include "segment/source.h"
#include "storage/directory.h"

/* Bytes are collected here, checksummed a page at a time, and written. */
#define BUFFER_PAGES 8u
#define BUFFER_SIZE ((size_t) BUFFER_PAGES * OCH_PAGE_SIZE)

struct och_seal_file {
    struct och_seal *seal;
    struct och_file *file;
    char *buffer;
    size_t used;
    uint64_t offset;       /* of the buffer in the file */
    struct och_buf hashes; /* u64 a page */
    struct och_section sections[OCH_SECTION_KINDS];
    unsigned open_kind;          /* 0: no section is open */
    const char *map;             /* what was written before the parts, if one asked for it */
    uint64_t map_size;           /* a multiple of the page size */
    size_t n_words;              /* of `verified` */
    _Atomic(uint64_t) *verified; /* owned: a bit for each page of the map */
    ochre_status status;         /* the first failure; later puts do nothing */
    struct ochre_error *err;
};

/* --- the stream ------------------------------------------------------------- */

bool
och_seal_stopped(const struct och_seal_file *file)
{
    return och_pace_stopped(file->seal->pace);
}

static void
flush(struct och_seal_file *f)
{
    for (size_t at = 0; at < f->used; at += OCH_PAGE_SIZE) {
        size_t left = f->used - at;
        size_t size = left < OCH_PAGE_SIZE ? left : OCH_PAGE_SIZE;
        och_buf_put_u64(&f->hashes, och_hash64(f->buffer + at, size));
    }
    if (f->status == OCHRE_OK && och_buf_status(&f->hashes) != OCHRE_OK)
        f->status = och_fail_memory(f->err);
    if (f->status == OCHRE_OK && och_seal_stopped(f))
        f->status = och_fail(f->err, OCHRE_UNAVAILABLE, "writing a segment was given up");
    if (f->status == OCHRE_OK && f->used > 0)
        f->status = och_file_write(f->file, f->offset, f->buffer, f->used, f->err);
    f->offset += f->used;
    f->used = 0;
}

static void
put(struct och_seal_file *f, const void *bytes, size_t size)
{
    const char *next = bytes;
    while (size > 0 && f->status == OCHRE_OK) {
        size_t room = BUFFER_SIZE - f->used;
        size_t step = size < room ? size : room;
        memcpy(f->buffer + f->used, next, step);
        f->used += step;
        next += step;
        size -= step;
        if (f->used == BUFFER_SIZE)
            flush(f);
    }
}

static void
put_u64(struct och_seal_file *f, uint64_t value)
{
    put(f, &value, sizeof(value));
}

static uint64_t
position_of(const struct och_seal_file *f)
{
    return f->offset + f->used;
}

static void
pad(struct och_seal_file *f, uint64_t unit)
{
    static const char zeros[4096];
    uint64_t at = position_of(f);
    uint64_t gap = (at + unit - 1) / unit * unit - at;
    while (gap > 0 && f->status == OCHRE_OK) {
        size_t step = gap < sizeof(zeros) ? (size_t) gap : sizeof(zeros);
        put(f, zeros, step);
        gap -= step;
    }
}

static void
begin_section(struct och_seal_file *f, unsigned kind)
{
    och_assert(f->open_kind == 0 && f->sections[kind].offset == 0);
    pad(f, OCH_SEGMENT_ALIGNMENT);
    f->open_kind = kind;
    f->sections[kind].offset = position_of(f);
}

static void
end_section(struct och_seal_file *f)
{
    f->sections[f->open_kind].size = position_of(f) - f->sections[f->open_kind].offset;
    f->open_kind = 0;
}

/* Make columns of a row safe to touch. */
static ochre_status
load_row(struct och_seal_file *f, uint32_t i, unsigned columns, struct ochre_error *err)
{
    struct och_seal *seal = f->seal;
    const struct och_seal_row *row = &seal->rows[i];
    ochre_status status = och_source_load_row(&seal->sources[row->source], row->row, columns, err);
    if (status != OCHRE_OK && status != OCHRE_NO_MEMORY)
        seal->bad_source = row->source;
    return status;
}

/* The same for what is written next; false when that fails, or something has. */
static bool
load(struct och_seal_file *f, uint32_t i, unsigned columns)
{
    if (f->status == OCHRE_OK)
        f->status = load_row(f, i, columns, f->err);
    return f->status == OCHRE_OK;
}

static const struct och_source *
source_of(const struct och_seal_file *f, uint32_t i)
{
    return &f->seal->sources[f->seal->rows[i].source];
}

/* --- sections --------------------------------------------------------------- */

static void
put_header(struct och_seal_file *f)
{
    uint32_t version = OCH_SEGMENT_VERSION;
    uint32_t flags = 0;
    put_u64(f, OCH_SEGMENT_MAGIC);
    put(f, &version, sizeof(version));
    put(f, &flags, sizeof(flags));
    pad(f, OCH_PAGE_SIZE);
}

static void
put_vectors(struct och_seal_file *f)
{
    const struct och_seal *seal = f->seal;
    begin_section(f, OCH_SECTION_ROWS);
    for (uint32_t i = 0; i < seal->n_rows && load(f, i, OCH_COLUMN_VECTORS); i++)
        put(f, och_source_vector(source_of(f, i), seal->rows[i].row), seal->dim * sizeof(float));
    end_section(f);
    begin_section(f, OCH_SECTION_NORMS);
    for (uint32_t i = 0; i < seal->n_rows && load(f, i, OCH_COLUMN_VECTORS); i++) {
        float norm = och_source_norm(source_of(f, i), seal->rows[i].row);
        put(f, &norm, sizeof(norm));
    }
    end_section(f);
    begin_section(f, OCH_SECTION_ORDINALS);
    for (uint32_t i = 0; i < seal->n_rows && load(f, i, OCH_COLUMN_ORDINALS); i++)
        put_u64(f, och_source_ordinal(source_of(f, i), seal->rows[i].row));
    end_section(f);
}

/* The text columns, by the kind of their offsets. */
static const struct text_column {
    unsigned column;
    struct ochre_bytes (*get)(const struct och_source *source, uint32_t row);
} text_columns[OCH_SECTION_FIELD_OFFSETS + 1] = {
        [OCH_SECTION_ID_OFFSETS] = {OCH_COLUMN_IDS, och_source_id},
        [OCH_SECTION_DOCUMENT_OFFSETS] = {OCH_COLUMN_DOCUMENTS, och_source_document},
        [OCH_SECTION_URI_OFFSETS] = {OCH_COLUMN_URIS, och_source_uri},
        [OCH_SECTION_FIELD_OFFSETS] = {OCH_COLUMN_FIELDS, och_source_fields},
};

/* The offsets, and in a second pass the bytes: they may not fit into memory. */
static void
put_texts(struct och_seal_file *f, enum och_section_kind offsets)
{
    const struct och_seal *seal = f->seal;
    const struct text_column *column = &text_columns[offsets];
    uint64_t offset = 0;
    begin_section(f, offsets);
    for (uint32_t i = 0; i < seal->n_rows && load(f, i, column->column); i++) {
        struct ochre_bytes text = column->get(source_of(f, i), seal->rows[i].row);
        put_u64(f, text.data == NULL ? offset | OCH_SEGMENT_ABSENT : offset);
        offset += text.size;
    }
    put_u64(f, offset);
    end_section(f);
    begin_section(f, offsets + 1);
    for (uint32_t i = 0; i < seal->n_rows && load(f, i, column->column); i++) {
        struct ochre_bytes text = column->get(source_of(f, i), seal->rows[i].row);
        put(f, text.data, text.size);
    }
    end_section(f);
}

static void
put_id_table(struct och_seal_file *f)
{
    const struct och_seal *seal = f->seal;
    uint64_t n_slots = och_id_table_slots(seal->n_rows);
    uint64_t *slots = och_mem_take_zeroed(seal->mem, (size_t) n_slots * 8);
    if (slots == NULL) {
        if (f->status == OCHRE_OK)
            f->status = och_fail_memory(f->err);
        return;
    }
    for (uint32_t i = 0; i < seal->n_rows && load(f, i, OCH_COLUMN_IDS); i++) {
        struct ochre_bytes id = och_source_id(source_of(f, i), seal->rows[i].row);
        och_id_table_put(slots, n_slots, och_id_table_hash(id), i);
    }
    begin_section(f, OCH_SECTION_ID_TABLE);
    put(f, slots, (size_t) n_slots * 8);
    end_section(f);
    och_mem_release(seal->mem, slots, (size_t) n_slots * 8);
}

/* --- what is derived ---------------------------------------------------------- */

static ochre_status
sink_begin(void *context, uint16_t number, struct ochre_error *err)
{
    struct och_seal_file *f = context;
    (void) err; /* a failure is written to where the file's go */
    och_assert(number >= OCH_SECTION_DERIVED && number < OCH_SECTION_KINDS);
    if (f->open_kind != 0)
        end_section(f);
    begin_section(f, number);
    return f->status;
}

static ochre_status
sink_put(void *context, const void *bytes, size_t size, struct ochre_error *err)
{
    struct och_seal_file *f = context;
    (void) err;
    och_assert(f->open_kind != 0);
    put(f, bytes, size);
    return f->status;
}

static void
unmap(struct och_seal_file *f)
{
    if (f->map == NULL)
        return;
    och_file_unmap(f->file, f->map, f->map_size);
    och_mem_release(
            f->seal->mem, (void *) (uintptr_t) f->verified, f->n_words * sizeof(*f->verified));
    f->map = NULL;
}

static void
put_parts(struct och_seal_file *f)
{
    struct och_vector_sink sink = {.begin = sink_begin, .put = sink_put, .context = f};
    for (uint32_t i = 0; i < f->seal->n_parts && f->status == OCHRE_OK; i++) {
        const struct och_seal_part *part = &f->seal->parts[i];
        ochre_status status = part->write(part->context, f, &sink, f->err);
        if (f->status == OCHRE_OK)
            f->status = status;
        if (f->open_kind != 0)
            end_section(f);
    }
    unmap(f);
}

void
och_seal_abandon(struct och_seal_file *file)
{
    if (file->open_kind != 0)
        file->sections[file->open_kind] = (struct och_section){0, 0};
    file->open_kind = 0;
}

const struct och_seal *
och_seal_of(const struct och_seal_file *file)
{
    return file->seal;
}

ochre_status
och_seal_texts(struct och_seal_file *file, uint32_t i, unsigned columns,
        struct och_row_texts *texts_out, struct ochre_error *err)
{
    *texts_out = (struct och_row_texts){.id = {NULL, 0}};
    ochre_status status = load_row(file, i, columns, err);
    if (status != OCHRE_OK)
        return status;
    const struct och_source *source = source_of(file, i);
    uint32_t row = file->seal->rows[i].row;
    if ((columns & OCH_COLUMN_IDS) != 0)
        texts_out->id = och_source_id(source, row);
    if ((columns & OCH_COLUMN_DOCUMENTS) != 0)
        texts_out->document = och_source_document(source, row);
    if ((columns & OCH_COLUMN_URIS) != 0)
        texts_out->uri = och_source_uri(source, row);
    if ((columns & OCH_COLUMN_FIELDS) != 0)
        texts_out->fields = och_source_fields(source, row);
    return OCHRE_OK;
}

/* A page that was written may have left the page cache: as in a sealed segment it
 * is read and compared before it is touched for the first time. */
static ochre_status
verify_page(struct och_seal_file *f, uint64_t page, char *buffer, struct ochre_error *err)
{
    uint64_t offset = page * OCH_PAGE_SIZE;
    ochre_status status = och_file_read_all(f->file, offset, buffer, OCH_PAGE_SIZE, err);
    if (status != OCHRE_OK)
        return status;
    if (och_hash64(buffer, OCH_PAGE_SIZE) != och_load_u64(f->hashes.data + page * 8))
        return och_fail(err, OCHRE_IO, "the segment being written does not read back as written");
    (void) atomic_fetch_or_explicit(
            &f->verified[page / 64], UINT64_C(1) << (page % 64), memory_order_release);
    return OCHRE_OK;
}

static ochre_status
verify(struct och_seal_file *f, uint64_t offset, uint64_t size, struct ochre_error *err)
{
    char *buffer = NULL;
    ochre_status status = OCHRE_OK;
    uint64_t end = (offset + size + OCH_PAGE_SIZE - 1) / OCH_PAGE_SIZE;
    for (uint64_t page = offset / OCH_PAGE_SIZE; page < end && status == OCHRE_OK; page++) {
        uint64_t word = atomic_load_explicit(&f->verified[page / 64], memory_order_acquire);
        if ((word >> (page % 64) & 1) != 0)
            continue;
        if (buffer == NULL)
            buffer = och_mem_take(f->seal->mem, OCH_PAGE_SIZE);
        status = buffer == NULL ? och_fail_memory(err) : verify_page(f, page, buffer, err);
    }
    och_mem_release(f->seal->mem, buffer, OCH_PAGE_SIZE);
    return status;
}

static ochre_status
touch_rows(void *context, uint32_t row, uint32_t n, struct ochre_error *err)
{
    struct och_seal_file *f = context;
    const struct {
        enum och_section_kind kind;
        uint64_t size;
    } columns[] = {{OCH_SECTION_ROWS, f->seal->dim * sizeof(float)},
            {OCH_SECTION_NORMS, sizeof(float)}, {OCH_SECTION_ORDINALS, sizeof(uint64_t)}};
    och_assert(row <= f->seal->n_rows && n <= f->seal->n_rows - row);
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]) && status == OCHRE_OK; i++) {
        uint64_t offset = f->sections[columns[i].kind].offset + row * columns[i].size;
        status = verify(f, offset, n * columns[i].size, err);
    }
    return status;
}

/* Have what was put so far in the file, and mapped. */
static ochre_status
map_so_far(struct och_seal_file *f, struct ochre_error *err)
{
    pad(f, OCH_PAGE_SIZE); /* a page is checksummed as a whole */
    flush(f);
    if (f->status != OCHRE_OK)
        return f->status;
    f->map_size = f->offset;
    f->n_words = (size_t) (f->map_size / OCH_PAGE_SIZE / 64 + 1);
    f->verified = och_mem_take_zeroed(f->seal->mem, f->n_words * sizeof(*f->verified));
    if (f->verified == NULL)
        return och_fail_memory(err);
    const void *map = NULL;
    ochre_status status = och_file_map(f->file, f->map_size, &map, err);
    f->map = map;
    if (status != OCHRE_OK)
        och_mem_release(
                f->seal->mem, (void *) (uintptr_t) f->verified, f->n_words * sizeof(*f->verified));
    return status;
}

static const void *
mapped_section(const struct och_seal_file *f, enum och_section_kind kind)
{
    return f->map + f->sections[kind].offset;
}

ochre_status
och_seal_vectors(
        struct och_seal_file *file, struct och_vector_rows *rows_out, struct ochre_error *err)
{
    och_assert(file->open_kind == 0);
    ochre_status status = file->map == NULL ? map_so_far(file, err) : OCHRE_OK;
    if (status != OCHRE_OK)
        return status;
    *rows_out = (struct och_vector_rows){.rows = mapped_section(file, OCH_SECTION_ROWS),
            .norms = mapped_section(file, OCH_SECTION_NORMS),
            .ordinals = mapped_section(file, OCH_SECTION_ORDINALS),
            .n_rows = file->seal->n_rows,
            .touch = touch_rows,
            .context = file};
    return OCHRE_OK;
}

/* --- root and footer -------------------------------------------------------- */

static void
put_root(const struct och_seal_file *f, struct och_buf *root)
{
    uint32_t n_sections = 0;
    for (unsigned kind = 1; kind < OCH_SECTION_KINDS; kind++)
        n_sections += f->sections[kind].offset != 0;
    och_buf_put_u32(root, n_sections);
    for (unsigned kind = 1; kind < OCH_SECTION_KINDS; kind++) {
        if (f->sections[kind].offset == 0)
            continue;
        och_buf_put_u16(root, (uint16_t) kind);
        och_buf_put_u16(root, 0);
        och_buf_put_u32(root, 0);
        och_buf_put_u64(root, f->sections[kind].offset);
        och_buf_put_u64(root, f->sections[kind].size);
        och_buf_put_u64(root, f->sections[kind].size);
        och_buf_put_u64(root, 0);
        och_buf_put_u64(root, 0);
    }
    och_buf_put(root, f->seal->collection.bytes, sizeof(f->seal->collection.bytes));
    och_buf_put_u64(root, f->seal->id);
    och_buf_put_u64(root, f->seal->position);
    och_buf_put_u32(root, (uint32_t) (f->hashes.size / 8));
    och_buf_put(root, f->hashes.data, f->hashes.size);
}

static void
put_end(struct och_seal_file *f, uint64_t *footer_hash_out, uint64_t *file_size_out)
{
    struct och_buf root;
    och_buf_init(&root, f->seal->mem, OCH_SEGMENT_ROOT_SIZE_MAX);
    put_root(f, &root);
    uint64_t root_offset = f->offset;
    uint64_t root_size = root.size;
    uint64_t root_hash = root.failed ? 0 : och_hash64(root.data, root.size);
    *file_size_out = root_offset + root_size + OCH_SEGMENT_FOOTER_SIZE;
    och_buf_put_u64(&root, root_offset);
    och_buf_put_u64(&root, root_size);
    och_buf_put_u32(&root, f->seal->n_rows);
    och_buf_put_u32(&root, f->seal->dim);
    och_buf_put_u32(&root, (uint32_t) f->seal->space); /* code bits and padded dim: none */
    och_buf_put_u32(&root, 0);
    och_buf_put_u64(&root, root_hash);
    och_buf_put_u64(&root, *file_size_out);
    *footer_hash_out = root.failed ? 0 : och_hash64(root.data + root_size, 48);
    och_buf_put_u64(&root, *footer_hash_out);
    och_buf_put_u64(&root, OCH_SEGMENT_MAGIC);
    if (f->status == OCHRE_OK && och_buf_status(&root) != OCHRE_OK)
        f->status = och_fail_memory(f->err);
    if (f->status == OCHRE_OK)
        f->status = och_file_write(f->file, root_offset, root.data, root.size, f->err);
    och_buf_clear(&root);
}

static void
put_file(struct och_seal_file *f, uint64_t *footer_hash_out, uint64_t *file_size_out)
{
    put_header(f);
    put_vectors(f);
    put_texts(f, OCH_SECTION_ID_OFFSETS);
    put_id_table(f);
    put_texts(f, OCH_SECTION_DOCUMENT_OFFSETS);
    put_texts(f, OCH_SECTION_URI_OFFSETS);
    put_texts(f, OCH_SECTION_FIELD_OFFSETS);
    put_parts(f);
    pad(f, OCH_SEGMENT_ALIGNMENT);
    flush(f);
    put_end(f, footer_hash_out, file_size_out);
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
    struct och_seal_file f = {.seal = seal, .err = err, .status = OCHRE_OK};
    och_buf_init(&f.hashes, seal->mem, OCH_SEGMENT_ROOT_SIZE_MAX);
    f.buffer = och_mem_take(seal->mem, BUFFER_SIZE);
    ochre_status status = f.buffer == NULL ? och_fail_memory(err) : OCHRE_OK;
    if (status == OCHRE_OK)
        status = och_vfs_open(seal->vfs, tmp, OCH_OPEN_WRITE | OCH_OPEN_CREATE, &f.file, err);
    if (status == OCHRE_OK)
        status = och_file_truncate(f.file, 0, err); /* left by a seal that failed */
    if (status == OCHRE_OK) {
        put_file(&f, footer_hash_out, file_size_out);
        status = f.status;
    }
    if (status == OCHRE_OK)
        status = och_file_sync(f.file, err);
    if (status == OCHRE_OK)
        status = move_into_place(seal, tmp, err);
    och_file_close(f.file);
    if (status != OCHRE_OK) {
        /* Give the space back now; what cannot be removed goes at the next open. */
        ochre_status removed = och_vfs_remove(seal->vfs, tmp, NULL);
        (void) removed;
    }
    och_buf_clear(&f.hashes);
    och_mem_release(seal->mem, f.buffer, BUFFER_SIZE);
    return status;
}
