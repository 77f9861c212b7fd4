#include <string.h>

#include "base/random.h"
#include "engine/merge_policy.h"
#include "support/check.h"

enum { N_MAX = 2000, HEAD = 8192, ROW_BYTES = 1000, ROWS_MAX = 1 << 22 };

static const struct och_merge_policy usual = {.tier_rows = HEAD,
        .tier_bytes = 32 << 20,
        .fan_in = 8,
        .rows_max = ROWS_MAX,
        .bytes_max = (uint64_t) 64 << 30,
        .dead_percent = 20};

/* A collection of segments to which the policy is applied. */
struct world {
    const struct och_merge_policy *policy;
    struct och_merge_segment segments[N_MAX];
    size_t n;
    uint64_t n_written; /* rows that merges wrote */
};

static void
add(struct world *world, uint32_t rows, uint32_t dead)
{
    check(world->n < N_MAX);
    world->segments[world->n++] = (struct och_merge_segment){
            .rows = rows, .dead = dead, .bytes = (uint64_t) rows * ROW_BYTES};
}

static struct world *
begin(const struct och_merge_policy *policy)
{
    static struct world world;
    memset(&world, 0, sizeof(world));
    world.policy = policy;
    return &world;
}

/* Do what it says once; how many segments became one. */
static size_t
merge(struct world *world, enum och_merge_mode mode)
{
    static uint32_t chosen[N_MAX];
    size_t n = och_merge_choose(world->policy, mode, world->segments, world->n, chosen);
    check(n <= world->n);
    if (n == 0)
        return 0;
    uint64_t rows = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        check(chosen[i] < world->n && (i == 0 || chosen[i - 1] < chosen[i]));
        rows += world->segments[chosen[i]].rows - world->segments[chosen[i]].dead;
        bytes += world->segments[chosen[i]].bytes;
    }
    check(rows <= world->policy->rows_max && bytes <= world->policy->bytes_max);
    world->n_written += rows;
    for (size_t i = n; i > 0; i--) {
        world->n--;
        memmove(&world->segments[chosen[i - 1]], &world->segments[chosen[i - 1] + 1],
                (world->n - chosen[i - 1]) * sizeof(world->segments[0]));
    }
    if (rows > 0) {
        add(world, (uint32_t) rows, 0);
        world->segments[world->n - 1].has_graph = rows >= world->policy->graph_rows;
    }
    return n;
}

static unsigned
settle(struct world *world, enum och_merge_mode mode)
{
    unsigned n = 0;
    while (merge(world, mode) > 0) {
        n++;
        check(n < 10000);
    }
    return n;
}

/* --- one rule at a time ------------------------------------------------------------ */

static void
nothing_is_merged_where_there_is_nothing_to_gain(void **state)
{
    (void) state;
    static const enum och_merge_mode modes[] = {
            OCH_MERGE_TIERS, OCH_MERGE_IDLE, OCH_MERGE_QUIET, OCH_MERGE_ALL};
    for (size_t i = 0; i < 4; i++) {
        struct world *world = begin(&usual);
        check(merge(world, modes[i]) == 0);
        add(world, 5000, 0);
        check(merge(world, modes[i]) == 0);
    }
    struct world *world = begin(&usual);
    for (int i = 0; i < 7; i++)
        add(world, HEAD, 0);
    check(merge(world, OCH_MERGE_TIERS) == 0);
}

static void
eight_of_a_kind_become_one(void **state)
{
    (void) state;
    struct world *world = begin(&usual);
    for (int i = 0; i < 8; i++)
        add(world, HEAD - (uint32_t) i * 100, (uint32_t) i * 10);
    add(world, 8 * HEAD, 0);
    add(world, 100, 0); /* much lighter, much heavier: of other tiers */
    check(merge(world, OCH_MERGE_TIERS) == 8);
    check(world->n == 3);
    check(merge(world, OCH_MERGE_TIERS) == 0);
}

