#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/random.h"
#include "index/meta/fields.h"
#include "segment/columns_part.h"
#include "segment/filter.h"
#include "segment/source.h"
#include "sim/sim_disk.h"
#include "support/check.h"
#include "unit/index/naive_match.h"
#include "unit/index/random_metadata.h"
#include "unit/segment/rows.h"

/* --- the plainest evaluator --------------------------------------------------------- */

/* Patterns, and which of the documents of rows.c they match; the last one is the
 * missing document. */
enum { N_PATTERNS = 8, N_DOCUMENTS = 6 };

static const char *const documents[N_DOCUMENTS] = {
        "", "an apple", "apple pie", "Banana", "\xe6\x97\xa5\xe6\x9c\xac", "one\nline two"};

static const struct {
    const char *text;
    bool matches[N_DOCUMENTS];
} patterns[N_PATTERNS] = {
        {"apple", {false, true, true, false, false, false}},
        {"^apple", {false, false, true, false, false, false}},
        {"(?i)^(an|B)", {false, true, false, true, false, false}},
        {"^$", {true, false, false, false, false, false}},
        {"", {true, true, true, true, true, true}},
        {"a.a", {false, false, false, true, false, false}},
        {"(?s)one.line", {false, false, false, false, false, true}},
        {"^..$", {false, false, false, false, true, false}},
};

static bool
document_matches(const struct ochre_filter_node *node, struct ochre_bytes document)
{
    if (document.data == NULL)
        return false;
    if (node->op == OCHRE_FILTER_CONTAINS || node->op == OCHRE_FILTER_NOT_CONTAINS) {
        struct ochre_bytes part = node->value.as.string;
        for (size_t at = 0; at + part.size <= document.size; at++)
            if (part.size == 0 || memcmp(document.data + at, part.data, part.size) == 0)
                return true;
        return false;
    }
    for (size_t p = 0; p < N_PATTERNS; p++)
        for (size_t d = 0; d < N_DOCUMENTS; d++)
            if (same_text(node->value.as.string, text(patterns[p].text)) &&
                    same_text(document, text(documents[d])))
                return patterns[p].matches[d];
    fail_msg("a pattern or document that the model does not know");
    return false;
}

static bool
leaf_matches(const struct ochre_filter_node *node, const struct row *row)
{
    if (node->field == OCHRE_FIELD_METADATA)
        return naive_matches(last_value(&row->metadata, node->key), node->op, &node->value);
    if (node->field == OCHRE_FIELD_ID) {
        struct ochre_value id = {.type = OCHRE_VALUE_STRING, .as.string = row->insert.texts.id};
        return naive_matches(&id, node->op, &node->value);
    }
    bool negative = node->op == OCHRE_FILTER_NOT_CONTAINS || node->op == OCHRE_FILTER_NOT_REGEX;
    return document_matches(node, row->insert.texts.document) != negative;
}

/* Evaluate a tree back to front: when a group is reached, its members' answers
 * are there. */
static bool
tree_matches(const struct ochre_filter *filter, const struct row *row)
{
    static bool answers[OCH_FILTER_NODES_MAX];
    for (size_t i = filter->n_nodes; i > 0; i--) {
        const struct ochre_filter_node *node = &filter->nodes[i - 1];
        if (node->op != OCHRE_FILTER_AND && node->op != OCHRE_FILTER_OR) {
            answers[i - 1] = leaf_matches(node, row);
            continue;
        }
        bool all = true;
        bool any = false;
        for (size_t child = i; child < i - 1 + node->size; child += filter->nodes[child].size) {
            all = all && answers[child];
            any = any || answers[child];
        }
        answers[i - 1] = node->op == OCHRE_FILTER_AND ? all : any;
    }
    return filter->n_nodes == 0 || answers[0];
}

/* --- random filters ------------------------------------------------------------------ */

enum { NODES_MAX = 200, DEPTH = 6 };

struct tree {
    struct och_arena *arena;
    uint64_t *seed;
    struct ochre_filter_node nodes[NODES_MAX];
    size_t n;
};

