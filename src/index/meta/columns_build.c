#include "index/meta/columns_build.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "index/meta/columns_internal.h"
#include "index/meta/compare.h"
#include "index/meta/fields.h"

/* Places among a row's fields whose column is remembered for the next row. */
#define GUESSES 64u
#define ROOM_MIN 16u

/* A distinct string of a column. */
struct text {
    const char *data; /* in a row's metadata */
    uint32_t size;
    uint32_t hash;
    uint32_t n_rows;
    uint32_t newest; /* row that has it; later where its next row goes */
};

/*
 * A column while it is made.  An entry is a row and a value: a number as its order
 * among the unsigned, or which of the strings, which are found by hash.
 */
struct making {
    struct och_column column; /* what the directory will say */
    struct ochre_bytes key;
    bool is_text;
    bool is_active; /* it is of the batch being gathered */
    uint64_t n_entries_max;
    uint32_t n_entries;
    uint32_t *rows; /* [n_entries_max], as is one of: */
    uint64_t *orders;
    uint32_t *ids;
    struct text *texts; /* owned, [room] */
    uint32_t n_texts, room;
    uint32_t *slots; /* owned, [2 * room]: string + 1 by hash; 0: empty */
    uint64_t text_size;
};

struct builder {
    const struct och_columns_build *build;
    struct och_arena keep; /* for the whole build */
    struct och_arena work; /* for one column */
    struct making *columns;
    uint32_t n_columns, room;
    uint32_t *slots; /* [2 * room]: column + 1 by hash; 0: empty */
    uint32_t guesses[GUESSES];
    uint64_t offset;     /* bytes put so far */
    ochre_status status; /* why no column was found */
    struct ochre_error *err;
};

/* --- columns ---------------------------------------------------------------- */

static bool
is_column(const struct making *making, const struct och_field_view *field)
{
    size_t size = field->key.size;
    return making->column.type == (uint8_t) field->type && making->key.size == size &&
            (size == 0 || memcmp(making->key.data, field->key.data, size) == 0);
}

/* The slot of a column: its own, or the empty one where it would go. */
static uint32_t *
column_slot(const struct builder *b, const struct och_field_view *field)
{
    uint32_t mask = b->room * 2 - 1;
    uint64_t seed = b->build->seed + (unsigned) field->type;
    uint32_t slot = (uint32_t) och_hash64_seeded(field->key.data, field->key.size, seed) & mask;
    while (b->slots[slot] != 0 && !is_column(&b->columns[b->slots[slot] - 1], field))
        slot = (slot + 1) & mask;
    return &b->slots[slot];
}

/* Room for one more column.  What was there stays in the arena: at most as much. */
static ochre_status
reserve_column(struct builder *b)
{
    if (b->n_columns < b->room)
        return OCHRE_OK;
    uint32_t room = b->room == 0 ? ROOM_MIN : b->room * 2;
    struct making *columns = och_arena_take_array(&b->keep, room, sizeof(*columns));
    uint32_t *slots = och_arena_take_array(&b->keep, (size_t) room * 2, sizeof(*slots));
    if (columns == NULL || slots == NULL)
        return och_fail_memory(b->err);
    if (b->n_columns > 0)
        memcpy(columns, b->columns, b->n_columns * sizeof(*columns));
    memset(slots, 0, (size_t) room * 2 * sizeof(*slots));
    b->columns = columns;
    b->slots = slots;
    b->room = room;
    for (uint32_t i = 0; i < b->n_columns; i++) {
        struct och_field_view field = {
                .key = columns[i].key, .type = (ochre_value_type) columns[i].column.type};
        *column_slot(b, &field) = i + 1;
    }
    return OCHRE_OK;
}

/* The column of the field at `place` of its row, made now if there is none; NULL
 * after a failure. */
static struct making *
find_column(struct builder *b, const struct och_field_view *field, uint32_t place)
{
    uint32_t *guess = &b->guesses[place % GUESSES];
    if (*guess < b->n_columns && is_column(&b->columns[*guess], field))
        return &b->columns[*guess];
    b->status = reserve_column(b);
    if (b->status != OCHRE_OK)
        return NULL;
    uint32_t *slot = column_slot(b, field);
    if (*slot == 0 && b->n_columns == OCH_COLUMNS_MAX) {
        b->status = och_fail(b->err, OCHRE_TOO_LARGE,
                "the rows have more than %u metadata keys and types", OCH_COLUMNS_MAX);
        return NULL;
    }
    if (*slot == 0) {
        b->columns[b->n_columns++] = (struct making){.key = field->key,
                .is_text =
                        field->type == OCHRE_VALUE_STRING || field->type == OCHRE_VALUE_STRING_LIST,
                .column = {.key_size = (uint16_t) field->key.size, .type = (uint8_t) field->type}};
        *slot = b->n_columns;
    }
    *guess = *slot - 1;
    return &b->columns[*guess];
}

