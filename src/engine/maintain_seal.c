#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "engine/engine.h"
#include "engine/maintain_internal.h"
#include "os/vfs.h"
#include "segment/deletes.h"
#include "segment/head.h"
#include "segment/segment.h"
#include "segment/source.h"

/* --- sealing: files and catalog --------------------------------------------- */

/* What a seal in progress knows. */
struct sealing {
    struct och_collection *collection;
    struct och_engine *engine;
    struct och_view *view; /* counted */
    const struct och_frozen *frozen;
    struct och_source head;          /* the rows, if there is a head: */
    struct och_seal seal;            /* what is made of them */
    struct och_maintain_parts parts; /* of the file */
    struct och_segment *segment;     /* the new one, opened */
    struct och_segment_row *rows;    /* the catalog's new list */
    size_t n_rows, room;
};

/* Store what died in a segment up to the freeze, if that is more than before. */
static ochre_status
write_deletes(struct sealing *s, struct och_segment *segment, struct och_segment_row *row,
        struct ochre_error *err)
{
    struct och_mem *mem = s->engine->ports.mem;
    struct och_catalog *catalog = s->engine->ports.catalog;
    if (!och_segment_has_dead(segment))
        return OCHRE_OK;
    struct och_bitset dead;
    och_bitset_init(&dead, mem);
    ochre_status status = och_segment_dead_rows(segment, s->frozen->facts.position, &dead);
    size_t n_dead = och_bitset_count(&dead);
    if (status != OCHRE_OK)
        status = och_fail_memory(err);
    else if (n_dead > segment->n_dead_stored) {
        status = catalog->ops->next_file_id(catalog, &row->deletes_id, err);
        if (status == OCHRE_OK)
            status = och_deletes_write(s->engine->ports.vfs, segment, row->deletes_id,
                    s->frozen->facts.position, &dead, err);
        row->n_deleted = n_dead;
    }
    och_bitset_clear(&dead);
    return status;
}

static ochre_status
write_segment(struct sealing *s, struct och_segment_row *row, struct ochre_error *err)
{
    struct och_catalog *catalog = s->engine->ports.catalog;
    ochre_status status = catalog->ops->next_file_id(catalog, &row->id, err);
    if (status != OCHRE_OK)
        return status;
    s->seal.id = row->id;
    row->n_rows = s->seal.n_rows;
    return och_seal_write(&s->seal, &row->file_hash, &row->file_size, err);
}

/* Write the files and have the catalog list them, with the facts.  After an error
 * either may have happened. */
static ochre_status
write_and_list(struct sealing *s, struct ochre_error *err)
{
    struct och_mem *mem = s->engine->ports.mem;
    struct och_catalog *catalog = s->engine->ports.catalog;
    s->room = s->view->n_segments + 1u;
    s->rows = och_mem_take_zeroed(mem, s->room * sizeof(*s->rows));
    if (s->rows == NULL)
        return och_fail_memory(err);
    ochre_status status = OCHRE_OK;
    for (uint32_t i = 0; i < s->view->n_segments && status == OCHRE_OK; i++) {
        s->rows[i] = och_maintain_row_of(s->view->segments[i]);
        status = write_deletes(s, s->view->segments[i], &s->rows[i], err);
    }
    s->n_rows = s->view->n_segments;
    if (status == OCHRE_OK && s->seal.n_rows > 0)
        status = write_segment(s, &s->rows[s->n_rows++], err);
    if (status != OCHRE_OK)
        return status;

    struct och_buf keys;
    och_buf_init(&keys, mem, SIZE_MAX / 2);
    och_keys_encode(&keys, s->frozen->facts.keys);
    struct och_collection_state state = {.position = s->frozen->facts.position,
            .lsn = s->frozen->facts.lsn,
            .next_ordinal = s->frozen->facts.next_ordinal,
            .dim = s->frozen->facts.dim,
            .keys = {keys.data, keys.size}};
    status = och_buf_status(&keys) == OCHRE_OK
            ? catalog->ops->state_set(catalog, s->collection->id, &state, s->rows, s->n_rows, err)
            : och_fail_memory(err);
    och_buf_clear(&keys);
    return status;
}

