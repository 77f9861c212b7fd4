#include "drivers/catalog_db.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "drivers/catalog_mend.h"
#include "drivers/catalog_pages.h"
#include "drivers/catalog_rows.h"
#include "drivers/catalog_sqlite.h"
#include "drivers/sqlite_vfs.h"
#include "engine/catalog.h"
#include "os/vfs.h"

/* In the header of catalog.db: "Ochr", and the version of the tables below. */
enum { FORMAT_VERSION = 1 };

/*
 * Before anything is read.  secure_delete is on because it makes SQLite write
 * every page it frees, so that each page of the file has a checksum, and because
 * what was deleted should be gone.
 */
static const char settings[] = "PRAGMA page_size = 4096;"
                               "PRAGMA auto_vacuum = NONE;"
                               "PRAGMA locking_mode = EXCLUSIVE;"
                               "PRAGMA journal_mode = TRUNCATE;"
                               "PRAGMA synchronous = FULL;"
                               "PRAGMA temp_store = MEMORY;"
                               "PRAGMA mmap_size = 0;"
                               "PRAGMA cache_size = 256;"
                               "PRAGMA foreign_keys = ON;"
                               "PRAGMA secure_delete = ON;"
                               "PRAGMA trusted_schema = OFF;"
                               "PRAGMA cell_size_check = ON;";

static const char schema[] =
        "PRAGMA application_id = 0x4f636872;"
        "PRAGMA user_version = 1;"
        "CREATE TABLE meta ("
        " one INTEGER PRIMARY KEY CHECK (one = 1),"
        " generation INTEGER NOT NULL,"
        " next_file_id INTEGER NOT NULL,"
        " next_number INTEGER NOT NULL"
        ") STRICT;"
        "CREATE TABLE tenants ("
        " name BLOB PRIMARY KEY NOT NULL,"
        " resource_name BLOB UNIQUE"
        ") STRICT, WITHOUT ROWID;"
        "CREATE TABLE databases ("
        " key INTEGER PRIMARY KEY,"
        " id BLOB NOT NULL CHECK (length(id) = 16),"
        " tenant BLOB NOT NULL,"
        " name BLOB NOT NULL,"
        " UNIQUE (tenant, name)"
        ") STRICT;"
        "CREATE TABLE collections ("
        " number INTEGER PRIMARY KEY,"
        " id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),"
        " database INTEGER NOT NULL REFERENCES databases (key) ON DELETE CASCADE,"
        " name BLOB NOT NULL,"
        " metadata BLOB,"
        " schema BLOB NOT NULL,"
        " UNIQUE (database, name)"
        ") STRICT;"
        "CREATE INDEX collections_in_order ON collections (database, number);"
        "CREATE TABLE collection_state ("
        " collection INTEGER PRIMARY KEY REFERENCES collections (number) ON DELETE CASCADE,"
        " position INTEGER NOT NULL,"
        " lsn INTEGER NOT NULL,"
        " next_ordinal INTEGER NOT NULL,"
        " dim INTEGER NOT NULL,"
        " keys BLOB"
        ") STRICT;"
        "CREATE TABLE segments ("
        " collection INTEGER NOT NULL REFERENCES collections (number) ON DELETE CASCADE,"
        " place INTEGER NOT NULL,"
        " id INTEGER NOT NULL,"
        " deletes_id INTEGER NOT NULL,"
        " n_rows INTEGER NOT NULL,"
        " n_deleted INTEGER NOT NULL,"
        " file_size INTEGER NOT NULL,"
        " file_hash INTEGER NOT NULL,"
        " PRIMARY KEY (collection, place)"
        ") STRICT, WITHOUT ROWID;"
        "INSERT INTO meta VALUES (1, 0, 1, 1);";

#define COLLECTION_COLUMNS "c.id, d.tenant, d.name, c.name, c.metadata, c.schema, c.number"
#define COLLECTION_TABLES " FROM collections c JOIN databases d ON d.key = c.database "
/* The tenant without a name has the pins, and is nobody's to ask for. */
#define IS_NAMED " AND tenant <> x''"
#define DATABASE_KEY "(SELECT key FROM databases WHERE tenant = ? AND name = ?" IS_NAMED ")"
#define COLLECTION_NUMBER "(SELECT number FROM collections WHERE id = ?)"

