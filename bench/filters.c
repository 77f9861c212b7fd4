/*
 * filters.c - what a filter costs: over a head, over a segment whose rows it looks
 * at, and over one with an index of metadata.
 *
 *      filters DIRECTORY [ROWS ...]      default: 8192 100000 1000000
 *
 * Rows have seven values each (a boolean, two numbers that are all different, and
 * strings and numbers of 10 to 1000 kinds).  Each leaf is evaluated 15 times over a
 * set of all rows; the median is printed, in processor time of this thread.  The
 * first evaluation, which reads and checks pages, is not counted.  What is printed
 * last is how long sealing took, with the index and without it, and the sizes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/bitset.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "index/meta/columns.h"
#include "index/meta/fields.h"
#include "os/vfs.h"
#include "os/vfs_posix.h"
#include "segment/columns_part.h"
#include "segment/filter.h"
#include "segment/head.h"
#include "segment/seal.h"
#include "segment/source.h"
#include "storage/directory.h"

enum { REPEATS = 15, N_FIELDS = 7, N_KINDS = 1000 };

static struct och_mem mem;
static char kinds[N_KINDS][24];

/* --- small things ---------------------------------------------------------------- */

static double
now_us(void)
{
    struct timespec time;
    (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double) time.tv_sec * 1e6 + (double) time.tv_nsec / 1e3;
}

static void
must(ochre_status status, const struct ochre_error *err)
{
    if (status == OCHRE_OK)
        return;
    (void) fprintf(stderr, "%s: %s\n", ochre_status_name(status), err->message);
    exit(1);
}

static int
compare_doubles(const void *left, const void *right)
{
    double a = *(const double *) left;
    double b = *(const double *) right;
    return (a > b) - (a < b);
}

static struct ochre_bytes
text(const char *string)
{
    return (struct ochre_bytes){string, strlen(string)};
}

static struct ochre_value
of_int(int64_t integer)
{
    return (struct ochre_value){.type = OCHRE_VALUE_INT, .as.integer = integer};
}

static struct ochre_value
of_number(double number)
{
    return (struct ochre_value){.type = OCHRE_VALUE_FLOAT, .as.number = number};
}

static struct ochre_value
of_text(const char *string)
{
    return (struct ochre_value){.type = OCHRE_VALUE_STRING, .as.string = text(string)};
}

static struct ochre_value
of_bool(bool boolean)
{
    return (struct ochre_value){.type = OCHRE_VALUE_BOOL, .as.boolean = boolean};
}

/* --- rows ------------------------------------------------------------------------ */

static struct och_head *
make_head(uint32_t n_rows)
{
    static const float vector[1] = {1};
    struct och_head *head;
    struct ochre_error err = {.status = OCHRE_OK};
    struct och_buf buf;
    struct och_arena arena;
    uint64_t seed = 1;
    och_buf_init(&buf, &mem, SIZE_MAX / 2);
    och_arena_init(&arena, &mem);
    must(och_head_make(&mem, 1, &head), &err);
    for (uint32_t row = 0; row < n_rows; row++) {
        uint64_t draw = och_random(&seed);
        struct ochre_field fields[N_FIELDS] = {
                {text("public"), of_bool((draw & 1) != 0)},
                {text("tenth"), of_int((int64_t) (draw >> 1) % 10)},
                {text("hundredth"), of_text(kinds[(draw >> 8) % 100])},
                {text("thousandth"), of_text(kinds[(draw >> 20) % 1000])},
                {text("time"), of_int((int64_t) (och_random(&seed) >> 1))},
                {text("score"), of_number((double) (och_random(&seed) >> 11) * 0x1p-53)},
                {text("source"), of_text(kinds[row / 20 % N_KINDS])},
        };
        och_buf_reset(&buf);
        must(och_fields_encode(&buf, &arena, &(struct ochre_metadata){fields, N_FIELDS}, false),
                &err);
        char id[16];
        int size = snprintf(id, sizeof(id), "id%u", (unsigned) row);
        struct och_head_insert insert = {.ordinal = row,
                .position = 1,
                .vector = vector,
                .texts = {.id = {id, (size_t) size}, .fields = {buf.data, buf.size}}};
        must(och_head_append(head, &insert), &err);
        och_arena_clear(&arena);
    }
    och_buf_clear(&buf);
    return head;
}

