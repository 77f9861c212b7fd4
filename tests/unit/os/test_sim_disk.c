/*
 * The simulated disk must be able to lose everything that was not synced, and
 * must never lose what was.  Both are proved here: a simulator that is too kind
 * would let every crash sweep pass, one that is too cruel would fail good code.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "sim/sim_disk.h"
#include "sim_words.h"
#include "support/check.h"

enum { N_SEEDS = 400 }; /* that a test may use to see something happen by chance */

static struct och_mem mem;

/* Does `test` hold after some crash of this mode? */
static bool
can_happen(const struct sim_disk *disk, enum sim_mode mode, bool (*test)(struct sim_disk *after))
{
    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        struct sim_disk *after = crashed(disk, mode, seed);
        bool happened = test(after);
        sim_disk_close(after);
        if (happened)
            return true;
    }
    return false;
}

/* Does `test` hold after every crash tried, in all modes? */
static bool
always_happens(const struct sim_disk *disk, bool (*test)(struct sim_disk *after))
{
    for (size_t i = 0; i < SIM_N_MODES; i++) {
        for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
            struct sim_disk *after = crashed(disk, modes[i], seed);
            bool happened = test(after);
            sim_disk_close(after);
            if (!happened)
                return false;
        }
    }
    return true;
}

static int
set_up(void **state)
{
    och_mem_init(&mem, NULL);
    *state = sim_disk_open(&mem, 1);
    return 0;
}

static int
tear_down(void **state)
{
    sim_disk_close(*state);
    sim_disk_close(NULL);
    return och_mem_used(&mem) == 0 ? 0 : -1;
}

/* --- names ---------------------------------------------------------------------- */

static bool
has_a(struct sim_disk *disk)
{
    return exists(disk, "a");
}

static bool
has_no_a(struct sim_disk *disk)
{
    return !exists(disk, "a");
}

static bool
has_b_only(struct sim_disk *disk)
{
    return exists(disk, "b") && !exists(disk, "a");
}

static void
a_new_name_can_be_lost_until_its_directory_is_synced(void **state)
{
    struct sim_disk *disk = *state;
    put(disk, "a", "text");
    check(can_happen(disk, SIM_NONE_KEPT, has_no_a));
    check(can_happen(disk, SIM_RANDOM, has_no_a));
    check(can_happen(disk, SIM_RANDOM, has_a));
    check(can_happen(disk, SIM_ADVERSARIAL, has_no_a));
    check(can_happen(disk, SIM_ADVERSARIAL, has_a));
    check(!can_happen(disk, SIM_ALL_KEPT, has_no_a));
    sync_dir(disk, "");
    check(always_happens(disk, has_a));
}

static void
a_removed_name_can_come_back_until_its_directory_is_synced(void **state)
{
    struct sim_disk *disk = *state;
    put(disk, "a", "text");
    sync_dir(disk, "");
    remove_file(disk, "a");
    check(can_happen(disk, SIM_NONE_KEPT, has_a));
    check(can_happen(disk, SIM_RANDOM, has_a));
    check(can_happen(disk, SIM_RANDOM, has_no_a));
    check(can_happen(disk, SIM_ADVERSARIAL, has_a));
    sync_dir(disk, "");
    check(always_happens(disk, has_no_a));
}

static void
names_can_be_kept_out_of_order(void **state)
{
    struct sim_disk *disk = *state;
    put(disk, "a", "first");
    put(disk, "b", "second");
    check(can_happen(disk, SIM_RANDOM, has_b_only));
}

static bool
holds_old_in_b(struct sim_disk *disk)
{
    return holds(disk, "b", "old");
}

static bool
holds_new_in_b(struct sim_disk *disk)
{
    return holds(disk, "b", "new") && !exists(disk, "a");
}

static bool
has_renamed_or_not(struct sim_disk *disk)
{
    return holds_new_in_b(disk) || (holds(disk, "a", "new") && holds_old_in_b(disk));
}

static void
a_rename_is_lost_or_kept_as_a_whole(void **state)
{
    struct sim_disk *disk = *state;
    put(disk, "a", "new");
    put(disk, "b", "old");
    sync_dir(disk, "");
    rename_file(disk, "a", "b");
    check(always_happens(disk, has_renamed_or_not));
    check(can_happen(disk, SIM_RANDOM, holds_old_in_b));
    check(can_happen(disk, SIM_RANDOM, holds_new_in_b));
    check(can_happen(disk, SIM_ADVERSARIAL, holds_old_in_b));
    check(can_happen(disk, SIM_ADVERSARIAL, holds_new_in_b));
    sync_dir(disk, "");
    check(always_happens(disk, holds_new_in_b));
}

