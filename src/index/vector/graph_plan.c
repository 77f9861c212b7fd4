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

/* A filtered walk that has cost what a scan does is given up for one.  Some take much longer than
 * others: one that is expected to take more than this share of a scan is not begun. */
static const double worth_a_risk = 0.75;

/* A step is a thirty-second; where nothing new is noted, half of what is known is gone after some
 * 700 searches by other plans. */
enum { STEP = 32, FORGET = 1024 };
enum { SCALE_MIN = OCH_PLAN_SCALE_ONE / 8, SCALE_MAX = OCH_PLAN_SCALE_ONE * 8 };

static uint32_t
parts_of(const struct och_plan_scales *scales, size_t plan)
{
    uint32_t parts = atomic_load_explicit(&scales->parts[plan], memory_order_relaxed);
    return parts == 0 ? OCH_PLAN_SCALE_ONE : parts;
}

double
och_plan_scales_get(const struct och_plan_scales *scales, enum och_vector_plan plan)
{
    return scales == NULL ? 1 : (double) parts_of(scales, plan) / OCH_PLAN_SCALE_ONE;
}

/* A little nearer to what was reckoned. */
static uint32_t
forgotten(uint32_t parts)
{
    if (parts > OCH_PLAN_SCALE_ONE)
        return parts - (parts - OCH_PLAN_SCALE_ONE + FORGET - 1) / FORGET;
    return parts + (OCH_PLAN_SCALE_ONE - parts + FORGET - 1) / FORGET;
}

void
och_plan_scales_note(struct och_plan_scales *scales, enum och_vector_plan plan,
        uint64_t expected_ns, uint64_t taken_ns)
{
    for (size_t i = OCH_PLAN_SCAN; i <= OCH_PLAN_TWO_HOP; i++) {
        uint32_t before = parts_of(scales, i), after = forgotten(before);
        if (i == (size_t) plan)
            after = taken_ns > expected_ns ? before + before / STEP : before - before / STEP;
        after = after < SCALE_MIN ? SCALE_MIN : after > SCALE_MAX ? SCALE_MAX : after;
        if (after != before)
            atomic_store_explicit(&scales->parts[i], after, memory_order_relaxed);
    }
}

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

/* What each plan is expected to take, by plan. */
static void
reckon(const struct och_graph_view *graph, uint64_t n_allowed, double kept,
        const struct och_plan_scales *scales, double costs_out[OCH_PLAN_TWO_HOP + 1])
{
    const struct och_quant *quant = graph->coded.quant;
    uint32_t n_rows = graph->coded.rows->n_rows;
    double anywhere = code_anywhere + code_anywhere_element * quant->padded;
    double share = (double) n_allowed / (n_rows == 0 ? 1 : n_rows);
    double n_codes = graph->n_entries + looked_at * kept;
    costs_out[OCH_PLAN_SCAN] = scan_cost(quant, n_allowed, n_rows);
    costs_out[OCH_PLAN_WALK] = (graph->n_entries + looked_at * kept / share) * anywhere;
    costs_out[OCH_PLAN_TWO_HOP] =
            n_codes * anywhere + looked_at * kept / share * (4 * bit + links_anywhere / 4);
    for (enum och_vector_plan plan = OCH_PLAN_SCAN; plan <= OCH_PLAN_TWO_HOP; plan++)
        costs_out[plan] *= och_plan_scales_get(scales, plan);
}

void
och_graph_plan(const struct och_graph_view *graph, uint64_t n_allowed, uint32_t effort,
        size_t n_queries, bool filtered, enum och_vector_plan wanted,
        struct och_graph_cost *cost_out)
{
    const struct och_quant *quant = graph->coded.quant;
    uint32_t n_rows = graph->coded.rows->n_rows;
    const struct och_plan_scales *scales = filtered ? graph->scales : NULL;
    double costs[OCH_PLAN_TWO_HOP + 1];
    reckon(graph, n_allowed, effort, scales, costs);
    *cost_out = (struct och_graph_cost){.plan = OCH_PLAN_SCAN};
    double share = (double) n_allowed / (n_rows == 0 ? 1 : n_rows);
    double front = effort / share * front_margin;
    cost_out->front = front > FRONT_MAX ? FRONT_MAX : (uint32_t) front + 1;
    if (cost_out->front < effort)
        cost_out->front = effort;
    /* Queries that share a request read a scan's codes once. */
    double shared = n_queries >= 16 ? 0.5 : 1 - 0.5 * (double) (n_queries - 1) / 16;
    double scan = costs[OCH_PLAN_SCAN] * shared, least = scan;
    bool possible = effort > 0 && effort < n_rows && graph->n_entries > 0;
    enum och_vector_plan last = filtered ? OCH_PLAN_TWO_HOP : OCH_PLAN_WALK;
    for (enum och_vector_plan plan = OCH_PLAN_WALK; possible && plan <= last; plan++) {
        bool pays = costs[plan] < least && (!filtered || costs[plan] < worth_a_risk * scan);
        if (wanted != plan && (wanted != OCH_PLAN_ANY || !pays))
            continue;
        cost_out->plan = plan;
        least = costs[plan];
    }
    if (wanted == OCH_PLAN_ANY && filtered) {
        double anywhere = code_anywhere + code_anywhere_element * quant->padded;
        double budget =
                costs[OCH_PLAN_SCAN] / anywhere / och_plan_scales_get(scales, cost_out->plan);
        cost_out->budget = budget < BUDGET_MIN ? BUDGET_MIN : (uint64_t) budget;
    }
    cost_out->ns = (uint64_t) (query + query_element * quant->padded + least);
}