static const char *const texts[] = {
        [OCH_SQL_GENERATION] = "SELECT generation FROM meta",
        [OCH_SQL_GENERATION_RAISE] =
                "UPDATE meta SET generation = generation + 1 RETURNING generation",
        [OCH_SQL_FILE_IDS_TAKE] =
                "UPDATE meta SET next_file_id = next_file_id + ? RETURNING next_file_id",
        [OCH_SQL_NUMBER_NEXT] = "SELECT next_number FROM meta",
        [OCH_SQL_NUMBER_TAKE] = "UPDATE meta SET next_number = next_number + 1",

        [OCH_SQL_TENANT_GET] = "SELECT resource_name FROM tenants WHERE name = ?",
        [OCH_SQL_TENANT_ADD] = "INSERT INTO tenants VALUES (?, NULL)",
        [OCH_SQL_TENANT_NAME_RESOURCE] = "UPDATE tenants SET resource_name = ? WHERE name = ?",
        [OCH_SQL_TENANT_LIST] = "SELECT name, resource_name FROM tenants ORDER BY name",
        [OCH_SQL_TENANT_BY_RESOURCE] = "SELECT name FROM tenants WHERE resource_name = ?",

        [OCH_SQL_DATABASE_GET] =
                "SELECT id, key FROM databases WHERE tenant = ? AND name = ?" IS_NAMED,
        [OCH_SQL_DATABASE_ADD] = "INSERT INTO databases (id, tenant, name) VALUES (?, ?, ?)",
        [OCH_SQL_DATABASE_LIST] = "SELECT id, name FROM databases WHERE tenant = ?" IS_NAMED
                                  " ORDER BY name LIMIT ? OFFSET ?",
        [OCH_SQL_DATABASE_DROP] = "DELETE FROM databases WHERE key = ?",

        [OCH_SQL_COLLECTION_ADD] =
                "INSERT INTO collections (number, id, database, name, metadata, schema)"
                " VALUES (?, ?, ?, ?, ?, ?)",
        [OCH_SQL_COLLECTION_ADD_STATE] =
                "INSERT INTO collection_state VALUES (?, 0, 0, 0, 0, NULL)",
        [OCH_SQL_COLLECTION_BY_NAME] = "SELECT " COLLECTION_COLUMNS COLLECTION_TABLES
                                       "WHERE c.database = " DATABASE_KEY " AND c.name = ?",
        [OCH_SQL_COLLECTION_BY_ID] =
                "SELECT " COLLECTION_COLUMNS COLLECTION_TABLES "WHERE c.id = ?",
        [OCH_SQL_COLLECTION_BY_NUMBER] =
                "SELECT " COLLECTION_COLUMNS COLLECTION_TABLES "WHERE c.number = ?",
        [OCH_SQL_COLLECTION_LIST] =
                "SELECT " COLLECTION_COLUMNS COLLECTION_TABLES "WHERE c.database = " DATABASE_KEY
                " ORDER BY c.number LIMIT ? OFFSET ?",
        [OCH_SQL_COLLECTION_COUNT] =
                "SELECT count(*) FROM collections WHERE database = " DATABASE_KEY,
        [OCH_SQL_COLLECTION_IDS] = "SELECT id FROM collections WHERE database = ? ORDER BY number",
        [OCH_SQL_COLLECTION_NAMESAKE] = "SELECT id FROM collections WHERE name = ? AND database ="
                                        " (SELECT database FROM collections WHERE id = ?)",
        [OCH_SQL_COLLECTION_CHANGE] =
                "UPDATE collections SET name = ?, metadata = ?, schema = ? WHERE id = ?",
        [OCH_SQL_COLLECTION_DROP] = "DELETE FROM collections WHERE id = ?",
        [OCH_SQL_COLLECTION_EACH] =
                "SELECT c.id, c.number, s.position, s.lsn, s.next_ordinal, s.dim,"
                " (SELECT count(*) FROM segments WHERE collection = c.number)"
                " FROM collections c JOIN collection_state s ON s.collection = c.number"
                " WHERE c.number > ? ORDER BY c.number LIMIT ?",

        [OCH_SQL_STATE_GET] = "SELECT position, lsn, next_ordinal, dim, keys, collection"
                              " FROM collection_state WHERE collection = " COLLECTION_NUMBER,
        [OCH_SQL_STATE_SET] = "UPDATE collection_state SET"
                              " position = ?, lsn = ?, next_ordinal = ?, dim = ?, keys = ?"
                              " WHERE collection = ?",
        [OCH_SQL_SEGMENTS_GET] = "SELECT id, deletes_id, n_rows, n_deleted, file_size, file_hash"
                                 " FROM segments WHERE collection = ? ORDER BY place",
        [OCH_SQL_SEGMENTS_DROP] = "DELETE FROM segments WHERE collection = ?",
        [OCH_SQL_SEGMENT_ADD] = "INSERT INTO segments VALUES (?, ?, ?, ?, ?, ?, ?, ?)",

        /* The table is made with the first fork: catalogs without one stay as they were. */
        [OCH_SQL_FORKS_EXIST] =
                "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'forks'",
        [OCH_SQL_FORKS_MAKE] =
                "CREATE TABLE forks ("
                " collection INTEGER PRIMARY KEY REFERENCES collections (number) ON DELETE CASCADE,"
                " tree INTEGER NOT NULL"
                ") STRICT",
        [OCH_SQL_FORK_TREE] = "SELECT tree FROM forks WHERE collection = ?",
        [OCH_SQL_FORK_ADD] = "INSERT INTO forks VALUES (?, ?)",
        [OCH_SQL_FORK_COUNT] = "SELECT count(*) FROM forks WHERE tree = ?",

        /* The pins of a collection are collections, in a database whose name is its id. */
        [OCH_SQL_PIN_PLACE] = "SELECT key FROM databases WHERE tenant = x'' AND name = ?",
        [OCH_SQL_PIN_ADD_PLACE] = "INSERT INTO databases (id, tenant, name) VALUES (?, x'', ?)",
        [OCH_SQL_PIN_COUNT] = "SELECT count(*) FROM collections WHERE database = ?",
        [OCH_SQL_PIN_COUNT_ALL] = "SELECT count(*) FROM databases d JOIN collections c"
                                  " ON c.database = d.key WHERE d.tenant = x''",
        [OCH_SQL_PIN_NAMED] = "SELECT 1 FROM collections WHERE database = ? AND name = ?",
        [OCH_SQL_PIN_LIST] = "SELECT c.id, c.name, c.metadata, s.position,"
                             " (SELECT coalesce(sum(p.file_size), 0) FROM segments p"
                             " WHERE p.collection = c.number AND NOT EXISTS"
                             " (SELECT 1 FROM segments o WHERE o.collection ="
                             " (SELECT number FROM collections WHERE id = d.name) AND o.id = p.id))"
                             " FROM databases d JOIN collections c ON c.database = d.key"
                             " JOIN collection_state s ON s.collection = c.number"
                             " WHERE d.tenant = x'' AND d.name = ? ORDER BY c.number",
        [OCH_SQL_PIN_AT] =
                "SELECT " COLLECTION_COLUMNS COLLECTION_TABLES
                "JOIN collection_state s ON s.collection = c.number"
                " WHERE d.tenant = x'' AND d.name = ? AND s.position = ? ORDER BY c.number LIMIT 1",
        /* Of collections that are not there: a program that knows no pins drops without them. */
        [OCH_SQL_PINS_LOST] = "SELECT c.id FROM databases d JOIN collections c"
                              " ON c.database = d.key WHERE d.tenant = x''"
                              " AND NOT EXISTS (SELECT 1 FROM collections o WHERE o.id = d.name)"
                              " ORDER BY c.number",
        [OCH_SQL_PINS_DROP_LOST] =
                "DELETE FROM databases WHERE tenant = x''"
                " AND (NOT EXISTS (SELECT 1 FROM collections o WHERE o.id = databases.name)"
                " OR NOT EXISTS (SELECT 1 FROM collections c WHERE c.database = databases.key))",

        [OCH_SQL_CLEAR_SEGMENTS] = "DELETE FROM segments",
        [OCH_SQL_CLEAR_STATES] = "DELETE FROM collection_state",
        [OCH_SQL_CLEAR_COLLECTIONS] = "DELETE FROM collections",
        [OCH_SQL_CLEAR_DATABASES] = "DELETE FROM databases",
        [OCH_SQL_CLEAR_TENANTS] = "DELETE FROM tenants",

        [OCH_SQL_CHECK_STRUCTURE] = "SELECT integrity_check FROM pragma_integrity_check(1)",
        [OCH_SQL_CHECK_REFERENCES] = "SELECT \"table\" FROM pragma_foreign_key_check LIMIT 1",
        [OCH_SQL_CHECK_COUNTERS] =
                "SELECT 'a collection number is given twice' FROM meta"
                " WHERE next_number <= (SELECT max(number) FROM collections)"
                " UNION ALL SELECT 'a file id is given twice' FROM meta WHERE next_file_id <="
                " (SELECT max(max(id), max(deletes_id)) FROM segments)"
                " UNION ALL SELECT 'a segment is listed twice' FROM segments"
                " GROUP BY collection, id HAVING count(*) > 1"
                /* Forks have the same ones, and then the same file. */
                " UNION ALL SELECT 'two segments have one id' FROM segments"
                " GROUP BY id HAVING count(DISTINCT file_hash) > 1"
                " UNION ALL SELECT 'a collection has no state' FROM collections"
                " WHERE number NOT IN (SELECT collection FROM collection_state)"
                " LIMIT 1",
};

