#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/random.h"
#include "os/vfs.h"
#include "segment/seal.h"
#include "segment/segment.h"
#include "segment/source.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"
#include "support/check.h"
#include "unit/index/random_metadata.h"
#include "unit/segment/rows.h"

enum {
    ALL_COLUMNS = OCH_COLUMN_VECTORS | OCH_COLUMN_IDS | OCH_COLUMN_DOCUMENTS | OCH_COLUMN_URIS |
            OCH_COLUMN_FIELDS | OCH_COLUMN_ORDINALS
};

static void
path_of(const struct rows *rows, uint64_t id, char path[OCH_PATH_SIZE_MAX])
{
    och_segment_path(path, OCH_PATH_SIZE_MAX, rows->collection, id);
}

/* --- contents ------------------------------------------------------------------- */

static void
sealed_rows_come_back_whole(void **state)
{
    (void) state;
    static const uint32_t sizes[] = {1, 2, 63, 64, 65, 700};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct rows rows;
        struct ochre_error err;
        rows_begin(&rows, sizes[i], 1 + (uint32_t) i, i);
        struct och_segment *segment = rows_segment(&rows, 1);
        check(segment->n_rows == rows.n && segment->dim == rows.dim);
        check(segment->space == OCHRE_SPACE_COSINE && segment->position == 1);
        check_ok(och_segment_load(segment, ALL_COLUMNS, &err), &err);
        check_ok(och_segment_verify(segment, &err), &err);
        for (uint32_t row = 0; row < rows.n; row++)
            check_segment_row(segment, row, &rows.rows[row].insert);
        och_segment_release(segment);
        rows_end(&rows);
    }
}

static void
every_id_leads_to_its_row_and_no_other_to_any(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    rows_begin(&rows, 3000, 1, 2);
    struct och_segment *segment = rows_segment(&rows, 1);
    uint32_t found;
    for (uint32_t row = 0; row < rows.n; row++) {
        check_ok(och_segment_find(segment, rows.rows[row].insert.texts.id, &found, &err), &err);
        check(found == row);
        char other[16];
        int length = snprintf(other, sizeof(other), "%ux", (unsigned) row);
        struct ochre_bytes id = {other, (size_t) length};
        check_ok(och_segment_find(segment, id, &found, &err), &err);
        check(found == OCH_ROW_NONE);
    }
    check_ok(och_segment_find(segment, text(""), &found, &err), &err);
    check(found == OCH_ROW_NONE);
    och_segment_release(segment);
    rows_end(&rows);
}

/* Rows appended out of order, updated and deleted: the file has what position 1
 * sees, by ordinal. */
static void
only_visible_rows_are_sealed_in_insertion_order(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    uint64_t seed = 6;
    rows_begin(&rows, 200, 3, 3);
    for (uint32_t i = rows.n - 1; i > 0; i--) {
        uint32_t other = (uint32_t) och_random_below(&seed, i + 1);
        uint64_t ordinal = rows.rows[i].insert.ordinal;
        rows.rows[i].insert.ordinal = rows.rows[other].insert.ordinal;
        rows.rows[other].insert.ordinal = ordinal;
    }
    rows.rows[7].insert.position = 2; /* born too late */
    struct och_head *head;
    check(rows_head(&rows, &head));
    for (uint32_t row = 0; row < rows.n; row += 5)
        och_head_kill(head, row, row % 2 == 0 ? 1 : 2); /* half of them died too late */
    struct och_segment *segment;
    check_ok(rows_seal(&rows, head, 1, &segment, &err), &err);
    check_ok(och_segment_load(segment, ALL_COLUMNS, &err), &err);
    uint32_t n_wanted = 0;
    for (uint32_t i = 0; i < rows.n; i++) {
        bool visible = i != 7 && !(i % 5 == 0 && i % 2 == 0);
        uint32_t row;
        check_ok(och_segment_find(segment, rows.rows[i].insert.texts.id, &row, &err), &err);
        check((row != OCH_ROW_NONE) == visible);
        n_wanted += visible;
        if (visible)
            check_segment_row(segment, row, &rows.rows[i].insert);
    }
    check(segment->n_rows == n_wanted);
    for (uint32_t row = 1; row < segment->n_rows; row++)
        check(och_segment_ordinals(segment)[row - 1] < och_segment_ordinals(segment)[row]);
    och_segment_release(segment);
    och_head_release(head);
    rows_end(&rows);
}

