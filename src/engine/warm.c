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

static struct och_segment *
first_cold(const struct och_view *view)
{
    for (uint32_t i = 0; i < view->n_segments; i++)
        if (och_segment_is_cold(view->segments[i]))
            return view->segments[i];
    return NULL;
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

/* Read a piece, and stand in line again. */
static void
run_piece(struct och_collection *collection)
{
    ochre_status status = OCHRE_OK;
    bool stopped = atomic_load_explicit(&collection->pace.stop, memory_order_relaxed);
    struct och_view *view = och_maintain_view(collection);
    struct och_segment *segment = stopped ? NULL : first_cold(view);
    if (segment != NULL) {
        bool done;
        status = och_segment_warm(segment, collection->engine->ports.kernels, PIECE, &done);
        /* Damage is done with: the next one. */
        if (status == OCHRE_CORRUPT)
            status = OCHRE_OK;
        /* It is worn now: somebody should know. */
        och_maintain_read(collection, view);
    }
    och_view_release(view);
    if (segment == NULL || status != OCHRE_OK || !och_maintain_submit(collection, run_piece))
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
    if (first_cold(view) == NULL)
        return false;
    if (engine->ports.executor == NULL)
        return true;
    uint64_t now_ns = och_machine_monotonic_ns(engine->ports.machine);
    och_mutex_lock(&collection->lock);
    bool mine = !collection->warming.running && now_ns >= collection->warming.not_before_ns;
    collection->warming.running |= mine;
    och_mutex_unlock(&collection->lock);
    if (mine && !och_maintain_submit(collection, run_piece))
        end(collection, OCHRE_NO_MEMORY);
    return true;
}
