/*
 * sweep_memory.c - memory runs out: at one allocation, or at every one from
 * there on, of the database or of SQLite.
 *
 * There are far more allocations than calls of the disk, so this sweep takes
 * a few operations of each kind, and of those every allocation.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "crash/sqlite_memory.h"
#include "crash/sweep.h"

enum { OPS_OF_A_KIND = 3 };

/* Being refused a catalog page, SQLite may call it an I/O error. */
#define EXCUSES (1u << OCHRE_NO_MEMORY | 1u << OCHRE_UNAVAILABLE)

enum shortage { DB_ONCE, DB_FROM, SQLITE_ONCE, SQLITE_FROM, N_SHORTAGES };

static const char *const shortage_names[N_SHORTAGES] = {
        [DB_ONCE] = "is refused",
        [DB_FROM] = "is refused, and all after it",
        [SQLITE_ONCE] = "of SQLite is refused",
        [SQLITE_FROM] = "of SQLite is refused, and all after it",
};

static void
arm(struct session *session, enum shortage shortage, uint64_t n)
{
    uint64_t at = atomic_load(&session->mem.n_grants) + n;
    switch (shortage) {
    case DB_ONCE:
        session->mem.fail_at = at;
        break;
    case DB_FROM:
        session->mem.fail_from = at;
        break;
    case SQLITE_ONCE:
    case SQLITE_FROM:
        sqlite_memory_fail(n, shortage == SQLITE_FROM);
        break;
    case N_SHORTAGES:
        break;
    }
}

/* Let memory be there again; was any refused? */
static bool
disarm(struct session *session)
{
    uint64_t n_grants = atomic_load(&session->mem.n_grants);
    bool refused = sqlite_memory_has_failed() ||
            (session->mem.fail_at != 0 && n_grants >= session->mem.fail_at) ||
            (session->mem.fail_from != 0 && n_grants >= session->mem.fail_from);
    session->mem.fail_at = 0;
    session->mem.fail_from = 0;
    sqlite_memory_fail(0, false);
    return refused;
}

/* Refuse one allocation; false when the operation gets through without it. */
static bool
refuse(struct sweep *sweep, struct point *point, enum shortage shortage)
{
    struct trial trial;
    (void) snprintf(point->what, sizeof(point->what), "allocation %" PRIu64 " %s", point->call,
            shortage_names[shortage]);
    bool reached = false;
    if (trial_begin(sweep, point, &trial)) {
        struct ochre_error err;
        arm(&trial.session, shortage, point->call);
        ochre_status status = session_do(&trial.session, &sweep->ops[point->op], &err);
        reached = disarm(&trial.session);
        if (reached) {
            struct verdict verdict = {status, EXCUSES, false};
            point_judge(sweep, point, &trial.session, &verdict);
            sweep->n_points++;
        }
    }
    return trial_end(sweep, point, &trial) && reached;
}

/* Of each kind a few that work; of those with records, the later ones with more.
 * Of writes during a merge, one of each. */
static bool
chooses(const struct sweep *sweep, size_t op, size_t n_of_kind[MODEL_N_KINDS],
        bool has_when[MODEL_N_WHENS])
{
    const struct model_op *it = &sweep->ops[op];
    size_t n = n_of_kind[it->kind];
    if (it->when != MODEL_BY_ITSELF) {
        bool has = has_when[it->when] || sweep->answers[op] != OCHRE_OK || it->n_records < 2;
        has_when[it->when] = has_when[it->when] || !has;
        return !has;
    }
    if (sweep->answers[op] != OCHRE_OK || n == OPS_OF_A_KIND)
        return false;
    if (it->n_records > 0 && it->n_records <= 2 * n)
        return false;
    n_of_kind[it->kind]++;
    return true;
}

bool
sweep_memory(struct sweep *sweep)
{
    size_t n_of_kind[MODEL_N_KINDS] = {0};
    bool has_when[MODEL_N_WHENS] = {false};
    size_t n_ops = 0;
    for (size_t i = 0; i < sweep->options.n_ops && !sweep_gives_up(sweep); i++) {
        if (!chooses(sweep, i, n_of_kind, has_when) || !sweep_wants(sweep, i))
            continue;
        n_ops++;
        for (unsigned s = 0; s < N_SHORTAGES; s++) {
            struct point point = {
                    .sweep = "memory", .op = i, .call = 1, .variant = 96 + (uint64_t) s};
            while (!sweep_gives_up(sweep) && sweep_next(sweep, &point) &&
                    refuse(sweep, &point, (enum shortage) s))
                point.call++;
        }
    }
    (void) printf("memory sweep: seed %" PRIu64 ", %zu operations, %" PRIu64
                  " points, %u failures\n",
            sweep->options.seed, n_ops, sweep->n_points, sweep->n_failures);
    return sweep->n_failures == 0;
}
