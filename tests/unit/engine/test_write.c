#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "engine/write.h"
#include "index/meta/fields.h"
#include "support/check.h"
#include "unit/index/random_metadata.h"

enum { N_MAX = 9, DIM_MAX = 5 };

struct fixture {
    struct och_mem mem;
    struct och_arena arena;
    struct och_buf buf;
    struct ochre_records records;
    enum och_write_op op;
    /* What the records point into: */
    struct ochre_bytes ids[N_MAX], documents[N_MAX], uris[N_MAX];
    struct ochre_metadata metadatas[N_MAX];
    uint32_t dims[N_MAX];
    float vectors[N_MAX * DIM_MAX];
};

static void
begin(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->mem, NULL);
    och_arena_init(&f->arena, &f->mem);
    och_buf_init(&f->buf, &f->mem, OCH_WRITE_SIZE_MAX);
}

static void
end(struct fixture *f)
{
    och_buf_clear(&f->buf);
    och_arena_clear(&f->arena);
    check(och_mem_used(&f->mem) == 0);
}

static void
random_texts(struct ochre_bytes *texts, size_t n, uint64_t *seed, bool required)
{
    static const char *const words[] = {"a", "bc", "", "def", "\xc3\xa9"};
    for (size_t i = 0; i < n; i++) {
        texts[i] = text(words[och_random_below(seed, 5)]);
        if (!required && och_random_below(seed, 3) == 0)
            texts[i] = (struct ochre_bytes){NULL, 0};
    }
}

static void
random_records(struct fixture *f, uint64_t *seed)
{
    size_t n = och_random_below(seed, N_MAX + 1);
    uint32_t dim = 1 + (uint32_t) och_random_below(seed, DIM_MAX);
    f->op = (enum och_write_op)(OCH_WRITE_ADD + och_random_below(seed, 4));
    random_texts(f->ids, n, seed, true);
    random_texts(f->documents, n, seed, false);
    random_texts(f->uris, n, seed, false);
    for (size_t i = 0; i < N_MAX * DIM_MAX; i++)
        f->vectors[i] = och_random_f32(seed);
    for (size_t i = 0; i < n; i++) {
        f->metadatas[i] = random_metadata(&f->arena, seed, true);
        f->dims[i] = och_random_below(seed, 3) == 0 ? 0 : dim;
    }
    f->records = (struct ochre_records){.n = n, .ids = f->ids};
    uint64_t vectors = och_random_below(seed, 3);
    if (vectors > 0) {
        f->records.embeddings = f->vectors;
        f->records.dim = dim;
        f->records.dims = vectors == 1 ? f->dims : NULL;
    }
    f->records.documents = och_random_below(seed, 2) == 0 ? f->documents : NULL;
    f->records.uris = och_random_below(seed, 2) == 0 ? f->uris : NULL;
    f->records.metadatas = och_random_below(seed, 2) == 0 ? f->metadatas : NULL;
}

/* The encoding in a block of its exact size. */
static struct ochre_bytes
encode(struct fixture *f)
{
    och_buf_reset(&f->buf);
    check(och_write_encode(&f->buf, &f->arena, f->op, &f->records) == OCHRE_OK);
    char *copy = och_arena_take(&f->arena, f->buf.size);
    check(copy != NULL);
    memcpy(copy, f->buf.data, f->buf.size);
    return (struct ochre_bytes){copy, f->buf.size};
}

static bool
same(struct ochre_bytes a, struct ochre_bytes b)
{
    return (a.data == NULL) == (b.data == NULL) && same_text(a, b);
}

static void
check_fields(struct fixture *f, struct ochre_bytes fields, const struct ochre_metadata *wanted)
{
    if (wanted == NULL || wanted->n_fields == 0) {
        check(fields.data == NULL);
        return;
    }
    struct ochre_metadata back;
    check(och_fields_decode(&f->arena, fields, false, &back) == OCHRE_OK);
    size_t n = 0;
    for (size_t i = 0; i < wanted->n_fields; i++) {
        const struct ochre_value *value = &wanted->fields[i].value;
        bool kept = value->type != OCHRE_VALUE_NULL || f->op != OCH_WRITE_ADD;
        n += kept && last_value(wanted, wanted->fields[i].key) == value;
    }
    check(back.n_fields == n);
    for (size_t i = 0; i < n; i++)
        check(same_value(last_value(wanted, back.fields[i].key), &back.fields[i].value));
}