static struct ochre_filter_node
random_leaf(struct tree *tree)
{
    uint64_t *seed = tree->seed;
    struct ochre_filter_node node = {.size = 1};
    uint64_t what = och_random_below(seed, 10);
    if (what < 7) {
        node.field = OCHRE_FIELD_METADATA;
        node.key = random_key(seed);
        node.op = (ochre_filter_op) (OCHRE_FILTER_EQ + och_random_below(seed, 10));
        uint64_t type = OCHRE_VALUE_BOOL + och_random_below(seed, 4);
        if (node.op >= OCHRE_FILTER_GT && node.op <= OCHRE_FILTER_LTE)
            type = OCHRE_VALUE_INT + och_random_below(seed, 2);
        if (node.op == OCHRE_FILTER_IN || node.op == OCHRE_FILTER_NOT_IN)
            type += 4;
        node.value = random_value(tree->arena, seed, (ochre_value_type) type);
    } else if (what < 9) {
        static const char *const parts[] = {"", "apple", "a", "B", "\xe6\x9c\xac", "e l", "zz"};
        node.field = OCHRE_FIELD_DOCUMENT;
        node.op = (ochre_filter_op) (OCHRE_FILTER_CONTAINS + och_random_below(seed, 4));
        node.value.type = OCHRE_VALUE_STRING;
        node.value.as.string = node.op <= OCHRE_FILTER_NOT_CONTAINS
                ? text(parts[och_random_below(seed, 7)])
                : text(patterns[och_random_below(seed, N_PATTERNS)].text);
    } else {
        static const struct ochre_bytes ids[] = {{"1", 1}, {"2", 1}, {"17", 2}, {"x", 1}};
        static const ochre_filter_op ops[] = {
                OCHRE_FILTER_EQ, OCHRE_FILTER_NE, OCHRE_FILTER_IN, OCHRE_FILTER_NOT_IN};
        node.field = OCHRE_FIELD_ID;
        node.op = ops[och_random_below(seed, 4)];
        bool list = node.op == OCHRE_FILTER_IN || node.op == OCHRE_FILTER_NOT_IN;
        node.value.type = list ? OCHRE_VALUE_STRING_LIST : OCHRE_VALUE_STRING;
        node.value.n = list ? 4 : 0;
        if (list)
            node.value.as.strings = ids;
        else
            node.value.as.string = ids[och_random_below(seed, 4)];
    }
    return node;
}

/* Grow a tree: open groups on a stack, each with so many members to come. */
static struct ochre_filter
random_tree(struct tree *tree)
{
    size_t opened[DEPTH];
    uint64_t left[DEPTH];
    size_t depth = 0;
    tree->n = 0;
    do {
        bool group =
                depth < DEPTH && tree->n < NODES_MAX / 2 && och_random_below(tree->seed, 10) < 4;
        if (depth > 0)
            left[depth - 1]--;
        if (group) {
            opened[depth] = tree->n;
            left[depth++] = och_random_below(tree->seed, 4);
            tree->nodes[tree->n++] = (struct ochre_filter_node){
                    .op = (ochre_filter_op) (OCHRE_FILTER_AND + och_random_below(tree->seed, 2))};
        } else {
            tree->nodes[tree->n++] = random_leaf(tree);
        }
        while (depth > 0 && left[depth - 1] == 0) {
            depth--;
            tree->nodes[opened[depth]].size = (uint32_t) (tree->n - opened[depth]);
        }
    } while (depth > 0);
    return (struct ochre_filter){tree->nodes, tree->n};
}

/* A part that writes an index of metadata that is none. */
static ochre_status
write_garbage(void *context, struct och_seal_file *file, const struct och_vector_sink *sink,
        struct ochre_error *err)
{
    static const char garbage[100] = "no index";
    (void) context;
    (void) file;
    ochre_status status = sink->begin(sink->context, OCH_SECTION_COLUMNS, err);
    return status == OCHRE_OK ? sink->put(sink->context, garbage, sizeof(garbage), err) : status;
}

static const struct och_seal_part garbage_part = {.write = write_garbage};

/* The rows in every kind of source: a head, and segments with an index of metadata,
 * with none, and with one that is damaged. */
enum { N_SOURCES = 4 };

static void
make_sources(struct rows *rows, struct och_source *sources)
{
    static const struct och_seal_part *const parts[] = {NULL, &och_columns_part, &garbage_part};
    struct ochre_error err;
    struct och_head *head;
    check(rows_head(rows, &head));
    sources[0] = (struct och_source){.head = head, .n_rows = rows->n, .position = 1};
    for (unsigned i = 1; i < N_SOURCES; i++) {
        struct och_segment *segment;
        rows->parts = parts[i - 1];
        rows->n_parts = parts[i - 1] == NULL ? 0 : 1;
        check_ok(rows_seal(rows, head, i, &segment, &err), &err);
        sources[i] = (struct och_source){.segment = segment, .n_rows = rows->n};
    }
}

static void
release_sources(struct och_source *sources)
{
    och_head_release(sources[0].head);
    for (unsigned i = 1; i < N_SOURCES; i++)
        och_segment_release(sources[i].segment);
}

