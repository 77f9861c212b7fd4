#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/random.h"
#include "engine/collection.h"
#include "engine/maintain.h"
#include "engine/snapshot.h"
#include "support/check.h"
#include "unit/engine/rig.h"
#include "unit/index/random_metadata.h"

static struct rig rig;
static struct rig_model model;
static struct rig_model wanted;

/* A random write to both. */
static void
write_some(struct och_collection *collection, uint64_t *seed)
{
    static const enum och_write_op ops[] = {
            OCH_WRITE_ADD, OCH_WRITE_UPDATE, OCH_WRITE_UPSERT, OCH_WRITE_DELETE};
    uint32_t numbers[40];
    struct ochre_error err;
    enum och_write_op op = ops[och_random_below(seed, 4)];
    struct rig_write write = {.op = op,
            .numbers = numbers,
            .n = 1 + och_random_below(seed, op == OCH_WRITE_DELETE ? 10 : 40),
            .tag = 1 + (uint32_t) och_random_below(seed, 5),
            .columns = op == OCH_WRITE_DELETE ? 0 : RIG_ALL};
    uint32_t first = (uint32_t) och_random_below(seed, 600);
    for (size_t i = 0; i < write.n; i++)
        numbers[i] = first + (uint32_t) i * 3;
    check_ok(rig_write(&rig, collection, &write, &err), &err);
    model_write(&model, &write);
}

/* Five segments and a head, records of all of them changed and deleted. */
static struct och_collection *
begin(uint64_t seed)
{
    struct ochre_error err;
    model.n = 0;
    rig_begin(&rig);
    rig_reopen(&rig);
    struct och_collection *collection = rig_create(&rig, "things");
    for (int part = 0; part < 6; part++) {
        for (int i = 0; i < 12; i++)
            write_some(collection, &seed);
        if (part < 5)
            check_ok(och_engine_seal_all(rig.engine, &err), &err);
    }
    return collection;
}

static void
end(struct och_collection *collection)
{
    och_collection_release(collection);
    rig_end(&rig);
}

/* What a page should be: the model's records with such a tag, from the offset on. */
static void
slice_model(uint32_t tag, uint64_t offset, uint64_t limit)
{
    uint64_t at = 0;
    wanted.n = 0;
    for (size_t i = 0; i < model.n; i++) {
        if (tag != 0 && model.records[i].fields != tag)
            continue;
        if (at++ >= offset && wanted.n < limit)
            wanted.records[wanted.n++] = model.records[i];
    }
}

static void
check_page(struct och_collection *collection, uint32_t tag, uint64_t offset, uint64_t limit)
{
    struct ochre_error err;
    struct och_arena arena;
    struct och_result *result;
    och_arena_init(&arena, &rig.mem);
    struct ochre_filter_node node = {.op = OCHRE_FILTER_EQ,
            .size = 1,
            .key = text("t"),
            .value = {.type = OCHRE_VALUE_INT, .as.integer = tag}};
    struct ochre_filter plain = {tag == 0 ? NULL : &node, tag == 0 ? 0 : 1};
    struct och_get get = {.select = {.mem = &rig.mem},
            .offset = offset,
            .limit = limit,
            .include = OCHRE_INCLUDE_DOCUMENTS | OCHRE_INCLUDE_METADATAS |
                    OCHRE_INCLUDE_EMBEDDINGS | OCHRE_INCLUDE_URIS};
    check_ok(och_filter_compile(&rig.mem, &arena, &plain, &get.select.filter, &err), &err);
    check_ok(och_engine_get(&rig.mem, collection, &get, &result, &err), &err);
    slice_model(tag, offset, limit);
    check_result(result, &wanted);
    och_result_release(result);
    och_filter_clear(&get.select.filter);
    och_arena_clear(&arena);
}

static void
every_page_is_that_part_of_the_whole(void **state)
{
    (void) state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct och_collection *collection = begin(seed);
        check_collection(&rig, collection, &model);
        check(model.n > 200);
        for (uint32_t tag = 0; tag < 4; tag++) {
            for (uint64_t offset = 0; offset <= model.n + 2; offset++)
                check_page(collection, tag, offset, 1 + offset % 3);
            check_page(collection, tag, 0, 0);
            check_page(collection, tag, 5, UINT64_MAX);
            check_page(collection, tag, UINT64_MAX, UINT64_MAX);
        }
        end(collection);
    }
}

