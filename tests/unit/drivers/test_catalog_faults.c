/*
 * The catalog on a disk that fails: crashes at every call, calls that fail once
 * or from then on, a full disk, flipped bits, and SQLite out of memory.
 *
 * Each sweep runs pairs of neighbouring steps of one workload in a process of
 * their own, from a copy of the disk as it was before the first: the first step
 * of a process creates the journal, the second one finds it there.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "drivers/catalog_copy.h"
#include "drivers/catalog_pages.h"
#include "drivers/catalog_sqlite.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "support/check.h"
#include "unit/drivers/catalog_model.h"

enum { N_STEPS = 32, PAIR = 2 };

/* Of journals that are left behind, one in so many: flips in one are many already. */
enum { HOT_ONE_IN = CHECK_ONE_IN > 1 ? 3 : 1 };

struct step {
    struct op op;
    struct model model;    /* before it */
    char *text;            /* of the model; owned */
    struct sim_disk *disk; /* before it, as a killed process leaves it; owned */
    ochre_status wanted;
};

static struct och_mem disk_mem;
static struct och_mem mem;
static struct step steps[N_STEPS + 1]; /* the last one is the end */
static uint64_t file_id_max;           /* given out while the workload was made */

/* --- SQLite's memory ------------------------------------------------------- */

static sqlite3_mem_methods real_memory;
static uint64_t n_until_refusal; /* 0: none */
static bool refuse_from;
static bool has_refused;

static bool
is_refused(void)
{
    if (n_until_refusal == 0 || --n_until_refusal > 0)
        return false;
    n_until_refusal = refuse_from ? 1 : 0;
    has_refused = true;
    return true;
}

static void *
scarce_malloc(int size)
{
    return is_refused() ? NULL : real_memory.xMalloc(size);
}

static void *
scarce_realloc(void *block, int size)
{
    return is_refused() ? NULL : real_memory.xRealloc(block, size);
}

static void
refuse(uint64_t n, bool from)
{
    n_until_refusal = n;
    refuse_from = from;
    has_refused = false;
}

/* --- the workload ---------------------------------------------------------- */

static struct och_catalog *
open_or_stop(struct sim_disk *disk)
{
    struct och_catalog *catalog;
    struct ochre_error err;
    check_ok(och_catalog_sqlite_open(&mem, sim_disk_vfs(disk), true, &catalog, &err), &err);
    return catalog;
}

/* Three of four steps change something, so that the others do not crowd them out. */
static bool
is_wanted(size_t at, ochre_status status)
{
    return status == OCHRE_OK || at % 4 == 3;
}

static int
make_workload(void **state)
{
    (void) state;
    och_mem_init(&disk_mem, NULL);
    och_mem_init(&mem, NULL);
    struct sim_disk *disk = sim_disk_open(&disk_mem, 1);
    struct och_catalog *catalog = open_or_stop(disk);
    struct model model;
    uint64_t seed = 11;
    model_init(&model);
    for (size_t i = 0; i < N_STEPS; i++) {
        struct step *step = &steps[i];
        struct model after;
        do {
            after = model;
            step->op = model_next_op(&seed, &model);
            step->wanted = model_apply(&after, &step->op);
        } while (!is_wanted(i, step->wanted));
        step->model = model;
        step->text = model_text(&model);
        step->disk = sim_disk_clone(disk);
        struct ochre_error err;
        ochre_status status = model_run(catalog, &mem, &model, &step->op, &file_id_max, &err);
        check_status(status, step->wanted, &err, __FILE__, __LINE__);
        model = after;
    }
    steps[N_STEPS] =
            (struct step){.model = model, .text = model_text(&model), .disk = sim_disk_clone(disk)};
    catalog->ops->close(catalog);
    sim_disk_close(disk);
    return 0;
}

static int
drop_workload(void **state)
{
    (void) state;
    for (size_t i = 0; i <= N_STEPS; i++) {
        free(steps[i].text);
        sim_disk_close(steps[i].disk);
    }
    return och_mem_used(&mem) == 0 && och_mem_used(&disk_mem) == 0 ? 0 : 1;
}

/* --- judging --------------------------------------------------------------- */

/* Which of the states from `first` to `last` is this?  Stops the test if none. */
static size_t
judge(const char *text, size_t first, size_t last, const char *what)
{
    for (size_t i = first; i <= last; i++) {
        if (strcmp(text, steps[i].text) == 0)
            return i;
    }
    print_error("%s: wanted the state before step %zu (%s)\n%s\nto %zu\n%s\nbut it is\n%s\n", what,
            first, model_op_name(&steps[first].op), steps[first].text, last, steps[last].text,
            text);
    fail();
    return first;
}

