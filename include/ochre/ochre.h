/*
 * ochre/ochre.h - an embedding database in your process.
 *
 *      tenant 1──n database 1──n collection 1──n record
 *      record = id, embedding, document, metadata, uri
 *
 *      struct ochre_error err;
 *      ochre_db *db;
 *      ochre_collection *notes;
 *      struct ochre_options options = {.size = sizeof(options)};
 *      if (ochre_open("notes.ochre", &options, &db, &err) != OCHRE_OK)
 *          return report(&err);
 *
 * The library starts only the threads `options` allows, installs no signal
 * handler, reads no environment variable and prints nothing.
 *
 * A write that returned OCHRE_OK is durable: it survives a crash of the process
 * and of the machine.  Everything a call takes is borrowed for the call.
 * Structs passed by pointer begin with their size, so that later versions can
 * add to them.
 *
 * Threads: a database and its collections may be used by many threads at once;
 * a result by one at a time.  Close collections and results before the database.
 */
#ifndef OCHRE_OCHRE_H
#define OCHRE_OCHRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ochre/status.h"
#include "ochre/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ochre_db ochre_db;
typedef struct ochre_collection ochre_collection;
typedef struct ochre_result ochre_result;

/* The version of the library, "0.1.0".  Never NULL. */
OCHRE_API const char *ochre_version(void);

/* --- opening ----------------------------------------------------------------- */

struct ochre_options {
    size_t size;         /* sizeof(struct ochre_options) */
    bool must_exist;     /* do not make a new database */
    bool allow_reset;    /* ochre_reset may drop everything */
    bool read_only;      /* only read, beside whoever writes; see below */
    unsigned n_threads;  /* background threads, of low priority; 0: work is done inside calls */
    size_t memory_limit; /* bytes this database may take, SQLite's apart; 0: no limit */
    const char *simd;    /* "scalar", "avx2", "avx512", "avx512_vnni", "neon"; otherwise the best */
    uint32_t seal_rows;  /* rows kept in memory before they go to a file; 0: 8192 */
    uint32_t retain_seconds; /* so much of the past can be read (as_of), at most 86400; 0: 300 */
    const char *archive;     /* the log is archived in this directory (ochre_archive); NULL: not */
};

/*
 * Open the database in directory `path`, making it if it is not there.
 *
 * With read_only any number of processes may open it beside the one that writes, or when
 * none does, for instance because it was killed.  Nothing is locked, made or changed in the
 * directory, so it may also be one that this process may not write.  Calls that read see
 * what that process has acknowledged, in its order, at most 100 ms late, with or without
 * background threads; calls that write answer OCHRE_DENIED.  A collection handle goes on
 * when the writer is started anew.  When what there is cannot be read for a second, calls
 * say why, instead of answering from the past.
 *
 * Errors: OCHRE_INVALID      options of another size, or retain_seconds above its limit
 *         OCHRE_BUSY         another process has it open; the message has its pid
 *         OCHRE_NOT_FOUND    there is none, and must_exist was set
 *         OCHRE_UNSUPPORTED  the directory is another program's, or of a newer format
 *         OCHRE_CORRUPT      it is damaged
 *         OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY
 * Cost:   replays the log since the newest files; does not depend on their size.
 */
OCHRE_API ochre_status ochre_open(const char *path, const struct ochre_options *options,
        ochre_db **db_out, struct ochre_error *err);

/* Close.  Everything acknowledged is durable already.  NULL is fine. */
OCHRE_API void ochre_close(ochre_db *db);

/* Drop everything, and make "default_tenant" and "default_database" anew.
 * OCHRE_DENIED unless allow_reset was set. */
OCHRE_API ochre_status ochre_reset(ochre_db *db, struct ochre_error *err);

/* Move what is in memory to files now.  Never needed for safety. */
OCHRE_API ochre_status ochre_seal(ochre_db *db, struct ochre_error *err);

