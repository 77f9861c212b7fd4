#include "api/shape.h"

#include <stdio.h>
#include <string.h>

#include "api/names.h"
#include "base/error.h"
#include "base/json.h"

/* Sizes of the pieces of a message.  Together they fit an ochre_error; the longest
 * place there is has 139 bytes, with a key cut to KEY_SHOWN_MAX in it. */
enum {
    PLACES_MAX = 12,
    PLACE_TEXT_MAX = 160,
    VALUE_TEXT_MAX = 80,
    NAMES_TEXT_MAX = 220,
    KEY_SHOWN_MAX = 60,
    FIELD_SHOWN_MAX = 40
};

/* --- where we are, for messages ------------------------------------------- */

/* "schema.keys.x.string" */
static void
place_text(const struct och_place *place, char text[PLACE_TEXT_MAX])
{
    const struct och_place *steps[PLACES_MAX];
    size_t n = 0;
    for (const struct och_place *at = place; at != NULL && n < PLACES_MAX; at = at->parent)
        steps[n++] = at;

    size_t size = 0;
    text[0] = '\0';
    while (n > 0 && size < PLACE_TEXT_MAX - 1) {
        struct ochre_bytes name = steps[--n]->name;
        int written = snprintf(text + size, PLACE_TEXT_MAX - size, "%s%.*s", size == 0 ? "" : ".",
                och_name_shown(name, KEY_SHOWN_MAX), name.data);
        if (written < 0)
            return;
        size += (size_t) written;
    }
}

/* What a value is, as the object of "is". */
static void
value_text(const struct och_json *json, char text[VALUE_TEXT_MAX])
{
    switch (json->kind) {
    case OCH_JSON_KIND_NULL:
        (void) snprintf(text, VALUE_TEXT_MAX, "null");
        return;
    case OCH_JSON_KIND_BOOL:
        (void) snprintf(text, VALUE_TEXT_MAX, "%s", json->as.boolean ? "true" : "false");
        return;
    case OCH_JSON_KIND_INT:
        (void) snprintf(text, VALUE_TEXT_MAX, "%lld", (long long) json->as.integer);
        return;
    case OCH_JSON_KIND_UINT:
        (void) snprintf(text, VALUE_TEXT_MAX, "%llu", (unsigned long long) json->as.natural);
        return;
    case OCH_JSON_KIND_FLOAT:
        (void) snprintf(text, VALUE_TEXT_MAX, "the number %g", json->as.number);
        return;
    case OCH_JSON_KIND_STRING:
        (void) snprintf(text, VALUE_TEXT_MAX, "the string '%.*s'",
                och_name_shown(json->as.string, FIELD_SHOWN_MAX), json->as.string.data);
        return;
    case OCH_JSON_KIND_ARRAY:
        (void) snprintf(text, VALUE_TEXT_MAX, "an array");
        return;
    case OCH_JSON_KIND_OBJECT:
        (void) snprintf(text, VALUE_TEXT_MAX, "an object");
        return;
    }
}

ochre_status
och_shape_refuse(const struct och_place *place, const struct och_json *json, const char *wanted,
        ochre_status status, struct ochre_error *err)
{
    char where[PLACE_TEXT_MAX];
    char value[VALUE_TEXT_MAX];
    place_text(place, where);
    value_text(json, value);
    return och_fail(err, status, "%s is %s; it must be %s", where, value, wanted);
}

ochre_status
och_shape_refuse_missing(const struct och_place *place, const char *name, struct ochre_error *err)
{
    char where[PLACE_TEXT_MAX];
    place_text(place, where);
    return och_fail(err, OCHRE_SHAPE, "%s lacks the field '%s'", where, name);
}

/* --- objects with known fields -------------------------------------------- */

ochre_status
och_shape_refuse_field(const struct och_walk *walk, struct ochre_bytes key, struct ochre_error *err)
{
    char where[PLACE_TEXT_MAX];
    char names[NAMES_TEXT_MAX];
    size_t size = 0;
    names[0] = '\0';
    for (unsigned i = 0; i < 32; i++) {
        if ((walk->allowed & 1u << i) == 0)
            continue;
        size_t room = sizeof(names) - size - 5; /* and the dots fit */
        int written = snprintf(names + size, room, "%s%s", size == 0 ? "" : ", ", walk->names[i]);
        if (written < 0 || (size_t) written >= room) {
            memcpy(names + size, ", ...", sizeof(", ..."));
            break;
        }
        size += (size_t) written;
    }
    place_text(walk->place, where);
    return och_fail(err, OCHRE_SHAPE, "%s has an unknown field '%.*s'; %s%s", where,
            och_name_shown(key, FIELD_SHOWN_MAX), key.data,
            size == 0 ? "it has no fields" : "allowed are ", names);
}

