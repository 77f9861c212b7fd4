#include "index/meta/columns.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/bitset.h"
#include "base/buf.h"
#include "base/error.h"
#include "index/meta/columns_internal.h"
#include "index/meta/compare.h"
#include "index/meta/fields.h"
#include "index/meta/value_set.h"

/* --- the directory ---------------------------------------------------------- */

void
och_column_find_parts(
        const struct och_column *column, uint32_t n_rows, struct och_column_parts *parts_out)
{
    bool text = column->type == OCHRE_VALUE_STRING || column->type == OCHRE_VALUE_STRING_LIST;
    uint64_t n_bitmaps = (uint64_t) column->n_dense + column->n_marks;
    uint64_t n_starts = och_column_is_unique(column) ? 0 : (uint64_t) column->n_values + 1;
    /* Counts are 32 bits and a bitmap at most 2 MiB: nothing here can wrap. */
    parts_out->bitmaps = 0;
    parts_out->values = n_bitmaps * och_column_bitmap_size(n_rows);
    parts_out->starts = parts_out->values + (uint64_t) column->n_values * (text ? 4 : 8);
    parts_out->dense = parts_out->starts + n_starts * 4;
    parts_out->marks = parts_out->dense + (uint64_t) column->n_dense * 8;
    parts_out->rows = parts_out->marks + (uint64_t) column->n_marks * 4;
    parts_out->texts = parts_out->rows + (uint64_t) column->n_sparse * och_column_row_width(n_rows);
    parts_out->end = (parts_out->texts + column->text_size + 7) / 8 * 8;
}

void
och_column_load(struct och_column *column_out, const char *entry)
{
    uint32_t key = och_load_u32(entry + 20);
    *column_out = (struct och_column){.offset = och_load_u64(entry),
            .size = och_load_u64(entry + 8),
            .key_offset = och_load_u32(entry + 16),
            .key_size = (uint16_t) (key & 0xffff),
            .type = (uint8_t) (key >> 16 & 0xff),
            .flags = (uint8_t) (key >> 24),
            .n_values = och_load_u32(entry + 24),
            .n_entries = och_load_u32(entry + 28),
            .n_sparse = och_load_u32(entry + 32),
            .n_dense = och_load_u32(entry + 36),
            .n_marks = och_load_u32(entry + 40),
            .text_size = och_load_u32(entry + 44)};
}

void
och_column_store(const struct och_column *column, char *entry)
{
    och_store_u64(entry, column->offset);
    och_store_u64(entry + 8, column->size);
    och_store_u32(entry + 16, column->key_offset);
    och_store_u32(entry + 20,
            (uint32_t) column->key_size | (uint32_t) column->type << 16 |
                    (uint32_t) column->flags << 24);
    och_store_u32(entry + 24, column->n_values);
    och_store_u32(entry + 28, column->n_entries);
    och_store_u32(entry + 32, column->n_sparse);
    och_store_u32(entry + 36, column->n_dense);
    och_store_u32(entry + 40, column->n_marks);
    och_store_u32(entry + 44, column->text_size);
}

static ochre_status
fail_corrupt(const char *what, struct ochre_error *err)
{
    return och_fail(err, OCHRE_CORRUPT, "index of metadata: %s", what);
}

static ochre_status
touch(const struct och_columns *columns, uint64_t offset, uint64_t size, struct ochre_error *err)
{
    const struct och_columns_source *source = &columns->source;
    if (source->touch == NULL || size == 0)
        return OCHRE_OK;
    return source->touch(source->context, offset, size, err);
}

static void
load_entry(const struct och_columns *columns, uint32_t i, struct och_column *column_out)
{
    uint64_t offset = columns->directory + (uint64_t) i * OCH_COLUMNS_ENTRY_SIZE;
    och_column_load(column_out, columns->source.bytes + offset);
}

static struct ochre_bytes
key_of(const struct och_columns *columns, const struct och_column *column)
{
    uint64_t keys = columns->directory + (uint64_t) columns->n_columns * OCH_COLUMNS_ENTRY_SIZE;
    const char *key = columns->source.bytes + keys + column->key_offset;
    return (struct ochre_bytes){key, column->key_size};
}

/* By key, then by type. */
static int
compare_place(const struct och_columns *columns, const struct och_column *column,
        struct ochre_bytes key, ochre_value_type type)
{
    int order = och_compare_bytes(key_of(columns, column), key);
    return order != 0 ? order : (int) column->type - (int) type;
}

