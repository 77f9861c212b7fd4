#include <inttypes.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "engine/engine.h"
#include "engine/maintain_internal.h"
#include "engine/recover.h"
#include "os/clock.h"
#include "segment/head.h"
#include "segment/segment.h"

/* So many heads of a collection may wait for being sealed before writers wait. */
#define FROZEN_MAX 4u
#define ADMIT_WAIT_MS 100u
#define ADMIT_WAITS_MAX 300u

#define NS_PER_MS UINT64_C(1000000)
/* Nobody has written for long after so much for each row, several times what writing
 * it again takes. */
#define QUIET_NS_PER_ROW UINT64_C(150000)

/* --- background work -------------------------------------------------------- */

/* Work handed to the executor, which frees itself. */
struct work {
    struct och_task task; /* first: the task's pointer is ours */
    struct och_engine *engine;
    struct och_collection *collection; /* counted; NULL: prepare the log */
    void (*run)(struct och_collection *collection);
    uint32_t *count; /* of the engine: where it is counted */
};

static void
run_work(struct och_task *task)
{
    struct work *work = (struct work *) task;
    struct och_engine *engine = work->engine;
    uint32_t *count = work->count;
    if (work->collection != NULL) {
        work->run(work->collection);
        och_collection_release(work->collection);
    } else {
        /* Without a prepared file the next append makes one itself. */
        ochre_status status = engine->log->ops->prepare(engine->log, NULL);
        (void) status;
    }
    och_mem_release(engine->ports.mem, work, sizeof(*work));
    och_mutex_lock(&engine->work_lock);
    (*count)--;
    och_cond_broadcast(&engine->work_done);
    och_mutex_unlock(&engine->work_lock);
}

/* Hand work over; false when that is not possible now. */
static bool
submit(struct och_engine *engine, struct och_collection *collection,
        void (*run)(struct och_collection *collection), bool is_long)
{
    struct work *work = och_mem_take(engine->ports.mem, sizeof(*work));
    if (work == NULL)
        return false;
    *work = (struct work){.task.run = run_work,
            .engine = engine,
            .run = run,
            .count = is_long ? &engine->n_merges : &engine->n_tasks};
    if (collection != NULL)
        work->collection = och_collection_retain(collection);
    och_mutex_lock(&engine->work_lock);
    (*work->count)++;
    och_mutex_unlock(&engine->work_lock);
    if (is_long)
        och_executor_submit_long(engine->ports.executor, &work->task);
    else
        och_executor_submit_background(engine->ports.executor, &work->task);
    return true;
}

bool
och_maintain_submit(
        struct och_collection *collection, void (*run)(struct och_collection *collection))
{
    return submit(collection->engine, collection, run, false);
}

void
och_maintain_drain(struct och_engine *engine)
{
    och_mutex_lock(&engine->work_lock);
    while (engine->n_tasks > 0)
        och_cond_wait(&engine->work_done, &engine->work_lock);
    och_mutex_unlock(&engine->work_lock);
}

/* --- memory ------------------------------------------------------------------ */

size_t
och_maintain_limit_in_sight(const struct och_mem *mem)
{
    for (; mem != NULL; mem = mem->parent)
        if (och_mem_used(mem) > mem->limit - mem->limit / 4)
            return mem->limit;
    return 0;
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
    view->position = old->position;
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
    if (old->head != NULL)
        och_history_make_room(&collection->engine->history, old->head->bytes);
    och_collection_set_view(collection, view, 0);
    return OCHRE_OK;
}

static void
run_seal(struct och_collection *collection)
{
    struct och_engine *engine = collection->engine;
    /* A failure is remembered in the collection and tried again. */
    ochre_status status = och_maintain_seal(collection, false, NULL);
    och_commit_enter(engine->commit);
    collection->seal_queued = false;
    if (status == OCHRE_OK) {
        /* A head frozen between the last look and now would wait for a write. */
        och_maintain_queue_seal(collection);
        och_maintain_queue_merge(collection);
    }
    och_commit_leave(engine->commit);
}

void
och_maintain_queue_seal(struct och_collection *collection)
{
    if (collection->seal_queued || collection->view->n_frozen == 0)
        return;
    if (och_collection_usable(collection, NULL) != OCHRE_OK)
        return;
    if (collection->engine->ports.executor == NULL) {
        ochre_status status = och_maintain_seal(collection, true, NULL);
        if (status == OCHRE_OK) /* otherwise remembered in the collection, tried again */
            och_maintain_queue_merge(collection);
        return;
    }
    if (collection->engine->n_sealing_all == 0) /* otherwise it is sealed there */
        collection->seal_queued = submit(collection->engine, collection, run_seal, false);
}

