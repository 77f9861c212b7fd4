#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "index/text/contains.h"
#include "support/check.h"

static bool
contains(const char *haystack, const char *needle)
{
    return och_text_contains(haystack, strlen(haystack), needle, strlen(needle));
}

static bool
naive_contains(const char *haystack, size_t haystack_size, const char *needle, size_t needle_size)
{
    for (size_t i = 0; i + needle_size <= haystack_size; i++)
        if (memcmp(haystack + i, needle, needle_size) == 0)
            return true;
    return false;
}

static void
the_empty_needle_is_in_every_text(void **state)
{
    (void) state;
    check(contains("", ""));
    check(contains("a", ""));
    check(och_text_contains(NULL, 0, NULL, 0));
}

static void
a_text_contains_itself_and_nothing_longer(void **state)
{
    (void) state;
    check(contains("a", "a"));
    check(contains("abc", "abc"));
    check(!contains("abc", "abcd"));
    check(!contains("", "a"));
}

static void
bytes_are_compared_as_they_are(void **state)
{
    (void) state;
    check(!contains("Apple", "apple"));
    check(contains("gr\xc3\xbc\xc3\x9f dich", "\xc3\x9f"));
    check(!contains("e\xcc\x81", "\xc3\xa9"));
    check(och_text_contains("a\0b", 3, "\0b", 2));
    check(!och_text_contains("a\0b", 3, "\0c", 2));
}

/* Texts end where their memory ends, so that a sanitizer sees reads behind. */
static void
a_needle_is_found_in_every_place_of_every_size(void **state)
{
    (void) state;
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    static const char needle[] = "qz.needle which is quite long, longer than any block";
    for (size_t size = 1; size <= 140; size++) {
        char *text = och_mem_take(&mem, size);
        check(text != NULL);
        for (size_t needle_size = 1; needle_size <= size && needle_size < sizeof(needle);
                needle_size += needle_size < 4 ? 1 : 16) {
            for (size_t at = 0; at + needle_size <= size; at++) {
                memset(text, 'x', size);
                check(!och_text_contains(text, size, needle, needle_size));
                memcpy(text + at, needle, needle_size);
                check(och_text_contains(text, size, needle, needle_size));
                text[at + needle_size - 1] = '\1';
                check(!och_text_contains(text, size, needle, needle_size));
            }
        }
        och_mem_release(&mem, text, size);
    }
    check(och_mem_used(&mem) == 0);
}

static void
random_texts_of_few_letters_agree_with_comparing_everywhere(void **state)
{
    (void) state;
    uint64_t seed = 7;
    size_t n_found = 0;
    for (size_t step = 0; step < 40000; step++) {
        char text[300];
        char needle[40];
        size_t size = och_random_below(&seed, sizeof(text));
        size_t needle_size = och_random_below(&seed, step % 2 == 0 ? 6 : sizeof(needle));
        uint64_t n_letters = 1 + och_random_below(&seed, 3);
        for (size_t i = 0; i < size; i++)
            text[i] = (char) ('a' + och_random_below(&seed, n_letters));
        for (size_t i = 0; i < needle_size; i++)
            needle[i] = (char) ('a' + och_random_below(&seed, n_letters));
        if (size > needle_size && step % 3 == 0) /* one that is there, but for a letter at times */
            memcpy(needle, text + och_random_below(&seed, size - needle_size), needle_size);
        bool found = naive_contains(text, size, needle, needle_size);
        check(och_text_contains(text, size, needle, needle_size) == found);
        n_found += found;
    }
    check(n_found > 1000 && n_found < 39000);
}

/* Comparing gives up after a while, and memmem goes on. */
static void
texts_made_to_be_slow_are_answered_right(void **state)
{
    (void) state;
    enum { text_size = 1 << 16, needle_size = 1 << 12 };
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    char *text = och_mem_take(&mem, text_size);
    char *needle = och_mem_take(&mem, needle_size);
    check(text != NULL && needle != NULL);
    memset(text, 'a', text_size);
    memset(needle, 'a', needle_size);
    needle[needle_size / 2] = 'b';
    check(!och_text_contains(text, text_size, needle, needle_size));
    text[text_size - needle_size / 2] = 'b';
    check(och_text_contains(text, text_size, needle, needle_size));
    text[text_size - needle_size / 2] = 'a';
    text[text_size - needle_size / 2 + 1] = 'b';
    check(!och_text_contains(text, text_size, needle, needle_size));
    och_mem_release(&mem, text, text_size);
    och_mem_release(&mem, needle, needle_size);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(the_empty_needle_is_in_every_text),
            cmocka_unit_test(a_text_contains_itself_and_nothing_longer),
            cmocka_unit_test(bytes_are_compared_as_they_are),
            cmocka_unit_test(a_needle_is_found_in_every_place_of_every_size),
            cmocka_unit_test(random_texts_of_few_letters_agree_with_comparing_everywhere),
            cmocka_unit_test(texts_made_to_be_slow_are_answered_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
