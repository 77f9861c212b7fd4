#include "engine/follow.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/collection.h"
#include "engine/engine.h"
#include "engine/maintain_internal.h"
#include "engine/recover.h"
#include "engine/write.h"
#include "os/clock.h"
#include "segment/segment.h"

/* So often it is tried to see a catalog and a log that belong together. */
#define LOOKS_MAX 16
/* So often a call looks that finds something half done. */
#define TRIES_MAX 8

#define NS_PER_MS UINT64_C(1000000)

/* What a look has at hand. */
struct look {
    struct och_engine *engine;
    struct och_arena arena;        /* cleared after each record */
    struct och_collection **fresh; /* owned, counted: to take their places in the table */
    size_t n_fresh, room;
    uint32_t dropped; /* the number found dropped last: its records come in rows */
    bool loads_all;   /* records of collections that are not in `fresh` load them there */
    bool again;       /* the catalog changed: what was going on ends */
    bool is_late;     /* what is shown is older than it may be */
};

bool
och_follow_is_on(const struct och_engine *engine)
{
    return engine->ports.tail != NULL;
}

/* --- the catalog ------------------------------------------------------------------ */

/* Look at the catalog; *changed_out: it is another. */
static ochre_status
look_at_catalog(struct look *look, bool *changed_out, struct ochre_error *err)
{
    struct och_catalog *catalog = look->engine->ports.catalog;
    struct och_follow *follow = &look->engine->follow;
    ochre_status status = catalog->ops->follow(catalog, changed_out, err);
    if (status == OCHRE_OK && *changed_out)
        follow->catalog_is_new = true;
    return status;
}

/* Load a collection as the catalog has it. */
static ochre_status
load(struct look *look, const struct och_collection_row *row,
        struct och_collection **collection_out, struct ochre_error *err)
{
    struct och_engine *engine = look->engine;
    struct och_collection_settings settings;
    *collection_out = NULL;
    ochre_status status =
            engine->settings_of(engine->settings_context, row->schema, &settings, err);
    return status == OCHRE_OK ? och_collection_load(engine, row, &settings, collection_out, err)
                              : status;
}

/* --- fresh collections ------------------------------------------------------------ */

static ochre_status
add_fresh(struct look *look, struct och_collection *collection, struct ochre_error *err)
{
    struct och_mem *mem = look->engine->ports.mem;
    if (look->n_fresh == look->room) {
        size_t room = look->room == 0 ? 16 : look->room * 2;
        struct och_collection **fresh = och_mem_resize(
                mem, look->fresh, look->room * sizeof(void *), room * sizeof(void *));
        if (fresh == NULL) {
            och_collection_release(collection);
            return och_fail_memory(err);
        }
        look->fresh = fresh;
        look->room = room;
    }
    look->fresh[look->n_fresh++] = collection;
    return OCHRE_OK;
}

static void
forget_fresh(struct look *look)
{
    for (size_t i = 0; i < look->n_fresh; i++)
        och_collection_release(look->fresh[i]);
    look->n_fresh = 0;
}

/* One whose files could not be read, this time. */
static bool
was_unreadable(struct och_collection *collection)
{
    och_mutex_lock(&collection->lock);
    bool unreadable = collection->failure.status == OCHRE_IO;
    och_mutex_unlock(&collection->lock);
    return unreadable;
}

/* A fresh one that does not work: damaged, or only changed since. */
static bool
has_failed(const struct look *look)
{
    for (size_t i = 0; i < look->n_fresh; i++)
        if (och_collection_usable(look->fresh[i], NULL) != OCHRE_OK)
            return true;
    return false;
}

/* What the collection showed until now, before the new one's segments: its position is that
 * of a seal, or the same, when nothing of it is needed. */
