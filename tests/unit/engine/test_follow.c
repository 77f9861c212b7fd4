/*
 * A reader beside a writer, on one disk.  Between any two calls that the writer makes
 * of its files the reader looks: the disk is then in every state in which another
 * process could find it, but for halves of single calls.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/random.h"
#include "drivers/log_file.h"
#include "engine/collection.h"
#include "engine/follow.h"
#include "os/executor.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "sim/sim_watch.h"
#include "storage/directory.h"
#include "support/check.h"
#include "unit/engine/rig.h"
#include "unit/index/random_metadata.h"

enum { COLUMNS = OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_METADATAS | OCHRE_INCLUDE_EMBEDDINGS };
enum { N_NAMES = 2 };

static const char *const names[N_NAMES] = {"things", "others"};

/* What is acknowledged, and what will be when the write at hand is. */
static struct state {
    bool is_there;
    struct rig_model model;
} acknowledged[N_NAMES], coming[N_NAMES];
static bool arrived[N_NAMES]; /* the reader has shown what is coming: it may not go back */

static struct rig writer, reader;
static uint64_t n_looks;

/* How the writer's calls are told: a look before each, or turns with a reader. */
static struct sim_watch *watch;
static bool is_watched;
static struct sim_turns *turns;

static size_t
pick(uint64_t *seed, size_t n)
{
    return (size_t) (och_random(seed) % n);
}

/* --- what a reader shows ---------------------------------------------------------- */

/* The collection's number in a catalog; 0: there is none. */
static bool
find_row(struct rig *rig, const char *name, struct och_arena *arena, struct och_collection_row *row)
{
    struct ochre_error err;
    ochre_status status = rig->catalog->ops->collection_by_name(rig->catalog, arena,
            text(OCH_DEFAULT_TENANT), text(OCH_DEFAULT_DATABASE), text(name), row, &err);
    check(status == OCHRE_OK || status == OCHRE_NOT_FOUND);
    return status == OCHRE_OK;
}

static bool
is_record(const struct ochre_hit *hit, const struct rig_record *record)
{
    char id[32], document[32];
    (void) snprintf(id, sizeof(id), "k%u", (unsigned) record->number);
    (void) snprintf(document, sizeof(document), "d%u", (unsigned) record->document);
    return same_text(hit->id, text(id)) && same_text(hit->document, text(document)) &&
            hit->metadata.n_fields == 1 &&
            hit->metadata.fields[0].value.as.integer == (int64_t) record->fields &&
            (uint32_t) hit->embedding[0] == record->number % 37 &&
            (uint32_t) hit->embedding[1] == record->vector % 11;
}

static bool
shows(struct rig *rig, const char *name, const struct state *state)
{
    struct ochre_error err;
    struct och_arena arena;
    struct och_collection_row row;
    struct och_collection *collection = NULL;
    struct och_result *result = NULL;
    struct och_get get = {.select = {.mem = &rig->mem}, .limit = UINT64_MAX, .include = COLUMNS};
    och_arena_init(&arena, &rig->mem);
    bool is_there = find_row(rig, name, &arena, &row);
    bool same = is_there == state->is_there;
    if (is_there && same) {
        check_ok(och_engine_collection(rig->engine, &row, &collection, &err), &err);
        check_ok(och_engine_get(&rig->mem, collection, &get, &result, &err), &err);
        same = result->lists[0].n == state->model.n;
        for (size_t i = 0; same && i < state->model.n; i++)
            same = is_record(&result->lists[0].hits[i], &state->model.records[i]);
        same = same && och_snapshot_count(&result->snapshot) == state->model.n;
    }
    och_result_release(result);
    och_collection_release(collection);
    och_arena_clear(&arena);
    return same;
}

/* What was acknowledged is shown, or what is coming, and never less than before. */
static void
look(void)
{
    struct ochre_error err;
    check_ok(och_follow_now(reader.engine, 0, &err), &err);
    n_looks++;
    for (size_t i = 0; i < N_NAMES; i++) {
        if (!arrived[i] && shows(&reader, names[i], &acknowledged[i]))
            continue;
        arrived[i] = true;
        check(shows(&reader, names[i], &coming[i]));
    }
}

static ochre_status
before_call(void *context, bool changes, struct ochre_error *err)
{
    (void) context;
    (void) err;
    if (is_watched && changes)
        look();
    if (turns != NULL)
        sim_turns_pass(turns, 0);
    return OCHRE_OK;
}

/* --- histories -------------------------------------------------------------------- */

static void
begin(void)
{
    struct ochre_error err;
    memset(acknowledged, 0, sizeof(acknowledged));
    memset(coming, 0, sizeof(coming));
    rig_begin(&writer);
    writer.options = (struct och_engine_options){.head_rows_max = 16, .merge = {.fan_in = 3}};
    watch = sim_watch_open(sim_disk_vfs(writer.disk), before_call, NULL);
    writer.vfs = sim_watch_vfs(watch);
    check_ok(rig_open(&writer, &err), &err);
    is_watched = false;
}

static void
end(void)
{
    is_watched = false;
    rig_end(&writer);
    sim_watch_close(watch);
}

/* All states there were, as sums, for readers that run beside. */
enum { SENT_MAX = 400 };
static uint64_t sums[SENT_MAX][N_NAMES];
static size_t n_sent, n_acked; /* the turns guard them */
static unsigned n_forks;

static uint64_t
add_to_sum(uint64_t sum, uint32_t number, uint32_t document, uint32_t fields)
{
    return (((sum * 31 + number) * 31 + document) * 31 + fields) * 31 + 1;
}