static void
a_head_of_nothing_has_no_rows_to_seal(void **state)
{
    (void) state;
    struct rows rows;
    rows_begin(&rows, 0, 3, 3);
    struct och_head *head;
    check(rows_head(&rows, &head));
    struct och_source source = {.head = head, .position = 1};
    struct och_seal seal = {.mem = &rows.mem,
            .vfs = rows.vfs,
            .position = 1,
            .dim = 3,
            .sources = &source,
            .n_sources = 1};
    check(och_seal_rows(&seal, NULL) == OCHRE_OK);
    check(seal.n_rows == 0);
    och_seal_clear(&seal);
    och_head_release(head);
    rows_end(&rows);
}

/* --- pages ------------------------------------------------------------------------ */

/* Rows whose documents fill many pages. */
static void
begin_large(struct rows *rows, uint32_t n)
{
    rows_begin(rows, n, 8, 4);
    for (uint32_t i = 0; i < n; i++) {
        char *document = och_arena_take(&rows->arena, 3000);
        check(document != NULL);
        memset(document, 'a' + (int) (i % 26), 3000);
        rows->rows[i].insert.texts.document = (struct ochre_bytes){document, 3000};
    }
}

static void
a_page_is_read_once_and_only_when_needed(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    begin_large(&rows, 400);
    struct och_segment *segment = rows_segment(&rows, 1);
    check(segment->n_pages > 16);
    uint64_t before = sim_disk_n_calls(rows.disk);
    check_ok(och_segment_load_rows(segment, 3, 1, OCH_COLUMN_DOCUMENTS, &err), &err);
    uint64_t few = sim_disk_n_calls(rows.disk) - before;
    check(few >= 1 && few <= 3); /* an offset and a text, each on one page or two */
    check(same_text(och_segment_document(segment, 3), rows.rows[3].insert.texts.document));

    before = sim_disk_n_calls(rows.disk);
    check_ok(och_segment_load(segment, ALL_COLUMNS, &err), &err);
    check(sim_disk_n_calls(rows.disk) - before <= segment->n_pages);
    before = sim_disk_n_calls(rows.disk);
    check_ok(och_segment_load(segment, ALL_COLUMNS, &err), &err);
    check(sim_disk_n_calls(rows.disk) == before);
    och_segment_release(segment);
    rows_end(&rows);
}

/* --- damage ------------------------------------------------------------------------ */

/* Load each column; those that load are as they were made.  Returns how many
 * were refused. */
static unsigned
read_columns(struct rows *rows, struct och_segment *segment)
{
    unsigned n_refused = 0;
    for (unsigned column = 1; column <= OCH_COLUMN_ORDINALS; column <<= 1) {
        ochre_status status = och_segment_load(segment, column, NULL);
        check(status == OCHRE_OK || status == OCHRE_CORRUPT);
        n_refused += status != OCHRE_OK;
        for (uint32_t row = 0; status == OCHRE_OK && row < rows->n; row++) {
            const struct och_head_insert *wanted = &rows->rows[row].insert;
            if (column == OCH_COLUMN_IDS)
                check(same_or_absent(och_segment_id(segment, row), wanted->texts.id));
            if (column == OCH_COLUMN_DOCUMENTS)
                check(same_or_absent(och_segment_document(segment, row), wanted->texts.document));
            if (column == OCH_COLUMN_URIS)
                check(same_or_absent(och_segment_uri(segment, row), wanted->texts.uri));
            if (column == OCH_COLUMN_FIELDS)
                check(same_or_absent(och_segment_fields(segment, row), wanted->texts.fields));
            if (column == OCH_COLUMN_ORDINALS)
                check(och_segment_ordinals(segment)[row] == wanted->ordinal);
        }
    }
    for (uint32_t row = 0; row < rows->n; row++) {
        uint32_t found;
        ochre_status status =
                och_segment_find(segment, rows->rows[row].insert.texts.id, &found, NULL);
        check((status == OCHRE_OK && found == row) || status == OCHRE_CORRUPT);
    }
    return n_refused;
}

/* Flip one bit: verifying says so, and what can be read is what was written. */
static void
try_flip(struct rows *rows, uint64_t offset, unsigned bit)
{
    char path[OCH_PATH_SIZE_MAX];
    struct ochre_error err = {.status = OCHRE_OK};
    path_of(rows, 1, path);
    check(sim_disk_flip(rows->disk, path, offset, bit));
    struct och_segment *segment;
    ochre_status status =
            och_segment_open(&rows->mem, rows->vfs, rows->collection, 1, &segment, &err);
    if (status == OCHRE_OK) {
        (void) read_columns(rows, segment);
        status = och_segment_verify(segment, &err);
        och_segment_release(segment);
    }
    check_status(status, OCHRE_CORRUPT, &err, __FILE__, __LINE__);
    check(strstr(err.message, path) != NULL);
    check(sim_disk_flip(rows->disk, path, offset, bit));
}

