#include "segment/segment.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "index/meta/columns.h"
#include "os/vfs.h"
#include "segment/id_table.h"
#include "storage/directory.h"

#define MARKS_PER_PAGE 4096u
#define SLOTS_PER_PAGE ((uint64_t) OCH_PAGE_SIZE / 8)

/*
 * When the rows of one page died.  A bit says that a row has, at whatever position:
 * who reads at or after the newest death needs no more than the bits.  A row's mark
 * and newest_death are stored before its bit, so whoever sees the bit sees them.
 */
struct och_marks {
    _Atomic(uint64_t) dead[MARKS_PER_PAGE / 64];
    _Atomic(uint64_t) positions[MARKS_PER_PAGE];
};

void
och_segment_path(char *path, size_t size, struct och_uuid collection, uint64_t id)
{
    char text[OCH_UUID_TEXT_SIZE + 1];
    och_uuid_put(collection, text);
    (void) snprintf(path, size, OCH_DIR_SEGMENTS "/%s/%016llx.seg", text, (unsigned long long) id);
}

static ochre_status
fail_corrupt(const struct och_segment *segment, const char *what, struct ochre_error *err)
{
    char path[OCH_PATH_SIZE_MAX];
    och_segment_path(path, sizeof(path), segment->collection, segment->id);
    return och_fail(err, OCHRE_CORRUPT, "%s: %s", path, what);
}

/* --- opening ---------------------------------------------------------------- */

struct footer {
    uint64_t root_offset, root_size, root_hash;
};

static ochre_status
read_footer(struct och_segment *segment, struct footer *footer, struct ochre_error *err)
{
    char bytes[OCH_SEGMENT_FOOTER_SIZE];
    ochre_status status = och_file_size(segment->file, &segment->file_size, err);
    if (status != OCHRE_OK)
        return status;
    if (segment->file_size < OCH_PAGE_SIZE + sizeof(bytes))
        return fail_corrupt(segment, "the file is too short to be a segment", err);
    status = och_file_read_all(
            segment->file, segment->file_size - sizeof(bytes), bytes, sizeof(bytes), err);
    if (status != OCHRE_OK)
        return status;
    if (och_load_u64(bytes + 56) != OCH_SEGMENT_MAGIC)
        return fail_corrupt(segment, "the footer is not a segment's", err);
    segment->footer_hash = och_load_u64(bytes + 48);
    if (och_hash64(bytes, 48) != segment->footer_hash)
        return fail_corrupt(segment, "the footer fails its checksum", err);
    footer->root_offset = och_load_u64(bytes);
    segment->root_offset = footer->root_offset;
    footer->root_size = och_load_u64(bytes + 8);
    segment->n_rows = och_load_u32(bytes + 16);
    segment->dim = och_load_u32(bytes + 20);
    uint32_t space = och_load_u32(bytes + 24) & 0xff;
    footer->root_hash = och_load_u64(bytes + 32);
    if (och_load_u64(bytes + 40) != segment->file_size ||
            footer->root_size > OCH_SEGMENT_ROOT_SIZE_MAX ||
            footer->root_offset > segment->file_size - sizeof(bytes) ||
            footer->root_size != segment->file_size - sizeof(bytes) - footer->root_offset ||
            segment->n_rows > OCH_SEGMENT_ROWS_MAX || segment->dim > OCH_DIM_MAX ||
            space > (uint32_t) OCHRE_SPACE_IP)
        return fail_corrupt(segment, "the footer's values do not fit the file", err);
    segment->space = (ochre_space) space;
    return OCHRE_OK;
}

/* The sizes that follow from the number of rows. */
static bool
sections_fit(const struct och_segment *segment)
{
    const struct och_section *sections = segment->sections;
    uint64_t n = segment->n_rows;
    uint64_t table = sections[OCH_SECTION_ID_TABLE].size / 8;
    return sections[OCH_SECTION_ROWS].size == n * segment->dim * sizeof(float) &&
            sections[OCH_SECTION_NORMS].size == n * sizeof(float) &&
            sections[OCH_SECTION_ORDINALS].size == n * 8 &&
            sections[OCH_SECTION_ID_OFFSETS].size == (n + 1) * 8 &&
            sections[OCH_SECTION_DOCUMENT_OFFSETS].size == (n + 1) * 8 &&
            sections[OCH_SECTION_URI_OFFSETS].size == (n + 1) * 8 &&
            sections[OCH_SECTION_FIELD_OFFSETS].size == (n + 1) * 8 &&
            sections[OCH_SECTION_ID_TABLE].size % 8 == 0 && table > n && (table & (table - 1)) == 0;
}

