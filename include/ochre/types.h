/*
 * ochre/types.h - the shapes of records, metadata, filters and results.
 *
 * Strings are bytes with a length: UTF-8, not NUL-terminated, and free to hold
 * U+0000.  Everything a caller passes in is borrowed for the call.
 */
#ifndef OCHRE_TYPES_H
#define OCHRE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes with a length.  `data` is NULL for "absent", which differs from empty. */
struct ochre_bytes {
    const char *data;
    size_t size;
};

/* The types of a metadata value.  The numbers are stored on disk and are ABI. */
typedef enum ochre_value_type {
    OCHRE_VALUE_NULL = 0, /* in an update: remove the key */
    OCHRE_VALUE_BOOL = 1,
    OCHRE_VALUE_INT = 2,
    OCHRE_VALUE_FLOAT = 3,
    OCHRE_VALUE_STRING = 4,
    OCHRE_VALUE_BOOL_LIST = 5, /* a list type is its element's type + 4 */
    OCHRE_VALUE_INT_LIST = 6,
    OCHRE_VALUE_FLOAT_LIST = 7,
    OCHRE_VALUE_STRING_LIST = 8,
} ochre_value_type;

struct ochre_value {
    ochre_value_type type;
    uint32_t n; /* a list's elements; unused otherwise */
    union {
        bool boolean;
        int64_t integer;
        double number;
        struct ochre_bytes string;
        const bool *booleans;
        const int64_t *integers;
        const double *numbers;
        const struct ochre_bytes *strings;
    } as;
};

struct ochre_field {
    struct ochre_bytes key;
    struct ochre_value value;
};

/* One record's metadata; no fields means no metadata.  Of two fields with the
 * same key the later one counts. */
struct ochre_metadata {
    const struct ochre_field *fields;
    size_t n_fields;
};

/*
 * A batch of records, column by column: every column that is not NULL has `n`
 * entries.
 *
 * Embeddings are row-major [n][dim].  Where vectors differ in length or are
 * missing (an update may leave them out), `dims` gives each record's length, 0
 * for "no vector", and the vectors follow one another without gaps.
 */
struct ochre_records {
    size_t n;
    const struct ochre_bytes *ids;
    const float *embeddings; /* NULL: none given */
    size_t dim;              /* of every vector, when dims is NULL */
    const uint32_t *dims;
    const struct ochre_bytes *documents; /* an entry with NULL data: none */
    const struct ochre_bytes *uris;
    const struct ochre_metadata *metadatas;
};

/*
 * Filters.  A filter is an array of nodes in prefix order: a node that holds
 * others is followed by them, and `size` counts itself and all below it.
 *
 *      {"$and": [{"a": 1}, {"$or": [{"b": "x"}, {"c": {"$gt": 2}}]}]}
 *      and(5)  eq a 1 (1)  or(3)  eq b "x" (1)  gt c 2 (1)
 *
 * Meaning: docs/compatibility.md.  Negative operators are the exact complement
 * of the positive ones; a record without the key matches them.
 */
typedef enum ochre_filter_op {
    OCHRE_FILTER_AND = 1, /* of nothing: everything */
    OCHRE_FILTER_OR = 2,  /* of nothing: nothing */
    OCHRE_FILTER_EQ = 3,
    OCHRE_FILTER_NE = 4,
    OCHRE_FILTER_GT = 5,
    OCHRE_FILTER_GTE = 6,
    OCHRE_FILTER_LT = 7,
    OCHRE_FILTER_LTE = 8,
    OCHRE_FILTER_IN = 9, /* value is a list */
    OCHRE_FILTER_NOT_IN = 10,
    OCHRE_FILTER_CONTAINS = 11, /* a list holds the value; a document the text */
    OCHRE_FILTER_NOT_CONTAINS = 12,
    OCHRE_FILTER_REGEX = 13, /* documents only; value is a string */
    OCHRE_FILTER_NOT_REGEX = 14,
} ochre_filter_op;

/* What a leaf looks at. */
typedef enum ochre_filter_field {
    OCHRE_FIELD_METADATA = 0, /* the metadata value under `key` */
    OCHRE_FIELD_DOCUMENT = 1,
    OCHRE_FIELD_ID = 2,
} ochre_filter_field;

struct ochre_filter_node {
    ochre_filter_op op;
    ochre_filter_field field; /* leaves only */
    uint32_t size;            /* nodes in this subtree, this one included */
    struct ochre_bytes key;   /* leaves on metadata */
    struct ochre_value value; /* leaves */
};

struct ochre_filter {
    const struct ochre_filter_node *nodes; /* NULL: no filter, everything matches */
    size_t n_nodes;
};

/* Which columns a get or query returns. */
enum {
    OCHRE_INCLUDE_DOCUMENTS = 1u << 0,
    OCHRE_INCLUDE_METADATAS = 1u << 1,
    OCHRE_INCLUDE_EMBEDDINGS = 1u << 2,
    OCHRE_INCLUDE_URIS = 1u << 3,
    OCHRE_INCLUDE_DISTANCES = 1u << 4
};

/* How near two vectors are; smaller is nearer. */
typedef enum ochre_space {
    OCHRE_SPACE_L2 = 0,     /* sum of squared differences */
    OCHRE_SPACE_COSINE = 1, /* 1 - dot / (norm * norm) */
    OCHRE_SPACE_IP = 2,     /* 1 - dot */
} ochre_space;

/* How one set of rows was searched, the least work first. */
typedef enum ochre_plan {
    OCHRE_PLAN_EMPTY = 0,          /* not at all: nothing that matches is there */
    OCHRE_PLAN_EXACT_GATHER = 1,   /* the rows that match were measured */
    OCHRE_PLAN_EXACT_SCAN = 2,     /* all rows were gone through */
    OCHRE_PLAN_GRAPH = 3,          /* links between near rows were followed */
    OCHRE_PLAN_GRAPH_FILTERED = 4, /* the same, past rows that do not match */
} ochre_plan;

/* What a set of rows is. */
typedef enum ochre_source_kind {
    OCHRE_SOURCE_HEAD = 0,  /* in memory, still growing */
    OCHRE_SOURCE_FLAT = 1,  /* a file without an index */
    OCHRE_SOURCE_GRAPH = 2, /* a file with one */
} ochre_source_kind;

/* What one set of rows cost a query.  The queries of a request are answered
 * together; what was done for all of them is shared out evenly. */
struct ochre_explain_source {
    ochre_source_kind kind;
    ochre_plan plan;
    uint64_t rows;            /* records in it */
    uint64_t matches;         /* of them selected by ids and filter */
    double estimated_cost_us; /* by which the plan was chosen; 0: there was no choice */
    double elapsed_us;
    uint64_t n_distances; /* rows measured */
    uint64_t n_estimates; /* rows estimated from codes */
    uint64_t n_hops;      /* rows whose links were followed */
    uint32_t effort;      /* candidates kept; 0: all there are */
};

/* How a query was answered. */
struct ochre_explain {
    ochre_plan plan;                            /* the most that was done in any source */
    float recall_target;                        /* that was aimed at; 1: exact */
    const struct ochre_explain_source *sources; /* oldest first */
    size_t n_sources;
};

/* One record of a result.  Columns that were not asked for are absent. */
struct ochre_hit {
    struct ochre_bytes id;
    struct ochre_bytes document; /* data NULL: the record has none */
    struct ochre_bytes uri;
    const float *embedding; /* [dim] */
    float distance;
    struct ochre_metadata metadata; /* sorted by key */
};

#ifdef __cplusplus
}
#endif

#endif /* OCHRE_TYPES_H */
