#include "engine/merge_policy.h"

/* At rest a segment is written again for rows that come to 1/REST_RATIO of it,
 * and after a long rest for fewer. */
#define REST_RATIO 4u
#define QUIET_RATIO 32u

/* More than there are with any number of rows. */
#define TIERS_MAX 40u

struct choice {
    const struct och_merge_policy *policy;
    const struct och_merge_segment *segments;
    size_t n;
    uint32_t *chosen;
    size_t n_chosen;
};

static uint64_t
living(const struct choice *choice, uint32_t i)
{
    return choice->segments[i].rows - choice->segments[i].dead;
}

/* In rows of a full head, by number or by size, whatever is more. */
static uint64_t
weight(const struct choice *choice, uint32_t i)
{
    const struct och_merge_segment *segment = &choice->segments[i];
    uint64_t unit = choice->policy->tier_bytes / choice->policy->tier_rows;
    uint64_t rows = living(choice, i);
    uint64_t by_size = segment->rows == 0 ? 0 : segment->bytes / unit * rows / segment->rows;
    return rows > by_size ? rows : by_size;
}

/* Full heads, of which some rows have died, are in the middle of a tier. */
static unsigned
tier_of(const struct och_merge_policy *policy, uint64_t weight)
{
    uint64_t least = policy->tier_rows / 2;
    while (least >= policy->fan_in)
        least /= policy->fan_in;
    least = least == 0 ? 1 : least;
    unsigned tier = 0;
    for (; weight >= least && tier < TIERS_MAX; least *= policy->fan_in)
        tier++;
    return tier;
}

/* Choose the segments of tiers from..to, the lightest first; by insertion,
 * because there are few, and those of old directories come sorted. */
static void
choose_tiers(struct choice *choice, unsigned from, unsigned to)
{
    for (uint32_t i = 0; i < choice->n; i++) {
        unsigned tier = tier_of(choice->policy, weight(choice, i));
        if (tier < from || tier > to)
            continue;
        size_t at = choice->n_chosen++;
        for (; at > 0 && weight(choice, choice->chosen[at - 1]) > weight(choice, i); at--)
            choice->chosen[at] = choice->chosen[at - 1];
        choice->chosen[at] = i;
    }
}

/* Keep the lightest ones that fit into a segment together; their weight. */
static uint64_t
keep_fitting(struct choice *choice)
{
    const struct och_merge_policy *policy = choice->policy;
    uint64_t rows = 0;
    uint64_t bytes = 0;
    uint64_t sum = 0;
    size_t n = 0;
    for (; n < choice->n_chosen; n++) {
        uint32_t i = choice->chosen[n];
        rows += living(choice, i);
        bytes += choice->segments[i].bytes;
        if (rows > policy->rows_max || bytes > policy->bytes_max)
            break;
        sum += weight(choice, i);
    }
    choice->n_chosen = n;
    return sum;
}

/* One alone is not merged. */
static bool
settled(struct choice *choice)
{
    if (choice->n_chosen < 2)
        choice->n_chosen = 0;
    return choice->n_chosen > 0;
}

/* --- the rules -------------------------------------------------------------- */

/* Segments of which nothing lives go, at no cost. */
static bool
choose_empty(struct choice *choice)
{
    for (uint32_t i = 0; i < choice->n; i++)
        if (living(choice, i) == 0)
            choice->chosen[choice->n_chosen++] = i;
    return choice->n_chosen > 0;
}

/* One with more than this share of dead rows. */
static bool
choose_dead(struct choice *choice, uint32_t percent)
{
    for (uint32_t i = 0; i < choice->n; i++) {
        const struct och_merge_segment *segment = &choice->segments[i];
        if (living(choice, i) <= choice->policy->rows_max &&
                (uint64_t) segment->dead * 100 > (uint64_t) segment->rows * percent) {
            choice->chosen[choice->n_chosen++] = i;
            return true;
        }
    }
    return false;
}

/* How many segments are of a tier. */
static size_t
count_tier(const struct choice *choice, unsigned tier)
{
    size_t n = 0;
    for (uint32_t i = 0; i < choice->n; i++)
        n += tier_of(choice->policy, weight(choice, i)) == tier;
    return n;
}

