#include <float.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/base64.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/random.h"
#include "support/check.h"
#include "wire/json_records.h"

struct reading {
    struct och_mem mem;
    struct och_arena arena;
    struct och_write_input input;
    struct ochre_error err;
    ochre_status status;
};

static void
read_bytes(struct reading *reading, enum och_write_op op, const char *text, size_t size)
{
    och_mem_init(&reading->mem, NULL);
    och_arena_init(&reading->arena, &reading->mem);
    reading->err = (struct ochre_error){.status = OCHRE_OK};
    reading->status = och_wire_read_records(
            &reading->arena, (struct ochre_bytes){text, size}, op, &reading->input, &reading->err);
    check(reading->status == reading->err.status);
}

static void
read_text(struct reading *reading, enum och_write_op op, const char *text)
{
    read_bytes(reading, op, text, strlen(text));
}

static void
forget(struct reading *reading)
{
    och_arena_clear(&reading->arena);
    check(och_mem_used(&reading->mem) == 0);
}

/* --- one body after the other ------------------------------------------------- */

static void
a_whole_add_is_read(void **state)
{
    struct reading reading;
    (void) state;
    read_text(&reading, OCH_WRITE_ADD,
            "{\"x\":{\"ids\":[1]},\"ids\":[\"a\",\"b\\n\"],\"embeddings\":[[1,2.5],[-3,4e0]],"
            "\"documents\":[\"da\",null],\"uris\":[null,\"u\"],"
            "\"metadatas\":[{\"s\":\"t\",\"i\":1,\"f\":1.0,\"b\":true,\"l\":[1,2.5],"
            "\"big\":18446744073709551615,\"z\":-0.0},null]}");
    check_ok(reading.status, &reading.err);
    const struct ochre_records *records = &reading.input.records;
    check(records->n == 2 && och_bytes_is(records->ids[0], "a"));
    check(och_bytes_is(records->ids[1], "b\n"));
    check(reading.input.n_embeddings == 2 && records->dim == 2 && records->dims == NULL);
    check(records->embeddings[1] == 2.5f && records->embeddings[2] == -3.0f);
    check(och_bytes_is(records->documents[0], "da") && records->documents[1].data == NULL);
    check(records->uris[0].data == NULL && och_bytes_is(records->uris[1], "u"));
    check(reading.input.n_documents == 2 && reading.input.n_uris == 2);
    check(reading.input.n_metadatas == 2 && records->metadatas[1].n_fields == 0);
    check(records->metadatas[0].n_fields == 7);
    static const ochre_value_type types[] = {OCHRE_VALUE_STRING, OCHRE_VALUE_INT, OCHRE_VALUE_FLOAT,
            OCHRE_VALUE_BOOL, OCHRE_VALUE_FLOAT_LIST, OCHRE_VALUE_FLOAT, OCHRE_VALUE_FLOAT};
    for (size_t i = 0; i < 7; i++)
        check(records->metadatas[0].fields[i].value.type == types[i]);
    const struct ochre_value *list = &records->metadatas[0].fields[4].value;
    check(list->n == 2 && list->as.numbers[0] == 1.0 && list->as.numbers[1] == 2.5);
    check(!__builtin_signbit(records->metadatas[0].fields[6].value.as.number));
    check(reading.input.deferred.status == OCHRE_OK);
    check(reading.input.deferred_last.status == OCHRE_OK);
    forget(&reading);
}

static void
what_is_not_given_is_told_from_what_is_empty(void **state)
{
    struct reading reading;
    (void) state;
    read_text(&reading, OCH_WRITE_UPDATE, "{\"ids\":[],\"documents\":null}");
    check_ok(reading.status, &reading.err);
    check(reading.input.n_embeddings == OCH_NOT_GIVEN);
    check(reading.input.records.embeddings == NULL);
    check(reading.input.n_documents == OCH_NOT_GIVEN && reading.input.n_uris == OCH_NOT_GIVEN);
    check(reading.input.n_metadatas == OCH_NOT_GIVEN);
    forget(&reading);

    read_text(&reading, OCH_WRITE_ADD,
            "{\"ids\":[],\"embeddings\":[],\"documents\":[],\"uris\":[],\"metadatas\":[]}");
    check_ok(reading.status, &reading.err);
    check(reading.input.n_embeddings == 0 && reading.input.records.embeddings != NULL);
    check(reading.input.n_documents == 0 && reading.input.n_uris == 0);
    check(reading.input.n_metadatas == 0);
    forget(&reading);
}

