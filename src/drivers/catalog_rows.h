/*
 * catalog_rows.h - what each operation of the catalog reads and writes, within a
 * transaction that catalog_sqlite.c has begun and will end.
 *
 * Each function that changes something looks first and refuses before its first
 * change, with the message a client gets to read.
 *
 * Threads: one at a time.
 */
#ifndef OCH_DRIVERS_CATALOG_ROWS_H
#define OCH_DRIVERS_CATALOG_ROWS_H

#include "drivers/catalog_db.h"
#include "engine/catalog.h"

/* Which rows of a list are wanted, and the answer. */
struct och_rows {
    struct och_arena *arena;             /* borrowed: where the rows go */
    struct ochre_bytes tenant, database; /* as the function needs them */
    uint64_t limit, offset;
    void *rows; /* in the arena; NULL when there are none */
    size_t n;
    size_t room; /* rows there is memory for */
};

/* A collection as each_collection shows it. */
struct och_rows_listed {
    struct och_uuid id;
    uint32_t number;
    struct och_collection_state state; /* without keys */
    size_t n_segments;
};

OCH_MUST_CHECK ochre_status och_rows_add_tenant(
        struct och_catalog_db *db, struct ochre_bytes name, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_rows_get_tenant(struct och_catalog_db *db, struct och_arena *arena,
        struct ochre_bytes name, struct ochre_bytes *resource_name_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_rows_set_resource_name(struct och_catalog_db *db,
        struct ochre_bytes name, struct ochre_bytes resource_name, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_rows_get_by_resource(struct och_catalog_db *db,
        struct och_arena *arena, struct ochre_bytes resource_name, struct ochre_bytes *name_out,
        struct ochre_error *err);

/* Rows: struct och_tenant_row. */
OCH_MUST_CHECK ochre_status och_rows_list_tenants(
        struct och_catalog_db *db, struct och_rows *list, struct ochre_error *err);

OCH_MUST_CHECK ochre_status och_rows_add_database(
        struct och_catalog_db *db, const struct och_database_row *row, struct ochre_error *err);
/* row->tenant and row->name are given, and are copied into the arena. */
OCH_MUST_CHECK ochre_status och_rows_get_database(struct och_catalog_db *db,
        struct och_arena *arena, struct och_database_row *row, struct ochre_error *err);
/* Rows: struct och_database_row. */
OCH_MUST_CHECK ochre_status och_rows_list_databases(
        struct och_catalog_db *db, struct och_rows *list, struct ochre_error *err);
/* Rows: the struct och_uuid of each collection dropped with it, and of their pins. */
OCH_MUST_CHECK ochre_status och_rows_drop_database(
        struct och_catalog_db *db, struct och_rows *list, struct ochre_error *err);

OCH_MUST_CHECK ochre_status och_rows_add_collection(struct och_catalog_db *db,
        const struct och_collection_row *row, uint32_t *number_out, struct ochre_error *err);
/* row->tenant, database and name are given. */
OCH_MUST_CHECK ochre_status och_rows_get_by_name(struct och_catalog_db *db, struct och_arena *arena,
        struct och_collection_row *row, struct ochre_error *err);
/* row->id is given. */
OCH_MUST_CHECK ochre_status och_rows_get_by_id(struct och_catalog_db *db, struct och_arena *arena,
        struct och_collection_row *row, struct ochre_error *err);
/* row->number is given. */
OCH_MUST_CHECK ochre_status och_rows_get_by_number(struct och_catalog_db *db,
        struct och_arena *arena, struct och_collection_row *row, struct ochre_error *err);
/* Rows: struct och_collection_row. */
OCH_MUST_CHECK ochre_status och_rows_list_collections(
        struct och_catalog_db *db, struct och_rows *list, struct ochre_error *err);
/* Of list->tenant and database: sets list->n alone. */
OCH_MUST_CHECK ochre_status och_rows_count_collections(
        struct och_catalog_db *db, struct och_rows *list, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_rows_change_collection(
        struct och_catalog_db *db, const struct och_collection_row *row, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_rows_drop_collection(
        struct och_catalog_db *db, struct och_uuid id, struct ochre_error *err);

/* Rows: struct och_segment_row. */
OCH_MUST_CHECK ochre_status och_rows_get_state(struct och_catalog_db *db, struct och_uuid id,
        struct och_collection_state *state_out, struct och_rows *segments, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_rows_set_state(struct och_catalog_db *db, struct och_uuid id,
        const struct och_collection_state *state, const struct och_segment_row *segments, size_t n,
        struct ochre_error *err);

/* The collection with this number, made before in this transaction, is a fork of `source`. */
OCH_MUST_CHECK ochre_status och_rows_add_fork(struct och_catalog_db *db, struct och_uuid source,
        uint32_t number, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_rows_count_forks(struct och_catalog_db *db, struct och_uuid id,
        uint64_t *count_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_rows_is_fork(
        struct och_catalog_db *db, struct och_uuid id, bool *is_fork_out, struct ochre_error *err);

/* As och_rows_add_collection, a pin of `source`; row->tenant and database do not matter. */
OCH_MUST_CHECK ochre_status och_rows_add_pin(struct och_catalog_db *db, struct och_uuid source,
        const struct och_collection_row *row, uint32_t *number_out, struct ochre_error *err);
/* Rows: struct och_pin_row. */
OCH_MUST_CHECK ochre_status och_rows_list_pins(struct och_catalog_db *db, struct och_uuid source,
        struct och_rows *list, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_rows_count_pins(
        struct och_catalog_db *db, uint64_t *count_out, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_rows_get_pin_at(struct och_catalog_db *db, struct och_arena *arena,
        struct och_uuid source, uint64_t position, struct och_collection_row *row_out,
        struct ochre_error *err);

/* Take `n` file ids: those up to *end_out, which is not among them. */
OCH_MUST_CHECK ochre_status och_rows_take_file_ids(
        struct och_catalog_db *db, uint64_t n, uint64_t *end_out, struct ochre_error *err);

/* Up to list->limit collections with numbers above `after`, ascending.  Rows:
 * struct och_rows_listed. */
OCH_MUST_CHECK ochre_status och_rows_list_states(
        struct och_catalog_db *db, uint32_t after, struct och_rows *list, struct ochre_error *err);

/* Drop everything and make the defaults; what counts up goes on counting. */
OCH_MUST_CHECK ochre_status och_rows_clear(struct och_catalog_db *db, struct ochre_error *err);

/* Pages, structure, references, counters. */
OCH_MUST_CHECK ochre_status och_rows_check(struct och_catalog_db *db, struct ochre_error *err);

#endif /* OCH_DRIVERS_CATALOG_ROWS_H */
