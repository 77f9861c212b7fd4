#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "base/uuid.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "engine/engine.h"
#include "engine/index_status.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"
#include "support/check.h"
#include "unit/engine/rig.h"
#include "unit/index/random_metadata.h"

/* --- random work ---------------------------------------------------------------- */

enum { N_NUMBERS = 120, BATCH_MAX = 12, SNAPSHOTS = 4 };

/* A result that is kept while the collection changes, and what it showed. */
struct kept {
    struct och_result *result;
    struct rig_model model;
};

struct work {
    struct rig rig;
    struct och_collection *collection;
    struct rig_model model;
    struct kept kept[SNAPSHOTS];
    uint64_t seed;
    uint32_t tag;
};

static void
write_random(struct work *w)
{
    static const enum och_write_op ops[] = {OCH_WRITE_ADD, OCH_WRITE_ADD, OCH_WRITE_UPDATE,
            OCH_WRITE_UPSERT, OCH_WRITE_UPSERT, OCH_WRITE_DELETE};
    uint32_t numbers[BATCH_MAX];
    struct ochre_error err;
    struct rig_write write = {.op = ops[och_random_below(&w->seed, 6)],
            .numbers = numbers,
            .n = 1 + och_random_below(&w->seed, BATCH_MAX),
            .tag = ++w->tag,
            .columns = RIG_ALL};
    for (size_t i = 0; i < write.n; i++)
        numbers[i] = (uint32_t) och_random_below(&w->seed, N_NUMBERS);
    if (write.op == OCH_WRITE_UPDATE)
        write.columns = (unsigned) och_random_below(&w->seed, RIG_ALL + 1);
    else if (write.op == OCH_WRITE_DELETE)
        write.columns = 0;
    else
        write.columns = RIG_VECTOR | (unsigned) och_random_below(&w->seed, RIG_ALL + 1);
    check_ok(rig_write(&w->rig, w->collection, &write, &err), &err);
    model_write(&w->model, &write);
}

static void
delete_random(struct work *w)
{
    struct ochre_error err;
    if (w->model.n == 0)
        return;
    uint32_t tag = w->model.records[och_random_below(&w->seed, w->model.n)].fields;
    uint64_t limit =
            och_random_below(&w->seed, 2) == 0 ? UINT64_MAX : och_random_below(&w->seed, 4);
    uint64_t n;
    if (tag == 0)
        return;
    check_ok(rig_delete_tag(&w->rig, w->collection, tag, limit, &n, &err), &err);
    check(n == model_delete_tag(&w->model, tag, limit));
}

static void
let_go(struct kept *kept)
{
    if (kept->result != NULL)
        check_result(kept->result, &kept->model);
    och_result_release(kept->result);
    kept->result = NULL;
}

static void
keep_one(struct work *w)
{
    struct kept *kept = &w->kept[och_random_below(&w->seed, SNAPSHOTS)];
    let_go(kept);
    kept->result = rig_get_all(&w->rig, w->collection);
    kept->model = w->model;
}

static void
open_again(struct work *w)
{
    for (int i = 0; i < SNAPSHOTS; i++)
        let_go(&w->kept[i]);
    och_collection_release(w->collection);
    rig_reopen(&w->rig);
    w->collection = rig_collection(&w->rig, "things");
    check_collection(&w->rig, w->collection, &w->model);
}

/* Adds, updates, upserts and deletes, with heads sealed, the engine opened again
 * and old results looked at in between. */
static void
random_work_agrees_with_a_list(void **state)
{
    (void) state;
    static struct work w;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct ochre_error err;
        memset(&w, 0, sizeof(w));
        w.seed = seed;
        rig_begin(&w.rig);
        w.rig.options.head_rows_max = seed % 3 == 0 ? 0 : 40;
        check_ok(rig_open(&w.rig, &err), &err);
        w.collection = rig_create(&w.rig, "things");
        for (int step = 0; step < 250; step++) {
            uint64_t dice = och_random_below(&w.seed, 100);
            if (dice < 70)
                write_random(&w);
            else if (dice < 80)
                delete_random(&w);
            else if (dice < 90)
                keep_one(&w);
            else if (dice < 96)
                check_ok(och_engine_seal_all(w.rig.engine, &err), &err);
            else
                open_again(&w);
            check_collection(&w.rig, w.collection, &w.model);
        }
        open_again(&w);
        och_collection_release(w.collection);
        rig_end(&w.rig);
    }
}

