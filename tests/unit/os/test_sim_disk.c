/*
 * The simulated disk must be able to lose everything that was not synced, and
 * must never lose what was.  Both are proved here: a simulator that is too kind
 * would let every crash sweep pass, one that is too cruel would fail good code.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "sim/sim_disk.h"
#include "support/check.h"

enum {
    N_SEEDS = 400, /* that a test may use to see something happen by chance */
    CREATE = OCH_OPEN_WRITE | OCH_OPEN_CREATE,
};

#define SECTOR ((size_t) 4096)

static struct och_mem mem;
static const enum sim_mode modes[SIM_N_MODES] = {
        SIM_NONE_KEPT, SIM_ALL_KEPT, SIM_RANDOM, SIM_ADVERSARIAL};

/* --- words for what follows -------------------------------------------------- */

static struct och_file *
open_file(struct sim_disk *disk, const char *path, unsigned flags)
{
    struct ochre_error err;
    struct och_file *file = NULL;
    check_ok(och_vfs_open(sim_disk_vfs(disk), path, flags, &file, &err), &err);
    return file;
}

static void
write_at(struct och_file *file, uint64_t offset, const void *bytes, size_t size)
{
    struct ochre_error err;
    check_ok(och_file_write(file, offset, bytes, size, &err), &err);
}

static void
sync_file(struct och_file *file)
{
    struct ochre_error err;
    check_ok(och_file_sync(file, &err), &err);
}

static void
sync_dir(struct sim_disk *disk, const char *path)
{
    struct ochre_error err;
    check_ok(och_vfs_sync_dir(sim_disk_vfs(disk), path, &err), &err);
}

static void
make_dir(struct sim_disk *disk, const char *path)
{
    struct ochre_error err;
    check_ok(och_vfs_mkdir(sim_disk_vfs(disk), path, &err), &err);
}

static void
remove_file(struct sim_disk *disk, const char *path)
{
    struct ochre_error err;
    check_ok(och_vfs_remove(sim_disk_vfs(disk), path, &err), &err);
}

static void
rename_file(struct sim_disk *disk, const char *from, const char *to)
{
    struct ochre_error err;
    check_ok(och_vfs_rename(sim_disk_vfs(disk), from, to, &err), &err);
}

/* A file that holds `text`; its bytes are synced, its name is not. */
static void
put(struct sim_disk *disk, const char *path, const char *text)
{
    struct ochre_error err;
    struct och_file *file = open_file(disk, path, CREATE);
    check_ok(och_file_truncate(file, 0, &err), &err);
    write_at(file, 0, text, strlen(text));
    sync_file(file);
    och_file_close(file);
}

/* Read a whole file that ends before `size`; false when there is none. */
static bool
get(struct sim_disk *disk, const char *path, char *bytes, size_t size, size_t *n_read_out)
{
    struct ochre_error err;
    struct och_file *file = NULL;
    ochre_status status = och_vfs_open(sim_disk_vfs(disk), path, OCH_OPEN_READ, &file, &err);
    if (status == OCHRE_NOT_FOUND)
        return false;
    check_ok(status, &err);
    check_ok(och_file_read(file, 0, bytes, size, n_read_out, &err), &err);
    check(*n_read_out < size);
    och_file_close(file);
    return true;
}

static bool
exists(struct sim_disk *disk, const char *path)
{
    struct ochre_error err;
    bool there = false;
    check_ok(och_vfs_exists(sim_disk_vfs(disk), path, &there, &err), &err);
    return there;
}

static bool
holds(struct sim_disk *disk, const char *path, const char *text)
{
    char bytes[256];
    size_t n_read = 0;
    return get(disk, path, bytes, sizeof(bytes), &n_read) && n_read == strlen(text) &&
            memcmp(bytes, text, n_read) == 0;
}

