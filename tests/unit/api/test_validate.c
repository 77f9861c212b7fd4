#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/db.h"
#include "api/ops.h"
#include "api/schema.h"
#include "api/validate.h"
#include "base/limits.h"
#include "distance/distance.h"
#include "sim/sim_disk.h"
#include "sim/sim_machine.h"
#include "support/check.h"

/* Bytes to be of any size; the largest limit is a document's. */
static char letters[OCH_DOCUMENT_SIZE_MAX + 2];

static struct ochre_bytes
sized(size_t size)
{
    return (struct ochre_bytes){letters, size};
}

/* --- one record ----------------------------------------------------------------- */

/* A record "a" with a vector of one component, to be changed. */
struct one {
    struct och_write_input input;
    struct ochre_bytes id, document, uri;
    struct ochre_metadata metadata;
    struct ochre_field field;
    float vector[1];
};

static struct one *
begin(struct one *one)
{
    memset(one, 0, sizeof(*one));
    one->id = sized(1);
    one->field.key = sized(1);
    one->field.value.type = OCHRE_VALUE_INT;
    one->metadata = (struct ochre_metadata){&one->field, 1};
    one->input = (struct och_write_input){.records = {.n = 1,
                                                  .ids = &one->id,
                                                  .embeddings = one->vector,
                                                  .dim = 1,
                                                  .documents = &one->document,
                                                  .uris = &one->uri,
                                                  .metadatas = &one->metadata},
            .n_embeddings = 1,
            .n_documents = 1,
            .n_uris = 1,
            .n_metadatas = 1};
    return one;
}

static ochre_status
validate(const struct one *one, enum och_write_op op, struct ochre_error *err)
{
    uint32_t dim;
    err->status = OCHRE_OK;
    err->message[0] = '\0';
    ochre_status status = och_validate_records(&one->input, op, 0, &dim, err);
    check(err->status == status && (status == OCHRE_OK || err->message[0] != '\0'));
    return status;
}

/* Accepted up to the limit; refused above it, naming the value and the limit. */
static void
check_limit(void (*set)(struct one *one, size_t size), size_t limit, const char *field)
{
    for (size_t size = limit - 1; size <= limit + 1; size++) {
        struct one one;
        struct ochre_error err;
        set(begin(&one), size);
        bool wanted = size <= limit;
        check_status(validate(&one, OCH_WRITE_ADD, &err), wanted ? OCHRE_OK : OCHRE_INVALID, &err,
                __FILE__, __LINE__);
        if (wanted)
            continue;
        char number[32];
        (void) snprintf(number, sizeof(number), "%zu", limit);
        check(strstr(err.message, number) != NULL);
        (void) snprintf(number, sizeof(number), "%zu", size);
        check(strstr(err.message, number) != NULL);
        check(strstr(err.message, field) != NULL);
    }
}

static void
set_id(struct one *one, size_t size)
{
    one->id = sized(size);
}

static void
set_document(struct one *one, size_t size)
{
    one->document = sized(size);
}

static void
set_uri(struct one *one, size_t size)
{
    one->uri = sized(size);
}

static void
set_key(struct one *one, size_t size)
{
    one->field.key = sized(size);
}

static void
set_string(struct one *one, size_t size)
{
    one->field.value = (struct ochre_value){.type = OCHRE_VALUE_STRING, .as.string = sized(size)};
}

static struct ochre_bytes string_members[2];

static void
set_string_member(struct one *one, size_t size)
{
    string_members[0] = sized(1);
    string_members[1] = sized(size);
    one->field.value = (struct ochre_value){
            .type = OCHRE_VALUE_STRING_LIST, .n = 2, .as.strings = string_members};
}

static int64_t integers[OCH_LIST_VALUE_MAX + 1];

static void
set_members(struct one *one, size_t size)
{
    one->field.value = (struct ochre_value){
            .type = OCHRE_VALUE_INT_LIST, .n = (uint32_t) size, .as.integers = integers};
}

static struct ochre_field fields[OCH_KEYS_PER_RECORD_MAX + 1];

