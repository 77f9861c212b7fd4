/* Reading the past: what each position shows, whatever happened since, or a refusal. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/random.h"
#include "engine/collection.h"
#include "engine/follow.h"
#include "engine/history.h"
#include "engine/snapshot.h"
#include "sim/sim_disk.h"
#include "support/check.h"
#include "unit/engine/rig.h"
#include "unit/index/random_metadata.h"

enum { POSITIONS_MAX = 2000 };

static struct rig rig;
static struct rig_model model;

/* What the collection was at each position. */
static struct {
    struct rig_record *records;
    size_t n;
} past[POSITIONS_MAX];
static uint64_t newest;

static void
remember(uint64_t position)
{
    check(position < POSITIONS_MAX);
    for (; newest < position; newest++)
        past[newest + 1].records = NULL;
    free(past[position].records);
    past[position].n = model.n;
    past[position].records = calloc(model.n + 1, sizeof(model.records[0]));
    check(past[position].records != NULL);
    memcpy(past[position].records, model.records, model.n * sizeof(model.records[0]));
}

static void
forget_past(void)
{
    for (size_t i = 0; i < POSITIONS_MAX; i++) {
        free(past[i].records);
        past[i].records = NULL;
        past[i].n = 0;
    }
    newest = 0;
}

static struct och_collection *
begin(uint32_t head_rows)
{
    struct ochre_error err;
    model.n = 0;
    forget_past();
    rig_begin(&rig);
    rig.options.head_rows_max = head_rows;
    rig.options.merge.fan_in = 3;
    rig.options.merge.dead_percent = 30;
    check_ok(rig_open(&rig, &err), &err);
    struct och_collection *collection = rig_create(&rig, "things");
    remember(0);
    return collection;
}

static void
end(struct och_collection *collection)
{
    och_collection_release(collection);
    rig_end(&rig);
    forget_past();
}

/* A write to both. */
static void
put(struct och_collection *collection, enum och_write_op op, uint32_t first, uint32_t n,
        uint32_t step, uint32_t tag)
{
    uint32_t numbers[64];
    struct ochre_error err;
    check(n <= 64);
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = first + i * step;
    struct rig_write write = {.op = op,
            .numbers = numbers,
            .n = n,
            .tag = tag,
            .columns = op == OCH_WRITE_DELETE ? 0 : RIG_ALL};
    check_ok(rig_write(&rig, collection, &write, &err), &err);
    model_write(&model, &write);
    remember(och_collection_position(collection));
}

static void
put_some(struct och_collection *collection, uint64_t *seed)
{
    static const enum och_write_op ops[] = {
            OCH_WRITE_ADD, OCH_WRITE_UPDATE, OCH_WRITE_UPSERT, OCH_WRITE_DELETE};
    enum och_write_op op = ops[och_random_below(seed, 4)];
    put(collection, op, (uint32_t) och_random_below(seed, 120),
            1 + (uint32_t) och_random_below(seed, op == OCH_WRITE_DELETE ? 10 : 30), 2,
            1 + (uint32_t) och_random_below(seed, 5));
}

/* Does a position show what there was? */
static void
check_at(struct rig *reader, struct och_collection *collection, uint64_t position)
{
    static struct rig_model then;
    check(past[position].records != NULL);
    then.n = past[position].n;
    memcpy(then.records, past[position].records, then.n * sizeof(then.records[0]));
    check_collection_at(reader, collection, &then, &position);
}

static ochre_status
try_at(struct rig *reader, struct och_collection *collection, uint64_t position,
        struct ochre_error *err)
{
    uint64_t count;
    return och_engine_count(&reader->mem, collection, &position, &count, NULL, err);
}

/* All positions from `first` on are there, and none before. */
static void
check_from(struct rig *reader, struct och_collection *collection, uint64_t first)
{
    struct ochre_error err;
    for (uint64_t position = first; position <= newest; position++)
        check_at(reader, collection, position);
    for (uint64_t position = 0; position < first; position++)
        check(try_at(reader, collection, position, &err) == OCHRE_STALE);
    check(try_at(reader, collection, newest + 1, &err) == OCHRE_STALE);
}