static ochre_status
parse_root(struct och_segment *segment, const char *root, const struct footer *footer,
        struct ochre_error *err)
{
    struct och_reader reader;
    och_reader_init(&reader, root, footer->root_size);
    uint32_t n_sections = och_reader_u32(&reader);
    for (uint32_t i = 0; i < n_sections && !reader.failed; i++) {
        uint16_t kind = och_reader_u16(&reader);
        uint16_t codec = och_reader_u16(&reader);
        (void) och_reader_u32(&reader); /* flags */
        struct och_section section;
        section.offset = och_reader_u64(&reader);
        section.size = och_reader_u64(&reader);
        (void) och_reader_bytes(&reader, 24); /* raw size, checksum, auxiliary: derived sections */
        if (reader.failed || section.offset % OCH_SEGMENT_ALIGNMENT != 0 ||
                section.offset > footer->root_offset ||
                section.size > footer->root_offset - section.offset)
            return fail_corrupt(segment, "a section lies outside of the file", err);
        /* Sections of a kind we do not know are derived data of a later minor. */
        if (kind < OCH_SECTION_KINDS && codec == 0 && section.offset >= OCH_PAGE_SIZE)
            segment->sections[kind] = section;
    }
    /* Of a fork's file the collection is another; which file it is, the catalog's hash tells. */
    (void) och_reader_bytes(&reader, sizeof(segment->collection.bytes));
    uint64_t id = och_reader_u64(&reader);
    segment->position = och_reader_u64(&reader);
    segment->n_pages = och_reader_u32(&reader);
    const char *hashes = och_reader_bytes(&reader, (size_t) segment->n_pages * 8);
    uint64_t pages = (footer->root_offset + OCH_PAGE_SIZE - 1) / OCH_PAGE_SIZE;
    if (reader.failed || pages != segment->n_pages || !sections_fit(segment))
        return fail_corrupt(segment, "the section table does not fit the rows", err);
    if (id != segment->id)
        return fail_corrupt(segment, "the file belongs to another segment", err);

    size_t n_words = segment->n_pages / 64 + 1;
    segment->page_hashes = och_mem_take(segment->mem, (size_t) segment->n_pages * 8);
    segment->verified = och_mem_take_zeroed(segment->mem, n_words * sizeof(*segment->verified));
    size_t n_marks = segment->n_rows / MARKS_PER_PAGE + 1;
    segment->marks = och_mem_take_zeroed(segment->mem, n_marks * sizeof(*segment->marks));
    if (segment->page_hashes == NULL || segment->verified == NULL || segment->marks == NULL)
        return och_fail_memory(err);
    memcpy(segment->page_hashes, hashes, (size_t) segment->n_pages * 8);
    return OCHRE_OK;
}

static ochre_status
read_root(struct och_segment *segment, const struct footer *footer, struct ochre_error *err)
{
    if (footer->root_size == 0)
        return fail_corrupt(segment, "the root is empty", err);
    char *root = och_mem_take(segment->mem, (size_t) footer->root_size);
    if (root == NULL)
        return och_fail_memory(err);
    ochre_status status = och_file_read_all(
            segment->file, footer->root_offset, root, (size_t) footer->root_size, err);
    if (status == OCHRE_OK && och_hash64(root, (size_t) footer->root_size) != footer->root_hash)
        status = fail_corrupt(segment, "the root fails its checksum", err);
    if (status == OCHRE_OK)
        status = parse_root(segment, root, footer, err);
    och_mem_release(segment->mem, root, (size_t) footer->root_size);
    return status;
}

/*
 * The header says which version wrote the file.  Another number is believed where its
 * page is sound; damage to a page that nobody needs is left to whoever verifies all.
 */
static ochre_status
check_version(const struct och_segment *segment, struct ochre_error *err)
{
    char header[OCH_SEGMENT_VERSION_AT + 4];
    char path[OCH_PATH_SIZE_MAX];
    ochre_status status = och_file_read_all(segment->file, 0, header, sizeof(header), err);
    uint32_t version = status == OCHRE_OK ? och_load_u32(header + OCH_SEGMENT_VERSION_AT) : 0;
    if (status != OCHRE_OK || version == OCH_SEGMENT_VERSION)
        return status;
    char *page = och_mem_take(segment->mem, OCH_PAGE_SIZE);
    if (page == NULL)
        return och_fail_memory(err);
    status = och_file_read_all(segment->file, 0, page, OCH_PAGE_SIZE, err);
    if (status == OCHRE_OK && och_hash64(page, OCH_PAGE_SIZE) == segment->page_hashes[0]) {
        och_segment_path(path, sizeof(path), segment->collection, segment->id);
        status = och_fail(err, OCHRE_UNSUPPORTED,
                "%s: format %u; this version of ochre reads format %u", path, (unsigned) version,
                OCH_SEGMENT_VERSION);
    }
    och_mem_release(segment->mem, page, OCH_PAGE_SIZE);
    return status;
}

ochre_status
och_segment_open(struct och_mem *mem, struct och_vfs *vfs, struct och_uuid collection, uint64_t id,
        struct och_segment **segment_out, struct ochre_error *err)
{
    *segment_out = NULL;
    struct och_segment *segment = och_mem_take_zeroed(mem, sizeof(*segment));
    if (segment == NULL)
        return och_fail_memory(err);
    segment->mem = mem;
    segment->vfs = vfs;
    segment->collection = collection;
    segment->id = id;
    atomic_init(&segment->n_owners, 1);
    och_mutex_init(&segment->vectors_lock);

