/*
 * driver.h - a process on the simulated machine: a database that is open, the
 * operations of the model done to it, and a comparison of all that can be read.
 *
 * Everything happens on the calling thread and where it arises, because there
 * is no executor; the same seeds give the same calls of the disk.
 *
 * Threads: one at a time.
 */
#ifndef OCH_TESTS_CRASH_DRIVER_H
#define OCH_TESTS_CRASH_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "crash/model.h"
#include "ochre/status.h"
#include "sim/sim_dir.h"
#include "sim/sim_machine.h"

struct ochre_db;
struct sim_disk;

struct session {
    struct sim_disk *disk; /* borrowed */
    struct sim_machine machine;
    struct och_mem mem;      /* the account that pays for all of it, and must get it back */
    uint64_t sqlite_blocks;  /* that SQLite held before; the same must be left */
    struct ochre_db *db;     /* NULL: not open */
    struct sim_disk *backup; /* what the last backup wrote; owned; NULL: none */
    bool archives;           /* the log is kept in a directory of the disk */
    struct sim_dir archive;
};

/* Where the log is archived, on the same disk: it has to be there. */
#define SESSION_ARCHIVE "archive"

/*
 * Start a process on the disk and open the database.  `seed` makes its ids and
 * salts: two sessions that write the same disk must not have the same one.
 * The log is archived where the disk has a directory for it.  Whatever the status, end it.
 */
ochre_status session_begin(
        struct session *session, struct sim_disk *disk, uint64_t seed, struct ochre_error *err);

/* Open the database again, after a restart that failed. */
ochre_status session_open(struct session *session, struct ochre_error *err);

/* Close the database.  False, with a line on stderr, when memory was lost. */
bool session_end(struct session *session);

/* Do an operation. */
ochre_status session_do(
        struct session *session, const struct model_op *op, struct ochre_error *err);

enum { WHY_SIZE = 400 };

/*
 * Restore a backup to another disk, and do what the archive on disk `archived` says has
 * happened since (NULL: nothing): is it this state?  Why not, is said.
 */
bool session_backup_shows(struct sim_disk *backup, struct sim_disk *archived,
        const struct model *model, uint64_t seed, char why[WHY_SIZE]);

/* What a read of everything gives; why, when not the state, is said. */
enum view {
    VIEW_SAME,   /* exactly this state */
    VIEW_OTHER,  /* something else, which is a lie */
    VIEW_FAILED, /* a read failed before that could be told */
};
enum view session_look(struct session *session, const struct model *model, char why[WHY_SIZE]);
bool session_shows(struct session *session, const struct model *model, char why[WHY_SIZE]);

#endif /* OCH_TESTS_CRASH_DRIVER_H */
