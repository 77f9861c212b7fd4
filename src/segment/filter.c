#include "segment/filter.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "index/meta/value_set.h"
#include "index/text/regex.h"
#include "segment/leaf.h"
#include "segment/source.h"

/* The wire nests at most 127 levels; the C API is held to the same. */
#define DEPTH_MAX 128u

static bool
is_group(const struct ochre_filter_node *node)
{
    return node->op == OCHRE_FILTER_AND || node->op == OCHRE_FILTER_OR;
}

/* --- compiling -------------------------------------------------------------- */

static bool
is_scalar(ochre_value_type type)
{
    return type == OCHRE_VALUE_BOOL || type == OCHRE_VALUE_INT || type == OCHRE_VALUE_FLOAT ||
            type == OCHRE_VALUE_STRING;
}

/* Which operators a field knows, and with which operands. */
static bool
leaf_is_valid(const struct ochre_filter_node *node)
{
    ochre_value_type type = node->value.type;
    bool is_string = type == OCHRE_VALUE_STRING;
    switch (node->op) {
    case OCHRE_FILTER_EQ:
    case OCHRE_FILTER_NE:
        return node->field == OCHRE_FIELD_METADATA ? is_scalar(type)
                                                   : node->field == OCHRE_FIELD_ID && is_string;
    case OCHRE_FILTER_GT:
    case OCHRE_FILTER_GTE:
    case OCHRE_FILTER_LT:
    case OCHRE_FILTER_LTE:
        return node->field == OCHRE_FIELD_METADATA &&
                (type == OCHRE_VALUE_INT || type == OCHRE_VALUE_FLOAT);
    case OCHRE_FILTER_IN:
    case OCHRE_FILTER_NOT_IN:
        return node->field == OCHRE_FIELD_METADATA
                ? type >= OCHRE_VALUE_BOOL_LIST && type <= OCHRE_VALUE_STRING_LIST
                : node->field == OCHRE_FIELD_ID && type == OCHRE_VALUE_STRING_LIST;
    case OCHRE_FILTER_CONTAINS:
    case OCHRE_FILTER_NOT_CONTAINS:
        return node->field == OCHRE_FIELD_METADATA
                ? is_scalar(type)
                : node->field == OCHRE_FIELD_DOCUMENT && is_string;
    case OCHRE_FILTER_REGEX:
    case OCHRE_FILTER_NOT_REGEX:
        return node->field == OCHRE_FIELD_DOCUMENT && is_string;
    case OCHRE_FILTER_AND:
    case OCHRE_FILTER_OR:
        return true;
    }
    return false;
}

/* NaN compares with nothing; it comes from a C program, never from JSON. */
static bool
has_nan(const struct ochre_value *value)
{
    if (value->type == OCHRE_VALUE_FLOAT)
        return isnan(value->as.number);
    for (uint32_t i = 0; value->type == OCHRE_VALUE_FLOAT_LIST && i < value->n; i++)
        if (isnan(value->as.numbers[i]))
            return true;
    return false;
}

static ochre_status
check_limits(const struct ochre_filter_node *node, struct ochre_error *err)
{
    const struct ochre_value *value = &node->value;
    if (has_nan(value))
        return och_fail(err, OCHRE_INVALID, "Invalid where clause: an operand is not a number");
    if (value->type >= OCHRE_VALUE_BOOL_LIST && value->n > OCH_FILTER_LIST_MAX)
        return och_fail(err, OCHRE_INVALID,
                "Invalid where clause: a list operand has %u members; the limit is %u", value->n,
                OCH_FILTER_LIST_MAX);
    if (node->field == OCHRE_FIELD_DOCUMENT && value->type == OCHRE_VALUE_STRING &&
            value->as.string.size > OCH_TEXT_PATTERN_SIZE_MAX)
        return och_fail(err, OCHRE_INVALID,
                "Invalid where document clause: a text operand has %zu bytes; the limit is %u",
                value->as.string.size, OCH_TEXT_PATTERN_SIZE_MAX);
    return OCHRE_OK;
}

/* Check one node; `ends` holds where each open group ends. */
static ochre_status
check_node(
        struct och_filter *filter, size_t i, size_t *ends, unsigned *depth, struct ochre_error *err)
{
    const struct ochre_filter_node *node = &filter->tree.nodes[i];
    size_t end = *depth == 0 ? filter->tree.n_nodes : ends[*depth - 1];
    bool root_again = *depth == 0 && i > 0;
    if (root_again || node->size == 0 || node->size > end - i ||
            (!is_group(node) && node->size != 1) || !leaf_is_valid(node))
        return och_fail(err, OCHRE_INVALID, "Invalid where clause: node %zu is malformed", i);
    if (is_group(node)) {
        if (*depth == DEPTH_MAX)
            return och_fail(err, OCHRE_INVALID,
                    "Invalid where clause: it is nested deeper than %u levels", DEPTH_MAX);
        ends[(*depth)++] = i + node->size;
        if (*depth > filter->depth)
            filter->depth = *depth;
    } else {
        ochre_status status = check_limits(node, err);
        if (status != OCHRE_OK)
            return status;
    }
    while (*depth > 0 && ends[*depth - 1] == i + 1)
        (*depth)--;
    return OCHRE_OK;
}

