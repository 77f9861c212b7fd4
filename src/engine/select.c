#include "engine/select.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"

/* --- rows ------------------------------------------------------------------- */

static ochre_status
add_ids(const struct och_snapshot *snapshot, const struct och_select *select,
        struct och_selected *rows, struct ochre_bytes *missing_out, struct ochre_error *err)
{
    for (size_t i = 0; i < select->n_ids; i++) {
        uint32_t source;
        uint32_t row;
        ochre_status status = och_snapshot_find(snapshot, select->ids[i], &source, &row, err);
        if (status != OCHRE_OK)
            return status;
        if (row != OCH_ROW_NONE) {
            if (och_bitset_add(&rows[source].set, row) != OCHRE_OK)
                return och_fail_memory(err);
        } else if (missing_out != NULL && missing_out->data == NULL) {
            *missing_out = select->ids[i];
        }
    }
    return OCHRE_OK;
}

/* Leave in `rows` what passes the filter too. */
static ochre_status
filter_source(const struct och_select *select, const struct och_source *source,
        struct och_selected *rows, struct ochre_error *err)
{
    struct och_bitset candidates = rows->set;
    och_bitset_init(&rows->set, select->mem);
    ochre_status status = OCHRE_OK;
    if (rows->all && och_bitset_fill(&candidates, source->n_rows) != OCHRE_OK)
        status = och_fail_memory(err);
    rows->all = false;
    if (status == OCHRE_OK)
        status = och_filter_rows(&select->filter, source, &candidates, &rows->set, err);
    och_bitset_clear(&candidates);
    return status;
}

ochre_status
och_select_rows(const struct och_snapshot *snapshot, const struct och_select *select,
        struct och_arena *arena, struct och_selected **rows_out, struct ochre_bytes *missing_out,
        struct ochre_error *err)
{
    uint32_t n = snapshot->n_sources;
    *rows_out = NULL;
    if (missing_out != NULL)
        *missing_out = (struct ochre_bytes){NULL, 0};
    struct och_selected *rows = och_arena_take_array(arena, n, sizeof(*rows));
    if (rows == NULL)
        return och_fail_memory(err);
    for (uint32_t i = 0; i < n; i++) {
        rows[i].all = false;
        och_bitset_init(&rows[i].set, select->mem);
    }
    ochre_status status = OCHRE_OK;
    if (select->has_ids)
        status = add_ids(snapshot, select, rows, missing_out, err);
    for (uint32_t i = 0; i < n && status == OCHRE_OK; i++) {
        const struct och_source *source = &snapshot->sources[i];
        if (!select->has_ids && och_source_visible(source, &rows[i].set, &rows[i].all) != OCHRE_OK)
            status = och_fail_memory(err);
        if (status == OCHRE_OK && !och_filter_is_empty(&select->filter))
            status = filter_source(select, source, &rows[i], err);
    }
    if (status != OCHRE_OK) {
        och_selected_clear(rows, n);
        return status;
    }
    *rows_out = rows;
    return OCHRE_OK;
}

void
och_selected_clear(struct och_selected *rows, uint32_t n_sources)
{
    for (uint32_t i = 0; rows != NULL && i < n_sources; i++)
        och_bitset_clear(&rows[i].set);
}

uint64_t
och_selected_count(const struct och_selected *rows, const struct och_source *source)
{
    return rows->all ? source->n_rows : och_bitset_count(&rows->set);
}

/* --- walking in insertion order --------------------------------------------- */

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

static uint32_t
next_selected(const struct och_selected *rows, const struct och_source *source, uint32_t from)
{
    if (!rows->all)
        return och_bitset_next(&rows->set, from);
    return from < source->n_rows ? from : OCH_ROW_NONE;
}

/*
 * A head with updated rows in it: list the selected ones by ordinal.  Most ascend as
 * they stand; those that do not are sorted and merged in.
 */