/*
 * Seal, and put the files of each collection together, without what was deleted;
 * for backups and measurements.  It happens by itself as records come and go, a
 * part at a time, and when nobody writes.  Reads and writes go on meanwhile.
 *
 * Errors: the first one met; other collections are compacted all the same.
 *         OCHRE_CORRUPT  a damaged file, which is left as it is
 *         OCHRE_BUSY     another thread compacts, purges or repairs
 *         OCHRE_FULL     there is not as much space free as the new file takes
 * Cost:   reads and writes what there is, once.
 */
OCHRE_API ochre_status ochre_compact(ochre_db *db, struct ochre_error *err);

/*
 * Compact, and let the log go that held what was deleted, replaced or dropped before
 * this call: nothing of it is in a file of the database afterwards.  Backups, and blocks
 * that the file system has freed, are not looked at.  What pins show (ochre_pin_create) was not
 * deleted there and stays, which is no error: ochre_stats says how many there are.
 *
 * Errors: those of ochre_compact: after OCHRE_CORRUPT it may still be in the damaged file
 *         OCHRE_UNAVAILABLE  a backup that is being made still needs some of these files
 */
OCHRE_API ochre_status ochre_purge(ochre_db *db, struct ochre_error *err);

/*
 * Copy what is new in the log to the archive, durably; what was not copied yet is kept in the
 * log, so call it from time to time.  ochre_close does, too.  With the archive and an older
 * backup, `ochre restore --until` has any later moment again.
 *
 * Errors: OCHRE_INVALID  the database was opened without an archive
 *         OCHRE_EXISTS   another history of the database is in the archive by now
 *         OCHRE_CORRUPT  what was written does not read back
 *         OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY
 */
OCHRE_API ochre_status ochre_archive(ochre_db *db, struct ochre_error *err);

/* What a backup has. */
struct ochre_backup {
    size_t size;                             /* sizeof(struct ochre_backup) */
    uint64_t n_files, n_bytes;               /* of the database */
    uint64_t n_files_copied, n_bytes_copied; /* those that were not there already */
    uint64_t made_s;                         /* Unix time */
};

/*
 * Back the database up, as it is at a moment of this call, into the directory `to`:
 * made when it is not there, else empty or an earlier backup of the same database,
 * which stays whole until the new one is and then gives way to it.  Only files that are
 * not there yet are copied; all are read back.  `ochre restore` makes a database of it.
 * Reads and writes go on meanwhile.
 *
 * Errors: OCHRE_CORRUPT  the database is damaged, and was not copied, or what was
 *                        written does not read back
 *         OCHRE_EXISTS   `to` has other files, or the backup of another database
 *         OCHRE_BUSY     another backup is being written there
 *         OCHRE_INVALID  `size` of *backup_out, which may be NULL, is another
 *         OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY
 * Cost:   reads all there is, twice, and what was copied once more.
 */
OCHRE_API ochre_status ochre_backup(
        ochre_db *db, const char *to, struct ochre_backup *backup_out, struct ochre_error *err);

/* What a repair has found, and made. */
struct ochre_repair {
    size_t size;         /* sizeof(struct ochre_repair) */
    uint64_t n_damaged;  /* collections, and pins of them, that are not whole */
    uint64_t n_records;  /* that what was made of them has */
    uint64_t n_lost;     /* records that cannot be read */
    uint64_t n_in_doubt; /* records that may have been deleted */
};

/*
 * Make, beside each collection that is damaged, a sound one in the same database of what is
 * left of it: NAME.repaired, and of a pin NAME.PIN.unpinned; what may have been deleted is put
 * into NAME.in-doubt.  The damaged one stays as it is.  Reads and writes go on meanwhile.  What
 * was kept and what was lost stands in the file REPAIR of the database's directory, if
 * there was anything to be said.  With `dry_run` nothing is made or written.
 *
 * Errors: OCHRE_CORRUPT  the catalog is damaged: close, and `ochre repair` the directory
 *         OCHRE_BUSY     another thread compacts, purges or repairs
 *         OCHRE_INVALID  `size` of *repair_out, which may be NULL, is another
 *         OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY
 *         After an error some may have been made, each with all that is left of it.
 * Cost:   reads all there is, and what is damaged again, which then takes space twice.
 */
