#include <string.h>

#include "base/arena.h"
#include "base/bitset.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "engine/engine.h"
#include "engine/maintain_internal.h"
#include "os/clock.h"
#include "os/vfs.h"
#include "segment/deletes.h"
#include "segment/segment.h"
#include "segment/source.h"

/* A failed merge is tried again after a second, then two, four, ... */
#define NS_PER_SECOND UINT64_C(1000000000)
#define WAIT_SECONDS_MAX 300u
#define WAIT_SECONDS_FULL 10u /* on a full disk, where it is what gives space back */

/* After so many failures in a row a segment that cannot be read is left out. */
#define READ_FAILURES_MAX 3u

/* So much of the free space, or so many bytes, a merge leaves to others. */
#define SPARE_PART 4u
#define SPARE_MAX ((uint64_t) 64 << 20)

/* What a merge in progress knows. */
struct merging {
    struct och_collection *collection;
    struct och_engine *engine;
    struct och_mem *mem;
    struct och_arena arena;
    struct och_view *view;     /* counted: where the inputs were chosen */
    struct och_source *inputs; /* what is merged, as at view->position */
    uint32_t n_inputs;
    uint32_t *map; /* owned: rows of the inputs, one after the other, to new ones */
    size_t n_map;
    uint32_t *first; /* behind the map: of each input's rows in it */
    struct och_seal seal;
    struct och_maintain_parts parts;
    enum och_merge_mode mode;
    struct och_segment *segment; /* the new one, opened; NULL: no row lived */
    struct och_segment_row row;  /* and what the catalog says of it */
    bool is_in_doubt;            /* it is not known whether the catalog lists it */
};

/* --- choosing --------------------------------------------------------------- */

static bool
is_input(const struct merging *m, const struct och_segment *segment)
{
    for (uint32_t i = 0; i < m->n_inputs; i++)
        if (m->inputs[i].segment == segment)
            return true;
    return false;
}

/* Vectors of which no graph can be made would be tried again for ever. */
static bool
is_indexed(const struct och_segment *segment)
{
    bool failed = atomic_load_explicit(&segment->vectors_failed, memory_order_relaxed);
    return och_segment_has_graph(segment) || (segment->is_complete && !failed);
}

/* Those of the view's segments that should become one, as indexes in `chosen_out`
 * (in the arena).  Deaths count that are stored: others must not be left out yet. */
static ochre_status
choose(const struct och_view *view, const struct och_merge_policy *policy, enum och_merge_mode mode,
        struct och_arena *arena, uint32_t **chosen_out, size_t *n_out)
{
    *n_out = 0;
    size_t n = 0;
    struct och_merge_segment *segments =
            och_arena_take_array(arena, view->n_segments, sizeof(*segments));
    uint32_t *places = och_arena_take_array(arena, view->n_segments, sizeof(*places));
    *chosen_out = och_arena_take_array(arena, view->n_segments, sizeof(**chosen_out));
    if (segments == NULL || places == NULL || *chosen_out == NULL)
        return OCHRE_NO_MEMORY;
    for (uint32_t i = 0; i < view->n_segments; i++) {
        struct och_segment *segment = view->segments[i];
        if (atomic_load_explicit(&segment->damaged, memory_order_relaxed))
            continue;
        places[n] = i;
        segments[n++] = (struct och_merge_segment){.rows = segment->n_rows,
                .dead = segment->n_dead_stored,
                .bytes = segment->file_size,
                .has_graph = is_indexed(segment),
                .is_worn = och_segment_is_worn(segment)};
    }
    *n_out = och_merge_choose(policy, mode, segments, n, *chosen_out);
    for (size_t i = 0; i < *n_out; i++)
        (*chosen_out)[i] = places[(*chosen_out)[i]];
    return OCHRE_OK;
}

/* A pin has its files in common with the collection that it is of, for as long as that has
 * them: they are only written anew to have what was deleted gone. */
static ochre_status
choose_of(struct och_collection *collection, const struct och_view *view, enum och_merge_mode mode,
        struct och_arena *arena, uint32_t **chosen_out, size_t *n_out)
{
    *n_out = 0;
    if (och_collection_is_pin(collection) && mode != OCH_MERGE_DEAD)
        return OCHRE_OK;
    return choose(view, &collection->engine->options.merge, mode, arena, chosen_out, n_out);
}