static uint32_t
count_entries(const struct och_field_view *field)
{
    return field->type >= OCHRE_VALUE_BOOL_LIST ? och_field_list_count(field) : 1;
}

/* --- gathering -------------------------------------------------------------- */

static void
drop_texts(struct builder *b, struct making *making)
{
    och_mem_release(b->build->mem, making->texts, making->room * sizeof(*making->texts));
    och_mem_release(b->build->mem, making->slots, (size_t) making->room * 2 * sizeof(uint32_t));
    making->texts = NULL;
    making->slots = NULL;
    making->room = 0;
}

/* Leave the column's values out of the index. */
static void
leave_out(struct builder *b, struct making *making)
{
    drop_texts(b, making);
    making->is_active = false;
    making->column.flags = OCH_COLUMN_LEFT_OUT;
}

/* Room for one more string. */
static ochre_status
reserve_text(struct builder *b, struct making *making)
{
    if (making->n_texts < making->room)
        return OCHRE_OK;
    struct och_mem *mem = b->build->mem;
    uint32_t old = making->room;
    uint32_t room = old == 0 ? ROOM_MIN : old * 2;
    size_t n_slots = (size_t) room * 2;
    uint32_t *slots = och_mem_take_zeroed(mem, n_slots * sizeof(*slots));
    if (slots == NULL)
        return och_fail_memory(b->err);
    struct text *texts =
            och_mem_resize(mem, making->texts, old * sizeof(*texts), room * sizeof(*texts));
    if (texts == NULL) {
        och_mem_release(mem, slots, n_slots * sizeof(*slots));
        return och_fail_memory(b->err);
    }
    och_mem_release(mem, making->slots, (size_t) old * 2 * sizeof(*slots));
    for (uint32_t i = 0; i < making->n_texts; i++) {
        uint32_t slot = texts[i].hash & (uint32_t) (n_slots - 1);
        while (slots[slot] != 0)
            slot = (slot + 1) & (uint32_t) (n_slots - 1);
        slots[slot] = i + 1;
    }
    making->texts = texts;
    making->slots = slots;
    making->room = room;
    return OCHRE_OK;
}

/* The string with these bytes, entered if it is new. */
static struct text *
find_text(struct builder *b, struct making *making, const char *data, uint32_t size)
{
    uint32_t hash = (uint32_t) och_hash64_seeded(data, size, b->build->seed);
    uint32_t mask = making->room * 2 - 1;
    uint32_t slot = hash & mask;
    for (; making->slots[slot] != 0; slot = (slot + 1) & mask) {
        struct text *text = &making->texts[making->slots[slot] - 1];
        if (text->hash == hash && text->size == size &&
                (size == 0 || memcmp(text->data, data, size) == 0))
            return text;
    }
    struct text *text = &making->texts[making->n_texts++];
    *text = (struct text){.data = data, .size = size, .hash = hash};
    making->slots[slot] = making->n_texts;
    making->text_size += size;
    return text;
}

static ochre_status
add_text(struct builder *b, struct making *making, const char *data, uint32_t size, uint32_t row)
{
    ochre_status status = reserve_text(b, making);
    if (status != OCHRE_OK)
        return status;
    struct text *text = find_text(b, making, data, size);
    if (text->n_rows > 0 && text->newest == row)
        return OCHRE_OK; /* twice in one list */
    text->n_rows++;
    text->newest = row;
    making->rows[making->n_entries] = row;
    making->ids[making->n_entries++] = (uint32_t) (text - making->texts);
    return OCHRE_OK;
}

#define SIGN (UINT64_C(1) << 63)

/* A number whose order among the unsigned is that of the value among its type. */
static uint64_t
order_of(ochre_value_type type, uint64_t bits)
{
    if (type == OCHRE_VALUE_INT)
        return bits ^ SIGN;
    if (type == OCHRE_VALUE_FLOAT)
        return (bits & SIGN) != 0 ? ~bits : bits | SIGN;
    return bits;
}

