#include "index/vector/topk.h"

#include <math.h>

#include "base/arena.h"

static bool
is_before(const struct och_near *a, const struct och_near *b)
{
    if (a->distance != b->distance)
        return a->distance < b->distance;
    return a->ordinal < b->ordinal;
}

/* Put `item` where the hole at `at` is, or above it. */
static void
sift_up(struct och_near *items, uint32_t at, struct och_near item)
{
    while (at > 0) {
        uint32_t parent = (at - 1) / 2;
        if (!is_before(&items[parent], &item))
            break;
        items[at] = items[parent];
        at = parent;
    }
    items[at] = item;
}

/* Put `item` where the hole at the top of n items is, or below it. */
static void
sift_down(struct och_near *items, uint32_t n, struct och_near item)
{
    uint64_t at = 0;
    for (uint64_t child = 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && is_before(&items[child], &items[child + 1]))
            child++;
        if (!is_before(&item, &items[child]))
            break;
        items[at] = items[child];
        at = child;
    }
    items[at] = item;
}

ochre_status
och_topk_make(struct och_topk *best, struct och_arena *arena, uint32_t k, uint64_t n_candidates)
{
    uint32_t capacity = n_candidates < k ? (uint32_t) n_candidates : k;
    *best = (struct och_topk){.bound = -INFINITY};

    struct och_near *items = och_arena_take_array(arena, capacity, sizeof(*items));
    if (items == NULL)
        return OCHRE_NO_MEMORY;
    *best = (struct och_topk){
            .items = items,
            .capacity = capacity,
            .bound = capacity == 0 ? -INFINITY : INFINITY,
    };
    return OCHRE_OK;
}

bool
och_topk_offer(struct och_topk *best, struct och_near candidate)
{
    och_assert(!isnan(candidate.distance));
    och_assert(!best->sorted);

    if (best->capacity == 0)
        return false;
    if (best->n < best->capacity) {
        sift_up(best->items, best->n, candidate);
        best->n++;
    } else if (is_before(&candidate, &best->items[0])) {
        sift_down(best->items, best->n, candidate);
    } else {
        return false;
    }
    if (best->n == best->capacity)
        best->bound = best->items[0].distance;
    return true;
}

void
och_topk_withdraw(struct och_topk *best, uint32_t source)
{
    och_assert(!best->sorted);
    uint32_t n_held = best->n;
    best->n = 0;
    /* What stays goes back in, behind where it is read. */
    for (uint32_t i = 0; i < n_held; i++) {
        struct och_near item = best->items[i];
        if (item.source != source)
            sift_up(best->items, best->n++, item);
    }
    if (best->capacity > 0 && best->n < best->capacity)
        best->bound = INFINITY;
}

void
och_topk_sort(struct och_topk *best)
{
    if (best->sorted)
        return;
    /* The worst of what is left goes behind it, again and again. */
    for (uint32_t n = best->n; n > 1; n--) {
        struct och_near last = best->items[n - 1];
        best->items[n - 1] = best->items[0];
        sift_down(best->items, n - 1, last);
    }
    best->sorted = true;
}
