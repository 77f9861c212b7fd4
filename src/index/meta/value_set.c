#include "index/meta/value_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "index/meta/compare.h"

/* Two scalars of the same type. */
static int
compare_scalars(const void *left, const void *right)
{
    const struct ochre_value *a = left;
    const struct ochre_value *b = right;
    if (a->type == OCHRE_VALUE_BOOL)
        return (int) a->as.boolean - (int) b->as.boolean;
    if (a->type == OCHRE_VALUE_INT)
        return (a->as.integer > b->as.integer) - (a->as.integer < b->as.integer);
    if (a->type == OCHRE_VALUE_FLOAT)
        return (a->as.number > b->as.number) - (a->as.number < b->as.number);
    return och_compare_bytes(a->as.string, b->as.string);
}

ochre_status
och_value_set_make(
        struct och_arena *arena, const struct ochre_value *list, struct och_value_set *set_out)
{
    set_out->n = list->n;
    set_out->items = och_arena_take_array(arena, list->n, sizeof(*set_out->items));
    if (set_out->items == NULL)
        return OCHRE_NO_MEMORY;
    for (uint32_t i = 0; i < list->n; i++)
        set_out->items[i] = och_value_element(list, i);
    qsort(set_out->items, list->n, sizeof(*set_out->items), compare_scalars);
    return OCHRE_OK;
}

bool
och_value_set_has(const struct och_value_set *set, const struct och_field_view *value)
{
    uint32_t low = 0;
    uint32_t high = set->n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order;
        if (!och_value_compare(value, &set->items[middle], &order))
            return false; /* another world than all members */
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}
