#include "index/vector/calibrate.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "distance/distance.h"
#include "index/vector/quant.h"
#include "index/vector/rows.h"
#include "index/vector/topk.h"

const uint32_t och_calibration_sizes[OCH_CALIBRATION_SIZES] = {10, 100};
const float och_calibration_targets[OCH_CALIBRATION_TARGETS] = {
        0.90F, 0.95F, 0.98F, 0.99F, 0.995F, 0.999F};

/* Efforts that are tried. */
static const uint32_t ladder[] = {10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 100, 112, 128, 144, 160,
        180, 200, 256, 320, 400, 512, 640};
enum { N_RUNGS = sizeof(ladder) / sizeof(ladder[0]) };

/* One-sided 90 %. */
#define SURENESS 1.2816

/* Probes that are asked for the largest size: a hundred trials each are enough. */
#define PROBES_OF_LARGEST 96u

/* The exact answers: distances of the nearest, for each probe. */
struct answers {
    float *distances; /* [n_probes][100] */
    uint32_t n_probes, n_each;
};

struct calibrating {
    struct och_arena arena;
    const struct och_graph_view *graph;
    const struct och_bitset *in;
    const uint32_t *probes;
    struct answers answers;
    struct och_topk best;
};

static const float *
vector_of(const struct calibrating *c, uint32_t probe)
{
    const struct och_vector_rows *rows = c->graph->coded.rows;
    return rows->rows + (size_t) c->probes[probe] * c->graph->coded.quant->dim;
}

/* Search with `effort` (0: exactly) for the n nearest of a probe, in order. */
static ochre_status
ask(struct calibrating *c, uint32_t probe, uint32_t n, uint32_t effort, struct ochre_error *err)
{
    const struct och_quant *quant = c->graph->coded.quant;
    struct och_distance_query query;
    och_distance_query_init(&query, quant->kernels, quant->space, vector_of(c, probe), quant->dim);
    struct och_vector_search search = {.queries = &query,
            .n_queries = 1,
            .allowed = effort == 0 ? c->in : NULL, /* links lead to what is in */
            .plan = effort == 0 ? OCH_PLAN_SCAN : OCH_PLAN_WALK,
            .scratch = &c->arena};
    if (och_topk_make(&c->best, &c->arena, n, n) != OCHRE_OK)
        return och_fail_memory(err);
    ochre_status status = och_graph_search(c->graph, &search, effort, &c->best, NULL, err);
    och_topk_sort(&c->best);
    return status;
}

static ochre_status
find_answers(struct calibrating *c, struct ochre_error *err)
{
    struct answers *answers = &c->answers;
    const struct och_vector_rows *rows = c->graph->coded.rows;
    ochre_status status = OCHRE_OK;
    for (uint32_t i = 0; i < answers->n_probes && status == OCHRE_OK; i++) {
        struct och_arena_mark mark = och_arena_mark(&c->arena);
        if (rows->touch != NULL)
            status = rows->touch(rows->context, c->probes[i], 1, err);
        if (status == OCHRE_OK)
            status = ask(c, i, answers->n_each, 0, err);
        for (uint32_t j = 0; j < answers->n_each; j++)
            answers->distances[(size_t) i * answers->n_each + j] =
                    status == OCHRE_OK && j < c->best.n ? c->best.items[j].distance : INFINITY;
        och_arena_rewind(&c->arena, &mark);
    }
    return status;
}

/* How many of the k nearest walks found. */
struct found {
    uint32_t n_probes, k;
    uint64_t n;       /* of n_probes * k */
    uint64_t squares; /* of what each probe missed */
};

static ochre_status
count_found(struct calibrating *c, uint32_t effort, struct found *found, struct ochre_error *err)
{
    uint32_t k = found->k;
    ochre_status status = OCHRE_OK;
    found->n = found->squares = 0;
    for (uint32_t i = 0; i < found->n_probes && status == OCHRE_OK; i++) {
        struct och_arena_mark mark = och_arena_mark(&c->arena);
        uint32_t n = 0;
        float last = c->answers.distances[(size_t) i * c->answers.n_each + k - 1];
        status = ask(c, i, k, effort, err);
        for (uint32_t j = 0; status == OCHRE_OK && j < c->best.n; j++)
            n += c->best.items[j].distance <= last;
        found->n += n;
        found->squares += (uint64_t) (k - n) * (k - n);
        och_arena_rewind(&c->arena, &mark);
    }
    return status;
}

