/*
 * fuzz_columns.c - an index of metadata, damaged, or made of what the input says.
 *
 * The input's first byte chooses.  Damage: one of two indexes, made once, has bytes
 * overwritten or is cut, and is asked a leaf: an error, or rows that are there; with
 * no damage, exactly the rows that och_value_matches says.  Meanwhile its bytes may
 * fail to be read, or memory may run out, as the last byte says.  Making: the input is rows
 * of encoded fields; those that are well-formed are indexed, and each of their values
 * is asked for with every operator.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/bitset.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "index/meta/columns.h"
#include "index/meta/columns_build.h"
#include "index/meta/compare.h"
#include "index/meta/fields.h"
#include "index/meta/value_set.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS_MAX = 20010, MADE_MAX = 200 };

struct table {
    uint32_t n_rows;
    struct ochre_bytes *fields; /* [n_rows] */
    struct och_buf bytes;
};

/* Made in the first run, and never changed: few rows with values of every type, and
 * enough rows for marks and bitmaps. */
static struct {
    bool is_made;
    struct och_mem mem;
    struct och_arena arena;
    struct table tables[2];
} made;

static const char *const keys[] = {"a", "b", "cc", "", "zz"};
enum { N_KEYS = 5 };

/* --- making ------------------------------------------------------------------------- */

static ochre_status
read_fields(void *context, uint32_t row, struct ochre_bytes *fields_out, struct ochre_error *err)
{
    const struct table *table = context;
    (void) err;
    *fields_out = table->fields[row];
    return OCHRE_OK;
}

static ochre_status
put_bytes(void *context, const void *bytes, size_t size, struct ochre_error *err)
{
    struct table *table = context;
    (void) err;
    och_buf_put(&table->bytes, bytes, size);
    return och_buf_status(&table->bytes);
}

static void
build(struct table *table, struct och_mem *mem)
{
    struct och_columns_build build = {.mem = mem,
            .n_rows = table->n_rows,
            .seed = 1,
            .batch = 50,
            .entries_max = OCH_COLUMN_ENTRIES_MAX,
            .text_max = OCH_COLUMN_TEXT_MAX,
            .fields = read_fields,
            .put = put_bytes,
            .context = table};
    och_buf_init(&table->bytes, mem, SIZE_MAX / 2);
    och_assert(och_columns_build(&build, NULL) == OCHRE_OK);
}

/* Some value of a type: few of each, so that they meet again. */
static struct ochre_value
some_value(struct och_arena *arena, uint64_t seed, ochre_value_type type)
{
    static const char *const strings[] = {"", "x", "xy", "a longer string", "a longer strinG"};
    static const double numbers[] = {0, -1.5, 3, 9007199254740992.0, 9223372036854775808.0};
    static const int64_t integers[] = {0, 3, INT64_MAX, INT64_MIN, INT64_C(9007199254740993)};
    uint32_t n = 1 + (uint32_t) och_random_below(&seed, 5);
    bool *booleans = och_arena_take_array(arena, n, sizeof(*booleans));
    int64_t *ints = och_arena_take_array(arena, n, sizeof(*ints));
    double *floats = och_arena_take_array(arena, n, sizeof(*floats));
    struct ochre_bytes *texts = och_arena_take_array(arena, n, sizeof(*texts));
    och_assert(booleans != NULL && ints != NULL && floats != NULL && texts != NULL);
    for (uint32_t i = 0; i < n; i++) {
        const char *string = strings[och_random_below(&seed, 5)];
        booleans[i] = och_random_below(&seed, 2) != 0;
        ints[i] = integers[och_random_below(&seed, 5)];
        floats[i] = numbers[och_random_below(&seed, 5)];
        texts[i] = (struct ochre_bytes){string, strlen(string)};
    }
    struct ochre_value value = {.type = type, .n = n};
    switch (type) {
    case OCHRE_VALUE_NULL:
        break;
    case OCHRE_VALUE_BOOL:
        value.as.boolean = booleans[0];
        break;
    case OCHRE_VALUE_INT:
        value.as.integer = ints[0];
        break;
    case OCHRE_VALUE_FLOAT:
        value.as.number = floats[0];
        break;
    case OCHRE_VALUE_STRING:
        value.as.string = texts[0];
        break;
    case OCHRE_VALUE_BOOL_LIST:
        value.as.booleans = booleans;
        break;
    case OCHRE_VALUE_INT_LIST:
        value.as.integers = ints;
        break;
    case OCHRE_VALUE_FLOAT_LIST:
        value.as.numbers = floats;
        break;
    case OCHRE_VALUE_STRING_LIST:
        value.as.strings = texts;
        break;
    }
    return value;
}