/* One of so many rows is a candidate, or none, or all are. */
static void
draw_candidates(struct och_bitset *candidates, uint32_t n, uint64_t *seed)
{
    uint64_t one_in = 1 + och_random_below(seed, 3) * 10;
    bool none = och_random_below(seed, 20) == 0;
    for (uint32_t row = 0; row < n && !none; row++)
        if (och_random_below(seed, one_in) == 0)
            check(och_bitset_add(candidates, row) == OCHRE_OK);
}

static void
random_filters_select_what_the_definition_does(void **state)
{
    (void) state;
    enum { N = 150, FILTERS = 3000 };
    static struct tree tree;
    struct rows rows;
    struct ochre_error err;
    uint64_t seed = 99;
    rows_begin(&rows, N, 2, 8);
    struct och_arena arena;
    och_arena_init(&arena, &rows.own);
    struct och_source sources[N_SOURCES];
    make_sources(&rows, sources);
    tree.arena = &arena;
    tree.seed = &seed;
    size_t n_matches = 0;
    for (int i = 0; i < FILTERS; i++) {
        struct ochre_filter plain = random_tree(&tree);
        struct och_filter filter;
        check_ok(och_filter_compile(&rows.mem, &arena, &plain, &filter, &err), &err);
        check(!och_filter_is_empty(&filter));
        for (int s = 0; s < N_SOURCES; s++) {
            struct och_bitset candidates;
            struct och_bitset found;
            och_bitset_init(&candidates, &rows.mem);
            och_bitset_init(&found, i % 2 == 0 ? &rows.mem : &rows.own);
            draw_candidates(&candidates, N, &seed);
            check_ok(och_filter_rows(&filter, &sources[s], &candidates, &found, &err), &err);
            for (uint32_t row = 0; row < N; row++) {
                bool wanted =
                        och_bitset_has(&candidates, row) && tree_matches(&plain, &rows.rows[row]);
                if (och_bitset_has(&found, row) != wanted)
                    fail_msg("filter %d, source %d, row %u", i, s, (unsigned) row);
                n_matches += wanted;
            }
            check(och_bitset_next(&found, N) == OCH_ROW_NONE);
            och_bitset_clear(&candidates);
            och_bitset_clear(&found);
        }
        och_filter_clear(&filter);
        och_arena_clear(&arena);
    }
    check(n_matches > FILTERS * N / 20);
    /* The index that can be used was, and the other was given up. */
    const struct och_columns *columns;
    check(och_segment_columns(sources[1].segment, &columns, NULL) == OCHRE_OK && columns == NULL);
    check(och_segment_columns(sources[2].segment, &columns, NULL) == OCHRE_OK && columns != NULL);
    check(och_segment_columns(sources[3].segment, &columns, NULL) == OCHRE_OK && columns == NULL);
    release_sources(sources);
    rows_end(&rows);
}

/* Fewer ids than rows are looked up, more are searched for each row. */
static void
lists_of_ids_of_any_length_select_their_rows(void **state)
{
    (void) state;
    enum { N = 70, IDS = 200 };
    struct rows rows;
    struct ochre_error err;
    uint64_t seed = 12;
    rows_begin(&rows, N, 1, 9);
    struct och_source sources[N_SOURCES];
    make_sources(&rows, sources);
    struct ochre_bytes ids[IDS];
    for (unsigned i = 0; i < IDS; i++) {
        char id[16];
        int size = snprintf(id, sizeof(id), "%u", (unsigned) och_random_below(&seed, 2 * N));
        ids[i] =
                (struct ochre_bytes){och_arena_copy(&rows.arena, id, (size_t) size), (size_t) size};
        check(ids[i].data != NULL);
    }
    static const uint32_t lengths[] = {0, 1, 2, N - 1, N, N + 1, IDS};
    for (size_t i = 0; i < 2 * sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct ochre_filter_node node = {.op = i % 2 == 0 ? OCHRE_FILTER_IN : OCHRE_FILTER_NOT_IN,
                .field = OCHRE_FIELD_ID,
                .size = 1,
                .value = {.type = OCHRE_VALUE_STRING_LIST, .n = lengths[i / 2], .as.strings = ids}};
        struct ochre_filter plain = {&node, 1};
        struct och_filter filter;
        check_ok(och_filter_compile(&rows.mem, &rows.arena, &plain, &filter, &err), &err);
        for (int s = 0; s < N_SOURCES; s++) {
            struct och_bitset all;
            struct och_bitset found;
            och_bitset_init(&all, &rows.mem);
            och_bitset_init(&found, &rows.mem);
            check(och_bitset_fill(&all, N) == OCHRE_OK);
            check_ok(och_filter_rows(&filter, &sources[s], &all, &found, &err), &err);
            for (uint32_t row = 0; row < N; row++)
                check(och_bitset_has(&found, row) == tree_matches(&plain, &rows.rows[row]));
            check(och_bitset_next(&found, N) == OCH_ROW_NONE);
            och_bitset_clear(&all);
            och_bitset_clear(&found);
        }
        och_filter_clear(&filter);
    }
    release_sources(sources);
    rows_end(&rows);
}