static void
keep_past(struct look *look, const struct och_collection *fresh)
{
    struct och_engine *engine = look->engine;
    struct och_history *history = &engine->history;
    struct och_collection *old = och_engine_loaded(engine, fresh->id);
    bool is_sound = old != NULL && fresh->view != NULL && old->view != NULL &&
            och_collection_usable(old, NULL) == OCHRE_OK;
    if (is_sound && och_maintain_limit_in_sight(engine->ports.mem) == 0) {
        uint64_t shown = old->published.position + 1;
        uint64_t end = fresh->view->position < shown ? fresh->view->position : shown;
        och_history_keep(history, old->id, old->view, end, true);
    }
    och_collection_release(old);
}

static void
put_fresh(struct look *look)
{
    for (size_t i = 0; i < look->n_fresh; i++) {
        keep_past(look, look->fresh[i]);
        look->engine->follow.some_failed |= was_unreadable(look->fresh[i]);
        och_engine_put(look->engine, look->fresh[i]);
    }
}

/* --- records ---------------------------------------------------------------------- */

static struct och_collection *
find_fresh(const struct look *look, uint32_t number)
{
    for (size_t i = 0; i < look->n_fresh; i++)
        if (look->fresh[i]->number == number)
            return och_collection_retain(look->fresh[i]);
    return NULL;
}

static struct och_collection *
find_loaded(const struct look *look, uint32_t number)
{
    struct och_engine *engine = look->engine;
    for (size_t i = 0; i < OCH_ENGINE_TABLE_SIZE; i++)
        for (struct och_collection *c = engine->table[i]; c != NULL; c = c->next_in_table)
            if (c->number == number)
                return och_collection_retain(c);
    return NULL;
}

/*
 * A record of a collection that the catalog does not have.  If the catalog is the
 * newest one, the collection was dropped.  If not, it may be in the newest one, and the
 * record is to be looked at again.
 */
static ochre_status
judge_unknown(struct look *look, uint32_t number, struct ochre_error *err)
{
    bool changed;
    ochre_status status = look_at_catalog(look, &changed, err);
    if (status != OCHRE_OK)
        return status;
    look->dropped = changed ? 0 : number;
    look->again = changed;
    return changed ? OCHRE_UNAVAILABLE : OCHRE_OK;
}

/* The collection of a record, loaded; *collection_out NULL: it was dropped. */
static ochre_status
load_by_number(struct look *look, uint32_t number, struct och_collection **collection_out,
        struct ochre_error *err)
{
    struct och_catalog *catalog = look->engine->ports.catalog;
    struct och_collection_row row;
    ochre_status status =
            catalog->ops->collection_by_number(catalog, &look->arena, number, &row, err);
    if (status == OCHRE_NOT_FOUND)
        return judge_unknown(look, number, err);
    if (status == OCHRE_OK)
        status = load(look, &row, collection_out, err);
    if (status == OCHRE_OK && look->loads_all)
        status = add_fresh(look, *collection_out, err);
    else if (status == OCHRE_OK)
        och_engine_put(look->engine, *collection_out);
    if (status != OCHRE_OK)
        *collection_out = NULL; /* add_fresh let go of it */
    if (status == OCHRE_OK)
        look->engine->follow.some_failed |= was_unreadable(*collection_out);
    if (status == OCHRE_OK && look->loads_all)
        (void) och_collection_retain(*collection_out);
    return status;
}

static ochre_status
apply(struct och_collection *collection, const struct och_log_record *record, bool damaged,
        struct ochre_error *err)
{
    struct ochre_error why = {.status = OCHRE_OK};
    if (record->position <= collection->published.position ||
            och_collection_usable(collection, NULL) != OCHRE_OK)
        return OCHRE_OK;
    ochre_status status = och_recover_apply(collection, record, damaged, &why);
    if (status == OCHRE_NO_MEMORY) {
        if (err != NULL)
            *err = why;
        return status; /* nothing is wrong with it: the next look tries again */
    }
    if (status != OCHRE_OK)
        och_collection_fail(collection, &why);
    collection->engine->follow.some_failed |= status == OCHRE_IO;
    return OCHRE_OK;
}