static size_t
judge_catalog(struct och_catalog *catalog, size_t first, size_t last, const char *what)
{
    ochre_status status;
    struct ochre_error err;
    char *text = model_text_of(catalog, &mem, &status, &err);
    check_ok(status, &err);
    size_t is = judge(text, first, last, what);
    free(text);
    return is;
}

/* Open what a crash left, compare, and see that the catalog works on. */
static size_t
judge_disk(struct sim_disk *disk, size_t first, size_t last, const char *what)
{
    struct ochre_error err;
    struct och_catalog *catalog = open_or_stop(disk);
    size_t is = judge_catalog(catalog, first, last, what);
    uint64_t id = 0;
    check_ok(catalog->ops->next_file_id(catalog, &id, &err), &err);
    check(steps[is].disk == NULL || id > 0);
    check_ok(och_catalog_pages_verify(sim_disk_vfs(disk), &err), &err);
    catalog->ops->close(catalog);
    return is;
}

/* Run steps `first` and the next; how many were answered as they should be. */
static size_t
run_pair(struct och_catalog *catalog, size_t first)
{
    size_t n = 0;
    for (size_t i = first; i < first + PAIR && i < N_STEPS; i++) {
        struct ochre_error err;
        uint64_t id = 0;
        ochre_status status = model_run(catalog, &mem, &steps[i].model, &steps[i].op, &id, &err);
        if (status != steps[i].wanted) {
            check(status == OCHRE_IO);
            break;
        }
        n++;
    }
    return n;
}

/* --- crashes --------------------------------------------------------------- */

struct points {
    uint64_t crashes, recoveries, nested;
};

/* Recover a copy of a crashed disk in one way, perhaps crash again while the
 * catalog recovers, and judge. */
static void
judge_crash(const struct sim_disk *crashed, enum sim_mode mode, uint64_t seed, size_t first,
        size_t last, struct points *points)
{
    char what[80];
    struct sim_disk *disk = sim_disk_clone(crashed);
    sim_disk_recover(disk, mode, seed);
    (void) snprintf(what, sizeof(what), "mode %s, seed %" PRIu64, sim_mode_name(mode), seed);
    if (och_random_below(&seed, 3) == 0) {
        struct och_catalog *catalog;
        sim_disk_crash(disk, 1 + och_random_below(&seed, 24), SIM_BEFORE);
        if (och_catalog_sqlite_open(&mem, sim_disk_vfs(disk), true, &catalog, NULL) == OCHRE_OK)
            catalog->ops->close(catalog);
        enum sim_mode again = (enum sim_mode) och_random_below(&seed, SIM_N_MODES);
        sim_disk_recover(disk, again, och_random(&seed));
        points->nested++;
    }
    (void) judge_disk(disk, first, last, what);
    sim_disk_close(disk);
    points->recoveries++;
}

static void
judge_all_modes(const struct sim_disk *crashed, uint64_t seed, size_t first, size_t last,
        struct points *points)
{
    static const unsigned n_seeds[SIM_N_MODES] = {1, 1, 1, 2};
    for (unsigned mode = 0; mode < SIM_N_MODES; mode++) {
        for (unsigned i = 0; i < n_seeds[mode]; i++) /* the low bits choose a variant */
            judge_crash(crashed, (enum sim_mode) mode, seed + 2 * i, first, last, points);
    }
    points->crashes++;
}

static void
a_crash_at_any_call_keeps_what_was_answered(void **state)
{
    (void) state;
    struct points points = {0};
    for (size_t first = 0; first < N_STEPS; first++) {
        bool crashed = true;
        for (uint64_t n = 1 + first % CHECK_ONE_IN; crashed; n += CHECK_ONE_IN) {
            struct sim_disk *disk = sim_disk_clone(steps[first].disk);
            struct och_catalog *catalog = NULL;
            size_t n_done = 0;
            sim_disk_crash(disk, n, SIM_BEFORE);
            ochre_status status =
                    och_catalog_sqlite_open(&mem, sim_disk_vfs(disk), true, &catalog, NULL);
            if (status == OCHRE_OK)
                n_done = run_pair(catalog, first);
            crashed = sim_disk_has_crashed(disk);
            size_t done = first + n_done;
            bool in_flight = status == OCHRE_OK && crashed && done < N_STEPS && n_done < PAIR;
            judge_all_modes(disk, first * 1000 + n, done, done + (in_flight ? 1 : 0), &points);
            if (catalog != NULL)
                catalog->ops->close(catalog);
            sim_disk_close(disk);
        }
    }
    print_message("%" PRIu64 " crashes, %" PRIu64 " recoveries, %" PRIu64
                  " of them interrupted by a second crash\n",
            points.crashes, points.recoveries, points.nested);
}

