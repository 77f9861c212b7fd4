#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "segment/head.h"
#include "support/check.h"
#include "unit/index/random_metadata.h"
#include "unit/segment/rows.h"

static struct och_head_insert
insert_of(const char *id, uint64_t ordinal, uint64_t position, const float *vector)
{
    return (struct och_head_insert){.ordinal = ordinal,
            .position = position,
            .vector = vector,
            .norm = 1,
            .texts = {.id = text(id)}};
}

static void
rows_come_back_from_every_chunk(void **state)
{
    (void) state;
    struct rows rows;
    struct och_head *head;
    rows_begin(&rows, 64 + 128 + 256 + 3, 5, 1);
    check(rows_head(&rows, &head));
    check(head->n_rows == rows.n && head->in_order);
    for (uint32_t row = 0; row < rows.n; row++) {
        const struct och_head_insert *wanted = &rows.rows[row].insert;
        const struct och_row_texts *texts = och_head_texts(head, row);
        float norm;
        const float *vector = och_head_vector(head, row, &norm);
        check(same_or_absent(texts->id, wanted->texts.id));
        check(same_or_absent(texts->document, wanted->texts.document));
        check(same_or_absent(texts->uri, wanted->texts.uri));
        check(same_or_absent(texts->fields, wanted->texts.fields));
        check(memcmp(vector, wanted->vector, rows.dim * sizeof(float)) == 0);
        check(memcmp(&norm, &wanted->norm, sizeof(norm)) == 0);
        check(och_head_ordinal(head, row) == wanted->ordinal);
        check(och_head_dead(head, row) == OCH_ALIVE);
        check(och_head_find(head, wanted->texts.id) == row);
        uint32_t at;
        unsigned chunk = och_head_chunk_of(row, &at);
        check(at < och_head_chunk_rows(chunk));
    }
    check(och_head_find(head, text("x")) == OCH_ROW_NONE);
    och_head_release(head);
    rows_end(&rows);
}

static void
a_head_lives_as_long_as_its_last_owner(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_head *head;
    och_mem_init(&mem, NULL);
    check(och_head_make(&mem, 3, &head) == OCHRE_OK);
    check(och_head_find(head, text("a")) == OCH_ROW_NONE); /* no map yet */
    check(och_head_retain(head) == head);
    och_head_release(head);
    check(och_mem_used(&mem) > 0);
    och_head_release(head);
    och_head_release(NULL);
    check(och_mem_used(&mem) == 0);
}

static void
a_version_is_seen_from_birth_to_death(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_head *head;
    const float vector[1] = {1};
    och_mem_init(&mem, NULL);
    check(och_head_make(&mem, 1, &head) == OCHRE_OK);
    /* added at 2, updated at 5, deleted at 7, added again at 9 */
    struct och_head_insert insert = insert_of("a", 0, 2, vector);
    check(och_head_append(head, &insert) == OCHRE_OK);
    insert.position = 5;
    check(och_head_append(head, &insert) == OCHRE_OK);
    och_head_kill(head, 0, 5);
    och_head_kill(head, 1, 7);
    insert = insert_of("a", 1, 9, vector);
    check(och_head_append(head, &insert) == OCHRE_OK);
    static const uint32_t wanted[] = {
            OCH_ROW_NONE, OCH_ROW_NONE, 0, 0, 0, 1, 1, OCH_ROW_NONE, OCH_ROW_NONE, 2, 2};
    for (uint64_t position = 0; position <= 10; position++) {
        uint32_t newest = och_head_find(head, text("a"));
        check(newest == 2);
        check(och_head_version(head, newest, 3, position) == wanted[position]);
        struct och_bitset rows;
        och_bitset_init(&rows, &mem);
        check(och_head_visible(head, 3, position, &rows) == OCHRE_OK);
        for (uint32_t row = 0; row < 3; row++) {
            check(och_bitset_has(&rows, row) == (wanted[position] == row));
            check(och_head_is_visible(head, row, position) == (wanted[position] == row));
        }
        och_bitset_clear(&rows);
    }
    check(och_head_version(head, 2, 2, 10) == OCH_ROW_NONE); /* rows from 2 on are not shown */
    check(och_head_version(head, OCH_ROW_NONE, 3, 10) == OCH_ROW_NONE);
    och_head_release(head);
    check(och_mem_used(&mem) == 0);
}