static uint64_t
sum_of_state(const struct state *state)
{
    uint64_t sum = state->is_there;
    for (size_t i = 0; state->is_there && i < state->model.n; i++)
        sum = add_to_sum(sum, state->model.records[i].number, state->model.records[i].document,
                state->model.records[i].fields);
    return sum;
}

/* What is coming is on its way from now on. */
static void
send_one(void)
{
    if (turns == NULL)
        return;
    check(n_sent + 1 < SENT_MAX);
    for (size_t i = 0; i < N_NAMES; i++)
        sums[n_sent + 1][i] = sum_of_state(&coming[i]);
    n_sent++;
}

/* The write at hand is done. */
static void
acknowledge(void)
{
    is_watched = false;
    n_acked = n_sent;
    for (size_t i = 0; i < N_NAMES; i++) {
        acknowledged[i] = coming[i];
        arrived[i] = false;
    }
}

static void
create(size_t which)
{
    static const struct state begun = {.is_there = true}; /* too large for a stack */
    coming[which] = begun;
    send_one();
    och_collection_release(rig_create(&writer, names[which]));
    acknowledge();
}

static void
drop(size_t which)
{
    struct ochre_error err;
    struct och_collection *collection = rig_collection(&writer, names[which]);
    coming[which].is_there = false;
    send_one();
    check_ok(och_engine_drop(writer.engine, collection->id, &err), &err);
    och_collection_release(collection);
    acknowledge();
}

static void
write_some(size_t which, enum och_write_op op, uint64_t *seed)
{
    struct ochre_error err;
    uint32_t numbers[6];
    static uint32_t tag = 1;
    struct rig_write write = {
            .op = op, .numbers = numbers, .n = 1 + pick(seed, 6), .tag = tag++, .columns = RIG_ALL};
    uint32_t first = (uint32_t) pick(seed, 40);
    for (size_t i = 0; i < write.n; i++)
        numbers[i] = first + (uint32_t) i;
    struct och_collection *collection = rig_collection(&writer, names[which]);
    model_write(&coming[which].model, &write);
    send_one();
    check_ok(rig_write(&writer, collection, &write, &err), &err);
    och_collection_release(collection);
    acknowledge();
}

/* The other one begins as this one is. */
static void
fork_it(size_t which)
{
    struct ochre_error err;
    size_t other = 1 - which;
    struct och_collection *collection = rig_collection(&writer, names[which]);
    struct och_collection_row row = {.id = {{(uint8_t) (n_forks++ + 1), 77}},
            .tenant = text(OCH_DEFAULT_TENANT),
            .database = text(OCH_DEFAULT_DATABASE),
            .name = text(names[other])};
    coming[other] = acknowledged[which];
    send_one();
    check_ok(rig_fork(&writer, collection, &row, &err), &err);
    och_collection_release(collection);
    acknowledge();
}

static void
tidy(size_t which, size_t how)
{
    struct ochre_error err;
    struct och_collection *collection = rig_collection(&writer, names[which]);
    if (how == 0)
        check_ok(och_engine_seal_all(writer.engine, &err), &err);
    else
        check_ok(och_engine_compact(writer.engine, collection, &err), &err);
    if (how == 2) {
        uint64_t lsn;
        check_ok(och_engine_purge_begin(writer.engine, &lsn, &err), &err);
        check_ok(och_engine_seal_all(writer.engine, &err), &err);
        check_ok(och_engine_purge_end(writer.engine, lsn, &err), &err);
    }
    och_collection_release(collection);
    acknowledge();
}

static void
step(uint64_t *seed, bool looks)
{
    size_t which = pick(seed, N_NAMES);
    size_t what = pick(seed, 100);
    is_watched = looks;
    if (!acknowledged[which].is_there && acknowledged[1 - which].is_there && what < 50)
        fork_it(1 - which);
    else if (!acknowledged[which].is_there)
        create(which);
    else if (what < 30)
        write_some(which, OCH_WRITE_ADD, seed);
    else if (what < 55)
        write_some(which, OCH_WRITE_UPSERT, seed);
    else if (what < 70)
        write_some(which, OCH_WRITE_UPDATE, seed);
    else if (what < 82)
        write_some(which, OCH_WRITE_DELETE, seed);
    else if (what < 92)
        tidy(which, pick(seed, 3));
    else if (what < 96)
        drop(which);
    else
        rig_reopen(&writer);
    acknowledge();
}

static void
open_reader(void)
{
    struct ochre_error err;
    check_ok(rig_open_beside(&reader, &writer, &err), &err);
}

/* --- tests ------------------------------------------------------------------------ */

static void
what_is_acknowledged_is_shown_between_any_two_calls(void **state)
{
    (void) state;
    for (uint64_t first = 1; first <= 4; first++) {
        uint64_t seed = first;
        begin();
        open_reader();
        n_looks = 0;
        for (int i = 0; i < 150; i++) {
            step(&seed, true);
            look();
        }
        check(n_looks > 1500);
        rig_close(&reader);
        end();
    }
}

/* It has slept: the log was trimmed, files merged, collections dropped meanwhile. */
static void
a_reader_that_was_asleep_catches_up(void **state)
{
    (void) state;
    uint64_t seed = 7;
    begin();
    open_reader();
    for (int i = 0; i < 30; i++) {
        for (int k = 0; k < 40; k++)
            step(&seed, false);
        look();
    }
    rig_close(&reader);
    end();
}

/* --- a reader that runs beside ---------------------------------------------------- */

