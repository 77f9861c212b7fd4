#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "storage/directory.h"
#include "storage/wal_internal.h"
#include "storage/wal_reach.h"
#include "support/check.h"

enum { BLOCK_SIZE = 32768, N_BLOCKS = 4, N_ROUNDS = 400, N_STEPS = 12 };

static const struct och_uuid database = {{3}};
static const struct och_uuid another = {{4}};

struct fixture {
    struct och_mem own; /* pays for the disk */
    struct och_mem mem;
    struct sim_disk *disk;
    struct wal_reach *reach;
    uint64_t random;
    uint64_t next_lsn;
};

static struct fixture f;
static struct wal_reach_table before, after;

static void
begin(uint64_t seed)
{
    memset(&f, 0, sizeof(f));
    och_mem_init(&f.own, NULL);
    och_mem_init(&f.mem, NULL);
    f.disk = sim_disk_open(&f.own, seed);
    f.random = seed;
    f.next_lsn = 1;
}

static void
end(void)
{
    och_wal_reach_close(f.reach);
    sim_disk_close(f.disk);
    check(och_mem_used(&f.mem) == 0 && och_mem_used(&f.own) == 0);
}

static void
make(void)
{
    struct ochre_error err;
    och_wal_reach_close(f.reach);
    check_ok(och_wal_reach_make(&f.mem, sim_disk_vfs(f.disk), database, &f.reach, &err), &err);
}

static void
begin_table(void)
{
    struct ochre_error err;
    const struct wal_reach_log log = {.next_lsn = f.next_lsn,
            .oldest_lsn = 1,
            .newest_number = 5,
            .newest_salt = 6,
            .last_number = 7};
    check_ok(och_wal_reach_begin(f.reach, och_random(&f.random) | 1, &log, &err), &err);
}

/* Mark what writes, or let it rest; what it makes of the table stands in `after`. */
static bool
step(void)
{
    struct och_log_record records[3];
    bool done;
    before = f.reach->table;
    uint32_t what = (uint32_t) och_random_below(&f.random, 8);
    if (what == 0) {
        done = och_wal_reach_file(f.reach, f.next_lsn, before.last_number + 1);
    } else if (what == 1) {
        done = och_wal_reach_floor(f.reach, f.next_lsn, before.floor_lsn + 1);
    } else if (what < 4) {
        done = och_wal_reach_rest(f.reach, f.next_lsn, och_random_below(&f.random, 2) == 0);
    } else {
        for (size_t i = 0; i < 3; i++)
            records[i] = (struct och_log_record){
                    .collection = (uint32_t) och_random_below(&f.random, 2 * WAL_REACH_ENTRIES)};
        done = och_wal_reach_mark(f.reach, f.next_lsn, records, 3);
        for (size_t i = 0; i < 3 && done; i++)
            och_wal_reach_note(f.reach, records[i].collection, f.next_lsn++);
    }
    after = f.reach->table;
    after.sequence -= !done; /* the next one goes where this one failed */
    return done;
}

