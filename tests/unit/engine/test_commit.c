#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "os/thread.h"
#include "sim/sim_disk.h"
#include "support/check.h"
#include "unit/engine/rig.h"

static struct rig rig;
static struct rig_model model, other_model;

static struct och_collection *
begin(void)
{
    struct ochre_error err;
    memset(&model, 0, sizeof(model));
    memset(&other_model, 0, sizeof(other_model));
    rig_begin(&rig);
    check_ok(rig_open(&rig, &err), &err);
    return rig_create(&rig, "things");
}

static void
end(struct och_collection *collection)
{
    och_collection_release(collection);
    rig_end(&rig);
}

/* --- groups ---------------------------------------------------------------------- */

/* A request on a thread of its own. */
struct waiter {
    struct och_thread thread;
    struct och_mem mem;
    struct och_buf payload;
    struct och_commit_request request;
    struct ochre_error err;
    ochre_status status;
};

static void
wait_for_commit(void *argument)
{
    struct waiter *waiter = argument;
    waiter->status = och_commit_run(rig.engine->commit, &waiter->request, &waiter->err);
}

/* Start a request while the role is taken, and see it queued: queueing clears
 * its `done`. */
static void
queue(struct waiter *waiter, struct och_collection *collection, const struct rig_write *write)
{
    memset(waiter, 0, sizeof(*waiter));
    och_mem_init(&waiter->mem, NULL);
    och_buf_init(&waiter->payload, &waiter->mem, OCH_WRITE_SIZE_MAX);
    rig_encode(&waiter->payload, write);
    waiter->request = (struct och_commit_request){.collection = collection,
            .payload = {waiter->payload.data, waiter->payload.size},
            .done = true};
    check(och_thread_start(&waiter->thread, "waiter", wait_for_commit, waiter, NULL) == OCHRE_OK);
    while (__atomic_load_n(&waiter->request.done, __ATOMIC_ACQUIRE))
        ;
}

/* The same for a delete of what is selected. */
static void
queue_delete(struct waiter *waiter, struct och_collection *collection, struct och_select *select)
{
    memset(waiter, 0, sizeof(*waiter));
    waiter->request = (struct och_commit_request){
            .collection = collection, .doomed = select, .limit = UINT64_MAX, .done = true};
    check(och_thread_start(&waiter->thread, "waiter", wait_for_commit, waiter, NULL) == OCHRE_OK);
    while (__atomic_load_n(&waiter->request.done, __ATOMIC_ACQUIRE))
        ;
}

static ochre_status
answer_of(struct waiter *waiter)
{
    och_thread_join(&waiter->thread);
    och_buf_clear(&waiter->payload);
    return waiter->status;
}

static struct rig_write
add_of(const uint32_t *number, uint32_t tag, uint32_t dim)
{
    return (struct rig_write){.op = OCH_WRITE_ADD,
            .numbers = number,
            .n = 1,
            .tag = tag,
            .columns = RIG_ALL,
            .dim = dim};
}

static void
queued_requests_share_one_sync_in_their_order(void **state)
{
    (void) state;
    enum { N = 8 };
    static struct waiter waiters[N];
    struct och_collection *collection = begin();
    struct och_collection *other = rig_create(&rig, "others");
    struct och_log_stats before = och_engine_stats(rig.engine).log;
    uint32_t number = 5;
    och_commit_enter(rig.engine->commit);
    for (uint32_t i = 0; i < N; i++) {
        struct rig_write write = add_of(&number, i + 1, 0);
        write.op = OCH_WRITE_UPSERT;
        queue(&waiters[i], i % 2 == 0 ? collection : other, &write);
        model_write(i % 2 == 0 ? &model : &other_model, &write);
    }
    och_commit_leave(rig.engine->commit);
    for (uint32_t i = 0; i < N; i++)
        check_ok(answer_of(&waiters[i]), &waiters[i].err);
    struct och_log_stats after = och_engine_stats(rig.engine).log;
    check(after.n_groups == before.n_groups + 1 && after.n_records == before.n_records + N);
    check_collection(&rig, collection, &model); /* the last of them won */
    check_collection(&rig, other, &other_model);
    och_collection_release(other);
    end(collection);
}

