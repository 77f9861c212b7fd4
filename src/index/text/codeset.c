#include "index/text/codeset.h"

#include <string.h>

#include "base/mem.h"

#define SURROGATE_FIRST 0xd800u
#define SURROGATE_LAST 0xdfffu
#define ROOM_MIN ((size_t) 8)

void
och_codeset_init(struct och_codeset *set, struct och_mem *mem)
{
    *set = (struct och_codeset){.mem = mem};
}

void
och_codeset_clear(struct och_codeset *set)
{
    och_mem_release(set->mem, set->ranges, set->room * sizeof(*set->ranges));
    och_codeset_init(set, set->mem);
}

/* Room for `n` more ranges.  There are at most 2^20 ranges that do not touch,
 * so nothing overflows. */
static bool
reserve(struct och_codeset *set, size_t n)
{
    if (set->failed || n <= set->room - set->n)
        return !set->failed;
    size_t room = set->room == 0 ? ROOM_MIN : set->room * 2;
    while (room < set->n + n)
        room *= 2;
    struct och_code_range *ranges = och_mem_resize(
            set->mem, set->ranges, set->room * sizeof(*ranges), room * sizeof(*ranges));
    if (ranges == NULL) {
        set->failed = true;
        return false;
    }
    set->ranges = ranges;
    set->room = room;
    return true;
}

/* The first range that ends at or after `code_point`. */
static size_t
seek(const struct och_codeset *set, uint32_t code_point)
{
    size_t low = 0;
    size_t high = set->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->ranges[middle].last < code_point)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void
add_characters(struct och_codeset *set, uint32_t first, uint32_t last)
{
    if (!reserve(set, 1))
        return;

    /* Most sets are built in order, at their end. */
    struct och_code_range *end = set->ranges + set->n;
    if (set->n == 0 || end[-1].last + 1 < first) {
        *end = (struct och_code_range){first, last};
        set->n++;
        return;
    }
    if (end[-1].first <= first) {
        if (end[-1].last < last)
            end[-1].last = last;
        return;
    }

    /* The ranges from `from` up to `to` touch the new one and melt into it. */
    size_t from = seek(set, first == 0 ? 0 : first - 1);
    size_t to = from;
    while (to < set->n && set->ranges[to].first <= last + 1)
        to++;
    if (from < to) {
        if (set->ranges[from].first < first)
            first = set->ranges[from].first;
        if (set->ranges[to - 1].last > last)
            last = set->ranges[to - 1].last;
    }
    if (to < set->n && to != from + 1)
        memmove(set->ranges + from + 1, set->ranges + to, (set->n - to) * sizeof(*set->ranges));
    set->n = set->n - (to - from) + 1;
    set->ranges[from] = (struct och_code_range){first, last};
}

void
och_codeset_add(struct och_codeset *set, uint32_t first, uint32_t last)
{
    if (first < SURROGATE_FIRST && last >= SURROGATE_FIRST) {
        add_characters(set, first, SURROGATE_FIRST - 1);
        first = SURROGATE_FIRST;
    }
    if (first >= SURROGATE_FIRST && first <= SURROGATE_LAST)
        first = SURROGATE_LAST + 1;
    if (first <= last)
        add_characters(set, first, last);
}

bool
och_codeset_has(const struct och_codeset *set, uint32_t code_point)
{
    size_t at = seek(set, code_point);
    return at < set->n && set->ranges[at].first <= code_point;
}

/*
 * The one merge behind the four operations.  It walks both sets from boundary
 * to boundary; bit (1 if in a) + (2 if in b) of `kept` says whether what lies
 * between two boundaries belongs to the result.
 */
static void
combine(struct och_codeset *a, const struct och_codeset *b, unsigned kept)
{
    struct och_codeset result;
    och_codeset_init(&result, a->mem);
    result.failed = a->failed || b->failed;
    (void) reserve(&result, a->n + b->n + 1); /* nearly always enough */

    size_t ai = 0;
    size_t bi = 0;
    uint32_t at = 0;
    while (at <= OCH_CODE_POINT_MAX && !result.failed) {
        while (ai < a->n && a->ranges[ai].last < at)
            ai++;
        while (bi < b->n && b->ranges[bi].last < at)
            bi++;
        bool in_a = ai < a->n && a->ranges[ai].first <= at;
        bool in_b = bi < b->n && b->ranges[bi].first <= at;

        uint32_t end = OCH_CODE_POINT_MAX + 1;
        if (ai < a->n)
            end = in_a ? a->ranges[ai].last + 1 : a->ranges[ai].first;
        uint32_t b_end = end;
        if (bi < b->n)
            b_end = in_b ? b->ranges[bi].last + 1 : b->ranges[bi].first;
        if (b_end < end)
            end = b_end;

        if ((kept >> (in_a * 1u + in_b * 2u) & 1u) != 0)
            och_codeset_add(&result, at, end - 1);
        at = end;
    }
    och_codeset_clear(a);
    *a = result;
}

void
och_codeset_unite(struct och_codeset *set, const struct och_codeset *other)
{
    if (other->n == 0) {
        set->failed = set->failed || other->failed;
        return;
    }
    combine(set, other, 1u << 1 | 1u << 2 | 1u << 3);
}

void
och_codeset_intersect(struct och_codeset *set, const struct och_codeset *other)
{
    combine(set, other, 1u << 3);
}

void
och_codeset_subtract(struct och_codeset *set, const struct och_codeset *other)
{
    combine(set, other, 1u << 1);
}

void
och_codeset_differ(struct och_codeset *set, const struct och_codeset *other)
{
    combine(set, other, 1u << 1 | 1u << 2);
}

void
och_codeset_negate(struct och_codeset *set)
{
    static const struct och_codeset nothing = {0};
    combine(set, &nothing, 1u << 0);
}
