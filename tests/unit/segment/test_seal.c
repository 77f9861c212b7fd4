#include <string.h>

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
            OCH_COLUMN_FIELDS | OCH_COLUMN_ORDINALS,
    N_SOURCES_MAX = 9,
    MERGED = 100, /* the id of what is made of segments 1, 2, ... */
};

static ochre_status
count_one(void *context, const char *name, bool is_dir)
{
    (void) name;
    (void) is_dir;
    ++*(size_t *) context;
    return OCHRE_OK;
}

static size_t
count_tmp(struct rows *rows)
{
    size_t n = 0;
    check(och_vfs_list(rows->vfs, OCH_DIR_TMP, count_one, &n, NULL) == OCHRE_OK);
    return n;
}

/* --- several sources ------------------------------------------------------------ */

/* Rows dealt out to sources, and those of them that die. */
struct deal {
    struct rows rows;
    uint32_t n_sources;
    bool is_head[N_SOURCES_MAX];
    struct och_head *heads[N_SOURCES_MAX];
    struct och_segment *segments[N_SOURCES_MAX];
    struct och_source sources[N_SOURCES_MAX];
    uint8_t *source_of; /* [rows.n] */
    bool *lives;        /* [rows.n]: at position 1 */
};

static void
kill(struct deal *deal, uint32_t source, uint32_t row, uint64_t position)
{
    if (deal->is_head[source]) {
        och_head_kill(deal->heads[source], row, position);
    } else {
        check(och_segment_reserve_mark(deal->segments[source], row) == OCHRE_OK);
        och_segment_kill(deal->segments[source], row, position);
    }
}

/* A head of the rows dealt to it; half of the heads get theirs backwards. */
static void
fill_head(struct deal *deal, uint32_t source)
{
    struct rows *rows = &deal->rows;
    bool backwards = deal->is_head[source] && source % 2 == 0;
    check(och_head_make(&rows->mem, rows->dim, &deal->heads[source]) == OCHRE_OK);
    for (uint32_t k = 0; k < rows->n; k++) {
        uint32_t i = backwards ? rows->n - 1 - k : k;
        if (deal->source_of[i] == source)
            check(och_head_append(deal->heads[source], &rows->rows[i].insert) == OCHRE_OK);
    }
}

static void
kill_some(struct deal *deal, uint64_t *seed)
{
    struct rows *rows = &deal->rows;
    for (uint32_t i = 0; i < rows->n; i++) {
        uint32_t source = deal->source_of[i];
        uint32_t row = OCH_ROW_NONE;
        struct ochre_error err;
        uint64_t chance = och_random_below(seed, 8);
        deal->lives[i] = chance != 0;
        if (chance > 1)
            continue;
        struct och_source all = deal->sources[source];
        check_ok(och_source_find(&all, rows->rows[i].insert.texts.id, &row, &err), &err);
        check(row != OCH_ROW_NONE);
        kill(deal, source, row, chance == 0 ? och_random_below(seed, 2) : 2);
    }
}

static void
deal_begin(struct deal *deal, uint32_t n, uint32_t n_sources, uint64_t seed)
{
    memset(deal, 0, sizeof(*deal));
    struct rows *rows = &deal->rows;
    rows_begin(rows, n, 3, seed);
    deal->n_sources = n_sources;
    deal->source_of = och_arena_take(&rows->arena, n + 1);
    deal->lives = och_arena_take(&rows->arena, n + 1);
    check(deal->source_of != NULL && deal->lives != NULL);
    for (uint32_t i = 0; i < n; i++)
        deal->source_of[i] = (uint8_t) och_random_below(&seed, n_sources);
    for (uint32_t s = 0; s < n_sources; s++) {
        struct ochre_error err;
        deal->is_head[s] = och_random_below(&seed, 3) == 0;
        fill_head(deal, s);
        deal->sources[s] = (struct och_source){
                .head = deal->heads[s], .n_rows = deal->heads[s]->n_rows, .position = 1};
        if (deal->is_head[s])
            continue;
        check_ok(rows_seal(rows, deal->heads[s], s + 1, &deal->segments[s], &err), &err);
        deal->sources[s] = (struct och_source){
                .segment = deal->segments[s], .n_rows = deal->segments[s]->n_rows, .position = 1};
    }
    kill_some(deal, &seed);
}