/*
 * The lower end of what the share may be in truth (Wilson 1927).  A probe's hits stand
 * and fall together, so they count for fewer trials than there are: for as many as
 * would vary like the probes do (the design effect: Kish, "Survey Sampling", 1965).
 */
static double
surely(const struct found *found)
{
    double z2 = SURENESS * SURENESS, n_probes = found->n_probes;
    double trials = n_probes * found->k;
    double share = (double) found->n / trials;
    double missed = found->k * (1 - share); /* by a probe, on average */
    double variance = (double) found->squares / n_probes - missed * missed;
    double alone = found->k * share * (1 - share); /* if each hit stood by itself */
    if (variance > alone)
        trials *= alone / variance;
    double middle = share + z2 / (2 * trials);
    double half = SURENESS * sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials));
    return (middle - half) / (1 + z2 / trials);
}

/* One size: climb until the highest target is reached. */
static ochre_status
climb(struct calibrating *c, size_t size, struct och_calibration *calibration,
        struct ochre_error *err)
{
    uint32_t k = och_calibration_sizes[size];
    uint32_t n_probes = c->answers.n_probes;
    if (size + 1 == OCH_CALIBRATION_SIZES && n_probes > PROBES_OF_LARGEST)
        n_probes = PROBES_OF_LARGEST;
    struct found found = {.n_probes = n_probes, .k = k};
    uint64_t n = (uint64_t) n_probes * k;
    size_t target = 0;
    for (size_t rung = 0; rung < N_RUNGS && target < OCH_CALIBRATION_TARGETS; rung++) {
        if (ladder[rung] < k)
            continue;
        ochre_status status = count_found(c, ladder[rung], &found, err);
        if (status != OCHRE_OK)
            return status;
        double sure = surely(&found);
        while (target < OCH_CALIBRATION_TARGETS &&
                (sure >= (double) och_calibration_targets[target] || found.n == n)) {
            calibration->effort[size][target] = ladder[rung];
            calibration->measured[size][target] = (float) ((double) found.n / (double) n);
            target++;
        }
    }
    return OCHRE_OK;
}

ochre_status
och_calibrate(struct och_mem *mem, const struct och_graph_view *graph, const uint32_t *probes,
        uint32_t n_probes, const struct och_bitset *in, struct och_calibration *calibration_out,
        struct ochre_error *err)
{
    *calibration_out = (struct och_calibration){.n_queries = n_probes};
    struct calibrating c = {.graph = graph,
            .in = in,
            .probes = probes,
            .answers = {.n_probes = n_probes,
                    .n_each = och_calibration_sizes[OCH_CALIBRATION_SIZES - 1]}};
    if (n_probes == 0)
        return OCHRE_OK;
    size_t size = (size_t) n_probes * c.answers.n_each * sizeof(float);
    och_arena_init(&c.arena, mem);
    c.answers.distances = och_mem_take(mem, size);
    if (c.answers.distances == NULL)
        return och_fail_memory(err);
    ochre_status status = find_answers(&c, err);
    for (size_t i = 0; i < OCH_CALIBRATION_SIZES && status == OCHRE_OK; i++)
        status = climb(&c, i, calibration_out, err);
    och_mem_release(mem, c.answers.distances, size);
    och_arena_clear(&c.arena);
    return status;
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
    uint32_t largest = och_calibration_sizes[OCH_CALIBRATION_SIZES - 1];
    if (k > largest) /* as many for each that is wanted */
        effort = (uint32_t) ((uint64_t) effort * k / largest);
    return effort;
}

float
och_calibration_recall(const struct och_calibration *calibration, float recall)
{
    size_t target = target_for(recall);
    return target < OCH_CALIBRATION_TARGETS ? calibration->measured[0][target] : 1;
}
