#include <string.h>

#include "cli/suggest.h"
#include "support/check.h"

static const char *const names[] = {"run", "serve", "check", "version", "help", "port", "path"};
enum { N_NAMES = sizeof(names) / sizeof(names[0]) };

static void
slips_find_the_name_that_was_meant(void **state)
{
    static const char *const rows[][2] = {
            {"rn", "run"},
            {"urn", "run"},
            {"runn", "run"},
            {"ran", "run"},
            {"chekc", "check"},
            {"chek", "check"},
            {"verison", "version"},
            {"vresoin", "version"},
            {"hlep", "help"},
            {"prot", "port"},
            {"pat", "path"},
            {"check", "check"},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *found = och_suggest(rows[i][0], names, N_NAMES);
        check(found != NULL && strcmp(found, rows[i][1]) == 0);
    }
}

static void
what_is_no_slip_finds_nothing(void **state)
{
    static const char *const texts[] = {"", "x", "runaway", "hold", "configuration", "chxxk",
            "a-word-that-is-far-longer-than-any-name-that-this-program-could-ever-have"};
    (void) state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        check(och_suggest(texts[i], names, N_NAMES) == NULL);
    check(och_suggest("run", names, 0) == NULL);
}

static void
of_equally_near_names_the_first_is_taken(void **state)
{
    static const char *const twins[] = {"bat", "cat", "rat"};
    (void) state;
    check(och_suggest("mat", twins, 3) == twins[0]);
    check(och_suggest("rat", twins, 3) == twins[2]);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(slips_find_the_name_that_was_meant),
            cmocka_unit_test(what_is_no_slip_finds_nothing),
            cmocka_unit_test(of_equally_near_names_the_first_is_taken),
    };
    return cmocka_run_group_tests_name("suggest", tests, NULL, NULL);
}
