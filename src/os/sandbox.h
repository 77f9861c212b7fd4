/*
 * sandbox.h - what a server gives up before it meets anybody.
 *
 * Two steps, both for good.  First the rights that its user has; then files that
 * are not its own, and system calls that it has no use for.  What is allowed
 * stands in one table each: `readable` in sandbox_files.c, `calls` in
 * sandbox_calls.c.  docs/decisions/0016 says why.
 *
 * Threads: on the only thread, before another one starts: those inherit it all.
 */
#ifndef OCH_OS_SANDBOX_H
#define OCH_OS_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "ochre/status.h"

struct och_sandbox_rights {
    const char *user; /* become this one, a name or a number, which only root can; NULL: stay */
    bool keep;        /* change the user alone */
    bool core_dumps;  /* let a crash leave its memory on the disk */
};

/*
 * Become the user, with no group but that one's own; then give up every
 * capability, the way to new ones through programs that have them, and core dumps.
 * A number that the system has no user for is its own group.
 *
 * Errors: OCHRE_INVALID  there is no such user, it is root, or root alone could do that
 *         OCHRE_IO       the system refuses
 */
OCH_MUST_CHECK ochre_status och_sandbox_give_up(
        const struct och_sandbox_rights *rights, struct ochre_error *err);

/*
 * May this process, with the rights it has now, read directory `path`, and write it unless
 * it is `read_only`?
 * One that is not there, or is no directory, is left to whoever opens it.
 *
 * Errors: OCHRE_INVALID  it may not; the message says who tried
 */
OCH_MUST_CHECK ochre_status och_sandbox_may_use(
        const char *path, bool read_only, struct ochre_error *err);

/* What holds, and for what does not why not: static text, NULL for what holds. */
struct och_sandbox {
    const char *files_missing;
    const char *calls_missing;
};

/*
 * From now on nothing can be written but below the `n_dirs` directories, and there only
 * unless they are `read_only`, nothing else read but a few files of the system, and no
 * call made that is not listed.
 * What the kernel does not have is left out, and said in *sandbox_out; so is all of
 * it in builds with sanitizers or coverage, which need more than ochre does.
 *
 * Errors: OCHRE_IO  the kernel has it and refuses
 */
OCH_MUST_CHECK ochre_status och_sandbox_enter(const char *const *dirs, size_t n_dirs,
        bool read_only, struct och_sandbox *sandbox_out, struct ochre_error *err);

#endif /* OCH_OS_SANDBOX_H */