static struct och_segment *
seal(struct och_vfs *vfs, const struct och_source *head, uint64_t id, bool index, double *us_out)
{
    struct ochre_error err = {.status = OCHRE_OK};
    struct och_segment *segment;
    struct och_seal seal = {.mem = &mem,
            .vfs = vfs,
            .collection = {{1}},
            .id = id,
            .position = 1,
            .dim = 1,
            .sources = head,
            .n_sources = 1,
            .parts = &och_columns_part,
            .n_parts = index ? 1 : 0};
    uint64_t hash;
    uint64_t size;
    must(och_seal_rows(&seal, &err), &err);
    double begin = now_us();
    must(och_seal_write(&seal, &hash, &size, &err), &err);
    *us_out = now_us() - begin;
    och_seal_clear(&seal);
    must(och_segment_open(&mem, vfs, seal.collection, id, &segment, &err), &err);
    return segment;
}

/* --- filters --------------------------------------------------------------------- */

/* The median, and how many rows came out. */
static double
measure(const struct ochre_filter *plain, const struct och_source *source, size_t *n_out)
{
    struct ochre_error err = {.status = OCHRE_OK};
    struct och_filter filter;
    struct och_arena arena;
    struct och_bitset all;
    double times[REPEATS + 1];
    och_arena_init(&arena, &mem);
    och_bitset_init(&all, &mem);
    must(och_bitset_fill(&all, source->n_rows), &err);
    must(och_filter_compile(&mem, &arena, plain, &filter, &err), &err);
    for (int i = 0; i <= REPEATS; i++) {
        struct och_bitset rows;
        och_bitset_init(&rows, &mem);
        double begin = now_us();
        must(och_filter_rows(&filter, source, &all, &rows, &err), &err);
        times[i] = now_us() - begin;
        *n_out = och_bitset_count(&rows);
        och_bitset_clear(&rows);
    }
    qsort(times + 1, REPEATS, sizeof(times[0]), compare_doubles);
    och_filter_clear(&filter);
    och_bitset_clear(&all);
    och_arena_clear(&arena);
    return times[1 + REPEATS / 2];
}

static void
report(const char *name, const struct ochre_filter *plain, const struct och_source *sources)
{
    double us[3];
    size_t n[3];
    for (int i = 0; i < 3; i++)
        us[i] = measure(plain, &sources[i], &n[i]);
    if (n[0] != n[1] || n[0] != n[2])
        must(OCHRE_CORRUPT, &(struct ochre_error){.message = "sources differ"});
    double n_rows = (double) sources[0].n_rows;
    (void) printf("| %u | %s | %.2f %% | %.0f | %.0f | %.1f | %.1f | %.3f |\n",
            (unsigned) sources[0].n_rows, name, 100 * (double) n[0] / n_rows, us[0], us[1], us[2],
            us[1] * 1000 / n_rows, us[2] * 1000 / n_rows);
}

static struct ochre_filter_node
leaf(ochre_filter_op op, const char *key, struct ochre_value value)
{
    return (struct ochre_filter_node){.op = op, .size = 1, .key = text(key), .value = value};
}

static void
report_leaf(const char *name, ochre_filter_op op, const char *key, struct ochre_value value,
        const struct och_source *sources)
{
    struct ochre_filter_node node = leaf(op, key, value);
    report(name, &(struct ochre_filter){&node, 1}, sources);
}

