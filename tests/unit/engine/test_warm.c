/*
 * test_warm.c - an index is read behind the first answers: they are what they are when
 * it is in memory, whether there is room for it, whether it is damaged, and however many
 * ask meanwhile.
 *
 * Run under ThreadSanitizer (`make check-tsan`) it also shows that nothing is read while
 * it is written.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "engine/collection.h"
#include "engine/maintain.h"
#include "engine/result.h"
#include "engine/warm.h"
#include "index/vector/graph.h"
#include "os/executor.h"
#include "os/thread.h"
#include "os/vfs.h"
#include "segment/segment.h"
#include "sim/sim_disk.h"
#include "support/check.h"
#include "unit/engine/rig.h"

enum { ROWS = 3000, QUERIES = 30, K = 10, THREADS = 3 };

static struct rig rig;
static struct och_mem mem;
static struct och_collection *collection;
static float points[QUERIES][RIG_DIM];
static const uint64_t *as_of; /* NULL: now */

/* What was answered. */
struct answer {
    float distances[K];
    uint32_t places[K];
};

/* --- the one background worker, at a door ------------------------------------------ */

static struct {
    struct och_task task; /* first: the executor hands back its address */
    struct och_mutex lock;
    struct och_cond changed;
    bool is_open, has_passed;
} door;

static void
wait_at_door(struct och_task *task)
{
    (void) task;
    och_mutex_lock(&door.lock);
    while (!door.is_open)
        och_cond_wait(&door.changed, &door.lock);
    door.has_passed = true;
    och_cond_broadcast(&door.changed);
    och_mutex_unlock(&door.lock);
}

static void
close_door(void)
{
    door.task.run = wait_at_door;
    door.is_open = door.has_passed = false;
    och_executor_submit_background(rig.executor, &door.task);
}

static void
open_door(void)
{
    och_mutex_lock(&door.lock);
    door.is_open = true;
    och_cond_broadcast(&door.changed);
    while (!door.has_passed)
        och_cond_wait(&door.changed, &door.lock);
    och_mutex_unlock(&door.lock);
}

/* --- set-up ------------------------------------------------------------------------ */

static struct och_segment *
segment(void)
{
    check(collection->view->n_segments == 1);
    return collection->view->segments[0];
}

/* One segment with a graph, in an engine with one background worker, at the door. */
static void
begin(void)
{
    struct ochre_error err;
    rig_begin(&rig);
    rig.options.merge.graph_rows = 600;
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_create(&rig, "things");
    for (uint32_t i = 0; i < ROWS; i += 500)
        rig_add(&rig, collection, i, 500, 1);
    check_ok(och_engine_compact(rig.engine, collection, &err), &err);
    check(och_segment_has_graph(segment()));
    och_collection_release(collection);
    rig_close(&rig);
    uint64_t seed = 5;
    for (size_t q = 0; q < QUERIES; q++)
        for (size_t d = 0; d < RIG_DIM; d++)
            points[q][d] = (float) och_random_below(&seed, ROWS);
    och_mutex_init(&door.lock);
    och_cond_init(&door.changed);
    och_mem_init(&mem, NULL);
}

static void
open_with_worker(void)
{
    struct ochre_error err;
    check_ok(och_executor_open(&mem, 0, 1, &rig.executor, &err), &err);
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_collection(&rig, "things");
    close_door();
}

static void
close_with_worker(void)
{
    och_collection_release(collection);
    rig_close(&rig);
    och_executor_close(rig.executor);
    rig.executor = NULL;
}

static void
end(void)
{
    rig_end(&rig);
    och_cond_clear(&door.changed);
    och_mutex_clear(&door.lock);
    check(och_mem_used(&mem) == 0);
}

/* --- asking ------------------------------------------------------------------------ */

static void
must(bool condition, const char *what)
{
    if (condition)
        return;
    (void) fprintf(stderr, "%s\n", what);
    abort();
}

/* On any thread, whatever is going on. */
static void
ask(size_t q, bool exact, struct answer *answer)
{
    struct och_result *result;
    struct och_query query = {.select = {.mem = &rig.mem},
            .queries = points[q],
            .n_queries = 1,
            .dim = RIG_DIM,
            .k = K,
            .exact = exact,
            .as_of = as_of,
            .include = OCHRE_INCLUDE_DISTANCES};
    must(och_engine_query(&rig.mem, collection, &query, &result, NULL) == OCHRE_OK, "a query");
    must(result->lists[0].n == K, "too few hits");
    for (size_t i = 0; i < K; i++) {
        const struct ochre_hit *hit = &result->lists[0].hits[i];
        answer->distances[i] = hit->distance;
        answer->places[i] = 0;
        for (size_t at = 0; at < hit->id.size; at++)
            answer->places[i] = answer->places[i] * 31 + (unsigned char) hit->id.data[at];
    }
    och_result_release(result);
}