    struct footer footer = {0};
    const void *map = NULL;
    char path[OCH_PATH_SIZE_MAX];
    och_segment_path(path, sizeof(path), collection, id);
    ochre_status status = och_vfs_open(vfs, path, OCH_OPEN_READ, &segment->file, err);
    if (status == OCHRE_NOT_FOUND)
        status = och_fail(err, OCHRE_CORRUPT, "%s: the catalog lists it, but it is missing", path);
    if (status == OCHRE_OK)
        status = read_footer(segment, &footer, err);
    if (status == OCHRE_OK)
        status = read_root(segment, &footer, err);
    if (status == OCHRE_OK)
        status = check_version(segment, err);
    if (status == OCHRE_OK)
        status = och_file_map(segment->file, segment->file_size, &map, err);
    segment->map = map;
    if (status != OCHRE_OK) {
        och_segment_release(segment);
        return status;
    }
    *segment_out = segment;
    return OCHRE_OK;
}

struct och_segment *
och_segment_retain(struct och_segment *segment)
{
    (void) atomic_fetch_add_explicit(&segment->n_owners, 1, memory_order_relaxed);
    return segment;
}

void
och_segment_release(struct och_segment *segment)
{
    if (segment == NULL)
        return;
    if (atomic_fetch_sub_explicit(&segment->n_owners, 1, memory_order_acq_rel) != 1)
        return;
    och_segment_close_index(segment);
    och_mutex_clear(&segment->vectors_lock);
    if (segment->map != NULL)
        och_file_unmap(segment->file, segment->map, segment->file_size);
    och_file_close(segment->file);
    struct och_mem *mem = segment->mem;
    size_t n_marks = segment->n_rows / MARKS_PER_PAGE + 1;
    for (size_t i = 0; segment->marks != NULL && i < n_marks; i++) {
        och_mem_release(mem, atomic_load_explicit(&segment->marks[i], memory_order_relaxed),
                sizeof(struct och_marks));
    }
    och_mem_release(mem, (void *) (uintptr_t) segment->marks, n_marks * sizeof(*segment->marks));
    och_mem_release(mem, (void *) (uintptr_t) segment->verified,
            (segment->n_pages / 64 + 1) * sizeof(*segment->verified));
    och_mem_release(mem, segment->page_hashes, (size_t) segment->n_pages * 8);
    och_mem_release(mem, atomic_load_explicit(&segment->columns, memory_order_relaxed),
            sizeof(struct och_columns));
    och_mem_release(mem, atomic_load_explicit(&segment->id_table, memory_order_relaxed),
            (size_t) och_id_table_slots(segment->n_rows) * 8);
    och_mem_release(mem, segment, sizeof(*segment));
}

/* --- verifying -------------------------------------------------------------- */

static bool
is_verified(const struct och_segment *segment, uint32_t page)
{
    uint64_t word = atomic_load_explicit(&segment->verified[page / 64], memory_order_acquire);
    return (word >> (page % 64) & 1) != 0;
}

/* A read that fails is tried once more, with a fresh descriptor. */
static ochre_status
read_bytes(struct och_segment *segment, uint64_t offset, char *buffer, size_t size,
        struct ochre_error *err)
{
    ochre_status status = och_file_read_all(segment->file, offset, buffer, size, err);
    if (status != OCHRE_IO)
        return status;
    struct och_file *file = NULL;
    char path[OCH_PATH_SIZE_MAX];
    och_segment_path(path, sizeof(path), segment->collection, segment->id);
    /* Where it cannot even be opened, the first failure says more. */
    if (och_vfs_open(segment->vfs, path, OCH_OPEN_READ, &file, NULL) != OCHRE_OK)
        return status;
    status = och_file_read_all(file, offset, buffer, size, err);
    och_file_close(file);
    return status;
}

/* Read a page, the last one as far as it goes, and verify it. */
static ochre_status
verify_page(struct och_segment *segment, uint32_t page, char *buffer, struct ochre_error *err)
{
    uint64_t begin = (uint64_t) page * OCH_PAGE_SIZE;
    uint64_t end = begin + OCH_PAGE_SIZE;
    if (end > segment->root_offset)
        end = segment->root_offset;
    ochre_status status = read_bytes(segment, begin, buffer, (size_t) (end - begin), err);
    if (status != OCHRE_OK)
        return status;
    if (och_hash64(buffer, (size_t) (end - begin)) != segment->page_hashes[page]) {
        char what[64];
        (void) snprintf(what, sizeof(what), "page %u fails its checksum", (unsigned) page);
        return fail_corrupt(segment, what, err);
    }
    (void) atomic_fetch_or_explicit(
            &segment->verified[page / 64], UINT64_C(1) << (page % 64), memory_order_release);
    return OCHRE_OK;
}

