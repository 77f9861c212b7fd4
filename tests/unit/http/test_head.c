#include <string.h>

#include "base/limits.h"
#include "http/head.h"
#include "support/check.h"

static struct ochre_bytes
bytes_of(const char *text)
{
    return text == NULL ? (struct ochre_bytes){0} : (struct ochre_bytes){text, strlen(text)};
}

/* "name: value" lines, taken apart; a line without a colon has an empty value. */
static size_t
fields_of(const char *const *lines, struct och_http_field *fields)
{
    size_t n = 0;
    for (; lines[n] != NULL; n++) {
        const char *colon = strchr(lines[n], ':');
        fields[n].name = bytes_of(lines[n]);
        fields[n].value = (struct ochre_bytes){"", 0};
        if (colon != NULL) {
            fields[n].name.size = (size_t) (colon - lines[n]);
            fields[n].value = bytes_of(colon + 2);
        }
    }
    return n;
}

static void
sound_framing_is_understood(void **state)
{
    static const struct {
        const char *lines[4];
        struct och_http_framing wanted;
    } rows[] = {
            {{NULL}, {0}},
            {{"Host: a", "Accept: */*", NULL}, {0}},
            {{"Content-Length: 0", NULL}, {.has_length = true}},
            {{"content-LENGTH: 41943040", NULL}, {.has_length = true, .length = 41943040}},
            {{"Transfer-Encoding: chunked", NULL}, {.is_chunked = true}},
            {{"Transfer-Encoding: Chunked", NULL}, {.is_chunked = true}},
            {{"Content-Length: 007", "Expect: 100-Continue", NULL},
                    {.has_length = true, .length = 7, .waits = true}},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct och_http_field fields[4];
        size_t n = fields_of(rows[i].lines, fields);
        struct och_http_framing framing = och_http_framing_of(fields, n, false);
        check(framing.status == 0);
        check(framing.has_length == rows[i].wanted.has_length);
        check(framing.length == rows[i].wanted.length);
        check(framing.is_chunked == rows[i].wanted.is_chunked);
        check(framing.waits == rows[i].wanted.waits);
    }
}

static void
framing_two_servers_may_read_differently_is_refused(void **state)
{
    static const struct {
        unsigned status;
        const char *lines[4];
    } rows[] = {
            {400, {"Content-Length: 5", "Content-Length: 5", NULL}},
            {400, {"Content-Length: 5", "Content-Length: 6", NULL}},
            {400, {"Content-Length: 5", "Transfer-Encoding: chunked", NULL}},
            {400, {"Transfer-Encoding: chunked", "Content-Length: 5", NULL}},
            {400, {"Transfer-Encoding: chunked", "Transfer-Encoding: chunked", NULL}},
            {400, {"Host: a", "Host: a", NULL}},
            {400, {"Host: a", "host: b", NULL}},
            {400, {"Content-Length: +5", NULL}},
            {400, {"Content-Length: -5", NULL}},
            {400, {"Content-Length: 5, 5", NULL}},
            {400, {"Content-Length: 0x5", NULL}},
            {400, {"Content-Length: ", NULL}},
            {400, {"Content-Length: 1 2", NULL}},
            {400, {"Content-Length: 9999999999999999999", NULL}},
            {400, {"Content-Length : 5", NULL}},
            {400, {"Content Length: 5", NULL}},
            {400, {": 5", NULL}},
            {400, {"a\x01: 5", NULL}},
            {400, {"\xc3\xa9: 5", NULL}},
            {400, {"a: b\rc", NULL}},
            {400, {"a: \x7f", NULL}},
            {417, {"Expect: 200-ok", NULL}},
            {501, {"Transfer-Encoding: gzip", NULL}},
            {501, {"Transfer-Encoding: gzip, chunked", NULL}},
            {501, {"Transfer-Encoding: chunked, chunked", NULL}},
            {501, {"Transfer-Encoding: xchunked", NULL}},
            {501, {"Transfer-Encoding: ", NULL}},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct och_http_field fields[4];
        size_t n = fields_of(rows[i].lines, fields);
        struct och_http_framing framing = och_http_framing_of(fields, n, false);
        if (framing.status != rows[i].status)
            print_error("row %zu: %u\n", i, framing.status);
        check(framing.status == rows[i].status);
        check(framing.message != NULL);
    }
    static const char *const chunked[] = {"Transfer-Encoding: chunked", NULL};
    struct och_http_field fields[1];
    check(och_http_framing_of(fields, fields_of(chunked, fields), true).status == 400);
}

static void
headers_at_their_limits_pass_and_above_are_refused(void **state)
{
    static struct och_http_field fields[OCH_HTTP_HEADERS_MAX + 1];
    static char text[OCH_HTTP_HEADER_MAX + 1];
    (void) state;
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        fields[i] = (struct och_http_field){.name = {"x", 1}, .value = {"y", 1}};
    check(och_http_framing_of(fields, OCH_HTTP_HEADERS_MAX, false).status == 0);
    check(och_http_framing_of(fields, OCH_HTTP_HEADERS_MAX + 1, false).status == 431);

    fields[0].value = (struct ochre_bytes){text, OCH_HTTP_HEADER_MAX - 1};
    check(och_http_framing_of(fields, 1, false).status == 0);
    fields[0].value.size++;
    check(och_http_framing_of(fields, 1, false).status == 431);

    enum { n_full = OCH_HTTP_HEADERS_SIZE_MAX / OCH_HTTP_HEADER_MAX };
    for (size_t i = 0; i < n_full; i++)
        fields[i].value = (struct ochre_bytes){text, OCH_HTTP_HEADER_MAX - 1};
    check(och_http_framing_of(fields, n_full, false).status == 0);
    check(och_http_framing_of(fields, n_full + 1, false).status == 431);
}

