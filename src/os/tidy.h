/*
 * tidy.h - gives memory that was freed back to the system, beside the work.
 *
 * A C library keeps most of what is freed, in case it is wanted again: after a
 * hundred rounds of adding and deleting that was twice of what was in use.  Giving
 * it back where it is freed costs loads a fifth.  So somebody looks four times a second
 * whether an account holds clearly less than it did lately, or has been quiet for two seconds
 * after work, and only then asks the library to give back what it has whole pages of.
 *
 *      held    .  /\      /\/\____________
 *              . /  \____/
 *      gives back   ^         ^     ^ (quiet)
 *
 * Blocks that are pages of their own do not count: the library never has them.  Those that
 * wait for the next request (base/pages.h) go back at a look when none came for as long.  So
 * what is resident goes by the work that is done, not by the moment of a look.
 *
 * For a program of ours: a library leaves this to its host.
 *
 * Threads: open and close by one thread; in between a background worker does the rest.
 */
#ifndef OCH_OS_TIDY_H
#define OCH_OS_TIDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_executor;
struct och_mem;
struct och_tidy;

/* So many looks in a row are quiet when at each no more had been asked for since the one before
 * than what looks after collections takes. */
enum { OCH_TIDY_QUIET_LOOKS = 8, OCH_TIDY_QUIET_GRANTS = 32 };

/* What the last looks saw; all zero to begin with. */
struct och_tidy_view {
    size_t most;       /* held at a look since memory was given back */
    uint64_t n_grants; /* asked for until the last look */
    unsigned n_quiet;  /* looks since then that found hardly more asked for */
    bool is_due;       /* more was, since memory was given back */
};

/* A look at what is held and how much was asked for: is it time to give back? */
bool och_tidy_is_time(struct och_tidy_view *view, const struct och_mem *mem);

/*
 * Look after `mem`, with a background worker of `executor`, every `period_ms`.
 *
 * Owns:   borrows both, until it is closed.
 * Errors: OCHRE_NO_MEMORY
 * Cost:   a look is a few loads; giving back takes a millisecond or a few, in which
 *         allocations of other threads may wait.
 */
OCH_MUST_CHECK ochre_status och_tidy_open(struct och_executor *executor, struct och_mem *mem,
        uint64_t period_ms, struct och_tidy **tidy_out);

/* Before the executor is closed; waits for a look that is being taken.  NULL is fine. */
void och_tidy_close(struct och_tidy *tidy);

#endif /* OCH_OS_TIDY_H */