/* Make the bytes of `size` at `offset` safe to touch. */
static ochre_status
load_bytes(struct och_segment *segment, uint64_t offset, uint64_t size, struct ochre_error *err)
{
    if (size == 0)
        return OCHRE_OK;
    uint32_t page = (uint32_t) (offset / OCH_PAGE_SIZE);
    uint32_t last = (uint32_t) ((offset + size - 1) / OCH_PAGE_SIZE);
    while (page <= last && is_verified(segment, page))
        page++;
    if (page > last)
        return OCHRE_OK;
    char *buffer = och_mem_take(segment->mem, OCH_PAGE_SIZE);
    if (buffer == NULL)
        return och_fail_memory(err);
    ochre_status status = OCHRE_OK;
    for (; page <= last && status == OCHRE_OK; page++)
        if (!is_verified(segment, page))
            status = verify_page(segment, page, buffer, err);
    och_mem_release(segment->mem, buffer, OCH_PAGE_SIZE);
    return status;
}

/* Part of a section of fixed-size items. */
static ochre_status
load_items(struct och_segment *segment, enum och_section_kind kind, uint64_t first, uint64_t n,
        uint64_t item_size, struct ochre_error *err)
{
    uint64_t offset = segment->sections[kind].offset + first * item_size;
    return load_bytes(segment, offset, n * item_size, err);
}

/* --- text columns ----------------------------------------------------------- */

static uint64_t
offset_at(const struct och_segment *segment, enum och_section_kind offsets, uint32_t row)
{
    return och_load_u64(segment->map + segment->sections[offsets].offset + (uint64_t) row * 8);
}

/* The text of a row; the offsets were checked when they were loaded. */
static struct ochre_bytes
text_at(const struct och_segment *segment, enum och_section_kind offsets, uint32_t row)
{
    uint64_t begin = offset_at(segment, offsets, row);
    if ((begin & OCH_SEGMENT_ABSENT) != 0)
        return (struct ochre_bytes){NULL, 0};
    uint64_t end = offset_at(segment, offsets, row + 1) & ~OCH_SEGMENT_ABSENT;
    const struct och_section *bytes = &segment->sections[offsets + 1];
    return (struct ochre_bytes){segment->map + bytes->offset + begin, (size_t) (end - begin)};
}

/*
 * Load rows' texts.  A checksum tells damage, not a bug of whoever wrote the
 * file: offsets are checked too, so that no accessor can leave the section.
 */
static ochre_status
load_texts(struct och_segment *segment, enum och_section_kind offsets, uint32_t row, uint32_t n,
        struct ochre_error *err)
{
    ochre_status status = load_items(segment, offsets, row, (uint64_t) n + 1, 8, err);
    if (status != OCHRE_OK)
        return status;
    uint64_t begin = offset_at(segment, offsets, row) & ~OCH_SEGMENT_ABSENT;
    uint64_t before = begin;
    for (uint32_t i = 1; i <= n; i++) {
        uint64_t next = offset_at(segment, offsets, row + i) & ~OCH_SEGMENT_ABSENT;
        if (next < before)
            return fail_corrupt(segment, "offsets of a text section descend", err);
        before = next;
    }
    if (before > segment->sections[offsets + 1].size)
        return fail_corrupt(segment, "an offset lies outside of its text section", err);
    return load_items(segment, offsets + 1, begin, before - begin, 1, err);
}

/* The columns of texts. */
static const struct {
    unsigned column;
    enum och_section_kind offsets;
} texts[] = {
        {OCH_COLUMN_IDS, OCH_SECTION_ID_OFFSETS},
        {OCH_COLUMN_DOCUMENTS, OCH_SECTION_DOCUMENT_OFFSETS},
        {OCH_COLUMN_URIS, OCH_SECTION_URI_OFFSETS},
        {OCH_COLUMN_FIELDS, OCH_SECTION_FIELD_OFFSETS},
};

void
och_segment_prefetch_row(const struct och_segment *segment, uint32_t row, unsigned columns)
{
    och_assert(row < segment->n_rows);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if ((columns & texts[i].column) != 0)
            __builtin_prefetch(
                    segment->map + segment->sections[texts[i].offsets].offset + (uint64_t) row * 8);
}

ochre_status
och_segment_load_rows(struct och_segment *segment, uint32_t row, uint32_t n, unsigned columns,
        struct ochre_error *err)
{
    och_assert(row <= segment->n_rows && n <= segment->n_rows - row);
    ochre_status status = OCHRE_OK;
    if ((columns & OCH_COLUMN_VECTORS) != 0) {
        uint64_t row_size = (uint64_t) segment->dim * sizeof(float);
        status = load_items(segment, OCH_SECTION_ROWS, row, n, row_size, err);
        if (status == OCHRE_OK)
            status = load_items(segment, OCH_SECTION_NORMS, row, n, sizeof(float), err);
    }
    if (status == OCHRE_OK && (columns & OCH_COLUMN_ORDINALS) != 0)
        status = load_items(segment, OCH_SECTION_ORDINALS, row, n, 8, err);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && status == OCHRE_OK; i++)
        if ((columns & texts[i].column) != 0)
            status = load_texts(segment, texts[i].offsets, row, n, err);
    return status;
}

ochre_status
och_segment_load(struct och_segment *segment, unsigned columns, struct ochre_error *err)
{
    return och_segment_load_rows(segment, 0, segment->n_rows, columns, err);
}

