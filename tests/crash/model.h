/*
 * model.h - what a database should hold, told in the plainest way.
 *
 * An operation is a struct of fixed-size fields; a state is arrays that are
 * searched from front to end and copied whole.  Nothing here comes from src/
 * but the list of statuses: what the sweep compares must not share a mistake
 * with what it compares with.
 *
 *      state --copy--> next;  model_apply(next, operation) --> the right answer
 *
 * Vectors hold small whole numbers, so that every distance is exact whatever
 * the order of summation, and ties can be told from errors.
 *
 * Threads: one at a time.
 */
#ifndef OCH_TESTS_CRASH_MODEL_H
#define OCH_TESTS_CRASH_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ochre/status.h"

enum {
    MODEL_DIM_MAX = 6,
    MODEL_NAME_SIZE = 20,
    MODEL_TEXT_SIZE = 24,
    MODEL_FIELDS_MAX = 8,
    MODEL_LIST_MAX = 3,
    MODEL_BATCH_MAX = 20,
    MODEL_KEYS_MAX = 16,
    MODEL_COLLECTIONS_MAX = 16,
    MODEL_PINS_MAX = 4,
};

/* A metadata value.  A list's type is that of its members, and is_list is set. */
enum model_type { MODEL_NULL, MODEL_BOOL, MODEL_INT, MODEL_FLOAT, MODEL_STRING };

struct model_value {
    enum model_type type;
    bool is_list;
    uint8_t n; /* members of a list; 1 otherwise */
    int64_t integers[MODEL_LIST_MAX];
    double numbers[MODEL_LIST_MAX];
    char strings[MODEL_LIST_MAX][MODEL_TEXT_SIZE];
};

struct model_field {
    char key[8];
    struct model_value value;
};

struct model_fields {
    size_t n;
    struct model_field fields[MODEL_FIELDS_MAX];
};

/* A document is `text`, repeated: long ones cost a test nothing to keep. */
struct model_text {
    bool is_there;
    uint16_t n_repeats;
    char text[MODEL_TEXT_SIZE];
};

struct model_record {
    char id[MODEL_TEXT_SIZE];
    uint32_t dim; /* of its vector; 0: none given */
    float vector[MODEL_DIM_MAX + 1];
    struct model_text document, uri;
    struct model_fields metadata;
};

/* What a collection was. */
struct model_pin {
    char name[MODEL_NAME_SIZE];
    size_t n;
    struct model_record *records; /* owned */
};

struct model_collection {
    char tenant[MODEL_NAME_SIZE], database[MODEL_NAME_SIZE], name[MODEL_NAME_SIZE];
    struct model_fields metadata;
    uint32_t dim;
    size_t n, room;
    struct model_record *records; /* owned, in insertion order */
    size_t n_keys;
    char keys[MODEL_KEYS_MAX][8]; /* of metadata, ever seen; in byte order */
    size_t n_pins;
    struct model_pin pins[MODEL_PINS_MAX]; /* in the order in which they were made */
};

struct model_database {
    char tenant[MODEL_NAME_SIZE], name[MODEL_NAME_SIZE];
};

struct model {
    size_t n_tenants, n_databases, n_collections;
    char tenants[8][MODEL_NAME_SIZE];
    struct model_database databases[16];
    struct model_collection *collections; /* owned: [MODEL_COLLECTIONS_MAX], in creation order */
};

enum model_op_kind {
    MODEL_TENANT_CREATE,
    MODEL_DATABASE_CREATE,
    MODEL_DATABASE_DELETE,
    MODEL_COLLECTION_CREATE, /* flag: get_or_create */
    MODEL_COLLECTION_UPDATE,
    MODEL_COLLECTION_DELETE,
    MODEL_COLLECTION_FORK, /* new_name */
    MODEL_PIN,             /* new_name */
    MODEL_UNPIN,           /* new_name */
    MODEL_ADD,
    MODEL_UPDATE,
    MODEL_UPSERT,
    MODEL_DELETE, /* by ids, by filter, or both */
    MODEL_RESET,
    /* What must change nothing: */
    MODEL_SEAL,
    MODEL_COMPACT, /* flag: purge */
    MODEL_BACKUP,  /* to a disk of its own */
    MODEL_RESTART,
    MODEL_N_KINDS,
};

/* When a write happens.  It makes no difference to what a database holds. */
enum model_when {
    MODEL_BY_ITSELF,
    MODEL_IN_MERGE,        /* while the segments of its collection are merged */
    MODEL_IN_MERGE_SEALED, /* and everything is sealed before that ends */
    MODEL_N_WHENS,
};

enum model_filter {
    MODEL_NO_FILTER,
    MODEL_N_IS,         /* n = number */
    MODEL_N_BELOW,      /* n < number */
    MODEL_TAG_IS,       /* tag = text */
    MODEL_DOCUMENT_HAS, /* the document contains text */
};

struct model_op {
    enum model_op_kind kind;
    enum model_when when; /* of a write */
    char tenant[MODEL_NAME_SIZE], database[MODEL_NAME_SIZE], name[MODEL_NAME_SIZE];
    char new_name[MODEL_NAME_SIZE]; /* of an update or fork; empty: stays */
    bool flag;
    bool has_metadata; /* of a collection: */
    struct model_fields metadata;
    size_t n_records;
    struct model_record records[MODEL_BATCH_MAX];
    bool has_ids; /* of a delete: those of the records */
    enum model_filter filter;
    int64_t number;
    char text[MODEL_TEXT_SIZE];
    bool has_limit;
    uint64_t limit;
};

const char *model_op_name(enum model_op_kind kind);

/* A new database: default_tenant with default_database. */
void model_init(struct model *model);
void model_clear(struct model *model);

/* Make `copy`, which holds nothing, the same. */
void model_copy(struct model *copy, const struct model *model);

/* Do it: the state changes if and only if the answer is OCHRE_OK. */
ochre_status model_apply(struct model *model, const struct model_op *op);

/* A copy of records, to be freed; NULL: there are none. */
struct model_record *model_copy_records(const struct model_record *records, size_t n);

/* The collection with this name, or NULL. */
struct model_collection *model_find(
        struct model *model, const char *tenant, const char *database, const char *name);

bool model_matches(const struct model_record *record, enum model_filter filter, int64_t number,
        const char *text);

/* Squared distance. */
double model_distance(const struct model_record *record, const float *query);

#endif /* OCH_TESTS_CRASH_MODEL_H */