/* The disk after a crash now; the original stays as it is. */
static struct sim_disk *
crashed(const struct sim_disk *disk, enum sim_mode mode, uint64_t seed)
{
    struct sim_disk *after = sim_disk_clone(disk);
    sim_disk_recover(after, mode, seed);
    return after;
}

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

/* --- recovery against a model ------------------------------------------------------ */

enum { N_NAMES = 5, N_FILES = 40, FILE_MAX = 3 * 4096, TAG = 8 };

/*
 * What the model knows of one file: what was synced, and all that might be seen
 * since.  Each file starts with a tag of its own, synced at once, so that a file
 * can be told whatever its name is.
 */
struct model_file {
    unsigned char synced[FILE_MAX];
    unsigned char current[FILE_MAX];
    size_t synced_size;
    size_t current_size;
    size_t size_min;        /* since the last sync */
    bool touched[FILE_MAX]; /* bytes written or cut since the last sync */
    bool is_dirty;
    bool is_safe;          /* its name was synced, and was only ever changed by renames since */
    struct och_file *file; /* open as long as the model lives; NULL for none */
};

/* And of the names: which file each may stand for, N_FILES being none. */
struct model {
    struct model_file files[N_FILES];
    size_t n_files;
    size_t current[N_NAMES];
    bool may_be[N_NAMES][N_FILES + 1];
    size_t moved_out[N_NAMES]; /* the file that went to the other directory last */
};

static const char *const names[N_NAMES] = {"a", "b", "c", "d/a", "d/b"};
static const bool is_in_d[N_NAMES] = {false, false, false, true, true};

static void
model_init(struct model *model)
{
    memset(model, 0, sizeof(*model));
    for (size_t i = 0; i < N_NAMES; i++) {
        model->current[i] = N_FILES;
        model->may_be[i][N_FILES] = true;
        model->moved_out[i] = N_FILES;
    }
}

static void
model_bind(struct model *model, size_t name, size_t file)
{
    model->current[name] = file;
    model->may_be[name][file] = true;
    model->moved_out[name] = N_FILES;
}

static void
model_sync(struct model_file *file)
{
    memcpy(file->synced, file->current, FILE_MAX);
    file->synced_size = file->current_size;
    file->size_min = file->current_size;
    memset(file->touched, 0, sizeof(file->touched));
    file->is_dirty = false;
}

static void
model_resize(struct model_file *file, size_t size)
{
    if (size < file->current_size) {
        memset(file->current + size, 0, FILE_MAX - size);
        memset(file->touched + size, 1, FILE_MAX - size);
    }
    file->is_dirty = file->is_dirty || size != file->current_size;
    file->current_size = size;
    file->size_min = size < file->size_min ? size : file->size_min;
}

static void
step_create(struct sim_disk *disk, struct model *model, size_t name)
{
    if (model->n_files == N_FILES || model->current[name] != N_FILES)
        return;
    struct model_file *file = &model->files[model->n_files];
    file->file = open_file(disk, names[name], CREATE | OCH_OPEN_EXCLUSIVE);
    unsigned char tag[TAG] = {'t', 'a', 'g', (unsigned char) (model->n_files + 1), 1, 2, 3, 4};
    write_at(file->file, 0, tag, TAG);
    sync_file(file->file);
    memcpy(file->current, tag, TAG);
    file->current_size = TAG;
    model_sync(file);
    model_bind(model, name, model->n_files);
    model->n_files++;
}

static void
step_write(struct model_file *file, uint64_t *seed)
{
    static unsigned char bytes[FILE_MAX];
    size_t offset = TAG + (size_t) och_random_below(seed, FILE_MAX - TAG);
    size_t size = 1 + (size_t) och_random_below(seed, FILE_MAX - offset);
    bool zeros = och_random_below(seed, 4) == 0;
    for (size_t i = 0; i < size; i++)
        bytes[i] = zeros ? 0 : (unsigned char) och_random(seed);
    write_at(file->file, offset, bytes, size);
    memcpy(file->current + offset, bytes, size);
    memset(file->touched + offset, 1, size);
    file->is_dirty = true;
    if (offset + size > file->current_size)
        file->current_size = offset + size;
}

