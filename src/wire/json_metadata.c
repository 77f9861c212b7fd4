#include "wire/json_metadata.h"

#include "base/arena.h"
#include "base/error.h"
#include "wire/json_body.h"

static const char anything[] =
        "a string, a number, true, false or an array of values of one of these types";

/* --- notes ------------------------------------------------------------------- */

static void
note(struct ochre_error *into, const struct och_body *body, ochre_status status, const char *reason)
{
    char place[OCH_BODY_PLACE_SIZE];
    if (into->status != OCHRE_OK)
        return;
    och_body_place_text(&body->place, place);
    (void) och_fail(into, status, "%s %s", place, reason);
}

/* --- sparse vectors ---------------------------------------------------------- */

static bool
is_list_of(const struct och_json *list, bool (*fits)(const struct och_json *item))
{
    if (list == NULL || list->kind != OCH_JSON_KIND_ARRAY)
        return false;
    for (const struct och_json *item = list->first; item != NULL; item = item->next) {
        if (!fits(item))
            return false;
    }
    return true;
}

static bool
is_index(const struct och_json *item)
{
    return item->kind == OCH_JSON_KIND_INT && item->as.integer >= 0 &&
            item->as.integer <= UINT32_MAX;
}

static bool
is_number(const struct och_json *item)
{
    return item->kind == OCH_JSON_KIND_INT || item->kind == OCH_JSON_KIND_UINT ||
            item->kind == OCH_JSON_KIND_FLOAT;
}

static bool
is_string(const struct och_json *item)
{
    return item->kind == OCH_JSON_KIND_STRING;
}

bool
och_sparse_has_shape(const struct och_json *object)
{
    const struct och_json *tokens = och_json_get(object, "tokens");
    const struct och_json *type = och_json_get(object, "#type");
    return is_list_of(och_json_get(object, "indices"), is_index) &&
            is_list_of(och_json_get(object, "values"), is_number) &&
            (tokens == NULL || tokens->kind == OCH_JSON_KIND_NULL ||
                    is_list_of(tokens, is_string)) &&
            (type == NULL || (is_string(type) && och_bytes_is(type->as.string, "sparse_vector")));
}

const char *
och_sparse_problem(const struct och_json *object)
{
    const struct och_json *indices = och_json_get(object, "indices");
    const struct och_json *tokens = och_json_get(object, "tokens");
    if (indices->n != och_json_get(object, "values")->n)
        return "is a sparse vector with more indices than values, or fewer";
    if (tokens != NULL && tokens->kind == OCH_JSON_KIND_ARRAY && tokens->n != indices->n)
        return "is a sparse vector with more tokens than indices, or fewer";
    int64_t last = -1;
    for (const struct och_json *item = indices->first; item != NULL; item = item->next) {
        if (item->as.integer <= last)
            return "is a sparse vector whose indices do not ascend";
        last = item->as.integer;
    }
    return NULL;
}

/* A sparse vector is checked and noted; there is no value for it yet. */
static ochre_status
read_object(struct och_body *body, struct och_metadata_rules *rules, struct ochre_error *err)
{
    const struct och_json *tree = NULL;
    ochre_status status = och_body_tree(body, &tree, err);
    if (status != OCHRE_OK)
        return status;
    if (!och_sparse_has_shape(tree)) {
        char place[OCH_BODY_PLACE_SIZE];
        och_body_place_text(&body->place, place);
        return och_fail(err, OCHRE_SHAPE, "%s is an object; it must be %s", place, anything);
    }
    const char *problem = och_sparse_problem(tree);
    if (problem != NULL)
        note(&rules->invalid, body, OCHRE_INVALID, problem);
    else if (rules->scalars_only)
        note(&rules->invalid, body, OCHRE_INVALID,
                "is a sparse vector; a collection's metadata holds single values only");
    else
        note(&rules->unsupported, body, OCHRE_UNSUPPORTED,
                "is a sparse vector, which is not supported yet");
    return OCHRE_OK;
}