static void
an_update_may_have_gaps(void **state)
{
    struct reading reading;
    (void) state;
    read_text(&reading, OCH_WRITE_UPDATE,
            "{\"embeddings\":[null,[1,2],null,[3,4]],\"ids\":[\"a\",\"b\",\"c\",\"d\"],"
            "\"metadatas\":[{\"k\":null},null,null,null]}");
    check_ok(reading.status, &reading.err);
    const struct ochre_records *records = &reading.input.records;
    check(records->dims != NULL && records->dims[0] == 0 && records->dims[1] == 2);
    check(records->dims[2] == 0 && records->dims[3] == 2);
    check(records->embeddings[2] == 3.0f);
    check(records->metadatas[0].fields[0].value.type == OCHRE_VALUE_NULL);
    forget(&reading);
}

static void
base64_is_the_same_vector(void **state)
{
    struct reading reading;
    (void) state;
    /* The second is written with escapes. */
    read_text(&reading, OCH_WRITE_UPSERT,
            "{\"ids\":[\"a\",\"b\"],\"embeddings\":[\"AACAPwAAAEA=\",\"\\/\\/9\\/fwAAAEA=\"]}");
    check_ok(reading.status, &reading.err);
    check(reading.input.deferred.status == OCHRE_OK);
    check(reading.input.records.dim == 2 && reading.input.records.dims == NULL);
    check(reading.input.records.embeddings[0] == 1.0f);
    check(reading.input.records.embeddings[2] == FLT_MAX);
    check(reading.input.records.embeddings[3] == 2.0f);
    forget(&reading);
}

struct body_case {
    enum och_write_op op;
    const char *text;
    ochre_status status;   /* at once */
    ochre_status deferred; /* of `deferred`, when that is OCHRE_OK */
    ochre_status last;     /* of `deferred_last` */
    const char *words;     /* in the message; NULL: any */
};

#define ADD OCH_WRITE_ADD
#define UPDATE OCH_WRITE_UPDATE
#define UPSERT OCH_WRITE_UPSERT
#define ONE "\"ids\":[\"e\"],\"embeddings\":[[1,2]]"