static void
json_types_are_told_from_others(void **state)
{
    static const char *const json[] = {"application/json", "APPLICATION/JSON",
            "application/json; charset=utf-8", "application/json ;x", "application/vnd.x+json",
            "application/a+b+JSON;q"};
    static const char *const other[] = {"", "text/plain", "application/x-www-form-urlencoded",
            "application/json-seq", "application/jsonx", "application/+json", "application/",
            "application/a b+json", "text/json", "application/json, text/plain", "; charset=utf-8",
            "json"};
    (void) state;
    for (size_t i = 0; i < sizeof(json) / sizeof(json[0]); i++)
        check(och_http_type_is_json(bytes_of(json[i])));
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
        check(!och_http_type_is_json(bytes_of(other[i])));
    check(!och_http_type_is_json((struct ochre_bytes){0}));
}

static void
hosts_of_this_machine_are_allowed_and_others_are_not(void **state)
{
    static const char *const own[] = {"", "localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1",
            "127.0.0.1:8000", "127.255.1.2", "[::1]", "[::1]:8000", "app.localhost:80",
            "[0:0:0:0:0:0:0:1]"};
    static const char *const foreign[] = {"example.com", "example.com:8000", "localhost.evil.com",
            "127.0.0.1.evil.com", "evil-localhost", ".localhost", "10.0.0.1", "[::2]", "[::1",
            "::1]", "localhost:80a", "localhost:1234567", "localhost:80:80", "127.1", "2130706433",
            ":8000", "[]", "localhost/", "a\0b"};
    const struct och_http_host_rule rule = {0};
    (void) state;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        check(och_http_host_is_allowed(bytes_of(own[i]), &rule));
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        check(!och_http_host_is_allowed(bytes_of(foreign[i]), &rule));
    check(och_http_host_is_allowed((struct ochre_bytes){0}, &rule));
}

static void
configured_hosts_are_allowed(void **state)
{
    static const char *const names[] = {"db.example.com", "other:9000"};
    static const char *const all[] = {"*"};
    (void) state;
    struct och_http_host_rule rule = {.host = "ochre.lan", .names = names, .n_names = 2};
    check(och_http_host_is_allowed(bytes_of("ochre.lan:8000"), &rule));
    check(och_http_host_is_allowed(bytes_of("DB.example.com"), &rule));
    check(och_http_host_is_allowed(bytes_of("db.example.com:1"), &rule));
    check(och_http_host_is_allowed(bytes_of("other:9000"), &rule));
    check(!och_http_host_is_allowed(bytes_of("other:9001"), &rule));
    check(!och_http_host_is_allowed(bytes_of("10.0.0.1"), &rule));

    rule = (struct och_http_host_rule){.any_address = true, .machine = "box"};
    check(och_http_host_is_allowed(bytes_of("10.0.0.1:8000"), &rule));
    check(och_http_host_is_allowed(bytes_of("[fe80::2]"), &rule));
    check(och_http_host_is_allowed(bytes_of("box"), &rule));
    check(!och_http_host_is_allowed(bytes_of("example.com"), &rule));

    rule = (struct och_http_host_rule){.names = all, .n_names = 1};
    check(och_http_host_is_allowed(bytes_of("example.com"), &rule));
}

static void
an_origin_is_ours_listed_or_foreign(void **state)
{
    static const char *const names[] = {"https://app.example.com"};
    static const char *const all[] = {"*"};
    struct ochre_bytes host = bytes_of("localhost:8000");
    (void) state;
    check(och_http_origin_is_allowed(bytes_of("http://localhost:8000"), host, NULL, 0));
    check(och_http_origin_is_allowed(bytes_of("HTTP://LOCALHOST:8000"), host, NULL, 0));
    check(!och_http_origin_is_allowed(bytes_of("http://localhost:3000"), host, NULL, 0));
    check(!och_http_origin_is_allowed(bytes_of("https://localhost:8000"), host, NULL, 0));
    check(!och_http_origin_is_allowed(bytes_of("null"), host, NULL, 0));
    check(!och_http_origin_is_allowed(bytes_of("http://"), (struct ochre_bytes){0}, NULL, 0));
    check(!och_http_origin_is_allowed(bytes_of("http://evil.com"), host, names, 1));
    check(och_http_origin_is_allowed(bytes_of("https://app.example.com"), host, names, 1));
    check(och_http_origin_is_allowed(bytes_of("http://evil.com"), host, all, 1));
    check(och_http_origin_is_listed(bytes_of("https://APP.example.com"), names, 1));
    check(!och_http_origin_is_listed(bytes_of("http://evil.com"), all, 1));
}

static void
a_field_is_found_by_any_case_and_the_first_counts(void **state)
{
    static const char *const lines[] = {"A: 1", "a: 2", "B: 3", NULL};
    struct och_http_field fields[3];
    (void) state;
    size_t n = fields_of(lines, fields);
    check(och_http_field_find(fields, n, "a").data[0] == '1');
    check(och_http_field_find(fields, n, "b").data[0] == '3');
    check(och_http_field_find(fields, n, "c").data == NULL);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(sound_framing_is_understood),
            cmocka_unit_test(framing_two_servers_may_read_differently_is_refused),
            cmocka_unit_test(headers_at_their_limits_pass_and_above_are_refused),
            cmocka_unit_test(json_types_are_told_from_others),
            cmocka_unit_test(hosts_of_this_machine_are_allowed_and_others_are_not),
            cmocka_unit_test(configured_hosts_are_allowed),
            cmocka_unit_test(an_origin_is_ours_listed_or_foreign),
            cmocka_unit_test(a_field_is_found_by_any_case_and_the_first_counts),
    };
    return cmocka_run_group_tests_name("head", tests, NULL, NULL);
}