static void
every_flip_is_noticed_before_it_is_believed(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    uint64_t seed = 17;
    rows_begin(&rows, 40, 3, 5);
    struct och_segment *segment = rows_segment(&rows, 1);
    uint64_t root = segment->root_offset;
    uint64_t size = segment->file_size;
    struct och_section sections[OCH_SECTION_KINDS];
    memcpy(sections, segment->sections, sizeof(sections));
    och_segment_release(segment);
    for (uint64_t offset = root; offset < size; offset++)
        try_flip(&rows, offset, (unsigned) och_random_below(&seed, 8));
    for (unsigned kind = 1; kind < OCH_SECTION_KINDS; kind++)
        for (int i = 0; i < 40 && sections[kind].size > 0; i++)
            try_flip(&rows, sections[kind].offset + och_random_below(&seed, sections[kind].size),
                    (unsigned) och_random_below(&seed, 8));
    for (int i = 0; i < 300; i++) /* the header and the padding too */
        try_flip(&rows, och_random_below(&seed, root), (unsigned) och_random_below(&seed, 8));
    check_ok(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err), &err);
    check_ok(och_segment_verify(segment, &err), &err);
    och_segment_release(segment);
    rows_end(&rows);
}

static void
a_bad_page_spoils_only_what_lies_on_it(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    char path[OCH_PATH_SIZE_MAX];
    begin_large(&rows, 400);
    path_of(&rows, 1, path);
    struct och_segment *segment = rows_segment(&rows, 1);
    uint32_t n_pages = segment->n_pages;
    uint64_t root = segment->root_offset;
    och_segment_release(segment);
    for (uint32_t page = 0; page < n_pages; page++) {
        uint64_t offset = (uint64_t) page * OCH_PAGE_SIZE + 77;
        check(offset < root && sim_disk_flip(rows.disk, path, offset, page % 8));
        check_ok(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err), &err);
        unsigned n_refused = read_columns(&rows, segment);
        check(n_refused < 6);
        check(och_segment_verify(segment, &err) == OCHRE_CORRUPT);
        /* Single rows: those on other pages are there. */
        uint32_t n_read = 0;
        for (uint32_t row = 0; row < rows.n; row++) {
            if (och_segment_load_rows(segment, row, 1, OCH_COLUMN_DOCUMENTS, &err) != OCHRE_OK)
                continue;
            check(same_text(
                    och_segment_document(segment, row), rows.rows[row].insert.texts.document));
            n_read++;
        }
        check(n_read > 300 || page == 1); /* the page of the offsets is needed by all */
        och_segment_release(segment);
        check(sim_disk_flip(rows.disk, path, offset, page % 8));
    }
    rows_end(&rows);
}

static void
a_file_of_any_other_length_is_refused(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    char path[OCH_PATH_SIZE_MAX];
    rows_begin(&rows, 9, 3, 5);
    path_of(&rows, 1, path);
    struct och_segment *segment = rows_segment(&rows, 1);
    uint64_t size = segment->file_size;
    och_segment_release(segment);
    struct sim_disk *whole = sim_disk_clone(rows.disk);
    for (uint64_t cut = 0; cut < size; cut += cut < size - 1200 ? 4095 : 1) {
        struct sim_disk *disk = sim_disk_clone(whole);
        struct och_file *file;
        check_ok(och_vfs_open(sim_disk_vfs(disk), path, OCH_OPEN_WRITE, &file, &err), &err);
        check_ok(och_file_truncate(file, cut, &err), &err);
        och_file_close(file);
        check(och_segment_open(&rows.mem, sim_disk_vfs(disk), rows.collection, 1, &segment, &err) ==
                OCHRE_CORRUPT);
        check(segment == NULL && strstr(err.message, path) != NULL);
        sim_disk_close(disk);
    }
    struct och_file *file;
    check_ok(och_vfs_open(rows.vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_write(file, size, "x", 1, &err), &err);
    och_file_close(file);
    check(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err) ==
            OCHRE_CORRUPT);
    sim_disk_close(whole);
    rows_end(&rows);
}