static void
note_generation(struct look *look, const struct och_log_record *record, bool damaged)
{
    struct och_follow *follow = &look->engine->follow;
    if (damaged || record->payload.size != 8)
        return;
    uint64_t generation = och_load_u64(record->payload.data);
    if (generation > follow->generation)
        follow->generation = generation;
}

/* A record that has not been seen: it goes to the collection that is shown, or, where
 * all begins anew, to a fresh one. */
static ochre_status
visit_new(void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct look *look = context;
    struct och_collection *collection = NULL;
    ochre_status status = OCHRE_OK;
    if (record->type == OCH_RECORD_GENERATION)
        note_generation(look, record, damaged);
    if (record->type != OCH_RECORD_WRITE || record->collection == look->dropped)
        return OCHRE_OK;
    collection = look->loads_all ? find_fresh(look, record->collection)
                                 : find_loaded(look, record->collection);
    if (collection == NULL)
        status = load_by_number(look, record->collection, &collection, err);
    if (status == OCHRE_OK && collection != NULL)
        status = apply(collection, record, damaged, err);
    och_collection_release(collection);
    och_arena_clear(&look->arena);
    return status;
}

/* A record that is shown already, for collections that are loaded anew. */
static ochre_status
visit_again(
        void *context, const struct och_log_record *record, bool damaged, struct ochre_error *err)
{
    struct look *look = context;
    if (record->type != OCH_RECORD_WRITE)
        return OCHRE_OK;
    struct och_collection *collection = find_fresh(look, record->collection);
    ochre_status status = collection == NULL ? OCHRE_OK : apply(collection, record, damaged, err);
    och_collection_release(collection);
    return status;
}

/* --- loading anew ----------------------------------------------------------------- */

/* Does the catalog list what the collection has? */
static bool
is_current(const struct och_collection *collection, const struct och_collection_state *state,
        const struct och_segment_row *rows, size_t n_rows)
{
    const struct och_view *view = collection->view;
    if (view->position != state->position || view->n_segments != n_rows)
        return false;
    for (size_t i = 0; i < n_rows; i++) {
        const struct och_segment *segment = view->segments[i];
        if (segment == NULL || segment->id != rows[i].id ||
                segment->deletes_id != rows[i].deletes_id)
            return false;
    }
    return true;
}

/* What people changed of a collection that stays as it is. */
static ochre_status
take_settings(struct look *look, struct och_collection *collection,
        const struct och_collection_row *row, struct ochre_error *err)
{
    struct och_engine *engine = look->engine;
    struct och_collection_settings settings;
    ochre_status status =
            engine->settings_of(engine->settings_context, row->schema, &settings, err);
    if (status == OCHRE_OK)
        och_collection_change(collection, &settings);
    return status;
}

/* Compare a collection that is shown with the catalog: it is forgotten, stays, or is
 * loaded anew. */
static ochre_status
compare(struct look *look, struct och_collection *collection, struct ochre_error *err)
{
    struct och_engine *engine = look->engine;
    struct och_catalog *catalog = engine->ports.catalog;
    struct och_collection_row row;
    struct och_collection_state state;
    struct och_segment_row *rows;
    size_t n_rows = 0;
    ochre_status status =
            catalog->ops->collection_by_id(catalog, &look->arena, collection->id, &row, err);
    if (status == OCHRE_OK)
        status = catalog->ops->state_get(
                catalog, &look->arena, collection->id, &state, &rows, &n_rows, err);
    if (status == OCHRE_NOT_FOUND) {
        och_engine_forget(engine, collection->id);
        return OCHRE_OK;
    }
    if (status != OCHRE_OK)
        return status;
    if (is_current(collection, &state, rows, n_rows) &&
            och_collection_usable(collection, NULL) == OCHRE_OK)
        return take_settings(look, collection, &row, err);
    struct och_collection *fresh = NULL;
    status = load(look, &row, &fresh, err);
    return status == OCHRE_OK ? add_fresh(look, fresh, err) : status;
}

