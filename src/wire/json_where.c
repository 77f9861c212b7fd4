#include "wire/json_where.h"

#include <stdbool.h>
#include <stdio.h>

#include "api/names.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/utf8.h"
#include "wire/json_body.h"

enum { PATH_SIZE = 240, KEY_SHOWN_MAX = 60 };

/* An $and or $or whose clauses are being read. */
struct frame {
    size_t node;                 /* its own */
    const struct och_json *next; /* the clause to read next */
    uint32_t n_done;             /* clauses begun, the current one included */
    bool is_and;
};

struct building {
    struct och_arena *arena;
    struct och_body_list nodes; /* of struct ochre_filter_node */
    bool is_document;           /* which of the two grammars */
    unsigned depth;
    struct frame frames[OCH_JSON_DEPTH_MAX];
    struct ochre_error *err;
};

/* --- messages ---------------------------------------------------------------- */

/* Where the path ends once snprintf has written there: early, if it was cut. */
static size_t
advance(size_t size, int written)
{
    if (written > 0)
        size += (size_t) written;
    return size < PATH_SIZE ? size : PATH_SIZE - 1;
}

/* "where.$and[1].price"; `key` may have no data. */
static void
path_text(const struct building *building, struct ochre_bytes key, char path[PATH_SIZE])
{
    const char *root = building->is_document ? "where_document" : "where";
    size_t size = advance(0, snprintf(path, PATH_SIZE, "%s", root));
    for (unsigned i = 0; i < building->depth; i++) {
        const struct frame *frame = &building->frames[i];
        size = advance(size,
                snprintf(path + size, PATH_SIZE - size, ".%s[%lu]", frame->is_and ? "$and" : "$or",
                        (unsigned long) frame->n_done - 1));
    }
    if (key.data != NULL)
        size = advance(size,
                snprintf(path + size, PATH_SIZE - size, ".%.*s", och_name_shown(key, KEY_SHOWN_MAX),
                        key.data));
    path[och_utf8_valid_size(path, size)] = '\0'; /* a cut may go through a character */
}

static const char *
kind_text(const struct och_json *json)
{
    switch (json->kind) {
    case OCH_JSON_KIND_NULL:
        return "null";
    case OCH_JSON_KIND_BOOL:
        return "a boolean";
    case OCH_JSON_KIND_INT:
    case OCH_JSON_KIND_FLOAT:
        return "a number";
    case OCH_JSON_KIND_UINT:
        return "an integer beyond 64 bits";
    case OCH_JSON_KIND_STRING:
        return "a string";
    case OCH_JSON_KIND_ARRAY:
        return "an array";
    case OCH_JSON_KIND_OBJECT:
        return "an object";
    }
    return "a value";
}

static const char *
clause_name(const struct building *building)
{
    return building->is_document ? "Invalid where document clause" : "Invalid where clause";
}

static ochre_status
refuse(const struct building *building, struct ochre_bytes key, const char *reason)
{
    char path[PATH_SIZE];
    path_text(building, key, path);
    return och_fail(
            building->err, OCHRE_INVALID, "%s: %s: %s", clause_name(building), path, reason);
}

/* "$gt needs a number, got a string" */
static ochre_status
refuse_operand(const struct building *building, struct ochre_bytes key,
        struct ochre_bytes operation, const char *wanted, const struct och_json *operand)
{
    char reason[160];
    (void) snprintf(reason, sizeof(reason), "%.*s needs %s, got %s",
            och_name_shown(operation, KEY_SHOWN_MAX), operation.data, wanted, kind_text(operand));
    return refuse(building, key, reason);
}

/* --- objects with one member ------------------------------------------------- */

static const struct ochre_bytes no_key = {0};

/* The one member of an object; NULL when there is none or more than one. */
static const struct och_json *
only_member(const struct och_json *object)
{
    const struct och_json *last = object->first;
    if (last == NULL)
        return NULL;
    for (const struct och_json *member = last->next; member != NULL; member = member->next) {
        if (!och_bytes_equal(member->key, last->key))
            return NULL;
        last = member;
    }
    return last;
}

/* --- nodes ------------------------------------------------------------------- */