static uint64_t
bits_of(ochre_value_type type, uint64_t order)
{
    if (type == OCHRE_VALUE_INT)
        return order ^ SIGN;
    if (type == OCHRE_VALUE_FLOAT)
        return (order & SIGN) != 0 ? order ^ SIGN : ~order;
    return order;
}

/* The type of a column's values, or of its lists' members. */
static ochre_value_type
scalar_type(ochre_value_type type)
{
    if (type < OCHRE_VALUE_BOOL_LIST)
        return type;
    return (ochre_value_type) (type - (OCHRE_VALUE_BOOL_LIST - OCHRE_VALUE_BOOL));
}

/* Values that are equal get the same order.  A number that is none equals, by
 * och_value_matches, every number: no order has a place for it. */
static void
add_number(struct builder *b, struct making *making, ochre_value_type type, const char *data,
        uint32_t row)
{
    uint64_t bits = type == OCHRE_VALUE_BOOL ? *data != 0 : och_load_u64(data);
    if (type == OCHRE_VALUE_FLOAT) {
        double number;
        memcpy(&number, data, sizeof(number));
        if (isnan(number)) {
            leave_out(b, making);
            return;
        }
        if (number == 0)
            bits = 0; /* -0.0 too */
    }
    making->rows[making->n_entries] = row;
    making->orders[making->n_entries++] = order_of(type, bits);
}

static ochre_status
gather(struct builder *b, struct making *making, const struct och_field_view *field, uint32_t row)
{
    ochre_value_type type = scalar_type(field->type);
    bool is_list = type != field->type;
    const char *next = field->value;
    const char *end = field->value + field->value_size;
    if (!is_list && making->is_text)
        return add_text(b, making, next, field->value_size, row);
    if (!is_list) {
        add_number(b, making, type, next, row);
        return OCHRE_OK;
    }
    while (next < end && making->is_active) {
        uint32_t size = type == OCHRE_VALUE_BOOL ? 1 : sizeof(uint64_t);
        ochre_status status = OCHRE_OK;
        if (making->is_text) {
            size = och_load_u32(next);
            next += sizeof(uint32_t);
            status = add_text(b, making, next, size, row);
        } else {
            add_number(b, making, type, next, row);
        }
        if (status != OCHRE_OK)
            return status;
        next += size;
    }
    return OCHRE_OK;
}

/* Walk all rows: count what each column may get, or gather it for the columns of
 * the batch. */
static ochre_status
walk_rows(struct builder *b, bool counting)
{
    const struct och_columns_build *build = b->build;
    for (uint32_t row = 0; row < build->n_rows; row++) {
        struct ochre_bytes fields;
        ochre_status status = build->fields(build->context, row, &fields, b->err);
        if (status != OCHRE_OK)
            return status;
        struct och_fields_cursor cursor = och_fields_begin(fields);
        struct och_field_view field;
        for (uint32_t place = 0; och_fields_next(&cursor, &field); place++) {
            if (field.type == OCHRE_VALUE_NULL)
                continue;
            struct making *making = find_column(b, &field, place);
            if (making == NULL)
                return b->status;
            if (counting)
                making->n_entries_max += count_entries(&field);
            else if (making->is_active)
                status = gather(b, making, &field, row);
            if (status != OCHRE_OK)
                return status;
        }
    }
    return OCHRE_OK;
}

/* --- grouping by value ------------------------------------------------------ */

/* A column's entries by value, then by row; each value once. */
struct groups {
    uint32_t n_values;
    uint32_t *starts;    /* [n_values + 1] */
    uint32_t *rows;      /* [starts[n_values]] */
    uint64_t *orders;    /* [n_values], or: */
    struct text **texts; /* [n_values] */
};

/*
 * Sort by order, rows that are equal staying as they are: from the least byte to
 * the greatest (Knuth 1998, 5.2.5), those left out in which all are the same.
 * What is sorted is in `orders` and `rows` or in the scratch; *moved_out says.
 */