static struct ochre_bytes
key_number(size_t i)
{
    return (struct ochre_bytes){keys[i % N_KEYS], strlen(keys[i % N_KEYS])};
}

static struct ochre_bytes
encode(const struct ochre_metadata *metadata)
{
    struct och_buf buf;
    och_buf_init(&buf, &made.mem, SIZE_MAX / 2);
    och_assert(och_fields_encode(&buf, &made.arena, metadata, false) == OCHRE_OK);
    struct ochre_bytes bytes = {och_arena_copy(&made.arena, buf.data, buf.size), buf.size};
    och_assert(bytes.data != NULL);
    och_buf_clear(&buf);
    return bytes;
}

static void
make_tables(void)
{
    och_mem_init(&made.mem, NULL);
    och_arena_init(&made.arena, &made.mem);
    static const uint32_t sizes[] = {90, ROWS_MAX};
    for (unsigned t = 0; t < 2; t++) {
        struct table *table = &made.tables[t];
        table->n_rows = sizes[t];
        table->fields = och_arena_take_array(&made.arena, table->n_rows, sizeof(*table->fields));
        och_assert(table->fields != NULL);
        for (uint32_t row = 0; row < table->n_rows; row++) {
            struct ochre_field fields[3];
            uint64_t seed = row;
            for (size_t i = 0; i < 3; i++) {
                ochre_value_type type =
                        (ochre_value_type) (1 + och_random_below(&seed, OCHRE_VALUE_STRING_LIST));
                fields[i] = (struct ochre_field){
                        key_number(i), some_value(&made.arena, och_random(&seed), type)};
            }
            if (t == 1) {
                fields[0].value = (struct ochre_value){
                        .type = OCHRE_VALUE_INT, .as.integer = (int64_t) row * 7 % ROWS_MAX};
                fields[1].value =
                        (struct ochre_value){.type = OCHRE_VALUE_BOOL, .as.boolean = row % 3 == 0};
            }
            table->fields[row] = encode(&(struct ochre_metadata){fields, t == 1 ? 2 : 3});
        }
        build(table, &made.mem);
    }
    made.is_made = true;
}

/* What may fail, so many calls from now; 0: nothing. */
static unsigned touches_left;

static ochre_status
touch(void *context, uint64_t offset, uint64_t size, struct ochre_error *err)
{
    const uint64_t *length = context;
    (void) err;
    och_assert(size > 0 && offset <= *length && size <= *length - offset);
    return touches_left > 0 && --touches_left == 0 ? OCHRE_IO : OCHRE_OK;
}

/* --- asking ------------------------------------------------------------------------- */

static bool
row_matches(struct ochre_bytes fields, const struct och_columns_leaf *leaf)
{
    struct och_field_view view;
    bool found = och_fields_find(fields, leaf->key, &view);
    return och_value_matches(found ? &view : NULL, leaf->op, leaf->value);
}

static bool
is_expected(ochre_status status, bool exact)
{
    return status == OCHRE_OK || status == OCHRE_UNSUPPORTED ||
            (!exact &&
                    (status == OCHRE_CORRUPT || status == OCHRE_IO || status == OCHRE_NO_MEMORY));
}

