/*
 * What os/vfs.h promises, asked of the real file system, of the simulated one and of a
 * directory of that alike: a simulator that answers differently would test another program.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "os/vfs.h"
#include "os/vfs_below.h"
#include "os/vfs_posix.h"
#include "sim/sim_disk.h"
#include "support/check.h"

struct world {
    struct och_mem mem;
    struct och_vfs *vfs;
    struct sim_disk *disk; /* NULL for the real one */
    struct och_vfs_below below;
    char root[64];
};

static int
set_up_posix(void **state)
{
    static struct world world;
    och_mem_init(&world.mem, NULL);
    world.disk = NULL;
    (void) snprintf(world.root, sizeof(world.root), "/tmp/ochre-test-vfs-XXXXXX");
    if (mkdtemp(world.root) == NULL)
        return -1;
    *state = &world;
    struct ochre_error err;
    return och_vfs_posix_open(&world.mem, world.root, false, &world.vfs, &err) == OCHRE_OK ? 0 : -1;
}

static int
set_up_sim(void **state)
{
    static struct world world;
    och_mem_init(&world.mem, NULL);
    world.disk = sim_disk_open(&world.mem, 1);
    world.vfs = sim_disk_vfs(world.disk);
    *state = &world;
    return 0;
}

static int
set_up_below(void **state)
{
    if (set_up_sim(state) != 0)
        return -1;
    struct world *world = *state;
    och_vfs_below_init(&world->below, world->vfs, "deep/er");
    if (och_vfs_mkdir(world->vfs, "deep", NULL) != OCHRE_OK ||
            och_vfs_mkdir(world->vfs, "deep/er", NULL) != OCHRE_OK)
        return -1;
    world->vfs = &world->below.vfs;
    return 0;
}

enum { NAMES_MAX = 64 };

struct listing {
    char names[NAMES_MAX][OCH_PATH_SIZE_MAX];
    bool is_dir[NAMES_MAX];
    size_t n;
    size_t n_max; /* refuse to see more */
};

static ochre_status
note_name(void *context, const char *name, bool is_dir)
{
    struct listing *listing = context;
    if (listing->n == listing->n_max)
        return OCHRE_DENIED;
    (void) snprintf(listing->names[listing->n], sizeof(listing->names[0]), "%s", name);
    listing->is_dir[listing->n++] = is_dir;
    return OCHRE_OK;
}

static void
list(struct och_vfs *vfs, const char *path, struct listing *listing)
{
    struct ochre_error err;
    listing->n = 0;
    listing->n_max = NAMES_MAX;
    check_ok(och_vfs_list(vfs, path, note_name, listing, &err), &err);
}

/* The first directory in a listing, or NULL. */
static const char *
first_dir(const struct listing *listing)
{
    for (size_t i = 0; i < listing->n; i++)
        if (listing->is_dir[i])
            return listing->names[i];
    return NULL;
}

/* `dir`/`name`, where `dir` may be "". */
static void
join(char path[OCH_PATH_SIZE_MAX], const char *dir, const char *name)
{
    int size = snprintf(path, OCH_PATH_SIZE_MAX, "%s%s%s", dir, dir[0] == '\0' ? "" : "/", name);
    check(size < OCH_PATH_SIZE_MAX);
}

/* Remove all there is: again and again the innermost directory first reached. */
static void
remove_all(struct och_vfs *vfs)
{
    static struct listing listing;
    struct ochre_error err;
    char dir[OCH_PATH_SIZE_MAX] = "";
    for (;;) {
        char path[OCH_PATH_SIZE_MAX];
        list(vfs, dir, &listing);
        const char *inner = first_dir(&listing);
        if (inner != NULL) {
            join(path, dir, inner);
            memcpy(dir, path, sizeof(dir));
            continue;
        }
        for (size_t i = 0; i < listing.n; i++) {
            join(path, dir, listing.names[i]);
            check_ok(och_vfs_remove(vfs, path, &err), &err);
        }
        if (dir[0] == '\0')
            return;
        check_ok(och_vfs_rmdir(vfs, dir, &err), &err);
        dir[0] = '\0';
    }
}