/* What is dead is written nowhere: sealing such a head costs a line in the catalog, and its
 * memory and its part of the log are free again. */
static bool
is_full(const struct och_engine_options *options, const struct och_head *head)
{
    if (head->n_rows >= options->head_rows_max || head->bytes >= options->head_bytes_max)
        return true;
    return head->bytes >= options->head_dead_min && och_head_is_dead(head);
}

static void
freeze_if_full(struct och_collection *collection)
{
    const struct och_engine_options *options = &collection->engine->options;
    const struct och_head *head = collection->view->head;
    bool full = head != NULL && is_full(options, head);
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
    och_maintain_queue_seal(collection);
}

/* --- merging ---------------------------------------------------------------- */

/* Take the collection's place for merging; false when another has it. */
static bool
try_take_merging(struct och_collection *collection)
{
    struct och_engine *engine = collection->engine;
    och_mutex_lock(&engine->work_lock);
    bool taken = !collection->merging && !engine->closing;
    if (taken)
        collection->merging = true;
    och_mutex_unlock(&engine->work_lock);
    return taken;
}

static void
take_merging(struct och_collection *collection)
{
    struct och_engine *engine = collection->engine;
    och_mutex_lock(&engine->work_lock);
    while (collection->merging)
        och_cond_wait(&engine->work_done, &engine->work_lock);
    collection->merging = true;
    och_mutex_unlock(&engine->work_lock);
}

static void
give_merging(struct och_collection *collection)
{
    struct och_engine *engine = collection->engine;
    och_mutex_lock(&engine->work_lock);
    collection->merging = false;
    och_cond_broadcast(&engine->work_done);
    och_mutex_unlock(&engine->work_lock);
}

/* For how long nobody has written to it, since it was opened. */
static uint64_t
rest_ns(const struct och_collection *collection)
{
    uint64_t written = atomic_load_explicit(&collection->written_ns, memory_order_relaxed);
    uint64_t now = och_machine_monotonic_ns(collection->engine->ports.machine);
    return now >= written ? now - written : 0;
}

bool
och_maintain_is_idle(const struct och_collection *collection)
{
    const struct och_engine *engine = collection->engine;
    if (engine->ports.executor == NULL)
        return false; /* nothing happens unless somebody calls */
    return rest_ns(collection) >= engine->options.idle_ms * NS_PER_MS;
}

/* As what is done depends on how long nobody has written. */
static enum och_merge_mode
mode_of(struct och_collection *collection)
{
    const struct och_engine *engine = collection->engine;
    if (!och_maintain_is_idle(collection))
        return OCH_MERGE_TIERS;
    uint64_t long_ns = engine->options.idle_ms * NS_PER_MS;
    struct och_view *view = och_maintain_view(collection);
    for (uint32_t i = 0; i < view->n_segments; i++)
        long_ns += view->segments[i]->n_rows * QUIET_NS_PER_ROW;
    och_view_release(view);
    return rest_ns(collection) >= long_ns ? OCH_MERGE_QUIET : OCH_MERGE_IDLE;
}

/* Merge until there is nothing left to do.  A segment that turns out to be damaged
 * is left alone, and the others are merged; the first failure is the answer. */
static ochre_status
merge_all(struct och_collection *collection, enum och_merge_mode mode, bool committer,
        struct ochre_error *err)
{
    ochre_status first_failure = OCHRE_OK;
    bool again = true;
    while (again) {
        struct ochre_error why = {.status = OCHRE_OK};
        bool is_wish = mode == OCH_MERGE_ALL || mode == OCH_MERGE_DEAD;
        enum och_merge_mode now = is_wish ? mode : mode_of(collection);
        ochre_status status = och_maintain_merge_once(collection, now, committer, &again, &why);
        if (status == OCHRE_OK || first_failure != OCHRE_OK)
            continue;
        first_failure = status;
        if (err != NULL)
            *err = why;
    }
    return first_failure;
}