OCHRE_API ochre_status ochre_repair(
        ochre_db *db, bool dry_run, struct ochre_repair *repair_out, struct ochre_error *err);

/* Where the bytes of files with records are. */
struct ochre_file_bytes {
    uint64_t vectors, ids, documents, uris, metadata; /* the records themselves */
    uint64_t metadata_index, codes, graph;            /* what is made of them, for queries */
    uint64_t deletes;                                 /* which records are dead */
    uint64_t other;                                   /* checksums, padding */
};

/* What a collection holds and costs; everything in it lives for the visit only. */
struct ochre_collection_stats {
    char id[37];
    struct ochre_bytes tenant, database, name;
    ochre_space space;
    uint32_t dim;            /* 0 until the first vector is stored */
    bool is_fork;            /* it began as another collection */
    uint64_t forks;          /* as of ochre_collection_fork_count */
    uint64_t pins;           /* that it has (ochre_pin_create) */
    uint64_t records;        /* that there are */
    uint64_t dead_rows;      /* deleted and replaced ones that still take space */
    uint64_t unsealed_rows;  /* records in the log only; UINT64_MAX: not known */
    uint64_t segments;       /* files with records, */
    uint64_t graph_segments; /* of them those with a graph */
    uint64_t delete_files;
    uint64_t shared_files; /* of all its files: those that another collection or a pin has, too */
    uint64_t shared_bytes;
    uint64_t live_bytes; /* of `bytes`: what its records take, about */
    uint64_t n_bytes;    /* of all its files */
    struct ochre_file_bytes bytes;
    const char *problem; /* why it, or one of its files, cannot be used; NULL: it can be */
};

/* What a database holds and costs.  A file that several collections have counts once. */
struct ochre_stats {
    size_t size; /* sizeof(struct ochre_stats), set by the caller */
    uint64_t collections, forks, pins;
    uint64_t records, dead_rows, unsealed_rows; /* as of the collections */
    uint64_t segments, delete_files;
    struct ochre_file_bytes bytes; /* of these, */
    uint64_t segment_bytes;        /* and all of that, */
    uint64_t pinned_bytes;         /* of it what only pins still have */
    uint64_t live_bytes;
    uint64_t log_files, log_bytes;
    uint64_t catalog_bytes;                  /* its copy included */
    uint64_t reserve_bytes;                  /* kept for deleting on a full disk */
    uint64_t unlisted_files, unlisted_bytes; /* of collections; they are about to be removed */
    uint64_t other_bytes;
    uint64_t disk_files, disk_bytes; /* of all of it */
    uint64_t scrubbed_unix_s;        /* when this process last read all of it again; 0: not yet */
    uint64_t scrub_damaged;          /* what it found damaged then */
    uint64_t free_bytes;             /* that the file system has left */
    uint64_t log_lsn;                /* of the newest record in the log */
    uint64_t archived_lsn;           /* of the newest one that is archived; 0: none is */
    uint64_t archived_unix_s;        /* when the newest copy of the log was made; 0: none yet */
    uint64_t archive_failures;       /* copies that failed since then */
};

/* Returning false ends the visits. */
typedef bool (*ochre_stats_visit)(void *context, const struct ochre_collection_stats *collection);

/*
 * Say what the database holds and costs, and call `visit`, which may be NULL, for each
 * collection, by tenant, database and creation.  Other threads go on meanwhile; so a file
 * that just comes or goes may be in one number and not in another.
 *
 * Errors: OCHRE_INVALID  `size` of *stats_out is another
 *         OCHRE_CORRUPT  the catalog is damaged
 *         OCHRE_IO, OCHRE_NO_MEMORY
 * Cost:   looks at the name and size of each file; reads no records.
 */
