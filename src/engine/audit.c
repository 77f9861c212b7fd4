#include "engine/audit.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/collection.h"
#include "engine/engine.h"
#include "engine/maintain_internal.h"
#include "engine/result.h"
#include "os/clock.h"

/* One-sided, one in a hundred (the score test of a proportion). */
#define SURENESS 2.326

/* A step, and how many candidates more than calibrated there may be. */
#define STEP 1.25F
#define SCALE_MAX 8.0F

/* Neighbours that a judgement takes; and past which older ones count for half. */
#define WANTED_MIN 200u
#define WANTED_MAX 20000u

/* An audit is followed by so many times its own time without one: what it delays on a
 * busy processor, for a turn of some milliseconds, stays below one query in a hundred. */
#define REST 400u

/* Neighbours that are asked for in an audit, at most. */
#define K_MAX 100u

/* How far from the promised share chance may lead.  What a query finds stands and falls
 * together, so it varies more than neighbours by themselves would (the design effect:
 * Kish, "Survey Sampling", 1965; index/vector/calibrate.c counts alike). */
static double
deviation_of(const struct och_audit *audit, double promised)
{
    double n_wanted = (double) audit->n_wanted, n_counted = (double) audit->n_counted;
    double share = (double) audit->n_found / n_wanted;
    double missed = (n_wanted - (double) audit->n_found) / n_counted;
    double variance = (double) audit->squares / n_counted - missed * missed;
    double alone = n_wanted / n_counted * share * (1 - share);
    double effect = variance > alone && alone > 0 ? variance / alone : 1;
    return sqrt(effect * promised * (1 - promised) / n_wanted);
}

/* Begin anew: of walks that are no more. */
static void
forget(struct och_audit *audit)
{
    audit->n_counted = audit->n_wanted = audit->n_found = audit->squares = 0;
}

void
och_audit_note(struct och_audit *audit, float target, uint64_t n_wanted, uint64_t n_found)
{
    uint64_t n_missed = n_wanted > n_found ? n_wanted - n_found : 0;
    audit->n_queries++;
    audit->n_counted++;
    audit->n_wanted += n_wanted;
    audit->n_found += n_wanted - n_missed; /* of equal ones a walk may find more */
    audit->squares += n_missed * n_missed;
    if (audit->n_wanted < WANTED_MIN || target >= 1)
        return;
    double share = (double) audit->n_found / (double) audit->n_wanted;
    double promised = (double) target;
    float scale = audit->scale < 1 ? 1 : audit->scale;
    if (share < promised - SURENESS * deviation_of(audit, promised) && scale < SCALE_MAX) {
        audit->scale = scale * STEP;
        forget(audit);
    } else if (audit->n_wanted > WANTED_MAX) {
        audit->n_counted /= 2;
        audit->n_wanted /= 2;
        audit->n_found /= 2;
        audit->squares /= 2;
    }
}

/* --- one audit --------------------------------------------------------------- */

/* Hits that are as near as the exact answer's last: equal ones count alike. */
static uint64_t
count_found(const struct och_hits *exact, const struct och_hits *walked)
{
    uint64_t n = 0;
    for (size_t i = 0; exact->n > 0 && i < walked->n; i++)
        n += walked->hits[i].distance <= exact->hits[exact->n - 1].distance;
    return n;
}

/* Answer twice; false when that says nothing: a failure, or a write in between. */
static bool
compare(struct och_collection *collection, const struct och_audit *audit, uint64_t *n_wanted_out,
        uint64_t *n_found_out)
{
    struct och_mem *mem = collection->engine->ports.mem;
    struct och_query query = {.select.mem = mem,
            .queries = audit->query,
            .n_queries = 1,
            .dim = audit->dim,
            .k = audit->k,
            .include = OCHRE_INCLUDE_DISTANCES};
    struct och_result *walked = NULL, *exact = NULL;
    ochre_status status = och_engine_query(mem, collection, &query, &walked, NULL);
    query.exact = true;
    if (status == OCHRE_OK)
        status = och_engine_query(mem, collection, &query, &exact, NULL);
    bool told =
            status == OCHRE_OK && walked->snapshot.facts.position == exact->snapshot.facts.position;
    if (told) {
        *n_wanted_out = exact->lists[0].n;
        *n_found_out = count_found(&exact->lists[0], &walked->lists[0]);
    }
    och_result_release(walked);
    och_result_release(exact);
    return told;
}

static void
run_audit(struct och_collection *collection)
{
    struct och_engine *engine = collection->engine;
    struct och_audit *audit = &collection->audit; /* `running`: its query stays */
    float target = och_collection_settings(collection).recall_target;
    uint64_t n_wanted = 0, n_found = 0;
    uint64_t begin_ns = och_machine_monotonic_ns(engine->ports.machine);
    bool told = compare(collection, audit, &n_wanted, &n_found);
    uint64_t now_ns = och_machine_monotonic_ns(engine->ports.machine);
    och_mutex_lock(&collection->lock);
    if (told)
        och_audit_note(audit, target, n_wanted, n_found);
    och_mem_release(engine->ports.mem, audit->query, audit->dim * sizeof(float));
    audit->query = NULL;
    audit->not_before_ns = now_ns + REST * (now_ns - begin_ns);
    audit->running = false;
    och_mutex_unlock(&collection->lock);
}

/* --- when -------------------------------------------------------------------- */

static bool
is_of_use(const struct och_query *query)
{
    return !query->exact && query->recall_target <= 0 && query->effort == 0 &&
            !query->select.has_ids && och_filter_is_empty(&query->select.filter) &&
            query->n_queries > 0 && query->k > 0;
}

/* Take the place of the one audit at a time. */
static bool
begin(struct och_collection *collection, const struct och_query *query)
{
    struct och_audit *audit = &collection->audit;
    struct och_engine *engine = collection->engine;
    bool mine = false;
    uint64_t now_ns = och_machine_monotonic_ns(engine->ports.machine);
    och_mutex_lock(&collection->lock);
    if (!audit->running && now_ns >= audit->not_before_ns) {
        audit->query = och_mem_take(engine->ports.mem, query->dim * sizeof(float));
        mine = audit->running = audit->query != NULL;
    }
    if (mine) {
        audit->dim = (uint32_t) query->dim;
        audit->k = query->k < K_MAX ? query->k : K_MAX;
        memcpy(audit->query, query->queries, query->dim * sizeof(float));
    }
    och_mutex_unlock(&collection->lock);
    return mine;
}

void
och_audit_consider(struct och_collection *collection, const struct och_query *query)
{
    struct och_engine *engine = collection->engine;
    if (engine->ports.executor == NULL || !is_of_use(query) || !begin(collection, query))
        return;
    if (och_maintain_submit(collection, run_audit))
        return;
    struct och_audit *audit = &collection->audit;
    och_mutex_lock(&collection->lock);
    och_mem_release(engine->ports.mem, audit->query, audit->dim * sizeof(float));
    audit->query = NULL;
    audit->running = false;
    och_mutex_unlock(&collection->lock);
}

struct och_audit_summary
och_audit_sum_up(struct och_collection *collection)
{
    och_mutex_lock(&collection->lock);
    struct och_audit audit = collection->audit;
    och_mutex_unlock(&collection->lock);
    return (struct och_audit_summary){.n_queries = audit.n_queries,
            .recall = audit.n_wanted == 0
                    ? -1
                    : (float) ((double) audit.n_found / (double) audit.n_wanted),
            .scale = audit.scale < 1 ? 1 : audit.scale};
}