/* --- what is refused ------------------------------------------------------------------ */

static ochre_status
compile(const struct ochre_filter_node *nodes, size_t n)
{
    struct och_mem mem;
    struct och_arena arena;
    struct och_filter filter;
    struct ochre_error err = {.status = OCHRE_OK};
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    struct ochre_filter plain = {nodes, n};
    ochre_status status = och_filter_compile(&mem, &arena, &plain, &filter, &err);
    check(err.status == status);
    check(status == OCHRE_OK || err.message[0] != '\0');
    och_filter_clear(&filter);
    och_arena_clear(&arena);
    check(och_mem_used(&mem) == 0);
    return status;
}

static struct ochre_filter_node
leaf(ochre_filter_op op, ochre_filter_field field, ochre_value_type type)
{
    static const int64_t integers[] = {1};
    static const double numbers[] = {1};
    static const bool booleans[] = {true};
    static const struct ochre_bytes strings[] = {{"a", 1}};
    struct ochre_filter_node node = {.op = op, .field = field, .size = 1, .key = {"k", 1}};
    node.value.type = type;
    node.value.n = 1;
    if (type == OCHRE_VALUE_STRING)
        node.value.as.string = strings[0];
    else if (type == OCHRE_VALUE_STRING_LIST)
        node.value.as.strings = strings;
    else if (type == OCHRE_VALUE_INT_LIST)
        node.value.as.integers = integers;
    else if (type == OCHRE_VALUE_FLOAT_LIST)
        node.value.as.numbers = numbers;
    else if (type == OCHRE_VALUE_BOOL_LIST)
        node.value.as.booleans = booleans;
    else
        node.value.as.integer = 1;
    return node;
}

/* Which operators a field knows with which operands, spelt out. */
static bool
is_allowed(ochre_filter_op op, ochre_filter_field field, ochre_value_type type)
{
    bool scalar = type >= OCHRE_VALUE_BOOL && type <= OCHRE_VALUE_STRING;
    bool number = type == OCHRE_VALUE_INT || type == OCHRE_VALUE_FLOAT;
    bool list = type >= OCHRE_VALUE_BOOL_LIST && type <= OCHRE_VALUE_STRING_LIST;
    bool string = type == OCHRE_VALUE_STRING;
    bool equality = op == OCHRE_FILTER_EQ || op == OCHRE_FILTER_NE;
    bool range = op >= OCHRE_FILTER_GT && op <= OCHRE_FILTER_LTE;
    bool membership = op == OCHRE_FILTER_IN || op == OCHRE_FILTER_NOT_IN;
    bool contains = op == OCHRE_FILTER_CONTAINS || op == OCHRE_FILTER_NOT_CONTAINS;
    bool regex = op == OCHRE_FILTER_REGEX || op == OCHRE_FILTER_NOT_REGEX;
    if (field == OCHRE_FIELD_METADATA)
        return ((equality || contains) && scalar) || (range && number) || (membership && list);
    if (field == OCHRE_FIELD_DOCUMENT)
        return (contains || regex) && string;
    if (field == OCHRE_FIELD_ID)
        return (equality && string) || (membership && type == OCHRE_VALUE_STRING_LIST);
    return false;
}

static void
each_field_knows_its_operators_and_operands(void **state)
{
    (void) state;
    for (int op = OCHRE_FILTER_EQ; op <= OCHRE_FILTER_NOT_REGEX + 1; op++)
        for (int field = 0; field <= OCHRE_FIELD_ID + 1; field++)
            for (int type = 0; type <= OCHRE_VALUE_STRING_LIST + 1; type++) {
                struct ochre_filter_node node = leaf(
                        (ochre_filter_op) op, (ochre_filter_field) field, (ochre_value_type) type);
                bool allowed = is_allowed(
                        (ochre_filter_op) op, (ochre_filter_field) field, (ochre_value_type) type);
                if (compile(&node, 1) != (allowed ? OCHRE_OK : OCHRE_INVALID))
                    fail_msg("operator %d, field %d, type %d", op, field, type);
            }
}

