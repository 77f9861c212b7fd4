#include "crash/sweep.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/check.h"
#include "crash/compare.h"
#include "crash/workload.h"
#include "os/vfs.h"

/* A small disk has small log files, so that they fill up and others follow. */
#define DISK_SIZE ((uint64_t) 5 << 20)
#define DISK_SIZE_ARCHIVE ((uint64_t) 16 << 20) /* where the log stays for good */

/* A workload of so many operations writes twice to a collection, without a restart. */
#define PAST_OPS_MIN 50u

/* Restoring does all of the workload once more. */
#define ARCHIVES_ONE_IN 4u

/* Uses of a point's seed, so that no two sessions on a disk share one. */
enum {
    USE_TRIAL,
    USE_REOPEN,
    USE_REOPEN_AGAIN,
    USE_PROBE,
    USE_CUT,
    USE_CHECK,
    USE_JUDGE,
    USE_ARCHIVE
};

/* --- points ----------------------------------------------------------------- */

bool
sweep_wants(const struct sweep *sweep, size_t op)
{
    if (op % sweep->options.n_parts != sweep->options.part)
        return false;
    return sweep->options.only_op == SIZE_MAX || sweep->options.only_op == op;
}

bool
sweep_takes(const struct sweep *sweep, const struct point *point)
{
    if (sweep->options.only_call != 0 && sweep->options.only_call != point->call)
        return false;
    return sweep->options.one_in <= 1 ||
            point_seed(sweep, point, USE_CHECK) % sweep->options.one_in == 0;
}

bool
sweep_next(const struct sweep *sweep, struct point *point)
{
    uint64_t only = sweep->options.only_call;
    while (!sweep_takes(sweep, point)) {
        if (only != 0 && point->call > only)
            return false;
        point->call++;
    }
    return true;
}

bool
sweep_gives_up(const struct sweep *sweep)
{
    return sweep->n_failures >= sweep->options.n_failures_max;
}

uint64_t
point_seed(const struct sweep *sweep, const struct point *point, uint64_t use)
{
    uint64_t seed = workload_mix(sweep->options.seed, point->op);
    seed = workload_mix(seed, point->call);
    return workload_mix(workload_mix(seed, point->variant), use);
}

bool
point_fails(struct sweep *sweep, const struct point *point, const char *why)
{
    sweep->n_failures++;
    (void) fprintf(stderr,
            "FAILED operation %zu (%s), %s: %s\n"
            "       again: --%s --seed %" PRIu64 " --ops %zu --op %zu --call %" PRIu64 "\n",
            point->op,
            point->op < sweep->options.n_ops ? model_op_name(sweep->ops[point->op].kind) : "open",
            point->what, why, point->sweep, sweep->options.seed, sweep->options.n_ops, point->op,
            point->call);
    return false;
}

static bool
fails_with(struct sweep *sweep, const struct point *point, const char *what, ochre_status status,
        const struct ochre_error *err)
{
    char why[WHY_SIZE];
    (void) snprintf(why, sizeof(why), "%s: %s: %.300s", what, ochre_status_name(status),
            status == OCHRE_OK ? "" : err->message);
    return point_fails(sweep, point, why);
}

/* --- the workload ----------------------------------------------------------- */

static void *
take(size_t n, size_t size)
{
    void *bytes = calloc(n, size);
    if (bytes == NULL)
        abort();
    return bytes;
}

static bool
run_op(struct sweep *sweep, struct session *session, size_t i)
{
    struct point point = {"crash", i, 0, 0, "without faults"};
    struct ochre_error err;
    ochre_status status = session_do(session, &sweep->ops[i], &err);
    if (status != sweep->answers[i])
        return fails_with(sweep, &point, "another answer than the model's", status, &err);
    char why[WHY_SIZE];
    if (!session_shows(session, &sweep->models[i + 1], why))
        return point_fails(sweep, &point, why);
    uint64_t seed = workload_mix(sweep->options.seed, i + 1);
    if (sweep->ops[i].kind == MODEL_BACKUP &&
            !session_backup_shows(session->backup, NULL, &sweep->models[i + 1], seed, why))
        return point_fails(sweep, &point, why);
    return true;
}

/* Every other workload archives its log: a backup of the beginning, and the archive, are at
 * any moment what the database is. */