static void
each_error_is_reported_when_its_turn_comes(void **state)
{
    static const struct body_case cases[] = {
            {ADD, "", OCHRE_INVALID, 0, 0, NULL},
            {ADD, "[1]", OCHRE_SHAPE, 0, 0, "the body is an array; it must be an object"},
            {ADD, "null", OCHRE_SHAPE, 0, 0, "the body is null"},
            {ADD, "{" ONE, OCHRE_INVALID, 0, 0, NULL},
            {ADD, "{" ONE "} 1", OCHRE_INVALID, 0, 0, "text after the document"},
            {ADD, "{}", OCHRE_SHAPE, 0, 0, "lacks the field 'ids'"},
            {ADD, "{\"ids\":[\"e\"]}", OCHRE_SHAPE, 0, 0, "lacks the field 'embeddings'"},
            {UPSERT, "{\"ids\":[\"e\"]}", OCHRE_SHAPE, 0, 0, "lacks the field 'embeddings'"},
            {UPDATE, "{\"ids\":[\"e\"]}", OCHRE_OK, 0, 0, NULL},
            {UPDATE, "{\"embeddings\":[[1]]}", OCHRE_SHAPE, 0, 0, "lacks the field 'ids'"},
            {ADD, "{\"ids\":[\"e\"],\"ids\":[\"f\"]}", OCHRE_SHAPE, 0, 0, "'ids' twice"},
            {ADD, "{\"ids\":[1]}", OCHRE_SHAPE, 0, 0, "ids[0] is 1; it must be a string"},
            {ADD, "{\"ids\":[\"a\",null]}", OCHRE_SHAPE, 0, 0, "ids[1] is null"},
            {ADD, "{\"ids\":null}", OCHRE_SHAPE, 0, 0, "ids is null"},
            {ADD, "{\"ids\":[\"a\"", OCHRE_INVALID, 0, 0, NULL},
            {ADD, "{\"ids\":[\"\\ud800\"]}", OCHRE_INVALID, 0, 0, "lone surrogate"},
            {ADD, "{\"x\":[1,}", OCHRE_INVALID, 0, 0, NULL},
            {ADD, "{\"ids\":[\"e\"],\"embeddings\":null}", OCHRE_SHAPE, 0, 0, "embeddings is null"},
            {UPDATE, "{\"ids\":[\"e\"],\"embeddings\":null}", OCHRE_OK, 0, 0, NULL},
            {ADD, "{\"embeddings\":[null]}", OCHRE_SHAPE, 0, 0, "embeddings[0] is null"},
            {ADD, "{\"embeddings\":[1,2]}", OCHRE_SHAPE, 0, 0, "embeddings[0] is 1"},
            {ADD, "{\"embeddings\":\"x\"}", OCHRE_SHAPE, 0, 0, "embeddings is the string 'x'"},
            {ADD, "{\"embeddings\":[[1,null]]}", OCHRE_SHAPE, 0, 0,
                    "embeddings[0][1] is null; it must be a number"},
            {ADD, "{\"embeddings\":[[1],[\"a\"]]}", OCHRE_SHAPE, 0, 0,
                    "embeddings[1][0] is the string 'a'"},
            {ADD, "{\"embeddings\":[[true]]}", OCHRE_SHAPE, 0, 0, "embeddings[0][0] is true"},
            {ADD, "{\"embeddings\":[[1],\"AACAPw==\"]}", OCHRE_SHAPE, 0, 0,
                    "an array of numbers, as the first one is"},
            {ADD, "{\"embeddings\":[\"AACAPw==\",[1]]}", OCHRE_SHAPE, 0, 0,
                    "a string of base64, as the first one is"},
            {ADD, "{\"embeddings\":[[NaN]]}", OCHRE_INVALID, 0, 0, NULL},
            {ADD, "{\"embeddings\":[[1e400]]}", OCHRE_INVALID, 0, 0, NULL},
            {ADD, "{\"ids\":[\"e\"],\"embeddings\":[[1e39]]}", 0, OCHRE_INVALID, 0,
                    "embeddings[0]"},
            {ADD, "{\"ids\":[\"e\"],\"embeddings\":[[1],[]]}", 0, OCHRE_INVALID, 0,
                    "embeddings[1] is empty"},
            {UPDATE, "{\"ids\":[\"e\"],\"embeddings\":[[]]}", 0, OCHRE_INVALID, 0,
                    "embeddings[0] is empty"},
            {ADD, "{\"ids\":[\"c\"],\"embeddings\":[\"AACAPwAAAEA\"]}", 0, OCHRE_INVALID, 0,
                    "is not base64"},
            {ADD, "{\"ids\":[\"c\"],\"embeddings\":[\"-_-_AAAAAAA=\"]}", 0, OCHRE_INVALID, 0,
                    "is not base64"},
            {ADD, "{\"ids\":[\"c\"],\"embeddings\":[\"YWJj\"]}", 0, OCHRE_INVALID, 0, "4 does not"},
            {ADD, "{\"ids\":[\"c\"],\"embeddings\":[\"\"]}", 0, OCHRE_INVALID, 0, "is empty"},
            {ADD, "{\"ids\":[\"c\"],\"embeddings\":[\"AADAfwAAgD8=\"]}", 0, OCHRE_INVALID, 0,
                    "is not finite"},
            /* Base64 goes before lengths and numbers, these before metadata. */
            {ADD, "{\"ids\":[\"c\"],\"embeddings\":[\"\",\"!\"],\"metadatas\":[{\"a\":[]}]}", 0,
                    OCHRE_INVALID, 0, "is not base64"},
            {ADD, "{\"ids\":[\"c\"],\"metadatas\":[{\"a\":[]}],\"embeddings\":[[1e39]]}", 0,
                    OCHRE_INVALID, 0, "32-bit floats"},
            {ADD, "{" ONE ",\"documents\":\"x\"}", OCHRE_SHAPE, 0, 0, "documents is the string"},
            {ADD, "{" ONE ",\"documents\":[1]}", OCHRE_SHAPE, 0, 0,
                    "documents[0] is 1; it must be a string or null"},
            {ADD, "{" ONE ",\"uris\":[5.5]}", OCHRE_SHAPE, 0, 0, "uris[0] is the number 5.5"},
            {ADD, "{" ONE ",\"metadatas\":{}}", OCHRE_SHAPE, 0, 0, "metadatas is an object"},
            {ADD, "{" ONE ",\"metadatas\":[1]}", OCHRE_SHAPE, 0, 0, "metadatas[0] is 1"},
            {ADD, "{" ONE ",\"metadatas\":[{\"a\":null}]}", OCHRE_SHAPE, 0, 0,
                    "metadatas[0].a is null"},
            {UPSERT, "{" ONE ",\"metadatas\":[{\"a\":null}]}", OCHRE_OK, 0, 0, NULL},
            {ADD, "{" ONE ",\"metadatas\":[{\"a\":{\"b\":1}}]}", OCHRE_SHAPE, 0, 0,
                    "metadatas[0].a is an object"},
            {ADD, "{" ONE ",\"metadatas\":[{\"a\":[1,\"x\"]}]}", OCHRE_SHAPE, 0, 0,
                    "metadatas[0].a[1] is the string 'x'"},
            {ADD, "{" ONE ",\"metadatas\":[{\"a\":[true,1]}]}", OCHRE_SHAPE, 0, 0, NULL},
            {ADD, "{" ONE ",\"metadatas\":[{\"a\":[null]}]}", OCHRE_SHAPE, 0, 0, NULL},
            {ADD, "{" ONE ",\"metadatas\":[{\"a\":[[1]]}]}", OCHRE_SHAPE, 0, 0, NULL},
            {ADD, "{" ONE ",\"metadatas\":[{\"a\":[1,]}]}", OCHRE_INVALID, 0, 0, NULL},
            {ADD, "{" ONE ",\"metadatas\":[{\"a\":1,}]}", OCHRE_INVALID, 0, 0, NULL},
            {ADD, "{" ONE ",\"metadatas\":[{\"a\":{\"x\":}}]}", OCHRE_INVALID, 0, 0, NULL},
            {ADD, "{" ONE ",\"metadatas\":[{\"e\":[]}]}", 0, OCHRE_INVALID, 0,
                    "metadatas[0].e is an empty array"},
            {ADD, "{" ONE ",\"metadatas\":[{\"v\":{\"indices\":[1,2],\"values\":[0.5,1]}}]}", 0, 0,
                    OCHRE_UNSUPPORTED, "metadatas[0].v is a sparse vector"},
            {ADD,
                    "{" ONE ",\"metadatas\":[{\"v\":{\"indices\":[],\"values\":[],\"tokens\":null,"
                    "\"#type\":\"sparse_vector\"}}]}",
                    0, 0, OCHRE_UNSUPPORTED, NULL},
            {ADD, "{" ONE ",\"metadatas\":[{\"v\":{\"indices\":[2,1],\"values\":[0.5,1]}}]}", 0,
                    OCHRE_INVALID, 0, "do not ascend"},
            {ADD, "{" ONE ",\"metadatas\":[{\"v\":{\"indices\":[1,1],\"values\":[0.5,1]}}]}", 0,
                    OCHRE_INVALID, 0, "do not ascend"},
            {ADD, "{" ONE ",\"metadatas\":[{\"v\":{\"indices\":[1],\"values\":[0.5,1]}}]}", 0,
                    OCHRE_INVALID, 0, "more indices than values"},
            {ADD,
                    "{" ONE ",\"metadatas\":[{\"v\":{\"indices\":[1],\"values\":[1],"
                    "\"tokens\":[\"a\",\"b\"]}}]}",
                    0, OCHRE_INVALID, 0, "more tokens"},
            {ADD, "{" ONE ",\"metadatas\":[{\"v\":{\"indices\":[-1],\"values\":[1]}}]}",
                    OCHRE_SHAPE, 0, 0, NULL},
            {ADD, "{" ONE ",\"metadatas\":[{\"v\":{\"indices\":[1],\"values\":[\"1\"]}}]}",
                    OCHRE_SHAPE, 0, 0, NULL},
            {ADD,
                    "{" ONE
                    ",\"metadatas\":[{\"v\":{\"indices\":[1],\"values\":[1],\"tokens\":[1]}}]}",
                    OCHRE_SHAPE, 0, 0, NULL},
            {ADD,
                    "{" ONE
                    ",\"metadatas\":[{\"v\":{\"indices\":[1],\"values\":[1],\"#type\":\"x\"}}]}",
                    OCHRE_SHAPE, 0, 0, NULL},
    };
    (void) state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct body_case *wanted = &cases[i];
        struct reading reading;
        read_text(&reading, wanted->op, wanted->text);
        const struct ochre_error *found = reading.status != OCHRE_OK ? &reading.err
                : reading.input.deferred.status != OCHRE_OK          ? &reading.input.deferred
                                                                     : &reading.input.deferred_last;
        bool right = reading.status == wanted->status &&
                (wanted->words == NULL || strstr(found->message, wanted->words) != NULL);
        if (right && reading.status == OCHRE_OK)
            right = reading.input.deferred.status == wanted->deferred &&
                    reading.input.deferred_last.status == wanted->last;
        if (!right)
            print_error("%s\n  gives %d: %s\n", wanted->text, (int) found->status, found->message);
        check(right);
        forget(&reading);
    }
}

