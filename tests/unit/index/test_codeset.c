#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "index/text/codeset.h"
#include "index/text/unicode.h"
#include "support/check.h"

static struct och_mem mem;

/* Ascending, apart, inside the universe. */
static void
check_form(const struct och_codeset *set)
{
    check(!set->failed);
    for (size_t i = 0; i < set->n; i++) {
        const struct och_code_range *range = &set->ranges[i];
        check(range->first <= range->last && range->last <= OCH_CODE_POINT_MAX);
        check(range->last < 0xd800 || range->first > 0xdfff);
        check(i == 0 || set->ranges[i - 1].last + 1 < range->first);
    }
}

static void
surrogates_are_in_no_set(void **state)
{
    (void) state;
    struct och_codeset set;
    och_codeset_init(&set, &mem);
    och_codeset_add(&set, 0xd900, 0xda00);
    check(set.n == 0);
    och_codeset_negate(&set);
    check(set.n == 2);
    check(och_codeset_has(&set, 0xd7ff) && !och_codeset_has(&set, 0xd800));
    check(!och_codeset_has(&set, 0xdfff) && och_codeset_has(&set, 0xe000));
    check(och_codeset_has(&set, 0) && och_codeset_has(&set, OCH_CODE_POINT_MAX));
    och_codeset_negate(&set);
    check(set.n == 0);
    och_codeset_add(&set, 0xdfff, 0xe000);
    och_codeset_add(&set, 0xd7ff, 0xd800);
    check(set.n == 2);
    check_form(&set);
    och_codeset_clear(&set);
}

/* Sets near the surrogates, against one bool for each code point there. */
enum { FIRST = 0xd7f0, PLACES = 0x820 };

static void
check_model(const struct och_codeset *set, const bool model[PLACES])
{
    check_form(set);
    for (uint32_t i = 0; i < PLACES; i++)
        check(och_codeset_has(set, FIRST + i) == model[i]);
}

static void
add_random(struct och_codeset *set, bool model[PLACES], uint64_t *seed)
{
    uint32_t first = (uint32_t) och_random_below(seed, PLACES);
    uint32_t last = first + (uint32_t) och_random_below(seed, 40);
    if (last >= PLACES)
        last = PLACES - 1;
    if (och_random_below(seed, 3) == 0)
        last = first;
    och_codeset_add(set, FIRST + first, FIRST + last);
    for (uint32_t i = first; i <= last; i++)
        model[i] = FIRST + i < 0xd800 || FIRST + i > 0xdfff;
}

static void
random_operations_agree_with_an_array_of_bools(void **state)
{
    (void) state;
    uint64_t seed = 3;
    for (size_t round = 0; round < 1000; round++) {
        struct och_codeset a;
        struct och_codeset b;
        bool in_a[PLACES] = {false};
        bool in_b[PLACES] = {false};
        och_codeset_init(&a, &mem);
        och_codeset_init(&b, &mem);
        for (uint64_t n = och_random_below(&seed, 30); n > 0; n--)
            add_random(&a, in_a, &seed);
        for (uint64_t n = och_random_below(&seed, 30); n > 0; n--)
            add_random(&b, in_b, &seed);
        uint64_t operation = och_random_below(&seed, 4);
        if (operation == 0)
            och_codeset_unite(&a, &b);
        else if (operation == 1)
            och_codeset_intersect(&a, &b);
        else if (operation == 2)
            och_codeset_subtract(&a, &b);
        else
            och_codeset_differ(&a, &b);
        for (size_t i = 0; i < PLACES; i++) {
            const bool answers[] = {in_a[i] || in_b[i], in_a[i] && in_b[i], in_a[i] && !in_b[i],
                    in_a[i] != in_b[i]};
            in_a[i] = answers[operation];
        }
        check_model(&a, in_a);
        och_codeset_clear(&a);
        och_codeset_clear(&b);
    }
    check(och_mem_used(&mem) == 0);
}

static bool
build(struct och_mem *account)
{
    struct och_codeset a;
    struct och_codeset b;
    och_codeset_init(&a, account);
    och_codeset_init(&b, account);
    och_unicode_add_word(&a);
    och_unicode_fold(&a);
    och_codeset_add(&b, 'a', 'a');
    och_codeset_subtract(&a, &b);
    bool done = !a.failed && !b.failed;
    if (done)
        check(och_codeset_has(&a, 'b') && !och_codeset_has(&a, 'a'));
    och_codeset_clear(&a);
    och_codeset_clear(&b);
    return done;
}

static void
a_refused_allocation_sticks_and_harms_nothing(void **state)
{
    (void) state;
    check_each_allocation_failing(build);
}

static size_t
size_of(const struct och_codeset *set)
{
    size_t size = 0;
    for (size_t i = 0; i < set->n; i++)
        size += set->ranges[i].last - set->ranges[i].first + 1;
    return size;
}