static bool
begin_archive(struct sweep *sweep, struct session *session)
{
    struct point point = {"crash", 0, 0, 0, "without faults"};
    struct ochre_error err;
    struct model_op *op = &sweep->probe[0];
    if (!session->archives)
        return true;
    memset(op, 0, sizeof(*op));
    op->kind = MODEL_BACKUP;
    ochre_status status = session_do(session, op, &err);
    if (status != OCHRE_OK)
        return fails_with(sweep, &point, "the first backup", status, &err);
    sweep->backup = session->backup;
    session->backup = NULL;
    return true;
}

static bool
run_workload(struct sweep *sweep, struct session *session)
{
    if (!begin_archive(sweep, session))
        return false;
    struct workload workload = {.seed = sweep->options.seed, .n_all = sweep->options.n_ops};
    for (size_t i = 0; i < sweep->options.n_ops; i++) {
        workload_next(&workload, &sweep->models[i], &sweep->ops[i]);
        model_copy(&sweep->models[i + 1], &sweep->models[i]);
        sweep->answers[i] = model_apply(&sweep->models[i + 1], &sweep->ops[i]);
        bool right = run_op(sweep, session, i);
        sweep->disks[i + 1] = sim_disk_clone(session->disk);
        if (!right)
            return false;
    }
    return true;
}

static bool
make_archive(struct sim_disk *disk)
{
    struct och_vfs *vfs = sim_disk_vfs(disk);
    return och_vfs_mkdir(vfs, SESSION_ARCHIVE, NULL) == OCHRE_OK &&
            och_vfs_sync_dir(vfs, "", NULL) == OCHRE_OK;
}

bool
sweep_open(struct sweep *sweep, const struct sweep_options *options)
{
    size_t n = options->n_ops;
    memset(sweep, 0, sizeof(*sweep));
    sweep->options = *options;
    sweep->ops = take(n, sizeof(struct model_op));
    sweep->answers = take(n, sizeof(ochre_status));
    sweep->models = take(n + 1, sizeof(struct model));
    sweep->disks = take(n + 1, sizeof(struct sim_disk *));
    och_mem_init(&sweep->mem, NULL);
    model_init(&sweep->models[0]);
    sweep->disks[0] = sim_disk_open(&sweep->mem, options->seed);
    bool archives = options->seed % 2 == 0;
    sim_disk_set_capacity(sweep->disks[0], archives ? DISK_SIZE_ARCHIVE : DISK_SIZE);
    if (archives && !make_archive(sweep->disks[0]))
        return false;

    struct sim_disk *disk = sim_disk_clone(sweep->disks[0]);
    struct session session;
    struct ochre_error err;
    ochre_status status = session_begin(&session, disk, options->seed, &err);
    bool right = status == OCHRE_OK && run_workload(sweep, &session);
    if (status != OCHRE_OK)
        (void) fprintf(stderr, "FAILED to open: %s\n", err.message);
    if (right && n >= PAST_OPS_MIN && compare_past_reads() == 0) {
        (void) fprintf(stderr, "FAILED: nothing of the past could be read\n");
        right = false;
    }
    right = session_end(&session) && right;
    sim_disk_close(disk);
    return right;
}

void
sweep_close(struct sweep *sweep)
{
    for (size_t i = 0; i <= sweep->options.n_ops; i++) {
        sim_disk_close(sweep->disks[i]);
        model_clear(&sweep->models[i]);
    }
    sim_disk_close(sweep->backup);
    free(sweep->disks);
    free(sweep->models);
    free(sweep->answers);
    free(sweep->ops);
}

/* --- trials ----------------------------------------------------------------- */

bool
trial_begin(struct sweep *sweep, const struct point *point, struct trial *trial)
{
    /* All trials of an operation begin alike, whatever the call. */
    struct point start = {point->sweep, point->op, 0, 0, ""};
    size_t from = point->op == 0 ? 0 : point->op - 1;
    trial->disk = sim_disk_clone(sweep->disks[from]);
    struct ochre_error err;
    ochre_status status =
            session_begin(&trial->session, trial->disk, point_seed(sweep, &start, USE_TRIAL), &err);
    if (status != OCHRE_OK)
        return fails_with(sweep, point, "cannot open before the trial", status, &err);
    if (from == point->op)
        return true;
    status = session_do(&trial->session, &sweep->ops[from], &err);
    if (status != sweep->answers[from])
        return fails_with(sweep, point, "the operation before it fails", status, &err);
    return true;
}

bool
trial_end(struct sweep *sweep, const struct point *point, struct trial *trial)
{
    bool whole = session_end(&trial->session) ||
            point_fails(sweep, point, "closing does not give all memory back");
    sim_disk_close(trial->disk);
    return whole;
}