bool
och_maintain_wants_merge(struct och_collection *collection, enum och_merge_mode mode)
{
    struct och_arena arena;
    uint32_t *chosen = NULL;
    size_t n = 0;
    och_arena_init(&arena, collection->engine->ports.mem);
    ochre_status status = choose_of(collection, collection->view, mode, &arena, &chosen, &n);
    och_arena_clear(&arena);
    return status == OCHRE_OK && n > 0;
}

bool
och_maintain_holds_off(const struct och_collection *collection)
{
    uint64_t not_before = atomic_load_explicit(&collection->merge_not_before, memory_order_relaxed);
    return not_before != 0 &&
            och_machine_monotonic_ns(collection->engine->ports.machine) < not_before;
}

/* Choose and pin the inputs.  What is stored of their deaths is changed by whoever
 * has the list. */
static ochre_status
pin_inputs(struct merging *m, enum och_merge_mode mode, struct ochre_error *err)
{
    uint32_t *chosen = NULL;
    size_t n = 0;
    och_maintain_take_list(m->collection);
    m->view = och_maintain_view(m->collection);
    ochre_status status = choose_of(m->collection, m->view, mode, &m->arena, &chosen, &n);
    och_maintain_give_list(m->collection);
    m->inputs = och_arena_take_array(&m->arena, n, sizeof(*m->inputs));
    if (status != OCHRE_OK || m->inputs == NULL)
        return och_fail_memory(err);
    for (size_t i = 0; i < n; i++) {
        struct och_segment *segment = m->view->segments[chosen[i]];
        m->inputs[i] = (struct och_source){
                .segment = segment, .n_rows = segment->n_rows, .position = m->view->position};
    }
    m->n_inputs = (uint32_t) n;
    return OCHRE_OK;
}

/* --- writing ---------------------------------------------------------------- */

/* A merge must not be what fills the disk, nor on a full one take what drops need: what it
 * replaces may be others' too, and then nothing comes back. */
static ochre_status
check_space(struct merging *m, struct ochre_error *err)
{
    uint64_t need = 0;
    uint64_t left = 0;
    if (och_space_is_short(&m->engine->space))
        och_history_forget_all(&m->engine->history);
    for (uint32_t i = 0; i < m->n_inputs; i++)
        need += m->inputs[i].segment->file_size;
    och_assert(m->n_map > 0);
    need = (need / m->n_map + 1) * m->seal.n_rows; /* the share of what lives */
    need = need > OCH_SEGMENT_OVERHEAD ? need : OCH_SEGMENT_OVERHEAD;
    ochre_status status = och_space_spare(&m->engine->space, need, err);
    if (status == OCHRE_OK)
        status = och_vfs_space_free(m->engine->ports.vfs, &left, err);
    if (status != OCHRE_OK)
        return status;
    uint64_t spare = left / SPARE_PART < SPARE_MAX ? left / SPARE_PART : SPARE_MAX;
    if (need <= left - spare)
        return OCHRE_OK;
    return och_fail(err, OCHRE_FULL,
            "merging segments of %llu bytes needs as many free; there "
            "are %llu",
            (unsigned long long) need, (unsigned long long) left);
}

/* Where each row of the inputs went. */
static ochre_status
make_map(struct merging *m, struct ochre_error *err)
{
    size_t n = 0;
    for (uint32_t i = 0; i < m->n_inputs; i++)
        n += m->inputs[i].n_rows;
    m->map = och_mem_take(m->mem, (n + m->n_inputs) * sizeof(*m->map));
    if (m->map == NULL)
        return och_fail_memory(err);
    m->n_map = n;
    m->first = m->map + n;
    uint32_t first = 0;
    for (uint32_t i = 0; i < m->n_inputs; i++) {
        m->first[i] = first;
        first += m->inputs[i].n_rows;
    }
    memset(m->map, 0xff, n * sizeof(*m->map)); /* OCH_ROW_NONE */
    for (uint32_t i = 0; i < m->seal.n_rows; i++) {
        const struct och_seal_row *row = &m->seal.rows[i];
        m->map[m->first[row->source] + row->row] = i;
    }
    return OCHRE_OK;
}

