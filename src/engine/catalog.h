/*
 * catalog.h - the port to whatever keeps tenants, databases, collections and
 * the lists of their segments: SQLite on one node, PostgreSQL in a cluster.
 *
 * Every operation is one transaction: done and durable when it returns
 * OCHRE_OK, and without any effect otherwise.  Each transaction that changes
 * something raises the catalog's generation by one.
 *
 *      tenant 1──n database 1──n collection 1──n segment
 *                                    │ state as of one log position
 *
 * A collection's row has two halves that change for different reasons: what
 * people decide (name, metadata, schema) and what writing derives (struct
 * och_collection_state), which is replaced together with the segment list when
 * a head is sealed, in one transaction.
 *
 * Databases may exist under a tenant that was never created.
 *
 * A pin of a collection is a collection, too, in a database that nobody can name: its tenant's
 * name is empty, and its own name is the 16 bytes of the pinned collection's id.  What takes a
 * tenant does not find it, and makes none; what takes an id, or visits all, does.  A pin goes
 * with the collection that it is of, in the same transaction.
 *
 * Results are allocated in the arena the caller passes.  Names are bytes,
 * compared exactly.
 *
 * Errors: OCHRE_NOT_FOUND, OCHRE_EXISTS, OCHRE_CORRUPT, OCHRE_IO, OCHRE_FULL,
 * OCHRE_NO_MEMORY; messages as in docs/compatibility.md.
 *
 * Threads: any; the driver serialises.
 */
#ifndef OCH_ENGINE_CATALOG_H
#define OCH_ENGINE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;
struct och_buf;
struct och_catalog;

struct och_tenant_row {
    struct ochre_bytes name;
    struct ochre_bytes resource_name; /* NULL data: none was set */
};

struct och_database_row {
    struct och_uuid id;
    struct ochre_bytes tenant, name;
};

struct och_collection_row {
    struct och_uuid id;
    struct ochre_bytes tenant, database, name;
    struct ochre_bytes metadata; /* encoded (index/meta/fields.h); data NULL: none */
    struct ochre_bytes schema;   /* JSON text as api/schema.h stores it; never NULL */
    uint32_t number;             /* small, unique, never reused: the log's name for it */
};

/* Is the collection a pin of another one? */
static inline bool
och_collection_row_is_pin(const struct och_collection_row *row)
{
    return row->tenant.size == 0;
}

/* A collection's pin. */
struct och_pin_row {
    struct och_uuid id;          /* of the collection that it is */
    struct ochre_bytes name;     /* one of its own among the pins of the collection */
    struct ochre_bytes metadata; /* as whoever made it had it */
    uint64_t position;
    uint64_t n_bytes; /* of its segments that the collection does not list any more */
};

/* What the log records up to `position` have made of a collection. */
struct och_collection_state {
    uint64_t position;       /* the last log record applied to the segments; 0: none */
    uint64_t lsn;            /* that record's sequence number in the log */
    uint64_t next_ordinal;   /* the next new record's place in insertion order */
    uint32_t dim;            /* 0: not known yet */
    struct ochre_bytes keys; /* encoded set of metadata keys and their types seen */
};

/* One segment in a collection's list. */
struct och_segment_row {
    uint64_t id;         /* never given out twice; names the file.  Forks share it */
    uint64_t deletes_id; /* the number of its newest delete file; 0: none */
    uint64_t n_rows;
    uint64_t n_deleted;
    uint64_t file_size;
    uint64_t file_hash; /* of the footer, which covers all others */
};

struct och_catalog_ops {
    void (*close)(struct och_catalog *catalog);

    ochre_status (*generation)(
            struct och_catalog *catalog, uint64_t *generation_out, struct ochre_error *err);

    ochre_status (*tenant_create)(
            struct och_catalog *catalog, struct ochre_bytes name, struct ochre_error *err);
    /* *resource_name_out has NULL data when none was set. */
    ochre_status (*tenant_get)(struct och_catalog *catalog, struct och_arena *arena,
            struct ochre_bytes name, struct ochre_bytes *resource_name_out,
            struct ochre_error *err);
    /* OCHRE_EXISTS when the tenant has one, or another tenant has this one. */
    ochre_status (*tenant_set_resource_name)(struct och_catalog *catalog, struct ochre_bytes name,
            struct ochre_bytes resource_name, struct ochre_error *err);
    ochre_status (*tenant_by_resource_name)(struct och_catalog *catalog, struct och_arena *arena,
            struct ochre_bytes resource_name, struct ochre_bytes *name_out,
            struct ochre_error *err);