OCHRE_API ochre_status ochre_stats(ochre_db *db, struct ochre_stats *stats_out,
        ochre_stats_visit visit, void *context, struct ochre_error *err);

/* --- tenants and databases ---------------------------------------------------- */

/*
 * Names are NUL-terminated.  "default_tenant" and "default_database" are there
 * from the beginning.
 *
 * Errors: OCHRE_INVALID (the name), OCHRE_EXISTS, OCHRE_NOT_FOUND
 */
OCHRE_API ochre_status ochre_tenant_create(
        ochre_db *db, const char *tenant, struct ochre_error *err);
OCHRE_API ochre_status ochre_tenant_check(
        ochre_db *db, const char *tenant, struct ochre_error *err); /* is it there? */
OCHRE_API ochre_status ochre_database_create(
        ochre_db *db, const char *tenant, const char *database, struct ochre_error *err);
OCHRE_API ochre_status ochre_database_check(
        ochre_db *db, const char *tenant, const char *database, struct ochre_error *err);
/* Drops its collections too. */
OCHRE_API ochre_status ochre_database_delete(
        ochre_db *db, const char *tenant, const char *database, struct ochre_error *err);

/* Call `visit` for each database of a tenant, by name.  A visit that returns
 * false ends the listing. */
OCHRE_API ochre_status ochre_database_list(ochre_db *db, const char *tenant,
        bool (*visit)(void *context, struct ochre_bytes name), void *context,
        struct ochre_error *err);

/* --- collections -------------------------------------------------------------- */

struct ochre_collection_options {
    size_t size;          /* sizeof(struct ochre_collection_options) */
    const char *tenant;   /* NULL: "default_tenant" */
    const char *database; /* NULL: "default_database" */
    bool get_or_create;   /* one of that name is opened as it is */
    ochre_space space;    /* when configuration and schema are NULL */
    struct ochre_metadata metadata;
    struct ochre_bytes configuration; /* JSON, as Chroma's `configuration`; data NULL: none */
    struct ochre_bytes schema;        /* JSON, as Chroma's `schema` */
};

/*
 * Create a collection and open it.  `options` may be NULL.
 *
 * Errors: OCHRE_INVALID (name, metadata, configuration, schema; no such
 *         database), OCHRE_SHAPE (JSON of the wrong shape), OCHRE_EXISTS
 */
OCHRE_API ochre_status ochre_collection_create(ochre_db *db, const char *name,
        const struct ochre_collection_options *options, ochre_collection **collection_out,
        struct ochre_error *err);

/* Open a collection.  NULL for tenant or database: the default one. */
OCHRE_API ochre_status ochre_collection_open(ochre_db *db, const char *tenant, const char *database,
        const char *name, ochre_collection **collection_out, struct ochre_error *err);

OCHRE_API void ochre_collection_close(ochre_collection *collection); /* NULL is fine */

/* Delete a collection with all its records.  Open handles answer OCHRE_NOT_FOUND. */
OCHRE_API ochre_status ochre_collection_delete(ochre_db *db, const char *tenant,
        const char *database, const char *name, struct ochre_error *err);

/* Rename (name not NULL), replace the metadata (not NULL), change the
 * configuration (JSON, as Chroma's `new_configuration`; data NULL: nothing). */
OCHRE_API ochre_status ochre_collection_update(ochre_collection *collection, const char *name,
        const struct ochre_metadata *metadata, struct ochre_bytes configuration,
        struct ochre_error *err);

/*
 * Make a collection named `name`, in the same database, of what this one is at this moment,
 * and open it.  Takes no copying: the two share files and are apart from then on, whatever
 * is written to, merged in or deleted from either.
 *
 * Errors: OCHRE_INVALID (name), OCHRE_EXISTS, OCHRE_NOT_FOUND (this one was deleted)
 * Cost:   writing what is in no file yet to one (8,192 records at most); writers wait for a part of that.
 */