static ochre_status
add_node(struct building *building, const struct ochre_filter_node *node)
{
    if (building->nodes.n == OCH_FILTER_NODES_MAX)
        return och_fail(building->err, OCHRE_INVALID, "%s: it has more than %u conditions",
                clause_name(building), OCH_FILTER_NODES_MAX);
    struct ochre_filter_node *slot =
            och_body_list_add(building->arena, &building->nodes, sizeof(*slot));
    if (slot == NULL)
        return och_fail_memory(building->err);
    *slot = *node;
    return OCHRE_OK;
}

/* The scalar as a value; false when it is none. */
static bool
scalar_of(const struct och_json *json, struct ochre_value *value_out)
{
    switch (json->kind) {
    case OCH_JSON_KIND_BOOL:
        *value_out = (struct ochre_value){.type = OCHRE_VALUE_BOOL, .as.boolean = json->as.boolean};
        return true;
    case OCH_JSON_KIND_INT:
        *value_out = (struct ochre_value){.type = OCHRE_VALUE_INT, .as.integer = json->as.integer};
        return true;
    case OCH_JSON_KIND_FLOAT:
        *value_out = (struct ochre_value){.type = OCHRE_VALUE_FLOAT, .as.number = json->as.number};
        return true;
    case OCH_JSON_KIND_STRING:
        *value_out = (struct ochre_value){.type = OCHRE_VALUE_STRING, .as.string = json->as.string};
        return true;
    case OCH_JSON_KIND_NULL:
    case OCH_JSON_KIND_UINT:
    case OCH_JSON_KIND_ARRAY:
    case OCH_JSON_KIND_OBJECT:
        break;
    }
    return false;
}

/* --- operators --------------------------------------------------------------- */

/* What an operation may be applied to. */
enum operand {
    ANY_SCALAR,
    NUMBER,
    LIST,
    PATTERN, /* a string, and only asked of the document */
};

struct operation {
    const char *name;
    ochre_filter_op op;
    enum operand operand;
    bool of_document; /* of "#document" it takes a string and looks into the text */
    bool of_id;       /* of "#id" it looks at the id */
};

static const struct operation operators[] = {
        {"$eq", OCHRE_FILTER_EQ, ANY_SCALAR, false, true},
        {"$ne", OCHRE_FILTER_NE, ANY_SCALAR, false, true},
        {"$gt", OCHRE_FILTER_GT, NUMBER, false, false},
        {"$gte", OCHRE_FILTER_GTE, NUMBER, false, false},
        {"$lt", OCHRE_FILTER_LT, NUMBER, false, false},
        {"$lte", OCHRE_FILTER_LTE, NUMBER, false, false},
        {"$in", OCHRE_FILTER_IN, LIST, false, true},
        {"$nin", OCHRE_FILTER_NOT_IN, LIST, false, true},
        {"$contains", OCHRE_FILTER_CONTAINS, ANY_SCALAR, true, false},
        {"$not_contains", OCHRE_FILTER_NOT_CONTAINS, ANY_SCALAR, true, false},
        {"$regex", OCHRE_FILTER_REGEX, PATTERN, true, false},
        {"$not_regex", OCHRE_FILTER_NOT_REGEX, PATTERN, true, false},
};

static const struct operation *
operator_called(struct ochre_bytes name)
{
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        if (och_bytes_is(name, operators[i].name))
            return &operators[i];
    }
    return NULL;
}

/* A list is what its first element is; after a float there may be integers. */
static bool
fits_list(ochre_value_type type, const struct och_json *item)
{
    switch (type) {
    case OCHRE_VALUE_BOOL:
        return item->kind == OCH_JSON_KIND_BOOL;
    case OCHRE_VALUE_INT:
        return item->kind == OCH_JSON_KIND_INT;
    case OCHRE_VALUE_FLOAT:
        return item->kind == OCH_JSON_KIND_FLOAT || item->kind == OCH_JSON_KIND_INT;
    case OCHRE_VALUE_STRING:
        return item->kind == OCH_JSON_KIND_STRING;
    case OCHRE_VALUE_NULL:
    case OCHRE_VALUE_BOOL_LIST:
    case OCHRE_VALUE_INT_LIST:
    case OCHRE_VALUE_FLOAT_LIST:
    case OCHRE_VALUE_STRING_LIST:
        break;
    }
    return false;
}