static void
ask_all(bool exact, struct answer answers[QUERIES])
{
    for (size_t q = 0; q < QUERIES; q++)
        ask(q, exact, &answers[q]);
}

static bool
is_same(const struct answer *a, const struct answer *b)
{
    return memcmp(a->distances, b->distances, sizeof(a->distances)) == 0 &&
            memcmp(a->places, b->places, sizeof(a->places)) == 0;
}

static void
check_same(const struct answer a[QUERIES], const struct answer b[QUERIES])
{
    for (size_t q = 0; q < QUERIES; q++)
        check(is_same(&a[q], &b[q]));
}

static uint64_t
memory_of_index(void)
{
    struct och_vector_stats stats;
    const struct och_vector_index *index = och_segment_index(segment(), rig.kernels);
    check(index != NULL);
    index->kind->stats(index, 0.99F, &stats);
    return stats.memory;
}

/* --- tests ------------------------------------------------------------------------- */

static void
the_first_answers_do_not_wait_for_the_index(void **state)
{
    (void) state;
    static struct answer alone[QUERIES], cold[QUERIES], warm[QUERIES];
    struct ochre_error err;
    begin();
    /* Without background threads all is read at once. */
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_collection(&rig, "things");
    ask_all(false, alone);
    check(!och_segment_is_cold(segment()));
    och_collection_release(collection);
    rig_close(&rig);

    open_with_worker();
    check(!och_segment_is_cold(segment())); /* not even open */
    ask_all(false, cold);
    check(och_segment_is_cold(segment()));
    uint64_t before = memory_of_index();
    open_door();
    och_maintain_drain(rig.engine);
    check(!och_segment_is_cold(segment()));
    uint64_t large = segment()->sections[OCH_GRAPH_SECTION_CODES].size +
            segment()->sections[OCH_GRAPH_SECTION_LINKS].size;
    check(memory_of_index() == before + large);
    ask_all(false, warm);
    check_same(alone, cold);
    check_same(cold, warm);
    close_with_worker();
    end();
}

static void
without_room_it_stays_where_it_is_mapped(void **state)
{
    (void) state;
    static struct answer cold[QUERIES], warm[QUERIES];
    begin();
    open_with_worker();
    ask_all(false, cold);
    uint64_t before = memory_of_index();
    rig.mem.limit = och_mem_used(&rig.mem) + ((size_t) 100 << 10); /* a page, not the codes */
    check(segment()->sections[OCH_GRAPH_SECTION_CODES].size > (uint64_t) 100 << 10);
    open_door();
    och_maintain_drain(rig.engine);
    check(!och_segment_is_cold(segment()) && memory_of_index() == before);
    rig.mem.limit = SIZE_MAX;
    ask_all(false, warm);
    check_same(cold, warm);
    close_with_worker();
    end();
}

static void
flip(uint64_t at)
{
    char path[OCH_PATH_SIZE_MAX];
    och_segment_path(path, sizeof(path), collection->id, segment()->id);
    check(sim_disk_flip(rig.disk, path, at, 3));
}

/* Whoever meets damage answers from the rows; who looks at everything, in the background,
 * meets it for sure. */
static void
damage_is_found_behind_the_answers_at_the_latest(void **state)
{
    (void) state;
    static struct answer exact[QUERIES], whole[QUERIES], cold[QUERIES], later[QUERIES];
    begin();
    open_with_worker();
    ask_all(true, exact);
    ask_all(false, whole);
    open_door();
    close_with_worker();
    for (int kind = OCH_GRAPH_SECTION_CODES; kind <= OCH_GRAPH_SECTION_LINKS; kind++) {
        for (int part = 0; part < 4; part++) {
            open_with_worker();
            const struct och_section *section = &segment()->sections[kind];
            uint64_t at = section->offset + section->size * (uint64_t) part / 4 + 100;
            flip(at);
            ask_all(false, cold);
            for (size_t q = 0; q < QUERIES; q++)
                check(is_same(&cold[q], &exact[q]) || is_same(&cold[q], &whole[q]));
            open_door();
            och_maintain_drain(rig.engine);
            check(!och_segment_has_index(segment()) && och_segment_is_worn(segment()));
            ask_all(false, later);
            check_same(exact, later);
            flip(at);
            close_with_worker();
        }
    }
    end();
}