OCHRE_API ochre_status ochre_collection_fork(ochre_collection *collection, const char *name,
        ochre_collection **collection_out, struct ochre_error *err);

/* How many forks there are of this collection, of those that it is a fork of, and of all
 * their forks; deleted ones do not count. */
OCHRE_API ochre_status ochre_collection_fork_count(
        ochre_collection *collection, uint64_t *count_out, struct ochre_error *err);

/* What a collection is; everything in it lives for the visit only. */
struct ochre_collection_info {
    char id[37];
    struct ochre_bytes tenant, database, name;
    struct ochre_metadata metadata;   /* no fields: none */
    struct ochre_bytes configuration; /* JSON, as Chroma's `configuration_json` */
    struct ochre_bytes schema;        /* JSON, as Chroma's `schema`, with all keys seen */
    ochre_space space;
    uint32_t dim; /* 0 until the first vector is stored */
};

/* Returning false ends a listing. */
typedef bool (*ochre_collection_visit)(void *context, const struct ochre_collection_info *info);

/* Call `visit` once with what the collection is now. */
OCHRE_API ochre_status ochre_collection_describe(ochre_collection *collection,
        ochre_collection_visit visit, void *context, struct ochre_error *err);

/* Call `visit` for up to `limit` collections from number `offset` on, in creation
 * order.  An unknown tenant or database has none. */
OCHRE_API ochre_status ochre_collection_list(ochre_db *db, const char *tenant, const char *database,
        uint64_t limit, uint64_t offset, ochre_collection_visit visit, void *context,
        struct ochre_error *err);

/* The id Chroma's API knows it by: 36 characters and a NUL. */
OCHRE_API void ochre_collection_id(const ochre_collection *collection, char id_out[37]);

/* --- pins ----------------------------------------------------------------------- */

/* A position of a collection that stays readable (see `as_of` below), over merges, purges and
 * restarts, until it is unpinned or the collection is deleted. */
struct ochre_pin {
    size_t size;             /* sizeof(struct ochre_pin), set by the caller */
    struct ochre_bytes name; /* of a visit: for that only; else in `text` */
    uint64_t position;       /* to be read `as_of` */
    uint64_t created_unix_s;
    uint64_t n_bytes; /* of files that it keeps and the collection does not need any more */
    char text[513];   /* the name, with a NUL, where one pin is answered */
};

/*
 * Pin what the collection is at this moment, under a name of its own among the collection's
 * pins; NULL: one is made up.  Takes no copying: a pin has the files in common with the
 * collection, and keeps them when that merges or deletes.  A pin is no collection: it is in no
 * list of them, and its name is no collection's.
 *
 * Errors: OCHRE_INVALID    the name, or there are 64 pins already, or `size` of *pin_out,
 *                          which may be NULL, is another
 *         OCHRE_EXISTS     the collection has a pin of that name
 *         OCHRE_NOT_FOUND  the collection was deleted
 *         OCHRE_FULL, OCHRE_IO, OCHRE_NO_MEMORY
 * Cost:   as ochre_collection_fork.
 */
OCHRE_API ochre_status ochre_pin_create(ochre_collection *collection, const char *name,
        struct ochre_pin *pin_out, struct ochre_error *err);

/* Unpin.  The files that only the pin had go.  OCHRE_NOT_FOUND: there is none of that name. */
OCHRE_API ochre_status ochre_pin_delete(
        ochre_collection *collection, const char *name, struct ochre_error *err);

/* Call `visit` for each pin, in the order in which they were made; returning false ends it. */
OCHRE_API ochre_status ochre_pin_list(ochre_collection *collection,
        bool (*visit)(void *context, const struct ochre_pin *pin), void *context,
        struct ochre_error *err);

/* --- writing ------------------------------------------------------------------- */