/* Begin to walk `json`, which must be an object. */
ochre_status
och_shape_begin(struct och_walk *walk, const struct och_json *json, struct ochre_error *err)
{
    if (json->kind != OCH_JSON_KIND_OBJECT)
        return och_shape_refuse(walk->place, json, "an object", OCHRE_SHAPE, err);
    walk->next = json->first;
    return OCHRE_OK;
}

/* The next known member and its field's number; NULL after the last. */
ochre_status
och_shape_next(struct och_walk *walk, const struct och_json **member_out, unsigned *field_out,
        struct ochre_error *err)
{
    *member_out = NULL;
    while (walk->next != NULL) {
        const struct och_json *member = walk->next;
        walk->next = member->next;

        struct ochre_bytes key = member->key;
        if (walk->aliases && key.size > 0 && key.data[0] == '#')
            key = (struct ochre_bytes){key.data + 1, key.size - 1};
        unsigned field = 0;
        while (field < 32 &&
                ((walk->allowed & 1u << field) == 0 || !och_bytes_is(key, walk->names[field])))
            field++;
        if (field == 32) {
            if (walk->strict)
                return och_shape_refuse_field(walk, member->key, err);
            continue;
        }
        if ((walk->seen & 1u << field) != 0) {
            char where[PLACE_TEXT_MAX];
            place_text(walk->place, where);
            return och_fail(
                    err, OCHRE_SHAPE, "%s has the field '%s' twice", where, walk->names[field]);
        }
        walk->seen |= 1u << field;
        *member_out = member;
        *field_out = field;
        return OCHRE_OK;
    }
    return OCHRE_OK;
}

/* --- values --------------------------------------------------------------- */

ochre_status
och_shape_bool(const struct och_place *place, const struct och_json *json, bool *value_out,
        struct ochre_error *err)
{
    if (json->kind != OCH_JSON_KIND_BOOL)
        return och_shape_refuse(place, json, "true or false", OCHRE_SHAPE, err);
    *value_out = json->as.boolean;
    return OCHRE_OK;
}

ochre_status
och_shape_natural(const struct och_place *place, const struct och_json *json, uint64_t max,
        uint64_t *value_out, struct ochre_error *err)
{
    uint64_t value = UINT64_MAX;
    bool whole = true;
    if (json->kind == OCH_JSON_KIND_INT && json->as.integer >= 0)
        value = (uint64_t) json->as.integer;
    else if (json->kind == OCH_JSON_KIND_UINT)
        value = json->as.natural;
    else
        whole = false;
    if (!whole || value > max)
        return och_shape_refuse(place, json,
                max == UINT32_MAX ? "a whole number from 0 to 4294967295"
                                  : "a whole number from 0 to 18446744073709551615",
                OCHRE_SHAPE, err);
    *value_out = value;
    return OCHRE_OK;
}

ochre_status
och_shape_number(const struct och_place *place, const struct och_json *json, double *value_out,
        struct ochre_error *err)
{
    if (json->kind == OCH_JSON_KIND_INT)
        *value_out = (double) json->as.integer;
    else if (json->kind == OCH_JSON_KIND_UINT)
        *value_out = (double) json->as.natural;
    else if (json->kind == OCH_JSON_KIND_FLOAT)
        *value_out = json->as.number;
    else
        return och_shape_refuse(place, json, "a number", OCHRE_SHAPE, err);
    return OCHRE_OK;
}

ochre_status
och_shape_string(const struct och_place *place, const struct och_json *json,
        struct ochre_bytes *value_out, struct ochre_error *err)
{
    if (json->kind != OCH_JSON_KIND_STRING)
        return och_shape_refuse(place, json, "a string", OCHRE_SHAPE, err);
    *value_out = json->as.string;
    return OCHRE_OK;
}

/*
 * One of `n` words, by its number.  The reference's reader stops as at a syntax
 * error where a word is wanted and something is there that cannot hold one;
 * hence the two statuses.
 */
ochre_status
och_shape_word(const struct och_place *place, const struct och_json *json,
        const char *const words[], unsigned n, unsigned *word_out, struct ochre_error *err)
{
    if (json->kind == OCH_JSON_KIND_STRING) {
        for (unsigned i = 0; i < n; i++) {
            if (och_bytes_is(json->as.string, words[i])) {
                *word_out = i;
                return OCHRE_OK;
            }
        }
    }
    char wanted[80];
    size_t size = 0;
    for (unsigned i = 0; i < n && size < sizeof(wanted) - 1; i++) {
        int written = snprintf(
                wanted + size, sizeof(wanted) - size, "%s'%s'", i == 0 ? "" : " or ", words[i]);
        size += written > 0 ? (size_t) written : sizeof(wanted);
    }
    bool shape = json->kind == OCH_JSON_KIND_STRING ||
            (json->kind == OCH_JSON_KIND_OBJECT && json->first != NULL);
    return och_shape_refuse(place, json, wanted, shape ? OCHRE_SHAPE : OCHRE_INVALID, err);
}
