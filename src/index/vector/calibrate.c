#include "index/vector/calibrate.h"

#include <math.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "distance/distance.h"
#include "index/vector/quant.h"
#include "index/vector/rows.h"
#include "index/vector/topk.h"
#include "os/executor.h"

/* The largest k that is calibrated; for more, effort grows with k. */
enum { LARGEST = 100 };
const uint32_t och_calibration_sizes[OCH_CALIBRATION_SIZES] = {10, LARGEST};
const float och_calibration_targets[OCH_CALIBRATION_TARGETS] = {
        0.90F, 0.95F, 0.98F, 0.99F, 0.995F, 0.999F};

/* Efforts that are tried. */
static const uint32_t ladder[] = {10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 36, 40, 44, 48, 56, 64,
        72, 80, 90, 100, 112, 124, 136, 150, 165, 180, 200, 220, 240, 265, 290, 320, 360, 400, 450,
        512, 576, 640};
enum { N_RUNGS = sizeof(ladder) / sizeof(ladder[0]) };

/* Where looking begins: the lowest target takes about so many. */
enum { FIRST_RUNG = 5 };

/* Parts of a hit (rungs_up). */
#define SCALE (UINT64_C(1) << 20)

/* One-sided 90 %; an effort that the first few probes are 99 % sure of failing is refused.  None is
 * taken by so few: what misses everything once in a hundred times would not show. */
#define SURENESS 1.2816
#define SURENESS_TO_REFUSE 2.3263
#define PROBES_FEW 96u

/* Recall below this is measured with fewer probes: nobody misses half of a hundredth there. */
#define RECALL_HIGH 0.99F
#define PROBES_OF_LOW 384u

/* Probes that are asked for the largest size: a hundred trials each are enough. */
#define PROBES_OF_LARGEST 96u

/* Probes that a thread takes at once: exact scans share what they read, walks nothing. */
enum { PROBES_AT_ONCE = 32, WALKS_AT_ONCE = 8 };

/* How many of the k nearest walks found. */
struct found {
    uint32_t n_probes; /* 0: not measured */
    uint32_t k;
    uint64_t n;       /* of n_probes * k */
    uint64_t squares; /* of what each probe missed */
};

/* One thread's. */
struct prober {
    struct och_arena arena;
    struct found found;
    ochre_status status;
    struct ochre_error err;
};

struct calibrating {
    const struct och_calibrating *of;
    struct prober *probers; /* [n_threads] */
    float *answers;         /* [n_probes][LARGEST]: exact distances, nearest first */
    uint32_t end;           /* probes up to this one are asked now, */
    uint32_t k;             /*   for so many, */
    uint32_t effort;        /*   with this; 0: exactly, for the answers */
    atomic_uint next;
};

/* Search with `effort` (0: exactly) for the nearest of n probes, in order. */
static ochre_status
ask(const struct calibrating *c, struct prober *prober, uint32_t first, uint32_t n,
        struct och_topk *best)
{
    const struct och_graph_view *graph = c->of->graph;
    const struct och_vector_rows *rows = graph->coded.rows;
    const struct och_quant *quant = graph->coded.quant;
    struct och_distance_query queries[PROBES_AT_ONCE];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = c->of->probes[first + i];
        ochre_status status =
                rows->touch == NULL ? OCHRE_OK : rows->touch(rows->context, row, 1, &prober->err);
        if (status != OCHRE_OK)
            return status;
        och_distance_query_init(&queries[i], quant->kernels, quant->space,
                rows->rows + (size_t) row * quant->dim, quant->dim);
        if (och_topk_make(&best[i], &prober->arena, c->k, c->k) != OCHRE_OK)
            return och_fail_memory(&prober->err);
    }
    struct och_vector_search search = {.queries = queries,
            .n_queries = n,
            .allowed = c->effort == 0 ? c->of->in : NULL, /* links lead to what is in */
            .plan = c->effort == 0 ? OCH_PLAN_SCAN : OCH_PLAN_WALK,
            .scratch = &prober->arena};
    ochre_status status = och_graph_search(graph, &search, c->effort, best, NULL, &prober->err);
    for (uint32_t i = 0; i < n && status == OCHRE_OK; i++)
        och_topk_sort(&best[i]);
    return status;
}

/* Keep exact answers, or count what a walk found of them. */
static void
note(const struct calibrating *c, struct found *found, uint32_t probe, const struct och_topk *best)
{
    float *answers = c->answers + (size_t) probe * LARGEST;
    if (c->effort == 0) {
        for (uint32_t i = 0; i < c->k; i++)
            answers[i] = i < best->n ? best->items[i].distance : INFINITY;
        return;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < best->n; i++)
        n += best->items[i].distance <= answers[c->k - 1];
    found->n_probes++;
    found->n += n;
    found->squares += (uint64_t) (c->k - n) * (c->k - n);
}