static void
set_fields(struct one *one, size_t size)
{
    for (size_t i = 0; i < size; i++)
        fields[i] = one->field;
    one->metadata = (struct ochre_metadata){fields, size};
}

static float components[OCH_DIM_MAX + 1];

static void
set_dim(struct one *one, size_t size)
{
    one->input.records.embeddings = components;
    one->input.records.dim = size;
}

static void
each_part_of_a_record_has_its_limit(void **state)
{
    (void) state;
    check_limit(set_id, OCH_ID_SIZE_MAX, "ids[0]");
    check_limit(set_document, OCH_DOCUMENT_SIZE_MAX, "documents[0]");
    check_limit(set_uri, OCH_URI_SIZE_MAX, "uris[0]");
    check_limit(set_key, OCH_KEY_SIZE_MAX, "metadata");
    check_limit(set_string, OCH_STRING_VALUE_SIZE_MAX, "metadata");
    check_limit(set_string_member, OCH_STRING_VALUE_SIZE_MAX, "metadata");
    check_limit(set_members, OCH_LIST_VALUE_MAX, "metadata");
    check_limit(set_fields, OCH_KEYS_PER_RECORD_MAX, "metadata");
    check_limit(set_dim, OCH_DIM_MAX, "embeddings[0]");
}

static void
a_records_metadata_has_a_limit_together(void **state)
{
    (void) state;
    /* Each field costs its key, its value and 8: eight fields of 1 MiB are the limit. */
    enum { N = 8, EACH = OCH_METADATA_SIZE_MAX / 2 / N - 1 - 8 };
    for (int over = -1; over <= 1; over++) {
        struct one one;
        struct ochre_error err;
        (void) begin(&one);
        for (size_t i = 0; i < N; i++) {
            size_t size = (size_t) (EACH + (i == 0 ? over : 0));
            fields[i].key = sized(1);
            fields[i].value =
                    (struct ochre_value){.type = OCHRE_VALUE_STRING, .as.string = sized(size)};
        }
        one.metadata = (struct ochre_metadata){fields, N};
        check(validate(&one, OCH_WRITE_ADD, &err) == (over <= 0 ? OCHRE_OK : OCHRE_INVALID));
    }
}

static void
an_id_is_never_empty(void **state)
{
    (void) state;
    struct one one;
    struct ochre_error err;
    begin(&one)->id = sized(0);
    check(validate(&one, OCH_WRITE_ADD, &err) == OCHRE_INVALID);
    check(strncmp(err.message, "Empty ID", 8) == 0);
}

static void
numbers_are_finite(void **state)
{
    (void) state;
    static const double bad[] = {(double) NAN, HUGE_VAL, -HUGE_VAL};
    for (size_t i = 0; i < 3; i++) {
        struct one one;
        struct ochre_error err;
        begin(&one)->vector[0] = (float) bad[i];
        check(validate(&one, OCH_WRITE_ADD, &err) == OCHRE_INVALID);
        check(strstr(err.message, "embeddings[0][0]") != NULL);
        begin(&one)->field.value =
                (struct ochre_value){.type = OCHRE_VALUE_FLOAT, .as.number = bad[i]};
        check(validate(&one, OCH_WRITE_ADD, &err) == OCHRE_INVALID);
        begin(&one)->field.value =
                (struct ochre_value){.type = OCHRE_VALUE_FLOAT_LIST, .n = 3, .as.numbers = bad};
        check(validate(&one, OCH_WRITE_ADD, &err) == OCHRE_INVALID);
    }
}

static void
lists_are_not_empty_and_types_are_known(void **state)
{
    (void) state;
    struct one one;
    struct ochre_error err;
    set_members(begin(&one), 0);
    check(validate(&one, OCH_WRITE_ADD, &err) == OCHRE_INVALID);
    begin(&one)->field.value.type = (ochre_value_type) (OCHRE_VALUE_STRING_LIST + 1);
    one.field.value.n = 1;
    check(validate(&one, OCH_WRITE_ADD, &err) == OCHRE_INVALID);
    begin(&one)->field.value.type = OCHRE_VALUE_NULL;
    check_ok(validate(&one, OCH_WRITE_UPDATE, &err), &err);
    begin(&one)->field.value.n = UINT32_MAX; /* not a list: nobody looks at it */
    check_ok(validate(&one, OCH_WRITE_ADD, &err), &err);
    begin(&one)->input.records.dim = ((size_t) 1 << 32) + 1;
    check(validate(&one, OCH_WRITE_ADD, &err) == OCHRE_INVALID);
}

