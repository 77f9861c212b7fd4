/*
 * calibrate.h - how many candidates a walk must keep for which recall.
 *
 * Recall is measured: queries whose exact answer is known are walked with more
 * and more candidates until enough of the true nearest are found.  The queries
 * are rows that the graph does not hold yet, so nothing leads to them, as nothing
 * leads to a stranger's query.
 *
 *      effort for    recall .90  .95  .98  .99  .995  .999
 *      k up to 10      10   10   16   24    32    64
 *      k up to 100     ...
 *
 * An entry is the least effort of the ladder for which the recall of the queries
 * together (a part of them below .99) reaches the target even at the lower end of what
 * chance allows (the one-sided Wilson interval at 90 %, with what the hits of a query
 * have in common taken into account); 0: none does, or none is likely to, so search
 * exactly.
 *
 * Threads: och_calibrate lends work to the executor; the rest: any.
 */
#ifndef OCH_INDEX_VECTOR_CALIBRATE_H
#define OCH_INDEX_VECTOR_CALIBRATE_H

#include <stdint.h>

#include "base/compiler.h"
#include "index/vector/graph_search.h"
#include "ochre/status.h"

struct och_executor;
struct och_mem;

enum { OCH_CALIBRATION_SIZES = 2, OCH_CALIBRATION_TARGETS = 6 };

extern const uint32_t och_calibration_sizes[OCH_CALIBRATION_SIZES];
extern const float och_calibration_targets[OCH_CALIBRATION_TARGETS];

/* Recall that is asked for at least: as close to 1 as measuring can tell. */
#define OCH_RECALL_EXACT 0.9995F

struct och_calibration {
    uint32_t effort[OCH_CALIBRATION_SIZES][OCH_CALIBRATION_TARGETS];
    float measured[OCH_CALIBRATION_SIZES][OCH_CALIBRATION_TARGETS]; /* with that effort */
    uint32_t n_queries;                                             /* 0: not measured */
};

/* What is to be measured, and with what: all borrowed. */
struct och_calibrating {
    struct och_mem *mem;
    struct och_executor *executor; /* NULL: one thread */
    unsigned n_threads;            /* at least 1 */
    const struct och_graph_view *graph;
    const uint32_t *probes; /* [n_probes]: rows whose vectors are the queries */
    uint32_t n_probes;
    const struct och_bitset *in; /* what may be found; no probe is */
};

/*
 * Measure.  The result is the same for any number of threads.
 *
 * Errors: what touching rows answers; OCHRE_NO_MEMORY.
 * Cost:   an exact scan for each probe, and walks for some dozen rungs of the ladder.
 */
OCH_MUST_CHECK ochre_status och_calibrate(const struct och_calibrating *calibrating,
        struct och_calibration *calibration_out, struct ochre_error *err);

/* The effort for k nearest at that recall; 0: search exactly. */
uint32_t och_calibration_effort(
        const struct och_calibration *calibration, uint32_t k, float recall);

/* What was measured at that effort's place, for k = 10. */
float och_calibration_recall(const struct och_calibration *calibration, float recall);

#endif /* OCH_INDEX_VECTOR_CALIBRATE_H */
