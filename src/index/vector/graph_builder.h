/*
 * graph_builder.h - from rows to codes, links and a calibration.
 *
 * Threads: one builds, and lends work to the executor.
 */
#ifndef OCH_INDEX_VECTOR_GRAPH_BUILDER_H
#define OCH_INDEX_VECTOR_GRAPH_BUILDER_H

#include <stdint.h>

#include "base/compiler.h"
#include "index/vector/calibrate.h"
#include "index/vector/graph_build.h"
#include "index/vector/index.h"
#include "index/vector/quant.h"
#include "ochre/status.h"

/* Candidates that a walk keeps at most; beyond, scanning codes costs less. */
#define OCH_GRAPH_EFFORT_MAX 4096u

struct och_graph_builder {
    const struct och_vector_build *build; /* borrowed */
    uint32_t n_rows;
    unsigned n_threads;
    struct och_quant quant;
    uint8_t *codes4, *codes7; /* owned: of all rows; codes7 until the links are made */
    uint32_t *nodes;          /* owned: [n_rows], the first n_nodes used */
    uint32_t *strays;         /* owned: [n_rows], the first n_strays used */
    uint32_t (*copies)[2];    /* owned: [n_rows], the first n_copies used; ascending */
    uint32_t n_nodes, n_strays, n_copies;
    struct och_graph_kept kept; /* no links: nothing is kept */
    struct och_graph_build graph;
    struct och_calibration calibration;
};

/*
 * Build.  `builder` is zeroed before, but for `kept`, and to be cleared afterwards in any case.
 *
 * Errors: as och_vector_index_kind.build.
 */
OCH_MUST_CHECK ochre_status och_graph_builder_run(struct och_graph_builder *builder,
        const struct och_vector_build *build, struct ochre_error *err);
void och_graph_builder_clear(struct och_graph_builder *builder); /* a zeroed one is fine */

#endif /* OCH_INDEX_VECTOR_GRAPH_BUILDER_H */