static void
a_missing_or_exchanged_file_is_damage(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    char from[OCH_PATH_SIZE_MAX];
    char to[OCH_PATH_SIZE_MAX];
    rows_begin(&rows, 9, 3, 5);
    och_segment_release(rows_segment(&rows, 1));
    struct och_segment *segment;
    check(och_segment_open(&rows.mem, rows.vfs, rows.collection, 2, &segment, &err) ==
            OCHRE_CORRUPT);
    check(strstr(err.message, "missing") != NULL);
    path_of(&rows, 1, from);
    path_of(&rows, 2, to);
    check_ok(och_vfs_rename(rows.vfs, from, to, &err), &err);
    check(och_segment_open(&rows.mem, rows.vfs, rows.collection, 2, &segment, &err) ==
            OCHRE_CORRUPT);
    check(strstr(err.message, "another") != NULL);
    rows_end(&rows);
}

/* --- what a checksum does not tell --------------------------------------------------- */

/* The file in memory, to be changed and written back with its checksums right. */
struct forgery {
    struct rows rows;
    char path[OCH_PATH_SIZE_MAX];
    char *file;
    size_t size;
    struct och_section sections[OCH_SECTION_KINDS];
};

static void
forgery_begin(struct forgery *f)
{
    rows_begin(&f->rows, 9, 3, 5);
    path_of(&f->rows, 1, f->path);
    struct och_segment *segment = rows_segment(&f->rows, 1);
    f->size = (size_t) segment->file_size;
    memcpy(f->sections, segment->sections, sizeof(f->sections));
    f->file = och_arena_take(&f->rows.arena, f->size);
    check(f->file != NULL);
    memcpy(f->file, segment->map, f->size);
    och_segment_release(segment);
}