static uint64_t
oldest_of(struct och_collection *collection)
{
    return och_history_oldest(&rig.engine->history, collection->id, collection->view->position);
}

/* --- what is kept --------------------------------------------------------------------- */

static void
every_position_shows_what_there_was(void **state)
{
    (void) state;
    struct ochre_error err;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct och_collection *collection = begin(16 + (uint32_t) seed * 5);
        uint64_t random = seed, first = 0;
        for (int step = 0; step < 160; step++) {
            uint64_t what = och_random_below(&random, 40);
            if (what < 36) {
                put_some(collection, &random);
            } else if (what == 36) {
                check_ok(och_engine_seal_all(rig.engine, &err), &err);
            } else if (what == 37) {
                check_ok(och_engine_compact(rig.engine, collection, &err), &err);
            } else if (what == 38) {
                check_ok(och_engine_clean(collection, &err), &err);
            } else {
                och_collection_release(collection);
                rig_reopen(&rig);
                collection = rig_collection(&rig, "things");
                first = collection->view->position;
            }
            check(oldest_of(collection) == first);
            check_at(&rig, collection, first + och_random_below(&random, newest - first + 1));
        }
        check_from(&rig, collection, first);
        end(collection);
    }
}

/* A restart reads the log again: what is in no file has its positions. */
static void
after_a_restart_the_past_begins_with_the_files(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(64);
    put(collection, OCH_WRITE_ADD, 0, 40, 1, 1);
    put(collection, OCH_WRITE_DELETE, 5, 3, 1, 0);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    put(collection, OCH_WRITE_UPSERT, 0, 10, 1, 2);
    put(collection, OCH_WRITE_DELETE, 20, 5, 1, 0);
    check_from(&rig, collection, 0);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check(newest == 4);
    check_from(&rig, collection, 2);
    end(collection);
}

static void
a_purge_ends_the_past(void **state)
{
    (void) state;
    uint64_t lsn;
    struct ochre_error err;
    struct och_collection *collection = begin(16);
    uint64_t random = 5;
    for (int i = 0; i < 40; i++)
        put_some(collection, &random);
    check_from(&rig, collection, 0);
    check_ok(och_engine_purge_begin(rig.engine, &lsn, &err), &err);
    check_ok(och_engine_clean(collection, &err), &err);
    check_ok(och_engine_purge_end(rig.engine, lsn, &err), &err);
    check_from(&rig, collection, newest);
    for (int i = 0; i < 40; i++)
        put_some(collection, &random);
    check_from(&rig, collection, newest - 40);
    end(collection);
}

static void
a_fork_begins_where_it_was_made(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(16);
    uint64_t random = 6;
    for (int i = 0; i < 30; i++)
        put_some(collection, &random);
    uint64_t forked = newest;
    struct och_collection_row row = {.id = {{7}},
            .tenant = text(OCH_DEFAULT_TENANT),
            .database = text(OCH_DEFAULT_DATABASE),
            .name = text("fork")};
    check_ok(rig_fork(&rig, collection, &row, &err), &err);
    for (int i = 0; i < 30; i++)
        put_some(collection, &random);
    check_from(&rig, collection, 0);
    struct och_collection *fork = rig_collection(&rig, "fork");
    check_at(&rig, fork, forked);
    check(try_at(&rig, fork, forked - 1, &err) == OCHRE_STALE);
    check(try_at(&rig, fork, forked + 1, &err) == OCHRE_STALE);
    /* What is dropped is not held. */
    check_ok(och_engine_drop(rig.engine, collection->id, &err), &err);
    check(och_history_trim(&rig.engine->history) == false);
    och_collection_release(fork);
    end(collection);
}

