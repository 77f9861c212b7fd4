#include "wire/json_vectors.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/base64.h"
#include "base/error.h"
#include "wire/json_body.h"

/* Room for a first vector of any common length. */
enum { FIRST_ROOM = 4096 };

/* --- room -------------------------------------------------------------------- */

/* Make room for `n` floats in all. */
static bool
reserve(struct och_body *body, struct och_vectors *vectors, size_t n)
{
    if (n <= vectors->room)
        return true;
    size_t room = n > 2 * vectors->room ? n : 2 * vectors->room;
    float *floats = och_arena_take_array(body->arena, room, sizeof(*floats));
    if (floats == NULL)
        return false;
    if (vectors->n_floats > 0)
        memcpy(floats, vectors->floats, vectors->n_floats * sizeof(*floats));
    vectors->floats = floats;
    vectors->room = room;
    return true;
}

/*
 * Once the first vector is known, of `dim` floats in `text_size` bytes: guess
 * how many follow.  A float takes two bytes of text at least, so that the guess
 * never costs more than twice the body.
 */
static bool
reserve_all(struct och_body *body, struct och_vectors *vectors, size_t dim, size_t text_size)
{
    size_t left = (size_t) (body->reader.end - body->reader.next);
    size_t n_more = left / (text_size + 1);
    n_more += n_more / 8; /* the first one may be longer than most */
    if (vectors->n_expected > 0)
        n_more = vectors->n_expected - 1;
    if (dim == 0)
        return true;
    size_t n_floats = n_more < left / 2 / dim ? n_more * dim : left / 2;
    return reserve(body, vectors, vectors->n_floats + n_floats);
}

/* --- one vector -------------------------------------------------------------- */

static void
note(struct ochre_error *into, const struct och_vectors *vectors, const struct och_body *body,
        const char *reason)
{
    if (into->status == OCHRE_OK)
        (void) och_fail(into, OCHRE_INVALID, "%s[%zu] %s", body->place.field, vectors->n, reason);
}

/* The numbers of the array at hand. */
static ochre_status
read_numbers(struct och_body *body, struct och_vectors *vectors, size_t *dim_out,
        struct ochre_error *err)
{
    /* The reader does not say beforehand how long an array is, so an array that
     * does not fit is read again: rarely, because room doubles. */
    struct och_json_reader before = body->reader;
    size_t n = 0;
    for (;;) {
        size_t room = vectors->room - vectors->n_floats;
        bool overflow = false;
        if (!och_json_read_floats(
                    &body->reader, vectors->floats + vectors->n_floats, room, &n, &overflow)) {
            body->place.row = vectors->n;
            body->place.item = n;
            return och_body_refuse(body, "a number", OCHRE_SHAPE, err);
        }
        if (overflow)
            note(&vectors->bad_number, vectors, body,
                    "holds a number beyond the range of 32-bit floats");
        if (n <= room)
            break;
        if (!reserve(body, vectors, vectors->n_floats + n))
            return och_fail_memory(err);
        body->reader = before;
    }
    *dim_out = n;
    return OCHRE_OK;
}

static bool
all_finite(const float *floats, size_t n)
{
    bool finite = true;
    for (size_t i = 0; i < n; i++)
        finite &= isfinite(floats[i]) != 0;
    return finite;
}

/* The floats that the string at hand holds in base64. */
static ochre_status
read_text(struct och_body *body, struct och_vectors *vectors, size_t *dim_out,
        struct ochre_error *err)
{
    struct ochre_bytes text = body->reader.string;
    size_t size = 0;
    size_t n_floats = och_base64_room(text.size) / sizeof(float) + 1;
    *dim_out = 0;
    if (!reserve(body, vectors, vectors->n_floats + n_floats))
        return och_fail_memory(err);
    float *floats = vectors->floats + vectors->n_floats;
    if (!och_base64_decode(text.data, text.size, (unsigned char *) floats, &size)) {
        note(&vectors->bad_text, vectors, body,
                "is not base64 (RFC 4648: standard alphabet, with padding)");
        return OCHRE_OK;
    }
    if (size % sizeof(float) != 0) {
        note(&vectors->bad_text, vectors, body,
                "is base64 of a number of bytes that 4 does not divide");
        return OCHRE_OK;
    }
    if (!all_finite(floats, size / sizeof(float))) {
        note(&vectors->bad_text, vectors, body, "holds a float that is not finite");
        return OCHRE_OK;
    }
    *dim_out = size / sizeof(float);
    return OCHRE_OK;
}

