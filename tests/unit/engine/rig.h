/*
 * rig.h - an engine on the simulated disk, with the real catalog and log, and a
 * naive model of one collection beside it.
 *
 * A record is known by its number and says in each column which write it comes
 * from (a tag), so that half of a write, or a mix of two, shows.
 *
 * Threads: one at a time.
 */
#ifndef OCH_TESTS_UNIT_ENGINE_RIG_H
#define OCH_TESTS_UNIT_ENGINE_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "engine/catalog.h"
#include "engine/engine.h"
#include "engine/ports.h"
#include "engine/result.h"
#include "engine/write.h"
#include "sim/sim_machine.h"
#include "storage/wal.h"

struct och_collection;
struct och_executor;
struct och_kernels;
struct och_log_tail;
struct och_vfs;
struct sim_disk;

enum { RIG_DIM = 2, RIG_RECORDS_MAX = 6000 };

struct rig {
    struct och_mem own; /* pays for the disk */
    struct och_mem mem; /* pays for the engine; may be told to refuse */
    struct sim_disk *disk;
    struct sim_machine machine;
    struct och_vfs *vfs;       /* the disk's, unless the test sets another */
    struct och_log_tail *tail; /* of a rig that reads beside another */
    struct och_wal_options log_options;
    struct och_engine_options options;
    struct och_executor *executor;     /* NULL unless the test sets it */
    const struct och_kernels *kernels; /* likewise: the scalar ones */
    const char *schema;                /* of collections to come, likewise: "l2" */
    struct och_catalog *catalog;
    struct och_catalog_ops catalog_ops; /* the catalog's, for a test to change */
    struct och_log_ops log_ops;         /* the log's, likewise */
    struct och_log_source log_source;
    struct och_engine *engine;
};

/* A rig on a new disk; rig_open makes an engine. */
void rig_begin(struct rig *rig);
void rig_end(struct rig *rig); /* closes, and checks that nothing is left */

/* Open catalog and engine; after a failure nothing is open. */
ochre_status rig_open(struct rig *rig, struct ochre_error *err);
void rig_close(struct rig *rig);
void rig_reopen(struct rig *rig); /* must succeed */

/* Open a rig that reads beside the one that writes; it uses that one's disk, and its own
 * executor, if one is set.  Close it with rig_close. */
ochre_status rig_open_beside(struct rig *rig, struct rig *writer, struct ochre_error *err);
/* The same on these files of the disk. */
ochre_status rig_open_beside_on(
        struct rig *rig, struct rig *writer, struct och_vfs *vfs, struct ochre_error *err);

/* Make a collection (l2, default database) and load it; release it. */
struct och_collection *rig_create(struct rig *rig, const char *name);
/* Load one that is there, whatever its state. */
struct och_collection *rig_collection(struct rig *rig, const char *name);

/* Fork; `row` has the id, tenant, database and name of the new one. */
ochre_status rig_fork(struct rig *rig, struct och_collection *source,
        struct och_collection_row *row, struct ochre_error *err);

/* --- writes ----------------------------------------------------------------- */

enum { RIG_VECTOR = 1, RIG_DOCUMENT = 2, RIG_FIELDS = 4, RIG_URI = 8, RIG_ALL = 15 };

struct rig_write {
    enum och_write_op op;
    const uint32_t *numbers; /* of the records */
    size_t n;
    uint32_t tag;
    unsigned columns; /* RIG_*; an update may leave some out */
    uint32_t dim;     /* 0: RIG_DIM */
};

ochre_status rig_write(struct rig *rig, struct och_collection *collection,
        const struct rig_write *write, struct ochre_error *err);

/* Add records first .. first + n - 1, all columns; must succeed. */
void rig_add(struct rig *rig, struct och_collection *collection, uint32_t first, uint32_t n,
        uint32_t tag);

/* Delete up to `limit` records whose metadata has this tag. */
ochre_status rig_delete_tag(struct rig *rig, struct och_collection *collection, uint32_t tag,
        uint64_t limit, uint64_t *deleted_out, struct ochre_error *err);

/* The encoded form of a write, in a buffer of the account; release with och_buf_clear. */
struct och_buf;
void rig_encode(struct och_buf *buf, const struct rig_write *write);

/* --- the model ---------------------------------------------------------------- */

struct rig_record {
    uint32_t number;
    uint32_t vector, document, fields, uri; /* the tags */
};

/* Records in insertion order. */
struct rig_model {
    struct rig_record records[RIG_RECORDS_MAX];
    size_t n;
};

void model_write(struct rig_model *model, const struct rig_write *write);
uint64_t model_delete_tag(struct rig_model *model, uint32_t tag, uint64_t limit);

/* Does the result hold exactly the model's records, in order, in every column? */
void check_result(const struct och_result *result, const struct rig_model *model);
/* Read everything and compare: get, count and one query. */
void check_collection(
        struct rig *rig, struct och_collection *collection, const struct rig_model *model);

/* The same, as of a position; NULL: now. */
void check_collection_at(struct rig *rig, struct och_collection *collection,
        const struct rig_model *model, const uint64_t *as_of);

/* All records with all columns; must succeed.  Release the result. */
struct och_result *rig_get_all(struct rig *rig, struct och_collection *collection);

/* What a read of everything answers. */
ochre_status rig_try(struct rig *rig, struct och_collection *collection, struct ochre_error *err);

/* How many names there are in a directory. */
size_t rig_count_files(struct rig *rig, const char *path);

#endif /* OCH_TESTS_UNIT_ENGINE_RIG_H */