static bool
is_same(const struct wal_reach_table *a, const struct wal_reach_table *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* Whatever a power cut does to a state that is being written, it is that or the one before. */
static void
a_power_cut_leaves_one_state_or_the_other(void **state)
{
    (void) state;
    unsigned n_before = 0, n_after = 0;
    for (uint64_t seed = 1; seed <= N_ROUNDS; seed++) {
        begin(seed);
        make();
        check(!f.reach->was_read && och_wal_reach_max(f.reach) == 0);
        begin_table();
        uint64_t n_steps = och_random_below(&f.random, N_STEPS);
        for (uint64_t i = 0; i < n_steps; i++)
            check(step());
        sim_disk_crash(f.disk, 1 + och_random_below(&f.random, 4),
                och_random_below(&f.random, 2) == 0 ? SIM_BEFORE : SIM_AFTER);
        bool done = step();
        if (!sim_disk_has_crashed(f.disk))
            sim_disk_crash(f.disk, 1, SIM_BEFORE);
        check(done == (f.reach->file != NULL));
        och_wal_reach_close(f.reach);
        f.reach = NULL;
        sim_disk_recover(f.disk, (enum sim_mode)(seed % SIM_N_MODES), seed);
        make();
        check(f.reach->was_read);
        bool is_after = is_same(&f.reach->found, &after);
        check(is_after || (!done && is_same(&f.reach->found, &before)));
        n_after += is_after;
        n_before += !is_after;
        end();
    }
    check(n_before > N_ROUNDS / 20 && n_after > N_ROUNDS / 20);
}

static void
damage_block(unsigned i, uint64_t at)
{
    check(sim_disk_flip(f.disk, OCH_DIR_REACH, (uint64_t) i * BLOCK_SIZE + at, 3));
}

/* Each state stands there twice. */
static void
damage_to_one_block_changes_nothing(void **state)
{
    (void) state;
    struct ochre_error err;
    for (unsigned i = 0; i < N_BLOCKS; i++) {
        unsigned n_bad = 9;
        begin(i + 1);
        make();
        begin_table();
        for (int k = 0; k < 5; k++)
            check(step());
        check_ok(och_wal_reach_check(&f.mem, sim_disk_vfs(f.disk), database, &n_bad, &err), &err);
        check(n_bad == 0);
        damage_block(i, och_random_below(&f.random, BLOCK_SIZE - 100) + 96);
        make();
        check(f.reach->was_read && is_same(&f.reach->found, &after));
        check_ok(och_wal_reach_check(&f.mem, sim_disk_vfs(f.disk), database, &n_bad, &err), &err);
        check(n_bad == 1);
        end();
    }
}

static void
what_is_not_a_table_is_none(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_file *file = NULL;
    struct wal_reach *reach = NULL;
    unsigned n_bad = 9;
    begin(1);
    check(och_wal_reach_check(&f.mem, sim_disk_vfs(f.disk), database, &n_bad, &err) ==
            OCHRE_NOT_FOUND);
    make();
    begin_table();
    check(step());
    /* Another database's. */
    check_ok(och_wal_reach_make(&f.mem, sim_disk_vfs(f.disk), another, &reach, &err), &err);
    check(!reach->was_read && !och_wal_reach_has_lacking(reach));
    check(!och_wal_reach_lacks(reach, 1, 0, &(struct wal_hole){1, UINT64_MAX}, 1));
    och_wal_reach_close(reach);
    for (unsigned i = 0; i < N_BLOCKS; i++)
        damage_block(i, 0);
    make();
    check(!f.reach->was_read);
    check_ok(och_wal_reach_check(&f.mem, sim_disk_vfs(f.disk), database, &n_bad, &err), &err);
    check(n_bad >= 2);
    /* A part of a file. */
    check_ok(och_vfs_open(sim_disk_vfs(f.disk), OCH_DIR_REACH, OCH_OPEN_WRITE, &file, &err), &err);
    check_ok(och_file_truncate(file, 3 * BLOCK_SIZE, &err), &err);
    och_file_close(file);
    make();
    check(!f.reach->was_read);
    check_ok(och_wal_reach_check(&f.mem, sim_disk_vfs(f.disk), database, &n_bad, &err), &err);
    check(n_bad == N_BLOCKS);
    /* And a new one over it. */
    begin_table();
    check(step());
    make();
    check(f.reach->was_read);
    end();
}

/* Which records of a hole may be a collection's, by what stands of it. */
static void
holes_are_asked_about(void **state)
{
    (void) state;
    const struct wal_hole old = {20, 30};
    const struct wal_hole open = {90, UINT64_MAX};
    begin(1);
    make();
    och_wal_reach_note(f.reach, 1, 10); /* before the hole */
    och_wal_reach_note(f.reach, 2, 25); /* in it */
    och_wal_reach_note(f.reach, 3, 40); /* behind it */
    f.next_lsn = 50;
    begin_table();
    const struct och_log_record marked = {.collection = 4};
    check(och_wal_reach_mark(f.reach, f.next_lsn, &marked, 1));
    make();
    check(och_wal_reach_max(f.reach) == 49);
    check(!och_wal_reach_lacks(f.reach, 1, 10, &old, 1));
    check(!och_wal_reach_lacks(f.reach, 1, 0, &old, 1)); /* another hole's business */
    check(!och_wal_reach_lacks(f.reach, 3, 40, &old, 1));
    check(!och_wal_reach_lacks(f.reach, 4, 5, &old, 1)); /* marked for what came later */
    check(!och_wal_reach_lacks(f.reach, 3, 40, &open, 1));
    check(!och_wal_reach_lacks(f.reach, 5, 0, &open, 1)); /* never wrote */
    check(!och_wal_reach_lacks(f.reach, 2, 25, &old, 1)); /* its last one is in a segment */
    check(!och_wal_reach_has_lacking(f.reach));
    check(och_wal_reach_lacks(f.reach, 2, 19, &old, 1));
    check(och_wal_reach_lacks(f.reach, 4, 60, &open, 1));
    check(och_wal_reach_lacks(f.reach, 4 + WAL_REACH_ENTRIES, 60, &open, 1)); /* shares its place */
    begin_table();
    make();
    /* From now on without any hole. */
    check(och_wal_reach_has_lacking(f.reach));
    check(och_wal_reach_lacks(f.reach, 2, 100, NULL, 0));
    check(och_wal_reach_lacks(f.reach, 4, 100, NULL, 0));
    check(!och_wal_reach_lacks(f.reach, 1, 10, NULL, 0));
    begin_table();
    make();
    /* Dropped since, and not asked about. */
    begin_table();
    make();
    check(!och_wal_reach_has_lacking(f.reach));
    end();
}

/* One sector that cannot be read costs a copy; if neither copy can be read, what they say is missed. */
static void
calls_that_fail_are_no_table_less(void **state)
{
    (void) state;
    struct ochre_error err;
    unsigned n_read = 0, n_failed = 0;
    begin(1);
    make();
    begin_table();
    while (!step() || is_same(&before, &after))
        continue;
    for (uint64_t n = 1; n <= 6; n++) {
        och_wal_reach_close(f.reach);
        sim_disk_fail(f.disk, n, SIM_IO_ONCE);
        ochre_status status =
                och_wal_reach_make(&f.mem, sim_disk_vfs(f.disk), database, &f.reach, &err);
        sim_disk_fail(f.disk, UINT64_MAX, SIM_IO_ONCE);
        check(status == OCHRE_OK || (status == OCHRE_IO && f.reach == NULL));
        check(status != OCHRE_OK || (f.reach->was_read && is_same(&f.reach->found, &after)));
        n_read += status == OCHRE_OK;
        n_failed += status != OCHRE_OK;
    }
    check(n_read >= N_BLOCKS && n_failed == 1);
    /* The one copy cannot be read, and the other one is damaged. */
    unsigned newest = (unsigned) (after.sequence % 2);
    damage_block(newest, 200);
    n_failed = 0;
    for (uint64_t n = 1; n <= 6; n++) {
        och_wal_reach_close(f.reach);
        sim_disk_fail(f.disk, n, SIM_IO_ONCE);
        ochre_status status =
                och_wal_reach_make(&f.mem, sim_disk_vfs(f.disk), database, &f.reach, &err);
        sim_disk_fail(f.disk, UINT64_MAX, SIM_IO_ONCE);
        check(status != OCHRE_OK || is_same(&f.reach->found, &after));
        n_failed += status != OCHRE_OK;
    }
    check(n_failed == 2);
    end();
}

static bool
is_of(const struct wal_reach_file *newest, uint64_t last_number)
{
    make();
    check(f.reach->was_read);
    och_wal_reach_judge(f.reach, newest, last_number);
    return f.reach->was_read;
}

static void
a_table_is_of_the_log_beside_which_it_was_kept(void **state)
{
    (void) state;
    begin(1);
    make();
    begin_table(); /* the newest file is 5, with salt 6; there was a 7 */
    const uint64_t nonce = f.reach->table.nonce;
    check(is_of(NULL, 0));
    check(is_of(&(struct wal_reach_file){7, 1, nonce}, 7));
    check(!is_of(&(struct wal_reach_file){8, 1, nonce}, 8)); /* was begun without a word */
    check(is_of(&(struct wal_reach_file){5, 6, nonce + 2}, 7));
    check(is_of(&(struct wal_reach_file){5, 6, 0}, 5));
    check(!is_of(&(struct wal_reach_file){5, 7, nonce + 2}, 5));
    check(!is_of(&(struct wal_reach_file){5, 6, nonce + 2}, 8)); /* the 8 cannot be read */
    check(is_of(&(struct wal_reach_file){4, 1, nonce + 2}, 5));
    check(!is_of(&(struct wal_reach_file){4, 1, 0}, 5));
    check(!is_of(&(struct wal_reach_file){6, 1, nonce + 2}, 6));
    check(!is_of(&(struct wal_reach_file){6, 1, 0}, 6));
    check(!is_of(NULL, 8));
    /* The next file is noted first. */
    make();
    begin_table();
    check(och_wal_reach_file(f.reach, f.next_lsn, 8));
    const uint64_t next = f.reach->table.nonce;
    check(is_of(&(struct wal_reach_file){8, 1, next}, 8));
    check(och_wal_reach_knows_files(f.reach));
    end();
}

static void
memory_that_runs_out_is_an_answer(void **state)
{
    (void) state;
    const struct wal_reach_log log = {.next_lsn = 1, .oldest_lsn = 1};
    struct ochre_error err;
    unsigned n_bad;
    begin(1);
    make();
    begin_table();
    och_wal_reach_close(f.reach);
    f.reach = NULL;
    for (uint64_t n = 1; n < 20; n++) {
        f.mem.fail_at = f.mem.n_grants + n;
        ochre_status status =
                och_wal_reach_make(&f.mem, sim_disk_vfs(f.disk), database, &f.reach, &err);
        check(status == OCHRE_OK || (status == OCHRE_NO_MEMORY && f.reach == NULL));
        bool is_kept = status == OCHRE_OK &&
                och_wal_reach_begin(f.reach, 9, &log, &err) == OCHRE_OK && step();
        check(!is_kept || f.reach->file != NULL);
        och_wal_reach_close(f.reach);
        f.reach = NULL;
        f.mem.fail_at = f.mem.n_grants + n;
        status = och_wal_reach_check(&f.mem, sim_disk_vfs(f.disk), database, &n_bad, &err);
        check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
        f.mem.fail_at = 0;
    }
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_power_cut_leaves_one_state_or_the_other),
            cmocka_unit_test(damage_to_one_block_changes_nothing),
            cmocka_unit_test(what_is_not_a_table_is_none),
            cmocka_unit_test(holes_are_asked_about),
            cmocka_unit_test(calls_that_fail_are_no_table_less),
            cmocka_unit_test(a_table_is_of_the_log_beside_which_it_was_kept),
            cmocka_unit_test(memory_that_runs_out_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
