/*
 * schema_internal.h - what the parts of schema share: the request as read, and
 * the tables of names and defaults.
 *
 *      schema_parse.c   JSON trees to structs; shapes
 *      schema_rules.c   what a request may ask for
 *      schema.c         building, changing, asking
 *      schema_write.c   structs to JSON text
 */
#ifndef OCH_API_SCHEMA_INTERNAL_H
#define OCH_API_SCHEMA_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "api/schema.h"

/* Reserved keys of the schema. */
#define OCH_SCHEMA_DOCUMENT "#document"
#define OCH_SCHEMA_EMBEDDING "#embedding"

/*
 * The fields of an hnsw object.  The first six are whole numbers, and with the
 * resize factor they have the order of the bits of och_hnsw.given.  The last two
 * stand in a configuration only.
 */
enum {
    OCH_HNSW_NUMBERS = 6,
    OCH_HNSW_RESIZE = 6,
    OCH_HNSW_PARAMETERS = 7,
    OCH_HNSW_SPACE = 7,
    OCH_HNSW_RECALL = 8,
    OCH_HNSW_FIELDS = 9
};
extern const char *const och_hnsw_names[OCH_HNSW_FIELDS];

/* The whole number whose bit is 1u << field. */
uint64_t *och_hnsw_number(struct och_hnsw *hnsw, unsigned field);

/* The members of a value types object in the order of their bits. */
enum { OCH_MEMBERS = 6 };
extern const char *const och_member_names[OCH_MEMBERS];

/* In the order of ochre_space. */
enum { OCH_SPACES = 3 };
extern const char *const och_space_names[OCH_SPACES];

/* The fields of a spann object; a configuration has the first eight, space and
 * recall_target. */
enum {
    OCH_SPANN_SEARCH_NPROBE,
    OCH_SPANN_WRITE_NPROBE,
    OCH_SPANN_EF_CONSTRUCTION,
    OCH_SPANN_EF_SEARCH,
    OCH_SPANN_MAX_NEIGHBORS,
    OCH_SPANN_REASSIGN_NEIGHBOR_COUNT,
    OCH_SPANN_SPLIT_THRESHOLD,
    OCH_SPANN_MERGE_THRESHOLD,
    OCH_SPANN_NREPLICA_COUNT,
    OCH_SPANN_NUM_SAMPLES_KMEANS,
    OCH_SPANN_NUM_CENTERS_TO_MERGE_TO,
    OCH_SPANN_SEARCH_RNG_FACTOR,
    OCH_SPANN_SEARCH_RNG_EPSILON,
    OCH_SPANN_WRITE_RNG_FACTOR,
    OCH_SPANN_WRITE_RNG_EPSILON,
    OCH_SPANN_INITIAL_LAMBDA,
    OCH_SPANN_CENTER_DRIFT_THRESHOLD,
    OCH_SPANN_QUANTIZE, /* a word: 0 is "none" */
    OCH_SPANN_PARAMETERS,
    OCH_SPANN_SPACE = OCH_SPANN_PARAMETERS,
    OCH_SPANN_RECALL,
    OCH_SPANN_FIELDS
};
extern const char *const och_spann_names[OCH_SPANN_FIELDS];

/* SPANN parameters: which were given, and their values.  Nothing on one node
 * uses them; they are read to judge a request by. */
struct och_spann {
    uint32_t given; /* 1u << field */
    double values[OCH_SPANN_PARAMETERS];
};

/* Vector settings as a configuration or metadata gives them. */
struct och_vector_settings {
    bool has_space;
    ochre_space space;
    struct och_hnsw hnsw;
    double recall_target; /* 0: not given */
};

struct och_schema_request {
    bool has_hnsw, has_spann, has_schema;
    double recall_target;             /* of the configuration; 0: not given */
    struct och_vector_settings hnsw;  /* of configuration.hnsw */
    struct och_vector_settings spann; /* of configuration.spann: only its space */
    struct och_embedding embedding;
    struct och_schema schema; /* as given: not complete */
};

/* Byte order, the shorter first: negative, 0 or positive. */
int och_schema_key_order(struct ochre_bytes a, struct ochre_bytes b);

/* The settings in collection metadata (may be NULL): its "hnsw:" and "ochre:"
 * keys.  OCHRE_INVALID when one is unsound. */
ochre_status och_schema_read_legacy(const struct ochre_metadata *metadata,
        struct och_vector_settings *settings_out, struct ochre_error *err);

/* OCHRE_INVALID when a parameter of a vector index is out of range. */
ochre_status och_schema_check_ranges(const struct och_schema *schema, struct ochre_error *err);

/* Read a schema object of the wire, its keys sorted and each once.  Shapes only. */
ochre_status och_schema_read(struct och_arena *arena, const struct och_json *json,
        struct och_schema *schema_out, struct ochre_error *err);

/* The hnsw parameters of a collection for which nobody chose any. */
struct och_hnsw och_hnsw_default(uint32_t n_cpus);

/* Are all the values that were given the default ones? */
bool och_settings_are_default(const struct och_vector_settings *settings, uint32_t n_cpus);
bool och_embedding_is_default(const struct och_embedding *embedding);
bool och_schema_is_default(const struct och_schema *given, const struct och_schema *standard);

#endif /* OCH_API_SCHEMA_INTERNAL_H */