static void
deal_end(struct deal *deal)
{
    for (uint32_t s = 0; s < deal->n_sources; s++) {
        och_head_release(deal->heads[s]);
        och_segment_release(deal->segments[s]);
    }
    rows_end(&deal->rows);
}

/* The file holds what lives, in insertion order, and nothing else. */
static void
check_merged(struct deal *deal, struct och_segment *segment)
{
    struct ochre_error err;
    uint32_t row = 0;
    check_ok(och_segment_load(segment, ALL_COLUMNS, &err), &err);
    check_ok(och_segment_verify(segment, &err), &err);
    for (uint32_t i = 0; i < deal->rows.n; i++) {
        uint32_t found;
        const struct och_head_insert *wanted = &deal->rows.rows[i].insert;
        check_ok(och_segment_find(segment, wanted->texts.id, &found, &err), &err);
        check(found == (deal->lives[i] ? row : OCH_ROW_NONE));
        if (!deal->lives[i])
            continue;
        check(row < segment->n_rows);
        check_segment_row(segment, row++, wanted);
    }
    check(segment->n_rows == row && !och_segment_has_dead(segment));
}

static void
what_lives_in_several_sources_becomes_one_file_in_insertion_order(void **state)
{
    (void) state;
    static const uint32_t sizes[] = {0, 1, 2, 3, 40, 300, 1000};
    for (uint64_t seed = 1; seed < 60; seed++) {
        static struct deal deal;
        struct ochre_error err;
        uint32_t n = sizes[seed % (sizeof(sizes) / sizeof(sizes[0]))];
        deal_begin(&deal, n, 1 + (uint32_t) (seed % N_SOURCES_MAX), seed);
        struct och_segment *segment;
        check_ok(
                rows_seal_sources(&deal.rows, deal.sources, deal.n_sources, MERGED, &segment, &err),
                &err);
        check_merged(&deal, segment);
        check(count_tmp(&deal.rows) == 0);
        och_segment_release(segment);
        deal_end(&deal);
    }
}

/* What a head sealed alone gives, byte for byte, whichever way it took. */
static void
merging_what_was_sealed_apart_gives_the_file_of_sealing_it_together(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    rows_begin(&rows, 500, 3, 21);
    struct och_head *head;
    check(rows_head(&rows, &head));
    struct och_segment *whole;
    check_ok(rows_seal(&rows, head, 7, &whole, &err), &err);
    struct och_segment *parts[5];
    struct och_source sources[5];
    for (uint32_t s = 0; s < 5; s++) {
        struct och_head *part;
        check(och_head_make(&rows.mem, rows.dim, &part) == OCHRE_OK);
        for (uint32_t i = s; i < rows.n; i += 5)
            check(och_head_append(part, &rows.rows[i].insert) == OCHRE_OK);
        check_ok(rows_seal(&rows, part, 20 + s, &parts[s], &err), &err);
        sources[s] =
                (struct och_source){.segment = parts[s], .n_rows = parts[s]->n_rows, .position = 1};
        och_head_release(part);
    }
    struct och_segment *merged;
    check_ok(rows_seal_sources(&rows, sources, 5, 8, &merged, &err), &err);
    check(merged->root_offset == whole->root_offset && merged->file_size == whole->file_size);
    check(memcmp(merged->map, whole->map, whole->root_offset) == 0);
    for (uint32_t s = 0; s < 5; s++)
        och_segment_release(parts[s]);
    och_segment_release(merged);
    och_segment_release(whole);
    och_head_release(head);
    rows_end(&rows);
}

