#include "wire/json_search.h"

#include <stdio.h>
#include <string.h>

#include "api/names.h"
#include "api/shape.h"
#include "base/arena.h"
#include "base/error.h"
#include "index/text/regex.h"
#include "wire/json_body.h"
#include "wire/json_metadata.h"
#include "wire/json_where.h"

enum { KEY_SHOWN_MAX = 60 };

struct checking {
    struct och_arena *arena;
    struct ochre_error *err;
    struct ochre_error broken;   /* the first rule broken */
    struct ochre_error no_index; /* the first sparse vector: no index can hold it */
    struct och_body_list ranks;  /* of const struct och_json *: expressions to check */
};

static void
note(struct ochre_error *into, const char *place, const char *reason)
{
    if (into->status == OCHRE_OK)
        (void) och_fail(into, OCHRE_INVALID, "Validation error: %s: %s", place, reason);
}

static struct ochre_bytes
bytes_of(const char *text)
{
    return (struct ochre_bytes){text, strlen(text)};
}

static struct och_place
place_in(const struct och_place *parent, const char *name)
{
    return (struct och_place){parent, bytes_of(name)};
}

/* --- lists of keys ----------------------------------------------------------- */

static ochre_status
check_keys(
        const struct checking *checking, const struct och_place *place, const struct och_json *json)
{
    struct ochre_bytes key;
    if (json->kind != OCH_JSON_KIND_ARRAY)
        return och_shape_refuse(place, json, "an array of strings", OCHRE_SHAPE, checking->err);
    for (const struct och_json *item = json->first; item != NULL; item = item->next) {
        ochre_status status = och_shape_string(place, item, &key, checking->err);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}

/* Is one of the keys of a record's own parts? */
static bool
names_a_part(const struct och_json *keys, bool score_too)
{
    static const char *const parts[] = {"#document", "#embedding", "#metadata", "#score"};
    size_t n_parts = sizeof(parts) / sizeof(parts[0]) - (score_too ? 0 : 1);
    for (const struct och_json *key = keys->first; key != NULL; key = key->next) {
        for (size_t i = 0; i < n_parts; i++) {
            if (och_bytes_is(key->as.string, parts[i]))
                return true;
        }
    }
    return false;
}

/* --- rank expressions -------------------------------------------------------- */

static ochre_status
push_rank(struct checking *checking, const struct och_json *rank)
{
    const struct och_json **slot =
            och_body_list_add(checking->arena, &checking->ranks, sizeof(const struct och_json *));
    if (slot == NULL)
        return och_fail_memory(checking->err);
    *slot = rank;
    return OCHRE_OK;
}

/* What to look for: numbers, or a sparse vector. */
static ochre_status
check_knn_query(
        struct checking *checking, const struct och_place *place, const struct och_json *json)
{
    if (json->kind == OCH_JSON_KIND_OBJECT && och_sparse_has_shape(json)) {
        const char *problem = och_sparse_problem(json);
        if (problem != NULL)
            note(&checking->broken, "rank.$knn.query", problem);
        else if (checking->no_index.status == OCHRE_OK)
            (void) och_fail(&checking->no_index, OCHRE_INVALID,
                    "Cannot filter using metadata key of type 'SparseVector': no sparse index is "
                    "enabled");
        return OCHRE_OK;
    }
    bool is_dense = json->kind == OCH_JSON_KIND_ARRAY;
    for (const struct och_json *item = json->first; is_dense && item != NULL; item = item->next)
        is_dense = item->kind == OCH_JSON_KIND_INT || item->kind == OCH_JSON_KIND_UINT ||
                item->kind == OCH_JSON_KIND_FLOAT;
    if (is_dense)
        return OCHRE_OK;
    return och_shape_refuse(
            place, json, "an array of numbers or a sparse vector", OCHRE_SHAPE, checking->err);
}

static ochre_status
check_knn(struct checking *checking, const struct och_place *place, const struct och_json *json)
{
    enum { QUERY, KEY, LIMIT, DEFAULT, RETURN_RANK, N };
    static const char *const names[] = {"query", "key", "limit", "default", "return_rank"};
    static_assert(sizeof(names) / sizeof(names[0]) == N, "every member has its name");
    struct och_walk walk = {.place = place, .names = names, .allowed = (1u << N) - 1};
    const struct och_json *member = NULL;
    struct ochre_bytes text;
    uint64_t natural = 0;
    double number = 0;
    bool boolean = false;
    unsigned field = 0;
    ochre_status status = och_shape_begin(&walk, json, checking->err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, checking->err);
        if (status != OCHRE_OK || member == NULL)
            break;
        struct och_place at = place_in(place, names[field]);
        if (field == QUERY)
            status = check_knn_query(checking, &at, member);
        else if (field == KEY)
            status = och_shape_string(&at, member, &text, checking->err);
        else if (field == LIMIT)
            status = och_shape_natural(&at, member, UINT32_MAX, &natural, checking->err);
        else if (field == RETURN_RANK)
            status = och_shape_bool(&at, member, &boolean, checking->err);
        else if (member->kind != OCH_JSON_KIND_NULL)
            status = och_shape_number(&at, member, &number, checking->err);
    }
    if (status == OCHRE_OK && (walk.seen & 1u << QUERY) == 0)
        status = och_shape_refuse_missing(place, names[QUERY], checking->err);
    return status;
}

