/*
 * sweep_errors.c - the disk fails: one call, every call from one on, for want
 * of space, or full at some size.
 */
#include <inttypes.h>
#include <stdio.h>

#include "crash/sweep.h"
#include "crash/workload.h"

enum { USE_CAPACITY = 32, USE_DELETIONS };
enum { CAPACITIES = 4, PAGE = 4096 };

#define EXCUSES (1u << OCHRE_IO | 1u << OCHRE_FULL | 1u << OCHRE_UNAVAILABLE)

static const char *
fault_name(enum sim_fault fault)
{
    switch (fault) {
    case SIM_IO_ONCE:
        return "fails";
    case SIM_IO_FROM:
        return "fails, and all after it";
    case SIM_FULL_ONCE:
        return "finds no space";
    case SIM_FULL_FROM:
        return "finds no space, as all after it";
    }
    return "";
}

/* While the fault lasts reads may fail, but not lie; on a disk that is only full not even
 * that. */
static void
look_meanwhile(struct sweep *sweep, const struct point *point, struct session *session,
        ochre_status status, bool may_fail)
{
    char why[WHY_SIZE];
    const struct model *state = &sweep->models[point->op + (status == OCHRE_OK)];
    enum view view = session->db == NULL ? VIEW_SAME : session_look(session, state, why);
    if (view == VIEW_OTHER || (view == VIEW_FAILED && !may_fail))
        (void) point_fails(sweep, point, why);
}

/* Fail one call; false when the operation gets through without making it. */
static bool
fail_at(struct sweep *sweep, struct point *point, enum sim_fault fault)
{
    struct trial trial;
    (void) snprintf(point->what, sizeof(point->what), "call %" PRIu64 " %s", point->call,
            fault_name(fault));
    bool reached = false;
    if (trial_begin(sweep, point, &trial)) {
        struct ochre_error err;
        sim_disk_fail(trial.disk, point->call, fault);
        ochre_status status = session_do(&trial.session, &sweep->ops[point->op], &err);
        reached = sim_disk_has_failed(trial.disk);
        if (reached) {
            look_meanwhile(sweep, point, &trial.session, status, true);
            sim_disk_fail(trial.disk, 0, SIM_IO_ONCE);
            /* Undoing fails as well then: what became of a commit is found out later. */
            bool goes_on = fault == SIM_IO_FROM || fault == SIM_FULL_FROM;
            struct verdict verdict = {status, EXCUSES, goes_on};
            point_judge(sweep, point, &trial.session, &verdict);
            sweep->n_points++;
        }
    }
    return trial_end(sweep, point, &trial) && reached;
}

/* The disk has room for a few pages more, or for hundreds. */
static void
fill_disk(struct sweep *sweep, struct point *point)
{
    struct trial trial;
    point->variant = 80;
    uint64_t seed = point_seed(sweep, point, USE_CAPACITY);
    uint64_t n_pages = workload_below(&seed, UINT64_C(1) << workload_below(&seed, 10));
    (void) snprintf(point->what, sizeof(point->what), "space for %" PRIu64 " pages", n_pages);
    if (!sweep_takes(sweep, point))
        return;
    if (trial_begin(sweep, point, &trial)) {
        struct ochre_error err;
        sim_disk_set_capacity(trial.disk, sim_disk_used(trial.disk) + n_pages * PAGE);
        ochre_status status = session_do(&trial.session, &sweep->ops[point->op], &err);
        look_meanwhile(sweep, point, &trial.session, status, false);
        sim_disk_set_capacity(trial.disk, UINT64_MAX);
        struct verdict verdict = {status, EXCUSES, false};
        point_judge(sweep, point, &trial.session, &verdict);
        sweep->n_points++;
    }
    (void) trial_end(sweep, point, &trial);
}

/* The session shows the state, whatever the disk is like. */
static bool
still_shows(struct sweep *sweep, const struct point *point, struct session *session,
        const struct model *state)
{
    char why[WHY_SIZE];
    return session_shows(session, state, why) || point_fails(sweep, point, why);
}

