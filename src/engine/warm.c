#include "engine/warm.h"

#include <stdatomic.h>
#include <stddef.h>

#include "engine/collection.h"
#include "engine/engine.h"
#include "engine/maintain_internal.h"
#include "os/clock.h"
#include "segment/segment.h"

/* Read before others have their turn: some ten milliseconds' worth. */
#define PIECE ((uint64_t) 8 << 20)

/* After a failure, which a query will meet too if it matters. */
#define REST_NS UINT64_C(1000000000)

static bool
has_cold(const struct och_view *view)
{
    bool cold = false;
    for (uint32_t i = 0; i < view->n_segments && !cold; i++)
        cold = och_segment_is_cold(view->segments[i]);
    return cold;
}

/* Give the place back. */
static void
end(struct och_collection *collection, ochre_status status)
{
    uint64_t now_ns = och_machine_monotonic_ns(collection->engine->ports.machine);
    och_mutex_lock(&collection->lock);
    collection->warming.running = false;
    if (status != OCHRE_OK)
        collection->warming.not_before_ns = now_ns + REST_NS;
    och_mutex_unlock(&collection->lock);
}

/* Read a piece of the first one that can be read; false when none is left. */
static bool
warm_one(struct och_collection *collection, const struct och_view *view, ochre_status *status_out)
{
    bool found = false, read = false;
    *status_out = OCHRE_OK;
    for (uint32_t i = 0; i < view->n_segments && !read; i++) {
        struct och_segment *segment = view->segments[i];
        bool done;
        if (!och_segment_is_cold(segment))
            continue;
        found = true;
        *status_out = och_segment_warm(segment, collection->engine->ports.kernels, PIECE, &done);
        /* Damage is done with: the next one. */
        if (*status_out == OCHRE_CORRUPT)
            *status_out = OCHRE_OK;
        read = *status_out == OCHRE_OK;
    }
    return found;
}

/* Read a piece, and stand in line again. */
static void
run_piece(struct och_collection *collection)
{
    ochre_status status = OCHRE_OK;
    bool stopped = atomic_load_explicit(&collection->pace.stop, memory_order_relaxed);
    struct och_view *view = och_maintain_view(collection);
    bool found = !stopped && warm_one(collection, view, &status);
    if (found)
        och_maintain_read(collection, view); /* one may be worn now: somebody should know */
    och_view_release(view);
    if (!found || status != OCHRE_OK || !och_maintain_submit(collection, run_piece))
        end(collection, status);
}

const struct och_vector_index *
och_warm_index(struct och_collection *collection, struct och_segment *segment)
{
    const struct och_kernels *kernels = collection->engine->ports.kernels;
    return collection->engine->ports.executor == NULL ? och_segment_whole_index(segment, kernels)
                                                      : och_segment_index(segment, kernels);
}

bool
och_warm_consider(struct och_collection *collection, const struct och_view *view)
{
    struct och_engine *engine = collection->engine;
    if (!has_cold(view))
        return false;
    if (engine->ports.executor == NULL)
        return true;
    uint64_t now_ns = och_machine_monotonic_ns(engine->ports.machine);
    och_mutex_lock(&collection->lock);
    /* What only the past shows stays as it is. */
    bool mine = view == collection->view && !collection->warming.running &&
            now_ns >= collection->warming.not_before_ns;
    collection->warming.running |= mine;
    och_mutex_unlock(&collection->lock);
    if (mine && !och_maintain_submit(collection, run_piece))
        end(collection, OCHRE_NO_MEMORY);
    return true;
}
