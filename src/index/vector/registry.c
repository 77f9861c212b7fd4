#include <string.h>

#include "index/vector/flat.h"
#include "index/vector/graph.h"
#include "index/vector/index.h"

static const struct och_vector_index_kind *const kinds[] = {
        &och_flat_kind,
        &och_graph_kind,
};

const struct och_vector_index_kind *
och_vector_index_find(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    }
    return NULL;
}

void
och_vector_index_close(struct och_vector_index *index)
{
    if (index != NULL)
        index->kind->close(index);
}

ochre_status
och_vector_index_search(const struct och_vector_index *index,
        const struct och_vector_search *search, struct och_topk *best, struct och_vector_work *work,
        struct ochre_error *err)
{
    return index->kind->search(index, search, best, work, err);
}