static void
sort_orders(uint64_t *orders, uint32_t *rows, uint64_t *scratch_orders, uint32_t *scratch_rows,
        uint32_t n, bool *moved_out)
{
    uint32_t counts[8][256] = {{0}};
    for (uint32_t i = 0; i < n; i++)
        for (unsigned byte = 0; byte < 8; byte++)
            counts[byte][orders[i] >> (byte * 8) & 0xff]++;
    *moved_out = false;
    for (unsigned byte = 0; byte < 8; byte++) {
        if (n == 0 || counts[byte][orders[0] >> (byte * 8) & 0xff] == n)
            continue;
        uint32_t places[256];
        uint32_t place = 0;
        for (unsigned digit = 0; digit < 256; digit++) {
            places[digit] = place;
            place += counts[byte][digit];
        }
        for (uint32_t i = 0; i < n; i++) {
            uint32_t to = places[orders[i] >> (byte * 8) & 0xff]++;
            scratch_orders[to] = orders[i];
            scratch_rows[to] = rows[i];
        }
        uint64_t *other_orders = orders;
        uint32_t *other_rows = rows;
        orders = scratch_orders;
        rows = scratch_rows;
        scratch_orders = other_orders;
        scratch_rows = other_rows;
        *moved_out = !*moved_out;
    }
}

static ochre_status
group_numbers(struct builder *b, struct making *making, struct groups *groups)
{
    uint32_t n = making->n_entries;
    uint64_t *orders = och_arena_take_array(&b->work, n, sizeof(*orders));
    uint32_t *rows = och_arena_take_array(&b->work, n, sizeof(*rows));
    groups->starts = och_arena_take_array(&b->work, (size_t) n + 1, sizeof(*groups->starts));
    if (orders == NULL || rows == NULL || groups->starts == NULL)
        return och_fail_memory(b->err);
    bool moved;
    sort_orders(making->orders, making->rows, orders, rows, n, &moved);
    groups->orders = moved ? orders : making->orders;
    groups->rows = moved ? rows : making->rows;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t order = groups->orders[i];
        bool same = i > 0 && order == groups->orders[groups->n_values - 1];
        if (same && groups->rows[i] == groups->rows[kept - 1])
            continue; /* twice in one list */
        if (!same) {
            groups->orders[groups->n_values] = order;
            groups->starts[groups->n_values++] = kept;
        }
        groups->rows[kept++] = groups->rows[i];
    }
    groups->starts[groups->n_values] = kept;
    return OCHRE_OK;
}

static int
compare_texts(const void *left, const void *right)
{
    const struct text *a = *(struct text *const *) left;
    const struct text *b = *(struct text *const *) right;
    return och_compare_bytes(
            (struct ochre_bytes){a->data, a->size}, (struct ochre_bytes){b->data, b->size});
}

static ochre_status
group_texts(struct builder *b, struct making *making, struct groups *groups)
{
    uint32_t n = making->n_texts;
    groups->n_values = n;
    groups->texts = och_arena_take_array(&b->work, n, sizeof(struct text *));
    groups->starts = och_arena_take_array(&b->work, (size_t) n + 1, sizeof(*groups->starts));
    groups->rows = och_arena_take_array(&b->work, making->n_entries, sizeof(*groups->rows));
    if (groups->texts == NULL || groups->starts == NULL || groups->rows == NULL)
        return och_fail_memory(b->err);
    for (uint32_t i = 0; i < n; i++)
        groups->texts[i] = &making->texts[i];
    qsort(groups->texts, n, sizeof(struct text *), compare_texts);
    uint32_t place = 0;
    for (uint32_t i = 0; i < n; i++) {
        groups->starts[i] = place;
        groups->texts[i]->newest = place;
        place += groups->texts[i]->n_rows;
    }
    groups->starts[n] = place;
    for (uint32_t i = 0; i < making->n_entries; i++)
        groups->rows[making->texts[making->ids[i]].newest++] = making->rows[i];
    return OCHRE_OK;
}

/* --- the parts of a column -------------------------------------------------- */

struct parts {
    struct groups groups;
    uint32_t *starts; /* [n_values + 1], of the rows that are no bitmap's */
    uint32_t *dense;  /* [2 * n_dense]: values, counts */
    uint32_t marks[OCH_COLUMNS_MARKS_MAX];
    char *bitmaps;
    char *rows; /* as they are stored */
    size_t bitmap_size;
    unsigned width;
};

static uint32_t
count_rows(const struct parts *parts, uint32_t value)
{
    return parts->groups.starts[value + 1] - parts->groups.starts[value];
}

