/*
 * ops.h - the verbs: what can be asked of a database, as C structs.
 *
 * Each verb validates its input, does its work through the engine and catalog,
 * and fills in a result.  The HTTP server and the public C API (api/public.c)
 * both come through here, so both get the same rules and the same answers.
 *
 * Every check is made before anything is logged or changed.  The order is that
 * of the wire: the collection must exist before its request is looked at, which
 * is why decoders do not report some errors but hand them over as `deferred`.
 *
 * Arenas: results of catalog verbs lie in the arena the caller gives.  Results
 * of reads are och_result (engine/result.h), released by the caller.
 *
 * Errors: the status says the class; messages name field, value and limit.
 *
 * Threads: any.
 */
#ifndef OCH_API_OPS_H
#define OCH_API_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/uuid.h"
#include "engine/catalog.h"
#include "engine/index_status.h"
#include "engine/result.h"
#include "engine/write.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;
struct och_backup_stream;
struct och_backup_totals;
struct och_key;
struct och_schema;
struct och_schema_change;
struct och_schema_request;
struct ochre_db;

/* A collection as a record verb names it.  All three must fit together. */
struct och_target {
    struct ochre_bytes tenant, database;
    struct och_uuid id;
};

/* --- system (op_system.c) ---------------------------------------------------- */

uint64_t och_op_heartbeat_ns(struct ochre_db *db);

/*
 * Back up the database, which goes on meanwhile (api/backup.h), into the directory
 * that its options name.
 *
 * Errors: OCHRE_DENIED  they name none; and those of och_backup_database
 */
OCH_MUST_CHECK ochre_status och_op_backup(
        struct ochre_db *db, struct och_backup_totals *totals_out, struct ochre_error *err);

/*
 * Begin a backup that is one stream, to be read with och_backup_stream_read and closed
 * (api/backup_stream.h).
 *
 * Errors: those of och_backup_stream_open_database; OCHRE_DENIED: it is only read
 */
OCH_MUST_CHECK ochre_status och_op_backup_stream(
        struct ochre_db *db, struct och_backup_stream **stream_out, struct ochre_error *err);

/* OCHRE_DENIED unless the database was opened with allow_reset. */
OCH_MUST_CHECK ochre_status och_op_reset(struct ochre_db *db, struct ochre_error *err);

/* Compact every collection (och_engine_compact).  One that fails does not keep the
 * others from it; the first failure is the answer. */
OCH_MUST_CHECK ochre_status och_op_compact(struct ochre_db *db, struct ochre_error *err);

/*
 * Have nothing of what was deleted, replaced or dropped before this call in any file:
 * every file that has dead records is written anew without them, and the log that held them goes.  Backups are not looked at,
 * nor blocks that the file system freed.  What a pin shows was not deleted there, and stays: who
 * wants that gone, too, asks och_op_pin_count.
 *
 * Collections that are made meanwhile come to their turn too: a fork may have what its
 * source had.
 *
 * What was there before an upgrade is kept until that is settled (api/upgrade.h), and what
 * was deleted since with it: then all else is done, and the answer is an error that says so.
 *
 * Errors: OCHRE_UNAVAILABLE  new ones came without end; or an upgrade is not settled
 *         those of och_op_compact, and of och_engine_purge_end
 */
OCH_MUST_CHECK ochre_status och_op_purge(struct ochre_db *db, struct ochre_error *err);
/* As och_op_purge, unless nothing was written since the last one. */
OCH_MUST_CHECK ochre_status och_op_purge_due(
        struct ochre_db *db, bool *was_due_out, struct ochre_error *err);

/* --- tenants and databases (op_tenant.c, op_database.c) ---------------------- */