/* --- snapshots --------------------------------------------------------------------- */

static struct rig rig;
static struct rig_model model, later;

static void
model_add(struct rig_model *to, uint32_t first, uint32_t n, uint32_t tag)
{
    static uint32_t numbers[RIG_RECORDS_MAX];
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = first + i;
    struct rig_write write = {
            .op = OCH_WRITE_ADD, .numbers = numbers, .n = n, .tag = tag, .columns = RIG_ALL};
    model_write(to, &write);
}

static struct och_collection *
begin(uint32_t head_rows)
{
    struct ochre_error err;
    rig_begin(&rig);
    memset(&model, 0, sizeof(model));
    memset(&later, 0, sizeof(later));
    rig.options.head_rows_max = head_rows;
    check_ok(rig_open(&rig, &err), &err);
    return rig_create(&rig, "things");
}

static void
a_result_outlives_seals_deletes_and_the_collection(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(50);
    rig_add(&rig, collection, 0, 120, 1);
    model_add(&model, 0, 120, 1);
    struct och_result *head_result = rig_get_all(&rig, collection);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    struct och_result *file_result = rig_get_all(&rig, collection);
    uint64_t n;
    check_ok(rig_delete_tag(&rig, collection, 1, UINT64_MAX, &n, &err), &err);
    check(n == 120);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    check_collection(&rig, collection, &later);
    check_ok(och_engine_drop(rig.engine, collection->id, &err), &err);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 0);
    check(rig_try(&rig, collection, &err) == OCHRE_NOT_FOUND);
    check_result(head_result, &model);
    check_result(file_result, &model);
    och_result_release(head_result);
    och_result_release(file_result);
    och_collection_release(collection);
    rig_end(&rig);
}

static void
a_result_keeps_its_rows_while_they_are_updated(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(1000);
    rig_add(&rig, collection, 0, 100, 1);
    model_add(&model, 0, 100, 1);
    later = model;
    struct och_result *result = rig_get_all(&rig, collection);
    uint32_t numbers[] = {3, 50, 99};
    struct rig_write write = {
            .op = OCH_WRITE_UPDATE, .numbers = numbers, .n = 3, .tag = 7, .columns = RIG_ALL};
    check_ok(rig_write(&rig, collection, &write, &err), &err);
    model_write(&later, &write);
    check_collection(&rig, collection, &later);
    check_result(result, &model);
    och_result_release(result);
    och_collection_release(collection);
    rig_end(&rig);
}

/* --- reading ------------------------------------------------------------------------ */

static void
ids_select_in_insertion_order_and_each_once(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(10);
    rig_add(&rig, collection, 0, 25, 1);
    struct ochre_bytes ids[] = {text("k24"), text("k3"), text("nobody"), text("k3"), text("k12")};
    struct och_get get = {.select = {.mem = &rig.mem, .has_ids = true, .ids = ids, .n_ids = 5},
            .limit = UINT64_MAX};
    struct och_result *result;
    check_ok(och_engine_get(&rig.mem, collection, &get, &result, &err), &err);
    check(result->lists[0].n == 3);
    check(same_text(result->lists[0].hits[0].id, text("k3")));
    check(same_text(result->lists[0].hits[1].id, text("k12")));
    check(same_text(result->lists[0].hits[2].id, text("k24")));
    och_result_release(result);
    och_collection_release(collection);
    rig_end(&rig);
}

static void
offset_and_limit_cut_a_window(void **state)
{
    (void) state;
    static const struct {
        uint64_t offset, limit, n;
    } windows[] = {{0, UINT64_MAX, 25}, {0, 0, 0}, {5, 3, 3}, {24, 10, 1}, {25, 1, 0},
            {UINT64_MAX, UINT64_MAX, 0}, {20, UINT64_MAX, 5}};
    struct ochre_error err;
    struct och_collection *collection = begin(10);
    rig_add(&rig, collection, 0, 25, 1);
    for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
        struct och_get get = {.select = {.mem = &rig.mem},
                .offset = windows[i].offset,
                .limit = windows[i].limit};
        struct och_result *result;
        check_ok(och_engine_get(&rig.mem, collection, &get, &result, &err), &err);
        check(result->lists[0].n == windows[i].n);
        if (windows[i].n > 0) {
            char id[16];
            (void) snprintf(id, sizeof(id), "k%u", (unsigned) windows[i].offset);
            check(same_text(result->lists[0].hits[0].id, text(id)));
        }
        och_result_release(result);
    }
    och_collection_release(collection);
    rig_end(&rig);
}