static bool
is_dense(const struct parts *parts, uint32_t value)
{
    return (uint64_t) count_rows(parts, value) * parts->width >= parts->bitmap_size;
}

static uint64_t
cost_of(const struct builder *b, const struct parts *parts, uint32_t value)
{
    return is_dense(parts, value) ? och_column_bitmap_cost(b->build->n_rows)
                                  : count_rows(parts, value);
}

/*
 * Choose marks at equal distances in cost: not more of them than take two bytes for
 * each entry, not nearer to each other than is worth while; the last one at the end.
 */
static void
choose_marks(const struct builder *b, struct och_column *column, struct parts *parts)
{
    if (column->type != OCHRE_VALUE_INT && column->type != OCHRE_VALUE_FLOAT)
        return;
    uint64_t total = 0;
    for (uint32_t i = 0; i < column->n_values; i++)
        total += cost_of(b, parts, i);
    uint64_t n = total / OCH_COLUMNS_MARK_COST_MIN;
    uint64_t affordable = (uint64_t) column->n_entries * 16 / b->build->n_rows;
    n = n < affordable ? n : affordable;
    n = n < OCH_COLUMNS_MARKS_MAX ? n : OCH_COLUMNS_MARKS_MAX;
    uint64_t passed = 0;
    for (uint32_t i = 0; n > 0 && i < column->n_values; i++) {
        uint64_t before = passed * n / total;
        passed += cost_of(b, parts, i);
        if (passed * n / total > before)
            parts->marks[column->n_marks++] = i + 1;
    }
}

static void
set_bits(char *bitmap, const uint32_t *rows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        unsigned char *byte = (unsigned char *) bitmap + rows[i] / 8;
        *byte = (unsigned char) (*byte | 1u << (rows[i] % 8));
    }
}

/* Say of each value whether it has a bitmap, and fill these and those of the marks. */
static ochre_status
place_rows(struct builder *b, struct och_column *column, struct parts *parts)
{
    const struct groups *groups = &parts->groups;
    uint32_t n = column->n_values;
    size_t n_bitmaps = (size_t) column->n_dense + column->n_marks;
    parts->starts = och_arena_take_array(&b->work, (size_t) n + 1, sizeof(uint32_t));
    parts->dense = och_arena_take_array(&b->work, (size_t) column->n_dense * 2, sizeof(uint32_t));
    parts->bitmaps = och_arena_take_array(&b->work, n_bitmaps, parts->bitmap_size);
    parts->rows = och_arena_take_array(&b->work, column->n_sparse, parts->width);
    if (parts->starts == NULL || parts->dense == NULL || parts->bitmaps == NULL ||
            parts->rows == NULL)
        return och_fail_memory(b->err);
    memset(parts->bitmaps, 0, n_bitmaps * parts->bitmap_size);
    uint32_t dense = 0;
    uint32_t sparse = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t *rows = groups->rows + groups->starts[i];
        uint32_t n_rows = count_rows(parts, i);
        parts->starts[i] = sparse;
        if (is_dense(parts, i)) {
            set_bits(parts->bitmaps + dense * parts->bitmap_size, rows, n_rows);
            parts->dense[dense] = i;
            parts->dense[column->n_dense + dense++] = n_rows;
            continue;
        }
        for (uint32_t k = 0; k < n_rows; k++, sparse++)
            memcpy(parts->rows + (size_t) sparse * parts->width, &rows[k], parts->width);
    }
    parts->starts[n] = sparse;
    for (uint32_t i = 0; i < column->n_marks; i++) {
        char *bitmap = parts->bitmaps + (column->n_dense + i) * parts->bitmap_size;
        if (i > 0)
            memcpy(bitmap, bitmap - parts->bitmap_size, parts->bitmap_size);
        uint32_t first = i == 0 ? 0 : groups->starts[parts->marks[i - 1]];
        set_bits(bitmap, groups->rows + first, groups->starts[parts->marks[i]] - first);
    }
    return OCHRE_OK;
}