/* Look at the collections in a while, if nobody is going to. */
static void
arm_timer(struct och_engine *engine)
{
    struct och_timer *timer = &engine->timer;
    if (engine->ports.executor == NULL || och_follow_is_on(engine))
        return;
    och_mutex_lock(&engine->work_lock);
    timer->again = true;
    if (!timer->armed && !engine->closing) {
        timer->armed = true;
        och_executor_submit_later(engine->ports.executor, &timer->task, engine->options.idle_ms);
    }
    och_mutex_unlock(&engine->work_lock);
}

static void
run_merges(struct och_collection *collection)
{
    struct och_engine *engine = collection->engine;
    ochre_status status = merge_all(collection, OCH_MERGE_TIERS, false, NULL);
    och_commit_enter(engine->commit);
    give_merging(collection);
    /* What was sealed between the last look and now would wait for the next seal. */
    if (status == OCHRE_OK)
        och_maintain_queue_merge(collection);
    else
        arm_timer(engine);
    och_commit_leave(engine->commit);
}

void
och_maintain_queue_merge(struct och_collection *collection)
{
    /* Where memory is short, sealing needs it more. */
    if (och_collection_usable(collection, NULL) != OCHRE_OK ||
            och_maintain_limit_in_sight(collection->engine->ports.mem) != 0 ||
            och_maintain_holds_off(collection) ||
            !och_maintain_wants_merge(collection, mode_of(collection)))
        return;
    if (!try_take_merging(collection))
        return;
    if (collection->engine->ports.executor == NULL) {
        ochre_status status = merge_all(collection, OCH_MERGE_TIERS, true, NULL);
        (void) status; /* tried again, after a while */
        give_merging(collection);
    } else if (!submit(collection->engine, collection, run_merges, true)) {
        give_merging(collection);
    }
}

/* A segment that a merge found damaged is left as it is from then on. */
static ochre_status
check_none_left_alone(struct och_collection *collection, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    struct och_view *view = och_maintain_view(collection);
    for (uint32_t i = 0; i < view->n_segments && status == OCHRE_OK; i++)
        if (atomic_load_explicit(&view->segments[i]->damaged, memory_order_relaxed))
            status = och_fail(err, OCHRE_CORRUPT,
                    "segment %016" PRIx64 " is damaged and was left as it is; run `ochre check`",
                    view->segments[i]->id);
    och_view_release(view);
    return status;
}

ochre_status
och_maintain_compact(
        struct och_collection *collection, enum och_merge_mode mode, struct ochre_error *err)
{
    struct och_engine *engine = collection->engine;
    bool background = engine->ports.executor != NULL;
    och_commit_enter(engine->commit);
    ochre_status status = och_maintain_freeze(collection, err);
    if (status == OCHRE_OK && !background)
        status = och_maintain_seal(collection, true, err);
    och_commit_leave(engine->commit);
    if (status == OCHRE_OK && background)
        status = och_maintain_seal(collection, false, err);
    if (status != OCHRE_OK)
        return status;
    take_merging(collection);
    status = merge_all(collection, mode, false, err);
    if (status == OCHRE_OK)
        status = check_none_left_alone(collection, err);
    och_commit_enter(engine->commit);
    give_merging(collection);
    if (status == OCHRE_OK) /* as above */
        och_maintain_queue_merge(collection);
    och_commit_leave(engine->commit);
    return status;
}

/* --- when nobody writes ------------------------------------------------------- */

/* What a collection at rest gets: its head sealed, its segments put together.
 * False when there is nothing to be done for it, now or later. */
static bool
tidy(struct och_collection *collection)
{
    const struct och_view *view = collection->view;
    uint32_t least = collection->engine->options.idle_rows_min;
    /* On a full disk what was deleted is let go of, however little it is. */
    uint32_t least_kills = och_space_is_short(&collection->engine->space) ? 1 : least;
    if (och_collection_usable(collection, NULL) != OCHRE_OK)
        return false;
    bool freezes = (view->head != NULL && view->head->n_rows >= least) ||
            collection->n_sealed_kills >= least_kills;
    if (!freezes && view->n_frozen == 0 && !och_maintain_wants_merge(collection, OCH_MERGE_QUIET))
        return false;
    if (!och_maintain_is_idle(collection))
        return true;
    ochre_status status = freezes ? och_maintain_freeze(collection, NULL) : OCHRE_OK;
    (void) status; /* no memory for a view now: the timer comes again */
    och_maintain_queue_seal(collection);
    och_maintain_queue_merge(collection);
    return true;
}

/* False: there is nothing left that gets old. */
static bool
tidy_history(struct och_engine *engine)
{
    if (och_space_is_short(&engine->space) || och_maintain_limit_in_sight(engine->ports.mem) != 0)
        och_history_forget_all(&engine->history);
    return och_history_trim(&engine->history);
}