static int
tear_down(void **state)
{
    struct world *world = *state;
    remove_all(world->vfs);
    if (world->disk != NULL) {
        sim_disk_close(world->disk);
    } else {
        och_vfs_posix_close(world->vfs);
        if (remove(world->root) != 0)
            return -1;
    }
    return och_mem_used(&world->mem) == 0 ? 0 : -1;
}

static struct och_file *
open_file(struct world *world, const char *path, unsigned flags)
{
    struct ochre_error err;
    struct och_file *file = NULL;
    check_ok(och_vfs_open(world->vfs, path, flags, &file, &err), &err);
    return file;
}

static ochre_status
open_status(struct world *world, const char *path, unsigned flags)
{
    struct och_file *file = NULL;
    ochre_status status = och_vfs_open(world->vfs, path, flags, &file, NULL);
    check((file != NULL) == (status == OCHRE_OK));
    och_file_close(file);
    return status;
}

/* A new file that holds `text`. */
static void
put(struct world *world, const char *path, const char *text)
{
    struct ochre_error err;
    struct och_file *file = open_file(world, path, OCH_OPEN_WRITE | OCH_OPEN_CREATE);
    check_ok(och_file_truncate(file, 0, &err), &err);
    check_ok(och_file_write(file, 0, text, strlen(text), &err), &err);
    och_file_close(file);
}

/* The file at `path` holds exactly `text`. */
static void
check_text(struct world *world, const char *path, const char *text)
{
    char bytes[256] = {0};
    size_t n_read = 0;
    struct ochre_error err;
    struct och_file *file = open_file(world, path, OCH_OPEN_READ);
    check_ok(och_file_read(file, 0, bytes, sizeof(bytes) - 1, &n_read, &err), &err);
    och_file_close(file);
    assert_string_equal(bytes, text);
    check(n_read == strlen(text));
}

static bool
exists(struct world *world, const char *path)
{
    struct ochre_error err;
    bool there = false;
    check_ok(och_vfs_exists(world->vfs, path, &there, &err), &err);
    return there;
}

static uint64_t
size_of(struct och_file *file)
{
    struct ochre_error err;
    uint64_t size = 0;
    check_ok(och_file_size(file, &size, &err), &err);
    return size;
}

/* --- bytes ----------------------------------------------------------------- */

static void
bytes_are_read_back_across_page_edges(void **state)
{
    struct world *world = *state;
    static const uint64_t offsets[] = {0, 1, 4095, 4096, 4097, 8191, 12287};
    static const size_t sizes[] = {1, 2, 4095, 4096, 4097, 9000};
    static unsigned char bytes[9000];
    static unsigned char back[9000];
    uint64_t seed = 1;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char) och_random(&seed);
    struct ochre_error err;
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]); j++) {
            struct och_file *file = open_file(world, "f", OCH_OPEN_WRITE | OCH_OPEN_CREATE);
            check_ok(och_file_truncate(file, 0, &err), &err);
            check_ok(och_file_write(file, offsets[i], bytes, sizes[j], &err), &err);
            check(size_of(file) == offsets[i] + sizes[j]);
            check_ok(och_file_read_all(file, offsets[i], back, sizes[j], &err), &err);
            check(memcmp(back, bytes, sizes[j]) == 0);
            och_file_close(file);
        }
    }
}

static void
reading_stops_at_the_end(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    put(world, "f", "0123456789");
    struct och_file *file = open_file(world, "f", OCH_OPEN_READ);
    char bytes[16];
    size_t n_read = 99;
    check_ok(och_file_read(file, 4, bytes, 16, &n_read, &err), &err);
    check(n_read == 6 && memcmp(bytes, "456789", 6) == 0);
    check_ok(och_file_read(file, 10, bytes, 16, &n_read, &err), &err);
    check(n_read == 0);
    check_ok(och_file_read(file, 1000000, bytes, 16, &n_read, &err), &err);
    check(n_read == 0);
    check_ok(och_file_read(file, 0, bytes, 0, &n_read, &err), &err);
    check(n_read == 0);
    check_ok(och_file_read_all(file, 0, bytes, 10, &err), &err);
    check(och_file_read_all(file, 0, bytes, 11, &err) == OCHRE_CORRUPT);
    check(och_file_read_all(file, 11, bytes, 1, &err) == OCHRE_CORRUPT);
    och_file_close(file);
}