static void
vectors_have_components_unless_an_update_leaves_them_out(void **state)
{
    (void) state;
    struct one one;
    struct ochre_error err;
    const uint32_t none = 0;
    begin(&one)->input.records.dims = &none;
    check(validate(&one, OCH_WRITE_ADD, &err) == OCHRE_INVALID);
    check(validate(&one, OCH_WRITE_UPSERT, &err) == OCHRE_INVALID);
    check_ok(validate(&one, OCH_WRITE_UPDATE, &err), &err);
    begin(&one)->input.n_embeddings = OCH_NOT_GIVEN;
    check_ok(validate(&one, OCH_WRITE_UPDATE, &err), &err);
}

/* --- several records ----------------------------------------------------------------- */

static void
all_vectors_have_the_collections_dimension(void **state)
{
    (void) state;
    static const uint32_t same[] = {2, 2};
    static const uint32_t other[] = {2, 3};
    static const uint32_t some[] = {0, 3};
    struct ochre_bytes ids[] = {{"a", 1}, {"b", 1}};
    struct och_write_input input = {.records = {.n = 2, .ids = ids, .embeddings = components},
            .n_embeddings = 2,
            .n_documents = OCH_NOT_GIVEN,
            .n_uris = OCH_NOT_GIVEN,
            .n_metadatas = OCH_NOT_GIVEN};
    struct ochre_error err;
    uint32_t dim;
    input.records.dims = same;
    check_ok(och_validate_records(&input, OCH_WRITE_ADD, 0, &dim, &err), &err);
    check(dim == 2);
    check_ok(och_validate_records(&input, OCH_WRITE_ADD, 2, &dim, &err), &err);
    check(och_validate_records(&input, OCH_WRITE_ADD, 3, &dim, &err) == OCHRE_INVALID);
    input.records.dims = other;
    check(och_validate_records(&input, OCH_WRITE_ADD, 0, &dim, &err) == OCHRE_INVALID);
    check(strstr(err.message, "embeddings[1]") != NULL);
    input.records.dims = some;
    check_ok(och_validate_records(&input, OCH_WRITE_UPDATE, 3, &dim, &err), &err);
    check(dim == 3);
}

static void
columns_are_as_long_as_the_ids(void **state)
{
    (void) state;
    struct one one;
    struct ochre_error err;
    begin(&one)->input.n_embeddings = 0;
    check(validate(&one, OCH_WRITE_ADD, &err) == OCHRE_INVALID);
    begin(&one)->input.n_documents = 2;
    check(validate(&one, OCH_WRITE_ADD, &err) == OCHRE_INVALID);
    begin(&one)->input.n_uris = 0;
    check(validate(&one, OCH_WRITE_ADD, &err) == OCHRE_INVALID);
    begin(&one)->input.n_metadatas = 0;
    check(validate(&one, OCH_WRITE_ADD, &err) == OCHRE_INVALID);
    check(strncmp(err.message, "Inconsistent number", 19) == 0);
}