ochre_status
och_filter_compile(struct och_mem *mem, struct och_arena *arena, const struct ochre_filter *tree,
        struct och_filter *filter_out, struct ochre_error *err)
{
    *filter_out = (struct och_filter){.tree = *tree, .mem = mem};
    if (tree->nodes == NULL || tree->n_nodes == 0)
        return OCHRE_OK;
    if (tree->n_nodes > OCH_FILTER_NODES_MAX)
        return och_fail(err, OCHRE_INVALID,
                "Invalid where clause: it has %zu clauses; the limit is %u", tree->n_nodes,
                OCH_FILTER_NODES_MAX);
    filter_out->regexes = och_arena_take_array(arena, tree->n_nodes, sizeof(struct och_regex *));
    filter_out->sets = och_arena_take_array(arena, tree->n_nodes, sizeof(struct och_value_set));
    if (filter_out->regexes == NULL || filter_out->sets == NULL) {
        filter_out->regexes = NULL;
        return och_fail_memory(err);
    }
    memset(filter_out->regexes, 0, tree->n_nodes * sizeof(struct och_regex *));
    memset(filter_out->sets, 0, tree->n_nodes * sizeof(struct och_value_set));

    size_t ends[DEPTH_MAX];
    unsigned depth = 0;
    ochre_status status = OCHRE_OK;
    for (size_t i = 0; i < tree->n_nodes && status == OCHRE_OK; i++)
        status = check_node(filter_out, i, ends, &depth, err);
    for (size_t i = 0; i < tree->n_nodes && status == OCHRE_OK; i++) {
        const struct ochre_filter_node *node = &tree->nodes[i];
        if (node->op == OCHRE_FILTER_REGEX || node->op == OCHRE_FILTER_NOT_REGEX)
            status = och_regex_compile(mem, node->value.as.string, &filter_out->regexes[i], err);
        if ((node->op == OCHRE_FILTER_IN || node->op == OCHRE_FILTER_NOT_IN) &&
                och_value_set_make(arena, &node->value, &filter_out->sets[i]) != OCHRE_OK)
            status = och_fail_memory(err);
    }
    if (status != OCHRE_OK)
        och_filter_clear(filter_out);
    return status;
}

void
och_filter_clear(struct och_filter *filter)
{
    for (size_t i = 0; filter->regexes != NULL && i < filter->tree.n_nodes; i++)
        och_regex_release(filter->regexes[i]);
    *filter = (struct och_filter){.mem = filter->mem};
}

bool
och_filter_is_empty(const struct och_filter *filter)
{
    return filter->tree.n_nodes == 0;
}

/* --- combining -------------------------------------------------------------- */

/*
 * An open AND or OR.  `acc` is what has come out so far:
 *
 *      AND  acc begins as what could come out; each child looks at it and replaces it
 *      OR   acc begins empty; each child looks at `in` without acc and is added
 */
struct frame {
    ochre_filter_op op;
    size_t end;
    struct och_bitset in; /* OR only */
    struct och_bitset acc;
    const struct och_bitset *first; /* in acc's place until something came out, or NULL */
};

/* One walk over the nodes; frames[0] is a pseudo AND around the root. */
struct walk {
    const struct och_filter *filter;
    const struct och_source *source;
    const struct och_columns *columns; /* of the source, or NULL */
    struct frame *frames;
    unsigned depth;
    struct och_bitset candidates, result;
    struct ochre_error *err;
};

static void
clear_frame(struct frame *frame)
{
    och_bitset_clear(&frame->in);
    och_bitset_clear(&frame->acc);
}

static struct och_leaf
leaf_at(const struct walk *walk, size_t i)
{
    return (struct och_leaf){.node = &walk->filter->tree.nodes[i],
            .regex = walk->filter->regexes[i],
            .set = walk->filter->sets[i].items == NULL ? NULL : &walk->filter->sets[i],
            .columns = walk->columns};
}

static void
swap(struct och_bitset *a, struct och_bitset *b)
{
    struct och_bitset set = *a;
    *a = *b;
    *b = set;
}

/* What the next child of an OR should look at. */
static ochre_status
or_candidates(const struct frame *frame, struct och_bitset *rows)
{
    ochre_status status = och_bitset_copy(rows, &frame->in);
    if (status == OCHRE_OK)
        och_bitset_subtract(rows, &frame->acc);
    return status;
}

/* What an AND has so far. */
static const struct och_bitset *
left_of(const struct frame *frame)
{
    return frame->first != NULL ? frame->first : &frame->acc;
}

static void
replace(struct frame *frame, struct och_bitset *rows)
{
    swap(&frame->acc, rows);
    frame->first = NULL;
}