static bool
holds_nothing_in_b(struct sim_disk *disk)
{
    return holds(disk, "b", "");
}

static void
a_rename_can_outlive_the_bytes_it_was_for(void **state)
{
    struct sim_disk *disk = *state;
    put(disk, "b", "old");
    sync_dir(disk, "");
    struct och_file *file = open_file(disk, "a", CREATE);
    write_at(file, 0, "new", 3);
    och_file_close(file);
    rename_file(disk, "a", "b");
    check(can_happen(disk, SIM_RANDOM, holds_nothing_in_b));
    check(can_happen(disk, SIM_ADVERSARIAL, holds_nothing_in_b));
    sync_dir(disk, "");
    check(can_happen(disk, SIM_NONE_KEPT, holds_nothing_in_b));
}

static bool
holds_moved(struct sim_disk *disk)
{
    return holds(disk, "d/a", "text") && !exists(disk, "a");
}

static bool
holds_moved_or_not(struct sim_disk *disk)
{
    return holds_moved(disk) || (holds(disk, "a", "text") && !exists(disk, "d/a"));
}

static void
a_move_is_sure_after_a_sync_of_where_it_went(void **state)
{
    struct sim_disk *disk = *state;
    put(disk, "a", "text");
    make_dir(disk, "d");
    sync_dir(disk, "");
    rename_file(disk, "a", "d/a");
    check(always_happens(disk, holds_moved_or_not));
    sync_dir(disk, ""); /* where it came from is not enough */
    check(!always_happens(disk, holds_moved));
    check(always_happens(disk, holds_moved_or_not));
    sync_dir(disk, "d");
    check(always_happens(disk, holds_moved));
}

/* Between two directories, one of them new and the other one going. */
static void
a_synced_file_is_never_lost_on_its_way(void **state)
{
    struct sim_disk *disk = *state;
    struct ochre_error err;
    put(disk, "a", "text");
    sync_dir(disk, "");
    make_dir(disk, "d");
    rename_file(disk, "a", "d/a");
    check(always_happens(disk, holds_moved_or_not));
    sync_dir(disk, "d"); /* which must bring the name "d" along */
    check(always_happens(disk, holds_moved));

    rename_file(disk, "d/a", "a");
    check_ok(och_vfs_rmdir(sim_disk_vfs(disk), "d", &err), &err);
    check(always_happens(disk, holds_moved_or_not));
    sync_dir(disk, "");
    check(always_happens(disk, has_a));
}