struct allowed
allowed_after(const struct sweep *sweep, size_t op, bool acknowledged)
{
    struct allowed allowed = {.states = {&sweep->models[op + 1], &sweep->models[op]}, .n = 2};
    /* What is refused for good reasons is refused without effect: both are one. */
    if (acknowledged)
        allowed.n = 1;
    return allowed;
}

const struct model *
point_state(struct sweep *sweep, const struct point *point, struct session *session,
        const struct allowed *allowed)
{
    char why[2][WHY_SIZE];
    for (size_t i = 0; i < allowed->n; i++)
        if (session_shows(session, allowed->states[i], why[i]))
            return allowed->states[i];
    char text[3 * WHY_SIZE];
    (void) snprintf(text, sizeof(text),
            "neither before nor after:\n       after: %s\n       before: %s", why[0],
            allowed->n > 1 ? why[1] : "not allowed, it was acknowledged");
    (void) point_fails(sweep, point, text);
    return NULL;
}

bool
point_writes(struct sweep *sweep, const struct point *point, struct session *session,
        const struct model *state, struct model *after_out)
{
    struct model_op *ops = sweep->probe;
    model_copy(after_out, state);
    const struct model_op *op =
            point->op < sweep->options.n_ops ? &sweep->ops[point->op] : &sweep->ops[0];
    const struct model_collection *touched =
            model_find(after_out, op->tenant, op->database, op->name);
    size_t n = workload_probe(point_seed(sweep, point, USE_PROBE), touched, ops);
    for (size_t i = 0; i < n; i++) {
        struct ochre_error err;
        ochre_status wanted = model_apply(after_out, &ops[i]);
        ochre_status status = session_do(session, &ops[i], &err);
        if (status != wanted)
            return fails_with(sweep, point, "the next write fails", status, &err);
    }
    char why[WHY_SIZE];
    return session_shows(session, after_out, why) || point_fails(sweep, point, why);
}

/* --- judging a disk --------------------------------------------------------- */

static void
note_damage(void *context, const struct och_check_finding *finding)
{
    char *text = context;
    if (finding->kind == OCH_CHECK_DAMAGE && text[0] == '\0')
        (void) snprintf(text, WHY_SIZE, "%.100s: %.250s", finding->path, finding->message);
}

static bool
is_sound(struct sweep *sweep, const struct point *point, struct sim_disk *disk)
{
    char damage[WHY_SIZE] = "";
    struct och_check_options options = {.report = note_damage, .context = damage, .is_deep = true};
    struct ochre_error err = {.status = OCHRE_OK};
    struct sim_machine machine;
    sim_machine_init(&machine, point_seed(sweep, point, USE_CHECK));
    ochre_status status = och_check_vfs(sim_disk_vfs(disk), &machine.machine, &options, NULL, &err);
    if (status == OCHRE_OK)
        return true;
    return fails_with(sweep, point, damage[0] != '\0' ? damage : "check", status, &err);
}

/* The database was closed in good order: is what the archive says the same?  Where it was the
 * first opening that failed, the backup is of another database. */
static bool
is_archived(struct sweep *sweep, const struct point *point, struct sim_disk *disk,
        const struct model *state)
{
    char why[WHY_SIZE];
    uint64_t seed = point_seed(sweep, point, USE_ARCHIVE);
    bool is_it = point->op > 1 && point->op < sweep->options.n_ops;
    if (sweep->backup == NULL || !is_it || seed % ARCHIVES_ONE_IN != 0)
        return true;
    return session_backup_shows(sweep->backup, disk, state, seed, why) ||
            point_fails(sweep, point, why);
}

/* Write in the session, end the process one way or another, and look again. */
static bool
writes_and_keeps(struct sweep *sweep, const struct point *point, struct session *session,
        const struct model *state)
{
    struct model after;
    uint64_t cut = point_seed(sweep, point, USE_CUT);
    bool right = point_writes(sweep, point, session, state, &after);
    struct sim_disk *disk = session->disk;
    if (cut % 2 == 0) /* the power goes, instead of a clean close */
        sim_disk_recover(disk, (enum sim_mode)(cut / 2 % SIM_N_MODES), cut);
    if (!session_end(session))
        right = point_fails(sweep, point, "closing does not give all memory back");
    if (right) {
        struct session next;
        struct ochre_error err;
        struct allowed allowed = {.states = {&after}, .n = 1};
        ochre_status status =
                session_begin(&next, disk, point_seed(sweep, point, USE_REOPEN_AGAIN), &err);
        right = status == OCHRE_OK ||
                fails_with(sweep, point, "cannot open after the next write", status, &err);
        right = right && point_state(sweep, point, &next, &allowed) != NULL;
        if (!session_end(&next))
            right = point_fails(sweep, point, "closing does not give all memory back");
        right = right && is_archived(sweep, point, disk, &after);
    }
    model_clear(&after);
    return right;
}

