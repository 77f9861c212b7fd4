#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/random.h"
#include "support/check.h"

static struct och_mem mem;
static struct och_arena arena;

static int
open_arena(void **state)
{
    (void) state;
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    return 0;
}

static int
close_arena(void **state)
{
    (void) state;
    och_arena_clear(&arena);
    return och_mem_used(&mem) == 0 ? 0 : -1;
}

static struct och_json *
parse(const char *text)
{
    struct och_json *root = NULL;
    struct ochre_error err = {0};
    check_ok(och_json_parse(&arena, text, strlen(text), &root, &err), &err);
    check(root != NULL);
    return root;
}

/* Parse a text, write the tree: the same without white space. */
static void
check_written(const char *text, const char *wanted)
{
    struct och_buf buf;
    och_buf_init(&buf, &mem, 1 << 20);
    och_json_put_tree(&buf, parse(text));
    och_buf_put_u8(&buf, '\0');
    check_ok(och_buf_status(&buf), NULL);
    assert_string_equal(buf.data, wanted);
    och_buf_clear(&buf);
}

static void
a_tree_has_every_value_in_order(void **state)
{
    (void) state;
    const struct och_json *root = parse("{\"a\":[null,true,-1,2.5],\"b\":18446744073709551615}");
    check(root->kind == OCH_JSON_KIND_OBJECT && root->n == 2 && root->next == NULL);
    const struct och_json *a = root->first;
    check(och_bytes_is(a->key, "a") && a->kind == OCH_JSON_KIND_ARRAY && a->n == 4);
    const struct och_json *item = a->first;
    check(item->kind == OCH_JSON_KIND_NULL && item->key.data == NULL);
    item = item->next;
    check(item->kind == OCH_JSON_KIND_BOOL && item->as.boolean);
    item = item->next;
    check(item->kind == OCH_JSON_KIND_INT && item->as.integer == -1);
    item = item->next;
    check(item->kind == OCH_JSON_KIND_FLOAT && item->as.number == 2.5 && item->next == NULL);
    const struct och_json *b = a->next;
    check(och_bytes_is(b->key, "b") && b->kind == OCH_JSON_KIND_UINT);
    check(b->as.natural == UINT64_MAX && b->next == NULL);
}

static void
the_last_of_two_members_with_one_name_is_found(void **state)
{
    (void) state;
    const struct och_json *root = parse("{\"a\":1,\"b\":2,\"a\":3,\"\":4}");
    check(root->n == 4);
    check(och_json_get(root, "a")->as.integer == 3);
    check(och_json_get(root, "b")->as.integer == 2);
    check(och_json_get(root, "")->as.integer == 4);
    check(och_json_get(root, "c") == NULL && och_json_get(root, "aa") == NULL);
    check(och_json_get(NULL, "a") == NULL);
    check(och_json_get(root->first, "a") == NULL);
}

static void
a_tree_outlives_its_text(void **state)
{
    (void) state;
    char text[] = "{\"key\":\"value\",\"\\u006b2\":\"\\u0000\"}";
    const struct och_json *root = parse(text);
    memset(text, '#', sizeof(text));
    check(och_bytes_is(och_json_get(root, "key")->as.string, "value"));
    const struct och_json *second = och_json_get(root, "k2");
    check(second->as.string.size == 1 && second->as.string.data[0] == '\0');
}

static void
bytes_are_compared_whole(void **state)
{
    (void) state;
    static const struct ochre_bytes absent = {NULL, 0}, empty = {"", 0}, ab = {"ab", 2};
    static const struct ochre_bytes nul = {"a\0b", 3}, ac = {"ac", 2};
    check(och_bytes_is(ab, "ab") && !och_bytes_is(ab, "a") && !och_bytes_is(ab, "abc"));
    check(och_bytes_is(empty, "") && !och_bytes_is(absent, "") && !och_bytes_is(nul, "a"));
    check(och_bytes_equal(ab, ab) && !och_bytes_equal(ab, ac) && !och_bytes_equal(ab, nul));
    check(och_bytes_equal(absent, absent) && !och_bytes_equal(absent, empty));
    check(!och_bytes_equal(empty, absent) && och_bytes_equal(empty, empty));
}

static void
a_tree_is_written_as_it_was_read(void **state)
{
    (void) state;
    check_written(" [ ] ", "[]");
    check_written("{ }", "{}");
    check_written("7", "7");
    check_written("[[],[[]],{},{\"a\":{}},[1,[2],3]]", "[[],[[]],{},{\"a\":{}},[1,[2],3]]");
    check_written("{\"b\":1, \"a\" : [true,false,null]}", "{\"b\":1,\"a\":[true,false,null]}");
    check_written(
            "[1.0,1,-0.0,18446744073709551615,1e300]", "[1.0,1,-0.0,18446744073709551615,1e+300]");
    check_written("[\"\\u0041\\/\\u001f\"]", "[\"A/\\u001f\"]");
    check_written("{\"x\":1,\"x\":2}", "{\"x\":1,\"x\":2}");
}

