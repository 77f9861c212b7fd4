#include "index/meta/fields.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"

#define FIELD_HEADER_SIZE ((size_t) 8)

/* --- encoding --------------------------------------------------------------- */

static int
compare_bytes(struct ochre_bytes a, struct ochre_bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

/* By key, then by place, so that the last of equal keys comes last. */
static int
compare_fields(const void *left, const void *right)
{
    const struct ochre_field *a = *(const struct ochre_field *const *) left;
    const struct ochre_field *b = *(const struct ochre_field *const *) right;
    int order = compare_bytes(a->key, b->key);
    if (order != 0)
        return order;
    return (a > b) - (a < b);
}

/* 0.0 and -0.0 are one number. */
static double
without_sign_of_zero(double number)
{
    return number + 0.0;
}

static void
put_value(struct och_buf *buf, const struct ochre_value *value)
{
    switch (value->type) {
    case OCHRE_VALUE_NULL:
        return;
    case OCHRE_VALUE_BOOL:
        och_buf_put_u8(buf, value->as.boolean);
        return;
    case OCHRE_VALUE_INT:
        och_buf_put_u64(buf, (uint64_t) value->as.integer);
        return;
    case OCHRE_VALUE_FLOAT:
        och_buf_put_f64(buf, without_sign_of_zero(value->as.number));
        return;
    case OCHRE_VALUE_STRING:
        och_buf_put(buf, value->as.string.data, value->as.string.size);
        return;
    case OCHRE_VALUE_BOOL_LIST:
        for (uint32_t i = 0; i < value->n; i++)
            och_buf_put_u8(buf, value->as.booleans[i]);
        return;
    case OCHRE_VALUE_INT_LIST:
        for (uint32_t i = 0; i < value->n; i++)
            och_buf_put_u64(buf, (uint64_t) value->as.integers[i]);
        return;
    case OCHRE_VALUE_FLOAT_LIST:
        for (uint32_t i = 0; i < value->n; i++)
            och_buf_put_f64(buf, without_sign_of_zero(value->as.numbers[i]));
        return;
    case OCHRE_VALUE_STRING_LIST:
        for (uint32_t i = 0; i < value->n; i++)
            och_buf_put_bytes(buf, value->as.strings[i].data, value->as.strings[i].size);
        return;
    }
}

static void
put_field(struct och_buf *buf, const struct ochre_field *field)
{
    och_assert(field->key.size <= UINT16_MAX);
    och_buf_put_u16(buf, (uint16_t) field->key.size);
    och_buf_put_u8(buf, (uint8_t) field->value.type);
    och_buf_put_u8(buf, 0);
    och_buf_put_u32(buf, 0); /* the value's size, known below */
    size_t size_at = buf->size - sizeof(uint32_t);
    och_buf_put(buf, field->key.data, field->key.size);
    size_t value_at = buf->size;
    put_value(buf, &field->value);
    if (!buf->failed)
        och_store_u32(buf->data + size_at, (uint32_t) (buf->size - value_at));
}

ochre_status
och_fields_encode(struct och_buf *buf, struct och_arena *scratch,
        const struct ochre_metadata *metadata, bool keep_nulls)
{
    size_t n = metadata->n_fields;
    const struct ochre_field **sorted =
            och_arena_take_array(scratch, n, sizeof(struct ochre_field *));
    if (sorted == NULL)
        return OCHRE_NO_MEMORY;
    for (size_t i = 0; i < n; i++)
        sorted[i] = &metadata->fields[i];
    qsort(sorted, n, sizeof(struct ochre_field *), compare_fields);

    och_buf_put_u32(buf, 0);
    size_t count_at = buf->size - sizeof(uint32_t);
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++) {
        bool repeated = i + 1 < n && compare_bytes(sorted[i]->key, sorted[i + 1]->key) == 0;
        if (repeated || (sorted[i]->value.type == OCHRE_VALUE_NULL && !keep_nulls))
            continue;
        put_field(buf, sorted[i]);
        count++;
    }
    if (!buf->failed)
        och_store_u32(buf->data + count_at, count);
    return och_buf_status(buf);
}

/* --- checking --------------------------------------------------------------- */

static bool
string_list_is_valid(const char *value, uint32_t size)
{
    struct och_reader reader;
    och_reader_init(&reader, value, size);
    while (reader.left > 0 && !reader.failed)
        (void) och_reader_bytes(&reader, och_reader_u32(&reader));
    return !reader.failed;
}