static ochre_status
query(struct och_collection *collection, size_t dim, struct ochre_bytes id, bool must_exist,
        struct ochre_error *err)
{
    static const float zeros[4] = {0};
    struct och_query what = {
            .select = {.mem = &rig.mem, .has_ids = id.data != NULL, .ids = &id, .n_ids = 1},
            .queries = zeros,
            .n_queries = 1,
            .dim = dim,
            .k = 3,
            .all_ids_must_exist = must_exist};
    struct och_result *result;
    ochre_status status = och_engine_query(&rig.mem, collection, &what, &result, err);
    och_result_release(result);
    return status;
}

static void
queries_of_another_dimension_or_for_missing_ids_are_refused(void **state)
{
    (void) state;
    struct ochre_error err;
    struct ochre_bytes none = {NULL, 0};
    struct och_collection *collection = begin(10);
    check_ok(query(collection, 4, none, false, &err), &err); /* no dimension yet */
    rig_add(&rig, collection, 0, 25, 1);
    check_ok(query(collection, 2, none, false, &err), &err);
    check(query(collection, 4, none, false, &err) == OCHRE_INVALID);
    check_ok(query(collection, 2, text("k7"), true, &err), &err);
    check_ok(query(collection, 2, text("nobody"), false, &err), &err);
    check(query(collection, 2, text("nobody"), true, &err) == OCHRE_INTERNAL);
    check(strstr(err.message, "nobody") != NULL);
    och_collection_release(collection);
    rig_end(&rig);
}

static void
no_queries_and_no_neighbours_are_empty_answers(void **state)
{
    (void) state;
    static const float zeros[4] = {0};
    struct ochre_error err;
    struct och_result *result;
    struct och_collection *collection = begin(10);
    rig_add(&rig, collection, 0, 25, 1);
    struct och_query what = {.select = {.mem = &rig.mem}, .queries = zeros, .dim = 2, .k = 3};
    check_ok(och_engine_query(&rig.mem, collection, &what, &result, &err), &err);
    check(result->n_lists == 0);
    och_result_release(result);
    what.n_queries = 2;
    what.k = 0;
    check_ok(och_engine_query(&rig.mem, collection, &what, &result, &err), &err);
    check(result->n_lists == 2 && result->lists[1].n == 0);
    och_result_release(result);
    och_collection_release(collection);
    rig_end(&rig);
}

/* --- dropping ------------------------------------------------------------------------- */

static void
a_dropped_collection_is_gone_for_those_who_hold_it(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(10);
    struct och_collection *other = rig_create(&rig, "others");
    rig_add(&rig, collection, 0, 25, 1);
    rig_add(&rig, other, 0, 25, 2);
    model_add(&model, 0, 25, 2);
    check_ok(och_engine_drop(rig.engine, collection->id, &err), &err);
    uint32_t number = 1;
    struct rig_write write = {.op = OCH_WRITE_DELETE, .numbers = &number, .n = 1};
    check(rig_write(&rig, collection, &write, &err) == OCHRE_NOT_FOUND);
    check(rig_try(&rig, collection, &err) == OCHRE_NOT_FOUND);
    check(och_engine_drop(rig.engine, collection->id, &err) == OCHRE_NOT_FOUND);
    check(och_engine_loaded(rig.engine, collection->id) == NULL);
    check_collection(&rig, other, &model);
    och_collection_release(collection);
    och_collection_release(other);
    rig_reopen(&rig);
    other = rig_collection(&rig, "others");
    check_collection(&rig, other, &model);
    och_collection_release(other);
    rig_end(&rig);
}

static void
a_reset_leaves_nothing_but_the_defaults(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(10);
    struct och_collection *sealed = rig_create(&rig, "sealed");
    rig_add(&rig, sealed, 0, 25, 1);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    rig_add(&rig, collection, 0, 5, 1);
    och_collection_release(sealed);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) > 0);
    check_ok(och_engine_reset(rig.engine, &err), &err);
    check(rig_count_files(&rig, OCH_DIR_SEGMENTS) == 0);
    check(rig_try(&rig, collection, &err) == OCHRE_NOT_FOUND);
    och_collection_release(collection);
    collection = rig_create(&rig, "things");
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    rig_end(&rig);
}