/* A mistake of whoever wrote a source must not become a file out of order. */
static void
equal_ordinals_in_two_sources_are_refused(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    rows_begin(&rows, 30, 3, 22);
    struct och_segment *one = rows_segment(&rows, 1);
    struct och_segment *two = rows_segment(&rows, 2);
    struct och_source sources[] = {{.segment = one, .n_rows = 30, .position = 1},
            {.segment = two, .n_rows = 30, .position = 1}};
    struct och_seal seal = {
            .mem = &rows.mem, .vfs = rows.vfs, .dim = 3, .sources = sources, .n_sources = 2};
    check(och_seal_rows(&seal, &err) == OCHRE_CORRUPT);
    check(seal.bad_source < 2 && strstr(err.message, "insertion order") != NULL);
    och_seal_clear(&seal);
    och_segment_release(one);
    och_segment_release(two);
    rows_end(&rows);
}

static void
more_rows_than_a_segment_may_have_are_refused(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    rows_begin(&rows, 5, 3, 22);
    struct och_segment *segment = rows_segment(&rows, 1);
    struct och_source sources[] = {
            {.segment = segment, .n_rows = OCH_SEGMENT_ROWS_MAX, .position = 1},
            {.segment = segment, .n_rows = 1, .position = 1}};
    struct och_seal seal = {.mem = &rows.mem, .dim = 3, .sources = sources, .n_sources = 2};
    check(och_seal_rows(&seal, &err) == OCHRE_TOO_LARGE);
    check(seal.bad_source == OCH_SEAL_NO_SOURCE);
    och_seal_clear(&seal);
    och_segment_release(segment);
    rows_end(&rows);
}

/* Two segments whose documents take megabytes, merged within far less. */
static void
merging_does_not_hold_texts_in_memory(void **state)
{
    (void) state;
    enum { N = 200, SIZE = 50000 };
    struct rows rows;
    struct ochre_error err;
    rows_begin(&rows, N, 3, 23);
    char *document = och_arena_take(&rows.arena, SIZE);
    check(document != NULL);
    memset(document, 'd', SIZE);
    for (uint32_t i = 0; i < N; i++)
        rows.rows[i].insert.texts.document = (struct ochre_bytes){document, SIZE};
    struct och_source sources[2];
    for (uint32_t s = 0; s < 2; s++) {
        struct och_head *part;
        struct och_segment *segment;
        check(och_head_make(&rows.mem, rows.dim, &part) == OCHRE_OK);
        for (uint32_t i = s; i < N; i += 2)
            check(och_head_append(part, &rows.rows[i].insert) == OCHRE_OK);
        check_ok(rows_seal(&rows, part, 1 + s, &segment, &err), &err);
        sources[s] =
                (struct och_source){.segment = segment, .n_rows = segment->n_rows, .position = 1};
        och_head_release(part);
    }
    rows.mem.limit = och_mem_used(&rows.mem) + (1u << 20);
    struct och_segment *merged;
    check_ok(rows_seal_sources(&rows, sources, 2, 3, &merged, &err), &err);
    check(merged->n_rows == N && merged->file_size > (uint64_t) N * SIZE);
    och_segment_release(merged);
    for (uint32_t s = 0; s < 2; s++)
        och_segment_release(sources[s].segment);
    rows_end(&rows);
}

/* --- parts ------------------------------------------------------------------------ */

/* A part that writes sections of these sizes, and looks at every row. */
struct example {
    struct deal *deal; /* NULL: does not look */
    size_t sizes[3];
    unsigned n_sections;
    ochre_status fails; /* unless OCHRE_OK, what `write` answers at its end */
};

enum { EXAMPLE_KIND = OCH_SECTION_VECTOR };

static unsigned char
example_byte(unsigned section, size_t at)
{
    return (unsigned char) (section * 31 + at % 251);
}