/* --- random bodies, against a decoder over the tree --------------------------- */

struct writer {
    uint64_t seed;
    struct och_buf buf;
    unsigned errors; /* one value in so many is of a wrong type; 0: none */
};

static bool
happens(struct writer *writer, unsigned one_in)
{
    return one_in > 0 && och_random_below(&writer->seed, one_in) == 0;
}

static void
put_number(struct writer *writer)
{
    /* Eighths, so that a float and a double of it are the same. */
    int64_t eighths = (int64_t) och_random_below(&writer->seed, 4096) - 2048;
    if (happens(writer, 3))
        och_json_put_int(&writer->buf, eighths);
    else
        och_json_put_f64(&writer->buf, (double) eighths / 8);
}

static void
put_string(struct writer *writer)
{
    static const char *const strings[] = {"", "a", "id-17", "\xc3\xa9", "line\nbreak", "a \"q\"",
            "a longer text, of the length of a short sentence"};
    och_json_put_text(&writer->buf, strings[och_random_below(&writer->seed, 7)]);
}

static void
put_scalar(struct writer *writer)
{
    switch (och_random_below(&writer->seed, writer->errors > 0 ? 7 : 4)) {
    case 0:
        put_string(writer);
        break;
    case 1:
        och_buf_put_text(&writer->buf, happens(writer, 2) ? "true" : "false");
        break;
    case 4:
        och_buf_put_text(&writer->buf, "null");
        break;
    case 5:
        och_buf_put_text(
                &writer->buf, happens(writer, 2) ? "{}" : "{\"indices\":[3],\"values\":[1]}");
        break;
    case 6:
        och_buf_put_text(&writer->buf, happens(writer, 2) ? "[]" : "[1,2.5]");
        break;
    default:
        put_number(writer);
        break;
    }
}