static bool
holds_text_once(struct sim_disk *disk)
{
    static const char *const places[] = {"a", "b", "c", "d/a"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        n += holds(disk, places[i], "text");
    return n == 1;
}

static void
a_renamed_file_is_there_once_whatever_became_of_its_old_name(void **state)
{
    struct sim_disk *disk = *state;
    put(disk, "a", "text");
    make_dir(disk, "d");
    sync_dir(disk, "");
    rename_file(disk, "a", "b");
    put(disk, "a", "another");
    check(always_happens(disk, holds_text_once));
    rename_file(disk, "b", "c");
    check(always_happens(disk, holds_text_once));
    put(disk, "b", "a third");
    rename_file(disk, "c", "d/a");
    put(disk, "c", "a fourth");
    check(always_happens(disk, holds_text_once));
    sync_dir(disk, ""); /* makes the new "c" durable, and so the move before it */
    check(can_happen(disk, SIM_NONE_KEPT, holds_text_once));
    check(always_happens(disk, holds_text_once));
    sync_dir(disk, "d");
    rename_file(disk, "d/a", "a");
    remove_file(disk, "c");
    check(always_happens(disk, holds_text_once));
}

static bool
has_file_in_d(struct sim_disk *disk)
{
    return exists(disk, "d/a");
}

static void
a_directory_has_a_name_of_its_own_to_sync(void **state)
{
    struct sim_disk *disk = *state;
    make_dir(disk, "d");
    put(disk, "d/a", "text");
    sync_dir(disk, "d");
    check(!can_happen(disk, SIM_NONE_KEPT, has_file_in_d));
    check(!always_happens(disk, has_file_in_d));
    sync_dir(disk, "");
    check(always_happens(disk, has_file_in_d));
}

/* --- bytes ---------------------------------------------------------------------- */

static bool
holds_first(struct sim_disk *disk)
{
    return holds(disk, "a", "first");
}

static bool
holds_other(struct sim_disk *disk)
{
    return holds(disk, "a", "other");
}

static bool
holds_mixture(struct sim_disk *disk)
{
    return !holds_first(disk) && !holds_other(disk);
}

/* Every byte is the old one or the new one. */
static bool
holds_bytes_of_both(struct sim_disk *disk)
{
    char bytes[8];
    size_t n_read = 0;
    if (!get(disk, "a", bytes, sizeof(bytes), &n_read) || n_read != 5)
        return false;
    for (size_t i = 0; i < 5; i++)
        if (bytes[i] != "first"[i] && bytes[i] != "other"[i])
            return false;
    return true;
}

static void
a_write_can_be_lost_or_torn_until_it_is_synced(void **state)
{
    struct sim_disk *disk = *state;
    put(disk, "a", "first");
    sync_dir(disk, "");
    check(always_happens(disk, holds_first));
    struct och_file *file = open_file(disk, "a", OCH_OPEN_WRITE);
    write_at(file, 0, "other", 5);
    check(can_happen(disk, SIM_NONE_KEPT, holds_first));
    check(can_happen(disk, SIM_ADVERSARIAL, holds_first));
    check(can_happen(disk, SIM_ADVERSARIAL, holds_other));
    check(can_happen(disk, SIM_RANDOM, holds_first));
    check(can_happen(disk, SIM_RANDOM, holds_other));
    check(can_happen(disk, SIM_RANDOM, holds_mixture));
    check(!can_happen(disk, SIM_ALL_KEPT, holds_first));
    check(always_happens(disk, holds_bytes_of_both));
    sync_file(file);
    och_file_close(file);
    check(always_happens(disk, holds_other));
}

enum { N_SECTORS = 16 };

/* A write of many sectors of 1, over zeros. */
static struct och_file *
write_sectors(struct sim_disk *disk)
{
    static char ones[N_SECTORS * SECTOR];
    memset(ones, 1, sizeof(ones));
    struct ochre_error err;
    struct och_file *file = open_file(disk, "a", CREATE);
    check_ok(och_file_truncate(file, sizeof(ones), &err), &err);
    sync_file(file);
    sync_dir(disk, "");
    write_at(file, 0, ones, sizeof(ones));
    return file;
}

/* The ones in each sector. */
struct ones {
    size_t n[N_SECTORS];
    size_t n_all;
    bool at_front; /* in each sector, all before the zeros */
};

static struct ones
count_ones(struct sim_disk *disk)
{
    static char bytes[N_SECTORS * SECTOR + 1];
    size_t n_read = 0;
    struct ones ones = {.at_front = true};
    check(get(disk, "a", bytes, sizeof(bytes), &n_read) && n_read == N_SECTORS * SECTOR);
    for (size_t i = 0; i < n_read; i++) {
        check(bytes[i] == 0 || bytes[i] == 1);
        if (bytes[i] == 1) {
            ones.at_front = ones.at_front && ones.n[i / SECTOR] == i % SECTOR;
            ones.n[i / SECTOR]++;
            ones.n_all++;
        }
    }
    return ones;
}

static bool
has_a_hole(struct sim_disk *disk)
{
    struct ones ones = count_ones(disk);
    return ones.n[0] == SECTOR && ones.n[1] == 0 && ones.n[2] == SECTOR;
}

/* Torn in the middle, which a write that stopped cannot explain. */
static bool
is_torn_at_a_unit(struct sim_disk *disk)
{
    struct ones ones = count_ones(disk);
    return ones.n[0] > 0 && ones.n[0] < SECTOR && ones.n[0] % 512 == 0 && ones.n[1] == SECTOR;
}

static bool
is_torn_at_a_byte(struct sim_disk *disk)
{
    struct ones ones = count_ones(disk);
    return ones.n[0] % 512 != 0 && ones.n[1] == SECTOR;
}

/* Stopped somewhere, which deciding sector by sector would hardly give. */
static bool
is_cut_short(struct sim_disk *disk)
{
    struct ones ones = count_ones(disk);
    size_t n_whole = 0;
    while (n_whole < N_SECTORS && ones.n[n_whole] == SECTOR)
        n_whole++;
    if (n_whole < 5 || n_whole > 11)
        return false;
    return ones.n[n_whole] % 512 != 0 && ones.n_all == n_whole * SECTOR + ones.n[n_whole];
}

static bool
keeps_only_fronts(struct sim_disk *disk)
{
    return count_ones(disk).at_front;
}

static void
a_long_write_can_be_kept_in_any_part(void **state)
{
    struct sim_disk *disk = *state;
    struct och_file *file = write_sectors(disk);
    check(can_happen(disk, SIM_RANDOM, has_a_hole));
    check(can_happen(disk, SIM_RANDOM, is_torn_at_a_unit));
    check(can_happen(disk, SIM_RANDOM, is_torn_at_a_byte));
    check(can_happen(disk, SIM_RANDOM, is_cut_short));
    check(always_happens(disk, keeps_only_fronts));
    och_file_close(file);
}

static bool
is_empty(struct sim_disk *disk)
{
    return holds(disk, "a", "");
}

static bool
is_all_zero(struct sim_disk *disk)
{
    char bytes[16];
    size_t n_read = 0;
    check(get(disk, "a", bytes, sizeof(bytes), &n_read));
    return n_read == 8 && memcmp(bytes, "\0\0\0\0\0\0\0\0", 8) == 0;
}

static bool
is_junk(struct sim_disk *disk)
{
    char bytes[16];
    size_t n_read = 0;
    check(get(disk, "a", bytes, sizeof(bytes), &n_read));
    for (size_t i = 0; i < n_read; i++)
        if (bytes[i] != 0 && bytes[i] != 'x')
            return true;
    return false;
}

static void
a_size_can_come_without_its_bytes_and_the_reverse(void **state)
{
    struct sim_disk *disk = *state;
    put(disk, "a", "");
    sync_dir(disk, "");
    struct och_file *file = open_file(disk, "a", OCH_OPEN_WRITE);
    write_at(file, 0, "xxxxxxxx", 8);
    check(can_happen(disk, SIM_ADVERSARIAL, is_empty));
    check(can_happen(disk, SIM_ADVERSARIAL, is_all_zero));
    check(can_happen(disk, SIM_RANDOM, is_empty));
    check(can_happen(disk, SIM_RANDOM, is_all_zero));
    check(can_happen(disk, SIM_RANDOM, is_junk));
    check(!can_happen(disk, SIM_ADVERSARIAL, is_junk));
    och_file_close(file);
}

static void
the_adversary_has_four_faces(void **state)
{
    struct sim_disk *disk = *state;
    static const struct {
        const char *a;
        size_t size;
        bool has_name;
    } faces[] = {
            {"first\0\0\0", 8, true}, /* names and sizes, no data */
            {"fixxx", 5, false},      /* data alone */
            {"first", 5, true},       /* names alone */
            {"fixxxxxx", 8, false},   /* data and sizes */
    };
    put(disk, "a", "first");
    sync_dir(disk, "");
    struct och_file *file = open_file(disk, "a", OCH_OPEN_WRITE);
    write_at(file, 2, "xxxxxx", 6);
    put(disk, "b", "");
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct sim_disk *after = crashed(disk, SIM_ADVERSARIAL, seed);
        char bytes[16];
        size_t n_read = 0;
        check(get(after, "a", bytes, sizeof(bytes), &n_read));
        check(n_read == faces[seed].size && memcmp(bytes, faces[seed].a, n_read) == 0);
        check(exists(after, "b") == faces[seed].has_name);
        sim_disk_close(after);
    }
    write_at(file, 100, "far", 3); /* wholly past the end that is kept */
    struct sim_disk *after = crashed(disk, SIM_ADVERSARIAL, 1);
    check(holds(after, "a", "fixxx"));
    sim_disk_close(after);
    och_file_close(file);
}