/* Ask one leaf; `exact` when the bytes are those of the rows. */
static void
ask(struct och_mem *mem, const struct table *table, const struct och_columns *columns,
        const struct och_columns_leaf *leaf, bool exact)
{
    struct och_bitset rows;
    uint64_t count = 0;
    och_bitset_init(&rows, mem);
    ochre_status status = och_columns_rows(columns, leaf, &rows, NULL);
    ochre_status counted = och_columns_count(columns, leaf, &count, NULL);
    och_assert(is_expected(status, exact) && is_expected(counted, exact));
    och_assert(!exact || status == counted);
    if (status == OCHRE_OK)
        och_assert(och_bitset_next(&rows, table->n_rows) == OCH_ROW_NONE);
    if (counted == OCHRE_OK)
        och_assert(count <= table->n_rows);
    if (exact && status == OCHRE_OK) {
        och_assert(count == och_bitset_count(&rows));
        for (uint32_t row = 0; row < table->n_rows; row++)
            och_assert(och_bitset_has(&rows, row) == row_matches(table->fields[row], leaf));
    }
    och_bitset_clear(&rows);
}

/* A leaf of two bytes: an operator, and a key and an operand of a type that it takes. */
static void
ask_some(struct och_mem *mem, const struct table *table, const struct och_columns *columns,
        const uint8_t *data, bool exact)
{
    struct och_arena arena;
    struct och_mem plenty;
    struct och_value_set set = {.items = NULL};
    och_mem_init(&plenty, NULL);
    och_arena_init(&arena, &plenty);
    ochre_filter_op op = (ochre_filter_op) (OCHRE_FILTER_EQ + data[0] % 10);
    uint64_t type = 1 + (data[0] / 16) % 4;
    if (op == OCHRE_FILTER_IN || op == OCHRE_FILTER_NOT_IN)
        type += 4;
    struct ochre_value value = some_value(&arena, data[1] / N_KEYS, (ochre_value_type) type);
    if (value.type == OCHRE_VALUE_INT && data[1] >= 128)
        value.as.integer = (int64_t) data[1] * data[0] % ROWS_MAX;
    struct och_columns_leaf leaf = {.op = op, .key = key_number(data[1]), .value = &value};
    if (type > 4) {
        och_assert(och_value_set_make(&arena, &value, &set) == OCHRE_OK);
        leaf.set = &set;
    }
    ask(mem, table, columns, &leaf, exact);
    och_arena_clear(&arena);
}

/* --- the two kinds of runs ---------------------------------------------------------- */

static void
run_damage(struct och_mem *mem, const uint8_t *data, size_t size)
{
    const struct table *table = &made.tables[data[0] >> 1 & 1];
    bool cut = (data[0] & 4) != 0 && size >= 5;
    size_t length = table->bytes.size;
    if (cut)
        length -= ((size_t) data[3] << 8 | data[4]) % length;
    /* Exactly so many bytes, so that a step outside is seen. */
    char *bytes = och_mem_take(mem, length);
    och_assert(bytes != NULL);
    memcpy(bytes, table->bytes.data, length);
    size_t n_damaged = 0;
    for (size_t at = cut ? 5 : 3; at + 4 <= size; at += 4, n_damaged++) {
        /* Half of them aim at the directory, where it is dense. */
        size_t offset = (size_t) data[at] << 16 | (size_t) data[at + 1] << 8 | data[at + 2];
        offset = (data[at] & 0x80) != 0 ? length - 1 - (offset & 0x3ff) % length : offset % length;
        bytes[offset] = (char) data[at + 3];
    }
    struct och_columns columns;
    uint64_t room = length;
    struct och_columns_source source = {
            .bytes = bytes, .size = length, .touch = touch, .context = &room};
    bool fails = (data[0] & 24) != 0;
    touches_left = (data[0] & 8) != 0 ? 1u + data[size - 1] : 0;
    ochre_status status = och_columns_open(&columns, &source, table->n_rows, NULL);
    bool exact = n_damaged == 0 && length == table->bytes.size && !fails;
    och_assert(status == OCHRE_OK || (status == OCHRE_CORRUPT && !exact) ||
            (status == OCHRE_IO && fails));
    if ((data[0] & 16) != 0)
        mem->fail_at = mem->n_grants + 1 + data[size - 1] % 8;
    if (status == OCHRE_OK)
        ask_some(mem, table, &columns, data + 1, exact);
    och_mem_release(mem, bytes, length);
}