static void
put_vector(struct writer *writer, unsigned kind, size_t dim)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (happens(writer, writer->errors)) {
        put_scalar(writer);
        return;
    }
    if (kind == 0) {
        och_buf_put_u8(&writer->buf, '[');
        for (size_t i = 0; i < dim; i++) {
            och_buf_put_text(&writer->buf, i == 0 ? "" : ", ");
            if (happens(writer, writer->errors))
                put_scalar(writer);
            else
                put_number(writer);
        }
        och_buf_put_u8(&writer->buf, ']');
        return;
    }
    /* Three floats make four groups of four digits.  Of a float's bytes the
     * last has an exponent that is not all ones. */
    och_buf_put_u8(&writer->buf, '"');
    for (size_t i = 0; i < dim; i++) {
        float three[3] = {och_random_f32(&writer->seed), 0.5f, 1e30f};
        unsigned char bytes[12];
        memcpy(bytes, three, sizeof(bytes));
        for (size_t at = 0; at < sizeof(bytes); at += 3) {
            unsigned bits =
                    (unsigned) bytes[at] << 16 | (unsigned) bytes[at + 1] << 8 | bytes[at + 2];
            for (int shift = 18; shift >= 0; shift -= 6)
                och_buf_put_u8(&writer->buf, (uint8_t) digits[bits >> shift & 63]);
        }
    }
    och_buf_put_text(&writer->buf, happens(writer, writer->errors) ? "=\"" : "\"");
}

static void
put_metadata(struct writer *writer)
{
    if (happens(writer, 4)) {
        och_buf_put_text(&writer->buf, "null");
        return;
    }
    och_buf_put_u8(&writer->buf, '{');
    for (uint64_t i = 0, n = och_random_below(&writer->seed, 4); i < n; i++) {
        och_buf_put_text(&writer->buf, i == 0 ? "" : ",");
        put_string(writer);
        och_buf_put_u8(&writer->buf, ':');
        put_scalar(writer);
    }
    och_buf_put_u8(&writer->buf, '}');
}

static void
put_body(struct writer *writer)
{
    static const char *const names[] = {"ids", "embeddings", "documents", "uris", "metadatas"};
    size_t n = och_random_below(&writer->seed, 6), dim = 1 + och_random_below(&writer->seed, 5);
    unsigned kind = (unsigned) och_random_below(&writer->seed, 2);
    unsigned first = (unsigned) och_random_below(&writer->seed, 5);
    och_buf_reset(&writer->buf);
    och_buf_put_u8(&writer->buf, '{');
    for (unsigned i = 0; i < 5; i++) {
        unsigned field = (first + i) % 5;
        if (field > 1 && happens(writer, 3))
            continue;
        och_buf_put_text(&writer->buf, writer->buf.size > 1 ? ",\"" : "\"");
        och_buf_put_text(&writer->buf, happens(writer, writer->errors * 4) ? "ids" : names[field]);
        och_buf_put_text(&writer->buf, "\":[");
        for (size_t row = 0; row < n; row++) {
            och_buf_put_text(&writer->buf, row == 0 ? "" : ",");
            if (field == 1)
                put_vector(writer, kind, happens(writer, 8) ? dim + 1 : dim);
            else if (field == 4)
                put_metadata(writer);
            else if (field > 1 && happens(writer, 3))
                och_buf_put_text(&writer->buf, "null");
            else if (happens(writer, writer->errors))
                put_scalar(writer);
            else
                put_string(writer);
        }
        och_buf_put_u8(&writer->buf, ']');
    }
    och_buf_put_u8(&writer->buf, '}');
    check(!writer->buf.failed);
}

/* What the plain decoder found: whether the shape is right, and the floats. */
struct plain {
    bool right, deferred;
    size_t n_floats;
    float floats[256];
    uint32_t dims[16];
};

static const struct och_json *
member(const struct och_json *root, const char *name, unsigned *n)
{
    *n = 0;
    for (const struct och_json *at = root->first; at != NULL; at = at->next)
        *n += och_bytes_is(at->key, name);
    return och_json_get(root, name);
}

static bool
is_number(const struct och_json *json)
{
    return json->kind == OCH_JSON_KIND_INT || json->kind == OCH_JSON_KIND_FLOAT;
}