ochre_status
och_segment_verify(struct och_segment *segment, struct ochre_error *err)
{
    ochre_status status = load_bytes(segment, 0, segment->root_offset, err);
    if (status == OCHRE_OK)
        status = och_segment_load(segment,
                OCH_COLUMN_IDS | OCH_COLUMN_DOCUMENTS | OCH_COLUMN_URIS | OCH_COLUMN_FIELDS, err);
    return status;
}

bool
och_segment_is_whole(struct och_segment *segment)
{
    return och_segment_load(segment,
                   OCH_COLUMN_VECTORS | OCH_COLUMN_IDS | OCH_COLUMN_DOCUMENTS | OCH_COLUMN_URIS |
                           OCH_COLUMN_FIELDS | OCH_COLUMN_ORDINALS,
                   NULL) == OCHRE_OK;
}

void
och_segment_wear(struct och_segment *segment)
{
    atomic_store_explicit(&segment->worn, true, memory_order_relaxed);
}

struct ochre_bytes
och_segment_id(const struct och_segment *segment, uint32_t row)
{
    return text_at(segment, OCH_SECTION_ID_OFFSETS, row);
}

struct ochre_bytes
och_segment_document(const struct och_segment *segment, uint32_t row)
{
    return text_at(segment, OCH_SECTION_DOCUMENT_OFFSETS, row);
}

struct ochre_bytes
och_segment_uri(const struct och_segment *segment, uint32_t row)
{
    return text_at(segment, OCH_SECTION_URI_OFFSETS, row);
}

struct ochre_bytes
och_segment_fields(const struct och_segment *segment, uint32_t row)
{
    return text_at(segment, OCH_SECTION_FIELD_OFFSETS, row);
}

const float *
och_segment_vectors(const struct och_segment *segment)
{
    const char *bytes = segment->map + segment->sections[OCH_SECTION_ROWS].offset;
    return (const float *) (const void *) bytes;
}

const float *
och_segment_norms(const struct och_segment *segment)
{
    const char *bytes = segment->map + segment->sections[OCH_SECTION_NORMS].offset;
    return (const float *) (const void *) bytes;
}

const uint64_t *
och_segment_ordinals(const struct och_segment *segment)
{
    const char *bytes = segment->map + segment->sections[OCH_SECTION_ORDINALS].offset;
    return (const uint64_t *) (const void *) bytes;
}

void
och_segment_find_section(const struct och_segment *segment, unsigned kind, const void **bytes_out,
        uint64_t *size_out)
{
    och_assert(kind >= OCH_SECTION_DERIVED && kind < OCH_SECTION_KINDS);
    const struct och_section *section = &segment->sections[kind];
    *bytes_out = section->offset == 0 ? NULL : segment->map + section->offset;
    *size_out = section->offset == 0 ? 0 : section->size;
}

ochre_status
och_segment_section(struct och_segment *segment, unsigned kind, const void **bytes_out,
        uint64_t *size_out, struct ochre_error *err)
{
    och_segment_find_section(segment, kind, bytes_out, size_out);
    if (*bytes_out == NULL)
        return OCHRE_OK;
    ochre_status status = load_bytes(segment, segment->sections[kind].offset, *size_out, err);
    if (status != OCHRE_OK) {
        *bytes_out = NULL;
        *size_out = 0;
    }
    return status;
}

ochre_status
och_segment_touch_section(struct och_segment *segment, unsigned kind, uint64_t offset,
        uint64_t size, struct ochre_error *err)
{
    const struct och_section *section = &segment->sections[kind];
    och_assert(offset <= section->size && size <= section->size - offset);
    return load_bytes(segment, section->offset + offset, size, err);
}

/* The bytes begin .. end - 1 of a page, by way of a buffer of a page. */
static ochre_status
read_part(struct och_segment *segment, uint32_t page, uint64_t begin, uint64_t end, char *to,
        struct ochre_error *err)
{
    char *buffer = och_mem_take(segment->mem, OCH_PAGE_SIZE);
    if (buffer == NULL)
        return och_fail_memory(err);
    ochre_status status = verify_page(segment, page, buffer, err);
    if (status == OCHRE_OK)
        memcpy(to, buffer + begin % OCH_PAGE_SIZE, (size_t) (end - begin));
    och_mem_release(segment->mem, buffer, OCH_PAGE_SIZE);
    return status;
}

ochre_status
och_segment_read_section(struct och_segment *segment, unsigned kind, uint64_t offset, void *to,
        size_t size, struct ochre_error *err)
{
    const struct och_section *section = &segment->sections[kind];
    och_assert(offset <= section->size && size <= section->size - offset);
    ochre_status status = OCHRE_OK;
    char *next = to;
    uint64_t end = section->offset + offset + size;
    for (uint64_t at = end - size; at < end && status == OCHRE_OK;) {
        uint32_t page = (uint32_t) (at / OCH_PAGE_SIZE);
        uint64_t page_end = ((uint64_t) page + 1) * OCH_PAGE_SIZE;
        uint64_t stop = page_end < end ? page_end : end;
        /* A whole page can be verified where it is wanted. */
        if (stop - at == OCH_PAGE_SIZE)
            status = verify_page(segment, page, next, err);
        else
            status = read_part(segment, page, at, stop, next, err);
        next += stop - at;
        at = stop;
    }
    return status;
}