static void
a_crash_while_it_is_made_leaves_none_or_a_new_one(void **state)
{
    (void) state;
    struct points points = {0};
    bool crashed = true;
    for (uint64_t n = 1; crashed; n++) {
        struct sim_disk *disk = sim_disk_open(&disk_mem, n);
        struct och_catalog *catalog = NULL;
        sim_disk_crash(disk, n, SIM_BEFORE);
        ochre_status status =
                och_catalog_sqlite_open(&mem, sim_disk_vfs(disk), true, &catalog, NULL);
        crashed = sim_disk_has_crashed(disk);
        check(status == OCHRE_OK || crashed);
        judge_all_modes(disk, n, 0, 0, &points);
        if (catalog != NULL)
            catalog->ops->close(catalog);
        struct sim_disk *copy = sim_disk_clone(disk);
        sim_disk_recover(copy, SIM_ALL_KEPT, 1);
        status = och_catalog_sqlite_open(&mem, sim_disk_vfs(copy), false, &catalog, NULL);
        check(status == OCHRE_OK || status == OCHRE_NOT_FOUND);
        if (status == OCHRE_OK)
            catalog->ops->close(catalog);
        sim_disk_close(copy);
        sim_disk_close(disk);
    }
    check(points.crashes > 20);
}

/* A database so large that dropping it does not fit SQLite's cache: pages are
 * written before the commit, and the journal gets more than one segment. */
enum { LARGE_COLLECTIONS = 60, LARGE_SIZE = 30000 };

static void
fill_large(struct och_catalog *catalog)
{
    static char large[LARGE_SIZE];
    struct ochre_error err;
    uint64_t seed = 5;
    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = (char) och_random(&seed);
    for (uint8_t i = 0; i < LARGE_COLLECTIONS; i++) {
        struct och_collection_row row = {.id = {{i, 1}},
                .tenant = {OCH_DEFAULT_TENANT, sizeof(OCH_DEFAULT_TENANT) - 1},
                .database = {OCH_DEFAULT_DATABASE, sizeof(OCH_DEFAULT_DATABASE) - 1},
                .name = {(const char *) &i, 1},
                .schema = {large, sizeof(large)}};
        check_ok(catalog->ops->collection_create(catalog, &row, &err), &err);
    }
}

static uint64_t
count_large(struct och_catalog *catalog)
{
    struct ochre_error err;
    uint64_t n = 0;
    struct ochre_bytes tenant = {OCH_DEFAULT_TENANT, sizeof(OCH_DEFAULT_TENANT) - 1};
    struct ochre_bytes database = {OCH_DEFAULT_DATABASE, sizeof(OCH_DEFAULT_DATABASE) - 1};
    check_ok(catalog->ops->collection_count(catalog, tenant, database, &n, &err), &err);
    return n;
}

static uint64_t
size_of(struct sim_disk *disk, const char *name)
{
    struct och_file *file;
    uint64_t size = 0;
    if (och_vfs_open(sim_disk_vfs(disk), name, OCH_OPEN_READ, &file, NULL) != OCHRE_OK)
        return 0;
    check(och_file_size(file, &size, NULL) == OCHRE_OK);
    och_file_close(file);
    return size;
}

/* Does the journal go on behind its first segment? */
static bool
has_two_segments(const struct sim_disk *crashed)
{
    unsigned char n[4] = {0};
    struct och_file *file;
    struct sim_disk *disk = sim_disk_clone(crashed);
    sim_disk_recover(disk, SIM_ALL_KEPT, 1);
    uint64_t size = size_of(disk, OCH_CATALOG_JOURNAL);
    if (size > OCH_JOURNAL_SECTOR_SIZE) {
        check(och_vfs_open(sim_disk_vfs(disk), OCH_CATALOG_JOURNAL, OCH_OPEN_READ, &file, NULL) ==
                OCHRE_OK);
        check(och_file_read_all(file, 8, n, sizeof(n), NULL) == OCHRE_OK);
        och_file_close(file);
    }
    sim_disk_close(disk);
    uint64_t n_records = (uint64_t) n[2] << 8 | n[3];
    return n_records > 0 &&
            size > 2 * OCH_JOURNAL_SECTOR_SIZE + (n_records + 1) * OCH_JOURNAL_RECORD_SIZE;
}