static ochre_status
take_leaf(struct walk *walk, struct frame *frame, size_t i)
{
    struct och_leaf leaf = leaf_at(walk, i);
    bool all = frame->op == OCHRE_FILTER_AND;
    ochre_status status = all ? OCHRE_OK : or_candidates(frame, &walk->candidates);
    if (status != OCHRE_OK)
        return status;
    och_bitset_empty(&walk->result);
    status = och_leaf_rows(&leaf, walk->source, all ? left_of(frame) : &walk->candidates,
            &walk->result, walk->err);
    if (status != OCHRE_OK)
        return status;
    if (!all)
        return och_bitset_unite(&frame->acc, &walk->result);
    replace(frame, &walk->result);
    return OCHRE_OK;
}

/* A child of an AND that is answered by an index comes before those that look at
 * rows, so that they look at fewer. */
static bool
comes_first(const struct walk *walk, const struct frame *frame, size_t i)
{
    if (frame->op != OCHRE_FILTER_AND || is_group(&walk->filter->tree.nodes[i]))
        return false;
    struct och_leaf leaf = leaf_at(walk, i);
    return och_leaf_is_indexed(&leaf, walk->source);
}

/* Open a group over `rows`, which stay as they are while it is open, or are copied;
 * its children begin at `first`. */
static ochre_status
open_frame(struct walk *walk, ochre_filter_op op, size_t first, size_t end,
        const struct och_bitset *rows, bool stay)
{
    struct frame *frame = &walk->frames[walk->depth++];
    *frame = (struct frame){.op = op, .end = end};
    och_bitset_init(&frame->in, walk->filter->mem);
    och_bitset_init(&frame->acc, walk->filter->mem);
    if (op == OCHRE_FILTER_OR)
        return och_bitset_copy(&frame->in, rows);
    ochre_status status = OCHRE_OK;
    if (stay)
        frame->first = rows;
    else
        status = och_bitset_copy(&frame->acc, rows);
    for (size_t i = first; i < end && status == OCHRE_OK; i += walk->filter->tree.nodes[i].size)
        if (comes_first(walk, frame, i))
            status = take_leaf(walk, frame, i);
    return status;
}

/* Hand on what came out of the innermost group. */
static ochre_status
close_frame(struct walk *walk)
{
    struct frame *closed = &walk->frames[--walk->depth];
    struct frame *frame = &walk->frames[walk->depth - 1];
    ochre_status status = OCHRE_OK;
    if (frame->op == OCHRE_FILTER_AND && closed->first == NULL)
        replace(frame, &closed->acc); /* otherwise all that is left passed */
    else if (frame->op == OCHRE_FILTER_OR)
        status = och_bitset_unite(&frame->acc, &closed->acc);
    clear_frame(closed);
    return status;
}

static ochre_status
visit_node(struct walk *walk, size_t i)
{
    const struct ochre_filter_node *node = &walk->filter->tree.nodes[i];
    struct frame *frame = &walk->frames[walk->depth - 1];
    ochre_status status = OCHRE_OK;
    if (is_group(node)) {
        bool all = frame->op == OCHRE_FILTER_AND;
        if (!all)
            status = or_candidates(frame, &walk->candidates);
        if (status == OCHRE_OK)
            status = open_frame(walk, node->op, i + 1, i + node->size,
                    all ? left_of(frame) : &walk->candidates, all);
    } else if (!comes_first(walk, frame, i)) {
        status = take_leaf(walk, frame, i);
    }
    while (status == OCHRE_OK && walk->depth > 1 && walk->frames[walk->depth - 1].end == i + 1)
        status = close_frame(walk);
    return status;
}

static ochre_status
walk_nodes(struct walk *walk, const struct och_bitset *candidates, struct och_bitset *rows_out)
{
    size_t n = walk->filter->tree.n_nodes;
    ochre_status status = open_frame(walk, OCHRE_FILTER_AND, 0, n, candidates, true);
    for (size_t i = 0; i < n && status == OCHRE_OK; i++)
        status = visit_node(walk, i);
    struct frame *root = &walk->frames[0];
    if (status != OCHRE_OK)
        return status;
    if (root->first != NULL || rows_out->mem != root->acc.mem)
        return och_bitset_copy(rows_out, left_of(root));
    swap(rows_out, &root->acc);
    return OCHRE_OK;
}

ochre_status
och_filter_rows(const struct och_filter *filter, const struct och_source *source,
        const struct och_bitset *candidates, struct och_bitset *rows_out, struct ochre_error *err)
{
    struct walk walk = {.filter = filter, .source = source, .err = err};
    size_t frames_size = (filter->depth + 1) * sizeof(struct frame);
    walk.frames = och_mem_take(filter->mem, frames_size);
    if (walk.frames == NULL)
        return och_fail_memory(err);
    och_bitset_init(&walk.candidates, filter->mem);
    och_bitset_init(&walk.result, filter->mem);
    ochre_status status = OCHRE_OK;
    if (source->segment != NULL)
        status = och_segment_columns(source->segment, &walk.columns, err);
    if (status == OCHRE_OK)
        status = walk_nodes(&walk, candidates, rows_out);
    while (walk.depth > 0)
        clear_frame(&walk.frames[--walk.depth]);
    och_bitset_clear(&walk.candidates);
    och_bitset_clear(&walk.result);
    och_mem_release(filter->mem, walk.frames, frames_size);
    return status == OCHRE_NO_MEMORY ? och_fail_memory(err) : status;
}
