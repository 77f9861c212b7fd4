#include "engine/maintain.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "engine/engine.h"
#include "engine/write.h"
#include "os/vfs.h"
#include "segment/columns_part.h"
#include "segment/deletes.h"
#include "segment/head.h"
#include "segment/seal.h"
#include "segment/segment.h"
#include "segment/source.h"
#include "storage/directory.h"

/* So many heads of a collection may wait for being sealed before writers wait. */
#define FROZEN_MAX 4u
#define ADMIT_WAIT_MS 100u
#define ADMIT_WAITS_MAX 300u

/* --- background work -------------------------------------------------------- */

/* Work handed to the executor, which frees itself. */
struct work {
    struct och_task task; /* first: the task's pointer is ours */
    struct och_engine *engine;
    struct och_collection *collection; /* counted; NULL: prepare the log */
};

static void
run_work(struct och_task *task)
{
    struct work *work = (struct work *) task;
    struct och_engine *engine = work->engine;
    if (work->collection != NULL) {
        /* A failure is remembered in the collection and tried again. */
        ochre_status status = och_maintain_seal(work->collection, false, NULL);
        (void) status;
        och_collection_release(work->collection);
    } else {
        /* Without a prepared file the next append makes one itself. */
        ochre_status status = engine->log->ops->prepare(engine->log, NULL);
        (void) status;
    }
    och_mem_release(engine->ports.mem, work, sizeof(*work));
    och_mutex_lock(&engine->work_lock);
    engine->n_tasks--;
    och_cond_broadcast(&engine->work_done);
    och_mutex_unlock(&engine->work_lock);
}

/* Hand work over; false when that is not possible now. */
static bool
submit(struct och_engine *engine, struct och_collection *collection)
{
    struct work *work = och_mem_take(engine->ports.mem, sizeof(*work));
    if (work == NULL)
        return false;
    *work = (struct work){.task.run = run_work, .engine = engine};
    if (collection != NULL)
        work->collection = och_collection_retain(collection);
    och_mutex_lock(&engine->work_lock);
    engine->n_tasks++;
    och_mutex_unlock(&engine->work_lock);
    och_executor_submit_background(engine->ports.executor, &work->task);
    return true;
}

void
och_maintain_drain(struct och_engine *engine)
{
    och_mutex_lock(&engine->work_lock);
    while (engine->n_tasks > 0)
        och_cond_wait(&engine->work_done, &engine->work_lock);
    och_mutex_unlock(&engine->work_lock);
}

/* --- freezing --------------------------------------------------------------- */

ochre_status
och_maintain_freeze(struct och_collection *collection, struct ochre_error *err)
{
    const struct och_view *old = collection->view;
    if (collection->unsealed_lsn == 0)
        return OCHRE_OK;
    struct och_view *view = och_view_make(old->mem, old->n_segments, old->n_frozen + 1);
    if (view == NULL)
        return och_fail_memory(err);
    for (uint32_t i = 0; i < old->n_segments; i++)
        view->segments[i] = och_segment_retain(old->segments[i]);
    for (uint32_t i = 0; i < old->n_frozen; i++)
        och_frozen_copy(&view->frozen[i], &old->frozen[i]);
    view->frozen[old->n_frozen] =
            (struct och_frozen){.head = old->head == NULL ? NULL : och_head_retain(old->head),
                    .facts = och_facts_copy(&collection->staged),
                    .first_lsn = collection->unsealed_lsn};
    collection->unsealed_lsn = 0;
    collection->n_sealed_kills = 0;
    och_collection_set_view(collection, view, 0);
    return OCHRE_OK;
}

/* Have the frozen heads sealed, unless someone is at it. */
static void
queue_seal(struct och_collection *collection)
{
    if (collection->seal_queued || collection->view->n_frozen == 0)
        return;
    if (och_collection_usable(collection, NULL) != OCHRE_OK)
        return;
    if (collection->engine->ports.executor == NULL) {
        ochre_status status = och_maintain_seal(collection, true, NULL);
        (void) status; /* remembered in the collection, tried again */
        return;
    }
    if (collection->engine->n_sealing_all == 0) /* otherwise it is sealed there */
        collection->seal_queued = submit(collection->engine, collection);
}

