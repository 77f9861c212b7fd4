#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/random.h"
#include "index/text/regex.h"
#include "support/check.h"
#include "unit/index/regex_cases.h"

static struct och_mem mem;

static ochre_status
compile(const char *pattern, size_t size, struct och_regex **regex_out, struct ochre_error *err)
{
    return och_regex_compile(&mem, (struct ochre_bytes){pattern, size}, regex_out, err);
}

static bool
matches(const char *pattern, const char *text)
{
    struct och_regex *regex = NULL;
    struct ochre_error err = {0};
    check_ok(compile(pattern, strlen(pattern), &regex, &err), &err);
    bool found = och_regex_matches(regex, text, strlen(text));
    check(och_regex_status(regex) == OCHRE_OK);
    och_regex_release(regex);
    return found;
}

static void
check_refused(const char *pattern, const char *message)
{
    struct och_regex *regex = NULL;
    struct ochre_error err = {0};
    check(compile(pattern, strlen(pattern), &regex, &err) == OCHRE_INVALID);
    check(regex == NULL);
    assert_string_equal(err.message, message);
    check(och_mem_used(&mem) == 0);
}

/* --- the dialect ---------------------------------------------------------- */

static void
answers_are_those_of_the_dialect(void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof(regex_cases) / sizeof(regex_cases[0]); i++) {
        const struct regex_case *c = &regex_cases[i];
        struct och_regex *regex = NULL;
        struct ochre_error err = {0};
        ochre_status status = compile(c->pattern, c->pattern_size, &regex, &err);
        regex_answer answer = REFUSED;
        if (status == OCHRE_OK)
            answer = och_regex_matches(regex, c->text, c->text_size) ? MATCH : NO_MATCH;
        och_regex_release(regex);
        if (answer != c->answer)
            fail_msg("case %zu: \"%s\" on \"%s\": %d, not %d; %s", i, c->pattern, c->text,
                    (int) answer, (int) c->answer, err.message);
    }
    check(och_mem_used(&mem) == 0);
}

static void
errors_say_where_and_why(void **state)
{
    (void) state;
    check_refused("ab(", "regular expression, byte 2: no ')' closes this group");
    check_refused("a)", "regular expression, byte 1: no '(' belongs to this ')'");
    check_refused("\xc3\xa9[a", "regular expression, byte 2: no ']' closes this class");
    check_refused("a|*", "regular expression, byte 2: there is nothing to repeat");
    check_refused("a{2", "regular expression, byte 1: no '}' behind the count of repeats");
    check_refused(
            "a{3,2}", "regular expression, byte 1: the least count of repeats is above the most");
    check_refused("x[z-a]", "regular expression, byte 2: the range's end is before its beginning");
    check_refused("(a)\\1", "regular expression, byte 3: there are no back-references");
    check_refused("a(?=b)", "regular expression, byte 1: there is no looking ahead or behind");
    check_refused("\\p{Klingon}", "regular expression, byte 0: there is no such property");
    check_refused("(?<a>x)(?<a>y)", "regular expression, byte 10: two groups have this name");
    check_refused("a\\q", "regular expression, byte 1: there is no such escape");
}

static void
bytes_that_are_no_characters_are_refused(void **state)
{
    (void) state;
    struct och_regex *regex = NULL;
    struct ochre_error err = {0};
    check(compile("a\xff", 2, &regex, &err) == OCHRE_INVALID);
    assert_string_equal(err.message, "the regular expression is not valid UTF-8");
    check_refused("(?-u)\\xff",
            "regular expression, byte 5: without flag u this would match bytes that are not "
            "UTF-8, which no text holds");
}

static void
classes_without_flag_u_are_those_of_ascii(void **state)
{
    (void) state;
    check(matches("(?-u)^\\w\\s\\d$", "_\v7"));
    check(!matches("(?-u)\\w|\\d", "\xc3\xa9\xd9\xa3"));
    check(!matches("(?-u)\\s", "\xe2\x80\xa8"));
    check(matches("(?-u:\\w)\\s", "a\xe2\x80\xa8"));
    check(!matches("(?i-u)k", "\xe2\x84\xaa"));
}

