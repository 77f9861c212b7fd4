/*
 * sweep_crash.c - the power goes at every call.
 *
 * For every call of every operation the machine crashes before it, and once
 * after the last (a crash after any other call is the one before the next), and
 * each crashed disk is recovered in each of the four modes, in the random one
 * more than once.  Of the recoveries some are crashed in turn, and some trials
 * kill only the process: what is then read out of the page cache must not be
 * lost by a power cut later.
 */
#include <inttypes.h>
#include <stdio.h>

#include "crash/sweep.h"
#include "crash/workload.h"

enum { USE_MODE = 16, USE_NESTED, USE_SESSION, USE_KILL };
enum { NESTED_ONE_IN = 4, KILL_ONE_IN = 2 };

/* How a crashed disk is recovered; what only the process survives comes last. */
static const enum sim_mode recoveries[] = {
        SIM_NONE_KEPT, SIM_ALL_KEPT, SIM_ADVERSARIAL, SIM_RANDOM, SIM_RANDOM};
enum {
    N_RECOVERIES = sizeof(recoveries) / sizeof(recoveries[0]),
    KILLED = N_RECOVERIES,
    N_VARIANTS
};

/* No crash that was armed here is ever reached. */
#define NEVER (UINT64_MAX / 2)

/* A disk at the moment of its crash, and what it may show. */
struct wreck {
    struct sweep *sweep;
    struct point *point;
    const struct sim_disk *disk;
    struct allowed allowed;
};

static uint64_t
seed_of(const struct wreck *wreck, uint64_t use)
{
    return point_seed(wreck->sweep, wreck->point, use);
}

static void
name_point(struct point *point, const char *how)
{
    (void) snprintf(point->what, sizeof(point->what), "crash before call %" PRIu64 ", %s",
            point->call, how);
}

/* How many calls opening makes; 0, reported later, when it fails. */
static uint64_t
calls_of_opening(struct wreck *wreck, const struct sim_disk *disk)
{
    struct sim_disk *copy = sim_disk_clone(disk);
    struct session session;
    struct ochre_error err;
    ochre_status status = session_begin(&session, copy, seed_of(wreck, USE_SESSION), &err);
    uint64_t n = status == OCHRE_OK ? sim_disk_n_calls(copy) : 0;
    (void) session_end(&session);
    sim_disk_close(copy);
    return n;
}

/* Crash once more, at one call of the recovery. */
static void
nest(struct wreck *wreck, struct sim_disk *disk)
{
    uint64_t seed = seed_of(wreck, USE_NESTED);
    uint64_t n_calls = calls_of_opening(wreck, disk);
    if (n_calls == 0)
        return;
    sim_disk_crash(disk, 1 + workload_below(&seed, n_calls), SIM_BEFORE);
    struct session session;
    struct ochre_error err;
    ochre_status status = session_begin(&session, disk, seed_of(wreck, USE_SESSION), &err);
    (void) status; /* what is only tidied up in opening may fail */
    if (!session_end(&session))
        (void) point_fails(wreck->sweep, wreck->point, "a failed opening keeps memory");
    sim_disk_recover(disk, (enum sim_mode) workload_below(&seed, SIM_N_MODES), seed);
    (void) point_survives(wreck->sweep, wreck->point, disk, &wreck->allowed);
    wreck->sweep->n_points++;
}

static void
recover(struct wreck *wreck, unsigned variant)
{
    enum sim_mode mode = recoveries[variant];
    name_point(wreck->point, sim_mode_name(mode));
    wreck->point->variant = variant;
    struct sim_disk *disk = sim_disk_clone(wreck->disk);
    sim_disk_recover(disk, mode, seed_of(wreck, USE_MODE));
    struct sim_disk *again =
            seed_of(wreck, USE_NESTED) % NESTED_ONE_IN == 0 ? sim_disk_clone(disk) : NULL;
    (void) point_survives(wreck->sweep, wreck->point, disk, &wreck->allowed);
    wreck->sweep->n_points++;
    sim_disk_close(disk);
    if (again != NULL) {
        char how[40];
        (void) snprintf(how, sizeof(how), "%s, then in recovery", sim_mode_name(mode));
        name_point(wreck->point, how);
        wreck->point->variant += N_VARIANTS;
        nest(wreck, again);
        sim_disk_close(again);
    }
}

/* Only the process dies: everything is in the page cache.  What the next one
 * shows is a promise, which the power cut after it must not break. */
