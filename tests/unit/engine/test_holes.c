#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "engine/collection.h"
#include "engine/recover.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"
#include "support/check.h"
#include "unit/engine/rig.h"

/*
 * Histories of some collections whose log is damaged between one opening and the next.  What
 * answers has to answer with every acknowledged write and nothing else; what may miss some has
 * to say so, then and at every later opening; and the one that rests, whose records are in
 * segments, always answers.
 */

enum { N_COLLECTIONS = 5, N_PHASES = 10, N_HISTORIES = 200, N_LOGS_MAX = 64, PAGE = 4096 };

struct history {
    struct rig rig;
    uint64_t seed;
    uint64_t random;
    struct rig_model models[N_COLLECTIONS];
    bool is_failed[N_COLLECTIONS];
    uint32_t next_record;
    bool has_failed; /* a call of the disk */
    /* A write that a crash came into: so many records may be there. */
    int unsure;
    struct rig_write unsure_write;
    uint32_t unsure_numbers[4];
};

struct tally {
    unsigned n_damaged, n_failed, n_answered;
};

static struct history h;
static struct tally tally;
static uint64_t first_seed = 1;
static uint64_t n_seeds = N_HISTORIES;

static uint32_t
below(uint32_t n)
{
    return (uint32_t) och_random_below(&h.random, n);
}

static void
name_of(int i, char name[32])
{
    (void) snprintf(name, 32, "things-%d", i);
}

/* --- the log's files ----------------------------------------------------------- */

struct logs {
    char paths[N_LOGS_MAX][64];
    size_t n;
};

static ochre_status
note_log(void *context, const char *name, bool is_dir)
{
    struct logs *logs = context;
    if (!is_dir && strstr(name, ".log") != NULL && logs->n < N_LOGS_MAX)
        (void) snprintf(logs->paths[logs->n++], sizeof(logs->paths[0]), "log/%.40s", name);
    return OCHRE_OK;
}

/* How many bytes from the end there are that are not zero. */
static uint64_t
used_of(struct och_file *file, uint64_t size)
{
    struct ochre_error err;
    char page[PAGE];
    while (size >= PAGE) {
        check_ok(och_file_read_all(file, size - PAGE, page, PAGE, &err), &err);
        for (size_t i = 0; i < PAGE; i++)
            if (page[i] != 0)
                return size;
        size -= PAGE;
    }
    return size;
}

/* Zeros from `page` to the end. */
static void
zero_from(struct och_file *file, uint64_t page, uint64_t size)
{
    static const char zeros[16 * PAGE];
    struct ochre_error err;
    for (; page < size; page += sizeof(zeros)) {
        uint64_t n = size - page < sizeof(zeros) ? size - page : sizeof(zeros);
        check_ok(och_file_write(file, page, zeros, (size_t) n, &err), &err);
    }
}

