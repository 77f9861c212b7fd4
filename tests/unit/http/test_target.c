#include <string.h>

#include "base/random.h"
#include "http/target.h"
#include "support/check.h"

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

static bool
is(struct ochre_bytes bytes, const char *text)
{
    if (text == NULL)
        return bytes.data == NULL;
    return bytes.data != NULL && bytes.size == strlen(text) &&
            memcmp(bytes.data, text, bytes.size) == 0;
}

static void
a_target_is_split_at_its_first_question_mark(void **state)
{
    static const struct {
        const char *target, *authority, *path, *query;
    } rows[] = {
            {"/", NULL, "/", NULL},
            {"/a/b", NULL, "/a/b", NULL},
            {"/a?", NULL, "/a", ""},
            {"/a?b=1&c?d", NULL, "/a", "b=1&c?d"},
            {"//a", NULL, "//a", NULL},
            {"/%2F?%3F", NULL, "/%2F", "%3F"},
            {"/\xc3\xa9", NULL, "/\xc3\xa9", NULL},
            {"*", NULL, "*", NULL},
            {"http://host:80/a?b", "host:80", "/a", "b"},
            {"HTTP://host", "host", "/", NULL},
            {"http://host?b", "host", "/", "b"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct och_http_target target;
        check(och_http_target_split(bytes_of(rows[i].target), &target));
        check(is(target.authority, rows[i].authority));
        check(is(target.path, rows[i].path));
        check(is(target.query, rows[i].query));
    }
}

static void
what_is_not_a_path_is_refused(void **state)
{
    static const char *const targets[] = {"", "a", "?a", "a/b", "**", "*/", "http://", "http:///a",
            "https://host/a", "/a b", "/a\tb", "/a\x7f", "/\x01", "\n/"};
    (void) state;
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct och_http_target target;
        check(!och_http_target_split(bytes_of(targets[i]), &target));
        check(target.path.data == NULL && target.query.data == NULL);
    }
}

static void
text_is_decoded_once(void **state)
{
    static const struct {
        const char *text, *path, *query;
    } rows[] = {
            {"", "", ""},
            {"abc", "abc", "abc"},
            {"a%2Fb", "a/b", "a/b"},
            {"%25%32%46", "%2F", "%2F"},
            {"a+b", "a+b", "a b"},
            {"%2b%2B", "++", "++"},
            {"%", "%", "%"},
            {"%4", "%4", "%4"},
            {"%4g%zz%41", "%4g%zzA", "%4g%zzA"},
            {"%%41", "%A", "%A"},
            {"%e2%82%ac", "\xe2\x82\xac", "\xe2\x82\xac"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[32];
        struct ochre_bytes text = bytes_of(rows[i].text);
        check(is((struct ochre_bytes){out, och_http_decode(text, false, out)}, rows[i].path));
        check(is((struct ochre_bytes){out, och_http_decode(text, true, out)}, rows[i].query));
    }
    char out[4];
    check(och_http_decode(bytes_of("%00"), false, out) == 1 && out[0] == '\0');
}

static void
any_bytes_survive_encoding_and_decoding(void **state)
{
    enum { n_rounds = 2000, size_max = 40 };
    uint64_t seed = 7;
    (void) state;
    for (int round = 0; round < n_rounds; round++) {
        static const char digits[] = "0123456789abcdefABCDEF";
        char plain[size_max], encoded[3 * size_max], decoded[3 * size_max];
        size_t size = (size_t) och_random_below(&seed, size_max + 1), n = 0;
        for (size_t i = 0; i < size; i++) {
            unsigned char byte = (unsigned char) och_random_below(&seed, 256);
            plain[i] = (char) byte;
            if (byte != '%' && byte != '+' && och_random_below(&seed, 2) == 0) {
                encoded[n++] = (char) byte;
                continue;
            }
            size_t upper = och_random_below(&seed, 2) * 6;
            encoded[n++] = '%';
            encoded[n++] = digits[(byte >> 4) + (byte >> 4 > 9 ? upper : 0)];
            encoded[n++] = digits[(byte & 15) + ((byte & 15) > 9 ? upper : 0)];
        }
        struct ochre_bytes text = {encoded, n};
        check(och_http_decode(text, true, decoded) == size);
        check(size == 0 || memcmp(plain, decoded, size) == 0);
        if (!och_http_is_encoded(text, true))
            check(n == size);
    }
}

static void
a_query_is_walked_pair_by_pair(void **state)
{
    static const struct {
        const char *query;
        const char *pairs[8];
    } rows[] = {
            {"", {NULL}},
            {"a", {"a", ""}},
            {"a=", {"a", ""}},
            {"=b", {"", "b"}},
            {"a=b=c", {"a", "b=c"}},
            {"&&a=1&&b=2&", {"a", "1", "b", "2"}},
            {"a=1&a=2&a=3", {"a", "1", "a", "2", "a", "3"}},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ochre_bytes rest = bytes_of(rows[i].query), name, value;
        size_t n = 0;
        while (och_http_query_next(&rest, &name, &value)) {
            check(is(name, rows[i].pairs[n]) && is(value, rows[i].pairs[n + 1]));
            n += 2;
        }
        check(rows[i].pairs[n] == NULL);
        check(!och_http_query_next(&rest, &name, &value));
    }
    struct ochre_bytes absent = {0}, name, value;
    check(!och_http_query_next(&absent, &name, &value));
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_target_is_split_at_its_first_question_mark),
            cmocka_unit_test(what_is_not_a_path_is_refused),
            cmocka_unit_test(text_is_decoded_once),
            cmocka_unit_test(any_bytes_survive_encoding_and_decoding),
            cmocka_unit_test(a_query_is_walked_pair_by_pair),
    };
    return cmocka_run_group_tests_name("target", tests, NULL, NULL);
}