/* Rows that fill a head by their bytes count as much as a head full of small ones. */
static void
large_rows_weigh_by_their_bytes(void **state)
{
    (void) state;
    struct world *world = begin(&usual);
    for (int i = 0; i < 4; i++) {
        add(world, HEAD, 0);
        add(world, 300, 0);
        world->segments[world->n - 1].bytes = 30 << 20;
    }
    check(merge(world, OCH_MERGE_TIERS) == 8);
}

/* Rather than write rows twice: what completes a higher tier is merged with it. */
static void
a_merge_that_completes_the_next_tier_takes_it_along(void **state)
{
    (void) state;
    struct world *world = begin(&usual);
    for (int i = 0; i < 7; i++)
        add(world, 64 * HEAD, 0);
    for (int i = 0; i < 7; i++)
        add(world, 8 * HEAD, 0);
    for (int i = 0; i < 8; i++)
        add(world, HEAD, 0);
    check(merge(world, OCH_MERGE_TIERS) == 22);
    check(world->n == 1 && world->segments[0].rows == 512 * HEAD);
}

static void
a_segment_with_many_dead_rows_is_rewritten(void **state)
{
    (void) state;
    struct world *world = begin(&usual);
    add(world, 1000, 200);
    add(world, 1000, 201);
    check(merge(world, OCH_MERGE_TIERS) == 1);
    check(world->n == 2 && world->segments[0].dead == 200 && world->segments[1].rows == 799);
    check(merge(world, OCH_MERGE_TIERS) == 0);
    check(merge(world, OCH_MERGE_ALL) == 2);
    check(world->n == 1 && world->segments[0].rows == 1599);
}

static void
segments_of_the_dead_go_together(void **state)
{
    (void) state;
    struct world *world = begin(&usual);
    add(world, 10, 10);
    add(world, HEAD, 1);
    add(world, 1 << 24, 1 << 24);
    check(merge(world, OCH_MERGE_TIERS) == 2);
    check(world->n == 1 && world->n_written == 0);
}

static void
what_is_too_large_stays_as_it_is(void **state)
{
    (void) state;
    static const enum och_merge_mode modes[] = {
            OCH_MERGE_TIERS, OCH_MERGE_IDLE, OCH_MERGE_QUIET, OCH_MERGE_ALL};
    for (size_t i = 0; i < 4; i++) {
        struct world *world = begin(&usual);
        for (int j = 0; j < 9; j++)
            add(world, ROWS_MAX / 2 + 1, 0);
        add(world, ROWS_MAX + 1, 0);
        add(world, 2 * ROWS_MAX, ROWS_MAX - 1); /* too large without its dead, too */
        check(merge(world, modes[i]) == 0);
        world->segments[0].rows--; /* two halves fit */
        world->segments[1].rows--;
        check(merge(world, modes[i]) == 2);
    }
}

static void
bytes_are_limited_too(void **state)
{
    (void) state;
    struct och_merge_policy policy = usual;
    policy.bytes_max = 3 * (uint64_t) HEAD * ROW_BYTES;
    struct world *world = begin(&policy);
    for (int i = 0; i < 10; i++)
        add(world, HEAD, 0);
    check(merge(world, OCH_MERGE_TIERS) == 3);
    check(merge(world, OCH_MERGE_ALL) == 3);
}

/* At rest a segment is written again only for what comes to a quarter of it. */
static void
at_rest_the_heavy_wait_until_it_pays(void **state)
{
    (void) state;
    struct world *world = begin(&usual);
    add(world, 1000000, 0);
    add(world, 100000, 0);
    add(world, 30000, 0);
    check(merge(world, OCH_MERGE_IDLE) == 2); /* 100,000 for 30,000 */
    check(merge(world, OCH_MERGE_IDLE) == 0); /* but not 1,000,000 for 130,000 */
    add(world, 120000, 0);
    check(merge(world, OCH_MERGE_IDLE) == 3);
    check(world->n == 1);
}