static ochre_status
sort_run(struct och_walk *walk, struct och_walk_run *run, struct och_arena *arena,
        struct ochre_error *err)
{
    const struct och_source *source = &walk->snapshot->sources[run->source];
    const struct och_selected *rows = &walk->rows[run->source];
    uint64_t n = och_selected_count(rows, source);
    struct ordered *rising = och_arena_take_array(arena, n, sizeof(*rising));
    struct ordered *others = och_arena_take_array(arena, n, sizeof(*others));
    run->sorted = och_arena_take_array(arena, n, sizeof(uint32_t));
    if (rising == NULL || others == NULL || run->sorted == NULL)
        return och_fail_memory(err);
    uint32_t n_rising = 0;
    uint32_t n_others = 0;
    for (uint32_t row = next_selected(rows, source, 0); row != OCH_ROW_NONE;
            row = next_selected(rows, source, row + 1)) {
        struct ordered one = {och_source_ordinal(source, row), row};
        if (n_rising == 0 || one.ordinal > rising[n_rising - 1].ordinal)
            rising[n_rising++] = one;
        else
            others[n_others++] = one;
    }
    qsort(others, n_others, sizeof(*others), compare_ordered);
    uint32_t other = 0;
    for (uint32_t i = 0; i < n_rising; i++) {
        for (; other < n_others && others[other].ordinal < rising[i].ordinal; other++)
            run->sorted[run->n_sorted++] = others[other].row;
        run->sorted[run->n_sorted++] = rising[i].row;
    }
    och_assert(other == n_others); /* none is above the highest of those that rise */
    return OCHRE_OK;
}

/* Move the run to its next row. */
static void
advance(struct och_walk *walk, struct och_walk_run *run)
{
    const struct och_source *source = &walk->snapshot->sources[run->source];
    if (run->sorted != NULL) {
        run->row = run->next < run->n_sorted ? run->sorted[run->next++] : OCH_ROW_NONE;
    } else {
        run->row = next_selected(&walk->rows[run->source], source, run->next);
        run->next = run->row == OCH_ROW_NONE ? source->n_rows : run->row + 1;
    }
    run->ordinal = run->row == OCH_ROW_NONE ? UINT64_MAX : och_source_ordinal(source, run->row);
}

ochre_status
och_walk_begin(struct och_walk *walk, const struct och_snapshot *snapshot,
        const struct och_selected *rows, struct och_arena *arena, struct ochre_error *err)
{
    *walk = (struct och_walk){.snapshot = snapshot, .rows = rows};
    walk->runs = och_arena_take_array(arena, snapshot->n_sources, sizeof(*walk->runs));
    if (walk->runs == NULL)
        return och_fail_memory(err);
    for (uint32_t i = 0; i < snapshot->n_sources; i++) {
        const struct och_source *source = &snapshot->sources[i];
        if (next_selected(&rows[i], source, 0) == OCH_ROW_NONE)
            continue;
        ochre_status status = och_source_load(source, OCH_COLUMN_ORDINALS, err);
        if (status != OCHRE_OK)
            return status;
        struct och_walk_run *run = &walk->runs[walk->n_runs++];
        *run = (struct och_walk_run){.source = i};
        if (!och_source_in_order(source)) {
            status = sort_run(walk, run, arena, err);
            if (status != OCHRE_OK)
                return status;
        }
        advance(walk, run);
    }
    return OCHRE_OK;
}

/* --- skipping ---------------------------------------------------------------- */

/* Places in a run are rows, selected or not, or places in its sorted list. */

static uint64_t
ordinal_at(const struct och_walk *walk, const struct och_walk_run *run, uint32_t place)
{
    const struct och_source *source = &walk->snapshot->sources[run->source];
    return och_source_ordinal(source, run->sorted != NULL ? run->sorted[place] : place);
}

/* How many selected rows lie from run->low up to a place. */
static uint64_t
count_to(const struct och_walk *walk, const struct och_walk_run *run, uint32_t place)
{
    const struct och_selected *rows = &walk->rows[run->source];
    if (run->sorted != NULL || rows->all)
        return place - run->low;
    return och_bitset_count_between(&rows->set, run->low, place);
}

/* Set run->cut to the first place from low to high whose ordinal is not below. */
static void
find_cut(const struct och_walk *walk, struct och_walk_run *run, uint64_t ordinal)
{
    uint32_t low = run->low;
    uint32_t high = run->high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (ordinal_at(walk, run, middle) < ordinal)
            low = middle + 1;
        else
            high = middle;
    }
    run->cut = low;
}

/* Begin at the rows at hand; answers an ordinal above all. */
static uint64_t
begin_skip(struct och_walk *walk)
{
    uint64_t above = 0;
    for (uint32_t i = 0; i < walk->n_runs; i++) {
        struct och_walk_run *run = &walk->runs[i];
        uint32_t end =
                run->sorted != NULL ? run->n_sorted : walk->snapshot->sources[run->source].n_rows;
        run->high = end;
        run->low = run->row == OCH_ROW_NONE ? end : run->next - 1;
        if (run->low < end && ordinal_at(walk, run, end - 1) >= above)
            above = ordinal_at(walk, run, end - 1) + 1;
    }
    return above;
}

/*
 * Search for the ordinal that `n` selected rows are below.  Of what lies between
 * low and high in all runs, cut at the ordinal in the middle, one half is counted:
 * if it is no more than is to be skipped it is passed, otherwise the search goes on
 * in it.  Each row is counted a few times at most, because halves get smaller.
 */
