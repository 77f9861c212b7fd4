/*
 * space.h - the reserve: room on the disk for what frees room on the disk.
 *
 * A file that holds nothing but space.  When the disk is full, writes that add are
 * refused; what a deletion, a drop or the sealing of a head then needs (a page of the
 * log, a catalog transaction, a segment) comes from giving the file up:
 *
 *      held ──a deletion finds the disk full──► given: what adds is refused at once
 *        ▲                                        │
 *        └───there is twice as much free again────┘  seen by the next write that adds
 *
 * So everything goes on by itself when there is space again, and nobody has to look
 * for it.  The file is not worth a sync: a reserve that a power cut takes is made anew
 * at the next open.
 *
 * Threads: any.
 */
#ifndef OCH_ENGINE_SPACE_H
#define OCH_ENGINE_SPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "os/thread.h"

struct och_vfs;

struct och_space {
    struct och_vfs *vfs; /* borrowed */
    struct och_mutex lock;
    uint64_t size OCH_GUARDED_BY(lock); /* of the reserve, held or wanted again */
    atomic_bool is_short;               /* it was given up, and is not back yet */
};

void och_space_init(struct och_space *space, struct och_vfs *vfs);
void och_space_clear(struct och_space *space);

/*
 * At open: find the reserve, or make one of at most OCH_RESERVE_SIZE_MAX and a
 * sixteenth of what is free.  Where there is no room for it the disk counts as full.
 * A disk that cannot reserve for another reason goes without.
 */
void och_space_begin(struct och_space *space);

/* Is the disk so full that what adds is refused? */
bool och_space_is_short(const struct och_space *space);

/*
 * May a write that adds go on?  Takes the reserve back when there is room again.
 *
 * Errors: OCHRE_FULL, with what is free and what is wanted.
 * Cost: nothing while the reserve is held, else a question to the file system.
 */
OCH_MUST_CHECK ochre_status och_space_admit(struct och_space *space, struct ochre_error *err);

/* May so many bytes be taken for what frees space in the end?  On a full disk, if a
 * quarter of the reserve is left, and 256 KiB.  Errors: OCHRE_FULL. */
OCH_MUST_CHECK ochre_status och_space_spare(
        struct och_space *space, uint64_t size, struct ochre_error *err);

/* The error of who cannot go on for lack of space: "N bytes are free, and WHAT". */
ochre_status och_space_fail(struct och_space *space, const char *what, struct ochre_error *err);

/* Something that frees space, or without which nothing can be read, has found the disk full:
 * give the reserve up.  False when that was done already: there is no more to be had. */
bool och_space_give(struct och_space *space);

/* The same before och_space_begin, which then counts the disk as full or makes another. */
bool och_space_give_early(struct och_vfs *vfs);

#endif /* OCH_ENGINE_SPACE_H */