static void
cutting_and_allocating_are_pending_too(void **state)
{
    struct sim_disk *disk = *state;
    struct ochre_error err;
    put(disk, "a", "first");
    sync_dir(disk, "");
    struct och_file *file = open_file(disk, "a", OCH_OPEN_WRITE);
    check_ok(och_file_truncate(file, 0, &err), &err);
    check(can_happen(disk, SIM_NONE_KEPT, holds_first));
    check(can_happen(disk, SIM_RANDOM, holds_first));
    check(can_happen(disk, SIM_RANDOM, is_empty));
    sync_file(file);
    check(always_happens(disk, is_empty));
    check_ok(och_file_allocate(file, 8, &err), &err);
    check(can_happen(disk, SIM_NONE_KEPT, is_empty));
    check(can_happen(disk, SIM_RANDOM, is_all_zero));
    sync_file(file);
    check(always_happens(disk, is_all_zero));
    och_file_close(file);
}

static void
a_failed_sync_loses_what_was_pending_for_good(void **state)
{
    struct sim_disk *disk = *state;
    put(disk, "a", "first");
    sync_dir(disk, "");
    struct och_file *file = open_file(disk, "a", OCH_OPEN_WRITE);
    write_at(file, 0, "other", 5);
    sim_disk_fail(disk, 1, SIM_IO_ONCE);
    check(och_file_sync(file, NULL) == OCHRE_IO);
    check(sim_disk_has_failed(disk));
    check(holds_other(disk));                 /* reads still see it, */
    sync_file(file);                          /* the system says that all is well, */
    check(always_happens(disk, holds_first)); /* and it is gone */

    struct sim_disk *clone = sim_disk_clone(disk);
    struct och_file *other = open_file(clone, "a", OCH_OPEN_WRITE);
    write_at(other, 5, "!", 1);
    sync_file(other);
    check(holds(clone, "a", "other!"));
    sim_disk_recover(clone, SIM_ALL_KEPT, 0);
    check(holds(clone, "a", "first!"));
    och_file_close(other);
    sim_disk_close(clone);
    och_file_close(file);
}

