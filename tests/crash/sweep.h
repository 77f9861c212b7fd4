/*
 * sweep.h - one workload, and what every sweep over it needs.
 *
 * The workload runs once without faults.  Before each operation the disk is
 * cloned and the model copied, so that a trial of operation i starts right
 * there instead of from the beginning:
 *
 *      disk before i-1 --clone--> open, do i-1 --> arm a fault, do i --> judge
 *
 * Operation i-1 is repeated so that i finds a process that has been at work: a
 * log file in use, a head with rows, a loaded collection.
 *
 * Every trial is numbered by (operation, call, variant), from which its seeds
 * follow, so that any of them can be run alone.
 *
 * Threads: one at a time.
 */
#ifndef OCH_TESTS_CRASH_SWEEP_H
#define OCH_TESTS_CRASH_SWEEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "crash/driver.h"
#include "crash/model.h"
#include "sim/sim_disk.h"

struct sweep_options {
    uint64_t seed;
    size_t n_ops;
    uint64_t one_in;         /* run one in so many of the trials */
    size_t only_op;          /* SIZE_MAX: all */
    size_t part, n_parts;    /* operations that leave `part` when divided by n_parts */
    uint64_t only_call;      /* 0: all */
    unsigned n_failures_max; /* give up after so many */
};

struct sweep {
    struct sweep_options options;
    struct och_mem mem; /* of the disks */
    struct model_op *ops;
    ochre_status *answers;    /* what each operation is to answer */
    struct model *models;     /* [n_ops + 1]: before each, and after the last */
    struct sim_disk **disks;  /* likewise */
    struct sim_disk *backup;  /* of the beginning, with an archive since; NULL: there is none */
    struct model_op probe[3]; /* scratch: too big for a stack frame */
    uint64_t n_points;
    unsigned n_failures;
};

/* One trial, for seeds and for messages. */
struct point {
    const char *sweep;
    size_t op;
    uint64_t call;
    uint64_t variant;
    char what[80]; /* "crash before call 7, random" */
};

/* Run the workload without faults.  False when it already goes wrong. */
bool sweep_open(struct sweep *sweep, const struct sweep_options *options);
void sweep_close(struct sweep *sweep);

/* The sweeps: true when nothing was found. */
bool sweep_crashes(struct sweep *sweep);
bool sweep_errors(struct sweep *sweep);
bool sweep_memory(struct sweep *sweep);

/* --- for the sweeps ----------------------------------------------------------- */

/* Is this operation, or this trial of it, to be run? */
bool sweep_wants(const struct sweep *sweep, size_t op);
bool sweep_takes(const struct sweep *sweep, const struct point *point);

/* Move on to the next call, from point->call on, that is to be tried; false when none can come. */
bool sweep_next(const struct sweep *sweep, struct point *point);
bool sweep_gives_up(const struct sweep *sweep);

uint64_t point_seed(const struct sweep *sweep, const struct point *point, uint64_t use);

/* Report a failure; returns false. */
bool point_fails(struct sweep *sweep, const struct point *point, const char *why);

/*
 * Start a trial: a clone of the disk before op-1, a session on it, op-1 done.
 * False, reported, when even that fails.  End it with trial_end.
 */
struct trial {
    struct sim_disk *disk; /* owned */
    struct session session;
};

bool trial_begin(struct sweep *sweep, const struct point *point, struct trial *trial);
bool trial_end(struct sweep *sweep, const struct point *point, struct trial *trial);

/* What a database may hold: of two states, one. */
struct allowed {
    const struct model *states[2];
    size_t n;
};

/* States before and after `op`; only the one after, when it was acknowledged. */
struct allowed allowed_after(const struct sweep *sweep, size_t op, bool acknowledged);

/* The allowed state that the session shows; NULL, reported, when none. */
const struct model *point_state(struct sweep *sweep, const struct point *point,
        struct session *session, const struct allowed *allowed);

/*
 * Judge a disk as it is found after a restart: it opens, shows an allowed
 * state, takes a write, and shows that after another restart; its files are
 * sound.
 */
bool point_survives(struct sweep *sweep, const struct point *point, struct sim_disk *disk,
        const struct allowed *allowed);

/*
 * Judge a session in which a fault struck `op`, and has passed: the answer
 * agrees with what is visible, the operation can be repeated, the next write
 * works, and after a restart everything is there that was acknowledged.
 *
 * `excuse` has the bits (1u << status) with which the operation may have failed.
 * With `open_ended` nobody could tell in time whether a failed change of the
 * catalog took place: either is right then, as long as it stays.
 */
struct verdict {
    ochre_status status;
    unsigned excuse;
    bool open_ended;
};
void point_judge(struct sweep *sweep, const struct point *point, struct session *session,
        const struct verdict *verdict);

/* In an open session: a write works, and is seen on top of `state`. */
bool point_writes(struct sweep *sweep, const struct point *point, struct session *session,
        const struct model *state, struct model *after_out);

#endif /* OCH_TESTS_CRASH_SWEEP_H */