static void
an_ordinal_below_the_one_before_ends_the_order(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_head *head;
    const float vector[1] = {1};
    och_mem_init(&mem, NULL);
    check(och_head_make(&mem, 1, &head) == OCHRE_OK);
    struct och_head_insert insert = insert_of("a", 4, 1, vector);
    check(och_head_append(head, &insert) == OCHRE_OK);
    insert = insert_of("b", 9, 1, vector);
    check(och_head_append(head, &insert) == OCHRE_OK);
    check(head->in_order);
    insert = insert_of("a", 4, 2, vector);
    check(och_head_append(head, &insert) == OCHRE_OK);
    check(!head->in_order);
    och_head_release(head);
    check(och_mem_used(&mem) == 0);
}

/* --- random work against arrays ---------------------------------------------- */

enum { STEPS = 30000, N_IDS = 400, ROWS_MAX = 4000 };

/* The plainest head: every row ever appended. */
struct model_row {
    int id;
    uint64_t dead;
};

struct model {
    struct model_row rows[ROWS_MAX];
    struct och_arena_mark marks[ROWS_MAX]; /* before each row */
    uint32_t n;
};

static uint32_t
newest_of(const struct model *model, int id)
{
    for (uint32_t row = model->n; row > 0; row--)
        if (model->rows[row - 1].id == id)
            return row - 1;
    return OCH_ROW_NONE;
}

static struct ochre_bytes
id_text(int id, char bytes[16])
{
    int length = snprintf(bytes, 16, "id%d", id);
    return (struct ochre_bytes){bytes, (size_t) length};
}

static void
append_one(struct och_head *head, struct model *model, int id, uint64_t position)
{
    char bytes[16];
    const float vector[2] = {(float) id, (float) model->n};
    struct och_head_insert insert = {.ordinal = model->n,
            .position = position,
            .vector = vector,
            .texts = {.id = id_text(id, bytes)}};
    uint32_t before = newest_of(model, id);
    model->marks[model->n] = och_arena_mark(&head->texts);
    check(och_head_append(head, &insert) == OCHRE_OK);
    if (before != OCH_ROW_NONE && model->rows[before].dead == OCH_ALIVE) {
        och_head_kill(head, before, position);
        model->rows[before].dead = position;
    }
    model->rows[model->n++] = (struct model_row){id, OCH_ALIVE};
}

/* Undo the newest row and the death of the version before, as apply does. */
static void
undo_one(struct och_head *head, struct model *model, uint64_t position)
{
    uint32_t row = --model->n;
    uint32_t before = newest_of(model, model->rows[row].id);
    if (before != OCH_ROW_NONE && model->rows[before].dead == position) {
        och_head_undo_kill(head, before);
        model->rows[before].dead = OCH_ALIVE;
    }
    och_head_undo_append(head, &model->marks[row]);
}

