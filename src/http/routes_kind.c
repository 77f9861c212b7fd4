#include "http/routes_kind.h"

#include <string.h>

#include "base/hash.h"
#include "http/router.h"

/* Everything that is hashed; without gaps. */
struct shape {
    struct och_uuid collection;
    uint64_t filter;
    uint8_t verb;
    uint8_t include;
    uint8_t flags;
    uint8_t ids;     /* powers of two, as are those below */
    uint8_t limit;   /* of a get; n_results of a query */
    uint8_t offset;  /* of a get */
    uint8_t queries; /* of a query, as are those below */
    uint8_t effort;
    float recall_target;
    uint32_t zero;
};

static_assert(sizeof(struct shape) == 40, "there are no gaps");

enum { VERB_GET, VERB_QUERY };
enum { HAS_IDS = 1, IS_EXACT = 2, IS_EXPLAINED = 4, IS_PAST = 8, IS_PAGE = 16 };

static uint8_t
power_of(uint64_t number)
{
    return number == 0 ? 0 : (uint8_t) (64 - __builtin_clzll(number));
}

/* The filter without its values.  False: it looks at documents. */
static bool
hash_filter(const struct ochre_filter *filter, uint64_t *hash_out)
{
    uint64_t hash = filter->n_nodes;
    for (size_t i = 0; i < filter->n_nodes; i++) {
        const struct ochre_filter_node *node = &filter->nodes[i];
        bool is_leaf = node->op != OCHRE_FILTER_AND && node->op != OCHRE_FILTER_OR;
        if (is_leaf && node->field == OCHRE_FIELD_DOCUMENT)
            return false;
        uint64_t parts[2] = {(uint64_t) node->op << 32 | node->size, 0};
        if (is_leaf)
            parts[1] = (uint64_t) node->field << 32 | (uint64_t) node->value.type << 8 |
                    power_of(node->value.n);
        hash = och_hash64_seeded(parts, sizeof(parts), hash);
        if (is_leaf && node->key.size > 0)
            hash = och_hash64_seeded(node->key.data, node->key.size, hash);
    }
    *hash_out = hash;
    return true;
}

/* What both verbs have. */
static bool
shape_of_select(const struct och_select_input *select, struct shape *shape)
{
    if (select->deferred.status != OCHRE_OK || !hash_filter(&select->filter, &shape->filter))
        return false;
    shape->flags |= select->has_ids ? HAS_IDS : 0;
    shape->ids = power_of(select->n_ids);
    return true;
}

static uint64_t
kind_of(const struct shape *shape)
{
    uint64_t hash = och_hash64(shape, sizeof(*shape));
    return hash <= OCH_HTTP_KIND_SHORT ? hash + 2 : hash; /* those two mean something else */
}

uint64_t
och_kind_of_get(const struct och_uuid *collection, const struct och_wire_get *get)
{
    const struct och_get_input *input = &get->input;
    struct shape shape = {.collection = *collection,
            .verb = VERB_GET,
            .include = (uint8_t) get->include.mask,
            .flags =
                    (uint8_t) ((input->as_of != NULL ? IS_PAST : 0) | (input->pages ? IS_PAGE : 0)),
            .limit = power_of(input->limit),
            .offset = power_of(input->offset)};
    return shape_of_select(&input->select, &shape) ? kind_of(&shape) : OCH_HTTP_KIND_NONE;
}

uint64_t
och_kind_of_query(const struct och_uuid *collection, const struct och_wire_query *query)
{
    const struct och_query_input *input = &query->input;
    struct shape shape = {.collection = *collection,
            .verb = VERB_QUERY,
            .include = (uint8_t) query->include.mask,
            .flags = (uint8_t) ((input->exact ? IS_EXACT : 0) |
                    (input->explain ? IS_EXPLAINED : 0) | (input->as_of != NULL ? IS_PAST : 0)),
            .limit = power_of(input->k),
            .queries = power_of(input->n_queries),
            .effort = power_of(input->effort),
            .recall_target = input->recall_target};
    return shape_of_select(&input->select, &shape) ? kind_of(&shape) : OCH_HTTP_KIND_NONE;
}