/*
 * Add records; those whose id is there already are left as they are.
 *
 * Shapes: records->embeddings is [n][dim], row-major; dim is the collection's,
 *         or becomes it with the first records.
 * Errors: OCHRE_INVALID      a limit, an empty id, a number that is not finite,
 *                            another dimension than the collection's
 *         OCHRE_NOT_FOUND    the collection was deleted
 *         OCHRE_TOO_LARGE    the batch does not fit one log record (48 MiB)
 *         OCHRE_FULL, OCHRE_IO, OCHRE_UNAVAILABLE, OCHRE_NO_MEMORY
 *         After an error none of the records is there.
 * Cost:   one write and one sync for all of them, shared with other threads.
 */
OCHRE_API ochre_status ochre_add(
        ochre_collection *collection, const struct ochre_records *records, struct ochre_error *err);

/* Change what is given of records that are there; ids that are not are passed
 * over.  Metadata is merged key by key; a null value removes its key. */
OCHRE_API ochre_status ochre_update(
        ochre_collection *collection, const struct ochre_records *records, struct ochre_error *err);

/* Update the records that are there and add the others. */
OCHRE_API ochre_status ochre_upsert(
        ochre_collection *collection, const struct ochre_records *records, struct ochre_error *err);

/* Which records: those with these ids (NULL: all) that pass the filter. */
struct ochre_selection {
    const struct ochre_bytes *ids;
    size_t n_ids;
    struct ochre_filter filter; /* nodes NULL: none */
};

/* Delete what is selected, at most `limit` records in insertion order when there
 * is a filter (UINT64_MAX: all).  Neither ids nor filter: nothing. */
OCHRE_API ochre_status ochre_delete(ochre_collection *collection,
        const struct ochre_selection *selection, uint64_t limit, uint64_t *deleted_out,
        struct ochre_error *err);

/* The newest position that a write through this handle has got, 0 before the first: reading as
 * of it, or later, sees all of them. */
OCHRE_API uint64_t ochre_collection_written(const ochre_collection *collection);

/* --- reading ------------------------------------------------------------------- */

/*
 * Positions.  Each write that changes something moves its collection to the next position; an
 * empty collection is at 0.  A read sees one position, and may say which one it wants to see:
 * `as_of`, where NULL is now.  So several reads see the same records, whatever is written
 * meanwhile.  The past can be read for options.retain_seconds, while what it needs beside
 * the present is little: 4 MiB of memory, or a sixteenth of what there is in memory; 32 MiB of
 * files that were merged since.  It ends when
 * the database is closed, with a purge, and when memory or the disk gets short; a fork begins
 * with the position that it was made at.  A position that is to stay is pinned (ochre_pin_create).
 *
 * Errors of reads with as_of: OCHRE_STALE, when the position cannot be read any more, or is not
 * there yet; the message says which ones are.
 */

struct ochre_get {
    struct ochre_selection selection;
    uint64_t offset;
    uint64_t limit;   /* UINT64_MAX: no limit */
    unsigned include; /* OCHRE_INCLUDE_* */
    const uint64_t *as_of;
    /* Page: the result has a cursor (ochre_result_cursor), with which the next call goes on
     * where it ends, at the same position.  No record comes twice, and none is missing. */
    bool pages;
    struct ochre_bytes cursor; /* empty: begin; else of the same selection, without offset */
};

/*
 * The selected records in insertion order: a result of one list.
 *
 * Errors: OCHRE_INVALID  a cursor that is none, or of another selection; a limit of 0 or an
 *                        offset with one
 *         OCHRE_STALE    see as_of; a cursor is good for 60 seconds, and for as long after
 *                        each page
 * Cost:   what comes before the page is not walked; a filter is evaluated for each page.
 */
OCHRE_API ochre_status ochre_get(ochre_collection *collection, const struct ochre_get *get,
        ochre_result **result_out, struct ochre_error *err);

