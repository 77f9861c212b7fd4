/*
 * warm.h - indexes that were opened are read into memory behind the answers.
 *
 * How long reading all codes and links of a collection takes grows with its rows;
 * what one query needs of them hardly does.  So the first queries look at them where
 * the files are mapped, each page verified before it is looked at, and a background
 * worker reads everything, a piece at a time:
 *
 *      query ──► opens ──► touches what it needs ──► answer, the same as later
 *                 └─ consider ──► background: piece, piece, ... ──► whole
 *                                  └ damage: as at opening, done without
 *
 * Between two pieces the worker takes its place behind whatever else is waiting, so
 * that nothing waits for a large index.  Without background threads an index is read
 * whole when it is opened.
 *
 * Threads: any.
 */
#ifndef OCH_ENGINE_WARM_H
#define OCH_ENGINE_WARM_H

#include <stdbool.h>
#include <stdint.h>

struct och_collection;
struct och_segment;
struct och_vector_index;
struct och_view;

/* A collection's place for it. */
struct och_warming {
    bool running;           /* somebody is at it */
    uint64_t not_before_ns; /* after a failure, by the machine's clock */
};

/* The index of a segment of this collection, or NULL: och_segment_index, or
 * och_segment_whole_index where there are no background threads. */
const struct och_vector_index *och_warm_index(
        struct och_collection *collection, struct och_segment *segment);

/* A query was answered from this view: have what it opened read, unless that is being
 * done.  Returns whether there is something to be read.  Cost: two loads a segment. */
bool och_warm_consider(struct och_collection *collection, const struct och_view *view);

#endif /* OCH_ENGINE_WARM_H */