static ochre_status
look_at_rows(const struct deal *deal, struct och_seal_file *file, struct ochre_error *err)
{
    struct och_vector_rows vectors;
    const struct och_seal *seal = och_seal_of(file);
    ochre_status status = och_seal_vectors(file, &vectors, err);
    if (status != OCHRE_OK)
        return status;
    check(vectors.n_rows == seal->n_rows);
    uint32_t row = 0;
    for (uint32_t i = 0; i < deal->rows.n; i++) {
        const struct och_head_insert *wanted = &deal->rows.rows[i].insert;
        struct och_row_texts texts;
        if (!deal->lives[i])
            continue;
        status = och_seal_texts(file, row, OCH_COLUMN_IDS | OCH_COLUMN_FIELDS, &texts, err);
        if (status == OCHRE_OK)
            status = vectors.touch(vectors.context, row, 1, err);
        if (status != OCHRE_OK)
            return status;
        check(same_or_absent(texts.id, wanted->texts.id));
        check(same_or_absent(texts.fields, wanted->texts.fields));
        check(texts.document.data == NULL && texts.uri.data == NULL);
        check(memcmp(vectors.rows + (size_t) row * seal->dim, wanted->vector,
                      seal->dim * sizeof(float)) == 0);
        check(memcmp(&vectors.norms[row], &wanted->norm, sizeof(float)) == 0);
        check(vectors.ordinals[row] == wanted->ordinal);
        row++;
    }
    check(row == seal->n_rows);
    return OCHRE_OK;
}

static ochre_status
write_example(void *context, struct och_seal_file *file, const struct och_vector_sink *sink,
        struct ochre_error *err)
{
    const struct example *example = context;
    ochre_status status = OCHRE_OK;
    if (example->deal != NULL)
        status = look_at_rows(example->deal, file, err);
    for (unsigned s = 0; s < example->n_sections && status == OCHRE_OK; s++) {
        status = sink->begin(sink->context, (uint16_t) (EXAMPLE_KIND + s), err);
        for (size_t at = 0; at < example->sizes[s] && status == OCHRE_OK; at++) {
            unsigned char byte = example_byte(s, at);
            status = sink->put(sink->context, &byte, 1, err);
        }
    }
    return status != OCHRE_OK ? status : example->fails;
}

static void
check_example(struct och_segment *segment, const struct example *example)
{
    struct ochre_error err;
    for (unsigned s = 0; s < 3; s++) {
        const void *bytes;
        uint64_t size;
        check_ok(och_segment_section(segment, EXAMPLE_KIND + s, &bytes, &size, &err), &err);
        check((bytes != NULL) == (s < example->n_sections));
        check(size == (s < example->n_sections ? example->sizes[s] : 0));
        for (size_t at = 0; at < size; at++)
            check(((const unsigned char *) bytes)[at] == example_byte(s, at));
    }
}

static void
parts_see_the_rows_and_their_sections_come_back(void **state)
{
    (void) state;
    static const uint32_t sizes[] = {1, 50, 700};
    for (uint64_t seed = 1; seed < 10; seed++) {
        static struct deal deal;
        struct ochre_error err;
        deal_begin(&deal, sizes[seed % 3], 1 + (uint32_t) (seed % 5), seed);
        struct example columns = {.deal = &deal, .n_sections = 0};
        struct example example = {.deal = &deal,
                .sizes = {0, 5000 * (size_t) seed, 200000},
                .n_sections = (unsigned) (seed % 4)};
        const struct och_seal_part parts[] = {{write_example, &columns}, {write_example, &example}};
        deal.rows.parts = parts;
        deal.rows.n_parts = 2;
        struct och_segment *segment;
        check_ok(
                rows_seal_sources(&deal.rows, deal.sources, deal.n_sources, MERGED, &segment, &err),
                &err);
        check_example(segment, &example);
        const void *bytes;
        uint64_t size;
        check_ok(och_segment_section(segment, OCH_SECTION_COLUMNS, &bytes, &size, &err), &err);
        check(bytes == NULL && size == 0);
        check_merged(&deal, segment);
        och_segment_release(segment);
        deal_end(&deal);
    }
}