/* A collection that was dropped between being found and being loaded does not
 * come back to life. */
static void
a_collection_loaded_as_it_is_dropped_is_dropped(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(10);
    struct och_collection_row row = {.id = collection->id,
            .tenant = collection->tenant,
            .database = collection->database,
            .name = text("things"),
            .schema = text("l2"),
            .number = collection->number};
    check_ok(och_engine_drop(rig.engine, collection->id, &err), &err);
    struct och_collection *again;
    check(och_engine_collection(rig.engine, &row, &again, &err) == OCHRE_NOT_FOUND);
    check(again == NULL);
    och_collection_release(collection);
    rig_end(&rig);
}

/* The catalog says that the collection is there, and just then it goes. */
static struct och_catalog_ops inner_ops;
static bool drop_when_read;

static ochre_status
state_get_and_drop(struct och_catalog *catalog, struct och_arena *arena, struct och_uuid id,
        struct och_collection_state *state_out, struct och_segment_row **segments_out,
        size_t *n_out, struct ochre_error *err)
{
    ochre_status status =
            inner_ops.state_get(catalog, arena, id, state_out, segments_out, n_out, err);
    if (drop_when_read) {
        drop_when_read = false;
        check_ok(och_engine_drop(rig.engine, id, err), err);
    }
    return status;
}

static void
a_collection_dropped_while_it_loads_is_dropped(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(10);
    struct och_collection_row row = {.id = collection->id,
            .tenant = text(OCH_DEFAULT_TENANT),
            .database = text(OCH_DEFAULT_DATABASE),
            .name = text("things"),
            .schema = text("l2"),
            .number = collection->number};
    och_collection_release(collection);
    rig_reopen(&rig);
    inner_ops = rig.catalog_ops;
    rig.catalog_ops.state_get = state_get_and_drop;
    drop_when_read = true;
    struct och_collection *again;
    check(och_engine_collection(rig.engine, &row, &again, &err) == OCHRE_NOT_FOUND);
    check(again == NULL && och_engine_loaded(rig.engine, row.id) == NULL);
    rig_end(&rig);
}

/* --- settings ---------------------------------------------------------------------------- */

/* The recall of a schema in the rig: plain 0.99, with a mark 0.5. */
static void
update(struct och_collection_row *row, const char *schema)
{
    struct ochre_error err;
    row->schema = text(schema);
    och_commit_enter(rig.engine->commit);
    check_ok(och_engine_update(rig.engine, row, &err), &err);
    och_commit_leave(rig.engine->commit);
}

static struct och_collection_row
row_of(const struct och_collection *collection, const char *schema)
{
    return (struct och_collection_row){.id = collection->id,
            .tenant = text(OCH_DEFAULT_TENANT),
            .database = text(OCH_DEFAULT_DATABASE),
            .name = text("things"),
            .schema = text(schema),
            .number = collection->number};
}

static void
an_update_changes_the_settings_of_a_loaded_collection_but_not_its_space(void **state)
{
    (void) state;
    struct och_collection *collection = begin(10);
    check(och_collection_settings(collection).recall_target == 0.99F);
    struct och_collection_row row = row_of(collection, "l2");
    update(&row, "cosine!");
    check(och_collection_settings(collection).recall_target == 0.5F);
    check(och_collection_settings(collection).space == OCHRE_SPACE_L2);
    check(collection->space == OCHRE_SPACE_L2);
    update(&row, "l2");
    check(och_collection_settings(collection).recall_target == 0.99F);
    och_collection_release(collection);
    rig_end(&rig);
}

static void
a_refused_update_changes_no_settings(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(10);
    struct och_collection_row row = row_of(collection, "");
    och_commit_enter(rig.engine->commit);
    check(och_engine_update(rig.engine, &row, &err) == OCHRE_CORRUPT);
    row.schema = text("l2!");
    row.id.bytes[0] ^= 1;
    check(och_engine_update(rig.engine, &row, &err) == OCHRE_NOT_FOUND);
    och_commit_leave(rig.engine->commit);
    check(och_collection_settings(collection).recall_target == 0.99F);
    och_collection_release(collection);
    rig_end(&rig);
}

