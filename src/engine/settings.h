/*
 * settings.h - what people decided about a collection, as far as the engine acts
 * on it: a few values of its schema, which only the api layer can read.
 *
 * The space is fixed when a collection is made.  The rest may change, and counts
 * for reads and index builds that begin after the change.
 *
 * Threads: any; plain values.
 */
#ifndef OCH_ENGINE_SETTINGS_H
#define OCH_ENGINE_SETTINGS_H

#include <stdint.h>

#include "ochre/status.h"
#include "ochre/types.h"

struct och_collection_settings {
    ochre_space space;
    /* The share of the true 10 nearest that an answer holds on average, in (0, 1];
     * at 1 every search is exact. */
    float recall_target;
    /* What a client asked of its graph in so many words; 0: nothing.  An index
     * may do more, to reach the recall, and not less: candidates that a search
     * and a build keep, and links of a row.  For searches the standard counts as
     * asked for, unless another recall was asked for; a query may ask for its own. */
    uint32_t ef_search_floor;
    uint32_t ef_construction_floor;
    uint32_t max_neighbors_floor;
};

/* Candidates with which our graph finds as much as Chroma's with the floor's: of ten
 * neighbours among 1,000,000 x 128, 40 find .990, 60 .9954 and 100 .998, where theirs
 * finds .9955 with 100. */
static inline uint32_t
och_settings_effort_min(const struct och_collection_settings *settings)
{
    return (uint32_t) ((uint64_t) settings->ef_search_floor * 2 / 3);
}

/* Read them from a collection's schema; filled in by the composer. */
typedef ochre_status (*och_settings_of)(void *context, struct ochre_bytes schema,
        struct och_collection_settings *settings_out, struct ochre_error *err);

#endif /* OCH_ENGINE_SETTINGS_H */