bool
point_survives(struct sweep *sweep, const struct point *point, struct sim_disk *disk,
        const struct allowed *allowed)
{
    struct session session;
    struct ochre_error err;
    ochre_status status = session_begin(&session, disk, point_seed(sweep, point, USE_REOPEN), &err);
    const struct model *state = NULL;
    if (status != OCHRE_OK)
        (void) fails_with(sweep, point, "cannot open", status, &err);
    else
        state = point_state(sweep, point, &session, allowed);
    if (state == NULL) {
        if (!session_end(&session))
            (void) point_fails(sweep, point, "closing does not give all memory back");
        return false;
    }
    return writes_and_keeps(sweep, point, &session, state) && is_sound(sweep, point, disk);
}

/* --- judging an answer ------------------------------------------------------ */

static bool
is_of_catalog(enum model_op_kind kind)
{
    return kind <= MODEL_UNPIN || kind == MODEL_RESET;
}

/* The state that the session shows agrees with the answer; NULL when not. */
static const struct model *
answered_state(struct sweep *sweep, const struct point *point, struct session *session,
        const struct verdict *verdict)
{
    size_t op = point->op;
    bool acknowledged = verdict->status == OCHRE_OK;
    struct allowed allowed = {.states = {&sweep->models[op + acknowledged]}, .n = 1};
    if (verdict->open_ended && !acknowledged && is_of_catalog(sweep->ops[op].kind))
        allowed = allowed_after(sweep, op, false);
    return point_state(sweep, point, session, &allowed);
}

/* Do the failed operation once more. */
static const struct model *
try_again(struct sweep *sweep, const struct point *point, struct session *session,
        const struct model *state)
{
    struct ochre_error err;
    struct model *after = &sweep->models[point->op + 1];
    ochre_status status = session_do(session, &sweep->ops[point->op], &err);
    bool was_done = state == after; /* what the second try finds, then, is another matter */
    if (!was_done && status != sweep->answers[point->op]) {
        (void) fails_with(sweep, point, "a second try fails", status, &err);
        return NULL;
    }
    char why[WHY_SIZE];
    if (session_shows(session, after, why))
        return after;
    (void) point_fails(sweep, point, why);
    return NULL;
}

/* End the process without another call: what failed may still come back. */
static void
stop_and_look(
        struct sweep *sweep, const struct point *point, struct session *session, bool acknowledged)
{
    uint64_t cut = point_seed(sweep, point, USE_CUT);
    struct allowed allowed = allowed_after(sweep, point->op, acknowledged);
    if (cut % 2 == 0)
        sim_disk_recover(session->disk, (enum sim_mode)(cut / 2 % SIM_N_MODES), cut);
    if (!session_end(session))
        (void) point_fails(sweep, point, "closing does not give all memory back");
    (void) point_survives(sweep, point, session->disk, &allowed);
}

void
point_judge(struct sweep *sweep, const struct point *point, struct session *session,
        const struct verdict *verdict)
{
    uint64_t how = point_seed(sweep, point, USE_JUDGE) % 3;
    ochre_status status = verdict->status;
    bool acknowledged = status == OCHRE_OK;
    struct ochre_error err = {.status = status};
    bool excused = !acknowledged && (verdict->excuse >> status & 1) != 0;
    if (status != sweep->answers[point->op] && !excused)
        (void) fails_with(sweep, point, "a strange answer", status, &err);
    if (session->db == NULL) {
        status = session_open(session, &err);
        if (status != OCHRE_OK) {
            (void) fails_with(sweep, point, "cannot open after the fault", status, &err);
            return;
        }
    }
    const struct model *state = answered_state(sweep, point, session, verdict);
    if (state != NULL && how == 0 && !acknowledged)
        state = try_again(sweep, point, session, state);
    if (state != NULL && how == 1)
        stop_and_look(sweep, point, session, acknowledged);
    else if (state != NULL && writes_and_keeps(sweep, point, session, state))
        (void) is_sound(sweep, point, session->disk);
}