/* After a long rest it is written again for what comes to 1/32 of it. */
static void
after_a_long_rest_less_pays(void **state)
{
    (void) state;
    struct world *world = begin(&usual);
    add(world, 1000000, 0);
    add(world, 30000, 0);
    check(merge(world, OCH_MERGE_IDLE) == 0);
    check(merge(world, OCH_MERGE_QUIET) == 0);
    add(world, 2000, 0);
    check(merge(world, OCH_MERGE_IDLE) == 0);
    check(merge(world, OCH_MERGE_QUIET) == 3);
    check(world->n == 1 && merge(world, OCH_MERGE_QUIET) == 0);
    add(world, 31000, 0);
    add(world, 31000, 0); /* first what pays sooner */
    check(merge(world, OCH_MERGE_QUIET) == 2 && merge(world, OCH_MERGE_QUIET) == 2);
    check(world->n == 1);
}

static void
at_rest_a_large_segment_gets_its_graph(void **state)
{
    (void) state;
    struct och_merge_policy policy = usual;
    policy.graph_rows = 5000;
    struct world *world = begin(&policy);
    add(world, 4999, 0);
    check(merge(world, OCH_MERGE_IDLE) == 0 && merge(world, OCH_MERGE_ALL) == 0);
    add(world, 50000, 0);
    check(merge(world, OCH_MERGE_TIERS) == 0);
    check(merge(world, OCH_MERGE_IDLE) == 1 && world->segments[1].has_graph);
    check(merge(world, OCH_MERGE_IDLE) == 0);
    check(merge(world, OCH_MERGE_ALL) == 2);
    check(merge(world, OCH_MERGE_ALL) == 0);
}

static void
a_segment_with_damaged_indexes_is_written_anew(void **state)
{
    (void) state;
    static const enum och_merge_mode modes[] = {OCH_MERGE_TIERS, OCH_MERGE_IDLE, OCH_MERGE_ALL};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        struct och_merge_segment segments[] = {{.rows = 900000, .bytes = 1}, {.rows = 60000},
                {.rows = 50000000, .is_worn = true}, {.rows = 9000, .is_worn = true}};
        uint32_t chosen[4] = {0};
        /* One that is too large stays as it is. */
        if (modes[i] == OCH_MERGE_ALL)
            segments[0].rows = segments[1].rows = usual.rows_max + 1;
        check(och_merge_choose(&usual, modes[i], segments, 4, chosen) == 1 && chosen[0] == 3);
        segments[3].is_worn = false;
        check(och_merge_choose(&usual, modes[i], segments, 4, chosen) == 0 || chosen[0] != 3);
    }
}

/* --- what it comes to ---------------------------------------------------------------- */

/* A steady stream: never many segments, and no row is written often. */
static void
a_stream_of_full_heads_is_written_three_times_more_at_most(void **state)
{
    (void) state;
    struct world *world = begin(&usual);
    size_t most = 0;
    for (uint64_t i = 1; i <= 1024; i++) {
        add(world, HEAD, 0);
        (void) settle(world, OCH_MERGE_TIERS);
        most = world->n > most ? world->n : most;
        check(world->n_written <= 3 * i * HEAD);
    }
    check(world->n == 2 && most <= 2 + 3 * 7);
}

/* The worst that a writer who pauses again and again can do. */
static void
bursts_with_pauses_leave_few_segments_and_little_to_write(void **state)
{
    (void) state;
    static const uint32_t bursts[] = {1024, 8192, 100};
    static const uint64_t times[] = {13, 10, 18}; /* that a row is written, as measured */
    for (size_t b = 0; b < 3; b++) {
        struct world *world = begin(&usual);
        uint64_t n = 1000000 / bursts[b];
        size_t most = 0;
        for (uint64_t i = 1; i <= n; i++) {
            add(world, bursts[b], 0);
            (void) settle(world, OCH_MERGE_IDLE);
            most = world->n > most ? world->n : most;
        }
        check(most <= 7);
        check(world->n_written < times[b] * n * bursts[b]);
        /* With long ones fewer are left, for more. */
        world = begin(&usual);
        for (uint64_t i = 1; i <= n; i++) {
            add(world, bursts[b], 0);
            (void) settle(world, OCH_MERGE_QUIET);
            most = world->n > most ? world->n : most;
        }
        check(most <= 7 && world->n_written < 4 * times[b] * n * bursts[b]);
    }
}