/* Remove the files that a failed try wrote: the next one takes new numbers. */
static void
discard_files(struct sealing *s)
{
    for (size_t i = 0; s->rows != NULL && i < s->room; i++) {
        const struct och_segment_row *row = &s->rows[i];
        if (i >= s->view->n_segments)
            och_maintain_remove_segment(s->collection, row);
        else if (row->deletes_id != s->view->segments[i]->deletes_id)
            och_maintain_remove_deletes(s->collection, row->id, row->deletes_id);
    }
}

/* The catalog lists these rows with the facts of the frozen head: this try's, or those of an
 * earlier one, of which nobody knew whether it had happened. */
static void
take_listing(struct sealing *s, const struct och_segment_row *rows, size_t n)
{
    s->collection->seal_listed = true;
    s->collection->seal_segment = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_old = false;
        for (uint32_t k = 0; k < s->view->n_segments && !is_old; k++)
            is_old = s->view->segments[k]->id == rows[i].id;
        if (!is_old)
            s->collection->seal_segment = rows[i].id;
    }
    if (s->rows != NULL && och_maintain_same_rows(s->rows, s->n_rows, rows, n))
        return;
    discard_files(s);
    och_mem_release(s->engine->ports.mem, s->rows, s->room * sizeof(*s->rows));
    s->rows = NULL; /* what is listed is read again */
}

/* A transaction that failed may have happened all the same: the catalog knows. */
static ochre_status
settle_listing(struct sealing *s, ochre_status failure)
{
    struct och_catalog *catalog = s->engine->ports.catalog;
    struct och_arena arena;
    struct och_collection_state state;
    struct och_segment_row *rows;
    size_t n;
    och_arena_init(&arena, s->engine->ports.mem);
    ochre_status known =
            catalog->ops->state_get(catalog, &arena, s->collection->id, &state, &rows, &n, NULL);
    bool listed = known == OCHRE_OK && state.position == s->frozen->facts.position;
    if (listed)
        take_listing(s, rows, n);
    else if (known == OCHRE_OK || known == OCHRE_NOT_FOUND)
        discard_files(s);
    och_arena_clear(&arena);
    return listed ? OCHRE_OK : failure;
}

/* Write the files and have the catalog list them, or leave neither. */
static ochre_status
list_files(struct sealing *s, struct ochre_error *err)
{
    ochre_status status = write_and_list(s, err);
    if (status != OCHRE_OK)
        return settle_listing(s, status);
    s->collection->seal_listed = true;
    s->collection->seal_segment = s->seal.n_rows > 0 ? s->seal.id : 0;
    return OCHRE_OK;
}

/* --- sealing: the view ------------------------------------------------------ */

/* Deaths since the freeze belong to the new segment's rows now. */
static ochre_status
carry_deaths(struct sealing *s)
{
    for (uint32_t i = 0; s->segment != NULL && i < s->seal.n_rows; i++) {
        uint64_t dead = och_head_dead(s->frozen->head, s->seal.rows[i].row);
        if (dead == OCH_ALIVE || och_segment_dead(s->segment, i) != OCH_ALIVE)
            continue;
        if (och_segment_reserve_mark(s->segment, i) != OCHRE_OK)
            return OCHRE_NO_MEMORY;
        och_segment_kill(s->segment, i, dead);
    }
    return OCHRE_OK;
}