static double
number_of(const struct och_json *json)
{
    return json->kind == OCH_JSON_KIND_INT ? (double) json->as.integer : json->as.number;
}

static void
plain_vector(struct plain *plain, const struct och_json *json, och_json_kind kind, size_t row,
        bool nulls)
{
    if (nulls && json->kind == OCH_JSON_KIND_NULL)
        return;
    if (json->kind != kind) {
        plain->right = false;
        return;
    }
    float *floats = plain->floats + plain->n_floats;
    size_t n = 0;
    if (kind == OCH_JSON_KIND_STRING) {
        size_t size = 0;
        bool fine = och_base64_decode(
                json->as.string.data, json->as.string.size, (unsigned char *) floats, &size);
        plain->deferred |= !fine || size % 4 != 0 || size == 0;
        n = fine ? size / 4 : 0;
    }
    for (const struct och_json *item = json->first; item != NULL; item = item->next) {
        if (!is_number(item)) {
            plain->right = false;
            return;
        }
        floats[n++] = (float) number_of(item);
    }
    plain->deferred |= n == 0;
    plain->dims[row] = (uint32_t) n;
    plain->n_floats += n;
}

static void
plain_column(struct plain *plain, const struct och_json *list, bool nulls, och_json_kind kind)
{
    if (list == NULL)
        return;
    for (const struct och_json *item = list->first; item != NULL; item = item->next)
        plain->right &= item->kind == kind || (nulls && item->kind == OCH_JSON_KIND_NULL);
}

/* A value of metadata: of a right shape, and then to be kept? */
static bool
plain_value(struct plain *plain, const struct och_json *json, bool nulls)
{
    if (json->kind == OCH_JSON_KIND_NULL)
        plain->right &= nulls;
    if (json->kind == OCH_JSON_KIND_OBJECT && json->n == 0)
        plain->right = false;
    plain->deferred |= json->kind == OCH_JSON_KIND_ARRAY && json->n == 0;
    return true;
}

static void
plain_metadatas(struct plain *plain, const struct och_json *list, bool nulls)
{
    plain_column(plain, list, true, OCH_JSON_KIND_OBJECT);
    for (const struct och_json *item = list == NULL ? NULL : list->first; item != NULL;
            item = item->next) {
        if (item->kind != OCH_JSON_KIND_OBJECT)
            continue;
        for (const struct och_json *at = item->first; at != NULL; at = at->next)
            (void) plain_value(plain, at, nulls);
    }
}

static void
plain_read(struct plain *plain, const struct och_json *root, enum och_write_op op)
{
    unsigned n_ids, n_others[4];
    const struct och_json *ids = member(root, "ids", &n_ids);
    const struct och_json *embeddings = member(root, "embeddings", &n_others[0]);
    *plain = (struct plain){.right = ids != NULL && n_ids == 1};
    plain->right &= embeddings != NULL || op == OCH_WRITE_UPDATE;
    plain_column(plain, ids, false, OCH_JSON_KIND_STRING);
    plain_column(plain, member(root, "documents", &n_others[1]), true, OCH_JSON_KIND_STRING);
    plain_column(plain, member(root, "uris", &n_others[2]), true, OCH_JSON_KIND_STRING);
    plain_metadatas(plain, member(root, "metadatas", &n_others[3]), op != OCH_WRITE_ADD);
    if (embeddings == NULL)
        return;
    och_json_kind kind = OCH_JSON_KIND_NULL;
    size_t row = 0;
    for (const struct och_json *item = embeddings->first; item != NULL; item = item->next) {
        if (kind == OCH_JSON_KIND_NULL)
            kind = item->kind;
        if (kind != OCH_JSON_KIND_ARRAY && kind != OCH_JSON_KIND_STRING)
            plain->right &= kind == OCH_JSON_KIND_NULL && op == OCH_WRITE_UPDATE;
        else
            plain_vector(plain, item, kind, row, op == OCH_WRITE_UPDATE);
        row++;
    }
}

static bool
same_strings(const struct ochre_bytes *items, size_t n, const struct och_json *list)
{
    size_t i = 0;
    for (const struct och_json *item = list->first; item != NULL; item = item->next, i++) {
        bool is_null = item->kind == OCH_JSON_KIND_NULL;
        if (i == n ||
                (is_null ? items[i].data != NULL : !och_bytes_equal(items[i], item->as.string)))
            return false;
    }
    return i == n;
}

