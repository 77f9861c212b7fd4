#include <stdio.h>
#include <string.h>

#include "api/db.h"
#include "api/held_files.h"
#include "api/paced_files.h"
#include "api/scrub.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "engine/catalog.h"
#include "engine/collection.h"
#include "engine/maintain.h"
#include "os/clock.h"
#include "segment/segment.h"

struct scrub {
    struct ochre_db *db;
    const struct och_scrub_options *options;
    struct och_read_pace pace;
    struct och_check_options check; /* how parts are checked */
    struct och_check_totals totals;
};

void
och_scrub_state_init(struct och_scrub_state *state)
{
    och_mutex_init(&state->lock);
    atomic_flag_clear(&state->is_running);
}

void
och_scrub_state_clear(struct och_scrub_state *state)
{
    och_mutex_clear(&state->lock);
}

const char *
och_scrub_problem(struct ochre_db *db, struct och_uuid collection, struct och_arena *arena)
{
    struct och_scrub_state *state = &db->scrub;
    const char *problem = NULL;
    och_mutex_lock(&state->lock);
    for (uint32_t i = 0; i < state->n_findings && problem == NULL; i++) {
        const struct och_scrub_finding *finding = &state->findings[i];
        if (memcmp(&finding->collection, &collection, sizeof(collection)) == 0)
            problem = och_arena_copy(arena, finding->message, strlen(finding->message));
    }
    och_mutex_unlock(&state->lock);
    return problem;
}

/* --- what is found ------------------------------------------------------------------- */

static void
remember(struct ochre_db *db, const struct och_check_finding *finding)
{
    struct och_scrub_state *state = &db->scrub;
    och_mutex_lock(&state->lock);
    if (state->n_findings < OCH_SCRUB_FINDINGS_MAX) {
        struct och_scrub_finding *to = &state->findings[state->n_findings++];
        to->collection = *finding->collection;
        (void) snprintf(to->message, sizeof(to->message), "%s%s", finding->message,
                finding->is_derived ? " (it is made of the records, and is being made anew)" : "");
    }
    och_mutex_unlock(&state->lock);
}

/* Have a file written anew whose records are whole. */
static void
wear(struct ochre_db *db, struct och_uuid id, uint64_t segment_id)
{
    struct och_arena arena;
    struct och_collection_row row;
    struct och_collection *collection = NULL;
    och_arena_init(&arena, &db->mem);
    ochre_status status = db->catalog->ops->collection_by_id(db->catalog, &arena, id, &row, NULL);
    if (status == OCHRE_OK)
        status = och_engine_collection(db->engine, &row, &collection, NULL);
    och_arena_clear(&arena);
    if (status != OCHRE_OK)
        return; /* the next scrub, or a query, finds it again */
    och_mutex_lock(&collection->lock);
    struct och_view *view = och_view_retain(collection->view);
    och_mutex_unlock(&collection->lock);
    for (uint32_t i = 0; view != NULL && i < view->n_segments; i++) {
        if (view->segments[i]->id == segment_id)
            och_segment_wear(view->segments[i]);
    }
    if (view != NULL)
        och_maintain_read(collection, view);
    och_view_release(view);
    och_collection_release(collection);
}

static void
note(void *context, const struct och_check_finding *finding)
{
    struct scrub *scrub = context;
    if (finding->kind == OCH_CHECK_DAMAGE && finding->collection != NULL) {
        remember(scrub->db, finding);
        if (finding->is_derived)
            wear(scrub->db, *finding->collection, finding->segment);
    }
    if (scrub->options->report != NULL)
        scrub->options->report(scrub->options->context, finding);
}

/* --- the parts ------------------------------------------------------------------------- */

/* Damage is found, and the scrub goes on; anything else ends it. */
static ochre_status
go_on(ochre_status status)
{
    return status == OCHRE_CORRUPT ? OCHRE_OK : status;
}

static ochre_status
scrub_head(struct scrub *scrub, struct ochre_error *err)
{
    struct ochre_db *db = scrub->db;
    struct och_held_files *held = NULL;
    ochre_status status = och_held_files_make(&db->mem, db, &held, err);
    if (status == OCHRE_OK)
        status = go_on(och_check_head(och_held_files_vfs(held), db->options.machine, &db->directory,
                &scrub->check, &scrub->totals, err));
    och_held_files_release(held);
    return status;
}

