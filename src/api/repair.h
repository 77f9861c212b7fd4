/*
 * repair.h - a sound directory of what is left of a damaged one.
 *
 *      damaged (only read)                          repaired (new)
 *      catalog.db, catalog.copy  ── the best ────►  catalog.db, catalog.copy
 *      seg/  sound files         ── copied ──────►  seg/
 *            damaged ones        ── rows left ───►       written anew, with all indexes
 *      log/  what no hole cuts   ── appended ────►  log/  one log behind all LSNs seen
 *                                                   REPAIR: what was kept, lost, rebuilt
 *                                                   FORMAT: last, when all was verified
 *
 * Nothing is guessed.  A row is kept when its checksums hold, and not when what is
 * needed to know whether it still lived is lost; of the log each collection keeps
 * what comes before the first of its records that is missing, which its dense
 * positions tell.  docs/decisions/0022-repair.md says why, and what the cases are.
 *
 * A database in use is not made anew: what is damaged of it gets a sound collection beside it.
 *
 * Threads: one thread a directory; och_op_repair: any.
 */
#ifndef OCH_API_REPAIR_H
#define OCH_API_REPAIR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_kernels;
struct och_machine;
struct och_mem;
struct och_vfs;
struct ochre_db;

/* The report, in the directory that was made. */
#define OCH_REPAIR_REPORT "REPAIR"

typedef enum och_repair_kind {
    OCH_REPAIR_NOTE = 0, /* worth knowing; nothing is lost by it */
    OCH_REPAIR_REBUILT,  /* made anew of what is whole */
    OCH_REPAIR_LOST,     /* something that was there is not, any more */
    OCH_REPAIR_RECORD,   /* such a record, of perhaps very many */
    OCH_REPAIR_IN_DOUBT, /* kept apart: it may have been deleted */
} och_repair_kind;

/* "lost", as it stands in reports. */
const char *och_repair_kind_name(och_repair_kind kind);

/* One finding.  The strings live for the call. */
struct och_repair_finding {
    och_repair_kind kind;
    const char *path;    /* relative to the damaged directory */
    const char *message; /* lower case, no full stop */
};

/* What became of a collection.  The bytes live for the call. */
struct och_repair_collection {
    struct ochre_bytes tenant, database, name;
    struct ochre_bytes pin; /* it is this pin of that one; data NULL: it is that one */
    struct och_uuid id;
    bool is_whole;              /* nothing of it was damaged, as far as can be told */
    uint64_t position;          /* of its log: up to it, what was written is in */
    uint64_t n_records;         /* it has now; 0 when nothing was written (a dry run) */
    uint64_t n_lost;            /* records that cannot be read */
    uint64_t n_in_doubt;        /* records that were put into a collection of their own: */
    struct ochre_bytes doubted; /* its name; empty: there is none */
    struct ochre_bytes beside;  /* in a database in use: the collection that has what is left */
    uint64_t n_rebuilt;         /* segment files that were written anew */
    uint64_t n_given_up;        /* writes in the log behind the first that is missing */
    uint64_t n_skipped;         /* changes in the log of records that are lost or in doubt */
};

struct och_repair_options {
    struct och_mem *mem;               /* borrowed */
    const struct och_machine *machine; /* borrowed */
    const struct och_kernels *kernels; /* borrowed; NULL, for directories: what the machine has */
    /* Each may be NULL. */
    void (*report)(void *context, const struct och_repair_finding *finding);
    void (*summarize)(void *context, const struct och_repair_collection *collection);
    /* So many bytes of so many, of this part of the work ("reading ", a literal). */
    void (*progress)(void *context, const char *phase, uint64_t done, uint64_t total);
    void *context;
    const atomic_bool *stop; /* borrowed; set: no more is read, OCHRE_UNAVAILABLE */
};

