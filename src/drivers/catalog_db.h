/*
 * catalog_db.h - one SQLite connection to catalog.db: its statements, its
 * transactions, and the way back after a failure.
 *
 * A transaction that fails before it changed anything is rolled back.  One that
 * fails later, or any failure of SQLite itself, costs the connection: the files
 * are frozen, the connection is closed, and the next begin recovers and opens a
 * new one.  So there is one recovery, the one after a crash.
 *
 * When it is the commit that fails, the outcome is found out at once: recovery
 * has left either state durable, and the generation says which.
 *
 *      begin ── calls ── end(OCHRE_OK)  ── generation + 1, commit ── done
 *                 │           └ commit failed: close, recover, look
 *                 └ failed ── end(status) ── roll back, or close
 *
 * Threads: one at a time; catalog_sqlite.c holds a mutex.
 */
#ifndef OCH_DRIVERS_CATALOG_DB_H
#define OCH_DRIVERS_CATALOG_DB_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "drivers/catalog_copy.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_arena;
struct och_catalog_sqlite_options;
struct och_log;
struct och_mem;
struct och_sqlite_vfs;
struct och_vfs;

/* Every statement there is; catalog_db.c has their text. */
enum och_sql {
    OCH_SQL_GENERATION,
    OCH_SQL_GENERATION_RAISE,
    OCH_SQL_FILE_IDS_TAKE,
    OCH_SQL_NUMBER_NEXT,
    OCH_SQL_NUMBER_TAKE,
    OCH_SQL_TENANT_GET,
    OCH_SQL_TENANT_ADD,
    OCH_SQL_TENANT_NAME_RESOURCE,
    OCH_SQL_TENANT_LIST,
    OCH_SQL_TENANT_BY_RESOURCE,
    OCH_SQL_DATABASE_GET,
    OCH_SQL_DATABASE_ADD,
    OCH_SQL_DATABASE_LIST,
    OCH_SQL_DATABASE_DROP,
    OCH_SQL_COLLECTION_ADD,
    OCH_SQL_COLLECTION_ADD_STATE,
    OCH_SQL_COLLECTION_BY_NAME,
    OCH_SQL_COLLECTION_BY_ID,
    OCH_SQL_COLLECTION_BY_NUMBER,
    OCH_SQL_COLLECTION_LIST,
    OCH_SQL_COLLECTION_COUNT,
    OCH_SQL_COLLECTION_IDS,
    OCH_SQL_COLLECTION_NAMESAKE,
    OCH_SQL_COLLECTION_CHANGE,
    OCH_SQL_COLLECTION_DROP,
    OCH_SQL_COLLECTION_EACH,
    OCH_SQL_STATE_GET,
    OCH_SQL_STATE_SET,
    OCH_SQL_SEGMENTS_GET,
    OCH_SQL_SEGMENTS_DROP,
    OCH_SQL_SEGMENT_ADD,
    OCH_SQL_FORKS_EXIST,
    OCH_SQL_FORKS_MAKE,
    OCH_SQL_FORK_TREE,
    OCH_SQL_FORK_ADD,
    OCH_SQL_FORK_COUNT,
    OCH_SQL_PIN_PLACE,
    OCH_SQL_PIN_ADD_PLACE,
    OCH_SQL_PIN_COUNT,
    OCH_SQL_PIN_COUNT_ALL,
    OCH_SQL_PIN_NAMED,
    OCH_SQL_PIN_LIST,
    OCH_SQL_PIN_AT,
    OCH_SQL_PINS_LOST,
    OCH_SQL_PINS_DROP_LOST,
    OCH_SQL_CLEAR_SEGMENTS,
    OCH_SQL_CLEAR_STATES,
    OCH_SQL_CLEAR_COLLECTIONS,
    OCH_SQL_CLEAR_DATABASES,
    OCH_SQL_CLEAR_TENANTS,
    OCH_SQL_CHECK_STRUCTURE,
    OCH_SQL_CHECK_REFERENCES,
    OCH_SQL_CHECK_COUNTERS,
    OCH_SQL_COUNT
};

struct och_catalog_db {
    struct och_mem *mem;                     /* borrowed */
    struct och_vfs *vfs;                     /* borrowed */
    const struct och_log *log;               /* borrowed; may be NULL */
    const struct och_catalog *owner;         /* borrowed; NULL while it is opened */
    bool only_reads;                         /* the copy is neither used nor written */
    struct och_catalog_copy copy;            /* owned */
    struct och_sqlite_vfs *files;            /* owned */
    sqlite3 *connection;                     /* owned; NULL after a failure */
    sqlite3_stmt *statements[OCH_SQL_COUNT]; /* owned, prepared at first use */
    bool failed;                             /* the connection is not to be used again */
    bool holds;                              /* a transaction is open: nothing may commit ... */
    bool was_undone;                         /* ... and SQLite wanted to, having undone it */
};