/* A part of och_executor_parallel. */
static void
ask_some(void *context, size_t thread)
{
    struct calibrating *c = context;
    struct prober *prober = &c->probers[thread];
    uint32_t at_once = c->effort == 0 ? PROBES_AT_ONCE : WALKS_AT_ONCE;
    while (prober->status == OCHRE_OK) {
        uint32_t first = atomic_fetch_add_explicit(&c->next, at_once, memory_order_relaxed);
        if (first >= c->end)
            return;
        uint32_t left = c->end - first;
        uint32_t n = left < at_once ? left : at_once;
        struct och_topk best[PROBES_AT_ONCE];
        struct och_arena_mark mark = och_arena_mark(&prober->arena);
        prober->status = ask(c, prober, first, n, best);
        for (uint32_t i = 0; i < n && prober->status == OCHRE_OK; i++)
            note(c, &prober->found, first + i, &best[i]);
        och_arena_rewind(&prober->arena, &mark);
    }
}

/* Ask the probes that were not asked yet, up to `end`, for found->k with `effort`. */
static ochre_status
ask_more(struct calibrating *c, uint32_t end, uint32_t effort, struct found *found,
        struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    c->end = end;
    c->k = found->k;
    c->effort = effort;
    atomic_init(&c->next, found->n_probes);
    for (unsigned i = 0; i < c->of->n_threads; i++)
        c->probers[i].found = (struct found){.n_probes = 0};
    och_executor_parallel(c->of->executor, c->of->n_threads, ask_some, c);
    for (unsigned i = 0; i < c->of->n_threads; i++) {
        const struct prober *prober = &c->probers[i];
        found->n_probes += prober->found.n_probes;
        found->n += prober->found.n;
        found->squares += prober->found.squares;
        if (prober->status != OCHRE_OK && status == OCHRE_OK) {
            status = prober->status;
            if (err != NULL)
                *err = prober->err;
        }
    }
    return status;
}

/*
 * An end of what the share may be in truth: the lower one, or the upper one with a
 * negative `z` (Wilson 1927).  A probe's hits stand
 * and fall together, so they count for fewer trials than there are: for as many as
 * would vary like the probes do (the design effect: Kish, "Survey Sampling", 1965).
 */
static double
surely(const struct found *found, double z)
{
    double z2 = z * z, n_probes = found->n_probes;
    double trials = n_probes * found->k;
    double share = (double) found->n / trials;
    double missed = found->k * (1 - share); /* by a probe, on average */
    double variance = (double) found->squares / n_probes - missed * missed;
    double alone = found->k * share * (1 - share); /* if each hit stood by itself */
    if (variance > alone)
        trials *= alone / variance;
    double middle = share + z2 / (2 * trials);
    double half = z * sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials));
    return (middle - half) / (1 + z2 / trials);
}

/* Has this been found often enough? */
static bool
reaches(const struct found *found, float target)
{
    return found->n == (uint64_t) found->n_probes * found->k ||
            surely(found, SURENESS) >= (double) target;
}

/* Does an effort reach a target?  The first few probes tell when it clearly does not. */
static ochre_status
try_effort(struct calibrating *c, struct found *found, uint32_t n_probes, uint32_t effort,
        float target, bool *reaches_out, struct ochre_error *err)
{
    ochre_status status = OCHRE_OK;
    uint32_t few = n_probes < PROBES_FEW ? n_probes : PROBES_FEW;
    if (found->n_probes == 0)
        status = ask_more(c, few, effort, found, err);
    bool is_refused = surely(found, -SURENESS_TO_REFUSE) < (double) target;
    if (status == OCHRE_OK && !is_refused && found->n_probes < n_probes)
        status = ask_more(c, n_probes, effort, found, err);
    *reaches_out = reaches(found, target);
    return status;
}

/*
 * How many rungs up a target is probably reached, from what was found on one: a rung
 * up, an eighth less is missed.  Of what may be missed a quarter is left for being
 * sure.  In whole numbers, so that it is the same everywhere.
 */
static size_t
rungs_up(const struct found *found, float target)
{
    uint64_t n_asked = (uint64_t) found->n_probes * found->k;
    uint64_t missed = (n_asked - found->n) * SCALE;
    uint64_t allowed = (uint64_t) ((1 - (double) target) * 0.75 * SCALE) * n_asked;
    size_t n = 0;
    for (; missed > allowed && n < N_RUNGS; n++)
        missed -= missed / 8;
    return n;
}

/*
 * The lowest rung from `low` on that reaches a target: more effort finds more.
 * N_RUNGS: none does.  Each guess starts from the rung below, and after one that is
 * enough goes back, further each time: high rungs cost most and are tried least.
 */
static ochre_status
find_rung(struct calibrating *c, struct found *rungs, uint32_t n_probes, float target,
        size_t *low_inout, struct ochre_error *err)
{
    size_t low = *low_inout, high = N_RUNGS, back = 1;
    size_t guess = rungs[low].n_probes > 0 ? low + rungs_up(&rungs[low], target) : FIRST_RUNG;
    while (low < high) {
        size_t rung = guess < low ? low : guess < high ? guess : high - 1;
        bool is_enough;
        ochre_status status =
                try_effort(c, &rungs[rung], n_probes, ladder[rung], target, &is_enough, err);
        if (status != OCHRE_OK)
            return status;
        if (is_enough) {
            high = rung;
            guess = rung > back ? rung - back : 0;
            back *= 2;
        } else {
            low = rung + 1;
            guess = rung + rungs_up(&rungs[rung], target);
            back = 1;
        }
    }
    *low_inout = low;
    return OCHRE_OK;
}