static void
step_resize(struct model_file *file, uint64_t *seed)
{
    struct ochre_error err;
    size_t size = TAG + (size_t) och_random_below(seed, FILE_MAX - TAG);
    check_ok(och_file_truncate(file->file, size, &err), &err);
    model_resize(file, size);
}

/* All names of the directory are sure, but for a file that moved out: it may
 * still be there until the other directory is synced. */
static void
step_sync_dir(struct sim_disk *disk, struct model *model, bool in_d)
{
    sync_dir(disk, in_d ? "d" : "");
    for (size_t i = 0; i < N_NAMES; i++) {
        if (is_in_d[i] != in_d)
            continue;
        memset(model->may_be[i], 0, sizeof(model->may_be[i]));
        model->may_be[i][model->current[i]] = true;
        if (model->moved_out[i] != N_FILES)
            model->may_be[i][model->moved_out[i]] = true;
        if (model->current[i] != N_FILES)
            model->files[model->current[i]].is_safe = true;
    }
}

static void
step_remove(struct sim_disk *disk, struct model *model, size_t name)
{
    model->files[model->current[name]].is_safe = false;
    remove_file(disk, names[name]);
    model_bind(model, name, N_FILES);
}

static void
step_rename(struct sim_disk *disk, struct model *model, size_t from, size_t to)
{
    rename_file(disk, names[from], names[to]);
    if (from == to)
        return;
    size_t file = model->current[from];
    if (model->current[to] != N_FILES)
        model->files[model->current[to]].is_safe = false;
    model_bind(model, from, N_FILES);
    model_bind(model, to, file);
    if (is_in_d[from] != is_in_d[to])
        model->moved_out[from] = file;
}

static void
step(struct sim_disk *disk, struct model *model, uint64_t *seed)
{
    size_t name = (size_t) och_random_below(seed, N_NAMES);
    size_t other = (size_t) och_random_below(seed, N_NAMES);
    size_t file = model->current[name];
    uint64_t what = och_random_below(seed, 16);
    if (what == 0) {
        step_sync_dir(disk, model, och_random_below(seed, 2) == 0);
    } else if (what < 4) {
        step_create(disk, model, name);
    } else if (file == N_FILES) {
        return;
    } else if (what < 5) {
        step_remove(disk, model, name);
    } else if (what < 8) {
        step_rename(disk, model, name, other);
    } else if (what < 10) {
        sync_file(model->files[file].file);
        model_sync(&model->files[file]);
    } else if (what < 12) {
        step_resize(&model->files[file], seed);
    } else {
        step_write(&model->files[file], seed);
    }
}

/* The bytes found are synced ones, but for what was touched since. */
static void
check_bytes(const struct model_file *file, const unsigned char *bytes, size_t size)
{
    if (!file->is_dirty) {
        check(size == file->synced_size);
        check(memcmp(bytes, file->synced, size) == 0);
        return;
    }
    check(size >= (file->size_min < file->synced_size ? file->size_min : file->synced_size));
    for (size_t i = 0; i < size && i < file->synced_size; i++)
        check(file->touched[i] || bytes[i] == file->synced[i]);
    for (size_t i = file->synced_size; i < size; i++)
        check(file->touched[i] || bytes[i] == 0);
}

static void
check_against_model(struct sim_disk *after, const struct model *model)
{
    bool found[N_FILES] = {false};
    for (size_t i = 0; i < N_NAMES; i++) {
        static unsigned char bytes[FILE_MAX + 1];
        size_t size = 0;
        if (!get(after, names[i], (char *) bytes, sizeof(bytes), &size)) {
            check(model->may_be[i][N_FILES]);
            continue;
        }
        check(size >= TAG && memcmp(bytes, "tag", 3) == 0);
        size_t file = (size_t) bytes[3] - 1;
        check(file < model->n_files && model->may_be[i][file]);
        check_bytes(&model->files[file], bytes, size);
        check(!found[file]); /* no file has two names */
        found[file] = true;
    }
    for (size_t i = 0; i < model->n_files; i++)
        check(found[i] || !model->files[i].is_safe);
}

