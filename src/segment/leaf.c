#include "segment/leaf.h"

#include "base/bitset.h"
#include "base/error.h"
#include "index/meta/columns.h"
#include "index/meta/compare.h"
#include "index/meta/fields.h"
#include "index/meta/value_set.h"
#include "index/text/contains.h"
#include "index/text/regex.h"
#include "segment/source.h"

/* Rows are loaded one by one when they are one of so many or fewer: a page that no
 * candidate is on need not be read. */
#define FEW 8u

/* --- by index --------------------------------------------------------------- */

static bool
names_ids(const struct ochre_filter_node *node)
{
    return node->field == OCHRE_FIELD_ID &&
            (node->op == OCHRE_FILTER_EQ || node->op == OCHRE_FILTER_NE ||
                    node->op == OCHRE_FILTER_IN || node->op == OCHRE_FILTER_NOT_IN);
}

bool
och_leaf_is_indexed(const struct och_leaf *leaf, const struct och_source *source)
{
    const struct ochre_filter_node *node = leaf->node;
    if (node->field == OCHRE_FIELD_METADATA)
        return leaf->columns != NULL;
    /* A head's table of ids is the writer's. */
    return names_ids(node) && source->segment != NULL &&
            (leaf->set == NULL || leaf->set->n <= source->n_rows);
}

static ochre_status
find_id(const struct och_source *source, struct ochre_bytes id, struct och_bitset *rows,
        struct ochre_error *err)
{
    uint32_t row;
    ochre_status status = och_segment_find(source->segment, id, &row, err);
    if (status == OCHRE_OK && row != OCH_ROW_NONE)
        status = och_bitset_add(rows, row);
    return status;
}

static ochre_status
find_ids(const struct och_leaf *leaf, const struct och_source *source, struct och_bitset *rows,
        struct ochre_error *err)
{
    const struct ochre_filter_node *node = leaf->node;
    ochre_status status = OCHRE_OK;
    if (leaf->set == NULL)
        status = find_id(source, node->value.as.string, rows, err);
    for (uint32_t i = 0; leaf->set != NULL && i < leaf->set->n && status == OCHRE_OK; i++)
        status = find_id(source, leaf->set->items[i].as.string, rows, err);
    if (status == OCHRE_OK && (node->op == OCHRE_FILTER_NE || node->op == OCHRE_FILTER_NOT_IN))
        och_bitset_complement(rows, source->n_rows);
    return status;
}

/* *done_out is false when the index does not answer. */
static ochre_status
look_up(const struct och_leaf *leaf, const struct och_source *source, struct och_bitset *rows,
        bool *done_out, struct ochre_error *err)
{
    const struct ochre_filter_node *node = leaf->node;
    *done_out = true;
    if (node->field == OCHRE_FIELD_ID)
        return find_ids(leaf, source, rows, err);
    struct och_columns_leaf question = {
            .op = node->op, .key = node->key, .value = &node->value, .set = leaf->set};
    ochre_status status = och_columns_rows(leaf->columns, &question, rows, err);
    if (status == OCHRE_OK || status == OCHRE_NO_MEMORY)
        return status;
    if (status == OCHRE_CORRUPT || status == OCHRE_IO)
        och_segment_fail_columns(source->segment, status);
    *done_out = false;
    och_bitset_empty(rows);
    return OCHRE_OK;
}

/* --- by looking ------------------------------------------------------------- */

/* A document against a leaf; a missing one matches the negations only. */
static bool
document_matches(const struct och_leaf *leaf, struct ochre_bytes document)
{
    const struct ochre_filter_node *node = leaf->node;
    bool negative = node->op == OCHRE_FILTER_NOT_CONTAINS || node->op == OCHRE_FILTER_NOT_REGEX;
    if (document.data == NULL)
        return negative;
    bool found;
    if (leaf->regex != NULL)
        found = och_regex_matches(leaf->regex, document.data, document.size);
    else
        found = och_text_contains(document.data, document.size, node->value.as.string.data,
                node->value.as.string.size);
    return found != negative;
}

static bool
value_matches(const struct och_leaf *leaf, const struct och_field_view *value)
{
    const struct ochre_filter_node *node = leaf->node;
    if (leaf->set == NULL)
        return och_value_matches(value, node->op, &node->value);
    bool is_in = value != NULL && och_value_set_has(leaf->set, value);
    return is_in == (node->op == OCHRE_FILTER_IN);
}

static bool
row_matches(const struct och_leaf *leaf, const struct och_source *source, uint32_t row)
{
    struct och_field_view view;
    switch (leaf->node->field) {
    case OCHRE_FIELD_DOCUMENT:
        return document_matches(leaf, och_source_document(source, row));
    case OCHRE_FIELD_METADATA: {
        struct ochre_bytes fields = och_source_fields(source, row);
        bool found = och_fields_find(fields, leaf->node->key, &view);
        return value_matches(leaf, found ? &view : NULL);
    }
    case OCHRE_FIELD_ID: {
        struct ochre_bytes id = och_source_id(source, row);
        view = (struct och_field_view){
                .type = OCHRE_VALUE_STRING, .value = id.data, .value_size = (uint32_t) id.size};
        return value_matches(leaf, &view);
    }
    }
    return false;
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

static ochre_status
look_at_rows(const struct och_leaf *leaf, const struct och_source *source,
        const struct och_bitset *candidates, struct och_bitset *rows, struct ochre_error *err)
{
    unsigned column = column_of(leaf->node);
    bool few = och_bitset_count(candidates) <= source->n_rows / FEW;
    ochre_status status = few ? OCHRE_OK : och_source_load(source, column, err);
    size_t n_words = candidates->n_words < rows->n_words ? candidates->n_words : rows->n_words;
    for (size_t w = 0; w < n_words && status == OCHRE_OK; w++) {
        uint64_t matching = 0;
        for (uint64_t left = candidates->words[w]; left != 0; left &= left - 1) {
            uint32_t row = (uint32_t) (w * 64) + (uint32_t) __builtin_ctzll(left);
            if (few)
                status = och_source_load_row(source, row, column, err);
            if (status != OCHRE_OK)
                break;
            if (row_matches(leaf, source, row))
                matching |= left & -left;
        }
        rows->words[w] = matching;
    }
    /* Texts that a pattern had no memory to be searched for count as none. */
    if (status == OCHRE_OK && leaf->regex != NULL)
        status = och_regex_status(leaf->regex);
    return status;
}

ochre_status
och_leaf_rows(const struct och_leaf *leaf, const struct och_source *source,
        const struct och_bitset *candidates, struct och_bitset *rows, struct ochre_error *err)
{
    bool done = false;
    ochre_status status = och_bitset_reserve(rows, source->n_rows);
    if (status == OCHRE_OK && och_leaf_is_indexed(leaf, source))
        status = look_up(leaf, source, rows, &done, err);
    if (status == OCHRE_OK && done)
        och_bitset_intersect(rows, candidates);
    else if (status == OCHRE_OK)
        status = look_at_rows(leaf, source, candidates, rows, err);
    return status;
}
