#include "engine/apply.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "distance/distance.h"
#include "engine/engine.h"
#include "engine/write.h"
#include "index/meta/fields.h"
#include "segment/head.h"
#include "segment/segment.h"

/* For so many rows to come, memory is asked for what finding them looks at: every
 * segment has a table of ids, and each look into one would wait for memory. */
#define ROWS_AHEAD 8u

/* Staging one write. */
struct staging {
    struct och_collection *collection;
    struct och_undo *undo;
    struct och_buf fields; /* merged metadata of the row at hand */
    float *vector;         /* an aligned copy of the row's vector: [dim] */
    uint64_t position;
    struct ochre_error *err;
};

/* --- undo ------------------------------------------------------------------- */

/* Room to remember one more change, taken before the change is made. */
static ochre_status
reserve_change(struct och_undo *undo, struct ochre_error *err)
{
    if (undo->n < undo->room)
        return OCHRE_OK;
    size_t room = undo->room == 0 ? 64 : undo->room * 2;
    struct och_change *changes = och_mem_resize(
            undo->mem, undo->changes, undo->room * sizeof(*changes), room * sizeof(*changes));
    if (changes == NULL)
        return och_fail_memory(err);
    undo->changes = changes;
    undo->room = room;
    return OCHRE_OK;
}

void
och_apply_clear(struct och_undo *undo)
{
    och_mem_release(undo->mem, undo->changes, undo->room * sizeof(*undo->changes));
    och_facts_clear(&undo->facts);
    undo->changes = NULL;
    undo->n = 0;
    undo->room = 0;
}

static void
undo_change(const struct och_change *change)
{
    if (change->killed.head != NULL)
        och_head_undo_kill(change->killed.head, change->killed.row);
    else if (change->killed.segment != NULL)
        och_segment_undo_kill(change->killed.segment, change->killed.row);
    if (change->grew != NULL)
        och_head_undo_append(change->grew, &change->texts);
}

void
och_apply_undo(struct och_undo *undo)
{
    struct och_collection *collection = undo->collection;
    /* Readers look ids up in the head's map under the lock. */
    och_mutex_lock(&collection->lock);
    for (; undo->n > 0; undo->n--)
        undo_change(&undo->changes[undo->n - 1]);
    och_mutex_unlock(&collection->lock);
    och_facts_clear(&collection->staged);
    collection->staged = och_facts_copy(&undo->facts);
    collection->n_sealed_kills = undo->n_sealed_kills;
}

/* --- rows ------------------------------------------------------------------- */

/* The head, begun now if there is none.  One that was begun for a first write
 * that then failed has no rows, and perhaps another dimension: it makes way. */
static ochre_status
have_head(struct och_collection *collection, struct ochre_error *err)
{
    const struct och_view *old = collection->view;
    if (old->head != NULL && old->head->dim == collection->staged.dim)
        return OCHRE_OK;
    och_assert(old->head == NULL || old->head->n_rows == 0);
    struct och_mem *mem = collection->engine->ports.mem;
    struct och_view *view = och_view_make(mem, old->n_segments, old->n_frozen);
    if (view == NULL)
        return och_fail_memory(err);
    view->position = old->position;
    for (uint32_t i = 0; i < old->n_segments; i++)
        view->segments[i] = och_segment_retain(old->segments[i]);
    for (uint32_t i = 0; i < old->n_frozen; i++)
        och_frozen_copy(&view->frozen[i], &old->frozen[i]);
    if (och_head_make(mem, collection->staged.dim, &view->head) != OCHRE_OK) {
        och_view_release(view);
        return och_fail_memory(err);
    }
    och_collection_set_view(collection, view, 0);
    return OCHRE_OK;
}

static ochre_status
append_row(struct staging *s, uint64_t ordinal, const struct och_row_texts *texts)
{
    struct och_collection *collection = s->collection;
    ochre_status status = have_head(collection, s->err);
    if (status != OCHRE_OK)
        return status;
    struct och_head_insert insert = {
            .ordinal = ordinal, .position = s->position, .vector = s->vector, .texts = *texts};
    if (collection->space == OCHRE_SPACE_COSINE)
        insert.norm = och_vector_norm(
                collection->engine->ports.kernels, s->vector, collection->staged.dim);
    struct och_head *head = collection->view->head;
    struct och_arena_mark mark = och_arena_mark(&head->texts);
    och_mutex_lock(&collection->lock);
    status = och_head_append(head, &insert);
    och_mutex_unlock(&collection->lock);
    if (status != OCHRE_OK)
        return och_fail_memory(s->err);
    och_find_note(collection, texts->id);
    s->undo->changes[s->undo->n++] = (struct och_change){.grew = head, .texts = mark};
    return OCHRE_OK;
}

/* Make sure that killing the row cannot fail. */
static ochre_status
prepare_kill(struct staging *s, const struct och_place *place)
{
    ochre_status status = reserve_change(s->undo, s->err);
    if (status == OCHRE_OK && place->segment != NULL &&
            och_segment_reserve_mark(place->segment, place->row) != OCHRE_OK)
        status = och_fail_memory(s->err);
    return status;
}