static void
a_gap_reads_as_zero(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    struct och_file *file = open_file(world, "f", OCH_OPEN_WRITE | OCH_OPEN_CREATE);
    check_ok(och_file_write(file, 10000, "x", 1, &err), &err);
    static char bytes[10001];
    check_ok(och_file_read_all(file, 0, bytes, sizeof(bytes), &err), &err);
    for (size_t i = 0; i < 10000; i++)
        check(bytes[i] == 0);
    check(bytes[10000] == 'x');
    check_ok(och_file_write(file, 20000, "", 0, &err), &err);
    check(size_of(file) == 10001); /* writing nothing grows nothing */
    och_file_close(file);
}

static void
what_is_cut_off_reads_as_zero_when_the_file_grows_again(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    put(world, "f", "0123456789");
    struct och_file *file = open_file(world, "f", OCH_OPEN_WRITE);
    check_ok(och_file_truncate(file, 4, &err), &err);
    check(size_of(file) == 4);
    check_ok(och_file_truncate(file, 10, &err), &err);
    char bytes[10];
    check_ok(och_file_read_all(file, 0, bytes, 10, &err), &err);
    check(memcmp(bytes, "0123\0\0\0\0\0\0", 10) == 0);
    och_file_close(file);
}

static void
allocating_grows_with_zeros_and_never_cuts(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    put(world, "f", "0123456789");
    struct och_file *file = open_file(world, "f", OCH_OPEN_WRITE);
    check_ok(och_file_allocate(file, 0, &err), &err);
    check_ok(och_file_allocate(file, 5, &err), &err);
    check(size_of(file) == 10);
    check_ok(och_file_allocate(file, 100000, &err), &err);
    check(size_of(file) == 100000);
    static char bytes[100000];
    check_ok(och_file_read_all(file, 0, bytes, sizeof(bytes), &err), &err);
    check(memcmp(bytes, "0123456789", 10) == 0);
    for (size_t i = 10; i < sizeof(bytes); i++)
        check(bytes[i] == 0);
    och_file_close(file);
}

static void
a_map_holds_the_bytes_of_the_file(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    put(world, "f", "0123456789");
    struct och_file *file = open_file(world, "f", OCH_OPEN_READ);
    const void *all = NULL;
    const void *some = NULL;
    const void *none = NULL;
    check_ok(och_file_map(file, 10, &all, &err), &err);
    check_ok(och_file_map(file, 3, &some, &err), &err);
    check_ok(och_file_map(file, 0, &none, &err), &err);
    check(memcmp(all, "0123456789", 10) == 0);
    check(memcmp(some, "012", 3) == 0);
    check(none != NULL);
    const void *more = &err;
    check(och_file_map(file, 11, &more, &err) == OCHRE_CORRUPT);
    check(more == NULL);
    och_file_unmap(file, all, 10);
    och_file_unmap(file, some, 3);
    och_file_unmap(file, none, 0);
    och_file_unmap(file, NULL, 0);
    och_file_close(file);
}

static void
absurd_offsets_are_refused(void **state)
{
    struct world *world = *state;
    struct och_file *file = open_file(world, "f", OCH_OPEN_WRITE | OCH_OPEN_CREATE);
    check(och_file_write(file, UINT64_MAX, "x", 1, NULL) == OCHRE_IO);
    check(och_file_write(file, INT64_MAX, "x", 1, NULL) == OCHRE_IO);
    check(och_file_truncate(file, UINT64_MAX, NULL) == OCHRE_IO);
    check(och_file_allocate(file, UINT64_MAX, NULL) == OCHRE_IO);
    check(size_of(file) == 0);
    och_file_close(file);
}

/* --- opening --------------------------------------------------------------- */

