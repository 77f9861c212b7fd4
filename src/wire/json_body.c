#include "wire/json_body.h"

#include <stdio.h>
#include <string.h>

#include "api/names.h"
#include "base/arena.h"
#include "base/error.h"

enum { VALUE_TEXT_SIZE = 80, KEY_SHOWN_MAX = 60, STRING_SHOWN_MAX = 40, LIST_ROOM_MIN = 8 };

/* --- messages ---------------------------------------------------------------- */

/* Where a text of `size` ends once snprintf has written there: early, if it was cut. */
static size_t
advance(size_t size, size_t room, int written)
{
    if (written > 0)
        size += (size_t) written;
    return size < room ? size : room - 1;
}

void
och_body_place_text(const struct och_body_place *place, char text[OCH_BODY_PLACE_SIZE])
{
    enum { room = OCH_BODY_PLACE_SIZE };
    const char *field = place->field == NULL ? "the body" : place->field;
    size_t size = advance(0, room, snprintf(text, room, "%s", field));
    if (place->row != OCH_BODY_NONE)
        size = advance(size, room, snprintf(text + size, room - size, "[%zu]", place->row));
    if (place->key.data != NULL)
        size = advance(size, room,
                snprintf(text + size, room - size, ".%.*s",
                        och_name_shown(place->key, KEY_SHOWN_MAX), place->key.data));
    if (place->item != OCH_BODY_NONE)
        (void) snprintf(text + size, room - size, "[%zu]", place->item);
}

/* What the token at hand begins, as the object of "is". */
static void
value_text(const struct och_json_reader *reader, char text[VALUE_TEXT_SIZE])
{
    const char *word = "a value";
    switch (reader->token) {
    case OCH_JSON_NULL:
        word = "null";
        break;
    case OCH_JSON_TRUE:
        word = "true";
        break;
    case OCH_JSON_FALSE:
        word = "false";
        break;
    case OCH_JSON_INT:
        (void) snprintf(text, VALUE_TEXT_SIZE, "%lld", (long long) reader->integer);
        return;
    case OCH_JSON_UINT:
        (void) snprintf(text, VALUE_TEXT_SIZE, "%llu", (unsigned long long) reader->natural);
        return;
    case OCH_JSON_FLOAT:
        (void) snprintf(text, VALUE_TEXT_SIZE, "the number %g", reader->number);
        return;
    case OCH_JSON_STRING:
        (void) snprintf(text, VALUE_TEXT_SIZE, "the string '%.*s'",
                och_name_shown(reader->string, STRING_SHOWN_MAX), reader->string.data);
        return;
    case OCH_JSON_BEGIN_OBJECT:
        word = "an object";
        break;
    case OCH_JSON_BEGIN_ARRAY:
        word = "an array";
        break;
    case OCH_JSON_ERROR:
    case OCH_JSON_END:
    case OCH_JSON_KEY:
    case OCH_JSON_END_OBJECT:
    case OCH_JSON_END_ARRAY:
        break;
    }
    (void) snprintf(text, VALUE_TEXT_SIZE, "%s", word);
}

ochre_status
och_body_refuse(
        struct och_body *body, const char *wanted, ochre_status status, struct ochre_error *err)
{
    char place[OCH_BODY_PLACE_SIZE];
    char value[VALUE_TEXT_SIZE];
    if (body->reader.token == OCH_JSON_ERROR)
        return och_json_status(&body->reader, err);
    och_body_place_text(&body->place, place);
    value_text(&body->reader, value);
    return och_fail(err, status, "%s is %s; it must be %s", place, value, wanted);
}

/* --- the object -------------------------------------------------------------- */

static struct och_body_place
place_of(const char *field)
{
    return (struct och_body_place){.field = field, .row = OCH_BODY_NONE, .item = OCH_BODY_NONE};
}

ochre_status
och_body_begin(struct och_body *body, struct och_arena *arena, struct ochre_bytes text,
        const char *const *names, unsigned n_names, struct ochre_error *err)
{
    och_assert(n_names <= OCH_BODY_FIELDS_MAX);
    *body = (struct och_body){
            .arena = arena, .names = names, .n_names = n_names, .place = place_of(NULL)};
    och_json_init(&body->reader, arena, text.data, text.size);
    if (och_json_next(&body->reader) != OCH_JSON_BEGIN_OBJECT)
        return och_body_refuse(body, "an object", OCHRE_SHAPE, err);
    return OCHRE_OK;
}

/* Which field the key at hand names; n_names for none. */
static unsigned
field_of(const struct och_body *body)
{
    unsigned field = 0;
    while (field < body->n_names && !och_bytes_is(body->reader.string, body->names[field]))
        field++;
    return field;
}

static ochre_status
refuse_unknown(const struct och_body *body, struct ochre_error *err)
{
    struct ochre_bytes name = body->reader.string;
    return och_fail(err, OCHRE_SHAPE, "the body has the field '%.*s'; it may have '%s' alone",
            och_name_shown(name, KEY_SHOWN_MAX), name.data, body->names[0]);
}