static void
freeze_if_full(struct och_collection *collection)
{
    const struct och_engine_options *options = &collection->engine->options;
    const struct och_head *head = collection->view->head;
    bool full = head != NULL &&
            (head->n_rows >= options->head_rows_max || head->bytes >= options->head_bytes_max);
    full = full || collection->n_sealed_kills >= options->head_rows_max;
    if (!full)
        return;
    ochre_status status = och_maintain_freeze(collection, NULL);
    (void) status; /* no memory for a view now: the next write tries again */
}

void
och_maintain_recovered(struct och_collection *collection)
{
    freeze_if_full(collection);
}

void
och_maintain_collection(struct och_collection *collection)
{
    freeze_if_full(collection);
    queue_seal(collection);
}

/* --- what the log must keep ------------------------------------------------- */

/* The oldest log record the collection still needs; UINT64_MAX: none. */
static uint64_t
oldest_needed(const struct och_collection *collection)
{
    if (collection->view->n_frozen > 0)
        return collection->view->frozen[0].first_lsn;
    return collection->unsealed_lsn == 0 ? UINT64_MAX : collection->unsealed_lsn;
}

/* The collection that needs the oldest record, retained, or NULL; with `usable`
 * among those that work, because the others cannot be sealed. */
static struct och_collection *
oldest_collection(struct och_engine *engine, bool usable, uint64_t *lsn_out)
{
    struct och_collection *oldest = NULL;
    *lsn_out = UINT64_MAX;
    och_mutex_lock(&engine->table_lock);
    for (size_t i = 0; i < OCH_ENGINE_TABLE_SIZE; i++) {
        for (struct och_collection *c = engine->table[i]; c != NULL; c = c->next_in_table) {
            uint64_t lsn = oldest_needed(c);
            if (lsn >= *lsn_out || (usable && och_collection_usable(c, NULL) != OCHRE_OK))
                continue;
            *lsn_out = lsn;
            oldest = c;
        }
    }
    if (oldest != NULL)
        (void) och_collection_retain(oldest);
    och_mutex_unlock(&engine->table_lock);
    return oldest;
}

void
och_maintain_log(struct och_engine *engine)
{
    struct och_record_log *log = engine->log;
    if (log->ops->wants_prepare(log)) {
        if (engine->ports.executor != NULL) {
            (void) submit(engine, NULL);
        } else {
            ochre_status status = log->ops->prepare(log, NULL);
            (void) status; /* the next append makes a file itself */
        }
    }
    if (log->ops->size(log) <= engine->options.log_size_seal)
        return;
    uint64_t lsn;
    struct och_collection *oldest = oldest_collection(engine, true, &lsn);
    if (oldest != NULL) {
        if (oldest->view->n_frozen > 0 || och_maintain_freeze(oldest, NULL) == OCHRE_OK)
            queue_seal(oldest);
        och_collection_release(oldest);
    }
}

/* --- what memory allows ----------------------------------------------------- */

/* The limit of an account that has less than a quarter of it left; 0: none has. */
static size_t
limit_in_sight(const struct och_mem *mem)
{
    for (; mem != NULL; mem = mem->parent)
        if (och_mem_used(mem) > mem->limit - mem->limit / 4)
            return mem->limit;
    return 0;
}

/* The collection with the largest head of at least `least` bytes, or with heads
 * that wait already; retained, or NULL. */
static struct och_collection *
largest_collection(struct och_engine *engine, size_t least)
{
    struct och_collection *largest = NULL;
    och_mutex_lock(&engine->table_lock);
    for (size_t i = 0; i < OCH_ENGINE_TABLE_SIZE; i++) {
        for (struct och_collection *c = engine->table[i]; c != NULL; c = c->next_in_table) {
            const struct och_view *view = c->view;
            size_t bytes = view->head == NULL ? 0 : view->head->bytes;
            if (view->n_frozen > 0)
                bytes = SIZE_MAX;
            if (bytes < least || och_collection_usable(c, NULL) != OCHRE_OK)
                continue;
            least = bytes;
            largest = c;
        }
    }
    if (largest != NULL)
        (void) och_collection_retain(largest);
    och_mutex_unlock(&engine->table_lock);
    return largest;
}