void
och_walk_skip(struct och_walk *walk, uint64_t n)
{
    uint64_t low = 0;
    uint64_t high = begin_skip(walk);
    while (n > 0 && low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        uint64_t below = 0;
        for (uint32_t i = 0; i < walk->n_runs; i++) {
            find_cut(walk, &walk->runs[i], middle);
            below += count_to(walk, &walk->runs[i], walk->runs[i].cut);
        }
        bool passed = below <= n;
        for (uint32_t i = 0; i < walk->n_runs; i++) {
            struct och_walk_run *run = &walk->runs[i];
            *(passed ? &run->low : &run->high) = run->cut;
        }
        if (passed)
            n -= below;
        *(passed ? &low : &high) = passed ? middle : middle - 1;
    }
    for (uint32_t i = 0; i < walk->n_runs; i++) {
        walk->runs[i].next = walk->runs[i].low;
        advance(walk, &walk->runs[i]);
    }
    walk->current = NULL;
}

void
och_walk_seek(struct och_walk *walk, uint64_t ordinal)
{
    (void) begin_skip(walk);
    for (uint32_t i = 0; i < walk->n_runs; i++) {
        find_cut(walk, &walk->runs[i], ordinal + 1);
        walk->runs[i].next = walk->runs[i].cut;
        advance(walk, &walk->runs[i]);
    }
    walk->current = NULL;
}

uint64_t
och_walk_left(struct och_walk *walk)
{
    uint64_t left = 0;
    (void) begin_skip(walk);
    for (uint32_t i = 0; i < walk->n_runs; i++)
        left += count_to(walk, &walk->runs[i], walk->runs[i].high);
    return left;
}

/* --- walking ----------------------------------------------------------------- */

/* The run with the lowest ordinal, and the lowest of the others: until it is
 * reached, nobody else's turn comes. */
static void
choose_run(struct och_walk *walk)
{
    uint64_t lowest = UINT64_MAX; /* which is also what a run at its end has */
    walk->current = NULL;
    walk->turn = UINT64_MAX;
    for (uint32_t i = 0; i < walk->n_runs; i++) {
        struct och_walk_run *run = &walk->runs[i];
        if (run->ordinal < lowest) {
            walk->turn = lowest;
            lowest = run->ordinal;
            walk->current = run;
        } else if (run->ordinal < walk->turn) {
            walk->turn = run->ordinal;
        }
    }
}

bool
och_walk_next(struct och_walk *walk, uint32_t *source_out, uint32_t *row_out)
{
    if (walk->current == NULL || walk->current->ordinal >= walk->turn)
        choose_run(walk);
    if (walk->current == NULL)
        return false;
    *source_out = walk->current->source;
    *row_out = walk->current->row;
    advance(walk, walk->current);
    return true;
}

ochre_status
och_select_ids(const struct och_snapshot *snapshot, const struct och_select *select, uint64_t limit,
        struct och_arena *arena, struct ochre_bytes **ids_out, size_t *n_out,
        struct ochre_error *err)
{
    struct och_selected *rows = NULL;
    *n_out = 0;
    *ids_out = NULL;
    ochre_status status = och_select_rows(snapshot, select, arena, &rows, NULL, err);
    if (status != OCHRE_OK)
        return status;
    och_assert(rows != NULL);
    uint64_t total = 0;
    for (uint32_t i = 0; i < snapshot->n_sources; i++)
        total += och_selected_count(&rows[i], &snapshot->sources[i]);
    if (total < limit)
        limit = total;
    struct och_walk walk = {.n_runs = 0};
    *ids_out = och_arena_take_array(arena, limit, sizeof(**ids_out));
    if (*ids_out == NULL) {
        och_selected_clear(rows, snapshot->n_sources);
        return och_fail_memory(err);
    }
    status = och_walk_begin(&walk, snapshot, rows, arena, err);
    uint32_t source;
    uint32_t row;
    while (status == OCHRE_OK && *n_out < limit && och_walk_next(&walk, &source, &row)) {
        const struct och_source *from = &snapshot->sources[source];
        status = och_source_load_row(from, row, OCH_COLUMN_IDS, err);
        if (status != OCHRE_OK)
            break;
        struct ochre_bytes id = och_source_id(from, row);
        /* Copied: the caller lets go of the snapshot before the ids. */
        id.data = och_arena_copy(arena, id.data, id.size);
        if (id.data == NULL)
            status = och_fail_memory(err);
        (*ids_out)[(*n_out)++] = id;
    }
    och_selected_clear(rows, snapshot->n_sources);
    return status;
}