/* The collections that are shown, each retained; release them and the list. */
static ochre_status
list_loaded(struct look *look, struct och_collection ***list_out, size_t *n_out,
        struct ochre_error *err)
{
    struct och_engine *engine = look->engine;
    size_t n = 0;
    for (size_t i = 0; i < OCH_ENGINE_TABLE_SIZE; i++)
        for (struct och_collection *c = engine->table[i]; c != NULL; c = c->next_in_table)
            n++;
    struct och_collection **list = och_mem_take(engine->ports.mem, (n + 1) * sizeof(void *));
    *list_out = list;
    *n_out = 0;
    if (list == NULL)
        return och_fail_memory(err);
    for (size_t i = 0; i < OCH_ENGINE_TABLE_SIZE; i++)
        for (struct och_collection *c = engine->table[i]; c != NULL; c = c->next_in_table)
            list[(*n_out)++] = och_collection_retain(c);
    return OCHRE_OK;
}

static ochre_status
compare_all(struct look *look, struct ochre_error *err)
{
    struct och_collection **list = NULL;
    size_t n = 0;
    ochre_status status = list_loaded(look, &list, &n, err);
    for (size_t i = 0; i < n; i++) {
        if (status == OCHRE_OK)
            status = compare(look, list[i], err);
        och_collection_release(list[i]);
        och_arena_clear(&look->arena);
    }
    if (list != NULL)
        och_mem_release(look->engine->ports.mem, list, (n + 1) * sizeof(void *));
    return status;
}

/* Load anew what has other segments by now, up to where the log was read. */
static ochre_status
load_changed(struct look *look, bool *lost_out, struct ochre_error *err)
{
    struct och_log_tail *tail = look->engine->ports.tail;
    *lost_out = false;
    ochre_status status = compare_all(look, err);
    if (status != OCHRE_OK || look->n_fresh == 0)
        return status;
    uint64_t lsn = UINT64_MAX;
    for (size_t i = 0; i < look->n_fresh; i++)
        if (look->fresh[i]->published.lsn < lsn)
            lsn = look->fresh[i]->published.lsn;
    return tail->ops->revisit(tail, lsn + 1, visit_again, look, lost_out, err);
}

/* Load all that is in the log anew; the rest is loaded when somebody asks for it. */
static ochre_status
load_all(struct look *look, bool *lost_out, struct ochre_error *err)
{
    struct och_log_tail *tail = look->engine->ports.tail;
    look->loads_all = true;
    tail->ops->rewind(tail);
    ochre_status status = tail->ops->follow(tail, true, visit_new, look, lost_out, err);
    look->loads_all = false;
    return status;
}

/*
 * Files that were gone, and records that did not follow on each other, mean that the
 * catalog has changed; if it has not, they mean damage, and stay.
 */
static ochre_status
load_anew(struct look *look, bool *done_out, struct ochre_error *err)
{
    struct och_follow *follow = &look->engine->follow;
    bool lost = false, changed = false;
    bool all = follow->all_is_old;
    ochre_status status = all ? load_all(look, &lost, err) : load_changed(look, &lost, err);
    bool doubt = lost || (status == OCHRE_OK && has_failed(look)) || status == OCHRE_CORRUPT;
    if (doubt) {
        ochre_status looked = look_at_catalog(look, &changed, NULL);
        if (looked != OCHRE_OK && status == OCHRE_OK)
            status = looked;
    }
    if (look->again || changed || lost) {
        forget_fresh(look);
        look->again = false;
        return OCHRE_OK; /* from the newer catalog */
    }
    if (status == OCHRE_OK && all) {
        /* What was shown may not have happened. */
        och_engine_clear_table(look->engine);
        och_history_forget_all(&look->engine->history);
    }
    if (status == OCHRE_OK)
        put_fresh(look);
    forget_fresh(look);
    *done_out = status == OCHRE_OK;
    if (*done_out)
        follow->all_is_old = follow->catalog_is_new = false;
    return status;
}