static void
kill_process(struct wreck *wreck)
{
    name_point(wreck->point, "killed, and the power cut later");
    wreck->point->variant = KILLED;
    uint64_t seed = seed_of(wreck, USE_KILL);
    if (seed % KILL_ONE_IN != 0)
        return;
    struct sim_disk *disk = sim_disk_clone(wreck->disk);
    sim_disk_crash(disk, NEVER, SIM_BEFORE);
    struct session session;
    struct ochre_error err;
    ochre_status status = session_begin(&session, disk, seed_of(wreck, USE_SESSION), &err);
    struct allowed shown = {.n = 1};
    if (status != OCHRE_OK)
        (void) point_fails(wreck->sweep, wreck->point, err.message);
    else
        shown.states[0] = point_state(wreck->sweep, wreck->point, &session, &wreck->allowed);
    sim_disk_recover(disk, seed / 2 % 2 == 0 ? SIM_NONE_KEPT : SIM_RANDOM, seed);
    if (!session_end(&session))
        (void) point_fails(wreck->sweep, wreck->point, "closing keeps memory");
    if (shown.states[0] != NULL)
        (void) point_survives(wreck->sweep, wreck->point, disk, &shown);
    wreck->sweep->n_points++;
    sim_disk_close(disk);
}

/* Is the variant of the point to be run? */
static bool
takes(const struct sweep *sweep, const struct point *point, unsigned variant)
{
    struct point one = *point;
    one.variant = variant;
    return sweep_takes(sweep, &one);
}

static bool
takes_any(const struct sweep *sweep, const struct point *point)
{
    for (unsigned variant = 0; variant < N_VARIANTS; variant++) {
        if (takes(sweep, point, variant))
            return true;
    }
    return false;
}

static void
judge(struct wreck *wreck)
{
    for (unsigned variant = 0; variant < N_VARIANTS; variant++) {
        if (!takes(wreck->sweep, wreck->point, variant))
            continue;
        if (variant == KILLED)
            kill_process(wreck);
        else
            recover(wreck, variant);
    }
}

/* Crash before one call of an operation; false when the calls have come to an end. */
static bool
crash_at(struct sweep *sweep, struct point *point)
{
    struct trial trial;
    bool reached = false;
    name_point(point, "not recovered yet");
    if (trial_begin(sweep, point, &trial)) {
        struct ochre_error err;
        sim_disk_crash(trial.disk, point->call, SIM_BEFORE);
        ochre_status status = session_do(&trial.session, &sweep->ops[point->op], &err);
        reached = sim_disk_has_crashed(trial.disk);
        struct wreck wreck = {
                sweep, point, trial.disk, allowed_after(sweep, point->op, status == OCHRE_OK)};
        if (reached)
            judge(&wreck);
    }
    return trial_end(sweep, point, &trial) && reached;
}

/* How many calls an operation makes that nothing disturbs. */
static uint64_t
calls_of(struct sweep *sweep, struct point *point)
{
    struct trial trial;
    uint64_t n = 0;
    name_point(point, "never reached");
    if (trial_begin(sweep, point, &trial)) {
        struct ochre_error err;
        uint64_t n_before = sim_disk_n_calls(trial.disk);
        (void) session_do(&trial.session, &sweep->ops[point->op], &err);
        n = sim_disk_n_calls(trial.disk) - n_before;
    }
    return trial_end(sweep, point, &trial) ? n : 0;
}

/* The very first opening of an empty disk. */
static void
sweep_birth(struct sweep *sweep)
{
    struct point point = {.sweep = "crash", .op = sweep->options.n_ops};
    bool reached = true;
    for (point.call = 1; reached && !sweep_gives_up(sweep); point.call++) {
        struct sim_disk *disk = sim_disk_clone(sweep->disks[0]);
        sim_disk_crash(disk, point.call, SIM_BEFORE);
        struct session session;
        struct ochre_error err;
        ochre_status status = session_begin(&session, disk, sweep->options.seed, &err);
        (void) status; /* whatever: nothing was promised yet */
        reached = sim_disk_has_crashed(disk);
        struct wreck wreck = {sweep, &point, disk, {.states = {&sweep->models[0]}, .n = 1}};
        if (reached)
            judge(&wreck);
        if (!session_end(&session))
            (void) point_fails(sweep, &point, "a failed opening keeps memory");
        sim_disk_close(disk);
    }
}

bool
sweep_crashes(struct sweep *sweep)
{
    uint64_t n_calls = 0;
    if (sweep_wants(sweep, sweep->options.n_ops))
        sweep_birth(sweep);
    for (size_t i = 0; i < sweep->options.n_ops && !sweep_gives_up(sweep); i++) {
        struct point point = {.sweep = "crash", .op = i, .call = 1};
        if (!sweep_wants(sweep, i))
            continue;
        /* Before each call, and before one that never comes. */
        uint64_t n = calls_of(sweep, &point);
        for (; point.call <= n + 1 && !sweep_gives_up(sweep); point.call++) {
            if (takes_any(sweep, &point) && !crash_at(sweep, &point))
                (void) point_fails(sweep, &point, "the operation makes fewer calls than before");
        }
        n_calls += n;
    }
    (void) printf("crash sweep: seed %" PRIu64 ", %zu operations, %" PRIu64 " calls, %" PRIu64
                  " points, %u failures\n",
            sweep->options.seed, sweep->options.n_ops, n_calls, sweep->n_points, sweep->n_failures);
    return sweep->n_failures == 0;
}
