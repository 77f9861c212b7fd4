/*
 * catalog_model.h - the plainest catalog that could be right, and programs to
 * run on it and on the real one.
 *
 * The model is one struct without pointers: copying it is a snapshot.  Names,
 * metadata and schemas come from small fixed sets, so that operations meet.  To
 * compare, both are written out as text, the real one through every operation
 * that reads.
 */
#ifndef OCH_TESTS_CATALOG_MODEL_H
#define OCH_TESTS_CATALOG_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/catalog.h"

struct och_mem;

enum {
    MODEL_TENANTS = 5, /* the first is default_tenant */
    MODEL_RESOURCES = 3,
    MODEL_DATABASES = 4, /* names; the first is default_database */
    MODEL_COLLECTIONS = 6,
    MODEL_ROWS_MAX = 64, /* databases, and collections, there may be */
    MODEL_SEGMENTS_MAX = 5
};

enum op_kind {
    OP_TENANT,
    OP_RESOURCE,
    OP_DATABASE,
    OP_DROP_DATABASE,
    OP_CREATE,
    OP_UPDATE,
    OP_DROP,
    OP_STATE,
    OP_FILE_ID,
    OP_RESET,
    OP_KINDS
};

/* One operation.  `target` picks a collection, by number; 0 is never one. */
struct op {
    enum op_kind kind;
    unsigned tenant, database, collection, resource;
    uint32_t target;
    uint64_t salt; /* decides ids, metadata, schema, state */
};

struct model_database {
    bool used;
    unsigned tenant, name;
    struct och_uuid id;
};

struct model_collection {
    bool used;
    unsigned database; /* row in databases */
    unsigned name;
    struct och_uuid id;
    uint32_t number;
    uint64_t content; /* the salt of metadata and schema */
    uint64_t state;   /* the salt of the state; 0: as created */
};

struct model {
    bool tenants[MODEL_TENANTS];
    unsigned resources[MODEL_TENANTS]; /* 0: none, else 1 + index */
    struct model_database databases[MODEL_ROWS_MAX];
    struct model_collection collections[MODEL_ROWS_MAX];
    uint32_t next_number;
};

void model_init(struct model *model);

/* The next operation of the program that `seed` is. */
struct op model_next_op(uint64_t *seed, const struct model *model);

/* Do it to the model; the status that the catalog should answer. */
ochre_status model_apply(struct model *model, const struct op *op);

/* Do it to the catalog.  *file_id_out is set by OP_FILE_ID. */
ochre_status model_run(struct och_catalog *catalog, struct och_mem *mem, const struct model *model,
        const struct op *op, uint64_t *file_id_out, struct ochre_error *err);

/* All there is, as text; free it. */
char *model_text(const struct model *model);

/* The same from the catalog; NULL with a status when it could not be read. */
char *model_text_of(struct och_catalog *catalog, struct och_mem *mem, ochre_status *status_out,
        struct ochre_error *err);

/* For messages. */
const char *model_op_name(const struct op *op);

#endif /* OCH_TESTS_CATALOG_MODEL_H */
