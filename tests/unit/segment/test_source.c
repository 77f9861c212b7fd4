#include <string.h>

#include "base/random.h"
#include "segment/source.h"
#include "sim/sim_disk.h"
#include "support/check.h"
#include "unit/index/random_metadata.h"
#include "unit/segment/rows.h"

enum {
    N = 64 + 128 + 256 + 100,
    ALL_COLUMNS = OCH_COLUMN_VECTORS | OCH_COLUMN_IDS | OCH_COLUMN_DOCUMENTS | OCH_COLUMN_URIS |
            OCH_COLUMN_FIELDS | OCH_COLUMN_ORDINALS
};

/* The same rows twice: growing and sealed, with the same deaths. */
struct fixture {
    struct rows rows;
    struct och_head *head;
    struct och_segment *segment;
    struct och_source sources[2];
    uint64_t dead[N];
};

static void
begin(struct fixture *f)
{
    struct ochre_error err;
    rows_begin(&f->rows, N, 3, 4);
    check(rows_head(&f->rows, &f->head));
    check_ok(rows_seal(&f->rows, f->head, 1, &f->segment, &err), &err);
    f->sources[0] = (struct och_source){.head = f->head, .n_rows = N, .position = 1};
    f->sources[1] = (struct och_source){.segment = f->segment, .n_rows = N, .position = 1};
    for (uint32_t row = 0; row < N; row++)
        f->dead[row] = OCH_ALIVE;
}

static void
end(struct fixture *f)
{
    och_segment_release(f->segment);
    och_head_release(f->head);
    rows_end(&f->rows);
}

static void
kill_row(struct fixture *f, uint32_t row, uint64_t position)
{
    f->dead[row] = position;
    och_head_kill(f->head, row, position);
    check(och_segment_reserve_mark(f->segment, row) == OCHRE_OK);
    och_segment_kill(f->segment, row, position);
}

static void
both_kinds_show_the_same_rows(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    for (int s = 0; s < 2; s++) {
        const struct och_source *source = &f.sources[s];
        check_ok(och_source_load(source, ALL_COLUMNS, &err), &err);
        check(och_source_in_order(source));
        for (uint32_t row = 0; row < N; row++) {
            const struct och_head_insert *wanted = &f.rows.rows[row].insert;
            check_ok(och_source_load_row(source, row, ALL_COLUMNS, &err), &err);
            check(same_or_absent(och_source_id(source, row), wanted->texts.id));
            check(same_or_absent(och_source_document(source, row), wanted->texts.document));
            check(same_or_absent(och_source_uri(source, row), wanted->texts.uri));
            check(same_or_absent(och_source_fields(source, row), wanted->texts.fields));
            check(och_source_ordinal(source, row) == wanted->ordinal);
            check(memcmp(och_source_vector(source, row), wanted->vector, 3 * sizeof(float)) == 0);
            uint32_t found;
            check_ok(och_source_find(source, wanted->texts.id, &found, &err), &err);
            check(found == row);
        }
        uint32_t found;
        check_ok(och_source_find(source, text("nowhere"), &found, &err), &err);
        check(found == OCH_ROW_NONE);
    }
    end(&f);
}

static void
a_snapshot_sees_what_lived_at_its_position(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    uint64_t seed = 3;
    begin(&f);
    for (int s = 0; s < 2; s++) {
        struct och_bitset rows;
        bool all;
        och_bitset_init(&rows, &f.rows.mem);
        check(och_source_visible(&f.sources[s], &rows, &all) == OCHRE_OK);
        check(all && rows.words == NULL && och_source_count(&f.sources[s]) == N);
    }
    for (int i = 0; i < 200; i++) {
        uint32_t row = (uint32_t) och_random_below(&seed, N);
        if (f.dead[row] == OCH_ALIVE)
            kill_row(&f, row, 2 + och_random_below(&seed, 8));
    }
    for (uint64_t position = 1; position < 12; position++) {
        for (int s = 0; s < 2; s++) {
            f.sources[s].position = position;
            struct och_bitset rows;
            bool all;
            och_bitset_init(&rows, &f.rows.mem);
            check(och_source_visible(&f.sources[s], &rows, &all) == OCHRE_OK && !all);
            size_t n = 0;
            for (uint32_t row = 0; row < N; row++) {
                bool lives = position < f.dead[row];
                n += lives;
                check(och_bitset_has(&rows, row) == lives);
                check(och_source_sees(&f.sources[s], row) == lives);
                uint32_t found;
                check_ok(och_source_find(
                                 &f.sources[s], f.rows.rows[row].insert.texts.id, &found, &err),
                        &err);
                check(found == (lives ? row : OCH_ROW_NONE));
            }
            check(och_source_count(&f.sources[s]) == n);
            och_bitset_clear(&rows);
        }
    }
    end(&f);
}

