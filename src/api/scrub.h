/*
 * scrub.h - read every byte of an open database again, slowly, to find what the disk lost.
 *
 *      catalog, log   held as they are at one moment while they are read
 *      second copy    under the catalog's lock; made anew where it is damaged
 *      collections    one file at a time, held by being open; a file that was replaced or
 *                     removed meanwhile is no damage
 *
 * What is made of records (an index, the table of ids) is made anew where it is damaged,
 * as it is when a query finds it.  Damaged records are a finding of their collection and
 * nothing else: it goes on answering from what is whole.
 *
 * Threads: begin and end with the database; one scrub at a time; the rest any.
 */
#ifndef OCH_API_SCRUB_H
#define OCH_API_SCRUB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/check.h"
#include "base/compiler.h"
#include "base/limits.h"
#include "base/uuid.h"
#include "ochre/status.h"
#include "os/thread.h"

struct och_arena;
struct ochre_db;

struct och_scrub_options {
    uint64_t rate; /* bytes a second that are read; 0: as fast as can be */
    /* Wait so long; false: end.  NULL: sleep. */
    bool (*wait)(void *context, uint64_t ms);
    /* May be NULL. */
    void (*report)(void *context, const struct och_check_finding *finding);
    void *context;
};

/* Damage in a collection, as the last scrub found it. */
struct och_scrub_finding {
    struct och_uuid collection;
    char message[200];
};

/* What a database remembers of its scrubs. */
struct och_scrub_state {
    struct och_mutex lock;
    atomic_flag is_running;
    uint64_t ended_unix_s OCH_GUARDED_BY(lock);          /* the last complete one; 0: none yet */
    struct och_check_totals totals OCH_GUARDED_BY(lock); /* of that one */
    uint32_t n_findings OCH_GUARDED_BY(lock);            /* of that, or of the one that runs */
    struct och_scrub_finding findings[OCH_SCRUB_FINDINGS_MAX] OCH_GUARDED_BY(lock);
};

void och_scrub_state_init(struct och_scrub_state *state);
void och_scrub_state_clear(struct och_scrub_state *state);

/*
 * Scrub `db`.  Reads and writes go on.
 *
 * Errors: OCHRE_CORRUPT      damage was found, and reported
 *         OCHRE_BUSY         another thread scrubs
 *         OCHRE_UNAVAILABLE  `wait` said so, or the database is being closed
 *         OCHRE_DENIED       it was opened to be read
 *         OCHRE_IO, OCHRE_NO_MEMORY
 * Cost:   reads all there is.
 */
OCH_MUST_CHECK ochre_status och_op_scrub(struct ochre_db *db,
        const struct och_scrub_options *options, struct och_check_totals *totals_out,
        struct ochre_error *err);

/* What was found of this collection, in the arena; NULL: nothing, or no memory. */
const char *och_scrub_problem(
        struct ochre_db *db, struct och_uuid collection, struct och_arena *arena);

#endif /* OCH_API_SCRUB_H */
