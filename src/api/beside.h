/*
 * beside.h - a directory that is put together beside the one it will be.
 *
 *      DIR             not there yet; or, to a repair, the damaged one
 *      DIR.restoring/  (of a repair: DIR.repairing/)
 *          RESTORING   the mark, locked by who works here; says whose LOCK is in data/
 *          new/        becomes data/ when its LOCK stands in the mark
 *          data/       what is put together; becomes DIR, in one step, when it is whole
 *
 * Who is killed leaves it; the next one that begins here finds the mark, which nobody has
 * locked, and knows what data/ is:
 *
 *      DIR's LOCK is the one that the mark names    the two have changed names: data/ is what
 *                                                   was there before, and stays
 *      its own LOCK is, or it has neither LOCK nor  half of DIR, or all of it: worth nothing
 *      FORMAT any more
 *      neither                                      somebody else's: nothing is touched
 *
 * LOCK is named by the number that the file system gives it, so that nothing of this is
 * seen in a database.  docs/formats/backup.md has the bytes.
 *
 * Threads: one at a time.
 */
#ifndef OCH_API_BESIDE_H
#define OCH_API_BESIDE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_file;
struct och_mem;
struct och_vfs;

enum { OCH_BESIDE_PATH_SIZE = 4096 };

struct och_beside_kind {
    const char *suffix; /* ".restoring" */
    const char *mark;   /* the mark's name; in data/ likewise, while that is half done */
    const char *does;   /* "restores to", for messages */
};

/* What is in data/. */
enum och_beside_state {
    OCH_BESIDE_NONE,     /* there is none */
    OCH_BESIDE_LEFT,     /* what one that was killed put together */
    OCH_BESIDE_EXCHANGED /* what DIR was before one that was killed after the exchange */
};

struct och_beside {
    struct och_mem *mem;                /* borrowed */
    const struct och_beside_kind *kind; /* borrowed */
    struct och_vfs *vfs;                /* owned */
    struct och_file *mark;              /* owned, locked */
    char path[OCH_BESIDE_PATH_SIZE];    /* DIR, without slashes at its end */
    char dir[OCH_BESIDE_PATH_SIZE];     /* DIR.restoring */
    char data[OCH_BESIDE_PATH_SIZE];    /* DIR.restoring/data */
};

/*
 * Make the place, or take the one that is there, and say what is in it.  End it.
 *
 * Errors: OCHRE_BUSY    another process works there
 *         OCHRE_EXISTS  what has this name is no such place, or has something else in it
 *         OCHRE_INVALID the path is too long
 *         OCHRE_IO OCHRE_FULL OCHRE_NO_MEMORY
 */
OCH_MUST_CHECK ochre_status och_beside_begin(struct och_mem *mem,
        const struct och_beside_kind *kind, const char *path, struct och_beside **beside_out,
        enum och_beside_state *state_out, struct ochre_error *err);

/* Make data/, which is not there: nothing but the mark of who works in it, and a LOCK that the
 * mark above names, durably.  Close *vfs_out. */
OCH_MUST_CHECK ochre_status och_beside_make(
        struct och_beside *beside, struct och_vfs **vfs_out, struct ochre_error *err);

/* Give data/ the name DIR, which is not there, durably. */
OCH_MUST_CHECK ochre_status och_beside_name(struct och_beside *beside, struct ochre_error *err);

/* What is in data/ is whole, but could not become DIR, and somebody is told where it is: who begins
 * here the next time does not take it for worthless.  *named_out: it has become DIR after all. */
OCH_MUST_CHECK ochre_status och_beside_keep(
        struct och_beside *beside, bool *named_out, struct ochre_error *err);

/* Remove the place, unless something is in data/, and free it.  NULL is fine. */
void och_beside_end(struct och_beside *beside);

/* Remove a place that one left that was killed when all was done but this. */
void och_beside_tidy(struct och_mem *mem, const struct och_beside_kind *kind, const char *path);

#endif /* OCH_API_BESIDE_H */