/* Write the file with right checksums and say what opening and loading answer. */
static ochre_status
forgery_try(struct forgery *f)
{
    char *footer = f->file + f->size - OCH_SEGMENT_FOOTER_SIZE;
    uint64_t root = och_load_u64(footer);
    uint64_t root_size = och_load_u64(footer + 8);
    if (root <= f->size && root_size <= f->size - root) {
        uint64_t n_pages = (root + OCH_PAGE_SIZE - 1) / OCH_PAGE_SIZE;
        char *hashes = f->file + root + root_size - n_pages * 8;
        for (uint64_t page = 0; n_pages * 8 <= root_size && page < n_pages; page++) {
            uint64_t begin = page * OCH_PAGE_SIZE;
            uint64_t end = begin + OCH_PAGE_SIZE < root ? begin + OCH_PAGE_SIZE : root;
            och_store_u64(hashes + page * 8, och_hash64(f->file + begin, end - begin));
        }
        och_store_u64(footer + 32, och_hash64(f->file + root, root_size));
    }
    och_store_u64(footer + 48, och_hash64(footer, 48));
    struct och_file *file;
    struct ochre_error err = {.status = OCHRE_OK};
    check_ok(och_vfs_open(f->rows.vfs, f->path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_write(file, 0, f->file, f->size, &err), &err);
    och_file_close(file);
    struct och_segment *segment;
    ochre_status status =
            och_segment_open(&f->rows.mem, f->rows.vfs, f->rows.collection, 1, &segment, &err);
    if (status == OCHRE_OK)
        status = och_segment_load(segment, ALL_COLUMNS, &err);
    uint32_t row;
    if (status == OCHRE_OK)
        status = och_segment_find(segment, text("0"), &row, &err);
    if (status == OCHRE_OK)
        status = och_segment_find(segment, text("nowhere"), &row, &err);
    och_segment_release(segment);
    return status;
}

/* Store a number, try, and put the old one back. */
static ochre_status
forge(struct forgery *f, size_t at, uint64_t value, size_t size)
{
    char before[8];
    memcpy(before, f->file + at, size);
    memcpy(f->file + at, &value, size);
    ochre_status status = forgery_try(f);
    memcpy(f->file + at, before, size);
    return status;
}

static void
a_writers_mistakes_are_refused_under_right_checksums(void **state)
{
    (void) state;
    static struct forgery f;
    forgery_begin(&f);
    check(forgery_try(&f) == OCHRE_OK);
    size_t footer = f.size - OCH_SEGMENT_FOOTER_SIZE;
    size_t root = och_load_u64(f.file + footer);
    check(forge(&f, footer, f.size, 8) == OCHRE_CORRUPT); /* where the root is */
    check(forge(&f, footer + 8, 5, 8) == OCHRE_CORRUPT);  /* its size */
    check(forge(&f, footer + 8, UINT64_MAX, 8) == OCHRE_CORRUPT);
    check(forge(&f, footer + 16, 10, 4) == OCHRE_CORRUPT); /* rows */
    check(forge(&f, footer + 16, UINT32_MAX, 4) == OCHRE_CORRUPT);
    check(forge(&f, footer + 20, 4, 4) == OCHRE_CORRUPT); /* dimension */
    check(forge(&f, footer + 20, OCH_DIM_MAX + 1, 4) == OCHRE_CORRUPT);
    check(forge(&f, footer + 24, 3, 1) == OCHRE_CORRUPT);          /* space */
    check(forge(&f, footer + 40, f.size + 1, 8) == OCHRE_CORRUPT); /* size of the file */
    check(forge(&f, footer + 56, 0, 8) == OCHRE_CORRUPT);          /* magic */
    check(forge(&f, root, UINT32_MAX, 4) == OCHRE_CORRUPT);        /* sections */
    check(forge(&f, root, 0, 4) == OCHRE_CORRUPT);
    for (unsigned i = 0; i < OCH_SECTION_DERIVED - 1; i++) {
        size_t entry = root + 4 + i * OCH_SEGMENT_ENTRY_SIZE;
        check(forge(&f, entry + 8, 4095, 8) == OCHRE_CORRUPT); /* not aligned */
        check(forge(&f, entry + 8, root + 4096 - root % 4096, 8) == OCHRE_CORRUPT);
        check(forge(&f, entry + 16, UINT64_MAX, 8) == OCHRE_CORRUPT);
    }
    /* A table of sections without the vectors; a table of ids that is no power of two. */
    check(forge(&f, root + 4, 99, 2) == OCHRE_CORRUPT);
    check(forge(&f, root + 4 + 5 * OCH_SEGMENT_ENTRY_SIZE + 16, 24 * 8, 8) == OCHRE_CORRUPT);
    /* Texts that overlap or end behind their section. */
    size_t offsets = f.sections[OCH_SECTION_DOCUMENT_OFFSETS].offset;
    check(forge(&f, offsets + 16, UINT64_MAX >> 1, 8) == OCHRE_CORRUPT);
    check(forge(&f, offsets + 72, UINT32_MAX, 8) == OCHRE_CORRUPT);
    check(forge(&f, offsets + 72, 0, 8) == OCHRE_CORRUPT);
    /* An entry of the id table that names a row that is not there: it is done without. */
    size_t table = f.sections[OCH_SECTION_ID_TABLE].offset;
    size_t slots = f.sections[OCH_SECTION_ID_TABLE].size / 8;
    bool found = false;
    for (size_t i = 0; i < slots; i++) {
        uint64_t entry = och_load_u64(f.file + table + i * 8);
        if (entry != 0 && (uint32_t) entry == 1) {
            check(forge(&f, table + i * 8, (entry >> 32 << 32) | 100, 8) == OCHRE_OK);
            found = true;
        }
    }
    check(found);
    rows_end(&f.rows);
}

/* A table without an empty slot, all of one hash, must not be searched forever. */
static void
a_full_id_table_ends_the_search(void **state)
{
    (void) state;
    static struct forgery f;
    forgery_begin(&f);
    size_t table = f.sections[OCH_SECTION_ID_TABLE].offset;
    uint64_t hash = och_hash64("nowhere", 7) >> 32;
    for (size_t i = 0; i < f.sections[OCH_SECTION_ID_TABLE].size / 8; i++)
        och_store_u64(f.file + table + i * 8, hash << 32 | 2);
    check(forgery_try(&f) == OCHRE_OK);
    rows_end(&f.rows);
}

/* --- deaths -------------------------------------------------------------------------- */

static void
marks_are_kept_by_row_and_position(void **state)
{
    (void) state;
    enum { N = 4096 * 2 + 100, STEPS = 4000 };
    static uint64_t dead[N];
    struct rows rows;
    uint64_t seed = 12;
    rows_begin(&rows, N, 1, 5);
    struct och_segment *segment = rows_segment(&rows, 1);
    check(!och_segment_has_dead(segment));
    for (uint32_t row = 0; row < N; row++)
        dead[row] = OCH_ALIVE;
    unsigned n_dead = 0;
    for (int step = 0; step < STEPS; step++) {
        uint32_t row = (uint32_t) och_random_below(&seed, N);
        if (step % 3 == 0)
            row = step % 2 == 0 ? 4095 : 4096;
        if (dead[row] == OCH_ALIVE) {
            dead[row] = och_random_below(&seed, 50);
            check(och_segment_reserve_mark(segment, row) == OCHRE_OK);
            och_segment_kill(segment, row, dead[row]);
            n_dead++;
        } else {
            dead[row] = OCH_ALIVE;
            och_segment_undo_kill(segment, row);
            n_dead--;
        }
    }
    check(atomic_load(&segment->n_dead) == n_dead && och_segment_has_dead(segment));
    for (uint64_t position = 0; position < 60; position += 7) {
        struct och_bitset set;
        och_bitset_init(&set, &rows.mem);
        check(och_segment_dead_rows(segment, position, &set) == OCHRE_OK);
        for (uint32_t row = 0; row < N; row++) {
            check(och_bitset_has(&set, row) == (dead[row] <= position));
            check(och_segment_dead(segment, row) == dead[row]);
        }
        check(och_segment_count_dead(segment, position) == och_bitset_count(&set));
        check(och_bitset_next(&set, N) == OCH_ROW_NONE);
        och_bitset_clear(&set);
    }
    och_segment_release(och_segment_retain(segment));
    och_segment_release(segment);
    och_segment_release(NULL);
    rows_end(&rows);
}

/* Ids whose places lie on several pages, each read when it is needed and no other. */
static void
ids_are_found_in_a_table_of_several_pages(void **state)
{
    (void) state;
    enum { N = 5000 };
    struct rows rows;
    struct ochre_error err;
    rows_begin(&rows, N, 1, 21);
    struct och_segment *segment = rows_segment(&rows, 1);
    check(segment->sections[OCH_SECTION_ID_TABLE].size > OCH_PAGE_SIZE);
    for (uint32_t row = 0; row < N; row++) {
        uint32_t found;
        check_ok(och_segment_find(segment, rows.rows[row].insert.texts.id, &found, &err), &err);
        check(found == row);
    }
    for (uint32_t i = 0; i < N; i++) {
        char id[16];
        int size = snprintf(id, sizeof(id), "x%u", (unsigned) i);
        uint32_t found;
        struct ochre_bytes bytes = {id, (size_t) size};
        check_ok(och_segment_find(segment, bytes, &found, &err), &err);
        check(found == OCH_ROW_NONE);
    }
    och_segment_release(segment);
    rows_end(&rows);
}

/* A page of the section that no other shares. */
static uint64_t
own_page(const struct och_segment *segment, enum och_section_kind kind)
{
    const struct och_section *section = &segment->sections[kind];
    uint64_t page = (section->offset + OCH_PAGE_SIZE - 1) / OCH_PAGE_SIZE * OCH_PAGE_SIZE;
    check(page + OCH_PAGE_SIZE <= section->offset + section->size);
    return page;
}

static void
check_every_id(const struct rows *rows, struct och_segment *segment)
{
    struct ochre_error err;
    uint32_t found;
    for (uint32_t row = 0; row < rows->n; row++) {
        check_ok(och_segment_find(segment, rows->rows[row].insert.texts.id, &found, &err), &err);
        check(found == row);
    }
    check_ok(och_segment_find(segment, text("nobody"), &found, &err), &err);
    check(found == OCH_ROW_NONE);
}

/* The table of ids follows from the ids. */
static void
a_damaged_id_table_is_made_anew(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    char path[OCH_PATH_SIZE_MAX];
    rows_begin(&rows, 5000, 1, 21);
    path_of(&rows, 1, path);
    struct och_segment *segment = rows_segment(&rows, 1);
    uint64_t at = own_page(segment, OCH_SECTION_ID_TABLE) + 123;
    check_every_id(&rows, segment);
    check(!och_segment_is_worn(segment));
    och_segment_release(segment);
    check(sim_disk_flip(rows.disk, path, at, 3));
    check_ok(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err), &err);
    check_every_id(&rows, segment);
    check(och_segment_is_worn(segment));
    check(och_segment_verify(segment, &err) == OCHRE_CORRUPT);
    och_segment_release(segment);
    /* Without memory for it, that is what is said; later it goes on. */
    check_ok(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err), &err);
    check_ok(och_segment_load(segment, OCH_COLUMN_IDS, &err), &err);
    rows.mem.limit = och_mem_used(&rows.mem) + OCH_PAGE_SIZE;
    uint32_t found;
    ochre_status status = OCHRE_OK;
    for (uint32_t row = 0; row < rows.n && status == OCHRE_OK; row++)
        status = och_segment_find(segment, rows.rows[row].insert.texts.id, &found, &err);
    check(status == OCHRE_NO_MEMORY);
    rows.mem.limit = SIZE_MAX;
    check_every_id(&rows, segment);
    och_segment_release(segment);
    rows_end(&rows);
}