static void
the_second_of_two_first_adds_must_have_the_firsts_dimension(void **state)
{
    (void) state;
    static struct waiter waiters[3];
    struct och_collection *collection = begin();
    const uint32_t numbers[] = {1, 2, 3};
    struct rig_write first = add_of(&numbers[0], 1, RIG_DIM);
    struct rig_write second = add_of(&numbers[1], 2, RIG_DIM + 1);
    struct rig_write third = add_of(&numbers[2], 3, RIG_DIM);
    och_commit_enter(rig.engine->commit);
    queue(&waiters[0], collection, &first);
    queue(&waiters[1], collection, &second);
    queue(&waiters[2], collection, &third);
    och_commit_leave(rig.engine->commit);
    check_ok(answer_of(&waiters[0]), &waiters[0].err);
    check(answer_of(&waiters[1]) == OCHRE_INVALID);
    check_ok(answer_of(&waiters[2]), &waiters[2].err);
    model_write(&model, &first);
    model_write(&model, &third);
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
a_log_that_refuses_undoes_the_whole_group(void **state)
{
    (void) state;
    static struct waiter waiters[4];
    struct ochre_error err;
    struct och_collection *collection = begin();
    rig_add(&rig, collection, 0, 10, 1);
    const uint32_t numbers[] = {0, 3, 20, 4};
    struct rig_write seed = {.op = OCH_WRITE_ADD,
            .numbers = (const uint32_t[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
            .n = 10,
            .tag = 1,
            .columns = RIG_ALL};
    model_write(&model, &seed);
    for (int round = 0; round < 2; round++) {
        struct rig_write writes[4] = {
                {.op = OCH_WRITE_UPDATE,
                        .numbers = &numbers[0],
                        .n = 2,
                        .tag = 7,
                        .columns = RIG_ALL},
                {.op = OCH_WRITE_DELETE, .numbers = &numbers[1], .n = 1},
                {.op = OCH_WRITE_ADD, .numbers = &numbers[2], .n = 1, .tag = 8, .columns = RIG_ALL},
                {.op = OCH_WRITE_UPSERT,
                        .numbers = &numbers[1],
                        .n = 3,
                        .tag = 9,
                        .columns = RIG_ALL},
        };
        och_commit_enter(rig.engine->commit);
        for (int i = 0; i < 4; i++)
            queue(&waiters[i], collection, &writes[i]);
        sim_disk_fail(rig.disk, 1, round == 0 ? SIM_IO_ONCE : SIM_FULL_FROM);
        och_commit_leave(rig.engine->commit);
        for (int i = 0; i < 4; i++) {
            ochre_status status = answer_of(&waiters[i]);
            check(status == (round == 0 ? OCHRE_IO : OCHRE_FULL));
            check(waiters[i].err.message[0] != '\0');
        }
        sim_disk_fail(rig.disk, 0, SIM_IO_ONCE);
        check_collection(&rig, collection, &model);
    }
    struct rig_write write = {
            .op = OCH_WRITE_UPSERT, .numbers = numbers, .n = 4, .tag = 11, .columns = RIG_ALL};
    check_ok(rig_write(&rig, collection, &write, &err), &err);
    model_write(&model, &write);
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
a_failed_first_write_pins_no_dimension(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin();
    const uint32_t number = 1;
    struct rig_write wide = add_of(&number, 1, RIG_DIM + 3);
    struct och_collection *other = rig_create(&rig, "others");
    rig_add(&rig, other, 0, 1, 1); /* the log has its file */
    och_collection_release(other);
    sim_disk_fail(rig.disk, 4, SIM_IO_ONCE); /* behind what marks it in REACH */
    check(rig_write(&rig, collection, &wide, &err) == OCHRE_IO);
    check_collection(&rig, collection, &model);
    const uint32_t numbers[] = {1, 2, 3};
    struct rig_write narrow = add_of(numbers, 2, RIG_DIM);
    narrow.n = 3;
    check_ok(rig_write(&rig, collection, &narrow, &err), &err);
    model_write(&model, &narrow);
    check_collection(&rig, collection, &model);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
a_delete_by_filter_sees_what_the_group_did_before_it(void **state)
{
    (void) state;
    static struct waiter waiters[2];
    struct ochre_error err;
    struct och_collection *collection = begin();
    const uint32_t numbers[] = {1, 2};
    struct rig_write first = add_of(&numbers[0], 5, 0);
    och_commit_enter(rig.engine->commit);
    queue(&waiters[0], collection, &first);
    /* The delete waits on a thread too, behind the add and before an update. */
    struct ochre_filter_node node = {.op = OCHRE_FILTER_EQ, .size = 1, .key = {"t", 1}};
    node.value = (struct ochre_value){.type = OCHRE_VALUE_INT, .as.integer = 5};
    struct ochre_filter filter = {&node, 1};
    struct och_mem mem;
    struct och_arena arena;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    struct och_select select = {.mem = &rig.mem};
    check_ok(och_filter_compile(&mem, &arena, &filter, &select.filter, &err), &err);
    struct rig_write nothing = add_of(&numbers[1], 6, 0);
    struct waiter *doomed = &waiters[1];
    queue_delete(doomed, collection, &select);
    och_commit_leave(rig.engine->commit);
    check_ok(answer_of(&waiters[0]), &waiters[0].err);
    och_thread_join(&doomed->thread);
    check_ok(doomed->status, &doomed->err);
    check(doomed->request.n_deleted == 1);
    check_collection(&rig, collection, &model);
    check_ok(rig_write(&rig, collection, &nothing, &err), &err);
    model_write(&model, &nothing);
    check_collection(&rig, collection, &model);
    och_filter_clear(&select.filter);
    och_arena_clear(&arena);
    end(collection);
}

/* It found nothing because of an update that then did not happen. */
static void
a_delete_by_filter_is_not_done_where_its_group_is_undone(void **state)
{
    (void) state;
    static struct waiter waiters[2];
    struct ochre_error err;
    struct och_collection *collection = begin();
    rig_add(&rig, collection, 0, 10, 5);
    struct rig_write first = {.op = OCH_WRITE_UPDATE,
            .numbers = (const uint32_t[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
            .n = 10,
            .tag = 7,
            .columns = RIG_ALL};
    struct ochre_filter_node node = {.op = OCHRE_FILTER_EQ, .size = 1, .key = {"t", 1}};
    node.value = (struct ochre_value){.type = OCHRE_VALUE_INT, .as.integer = 5};
    struct ochre_filter filter = {&node, 1};
    struct och_mem mem;
    struct och_arena arena;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    struct och_select select = {.mem = &rig.mem};
    check_ok(och_filter_compile(&mem, &arena, &filter, &select.filter, &err), &err);
    och_commit_enter(rig.engine->commit);
    queue(&waiters[0], collection, &first);
    struct waiter *doomed = &waiters[1];
    queue_delete(doomed, collection, &select);
    sim_disk_fail(rig.disk, 1, SIM_IO_ONCE);
    och_commit_leave(rig.engine->commit);
    check(answer_of(&waiters[0]) == OCHRE_IO);
    och_thread_join(&doomed->thread);
    sim_disk_fail(rig.disk, 0, SIM_IO_ONCE);
    check(doomed->status == OCHRE_IO && doomed->request.n_deleted == 0);
    uint64_t n = 0;
    check_ok(rig_delete_tag(&rig, collection, 5, UINT64_MAX, &n, &err), &err);
    check(n == 10);
    och_filter_clear(&select.filter);
    och_arena_clear(&arena);
    end(collection);
}

static void
a_queue_longer_than_a_group_is_committed_in_several(void **state)
{
    (void) state;
    enum { N = 300 };
    static struct waiter waiters[N];
    static uint32_t numbers[N];
    struct och_collection *collection = begin();
    struct och_log_stats before = och_engine_stats(rig.engine).log;
    och_commit_enter(rig.engine->commit);
    for (uint32_t i = 0; i < N; i++) {
        numbers[i] = i;
        struct rig_write write = add_of(&numbers[i], i + 1, 0);
        queue(&waiters[i], collection, &write);
        model_write(&model, &write);
    }
    och_commit_leave(rig.engine->commit);
    for (uint32_t i = 0; i < N; i++)
        check_ok(answer_of(&waiters[i]), &waiters[i].err);
    struct och_log_stats after = och_engine_stats(rig.engine).log;
    check(after.n_groups - before.n_groups == 2 && after.n_records - before.n_records == N);
    check_collection(&rig, collection, &model);
    end(collection);
}

/* --- single requests ----------------------------------------------------------------- */

/* A group has 16 MiB of requests, and a larger one on its own. */
static void
large_requests_are_committed_in_several_groups(void **state)
{
    (void) state;
    enum { N = 3, N_ROWS = 65, DIM = 32768 }; /* a little more than 8 MiB each */
    static struct waiter waiters[N];
    uint32_t numbers[N][N_ROWS];
    struct och_collection *collection = begin();
    struct och_log_stats before = och_engine_stats(rig.engine).log;
    och_commit_enter(rig.engine->commit);
    for (uint32_t i = 0; i < N; i++) {
        for (uint32_t row = 0; row < N_ROWS; row++)
            numbers[i][row] = i * N_ROWS + row;
        struct rig_write write = add_of(numbers[i], i + 1, DIM);
        write.n = N_ROWS;
        queue(&waiters[i], collection, &write);
        check(waiters[i].payload.size > (size_t) 8 << 20);
    }
    och_commit_leave(rig.engine->commit);
    for (uint32_t i = 0; i < N; i++)
        check_ok(answer_of(&waiters[i]), &waiters[i].err);
    struct och_log_stats after = och_engine_stats(rig.engine).log;
    check(after.n_groups == before.n_groups + N && after.n_records == before.n_records + N);
    uint64_t count;
    check(och_engine_count(&rig.mem, collection, NULL, &count, NULL, NULL) == OCHRE_OK);
    check(count == N * N_ROWS);
    end(collection);
}

static void
requests_that_change_nothing_are_not_logged(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin();
    rig_add(&rig, collection, 0, 3, 1);
    struct och_log_stats before = och_engine_stats(rig.engine).log;
    uint64_t n = 99;
    check_ok(rig_delete_tag(&rig, collection, 42, UINT64_MAX, &n, &err), &err);
    check(n == 0);
    check_ok(rig_delete_tag(&rig, collection, 1, 0, &n, &err), &err);
    check(n == 0);
    check(och_engine_stats(rig.engine).log.n_records == before.n_records);
    end(collection);
}

static void
a_payload_that_is_no_write_is_refused(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin();
    struct och_commit_request request = {.collection = collection, .payload = {"nonsense", 8}};
    check(och_commit_run(rig.engine->commit, &request, &err) == OCHRE_CORRUPT);
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
an_insert_without_a_vector_is_refused_whole(void **state)
{
    (void) state;
    struct ochre_error err;
    struct och_collection *collection = begin();
    const uint32_t number = 1;
    struct rig_write write = add_of(&number, 1, 0);
    write.columns = RIG_DOCUMENT;
    check(rig_write(&rig, collection, &write, &err) == OCHRE_CORRUPT);
    check_collection(&rig, collection, &model);
    write.op = OCH_WRITE_UPDATE; /* of a record that is not there, which is nothing */
    check_ok(rig_write(&rig, collection, &write, &err), &err);
    check_collection(&rig, collection, &model);
    end(collection);
}

static void
a_delete_that_does_not_fit_a_record_is_too_large(void **state)
{
    (void) state;
    /* 49 ids of 1 MiB are more than a log record holds. */
    enum { PER_BATCH = 7, BATCHES = 7, ID_SIZE = 1 << 20 };
    struct ochre_error err;
    struct och_collection *collection = begin();
    struct och_mem mem;
    struct och_arena arena;
    och_mem_init(&mem, NULL);
    for (int b = 0; b < BATCHES; b++) {
        och_arena_init(&arena, &mem);
        struct ochre_bytes *ids = och_arena_take_array(&arena, PER_BATCH, sizeof(*ids));
        float *vectors = och_arena_take_array(&arena, PER_BATCH, sizeof(*vectors));
        check(ids != NULL && vectors != NULL);
        for (int i = 0; i < PER_BATCH; i++) {
            char *id = och_arena_take(&arena, ID_SIZE);
            check(id != NULL);
            memset(id, 'x', ID_SIZE);
            uint32_t number = (uint32_t) (b * PER_BATCH + i);
            memcpy(id, &number, sizeof(number));
            ids[i] = (struct ochre_bytes){id, ID_SIZE};
            vectors[i] = 1;
        }
        struct ochre_records records = {
                .n = PER_BATCH, .ids = ids, .embeddings = vectors, .dim = 1};
        struct och_buf payload;
        och_buf_init(&payload, &mem, OCH_WRITE_SIZE_MAX);
        check(och_write_encode(&payload, &arena, OCH_WRITE_ADD, &records) == OCHRE_OK);
        struct och_commit_request request = {
                .collection = collection, .payload = {payload.data, payload.size}};
        check_ok(och_commit_run(rig.engine->commit, &request, &err), &err);
        och_buf_clear(&payload);
        och_arena_clear(&arena);
    }
    struct och_select select = {.mem = &rig.mem};
    struct och_commit_request request = {
            .collection = collection, .doomed = &select, .limit = UINT64_MAX};
    check(och_commit_run(rig.engine->commit, &request, &err) == OCHRE_TOO_LARGE);
    check(request.n_deleted == 0 && strstr(err.message, "limit") != NULL);
    request = (struct och_commit_request){.collection = collection, .doomed = &select, .limit = 40};
    check_ok(och_commit_run(rig.engine->commit, &request, &err), &err);
    check(request.n_deleted == 40);
    uint64_t left;
    check_ok(och_engine_count(&rig.mem, collection, NULL, &left, NULL, &err), &err);
    check(left == PER_BATCH * BATCHES - 40);
    end(collection);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(queued_requests_share_one_sync_in_their_order),
            cmocka_unit_test(the_second_of_two_first_adds_must_have_the_firsts_dimension),
            cmocka_unit_test(a_log_that_refuses_undoes_the_whole_group),
            cmocka_unit_test(a_failed_first_write_pins_no_dimension),
            cmocka_unit_test(a_delete_by_filter_sees_what_the_group_did_before_it),
            cmocka_unit_test(a_delete_by_filter_is_not_done_where_its_group_is_undone),
            cmocka_unit_test(a_queue_longer_than_a_group_is_committed_in_several),
            cmocka_unit_test(large_requests_are_committed_in_several_groups),
            cmocka_unit_test(requests_that_change_nothing_are_not_logged),
            cmocka_unit_test(a_payload_that_is_no_write_is_refused),
            cmocka_unit_test(an_insert_without_a_vector_is_refused_whole),
            cmocka_unit_test(a_delete_that_does_not_fit_a_record_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