static void
judge_large(const struct sim_disk *crashed, enum sim_mode mode, uint64_t seed, bool is_done,
        uint64_t n_after)
{
    struct ochre_error err;
    struct sim_disk *disk = sim_disk_clone(crashed);
    sim_disk_recover(disk, mode, seed);
    struct och_catalog *catalog = open_or_stop(disk);
    uint64_t n = count_large(catalog);
    check(n == n_after || (n == LARGE_COLLECTIONS && !is_done));
    check_ok((catalog->ops->check)(catalog, &err), &err);
    catalog->ops->close(catalog);
    sim_disk_close(disk);
}

static void
a_crash_in_a_transaction_larger_than_the_cache_is_undone(void **state)
{
    (void) state;
    struct sim_disk *before = sim_disk_open(&disk_mem, 1);
    struct och_catalog *catalog = open_or_stop(before);
    fill_large(catalog);
    catalog->ops->close(catalog);
    uint64_t n_points = 0;
    uint64_t n_long = 0;
    bool crashed = true;
    for (uint64_t n = 1; crashed; n += 47) {
        struct sim_disk *disk = sim_disk_clone(before);
        catalog = open_or_stop(disk);
        sim_disk_crash(disk, n, SIM_BEFORE);
        ochre_status status = catalog->ops->reset(catalog, NULL);
        crashed = sim_disk_has_crashed(disk);
        /* A crash behind the commit, while the copy is made anew, changes no answer. */
        check(status == OCHRE_OK || (crashed && status == OCHRE_IO));
        for (unsigned mode = 0; mode < SIM_N_MODES; mode++)
            judge_large(disk, (enum sim_mode) mode, n + mode, status == OCHRE_OK, 0);
        n_long += has_two_segments(disk);
        catalog->ops->close(catalog);
        sim_disk_close(disk);
        n_points++;
    }
    sim_disk_close(before);
    print_message(
            "%" PRIu64 " crashes, %" PRIu64 " of them with a second segment\n", n_points, n_long);
    check(n_points > 20 && n_long > 10);
}

/* --- calls that fail ------------------------------------------------------- */

static bool
is_from(enum sim_fault fault)
{
    return fault == SIM_IO_FROM || fault == SIM_FULL_FROM;
}

/*
 * Run a pair while calls fail.  Where one fails once, each answer is true: done,
 * or without effect.  Where all fail from then on, the step at which that began
 * may have been done, and no later one.  False when no call has failed.
 */
static bool
run_failing(struct sim_disk *disk, size_t first, enum sim_fault fault)
{
    struct och_catalog *catalog = NULL;
    struct ochre_error err;
    ochre_status allowed = fault == SIM_IO_ONCE || fault == SIM_IO_FROM ? OCHRE_IO : OCHRE_FULL;
    ochre_status status = och_catalog_sqlite_open(&mem, sim_disk_vfs(disk), true, &catalog, &err);
    check(status == OCHRE_OK || status == allowed);
    size_t at = first;
    bool unsure = false;
    for (size_t i = first; status == OCHRE_OK && i == at && i < first + PAIR && i < N_STEPS; i++) {
        uint64_t id;
        ochre_status answer = model_run(catalog, &mem, &steps[i].model, &steps[i].op, &id, &err);
        check(answer == steps[i].wanted || answer == allowed);
        at += answer == steps[i].wanted;
        unsure = answer != steps[i].wanted && is_from(fault);
    }
    bool failed = sim_disk_has_failed(disk);
    sim_disk_fail(disk, 0, fault);
    if (status != OCHRE_OK)
        catalog = open_or_stop(disk);
    size_t is = judge_catalog(catalog, at, at + (unsure ? 1 : 0), "after a failed call");

    /* What it says now is what it says after a power cut. */
    struct sim_disk *copy = sim_disk_clone(disk);
    sim_disk_recover(copy, SIM_NONE_KEPT, 1);
    (void) judge_disk(copy, is, is, "after a failed call and a crash");
    sim_disk_close(copy);
    catalog->ops->close(catalog);
    (void) judge_disk(disk, is, is, "after a failed call and a restart");
    return failed;
}

