#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "api/names.h"
#include "base/limits.h"
#include "base/random.h"
#include "base/utf8.h"
#include "support/check.h"

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

static void
check_name(och_name_kind kind, const char *name, bool allowed)
{
    struct ochre_error err = {.status = OCHRE_OK};
    ochre_status status = och_name_check(kind, bytes_of(name), &err);
    if (status != (allowed ? OCHRE_OK : OCHRE_INVALID))
        print_error("name '%s': %s\n", name, err.message);
    check(status == (allowed ? OCHRE_OK : OCHRE_INVALID));
}

static void
databases_and_collections_have_plain_names(void **state)
{
    static const char *const allowed[] = {"abc", "ABC", "123", "a-b_c.d", "a.b.c", "0a0",
            "1.2.3.4.5", "1.2.3", "256.1.1.1", "01.2.3.4", "1.2.3.4a", "a--b", "a__b", "a.-.b",
            "top+name", "abc+1.2.3"};
    static const char *const refused[] = {"", "a", "ab", "a b", "a/b", "a:b", "_abc", "abc_",
            "-abc", "abc-", ".abc", "abc.", "a..b", "\xc3\xbc\xc3\xbc\xc3\xbc", "1.2.3.4",
            "0.0.0.0", "255.255.255.255", "::1", "fe80::1", "a+b", "+", "abc+", "+abc", "aa+bbb",
            "abc+de", "abc+def+ghi", "abc++def", "1.2.3.4+abc", "abc+1.2.3.4", "abc\n", "abc\x7f",
            "abc@d"};

    (void) state;
    for (int kind = OCH_NAME_DATABASE; kind <= OCH_NAME_COLLECTION; kind++) {
        for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
            check_name((och_name_kind) kind, allowed[i], true);
        for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
            check_name((och_name_kind) kind, refused[i], false);
    }
}

static void
a_name_may_be_as_long_as_the_limit_and_no_longer(void **state)
{
    char text[OCH_NAME_SIZE_MAX + 2];
    (void) state;
    memset(text, 'x', sizeof(text));
    for (size_t size = 0; size <= OCH_NAME_SIZE_MAX + 1; size++) {
        bool allowed = size >= OCH_NAME_SIZE_MIN && size <= OCH_NAME_SIZE_MAX;
        struct ochre_bytes name = {text, size};
        check((och_name_check(OCH_NAME_COLLECTION, name, NULL) == OCHRE_OK) == allowed);
    }
    /* A plus does not make room for two. */
    text[100] = '+';
    check(och_name_check(OCH_NAME_DATABASE, (struct ochre_bytes){text, OCH_NAME_SIZE_MAX}, NULL) ==
            OCHRE_OK);
    check(och_name_check(OCH_NAME_DATABASE, (struct ochre_bytes){text, OCH_NAME_SIZE_MAX + 1},
                  NULL) == OCHRE_INVALID);
}

static void
a_name_ends_where_its_size_says(void **state)
{
    (void) state;
    check(och_name_check(OCH_NAME_COLLECTION, (struct ochre_bytes){"abc def", 3}, NULL) ==
            OCHRE_OK);
    check(och_name_check(OCH_NAME_COLLECTION, (struct ochre_bytes){"abc\0def", 7}, NULL) ==
            OCHRE_INVALID);
    check(och_name_check(OCH_NAME_COLLECTION, (struct ochre_bytes){NULL, 0}, NULL) ==
            OCHRE_INVALID);
}

/* Addresses and near misses: digits, dots and now and then something else. */
static void
the_ipv4_test_agrees_with_inet_pton(void **state)
{
    uint64_t seed = 7;
    size_t n_addresses = 0;
    (void) state;
    for (int step = 0; step < 200000; step++) {
        char text[32];
        size_t size = 0;
        unsigned parts = 3 + (unsigned) och_random_below(&seed, 20) / 18;
        for (unsigned part = 0; part <= parts; part++) {
            static const unsigned bounds[] = {1, 10, 100, 260, 1000, 5000};
            unsigned bound = bounds[och_random_below(&seed, 6)];
            bool zero = och_random_below(&seed, 30) == 0;
            bool hole = och_random_below(&seed, 40) == 0;
            if (part > 0)
                text[size++] = och_random_below(&seed, 60) == 0 ? ':' : '.';
            if (zero)
                text[size++] = '0';
            if (!hole)
                size += (size_t) snprintf(text + size, sizeof(text) - size, "%u",
                        (unsigned) och_random_below(&seed, bound));
        }
        text[size] = '\0';
        struct in_addr address;
        bool expected = inet_pton(AF_INET, text, &address) == 1;
        n_addresses += expected;
        if (och_name_is_ipv4((struct ochre_bytes){text, size}) != expected)
            print_error("'%s'\n", text);
        check(och_name_is_ipv4((struct ochre_bytes){text, size}) == expected);
    }
    check(n_addresses > 1000);
}