static void
random_requests_come_back_row_by_row(void **state)
{
    (void) state;
    static struct fixture f;
    uint64_t seed = 41;
    for (int i = 0; i < 20000; i++) {
        begin(&f);
        random_records(&f, &seed);
        struct ochre_bytes payload = encode(&f);
        const struct ochre_records *records = &f.records;
        struct och_write write;
        check(och_write_decode(&write, payload));
        check(write.op == f.op && write.n == records->n);
        const float *next = f.vectors;
        struct och_write_row row;
        for (size_t r = 0; r < records->n; r++) {
            check(och_write_next(&write, &row));
            check(same(row.id, records->ids[r]));
            struct ochre_bytes none = {NULL, 0};
            check(same(row.document, records->documents == NULL ? none : records->documents[r]));
            check(same(row.uri, records->uris == NULL ? none : records->uris[r]));
            check_fields(&f, row.fields, records->metadatas == NULL ? NULL : &f.metadatas[r]);
            size_t dim = records->dims != NULL ? records->dims[r] : records->dim;
            bool has = records->embeddings != NULL && dim > 0;
            check((row.vector != NULL) == has);
            check(!has || write.dim == dim);
            check(!has || memcmp(row.vector, next, dim * sizeof(float)) == 0);
            next += has ? dim : 0;
        }
        check(!och_write_next(&write, &row));
        end(&f);
    }
}

/* A request without some of its rows has the others as they were. */
static void
some_rows_of_a_request_are_a_request(void **state)
{
    (void) state;
    uint64_t seed = 5;
    struct fixture f;
    begin(&f);
    for (int round = 0; round < 2000; round++) {
        struct och_write whole, part;
        struct och_write_row row, kept;
        bool keep[N_MAX] = {false};
        random_records(&f, &seed);
        struct ochre_bytes payload = encode(&f);
        if (f.records.n == 0)
            continue;
        for (size_t i = 0; i < f.records.n; i++)
            keep[i] = och_random_below(&seed, 2) == 0;
        keep[och_random_below(&seed, f.records.n)] = true;
        och_buf_reset(&f.buf);
        check(och_write_encode_rows(&f.buf, payload, keep) == OCHRE_OK);
        check(och_write_decode(&whole, payload));
        check(och_write_decode(&part, (struct ochre_bytes){f.buf.data, f.buf.size}));
        check(part.op == whole.op && part.dim == whole.dim);
        for (size_t i = 0; och_write_next(&whole, &row); i++) {
            if (!keep[i])
                continue;
            check(och_write_next(&part, &kept));
            check(same(row.id, kept.id) && same(row.document, kept.document));
            check(same(row.uri, kept.uri) && same(row.fields, kept.fields));
            check((row.vector == NULL) == (kept.vector == NULL));
            if (row.vector != NULL && kept.vector != NULL)
                check(memcmp(row.vector, kept.vector, whole.dim * sizeof(float)) == 0);
        }
        check(!och_write_next(&part, &kept));
        och_arena_clear(&f.arena);
    }
    const bool keep = true;
    och_buf_reset(&f.buf);
    check(och_write_encode_rows(&f.buf, text("no request"), &keep) == OCHRE_CORRUPT);
    end(&f);
}

static void
a_request_cut_short_or_followed_by_more_is_refused(void **state)
{
    (void) state;
    static struct fixture f;
    uint64_t seed = 42;
    for (int i = 0; i < 300; i++) {
        begin(&f);
        random_records(&f, &seed);
        struct ochre_bytes payload = encode(&f);
        struct och_write write;
        for (size_t size = 0; size < payload.size; size++) {
            char *part = och_arena_take(&f.arena, size + 1);
            check(part != NULL);
            memcpy(part, payload.data, size);
            check(!och_write_decode(&write, (struct ochre_bytes){part, size}));
        }
        char *more = och_arena_take(&f.arena, payload.size + 1);
        check(more != NULL);
        memcpy(more, payload.data, payload.size);
        more[payload.size] = 0;
        check(!och_write_decode(&write, (struct ochre_bytes){more, payload.size + 1}));
        end(&f);
    }
}

/* Whatever decodes stays inside its bytes and has as many rows as it says. */
static void
any_changed_byte_is_refused_or_can_be_walked(void **state)
{
    (void) state;
    static struct fixture f;
    uint64_t seed = 43;
    for (int i = 0; i < 1000; i++) {
        begin(&f);
        random_records(&f, &seed);
        struct ochre_bytes payload = encode(&f);
        for (size_t at = 0; at < payload.size; at++) {
            char *changed = och_arena_take(&f.arena, payload.size);
            check(changed != NULL);
            memcpy(changed, payload.data, payload.size);
            changed[at] = (char) och_random(&seed);
            struct och_write write;
            if (!och_write_decode(&write, (struct ochre_bytes){changed, payload.size}))
                continue;
            struct och_write_row row;
            uint32_t n = 0;
            const char *last = changed + payload.size;
            for (; och_write_next(&write, &row); n++) {
                check(row.id.data != NULL && row.id.data + row.id.size <= last);
                check(row.fields.data == NULL || och_fields_are_valid(row.fields));
                if (row.vector != NULL)
                    check(row.vector + write.dim * sizeof(float) <= last);
            }
            check(n == write.n);
        }
        end(&f);
    }
}