/* What the catalog lists now is what the old segments have on disk. */
static void
adopt_deletes(struct sealing *s, const struct och_segment_row *rows, size_t n)
{
    for (uint32_t i = 0; i < s->view->n_segments; i++) {
        struct och_segment *segment = s->view->segments[i];
        for (size_t r = 0; r < n; r++) {
            if (rows[r].id != segment->id || rows[r].deletes_id == segment->deletes_id)
                continue;
            if (segment->deletes_id != 0) {
                char path[OCH_PATH_SIZE_MAX];
                och_deletes_path(
                        path, sizeof(path), s->collection->id, segment->id, segment->deletes_id);
                och_maintain_add_garbage(s->engine, path);
            }
            segment->deletes_id = rows[r].deletes_id;
            segment->n_dead_stored = (uint32_t) rows[r].n_deleted;
        }
    }
}

/* Put the segment in place of the frozen head (the committer). */
static ochre_status
swap_view(struct sealing *s, struct ochre_error *err)
{
    struct och_collection *collection = s->collection;
    const struct och_view *old = collection->view;
    uint32_t n_new = s->segment != NULL;
    if (carry_deaths(s) != OCHRE_OK)
        return och_fail_memory(err);
    struct och_view *view = och_view_make(old->mem, old->n_segments + n_new, old->n_frozen - 1);
    if (view == NULL)
        return och_fail_memory(err);
    view->position = old->frozen[0].facts.position;
    for (uint32_t i = 0; i < old->n_segments; i++)
        view->segments[i] = och_segment_retain(old->segments[i]);
    if (s->segment != NULL) {
        view->segments[old->n_segments] = och_segment_retain(s->segment);
        och_find_note_segment(collection, s->segment);
    }
    for (uint32_t i = 1; i < old->n_frozen; i++)
        och_frozen_copy(&view->frozen[i - 1], &old->frozen[i]);
    if (old->head != NULL)
        view->head = och_head_retain(old->head);
    /* Where memory is short, it is what the seal is for. */
    if (och_maintain_limit_in_sight(s->engine->ports.mem) == 0 &&
            och_collection_usable(collection, NULL) == OCHRE_OK)
        och_history_keep(&s->engine->history, collection->id, old, view->position, false);
    och_collection_set_view(collection, view, collection->head_rows);
    collection->seal_listed = false;
    collection->seal_segment = 0;
    return OCHRE_OK;
}

/* Open what the catalog lists and let readers use it. */
static ochre_status
finish(struct sealing *s, bool committer, struct ochre_error *err)
{
    struct och_engine *engine = s->engine;
    struct och_mem *mem = engine->ports.mem;
    ochre_status status = OCHRE_OK;
    if (s->collection->seal_segment != 0)
        status = och_segment_open(mem, engine->ports.vfs, s->collection->id,
                s->collection->seal_segment, &s->segment, err);
    if (status != OCHRE_OK)
        return status;
    struct och_arena arena;
    och_arena_init(&arena, mem);
    struct och_collection_state state;
    struct och_segment_row *rows = s->rows;
    size_t n = s->n_rows;
    if (rows == NULL) /* an earlier try had the catalog list them */
        status = engine->ports.catalog->ops->state_get(
                engine->ports.catalog, &arena, s->collection->id, &state, &rows, &n, err);
    if (status == OCHRE_OK) {
        if (!committer)
            och_commit_enter(engine->commit);
        status = swap_view(s, err);
        if (status == OCHRE_OK) {
            adopt_deletes(s, rows, n);
            och_maintain_retire_stray(s->collection);
            ochre_status collected = och_maintain_collect(engine, NULL);
            (void) collected; /* what is left is tried again next time */
        }
        if (!committer)
            och_commit_leave(engine->commit);
    }
    och_arena_clear(&arena);
    return status;
}

