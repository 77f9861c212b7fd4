#include "index/meta/compare.h"

#include <math.h>
#include <string.h>

#include "base/buf.h"

/* 2^63, the first double above every int64. */
#define TWO_63 9223372036854775808.0

int
och_compare_int_float(int64_t a, double b)
{
    if (b >= TWO_63)
        return -1;
    if (b < -TWO_63)
        return 1;
    /* Now b's whole part is an int64, so the comparison splits exactly in two. */
    double whole = floor(b);
    int64_t b_whole = (int64_t) whole;
    if (a != b_whole)
        return a < b_whole ? -1 : 1;
    return b > whole ? -1 : 0;
}

static int
compare_floats(double a, double b)
{
    return (a > b) - (a < b);
}

static bool
is_number(ochre_value_type type)
{
    return type == OCHRE_VALUE_INT || type == OCHRE_VALUE_FLOAT;
}

static double
load_f64(const char *bytes)
{
    double number;
    memcpy(&number, bytes, sizeof(number));
    return number;
}

/* A number in a record against a number in a filter. */
static int
compare_numbers(const struct och_field_view *value, const struct ochre_value *operand)
{
    if (value->type == OCHRE_VALUE_INT) {
        int64_t a = (int64_t) och_load_u64(value->value);
        if (operand->type == OCHRE_VALUE_INT)
            return (a > operand->as.integer) - (a < operand->as.integer);
        return och_compare_int_float(a, operand->as.number);
    }
    double a = load_f64(value->value);
    if (operand->type == OCHRE_VALUE_INT)
        return -och_compare_int_float(operand->as.integer, a);
    return compare_floats(a, operand->as.number);
}

static bool
same_bytes(const char *a, size_t a_size, struct ochre_bytes b)
{
    return a_size == b.size && (a_size == 0 || memcmp(a, b.data, a_size) == 0);
}

/* Equality of a scalar value with a scalar operand. */
static bool
equals(const struct och_field_view *value, const struct ochre_value *operand)
{
    if (is_number(value->type) && is_number(operand->type))
        return compare_numbers(value, operand) == 0;
    if (value->type != operand->type)
        return false;
    if (value->type == OCHRE_VALUE_BOOL)
        return (*value->value != 0) == operand->as.boolean;
    if (value->type == OCHRE_VALUE_STRING)
        return same_bytes(value->value, value->value_size, operand->as.string);
    return false;
}

struct ochre_value
och_value_element(const struct ochre_value *list, uint32_t i)
{
    struct ochre_value scalar = {.type = OCHRE_VALUE_NULL};
    switch (list->type) {
    case OCHRE_VALUE_BOOL_LIST:
        scalar.type = OCHRE_VALUE_BOOL;
        scalar.as.boolean = list->as.booleans[i];
        break;
    case OCHRE_VALUE_INT_LIST:
        scalar.type = OCHRE_VALUE_INT;
        scalar.as.integer = list->as.integers[i];
        break;
    case OCHRE_VALUE_FLOAT_LIST:
        scalar.type = OCHRE_VALUE_FLOAT;
        scalar.as.number = list->as.numbers[i];
        break;
    case OCHRE_VALUE_STRING_LIST:
        scalar.type = OCHRE_VALUE_STRING;
        scalar.as.string = list->as.strings[i];
        break;
    case OCHRE_VALUE_NULL:
    case OCHRE_VALUE_BOOL:
    case OCHRE_VALUE_INT:
    case OCHRE_VALUE_FLOAT:
    case OCHRE_VALUE_STRING:
        break;
    }
    return scalar;
}

int
och_compare_bytes(struct ochre_bytes a, struct ochre_bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0)
        return order < 0 ? -1 : 1;
    return (a.size > b.size) - (a.size < b.size);
}

bool
och_value_compare(
        const struct och_field_view *value, const struct ochre_value *operand, int *order_out)
{
    if (is_number(value->type) && is_number(operand->type)) {
        *order_out = compare_numbers(value, operand);
        return true;
    }
    if (value->type != operand->type)
        return false;
    if (value->type == OCHRE_VALUE_BOOL) {
        *order_out = (*value->value != 0) - (int) operand->as.boolean;
        return true;
    }
    if (value->type != OCHRE_VALUE_STRING)
        return false;
    *order_out = och_compare_bytes(
            (struct ochre_bytes){value->value, value->value_size}, operand->as.string);
    return true;
}

