#include "segment/filter.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/mem.h"
#include "index/meta/compare.h"
#include "index/meta/fields.h"
#include "index/meta/value_set.h"
#include "index/text/contains.h"
#include "index/text/regex.h"
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

static unsigned
column_of(const struct ochre_filter_node *node)
{
    switch (node->field) {
    case OCHRE_FIELD_METADATA:
        return OCH_COLUMN_FIELDS;
    case OCHRE_FIELD_DOCUMENT:
        return OCH_COLUMN_DOCUMENTS;
    case OCHRE_FIELD_ID:
        return OCH_COLUMN_IDS;
    }
    return 0;
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
        filter->columns |= column_of(node);
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

/* --- leaves ----------------------------------------------------------------- */

/* A document against a leaf; a missing one matches the negations only. */
static bool
document_matches(const struct ochre_filter_node *node, const struct och_regex *regex,
        struct ochre_bytes document)
{
    bool negative = node->op == OCHRE_FILTER_NOT_CONTAINS || node->op == OCHRE_FILTER_NOT_REGEX;
    if (document.data == NULL)
        return negative;
    bool found;
    if (regex != NULL)
        found = och_regex_matches(regex, document.data, document.size);
    else
        found = och_text_contains(document.data, document.size, node->value.as.string.data,
                node->value.as.string.size);
    return found != negative;
}

/* What a leaf looks at in a row; false when it is not there. */
static bool
value_of(const struct ochre_filter_node *node, const struct och_source *source, uint32_t row,
        struct och_field_view *view_out)
{
    if (node->field == OCHRE_FIELD_METADATA)
        return och_fields_find(och_source_fields(source, row), node->key, view_out);
    struct ochre_bytes id = och_source_id(source, row);
    *view_out = (struct och_field_view){
            .type = OCHRE_VALUE_STRING, .value = id.data, .value_size = (uint32_t) id.size};
    return true;
}

static bool
row_matches(
        const struct och_filter *filter, size_t i, const struct och_source *source, uint32_t row)
{
    const struct ochre_filter_node *node = &filter->tree.nodes[i];
    if (node->field == OCHRE_FIELD_DOCUMENT)
        return document_matches(node, filter->regexes[i], och_source_document(source, row));
    struct och_field_view view;
    bool found = value_of(node, source, row, &view);
    if (filter->sets[i].items == NULL)
        return och_value_matches(found ? &view : NULL, node->op, &node->value);
    bool is_in = found && och_value_set_has(&filter->sets[i], &view);
    return is_in == (node->op == OCHRE_FILTER_IN);
}

static ochre_status
leaf_rows(const struct och_filter *filter, size_t i, const struct och_source *source,
        const struct och_bitset *candidates, struct och_bitset *rows_out)
{
    for (uint32_t row = och_bitset_next(candidates, 0); row != OCH_ROW_NONE;
            row = och_bitset_next(candidates, row + 1)) {
        if (!row_matches(filter, i, source, row))
            continue;
        ochre_status status = och_bitset_add(rows_out, row);
        if (status != OCHRE_OK)
            return status;
    }
    const struct och_regex *regex = filter->regexes[i];
    return regex == NULL ? OCHRE_OK : och_regex_status(regex);
}

/* --- combining -------------------------------------------------------------- */

/*
 * An open AND or OR.  `in` is what could come out at all, `acc` what has so far:
 *
 *      AND  acc begins as in; each child looks at acc and replaces it
 *      OR   acc begins empty; each child looks at in - acc and is added
 */
struct frame {
    ochre_filter_op op;
    size_t end;
    struct och_bitset in, acc;
};

static void
clear_frames(struct frame *frames, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        och_bitset_clear(&frames[i].in);
        och_bitset_clear(&frames[i].acc);
    }
}

/* What the next child of the frame should look at. */
static ochre_status
child_candidates(const struct frame *frame, struct och_bitset *rows)
{
    if (frame->op == OCHRE_FILTER_AND)
        return och_bitset_copy(rows, &frame->acc);
    ochre_status status = och_bitset_copy(rows, &frame->in);
    if (status == OCHRE_OK)
        och_bitset_subtract(rows, &frame->acc);
    return status;
}