static bool
entry_is_valid(const struct och_columns *columns, const struct och_column *column)
{
    uint64_t keys_size = columns->source.size - OCH_COLUMNS_TRAILER_SIZE - columns->directory -
            (uint64_t) columns->n_columns * OCH_COLUMNS_ENTRY_SIZE;
    bool number = column->type == OCHRE_VALUE_INT || column->type == OCHRE_VALUE_FLOAT;
    bool text = column->type == OCHRE_VALUE_STRING || column->type == OCHRE_VALUE_STRING_LIST;
    bool unique = och_column_is_unique(column);
    if (column->type < OCHRE_VALUE_BOOL || column->type > OCHRE_VALUE_STRING_LIST ||
            column->flags > OCH_COLUMN_LEFT_OUT || column->key_offset > keys_size ||
            column->key_size > keys_size - column->key_offset)
        return false;
    if (column->n_values > column->n_entries || column->n_sparse > column->n_entries ||
            column->n_dense > column->n_values ||
            column->n_marks > (number ? OCH_COLUMNS_MARKS_MAX : 0) ||
            (unique && (column->n_dense != 0 || column->n_sparse != column->n_entries)) ||
            (!text && column->text_size != 0) || (column->flags != 0 && column->n_entries != 0))
        return false;
    struct och_column_parts parts;
    och_column_find_parts(column, columns->n_rows, &parts);
    return column->offset % 8 == 0 && column->offset <= columns->directory &&
            column->size <= columns->directory - column->offset && parts.end == column->size;
}

static ochre_status
check_directory(const struct och_columns *columns, struct ochre_error *err)
{
    struct och_column column;
    struct ochre_bytes key = {NULL, 0};
    ochre_value_type type = OCHRE_VALUE_NULL;
    for (uint32_t i = 0; i < columns->n_columns; i++) {
        load_entry(columns, i, &column);
        if (!entry_is_valid(columns, &column))
            return fail_corrupt("a column does not fit the section", err);
        if (i > 0 && compare_place(columns, &column, key, type) <= 0)
            return fail_corrupt("the columns are out of order", err);
        key = key_of(columns, &column);
        type = (ochre_value_type) column.type;
    }
    return OCHRE_OK;
}

ochre_status
och_columns_open(struct och_columns *columns_out, const struct och_columns_source *source,
        uint32_t n_rows, struct ochre_error *err)
{
    struct och_columns columns = {.source = *source, .n_rows = n_rows};
    *columns_out = (struct och_columns){.n_rows = 0};
    if (source->size < OCH_COLUMNS_TRAILER_SIZE)
        return fail_corrupt("the section is too short", err);
    uint64_t end = source->size - OCH_COLUMNS_TRAILER_SIZE;
    ochre_status status = touch(&columns, end, OCH_COLUMNS_TRAILER_SIZE, err);
    if (status != OCHRE_OK)
        return status;
    const char *trailer = source->bytes + end;
    columns.directory = och_load_u64(trailer);
    columns.n_columns = och_load_u32(trailer + 8);
    if (och_load_u32(trailer + 12) != n_rows || och_load_u32(trailer + 16) != OCH_COLUMNS_VERSION ||
            och_load_u64(trailer + 24) != OCH_COLUMNS_MAGIC)
        return fail_corrupt("the trailer is not that of these rows", err);
    if (columns.directory > end ||
            columns.n_columns > (end - columns.directory) / OCH_COLUMNS_ENTRY_SIZE)
        return fail_corrupt("the directory lies outside of the section", err);
    status = touch(&columns, columns.directory, end - columns.directory, err);
    if (status == OCHRE_OK)
        status = check_directory(&columns, err);
    if (status == OCHRE_OK)
        *columns_out = columns;
    return status;
}