static ochre_status
touch_columns(void *context, uint64_t offset, uint64_t size, struct ochre_error *err)
{
    struct och_segment *segment = context;
    return load_bytes(segment, segment->sections[OCH_SECTION_COLUMNS].offset + offset, size, err);
}

bool
och_segment_is_worn(const struct och_segment *segment)
{
    return atomic_load_explicit(&segment->worn, memory_order_relaxed);
}

void
och_segment_fail_columns(struct och_segment *segment, ochre_status status)
{
    atomic_store_explicit(&segment->worn, true, memory_order_relaxed);
    /* Damage stays; what failed for a moment is tried again. */
    if (status == OCHRE_CORRUPT)
        atomic_store_explicit(&segment->columns_failed, true, memory_order_relaxed);
}

static ochre_status
open_columns(struct och_segment *segment, const struct och_columns **columns_out,
        struct ochre_error *err)
{
    const struct och_section *section = &segment->sections[OCH_SECTION_COLUMNS];
    struct och_columns *columns = och_mem_take(segment->mem, sizeof(*columns));
    if (columns == NULL)
        return och_fail_memory(err);
    struct och_columns_source source = {.bytes = segment->map + section->offset,
            .size = section->size,
            .touch = touch_columns,
            .context = segment};
    ochre_status status = och_columns_open(columns, &source, segment->n_rows, err);
    struct och_columns *first = NULL;
    /* Whoever opens it first keeps it; all of them opened the same. */
    if (status == OCHRE_OK &&
            atomic_compare_exchange_strong_explicit(&segment->columns, &first, columns,
                    memory_order_acq_rel, memory_order_acquire)) {
        *columns_out = columns;
        return OCHRE_OK;
    }
    och_mem_release(segment->mem, columns, sizeof(*columns));
    *columns_out = first;
    if (status != OCHRE_CORRUPT && status != OCHRE_IO)
        return status;
    och_segment_fail_columns(segment, status);
    return OCHRE_OK;
}

ochre_status
och_segment_columns(struct och_segment *segment, const struct och_columns **columns_out,
        struct ochre_error *err)
{
    *columns_out = NULL;
    if (segment->sections[OCH_SECTION_COLUMNS].offset == 0 ||
            atomic_load_explicit(&segment->columns_failed, memory_order_relaxed))
        return OCHRE_OK;
    *columns_out = atomic_load_explicit(&segment->columns, memory_order_acquire);
    return *columns_out != NULL ? OCHRE_OK : open_columns(segment, columns_out, err);
}

/* --- ids --------------------------------------------------------------------- */

/* A table of ids being searched, and whether it turned out to be wrong. */
struct id_search {
    struct och_segment *segment;
    const uint64_t *slots;
    uint64_t n_slots;
    bool in_file; /* its pages are to be loaded */
    bool failed;  /* the table could not be read, or makes no sense */
};

/* Is it row `row` that has the id? */
static ochre_status
compare_id(struct id_search *search, uint32_t row, struct ochre_bytes id, bool *same_out,
        struct ochre_error *err)
{
    struct och_segment *segment = search->segment;
    *same_out = false;
    if (row >= segment->n_rows) {
        search->failed = true;
        return fail_corrupt(segment, "the id table names a row that is not there", err);
    }
    ochre_status status = och_segment_load_rows(segment, row, 1, OCH_COLUMN_IDS, err);
    if (status != OCHRE_OK)
        return status;
    struct ochre_bytes found = och_segment_id(segment, row);
    *same_out = found.data != NULL && found.size == id.size &&
            memcmp(found.data, id.data, id.size) == 0;
    return OCHRE_OK;
}

/* Make the slots from `slot` on that lie on its page safe to touch. */
static ochre_status
load_slots(struct id_search *search, uint64_t slot, uint64_t *n_out, struct ochre_error *err)
{
    struct och_segment *segment = search->segment;
    uint64_t left = search->n_slots - slot;
    uint64_t first = segment->sections[OCH_SECTION_ID_TABLE].offset / 8;
    *n_out = left;
    if (!search->in_file)
        return OCHRE_OK;
    *n_out = SLOTS_PER_PAGE - (first + slot) % SLOTS_PER_PAGE;
    *n_out = *n_out < left ? *n_out : left;
    ochre_status status = load_items(segment, OCH_SECTION_ID_TABLE, slot, *n_out, 8, err);
    search->failed = status == OCHRE_CORRUPT || status == OCHRE_IO;
    return status;
}