static void
malformed_trees_are_refused(void **state)
{
    (void) state;
    const struct ochre_filter_node one =
            leaf(OCHRE_FILTER_EQ, OCHRE_FIELD_METADATA, OCHRE_VALUE_INT);
    struct ochre_filter_node nodes[4] = {one, one, one, one};
    check(compile(NULL, 0) == OCHRE_OK);
    check(compile(nodes, 0) == OCHRE_OK);
    check(compile(nodes, 1) == OCHRE_OK);
    check(compile(nodes, 2) == OCHRE_INVALID); /* two roots */
    nodes[0].size = 0;
    check(compile(nodes, 1) == OCHRE_INVALID);
    nodes[0].size = 2;
    check(compile(nodes, 1) == OCHRE_INVALID);
    check(compile(nodes, 2) == OCHRE_INVALID); /* a leaf that holds another */
    nodes[0] = (struct ochre_filter_node){.op = OCHRE_FILTER_AND, .size = 3};
    check(compile(nodes, 3) == OCHRE_OK);
    check(compile(nodes, 2) == OCHRE_INVALID); /* it ends behind the tree */
    check(compile(nodes, 4) == OCHRE_INVALID); /* it ends before */
    nodes[1] = (struct ochre_filter_node){.op = OCHRE_FILTER_OR, .size = 3};
    check(compile(nodes, 4) == OCHRE_INVALID); /* a group longer than the one it is in */
    nodes[0].size = 4;
    check(compile(nodes, 4) == OCHRE_OK);
    nodes[2] = (struct ochre_filter_node){.op = OCHRE_FILTER_OR, .size = 1};
    check(compile(nodes, 4) == OCHRE_OK); /* a group of nothing */
    nodes[3] = leaf(OCHRE_FILTER_REGEX, OCHRE_FIELD_DOCUMENT, OCHRE_VALUE_STRING);
    nodes[3].value.as.string = text("(");
    check(compile(nodes, 4) == OCHRE_INVALID);
}

static void
limits_hold_at_below_and_above(void **state)
{
    (void) state;
    static struct ochre_filter_node nodes[OCH_FILTER_NODES_MAX + 1];
    const struct ochre_filter_node one =
            leaf(OCHRE_FILTER_EQ, OCHRE_FIELD_METADATA, OCHRE_VALUE_INT);
    for (size_t n = OCH_FILTER_NODES_MAX - 1; n <= OCH_FILTER_NODES_MAX + 1; n++) {
        for (size_t i = 0; i < n; i++)
            nodes[i] = one;
        nodes[0] = (struct ochre_filter_node){.op = OCHRE_FILTER_OR, .size = (uint32_t) n};
        check(compile(nodes, n) == (n <= OCH_FILTER_NODES_MAX ? OCHRE_OK : OCHRE_INVALID));
    }
    for (size_t depth = 127; depth <= 129; depth++) {
        for (size_t i = 0; i < depth; i++)
            nodes[i] = (struct ochre_filter_node){
                    .op = OCHRE_FILTER_AND, .size = (uint32_t) (depth + 1 - i)};
        nodes[depth] = one;
        check(compile(nodes, depth + 1) == (depth <= 128 ? OCHRE_OK : OCHRE_INVALID));
    }
    static int64_t members[OCH_FILTER_LIST_MAX + 1];
    struct ochre_filter_node list =
            leaf(OCHRE_FILTER_IN, OCHRE_FIELD_METADATA, OCHRE_VALUE_INT_LIST);
    list.value.as.integers = members;
    for (uint32_t n = OCH_FILTER_LIST_MAX - 1; n <= OCH_FILTER_LIST_MAX + 1; n++) {
        list.value.n = n;
        check(compile(&list, 1) == (n <= OCH_FILTER_LIST_MAX ? OCHRE_OK : OCHRE_INVALID));
    }
    static char pattern[OCH_TEXT_PATTERN_SIZE_MAX + 1];
    memset(pattern, 'a', sizeof(pattern));
    struct ochre_filter_node contains =
            leaf(OCHRE_FILTER_CONTAINS, OCHRE_FIELD_DOCUMENT, OCHRE_VALUE_STRING);
    for (size_t size = OCH_TEXT_PATTERN_SIZE_MAX - 1; size <= OCH_TEXT_PATTERN_SIZE_MAX + 1;
            size++) {
        contains.value.as.string = (struct ochre_bytes){pattern, size};
        check(compile(&contains, 1) ==
                (size <= OCH_TEXT_PATTERN_SIZE_MAX ? OCHRE_OK : OCHRE_INVALID));
    }
    /* Metadata strings are not texts to search: they have no such limit. */
    struct ochre_filter_node equals =
            leaf(OCHRE_FILTER_EQ, OCHRE_FIELD_METADATA, OCHRE_VALUE_STRING);
    equals.value.as.string = (struct ochre_bytes){pattern, sizeof(pattern)};
    check(compile(&equals, 1) == OCHRE_OK);
}

