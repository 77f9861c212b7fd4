/*
 * periodic.h - something that a process does by itself every so many hours.
 *
 * A thread of its own, at low priority, does it an hour after the beginning, or sooner
 * where the time is shorter, and then every so often; an hour later where it failed.
 *
 * Threads: begin and end on one thread.
 */
#ifndef OCH_ROLES_PERIODIC_H
#define OCH_ROLES_PERIODIC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"
#include "os/thread.h"

struct och_periodic {
    bool (*work)(void *context); /* false: it failed, and is to be tried sooner */
    void *context;
    uint64_t every_ms, wait_ms;
    struct och_thread thread;
    struct och_mutex lock;
    struct och_cond wake;
    bool ends OCH_GUARDED_BY(lock);
    bool has_begun; /* the thread is there */
};

/* `name`: of the thread.  OCHRE_UNAVAILABLE when that is refused.  Afterwards, end it in
 * any case. */
OCH_MUST_CHECK ochre_status och_periodic_begin(struct och_periodic *periodic, const char *name,
        uint64_t every_ms, bool (*work)(void *context), void *context, struct ochre_error *err);

/* Within the work: wait so long.  False: it is to end now. */
bool och_periodic_wait(struct och_periodic *periodic, uint64_t ms);

/* Waits for the work, if that is under way.  A zeroed one is fine. */
void och_periodic_end(struct och_periodic *periodic);

#endif /* OCH_ROLES_PERIODIC_H */
