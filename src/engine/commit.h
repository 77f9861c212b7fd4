/*
 * commit.h - the order of writes, and group commit.
 *
 * Writers put requests into a queue.  One of them becomes the committer: it
 * takes what is queued as a group, stages it in order, makes it durable with
 * one write and one sync, publishes it, and wakes the others.  Requests that
 * come meanwhile form the next group.  So a lone writer pays one sync, and many
 * writers share one.
 *
 *      queue  ... d c │ b a  ──► stage a, stage b ──► append(a b), sync ──►
 *                     │ group     publish a, publish b ──► answer a, b
 *
 * The committer role is also what serialises everything else that changes
 * collections: freezing and sealing heads, dropping, closing.
 *
 * Threads: any.
 */
#ifndef OCH_ENGINE_COMMIT_H
#define OCH_ENGINE_COMMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "engine/select.h"
#include "ochre/status.h"
#include "ochre/types.h"

struct och_collection;
struct och_commit;
struct och_engine;

/* A write on its way.  The caller fills in the first part. */
struct och_commit_request {
    struct och_collection *collection;
    struct ochre_bytes payload;      /* an encoded write (engine/write.h); or, when */
    const struct och_select *doomed; /* not NULL: delete what this selects, */
    uint64_t limit;                  /* at most so many, in insertion order */

    uint64_t n_deleted; /* out, for `doomed` */
    uint64_t position;  /* out: where readers see it; what changes nothing takes no new one */
    ochre_status status;
    struct ochre_error error;

    /* Private: */
    struct och_commit_request *next;
    bool done;
    bool deletes; /* and nothing else: a full disk does not refuse it */
};

OCH_MUST_CHECK ochre_status och_commit_make(
        struct och_engine *engine, struct och_commit **commit_out);
void och_commit_release(struct och_commit *commit);

/*
 * Carry the request out.  It is durable and visible when this returns OCHRE_OK.
 *
 * Errors: OCHRE_NOT_FOUND   the collection was dropped
 *         OCHRE_INVALID     wrong dimension
 *         OCHRE_TOO_LARGE   a delete that does not fit a log record
 *         OCHRE_UNAVAILABLE sealing cannot keep up
 *         OCHRE_FULL        the disk is; deletions have a reserve (space.h)
 *         OCHRE_IO, OCHRE_CORRUPT, OCHRE_NO_MEMORY
 * After an error nothing of it is visible.
 */
OCH_MUST_CHECK ochre_status och_commit_run(
        struct och_commit *commit, struct och_commit_request *request, struct ochre_error *err);

/* Become the committer, waiting for the one there is; then stop being it. */
void och_commit_enter(struct och_commit *commit);
void och_commit_leave(struct och_commit *commit);

#endif /* OCH_ENGINE_COMMIT_H */
