#include "http/costs.h"

#include <assert.h>

enum { FALL = 8, RISE = 16 };

static_assert((OCH_HTTP_COSTS_N & (OCH_HTTP_COSTS_N - 1)) == 0, "bits of a kind choose a place");
static_assert(OCH_HTTP_COST_SURE_NS < UINT32_MAX, "it fits a place");

/* A tag of 0 means that a place is free: kinds that have it share another. */
static uint64_t
tag_of(uint64_t kind)
{
    uint64_t tag = kind >> 32;
    return tag == 0 ? 1 : tag;
}

uint64_t
och_http_costs_get(const struct och_http_costs *costs, uint64_t kind)
{
    uint64_t place =
            atomic_load_explicit(&costs->places[kind % OCH_HTTP_COSTS_N], memory_order_relaxed);
    return place >> 32 == tag_of(kind) ? place & UINT32_MAX : OCH_HTTP_COST_UNKNOWN;
}

/* What is known after one more. */
static uint64_t
updated(uint64_t known, uint64_t cost)
{
    if (known == OCH_HTTP_COST_UNKNOWN || cost >= OCH_HTTP_COST_SURE_NS)
        return cost > UINT32_MAX ? UINT32_MAX : cost;
    if (cost <= known)
        return known - (known - cost + FALL - 1) / FALL;
    return known + (cost - known + RISE - 1) / RISE;
}

/* Of two that note at the same time one is lost: it would have changed little. */
void
och_http_costs_note(struct och_http_costs *costs, uint64_t kind, uint64_t cost_ns)
{
    uint64_t cost = updated(och_http_costs_get(costs, kind), cost_ns);
    atomic_store_explicit(&costs->places[kind % OCH_HTTP_COSTS_N], tag_of(kind) << 32 | cost,
            memory_order_relaxed);
}
