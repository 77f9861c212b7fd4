/*
 * json_body.h - walk the object that a request's body is, member by member.
 *
 * A request body is one object with a few known fields.  Its decoder lists the
 * names and then takes the members in the order in which they were sent, each
 * by the first token of its value:
 *
 *      och_body_begin(&body, arena, text, names, n, err)
 *      while och_body_next(&body, &field, err) is OCHRE_OK and field is not OCH_BODY_END
 *              read the value of names[field] to its end
 *
 * Unknown members are passed over, unless the body is one of ours alone; a known
 * one sent twice is refused.  Nothing
 * is built but what the decoder asks for; strings without escapes are slices of
 * the text, which therefore must outlive what was read.
 *
 * Errors: OCHRE_INVALID (the wire's 400) for what is not JSON, OCHRE_SHAPE (its
 * 422) for JSON of the wrong shape, whichever is met first; OCHRE_NO_MEMORY.
 * Messages name the place: "metadatas[3].year is null; it must be ...".
 *
 * Threads: one thread at a time a body.
 */
#ifndef OCH_WIRE_JSON_BODY_H
#define OCH_WIRE_JSON_BODY_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/json.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;

/* Where in the body a value is: field[row].key[item], as far as each is set. */
struct och_body_place {
    const char *field;      /* NULL: the body itself */
    size_t row;             /* OCH_BODY_NONE: not in a list */
    struct ochre_bytes key; /* data NULL: not in an object */
    size_t item;            /* OCH_BODY_NONE: not in a list */
};

#define OCH_BODY_NONE SIZE_MAX

/* The number of no field: the object ended, and the document with it. */
#define OCH_BODY_END UINT_MAX

enum { OCH_BODY_FIELDS_MAX = 32 };

struct och_body {
    struct och_json_reader reader; /* at the first token of the value to read */
    struct och_arena *arena;       /* borrowed: what is read lies there */
    const char *const *names;
    unsigned n_names;
    bool is_strict; /* set it after the beginning: unknown members are refused */
    uint32_t seen;  /* bits of the fields met so far */
    struct och_body_place place;
};

OCH_MUST_CHECK ochre_status och_body_begin(struct och_body *body, struct och_arena *arena,
        struct ochre_bytes text, const char *const *names, unsigned n_names,
        struct ochre_error *err);

/* Step to the next known field's value. */
OCH_MUST_CHECK ochre_status och_body_next(
        struct och_body *body, unsigned *field_out, struct ochre_error *err);

/* OCHRE_SHAPE unless the field was there. */
OCH_MUST_CHECK ochre_status och_body_require(
        const struct och_body *body, unsigned field, struct ochre_error *err);

/* "PLACE is VALUE; it must be WANTED", about the value at hand; or the syntax
 * error that is there instead of a value.  Returns the error's status. */
ochre_status och_body_refuse(
        struct och_body *body, const char *wanted, ochre_status status, struct ochre_error *err);

/* "field[row].key[item]", cut where it is long. */
enum { OCH_BODY_PLACE_SIZE = 200 };
void och_body_place_text(const struct och_body_place *place, char text[OCH_BODY_PLACE_SIZE]);

/* --- values: each begins at the token at hand and reads to the value's end -- */

/* Is it null? */
bool och_body_is_null(const struct och_body *body);

OCH_MUST_CHECK ochre_status och_body_string(
        struct och_body *body, struct ochre_bytes *value_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_body_bool(
        struct och_body *body, bool *value_out, struct ochre_error *err);

/* A whole number from 0 to `max`, written without fraction or exponent. */
OCH_MUST_CHECK ochre_status och_body_natural(
        struct och_body *body, uint64_t max, uint64_t *value_out, struct ochre_error *err);

/* A list of strings; with `nulls`, an entry may be null and has no data. */
OCH_MUST_CHECK ochre_status och_body_strings(struct och_body *body, bool nulls,
        struct ochre_bytes **items_out, size_t *n_out, struct ochre_error *err);

/* Whatever it is, as a tree. */
OCH_MUST_CHECK ochre_status och_body_tree(
        struct och_body *body, const struct och_json **tree_out, struct ochre_error *err);

/* --- lists of unknown length -------------------------------------------------- */

/* Items in the arena, which doubles their room; what was outgrown stays there. */
struct och_body_list {
    void *items;
    size_t n, room;
};

/* A new item of `size` bytes at the end, not initialised; NULL: no memory. */
OCH_MUST_CHECK void *och_body_list_add(
        struct och_arena *arena, struct och_body_list *list, size_t size);

#endif /* OCH_WIRE_JSON_BODY_H */