static void
flags_say_what_must_be_there(void **state)
{
    struct world *world = *state;
    enum {
        READ = OCH_OPEN_READ,
        WRITE = OCH_OPEN_WRITE,
        CREATE = OCH_OPEN_WRITE | OCH_OPEN_CREATE,
        EXCLUSIVE = OCH_OPEN_WRITE | OCH_OPEN_CREATE | OCH_OPEN_EXCLUSIVE,
    };
    check(open_status(world, "f", READ) == OCHRE_NOT_FOUND);
    check(open_status(world, "f", WRITE) == OCHRE_NOT_FOUND);
    check(!exists(world, "f"));
    check(open_status(world, "f", EXCLUSIVE) == OCHRE_OK);
    check(exists(world, "f"));
    check(open_status(world, "f", EXCLUSIVE) == OCHRE_EXISTS);
    check(open_status(world, "f", CREATE) == OCHRE_OK);
    check(open_status(world, "f", WRITE) == OCHRE_OK);
    check(open_status(world, "f", READ) == OCHRE_OK);
    check(open_status(world, "d/f", CREATE) == OCHRE_NOT_FOUND);
    check(open_status(world, "f/f", CREATE) == OCHRE_IO);
}

static void
opening_to_create_keeps_what_is_there(void **state)
{
    struct world *world = *state;
    put(world, "f", "kept");
    check(open_status(world, "f", OCH_OPEN_WRITE | OCH_OPEN_CREATE) == OCHRE_OK);
    check_text(world, "f", "kept");
}

static void
a_file_open_for_reading_cannot_be_written(void **state)
{
    struct world *world = *state;
    put(world, "f", "kept");
    struct och_file *file = open_file(world, "f", OCH_OPEN_READ);
    check(och_file_write(file, 0, "x", 1, NULL) == OCHRE_IO);
    check(och_file_truncate(file, 0, NULL) == OCHRE_IO);
    check(och_file_allocate(file, 100, NULL) == OCHRE_IO);
    och_file_close(file);
    check_text(world, "f", "kept");
}

static void
a_directory_is_no_file(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    check_ok(och_vfs_mkdir(world->vfs, "d", &err), &err);
    check(open_status(world, "d", OCH_OPEN_READ) == OCHRE_IO);
    check(open_status(world, "d", OCH_OPEN_WRITE) == OCHRE_IO);
    check(och_vfs_remove(world->vfs, "d", &err) == OCHRE_IO);
    check(exists(world, "d"));
}

static void
paths_that_could_leave_the_root_are_refused(void **state)
{
    struct world *world = *state;
    static const char *const paths[] = {
            "", "/", "/f", "f/", "d//f", ".", "..", "./f", "../f", "d/..", "d/../../f", "d/./f"};
    bool there = false;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        const char *path = paths[i];
        check(open_status(world, path, OCH_OPEN_WRITE | OCH_OPEN_CREATE) == OCHRE_INVALID);
        check(och_vfs_remove(world->vfs, path, NULL) == OCHRE_INVALID);
        check(och_vfs_rename(world->vfs, path, "f", NULL) == OCHRE_INVALID);
        check(och_vfs_rename(world->vfs, "f", path, NULL) == OCHRE_INVALID);
        check(och_vfs_mkdir(world->vfs, path, NULL) == OCHRE_INVALID);
        check(och_vfs_rmdir(world->vfs, path, NULL) == OCHRE_INVALID);
        check(och_vfs_exists(world->vfs, path, &there, NULL) == OCHRE_INVALID);
        if (path[0] != '\0') {
            check(och_vfs_sync_dir(world->vfs, path, NULL) == OCHRE_INVALID);
            check(och_vfs_list(world->vfs, path, note_name, NULL, NULL) == OCHRE_INVALID);
        }
    }
    char longest[OCH_PATH_SIZE_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    longest[OCH_PATH_SIZE_MAX] = '\0';
    check(och_vfs_mkdir(world->vfs, longest, NULL) == OCHRE_INVALID);
    longest[OCH_PATH_SIZE_MAX - 1] = '\0';
    if (world->vfs == &world->below.vfs) { /* it has no room for what is before it */
        check(och_vfs_mkdir(world->vfs, longest, NULL) == OCHRE_INVALID);
        return;
    }
    check(och_vfs_mkdir(world->vfs, longest, NULL) == OCHRE_IO); /* a name of 511 bytes */
    longest[255] = '/';
    check(och_vfs_mkdir(world->vfs, longest, NULL) == OCHRE_NOT_FOUND);
}

/* --- names ----------------------------------------------------------------- */