static ochre_status
take_result(struct frame *frame, const struct och_bitset *rows)
{
    if (frame->op == OCHRE_FILTER_AND)
        return och_bitset_copy(&frame->acc, rows);
    return och_bitset_unite(&frame->acc, rows);
}

static ochre_status
open_frame(struct frame *frame, const struct ochre_filter_node *node, size_t end,
        const struct och_bitset *rows)
{
    *frame = (struct frame){.op = node->op, .end = end};
    och_bitset_init(&frame->in, rows->mem);
    och_bitset_init(&frame->acc, rows->mem);
    ochre_status status = och_bitset_copy(&frame->in, rows);
    if (status == OCHRE_OK && node->op == OCHRE_FILTER_AND)
        status = och_bitset_copy(&frame->acc, rows);
    return status;
}

/* One walk over the nodes; frames[0] is a pseudo AND around the root. */
struct walk {
    const struct och_filter *filter;
    const struct och_source *source;
    struct frame *frames;
    unsigned depth;
    struct och_bitset candidates, result;
};

static ochre_status
visit_node(struct walk *walk, size_t i)
{
    const struct ochre_filter_node *node = &walk->filter->tree.nodes[i];
    struct frame *frame = &walk->frames[walk->depth - 1];
    ochre_status status = child_candidates(frame, &walk->candidates);
    if (status != OCHRE_OK)
        return status;
    if (is_group(node)) {
        struct frame *child = &walk->frames[walk->depth++];
        status = open_frame(child, node, i + node->size, &walk->candidates);
    } else {
        och_bitset_clear(&walk->result);
        status = leaf_rows(walk->filter, i, walk->source, &walk->candidates, &walk->result);
        /* Texts that a pattern had no memory to be searched for count as none. */
        if (status == OCHRE_OK && walk->filter->regexes[i] != NULL)
            status = och_regex_status(walk->filter->regexes[i]);
        if (status == OCHRE_OK)
            status = take_result(frame, &walk->result);
    }
    /* Close every group that ends here. */
    while (status == OCHRE_OK && walk->depth > 1 && walk->frames[walk->depth - 1].end == i + 1) {
        struct frame *closed = &walk->frames[--walk->depth];
        status = take_result(&walk->frames[walk->depth - 1], &closed->acc);
        clear_frames(closed, 1);
    }
    return status;
}

ochre_status
och_filter_rows(const struct och_filter *filter, const struct och_source *source,
        const struct och_bitset *candidates, struct och_bitset *rows_out, struct ochre_error *err)
{
    ochre_status status = och_source_load(source, filter->columns, err);
    if (status != OCHRE_OK)
        return status;
    size_t frames_size = (filter->depth + 1) * sizeof(struct frame);
    struct walk walk = {.filter = filter, .source = source};
    walk.frames = och_mem_take(filter->mem, frames_size);
    if (walk.frames == NULL)
        return och_fail_memory(err);
    och_bitset_init(&walk.candidates, filter->mem);
    och_bitset_init(&walk.result, filter->mem);
    static const struct ochre_filter_node root = {.op = OCHRE_FILTER_AND};
    walk.depth = 1;
    status = open_frame(&walk.frames[0], &root, filter->tree.n_nodes + 1, candidates);
    for (size_t i = 0; i < filter->tree.n_nodes && status == OCHRE_OK; i++)
        status = visit_node(&walk, i);
    if (status == OCHRE_OK)
        status = och_bitset_copy(rows_out, &walk.frames[0].acc);
    clear_frames(walk.frames, walk.depth);
    och_bitset_clear(&walk.candidates);
    och_bitset_clear(&walk.result);
    och_mem_release(filter->mem, walk.frames, frames_size);
    return status == OCHRE_NO_MEMORY ? och_fail_memory(err) : status;
}