static ochre_status
calibrate_size(struct calibrating *c, size_t size, struct och_calibration *calibration,
        struct ochre_error *err)
{
    uint32_t k = och_calibration_sizes[size], n_probes = c->of->n_probes;
    if (size + 1 == OCH_CALIBRATION_SIZES && n_probes > PROBES_OF_LARGEST)
        n_probes = PROBES_OF_LARGEST;
    struct found rungs[N_RUNGS];
    for (size_t i = 0; i < N_RUNGS; i++)
        rungs[i] = (struct found){.k = k};
    size_t rung = 0;
    while (ladder[rung] < k)
        rung++;
    for (size_t target = 0; target < OCH_CALIBRATION_TARGETS; target++) {
        float recall = och_calibration_targets[target];
        uint32_t n = n_probes;
        if (recall < RECALL_HIGH && n > PROBES_OF_LOW)
            n = PROBES_OF_LOW;
        /* The highest takes about twice what the one before took: not looked for in vain. */
        if (size == 0 && target + 1 == OCH_CALIBRATION_TARGETS &&
                2 * ladder[rung] > ladder[N_RUNGS - 1])
            return OCHRE_OK;
        ochre_status status = find_rung(c, rungs, n, recall, &rung, err);
        if (status != OCHRE_OK || rung == N_RUNGS)
            return status;
        const struct found *found = &rungs[rung];
        calibration->effort[size][target] = ladder[rung];
        calibration->measured[size][target] =
                (float) ((double) found->n / ((double) found->n_probes * k));
    }
    return OCHRE_OK;
}

static ochre_status
calibrate(struct calibrating *c, struct och_calibration *calibration, struct ochre_error *err)
{
    /* Exact answers: many for the few that are asked for many. */
    uint32_t n_probes = c->of->n_probes;
    struct found exact = {.k = LARGEST};
    uint32_t n_largest = n_probes < PROBES_OF_LARGEST ? n_probes : PROBES_OF_LARGEST;
    ochre_status status = ask_more(c, n_largest, 0, &exact, err);
    exact = (struct found){.n_probes = n_largest, .k = och_calibration_sizes[0]};
    if (status == OCHRE_OK && n_largest < n_probes)
        status = ask_more(c, n_probes, 0, &exact, err);
    for (size_t i = 0; i < OCH_CALIBRATION_SIZES && status == OCHRE_OK; i++)
        status = calibrate_size(c, i, calibration, err);
    return status;
}

ochre_status
och_calibrate(const struct och_calibrating *calibrating, struct och_calibration *calibration_out,
        struct ochre_error *err)
{
    *calibration_out = (struct och_calibration){.n_queries = calibrating->n_probes};
    if (calibrating->n_probes == 0)
        return OCHRE_OK;
    struct och_mem *mem = calibrating->mem;
    size_t answers_size = (size_t) calibrating->n_probes * LARGEST * sizeof(float);
    size_t probers_size = calibrating->n_threads * sizeof(struct prober);
    struct calibrating c = {.of = calibrating,
            .answers = och_mem_take(mem, answers_size),
            .probers = och_mem_take_zeroed(mem, probers_size)};
    ochre_status status = OCHRE_NO_MEMORY;
    if (c.answers != NULL && c.probers != NULL) {
        for (unsigned i = 0; i < calibrating->n_threads; i++)
            och_arena_init(&c.probers[i].arena, mem);
        status = calibrate(&c, calibration_out, err);
        for (unsigned i = 0; i < calibrating->n_threads; i++)
            och_arena_clear(&c.probers[i].arena);
    }
    och_mem_release(mem, c.probers, probers_size);
    och_mem_release(mem, c.answers, answers_size);
    return status == OCHRE_NO_MEMORY ? och_fail_memory(err) : status;
}

/* The first target that is no lower. */
static size_t
target_for(float recall)
{
    size_t i = 0;
    while (i < OCH_CALIBRATION_TARGETS && och_calibration_targets[i] < recall - 1e-6F)
        i++;
    return i;
}

uint32_t
och_calibration_effort(const struct och_calibration *calibration, uint32_t k, float recall)
{
    size_t target = target_for(recall);
    if (calibration->n_queries == 0 || recall > OCH_RECALL_EXACT ||
            target == OCH_CALIBRATION_TARGETS)
        return 0;
    size_t size = 0;
    while (size + 1 < OCH_CALIBRATION_SIZES && och_calibration_sizes[size] < k)
        size++;
    uint32_t effort = calibration->effort[size][target];
    if (k > LARGEST) /* as many for each that is wanted */
        effort = (uint32_t) ((uint64_t) effort * k / LARGEST);
    return effort;
}

float
och_calibration_recall(const struct och_calibration *calibration, float recall)
{
    size_t target = target_for(recall);
    return target < OCH_CALIBRATION_TARGETS ? calibration->measured[0][target] : 1;
}