/* What it found wrong; it is not the thread to say so. */
static struct {
    const char *what;
    struct ochre_error err;
    size_t n_looks, n_unavailable, n_judged, shown;
} beside;

static void
note(const char *what, const struct ochre_error *err)
{
    if (beside.what != NULL)
        return;
    beside.what = what;
    if (err != NULL)
        beside.err = *err;
}

static uint32_t
number_in(struct ochre_bytes text_with_number)
{
    char copy[16] = "";
    if (text_with_number.size > 1 && text_with_number.size <= sizeof(copy))
        memcpy(copy, text_with_number.data + 1, text_with_number.size - 1);
    return (uint32_t) strtoul(copy, NULL, 10);
}

static uint64_t
sum_of_result(const struct och_result *result)
{
    uint64_t sum = 1;
    for (size_t i = 0; i < result->lists[0].n; i++) {
        const struct ochre_hit *hit = &result->lists[0].hits[i];
        uint32_t fields = hit->metadata.n_fields == 0
                ? 0
                : (uint32_t) hit->metadata.fields[0].value.as.integer;
        sum = add_to_sum(sum, number_in(hit->id), number_in(hit->document), fields);
    }
    return sum;
}

static uint64_t
generation_beside(void)
{
    struct ochre_error err;
    uint64_t generation = 0;
    if (reader.catalog->ops->generation(reader.catalog, &generation, &err) != OCHRE_OK)
        note("the catalog failed", &err);
    return generation;
}

static uint64_t
sum_beside(const char *name)
{
    struct ochre_error err = {.status = OCHRE_OK};
    struct och_arena arena;
    struct och_collection_row row;
    struct och_collection *collection = NULL;
    struct och_result *result = NULL;
    struct och_get get = {.select = {.mem = &reader.mem}, .limit = UINT64_MAX, .include = COLUMNS};
    uint64_t sum = 0, before = generation_beside();
    och_arena_init(&arena, &reader.mem);
    ochre_status status = reader.catalog->ops->collection_by_name(reader.catalog, &arena,
            text(OCH_DEFAULT_TENANT), text(OCH_DEFAULT_DATABASE), text(name), &row, &err);
    bool is_there = status == OCHRE_OK;
    if (is_there)
        status = och_engine_collection(reader.engine, &row, &collection, &err);
    if (is_there && status == OCHRE_OK)
        status = och_engine_get(&reader.mem, collection, &get, &result, &err);
    if (is_there && status == OCHRE_OK)
        sum = sum_of_result(result);
    /* Loading it may have looked again, and found that it was dropped. */
    bool is_gone = status == OCHRE_NOT_FOUND && generation_beside() != before;
    if (is_there && status != OCHRE_OK && !is_gone)
        note("a read failed", &err);
    och_result_release(result);
    och_collection_release(collection);
    och_arena_clear(&arena);
    return sum;
}

/* Is what is shown one of the states, not older than the look, and not before the last? */
static void
judge(size_t acked)
{
    uint64_t shown[N_NAMES];
    uint64_t before = generation_beside();
    for (size_t i = 0; i < N_NAMES; i++)
        shown[i] = sum_beside(names[i]);
    if (generation_beside() != before)
        return; /* loading one found its files gone, and looked again */
    beside.n_judged++;
    /* One state may be that of before once more: the first that it can be counts. */
    size_t first = acked > beside.shown ? acked : beside.shown;
    size_t k = first;
    while (k < n_sent && memcmp(sums[k], shown, sizeof(shown)) != 0)
        k++;
    if (memcmp(sums[k], shown, sizeof(shown)) == 0) {
        beside.shown = k;
        return;
    }
    for (k = 0; k < first && memcmp(sums[k], shown, sizeof(shown)) != 0; k++)
        continue;
    note(k == first             ? "no writes make this state"
                    : k < acked ? "what was acknowledged before the look is not shown"
                                : "what was shown is not shown any more",
            NULL);
}

static void
run_beside(void *argument)
{
    struct ochre_error err;
    (void) argument;
    sim_turns_begin(turns, 1);
    while (beside.what == NULL && !turns->over[0]) {
        size_t acked = n_acked;
        ochre_status status = och_follow_now(reader.engine, 0, &err);
        beside.n_looks++;
        if (status == OCHRE_OK)
            judge(acked);
        else if (status == OCHRE_UNAVAILABLE)
            beside.n_unavailable++;
        else
            note("a look failed", &err);
    }
    sim_turns_end(turns, 1);
}

static ochre_status
before_readers_call(void *context, bool changes, struct ochre_error *err)
{
    (void) context;
    (void) changes;
    (void) err;
    sim_turns_pass(turns, 1);
    return OCHRE_OK;
}

static void
run_turns(uint64_t seed, unsigned one_in)
{
    struct ochre_error err;
    struct och_thread thread;
    struct sim_turns own;
    memset(&beside, 0, sizeof(beside));
    memset(sums, 0, sizeof(sums));
    n_sent = n_acked = 0;
    begin();
    struct sim_watch *readers =
            sim_watch_open(sim_disk_vfs(writer.disk), before_readers_call, NULL);
    sim_turns_init(&own, seed, one_in);
    turns = &own;
    own.over[0] = own.over[1] = true; /* nobody else runs yet */
    check_ok(rig_open_beside_on(&reader, &writer, sim_watch_vfs(readers), &err), &err);
    own.over[0] = own.over[1] = false;
    check_ok(och_thread_start(&thread, "reader", run_beside, NULL, &err), &err);
    for (int i = 0; i < 60 && beside.what == NULL; i++)
        step(&seed, false);
    sim_turns_end(&own, 0);
    och_thread_join(&thread);
    turns = NULL;
    if (beside.what != NULL)
        print_error(
                "seed %llu: %s: %s\n", (unsigned long long) seed, beside.what, beside.err.message);
    check(beside.what == NULL && beside.n_looks > 3);
    check(beside.n_judged > beside.n_looks / 2);
    rig_close(&reader);
    sim_watch_close(readers);
    sim_turns_clear(&own);
    end();
}