static bool
value_is_valid(uint8_t type, const char *value, uint32_t size)
{
    switch (type) {
    case OCHRE_VALUE_NULL:
        return size == 0;
    case OCHRE_VALUE_BOOL:
        return size == 1;
    case OCHRE_VALUE_INT:
    case OCHRE_VALUE_FLOAT:
        return size == 8;
    case OCHRE_VALUE_STRING:
    case OCHRE_VALUE_BOOL_LIST:
        return true;
    case OCHRE_VALUE_INT_LIST:
    case OCHRE_VALUE_FLOAT_LIST:
        return size % 8 == 0;
    case OCHRE_VALUE_STRING_LIST:
        return string_list_is_valid(value, size);
    default:
        return false;
    }
}

bool
och_fields_are_valid(struct ochre_bytes fields)
{
    if (fields.data == NULL)
        return true;
    struct och_reader reader;
    och_reader_init(&reader, fields.data, fields.size);
    uint32_t n = och_reader_u32(&reader);
    struct ochre_bytes before = {NULL, 0};
    for (uint32_t i = 0; i < n && !reader.failed; i++) {
        uint16_t key_size = och_reader_u16(&reader);
        uint8_t type = och_reader_u8(&reader);
        uint8_t zero = och_reader_u8(&reader);
        uint32_t value_size = och_reader_u32(&reader);
        struct ochre_bytes key = {och_reader_bytes(&reader, key_size), key_size};
        const char *value = och_reader_bytes(&reader, value_size);
        if (reader.failed || zero != 0 || !value_is_valid(type, value, value_size))
            return false;
        if (i > 0 && compare_bytes(before, key) >= 0)
            return false;
        before = key;
    }
    return !reader.failed && reader.left == 0;
}

/* --- reading ---------------------------------------------------------------- */

struct och_fields_cursor
och_fields_begin(struct ochre_bytes fields)
{
    if (fields.data == NULL)
        return (struct och_fields_cursor){NULL, 0};
    return (struct och_fields_cursor){fields.data + sizeof(uint32_t), och_load_u32(fields.data)};
}

bool
och_fields_next(struct och_fields_cursor *cursor, struct och_field_view *view_out)
{
    if (cursor->left == 0)
        return false;
    uint32_t head = och_load_u32(cursor->next);
    view_out->key.size = head & 0xffff;
    view_out->key.data = cursor->next + FIELD_HEADER_SIZE;
    view_out->type = (ochre_value_type) (head >> 16 & 0xff);
    view_out->value_size = och_load_u32(cursor->next + 4);
    view_out->value = view_out->key.data + view_out->key.size;
    cursor->next = view_out->value + view_out->value_size;
    cursor->left--;
    return true;
}

bool
och_fields_find(struct ochre_bytes fields, struct ochre_bytes key, struct och_field_view *view_out)
{
    struct och_fields_cursor cursor = och_fields_begin(fields);
    while (och_fields_next(&cursor, view_out)) {
        if (view_out->key.size == key.size &&
                (key.size == 0 || memcmp(view_out->key.data, key.data, key.size) == 0))
            return true;
    }
    return false;
}

uint32_t
och_fields_count(struct ochre_bytes fields)
{
    return fields.data == NULL ? 0 : och_load_u32(fields.data);
}

static void
put_view(struct och_buf *buf, const struct och_field_view *view)
{
    och_buf_put(buf, view->key.data - FIELD_HEADER_SIZE,
            FIELD_HEADER_SIZE + view->key.size + view->value_size);
}

void
och_fields_merge(struct och_buf *buf, struct ochre_bytes old, struct ochre_bytes update)
{
    struct och_fields_cursor old_cursor = och_fields_begin(old);
    struct och_fields_cursor new_cursor = och_fields_begin(update);
    struct och_field_view old_view = {.value = NULL};
    struct och_field_view new_view = {.value = NULL};
    och_buf_put_u32(buf, 0);
    size_t count_at = buf->size - sizeof(uint32_t);
    uint32_t count = 0;

    bool has_old = och_fields_next(&old_cursor, &old_view);
    bool has_new = och_fields_next(&new_cursor, &new_view);
    while (has_old || has_new) {
        int order = !has_old ? 1 : !has_new ? -1 : compare_bytes(old_view.key, new_view.key);
        if (order < 0) {
            put_view(buf, &old_view);
            count++;
        } else if (new_view.type != OCHRE_VALUE_NULL) {
            put_view(buf, &new_view);
            count++;
        }
        if (order <= 0)
            has_old = och_fields_next(&old_cursor, &old_view);
        if (order >= 0)
            has_new = och_fields_next(&new_cursor, &new_view);
    }
    if (!buf->failed)
        och_store_u32(buf->data + count_at, count);
}

/* --- decoding --------------------------------------------------------------- */