/* --- scalars and lists ------------------------------------------------------- */

/* The scalar at hand; false when it is none. */
static bool
read_scalar(const struct och_json_reader *reader, struct ochre_value *value_out)
{
    switch (reader->token) {
    case OCH_JSON_TRUE:
    case OCH_JSON_FALSE:
        *value_out = (struct ochre_value){
                .type = OCHRE_VALUE_BOOL, .as.boolean = reader->token == OCH_JSON_TRUE};
        return true;
    case OCH_JSON_INT:
        *value_out = (struct ochre_value){.type = OCHRE_VALUE_INT, .as.integer = reader->integer};
        return true;
    case OCH_JSON_UINT:
    case OCH_JSON_FLOAT:
        /* Adding zero makes -0.0 the 0.0 that it equals and leaves the rest. */
        *value_out =
                (struct ochre_value){.type = OCHRE_VALUE_FLOAT, .as.number = reader->number + 0.0};
        return true;
    case OCH_JSON_STRING:
        *value_out = (struct ochre_value){.type = OCHRE_VALUE_STRING, .as.string = reader->string};
        return true;
    case OCH_JSON_NULL:
    case OCH_JSON_BEGIN_OBJECT:
    case OCH_JSON_BEGIN_ARRAY:
    case OCH_JSON_ERROR:
    case OCH_JSON_END:
    case OCH_JSON_KEY:
    case OCH_JSON_END_OBJECT:
    case OCH_JSON_END_ARRAY:
        break;
    }
    return false;
}

/* The type of a list that has held `held` so far and now `next`; NULL: none. */
static ochre_value_type
join_types(ochre_value_type held, ochre_value_type next)
{
    if (held == next)
        return held;
    bool numbers = (held == OCHRE_VALUE_INT || held == OCHRE_VALUE_FLOAT) &&
            (next == OCHRE_VALUE_INT || next == OCHRE_VALUE_FLOAT);
    return numbers ? OCHRE_VALUE_FLOAT : OCHRE_VALUE_NULL;
}

/* Scalars of `type` as a list; integers become floats where the type says so. */
static bool
pack(struct och_arena *arena, const struct ochre_value *items, size_t n, ochre_value_type type,
        struct ochre_value *list_out)
{
    static const size_t sizes[] = {[OCHRE_VALUE_BOOL] = sizeof(bool),
            [OCHRE_VALUE_INT] = sizeof(int64_t),
            [OCHRE_VALUE_FLOAT] = sizeof(double),
            [OCHRE_VALUE_STRING] = sizeof(struct ochre_bytes)};
    void *packed = och_arena_take_array(arena, n, sizes[type]);
    if (packed == NULL)
        return false;
    bool *booleans = packed;
    int64_t *integers = packed;
    double *numbers = packed;
    struct ochre_bytes *strings = packed;
    for (size_t i = 0; i < n; i++) {
        if (type == OCHRE_VALUE_BOOL)
            booleans[i] = items[i].as.boolean;
        else if (type == OCHRE_VALUE_INT)
            integers[i] = items[i].as.integer;
        else if (type == OCHRE_VALUE_FLOAT)
            numbers[i] = items[i].type == OCHRE_VALUE_INT ? (double) items[i].as.integer
                                                          : items[i].as.number;
        else
            strings[i] = items[i].as.string;
    }
    *list_out = (struct ochre_value){.type = (ochre_value_type) (type + 4), .n = (uint32_t) n};
    if (type == OCHRE_VALUE_BOOL)
        list_out->as.booleans = booleans;
    else if (type == OCHRE_VALUE_INT)
        list_out->as.integers = integers;
    else if (type == OCHRE_VALUE_FLOAT)
        list_out->as.numbers = numbers;
    else
        list_out->as.strings = strings;
    return true;
}