static void
each_look_sees_one_state_whatever_is_written_meanwhile(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 24; seed++)
        run_turns(seed, seed % 3 == 0 ? 2 : seed % 3 == 1 ? 7 : 30);
}

/* --- what happens within a look --------------------------------------------------- */

enum meanwhile { FORKED, BORN, MADE, GROWN, SEALED, COMPACTED, PURGED, GONE, ANEW, N_MEANWHILE };

static void
do_meanwhile(enum meanwhile what)
{
    uint64_t seed = 21;
    switch (what) {
    case FORKED:
        fork_it(0);
        write_some(1, OCH_WRITE_DELETE, &seed);
        write_some(0, OCH_WRITE_UPDATE, &seed);
        tidy(0, 1);
        break;
    case BORN:
        create(1);
        write_some(1, OCH_WRITE_UPSERT, &seed);
        break;
    case MADE: /* and gone, and made: records of two that were not there */
        create(1);
        write_some(1, OCH_WRITE_UPSERT, &seed);
        drop(1);
        create(1);
        write_some(1, OCH_WRITE_UPSERT, &seed);
        break;
    case GROWN:
        for (int i = 0; i < 9; i++)
            write_some(0, OCH_WRITE_UPSERT, &seed);
        break;
    case SEALED:
        tidy(0, 0);
        write_some(0, OCH_WRITE_UPDATE, &seed);
        break;
    case COMPACTED:
        write_some(0, OCH_WRITE_DELETE, &seed);
        tidy(0, 1);
        break;
    case PURGED:
        write_some(0, OCH_WRITE_UPSERT, &seed);
        tidy(0, 2);
        break;
    case GONE:
        drop(0);
        break;
    case ANEW:
        rig_reopen(&writer);
        write_some(0, OCH_WRITE_UPSERT, &seed);
        break;
    case N_MEANWHILE:
        break;
    }
}

static uint64_t calls_left; /* of the reader's, until something happens; 0: it has */
static enum meanwhile to_happen;

static ochre_status
happen(void *context, bool changes, struct ochre_error *err)
{
    (void) context;
    (void) changes;
    (void) err;
    if (calls_left > 0 && --calls_left == 0)
        do_meanwhile(to_happen);
    return OCHRE_OK;
}

/* All of it happens at the reader's n-th call, be that while it opens or looks. */
static bool
look_while(enum meanwhile what, uint64_t n, bool opens)
{
    struct ochre_error err;
    uint64_t seed = 13;
    begin();
    create(0);
    for (int i = 0; i < 12; i++)
        write_some(0, i % 4 == 3 ? OCH_WRITE_DELETE : OCH_WRITE_UPSERT, &seed);
    struct sim_watch *readers = sim_watch_open(sim_disk_vfs(writer.disk), happen, NULL);
    calls_left = opens ? n : 0;
    to_happen = what;
    check_ok(rig_open_beside_on(&reader, &writer, sim_watch_vfs(readers), &err), &err);
    if (!opens) {
        look();
        for (int i = 0; i < 4; i++)
            write_some(0, OCH_WRITE_UPSERT, &seed);
        calls_left = n;
        check_ok(och_follow_now(reader.engine, 0, &err), &err);
    }
    bool through = calls_left > 0;
    calls_left = 0;
    /* What was acknowledged before it began is shown, and in the end all. */
    look();
    rig_close(&reader);
    sim_watch_close(readers);
    end();
    return through;
}

static void
whatever_happens_at_any_call_of_a_look_is_seen_by_the_next(void **state)
{
    (void) state;
    for (int what = 0; what < N_MEANWHILE; what++) {
        for (int opens = 0; opens < 2; opens++) {
            uint64_t n = 1;
            while (!look_while((enum meanwhile) what, n, opens == 1))
                n++;
            check(n > 10);
        }
    }
}

/* --- results ---------------------------------------------------------------------- */

static void
a_result_stays_what_it_was_though_its_files_are_removed(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t seed = 3;
    begin();
    create(0);
    for (int i = 0; i < 20; i++)
        write_some(0, OCH_WRITE_UPSERT, &seed);
    tidy(0, 1);
    open_reader();
    struct och_collection *collection = rig_collection(&reader, names[0]);
    static struct rig_model was;
    was = acknowledged[0].model;
    struct och_get get = {.select = {.mem = &reader.mem}, .limit = UINT64_MAX, .include = COLUMNS};
    struct och_result *result;
    check_ok(och_engine_get(&reader.mem, collection, &get, &result, &err), &err);
    drop(0);
    look();
    check(result->lists[0].n == was.n);
    for (size_t i = 0; i < was.n; i++)
        check(is_record(&result->lists[0].hits[i], &was.records[i]));
    check(och_collection_usable(collection, &err) == OCHRE_NOT_FOUND);
    och_result_release(result);
    och_collection_release(collection);
    rig_close(&reader);
    end();
}

/* --- failures --------------------------------------------------------------------- */

