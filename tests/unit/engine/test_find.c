/* Ids and the filter of them: what is written finds what is there, whatever is sealed,
 * merged, undone or loaded meanwhile, and whether or not there is a filter. */
#include <string.h>

#include "base/random.h"
#include "engine/collection.h"
#include "os/vfs.h"
#include "segment/segment.h"
#include "sim/sim_disk.h"
#include "support/check.h"
#include "unit/engine/rig.h"

static struct rig rig;
static struct rig_model model;
static struct och_collection *collection;

static int
set_up(void **state)
{
    (void) state;
    struct ochre_error err;
    memset(&model, 0, sizeof(model));
    rig_begin(&rig);
    rig.options.head_rows_max = 16;
    rig.options.merge.fan_in = 100; /* none, unless a test wants them */
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_create(&rig, "things");
    return 0;
}

static int
tear_down(void **state)
{
    (void) state;
    och_collection_release(collection);
    rig_end(&rig);
    return 0;
}

static void
put(enum och_write_op op, uint32_t first, uint32_t n, uint32_t tag)
{
    uint32_t numbers[64];
    struct ochre_error err;
    check(n <= 64);
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = first + i;
    struct rig_write write = {.op = op, .numbers = numbers, .n = n, .tag = tag, .columns = RIG_ALL};
    check_ok(rig_write(&rig, collection, &write, &err), &err);
    model_write(&model, &write);
}

/* Add until there is a filter, and it is used. */
static uint32_t
fill(void)
{
    uint32_t next = 0;
    while (!collection->known.in_use) {
        check(next < 1000);
        put(OCH_WRITE_ADD, next, 8, 1);
        next += 8;
    }
    check(collection->known.filter != NULL);
    check(collection->view->n_segments >= 4);
    return next;
}

/* What is there is found wherever it is, and what is new is new. */
static void
try_all(uint32_t next)
{
    put(OCH_WRITE_ADD, 0, 64, 7); /* all there: ignored */
    put(OCH_WRITE_UPDATE, 3, 20, 8);
    put(OCH_WRITE_UPSERT, next - 4, 12, 9);
    put(OCH_WRITE_DELETE, 10, 5, 0);
    put(OCH_WRITE_DELETE, next + 100, 3, 0);
    put(OCH_WRITE_ADD, 8, 9, 10);
    check_collection(&rig, collection, &model);
}

static void
a_filter_is_made_once_it_pays(void **state)
{
    (void) state;
    put(OCH_WRITE_ADD, 0, 40, 1);
    check(collection->known.filter == NULL); /* two segments are asked themselves */
    uint32_t next = fill();
    try_all(next);
    check(collection->known.in_use);
}

static void
whoever_joins_later_is_known(void **state)
{
    (void) state;
    uint32_t next = fill();
    uint64_t number = collection->known.number;
    uint32_t n_segments = collection->view->n_segments;
    for (; collection->view->n_segments < n_segments + 4; next += 16)
        put(OCH_WRITE_ADD, next, 16, 2);
    put(OCH_WRITE_ADD, next, 1, 2);
    check(collection->known.in_use && collection->known.number == number);
    try_all(next);
}

static void
merged_segments_are_known_and_too_few_need_no_filter(void **state)
{
    (void) state;
    struct ochre_error err;
    uint32_t next = fill();
    uint64_t number = collection->known.number;
    rig.engine->options.merge.fan_in = 2;
    put(OCH_WRITE_ADD, next, 16, 2);
    next += 16;
    for (; collection->view->n_segments >= 4; next += 16)
        put(OCH_WRITE_ADD, next, 16, 2);
    check(collection->known.filter == NULL && !collection->known.in_use);
    try_all(next);
    check_ok(och_engine_compact(rig.engine, collection, &err), &err);
    try_all(next + 50);
    check(collection->known.number == number);
}

/* A segment that came otherwise: the filter is not used, and then there is another. */
static void
a_segment_that_is_not_known_is_asked(void **state)
{
    (void) state;
    uint32_t next = fill();
    uint64_t number = collection->known.number;
    collection->view->segments[1]->filter_id = 0;
    put(OCH_WRITE_ADD, 0, 1, 3);
    check(!collection->known.in_use);
    try_all(next);
    for (unsigned i = 0; i < 1000 && !collection->known.in_use; i++)
        put(OCH_WRITE_ADD, 0, 32, 3);
    check(collection->known.in_use && collection->known.number == number + 1);
    try_all(next + 64);
}

static void
a_filter_that_is_full_makes_way(void **state)
{
    (void) state;
    uint32_t next = fill();
    uint64_t number = collection->known.number;
    for (uint32_t i = 0; i < 5000; i++)
        och_find_note(collection, (struct ochre_bytes){(const char *) &i, sizeof(i)});
    put(OCH_WRITE_ADD, next, 1, 3);
    check(!collection->known.in_use);
    for (unsigned i = 0; i < 1000 && !collection->known.in_use; i++)
        put(OCH_WRITE_ADD, 0, 32, 3);
    check(collection->known.number == number + 1);
    try_all(next + 1);
}

/* Undone writes leave ids in the filter, which only costs a look. */
static void
a_write_that_fails_changes_nothing(void **state)
{
    (void) state;
    struct ochre_error err;
    uint32_t next = fill();
    uint32_t numbers[] = {next, next + 1};
    struct rig_write write = {
            .op = OCH_WRITE_ADD, .numbers = numbers, .n = 2, .tag = 4, .columns = RIG_ALL};
    sim_disk_fail(rig.disk, 1, SIM_FULL_ONCE);
    check(rig_write(&rig, collection, &write, &err) == OCHRE_FULL);
    put(OCH_WRITE_ADD, next, 2, 5);
    try_all(next + 2);
}