struct ochre_query {
    size_t size; /* sizeof(struct ochre_query) */
    struct ochre_selection selection;
    const float *queries; /* [n_queries][dim], row-major */
    size_t n_queries;
    size_t dim;
    uint32_t k;
    unsigned include; /* OCHRE_INCLUDE_* */
    /* How hard to look.  All zero: as the collection's recall target asks. */
    bool exact;          /* find the true nearest, whatever it costs */
    bool explain;        /* let ochre_result_explain say how it was done */
    float recall_target; /* share of the true nearest to aim at, up to 1; 0: the collection's */
    uint32_t effort;     /* candidates to keep, up to 65536; 0: as many as the recall needs */
    const uint64_t *as_of;
};

/*
 * Find the records nearest to each of several query vectors: min(k, matches)
 * of them, nearest first, equal distances in insertion order.
 *
 * Shapes:  queries is [n_queries][dim]; dim is the collection's.  The result
 *          holds n_queries lists.
 * Units:   distances are the collection's: squared L2, 1 - cosine, or 1 - dot.
 * Errors:  OCHRE_INVALID    another dimension, a number that is not finite, a
 *                           recall target or effort out of range
 *          OCHRE_INTERNAL   ids without a filter, and one of them is not there
 *          OCHRE_NOT_FOUND  the collection was deleted meanwhile
 *          OCHRE_CORRUPT, OCHRE_IO, OCHRE_NO_MEMORY
 * Threads: any; sees one snapshot, taken at the call.
 * Cost:    one pass over the selected vectors.
 * Since:   0.1
 */
OCHRE_API ochre_status ochre_query(ochre_collection *collection, const struct ochre_query *query,
        ochre_result **result_out, struct ochre_error *err);

OCHRE_API ochre_status ochre_count(
        ochre_collection *collection, uint64_t *count_out, struct ochre_error *err);

/* How many records there are or were, and at what position; the latter may be NULL. */
OCHRE_API ochre_status ochre_count_as_of(ochre_collection *collection, const uint64_t *as_of,
        uint64_t *count_out, uint64_t *position_out, struct ochre_error *err);

/* How far a collection's vectors are indexed.  Every record is found from the
 * moment it is written; an index, made in the background, only makes it cheaper. */
struct ochre_index_status {
    size_t size;             /* sizeof(struct ochre_index_status), set by the caller */
    uint64_t operations;     /* write requests so far */
    uint64_t rows;           /* records there are */
    uint64_t unindexed_rows; /* of them those that wait for an index, and will get one */
    uint32_t segments;       /* files */
    uint32_t graph_segments; /* of them those with an index */
    float recall_target;     /* the collection's */
    float measured_recall;   /* the lowest that an index has reached; below 0: none was measured */
    uint32_t effort;         /* the most candidates that an index keeps for it; 0: none */
    float audited_recall;    /* of live queries, lately; below 0: none was looked at */
    /* Queries that were answered again, exactly, to see whether the index keeps its
     * promise; with background threads only. */
    uint64_t audited_queries;
};

/* Errors: as ochre_count. */
OCHRE_API ochre_status ochre_index_status(ochre_collection *collection,
        struct ochre_index_status *status_out, struct ochre_error *err);

/* How many lists, and the hits of one; they live until the result is closed. */
OCHRE_API size_t ochre_result_lists(const ochre_result *result);
OCHRE_API const struct ochre_hit *ochre_result_hits(
        const ochre_result *result, size_t list, size_t *n_out);
OCHRE_API uint32_t ochre_result_dim(const ochre_result *result);
/* The position that was read. */
OCHRE_API uint64_t ochre_result_position(const ochre_result *result);
/* With what to go on behind a page; data NULL: that was the last one, or no page.  It lives
 * until the result is closed. */
OCHRE_API struct ochre_bytes ochre_result_cursor(const ochre_result *result);
/* How the query of one list was answered; NULL unless it was asked for.  It lives
 * until the result is closed. */
OCHRE_API const struct ochre_explain *ochre_result_explain(const ochre_result *result, size_t list);
OCHRE_API void ochre_result_close(ochre_result *result); /* NULL is fine */

#ifdef __cplusplus
}
#endif

#endif /* OCHRE_OCHRE_H */
