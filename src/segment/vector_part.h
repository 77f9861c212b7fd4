/*
 * vector_part.h - have a new segment file carry an index of its vectors.
 *
 * A part for och_seal, for which `context` is a struct och_vector_part.  The file
 * gets the sections of a graph, or none where these rows are better off without
 * or memory does not suffice; searches then read the vectors.
 *
 * Threads: as seal.h.
 */
#ifndef OCH_SEGMENT_VECTOR_PART_H
#define OCH_SEGMENT_VECTOR_PART_H

#include "segment/seal.h"

struct och_executor;
struct och_kernels;

struct och_vector_part {
    const struct och_kernels *kernels;
    struct och_executor *executor; /* helps; NULL: the caller does all */
    uint32_t effort;               /* of a build, at least; 0: the usual */
    bool quick;                    /* for rows that will soon be merged: codes, no links */
    uint32_t graph_rows;           /* fewer rows get no links; 0: the usual */
    uint32_t join_rows;            /* fewer are linked one by one; 0: the usual */
};

/* An och_seal_part's `write`. */
OCH_MUST_CHECK ochre_status och_vector_part_write(void *context, struct och_seal_file *file,
        const struct och_vector_sink *sink, struct ochre_error *err);

#endif /* OCH_SEGMENT_VECTOR_PART_H */
