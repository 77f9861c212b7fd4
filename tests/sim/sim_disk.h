/*
 * sim_disk.h - a disk in memory that forgets what was not synced.
 *
 * A struct och_vfs for tests, deterministic: the same calls and the same seeds
 * give the same bytes, on every machine.  It holds two states:
 *
 *      current   what the program sees, as the page cache shows it
 *      durable   what is sure to be there after a power cut
 *
 * and, in order, the operations that lie between them:
 *
 *      of a file    writes and changes of size      och_file_sync moves them
 *      of names     create, remove, rename          och_vfs_sync_dir moves them
 *
 * A crash keeps some of what is pending and loses the rest; which, is decided by
 * a mode and a seed.  No mode loses what was synced, and none respects an order
 * that no sync asked for.
 *
 * What is stricter than most file systems, on purpose: syncing a file does not
 * sync its name; syncing a directory does not sync the directory's own name in
 * the one above; one write may be kept in any subset of its 4 KiB sectors, one
 * of them torn at any byte; a size may be kept without its data (the bytes are
 * then zero, or junk) and the data without its size.  What is kept: a rename
 * happens or does not, and is sure after a sync of the directory of the new
 * name; operations on one name keep their order; a directory's removal implies
 * the moves out of it.
 *
 * Calls are counted: every operation of the vfs and of its files except unmap
 * and close.  Where a function takes `n`, it is the n-th call from now on, and 1
 * is the next.
 *
 *      struct sim_disk *disk = sim_disk_open(&mem, seed);
 *      run(sim_disk_vfs(disk));              // as far as the operation to test
 *      struct sim_disk *before = sim_disk_clone(disk);
 *      for n = 1, 2, ... until the operation gets through:
 *          struct sim_disk *trial = sim_disk_clone(before);
 *          sim_disk_crash(trial, n, SIM_BEFORE);
 *          run the operation; sim_disk_recover(trial, mode, seed); compare
 *
 * Memory never runs out here: the account has no limit, and a refusal stops the
 * test.  Give the code under test another account, to refuse its allocations.
 *
 * Threads: calls on the vfs and on files, and sim_disk_flip, any; all else one thread at a time, over a
 * disk and all of its clones.
 */
#ifndef OCH_TESTS_SIM_DISK_H
#define OCH_TESTS_SIM_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "os/vfs.h"

struct och_mem;
struct sim_disk;

/* An empty disk without a limit of size. */
struct sim_disk *sim_disk_open(struct och_mem *mem, uint64_t seed);

/*
 * A copy: both states and everything pending.  It costs a pointer a file, and
 * pages are shared until one side writes them; a full log of snapshots is fine.
 *
 * The copy is the disk as a process finds it whose predecessor was killed while
 * the machine ran on: no open files, no locks, no armed faults, an empty trace;
 * capacity and a crash that has happened stay.
 */
struct sim_disk *sim_disk_clone(const struct sim_disk *disk);

/* Close; NULL is fine.  Files still open are a bug, and stop the test. */
void sim_disk_close(struct sim_disk *disk);

/* The files; lives as long as the disk. */
struct och_vfs *sim_disk_vfs(struct sim_disk *disk);

/* Calls made so far, since this disk was opened or cloned; calls that a crashed
 * machine refused are not counted. */
uint64_t sim_disk_n_calls(const struct sim_disk *disk);

/* --- crashes --------------------------------------------------------------- */

enum sim_when {
    SIM_BEFORE, /* the n-th call fails and does nothing */
    SIM_AFTER,  /* the n-th call is the last that works */
};

/* Let the machine crash at the n-th call from now on.  Every call from then on
 * fails with OCHRE_IO and does nothing, until sim_disk_recover. */
void sim_disk_crash(struct sim_disk *disk, uint64_t n, enum sim_when when);

/* Has it happened? */
bool sim_disk_has_crashed(const struct sim_disk *disk);

enum sim_mode {
    SIM_NONE_KEPT, /* exactly the durable state */
    SIM_ALL_KEPT,  /* everything pending; without a failed sync, the current state */
    SIM_RANDOM,    /* each pending sector, size and name kept, lost or torn */
    /*
     * Metadata and data torn apart.  By the seed's lowest bit: names kept and
     * data lost, or names lost and data kept.  By the next bit: sizes go with
     * the names, or with the data.
     */
    SIM_ADVERSARIAL,
};

enum { SIM_N_MODES = 4 };

/*
 * Cut the power, and start again: the disk after a crash, with nothing pending.
 * The crash need not have been armed.  Files that were open are dead: every
 * call on them fails with OCHRE_IO, and they still want closing.  Locks are
 * gone, and faults disarmed.
 */
void sim_disk_recover(struct sim_disk *disk, enum sim_mode mode, uint64_t seed);

/* "random", for messages. */
const char *sim_mode_name(enum sim_mode mode);

/* --- faults ---------------------------------------------------------------- */

enum sim_fault {
    SIM_IO_ONCE,   /* the n-th call fails with OCHRE_IO */
    SIM_IO_FROM,   /* and every one after it */
    SIM_FULL_ONCE, /* the n-th call that may need space fails with OCHRE_FULL */
    SIM_FULL_FROM, /* and every such call after it */
};

/*
 * Let calls fail.  One fault is armed at a time; n = 0 disarms it.
 *
 * A call that fails does nothing, with two exceptions.  A failed write has
 * written a part, from nothing to all of it, as the disk's seed says.  A failed
 * sync loses all that was pending for the file and takes it for written: reads
 * still see it, a later sync will succeed, and after a crash it is gone.
 *
 * Space is needed by a write, allocate, truncate, mkdir, rename, and an open
 * that may create.
 */
void sim_disk_fail(struct sim_disk *disk, uint64_t n, enum sim_fault fault);

/* Has the armed fault failed a call? */
bool sim_disk_has_failed(const struct sim_disk *disk);

/*
 * Limit the disk to `size` bytes; UINT64_MAX for no limit.  Files count with
 * their size in whole pages, removed ones while they are open.  A write that
 * does not fit writes what does and fails with OCHRE_FULL.
 */
void sim_disk_set_capacity(struct sim_disk *disk, uint64_t size);

/* Bytes in use, counted like that. */
uint64_t sim_disk_used(const struct sim_disk *disk);

/* Is there such a directory?  Not counted as a call, and never refused. */
bool sim_disk_has_dir(struct sim_disk *disk, const char *path);

/* Flip one bit at rest, in both states.  False when there is no such byte. */
bool sim_disk_flip(struct sim_disk *disk, const char *path, uint64_t offset, unsigned bit);

/* --- explanations ----------------------------------------------------------- */

/* Print the last calls, oldest first, with their numbers and outcomes. */
void sim_disk_print_trace(const struct sim_disk *disk, FILE *stream);

/* Print every name with its sizes and what is pending. */
void sim_disk_print_state(const struct sim_disk *disk, FILE *stream);

#endif /* OCH_TESTS_SIM_DISK_H */