/* What a pin shows lies in files of its own, and so does their index. */
static void
a_pins_index_is_read_behind_its_answers_too(void **state)
{
    (void) state;
    static struct answer cold[QUERIES], warm[QUERIES];
    struct ochre_error err;
    struct och_collection_row row = {.id = {.bytes = {0xf0}},
            .tenant = {"", 0},
            .database = {"pins", 4},
            .name = {"pin", 3}};
    begin();
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_collection(&rig, "things");
    const uint64_t position = och_collection_position(collection);
    check_ok(rig_fork(&rig, collection, &row, &err), &err);
    rig_add(&rig, collection, ROWS, 500, 1);
    check_ok(och_engine_compact(rig.engine, collection, &err), &err);
    och_collection_release(collection);
    rig_close(&rig);

    open_with_worker();
    as_of = &position;
    ask_all(false, cold);
    struct och_collection *pin = och_engine_loaded(rig.engine, row.id);
    check(pin != NULL && pin->view->n_segments == 1);
    check(och_segment_is_cold(pin->view->segments[0]));
    open_door();
    och_maintain_drain(rig.engine);
    check(!och_segment_is_cold(pin->view->segments[0]));
    ask_all(false, warm);
    check_same(cold, warm);
    as_of = NULL;
    och_collection_release(pin);
    close_with_worker();
    end();
}

static ochre_status
refuse_read(struct och_file *file, uint64_t offset, void *to, size_t size, size_t *n_read_out,
        struct ochre_error *err)
{
    (void) file;
    (void) offset;
    (void) to;
    (void) size;
    (void) err;
    *n_read_out = 0;
    return OCHRE_IO;
}

static ochre_status
refuse_open(struct och_vfs *vfs, const char *path, unsigned flags, struct och_file **file_out,
        struct ochre_error *err)
{
    (void) vfs;
    (void) path;
    (void) flags;
    (void) err;
    *file_out = NULL;
    return OCHRE_IO;
}

/* What cannot be read now keeps nothing else where it is. */
static void
what_cannot_be_read_is_passed_over(void **state)
{
    (void) state;
    static struct answer cold[QUERIES];
    struct ochre_error err;
    begin();
    check_ok(rig_open(&rig, &err), &err);
    collection = rig_collection(&rig, "things");
    rig_add(&rig, collection, ROWS, 600, 1);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    och_collection_release(collection);
    rig_close(&rig);

    open_with_worker();
    check(collection->view->n_segments == 2);
    ask_all(false, cold);
    struct och_view *view = och_view_retain(collection->view);
    struct och_segment *first = view->segments[0], *second = view->segments[1];
    check(och_segment_is_cold(first) && och_segment_is_cold(second));
    const struct och_file_ops *ops = first->file->ops;
    struct och_file_ops unreadable = *ops;
    struct och_vfs_ops closed = *first->vfs->ops; /* it would be opened once more */
    struct och_vfs nowhere = {.ops = &closed};
    struct och_vfs *vfs = first->vfs;
    unreadable.read = refuse_read;
    closed.open = refuse_open;
    first->file->ops = &unreadable;
    first->vfs = &nowhere;
    open_door();
    och_maintain_drain(rig.engine);
    check(och_segment_is_cold(first));
    check(!och_segment_is_cold(second));
    first->file->ops = ops;
    first->vfs = vfs;
    och_view_release(view);
    close_with_worker();
    end();
}

/* --- many at once ------------------------------------------------------------------ */

static struct answer wanted[QUERIES];

static void
ask_on_thread(void *context)
{
    struct answer answer;
    size_t first = *(const size_t *) context;
    for (size_t i = 0; i < (size_t) 3 * QUERIES; i++) {
        size_t q = (first + i) % QUERIES;
        ask(q, false, &answer);
        must(is_same(&answer, &wanted[q]), "another answer");
    }
}

static void
who_asks_while_it_is_read_gets_the_same(void **state)
{
    (void) state;
    begin();
    open_with_worker();
    ask_all(false, wanted);
    open_door();
    close_with_worker();
    for (int round = 0; round < 4; round++) {
        struct och_thread threads[THREADS];
        size_t firsts[THREADS];
        open_with_worker();
        open_door();
        for (size_t i = 0; i < THREADS; i++) {
            firsts[i] = i * 7;
            check(och_thread_start(&threads[i], "ask", ask_on_thread, &firsts[i], NULL) ==
                    OCHRE_OK);
        }
        for (size_t i = 0; i < THREADS; i++)
            och_thread_join(&threads[i]);
        och_maintain_drain(rig.engine);
        check(!och_segment_is_cold(segment()));
        close_with_worker();
    }
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_first_answers_do_not_wait_for_the_index),
            cmocka_unit_test(without_room_it_stays_where_it_is_mapped),
            cmocka_unit_test(damage_is_found_behind_the_answers_at_the_latest),
            cmocka_unit_test(a_pins_index_is_read_behind_its_answers_too),
            cmocka_unit_test(what_cannot_be_read_is_passed_over),
            cmocka_unit_test(who_asks_while_it_is_read_gets_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