/* Open, or with `create` make.  OCHRE_NOT_FOUND: no catalog and no `create`. */
OCH_MUST_CHECK ochre_status och_catalog_db_open(struct och_catalog_db *db,
        const struct och_catalog_sqlite_options *options, struct ochre_error *err);

/* Closing what was not opened is fine, if it is zero. */
void och_catalog_db_close(struct och_catalog_db *db);

/* Close the connection; the next begin opens a new one.  Outside of transactions. */
void och_catalog_db_reconnect(struct och_catalog_db *db);

/* Reads see one state from begin_read to end_read, which must follow even when
 * begin_read failed; end_read returns the `status` it is given. */
OCH_MUST_CHECK ochre_status och_catalog_db_begin_read(
        struct och_catalog_db *db, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_catalog_db_end_read(struct och_catalog_db *db, ochre_status status);

/*
 * A transaction that changes something, from begin to end, which must follow
 * even when begin failed.  With status OCHRE_OK, end raises the generation and
 * commits; otherwise it undoes and returns the status.
 *
 * Look before the first change: a transaction refused until then is cheap.
 */
OCH_MUST_CHECK ochre_status och_catalog_db_begin(
        struct och_catalog_db *db, struct ochre_error *err);
OCH_MUST_CHECK ochre_status och_catalog_db_end(
        struct och_catalog_db *db, ochre_status status, struct ochre_error *err);

OCH_MUST_CHECK ochre_status och_catalog_db_generation(
        struct och_catalog_db *db, uint64_t *generation_out, struct ochre_error *err);

/* Between two transactions: bring the copy in step, where it is not. */
OCH_MUST_CHECK ochre_status och_catalog_db_keep_copy(
        struct och_catalog_db *db, struct ochre_error *err);

/* Between two transactions: read both files, and where they do not agree make the one anew that is
 * wrong: catalog.db, if the copy is whole and has all there was. */
OCH_MUST_CHECK ochre_status och_catalog_db_scrub_copy(
        struct och_catalog_db *db, bool *mended_out, struct ochre_error *err);

/* Between two transactions: have what was deleted be in none of the files. */
OCH_MUST_CHECK ochre_status och_catalog_db_tidy(struct och_catalog_db *db, struct ochre_error *err);

/* Make default_tenant and default_database, within a transaction. */
OCH_MUST_CHECK ochre_status och_catalog_db_add_defaults(
        struct och_catalog_db *db, struct ochre_error *err);

/*
 * One run of a statement.  Parameters are given in order; errors stick until the
 * step, so that a call is a straight line.  Bytes are borrowed until the next
 * call of the same statement or the end of the transaction.
 */
struct och_call {
    struct och_catalog_db *db;
    sqlite3_stmt *statement; /* borrowed; NULL when preparing failed */
    int code;                /* the first failure */
    int n_bound;
};

void och_call_init(struct och_call *call, struct och_catalog_db *db, enum och_sql which);
void och_call_put_bytes(struct och_call *call, struct ochre_bytes bytes); /* data NULL: NULL */
void och_call_put_u64(struct och_call *call, uint64_t number);

/* The next row, or the end. */
OCH_MUST_CHECK ochre_status och_call_step(
        struct och_call *call, bool *has_row_out, struct ochre_error *err);

/* Run a statement that yields no row. */
OCH_MUST_CHECK ochre_status och_call_run(struct och_call *call, struct ochre_error *err);

/* Columns of the current row, from 0. */
uint64_t och_call_u64(const struct och_call *call, int column);
bool och_call_is_null(const struct och_call *call, int column);
/* Copied into the arena; data NULL for NULL. */
OCH_MUST_CHECK ochre_status och_call_bytes(struct och_call *call, int column,
        struct och_arena *arena, struct ochre_bytes *bytes_out, struct ochre_error *err);
/* Exactly `size` bytes, else OCHRE_CORRUPT. */
OCH_MUST_CHECK ochre_status och_call_fixed(
        struct och_call *call, int column, void *bytes_out, size_t size, struct ochre_error *err);

#endif /* OCH_DRIVERS_CATALOG_DB_H */