static void
any_call_may_fail_and_the_answer_is_true(void **state)
{
    (void) state;
    static const enum sim_fault faults[] = {SIM_IO_ONCE, SIM_IO_FROM, SIM_FULL_ONCE, SIM_FULL_FROM};
    uint64_t n_points = 0;
    for (size_t kind = 0; kind < sizeof(faults) / sizeof(faults[0]); kind++) {
        for (size_t first = 0; first < N_STEPS; first++) {
            bool failed = true;
            for (uint64_t n = 1 + first % CHECK_ONE_IN; failed; n += CHECK_ONE_IN) {
                struct sim_disk *disk = sim_disk_clone(steps[first].disk);
                sim_disk_fail(disk, n, faults[kind]);
                failed = run_failing(disk, first, faults[kind]);
                n_points++;
                sim_disk_close(disk);
            }
        }
    }
    print_message("%" PRIu64 " failures\n", n_points);
}

static void
a_full_disk_refuses_changes_and_still_answers(void **state)
{
    (void) state;
    struct sim_disk *disk = sim_disk_clone(steps[N_STEPS].disk);
    struct och_catalog *catalog = open_or_stop(disk);
    struct ochre_error err;
    struct ochre_bytes name = {"filler", 6};
    for (uint64_t room = 0; room < 60000; room += 1000) {
        sim_disk_set_capacity(disk, sim_disk_used(disk) + room);
        ochre_status status = catalog->ops->tenant_create(catalog, name, &err);
        check(status == OCHRE_OK || status == OCHRE_FULL);
        if (status == OCHRE_OK)
            break;
        (void) judge_catalog(catalog, N_STEPS, N_STEPS, "on a full disk");
        sim_disk_set_capacity(disk, UINT64_MAX);
    }
    check(catalog->ops->tenant_create(catalog, name, &err) == OCHRE_EXISTS);
    catalog->ops->close(catalog);
    sim_disk_close(disk);
}

/* A vfs that stops the test when a file is changed or synced after one of its
 * syncs has failed. */
struct watched_file {
    struct och_file base;
    struct och_file *file;
    bool sync_failed;
};

struct watching_vfs {
    struct och_vfs base;
    struct och_vfs *vfs;
};

static struct watched_file *
unspoilt(struct och_file *base)
{
    struct watched_file *watched = (struct watched_file *) base;
    check(!watched->sync_failed);
    return watched;
}

static ochre_status
watched_read(struct och_file *base, uint64_t offset, void *bytes, size_t size, size_t *n_read_out,
        struct ochre_error *err)
{
    return och_file_read(
            ((struct watched_file *) base)->file, offset, bytes, size, n_read_out, err);
}

static ochre_status
watched_write(struct och_file *base, uint64_t offset, const void *bytes, size_t size,
        struct ochre_error *err)
{
    return och_file_write(unspoilt(base)->file, offset, bytes, size, err);
}

static ochre_status
watched_sync(struct och_file *base, struct ochre_error *err)
{
    struct watched_file *watched = unspoilt(base);
    ochre_status status = och_file_sync(watched->file, err);
    watched->sync_failed = status != OCHRE_OK;
    return status;
}

static ochre_status
watched_truncate(struct och_file *base, uint64_t size, struct ochre_error *err)
{
    return och_file_truncate(unspoilt(base)->file, size, err);
}

static ochre_status
watched_size(struct och_file *base, uint64_t *size_out, struct ochre_error *err)
{
    return och_file_size(((struct watched_file *) base)->file, size_out, err);
}

static void
watched_close(struct och_file *base)
{
    struct watched_file *watched = (struct watched_file *) base;
    och_file_close(watched->file);
    och_mem_release(&disk_mem, watched, sizeof(*watched));
}

static const struct och_file_ops watched_ops = {
        .read = watched_read,
        .write = watched_write,
        .sync = watched_sync,
        .truncate = watched_truncate,
        .size = watched_size,
        .close = watched_close,
};

static ochre_status
watching_open(struct och_vfs *base, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    struct watched_file *watched = och_mem_take_zeroed(&disk_mem, sizeof(*watched));
    check(watched != NULL);
    ochre_status status =
            och_vfs_open(((struct watching_vfs *) base)->vfs, path, flags, &watched->file, err);
    if (status != OCHRE_OK) {
        och_mem_release(&disk_mem, watched, sizeof(*watched));
        return status;
    }
    watched->base.ops = &watched_ops;
    *file_out = &watched->base;
    return OCHRE_OK;
}

static ochre_status
watching_remove(struct och_vfs *base, const char *path, struct ochre_error *err)
{
    return och_vfs_remove(((struct watching_vfs *) base)->vfs, path, err);
}

static ochre_status
watching_rename(struct och_vfs *base, const char *from, const char *to, struct ochre_error *err)
{
    return och_vfs_rename(((struct watching_vfs *) base)->vfs, from, to, err);
}