/* Damage of what is derived is known at its first use, and spoils nothing else. */
static void
a_damaged_derived_section_leaves_the_rows_alone(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    rows_begin(&rows, 60, 3, 24);
    struct example example = {.sizes = {70000, 70000, 70000}, .n_sections = 3};
    const struct och_seal_part part = {write_example, &example};
    rows.parts = &part;
    rows.n_parts = 1;
    struct och_segment *segment = rows_segment(&rows, 1);
    uint64_t middle = segment->sections[EXAMPLE_KIND + 1].offset + 35000;
    och_segment_release(segment);
    char path[OCH_PATH_SIZE_MAX];
    och_segment_path(path, sizeof(path), rows.collection, 1);
    check(sim_disk_flip(rows.disk, path, middle, 3));
    check_ok(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err), &err);
    check_ok(och_segment_load(segment, ALL_COLUMNS, &err), &err);
    for (uint32_t row = 0; row < rows.n; row++)
        check_segment_row(segment, row, &rows.rows[row].insert);
    const void *bytes;
    uint64_t size;
    check(och_segment_section(segment, EXAMPLE_KIND + 1, &bytes, &size, &err) == OCHRE_CORRUPT);
    check(bytes == NULL && size == 0);
    check(och_segment_verify(segment, &err) == OCHRE_CORRUPT);
    och_segment_release(segment);
    rows_end(&rows);
}

/* Parts of a section, touched where they are and read elsewhere: the same bytes, or damage
 * exactly where a page of theirs has some. */
static void
parts_of_a_section_are_verified_by_themselves(void **state)
{
    (void) state;
    enum { SIZE = 300000 };
    static unsigned char copy[SIZE];
    struct rows rows;
    struct ochre_error err;
    rows_begin(&rows, 60, 3, 24);
    struct example example = {.sizes = {70000, SIZE, 70000}, .n_sections = 3};
    const struct och_seal_part part = {write_example, &example};
    rows.parts = &part;
    rows.n_parts = 1;
    struct och_segment *segment = rows_segment(&rows, 1);
    uint64_t first = segment->sections[EXAMPLE_KIND + 1].offset;
    uint64_t bad = first + SIZE / 2;
    och_segment_release(segment);
    char path[OCH_PATH_SIZE_MAX];
    och_segment_path(path, sizeof(path), rows.collection, 1);
    check(sim_disk_flip(rows.disk, path, bad, 3));
    uint64_t seed = 61;
    unsigned n_bad = 0;
    for (int round = 0; round < 200; round++) {
        check_ok(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err), &err);
        uint64_t offset = och_random_below(&seed, SIZE);
        size_t size = (size_t) och_random_below(&seed, SIZE - offset + 1);
        bool is_bad = size > 0 && (first + offset) / OCH_PAGE_SIZE <= bad / OCH_PAGE_SIZE &&
                (first + offset + size - 1) / OCH_PAGE_SIZE >= bad / OCH_PAGE_SIZE;
        ochre_status wanted = is_bad ? OCHRE_CORRUPT : OCHRE_OK;
        n_bad += is_bad;
        check(och_segment_read_section(segment, EXAMPLE_KIND + 1, offset, copy, size, &err) ==
                wanted);
        check(och_segment_touch_section(segment, EXAMPLE_KIND + 1, offset, size, &err) == wanted);
        const void *bytes;
        uint64_t found;
        och_segment_find_section(segment, EXAMPLE_KIND + 1, &bytes, &found);
        check(found == SIZE);
        for (size_t at = 0; !is_bad && at < size; at++) {
            check(copy[at] == example_byte(1, offset + at));
            check(((const unsigned char *) bytes)[offset + at] == copy[at]);
        }
        och_segment_release(segment);
    }
    check(n_bad > 20 && n_bad < 180);
    rows_end(&rows);
}

