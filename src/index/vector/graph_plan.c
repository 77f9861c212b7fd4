#include "index/vector/graph_plan.h"

#include "index/vector/graph_search.h"
#include "index/vector/quant.h"

/*
 * Nanoseconds, measured on 100,000 and 1,000,000 codes of 128 to 1,536 elements
 * (docs/decisions/0009); the part that grows is per element.
 */
static const double code_in_order = 3, code_in_order_element = 0.016;
static const double code_anywhere = 12, code_anywhere_element = 0.045;
static const double links_anywhere = 60;
static const double bit = 1.5;
static const double query = 3000, query_element = 6; /* rotating and measuring */

/* Codes that a walk looks at for each node it keeps, entries apart. */
static const double looked_at = 14;

/* Rows that a filtered walk's front may hold for each that it will find, beyond
 * what chance asks for. */
static const double front_margin = 3;
enum { FRONT_MAX = 16384, BUDGET_MIN = 1024 };

static double
scan_cost(const struct och_quant *quant, uint64_t n_allowed, uint32_t n_rows)
{
    double share = (double) n_allowed / (n_rows == 0 ? 1 : n_rows);
    double anywhere = code_anywhere + code_anywhere_element * quant->padded;
    double in_order = code_in_order + code_in_order_element * quant->padded;
    /* With most rows allowed their codes are read in order. */
    double one = share >= 0.5 ? in_order : anywhere - (anywhere - in_order) * share;
    return (double) n_allowed * one + (double) n_rows / 64 * bit;
}

void
och_graph_plan(const struct och_graph_view *graph, uint64_t n_allowed, uint32_t effort,
        size_t n_queries, bool filtered, enum och_vector_plan wanted,
        struct och_graph_cost *cost_out)
{
    const struct och_quant *quant = graph->coded.quant;
    uint32_t n_rows = graph->coded.rows->n_rows;
    double start = query + query_element * quant->padded;
    double anywhere = code_anywhere + code_anywhere_element * quant->padded;
    double scan = scan_cost(quant, n_allowed, n_rows);
    /* Queries that share a request read a scan's codes once. */
    double shared = n_queries >= 16 ? 0.5 : 1 - 0.5 * (double) (n_queries - 1) / 16;
    double kept = effort;
    double share = (double) n_allowed / (n_rows == 0 ? 1 : n_rows);
    double walk = (graph->n_entries + looked_at * kept / share) * anywhere;
    double two_hop = (graph->n_entries + looked_at * kept) * anywhere +
            looked_at * kept / share * (4 * bit + links_anywhere / 4);
    *cost_out = (struct och_graph_cost){.plan = OCH_PLAN_SCAN};
    double front = kept / share * front_margin;
    cost_out->front = front > FRONT_MAX ? FRONT_MAX : (uint32_t) front + 1;
    if (cost_out->front < effort)
        cost_out->front = effort;
    double budget = scan / anywhere;
    cost_out->budget = budget < BUDGET_MIN ? BUDGET_MIN : (uint64_t) budget;
    double least = scan * shared;
    bool possible = effort > 0 && effort < n_rows && graph->n_entries > 0;
    if (possible && (wanted == OCH_PLAN_WALK || (wanted == OCH_PLAN_ANY && walk < least))) {
        cost_out->plan = OCH_PLAN_WALK;
        least = walk;
    }
    if (possible && filtered &&
            (wanted == OCH_PLAN_TWO_HOP || (wanted == OCH_PLAN_ANY && two_hop < least))) {
        cost_out->plan = OCH_PLAN_TWO_HOP;
        least = two_hop;
    }
    if (wanted != OCH_PLAN_ANY || !filtered)
        cost_out->budget = 0;
    cost_out->ns = (uint64_t) (start + least);
}