/* src/index/text/README.md lists these; a change here is a change there. */
static void
what_the_dialect_has_and_we_have_not_is_refused(void **state)
{
    (void) state;
    check_refused(
            "(?mR)^a", "regular expression, byte 5: flags m and R together are not supported here");
    check_refused(
            "(?mR)a$", "regular expression, byte 6: flags m and R together are not supported here");
    check_refused("\\b{start}a",
            "regular expression, byte 0: of word boundaries only \\b and \\B are supported, not "
            "their halves");
    check_refused("\\<a",
            "regular expression, byte 0: of word boundaries only \\b and \\B are supported, not "
            "their halves");
    check_refused("\\p{age=6.0}", "regular expression, byte 0: this property is not supported");
}

static void
word_boundaries_know_ascii_words_only(void **state)
{
    (void) state;
    check(matches("\\bpie\\b", "a pie!"));
    check(!matches("\\bpie\\b", "magpie"));
    check(matches("\\bpie\\b", "\xc3\xa9pie")); /* the dialect: no match */
    check(!matches("\\b\xc3\xa9", "\xc3\xa9")); /* the dialect: a match */
}

/* --- against a model ------------------------------------------------------- */

/*
 * Patterns over the letters a and b, as a tree, and what they match by the
 * plainest means: the set of places where a match can end, from a set of places
 * where it begins, one bit a place.
 */
enum { NODES = 64, TEXT_MAX = 12 };

typedef enum node_kind { LETTER, DOT, BEGIN, END, BOTH, EITHER, REPEAT } node_kind;

struct node {
    node_kind kind;
    char letter;
    size_t left, right;
    unsigned least, most; /* most 0: no bound */
};

struct model {
    struct node nodes[NODES];
    size_t n;
    char pattern[2000];
    size_t size;
    uint64_t seed;
};

static void
put(struct model *model, const char *text)
{
    size_t size = strlen(text);
    check(model->size + size < sizeof(model->pattern));
    memcpy(model->pattern + model->size, text, size + 1);
    model->size += size;
}

static size_t
grow(struct model *model, unsigned depth)
{
    size_t index = model->n++;
    check(index < NODES);
    struct node node = {.kind = (node_kind) och_random_below(&model->seed, 7)};
    if (depth == 0 && node.kind >= BOTH)
        node.kind = LETTER;
    node.letter = och_random_below(&model->seed, 2) == 0 ? 'a' : 'b';
    char count[32];
    switch (node.kind) {
    case LETTER:
        put(model, node.letter == 'a' ? "a" : "b");
        break;
    case DOT:
        put(model, ".");
        break;
    case BEGIN:
        put(model, "^");
        break;
    case END:
        put(model, "$");
        break;
    case BOTH:
        node.left = grow(model, depth - 1);
        node.right = grow(model, depth - 1);
        break;
    case EITHER:
        put(model, "(");
        node.left = grow(model, depth - 1);
        put(model, "|");
        node.right = grow(model, depth - 1);
        put(model, ")");
        break;
    case REPEAT:
        put(model, "(?:");
        node.left = grow(model, depth - 1);
        node.least = (unsigned) och_random_below(&model->seed, 3);
        node.most = node.least + (unsigned) och_random_below(&model->seed, 3);
        if (node.most > 0)
            (void) snprintf(count, sizeof(count), "){%u,%u}", node.least, node.most);
        else
            (void) snprintf(count, sizeof(count), ")*");
        put(model, count);
        break;
    }
    model->nodes[index] = node;
    return index;
}

static uint32_t
ends(const struct model *model, size_t index, uint32_t from, const char *text, size_t size)
{
    const struct node *node = &model->nodes[index];
    uint32_t to = 0;
    switch (node->kind) {
    case LETTER:
    case DOT:
        for (size_t i = 0; i < size; i++)
            if ((from >> i & 1u) != 0 && (node->kind == DOT || text[i] == node->letter))
                to |= 1u << (i + 1);
        return to;
    case BEGIN:
        return from & 1u;
    case END:
        return from & 1u << size;
    case BOTH:
        to = ends(model, node->left, from, text, size);
        return ends(model, node->right, to, text, size);
    case EITHER:
        return ends(model, node->left, from, text, size) |
                ends(model, node->right, from, text, size);
    case REPEAT:
        for (unsigned i = 0; i < node->least; i++)
            from = ends(model, node->left, from, text, size);
        to = from;
        for (unsigned i = node->least; i < (node->most > 0 ? node->most : TEXT_MAX + 1u); i++) {
            from = ends(model, node->left, from, text, size);
            to |= from;
        }
        return to;
    }
    return to;
}

