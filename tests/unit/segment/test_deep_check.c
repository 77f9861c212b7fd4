/*
 * test_deep_check.c - what checksums do not tell: files that were written as they are, with one
 * thing in them that their rows do not give.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "distance/distance.h"
#include "index/vector/graph.h"
#include "segment/columns_part.h"
#include "segment/deep_check.h"
#include "segment/seal.h"
#include "segment/segment.h"
#include "segment/vector_part.h"
#include "support/check.h"
#include "unit/segment/rows.h"

enum { ROWS = 1000, DIM = 8, COPY_OF = 100, COPY = 800 };

/* Parts that write what they should, but for one byte, or one number everywhere. */
struct bent {
    const struct och_seal_part *part;
    const struct och_vector_sink *to;
    uint16_t kind, open; /* the section that is bent, and the one that is written */
    uint64_t at, place;  /* of the byte, and of the next one written */
    uint8_t flip;        /* 0: none */
    uint32_t from, into; /* all numbers `from` become `into`, if they differ */
};

static ochre_status
begin(void *context, uint16_t kind, struct ochre_error *err)
{
    struct bent *bent = context;
    bent->open = kind;
    bent->place = 0;
    return bent->to->begin(bent->to->context, kind, err);
}

static ochre_status
put(void *context, const void *bytes, size_t size, struct ochre_error *err)
{
    struct bent *bent = context;
    char *copy = malloc(size + 1);
    check(copy != NULL);
    memcpy(copy, bytes, size);
    bool is_it = bent->open == bent->kind;
    if (is_it && bent->at >= bent->place && bent->at - bent->place < size)
        copy[bent->at - bent->place] = (char) (copy[bent->at - bent->place] ^ bent->flip);
    for (size_t i = 0; is_it && bent->from != bent->into && i + 4 <= size; i += 4)
        if (memcmp(copy + i, &bent->from, 4) == 0)
            memcpy(copy + i, &bent->into, 4);
    bent->place += size;
    ochre_status status = bent->to->put(bent->to->context, copy, size, err);
    free(copy);
    return status;
}

static ochre_status
write_bent(void *context, struct och_seal_file *file, const struct och_vector_sink *sink,
        struct ochre_error *err)
{
    struct bent *bent = context;
    const struct och_vector_sink through = {.begin = begin, .put = put, .context = bent};
    bent->to = sink;
    return bent->part->write(bent->part->context, file, &through, err);
}

/* --- files --------------------------------------------------------------------- */

static struct rows rows;
static const struct och_kernels *kernels;
static uint64_t next_id;

static int
make_rows(void **state)
{
    (void) state;
    kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL);
    rows_begin(&rows, ROWS, DIM, 3);
    memcpy(rows.rows[COPY].vector, rows.rows[COPY_OF].vector, sizeof(rows.rows[COPY].vector));
    for (uint32_t i = 0; i < ROWS; i++)
        rows.rows[i].insert.norm = och_vector_norm(kernels, rows.rows[i].vector, DIM);
    return 0;
}

static int
forget_rows(void **state)
{
    (void) state;
    rows_end(&rows);
    return 0;
}

/* Seal the rows, with one section bent, and look deeply at what is there. */
static ochre_status
deep_check(const struct bent *how, uint64_t *size_out, struct ochre_error *err)
{
    struct och_vector_part vectors = {.kernels = kernels, .graph_rows = ROWS / 2};
    const struct och_seal_part straight[] = {
            och_columns_part, {.write = och_vector_part_write, .context = &vectors}};
    struct bent bent[2] = {*how, *how};
    struct och_seal_part parts[2];
    for (size_t i = 0; i < 2; i++) {
        bent[i].part = &straight[i];
        parts[i] = (struct och_seal_part){.write = write_bent, .context = &bent[i]};
    }
    rows.parts = parts;
    rows.n_parts = 2;
    struct och_segment *segment = rows_segment(&rows, ++next_id);
    check(och_segment_has_graph(segment));
    check_ok(och_segment_verify(segment, err), err); /* the checksums are right */
    *size_out = segment->sections[how->kind].size;
    ochre_status status = och_segment_deep_check(segment, kernels, err);
    och_segment_release(segment);
    return status;
}

static void
check_found(const struct bent *how, const char *what)
{
    struct ochre_error err;
    uint64_t size;
    check(deep_check(how, &size, &err) == OCHRE_CORRUPT);
    if (strstr(err.message, what) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.message, what);
}

/* --- tests --------------------------------------------------------------------- */

static void
what_is_right_passes(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t size;
    check_ok(deep_check(&(struct bent){.kind = OCH_SECTION_COLUMNS}, &size, &err), &err);
}

static void
any_byte_of_the_index_of_metadata_is_compared(void **state)
{
    (void) state;
    struct ochre_error err;
    struct bent bent = {.kind = OCH_SECTION_COLUMNS};
    uint64_t size, seed = 5;
    check_ok(deep_check(&bent, &size, &err), &err);
    for (int i = 0; i < 8; i++) {
        bent.at = och_random_below(&seed, size);
        bent.flip = (uint8_t) (1u << och_random_below(&seed, 8));
        check_found(&bent, "the index of metadata");
    }
}

static void
a_code_is_compared_and_what_it_says_of_copies(void **state)
{
    (void) state;
    struct ochre_error err;
    struct bent bent = {.kind = OCH_GRAPH_SECTION_CODES};
    uint64_t size, seed = 6;
    check_ok(deep_check(&bent, &size, &err), &err);
    for (int i = 0; i < 8; i++) {
        bent.at = och_random_below(&seed, size);
        bent.flip = (uint8_t) (1u << och_random_below(&seed, 8));
        check_found(&bent, "has a code that its vector does not give");
    }
}

/* All links to a row lead elsewhere: unless walks begin there, it is lost. */
static void
a_row_that_cannot_be_reached_is_found(void **state)
{
    (void) state;
    unsigned n_found = 0;
    for (uint32_t row = 200; row < 204; row++) {
        struct ochre_error err;
        uint64_t size;
        const struct bent bent = {
                .kind = OCH_GRAPH_SECTION_LINKS, .at = UINT64_MAX, .from = row, .into = 7};
        ochre_status status = deep_check(&bent, &size, &err);
        check(status == OCHRE_OK || strstr(err.message, "cannot be reached") != NULL);
        n_found += status == OCHRE_CORRUPT;
    }
    check(n_found >= 3);
}

static void
vectors_are_numbers_and_as_long_as_stored(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t size;
    const struct bent straight = {.kind = OCH_SECTION_COLUMNS};
    float norm = rows.rows[9].insert.norm;
    rows.rows[9].insert.norm = nextafterf(norm, 2 * norm);
    check(deep_check(&straight, &size, &err) == OCHRE_CORRUPT);
    check(strstr(err.message, "the length of row 9's vector") != NULL);
    rows.rows[9].insert.norm = norm;
    check_ok(deep_check(&straight, &size, &err), &err);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_is_right_passes),
            cmocka_unit_test(any_byte_of_the_index_of_metadata_is_compared),
            cmocka_unit_test(a_code_is_compared_and_what_it_says_of_copies),
            cmocka_unit_test(a_row_that_cannot_be_reached_is_found),
            cmocka_unit_test(vectors_are_numbers_and_as_long_as_stored),
    };
    return cmocka_run_group_tests(tests, make_rows, forget_rows);
}
