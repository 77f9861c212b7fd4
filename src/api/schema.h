/*
 * schema.h - what a collection's indexes are: the schema, the older
 * configuration it replaces, and the rules that turn a request into one.
 *
 * People describe a collection in up to three places of one request: a
 * `configuration` object, a `schema` object, and metadata keys that start with
 * "hnsw:" or "ochre:".  All three become one stored schema, from which both forms
 * are answered:
 *
 *      configuration ─┐                                  ┌─ configuration_json
 *      hnsw:* metadata ┼─ check ─ build ─ stored text ─ parse
 *      schema ────────┘                                  └─ schema (+ keys seen)
 *
 * One value is ours alone, the recall that searches aim at.  Clients rebuild
 * configurations from the members they know and may refuse others deep inside,
 * so it is accepted in each place that some client passes through:
 *
 *      configuration   recall_target, hnsw.recall_target, spann.recall_target
 *      schema          recall_target, beside defaults and keys
 *      metadata        ochre:recall_target, read once, at creation
 *
 * The first of these that gives it counts; it does not make a configuration or a
 * schema differ from the default one.  It is answered at the top of both, and
 * only when it is not the default, which is also how it is stored.
 *
 * The stored text is the schema object of the wire without growth: JSON, the
 * keys in byte order, an option that was not given left out.  What writing adds
 * (an entry under `keys` for each metadata key seen) is not stored here but kept
 * by the engine as a key set, and put in when the schema is answered.
 *
 * Creating, in the order in which errors are to be reported:
 *
 *      och_schema_request_parse                 shapes: 422, some 400
 *      och_schema_request_check_configuration   400
 *      (name and metadata)
 *      och_schema_request_check_schema          400
 *      och_schema_build                         400: conflicts and ranges
 *      och_schema_store                         400: size
 *
 * och_schema_build makes both checks itself, so a caller who does not care which
 * error comes first may skip them.
 *
 * A built or parsed schema is complete: `defaults` has every index, and `keys`
 * has "#document" with both text indexes and "#embedding" with a vector index
 * whose space and hnsw parameters are all set.
 *
 * Everything made here lies in the caller's arena and may point into the JSON
 * trees, metadata and text it was made from.  Schemas are immutable.
 *
 * Errors: OCHRE_SHAPE is the wire's 422 and OCHRE_INVALID its 400, told apart as
 * the reference does: a value of the wrong type, an unknown name and an unknown
 * field of a strict object are shapes; something other than a word where one of
 * several words is expected is invalid.  Messages name the place in the request,
 * what is there and what is allowed.
 *
 * Threads: any; no state.
 */
#ifndef OCH_API_SCHEMA_H
#define OCH_API_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "engine/settings.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;
struct och_buf;
struct och_json;
struct och_key;

/* An embedding function's own configuration may nest this deep: the schema puts
 * seven levels around it and a list of collections two more, and all of it must
 * stay within what a JSON reader accepts. */
#define OCH_EMBEDDING_DEPTH_MAX 100u

/* Whether an index was mentioned, and how. */
typedef enum och_index_state {
    OCH_INDEX_ABSENT = 0,
    OCH_INDEX_DISABLED = 1,
    OCH_INDEX_ENABLED = 2,
} och_index_state;

/* The client's description of what makes its vectors; opaque to us. */
typedef enum och_embedding_kind {
    OCH_EMBEDDING_NONE = 0,
    OCH_EMBEDDING_LEGACY,  /* the client knows it, we do not */
    OCH_EMBEDDING_KNOWN,   /* name and config */
    OCH_EMBEDDING_UNKNOWN, /* said to be unknown */
} och_embedding_kind;

struct och_embedding {
    och_embedding_kind kind;
    struct ochre_bytes name;       /* of a known one */
    const struct och_json *config; /* of a known one: any JSON, returned as it came */
};

/* The fields of an HNSW graph, as bits of och_hnsw.given. */
enum {
    OCH_HNSW_EF_CONSTRUCTION = 1u << 0,
    OCH_HNSW_MAX_NEIGHBORS = 1u << 1,
    OCH_HNSW_EF_SEARCH = 1u << 2,
    OCH_HNSW_NUM_THREADS = 1u << 3,
    OCH_HNSW_BATCH_SIZE = 1u << 4,
    OCH_HNSW_SYNC_THRESHOLD = 1u << 5,
    OCH_HNSW_RESIZE_FACTOR = 1u << 6,
    OCH_HNSW_ALL = (1u << 7) - 1
};

struct och_hnsw {
    uint32_t given; /* which of the fields are set; the others are 0 */
    uint64_t ef_construction;
    uint64_t max_neighbors;
    uint64_t ef_search;
    uint64_t num_threads;
    uint64_t batch_size;
    uint64_t sync_threshold;
    double resize_factor; /* finite */
};

struct och_spann; /* cluster parameters: read and checked, then dropped on one node */

struct och_vector_index {
    bool enabled;
    bool has_space;
    bool has_hnsw;
    ochre_space space;
    struct ochre_bytes source_key; /* data NULL: not given */
    struct och_embedding embedding;
    struct och_hnsw hnsw;
    const struct och_spann *spann; /* in a request only; NULL in a schema */
};

struct och_sparse_index {
    bool enabled;
    bool has_bm25, bm25;
    bool max_score; /* algorithm "max_score"; otherwise "wand", which is not shown */
    struct ochre_bytes source_key;
    struct och_embedding embedding;
};