enum failure { IO_ONCE, IO_FROM, MEMORY, N_FAILURES };

/* Let the reader's n-th call, or allocation, fail; and has it? */
static void
arm(enum failure failure, uint64_t n)
{
    sim_disk_fail(
            writer.disk, failure == MEMORY ? 0 : n, failure == IO_ONCE ? SIM_IO_ONCE : SIM_IO_FROM);
    reader.mem.fail_at = failure == MEMORY && n != 0 ? reader.mem.n_grants + n : 0;
}

static void
after_a_look_that_failed_the_next_one_shows_all(void **state)
{
    (void) state;
    for (int failure = 0; failure < N_FAILURES; failure++) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            uint64_t seed = 5;
            begin();
            create(0);
            for (int i = 0; i < 10; i++)
                write_some(0, OCH_WRITE_UPSERT, &seed);
            open_reader();
            look();
            create(1);
            for (size_t i = 0; i < 12; i++)
                write_some(i % 2, i % 5 == 4 ? OCH_WRITE_DELETE : OCH_WRITE_UPSERT, &seed);
            tidy(0, n % 3);
            write_some(0, OCH_WRITE_UPSERT, &seed);
            arm((enum failure) failure, n);
            uint64_t grants = reader.mem.fail_at;
            struct ochre_error err;
            ochre_status status = och_follow_now(reader.engine, 0, &err);
            check(status == OCHRE_OK || (err.status == status && err.message[0] != '\0'));
            failed = failure == MEMORY ? reader.mem.n_grants >= grants
                                       : sim_disk_has_failed(writer.disk);
            check(status == OCHRE_OK ||
                    (failed && status == (failure == MEMORY ? OCHRE_NO_MEMORY : OCHRE_IO)));
            arm((enum failure) failure, 0);
            look();
            rig_close(&reader);
            end();
        }
    }
}

/* One that is not loaded is, when somebody asks for it, and its files go at the n-th call
 * of that. */
static bool
load_while(uint64_t n)
{
    struct ochre_error err;
    uint64_t seed = 17;
    begin();
    create(0);
    for (int i = 0; i < 12; i++)
        write_some(0, OCH_WRITE_UPSERT, &seed);
    tidy(0, 2); /* and the log does not speak of it any more */
    struct sim_watch *readers = sim_watch_open(sim_disk_vfs(writer.disk), happen, NULL);
    check_ok(rig_open_beside_on(&reader, &writer, sim_watch_vfs(readers), &err), &err);
    static struct state was;
    was = acknowledged[0];
    calls_left = n;
    to_happen = COMPACTED;
    check(shows(&reader, names[0], &was) || shows(&reader, names[0], &acknowledged[0]));
    bool through = calls_left > 0;
    calls_left = 0;
    look();
    rig_close(&reader);
    sim_watch_close(readers);
    end();
    return through;
}

static void
a_collection_whose_files_go_while_it_is_loaded_is_shown(void **state)
{
    (void) state;
    uint64_t n = 1;
    while (!load_while(n))
        n++;
    check(n > 3);
}

static unsigned every; /* the catalog changes at each of so many calls of the reader; 0: never */
static unsigned n_calls, n_changes;

static ochre_status
change_often(void *context, bool changes, struct ochre_error *err)
{
    char name[32];
    (void) context;
    (void) changes;
    if (every == 0 || ++n_calls % every != 0)
        return OCHRE_OK;
    (void) snprintf(name, sizeof(name), "tenant-%u", n_changes++);
    check_ok(writer.catalog->ops->tenant_create(writer.catalog, text(name), err), err);
    return OCHRE_OK;
}

/* A look does not go on for ever; what is shown stays, and is not called too old at once. */
static void
a_catalog_that_never_rests_is_told_and_read_when_it_rests(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t seed = 19;
    unsigned n_told = 0, n_seen = 0;
    begin();
    create(0);
    write_some(0, OCH_WRITE_UPSERT, &seed);
    struct sim_watch *readers = sim_watch_open(sim_disk_vfs(writer.disk), change_often, NULL);
    check_ok(rig_open_beside_on(&reader, &writer, sim_watch_vfs(readers), &err), &err);
    for (unsigned each = 1; each <= 30; each++) {
        n_calls = 0;
        every = each;
        ochre_status late = och_follow_now(reader.engine, 1, &err);
        ochre_status now = och_follow_now(reader.engine, 0, &err);
        every = 0;
        check(late == OCHRE_OK);
        check(now == OCHRE_OK || now == OCHRE_UNAVAILABLE);
        n_told += now != OCHRE_OK;
        n_seen += now == OCHRE_OK;
        check(shows(&reader, names[0], &acknowledged[0]));
        write_some(0, OCH_WRITE_UPSERT, &seed);
        look();
    }
    check(n_told > 1 && n_seen > 0);
    rig_close(&reader);
    sim_watch_close(readers);
    end();
}

/* --- catalogs that answer otherwise ------------------------------------------------ */

/* Between the reader's engine and its catalog. */
static struct {
    const struct och_catalog_ops *own;
    struct och_catalog_ops ops;
    unsigned n_looks; /* at the catalog */
    unsigned fail_at; /* this one fails; 0: none */
    void (*after)(unsigned n);
} between;

static ochre_status
follow_catalog(struct och_catalog *catalog, bool *changed_out, struct ochre_error *err)
{
    unsigned n = ++between.n_looks;
    if (n == between.fail_at)
        return och_fail(err, OCHRE_IO, "catalog: no");
    ochre_status status = between.own->follow(catalog, changed_out, err);
    if (between.after != NULL)
        between.after(n);
    return status;
}