/* Of a damaged catalog none is made: the copy may be all there is. */
static ochre_status
scrub_copy(struct scrub *scrub, struct ochre_error *err)
{
    struct och_catalog *catalog = scrub->db->catalog;
    struct och_check_finding finding = {.kind = OCH_CHECK_DAMAGE,
            .path = "catalog.copy",
            .message = "it and catalog.db did not agree; the one that was wrong was made anew",
            .is_derived = true};
    bool mended = false;
    if (scrub->totals.n_damaged > 0)
        return OCHRE_OK;
    ochre_status status = catalog->ops->scrub_copy(catalog, &mended, err);
    scrub->totals.n_files++;
    if (!mended)
        return go_on(status);
    scrub->totals.n_damaged++;
    note(scrub, &finding);
    return OCHRE_OK;
}

static ochre_status
scrub_collections(struct scrub *scrub, struct ochre_error *err)
{
    struct ochre_db *db = scrub->db;
    struct och_buf ids;
    och_buf_init(&ids, &db->mem, SIZE_MAX / 2);
    ochre_status status = och_db_list_collections(db, &ids, err);
    for (size_t at = 0; status == OCHRE_OK && at < ids.size; at += sizeof(struct och_uuid)) {
        struct och_uuid id;
        memcpy(id.bytes, ids.data + at, sizeof(id.bytes));
        status = go_on(och_check_collection(
                db->options.vfs, db->catalog, id, &scrub->check, &scrub->totals, err));
    }
    och_buf_clear(&ids);
    return status;
}

/* --- all of it ------------------------------------------------------------------------- */

static bool
wait(void *context, uint64_t ms)
{
    struct scrub *scrub = context;
    if (atomic_load_explicit(&scrub->db->gives_up, memory_order_relaxed))
        return false;
    return scrub->options->wait(scrub->options->context, ms);
}

static ochre_status
run(struct scrub *scrub, struct ochre_error *err)
{
    struct och_scrub_state *state = &scrub->db->scrub;
    och_mutex_lock(&state->lock);
    state->n_findings = 0;
    och_mutex_unlock(&state->lock);
    ochre_status status = scrub_head(scrub, err);
    if (status == OCHRE_OK)
        status = scrub_copy(scrub, err);
    scrub->totals.n_collections = 0; /* counted one by one from here on */
    if (status == OCHRE_OK)
        status = scrub_collections(scrub, err);
    if (status != OCHRE_OK)
        return status;
    och_mutex_lock(&state->lock);
    state->ended_unix_s = och_machine_wall_ns(scrub->db->options.machine) / 1000000000u;
    state->totals = scrub->totals;
    och_mutex_unlock(&state->lock);
    if (scrub->totals.n_damaged == 0)
        return OCHRE_OK;
    return och_fail(err, OCHRE_CORRUPT, "%llu findings of damage",
            (unsigned long long) scrub->totals.n_damaged);
}

ochre_status
och_op_scrub(struct ochre_db *db, const struct och_scrub_options *options,
        struct och_check_totals *totals_out, struct ochre_error *err)
{
    struct scrub scrub = {.db = db, .options = options};
    *totals_out = scrub.totals;
    scrub.pace = (struct och_read_pace){.machine = db->options.machine,
            .rate = options->rate,
            .wait = options->wait == NULL ? NULL : wait,
            .context = &scrub};
    scrub.check = (struct och_check_options){
            .pace = &scrub.pace, .report = note, .context = &scrub, .mem = &db->mem};
    ochre_status status = och_db_admit_change(db, err);
    if (status != OCHRE_OK)
        return status;
    if (atomic_flag_test_and_set(&db->scrub.is_running))
        return och_fail(err, OCHRE_BUSY, "The database is being scrubbed already");
    status = run(&scrub, err);
    atomic_flag_clear(&db->scrub.is_running);
    *totals_out = scrub.totals;
    return status;
}