/* The elements, all of one type, as a list value; false: no memory. */
static bool
list_of(struct och_arena *arena, const struct och_json *array, ochre_value_type type,
        struct ochre_value *value_out)
{
    static const size_t sizes[] = {[OCHRE_VALUE_BOOL] = sizeof(bool),
            [OCHRE_VALUE_INT] = sizeof(int64_t),
            [OCHRE_VALUE_FLOAT] = sizeof(double),
            [OCHRE_VALUE_STRING] = sizeof(struct ochre_bytes)};
    void *items = och_arena_take_array(arena, array->n, sizes[type]);
    if (items == NULL)
        return false;
    bool *booleans = items;
    int64_t *integers = items;
    double *numbers = items;
    struct ochre_bytes *strings = items;
    size_t i = 0;
    for (const struct och_json *item = array->first; item != NULL; item = item->next, i++) {
        if (type == OCHRE_VALUE_BOOL)
            booleans[i] = item->as.boolean;
        else if (type == OCHRE_VALUE_INT)
            integers[i] = item->as.integer;
        else if (type == OCHRE_VALUE_STRING)
            strings[i] = item->as.string;
        else
            numbers[i] =
                    item->kind == OCH_JSON_KIND_INT ? (double) item->as.integer : item->as.number;
    }
    *value_out = (struct ochre_value){.type = (ochre_value_type) (type + 4), .n = array->n};
    if (type == OCHRE_VALUE_BOOL)
        value_out->as.booleans = booleans;
    else if (type == OCHRE_VALUE_INT)
        value_out->as.integers = integers;
    else if (type == OCHRE_VALUE_STRING)
        value_out->as.strings = strings;
    else
        value_out->as.numbers = numbers;
    return true;
}

static ochre_status
read_list(struct building *building, const struct och_json *member, struct ochre_bytes key,
        struct ochre_value *value_out)
{
    struct ochre_value first;
    if (member->kind != OCH_JSON_KIND_ARRAY)
        return refuse_operand(building, key, member->key, "an array", member);
    if (member->n == 0)
        return refuse(building, key, "the list of values is empty");
    if (member->n > OCH_FILTER_LIST_MAX) {
        char reason[80];
        (void) snprintf(reason, sizeof(reason), "a list of %lu values; the limit is %u",
                (unsigned long) member->n, OCH_FILTER_LIST_MAX);
        return refuse(building, key, reason);
    }
    if (!scalar_of(member->first, &first))
        return refuse_operand(building, key, member->key,
                "strings, numbers or booleans in its array", member->first);
    for (const struct och_json *item = member->first; item != NULL; item = item->next) {
        if (!fits_list(first.type, item))
            return refuse(building, key, "the values of a list must have one type");
    }
    if (!list_of(building->arena, member, first.type, value_out))
        return och_fail_memory(building->err);
    return OCHRE_OK;
}

static bool
is_number(const struct ochre_value *value)
{
    return value->type == OCHRE_VALUE_INT || value->type == OCHRE_VALUE_FLOAT;
}

/* {operator: operand}, of which `member` is the member, applied to `key`. */
static ochre_status
add_condition(struct building *building, struct ochre_bytes key, const struct och_json *member)
{
    const struct operation *operation = operator_called(member->key);
    struct ochre_filter_node node = {.size = 1, .key = key};
    bool is_document = building->is_document || och_bytes_is(key, "#document");
    if (operation == NULL || (building->is_document && !operation->of_document)) {
        char reason[100];
        (void) snprintf(reason, sizeof(reason), "there is no operator '%.*s'",
                och_name_shown(member->key, KEY_SHOWN_MAX), member->key.data);
        return refuse(building, key, reason);
    }
    node.op = operation->op;
    if (operation->operand == PATTERN && !is_document)
        return refuse(building, key, "regular expressions are for '#document' only");
    if (operation->operand == LIST) {
        ochre_status status = read_list(building, member, key, &node.value);
        if (status != OCHRE_OK)
            return status;
    } else if (!scalar_of(member, &node.value)) {
        return refuse_operand(building, key, member->key,
                operation->operand == NUMBER ? "a number" : "a string, a number or a boolean",
                member);
    }
    if (operation->operand == NUMBER && !is_number(&node.value))
        return refuse_operand(building, key, member->key, "a number", member);
    if (operation->of_document && is_document) {
        if (node.value.type != OCHRE_VALUE_STRING)
            return refuse_operand(building, key, member->key, "a string", member);
        node.field = OCHRE_FIELD_DOCUMENT;
        node.key = no_key;
    } else if (operation->of_id && och_bytes_is(key, "#id")) {
        node.field = OCHRE_FIELD_ID;
        node.key = no_key;
    }
    return add_node(building, &node);
}

