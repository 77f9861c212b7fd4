#include "unit/index/naive_match.h"

#include <assert.h>
#include <float.h>
#include <stddef.h>

#include "unit/index/random_metadata.h"

/* Wide enough for every int64 and every double, so nothing is rounded. */
static_assert(LDBL_MANT_DIG >= 64, "the model compares numbers exactly");

static bool
is_number(const struct ochre_value *value)
{
    return value->type == OCHRE_VALUE_INT || value->type == OCHRE_VALUE_FLOAT;
}

static long double
number_of(const struct ochre_value *value)
{
    return value->type == OCHRE_VALUE_INT ? (long double) value->as.integer
                                          : (long double) value->as.number;
}

static bool
equal(const struct ochre_value *a, const struct ochre_value *b)
{
    if (is_number(a) && is_number(b))
        return number_of(a) == number_of(b);
    bool scalar = a->type == OCHRE_VALUE_BOOL || a->type == OCHRE_VALUE_STRING;
    return scalar && same_value(a, b);
}

static struct ochre_value
member(const struct ochre_value *list, uint32_t i)
{
    struct ochre_value value = {.type = (ochre_value_type) (list->type - 4)};
    if (list->type == OCHRE_VALUE_BOOL_LIST)
        value.as.boolean = list->as.booleans[i];
    else if (list->type == OCHRE_VALUE_INT_LIST)
        value.as.integer = list->as.integers[i];
    else if (list->type == OCHRE_VALUE_FLOAT_LIST)
        value.as.number = list->as.numbers[i];
    else
        value.as.string = list->as.strings[i];
    return value;
}

static bool
is_in(const struct ochre_value *value, const struct ochre_value *list)
{
    for (uint32_t i = 0; i < list->n; i++) {
        struct ochre_value one = member(list, i);
        if (equal(value, &one))
            return true;
    }
    return false;
}

static bool
holds(const struct ochre_value *list, const struct ochre_value *operand)
{
    if (list->type < OCHRE_VALUE_BOOL_LIST)
        return false;
    for (uint32_t i = 0; i < list->n; i++) {
        struct ochre_value one = member(list, i);
        if (same_value(&one, operand))
            return true;
    }
    return false;
}

bool
naive_matches(
        const struct ochre_value *value, ochre_filter_op op, const struct ochre_value *operand)
{
    bool both = value != NULL && is_number(value) && is_number(operand);
    switch (op) {
    case OCHRE_FILTER_EQ:
        return value != NULL && equal(value, operand);
    case OCHRE_FILTER_NE:
        return !naive_matches(value, OCHRE_FILTER_EQ, operand);
    case OCHRE_FILTER_GT:
        return both && number_of(value) > number_of(operand);
    case OCHRE_FILTER_GTE:
        return both && number_of(value) >= number_of(operand);
    case OCHRE_FILTER_LT:
        return both && number_of(value) < number_of(operand);
    case OCHRE_FILTER_LTE:
        return both && number_of(value) <= number_of(operand);
    case OCHRE_FILTER_IN:
        return value != NULL && is_in(value, operand);
    case OCHRE_FILTER_NOT_IN:
        return !naive_matches(value, OCHRE_FILTER_IN, operand);
    case OCHRE_FILTER_CONTAINS:
        return value != NULL && holds(value, operand);
    case OCHRE_FILTER_NOT_CONTAINS:
        return !naive_matches(value, OCHRE_FILTER_CONTAINS, operand);
    case OCHRE_FILTER_AND:
    case OCHRE_FILTER_OR:
    case OCHRE_FILTER_REGEX:
    case OCHRE_FILTER_NOT_REGEX:
        break;
    }
    return false;
}