void
och_maintain_memory(struct och_engine *engine)
{
    size_t limit = limit_in_sight(engine->ports.mem);
    if (limit == 0)
        return;
    /* A head that is small beside the limit is not what fills it. */
    struct och_collection *largest = largest_collection(engine, limit / 64 + 1);
    if (largest == NULL)
        return;
    if (largest->view->n_frozen > 0 || och_maintain_freeze(largest, NULL) == OCHRE_OK)
        queue_seal(largest);
    och_collection_release(largest);
}

/* --- admission -------------------------------------------------------------- */

static uint32_t
count_frozen(struct och_collection *collection)
{
    och_mutex_lock(&collection->lock);
    uint32_t n = collection->view->n_frozen;
    och_mutex_unlock(&collection->lock);
    return n;
}

/* May heads that wait be left to wait?  A few, while there is memory. */
static bool
is_admitted(struct och_collection *collection)
{
    uint32_t n_frozen = count_frozen(collection);
    return n_frozen == 0 ||
            (n_frozen < FROZEN_MAX && limit_in_sight(collection->engine->ports.mem) == 0);
}

ochre_status
och_maintain_admit(struct och_collection *collection, struct ochre_error *err)
{
    struct och_engine *engine = collection->engine;
    for (unsigned n_waits = 0; !is_admitted(collection);) {
        bool failed = atomic_load_explicit(&collection->seal_failed, memory_order_relaxed);
        if (engine->ports.executor == NULL || failed || n_waits == ADMIT_WAITS_MAX)
            break;
        och_mutex_lock(&engine->work_lock);
        /* Other collections' work wakes us too: only time that passed counts. */
        n_waits += !och_cond_wait_for(&engine->work_done, &engine->work_lock, ADMIT_WAIT_MS);
        och_mutex_unlock(&engine->work_lock);
    }
    /* Where memory is the reason, the write itself finds out whether it has enough. */
    if (count_frozen(collection) < FROZEN_MAX)
        return OCHRE_OK;
    /* Give sealing another try, for the writer who comes next. */
    och_commit_enter(engine->commit);
    queue_seal(collection);
    och_commit_leave(engine->commit);
    if (count_frozen(collection) < FROZEN_MAX)
        return OCHRE_OK;
    return och_fail(err, OCHRE_UNAVAILABLE,
            "sealed files cannot be written as fast as records come; try again later");
}

/* --- sealing: files and catalog --------------------------------------------- */

/* What a seal in progress knows. */
struct sealing {
    struct och_collection *collection;
    struct och_engine *engine;
    struct och_view *view; /* counted */
    const struct och_frozen *frozen;
    struct och_source head;       /* the rows, if there is a head: */
    struct och_seal seal;         /* what is made of them */
    struct och_segment *segment;  /* the new one, opened */
    struct och_segment_row *rows; /* the catalog's new list */
    size_t n_rows, room;
};

static struct och_segment_row
row_of(const struct och_segment *segment)
{
    return (struct och_segment_row){.id = segment->id,
            .deletes_id = segment->deletes_id,
            .n_rows = segment->n_rows,
            .n_deleted = segment->n_dead_stored,
            .file_size = segment->file_size,
            .file_hash = segment->footer_hash};
}

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
        s->rows[i] = row_of(s->view->segments[i]);
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

static void
remove_file(struct sealing *s, const char *path)
{
    ochre_status removed = och_vfs_remove(s->engine->ports.vfs, path, NULL);
    (void) removed; /* what stays is found at the next open */
}

/* Remove the files that a failed try wrote: the next one takes new numbers. */
static void
discard_files(struct sealing *s)
{
    char path[OCH_PATH_SIZE_MAX];
    for (size_t i = 0; s->rows != NULL && i < s->room; i++) {
        const struct och_segment_row *row = &s->rows[i];
        if (i < s->view->n_segments) {
            struct och_segment *segment = s->view->segments[i];
            if (row->deletes_id == 0 || row->deletes_id == segment->deletes_id)
                continue;
            och_deletes_path(path, sizeof(path), segment, row->deletes_id);
        } else if (row->id != 0) {
            och_segment_path(path, sizeof(path), s->collection->id, row->id);
        } else {
            continue;
        }
        remove_file(s, path);
    }
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
    och_arena_clear(&arena);
    if (listed)
        return OCHRE_OK;
    if (known == OCHRE_OK || known == OCHRE_NOT_FOUND)
        discard_files(s);
    return failure;
}

