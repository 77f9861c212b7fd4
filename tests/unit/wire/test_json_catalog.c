#include <string.h>

#include "api/schema.h"
#include "base/arena.h"
#include "base/json.h"
#include "base/mem.h"
#include "support/check.h"
#include "wire/json_catalog.h"

static struct och_mem mem;
static struct och_arena arena;

static int
set_up(void **state)
{
    (void) state;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    return 0;
}

static int
tear_down(void **state)
{
    (void) state;
    och_arena_clear(&arena);
    return och_mem_used(&mem) == 0 ? 0 : -1;
}

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

static void
required_strings_are_all_there(void **state)
{
    static const char *const names[] = {"name", "function_id"};
    struct ochre_bytes values[2];
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    check_ok(och_wire_read_strings(&arena,
                     bytes_of("{\"function_id\":\"f\",\"x\":1,\"name\":\"\\u0000n\"}"), names, 2,
                     values, &err),
            &err);
    check(values[0].size == 2 && values[0].data[0] == '\0' && och_bytes_is(values[1], "f"));
    check(och_wire_read_strings(&arena, bytes_of("{\"name\":\"n\"}"), names, 2, values, &err) ==
            OCHRE_SHAPE);
    check(strstr(err.message, "'function_id'") != NULL);
    check(och_wire_read_strings(&arena, bytes_of("{\"name\":null}"), names, 2, values, &err) ==
            OCHRE_SHAPE);
    check(och_wire_read_strings(&arena, bytes_of("[\"n\"]"), names, 2, values, &err) ==
            OCHRE_SHAPE);
    check(och_wire_read_strings(&arena, bytes_of("{"), names, 2, values, &err) == OCHRE_INVALID);
}

static void
a_create_has_a_name_and_whatever_else(void **state)
{
    struct och_create create;
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    check_ok(och_wire_read_create(&arena, bytes_of("{\"name\":\"c\"}"), &create, &err), &err);
    check(och_bytes_is(create.name, "c") && create.metadata == NULL && !create.get_or_create);
    check(create.indexes != NULL);
    check_ok(och_wire_read_create(&arena,
                     bytes_of("{\"metadata\":{\"a\":1,\"b\":\"x\"},\"get_or_create\":true,"
                              "\"configuration\":{\"hnsw\":{\"space\":\"ip\"}},\"schema\":null,"
                              "\"name\":\"c\"}"),
                     &create, &err),
            &err);
    check(create.metadata != NULL && create.metadata->n_fields == 2 && create.get_or_create);
    check_ok(och_wire_read_create(
                     &arena, bytes_of("{\"name\":\"c\",\"metadata\":{}}"), &create, &err),
            &err);
    check(create.metadata != NULL && create.metadata->n_fields == 0);
}

struct wrong {
    const char *text;
    ochre_status status;
};

static void
a_wrong_create_is_told_by_its_status(void **state)
{
    static const struct wrong wrong[] = {
            {"{}", OCHRE_SHAPE},
            {"[\"c\"]", OCHRE_SHAPE},
            {"{\"name\":null}", OCHRE_SHAPE},
            {"{\"name\":\"c\",\"get_or_create\":null}", OCHRE_SHAPE},
            {"{\"name\":\"c\",\"get_or_create\":\"yes\"}", OCHRE_SHAPE},
            {"{\"name\":\"c\",\"metadata\":\"x\"}", OCHRE_SHAPE},
            {"{\"name\":\"c\",\"metadata\":{\"a\":null}}", OCHRE_SHAPE},
            {"{\"name\":\"c\",\"metadata\":{\"a\":{\"b\":1}}}", OCHRE_SHAPE},
            {"{\"name\":\"c\",\"metadata\":{\"a\":[1,\"b\"]}}", OCHRE_SHAPE},
            {"{\"name\":\"c\",\"metadata\":{\"a\":[1]}}", OCHRE_INVALID},
            {"{\"name\":\"c\",\"metadata\":{\"a\":[]}}", OCHRE_INVALID},
            {"{\"name\":\"c\",\"metadata\":{\"a\":{\"indices\":[1],\"values\":[1]}}}",
                    OCHRE_INVALID},
            {"{\"name\":\"c\",\"metadata\":{\"a\":{\"indices\":[2,1],\"values\":[1,1]}}}",
                    OCHRE_INVALID},
            /* The shape of the whole goes before what a value may be. */
            {"{\"name\":\"c\",\"metadata\":{\"a\":[1]},\"configuration\":\"x\"}", OCHRE_SHAPE},
            {"{\"name\":\"c\",\"schema\":{}}", OCHRE_SHAPE},
            {"{\"name\":\"c\",\"configuration\":{\"hnsw\":{\"space\":5}}}", OCHRE_INVALID},
            {"{\"name\":\"c\",\"metadata\":{\"a\":1e999}}", OCHRE_INVALID},
            {"{\"name\":\"c\",\"schema\":{\"defaults\":}", OCHRE_INVALID},
            {"{\"name\":\"c\"", OCHRE_INVALID},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct och_create create;
        struct ochre_error err = {.status = OCHRE_OK};
        ochre_status status = och_wire_read_create(&arena, bytes_of(wrong[i].text), &create, &err);
        if (status != wrong[i].status)
            print_error("%s: %s\n", wrong[i].text, err.message);
        check(status == wrong[i].status && err.status == status);
    }
}