static ochre_status
watching_sync_dir(struct och_vfs *base, const char *path, struct ochre_error *err)
{
    return och_vfs_sync_dir(((struct watching_vfs *) base)->vfs, path, err);
}

static ochre_status
watching_exists(struct och_vfs *base, const char *path, bool *exists_out, struct ochre_error *err)
{
    return och_vfs_exists(((struct watching_vfs *) base)->vfs, path, exists_out, err);
}

static void
no_file_is_used_on_after_its_sync_failed(void **state)
{
    (void) state;
    static const struct och_vfs_ops ops = {
            .open = watching_open,
            .remove = watching_remove,
            .rename = watching_rename,
            .sync_dir = watching_sync_dir,
            .exists = watching_exists,
    };
    for (size_t first = 0; first < N_STEPS; first += 4) {
        bool failed = true;
        for (uint64_t n = 1; failed; n++) {
            struct sim_disk *disk = sim_disk_clone(steps[first].disk);
            struct watching_vfs watching = {.base = {.ops = &ops}, .vfs = sim_disk_vfs(disk)};
            struct och_catalog *catalog = NULL;
            sim_disk_fail(disk, n, SIM_IO_ONCE);
            if (och_catalog_sqlite_open(&mem, &watching.base, true, &catalog, NULL) == OCHRE_OK) {
                (void) run_pair(catalog, first);
                catalog->ops->close(catalog);
            }
            failed = sim_disk_has_failed(disk);
            sim_disk_close(disk);
        }
    }
}

/* --- SQLite's allocations -------------------------------------------------- */

static void
run_scarce(size_t first, uint64_t n, bool from)
{
    struct sim_disk *disk = sim_disk_clone(steps[first].disk);
    struct och_catalog *catalog = NULL;
    struct ochre_error err;
    refuse(n, from);
    ochre_status status = och_catalog_sqlite_open(&mem, sim_disk_vfs(disk), true, &catalog, &err);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    size_t at = first;
    bool unsure = false;
    if (status == OCHRE_OK) {
        uint64_t id;
        ochre_status answer =
                model_run(catalog, &mem, &steps[first].model, &steps[first].op, &id, &err);
        check(answer == steps[first].wanted || answer == OCHRE_NO_MEMORY);
        at += answer == steps[first].wanted;
        unsure = answer != steps[first].wanted && from;
    }
    bool refused = has_refused;
    refuse(0, false);
    has_refused = refused;
    if (status != OCHRE_OK)
        catalog = open_or_stop(disk);
    size_t is = judge_catalog(catalog, at, at + (unsure ? 1 : 0), "after a refused allocation");
    catalog->ops->close(catalog);
    (void) judge_disk(disk, is, is, "after a refused allocation and a restart");
    sim_disk_close(disk);
}

static void
any_allocation_of_sqlite_may_fail_and_the_answer_is_true(void **state)
{
    (void) state;
    uint64_t n_points = 0;
    for (unsigned from = 0; from < 2; from++) {
        for (size_t first = 0; first < N_STEPS; first += from == 1 ? 8 : 4) {
            has_refused = true;
            for (uint64_t n = 1 + first % CHECK_ONE_IN; has_refused; n += CHECK_ONE_IN) {
                run_scarce(first, n, from == 1);
                n_points++;
            }
        }
    }
    print_message("%" PRIu64 " refusals\n", n_points);
}

/* --- flipped bits ---------------------------------------------------------- */

static bool
exists(struct sim_disk *disk, const char *name)
{
    bool there = false;
    struct ochre_error err;
    check_ok(och_vfs_exists(sim_disk_vfs(disk), name, &there, &err), &err);
    return there;
}

/*
 * Flip one bit: the answers are those of a state from `first` to `last`, and nothing is
 * left that a check would call damage.  True when the damaged file was put aside.
 */
static bool
judge_flip(const struct sim_disk *sound, const char *name, uint64_t offset, unsigned bit,
        size_t first, size_t last)
{
    struct sim_disk *disk = sim_disk_clone(sound);
    struct ochre_error err;
    check(sim_disk_flip(disk, name, offset, bit));
    struct och_catalog *catalog = open_or_stop(disk);
    size_t is = judge_catalog(catalog, first, last, name);
    check_ok(catalog->ops->keep_copy(catalog, &err), &err);
    check_ok(och_catalog_pages_verify(sim_disk_vfs(disk), &err), &err);
    check_ok(och_catalog_copy_verify(&mem, sim_disk_vfs(disk), &err), &err);
    catalog->ops->close(catalog);
    (void) judge_disk(disk, is, is, "after a flipped bit and a restart");
    bool aside = exists(disk, OCH_CATALOG_DAMAGED);
    sim_disk_close(disk);
    return aside;
}