/* Pieces follow one another, begin at multiples of 64 and hold every row once. */
static void
vectors_come_in_pieces_that_hold_every_row(void **state)
{
    (void) state;
    static const uint32_t counts[] = {1, 63, 64, 65, 191, 192, 193, N};
    struct fixture f;
    struct ochre_error err;
    begin(&f);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        for (int s = 0; s < 2; s++) {
            struct och_source source = f.sources[s];
            if (source.head != NULL)
                source.n_rows = counts[i];
            uint32_t first = 0;
            while (first < source.n_rows) {
                struct och_vector_rows piece;
                uint32_t next = och_source_vectors(&source, first, &piece);
                check(next == first + piece.n_rows && first % 64 == 0 && piece.n_rows > 0);
                if (piece.touch != NULL)
                    check_ok(piece.touch(piece.context, 0, piece.n_rows, &err), &err);
                for (uint32_t row = 0; row < piece.n_rows; row++) {
                    const struct och_head_insert *wanted = &f.rows.rows[first + row].insert;
                    check(memcmp(piece.rows + (size_t) row * 3, wanted->vector,
                                  3 * sizeof(float)) == 0);
                    check(memcmp(&piece.norms[row], &wanted->norm, sizeof(float)) == 0);
                    check(piece.ordinals[row] == wanted->ordinal);
                }
                first = next;
            }
            check(first == source.n_rows);
        }
    }
    end(&f);
}

static void
a_failing_disk_is_an_answer_for_segments_alone(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    uint32_t row;
    begin(&f);
    och_segment_release(f.segment);
    check_ok(och_segment_open(&f.rows.mem, f.rows.vfs, f.rows.collection, 1, &f.segment, &err),
            &err);
    f.sources[1].segment = f.segment;
    sim_disk_fail(f.rows.disk, 1, SIM_IO_FROM);
    check_ok(och_source_load(&f.sources[0], ALL_COLUMNS, &err), &err);
    check(och_source_load(&f.sources[1], OCH_COLUMN_IDS, &err) == OCHRE_IO);
    check(och_source_load_row(&f.sources[1], 5, OCH_COLUMN_VECTORS, &err) == OCHRE_IO);
    check(och_source_find(&f.sources[1], text("1"), &row, &err) == OCHRE_IO);
    sim_disk_fail(f.rows.disk, 0, SIM_IO_FROM);
    check_ok(och_source_find(&f.sources[1], text("1"), &row, &err), &err);
    end(&f);
}

static void
refused_memory_is_told_when_rows_are_collected(void **state)
{
    (void) state;
    struct fixture f;
    begin(&f);
    kill_row(&f, 3, 5);
    for (int s = 0; s < 2; s++) {
        ochre_status status = OCHRE_NO_MEMORY;
        for (uint64_t n = 1; status != OCHRE_OK; n++) {
            struct och_bitset rows;
            bool all;
            och_bitset_init(&rows, &f.rows.mem);
            f.sources[s].position = 7;
            f.rows.mem.fail_at = atomic_load(&f.rows.mem.n_grants) + n;
            status = och_source_visible(&f.sources[s], &rows, &all);
            f.rows.mem.fail_at = 0;
            check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
            check(status != OCHRE_OK || och_bitset_count(&rows) == N - 1);
            och_bitset_clear(&rows);
        }
    }
    end(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(both_kinds_show_the_same_rows),
            cmocka_unit_test(a_snapshot_sees_what_lived_at_its_position),
            cmocka_unit_test(vectors_come_in_pieces_that_hold_every_row),
            cmocka_unit_test(a_failing_disk_is_an_answer_for_segments_alone),
            cmocka_unit_test(refused_memory_is_told_when_rows_are_collected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