static void
removing_takes_the_name_and_nothing_else(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    put(world, "f", "still here");
    struct och_file *file = open_file(world, "f", OCH_OPEN_READ);
    check_ok(och_vfs_remove(world->vfs, "f", &err), &err);
    check(!exists(world, "f"));
    check(och_vfs_remove(world->vfs, "f", &err) == OCHRE_NOT_FOUND);
    check(och_vfs_remove(world->vfs, "d/f", &err) == OCHRE_NOT_FOUND);
    char bytes[10];
    check_ok(och_file_read_all(file, 0, bytes, sizeof(bytes), &err), &err);
    check(memcmp(bytes, "still here", 10) == 0);
    och_file_close(file);
}

static void
renaming_replaces_what_is_there(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    put(world, "a", "new");
    put(world, "b", "old");
    check_ok(och_vfs_rename(world->vfs, "a", "b", &err), &err);
    check(!exists(world, "a"));
    check_text(world, "b", "new");
    check(och_vfs_rename(world->vfs, "a", "c", &err) == OCHRE_NOT_FOUND);
    check(och_vfs_rename(world->vfs, "b", "d/c", &err) == OCHRE_NOT_FOUND);
    check_ok(och_vfs_rename(world->vfs, "b", "b", &err), &err);
    check_text(world, "b", "new");
    check_ok(och_vfs_mkdir(world->vfs, "d", &err), &err);
    check(och_vfs_rename(world->vfs, "b", "d", &err) == OCHRE_IO);
    check_ok(och_vfs_rename(world->vfs, "b", "d/c", &err), &err);
    check(!exists(world, "b"));
    check_text(world, "d/c", "new");
}

static bool
is_one_file(struct world *world, const char *a, const char *b)
{
    uint64_t identities[2][2];
    const char *const paths[2] = {a, b};
    for (size_t i = 0; i < 2; i++) {
        struct och_file *file;
        check(och_vfs_open(world->vfs, paths[i], OCH_OPEN_READ, &file, NULL) == OCHRE_OK);
        check(och_file_identity(file, identities[i]));
        och_file_close(file);
    }
    return identities[0][0] == identities[1][0] && identities[0][1] == identities[1][1];
}

static void
a_second_name_is_as_good_as_the_first(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    put(world, "a", "text");
    put(world, "b", "other");
    check_ok(och_vfs_mkdir(world->vfs, "d", &err), &err);
    check_ok(och_vfs_link(world->vfs, "a", "d/a", &err), &err);
    check_text(world, "d/a", "text");
    check(och_vfs_link(world->vfs, "a", "b", &err) == OCHRE_EXISTS);
    check_text(world, "b", "other");
    check(och_vfs_link(world->vfs, "c", "e", &err) == OCHRE_NOT_FOUND);
    check(och_vfs_link(world->vfs, "a", "e/a", &err) == OCHRE_NOT_FOUND);
    check(!exists(world, "e"));
    put(world, "a", "changed"); /* by either name it is the same file */
    check_text(world, "d/a", "changed");
    check(is_one_file(world, "a", "d/a") && !is_one_file(world, "a", "b"));
    check_ok(och_vfs_remove(world->vfs, "a", &err), &err);
    check(!exists(world, "a"));
    check_text(world, "d/a", "changed");
    check_ok(och_vfs_link(world->vfs, "d/a", "a", &err), &err);
    check_ok(och_vfs_remove(world->vfs, "d/a", &err), &err);
    check_text(world, "a", "changed");
}

static void
directories_are_made_once_and_removed_empty(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    check_ok(och_vfs_mkdir(world->vfs, "d", &err), &err);
    check_ok(och_vfs_mkdir(world->vfs, "d", &err), &err);
    check_ok(och_vfs_sync_dir(world->vfs, "", &err), &err);
    check_ok(och_vfs_mkdir(world->vfs, "d/e", &err), &err);
    check(och_vfs_rmdir(world->vfs, "d", &err) == OCHRE_IO);
    check_ok(och_vfs_sync_dir(world->vfs, "d", &err), &err);
    check_ok(och_vfs_rmdir(world->vfs, "d/e", &err), &err);
    check_ok(och_vfs_rmdir(world->vfs, "d", &err), &err);
    check(och_vfs_rmdir(world->vfs, "d", &err) == OCHRE_NOT_FOUND);
    check(och_vfs_sync_dir(world->vfs, "d", &err) == OCHRE_NOT_FOUND);
    check(och_vfs_mkdir(world->vfs, "d/e", &err) == OCHRE_NOT_FOUND);
    put(world, "f", "");
    check(och_vfs_mkdir(world->vfs, "f", &err) == OCHRE_EXISTS);
    check(och_vfs_rmdir(world->vfs, "f", &err) == OCHRE_IO);
    check(och_vfs_sync_dir(world->vfs, "f", &err) == OCHRE_IO);
}