static ochre_status
make_parts(struct builder *b, struct making *making, struct parts *parts)
{
    struct och_column *column = &making->column;
    ochre_status status = making->is_text ? group_texts(b, making, &parts->groups)
                                          : group_numbers(b, making, &parts->groups);
    if (status != OCHRE_OK)
        return status;
    column->n_values = parts->groups.n_values;
    column->n_entries = parts->groups.starts[column->n_values];
    column->text_size = (uint32_t) making->text_size;
    for (uint32_t i = 0; i < column->n_values; i++) {
        if (is_dense(parts, i))
            column->n_dense++;
        else
            column->n_sparse += count_rows(parts, i);
    }
    choose_marks(b, column, parts);
    return place_rows(b, column, parts);
}

/* --- putting ---------------------------------------------------------------- */

static ochre_status
put(struct builder *b, const void *bytes, size_t size)
{
    b->offset += size;
    return size == 0 ? OCHRE_OK : b->build->put(b->build->context, bytes, size, b->err);
}

static ochre_status
put_padding(struct builder *b)
{
    static const char zeros[8];
    return put(b, zeros, (size_t) ((8 - b->offset % 8) % 8));
}

static ochre_status
put_values(struct builder *b, const struct making *making, const struct groups *groups)
{
    ochre_value_type type = scalar_type((ochre_value_type) making->column.type);
    uint32_t end = 0;
    ochre_status status = OCHRE_OK;
    for (uint32_t i = 0; i < groups->n_values && status == OCHRE_OK; i++) {
        if (making->is_text) {
            end += groups->texts[i]->size;
            status = put(b, &end, sizeof(end));
        } else {
            uint64_t bits = bits_of(type, groups->orders[i]);
            status = put(b, &bits, sizeof(bits));
        }
    }
    return status;
}

static ochre_status
put_texts(struct builder *b, const struct groups *groups)
{
    ochre_status status = OCHRE_OK;
    for (uint32_t i = 0; i < groups->n_values && status == OCHRE_OK; i++)
        status = put(b, groups->texts[i]->data, groups->texts[i]->size);
    return status;
}

static ochre_status
put_parts(struct builder *b, const struct making *making, const struct parts *parts)
{
    const struct och_column *column = &making->column;
    size_t n_bitmaps = (size_t) column->n_dense + column->n_marks;
    size_t n_starts = och_column_is_unique(column) ? 0 : (size_t) column->n_values + 1;
    ochre_status status = put(b, parts->bitmaps, n_bitmaps * parts->bitmap_size);
    if (status == OCHRE_OK)
        status = put_values(b, making, &parts->groups);
    if (status == OCHRE_OK)
        status = put(b, parts->starts, n_starts * sizeof(uint32_t));
    if (status == OCHRE_OK)
        status = put(b, parts->dense, (size_t) column->n_dense * 2 * sizeof(uint32_t));
    if (status == OCHRE_OK)
        status = put(b, parts->marks, column->n_marks * sizeof(uint32_t));
    if (status == OCHRE_OK)
        status = put(b, parts->rows, (size_t) column->n_sparse * parts->width);
    if (status == OCHRE_OK && making->is_text)
        status = put_texts(b, &parts->groups);
    if (status == OCHRE_OK)
        status = put_padding(b);
    return status;
}

static ochre_status
put_column(struct builder *b, struct making *making)
{
    struct parts parts = {.bitmap_size = (size_t) och_column_bitmap_size(b->build->n_rows),
            .width = och_column_row_width(b->build->n_rows)};
    making->column.offset = b->offset;
    if (making->text_size > b->build->text_max)
        leave_out(b, making);
    if (making->column.flags != 0)
        return OCHRE_OK;
    ochre_status status = make_parts(b, making, &parts);
    if (status == OCHRE_OK)
        status = put_parts(b, making, &parts);
    making->column.size = b->offset - making->column.offset;
    och_arena_clear(&b->work);
    return status;
}

/* --- the whole -------------------------------------------------------------- */

static int
compare_makings(const void *left, const void *right)
{
    const struct making *a = left;
    const struct making *b = right;
    int order = och_compare_bytes(a->key, b->key);
    return order != 0 ? order : (int) a->column.type - (int) b->column.type;
}

/* Columns were found in the order of the rows; from here on they are sorted, and
 * found by other slots. */
static void
sort_columns(struct builder *b)
{
    if (b->n_columns == 0)
        return;
    qsort(b->columns, b->n_columns, sizeof(*b->columns), compare_makings);
    memset(b->slots, 0, (size_t) b->room * 2 * sizeof(*b->slots));
    memset(b->guesses, 0, sizeof(b->guesses));
    for (uint32_t i = 0; i < b->n_columns; i++) {
        struct making *making = &b->columns[i];
        struct och_field_view field = {
                .key = making->key, .type = (ochre_value_type) making->column.type};
        *column_slot(b, &field) = i + 1;
        if (making->n_entries_max > b->build->entries_max)
            leave_out(b, making);
    }
}