static void
without_memory_all_are_asked(void **state)
{
    (void) state;
    uint32_t next = 0;
    for (; collection->view->n_segments < 8; next += 16) {
        collection->known.n_looked = 0;
        put(OCH_WRITE_ADD, next, 16, 1);
    }
    check(collection->known.filter == NULL);
    rig.mem.limit = 2 * och_mem_used(&rig.mem) + 10000; /* a filter takes 8,192 */
    collection->known.n_looked = 1000000;
    put(OCH_WRITE_ADD, 0, 8, 2);
    check(collection->known.filter == NULL && collection->known.n_looked < 1000000);
    rig.mem.limit = SIZE_MAX;
    try_all(next);
}

/* A damaged table of ids is everyone's problem but the filter's: there is none, and whoever
 * needs what is damaged says so. */
static void
with_a_damaged_table_there_is_no_filter(void **state)
{
    (void) state;
    struct ochre_error err;
    char path[OCH_PATH_SIZE_MAX];
    uint32_t next = 0;
    for (; collection->view->n_segments < 8; next += 16) {
        collection->known.n_looked = 0;
        put(OCH_WRITE_ADD, next, 16, 1);
    }
    const struct och_segment *fourth = collection->view->segments[3];
    uint64_t offset = fourth->sections[OCH_SECTION_ID_TABLE].offset;
    och_segment_path(path, sizeof(path), collection->id, fourth->id);
    for (unsigned is_damaged = 0; is_damaged < 2; is_damaged++) {
        check_ok(och_engine_seal_all(rig.engine, &err), &err); /* opening looks for no id then */
        och_collection_release(collection);
        rig_reopen(&rig);
        collection = rig_collection(&rig, "things");
        collection->known.n_looked = 1000000;
        if (is_damaged == 1)
            check(sim_disk_flip(rig.disk, path, offset, 3));
        struct rig_write write = {
                .op = OCH_WRITE_ADD, .numbers = &next, .n = 1, .tag = 3, .columns = RIG_ALL};
        ochre_status status = rig_write(&rig, collection, &write, &err);
        check((collection->known.filter == NULL) == (is_damaged == 1));
        check(collection->known.in_use == (is_damaged == 0));
        check(status == OCHRE_OK || (is_damaged == 1 && status == OCHRE_CORRUPT));
        if (status == OCHRE_OK) {
            model_write(&model, &write);
            next++;
        }
    }
    check(sim_disk_flip(rig.disk, path, offset, 3));
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    try_all(next);
}

/* Some of the segments become too large for the filter. */
static void
large_segments_are_asked_beside_the_filter(void **state)
{
    (void) state;
    rig.engine->options.small_rows = 16;
    put(OCH_WRITE_ADD, 0, 64, 1); /* one head, however full */
    put(OCH_WRITE_ADD, 64, 64, 1);
    check(collection->view->n_segments == 2 && collection->view->segments[0]->n_rows == 64);
    uint32_t next = 128;
    while (!collection->known.in_use) {
        check(next < 1000);
        put(OCH_WRITE_ADD, next, 8, 1);
        next += 8;
    }
    check(collection->view->segments[0]->filter_id == 0);
    check(collection->view->segments[2]->filter_id == collection->known.number);
    check(!och_find_knows(collection, collection->view->segments[0]));
    try_all(next);
    check(collection->known.in_use);
}

static void
random_writes(uint64_t seed)
{
    unsigned n_used = 0;
    unsigned n_makes = 0;
    for (unsigned step = 0; step < 1500; step++) {
        enum och_write_op op = (enum och_write_op)(OCH_WRITE_ADD + och_random_below(&seed, 4));
        uint32_t n = 1 + (uint32_t) och_random_below(&seed, 20);
        uint64_t number = collection->known.number;
        put(op, (uint32_t) och_random_below(&seed, 600), n, step + 1);
        n_used += collection->known.in_use;
        n_makes += collection->known.number != number;
        rig.engine->options.merge.fan_in = och_random_below(&seed, 30) == 0 ? 3 : 100;
        if (och_random_below(&seed, 200) == 0) {
            och_collection_release(collection);
            rig_reopen(&rig);
            collection = rig_collection(&rig, "things");
        }
        if (step % 100 == 99)
            check_collection(&rig, collection, &model);
    }
    check(n_used > 100 && n_makes > 3);
}

static void
at_random(void **state)
{
    (void) state;
    random_writes(5);
}

static void
at_random_with_large_segments(void **state)
{
    (void) state;
    rig.options.small_rows = 40;
    rig.engine->options.small_rows = 40;
    random_writes(6);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test_setup_teardown(a_filter_is_made_once_it_pays, set_up, tear_down),
            cmocka_unit_test_setup_teardown(whoever_joins_later_is_known, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    merged_segments_are_known_and_too_few_need_no_filter, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    a_segment_that_is_not_known_is_asked, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_filter_that_is_full_makes_way, set_up, tear_down),
            cmocka_unit_test_setup_teardown(a_write_that_fails_changes_nothing, set_up, tear_down),
            cmocka_unit_test_setup_teardown(without_memory_all_are_asked, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    with_a_damaged_table_there_is_no_filter, set_up, tear_down),
            cmocka_unit_test_setup_teardown(
                    large_segments_are_asked_beside_the_filter, set_up, tear_down),
            cmocka_unit_test_setup_teardown(at_random, set_up, tear_down),
            cmocka_unit_test_setup_teardown(at_random_with_large_segments, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