static bool update_when_read;

static ochre_status
state_get_and_update(struct och_catalog *catalog, struct och_arena *arena, struct och_uuid id,
        struct och_collection_state *state_out, struct och_segment_row **segments_out,
        size_t *n_out, struct ochre_error *err)
{
    struct och_collection_row row;
    if (update_when_read) {
        update_when_read = false;
        check_ok(inner_ops.collection_by_id(catalog, arena, id, &row, err), err);
        update(&row, "l2!");
    }
    return inner_ops.state_get(catalog, arena, id, state_out, segments_out, n_out, err);
}

static ochre_status
row_before_an_update(struct och_catalog *catalog, struct och_arena *arena, struct och_uuid id,
        struct och_collection_row *row_out, struct ochre_error *err)
{
    ochre_status status = inner_ops.collection_by_id(catalog, arena, id, row_out, err);
    if (update_when_read) {
        struct och_collection_row row = *row_out;
        update_when_read = false;
        update(&row, "l2");
    }
    return status;
}

/* The catalog is read, changed, and only then is the collection in the table. */
static void
a_collection_updated_while_it_loads_has_the_new_settings(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(10);
    struct och_collection_row row = row_of(collection, "l2");
    och_collection_release(collection);
    rig_reopen(&rig);
    inner_ops = rig.catalog_ops;
    rig.catalog_ops.state_get = state_get_and_update;
    update_when_read = true;
    check_ok(och_engine_collection(rig.engine, &row, &collection, &err), &err);
    check(och_collection_settings(collection).recall_target == 0.5F);
    och_collection_release(collection);
    rig_end(&rig);
}

/* What was read again is older than what an update has found in the table. */
static void
a_collection_updated_when_it_has_loaded_keeps_the_newer_settings(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(10);
    struct och_collection_row row = row_of(collection, "l2");
    och_collection_release(collection);
    update(&row, "l2!");
    rig_reopen(&rig);
    row.schema = text("l2"); /* from before */
    inner_ops = rig.catalog_ops;
    rig.catalog_ops.collection_by_id = row_before_an_update;
    update_when_read = true;
    check_ok(och_engine_collection(rig.engine, &row, &collection, &err), &err);
    check(!update_when_read);
    check(och_collection_settings(collection).recall_target == 0.99F);
    och_collection_release(collection);
    rig_end(&rig);
}

/* --- memory ------------------------------------------------------------------------------ */

/* One of everything, each allocation refused in turn: nothing changes, or all. */
static void
any_refused_allocation_leaves_a_request_undone(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(1000);
    rig_add(&rig, collection, 0, 40, 1);
    model_add(&model, 0, 40, 1);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    rig_add(&rig, collection, 40, 40, 2);
    model_add(&model, 40, 40, 2);
    unsigned n_points = 0;
    for (int kind = 0; kind < 5; kind++) {
        ochre_status status = OCHRE_NO_MEMORY;
        bool refused = true;
        for (uint64_t n = 1; refused; n++) {
            uint32_t numbers[] = {3, 60, 200, 201};
            struct rig_write write = {.op = kind == 0 ? OCH_WRITE_UPSERT : OCH_WRITE_DELETE,
                    .numbers = numbers,
                    .n = 4,
                    .tag = 5,
                    .columns = kind == 0 ? RIG_ALL : 0};
            uint64_t deleted = 0;
            rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + n;
            if (kind <= 1)
                status = rig_write(&rig, collection, &write, &err);
            else if (kind == 2)
                status = rig_delete_tag(&rig, collection, 2, 3, &deleted, &err);
            else if (kind == 3)
                status = rig_try(&rig, collection, &err);
            else
                status = och_engine_seal_all(rig.engine, &err);
            refused = atomic_load(&rig.mem.n_grants) >= rig.mem.fail_at;
            rig.mem.fail_at = 0;
            check(status == OCHRE_OK || (refused && status == OCHRE_NO_MEMORY));
            check(status == OCHRE_OK || deleted == 0);
            if (status == OCHRE_OK && kind <= 1)
                model_write(&model, &write);
            if (status == OCHRE_OK && kind == 2)
                (void) model_delete_tag(&model, 2, 3);
            check_collection(&rig, collection, &model);
            n_points++;
            if (status == OCHRE_OK && kind == 4 && refused) {
                /* Sealed without what it can do without: once more, with something to seal. */
                rig_add(&rig, collection, 400 + (uint32_t) n, 1, 3);
                model_add(&model, 400 + (uint32_t) n, 1, 3);
            }
        }
    }
    check(n_points > 40);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    rig_end(&rig);
}