/* Give the columns of a batch their pieces of a block: orders, then ids and rows. */
static void
share_block(struct builder *b, uint32_t first, uint32_t end, char *block)
{
    for (uint32_t i = first; i < end; i++) {
        struct making *making = &b->columns[i];
        making->is_active = making->column.flags == 0;
        if (!making->is_active || making->is_text)
            continue;
        making->orders = (uint64_t *) (void *) block;
        block += making->n_entries_max * sizeof(*making->orders);
    }
    for (uint32_t i = first; i < end; i++) {
        struct making *making = &b->columns[i];
        if (!making->is_active)
            continue;
        making->rows = (uint32_t *) (void *) block;
        block += making->n_entries_max * sizeof(*making->rows);
        if (!making->is_text)
            continue;
        making->ids = (uint32_t *) (void *) block;
        block += making->n_entries_max * sizeof(*making->ids);
    }
}

/* Gather and put columns from `first` on, as many as make a batch; answers the next. */
static ochre_status
put_batch(struct builder *b, uint32_t first, uint32_t *next_out)
{
    uint64_t n = 0;
    size_t size = 1; /* a block even for columns of nothing */
    uint32_t next = first;
    for (; next < b->n_columns; next++) {
        const struct making *making = &b->columns[next];
        uint64_t more = making->column.flags != 0 ? 0 : making->n_entries_max;
        if (n > 0 && n + more > b->build->batch)
            break;
        n += more;
        size += (size_t) more * (making->is_text ? 8 : 12);
    }
    *next_out = next;
    char *block = och_mem_take(b->build->mem, size);
    if (block == NULL)
        return och_fail_memory(b->err);
    share_block(b, first, next, block);
    ochre_status status = walk_rows(b, false);
    for (uint32_t i = first; i < next; i++) {
        if (status == OCHRE_OK)
            status = put_column(b, &b->columns[i]);
        drop_texts(b, &b->columns[i]);
        b->columns[i].is_active = false;
    }
    och_arena_clear(&b->work);
    och_mem_release(b->build->mem, block, size);
    return status;
}

static ochre_status
put_directory(struct builder *b)
{
    uint64_t directory = b->offset;
    uint32_t key_offset = 0;
    ochre_status status = OCHRE_OK;
    for (uint32_t i = 0; i < b->n_columns && status == OCHRE_OK; i++) {
        char entry[OCH_COLUMNS_ENTRY_SIZE];
        b->columns[i].column.key_offset = key_offset;
        key_offset += b->columns[i].column.key_size;
        och_column_store(&b->columns[i].column, entry);
        status = put(b, entry, sizeof(entry));
    }
    for (uint32_t i = 0; i < b->n_columns && status == OCHRE_OK; i++)
        status = put(b, b->columns[i].key.data, b->columns[i].key.size);
    char trailer[OCH_COLUMNS_TRAILER_SIZE] = {0};
    och_store_u64(trailer, directory);
    och_store_u32(trailer + 8, b->n_columns);
    och_store_u32(trailer + 12, b->build->n_rows);
    och_store_u32(trailer + 16, OCH_COLUMNS_VERSION);
    och_store_u64(trailer + 24, OCH_COLUMNS_MAGIC);
    return status == OCHRE_OK ? put(b, trailer, sizeof(trailer)) : status;
}

ochre_status
och_columns_build(const struct och_columns_build *build, struct ochre_error *err)
{
    och_assert(build->entries_max <= OCH_COLUMN_ENTRIES_MAX);
    struct builder b = {.build = build, .err = err};
    och_arena_init(&b.keep, build->mem);
    och_arena_init(&b.work, build->mem);
    ochre_status status = walk_rows(&b, true);
    if (status == OCHRE_OK)
        sort_columns(&b);
    for (uint32_t next = 0; next < b.n_columns && status == OCHRE_OK;)
        status = put_batch(&b, next, &next);
    if (status == OCHRE_OK)
        status = put_directory(&b);
    och_arena_clear(&b.work);
    och_arena_clear(&b.keep);
    return status;
}