/* Groups as deep as they may be, evaluated. */
static void
the_deepest_filter_is_evaluated(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    rows_begin(&rows, 70, 1, 1);
    struct och_head *head;
    check(rows_head(&rows, &head));
    struct och_source source = {.head = head, .n_rows = rows.n, .position = 1};
    struct ochre_filter_node nodes[129];
    for (uint32_t i = 0; i < 128; i++)
        nodes[i] = (struct ochre_filter_node){
                .op = i % 2 == 0 ? OCHRE_FILTER_OR : OCHRE_FILTER_AND, .size = 129 - i};
    nodes[128] = leaf(OCHRE_FILTER_EQ, OCHRE_FIELD_ID, OCHRE_VALUE_STRING);
    nodes[128].value.as.string = text("66");
    struct ochre_filter plain = {nodes, 129};
    struct och_filter filter;
    struct och_bitset all;
    struct och_bitset found;
    och_bitset_init(&all, &rows.mem);
    och_bitset_init(&found, &rows.mem);
    check(och_bitset_fill(&all, rows.n) == OCHRE_OK);
    check_ok(och_filter_compile(&rows.mem, &rows.arena, &plain, &filter, &err), &err);
    check_ok(och_filter_rows(&filter, &source, &all, &found, &err), &err);
    check(och_bitset_count(&found) == 1 && och_bitset_has(&found, 66));
    och_bitset_clear(&all);
    och_bitset_clear(&found);
    och_filter_clear(&filter);
    och_head_release(head);
    rows_end(&rows);
}

/* --- failing ------------------------------------------------------------------------------ */

/* or(and(k = 1, document contains), document matches, or()) over a segment. */
static ochre_status
filter_once(struct rows *rows, struct och_segment *segment, size_t *n_out, struct ochre_error *err)
{
    struct ochre_filter_node nodes[6];
    nodes[0] = (struct ochre_filter_node){.op = OCHRE_FILTER_OR, .size = 6};
    nodes[1] = (struct ochre_filter_node){.op = OCHRE_FILTER_AND, .size = 3};
    nodes[2] = leaf(OCHRE_FILTER_NE, OCHRE_FIELD_METADATA, OCHRE_VALUE_INT);
    nodes[3] = leaf(OCHRE_FILTER_CONTAINS, OCHRE_FIELD_DOCUMENT, OCHRE_VALUE_STRING);
    nodes[4] = leaf(OCHRE_FILTER_REGEX, OCHRE_FIELD_DOCUMENT, OCHRE_VALUE_STRING);
    nodes[5] = (struct ochre_filter_node){.op = OCHRE_FILTER_OR, .size = 1};
    struct ochre_filter plain = {nodes, 6};
    struct och_source source = {.segment = segment, .n_rows = rows->n};
    struct och_filter filter;
    struct och_bitset all;
    struct och_bitset found;
    struct och_arena arena;
    och_bitset_init(&all, &rows->own);
    och_bitset_init(&found, &rows->mem);
    och_arena_init(&arena, &rows->mem);
    check(och_bitset_fill(&all, rows->n) == OCHRE_OK);
    ochre_status status = och_filter_compile(&rows->mem, &arena, &plain, &filter, err);
    if (status == OCHRE_OK)
        status = och_filter_rows(&filter, &source, &all, &found, err);
    *n_out = och_bitset_count(&found);
    check(status == OCHRE_OK || *n_out == 0);
    och_filter_clear(&filter);
    och_arena_clear(&arena);
    och_bitset_clear(&all);
    och_bitset_clear(&found);
    return status;
}

/* Without an index and with one, which is there only if no allocation for it fails. */
static void
any_allocation_may_fail(void **state)
{
    (void) state;
    for (unsigned n_parts = 0; n_parts < 2; n_parts++) {
        struct rows rows;
        struct ochre_error err;
        rows_begin(&rows, 70, 1, 1);
        rows.parts = &och_columns_part;
        rows.n_parts = n_parts;
        struct och_segment *segment = rows_segment(&rows, 1);
        size_t wanted;
        check_ok(filter_once(&rows, segment, &wanted, &err), &err);
        check(wanted > 0);
        och_segment_release(segment);
        ochre_status status = OCHRE_NO_MEMORY;
        unsigned n_points = 0;
        while (status != OCHRE_OK) {
            check_ok(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err),
                    &err);
            rows.mem.fail_at = atomic_load(&rows.mem.n_grants) + ++n_points;
            size_t n;
            status = filter_once(&rows, segment, &n, &err);
            rows.mem.fail_at = 0;
            check(status == OCHRE_OK ? n == wanted : status == OCHRE_NO_MEMORY);
            och_segment_release(segment);
        }
        check(n_points > 8);
        rows_end(&rows);
    }
}