static void
random_patterns_agree_with_sets_of_places(void **state)
{
    (void) state;
    static struct model model;
    model.seed = 11;
    size_t n_matches = 0;
    for (size_t round = 0; round < 4000; round++) {
        model.n = 0;
        model.size = 0;
        model.pattern[0] = '\0';
        size_t root = grow(&model, 4);
        struct och_regex *regex = NULL;
        struct ochre_error err = {0};
        check_ok(compile(model.pattern, model.size, &regex, &err), &err);
        for (size_t n = 0; n < 5; n++) {
            char text[TEXT_MAX];
            size_t size = och_random_below(&model.seed, TEXT_MAX + 1);
            for (size_t i = 0; i < size; i++)
                text[i] = och_random_below(&model.seed, 2) == 0 ? 'a' : 'b';
            bool wanted = ends(&model, root, (2u << size) - 1, text, size) != 0;
            if (och_regex_matches(regex, text, size) != wanted)
                fail_msg("round %zu: %s on %.*s", round, model.pattern, (int) size, text);
            n_matches += wanted;
        }
        och_regex_release(regex);
    }
    check(n_matches > 1000 && n_matches < 19000);
}

/* --- counts ---------------------------------------------------------------- */

/* Is `pattern` matched, as a whole, by exactly `least` to `most` letters a? */
static void
check_counts(const char *pattern, size_t least, size_t most)
{
    static char text[10100];
    memset(text, 'a', sizeof(text));
    struct och_regex *regex = NULL;
    struct ochre_error err = {0};
    check_ok(compile(pattern, strlen(pattern), &regex, &err), &err);
    check(least == 0 || !och_regex_matches(regex, text, least - 1));
    check(och_regex_matches(regex, text, least));
    check(och_regex_matches(regex, text, most));
    check(most == sizeof(text) || !och_regex_matches(regex, text, most + 1));
    och_regex_release(regex);
}

static void
counts_above_those_of_the_engine_are_exact(void **state)
{
    (void) state;
    check_counts("^a{1000}$", 1000, 1000);
    check_counts("^a{1001}$", 1001, 1001);
    check_counts("^a{2500}$", 2500, 2500);
    check_counts("^a{0,1001}$", 0, 1001);
    check_counts("^a{999,2001}$", 999, 2001);
    check_counts("^a{1001,}$", 1001, 10100);
    check_counts("^(?:a{100}){100}$", 10000, 10000);
    check_counts("^(?:a{3}){400}$", 1200, 1200);
    check_counts("^(?:(?:a{7}){11}){13,14}$", 1001, 1078);
    check_counts("^(?:aa|a{30}a){40,}$", 80, 10100);
    check_counts("^(?:a{1001}){2}$", 2002, 2002);
    check_counts("^(?:a{0,1001}){2}$", 0, 2002);
    check_counts("^(?:(?:^){5000}a){1}$", 1, 1);
    check_counts("^(?:a{0}){5000}$", 0, 0);
}

/* --- limits ----------------------------------------------------------------- */

static ochre_status
compile_nested(const char *open, const char *middle, const char *close, size_t n)
{
    static char pattern[OCH_TEXT_PATTERN_SIZE_MAX];
    size_t size = 0;
    for (size_t i = 0; i < n; i++, size += strlen(open))
        memcpy(pattern + size, open, strlen(open));
    memcpy(pattern + size, middle, strlen(middle));
    size += strlen(middle);
    for (size_t i = 0; i < n; i++, size += strlen(close))
        memcpy(pattern + size, close, strlen(close));
    struct och_regex *regex = NULL;
    struct ochre_error err = {0};
    ochre_status status = compile(pattern, size, &regex, &err);
    och_regex_release(regex);
    check(status == OCHRE_OK || strstr(err.message, "deeper than 250") != NULL);
    return status;
}