static void
kill_row(struct staging *s, const struct och_place *place)
{
    if (place->head != NULL) {
        och_head_kill(place->head, place->row, s->position);
    } else {
        och_segment_kill(place->segment, place->row, s->position);
        s->collection->n_sealed_kills++;
    }
    s->undo->changes[s->undo->n++] = (struct och_change){.killed = *place};
}

/* Metadata with an update merged over it, absent when nothing is left.  What
 * comes out is held to the limits of what may go in. */
static ochre_status
merge_fields(struct staging *s, struct ochre_bytes old, struct ochre_bytes update,
        struct ochre_bytes *merged_out)
{
    och_buf_reset(&s->fields);
    och_fields_merge(&s->fields, old, update);
    if (s->fields.full)
        return och_fail(s->err, OCHRE_TOO_LARGE,
                "a record's metadata would have more than %u bytes", OCH_METADATA_SIZE_MAX);
    if (och_buf_status(&s->fields) != OCHRE_OK)
        return och_fail_memory(s->err);
    struct ochre_bytes merged = {s->fields.data, s->fields.size};
    if (och_fields_count(merged) > OCH_KEYS_PER_RECORD_MAX)
        return och_fail(s->err, OCHRE_INVALID,
                "a record's metadata would have %u keys; the limit is %u",
                (unsigned) och_fields_count(merged), OCH_KEYS_PER_RECORD_MAX);
    *merged_out = och_fields_count(merged) == 0 ? (struct ochre_bytes){NULL, 0} : merged;
    return OCHRE_OK;
}

static ochre_status
insert_row(struct staging *s, const struct och_write_row *row)
{
    ochre_status status = reserve_change(s->undo, s->err);
    if (status != OCHRE_OK)
        return status;
    memcpy(s->vector, row->vector, s->collection->staged.dim * sizeof(float));
    struct och_row_texts texts = {row->id, row->document, row->uri, row->fields};
    if (row->fields.data != NULL) {
        /* An upsert may carry nulls, which an insert drops. */
        status = merge_fields(s, (struct ochre_bytes){NULL, 0}, row->fields, &texts.fields);
        if (status != OCHRE_OK)
            return status;
    }
    status = append_row(s, s->collection->staged.next_ordinal, &texts);
    if (status != OCHRE_OK)
        return status;
    s->collection->staged.next_ordinal++;
    s->collection->staged.n_records++;
    if (och_keys_add(&s->collection->staged.keys, row->fields) != OCHRE_OK)
        return och_fail_memory(s->err);
    return OCHRE_OK;
}

/* The record as it is, wherever it is. */
static ochre_status
read_old(struct staging *s, const struct och_place *place, struct och_row_texts *texts_out,
        const float **vector_out, uint64_t *ordinal_out)
{
    if (place->head != NULL) {
        float norm;
        *texts_out = *och_head_texts(place->head, place->row);
        *vector_out = och_head_vector(place->head, place->row, &norm);
        *ordinal_out = och_head_ordinal(place->head, place->row);
        return OCHRE_OK;
    }
    struct och_segment *segment = place->segment;
    unsigned all = OCH_COLUMN_VECTORS | OCH_COLUMN_IDS | OCH_COLUMN_DOCUMENTS | OCH_COLUMN_URIS |
            OCH_COLUMN_FIELDS | OCH_COLUMN_ORDINALS;
    ochre_status status = och_segment_load_rows(segment, place->row, 1, all, s->err);
    if (status != OCHRE_OK)
        return status;
    texts_out->id = och_segment_id(segment, place->row);
    texts_out->document = och_segment_document(segment, place->row);
    texts_out->uri = och_segment_uri(segment, place->row);
    texts_out->fields = och_segment_fields(segment, place->row);
    *vector_out = och_segment_vectors(segment) + (size_t) place->row * segment->dim;
    *ordinal_out = och_segment_ordinals(segment)[place->row];
    return OCHRE_OK;
}

/* A complete new version in the head, and the old one dead. */
static ochre_status
update_row(struct staging *s, const struct och_place *place, const struct och_write_row *row)
{
    struct och_row_texts texts;
    const float *old_vector = NULL;
    uint64_t ordinal = 0;
    ochre_status status = prepare_kill(s, place);
    if (status == OCHRE_OK)
        status = read_old(s, place, &texts, &old_vector, &ordinal);
    if (status != OCHRE_OK)
        return status;
    size_t vector_size = s->collection->staged.dim * sizeof(float);
    if (row->vector != NULL)
        memcpy(s->vector, row->vector, vector_size);
    else
        memcpy(s->vector, old_vector, vector_size);
    if (row->document.data != NULL)
        texts.document = row->document;
    if (row->uri.data != NULL)
        texts.uri = row->uri;
    if (row->fields.data != NULL) {
        status = merge_fields(s, texts.fields, row->fields, &texts.fields);
        if (status != OCHRE_OK)
            return status;
    }
    status = append_row(s, ordinal, &texts);
    if (status != OCHRE_OK)
        return status;
    status = prepare_kill(s, place);
    if (status != OCHRE_OK)
        return status;
    kill_row(s, place);
    if (och_keys_add(&s->collection->staged.keys, row->fields) != OCHRE_OK)
        return och_fail_memory(s->err);
    return OCHRE_OK;
}