/* However little memory there is for it, a segment is written, and with an index
 * when there was enough. */
static void
an_index_is_done_without_when_memory_is_short(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    rows_begin(&rows, 70, 1, 1);
    rows.parts = &och_columns_part;
    rows.n_parts = 1;
    struct och_head *head;
    check(rows_head(&rows, &head));
    unsigned n_without = 0;
    bool refused = true;
    for (uint64_t n = 1; refused; n++) {
        struct och_segment *segment;
        rows.mem.fail_at = atomic_load(&rows.mem.n_grants) + n;
        ochre_status status = rows_seal(&rows, head, n, &segment, &err);
        refused = atomic_load(&rows.mem.n_grants) >= rows.mem.fail_at;
        rows.mem.fail_at = 0;
        check(status == OCHRE_OK || (refused && status == OCHRE_NO_MEMORY));
        if (status != OCHRE_OK)
            continue;
        const struct och_columns *columns;
        check_ok(och_segment_columns(segment, &columns, &err), &err);
        check(columns != NULL || refused);
        n_without += columns == NULL;
        size_t found;
        check_ok(filter_once(&rows, segment, &found, &err), &err);
        check_ok(och_segment_verify(segment, &err), &err);
        och_segment_release(segment);
    }
    check(n_without > 5);
    och_head_release(head);
    rows_end(&rows);
}

static void
a_bad_page_is_an_answer(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    char path[512];
    size_t n;
    rows_begin(&rows, 70, 1, 1);
    struct och_segment *segment = rows_segment(&rows, 1);
    och_segment_path(path, sizeof(path), rows.collection, 1);
    uint64_t at = segment->sections[OCH_SECTION_DOCUMENT_BYTES].offset;
    check(sim_disk_flip(rows.disk, path, at, 3));
    check(filter_once(&rows, segment, &n, &err) == OCHRE_CORRUPT);
    check(sim_disk_flip(rows.disk, path, at, 3));
    sim_disk_fail(rows.disk, 1, SIM_IO_FROM);
    check(filter_once(&rows, segment, &n, &err) == OCHRE_IO);
    sim_disk_fail(rows.disk, 0, SIM_IO_ONCE);
    check_ok(filter_once(&rows, segment, &n, &err), &err);
    och_segment_release(segment);
    rows_end(&rows);
}

/* Rows whose metadata, and so its index, takes several pages. */
enum { N_LONG = 40, LONG_SIZE = 10000 };

static void
make_long_rows(struct rows *rows)
{
    rows_begin(rows, N_LONG, 1, 1);
    rows->parts = &och_columns_part;
    rows->n_parts = 1;
    for (uint32_t row = 0; row < N_LONG; row++) {
        char *value = och_arena_take(&rows->arena, LONG_SIZE);
        struct ochre_field *field = och_arena_take(&rows->arena, sizeof(*field));
        check(value != NULL && field != NULL);
        memset(value, 'a' + (int) row % 20, LONG_SIZE);
        *field = (struct ochre_field){text("k"),
                {.type = OCHRE_VALUE_STRING, .as.string = {value, LONG_SIZE + row % 20 - 20}}};
        struct och_buf buf;
        och_buf_init(&buf, &rows->own, SIZE_MAX / 2);
        rows->rows[row].metadata = (struct ochre_metadata){field, 1};
        check(och_fields_encode(&buf, &rows->arena, &rows->rows[row].metadata, false) == OCHRE_OK);
        rows->rows[row].insert.texts.fields =
                (struct ochre_bytes){och_arena_copy(&rows->arena, buf.data, buf.size), buf.size};
        och_buf_clear(&buf);
    }
}