static void
nesting_has_a_limit(void **state)
{
    (void) state;
    check(compile_nested("(", "a", ")", OCH_REGEX_NESTING_MAX) == OCHRE_OK);
    check(compile_nested("(", "a", ")", OCH_REGEX_NESTING_MAX + 1) == OCHRE_INVALID);
    check(compile_nested("(", "a", ")", 20000) == OCHRE_INVALID);
    check(compile_nested("(", "", "", 60000) == OCHRE_INVALID);
    check(compile_nested("[", "a", "]", OCH_REGEX_NESTING_MAX) == OCHRE_OK);
    check(compile_nested("[", "a", "]", OCH_REGEX_NESTING_MAX + 1) == OCHRE_INVALID);
    check(compile_nested("[", "", "", 60000) == OCHRE_INVALID);
    check(compile_nested("", "a", "*", OCH_REGEX_NESTING_MAX) == OCHRE_OK);
    check(compile_nested("", "a", "*", OCH_REGEX_NESTING_MAX + 1) == OCHRE_INVALID);
    check(compile_nested("(b|", "a", ")", OCH_REGEX_NESTING_MAX / 2) == OCHRE_OK);
    check(compile_nested("(b|", "a", ")", OCH_REGEX_NESTING_MAX / 2 + 1) == OCHRE_INVALID);
    check(compile_nested("[a&&", "b", "]", OCH_REGEX_NESTING_MAX / 2) == OCHRE_OK);
    check(compile_nested("[a&&", "b", "]", OCH_REGEX_NESTING_MAX / 2 + 1) == OCHRE_INVALID);
    check(och_mem_used(&mem) == 0);
}

static void
patterns_have_a_size_limit(void **state)
{
    (void) state;
    static char pattern[OCH_TEXT_PATTERN_SIZE_MAX + 1];
    memset(pattern, 'a', sizeof(pattern));
    struct och_regex *regex = NULL;
    struct ochre_error err = {0};
    check_ok(compile(pattern, OCH_TEXT_PATTERN_SIZE_MAX, &regex, &err), &err);
    och_regex_release(regex);
    check(compile(pattern, OCH_TEXT_PATTERN_SIZE_MAX + 1, &regex, &err) == OCHRE_INVALID);
    assert_string_equal(
            err.message, "the regular expression has 65537 bytes; at most 65536 are allowed");
}

static void
programs_have_a_size_limit(void **state)
{
    (void) state;
    static const char *const too_large[] = {"\\w{1000}", "(?:\\pL{30}){30}", "a{1000000}",
            "a{4294967295}", "\\w{4294967295,}", "(?:(?:a{1000}){1000}){1000}",
            "(?:\\w{0,100}){0,100}x", "a{1000000}a{1000000}", "(?:a{500000}|b{500000}|c{500000})"};
    for (size_t i = 0; i < sizeof(too_large) / sizeof(too_large[0]); i++) {
        struct och_regex *regex = NULL;
        struct ochre_error err = {0};
        check(compile(too_large[i], strlen(too_large[i]), &regex, &err) == OCHRE_INVALID);
        check(strstr(err.message, "is too large: ") != NULL);
        check(strstr(err.message, " bytes") != NULL);
    }
    check(matches("\\w{100}", "no") == false);
    check(och_mem_used(&mem) == 0);
}

static void
what_the_engine_may_hold_is_charged(void **state)
{
    (void) state;
    struct och_regex *regex = NULL;
    struct ochre_error err = {0};
    check_ok(compile("plain", 5, &regex, &err), &err);
    check(och_mem_used(&mem) < 1000); /* no engine is needed */
    och_regex_release(regex);

    check_ok(compile("p.ain", 5, &regex, &err), &err);
    check(och_mem_used(&mem) > OCH_REGEX_PROGRAM_MEMORY_MAX / 4);
    check(och_mem_used(&mem) < OCH_REGEX_PROGRAM_MEMORY_MAX);
    och_regex_release(regex);
    check(och_mem_used(&mem) == 0);

    struct och_mem small;
    och_mem_init(&small, NULL);
    small.limit = 1u << 20;
    struct ochre_bytes pattern = {"p.ain", 5};
    check(och_regex_compile(&small, pattern, &regex, &err) == OCHRE_NO_MEMORY);
    check(regex == NULL && och_mem_used(&small) == 0);
}