static ochre_status
delete_row(struct staging *s, const struct och_place *place)
{
    ochre_status status = prepare_kill(s, place);
    if (status != OCHRE_OK)
        return status;
    kill_row(s, place);
    s->collection->staged.n_records--;
    return OCHRE_OK;
}

static ochre_status
stage_row(struct staging *s, enum och_write_op op, const struct och_write_row *row)
{
    struct och_place place;
    ochre_status status = och_find(s->collection, row->id, &place, s->err);
    if (status != OCHRE_OK)
        return status;
    bool exists = place.row != OCH_ROW_NONE;
    switch (op) {
    case OCH_WRITE_ADD:
        return exists ? OCHRE_OK : insert_row(s, row);
    case OCH_WRITE_UPDATE:
        return exists ? update_row(s, &place, row) : OCHRE_OK;
    case OCH_WRITE_UPSERT:
        return exists ? update_row(s, &place, row) : insert_row(s, row);
    case OCH_WRITE_DELETE:
        return exists ? delete_row(s, &place) : OCHRE_OK;
    }
    return OCHRE_OK;
}

/* --- a write ---------------------------------------------------------------- */

static ochre_status
check_dim(struct och_collection *collection, const struct och_write *write, struct ochre_error *err)
{
    bool needs = write->op == OCH_WRITE_ADD || write->op == OCH_WRITE_UPSERT;
    if (needs && write->n_vectors != write->n)
        return och_fail(err, OCHRE_CORRUPT, "a record to insert has no vector");
    if (write->n_vectors == 0)
        return OCHRE_OK;
    if (collection->staged.dim == 0)
        collection->staged.dim = write->dim;
    if (collection->staged.dim != write->dim)
        return och_fail(err, OCHRE_INVALID,
                "Collection expecting embedding with dimension of %u, got %u",
                (unsigned) collection->staged.dim, (unsigned) write->dim);
    return OCHRE_OK;
}

static void
foresee(const struct staging *s, struct och_write *ahead)
{
    struct och_write_row row;
    if (och_write_next(ahead, &row))
        och_find_prefetch(s->collection, row.id);
}

static ochre_status
stage_rows(struct staging *s, struct och_write *write)
{
    ochre_status status = check_dim(s->collection, write, s->err);
    struct och_write ahead = *write;
    och_find_begin(s->collection);
    for (unsigned i = 0; i < ROWS_AHEAD; i++)
        foresee(s, &ahead);
    struct och_write_row row;
    while (status == OCHRE_OK && och_write_next(write, &row)) {
        foresee(s, &ahead);
        status = stage_row(s, write->op, &row);
    }
    return status;
}

ochre_status
och_apply_stage(struct och_collection *collection, struct ochre_bytes payload,
        struct och_undo *undo_out, struct ochre_error *err)
{
    struct och_mem *mem = collection->engine->ports.mem;
    *undo_out = (struct och_undo){.mem = mem,
            .facts = och_facts_copy(&collection->staged),
            .collection = collection,
            .n_sealed_kills = collection->n_sealed_kills};
    struct och_write write;
    if (!och_write_decode(&write, payload))
        return och_fail(err, OCHRE_CORRUPT, "the record is not a write request");

    struct staging s = {.collection = collection,
            .undo = undo_out,
            .position = collection->staged.position + 1,
            .err = err};
    uint32_t dim = collection->staged.dim != 0 ? collection->staged.dim : write.dim;
    size_t vector_size = (dim == 0 ? 1 : dim) * sizeof(float);
    s.vector = och_mem_take_aligned(mem, 64, vector_size);
    och_buf_init(&s.fields, mem, OCH_METADATA_SIZE_MAX);
    ochre_status status = s.vector == NULL ? och_fail_memory(err) : stage_rows(&s, &write);
    if (status == OCHRE_OK)
        collection->staged.position = s.position;
    else
        och_apply_undo(undo_out);
    och_buf_clear(&s.fields);
    och_mem_release(mem, s.vector, vector_size);
    return status;
}

void
och_apply_publish(struct och_collection *collection, uint64_t lsn)
{
    collection->staged.lsn = lsn;
    if (collection->unsealed_lsn == 0)
        collection->unsealed_lsn = lsn;
    struct och_facts facts = och_facts_copy(&collection->staged);
    och_mutex_lock(&collection->lock);
    struct och_facts old = collection->published;
    collection->published = facts;
    collection->head_rows = collection->view->head == NULL ? 0 : collection->view->head->n_rows;
    och_mutex_unlock(&collection->lock);
    och_facts_clear(&old);
}