/* Collections that have not written for some seconds get noted beside the log; one that
 * writes again pays for that.  False: none is left. */
static bool
rest_log(struct och_engine *engine)
{
    uint64_t now = och_machine_monotonic_ns(engine->ports.machine);
    if (now - engine->rested_ns < OCH_REST_MS * NS_PER_MS)
        return true;
    engine->rested_ns = now;
    return engine->log->ops->rest(engine->log, false);
}

static void
run_timer(struct och_task *task)
{
    struct och_timer *timer = (struct och_timer *) task;
    struct och_engine *engine = timer->engine;
    bool more = false;
    och_mutex_lock(&engine->work_lock);
    timer->again = false;
    och_mutex_unlock(&engine->work_lock);
    och_commit_enter(engine->commit);
    och_mutex_lock(&engine->table_lock);
    for (size_t i = 0; i < OCH_ENGINE_TABLE_SIZE; i++)
        for (struct och_collection *c = engine->table[i]; c != NULL; c = c->next_in_table)
            more = tidy(c) || more;
    och_mutex_unlock(&engine->table_lock);
    more = tidy_history(engine) || more;
    /* Damage to the newest group looks like a write that power failed in, unless another
     * one says that it was durable. */
    if (engine->log->ops->next_lsn(engine->log) != engine->vouched_lsn)
        och_engine_vouch(engine);
    more = rest_log(engine) || more;
    och_commit_leave(engine->commit);

    och_mutex_lock(&engine->work_lock);
    timer->armed = (more || timer->again) && !engine->closing;
    if (timer->armed)
        och_executor_submit_later(engine->ports.executor, &timer->task, engine->options.idle_ms);
    och_cond_broadcast(&engine->work_done);
    och_mutex_unlock(&engine->work_lock);
}

void
och_maintain_begin(struct och_engine *engine)
{
    engine->timer = (struct och_timer){.task.run = run_timer, .engine = engine};
}

void
och_maintain_wrote(struct och_collection *collection)
{
    struct och_engine *engine = collection->engine;
    (void) atomic_fetch_add_explicit(&engine->n_changes, 1, memory_order_relaxed);
    if (engine->ports.executor == NULL || engine->recovering)
        return;
    uint64_t now = och_machine_monotonic_ns(engine->ports.machine);
    atomic_store_explicit(&collection->written_ns, now, memory_order_relaxed);
    arm_timer(engine);
}

void
och_maintain_read(struct och_collection *collection, const struct och_view *view)
{
    for (uint32_t i = 0; i < view->n_segments; i++) {
        const struct och_segment *segment = view->segments[i];
        if (!och_segment_is_worn(segment) ||
                atomic_load_explicit(&segment->damaged, memory_order_relaxed))
            continue;
        arm_timer(collection->engine);
        return;
    }
}

void
och_engine_stop_merges(struct och_engine *engine)
{
    och_mutex_lock(&engine->table_lock);
    for (size_t i = 0; i < OCH_ENGINE_TABLE_SIZE; i++)
        for (struct och_collection *c = engine->table[i]; c != NULL; c = c->next_in_table)
            atomic_store_explicit(&c->pace.stop, true, memory_order_relaxed);
    och_mutex_unlock(&engine->table_lock);
}

void
och_maintain_stop(struct och_engine *engine)
{
    och_engine_stop_merges(engine);
    och_mutex_lock(&engine->work_lock);
    engine->closing = true;
    if (engine->timer.armed && och_executor_cancel(engine->ports.executor, &engine->timer.task))
        engine->timer.armed = false;
    while (engine->timer.armed || engine->n_tasks > 0 || engine->n_merges > 0)
        och_cond_wait(&engine->work_done, &engine->work_lock);
    och_mutex_unlock(&engine->work_lock);
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

struct och_collection *
och_maintain_oldest(struct och_engine *engine, bool usable, uint64_t *lsn_out)
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
    /* On a full disk not ahead of need: what is left is for deletions, the catalog's too. */
    if (!och_space_is_short(&engine->space) && log->ops->wants_prepare(log)) {
        if (engine->ports.executor != NULL) {
            (void) submit(engine, NULL, NULL, false);
        } else {
            ochre_status status = log->ops->prepare(log, NULL);
            (void) status; /* the next append makes a file itself */
        }
    }
    /* What is held does not get shorter by sealing. */
    if (log->ops->size(log) <= engine->options.log_size_seal || engine->n_holds > 0)
        return;
    uint64_t lsn;
    struct och_collection *oldest = och_maintain_oldest(engine, true, &lsn);
    if (oldest != NULL) {
        if (oldest->view->n_frozen > 0 || och_maintain_freeze(oldest, NULL) == OCHRE_OK)
            och_maintain_queue_seal(oldest);
        och_collection_release(oldest);
    }
}

