#include <string.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/error.h"
#include "base/json.h"

/* The containers that are open while a tree grows, and where their next child goes. */
struct growth {
    struct och_json *open[OCH_JSON_DEPTH_MAX];
    struct och_json **slot[OCH_JSON_DEPTH_MAX + 1];
    unsigned depth;
    struct ochre_bytes key; /* of the next value */
};

static bool
copy_string(struct och_arena *arena, struct ochre_bytes *string)
{
    char *copy = och_arena_copy(arena, string->data, string->size);
    if (copy == NULL)
        return false;
    string->data = copy;
    return true;
}

/* Fill `node` from the token; false when there is no memory. */
static bool
set_value(struct och_json_reader *reader, struct och_json *node)
{
    switch (reader->token) {
    case OCH_JSON_NULL:
        node->kind = OCH_JSON_KIND_NULL;
        return true;
    case OCH_JSON_TRUE:
    case OCH_JSON_FALSE:
        node->kind = OCH_JSON_KIND_BOOL;
        node->as.boolean = reader->token == OCH_JSON_TRUE;
        return true;
    case OCH_JSON_INT:
        node->kind = OCH_JSON_KIND_INT;
        node->as.integer = reader->integer;
        return true;
    case OCH_JSON_UINT:
        node->kind = OCH_JSON_KIND_UINT;
        node->as.natural = reader->natural;
        return true;
    case OCH_JSON_FLOAT:
        node->kind = OCH_JSON_KIND_FLOAT;
        node->as.number = reader->number;
        return true;
    case OCH_JSON_STRING:
        node->kind = OCH_JSON_KIND_STRING;
        node->as.string = reader->string;
        return copy_string(reader->arena, &node->as.string);
    case OCH_JSON_BEGIN_ARRAY:
        node->kind = OCH_JSON_KIND_ARRAY;
        return true;
    case OCH_JSON_BEGIN_OBJECT:
        node->kind = OCH_JSON_KIND_OBJECT;
        return true;
    case OCH_JSON_ERROR:
    case OCH_JSON_END:
    case OCH_JSON_KEY:
    case OCH_JSON_END_OBJECT:
    case OCH_JSON_END_ARRAY:
        break;
    }
    och_assert_failed("a value begins with this token", __FILE__, __LINE__);
}

/* Append the value that begins with the reader's token; false: no memory. */
static bool
add_value(struct och_json_reader *reader, struct growth *growth)
{
    struct och_json *node = och_arena_take(reader->arena, sizeof(*node));
    if (node == NULL)
        return false;
    memset(node, 0, sizeof(*node));
    node->key = growth->key;
    growth->key = (struct ochre_bytes){0};
    if (!set_value(reader, node))
        return false;
    *growth->slot[growth->depth] = node;
    growth->slot[growth->depth] = &node->next;
    if (growth->depth > 0) {
        struct och_json *parent = growth->open[growth->depth - 1];
        och_assert(parent->n < UINT32_MAX);
        parent->n++;
    }
    if (node->kind == OCH_JSON_KIND_ARRAY || node->kind == OCH_JSON_KIND_OBJECT) {
        growth->open[growth->depth++] = node;
        growth->slot[growth->depth] = &node->first;
    }
    return true;
}

ochre_status
och_json_parse_value(
        struct och_json_reader *reader, struct och_json **root_out, struct ochre_error *err)
{
    struct och_json *root = NULL;
    struct growth growth;
    growth.slot[0] = &root;
    growth.depth = 0;
    growth.key = (struct ochre_bytes){0};
    *root_out = NULL;
    for (;;) {
        bool memory = true;
        switch (reader->token) {
        case OCH_JSON_ERROR:
        case OCH_JSON_END:
            och_assert(reader->token == OCH_JSON_ERROR);
            return och_json_status(reader, err);
        case OCH_JSON_KEY:
            och_assert(growth.depth > 0);
            growth.key = reader->string;
            memory = copy_string(reader->arena, &growth.key);
            break;
        case OCH_JSON_END_ARRAY:
        case OCH_JSON_END_OBJECT:
            och_assert(growth.depth > 0);
            growth.depth--;
            break;
        case OCH_JSON_NULL:
        case OCH_JSON_TRUE:
        case OCH_JSON_FALSE:
        case OCH_JSON_INT:
        case OCH_JSON_UINT:
        case OCH_JSON_FLOAT:
        case OCH_JSON_STRING:
        case OCH_JSON_BEGIN_OBJECT:
        case OCH_JSON_BEGIN_ARRAY:
            memory = add_value(reader, &growth);
            break;
        }
        if (!memory)
            return och_fail_memory(err);
        if (growth.depth == 0)
            break;
        (void) och_json_next(reader);
    }
    *root_out = root;
    return OCHRE_OK;
}

ochre_status
och_json_parse(struct och_arena *arena, const char *text, size_t size, struct och_json **root_out,
        struct ochre_error *err)
{
    struct och_json_reader reader;
    struct och_json *root = NULL;
    *root_out = NULL;
    och_json_init(&reader, arena, text, size);
    (void) och_json_next(&reader);
    ochre_status status = och_json_parse_value(&reader, &root, err);
    if (status != OCHRE_OK)
        return status;
    if (och_json_next(&reader) != OCH_JSON_END)
        return och_json_status(&reader, err);
    *root_out = root;
    return OCHRE_OK;
}

const struct och_json *
och_json_get(const struct och_json *object, const char *key)
{
    const struct och_json *found = NULL;
    if (object == NULL || object->kind != OCH_JSON_KIND_OBJECT)
        return NULL;
    for (const struct och_json *member = object->first; member != NULL; member = member->next) {
        if (och_bytes_is(member->key, key))
            found = member;
    }
    return found;
}

bool
och_bytes_is(struct ochre_bytes bytes, const char *text)
{
    size_t size = strlen(text);
    return bytes.data != NULL && bytes.size == size && memcmp(bytes.data, text, size) == 0;
}

bool
och_bytes_equal(struct ochre_bytes a, struct ochre_bytes b)
{
    if (a.data == NULL || b.data == NULL)
        return a.data == b.data;
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}