static void
what_is_not_there_is_said(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(16);
    uint64_t random = 8;
    for (int i = 0; i < 40; i++)
        put_some(collection, &random);
    check(try_at(&rig, collection, 41, &err) == OCHRE_STALE);
    assert_string_equal(err.message, "as_of is 41; the newest position is 40");
    check(try_at(&rig, collection, UINT64_MAX, &err) == OCHRE_STALE);
    och_history_forget_all(&rig.engine->history);
    uint64_t first = collection->view->position;
    char wanted[200];
    (void) snprintf(wanted, sizeof(wanted),
            "as_of is 2; the oldest position that can still be read is %llu",
            (unsigned long long) first);
    check(first > 2 && try_at(&rig, collection, 2, &err) == OCHRE_STALE);
    assert_string_equal(err.message, wanted);
    end(collection);
}

/* --- how much is kept ------------------------------------------------------------------- */

static void
pass_seconds(uint64_t n)
{
    (void) atomic_fetch_add(&rig.machine.elapsed_ns, n * UINT64_C(1000000000));
}

static void
the_past_ends_with_time(void **state)
{
    (void) state;
    struct och_collection *collection = begin(16);
    put(collection, OCH_WRITE_ADD, 0, 20, 1, 1); /* sealed at once */
    uint64_t first = newest;
    check(collection->view->position == first);
    put(collection, OCH_WRITE_ADD, 20, 20, 1, 2);
    check_from(&rig, collection, 0);
    pass_seconds(OCH_RETAIN_SECONDS - 2);
    check(och_history_trim(&rig.engine->history));
    check_from(&rig, collection, 0);
    put(collection, OCH_WRITE_ADD, 40, 1, 1, 2);
    pass_seconds(3);
    check(!och_history_trim(&rig.engine->history));
    check_from(&rig, collection, collection->view->position);
    end(collection);
}

/* Two writes, of which the second fills the head. */
static void
put_head(struct och_collection *collection, uint32_t first)
{
    put(collection, OCH_WRITE_ADD, first, 10, 1, 1);
    put(collection, OCH_WRITE_ADD, first + 10, 10, 1, 1);
}

static void
the_past_takes_little_memory(void **state)
{
    (void) state;
    struct och_collection *collection = begin(16);
    struct och_history *history = &rig.engine->history;
    put_head(collection, 0);
    uint64_t one = history->load.memory;
    check(one > 10 * RIG_DIM * sizeof(float) && history->load.disk == 0);
    history->memory_max = 3 * one + one / 2;
    history->disk_max = UINT64_MAX;
    for (uint32_t i = 1; i < 20; i++) {
        put_head(collection, i * 20);
        check(history->load.memory <= history->memory_max);
    }
    check_from(&rig, collection, newest - 6);
    history->memory_max = UINT64_MAX;
    for (uint32_t i = 20; i < 20 + 2 * OCH_HISTORY_ENTRIES; i++)
        put(collection, OCH_WRITE_ADD, i * 20, 20, 1, 1);
    check(history->load.n_entries == OCH_HISTORY_ENTRIES);
    check_at(&rig, collection, newest - OCH_HISTORY_ENTRIES);
    struct ochre_error err;
    check(try_at(&rig, collection, newest - OCH_HISTORY_ENTRIES - 1, &err) == OCHRE_STALE);
    end(collection);
}

/* What a head that waits for being sealed will take is free before it comes. */
static void
room_is_made_for_what_comes(void **state)
{
    (void) state;
    struct och_collection *collection = begin(20);
    struct och_history *history = &rig.engine->history;
    history->memory_min = history->memory_max = history->disk_max = UINT64_MAX;
    for (uint32_t i = 0; i < 5; i++)
        put_head(collection, i * 20);
    uint64_t n = history->load.n_entries, memory = history->load.memory;
    check(n == 5);
    history->memory_min = history->memory_max = memory + 1000;
    och_history_make_room(history, 1000);
    check(history->load.n_entries == n);
    uint64_t oldest = history->oldest->load.memory;
    och_history_make_room(history, 1001);
    check(history->load.n_entries == n - 1 && history->load.memory == memory - oldest);
    check_from(&rig, collection, oldest_of(collection));
    och_history_make_room(history, UINT64_C(1) << 60);
    check(history->load.n_entries == 0 && history->load.memory == 0);
    end(collection);
}