/* --- clones -------------------------------------------------------------------------- */

static void
a_clone_and_its_original_go_their_own_ways(void **state)
{
    struct sim_disk *disk = *state;
    put(disk, "a", "first");
    make_dir(disk, "d");
    sync_dir(disk, "");
    struct sim_disk *clone = sim_disk_clone(disk);
    struct sim_disk *second = sim_disk_clone(clone);

    put(clone, "a", "other");
    put(clone, "d/b", "in the clone");
    remove_file(disk, "a");
    put(disk, "c", "in the original");

    check(holds_other(clone) && holds(clone, "d/b", "in the clone") && !exists(clone, "c"));
    check(!exists(disk, "a") && !exists(disk, "d/b") && holds(disk, "c", "in the original"));
    check(holds_first(second) && !exists(second, "d/b") && !exists(second, "c"));
    check(always_happens(second, holds_first));
    sim_disk_close(clone);
    check(holds_first(second));
    sim_disk_close(second);
}

static void
a_clone_has_what_is_pending_but_no_open_files(void **state)
{
    struct sim_disk *disk = *state;
    struct ochre_error err;
    put(disk, "a", "first");
    put(disk, "gone", "removed while open");
    sync_dir(disk, "");
    struct och_file *file = open_file(disk, "a", OCH_OPEN_WRITE);
    struct och_file *gone = open_file(disk, "gone", OCH_OPEN_READ);
    check_ok(och_file_lock(file, &err), &err);
    remove_file(disk, "gone");
    sync_dir(disk, "");
    write_at(file, 0, "other", 5);

    struct sim_disk *clone = sim_disk_clone(disk);
    check(sim_disk_used(clone) == SECTOR && sim_disk_used(disk) == 2 * SECTOR);
    check(holds_other(clone));
    check(can_happen(clone, SIM_NONE_KEPT, holds_first));
    struct och_file *again = open_file(clone, "a", OCH_OPEN_WRITE);
    check_ok(och_file_lock(again, &err), &err);
    sync_file(again);
    check(always_happens(clone, holds_other));
    check(!always_happens(disk, holds_other));
    och_file_close(again);
    sim_disk_close(clone);
    och_file_close(gone);
    och_file_close(file);
}

/* A clone of a disk with a large file costs far less than the file. */
static void
a_clone_shares_its_pages(void **state)
{
    struct sim_disk *disk = *state;
    static char bytes[1 << 20];
    memset(bytes, 1, sizeof(bytes));
    struct och_file *file = open_file(disk, "a", CREATE);
    write_at(file, 0, bytes, sizeof(bytes));
    sync_file(file);
    sync_dir(disk, "");
    size_t before = och_mem_used(&mem);
    struct sim_disk *clone = sim_disk_clone(disk);
    check(och_mem_used(&mem) - before < (size_t) 32 * 1024);
    before = och_mem_used(&mem);
    struct och_file *other = open_file(clone, "a", OCH_OPEN_WRITE);
    write_at(other, 100, "x", 1);
    check(och_mem_used(&mem) - before < (size_t) 32 * 1024);
    och_file_close(other);
    sim_disk_close(clone);
    och_file_close(file);
}

/* --- crashes at a call ------------------------------------------------------------------ */

/* Five calls: create, write, sync, sync_dir, exists; returns how many worked. */
static unsigned
run_five_calls(struct sim_disk *disk)
{
    struct och_vfs *vfs = sim_disk_vfs(disk);
    struct och_file *file = NULL;
    bool there = false;
    unsigned n = 0;
    if (och_vfs_open(vfs, "a", CREATE, &file, NULL) != OCHRE_OK)
        return n;
    n += och_file_write(file, 0, "first", 5, NULL) == OCHRE_OK;
    n += och_file_sync(file, NULL) == OCHRE_OK;
    n += och_vfs_sync_dir(vfs, "", NULL) == OCHRE_OK;
    n += och_vfs_exists(vfs, "a", &there, NULL) == OCHRE_OK;
    och_file_close(file);
    return n + 1;
}