static_assert(sizeof(texts) / sizeof(texts[0]) == OCH_SQL_COUNT, "each statement has its text");

/* --- failures and connections -------------------------------------------- */

/* Tell what went wrong: the file seam knows best, else SQLite. */
static ochre_status
fail(struct och_catalog_db *db, int code, struct ochre_error *err)
{
    db->failed = true;
    ochre_status status = och_sqlite_vfs_failure(db->files, err);
    if (status != OCHRE_OK)
        return status;
    if (db->was_undone)
        return och_fail_memory(err);
    int kind = code & 0xff; /* without the extension */
    if (kind == SQLITE_NOMEM || code == SQLITE_IOERR_NOMEM)
        return och_fail_memory(err);
    const char *text =
            db->connection != NULL ? sqlite3_errmsg(db->connection) : sqlite3_errstr(code);
    status = OCHRE_IO;
    if (kind == SQLITE_FULL)
        status = OCHRE_FULL;
    else if (kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB || kind == SQLITE_ERROR ||
            kind == SQLITE_CONSTRAINT || kind == SQLITE_MISMATCH)
        status = OCHRE_CORRUPT; /* sound statements fail so on wrong tables alone */
    return och_fail(err, status, "catalog: %s (%d)", text, code);
}

static void
reset_statements(struct och_catalog_db *db)
{
    for (size_t i = 0; i < OCH_SQL_COUNT; i++) {
        if (db->statements[i] != NULL) {
            (void) sqlite3_reset(db->statements[i]); /* repeats what the step said */
            (void) sqlite3_clear_bindings(db->statements[i]);
        }
    }
}