/* --- clauses ----------------------------------------------------------------- */

/* An $and or $or whose list is `list`. */
static ochre_status
open_frame(struct building *building, const struct och_json *list, bool is_and)
{
    struct ochre_filter_node node = {.op = is_and ? OCHRE_FILTER_AND : OCHRE_FILTER_OR, .size = 1};
    if (list->kind != OCH_JSON_KIND_ARRAY)
        return refuse_operand(building, list->key, list->key, "an array of clauses", list);
    /* Each level of clauses takes two of JSON's. */
    och_assert(building->depth < OCH_JSON_DEPTH_MAX);
    building->frames[building->depth++] =
            (struct frame){.node = building->nodes.n, .next = list->first, .is_and = is_and};
    return add_node(building, &node);
}

/* One clause: a condition, or the beginning of an $and or $or. */
static ochre_status
read_clause(struct building *building, const struct och_json *clause)
{
    if (clause->kind != OCH_JSON_KIND_OBJECT)
        return refuse(building, no_key, "a clause is an object with one member");
    const struct och_json *member = only_member(clause);
    if (member == NULL)
        return refuse(building, no_key,
                clause->first == NULL ? "a clause must not be empty"
                                      : "a clause has one member only; $and joins several");
    if (och_bytes_is(member->key, "$and") || och_bytes_is(member->key, "$or"))
        return open_frame(building, member, och_bytes_is(member->key, "$and"));
    if (building->is_document)
        return add_condition(building, no_key, member);
    if (member->key.size > 0 && member->key.data[0] == '$')
        return refuse(building, member->key, "there is no such operator here");
    if (member->kind == OCH_JSON_KIND_OBJECT) {
        const struct och_json *condition = only_member(member);
        if (condition == NULL)
            return refuse(building, member->key, "one operator is needed; $and joins several");
        return add_condition(building, member->key, condition);
    }
    struct och_json equals = *member;
    equals.key = (struct ochre_bytes){"$eq", sizeof("$eq") - 1};
    return add_condition(building, member->key, &equals);
}

/* A whole filter, appended to the nodes. */
static ochre_status
build(struct building *building, const struct och_json *root, bool is_document)
{
    building->is_document = is_document;
    building->depth = 0;
    ochre_status status = read_clause(building, root);
    while (status == OCHRE_OK && building->depth > 0) {
        struct frame *frame = &building->frames[building->depth - 1];
        const struct och_json *clause = frame->next;
        if (clause == NULL) {
            struct ochre_filter_node *nodes = building->nodes.items;
            nodes[frame->node].size = (uint32_t) (building->nodes.n - frame->node);
            building->depth--;
            continue;
        }
        frame->next = clause->next;
        frame->n_done++;
        status = read_clause(building, clause);
    }
    return status;
}

static bool
is_given(const struct och_json *tree)
{
    return tree != NULL && tree->kind != OCH_JSON_KIND_NULL;
}

ochre_status
och_wire_filter(struct och_arena *arena, const struct och_json *where,
        const struct och_json *where_document, struct ochre_filter *filter_out,
        struct ochre_error *err)
{
    struct building building;
    bool both = is_given(where) && is_given(where_document);
    ochre_status status = OCHRE_OK;
    *filter_out = (struct ochre_filter){0};
    building.arena = arena;
    building.nodes = (struct och_body_list){0};
    building.is_document = false;
    building.err = err;
    if (both)
        status =
                add_node(&building, &(struct ochre_filter_node){.op = OCHRE_FILTER_AND, .size = 1});
    if (status == OCHRE_OK && is_given(where))
        status = build(&building, where, false);
    if (status == OCHRE_OK && is_given(where_document))
        status = build(&building, where_document, true);
    if (status != OCHRE_OK)
        return status;
    struct ochre_filter_node *nodes = building.nodes.items;
    if (both)
        nodes[0].size = (uint32_t) building.nodes.n;
    *filter_out = (struct ochre_filter){nodes, building.nodes.n};
    return OCHRE_OK;
}