/* Seal the oldest frozen head. */
static ochre_status
seal_oldest(struct sealing *s, bool committer, struct ochre_error *err)
{
    s->frozen = &s->view->frozen[0];
    ochre_status status = OCHRE_OK;
    if (s->frozen->head != NULL) {
        s->head = (struct och_source){.head = s->frozen->head,
                .n_rows = s->frozen->head->n_rows,
                .position = s->frozen->facts.position};
        s->seal = och_maintain_seal_of(
                s->collection, &s->head, 1, s->frozen->facts.position, true, &s->parts);
        status = och_seal_rows(&s->seal, err);
    }
    if (status == OCHRE_OK && !s->collection->seal_listed)
        status = list_files(s, err);
    if (status == OCHRE_OK)
        status = finish(s, committer, err);
    och_seal_clear(&s->seal);
    och_mem_release(s->engine->ports.mem, s->rows, s->room * sizeof(*s->rows));
    och_segment_release(s->segment);
    return status;
}

/* On a full disk a head is sealed only if something is left for deletions. */
static ochre_status
check_space(struct och_engine *engine, const struct och_head *head, struct ochre_error *err)
{
    bool has_rows = head != NULL && !och_head_is_dead(head);
    return och_space_spare(&engine->space, has_rows ? head->bytes + OCH_SEGMENT_OVERHEAD : 0, err);
}

/* Seal one frozen head; *more_out says whether there was one.  The list is taken. */
static ochre_status
seal_listed(
        struct och_collection *collection, bool committer, bool *more_out, struct ochre_error *err)
{
    struct och_view *view = och_maintain_view(collection);
    ochre_status status = OCHRE_OK;
    *more_out = view->n_frozen > 0;
    if (*more_out)
        status = och_collection_usable(collection, err);
    if (*more_out && status == OCHRE_OK)
        status = check_space(collection->engine, view->frozen[0].head, err);
    if (*more_out && status == OCHRE_OK) {
        struct sealing s = {.collection = collection, .engine = collection->engine, .view = view};
        status = seal_oldest(&s, committer, err);
    }
    och_view_release(view);
    return status;
}

static ochre_status
seal_one(struct och_collection *collection, bool committer, bool *more_out, struct ochre_error *err)
{
    och_maintain_take_list(collection);
    ochre_status status = seal_listed(collection, committer, more_out, err);
    och_maintain_give_list(collection);
    return status;
}

ochre_status
och_maintain_seal_taken(struct och_collection *collection, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    bool more = true;
    while (more && status == OCHRE_OK)
        status = seal_listed(collection, true, &more, err);
    return status;
}

/* The catalog may not have it: then it was dropped, by a transaction that seemed to have failed. */
static void
forget_if_gone(struct och_collection *collection, bool committer)
{
    struct och_engine *engine = collection->engine;
    struct och_catalog *catalog = engine->ports.catalog;
    struct och_arena arena;
    struct och_collection_state state;
    struct och_segment_row *rows;
    size_t n;
    if (och_collection_usable(collection, NULL) == OCHRE_NOT_FOUND)
        return;
    och_arena_init(&arena, engine->ports.mem);
    if (!committer)
        och_commit_enter(engine->commit);
    if (catalog->ops->state_get(catalog, &arena, collection->id, &state, &rows, &n, NULL) ==
            OCHRE_NOT_FOUND) {
        och_engine_forget(engine, collection->id);
        och_maintain_add_garbage_collection(engine, collection->id);
    }
    if (!committer)
        och_commit_leave(engine->commit);
    och_arena_clear(&arena);
}

ochre_status
och_maintain_seal(struct och_collection *collection, bool committer, struct ochre_error *err)
{
    struct och_urgency *urgency = &collection->engine->urgency;
    ochre_status status = OCHRE_OK;
    bool more = true;
    och_urgency_serve(urgency);
    while (more) {
        status = seal_one(collection, committer, &more, err);
        /* A sealed head gives its part of the log back, and its deaths may free segments. */
        if (status == OCHRE_FULL && och_space_give(&collection->engine->space))
            status = seal_one(collection, committer, &more, err);
        atomic_store_explicit(&collection->seal_failure, status, memory_order_relaxed);
        if (status != OCHRE_OK)
            break;
    }
    och_urgency_served(urgency);
    if (status == OCHRE_NOT_FOUND)
        forget_if_gone(collection, committer);
    return status;
}