static ochre_status
write_segment(struct merging *m, struct ochre_error *err)
{
    struct och_ports *ports = &m->engine->ports;
    ochre_status status = och_seal_rows(&m->seal, err);
    if (status != OCHRE_OK || m->seal.n_rows == 0)
        return status;
    status = make_map(m, err);
    if (status == OCHRE_OK)
        status = check_space(m, err);
    if (status == OCHRE_OK)
        status = ports->catalog->ops->next_file_id(ports->catalog, &m->row.id, err);
    m->seal.id = m->row.id;
    m->row.n_rows = m->seal.n_rows;
    if (status == OCHRE_OK)
        status = och_seal_write(&m->seal, &m->row.file_hash, &m->row.file_size, err);
    if (status == OCHRE_OK)
        status = och_segment_open(
                m->mem, ports->vfs, m->collection->id, m->row.id, &m->segment, err);
    if (status == OCHRE_OK)
        m->segment->is_complete = !m->parts.vector.quick;
    return status;
}

/* --- deaths ----------------------------------------------------------------- */

/* Visit the rows of the new file whose originals died after it was begun. */
static ochre_status
each_death(const struct merging *m,
        ochre_status (*visit)(void *context, uint32_t row, uint64_t position), void *context)
{
    for (uint32_t i = 0; i < m->n_inputs; i++) {
        const struct och_segment *input = m->inputs[i].segment;
        for (uint32_t row = och_segment_next_dead(input, 0); row != OCH_ROW_NONE;
                row = och_segment_next_dead(input, row + 1)) {
            uint64_t position = och_segment_dead(input, row);
            if (position == OCH_ALIVE || position <= m->view->position)
                continue;
            uint32_t new_row = m->map[m->first[i] + row];
            och_assert(new_row != OCH_ROW_NONE);
            ochre_status status = visit(context, new_row, position);
            if (status != OCHRE_OK)
                return status;
        }
    }
    return OCHRE_OK;
}

struct stored {
    uint64_t position;
    struct och_bitset rows;
};

static ochre_status
note_stored(void *context, uint32_t row, uint64_t position)
{
    struct stored *stored = context;
    return position > stored->position ? OCHRE_OK : och_bitset_add(&stored->rows, row);
}

/* The catalog's position may have moved on since the inputs were chosen, because
 * heads were sealed meanwhile; the log is not kept for what died up to it. */
static ochre_status
write_deletes(struct merging *m, uint64_t position, struct ochre_error *err)
{
    struct och_catalog *catalog = m->engine->ports.catalog;
    struct stored stored = {.position = position};
    och_bitset_init(&stored.rows, m->mem);
    ochre_status status = each_death(m, note_stored, &stored);
    size_t n = och_bitset_count(&stored.rows);
    if (status != OCHRE_OK) {
        status = och_fail_memory(err);
    } else if (n > 0) {
        status = catalog->ops->next_file_id(catalog, &m->row.deletes_id, err);
        if (status == OCHRE_OK)
            status = och_deletes_write(m->engine->ports.vfs, m->segment, m->row.deletes_id,
                    position, &stored.rows, err);
        m->row.n_deleted = n;
    }
    och_bitset_clear(&stored.rows);
    return status;
}

static ochre_status
carry_death(void *context, uint32_t row, uint64_t position)
{
    struct och_segment *segment = context;
    ochre_status status = och_segment_reserve_mark(segment, row);
    if (status == OCHRE_OK)
        och_segment_kill(segment, row, position);
    return status;
}

/* --- the list --------------------------------------------------------------- */

/* What the catalog is to list: the view's segments, the new one in place of the
 * first of those it was made of. */
static struct och_segment_row *
make_list(struct merging *m, const struct och_view *view, size_t *n_out)
{
    struct och_segment_row *rows = och_arena_take_array(&m->arena, view->n_segments, sizeof(*rows));
    bool is_first = true;
    size_t n = 0;
    for (uint32_t i = 0; rows != NULL && i < view->n_segments; i++) {
        if (!is_input(m, view->segments[i]))
            rows[n++] = och_maintain_row_of(view->segments[i]);
        else if (is_first && m->segment != NULL)
            rows[n++] = m->row;
        is_first = is_first && !is_input(m, view->segments[i]);
    }
    *n_out = n;
    return rows;
}

/* A transaction that failed may have happened all the same: the catalog knows. */
static ochre_status
settle_listing(struct merging *m, const struct och_segment_row *wanted, size_t n_wanted,
        ochre_status failure)
{
    struct och_catalog *catalog = m->engine->ports.catalog;
    struct och_collection_state state;
    struct och_segment_row *rows = NULL;
    size_t n = 0;
    ochre_status known =
            catalog->ops->state_get(catalog, &m->arena, m->collection->id, &state, &rows, &n, NULL);
    bool listed = known == OCHRE_OK && m->segment == NULL &&
            och_maintain_same_rows(rows, n, wanted, n_wanted);
    for (size_t i = 0; known == OCHRE_OK && m->segment != NULL && i < n; i++)
        listed = listed || rows[i].id == m->row.id;
    if (listed)
        return OCHRE_OK;
    m->is_in_doubt = known != OCHRE_OK && known != OCHRE_NOT_FOUND;
    return failure;
}