/* Both sides of a difference or quotient: by name, or in order. */
static ochre_status
check_pair(struct checking *checking, const struct och_place *place, const struct och_json *json)
{
    const struct och_json *left = och_json_get(json, "left");
    const struct och_json *right = och_json_get(json, "right");
    if (json->kind == OCH_JSON_KIND_ARRAY && json->n == 2) {
        left = json->first;
        right = left->next;
    }
    if (left == NULL || right == NULL)
        return och_shape_refuse(
                place, json, "an object with a left and a right side", OCHRE_SHAPE, checking->err);
    ochre_status status = push_rank(checking, left);
    return status == OCHRE_OK ? push_rank(checking, right) : status;
}

static ochre_status
check_operands(
        struct checking *checking, const struct och_place *place, const struct och_json *json)
{
    if (json->kind != OCH_JSON_KIND_ARRAY)
        return och_shape_refuse(place, json, "an array of expressions", OCHRE_SHAPE, checking->err);
    for (const struct och_json *item = json->first; item != NULL; item = item->next) {
        ochre_status status = push_rank(checking, item);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}

static bool
is_any(struct ochre_bytes text, const char *const words[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (och_bytes_is(text, words[i]))
            return true;
    }
    return false;
}

/* The one member of an object that stands for one of several things, or NULL. */
static const struct och_json *
choice_of(const struct och_json *json)
{
    return json->kind == OCH_JSON_KIND_OBJECT && json->n == 1 ? json->first : NULL;
}

/* A word could name a choice, and so has the wrong shape; others could not. */
static ochre_status
refuse_choice(const struct checking *checking, const struct och_place *place,
        const struct och_json *json, const char *wanted)
{
    bool is_word = json->kind == OCH_JSON_KIND_STRING;
    return och_shape_refuse(
            place, json, wanted, is_word ? OCHRE_SHAPE : OCHRE_INVALID, checking->err);
}

static ochre_status
check_rank_node(
        struct checking *checking, const struct och_place *parent, const struct och_json *json)
{
    static const char *const folds[] = {"$sum", "$mul", "$max", "$min"};
    static const char *const pairs[] = {"$sub", "$div"};
    static const char *const singles[] = {"$abs", "$exp", "$log"};
    const struct och_json *member = choice_of(json);
    double number = 0;
    if (member == NULL)
        return refuse_choice(checking, parent, json, "an object with one operator");
    struct och_place place = {parent, member->key};
    if (och_bytes_is(member->key, "$knn"))
        return check_knn(checking, &place, member);
    if (och_bytes_is(member->key, "$val"))
        return och_shape_number(&place, member, &number, checking->err);
    if (is_any(member->key, folds, sizeof(folds) / sizeof(folds[0])))
        return check_operands(checking, &place, member);
    if (is_any(member->key, pairs, sizeof(pairs) / sizeof(pairs[0])))
        return check_pair(checking, &place, member);
    if (is_any(member->key, singles, sizeof(singles) / sizeof(singles[0])))
        return push_rank(checking, member);
    return och_fail(checking->err, OCHRE_SHAPE, "rank: there is no operator '%.*s'",
            och_name_shown(member->key, KEY_SHOWN_MAX), member->key.data);
}

static ochre_status
check_rank(struct checking *checking, const struct och_place *place, const struct och_json *json)
{
    ochre_status status = push_rank(checking, json);
    while (status == OCHRE_OK && checking->ranks.n > 0) {
        const struct och_json **ranks = checking->ranks.items;
        status = check_rank_node(checking, place, ranks[--checking->ranks.n]);
    }
    return status;
}

/* --- the other members ------------------------------------------------------- */

/* Patterns are compiled here, as a filter's grammar is part of its shape. */
static ochre_status
check_patterns(const struct checking *checking, const struct ochre_filter *filter)
{
    for (size_t i = 0; i < filter->n_nodes; i++) {
        const struct ochre_filter_node *node = &filter->nodes[i];
        if (node->op != OCHRE_FILTER_REGEX && node->op != OCHRE_FILTER_NOT_REGEX)
            continue;
        struct och_regex *regex = NULL;
        ochre_status status = och_regex_compile(
                checking->arena->mem, node->value.as.string, &regex, checking->err);
        och_regex_release(regex);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}

static ochre_status
check_filter(const struct checking *checking, const struct och_json *json)
{
    struct ochre_filter filter;
    if (json->kind == OCH_JSON_KIND_OBJECT && json->first == NULL)
        return OCHRE_OK;
    ochre_status status = och_wire_filter(checking->arena, json, NULL, &filter, checking->err);
    if (status == OCHRE_OK)
        status = check_patterns(checking, &filter);
    if (status != OCHRE_INVALID)
        return status;
    if (checking->err != NULL)
        checking->err->status = OCHRE_SHAPE;
    return OCHRE_SHAPE;
}

static ochre_status
check_limit(
        const struct checking *checking, const struct och_place *place, const struct och_json *json)
{
    static const char *const names[] = {"offset", "limit"};
    struct och_walk walk = {.place = place, .names = names, .allowed = 3};
    const struct och_json *member = NULL;
    uint64_t natural = 0;
    unsigned field = 0;
    ochre_status status = och_shape_begin(&walk, json, checking->err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, checking->err);
        if (status != OCHRE_OK || member == NULL)
            break;
        struct och_place at = place_in(place, names[field]);
        if (field == 0 || member->kind != OCH_JSON_KIND_NULL)
            status = och_shape_natural(&at, member, UINT32_MAX, &natural, checking->err);
    }
    return status;
}

static ochre_status
check_select(
        const struct checking *checking, const struct och_place *place, const struct och_json *json)
{
    static const char *const names[] = {"keys"};
    struct och_walk walk = {.place = place, .names = names, .allowed = 1};
    struct och_place at = place_in(place, names[0]);
    const struct och_json *member = NULL;
    unsigned field = 0;
    ochre_status status = och_shape_begin(&walk, json, checking->err);
    if (status == OCHRE_OK)
        status = och_shape_next(&walk, &member, &field, checking->err);
    if (status == OCHRE_OK && member != NULL)
        status = check_keys(checking, &at, member);
    if (status == OCHRE_OK && member != NULL)
        status = och_shape_next(&walk, &member, &field, checking->err); /* twice? */
    return status;
}

/* {"$min_k": {"keys": [...], "k": n}} */
static ochre_status
check_aggregate(
        struct checking *checking, const struct och_place *parent, const struct och_json *json)
{
    static const char *const names[] = {"keys", "k"};
    static const char *const operators[] = {"$min_k", "$max_k"};
    const struct och_json *choice = choice_of(json), *member = NULL, *keys = NULL;
    uint64_t k = 0;
    unsigned field = 0;
    if (choice == NULL)
        return refuse_choice(checking, parent, json, "an object with $min_k or $max_k");
    struct och_place place = {parent, choice->key};
    if (!is_any(choice->key, operators, 2))
        return och_fail(checking->err, OCHRE_SHAPE, "group_by.aggregate: there is no '%.*s'",
                och_name_shown(choice->key, KEY_SHOWN_MAX), choice->key.data);
    struct och_walk walk = {.place = &place, .names = names, .allowed = 3};
    ochre_status status = och_shape_begin(&walk, choice, checking->err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, checking->err);
        if (status != OCHRE_OK || member == NULL)
            break;
        struct och_place at = place_in(&place, names[field]);
        keys = field == 0 ? member : keys;
        status = field == 0 ? check_keys(checking, &at, member)
                            : och_shape_natural(&at, member, UINT32_MAX, &k, checking->err);
    }
    for (field = 0; status == OCHRE_OK && field < 2; field++) {
        if ((walk.seen & 1u << field) == 0)
            status = och_shape_refuse_missing(&place, names[field], checking->err);
    }
    if (status != OCHRE_OK || keys == NULL)
        return status;
    if (k == 0)
        note(&checking->broken, "group_by", "k of the aggregate must be at least 1");
    if (keys->n == 0)
        note(&checking->broken, "group_by", "the aggregate's keys must not be empty");
    if (names_a_part(keys, false))
        note(&checking->broken, "group_by",
                "the aggregate's keys must be metadata fields or #score");
    return OCHRE_OK;
}