/* Decode a request of one record "a" with some of its header changed. */
static bool
decodes(size_t at, uint64_t value, size_t size)
{
    static struct fixture f;
    begin(&f);
    float vector[2] = {1, 2};
    f.ids[0] = text("a");
    f.op = OCH_WRITE_ADD;
    f.records = (struct ochre_records){.n = 1, .ids = f.ids, .embeddings = vector, .dim = 2};
    struct ochre_bytes payload = encode(&f);
    char *bytes = och_arena_copy(&f.arena, payload.data, payload.size);
    check(bytes != NULL);
    memcpy(bytes + at, &value, size);
    struct och_write write;
    bool decoded = och_write_decode(&write, (struct ochre_bytes){bytes, payload.size});
    end(&f);
    return decoded;
}

static void
headers_that_do_not_make_sense_are_refused(void **state)
{
    (void) state;
    check(decodes(0, OCH_WRITE_ADD, 1));
    check(decodes(0, OCH_WRITE_DELETE, 1));
    check(!decodes(0, 0, 1));
    check(!decodes(0, OCH_WRITE_DELETE + 1, 1));
    check(!decodes(1, 2, 1));       /* version */
    check(!decodes(2, 1u << 4, 2)); /* a flag we do not know */
    check(!decodes(4, 2, 4));       /* more records than ids */
    check(!decodes(4, UINT32_MAX, 4));
    check(!decodes(8, 0, 4)); /* vectors without a dimension */
    check(!decodes(8, OCH_DIM_MAX + 1, 4));
    check(!decodes(8, OCH_DIM_MAX, 4)); /* longer than the payload */
    check(!decodes(12, 2, 4));          /* more vectors than records */
    check(!decodes(24, UINT32_MAX, 4)); /* an id that is not there */
    check(!decodes(24, 2, 4));          /* an id cut short */
}

static bool
work(struct och_mem *mem)
{
    struct ochre_field field = {{"k", 1}, {.type = OCHRE_VALUE_INT, .as.integer = 1}};
    struct ochre_metadata metadata = {&field, 1};
    struct ochre_bytes id = text("a");
    float vector[2] = {1, 2};
    struct ochre_records records = {.n = 1,
            .ids = &id,
            .embeddings = vector,
            .dim = 2,
            .documents = &id,
            .uris = &id,
            .metadatas = &metadata};
    struct och_buf buf;
    struct och_arena arena;
    och_buf_init(&buf, mem, 10000);
    och_arena_init(&arena, mem);
    ochre_status status = och_write_encode(&buf, &arena, OCH_WRITE_UPSERT, &records);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    och_buf_clear(&buf);
    och_arena_clear(&arena);
    return status == OCHRE_OK;
}

static void
every_allocation_may_fail(void **state)
{
    (void) state;
    check_each_allocation_failing(work);
}

/* Wherever the room ends, the request is refused and never half there. */
static void
a_request_that_does_not_fit_is_refused(void **state)
{
    (void) state;
    static struct fixture f;
    uint64_t seed = 44;
    for (int i = 0; i < 200; i++) {
        begin(&f);
        random_records(&f, &seed);
        size_t size = encode(&f).size;
        for (size_t room = 1; room <= size; room++) {
            struct och_buf small;
            och_buf_init(&small, &f.mem, room);
            ochre_status status = och_write_encode(&small, &f.arena, f.op, &f.records);
            check(status == (room == size ? OCHRE_OK : OCHRE_NO_MEMORY));
            och_buf_clear(&small);
        }
        end(&f);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(random_requests_come_back_row_by_row),
            cmocka_unit_test(some_rows_of_a_request_are_a_request),
            cmocka_unit_test(a_request_cut_short_or_followed_by_more_is_refused),
            cmocka_unit_test(any_changed_byte_is_refused_or_can_be_walked),
            cmocka_unit_test(headers_that_do_not_make_sense_are_refused),
            cmocka_unit_test(every_allocation_may_fail),
            cmocka_unit_test(a_request_that_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