/* The selected rows of a snapshot by skipping and by walking. */
static void
skipping_is_walking_without_looking(void **state)
{
    (void) state;
    struct och_collection *collection = begin(7);
    struct ochre_error err;
    struct och_arena arena;
    struct och_snapshot snapshot;
    och_arena_init(&arena, &rig.mem);
    check_ok(och_snapshot_take(collection, NULL, &arena, &snapshot, &err), &err);
    uint64_t seed = 70;
    for (int round = 0; round < 300; round++) {
        struct och_select select = {.mem = &rig.mem};
        struct och_selected *rows;
        struct och_walk skipping;
        struct och_walk walking;
        check_ok(och_select_rows(&snapshot, &select, &arena, &rows, NULL, &err), &err);
        check_ok(och_walk_begin(&skipping, &snapshot, rows, &arena, &err), &err);
        check_ok(och_walk_begin(&walking, &snapshot, rows, &arena, &err), &err);
        uint32_t at[2][2];
        bool more = true;
        while (more) {
            uint64_t skip = och_random_below(&seed, 60);
            uint64_t step = 1 + och_random_below(&seed, 5);
            och_walk_skip(&skipping, skip);
            for (uint64_t i = 0; i < skip; i++)
                (void) och_walk_next(&walking, &at[0][0], &at[0][1]);
            for (uint64_t i = 0; i < step && more; i++) {
                more = och_walk_next(&skipping, &at[0][0], &at[0][1]);
                check(more == och_walk_next(&walking, &at[1][0], &at[1][1]));
                check(!more || memcmp(at[0], at[1], sizeof(at[0])) == 0);
            }
        }
        och_selected_clear(rows, snapshot.n_sources);
    }
    och_snapshot_release(&snapshot);
    och_arena_clear(&arena);
    end(collection);
}

/* The count that is kept, after writes, undone writes, seals and a restart, is the
 * number of rows that the sources show. */
static void
the_count_is_that_of_the_rows(void **state)
{
    (void) state;
    struct och_collection *collection = begin(8);
    struct ochre_error err;
    uint64_t seed = 80;
    unsigned n_refused = 0;
    for (int round = 0; round < 60; round++) {
        write_some(collection, &seed);
        if (round % 3 == 0) {
            /* Refused at some point, and undone. */
            uint32_t numbers[] = {1000 + (uint32_t) round, 0, 3, 2000 + (uint32_t) round};
            struct rig_write write = {.op = OCH_WRITE_UPSERT,
                    .numbers = numbers,
                    .n = 4,
                    .tag = 2,
                    .columns = RIG_ALL};
            rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + 1 + (uint64_t) round / 3 % 4;
            ochre_status status = rig_write(&rig, collection, &write, &err);
            rig.mem.fail_at = 0;
            check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
            n_refused += status != OCHRE_OK;
            if (status == OCHRE_OK)
                model_write(&model, &write);
        }
        if (round % 20 == 10) {
            och_collection_release(collection);
            rig_reopen(&rig);
            collection = rig_collection(&rig, "things");
        }
        struct och_arena arena;
        struct och_snapshot snapshot;
        och_arena_init(&arena, &rig.mem);
        check_ok(och_snapshot_take(collection, NULL, &arena, &snapshot, &err), &err);
        uint64_t n = 0;
        for (uint32_t i = 0; i < snapshot.n_sources; i++)
            n += och_source_count(&snapshot.sources[i]);
        check(n == model.n && och_snapshot_count(&snapshot) == n);
        och_snapshot_release(&snapshot);
        och_arena_clear(&arena);
    }
    check(n_refused > 3);
    end(collection);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(every_page_is_that_part_of_the_whole),
            cmocka_unit_test(skipping_is_walking_without_looking),
            cmocka_unit_test(the_count_is_that_of_the_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