static bool
same_metadata(const struct ochre_metadata *metadata, const struct och_json *object)
{
    size_t i = 0;
    for (const struct och_json *item = object->first; item != NULL; item = item->next) {
        /* Sparse vectors are noted, not kept. */
        if (item->kind == OCH_JSON_KIND_OBJECT)
            continue;
        if (i == metadata->n_fields)
            return false;
        const struct ochre_field *field = &metadata->fields[i++];
        const struct ochre_value *value = &field->value;
        bool same = och_bytes_equal(field->key, item->key);
        if (item->kind == OCH_JSON_KIND_STRING)
            same &= value->type == OCHRE_VALUE_STRING &&
                    och_bytes_equal(value->as.string, item->as.string);
        else if (item->kind == OCH_JSON_KIND_BOOL)
            same &= value->type == OCHRE_VALUE_BOOL && value->as.boolean == item->as.boolean;
        else if (item->kind == OCH_JSON_KIND_INT)
            same &= value->type == OCHRE_VALUE_INT && value->as.integer == item->as.integer;
        else if (item->kind == OCH_JSON_KIND_FLOAT)
            same &= value->type == OCHRE_VALUE_FLOAT && value->as.number == item->as.number;
        else if (item->kind == OCH_JSON_KIND_ARRAY)
            same &= value->type == OCHRE_VALUE_FLOAT_LIST && value->n == item->n;
        else
            same &= value->type == OCHRE_VALUE_NULL;
        if (!same)
            return false;
    }
    return i == metadata->n_fields;
}

static void
check_same(
        const struct och_write_input *input, const struct och_json *root, const struct plain *plain)
{
    const struct ochre_records *records = &input->records;
    check(same_strings(records->ids, records->n, och_json_get(root, "ids")));
    const struct och_json *list = och_json_get(root, "documents");
    check(list == NULL ? input->n_documents == OCH_NOT_GIVEN
                       : same_strings(records->documents, input->n_documents, list));
    list = och_json_get(root, "uris");
    check(list == NULL ? input->n_uris == OCH_NOT_GIVEN
                       : same_strings(records->uris, input->n_uris, list));
    list = och_json_get(root, "metadatas");
    check((list == NULL ? OCH_NOT_GIVEN : list->n) == input->n_metadatas);
    size_t i = 0;
    for (const struct och_json *item = list == NULL ? NULL : list->first; item != NULL;
            item = item->next)
        check(same_metadata(&records->metadatas[i++], item));
    list = och_json_get(root, "embeddings");
    check((list == NULL ? OCH_NOT_GIVEN : list->n) == input->n_embeddings);
    for (i = 0; list != NULL && i < list->n; i++)
        check(plain->dims[i] == (records->dims == NULL ? records->dim : records->dims[i]));
    if (plain->n_floats > 0)
        check(memcmp(plain->floats, records->embeddings, plain->n_floats * sizeof(float)) == 0);
}

static void
random_bodies_are_read_as_from_a_tree(void **state)
{
    struct och_mem mem;
    struct writer writer = {.seed = 2024};
    unsigned n_right = 0, n_wrong = 0, n_deferred = 0;
    (void) state;
    och_mem_init(&mem, NULL);
    och_buf_init(&writer.buf, &mem, 1 << 20);
    for (unsigned round = 0; round < 6000; round++) {
        enum och_write_op op = (enum och_write_op)(1 + round % 3);
        struct reading reading;
        struct plain plain;
        struct och_json *root = NULL;
        struct ochre_error err = {.status = OCHRE_OK};
        writer.errors = round % 2 == 0 ? 0 : 12;
        put_body(&writer);
        read_bytes(&reading, op, writer.buf.data, writer.buf.size);
        check_ok(och_json_parse(&reading.arena, writer.buf.data, writer.buf.size, &root, &err),
                &err);
        plain_read(&plain, root, op);
        if ((reading.status == OCHRE_OK) != plain.right)
            print_error("%.*s\n  op %d gives %s\n", (int) writer.buf.size, writer.buf.data,
                    (int) op, reading.err.message);
        check(reading.status == (plain.right ? OCHRE_OK : OCHRE_SHAPE));
        n_wrong += !plain.right;
        if (plain.right) {
            check((reading.input.deferred.status != OCHRE_OK) == plain.deferred);
            n_deferred += plain.deferred;
            if (!plain.deferred) {
                check_same(&reading.input, root, &plain);
                n_right++;
            }
        }
        forget(&reading);
    }
    check(n_right > 2000 && n_wrong > 500 && n_deferred > 50);
    och_buf_clear(&writer.buf);
}

/* --- size -------------------------------------------------------------------- */

