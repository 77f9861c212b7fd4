/* Staging a write: what it makes of a record, and that one which fails anywhere has not
 * happened. */
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "engine/collection.h"
#include "engine/commit.h"
#include "os/vfs.h"
#include "segment/head.h"
#include "segment/segment.h"
#include "sim/sim_disk.h"
#include "support/check.h"
#include "unit/engine/rig.h"
#include "unit/index/random_metadata.h"

static struct rig rig;
static struct rig_model model;

static struct och_collection *
begin(void)
{
    struct ochre_error err;
    memset(&model, 0, sizeof(model));
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

static ochre_status
try_write(struct och_collection *collection, enum och_write_op op, uint32_t first, uint32_t n,
        unsigned columns, struct ochre_error *err)
{
    uint32_t numbers[64];
    check(n <= 64);
    for (uint32_t i = 0; i < n; i++)
        numbers[i] = first + i;
    struct rig_write write = {
            .op = op, .numbers = numbers, .n = n, .tag = first + 1, .columns = columns};
    ochre_status status = rig_write(&rig, collection, &write, err);
    if (status == OCHRE_OK)
        model_write(&model, &write);
    return status;
}

static void
put(struct och_collection *collection, enum och_write_op op, uint32_t first, uint32_t n,
        unsigned columns)
{
    struct ochre_error err;
    check_ok(try_write(collection, op, first, n, columns, &err), &err);
}

/* Distances by cosine need the length of each vector, from the log as well. */
static void
a_row_of_a_cosine_collection_knows_its_length(void **state)
{
    (void) state;
    struct ochre_error err;
    rig_begin(&rig);
    rig.schema = "cosine";
    check_ok(rig_open(&rig, &err), &err);
    struct och_collection *collection = rig_create(&rig, "things");
    put(collection, OCH_WRITE_ADD, 3, 20, RIG_ALL);
    for (unsigned opened = 0; opened < 2; opened++) {
        const struct och_head *head = collection->view->head;
        check(head->n_rows == 20);
        for (uint32_t row = 0; row < head->n_rows; row++) {
            float norm;
            const float *v = och_head_vector(head, row, &norm);
            float wanted = sqrtf(v[0] * v[0] + v[1] * v[1]);
            check(wanted >= 3.0F && fabsf(norm - wanted) < 1e-5F * wanted);
        }
        och_collection_release(collection);
        rig_reopen(&rig);
        collection = rig_collection(&rig, "things");
    }
    end(collection);
}

/* --- limits ---------------------------------------------------------------------- */

/* One record whose metadata is one long text under this key. */
static ochre_status
put_long_text(struct och_collection *collection, enum och_write_op op, const char *key, size_t size,
        struct ochre_error *err)
{
    struct och_mem mem;
    struct och_arena arena;
    struct och_buf payload;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    och_buf_init(&payload, &mem, OCH_WRITE_SIZE_MAX);
    char *bytes = och_arena_take(&arena, size);
    check(bytes != NULL);
    memset(bytes, 'x', size);
    struct ochre_field field = {
            .key = text(key), .value = {.type = OCHRE_VALUE_STRING, .as.string = {bytes, size}}};
    struct ochre_bytes id = text("one");
    struct ochre_metadata metadata = {&field, 1};
    static const float vector[RIG_DIM] = {1, 2};
    struct ochre_records records = {
            .n = 1, .ids = &id, .embeddings = vector, .dim = RIG_DIM, .metadatas = &metadata};
    check(och_write_encode(&payload, &arena, op, &records) == OCHRE_OK);
    struct och_commit_request request = {
            .collection = collection, .payload = {payload.data, payload.size}};
    ochre_status status = och_commit_run(rig.engine->commit, &request, err);
    och_buf_clear(&payload);
    och_arena_clear(&arena);
    return status;
}

static void
an_update_that_makes_metadata_too_large_is_refused(void **state)
{
    (void) state;
    enum { MORE_THAN_HALF = (int) (OCH_METADATA_SIZE_MAX / 2) + 1 };
    struct ochre_error err;
    struct och_collection *collection = begin();
    check_ok(put_long_text(collection, OCH_WRITE_ADD, "a", MORE_THAN_HALF, &err), &err);
    check(put_long_text(collection, OCH_WRITE_UPDATE, "b", MORE_THAN_HALF, &err) ==
            OCHRE_TOO_LARGE);
    check(strcmp(err.message, "a record's metadata would have more than 16777216 bytes") == 0);
    /* In the other one's place there is room for it. */
    check_ok(put_long_text(collection, OCH_WRITE_UPDATE, "a", MORE_THAN_HALF + 1, &err), &err);
    struct och_result *result = rig_get_all(&rig, collection);
    check(result->lists[0].n == 1 && result->lists[0].hits[0].metadata.n_fields == 1);
    const struct ochre_field *kept = result->lists[0].hits[0].metadata.fields;
    check(same_text(kept->key, text("a")) && kept->value.as.string.size == MORE_THAN_HALF + 1);
    och_result_release(result);
    end(collection);
}

/* --- what fails ------------------------------------------------------------------ */

static void
begin_with_nothing(struct och_collection *collection)
{
    (void) collection;
}

static void
begin_without_fields(struct och_collection *collection)
{
    put(collection, OCH_WRITE_ADD, 0, 10, RIG_VECTOR);
}

static void
begin_with_rows(struct och_collection *collection)
{
    put(collection, OCH_WRITE_ADD, 1, 39, RIG_ALL);
}

static void
begin_sealed(struct och_collection *collection)
{
    struct ochre_error err;
    put(collection, OCH_WRITE_ADD, 1, 39, RIG_ALL);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
}

static const struct life {
    void (*begin)(struct och_collection *collection);
    enum och_write_op op;
    uint32_t first, n;
} lives[] = {
        {begin_with_nothing, OCH_WRITE_UPSERT, 0, 5},   /* the first rows, and keys */
        {begin_without_fields, OCH_WRITE_UPDATE, 2, 5}, /* the first keys */
        {begin_with_rows, OCH_WRITE_UPSERT, 0, 40},     /* one row more, so that changes */
        {begin_with_rows, OCH_WRITE_UPDATE, 0, 40},     /* are an odd number, and an even one */
        {begin_sealed, OCH_WRITE_UPSERT, 0, 40},
        {begin_sealed, OCH_WRITE_DELETE, 5, 20},
};
enum { N_LIVES = sizeof(lives) / sizeof(lives[0]) };

/* The write with its n-th allocation refused, or its n-th call of the disk failed; false: it
 * has fewer.  A write that failed has not happened, and can be made again. */
static bool
fail_within(const struct life *life, bool of_disk, uint64_t n, unsigned *n_failed)
{
    struct ochre_error err;
    struct och_collection *collection = begin();
    life->begin(collection);
    och_collection_release(collection);
    rig_reopen(&rig); /* what is sealed is read again */
    collection = rig_collection(&rig, "things");
    if (of_disk)
        sim_disk_fail(rig.disk, n, SIM_IO_ONCE);
    else
        rig.mem.fail_at = atomic_load(&rig.mem.n_grants) + n;
    ochre_status status = try_write(collection, life->op, life->first, life->n, RIG_ALL, &err);
    bool failed = of_disk ? sim_disk_has_failed(rig.disk)
                          : atomic_load(&rig.mem.n_grants) >= rig.mem.fail_at;
    sim_disk_fail(rig.disk, 0, SIM_IO_ONCE);
    rig.mem.fail_at = 0;
    check(status == OCHRE_OK || (failed && status == (of_disk ? OCHRE_IO : OCHRE_NO_MEMORY)));
    check(status == OCHRE_OK || (err.status == status && err.message[0] != '\0'));
    *n_failed += status != OCHRE_OK;
    check_collection(&rig, collection, &model);
    if (status != OCHRE_OK)
        put(collection, life->op, life->first, life->n, RIG_ALL);
    check_collection(&rig, collection, &model);
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    end(collection);
    return failed;
}

static void
a_write_that_fails_anywhere_has_not_happened(void **state)
{
    (void) state;
    for (unsigned i = 0; i < N_LIVES; i++) {
        for (unsigned of_disk = 0; of_disk < 2; of_disk++) {
            unsigned n_failed = 0;
            uint64_t n = 1;
            while (fail_within(&lives[i], of_disk == 1, n, &n_failed))
                n++;
            check(n_failed > 1);
        }
    }
}

/* An update needs what it leaves as it was; what does not need it goes on. */
static void
an_update_of_a_damaged_record_is_refused(void **state)
{
    (void) state;
    enum { N = 5900 }; /* so that their ids lie elsewhere */
    static uint32_t numbers[N];
    struct ochre_error err;
    char path[OCH_PATH_SIZE_MAX];
    struct och_collection *collection = begin();
    for (uint32_t i = 0; i < N; i++)
        numbers[i] = i;
    struct rig_write all = {
            .op = OCH_WRITE_ADD, .numbers = numbers, .n = N, .tag = 1, .columns = RIG_ALL};
    check_ok(rig_write(&rig, collection, &all, &err), &err);
    model_write(&model, &all);
    check_ok(och_engine_seal_all(rig.engine, &err), &err);
    const struct och_segment *segment = collection->view->segments[0];
    och_segment_path(path, sizeof(path), collection->id, segment->id);
    uint64_t offset = segment->sections[OCH_SECTION_ROWS].offset;
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check(sim_disk_flip(rig.disk, path, offset + 8 * (N / 2), 1));
    check(try_write(collection, OCH_WRITE_UPDATE, N / 2, 1, RIG_DOCUMENT, &err) == OCHRE_CORRUPT);
    check(strstr(err.message, path) != NULL);
    put(collection, OCH_WRITE_ADD, N, 2, RIG_ALL);
    put(collection, OCH_WRITE_UPDATE, N, 1, RIG_DOCUMENT);
    check(sim_disk_flip(rig.disk, path, offset + 8 * (N / 2), 1));
    och_collection_release(collection);
    rig_reopen(&rig);
    collection = rig_collection(&rig, "things");
    check_collection(&rig, collection, &model);
    put(collection, OCH_WRITE_UPDATE, N / 2, 1, RIG_DOCUMENT);
    check_collection(&rig, collection, &model);
    end(collection);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_row_of_a_cosine_collection_knows_its_length),
            cmocka_unit_test(an_update_that_makes_metadata_too_large_is_refused),
            cmocka_unit_test(a_write_that_fails_anywhere_has_not_happened),
            cmocka_unit_test(an_update_of_a_damaged_record_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
