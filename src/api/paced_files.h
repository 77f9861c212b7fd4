/*
 * paced_files.h - files that are read no faster than at a stated rate.
 *
 * A struct och_vfs before another one: each read is let through and then paid for.  The
 * account is a moment: up to it everything that was read would have taken, at the rate.
 *
 *      ────────┬────────────────┬──────► time
 *             now              due        a read that comes now waits until `due`
 *
 * A moment that has passed is not carried over for longer than OCH_PACE_BURST_MS: who did
 * not read for an hour may not read an hour's worth at once.
 *
 * Threads: as the files below; but reads of one at a time.
 */
#ifndef OCH_API_PACED_FILES_H
#define OCH_API_PACED_FILES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "os/vfs.h"

struct och_machine;
struct och_mem;

struct och_read_pace {
    const struct och_machine *machine; /* borrowed */
    uint64_t rate;                     /* bytes a second; 0: as fast as can be */
    /* Wait so long; false: no more is to be read.  NULL: sleep. */
    bool (*wait)(void *context, uint64_t ms);
    /* May be NULL: so much was read, of so much (0: not known). */
    void (*progress)(void *context, uint64_t done, uint64_t total);
    void *context;
    const atomic_bool *stop; /* borrowed: set, no more is to be read; NULL: never */
    uint64_t total;
    /* Private: */
    uint64_t done;
    uint64_t due_ns; /* by the machine's clock */
};

/* One part of work that has several, and whom to tell how far it is: for `progress` above,
 * with this as its context. */
struct och_read_phase {
    const char *name;
    void (*progress)(void *context, const char *phase, uint64_t done, uint64_t total);
    void *context;
};

void och_read_phase_tell(void *context, uint64_t done, uint64_t total);

struct och_paced_files;

/* Reads of the files in `base` go at this pace, which is borrowed.  NULL: no memory. */
struct och_paced_files *och_paced_files_make(
        struct och_mem *mem, struct och_vfs *base, struct och_read_pace *pace);

/* No file of it may be open.  NULL is fine. */
void och_paced_files_release(struct och_paced_files *files);

/* Borrowed.  Errors of reads: also OCHRE_UNAVAILABLE, when `wait` or `stop` said so. */
struct och_vfs *och_paced_files_vfs(struct och_paced_files *files);

#endif /* OCH_API_PACED_FILES_H */