/* Have the catalog list the new segment in place of the old ones, with the facts
 * as they are; with the list taken. */
static ochre_status
list_segment(struct merging *m, const struct och_view *view, struct ochre_error *err)
{
    struct och_catalog *catalog = m->engine->ports.catalog;
    struct och_collection_state state;
    struct och_segment_row *rows;
    size_t n;
    ochre_status status = och_collection_usable(m->collection, err);
    if (status == OCHRE_OK)
        status = catalog->ops->state_get(
                catalog, &m->arena, m->collection->id, &state, &rows, &n, err);
    if (status != OCHRE_OK)
        return status;
    /* The facts belong to the segments of this view, unless a seal got half way. */
    if (m->collection->seal_listed || state.position != view->position)
        return och_fail(err, OCHRE_UNAVAILABLE, "a head that is being sealed comes first");
    if (m->segment != NULL)
        status = write_deletes(m, state.position, err);
    if (status != OCHRE_OK)
        return status;
    rows = make_list(m, view, &n);
    if (rows == NULL)
        return och_fail_memory(err);
    status = catalog->ops->state_set(catalog, m->collection->id, &state, rows, n, err);
    return status == OCHRE_OK ? status : settle_listing(m, rows, n, status);
}

static bool
knows_inputs(const struct merging *m)
{
    for (uint32_t i = 0; i < m->n_inputs; i++)
        if (!och_find_knows(m->collection, m->inputs[i].segment))
            return false;
    return true;
}

/* Put the new segment in place of the old ones (the committer). */
static ochre_status
swap_view(struct merging *m, struct ochre_error *err)
{
    struct och_collection *collection = m->collection;
    const struct och_view *old = collection->view;
    if (m->segment != NULL && each_death(m, carry_death, m->segment) != OCHRE_OK)
        return och_fail_memory(err);
    uint32_t n_new = old->n_segments - m->n_inputs + (m->segment != NULL);
    struct och_view *view = och_view_make(old->mem, n_new, old->n_frozen);
    if (view == NULL)
        return och_fail_memory(err);
    view->position = old->position;
    if (m->segment != NULL && knows_inputs(m))
        och_find_note_segment(collection, m->segment);
    bool is_first = m->segment != NULL;
    uint32_t n = 0;
    for (uint32_t i = 0; i < old->n_segments; i++) {
        bool is_old = is_input(m, old->segments[i]);
        if (!is_old)
            view->segments[n++] = och_segment_retain(old->segments[i]);
        else if (is_first)
            view->segments[n++] = och_segment_retain(m->segment);
        is_first = is_first && !is_old;
    }
    och_assert(n == n_new);
    for (uint32_t i = 0; i < old->n_frozen; i++)
        och_frozen_copy(&view->frozen[i], &old->frozen[i]);
    if (old->head != NULL)
        view->head = och_head_retain(old->head);
    och_collection_set_view(collection, view, collection->head_rows);
    och_find_tidy(collection);
    return OCHRE_OK;
}

/* The catalog lists the new segment: let readers use it, and let go of the old. */
static ochre_status
replace(struct merging *m, struct ochre_error *err)
{
    if (m->segment != NULL) {
        m->segment->deletes_id = m->row.deletes_id;
        m->segment->n_dead_stored = (uint32_t) m->row.n_deleted;
    }
    och_maintain_retire_stray(m->collection);
    ochre_status status = swap_view(m, err);
    if (status != OCHRE_OK) {
        /* The view goes on with what it has, which is as good, and which the next
         * seal or merge lists again. */
        m->collection->stray = m->row;
        return status;
    }
    for (uint32_t i = 0; i < m->n_inputs; i++) {
        struct och_segment_row row = och_maintain_row_of(m->inputs[i].segment);
        och_maintain_retire(m->collection, &row);
        och_history_retire(&m->engine->history, m->collection->id, m->inputs[i].segment);
    }
    ochre_status collected = och_maintain_collect(m->engine, NULL);
    (void) collected; /* what is left is tried again next time */
    return OCHRE_OK;
}