ochre_status
och_body_next(struct och_body *body, unsigned *field_out, struct ochre_error *err)
{
    struct och_json_reader *reader = &body->reader;
    *field_out = OCH_BODY_END;
    body->place = place_of(NULL);
    for (;;) {
        och_json_token token = och_json_next(reader);
        if (token == OCH_JSON_END_OBJECT) {
            (void) och_json_next(reader); /* nothing may follow */
            return och_json_status(reader, err);
        }
        if (token != OCH_JSON_KEY)
            return och_json_status(reader, err);
        unsigned field = field_of(body);
        if (field == body->n_names) {
            if (body->is_strict)
                return refuse_unknown(body, err);
            if (!och_json_skip(reader))
                return och_json_status(reader, err);
            continue;
        }
        if ((body->seen & 1u << field) != 0)
            return och_fail(
                    err, OCHRE_SHAPE, "the body has the field '%s' twice", body->names[field]);
        body->seen |= 1u << field;
        body->place = place_of(body->names[field]);
        if (och_json_next(reader) == OCH_JSON_ERROR)
            return och_json_status(reader, err);
        *field_out = field;
        return OCHRE_OK;
    }
}

ochre_status
och_body_require(const struct och_body *body, unsigned field, struct ochre_error *err)
{
    if ((body->seen & 1u << field) != 0)
        return OCHRE_OK;
    return och_fail(err, OCHRE_SHAPE, "the body lacks the field '%s'", body->names[field]);
}

/* --- values ------------------------------------------------------------------ */

bool
och_body_is_null(const struct och_body *body)
{
    return body->reader.token == OCH_JSON_NULL;
}

ochre_status
och_body_string(struct och_body *body, struct ochre_bytes *value_out, struct ochre_error *err)
{
    if (body->reader.token != OCH_JSON_STRING)
        return och_body_refuse(body, "a string", OCHRE_SHAPE, err);
    *value_out = body->reader.string;
    return OCHRE_OK;
}

ochre_status
och_body_bool(struct och_body *body, bool *value_out, struct ochre_error *err)
{
    och_json_token token = body->reader.token;
    if (token != OCH_JSON_TRUE && token != OCH_JSON_FALSE)
        return och_body_refuse(body, "true or false", OCHRE_SHAPE, err);
    *value_out = token == OCH_JSON_TRUE;
    return OCHRE_OK;
}

ochre_status
och_body_natural(struct och_body *body, uint64_t max, uint64_t *value_out, struct ochre_error *err)
{
    const struct och_json_reader *reader = &body->reader;
    uint64_t value = 0;
    bool is_natural = false;
    if (reader->token == OCH_JSON_INT && reader->integer >= 0) {
        value = (uint64_t) reader->integer;
        is_natural = value <= max;
    } else if (reader->token == OCH_JSON_UINT) {
        value = reader->natural;
        is_natural = value <= max;
    }
    if (!is_natural) {
        char wanted[60];
        (void) snprintf(
                wanted, sizeof(wanted), "a whole number from 0 to %llu", (unsigned long long) max);
        return och_body_refuse(body, wanted, OCHRE_SHAPE, err);
    }
    *value_out = value;
    return OCHRE_OK;
}

ochre_status
och_body_strings(struct och_body *body, bool nulls, struct ochre_bytes **items_out, size_t *n_out,
        struct ochre_error *err)
{
    struct och_json_reader *reader = &body->reader;
    struct och_body_list list = {0};
    *items_out = NULL;
    *n_out = 0;
    if (reader->token != OCH_JSON_BEGIN_ARRAY)
        return och_body_refuse(body, "an array of strings", OCHRE_SHAPE, err);
    for (;;) {
        och_json_token token = och_json_next(reader);
        if (token == OCH_JSON_END_ARRAY)
            break;
        bool is_null = nulls && token == OCH_JSON_NULL;
        if (token != OCH_JSON_STRING && !is_null) {
            body->place.row = list.n;
            return och_body_refuse(body, nulls ? "a string or null" : "a string", OCHRE_SHAPE, err);
        }
        struct ochre_bytes *item = och_body_list_add(body->arena, &list, sizeof(*item));
        if (item == NULL)
            return och_fail_memory(err);
        static const struct ochre_bytes none = {NULL, 0};
        *item = is_null ? none : reader->string;
    }
    *items_out = list.items;
    *n_out = list.n;
    return OCHRE_OK;
}

ochre_status
och_body_tree(struct och_body *body, const struct och_json **tree_out, struct ochre_error *err)
{
    struct och_json *tree = NULL;
    ochre_status status = och_json_parse_value(&body->reader, &tree, err);
    *tree_out = tree;
    return status;
}

/* --- lists ------------------------------------------------------------------- */

void *
och_body_list_add(struct och_arena *arena, struct och_body_list *list, size_t size)
{
    if (list->n == list->room) {
        size_t room = list->room == 0 ? LIST_ROOM_MIN : 2 * list->room;
        void *items = och_arena_take_array(arena, room, size);
        if (items == NULL)
            return NULL;
        if (list->n > 0)
            memcpy(items, list->items, list->n * size);
        list->items = items;
        list->room = room;
    }
    return (char *) list->items + list->n++ * size;
}