/* --- looking ---------------------------------------------------------------------- */

struct newest {
    uint64_t lsn; /* of the newest record that the catalog knows of */
};

static ochre_status
note_state(void *context, struct och_uuid id, uint32_t number,
        const struct och_collection_state *state, size_t n_segments)
{
    struct newest *newest = context;
    (void) id;
    (void) number;
    (void) n_segments;
    if (state->lsn > newest->lsn)
        newest->lsn = state->lsn;
    return OCHRE_OK;
}

/* Do the catalog and the log know of each other? */
static ochre_status
check_pair(struct look *look, struct ochre_error *err)
{
    struct och_engine *engine = look->engine;
    struct och_catalog *catalog = engine->ports.catalog;
    struct newest newest = {.lsn = 0};
    uint64_t generation = 0;
    uint64_t next_lsn = engine->ports.tail->ops->next_lsn(engine->ports.tail);
    ochre_status status =
            catalog->ops->each_collection(catalog, &look->arena, note_state, &newest, err);
    och_arena_clear(&look->arena);
    if (status == OCHRE_OK && newest.lsn >= next_lsn)
        return och_fail(err, OCHRE_CORRUPT,
                "the log ends at record %llu, but the catalog knows of record %llu; "
                "run `ochre repair`, or restore a backup",
                (unsigned long long) next_lsn - 1, (unsigned long long) newest.lsn);
    if (status == OCHRE_OK)
        status = catalog->ops->generation(catalog, &generation, err);
    if (status == OCHRE_OK && generation < engine->follow.generation)
        return och_fail(err, OCHRE_CORRUPT,
                "the catalog is older (generation %llu) than the log knows (%llu); run "
                "`ochre repair`, or restore a backup",
                (unsigned long long) generation, (unsigned long long) engine->follow.generation);
    return status;
}

/* Read what is new in the log into what is shown; *again_out: not all of it. */
static ochre_status
read_log(struct look *look, bool *again_out, struct ochre_error *err)
{
    struct och_engine *engine = look->engine;
    struct och_follow *follow = &engine->follow;
    struct och_log_tail *tail = engine->ports.tail;
    bool lost = false;
    /* What the catalog knows of is durable; without a background a second look may be
     * far; and a look that comes late must not leave it to one. */
    bool now = follow->catalog_is_new || engine->ports.executor == NULL || look->is_late;
    ochre_status status = tail->ops->follow(tail, now, visit_new, look, &lost, err);
    *again_out = look->again;
    look->again = false;
    follow->all_is_old |= lost;
    return *again_out ? OCHRE_OK : status;
}

/* One look; *done_out: what is shown is a catalog and a log that belong together. */
static ochre_status
look_once(struct look *look, bool *done_out, struct ochre_error *err)
{
    struct och_follow *follow = &look->engine->follow;
    struct och_log_tail *tail = look->engine->ports.tail;
    bool changed = false, again = false;
    *done_out = false;
    ochre_status status = look_at_catalog(look, &changed, err);
    uint64_t lsn = tail->ops->next_lsn(tail);
    if (status == OCHRE_OK && !follow->all_is_old)
        status = read_log(look, &again, err);
    /* The log had nothing more when the catalog was looked at. */
    *done_out = status == OCHRE_OK && !again && !follow->all_is_old && !follow->catalog_is_new &&
            tail->ops->next_lsn(tail) == lsn;
    if (*done_out)
        return OCHRE_OK;
    if (status == OCHRE_OK && !again)
        status = look_at_catalog(look, &changed, err);
    if (status != OCHRE_OK || changed || again)
        return status;
    if (!follow->all_is_old && !follow->catalog_is_new) {
        *done_out = true;
        return OCHRE_OK;
    }
    bool all = follow->all_is_old;
    status = load_anew(look, done_out, err);
    if (status == OCHRE_OK && *done_out && all) {
        /* The catalog may have changed while the log was read. */
        status = look_at_catalog(look, &changed, err);
        *done_out = !changed;
    }
    return status == OCHRE_OK && *done_out ? check_pair(look, err) : status;
}