/* Vectors far longer than the first guess of room, and of every length. */
static void
vectors_outgrow_any_guess(void **state)
{
    struct och_mem mem;
    struct och_buf buf;
    struct reading reading;
    (void) state;
    och_mem_init(&mem, NULL);
    och_buf_init(&buf, &mem, 16 << 20);
    och_buf_put_text(&buf, "{\"ids\":[\"a\"],\"embeddings\":[[1]");
    for (uint32_t dim = 1; dim < 40000; dim = dim * 3 + 1) {
        och_buf_put_text(&buf, ",[");
        for (uint32_t i = 0; i < dim; i++) {
            och_buf_put_text(&buf, i == 0 ? "" : ",");
            och_json_put_uint(&buf, (dim + i) % 1000);
        }
        och_buf_put_u8(&buf, ']');
    }
    och_buf_put_text(&buf, "]}");
    check(!buf.failed);
    read_bytes(&reading, OCH_WRITE_ADD, buf.data, buf.size);
    check_ok(reading.status, &reading.err);
    const struct ochre_records *records = &reading.input.records;
    check(records->dims != NULL);
    const float *next = records->embeddings + 1;
    size_t row = 1;
    for (uint32_t dim = 1; dim < 40000; dim = dim * 3 + 1) {
        check(records->dims[row++] == dim);
        for (uint32_t i = 0; i < dim; i++)
            check(next[i] == (float) ((dim + i) % 1000));
        next += dim;
    }
    check(row == reading.input.n_embeddings);
    forget(&reading);
    och_buf_clear(&buf);
}

/* Text beside one short vector must not be taken for vectors to come. */
static void
a_guess_of_room_is_bounded_by_the_body(void **state)
{
    struct och_mem mem;
    struct och_buf buf;
    struct reading reading;
    (void) state;
    och_mem_init(&mem, NULL);
    och_buf_init(&buf, &mem, 16 << 20);
    och_buf_put_text(&buf, "{\"embeddings\":[[0,1]],\"ids\":[\"a\"],\"documents\":[\"");
    for (unsigned i = 0; i < 1u << 20; i++)
        och_buf_put_u8(&buf, 'x');
    och_buf_put_text(&buf, "\"]}");
    check(!buf.failed);
    read_bytes(&reading, OCH_WRITE_ADD, buf.data, buf.size);
    check_ok(reading.status, &reading.err);
    check(och_mem_used(&reading.mem) < 3 * buf.size);
    forget(&reading);
    och_buf_clear(&buf);
}

static bool
read_with(struct och_mem *mem)
{
    static const char text[] =
            "{\"ids\":[\"a\",\"b\\n\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"],"
            "\"embeddings\":[[1,2],[3,4],[5,6]],\"documents\":[\"x\\u00e9\",null],\"uris\":[null],"
            "\"metadatas\":[{\"a\":[1,2],\"b\":[\"x\"],\"c\":1,\"d\":[1.5],\"e\":[true],"
            "\"v\":{\"indices\":[1],\"values\":[1]}},null]}";
    struct och_arena arena;
    struct och_write_input input;
    struct ochre_error err;
    och_arena_init(&arena, mem);
    ochre_status status = och_wire_read_records(
            &arena, (struct ochre_bytes){text, sizeof(text) - 1}, OCH_WRITE_ADD, &input, &err);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    och_arena_clear(&arena);
    return status == OCHRE_OK;
}

static bool
read_base64_with(struct och_mem *mem)
{
    /* 4200 floats: more than the room at first, twice. */
    enum { n_groups = 4200 * 4 / 3 };
    static char text[2 * (n_groups * 4 + 3) + 64];
    struct och_arena arena;
    struct och_write_input input;
    struct ochre_error err;
    size_t size = (size_t) snprintf(text, sizeof(text), "{\"ids\":[],\"embeddings\":[\"");
    memset(text + size, 'A', n_groups * 4);
    size += n_groups * 4;
    size += (size_t) snprintf(text + size, sizeof(text) - size, "\",\"");
    memset(text + size, 'A', n_groups * 4);
    size += n_groups * 4;
    size += (size_t) snprintf(text + size, sizeof(text) - size, "\"]}");
    och_arena_init(&arena, mem);
    ochre_status status = och_wire_read_records(
            &arena, (struct ochre_bytes){text, size}, OCH_WRITE_UPSERT, &input, &err);
    check(status == OCHRE_OK || status == OCHRE_NO_MEMORY);
    check(status != OCHRE_OK || input.records.dim == 4200);
    och_arena_clear(&arena);
    return status == OCHRE_OK;
}

static void
any_allocation_may_fail(void **state)
{
    (void) state;
    check_each_allocation_failing(read_with);
    check_each_allocation_failing(read_base64_with);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
            cmocka_unit_test(a_whole_add_is_read),
            cmocka_unit_test(what_is_not_given_is_told_from_what_is_empty),
            cmocka_unit_test(an_update_may_have_gaps),
            cmocka_unit_test(base64_is_the_same_vector),
            cmocka_unit_test(each_error_is_reported_when_its_turn_comes),
            cmocka_unit_test(random_bodies_are_read_as_from_a_tree),
            cmocka_unit_test(vectors_outgrow_any_guess),
            cmocka_unit_test(a_guess_of_room_is_bounded_by_the_body),
            cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