static void
a_flipped_bit_in_the_catalog_is_never_an_answer(void **state)
{
    (void) state;
    uint64_t seed = 77;
    uint64_t n_flips = 0;
    struct sim_disk *sound = sim_disk_clone(steps[N_STEPS].disk);
    struct och_catalog *catalog = open_or_stop(sound);
    catalog->ops->close(catalog);
    uint64_t size = size_of(sound, OCH_CATALOG_FILE);
    for (uint64_t offset = 0; offset < size; offset += 1 + och_random_below(&seed, 48)) {
        check(judge_flip(
                sound, OCH_CATALOG_FILE, offset, (unsigned) (offset % 8), N_STEPS, N_STEPS));
        n_flips++;
    }
    sim_disk_close(sound);
    print_message("%" PRIu64 " flips in %" PRIu64 " bytes, all noticed\n", n_flips, size);
    check(n_flips >= 2000);
}

/* Flips in every part of the journal, and in catalog.db beside it. */
static void
flip_hot(const struct sim_disk *hot, size_t is, uint64_t seed, uint64_t *n_flips,
        uint64_t *n_noticed)
{
    struct sim_disk *probe = sim_disk_clone(hot);
    uint64_t journal_size = size_of(probe, OCH_CATALOG_JOURNAL);
    uint64_t db_size = size_of(probe, OCH_CATALOG_FILE);
    sim_disk_close(probe);
    uint64_t header = OCH_JOURNAL_HEADER_SIZE;
    for (uint64_t offset = 0; offset < journal_size;
            offset += offset < header ? 1 : 1 + och_random_below(&seed, 800)) {
        unsigned bit = (unsigned) och_random_below(&seed, 8);
        *n_noticed += judge_flip(hot, OCH_CATALOG_JOURNAL, offset, bit, is, is + 1);
        (*n_flips)++;
    }
    for (uint64_t offset = 0; offset < db_size; offset += 1 + och_random_below(&seed, 10000)) {
        *n_noticed += judge_flip(hot, OCH_CATALOG_FILE, offset, 3, is, is + 1);
        (*n_flips)++;
    }
}

static void
a_flipped_bit_in_a_hot_journal_is_never_an_answer(void **state)
{
    (void) state;
    uint64_t n_flips = 0;
    uint64_t n_noticed = 0;
    uint64_t n_hot = 0;
    for (size_t first = 0; first < N_STEPS; first += 8) {
        bool crashed = true;
        for (uint64_t n = 1; crashed; n += HOT_ONE_IN) {
            struct sim_disk *disk = sim_disk_clone(steps[first].disk);
            struct och_catalog *catalog = open_or_stop(disk);
            uint64_t id;
            sim_disk_crash(disk, n, SIM_BEFORE);
            (void) model_run(catalog, &mem, &steps[first].model, &steps[first].op, &id, NULL);
            crashed = sim_disk_has_crashed(disk);
            struct sim_disk *hot = sim_disk_clone(disk);
            sim_disk_recover(hot, SIM_ALL_KEPT, 1);
            if (crashed && size_of(hot, OCH_CATALOG_JOURNAL) > OCH_JOURNAL_SECTOR_SIZE) {
                flip_hot(hot, first, n, &n_flips, &n_noticed);
                n_hot++;
            }
            sim_disk_close(hot);
            catalog->ops->close(catalog);
            sim_disk_close(disk);
        }
    }
    print_message("%" PRIu64 " flips beside %" PRIu64 " journals, %" PRIu64 " of them noticed\n",
            n_flips, n_hot, n_noticed);
    check(n_hot >= 10 / HOT_ONE_IN && n_flips >= 2000 / HOT_ONE_IN && n_noticed > n_flips / 4);
}