    /* All of them, by name in byte order. */
    ochre_status (*tenant_list)(struct och_catalog *catalog, struct och_arena *arena,
            struct och_tenant_row **rows_out, size_t *n_out, struct ochre_error *err);

    /* OCHRE_INVALID: the tenant's name is empty. */
    ochre_status (*database_create)(struct och_catalog *catalog, const struct och_database_row *row,
            struct ochre_error *err);
    ochre_status (*database_get)(struct och_catalog *catalog, struct och_arena *arena,
            struct ochre_bytes tenant, struct ochre_bytes name, struct och_database_row *row_out,
            struct ochre_error *err);
    /* By name in byte order; an unknown tenant has none. */
    ochre_status (*database_list)(struct och_catalog *catalog, struct och_arena *arena,
            struct ochre_bytes tenant, uint64_t limit, uint64_t offset,
            struct och_database_row **rows_out, size_t *n_out, struct ochre_error *err);
    /* Drops its collections and their pins too, and returns their ids. */
    ochre_status (*database_delete)(struct och_catalog *catalog, struct och_arena *arena,
            struct ochre_bytes tenant, struct ochre_bytes name, struct och_uuid **dropped_out,
            size_t *n_out, struct ochre_error *err);

    /*
     * Insert `row` and set its `number`.  When the name is taken: OCHRE_EXISTS;
     * when the database is not there: OCHRE_NOT_FOUND.
     */
    ochre_status (*collection_create)(
            struct och_catalog *catalog, struct och_collection_row *row, struct ochre_error *err);
    ochre_status (*collection_by_name)(struct och_catalog *catalog, struct och_arena *arena,
            struct ochre_bytes tenant, struct ochre_bytes database, struct ochre_bytes name,
            struct och_collection_row *row_out, struct ochre_error *err);
    ochre_status (*collection_by_id)(struct och_catalog *catalog, struct och_arena *arena,
            struct och_uuid id, struct och_collection_row *row_out, struct ochre_error *err);
    ochre_status (*collection_by_number)(struct och_catalog *catalog, struct och_arena *arena,
            uint32_t number, struct och_collection_row *row_out, struct ochre_error *err);
    /* In creation order; an unknown database has none. */
    ochre_status (*collection_list)(struct och_catalog *catalog, struct och_arena *arena,
            struct ochre_bytes tenant, struct ochre_bytes database, uint64_t limit, uint64_t offset,
            struct och_collection_row **rows_out, size_t *n_out, struct ochre_error *err);
    ochre_status (*collection_count)(struct och_catalog *catalog, struct ochre_bytes tenant,
            struct ochre_bytes database, uint64_t *count_out, struct ochre_error *err);
    /* Replace name, metadata and schema of row->id.  OCHRE_EXISTS: name taken. */
    ochre_status (*collection_update)(struct och_catalog *catalog,
            const struct och_collection_row *row, struct ochre_error *err);
    /* Its pins go, too; who wants their ids asks before. */
    ochre_status (*collection_delete)(
            struct och_catalog *catalog, struct och_uuid id, struct ochre_error *err);

    /*
     * Insert `row` as collection_create does, with this state and these segments, as a fork
     * of `source`.  OCHRE_NOT_FOUND when that was dropped.
     *
     * With an empty tenant, as a pin of it, whatever the database: OCHRE_EXISTS when it has one
     * of this name; OCHRE_INVALID when it has as many as there may be (OCH_PINS_MAX).
     */
    ochre_status (*collection_fork)(struct och_catalog *catalog, struct och_uuid source,
            struct och_collection_row *row, const struct och_collection_state *state,
            const struct och_segment_row *segments, size_t n, struct ochre_error *err);
    /* Insert `row` as collection_create does, with this state and these segments. */
    ochre_status (*collection_adopt)(struct och_catalog *catalog, struct och_collection_row *row,
            const struct och_collection_state *state, const struct och_segment_row *segments,
            size_t n, struct ochre_error *err);
    /* Forks there are in the tree that the collection is in. */
    ochre_status (*fork_count)(struct och_catalog *catalog, struct och_uuid id, uint64_t *count_out,
            struct ochre_error *err);

