/*
 * fuzz_where.c - both filters of a request: {"where": ..., "where_document": ...}.
 *
 * A filter that is built has nodes whose sizes add up, as whoever walks them
 * relies on.  Short of memory (shortage.h), it is built all the same or refused
 * for that.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/json.h"
#include "base/mem.h"
#include "fuzz/shortage.h"
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

/* Build the filter in a fresh arena that runs short; how many nodes it has. */
static ochre_status
build(const struct och_json *root, struct shortage shortage, size_t *n_nodes_out)
{
    struct och_mem mem;
    struct och_arena arena;
    struct ochre_filter filter;
    struct ochre_error err = {.status = OCHRE_OK};
    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    fuzz_run_short(shortage, &arena);
    ochre_status status = och_wire_filter(&arena, och_json_get(root, "where"),
            och_json_get(root, "where_document"), &filter, &err);
    och_assert(status == OCHRE_OK || (filter.n_nodes == 0 && err.status == status));
    check_filter(&filter);
    *n_nodes_out = filter.n_nodes;
    och_arena_clear(&arena);
    och_assert(och_mem_used(&mem) == 0);
    return status;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct och_mem mem;
    struct och_arena arena;
    struct och_json *root = NULL;
    struct ochre_bytes text;
    struct shortage shortage = fuzz_shortage(data, size, &text);

    och_mem_init(&mem, NULL);
    och_arena_init(&arena, &mem);
    if (och_json_parse(&arena, text.data, text.size, &root, NULL) == OCHRE_OK) {
        size_t n, n_short;
        ochre_status status = build(root, (struct shortage){SHORTAGE_NONE, 0}, &n);
        ochre_status again = build(root, shortage, &n_short);
        och_assert(status == OCHRE_OK || status == OCHRE_INVALID);
        if (shortage.kind == SHORTAGE_NONE || again != OCHRE_NO_MEMORY)
            och_assert(again == status && n_short == n);
    }
    och_arena_clear(&arena);
    och_assert(och_mem_used(&mem) == 0);
    return 0;
}