/* Write the header's page with another version, its checksum and those above it. */
static void
forge_version(struct rows *rows, uint32_t version)
{
    static char bytes[1 << 20];
    char path[OCH_PATH_SIZE_MAX];
    struct ochre_error err;
    struct och_file *file;
    uint64_t size;
    path_of(rows, 1, path);
    check_ok(och_vfs_open(rows->vfs, path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_size(file, &size, &err), &err);
    check(size <= sizeof(bytes));
    check_ok(och_file_read_all(file, 0, bytes, (size_t) size, &err), &err);
    char *footer = bytes + size - OCH_SEGMENT_FOOTER_SIZE;
    char *root = bytes + och_load_u64(footer);
    size_t root_size = (size_t) och_load_u64(footer + 8);
    char *hashes = root + 4 + och_load_u32(root) * OCH_SEGMENT_ENTRY_SIZE + 16 + 8 + 8 + 4;
    check(och_load_u64(hashes) == och_hash64(bytes, OCH_PAGE_SIZE));
    och_store_u32(bytes + OCH_SEGMENT_VERSION_AT, version);
    och_store_u64(hashes, och_hash64(bytes, OCH_PAGE_SIZE));
    och_store_u64(footer + 32, och_hash64(root, root_size));
    och_store_u64(footer + 48, och_hash64(footer, 48));
    check_ok(och_file_write(file, 0, bytes, (size_t) size, &err), &err);
    och_file_close(file);
}

static void
another_version_is_refused_by_its_number(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    char path[OCH_PATH_SIZE_MAX];
    rows_begin(&rows, 40, 3, 5);
    path_of(&rows, 1, path);
    struct och_segment *segment = rows_segment(&rows, 1);
    och_segment_release(segment);
    forge_version(&rows, 2);
    check(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err) ==
            OCHRE_UNSUPPORTED);
    check(strstr(err.message, path) != NULL && strstr(err.message, "format 2") != NULL);
    /* Whatever fails on the way, what is damaged is not taken for a version. */
    ochre_status status = OCHRE_NO_MEMORY;
    unsigned n_points = 0;
    while (status == OCHRE_NO_MEMORY) {
        rows.mem.fail_at = atomic_load(&rows.mem.n_grants) + ++n_points;
        status = och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err);
        rows.mem.fail_at = 0;
    }
    check(status == OCHRE_UNSUPPORTED && n_points > 5);
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        sim_disk_fail(rows.disk, n, SIM_IO_ONCE);
        status = och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err);
        failed = sim_disk_has_failed(rows.disk);
        check(status == (failed ? OCHRE_IO : OCHRE_UNSUPPORTED));
    }
    sim_disk_fail(rows.disk, 0, SIM_IO_ONCE);
    check(sim_disk_flip(rows.disk, path, OCH_SEGMENT_VERSION_AT, 3));
    check_ok(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err), &err);
    check(och_segment_verify(segment, &err) == OCHRE_CORRUPT);
    och_segment_release(segment);
    rows_end(&rows);
}