struct och_repair_totals {
    uint64_t n_collections, n_whole; /* and those of them that nothing is wrong with */
    uint64_t n_records;              /* as of och_repair_collection: */
    uint64_t n_lost, n_in_doubt, n_rebuilt, n_given_up, n_skipped;
    uint64_t n_log_missing; /* records of the log that are gone, of whatever collection */
    uint64_t log_bytes_given_up;
    bool is_earlier;  /* the catalog is an earlier state than the newest there was */
    bool has_lost;    /* something was lost: any of the above says so */
    bool is_finished; /* an interrupted repair only lacked names, and has them now */
};

/*
 * Make a sound directory in `to`, which must be empty or what an interrupted repair
 * left, of what is left in `from`, which is not changed by a byte.  `to` NULL: only
 * find out and report.
 *
 * Errors: OCHRE_CORRUPT      it cannot be repaired: no catalog is left; the message says why
 *         OCHRE_BUSY         a process uses one of the two
 *         OCHRE_EXISTS       `to` is not empty
 *         OCHRE_INVALID      `from` is not ochre's
 *         OCHRE_UNSUPPORTED  something in it is of another version
 *         OCHRE_IO OCHRE_FULL OCHRE_NO_MEMORY
 * After an error `to` is no database: it has no FORMAT.
 */
OCH_MUST_CHECK ochre_status och_repair_vfs(const struct och_repair_options *options,
        struct och_vfs *from, struct och_vfs *to, struct och_repair_totals *totals_out,
        struct ochre_error *err);

/* The same for directories of the file system; `to` is made when it is not there. */
OCH_MUST_CHECK ochre_status och_repair_directory(const struct och_repair_options *options,
        const char *from, const char *to, struct och_repair_totals *totals_out,
        struct ochre_error *err);

/*
 * The same beside the directory `path`, with which the repaired one then changes places,
 * in one step.  The damaged one is kept as <path>.damaged-<n>, which is put into
 * `kept_out`.  Nobody can take either of them in between.  What an earlier one left that was
 * killed is removed; if it was killed when the two had changed places, that is all that is
 * finished (totals_out->is_finished).
 *
 * Errors: those of och_repair_vfs, and then `path` is what it was; OCHRE_UNSUPPORTED:
 *         the file system cannot exchange two directories.
 */
OCH_MUST_CHECK ochre_status och_repair_in_place(const struct och_repair_options *options,
        const char *path, char *kept_out, size_t kept_size, struct och_repair_totals *totals_out,
        struct ochre_error *err);

/*
 * Make, of each collection of an open database that is damaged, a sound one beside it, in the
 * same database, of what is left: NAME.repaired, and of a pin NAME.PIN.unpinned; records in
 * doubt are put into NAME.in-doubt (with -2, -3 ... where the name is taken).  The damaged one
 * stays as it is.  All others are read and written meanwhile, and so is what is whole of it.
 *
 * What is in memory is written to files first: damage in the log costs nothing where what it
 * said had been read before.  Then all files are read, as they are at one moment
 * (held_files.h), and what is left is put together and verified in tmp/, as och_repair_vfs
 * does it.  A collection is there with all that is left of it, or not at all.
 *
 * Findings are of all there is, summaries of what is not whole.  Of the options `report`,
 * `summarize`, `context` count.  If something was found, the report stands in REPAIR.
 *
 * `dry_run`: only find out and report.
 *
 * Errors: OCHRE_BUSY         another thread compacts, purges or repairs
 *         OCHRE_CORRUPT      the catalog is damaged: stop, and repair the directory
 *         OCHRE_DENIED       it was opened to be read
 *         OCHRE_UNAVAILABLE  the database is being closed
 *         OCHRE_IO, OCHRE_FULL, OCHRE_NO_MEMORY
 * After an error some collections may have been made, each of them whole.
 * Cost:   reads all there is, and what is damaged again; space for what is left of that.
 */
OCH_MUST_CHECK ochre_status och_op_repair(struct ochre_db *db,
        const struct och_repair_options *options, bool dry_run,
        struct och_repair_totals *totals_out, struct ochre_error *err);

#endif /* OCH_API_REPAIR_H */