static void
the_past_takes_little_of_the_disk(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(16);
    struct och_history *history = &rig.engine->history;
    put(collection, OCH_WRITE_ADD, 0, 20, 1, 1);
    put(collection, OCH_WRITE_ADD, 20, 20, 1, 1);
    put(collection, OCH_WRITE_ADD, 40, 1, 1, 1);
    check(history->load.disk == 0);
    history->disk_max = collection->view->segments[0]->file_size - 1;
    check_ok(och_engine_compact(rig.engine, collection, &err), &err);
    /* Only the position before the first file needs none. */
    check(history->load.disk == 0);
    check(oldest_of(collection) == collection->view->position);
    check_at(&rig, collection, newest);
    end(collection);
}

static void
where_memory_is_short_nothing_is_kept(void **state)
{
    (void) state;
    struct och_collection *collection = begin(16);
    uint64_t random = 9;
    for (int i = 0; i < 40; i++)
        put_some(collection, &random);
    check(oldest_of(collection) == 0);
    rig.mem.limit = och_mem_used(&rig.mem) * 5 / 4;
    put(collection, OCH_WRITE_DELETE, 0, 1, 1, 0);
    check(rig.engine->history.oldest == NULL);
    rig.mem.limit = SIZE_MAX;
    check_at(&rig, collection, newest);
    end(collection);
}

/* Without memory for remembering, writing goes on, and what is kept is right. */
static void
what_cannot_be_kept_is_not(void **state)
{
    (void) state;
    struct ochre_error err;
    for (uint64_t refused = 1; refused < 60; refused++) {
        struct och_collection *collection = begin(1000);
        put(collection, OCH_WRITE_ADD, 0, 30, 1, 1);
        put(collection, OCH_WRITE_DELETE, 3, 3, 1, 1);
        rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + refused;
        ochre_status status = och_engine_seal_all(rig.engine, &err);
        rig.mem.fail_at = 0;
        if (status != OCHRE_OK)
            check_ok(och_engine_seal_all(rig.engine, &err), &err);
        check(collection->view->position == 2);
        if (try_at(&rig, collection, 1, &err) == OCHRE_OK)
            check_from(&rig, collection, 0);
        else
            check_from(&rig, collection, 2);
        end(collection);
    }
}

/* --- pages --------------------------------------------------------------------------------- */

/* One page of a position, compared with that part of the model; the place behind it. */
static bool
turn_page(struct och_collection *collection, const uint64_t *as_of, uint64_t limit,
        uint64_t *position_out, uint64_t *after, size_t *n_seen)
{
    static struct rig_model wanted;
    struct ochre_error err;
    struct och_result *result;
    struct och_get get = {.select = {.mem = &rig.mem},
            .limit = limit,
            .include = OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_METADATAS |
                    OCHRE_INCLUDE_EMBEDDINGS | OCHRE_INCLUDE_URIS,
            .as_of = as_of,
            .pages = true,
            .after = *n_seen == 0 ? NULL : after};
    check_ok(och_engine_get(&rig.mem, collection, &get, &result, &err), &err);
    *position_out = result->snapshot.facts.position;
    size_t left = past[*position_out].n - *n_seen;
    wanted.n = left < limit ? left : limit;
    memcpy(wanted.records, past[*position_out].records + *n_seen,
            wanted.n * sizeof(wanted.records[0]));
    check_result(result, &wanted);
    *n_seen += wanted.n;
    *after = result->last_ordinal;
    bool more = result->has_more;
    check(more == (*n_seen < past[*position_out].n));
    och_result_release(result);
    return more;
}