/* --- failing -------------------------------------------------------------------------- */

/* With a fresh descriptor: a disk that failed for a moment is no answer. */
static void
a_page_that_cannot_be_read_is_read_once_more(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    char path[OCH_PATH_SIZE_MAX];
    begin_large(&rows, 40);
    path_of(&rows, 1, path);
    struct och_segment *segment = rows_segment(&rows, 1);
    sim_disk_fail(rows.disk, 1, SIM_IO_FROM);
    check(och_segment_load_rows(segment, 3, 1, OCH_COLUMN_DOCUMENTS, &err) == OCHRE_IO);
    sim_disk_fail(rows.disk, 1, SIM_IO_ONCE);
    check_ok(och_segment_load_rows(segment, 3, 1, OCH_COLUMN_DOCUMENTS, &err), &err);
    check(sim_disk_has_failed(rows.disk));
    check(same_text(och_segment_document(segment, 3), rows.rows[3].insert.texts.document));
    och_segment_release(segment);
    rows_end(&rows);
}

static ochre_status
use_all(struct rows *rows, struct och_head *head, struct ochre_error *err)
{
    struct och_segment *segment;
    struct och_bitset set;
    och_bitset_init(&set, &rows->mem);
    ochre_status status = rows_seal(rows, head, 1, &segment, err);
    if (status == OCHRE_OK)
        status = och_segment_load(segment, ALL_COLUMNS, err);
    if (status == OCHRE_OK)
        status = och_segment_verify(segment, err);
    if (status == OCHRE_OK)
        status = och_segment_reserve_mark(segment, 2);
    if (status == OCHRE_OK) {
        och_segment_kill(segment, 2, 1);
        status = och_segment_dead_rows(segment, 1, &set);
    }
    och_bitset_clear(&set);
    och_segment_release(segment);
    return status;
}

