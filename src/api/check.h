/*
 * check.h - is every byte in this directory what ochre wrote?
 *
 * Reads every file of a data directory, verifies every checksum, and compares the
 * catalog with the files it names.  A deep check also derives all that is derived once more
 * and compares (segment/deep_check.h), and finds ids that two living records of a collection have.
 *
 * Changes nothing that is checked.  A directory that nobody uses it does hold
 * meanwhile, so its pid comes into LOCK, and it completes what a crash interrupted in
 * the catalog: a transaction in the journal is rolled back.  One in use it leaves
 * alone (held_files.h).
 *
 * Threads: one directory, one thread.
 */
#ifndef OCH_API_CHECK_H
#define OCH_API_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/uuid.h"
#include "ochre/status.h"

struct och_catalog;
struct och_directory;
struct och_machine;
struct och_mem;
struct och_read_pace;
struct och_vfs;

typedef enum och_check_kind {
    OCH_CHECK_NOTE = 0, /* worth knowing, nothing wrong: a file nobody names */
    OCH_CHECK_DAMAGE,   /* stored bytes are not what was written, or are missing */
} och_check_kind;

/* One finding.  The strings live for the call. */
struct och_check_finding {
    och_check_kind kind;
    const char *path;    /* relative to the directory */
    const char *message; /* lower case, no full stop */
    /* Of a segment: whose and which; and the records in it are whole, so that what is
     * damaged can be made of them again. */
    const struct och_uuid *collection; /* NULL: it is none */
    uint64_t segment;
    bool is_derived;
};

struct och_check_options {
    struct och_read_pace *pace; /* borrowed: how fast to read; NULL: as fast as can be */
    /* May be NULL: only the counts matter. */
    void (*report)(void *context, const struct och_check_finding *finding);
    void *context;
    struct och_mem *mem; /* borrowed: pays; NULL: nobody counts */
    bool is_deep;        /* some microseconds a record more, and up to 64 bytes of memory each */
};

/* What was looked at; complete only when the status is OCHRE_OK or OCHRE_CORRUPT. */
struct och_check_totals {
    uint64_t n_files;
    uint64_t n_bytes;
    uint64_t n_collections;
    uint64_t n_segments;
    uint64_t n_log_records;
    uint64_t n_damaged; /* findings of kind OCH_CHECK_DAMAGE */
};

/*
 * Check the directory at `path`; one that a process uses, beside that process
 * (och_check_beside).
 *
 * Errors: OCHRE_CORRUPT    damage was found, and reported
 *         OCHRE_NOT_FOUND  there is no such directory
 *         OCHRE_INVALID    it is not ochre's
 *         OCHRE_IO OCHRE_NO_MEMORY OCHRE_UNSUPPORTED  could not tell
 */
OCH_MUST_CHECK ochre_status och_check_directory(const char *path,
        const struct och_check_options *options, struct och_check_totals *totals_out,
        struct ochre_error *err);

/* The same for a directory on any vfs, that nobody uses: OCHRE_BUSY otherwise, and the
 * message has the pid. */
OCH_MUST_CHECK ochre_status och_check_vfs(struct och_vfs *vfs, const struct och_machine *machine,
        const struct och_check_options *options, struct och_check_totals *totals_out,
        struct ochre_error *err);

/*
 * The same for a directory that another process uses, as it is at one moment: nothing is
 * locked, made or changed, and that process goes on.
 *
 * Errors: those above but OCHRE_BUSY; and of och_held_files_make_beside
 */
OCH_MUST_CHECK ochre_status och_check_beside(struct och_vfs *vfs, const struct och_machine *machine,
        const struct och_check_options *options, struct och_check_totals *totals_out,
        struct ochre_error *err);

/* The same by who holds the directory already, and goes on holding it. */
OCH_MUST_CHECK ochre_status och_check_held(struct och_vfs *vfs, const struct och_machine *machine,
        const struct och_directory *held, const struct och_check_options *options,
        struct och_check_totals *totals_out, struct ochre_error *err);

/* The same without collections: the catalog, the log, and that they fit together. */
OCH_MUST_CHECK ochre_status och_check_head(struct och_vfs *vfs, const struct och_machine *machine,
        const struct och_directory *held, const struct och_check_options *options,
        struct och_check_totals *totals_out, struct ochre_error *err);

/*
 * The files of one collection of a database that this process has open, and goes on
 * using: a file that was replaced or removed meanwhile is no damage.  Adds to *totals,
 * which begins as zero.
 *
 * Errors: OCHRE_CORRUPT    as above; the others: could not tell
 */
OCH_MUST_CHECK ochre_status och_check_collection(struct och_vfs *vfs, struct och_catalog *catalog,
        struct och_uuid id, const struct och_check_options *options,
        struct och_check_totals *totals, struct ochre_error *err);

#endif /* OCH_API_CHECK_H */