/* A directory of before there were merges. */
static void
a_backlog_is_written_once(void **state)
{
    (void) state;
    struct world *world = begin(&usual);
    for (int i = 0; i < 122; i++)
        add(world, HEAD, 0);
    check(settle(world, OCH_MERGE_TIERS) == 1);
    check(world->n == 1 && world->n_written == 122 * HEAD);
    world = begin(&usual);
    for (int i = 0; i < 1500; i++)
        add(world, HEAD, 0);
    (void) settle(world, OCH_MERGE_TIERS);
    check(world->n <= 3 && world->n_written == 1500 * HEAD);
}

/* Random histories: it ends, nothing too large is made, at rest each is heavier
 * than four times the lighter ones or cannot be merged with them. */
static void
random_histories_come_to_rest(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed < 300; seed++) {
        uint64_t random = seed;
        struct och_merge_policy policy = usual;
        policy.fan_in = 2 + (uint32_t) och_random_below(&random, 9);
        policy.rows_max = 1u << (10 + och_random_below(&random, 13));
        policy.tier_rows = 1 + (uint32_t) och_random_below(&random, 20000);
        policy.graph_rows = (uint32_t) och_random_below(&random, 2) * 50000;
        struct world *world = begin(&policy);
        for (int step = 0; step < 60; step++) {
            uint32_t rows = 1u + (uint32_t) och_random_below(&random, 1u << (step % 20));
            add(world, rows, (uint32_t) och_random_below(&random, rows + 1));
            uint32_t victim = (uint32_t) och_random_below(&random, world->n);
            struct och_merge_segment *segment = &world->segments[victim];
            segment->dead +=
                    (uint32_t) och_random_below(&random, segment->rows - segment->dead + 1);
            (void) settle(world, OCH_MERGE_TIERS);
            check(world->n <= 22 * policy.fan_in || policy.rows_max < 1u << 20);
            if (step % 7 == 0)
                (void) settle(world, step % 2 == 0 ? OCH_MERGE_IDLE : OCH_MERGE_QUIET);
        }
        (void) settle(world, OCH_MERGE_ALL);
        for (size_t i = 0; i < world->n; i++)
            check(world->segments[i].dead == 0 || world->segments[i].rows > policy.rows_max);
        for (size_t i = 0; i < world->n; i++)
            for (size_t j = 0; j < i; j++)
                check((uint64_t) world->segments[i].rows + world->segments[j].rows >
                        policy.rows_max);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(nothing_is_merged_where_there_is_nothing_to_gain),
            cmocka_unit_test(eight_of_a_kind_become_one),
            cmocka_unit_test(large_rows_weigh_by_their_bytes),
            cmocka_unit_test(a_merge_that_completes_the_next_tier_takes_it_along),
            cmocka_unit_test(a_segment_with_many_dead_rows_is_rewritten),
            cmocka_unit_test(segments_of_the_dead_go_together),
            cmocka_unit_test(what_is_too_large_stays_as_it_is),
            cmocka_unit_test(bytes_are_limited_too),
            cmocka_unit_test(at_rest_the_heavy_wait_until_it_pays),
            cmocka_unit_test(after_a_long_rest_less_pays),
            cmocka_unit_test(at_rest_a_large_segment_gets_its_graph),
            cmocka_unit_test(a_segment_with_damaged_indexes_is_written_anew),
            cmocka_unit_test(a_stream_of_full_heads_is_written_three_times_more_at_most),
            cmocka_unit_test(bursts_with_pauses_leave_few_segments_and_little_to_write),
            cmocka_unit_test(a_backlog_is_written_once),
            cmocka_unit_test(random_histories_come_to_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