/* *grouped_out: it asks for something. */
static ochre_status
check_group_by(struct checking *checking, const struct och_place *place,
        const struct och_json *json, bool *grouped_out)
{
    static const char *const names[] = {"keys", "aggregate"};
    struct och_walk walk = {.place = place, .names = names, .allowed = 3};
    const struct och_json *member = NULL, *keys = NULL, *aggregate = NULL;
    unsigned field = 0;
    ochre_status status = och_shape_begin(&walk, json, checking->err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, checking->err);
        if (status != OCHRE_OK || member == NULL)
            break;
        struct och_place at = place_in(place, names[field]);
        if (field == 0) {
            keys = member;
            status = check_keys(checking, &at, member);
        } else if (member->kind != OCH_JSON_KIND_NULL) {
            aggregate = member;
            status = check_aggregate(checking, &at, member);
        }
    }
    if (status != OCHRE_OK)
        return status;
    bool has_keys = keys != NULL && keys->n > 0;
    *grouped_out = has_keys || aggregate != NULL;
    if (has_keys != (aggregate != NULL))
        note(&checking->broken, "group_by", "keys and aggregate go together");
    if (has_keys && names_a_part(keys, true))
        note(&checking->broken, "group_by", "keys must be metadata fields");
    return OCHRE_OK;
}