static void
a_part_that_fails_leaves_no_file(void **state)
{
    (void) state;
    static struct deal deal;
    struct ochre_error err;
    deal_begin(&deal, 100, 4, 25);
    struct example example = {
            .deal = &deal, .sizes = {100}, .n_sections = 1, .fails = OCHRE_UNAVAILABLE};
    const struct och_seal_part part = {write_example, &example};
    deal.rows.parts = &part;
    deal.rows.n_parts = 1;
    struct och_segment *segment;
    check(rows_seal_sources(&deal.rows, deal.sources, deal.n_sources, MERGED, &segment, &err) ==
            OCHRE_UNAVAILABLE);
    check(segment == NULL && count_tmp(&deal.rows) == 0);
    deal_end(&deal);
}

/* --- failing ------------------------------------------------------------------------ */

/* Two segments and a head, opened anew, so that every page is read again. */
static ochre_status
merge_afresh(struct deal *deal, struct ochre_error *err)
{
    struct rows *rows = &deal->rows;
    struct och_source sources[N_SOURCES_MAX];
    ochre_status status = OCHRE_OK;
    memcpy(sources, deal->sources, sizeof(sources));
    for (uint32_t s = 0; s < deal->n_sources; s++) {
        if (deal->is_head[s])
            continue;
        sources[s].segment = NULL;
        if (status == OCHRE_OK)
            status = och_segment_open(
                    &rows->mem, rows->vfs, rows->collection, s + 1, &sources[s].segment, err);
    }
    struct och_segment *merged = NULL;
    if (status == OCHRE_OK)
        status = rows_seal_sources(rows, sources, deal->n_sources, MERGED, &merged, err);
    if (status == OCHRE_OK) {
        const void *bytes;
        uint64_t size;
        status = och_segment_section(merged, EXAMPLE_KIND, &bytes, &size, err);
    }
    och_segment_release(merged);
    for (uint32_t s = 0; s < deal->n_sources; s++)
        if (!deal->is_head[s])
            och_segment_release(sources[s].segment);
    return status;
}

/* Everything lives in it: marks are those of the segments that were dealt. */
static void
begin_failing(struct deal *deal, struct example *example, struct och_seal_part *part)
{
    uint64_t seed = 31;
    deal_begin(deal, 90, 6, seed);
    for (uint32_t i = 0; i < deal->rows.n; i++)
        if (!deal->is_head[deal->source_of[i]])
            deal->lives[i] = true;
    *example = (struct example){.deal = deal, .sizes = {3000}, .n_sections = 1};
    *part = (struct och_seal_part){write_example, example};
    deal->rows.parts = part;
    deal->rows.n_parts = 1;
}

static void
any_call_of_the_disk_may_fail_in_a_merge(void **state)
{
    (void) state;
    static struct deal deal;
    static struct example example;
    struct och_seal_part part;
    struct ochre_error err;
    begin_failing(&deal, &example, &part);
    static const enum sim_fault faults[] = {SIM_IO_ONCE, SIM_FULL_ONCE, SIM_IO_FROM};
    unsigned n_points = 0;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            sim_disk_fail(deal.rows.disk, n, faults[i]);
            ochre_status status = merge_afresh(&deal, &err);
            failed = sim_disk_has_failed(deal.rows.disk);
            sim_disk_fail(deal.rows.disk, 0, SIM_IO_ONCE);
            bool told = status == OCHRE_IO || status == OCHRE_FULL;
            bool goes_on = status == OCHRE_OK && (!failed || faults[i] == SIM_IO_ONCE);
            check(failed ? told || goes_on : goes_on);
            check(faults[i] == SIM_IO_FROM || count_tmp(&deal.rows) == 0);
            n_points += failed;
        }
    }
    check(n_points > 60);
    check_ok(merge_afresh(&deal, &err), &err);
    deal_end(&deal);
}