static ochre_status
search_ids(
        struct id_search *search, struct ochre_bytes id, uint32_t *row_out, struct ochre_error *err)
{
    uint32_t hash = och_id_table_hash(id);
    uint64_t n_loaded = 0; /* slots from here on, of the same page */
    *row_out = OCH_ROW_NONE;
    /* A table that its writer filled up has no end; every slot is looked at once. */
    for (uint64_t n = 0; n < search->n_slots; n++, n_loaded--) {
        uint64_t slot = (hash + n) & (search->n_slots - 1);
        ochre_status status = OCHRE_OK;
        if (n_loaded == 0)
            status = load_slots(search, slot, &n_loaded, err);
        if (status != OCHRE_OK || search->slots[slot] == 0)
            return status;
        bool same = false;
        uint32_t row = (uint32_t) search->slots[slot] - 1;
        if (och_id_table_matches(search->slots[slot], hash))
            status = compare_id(search, row, id, &same, err);
        if (status != OCHRE_OK)
            return status;
        if (same) {
            *row_out = row;
            return OCHRE_OK;
        }
    }
    return OCHRE_OK;
}

/* The table follows from the ids: make it of them. */
static ochre_status
make_id_table(struct och_segment *segment, struct ochre_error *err)
{
    ochre_status status = och_segment_load(segment, OCH_COLUMN_IDS, err);
    if (status != OCHRE_OK)
        return status;
    uint64_t n_slots = och_id_table_slots(segment->n_rows);
    uint64_t *slots = och_mem_take_zeroed(segment->mem, (size_t) n_slots * 8);
    if (slots == NULL)
        return och_fail_memory(err);
    for (uint32_t row = 0; row < segment->n_rows; row++)
        och_id_table_put(slots, n_slots, och_id_table_hash(och_segment_id(segment, row)), row);
    atomic_store_explicit(&segment->worn, true, memory_order_relaxed);
    uint64_t *first = NULL;
    /* Whoever made it first keeps it; all of them made the same. */
    if (!atomic_compare_exchange_strong_explicit(
                &segment->id_table, &first, slots, memory_order_acq_rel, memory_order_acquire))
        och_mem_release(segment->mem, slots, (size_t) n_slots * 8);
    return OCHRE_OK;
}

static ochre_status
search_made_table(struct och_segment *segment, struct ochre_bytes id, uint32_t *row_out,
        struct ochre_error *err)
{
    struct id_search search = {.segment = segment,
            .slots = atomic_load_explicit(&segment->id_table, memory_order_acquire),
            .n_slots = och_id_table_slots(segment->n_rows)};
    return search_ids(&search, id, row_out, err);
}

ochre_status
och_segment_find(struct och_segment *segment, struct ochre_bytes id, uint32_t *row_out,
        struct ochre_error *err)
{
    if (atomic_load_explicit(&segment->id_table, memory_order_acquire) != NULL)
        return search_made_table(segment, id, row_out, err);
    const struct och_section *section = &segment->sections[OCH_SECTION_ID_TABLE];
    struct id_search search = {.segment = segment,
            .slots = (const uint64_t *) (const void *) (segment->map + section->offset),
            .n_slots = section->size / 8,
            .in_file = true};
    ochre_status status = search_ids(&search, id, row_out, err);
    if (!search.failed)
        return status;
    status = make_id_table(segment, err);
    return status == OCHRE_OK ? search_made_table(segment, id, row_out, err) : status;
}

ochre_status
och_segment_hashes(struct och_segment *segment, void (*visit)(void *context, uint32_t hash),
        void *context, struct ochre_error *err)
{
    const struct och_section *section = &segment->sections[OCH_SECTION_ID_TABLE];
    struct id_search table = {.segment = segment,
            .slots = atomic_load_explicit(&segment->id_table, memory_order_acquire),
            .n_slots = och_id_table_slots(segment->n_rows)};
    if (table.slots == NULL) {
        table.slots = (const uint64_t *) (const void *) (segment->map + section->offset);
        table.n_slots = section->size / 8;
        table.in_file = true;
    }
    uint64_t n_loaded = 0;
    for (uint64_t slot = 0; slot < table.n_slots; slot++, n_loaded--) {
        ochre_status status = OCHRE_OK;
        if (n_loaded == 0)
            status = load_slots(&table, slot, &n_loaded, err);
        if (status != OCHRE_OK)
            return status;
        if (table.slots[slot] != 0)
            visit(context, (uint32_t) (table.slots[slot] >> 32));
    }
    return OCHRE_OK;
}

void
och_segment_prefetch_id(const struct och_segment *segment, uint32_t hash)
{
    const struct och_section *section = &segment->sections[OCH_SECTION_ID_TABLE];
    const uint64_t *made = atomic_load_explicit(&segment->id_table, memory_order_acquire);
    uint64_t n_slots = made != NULL ? och_id_table_slots(segment->n_rows) : section->size / 8;
    const char *slots = made != NULL ? (const char *) made : segment->map + section->offset;
    __builtin_prefetch(slots + (hash & (n_slots - 1)) * 8);
}

/* --- deaths ------------------------------------------------------------------ */

static struct och_marks *
marks_of(const struct och_segment *segment, uint32_t row)
{
    return atomic_load_explicit(&segment->marks[row / MARKS_PER_PAGE], memory_order_acquire);
}