/* --- what memory allows ----------------------------------------------------- */

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

static void
forget_filters(struct och_engine *engine)
{
    och_mutex_lock(&engine->table_lock);
    for (size_t i = 0; i < OCH_ENGINE_TABLE_SIZE; i++)
        for (struct och_collection *c = engine->table[i]; c != NULL; c = c->next_in_table)
            och_find_forget(c);
    och_mutex_unlock(&engine->table_lock);
}

void
och_maintain_memory(struct och_engine *engine)
{
    size_t limit = och_maintain_limit_in_sight(engine->ports.mem);
    if (limit == 0)
        return;
    och_history_forget_all(&engine->history);
    forget_filters(engine);
    /* A head that is small beside the limit is not what fills it. */
    struct och_collection *largest = largest_collection(engine, limit / 64 + 1);
    if (largest == NULL)
        return;
    if (largest->view->n_frozen > 0 || och_maintain_freeze(largest, NULL) == OCHRE_OK)
        och_maintain_queue_seal(largest);
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

/* Does the background seal, or is it about to? */
static bool
is_sealing(struct och_engine *engine)
{
    och_mutex_lock(&engine->work_lock);
    bool sealing = engine->n_tasks > 0;
    och_mutex_unlock(&engine->work_lock);
    return sealing;
}

/* May heads that wait be left to wait?  A few, while there is memory.  When it is
 * short, whatever is sealed gives some back, and must not find it taken. */
static bool
is_admitted(struct och_collection *collection)
{
    struct och_engine *engine = collection->engine;
    uint32_t n_frozen = count_frozen(collection);
    if (n_frozen >= FROZEN_MAX)
        return false;
    return och_maintain_limit_in_sight(engine->ports.mem) == 0 ||
            (n_frozen == 0 && !is_sealing(engine));
}

static ochre_status
seal_failure(struct och_collection *collection)
{
    return atomic_load_explicit(&collection->seal_failure, memory_order_relaxed);
}

ochre_status
och_maintain_admit(struct och_collection *collection, struct ochre_error *err)
{
    struct och_engine *engine = collection->engine;
    if (och_maintain_limit_in_sight(engine->ports.mem) != 0)
        och_history_forget_all(&engine->history);
    bool is_urgent = count_frozen(collection) >= FROZEN_MAX;
    if (is_urgent)
        och_urgency_begin(&engine->urgency);
    for (unsigned n_waits = 0; !is_admitted(collection);) {
        if (engine->ports.executor == NULL || seal_failure(collection) != OCHRE_OK ||
                n_waits == ADMIT_WAITS_MAX)
            break;
        och_mutex_lock(&engine->work_lock);
        /* Other collections' work wakes us too: only time that passed counts. */
        bool in_time = och_cond_wait_for(&engine->work_done, &engine->work_lock, ADMIT_WAIT_MS);
        och_mutex_unlock(&engine->work_lock);
        if (in_time)
            continue;
        n_waits++;
        /* The background may be busy for long, with a merge on the one thread there
         * is: what the writer waits for it may do itself. */
        ochre_status status = och_maintain_seal(collection, false, NULL);
        (void) status; /* remembered in the collection */
    }
    if (is_urgent)
        och_urgency_end(&engine->urgency);
    /* Where memory is the reason, the write itself finds out whether it has enough. */
    if (count_frozen(collection) < FROZEN_MAX)
        return OCHRE_OK;
    /* Give sealing another try, for the writer who comes next. */
    och_commit_enter(engine->commit);
    och_maintain_queue_seal(collection);
    och_commit_leave(engine->commit);
    if (count_frozen(collection) < FROZEN_MAX)
        return OCHRE_OK;
    if (seal_failure(collection) == OCHRE_FULL)
        return och_space_fail(&engine->space, "records that wait to be sealed need more", err);
    return och_fail(err, OCHRE_UNAVAILABLE,
            "sealed files cannot be written as fast as records come; try again later");
}