/* The members of a value types object, as bits of och_value_types.members. */
enum {
    OCH_MEMBER_STRING = 1u << 0,
    OCH_MEMBER_FLOAT_LIST = 1u << 1,
    OCH_MEMBER_SPARSE_VECTOR = 1u << 2,
    OCH_MEMBER_INT = 1u << 3,
    OCH_MEMBER_FLOAT = 1u << 4,
    OCH_MEMBER_BOOL = 1u << 5,
    OCH_MEMBER_ALL = (1u << 6) - 1
};

/* The indexes of one key, or of all keys without an entry of their own. */
struct och_value_types {
    uint32_t members;                /* present, even if empty */
    och_index_state fts;             /* in string */
    och_index_state string;          /* in string: string_inverted_index */
    och_index_state integer;         /* in int */
    och_index_state number;          /* in float */
    och_index_state boolean;         /* in bool */
    struct och_vector_index *vector; /* in float_list; NULL: not mentioned */
    struct och_sparse_index *sparse; /* in sparse_vector */
};

struct och_schema_key {
    struct ochre_bytes key;
    struct och_value_types types;
};

struct och_schema {
    struct och_value_types defaults;
    const struct och_schema_key *keys; /* in byte order, each once */
    size_t n_keys;
    struct ochre_bytes cmek; /* a customer's encryption key, by name; data NULL: none */
    double recall_target;    /* above 0, at most 1; 0: the default one, or not given */
};

/* --- creating ------------------------------------------------------------- */

/* The `configuration` and `schema` of a create request, of the right shape. */
struct och_schema_request;

/* Read both; each may be NULL or a JSON null, which mean "not given". */
OCH_MUST_CHECK ochre_status och_schema_request_parse(struct och_arena *arena,
        const struct och_json *configuration, const struct och_json *schema,
        struct och_schema_request **request_out, struct ochre_error *err);

/* Is the configuration one, and are the "hnsw:" and "ochre:" keys of the metadata
 * sound? */
OCH_MUST_CHECK ochre_status och_schema_request_check_configuration(
        const struct och_schema_request *request, const struct ochre_metadata *metadata,
        struct ochre_error *err);

/* Does the schema keep the rules on which index may be where? */
OCH_MUST_CHECK ochre_status och_schema_request_check_schema(
        const struct och_schema_request *request, struct ochre_error *err);

/*
 * Make the schema to store.  `n_cpus` is the default of num_threads.
 *
 * Errors: OCHRE_INVALID (schema and configuration conflict, a parameter out of
 * range, a sparse index), OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_schema_build(struct och_arena *arena,
        const struct och_schema_request *request, const struct ochre_metadata *metadata,
        uint32_t n_cpus, const struct och_schema **schema_out, struct ochre_error *err);

/* --- changing ------------------------------------------------------------- */

/* The `new_configuration` of an update. */
struct och_schema_change {
    struct och_hnsw hnsw;           /* the fields to change */
    struct och_embedding embedding; /* OCH_EMBEDDING_NONE: stays */
    double recall_target;           /* 0: stays */
    bool has_hnsw, has_spann;
};

/* Read it; NULL or a JSON null changes nothing. */
OCH_MUST_CHECK ochre_status och_schema_change_parse(const struct och_json *configuration,
        struct och_schema_change *change_out, struct ochre_error *err);

/* OCHRE_INVALID when both kinds of vector index are named. */
OCH_MUST_CHECK ochre_status och_schema_change_check(
        const struct och_schema_change *change, struct ochre_error *err);

/* A schema with the change made, in `defaults` and in "#embedding". */
OCH_MUST_CHECK ochre_status och_schema_apply(struct och_arena *arena,
        const struct och_schema *schema, const struct och_schema_change *change,
        const struct och_schema **schema_out, struct ochre_error *err);

/* --- storing and answering ------------------------------------------------ */

/*
 * The text the catalog keeps, in `arena`.
 *
 * Errors: OCHRE_INVALID when it is over OCH_SCHEMA_SIZE_MAX; OCHRE_NO_MEMORY.
 */
OCH_MUST_CHECK ochre_status och_schema_store(struct och_arena *arena,
        const struct och_schema *schema, struct ochre_bytes *text_out, struct ochre_error *err);

/* The schema a stored text says.  OCHRE_CORRUPT when it is not one. */
OCH_MUST_CHECK ochre_status och_schema_parse(struct och_arena *arena, struct ochre_bytes text,
        const struct och_schema **schema_out, struct ochre_error *err);

/*
 * Append the `schema` object.  `seen`, in byte order of the keys as
 * och_keys_list gives it, adds for each key and type the member of `defaults`
 * where the key has none of its own.
 */
void och_schema_put(struct och_buf *buf, const struct och_schema *schema,
        const struct och_key *seen, size_t n_seen);

/* Append the `configuration_json` object. */
void och_schema_put_configuration(struct och_buf *buf, const struct och_schema *schema);

/* --- asking --------------------------------------------------------------- */

ochre_space och_schema_space(const struct och_schema *schema);

/* What the engine acts on. */
struct och_collection_settings och_schema_settings(const struct och_schema *schema);

/* The graph's parameters, all of them given. */
const struct och_hnsw *och_schema_hnsw(const struct och_schema *schema);

/* The indexes set for exactly this key, or NULL. */
const struct och_value_types *och_schema_find(
        const struct och_schema *schema, struct ochre_bytes key);

/*
 * May this filter be asked?  Each leaf on metadata needs the index of its
 * operand's type on its key, each leaf on documents the full text index.
 * Whether any record has such a value does not matter.
 *
 * Errors: OCHRE_INVALID, naming the first key (and type) whose index is off.
 */
OCH_MUST_CHECK ochre_status och_schema_check_filter(const struct och_schema *schema,
        const struct ochre_filter *filter, struct ochre_error *err);

#endif /* OCH_API_SCHEMA_H */