/* What could not be read is tried again, but not all the time. */
static void
retry_failed(struct och_follow *follow, uint64_t now_ns, bool now)
{
    if (!follow->some_failed ||
            (!now && now_ns - follow->retried_ns < OCH_FOLLOW_FAIL_MS * NS_PER_MS))
        return;
    follow->some_failed = false;
    follow->catalog_is_new = true;
    follow->retried_ns = now_ns;
}

static ochre_status
take_look(struct och_engine *engine, bool now, struct ochre_error *err)
{
    struct look look = {.engine = engine};
    struct och_follow *follow = &engine->follow;
    uint64_t began_ns = och_machine_monotonic_ns(engine->ports.machine);
    uint64_t fresh_ns = atomic_load_explicit(&follow->fresh_ns, memory_order_acquire);
    look.is_late = began_ns - fresh_ns >= OCH_FOLLOW_LATE_MS * NS_PER_MS;
    retry_failed(follow, began_ns, now);
    bool done = false;
    ochre_status status = OCHRE_OK;
    och_arena_init(&look.arena, engine->ports.mem);
    for (int i = 0; i < LOOKS_MAX && status == OCHRE_OK && !done; i++)
        status = look_once(&look, &done, err);
    if (status == OCHRE_OK && !done)
        status = och_fail(err, OCHRE_UNAVAILABLE,
                "the catalog changed each of %d times that it was read", LOOKS_MAX);
    if (status == OCHRE_OK)
        atomic_store_explicit(&follow->fresh_ns, began_ns, memory_order_release);
    else
        follow->catalog_is_new = true; /* what was begun is looked at again */
    forget_fresh(&look);
    och_mem_release(engine->ports.mem, look.fresh, look.room * sizeof(void *));
    och_arena_clear(&look.arena);
    return status;
}

/* Is what is shown older than that? */
static bool
is_late(const struct och_engine *engine, uint64_t age_ns)
{
    uint64_t fresh = atomic_load_explicit(&engine->follow.fresh_ns, memory_order_acquire);
    uint64_t now = och_machine_monotonic_ns(engine->ports.machine);
    return age_ns == 0 || now - fresh >= age_ns;
}

ochre_status
och_follow_now(struct och_engine *engine, uint64_t age_ns, struct ochre_error *err)
{
    struct och_follow *follow = &engine->follow;
    ochre_status status = OCHRE_OK;
    if (!is_late(engine, age_ns))
        return OCHRE_OK;
    och_mutex_lock(&follow->lock);
    if (is_late(engine, age_ns)) { /* or somebody else has just looked */
        status = take_look(engine, age_ns == 0, err);
        for (int i = 1; i < TRIES_MAX && status != OCHRE_OK && status != OCHRE_NO_MEMORY; i++)
            status = take_look(engine, age_ns == 0, err);
    }
    och_mutex_unlock(&follow->lock);
    if (status != OCHRE_OK && age_ns != 0 && !is_late(engine, OCH_FOLLOW_FAIL_MS * NS_PER_MS))
        status = OCHRE_OK; /* it is looked again */
    return status;
}

/* --- loading one ------------------------------------------------------------------ */

/* Of one that is not loaded there are no records but those in its segments. */
static ochre_status
load_one(struct look *look, struct och_uuid id, struct ochre_error *err)
{
    struct och_catalog *catalog = look->engine->ports.catalog;
    struct och_collection_row row;
    struct och_collection *collection = NULL;
    ochre_status status = catalog->ops->collection_by_id(catalog, &look->arena, id, &row, err);
    if (status == OCHRE_OK)
        status = load(look, &row, &collection, err);
    if (status == OCHRE_OK)
        status = add_fresh(look, collection, err);
    return status;
}