/* The operand that equals a field's value, or the i-th member of its list. */
static bool
operand_of(const struct och_field_view *field, struct ochre_value *value_out)
{
    *value_out = (struct ochre_value){.type = field->type};
    if (field->type >= OCHRE_VALUE_BOOL_LIST)
        value_out->type = (ochre_value_type) (field->type - 4);
    const char *data = field->value;
    size_t size = field->value_size;
    if (field->type == OCHRE_VALUE_STRING_LIST && size > 0) {
        size = och_load_u32(data);
        data += sizeof(uint32_t);
    }
    if (value_out->type == OCHRE_VALUE_STRING) {
        value_out->as.string = (struct ochre_bytes){data, size};
        return true;
    }
    if (value_out->type == OCHRE_VALUE_NULL || size == 0)
        return false;
    if (value_out->type == OCHRE_VALUE_BOOL)
        value_out->as.boolean = *data != 0;
    else if (value_out->type == OCHRE_VALUE_INT)
        value_out->as.integer = (int64_t) och_load_u64(data);
    else
        memcpy(&value_out->as.number, data, sizeof(double));
    /* A filter has no operand that is not a number. */
    return value_out->type != OCHRE_VALUE_FLOAT || value_out->as.number == value_out->as.number;
}

static void
ask_all(struct och_mem *mem, const struct table *table, const struct och_columns *columns)
{
    for (uint32_t row = 0; row < table->n_rows && row < 6; row++) {
        struct och_fields_cursor cursor = och_fields_begin(table->fields[row]);
        struct och_field_view field;
        for (int i = 0; i < 6 && och_fields_next(&cursor, &field); i++) {
            struct ochre_value value;
            if (!operand_of(&field, &value))
                continue;
            struct och_columns_leaf leaf = {.key = field.key, .value = &value};
            for (int op = OCHRE_FILTER_EQ; op <= OCHRE_FILTER_NOT_CONTAINS; op++) {
                leaf.op = (ochre_filter_op) op;
                if (leaf.op != OCHRE_FILTER_IN && leaf.op != OCHRE_FILTER_NOT_IN)
                    ask(mem, table, columns, &leaf, true);
            }
        }
    }
}

/* Rows of a length each, 255 for none. */
static void
run_making(struct och_mem *mem, const uint8_t *data, size_t size)
{
    static struct ochre_bytes fields[MADE_MAX];
    struct table table = {.fields = fields};
    for (size_t at = 0; at < size && table.n_rows < MADE_MAX;) {
        struct ochre_bytes row = {NULL, 0};
        size_t length = data[at++];
        if (length != 255 && length <= size - at) {
            row = (struct ochre_bytes){(const char *) data + at, length};
            at += length;
        }
        if (och_fields_are_valid(row))
            fields[table.n_rows++] = row;
    }
    build(&table, mem);
    struct och_columns columns;
    struct och_columns_source source = {.bytes = table.bytes.data, .size = table.bytes.size};
    och_assert(och_columns_open(&columns, &source, table.n_rows, NULL) == OCHRE_OK);
    ask_all(mem, &table, &columns);
    och_buf_clear(&table.bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    if (!made.is_made)
        make_tables();
    struct och_mem mem;
    och_mem_init(&mem, NULL);
    if ((data[0] & 1) != 0)
        run_making(&mem, data + 1, size - 1);
    else
        run_damage(&mem, data, size);
    och_assert(och_mem_used(&mem) == 0);
    return 0;
}