static bool
is_in(const struct och_field_view *value, const struct ochre_value *list)
{
    for (uint32_t i = 0; i < list->n; i++) {
        struct ochre_value scalar = och_value_element(list, i);
        if (equals(value, &scalar))
            return true;
    }
    return false;
}

/* Does the list in the record hold the operand, type for type? */
static bool
list_has(const struct och_field_view *value, const struct ochre_value *operand)
{
    const char *next = value->value;
    const char *end = value->value + value->value_size;
    switch (value->type) {
    case OCHRE_VALUE_BOOL_LIST:
        if (operand->type != OCHRE_VALUE_BOOL)
            return false;
        for (; next < end; next++)
            if ((*next != 0) == operand->as.boolean)
                return true;
        return false;
    case OCHRE_VALUE_INT_LIST:
        if (operand->type != OCHRE_VALUE_INT)
            return false;
        for (; next < end; next += 8)
            if ((int64_t) och_load_u64(next) == operand->as.integer)
                return true;
        return false;
    case OCHRE_VALUE_FLOAT_LIST:
        if (operand->type != OCHRE_VALUE_FLOAT)
            return false;
        for (; next < end; next += 8)
            if (compare_floats(load_f64(next), operand->as.number) == 0)
                return true;
        return false;
    case OCHRE_VALUE_STRING_LIST:
        if (operand->type != OCHRE_VALUE_STRING)
            return false;
        while (next < end) {
            uint32_t size = och_load_u32(next);
            if (same_bytes(next + sizeof(uint32_t), size, operand->as.string))
                return true;
            next += sizeof(uint32_t) + size;
        }
        return false;
    case OCHRE_VALUE_NULL:
    case OCHRE_VALUE_BOOL:
    case OCHRE_VALUE_INT:
    case OCHRE_VALUE_FLOAT:
    case OCHRE_VALUE_STRING:
        return false;
    }
    return false;
}

static bool
in_range(const struct och_field_view *value, ochre_filter_op op, const struct ochre_value *operand)
{
    if (!is_number(value->type) || !is_number(operand->type))
        return false;
    int order = compare_numbers(value, operand);
    if (op == OCHRE_FILTER_GT)
        return order > 0;
    if (op == OCHRE_FILTER_GTE)
        return order >= 0;
    if (op == OCHRE_FILTER_LT)
        return order < 0;
    return order <= 0;
}

bool
och_value_matches(
        const struct och_field_view *value, ochre_filter_op op, const struct ochre_value *operand)
{
    switch (op) {
    case OCHRE_FILTER_EQ:
        return value != NULL && equals(value, operand);
    case OCHRE_FILTER_NE:
        return value == NULL || !equals(value, operand);
    case OCHRE_FILTER_GT:
    case OCHRE_FILTER_GTE:
    case OCHRE_FILTER_LT:
    case OCHRE_FILTER_LTE:
        return value != NULL && in_range(value, op, operand);
    case OCHRE_FILTER_IN:
        return value != NULL && is_in(value, operand);
    case OCHRE_FILTER_NOT_IN:
        return value == NULL || !is_in(value, operand);
    case OCHRE_FILTER_CONTAINS:
        return value != NULL && list_has(value, operand);
    case OCHRE_FILTER_NOT_CONTAINS:
        return value == NULL || !list_has(value, operand);
    case OCHRE_FILTER_AND:
    case OCHRE_FILTER_OR:
    case OCHRE_FILTER_REGEX:
    case OCHRE_FILTER_NOT_REGEX:
        break;
    }
    och_assert(op == OCHRE_FILTER_EQ); /* no other operator looks at a metadata value */
    return false;
}

bool
och_string_matches(struct ochre_bytes string, ochre_filter_op op, const struct ochre_value *operand)
{
    struct och_field_view view = {
            .type = OCHRE_VALUE_STRING, .value = string.data, .value_size = (uint32_t) string.size};
    return och_value_matches(&view, op, operand);
}