/* Find a column; false when no row has this key with this type. */
static bool
find_column(const struct och_columns *columns, struct ochre_bytes key, ochre_value_type type,
        struct och_column *column_out)
{
    uint32_t low = 0;
    uint32_t high = columns->n_columns;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        load_entry(columns, middle, column_out);
        int order = compare_place(columns, column_out, key, type);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* --- reading a column ------------------------------------------------------- */

/*
 * One column in use.  The first failure stays in `status`, and what is read after
 * it is nothing, so that only the end of a line of reads need ask.
 */
struct reading {
    const struct och_columns *columns;
    struct och_column column;
    struct och_column_parts parts;
    uint64_t *words; /* where rows go; NULL: only count them */
    uint64_t n_found;
    ochre_status status;
    struct ochre_error *err;
};

static void
fail_reading(struct reading *r, const char *what)
{
    if (r->status == OCHRE_OK)
        r->status = fail_corrupt(what, r->err);
}

/* `size` bytes at `offset` in the column, which are within it; NULL after a failure. */
static const char *
bytes_at(struct reading *r, uint64_t offset, uint64_t size)
{
    och_assert(offset <= r->column.size && size <= r->column.size - offset);
    if (r->status == OCHRE_OK)
        r->status = touch(r->columns, r->column.offset + offset, size, r->err);
    return r->status == OCHRE_OK ? r->columns->source.bytes + r->column.offset + offset : NULL;
}

static uint32_t
number_at(struct reading *r, uint64_t offset)
{
    const char *bytes = bytes_at(r, offset, 4);
    return bytes == NULL ? 0 : och_load_u32(bytes);
}

/* Value i, as a field of the type of the column's elements. */
static bool
value_at(struct reading *r, uint32_t i, struct och_field_view *view_out)
{
    ochre_value_type type = (ochre_value_type) r->column.type;
    if (type >= OCHRE_VALUE_BOOL_LIST)
        type = (ochre_value_type) (type - (OCHRE_VALUE_BOOL_LIST - OCHRE_VALUE_BOOL));
    *view_out = (struct och_field_view){.type = type, .value_size = 8};
    if (type != OCHRE_VALUE_STRING) {
        view_out->value = bytes_at(r, r->parts.values + (uint64_t) i * 8, 8);
        double number = 0;
        if (type == OCHRE_VALUE_FLOAT && view_out->value != NULL)
            memcpy(&number, view_out->value, sizeof(number));
        if (isnan(number))
            fail_reading(r, "a number is none");
        return r->status == OCHRE_OK;
    }
    uint32_t begin = i == 0 ? 0 : number_at(r, r->parts.values + ((uint64_t) i - 1) * 4);
    uint32_t end = number_at(r, r->parts.values + (uint64_t) i * 4);
    if (begin > end || end > r->column.text_size) {
        fail_reading(r, "a string lies outside of its column");
        return false;
    }
    view_out->value = bytes_at(r, r->parts.texts + begin, end - begin);
    view_out->value_size = end - begin;
    return view_out->value != NULL;
}

/* How value i stands to the operand, which is of its world. */
static int
compare_value(struct reading *r, uint32_t i, const struct ochre_value *operand)
{
    struct och_field_view view;
    int order = 0;
    if (value_at(r, i, &view) && !och_value_compare(&view, operand, &order))
        och_assert(r->status != OCHRE_OK); /* the column was chosen by the operand */
    return order;
}

/*
 * The first value at or after `from` that is not below the operand, or, with
 * `above`, that is above it: strides that double, then halving, so that the
 * members of a long list are found in one pass.
 */
static uint32_t
find_value(struct reading *r, uint32_t from, const struct ochre_value *operand, bool above)
{
    uint32_t low = from; /* all before it are passed */
    uint32_t high = r->column.n_values;
    uint32_t stride = 1;
    while (low < high && stride <= high - low) {
        int order = compare_value(r, low + stride - 1, operand);
        if (order > 0 || (order == 0 && !above)) {
            high = low + stride - 1;
            break;
        }
        low += stride;
        stride *= 2;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_value(r, middle, operand);
        if (order > 0 || (order == 0 && !above))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* --- the rows of values ----------------------------------------------------- */

/* A piece of the list of rows: those of values first .. end - 1. */
struct piece {
    uint32_t begin, end;
};

static struct piece
find_piece(struct reading *r, uint32_t first, uint32_t end)
{
    struct piece piece = {first, end};
    if (!och_column_is_unique(&r->column)) {
        piece.begin = number_at(r, r->parts.starts + (uint64_t) first * 4);
        piece.end = number_at(r, r->parts.starts + (uint64_t) end * 4);
    }
    if (piece.begin > piece.end || piece.end > r->column.n_sparse) {
        fail_reading(r, "a value's rows lie outside of its column");
        piece = (struct piece){0, 0};
    }
    return piece;
}

/* The first dense value that is not below `value`. */
static uint32_t
find_dense(struct reading *r, uint32_t value)
{
    uint32_t low = 0;
    uint32_t high = r->column.n_dense;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (number_at(r, r->parts.dense + (uint64_t) middle * 4) < value)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Put in, or take out, the rows of a piece; false when one is none of ours. */
static inline bool
apply_rows(uint64_t *words, uint32_t n_rows, const char *rows, uint32_t n, unsigned width, bool in)
{
    for (uint32_t i = 0; i < n; i++, rows += width) {
        uint32_t row = 0;
        __builtin_memcpy(&row, rows, width);
        if (row >= n_rows)
            return false;
        uint64_t bit = UINT64_C(1) << (row % 64);
        if (in)
            words[row / 64] |= bit;
        else
            words[row / 64] &= ~bit;
    }
    return true;
}

static void
take_piece(struct reading *r, struct piece piece, bool in)
{
    unsigned width = och_column_row_width(r->columns->n_rows);
    uint32_t n = piece.end - piece.begin;
    const char *rows =
            bytes_at(r, r->parts.rows + (uint64_t) piece.begin * width, (uint64_t) n * width);
    if (rows == NULL)
        return;
    uint32_t n_rows = r->columns->n_rows;
    bool ours;
    /* Four loops, each with its width and direction known. */
    if (width == 2)
        ours = in ? apply_rows(r->words, n_rows, rows, n, 2, true)
                  : apply_rows(r->words, n_rows, rows, n, 2, false);
    else
        ours = in ? apply_rows(r->words, n_rows, rows, n, 4, true)
                  : apply_rows(r->words, n_rows, rows, n, 4, false);
    if (!ours)
        fail_reading(r, "it names a row that is not there");
}

/* Bitmap i of the column: of a dense value, or behind these of a mark. */
static const char *
bitmap_at(struct reading *r, uint32_t i)
{
    uint32_t n_rows = r->columns->n_rows;
    uint64_t size = och_column_bitmap_size(n_rows);
    const char *bitmap = bytes_at(r, r->parts.bitmaps + i * size, size);
    if (bitmap != NULL && n_rows % 64 != 0 &&
            och_load_u64(bitmap + size - 8) >> (n_rows % 64) != 0) {
        fail_reading(r, "a bitmap has rows that are not there");
        return NULL;
    }
    return bitmap;
}

static void
take_bitmap(struct reading *r, uint32_t i, bool in)
{
    const char *bitmap = bitmap_at(r, i);
    size_t n_words = bitmap == NULL ? 0 : ((size_t) r->columns->n_rows + 63) / 64;
    if (in) {
        for (size_t w = 0; w < n_words; w++)
            r->words[w] |= och_load_u64(bitmap + w * 8);
    } else {
        for (size_t w = 0; w < n_words; w++)
            r->words[w] &= ~och_load_u64(bitmap + w * 8);
    }
}

/* Put in, or take out, the rows of values first .. end - 1, one by one. */
static void
take_values(struct reading *r, uint32_t first, uint32_t end, bool in)
{
    take_piece(r, find_piece(r, first, end), in);
    uint32_t last = find_dense(r, end);
    for (uint32_t i = find_dense(r, first); i < last; i++)
        take_bitmap(r, i, in);
}

static uint64_t
count_values(struct reading *r, uint32_t first, uint32_t end)
{
    struct piece piece = find_piece(r, first, end);
    uint64_t count = piece.end - piece.begin;
    uint32_t last = find_dense(r, end);
    uint64_t counts = r->parts.dense + (uint64_t) r->column.n_dense * 4;
    for (uint32_t i = find_dense(r, first); i < last; i++)
        count += number_at(r, counts + (uint64_t) i * 4);
    return count;
}

/* --- ranges and marks ------------------------------------------------------- */

/* What taking the rows of values first .. end - 1 costs, in rows of the list. */
static uint64_t
cost_of(struct reading *r, uint32_t first, uint32_t end)
{
    struct piece piece = find_piece(r, first, end);
    uint64_t n_bitmaps = find_dense(r, end) - find_dense(r, first);
    return piece.end - piece.begin + n_bitmaps * och_column_bitmap_cost(r->columns->n_rows);
}

/* A mark near a value: its number plus one, 0 for the beginning, where no row is
 * below; the value it stands at; and what lies between the two costs. */
struct mark {
    uint32_t number, value;
    uint64_t cost;
};

static struct mark
mark_at(struct reading *r, uint32_t number, uint32_t value)
{
    struct mark mark = {.number = number};
    if (number > 0)
        mark.value = number_at(r, r->parts.marks + ((uint64_t) number - 1) * 4);
    if (mark.value > r->column.n_values) {
        fail_reading(r, "a mark lies outside of its column");
        mark.value = 0;
    }
    mark.cost = mark.value < value ? cost_of(r, mark.value, value) : cost_of(r, value, mark.value);
    return mark;
}

static struct mark
nearest_mark(struct reading *r, uint32_t value)
{
    uint32_t number = 0;
    while (number < r->column.n_marks &&
            number_at(r, r->parts.marks + (uint64_t) number * 4) <= value)
        number++;
    struct mark below = mark_at(r, number, value);
    if (number == r->column.n_marks)
        return below;
    struct mark above = mark_at(r, number + 1, value);
    return above.cost < below.cost ? above : below;
}

/* All rows below mark `to` but those below mark `from`. */
static void
take_between_marks(struct reading *r, uint32_t from, uint32_t to)
{
    if (from >= to)
        return;
    const char *high = bitmap_at(r, r->column.n_dense + to - 1);
    const char *low = from == 0 ? NULL : bitmap_at(r, r->column.n_dense + from - 1);
    size_t n_words = ((size_t) r->columns->n_rows + 63) / 64;
    if (r->status != OCHRE_OK)
        return;
    if (low == NULL) {
        for (size_t w = 0; w < n_words; w++)
            r->words[w] |= och_load_u64(high + w * 8);
        return;
    }
    for (size_t w = 0; w < n_words; w++)
        r->words[w] |= och_load_u64(high + w * 8) & ~och_load_u64(low + w * 8);
}

/*
 * Put in the rows of values first .. end - 1, by whichever way is shorter: value by
 * value, or what lies between two marks, put right at both ends.  Every row has one
 * value in a column with marks, so taking out takes no more than was put in; all
 * that goes in does so before, which also serves when the range lies between two
 * marks and both its ends are nearest to the same one.
 */
static void
take_range(struct reading *r, uint32_t first, uint32_t end)
{
    if (first >= end || r->status != OCHRE_OK)
        return;
    if (r->words == NULL) {
        r->n_found += count_values(r, first, end);
        return;
    }
    if (r->column.n_marks == 0) {
        take_values(r, first, end, true);
        return;
    }
    uint64_t cost = cost_of(r, first, end);
    struct mark low = nearest_mark(r, first);
    struct mark high = nearest_mark(r, end);
    uint64_t two_bitmaps = 2 * och_column_bitmap_cost(r->columns->n_rows);
    if (low.number > high.number || cost <= low.cost + high.cost + two_bitmaps) {
        take_values(r, first, end, true);
        return;
    }
    take_between_marks(r, low.number, high.number);
    if (first < low.value)
        take_values(r, first, low.value, true);
    if (high.value < end)
        take_values(r, high.value, end, true);
    if (low.value < first)
        take_values(r, low.value, first, false);
    if (end < high.value)
        take_values(r, end, high.value, false);
}

/* --- leaves ----------------------------------------------------------------- */

/* The members of a list, ascending; values next to each other are one range. */
static void
take_members(struct reading *r, const struct och_value_set *set)
{
    uint32_t from = 0;
    uint32_t first = 0;
    uint32_t end = 0;
    for (uint32_t i = 0; i < set->n; i++) {
        from = find_value(r, from, &set->items[i], false);
        if (r->status != OCHRE_OK || from == r->column.n_values)
            break;
        if (from < end || compare_value(r, from, &set->items[i]) != 0)
            continue; /* a member twice, or one that no row has */
        if (from != end) {
            take_range(r, first, end);
            first = from;
        }
        end = from + 1;
    }
    take_range(r, first, end);
}

static void
take_leaf(struct reading *r, const struct och_columns_leaf *leaf)
{
    const struct ochre_value *value = leaf->value;
    uint32_t n = r->column.n_values;
    switch (leaf->op) {
    case OCHRE_FILTER_EQ:
    case OCHRE_FILTER_NE:
    case OCHRE_FILTER_CONTAINS:
    case OCHRE_FILTER_NOT_CONTAINS: {
        uint32_t at = find_value(r, 0, value, false);
        if (at < n && r->status == OCHRE_OK && compare_value(r, at, value) == 0)
            take_range(r, at, at + 1);
        return;
    }
    case OCHRE_FILTER_GT:
        take_range(r, find_value(r, 0, value, true), n);
        return;
    case OCHRE_FILTER_GTE:
        take_range(r, find_value(r, 0, value, false), n);
        return;
    case OCHRE_FILTER_LT:
        take_range(r, 0, find_value(r, 0, value, false));
        return;
    case OCHRE_FILTER_LTE:
        take_range(r, 0, find_value(r, 0, value, true));
        return;
    case OCHRE_FILTER_IN:
    case OCHRE_FILTER_NOT_IN:
        take_members(r, leaf->set);
        return;
    case OCHRE_FILTER_AND:
    case OCHRE_FILTER_OR:
    case OCHRE_FILTER_REGEX:
    case OCHRE_FILTER_NOT_REGEX:
        return;
    }
}

/* The types of values that a leaf can match: numbers are one world, but not as
 * members of a list. */
static unsigned
types_of(const struct och_columns_leaf *leaf, ochre_value_type *types)
{
    const unsigned to_list = OCHRE_VALUE_BOOL_LIST - OCHRE_VALUE_BOOL;
    bool in = leaf->op == OCHRE_FILTER_IN || leaf->op == OCHRE_FILTER_NOT_IN;
    unsigned type = leaf->value->type;
    if (type == OCHRE_VALUE_NULL || in != (type >= OCHRE_VALUE_BOOL_LIST))
        return 0; /* no value equals a list, and nothing else has members */
    type -= in ? to_list : 0;
    bool number = type == OCHRE_VALUE_INT || type == OCHRE_VALUE_FLOAT;
    bool range = leaf->op >= OCHRE_FILTER_GT && leaf->op <= OCHRE_FILTER_LTE;
    if (range && !number)
        return 0;
    if (leaf->op == OCHRE_FILTER_CONTAINS || leaf->op == OCHRE_FILTER_NOT_CONTAINS) {
        types[0] = (ochre_value_type) (type + to_list);
        return 1;
    }
    types[0] = number ? OCHRE_VALUE_INT : (ochre_value_type) type;
    types[1] = OCHRE_VALUE_FLOAT;
    return number ? 2 : 1;
}

static bool
is_negative(const struct och_columns_leaf *leaf)
{
    return leaf->op == OCHRE_FILTER_NE || leaf->op == OCHRE_FILTER_NOT_IN ||
            leaf->op == OCHRE_FILTER_NOT_CONTAINS;
}

/* The rows of the leaf's positive: put into `rows`, or only counted when it is NULL. */
static ochre_status
evaluate(const struct och_columns *columns, const struct och_columns_leaf *leaf,
        struct och_bitset *rows, uint64_t *count_out, struct ochre_error *err)
{
    ochre_value_type types[2];
    unsigned n_types = types_of(leaf, types);
    *count_out = 0;
    for (unsigned i = 0; i < n_types; i++) {
        struct reading r = {.columns = columns,
                .words = rows == NULL ? NULL : rows->words,
                .status = OCHRE_OK,
                .err = err};
        if (!find_column(columns, leaf->key, types[i], &r.column))
            continue;
        if ((r.column.flags & OCH_COLUMN_LEFT_OUT) != 0)
            return och_fail(err, OCHRE_UNSUPPORTED, "the index of metadata has no such column");
        och_column_find_parts(&r.column, columns->n_rows, &r.parts);
        take_leaf(&r, leaf);
        if (r.status != OCHRE_OK)
            return r.status;
        *count_out += r.n_found;
    }
    return OCHRE_OK;
}

ochre_status
och_columns_rows(const struct och_columns *columns, const struct och_columns_leaf *leaf,
        struct och_bitset *rows, struct ochre_error *err)
{
    if (och_bitset_reserve(rows, columns->n_rows) != OCHRE_OK)
        return och_fail_memory(err);
    uint64_t count;
    ochre_status status = evaluate(columns, leaf, rows, &count, err);
    if (status == OCHRE_OK && is_negative(leaf))
        och_bitset_complement(rows, columns->n_rows);
    return status;
}

ochre_status
och_columns_count(const struct och_columns *columns, const struct och_columns_leaf *leaf,
        uint64_t *count_out, struct ochre_error *err)
{
    ochre_status status = evaluate(columns, leaf, NULL, count_out, err);
    if (*count_out > columns->n_rows)
        *count_out = columns->n_rows; /* damaged counts, past every checksum */
    if (status == OCHRE_OK && is_negative(leaf))
        *count_out = columns->n_rows - *count_out;
    return status;
}
