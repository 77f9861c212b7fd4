/*
 * index_status.h - how far a collection's vectors are indexed.
 *
 * Every record is found from the moment it is written; an index only makes that
 * cheaper.  It is made in the background, for files that are large enough:
 *
 *      head ──► file without an index ──► file with a graph
 *      └─ unindexed where a graph is to come ─┘
 *
 * Threads: any.
 */
#ifndef OCH_ENGINE_INDEX_STATUS_H
#define OCH_ENGINE_INDEX_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_collection;
struct och_mem;

struct och_index_status {
    uint64_t n_operations;   /* write requests so far */
    uint64_t rows;           /* records there are */
    uint64_t unindexed_rows; /* of them those that wait for an index, and will get one */
    uint32_t n_segments;     /* files */
    uint32_t n_graph_segments;
    float recall_target;   /* the collection's, now */
    bool is_measured;      /* some graph has measured itself, and then: */
    float measured_recall; /* the lowest that one has reached with... */
    uint32_t effort;       /* ...the most candidates that one keeps for it */
    uint64_t n_audited;    /* live queries that were answered again, exactly (audit.h) */
    float audited_recall;  /* of the latest of them; below 0: none yet */
};

/*
 * Sum up what is published now.
 *
 * Errors: as och_collection_usable, and OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_engine_index_status(struct och_mem *mem,
        struct och_collection *collection, struct och_index_status *status_out,
        struct ochre_error *err);

#endif /* OCH_ENGINE_INDEX_STATUS_H */