static void
any_call_of_the_disk_may_fail_and_be_tried_again(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    struct och_head *head;
    rows_begin(&rows, 50, 3, 6);
    check(rows_head(&rows, &head));
    static const enum sim_fault faults[] = {SIM_IO_ONCE, SIM_FULL_ONCE, SIM_IO_FROM};
    unsigned n_points = 0;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            sim_disk_fail(rows.disk, n, faults[i]);
            ochre_status status = use_all(&rows, head, &err);
            failed = sim_disk_has_failed(rows.disk);
            sim_disk_fail(rows.disk, 0, SIM_IO_ONCE);
            bool told = status == OCHRE_IO || status == OCHRE_FULL;
            bool goes_on = status == OCHRE_OK && (!failed || faults[i] == SIM_IO_ONCE);
            check(failed ? told || goes_on : goes_on);
            check_ok(use_all(&rows, head, &err), &err);
            n_points += failed;
        }
    }
    check(n_points > 15);
    och_head_release(head);
    rows_end(&rows);
}

/* Refuse each allocation in turn. */
static void
any_allocation_may_fail_and_be_tried_again(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    struct och_head *head;
    rows_begin(&rows, 50, 3, 6);
    /* Out of order, so that sealing sorts. */
    rows.rows[0].insert.ordinal = 1000;
    check(rows_head(&rows, &head));
    size_t used = och_mem_used(&rows.mem);
    ochre_status status = OCHRE_NO_MEMORY;
    unsigned n_points = 0;
    while (status != OCHRE_OK) {
        rows.mem.fail_at = atomic_load(&rows.mem.n_grants) + ++n_points;
        status = use_all(&rows, head, &err);
        rows.mem.fail_at = 0;
        check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        check(och_mem_used(&rows.mem) == used);
        check(n_points < 1000);
    }
    check(n_points > 10);
    och_head_release(head);
    rows_end(&rows);
}

static void
a_sealed_file_survives_a_power_cut(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    rows_begin(&rows, 50, 3, 6);
    check_ok(och_vfs_sync_dir(rows.vfs, "", &err), &err);
    och_segment_release(rows_segment(&rows, 1));
    sim_disk_recover(rows.disk, SIM_NONE_KEPT, 1);
    struct och_segment *segment;
    check_ok(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err), &err);
    check_ok(och_segment_verify(segment, &err), &err);
    och_segment_release(segment);
    rows_end(&rows);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(sealed_rows_come_back_whole),
            cmocka_unit_test(every_id_leads_to_its_row_and_no_other_to_any),
            cmocka_unit_test(only_visible_rows_are_sealed_in_insertion_order),
            cmocka_unit_test(a_head_of_nothing_has_no_rows_to_seal),
            cmocka_unit_test(a_page_is_read_once_and_only_when_needed),
            cmocka_unit_test(every_flip_is_noticed_before_it_is_believed),
            cmocka_unit_test(a_bad_page_spoils_only_what_lies_on_it),
            cmocka_unit_test(a_file_of_any_other_length_is_refused),
            cmocka_unit_test(ids_are_found_in_a_table_of_several_pages),
            cmocka_unit_test(a_missing_or_exchanged_file_is_damage),
            cmocka_unit_test(a_writers_mistakes_are_refused_under_right_checksums),
            cmocka_unit_test(a_full_id_table_ends_the_search),
            cmocka_unit_test(a_damaged_id_table_is_made_anew),
            cmocka_unit_test(another_version_is_refused_by_its_number),
            cmocka_unit_test(a_page_that_cannot_be_read_is_read_once_more),
            cmocka_unit_test(marks_are_kept_by_row_and_position),
            cmocka_unit_test(any_call_of_the_disk_may_fail_and_be_tried_again),
            cmocka_unit_test(any_allocation_may_fail_and_be_tried_again),
            cmocka_unit_test(a_sealed_file_survives_a_power_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