uint32_t
och_field_list_count(const struct och_field_view *view)
{
    switch (view->type) {
    case OCHRE_VALUE_BOOL_LIST:
        return view->value_size;
    case OCHRE_VALUE_INT_LIST:
    case OCHRE_VALUE_FLOAT_LIST:
        return view->value_size / 8;
    case OCHRE_VALUE_STRING_LIST: {
        uint32_t n = 0;
        for (uint32_t at = 0; at < view->value_size; n++)
            at += (uint32_t) sizeof(uint32_t) + och_load_u32(view->value + at);
        return n;
    }
    case OCHRE_VALUE_NULL:
    case OCHRE_VALUE_BOOL:
    case OCHRE_VALUE_INT:
    case OCHRE_VALUE_FLOAT:
    case OCHRE_VALUE_STRING:
        return 0;
    }
    return 0;
}

static bool
decode_list(
        struct och_arena *arena, const struct och_field_view *view, struct ochre_value *value_out)
{
    uint32_t n = och_field_list_count(view);
    size_t size = view->type == OCHRE_VALUE_BOOL_LIST ? sizeof(bool)
            : view->type == OCHRE_VALUE_STRING_LIST   ? sizeof(struct ochre_bytes)
                                                      : sizeof(uint64_t);
    char *items = och_arena_take_array(arena, n, size);
    if (items == NULL)
        return false;
    value_out->n = n;
    if (view->type == OCHRE_VALUE_STRING_LIST) {
        struct ochre_bytes *strings = (struct ochre_bytes *) (void *) items;
        const char *next = view->value;
        for (uint32_t i = 0; i < n; i++) {
            strings[i].size = och_load_u32(next);
            strings[i].data = next + sizeof(uint32_t);
            next = strings[i].data + strings[i].size;
        }
        value_out->as.strings = strings;
        return true;
    }
    if (view->type == OCHRE_VALUE_BOOL_LIST) {
        bool *booleans = (bool *) items;
        for (uint32_t i = 0; i < n; i++)
            booleans[i] = view->value[i] != 0;
        value_out->as.booleans = booleans;
        return true;
    }
    /* Integers and doubles are the same eight bytes. */
    if (n > 0)
        memcpy(items, view->value, (size_t) n * sizeof(uint64_t));
    if (view->type == OCHRE_VALUE_INT_LIST)
        value_out->as.integers = (const int64_t *) (const void *) items;
    else
        value_out->as.numbers = (const double *) (const void *) items;
    return true;
}

static bool
decode_value(
        struct och_arena *arena, const struct och_field_view *view, struct ochre_value *value_out)
{
    *value_out = (struct ochre_value){.type = view->type};
    switch (view->type) {
    case OCHRE_VALUE_NULL:
        return true;
    case OCHRE_VALUE_BOOL:
        value_out->as.boolean = *view->value != 0;
        return true;
    case OCHRE_VALUE_INT:
        value_out->as.integer = (int64_t) och_load_u64(view->value);
        return true;
    case OCHRE_VALUE_FLOAT:
        memcpy(&value_out->as.number, view->value, sizeof(double));
        return true;
    case OCHRE_VALUE_STRING:
        value_out->as.string = (struct ochre_bytes){view->value, view->value_size};
        return true;
    case OCHRE_VALUE_BOOL_LIST:
    case OCHRE_VALUE_INT_LIST:
    case OCHRE_VALUE_FLOAT_LIST:
    case OCHRE_VALUE_STRING_LIST:
        return decode_list(arena, view, value_out);
    }
    return false;
}

static bool
is_hidden(struct ochre_bytes key)
{
    static const char prefix[] = "chroma:";
    return key.size >= sizeof(prefix) - 1 && memcmp(key.data, prefix, sizeof(prefix) - 1) == 0;
}

ochre_status
och_fields_decode(struct och_arena *arena, struct ochre_bytes fields, bool hide,
        struct ochre_metadata *metadata_out)
{
    *metadata_out = (struct ochre_metadata){NULL, 0};
    uint32_t n = och_fields_count(fields);
    if (n == 0)
        return OCHRE_OK;
    struct ochre_field *decoded = och_arena_take_array(arena, n, sizeof(*decoded));
    if (decoded == NULL)
        return OCHRE_NO_MEMORY;
    struct och_fields_cursor cursor = och_fields_begin(fields);
    struct och_field_view view;
    size_t count = 0;
    while (och_fields_next(&cursor, &view)) {
        if (hide && is_hidden(view.key))
            continue;
        decoded[count].key = view.key;
        if (!decode_value(arena, &view, &decoded[count].value))
            return OCHRE_NO_MEMORY;
        count++;
    }
    metadata_out->fields = decoded;
    metadata_out->n_fields = count;
    return OCHRE_OK;
}