static void
stand_between(void (*after)(unsigned n), unsigned fail)
{
    between.own = reader.catalog->ops;
    between.ops = *between.own;
    between.ops.follow = follow_catalog;
    between.n_looks = 0;
    between.fail_at = fail;
    between.after = after;
    reader.catalog->ops = &between.ops;
}

static void
go_away(void)
{
    reader.catalog->ops = between.own;
}

static void
change_after_each(unsigned n)
{
    struct ochre_error err;
    char name[32];
    (void) snprintf(name, sizeof(name), "late-%u", n);
    check_ok(writer.catalog->ops->tenant_create(writer.catalog, text(name), &err), &err);
}

/* Whenever it is read it has changed: after so many looks that is said. */
static void
a_catalog_that_changes_after_each_look_is_told(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t seed = 41;
    begin();
    create(0);
    write_some(0, OCH_WRITE_UPSERT, &seed);
    open_reader();
    look();
    write_some(0, OCH_WRITE_UPSERT, &seed);
    stand_between(change_after_each, 0);
    check(och_follow_now(reader.engine, 0, &err) == OCHRE_UNAVAILABLE);
    check(strstr(err.message, "changed each of 16 times") != NULL);
    go_away();
    look();
    rig_close(&reader);
    end();
}

/* A collection that comes, with a record, after the first look at the catalog. */
static void
create_late(unsigned n)
{
    uint64_t seed = 43;
    if (n != 1)
        return;
    create(1);
    write_some(1, OCH_WRITE_UPSERT, &seed);
}

/* A segment of the new state that cannot be read, so that the catalog is asked again. */
static char damaged_path[OCH_PATH_SIZE_MAX];

static void
seal_and_damage(void)
{
    struct ochre_error err;
    char id[OCH_UUID_TEXT_SIZE + 1];
    check_ok(och_engine_seal_all(writer.engine, &err), &err);
    struct och_collection *collection = rig_collection(&writer, names[0]);
    uint32_t last = collection->view->n_segments - 1;
    och_uuid_put(collection->id, id);
    (void) snprintf(damaged_path, sizeof(damaged_path), OCH_DIR_SEGMENTS "/%s/%016llx.seg", id,
            (unsigned long long) collection->view->segments[last]->id);
    och_collection_release(collection);
    check_ok(och_vfs_rename(sim_disk_vfs(writer.disk), damaged_path, "aside", &err), &err);
}

/* The n-th look at the catalog fails, in the middle of a look at all; false: there are
 * fewer.  It is said, and the next one shows all. */
static bool
fail_at_catalog(bool is_late, unsigned n)
{
    struct ochre_error err;
    uint64_t seed = 47;
    begin();
    create(0);
    write_some(0, OCH_WRITE_UPSERT, &seed);
    open_reader();
    look();
    write_some(0, OCH_WRITE_UPSERT, &seed);
    if (!is_late)
        seal_and_damage();
    stand_between(is_late ? create_late : NULL, n);
    ochre_status status = och_follow_now(reader.engine, 0, &err);
    bool failed = between.n_looks >= n;
    check(status == OCHRE_OK || status == OCHRE_IO);
    go_away();
    if (!is_late) {
        check_ok(och_vfs_rename(sim_disk_vfs(writer.disk), "aside", damaged_path, &err), &err);
        rig_close(&reader); /* damage stays until then */
        open_reader();
    }
    look();
    rig_close(&reader);
    end();
    return failed;
}

static void
a_look_whose_catalog_cannot_be_read_is_taken_again(void **state)
{
    (void) state;
    for (unsigned is_late = 0; is_late < 2; is_late++) {
        unsigned n = 1;
        while (fail_at_catalog(is_late == 1, n))
            n++;
        check(n > 2);
    }
}

static bool
open_and_close(struct och_mem *mem)
{
    struct och_log_tail *tail;
    const struct och_wal_options options = {.mem = mem,
            .vfs = sim_disk_vfs(writer.disk),
            .machine = &writer.machine.machine,
            .database = {{9}}};
    struct ochre_error err;
    ochre_status status = och_log_file_tail(&options, &tail, &err);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    check((tail != NULL) == (status == OCHRE_OK));
    if (tail != NULL)
        tail->ops->close(tail);
    return status == OCHRE_OK;
}

static void
any_allocation_for_the_tail_of_a_log_may_fail(void **state)
{
    (void) state;
    begin();
    check_each_allocation_failing(open_and_close);
    end();
}

/* Nobody asks: what is written is shown all the same. */
static void
a_reader_with_a_background_looks_by_itself(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_executor *executor;
    struct och_mem mem;
    uint64_t seed = 23;
    och_mem_init(&mem, NULL);
    check_ok(och_executor_open(&mem, 0, 1, &executor, &err), &err);
    begin();
    create(0);
    write_some(0, OCH_WRITE_UPSERT, &seed);
    reader.executor = executor;
    check_ok(rig_open_beside(&reader, &writer, &err), &err);
    for (int i = 0; i < 5; i++) {
        write_some(0, OCH_WRITE_UPSERT, &seed);
        uint64_t n_tries = 0; /* thousands of looks go by meanwhile: it will never be shown */
        while (!shows(&reader, names[0], &acknowledged[0]))
            check(++n_tries < 300000);
        tidy(0, 1);
    }
    rig_close(&reader);
    reader.executor = NULL;
    end();
    och_executor_close(executor);
    check(och_mem_used(&mem) == 0);
}