/* With not a page left every deletion works, one after the other. */
static bool
delete_on_full(struct sweep *sweep, const struct point *point, struct session *session,
        struct model *state)
{
    static struct model_op ops[WORKLOAD_N_DELETIONS];
    size_t n = workload_deletions(point_seed(sweep, point, USE_DELETIONS), state, ops);
    for (size_t i = 0; i < n; i++) {
        struct ochre_error err;
        char why[WHY_SIZE];
        ochre_status wanted = model_apply(state, &ops[i]);
        ochre_status status = session_do(session, &ops[i], &err);
        if (status != wanted) {
            (void) snprintf(why, sizeof(why), "deletion %zu on a full disk: %.300s", i,
                    status == OCHRE_OK ? "is taken" : err.message);
            return point_fails(sweep, point, why);
        }
        if (!still_shows(sweep, point, session, state))
            return false;
    }
    return true;
}

/*
 * The disk is full to the last page: the operation is refused or fits, everything can
 * be read, deletions work; with space again all writes do, at once and in the same
 * process, and a restart finds them.
 */
static void
run_on_full(struct sweep *sweep, const struct point *point, struct trial *trial)
{
    struct ochre_error err;
    struct model state, after;
    sim_disk_set_capacity(trial->disk, sim_disk_used(trial->disk));
    ochre_status status = session_do(&trial->session, &sweep->ops[point->op], &err);
    if (trial->session.db == NULL) /* a restart on a full disk */
        status = session_open(&trial->session, &err);
    if (trial->session.db == NULL) {
        (void) point_fails(sweep, point, "cannot open on a full disk");
        return;
    }
    model_copy(&state, &sweep->models[point->op + (status == OCHRE_OK)]);
    bool right = still_shows(sweep, point, &trial->session, &state) &&
            delete_on_full(sweep, point, &trial->session, &state);
    sim_disk_set_capacity(trial->disk, UINT64_MAX);
    if (right && point_writes(sweep, point, &trial->session, &state, &after)) {
        struct sim_disk *disk = sim_disk_clone(trial->disk);
        struct allowed allowed = {.states = {&after}, .n = 1};
        (void) point_survives(sweep, point, disk, &allowed);
        sim_disk_close(disk);
    }
    if (right)
        model_clear(&after);
    model_clear(&state);
}

static void
stay_full(struct sweep *sweep, struct point *point)
{
    struct trial trial;
    point->variant = 81;
    (void) snprintf(point->what, sizeof(point->what), "on a full disk");
    if (!sweep_takes(sweep, point))
        return;
    if (trial_begin(sweep, point, &trial)) {
        run_on_full(sweep, point, &trial);
        sweep->n_points++;
    }
    (void) trial_end(sweep, point, &trial);
}

bool
sweep_errors(struct sweep *sweep)
{
    static const enum sim_fault faults[] = {SIM_IO_ONCE, SIM_IO_FROM, SIM_FULL_ONCE, SIM_FULL_FROM};
    for (size_t i = 0; i < sweep->options.n_ops && !sweep_gives_up(sweep); i++) {
        struct point point = {.sweep = "errors", .op = i};
        if (!sweep_wants(sweep, i))
            continue;
        for (size_t f = 0; f < sizeof(faults) / sizeof(faults[0]); f++) {
            point.call = 1;
            point.variant = 64 + (uint64_t) faults[f];
            while (!sweep_gives_up(sweep) && sweep_next(sweep, &point) &&
                    fail_at(sweep, &point, faults[f]))
                point.call++;
        }
        for (point.call = 1; point.call <= CAPACITIES && !sweep_gives_up(sweep); point.call++)
            fill_disk(sweep, &point);
        point.call = 1;
        if (!sweep_gives_up(sweep))
            stay_full(sweep, &point);
    }
    (void) printf("error sweep: seed %" PRIu64 ", %zu operations, %" PRIu64
                  " points, %u failures\n",
            sweep->options.seed, sweep->options.n_ops, sweep->n_points, sweep->n_failures);
    return sweep->n_failures == 0;
}