static void
any_allocation_may_fail_in_a_merge(void **state)
{
    (void) state;
    static struct deal deal;
    static struct example example;
    struct och_seal_part part;
    struct ochre_error err;
    begin_failing(&deal, &example, &part);
    size_t used = och_mem_used(&deal.rows.mem);
    ochre_status status = OCHRE_NO_MEMORY;
    unsigned n_points = 0;
    while (status != OCHRE_OK) {
        deal.rows.mem.fail_at = atomic_load(&deal.rows.mem.n_grants) + ++n_points;
        status = merge_afresh(&deal, &err);
        deal.rows.mem.fail_at = 0;
        check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        check(och_mem_used(&deal.rows.mem) == used && count_tmp(&deal.rows) == 0);
        check(n_points < 1000);
    }
    check(n_points > 30);
    deal_end(&deal);
}

/* Which source it was is known, so that a merge can do without it. */
static void
a_damaged_source_is_named(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    rows_begin(&rows, 90, 3, 26);
    struct och_segment *segments[3];
    struct och_source sources[3];
    for (uint32_t s = 0; s < 3; s++) {
        struct och_head *part;
        check(och_head_make(&rows.mem, rows.dim, &part) == OCHRE_OK);
        for (uint32_t i = s; i < rows.n; i += 3)
            check(och_head_append(part, &rows.rows[i].insert) == OCHRE_OK);
        check_ok(rows_seal(&rows, part, 1 + s, &segments[s], &err), &err);
        och_head_release(part);
    }
    static const enum och_section_kind kinds[] = {
            OCH_SECTION_ORDINALS, OCH_SECTION_ROWS, OCH_SECTION_ID_BYTES, OCH_SECTION_FIELD_BYTES};
    for (uint32_t bad = 0; bad < 12; bad++) {
        char path[OCH_PATH_SIZE_MAX];
        och_segment_path(path, sizeof(path), rows.collection, 1 + bad % 3);
        uint64_t at = segments[bad % 3]->sections[kinds[bad / 3]].offset;
        check(sim_disk_flip(rows.disk, path, at, 1));
        for (uint32_t s = 0; s < 3; s++) {
            struct och_segment *fresh;
            check_ok(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1 + s, &fresh, &err),
                    &err);
            sources[s] =
                    (struct och_source){.segment = fresh, .n_rows = fresh->n_rows, .position = 1};
        }
        struct och_seal seal = {.mem = &rows.mem,
                .vfs = rows.vfs,
                .collection = rows.collection,
                .id = MERGED,
                .dim = 3,
                .sources = sources,
                .n_sources = 3};
        uint64_t hash;
        uint64_t size;
        ochre_status status = och_seal_rows(&seal, &err);
        if (status == OCHRE_OK)
            status = och_seal_write(&seal, &hash, &size, &err);
        check_status(status, OCHRE_CORRUPT, &err, __FILE__, __LINE__);
        check(seal.bad_source == bad % 3 && strstr(err.message, path) != NULL);
        och_seal_clear(&seal);
        for (uint32_t s = 0; s < 3; s++)
            och_segment_release(sources[s].segment);
        check(sim_disk_flip(rows.disk, path, at, 1));
        check(count_tmp(&rows) == 0);
    }
    for (uint32_t s = 0; s < 3; s++)
        och_segment_release(segments[s]);
    rows_end(&rows);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_lives_in_several_sources_becomes_one_file_in_insertion_order),
            cmocka_unit_test(merging_what_was_sealed_apart_gives_the_file_of_sealing_it_together),
            cmocka_unit_test(equal_ordinals_in_two_sources_are_refused),
            cmocka_unit_test(more_rows_than_a_segment_may_have_are_refused),
            cmocka_unit_test(merging_does_not_hold_texts_in_memory),
            cmocka_unit_test(parts_see_the_rows_and_their_sections_come_back),
            cmocka_unit_test(a_damaged_derived_section_leaves_the_rows_alone),
            cmocka_unit_test(parts_of_a_section_are_verified_by_themselves),
            cmocka_unit_test(a_part_that_fails_leaves_no_file),
            cmocka_unit_test(any_call_of_the_disk_may_fail_in_a_merge),
            cmocka_unit_test(any_allocation_may_fail_in_a_merge),
            cmocka_unit_test(a_damaged_source_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
