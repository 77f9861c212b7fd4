#include <string.h>

#include "base/mem.h"
#include "http/message.h"
#include "support/check.h"

static struct och_mem mem;

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

static void
methods_are_told_by_case(void **state)
{
    (void) state;
    for (unsigned i = 0; i < OCH_HTTP_N_METHODS; i++) {
        och_http_method method = (och_http_method) i;
        check(och_http_method_parse(och_http_method_name(method)) == method);
    }
    check(och_http_method_parse("get") == OCH_HTTP_OTHER);
    check(och_http_method_parse("TRACE") == OCH_HTTP_OTHER);
    check(och_http_method_parse("") == OCH_HTTP_OTHER);
}

static void
a_query_parameter_is_found_counted_and_decoded(void **state)
{
    static const struct {
        const char *query, *name, *value;
        size_t n;
    } rows[] = {
            {"", "limit", NULL, 0},
            {"limit=5", "limit", "5", 1},
            {"a=1&limit=5&limit=6", "limit", "5", 2},
            {"LIMIT=5", "limit", NULL, 0},
            {"li%6dit=%35+", "limit", "5 ", 1},
            {"limit", "limit", "", 1},
            {"xlimit=1&limitx=2", "limit", NULL, 0},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct och_http_request request = {.query = bytes_of(rows[i].query)};
        struct ochre_bytes value;
        size_t n;
        och_arena_init(&request.arena, &mem);
        check(och_http_query_get(&request, rows[i].name, &value, &n) == OCHRE_OK);
        check(n == rows[i].n);
        check((value.data == NULL) == (rows[i].value == NULL));
        if (value.data != NULL)
            check(value.size == strlen(rows[i].value) &&
                    memcmp(value.data, rows[i].value, value.size) == 0);
        och_arena_clear(&request.arena);
    }
    check(och_mem_used(&mem) == 0);
}

static bool
look_up(struct och_mem *account)
{
    struct och_http_request request = {.query = bytes_of("%61=%62")};
    struct ochre_bytes value;
    size_t n;
    och_arena_init(&request.arena, account);
    ochre_status status = och_http_query_get(&request, "a", &value, &n);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    och_arena_clear(&request.arena);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(look_up);
}

static void
an_error_replaces_what_was_written(void **state)
{
    struct och_http_response response = {.status = 200, .content_type = NULL};
    (void) state;
    och_buf_init(&response.body, &mem, 4096);
    och_buf_put_text(&response.body, "half an answer");
    och_http_error(&response, 404, och_http_error_name(404), "no \"%s\"\n", "thing");
    static const char wanted[] =
            "{\"error\":\"NotFoundError\",\"message\":\"no \\\"thing\\\"\\n\"}";
    check(response.status == 404 && strcmp(response.content_type, "application/json") == 0);
    check(response.body.size == sizeof(wanted) - 1);
    check(memcmp(response.body.data, wanted, response.body.size) == 0);
    och_buf_clear(&response.body);
    check(och_mem_used(&mem) == 0);
}

static void
statuses_have_the_names_clients_know(void **state)
{
    (void) state;
    check(strcmp(och_http_error_name(400), "InvalidArgumentError") == 0);
    check(strcmp(och_http_error_name(404), "NotFoundError") == 0);
    check(strcmp(och_http_error_name(410), "Unimplemented") == 0);
    check(strcmp(och_http_error_name(500), "InternalError") == 0);
    check(strcmp(och_http_error_name(401), "ChromaError") == 0);
    check(strcmp(och_http_error_name(503), "ChromaError") == 0);
}

static void
headers_are_found_by_any_case(void **state)
{
    static const struct och_http_field fields[] = {{.name = {"X-Token", 7}, .value = {"t", 1}}};
    const struct och_http_request request = {.fields = fields, .n_fields = 1};
    (void) state;
    check(och_http_header(&request, "x-token").data == fields[0].value.data);
    check(och_http_header(&request, "x-toke").data == NULL);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(methods_are_told_by_case),
            cmocka_unit_test(a_query_parameter_is_found_counted_and_decoded),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
            cmocka_unit_test(an_error_replaces_what_was_written),
            cmocka_unit_test(statuses_have_the_names_clients_know),
            cmocka_unit_test(headers_are_found_by_any_case),
    };
    och_mem_init(&mem, NULL);
    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