static void
a_crash_comes_exactly_where_it_was_armed(void **state)
{
    (void) state;
    for (unsigned n = 1; n <= 6; n++) {
        for (int after = 0; after < 2; after++) {
            struct sim_disk *disk = sim_disk_open(&mem, 1);
            make_dir(disk, "before");
            uint64_t n_before = sim_disk_n_calls(disk);
            sim_disk_crash(disk, n, after == 0 ? SIM_BEFORE : SIM_AFTER);
            unsigned n_wanted = n - (after == 0);
            if (n_wanted > 5)
                n_wanted = 5;
            check(run_five_calls(disk) == n_wanted);
            check(sim_disk_n_calls(disk) == n_before + n_wanted);
            check(sim_disk_has_crashed(disk) == (n - (after == 0) <= 5));
            sim_disk_recover(disk, SIM_NONE_KEPT, 0);
            check(!sim_disk_has_crashed(disk));
            check(exists(disk, "a") == (n_wanted >= 4));
            check(run_five_calls(disk) == 5);
            sim_disk_close(disk);
        }
    }
}

static void
a_crashed_machine_refuses_everything_and_changes_nothing(void **state)
{
    struct sim_disk *disk = *state;
    struct och_vfs *vfs = sim_disk_vfs(disk);
    put(disk, "a", "first");
    sync_dir(disk, "");
    struct och_file *file = open_file(disk, "a", OCH_OPEN_WRITE);
    write_at(file, 0, "other", 5);
    sim_disk_crash(disk, 1, SIM_BEFORE);
    char bytes[8];
    size_t n_read = 0;
    uint64_t number = 0;
    bool there = false;
    const void *map = NULL;
    struct och_file *none = NULL;
    check(och_file_sync(file, NULL) == OCHRE_IO);
    check(och_file_read(file, 0, bytes, 5, &n_read, NULL) == OCHRE_IO);
    check(och_file_write(file, 0, "third", 5, NULL) == OCHRE_IO);
    check(och_file_truncate(file, 0, NULL) == OCHRE_IO);
    check(och_file_allocate(file, 100, NULL) == OCHRE_IO);
    check(och_file_size(file, &number, NULL) == OCHRE_IO);
    check(och_file_map(file, 5, &map, NULL) == OCHRE_IO);
    check(och_file_lock(file, NULL) == OCHRE_IO);
    check(och_vfs_open(vfs, "b", CREATE, &none, NULL) == OCHRE_IO);
    check(och_vfs_remove(vfs, "a", NULL) == OCHRE_IO);
    check(och_vfs_rename(vfs, "a", "b", NULL) == OCHRE_IO);
    check(och_vfs_mkdir(vfs, "d", NULL) == OCHRE_IO);
    check(och_vfs_rmdir(vfs, "d", NULL) == OCHRE_IO);
    check(och_vfs_sync_dir(vfs, "", NULL) == OCHRE_IO);
    check(och_vfs_exists(vfs, "a", &there, NULL) == OCHRE_IO);
    check(och_vfs_space_free(vfs, &number, NULL) == OCHRE_IO);
    struct sim_disk *clone = sim_disk_clone(disk);
    check(sim_disk_has_crashed(clone));
    sim_disk_recover(clone, SIM_ALL_KEPT, 0);
    check(holds_other(clone));
    sim_disk_recover(disk, SIM_NONE_KEPT, 0);
    check(holds_first(disk));
    sim_disk_close(clone);
    och_file_close(file);
}

static void
files_and_locks_die_with_the_machine(void **state)
{
    struct sim_disk *disk = *state;
    struct ochre_error err;
    put(disk, "a", "first");
    sync_dir(disk, "");
    struct och_file *dead = open_file(disk, "a", OCH_OPEN_WRITE);
    const void *map = NULL;
    check_ok(och_file_lock(dead, &err), &err);
    check_ok(och_file_map(dead, 5, &map, &err), &err);
    sim_disk_recover(disk, SIM_RANDOM, 1);
    uint64_t n_calls = sim_disk_n_calls(disk);
    check(och_file_write(dead, 0, "other", 5, &err) == OCHRE_IO);
    check(och_file_sync(dead, &err) == OCHRE_IO);
    check(sim_disk_n_calls(disk) == n_calls); /* no call of this life */
    struct och_file *file = open_file(disk, "a", OCH_OPEN_WRITE);
    check_ok(och_file_lock(file, &err), &err);
    check(memcmp(map, "first", 5) == 0);
    och_file_unmap(dead, map, 5);
    och_file_close(dead);
    check(holds_first(disk));
    och_file_close(file);
}