static size_t
size_of_property(const char *name)
{
    struct och_codeset set;
    bool unequal = false;
    och_codeset_init(&set, &mem);
    check(och_unicode_add(&set, name, strlen(name), &unequal) == OCH_UNICODE_FOUND);
    check_form(&set);
    size_t size = size_of(&set);
    och_codeset_clear(&set);
    return size;
}

static void
every_code_point_has_one_category(void **state)
{
    (void) state;
    static const char *const names[] = {"L", "M", "N", "P", "S", "Z", "C"};
    size_t size = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        size += size_of_property(names[i]);
    check(size == size_of_property("any"));
    check(size == 0x110000 - 0x800);
    check(size_of_property("assigned") + size_of_property("Cn") == size);
    check(size_of_property("ascii") == 128);
}

static void
names_are_read_loosely(void **state)
{
    (void) state;
    static const char *const greek[] = {"Greek", "greek", "GREK", "is Greek", "sc=Greek",
            "Script:is_ greek", "script=g-r-e-e-k", "sc!=Greek"};
    for (size_t i = 0; i < sizeof(greek) / sizeof(greek[0]); i++)
        check(size_of_property(greek[i]) == 518);
    check(size_of_property("scx=Greek") > 518);
    check(size_of_property("sc") == size_of_property("Currency_Symbol"));
    check(size_of_property("lc") ==
            size_of_property("Lu") + size_of_property("Ll") + size_of_property("Lt"));
}

static void
names_that_are_none_are_told_apart(void **state)
{
    (void) state;
    static const struct {
        const char *name;
        size_t size;
        och_unicode_answer answer;
    } cases[] = {{"", 0, OCH_UNICODE_NO_PROPERTY}, {"Bogus", 5, OCH_UNICODE_NO_PROPERTY},
            {"L\0", 2, OCH_UNICODE_NO_PROPERTY}, {"Bogus=Lu", 8, OCH_UNICODE_NO_PROPERTY},
            {"gc=Greek", 8, OCH_UNICODE_NO_VALUE}, {"sc=Lu", 5, OCH_UNICODE_NO_VALUE},
            {"scx=Lu", 6, OCH_UNICODE_NO_VALUE}, {"Cs", 2, OCH_UNICODE_NO_PROPERTY},
            {"age=6.0", 7, OCH_UNICODE_NOT_HERE}, {"isc", 3, OCH_UNICODE_NO_PROPERTY}};
    char endless[200];
    memset(endless, 'x', sizeof(endless));
    struct och_codeset nothing;
    bool is_unequal = false;
    och_codeset_init(&nothing, &mem);
    check(och_unicode_add(&nothing, endless, sizeof(endless), &is_unequal) ==
            OCH_UNICODE_NO_PROPERTY);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct och_codeset set;
        bool unequal = false;
        och_codeset_init(&set, &mem);
        if (och_unicode_add(&set, cases[i].name, cases[i].size, &unequal) != cases[i].answer)
            fail_msg("%s", cases[i].name);
        check(set.n == 0 && !unequal);
        och_codeset_clear(&set);
    }
}

static void
folding_is_closed(void **state)
{
    (void) state;
    struct och_codeset set;
    och_codeset_init(&set, &mem);
    och_codeset_add(&set, 'k', 'k');
    och_unicode_fold(&set);
    check(size_of(&set) == 3 && och_codeset_has(&set, 'K') && och_codeset_has(&set, 0x212a));
    och_codeset_clear(&set);

    bool unequal = false;
    check(och_unicode_add(&set, "Lu", 2, &unequal) == OCH_UNICODE_FOUND);
    och_unicode_fold(&set);
    size_t size = size_of(&set);
    och_unicode_fold(&set);
    check(size_of(&set) == size);
    check_form(&set);
    och_codeset_clear(&set);
}

static void
names_of_groups_and_spaces_follow_the_tables(void **state)
{
    (void) state;
    check(och_unicode_begins_name('_') && och_unicode_begins_name(0xe9));
    check(!och_unicode_begins_name('1') && !och_unicode_begins_name('.'));
    check(och_unicode_continues_name('1') && och_unicode_continues_name('.'));
    check(och_unicode_continues_name(']') && !och_unicode_continues_name('-'));
    check(och_unicode_is_space(' ') && och_unicode_is_space(0x2028) && och_unicode_is_space(0x85));
    check(!och_unicode_is_space('a') && !och_unicode_is_space(0x200b));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(surrogates_are_in_no_set),
            cmocka_unit_test(random_operations_agree_with_an_array_of_bools),
            cmocka_unit_test(a_refused_allocation_sticks_and_harms_nothing),
            cmocka_unit_test(every_code_point_has_one_category),
            cmocka_unit_test(names_are_read_loosely),
            cmocka_unit_test(names_that_are_none_are_told_apart),
            cmocka_unit_test(folding_is_closed),
            cmocka_unit_test(names_of_groups_and_spaces_follow_the_tables),
    };
    och_mem_init(&mem, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