static ochre_status
explain(struct och_collection *collection, struct och_result **result_out, struct ochre_error *err)
{
    static const float vectors[2 * RIG_DIM] = {0};
    struct och_query query = {.select = {.mem = &rig.mem},
            .queries = vectors,
            .n_queries = 2,
            .dim = RIG_DIM,
            .k = 3,
            .explain = true};
    return och_engine_query(&rig.mem, collection, &query, result_out, err);
}

/* What only looks, each allocation refused in turn. */
static void
status_and_explanation_may_run_out_of_memory_anywhere(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(1000);
    rig_add(&rig, collection, 0, 40, 1);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    rig_add(&rig, collection, 40, 10, 2);
    for (int kind = 0; kind < 2; kind++) {
        ochre_status status = OCHRE_NO_MEMORY;
        uint64_t n = 0;
        while (status != OCHRE_OK) {
            struct och_result *result = NULL;
            struct och_index_status found;
            rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + ++n;
            if (kind == 0)
                status = och_engine_index_status(&rig.mem, collection, &found, &err);
            else
                status = explain(collection, &result, &err);
            rig.mem.fail_at = 0;
            check(status == OCHRE_OK || (status == OCHRE_NO_MEMORY && result == NULL));
            if (status == OCHRE_OK && kind == 0)
                check(found.rows == 50 && found.n_segments == 1 && found.n_operations == 2);
            if (status == OCHRE_OK && kind == 1)
                check(result->explains[1].n_sources == 2);
            och_result_release(result);
        }
        check(n > 1);
    }
    och_collection_release(collection);
    rig_end(&rig);
}

static void
opening_may_run_out_of_memory_anywhere(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(30);
    rig_add(&rig, collection, 0, 100, 1);
    model_add(&model, 0, 100, 1);
    uint64_t n_deleted;
    check_ok(rig_delete_tag(&rig, collection, 1, 7, &n_deleted, &err), &err);
    (void) model_delete_tag(&model, 1, 7);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    rig_add(&rig, collection, 200, 20, 2);
    model_add(&model, 200, 20, 2);
    och_collection_release(collection);
    rig_close(&rig);
    ochre_status status = OCHRE_NO_MEMORY;
    unsigned n_points = 0;
    while (status != OCHRE_OK) {
        rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + ++n_points;
        status = rig_open(&rig, &err);
        rig.mem.fail_at = 0;
        check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        check(status == OCHRE_OK || och_mem_used(&rig.mem) == 0);
    }
    check(n_points > 20);
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    rig_end(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(random_work_agrees_with_a_list),
            cmocka_unit_test(a_result_outlives_seals_deletes_and_the_collection),
            cmocka_unit_test(a_result_keeps_its_rows_while_they_are_updated),
            cmocka_unit_test(ids_select_in_insertion_order_and_each_once),
            cmocka_unit_test(offset_and_limit_cut_a_window),
            cmocka_unit_test(queries_of_another_dimension_or_for_missing_ids_are_refused),
            cmocka_unit_test(no_queries_and_no_neighbours_are_empty_answers),
            cmocka_unit_test(a_dropped_collection_is_gone_for_those_who_hold_it),
            cmocka_unit_test(a_reset_leaves_nothing_but_the_defaults),
            cmocka_unit_test(a_collection_loaded_as_it_is_dropped_is_dropped),
            cmocka_unit_test(a_collection_dropped_while_it_loads_is_dropped),
            cmocka_unit_test(
                    an_update_changes_the_settings_of_a_loaded_collection_but_not_its_space),
            cmocka_unit_test(a_refused_update_changes_no_settings),
            cmocka_unit_test(a_collection_updated_while_it_loads_has_the_new_settings),
            cmocka_unit_test(a_collection_updated_when_it_has_loaded_keeps_the_newer_settings),
            cmocka_unit_test(any_refused_allocation_leaves_a_request_undone),
            cmocka_unit_test(status_and_explanation_may_run_out_of_memory_anywhere),
            cmocka_unit_test(opening_may_run_out_of_memory_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