/* The rest of an array; *kept_out is false when it is noted and not kept. */
static ochre_status
read_list(struct och_body *body, struct och_metadata_rules *rules, struct ochre_value *value_out,
        bool *kept_out, struct ochre_error *err)
{
    struct och_json_reader *reader = &body->reader;
    struct och_body_list list = {0};
    ochre_value_type type = OCHRE_VALUE_NULL;
    *kept_out = false;
    while (och_json_next(reader) != OCH_JSON_END_ARRAY) {
        struct ochre_value item;
        body->place.item = list.n;
        if (!read_scalar(reader, &item))
            return och_body_refuse(body, "a string, a number, true or false", OCHRE_SHAPE, err);
        type = list.n == 0 ? item.type : join_types(type, item.type);
        if (type == OCHRE_VALUE_NULL)
            return och_body_refuse(
                    body, "of the same type as the elements before it", OCHRE_SHAPE, err);
        struct ochre_value *slot = och_body_list_add(body->arena, &list, sizeof(*slot));
        if (slot == NULL)
            return och_fail_memory(err);
        *slot = item;
    }
    body->place.item = OCH_BODY_NONE;
    if (rules->scalars_only) {
        note(&rules->invalid, body, OCHRE_INVALID,
                "is an array; a collection's metadata holds single values only");
        return OCHRE_OK;
    }
    if (list.n == 0) {
        note(&rules->invalid, body, OCHRE_INVALID,
                "is an empty array, which has no type; leave the key out");
        return OCHRE_OK;
    }
    if (list.n > UINT32_MAX || !pack(body->arena, list.items, list.n, type, value_out))
        return och_fail_memory(err);
    *kept_out = true;
    return OCHRE_OK;
}

/* --- the object -------------------------------------------------------------- */

static ochre_status
read_value(struct och_body *body, struct och_metadata_rules *rules, struct ochre_value *value_out,
        bool *kept_out, struct ochre_error *err)
{
    struct och_json_reader *reader = &body->reader;
    *kept_out = true;
    if (read_scalar(reader, value_out))
        return OCHRE_OK;
    if (reader->token == OCH_JSON_BEGIN_ARRAY)
        return read_list(body, rules, value_out, kept_out, err);
    if (reader->token == OCH_JSON_NULL && rules->nulls) {
        *value_out = (struct ochre_value){.type = OCHRE_VALUE_NULL};
        return OCHRE_OK;
    }
    *kept_out = false;
    if (reader->token == OCH_JSON_BEGIN_OBJECT)
        return read_object(body, rules, err);
    return och_body_refuse(body, anything, OCHRE_SHAPE, err);
}

ochre_status
och_metadata_read(struct och_body *body, struct och_metadata_rules *rules,
        struct ochre_metadata *metadata_out, struct ochre_error *err)
{
    struct och_json_reader *reader = &body->reader;
    struct och_body_list list = {0};
    *metadata_out = (struct ochre_metadata){0};
    if (reader->token != OCH_JSON_BEGIN_OBJECT)
        return och_body_refuse(body, "an object", OCHRE_SHAPE, err);
    while (och_json_next(reader) == OCH_JSON_KEY) {
        struct ochre_field field = {.key = reader->string};
        bool kept = false;
        body->place.key = field.key;
        (void) och_json_next(reader);
        ochre_status status = read_value(body, rules, &field.value, &kept, err);
        if (status != OCHRE_OK)
            return status;
        if (!kept)
            continue;
        struct ochre_field *slot = och_body_list_add(body->arena, &list, sizeof(*slot));
        if (slot == NULL)
            return och_fail_memory(err);
        *slot = field;
    }
    body->place.key = (struct ochre_bytes){0};
    if (reader->token == OCH_JSON_ERROR)
        return och_json_status(reader, err);
    *metadata_out = (struct ochre_metadata){list.items, list.n};
    return OCHRE_OK;
}
