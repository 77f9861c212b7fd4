/*
 * sim_words.h - the words in which the tests of the simulated disk speak.
 *
 * Each fails the test when the disk does not do as it is told.
 *
 * Threads: one thread at a time.
 */
#ifndef OCH_TESTS_UNIT_OS_SIM_WORDS_H
#define OCH_TESTS_UNIT_OS_SIM_WORDS_H

#include <string.h>

#include "os/vfs.h"
#include "sim/sim_disk.h"
#include "support/check.h"

enum { CREATE = OCH_OPEN_WRITE | OCH_OPEN_CREATE };

#define SECTOR ((size_t) 4096)

static const enum sim_mode modes[SIM_N_MODES] = {
        SIM_NONE_KEPT, SIM_ALL_KEPT, SIM_RANDOM, SIM_ADVERSARIAL};

static inline struct och_file *
open_file(struct sim_disk *disk, const char *path, unsigned flags)
{
    struct ochre_error err;
    struct och_file *file = NULL;
    check_ok(och_vfs_open(sim_disk_vfs(disk), path, flags, &file, &err), &err);
    return file;
}

static inline void
write_at(struct och_file *file, uint64_t offset, const void *bytes, size_t size)
{
    struct ochre_error err;
    check_ok(och_file_write(file, offset, bytes, size, &err), &err);
}

static inline void
sync_file(struct och_file *file)
{
    struct ochre_error err;
    check_ok(och_file_sync(file, &err), &err);
}

static inline void
sync_dir(struct sim_disk *disk, const char *path)
{
    struct ochre_error err;
    check_ok(och_vfs_sync_dir(sim_disk_vfs(disk), path, &err), &err);
}

static inline void
make_dir(struct sim_disk *disk, const char *path)
{
    struct ochre_error err;
    check_ok(och_vfs_mkdir(sim_disk_vfs(disk), path, &err), &err);
}

static inline void
remove_file(struct sim_disk *disk, const char *path)
{
    struct ochre_error err;
    check_ok(och_vfs_remove(sim_disk_vfs(disk), path, &err), &err);
}

static inline void
rename_file(struct sim_disk *disk, const char *from, const char *to)
{
    struct ochre_error err;
    check_ok(och_vfs_rename(sim_disk_vfs(disk), from, to, &err), &err);
}

/* A file that holds `text`; its bytes are synced, its name is not. */
static inline void
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
static inline bool
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

static inline bool
exists(struct sim_disk *disk, const char *path)
{
    struct ochre_error err;
    bool there = false;
    check_ok(och_vfs_exists(sim_disk_vfs(disk), path, &there, &err), &err);
    return there;
}

static inline bool
holds(struct sim_disk *disk, const char *path, const char *text)
{
    char bytes[256];
    size_t n_read = 0;
    return get(disk, path, bytes, sizeof(bytes), &n_read) && n_read == strlen(text) &&
            memcmp(bytes, text, n_read) == 0;
}

/* The disk after a crash now; the original stays as it is. */
static inline struct sim_disk *
crashed(const struct sim_disk *disk, enum sim_mode mode, uint64_t seed)
{
    struct sim_disk *after = sim_disk_clone(disk);
    sim_disk_recover(after, mode, seed);
    return after;
}

#endif /* OCH_TESTS_UNIT_OS_SIM_WORDS_H */