uint64_t
och_segment_dead(const struct och_segment *segment, uint32_t row)
{
    const struct och_marks *marks = marks_of(segment, row);
    if (marks == NULL)
        return OCH_ALIVE;
    return atomic_load_explicit(&marks->positions[row % MARKS_PER_PAGE], memory_order_relaxed);
}

ochre_status
och_segment_reserve_mark(struct och_segment *segment, uint32_t row)
{
    if (marks_of(segment, row) != NULL)
        return OCHRE_OK;
    struct och_marks *marks = och_mem_take_aligned(segment->mem, 64, sizeof(*marks));
    if (marks == NULL)
        return OCHRE_NO_MEMORY;
    for (uint32_t i = 0; i < MARKS_PER_PAGE; i++)
        atomic_init(&marks->positions[i], OCH_ALIVE);
    for (uint32_t i = 0; i < MARKS_PER_PAGE / 64; i++)
        atomic_init(&marks->dead[i], 0);
    atomic_store_explicit(&segment->marks[row / MARKS_PER_PAGE], marks, memory_order_release);
    return OCHRE_OK;
}

void
och_segment_kill(struct och_segment *segment, uint32_t row, uint64_t position)
{
    struct och_marks *marks = marks_of(segment, row);
    uint32_t at = row % MARKS_PER_PAGE;
    atomic_store_explicit(&marks->positions[at], position, memory_order_relaxed);
    if (atomic_load_explicit(&segment->newest_death, memory_order_relaxed) < position)
        atomic_store_explicit(&segment->newest_death, position, memory_order_relaxed);
    (void) atomic_fetch_or_explicit(
            &marks->dead[at / 64], UINT64_C(1) << (at % 64), memory_order_release);
    (void) atomic_fetch_add_explicit(&segment->n_dead, 1, memory_order_release);
}

void
och_segment_undo_kill(struct och_segment *segment, uint32_t row)
{
    struct och_marks *marks = marks_of(segment, row);
    uint32_t at = row % MARKS_PER_PAGE;
    atomic_store_explicit(&marks->positions[at], OCH_ALIVE, memory_order_relaxed);
    (void) atomic_fetch_and_explicit(
            &marks->dead[at / 64], ~(UINT64_C(1) << (at % 64)), memory_order_relaxed);
    (void) atomic_fetch_sub_explicit(&segment->n_dead, 1, memory_order_relaxed);
}

uint32_t
och_segment_next_dead(const struct och_segment *segment, uint32_t from)
{
    while (from < segment->n_rows) {
        const struct och_marks *marks = marks_of(segment, from);
        uint32_t at = from % MARKS_PER_PAGE;
        if (marks == NULL) {
            from += MARKS_PER_PAGE - at;
            continue;
        }
        uint64_t word = atomic_load_explicit(&marks->dead[at / 64], memory_order_acquire);
        word &= ~UINT64_C(0) << (at % 64);
        if (word != 0)
            return from - at % 64 + (uint32_t) __builtin_ctzll(word);
        from += 64 - at % 64;
    }
    return OCH_ROW_NONE;
}

/* The rows of word `w` of a page that are dead at `position`. */
static uint64_t
dead_word(const struct och_segment *segment, const struct och_marks *marks, uint32_t w,
        uint64_t position)
{
    uint64_t word = atomic_load_explicit(&marks->dead[w], memory_order_acquire);
    if (atomic_load_explicit(&segment->newest_death, memory_order_relaxed) <= position)
        return word;
    for (uint64_t left = word; left != 0; left &= left - 1) {
        uint32_t at = w * 64 + (uint32_t) __builtin_ctzll(left);
        if (atomic_load_explicit(&marks->positions[at], memory_order_relaxed) > position)
            word &= ~(left & -left);
    }
    return word;
}

ochre_status
och_segment_dead_rows(const struct och_segment *segment, uint64_t position, struct och_bitset *rows)
{
    ochre_status status = och_bitset_reserve(rows, segment->n_rows);
    if (status != OCHRE_OK)
        return status;
    for (uint32_t first = 0; first < segment->n_rows; first += MARKS_PER_PAGE) {
        const struct och_marks *marks = marks_of(segment, first);
        uint32_t n = (segment->n_rows - first + 63) / 64;
        if (n > MARKS_PER_PAGE / 64)
            n = MARKS_PER_PAGE / 64;
        for (uint32_t w = 0; marks != NULL && w < n; w++)
            rows->words[first / 64 + w] = dead_word(segment, marks, w, position);
    }
    return OCHRE_OK;
}

uint32_t
och_segment_count_dead(const struct och_segment *segment, uint64_t position)
{
    uint32_t count = 0;
    for (uint32_t first = 0; first < segment->n_rows; first += MARKS_PER_PAGE) {
        const struct och_marks *marks = marks_of(segment, first);
        for (uint32_t w = 0; marks != NULL && w < MARKS_PER_PAGE / 64; w++)
            count += (uint32_t) __builtin_popcountll(dead_word(segment, marks, w, position));
    }
    return count;
}
