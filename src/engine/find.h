/*
 * find.h - where the record with an id is, for whoever writes.
 *
 * Each written id is looked up, and mostly it is new: then every head and every
 * segment would have to say so.  Once that has been done often enough, one filter
 * (segment/id_filter.h) is made of all their ids, and says it for all of them.
 *
 *      what the filter has:  the ids of every head of the view, and of every segment
 *                            that is marked with the filter's number
 *
 * It is used while all small segments of the view are marked.  A sealed head's segment
 * is marked, and what is made of marked ones; one that came otherwise (of another
 * process) is not, and then a new filter is made in time.  Large segments are few, and
 * are asked themselves: so a filter is of some million ids at most.
 *
 * Threads: the committer's (commit.h), all of it.
 */
#ifndef OCH_ENGINE_FIND_H
#define OCH_ENGINE_FIND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_collection;
struct och_head;
struct och_id_filter;
struct och_segment;

struct och_known_ids {
    struct och_id_filter *filter; /* owned; NULL: none yet */
    uint64_t number;              /* of the filter, and of the last one there was */
    uint64_t n_looked;            /* segments that were asked, since the last try to make one */
    bool in_use;                  /* in this write: it has all there is */
};

/* Where an id's newest version is, as the committer sees it. */
struct och_place {
    struct och_head *head; /* one of the two; both NULL: not there, or dead */
    struct och_segment *segment;
    uint32_t row;
};

/* A write begins: see whether the filter has everything, or make one, if so many
 * were looked up that it pays, and half of the memory is free.
 *
 * Cost: making one reads all small segments' tables of ids. */
void och_find_begin(struct och_collection *collection);

/* It will be asked for soon: have memory send what finding it looks at first. */
void och_find_prefetch(const struct och_collection *collection, struct ochre_bytes id);

/* Find the living record with this id. */
OCH_MUST_CHECK ochre_status och_find(struct och_collection *collection, struct ochre_bytes id,
        struct och_place *place_out, struct ochre_error *err);

/* A row with this id is in the head now: a new record, or one that was elsewhere. */
void och_find_note(struct och_collection *collection, struct ochre_bytes id);

/* Has the filter all ids of the segment? */
bool och_find_knows(const struct och_collection *collection, const struct och_segment *segment);

/* A segment is about to join the view, of ids that the filter has all of: a head's, or
 * what was made of segments it knows. */
void och_find_note_segment(struct och_collection *collection, struct och_segment *segment);

/* Let go of the filter: memory is short. */
void och_find_forget(struct och_collection *collection);

/* Let go of a filter that there are too few segments for. */
void och_find_tidy(struct och_collection *collection);

#endif /* OCH_ENGINE_FIND_H */