/* Catalog, then view; without an executor all of it is the committer's. */
static ochre_status
install(struct merging *m, bool committer, struct ochre_error *err)
{
    struct och_commit *commit = m->engine->commit;
    bool background = m->engine->ports.executor != NULL;
    if (!committer && !background)
        och_commit_enter(commit);
    och_maintain_take_list(m->collection);
    struct och_view *view = och_maintain_view(m->collection);
    ochre_status status = list_segment(m, view, err);
    if (status == OCHRE_OK) {
        if (background)
            och_commit_enter(commit);
        status = replace(m, err);
        if (background)
            och_commit_leave(commit);
    } else if (m->is_in_doubt) {
        m->collection->stray = m->row;
    } else {
        och_maintain_remove_segment(m->collection, &m->row);
    }
    och_view_release(view);
    och_maintain_give_list(m->collection);
    if (!committer && !background)
        och_commit_leave(commit);
    return status;
}

/* --- one merge -------------------------------------------------------------- */

/* Is one of the inputs not what it should be? */
static bool
is_damage(const struct merging *m, ochre_status status)
{
    bool stays = status == OCHRE_CORRUPT ||
            (status == OCHRE_IO && m->collection->n_merge_failures >= READ_FAILURES_MAX);
    return stays && m->seal.bad_source != OCH_SEAL_NO_SOURCE;
}

/* When to try again, and without which segment. */
static void
note_outcome(struct merging *m, ochre_status status)
{
    struct och_collection *collection = m->collection;
    uint64_t not_before = 0;
    if (status == OCHRE_OK) {
        collection->n_merge_failures = 0;
    } else if (is_damage(m, status)) {
        struct och_segment *segment = m->inputs[m->seal.bad_source].segment;
        atomic_store_explicit(&segment->damaged, true, memory_order_relaxed);
    } else {
        uint64_t wait = UINT64_C(1) << (collection->n_merge_failures & 15);
        bool is_short = och_space_is_short(&m->engine->space);
        uint64_t most = is_short && status == OCHRE_FULL ? WAIT_SECONDS_FULL : WAIT_SECONDS_MAX;
        wait = wait < most ? wait : most;
        collection->n_merge_failures += collection->n_merge_failures < 15;
        not_before = och_machine_monotonic_ns(m->engine->ports.machine) + wait * NS_PER_SECOND;
    }
    atomic_store_explicit(&collection->merge_not_before, not_before, memory_order_relaxed);
}

/* While records come, files of less than this are merged again soon: making them a
 * graph would be done over. */
#define GRAPH_ROWS_WHILE_WRITING 131072u

static bool
is_quick(const struct merging *m)
{
    uint64_t n_rows = 0;
    for (uint32_t i = 0; i < m->n_inputs; i++)
        n_rows += m->inputs[i].n_rows;
    return m->mode == OCH_MERGE_TIERS && n_rows < GRAPH_ROWS_WHILE_WRITING;
}

static ochre_status
merge(struct merging *m, bool committer, struct ochre_error *err)
{
    m->seal = och_maintain_seal_of(
            m->collection, m->inputs, m->n_inputs, m->view->position, is_quick(m), &m->parts);
    m->seal.bad_source = OCH_SEAL_NO_SOURCE;
    m->seal.pace = &m->collection->pace;
    och_pace_begin(m->seal.pace);
    ochre_status status = write_segment(m, err);
    if (status == OCHRE_OK)
        status = install(m, committer, err);
    else
        och_maintain_remove_segment(m->collection, &m->row);
    note_outcome(m, status);
    och_segment_release(m->segment);
    och_seal_clear(&m->seal);
    if (m->map != NULL)
        och_mem_release(m->mem, m->map, (m->n_map + m->n_inputs) * sizeof(*m->map));
    return status;
}

ochre_status
och_maintain_merge_once(struct och_collection *collection, enum och_merge_mode mode, bool committer,
        bool *again_out, struct ochre_error *err)
{
    struct och_engine *engine = collection->engine;
    struct merging m = {
            .collection = collection, .engine = engine, .mem = engine->ports.mem, .mode = mode};
    *again_out = false;
    och_arena_init(&m.arena, m.mem);
    ochre_status status = och_collection_usable(collection, err);
    if (status == OCHRE_OK)
        status = pin_inputs(&m, mode, err);
    if (status == OCHRE_OK && m.n_inputs > 0) {
        status = merge(&m, committer, err);
        *again_out = status == OCHRE_OK || is_damage(&m, status);
    }
    och_view_release(m.view);
    och_arena_clear(&m.arena);
    return status;
}