    /* The pins of a collection, in creation order; an unknown one has none. */
    ochre_status (*pin_list)(struct och_catalog *catalog, struct och_arena *arena,
            struct och_uuid source, struct och_pin_row **rows_out, size_t *n_out,
            struct ochre_error *err);
    /* Pins there are, of all collections. */
    ochre_status (*pin_count)(
            struct och_catalog *catalog, uint64_t *count_out, struct ochre_error *err);
    /* The first pin of a collection at this position.  OCHRE_NOT_FOUND. */
    ochre_status (*pin_at)(struct och_catalog *catalog, struct och_arena *arena,
            struct och_uuid source, uint64_t position, struct och_collection_row *row_out,
            struct ochre_error *err);

    /* Did the collection begin as another one?  A pin did not. */
    ochre_status (*is_fork)(struct och_catalog *catalog, struct och_uuid id, bool *is_fork_out,
            struct ochre_error *err);

    /* The state and segments of a collection, segments oldest first. */
    ochre_status (*state_get)(struct och_catalog *catalog, struct och_arena *arena,
            struct och_uuid id, struct och_collection_state *state_out,
            struct och_segment_row **segments_out, size_t *n_out, struct ochre_error *err);
    /* Replace both at once.  OCHRE_NOT_FOUND when the collection was dropped. */
    ochre_status (*state_set)(struct och_catalog *catalog, struct och_uuid id,
            const struct och_collection_state *state, const struct och_segment_row *segments,
            size_t n, struct ochre_error *err);
    /* A new segment or delete-file id, above all given before, even by a process
     * that crashed. */
    ochre_status (*next_file_id)(
            struct och_catalog *catalog, uint64_t *id_out, struct ochre_error *err);

    /* Call `visit` for every collection: id, number and state (without keys). */
    ochre_status (*each_collection)(struct och_catalog *catalog, struct och_arena *arena,
            ochre_status (*visit)(void *context, struct och_uuid id, uint32_t number,
                    const struct och_collection_state *state, size_t n_segments),
            void *context, struct ochre_error *err);

    /* Drop everything, then make default_tenant and default_database (id zero). */
    ochre_status (*reset)(struct och_catalog *catalog, struct ochre_error *err);

    /* Append the bytes that another process would find and open, were there no
     * transaction after this. */
    ochre_status (*copy)(
            struct och_catalog *catalog, struct och_buf *bytes_out, struct ochre_error *err);

    /* Bring the second copy of the catalog in step, where it is not; each transaction
     * does it, too. */
    ochre_status (*keep_copy)(struct och_catalog *catalog, struct ochre_error *err);

    /* Read the second copy; one that is damaged is made anew (*mended_out).  OCHRE_CORRUPT:
     * the first one is. */
    ochre_status (*scrub_copy)(
            struct och_catalog *catalog, bool *mended_out, struct ochre_error *err);

    /* Have what was deleted be in none of the catalog's files. */
    ochre_status (*tidy)(struct och_catalog *catalog, struct ochre_error *err);

    /* Read and verify everything: page checksums, structure, references. */
    ochre_status (*check)(struct och_catalog *catalog, struct ochre_error *err);

    /* Of a catalog that another process may change: answer from now on as it is now.
     * *changed_out: that is another state than before.  One thread at a time.
     * OCHRE_UNAVAILABLE: it changes too fast, for once. */
    ochre_status (*follow)(struct och_catalog *catalog, bool *changed_out, struct ochre_error *err);
};

struct och_catalog {
    const struct och_catalog_ops *ops;
    /* Asked for room on a full disk when the files have to be made good before anything can
     * be read; false: there is no more to be had.  NULL: there is nobody to ask.  Called with
     * the catalog's lock held. */
    bool (*give_room)(void *context);
    void *give_context;
};

#define OCH_DEFAULT_TENANT "default_tenant"
#define OCH_DEFAULT_DATABASE "default_database"

#endif /* OCH_ENGINE_CATALOG_H */