/* Cut the file, or zero a part of it, or all.  `clean`: whatever was last is known to be durable. */
static void
spoil(const char *path, bool clean)
{
    static const char zeros[16 * PAGE];
    struct ochre_error err;
    struct och_file *file = NULL;
    uint64_t size = 0;
    check_ok(och_vfs_open(sim_disk_vfs(h.rig.disk), path, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_size(file, &size, &err), &err);
    uint64_t used = used_of(file, size);
    uint64_t at = used == 0 ? 0 : och_random(&h.random) % used;
    uint64_t page = at / PAGE * PAGE;
    uint64_t n = PAGE * (clean ? 1 + below(16) : 1);
    uint32_t how = below(clean ? 6 : 5);
    print_message("  %s of %llu: %s at %llu\n", path, (unsigned long long) size,
            how < 2           ? "cut"
                    : how < 4 ? "zeros"
                              : "zeros to the end",
            (unsigned long long) (how == 0         ? at
                            : how == 2 || how == 4 ? 0
                                                   : page));
    if (how >= 4) {
        zero_from(file, how == 4 ? 0 : page, size);
    } else if (how < 2) {
        check_ok(och_file_truncate(file, how == 0 ? at : page, &err), &err);
    } else {
        page = how == 2 ? 0 : page;
        n = page == 0 ? PAGE : n;
        n = n < size - page ? n : size - page;
        /* Without anything behind it, it would be a file that was never begun. */
        if (page > 0 || used > 2 * (uint64_t) PAGE)
            check_ok(och_file_write(file, page, zeros, n, &err), &err);
    }
    check_ok(och_file_sync(file, &err), &err);
    och_file_close(file);
}

static void
damage(bool clean)
{
    struct ochre_error err;
    struct logs logs = {.n = 0};
    struct och_vfs *vfs = sim_disk_vfs(h.rig.disk);
    check_ok(och_vfs_list(vfs, "log", note_log, &logs, &err), &err);
    if (logs.n == 0)
        return;
    /* The newest is the one that most happens to. */
    size_t i = below(2) == 0 ? logs.n - 1 : below((uint32_t) logs.n);
    /* Behind a failed sync the file after its file may be all that tells what was written from what
     * was not; of the last one the table knows. */
    bool may_go = i + 1 == logs.n || !h.has_failed;
    tally.n_damaged++;
    if (may_go && below(5) == 0) {
        print_message("  %s: removed\n", logs.paths[i]);
        check_ok(och_vfs_remove(vfs, logs.paths[i], &err), &err);
        check_ok(och_vfs_sync_dir(vfs, "log", &err), &err);
    } else {
        spoil(logs.paths[i], clean);
    }
}

/* --- what is there --------------------------------------------------------------- */

static void
settle_unsure(struct och_collection *collection)
{
    struct rig_model *model = &h.models[h.unsure];
    struct och_result *result = rig_get_all(&h.rig, collection);
    if (result->lists[0].n == model->n + h.unsure_write.n)
        model_write(model, &h.unsure_write);
    och_result_release(result);
    h.unsure = -1;
}

/* `damaged`: since the last time; only then one that answered may fail, unless the group that vouched
 * for its last record was one of which a sync had failed, and which a power cut then took. */
static void
check_all(bool damaged)
{
    for (int i = 0; i < N_COLLECTIONS; i++) {
        char name[32];
        struct ochre_error err;
        name_of(i, name);
        struct och_collection *collection = rig_collection(&h.rig, name);
        ochre_status status = rig_try(&h.rig, collection, &err);
        if (status != OCHRE_OK && status != OCHRE_CORRUPT)
            fail_msg("%s: %s", name, err.message);
        if (h.is_failed[i] && status == OCHRE_OK)
            fail_msg("%s answers again", name);
        if (!h.is_failed[i] && status != OCHRE_OK && !damaged && !h.has_failed)
            fail_msg("%s fails later: %s", name, err.message);
        h.is_failed[i] = status != OCHRE_OK;
        check(i != 0 || !h.is_failed[i]);
        if (status == OCHRE_OK) {
            if (h.unsure == i)
                settle_unsure(collection);
            check_collection(&h.rig, collection, &h.models[i]);
        }
        tally.n_failed += status != OCHRE_OK;
        tally.n_answered += status == OCHRE_OK;
        och_collection_release(collection);
    }
    h.unsure = -1;
}

/* --- what happens ------------------------------------------------------------------ */

/* Some records to one of them; the call of the disk with this number fails, if it is not 0. */
static ochre_status
write_with_fault(int i, uint64_t fail_at, struct ochre_error *err)
{
    char name[32];
    name_of(i, name);
    size_t n = 1 + below(4);
    for (size_t k = 0; k < n; k++)
        h.unsure_numbers[k] = h.next_record++;
    h.unsure_write = (struct rig_write){.op = OCH_WRITE_ADD,
            .numbers = h.unsure_numbers,
            .n = n,
            .tag = h.next_record,
            .columns = RIG_ALL};
    struct och_collection *collection = rig_collection(&h.rig, name);
    if (fail_at > 0)
        sim_disk_fail(h.rig.disk, fail_at, SIM_IO_ONCE);
    ochre_status status = rig_write(&h.rig, collection, &h.unsure_write, err);
    if (fail_at > 0)
        sim_disk_fail(h.rig.disk, UINT64_MAX, SIM_IO_ONCE);
    och_collection_release(collection);
    if (status == OCHRE_OK)
        model_write(&h.models[i], &h.unsure_write);
    return status;
}

static ochre_status
write_some(int i, struct ochre_error *err)
{
    return write_with_fault(i, 0, err);
}

/* A write that fails, and one that overrides what may be there of it. */
static void
write_over_failure(int i)
{
    struct ochre_error err;
    ochre_status status = write_with_fault(i, 1 + below(5), &err);
    if (status != OCHRE_OK && status != OCHRE_IO)
        fail_msg("%s", err.message);
    h.has_failed = true;
    check_ok(write_some(i, &err), &err);
    /* The table may have been given up; another one is begun. */
    (void) h.rig.engine->log->ops->rest(h.rig.engine->log, false);
}

/* One that fails goes, and another one comes. */
static void
replace(int i)
{
    char name[32];
    struct ochre_error err;
    name_of(i, name);
    struct och_collection *collection = rig_collection(&h.rig, name);
    check_ok(och_engine_drop(h.rig.engine, collection->id, &err), &err);
    och_collection_release(collection);
    och_collection_release(rig_create(&h.rig, name));
    h.models[i].n = 0;
    h.is_failed[i] = false;
}

static void
work(void)
{
    struct ochre_error err;
    struct och_record_log *log = h.rig.engine->log;
    int last = 1 + (int) below(N_COLLECTIONS - 1);
    for (uint32_t n = below(20); n > 0; n--) {
        uint32_t what = below(12);
        int i = below(2) == 0 ? last : 1 + (int) below(N_COLLECTIONS - 1);
        if (what == 0)
            (void) log->ops->rest(log, false);
        else if (what == 1)
            log->ops->roll(log);
        else if (what == 2 && below(4) == 0)
            check_ok(och_engine_seal_all(h.rig.engine, &err), &err);
        else if (!h.is_failed[i] && what == 3)
            write_over_failure(i);
        else if (!h.is_failed[i])
            check_ok(write_some(i, &err), &err);
        else if (what < 6)
            replace(i);
    }
    och_engine_vouch(h.rig.engine);
}

/* End the process, or the power: perhaps in a write, or while the table is written.  Of a
 * write that comes last nothing knows that it was durable: damage to it is a torn end. */
static bool
end_phase(bool *last_out)
{
    struct ochre_error err;
    struct och_record_log *log = h.rig.engine->log;
    uint32_t how = below(4);
    *last_out = false;
    if (how <= 1) {
        rig_close(&h.rig);
        return true;
    }
    int i = 1 + (int) below(N_COLLECTIONS - 1);
    sim_disk_crash(h.rig.disk, 1 + below(8), below(2) == 0 ? SIM_BEFORE : SIM_AFTER);
    *last_out = how == 2 && !h.is_failed[i];
    if (*last_out && write_some(i, &err) != OCHRE_OK)
        h.unsure = i;
    else if (how == 3)
        (void) log->ops->rest(log, true);
    if (!sim_disk_has_crashed(h.rig.disk))
        sim_disk_crash(h.rig.disk, 1, SIM_BEFORE);
    rig_close(&h.rig);
    sim_disk_recover(h.rig.disk, (enum sim_mode) below(SIM_N_MODES), och_random(&h.random));
    return false;
}

static void
begin_history(uint64_t seed)
{
    struct ochre_error err;
    memset(&h, 0, sizeof(h));
    h.seed = seed;
    h.unsure = -1;
    h.random = seed;
    rig_begin(&h.rig);
    h.rig.options.head_rows_max = 40;
    check_ok(rig_open(&h.rig, &err), &err);
    for (int i = 0; i < N_COLLECTIONS; i++) {
        char name[32];
        name_of(i, name);
        och_collection_release(rig_create(&h.rig, name));
        for (int k = 0; k < 3; k++)
            check_ok(write_some(i, &err), &err);
    }
    check_ok(och_engine_seal_all(h.rig.engine, &err), &err);
    rig_close(&h.rig);
    check_ok(rig_open(&h.rig, &err), &err);
}

/* Perhaps a crash comes into it, or a call fails; then it is opened again. */
static void
open_again(void)
{
    struct ochre_error err;
    uint32_t how = below(4);
    uint64_t n = 1 + below(80);
    if (how == 0)
        sim_disk_crash(h.rig.disk, n, below(2) == 0 ? SIM_BEFORE : SIM_AFTER);
    else if (how == 1)
        sim_disk_fail(h.rig.disk, n, SIM_IO_ONCE);
    ochre_status status = how <= 1 ? rig_open(&h.rig, &err) : OCHRE_IO;
    bool has_crashed = sim_disk_has_crashed(h.rig.disk);
    sim_disk_fail(h.rig.disk, UINT64_MAX, SIM_IO_ONCE);
    if (has_crashed || status != OCHRE_OK) {
        if (how == 0 && !has_crashed)
            sim_disk_crash(h.rig.disk, 1, SIM_BEFORE);
        rig_close(&h.rig);
        if (how == 0)
            sim_disk_recover(h.rig.disk, (enum sim_mode) below(SIM_N_MODES), n);
        if (rig_open(&h.rig, &err) != OCHRE_OK)
            fail_msg("does not open: %s", err.message);
    } else if (how == 0) {
        sim_disk_crash(h.rig.disk, UINT64_MAX, SIM_BEFORE);
    }
}

static void
run_history(uint64_t seed)
{
    begin_history(seed);
    for (int phase = 0; phase < N_PHASES; phase++) {
        work();
        check_all(false);
        bool is_last_write = false;
        bool clean = end_phase(&is_last_write);
        print_message(" phase %d ended %s\n", phase, clean ? "clean" : "killed");
        /* Two at once, one of which may be the table's, are not told of. */
        bool damaged = below(3) == 0 && (!is_last_write || h.unsure >= 0);
        if (damaged)
            damage(clean);
        open_again();
        check_all(damaged);
    }
    rig_end(&h.rig);
}

static void
what_answers_misses_nothing(void **state)
{
    (void) state;
    for (uint64_t seed = first_seed; seed < first_seed + n_seeds; seed++) {
        print_message("seed %llu\n", (unsigned long long) seed);
        run_history(seed);
    }
    print_message("%u damages; %u answers, %u refusals\n", tally.n_damaged, tally.n_answered,
            tally.n_failed);
    check(n_seeds < N_HISTORIES || (tally.n_failed > 0 && tally.n_failed < tally.n_answered / 4));
}

/* [SEED [N]]: only that history, or N from there on. */
int
main(int argc, char **argv)
{
    first_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : first_seed;
    n_seeds = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : n_seeds;
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(what_answers_misses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