static void
pages_are_one_position_whatever_is_written(void **state)
{
    (void) state;
    struct ochre_error err;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct och_collection *collection = begin(24);
        uint64_t random = seed, position, after = 0;
        size_t n_seen = 0;
        for (int i = 0; i < 25; i++)
            put_some(collection, &random);
        /* But for what is paged through, nothing is kept. */
        rig.engine->history.memory_max = 0;
        rig.engine->history.disk_max = 0;
        uint64_t limit = 1 + och_random_below(&random, 8);
        bool more = turn_page(collection, NULL, limit, &position, &after, &n_seen);
        while (more) {
            for (uint64_t i = och_random_below(&random, 4); i > 0; i--)
                put_some(collection, &random);
            if (och_random_below(&random, 8) == 0)
                check_ok(och_engine_compact(rig.engine, collection, &err), &err);
            pass_seconds(OCH_RETAIN_LEASE_SECONDS / 2);
            uint64_t now;
            more = turn_page(collection, &position, limit, &now, &after, &n_seen);
            check(now == position);
        }
        end(collection);
    }
}

/* Who does not come again does not hold anything. */
static void
a_lease_ends(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin(16);
    uint64_t random = 3, position, after = 0;
    size_t n_seen = 0;
    put(collection, OCH_WRITE_ADD, 0, 15, 1, 1);
    rig.engine->history.memory_max = 0;
    check(turn_page(collection, NULL, 3, &position, &after, &n_seen));
    for (int i = 0; i < 30; i++)
        put_some(collection, &random);
    check_at(&rig, collection, position);
    pass_seconds(OCH_RETAIN_LEASE_SECONDS);
    check(!och_history_trim(&rig.engine->history));
    check(try_at(&rig, collection, position, &err) == OCHRE_STALE);
    end(collection);
}

/* --- beside a writer ------------------------------------------------------------------------ */

static void
a_reader_has_a_past_too(void **state)
{
    (void) state;
    static struct rig reader;
    struct ochre_error err;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct och_collection *collection = begin(24);
        uint64_t random = seed;
        for (int i = 0; i < 10; i++)
            put_some(collection, &random);
        check_ok(rig_open_beside(&reader, &rig, &err), &err);
        /* It pays for whole files, which are its own. */
        reader.engine->history.memory_min = reader.engine->history.memory_max = UINT64_MAX;
        struct och_collection *seen = rig_collection(&reader, "things");
        uint64_t first = seen->view->position;
        for (int i = 0; i < 60; i++) {
            put_some(collection, &random);
            if (och_random_below(&random, 10) == 0)
                check_ok(och_engine_compact(rig.engine, collection, &err), &err);
            check_ok(och_follow_now(reader.engine, 0, &err), &err);
            och_collection_release(seen);
            seen = rig_collection(&reader, "things");
            check_at(&reader, seen, first + och_random_below(&random, newest - first + 1));
        }
        check_from(&reader, seen, first);
        /* What lies between two looks is read, too. */
        for (int i = 0; i < 30; i++)
            put_some(collection, &random);
        check_ok(och_follow_now(reader.engine, 0, &err), &err);
        och_collection_release(seen);
        seen = rig_collection(&reader, "things");
        check_from(&reader, seen, first);
        och_collection_release(seen);
        rig_close(&reader);
        end(collection);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(every_position_shows_what_there_was),
            cmocka_unit_test(after_a_restart_the_past_begins_with_the_files),
            cmocka_unit_test(a_purge_ends_the_past),
            cmocka_unit_test(a_fork_begins_where_it_was_made),
            cmocka_unit_test(what_is_not_there_is_said),
            cmocka_unit_test(the_past_ends_with_time),
            cmocka_unit_test(the_past_takes_little_memory),
            cmocka_unit_test(room_is_made_for_what_comes),
            cmocka_unit_test(the_past_takes_little_of_the_disk),
            cmocka_unit_test(where_memory_is_short_nothing_is_kept),
            cmocka_unit_test(what_cannot_be_kept_is_not),
            cmocka_unit_test(pages_are_one_position_whatever_is_written),
            cmocka_unit_test(a_lease_ends),
            cmocka_unit_test(a_reader_has_a_past_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