/* --- damage ------------------------------------------------------------------------ */

static const char log_path[] = "log/0000000000000001.log";

/* What a collection that cannot be shown says. */
static ochre_status
try_named(const char *name, struct ochre_error *err)
{
    struct och_collection *collection = rig_collection(&reader, name);
    ochre_status status = rig_try(&reader, collection, err);
    och_collection_release(collection);
    return status;
}

/* Open beside what a writer left that has closed. */
static ochre_status
open_beside_left(struct ochre_error *err)
{
    struct rig left = {.disk = writer.disk};
    return rig_open_beside(&reader, &left, err);
}

/* Bits of the log, each flipped in turn: an answer is right or says that it is not. */
static void
no_flipped_bit_of_the_log_is_an_answer(void **state)
{
    (void) state;
    enum { N_PAGES = 10 };
    struct ochre_error err;
    uint64_t seed = 29;
    unsigned n_refused = 0, n_spoilt = 0;
    begin();
    create(0);
    create(1);
    for (size_t i = 0; i < 6; i++)
        write_some(i % 2, OCH_WRITE_UPSERT, &seed);
    drop(1); /* so that the log knows of a generation */
    write_some(0, OCH_WRITE_UPSERT, &seed);
    rig_close(&writer); /* what it says last vouches for all */
    /* Each group begins a page; what is behind the last one is empty. */
    for (uint64_t i = 0; i < (uint64_t) N_PAGES * 40; i++) {
        uint64_t at = i / 40 * 4096 + i % 40 * 5;
        check(sim_disk_flip(writer.disk, log_path, at, at % 8));
        ochre_status status = open_beside_left(&err);
        check(status == OCHRE_OK || status == OCHRE_CORRUPT);
        n_refused += status != OCHRE_OK;
        if (status == OCHRE_OK) {
            status = try_named(names[0], &err);
            check(status == OCHRE_OK || status == OCHRE_CORRUPT);
            check(status != OCHRE_OK || shows(&reader, names[0], &acknowledged[0]));
            n_spoilt += status != OCHRE_OK;
            rig_close(&reader);
        }
        check(sim_disk_flip(writer.disk, log_path, at, at % 8));
    }
    check(n_refused > 10 && n_spoilt > 10);
    end();
}

static void
a_segment_that_is_missing_is_damage(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t seed = 31;
    char path[OCH_PATH_SIZE_MAX];
    char id[OCH_UUID_TEXT_SIZE + 1];
    begin();
    create(0);
    create(1);
    for (size_t i = 0; i < 8; i++)
        write_some(i % 2, OCH_WRITE_UPSERT, &seed);
    tidy(0, 2); /* the collection is in files alone, and loaded when somebody asks */
    struct och_collection *collection = rig_collection(&writer, names[0]);
    och_uuid_put(collection->id, id);
    (void) snprintf(path, sizeof(path), OCH_DIR_SEGMENTS "/%s/%016llx.seg", id,
            (unsigned long long) collection->view->segments[0]->id);
    och_collection_release(collection);
    rig_close(&writer);
    check_ok(och_vfs_rename(sim_disk_vfs(writer.disk), path, "aside", &err), &err);
    check_ok(open_beside_left(&err), &err);
    check(try_named(names[0], &err) == OCHRE_CORRUPT); /* and not that it is not found */
    check(strstr(err.message, path) != NULL);
    check(shows(&reader, names[1], &acknowledged[1]));
    check_ok(och_vfs_rename(sim_disk_vfs(writer.disk), "aside", path, &err), &err);
    rig_close(&reader);
    check_ok(open_beside_left(&err), &err);
    check(shows(&reader, names[0], &acknowledged[0]));
    rig_close(&reader);
    end();
}

/* A catalog and a log that cannot belong together. */
static void
a_catalog_and_a_log_of_two_times_are_refused(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t seed = 37;
    begin();
    create(0);
    create(1);
    write_some(0, OCH_WRITE_UPSERT, &seed);
    tidy(0, 1);
    rig_close(&writer);
    struct sim_disk *old = sim_disk_clone(writer.disk);
    check_ok(rig_open(&writer, &err), &err);
    drop(1);
    rig_close(&writer);
    struct sim_disk *newer = sim_disk_clone(writer.disk);
    struct och_vfs *vfs = sim_disk_vfs(writer.disk);
    for (int i = 1; i < 10; i++) {
        char path[OCH_PATH_SIZE_MAX];
        (void) snprintf(path, sizeof(path), "log/000000000000000%d.log", i);
        ochre_status removed = och_vfs_remove(vfs, path, &err);
        check(removed == OCHRE_OK || removed == OCHRE_NOT_FOUND);
    }
    check(open_beside_left(&err) == OCHRE_CORRUPT);
    check(strstr(err.message, "the log ends at record 0, but the catalog knows of record") != NULL);
    sim_disk_close(writer.disk);
    writer.disk = newer;
    char *bytes;
    uint64_t size;
    struct och_file *from;
    struct och_file *to;
    check_ok(och_vfs_open(sim_disk_vfs(old), "catalog.db", OCH_OPEN_READ, &from, &err), &err);
    check_ok(och_vfs_open(sim_disk_vfs(newer), "catalog.db", OCH_OPEN_WRITE, &to, &err), &err);
    check_ok(och_file_size(from, &size, &err), &err);
    bytes = och_mem_take(&writer.own, size);
    check(bytes != NULL);
    check_ok(och_file_read_all(from, 0, bytes, size, &err), &err);
    check_ok(och_file_truncate(to, 0, &err), &err);
    check_ok(och_file_write(to, 0, bytes, size, &err), &err);
    och_mem_release(&writer.own, bytes, size);
    och_file_close(from);
    och_file_close(to);
    sim_disk_close(old);
    check(open_beside_left(&err) == OCHRE_CORRUPT);
    check(strstr(err.message, "the catalog is older") != NULL);
    end();
}