static void
disconnect(struct och_catalog_db *db)
{
    for (size_t i = 0; i < OCH_SQL_COUNT; i++) {
        (void) sqlite3_finalize(db->statements[i]);
        db->statements[i] = NULL;
    }
    if (db->connection != NULL)
        och_assert(sqlite3_close(db->connection) == SQLITE_OK); /* no statement is left */
    db->connection = NULL;
    db->failed = db->holds = db->was_undone = false;
}

/* Leave the files as they are now, for recovery. */
static void
abandon(struct och_catalog_db *db)
{
    och_sqlite_vfs_freeze(db->files);
    disconnect(db);
}

static ochre_status
run_script(struct och_catalog_db *db, const char *text, struct ochre_error *err)
{
    int code = sqlite3_exec(db->connection, text, NULL, NULL, NULL);
    return code == SQLITE_OK ? OCHRE_OK : fail(db, code, err);
}

/* The one row of a question that needs no parameters; finalize the statement. */
static ochre_status
ask(struct och_catalog_db *db, const char *question, sqlite3_stmt **row_out,
        struct ochre_error *err)
{
    int code = sqlite3_prepare_v2(db->connection, question, -1, row_out, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(*row_out);
    return code == SQLITE_ROW ? OCHRE_OK : fail(db, code, err);
}

static ochre_status
ask_number(struct och_catalog_db *db, const char *question, int64_t *number_out,
        struct ochre_error *err)
{
    sqlite3_stmt *row = NULL;
    ochre_status status = ask(db, question, &row, err);
    if (status == OCHRE_OK)
        *number_out = sqlite3_column_int64(row, 0);
    (void) sqlite3_finalize(row);
    return status;
}

static ochre_status
ask_whether(struct och_catalog_db *db, const char *question, const char *answer, bool *yes_out,
        struct ochre_error *err)
{
    sqlite3_stmt *row = NULL;
    ochre_status status = ask(db, question, &row, err);
    const unsigned char *text = status == OCHRE_OK ? sqlite3_column_text(row, 0) : NULL;
    *yes_out = text != NULL && strcmp((const char *) text, answer) == 0;
    (void) sqlite3_finalize(row);
    return status;
}

/* What was asked for must be what is: SQLite ignores a setting it does not like. */
static ochre_status
apply_settings(struct och_catalog_db *db, struct ochre_error *err)
{
    int reserved = OCH_CATALOG_RESERVED_SIZE;
    int code = sqlite3_extended_result_codes(db->connection, 1);
    if (code == SQLITE_OK) {
        code = sqlite3_file_control(db->connection, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
    }
    if (code != SQLITE_OK)
        return fail(db, code, err);
    ochre_status status = run_script(db, settings, err);
    int64_t number = 0;
    bool truncates = false;
    if (status == OCHRE_OK)
        status = ask_whether(db, "PRAGMA journal_mode", "truncate", &truncates, err);
    if (status == OCHRE_OK)
        status = ask_number(db, "PRAGMA synchronous", &number, err);
    if (status == OCHRE_OK && (!truncates || number != 2))
        status = och_fail(err, OCHRE_IO, "catalog: SQLite refuses a durable journal");
    return status;
}

static ochre_status
make_tables(struct och_catalog_db *db, struct ochre_error *err)
{
    ochre_status status = run_script(db, "BEGIN", err);
    if (status == OCHRE_OK)
        status = run_script(db, schema, err);
    if (status == OCHRE_OK)
        status = och_catalog_db_add_defaults(db, err);
    return och_catalog_db_end(db, status, err);
}

static ochre_status
check_format(struct och_catalog_db *db, struct ochre_error *err)
{
    int64_t application = 0;
    ochre_status status = ask_number(db, "PRAGMA application_id", &application, err);
    if (status == OCHRE_OK && application != OCH_CATALOG_APPLICATION)
        status = och_fail(err, OCHRE_CORRUPT, "catalog: not a catalog of ochre");
    /* Recovery may have put back the first page of another version. */
    if (status == OCHRE_OK)
        status = och_catalog_check_version(db->vfs, FORMAT_VERSION, err);
    return status;
}

/*
 * A statement that was prepared for another schema is undone, prepared again and run once
 * more, all within one step.  Where undoing it fails for want of memory, SQLite undoes the
 * whole transaction and still runs it once more, by itself, and would commit it.
 */
static int
refuse_commit(void *context)
{
    struct och_catalog_db *db = context;
    db->was_undone |= db->holds;
    return db->holds;
}

static ochre_status
open_connection(struct och_catalog_db *db, bool create, struct ochre_error *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE |
            (create ? SQLITE_OPEN_CREATE : 0);
    int code = sqlite3_open_v2(
            OCH_CATALOG_FILE, &db->connection, flags, och_sqlite_vfs_name(db->files));
    if (code != SQLITE_OK)
        return fail(db, code, err);
    (void) sqlite3_commit_hook(db->connection, refuse_commit, db);
    ochre_status status = apply_settings(db, err);
    int64_t n_tables = 0;
    if (status == OCHRE_OK)
        status = ask_number(db, "SELECT count(*) FROM sqlite_schema", &n_tables, err);
    if (status != OCHRE_OK)
        return status;
    if (n_tables > 0)
        return check_format(db, err);
    if (!create) /* making it was interrupted, so nothing was ever in it */
        return och_fail(err, OCHRE_NOT_FOUND, "catalog: there is none");
    return make_tables(db, err);
}

/* Recover what a crash or a failure has left, without looking at the copy. */
static ochre_status
connect_alone(struct och_catalog_db *db, bool create, struct ochre_error *err)
{
    bool exists = false;
    ochre_status status = db->only_reads ? och_catalog_mend_recover(db->vfs, db->mem, err)
                                         : och_catalog_recover(db->vfs, err);
    if (status == OCHRE_OK)
        status = och_vfs_exists(db->vfs, OCH_CATALOG_FILE, &exists, err);
    if (status == OCHRE_OK && !exists && !create)
        status = och_fail(err, OCHRE_NOT_FOUND, "catalog: there is none");
    return status == OCHRE_OK ? open_connection(db, create, err) : status;
}

/* Both files are whole and differ: the generation tells which is the older. */
static ochre_status
settle_doubt(struct och_catalog_db *db, struct och_catalog_mend *mend, struct ochre_error *err)
{
    uint64_t generation = 0;
    bool replaced = false;
    ochre_status status = open_connection(db, false, err);
    if (status == OCHRE_OK)
        status = och_rows_check(db, err);
    if (status == OCHRE_OK)
        status = och_catalog_db_generation(db, &generation, err);
    reset_statements(db);
    if (status != OCHRE_OK && status != OCHRE_CORRUPT)
        return status;
    /* Pages of two states seldom make whole tables: then its generation is below all. */
    if (status == OCHRE_CORRUPT)
        generation = 0;
    abandon(db);
    och_sqlite_vfs_thaw(db->files);
    och_sqlite_vfs_forget(db->files);
    return och_catalog_mend_older(mend, generation, &replaced, err);
}

static ochre_status
connect_and_mend(struct och_catalog_db *db, bool create, struct ochre_error *err)
{
    struct och_catalog_mend mend = {.vfs = db->vfs, .mem = db->mem, .log = db->log};
    enum och_catalog_next next;
    ochre_status status = och_catalog_mend(&mend, &db->copy, &next, err);
    if (status == OCHRE_OK && next == OCH_CATALOG_ASK)
        status = settle_doubt(db, &mend, err);
    och_catalog_mend_end(&mend);
    return status == OCHRE_OK ? connect_alone(db, create, err) : status;
}

/* Recover what a crash or a failure has left, and open. */
static ochre_status
try_to_connect(struct och_catalog_db *db, bool create, struct ochre_error *err)
{
    och_sqlite_vfs_thaw(db->files);
    och_sqlite_vfs_forget(db->files);
    ochre_status status = och_catalog_check_version(db->vfs, FORMAT_VERSION, err);
    if (status == OCHRE_OK)
        status =
                db->only_reads ? connect_alone(db, create, err) : connect_and_mend(db, create, err);
    if (status != OCHRE_OK)
        abandon(db);
    return status;
}

/* A catalog that is to be made of its copy wants room, and what reads waits for it. */
static ochre_status
connect_anew(struct och_catalog_db *db, bool create, struct ochre_error *err)
{
    const struct och_catalog *owner = db->owner;
    ochre_status status = try_to_connect(db, create, err);
    if (status == OCHRE_FULL && owner != NULL && owner->give_room != NULL &&
            owner->give_room(owner->give_context))
        status = try_to_connect(db, create, err);
    return status;
}

ochre_status
och_catalog_db_open(struct och_catalog_db *db, const struct och_catalog_sqlite_options *options,
        struct ochre_error *err)
{
    *db = (struct och_catalog_db){.mem = options->mem,
            .vfs = options->vfs,
            .log = options->log,
            .only_reads = options->only_reads,
            .copy = {.mem = options->mem, .vfs = options->vfs}};
    ochre_status status = och_sqlite_vfs_open(db->mem, db->vfs, &db->files, err);
    if (status == OCHRE_OK) {
        och_sqlite_vfs_set_copy(db->files, &db->copy);
        status = connect_anew(db, options->create, err);
    }
    if (status != OCHRE_OK)
        och_catalog_db_close(db);
    return status;
}

void
och_catalog_db_close(struct och_catalog_db *db)
{
    disconnect(db);
    och_sqlite_vfs_close(db->files);
    db->files = NULL;
    if (db->copy.mem != NULL)
        och_catalog_copy_close(&db->copy);
}

void
och_catalog_db_reconnect(struct och_catalog_db *db)
{
    disconnect(db);
}

/* --- transactions -------------------------------------------------------- */

ochre_status
och_catalog_db_begin_read(struct och_catalog_db *db, struct ochre_error *err)
{
    if (db->connection == NULL)
        return connect_anew(db, false, err);
    och_sqlite_vfs_forget(db->files);
    return OCHRE_OK;
}

ochre_status
och_catalog_db_end_read(struct och_catalog_db *db, ochre_status status)
{
    reset_statements(db);
    if (db->failed)
        abandon(db);
    return status;
}

ochre_status
och_catalog_db_keep_copy(struct och_catalog_db *db, struct ochre_error *err)
{
    uint64_t generation = 0;
    if (db->copy.file != NULL)
        return OCHRE_OK;
    ochre_status status = och_catalog_db_generation(db, &generation, err);
    reset_statements(db);
    return status == OCHRE_OK ? och_catalog_copy_make(&db->copy, generation, err) : status;
}

ochre_status
och_catalog_db_begin(struct och_catalog_db *db, struct ochre_error *err)
{
    ochre_status status = och_catalog_db_begin_read(db, err);
    /* Without a copy in step nothing may change: what the old one says would be wrong. */
    if (status == OCHRE_OK)
        status = och_catalog_db_keep_copy(db, err);
    if (status == OCHRE_OK)
        status = run_script(db, "BEGIN", err);
    db->holds = status == OCHRE_OK;
    return status;
}

static ochre_status
read_generation(struct och_catalog_db *db, enum och_sql which, uint64_t *generation_out,
        struct ochre_error *err)
{
    struct och_call call;
    bool has_row = false;
    och_call_init(&call, db, which);
    ochre_status status = och_call_step(&call, &has_row, err);
    if (status != OCHRE_OK)
        return status;
    if (!has_row)
        return och_fail(err, OCHRE_CORRUPT, "catalog: the generation is missing");
    *generation_out = och_call_u64(&call, 0);
    return OCHRE_OK;
}

ochre_status
och_catalog_db_generation(
        struct och_catalog_db *db, uint64_t *generation_out, struct ochre_error *err)
{
    return read_generation(db, OCH_SQL_GENERATION, generation_out, err);
}

/*
 * A commit failed somewhere between its first write and its last sync.  Recovery
 * makes one of both states durable; the generation tells which.  Where recovery
 * fails too, nobody can tell, and the failure of the commit stands.
 */
static bool
was_committed(struct och_catalog_db *db, uint64_t generation)
{
    uint64_t found = 0;
    abandon(db);
    ochre_status status = connect_anew(db, false, NULL);
    if (status == OCHRE_OK)
        status = och_catalog_db_generation(db, &found, NULL);
    if (db->connection != NULL)
        status = och_catalog_db_end_read(db, status);
    return status == OCHRE_OK && found == generation;
}

static ochre_status
commit(struct och_catalog_db *db, struct ochre_error *err)
{
    uint64_t generation = 0;
    ochre_status status = read_generation(db, OCH_SQL_GENERATION_RAISE, &generation, err);
    reset_statements(db);
    if (status != OCHRE_OK)
        return status;
    db->copy.generation = generation;
    db->holds = false;
    status = run_script(db, "COMMIT", err);
    if (status != OCHRE_OK)
        return was_committed(db, generation) ? OCHRE_OK : status;
    if (och_catalog_copy_is_long(&db->copy)) {
        ochre_status shorter = och_catalog_copy_make(&db->copy, generation, NULL);
        (void) shorter; /* the longer one is as good, or the next transaction makes one */
    }
    return OCHRE_OK;
}

ochre_status
och_catalog_db_end(struct och_catalog_db *db, ochre_status status, struct ochre_error *err)
{
    if (db->connection == NULL)
        return status;
    reset_statements(db);
    if (status == OCHRE_OK)
        status = commit(db, err);
    db->holds = false;
    if (status == OCHRE_OK || db->connection == NULL || sqlite3_get_autocommit(db->connection))
        return och_catalog_db_end_read(db, status);
    /* Undoing changes would be SQLite's own playback; closing leaves it to ours. */
    if (sqlite3_txn_state(db->connection, "main") == SQLITE_TXN_WRITE)
        db->failed = true;
    if (!db->failed)
        db->failed = sqlite3_exec(db->connection, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK;
    return och_catalog_db_end_read(db, status);
}

static ochre_status
remove_aside(struct och_catalog_db *db, const char *path, struct ochre_error *err)
{
    bool exists = false;
    ochre_status status = och_vfs_exists(db->vfs, path, &exists, err);
    return status == OCHRE_OK && exists ? och_vfs_remove(db->vfs, path, err) : status;
}

/* The copy has all transactions there were, and catalog.db differs: a write to it was lost, or
 * somebody put an older one in its place.  `known` is taken. */
static ochre_status
replace_by_copy(struct och_catalog_db *db, const struct och_catalog_known *known,
        uint64_t generation, struct ochre_error *err)
{
    struct och_catalog_mend mend = {
            .vfs = db->vfs, .mem = db->mem, .log = db->log, .known = *known};
    bool is_replaced = false;
    abandon(db);
    och_catalog_copy_drop(&db->copy);
    ochre_status status = och_catalog_mend_older(&mend, generation, &is_replaced, err);
    och_catalog_mend_end(&mend);
    return status == OCHRE_OK ? connect_anew(db, false, err) : status;
}

ochre_status
och_catalog_db_scrub_copy(struct och_catalog_db *db, bool *mended_out, struct ochre_error *err)
{
    struct och_catalog_known known;
    enum och_catalog_match match = OCH_CATALOG_OTHER;
    uint64_t generation = 0;
    *mended_out = false;
    if (db->copy.file == NULL) /* it is known not to be in step */
        return och_catalog_db_keep_copy(db, err);
    ochre_status status = och_catalog_db_generation(db, &generation, err);
    reset_statements(db);
    if (status != OCHRE_OK)
        return status;
    status = och_catalog_known_read(db->vfs, db->copy.mem, &known, err);
    if (status == OCHRE_OK)
        status = och_catalog_compare(db->vfs, &known, &match, err);
    bool agrees = match == OCH_CATALOG_SAME && known.is_whole;
    bool is_newest = known.is_whole && known.generation == generation;
    if (status == OCHRE_OK && !agrees && is_newest) {
        status = replace_by_copy(db, &known, generation, err);
        *mended_out = status == OCHRE_OK;
        return status;
    }
    och_catalog_known_clear(&known, db->copy.mem);
    if (status != OCHRE_OK || agrees)
        return status;
    status = och_catalog_copy_make(&db->copy, generation, err);
    *mended_out = status == OCHRE_OK;
    return status;
}

ochre_status
och_catalog_db_tidy(struct och_catalog_db *db, struct ochre_error *err)
{
    uint64_t generation = 0;
    bool mended = false;
    ochre_status status = och_catalog_db_scrub_copy(db, &mended, err);
    if (status == OCHRE_OK)
        status = och_catalog_db_generation(db, &generation, err);
    if (status == OCHRE_OK)
        status = remove_aside(db, OCH_CATALOG_DAMAGED, err);
    if (status == OCHRE_OK)
        status = remove_aside(db, OCH_CATALOG_JOURNAL_DAMAGED, err);
    /* This syncs the directory, too. */
    if (status == OCHRE_OK)
        status = och_catalog_copy_make(&db->copy, generation, err);
    return status;
}

ochre_status
och_catalog_db_add_defaults(struct och_catalog_db *db, struct ochre_error *err)
{
    static const char zero_id[16] = {0};
    struct ochre_bytes tenant = {OCH_DEFAULT_TENANT, sizeof(OCH_DEFAULT_TENANT) - 1};
    struct ochre_bytes database = {OCH_DEFAULT_DATABASE, sizeof(OCH_DEFAULT_DATABASE) - 1};
    struct och_call call;
    och_call_init(&call, db, OCH_SQL_TENANT_ADD);
    och_call_put_bytes(&call, tenant);
    ochre_status status = och_call_run(&call, err);
    if (status != OCHRE_OK)
        return status;
    och_call_init(&call, db, OCH_SQL_DATABASE_ADD);
    och_call_put_bytes(&call, (struct ochre_bytes){zero_id, sizeof(zero_id)});
    och_call_put_bytes(&call, tenant);
    och_call_put_bytes(&call, database);
    return och_call_run(&call, err);
}

/* --- calls --------------------------------------------------------------- */

void
och_call_init(struct och_call *call, struct och_catalog_db *db, enum och_sql which)
{
    *call = (struct och_call){.db = db, .code = SQLITE_OK};
    if (db->statements[which] == NULL) {
        call->code = sqlite3_prepare_v3(db->connection, texts[which], -1, SQLITE_PREPARE_PERSISTENT,
                &db->statements[which], NULL);
    } else {
        (void) sqlite3_reset(db->statements[which]); /* repeats what the step said */
    }
    call->statement = db->statements[which];
}

static void
keep_code(struct och_call *call, int code)
{
    if (call->code == SQLITE_OK)
        call->code = code;
}

void
och_call_put_bytes(struct och_call *call, struct ochre_bytes bytes)
{
    call->n_bound++;
    if (call->code != SQLITE_OK)
        return;
    if (bytes.data == NULL) {
        keep_code(call, sqlite3_bind_null(call->statement, call->n_bound));
        return;
    }
    keep_code(call,
            sqlite3_bind_blob64(
                    call->statement, call->n_bound, bytes.data, bytes.size, SQLITE_STATIC));
}

void
och_call_put_u64(struct och_call *call, uint64_t number)
{
    /* Two's complement both ways: a hash uses all 64 bits. */
    call->n_bound++;
    if (call->code == SQLITE_OK) {
        keep_code(call, sqlite3_bind_int64(call->statement, call->n_bound, (sqlite3_int64) number));
    }
}

ochre_status
och_call_step(struct och_call *call, bool *has_row_out, struct ochre_error *err)
{
    *has_row_out = false;
    if (call->code == SQLITE_OK)
        call->code = sqlite3_step(call->statement);
    if (call->code != SQLITE_ROW && call->code != SQLITE_DONE)
        return fail(call->db, call->code, err);
    *has_row_out = call->code == SQLITE_ROW;
    call->code = SQLITE_OK;
    return OCHRE_OK;
}

ochre_status
och_call_run(struct och_call *call, struct ochre_error *err)
{
    bool has_row = false;
    ochre_status status = och_call_step(call, &has_row, err);
    och_assert(status != OCHRE_OK || !has_row);
    return status;
}

uint64_t
och_call_u64(const struct och_call *call, int column)
{
    return (uint64_t) sqlite3_column_int64(call->statement, column);
}

bool
och_call_is_null(const struct och_call *call, int column)
{
    return sqlite3_column_type(call->statement, column) == SQLITE_NULL;
}

/* The column's bytes, borrowed until the next step; data NULL for NULL. */
static ochre_status
borrow(struct och_call *call, int column, struct ochre_bytes *bytes_out, struct ochre_error *err)
{
    *bytes_out = (struct ochre_bytes){.data = NULL};
    if (och_call_is_null(call, column))
        return OCHRE_OK;
    const void *data = sqlite3_column_blob(call->statement, column);
    int size = sqlite3_column_bytes(call->statement, column);
    if (data == NULL && size > 0)
        return fail(call->db, SQLITE_NOMEM, err);
    *bytes_out = (struct ochre_bytes){.data = data != NULL ? data : "", .size = (size_t) size};
    return OCHRE_OK;
}

ochre_status
och_call_bytes(struct och_call *call, int column, struct och_arena *arena,
        struct ochre_bytes *bytes_out, struct ochre_error *err)
{
    struct ochre_bytes bytes;
    *bytes_out = (struct ochre_bytes){.data = NULL};
    ochre_status status = borrow(call, column, &bytes, err);
    if (status != OCHRE_OK || bytes.data == NULL)
        return status;
    const char *copy = och_arena_copy(arena, bytes.data, bytes.size);
    if (copy == NULL)
        return och_fail_memory(err);
    *bytes_out = (struct ochre_bytes){.data = copy, .size = bytes.size};
    return OCHRE_OK;
}

ochre_status
och_call_fixed(
        struct och_call *call, int column, void *bytes_out, size_t size, struct ochre_error *err)
{
    struct ochre_bytes bytes;
    ochre_status status = borrow(call, column, &bytes, err);
    if (status != OCHRE_OK)
        return status;
    if (bytes.data == NULL || bytes.size != size) {
        return och_fail(err, OCHRE_CORRUPT, "catalog: a value of %zu bytes where %zu belong",
                bytes.size, size);
    }
    memcpy(bytes_out, bytes.data, size);
    return OCHRE_OK;
}