/* --- faults ------------------------------------------------------------------------------- */

static void
a_fault_strikes_once_or_from_then_on(void **state)
{
    (void) state;
    for (unsigned n = 1; n <= 5; n++) {
        struct sim_disk *disk = sim_disk_open(&mem, 1);
        sim_disk_fail(disk, n, SIM_IO_ONCE);
        check(run_five_calls(disk) == (n == 1 ? 0 : 4));
        check(sim_disk_has_failed(disk));
        check(run_five_calls(disk) == 5);

        sim_disk_fail(disk, n, SIM_IO_FROM);
        check(!sim_disk_has_failed(disk));
        check(run_five_calls(disk) == n - 1);
        check(run_five_calls(disk) == 0);
        sim_disk_fail(disk, 0, SIM_IO_FROM);
        check(run_five_calls(disk) == 5);
        check(!sim_disk_has_failed(disk));
        sim_disk_close(disk);
    }
}

static void
a_full_disk_fails_only_calls_that_need_space(void **state)
{
    struct sim_disk *disk = *state;
    struct och_file *file = open_file(disk, "a", CREATE);
    sim_disk_fail(disk, 1, SIM_FULL_FROM);
    char byte = 0;
    size_t n_read = 0;
    struct ochre_error err;
    check_ok(och_file_read(file, 0, &byte, 1, &n_read, &err), &err);
    sync_file(file);
    check(!sim_disk_has_failed(disk));
    check(och_file_write(file, 0, "x", 1, &err) == OCHRE_FULL);
    check(och_file_allocate(file, 1, &err) == OCHRE_FULL);
    check(och_vfs_mkdir(sim_disk_vfs(disk), "d", &err) == OCHRE_FULL);
    remove_file(disk, "a");
    sim_disk_fail(disk, 2, SIM_FULL_ONCE);
    write_at(file, 0, "x", 1);
    sync_file(file);
    check(och_file_write(file, 0, "x", 1, &err) == OCHRE_FULL);
    write_at(file, 0, "x", 1);
    och_file_close(file);
}

static void
a_failed_write_has_written_any_part(void **state)
{
    (void) state;
    bool seen[3] = {false, false, false}; /* nothing, some, all */
    for (uint64_t seed = 0; seed < N_SEEDS; seed++) {
        struct sim_disk *disk = sim_disk_open(&mem, seed);
        struct och_file *file = open_file(disk, "a", CREATE);
        sim_disk_fail(disk, 1, SIM_IO_ONCE);
        check(och_file_write(file, 0, "xxxxxxxx", 8, NULL) == OCHRE_IO);
        uint64_t size = 0;
        struct ochre_error err;
        check_ok(och_file_size(file, &size, &err), &err);
        check(size <= 8);
        seen[size == 0 ? 0 : size < 8 ? 1 : 2] = true;
        och_file_close(file);
        sim_disk_close(disk);
    }
    check(seen[0] && seen[1] && seen[2]);
}

static void
a_disk_has_room_for_its_capacity(void **state)
{
    struct sim_disk *disk = *state;
    static char bytes[5 * SECTOR];
    uint64_t left = 0;
    uint64_t size = 0;
    struct ochre_error err;
    memset(bytes, 1, sizeof(bytes));
    sim_disk_set_capacity(disk, 4 * SECTOR);
    struct och_file *file = open_file(disk, "a", CREATE);
    write_at(file, 0, bytes, SECTOR + 1);
    check(sim_disk_used(disk) == 2 * SECTOR);
    check_ok(och_vfs_space_free(sim_disk_vfs(disk), &left, &err), &err);
    check(left == 2 * SECTOR);
    write_at(file, SECTOR, bytes, SECTOR); /* within what it has */

    check(och_file_allocate(file, 5 * SECTOR, &err) == OCHRE_FULL);
    check_ok(och_file_size(file, &size, &err), &err);
    check(size == 2 * SECTOR);
    check(och_file_write(file, 0, bytes, sizeof(bytes), &err) == OCHRE_FULL);
    check_ok(och_file_size(file, &size, &err), &err);
    check(size == 4 * SECTOR); /* what fits was written */
    check(sim_disk_used(disk) == 4 * SECTOR);
    write_at(file, 0, bytes, SECTOR);

    remove_file(disk, "a"); /* gives back nothing while it is open */
    check(sim_disk_used(disk) == 4 * SECTOR);
    och_file_close(file);
    check(sim_disk_used(disk) == 0);
    put(disk, "b", "fits again");
}