static bool
compile_much(struct och_mem *account)
{
    static const char pattern[] =
            "(?i)(?<first>[a-z&&[^b]--c]|\\w\\pL){2}x(?P<second>a{1001}(((((b)))))?)"
            "(?<third>.)(?<fourth>.)(?<fifth>.)[[[[x]]]]k\\x{e9}";
    struct och_regex *regex = NULL;
    struct ochre_error err = {0};
    ochre_status status = och_regex_compile(
            account, (struct ochre_bytes){pattern, sizeof(pattern) - 1}, &regex, &err);
    check(status == OCHRE_OK || (status == OCHRE_NO_MEMORY && regex == NULL));
    och_regex_release(regex);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(compile_much);
}

/* --- what every match holds -------------------------------------------------- */

static void
the_longest_run_of_characters_in_every_match_is_known(void **state)
{
    (void) state;
    static const struct {
        const char *pattern;
        const char *literal;
    } cases[] = {{"abc", "abc"}, {"^abc$", "abc"}, {"a.bcd", "bcd"}, {"abc.d", "abc"},
            {"ab?c", "a"}, {"xab*cd", "xa"}, {"ab+c", "ab"}, {"ab+*cd", "cd"},
            {"ab{2,}?cde", "cde"}, {"abcd{0}e", "abc"}, {"a|b", ""}, {"ab(c|d)", "ab"},
            {"(abc)", ""}, {"ab(c)def", "def"}, {"(?i)abc", ""}, {"(?i)12c", "12"},
            {"[a][.]b", "a.b"}, {"a\\.b\\x{e9}", "a.b\xc3\xa9"}, {"\xc3\xa9\xc3\xa9?", "\xc3\xa9"},
            {"", ""}, {"(?x) a b c", "abc"}, {"ab\\bcd", "ab"}, {"a(?i)1", "a"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct och_regex *regex = NULL;
        struct ochre_error err = {0};
        check_ok(compile(cases[i].pattern, strlen(cases[i].pattern), &regex, &err), &err);
        size_t size = 0;
        const char *literal = och_regex_literal(regex, &size);
        if (size != strlen(cases[i].literal) ||
                (size > 0 && memcmp(literal, cases[i].literal, size) != 0))
            fail_msg("%s: %.*s", cases[i].pattern, (int) size, literal);
        och_regex_release(regex);
    }
}

static void
hostile_patterns_take_no_longer_than_others(void **state)
{
    (void) state;
    static char text[100000];
    memset(text, 'a', sizeof(text));
    static const char *const patterns[] = {"(a+)+$b", "(a*)*b", "(a|a)*b", "(a|aa)+c",
            "(.*)(.*)(.*)(.*)(.*)b", "(?:a?){50}a{50}b", "((a{0,5}){0,5}){0,5}b"};
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        struct och_regex *regex = NULL;
        struct ochre_error err = {0};
        check_ok(compile(patterns[i], strlen(patterns[i]), &regex, &err), &err);
        check(!och_regex_matches(regex, text, sizeof(text)));
        och_regex_release(regex);
    }
}

/* RE2 alone takes seconds for some of these. */
static void
large_patterns_compile_like_others(void **state)
{
    (void) state;
    static const char *const patterns[] = {"a{2,99999}b", "(?:a?b?){20000}c", "(a*){0,20000}b",
            "a{0,1000}{0,90}b", "(?:[ab]{0,1000}[ab]{0,1000}){0,40}c"};
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
        check(!matches(patterns[i], "aaaa"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(answers_are_those_of_the_dialect),
            cmocka_unit_test(errors_say_where_and_why),
            cmocka_unit_test(bytes_that_are_no_characters_are_refused),
            cmocka_unit_test(classes_without_flag_u_are_those_of_ascii),
            cmocka_unit_test(what_the_dialect_has_and_we_have_not_is_refused),
            cmocka_unit_test(word_boundaries_know_ascii_words_only),
            cmocka_unit_test(random_patterns_agree_with_sets_of_places),
            cmocka_unit_test(counts_above_those_of_the_engine_are_exact),
            cmocka_unit_test(nesting_has_a_limit),
            cmocka_unit_test(patterns_have_a_size_limit),
            cmocka_unit_test(programs_have_a_size_limit),
            cmocka_unit_test(what_the_engine_may_hold_is_charged),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
            cmocka_unit_test(the_longest_run_of_characters_in_every_match_is_known),
            cmocka_unit_test(hostile_patterns_take_no_longer_than_others),
            cmocka_unit_test(large_patterns_compile_like_others),
    };
    och_mem_init(&mem, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return och_mem_used(&mem) == 0 ? failed : 1;
}