static void
report_leaves(const struct och_source *sources)
{
    static struct ochre_bytes members[N_KINDS];
    for (size_t i = 0; i < N_KINDS; i++)
        members[i] = text(kinds[i]);
    report_leaf("boolean =", OCHRE_FILTER_EQ, "public", of_bool(true), sources);
    report_leaf("integer of ten =", OCHRE_FILTER_EQ, "tenth", of_int(3), sources);
    report_leaf("integer of ten >=", OCHRE_FILTER_GTE, "tenth", of_int(5), sources);
    report_leaf("string of 100 =", OCHRE_FILTER_EQ, "hundredth", of_text(kinds[7]), sources);
    report_leaf("string of 100 !=", OCHRE_FILTER_NE, "hundredth", of_text(kinds[7]), sources);
    report_leaf("string of 1000 =", OCHRE_FILTER_EQ, "thousandth", of_text(kinds[7]), sources);
    struct ochre_value list = {
            .type = OCHRE_VALUE_STRING_LIST, .n = N_KINDS / 2, .as.strings = members};
    report_leaf("string of 1000 in 500", OCHRE_FILTER_IN, "thousandth", list, sources);
    report_leaf("float <, half", OCHRE_FILTER_LT, "score", of_number(0.5), sources);
    report_leaf("float <, 53 %", OCHRE_FILTER_LT, "score", of_number(0.53), sources);
    report_leaf("float <, a tenth", OCHRE_FILTER_LT, "score", of_number(0.1), sources);
    report_leaf("float <, a hundredth", OCHRE_FILTER_LT, "score", of_number(0.01), sources);
    report_leaf("float <, a thousandth", OCHRE_FILTER_LT, "score", of_number(0.001), sources);
    struct ochre_filter_node nodes[3] = {{.op = OCHRE_FILTER_AND, .size = 3},
            leaf(OCHRE_FILTER_EQ, "public", of_bool(true)),
            leaf(OCHRE_FILTER_GTE, "tenth", of_int(5))};
    report("boolean = and integer >=", &(struct ochre_filter){nodes, 3}, sources);
    nodes[0].op = OCHRE_FILTER_OR;
    report("boolean = or integer >=", &(struct ochre_filter){nodes, 3}, sources);
}

static void
report_rows(struct och_vfs *vfs, uint32_t n_rows)
{
    struct och_head *head = make_head(n_rows);
    struct och_source sources[3] = {{.head = head, .n_rows = n_rows, .position = 1},
            {.n_rows = n_rows, .position = 1}, {.n_rows = n_rows, .position = 1}};
    double us[2];
    sources[1].segment = seal(vfs, &sources[0], 1, false, &us[0]);
    sources[2].segment = seal(vfs, &sources[0], 2, true, &us[1]);
    (void) printf("| rows | leaf | selects | head, us | rows, us | index, us | rows, ns/row | "
                  "index, ns/row |\n|---|---|---|---|---|---|---|---|\n");
    report_leaves(sources);
    const struct och_section *sections = sources[2].segment->sections;
    (void) printf("\n%u rows: metadata %.1f bytes a row, index %.1f; sealed in %.1f ms, without "
                  "the index in %.1f\n\n",
            (unsigned) n_rows, (double) sections[OCH_SECTION_FIELD_BYTES].size / n_rows,
            (double) sections[OCH_SECTION_COLUMNS].size / n_rows, us[1] / 1000, us[0] / 1000);
    och_segment_release(sources[1].segment);
    och_segment_release(sources[2].segment);
    och_head_release(head);
}

int
main(int argc, char **argv)
{
    static const char *const usual[] = {"8192", "100000", "1000000"};
    if (argc < 2) {
        (void) fprintf(stderr, "usage: filters DIRECTORY [ROWS ...]\n");
        return 2;
    }
    och_mem_init(&mem, NULL);
    for (size_t i = 0; i < N_KINDS; i++)
        (void) snprintf(kinds[i], sizeof(kinds[i]), "kind-%zu", i * 7919 % N_KINDS);
    struct ochre_error err = {.status = OCHRE_OK};
    struct och_vfs *vfs;
    must(och_vfs_posix_open(&mem, argv[1], true, &vfs, &err), &err);
    must(och_vfs_mkdir(vfs, OCH_DIR_TMP, &err), &err);
    must(och_vfs_mkdir(vfs, OCH_DIR_SEGMENTS, &err), &err);
    for (int i = 0; i < (argc > 2 ? argc - 2 : 3); i++)
        report_rows(vfs, (uint32_t) strtoul(argc > 2 ? argv[i + 2] : usual[i], NULL, 10));
    och_vfs_posix_close(vfs);
    return 0;
}