static void
names_are_listed_in_byte_order(void **state)
{
    struct world *world = *state;
    static const char *const sorted[] = {"!", "A", "Z", "a", "a-b", "ab", "b", "\xc3\xa9", "\xff"};
    enum { n = sizeof(sorted) / sizeof(sorted[0]) };
    struct ochre_error err;
    for (size_t i = 0; i < n; i++) {
        const char *name = sorted[i * 4 % n]; /* 4 and 9 share no factor: each once */
        if (name[0] == 'a')
            check_ok(och_vfs_mkdir(world->vfs, name, &err), &err);
        else
            put(world, name, "");
    }
    static struct listing listing;
    list(world->vfs, "", &listing);
    check(listing.n == n);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(listing.names[i], sorted[i]);
        check(listing.is_dir[i] == (sorted[i][0] == 'a'));
    }
    list(world->vfs, "a", &listing);
    check(listing.n == 0);
    check(och_vfs_list(world->vfs, "none", note_name, &listing, &err) == OCHRE_NOT_FOUND);
    check(och_vfs_list(world->vfs, "b", note_name, &listing, &err) == OCHRE_IO);
}

static void
a_visit_can_end_the_listing(void **state)
{
    struct world *world = *state;
    put(world, "a", "");
    put(world, "b", "");
    put(world, "c", "");
    static struct listing listing;
    listing.n = 0;
    listing.n_max = 2;
    check(och_vfs_list(world->vfs, "", note_name, &listing, NULL) == OCHRE_DENIED);
    check(listing.n == 2);
}

static ochre_status
remove_name(void *context, const char *name, bool is_dir)
{
    return is_dir ? OCHRE_OK : och_vfs_remove(context, name, NULL);
}

static void
a_visit_may_remove_what_it_sees(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    for (char name[2] = "a"; name[0] <= 'z'; name[0]++)
        put(world, name, "");
    check_ok(och_vfs_list(world->vfs, "", remove_name, world->vfs, &err), &err);
    static struct listing listing;
    list(world->vfs, "", &listing);
    check(listing.n == 0);
}

static void
existence_is_asked_without_opening(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    check(!exists(world, "f"));
    check(!exists(world, "d/f"));
    put(world, "f", "");
    check(exists(world, "f"));
    check_ok(och_vfs_mkdir(world->vfs, "d", &err), &err);
    check(exists(world, "d"));
    bool there = true;
    check(och_vfs_exists(world->vfs, "f/f", &there, &err) == OCHRE_IO);
    check(!there);
}

static void
a_lock_is_held_by_one_until_it_closes(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    struct och_file *first = open_file(world, "lock", OCH_OPEN_WRITE | OCH_OPEN_CREATE);
    struct och_file *second = open_file(world, "lock", OCH_OPEN_WRITE);
    struct och_file *other = open_file(world, "other", OCH_OPEN_WRITE | OCH_OPEN_CREATE);
    check_ok(och_file_lock(first, &err), &err);
    check_ok(och_file_lock(first, &err), &err);
    check_ok(och_file_lock(other, &err), &err);
    check(och_file_lock(second, &err) == OCHRE_BUSY);
    och_file_close(first);
    check_ok(och_file_lock(second, &err), &err);
    och_file_close(second);
    och_file_close(other);
    och_file_close(NULL);
}

static void
space_is_left(void **state)
{
    struct world *world = *state;
    struct ochre_error err;
    uint64_t size = 0;
    check_ok(och_vfs_space_free(world->vfs, &size, &err), &err);
    check(size > 0);
}