/* All of a tier that has fan_in; and if what comes of them completes a higher
 * tier, that too, rather than write the rows once for each. */
static bool
choose_tier(struct choice *choice)
{
    const struct och_merge_policy *policy = choice->policy;
    for (unsigned tier = 0; tier <= TIERS_MAX; tier++) {
        if (count_tier(choice, tier) < policy->fan_in)
            continue;
        choose_tiers(choice, tier, tier);
        uint64_t sum = keep_fitting(choice);
        if (!settled(choice))
            continue;
        unsigned last = tier;
        for (unsigned to = tier_of(policy, sum); to > last; to = tier_of(policy, sum)) {
            if (count_tier(choice, to) + 1 < policy->fan_in)
                break;
            size_t before = choice->n_chosen;
            choose_tiers(choice, last + 1, to);
            last = to;
            sum = keep_fitting(choice);
            if (choice->n_chosen <= before)
                break;
        }
        return settled(choice);
    }
    return false;
}

/* The heaviest one that the lighter ones together come to 1/ratio of, and these. */
static bool
choose_rest(struct choice *choice, unsigned ratio)
{
    choose_tiers(choice, 0, TIERS_MAX);
    (void) keep_fitting(choice);
    uint64_t lighter = 0;
    size_t n = 0;
    for (size_t i = 0; i < choice->n_chosen; i++) {
        uint64_t one = weight(choice, choice->chosen[i]);
        if (i > 0 && one <= ratio * lighter)
            n = i + 1;
        lighter += one;
    }
    choice->n_chosen = n;
    return settled(choice);
}

static bool
choose_without_graph(struct choice *choice)
{
    uint32_t least = choice->policy->graph_rows;
    for (uint32_t i = 0; i < choice->n && least > 0; i++) {
        uint64_t rows = living(choice, i);
        if (!choice->segments[i].has_graph && rows >= least && rows <= choice->policy->rows_max) {
            choice->chosen[choice->n_chosen++] = i;
            return true;
        }
    }
    return false;
}

/* One whose indexes are damaged: every search of it looks at all rows. */
static bool
choose_worn(struct choice *choice)
{
    for (uint32_t i = 0; i < choice->n; i++) {
        if (choice->segments[i].is_worn && living(choice, i) <= choice->policy->rows_max) {
            choice->chosen[choice->n_chosen++] = i;
            return true;
        }
    }
    return false;
}

static bool
choose_all(struct choice *choice)
{
    choose_tiers(choice, 0, TIERS_MAX);
    (void) keep_fitting(choice);
    return settled(choice);
}

static void
sort_chosen(struct choice *choice)
{
    for (size_t i = 1; i < choice->n_chosen; i++) {
        uint32_t one = choice->chosen[i];
        size_t at = i;
        for (; at > 0 && choice->chosen[at - 1] > one; at--)
            choice->chosen[at] = choice->chosen[at - 1];
        choice->chosen[at] = one;
    }
}

size_t
och_merge_choose(const struct och_merge_policy *policy, enum och_merge_mode mode,
        const struct och_merge_segment *segments, size_t n, uint32_t *chosen)
{
    struct choice choice = {.policy = policy, .segments = segments, .n = n};
    choice.chosen = chosen;
    bool found = choose_empty(&choice);
    if (mode == OCH_MERGE_ALL) {
        found = found || choose_all(&choice) || choose_dead(&choice, 0) || choose_worn(&choice) ||
                choose_without_graph(&choice);
    } else if (mode == OCH_MERGE_DEAD) {
        found = found || choose_dead(&choice, 0) || choose_worn(&choice);
    } else {
        found = found || choose_dead(&choice, policy->dead_percent) || choose_worn(&choice) ||
                choose_tier(&choice);
        if (mode != OCH_MERGE_TIERS)
            found = found || choose_rest(&choice, REST_RATIO) || choose_without_graph(&choice);
        if (mode == OCH_MERGE_QUIET)
            found = found || choose_rest(&choice, QUIET_RATIO);
    }
    if (!found)
        return 0;
    sort_chosen(&choice);
    return choice.n_chosen;
}