/* Of several mistakes the one that comes first on the wire is told. */
static void
mistakes_are_told_in_the_order_of_the_wire(void **state)
{
    (void) state;
    static const char *const first[] = {"deferred", "embeddings[0][0]", "metadatas",
            "Collection expecting", "Inconsistent", "Empty ID", "documents[0]", "uris[0]", "last"};
    struct one one;
    struct ochre_error err;
    uint32_t dim;
    (void) begin(&one);
    one.input.deferred = (struct ochre_error){OCHRE_INVALID, "deferred"};
    one.input.deferred_last = (struct ochre_error){OCHRE_INVALID, "last"};
    one.vector[0] = NAN;
    one.field.key = sized(0);
    one.input.n_uris = 2;
    one.id = sized(0);
    one.document = sized(OCH_DOCUMENT_SIZE_MAX + 1);
    one.uri = sized(OCH_URI_SIZE_MAX + 1);
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        check(och_validate_records(&one.input, OCH_WRITE_ADD, 7, &dim, &err) == OCHRE_INVALID);
        if (strstr(err.message, first[i]) == NULL)
            fail_msg("'%s' instead of '%s'", err.message, first[i]);
        /* Put it right, and see the next. */
        if (i == 0)
            one.input.deferred.status = OCHRE_OK;
        else if (i == 1)
            one.vector[0] = 1;
        else if (i == 2)
            one.field.key = sized(1);
        else if (i == 3)
            one.input.records.embeddings = components;
        if (i == 3)
            one.input.records.dim = 7;
        else if (i == 4)
            one.input.n_uris = 1;
        else if (i == 5)
            one.id = sized(1);
        else if (i == 6)
            one.document = sized(0);
        else if (i == 7)
            one.uri = sized(0);
    }
}

/* --- what needs a database --------------------------------------------------------------- */

struct fixture {
    struct och_mem own, mem;
    struct sim_disk *disk;
    struct sim_machine machine;
    struct ochre_db *db;
    struct och_arena arena;
    struct och_target target;
};

static void
open_db(struct fixture *f)
{
    struct ochre_error err;
    memset(f, 0, sizeof(*f));
    och_mem_init(&f->own, NULL);
    och_mem_init(&f->mem, NULL);
    och_arena_init(&f->arena, &f->own);
    f->disk = sim_disk_open(&f->own, 1);
    sim_machine_init(&f->machine, 1);
    struct och_db_options options = {.mem = &f->mem,
            .vfs = sim_disk_vfs(f->disk),
            .machine = &f->machine.machine,
            .kernels = och_kernels_choose((struct och_cpu_sets){.avx2_fma = false}, NULL),
            .create = true};
    check_ok(och_db_open(&options, &f->db, &err), &err);
    f->target = (struct och_target){
            .tenant = {"default_tenant", 14}, .database = {"default_database", 16}};
}

static void
close_db(struct fixture *f)
{
    och_db_close(f->db);
    och_arena_clear(&f->arena);
    sim_disk_close(f->disk);
    check(och_mem_used(&f->mem) == 0 && och_mem_used(&f->own) == 0);
}

static ochre_status
create(struct fixture *f, const char *name, const struct ochre_metadata *metadata,
        struct ochre_error *err)
{
    struct och_create what = {.tenant = f->target.tenant,
            .database = f->target.database,
            .name = {name, strlen(name)},
            .metadata = metadata};
    struct och_schema_request *indexes;
    check_ok(och_schema_request_parse(&f->arena, NULL, NULL, &indexes, err), err);
    what.indexes = indexes;
    struct och_collection_info info;
    ochre_status status = och_op_collection_create(f->db, &f->arena, &what, &info, err);
    f->target.id = info.row.id;
    return status;
}