static void
a_value_inside_a_document_can_be_a_tree(void **state)
{
    (void) state;
    static const char text[] = "{\"where\":{\"a\":[1,2]},\"n\":5,\"s\":\"x\"}";
    struct och_json_reader reader;
    struct och_json *root;
    struct ochre_error err = {0};
    och_json_init(&reader, &arena, text, sizeof(text) - 1);
    check(och_json_next(&reader) == OCH_JSON_BEGIN_OBJECT);
    check(och_json_next(&reader) == OCH_JSON_KEY);
    check(och_json_next(&reader) == OCH_JSON_BEGIN_OBJECT);
    check_ok(och_json_parse_value(&reader, &root, &err), &err);
    check(root->kind == OCH_JSON_KIND_OBJECT && root->n == 1 && root->key.data == NULL);
    check(och_json_get(root, "a")->n == 2);
    check(och_json_next(&reader) == OCH_JSON_KEY && och_bytes_is(reader.string, "n"));
    check(och_json_next(&reader) == OCH_JSON_INT);
    check_ok(och_json_parse_value(&reader, &root, &err), &err);
    check(root->kind == OCH_JSON_KIND_INT && root->as.integer == 5);
    check(och_json_next(&reader) == OCH_JSON_KEY);
    check(och_json_next(&reader) == OCH_JSON_STRING);
    check_ok(och_json_parse_value(&reader, &root, &err), &err);
    check(och_bytes_is(root->as.string, "x") && root->as.string.data != reader.string.data);
    check(och_json_next(&reader) == OCH_JSON_END_OBJECT);
    check(och_json_next(&reader) == OCH_JSON_END);
}

static void
damaged_text_gives_no_tree(void **state)
{
    (void) state;
    static const char *const texts[] = {"", "[1,2", "{\"a\":}", "[1] 2", "\"\\ud800\"", "[1e999]"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct och_json stale, *root = &stale;
        struct ochre_error err = {0};
        check(och_json_parse(&arena, texts[i], strlen(texts[i]), &root, &err) == OCHRE_INVALID);
        check(root == NULL && err.status == OCHRE_INVALID);
    }
}

static void
the_deepest_tree_is_built_and_written(void **state)
{
    (void) state;
    char text[2 * OCH_JSON_DEPTH_MAX + 1];
    memset(text, '[', OCH_JSON_DEPTH_MAX);
    memset(text + OCH_JSON_DEPTH_MAX, ']', OCH_JSON_DEPTH_MAX);
    text[sizeof(text) - 1] = '\0';
    check_written(text, text);
}

/* --- random trees ------------------------------------------------------ */

static struct ochre_bytes
draw_string(uint64_t *seed)
{
    static const char *const pieces[] = {"a", "plain text of some length", "\"", "\\", "/", "\b",
            "\n", "\x01", "\x1f", "\x7f", "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80"};
    char text[200];
    size_t size = 0, n = (size_t) och_random_below(seed, 7);
    for (size_t i = 0; i < n; i++) {
        const char *piece = pieces[och_random_below(seed, 13)];
        memcpy(text + size, piece, strlen(piece));
        size += strlen(piece);
    }
    if (och_random_below(seed, 5) == 0)
        text[size++] = '\0';
    const char *copy = och_arena_copy(&arena, text, size);
    check(copy != NULL);
    return (struct ochre_bytes){copy, size};
}

static void
draw_value(struct och_json *node, uint64_t *seed)
{
    uint64_t bits = och_random(seed);
    switch (och_random_below(seed, 7)) {
    case 0:
        node->kind = OCH_JSON_KIND_NULL;
        return;
    case 1:
        node->kind = OCH_JSON_KIND_BOOL;
        node->as.boolean = bits % 2 != 0;
        return;
    case 2:
        node->kind = OCH_JSON_KIND_INT;
        node->as.integer = (int64_t) bits >> (bits & 63);
        return;
    case 3:
        node->kind = OCH_JSON_KIND_UINT;
        node->as.natural = bits | UINT64_C(1) << 63;
        return;
    case 4:
        node->kind = OCH_JSON_KIND_FLOAT;
        memcpy(&node->as.number, &bits, sizeof(bits));
        if (!(node->as.number - node->as.number == 0))
            node->as.number = -0.0;
        return;
    default:
        node->kind = OCH_JSON_KIND_STRING;
        node->as.string = draw_string(seed);
        return;
    }
}