/* --- both at once ----------------------------------------------------------- */

enum { N_PATHS = 9, N_HANDLES = 6, BYTES_MAX = 20000 };
static const char *const paths[N_PATHS] = {"a", "b", "c", "d", "d/a", "d/b", "e", "e/a", "none/a"};

struct pair {
    struct och_file *real;
    struct och_file *sim;
};

struct step {
    unsigned what;
    const char *path;
    const char *to;
    size_t handle;
    uint64_t offset;
    size_t size;
    unsigned flags;
    unsigned char fill;
};

static struct step
draw_step(uint64_t *seed)
{
    static const unsigned flags[] = {OCH_OPEN_READ, OCH_OPEN_WRITE,
            OCH_OPEN_WRITE | OCH_OPEN_CREATE,
            OCH_OPEN_WRITE | OCH_OPEN_CREATE | OCH_OPEN_EXCLUSIVE};
    return (struct step){
            .what = (unsigned) och_random_below(seed, 14),
            .path = paths[och_random_below(seed, N_PATHS)],
            .to = paths[och_random_below(seed, N_PATHS)],
            .handle = (size_t) och_random_below(seed, N_HANDLES),
            .offset = och_random_below(seed, BYTES_MAX / 2),
            .size = (size_t) och_random_below(seed, BYTES_MAX / 2),
            .flags = flags[och_random_below(seed, 4)],
            .fill = (unsigned char) och_random_below(seed, 256),
    };
}

static ochre_status
do_names(struct och_vfs *vfs, const struct step *step)
{
    bool there = false;
    ochre_status status = OCHRE_OK;
    switch (step->what) {
    case 0:
        return och_vfs_remove(vfs, step->path, NULL);
    case 1:
    case 2:
        return och_vfs_rename(vfs, step->path, step->to, NULL);
    case 3:
        return och_vfs_mkdir(vfs, step->path, NULL);
    case 4:
        return och_vfs_rmdir(vfs, step->path, NULL);
    case 5:
        return och_vfs_sync_dir(vfs, step->path, NULL);
    default:
        status = och_vfs_exists(vfs, step->path, &there, NULL);
        return status == OCHRE_OK && there ? OCHRE_EXISTS : status;
    }
}

static ochre_status
do_data(struct och_file *file, const struct step *step)
{
    static unsigned char bytes[BYTES_MAX];
    switch (step->what) {
    case 7:
    case 8:
        memset(bytes, step->fill, step->size);
        return och_file_write(file, step->offset, bytes, step->size, NULL);
    case 9:
        return och_file_truncate(file, step->offset, NULL);
    case 10:
        return och_file_allocate(file, step->offset, NULL);
    default:
        return och_file_sync(file, NULL);
    }
}

static void
check_same_bytes(const struct pair *pair)
{
    static unsigned char real[BYTES_MAX + 1];
    static unsigned char sim[BYTES_MAX + 1];
    size_t n_real = 0;
    size_t n_sim = 0;
    struct ochre_error err;
    check(size_of(pair->real) == size_of(pair->sim));
    check_ok(och_file_read(pair->real, 0, real, sizeof(real), &n_real, &err), &err);
    check_ok(och_file_read(pair->sim, 0, sim, sizeof(sim), &n_sim, &err), &err);
    check(n_real == n_sim && memcmp(real, sim, n_real) == 0);
}

static void
close_pair(struct pair *pair)
{
    och_file_close(pair->real);
    och_file_close(pair->sim);
    *pair = (struct pair){NULL, NULL};
}

static void
do_step(struct world *real, struct world *sim, struct pair *pairs, const struct step *step)
{
    struct pair *pair = &pairs[step->handle];
    if (step->what < 7) {
        check(do_names(real->vfs, step) == do_names(sim->vfs, step));
    } else if (step->what < 12 && pair->real != NULL) {
        check(do_data(pair->real, step) == do_data(pair->sim, step));
        check_same_bytes(pair);
    } else if (step->what >= 12) {
        close_pair(pair);
        ochre_status status = och_vfs_open(real->vfs, step->path, step->flags, &pair->real, NULL);
        check(och_vfs_open(sim->vfs, step->path, step->flags, &pair->sim, NULL) == status);
        if (status == OCHRE_OK)
            check_same_bytes(pair);
    }
}