/* --- all of them ------------------------------------------------------------- */

/* What the vectors of this array are, by the first one; END: not known yet. */
static ochre_status
refuse_vector(struct och_body *body, const struct och_vectors *vectors, och_json_token kind,
        struct ochre_error *err)
{
    const char *wanted = "an array of numbers";
    if (vectors->base64 && kind == OCH_JSON_END)
        wanted = "an array of numbers or a string of base64";
    else if (kind == OCH_JSON_STRING)
        wanted = "a string of base64, as the first one is";
    else if (vectors->base64)
        wanted = "an array of numbers, as the first one is";
    body->place.row = vectors->n;
    return och_body_refuse(body, wanted, OCHRE_SHAPE, err);
}

static ochre_status
read_vector(struct och_body *body, struct och_vectors *vectors, och_json_token *kind,
        struct ochre_error *err)
{
    och_json_token token = body->reader.token;
    const char *start = body->reader.next;
    size_t dim = 0;
    if (token == OCH_JSON_NULL && vectors->nulls)
        return OCHRE_OK;
    bool fits = token == OCH_JSON_BEGIN_ARRAY || (token == OCH_JSON_STRING && vectors->base64);
    if (!fits || (*kind != OCH_JSON_END && *kind != token))
        return refuse_vector(body, vectors, *kind, err);
    bool is_first = *kind == OCH_JSON_END;
    *kind = token;
    ochre_status status = token == OCH_JSON_STRING ? read_text(body, vectors, &dim, err)
                                                   : read_numbers(body, vectors, &dim, err);
    if (status != OCHRE_OK)
        return status;
    if (dim == 0 && !vectors->empty)
        note(&vectors->bad_number, vectors, body,
                "is empty; each embedding must have at least 1 dimension");
    vectors->dims[vectors->n] = (uint32_t) dim;
    vectors->n_floats += dim;
    size_t text_size = token == OCH_JSON_STRING ? body->reader.string.size
                                                : (size_t) (body->reader.next - start);
    if (is_first && !reserve_all(body, vectors, dim, text_size))
        return och_fail_memory(err);
    return OCHRE_OK;
}

ochre_status
och_vectors_read(struct och_body *body, struct och_vectors *vectors, struct ochre_error *err)
{
    struct och_body_list dims = {0};
    och_json_token kind = OCH_JSON_END;
    if (body->reader.token != OCH_JSON_BEGIN_ARRAY)
        return och_body_refuse(body,
                vectors->base64 ? "an array of arrays of numbers, or of strings of base64"
                                : "an array of arrays of numbers",
                OCHRE_SHAPE, err);
    if (!reserve(body, vectors, FIRST_ROOM))
        return och_fail_memory(err);
    while (och_json_next(&body->reader) != OCH_JSON_END_ARRAY) {
        uint32_t *dim = och_body_list_add(body->arena, &dims, sizeof(*dim));
        if (dim == NULL)
            return och_fail_memory(err);
        *dim = 0;
        vectors->dims = dims.items;
        ochre_status status = read_vector(body, vectors, &kind, err);
        if (status != OCHRE_OK)
            return status;
        vectors->n++;
    }
    return OCHRE_OK;
}

uint32_t
och_vectors_common_dim(const struct och_vectors *vectors)
{
    for (size_t i = 1; i < vectors->n; i++) {
        if (vectors->dims[i] != vectors->dims[0])
            return 0;
    }
    return vectors->n == 0 ? 0 : vectors->dims[0];
}