static void
no_ipv6_address_is_a_name(void **state)
{
    uint64_t seed = 8;
    (void) state;
    for (int step = 0; step < 20000; step++) {
        struct in6_addr address;
        char text[INET6_ADDRSTRLEN];
        for (size_t i = 0; i < sizeof(address.s6_addr); i++)
            address.s6_addr[i] =
                    och_random_below(&seed, 2) == 0 ? 0 : (uint8_t) och_random_below(&seed, 256);
        check(inet_ntop(AF_INET6, &address, text, sizeof(text)) != NULL);
        check(och_name_check(OCH_NAME_COLLECTION, bytes_of(text), NULL) == OCHRE_INVALID);
    }
}

static void
tenants_need_three_characters_of_any_kind(void **state)
{
    char text[OCH_TENANT_SIZE_MAX + 1];
    (void) state;
    check_name(OCH_NAME_TENANT, "", false);
    check_name(OCH_NAME_TENANT, "ab", false);
    check_name(OCH_NAME_TENANT, "\xc3\xbc\xc3\xbc", false); /* four bytes, two characters */
    check_name(OCH_NAME_TENANT, "abc", true);
    check_name(OCH_NAME_TENANT, "  \xe2\x98\x83/?#", true);
    check_name(OCH_NAME_TENANT, "1.2.3.4", true);
    check_name(OCH_NAME_TENANT, "abc\xff", false);

    memset(text, 'x', sizeof(text));
    check(och_name_check(OCH_NAME_TENANT, (struct ochre_bytes){text, OCH_TENANT_SIZE_MAX}, NULL) ==
            OCHRE_OK);
    check(och_name_check(OCH_NAME_TENANT, (struct ochre_bytes){text, OCH_TENANT_SIZE_MAX + 1},
                  NULL) == OCHRE_INVALID);
}

static void
metadata_keys_are_not_empty_and_not_reserved(void **state)
{
    static const char *const allowed[] = {
            "a", " ", "a#", "a$", "chroma:document", "hnsw:space", "\xc3\xbc", "1", "_", "."};
    static const char *const refused[] = {"", "#", "#a", "$", "$and"};
    char text[OCH_KEY_SIZE_MAX + 1];

    (void) state;
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        check(och_metadata_key_check(bytes_of(allowed[i]), NULL) == OCHRE_OK);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        check(och_metadata_key_check(bytes_of(refused[i]), NULL) == OCHRE_INVALID);

    memset(text, 'k', sizeof(text));
    check(och_metadata_key_check((struct ochre_bytes){text, OCH_KEY_SIZE_MAX}, NULL) == OCHRE_OK);
    check(och_metadata_key_check((struct ochre_bytes){text, OCH_KEY_SIZE_MAX + 1}, NULL) ==
            OCHRE_INVALID);
}

static void
messages_name_the_name_and_the_rule(void **state)
{
    static const struct {
        och_name_kind kind;
        const char *name, *words;
    } cases[] = {
            {OCH_NAME_COLLECTION, "ab", "'ab' has 2 bytes; 3 to 512"},
            {OCH_NAME_COLLECTION, "a c", "'a c'"},
            {OCH_NAME_COLLECTION, "a c", "at byte 1"},
            {OCH_NAME_COLLECTION, "-ab", "start and end"},
            {OCH_NAME_DATABASE, "a..b", "(..)"},
            {OCH_NAME_DATABASE, "1.2.3.4", "ip address"},
            {OCH_NAME_DATABASE, "abc+def+ghi", "2 '+'"},
            {OCH_NAME_TENANT, "ab", "'ab' has 2 characters; at least 3"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ochre_error err = {.status = OCHRE_OK};
        check(och_name_check(cases[i].kind, bytes_of(cases[i].name), &err) == OCHRE_INVALID);
        check(strstr(err.message, cases[i].words) != NULL);
    }
}

static void
messages_show_whole_characters(void **state)
{
    char text[1200];
    (void) state;
    for (size_t i = 0; i < sizeof(text); i += 3)
        memcpy(text + i, "\xe2\x98\x83", 3);
    for (size_t start = 0; start <= 3; start++) {
        struct ochre_error err = {.status = OCHRE_OK};
        text[0] = 'x';
        text[1] = 'x';
        text[2] = 'x';
        struct ochre_bytes name = {text + start, sizeof(text) - start};
        check(och_name_check(OCH_NAME_COLLECTION, name, &err) == OCHRE_INVALID);
        check(och_utf8_is_valid(err.message, strlen(err.message)));
    }
    check(och_name_shown((struct ochre_bytes){"\xe2\x98\x83", 3}, 2) == 0);
    check(och_name_shown((struct ochre_bytes){"\xe2\x98\x83", 3}, 3) == 3);
    check(och_name_shown((struct ochre_bytes){"a\0b", 3}, 3) == 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(databases_and_collections_have_plain_names),
            cmocka_unit_test(a_name_may_be_as_long_as_the_limit_and_no_longer),
            cmocka_unit_test(a_name_ends_where_its_size_says),
            cmocka_unit_test(the_ipv4_test_agrees_with_inet_pton),
            cmocka_unit_test(no_ipv6_address_is_a_name),
            cmocka_unit_test(tenants_need_three_characters_of_any_kind),
            cmocka_unit_test(metadata_keys_are_not_empty_and_not_reserved),
            cmocka_unit_test(messages_name_the_name_and_the_rule),
            cmocka_unit_test(messages_show_whole_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