/* --- killed writers --------------------------------------------------------------- */

enum last_act { ACT_WRITE, ACT_SEAL, ACT_COMPACT, ACT_DROP, ACT_CREATE, ACT_OPEN, N_ACTS };

/* Whatever comes of it. */
static void
act(enum last_act what, struct och_collection *collection)
{
    static const uint32_t numbers[] = {3, 50, 51};
    struct rig_write write = {
            .op = OCH_WRITE_UPSERT, .numbers = numbers, .n = 3, .tag = 99, .columns = RIG_ALL};
    ochre_status status = OCHRE_OK;
    if (what == ACT_WRITE) {
        model_write(&coming[0].model, &write);
        status = rig_write(&writer, collection, &write, NULL);
    } else if (what == ACT_SEAL) {
        status = och_engine_seal_all(writer.engine, NULL);
    } else if (what == ACT_COMPACT) {
        status = och_engine_compact(writer.engine, collection, NULL);
    } else if (what == ACT_DROP) {
        coming[0].is_there = false;
        status = och_engine_drop(writer.engine, collection->id, NULL);
    } else if (what == ACT_CREATE) {
        struct och_collection_row row = {.id = {{7}},
                .tenant = text(OCH_DEFAULT_TENANT),
                .database = text(OCH_DEFAULT_DATABASE),
                .name = text(names[1]),
                .schema = text("l2")};
        coming[1].is_there = true;
        status = writer.catalog->ops->collection_create(writer.catalog, &row, NULL);
    }
    (void) status;
}

/* A disk as a process leaves it that is killed at the n-th call; *through_out: it was
 * done before. */
static struct sim_disk *
killed_at(const struct sim_disk *before, enum last_act what, uint64_t n, bool *through_out)
{
    struct ochre_error err;
    struct sim_disk *own = writer.disk;
    writer.disk = sim_disk_clone(before);
    writer.vfs = NULL;
    if (what == ACT_OPEN) {
        sim_disk_fail(writer.disk, n, SIM_IO_FROM);
        ochre_status status = rig_open(&writer, NULL);
        (void) status;
    } else {
        check_ok(rig_open(&writer, &err), &err);
        struct och_collection *collection = rig_collection(&writer, names[0]);
        sim_disk_fail(writer.disk, n, SIM_IO_FROM);
        act(what, collection);
        och_collection_release(collection);
    }
    *through_out = !sim_disk_has_failed(writer.disk);
    struct sim_disk *left = sim_disk_clone(writer.disk);
    rig_close(&writer);
    sim_disk_close(writer.disk);
    writer.disk = own;
    return left;
}

static void
what_a_killed_writer_leaves_is_read_and_not_touched(void **state)
{
    (void) state;
    struct ochre_error err;
    uint64_t seed = 11;
    for (int what = 0; what < N_ACTS; what++) {
        begin();
        create(0);
        for (int i = 0; i < 25; i++)
            write_some(0, i % 4 == 3 ? OCH_WRITE_DELETE : OCH_WRITE_UPSERT, &seed);
        rig_close(&writer);
        bool through = false;
        uint64_t n = 0;
        while (!through) {
            struct rig left = {.disk = killed_at(writer.disk, (enum last_act) what, ++n, &through)};
            check_ok(rig_open_beside(&reader, &left, &err), &err);
            for (size_t i = 0; i < N_NAMES; i++)
                check(shows(&reader, names[i], &acknowledged[i]) ||
                        shows(&reader, names[i], &coming[i]));
            if (through)
                check(shows(&reader, names[0], &coming[0]));
            rig_close(&reader);
            memcpy(coming, acknowledged, sizeof(coming));
            sim_disk_close(left.disk);
        }
        check(n > 3);
        end();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_is_acknowledged_is_shown_between_any_two_calls),
            cmocka_unit_test(a_reader_that_was_asleep_catches_up),
            cmocka_unit_test(each_look_sees_one_state_whatever_is_written_meanwhile),
            cmocka_unit_test(whatever_happens_at_any_call_of_a_look_is_seen_by_the_next),
            cmocka_unit_test(a_result_stays_what_it_was_though_its_files_are_removed),
            cmocka_unit_test(after_a_look_that_failed_the_next_one_shows_all),
            cmocka_unit_test(a_collection_whose_files_go_while_it_is_loaded_is_shown),
            cmocka_unit_test(a_catalog_that_never_rests_is_told_and_read_when_it_rests),
            cmocka_unit_test(a_catalog_that_changes_after_each_look_is_told),
            cmocka_unit_test(a_look_whose_catalog_cannot_be_read_is_taken_again),
            cmocka_unit_test(any_allocation_for_the_tail_of_a_log_may_fail),
            cmocka_unit_test(a_reader_with_a_background_looks_by_itself),
            cmocka_unit_test(no_flipped_bit_of_the_log_is_an_answer),
            cmocka_unit_test(a_segment_that_is_missing_is_damage),
            cmocka_unit_test(a_catalog_and_a_log_of_two_times_are_refused),
            cmocka_unit_test(what_a_killed_writer_leaves_is_read_and_not_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