/* The rows that have the value of row `like`. */
static ochre_status
filter_long(struct rows *rows, struct och_segment *segment, uint32_t like, struct ochre_error *err)
{
    struct ochre_filter_node node = {.op = OCHRE_FILTER_EQ, .size = 1, .key = text("k")};
    node.value = rows->rows[like].metadata.fields[0].value;
    struct ochre_filter plain = {&node, 1};
    struct och_source source = {.segment = segment, .n_rows = rows->n};
    struct och_filter filter;
    struct och_bitset all;
    struct och_bitset found;
    och_bitset_init(&all, &rows->own);
    och_bitset_init(&found, &rows->own);
    check(och_bitset_fill(&all, rows->n) == OCHRE_OK);
    check_ok(och_filter_compile(&rows->mem, &rows->arena, &plain, &filter, err), err);
    ochre_status status = och_filter_rows(&filter, &source, &all, &found, err);
    for (uint32_t row = 0; status == OCHRE_OK && row < rows->n; row++)
        check(och_bitset_has(&found, row) == (row % 20 == like % 20));
    och_filter_clear(&filter);
    och_bitset_clear(&all);
    och_bitset_clear(&found);
    return status;
}

/* Damage on each page of the index: the answer is right, from the rows themselves,
 * except where these lie on the same page. */
static void
a_bad_page_of_the_index_is_done_without(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    char path[512];
    make_long_rows(&rows);
    struct och_segment *segment = rows_segment(&rows, 1);
    och_segment_path(path, sizeof(path), rows.collection, 1);
    struct och_section section = segment->sections[OCH_SECTION_COLUMNS];
    struct och_section fields = segment->sections[OCH_SECTION_FIELD_BYTES];
    och_segment_release(segment);
    uint64_t first = section.offset / OCH_PAGE_SIZE;
    uint64_t last = (section.offset + section.size - 1) / OCH_PAGE_SIZE;
    uint64_t shared = (fields.offset + fields.size - 1) / OCH_PAGE_SIZE;
    check(last >= first + 2);
    unsigned n_given_up = 0;
    for (uint64_t page = first; page <= last; page++) {
        uint64_t at = page == first ? section.offset : page * OCH_PAGE_SIZE;
        check(sim_disk_flip(rows.disk, path, at, 5));
        check_ok(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err), &err);
        for (uint32_t like = 0; like < 20; like++) {
            ochre_status status = filter_long(&rows, segment, like, &err);
            check(status == OCHRE_OK || (status == OCHRE_CORRUPT && page <= shared));
        }
        const struct och_columns *columns;
        check_ok(och_segment_columns(segment, &columns, &err), &err);
        n_given_up += columns == NULL;
        och_segment_release(segment);
        check(sim_disk_flip(rows.disk, path, at, 5));
    }
    check(n_given_up >= last - first);
    rows_end(&rows);
}

/* A disk that fails to read a page is no damage: it is read once more, or the answer is
 * that failure, and later all is right. */
static void
a_failing_disk_under_the_index_is_an_answer(void **state)
{
    (void) state;
    struct rows rows;
    struct ochre_error err;
    make_long_rows(&rows);
    struct och_segment *segment = rows_segment(&rows, 1);
    och_segment_release(segment);
    bool failed = true;
    unsigned n_points = 0;
    for (uint64_t n = 2; failed; n++, n_points++) {
        check_ok(och_segment_open(&rows.mem, rows.vfs, rows.collection, 1, &segment, &err), &err);
        sim_disk_fail(rows.disk, n / 2, n % 2 == 0 ? SIM_IO_ONCE : SIM_IO_FROM);
        ochre_status status = filter_long(&rows, segment, 7, &err);
        failed = sim_disk_has_failed(rows.disk);
        sim_disk_fail(rows.disk, 0, SIM_IO_ONCE);
        check(status == (failed && n % 2 != 0 ? OCHRE_IO : OCHRE_OK));
        check(!failed || n % 2 == 0 || och_segment_is_worn(segment));
        check_ok(filter_long(&rows, segment, 7, &err), &err);
        const struct och_columns *columns;
        check(och_segment_columns(segment, &columns, &err) == OCHRE_OK && columns != NULL);
        och_segment_release(segment);
    }
    check(n_points > 2);
    rows_end(&rows);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
            cmocka_unit_test(random_filters_select_what_the_definition_does),
            cmocka_unit_test(lists_of_ids_of_any_length_select_their_rows),
            cmocka_unit_test(each_field_knows_its_operators_and_operands),
            cmocka_unit_test(malformed_trees_are_refused),
            cmocka_unit_test(limits_hold_at_below_and_above),
            cmocka_unit_test(the_deepest_filter_is_evaluated),
            cmocka_unit_test(any_allocation_may_fail),
            cmocka_unit_test(an_index_is_done_without_when_memory_is_short),
            cmocka_unit_test(a_bad_page_is_an_answer),
            cmocka_unit_test(a_bad_page_of_the_index_is_done_without),
            cmocka_unit_test(a_failing_disk_under_the_index_is_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