/* --- searches ---------------------------------------------------------------- */

static ochre_status
check_search(struct checking *checking, const struct och_place *place, const struct och_json *json)
{
    enum { FILTER, RANK, GROUP_BY, LIMIT, SELECT, N };
    static const char *const names[] = {"filter", "rank", "group_by", "limit", "select"};
    static_assert(sizeof(names) / sizeof(names[0]) == N, "every member has its name");
    struct och_walk walk = {.place = place, .names = names, .allowed = (1u << N) - 1};
    const struct och_json *member = NULL;
    bool is_ranked = false, is_grouped = false;
    unsigned field = 0;
    ochre_status status = och_shape_begin(&walk, json, checking->err);
    while (status == OCHRE_OK) {
        status = och_shape_next(&walk, &member, &field, checking->err);
        if (status != OCHRE_OK || member == NULL)
            break;
        struct och_place at = place_in(place, names[field]);
        bool is_null = member->kind == OCH_JSON_KIND_NULL;
        if (field == FILTER)
            status = check_filter(checking, member);
        else if (field == RANK && !is_null)
            status = check_rank(checking, &at, member);
        else if (field == GROUP_BY)
            status = check_group_by(checking, &at, member, &is_grouped);
        else if (field == LIMIT)
            status = check_limit(checking, &at, member);
        else if (field == SELECT)
            status = check_select(checking, &at, member);
        is_ranked |= field == RANK && !is_null;
    }
    if (status == OCHRE_OK && is_grouped && !is_ranked)
        note(&checking->broken, "group_by", "it needs a rank expression");
    return status;
}

static ochre_status
check_searches(struct checking *checking, const struct och_json *json)
{
    const struct och_place list = place_in(NULL, "searches");
    size_t i = 0;
    if (json->kind != OCH_JSON_KIND_ARRAY)
        return och_shape_refuse(&list, json, "an array of objects", OCHRE_SHAPE, checking->err);
    for (const struct och_json *item = json->first; item != NULL; item = item->next) {
        char name[40];
        (void) snprintf(name, sizeof(name), "searches[%zu]", i++);
        const struct och_place place = place_in(NULL, name);
        ochre_status status = check_search(checking, &place, item);
        if (status != OCHRE_OK)
            return status;
    }
    return OCHRE_OK;
}

ochre_status
och_wire_read_search(struct och_arena *arena, struct ochre_bytes text,
        struct ochre_error *deferred_out, struct ochre_error *err)
{
    static const char *const names[] = {"searches", "read_level"};
    static const char *const levels[] = {"index_and_wal", "index_only", "index_and_bounded_wal"};
    const struct och_place level = place_in(NULL, names[1]);
    struct checking checking = {.arena = arena, .err = err};
    struct och_body body;
    const struct och_json *tree = NULL;
    unsigned field = OCH_BODY_END, word = 0;
    *deferred_out = (struct ochre_error){.status = OCHRE_OK};
    ochre_status status = och_body_begin(&body, arena, text, names, 2, err);
    while (status == OCHRE_OK) {
        status = och_body_next(&body, &field, err);
        if (status != OCHRE_OK || field == OCH_BODY_END)
            break;
        status = och_body_tree(&body, &tree, err);
        if (status != OCHRE_OK)
            break;
        status = field == 0 ? check_searches(&checking, tree)
                            : och_shape_word(&level, tree, levels, 3, &word, err);
    }
    if (status == OCHRE_OK)
        status = och_body_require(&body, 0, err);
    if (status != OCHRE_OK)
        return status;
    *deferred_out = checking.broken.status != OCHRE_OK ? checking.broken : checking.no_index;
    if (deferred_out->status == OCHRE_OK)
        (void) och_fail(deferred_out, OCHRE_UNSUPPORTED, "search is not implemented yet");
    return OCHRE_OK;
}