static void
check_all_kept(struct sim_disk *after, const struct model *model)
{
    for (size_t i = 0; i < N_NAMES; i++) {
        static unsigned char bytes[FILE_MAX + 1];
        size_t size = 0;
        bool there = get(after, names[i], (char *) bytes, sizeof(bytes), &size);
        check(there == (model->current[i] != N_FILES));
        if (!there)
            continue;
        const struct model_file *file = &model->files[model->current[i]];
        check(size == file->current_size && memcmp(bytes, file->current, size) == 0);
    }
}

static void
random_programs_keep_all_that_was_synced(void **state)
{
    (void) state;
    enum { n_programs = 100, n_steps = 80 };
    static struct model model;
    uint64_t seed = 7;
    print_message("seed %llu\n", (unsigned long long) seed);
    for (int program = 0; program < n_programs; program++) {
        struct sim_disk *disk = sim_disk_open(&mem, (uint64_t) program);
        make_dir(disk, "d");
        sync_dir(disk, "");
        model_init(&model);
        for (int i = 0; i < n_steps; i++) {
            step(disk, &model, &seed);
            if (i % 8 != 7)
                continue;
            for (size_t j = 0; j < (size_t) 3 * SIM_N_MODES; j++) {
                enum sim_mode mode = modes[j % SIM_N_MODES];
                struct sim_disk *after = crashed(disk, mode, och_random(&seed));
                check_against_model(after, &model);
                if (mode == SIM_ALL_KEPT)
                    check_all_kept(after, &model);
                sim_disk_close(after);
            }
        }
        check_all_kept(disk, &model); /* the crashes were those of clones */
        for (size_t i = 0; i < model.n_files; i++)
            och_file_close(model.files[i].file);
        sim_disk_close(disk);
    }
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

/* The bytes of a whole disk with one directory, as one number. */
static uint64_t
digest(struct sim_disk *disk)
{
    uint64_t hash = 1;
    for (size_t i = 0; i < N_NAMES; i++) {
        static char bytes[FILE_MAX + 1];
        size_t size = 0;
        bool there = get(disk, names[i], bytes, sizeof(bytes), &size);
        hash = hash * 31 + there;
        for (size_t j = 0; j < size; j++)
            hash = hash * 31 + (unsigned char) bytes[j];
    }
    return hash;
}

static void
the_same_seeds_give_the_same_bytes(void **state)
{
    (void) state;
    static struct model model;
    uint64_t digests[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        uint64_t seed = 3;
        struct sim_disk *disk = sim_disk_open(&mem, 5);
        make_dir(disk, "d");
        sync_dir(disk, "");
        model_init(&model);
        for (int j = 0; j < 200; j++)
            step(disk, &model, &seed);
        for (uint64_t crash = 0; crash < 20; crash++) {
            struct sim_disk *after = crashed(disk, SIM_RANDOM, crash);
            digests[i] = digests[i] * 31 + digest(after);
            sim_disk_close(after);
        }
        for (size_t j = 0; j < model.n_files; j++)
            och_file_close(model.files[j].file);
        sim_disk_close(disk);
    }
    check(digests[0] == digests[1]);
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
            cmocka_unit_test(random_programs_keep_all_that_was_synced),
            cmocka_unit_test(a_clone_and_its_original_go_their_own_ways),
            cmocka_unit_test(a_clone_has_what_is_pending_but_no_open_files),
            cmocka_unit_test(a_clone_shares_its_pages),
            cmocka_unit_test(the_same_seeds_give_the_same_bytes),
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