OCH_MUST_CHECK ochre_status och_op_tenant_create(
        struct ochre_db *db, struct ochre_bytes name, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_op_tenant_get(struct ochre_db *db, struct och_arena *arena,
        struct ochre_bytes name, struct ochre_bytes *resource_name_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_op_tenant_update(struct ochre_db *db, struct ochre_bytes name,
        struct ochre_bytes resource_name, struct ochre_error *err);

OCH_MUST_CHECK ochre_status och_op_database_create(struct ochre_db *db, struct ochre_bytes tenant,
        struct ochre_bytes name, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_op_database_get(struct ochre_db *db, struct och_arena *arena,
        struct ochre_bytes tenant, struct ochre_bytes name, struct och_database_row *row_out,
        struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_op_database_list(struct ochre_db *db, struct och_arena *arena,
        struct ochre_bytes tenant, uint64_t limit, uint64_t offset,
        struct och_database_row **rows_out, size_t *n_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_op_database_delete(struct ochre_db *db, struct ochre_bytes tenant,
        struct ochre_bytes name, struct ochre_error *err);

/* --- collections (op_collection.c) ------------------------------------------- */

/* Everything an answer shows of a collection; in the caller's arena. */
struct och_collection_info {
    struct och_collection_row row;
    struct ochre_metadata metadata; /* of the collection; no fields: null */
    const struct och_schema *schema;
    const struct och_key *keys; /* metadata keys seen, for the schema's growth */
    size_t n_keys;
    uint32_t dim;          /* 0: null */
    uint64_t log_position; /* its last write */
};

struct och_create {
    struct ochre_bytes tenant, database, name;
    const struct ochre_metadata *metadata;    /* NULL: none */
    const struct och_schema_request *indexes; /* configuration and schema (api/schema.h) */
    bool get_or_create;
};

/* Is there one, in that database?  OCHRE_NOT_FOUND. */
OCH_MUST_CHECK ochre_status och_op_collection_check(
        struct ochre_db *db, const struct och_target *target, struct ochre_error *err);

/* Errors: OCHRE_INVALID (also: no such database), OCHRE_EXISTS. */
OCH_MUST_CHECK ochre_status och_op_collection_create(struct ochre_db *db, struct och_arena *arena,
        const struct och_create *create, struct och_collection_info *info_out,
        struct ochre_error *err);

OCH_MUST_CHECK ochre_status och_op_collection_get(struct ochre_db *db, struct och_arena *arena,
        struct ochre_bytes tenant, struct ochre_bytes database, struct ochre_bytes name,
        struct och_collection_info *info_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_op_collection_get_by_id(struct ochre_db *db,
        struct och_arena *arena, const struct och_target *target,
        struct och_collection_info *info_out, struct ochre_error *err);
/* By "tenant_resource_name:database:collection". */
OCH_MUST_CHECK ochre_status och_op_collection_get_by_crn(struct ochre_db *db,
        struct och_arena *arena, struct ochre_bytes crn, struct och_collection_info *info_out,
        struct ochre_error *err);
/* In creation order; an unknown tenant or database has none. */
OCH_MUST_CHECK ochre_status och_op_collection_list(struct ochre_db *db, struct och_arena *arena,
        struct ochre_bytes tenant, struct ochre_bytes database, uint64_t limit, uint64_t offset,
        struct och_collection_info **infos_out, size_t *n_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_op_collection_count(struct ochre_db *db, struct ochre_bytes tenant,
        struct ochre_bytes database, uint64_t *count_out, struct ochre_error *err);

/*
 * Make a collection of what the target is at this moment, in the same database
 * (och_engine_fork).
 *
 * Errors: OCHRE_INVALID (the name), OCHRE_EXISTS, OCHRE_NOT_FOUND.
 */
OCH_MUST_CHECK ochre_status och_op_collection_fork(struct ochre_db *db, struct och_arena *arena,
        const struct och_target *target, struct ochre_bytes new_name,
        struct och_collection_info *info_out, struct ochre_error *err);
/* Forks there are in the tree that the target is in; those that were dropped do not count. */
OCH_MUST_CHECK ochre_status och_op_collection_fork_count(struct ochre_db *db,
        const struct och_target *target, uint64_t *count_out, struct ochre_error *err);

struct och_update {
    struct ochre_bytes new_name;               /* data NULL: stays */
    const struct ochre_metadata *new_metadata; /* NULL: stays; nulls are dropped */
    const struct och_schema_change *change;    /* NULL: stays */
};

OCH_MUST_CHECK ochre_status och_op_collection_update(struct ochre_db *db,
        const struct och_target *target, const struct och_update *update, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_op_collection_delete(struct ochre_db *db, struct ochre_bytes tenant,
        struct ochre_bytes database, struct ochre_bytes name, struct ochre_error *err);

/* --- pins (op_pin.c) ---------------------------------------------------------- */

/* What an answer shows of a pin; in the caller's arena. */
struct och_pin_info {
    struct ochre_bytes name;
    uint64_t position;       /* that can be read (`as_of`) until it is unpinned */
    uint64_t created_unix_s; /* 0: not known */
    uint64_t n_bytes;        /* of files that the collection itself does not need any more */
};

/*
 * Pin what the target is at this moment: its position can be read from then on, after merges,
 * purges and restarts, until och_op_unpin, or until the collection is dropped.  A name with
 * data NULL: one is made up.
 *
 * Errors: OCHRE_INVALID (the name, or there are OCH_PINS_MAX already), OCHRE_EXISTS (the
 *         collection has a pin of that name), OCHRE_NOT_FOUND; those of och_engine_fork
 * Cost:   as och_engine_fork.
 */
OCH_MUST_CHECK ochre_status och_op_pin(struct ochre_db *db, struct och_arena *arena,
        const struct och_target *target, struct ochre_bytes name, struct och_pin_info *info_out,
        struct ochre_error *err);
/* In the order in which they were made. */
OCH_MUST_CHECK ochre_status och_op_pin_list(struct ochre_db *db, struct och_arena *arena,
        const struct och_target *target, struct och_pin_info **infos_out, size_t *n_out,
        struct ochre_error *err);
/* OCHRE_NOT_FOUND: no such collection, or it has no pin of that name. */
OCH_MUST_CHECK ochre_status och_op_unpin(struct ochre_db *db, const struct och_target *target,
        struct ochre_bytes name, struct ochre_error *err);
/* Pins of all collections. */
OCH_MUST_CHECK ochre_status och_op_pin_count(
        struct ochre_db *db, uint64_t *count_out, struct ochre_error *err);

/* --- records (op_write.c, op_read.c) ----------------------------- */

/* A length that was not given. */
#define OCH_NOT_GIVEN SIZE_MAX

/*
 * Records to add, update or upsert, as decoded.  Columns may still disagree in
 * length: `records` has them as they came, and these say how long each is.
 */
struct och_write_input {
    struct ochre_records records; /* records.n: ids; dims: [n_embeddings], unless NULL */
    size_t n_embeddings, n_documents, n_uris, n_metadatas; /* OCH_NOT_GIVEN */
    struct ochre_error deferred;      /* reported once the collection is known to exist */
    struct ochre_error deferred_last; /* reported when all else is right */
};

/* What a write has done. */
struct och_written {
    uint64_t position;  /* where readers see it; when it changed nothing, where they are */
    uint64_t n_deleted; /* as the wire counts: for ids without a filter the ids asked for,
                         * otherwise the records deleted */
};

OCH_MUST_CHECK ochre_status och_op_write(struct ochre_db *db, const struct och_target *target,
        enum och_write_op op, const struct och_write_input *input, struct och_written *written_out,
        struct ochre_error *err);

/* Which records a read or delete is about, as decoded. */
struct och_select_input {
    bool has_ids;
    const struct ochre_bytes *ids;
    size_t n_ids;
    bool has_filter;             /* where or where_document was given */
    struct ochre_filter filter;  /* both, combined by AND */
    struct ochre_error deferred; /* a filter that breaks the grammar */
};

/* `limit` UINT64_MAX: none given. */
OCH_MUST_CHECK ochre_status och_op_delete(struct ochre_db *db, const struct och_target *target,
        const struct och_select_input *select, uint64_t limit, struct och_written *written_out,
        struct ochre_error *err);

/*
 * Reads may name the position that they are of: NULL is now.  Errors then:
 * OCHRE_STALE  it cannot be read any more, or was not reached yet.
 */
struct och_get_input {
    struct och_select_input select;
    uint64_t offset, limit; /* UINT64_MAX: none */
    unsigned include;
    const uint64_t *as_of;
    bool pages;                /* the result says with what cursor it goes on */
    struct ochre_bytes cursor; /* behind what page; empty: from the beginning */
};

OCH_MUST_CHECK ochre_status och_op_get(struct ochre_db *db, const struct och_target *target,
        const struct och_get_input *get, struct och_result **result_out, struct ochre_error *err);

struct och_query_input {
    struct och_select_input select;
    const float *queries; /* one after the other */
    size_t n_queries;
    const uint32_t *dims;        /* [n_queries]: each one's length */
    struct ochre_error deferred; /* a number that is not finite as f32, ... */
    uint32_t k;
    unsigned include;
    bool exact, explain;
    float recall_target; /* 0: not given */
    uint32_t effort;     /* 0: not given */
    const uint64_t *as_of;
};

OCH_MUST_CHECK ochre_status och_op_query(struct ochre_db *db, const struct och_target *target,
        const struct och_query_input *query, struct och_result **result_out,
        struct ochre_error *err);

/* *position_out, unless NULL: where that was seen. */
OCH_MUST_CHECK ochre_status och_op_count(struct ochre_db *db, const struct och_target *target,
        const uint64_t *as_of, uint64_t *count_out, uint64_t *position_out,
        struct ochre_error *err);

OCH_MUST_CHECK ochre_status och_op_index_status(struct ochre_db *db,
        const struct och_target *target, struct och_index_status *status_out,
        struct ochre_error *err);

#endif /* OCH_API_OPS_H */