static void
random_work_and_undo_agree_with_a_list(void **state)
{
    (void) state;
    static struct model model;
    struct och_mem mem;
    struct och_head *head;
    uint64_t seed = 31;
    och_mem_init(&mem, NULL);
    check(och_head_make(&mem, 2, &head) == OCHRE_OK);
    model.n = 0;
    uint64_t position = 1;
    uint32_t n_undoable = 0;
    for (int step = 0; step < STEPS; step++) {
        uint64_t dice = och_random_below(&seed, 10);
        if (dice < 4 && model.n < ROWS_MAX) {
            append_one(head, &model, (int) och_random_below(&seed, N_IDS), ++position);
            n_undoable++;
        } else if (dice < 7 && n_undoable > 0) {
            undo_one(head, &model, position--);
            n_undoable--;
        } else if (dice < 8 && model.n > 0) {
            uint32_t row = (uint32_t) och_random_below(&seed, model.n);
            if (model.rows[row].dead == OCH_ALIVE) {
                model.rows[row].dead = ++position;
                och_head_kill(head, row, position);
                n_undoable = 0;
            }
        }
        char bytes[16];
        int id = (int) och_random_below(&seed, N_IDS);
        check(och_head_find(head, id_text(id, bytes)) == newest_of(&model, id));
        check(head->n_rows == model.n);
    }
    unsigned n_dead = 0;
    for (uint32_t row = 0; row < model.n; row++) {
        check(och_head_dead(head, row) == model.rows[row].dead);
        n_dead += model.rows[row].dead != OCH_ALIVE;
        float norm;
        check((int) och_head_vector(head, row, &norm)[0] == model.rows[row].id);
    }
    check(atomic_load(&head->n_dead) == n_dead);
    check(och_head_is_dead(head) == (n_dead == head->n_rows));
    for (int id = 0; id < N_IDS; id++) {
        char bytes[16];
        check(och_head_find(head, id_text(id, bytes)) == newest_of(&model, id));
    }
    och_head_release(head);
    check(och_mem_used(&mem) == 0);
}

static void
undoing_a_dead_row_forgets_its_death(void **state)
{
    (void) state;
    struct och_mem mem;
    struct och_head *head;
    const float vector[1] = {1};
    och_mem_init(&mem, NULL);
    check(och_head_make(&mem, 1, &head) == OCHRE_OK);
    struct och_head_insert insert = insert_of("a", 0, 1, vector);
    struct och_arena_mark mark = och_arena_mark(&head->texts);
    check(och_head_append(head, &insert) == OCHRE_OK);
    och_head_kill(head, 0, 1);
    size_t bytes = head->bytes;
    check(bytes > 0);
    och_head_undo_append(head, &mark);
    check(head->n_rows == 0 && atomic_load(&head->n_dead) == 0 && head->bytes == 0);
    check(och_head_find(head, text("a")) == OCH_ROW_NONE);
    och_head_release(head);
    check(och_mem_used(&mem) == 0);
}

/* --- memory ------------------------------------------------------------------- */

/* A refused append changes nothing. */
static bool
fill(struct och_mem *mem)
{
    static const char document[3000];
    const float vector[2] = {1, 2};
    struct och_head *head;
    if (och_head_make(mem, 2, &head) != OCHRE_OK)
        return false;
    ochre_status status = OCHRE_OK;
    for (int id = 0; id < 200 && status == OCHRE_OK; id++) {
        char bytes[16];
        struct och_head_insert insert = {.ordinal = (uint64_t) id,
                .vector = vector,
                .texts = {.id = id_text(id, bytes), .document = {document, sizeof(document)}}};
        uint32_t before = head->n_rows;
        status = och_head_append(head, &insert);
        check(head->n_rows == before + (status == OCHRE_OK));
        check((och_head_find(head, insert.texts.id) != OCH_ROW_NONE) == (status == OCHRE_OK));
    }
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    struct och_bitset rows;
    och_bitset_init(&rows, mem);
    if (status == OCHRE_OK)
        status = och_head_visible(head, head->n_rows, 5, &rows);
    och_bitset_clear(&rows);
    och_head_release(head);
    return status == OCHRE_OK;
}

static void
every_allocation_may_fail(void **state)
{
    (void) state;
    check_each_allocation_failing(fill);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(rows_come_back_from_every_chunk),
            cmocka_unit_test(a_head_lives_as_long_as_its_last_owner),
            cmocka_unit_test(a_version_is_seen_from_birth_to_death),
            cmocka_unit_test(an_ordinal_below_the_one_before_ends_the_order),
            cmocka_unit_test(random_work_and_undo_agree_with_a_list),
            cmocka_unit_test(undoing_a_dead_row_forgets_its_death),
            cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