static void
a_request_fits_a_log_record_or_is_too_large(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    open_db(&f);
    check_ok(create(&f, "things", NULL, &err), &err);
    /* Header 16, vectors 3 * 4 padded to 8 is 16, ids 3 * 5, sizes of documents 12. */
    const size_t most = OCH_WRITE_SIZE_MAX - 16 - 16 - 15 - 12;
    struct ochre_bytes ids[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    struct ochre_bytes documents[3];
    struct och_write_input input = {.records = {.n = 3,
                                            .ids = ids,
                                            .embeddings = components,
                                            .dim = 1,
                                            .documents = documents},
            .n_embeddings = 3,
            .n_documents = 3,
            .n_uris = OCH_NOT_GIVEN,
            .n_metadatas = OCH_NOT_GIVEN};
    for (size_t size = most + 1; size >= most - 1; size--) {
        documents[0] = sized(OCH_DOCUMENT_SIZE_MAX);
        documents[1] = sized(OCH_DOCUMENT_SIZE_MAX);
        documents[2] = sized(size - 2 * (size_t) OCH_DOCUMENT_SIZE_MAX);
        struct och_written written;
        ochre_status status = och_op_write(f.db, &f.target, OCH_WRITE_ADD, &input, &written, &err);
        check_status(status, size <= most ? OCHRE_OK : OCHRE_TOO_LARGE, &err, __FILE__, __LINE__);
        uint64_t count;
        check_ok(och_op_count(f.db, &f.target, NULL, &count, NULL, &err), &err);
        check(count == (size <= most ? 3 : 0));
    }
    close_db(&f);
}

/* Each of two writes keeps to the limits, and what they would make of the record does not. */
static void
what_an_update_makes_of_metadata_has_the_same_limits(void **state)
{
    (void) state;
    enum { N_FIRST = 1000, N_MORE = OCH_KEYS_PER_RECORD_MAX - N_FIRST };
    static struct ochre_field many[N_FIRST], more[N_MORE + 1];
    static char names[N_FIRST + N_MORE + 1][8];
    struct fixture f;
    struct ochre_error err;
    struct one one;
    struct och_written written;
    open_db(&f);
    check_ok(create(&f, "things", NULL, &err), &err);
    for (int i = 0; i < N_FIRST + N_MORE + 1; i++) {
        int size = snprintf(names[i], sizeof(names[i]), "%d", i);
        struct ochre_field field = {.key = {names[i], (size_t) size},
                .value = {.type = OCHRE_VALUE_INT, .as.integer = i}};
        if (i < N_FIRST)
            many[i] = field;
        else
            more[i - N_FIRST] = field;
    }
    begin(&one);
    one.metadata = (struct ochre_metadata){many, N_FIRST};
    check_ok(och_op_write(f.db, &f.target, OCH_WRITE_ADD, &one.input, &written, &err), &err);
    one.metadata = (struct ochre_metadata){more, N_MORE + 1};
    check(och_op_write(f.db, &f.target, OCH_WRITE_UPDATE, &one.input, &written, &err) ==
            OCHRE_INVALID);
    check(strstr(err.message, "would have 1025 keys; the limit is 1024") != NULL);
    one.metadata.n_fields = N_MORE;
    check_ok(och_op_write(f.db, &f.target, OCH_WRITE_UPDATE, &one.input, &written, &err), &err);
    close_db(&f);
}

static void
a_collections_metadata_has_a_limit(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    struct ochre_metadata metadata = {fields, 2};
    open_db(&f);
    /* Count 4, header 8 and key 1 for each of two fields. */
    const size_t most = OCH_COLLECTION_METADATA_SIZE_MAX - 4 - 2 * 9;
    for (size_t size = most + 1; size >= most - 1; size--) {
        fields[0] = (struct ochre_field){{"a", 1}, {.type = OCHRE_VALUE_STRING}};
        fields[1] = (struct ochre_field){{"b", 1}, {.type = OCHRE_VALUE_STRING}};
        fields[0].value.as.string = sized(10);
        fields[1].value.as.string = sized(size - 10);
        check_status(create(&f, size == most ? "at-it" : "other", &metadata, &err),
                size <= most ? OCHRE_OK : OCHRE_INVALID, &err, __FILE__, __LINE__);
    }
    struct ochre_metadata empty = {fields, 0};
    check(create(&f, "empty", &empty, &err) == OCHRE_INVALID);
    fields[0].value =
            (struct ochre_value){.type = OCHRE_VALUE_INT_LIST, .n = 1, .as.integers = integers};
    metadata.n_fields = 1;
    check(create(&f, "lists", &metadata, &err) == OCHRE_INVALID);
    close_db(&f);
}

static void
a_request_has_so_many_queries_and_no_more(void **state)
{
    (void) state;
    static uint32_t dims[OCH_QUERIES_PER_REQUEST_MAX + 1];
    struct fixture f;
    struct ochre_error err;
    open_db(&f);
    check_ok(create(&f, "things", NULL, &err), &err);
    for (size_t i = 0; i <= OCH_QUERIES_PER_REQUEST_MAX; i++)
        dims[i] = 1;
    for (size_t n = OCH_QUERIES_PER_REQUEST_MAX - 1; n <= OCH_QUERIES_PER_REQUEST_MAX + 1; n++) {
        struct och_query_input query = {
                .queries = components, .n_queries = n, .dims = dims, .k = 1};
        struct och_result *result;
        ochre_status status = och_op_query(f.db, &f.target, &query, &result, &err);
        check(status == (n <= OCH_QUERIES_PER_REQUEST_MAX ? OCHRE_OK : OCHRE_INVALID));
        och_result_release(result);
    }
    close_db(&f);
}

static void
a_tenants_name_has_a_limit(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    open_db(&f);
    for (size_t size = OCH_TENANT_SIZE_MAX - 1; size <= OCH_TENANT_SIZE_MAX + 1; size++) {
        ochre_status wanted = size <= OCH_TENANT_SIZE_MAX ? OCHRE_OK : OCHRE_INVALID;
        check(och_op_tenant_create(f.db, sized(size), &err) == wanted);
        check(och_op_tenant_update(
                      f.db, (struct ochre_bytes){"default_tenant", 14}, sized(size), &err) ==
                (size == OCH_TENANT_SIZE_MAX - 1     ? OCHRE_OK
                                : wanted == OCHRE_OK ? OCHRE_EXISTS
                                                     : OCHRE_INVALID));
        check(och_op_database_create(f.db, sized(size), (struct ochre_bytes){"things", 6}, &err) ==
                wanted);
    }
    check(och_op_database_create(f.db, sized(0), (struct ochre_bytes){"things", 6}, &err) ==
            OCHRE_INVALID);
    close_db(&f);
}

/* Nobody learns that a collection exists under another tenant or database. */
static void
a_target_is_found_under_its_own_names_only(void **state)
{
    (void) state;
    struct fixture f;
    struct ochre_error err;
    struct ochre_error missing;
    uint64_t count;
    open_db(&f);
    check_ok(create(&f, "things", NULL, &err), &err);
    check_ok(och_op_count(f.db, &f.target, NULL, &count, NULL, &err), &err);
    struct och_target other = f.target;
    other.tenant = (struct ochre_bytes){"other_tenant", 12};
    check(och_op_count(f.db, &other, NULL, &count, NULL, &err) == OCHRE_NOT_FOUND);
    other = f.target;
    other.database = (struct ochre_bytes){"other_database", 14};
    check(och_op_count(f.db, &other, NULL, &count, NULL, &missing) == OCHRE_NOT_FOUND);
    assert_string_equal(err.message, missing.message);
    other = f.target;
    other.id.bytes[0] ^= 1;
    check(och_op_count(f.db, &other, NULL, &count, NULL, &missing) == OCHRE_NOT_FOUND);
    close_db(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(each_part_of_a_record_has_its_limit),
            cmocka_unit_test(a_records_metadata_has_a_limit_together),
            cmocka_unit_test(an_id_is_never_empty),
            cmocka_unit_test(numbers_are_finite),
            cmocka_unit_test(lists_are_not_empty_and_types_are_known),
            cmocka_unit_test(vectors_have_components_unless_an_update_leaves_them_out),
            cmocka_unit_test(all_vectors_have_the_collections_dimension),
            cmocka_unit_test(columns_are_as_long_as_the_ids),
            cmocka_unit_test(mistakes_are_told_in_the_order_of_the_wire),
            cmocka_unit_test(a_request_fits_a_log_record_or_is_too_large),
            cmocka_unit_test(what_an_update_makes_of_metadata_has_the_same_limits),
            cmocka_unit_test(a_collections_metadata_has_a_limit),
            cmocka_unit_test(a_request_has_so_many_queries_and_no_more),
            cmocka_unit_test(a_tenants_name_has_a_limit),
            cmocka_unit_test(a_target_is_found_under_its_own_names_only),
    };
    memset(letters, 'x', sizeof(letters));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