ochre_status
och_follow_collection(struct och_engine *engine, struct och_uuid id,
        struct och_collection **collection_out, struct ochre_error *err)
{
    struct och_follow *follow = &engine->follow;
    struct look look = {.engine = engine};
    ochre_status status = OCHRE_OK;
    bool done = false;
    och_arena_init(&look.arena, engine->ports.mem);
    och_mutex_lock(&follow->lock);
    *collection_out = och_engine_loaded(engine, id);
    for (int i = 0; i < TRIES_MAX && *collection_out == NULL && !done; i++) {
        bool changed = false;
        forget_fresh(&look);
        status = load_one(&look, id, err);
        /* Its files may have gone since the catalog was read. */
        if (status == OCHRE_CORRUPT || (status == OCHRE_OK && has_failed(&look))) {
            ochre_status looked = look_at_catalog(&look, &changed, NULL);
            if (looked == OCHRE_OK && changed)
                looked = take_look(engine, false, NULL);
            changed = changed && looked == OCHRE_OK;
            *collection_out = och_engine_loaded(engine, id);
        }
        done = !changed;
    }
    if (*collection_out == NULL && status == OCHRE_OK) {
        put_fresh(&look);
        *collection_out = och_collection_retain(look.fresh[0]);
    }
    och_mutex_unlock(&follow->lock);
    forget_fresh(&look);
    och_mem_release(engine->ports.mem, look.fresh, look.room * sizeof(void *));
    och_arena_clear(&look.arena);
    return *collection_out != NULL ? OCHRE_OK : status;
}

/* --- in the background ------------------------------------------------------------ */

static void
run_follow(struct och_task *task)
{
    struct och_follow *follow = (struct och_follow *) task;
    struct och_engine *engine = follow->engine;
    och_mutex_lock(&follow->lock);
    ochre_status status = take_look(engine, false, NULL);
    (void) och_history_trim(&engine->history);
    (void) status; /* the next one tries again, and calls say why not */
    och_mutex_unlock(&follow->lock);

    och_mutex_lock(&engine->work_lock);
    follow->armed = !engine->closing;
    if (follow->armed)
        och_executor_submit_later(engine->ports.executor, &follow->task, OCH_FOLLOW_MS);
    och_cond_broadcast(&engine->work_done);
    och_mutex_unlock(&engine->work_lock);
}

ochre_status
och_follow_begin(struct och_engine *engine, struct ochre_error *err)
{
    struct och_follow *follow = &engine->follow;
    follow->task.run = run_follow;
    follow->engine = engine;
    engine->recovering = true; /* and ever will be */
    och_mutex_lock(&follow->lock);
    follow->all_is_old = true;
    och_mutex_unlock(&follow->lock);
    ochre_status status = och_follow_now(engine, 0, err);
    if (status != OCHRE_OK || engine->ports.executor == NULL)
        return status;
    och_mutex_lock(&engine->work_lock);
    follow->armed = true;
    och_executor_submit_later(engine->ports.executor, &follow->task, OCH_FOLLOW_MS);
    och_mutex_unlock(&engine->work_lock);
    return OCHRE_OK;
}

void
och_follow_clear(struct och_engine *engine)
{
    och_mutex_clear(&engine->follow.lock);
}

void
och_follow_stop(struct och_engine *engine)
{
    struct och_follow *follow = &engine->follow;
    och_mutex_lock(&engine->work_lock);
    engine->closing = true;
    if (follow->armed && och_executor_cancel(engine->ports.executor, &follow->task))
        follow->armed = false;
    while (follow->armed)
        och_cond_wait(&engine->work_done, &engine->work_lock);
    och_mutex_unlock(&engine->work_lock);
}