static void
an_update_changes_what_it_names(void **state)
{
    struct och_update update;
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    static const char *const nothing[] = {
            "{}", "{\"new_name\":null,\"new_metadata\":null,\"new_configuration\":null}"};
    for (size_t i = 0; i < 2; i++) {
        check_ok(och_wire_read_update(&arena, bytes_of(nothing[i]), &update, &err), &err);
        check(update.new_name.data == NULL && update.new_metadata == NULL && update.change == NULL);
    }
    check_ok(och_wire_read_update(&arena,
                     bytes_of("{\"new_name\":\"n\",\"new_metadata\":{\"a\":null,\"b\":1},"
                              "\"new_configuration\":{\"hnsw\":{\"ef_search\":7}}}"),
                     &update, &err),
            &err);
    check(och_bytes_is(update.new_name, "n") && update.new_metadata->n_fields == 2);
    check(update.new_metadata->fields[0].value.type == OCHRE_VALUE_NULL);
    check(update.change->has_hnsw && update.change->hnsw.ef_search == 7);

    static const struct wrong wrong[] = {
            {"{\"new_name\":5}", OCHRE_SHAPE},
            {"{\"new_metadata\":1}", OCHRE_SHAPE},
            {"{\"new_metadata\":{\"a\":[1]}}", OCHRE_INVALID},
            {"{\"new_configuration\":{\"hnsw\":{\"space\":\"ip\"}}}", OCHRE_SHAPE},
            {"{\"new_configuration\":[}", OCHRE_INVALID},
            {"", OCHRE_INVALID},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        check(och_wire_read_update(&arena, bytes_of(wrong[i].text), &update, &err) ==
                wrong[i].status);
}

static void
a_detach_may_say_what_becomes_of_the_output(void **state)
{
    struct ochre_error err = {.status = OCHRE_OK};
    (void) state;
    check_ok(och_wire_read_detach(&arena, bytes_of("{}"), &err), &err);
    check_ok(och_wire_read_detach(&arena, bytes_of("{\"delete_output\":true}"), &err), &err);
    check(och_wire_read_detach(&arena, bytes_of("{\"delete_output\":1}"), &err) == OCHRE_SHAPE);
}

static bool
create_with(struct och_mem *small)
{
    struct och_arena own;
    struct och_create create;
    struct ochre_error err;
    och_arena_init(&own, small);
    ochre_status status = och_wire_read_create(&own,
            bytes_of("{\"name\":\"\\u0063\",\"metadata\":{\"a\":1},"
                     "\"configuration\":{\"hnsw\":{\"space\":\"ip\"}}}"),
            &create, &err);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    och_arena_clear(&own);
    return status == OCHRE_OK;
}

static bool
update_with(struct och_mem *small)
{
    struct och_arena own;
    struct och_update update;
    struct ochre_error err;
    och_arena_init(&own, small);
    ochre_status status = och_wire_read_update(&own,
            bytes_of(
                    "{\"new_metadata\":{\"a\":1},\"new_configuration\":{\"hnsw\":{\"ef_search\":1}}}"),
            &update, &err);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    och_arena_clear(&own);
    return status == OCHRE_OK;
}

static void
bodies_of_ours_have_no_other_members(void **state)
{
    static const char *const wrong[] = {
            "{\"dryrun\":true}", "{\"dry_run\":true,\"x\":{}}", "{\"\":1}", "{\"Dry_run\":true}"};
    struct ochre_error err = {.status = OCHRE_OK};
    struct ochre_bytes name;
    bool dry_run;
    (void) state;
    check_ok(och_wire_read_repair(&arena, bytes_of("{\"dry_run\":true}"), &dry_run, &err), &err);
    check(dry_run);
    check_ok(och_wire_read_repair(&arena, bytes_of("{}"), &dry_run, &err), &err);
    check(!dry_run);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        check(och_wire_read_repair(&arena, bytes_of(wrong[i]), &dry_run, &err) == OCHRE_SHAPE);
    check(och_wire_read_repair(&arena, bytes_of(wrong[0]), &dry_run, &err) == OCHRE_SHAPE);
    check(strcmp(err.message, "the body has the field 'dryrun'; it may have 'dry_run' alone") == 0);
    check_ok(och_wire_read_pin(&arena, bytes_of("{\"name\":\"p\"}"), &name, &err), &err);
    check(och_bytes_is(name, "p"));
    check(och_wire_read_pin(&arena, bytes_of("{\"nam\":\"p\"}"), &name, &err) == OCHRE_SHAPE);
}

static void
any_allocation_may_fail(void **state)
{
    (void) state;
    check_each_allocation_failing(create_with);
    check_each_allocation_failing(update_with);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(required_strings_are_all_there),
            cmocka_unit_test(a_create_has_a_name_and_whatever_else),
            cmocka_unit_test(a_wrong_create_is_told_by_its_status),
            cmocka_unit_test(an_update_changes_what_it_names),
            cmocka_unit_test(a_detach_may_say_what_becomes_of_the_output),
            cmocka_unit_test(bodies_of_ours_have_no_other_members),
            cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