static void
a_bit_can_rot(void **state)
{
    struct sim_disk *disk = *state;
    put(disk, "a", "first");
    sync_dir(disk, "");
    check(!sim_disk_flip(disk, "b", 0, 0));
    check(!sim_disk_flip(disk, "", 0, 0));
    check(!sim_disk_flip(disk, "a", 5, 0));
    struct sim_disk *clone = sim_disk_clone(disk);
    check(sim_disk_flip(clone, "a", 1, 5));
    check(holds(clone, "a", "fIrst") && holds_first(disk));
    sim_disk_recover(clone, SIM_NONE_KEPT, 0);
    check(holds(clone, "a", "fIrst"));
    sim_disk_close(clone);
}

/* --- explanations --------------------------------------------------------------------------- */

static void
the_trace_names_the_last_calls(void **state)
{
    struct sim_disk *disk = *state;
    for (int i = 0; i < 100; i++)
        (void) exists(disk,
                "a/long/path/that/does/not/fit/in/the/trace/and/so/is/cut/at/its/"
                "beginning/because/the/end/says/more");
    sim_disk_fail(disk, 2, SIM_IO_ONCE);
    (void) run_five_calls(disk);
    static char text[16384];
    FILE *stream = fmemopen(text, sizeof(text) - 1, "w");
    check(stream != NULL);
    sim_disk_print_trace(disk, stream);
    sim_disk_print_state(disk, stream);
    check(fclose(stream) == 0);
    check(strstr(text, "the/end/says/more") != NULL);
    check(strstr(text, "   102 write      a 0+5: input/output error") != NULL);
    check(strstr(text, "   103 sync       a") != NULL);
    check(strstr(text, "durable a -> 2") != NULL);
    for (size_t i = 0; i < SIM_N_MODES; i++)
        check(strlen(sim_mode_name(modes[i])) > 0);
}

int
main(void)
{
    static const struct CMUnitTest claims[] = {
            cmocka_unit_test(a_new_name_can_be_lost_until_its_directory_is_synced),
            cmocka_unit_test(a_removed_name_can_come_back_until_its_directory_is_synced),
            cmocka_unit_test(names_can_be_kept_out_of_order),
            cmocka_unit_test(a_rename_is_lost_or_kept_as_a_whole),
            cmocka_unit_test(a_rename_can_outlive_the_bytes_it_was_for),
            cmocka_unit_test(a_move_is_sure_after_a_sync_of_where_it_went),
            cmocka_unit_test(a_synced_file_is_never_lost_on_its_way),
            cmocka_unit_test(a_renamed_file_is_there_once_whatever_became_of_its_old_name),
            cmocka_unit_test(a_directory_has_a_name_of_its_own_to_sync),
            cmocka_unit_test(a_write_can_be_lost_or_torn_until_it_is_synced),
            cmocka_unit_test(a_long_write_can_be_kept_in_any_part),
            cmocka_unit_test(a_size_can_come_without_its_bytes_and_the_reverse),
            cmocka_unit_test(the_adversary_has_four_faces),
            cmocka_unit_test(cutting_and_allocating_are_pending_too),
            cmocka_unit_test(a_failed_sync_loses_what_was_pending_for_good),
            cmocka_unit_test(a_clone_and_its_original_go_their_own_ways),
            cmocka_unit_test(a_clone_has_what_is_pending_but_no_open_files),
            cmocka_unit_test(a_clone_shares_its_pages),
            cmocka_unit_test(a_crash_comes_exactly_where_it_was_armed),
            cmocka_unit_test(a_crashed_machine_refuses_everything_and_changes_nothing),
            cmocka_unit_test(files_and_locks_die_with_the_machine),
            cmocka_unit_test(a_fault_strikes_once_or_from_then_on),
            cmocka_unit_test(a_full_disk_fails_only_calls_that_need_space),
            cmocka_unit_test(a_failed_write_has_written_any_part),
            cmocka_unit_test(a_disk_has_room_for_its_capacity),
            cmocka_unit_test(a_bit_can_rot),
            cmocka_unit_test(the_trace_names_the_last_calls),
    };
    enum { n_claims = sizeof(claims) / sizeof(claims[0]) };
    struct CMUnitTest tests[n_claims];
    for (size_t i = 0; i < n_claims; i++) {
        tests[i] = claims[i];
        tests[i].setup_func = set_up;
        tests[i].teardown_func = tear_down;
    }
    return cmocka_run_group_tests_name("sim/disk", tests, NULL, NULL);
}
