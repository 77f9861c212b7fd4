/*
 * fuzz_where.c - both filters of a request: {"where": ..., "where_document": ...}.
 *
 * A filter that is built has nodes whose sizes add up, as whoever walks them
 * relies on.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/mem.h"
#include "wire/json_where.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Does each node end within the one it is in, and each leaf have a value? */
static void
check_filter(const struct ochre_filter *filter)
{
    size_t ends[OCH_JSON_DEPTH_MAX + 1];
    unsigned depth = 0;
    ends[depth++] = filter->n_nodes;
    for (size_t i = 0; i < filter->n_nodes; i++) {
        const struct ochre_filter_node *node = &filter->nodes[i];
        bool is_leaf = node->op != OCHRE_FILTER_AND && node->op != OCHRE_FILTER_OR;
        while (i == ends[depth - 1])
            depth--;
        och_assert(node->size >= 1 && i + node->size <= ends[depth - 1]);
        och_assert(!is_leaf || (node->size == 1 && node->value.type != OCHRE_VALUE_NULL));
        och_assert(node->value.type < OCHRE_VALUE_BOOL_LIST || node->value.n > 0);
        if (!is_leaf && node->size > 1)
            ends[depth++] = i + node->size;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct och_mem mem;
    struct och_arena arena;
    struct och_json *root = NULL;
    struct ochre_filter filter;
    struct ochre_error err = {.status = OCHRE_OK};

    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    if (och_json_parse(&arena, (const char *) data, size, &root, &err) == OCHRE_OK) {
        ochre_status status = och_wire_filter(&arena, och_json_get(root, "where"),
                och_json_get(root, "where_document"), &filter, &err);
        och_assert(status == OCHRE_OK || status == OCHRE_INVALID);
        och_assert(status == OCHRE_OK || filter.n_nodes == 0);
        check_filter(&filter);
    }
    och_arena_clear(&arena);
    och_assert(och_mem_used(&mem) == 0);
    return 0;
}