/* A chain of containers, each with some scalars on either side of the next. */
static struct och_json *
draw_tree(uint64_t *seed)
{
    struct och_json *root = NULL, **slot = &root, *parent = NULL;
    unsigned depth = (unsigned) och_random_below(seed, 20);
    for (unsigned level = 0; level <= depth; level++) {
        uint64_t n = parent == NULL ? 1 : 1 + och_random_below(seed, 6);
        uint64_t chosen = och_random_below(seed, n);
        struct och_json *next_parent = NULL;
        for (uint64_t i = 0; i < n; i++) {
            struct och_json *node = och_arena_take(&arena, sizeof(*node));
            check(node != NULL);
            memset(node, 0, sizeof(*node));
            draw_value(node, seed);
            if (i == chosen && level < depth) {
                bool object = och_random_below(seed, 2) == 0;
                node->kind = object ? OCH_JSON_KIND_OBJECT : OCH_JSON_KIND_ARRAY;
                next_parent = node;
            }
            if (parent != NULL) {
                parent->n++;
                if (parent->kind == OCH_JSON_KIND_OBJECT)
                    node->key = draw_string(seed);
            }
            *slot = node;
            slot = &node->next;
        }
        if (next_parent == NULL)
            break;
        parent = next_parent;
        slot = &parent->first;
    }
    return root;
}

static bool
same_value(const struct och_json *a, const struct och_json *b)
{
    if (a->kind != b->kind || a->n != b->n || !och_bytes_equal(a->key, b->key))
        return false;
    switch (a->kind) {
    case OCH_JSON_KIND_BOOL:
        return a->as.boolean == b->as.boolean;
    case OCH_JSON_KIND_INT:
    case OCH_JSON_KIND_UINT:
    case OCH_JSON_KIND_FLOAT:
        return a->as.natural == b->as.natural;
    case OCH_JSON_KIND_STRING:
        return och_bytes_equal(a->as.string, b->as.string);
    case OCH_JSON_KIND_NULL:
    case OCH_JSON_KIND_ARRAY:
    case OCH_JSON_KIND_OBJECT:
        return true;
    }
    return false;
}

/* Containers have at most one container inside, so that no stack is needed. */
static bool
same_tree(const struct och_json *a, const struct och_json *b)
{
    while (a != NULL) {
        const struct och_json *inner_a = NULL, *inner_b = NULL;
        for (; a != NULL; a = a->next, b = b->next) {
            if (b == NULL || !same_value(a, b))
                return false;
            if (a->first != NULL) {
                inner_a = a->first;
                inner_b = b->first;
            }
        }
        if (b != NULL)
            return false;
        a = inner_a;
        b = inner_b;
    }
    return b == NULL;
}

static void
random_trees_survive_writing_and_reading(void **state)
{
    (void) state;
    uint64_t seed = 31;
    struct och_buf buf;
    och_buf_init(&buf, &mem, 1 << 20);
    for (int round = 0; round < 3000; round++) {
        struct och_json *tree = draw_tree(&seed), *again = NULL;
        struct ochre_error err = {0};
        och_buf_reset(&buf);
        och_json_put_tree(&buf, tree);
        check_ok(och_buf_status(&buf), NULL);
        check_ok(och_json_parse(&arena, buf.data, buf.size, &again, &err), &err);
        check(same_tree(tree, again));
        och_arena_clear(&arena);
    }
    och_buf_clear(&buf);
}

static bool
parse_some(struct och_mem *account)
{
    static const char text[] = "{\"a\":[1,\"x\",{\"b\\n\":\"\\u0041\"}],\"c\":\"plain\"}";
    struct och_arena own;
    struct och_json *root;
    struct ochre_error err = {0};
    char big[5000];
    memset(big, 'x', sizeof(big));
    big[0] = big[sizeof(big) - 1] = '"';

    och_arena_init(&own, account);
    ochre_status status = och_json_parse(&own, text, sizeof(text) - 1, &root, &err);
    if (status == OCHRE_OK)
        status = och_json_parse(&own, big, sizeof(big), &root, &err);
    for (int i = 0; status == OCHRE_OK && i < 100; i++)
        status = och_json_parse(&own, text, sizeof(text) - 1, &root, &err);
    check(status == OCHRE_OK || (status == OCHRE_NO_MEMORY && err.status == status));
    check((root == NULL) == (status != OCHRE_OK));
    och_arena_clear(&own);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail_without_harm(void **state)
{
    (void) state;
    check_each_allocation_failing(parse_some);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_tree_has_every_value_in_order),
            cmocka_unit_test(the_last_of_two_members_with_one_name_is_found),
            cmocka_unit_test(a_tree_outlives_its_text),
            cmocka_unit_test(bytes_are_compared_whole),
            cmocka_unit_test(a_tree_is_written_as_it_was_read),
            cmocka_unit_test(a_value_inside_a_document_can_be_a_tree),
            cmocka_unit_test(damaged_text_gives_no_tree),
            cmocka_unit_test(the_deepest_tree_is_built_and_written),
            cmocka_unit_test(random_trees_survive_writing_and_reading),
            cmocka_unit_test(any_allocation_may_fail_without_harm),
    };
    return cmocka_run_group_tests_name("json_tree", tests, open_arena, close_arena);
}