/* Write the files and have the catalog list them, or leave neither. */
static ochre_status
list_files(struct sealing *s, struct ochre_error *err)
{
    ochre_status status = write_and_list(s, err);
    if (status != OCHRE_OK)
        status = settle_listing(s, status);
    if (status == OCHRE_OK) {
        s->collection->seal_listed = true;
        s->collection->seal_segment = s->seal.n_rows > 0 ? s->seal.id : 0;
    }
    return status;
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
                och_deletes_path(path, sizeof(path), segment, segment->deletes_id);
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
    for (uint32_t i = 0; i < old->n_segments; i++)
        view->segments[i] = och_segment_retain(old->segments[i]);
    if (s->segment != NULL)
        view->segments[old->n_segments] = och_segment_retain(s->segment);
    for (uint32_t i = 1; i < old->n_frozen; i++)
        och_frozen_copy(&view->frozen[i - 1], &old->frozen[i]);
    if (old->head != NULL)
        view->head = och_head_retain(old->head);
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
        s->seal = (struct och_seal){.mem = s->engine->ports.mem,
                .vfs = s->engine->ports.vfs,
                .collection = s->collection->id,
                .position = s->frozen->facts.position,
                .space = s->collection->space,
                .dim = s->frozen->head->dim,
                .sources = &s->head,
                .n_sources = 1,
                .parts = &och_columns_part,
                .n_parts = 1};
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

/* Seal one frozen head; *more_out says whether there was one. */
static ochre_status
seal_one(struct och_collection *collection, bool committer, bool *more_out, struct ochre_error *err)
{
    och_mutex_lock(&collection->lock);
    struct och_view *view = och_view_retain(collection->view);
    och_mutex_unlock(&collection->lock);
    ochre_status status = OCHRE_OK;
    *more_out = view->n_frozen > 0;
    if (*more_out)
        status = och_collection_usable(collection, err);
    if (*more_out && status == OCHRE_OK) {
        struct sealing s = {.collection = collection, .engine = collection->engine, .view = view};
        status = seal_oldest(&s, committer, err);
    }
    och_view_release(view);
    return status;
}

ochre_status
och_maintain_seal(struct och_collection *collection, bool committer, struct ochre_error *err)
{
    struct och_engine *engine = collection->engine;
    ochre_status status = OCHRE_OK;
    bool more = true;
    while (more) {
        status = seal_one(collection, committer, &more, err);
        atomic_store_explicit(&collection->seal_failed, status != OCHRE_OK, memory_order_relaxed);
        if (status != OCHRE_OK)
            break;
    }
    if (committer)
        return status;
    och_commit_enter(engine->commit);
    collection->seal_queued = false;
    /* A head frozen between the last look and now would wait for a write. */
    if (status == OCHRE_OK)
        queue_seal(collection);
    och_commit_leave(engine->commit);
    return status;
}

/* --- garbage ---------------------------------------------------------------- */

struct och_garbage {
    struct och_garbage *next;
    bool is_dir;
    char path[OCH_PATH_SIZE_MAX];
};

static void
add_garbage(struct och_engine *engine, const char *path, bool is_dir)
{
    struct och_garbage *garbage = och_mem_take(engine->ports.mem, sizeof(*garbage));
    if (garbage == NULL)
        return; /* it is found at the next open */
    garbage->is_dir = is_dir;
    (void) snprintf(garbage->path, sizeof(garbage->path), "%s", path);
    garbage->next = engine->garbage;
    engine->garbage = garbage;
}

void
och_maintain_add_garbage(struct och_engine *engine, const char *path)
{
    add_garbage(engine, path, false);
}

static void
collection_dir(char *path, size_t size, struct och_uuid id)
{
    char text[OCH_UUID_TEXT_SIZE + 1];
    och_uuid_put(id, text);
    (void) snprintf(path, size, OCH_DIR_SEGMENTS "/%s", text);
}

void
och_maintain_add_garbage_collection(struct och_engine *engine, struct och_uuid id)
{
    char path[OCH_PATH_SIZE_MAX];
    collection_dir(path, sizeof(path), id);
    add_garbage(engine, path, true);
}

void
och_maintain_clear_garbage(struct och_engine *engine)
{
    while (engine->garbage != NULL) {
        struct och_garbage *next = engine->garbage->next;
        och_mem_release(engine->ports.mem, engine->garbage, sizeof(*engine->garbage));
        engine->garbage = next;
    }
}

/* Before a file goes on the strength of the catalog, the log knows which
 * catalog that was: an older one that turns up later is then recognised. */
static ochre_status
note_generation(struct och_engine *engine, struct ochre_error *err)
{
    struct och_catalog *catalog = engine->ports.catalog;
    uint64_t generation;
    ochre_status status = catalog->ops->generation(catalog, &generation, err);
    if (status != OCHRE_OK || generation <= engine->noted_generation)
        return status;
    char payload[8];
    och_store_u64(payload, generation);
    struct och_log_record record = {.type = OCH_RECORD_GENERATION,
            .payload = {payload, sizeof(payload)},
            .payload_crc = och_crc32c(0, payload, sizeof(payload))};
    status = engine->log->ops->append(engine->log, &record, 1, err);
    if (status == OCHRE_OK)
        engine->noted_generation = generation;
    return status;
}

/* Removing a directory's files, one by one. */
struct removal {
    struct och_vfs *vfs;
    const char *dir;
    struct ochre_error *err;
};

static ochre_status
remove_entry(void *context, const char *name, bool is_dir)
{
    struct removal *removal = context;
    if (is_dir)
        return OCHRE_OK;
    char path[OCH_PATH_SIZE_MAX];
    (void) snprintf(path, sizeof(path), "%s/%s", removal->dir, name);
    return och_vfs_remove(removal->vfs, path, removal->err);
}

static ochre_status
remove_garbage(
        struct och_engine *engine, const struct och_garbage *garbage, struct ochre_error *err)
{
    struct och_vfs *vfs = engine->ports.vfs;
    ochre_status status;
    if (garbage->is_dir) {
        struct removal removal = {vfs, garbage->path, err};
        status = och_vfs_list(vfs, garbage->path, remove_entry, &removal, err);
        if (status == OCHRE_OK)
            status = och_vfs_rmdir(vfs, garbage->path, err);
    } else {
        status = och_vfs_remove(vfs, garbage->path, err);
    }
    return status == OCHRE_NOT_FOUND ? OCHRE_OK : status;
}

ochre_status
och_maintain_collect(struct och_engine *engine, struct ochre_error *err)
{
    uint64_t keep;
    struct och_collection *oldest = oldest_collection(engine, false, &keep);
    och_collection_release(oldest);
    struct och_record_log *log = engine->log;
    if (keep == UINT64_MAX)
        keep = log->ops->next_lsn(log);
    if (engine->garbage == NULL && !log->ops->can_trim(log, keep))
        return OCHRE_OK;
    ochre_status status = note_generation(engine, err);
    if (status != OCHRE_OK)
        return status;
    /* What cannot be removed stays in the list, and stops nothing else. */
    ochre_status first_failure = OCHRE_OK;
    struct och_garbage **link = &engine->garbage;
    while (*link != NULL) {
        struct och_garbage *garbage = *link;
        status = remove_garbage(engine, garbage, err);
        if (status == OCHRE_OK) {
            *link = garbage->next;
            och_mem_release(engine->ports.mem, garbage, sizeof(*garbage));
        } else {
            first_failure = first_failure == OCHRE_OK ? status : first_failure;
            link = &garbage->next;
        }
    }
    status = log->ops->can_trim(log, keep) ? log->ops->trim(log, keep, err) : OCHRE_OK;
    return status == OCHRE_OK ? first_failure : status;
}