static void
random_work_is_the_same_on_both(void **state)
{
    (void) state;
    static struct listing listings[2];
    void *real_state = NULL;
    void *sim_state = NULL;
    uint64_t seed = 42;
    print_message("seed %llu\n", (unsigned long long) seed);
    for (int round = 0; round < 20; round++) {
        check(set_up_posix(&real_state) == 0 && set_up_sim(&sim_state) == 0);
        struct world *real = real_state;
        struct world *sim = sim_state;
        if (real == NULL || sim == NULL)
            return; /* the analyzer does not know that a failed check ends the test */
        struct pair pairs[N_HANDLES] = {{NULL, NULL}};
        for (int i = 0; i < 300; i++) {
            struct step step = draw_step(&seed);
            do_step(real, sim, pairs, &step);
        }
        for (size_t i = 0; i < N_HANDLES; i++)
            close_pair(&pairs[i]);
        list(real->vfs, "", &listings[0]);
        list(sim->vfs, "", &listings[1]);
        check(listings[0].n == listings[1].n);
        for (size_t i = 0; i < listings[0].n; i++)
            assert_string_equal(listings[0].names[i], listings[1].names[i]);
        check(tear_down(&real_state) == 0 && tear_down(&sim_state) == 0);
    }
}

int
main(void)
{
    static const struct CMUnitTest claims[] = {
            cmocka_unit_test(bytes_are_read_back_across_page_edges),
            cmocka_unit_test(reading_stops_at_the_end),
            cmocka_unit_test(a_gap_reads_as_zero),
            cmocka_unit_test(what_is_cut_off_reads_as_zero_when_the_file_grows_again),
            cmocka_unit_test(allocating_grows_with_zeros_and_never_cuts),
            cmocka_unit_test(a_map_holds_the_bytes_of_the_file),
            cmocka_unit_test(absurd_offsets_are_refused),
            cmocka_unit_test(flags_say_what_must_be_there),
            cmocka_unit_test(opening_to_create_keeps_what_is_there),
            cmocka_unit_test(a_file_open_for_reading_cannot_be_written),
            cmocka_unit_test(a_directory_is_no_file),
            cmocka_unit_test(paths_that_could_leave_the_root_are_refused),
            cmocka_unit_test(removing_takes_the_name_and_nothing_else),
            cmocka_unit_test(renaming_replaces_what_is_there),
            cmocka_unit_test(a_second_name_is_as_good_as_the_first),
            cmocka_unit_test(directories_are_made_once_and_removed_empty),
            cmocka_unit_test(names_are_listed_in_byte_order),
            cmocka_unit_test(a_visit_can_end_the_listing),
            cmocka_unit_test(a_visit_may_remove_what_it_sees),
            cmocka_unit_test(existence_is_asked_without_opening),
            cmocka_unit_test(a_lock_is_held_by_one_until_it_closes),
            cmocka_unit_test(space_is_left),
    };
    static const struct CMUnitTest both[] = {
            cmocka_unit_test(random_work_is_the_same_on_both),
    };
    enum { n_claims = sizeof(claims) / sizeof(claims[0]) };
    struct CMUnitTest tests[3][n_claims];
    for (size_t i = 0; i < n_claims; i++) {
        tests[0][i] = claims[i];
        tests[0][i].setup_func = set_up_posix;
        tests[0][i].teardown_func = tear_down;
        tests[1][i] = claims[i];
        tests[1][i].setup_func = set_up_sim;
        tests[1][i].teardown_func = tear_down;
        tests[2][i] = claims[i];
        tests[2][i].setup_func = set_up_below;
        tests[2][i].teardown_func = tear_down;
    }
    int failed = cmocka_run_group_tests_name("os/vfs on the real disk", tests[0], NULL, NULL);
    failed += cmocka_run_group_tests_name("os/vfs on the simulated disk", tests[1], NULL, NULL);
    failed += cmocka_run_group_tests_name("os/vfs on a directory of it", tests[2], NULL, NULL);
    failed += cmocka_run_group_tests_name("os/vfs on both", both, NULL, NULL);
    return failed;
}