/* A lost sector: the whole header, and the beginning of the first record. */
static void
a_journal_without_its_first_sector_is_noticed(void **state)
{
    (void) state;
    uint64_t n_noticed = 0;
    bool crashed = true;
    for (uint64_t n = 1; crashed; n++) {
        static const unsigned char nothing[512] = {0};
        struct sim_disk *disk = sim_disk_clone(steps[8].disk);
        struct och_catalog *catalog = open_or_stop(disk);
        uint64_t id;
        sim_disk_crash(disk, n, SIM_BEFORE);
        (void) model_run(catalog, &mem, &steps[8].model, &steps[8].op, &id, NULL);
        crashed = sim_disk_has_crashed(disk);
        struct sim_disk *hot = sim_disk_clone(disk);
        sim_disk_recover(hot, SIM_ALL_KEPT, 1);
        catalog->ops->close(catalog);
        sim_disk_close(disk);
        if (crashed && size_of(hot, OCH_CATALOG_JOURNAL) >= sizeof(nothing)) {
            struct och_file *file;
            struct ochre_error err;
            check_ok(och_vfs_open(sim_disk_vfs(hot), OCH_CATALOG_JOURNAL,
                             OCH_OPEN_READ | OCH_OPEN_WRITE, &file, &err),
                    &err);
            check_ok(och_file_write(file, 0, nothing, sizeof(nothing), &err), &err);
            och_file_close(file);
            ochre_status status =
                    och_catalog_sqlite_open(&mem, sim_disk_vfs(hot), true, &catalog, &err);
            check_ok(status, &err);
            n_noticed += exists(hot, OCH_CATALOG_DAMAGED);
            (void) judge_catalog(catalog, 8, 9, "without a header");
            catalog->ops->close(catalog);
        }
        sim_disk_close(hot);
    }
    check(n_noticed >= 3);
}

static void
a_catalog_shorter_than_its_journal_says_is_made_anew(void **state)
{
    (void) state;
    uint64_t n_noticed = 0;
    bool crashed = true;
    for (uint64_t n = 1; crashed; n++) {
        struct sim_disk *disk = sim_disk_clone(steps[8].disk);
        struct och_catalog *catalog = open_or_stop(disk);
        uint64_t id;
        sim_disk_crash(disk, n, SIM_BEFORE);
        (void) model_run(catalog, &mem, &steps[8].model, &steps[8].op, &id, NULL);
        crashed = sim_disk_has_crashed(disk);
        struct sim_disk *hot = sim_disk_clone(disk);
        sim_disk_recover(hot, SIM_ALL_KEPT, 1);
        catalog->ops->close(catalog);
        sim_disk_close(disk);
        struct och_file *file;
        struct ochre_error err;
        check_ok(och_vfs_open(sim_disk_vfs(hot), OCH_CATALOG_FILE, OCH_OPEN_READ | OCH_OPEN_WRITE,
                         &file, &err),
                &err);
        check_ok(och_file_truncate(file, n % 2 == 0 ? 0 : OCH_CATALOG_PAGE_SIZE, &err), &err);
        och_file_close(file);
        uint64_t journal_size = size_of(hot, OCH_CATALOG_JOURNAL);
        if (crashed && journal_size > OCH_JOURNAL_SECTOR_SIZE) {
            ochre_status status =
                    och_catalog_sqlite_open(&mem, sim_disk_vfs(hot), true, &catalog, &err);
            check_ok(status, &err);
            n_noticed += exists(hot, OCH_CATALOG_DAMAGED);
            (void) judge_catalog(catalog, 8, 9, "cut short");
            catalog->ops->close(catalog);
        }
        sim_disk_close(hot);
    }
    check(n_noticed >= 4);
}

int
main(void)
{
    /* Only here: a library must not, for its host uses the same SQLite. */
    sqlite3_mem_methods scarce;
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory) != SQLITE_OK)
        return 1;
    scarce = real_memory;
    scarce.xMalloc = scarce_malloc;
    scarce.xRealloc = scarce_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &scarce) != SQLITE_OK)
        return 1;

    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_crash_at_any_call_keeps_what_was_answered),
            cmocka_unit_test(a_crash_while_it_is_made_leaves_none_or_a_new_one),
            cmocka_unit_test(a_crash_in_a_transaction_larger_than_the_cache_is_undone),
            cmocka_unit_test(any_call_may_fail_and_the_answer_is_true),
            cmocka_unit_test(no_file_is_used_on_after_its_sync_failed),
            cmocka_unit_test(a_full_disk_refuses_changes_and_still_answers),
            cmocka_unit_test(any_allocation_of_sqlite_may_fail_and_the_answer_is_true),
            cmocka_unit_test(a_flipped_bit_in_the_catalog_is_never_an_answer),
            cmocka_unit_test(a_flipped_bit_in_a_hot_journal_is_never_an_answer),
            cmocka_unit_test(a_journal_without_its_first_sector_is_noticed),
            cmocka_unit_test(a_catalog_shorter_than_its_journal_says_is_made_anew),
    };
    return cmocka_run_group_tests_name("catalog_faults", tests, make_workload, drop_workload);
}
